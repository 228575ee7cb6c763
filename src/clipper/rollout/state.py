"""Where collecting stands between two segments, and how it starts."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from torch import Generator, Tensor

from clipper.data.trees import Tree, each
from clipper.environments.checks import (
    Promise,
    checked_reset,
)
from clipper.environments.mask_sources import Source, mask_source, read_masks
from clipper.errors import EnvironmentContractError


class Episode(NamedTuple):
    """A finished episode, in the environment's own rewards."""

    env: int
    total: float
    length: int


@dataclass(slots=True)
class CollectState:
    """Where collecting stands between two segments."""

    obs: Tree
    """sₜ of each environment, ``[N, ...]`` or a tree of such: ``last_obs`` of the segment before."""
    done: np.ndarray
    """``[N]``: the next row is no decision (next-step mode)."""
    generator: Generator
    """Draws the actions."""
    mode: AutoresetMode
    """When the environment resets what has ended."""
    memory: tuple[Tensor, ...] = ()
    """What the policy carries from step to step, each ``[N, ...]``; empty at first, and where it carries nothing.

    It is emptied as soon as an episode's last row is behind."""
    action_mask: Tree = ()
    """What is legal for the next actions; empty where everything always is."""
    mask_source: Source | None = None
    """Where the masks come from."""
    steps: int = 0
    """Decisions collected since the start."""
    running_total: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """Undiscounted return of each unfinished episode so far, ``[N]``."""
    running_length: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Decisions in each unfinished episode so far, ``[N]``."""
    episodes: list[Episode] = field(default_factory=list)
    """Episodes that finished in the last segment."""
    fresh: bool = True
    """No step has been taken since the reset."""
    stale: bool = False
    """The next segment begins with a reset, since this one held whole episodes and padding."""
    promise: Promise | None = None
    """What the environment's arrays are held to; made where it is needed."""


def start(env: VectorEnv, seed: int, device: torch.device | str = "cpu", mask_key: str = "action_mask") -> CollectState:
    """Reset all environments, environment i with ``seed + i`` (Gymnasium's custom), and seed the actions' generator.

    ``mask_key``: the part of a Dict observation that is the action mask, where there is one.
    """
    mode = autoreset_mode(env)
    # A number, since natively vectorised environments take no list.
    promise = Promise(env)
    obs, info = checked_reset(promise, 0, seed=seed)
    n = env.num_envs
    source, every = mask_source(env, obs, info, mask_key), np.ones(env.num_envs, dtype=bool)
    return CollectState(
        obs=observation_tensor(obs, device),
        done=np.zeros(n, dtype=bool),
        generator=Generator(device).manual_seed(seed),
        mode=mode,
        mask_source=source,
        action_mask=() if source is None else read_masks(source, env, obs, info, every, 0, device),
        running_total=np.zeros(n),
        running_length=np.zeros(n, dtype=np.int64),
        promise=promise,
    )


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
            "gymnasium.vector.AutoresetMode, so that episodes' edges can be told"
        ) from None
