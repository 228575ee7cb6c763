"""A grid whose cells are seen as a vector and as a picture."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

from clipper.data.tree_type import Tree
from clipper.environments.told_episodes import Info

MOVES = ("left", "down", "right", "up")
"""By their numbers."""


class SimpleMultiObsEnv(gymnasium.Env):
    """A walk from the first cell to the last; −0.1 a step, 1 at the end, and walls stand still."""

    def __init__(
        self, num_col: int = 4, num_row: int = 4, random_start: bool = True, discrete_actions: bool = True,
        channel_last: bool = True,
    ) -> None:  # fmt: skip
        self.vector_size, shape = 5, [64, 64, 1] if channel_last else [1, 64, 64]
        self.img_size = shape
        self.random_start, self.discrete_actions = random_start, discrete_actions
        self.action_space = Discrete(4) if discrete_actions else Box(0, 1, (4,))
        self.observation_space = Dict(
            {"vec": Box(0, 1, (self.vector_size,), np.float64), "img": Box(0, 255, tuple(shape), np.uint8)}
        )
        self.num_col, self.num_row = num_col, num_row
        self.count, self.state, self.max_count, self.log = 0, 0, 100, ""
        self.max_state = num_col * num_row - 1
        drawn = np.random.default_rng(0)  # cells look the same in every environment
        self.state_mapping = [
            {"vec": drawn.random(self.vector_size), "img": drawn.integers(0, 256, shape, dtype=np.uint8)}
            for _ in range(num_col * num_row)
        ]

    def possible(self, move: str) -> bool:
        """Does it lead to another cell? Rows are joined by the first and the last column alone."""
        row, column = divmod(self.state, self.num_col)
        border = column in (0, self.num_col - 1)
        return {
            "left": column > 0, "right": column < self.num_col - 1, "down": border and row < self.num_row - 1,
            "up": border and row > 0,
        }[move]  # fmt: skip

    def step(self, action: Tree) -> tuple[dict[str, np.ndarray], float, bool, bool, Info]:
        move = MOVES[int(action) if self.discrete_actions else int(np.argmax(action))]
        if self.possible(move):
            self.state += {"left": -1, "right": 1, "down": self.num_col, "up": -self.num_col}[move]
        self.count += 1
        reached = self.state == self.max_state
        info = {"got_to_end": reached}
        return self.get_state_mapping(), 1.0 if reached else -0.1, reached, self.count > self.max_count, info

    def get_state_mapping(self) -> dict[str, np.ndarray]:
        """What the cell looks like."""
        return self.state_mapping[self.state]

    def render(self, mode: str = "human") -> None:
        """Shows nothing."""

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[dict[str, np.ndarray], Info]:
        if seed is not None:
            super().reset(seed=seed)
        self.count = 0
        self.state = int(self.np_random.integers(0, self.max_state)) if self.random_start else 0
        return self.get_state_mapping(), {}
