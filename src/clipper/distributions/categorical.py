"""The categorical distribution over {0, …, K−1}."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from clipper.data import tree_node


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
        cumulative = self.logits.softmax(-1).cumsum(-1)
        u = torch.rand(
            (*cumulative.shape[:-1], 1), generator=generator, dtype=cumulative.dtype, device=cumulative.device
        )
        return (cumulative <= u * cumulative[..., -1:]).sum(-1)

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
    def params(self) -> tuple[Tensor, ...]:
        return (self.logits,)
