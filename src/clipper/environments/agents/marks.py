"""What games of marks in a row have in common; boards side by side as arrays."""

from typing import ClassVar

import numpy as np


class Marks:
    """Who puts marks on all cells of one of the ``lines`` has won. A cell is 0 free, 1 the learner's, 2 the other's."""

    lines: ClassVar[np.ndarray]
    """The cells of each line, ``[L, k]``."""

    def see(self, boards: np.ndarray, player: int) -> np.ndarray:
        """Where a player's own marks are, then where the other's are, ``[n, 2 · cells]``."""
        return np.concatenate([boards == player, boards == 3 - player], axis=1).astype(np.float32)

    def won(self, boards: np.ndarray, player: int) -> np.ndarray:
        """Where a player has a whole line, ``[n]``."""
        return (boards[:, self.lines] == player).all(2).any(1)

    def full(self, boards: np.ndarray) -> np.ndarray:
        """Where nothing is free any more, ``[n]``."""
        return (boards != 0).all(1)
