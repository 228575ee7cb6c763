"""Loops over all copies of a task, around functions of one copy that are the user's own."""

from collections.abc import Callable

import numpy as np

from clipper.environments.hybrid.kernels.compiled import compiled_here

Kernel = Callable[..., object]


def begin_all(begin: Kernel) -> Kernel:
    """``begin`` of each row of states."""
    one = compiled_here(begin)

    @compiled_here
    def every(rows: np.ndarray, generator: np.random.Generator) -> None:
        for i in range(len(rows)):
            one(rows[i], generator)

    return every


def step_all(step: Kernel) -> Kernel:
    """``step`` of each copy that is not over; with ``numbers`` an action is a pair, the choice and its row."""
    one = compiled_here(step)

    @compiled_here
    def plain(rows, action, generator, over, reward, terminated, truncated):
        for i in range(len(rows)):
            if not over[i]:
                reward[i], terminated[i], truncated[i] = one(rows[i], action[i], generator)

    @compiled_here
    def pairs(rows, choice, numbers, generator, over, reward, terminated, truncated):
        for i in range(len(rows)):
            if not over[i]:
                reward[i], terminated[i], truncated[i] = one(rows[i], (choice[i], numbers[i]), generator)

    def every(
        rows: np.ndarray, action: np.ndarray, numbers: np.ndarray, generator: np.random.Generator, over: np.ndarray,
        reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray,
    ) -> None:  # fmt: skip
        if len(numbers):
            pairs(rows, action, numbers, generator, over, reward, terminated, truncated)
        else:
            plain(rows, action, generator, over, reward, terminated, truncated)

    return every


def write_all(write: Kernel) -> Kernel:
    """``write(state, out)`` of each copy."""
    one = compiled_here(write)

    @compiled_here
    def every(rows: np.ndarray, out: np.ndarray) -> None:
        for i in range(len(rows)):
            one(rows[i], out[i])

    return every
