"""The Beta distribution with independent components."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import logsigmoid

from clipper.data.trees import tree_node

SMALLEST = 1e-6  # of α − 1 and β − 1 in the mode, which is 0/0 where both are 1


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class IndependentBeta:
    """π(x|s) = Πᵢ xᵢ^{αᵢ−1} (1 − xᵢ)^{βᵢ−1} / B(αᵢ, βᵢ) on (0, 1)ᴬ (Chou et al. 2017, PMLR 70:834).

    Its samples are logits u = log x − log(1 − x): x itself rounds to 0 or 1, where the density is 0. Sums of log Γ are
    taken in float64: they cancel, by five digits at α = 100.
    """

    alpha: Float[Tensor, "*batch A"]
    """α ≥ 1."""
    beta: Float[Tensor, "*batch A"]
    """β ≥ 1."""

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        """Logits log g − log h with g ~ Γ(α), h ~ Γ(β): then g/(g + h) ~ Beta(α, β)."""
        # torch's one sampler of gammas that takes a generator
        gamma = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
        g, h = (gamma(x.detach(), generator) for x in (self.alpha, self.beta))
        return g.log() - h.log()

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        """The logit of x = (α − 1)/(α + β − 2)."""
        return (self.alpha - 1).clamp(min=SMALLEST).log() - (self.beta - 1).clamp(min=SMALLEST).log()

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """Σᵢ (αᵢ − 1) log xᵢ + (βᵢ − 1) log(1 − xᵢ) − log B(αᵢ, βᵢ), the density of x, given its logit."""
        a, b, u = self.alpha.double(), self.beta.double(), action.double()
        total = (a - 1) * logsigmoid(u) + (b - 1) * logsigmoid(-u) - log_beta(a, b)
        return total.sum(-1).to(self.alpha.dtype)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Σᵢ log B(αᵢ, βᵢ) − (αᵢ − 1) ψ(αᵢ) − (βᵢ − 1) ψ(βᵢ) + (αᵢ + βᵢ − 2) ψ(αᵢ + βᵢ)."""
        a, b = self.alpha.double(), self.beta.double()
        psi = torch.digamma
        total = log_beta(a, b) - (a - 1) * psi(a) - (b - 1) * psi(b) + (a + b - 2) * psi(a + b)
        return total.sum(-1).to(self.alpha.dtype)

    def kl(self, other: "IndependentBeta") -> Float[Tensor, "*batch"]:
        """Σᵢ log B(α′, β′)/B(α, β) + (α − α′) ψ(α) + (β − β′) ψ(β) + (α′ − α + β′ − β) ψ(α + β)."""
        a, b, c, d = (x.double() for x in (self.alpha, self.beta, other.alpha, other.beta))
        psi = torch.digamma
        total = log_beta(c, d) - log_beta(a, b) + (a - c) * psi(a) + (b - d) * psi(b) + (c - a + d - b) * psi(a + b)
        return total.sum(-1).to(self.alpha.dtype)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.alpha, self.beta)


def log_beta(a: Float[Tensor, "*shape"], b: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Log of the beta function: log B(a, b) = log Γ(a) + log Γ(b) − log Γ(a + b)."""
    return a.lgamma() + b.lgamma() - (a + b).lgamma()
