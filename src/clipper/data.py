"""The one batch type: trees of tensors that lead with ``[T, N]``. Control and language models both fill it."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils import _pytree as pytree

Tree = Any  # a tensor, or a dict, tuple or NamedTuple of trees; () is the empty tree
T = TypeVar("T")
K = TypeVar("K")


class Steps(NamedTuple):
    """Decisions taken by a behaviour policy μ. Every field leads with ``[T, N]``."""

    obs: Tree
    """sₜ as the environment gave it, before normalisation."""
    action: Tree
    """aₜ as sampled; clipped or rescaled only on its way into ``env.step``."""
    log_prob: Float[Tensor, "T N"]
    """log μ(aₜ|sₜ)."""
    reward: Float[Tensor, "T N"]
    """rₜ as the environment gave it."""
    terminated: Bool[Tensor, "T N"]
    """sₜ₊₁ is terminal: its value is 0."""
    done: Bool[Tensor, "T N"]
    """The episode ends with this step, terminated or truncated."""
    mask: Bool[Tensor, "T N"]
    """False: not a decision. The row after an episode's end holds its last observation; its action counts not."""
    memory: Tree = ()
    """What a memory needs to run over these rows again (``clipper.memory.Past``); empty for policies without one."""
    action_mask: Tree = ()
    """What was legal (``clipper.masks``); empty where everything always is."""
    log_probs: Tree = ()
    """log μ of each part of aₜ, whose sum is ``log_prob``; empty where the action has one part."""


class Targets(NamedTuple):
    """What a loss fits, aligned with ``steps``."""

    steps: Steps
    advantage: Float[Tensor, "*batch"]
    """Âₜ."""
    value_target: Float[Tensor, "*batch"]
    """What V(sₜ) should be."""
    value: Float[Tensor, "*batch"]
    """V(sₜ) before the update."""
    old: Tree = ()
    """``params`` of π_old(·|sₜ), where a loss needs its KL exactly."""
    raw: Tree = ()
    """(Âₜ as it was before the batch brought it to standard units,), where it did."""


class Value(NamedTuple):
    """A critic's answer that is one number."""

    mean: Float[Tensor, "*batch"]
    """V(s), in the units of the rewards."""
    scale: float | Float[Tensor, ""] = 1.0
    """The unit in which errors of V count: the returns' standard deviation where they are normalised."""


def each(f: Callable[..., Any], *trees: T) -> T:
    """Apply ``f`` to every tensor of the trees: ``each(lambda x: x[i], batch)``."""
    return pytree.tree_map(f, *trees)


def across(f: Callable[..., Any], parts: Any, *others: Any) -> Any:
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


@functools.partial(tree_node, static=("given",))
@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The mask of a part of a Dict or Tuple, for each of the values that an earlier part may take."""

    allowed: Tree
    """A mask of the part whose arrays have one dimension more, behind those of the batch: ``[*batch, K, ...]``."""
    given: str | int
    """Name or index of the earlier part, which chooses among K."""
