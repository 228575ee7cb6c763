"""Is what an environment returns what it promised? One cheap test on the good path, a precise error otherwise."""

import math

import numpy as np
from gymnasium.vector import VectorEnv

from clipper.errors import NonFiniteError


def describe(env: VectorEnv) -> str:
    """The environment's id where it has one."""
    return env.spec.id if env.spec is not None else type(env).__name__


def check_finite(env: VectorEnv, x: np.ndarray, what: str, steps: int) -> None:
    """Raise ``NonFiniteError`` naming environment, step and index if ``x`` ``[N, ...]`` holds NaN or infinity."""
    # A sum is finite if all terms are; only a suspicious one (which overflow can also cause) is looked at closely.
    if x.dtype.kind != "f" or math.isfinite(x.sum()):
        return
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        where = f" at index {list(index[1:])}" if len(index) > 1 else ""
        raise NonFiniteError(
            f"{what} {x[index]} from environment {index[0]} of {describe(env)}{where}, "
            f"after {steps} decisions in all: mend the environment, or wrap it so that it returns finite numbers"
        )
