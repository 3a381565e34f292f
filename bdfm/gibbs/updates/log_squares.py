"""Mixture of ten normal densities near that of the log of a squared standard normal variable.

Omori, Chib, Shephard and Nakajima (2007), Stochastic volatility with leverage: fast and efficient likelihood
inference, Journal of Econometrics 140, 425-449, table 1; for Student-t variables ``student_squares``. With
the part of each period known, all states of a log volatility are one normal vector. Here that vector is a
proposal, which the exact density accepts or not: what the mixture is off by changes how often, and no
posterior.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats, Ints
from bdfm.gibbs.random import exp_in_place, log_in_place, uniform
from bdfm.gibbs.scratch import PARTS, Parts, VolatilityPathScratch
from bdfm.gibbs.updates.noise import STUDENT_T
from bdfm.gibbs.updates.student_squares import set_student_parts

LOWEST: Final = -20.0  # log squares below are set to it in proposals: the mixture ends near it

_WEIGHT: Final = (
    0.00609, 0.04775, 0.13057, 0.20674, 0.22715, 0.18842, 0.12047, 0.05591, 0.01575, 0.00115,
)  # fmt: skip
_MEAN: Final = (
    1.92677, 1.34744, 0.73504, 0.02266, -0.85173, -1.97278, -3.46788, -5.55246, -8.68384, -14.65000,
)  # fmt: skip
_VARIANCE: Final = (
    0.11265, 0.17788, 0.26768, 0.40611, 0.62699, 0.98583, 1.57469, 2.54498, 4.16591, 7.33342,
)  # fmt: skip
# Given its part, z is near sign(z) exp(mean / 2) (a + b (log z^2 - mean)): table 1, too.
_A: Final = (
    1.01418, 1.02248, 1.03403, 1.05207, 1.08153, 1.13114, 1.21754, 1.37454, 1.68327, 2.50097,
)  # fmt: skip
_B: Final = (
    0.50710, 0.51124, 0.51701, 0.52604, 0.54076, 0.56557, 0.60877, 0.68728, 0.84163, 1.25049,
)  # fmt: skip

# Kernels know global arrays as constants.
MEAN: Final = np.array(_MEAN)
PRECISION: Final = 1.0 / np.array(_VARIANCE)
LOG_WEIGHT: Final = np.log(_WEIGHT) - 0.5 * np.log(2.0 * math.pi * np.array(_VARIANCE))
ROOT_A: Final = np.exp(0.5 * MEAN) * np.array(_A)
ROOT_B: Final = np.exp(0.5 * MEAN) * np.array(_B)


@kernel
def set_parts(family: int, nu: float, parts: Parts) -> None:
    """Parts for the log square of the noise: normal, or Student-t with ``nu`` degrees of freedom."""
    if family == STUDENT_T:
        set_student_parts(nu, parts)
        return
    parts.number[0] = PARTS
    for j in range(PARTS):
        parts.mean[j] = MEAN[j]
        parts.precision[j] = PRECISION[j]
        parts.log_weight[j] = LOG_WEIGHT[j]


@kernel
def mixture_weights(
    y: Floats, path: Floats, parts: Parts, weights: Floats, total: Floats, bits: Ints
) -> None:
    """Weights (part, period) of the parts of the mixture at y - 2 path, and their sums over parts.

    ``weights`` may be longer than the others.
    """
    for t in range(total.shape[0]):
        total[t] = 0.0
    for j in range(parts.number[0]):
        w = weights[j, : total.shape[0]]
        mean, half, constant = parts.mean[j], 0.5 * parts.precision[j], parts.log_weight[j]
        for t in range(total.shape[0]):
            x = y[t] - 2.0 * path[t] - mean
            w[t] = constant - half * x * x
        exp_in_place(w, bits)
        for t in range(total.shape[0]):
            total[t] += w[t]


@kernel
def exact_over_mixture(
    path: Floats,
    ratio: Floats,
    family: int,
    nu: float,
    total: Floats,
    seen: Floats,
    logs: Floats,
    bits: Ints,
) -> float:
    """Log likelihood of a path, less that by the mixture; up to a constant.

    ``ratio`` holds squared residuals over the noise scale without the path.
    """
    value = 0.0
    for t in range(path.shape[0]):
        logs[t] = -2.0 * path[t]
    exp_in_place(logs, bits)
    if family == STUDENT_T:
        for t in range(path.shape[0]):
            value -= seen[t] * path[t]
            logs[t] = 1.0 + ratio[t] * logs[t] / nu
        log_in_place(logs, bits)
        for t in range(path.shape[0]):
            value -= 0.5 * (nu + 1.0) * seen[t] * logs[t]
    else:
        for t in range(path.shape[0]):
            value -= seen[t] * (path[t] + 0.5 * ratio[t] * logs[t])
    for t in range(path.shape[0]):
        logs[t] = max(total[t], 1e-300)
    log_in_place(logs, bits)
    for t in range(path.shape[0]):
        value -= seen[t] * logs[t]
    return value


@kernel
def weigh_path(
    path: Floats, y: Floats, ratio: Floats, family: int, nu: float, seen: Floats, own: VolatilityPathScratch
) -> float:
    """Log likelihood of a path less that by the mixture (``exact_over_mixture``).

    The parts for ``nu``, their weights at the path and the sums of these are left in ``own``.
    """
    n = path.shape[0]
    total, logs, bits = own.total[:n], own.logs[:n], own.bits[:n]
    set_parts(family, nu, own.parts)
    mixture_weights(y, path, own.parts, own.weights, total, bits)
    return exact_over_mixture(path, ratio, family, nu, total, seen, logs, bits)


@kernel
def draw_parts(
    rng: np.random.Generator,
    y: Floats,
    parts: Parts,
    weights: Floats,
    total: Floats,
    seen: Floats,
    information: Floats,
    pull: Floats,
) -> None:
    """Draw the part of the mixture of each period from its weights, and what it says of the state.

    That is a precision, and precision times mean; 0 where there is no return.
    """
    last = parts.number[0] - 1
    for t in range(y.shape[0]):
        information[t] = 0.0
        pull[t] = 0.0
        if seen[t] == 0.0:
            continue
        level = uniform(rng) * total[t]
        part = 0
        while part < last and level > weights[part, t]:
            level -= weights[part, t]
            part += 1
        information[t] = 4.0 * parts.precision[part]
        pull[t] = 2.0 * parts.precision[part] * (y[t] - parts.mean[part])
