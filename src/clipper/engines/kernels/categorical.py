"""Independent categorical choices (``clipper.distributions.categorical``): sampling, likelihood and its gradient.

``sizes`` are the choices of each part; a single choice has one part. Logits of all parts lie side by side.
"""

import math

import numpy as np
from numba import njit

from clipper.engines.kernels.options import COMPILED

IMPOSSIBLE = np.float32(-1e9)  # as in ``clipper.heads.discrete``


@njit(**COMPILED)
def forbid(logits, legal, index):
    """Replace the logits of illegal choices; their probability, and so their gradient, is 0 then."""
    for b in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            if not legal[index[b], j]:
                logits[b, j] = IMPOSSIBLE


@njit(**COMPILED)
def sample(logits, sizes, uniform, action, log_prob):
    """For each row and part, the first k whose cumulative probability exceeds u; and log π(a|s)."""
    for b in range(logits.shape[0]):
        start, joint = 0, np.float32(0.0)
        for part in range(sizes.size):
            l = logits[b, start : start + sizes[part]]
            largest = l[0]
            for j in range(1, l.size):
                largest = max(largest, l[j])
            total = np.float32(0.0)
            for j in range(l.size):
                total += np.float32(math.exp(l[j] - largest))
            threshold, so_far, chosen = uniform[b, part] * total, np.float32(0.0), 0
            for j in range(l.size - 1):
                so_far += np.float32(math.exp(l[j] - largest))
                if so_far <= threshold:
                    chosen = j + 1
            action[b, part] = chosen
            joint += l[chosen] - largest - np.float32(math.log(total))
            start += sizes[part]
        log_prob[b] = joint


@njit(**COMPILED)
def evaluate(logits, sizes, action, index, log_prob, entropy):
    """Logits become log π(·|s) in place; log π(a|s) and the entropy of each row."""
    for b in range(logits.shape[0]):
        start, joint, h = 0, 0.0, 0.0
        for part in range(sizes.size):
            l = logits[b, start : start + sizes[part]]
            largest = l[0]
            for j in range(1, l.size):
                largest = max(largest, l[j])
            total = 0.0
            for j in range(l.size):
                total += math.exp(float(l[j] - largest))
            log_total = largest + math.log(total)
            chosen = action[index[b], part]
            for j in range(l.size):
                log_p = l[j] - log_total
                h -= math.exp(log_p) * log_p
                if j == chosen:
                    joint += log_p
                l[j] = log_p
            start += sizes[part]
        log_prob[b], entropy[b] = joint, h


@njit(**COMPILED)
def backward(log_p, sizes, action, index, d_log_prob, d_entropy, d_logits):
    """∂L/∂lₖ = ∂L/∂log π(a) (1[k = a] − pₖ) − ∂L/∂H pₖ (log pₖ + H), with each part's own H."""
    for b in range(log_p.shape[0]):
        start = 0
        for part in range(sizes.size):
            stop, h = start + sizes[part], 0.0
            for j in range(start, stop):
                p = math.exp(float(log_p[b, j]))
                h -= p * log_p[b, j]
                d_logits[b, j] = p
            for j in range(start, stop):
                d_logits[b, j] *= -(d_log_prob[b] + d_entropy * (log_p[b, j] + h))
            d_logits[b, start + action[index[b], part]] += d_log_prob[b]
            start = stop
