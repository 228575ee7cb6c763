"""Small environments for what none of the library's own or Gymnasium's shows; they know nothing of the library."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple


class Task(gymnasium.Env):
    """Eight decisions, independent of each other, of which the right ones pay 1."""

    action_space: Any = Discrete(2)
    left = 0
    right = 0.0

    def look(self) -> tuple[Any, dict[str, Any]]:
        """The next observation and info; ``self.right`` becomes what ``score`` reads."""
        raise NotImplementedError

    def score(self, action: Any) -> float:
        """The reward."""
        return float(action == self.right)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 8
        return self.look()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self.score(action)
        self.left -= 1
        obs, info = self.look()
        return obs, reward, bool(reward > 0 and self.left == 2), self.left == 0, info

    def get_state(self) -> dict[str, Any]:
        """What a resumed run needs beside the generator."""
        return {"left": self.left, "right": float(self.right)}

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.left, self.right = state["left"], state["right"]


class Locks(Task):
    """A tree of observations: the right action is the XOR of two leaves."""

    observation_space = Dict(
        {
            "switch": Discrete(2, start=3),
            "inner": Tuple([Box(-5, 5, (2,)), Dict({"bits": MultiBinary(3), "kinds": MultiDiscrete([2, 3])})]),
        }
    )

    def look(self) -> tuple[Any, dict[str, Any]]:
        draw = self.np_random
        switch, x = draw.integers(2), draw.uniform(-5, 5, 2).astype(np.float32)
        self.right = int(switch) ^ int(x[0] > 0)
        kinds = np.array([draw.integers(2), draw.integers(3)])
        return {
            "switch": switch + 3,
            "inner": (x, {"bits": draw.integers(2, size=3).astype(np.int8), "kinds": kinds}),
        }, {}


class Side(Task):
    """A picture: does its bright pixel lie in the left half?"""

    observation_space = Box(0, 255, (7, 7, 3), np.uint8)

    def look(self) -> tuple[Any, dict[str, Any]]:
        picture = self.np_random.integers(0, 60, (7, 7, 3)).astype(np.uint8)
        column = int(self.np_random.choice([0, 1, 2, 4, 5, 6]))
        picture[self.np_random.integers(7), column] = 255
        self.right = int(column < 3)
        return picture, {}


class Crane(Task):
    """A tree of actions: which arm, how far, which of two claws."""

    observation_space = Box(-1, 1, (2,))
    action_space: Any = Dict({"arm": Discrete(2), "move": Tuple([Box(-1, 1, (2,)), MultiDiscrete([2, 3])])})

    def look(self) -> tuple[Any, dict[str, Any]]:
        obs = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.right = float(obs[0])
        return obs, {}

    def score(self, action: Any) -> float:
        far, claws = action["move"]
        return float((action["arm"] == (self.right > 0)) - (far[0] - self.right) ** 2 + 0.1 * claws.sum())


class Forbidding(Task):
    """The mask is part of the observation, under ``action_mask``."""

    observation_space = Dict({"seen": Box(0, 1, (4,)), "action_mask": Box(0, 1, (4,), np.int8)})
    action_space: Any = Discrete(4)

    def look(self) -> tuple[Any, dict[str, Any]]:
        self.right = int(self.np_random.integers(4))
        mask = (self.np_random.random(4) < 0.5).astype(np.int8)
        mask[self.right] = 1
        return {"seen": np.eye(4, dtype=np.float32)[self.right], "action_mask": mask}, {}


class Wheels(Task):
    """Two choices at once, with a mask in the info."""

    observation_space = Box(-1, 1, (3,))
    action_space: Any = MultiDiscrete([3, 2])

    def look(self) -> tuple[Any, dict[str, Any]]:
        legal = self.np_random.random(5) < 0.4
        legal[[self.np_random.integers(3), 3 + self.np_random.integers(2)]] = True
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {"action_mask": legal}

    def score(self, action: Any) -> float:
        return float(action.sum())
