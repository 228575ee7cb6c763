"""Settings that change over a run. A schedule is a number, or a value that maps progress in [0, 1] to a number."""

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from clipper.functional.objectives import adapt_learning_rate


@dataclass(frozen=True, slots=True)
class Linear:
    """From ``start`` at the run's beginning to ``end`` at its end, along a line."""

    start: float
    end: float = 0.0

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * min(max(progress, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class KLAdaptive:
    """A step size that follows the policy's KL instead of the run's progress."""

    kl: float = 0.01
    """KL(π_old ‖ π) that it steers to, in nats."""
    start: float = 1e-3
    """Before the first step."""
    least: float = 1e-5
    """Its lower bound."""
    most: float = 1e-2
    """Its upper bound."""

    def __call__(self, rate: Float[Tensor, ""], kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return adapt_learning_rate(rate, kl, self.kl, self.least, self.most)


Schedule: TypeAlias = float | Linear


def at(schedule: Schedule, progress: float) -> float:
    """The schedule's number at ``progress``, the fraction of ``total_steps`` that is done."""
    return schedule(progress) if isinstance(schedule, Linear) else schedule
