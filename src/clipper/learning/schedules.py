"""Settings that change over a run. A schedule is a number, or a value that maps progress in [0, 1] to a number."""

from typing import Annotated, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from clipper.data.values import NonNegative, Positive, Range, value
from clipper.errors import ConfigError
from clipper.functional.objectives import adapt_learning_rate


@value
class Linear:
    """From ``start`` at the run's beginning to ``end`` at its end, along a line."""

    start: float
    end: float = 0.0

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * min(max(progress, 0.0), 1.0)


@value
class Annealed:
    """From ``start`` to ``end`` along a line, and ``end`` from the part ``until`` of the run on."""

    start: float = 1.0
    end: float = 0.05
    until: Annotated[float, Range(0, 1, open_below=True)] = 0.1

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * min(max(progress / self.until, 0.0), 1.0)


@value
class KLAdaptive:
    """A step size that follows the policy's KL instead of the run's progress."""

    kl: Positive = 0.01
    """KL(π_old ‖ π) that it steers to, in nats."""
    start: Positive = 1e-3
    """Before the first step."""
    least: Positive = 1e-5
    """Its lower bound."""
    most: Positive = 1e-2
    """Its upper bound."""

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ConfigError(f"KLAdaptive: least, {self.least:g}, must not be above most, {self.most:g}")

    def __call__(self, rate: Float[Tensor, ""], kl: Float[Tensor, ""]) -> Float[Tensor, ""]:
        return adapt_learning_rate(rate, kl, self.kl, self.least, self.most)


@runtime_checkable
class OwnSchedule(Protocol):
    """A schedule of your own: a function will do."""

    def __call__(self, progress: float) -> float:
        """The number at ``progress``, the fraction of the run that is done."""
        ...


Schedule: TypeAlias = float | Linear | Annotated[OwnSchedule, Range()]
Rate: TypeAlias = NonNegative | Annotated[Linear, Range(0)] | Annotated[OwnSchedule, Range(0)]
"""A schedule that is never below 0."""
Width: TypeAlias = Annotated[float, Range(0, infinite=True)]
"""A number that is not below 0; infinity is one."""
Distance: TypeAlias = Width | Annotated[Linear, Range(0)] | Annotated[OwnSchedule, Range(0)]
"""The same, where infinity is the distance that bounds nothing."""


def at(schedule: Schedule, progress: float) -> float:
    """The schedule's number at ``progress``, the fraction of ``total_steps`` that is done."""
    return schedule if isinstance(schedule, int | float) else schedule(progress)
