"""Where collecting from a vector environment stands between two segments."""

from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Generator, Tensor

from clipper.data.trees import Tree, each
from clipper.environments.checks import Promise
from clipper.environments.mask_sources import Source
from clipper.errors import EnvironmentContractError
from clipper.rollout.episodes import Told
from clipper.rollout.protocol import Episode


class Columns(NamedTuple):
    """Which environments these are of all that are collected from, here and in other processes."""

    first: int
    total: int


class CollectState:
    """Where collecting stands between two segments."""

    columns: Columns | None = None
    """None where these are all."""

    obs: Tree
    """sₜ of each environment, ``[N, ...]`` or a tree of such: ``last_obs`` of the segment before."""
    done: np.ndarray
    """``[N]``: an episode ended with the last row; in next-step mode the next one is then no decision."""
    generator: Generator
    """Draws the actions."""
    mode: AutoresetMode
    """When the environment resets what has ended."""
    memory: tuple[Tensor, ...]
    """What the policy carries from step to step, each ``[N, ...]``; empty at first, and where it carries nothing.

    It is emptied as soon as an episode's last row is behind."""
    action_mask: Tree
    """What is legal for the next actions; empty where everything always is."""
    mask_source: Source | None
    """Where the masks come from."""
    steps: int
    """Decisions collected since the start."""
    left: np.ndarray
    """Episodes that each environment has still to finish in this segment, ``[N]``."""
    running_total: np.ndarray
    """Undiscounted return of each unfinished episode so far, ``[N]``."""
    running_length: np.ndarray
    """Decisions in each unfinished episode so far, ``[N]``."""
    metrics: dict[str, float]
    """What else to note with each row of a run's metrics."""
    episodes: list[Episode]
    """Those that finished in the last segment."""
    told: Told | None
    """Episodes as the environment counts them itself, where it does."""
    promise: Promise
    """What the environment's arrays are held to."""


def observation_tensor(obs: Tree, device: torch.device | str) -> Tree:
    """A copy on the device: floating observations as float32, all others as they are."""
    return each(lambda x: torch.tensor(x, dtype=torch.float32 if x.dtype.kind == "f" else None, device=device), obs)


def copy_like(before: Tree, obs: Tree) -> Tree:
    """A copy of an observation that is a tree, of the same dtypes and on the same device as one before."""
    return each(lambda old, x: torch.tensor(x, dtype=old.dtype, device=old.device), before, obs)


def autoreset_mode(env: VectorEnv) -> AutoresetMode:
    """The environment's declared mode; refuses one that declares none, since guessing would corrupt the targets."""
    mode = env.metadata.get("autoreset_mode")
    if isinstance(mode, AutoresetMode):
        return mode
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise EnvironmentContractError(
            f"{env} declares autoreset_mode={mode!r}; set env.metadata['autoreset_mode'] to a "
            "gymnasium.vector.AutoresetMode, so that episodes' edges are known"
        ) from None
