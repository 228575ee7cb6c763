"""What tanh adds to a normal distribution (``clipper.distributions.squashed``): the slope of tanh, and its expectation.

Log(1 − tanh²u) = 2 (log 2 − |u| − log(1 + e^{−2|u|})), whose derivative is −2 tanh u.
"""

import math

import numpy as np
from numba import njit

from clipper.distributions.squashed import NODES, POINTS, REACH, WEIGHTS
from clipper.engines.cpu.kernels.elementary import exp, log
from clipper.engines.cpu.kernels.numba_options import COMPILED

ONE, TWO, LOG_2 = np.float32(1.0), np.float32(2.0), np.float32(math.log(2))
WIDE = np.float32(0.8)
"""The σ from which the second rule is the better one."""
NARROW_NODES = np.linspace(-REACH, REACH, NODES).astype(np.float32)
_SHARES = np.exp(-(np.linspace(-REACH, REACH, NODES) ** 2) / 2)
NARROW_SHARES = (_SHARES / _SHARES.sum()).astype(np.float32)
WIDE_NODES = (POINTS / 2).astype(np.float32)
WIDE_SHARES = (WEIGHTS * np.exp(POINTS) * np.log1p(np.exp(-POINTS)) / 2 / math.sqrt(2 * math.pi)).astype(np.float32)
PEAK = math.sqrt(2 / math.pi)


@njit(**COMPILED)
def log_slope(u):
    """The log of 1 − tanh²u."""
    size = abs(u)
    return TWO * (LOG_2 - size - log(ONE + exp(-TWO * size)))


@njit(**COMPILED)
def subtract_slopes(action, column, size, index, log_prob):
    """From the likelihood of u to that of tanh u; what does not count may hold anything, and is no matter."""
    for j in range(size):
        for b in range(log_prob.size):
            log_prob[b] -= log_slope(action[index[b], column + j])


@njit(**COMPILED)
def expect(mean, std, rows, value, by_mean, by_std):
    """E[log(1 − tanh²u)] for u ~ N(μ, σ²) of each row, and its derivatives by μ and σ."""
    narrow = wide = False
    for b in range(rows):
        value[b] = by_mean[b] = by_std[b] = 0
        if std[b] <= WIDE:
            narrow = True
        else:
            wide = True
    if narrow:
        expect_narrow(mean, std, rows, value, by_mean, by_std)
    if wide:
        expect_wide(mean, std, rows, value, by_mean, by_std)


@njit(**COMPILED)
def expect_narrow(mean, std, rows, value, by_mean, by_std):
    """By the trapezium rule on nodes that follow the normal."""
    for i in range(NARROW_NODES.size):
        x, share = NARROW_NODES[i], NARROW_SHARES[i]
        for b in range(rows):
            u = mean[b] + std[b] * x
            size = abs(u)
            e = exp(-TWO * size)
            tanh = (ONE - e) / (ONE + e)
            slope = -TWO * share * (tanh if u > 0 else -tanh)
            value[b] += share * TWO * (LOG_2 - size - log(ONE + e))
            by_mean[b] += slope
            by_std[b] += slope * x


@njit(**COMPILED)
def expect_wide(mean, std, rows, value, by_mean, by_std):
    """By the folded normal's mean, and by Gauss and Laguerre's rule for the rest; only in rows of that σ."""
    for b in range(rows):
        if std[b] > WIDE:
            value[b] = by_mean[b] = by_std[b] = 0
    for i in range(WIDE_NODES.size):
        node, share = WIDE_NODES[i], WIDE_SHARES[i]
        for b in range(rows):
            if std[b] > WIDE:
                near, far = (node - mean[b]) / std[b], (node + mean[b]) / std[b]
                p, q = share * exp(-near * near / TWO), share * exp(-far * far / TWO)
                value[b] += p + q
                by_mean[b] += p * near - q * far
                by_std[b] += p * near * near + q * far * far
    for b in range(rows):
        if std[b] > WIDE:
            m, s = np.float64(mean[b]), np.float64(std[b])
            z = m / s
            peak, sign = PEAK * math.exp(-z * z / 2), math.erf(z / math.sqrt(2))
            rest = value[b] / s
            value[b] = 2 * (math.log(2) - (s * peak + m * sign) - rest)
            by_mean[b] = -2 * (sign + by_mean[b] / (s * s))
            by_std[b] = -2 * (peak + by_std[b] / (s * s) - rest / s)
