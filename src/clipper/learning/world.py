"""All who learn from one batch together, which here is one process; what counts over all of a batch is asked of it."""

from typing import TypeVar

from clipper.functional.reduce import masked_mean, standardise, standardise_trajectories
from clipper.functional.statistics import explained_variance

Whole = TypeVar("Whole")


def itself(x: Whole) -> Whole:
    """What all have together, where there is but one: x itself."""
    return x


class World:
    """One process, whose rows are all that there are: each number over the batch is the one over them.

    Several processes that share a batch would each hold some of its rows, and put a world of the same methods in this
    one's place, ``learner.world``. It gives all of them the same numbers, those of the whole batch. Through a mean or a
    sum each gets the gradient that its own rows have in it; ``add_up`` makes of these shares the whole one.
    """

    mean = staticmethod(masked_mean)
    """(1/|D|) Σ over the decisions D."""
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
    """The rows of all, one process's after another's: what running statistics take in."""
    agree = staticmethod(itself)
    """A verdict, tensor of bool or of 0 and 1, as true where any process says so: all do the same, or wait for ever."""
    add_up = staticmethod(itself)
    """Of a list of gradients, in place: each process's share becomes the sum of all."""


ALONE = World()
"""One process, for those who have no learner to ask."""
