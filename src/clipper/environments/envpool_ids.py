"""EnvPool's own environments, which Gymnasium may lack, by ids like ``envpool:Catch-v0`` (arXiv:2206.10558).

They are evaluated and played as they are trained, by EnvPool. Settings of EnvPool's may follow the id:
``envpool:Catch-v0,height=12``.
"""

import difflib
from collections.abc import Mapping

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from clipper.data.tree_type import Tree
from clipper.environments.make import MAKERS
from clipper.environments.told_episodes import Info
from clipper.environments.vector.envpool import EnvPool, Pool, installed, pool_of, quiet, spaces_of
from clipper.environments.vector.serial import SUCCESS_KEYS
from clipper.errors import ConfigError, UnknownEnvironmentError
from clipper.spaces.ordered_dict import ordered_dict

PREFIX = "envpool:"
OURS = ("num_envs", "batch_size", "num_threads", "thread_affinity_offset", "seed", "env_type", "base_path")
"""Settings of EnvPool's that a run makes, or that name files."""
ENDLESS = 2**31 - 1  # steps: EnvPool's way to say that there is no limit


def is_envpools(name: str) -> bool:
    """Is it an id of EnvPool's own?"""
    return name.startswith(PREFIX)


class Lone(gymnasium.Env):
    """One environment of EnvPool's: a pool of one. Its state cannot be saved, and it draws no pictures."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(self, name: str, settings: Mapping[str, object]) -> None:
        self.name, self.settings = their_name(name), checked(name, settings)
        self.pool = self.made(0)
        self.observation_space, self.action_space = map(with_true_bounds, spaces_of(self.pool))
        if not isinstance(self.action_space, Box | Discrete | MultiDiscrete):
            raise ConfigError(f"{name} takes actions of {self.action_space}, which are several arrays for EnvPool")
        limit = self.pool.spec.config.max_episode_steps
        self.spec = EnvSpec(name, max_episode_steps=limit if 0 < limit < ENDLESS else None)
        self.action_dtype = self.pool.spec.action_array_spec["action"].dtype

    def made(self, seed: int) -> EnvPool:
        """EnvPool's object, seeded."""
        return pool_of(self.name, 1, seed, {"num_threads": 1, **self.settings})

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[Tree, Info]:
        super().reset(seed=seed)
        if seed is not None:
            self.pool.close()
            self.pool = self.made(int(seed) % 2**31)
        with quiet():
            obs, _ = self.pool.reset()
        return each_first(obs), {}

    def step(self, action: Tree) -> tuple[Tree, float, bool, bool, Info]:
        batch = np.asarray(action, dtype=self.action_dtype)[None]
        obs, reward, terminated, truncated, info = self.pool.step(batch)
        last = {key: info[key][0] for key in SUCCESS_KEYS if key in info}
        return each_first(obs), float(reward[0]), bool(terminated[0]), bool(truncated[0]), last

    def close(self) -> None:
        self.pool.close()


def make_lone(name: str, given: Mapping[str, object], render_mode: str | None = None) -> Lone | None:
    """The environment of such an id; None of any other."""
    return Lone(name, given) if is_envpools(name) else None


MAKERS.append(make_lone)


def make_many(single: Lone, num_envs: int, threads: int) -> Pool:
    """A pool of copies of a ``single`` one, stepped by threads."""
    return Pool(single, single.name, num_envs, {"num_threads": min(threads, num_envs), **single.settings})


def their_name(name: str) -> str:
    """EnvPool's id; ``UnknownEnvironmentError`` with the nearest ones where it has none."""
    own, every = name.removeprefix(PREFIX), installed().list_all_envs()
    if own not in every:
        near = difflib.get_close_matches(own, every, n=3, cutoff=0.5)
        meant = f": did you mean {' or '.join(PREFIX + one for one in near)}?" if near else ""
        raise UnknownEnvironmentError(f"EnvPool has no environment {own!r}{meant}")
    return own


def checked(name: str, settings: Mapping[str, object]) -> Mapping[str, object]:
    """The settings behind an id, if a run does not make them itself."""
    for key in settings:
        if key in OURS:
            raise ConfigError(f"{name} is not given {key}: a run sets it by itself")
    return settings


def with_true_bounds(space: gymnasium.Space) -> gymnasium.Space:
    """The space, infinite where EnvPool says the smallest and the largest number of a dtype for want of a bound."""
    if isinstance(space, Dict):
        return ordered_dict({key: with_true_bounds(part) for key, part in space.items()})
    if isinstance(space, Tuple):
        return Tuple([with_true_bounds(part) for part in space])
    if not isinstance(space, Box) or not np.issubdtype(space.dtype, np.floating):
        return space
    kinds = [np.finfo(kind) for kind in (np.float32, np.float64)]
    low, high = space.low.copy(), space.high.copy()
    for kind in kinds:
        low[(low == kind.tiny) | (low == kind.min)] = -np.inf
        high[high == kind.max] = np.inf
    return Box(low, high, dtype=space.dtype.type)


def each_first(obs: Tree) -> Tree:
    """The observation of the first environment."""
    if isinstance(obs, dict):
        return {key: each_first(part) for key, part in obs.items()}
    return tuple(map(each_first, obs)) if isinstance(obs, tuple) else obs[0]
