"""Settings that change over a run. A schedule is a number, or a value that maps progress in [0, 1] to a number."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Linear:
    """From ``start`` at the run's beginning to ``end`` at its end, along a line."""

    start: float
    end: float = 0.0

    def __call__(self, progress: float) -> float:
        return self.start + (self.end - self.start) * min(max(progress, 0.0), 1.0)


Schedule: TypeAlias = float | Linear


def at(schedule: Schedule, progress: float) -> float:
    """The schedule's number at ``progress``, the fraction of ``total_steps`` that is done."""
    return schedule(progress) if isinstance(schedule, Linear) else schedule
