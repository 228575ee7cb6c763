"""Gymnasium spaces to and from JSON, so that a saved policy can be rebuilt without making its environment."""

from collections.abc import Callable, Mapping
from functools import singledispatch

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple

from clipper.data.tree_type import Key
from clipper.errors import CorruptCheckpointError, SpaceMismatchError, UnsupportedSpaceError
from clipper.spaces.ordered_dict import ordered_dict

INTEGERS = ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64")
FLOATS_AND_INTEGERS = ("float16", "float32", "float64", *INTEGERS)
LARGEST_SPACE = 10_000_000  # numbers; a saved space beyond this is not believed
DEEPEST_SPACE = 50  # spaces within spaces
Saved = Mapping[str, object]
"""A space as JSON, which nobody vouches for."""


@singledispatch
def space_to_json(space: gymnasium.Space) -> dict[str, object]:
    """A space in JSON: arrays as one number where all components share it."""
    raise UnsupportedSpaceError(f"{space} cannot be saved yet")


def numbers(array: np.ndarray) -> float | list[float]:
    """An array's numbers in a row, or the one that they all are."""
    flat = array.reshape(-1).tolist()
    return flat[0] if len(set(flat)) == 1 else flat


@space_to_json.register
def _(space: Box) -> dict[str, object]:
    bounds = {"low": numbers(space.low), "high": numbers(space.high)}
    return {"type": "Box", **bounds, "shape": list(space.shape), "dtype": str(space.dtype)}


@space_to_json.register
def _(space: Discrete) -> dict[str, object]:
    return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}


@space_to_json.register
def _(space: MultiDiscrete) -> dict[str, object]:
    counts = {"nvec": numbers(space.nvec), "start": numbers(np.broadcast_to(space.start, space.nvec.shape))}
    return {"type": "MultiDiscrete", **counts, "shape": list(space.shape), "dtype": str(space.dtype)}


@space_to_json.register
def _(space: MultiBinary) -> dict[str, object]:
    return {"type": "MultiBinary", "shape": list(space.shape), "array": isinstance(space.n, tuple)}


@space_to_json.register
def _(space: Dict) -> dict[str, object]:
    return {"type": "Dict", "keys": list(space), "spaces": [space_to_json(part) for part in space.values()]}


@space_to_json.register
def _(space: Tuple) -> dict[str, object]:
    return {"type": "Tuple", "spaces": [space_to_json(part) for part in space]}


@space_to_json.register
def _(space: OneOf) -> dict[str, object]:
    return {"type": "OneOf", "spaces": [space_to_json(part) for part in space.spaces]}


def space_from_json(data: object) -> gymnasium.Space:
    """The inverse of ``space_to_json``; raises ``CorruptCheckpointError`` where the data describes no space."""
    try:
        with np.errstate(over="raise"):  # of bounds beyond their dtype
            return read(data, DEEPEST_SPACE)
    except (KeyError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
        raise CorruptCheckpointError(f"the saved spaces cannot be read: {error}") from error


def spaces_from_json(data: object) -> dict[str, gymnasium.Space]:
    """Several spaces, by what they are of."""
    if not isinstance(data, dict):
        raise TypeError(f"spaces {data!r}")
    return {kind: space_from_json(saved) for kind, saved in data.items()}


def read(data: object, depth: int) -> gymnasium.Space:
    """One space and, at most ``depth`` levels below it, its parts."""
    if not isinstance(data, dict):
        raise TypeError(f"no space but {data!r}")
    if depth == 0 or data["type"] not in READERS:
        raise ValueError(f"no space of type {data['type']!r}" if depth else "spaces too deep within each other")
    return READERS[data["type"]](data, depth - 1)


def entries(data: Saved, name: str) -> list[object]:
    """A list that a space has."""
    found = data[name]
    if not isinstance(found, list):
        raise TypeError(f"{name} {found!r}")
    return found


def integer(x: object) -> int:
    """A number without its fraction."""
    if not isinstance(x, int | float | str):
        raise TypeError(f"the number {x!r}")
    return int(x)


def parts(data: Saved, depth: int) -> list[gymnasium.Space]:
    """The spaces that one consists of."""
    return [read(part, depth) for part in entries(data, "spaces")]


def shape_of(data: Saved) -> tuple[int, ...]:
    """A shape of believable size."""
    shape = tuple(integer(size) for size in entries(data, "shape"))
    if min(shape, default=1) < 0 or np.prod(shape, dtype=float) > LARGEST_SPACE:
        raise ValueError(f"shape {shape}")
    return shape


def arrays(data: Saved, dtypes: tuple[str, ...], *names: str) -> tuple[np.ndarray, ...]:
    """The named arrays, each of the one shape and dtype."""
    name_of_dtype = data["dtype"]
    if not isinstance(name_of_dtype, str) or name_of_dtype not in dtypes:
        raise ValueError(f"no {data['type']} of dtype {name_of_dtype!r}")
    shape, dtype = shape_of(data), np.dtype(name_of_dtype)
    size = int(np.prod(shape))
    return tuple(np.broadcast_to(np.array(data[name], dtype=dtype), size).reshape(shape) for name in names)


def read_box(data: Saved, depth: int) -> gymnasium.Space:
    """A Box."""
    low, high = arrays(data, FLOATS_AND_INTEGERS, "low", "high")
    return Box(low, high, low.shape, low.dtype.type)


def read_discrete(data: Saved, depth: int) -> gymnasium.Space:
    """A Discrete."""
    n = integer(data["n"])
    if n > LARGEST_SPACE:
        raise ValueError(f"{n} choices")
    return Discrete(n, start=integer(data["start"]))


def read_multi_discrete(data: Saved, depth: int) -> gymnasium.Space:
    """A MultiDiscrete."""
    nvec, start = arrays(data, INTEGERS, "nvec", "start")
    if nvec.sum(dtype=float) > LARGEST_SPACE:
        raise ValueError("more choices than can be believed")
    return MultiDiscrete(nvec, nvec.dtype.type, start=start)


def read_multi_binary(data: Saved, depth: int) -> gymnasium.Space:
    """A MultiBinary."""
    shape = shape_of(data)
    return MultiBinary(shape if data["array"] else shape[0])


def read_dict(data: Saved, depth: int) -> gymnasium.Space:
    """A Dict."""
    given, spaces = entries(data, "keys"), parts(data, depth)
    keys = [key for key in given if isinstance(key, str)]
    if len(keys) < len(given) or len(set(keys)) != len(spaces):
        raise ValueError(f"keys {given!r}")
    return ordered_dict(dict(zip(keys, spaces, strict=True)))


def read_tuple(data: Saved, depth: int) -> gymnasium.Space:
    """A Tuple."""
    return Tuple(parts(data, depth))


def read_one_of(data: Saved, depth: int) -> gymnasium.Space:
    """A OneOf."""
    return OneOf(parts(data, depth))


READERS: dict[str, Callable[[Saved, int], gymnasium.Space]] = {
    "Box": read_box,
    "Discrete": read_discrete,
    "MultiDiscrete": read_multi_discrete,
    "MultiBinary": read_multi_binary,
    "Dict": read_dict,
    "Tuple": read_tuple,
    "OneOf": read_one_of,
}


def check_same_spaces(saved: Mapping[str, object], here: dict[str, gymnasium.Space]) -> None:
    """Raise ``SpaceMismatchError`` with the difference where a policy was made for other spaces than ``here``."""
    check_alike({kind: space_from_json(saved[kind]) for kind in here}, here)


def check_alike(made_for: Mapping[str, gymnasium.Space], here: Mapping[str, gymnasium.Space]) -> None:
    """The same for spaces as they are, each under its name."""
    lines = [
        f"  {kind}{line}"
        for kind, space in here.items()
        if made_for[kind] != space
        for line in differences(made_for[kind], space)
    ]
    if lines:
        raise SpaceMismatchError("the policy was made for other spaces than this environment has:\n" + "\n".join(lines))


def differences(saved: gymnasium.Space, here: gymnasium.Space) -> list[str]:
    """Where two trees of spaces differ: a path, what was saved and what is here, per line."""
    below_saved, below_here = children(saved), children(here)
    if type(saved) is not type(here) or not below_saved or below_saved.keys() != below_here.keys():
        return [] if saved == here else [f": saved {saved}, here {here}"]
    deeper = {key: differences(part, below_here[key]) for key, part in below_saved.items()}
    return [f"[{key!r}]{line}" for key, lines in deeper.items() for line in lines]


def children(space: gymnasium.Space) -> dict[Key, gymnasium.Space]:
    """The parts of a Dict, Tuple or OneOf, by key or index; of other spaces none."""
    inner = getattr(space, "spaces", {})
    return inner if isinstance(inner, dict) else dict(enumerate(inner))
