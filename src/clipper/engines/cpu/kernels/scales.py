"""Where a normal distribution's log σ comes from, where states tell it (``clipper.networks.heads.scales``)."""

import math

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED
from clipper.engines.cpu.kernels.tables import SOFTPLUS


@njit(**COMPILED)
def log_stds(raw, rows, scale, start, low, high):
    """A layer's numbers become log σ in place: c + x, or log(softplus(c + x) + σ_min); both within bounds."""
    least = math.exp(low)
    for j in range(raw.shape[0]):
        for b in range(rows):
            x = start + np.float64(raw[j, b])
            if scale == SOFTPLUS:
                x = math.log(max(x, 0.0) + math.log(1 + math.exp(-abs(x))) + least)
            raw[j, b] = np.float32(min(max(x, low), high))


@njit(**COMPILED)
def backward(log_std, rows, scale, low, high, slopes):
    """∂L/∂log σ → ∂L/∂x, in place. With s = softplus(x), ∂s/∂x = 1 − e⁻ˢ."""
    least = math.exp(low)
    for j in range(log_std.shape[0]):
        for b in range(rows):
            l = np.float64(log_std[j, b])
            if l <= np.float32(low) or l >= np.float32(high):
                slopes[j, b] = 0
            elif scale == SOFTPLUS:
                std = math.exp(l)
                slopes[j, b] *= -math.expm1(-max(std - least, 0.0)) / std
