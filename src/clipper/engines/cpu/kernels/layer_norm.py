"""Layer normalisation (Ba et al. 2016, arXiv:1607.06450): y = γ x̂ + β, x̂ = (x − mean) / √(variance + ε).

Mean and variance, the population's, are over a layer's numbers, in each decision for itself. Layers' numbers have a row
each, and decisions a column.
"""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED

EPS = np.float32(1e-5)  # torch's


@njit(**COMPILED)
def moments(out, x, stride, size, columns, work):
    """Mean and 1 / √(variance + ε) of each decision, in ``work.largest`` and ``work.total``."""
    mean, precision, share = work.largest, work.total, np.float32(1 / size)
    for b in range(columns):
        mean[b] = precision[b] = 0
    for j in range(size):
        own = out[x + j * stride : x + j * stride + columns]
        for b in range(columns):
            mean[b] += own[b]
    for b in range(columns):
        mean[b] *= share
    for j in range(size):
        own = out[x + j * stride : x + j * stride + columns]
        for b in range(columns):
            apart = own[b] - mean[b]
            precision[b] += apart * apart
    for b in range(columns):
        precision[b] = np.float32(1.0) / np.sqrt(precision[b] * share + EPS)


@njit(**COMPILED)
def forward(theta, gain, bias, out, x, y, stride, size, columns, work):
    """From the numbers at ``x`` to those at ``y``."""
    moments(out, x, stride, size, columns, work)
    mean, precision = work.largest, work.total
    for j in range(size):
        own, made = out[x + j * stride : x + j * stride + columns], out[y + j * stride : y + j * stride + columns]
        g, c = theta[gain + j], theta[bias + j]
        for b in range(columns):
            made[b] = g * (own[b] - mean[b]) * precision[b] + c


@njit(**COMPILED)
def backward(theta, gradient, gain, out, slopes, x, y, stride, size, columns, work):
    """∂L/∂γ = Σ d x̂, added to the gradient; ∂L/∂x = (γ d − mean(γ d) − x̂ mean(γ d x̂)) / √(variance + ε)."""
    moments(out, x, stride, size, columns, work)
    mean, precision, flat, along, share = work.largest, work.total, work.spare, work.std, np.float32(1 / size)
    for b in range(columns):
        flat[b] = along[b] = 0
    for j in range(size):
        own, d = out[x + j * stride : x + j * stride + columns], slopes[y + j * stride : y + j * stride + columns]
        g, total = theta[gain + j], np.float32(0.0)
        for b in range(columns):
            unit = (own[b] - mean[b]) * precision[b]
            total += d[b] * unit
            flat[b] += g * d[b]
            along[b] += g * d[b] * unit
        gradient[gain + j] += total
    for j in range(size):
        own, d = out[x + j * stride : x + j * stride + columns], slopes[y + j * stride : y + j * stride + columns]
        made, g = slopes[x + j * stride : x + j * stride + columns], theta[gain + j]
        for b in range(columns):
            unit = (own[b] - mean[b]) * precision[b]
            made[b] = precision[b] * (g * d[b] - share * (flat[b] + unit * along[b]))


@njit(**COMPILED)
def tangents(theta, direction, gain, bias, out, moved, x, y, stride, size, columns, work):
    """From how the numbers move to dy = dγ x̂ + dβ + γ (dx − mean(dx) − x̂ mean(x̂ dx)) / √(variance + ε)."""
    moments(out, x, stride, size, columns, work)
    mean, precision, flat, along, share = work.largest, work.total, work.spare, work.std, np.float32(1 / size)
    for b in range(columns):
        flat[b] = along[b] = 0
    for j in range(size):
        own, d = out[x + j * stride : x + j * stride + columns], moved[x + j * stride : x + j * stride + columns]
        for b in range(columns):
            flat[b] += d[b]
            along[b] += d[b] * (own[b] - mean[b]) * precision[b]
    for j in range(size):
        own, d = out[x + j * stride : x + j * stride + columns], moved[x + j * stride : x + j * stride + columns]
        made, g = moved[y + j * stride : y + j * stride + columns], theta[gain + j]
        dg, dc = direction[gain + j], direction[bias + j]
        for b in range(columns):
            unit = (own[b] - mean[b]) * precision[b]
            made[b] = dg * unit + dc + g * precision[b] * (d[b] - share * (flat[b] + unit * along[b]))
