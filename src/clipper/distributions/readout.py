"""The categorical distribution over a vocabulary, kept as what its logits are computed from."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.utils.checkpoint import checkpoint

from clipper.data.trees import Tree, tree_node
from clipper.distributions.categorical import Categorical


@functools.partial(tree_node, static=("numbers",))
@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """π(v|s) = softmax(W h + b)ᵥ for hidden states h: the logits ``[*batch, V]`` never exist all at once.

    Every method goes through the states chunk by chunk; backpropagation computes a chunk's logits again. The gradients
    are exact, and memory grows with one chunk, not with the number of states times V.
    """

    hidden: Float[Tensor, "*batch d"]
    """h; a sampling temperature divides it, and b."""
    weight: Float[Tensor, "V d"]
    """W."""
    bias: Tree = ()
    """b ``[V]``; () where there is none. −1e9 forbids a token."""
    numbers: int = 1 << 22
    """How many logits exist at a time, at most; one state's at least."""

    def sample(self, generator: Generator | None = None) -> Int[Tensor, "*batch"]:
        """Inverse-transform sampling, chunk by chunk."""
        return self.by_chunks(lambda dist, *_: dist.sample(generator))

    @property
    def mode(self) -> Int[Tensor, "*batch"]:
        return self.by_chunks(lambda dist, *_: dist.mode)

    def log_prob(self, action: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """W h + b at the action, minus log Σ exp."""
        return self.by_chunks(lambda dist, chosen, *_: dist.log_prob(chosen), action)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """−Σᵥ π(v) log π(v)."""
        return self.by_chunks(lambda dist, *_: dist.entropy())

    def kl(self, other: "Readout") -> Float[Tensor, "*batch"]:
        """Σᵥ π(v) (log π(v) − log π′(v))."""

        def divergence(dist: Categorical, hidden: Tensor) -> Tensor:
            return dist.kl(Categorical(logits(hidden, other.weight, other.bias)))

        return self.by_chunks(divergence, other.hidden)

    @property
    def params(self) -> tuple[Tree, ...]:
        return self.hidden, self.weight, self.bias

    def by_chunks(self, f: Callable[..., Tensor], *along: Tensor) -> Tensor:
        """``f`` of the categorical distribution of each chunk of states, and of these states' rows of others."""
        batch = self.hidden.shape[:-1]
        rows = max(1, self.numbers // len(self.weight))
        states = [x.reshape(-1, *x.shape[len(batch) :]) for x in (self.hidden, *along)]

        def of_chunk(hidden: Tensor, *rest: Tensor) -> Tensor:
            return f(Categorical(logits(hidden, self.weight, self.bias)), *rest)

        if len(states[0]) <= rows:  # all logits are as few as a chunk's, and need not be computed twice
            return of_chunk(*states).reshape(batch)
        chunks = zip(*(x.split(rows) for x in states), strict=True)
        parts = [checkpoint(of_chunk, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
        return torch.cat(parts).reshape(batch)


def logits(hidden: Float[Tensor, "*batch d"], weight: Float[Tensor, "V d"], bias: Tree) -> Float[Tensor, "*batch V"]:
    """W h + b."""
    product = hidden @ weight.T
    return product + bias if isinstance(bias, Tensor) else product
