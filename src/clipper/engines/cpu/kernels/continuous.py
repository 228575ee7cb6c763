"""The continuous parts of an action: which distribution each is, and where its numbers stand."""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import beta, gaussian, scales, squashed
from clipper.engines.cpu.kernels.elementary import exp, tanh
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import BETA, CLIPPED, EXP, LEARNED, SQUASHED, TANH_OF, TANH_OF_HALF
from clipper.engines.cpu.kernels.views import sheet

LARGEST = float(np.finfo(np.float64).max)


@njit(**COMPILED)
def shared_log_std(net, head, p):
    """The log σ that is the same in every state."""
    _, _, outputs, _, _, _, _, _, scale, at, _ = head.parts[p]
    return net.theta[at : at + outputs] if scale == LEARNED else head.log_std[at : at + outputs]


@njit(**COMPILED)
def bounded_log_std(net, head, p, j):
    """That of one component, within its bounds."""
    return min(max(float(shared_log_std(net, head, p)[j]), head.low), head.high)


@njit(**COMPILED)
def told_log_std(head, p, work, rows, stride):
    """The log σ that a layer tells, made of its numbers."""
    _, _, outputs, _, _, _, _, _, scale, at, _ = head.parts[p]
    told = sheet(work.out, at * stride, outputs, stride)
    scales.log_stds(told, rows, scale, head.starts[p], head.low, head.high)
    return told


@njit(**COMPILED)
def evaluate(net, head, p, action, index, work, stride, log_prob, entropy):
    """Log π(a|s) and the entropy of each row."""
    kind, slot, outputs, column, _, _, _, _, scale, _, _ = head.parts[p]
    used, rows = work.used[p], index.size
    if kind == BETA:
        raw = sheet(work.out, slot * stride, 2 * outputs, stride)
        beta.evaluate(raw, action, column, index, used, log_prob, entropy)
        return
    mean = sheet(work.out, slot * stride, outputs, stride)
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        gaussian.evaluate(mean, log_std, head.low, head.high, action, column, index, used, log_prob, entropy)
    else:
        told = told_log_std(head, p, work, rows, stride)
        gaussian.evaluate_by_state(mean, told, action, column, index, used, log_prob, entropy)
    if kind == SQUASHED:
        squashed.subtract_slopes(action, column, outputs, index, log_prob)
        for j in range(outputs):
            note_std(net, head, p, j, work, rows, stride)
            squashed.expect(mean[j], work.std, rows, work.spare, work.largest, work.total)
            for b in range(rows):
                entropy[b] += work.spare[b]


@njit(**COMPILED)
def note_std(net, head, p, j, work, rows, stride):
    """The σ of one component in each row."""
    scale, at = head.parts[p, 8], head.parts[p, 9]
    if scale < EXP:
        std = np.float32(math.exp(bounded_log_std(net, head, p, j)))
        for b in range(rows):
            work.std[b] = std
    else:
        told = work.out[(at + j) * stride :]
        for b in range(rows):
            work.std[b] = exp(told[b])


@njit(**COMPILED)
def kl(net, head, p, old, index, work, stride, out):
    """KL(π_old ‖ π) of each row; tanh changes nothing of it."""
    kind, slot, outputs, _, _, _, _, _, scale, at, column = head.parts[p]
    if kind == BETA:
        beta.kl(sheet(work.out, slot * stride, 2 * outputs, stride), old, column, index, out)
        return
    mean = sheet(work.out, slot * stride, outputs, stride)
    if scale < EXP:
        log_std = sheet(shared_log_std(net, head, p), 0, outputs, 1)
        gaussian.kl(mean, log_std, False, head.low, head.high, old, column, index, out)
    else:
        log_std = sheet(work.out, at * stride, outputs, stride)
        gaussian.kl(mean, log_std, True, head.low, head.high, old, column, index, out)


@njit(**COMPILED)
def add_kl(net, head, p, old, index, work, stride, gradient):
    """Add what the KL's slopes, in ``work``, are of what the layers say; of log σ as it is within its bounds."""
    kind, slot, outputs, _, _, _, _, _, scale, at, column = head.parts[p]
    d_kl = work.d_part_kl
    if kind == BETA:
        raw, d_raw = sheets(work, slot, 2 * outputs, stride)
        beta.add_kl(raw, old, column, index, d_kl, d_raw)
        return
    mean, d_mean = sheets(work, slot, outputs, stride)
    if scale < EXP:
        log_std = sheet(shared_log_std(net, head, p), 0, outputs, 1)
        d_log_std = sheet(gradient, at if scale == LEARNED else 0, outputs if scale == LEARNED else 0, 1)
        gaussian.add_kl(mean, log_std, False, head.low, head.high, old, column, index, d_kl, d_mean, d_log_std)
    else:
        told, d_told = sheets(work, at, outputs, stride)
        gaussian.add_kl(mean, told, True, head.low, head.high, old, column, index, d_kl, d_mean, d_told)


@njit(**COMPILED)
def backward(net, head, p, action, old, exact, index, work, stride, gated, gradient):
    """From ∂L/∂log π, ∂L/∂H and ∂L/∂KL, in ``work``, to the slopes of what the layers say."""
    kind, slot, outputs, column, _, _, _, _, scale, at, _ = head.parts[p]
    size, used, d_log_prob, d_entropy = index.size, work.used[p], work.d_part, work.d_entropy
    if kind == BETA:
        raw, d_raw = sheets(work, slot, 2 * outputs, stride)
        beta.backward(raw, action, column, index, used, d_log_prob, d_entropy, d_raw)
        if exact:
            add_kl(net, head, p, old, index, work, stride, gradient)
        return
    mean, d_mean = sheets(work, slot, outputs, stride)
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        d_log_std = gradient[at : at + outputs] if scale == LEARNED else gradient[:0]
        gaussian.backward(
            mean, log_std, head.low, head.high, action, column, index, used, d_log_prob, d_entropy, d_mean, d_log_std,
            gated,
        )  # fmt: skip
    else:
        told, d_told = sheets(work, at, outputs, stride)
        gaussian.backward_by_state(
            mean, told, action, column, index, used, d_log_prob, d_entropy, d_mean, d_told
        )  # fmt: skip
    if kind == SQUASHED:
        for j in range(outputs):
            squash_backward(net, head, p, j, work, size, stride, mean, d_mean, gradient)
    if exact:
        add_kl(net, head, p, old, index, work, stride, gradient)
    if scale >= EXP:
        told, d_told = sheets(work, at, outputs, stride)
        scales.backward(told, size, scale, head.low, head.high, d_told)


@njit(**COMPILED)
def sheets(work, slot, outputs, stride):
    """What layers say, and its slopes."""
    return sheet(work.out, slot * stride, outputs, stride), sheet(work.slopes, slot * stride, outputs, stride)


@njit(**COMPILED)
def squash_backward(net, head, p, j, work, rows, stride, mean, d_mean, gradient):
    """Add what the entropy of one component owes to the expected slope of tanh."""
    scale, at, d_entropy, total = head.parts[p, 8], head.parts[p, 9], work.d_entropy, 0.0
    note_std(net, head, p, j, work, rows, stride)
    squashed.expect(mean[j], work.std, rows, work.spare, work.largest, work.total)
    for b in range(rows):
        d_mean[j, b] += d_entropy[b] * work.largest[b]
        work.total[b] *= d_entropy[b] * work.std[b]
        total += work.total[b]
    if scale >= EXP:
        d_told = work.slopes[(at + j) * stride :]
        for b in range(rows):
            d_told[b] += work.total[b]
    elif scale == LEARNED and head.low <= net.theta[at + j] <= head.high:
        gradient[at + j] += total


@njit(**COMPILED)
def sample(net, head, p, normal, seeds, action, work, stride, log_prob):
    """Draw the part, and its log-likelihood."""
    kind, slot, outputs, column, _, _, _, _, scale, _, _ = head.parts[p]
    if kind == BETA:
        beta.sample(sheet(work.out, slot * stride, 2 * outputs, stride), seeds, action, column, log_prob)
        return
    mean = sheet(work.out, slot * stride, outputs, stride)
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        gaussian.sample(mean, log_std, head.low, head.high, normal, action, column, log_prob)
    else:
        told = told_log_std(head, p, work, log_prob.size, stride)
        gaussian.sample_by_state(mean, told, normal, action, column, log_prob)
    if kind == SQUASHED:
        squashed.subtract_slopes(action, column, outputs, work.order[: log_prob.size], log_prob)


@njit(**COMPILED)
def send(action, first, low, high, forms, sent):
    """What environments take: ``action`` rescaled and clipped to their bounds, or to those of the one row."""
    for b in range(action.shape[0]):
        row = first + b if low.shape[0] > 1 else 0
        for j in range(forms.size):
            least, most, x = low[row, j], high[row, j], float(action[b, j])
            if forms[j] == TANH_OF or forms[j] == TANH_OF_HALF:
                x = float(tanh(np.float32(x if forms[j] == TANH_OF else x / 2)))
            if forms[j] != CLIPPED and abs(least) <= LARGEST and abs(most) <= LARGEST:
                x = (least / 2 + most / 2) + (most / 2 - least / 2) * x
            x = least if x < least else x
            sent[first + b, j] = most if x > most else x
