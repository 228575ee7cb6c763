"""The normal distribution squashed by tanh, with the change of variables exact."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import softplus

from clipper.data.trees import tree_node
from clipper.distributions.gaussian import DiagonalGaussian

NODES = 33  # of the trapezium rule for σ up to 0.8, where its error is below 1e-9
REACH = 8.0  # standard deviations on either side that they cover
POINTS, WEIGHTS = np.polynomial.laguerre.laggauss(24)  # for σ above 0.8, where the error is below 1e-8
LAGUERRE = torch.from_numpy(np.stack([POINTS / 2, WEIGHTS * np.exp(POINTS) * np.log1p(np.exp(-POINTS)) / 2]))


def log_slope_of_tanh(u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The log of d tanh(u)/du: log(1 − tanh²u) = 2 (log 2 − u − softplus(−2u)).

    The right side (an identity) stays finite, with a finite slope, where tanh²u rounds to 1.
    """
    return 2 * (math.log(2) - u - softplus(-2 * u))


def narrow(mean: Float[Tensor, "*batch A"], std: Float[Tensor, "*#batch A"]) -> Float[Tensor, "*batch A"]:
    """E[log(1 − tanh²u)] for u ~ N(μ, σ²), σ up to 0.8, by the trapezium rule on nodes μ + σ x."""
    nodes = torch.linspace(-REACH, REACH, NODES, dtype=mean.dtype, device=mean.device)
    weights = (-nodes.square() / 2).softmax(0)
    return log_slope_of_tanh(mean.unsqueeze(-1) + std.unsqueeze(-1) * nodes) @ weights


def wide(mean: Float[Tensor, "*batch A"], std: Float[Tensor, "*#batch A"]) -> Float[Tensor, "*batch A"]:
    """The same for σ from 0.8 on: log(1 − tanh²u) = 2 (log 2 − |u| − log(1 + e^{−2|u|})).

    E|u| = σ √(2/π) e^{−μ²/2σ²} + μ erf(μ/σ√2), the folded normal's mean. The rest, ∫₀^∞ log(1 + e^{−2u}) (N(u; μ, σ²) +
    N(−u; μ, σ²)) du, falls like e^{−2u} and is by Gauss and Laguerre's rule.
    """
    nodes, share = LAGUERRE.to(mean)
    z, m, s = mean / std, mean.unsqueeze(-1), std.unsqueeze(-1)
    folded = std * math.sqrt(2 / math.pi) * (-z.square() / 2).exp() + mean * torch.erf(z / math.sqrt(2))
    density = (-((nodes - m) / s).square() / 2).exp() + (-((nodes + m) / s).square() / 2).exp()
    return 2 * (math.log(2) - folded - (density @ share) / (std * math.sqrt(2 * math.pi)))


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class SquashedGaussian:
    """The distribution of a = tanh(u) ∈ (−1, 1)ᴬ with u ~ N(μ, σ²) (Haarnoja et al. 2018, arXiv:1801.01290, app. C).

    Its samples are u: a = tanh(u) rounds to ±1, from where no likelihood could be told.
    """

    mean: Float[Tensor, "*batch A"]
    """μ, before tanh."""
    log_std: Float[Tensor, "*#batch A"]
    """log σ, before tanh; it may broadcast over the batch."""

    @property
    def raw(self) -> DiagonalGaussian:
        """The distribution of u."""
        return DiagonalGaussian(self.mean, self.log_std)

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        """Draws u = μ + σ ε."""
        return self.raw.sample(generator)

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        """μ: tanh(μ) is the median of a. The density's peak has no closed form, and may lie at an edge."""
        return self.mean

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """The density of a, given u: log π(a|s) = log N(u; μ, σ²) − Σᵢ log(1 − tanh²uᵢ)."""
        return self.raw.log_prob(action) - log_slope_of_tanh(action).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """H(N(μ, σ²)) + Σᵢ E[log(1 − tanh²uᵢ)], the expectation by quadrature: there is no closed form.

        A narrow normal is a smooth weight on nodes that follow it; a wide one is smooth where the slope of tanh bends.
        """
        std = self.log_std.exp()
        expected = torch.where(std <= 0.8, narrow(self.mean, std), wide(self.mean, std.clamp(min=0.8)))
        return self.raw.entropy() + expected.sum(-1)

    def kl(self, other: "SquashedGaussian") -> Float[Tensor, "*batch"]:
        """KL of the normals: a map that can be undone changes no divergence."""
        return self.raw.kl(other.raw)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.mean, self.log_std)
