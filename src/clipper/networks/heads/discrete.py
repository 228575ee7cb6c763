"""Heads for choices."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from clipper.data.trees import Tree
from clipper.distributions import Categorical, MultiCategorical
from clipper.networks.initialisation import OrthogonalLinear

IMPOSSIBLE = -1e9  # a logit whose probability is exactly 0, while 0 · log 0 stays 0


class CategoricalHead(nn.Module):
    """Logits of K choices."""

    def __init__(self, n: int, start: int, features: int, gain: float, generator: Generator) -> None:
        super().__init__()
        self.start = start
        self.logits = OrthogonalLinear(features, n, gain, generator)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> Categorical:
        logits = self.logits(features)
        # Replaced, not lowered: no gradient reaches the logit of an illegal choice.
        return Categorical(logits if isinstance(action_mask, tuple) else logits.where(action_mask, IMPOSSIBLE))

    def bounded(self, action: Int[Tensor, "*batch"]) -> Int[Tensor, "*batch"]:
        """A sample, which a Q network reads as it is."""
        return action

    def to_env(self, action: Int[Tensor, "*batch"], action_mask: Tree = ()) -> np.ndarray:
        return action.cpu().numpy() + self.start

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Int[Tensor, "*batch"]:
        return torch.from_numpy(np.asarray(action, dtype=np.int64) - self.start)


class MultiCategoricalHead(nn.Module):
    """Logits of ``nvec[i]`` choices for each component i of an array of integers."""

    exists: Tensor
    place: Tensor

    def __init__(
        self, nvec: np.ndarray, start: np.ndarray, dtype: np.dtype, features: int, gain: float, generator: Generator
    ) -> None:
        super().__init__()
        self.start, self.dtype = start, dtype
        self.logits = OrthogonalLinear(features, int(nvec.sum()), gain, generator)
        sizes = torch.as_tensor(nvec.reshape(-1).astype(np.int64))
        column = torch.arange(int(sizes.max()))
        self.register_buffer("exists", column < sizes[:, None], persistent=False)
        self.register_buffer("place", (sizes.cumsum(0) - sizes)[:, None] + column * self.exists, persistent=False)

    def forward(self, features: Float[Tensor, "*batch F"], action_mask: Tree = ()) -> MultiCategorical:
        padded = self.logits(features)[..., self.place].where(self.exists, IMPOSSIBLE)
        return MultiCategorical(padded if isinstance(action_mask, tuple) else padded.where(action_mask, IMPOSSIBLE))

    def to_env(self, action: Int[Tensor, "*batch D"], action_mask: Tree = ()) -> np.ndarray:
        values = action.cpu().numpy().reshape(*action.shape[:-1], *self.start.shape)
        return (values + self.start).astype(self.dtype)

    def from_env(self, action: np.ndarray, action_mask: Tree = ()) -> Int[Tensor, "*batch D"]:
        lead = action.shape[: action.ndim - self.start.ndim]
        return torch.from_numpy((action.astype(np.int64) - self.start).reshape(*lead, -1))
