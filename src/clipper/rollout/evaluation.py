"""How good is a policy? Whole episodes, a fixed quota per environment, apart from training's environments and draws."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium.vector import VectorEnv
from torch import Generator, Tensor

from clipper.data.bootstrap import bootstrap_interval
from clipper.data.figures import figure
from clipper.data.trees import Tree
from clipper.data.values import shown
from clipper.distributions import Distribution
from clipper.environments import make
from clipper.environments.checks import AGENTS, Answer, describe
from clipper.environments.closing import close
from clipper.environments.sources import EnvSource
from clipper.environments.told_episodes import FINAL, Info
from clipper.environments.vector.numbers import number_of
from clipper.environments.vector.serial import SUCCESS_KEYS, Serial
from clipper.errors import ConfigError
from clipper.networks.actor_critic import ActorCritic, warn_without_masks
from clipper.networks.fit import check_spaces
from clipper.networks.of_agents import PolicyOfAgents
from clipper.networks.protocol import Actor, abilities
from clipper.rollout.protocol import Episode, Rollouts
from clipper.rollout.protocol import abilities as environments_of
from clipper.rollout.vector_rollouts import VectorRollouts

LARGEST_SEED = 2**62
MAX_STEPS = 50_000
"""Steps after which an evaluation ends an episode of an environment that has no time limit."""
EVALUATION_SEED = 1_000_000_000
"""The first seed of an evaluation where none is named; training's begin with ``Config.seed``, which is 1 by default."""
HELD: list[VectorEnv] = []
"""Vector environments that a run trains in at this moment."""
STANDING: WeakKeyDictionary[VectorRollouts, Tree] = WeakKeyDictionary()
"""Rollouts of runs, with the observations that were theirs when an evaluation played in their environments."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Returns and lengths of finished episodes, in the environment's own rewards."""

    returns: np.ndarray
    """Undiscounted return of each episode, ``[episodes]``."""
    lengths: np.ndarray
    """Decisions in each episode, ``[episodes]``."""
    successes: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """1 where an episode's last ``info`` said ``is_success`` (or ``success``), 0 where it denied it, NaN where it did
    not tell, or gave no number from 0 to 1, ``[episodes]``; empty where no episode says."""

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

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Between which numbers the mean return of all such episodes lies, by the bootstrap."""
        (low,), (high,) = bootstrap_interval(self.returns[:, None], level)
        return float(low), float(high)

    def __str__(self) -> str:
        """Mean and standard deviation of the returns, and the mean's 95 % interval."""
        count = len(self.returns)
        success = "" if self.success_rate is None else f", success rate {self.success_rate:.3f}"
        mean, std = figure(self.mean, self.std), figure(self.std, self.std)
        low, high = (figure(x, self.std) for x in self.interval())
        within = f" (95 % interval of the mean {low} to {high})" if count > 1 and self.std > 0 else ""
        return f"return {mean} ± {std}{success} over {count} episode{'s' if count > 1 else ''}{within}"


class Greedy:
    """A policy that takes the mode of another one's distribution."""

    def __init__(self, policy: Any) -> None:
        self.policy, self.memory = policy, abilities(policy).memory

    def act(self, obs: Tree, memory: Tree = (), action_mask: Tree = ()) -> tuple["Mode", Tree]:
        dist, memory = self.policy.act(obs, memory, action_mask)
        return Mode(dist), memory

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        return self.policy.to_env(action, action_mask)


class Mode:
    """A distribution of which only the most likely action is drawn."""

    def __init__(self, dist: Distribution) -> None:
        self.dist = dist

    def sample(self, generator: Generator | None = None) -> Tree:
        return self.dist.mode

    def log_prob(self, action: Tree) -> Tensor:
        return self.dist.log_prob(action)


class Successes:
    """Notes of each episode that ends whether it was a success; a stage of collecting."""

    def __init__(self, num_envs: int) -> None:
        self.ended: list[list[float]] = [[] for _ in range(num_envs)]
        """Of each environment, episode after episode: 1, 0, or NaN where the info does not tell."""

    def note(self, t: int, answer: Answer) -> Answer:
        _, _, terminated, truncated, info = answer
        for i in np.flatnonzero(terminated | truncated).tolist():
            self.ended[i].append(success_of(info, i))
        return answer

    def of(self, episodes: list[Episode]) -> np.ndarray:
        """Of these episodes, all that each environment finished, or the first of them; empty where none tells."""
        given = [iter(ended) for ended in self.ended]
        found = np.array([next(given[episode.env], np.nan) for episode in episodes])
        return found if np.isfinite(found).any() else found[:0]


def success_of(info: Info, i: int) -> float:
    """What the info at the end of environment i's episode says about its success; NaN where it says nothing."""
    last = info.get(FINAL, info)  # where the environment has been reset in the same step
    key = next((key for key in SUCCESS_KEYS if key in last and (f"_{key}" not in last or last[f"_{key}"][i])), None)
    number = None if key is None else number_of(last[key][i])
    return np.nan if number is None or not 0 <= number <= 1 else number


@contextmanager
def held(rollouts: Rollouts) -> Iterator[None]:
    """While a run trains: no evaluation plays in the vector environment that it steps, nor in what that wraps."""
    env = environments_of(rollouts).env
    if isinstance(rollouts, VectorRollouts):
        STANDING[rollouts] = None
    if isinstance(env, VectorEnv):
        HELD.append(env)
    try:
        yield
    finally:
        if isinstance(env, VectorEnv):
            HELD.remove(env)


def begin_anew(env: VectorEnv) -> None:
    """Rollouts of runs that step these environments have been left behind: their next segment begins with a reset."""
    for rollouts in list(STANDING):
        if rollouts.env.unwrapped is env.unwrapped:
            STANDING[rollouts], rollouts.stale = rollouts.obs, True


def left_behind(rollouts: Rollouts) -> bool:
    """Has an evaluation played in their environments since they last collected?"""
    return isinstance(rollouts, VectorRollouts) and STANDING.get(rollouts) is rollouts.obs


class Bound:
    """Raises where an episode of environments that were given ready does not end; a stage of collecting."""

    def __init__(self, rollouts: VectorRollouts, max_steps: int) -> None:
        self.rollouts, self.most = rollouts, max_steps
        self.rows = np.zeros(rollouts.num_envs, dtype=np.int64)
        """Since each environment's last episode ended, and perhaps one in which it was reset."""

    def note(self, t: int, answer: Answer) -> Answer:
        _, _, terminated, truncated, _ = answer
        self.rows = np.where(terminated | truncated, 0, self.rows + (self.rollouts.left > 0))
        if self.rows.max() > self.most + 1:
            raise ConfigError(
                f"an episode of environment {self.rows.argmax()} of {describe(self.rollouts.env)} has not ended after "
                f"{self.most:,} steps: give these environments a time limit (gymnasium.wrappers.TimeLimit), or let "
                "the evaluation wait for more, max_steps=…"
            )
        return answer


def check_not_held(env: EnvSource, vector: VectorEnv) -> None:
    """Raise ``ConfigError`` where a run trains in these environments: to play in them would break off its episodes."""
    training = [held.unwrapped for held in HELD]
    objects = {id(single.unwrapped) for held in training for single in getattr(held, "envs", ())}
    shared = [single for single in getattr(vector, "envs", ()) if id(single.unwrapped) in objects]
    if shared or vector.unwrapped in training:
        remedy = "let the factory make a new one each time" if shared and env is not vector else "evaluate in others"
        raise ConfigError(
            f"a run trains in these environments, and an evaluation would break off its episodes: {remedy}, "
            "clipper.evaluate(run.policy, env), or train with an id or a factory"
        )


def evaluate_policy(
    policy: Actor,
    env: EnvSource,
    *,
    episodes: int = 100,
    seed: int = EVALUATION_SEED,
    deterministic: bool = True,
    num_envs: int | None = None,
    max_steps: int = MAX_STEPS,
    device: str = "cpu",
) -> Evaluation:
    """Play ``episodes`` whole episodes in environments of their own, by default 20 at a time.

    Environment i plays a number of episodes fixed in advance, so short episodes are not favoured. Neither the policy
    nor any global generator changes. Environments that exist once are played one at a time, ``num_envs=1``.

    Environment i begins with ``seed + i``; the default lies far from the seeds that training begins with. An
    environment without a time limit of its own has its episodes ended after ``max_steps`` each, with a warning.

    Raises ``SpaceMismatchError`` where a policy of Clipper's was made for other spaces; ``ConfigError`` where a run
    trains in these environments at this moment, or where an episode of ready ones does not end.
    """
    for name, number in {"episodes": episodes, "max_steps": max_steps}.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ConfigError(f"{name} must be a whole number from 1 on, not {shown(number)}")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"seed must be a whole number from 0 to 2^62, not {shown(seed)}")
    if not isinstance(deterministic, bool | np.bool_):
        raise ConfigError(f"deterministic must be True or False, not {shown(deterministic)}")
    vector = make(env, min(episodes, 20) if num_envs is None else num_envs, ignore=abilities(policy).ignore)
    check_not_held(env, vector)
    try:
        if isinstance(policy, ActorCritic):
            check_spaces(policy, vector.single_observation_space, vector.single_action_space)
        if isinstance(policy, PolicyOfAgents):
            policy.check_agents(vector.metadata.get(AGENTS, ()), describe(vector))
        endless = vector.limit(max_steps) if isinstance(vector, Serial) and vector is not env else []
        successes = Successes(vector.num_envs)
        rollouts = VectorRollouts(vector, seed, device, abilities(policy).mask_key)
        rollouts.first = [successes.note, *([Bound(rollouts, max_steps).note] if isinstance(env, VectorEnv) else [])]
        if not rollouts.masked:
            warn_without_masks(policy, f"{describe(vector)} gives none: evaluate where it learned, or give them")
        rollouts.collect(Greedy(policy) if deterministic else policy, episodes=episodes)
    finally:
        if isinstance(env, VectorEnv):
            begin_anew(env)
        else:
            close(vector, describe(vector))
    finished = sorted(rollouts.episodes, key=lambda e: e.env)
    cut = sum(bool(endless) and endless[e.env] and e.length >= max_steps for e in finished)
    if cut:
        warnings.warn(
            f"{cut} of {len(finished)} episodes had not ended after {max_steps:,} steps, at which an evaluation ends "
            f"them, since {describe(vector)} has no time limit: their returns are of these steps (max_steps=…)",
            stacklevel=2,
        )
    totals, lengths = np.array([e.total for e in finished]), np.array([e.length for e in finished])
    return Evaluation(totals, lengths, successes.of(finished))
