"""MaskedGrid-v0: fetch things, where almost every action is invalid almost everywhere.

Our own task, in the manner of the mining maps of arXiv 2006.14171, where a learner without a mask mostly does nothing.

On ``size × size`` cells lie ``items`` things, each of another of ``kinds`` kinds, and a depot; they and the agent start
on different cells, drawn uniformly. An action is one of 4 + 2·``kinds``: go east, west, north or south; take a thing of
kind j; put down a thing of kind j. Going is valid unless off the grid, taking where a thing of that kind lies and
nothing is carried, putting on the depot what is carried. With the defaults that is at most 5 of 100.

An invalid action has no effect. Reward 1 for each thing put down and −0.01 for every decision. The episode terminates
when all things are put down; decision 100 truncates. The mask of valid actions is ``info["action_mask"]``, ``[N, 4 +
2·kinds]``.

Observation: the agent's cell and, relative to it, the depot's and each thing's, in units of the grid's size; for each
thing whether it lies, is carried or is done; one-hot the kind that lies here, and the kind that is carried (index
``kinds`` for none). Success is having put down all.
"""

from typing import ClassVar

import numpy as np
from gymnasium.spaces import Box, Discrete

from clipper.environments.hybrid.picture import BLUE, GOLD, GREEN, GREY, INK, Picture

MOVES = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
COST = 0.01
LIES, CARRIED, DONE = range(3)


class MaskedGrid:
    """N grids."""

    fps: ClassVar[int] = 8

    def __init__(self, num_envs: int, size: int = 6, items: int = 3, kinds: int = 48, max_steps: int = 100) -> None:
        self.size, self.items, self.kinds, self.max_steps = size, items, kinds, max_steps
        self.single_action_space = Discrete(4 + 2 * kinds)
        self.single_observation_space = Box(-1, 1, (4 + 5 * items + 2 * (kinds + 1),))
        self.state = np.zeros((6 + 4 * items, num_envs))
        """The agent's x and y, the depot's, all x of things, all y, their kinds, their fates; decisions, success."""

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Views: agent ``[2, N]``, depot ``[2, N]``, things ``[2, items, N]``, kinds and fates ``[items, N]``, rest."""
        things = self.state[4:-2].reshape(4, self.items, -1)
        return self.state[0:2], self.state[2:4], things[:2], things[2], things[3], self.state[-2:]

    def begin(self, count: int, generator: np.random.Generator) -> np.ndarray:
        cells = generator.random((count, self.size**2)).argsort(axis=1)[:, : self.items + 2].T
        x, y = cells % self.size, cells // self.size
        kinds = generator.random((count, self.kinds)).argsort(axis=1)[:, : self.items].T
        state = np.zeros((len(self.state), count))
        state[:4] = x[0], y[0], x[1], y[1]
        state[4:-2] = np.concatenate([x[2:], y[2:], kinds, np.full_like(kinds, LIES)])
        return state

    def step(
        self, action: np.ndarray, generator: np.random.Generator, over: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        agent, _, _, kind, fate, (steps, success) = self.parts()
        here, carried = self.here(), fate == CARRIED
        valid = self.mask()[np.arange(len(action)), action]
        moves = valid & (action < 4)
        agent += np.where(moves, MOVES[np.where(moves, action, 0)].T, 0)
        thing = valid & (action >= 4) & (kind == (action - 4) % self.kinds)
        put = thing & carried
        fate[:] = np.where(put, DONE, np.where(thing & here, CARRIED, fate))
        steps += 1
        success[:] = (fate == DONE).all(0)
        terminated = success > 0
        return put.sum(0) - COST, terminated, (steps >= self.max_steps) & ~terminated

    def here(self) -> np.ndarray:
        """Which things lie on the agent's cell, ``[items, N]``."""
        agent, _, place, _, fate, _ = self.parts()
        return (place == agent[:, None]).all(0) & (fate == LIES)

    def mask(self) -> np.ndarray:
        """Which actions are valid, ``[N, 4 + 2·kinds]``."""
        agent, depot, _, kind, fate, _ = self.parts()
        n, number = agent.shape[1], kind.astype(np.int64)
        there = agent.T[:, None] + MOVES
        mask = np.zeros((n, 4 + 2 * self.kinds), dtype=bool)
        mask[:, :4] = ((there >= 0) & (there < self.size)).all(2)
        carried = fate == CARRIED
        take = self.here() & ~carried.any(0)
        put = carried & (agent == depot).all(0)
        for offset, which in ((4, take), (4 + self.kinds, put)):
            item, row = np.nonzero(which)
            mask[row, offset + number[item, row]] = True
        return mask

    def observe(self) -> np.ndarray:
        agent, depot, place, kind, fate, _ = self.parts()
        n = agent.shape[1]
        relative = ((place - agent[:, None]) / self.size).reshape(-1, n)
        fates = np.concatenate([fate == which for which in range(3)])
        numbers = np.concatenate([agent / self.size, (depot - agent) / self.size, relative, fates])
        one_hot = np.zeros((n, 2, self.kinds + 1), dtype=np.float32)
        for j, which in enumerate((self.here(), fate == CARRIED)):
            index = np.where(which.any(0), (which * kind).sum(0), self.kinds).astype(np.int64)
            one_hot[np.arange(n), j, index] = 1
        return np.concatenate([numbers.T.astype(np.float32), one_hot.reshape(n, -1)], axis=1)

    def info(self) -> dict[str, np.ndarray]:
        return {"action_mask": self.mask(), "is_success": self.state[-1] > 0}

    def draw(self, i: int) -> np.ndarray:
        agent, depot, place, _, fate, _ = self.parts()
        picture = Picture(60 * self.size, 0, self.size, 0, self.size)
        for k in range(1, self.size):
            picture.line(k, 0, k, self.size, 0.02, GREY)
            picture.line(0, k, self.size, k, 0.02, GREY)
        x, y = depot[:, i]
        picture.box(x + 0.12, x + 0.88, y + 0.12, y + 0.88, GREEN, corner=0.1)
        for j in range(self.items):
            if fate[j, i] == LIES:
                picture.disc(place[0, j, i] + 0.5, place[1, j, i] + 0.5, 0.22, GOLD)
        x, y = agent[:, i] + 0.5
        picture.disc(x, y, 0.32, BLUE)
        if (fate[:, i] == CARRIED).any():
            picture.disc(x, y, 0.16, GOLD)
        picture.ring(x, y, 0.32, 0.04, INK)
        return picture.frame()
