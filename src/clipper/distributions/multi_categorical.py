"""Several components of one kind, each drawn for itself."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor

from clipper.data.trees import tree_node
from clipper.distributions.categorical import Categorical


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class MultiCategorical:
    """π(a|s) = Πᵢ πᵢ(aᵢ|s), where aᵢ is one of K choices; what has fewer choices is padded by impossible ones."""

    logits: Float[Tensor, "*batch D K"]
    """Of each of the D components."""

    @property
    def components(self) -> Categorical:
        """The D components as a batch."""
        return Categorical(self.logits)

    def sample(self, generator: Generator | None = None) -> Tensor:
        """Each component by itself, ``[*batch, D]``."""
        return self.components.sample(generator)

    @property
    def mode(self) -> Tensor:
        return self.components.mode

    def log_prob(self, action: Tensor) -> Float[Tensor, "*batch"]:
        """Σᵢ log πᵢ(aᵢ|s)."""
        return self.components.log_prob(action).sum(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """Σᵢ H(πᵢ)."""
        return self.components.entropy().sum(-1)

    def kl(self, other: "MultiCategorical") -> Float[Tensor, "*batch"]:
        """Σᵢ KL(πᵢ ‖ π′ᵢ)."""
        return self.components.kl(other.components).sum(-1)

    @property
    def probs(self) -> Float[Tensor, "*batch D K"]:
        """πᵢ(k|s) of each component's k; 0 of those that it has not."""
        return self.logits.softmax(-1)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.logits,)
