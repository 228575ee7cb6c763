"""Trees of dict, list, tuple, number, string, None and array, to arrays and JSON and back; what is read is distrusted.

What JSON lacks is written as a dict of one key that begins with ``$``.
"""

import math
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from clipper.data.tree_type import Tree
from clipper.errors import CorruptCheckpointError

JSON: TypeAlias = Any  # None, bool, int, float, str, or a list or dict of these
Wanted = TypeVar("Wanted")


class OpaqueError(Exception):
    """A leaf is neither array nor JSON, or a state cannot be found. Callers turn it into "no state"."""


def encode(tree: Tree, path: str, arrays: dict[str, np.ndarray]) -> JSON:
    """A tree as JSON whose arrays lie in ``arrays``; raises ``OpaqueError`` where there is no way."""
    if isinstance(tree, np.ndarray | np.generic):
        if tree.dtype.kind not in "biuf":
            raise OpaqueError
        while path in arrays:  # of {"a.b": …} and {"a": {"b": …}}
            path += "'"
        arrays[path] = np.array(tree, order="C")
        return {"$array" if isinstance(tree, np.ndarray) else "$scalar": path}
    if type(tree) is float:
        return tree if math.isfinite(tree) else {"$float": str(tree)}
    if tree is None or type(tree) in (bool, int, str):
        return tree
    below = f"{path}." if path else ""
    if type(tree) is dict and all(type(key) is str and not key.startswith("$") for key in tree):
        return {key: encode(value, below + key, arrays) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        items = [encode(value, f"{below}{i}", arrays) for i, value in enumerate(tree)]
        return items if type(tree) is list else {"$tuple": items}
    raise OpaqueError


def decode(value: JSON, path: str, arrays: dict[str, np.ndarray]) -> Tree:
    """The inverse of ``encode``; arrays are copied."""
    below = f"{path}." if path else ""
    if isinstance(value, list):
        return [decode(item, f"{below}{i}", arrays) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    (tag, content), *others = value.items() or [("", None)]
    if others or not tag.startswith("$"):
        return {key: decode(item, below + key, arrays) for key, item in value.items()}
    return decode_tagged(tag, content, path, arrays)


def decode_tagged(tag: str, content: JSON, path: str, arrays: dict[str, np.ndarray]) -> Tree:
    """What JSON lacks."""
    if tag == "$tuple" and isinstance(content, list):
        return tuple(decode(content, path, arrays))
    if tag == "$float" and content in ("nan", "inf", "-inf"):
        return float(content)
    array = arrays.get(content) if isinstance(content, str) else None
    if tag == "$array" and array is not None:
        return array.copy()
    if tag == "$scalar" and array is not None and array.shape == ():
        return array[()]
    raise corrupt(path, f"{ {tag: content} }, which cannot be read")


def entry(tree: Tree, key: str, kind: type[Wanted], path: str = "") -> Wanted:
    """``tree[key]``, if it is there and a ``kind``."""
    name = f"{path}.{key}" if path else key
    if not isinstance(tree, dict) or key not in tree:
        raise corrupt(name, "nothing")
    if not isinstance(tree[key], kind):
        raise corrupt(name, f"{tree[key]!r}, not a {kind.__name__}")
    return tree[key]


def check_like(saved: Tree, live: Tree, path: str) -> None:
    """Raise if ``saved`` has not the keys, shapes and dtypes of ``live``; None stands for anything."""
    if saved is None or live is None:
        return
    if isinstance(live, dict):
        if not isinstance(saved, dict) or saved.keys() != live.keys():
            names = list(saved) if isinstance(saved, dict) else saved
            raise corrupt(path, f"{names!r}, and the environment has {list(live)} there")
        for key in live:
            check_like(saved[key], live[key], f"{path}.{key}")
    elif isinstance(live, np.ndarray):
        if not isinstance(saved, np.ndarray) or (saved.shape, saved.dtype) != (live.shape, live.dtype):
            found = f"{saved.dtype} of shape {saved.shape}" if isinstance(saved, np.ndarray) else f"{saved!r}"
            raise corrupt(path, f"{found}, but the environment has {live.dtype} of shape {live.shape}")
    elif isinstance(saved, dict | np.ndarray) or isinstance(saved, list | tuple) != isinstance(live, list | tuple):
        raise corrupt(path, f"{saved!r}, but the environment has {live!r}")


def identical(a: Tree, b: Tree) -> bool:
    """Do two trees hold the same bits?"""
    of_a: dict[str, np.ndarray] = {}
    of_b: dict[str, np.ndarray] = {}
    same = encode(a, "", of_a) == encode(b, "", of_b)
    return same and all(np.array_equal(array, of_b[name]) for name, array in of_a.items())


def corrupt(name: str, found: str) -> CorruptCheckpointError:
    """The error that names the entry and what was found there."""
    return CorruptCheckpointError(f"the saved state is not this environment's: entry {name!r} holds {found}")


class EnvironmentState(NamedTuple):
    """What ``set_state`` needs; both parts can be written to a file as they are."""

    arrays: dict[str, np.ndarray]
    """By the name of the entry, such as ``layers.2.state.qpos``."""
    values: dict[str, JSON]
    """The rest; its integers may have 128 bits."""
