"""The lift of lift.py as a NumbaTask: the same game, many times as fast where many copies step together."""

import numpy as np
from gymnasium.spaces import Box, Discrete

import clipper

FLOORS, DAY = 5, 40
FLOOR, MOVES, WAITING = 0, 1, 2  # places in the state; from WAITING on one number for each floor
UP, DOWN, OPEN = range(3)


def begin(state, generator):
    """Nobody has moved, and on each floor somebody waits with probability 0.3."""
    state[:] = 0
    for floor in range(FLOORS):
        state[WAITING + floor] = generator.random() < 0.3


def step(state, action, generator):
    """One move: reward, terminated, truncated."""
    reward = -0.05 * state[WAITING:].sum()
    floor = int(state[FLOOR])
    if action == OPEN:
        reward += state[WAITING + floor]
        state[WAITING + floor] = 0
    else:
        state[FLOOR] += 1 if action == UP else -1
    for i in range(FLOORS):
        if generator.random() < 0.05:
            state[WAITING + i] = 1
    state[MOVES] += 1
    return reward, False, state[MOVES] == DAY


def observe(state, obs):
    """Where the lift is, and who waits."""
    obs[:] = 0
    obs[int(state[FLOOR])] = 1
    obs[FLOORS:] = state[WAITING:]


def legal(state, mask):
    """Not above the highest floor, nor below the lowest."""
    mask[UP], mask[DOWN], mask[OPEN] = state[FLOOR] < FLOORS - 1, state[FLOOR] > 0, True


lift = clipper.NumbaTask(
    Box(0.0, 1.0, (2 * FLOORS,), np.float32), Discrete(3), 2 + FLOORS, begin, step, observe, legal=legal
)
lift.register("NumbaLift-v0")
