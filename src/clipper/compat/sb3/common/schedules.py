"""Numbers that change over a run, as functions of the fraction that is left (1 → 0)."""

from collections.abc import Callable

import numpy as np


class FloatSchedule:
    """A number, or a function of the fraction that is left (1 → 0), whose answer becomes a float."""

    def __init__(self, value_schedule: Callable[[float], float] | float) -> None:
        if isinstance(value_schedule, FloatSchedule):
            self.value_schedule: Callable[[float], float] = value_schedule.value_schedule
        elif isinstance(value_schedule, float | int | np.number):
            self.value_schedule = ConstantSchedule(float(value_schedule))
        else:
            assert callable(value_schedule), f"a schedule is a number or a function, not {value_schedule!r}"
            self.value_schedule = value_schedule

    def __call__(self, progress_remaining: float) -> float:
        return float(self.value_schedule(progress_remaining))

    def __repr__(self) -> str:
        return f"FloatSchedule({self.value_schedule})"


class ConstantSchedule:
    """Always one number."""

    def __init__(self, val: float) -> None:
        self.val = val

    def __call__(self, _: float) -> float:
        return self.val

    def __repr__(self) -> str:
        return f"ConstantSchedule(val={self.val})"


class LinearSchedule:
    """From ``start`` to ``end``, which it has reached once ``end_fraction`` of the run is over."""

    def __init__(self, start: float, end: float, end_fraction: float) -> None:
        self.start, self.end, self.end_fraction = start, end, end_fraction

    def __call__(self, progress_remaining: float) -> float:
        done = min(1.0, (1 - progress_remaining) / self.end_fraction)
        return self.start + done * (self.end - self.start)

    def __repr__(self) -> str:
        return f"LinearSchedule(start={self.start}, end={self.end}, end_fraction={self.end_fraction})"
