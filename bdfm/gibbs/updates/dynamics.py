"""Coefficients of the autoregression of the factors (eq. 3a, 3b)."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, DynamicsData
from bdfm.gibbs.quantities import lag_rows, set_deviation, set_energy
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import PathScratch, Scratch
from bdfm.gibbs.slice import slice_within
from bdfm.gibbs.state import FactorsState, State


@update
def draw_rho(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S12: draw rho of an AR(1): normal but for the stationary start, hence one Metropolis step.

    Reads paths, premia, factor scales and ``path.multiplier``. ``path.band`` is out of date afterwards.
    """
    factors, path = state.factors, scratch.path
    n_factors, n_periods = factors.path.shape
    precision = 1.0 / data.dynamics.rho_sd**2
    linear = 0.0
    first = 0.0
    set_deviation(factors, path.deviation)
    for k in range(n_factors):
        scale = 1.0 / factors.scale[k] ** 2
        x = path.deviation[k]
        first += scale * math.exp(-2.0 * path.multiplier[0]) * x[0] ** 2
        for t in range(1, n_periods):
            weight = scale * math.exp(-2.0 * path.multiplier[t]) * x[t - 1]
            precision += weight * x[t - 1]
            linear += weight * x[t]
    new = (linear + math.sqrt(precision) * normal(rng)) / precision
    now = state.dynamics.rho[0]
    scratch.moves.rho[1] += 1.0
    if abs(new) < 1.0:
        ratio = 0.5 * n_factors * (math.log1p(-new * new) - math.log1p(-now * now))
        ratio += 0.5 * first * (new * new - now * now)
        if math.log(1.0 - uniform(rng)) < ratio:
            state.dynamics.rho[0] = new
            scratch.moves.rho[0] += 1.0


@kernel
def lag_density(
    rho: float, beta: float, data: DynamicsData, factors: FactorsState, path: PathScratch
) -> float:
    """Log density of (rho, beta) given the factors (eq. 3b); deviations must be current."""
    bound = (1.0 - abs(rho)) / (data.n_lags - 1)
    lag_rows(data.n_lags, rho, beta, path.rows, path.start)
    set_energy(factors, path)
    value = -0.5 * (rho / data.rho_sd) ** 2 - 0.5 * (beta / data.beta_sd) ** 2
    value -= math.log(math.erf(bound / (data.beta_sd * math.sqrt(2.0))))
    for t in range(data.n_lags):
        value += 0.5 * path.deviation.shape[0] * math.log(path.start[t])
    for t in range(path.energy.shape[0]):
        value -= 0.5 * path.energy[t] * math.exp(-2.0 * path.multiplier[t])
    return value


@kernel
def lag_coefficient_density(
    x: float, args: tuple[bool, float, DynamicsData, FactorsState, PathScratch]
) -> float:
    """Log density of rho, the other coefficient being beta, or of beta, the other being rho."""
    of_rho, other, data, factors, path = args
    rho = x if of_rho else other
    beta = other if of_rho else x
    return lag_density(rho, beta, data, factors, path)


@update
def draw_lag_coefficients(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S13: slice updates of rho, then beta, each on its stationary interval (eq. 3b).

    Reads paths, premia, factor scales and ``path.multiplier``. ``path.band`` and ``path.energy`` are out of
    date afterwards.
    """
    factors, path, own = state.factors, scratch.path, state.dynamics
    n_later = data.dynamics.n_lags - 1
    set_deviation(factors, path.deviation)
    for of_rho in (True, False):
        x, other = (own.rho, own.beta[0]) if of_rho else (own.beta, own.rho[0])
        high = 1.0 - abs(other) * n_later if of_rho else (1.0 - abs(other)) / n_later
        args = (of_rho, other, data.dynamics, factors, path)
        x[0] = slice_within(rng, lag_coefficient_density, args, x[0], -high, high)
