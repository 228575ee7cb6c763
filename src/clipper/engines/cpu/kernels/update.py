"""An update: minibatches forward, loss, backward, step."""

from numba import njit

from clipper.engines.cpu.kernels import categorical, gaussian, mlp
from clipper.engines.cpu.kernels.loss import mean_and_std, slopes, standard_units
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.optimizer import step
from clipper.engines.cpu.kernels.tables import (
    CATEGORICAL,
    MEAN,
    NORM,
    RATIO,
    STD,
    SUMS,
    Doubles1,
    Doubles2,
    Floats1,
    Head,
    Ints1,
    Loss,
    Net,
    Optimizer,
    Rows,
    Work,
)
from clipper.engines.cpu.kernels.views import sheet


@njit(**COMPILED)
def accumulate(
    net: Net, head: Head, loss: Loss, rows: Rows, work: Work, gradient: Floats1, order: Ints1, first: int, last: int,
    weight: float, mean: float, factor: float,
) -> None:  # fmt: skip
    """Add what the rows ``order[first:last]`` give to the gradient and to what is watched, ``capacity`` at a time."""
    o, sums = head.outputs, work.sums
    actor_weight = loss.actor_weight if loss.actor_weight > 0 else weight
    d_entropy = -loss.entropy_coef * weight
    d_log_std = gradient[head.log_std_at : head.log_std_at + o] if head.log_std_at >= 0 else gradient[:0]
    for start in range(first, last, work.capacity):
        part = order[start : min(start + work.capacity, last)]
        size, columns, stride = part.size, mlp.whole(part.size), mlp.stride_of(part.size)
        at = head.slot * stride
        out, d_out = sheet(work.out, at, o, stride), sheet(work.slopes, at, o, stride)
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
        for b in range(size, columns):
            d_value[b] = 0
            for j in range(o):
                d_out[j, b] = 0
        mlp.backward(net, gradient, rows.obs, part, work)


@njit(**COMPILED)
def clear(gradient: Floats1, work: Work) -> None:
    """Nothing is added up yet."""
    for i in range(gradient.size):
        gradient[i] = 0
    for i in range(work.sums.size):
        work.sums[i] = 0


@njit(**COMPILED)
def units(loss: Loss, rows: Rows, order: Ints1, first: int, last: int) -> tuple[float, float]:
    """Mean and factor that bring these rows' advantages to the units that the loss has them in."""
    if loss.standardise:
        return standard_units(rows.advantage, order[first:last], loss.correction)
    return loss.mean, loss.factor


@njit(**COMPILED)
def finish(
    net: Net, rows: Rows, gradient: Floats1, sums: Doubles1, optimizer: Optimizer, counts: Ints1, largest_kl: float,
    watched: Doubles2, order: Ints1, first: int, last: int, i: int,
) -> int:  # fmt: skip
    """Note what is watched of minibatch ``i`` and take its step, unless its KL exceeds ``largest_kl``; was it taken?"""
    sums[7] = sums[3]
    for k in range(SUMS):
        watched[i, k] = sums[k] / (last - first)
    watched[i, RATIO] = sums[RATIO]
    watched[i, MEAN], watched[i, STD] = mean_and_std(rows.advantage, order[first:last], 0)
    if watched[i, 3] > largest_kl:
        return 0
    loss = watched[i, 0] + watched[i, 1] + watched[i, 2]
    watched[i, NORM] = step(net.theta, gradient, optimizer, loss, counts)
    return 1


@njit(**COMPILED)
def epoch(
    net: Net, head: Head, loss: Loss, rows: Rows, work: Work, gradient: Floats1, optimizer: Optimizer, counts: Ints1,
    largest_kl: float, watched: Doubles2, order: Ints1, parts: int,
) -> int:  # fmt: skip
    """One pass over ``order`` in ``parts`` minibatches, whose sizes differ by at most one; returns how many were taken.

    A minibatch whose KL exceeds ``largest_kl`` ends the pass before its step. ``watched`` ``[parts, NORM + 1]`` takes
    the means of what is watched, the largest ratio, the advantages' mean and deviation, and the gradient's norm.
    """
    size, extra, first = order.size // parts, order.size % parts, 0
    for i in range(parts):
        last = first + size + (i < extra)
        clear(gradient, work)
        mean, factor = units(loss, rows, order, first, last)
        accumulate(net, head, loss, rows, work, gradient, order, first, last, 1 / (last - first), mean, factor)
        if not finish(
            net, rows, gradient, work.sums, optimizer, counts, largest_kl, watched, order, first, last, i
        ):  # fmt: skip
            return i
        first = last
    return parts
