"""Spread-v0: two agents on a grid light two lamps, each by standing on it.

Our own task, after the particle world "simple spread" (Lowe et al. 2017, arXiv:1706.02275), small enough to be solved
exactly. On ``size × size`` cells two lamps stand on different cells, drawn uniformly; each agent starts on a cell drawn
uniformly. An agent stays, or goes east, west, north or south; off the grid it stays. Agents do not collide. After each
step both get −1 for each lamp on which nobody stands. Decision 20 truncates.

Observation of an agent: how many cells away, in x and in y, are the first lamp, the second lamp and the other agent;
and which agent it is, as a 0 and a 1.

``values_of`` enumerates all joint states for the largest return there is: its mean over all beginnings is −3.264, where
random play gets about −36.9.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.hybrid.picture import BLUE, GOLD, GREY, INK, RED, Picture
from clipper.errors import ConfigError

MOVES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


def values_of(lamps: np.ndarray, size: int = 5, steps: int = 20) -> np.ndarray:
    """The largest return from each joint state, ``[steps + 1, size⁴]``, with so many steps still to go.

    Backward over joint states (agent 0's cell · size² + agent 1's, a cell being x · size + y): V₀ = 0,
    Vₜ₊₁(s) = max over both agents' moves of r(s′) + Vₜ(s′) (Bellman 1957). ``lamps`` are the two cells, ``[2, 2]``.
    """
    cells = np.stack(np.divmod(np.arange(size**2), size), axis=1)
    there = np.clip(cells[:, None] + MOVES, 0, size - 1) @ (size, 1)
    joint = (there[:, None, :, None] * size**2 + there[None, :, None, :]).reshape(size**4, -1)
    on = (cells[None] == lamps[:, None]).all(2)
    reward = (on[:, :, None] | on[:, None]).sum(0).reshape(-1) - 2
    values = [np.zeros(size**4, np.int64)]
    for _ in range(steps):
        values.append((reward + values[-1])[joint].max(1))
    return np.stack(values)


class Spread:
    """E grids."""

    agents: ClassVar[tuple[str, ...]] = ("agent_0", "agent_1")
    shares: ClassVar[bool] = True
    fps: ClassVar[int] = 4

    def __init__(self, num_envs: int, size: int = 5, max_steps: int = 20) -> None:
        if size < 2 or max_steps < 1:
            raise ConfigError(f"Spread needs a size of 2 and a step at least, not {size} and {max_steps}")
        self.size, self.max_steps = size, max_steps
        self.single_action_space: Discrete = Discrete(5)
        self.single_observation_space: Box = Box(1.0 - size, size - 1.0, (8,))
        self.state = np.zeros((9, num_envs))
        """x and y of both lamps, x and y of both agents, decisions so far."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        cells = self.size**2
        first = generator.integers(cells, size=count)
        second = (first + generator.integers(1, cells, size=count)) % cells
        agents = generator.integers(self.size, size=(4, count))
        lamps = [first % self.size, first // self.size, second % self.size, second // self.size]
        return np.stack([*lamps, *agents, np.zeros(count)]).astype(np.float64)

    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Views: cells of lamps and of agents, ``[2, 2, E]``: which, x or y, copy."""
        return self.state[0:4].reshape(2, 2, -1), self.state[4:8].reshape(2, 2, -1)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lamps, agents = self.places()
        agents += MOVES[action].transpose(1, 2, 0)
        np.clip(agents, 0, self.size - 1, out=agents)
        lit = (lamps[:, None] == agents[None]).all(2).any(1)  # [lamp, E]
        self.state[8] += 1
        reward = np.repeat((lit.sum(0) - 2.0)[:, None], 2, axis=1)
        truncated = self.state[8] >= self.max_steps
        return reward, np.zeros_like(truncated), truncated

    def observe(self) -> np.ndarray:
        lamps, agents = self.places()
        obs = np.zeros((agents.shape[2], 2, 8), dtype=np.float32)
        for a in range(2):
            for k, place in enumerate((lamps[0], lamps[1], agents[1 - a])):
                obs[:, a, 2 * k : 2 * k + 2] = (place - agents[a]).T
            obs[:, a, 6 + a] = 1
        return obs

    def draw(self, e: int) -> np.ndarray:
        lamps, agents = self.places()
        picture = Picture(60 * self.size, 0, self.size, 0, self.size)
        for k in range(1, self.size):
            picture.line(k, 0, k, self.size, 0.02, GREY)
            picture.line(0, k, self.size, k, 0.02, GREY)
        for lamp in lamps[:, :, e]:
            lit = (agents[:, :, e] == lamp).all(1).any()
            picture.disc(lamp[0] + 0.5, lamp[1] + 0.5, 0.42, GOLD if lit else GREY)
        for agent, colour, aside in zip(agents[:, :, e], (BLUE, RED), (-0.12, 0.12), strict=True):
            picture.disc(agent[0] + 0.5 + aside, agent[1] + 0.5, 0.2, colour)
            picture.ring(agent[0] + 0.5 + aside, agent[1] + 0.5, 0.2, 0.04, INK)
        return picture.frame()
