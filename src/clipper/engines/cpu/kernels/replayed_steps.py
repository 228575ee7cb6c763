"""What gradient steps from a replay have in common: optimizers' steps, lagged copies, the critics' error."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.optimizer import step
from clipper.engines.cpu.kernels.plain_layers import backward, clear_beyond, forward
from clipper.engines.cpu.kernels.replayed_tables import SLOT
from clipper.engines.cpu.kernels.tables import Optimizer


@njit(**COMPILED)
def clear(x):
    """Nothing is added up yet."""
    for i in range(x.size):
        x[i] = 0


@njit(**COMPILED)
def take(learned, rate, loss, counts):
    """A step of the optimizer along the gradient; ``counts`` are three numbers of no account."""
    o = learned.optimizer
    now = Optimizer(o.kind, o.start, o.first, o.second, rate, o.beta1, o.beta2, o.eps, o.max_norm)
    counts[0] = np.int64(learned.taken[0])
    counts[1], counts[2] = np.int64(learned.skipped[0]), np.int64(learned.in_a_row[0])
    step(learned.theta, learned.gradient, now, loss, counts)
    learned.taken[0], learned.skipped[0], learned.in_a_row[0] = counts[0], counts[1], counts[2]


@njit(**COMPILED)
def follow(lagged, theta, tau):
    """θ⁻ ← θ⁻ + τ (θ − θ⁻)."""
    t = np.float32(tau)
    for i in range(lagged.size):
        lagged[i] += t * (theta[i] - lagged[i])


@njit(**COMPILED)
def lay(policy, first, last, clipped, size, spaces, stride, columns):
    """What the policy's last layers say, to where critics read it: components from ``first`` to before ``last``, and 0
    for others; with ``clipped`` within [−1, 1].
    """
    zero, one = np.float32(0.0), np.float32(1.0)
    for j in range(policy.size):
        mean, a = spaces.out[(policy.mean + j) * stride :], spaces.out[(policy.action + j) * stride :]
        seen = size if first <= j < last else 0
        for b in range(seen):
            a[b] = min(max(mean[b], -one), one) if clipped else mean[b]
        for b in range(seen, columns):
            a[b] = zero


@njit(**COMPILED)
def pass_on(policy, inverted, size, spaces, stride, columns):
    """From the action's slopes to those of what the policy's last layers say; the sum of slopes × numbers.

    They are the same, or ``inverted``: they shrink towards the bound that a step down them would cross.
    """
    zero, half, one, along = np.float32(0.0), np.float32(0.5), np.float32(1.0), 0.0
    for j in range(policy.size):
        d_a, d_mean = spaces.slopes[(policy.action + j) * stride :], spaces.slopes[(policy.mean + j) * stride :]
        mean = spaces.out[(policy.mean + j) * stride :]
        for b in range(columns):
            d = d_a[b] if b < size else zero
            if inverted:
                d *= half * (one - mean[b] if d < zero else mean[b] + one)
            d_mean[b] = d
            along += np.float64(d * mean[b])
    return along


@njit(**COMPILED)
def lowest(theta, critics, size, spaces, stride, columns, lowest_q):
    """The least of what the critics say of the given features and actions, of each decision."""
    for m in range(critics.shape[0]):
        forward(theta, critics[m], spaces, stride, columns)
        q = spaces.out[critics[m, -1, SLOT] * stride :]
        for b in range(size):
            lowest_q[b] = q[b] if m == 0 else min(lowest_q[b], q[b])


@njit(**COMPILED)
def fit(learned, critics, size, half, weight, spaces, stride, columns):
    """Add the gradient of the critics' squared errors; the sums of these and of what they say."""
    error, value, shrink = 0.0, 0.0, np.float32(0.5 if half else 1.0)
    slope = np.float32(weight) * np.float32(1.0 if half else 2.0)
    for m in range(critics.shape[0]):
        slot = critics[m, -1, SLOT]
        forward(learned.theta, critics[m], spaces, stride, columns)
        q, d_q = spaces.out[slot * stride :], spaces.slopes[slot * stride :]
        for b in range(size):
            d = q[b] - spaces.target[b]
            d_q[b] = slope * d
            error += np.float64(shrink * d * d)
            value += np.float64(q[b])
        clear_beyond(spaces.slopes, slot, 1, size, stride, columns)
        backward(learned.theta, critics[m], learned.gradient, True, spaces, stride, columns)
    return error, value
