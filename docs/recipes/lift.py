"""A lift, for the guide to environments of one's own. In its folder: clipper train lift:Lift"""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

FLOORS, DAY = 5, 40
UP, DOWN, OPEN = range(3)


class Lift(gymnasium.Env):
    """Fetch those who wait: go up, go down, or open the door; a day has 40 moves."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 4}
    observation_space = Box(0.0, 1.0, (2 * FLOORS,), np.float32)
    action_space = Discrete(3)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)  # seeds self.np_random
        self.floor, self.moves = 0, 0
        self.waiting = self.np_random.random(FLOORS) < 0.3
        return self.look(), {"action_mask": self.legal()}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        reward = -0.05 * float(self.waiting.sum())
        if action == OPEN:
            reward += float(self.waiting[self.floor])
            self.waiting[self.floor] = False
        else:
            self.floor += 1 if action == UP else -1
        self.waiting |= self.np_random.random(FLOORS) < 0.05
        self.moves += 1
        # Nothing ends for good: the day is cut off, and what comes after it still has a value.
        return self.look(), reward, False, self.moves == DAY, {"action_mask": self.legal()}

    def look(self) -> np.ndarray:
        return np.concatenate([np.arange(FLOORS) == self.floor, self.waiting]).astype(np.float32)

    def legal(self) -> np.ndarray:
        """What ``info["action_mask"]`` holds; leave it out where every action is possible."""
        return np.array([self.floor < FLOORS - 1, self.floor > 0, True])

    def render(self) -> np.ndarray:
        """A picture ``[height, width, 3]`` of bytes, for videos."""
        picture = np.full((40 * FLOORS, 80, 3), 235, np.uint8)
        for floor in range(FLOORS):
            top = 40 * (FLOORS - 1 - floor)
            picture[top + 4 : top + 36, 4:36] = (0, 114, 178) if floor == self.floor else (210, 210, 210)
            picture[top + 12 : top + 28, 52:68] = (213, 94, 0) if self.waiting[floor] else (235, 235, 235)
        return picture

    def get_state(self) -> dict:
        """What the next step depends on, np_random aside: with it, a resumed run is exact."""
        return {"floor": self.floor, "moves": self.moves, "waiting": self.waiting.copy()}

    def set_state(self, state: dict) -> None:
        self.floor, self.moves, self.waiting = state["floor"], state["moves"], state["waiting"].copy()
