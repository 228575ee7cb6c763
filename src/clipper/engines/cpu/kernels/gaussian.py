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


@njit(**COMPILED)
def kl(mean, log_std, per_state, low, high, old, column, index, out):
    """KL(π_old ‖ π) = Σ log σ/σ₀ + (σ₀² + (μ₀ − μ)²) / 2σ² − ½ of each row.

    ``old`` has all μ₀ before all log σ₀, from ``column`` on. ``log_std`` is ``[A, B]``, within bounds, or ``[A, 1]``.
    """
    size = mean.shape[0]
    for b in range(index.size):
        i, total = index[b], 0.0
        for j in range(size):
            l = np.float64(log_std[j, b]) if per_state else min(max(np.float64(log_std[j, 0]), low), high)
            l_old, apart = np.float64(old[i, column + size + j]), np.float64(old[i, column + j]) - mean[j, b]
            # 2 (l − l₀) + e^{2 (l₀ − l)} − 1 is a square where both are near: as a difference it would round away.
            total += 0.5 * (math.expm1(2 * (l_old - l)) - 2 * (l_old - l) + apart * apart * math.exp(-2 * l))
        out[b] = total


@njit(**COMPILED)
def add_kl(mean, log_std, per_state, low, high, old, column, index, d_kl, d_mean, d_log_std):
    """∂KL/∂μ = (μ − μ₀)/σ² and ∂KL/∂log σ = 1 − (σ₀² + (μ₀ − μ)²)/σ²; ``d_log_std`` has the form of ``log_std``."""
    size = mean.shape[0]
    for j in range(size):
        total = 0.0
        for b in range(index.size):
            i = index[b]
            l = np.float64(log_std[j, b]) if per_state else min(max(np.float64(log_std[j, 0]), low), high)
            precision = math.exp(-2 * l)
            apart = np.float64(mean[j, b]) - old[i, column + j]
            spread = -math.expm1(2 * (np.float64(old[i, column + size + j]) - l)) - apart * apart * precision
            d_mean[j, b] += d_kl[b] * apart * precision
            if per_state:
                d_log_std[j, b] += d_kl[b] * spread
            else:
                total += d_kl[b] * spread
        if not per_state and d_log_std.shape[0] > 0 and low <= log_std[j, 0] <= high:
            d_log_std[j, 0] += total
