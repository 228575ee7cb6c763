"""Gradient steps of ``clipper.algorithms.dqn``: of Q, and of its lagged copy after it."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.mlp import stride_of, whole
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.plain_layers import backward, clear_beyond, forward, read
from clipper.engines.cpu.kernels.replayed_steps import clear, follow, take
from clipper.engines.cpu.kernels.replayed_tables import LOSS, VALUE

LOWEST = -np.inf


@njit(**COMPILED)
def legal_at(legal, row, k, any_legal):
    """May action k be chosen? All may where none is legal, or where there is no mask."""
    return legal.shape[0] == 0 or not any_legal or legal[row, k]


@njit(**COMPILED)
def greedy(policy, legal, first, size, spaces, stride, best):
    """The first of the best legal actions by what the layers say."""
    q = spaces.out[policy.mean * stride :]
    for b in range(size):
        any_legal = False
        if legal.shape[0] > 0:
            for k in range(policy.size):
                any_legal = any_legal or legal[first + b, k]
        chosen, most = 0, np.float32(LOWEST)
        for k in range(policy.size):
            x = q[k * stride + b]
            if legal_at(legal, first + b, k, any_legal) and x > most:
                chosen, most = k, x
        best[b] = chosen


@njit(**COMPILED)
def dqn(inputs, policy, actor, lagged, batch, numbers, spaces, counts, watched, before, steps):
    """So many gradient steps after those ``before``, each on the next ``batch.size`` decisions."""
    weight, delta, best = np.float32(1 / batch.size), np.float32(numbers.delta), spaces.best
    for i in range(steps):
        begin = i * batch.size
        error = value = 0.0
        clear(actor.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            at = policy.mean * stride
            read(inputs, batch.next_obs, first, size, spaces, stride, columns)
            if numbers.double:
                forward(actor.theta, policy.layers, spaces, stride, columns)
                greedy(policy, batch.legal, first, size, spaces, stride, best)
            forward(lagged, policy.layers, spaces, stride, columns)
            if not numbers.double:
                greedy(policy, batch.legal, first, size, spaces, stride, best)
            for b in range(size):
                after = spaces.out[at + best[b] * stride + b]
                spaces.target[b] = batch.reward[first + b] + batch.discount[first + b] * after
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            forward(actor.theta, policy.layers, spaces, stride, columns)
            clear_beyond(spaces.slopes, policy.mean, policy.size, 0, stride, columns)
            for b in range(size):
                place = at + batch.choice[first + b] * stride + b
                d = spaces.out[place] - spaces.target[b]
                far = abs(d)
                error += np.float64(d * d if far <= delta else delta * (far + far - delta))
                value += np.float64(spaces.out[place])
                sloped = d if far <= delta else delta if d > 0 else -delta
                spaces.slopes[place] = weight * (sloped + sloped)
            backward(actor.theta, policy.layers, actor.gradient, True, spaces, stride, columns)
        take(actor, numbers.rates[0], error, counts)
        if numbers.every == 0:
            follow(lagged, actor.theta, numbers.tau)
        elif (before + i + 1) % numbers.every == 0:
            follow(lagged, actor.theta, 1.0)
        watched[i, LOSS], watched[i, VALUE] = error * weight, value * weight
