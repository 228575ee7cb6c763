"""The categorical distribution (``clipper.distributions.categorical``): sampling, likelihood and its gradient."""

import math

import numpy as np
from numba import njit

from clipper.engines.kernels.options import COMPILED


@njit(**COMPILED)
def sample(logits, uniform, action, log_prob):
    """For each row, the first k whose cumulative probability exceeds u, and log π(k|s)."""
    rows, k = logits.shape
    for b in range(rows):
        largest = logits[b, 0]
        for j in range(1, k):
            largest = max(largest, logits[b, j])
        total = np.float32(0.0)
        for j in range(k):
            total += np.float32(math.exp(logits[b, j] - largest))
        threshold, so_far, chosen = uniform[b] * total, np.float32(0.0), 0
        for j in range(k - 1):
            so_far += np.float32(math.exp(logits[b, j] - largest))
            if so_far <= threshold:
                chosen = j + 1
        action[b] = chosen
        log_prob[b] = logits[b, chosen] - largest - np.float32(math.log(total))


@njit(**COMPILED)
def evaluate(logits, action, index, log_prob, entropy):
    """Logits become log π(·|s) in place; log π(a|s) and the entropy of each row."""
    rows, k = logits.shape
    for b in range(rows):
        largest = logits[b, 0]
        for j in range(1, k):
            largest = max(largest, logits[b, j])
        total = 0.0
        for j in range(k):
            total += math.exp(float(logits[b, j] - largest))
        log_total = largest + math.log(total)
        h = 0.0
        for j in range(k):
            log_p = logits[b, j] - log_total
            h -= math.exp(log_p) * log_p
            if j == action[index[b]]:
                log_prob[b] = log_p
            logits[b, j] = log_p
        entropy[b] = h


@njit(**COMPILED)
def backward(log_p, action, index, entropy, d_log_prob, d_entropy, d_logits):
    """∂L/∂lₖ = ∂L/∂log π(a) (1[k = a] − pₖ) − ∂L/∂H pₖ (log pₖ + H)."""
    rows, k = log_p.shape
    for b in range(rows):
        for j in range(k):
            p = math.exp(float(log_p[b, j]))
            d_logits[b, j] = -p * (d_log_prob[b] + d_entropy * (log_p[b, j] + entropy[b]))
        d_logits[b, action[index[b]]] += d_log_prob[b]
