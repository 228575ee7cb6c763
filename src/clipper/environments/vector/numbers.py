"""What counts as one number, or as one truth value, of all that an environment may give."""

from typing import SupportsFloat, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike

INTEGERS = (int, np.int64, np.int32)
"""What environments mostly give where there is a choice to observe."""
EXACT = 2**53
"""Whole numbers up to this are float64 numbers."""


def is_number(x: object) -> TypeGuard[SupportsFloat]:
    """Is it one number or truth value?"""
    return np.ndim(cast(ArrayLike, x)) == 0 and np.asarray(x).dtype.kind in "biuf"


def number_of(x: object) -> float | None:
    """One number or truth value, be it in an array of its own; None of anything else."""
    array = np.asarray(x, dtype=object) if isinstance(x, list | tuple | dict) else np.asarray(x)
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else None


def is_truth_value(x: object) -> bool:
    """Is it True, False, or an integer that stands for one?"""
    return np.ndim(cast(ArrayLike, x)) == 0 and np.asarray(x).dtype.kind in "biu" and x in (0, 1)
