"""Heads that join others, as a tree of spaces joins its parts."""

from collections.abc import Iterable
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from clipper.data import Tree, across
from clipper.distributions import OneOf, Product
from clipper.errors import ConfigError
from clipper.heads.discrete import CategoricalHead
from clipper.heads.protocol import Head


def without_memory(heads: Iterable[Any]) -> None:
    """Raise ``ConfigError`` where a part has a memory, which a tree of heads does not carry."""
    if any(hasattr(head, "renew") for head in heads):
        raise ConfigError("gsde keeps its noise from step to step, which parts of a Dict, Tuple or OneOf cannot")


class ProductHead(nn.Module):
    """Parts that are independent given the state: those of a Dict, or of a Tuple."""

    def __init__(self, parts: dict[str, Any] | tuple[Any, ...]) -> None:
        super().__init__()
        without_memory(parts.values() if isinstance(parts, dict) else parts)
        self.parts = parts
        self.heads = nn.ModuleList(parts.values() if isinstance(parts, dict) else parts)  # holds their parameters

    def forward(self, features: Float[Tensor, "*batch F"]) -> Product:
        return Product(across(lambda head: head(features), self.parts))

    def to_env(self, action: Tree) -> Any:
        return across(lambda head, part: head.to_env(part), self.parts, action)


class OneOfHead(nn.Module):
    """A choice, and the arguments of each branch."""

    def __init__(self, choice: CategoricalHead, branches: tuple[Head, ...]) -> None:
        super().__init__()
        without_memory(branches)
        self.choice, self.branches = choice, nn.ModuleList(branches)  # pyright: ignore[reportArgumentType]

    def forward(self, features: Float[Tensor, "*batch F"]) -> OneOf:
        return OneOf(self.choice(features), tuple(branch(features) for branch in self.branches))

    def to_env(self, action: tuple[Int[Tensor, "*batch"], tuple[Tree, ...]]) -> tuple[Any, tuple[Any, ...]]:
        choice, arguments = action
        return self.choice.to_env(choice), across(lambda head, x: head.to_env(x), tuple(self.branches), arguments)
