"""Gymnasium space → action head: from features to a distribution, and from a sample to ``env.step``'s action."""

from functools import singledispatch
from typing import Protocol, runtime_checkable

import gymnasium.spaces
import numpy as np
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from clipper.distributions import Categorical, Distribution
from clipper.errors import UnsupportedSpaceError
from clipper.heads import GaussianHead, HeadOptions
from clipper.initialisation import OrthogonalLinear


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
