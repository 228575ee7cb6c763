"""From what a head draws to what a Box takes."""

import gymnasium.spaces
import numpy as np
from torch import Tensor

from clipper.errors import UnsupportedSpaceError


class BoxMap:
    """Numbers ``[*batch, A]`` → actions ``[*batch, *space.shape]`` within the bounds.

    ``rescale`` maps [−1, 1] affinely onto a component's bounds where both are finite. What then lies outside is
    clipped, on the finite side where only one is.
    """

    def __init__(self, space: gymnasium.spaces.Box, rescale: bool) -> None:
        self.size = int(np.prod(space.shape))
        self.shape, self.dtype, self.low, self.high = space.shape, space.dtype, space.low, space.high
        mapped = rescale & np.isfinite(space.low) & np.isfinite(space.high)
        low, high = (np.where(mapped, x.astype(np.float64), one) for x, one in ((space.low, -1), (space.high, 1)))
        self.centre, self.half_width = low / 2 + high / 2, high / 2 - low / 2

    def __call__(self, action: Tensor) -> np.ndarray:
        raw = action.cpu().numpy().reshape(*action.shape[:-1], *self.shape)
        return np.clip(self.centre + self.half_width * raw, self.low, self.high).astype(self.dtype)


def finite_box(space: gymnasium.spaces.Box, kind: str) -> BoxMap:
    """The map for a distribution whose support is bounded; refuses a Box that is not."""
    if not (np.isfinite(space.low) & np.isfinite(space.high)).all():
        raise UnsupportedSpaceError(
            f"no {kind} head for {space}: a bound is infinite; use gaussian, which clips where a bound is finite, or "
            "wrap the environment in gymnasium.wrappers.RescaleAction"
        )
    return BoxMap(space, rescale=True)
