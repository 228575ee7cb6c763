"""The normal distribution with independent components."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from clipper.data.trees import tree_node

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class DiagonalGaussian:
    """π(a|s) = Πᵢ N(aᵢ; μᵢ, σᵢ²)."""

    mean: Float[Tensor, "*batch A"]
    """μ."""
    log_std: Float[Tensor, "*#batch A"]
    """log σ; it may broadcast over the batch."""

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        """μ + σ ε with ε ~ N(0, 1)."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.log_std.exp() * noise

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        return self.mean

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """−½ Σᵢ ((aᵢ − μᵢ)/σᵢ)² − Σᵢ log σᵢ − (A/2) log 2π."""
        z = (action - self.mean) * (-self.log_std).exp()
        return (-0.5 * z.square() - self.log_std).sum(-1) - HALF_LOG_2PI * self.mean.shape[-1]

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Σᵢ log σᵢ + (A/2)(1 + log 2π)."""
        return (self.log_std.expand_as(self.mean) + (0.5 + HALF_LOG_2PI)).sum(-1)

    def kl(self, other: "DiagonalGaussian") -> Float[Tensor, "*batch"]:
        """Σᵢ log(σ′ᵢ/σᵢ) + (σᵢ² + (μᵢ − μ′ᵢ)²) / (2σ′ᵢ²) − ½."""
        precision = (-2 * other.log_std).exp()
        scaled = 0.5 * precision * ((2 * self.log_std).exp() + (self.mean - other.mean).square())
        return (other.log_std - self.log_std + scaled - 0.5).sum(-1)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.mean, self.log_std)
