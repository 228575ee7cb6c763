"""Which actions are legal: from what an environment says to a tree of tensors that mirrors the action space.

At a node stands, per environment: for Discrete ``[K]``; for MultiDiscrete ``[ΣK]``, or one mask per component; for
MultiBinary, of its shape, which bits may be 1, or with one more dimension of size 2 which values each may take; for a
Box its bounds in this state, ``(low, high)``; for Dict, Tuple and OneOf the masks of their parts, where None, or a key
that is left out, allows all. A OneOf's is ``[K]``, or ``([K], (mask of branch 0, …))``.

A part of a Dict or Tuple may be limited by an earlier part of it, a Discrete or OneOf, named by its key or index:
``{"given": 0, "table": …}``, where the table holds a mask of the part for each value of the other, in order, or is a
function from such a value to a mask. Parts must be drawn in order for that: ``HeadOptions(autoregressive=True)``.
"""

from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import TypeVar

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Tuple

from clipper.data.tree_type import Key, Tree
from clipper.data.trees import each
from clipper.errors import EnvironmentContractError, UnsupportedSpaceError
from clipper.spaces.mask_table import Table

Slot = TypeVar("Slot", str, int)


class MaskError(EnvironmentContractError):
    """A mask that cannot be one, of environment ``env``."""

    def __init__(self, env: int, problem: str) -> None:
        super().__init__(problem)
        self.env = env


def action_masks(space: Space, given: Tree, n: int, needed: np.ndarray, device: str | torch.device = "cpu") -> Tree:
    """The masks of n environments: bool tensors ``[N, K]`` and ``[N, D, K]``, bounds ``[N, 2, size]``, in a tree.

    ``given`` is a list of n masks, or one mask whose arrays lead with N. Where ``needed`` (``[N]``) is False the
    environment decides nothing, and a mask that allows nothing allows all. Raises ``MaskError``.
    """
    if given is None:
        given = [None] * n
    found = read(space, unboxed(given), needed, "action")
    if isinstance(found, np.ndarray):  # as of most spaces: a tree of one leaf, which costs many times as much to walk
        return torch.from_numpy(found).to(device)
    return each(lambda x: torch.from_numpy(x).to(device), found)


@singledispatch
def read(space: Space, given: Tree, needed: np.ndarray, path: str) -> Tree:
    """The node's mask as arrays; ``path`` is what errors call the node."""
    raise UnsupportedSpaceError(f"no action mask for {space} at {path}")


@read.register
def _(space: Discrete, given: Tree, needed: np.ndarray, path: str) -> np.ndarray:
    return legal(stacked(given, needed, path, (int(space.n),)), needed, path)


@read.register
def _(space: MultiDiscrete, given: Tree, needed: np.ndarray, path: str) -> np.ndarray:
    sizes = space.nvec.reshape(-1)
    if isinstance(given, tuple):  # one array per component, each leads with N
        given = np.concatenate([np.asarray(x).reshape(len(needed), -1) for x in leaves_of(given)], axis=1)
    exists = np.arange(sizes.max()) < sizes[:, None]
    flat = stacked(given, needed, path, (int(sizes.sum()),), exists.shape if exists.all() else None)
    mask = np.zeros((len(needed), *exists.shape), dtype=bool)
    mask[:, exists] = flat.reshape(len(needed), -1)
    return legal(mask, needed, path)


@read.register
def _(space: MultiBinary, given: Tree, needed: np.ndarray, path: str) -> np.ndarray:
    size = int(np.prod(space.shape))
    mask = stacked(given, needed, path, space.shape, (*space.shape, 2))
    if mask.shape[1:] == space.shape:
        mask = np.stack([np.ones_like(mask), mask], axis=-1)
    return legal(mask.reshape(len(needed), size, 2), needed, path)


@read.register
def _(space: Box, given: Tree, needed: np.ndarray, path: str) -> np.ndarray:
    whole = np.stack([space.low.reshape(-1), space.high.reshape(-1)])
    if isinstance(given, tuple):
        given = np.stack(given, axis=1)
    given = [None] * len(needed) if given is None else given
    pairs = [whole if x is None else np.asarray(x, dtype=whole.dtype) for x in given]
    for env, pair in enumerate(pairs):
        if pair.size != whole.size or np.isnan(pair).any():
            raise MaskError(env, f"the bounds at {path} are {pair}, not a low and a high of shape {space.shape}")
    bounds = np.stack([pair.reshape(whole.shape) for pair in pairs])
    bounds = np.clip(bounds, whole[0], whole[1])
    wrong = needed & (bounds[:, 0] > bounds[:, 1]).any(-1)
    if wrong.any():
        env = int(wrong.argmax())
        raise MaskError(env, f"at {path} a lower bound lies above the upper: {bounds[env].tolist()}")
    return bounds


@read.register
def _(space: Dict, given: Tree, needed: np.ndarray, path: str) -> dict[str, Tree]:
    parts = transposed(checked_keys(given, list(space.keys()), path), space.keys(), lambda mask, key: mask.get(key))
    return read_parts(dict(space.items()), parts, needed, path)


@read.register
def _(space: Tuple, given: Tree, needed: np.ndarray, path: str) -> tuple[Tree, ...]:
    parts = transposed(checked(given, len(space.spaces), path), range(len(space.spaces)), lambda mask, i: mask[i])
    return tuple(read_parts(dict(enumerate(space)), parts, needed, path).values())


def read_parts(spaces: dict[Slot, Space], given: dict[Slot, Tree], needed: np.ndarray, path: str) -> dict[Slot, Tree]:
    """The masks of a Dict's or Tuple's parts, some of which may be tables over an earlier one."""
    found: dict[Slot, Tree] = {}
    for key, space in spaces.items():
        rows, name = given[key], f"{path}[{key!r}]"
        if any(map(is_table, rows if isinstance(rows, list) else [rows])):
            found[key] = read_table(space, rows, needed, name, {k: (spaces[k], found[k]) for k in found})
        else:
            found[key] = read(space, rows, needed, name)
    return found


def is_table(mask: Tree) -> bool:
    """Does it say what is allowed given another part?"""
    return isinstance(mask, dict) and "given" in mask and "table" in mask


def read_table(
    space: Space, given: Tree, needed: np.ndarray, path: str, earlier: dict[Key, tuple[Space, Tree]]
) -> Table:
    """A mask of the part for each value of an earlier one; ``earlier`` holds those parts' spaces and masks."""
    tables = [mask for mask in (given if isinstance(given, list) else [given]) if is_table(mask)]
    keys = {str(x): x.item() if isinstance(x, np.generic) else x for mask in tables for x in np.ravel(mask["given"])}
    key = next(iter(keys.values()))
    if len(keys) > 1 or key not in earlier or not isinstance(earlier[key][0], Discrete | OneOf):
        raise MaskError(
            0, f"the mask at {path} is a table given {', '.join(keys)}, which is no Discrete or OneOf that comes before"
        )
    other, legal_before = earlier[key]
    count, start = (int(other.n), int(other.start)) if isinstance(other, Discrete) else (len(other.spaces), 0)  # pyright: ignore[reportAttributeAccessIssue]
    choices = legal_before.allowed if isinstance(legal_before, Table) else legal_before
    choices = choices[0] if isinstance(choices, tuple) else choices
    possible = choices.any(1) if isinstance(legal_before, Table) else choices
    masks = []
    for k in range(count):
        rows = (
            [row_of(mask, k, start, count, path, env) for env, mask in enumerate(given)]
            if isinstance(given, list)
            else np.asarray(given["table"])[:, k]
        )
        masks.append(read(space, rows, needed & possible[:, k], f"{path} given {key}={k + start}"))
    return Table(each(lambda *x: np.stack(x, axis=1), *masks), key)


def row_of(mask: Tree, k: int, start: int, count: int, path: str, env: int) -> Tree:
    """One environment's mask of a part, given the k-th value of another."""
    if not is_table(mask):
        return mask
    if callable(mask["table"]):
        return mask["table"](k + start)
    if len(mask["table"]) != count:
        raise MaskError(env, f"the table at {path} has {len(mask['table'])} rows, not {count}")
    return mask["table"][k]


@read.register
def _(space: OneOf, given: Tree, needed: np.ndarray, path: str) -> tuple[np.ndarray, tuple[Tree, ...]]:
    count = len(space.spaces)
    pairs = [split(x) for x in given] if isinstance(given, list) else split(given)
    if isinstance(pairs, list):
        choices, arguments = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    else:
        choices, arguments = pairs
    choice = legal(stacked(unboxed(choices), needed, f"{path}'s choice", (count,)), needed, f"{path}'s choice")
    below = transposed(checked(unboxed(arguments), count, path), range(count), lambda mask, k: mask[k])
    return choice, tuple(
        read(branch, below[k], needed & choice[:, k], f"{path}'s branch {k}") for k, branch in enumerate(space.spaces)
    )


def split(mask: Tree) -> tuple[Tree, Tree]:
    """A OneOf's mask as (choices, arguments)."""
    is_pair = isinstance(mask, tuple) and len(mask) == 2 and (mask[1] is None or isinstance(mask[1], tuple | list))
    return mask if is_pair else (mask, None)


def unboxed(given: Tree) -> Tree:
    """An array of objects, as Gymnasium collects what it cannot stack, as a list."""
    return list(given) if isinstance(given, np.ndarray) and given.dtype == object else given


def transposed(given: Tree, keys: Iterable[Slot], get: Callable[[Tree, Slot], Tree]) -> dict[Slot, Tree]:
    """Masks per environment → per part; what is None allows all parts everything."""
    if isinstance(given, list):
        return {key: [None if mask is None else get(mask, key) for mask in given] for key in keys}
    return {key: None if given is None else unboxed(get(given, key)) for key in keys}


def checked(given: Tree, count: int, path: str) -> Tree:
    """The masks, if they are tuples of the right length."""
    for env, mask in enumerate(given if isinstance(given, list) else [given]):
        if mask is not None and not (isinstance(mask, tuple | list) and len(mask) == count):
            raise MaskError(env, f"the mask at {path} is {mask!r}, not a tuple of {count}")
    return given


def checked_keys(given: Tree, keys: list[str], path: str) -> Tree:
    """The masks, if they are dicts of parts that exist; Gymnasium adds one of another name, as in ``_key``."""
    known = {*keys, *(f"_{key}" for key in keys)}
    for env, mask in enumerate(given if isinstance(given, list) else [given]):
        if mask is not None and not isinstance(mask, dict):
            raise MaskError(env, f"the mask at {path} is {mask!r}, not a dict with a mask for each of {keys}")
        unknown = [key for key in mask or () if key not in known]
        if unknown:
            raise MaskError(env, f"the mask at {path} has {unknown[0]!r}, but the parts of the action are {keys}")
    return given


def array(mask: Tree, shape: tuple[int, ...], also: tuple[int, ...] | None) -> np.ndarray:
    """One environment's mask; nested lists or tuples are put in a row, and into the shape that they fill."""
    if not isinstance(mask, tuple | list):
        return np.asarray(mask)
    row = np.concatenate([np.ravel(x) for x in leaves_of(mask)])
    return next((row.reshape(s) for s in (shape, also) if s is not None and row.size == np.prod(s)), row)


def leaves_of(tree: Tree) -> list[Tree]:
    """The arrays of nested tuples or lists, in order."""
    return [leaf for part in tree for leaf in leaves_of(part)] if isinstance(tree, tuple | list) else [tree]


def stacked(
    given: Tree, needed: np.ndarray, path: str, shape: tuple[int, ...], also: tuple[int, ...] | None = None
) -> np.ndarray:
    """``[N, *shape]`` (or ``[N, *also]``) of booleans."""
    n = len(needed)
    if given is None:
        return np.ones((n, *shape), dtype=bool)
    if are_alike(given, n, shape):  # as nearly always
        return booleans(np.array(given), path)
    rows = [None if mask is None else array(mask, shape, also) for mask in given]
    full = np.ones(next((row.shape for row in rows if row is not None), shape), dtype=bool)
    rows = [full if row is None else row for row in rows]
    if len(rows) != n:
        raise MaskError(0, f"there are {len(rows)} masks at {path} for {n} environments")
    for env, row in enumerate(rows):
        if row.shape not in (shape, also) or row.shape != rows[0].shape:
            raise MaskError(env, f"the mask at {path} has shape {row.shape}, not {shape}")
        if row.dtype.kind not in "biuf":
            raise MaskError(env, f"the mask at {path} holds {row.tolist()}, not booleans, or zeros and ones")
    return booleans(np.stack(rows), path)


def are_alike(given: Tree, n: int, shape: tuple[int, ...]) -> bool:
    """Is it a list of n arrays of numbers of this shape, all of one dtype?"""
    if not isinstance(given, list) or len(given) != n or type(given[0]) is not np.ndarray:
        return False
    dtype = given[0].dtype
    return dtype.kind in "biuf" and all(type(x) is np.ndarray and x.shape == shape and x.dtype is dtype for x in given)


def booleans(mask: np.ndarray, path: str) -> np.ndarray:
    """``[N, …]`` zeros and ones as booleans."""
    if mask.dtype == bool:
        return mask
    found = mask.astype(bool)
    if not (found == mask).all():
        odd = (found != mask).reshape(len(mask), -1)
        env = int(odd.any(1).argmax())
        raise MaskError(env, f"the mask at {path} holds {mask[env].tolist()}, not booleans, or zeros and ones")
    return found


def legal(mask: np.ndarray, needed: np.ndarray, path: str) -> np.ndarray:
    """The mask, if it allows something wherever that is needed; where it is not, all where it allows nothing."""
    if mask.any(axis=-1).all():
        return mask
    nothing = ~np.any(mask, axis=-1, keepdims=True)
    stuck = nothing.reshape(len(mask), -1).any(1)
    if (stuck & needed).any():
        raise MaskError(int((stuck & needed).argmax()), f"every choice at {path} is masked")
    return mask | nothing
