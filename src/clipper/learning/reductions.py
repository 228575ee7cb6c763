"""From losses of tokens to one number, as values that an algorithm holds: denominators Dₘ of Σₘ ℓₘ / Dₘ.

Counts are over the whole minibatch of all processes, whatever parts it is computed in.
"""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from clipper.data.values import Count, value
from clipper.functional.sequences import constant, lengths, sequence_mean, sequence_sum, token_mean
from clipper.learning.world import World


def responses(column: Int[Tensor, " M"], columns: int, world: World) -> Int[Tensor, ""]:
    """N, the responses that have tokens."""
    return world.sum((lengths(column, columns) > 0).sum())


@value
class TokenMean:
    """The mean over all tokens (DAPO, arXiv:2503.14476)."""

    def __call__(self, column: Int[Tensor, " M"], columns: int, world: World) -> Int[Tensor, " M"]:
        return token_mean(column, world.sum(lengths(column, columns).sum()))


@value
class SequenceMean:
    """The mean over responses of the mean over their tokens (GRPO, arXiv:2402.03300): short ones count more a token."""

    def __call__(self, column: Int[Tensor, " M"], columns: int, world: World) -> Int[Tensor, " M"]:
        return sequence_mean(column, columns, responses(column, columns, world))


@value
class ConstantLength:
    """The mean over responses of the sum over their tokens, divided by a fixed length (Dr. GRPO, arXiv:2503.20783)."""

    longest: Count
    """The longest that a response may be."""

    def __call__(self, column: Int[Tensor, " M"], columns: int, world: World) -> Int[Tensor, " M"]:
        return constant(column, responses(column, columns, world), self.longest)


@value
class SequenceSum:
    """The mean over responses of the sum over their tokens: REINFORCE's derivation (RLOO, arXiv:2402.14740)."""

    def __call__(self, column: Int[Tensor, " M"], columns: int, world: World) -> Int[Tensor, " M"]:
        return sequence_sum(column, responses(column, columns, world))


@runtime_checkable
class OwnReduction(Protocol):
    """A reduction of your own: a function will do."""

    def __call__(self, column: Int[Tensor, " M"], columns: int, world: World) -> Tensor:
        """Dₘ ``[M]``; ``column`` is which of ``columns`` responses each token belongs to."""
        ...


Reduction: TypeAlias = TokenMean | SequenceMean | ConstantLength | SequenceSum | OwnReduction
