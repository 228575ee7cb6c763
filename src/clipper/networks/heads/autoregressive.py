"""A head whose parts are drawn in order, each with those before it before its eyes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gymnasium
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.data.tree_type import Key
from clipper.data.trees import Tree, across, each
from clipper.distributions import Autoregressive
from clipper.distributions.autoregressive import keys_of, like
from clipper.distributions.protocol import Distribution
from clipper.networks.heads.composite import sample_of, without_memory
from clipper.networks.heads.encodings import encoding
from clipper.networks.heads.protocol import Head
from clipper.networks.initialisation import OrthogonalLinear
from clipper.spaces.mask_table import Table

if TYPE_CHECKING:
    from clipper.networks.heads.head_options import HeadOptions


class AutoregressiveHead(nn.Module):
    """Parts of a Dict or Tuple in the space's order. Each but the first reads tanh of a layer over the features and all
    earlier samples (choices one-hot), so that state and sample act together.
    """

    def __init__(
        self, parts: dict[str, Head] | tuple[Head, ...],
        spaces: dict[str, gymnasium.Space] | tuple[gymnasium.Space, ...], features: int,
        options: "HeadOptions", generator: Generator,
    ) -> None:  # fmt: skip
        super().__init__()
        keys, heads = keys_of(parts), list(parts.values() if isinstance(parts, dict) else parts)
        without_memory(heads)
        self.parts: Tree = parts
        self.order = {key: i for i, key in enumerate(keys)}
        self.heads = nn.ModuleList(heads)  # pyright: ignore[reportArgumentType] (a Head is one; holds their parameters)
        self.encodings = {key: encoding(spaces[key]) for key in keys[:-1]}  # pyright: ignore[reportArgumentType, reportCallIssue]
        seen, layers = features, []
        for part in self.encodings.values():
            seen += part.size
            layers.append(OrthogonalLinear(seen, features, 2**0.5, generator))
        self.mix = nn.ModuleList(layers)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> Autoregressive:
        return Autoregressive(chain=Conditionals(self, features, action_mask or across(lambda _: (), self.parts)))

    def to_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        masks = action_mask or across(lambda _: (), self.parts)
        before = {key: action[key] for key in self.order}
        found = {key: self.parts[key].to_env(action[key], allowed(masks[key], before)) for key in self.order}
        return like(found, self.parts)

    def from_env(self, action: Tree, action_mask: Tree = ()) -> Tree:
        masks = action_mask or across(lambda _: (), self.parts)
        found: dict[Key, Tree] = {}
        for key in self.order:
            found[key] = sample_of(self.parts[key], action[key], allowed(masks[key], found))
        return like(found, self.parts)


@dataclass(frozen=True, slots=True)
class Conditionals:
    """The parts' distributions in some states (``clipper.distributions.autoregressive.Chain``)."""

    head: AutoregressiveHead
    features: Float[Tensor, "*batch F"]
    masks: Tree

    @property
    def parts(self) -> Tree:
        return self.head.parts

    @property
    def one(self) -> Float[Tensor, "*batch 1"]:
        return torch.ones_like(self.features[..., :1])

    def values(self, key: Key) -> Tensor | None:
        every = self.head.encodings[key].values
        return every if every is None else every.to(self.features.device)

    def given(self, key: Key, before: dict[Key, Tree], count: int | None = None) -> Distribution:
        x, head = self.features, self.head
        if count is not None:
            x = x.unsqueeze(-2).expand(*x.shape[:-1], count, x.shape[-1])
        if before:
            told = [head.encodings[j].of(sample).to(x.dtype) for j, sample in before.items()]
            x = head.mix[head.order[key] - 1](torch.cat([x, *told], -1)).tanh()
        mask = allowed(self.masks[key], before, count, self.features.ndim - 1)
        return head.parts[key](x, action_mask=mask)


def allowed(mask: Tree, before: dict[Key, Tree], count: int | None = None, batch: int = 0) -> Tree:
    """The mask of a part given those before it, ``[*batch, ...]``, or ``[*batch, count, ...]`` where ``before`` is.

    ``batch`` dimensions lead a mask that is to be repeated.
    """
    if not isinstance(mask, Table):
        if count is None:
            return mask
        return each(lambda m: m.unsqueeze(batch).expand(*m.shape[:batch], count, *m.shape[batch:]), mask)
    choice = before[mask.given]
    choice = choice[0] if isinstance(choice, tuple) else choice  # of a OneOf, which branch
    index = choice.unsqueeze(-1) if count is None else choice
    axis = index.ndim - 1

    def row(table: Tensor) -> Tensor:
        wide = index.reshape(*index.shape, *(1,) * (table.ndim - index.ndim))
        found = table.take_along_dim(wide.expand(*index.shape, *table.shape[axis + 1 :]), axis)
        return found.squeeze(axis) if count is None else found

    return each(row, mask.allowed)
