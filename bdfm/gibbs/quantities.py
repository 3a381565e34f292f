"""Quantities that several updates share: rows and band of the path's precision, residuals, noise precisions.

Given the coefficients and the multipliers exp(m_t) of the factor scales, each factor's path is normal with
precision Q / sigma_k^2, where Q = A' D A is the same for all factors: row t of A takes the innovation out of
the path, D_t = exp(-2 m_t) / v_t^2, and v_t > 1 only in the first periods, which have the stationary
distribution (``stationary_start`` in ``bdfm.model.parts.dynamics``).
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Effects, Floats, Ints
from bdfm.gibbs.level import effect_of
from bdfm.gibbs.linear import add_rows
from bdfm.gibbs.random import exp_in_place
from bdfm.gibbs.scratch import PathScratch, Scratch
from bdfm.gibbs.state import FactorsState, LoadingsState, MultiplierState, State


@kernel
def explained(slopes: Floats, characteristics: Floats, k: int, i: int) -> float:
    """What the characteristics of asset i in one block say about its loading on factor k; 0 without any."""
    total = 0.0
    for j in range(characteristics.shape[0]):
        total += slopes[k, j] * characteristics[j, i]
    return total


@kernel
def left_over(own: LoadingsState, characteristics: Floats, b: int, k: int, i: int) -> float:
    """What characteristics (B, L, N) leave of the loading of asset i on factor k in block b."""
    return float(own.values[b, k, i] - explained(own.slopes, characteristics[b], k, i))


@kernel
def lag_rows(n_lags: int, rho: float, beta: float, rows: Floats, start: Floats) -> None:
    """Fill ``rows`` (T, lag) with the rows of A, own period first, and ``start`` (T) with 1 / v_t^2."""
    n_periods = rows.shape[0]
    for t in range(n_periods):
        rows[t, 0] = 1.0
        start[t] = 1.0
        for j in range(1, rows.shape[1]):
            rows[t, j] = 0.0
        for j in range(1, n_lags + 1):
            rows[t, j] = -rho if j == 1 else -beta
    # Levinson-Durbin, stepping down from order n_lags to the 0 past values of the first period
    inverse = 1.0
    for order in range(n_lags, 0, -1):
        t = order - 1
        last = rows[order, order]
        shrink = 1.0 - last * last
        inverse *= shrink
        start[t] = inverse
        for j in range(1, rows.shape[1]):
            rows[t, j] = 0.0
        for j in range(1, order):
            rows[t, j] = (rows[order, j] - last * rows[order, order - j]) / shrink


@kernel
def band_product(band: Floats, x: Floats, product: Floats) -> None:
    """Product Q x of the band with a path."""
    n_periods = x.shape[0]
    for t in range(n_periods):
        product[t] = band[0, t] * x[t]
    for j in range(1, band.shape[0]):
        for t in range(j, n_periods):
            product[t] += band[j, t] * x[t - j]
            product[t - j] += band[j, t] * x[t]


@kernel
def set_deviation(factors: FactorsState, deviation: Floats) -> None:
    """Factors less their mean, which eq. 3 speaks of."""
    for k in range(deviation.shape[0]):
        for t in range(deviation.shape[1]):
            deviation[k, t] = factors.path[k, t] - factors.premium[k]


@kernel
def set_energy(factors: FactorsState, path: PathScratch) -> None:
    """Sum over factors of squared innovations, in units of scale and start; needs rows and deviations."""
    n_factors, n_periods = path.deviation.shape
    for t in range(n_periods):
        path.energy[t] = 0.0
    for k in range(n_factors):
        scale = 1.0 / factors.scale[k] ** 2
        for t in range(n_periods):
            innovation = path.deviation[k, t]
            for j in range(1, min(t + 1, path.rows.shape[1])):
                innovation += path.rows[t, j] * path.deviation[k, t - j]
            path.energy[t] += scale * path.start[t] * innovation * innovation


@kernel
def set_multiplier(x: Floats, own: MultiplierState, multiplier: Floats) -> None:
    """Log multipliers of the factor scales given all that moves them (eq. 3d, 3e, 3f)."""
    for t in range(multiplier.shape[0]):
        total = own.h[t] - 0.5 * math.log(own.mixing[t])
        for j in range(x.shape[0]):
            total += own.slopes[j] * x[j, t]
        multiplier[t] = total


@update
def refresh_innovations(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Bring ``path.energy`` up to date; it reads the factors, their means and scales, and the dynamics."""
    path = scratch.path
    lag_rows(data.dynamics.n_lags, state.dynamics.rho[0], state.dynamics.beta[0], path.rows, path.start)
    set_deviation(state.factors, path.deviation)
    set_energy(state.factors, path)


@update
def refresh_band(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Bring ``path.multiplier`` and ``path.band`` up to date; it reads the dynamics and the multiplier."""
    path = scratch.path
    n_lags, band, rows = data.dynamics.n_lags, path.band, path.rows
    set_multiplier(data.multiplier.x, state.multiplier, path.multiplier)
    lag_rows(n_lags, state.dynamics.rho[0], state.dynamics.beta[0], rows, path.start)
    for j in range(n_lags + 1):
        for t in range(band.shape[1]):
            band[j, t] = 0.0
    for t in range(band.shape[1]):
        weight = path.start[t] * math.exp(-2.0 * path.multiplier[t])
        for j in range(min(t, n_lags) + 1):
            c = weight * rows[t, j]
            for r in range(j, min(t, n_lags) + 1):
                band[r - j, t - j] += c * rows[t, r]


@update
def refresh_residuals(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Bring ``residuals`` up to date, 0 where missing; it reads loadings, factors and the mean."""
    returns, cut, mean_x = data.returns, data.loadings.cut, data.mean.x
    loadings, path, b = state.loadings.values, state.factors.path, state.mean.b
    n_periods = path.shape[1]
    for i in range(returns.values.shape[0]):
        e = scratch.residuals[i]
        for t in range(n_periods):
            e[t] = returns.values[i, t]
        for block in range(cut.shape[0] - 1):
            for k in range(path.shape[0]):
                scratch.normal.path_sums[k] = loadings[block, k, i]
            add_rows(e, -1.0, scratch.normal.path_sums, path, cut[block], cut[block + 1])
        for m in range(b.shape[0]):
            for t in range(n_periods):
                e[t] -= b[m, i] * mean_x[m, i, t]
        for t in range(n_periods):
            e[t] *= returns.seen[i, t]


@kernel
def set_precision(effects: Effects, i: int, b: Floats, paths: Floats, precision: Floats, bits: Ints) -> None:
    """Fill ``precision`` with 1 / sigma^2 of asset i by period, at coefficients ``b`` (eq. 7).

    ``paths`` (N, T) are those of ``AssetVolatilityState``, of size 0 where there are none.
    """
    x = effects.x
    for t in range(precision.shape[0]):
        precision[t] = 0.0
    if paths.shape[0] > 0:
        for t in range(precision.shape[0]):
            precision[t] = -2.0 * paths[i, t]
    for j in range(b.shape[0]):
        c = -2.0 * effect_of(effects, j, b[j])
        for t in range(precision.shape[0]):
            precision[t] += c * x[j, i, t]
    exp_in_place(precision, bits)


@update
def refresh_precision(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Bring ``noise.precision`` up to date; it reads the log-volatility coefficients and paths."""
    noise, b = scratch.noise, scratch.proposal.now
    for i in range(noise.precision.shape[0]):
        for j in range(b.shape[0]):
            b[j] = state.volatility.b[j, i]
        set_precision(data.volatility, i, b, state.asset_volatility.path, noise.precision[i], noise.bits)
