"""Pictures as Stable-Baselines3 lays them out. Loads little: worker processes make these."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class ChannelsLast(gymnasium.ObservationWrapper):
    """``[frames, height, width]`` as ``[height, width, frames]``."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        self.observation_space = Box(np.moveaxis(space.low, 0, -1), np.moveaxis(space.high, 0, -1), dtype=space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.moveaxis(observation, 0, -1)
