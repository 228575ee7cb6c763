"""Counters of a run, as a checkpoint holds them, and why it is not exact."""

import math
from collections.abc import Mapping

from clipper.errors import CorruptCheckpointError
from clipper.storage.saved import value_of

COUNTERS = {
    "iteration": int, "seconds": float, "exact": bool, "best": float, "solved": bool, "next_evaluation": float,
    "next_checkpoint": float, "earlier": int, "inexact": str,
}  # fmt: skip


LONGEST = 10_000
"""Letters of what is said about it."""


def counter(name: str, values: Mapping[str, object]) -> float | str:
    """A counter out of a file, if it can be one: none but ``best`` is below 0 or beyond what an array can count."""
    x = value_of(name, COUNTERS.get(name, int), {"inexact": ""} | dict(values))  # older files do not say
    if isinstance(x, str):
        return x[:LONGEST]
    if name != "best" and not 0 <= x <= (math.inf if name.startswith("next_") else 2**62):
        raise ValueError(f"{name} is {x}, which counts nothing")
    return x


def steps_taken(values: Mapping[str, object]) -> int:
    """The decisions of a checkpoint, before a run is built for it."""
    try:
        return int(counter("steps", values))
    except (LookupError, TypeError, ValueError) as error:
        raise CorruptCheckpointError(f"the checkpoint does not fit its own settings: {error}") from error
