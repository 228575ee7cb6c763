"""Forward and backward passes through linear layers with activations.

All layers' outputs lie in one flat buffer. Each layer's output has a slot there, ``[B, outputs]`` from
``slot × capacity`` on, and so has its gradient in a second buffer of the same layout. Slot 0 holds the encoded
observations. A network is a table with one row per layer in the order of computation, so that trunks may be shared or
separate, of any depth.
"""

import numpy as np
from numba import njit

from clipper.engines.kernels.options import COMPILED
from clipper.engines.network import ELU, RELU, SILU, STOP, TANH, WRITE

FEW = 8  # outputs, or inputs, of a layer whose weights' gradient plain loops sum faster than BLAS


@njit(**COMPILED)
def tanh(x):
    """Tanh of x by a rational function of degrees 9 and 8 on |x| ≤ 8, fitted for the least maximal error.

    Absolute error in float32: 2.9e-7; |result| < 1. It vectorises, which the C library's does not.
    """
    x = np.float32(-8.0) if x < np.float32(-8.0) else x
    x = np.float32(8.0) if x > np.float32(8.0) else x
    u = x * x
    p = np.float32(1.506276638303652e-08)
    p = p * u + np.float32(2.177394379024389e-05)
    p = p * u + np.float32(0.0035641990148632388)
    p = p * u + np.float32(0.1343822746210281)
    p = p * u + np.float32(0.9999999700593756)
    q = np.float32(8.45405535818392e-07)
    q = q * u + np.float32(0.00033992491671304577)
    q = q * u + np.float32(0.02613617947300899)
    q = q * u + np.float32(0.4677154826553614)
    q = q * u + np.float32(1.0)
    return x * p / q


@njit(**COMPILED)
def activate(y, bias, pre, activation):
    """Y ← f(y + bias) in place, ELU and SiLU by tanh(x/2); ``pre`` keeps x where the derivative needs it."""
    rows, outputs = y.shape
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    for b in range(rows):
        if activation == TANH:
            for j in range(outputs):
                y[b, j] = tanh(y[b, j] + bias[j])
        elif activation == RELU:
            for j in range(outputs):
                x = y[b, j] + bias[j]
                y[b, j] = zero if x < zero else x
        elif activation == ELU:
            for j in range(outputs):
                x = y[b, j] + bias[j]
                t = tanh(half * (zero if x > zero else x))
                y[b, j] = x if x > zero else (t + t) / (one - t)
        elif activation == SILU:
            for j in range(outputs):
                x = y[b, j] + bias[j]
                pre[b, j] = x
                y[b, j] = x * (half * (one + tanh(half * x)))
        else:
            for j in range(outputs):
                y[b, j] += bias[j]


@njit(**COMPILED)
def multiply_by_slope(slopes, y, pre, activation, d_bias):
    """∂L/∂y → ∂L/∂x for y = f(x), in place; its sum over rows is added to the bias's gradient."""
    rows, outputs = y.shape
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    for b in range(rows):
        if activation == TANH:
            for j in range(outputs):
                slopes[b, j] *= one - y[b, j] * y[b, j]
        elif activation == RELU:
            for j in range(outputs):
                slopes[b, j] = slopes[b, j] if y[b, j] > zero else zero
        elif activation == ELU:
            for j in range(outputs):
                slopes[b, j] *= one if y[b, j] > zero else one + y[b, j]
        elif activation == SILU:
            for j in range(outputs):
                s = half * (one + tanh(half * pre[b, j]))
                slopes[b, j] *= s * (one + pre[b, j] * (one - s))
        for j in range(outputs):
            d_bias[j] += slopes[b, j]


@njit(**COMPILED)
def add_product(dy, x, gradient, scratch):
    """∂L/∂W += dyᵀ x."""
    outputs = dy.shape[1]
    inputs = x.shape[1]
    if outputs <= FEW:
        add_rows(dy, x, gradient)
    elif inputs <= FEW:
        turned = scratch[: inputs * outputs].reshape(inputs, outputs)
        turned[:] = 0
        add_rows(x, dy, turned)
        for i in range(inputs):
            for j in range(outputs):
                gradient[j, i] += turned[i, j]
    else:
        product = scratch[: inputs * outputs].reshape(outputs, inputs)
        np.dot(dy.T, x, product)
        for j in range(outputs):
            for i in range(inputs):
                gradient[j, i] += product[j, i]


@njit(**COMPILED)
def add_rows(a, b, out):
    """Out += aᵀ b for an ``a`` of few columns; four rows at a time, so that sums stay in registers for longer."""
    rows, few = a.shape
    whole = rows - rows % 4
    for i in range(few):
        for r in range(0, whole, 4):
            a0, a1, a2, a3 = a[r, i], a[r + 1, i], a[r + 2, i], a[r + 3, i]
            for j in range(b.shape[1]):
                out[i, j] += a0 * b[r, j] + a1 * b[r + 1, j] + a2 * b[r + 2, j] + a3 * b[r + 3, j]
        for r in range(whole, rows):
            for j in range(b.shape[1]):
                out[i, j] += a[r, i] * b[r, j]


@njit(**COMPILED)
def encode(net, obs, index, x):
    """The observations ``obs[index]``, normalised where the table says so."""
    bound = net.bound
    for b in range(index.size):
        i = index[b]
        for j in range(obs.shape[1]):
            x[b, j] = obs[i, j]
        if bound > 0:
            for j in range(obs.shape[1]):
                s = (x[b, j] - net.shift[j]) * net.scale[j]
                s = -bound if s < -bound else s
                x[b, j] = bound if s > bound else s


@njit(**COMPILED)
def forward(net, layers, obs, index, work):
    """The observations ``obs[index]`` through some layers of the table."""
    rows, capacity, theta = index.size, work.capacity, net.theta
    encode(net, obs, index, work.out[: rows * obs.shape[1]].reshape(rows, obs.shape[1]))
    for row in range(layers.shape[0]):
        weight, bias, inputs, outputs, source, slot, activation, _ = layers[row]
        start, stop = slot * capacity, slot * capacity + rows * outputs
        x = work.out[source * capacity : source * capacity + rows * inputs].reshape(rows, inputs)
        y = work.out[start:stop].reshape(rows, outputs)
        w = theta[weight : weight + inputs * outputs].reshape(outputs, inputs)
        np.dot(x, w.T, y)
        activate(y, theta[bias : bias + outputs], work.pre[start:stop].reshape(rows, outputs), activation)


@njit(**COMPILED)
def backward(net, gradient, rows, work):
    """From the last layers' ∂L/∂y in ``work.slopes`` to the parameters' gradients, which are added to ``gradient``."""
    capacity, theta, layers = work.capacity, net.theta, net.layers
    for row in range(layers.shape[0] - 1, -1, -1):
        weight, bias, inputs, outputs, source, slot, activation, back = layers[row]
        start, stop, size = slot * capacity, slot * capacity + rows * outputs, inputs * outputs
        dy = work.slopes[start:stop].reshape(rows, outputs)
        y, pre = work.out[start:stop].reshape(rows, outputs), work.pre[start:stop].reshape(rows, outputs)
        multiply_by_slope(dy, y, pre, activation, gradient[bias : bias + outputs])
        x = work.out[source * capacity : source * capacity + rows * inputs].reshape(rows, inputs)
        add_product(dy, x, gradient[weight : weight + size].reshape(outputs, inputs), work.scratch)
        if back == STOP:
            continue
        w = theta[weight : weight + size].reshape(outputs, inputs)
        target = work.slopes[source * capacity : source * capacity + rows * inputs]
        if back == WRITE:
            np.dot(dy, w, target.reshape(rows, inputs))
        else:
            np.dot(dy, w, work.scratch[: rows * inputs].reshape(rows, inputs))
            for i in range(rows * inputs):
                target[i] += work.scratch[i]
