"""The critic's error, as values that an algorithm holds: (prediction, target, old prediction) → ``[*batch]``.

Errors are in the critic's own units (``value.error``): where returns are normalised, the loss does not depend on the
rewards' unit, and where they are rescaled, it is one of h(V) and h(R).
"""

from typing import Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from clipper.data.values import Bound, value
from clipper.functional.objectives import clipped_squared_error, huber
from clipper.networks.critics import CriticOutput, TwoHotValue

Rows: TypeAlias = Float[Tensor, "*batch"]


@value
class MSE:
    """(V − R)²."""

    def __call__(self, value: CriticOutput, target: Rows, old: Rows) -> Rows:
        return value.error(target).square()


@value
class Huber:
    """(V − R)² near the target, linear farther than ``delta`` from it."""

    delta: Bound = 1.0

    def __call__(self, value: CriticOutput, target: Rows, old: Rows) -> Rows:
        return huber(value.in_units(value.mean), value.in_units(target), self.delta)


@value
class ClippedMSE:
    """PPO's value clip: V may gain nothing by moving farther than ``bound`` from its value before the update."""

    bound: Bound = 0.2

    def __call__(self, value: CriticOutput, target: Rows, old: Rows) -> Rows:
        units = value.in_units
        return clipped_squared_error(units(value.mean), units(old), units(target), self.bound)


@value
class CrossEntropy:
    """Of a critic's distribution over returns: what a two-hot critic is fitted by."""

    def __call__(self, value: TwoHotValue, target: Rows, old: Rows) -> Rows:
        return value.loss(target)


@runtime_checkable
class OwnValueLoss(Protocol):
    """An error of your own: a function will do."""

    def __call__(self, value: CriticOutput, target: Rows, old: Rows) -> Rows:
        """Errors, to be minimised."""
        ...


ValueLoss: TypeAlias = MSE | Huber | ClippedMSE | CrossEntropy | OwnValueLoss
