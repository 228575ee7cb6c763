"""Joints-v0: hybrid control of an environment's joints, a choice of a group of them and the torques for that group.

After HPPO-Mujoco (github.com/jason19990305/HPPO-Mujoco), whose tasks are not described; any environment with a Box of
actions can be controlled so, MuJoCo's above all.
"""

from collections.abc import Sequence
from typing import SupportsFloat, SupportsInt

import gymnasium
import numpy as np
from gymnasium.spaces import Box, OneOf

from clipper.data.tree_type import Tree
from clipper.environments.ids import called
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError, UnsupportedSpaceError

ZERO, LAST = "zero", "last"


class JointGroups(gymnasium.Wrapper):
    """Gives an environment with actions ``Box(P)`` a ``OneOf`` of boxes: a choice k, and torques for the k-th group.

    ``groups`` names the joints of each group, or is the number of groups of neighbours into which they are divided as
    evenly as can be. The joints of other groups get 0 (or what is nearest to it within their bounds), or with
    ``others="last"`` what they got last, 0 at an episode's beginning. What they got last is then at the end of each
    observation, since it decides what follows. Raises ``ConfigError`` for groups that are none, and
    ``UnsupportedSpaceError`` for other spaces.
    """

    def __init__(self, env: gymnasium.Env, groups: int | Sequence[Sequence[int]] = 2, others: str = ZERO) -> None:
        super().__init__(env)
        actions, seen = env.action_space, env.observation_space
        if not isinstance(actions, Box) or len(actions.shape) != 1:
            raise UnsupportedSpaceError(f"{actions} is no vector of torques, a Box(P), whose joints could be grouped")
        if others not in (ZERO, LAST):
            raise ConfigError(f"others is {others!r}: the joints of other groups get zero or last")
        self.groups = joint_groups(groups, len(actions.low))
        self.keeps = others == LAST
        self.rest = np.clip(np.zeros_like(actions.low), actions.low, actions.high)
        self.torques = self.rest.copy()
        """All joints' torques of the latest decision."""
        low, high = actions.low, actions.high
        self.action_space: gymnasium.Space = OneOf([Box(low[g], high[g], dtype=low.dtype.type) for g in self.groups])
        if not self.keeps:
            return
        if not isinstance(seen, Box) or len(seen.shape) != 1:
            raise UnsupportedSpaceError(f"others='last' adds the last torques to a vector Box(F), not to {seen}")
        limits = np.append(seen.low, low), np.append(seen.high, high)
        self.observation_space: gymnasium.Space = Box(*limits, dtype=seen.low.dtype.type)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        self.torques = self.rest.copy()
        obs, info = self.env.reset(seed=seed, options=options)
        return self.seen(obs), info

    def step(self, action: tuple[SupportsInt, Tree]) -> tuple[np.ndarray, SupportsFloat, bool, bool, Info]:
        k, torques = int(action[0]), action[1]
        self.torques = (self.torques if self.keeps else self.rest).copy()
        self.torques[self.groups[k]] = torques
        obs, reward, terminated, truncated, info = self.env.step(self.torques.copy())
        return self.seen(obs), reward, terminated, truncated, info

    def seen(self, obs: np.ndarray) -> np.ndarray:
        """The observation, with the torques that stand where they do."""
        return np.append(obs, self.torques).astype(obs.dtype) if self.keeps else obs

    def get_state(self) -> dict[str, np.ndarray]:
        """What a resumed run needs beside the environment's own state."""
        return {"torques": self.torques}

    def set_state(self, tree: dict[str, np.ndarray]) -> None:
        """The inverse."""
        self.torques = tree["torques"].copy()


def joint_groups(groups: int | Sequence[Sequence[int]], joints: int) -> list[np.ndarray]:
    """The joints of each group; ``ConfigError`` where there are none, or more groups than joints."""
    if isinstance(groups, int):
        if not 1 <= groups <= joints:
            raise ConfigError(f"groups is {groups}, and there are {joints} joints: from 1 to {joints} groups of them")
        return np.array_split(np.arange(joints), groups)
    found = [np.asarray(group, dtype=np.int64).ravel() for group in groups]
    wrong = [group for group in found if not len(group) or len(set(group.tolist())) < len(group)]
    if not found or wrong or any(((group < 0) | (group >= joints)).any() for group in found):
        raise ConfigError(
            f"groups is {groups!r}: name some of the joints 0 to {joints - 1} for each, none of them twice"
        )
    return found


def joints(env: str, groups: int = 2, others: str = ZERO, **kwargs: object) -> JointGroups:
    """An environment by id, whose joints are controlled in groups; further arguments are its own."""
    return JointGroups(called(gymnasium.make, env, **kwargs), groups, others)


gymnasium.register("clipper/Joints-v0", f"{__name__}:joints", order_enforce=False, disable_env_checker=True)
