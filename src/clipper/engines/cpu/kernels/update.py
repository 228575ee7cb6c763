"""An update: minibatches forward, loss, backward, step."""

from numba import njit

from clipper.engines.cpu.kernels import divergence, mlp, parts
from clipper.engines.cpu.kernels.loss import actor_slopes, critic_slopes, mean_and_std, part_slopes, standard_units
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.optimizer import step
from clipper.engines.cpu.kernels.tables import (
    EXACT,
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


@njit(**COMPILED)
def accumulate(
    net: Net, head: Head, loss: Loss, rows: Rows, work: Work, gradient: Floats1, order: Ints1, first: int, last: int,
    weight: float, mean: float, factor: float,
) -> None:  # fmt: skip
    """Add what the rows ``order[first:last]`` give to the gradient and to what is watched, ``capacity`` at a time."""
    actor_weight = loss.actor_weight if loss.actor_weight > 0 else weight
    for start in range(first, last, work.capacity):
        part = order[start : min(start + work.capacity, last)]
        mlp.forward(net, net.layers, rows.obs, part, work)
        if loss.acts:
            parts.evaluate(net, head, rows, part, work)
            if loss.kl == EXACT:
                divergence.evaluate(net, head, rows.old, part, work)
            actor_slopes(rows, part, loss, mean, factor, actor_weight, weight, work)
            part_slopes(rows, part, loss, mean, factor, actor_weight, weight, head.leaves, work)
            parts.backward(net, head, loss, rows, part, weight, work, gradient)
        if loss.judges:
            stride = mlp.stride_of(part.size)
            value, d_value = work.out[head.value * stride :], work.slopes[head.value * stride :]
            critic_slopes(rows, part, loss, weight, value, d_value, work.sums)
            parts.clear_beyond(work.slopes, head.value, 1, part.size, stride)
        mlp.backward(net, gradient, rows.obs, part, work)


@njit(**COMPILED)
def weigh(net: Net, head: Head, loss: Loss, rows: Rows, work: Work, order: Ints1) -> None:
    """Add up what is watched of the actor in the rows of ``order``, in ``work``; nothing is differentiated."""
    weight = 1 / order.size
    for i in range(work.sums.size):
        work.sums[i] = 0
    for start in range(0, order.size, work.capacity):
        part = order[start : min(start + work.capacity, order.size)]
        mlp.forward(net, net.layers, rows.obs, part, work)
        parts.evaluate(net, head, rows, part, work)
        if loss.kl == EXACT:
            divergence.evaluate(net, head, rows.old, part, work)
        actor_slopes(rows, part, loss, loss.mean, loss.factor, weight, weight, work)


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
    for k in range(SUMS):
        watched[i, k] = sums[k] / (last - first)
    for k in range(RATIO + 1, sums.size):
        watched[i, k - RATIO + NORM] = sums[k] / (last - first)
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
    largest_kl: float, watched: Doubles2, order: Ints1, count: int,
) -> int:  # fmt: skip
    """One pass over ``order`` in ``count`` minibatches, whose sizes differ by at most one; returns how many were taken.

    A minibatch whose KL exceeds ``largest_kl`` ends the pass before its step. ``watched`` has a row for each and takes
    the means of what is watched, the largest ratio, the advantages' mean and deviation, and the gradient's norm; then
    what is watched of the action's parts.
    """
    size, extra, first = order.size // count, order.size % count, 0
    for i in range(count):
        last = first + size + (i < extra)
        clear(gradient, work)
        mean, factor = units(loss, rows, order, first, last)
        accumulate(net, head, loss, rows, work, gradient, order, first, last, 1 / (last - first), mean, factor)
        if not finish(
            net, rows, gradient, work.sums, optimizer, counts, largest_kl, watched, order, first, last, i
        ):  # fmt: skip
            return i
        first = last
    return count
