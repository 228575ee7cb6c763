"""Plain layers, one after another: features and an action → outputs, and the way back.

As in ``mlp``, outputs of all layers lie in one flat buffer, a row for each number and a column for each decision; but
weights may lie by outputs or by inputs, all inputs are numbers, and who learns is asked for at each call.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.mlp import activate, multiply_by_slope
from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import STOP, WRITE
from clipper.engines.cpu.kernels.tiles import add_product, multiply


@njit(**COMPILED)
def read(inputs, obs, first, size, spaces, stride, columns):
    """Features of the observations from row ``first`` on; 0 in columns beyond these."""
    zero, one = np.float32(0.0), np.float32(1.0)
    for f in range(inputs.columns.size):
        j, code = inputs.columns[f], inputs.code[f]
        x = spaces.out[f * stride : f * stride + columns]
        if inputs.chosen[f]:
            for b in range(size):
                x[b] = one if obs[first + b, j] == code else zero
        elif inputs.bound[f] > zero:
            shift, scale, bound = inputs.shift[f], inputs.scale[f], inputs.bound[f]
            for b in range(size):
                s = (obs[first + b, j] - shift) * scale
                x[b] = -bound if s < -bound else bound if s > bound else s
        else:
            for b in range(size):
                x[b] = obs[first + b, j]
        for b in range(size, columns):
            x[b] = zero


@njit(**COMPILED)
def read_actions(action, slot, first, size, spaces, stride, columns):
    """The actions from row ``first`` on, to where critics read them."""
    for j in range(action.shape[1]):
        x = spaces.out[(slot + j) * stride : (slot + j) * stride + columns]
        for b in range(size):
            x[b] = action[first + b, j]
        for b in range(size, columns):
            x[b] = np.float32(0.0)


@njit(**COMPILED)
def forward(theta, layers, spaces, stride, columns):
    """What all layers say."""
    out = spaces.out
    for row in range(layers.shape[0]):
        weight, bias, inputs, outputs, source, slot, activation, down, along, _ = layers[row]
        y = slot * stride
        end = y + outputs * stride
        multiply(theta, weight, down, along, bias, out, source * stride, out, y, stride, outputs, inputs, columns, 0)
        activate(out[y:end], spaces.pre[y:end], activation)


@njit(**COMPILED)
def backward(theta, layers, gradient, learns, spaces, stride, columns):
    """From the last layers' ∂L/∂y in ``slopes`` to the parameters' gradients, which are added; to inputs alone unless
    they learn.
    """
    out, slopes = spaces.out, spaces.slopes
    for row in range(layers.shape[0] - 1, -1, -1):
        weight, bias, inputs, outputs, source, slot, activation, down, along, back = layers[row]
        x, y = source * stride, slot * stride
        d_bias = gradient[bias : bias + outputs] if learns else spaces.aside[:outputs]
        multiply_by_slope(slopes, out, spaces.pre, y, stride, columns, activation, d_bias)
        if learns:
            if along == 1:
                add_product(slopes, y, out, x, stride, gradient, weight, down, outputs, inputs, columns)
            else:
                add_product(out, x, slopes, y, stride, gradient, weight, along, inputs, outputs, columns)
        if back != STOP:
            add = 0 if back == WRITE else 1
            multiply(theta, weight, along, down, -1, slopes, y, slopes, x, stride, inputs, outputs, columns, add)


@njit(**COMPILED)
def pull(theta, layers, first, count, spaces, stride, columns, add):
    """After ``backward``: the slopes of ``count`` of the first layer's inputs, from the slot ``first`` on."""
    weight, _, _, outputs, source, slot, _, down, along, _ = layers[0]
    at, x, y = weight + (first - source) * along, first * stride, slot * stride
    multiply(theta, at, along, down, -1, spaces.slopes, y, spaces.slopes, x, stride, count, outputs, columns, add)


@njit(**COMPILED)
def clear_beyond(values, slot, count, size, stride, columns):
    """0 in the columns after the last decision."""
    for j in range(count):
        for b in range(size, columns):
            values[(slot + j) * stride + b] = 0
