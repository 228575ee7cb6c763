"""Tasks of several agents as arrays, and a vector environment of them: all copies step in a handful of operations."""

from collections.abc import Callable
from typing import ClassVar, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

from clipper.data.tree_type import Tree
from clipper.environments.checks import AGENTS, DECIDES, TEAM_REWARD
from clipper.environments.copies import Copies
from clipper.environments.told_episodes import Info


@runtime_checkable
class TeamTask(Protocol):
    """E copies of an environment of A agents that begin and end together."""

    agents: ClassVar[tuple[str, ...]]
    """Their names, in the order of columns."""
    shares: ClassVar[bool]
    """Does each agent get the reward of all?"""
    fps: ClassVar[int]
    """Decisions per second when watched."""
    state: np.ndarray
    """All that changes, ``[F, E]``: one row for each quantity."""

    @property
    def single_observation_space(self) -> gymnasium.spaces.Box:
        """Of one agent."""
        ...

    @property
    def single_action_space(self) -> gymnasium.spaces.Discrete:
        """Of one agent."""
        ...

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        """States ``[F, count]`` in which episodes begin."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions ``[E, A]`` → rewards ``[E, A]``, terminated and truncated, ``[E]`` each."""
        ...

    def observe(self) -> np.ndarray:
        """What each agent sees, ``[E, A, …]``, in an array of its own."""
        ...

    def draw(self, e: int) -> np.ndarray:
        """A picture of copy e, ``[height, width, 3]`` bytes."""
        ...


class Together(Copies):
    """E copies of ``task(E, **settings)`` as E·A columns, in next-step autoreset mode; column e·A + a is agent a of e.

    One generator serves all copies, so that ``reset(seed=…)`` takes one integer.
    """

    def __init__(
        self, task: Callable[..., TeamTask], num_envs: int, *, render_mode: str | None = None, **settings: object
    ) -> None:
        self.task = task(num_envs, **settings)
        super().__init__(num_envs, self.task.fps, render_mode)
        self.count = len(self.task.agents)
        self.num_envs = self.copies * self.count
        self.metadata |= {AGENTS: self.task.agents, TEAM_REWARD: self.task.shares}
        self.single_observation_space = self.task.single_observation_space
        self.single_action_space = self.task.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, object] | None = None) -> tuple[np.ndarray, Info]:
        """Begin an episode in each copy; ``seed`` starts their common generator anew."""
        super().reset(seed=seed, options=options)
        self.task.state[:] = self.task.begin(self.copies, self.np_random)
        self.resets = np.zeros(self.copies, dtype=bool)
        return self.look(), self.info()

    def step(self, actions: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Step those whose episode goes on, reset the others."""
        reward, terminated, truncated = self.task.step(np.asarray(actions).reshape(self.copies, self.count))
        over = np.flatnonzero(self.resets)
        if len(over):
            self.task.state[:, over] = self.task.begin(len(over), self.np_random)
            reward[over], terminated[over], truncated[over] = 0, False, False
        self.resets = terminated | truncated
        terminated, truncated = np.repeat(terminated, self.count), np.repeat(truncated, self.count)
        return self.look(), reward.reshape(-1), terminated, truncated, self.info()

    def look(self) -> np.ndarray:
        """Observations of all agents."""
        obs = self.task.observe()
        return obs.reshape(self.num_envs, *obs.shape[2:])

    def info(self) -> Info:
        """Who decides next."""
        return {DECIDES: np.repeat(~self.resets, self.count)}
