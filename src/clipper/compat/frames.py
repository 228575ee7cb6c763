"""Pictures as Stable-Baselines3 lays them out and stacks them. Loads little: worker processes make these."""

from typing import Literal, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from clipper.data.tree_type import Tree
from clipper.environments.ids import called
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError


class ChannelsLast(gymnasium.ObservationWrapper):
    """``[frames, height, width]`` as ``[height, width, frames]``."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        self.observation_space = Box(np.moveaxis(space.low, 0, -1), np.moveaxis(space.high, 0, -1), dtype=space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.moveaxis(observation, 0, -1)


class StackedFrames(gymnasium.Wrapper):
    """The latest ``n`` observations, one behind another along the ``first`` or last axis; 0 before the first."""

    def __init__(self, env: gymnasium.Env, n: int, order: Literal["first", "last"]) -> None:
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or not space.shape:
            raise ConfigError(f"VecFrameStack stacks arrays here, not {space}")
        self.axis = 0 if order == "first" else len(space.shape) - 1
        self.width = space.shape[self.axis]
        low, high = (np.concatenate([bound] * n, self.axis) for bound in (space.low, space.high))
        self.observation_space = Box(low, high, dtype=space.dtype)
        self.frames = np.zeros(low.shape, space.dtype)

    def reset(self, **kwargs: object) -> tuple[np.ndarray, Info]:
        obs, info = called(self.env.reset, **kwargs)
        self.frames = np.zeros_like(self.frames)
        return self.stacked(obs), info

    def step(self, action: Tree) -> tuple[np.ndarray, SupportsFloat, bool, bool, Info]:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self.stacked(obs), reward, terminated, truncated, info

    def stacked(self, obs: np.ndarray) -> np.ndarray:
        """What was seen before, without the oldest, and what is seen now."""
        before = np.moveaxis(self.frames, self.axis, -1)[..., self.width :]
        self.frames = np.concatenate([np.moveaxis(before, -1, self.axis), obs], self.axis)
        return self.frames


def order_of(space: gymnasium.Space, asked: str | None) -> Literal["first", "last"]:
    """Where channels lie: as ``asked``, else first in an image that has fewer of them than columns, or last."""
    if asked in ("first", "last"):
        return asked
    if asked is not None:
        raise ConfigError(f"channels_order is 'first', 'last' or None, not {asked!r}")
    shape = space.shape or ()
    return "first" if len(shape) == 3 and shape[0] < shape[2] else "last"
