"""Environments whose right action is what is seen."""

from typing import Generic, TypeVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info

T = TypeVar("T", int, np.ndarray)


class IdentityEnv(gymnasium.Env, Generic[T]):
    """Reward 1 for the action that equals the observation, in episodes of ``ep_length`` steps."""

    def __init__(self, dim: int | None = None, space: gymnasium.Space | None = None, ep_length: int = 100) -> None:
        if space is None:
            space = Discrete(1 if dim is None else dim)
        else:
            assert dim is None, "dim and space say the same: give one of them"
        self.action_space = self.observation_space = space
        self.ep_length, self.current_step, self.num_resets = ep_length, 0, -1
        self.state: Tree = None
        self.reset()

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Tree, Info]:
        if seed is not None:
            super().reset(seed=seed)
        self.current_step = 0
        self.num_resets += 1
        self._choose_next_state()
        return self.state, {}

    def step(self, action: Tree) -> tuple[Tree, float, bool, bool, Info]:
        reward = self._get_reward(action)
        self._choose_next_state()
        self.current_step += 1
        return self.state, reward, False, self.current_step >= self.ep_length, {}

    def _choose_next_state(self) -> None:
        self.state = self.action_space.sample()

    def _get_reward(self, action: Tree) -> float:
        return 1.0 if np.all(self.state == action) else 0.0

    def render(self, mode: str = "human") -> None:
        """Shows nothing."""


class IdentityEnvBox(IdentityEnv[np.ndarray]):
    """Of a number, which is right within ``eps``."""

    def __init__(self, low: float = -1, high: float = 1, eps: float = 0.05, ep_length: int = 100) -> None:
        super().__init__(space=Box(low=low, high=high, shape=(1,), dtype=np.float32), ep_length=ep_length)
        self.eps = eps

    def _get_reward(self, action: Tree) -> float:
        return 1.0 if np.all((self.state - self.eps <= action) & (action <= self.state + self.eps)) else 0.0


class IdentityEnvMultiDiscrete(IdentityEnv[np.ndarray]):
    """Of two choices."""

    def __init__(self, dim: int = 1, ep_length: int = 100) -> None:
        super().__init__(space=MultiDiscrete([dim, dim]), ep_length=ep_length)


class IdentityEnvMultiBinary(IdentityEnv[np.ndarray]):
    """Of several bits."""

    def __init__(self, dim: int = 1, ep_length: int = 100) -> None:
        super().__init__(space=MultiBinary(dim), ep_length=ep_length)


class FakeImageEnv(gymnasium.Env):
    """Noise as pictures, to try networks for images; episodes of ten steps, without rewards."""

    def __init__(
        self, action_dim: int = 6, screen_height: int = 84, screen_width: int = 84, n_channels: int = 1,
        discrete: bool = True, channel_first: bool = False,
    ) -> None:  # fmt: skip
        plane = (screen_height, screen_width)
        self.observation_shape = (n_channels, *plane) if channel_first else (*plane, n_channels)
        self.observation_space = Box(0, 255, self.observation_shape, np.uint8)
        self.action_space = Discrete(action_dim) if discrete else Box(-1, 1, (5,), np.float32)
        self.ep_length, self.current_step = 10, 0

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[np.ndarray, Info]:
        if seed is not None:
            super().reset(seed=seed)
        self.current_step = 0
        return self.observation_space.sample(), {}

    def step(self, action: Tree) -> tuple[np.ndarray, float, bool, bool, Info]:
        self.current_step += 1
        return self.observation_space.sample(), 0.0, False, self.current_step >= self.ep_length, {}

    def render(self, mode: str = "human") -> None:
        """Shows nothing."""
