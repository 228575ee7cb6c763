"""Gradient steps of ``clipper.algorithms.pdqn``: of Q, of the arguments' network, and of lagged copies after them.

MP-DQN's passes, one for each choice, come one after another here, each of all decisions at hand.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.mlp import stride_of, whole
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.plain_layers import backward, clear_beyond, forward, pull, read, read_actions
from clipper.engines.cpu.kernels.replayed_steps import clear, follow, lay, pass_on, take
from clipper.engines.cpu.kernels.replayed_tables import LOSS, OUTPUTS, POLICY, SLOT, VALUE

LOWEST = np.float32(-np.inf)


@njit(**COMPILED)
def note_unbound(legal, first, size, unbound):
    """1 for decisions whose mask leaves every choice: there is none, or it allows nothing; 0 for others."""
    for b in range(size):
        count = 0
        if legal.shape[0] > 0:
            for k in range(legal.shape[1]):
                count += legal[first + b, k]
        unbound[b] = 1 if count == 0 else 0


@njit(**COMPILED)
def judge(theta, critic, policy, k, passes, clipped, size, spaces, stride, columns):
    """Q of choice k and what the policy's layers say: of that choice's arguments alone, or of all, once for all k."""
    if passes:
        lay(policy, policy.starts[k], policy.starts[k + 1], clipped, size, spaces, stride, columns)
        forward(theta, critic, spaces, stride, columns)
    elif k == 0:
        lay(policy, 0, policy.size, clipped, size, spaces, stride, columns)
        forward(theta, critic, spaces, stride, columns)


@njit(**COMPILED)
def highest(theta, critic, policy, legal, first, passes, size, spaces, stride, columns):
    """maxₖ Q(s, k, x) over the legal choices, with x as it would be executed, into ``spaces.target``."""
    slot, unbound, most = critic[-1, SLOT], spaces.best, spaces.target
    note_unbound(legal, first, size, unbound)
    for b in range(size):
        most[b] = LOWEST
    for k in range(critic[-1, OUTPUTS]):
        judge(theta, critic, policy, k, passes, True, size, spaces, stride, columns)
        q = spaces.out[(slot + k) * stride :]
        for b in range(size):
            if (unbound[b] == 1 or legal[first + b, k]) and q[b] > most[b]:
                most[b] = q[b]


@njit(**COMPILED)
def read_arguments(policy, batch, first, passes, size, spaces, stride, columns):
    """The arguments that were executed, from row ``first`` on; with ``passes`` 0 for choices that were not made."""
    read_actions(batch.action, policy.action, first, size, spaces, stride, columns)
    if not passes:
        return
    for k in range(policy.starts.size - 1):
        for j in range(policy.starts[k], policy.starts[k + 1]):
            x = spaces.out[(policy.action + j) * stride :]
            for b in range(size):
                x[b] = x[b] if batch.choice[first + b] == k else np.float32(0.0)


@njit(**COMPILED)
def fit_chosen(judges, critic, choice, first, weight, size, spaces, stride, columns):
    """Add the gradient of ½ (Q − y)² of the choices that were made; the sums of these and of their Q."""
    slot, count, error, value = critic[-1, SLOT], critic[-1, OUTPUTS], 0.0, 0.0
    forward(judges.theta, critic, spaces, stride, columns)
    clear_beyond(spaces.slopes, slot, count, 0, stride, columns)
    for b in range(size):
        place = (slot + choice[first + b]) * stride + b
        d = spaces.out[place] - spaces.target[b]
        error += np.float64(np.float32(0.5) * d * d)
        value += np.float64(spaces.out[place])
        spaces.slopes[place] = np.float32(weight) * d
    backward(judges.theta, critic, judges.gradient, True, spaces, stride, columns)
    return error, value


@njit(**COMPILED)
def pull_arguments(theta, critic, policy, first, last, spaces, stride, columns):
    """The slopes of the components from ``first`` to before ``last``, of those of the critic's outputs."""
    if last > first:
        backward(theta, critic, spaces.aside, False, spaces, stride, columns)
        pull(theta, critic, policy.action + first, last - first, spaces, stride, columns, 0)


@njit(**COMPILED)
def climb(theta, critic, policy, legal, first, weight, passes, size, spaces, stride, columns):
    """The slopes of −Σₖ Q(s, k, x) over the legal choices, by x; the sum of all these Q."""
    slot, count, unbound, total = critic[-1, SLOT], critic[-1, OUTPUTS], spaces.best, 0.0
    note_unbound(legal, first, size, unbound)
    for k in range(count):
        judge(theta, critic, policy, k, passes, False, size, spaces, stride, columns)
        if passes or k == 0:
            clear_beyond(spaces.slopes, slot, count, 0, stride, columns)
        q, d_q = spaces.out[(slot + k) * stride :], spaces.slopes[(slot + k) * stride :]
        for b in range(size):
            if unbound[b] == 1 or legal[first + b, k]:
                total += np.float64(q[b])
                d_q[b] = np.float32(-weight)
        if passes:
            pull_arguments(theta, critic, policy, policy.starts[k], policy.starts[k + 1], spaces, stride, columns)
    if not passes:
        pull_arguments(theta, critic, policy, 0, policy.size, spaces, stride, columns)
    return total


@njit(**COMPILED)
def pdqn(inputs, policy, critic, actor, judges, lagged, lagged_actor, batch, numbers, spaces, counts, watched, steps):
    """So many gradient steps, each on the next ``batch.size`` decisions; ``watched`` has a row for each."""
    weight, passes = 1 / batch.size, numbers.passes
    for i in range(steps):
        begin = i * batch.size
        error = value = total = along = 0.0
        clear(judges.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            read(inputs, batch.next_obs, first, size, spaces, stride, columns)
            forward(lagged_actor, policy.layers, spaces, stride, columns)
            highest(lagged, critic, policy, batch.legal, first, passes, size, spaces, stride, columns)
            for b in range(size):
                spaces.target[b] = batch.reward[first + b] + batch.discount[first + b] * spaces.target[b]
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            read_arguments(policy, batch, first, passes, size, spaces, stride, columns)
            errors, values = fit_chosen(
                judges, critic, batch.choice, first, weight, size, spaces, stride, columns
            )  # fmt: skip
            error += errors
            value += values
        take(judges, numbers.rates[1], error, counts)
        clear(actor.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            forward(actor.theta, policy.layers, spaces, stride, columns)
            total += climb(
                judges.theta, critic, policy, batch.legal_now, first, weight, passes, size, spaces, stride, columns
            )  # fmt: skip
            along += pass_on(policy, True, size, spaces, stride, columns)
            backward(actor.theta, policy.layers, actor.gradient, True, spaces, stride, columns)
        take(actor, numbers.rates[0], along, counts)
        follow(lagged, judges.theta, numbers.tau)
        follow(lagged_actor, actor.theta, numbers.actor_tau)
        watched[i, LOSS], watched[i, VALUE], watched[i, POLICY] = error * weight, value * weight, -total * weight
