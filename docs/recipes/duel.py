"""A game whose skills have targets, for the page on hybrid actions. In its folder: clipper train duel:Duel"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf


class Duel(gymnasium.Env):
    """Strike a place once charged, parry a lane, or charge: twelve rounds, 18 at best."""

    observation_space = Box(-1.0, 1.0, (8,), np.float32)
    action_space = OneOf([Box(-1.0, 1.0, (1,), np.float32), Discrete(3), Discrete(1)])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.rounds, self.charged = 0, False
        return self.look()

    def step(self, action: tuple) -> tuple[np.ndarray, float, bool, bool, dict]:
        skill, target = action
        reward = 0.0
        if skill == 0:  # strike: the nearer to where the enemy stands, the better
            reward = 3.0 - 4.0 * abs(float(target[0]) - self.place)
        if skill == 1:  # parry: in the lane of its attack
            reward = 0.3 if target == self.lane else -0.3
        self.charged = skill == 2 or (self.charged and skill == 1)
        self.rounds += 1
        obs, info = self.look()
        return obs, reward, self.rounds == 12, False, info

    def look(self) -> tuple[np.ndarray, dict]:
        """The enemy moves: where it stands, the lane that it attacks, and one that is walled off."""
        self.place = self.np_random.uniform(-0.9, 0.9)
        self.lane, self.walled = self.np_random.permutation(3)[:2]
        lanes = [*(np.arange(3) == self.lane), *(np.arange(3) == self.walled)]
        return np.array([self.place, self.charged, *lanes], np.float32), {"action_mask": self.mask()}

    def mask(self) -> tuple[np.ndarray, tuple]:
        """Which skills may be chosen, and for each of them its targets; None allows all."""
        skills = np.array([self.charged, True, not self.charged])
        return skills, (None, np.arange(3) != self.walled, None)
