"""Environments whose own ``close`` fails: that is reported, and no reason to lose what was done in them."""

import warnings

import gymnasium
from gymnasium.vector import VectorEnv

from clipper.errors import text_of, visible


def close(env: gymnasium.Env | VectorEnv, name: str) -> None:
    """Close an environment, and warn where it fails, by the name it is called."""
    try:
        env.close()
    except (Exception, SystemExit) as error:
        told = visible(" ".join(f"{type(error).__name__}: {text_of(error)}".split()))
        warnings.warn(f"{name} failed in close, and may have left something open: {told:.300}", stacklevel=2)
