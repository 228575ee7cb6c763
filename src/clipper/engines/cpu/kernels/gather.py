"""Decisions of a replay, drawn by their places in the ring (``clipper.learning.replay``)."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.replayed_tables import Batch, Ring
from clipper.engines.cpu.kernels.tables import Ints1


@njit(**COMPILED)
def place(ring, oldest, row, column):
    """Where a row lies that is so many after the oldest one, of one environment."""
    at = oldest + row
    count = ring.mask.size // ring.columns
    return (at if at < count else at - count) * ring.columns + column


@njit(**COMPILED)
def settle(ring: Ring, drawn: Ints1, missing: Ints1, index: Ints1, oldest: int, count: int) -> int:
    """Note what was ``drawn`` for the first ``count`` entries of ``missing``; how many of those are no decision."""
    left = 0
    for i in range(count):
        k = missing[i]
        index[k] = drawn[i]
        if not ring.mask[place(ring, oldest, drawn[i] // ring.columns, drawn[i] % ring.columns)]:
            missing[left] = k
            left += 1
    return left


@njit(**COMPILED)
def n_step_return(ring, oldest, row, column, end):
    """Σ_{i<m} γⁱ rₜ₊ᵢ, m, the row of sₜ₊ₘ, and whether that is terminal. Rows that are no decision are passed over."""
    now, after, m, terminal, reward, n = row, row, 0, False, np.float32(0.0), ring.powers.size - 1
    while True:
        at = place(ring, oldest, now, column)
        decides, ends = ring.mask[at], ring.done[at]
        if decides:
            reward += ring.powers[m] * ring.reward[at]
            terminal = terminal or ring.terminated[at]
            m += 1
        if decides or not ends:
            after = now + 1
        if ends or m >= n or now + 1 >= end:
            return reward, m, after, terminal
        now += 1


@njit(**COMPILED)
def gather(ring: Ring, batch: Batch, index: Ints1, oldest: int, rows: int, first: int) -> None:
    """The decisions of ``index``, of ``rows`` that there are, with their n-step returns, from row ``first`` of
    ``batch`` on. As ``Replay.sample``.
    """
    numbers, masked = ring.obs.shape[1], ring.legal.shape[0] > 0
    end = rows - 1 if masked else rows
    for i in range(index.size):
        row, column, to = index[i] // ring.columns, index[i] % ring.columns, first + i
        here = place(ring, oldest, row, column)
        reward, m, after, terminal = n_step_return(ring, oldest, row, column, end)
        there = here if terminal else place(ring, oldest, min(after, rows - 1), column)
        for j in range(numbers):
            batch.obs[to, j] = ring.obs[here, j]
        if after == rows and not terminal:
            for j in range(numbers):
                batch.next_obs[to, j] = ring.last_obs[column, j]
        else:
            for j in range(numbers):
                batch.next_obs[to, j] = ring.obs[there, j]
        for j in range(ring.action.shape[1]):
            batch.action[to, j] = ring.action[here, j]
        if ring.choice.size > 0:
            batch.choice[to] = ring.choice[here]
        batch.reward[to] = reward
        batch.discount[to] = np.float32(0.0) if terminal else ring.powers[m]
        if masked:
            for k in range(ring.legal.shape[1]):
                batch.legal[to, k] = ring.legal[there, k]
        if batch.legal_now.shape[0] > 0:
            for k in range(ring.legal.shape[1]):
                batch.legal_now[to, k] = ring.legal[here, k]
