"""One step of ``clipper.learning.gradient_step.gradient_step`` once the gradient is known."""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import ADAM, Floats1, Ints1, Optimizer

LARGEST = float(np.finfo(np.float64).max)


@njit(**COMPILED)
def step(theta: Floats1, gradient: Floats1, optimizer: Optimizer, loss: float, counts: Ints1) -> float:
    """Scale the gradient down to ``max_norm`` where it is longer, then a step; returns the norm before.

    ``counts`` are the steps taken, those skipped since loss or norm was not finite, and those since the last one taken.

    Adam: m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − α m̂ / (√v̂ + ε) (Kingma & Ba 2015,
    arXiv:1412.6980, algorithm 1; ε as in torch, beside √v̂). RMSProp: the same v;  θ ← θ − α g / (√v + ε) (Mnih et al.
    2016, arXiv:1602.01783, eqs 8 and 9).
    """
    start, stop = optimizer.start, optimizer.start + optimizer.second.size
    theta, gradient = theta[start:stop], gradient[start:stop]
    square = np.float32(0.0)
    for i in range(gradient.size):
        square += gradient[i] * gradient[i]
    norm = math.sqrt(square)
    if not norm + abs(loss) <= LARGEST:  # math.isfinite subtracts, which these sums' freedom of order makes 0
        counts[1] += 1
        counts[2] += 1
        return np.float64(norm)
    counts[0] += 1
    counts[2] = 0
    shrink = np.float32(min(1.0, optimizer.max_norm / (norm + 1e-6)))
    first, second = optimizer.first, optimizer.second
    b1, b2, e = np.float32(1 - optimizer.beta1), np.float32(1 - optimizer.beta2), np.float32(optimizer.eps)
    if optimizer.kind == ADAM:
        size = np.float32(optimizer.learning_rate / (1 - optimizer.beta1 ** counts[0]))
        root = np.float32(1 / math.sqrt(1 - optimizer.beta2 ** counts[0]))
        for i in range(gradient.size):
            g = gradient[i] * shrink
            gradient[i] = g
            first[i] += b1 * (g - first[i])
            second[i] += b2 * (g * g - second[i])
            theta[i] -= size * first[i] / (np.sqrt(second[i]) * root + e)
    else:
        size = np.float32(optimizer.learning_rate)
        for i in range(gradient.size):
            g = gradient[i] * shrink
            gradient[i] = g
            second[i] += b2 * (g * g - second[i])
            theta[i] -= size * g / (np.sqrt(second[i]) + e)
    return np.float64(norm)
