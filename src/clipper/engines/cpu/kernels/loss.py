"""Losses of actor and critic: their derivatives by log-likelihood and value, row by row."""

import math

from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import (
    CLIPPED_MSE,
    DUAL_CLIP,
    HUBER,
    POLICY_GRADIENT,
    RATIO,
    ROLLBACK,
    SPO,
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
def surrogate(r, a, kind, low, high, number):
    """An objective of the ratio, to be minimised, and its derivative by r (``clipper.functional.objectives``).

    ``number`` is α of ``rollback``, which is ``clip`` where α is 0, and c of ``dual_clip``.
    """
    if kind == UNCLIPPED:
        return -r * a, -a
    if kind == SPO:
        weight = a / (2 * high) if a > 0 else -a / (2 * low)
        return weight * (r - 1) ** 2 - r * a, 2 * weight * (r - 1) - a
    alpha = number if kind == ROLLBACK else 0.0
    bound = 1 - low if r < 1 - low else r
    bound = 1 + high if r > 1 + high else bound
    turned = (bound - alpha * (r - bound)) * a
    value, slope = -turned, alpha * a
    if r == bound or r * a < turned:
        value, slope = -r * a, -a
    if kind == DUAL_CLIP and a < 0 and -number * a < value:
        return -number * a, 0.0
    return value, slope


@njit(**COMPILED)
def slopes(rows, index, loss, mean, factor, actor_weight, weight, log_prob, value, d_log_prob, d_value, sums):
    """∂L/∂log π(a|s) and ∂L/∂(the value layer's output) of each row; adds up what is watched."""
    low, high, shift, scale = loss.low, loss.high, loss.value_shift, loss.value_scale
    for b in range(index.size):
        i = index[b]
        a = (rows.advantage[i] - mean) * factor
        if loss.objective != POLICY_GRADIENT:
            log_ratio = float(log_prob[b]) - rows.log_prob[i]
            within = LARGEST_LOG_RATIO if log_ratio > LARGEST_LOG_RATIO else log_ratio
            change = math.expm1(within)
            value_of, slope_of = surrogate(change + 1, a, loss.objective, low, high, loss.number)
            d_log_prob[b] = slope_of * (change + 1) * actor_weight if log_ratio <= LARGEST_LOG_RATIO else 0.0
            sums[0] += value_of
            sums[3] += change - log_ratio
            sums[5] -= log_ratio
            sums[6] += 0.5 * log_ratio * log_ratio
            sums[RATIO] = max(sums[RATIO], change + 1)
            if change < -low or change > high:
                sums[4] += 1
            if log_ratio > LARGEST_LOG_RATIO:
                sums[8] += 1
        else:
            d_log_prob[b] = -a * actor_weight
            sums[0] -= log_prob[b] * a
        error, slope = value_loss(
            float(value[b]),
            (rows.value_target[i] - shift) / scale,
            (rows.value[i] - shift) / scale,
            loss.value_loss,
            loss.value_bound,
        )
        d_value[b] = loss.value_coef * slope * weight
        sums[1] += error
