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
    # Σx² is finite if every x is; only a suspicious one (which overflow can also cause) is looked at closely.
    if x.dtype.kind != "f" or math.isfinite(np.vdot(x, x)):
        return
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        env_index, *index = (int(i) for i in bad[0])
        where = f" at index {index}" if index else ""
        raise NonFiniteError(
            f"{what} {x[env_index, *index]} from environment {env_index} of {describe(env)}{where}, "
            f"after {steps} decisions in all: mend the environment, or wrap it so that it returns finite numbers"
        )
