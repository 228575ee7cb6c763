"""Rock, paper, scissors: both choose at once; the only optimum is to play each a third of the time."""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete


class RockPaperScissors:
    """The rules. A board is both players' choices, 1 to 3, and 0 before; who moves second sees nothing of the first's.

    Paper (1) beats rock (0), scissors (2) beat paper, rock beats scissors. A player sees one number, 0.
    """

    observation_space: ClassVar[Box] = Box(0.0, 1.0, (1,))
    action_space: ClassVar[Discrete] = Discrete(3)
    cells: ClassVar[int] = 2

    def legal(self, boards: np.ndarray) -> np.ndarray:
        """All three, ``[n, 3]``."""
        return np.ones((len(boards), 3), dtype=bool)

    def see(self, boards: np.ndarray, player: int) -> np.ndarray:
        """Nothing, ``[n, 1]``."""
        return np.zeros((len(boards), 1), dtype=np.float32)

    def play(self, boards: np.ndarray, player: int, action: np.ndarray) -> None:
        """A player's choice, in place."""
        boards[:, player - 1] = action + 1

    def won(self, boards: np.ndarray, player: int) -> np.ndarray:
        """Where both have chosen, and the player's choice beats the other's, ``[n]``."""
        own, other = boards[:, player - 1], boards[:, 2 - player]
        return self.full(boards) & ((own - other) % 3 == 1)

    def full(self, boards: np.ndarray) -> np.ndarray:
        """Where both have chosen, ``[n]``."""
        return (boards != 0).all(1)
