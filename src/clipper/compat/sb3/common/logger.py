"""What a program adds to a run's metrics."""

import numpy as np


class Logger:
    """Numbers that a program wants among a run's metrics."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def record(self, key: str, value: object, exclude: object = None) -> None:
        """Note a number or truth value for the next row; all else, as texts and pictures, is left out."""
        if isinstance(value, int | float | np.number | np.bool_):
            self.values[key if "/" in key else f"custom/{key}"] = float(value)

    def dump(self, step: int = 0) -> None:
        """Rows are written at each iteration's end."""
