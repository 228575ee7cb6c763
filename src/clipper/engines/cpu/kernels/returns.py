"""Values of a segment, and what is estimated from them (``clipper.functional.returns``, ``.statistics``)."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import mlp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import Bools2, Doubles1, Floats1, Floats2, Ints1, Ints2, Net, Work


@njit(**COMPILED)
def values(
    net: Net, layers: Ints2, slot: int, obs: Floats2, shift: float, scale: float, work: Work, out: Floats1
) -> None:  # fmt: skip
    """V of every observation, ``capacity`` rows at a time."""
    for start in range(0, len(obs), work.capacity):
        part = obs[start : min(start + work.capacity, len(obs))]
        index = work.order[: len(part)]
        mlp.forward(net, layers, part, index, work)
        for b in range(index.size):
            out[start + b] = shift + scale * work.out[slot * mlp.stride_of(index.size) + b]


@njit(**COMPILED)
def gae(
    reward: Floats2, value: Floats2, terminated: Bools2, done: Bools2, mask: Bools2, gamma: float, lam: float,
    carried: Doubles1, advantage: Floats2, value_target: Floats2,
) -> None:  # fmt: skip
    """δₜ = rₜ + γ (1 − terminatedₜ) V(sₜ₊₁) − V(sₜ);  Âₜ = δₜ + γλ (1 − doneₜ) Âₜ₊₁;  the critic's target is Â + V.

    Returns to go, where the next value is never wanted, are λ = 1 with ``value`` 0. ``carried`` ``[N]`` is 0 at first.
    """
    rows, n = reward.shape
    for t in range(rows - 1, -1, -1):
        for i in range(n):
            a = 0.0
            if mask[t, i]:
                following = 0.0 if terminated[t, i] else gamma * value[t + 1, i]
                a = reward[t, i] + following - value[t, i]
                if not done[t, i]:
                    a += gamma * lam * carried[i]
            carried[i] = a
            advantage[t, i] = a
            value_target[t, i] = a + value[t, i]


@njit(**COMPILED)
def explained_variance(value: Floats1, target: Floats1, index: Ints1) -> float:
    """1 − Var(target − value) / Var(target) over the rows ``index``; NaN where the target is constant."""
    total, error = 0.0, 0.0
    for b in range(index.size):
        i = index[b]
        total += float(target[i])
        error += float(target[i] - value[i])
    mean, mean_error = total / index.size, error / index.size
    variance, left = 0.0, 0.0
    for b in range(index.size):
        i = index[b]
        variance += (float(target[i]) - mean) ** 2
        left += (float(target[i] - value[i]) - mean_error) ** 2
    return 1 - left / variance if variance > 0 else np.nan
