"""What the first layers make of an observation's row: numbers, and choices, which are looked up.

A product with a one-hot vector is a column of the weights, so none is multiplied: forward, columns are added up;
backward, the output's gradient is added to the gradients of those columns.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED


@njit(**COMPILED)
def read(net, first, obs, index, out, at, stride, numbers, columns):
    """Numbers of the observations ``obs[index]``, normalised where the table says so; 0 in columns beyond these."""
    rows = index.size
    for k in range(numbers):
        j = net.columns[first + k]
        x = out[at + k * stride : at + k * stride + columns]
        for b in range(rows):
            x[b] = obs[index[b], j]
        bound = net.bound[first + k]
        if bound > 0:
            shift, scale = net.shift[first + k], net.scale[first + k]
            for b in range(rows):
                s = (x[b] - shift) * scale
                s = -bound if s < -bound else s
                x[b] = bound if s > bound else s
        for b in range(rows, columns):
            x[b] = 0


@njit(**COMPILED)
def find(choices, k, obs, index, place):
    """Where the k-th choice leads, in each decision."""
    column, start = choices[k]
    for b in range(index.size):
        place[b] = np.int64(obs[index[b], column]) - start


@njit(**COMPILED)
def sum_columns(theta, weight, pitch, bias, choices, obs, index, place, out, at, stride, outputs, columns, add):
    """The bias, or what is there, and the columns of the weights that the choices name."""
    rows = index.size
    if not add:
        for i in range(outputs):
            y = out[at + i * stride : at + i * stride + columns]
            for b in range(columns):
                y[b] = theta[bias + i]
    for k in range(choices.shape[0]):
        find(choices, k, obs, index, place)
        for i in range(outputs):
            y = out[at + i * stride : at + i * stride + rows]
            w = theta[weight + i * pitch : weight + (i + 1) * pitch]
            for b in range(rows):
                y[b] += w[place[b]]


@njit(**COMPILED)
def add_to_columns(gradient, weight, pitch, choices, obs, index, work, at, stride, outputs):
    """Add ∂L/∂y to the gradients of those columns."""
    rows, slopes, place = index.size, work.slopes, work.place
    for k in range(choices.shape[0]):
        find(choices, k, obs, index, place)
        for i in range(outputs):
            d = slopes[at + i * stride : at + i * stride + rows]
            w = gradient[weight + i * pitch : weight + (i + 1) * pitch]
            for b in range(rows):
                w[place[b]] += d[b]


@njit(**COMPILED)
def look_up(theta, table, choices, obs, index, place, out, at, stride, outputs, columns):
    """The learned vectors of all choices, one after another; ``outputs`` numbers in all."""
    rows, width = index.size, outputs // choices.shape[0]
    for k in range(choices.shape[0]):
        find(choices, k, obs, index, place)
        for i in range(width):
            start = at + (k * width + i) * stride
            y = out[start : start + columns]
            for b in range(rows):
                y[b] = theta[table + place[b] * width + i]
            for b in range(rows, columns):
                y[b] = 0


@njit(**COMPILED)
def add_to_vectors(gradient, table, choices, obs, index, work, at, stride, outputs):
    """Add ∂L/∂y to the gradients of those vectors."""
    rows, slopes, place, width = index.size, work.slopes, work.place, outputs // choices.shape[0]
    for k in range(choices.shape[0]):
        find(choices, k, obs, index, place)
        for i in range(width):
            start = at + (k * width + i) * stride
            d = slopes[start : start + rows]
            for b in range(rows):
                gradient[table + place[b] * width + i] += d[b]
