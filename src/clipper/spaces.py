"""Gymnasium space → action head: from features to a distribution, and from a sample to ``env.step``'s action."""

from dataclasses import dataclass
from functools import singledispatch
from typing import Protocol, runtime_checkable

import gymnasium.spaces
import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from clipper.distributions import Categorical, DiagonalGaussian, Distribution
from clipper.errors import UnsupportedSpaceError
from clipper.initialisation import OrthogonalLinear

LOG_STD_BOUNDS = (-10.0, 2.0)  # σ between 5e-5 and 7.4: neither collapses to 0 nor overflows


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOptions:
    """How the last layer of a policy turns features into a distribution."""

    action_gain: float = 0.01
    """Gain of the last policy layer's orthogonal weights: near 0 starts all actions alike."""
    initial_log_std: float = 0.0
    """log σ at the start, state-independent (Gaussian heads)."""
    rescale_action: bool = True
    """Act on a finite Box in [−1, 1] and map affinely onto its bounds."""


@runtime_checkable
class Head(Protocol):
    """What ``make_head`` returns (an ``nn.Module``)."""

    def __call__(self, features: Tensor) -> Distribution:
        """Features ``[*batch, F]`` → π(·|s)."""
        ...

    def to_env(self, action: Tensor) -> np.ndarray:
        """A sample ``[*batch, *action]`` → what the environment takes, ``[*batch, *space.shape]``."""
        ...


@singledispatch
def make_head(space: gymnasium.Space, features: int, options: HeadOptions, generator: Generator) -> Head:
    """The head for an action space; extend with ``make_head.register``.

    Raises ``UnsupportedSpaceError`` for spaces that have none.
    """
    raise UnsupportedSpaceError(
        f"no action head for {space}: Clipper has heads for Discrete and Box so far; "
        f"register your own with clipper.spaces.make_head.register({type(space).__name__})"
    )


@make_head.register
def _(space: gymnasium.spaces.Discrete, features: int, options: HeadOptions, generator: Generator) -> Head:
    return CategoricalHead(int(space.n), int(space.start), features, options, generator)


@make_head.register
def _(space: gymnasium.spaces.Box, features: int, options: HeadOptions, generator: Generator) -> Head:
    if not np.issubdtype(space.dtype, np.floating):
        raise UnsupportedSpaceError(
            f"no action head for {space}: its numbers are {space.dtype}; use MultiDiscrete, or a float Box that the "
            "environment rounds"
        )
    if space.shape == () or 0 in space.shape:
        raise UnsupportedSpaceError(f"no action head for {space}: it needs at least one dimension of size ≥ 1")
    return GaussianHead(space, features, options, generator)


class CategoricalHead(nn.Module):
    """Logits of K choices."""

    def __init__(self, n: int, start: int, features: int, options: HeadOptions, generator: Generator) -> None:
        super().__init__()
        self.start = start
        self.logits = OrthogonalLinear(features, n, options.action_gain, generator)

    def forward(self, features: Float[Tensor, "*batch F"]) -> Categorical:
        return Categorical(self.logits(features))

    def to_env(self, action: Int[Tensor, "*batch"]) -> np.ndarray:
        return action.cpu().numpy() + self.start


class GaussianHead(nn.Module):
    """Mean from the features; one log σ per component, the same in every state."""

    def __init__(self, space: gymnasium.spaces.Box, features: int, options: HeadOptions, generator: Generator) -> None:
        super().__init__()
        size = int(np.prod(space.shape))
        self.shape, self.dtype, self.low, self.high = space.shape, space.dtype, space.low, space.high
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        rescale = options.rescale_action & bounded
        self.centre = np.where(rescale, (space.high.astype(np.float64) + space.low) / 2, 0.0)
        self.half_width = np.where(rescale, (space.high.astype(np.float64) - space.low) / 2, 1.0)
        self.mean = OrthogonalLinear(features, size, options.action_gain, generator)
        self.log_std = nn.Parameter(torch.full((size,), options.initial_log_std))

    def forward(self, features: Float[Tensor, "*batch F"]) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean(features), self.log_std.clamp(*LOG_STD_BOUNDS))

    def to_env(self, action: Float[Tensor, "*batch A"]) -> np.ndarray:
        raw = action.cpu().numpy().reshape(*action.shape[:-1], *self.shape)
        return np.clip(self.centre + self.half_width * raw, self.low, self.high).astype(self.dtype)
