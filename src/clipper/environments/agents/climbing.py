"""Climbing-v0: the climbing game, whose best joint action is next to the worst (Claus & Boutilier 1998).

Two agents each choose one of three actions once, without seeing anything, and both get::

    first a    b: 0    1    2
    0            11  −30    0
    1           −30    7    6
    2             0    0    5

11 for (0, 0) is the most. An agent that judges its actions by the mean over what the other one does at random finds 0
and 1 bad (−19/3, −17/3 to the first, −19/3, −23/3 to the second) and 2 good (5/3, 11/3); so independent learners turn
to 2, and then to what is best beside it: relative overgeneralisation (Wiegand 2003; Panait, Luke & Wiegand 2006).

Observation: which agent it is, as a 0 and a 1. The state that a critic may see is the same.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.hybrid.picture import BLUE, GREY, INK, Picture

PAYOFF = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])
"""What both get, by the first agent's action and the second's."""


class Climbing:
    """E games."""

    agents: ClassVar[tuple[str, ...]] = ("agent_0", "agent_1")
    shares: ClassVar[bool] = True
    fps: ClassVar[int] = 1

    def __init__(self, num_envs: int) -> None:
        self.single_action_space: Discrete = Discrete(3)
        self.single_observation_space: Box = Box(0.0, 1.0, (2,))
        self.state = np.full((2, num_envs), -1.0)
        """The last actions of both; −1 before."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        return np.full((2, count), -1.0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.state[:] = action.T
        reward = np.repeat(PAYOFF[action[:, 0], action[:, 1]][:, None], 2, axis=1)
        over = np.ones(len(action), dtype=bool)
        return reward, over, ~over

    def observe(self) -> np.ndarray:
        return np.tile(np.eye(2, dtype=np.float32), (self.state.shape[1], 1, 1))

    def draw(self, e: int) -> np.ndarray:
        picture = Picture(240, 0, 3, 0, 3)
        for k in range(1, 3):
            picture.line(k, 0, k, 3, 0.02, GREY)
            picture.line(0, k, 3, k, 0.02, GREY)
        first, second = self.state[:, e]
        if first >= 0:
            picture.disc(second + 0.5, 2.5 - first, 0.3, BLUE)
            picture.ring(second + 0.5, 2.5 - first, 0.3, 0.04, INK)
        return picture.frame()
