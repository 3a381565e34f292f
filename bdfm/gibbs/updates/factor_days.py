"""Factors that each have a volatility of their own (eq. D1, D2): their paths, and moves along their orbits.

Given its volatility h and the parameters of h, a factor's value is normal with the mean sigma e^h rho u of
leverage, where u is the next shock to h, and the variance sigma^2 e^2h (1 - rho^2); in the last period, whose
next shock is not there, with mean 0 and variance sigma^2 e^2h. Both scale with sigma.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.adapt import MIN_LEVERAGE
from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.random import normal
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import draw_log_scale, slice_update
from bdfm.gibbs.state import FactorVolatilityState, State
from bdfm.gibbs.updates.factor_path import set_path_information
from bdfm.gibbs.updates.factor_scales import draw_path, set_path_terms, settle_residuals
from bdfm.gibbs.updates.residual_move import (
    cost_to_others,
    found_direction,
    move_asset,
    set_factor_information,
)


@kernel
def set_day_prior(own: FactorVolatilityState, k: int, scale: float, mean: Floats, precision: Floats) -> None:
    """Mean and precision of one factor by period, given its volatility and what follows it."""
    h, phi, sd, leverage = own.h[k], own.phi[k], own.sigma[k], own.leverage[k]
    n = h.shape[0]
    rest = 1.0 / (1.0 - leverage * leverage)
    for t in range(n):
        size = scale * math.exp(h[t])
        following = (h[t + 1] - phi * h[t]) / sd if t + 1 < n else 0.0
        mean[t] = size * leverage * following
        precision[t] = (rest if t + 1 < n else 1.0) / (size * size)


@update
def draw_factor_days(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S39: draw the factors of each period, which are independent of other periods' given h.

    Over-relaxed by ``tuning.relax``. Reads u, loadings, factor scales, volatilities and residuals, which must
    be current; changes the path. Residuals are out of date afterwards.
    """
    own, factors, days = scratch.normal, state.factors, scratch.days
    set_path_information(
        state.loadings.values, data.loadings.cut, state.u, scratch.residuals, factors.scale, days.none, own
    )
    n_factors, n_periods = factors.path.shape
    for k in range(n_factors):
        set_day_prior(state.factor_volatility, k, factors.scale[k], days.mean[k], days.precision[k])
    relax = scratch.tuning.relax[0]
    spread = math.sqrt(1.0 - relax * relax)
    path, x = factors.path, own.vector
    for t in range(n_periods):
        a = own.precision[t]
        for k in range(n_factors):
            a[k, k] += days.precision[k, t]
            x[k] = own.gradient[k, t] - days.precision[k, t] * (path[k, t] - days.mean[k, t])
        eliminate(a, x, 0, n_factors)
        for k in range(n_factors):
            x[k] = (1.0 + relax) * x[k] + spread * normal(rng)
        solve_transposed(a, x)
        for k in range(n_factors):
            path[k, t] += x[k]


@update
def shear_factor_days(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S40, shears: lambda_k += a lambda_j, w_j -= a w_k for each pair of factors, with a normal draw a.

    Reads volatilities, factor scales and the mixing variables of the loadings; changes paths and loadings.
    No product of loadings with factors changes, so that the residuals stay current.
    """
    factors, days, mixing = state.factors, scratch.days, state.loadings.mixing
    loadings = state.loadings.values[0]
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    for k in range(n_factors):
        path, w = factors.path[k], loadings[k]
        mean, weight = days.mean[k], days.precision[k]
        set_day_prior(state.factor_volatility, k, factors.scale[k], mean, weight)
        for j in range(n_factors):
            if j == k:
                continue
            other, y, own = factors.path[j], loadings[j], mixing[j]
            precision = 0.0
            linear = 0.0
            for t in range(n_periods):
                c = weight[t] * other[t]
                precision += c * other[t]
                linear -= c * (path[t] - mean[t])
            for i in range(n_assets):
                c = own[i] * w[i]
                precision += c * w[i]
                linear += c * y[i]
            a = (linear + math.sqrt(precision) * normal(rng)) / precision
            for t in range(n_periods):
                path[t] += a * other[t]
            for i in range(n_assets):
                y[i] -= a * w[i]


@kernel
def size_density(log_c: float, args: tuple[float, float, float, float]) -> float:
    """Log density power x - squares e^2x / 2 + linear e^x - loadings e^-2x / 2 of a log size x."""
    power, squares, linear, loadings = args
    c = math.exp(log_c)
    return power * log_c - 0.5 * squares * c * c + linear * c - 0.5 * loadings / (c * c)


@kernel
def scale_of_days_density(log_scale: float, args: tuple[float, float, float, float]) -> float:
    """Log density of a log factor scale given the factor; sums are those at scale 1."""
    n, squares, linear, scale_sd = args
    inverse = math.exp(-log_scale)
    ratio = 1.0 / (scale_sd * inverse)
    value = (1.0 - n) * log_scale - 0.5 * ratio * ratio
    return value - 0.5 * squares * inverse * inverse + linear * inverse


@update
def rescale_factor_days(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S40, scales: lambda_k *= c, w_k /= c with the factor scale kept; the factor scale; all three.

    Reads and changes what ``shear_factor_days`` does, and the factor scales; the residuals stay current.
    """
    factors, days = state.factors, scratch.days
    loadings, mixing = state.loadings.values[0], state.loadings.mixing
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    n, assets = 1.0 * n_periods, 1.0 * n_assets
    for k in range(n_factors):
        path, w = factors.path[k], loadings[k]
        mean, weight = days.mean[k], days.precision[k]
        # at scale 1
        set_day_prior(state.factor_volatility, k, 1.0, mean, weight)
        squares = 0.0
        linear = 0.0
        for t in range(n_periods):
            c = weight[t] * path[t]
            squares += c * path[t]
            linear += c * mean[t]
        energy = 0.0
        for i in range(n_assets):
            energy += mixing[k, i] * w[i] * w[i]
        scale = factors.scale[k]
        # factor against loadings, factor scale kept
        args = (n - assets, squares / (scale * scale), linear / scale, energy)
        width = 3.0 / math.sqrt(2.0 * (n + assets))
        factor = math.exp(slice_update(rng, size_density, args, 0.0, width))
        squares *= factor * factor
        linear *= factor
        energy /= factor * factor
        # factor scale given the factor
        args_scale = (n, squares, linear, data.factors.scale_sd)
        width = 3.0 / math.sqrt(2.0 * n)
        scale = math.exp(slice_update(rng, scale_of_days_density, args_scale, math.log(scale), width))
        # factor and its scale against loadings
        prior = 0.5 / data.factors.scale_sd**2
        c = math.exp(draw_log_scale(rng, 0.0, 1.0 - assets, prior * scale**2, 0.5 * energy))
        factor *= c
        factors.scale[k] = scale * c
        for t in range(n_periods):
            path[t] *= factor
        for i in range(n_assets):
            w[i] /= factor


@update
def switch_factor_days(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S41: draw the scale of each factor together with its path, given its loadings.

    As ``switch_paths``. Reads u, loadings, volatilities and residuals, which must be current; changes scales
    and paths, and keeps the residuals current.
    """
    factors, x, days = state.factors, scratch.products, scratch.days
    loadings, residuals, change = state.loadings.values[0], scratch.residuals, scratch.normal.change[0]
    n_factors, n_periods = factors.path.shape
    for t in range(n_periods):
        change[t] = 0.0
    for k in range(n_factors):
        set_day_prior(state.factor_volatility, k, 1.0, days.mean[k], days.precision[k])
        for t in range(n_periods):
            x.precision[t] = days.precision[k, t]
            x.mean[t] = days.mean[k, t]
            x.value[t] = factors.path[k, t]
        set_path_terms(k, loadings, state.u, residuals, change, x)
        factors.scale[k] = draw_path(rng, k, data, state, scratch, change)
    settle_residuals(residuals, loadings[n_factors - 1], change, data.returns.seen)


@update
def move_along_residual_days(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S42: as eq. S21, scale the noise of single assets together with their residuals, given u and h.

    The cost of moving the factors is that of their prior by day, whose precision and mean depend on h. Reads
    u, loadings, volatilities and residuals, which must be current; changes factors, intercepts and u, and
    keeps residuals and ``noise.precision`` current.
    """
    own, factors, days, tuning = scratch.residual_move, state.factors, scratch.days, scratch.tuning
    residuals, loadings, direction = scratch.residuals, state.loadings.values[0], own.direction
    n_factors, n_assets = loadings.shape
    n_periods = residuals.shape[1]
    set_factor_information(loadings, state.u, factors.scale, own)
    for k in range(n_factors):
        set_day_prior(state.factor_volatility, k, factors.scale[k], days.mean[k], days.precision[k])
        total = 0.0
        for t in range(n_periods):
            total += days.precision[k, t]
        own.information[k, k] += total / n_periods - 1.0 / factors.scale[k] ** 2
    for i in range(n_assets):
        if not tuning.adapting[0] and tuning.leverage[i] < MIN_LEVERAGE:
            continue
        if not found_direction(i, loadings, tuning, own):
            continue
        square, linear = cost_to_others(i, loadings, state.u, residuals, direction)
        e = residuals[i]
        for k in range(n_factors):
            path, mean, weight = factors.path[k], days.mean[k], days.precision[k]
            energy = 0.0
            pull = 0.0
            for t in range(n_periods):
                x = weight[t] * e[t]
                energy += x * e[t]
                pull += x * (path[t] - mean[t])
            square += direction[k] * direction[k] * energy
            linear -= direction[k] * pull
        move_asset(rng, i, square, linear, data, state, scratch)
