"""The normal distribution (``clipper.distributions.gaussian``): sampling, likelihood and its gradient.

``log_std`` ``[A]`` is the parameter, the same in every state; log σ is that, kept within bounds.
"""

import math

import numpy as np
from numba import njit

from clipper.engines.kernels.options import COMPILED

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@njit(**COMPILED)
def sample(mean, log_std, low, high, noise, action, log_prob):
    """μ + σ ε, and its log-likelihood."""
    rows, size = mean.shape
    for b in range(rows):
        total = np.float32(-HALF_LOG_2PI * size)
        for j in range(size):
            l = np.float32(min(max(log_std[j], low), high))
            action[b, j] = mean[b, j] + np.float32(math.exp(l)) * noise[b, j]
            z = (action[b, j] - mean[b, j]) * np.float32(math.exp(-l))
            total -= np.float32(0.5) * z * z + l
        log_prob[b] = total


@njit(**COMPILED)
def evaluate(mean, log_std, low, high, action, index, log_prob, entropy):
    """Log π(a|s) and the entropy of each row."""
    rows, size = mean.shape
    precision = np.empty(size)
    total_log, h = -HALF_LOG_2PI * size, (0.5 + HALF_LOG_2PI) * size
    for j in range(size):
        l = min(max(float(log_std[j]), low), high)
        precision[j] = math.exp(-l)
        total_log -= l
        h += l
    for b in range(rows):
        total, i = total_log, index[b]
        for j in range(size):
            z = (float(action[i, j]) - mean[b, j]) * precision[j]
            total -= 0.5 * z * z
        log_prob[b], entropy[b] = total, h


@njit(**COMPILED)
def backward(mean, log_std, low, high, action, index, d_log_prob, d_entropy, d_mean, d_log_std):
    """∂log π/∂μ = z/σ and ∂log π/∂log σ = z² − 1 with z = (a − μ)/σ; ∂H/∂log σ = 1. Adds to ``d_log_std``."""
    rows, size = mean.shape
    for j in range(size):
        precision = math.exp(-min(max(float(log_std[j]), low), high))
        total = 0.0
        for b in range(rows):
            z = (float(action[index[b], j]) - mean[b, j]) * precision
            d_mean[b, j] = d_log_prob[b] * z * precision
            total += d_log_prob[b] * (z * z - 1) + d_entropy
        if d_log_std.size > 0 and low <= log_std[j] <= high:
            d_log_std[j] += total
