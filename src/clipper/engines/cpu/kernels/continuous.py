"""The continuous parts of an action: which distribution each is, and where its numbers stand."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import gaussian, scales
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import EXP, LEARNED
from clipper.engines.cpu.kernels.views import sheet

LARGEST = float(np.finfo(np.float64).max)


@njit(**COMPILED)
def shared_log_std(net, head, p):
    """The log σ that is the same in every state."""
    _, _, outputs, _, _, _, _, _, scale, at = head.parts[p]
    return net.theta[at : at + outputs] if scale == LEARNED else head.log_std[at : at + outputs]


@njit(**COMPILED)
def evaluate(net, head, p, action, index, work, stride, log_prob, entropy):
    """Log π(a|s) and the entropy of each row."""
    _, slot, outputs, column, _, _, _, _, scale, at = head.parts[p]
    mean, used = sheet(work.out, slot * stride, outputs, stride), work.used[p]
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        gaussian.evaluate(mean, log_std, head.low, head.high, action, column, index, used, log_prob, entropy)
    else:
        told = sheet(work.out, at * stride, outputs, stride)
        scales.log_stds(told, index.size, scale, head.starts[p], head.low, head.high)
        gaussian.evaluate_by_state(mean, told, action, column, index, used, log_prob, entropy)


@njit(**COMPILED)
def backward(net, head, p, action, index, work, stride, gated, gradient):
    """From ∂L/∂log π and ∂L/∂H, in ``work``, to the slopes of means and log σ."""
    _, slot, outputs, column, _, _, _, _, scale, at = head.parts[p]
    size, used, d_log_prob, d_entropy = index.size, work.used[p], work.d_part, work.d_entropy
    mean, d_mean = sheet(work.out, slot * stride, outputs, stride), sheet(work.slopes, slot * stride, outputs, stride)
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        d_log_std = gradient[at : at + outputs] if scale == LEARNED else gradient[:0]
        gaussian.backward(
            mean, log_std, head.low, head.high, action, column, index, used, d_log_prob, d_entropy, d_mean, d_log_std,
            gated,
        )  # fmt: skip
    else:
        told, d_told = sheet(work.out, at * stride, outputs, stride), sheet(work.slopes, at * stride, outputs, stride)
        gaussian.backward_by_state(
            mean, told, action, column, index, used, d_log_prob, d_entropy, d_mean, d_told
        )  # fmt: skip
        scales.backward(told, size, scale, head.low, head.high, d_told)


@njit(**COMPILED)
def sample(net, head, p, normal, action, work, stride, log_prob):
    """Draw the part, and its log-likelihood."""
    _, slot, outputs, column, _, _, _, _, scale, at = head.parts[p]
    mean = sheet(work.out, slot * stride, outputs, stride)
    if scale < EXP:
        log_std = shared_log_std(net, head, p)
        gaussian.sample(mean, log_std, head.low, head.high, normal, action, column, log_prob)
    else:
        told = sheet(work.out, at * stride, outputs, stride)
        scales.log_stds(told, log_prob.size, scale, head.starts[p], head.low, head.high)
        gaussian.sample_by_state(mean, told, normal, action, column, log_prob)


@njit(**COMPILED)
def send(head, action, first, low, high, rescale, sent):
    """What environments take: ``action`` rescaled and clipped to their bounds, or to those of the one row."""
    for b in range(action.shape[0]):
        row = first + b if low.shape[0] > 1 else 0
        for j in range(rescale.size):
            least, most, x = low[row, j], high[row, j], float(action[b, j])
            if rescale[j] and abs(least) <= LARGEST and abs(most) <= LARGEST:
                x = (least / 2 + most / 2) + (most / 2 - least / 2) * x
            x = least if x < least else x
            sent[first + b, j] = most if x > most else x
