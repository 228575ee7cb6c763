"""An action head as the table of parts that the kernels walk, and actions as they read and write them.

A row of an action has a column for each choice, and beside it one for each continuous component.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from clipper.data.tree_type import Key
from clipper.data.trees import Tree, leaves
from clipper.engines.cpu.kernels.tables import (
    BETA,
    CATEGORICAL,
    CLIPPED,
    EXP,
    GAUSSIAN,
    LEARNED,
    PARTS,
    PLANNED,
    RESCALED,
    SOFTPLUS,
    SQUASHED,
    TANH_OF,
    TANH_OF_HALF,
)
from clipper.engines.cpu.layers import Features, LayerTable, offset
from clipper.engines.protocol import UnsuitableError
from clipper.networks.heads import (
    BetaHead,
    CategoricalHead,
    ExpOfState,
    GaussianHead,
    Head,
    MultiCategoricalHead,
    OneOfHead,
    ProductHead,
    SoftplusOfState,
    SquashedHead,
)
from clipper.networks.heads.binned import BinnedHead
from clipper.networks.heads.box import BoxMap
from clipper.networks.heads.composite import refuse_table
from clipper.networks.heads.scales import LearnedLogStd, PlannedLogStd, StateLogStd

LINKS = {ExpOfState: EXP, SoftplusOfState: SOFTPLUS}
ROOT = -1
"""The gate of what always counts."""


class ActionLeaf(NamedTuple):
    """A part of an action that is one array."""

    path: tuple[Key, ...]
    """The way to it in an action, and to its mask in a tree of masks."""
    head: nn.Module
    box: BoxMap | None
    """How it becomes an action of a Box; None for choices."""
    first: int
    """Of its columns, among choices or among components."""
    size: int
    """How many."""
    legal: int
    """The first of its choices in a row of what is legal."""
    choices: int
    """How many these are."""
    rows: tuple[int, ...]
    """Its rows in the table of parts, or the one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action in a batch of ``Steps``."""
        return () if isinstance(self.head, CategoricalHead) else (self.size,)

    @property
    def forms(self) -> tuple[int, ...]:
        """Of one mask of these choices; where they are values of a Box it is bounds that say which are legal."""
        if isinstance(self.head, BinnedHead):
            return (2, self.size)
        return tuple(self.head.exists.shape) if isinstance(self.head, MultiCategoricalHead) else (self.choices,)


class Choice(NamedTuple):
    """A node of the tree: a choice, and what each branch has."""

    choice: ActionLeaf
    branches: tuple[Tree, ...]


class ActionTable:
    """What the kernels know of a head."""

    def __init__(self, head: Head, table: LayerTable, features: Features) -> None:
        self.table, self.features = table, features
        self.rows: list[list[int]] = []
        self.starts: list[float] = []
        self.planned: list[tuple[nn.Module, int, int]] = []
        """What says log σ by the run's progress, and where that stands."""
        self.choices = self.components = self.legal = self.log_stds = self.remembered = 0
        self.leaves: list[ActionLeaf] = []
        self.tree = self.read(head, ROOT, 0, ())
        self.names = [] if isinstance(self.tree, ActionLeaf) else list(named(self.tree))
        """Of the parts of an action that has some."""
        self.parts = np.array(self.rows, np.int64).reshape(-1, PARTS)
        self.boxes = [leaf for leaf in self.leaves if leaf.box is not None]

    def read(self, head: Head, gate: int, branch: int, path: tuple[Key, ...]) -> Tree:
        """The tree of a head's leaves, each with its rows in the table."""
        if isinstance(head, ProductHead):
            parts = head.parts.items() if isinstance(head.parts, dict) else enumerate(head.parts)
            found = {key: self.read(part, gate, branch, (*path, key)) for key, part in parts}
            return found if isinstance(head.parts, dict) else tuple(found.values())
        if type(head) is OneOfHead:
            choice = self.read(head.choice, gate, branch, (*path, 0))
            row, arguments = choice.rows[0], head.arguments.parts
            branches = (self.read(part, row, k, (*path, 1, k)) for k, part in enumerate(arguments))
            return Choice(choice, tuple(branches))
        if type(head) is CategoricalHead:
            return self.choose(head, [head.logits.out_features], head.logits, gate, branch, path)
        if type(head) in (MultiCategoricalHead, BinnedHead):
            assert isinstance(head, MultiCategoricalHead)
            return self.choose(head, head.exists.sum(1).tolist(), head.logits, gate, branch, path)
        if isinstance(head, GaussianHead | SquashedHead | BetaHead):
            return self.move(head, gate, branch, path)
        raise UnsuitableError(f"its head is a {type(head).__name__}")

    def choose(
        self, head: nn.Module, sizes: list[int], layer: nn.Module, gate: int, branch: int, path: tuple[Key, ...]
    ) -> ActionLeaf:
        """Choices, each a row."""
        slot, first = self.table.add(layer, self.features), len(self.rows)
        leaf = ActionLeaf(
            path, head, None, self.choices, len(sizes), self.legal, sum(sizes), tuple(range(first, first + len(sizes)))
        )  # fmt: skip
        for size in sizes:
            self.add([CATEGORICAL, slot, size, self.choices, self.legal, gate, branch, len(self.leaves), 0, 0], size)
            slot, self.legal, self.choices = slot + size, self.legal + size, self.choices + 1
        self.leaves.append(leaf)
        return leaf

    def move(self, head: nn.Module, gate: int, branch: int, path: tuple[Key, ...]) -> ActionLeaf:
        """Continuous components, one row for all of a leaf."""
        box: BoxMap = head.box  # pyright: ignore[reportAssignmentType] (these heads have one)
        size, scale, at, start = box.size, 0, 0, 0.0
        if isinstance(head, BetaHead):
            kind, slot = BETA, self.table.add(head.raw, self.features)
        else:
            kind = SQUASHED if isinstance(head, SquashedHead) else GAUSSIAN
            inner = head.raw if isinstance(head, SquashedHead) else head
            assert isinstance(inner, GaussianHead)
            slot = self.table.add(inner.mean, self.features)
            scale, at, start = self.scale(inner.log_std, size)
        leaf = ActionLeaf(path, head, box, self.components, size, self.legal, 0, (len(self.rows),))
        self.add([kind, slot, size, self.components, 0, gate, branch, len(self.leaves), scale, at], 2 * size, start)
        self.components += size
        self.leaves.append(leaf)
        return leaf

    def scale(self, module: nn.Module, size: int) -> tuple[int, int, float]:
        """Where log σ stands, and what is added to it there."""
        if type(module) is LearnedLogStd:
            return LEARNED, offset(module.value, self.table.flat), 0.0
        if type(module) is PlannedLogStd:
            self.planned.append((module, self.log_stds, size))
            self.log_stds += size
            return PLANNED, self.log_stds - size, 0.0
        if type(module) is StateLogStd:
            link = getattr(module.link, "__self__", None)
            if type(link) not in LINKS:
                raise UnsuitableError(f"its head's σ is a {type(link).__name__}")
            return LINKS[type(link)], self.table.add(module.linear, self.features), module.start
        raise UnsuitableError(f"its head's σ is a {type(module).__name__}")

    def add(self, row: list[int], remembered: int, start: float = 0.0) -> None:
        """One part more, and how many numbers are remembered of π_old there."""
        self.rows.append([*row, self.remembered])
        self.remembered += remembered
        self.starts.append(start)

    def forms(self) -> np.ndarray:
        """What each component becomes before it is clipped."""
        found = list[int]()
        for leaf in self.boxes:
            assert leaf.box is not None
            form = RESCALED if leaf.box.rescale else CLIPPED
            form = TANH_OF if isinstance(leaf.head, SquashedHead) else form
            found += [TANH_OF_HALF if isinstance(leaf.head, BetaHead) else form] * leaf.size
        return np.array(found, np.int64)

    @property
    def seeded(self) -> bool:
        """Are some components drawn by generators of their own, and not from one number each?"""
        return any(isinstance(leaf.head, BetaHead) for leaf in self.leaves)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of all components, ``[1, components]`` each."""
        sides = [(leaf.box.low, leaf.box.high) for leaf in self.boxes if leaf.box]
        if not sides:
            return np.empty((0, 0)), np.empty((0, 0))
        low, high = (
            np.concatenate([x.reshape(-1) for x in side]).astype(np.float64)[None] for side in zip(*sides, strict=True)
        )
        return low, high

    def rows_of(self, action: Tree, lead: int) -> tuple[np.ndarray, np.ndarray]:
        """Choices ``[rows, C]`` and components ``[rows, A]`` of actions whose arrays lead with so many rows in all."""
        choice = np.empty((lead, self.choices), np.int64)
        number = np.empty((lead, self.components), np.float32)
        for leaf in self.leaves:
            out = choice if leaf.box is None else number
            out[:, leaf.first : leaf.first + leaf.size] = at(action, leaf.path).reshape(lead, leaf.size).numpy()
        return choice, number

    def actions(self, choice: np.ndarray, number: np.ndarray) -> Tree:
        """Choices ``[*batch, C]`` and components ``[*batch, A]`` as a tree of tensors, with memory of their own."""

        def one(leaf: ActionLeaf) -> Tensor:
            x = choice if leaf.box is None else number
            part = x[..., leaf.first : leaf.first + leaf.size].copy()
            return torch.from_numpy(part.reshape(*x.shape[:-1], *leaf.shape))

        return grown(self.tree, one, pair)

    def sent(self, choice: np.ndarray, sent: np.ndarray, mask: Tree) -> Tree:
        """A row's choices ``[N, C]`` and components ``[N, A]``, as environments take them, as what they take.

        Choices among values of a Box are brought within the bounds that a mask says.
        """
        n = len(choice)

        def one(leaf: ActionLeaf) -> np.ndarray:
            last, head, box = leaf.first + leaf.size, leaf.head, leaf.box
            if box is not None:
                return sent[:, leaf.first : last].reshape(n, *box.shape).astype(box.dtype)
            if isinstance(head, CategoricalHead):
                return choice[:, leaf.first] + head.start
            assert isinstance(head, MultiCategoricalHead)
            if isinstance(head, BinnedHead):
                return head.to_env(torch.from_numpy(choice[:, leaf.first : last]), at(mask, leaf.path))
            return (choice[:, leaf.first : last].reshape(n, *head.start.shape) + head.start).astype(head.dtype)

        return grown(self.tree, one, pair)

    def log_probs(self, log_probs: np.ndarray) -> Tree:
        """``[*batch, parts with names]`` as the tree of ``Steps.log_probs``; () where there are none."""
        if not self.names:
            return ()
        number = iter(range(len(self.leaves)))
        return grown(self.tree, lambda _: torch.from_numpy(log_probs[..., next(number)].copy()), by_name)

    def log_prob_rows(self, log_probs: Tree, lead: int) -> np.ndarray:
        """Of each part with a name, ``[rows, parts]``; no rows where there are none."""
        if not self.names or not log_probs:
            return np.empty((0, len(self.names)), np.float32)
        return np.stack([x.reshape(lead).numpy() for x in leaves(log_probs)], axis=1)

    def legal_rows(self, mask: Tree, out: np.ndarray) -> np.ndarray:
        """What is legal of all choices, into ``out`` ``[rows, ΣK]``."""
        for leaf in self.leaves:
            if leaf.box is None:
                x, part = at(mask, leaf.path), out[:, leaf.legal : leaf.legal + leaf.choices]
                if isinstance(x, tuple):
                    part[:] = True
                elif isinstance(leaf.head, BinnedHead):
                    legal = leaf.head.within(x.reshape(len(out), 2, leaf.size)).numpy()
                    part[:] = legal[:, leaf.head.exists.numpy()]
                elif isinstance(leaf.head, MultiCategoricalHead):
                    part[:] = x.numpy().reshape(len(out), *leaf.head.exists.shape)[:, leaf.head.exists.numpy()]
                else:
                    part[:] = x.numpy().reshape(len(out), leaf.choices)
        return out

    def bound_rows(self, mask: Tree, low: np.ndarray, high: np.ndarray) -> None:
        """The bounds that masks say, into ``low`` and ``high`` ``[rows, A]``."""
        for leaf in self.boxes:
            x, columns = at(mask, leaf.path), slice(leaf.first, leaf.first + leaf.size)
            if not isinstance(x, tuple):
                low[:, columns], high[:, columns] = np.moveaxis(x.numpy(), 1, 0)


def none(mask: Tree) -> bool:
    """Is everything legal?"""
    return isinstance(mask, tuple) and not mask


def at(tree: Tree, path: tuple[Key, ...]) -> Tree:
    """What lies there; () where a tree of masks has nothing to say of it."""
    for key in path:
        if none(tree):
            return ()
        refuse_table(tree)
        tree = tree[key]
    refuse_table(tree)
    return tree


def grown(tree: Tree, make: Callable[[ActionLeaf], object], join: Callable[[object, tuple[Tree, ...]], Tree]) -> Tree:
    """A tree of the same form; ``join`` puts a choice and its branches together."""
    if isinstance(tree, ActionLeaf):
        return make(tree)
    if isinstance(tree, Choice):
        choice = make(tree.choice)
        return join(choice, tuple(grown(branch, make, join) for branch in tree.branches))
    if isinstance(tree, dict):
        return {key: grown(part, make, join) for key, part in tree.items()}
    return tuple(grown(part, make, join) for part in tree)


def pair(choice: object, branches: tuple[Tree, ...]) -> tuple[object, tuple[Tree, ...]]:
    """As an action has them."""
    return choice, branches


def by_name(choice: object, branches: tuple[Tree, ...]) -> dict[str, Tree]:
    """As ``clipper.distributions.one_of`` calls its parts."""
    return {"choice": choice} | {str(k): branch for k, branch in enumerate(branches)}


def named(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[str]:
    """What the leaves are called, ``kick.choice`` or ``0``."""
    if isinstance(tree, ActionLeaf):
        yield ".".join(path)
        return
    parts = by_name(tree.choice, tree.branches) if isinstance(tree, Choice) else tree
    for key, part in parts.items() if isinstance(parts, dict) else enumerate(parts):
        yield from named(part, (*path, str(key)))
