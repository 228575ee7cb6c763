"""The normal distribution (``clipper.distributions.gaussian``): sampling, likelihood and its gradient.

``log_std`` ``[A]`` is the parameter, the same in every state; log σ is that, kept within bounds. Means have one row per
component and one column per decision, and so has log σ where states tell it (``…_by_state``), within bounds already.
Decisions that are not ``used`` lie at the mean. ``column`` is the first component's among the actions'.
"""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@njit(**COMPILED)
def sample(mean, log_std, low, high, noise, action, column, log_prob):
    """μ + σ ε, and its log-likelihood."""
    for b in range(log_prob.size):
        total = np.float32(-HALF_LOG_2PI * log_std.size)
        for j in range(log_std.size):
            l, c = np.float32(min(max(log_std[j], low), high)), column + j
            action[b, c] = mean[j, b] + np.float32(math.exp(l)) * noise[b, c]
            z = (action[b, c] - mean[j, b]) * np.float32(math.exp(-l))
            total -= np.float32(0.5) * z * z + l
        log_prob[b] = total


@njit(**COMPILED)
def sample_by_state(mean, log_std, noise, action, column, log_prob):
    """The same with each state's σ."""
    size = mean.shape[0]
    for b in range(log_prob.size):
        total = np.float32(-HALF_LOG_2PI * size)
        for j in range(size):
            l, c = log_std[j, b], column + j
            action[b, c] = mean[j, b] + np.float32(math.exp(l)) * noise[b, c]
            z = (action[b, c] - mean[j, b]) * np.float32(math.exp(-l))
            total -= np.float32(0.5) * z * z + l
        log_prob[b] = total


@njit(**COMPILED)
def evaluate(mean, log_std, low, high, action, column, index, used, log_prob, entropy):
    """Log π(a|s) and the entropy of each row."""
    rows, size, half = index.size, log_std.size, np.float32(0.5)
    total_log, h = -HALF_LOG_2PI * size, (0.5 + HALF_LOG_2PI) * size
    for j in range(size):
        l = min(max(float(log_std[j]), low), high)
        total_log -= l
        h += l
    for b in range(rows):
        log_prob[b], entropy[b] = total_log, h
    for j in range(size):
        precision = np.float32(math.exp(-min(max(float(log_std[j]), low), high)))
        for b in range(rows):
            a = action[index[b], column + j] if used[b] else mean[j, b]
            z = (a - mean[j, b]) * precision
            log_prob[b] -= half * z * z


@njit(**COMPILED)
def evaluate_by_state(mean, log_std, action, column, index, used, log_prob, entropy):
    """The same with each state's σ."""
    rows, size, half = index.size, mean.shape[0], np.float32(0.5)
    for b in range(rows):
        log_prob[b], entropy[b] = -HALF_LOG_2PI * size, (0.5 + HALF_LOG_2PI) * size
    for j in range(size):
        for b in range(rows):
            a = action[index[b], column + j] if used[b] else mean[j, b]
            z = (a - mean[j, b]) * np.float32(math.exp(-log_std[j, b]))
            log_prob[b] -= half * z * z + log_std[j, b]
            entropy[b] += log_std[j, b]


@njit(**COMPILED)
def backward(mean, log_std, low, high, action, column, index, used, d_log_prob, d_entropy, d_mean, d_log_std, gated):
    """∂log π/∂μ = z/σ and ∂log π/∂log σ = z² − 1 with z = (a − μ)/σ; ∂H/∂log σ = 1. Adds to ``d_log_std``."""
    rows, one = index.size, np.float32(1.0)
    d_h = float(d_entropy[0]) * rows
    if gated:
        d_h = 0.0
        for b in range(rows):
            d_h += float(d_entropy[b])
    for j in range(log_std.size):
        precision = np.float32(math.exp(-min(max(float(log_std[j]), low), high)))
        total = np.float32(0.0)
        for b in range(rows):
            a = action[index[b], column + j] if used[b] else mean[j, b]
            z = (a - mean[j, b]) * precision
            d_mean[j, b] = d_log_prob[b] * z * precision
            total += d_log_prob[b] * (z * z - one)
        if d_log_std.size > 0 and low <= log_std[j] <= high:
            d_log_std[j] += total + d_h


@njit(**COMPILED)
def backward_by_state(mean, log_std, action, column, index, used, d_log_prob, d_entropy, d_mean, d_log_std):
    """The same with each state's σ; writes ``d_log_std`` ``[A, B]``."""
    one = np.float32(1.0)
    for j in range(mean.shape[0]):
        for b in range(index.size):
            precision = np.float32(math.exp(-log_std[j, b]))
            a = action[index[b], column + j] if used[b] else mean[j, b]
            z = (a - mean[j, b]) * precision
            d_mean[j, b] = d_log_prob[b] * z * precision
            d_log_std[j, b] = d_log_prob[b] * (z * z - one) + d_entropy[b]
