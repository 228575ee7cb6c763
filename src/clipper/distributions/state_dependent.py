"""Gaussian noise that is a linear function of the state's features (Rückstieß et al. 2008; arXiv:2005.05719)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor

from clipper.data.trees import tree_node
from clipper.distributions.gaussian import DiagonalGaussian

LEAST_VARIANCE = 1e-12  # where all features are 0, so is the noise; its logarithm stays finite


def marginal_log_std(features: Float[Tensor, "*batch F"], log_std: Float[Tensor, "F A"]) -> Float[Tensor, "*batch A"]:
    """The log of σ̂ⱼ(s), where σ̂ⱼ² = Var[Σᵢ θᵢⱼ zᵢ(s)] = Σᵢ σᵢⱼ² zᵢ(s)², for θᵢⱼ ~ N(0, σᵢⱼ²).

    Raffin et al. 2020, arXiv:2005.05719, section 2.
    """
    variance = features.square() @ (2 * log_std).exp()
    return 0.5 * variance.clamp(min=LEAST_VARIANCE).log()


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class StateDependentGaussian:
    """N(μ, σ̂²) of which the next draw is decided: θ was drawn before, and lasts some steps.

    Actions under one θ depend on each other; likelihoods are those of each action alone, as in the paper.
    """

    mean: Float[Tensor, "*batch A"]
    """μ."""
    log_std: Float[Tensor, "*batch A"]
    """log σ̂."""
    noise: Float[Tensor, "*batch A"]
    """θᵀ z(s)."""

    @property
    def marginal(self) -> DiagonalGaussian:
        """Over draws of θ."""
        return DiagonalGaussian(self.mean, self.log_std)

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "*batch A"]:
        """μ + θᵀ z; nothing is drawn."""
        return self.mean + self.noise

    @property
    def mode(self) -> Float[Tensor, "*batch A"]:
        return self.mean

    def log_prob(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch"]:
        """Of the marginal: log N(a; μ, σ̂²)."""
        return self.marginal.log_prob(action)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Of the marginal."""
        return self.marginal.entropy()

    def kl(self, other: "StateDependentGaussian") -> Float[Tensor, "*batch"]:
        """Of the marginals."""
        return self.marginal.kl(other.marginal)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.mean, self.log_std, self.noise)
