"""DeepSea-v0: a reward that random actions find once in 2ᴺ episodes, and a small price for each step towards it.

Source: Osband et al. 2020, "Behaviour suite for reinforcement learning" (arXiv:1908.03568), its environment "deep sea".

A diver starts at the upper left of ``size × size`` cells and sinks a row with each decision, which goes one column left
or right; at the left edge left stays. In each cell one of the actions 0 and 1 means left, the other right, as drawn
once from ``meaning``: all copies and episodes have the same. Right costs 0.01/``size``; right in the last cell of the
last row, where only ``size`` times right leads, pays 1. The episode terminates after ``size`` decisions. The best
return is 0.99, that of a diver who always goes left 0; success is having been paid.

Observation: the row one-hot, and the column one-hot, 2·``size`` numbers; after the last row the row's are all 0. With
``television`` there is one number more, a noisy pixel: uniform in [0, 1], drawn anew after each decision, whatever the
diver does (the "noisy television" of Burda et al. 2018, arXiv:1808.04355, on which curiosity may gaze for ever).
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.hybrid.picture import BLUE, GOLD, GREY, INK, PAPER, Colour, Picture
from clipper.errors import ConfigError

COST = 0.01


class DeepSea:
    """N divers in the same sea."""

    fps: ClassVar[int] = 8

    def __init__(self, num_envs: int, size: int = 10, meaning: int = 0, television: bool = False) -> None:
        if size < 1:
            raise ConfigError(f"DeepSea: size must be at least 1, not {size}")
        self.size, self.television = size, television
        self.single_action_space = Discrete(2)
        self.single_observation_space = Box(0, 1, (2 * size + television,))
        self.right = np.random.default_rng(meaning).integers(2, size=(size, size))
        """The action that means right, ``[row, column]``."""
        self.state = np.zeros((3 + television, num_envs))
        """Row, column, success, and what the television shows."""

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        state = np.zeros((3 + self.television, count))
        state[3:] = generator.random((int(self.television), count))
        return state

    def step(
        self, action: np.ndarray, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        row, column = self.state[:2].astype(np.int64)
        sinks = row < self.size  # those that are over lie on the ground
        right = (action == self.right[np.minimum(row, self.size - 1), column]) & sinks
        paid = right & (column == self.size - 1)
        reward = paid - COST / self.size * right
        self.state[0] += sinks
        self.state[1] = np.clip(column + np.where(right, 1, -1) * sinks, 0, self.size - 1)
        self.state[2] = paid
        self.state[3:] = generator.random(self.state[3:].shape)
        return reward, self.state[0] == self.size, np.zeros_like(paid)

    def observe(self) -> np.ndarray:
        row, column = self.state[:2].astype(np.int64)
        places = np.arange(self.size)
        shown = row[:, None] == places, column[:, None] == places, self.state[3:].T
        return np.concatenate(shown, axis=1).astype(np.float32)

    def info(self) -> dict[str, np.ndarray]:
        return {"is_success": self.state[2] > 0}

    def draw(self, i: int) -> np.ndarray:
        picture, n = Picture(480, 0, self.size, -1, self.size), self.size
        for k in range(n + 1):
            picture.line(k, 0, k, n, 0.03, GREY)
            picture.line(0, k, n, k, 0.03, GREY)
        picture.disc(n - 0.5, 0.5, 0.25, GOLD)
        if self.television:
            picture.box(0.05, 0.95, 0.05, 0.95, mixed(float(self.state[3, i])))
        row, column = self.state[:2, i]
        picture.disc(column + 0.5, n - row - 0.5, 0.35, BLUE)
        picture.ring(column + 0.5, n - row - 0.5, 0.35, 0.05, INK)
        return picture.frame()


def mixed(share: float) -> Colour:
    """A grey between ink and paper."""
    red, green, blue = (round(dark + share * (light - dark)) for dark, light in zip(INK, PAPER, strict=True))
    return red, green, blue
