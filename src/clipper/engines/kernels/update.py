"""An update: minibatches forward, loss, backward, step."""

import numpy as np
from numba import njit

from clipper.engines.kernels import categorical, gaussian, mlp
from clipper.engines.kernels.loss import MEAN, NORM, RATIO, STD, SUMS, mean_and_std, slopes, standard_units
from clipper.engines.kernels.optimizer import step
from clipper.engines.kernels.options import COMPILED
from clipper.engines.kernels.tables import CATEGORICAL


@njit(**COMPILED)
def accumulate(net, head, loss, rows, index, weight, mean, factor, work, gradient, sums):
    """Add what the rows ``index`` contribute to the gradient and to what is watched, ``capacity`` rows at a time."""
    n, o = index.size, head.outputs
    actor_weight = loss.actor_weight if loss.actor_weight > 0 else weight
    d_entropy = -loss.entropy_coef * weight
    d_log_std = gradient[head.log_std_at : head.log_std_at + o] if head.log_std_at >= 0 else gradient[:0]
    for start in range(0, n, work.capacity):
        part = index[start : min(start + work.capacity, n)]
        size, columns, stride = part.size, mlp.whole(part.size), mlp.stride_of(part.size)
        first, last = head.slot * stride, (head.slot + o) * stride
        out, d_out = work.out[first:last].reshape(o, stride), work.slopes[first:last].reshape(o, stride)
        value, d_value = work.out[head.value * stride :], work.slopes[head.value * stride :]
        mlp.forward(net, net.layers, rows.obs, part, work)
        log_prob, entropy, d_log_prob = work.log_prob[:size], work.entropy[:size], work.d_log_prob[:size]
        if rows.legal.shape[0] > 0:
            categorical.forbid(out, rows.legal, part)
        if head.kind == CATEGORICAL:
            largest, total = work.largest[:size], work.total[:size]
            categorical.evaluate(out, head.sizes, rows.choice, part, log_prob, entropy, largest, total)
        else:
            gaussian.evaluate(out, head.log_std, head.low, head.high, rows.action, part, log_prob, entropy)
        slopes(rows, part, loss, mean, factor, actor_weight, weight, log_prob, value, d_log_prob, d_value, sums)
        for b in range(size):
            sums[2] += entropy[b]
        if head.kind == CATEGORICAL:
            categorical.backward(out, head.sizes, rows.choice, part, d_log_prob, d_entropy, d_out, entropy)
        else:
            gaussian.backward(
                out, head.log_std, head.low, head.high, rows.action, part, d_log_prob, d_entropy, d_out, d_log_std
            )
        d_out[:, size:columns] = 0
        d_value[size:columns] = 0
        mlp.backward(net, gradient, size, work)


@njit(**COMPILED)
def units(loss, rows, index):
    """Mean and factor that bring these rows' advantages to the units that the loss has them in."""
    return standard_units(rows.advantage, index, loss.correction) if loss.standardise else (loss.mean, loss.factor)


@njit(**COMPILED)
def minibatch(net, head, loss, rows, index, work, gradient, sums):
    """The gradient of one minibatch's loss, and the sums of what is watched."""
    gradient[:] = 0
    sums[:] = 0
    mean, factor = units(loss, rows, index)
    accumulate(net, head, loss, rows, index, 1 / index.size, mean, factor, work, gradient, sums)


@njit(**COMPILED)
def epoch(net, head, loss, rows, order, parts, work, gradient, optimizer, counts, largest_kl, history):
    """One pass over ``order`` in ``parts`` minibatches, whose sizes differ by at most one; returns how many were taken.

    A minibatch whose KL exceeds ``largest_kl`` ends the pass before its step. ``history`` ``[parts, NORM + 1]`` takes
    the means of what is watched, the largest ratio, the advantages' mean and deviation, and the gradient's norm.
    """
    size, extra = order.size // parts, order.size % parts
    sums = np.zeros(RATIO + 1)
    for i in range(parts):
        start = i * size + min(i, extra)
        index = order[start : start + size + (i < extra)]
        minibatch(net, head, loss, rows, index, work, gradient, sums)
        sums[7] = sums[3]
        for k in range(SUMS):
            history[i, k] = sums[k] / index.size
        history[i, RATIO] = sums[RATIO]
        history[i, MEAN], history[i, STD] = mean_and_std(rows.advantage, index, 0)
        if history[i, 3] > largest_kl:
            return i
        history[i, NORM] = step(net.theta, gradient, optimizer, history[i, :3].sum(), counts)
    return parts
