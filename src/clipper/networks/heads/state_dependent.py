"""Generalised state-dependent exploration, gSDE (Raffin et al. 2020, arXiv:2005.05719, section 3).

a = μ(s) + θᵀ z(s) with z the actor's features and θᵢⱼ ~ N(0, σᵢⱼ²) drawn anew every few steps only: near-by states get
near-by noise, so that actions are smooth, while a single action is Gaussian with a known variance.
"""

import math

import gymnasium.spaces
import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.data.values import Count, value
from clipper.distributions import DiagonalGaussian, StateDependentGaussian
from clipper.distributions.state_dependent import marginal_log_std
from clipper.networks.heads.box import BoxMap
from clipper.networks.heads.scales import LOG_STD_BOUNDS, Scale, only_learned
from clipper.networks.initialisation import OrthogonalLinear


@value
class GSDE:
    """Normal components whose noise is a linear function of the features, the same one for some steps."""

    every: Count = 8
    """Steps after which the noise is drawn anew; it always is where an episode begins."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "StateDependentHead":  # fmt: skip
        only_learned(std, "gsde learns a σ of its own")
        return StateDependentHead(self.every, space, features, generator, gain, initial_log_std, rescale)


class StateDependentHead(nn.Module):
    """Mean and noise from the features. Memory is (W ``[N, F, A]`` of standard normals, its age ``[N]``): θ = σ ∘ W.

    The variance is not differentiated with respect to the features, as in the authors' code.
    """

    def __init__(
        self, every: int, space: gymnasium.spaces.Box, features: int, generator: Generator, gain: float,
        initial_log_std: float, rescale: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.every, self.box = every, BoxMap(space, rescale)
        self.mean = OrthogonalLinear(features, self.box.size, gain, generator)
        # Over √F, so that features of size 1 give the σ that was asked for, however many there are.
        start = initial_log_std - 0.5 * math.log(features)
        self.log_std = nn.Parameter(torch.full((features, self.box.size), start))

    def forward(
        self, features: Float[Tensor, "*batch F"], *memory: Tensor, action_mask: Tree = ()
    ) -> DiagonalGaussian | StateDependentGaussian:
        """Without memory, as in a loss, the noise's distribution is all there is; with it, the noise is known."""
        mean, z = self.mean(features), features.detach()
        log_std = self.log_std.clamp(*LOG_STD_BOUNDS)
        marginal = marginal_log_std(z, log_std)
        if not memory:
            return DiagonalGaussian(mean, marginal)
        noise = torch.einsum("nf,nfa->na", z, log_std.exp() * memory[0])
        return StateDependentGaussian(mean, marginal, noise)

    def renew(self, memory: tuple[Tensor, ...], begins: np.ndarray, generator: Generator) -> tuple[Tensor, ...]:
        """The memory for the next step: new noise where it is old, or where an episode begins (``[N]``)."""
        shape, device = (len(begins), *self.log_std.shape), self.log_std.device
        if not memory:
            memory = self.log_std.new_zeros(shape), torch.full(shape[:1], self.every, device=device)
        noise, age = memory
        due = (age >= self.every) | torch.from_numpy(begins).to(device)
        if due.any():
            fresh = torch.randn(shape, generator=generator, dtype=noise.dtype, device=device)
            noise = fresh.where(due[:, None, None], noise)
        return noise, age.masked_fill(due, 0) + 1

    def to_env(self, action: Float[Tensor, "*batch A"], action_mask: Tree = ()) -> np.ndarray:
        return self.box(action, action_mask)

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Float[Tensor, "*batch A"]:
        return self.box.inverse(action, action_mask)
