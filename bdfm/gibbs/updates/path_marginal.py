"""Persistence and shocks of a log volatility whose path is integrated out, given parts of the mixture."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats
from bdfm.gibbs.random import uniform
from bdfm.gibbs.slice import slice_update

# Steps of logit phi and of log sd along a direction: near their posterior's sd over some years of days
_STEP_PHI: Final = 0.6
_STEP_SD: Final = 0.35
_WIDTH: Final = 3.0
_RUN: Final = 32  # pivots that are multiplied before a logarithm is taken


@kernel
def path_marginal_density(
    x: float,
    args: tuple[float, float, float, float, float, float, float, float, Floats, Floats],
) -> float:
    """Log density ``x`` steps along a direction of (logit phi, log sd), the states integrated out.

    ``information`` and ``pull`` hold what the returns say of each state, precision and precision times mean.
    The states' precision times sd^2 is tridiagonal; it is eliminated from the first state to the last.
    """
    logit_phi, log_sd, step_phi, step_sd, mu_phi, sigma_phi, mu_sd, sigma_sd, information, pull = args
    logit = logit_phi + x * step_phi
    log_of_sd = log_sd + x * step_sd
    phi = 1.0 / (1.0 + math.exp(-logit))
    rest = (1.0 + phi) / (1.0 + math.exp(logit))  # 1 - phi^2
    square = math.exp(2.0 * log_of_sd)
    n = information.shape[0]
    inner = 1.0 + phi * phi
    z_phi, z_sd = (logit - mu_phi) / sigma_phi, (log_of_sd - mu_sd) / sigma_sd
    value = 0.5 * math.log(rest) - 0.5 * (z_phi * z_phi + z_sd * z_sd)
    pivot = (1.0 if n > 1 else rest) + square * information[0]
    linear = pull[0]
    quadratic = linear * linear / pivot
    product = pivot
    for t in range(1, n):
        share = phi / pivot
        pivot = (inner if t + 1 < n else 1.0) + square * information[t] - phi * share
        linear = pull[t] + share * linear
        quadratic += linear * linear / pivot
        product *= pivot
        if t % _RUN == 0:
            value -= 0.5 * math.log(product)
            product = 1.0
    total: float = value - 0.5 * math.log(product) + 0.5 * square * quadratic
    return total


@kernel
def draw_along(
    rng: np.random.Generator,
    logit_phi: float,
    log_sd: float,
    mu: tuple[float, float],
    sigma: tuple[float, float],
    information: Floats,
    pull: Floats,
) -> tuple[float, float]:
    """Slice update of (logit phi, log sd) along a direction that is drawn anew, the path integrated out."""
    angle = 2.0 * math.pi * uniform(rng)
    step_phi, step_sd = _STEP_PHI * math.cos(angle), _STEP_SD * math.sin(angle)
    args = (logit_phi, log_sd, step_phi, step_sd, mu[0], sigma[0], mu[1], sigma[1], information, pull)
    x = slice_update(rng, path_marginal_density, args, 0.0, _WIDTH)
    return logit_phi + x * step_phi, log_sd + x * step_sd
