"""Random variates and elementary functions for the kernels of the Gibbs sampler."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import exact_kernel, kernel, strict_kernel
from bdfm.gibbs.data import Floats, Ints

_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
_ROOT_HALF_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2) as a double
_SMALL = 1e-300
_MAGIC_BITS = 0x4338000000000000  # of _MAGIC as a double
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it leaves the nearest whole number in the low bits


@strict_kernel
def normal(rng: np.random.Generator) -> float:
    """One standard normal variate."""
    return rng.standard_normal()


@strict_kernel
def uniform(rng: np.random.Generator) -> float:
    """One variate between 0, included, and 1, excluded."""
    return rng.random()


@exact_kernel
def exp_in_place(x: Floats, bits: Ints) -> None:
    """Replace ``x`` by its exponential, clipped to exp(-700) and exp(700), to about 1 ulp.

    Written without branches, so that it compiles to vector instructions: three times as fast as a loop
    of ``math.exp``. ``bits`` is scratch memory as long as ``x``.
    """
    power = bits.view(np.float64)
    for t in range(x.shape[0]):
        v = min(max(x[t], -700.0), 700.0)
        z = v * _LOG2_E + _MAGIC
        power[t] = z
        k = z - _MAGIC
        r = (v - k * _LN2_HIGH) - k * _LN2_LOW
        p = 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        x[t] = p * r + 1.0
    for t in range(x.shape[0]):
        bits[t] = (bits[t] << 52) + (1023 << 52)
    for t in range(x.shape[0]):
        x[t] *= power[t]


@exact_kernel
def log_in_place(x: Floats, bits: Ints) -> None:
    """Replace ``x``, positive normal numbers, by its natural logarithm, to about 2 ulp or 2e-16.

    Written without branches, as ``exp_in_place``: x = 2^k m with m between sqrt(1/2) and sqrt(2), and
    log m = 2 atanh((m - 1) / (m + 1)).
    """
    mantissa = x.view(np.int64)
    power = bits.view(np.float64)
    for t in range(x.shape[0]):
        k = (mantissa[t] - _ROOT_HALF_BITS) >> 52
        mantissa[t] -= k << 52
        bits[t] = k + _MAGIC_BITS
    for t in range(x.shape[0]):
        s = (x[t] - 1.0) / (x[t] + 1.0)
        z = s * s
        p = 1.0 / 17.0
        p = p * z + 1.0 / 15.0
        p = p * z + 1.0 / 13.0
        p = p * z + 1.0 / 11.0
        p = p * z + 1.0 / 9.0
        p = p * z + 1.0 / 7.0
        p = p * z + 1.0 / 5.0
        p = p * z + 1.0 / 3.0
        p = p * z + 1.0
        k_float = power[t] - _MAGIC
        x[t] = (2.0 * s * p + k_float * _LN2_LOW) + k_float * _LN2_HIGH


@kernel
def gamma_excess(shape: float) -> float:
    """Shape less 1/3, of the shape one higher where it is below 1: d of Marsaglia and Tsang (2000)."""
    return shape + (-1.0 / 3.0 if shape >= 1.0 else 2.0 / 3.0)


@kernel
def gamma_above(rng: np.random.Generator, d: float) -> float:
    """Draw from Gamma(d + 1/3, rate 1), d at least 2/3, by the method of Marsaglia and Tsang (2000)."""
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(rng)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        accept = uniform(rng)
        square = x * x
        if accept < 1.0 - 0.0331 * square * square:
            return d * v
        if math.log(accept) < 0.5 * square + d * (1.0 - v + math.log(v)):
            return d * v


@kernel
def gamma_fill(rng: np.random.Generator, out: Floats, shape: float) -> None:
    """Fill ``out`` with draws from Gamma(``shape``, rate 1)."""
    d = gamma_excess(shape)
    for t in range(out.shape[0]):
        out[t] = gamma_above(rng, d)
    if shape < 1.0:
        for t in range(out.shape[0]):
            out[t] *= uniform(rng) ** (1.0 / shape)


@kernel
def gamma_each(
    rng: np.random.Generator, shape: Floats, out: Floats, accept: Floats, cube_root: Floats, bits: Ints
) -> None:
    """Fill ``out`` with a draw from Gamma(``shape[t]``, rate 1) in each place.

    The method of ``gamma_above``. First tries are made together, with logarithms that compile to vector
    instructions; the few that are refused are made anew one by one. ``accept``, ``cube_root`` and ``bits``
    are scratch memory as long as ``out``.
    """
    n = out.shape[0]
    for t in range(n):
        out[t] = normal(rng)
    for t in range(n):
        accept[t] = max(uniform(rng), _SMALL)
    for t in range(n):
        d = gamma_excess(shape[t])
        cube_root[t] = max(1.0 + out[t] / math.sqrt(9.0 * d), _SMALL)  # one so small is refused
    log_in_place(accept, bits)
    for t in range(n):
        d = gamma_excess(shape[t])
        v = cube_root[t] * cube_root[t] * cube_root[t]
        accept[t] -= 0.5 * out[t] * out[t] + d * (1.0 - v)
        out[t] = d * v
    log_in_place(cube_root, bits)
    for t in range(n):
        d = gamma_excess(shape[t])
        if accept[t] >= 3.0 * d * cube_root[t]:
            out[t] = gamma_above(rng, d)
        if shape[t] < 1.0:
            out[t] *= uniform(rng) ** (1.0 / shape[t])
