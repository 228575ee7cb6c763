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
def activate(y, pre, activation):
    """Activation in place, y ← f(y), ELU and SiLU by tanh(x/2); ``pre`` keeps x where the derivative needs it."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    if activation == TANH:
        for i in range(y.size):
            y[i] = tanh(y[i])
    elif activation == RELU:
        for i in range(y.size):
            y[i] = zero if y[i] < zero else y[i]
    elif activation == ELU:
        for i in range(y.size):
            x = y[i]
            t = tanh(half * (zero if x > zero else x))
            y[i] = x if x > zero else (t + t) / (one - t)
    elif activation == SILU:
        for i in range(y.size):
            pre[i] = y[i]
            y[i] *= half * (one + tanh(half * pre[i]))


@njit(**COMPILED)
def multiply_by_slope(gradient, y, pre, activation):
    """∂L/∂y → ∂L/∂x for y = f(x), in place."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    if activation == TANH:
        for i in range(y.size):
            gradient[i] *= one - y[i] * y[i]
    elif activation == RELU:
        for i in range(y.size):
            gradient[i] = gradient[i] if y[i] > zero else zero
    elif activation == ELU:
        for i in range(y.size):
            gradient[i] *= one if y[i] > zero else one + y[i]
    elif activation == SILU:
        for i in range(y.size):
            s = half * (one + tanh(half * pre[i]))
            gradient[i] *= s * (one + pre[i] * (one - s))


@njit(**COMPILED)
def forward(theta, layers, obs, index, shift, scale, bound, out, pre, capacity):
    """The observations ``obs[index]``, normalised where ``bound`` > 0, through all layers of the table."""
    rows, features = index.size, obs.shape[1]
    x = out[: rows * features].reshape(rows, features)
    for b in range(rows):
        for j in range(features):
            x[b, j] = obs[index[b], j]
        if bound > 0:
            for j in range(features):
                s = (x[b, j] - shift[j]) * scale[j]
                s = -bound if s < -bound else s
                x[b, j] = bound if s > bound else s
    for row in range(layers.shape[0]):
        weight, bias, inputs, outputs, source, slot, activation, _ = layers[row]
        x = out[source * capacity : source * capacity + rows * inputs].reshape(rows, inputs)
        flat = out[slot * capacity : slot * capacity + rows * outputs]
        y = flat.reshape(rows, outputs)
        w = theta[weight : weight + inputs * outputs].reshape(outputs, inputs)
        np.dot(x, w.T, y)
        for b in range(rows):
            for j in range(outputs):
                y[b, j] += theta[bias + j]
        activate(flat, pre[slot * capacity : slot * capacity + rows * outputs], activation)


@njit(**COMPILED)
def backward(theta, gradient, layers, rows, out, pre, slopes, capacity, scratch):
    """From the last layers' ∂L/∂y in ``slopes`` to the parameters' gradients, which are added to ``gradient``."""
    for row in range(layers.shape[0] - 1, -1, -1):
        weight, bias, inputs, outputs, source, slot, activation, back = layers[row]
        start, stop = slot * capacity, slot * capacity + rows * outputs
        flat = slopes[start:stop]
        multiply_by_slope(flat, out[start:stop], pre[start:stop], activation)
        dy = flat.reshape(rows, outputs)
        x = out[source * capacity : source * capacity + rows * inputs].reshape(rows, inputs)
        size = inputs * outputs
        np.dot(dy.T, x, scratch[:size].reshape(outputs, inputs))
        for i in range(size):
            gradient[weight + i] += scratch[i]
        for b in range(rows):
            for j in range(outputs):
                gradient[bias + j] += dy[b, j]
        if back == STOP:
            continue
        w = theta[weight : weight + size].reshape(outputs, inputs)
        target = slopes[source * capacity : source * capacity + rows * inputs]
        if back == WRITE:
            np.dot(dy, w, target.reshape(rows, inputs))
        else:
            np.dot(dy, w, scratch[: rows * inputs].reshape(rows, inputs))
            for i in range(rows * inputs):
                target[i] += scratch[i]
