"""One step of ``clipper.optim.gradient_step`` once the gradient is known."""

import math

import numpy as np
from numba import njit

from clipper.engines.kernels.options import COMPILED


@njit(**COMPILED)
def step(theta, gradient, first, second, count, learning_rate, beta1, beta2, eps, max_norm, loss):
    """Scale the gradient down to ``max_norm`` where it is longer, then Adam's step; returns the norm before.

    m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) g²;  θ ← θ − α m̂ / (√v̂ + ε) (Kingma & Ba 2015, arXiv:1412.6980,
    algorithm 1; ε as in torch, beside √v̂). Where loss or norm is not finite, nothing is changed.
    """
    square = np.float32(0.0)
    for i in range(gradient.size):
        square += gradient[i] * gradient[i]
    norm = math.sqrt(square)
    if not math.isfinite(norm + loss):
        return norm
    shrink = np.float32(min(1.0, max_norm / (norm + 1e-6)))
    size = np.float32(learning_rate / (1 - beta1**count))
    root = np.float32(1 / math.sqrt(1 - beta2**count))
    b1, b2, e = np.float32(1 - beta1), np.float32(1 - beta2), np.float32(eps)
    for i in range(gradient.size):
        g = gradient[i] * shrink
        gradient[i] = g
        first[i] += b1 * (g - first[i])
        second[i] += b2 * (g * g - second[i])
        theta[i] -= size * first[i] / (np.sqrt(second[i]) * root + e)
    return norm
