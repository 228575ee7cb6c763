"""Forward and backward passes through the table of layers.

All layers' outputs lie in one flat buffer, one row of it for each feature and one column for each decision: feature f
of the layer whose slot is s stands from ``(s + f) × stride`` on. Its gradient has the same place in a second buffer.
The stride depends on how many decisions there are (``stride_of``).
A network is a table with one row per layer in the order of computation, so that trunks may be shared or separate, of
any depth; its first rows read observations.

Products compute whole vectors of columns. What stands in the columns after the last decision is finite and adds nothing
to a gradient: numbers read and the outputs' slopes are 0 there.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels import layer_norm
from clipper.engines.cpu.kernels.elementary import tanh
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.observations import add_to_columns, add_to_vectors, look_up, read, sum_columns
from clipper.engines.cpu.kernels.tables import (
    ELU,
    GATHER,
    LINEAR,
    NORMALISE,
    PRODUCT,
    READ,
    RELU,
    SILU,
    STOP,
    TANH,
    WRITE,
)
from clipper.engines.cpu.kernels.tiles import LANES, add_product, multiply

APART = 64  # numbers: a stride that is a multiple of this gets some more


@njit(**COMPILED)
def whole(rows):
    """The columns that so many rows of observations take up, in whole vectors."""
    return (rows + LANES - 1) // LANES * LANES


@njit(**COMPILED)
def stride_of(rows):
    """From one feature to the next: rows that are a large power of 2 apart would share too few of the cache's lines."""
    columns = whole(rows)
    return columns if columns % APART else columns + LANES


@njit(**COMPILED)
def activate(y, pre, activation):
    """Y ← f(y) in place, ELU and SiLU by tanh(x/2); ``pre`` keeps x where the derivative needs it."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    if activation == TANH:
        for i in range(y.size):
            y[i] = tanh(y[i])
    elif activation == RELU:
        for i in range(y.size):
            y[i] = zero if y[i] < zero else y[i]
    elif activation == ELU:
        for i in range(y.size):
            t = tanh(half * (zero if y[i] > zero else y[i]))
            y[i] = y[i] if y[i] > zero else (t + t) / (one - t)
    elif activation == SILU:
        for i in range(y.size):
            x = y[i]
            pre[i] = x
            y[i] = x * (half * (one + tanh(half * x)))


@njit(**COMPILED)
def multiply_by_slope(slopes, out, pre, at, stride, columns, activation, d_bias):
    """∂L/∂y → ∂L/∂x for y = f(x), in place; its sum over decisions is added to the bias's gradient."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    for j in range(d_bias.size):
        start = at + j * stride
        d, y = slopes[start : start + columns], out[start : start + columns]
        total = zero
        if activation == TANH:
            for b in range(columns):
                d[b] *= one - y[b] * y[b]
                total += d[b]
        elif activation == RELU:
            for b in range(columns):
                d[b] = d[b] if y[b] > zero else zero
                total += d[b]
        elif activation == ELU:
            for b in range(columns):
                d[b] *= one if y[b] > zero else one + y[b]
                total += d[b]
        elif activation == SILU:
            x = pre[start : start + columns]
            for b in range(columns):
                s = half * (one + tanh(half * x[b]))
                d[b] *= s * (one + x[b] * (one - s))
                total += d[b]
        else:
            for b in range(columns):
                total += d[b]
        d_bias[j] += total


@njit(**COMPILED)
def forward(net, layers, obs, index, work):
    """The observations ``obs[index]`` through some layers of the table."""
    stride, columns, theta, out = stride_of(index.size), whole(index.size), net.theta, work.out
    for row in range(layers.shape[0]):
        kind, weight, bias, inputs, outputs, source, slot, activation, _, pitch, first, last = layers[row]
        y, add = slot * stride, 0 if first else 1
        if kind == PRODUCT:
            multiply(theta, weight, pitch, 1, bias, out, source * stride, out, y, stride, outputs, inputs, columns, add)
        elif kind == READ:
            read(net, weight, obs, index, out, y, stride, outputs, columns)
        elif kind == GATHER:
            sum_columns(
                theta, weight, pitch, bias, net.choices[source : source + inputs], obs, index, work.place, out, y,
                stride, outputs, columns, add,
            )  # fmt: skip
        elif kind == NORMALISE:
            layer_norm.forward(theta, weight, bias, out, source * stride, y, stride, outputs, columns, work)
        else:
            choices = net.choices[source : source + inputs]
            look_up(theta, weight, choices, obs, index, work.place, out, y, stride, outputs, columns)
        if last:
            end = y + outputs * stride
            activate(out[y:end], work.pre[y:end], activation)


@njit(**COMPILED)
def tangents(net, direction, obs, index, work):
    """How all outputs change, in ``work.slopes``, where the parameters move along ``direction``; after ``forward``.

    dy = f′(x) (dW h + W dh + db), layer by layer: a product with the Jacobian (Pearlmutter 1994, R{·}).
    """
    stride, columns, theta, layers = stride_of(index.size), whole(index.size), net.theta, net.layers
    out, moved = work.out, work.slopes
    for row in range(layers.shape[0]):
        kind, weight, bias, inputs, outputs, source, slot, activation, back, pitch, first, last = layers[row]
        x, y, add = source * stride, slot * stride, 0 if first else 1
        if kind == READ:
            continue
        if kind == PRODUCT:
            multiply(direction, weight, pitch, 1, bias, out, x, moved, y, stride, outputs, inputs, columns, add)
            if back != STOP:
                multiply(theta, weight, pitch, 1, -1, moved, x, moved, y, stride, outputs, inputs, columns, 1)
        elif kind == GATHER:
            sum_columns(
                direction, weight, pitch, bias, net.choices[source : source + inputs], obs, index, work.place, moved, y,
                stride, outputs, columns, add,
            )  # fmt: skip
        elif kind == NORMALISE:
            layer_norm.tangents(
                theta, direction, weight, bias, out, moved, source * stride, y, stride, outputs, columns, work
            )  # fmt: skip
        else:
            choices = net.choices[source : source + inputs]
            look_up(direction, weight, choices, obs, index, work.place, moved, y, stride, outputs, columns)
        if last and activation != LINEAR:
            multiply_by_slope(moved, out, work.pre, y, stride, columns, activation, work.aside[:outputs])


@njit(**COMPILED)
def backward(net, gradient, obs, index, work):
    """From the last layers' ∂L/∂y in ``work.slopes`` to the parameters' gradients, which are added to ``gradient``."""
    stride, columns, theta, layers = stride_of(index.size), whole(index.size), net.theta, net.layers
    out, slopes = work.out, work.slopes
    for row in range(layers.shape[0] - 1, -1, -1):
        kind, weight, bias, inputs, outputs, source, slot, activation, back, pitch, _, last = layers[row]
        if kind == READ:
            continue
        x, y = source * stride, slot * stride
        if last:
            d_bias = gradient[bias : bias + outputs]
            multiply_by_slope(slopes, out, work.pre, y, stride, columns, activation, d_bias)
        if kind == PRODUCT:
            add_product(slopes, y, out, x, stride, gradient, weight, pitch, outputs, inputs, columns)
            if back != STOP:
                add = 0 if back == WRITE else 1
                multiply(theta, weight, 1, pitch, -1, slopes, y, slopes, x, stride, inputs, outputs, columns, add)
        elif kind == GATHER:
            choices = net.choices[source : source + inputs]
            add_to_columns(gradient, weight, pitch, choices, obs, index, work, y, stride, outputs)
        elif kind == NORMALISE:
            layer_norm.backward(theta, gradient, weight, out, slopes, x, y, stride, outputs, columns, work)
        else:
            choices = net.choices[source : source + inputs]
            add_to_vectors(gradient, weight, choices, obs, index, work, y, stride, outputs)
