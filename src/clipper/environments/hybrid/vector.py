"""A task as a vector environment: all copies step in a handful of array operations."""

from collections.abc import Callable

import numpy as np
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.data.values import shown
from clipper.environments.copies import Copies
from clipper.environments.hybrid.actions import batch_actions
from clipper.environments.hybrid.task import Task
from clipper.environments.told_episodes import Info
from clipper.errors import ConfigError
from clipper.spaces.actions import batch

MOST = 10_000_000  # copies


class Native(Copies):
    """``num_envs`` copies of ``task(num_envs, **settings)``, in next-step autoreset mode.

    One generator serves all copies, so that ``reset(seed=…)`` takes one integer. Actions are batched in Clipper's
    layout (``clipper.spaces.actions``), or in Gymnasium's.
    """

    def __init__(
        self, task: Callable[..., Task], num_envs: int, *, render_mode: str | None = None, **settings: object
    ) -> None:
        if isinstance(num_envs, bool) or not isinstance(num_envs, int | np.integer) or not 1 <= num_envs <= MOST:
            raise ConfigError(f"num_envs must be a whole number from 1 to {MOST:,}, not {shown(num_envs)}")
        self.task, self.num_envs = task(num_envs, **settings), num_envs
        super().__init__(num_envs, self.task.fps, render_mode)
        self.single_observation_space = self.task.single_observation_space
        self.single_action_space = self.task.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        """Begin an episode in each copy; ``seed`` starts their common generator anew."""
        super().reset(seed=seed, options=options)
        self.task.state[:] = self.task.begin(self.num_envs, self.np_random)
        self.resets = np.zeros(self.num_envs, dtype=bool)
        return self.task.observe(), self.task.info()

    def step(self, actions: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step those whose episode goes on, reset the others. Actions are as ``batch_actions`` takes them."""
        action = batch_actions(self.single_action_space, actions, self.num_envs)
        reward, terminated, truncated = self.task.step(action, self.np_random, self.resets)
        over = np.flatnonzero(self.resets)
        if len(over):
            self.task.state[:, over] = self.task.begin(len(over), self.np_random)
            reward[over], terminated[over], truncated[over] = 0, False, False
        self.resets = terminated | truncated
        return self.task.observe(), reward, terminated, truncated, self.task.info()
