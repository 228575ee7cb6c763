"""Small tasks whose observations are trees or images; ``tree_tasks:Locks`` names one for other processes."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple


class Task(gymnasium.Env):
    """Eight independent decisions in an episode; the right action pays 1."""

    action_space: Any = Discrete(2)
    left = 0

    def draw(self) -> Any:
        """The observation; ``self.right`` becomes the right action."""
        raise NotImplementedError

    def info(self) -> dict[str, Any]:
        return {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 8
        return self.draw(), self.info()

    def step(self, action):
        reward = float(action == self.right)
        self.left -= 1
        return self.draw(), reward, False, self.left == 0, self.info()

    def get_state(self):
        return {"left": self.left, "right": int(self.right)}

    def set_state(self, state):
        self.left, self.right = state["left"], state["right"]


class Locks(Task):
    """The right action is the XOR of two leaves: neither alone tells anything."""

    observation_space = Dict(
        {
            "switch": Discrete(2, start=3),
            "inner": Tuple([Box(-5, 5, (2,)), Dict({"bits": MultiBinary(3), "kinds": MultiDiscrete([2, 3])})]),
        }
    )

    def draw(self) -> Any:
        draw = self.np_random
        switch, x = draw.integers(2), draw.uniform(-5, 5, 2).astype(np.float32)
        self.right = int(switch) ^ int(x[0] > 0)
        kinds = np.array([draw.integers(2), draw.integers(3)])
        return {"switch": switch + 3, "inner": (x, {"bits": draw.integers(2, size=3).astype(np.int8), "kinds": kinds})}


class Side(Task):
    """A bright pixel on dark noise: is it in the left half of the picture?"""

    observation_space = Box(0, 255, (7, 7, 3), np.uint8)

    def draw(self) -> Any:
        picture = self.np_random.integers(0, 60, (7, 7, 3)).astype(np.uint8)
        column = int(self.np_random.choice([0, 1, 2, 4, 5, 6]))
        picture[self.np_random.integers(7), column] = 255
        self.right = int(column < 3)
        return picture


class Masked(Task):
    """Which of four actions is right is seen; which are legal is under ``mask_key`` of the observation, or in info."""

    action_space = Discrete(4)

    def __init__(self, mask_key: str | None = "action_mask") -> None:
        self.mask_key = mask_key
        parts: dict[str, Any] = {"seen": Discrete(4)}
        if mask_key is not None:
            parts[mask_key] = Box(0, 1, (4,), np.int8)
        self.observation_space = Dict(parts)

    def draw(self) -> Any:
        self.right = int(self.np_random.integers(4))
        self.mask = (self.np_random.random(4) < 0.5).astype(np.int8)
        self.mask[self.right] = 1
        seen = {"seen": np.int64(self.right)}
        return seen if self.mask_key is None else {**seen, self.mask_key: self.mask.copy()}

    def info(self) -> dict[str, Any]:
        return {"action_mask": self.mask} if self.mask_key is None else {}

    def step(self, action):
        assert self.mask[action], "this action is masked"
        return super().step(action)


class Secret(Task):
    """The actor sees noise; ``state`` tells the reward of this decision, which no action changes."""

    observation_space = Dict({"state": Box(-2, 2, (1,)), "noise": Box(-2, 2, (1,))})

    def draw(self) -> Any:
        self.right, self.pay = 0, float(self.np_random.uniform(-1, 1))
        return {"state": np.array([self.pay], np.float32), "noise": self.np_random.uniform(-2, 2, 1).astype(np.float32)}

    def step(self, action):
        pay = self.pay
        obs, _, terminated, truncated, info = super().step(action)
        return obs, pay, terminated, truncated, info
