"""The normal distribution clipped to [−1, 1]: what falls outside lies on the bound."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.special import log_ndtr

from clipper.data.trees import tree_node
from clipper.distributions.gaussian import HALF_LOG_2PI


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class ClippedGaussian:
    """a = clip(μ + σ ε, −1, 1) with ε ~ N(0, 1): a density within, and a probability on each bound.

    It is how DDPG and TD3 explore about μ (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1).
    """

    mean: Float[Tensor, "*batch A"]
    """μ."""
    log_std: Float[Tensor, "*#batch A"]
    """log σ; it may broadcast over the batch."""

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        """clip(μ + σ ε, −1, 1)."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return (self.mean + self.log_std.exp() * noise).clamp(-1, 1)

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        """μ, on a bound where it lies beyond."""
        return self.mean.clamp(-1, 1)

    def standard(self, bound: float) -> Float[Tensor, "*batch A"]:
        """(bound − μ) / σ."""
        return (bound - self.mean) * (-self.log_std).exp()

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """Σᵢ log N(aᵢ; μᵢ, σᵢ²) within the bounds; on one, the log of the probability Φ that lies beyond it."""
        z = (action - self.mean) * (-self.log_std).exp()
        within = -0.5 * z.square() - self.log_std - HALF_LOG_2PI
        below, above = log_ndtr(self.standard(-1)), log_ndtr(-self.standard(1))
        return torch.where(action <= -1, below, torch.where(action >= 1, above, within)).sum(-1)

    def moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """E[1], E[z] and E[z²] of z = (a − μ)/σ where a lies within the bounds: a truncated normal's."""
        low, high = self.standard(-1), self.standard(1)
        at_low, at_high = ((-0.5 * x.square()).exp() / math.sqrt(2 * math.pi) for x in (low, high))
        inside = 1 - log_ndtr(low).exp() - log_ndtr(-high).exp()
        return inside, at_low - at_high, inside + low * at_low - high * at_high

    def entropy(self) -> Float[Tensor, "*batch"]:
        """−Σ p log p of the two bounds, and −∫ p log p between them."""
        inside, _, square = self.moments()
        bounds = [log_ndtr(x) for x in (self.standard(-1), -self.standard(1))]
        within = inside * (self.log_std + HALF_LOG_2PI) + 0.5 * square
        return (within - sum(x.exp() * x for x in bounds)).sum(-1)

    def kl(self, other: "ClippedGaussian") -> Float[Tensor, "*batch"]:
        """Σ p log(p/q) of the two bounds, and ∫ p log(p/q) between them."""
        inside, first, square = self.moments()
        scale = (self.log_std - other.log_std).exp()
        shift = (self.mean - other.mean) * (-other.log_std).exp()  # their z is scale · ours + shift
        theirs = scale.square() * square + 2 * scale * shift * first + shift.square() * inside
        within = inside * (other.log_std - self.log_std) + 0.5 * (theirs - square)
        below = log_ndtr(self.standard(-1)), log_ndtr(other.standard(-1))
        above = log_ndtr(-self.standard(1)), log_ndtr(-other.standard(1))
        return (within + sum(p.exp() * (p - q) for p, q in (below, above))).sum(-1)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.mean, self.log_std)
