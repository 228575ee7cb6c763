"""Is what an environment returns what it promised? One cheap test on the good path, a precise error otherwise."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from clipper.data.tree_type import Tree
from clipper.environments.ids import called
from clipper.environments.told_episodes import Info
from clipper.errors import (
    ClipperError,
    ConfigError,
    EnvironmentContractError,
    EnvWorkerError,
    NonFiniteError,
    repr_of,
    text_of,
)
from clipper.spaces.observations import Leaf, observation_leaves, observation_tree, place

MASK_KEYS = ("action_mask", "legal_action_mask")  # of an info, and the first of an observation
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
LARGEST_REWARD = 1e30  # a critic's target is a sum of rewards, its error squared: what is larger overflows there
RESTARTED = "clipper/restarted"  # in an info, ``[N]``: which environments were made anew, since they failed
DECIDES = "agents_that_decide"  # in an info, ``[N]``: which columns decide next, where ends of episodes do not tell it
AGENTS = "clipper/agents"  # in the metadata of an environment whose columns are agents: their names, in order
TEAM_REWARD = "clipper/team_reward"  # in the metadata of such: every agent gets the reward of all
PART = "clipper/part"  # in the metadata of some environments of more: the first one's number, and where they are
NUMBERS = "biuf"  # the kinds of dtype whose values are numbers: truth values, integers, floating-point numbers
BOOL, FLOAT64 = np.dtype(bool), np.dtype(np.float64)
FLOATS = np.dtype(np.float16), np.dtype(np.float32), FLOAT64  # of this machine's byte order
SINCE = "(Gymnasium's interface since 0.26)"
TWO = f"gave no two things from its reset: observations and info are wanted {SINCE}"
FIVE = f"gave no five things from a step: observations, rewards, terminated, truncated and info are wanted {SINCE}"
Answer = tuple[Tree, np.ndarray, np.ndarray, np.ndarray, Info]
"""Observations, rewards, terminated, truncated, info, as ``VectorEnv.step`` gives them."""


def describe(env: VectorEnv) -> str:
    """The environment's id where it has one, otherwise the class name of the (first) environment."""
    name = getattr(env.spec, "id", None)
    if isinstance(name, str):
        return name
    inner = getattr(env.unwrapped, "envs", None)  # which may be anything: an attribute of the user's own
    first = inner[0] if isinstance(inner, list | tuple) and inner else None
    return type((first if isinstance(first, gymnasium.Env) else env).unwrapped).__name__


def check_apart(envs: Sequence[object], first_index: int = 0) -> None:
    """Raise ``ConfigError`` where two environments are one object: steps of one would go on with the other's episode.

    Their numbers begin at ``first_index``.
    """
    seen: dict[int, int] = {}
    for i, env in enumerate(envs, first_index):
        inner: object = getattr(env, "unwrapped", env)
        before = seen.setdefault(id(inner if isinstance(inner, gymnasium.Env) else env), i)
        if before != i:
            raise ConfigError(
                f"environments {before} and {i} are the same object, a {type(inner).__name__}, so their "
                "episodes would mix: let the factory make a new one each time, lambda: MyEnv(…) instead of "
                "lambda: env, or ask for one environment (num_envs=1)"
            )


def fitting(x: np.ndarray, leaf: Leaf) -> np.ndarray:
    """Numbers of a part of an observation, integers in the dtype that the space says.

    Floating-point numbers for a floating-point space stay as they are: they become float32 where they are kept. Raises
    ``ValueError`` with what is wrong with the others: no numbers, fractions where integers are promised, integers that
    the dtype cannot hold (300 would be 44 as uint8), and choices that are none.
    """
    kind, promised = x.dtype.kind, leaf.dtype.kind
    if kind not in NUMBERS or (kind == "f" and promised != "f"):
        raise ValueError(f"of {x.dtype}, but its observation space says {leaf.dtype}")
    if kind == "f":
        x = x if x.dtype in FLOATS else x.astype(FLOAT64)
    elif x.dtype != leaf.dtype:
        if promised != "f" and x.size:
            least, most = (0, 1) if promised == "b" else (np.iinfo(leaf.dtype).min, np.iinfo(leaf.dtype).max)
            low, high = int(x.min()), int(x.max())
            if low < least or high > most:
                wrong = low if low < least else high
                raise ValueError(f"of {wrong}, which {leaf.dtype}, the dtype of its observation space, cannot hold")
        x = x.astype(leaf.dtype)
    if leaf.least is not None and (np.any(x < leaf.least) or np.any(x > leaf.most)):
        raise ValueError(f"of {x}, but its observation space has {leaf.least} to {leaf.most}")
    return x


def array_of(x: object) -> np.ndarray:
    """Whatever an environment gave as an array; of objects where it is none of numbers."""
    try:
        return np.asarray(x)
    except ValueError:  # rows of different lengths
        return np.asarray(x, dtype=object)


def shown(x: object) -> str:
    """The beginning of what it is, on one line."""
    return f"{' '.join(repr_of(x).split()):.80}"


class Promise:
    """What a vector environment's spaces say that its arrays are, beside the environment.

    Each row that it gives is held to them before anything reads it: kernels read memory, and torch broadcasts. An array
    that is as promised costs three comparisons; one that means the same is converted (a wider dtype, a list of numbers,
    flags of zeros and ones); every other one is an ``EnvironmentContractError``.
    """

    def __init__(self, env: VectorEnv) -> None:
        self.env, self.num_envs = env, env.num_envs
        self.space = env.single_observation_space
        self.leaves = observation_leaves(self.space)
        first = self.leaves[0]
        self.lone = not first.path
        """Is an observation one array?"""
        self.shape = (self.num_envs, *first.shape) if self.lone and first.least is None else None
        self.dtype, self.each = first.dtype, (self.num_envs,)

    def observations(self, obs: Tree) -> Tree:
        """Observations of all environments, ``[N, …]`` at the leaves."""
        if self.lone:
            return self.part(obs, self.leaves[0], self.num_envs)
        self.check_form(obs)
        found = [self.part(self.leaf_of(obs, leaf), leaf, self.num_envs) for leaf in self.leaves]
        return observation_tree(self.space, iter(found))

    def last_observations(self, given: Tree, ended: Sequence[int]) -> list[Tree]:
        """``info["final_obs"]`` where environments have ``ended``: one per environment, or a tree of arrays of all."""
        tree = isinstance(given, dict) or (isinstance(given, tuple) and not self.lone)
        try:
            if not tree and len(given) != self.num_envs:
                raise IndexError(f"it has {len(given)} rows")
            rows = [
                [self.leaf_of(given, leaf)[i] if tree else leaf.of(given[i]) for leaf in self.leaves] for i in ended
            ]
        except (LookupError, TypeError) as error:
            raise EnvironmentContractError(
                f"{describe(self.env)} gave info['final_obs'] as {shown(given)}: it must have an entry for each of the "
                f"{self.num_envs} environments ({error})"
            ) from None
        return [observation_tree(self.space, map(self.part, row, self.leaves)) for row in rows]

    def leaf_of(self, obs: Tree, leaf: Leaf) -> Tree:
        """The part of observations that belongs to a leaf of the space."""
        try:
            return leaf.of(obs)
        except (LookupError, TypeError) as error:
            raise EnvironmentContractError(
                f"{describe(self.env)} gave observations without {place(leaf.path)}, which its observation space has: "
                "fix one of the two"
            ) from error

    def check_form(self, obs: Tree, path: tuple[str | int, ...] = ()) -> None:
        """Raise where observations have a part that the space lacks: no network would see it."""
        known = {leaf.path[: len(path) + 1] for leaf in self.leaves if leaf.path[: len(path)] == path}
        if path in known or not isinstance(obs, dict | tuple | list):
            return
        for key, part in obs.items() if isinstance(obs, dict) else enumerate(obs):
            if (*path, key) not in known:
                raise EnvironmentContractError(
                    f"{describe(self.env)} gave observations with {place((*path, key))}, which its observation space "
                    "lacks: fix one of the two"
                )
            self.check_form(part, (*path, key))

    def part(self, x: object, leaf: Leaf, rows: int | None = None) -> np.ndarray:
        """One array of observations, of ``rows`` environments, or of one."""
        shape = leaf.shape if rows is None else (rows, *leaf.shape)
        if (
            type(x) is np.ndarray
            and (x.shape == shape and x.dtype == leaf.dtype and x.flags.carray)
            and (leaf.least is None or leaf.most is None or not ((x < leaf.least).any() or (x > leaf.most).any()))
        ):
            return x
        array = array_of(x)
        what = f"{describe(self.env)} gave observations{place(leaf.path)}"
        if array.shape != shape:
            of = "one environment" if rows is None else f"{rows} environments"
            raise EnvironmentContractError(
                f"{what} of shape {array.shape} from {of}, but its observation space says {leaf.dtype} of shape "
                f"{leaf.shape} for each, {shape} in all: fix one of the two"
            )
        try:
            return np.require(fitting(array, leaf), requirements=["C", "A"])  # torch takes no negative strides
        except ValueError as error:
            raise EnvironmentContractError(f"{what} {error}: fix one of the two") from None

    def rewards(self, reward: object) -> np.ndarray:
        """Rewards ``[N]`` as float64."""
        array = array_of(reward)
        if array.shape != self.each or array.dtype.kind not in NUMBERS:
            what = f"of shape {array.shape}" if array.shape != self.each else f"of {array.dtype}"
            raise EnvironmentContractError(
                f"rewards {what} from {self.num_envs} environments of {describe(self.env)}, {shown(reward)}: each "
                f"reward must be one number, and all of them an array of shape {self.each}"
            )
        return array.astype(np.float64)

    def flags(self, given: object, name: str) -> np.ndarray:
        """``terminated`` or ``truncated`` ``[N]`` as truth values; integers 0 and 1 are some, too."""
        array = array_of(given)
        numbers = hasattr(given, "__array__") and array.shape == self.each and array.dtype.kind in "biu"
        if not numbers or not ((array == 0) | (array == 1)).all():
            kind = f"{array.dtype} of shape {array.shape}" if hasattr(given, "__array__") else type(given).__name__
            raise EnvironmentContractError(
                f"{describe(self.env)} gave {name} as {kind}, {shown(given)}: it must be an array of bool of shape "
                f"{self.each}, which says of each environment whether its episode has ended so"
            )
        return array.astype(bool)


@runtime_checkable
class Collecting(Protocol):
    """What of a ``CollectState`` is needed here."""

    promise: Promise
    """Of the environment that is collected from."""
    steps: int
    """Decisions so far, in all."""


def checked_step(env: VectorEnv, actions: Tree, state: Collecting, look: bool = True) -> Answer:
    """``env.step(actions)`` in the shapes and dtypes that its spaces promise; otherwise ``EnvironmentContractError``.

    All that either engine reads of a step comes through here. Where observations' numbers are none, it raises as
    ``check_finite`` does, unless who asks looks at them himself (``look``). Of rewards only form and dtype are looked
    at: nothing reads them until ``check_rewards`` may look at many at once.
    """
    promise = state.promise
    try:
        try:
            answer = env.step(actions)
        except ClipperError:
            raise
        except (Exception, SystemExit) as error:
            raise failure(error, promise.env, state.steps, "a step") from error
        try:
            obs, reward, terminated, truncated, info = answer
        except (TypeError, ValueError):
            raise EnvironmentContractError(f"{describe(promise.env)} {FIVE}") from None
        good = type(obs) is np.ndarray and obs.shape == promise.shape and obs.dtype == promise.dtype
        if not good or not obs.flags.c_contiguous:
            obs = promise.observations(obs)
        each = promise.each
        if type(reward) is not np.ndarray or reward.dtype != FLOAT64 or reward.shape != each:
            reward = promise.rewards(reward)
        if type(terminated) is not np.ndarray or terminated.dtype != BOOL or terminated.shape != each:
            terminated = promise.flags(terminated, "terminated")
        if type(truncated) is not np.ndarray or truncated.dtype != BOOL or truncated.shape != each:
            truncated = promise.flags(truncated, "truncated")
        if type(info) is not dict:
            info = checked_info(info, describe(promise.env))
    except EnvironmentContractError as error:
        error.args = (f"{error} (after {state.steps} decisions in all)",)
        raise
    # Arrays whose numbers are good, as nearly all are, cost no further call.
    if look and (
        type(obs) is not np.ndarray
        or (obs.dtype.kind == "f" and not float(np.vdot(obs, obs)) <= LARGEST_FLOAT32 * LARGEST_FLOAT32)
    ):
        check_finite(env, obs, "observation", state.steps)
    return obs, reward, terminated, truncated, info


def failure(error: BaseException, env: VectorEnv, steps: int, during: str) -> EnvWorkerError:
    """What a ready vector environment has raised, as an error that says its name and when."""
    return EnvWorkerError(
        f"{describe(env)} failed in {during}, after {steps} decisions in all: {type(error).__name__}: {text_of(error)}"
    )


def checked_info(info: object, name: str) -> Info:
    """The info that an environment of this name gave, if it is a dict."""
    if not isinstance(info, dict):
        raise EnvironmentContractError(f"{name} gave {shown(info)} for its info: it must be a dict, which may be empty")
    return info


def checked_start(answer: object, name: str) -> tuple[Tree, Info]:
    """What the reset of an environment of this name gave, if it is observation and info."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise EnvironmentContractError(f"{name} {TWO}")
    return answer[0], checked_info(answer[1], name)


def checked_reset(env: VectorEnv, state: Collecting, **options: object) -> tuple[Tree, Info]:
    """``env.reset(**options)``: what it gave, held to the same."""
    promise = state.promise
    try:
        obs, info = checked_start(called(env.reset, **options), describe(promise.env))
        obs = promise.observations(obs)
    except EnvironmentContractError as error:
        error.args = (f"{error} (after {state.steps} decisions in all)",)
        raise
    except ClipperError:
        raise
    except (Exception, SystemExit) as error:
        raise failure(error, promise.env, state.steps, "a reset") from error
    check_finite(env, obs, "observation", state.steps)
    return obs, info


def check_rewards(env: VectorEnv, reward: np.ndarray, decided: np.ndarray, steps: int) -> None:
    """Like ``check_finite``, row by row of rewards ``[T, N]``, the last after ``steps`` decisions in all.

    What stands where nothing was ``decided`` counts for nothing.
    """
    before = steps - np.cumsum(decided.sum(axis=1)[::-1])[::-1]
    for row, taken in zip(np.where(decided, reward, 0), before.tolist(), strict=True):
        check_finite(env, row, "reward", taken, largest=LARGEST_REWARD)


def check_finite(
    env: VectorEnv,
    x: Tree,
    what: str,
    steps: int,
    rows: Sequence[int] | None = None,
    largest: float = LARGEST_FLOAT32,
) -> None:
    """Raise ``NonFiniteError`` naming environment, step and index if ``x`` ``[N, ...]`` holds NaN or infinity.

    So it does for numbers beyond ``largest``. ``rows`` are the environments' indices where ``x`` comes not from all of
    them. ``x`` may be a tree of arrays.
    """
    if isinstance(x, dict | tuple):
        for key, part in x.items() if isinstance(x, dict) else enumerate(x):
            check_finite(env, part, f"{what}[{key!r}]", steps, rows, largest)
        return
    # Σx² within the largest number squared says that every x is; only else is each one looked at.
    if x.dtype.kind != "f" or float(np.vdot(x, x)) <= largest * largest:
        return
    bad = np.argwhere(~(np.abs(x) <= largest))
    if len(bad):
        row, *index = (int(i) for i in bad[0])
        where = f" at index {index}" if index else ""
        first, rank = env.metadata.get(PART, (0, ""))
        number = first + (row if rows is None else rows[row])
        raise NonFiniteError(
            f"{what} {x[row, *index]} from environment {number} of {describe(env)}{rank}{where}, after {steps} "
            f"decisions in all: fix the environment, or wrap it so that it returns numbers up to {largest:.2g}"
        )


def check_numbers(obs: Tree, reward: object) -> None:
    """Raise ``FloatingPointError``, a failure of the environment like any other, where a step's numbers are no good."""
    if isinstance(obs, dict | tuple):
        for part in obs.values() if isinstance(obs, dict) else obs:
            check_numbers(part, reward)
        return
    for x, what, largest in ((obs, "observation", LARGEST_FLOAT32), (reward, "reward", LARGEST_REWARD)):
        numbers = np.asarray(x)
        if numbers.dtype.kind == "f" and not (np.abs(numbers) <= largest).all():
            raise FloatingPointError(f"{what} {x}")
