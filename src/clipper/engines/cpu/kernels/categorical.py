"""One categorical choice (``clipper.distributions.categorical``): sampling, likelihood and its gradient.

Logits have one row per choice, and one column per decision.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.elementary import exp, log
from clipper.engines.cpu.kernels.numba_options import COMPILED

IMPOSSIBLE = np.float32(-1e9)  # as in ``clipper.networks.heads.discrete``


@njit(**COMPILED)
def forbid(logits, legal, first, index):
    """Replace the logits of illegal choices; their probability, and so their gradient, is 0 then."""
    for k in range(logits.shape[0]):
        for b in range(index.size):
            if not legal[index[b], first + k]:
                logits[k, b] = IMPOSSIBLE


@njit(**COMPILED)
def sample(logits, uniform, action, column, log_prob):
    """For each row the first k whose cumulative probability exceeds u; and log π(a|s).

    It is never one of probability 0, as a choice is that a mask forbids.
    """
    stop = logits.shape[0]
    for b in range(log_prob.size):
        largest = logits[0, b]
        for k in range(1, stop):
            largest = max(largest, logits[k, b])
        total = np.float32(0.0)
        for k in range(stop):
            total += exp(logits[k, b] - largest)
        threshold, so_far, chosen = uniform[b, column] * total, np.float32(0.0), 0
        for k in range(stop - 1):
            so_far += exp(logits[k, b] - largest)
            if so_far <= threshold:
                chosen = k + 1
        # Both sums are rounded, and not in the same order: near u = 1 all may be passed by, and the last choice be one
        # of probability 0.
        while chosen > 0 and exp(logits[chosen, b] - largest) == 0:
            chosen -= 1
        action[b, column] = chosen
        log_prob[b] = logits[chosen, b] - largest - log(total)


@njit(**COMPILED)
def evaluate(logits, chosen, log_prob, entropy, largest, total):
    """Logits become log π(·|s) in place; log π(a|s) and the entropy of each row. The last two are memory to work in."""
    rows, stop = log_prob.size, logits.shape[0]
    for b in range(rows):
        entropy[b] = total[b] = 0
        largest[b] = logits[0, b]
    for k in range(1, stop):
        for b in range(rows):
            largest[b] = max(largest[b], logits[k, b])
    for k in range(stop):
        for b in range(rows):
            total[b] += exp(logits[k, b] - largest[b])
    for b in range(rows):
        largest[b] += log(total[b])
    for k in range(stop):
        for b in range(rows):
            log_p = logits[k, b] - largest[b]
            logits[k, b] = log_p
            entropy[b] -= exp(log_p) * log_p
    for b in range(rows):
        log_prob[b] = logits[chosen[b], b]


@njit(**COMPILED)
def backward(log_p, chosen, d_log_prob, d_entropy, d_logits, entropy):
    """∂L/∂lₖ = ∂L/∂log π(a) (1[k = a] − pₖ) − ∂L/∂H pₖ (log pₖ + H)."""
    rows = entropy.size
    for k in range(log_p.shape[0]):
        for b in range(rows):
            d_logits[k, b] = exp(log_p[k, b]) * -(d_log_prob[b] + d_entropy[b] * (log_p[k, b] + entropy[b]))
    for b in range(rows):
        d_logits[chosen[b], b] += d_log_prob[b]


@njit(**COMPILED)
def kl(log_p, old, column, index, out):
    """KL(π_old ‖ π) of each row; log π_old stands in ``old`` from ``column`` on."""
    for b in range(index.size):
        out[b] = 0
    for k in range(log_p.shape[0]):
        for b in range(index.size):
            log_q = old[index[b], column + k]
            out[b] += exp(log_q) * (log_q - log_p[k, b])


@njit(**COMPILED)
def add_kl(log_p, old, column, index, d_kl, d_logits):
    """∂KL/∂lₖ = pₖ − qₖ, q what π_old chose by."""
    for k in range(log_p.shape[0]):
        for b in range(index.size):
            d_logits[k, b] += d_kl[b] * (exp(log_p[k, b]) - exp(old[index[b], column + k]))
