"""A game whose skills have targets, some of which are not ready: made by an id, or named as ``skills:Arena``."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf


class Arena(gymnasium.Env):
    """A target lies at x ∈ [−1, 1]. Strike it with a force near x where that is ready, else heal with the right herb.

    Episodes last ten decisions. Its state can be saved, so runs are resumed exactly.
    """

    observation_space = Box(-1, 1, (3,))
    action_space = OneOf([Box(-1, 1, (1,)), Discrete(2)])

    def look(self) -> tuple[np.ndarray, dict]:
        self.x, self.ready, self.herb = (
            self.np_random.uniform(-1, 1),
            self.np_random.random() < 0.5,
            self.np_random.integers(2),
        )
        herbs = np.arange(2) == self.herb
        mask = np.array([self.ready, not self.ready]), (None, herbs)
        return np.array([self.x, self.ready, self.herb], np.float32), {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 10
        return self.look()

    def step(self, action):
        skill, target = action
        assert skill == (not self.ready), "this skill is not ready"
        assert skill == 0 or target == self.herb, "there is no such herb"
        reward = 1 - abs(float(target[0]) - self.x) if skill == 0 else 0.0
        self.left -= 1
        obs, info = self.look()
        return obs, reward, False, self.left == 0, info

    def get_state(self):
        return {"x": float(self.x), "ready": bool(self.ready), "herb": int(self.herb), "left": self.left}

    def set_state(self, state):
        self.x, self.ready, self.herb, self.left = state["x"], state["ready"], state["herb"], state["left"]
