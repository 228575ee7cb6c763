"""Rooms-v0: six rooms, a key and a locked door, and a reward at the end alone.

Our own task, after MiniGrid's multi-room and key tasks (Chevalier-Boisvert et al. 2023, arXiv 2306.13831). Rooms of
``size × size`` cells stand in two rows of three with walls of one cell between them. Openings lead along a path of
rooms, below from the left to the right and back above: key, start, empty; empty, empty, goal. Between the first two
rooms above, from the right, the opening is a door, locked until the key has opened it. Openings, key and goal are on
cells drawn once from ``layout``: all copies and episodes have the same. An episode begins on a uniform cell of the
start room.

Actions: go east, west, north or south; take the key, where it lies; open the door, with the key from a cell beside it.
An invalid action has no effect; the mask of valid ones is ``info["action_mask"]``, ``[N, 6]``. To be at the goal pays 1
and terminates; nothing else pays, and decision 400 truncates. So the best return is 1, however long the way; the
shortest with ``size`` 4 and ``layout`` 0 takes 43 to 49 decisions, by where it begins.

Observation: the column one-hot and the row one-hot, whether the key has been taken, whether the door is open.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.hybrid.picture import BLUE, GOLD, GREEN, INK, PAPER, RED, Picture
from clipper.errors import ConfigError

MOVES = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
TAKE, OPEN = 4, 5


class Rooms:
    """N copies of the same rooms."""

    fps: ClassVar[int] = 15

    def __init__(self, num_envs: int, size: int = 4, layout: int = 0, max_steps: int = 400) -> None:
        if size < 2 or max_steps < 1:
            raise ConfigError(f"Rooms needs a size of 2 and one step at least, not size={size}, max_steps={max_steps}")
        self.size, self.max_steps = size, max_steps
        self.width, self.height = 3 * size + 2, 2 * size + 1
        generator = np.random.default_rng(layout)
        a, b, c, d, e, *cells = (int(x) for x in generator.integers(size, size=9))
        up = size + 1
        self.door = np.array([2 * size + 1, up + d])
        self.key = np.array([cells[0], cells[1]])
        self.goal = np.array([cells[2], up + cells[3]])
        self.free = np.ones((self.width, self.height), dtype=bool)
        """Which cells are no wall; the door is free, too."""
        self.free[[size, 2 * size + 1], :] = self.free[:, size] = False
        self.openings = np.array([(size, a), (2 * size + 1, b), (2 * size + 2 + c, size), self.door, (size, up + e)])
        self.free[tuple(self.openings.T)] = True
        self.single_action_space = Discrete(6)
        self.single_observation_space = Box(0, 1, (self.width + self.height + 2,))
        self.state = np.zeros((6, num_envs))
        """x, y, has the key, the door is open, decisions so far, success."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        x, y = generator.integers(self.size, size=(2, count))
        o = np.zeros(count)
        return np.stack([x + self.size + 1, y, o, o, o, o]).astype(np.float64)

    def step(
        self, action: np.ndarray, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        place, (has, opened, steps, success) = self.state[0:2], self.state[2:]
        valid = self.mask()[np.arange(len(action)), action]
        moves = valid & (action < 4)
        place += np.where(moves, MOVES[np.where(moves, action, 0)].T, 0)
        has[valid & (action == TAKE)] = 1
        opened[valid & (action == OPEN)] = 1
        steps += 1
        success[:] = (place == self.goal[:, None]).all(0)
        terminated = success > 0
        return success.copy(), terminated, (steps >= self.max_steps) & ~terminated

    def mask(self) -> np.ndarray:
        """Which actions are valid, ``[N, 6]``."""
        place, has, opened = self.state[0:2].T.astype(np.int64), self.state[2] > 0, self.state[3] > 0
        there = place[:, None] + MOVES
        inside = ((there >= 0) & (there < (self.width, self.height))).all(2)
        x, y = np.clip(there, 0, (self.width - 1, self.height - 1)).transpose(2, 0, 1)
        door = (there == self.door).all(2)
        goes = inside & self.free[x, y] & (~door | opened[:, None])
        takes = (place == self.key).all(1) & ~has
        opens = door.any(1) & has & ~opened
        return np.concatenate([goes, takes[:, None], opens[:, None]], axis=1)

    def observe(self) -> np.ndarray:
        x, y, has, opened, _, _ = self.state
        columns, rows = x[:, None] == np.arange(self.width), y[:, None] == np.arange(self.height)
        return np.concatenate([columns, rows, has[:, None], opened[:, None]], axis=1).astype(np.float32)

    def info(self) -> dict[str, np.ndarray]:
        return {"action_mask": self.mask(), "is_success": self.state[5] > 0}

    def draw(self, i: int) -> np.ndarray:
        x, y, has, opened, _, _ = self.state[:, i]
        picture = Picture(30 * self.width, 0, self.width, 0, self.height)
        for wall in (self.size, 2 * self.size + 1):
            picture.box(wall, wall + 1, 0, self.height, INK)
        picture.box(0, self.width, self.size, self.size + 1, INK)
        for opening in self.openings:
            picture.box(*self.cell(opening, 0.0), PAPER)
        picture.box(*self.cell(self.goal, 0.1), GREEN, corner=0.1)
        picture.box(*self.cell(self.door, 0.0 if not opened else 0.4), RED)
        if not has:
            picture.disc(float(self.key[0]) + 0.5, float(self.key[1]) + 0.5, 0.25, GOLD)
        picture.disc(x + 0.5, y + 0.5, 0.36, BLUE)
        if has:
            picture.disc(x + 0.5, y + 0.5, 0.18, GOLD)
        picture.ring(x + 0.5, y + 0.5, 0.36, 0.06, INK)
        return picture.frame()

    def cell(self, place: np.ndarray, margin: float) -> tuple[float, float, float, float]:
        """Left, right, bottom and top of a cell, without its margin."""
        x, y = (float(number) for number in place)
        return x + margin, x + 1 - margin, y + margin, y + 1 - margin
