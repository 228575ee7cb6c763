"""Noise about the actions of DDPG and TD3, under Stable-Baselines3's name."""

import numpy as np

from clipper.errors import ConfigError


class NormalActionNoise:
    """N(0, σ²) in each component, where its bounds are ±1."""

    def __init__(self, mean: np.ndarray | float, sigma: np.ndarray | float) -> None:
        sigmas, means = np.unique(np.asarray(sigma)), np.asarray(mean)
        if np.any(means != 0) or len(sigmas) != 1:
            raise ConfigError(
                "NormalActionNoise has mean 0 and one sigma for all components: Clipper's noise has no other"
            )
        self.sigma = float(sigmas[0])
