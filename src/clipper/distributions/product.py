"""Parts that are drawn independently of each other, given the state."""

from dataclasses import dataclass

from torch import Generator

from clipper.data.trees import Tree, across, tree_node
from clipper.distributions.parts import entropies, joint_entropy, joint_kl, joint_log_prob, kls, log_probs
from clipper.distributions.protocol import Distribution


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """π(a|s) = Πᵢ πᵢ(aᵢ|s)."""

    parts: dict[str, Distribution] | tuple[Distribution, ...]
    """πᵢ, by the names or in the order of the action's parts."""

    def sample(self, generator: Generator | None = None) -> Tree:
        return across(lambda part: part.sample(generator), self.parts)

    @property
    def mode(self) -> Tree:
        return across(lambda part: part.mode, self.parts)

    def log_probs(self, action: Tree) -> Tree:
        return across(log_probs, self.parts, action)

    def entropies(self) -> Tree:
        return across(entropies, self.parts)

    def kls(self, other: "Product") -> Tree:
        return across(kls, self.parts, other.parts)

    @property
    def params(self) -> tuple[Tree, ...]:
        return (self.parts,)

    log_prob, entropy, kl = joint_log_prob, joint_entropy, joint_kl
