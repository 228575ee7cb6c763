"""A Box as choices: each component takes one of a few values, evenly spaced, or one of its integers.

Tang & Agrawal 2020, "Discretizing continuous action space for on-policy optimization" (arXiv:1901.10500).
"""

from typing import Annotated

import gymnasium.spaces
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from clipper.data.trees import Tree
from clipper.data.values import Range, value
from clipper.distributions import MultiCategorical
from clipper.errors import UnsupportedSpaceError
from clipper.networks.heads.discrete import MultiCategoricalHead
from clipper.networks.heads.scales import Scale, only_learned

MOST = 1_000_000  # choices of all components together


@value
class Binned:
    """Each component is one of ``bins`` values from bound to bound, drawn independently; any shape of distribution."""

    bins: Annotated[int, Range(2, 10_000)] = 11
    """Values per component, both bounds among them; of integers no more than there are."""

    def box_head(
        self, space: gymnasium.spaces.Box, features: int, generator: Generator, *, gain: float, std: Scale,
        initial_log_std: float, rescale: bool,
    ) -> "BinnedHead":  # fmt: skip
        only_learned(std, "a binned policy has no σ")
        return BinnedHead(space, values_of(space, self.bins), features, gain, generator)


def values_of(space: gymnasium.spaces.Box, bins: int | None = None) -> list[np.ndarray]:
    """The values that each component may take: ``bins`` of them, or without that every integer.

    Raises ``UnsupportedSpaceError`` where a bound is infinite, or there are too many.
    """
    low, high = (x.reshape(-1).astype(np.float64) for x in (space.low, space.high))
    whole = not np.issubdtype(space.dtype, np.floating)
    if not (np.isfinite(low) & np.isfinite(high)).all():
        raise UnsupportedSpaceError(f"no binned head for {space}: a bound is infinite; use gaussian, which clips")
    counts = high - low + 1 if bins is None else np.full(low.shape, float(bins))
    if counts.sum() > MOST:
        raise UnsupportedSpaceError(
            f"no action head for {space}: it has {counts.sum():,.0f} integers to choose from; draw some of them, "
            "evenly spaced, with distribution=Binned(bins) (--distribution 'binned(11)')"
        )
    lines = [np.linspace(a, b, int(n)) for a, b, n in zip(low, high, counts, strict=True)]
    return [np.unique(np.rint(x) if whole else x.astype(space.dtype)).astype(np.float64) for x in lines]


class BinnedHead(MultiCategoricalHead):
    """Logits of each component's values. Bounds of the state leave those within; where there are none, the nearest."""

    values: Tensor

    def __init__(
        self, space: gymnasium.spaces.Box, values: list[np.ndarray], features: int, gain: float, generator: Generator
    ) -> None:
        sizes = np.array([len(own) for own in values])
        super().__init__(sizes, np.zeros(space.shape, dtype=np.int64), space.dtype, features, gain, generator)
        table = np.full((len(sizes), sizes.max()), np.nan)
        for row, own in zip(table, values, strict=True):
            row[: len(own)] = own
        self.table = table
        self.register_buffer("values", torch.from_numpy(table), persistent=False)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> MultiCategorical:
        return super().forward(features, action_mask if isinstance(action_mask, tuple) else self.within(action_mask))

    def within(self, bounds: Tensor) -> Bool[Tensor, "*batch D K"]:
        """Which values lie within ``[*batch, 2, D]``."""
        low, high = bounds.to(self.values.dtype).unsqueeze(-1).unbind(-3)
        inside = (self.values >= low) & (self.values <= high)
        distance = (self.values - (low + high) / 2).abs().nan_to_num(torch.inf)
        nearest = distance == distance.amin(-1, keepdim=True)
        return inside | nearest & ~inside.any(-1, keepdim=True)  # onnxruntime knows no ``where`` of booleans

    def to_env(self, action: Int[Tensor, "*batch D"], action_mask: Tree = ()) -> np.ndarray:
        shape = (*action.shape[:-1], *self.start.shape)
        found = self.table[np.arange(len(self.table)), action.cpu().numpy()].reshape(shape)
        if not isinstance(action_mask, tuple):
            low, high = (action_mask[..., i, :].cpu().numpy().reshape(shape) for i in (0, 1))
            found = np.clip(found, low, high)
        return found.astype(self.dtype)

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Int[Tensor, "*batch D"]:
        flat = action.reshape(*action.shape[: action.ndim - self.start.ndim], len(self.table), 1)
        return torch.from_numpy(np.nanargmin(np.abs(self.table - flat), axis=-1))
