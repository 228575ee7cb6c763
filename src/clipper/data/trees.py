"""Trees of tensors: dicts, tuples and NamedTuples of them, reached leaf by leaf."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from clipper.data.tree_type import Tree

T = TypeVar("T")
K = TypeVar("K")


def each(f: Callable[..., object], *trees: T) -> T:
    """Apply ``f`` to every tensor of the trees: ``each(lambda x: x[i], batch)``."""
    return pytree.tree_map(f, *trees)


def across(f: Callable[..., object], parts: Tree, *others: Tree) -> Tree:
    """Apply ``f`` to the children of a dict or tuple, and of others like it; to no deeper level."""
    if isinstance(parts, dict):
        return {key: f(part, *(other[key] for other in others)) for key, part in parts.items()}
    return tuple(f(part, *rest) for part, *rest in zip(parts, *others, strict=True))


def total(parts: Tree) -> Tensor:
    """Σ over a tree's leaves: parts of a log-probability, an entropy or a divergence give the joint one."""
    return functools.reduce(torch.add, pytree.tree_leaves(parts))


def names(tree: Tree) -> list[str]:
    """What its leaves are called, in the order of ``leaves``: ``kick.choice``, ``kick.0``; ``""`` for a lone tensor."""
    paths, _ = pytree.tree_flatten_with_path(tree)
    return [".".join(str(getattr(key, "key", getattr(key, "idx", key))) for key in path) for path, _ in paths]


def same_form(a: Tree, b: Tree) -> bool:
    """Do two trees differ in their leaves only?"""
    if isinstance(a, Tensor) and isinstance(b, Tensor):  # many times as fast, and asked in each step of an environment
        return True
    return pytree.tree_structure(a) == pytree.tree_structure(b)


leaves = pytree.tree_leaves


def tree_node(kind: type[K], fields: tuple[str, ...] | None = None, static: tuple[str, ...] = ()) -> type[K]:
    """Make instances of a class trees of their fields: ``each`` reaches the tensors in them.

    ``fields`` are those of a dataclass but for the ``static`` ones, which are kept as they are and are its last.
    """
    names = fields or [f.name for f in dataclasses.fields(kind) if f.name not in static]  # pyright: ignore[reportArgumentType]
    pytree.register_pytree_node(
        kind,
        lambda x: ([getattr(x, name) for name in names], tuple(getattr(x, name) for name in static)),
        lambda children, kept: kind(*children, *kept),
    )
    return kind
