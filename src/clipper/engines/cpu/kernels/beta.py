"""The Beta distribution (``clipper.distributions.beta``): sampling, likelihood and its gradient.

A layer says x and y of each component, all x before all y: α = 1 + softplus(x), β = 1 + softplus(y). Samples are
logits. Sums of log Γ cancel, so all is computed in float64. Γ(α) is drawn as by Marsaglia and Tsang (2000, ACM TOMS
26:363).
"""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.networks.heads.beta import SHARPEST

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
STEP, FIRST, SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


@njit(**COMPILED)
def log_gamma(x):
    """Log Γ(x) for x ≥ 1, by Stirling's series from x ≥ 8 on; below it by Γ(x + 1) = x Γ(x)."""
    product = 1.0
    while x < 8:
        product *= x
        x += 1
    y = 1 / (x * x)
    series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y / 1680))) / x
    return (x - 0.5) * math.log(x) - x + HALF_LOG_2PI + series - math.log(product)


@njit(**COMPILED)
def digamma(x):
    """ψ(x), the derivative of log Γ(x), likewise."""
    total = 0.0
    while x < 8:
        total -= 1 / x
        x += 1
    y = 1 / (x * x)
    return total + math.log(x) - 0.5 / x - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y / 240)))


@njit(**COMPILED)
def trigamma(x):
    """ψ′(x), likewise."""
    total = 0.0
    while x < 8:
        total += 1 / (x * x)
        x += 1
    y = 1 / (x * x)
    return total + 1 / x + 0.5 * y + y / x * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y / 30)))


@njit(**COMPILED)
def softplus(x):
    """The log of 1 + eˣ."""
    return max(x, 0.0) + math.log(1 + math.exp(-abs(x)))


@njit(**COMPILED)
def shape_of(raw):
    """α or β."""
    return min(1 + softplus(np.float64(raw)), SHARPEST)


@njit(**COMPILED)
def density(a, b, u):
    """The log-density of x, given its logit u."""
    return log_gamma(a + b) - log_gamma(a) - log_gamma(b) - (a - 1) * softplus(-u) - (b - 1) * softplus(u)


@njit(**COMPILED)
def evaluate(raw, action, column, index, used, log_prob, entropy):
    """Log π(a|s) and the entropy of each row."""
    size = raw.shape[0] // 2
    for b in range(index.size):
        total, h = 0.0, 0.0
        for j in range(size):
            u = np.float64(action[index[b], column + j]) if used[b] else 0.0
            p, q = shape_of(raw[j, b]), shape_of(raw[size + j, b])
            total += density(p, q, u)
            h += log_gamma(p) + log_gamma(q) - log_gamma(p + q) + (p + q - 2) * digamma(p + q)
            h -= (p - 1) * digamma(p) + (q - 1) * digamma(q)
        log_prob[b], entropy[b] = total, h


@njit(**COMPILED)
def backward(raw, action, column, index, used, d_log_prob, d_entropy, slopes):
    """With s = p + q: ∂log π/∂p = log x − ψ(p) + ψ(s) and ∂H/∂p = (s − 2) ψ′(s) − (p − 1) ψ′(p); likewise by q."""
    size = raw.shape[0] // 2
    for b in range(index.size):
        for j in range(size):
            u = np.float64(action[index[b], column + j]) if used[b] else 0.0
            p, q = shape_of(raw[j, b]), shape_of(raw[size + j, b])
            both, spread = digamma(p + q), (p + q - 2) * trigamma(p + q)
            for k in range(2):
                own, row, log_x = (p, j, -softplus(-u)) if k == 0 else (q, size + j, -softplus(u))
                slope = d_log_prob[b] * (log_x - digamma(own) + both)
                slope += d_entropy[b] * (spread - (own - 1) * trigamma(own))
                x = np.float64(raw[row, b])
                slopes[row, b] = slope / (1 + math.exp(-x)) if 1 + softplus(x) <= SHARPEST else 0.0


@njit(**COMPILED)
def kl(raw, old, column, index, out):
    """KL(π_old ‖ π) of each row, with α₀ and β₀ in ``old`` from ``column`` on, all α₀ before all β₀.

    Σ log B(α, β)/B(α₀, β₀) + (α₀ − α) ψ(α₀) + (β₀ − β) ψ(β₀) + (α − α₀ + β − β₀) ψ(α₀ + β₀).
    """
    size = raw.shape[0] // 2
    for b in range(index.size):
        i, total = index[b], 0.0
        for j in range(size):
            p, q = shape_of(raw[j, b]), shape_of(raw[size + j, b])
            p_old, q_old = np.float64(old[i, column + j]), np.float64(old[i, column + size + j])
            total += log_gamma(p) + log_gamma(q) - log_gamma(p + q)
            total -= log_gamma(p_old) + log_gamma(q_old) - log_gamma(p_old + q_old)
            total += (p_old - p) * digamma(p_old) + (q_old - q) * digamma(q_old)
            total += (p - p_old + q - q_old) * digamma(p_old + q_old)
        out[b] = total


@njit(**COMPILED)
def add_kl(raw, old, column, index, d_kl, slopes):
    """∂KL/∂α = ψ(α) − ψ(α + β) − ψ(α₀) + ψ(α₀ + β₀); likewise by β."""
    size = raw.shape[0] // 2
    for b in range(index.size):
        i = index[b]
        for j in range(size):
            p, q = shape_of(raw[j, b]), shape_of(raw[size + j, b])
            p_old, q_old = np.float64(old[i, column + j]), np.float64(old[i, column + size + j])
            both = digamma(p_old + q_old) - digamma(p + q)
            for k in range(2):
                own, before, row = (p, p_old, j) if k == 0 else (q, q_old, size + j)
                x = np.float64(raw[row, b])
                if 1 + softplus(x) <= SHARPEST:
                    slopes[row, b] += d_kl[b] * (digamma(own) - digamma(before) + both) / (1 + math.exp(-x))


@njit(**COMPILED)
def advance(state):
    """The generator's next state, and a uniform number within (0, 1) (Steele et al. 2014: SplitMix64)."""
    state += STEP
    z = state
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    z ^= z >> S31
    return state, (np.float64(z >> S11) + 0.5) * 2.0**-53


@njit(**COMPILED)
def normal(state):
    """A normal number, by the polar method."""
    while True:
        state, x = advance(state)
        state, y = advance(state)
        x, y = 2 * x - 1, 2 * y - 1
        r = x * x + y * y
        if 0 < r < 1:
            return state, x * math.sqrt(-2 * math.log(r) / r)


@njit(**COMPILED)
def log_of_gamma(state, a):
    """The log of a draw from Γ(a), a ≥ 1."""
    d = a - 1 / 3
    c = 1 / math.sqrt(9 * d)
    while True:
        state, x = normal(state)
        state, u = advance(state)
        v = 1 + c * x
        if v > 0:
            log_v = 3 * math.log(v)
            if math.log(u) < 0.5 * x * x + d - d * v * v * v + d * log_v:
                return state, math.log(d) + log_v


@njit(**COMPILED)
def sample(raw, seeds, action, column, log_prob):
    """Logits log g − log h with g ~ Γ(α), h ~ Γ(β), of a generator that each seed begins; and their likelihood."""
    size = raw.shape[0] // 2
    for b in range(log_prob.size):
        total = 0.0
        for j in range(size):
            p, q = shape_of(raw[j, b]), shape_of(raw[size + j, b])
            state, g = log_of_gamma(np.uint64(seeds[b, column + j]), p)
            state, h = log_of_gamma(state, q)
            action[b, column + j] = g - h
            total += density(p, q, np.float64(action[b, column + j]))
        log_prob[b] = total
