"""The factor path (eq. 3), given the precision u_it of each return.

Over-relaxation (Adler 1981) speeds up its slowest directions, those in which the last factor turns from one
group of assets to another.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats, Ints
from bdfm.gibbs.linear import add_four, draw_tridiagonal, eliminate, fill_zero, solve_transposed
from bdfm.gibbs.quantities import band_product, set_deviation
from bdfm.gibbs.random import normal
from bdfm.gibbs.scratch import NormalScratch, Scratch
from bdfm.gibbs.state import State


@kernel
def set_path_information(
    loadings: Floats, cut: Ints, u: Floats, residuals: Floats, scale: Floats, band: Floats, own: NormalScratch
) -> None:
    """Precision of the factors of each period given all others, and gradient of the returns at the path."""
    n_factors, n_periods = own.gradient.shape
    pair, weighted = own.pair, own.weighted
    fill_zero(pair)
    fill_zero(own.gradient)
    n_assets = u.shape[0]
    # Four assets at a time, so that sums are loaded and stored once for them; none is counted twice.
    for i0 in range(0, n_assets, 4):
        i1, i2, i3 = min(i0 + 1, n_assets - 1), min(i0 + 2, n_assets - 1), min(i0 + 3, n_assets - 1)
        c1, c2, c3 = 1.0 * (i0 + 1 < n_assets), 1.0 * (i0 + 2 < n_assets), 1.0 * (i0 + 3 < n_assets)
        for t in range(n_periods):
            weighted[0, t] = u[i0, t] * residuals[i0, t]
            weighted[1, t] = u[i1, t] * residuals[i1, t]
            weighted[2, t] = u[i2, t] * residuals[i2, t]
            weighted[3, t] = u[i3, t] * residuals[i3, t]
        for b in range(cut.shape[0] - 1):
            first, last = cut[b], cut[b + 1]
            w = loadings[b]
            u0, u1, u2, u3 = u[i0, first:last], u[i1, first:last], u[i2, first:last], u[i3, first:last]
            y0, y1 = weighted[0, first:last], weighted[1, first:last]
            y2, y3 = weighted[2, first:last], weighted[3, first:last]
            q = 0
            for k in range(n_factors):
                a = w[k, i0], c1 * w[k, i1], c2 * w[k, i2], c3 * w[k, i3]
                add_four(own.gradient[k, first:last], a, y0, y1, y2, y3)
                for j in range(k + 1):
                    square = a[0] * w[j, i0], a[1] * w[j, i1], a[2] * w[j, i2], a[3] * w[j, i3]
                    add_four(pair[q, first:last], square, u0, u1, u2, u3)
                    q += 1
    for t in range(n_periods):
        a = own.precision[t]
        q = 0
        for k in range(n_factors):
            for j in range(k + 1):
                a[k, j] = pair[q, t]
                q += 1
            a[k, k] += band[0, t] / scale[k] ** 2


@update
def draw_factor_path(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S8: draw the factors of all periods together, for models with at most one lag.

    One normal vector, block-tridiagonal in the periods, over-relaxed by ``tuning.relax``. Reads u, loadings,
    premia, factor scales, ``path.band`` and residuals, which must be current; changes the path. Residuals
    are out of date afterwards.
    """
    own, factors, work = scratch.normal, state.factors, scratch.path
    set_path_information(
        state.loadings.values, data.loadings.cut, state.u, scratch.residuals, factors.scale, work.band, own
    )
    n_factors, n_periods = factors.path.shape
    set_deviation(factors, work.deviation)
    for k in range(n_factors):
        scale = 1.0 / factors.scale[k] ** 2
        band_product(work.band, work.deviation[k], work.product)
        for t in range(n_periods):
            own.gradient[k, t] -= scale * work.product[t]
            own.coupling[t, k] = -scale * work.band[1, t] if t > 0 and data.dynamics.n_lags == 1 else 0.0
    draw_tridiagonal(
        rng,
        own.precision,
        own.gradient,
        own.coupling,
        scratch.tuning.relax[0],
        own.inverse,
        own.vector,
        own.ahead,
        own.change,
    )
    for k in range(n_factors):
        for t in range(n_periods):
            factors.path[k, t] += own.change[k, t]


@update
def draw_factor_periods(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S9: draw the factors of one period after the other, given those of all others.

    For long lag polynomials, whose small coefficients couple the periods little. Reads and changes what
    ``draw_factor_path`` does; given the path, returns of different periods are independent, so that their
    gradient is needed only once.
    """
    own, factors, band, n_lags = scratch.normal, state.factors, scratch.path.band, data.dynamics.n_lags
    set_path_information(
        state.loadings.values, data.loadings.cut, state.u, scratch.residuals, factors.scale, band, own
    )
    n_factors, n_periods = factors.path.shape
    relax = scratch.tuning.relax[0]
    spread = math.sqrt(1.0 - relax * relax)
    path, h = factors.path, own.vector
    for t in range(n_periods):
        for k in range(n_factors):
            mean = factors.premium[k]
            pull = band[0, t] * (path[k, t] - mean)
            for j in range(1, n_lags + 1):
                if t - j >= 0:
                    pull += band[j, t] * (path[k, t - j] - mean)
                if t + j < n_periods:
                    pull += band[j, t + j] * (path[k, t + j] - mean)
            h[k] = own.gradient[k, t] - pull / factors.scale[k] ** 2
        eliminate(own.precision[t], h, 0, n_factors)
        for k in range(n_factors):
            h[k] = (1.0 + relax) * h[k] + spread * normal(rng)
        solve_transposed(own.precision[t], h)
        for k in range(n_factors):
            path[k, t] += h[k]


@update
def begin_new_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Draw the factors of ``path.unknown`` periods given the returns, all taken as normal (eq. 1).

    A start for a period that an earlier draw does not know: beside factors of their prior its returns would
    look like outliers. Reads loadings, premia, factor scales, residuals and ``noise.precision``, which must
    be current; residuals and precisions are out of date afterwards.
    """
    own, factors, residuals = scratch.normal, state.factors, scratch.residuals
    n_factors, n_periods = factors.path.shape
    h, block = own.vector, 0
    for t in range(n_periods):
        while data.loadings.cut[block + 1] <= t:
            block += 1
        if scratch.path.unknown[t] == 0.0:
            continue
        a, w = own.precision[t], state.loadings.values[block]
        for k in range(n_factors):
            for j in range(k):
                a[k, j] = 0.0
            a[k, k] = 1.0 / factors.scale[k] ** 2
            h[k] = a[k, k] * factors.premium[k]
        for i in range(residuals.shape[0]):
            precision = scratch.noise.precision[i, t] * data.returns.seen[i, t] * data.returns.weight[i, t]
            unexplained = residuals[i, t]
            for k in range(n_factors):
                unexplained += factors.path[k, t] * w[k, i]
            for k in range(n_factors):
                pull = precision * w[k, i]
                h[k] += pull * unexplained
                for j in range(k + 1):
                    a[k, j] += pull * w[j, i]
        eliminate(a, h, 0, n_factors)
        for k in range(n_factors):
            h[k] += normal(rng)
        solve_transposed(a, h)
        for k in range(n_factors):
            factors.path[k, t] = h[k]
