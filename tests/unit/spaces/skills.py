"""Games with masks at every node; ``skills:Arena`` names the first. They refuse what is not legal."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, OneOf, Tuple


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


class Orders(gymnasium.Env):
    """A unit and what it is told to do: which targets and how far it may go depends on the unit. Refuses all else."""

    observation_space = Box(-np.inf, np.inf, (3,))
    action_space = Tuple([Discrete(3), Discrete(4), Box(0, 10, (1,))])

    def __init__(self, flaw: str = "") -> None:
        self.flaw, self.count = flaw, 0

    def look(self):
        self.count += 1
        self.units, self.targets = table(self.np_random, 1, 3)[0], table(self.np_random, 3, 4)
        self.reach = self.np_random.uniform(0, 5, 3)
        bounds = np.stack([np.stack([self.reach, self.reach + 1], 1)], -1)
        targets = {"given": 0, "table": self.targets}
        if self.count > 5:
            match self.flaw:
                case "rows":
                    targets["table"] = self.targets[:2]
                case "later":
                    targets["given"] = 2
                case "nothing":
                    targets["table"] = self.targets & ~self.units[:, None]
                case "unreachable":
                    targets["table"] = self.targets & self.units[:, None]
                case "plain":
                    return self.np_random.normal(size=3), {"action_mask": (self.units, self.targets[0], None)}
        mask = self.units, targets, {"given": 0, "table": bounds.reshape(3, 2, 1)}
        return self.np_random.normal(size=3), {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 6))
        return self.look()

    def step(self, action):
        unit, target, distance = action
        assert self.action_space.contains(action)
        assert self.units[unit]
        assert self.targets[unit, target]
        assert self.reach[unit] - 1e-5 <= distance[0] <= self.reach[unit] + 1 + 1e-5
        self.left -= 1
        obs, info = self.look()
        return obs, float(target), self.left == 0, False, info


def table(rng: np.random.Generator, rows: int, count: int) -> np.ndarray:
    mask = rng.random((rows, count)) < 0.5
    mask[np.arange(rows), rng.integers(count, size=rows)] = True
    return mask


class Telling(Arena):
    """The same masks as Arena's, from a method instead of the info."""

    def look(self):
        obs, info = super().look()
        self.mask = info["action_mask"]
        return obs, {}

    def action_masks(self):
        assert self.left > 0, "asked where nothing is decided"
        return self.mask
