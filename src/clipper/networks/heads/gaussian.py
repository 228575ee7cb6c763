"""Gaussian policies on a Box: plain, and squashed into the bounds by tanh."""

import gymnasium.spaces
import numpy as np
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import value
from clipper.distributions import DiagonalGaussian, SquashedGaussian
from clipper.networks.heads.box import BoxMap, finite_box
from clipper.networks.heads.scales import Scale
from clipper.networks.initialisation import OrthogonalLinear

LARGEST_TANH = 1 - 1e-6
"""What an action at a bound is taken for, where it is to be undone: tanh reaches 1 nowhere."""


@value
class Gaussian:
    """Independent normal components; what lies outside the bounds is clipped on its way into the environment."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "GaussianHead":  # fmt: skip
        return GaussianHead(space, features, generator, gain, std, initial_log_std, rescale)


@value
class TanhGaussian:
    """Tanh of a normal, mapped onto a finite Box: every draw lies within the bounds."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "SquashedHead":  # fmt: skip
        return SquashedHead(space, features, generator, gain, std, initial_log_std)


class GaussianHead(nn.Module):
    """Mean from the features; log σ as ``std`` says."""

    def __init__(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.box = BoxMap(space, rescale)
        size = self.box.size
        self.mean = OrthogonalLinear(features, size, gain, generator)
        self.log_std = std.log_std_layer(features, size, initial_log_std, generator)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean(features), self.log_std(features))

    def to_env(self, action: Float[Tensor, "*batch A"], action_mask: Tree = ()) -> np.ndarray:
        return self.box(action, action_mask)

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Float[Tensor, "*batch A"]:
        return self.box.inverse(action, action_mask)


class SquashedHead(nn.Module):
    """As ``GaussianHead``, before tanh. A sample is kept as it was before tanh, which in floats cannot be undone."""

    def __init__(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, gain: float, std: Scale,
        initial_log_std: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.box = finite_box(space, "tanh_gaussian")
        self.raw = GaussianHead(space, features, generator, gain, std, initial_log_std, rescale=True)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> SquashedGaussian:
        return SquashedGaussian(*self.raw(features).params)

    def bounded(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """The action within [−1, 1] of a sample: a = tanh(u)."""
        return action.tanh()

    def unbounded(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """The inverse of ``bounded``."""
        return action.atanh()

    def to_env(self, action: Float[Tensor, "*batch A"], action_mask: Tree = ()) -> np.ndarray:
        return self.box(action.tanh(), action_mask)

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Float[Tensor, "*batch A"]:
        return self.box.inverse(action, action_mask).clamp(-LARGEST_TANH, LARGEST_TANH).atanh()
