"""Student-t noise: normalising constant, log-likelihood and score of an asset, expected information, mixing.

The density of a return with weight omega, t(e; nu, sigma)^omega, has the kernel (1 + e^2 / (nu sigma^2))^-a
with a = omega (nu + 1) / 2.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats, Ints
from bdfm.gibbs.random import gamma_each, log_in_place

_SHORT_RUN: Final = (
    8  # runs of equal weights shorter than this on average are not worth a product of their own
)
_LOG_PI: Final = math.log(math.pi)


@kernel
def student_norm(nu: float) -> float:
    """Log of the normalising constant of the standard Student-t density.

    log Gamma(x + 1/2) - log Gamma(x) at x = nu / 2 by the recurrence of both up to x + 8, and the asymptotic
    series there: to 2e-13, and five times as fast as two calls of ``lgamma``.
    """
    x = 0.5 * nu
    ratio = 1.0
    for j in range(8):
        ratio *= x + j
    below = 1.0
    for j in range(8):
        below *= x + j + 0.5
    ratio /= below
    y = 1.0 / (x + 8.0)
    z = y * y
    series = -1.0 / 8.0 + z * (1.0 / 192.0 + z * (-1.0 / 640.0 + z * (17.0 / 14336.0 - z * 31.0 / 18432.0)))
    return 0.5 * (math.log(ratio * ratio * (x + 8.0) / nu) - _LOG_PI) + y * series


@kernel
def student_information(nu: float) -> float:
    """Expected information of one return about its log scale."""
    return 2.0 * nu / (nu + 3.0)


@kernel
def log_sum(
    bounds: Ints, run_weight: Floats, weight: Floats, ratio: Floats, factor: float, logs: Floats, bits: Ints
) -> float:
    """Sum over periods of weight_t log(1 + factor * ratio_t).

    One logarithm a run of equal weights, of a product; where runs are short, all logarithms at once. ``logs``
    and ``bits`` are scratch memory; missing periods have ratio 0.
    """
    n_periods = ratio.shape[0]
    total = 0.0
    if _SHORT_RUN * run_weight.shape[0] > n_periods:
        for t in range(n_periods):
            logs[t] = 1.0 + factor * ratio[t]
        log_in_place(logs[:n_periods], bits)
        for t in range(n_periods):
            total += weight[t] * logs[t]
        return total
    for c in range(run_weight.shape[0]):
        product = 1.0
        for t in range(bounds[c], bounds[c + 1]):
            product *= 1.0 + factor * ratio[t]
        total += run_weight[c] * math.log(product)
    return total


@kernel
def student_kernel(
    nu: float, bounds: Ints, run_weight: Floats, weight: Floats, score: Floats, logs: Floats, bits: Ints
) -> float:
    """Sum of -weight (nu + 1) / 2 log(1 + r / nu) over periods, ``score`` holding r = (e / sigma)^2.

    ``score`` becomes the derivative of the log density in log sigma.
    """
    value = -0.5 * (nu + 1.0) * log_sum(bounds, run_weight, weight, score, 1.0 / nu, logs, bits)
    product = nu * (nu + 1.0)
    for t in range(score.shape[0]):
        score[t] = weight[t] * (nu - product / (nu + score[t]))
    return value


@kernel
def student_mixing(
    rng: np.random.Generator,
    nu: float,
    bounds: Ints,
    run_weight: Floats,
    seen: Floats,
    precision: Floats,
    e: Floats,
    u: Floats,
    shape: Floats,
    accept: Floats,
    logs: Floats,
    bits: Ints,
) -> None:
    """Eq. S1 of Student-t noise, for one asset: u ~ Gamma(a, (nu sigma^2 + e^2) / 2); 0 where missing."""
    for c in range(run_weight.shape[0]):
        for t in range(bounds[c], bounds[c + 1]):
            shape[t] = 0.5 * run_weight[c] * (nu + 1.0)
    gamma_each(rng, shape, u, accept, logs, bits)
    for t in range(u.shape[0]):
        p = precision[t]
        u[t] *= 2.0 * p * seen[t] / (nu + e[t] ** 2 * p)
