"""How good is a policy? Whole episodes, a fixed quota per environment, apart from training's environments and draws."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper
from torch import Generator, Tensor

from clipper.data.trees import Tree
from clipper.distributions import Distribution
from clipper.environments import make
from clipper.environments.checks import Promise, checked_step, describe
from clipper.environments.make import EnvSource
from clipper.environments.vector.serial import SUCCESS, is_number
from clipper.networks.actor_critic import warn_without_masks
from clipper.networks.policy_options import MASK_KEY
from clipper.networks.protocol import Actor
from clipper.rollout.collect import collect
from clipper.rollout.state import Episode, start


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Returns and lengths of finished episodes, in the environment's own rewards."""

    returns: np.ndarray
    """Undiscounted return of each episode, ``[episodes]``."""
    lengths: np.ndarray
    """Decisions in each episode, ``[episodes]``."""
    successes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """1 where an episode's last ``info`` said ``is_success`` (or ``success``), 0 where it denied it, NaN where it did
    not tell, ``[episodes]``; empty where no episode told."""

    @property
    def success_rate(self) -> float | None:
        """The part that succeeded of the episodes that tell; None where none does."""
        return float(np.nanmean(self.successes)) if len(self.successes) else None

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        """Population standard deviation of the returns."""
        return float(self.returns.std())

    def __str__(self) -> str:
        count = len(self.returns)
        success = "" if self.success_rate is None else f", success rate {self.success_rate:.3f}"
        return f"return {self.mean:.1f} ± {self.std:.1f}{success} over {count} episode{'s' if count > 1 else ''}"


class Greedy:
    """A policy that takes the mode of another one's distribution."""

    def __init__(self, policy: Any) -> None:
        self.policy, self.memory = policy, getattr(policy, "memory", None)

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple["Mode", Tree]:
        dist, memory = self.policy.act(obs, memory, action_mask)
        return Mode(dist), memory

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Any:
        return self.policy.to_env(action, action_mask)


class Mode:
    """A distribution of which only the most likely action is drawn."""

    def __init__(self, dist: Distribution) -> None:
        self.dist = dist

    def sample(self, generator: Generator | None = None) -> Tree:
        return self.dist.mode

    def log_prob(self, action: Tree) -> Tensor:
        return self.dist.log_prob(action)


class Watched(VectorWrapper):
    """Notes of each episode that ends whether it was a success: collecting has no use for that."""

    def __init__(self, env: VectorEnv) -> None:
        super().__init__(env)
        self.promise: Promise | None = None
        self.steps = 0
        self.ended: list[list[float]] = [[] for _ in range(env.num_envs)]
        """Of each environment, episode after episode: 1, 0, or NaN where the info does not tell."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        obs, reward, terminated, truncated, info = checked_step(self.env, actions, self, look=False)
        for i in np.flatnonzero(terminated | truncated).tolist():
            self.ended[i].append(success_of(info, i))
        return obs, reward, terminated, truncated, info

    def successes(self, episodes: list[Episode]) -> np.ndarray:
        """Of these episodes, all that each environment finished, or the first of them; empty where none tells."""
        given = [iter(ended) for ended in self.ended]
        found = np.array([next(given[episode.env], np.nan) for episode in episodes])
        return found if np.isfinite(found).any() else found[:0]


def success_of(info: dict[str, Any], i: int) -> float:
    """What the info at the end of environment i's episode says about its success; NaN where it says nothing."""
    last = info.get("final_info", info)  # where the environment has been reset in the same step
    key = next((key for key in SUCCESS if key in last and (f"_{key}" not in last or last[f"_{key}"][i])), None)
    return float(last[key][i]) if key is not None and is_number(last[key][i]) else np.nan


def evaluate_policy(
    policy: Actor,
    env: EnvSource,
    *,
    episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
    num_envs: int | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Play ``episodes`` whole episodes in environments of their own, by default 20 at a time.

    Environment i plays a number of episodes fixed in advance, so short episodes are not favoured. Neither the policy
    nor any global generator changes.
    """
    vector = Watched(make(env, min(episodes, 20) if num_envs is None else num_envs))
    state = start(vector, seed, device, getattr(policy, "mask_key", MASK_KEY))
    if state.mask_source is None:
        warn_without_masks(policy, f"{describe(vector)} gives none: evaluate where it learned, or give them")
    _, state = collect(vector, Greedy(policy) if deterministic else policy, state, episodes=episodes)
    if not isinstance(env, VectorEnv):
        vector.close()
    finished = sorted(state.episodes, key=lambda e: e.env)
    totals, lengths = np.array([e.total for e in finished]), np.array([e.length for e in finished])
    return Evaluation(totals, lengths, vector.successes(finished))
