"""The critic's error, as values that an algorithm holds: (prediction, target, old prediction) → ``[*batch]``.

Errors are in units of ``value.scale``: where returns are normalised, the loss does not depend on the rewards' unit.
"""

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from clipper.functional.objectives import clipped_squared_error, huber
from clipper.networks.critics import CriticOutput, TwoHotValue


@dataclass(frozen=True, slots=True)
class MSE:
    """(V − R)²."""

    def __call__(
        self, value: CriticOutput, target: Float[Tensor, "*batch"], old: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return ((value.mean - target) / value.scale).square()


@dataclass(frozen=True, slots=True)
class Huber:
    """(V − R)² near the target, linear farther than ``delta`` from it."""

    delta: float = 1.0

    def __call__(
        self, value: CriticOutput, target: Float[Tensor, "*batch"], old: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return huber(value.mean / value.scale, target / value.scale, self.delta)


@dataclass(frozen=True, slots=True)
class ClippedMSE:
    """PPO's value clip: V may gain nothing by moving farther than ``bound`` from its value before the update."""

    bound: float = 0.2

    def __call__(
        self, value: CriticOutput, target: Float[Tensor, "*batch"], old: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        scale = value.scale
        return clipped_squared_error(value.mean / scale, old / scale, target / scale, self.bound)


@dataclass(frozen=True, slots=True)
class CrossEntropy:
    """Of a critic's distribution over returns: what a two-hot critic is fitted by."""

    def __call__(
        self, value: TwoHotValue, target: Float[Tensor, "*batch"], old: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        return value.loss(target)


ValueLoss: TypeAlias = MSE | Huber | ClippedMSE | CrossEntropy
