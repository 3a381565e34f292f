"""Noise scale and residuals of one asset together, with the factors moved along."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.adapt import MIN_LEVERAGE, adapt_leverage
from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.level import level_change, lowest_shift
from bdfm.gibbs.linear import dot, eliminate, solve_transposed
from bdfm.gibbs.quantities import band_product, set_deviation
from bdfm.gibbs.scratch import ResidualMoveScratch, Scratch, Tuning
from bdfm.gibbs.slice import slice_above
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.prior import prior_value


@kernel
def residual_density(
    shift: float, args: tuple[float, float, float, float, float, float, bool, float, float]
) -> float:
    """Log density of a shift of the intercept, and so of log c, what the level goes up by.

    The move costs square (1 - c)^2 / 2 - linear (1 - c).
    """
    power, square, linear, b, mu, sigma, student, dof, least = args
    log_c = level_change(b, shift, least)
    rest = 1.0 - math.exp(log_c)
    prior = prior_value(b + shift, mu, sigma, student, dof)
    return prior + power * log_c - rest * (0.5 * square * rest - linear)


@kernel
def set_factor_information(loadings: Floats, u: Floats, scale: Floats, own: ResidualMoveScratch) -> None:
    """Average precision of each asset, and what all assets say of the factors of a period."""
    n_factors, n_assets = loadings.shape
    for k in range(n_factors):
        for j in range(k + 1):
            own.information[k, j] = 0.0
        own.information[k, k] = 1.0 / scale[k] ** 2
    for i in range(n_assets):
        total = 0.0
        for t in range(u.shape[1]):
            total += u[i, t]
        own.mean_u[i] = total / u.shape[1]
        for k in range(n_factors):
            for j in range(k + 1):
                own.information[k, j] += own.mean_u[i] * loadings[k, i] * loadings[j, i]


@kernel
def found_direction(i: int, loadings: Floats, tuning: Tuning, own: ResidualMoveScratch) -> bool:
    """Set the direction of the factors that follows asset i; whether its leverage is large enough to move."""
    direction = own.direction
    n_factors = loadings.shape[0]
    for k in range(n_factors):
        for j in range(k + 1):
            own.chol[k, j] = own.information[k, j]
        direction[k] = loadings[k, i]
    eliminate(own.chol, direction, 0, n_factors)
    along = dot(direction, direction)
    solve_transposed(own.chol, direction)
    adapt_leverage(tuning, i, own.mean_u[i] * along)
    for k in range(n_factors):
        direction[k] /= along
    return bool(tuning.leverage[i] >= MIN_LEVERAGE)


@kernel
def cost_to_others(
    i: int, loadings: Floats, u: Floats, residuals: Floats, direction: Floats
) -> tuple[float, float]:
    """Square and linear terms, in 1 - c, of what the move of asset i costs all other assets."""
    e = residuals[i]
    square = 0.0
    linear = 0.0
    for r in range(loadings.shape[1]):
        if r == i:
            continue
        share = 0.0
        for k in range(loadings.shape[0]):
            share += loadings[k, r] * direction[k]
        part = 0.0
        squares = 0.0
        for t in range(e.shape[0]):
            x = u[r, t] * e[t]
            squares += x * e[t]
            part += x * residuals[r, t]
        square += share * share * squares
        linear += share * part
    return square, linear


@kernel
def move_asset(
    rng: np.random.Generator,
    i: int,
    square: float,
    linear: float,
    data: Data,
    state: State,
    scratch: Scratch,
) -> None:
    """Draw c for asset i, given what the move costs, and move noise, factors and residuals."""
    own, factors, residuals = scratch.residual_move, state.factors, scratch.residuals
    loadings, seen = state.loadings.values[0], data.returns.seen
    volatility, prior, first = state.volatility, data.volatility, data.volatility.intercept
    direction, shift = own.direction, own.shift
    n_factors, n_assets = loadings.shape
    n_periods = residuals.shape[1]
    e, u = residuals[i], state.u[i]
    power = -data.returns.total_weight[i]
    for t in range(n_periods):
        power += seen[i, t]
    group = prior.group[first, i]
    mu, sigma = volatility.mu[first, group], volatility.sigma[first, group]
    b, student, dof = volatility.b[first, i], prior.student[first], prior.dof[first]
    args = (power, square, linear, b, mu, sigma, student, dof, prior.least)
    shift_b = slice_above(rng, residual_density, args, 0.0, 1.0, lowest_shift(b, prior.least))
    c = math.exp(level_change(b, shift_b, prior.least))
    volatility.b[first, i] += shift_b
    for t in range(n_periods):
        shift[t] = (1.0 - c) * e[t]
        u[t] /= c * c
        scratch.noise.precision[i, t] /= c * c
    for k in range(n_factors):
        for t in range(n_periods):
            factors.path[k, t] += direction[k] * shift[t]
    for r in range(n_assets):
        share = 0.0
        for k in range(n_factors):
            share += loadings[k, r] * direction[k]
        for t in range(n_periods):
            residuals[r, t] -= share * shift[t] * seen[r, t]
    change = own.mean_u[i] * (1.0 / (c * c) - 1.0)
    for k in range(n_factors):
        for j in range(k + 1):
            own.information[k, j] += change * loadings[k, i] * loadings[j, i]


@update
def move_along_residuals(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S21: scale the noise of single assets together with their residuals, given all mixing variables.

    Where one asset says most about some direction of the factors, its residuals follow its noise scale and
    the noise scale follows the residuals. The move multiplies both by c: lambda_t += (1 - c) e_it v / w_i'v,
    theta_i += log c, u_i / c^2; the likelihood of the asset does not change, and all other terms are
    quadratic in c. The direction v = (information on the factors)^-1 w_i disturbs the other assets least;
    it does not depend on c.

    It is done for the assets whose leverage, averaged over the adaptation, is above a threshold; it needs
    loadings that do not change over time, and an intercept in the log-volatility. Reads ``path.band`` too;
    changes factors, intercepts and u, and keeps residuals and ``noise.precision`` current.
    """
    own, factors, path, tuning = scratch.residual_move, state.factors, scratch.path, scratch.tuning
    residuals, loadings, direction = scratch.residuals, state.loadings.values[0], own.direction
    n_factors, n_assets = loadings.shape
    set_factor_information(loadings, state.u, factors.scale, own)
    for i in range(n_assets):
        if not tuning.adapting[0] and tuning.leverage[i] < MIN_LEVERAGE:
            continue
        if not found_direction(i, loadings, tuning, own):
            continue
        square, linear = cost_to_others(i, loadings, state.u, residuals, direction)
        e = residuals[i]
        band_product(path.band, e, own.filtered)
        energy = dot(own.filtered, e)
        set_deviation(factors, path.deviation)
        for k in range(n_factors):
            c = direction[k] / factors.scale[k] ** 2
            square += c * direction[k] * energy
            linear -= c * dot(path.deviation[k], own.filtered)
        move_asset(rng, i, square, linear, data, state, scratch)
