"""Images with their channels first, as torch's convolutions take them."""

from copy import deepcopy

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict

from clipper.compat.sb3.common.preprocessing import is_image_space, is_image_space_channels_first
from clipper.compat.sb3.common.vec_env.base_vec_env import VecEnv, VecEnvStepReturn, VecEnvWrapper
from clipper.data.tree_type import Tree


class VecTransposeImage(VecEnvWrapper):
    """``[N, height, width, channels]`` as ``[N, channels, height, width]``; of a Dict the parts that are images."""

    def __init__(self, venv: VecEnv, skip: bool = False) -> None:
        space = venv.observation_space
        assert is_image_space(space) or isinstance(space, Dict), "VecTransposeImage takes images, or a Dict with some"
        self.skip = skip
        if skip:
            super().__init__(venv)
            return
        self.image_space_keys = list[str]()
        if isinstance(space, Dict):
            self.image_space_keys = [key for key, part in space.spaces.items() if is_image_space(part)]
            changed = deepcopy(space)
            for key in self.image_space_keys:
                changed.spaces[key] = self.transpose_space(space.spaces[key], key)
            super().__init__(venv, changed)
        else:
            super().__init__(venv, self.transpose_space(space))

    @staticmethod
    def transpose_space(observation_space: gymnasium.Space, key: str = "") -> Box:
        """The space of the transposed image."""
        assert isinstance(observation_space, Box) and is_image_space(observation_space), f"{key} is no image"  # noqa: PT018
        assert not is_image_space_channels_first(observation_space), (
            f"the channels of the image {key} are first already"
        )
        height, width, channels = observation_space.shape
        return Box(0, 255, (channels, height, width), np.uint8)

    @staticmethod
    def transpose_image(image: np.ndarray) -> np.ndarray:
        """One image, or a batch of such."""
        return np.moveaxis(image, -1, -3)

    def transpose_observations(self, observations: Tree) -> Tree:
        """All that are images."""
        if self.skip:
            return observations
        if isinstance(observations, dict):
            found = {key: self.transpose_image(observations[key]) for key in self.image_space_keys}
            return {**observations, **found}
        return self.transpose_image(observations)

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        for i in np.flatnonzero(dones):
            if "terminal_observation" in infos[i]:
                infos[i]["terminal_observation"] = self.transpose_observations(infos[i]["terminal_observation"])
        return self.transpose_observations(obs), rewards, dones, infos

    def reset(self) -> Tree:
        return self.transpose_observations(self.venv.reset())
