"""A deterministic policy on a finite Box, with noise to explore (Lillicrap et al. 2016, arXiv:1509.02971)."""

import math

import gymnasium.spaces
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import Positive, value
from clipper.distributions import ClippedGaussian
from clipper.networks.heads.box import finite_box
from clipper.networks.heads.scales import Scale, only_learned
from clipper.networks.initialisation import OrthogonalLinear


@value
class Deterministic:
    """μ(s) = tanh of the last layer, mapped onto a finite Box; to explore, μ(s) and noise, clipped to the bounds.

    DDPG and TD3 act so. ``predict`` and evaluations take μ(s) itself.
    """

    noise: Positive = 0.1
    """σ of the noise, where a component's bounds are ±1: TD3's (arXiv:1802.09477, section 6.1)."""
    squash: bool = True
    """Off: μ(s) is the last layer itself, clipped where it is executed, for algorithms that invert its gradient
    (arXiv:1511.04143)."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "DeterministicHead":  # fmt: skip
        only_learned(std, "a deterministic policy has the σ of its noise")
        return DeterministicHead(space, features, generator, gain, self.noise, self.squash)


class DeterministicHead(nn.Module):
    """A linear layer, or tanh of it, with noise of a fixed σ about it."""

    def __init__(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, gain: float, noise: float, squash: bool
    ) -> None:
        super().__init__()
        self.box, self.log_noise, self.squash = finite_box(space, "deterministic"), math.log(noise), squash
        self.raw = OrthogonalLinear(features, self.box.size, gain, generator)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> ClippedGaussian:
        mean = self.raw(features).tanh() if self.squash else self.raw(features)
        return ClippedGaussian(mean, mean.new_full((self.box.size,), self.log_noise))

    def bounded(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """A sample, within [−1, 1] as it is."""
        return action

    def unbounded(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """The inverse of ``bounded``."""
        return action

    def to_env(self, action: Float[Tensor, "*batch A"], action_mask: Tree = ()) -> Tree:
        return self.box(action, action_mask)
