"""Gymnasium spaces to and from JSON, so that a saved policy can be rebuilt without making its environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.errors import CorruptCheckpointError, SpaceMismatchError, UnsupportedSpaceError

FLOATS_AND_INTEGERS = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")
LARGEST_SPACE = 10_000_000  # numbers; a saved space beyond this is not believed


def space_to_json(space: gymnasium.Space) -> dict[str, Any]:
    """A space in JSON: bounds as one number where all components share it."""
    if isinstance(space, Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, Box):
        bounds = {name: getattr(space, name).reshape(-1).tolist() for name in ("low", "high")}
        bounds = {name: v[0] if len(set(v)) == 1 else v for name, v in bounds.items()}
        return {"type": "Box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}
    raise UnsupportedSpaceError(f"{space} cannot be saved yet")


def space_from_json(data: Any) -> gymnasium.Space:
    """The inverse of ``space_to_json``; raises ``CorruptCheckpointError`` where the data describes no space."""
    try:
        if data["type"] == "Discrete":
            if int(data["n"]) > LARGEST_SPACE:
                raise ValueError(f"{data['n']} choices")
            return Discrete(int(data["n"]), start=int(data["start"]))
        if data["type"] != "Box" or data["dtype"] not in FLOATS_AND_INTEGERS:
            raise ValueError(f"no space of type {data['type']!r} and dtype {data.get('dtype')!r}")
        shape = tuple(int(size) for size in data["shape"])
        if min(shape, default=1) < 0 or np.prod(shape, dtype=float) > LARGEST_SPACE:
            raise ValueError(f"shape {shape}")
        dtype = np.dtype(data["dtype"])
        size = int(np.prod(shape))
        low, high = (np.broadcast_to(np.array(data[k], dtype=dtype), size).reshape(shape) for k in ("low", "high"))
        return Box(low, high, shape, dtype.type)
    except (KeyError, TypeError, ValueError, OverflowError, AssertionError) as error:
        raise CorruptCheckpointError(f"the saved spaces cannot be read: {error}") from error


def check_same_spaces(saved: dict[str, Any], here: dict[str, gymnasium.Space]) -> None:
    """Raise ``SpaceMismatchError`` with the difference where a policy was made for other spaces than ``here``."""
    lines = []
    for kind, space in here.items():
        before = space_from_json(saved[kind])
        if before != space:
            lines.append(f"  {kind}: saved {before}, here {space}")
    if lines:
        raise SpaceMismatchError("the policy was made for other spaces than this environment has:\n" + "\n".join(lines))
