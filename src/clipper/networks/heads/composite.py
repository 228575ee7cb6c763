"""Heads that join others, as a tree of spaces joins its parts."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor, nn

from clipper.data.trees import Tree, across
from clipper.distributions import OneOf, Product
from clipper.errors import ConfigError
from clipper.networks.heads.discrete import CategoricalHead
from clipper.networks.heads.protocol import Head
from clipper.spaces.mask_table import Table


def without_memory(heads: Iterable[object]) -> None:
    """Raise ``ConfigError`` where a part has a memory, which a tree of heads does not carry."""
    if any(hasattr(head, "renew") for head in heads):
        raise ConfigError("gsde keeps its noise from step to step, which parts of a Dict, Tuple or OneOf cannot")


def refuse_table(mask: Tree) -> None:
    """Raise ``ConfigError`` where a mask depends on another part of the action."""
    if isinstance(mask, Table):
        raise ConfigError(
            f"a mask is given as a table over another part of the action ({mask.given!r}), but the parts are drawn "
            "independently of each other: set autoregressive=True in HeadOptions (--autoregressive)"
        )


@runtime_checkable
class Invertible(Protocol):
    """A head that also knows the way back, as all of Clipper's own do."""

    def from_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        """The inverse of ``to_env``: arrays ``[*batch, ...]`` at the leaves → what ``log_prob`` reads."""
        ...


def sample_of(head: object, action: Tree, mask: Tree = ()) -> Tree:
    """What ``head.from_env`` makes of actions; raises ``ConfigError`` where the head has no way back."""
    if not isinstance(head, Invertible):
        raise ConfigError(f"{type(head).__name__} knows no way back from actions: give it from_env(action, mask)")
    return head.from_env(action, mask)


class ProductHead(nn.Module):
    """Parts that are independent given the state: those of a Dict, or of a Tuple."""

    def __init__(self, parts: dict[str, Head] | tuple[Head, ...]) -> None:
        super().__init__()
        heads = list(parts.values() if isinstance(parts, dict) else parts)
        without_memory(heads)
        self.parts: Tree = parts
        self.heads = nn.ModuleList(heads)  # pyright: ignore[reportArgumentType] (a Head is one; holds their parameters)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> Product:
        masks = action_mask or across(lambda _: (), self.parts)
        if action_mask:
            across(refuse_table, action_mask)
        return Product(across(lambda head, mask: head(features, action_mask=mask), self.parts, masks))

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        masks = action_mask or across(lambda _: (), self.parts)
        return across(lambda head, part, mask: head.to_env(part, mask), self.parts, action, masks)

    def from_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        masks = action_mask or across(lambda _: (), self.parts)
        return across(sample_of, self.parts, action, masks)


class OneOfHead(nn.Module):
    """A choice, and the arguments of each branch."""

    def __init__(self, choice: CategoricalHead, branches: tuple[Head, ...]) -> None:
        super().__init__()
        self.choice, self.arguments = choice, ProductHead(branches)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> OneOf:
        legal, masks = action_mask or ((), ())
        return OneOf(self.choice(features, legal), self.arguments(features, masks).parts)

    def bounded(self, action: tuple[Int[Tensor, "*batch"], tuple[Tree, ...]]) -> tuple[Tensor, tuple[Tree, ...]]:
        """A sample, whose arguments lie within [−1, 1] where they are of a finite Box."""
        return action[0], across(lambda head, x: head.bounded(x), self.arguments.parts, action[1])

    def to_env(
        self, action: tuple[Int[Tensor, "*batch"], tuple[Tree, ...]], action_mask: Tree = ()
    ) -> tuple[np.ndarray, tuple[Tree, ...]]:
        _, masks = action_mask or ((), ())
        return self.choice.to_env(action[0]), self.arguments.to_env(action[1], masks)

    def from_env(self, action: tuple[np.ndarray, tuple[Tree, ...]], action_mask: Tree = ()) -> Tree:
        _, masks = action_mask or ((), ())
        return self.choice.from_env(action[0]), self.arguments.from_env(action[1], masks)
