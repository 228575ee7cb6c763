"""Connect four: four in a row on a board of 7 columns and 6 rows, whose marks fall; boards side by side as arrays."""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.agents.marks import Marks

COLUMNS, ROWS = 7, 6


def rows_of_four() -> np.ndarray:
    """The cells of each four in a row, ``[69, 4]``; cell r · 7 + c is row r from below, column c."""
    found = []
    for row, column, (up, right) in (
        (r, c, d) for r in range(ROWS) for c in range(COLUMNS) for d in ((0, 1), (1, 0), (1, 1), (1, -1))
    ):
        cells = [(row + k * up, column + k * right) for k in range(4)]
        if all(0 <= r < ROWS and 0 <= c < COLUMNS for r, c in cells):
            found.append([r * COLUMNS + c for r, c in cells])
    return np.array(found)


class ConnectFour(Marks):
    """The rules. A board is 42 numbers, from below: 0 free, 1 the learner's, 2 the other player's.

    A player sees 84 numbers: where its own marks are, then where the other's are.
    """

    observation_space: ClassVar[Box] = Box(0.0, 1.0, (2 * ROWS * COLUMNS,))
    action_space: ClassVar[Discrete] = Discrete(COLUMNS)
    cells: ClassVar[int] = ROWS * COLUMNS
    lines: ClassVar[np.ndarray] = rows_of_four()

    def legal(self, boards: np.ndarray) -> np.ndarray:
        """Which columns have room, ``[n, 7]``."""
        return boards[:, -COLUMNS:] == 0

    def play(self, boards: np.ndarray, player: int, action: np.ndarray) -> None:
        """Let a mark of the player's fall on each board, in place."""
        rows = np.arange(len(boards))
        height = (boards.reshape(-1, ROWS, COLUMNS) != 0).sum(1)[rows, action]
        boards[rows, height * COLUMNS + action] = player
