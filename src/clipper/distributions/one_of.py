"""A choice among branches, and arguments for the chosen one: the parameterised action space.

Masson et al. 2016, arXiv:1509.01644, section 2.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from clipper.data.trees import Tree, across, each, tree_node
from clipper.distributions.categorical import Categorical
from clipper.distributions.parts import entropies, joint_entropy, joint_kl, joint_log_prob, kls, log_probs
from clipper.distributions.protocol import Distribution


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """π(k, x|s) = π(k|s) πₖ(xₖ|s): log π(a) = log π(k) + log πₖ(xₖ). An action is ``(k, (x₀, x₁, …))``.

    Arguments of branches that were not chosen are carried along, so that shapes stay fixed, but count for nothing,
    whatever they hold: they are replaced before any density is computed.
    """

    choice: Categorical
    """π(k|s)."""
    branches: tuple[Distribution, ...]
    """πₖ(·|s), the arguments of each branch."""

    def sample(self, generator: Generator | None = None) -> tuple[Tensor, tuple[Tree, ...]]:
        return self.choice.sample(generator), across(lambda branch: branch.sample(generator), self.branches)

    @property
    def mode(self) -> tuple[Tensor, tuple[Tree, ...]]:
        """The likeliest choice, and the mode of each branch."""
        return self.choice.mode, across(lambda branch: branch.mode, self.branches)

    def log_probs(self, action: tuple[Tensor, tuple[Tree, ...]]) -> dict[str, Tree]:
        """Log π(k), and log πₖ(xₖ) for the chosen branch, 0 for the others."""
        choice, arguments = action
        parts: dict[str, Tree] = {"choice": self.choice.log_prob(choice)}
        for k, (branch, given) in enumerate(zip(self.branches, arguments, strict=True)):
            used = choice == k
            safe = each(lambda x, mode, used=used: torch.where(wider(used, x), x, mode.detach()), given, branch.mode)
            parts[str(k)] = each(lambda p, used=used: torch.where(used, p, 0), log_probs(branch, safe))
        return parts

    def entropies(self) -> dict[str, Tree]:
        """H(π) and π(k) H(πₖ)."""
        return self.expected(self.choice.entropy(), across(entropies, self.branches))

    def kls(self, other: "OneOf") -> dict[str, Tree]:
        """KL(π ‖ π′) of the choice, and π(k) KL(πₖ ‖ π′ₖ)."""
        return self.expected(self.choice.kl(other.choice), across(kls, self.branches, other.branches))

    def expected(self, choice: Tensor, branches: tuple[Tree, ...]) -> dict[str, Tree]:
        """The choice's share, and the branches' weighted by π(k)."""
        p = self.choice.logits.softmax(-1).unbind(-1)
        return {"choice": choice} | {str(k): each(lambda x, k=k: p[k] * x, branch) for k, branch in enumerate(branches)}

    @property
    def params(self) -> tuple[Tree, ...]:
        return self.choice, self.branches

    log_prob, entropy, kl = joint_log_prob, joint_entropy, joint_kl


def wider(condition: Tensor, like: Tensor) -> Tensor:
    """``[*batch]`` with dimensions of size 1 behind, as many as ``like`` ``[*batch, *event]`` has."""
    return condition.reshape(*condition.shape, *(1,) * (like.ndim - condition.ndim))
