"""Gradient steps of ``clipper.algorithms.td3``, ``.ddpg`` and ``.paddpg``: critics, then policy and lagged copies."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.mlp import stride_of, whole
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.plain_layers import backward, clear_beyond, forward, pull, read, read_actions
from clipper.engines.cpu.kernels.replayed_steps import clear, fit, follow, lay, lowest, pass_on, take
from clipper.engines.cpu.kernels.replayed_tables import LOSS, POLICY, SLOT, VALUE


@njit(**COMPILED)
def smooth(policy, noise, row, smoothing, bound, size, spaces, stride):
    """The given actions become clip(a + clip(σ̃ ε, ±c), −1, 1)."""
    one, c, scale = np.float32(1.0), np.float32(bound), np.float32(smoothing)
    for j in range(policy.size):
        a = spaces.out[(policy.action + j) * stride :]
        for b in range(size):
            a[b] = min(max(a[b] + min(max(scale * noise[row + b, j], -c), c), -one), one)


@njit(**COMPILED)
def climb(theta, critics, policy, size, weight, spaces, stride, columns):
    """The slopes of −Q₁ by the present actions; the sum of Q₁."""
    critic, total = critics[0], 0.0
    slot = critic[-1, SLOT]
    forward(theta, critic, spaces, stride, columns)
    q, d_q = spaces.out[slot * stride :], spaces.slopes[slot * stride :]
    for b in range(size):
        total += np.float64(q[b])
        d_q[b] = np.float32(-weight)
    clear_beyond(spaces.slopes, slot, 1, size, stride, columns)
    backward(theta, critic, spaces.aside, False, spaces, stride, columns)
    pull(theta, critic, policy.action, policy.size, spaces, stride, columns, 0)
    return total


@njit(**COMPILED)
def deterministic(
    inputs, policy, critics, actor, judges, lagged, lagged_actor, batch, numbers, spaces, counts, watched, before, steps
):
    """So many gradient steps after those ``before``, each on the next ``batch.size`` decisions."""
    weight, nets = 1 / batch.size, critics.shape[0]
    for i in range(steps):
        begin = i * batch.size
        error = value = total = along = 0.0
        clear(judges.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            read(inputs, batch.next_obs, first, size, spaces, stride, columns)
            forward(lagged_actor, policy.layers, spaces, stride, columns)
            lay(policy, 0, policy.size, numbers.inverted, size, spaces, stride, columns)
            if batch.noise.shape[0] > 0:
                smooth(policy, batch.noise, first, numbers.smoothing, numbers.bound, size, spaces, stride)
            lowest(lagged, critics, size, spaces, stride, columns, spaces.target)
            for b in range(size):
                spaces.target[b] = batch.reward[first + b] + batch.discount[first + b] * spaces.target[b]
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            read_actions(batch.action, policy.action, first, size, spaces, stride, columns)
            errors, values = fit(judges, critics, size, False, weight, spaces, stride, columns)
            error += errors
            value += values
        take(judges, numbers.rates[1], error, counts)
        watched[i, LOSS], watched[i, VALUE], watched[i, POLICY] = error * weight / nets, value * weight / nets, np.nan
        if (before + i + 1) % numbers.delay:
            continue
        clear(actor.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            forward(actor.theta, policy.layers, spaces, stride, columns)
            lay(policy, 0, policy.size, False, size, spaces, stride, columns)
            total += climb(judges.theta, critics, policy, size, weight, spaces, stride, columns)
            along += pass_on(policy, numbers.inverted, size, spaces, stride, columns)
            backward(actor.theta, policy.layers, actor.gradient, True, spaces, stride, columns)
        take(actor, numbers.rates[0], along if numbers.inverted else total, counts)
        follow(lagged, judges.theta, numbers.tau)
        follow(lagged_actor, actor.theta, numbers.actor_tau)
        watched[i, POLICY] = -total * weight
