"""All who learn from one batch together, which here is one process; what counts over all of a batch is asked of it."""

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from clipper.data.steps import Targets
from clipper.functional.reduce import masked_mean, standardise, standardise_trajectories
from clipper.functional.statistics import explained_variance

Whole = TypeVar("Whole")


def itself(x: Whole) -> Whole:
    """What all have together, where there is but one: x itself."""
    return x


@runtime_checkable
class Dealt(Protocol):
    """What a shuffle deals: decisions of all, or with a memory columns, of which some are one's own."""

    def __len__(self) -> int: ...

    def own(self, index: Int[Tensor, " B"]) -> Int[Tensor, " b"]:
        """Those of some units that are one's own, as places among these."""
        ...

    def known(self, batch: Targets, index: Int[Tensor, " B"]) -> Targets:
        """One's own part of the minibatch of these units, of whose whole something is known from now on."""
        ...


@runtime_checkable
class Others(Protocol):
    """What there is to ask only where there are others."""

    def deal(self, targets: Targets, own: Int[Tensor, " K"]) -> Dealt:
        """The decisions of all, or with a memory the columns, of which K are one's own."""
        ...

    def spread(
        self, x: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Mean and population deviation over the decisions of all."""
        ...


Shares: TypeAlias = tuple[list[Tensor], Tensor, dict[str, Tensor]]
"""Gradients, a loss, and what was watched."""


class World:
    """One process, whose rows are all that there are: each number over the batch is the one over them.

    Several processes that share a batch each hold some of its rows, and put a world of the same methods in this one's
    place, ``learner.world`` (``clipper.ranks.shared_batch``). It gives all of them the same numbers, those of the whole
    batch. Through a mean or a sum each gets the gradient that its own rows have in it; ``add_up`` makes of these shares
    the whole one. Means that are only watched need no message of their own: they may be shares that ``add_up`` sums.
    """

    mean = staticmethod(masked_mean)
    """(1/|D|) Σ over the decisions D."""
    share = staticmethod(masked_mean)
    """(1/|D|) Σ over one's own decisions of D: a share of ``mean``, whose sum over processes it is."""
    standardise = staticmethod(standardise)
    """(x − mean) / (std + ε) over the decisions."""
    standardise_trajectories = staticmethod(standardise_trajectories)
    """The same over trajectories, none of which is shared."""
    explained_variance = staticmethod(explained_variance)
    """1 − Var(target − prediction) / Var(target) over the decisions."""
    sum = staticmethod(itself)
    """Σ over processes of a tensor that each has."""
    largest = staticmethod(itself)
    """The largest of a number that each has."""
    gather = staticmethod(itself)
    """The rows of all, one process's after another's."""
    samples = staticmethod(itself)
    """The rows that running statistics take in: one's own, where they merge the moments of all."""
    pooled = staticmethod(itself)
    """Moments of the samples of all, of those of one's own."""
    agree = staticmethod(itself)
    """A verdict, tensor of bool or of 0 and 1, as true where any process says so: all do the same, or wait for ever."""
    others: Others | None = None
    """Who deals minibatches of the decisions of all; None where one's own are all."""
    add_up: Callable[[Shares], Shares] = staticmethod(itself)
    """Gradients become the sum over all, in place; a loss and what was watched, too. Of what ends in ``_max`` it is the
    largest, and what is of a whole minibatch stays."""
    whole = staticmethod(itself)
    """What was watched, of shares; as ``add_up`` does it."""


ALONE = World()
"""One process, for those who have no learner to ask."""
