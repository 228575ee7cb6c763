"""Spaces, and observations on their way into a network."""

import warnings

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, flatdim
from torch import Tensor
from torch.nn import functional as F

from clipper.data.tree_type import Tree
from clipper.errors import UnsupportedSpaceError


class UnsupportedError(UnsupportedSpaceError, NotImplementedError):
    """A space that Stable-Baselines3 has nothing for either, where it raises ``NotImplementedError``."""


def is_image_space_channels_first(observation_space: Box) -> bool:
    """Do the channels, the fewest of the three, stand first?"""
    smallest = int(np.argmin(observation_space.shape))
    if smallest == 1:
        warnings.warn("this image's smallest dimension is its second: are its channels there?", stacklevel=2)
    return smallest == 0


def is_image_space(
    observation_space: gymnasium.Space, check_channels: bool = False, normalized_image: bool = False
) -> bool:
    """A Box of three dimensions, of uint8 between 0 and 255 unless the image is ``normalized_image``."""
    if not isinstance(observation_space, Box) or len(observation_space.shape) != 3:
        return False
    if not normalized_image:
        if observation_space.dtype != np.uint8:
            return False
        if np.any(observation_space.low != 0) or np.any(observation_space.high != 255):
            return False
    if not check_channels:
        return True
    axis = 0 if is_image_space_channels_first(observation_space) else -1
    return observation_space.shape[axis] in (1, 3, 4)


def maybe_transpose(observation: np.ndarray, observation_space: gymnasium.Space) -> np.ndarray:
    """An image, or a batch of such, with its channels first where the space has them so."""
    if not is_image_space(observation_space):
        return observation
    assert isinstance(observation_space, Box)
    shape = observation_space.shape
    if observation.shape in (shape, observation.shape[:1] + shape) or not is_image_space_channels_first(
        observation_space
    ):
        return observation
    moved = np.moveaxis(observation, -1, -3)
    return moved if moved.shape[-3:] == shape else observation


def preprocess_obs(obs: Tree, observation_space: gymnasium.Space, normalize_images: bool = True) -> Tree:
    """Floats as networks take them: images by 255, choices as one-hot vectors; dicts by part."""
    if isinstance(observation_space, Dict):
        assert isinstance(obs, dict), f"a Dict observation is a dict, not {type(obs)}"
        parts = observation_space.spaces
        return {key: preprocess_obs(obs[key], part, normalize_images) for key, part in parts.items() if key in obs}
    assert isinstance(obs, Tensor), f"an observation is a tensor here, not {type(obs)}"
    if isinstance(observation_space, Box):
        scaled = normalize_images and is_image_space(observation_space)
        return obs.float() / 255.0 if scaled else obs.float()
    if isinstance(observation_space, Discrete):
        return F.one_hot(obs.long(), num_classes=int(observation_space.n)).float()
    if isinstance(observation_space, MultiDiscrete):
        sizes = [int(n) for n in observation_space.nvec.flatten()]
        columns = obs.long().flatten(1).unbind(1)
        return torch.cat([F.one_hot(x, n).float() for x, n in zip(columns, sizes, strict=True)], dim=-1)
    if isinstance(observation_space, MultiBinary):
        return obs.float()
    raise UnsupportedError(f"no numbers for a network are made of observations of {observation_space}")


def get_obs_shape(observation_space: gymnasium.Space) -> Tree:
    """Of an observation's array as a buffer keeps it; a dict of such for a Dict."""
    if isinstance(observation_space, Box):
        return observation_space.shape
    if isinstance(observation_space, Discrete):
        return (1,)
    if isinstance(observation_space, MultiDiscrete):
        return (len(observation_space.nvec),)
    if isinstance(observation_space, MultiBinary):
        return observation_space.shape
    if isinstance(observation_space, Dict):
        return {key: get_obs_shape(part) for key, part in observation_space.spaces.items()}
    raise UnsupportedError(f"no buffer holds observations of {observation_space}")


def get_flattened_obs_dim(observation_space: gymnasium.Space) -> int:
    """Numbers of a flattened observation, with choices as one-hot vectors."""
    if isinstance(observation_space, MultiDiscrete):
        return int(observation_space.nvec.sum())
    return flatdim(observation_space)


def get_action_dim(action_space: gymnasium.Space) -> int:
    """Numbers of an action as a buffer keeps it."""
    if isinstance(action_space, Box):
        return int(np.prod(action_space.shape))
    if isinstance(action_space, Discrete):
        return 1
    if isinstance(action_space, MultiDiscrete):
        return len(action_space.nvec)
    if isinstance(action_space, MultiBinary):
        check_multi_binary(action_space)
        return int(action_space.n)  # pyright: ignore[reportArgumentType] (a number, as was just checked)
    raise UnsupportedError(f"no buffer holds actions of {action_space}")


def check_multi_binary(action_space: MultiBinary) -> None:
    """Raise ``AssertionError`` for one of several dimensions, as Stable-Baselines3 does."""
    assert isinstance(action_space.n, int | np.integer), (
        f"Multi-dimensional MultiBinary({action_space.n}) action space is not supported: flatten it"
    )


def check_for_nested_spaces(obs_space: gymnasium.Space) -> None:
    """Raise ``NotImplementedError`` where a Dict or Tuple holds another one."""
    if not isinstance(obs_space, Dict | gymnasium.spaces.Tuple):
        return
    parts = obs_space.spaces.values() if isinstance(obs_space, Dict) else obs_space.spaces
    if any(isinstance(part, Dict | gymnasium.spaces.Tuple) for part in parts):
        raise UnsupportedError(
            f"Nested observation spaces are not supported, and {obs_space} is one: clipper.train takes them"
        )
