"""What distributions over trees have in common: each quantity comes by part, as a tree; the joint one is its sum."""

from typing import Protocol, runtime_checkable

from torch import Tensor

from clipper.data.trees import T, Tree, total
from clipper.distributions.protocol import Distribution


@runtime_checkable
class Composite(Protocol):
    """What a distribution over several parts of an action has beside a ``Distribution``'s."""

    def log_probs(self, action: Tree) -> Tree:
        """Of each part, given those before it; 0 for a part that the action does not use."""
        ...

    def entropies(self) -> Tree:
        """Of each part, in expectation over those before it."""
        ...

    def kls(self: T, other: T) -> Tree:
        """KL of each part, in expectation over those before it."""
        ...


def log_probs(dist: Distribution, action: Tree) -> Tree:
    """Log π(a|s) by part; a lone tensor ``[*batch]`` where there is but one."""
    return dist.log_probs(action) if isinstance(dist, Composite) else dist.log_prob(action)


def entropies(dist: Distribution) -> Tree:
    """H(π) by part."""
    return dist.entropies() if isinstance(dist, Composite) else dist.entropy()


def kls(dist: Distribution, other: Distribution) -> Tree:
    """KL(π ‖ π′) by part."""
    return dist.kls(other) if isinstance(dist, Composite) else dist.kl(other)  # pyright: ignore[reportArgumentType] (of one kind)


def joint_log_prob(dist: Composite, action: Tree) -> Tensor:
    """Log π(a|s) = Σ of its parts, by the chain rule."""
    return total(dist.log_probs(action))


def joint_entropy(dist: Composite) -> Tensor:
    """H(π) = Σ of its parts, by the chain rule."""
    return total(dist.entropies())


def joint_kl(dist: Composite, other: Composite) -> Tensor:
    """KL(π ‖ π′) = Σ of its parts, by the chain rule."""
    return total(dist.kls(other))
