"""Products with the Fisher information of the actor: Jᵀ M J v, with M that of the action's distribution.

M is block-diagonal over the parts of an action, each weighted by the probability that it counts: at π_old = π it is the
second derivative of ``divergence``'s KL by what the layers say (Kakade 2001; arXiv:1502.05477, appendix C).
"""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import beta, categorical, continuous, mlp, parts, scales
from clipper.engines.cpu.kernels.elementary import exp
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import BETA, CATEGORICAL, EXP, LEARNED, Floats1, Head, Ints1, Net, Rows, Work
from clipper.engines.cpu.kernels.views import sheet


@njit(**COMPILED)
def settle(net, head, rows, index, work, stride):
    """What the head's layers say becomes log π of choices and log σ; how likely each part is to count."""
    size = index.size
    for p in range(head.parts.shape[0]):
        kind, slot, outputs, _, legal, _, _, _, scale, _, _ = head.parts[p]
        parts.note_uses(head.parts, p, rows.choice, index, work, stride, True)
        if kind == CATEGORICAL:
            out = sheet(work.out, slot * stride, outputs, stride)
            if rows.legal.shape[0] > 0:
                categorical.forbid(out, rows.legal, legal, index)
            own = work.log_probs[p, :size]
            categorical.evaluate(out, work.chosen[p], own, work.entropies[p, :size], work.largest, work.total)
        elif kind != BETA and scale >= EXP:
            continuous.told_log_std(head, p, work, size, stride)


@njit(**COMPILED)
def choice_metric(log_p, reach, weight, moved):
    """M = diag(p) − p pᵀ, in place."""
    for b in range(reach.size):
        mean = np.float32(0.0)
        for k in range(log_p.shape[0]):
            mean += exp(log_p[k, b]) * moved[k, b]
        for k in range(log_p.shape[0]):
            moved[k, b] = weight * reach[b] * exp(log_p[k, b]) * (moved[k, b] - mean)


@njit(**COMPILED)
def normal_metric(net, head, p, reach, weight, direction, work, stride, result):
    """M = 1/σ² for μ and 2 for log σ, in place; what is owed to parameters of log σ is added to ``result``."""
    _, slot, outputs, _, _, _, _, _, scale, at, _ = head.parts[p]
    moved, size = sheet(work.slopes, slot * stride, outputs, stride), reach.size
    for j in range(outputs):
        continuous.note_std(net, head, p, j, work, size, stride)
        for b in range(size):
            moved[j, b] *= weight * reach[b] / (work.std[b] * work.std[b])
    if scale == LEARNED:
        total = 0.0
        for b in range(size):
            total += float(reach[b])
        for j in range(outputs):
            if head.low <= net.theta[at + j] <= head.high:
                result[at + j] += np.float32(2 * weight * total) * direction[at + j]
    elif scale >= EXP:
        told, d_told = continuous.sheets(work, at, outputs, stride)
        scales.backward(told, size, scale, head.low, head.high, d_told)
        for j in range(outputs):
            for b in range(size):
                d_told[j, b] *= 2 * weight * reach[b]
        scales.backward(told, size, scale, head.low, head.high, d_told)


@njit(**COMPILED)
def beta_metric(raw, reach, weight, moved):
    """M = [ψ′(α) − ψ′(α + β), −ψ′(α + β); …] for α and β, in place for what the layer says."""
    size = raw.shape[0] // 2
    for j in range(size):
        for b in range(reach.size):
            x, y = np.float64(raw[j, b]), np.float64(raw[size + j, b])
            p, q = beta.shape_of(raw[j, b]), beta.shape_of(raw[size + j, b])
            by_x = 1 / (1 + math.exp(-x)) if 1 + beta.softplus(x) <= beta.SHARPEST else 0.0
            by_y = 1 / (1 + math.exp(-y)) if 1 + beta.softplus(y) <= beta.SHARPEST else 0.0
            dp, dq = by_x * moved[j, b], by_y * moved[size + j, b]
            both = beta.trigamma(p + q) * (dp + dq)
            moved[j, b] = weight * reach[b] * by_x * (beta.trigamma(p) * dp - both)
            moved[size + j, b] = weight * reach[b] * by_y * (beta.trigamma(q) * dq - both)


@njit(**COMPILED)
def metric(net, head, index, weight, direction, work, stride, result):
    """From how the layers' outputs move, in ``work.slopes``, to M times that."""
    size = index.size
    for p in range(head.parts.shape[0]):
        kind, slot, outputs, _, _, _, _, _, scale, at, _ = head.parts[p]
        reach = work.reach[p, :size]
        if kind == CATEGORICAL:
            out, moved = continuous.sheets(work, slot, outputs, stride)
            choice_metric(out, reach, np.float32(weight), moved)
        elif kind == BETA:
            out, moved = continuous.sheets(work, slot, 2 * outputs, stride)
            beta_metric(out, reach, weight, moved)
        else:
            normal_metric(net, head, p, reach, np.float32(weight), direction, work, stride, result)
            if scale >= EXP:
                parts.clear_beyond(work.slopes, at, outputs, size, stride)
        parts.clear_beyond(work.slopes, slot, 2 * outputs if kind == BETA else outputs, size, stride)


@njit(**COMPILED)
def fisher_product(
    net: Net, head: Head, rows: Rows, order: Ints1, direction: Floats1, work: Work, result: Floats1, first: int,
    last: int, weight: float,
) -> None:  # fmt: skip
    """Add to ``result`` the product of ``direction`` with ``weight`` times the sum over ``order[first:last]``."""
    for start in range(first, last, work.capacity):
        index = order[start : min(start + work.capacity, last)]
        stride = mlp.stride_of(index.size)
        mlp.forward(net, net.layers, rows.obs, index, work)
        settle(net, head, rows, index, work, stride)
        mlp.tangents(net, direction, rows.obs, index, work)
        metric(net, head, index, weight, direction, work, stride, result)
        mlp.backward(net, result, rows.obs, index, work)
