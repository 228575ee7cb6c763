"""Is what an environment returns what it promised? One cheap test on the good path, a precise error otherwise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from clipper.errors import EnvironmentContractError, NonFiniteError

MASK_KEYS = ("action_mask", "legal_action_mask")  # of an info, and the first of an observation
TELLS = "tells_episodes"  # in the metadata of an environment whose last infos tell each episode's return and length
TOLD = ("episode_return", "episode_length")  # these two
WHOLE = {"whole_episode": True}  # what such an environment's reset is given where a part of an episode will not do
LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
LARGEST_REWARD = 1e30  # a critic's target is a sum of rewards, its error squared: what is larger overflows there


def describe(env: VectorEnv) -> str:
    """The environment's id where it has one, else the name of its class, or of its parts' where it is made of some."""
    if env.spec is not None:
        return env.spec.id
    inner = getattr(env.unwrapped, "envs", None) or [env]
    return type(inner[0].unwrapped).__name__


def told(total: float, length: int) -> dict[str, Any]:
    """What the info of one environment says where an episode has ended, and the environment keeps count itself."""
    return dict(zip(TOLD, (total, length), strict=True))


def told_where(over: np.ndarray, total: np.ndarray, length: np.ndarray) -> dict[str, Any]:
    """What a vector environment's info says of whole episodes, where they are ``over`` (``[N]``); counts begin anew."""
    if not over.any():
        return {}
    values = dict(zip(TOLD, (total.copy(), length.copy()), strict=True))
    total[over] = length[over] = 0
    return values | {f"_{key}": over.copy() for key in values}


def checked_step(env: VectorEnv, actions: Any, steps: int) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict]:
    """``env.step(actions)``, after ``steps`` decisions in all; raises where an observation's numbers are none.

    Of rewards only the shape is looked at: nothing reads them until ``check_rewards`` may look at many at once.
    """
    obs, reward, terminated, truncated, info = env.step(actions)
    if np.shape(reward) != (env.num_envs,):
        raise EnvironmentContractError(
            f"rewards of shape {np.shape(reward)} from {env.num_envs} environments: each reward must be one number"
        )
    # Arrays whose numbers are good, as nearly all are, cost no further call.
    if not isinstance(obs, np.ndarray) or (
        obs.dtype.kind == "f" and not float(np.vdot(obs, obs)) <= LARGEST_FLOAT32 * LARGEST_FLOAT32
    ):
        check_finite(env, obs, "observation", steps)
    return obs, reward, terminated, truncated, info


def check_rewards(env: VectorEnv, reward: np.ndarray, decided: np.ndarray, steps: int) -> None:
    """Like ``check_finite``, row by row of rewards ``[T, N]``, the last after ``steps`` decisions in all."""
    before = steps - np.cumsum(decided.sum(axis=1)[::-1])[::-1]
    for row, taken in zip(reward, before.tolist(), strict=True):
        check_finite(env, row, "reward", taken, largest=LARGEST_REWARD)


def check_finite(
    env: VectorEnv,
    x: Any,
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
        raise NonFiniteError(
            f"{what} {x[row, *index]} from environment {row if rows is None else rows[row]} of {describe(env)}{where}, "
            f"after {steps} decisions in all: mend the environment, or wrap it so that it returns numbers up to "
            f"{largest:.2g}"
        )


def check_numbers(obs: Any, reward: Any) -> None:
    """Raise ``FloatingPointError``, a failure of the environment like any other, where a step's numbers are no good."""
    if isinstance(obs, dict | tuple):
        for part in obs.values() if isinstance(obs, dict) else obs:
            check_numbers(part, reward)
        return
    for x, what, largest in ((obs, "observation", LARGEST_FLOAT32), (reward, "reward", LARGEST_REWARD)):
        numbers = np.asarray(x)
        if numbers.dtype.kind == "f" and not (np.abs(numbers) <= largest).all():
            raise FloatingPointError(f"{what} {x}")
