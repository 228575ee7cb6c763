"""Heads for a Box: what the environment takes is continuous."""

import gymnasium.spaces
import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from clipper.distributions import DiagonalGaussian
from clipper.heads.options import HeadOptions
from clipper.initialisation import OrthogonalLinear

LOG_STD_BOUNDS = (-10.0, 2.0)  # σ between 5e-5 and 7.4: neither collapses to 0 nor overflows


class GaussianHead(nn.Module):
    """Mean from the features; one log σ per component, the same in every state."""

    def __init__(self, space: gymnasium.spaces.Box, features: int, options: HeadOptions, generator: Generator) -> None:
        super().__init__()
        size = int(np.prod(space.shape))
        self.shape, self.dtype, self.low, self.high = space.shape, space.dtype, space.low, space.high
        bounded = np.isfinite(space.low) & np.isfinite(space.high)
        rescale = options.rescale_action & bounded
        low = np.where(rescale, space.low.astype(np.float64), -1.0)
        high = np.where(rescale, space.high.astype(np.float64), 1.0)
        self.centre, self.half_width = (high + low) / 2, (high - low) / 2
        self.mean = OrthogonalLinear(features, size, options.action_gain, generator)
        self.log_std = nn.Parameter(torch.full((size,), options.initial_log_std))

    def forward(self, features: Float[Tensor, "*batch F"]) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean(features), self.log_std.clamp(*LOG_STD_BOUNDS))

    def to_env(self, action: Float[Tensor, "*batch A"]) -> np.ndarray:
        raw = action.cpu().numpy().reshape(*action.shape[:-1], *self.shape)
        return np.clip(self.centre + self.half_width * raw, self.low, self.high).astype(self.dtype)
