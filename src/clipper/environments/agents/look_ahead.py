"""A player that looks one step ahead: it wins where it can, stops the other from winning next, or moves uniformly."""

import numpy as np

from clipper.environments.agents.turns import LEARNER, OTHER, Game, Uniform


class LookAhead(Uniform):
    """An opponent for games whose players see their own marks and then the other's, as tic-tac-toe and connect four.

    Of several winning moves it takes one that blocks as well, otherwise any, each as likely. ``blocks=False``: it sees
    its own wins only.
    """

    def __init__(self, game: Game, blocks: bool = True) -> None:
        self.game, self.blocks = game, blocks

    def move(
        self, obs: np.ndarray, legal: np.ndarray, tables: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        cells = self.game.cells
        boards = (obs[:, :cells] * LEARNER + obs[:, cells:] * OTHER).astype(np.int8)  # as it sees them: its own are 1
        worth = np.where(legal, generator.random(legal.shape), -1)
        if self.blocks:
            worth += 2 * self.winning(boards, legal, OTHER)
        return (worth + 4 * self.winning(boards, legal, LEARNER)).argmax(1)

    def winning(self, boards: np.ndarray, legal: np.ndarray, player: int) -> np.ndarray:
        """Which moves would win at once for a player, ``[n, K]``."""
        row, action = np.nonzero(legal)
        after, found = boards[row].copy(), np.zeros_like(legal)
        self.game.play(after, player, action)
        found[row, action] = self.game.won(after, player)
        return found
