"""From what a head draws to what a Box takes."""

import gymnasium.spaces
import numpy as np
import torch
from torch import Tensor

from clipper.data.trees import Tree
from clipper.errors import UnsupportedSpaceError


class BoxMap:
    """Numbers ``[*batch, A]`` → actions ``[*batch, *space.shape]`` within the bounds.

    ``rescale`` maps [−1, 1] affinely onto a component's bounds where both are finite. What then lies outside is
    clipped, on the finite side where only one is.
    """

    def __init__(self, space: gymnasium.spaces.Box, rescale: bool) -> None:
        self.size = int(np.prod(space.shape))
        self.shape, self.dtype, self.low, self.high = space.shape, space.dtype, space.low, space.high
        self.rescale = rescale
        self.centre, self.half_width = self.middle(space.low, space.high)

    def middle(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray | np.float64, np.ndarray | np.float64]:
        """Where 0 is mapped, and how far ±1 lie from it."""
        mapped = self.rescale & np.isfinite(low) & np.isfinite(high)
        low, high = (np.where(mapped, x.astype(np.float64), one) for x, one in ((low, -1), (high, 1)))
        return low / 2 + high / 2, high / 2 - low / 2

    def __call__(self, action: Tensor, bounds: Tree = ()) -> np.ndarray:
        """``bounds`` ``[*batch, 2, A]`` take the place of the space's, each state its own; () leaves those."""
        raw = action.cpu().numpy().reshape(*action.shape[:-1], *self.shape)
        if isinstance(bounds, tuple):
            return np.clip(self.centre + self.half_width * raw, self.low, self.high).astype(self.dtype)
        low, high = np.moveaxis(bounds.cpu().numpy().reshape(*action.shape[:-1], 2, *self.shape), action.ndim - 1, 0)
        centre, half_width = self.middle(low, high)
        return np.clip(centre + half_width * raw, low, high).astype(self.dtype)

    def inverse(self, action: np.ndarray, bounds: Tree = ()) -> Tensor:
        """The numbers ``[*batch, A]`` of which ``__call__`` makes these actions; 0 where both bounds are one number."""
        lead = action.shape[: action.ndim - len(self.shape)]
        centre, half_width = self.centre, self.half_width
        if not isinstance(bounds, tuple):
            rows = bounds.cpu().numpy().reshape(*lead, 2, *self.shape)
            centre, half_width = self.middle(*np.moveaxis(rows, len(lead), 0))
        raw = (action - centre) / np.where(half_width == 0, np.inf, half_width)
        return torch.from_numpy(raw.reshape(*lead, self.size).astype(np.float32))


def finite_box(space: gymnasium.spaces.Box, kind: str) -> BoxMap:
    """The map for a distribution whose support is bounded; refuses a Box that is not."""
    if not (np.isfinite(space.low) & np.isfinite(space.high)).all():
        raise UnsupportedSpaceError(
            f"no {kind} head for {space}: a bound is infinite; use gaussian, which clips where a bound is finite, or "
            "wrap the environment in gymnasium.wrappers.RescaleAction"
        )
    return BoxMap(space, rescale=True)
