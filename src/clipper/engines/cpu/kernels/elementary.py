"""Elementary functions in float32 that loops over them vectorise; the C library's do not."""

import numpy as np
from numba import njit

from clipper.engines.cpu.kernels.numba_options import COMPILED

LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
LEAST, MOST = np.float32(-87.0), np.float32(88.0)  # e to these is within float32's range
MANTISSA, EXPONENT_OF_1, BITS = np.int32(0x7FFFFF), np.int32(127), np.int32(23)


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
def exp(x):
    """e^x = 2ⁿ e^r with |r| ≤ ln 2 / 2, and a polynomial for e^r, fitted for the least maximal relative error.

    Relative error 2e-7; 0 below −87, and e^88 above 88.
    """
    y = MOST if x > MOST else x
    y = LEAST if y < LEAST else y
    n = np.floor(y * LOG2_E + np.float32(0.5))
    r = y - n * LN_2
    p = np.float32(0.0013814598475845891)
    p = p * r + np.float32(0.0083687170168783142)
    p = p * r + np.float32(0.04166838805802682)
    p = p * r + np.float32(0.16666520630533385)
    p = p * r + np.float32(0.4999999344771372)
    p = p * r * r + r + np.float32(1.0)
    scale = np.int32((np.int32(n) + EXPONENT_OF_1) << BITS).view(np.float32)
    return np.float32(0.0) if x < LEAST else p * scale


@njit(**COMPILED)
def log(x):
    """Ln x = e ln 2 + ln m with m between √½ and √2, and a polynomial for ln m, fitted for the least maximal error.

    For normal numbers above 0. Error 2e-7, relative where that is larger.
    """
    bits = np.float32(x).view(np.int32)
    e = np.float32((bits >> BITS) - EXPONENT_OF_1)
    m = np.int32((bits & MANTISSA) | (EXPONENT_OF_1 << BITS)).view(np.float32)
    large = m > np.float32(1.4142135623730951)
    m = m * np.float32(0.5) if large else m
    e = e + np.float32(1.0) if large else e
    f = m - np.float32(1.0)
    p = np.float32(0.087336260192778375)
    p = p * f - np.float32(0.14441878251338727)
    p = p * f + np.float32(0.14979288806109262)
    p = p * f - np.float32(0.16552334496567508)
    p = p * f + np.float32(0.19953613126351408)
    p = p * f - np.float32(0.25002491057608617)
    p = p * f + np.float32(0.33334225451182498)
    p = p * f - np.float32(0.49999981981184466)
    return p * f * f + f + e * LN_2
