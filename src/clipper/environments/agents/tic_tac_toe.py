"""Tic-tac-toe: three in a row on nine cells; boards side by side as arrays, and every game against one player."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.agents.marks import Marks

LINES = np.array([[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]])


class TicTacToe(Marks):
    """The rules. A board is nine numbers: 0 free, 1 the learner's, 2 the other player's.

    A player sees 18 numbers: where its own marks are, then where the other's are.
    """

    observation_space: ClassVar[Box] = Box(0.0, 1.0, (18,))
    action_space: ClassVar[Discrete] = Discrete(9)
    cells: ClassVar[int] = 9
    lines: ClassVar[np.ndarray] = LINES

    def legal(self, boards: np.ndarray) -> np.ndarray:
        """Which cells are free, ``[n, 9]``."""
        return boards == 0

    def play(self, boards: np.ndarray, player: int, action: np.ndarray) -> None:
        """Put a mark of the player's on each board, in place."""
        boards[np.arange(len(boards)), action] = player


def every_game(choose: Callable[[np.ndarray, np.ndarray], np.ndarray], seat: int) -> tuple[int, int, int]:
    """Wins, draws and losses of a deterministic player in all games there are, over every sequence of replies.

    ``choose`` gets what the player sees, ``[n, 18]``, and what is legal, ``[n, 9]``, and gives its moves, ``[n]``.
    ``seat`` 0 begins, 1 replies. Without a loss among them no player, perfect or not, ever beats it.
    """
    game, boards = TicTacToe(), np.zeros((1, 9), np.int8)
    found = np.zeros(3, np.int64)
    if seat:
        boards = replies(boards)
    while len(boards):
        game.play(boards, 1, choose(game.see(boards, 1), game.legal(boards)))
        won = game.won(boards, 1)
        drawn = ~won & game.full(boards)
        found += won.sum(), drawn.sum(), 0
        boards = replies(boards[~won & ~drawn])
        lost = game.won(boards, 2)
        drawn = ~lost & game.full(boards)
        found += 0, drawn.sum(), lost.sum()
        boards = boards[~lost & ~drawn]
    wins, draws, losses = found.tolist()
    return wins, draws, losses


def replies(boards: np.ndarray) -> np.ndarray:
    """Each board after each move that the other player has, one after another."""
    row, cell = np.nonzero(boards == 0)
    after = boards[row].copy()
    after[np.arange(len(row)), cell] = 2
    return after
