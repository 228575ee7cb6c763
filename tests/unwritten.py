"""Memory of the compiled engine that nobody has written yet: full of NaN, so that who reads it is found out.

Whether fresh memory holds zeros or something that was there before is chance, and so is a fault that reads it.
"""

import importlib
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

MODULES = (
    "engine", "machine", "passes", "natural", "told_layers", "sequences", "sequence_passes", "recurrent_segment",
    "from_replay", "sampled_rows", "exploring",
)  # fmt: skip


class Unwritten:
    """numpy, but for what makes memory that is not written."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, *shape: Any) -> np.ndarray:
        return filled(np.empty(*shape))

    def empty_like(self, array: np.ndarray) -> np.ndarray:
        return filled(np.empty_like(array))


def filled(array: np.ndarray) -> np.ndarray:
    """NaN, or a number that no index is."""
    array.fill(np.nan if array.dtype.kind == "f" else -7 if array.dtype.kind == "i" else 1)
    return array


def fill_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the engine's modules make their arrays so."""
    for name in MODULES if find_spec("numba") is not None else ():
        module = importlib.import_module(f"clipper.engines.cpu.{name}")
        if hasattr(module, "np"):
            monkeypatch.setattr(module, "np", Unwritten())
