"""Forward and backward passes through linear layers with activations.

All layers' outputs lie in one flat buffer, one row of it for each feature and one column for each decision: feature f
of the layer whose slot is s stands from ``(s + f) × stride`` on. Its gradient has the same place in a second buffer.
Slot 0 holds the encoded observations. A network is a table with one row per layer in the order of computation, so that
trunks may be shared or separate, of any depth.

Products compute whole vectors of columns. What stands in the columns after the last decision is finite and adds nothing
to a gradient: observations and the outputs' slopes are 0 there.
"""

import numpy as np
from numba import njit

from clipper.engines.kernels.elementary import tanh
from clipper.engines.kernels.options import COMPILED
from clipper.engines.kernels.tiles import LANES, add_product, multiply
from clipper.engines.network import ELU, RELU, SILU, STOP, TANH, WRITE


@njit(**COMPILED)
def whole(rows):
    """The columns that so many rows of observations take up, in whole vectors."""
    return (rows + LANES - 1) // LANES * LANES


@njit(**COMPILED)
def activate(out, pre, at, stride, columns, bias, activation):
    """Y ← f(y + bias) in place, ELU and SiLU by tanh(x/2); ``pre`` keeps x where the derivative needs it."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    for j in range(bias.size):
        y = out[at + j * stride : at + j * stride + columns]
        c = bias[j]
        if activation == TANH:
            for b in range(columns):
                y[b] = tanh(y[b] + c)
        elif activation == RELU:
            for b in range(columns):
                x = y[b] + c
                y[b] = zero if x < zero else x
        elif activation == ELU:
            for b in range(columns):
                x = y[b] + c
                t = tanh(half * (zero if x > zero else x))
                y[b] = x if x > zero else (t + t) / (one - t)
        elif activation == SILU:
            kept = pre[at + j * stride : at + j * stride + columns]
            for b in range(columns):
                x = y[b] + c
                kept[b] = x
                y[b] = x * (half * (one + tanh(half * x)))
        else:
            for b in range(columns):
                y[b] += c


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
def encode(net, obs, index, out, stride, columns):
    """The observations ``obs[index]``, normalised where the table says so."""
    bound, rows = net.bound, index.size
    for j in range(obs.shape[1]):
        x = out[j * stride : j * stride + columns]
        for b in range(rows):
            x[b] = obs[index[b], j]
        if bound > 0:
            shift, scale = net.shift[j], net.scale[j]
            for b in range(rows):
                s = (x[b] - shift) * scale
                s = -bound if s < -bound else s
                x[b] = bound if s > bound else s
        x[rows:] = 0


@njit(**COMPILED)
def forward(net, layers, obs, index, work):
    """The observations ``obs[index]`` through some layers of the table."""
    stride, columns, theta, out = work.stride, whole(index.size), net.theta, work.out
    encode(net, obs, index, out, stride, columns)
    for row in range(layers.shape[0]):
        weight, bias, inputs, outputs, source, slot, activation, _ = layers[row]
        x, y = source * stride, slot * stride
        multiply(theta, weight, inputs, 1, out, x, out, y, stride, outputs, inputs, columns, 0)
        activate(out, work.pre, y, stride, columns, theta[bias : bias + outputs], activation)


@njit(**COMPILED)
def backward(net, gradient, rows, work):
    """From the last layers' ∂L/∂y in ``work.slopes`` to the parameters' gradients, which are added to ``gradient``."""
    stride, columns, theta, layers = work.stride, whole(rows), net.theta, net.layers
    out, slopes = work.out, work.slopes
    for row in range(layers.shape[0] - 1, -1, -1):
        weight, bias, inputs, outputs, source, slot, activation, back = layers[row]
        x, y = source * stride, slot * stride
        d_bias = gradient[bias : bias + outputs]
        multiply_by_slope(slopes, out, work.pre, y, stride, columns, activation, d_bias)
        add_product(slopes, y, out, x, stride, gradient, weight, outputs, inputs, columns)
        if back != STOP:
            add = 0 if back == WRITE else 1
            multiply(theta, weight, 1, inputs, slopes, y, slopes, x, stride, inputs, outputs, columns, add)
