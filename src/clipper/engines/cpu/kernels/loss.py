"""Losses of actor and critic: their derivatives by log-likelihood, KL and value, row by row."""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import (
    CLIPPED_MSE,
    DUAL_CLIP,
    EXACT,
    HUBER,
    K1,
    K2,
    LEAF_SUMS,
    POLICY_GRADIENT,
    RATIO,
    ROLLBACK,
    SPO,
    TRUST_REGION,
    TRUST_REGION_ROLLBACK,
    UNCLIPPED,
    Floats1,
    Ints1,
)
from clipper.functional.objectives import LARGEST_LOG_RATIO


@njit(**COMPILED)
def mean_and_std(x: Floats1, index: Ints1, correction: int) -> tuple[float, float]:
    """Of ``x[index]``."""
    n, total = index.size, 0.0
    for i in range(n):
        total += float(x[index[i]])
    mean, square = total / n, 0.0
    for i in range(n):
        square += (float(x[index[i]]) - mean) ** 2
    return mean, math.sqrt(square / max(n - correction, 1))


@njit(**COMPILED)
def standard_units(x: Floats1, index: Ints1, correction: int) -> tuple[float, float]:
    """(mean, 1 / (std + ε)) of ``x[index]``, as ``clipper.functional.reduce.standardise`` has them; 0 for no spread."""
    mean, std = mean_and_std(x, index, correction)
    return mean, 0.0 if std <= 1e-6 * abs(mean) + 1e-8 else 1 / (std + 1e-8)


@njit(**COMPILED)
def value_loss(v, target, old, kind, bound):
    """The critic's error and its derivative by V (``clipper.learning.value_losses``)."""
    e = v - target
    if kind == HUBER and abs(e) > bound:
        return bound * (2 * abs(e) - bound), 2 * bound if e > 0 else -2 * bound
    if kind == CLIPPED_MSE and abs(v - old) > bound:
        clipped = old + (bound if v > old else -bound) - target
        if clipped * clipped > e * e:
            return clipped * clipped, 0.0
    return e * e, 2 * e


@njit(**COMPILED)
def surrogate(r, a, kl, kind, low, high, number, limit):
    """An objective to be minimised, and its derivatives by r and by the KL (``clipper.functional.objectives``).

    ``number`` is α of the two rollbacks and c of ``dual_clip``, ``limit`` the δ of trust regions; ``rollback`` is
    ``clip`` where α is 0.
    """
    if kind == UNCLIPPED:
        return -r * a, -a, 0.0
    if kind == SPO:
        weight = a / (2 * high) if a > 0 else -a / (2 * low)
        return weight * (r - 1) ** 2 - r * a, 2 * weight * (r - 1) - a, 0.0
    if kind == TRUST_REGION:
        return (-a, 0.0, 0.0) if kl >= limit and r * a >= a else (-r * a, -a, 0.0)
    if kind == TRUST_REGION_ROLLBACK:
        left = kl >= limit and r * a >= a
        return (number * (kl - limit) - r * a, -a, number) if left else (-r * a, -a, 0.0)
    alpha = number if kind == ROLLBACK else 0.0
    bound = 1 - low if r < 1 - low else r
    bound = 1 + high if r > 1 + high else bound
    turned = (bound - alpha * (r - bound)) * a
    value, slope = -turned, alpha * a
    if r == bound or r * a < turned:
        value, slope = -r * a, -a
    if kind == DUAL_CLIP and a < 0 and -number * a < value:
        return -number * a, 0.0, 0.0
    return value, slope, 0.0


@njit(**COMPILED)
def actor_slopes(rows, index, loss, mean, factor, actor_weight, weight, work):
    """∂L/∂log π(a|s) and ∂L/∂KL of each row; adds up what is watched."""
    low, high, sums, log_prob = loss.low, loss.high, work.sums, work.log_prob
    for b in range(index.size):
        i = index[b]
        a = (rows.advantage[i] - mean) * factor
        sums[2] += work.entropy[b]
        if loss.objective == POLICY_GRADIENT:
            work.d_log_prob[b], work.d_kl[b] = -a * actor_weight, 0.0
            sums[0] -= log_prob[b] * a
            continue
        log_ratio = float(log_prob[b]) - rows.log_prob[i]
        within = LARGEST_LOG_RATIO if log_ratio > LARGEST_LOG_RATIO else log_ratio
        change, exact = math.expm1(within), np.float64(work.kl[b]) if loss.kl == EXACT else 0.0
        value_of, slope_of, slope_of_kl = surrogate(
            change + 1, a, exact, loss.objective, low, high, loss.number, loss.limit
        )
        work.d_log_prob[b] = slope_of * (change + 1) * actor_weight if log_ratio <= LARGEST_LOG_RATIO else 0.0
        work.d_kl[b] = slope_of_kl * actor_weight + loss.kl_coef * weight
        if not loss.per_part:
            sums[0] += value_of
        k1, k2, k3 = -log_ratio, 0.5 * log_ratio * log_ratio, change - log_ratio
        sums[3] += exact if loss.kl == EXACT else k1 if loss.kl == K1 else k2 if loss.kl == K2 else k3
        sums[5] += k1
        sums[6] += k2
        sums[7] += k3
        sums[RATIO] = max(sums[RATIO], change + 1)
        if change < -low or change > high:
            sums[4] += 1
        if log_ratio > LARGEST_LOG_RATIO:
            sums[8] += 1


@njit(**COMPILED)
def critic_slopes(rows, index, loss, weight, value, d_value, sums):
    """∂L/∂(the value layer's output) of each row; adds up the error."""
    shift, scale = loss.value_shift, loss.value_scale
    for b in range(index.size):
        i = index[b]
        error, slope = value_loss(
            float(value[b]),
            (rows.value_target[i] - shift) / scale,
            (rows.value[i] - shift) / scale,
            loss.value_loss,
            loss.value_bound,
        )
        d_value[b] = loss.value_coef * slope * weight
        sums[1] += error


@njit(**COMPILED)
def part_slopes(rows, index, loss, mean, factor, actor_weight, weight, leaves, work):
    """The same for each part with a name: what is watched of it, and its slopes where it has a ratio of its own.

    A part that an action does not use has a ratio of 1. Where all ratios are 1 the surrogates of all parts together
    equal −Â, as the joint one does.
    """
    sums, size = work.sums, index.size
    if rows.log_probs.shape[0] == 0 or loss.objective == POLICY_GRADIENT:
        return
    for l in range(leaves):
        at = RATIO + 1 + LEAF_SUMS * l
        for b in range(size):
            i = index[b]
            log_ratio = np.float64(work.leaf_log_prob[l, b]) - rows.log_probs[i, l]
            whole, within = math.expm1(log_ratio), min(log_ratio, LARGEST_LOG_RATIO)
            exact = np.float64(work.leaf_kl[l, b]) if loss.kl == EXACT else 0.0
            sums[at] += work.leaf_entropy[l, b]
            sums[at + 1] += exact if loss.kl == EXACT else math.expm1(within) - log_ratio
            if whole < -loss.low or whole > loss.high:
                sums[at + 2] += 1
            if loss.per_part:
                a, r = (rows.advantage[i] - mean) * factor, math.expm1(within) + 1
                value_of, slope_of, slope_of_kl = surrogate(
                    r, a, exact, loss.objective, loss.low, loss.high, loss.number, loss.limit
                )
                work.d_leaf[l, b] = slope_of * r * actor_weight if log_ratio <= LARGEST_LOG_RATIO else 0.0
                work.d_leaf_kl[l, b] = slope_of_kl * actor_weight + loss.kl_coef * weight
                sums[0] += value_of + (a if l > 0 else 0.0)
