"""Gradient steps of ``clipper.algorithms.sac``: critics, policy, α and the lagged critics after them."""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import scales
from clipper.engines.cpu.kernels.elementary import exp, tanh
from clipper.engines.cpu.kernels.mlp import stride_of, whole
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.plain_layers import backward, clear_beyond, forward, pull, read, read_actions
from clipper.engines.cpu.kernels.replayed_steps import clear, fit, follow, lowest, take
from clipper.engines.cpu.kernels.replayed_tables import (
    ALPHA,
    ENTROPY,
    LOSS,
    POLICY,
    SLOT,
    VALUE,
)
from clipper.engines.cpu.kernels.squashed import log_slope
from clipper.engines.cpu.kernels.views import sheet

HALF, TWO = np.float32(0.5), np.float32(2.0)
HALF_LOG_2PI = np.float32(0.5 * math.log(2 * math.pi))


@njit(**COMPILED)
def told_log_std(policy, size, spaces, stride):
    """The log σ that a layer tells, made of its numbers."""
    told = sheet(spaces.out, policy.std * stride, policy.size, stride)
    scales.log_stds(told, size, policy.scale, policy.start, policy.low, policy.high)
    return told


@njit(**COMPILED)
def draw(policy, noise, row, size, spaces, stride, columns):
    """A = tanh(μ + σ ε), to where critics read it, and log π(a|s); what the layer says of σ becomes log σ."""
    told, log_prob = told_log_std(policy, size, spaces, stride), spaces.log_prob
    for b in range(size):
        log_prob[b] = -HALF_LOG_2PI * np.float32(policy.size)
    for j in range(policy.size):
        mean, log_std = spaces.out[(policy.mean + j) * stride :], told[j]
        a, e = spaces.out[(policy.action + j) * stride :], spaces.slopes[(policy.action + j) * stride :]
        for b in range(size):  # loops over few arrays: of many it is not looked whether they overlap, nor vectorised
            e[b] = noise[row + b, j]
        for b in range(size):
            a[b] = mean[b] + exp(log_std[b]) * e[b]
        for b in range(size):
            log_prob[b] -= HALF * e[b] * e[b] + log_std[b] + log_slope(a[b])
        for b in range(size):
            a[b] = tanh(a[b])
    clear_beyond(spaces.out, policy.action, policy.size, size, stride, columns)


@njit(**COMPILED)
def draw_backward(policy, noise, row, size, weight, alpha, spaces, stride, columns):
    """From ∂L/∂a and the weight of α log π to the slopes of what the policy's last layers say.

    With u = μ + σ ε: ∂ log π/∂u = 2 tanh u and ∂ log π/∂ log σ = −1 beside it, for ε is what it was drawn to be.
    """
    told = sheet(spaces.out, policy.std * stride, policy.size, stride)
    d_told = sheet(spaces.slopes, policy.std * stride, policy.size, stride)
    share = np.float32(weight * alpha)
    for j in range(policy.size):
        a, d_a = spaces.out[(policy.action + j) * stride :], spaces.slopes[(policy.action + j) * stride :]
        d_mean, log_std, d_log_std = spaces.slopes[(policy.mean + j) * stride :], told[j], d_told[j]
        for b in range(size):
            d_log_std[b] = noise[row + b, j]
        for b in range(size):
            d_mean[b] = share * TWO * a[b] + d_a[b] * (np.float32(1.0) - a[b] * a[b])
        for b in range(size):
            d_log_std[b] = d_mean[b] * exp(log_std[b]) * d_log_std[b] - share
    scales.backward(told, size, policy.scale, policy.low, policy.high, d_told)
    clear_beyond(spaces.slopes, policy.mean, policy.size, size, stride, columns)
    clear_beyond(spaces.slopes, policy.std, policy.size, size, stride, columns)


@njit(**COMPILED)
def climb(theta, critics, policy, size, weight, spaces, stride, columns):
    """The slopes of −minᵢ Qᵢ by the given actions; the sum of the least Q. Where several are least they share it."""
    total, least, count = 0.0, spaces.target, critics.shape[0]
    lowest(theta, critics, size, spaces, stride, columns, least)
    for b in range(size):
        total += np.float64(least[b])
    for m in range(count):
        slot = critics[m, -1, SLOT]
        d_q = spaces.slopes[slot * stride :]
        for b in range(size):
            d_q[b] = np.float32(0.0)
            if spaces.out[slot * stride + b] == least[b]:
                alike = 0
                for i in range(count):
                    alike += spaces.out[critics[i, -1, SLOT] * stride + b] == least[b]
                d_q[b] = np.float32(-weight / alike)
        clear_beyond(spaces.slopes, slot, 1, size, stride, columns)
        backward(theta, critics[m], spaces.aside, False, spaces, stride, columns)
        pull(theta, critics[m], policy.action, policy.size, spaces, stride, columns, 1 if m else 0)
    return total


@njit(**COMPILED)
def sac(
    inputs, policy, critics, actor, judges, temperature, lagged, batch, numbers, spaces, counts, watched, steps
):  # fmt: skip
    """So many gradient steps, each on the next ``batch.size`` decisions; ``watched`` has a row for each."""
    weight, nets = 1 / batch.size, critics.shape[0]
    for i in range(steps):
        alpha = math.exp(np.float64(temperature.theta[0]))
        begin = i * batch.size
        error = value = least = entropy = 0.0
        clear(judges.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns = stride_of(size), whole(size)
            read(inputs, batch.next_obs, first, size, spaces, stride, columns)
            forward(actor.theta, policy.layers, spaces, stride, columns)
            draw(policy, batch.noise, begin + first, size, spaces, stride, columns)
            lowest(lagged, critics, size, spaces, stride, columns, spaces.target)
            for b in range(size):
                soft = spaces.target[b] - np.float32(alpha) * spaces.log_prob[b]
                spaces.target[b] = batch.reward[first + b] + batch.discount[first + b] * soft
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            read_actions(batch.action, policy.action, first, size, spaces, stride, columns)
            errors, values = fit(judges, critics, size, True, weight, spaces, stride, columns)
            error += errors
            value += values
        take(judges, numbers.rates[1], error, counts)
        clear(actor.gradient)
        for start in range(0, batch.size, spaces.capacity):
            first, size = begin + start, min(spaces.capacity, batch.size - start)
            stride, columns, row = stride_of(size), whole(size), begin + batch.size + first
            read(inputs, batch.obs, first, size, spaces, stride, columns)
            forward(actor.theta, policy.layers, spaces, stride, columns)
            draw(policy, batch.noise, row, size, spaces, stride, columns)
            for b in range(size):
                entropy -= np.float64(spaces.log_prob[b])
            least += climb(judges.theta, critics, policy, size, weight, spaces, stride, columns)
            draw_backward(policy, batch.noise, row, size, weight, alpha, spaces, stride, columns)
            backward(actor.theta, policy.layers, actor.gradient, True, spaces, stride, columns)
        entropy *= weight
        loss = -alpha * entropy - least * weight
        take(actor, numbers.rates[0], loss, counts)
        if numbers.tuned:
            temperature.gradient[0] = np.float32(entropy - numbers.entropy)
            take(temperature, numbers.rates[2], np.float64(temperature.theta[0]), counts)
        follow(lagged, judges.theta, numbers.tau)
        watched[i, LOSS], watched[i, VALUE] = error * weight / nets, value * weight / nets
        watched[i, POLICY], watched[i, ALPHA], watched[i, ENTROPY] = loss, alpha, entropy
