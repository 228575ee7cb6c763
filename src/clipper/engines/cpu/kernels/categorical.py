"""Independent categorical choices (``clipper.distributions.categorical``): sampling, likelihood and its gradient.

``sizes`` are the choices of each part; a single choice has one part. Logits have one row per choice, all parts' one
after another, and one column per decision.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.elementary import exp, log
from clipper.engines.cpu.kernels.numba_options import COMPILED

IMPOSSIBLE = np.float32(-1e9)  # as in ``clipper.networks.heads.discrete``


@njit(**COMPILED)
def forbid(logits, legal, index):
    """Replace the logits of illegal choices; their probability, and so their gradient, is 0 then."""
    for k in range(logits.shape[0]):
        for b in range(index.size):
            if not legal[index[b], k]:
                logits[k, b] = IMPOSSIBLE


@njit(**COMPILED)
def sample(logits, sizes, uniform, action, log_prob):
    """For each row and part, the first k whose cumulative probability exceeds u; and log π(a|s).

    It is never one of probability 0, as a choice is that a mask forbids.
    """
    for b in range(log_prob.size):
        start, joint = 0, np.float32(0.0)
        for part in range(sizes.size):
            stop = start + sizes[part]
            largest = logits[start, b]
            for k in range(start + 1, stop):
                largest = max(largest, logits[k, b])
            total = np.float32(0.0)
            for k in range(start, stop):
                total += exp(logits[k, b] - largest)
            threshold, so_far, chosen = uniform[b, part] * total, np.float32(0.0), start
            for k in range(start, stop - 1):
                so_far += exp(logits[k, b] - largest)
                if so_far <= threshold:
                    chosen = k + 1
            # Both sums are rounded, and not in the same order: near u = 1 all may be passed by, and the last choice be
            # one of probability 0.
            while chosen > start and exp(logits[chosen, b] - largest) == 0:
                chosen -= 1
            action[b, part] = chosen - start
            joint += logits[chosen, b] - largest - log(total)
            start = stop
        log_prob[b] = joint


@njit(**COMPILED)
def evaluate(logits, sizes, action, index, log_prob, entropy, largest, total):
    """Logits become log π(·|s) in place; log π(a|s) and the entropy of each row. The last two are memory to work in."""
    rows, start = index.size, 0
    for b in range(rows):
        log_prob[b] = entropy[b] = 0
    for part in range(sizes.size):
        stop = start + sizes[part]
        for b in range(rows):
            largest[b], total[b] = logits[start, b], 0
        for k in range(start + 1, stop):
            for b in range(rows):
                largest[b] = max(largest[b], logits[k, b])
        for k in range(start, stop):
            for b in range(rows):
                total[b] += exp(logits[k, b] - largest[b])
        for b in range(rows):
            largest[b] += log(total[b])
        for k in range(start, stop):
            for b in range(rows):
                log_p = logits[k, b] - largest[b]
                logits[k, b] = log_p
                entropy[b] -= exp(log_p) * log_p
        for b in range(rows):
            log_prob[b] += logits[start + action[index[b], part], b]
        start = stop


@njit(**COMPILED)
def backward(log_p, sizes, action, index, d_log_prob, d_entropy, d_logits, entropy):
    """∂L/∂lₖ = ∂L/∂log π(a) (1[k = a] − pₖ) − ∂L/∂H pₖ (log pₖ + H), with each part's own H, kept in ``entropy``."""
    rows, start, weight = index.size, 0, np.float32(d_entropy)
    for part in range(sizes.size):
        stop = start + sizes[part]
        for b in range(rows):
            entropy[b] = 0
        for k in range(start, stop):
            for b in range(rows):
                p = exp(log_p[k, b])
                entropy[b] -= p * log_p[k, b]
                d_logits[k, b] = p
        for k in range(start, stop):
            for b in range(rows):
                d_logits[k, b] *= -(d_log_prob[b] + weight * (log_p[k, b] + entropy[b]))
        for b in range(rows):
            d_logits[start + action[index[b], part], b] += d_log_prob[b]
        start = stop
