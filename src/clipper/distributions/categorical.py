"""The categorical distribution over {0, …, K−1}."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from clipper.data.trees import tree_node


@tree_node
@dataclass(frozen=True, slots=True, eq=False)
class Categorical:
    """π(k|s) = exp(lₖ) / Σⱼ exp(lⱼ)."""

    logits: Float[Tensor, "*batch K"]
    """l, up to a constant."""

    def sample(self, generator: Generator | None = None) -> Int[Tensor, "*batch"]:
        """Inverse-transform sampling: the first k whose cumulative probability exceeds u ~ U[0, 1).

        u is scaled by the total, which float rounding may leave below 1, so a category of probability 0 is never drawn.
        """
        p = self.logits.softmax(-1)
        cumulative = p.cumsum(-1)
        u = torch.rand(
            (*cumulative.shape[:-1], 1), generator=generator, dtype=cumulative.dtype, device=cumulative.device
        )
        drawn = (cumulative <= u * cumulative[..., -1:]).sum(-1)
        # On the CPU sums run in order, so the first that exceeds the threshold has grown. Accelerators add in trees.
        return drawn if drawn.device.type == "cpu" else possible(drawn, p)

    @property
    def mode(self) -> Int[Tensor, "*batch"]:
        return self.logits.argmax(-1)

    def log_prob(self, action: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        return self.logits.log_softmax(-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """−Σₖ π(k) log π(k)."""
        log_p = self.logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def kl(self, other: "Categorical") -> Float[Tensor, "*batch"]:
        """Σₖ π(k) (log π(k) − log π′(k))."""
        log_p = self.logits.log_softmax(-1)
        return (log_p.exp() * (log_p - other.logits.log_softmax(-1))).sum(-1)

    @property
    def probs(self) -> Float[Tensor, "*batch K"]:
        """π(k|s) of each k."""
        return self.logits.softmax(-1)

    @property
    def params(self) -> tuple[Tensor, ...]:
        return (self.logits,)


def possible(drawn: Int[Tensor, "*batch"], p: Float[Tensor, "*batch K"]) -> Int[Tensor, "*batch"]:
    """What was drawn, or the likeliest choice where that has probability 0: sums in trees may grow there, by rounding.

    That is rare, of the order of float32's rounding, so which choice stands in is of no account.
    """
    return drawn.where(p.gather(-1, drawn.unsqueeze(-1)).squeeze(-1) > 0, p.argmax(-1))
