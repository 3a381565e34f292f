"""Gibbs updates of loadings and factors (eq. 2 to 4), given the precision u_it of each return.

1. The loadings of each asset, over all blocks of periods that have loadings of their own.
2. The whole factor path: one normal vector with block-tridiagonal precision; with more than one lag, period
   by period.
3. The scale of each factor with its loadings, or with its path, integrated out.
4. Moves along the directions in which loadings and factors trade off without changing their products:
   generalised Gibbs steps (Liu and Sabatti 2000), draws from the density along the orbit of a group with
   respect to its Haar measure. Without them the implied covariance moves slowly, because factors given
   loadings, and loadings given factors, are known far better than how they share.

1 and 2 are over-relaxed (Adler 1981): x' = m - r (x - m) + sqrt(1 - r^2) z keeps the conditional
Normal(m, V) invariant, and moves against the old value instead of forgetting it. It speeds up the slowest
directions, those in which the last factor turns from one group of assets to another.

The prior of the loadings is a product of independent normals in *coordinates*, which are linear in the
loadings: deviations of the first block from what characteristics say (precision mix / tau^2), changes from
block to block (1 / delta^2), and the slopes on characteristics. Static loadings are their own coordinates.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.arrays import DELTA, TAU, Data, Floats, State, Work, kernel
from bdfm.gibbs.dynamics import band_product, set_deviation
from bdfm.gibbs.linear import (
    add_scaled,
    dot,
    draw_tridiagonal,
    eliminate,
    fill_zero,
    solve_transposed,
)
from bdfm.gibbs.random import MAX_SHRINK, gamma_fill, scale_draw

_LARGE = 1e200  # a product of precisions whose logarithm is taken before it grows further
_SCALE_WIDTH = 2.0  # first interval of the slice of a log factor scale
_SCALE_FLOOR = (
    50.0  # how far below its prior's scale a log factor scale is looked for; the prior has e^-50 there
)


@kernel
def explained(d: Data, s: State, k: int, i: int) -> float:
    """What the characteristics of asset i say about its loading on factor k; 0 without characteristics."""
    total = 0.0
    for j in range(d.characteristics.shape[0]):
        total += s.slopes[k, j] * d.characteristics[j, i]
    return total


@kernel
def draw_loadings(rng: np.random.Generator, d: Data, s: State, w: Work, relax: float) -> None:
    """Draw the loadings of each asset; residuals must be current, and stay so."""
    n_blocks, n_factors, n_assets = s.loadings.shape
    n_periods = s.u.shape[1]
    q = 0
    for k in range(n_factors):
        for j in range(k + 1):
            for t in range(n_periods):
                w.pair[q, t] = s.factors[k, t] * s.factors[j, t]
            q += 1
    weighted = w.vectors[0, :n_periods]
    step = 1.0 / s.scalars[DELTA] ** 2 if n_blocks > 1 else 0.0
    tau = 1.0 / s.scalars[TAU] ** 2
    coupling = w.coupling[:n_blocks]
    change = w.change
    for i in range(n_assets):
        u = s.u[i]
        for t in range(n_periods):
            weighted[t] = u[t] * w.e[i, t]
        for b in range(n_blocks):
            a = w.path_chol[b]
            first, last = d.cut[b], d.cut[b + 1]
            inner = (step if b > 0 else 0.0) + (step if b + 1 < n_blocks else 0.0)
            q = 0
            for k in range(n_factors):
                for j in range(k + 1):
                    a[k, j] = dot(u[first:last], w.pair[q, first:last])
                    q += 1
                a[k, k] += inner
                gradient = dot(weighted[first:last], s.factors[k, first:last])
                if b == 0:
                    a[k, k] += s.loadings_mix[k, i] * tau
                    gradient -= s.loadings_mix[k, i] * tau * (s.loadings[0, k, i] - explained(d, s, k, i))
                else:
                    gradient -= step * (s.loadings[b, k, i] - s.loadings[b - 1, k, i])
                if b + 1 < n_blocks:
                    gradient += step * (s.loadings[b + 1, k, i] - s.loadings[b, k, i])
                w.path_rhs[k, b] = gradient
                coupling[b, k] = step if b > 0 else 0.0
        draw_tridiagonal(rng, w.path_chol, w.path_rhs, coupling, relax, w.small, change)
        for k in range(n_factors):
            for b in range(n_blocks):
                s.loadings[b, k, i] += change[k, b]
                first, last = d.cut[b], d.cut[b + 1]
                add_scaled(w.e[i, first:last], -change[k, b], s.factors[k, first:last])
        for t in range(n_periods):
            w.e[i, t] *= d.seen[i, t]
    draw_loadings_mix(rng, d, s)
    draw_loading_hypers(rng, d, s, w)


@kernel
def draw_loadings_mix(rng: np.random.Generator, d: Data, s: State) -> None:
    """Draw the mixing variables of Student-t loadings."""
    if d.loadings_dof == 0.0:
        return
    tau = 1.0 / s.scalars[TAU] ** 2
    for k in range(s.loadings.shape[1]):
        gamma_fill(rng, s.loadings_mix[k], 0.5 * (d.loadings_dof + 1.0))
        for i in range(s.loadings.shape[2]):
            square = tau * (s.loadings[0, k, i] - explained(d, s, k, i)) ** 2
            s.loadings_mix[k, i] /= 0.5 * (d.loadings_dof + square)


@kernel
def draw_loading_hypers(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw what the prior of the loadings has: slopes on characteristics and tau, or the drift delta."""
    n_blocks, n_factors, n_assets = s.loadings.shape
    n_slopes = d.characteristics.shape[0]
    if d.tau_sd > 0.0:
        tau = 1.0 / s.scalars[TAU] ** 2
        a = w.small[0, :n_slopes, :n_slopes]
        h = w.small[1, 0, :n_slopes]
        squares = 0.0
        for k in range(n_factors):
            for r in range(n_slopes):
                for m in range(r + 1):
                    a[r, m] = 0.0
                a[r, r] = 1.0 / d.slope_sd**2
                h[r] = 0.0
            for i in range(n_assets):
                weight = s.loadings_mix[k, i] * tau
                for r in range(n_slopes):
                    x = weight * d.characteristics[r, i]
                    h[r] += x * s.loadings[0, k, i]
                    for m in range(r + 1):
                        a[r, m] += x * d.characteristics[m, i]
            eliminate(a, h, 0, n_slopes)
            for r in range(n_slopes):
                h[r] += rng.standard_normal()
            solve_transposed(a, h)
            for r in range(n_slopes):
                s.slopes[k, r] = h[r]
            for i in range(n_assets):
                squares += s.loadings_mix[k, i] * (s.loadings[0, k, i] - explained(d, s, k, i)) ** 2
        now = math.log(s.scalars[TAU])
        n = float(n_factors * n_assets)
        s.scalars[TAU] = math.exp(scale_draw(rng, now, 1.0 - n, 0.5 / d.tau_sd**2, 0.5 * squares))
    if n_blocks > 1:
        squares = 0.0
        for b in range(1, n_blocks):
            for k in range(n_factors):
                for i in range(n_assets):
                    squares += (s.loadings[b, k, i] - s.loadings[b - 1, k, i]) ** 2
        now = math.log(s.scalars[DELTA])
        n = float((n_blocks - 1) * n_factors * n_assets)
        s.scalars[DELTA] = math.exp(scale_draw(rng, now, 1.0 - n, 0.5 / d.delta_sd**2, 0.5 * squares))


@kernel
def draw_factor_path(rng: np.random.Generator, d: Data, s: State, w: Work, relax: float) -> None:
    """Draw the factor path (eq. 3). Residuals and ``Work.band`` must be current; residuals do not stay so."""
    n_factors, n_periods = s.factors.shape
    fill_zero(w.pair)
    fill_zero(w.path_rhs)
    weighted = w.vectors[0, :n_periods]
    for i in range(s.u.shape[0]):
        u = s.u[i]
        for t in range(n_periods):
            weighted[t] = u[t] * w.e[i, t]
        for b in range(s.loadings.shape[0]):
            first, last = d.cut[b], d.cut[b + 1]
            loadings = s.loadings[b]
            q = 0
            for k in range(n_factors):
                add_scaled(w.path_rhs[k, first:last], loadings[k, i], weighted[first:last])
                for j in range(k + 1):
                    add_scaled(w.pair[q, first:last], loadings[k, i] * loadings[j, i], u[first:last])
                    q += 1
    for t in range(n_periods):
        a = w.path_chol[t]
        q = 0
        for k in range(n_factors):
            for j in range(k + 1):
                a[k, j] = w.pair[q, t]
                q += 1
            a[k, k] += w.band[0, t] / s.factor_scale[k] ** 2
    if d.n_lags > 1:
        draw_periods(rng, d, s, w, relax)
        return
    # gradient of the log density at the current path
    product = w.vectors[1, :n_periods]
    set_deviation(s, w)
    for k in range(n_factors):
        scale = 1.0 / s.factor_scale[k] ** 2
        band_product(w.band, w.deviation[k], product)
        for t in range(n_periods):
            w.path_rhs[k, t] -= scale * product[t]
            w.coupling[t, k] = -scale * w.band[1, t] if t > 0 and d.n_lags == 1 else 0.0
    draw_tridiagonal(rng, w.path_chol, w.path_rhs, w.coupling, relax, w.small, w.change)
    for k in range(n_factors):
        for t in range(n_periods):
            s.factors[k, t] += w.change[k, t]


@kernel
def draw_periods(rng: np.random.Generator, d: Data, s: State, w: Work, relax: float) -> None:
    """Draw the factors of one period after the other, given those of all others.

    For long lag polynomials, whose small coefficients couple the periods little. ``Work.path_chol`` and
    ``Work.path_rhs`` hold precision and gradient of the returns.
    """
    n_factors, n_periods = s.factors.shape
    spread = math.sqrt(1.0 - relax * relax)
    h = w.small[1, 1, :n_factors]
    for t in range(n_periods):
        for k in range(n_factors):
            mean = s.premium[k]
            pull = w.band[0, t] * (s.factors[k, t] - mean)
            for j in range(1, d.n_lags + 1):
                if t - j >= 0:
                    pull += w.band[j, t] * (s.factors[k, t - j] - mean)
                if t + j < n_periods:
                    pull += w.band[j, t + j] * (s.factors[k, t + j] - mean)
            h[k] = w.path_rhs[k, t] - pull / s.factor_scale[k] ** 2
        eliminate(w.path_chol[t], h, 0, n_factors)
        for k in range(n_factors):
            h[k] = (1.0 + relax) * h[k] + spread * rng.standard_normal()
        solve_transposed(w.path_chol[t], h)
        for k in range(n_factors):
            s.factors[k, t] += h[k]


@kernel
def scale_density(log_scale: float, scale_sd: float, x: Floats) -> float:
    """Log density of the log scale of one factor, with its loadings or its path integrated out.

    The rows of ``x`` are those of ``Work.switch``. Each product c = scale * w with w ~ Normal(mean, 1 / p)
    enters the likelihood as exp(g (c - c0) - A (c - c0)^2 / 2), a form that keeps its digits for large A.
    """
    scale = math.exp(log_scale)
    square = scale * scale
    value = log_scale - 0.5 * (scale / scale_sd) ** 2
    product = 1.0
    for i in range(x.shape[1]):
        p, gradient, information = x[0, i], x[1, i], x[2, i]
        from_mean = scale * x[3, i] - x[4, i]
        ratio = 1.0 + square * information / p
        change = (
            from_mean * (gradient - 0.5 * information * from_mean) + 0.5 * square / p * gradient * gradient
        )
        value += change / ratio
        product *= ratio
        if product > _LARGE:
            value -= 0.5 * math.log(product)
            product = 1.0
    return value - 0.5 * math.log(product)


@kernel
def draw_scale(rng: np.random.Generator, now: float, scale_sd: float, x: Floats) -> float:
    """Slice update of the scale of one factor under ``scale_density``.

    The interval is wide: the scale of a factor that the data hardly support has two modes, one near 0.
    """
    start = math.log(now)
    level = scale_density(start, scale_sd, x) + math.log(1.0 - rng.random())
    low = start - _SCALE_WIDTH * rng.random()
    high = low + _SCALE_WIDTH
    floor = math.log(scale_sd) - _SCALE_FLOOR
    while low > floor and scale_density(low, scale_sd, x) > level:
        low -= _SCALE_WIDTH
    while scale_density(high, scale_sd, x) > level:
        high += _SCALE_WIDTH
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        if scale_density(new, scale_sd, x) >= level:
            return math.exp(new)
        if new < start:
            low = new
        else:
            high = new
    return now


@kernel
def draw_product(rng: np.random.Generator, scale: float, x: Floats, i: int) -> float:
    """Change of the product of ``scale_density`` number i, drawn at a scale."""
    precision = x[0, i] + scale * scale * x[2, i]
    mean = (scale * scale * x[1, i] + x[0, i] * (scale * x[3, i] - x[4, i])) / precision
    return float(mean + scale / math.sqrt(precision) * rng.standard_normal())


@kernel
def switch_factors(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw the scale of each factor together with its loadings, given its path in units of the scale.

    The loadings are integrated out when the scale is drawn (partially collapsed Gibbs, van Dyk and Park
    2008), so that factors which the data hardly support go on and off. While a factor is off its path and
    loadings are draws of their priors, whose product would disturb the fit at any scale that matters; with
    loadings free to adapt, a random path disturbs it little.

    It needs loadings that do not change over time. Residuals must be current, and stay so.
    """
    n_factors, n_assets = s.loadings.shape[1], s.loadings.shape[2]
    n_periods = s.factors.shape[1]
    x = w.switch[:, :n_assets]
    tau = 1.0 / s.scalars[TAU] ** 2
    for k in range(n_factors):
        scale = s.factor_scale[k]
        z = s.factors[k]
        for t in range(n_periods):
            z[t] /= scale
        for i in range(n_assets):
            u, e = s.u[i], w.e[i]
            gradient = 0.0
            information = 0.0
            for t in range(n_periods):
                weighted = u[t] * z[t]
                gradient += weighted * e[t]
                information += weighted * z[t]
            x[0, i] = s.loadings_mix[k, i] * tau
            x[1, i] = gradient
            x[2, i] = information
            x[3, i] = explained(d, s, k, i)
            x[4, i] = scale * s.loadings[0, k, i]
        scale = draw_scale(rng, scale, d.factor_scale_sd, x)
        s.premium[k] *= scale / s.factor_scale[k]
        s.factor_scale[k] = scale
        for i in range(n_assets):
            change = draw_product(rng, scale, x, i)
            s.loadings[0, k, i] = (x[4, i] + change) / scale
            e, seen = w.e[i], d.seen[i]
            for t in range(n_periods):
                e[t] -= change * z[t] * seen[t]
        for t in range(n_periods):
            z[t] *= scale


@kernel
def switch_paths(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw the scale of each factor together with its path, given its loadings.

    As ``switch_factors``, with the path integrated out, for factors without dynamics: their periods are
    independent. ``Work.band`` and residuals must be current, and stay so.
    """
    n_factors, n_assets = s.loadings.shape[1], s.loadings.shape[2]
    n_periods = s.factors.shape[1]
    x = w.switch[:, :n_periods]
    change = w.change[0]
    for k in range(n_factors):
        for t in range(n_periods):
            x[0, t] = w.band[0, t]
            x[1, t] = 0.0
            x[2, t] = 0.0
            x[3, t] = s.premium[k] / s.factor_scale[k]
            x[4, t] = s.factors[k, t]
        for i in range(n_assets):
            u, e = s.u[i], w.e[i]
            loading = s.loadings[0, k, i]
            square = loading * loading
            for t in range(n_periods):
                x[1, t] += loading * u[t] * e[t]
                x[2, t] += square * u[t]
        scale = draw_scale(rng, s.factor_scale[k], d.factor_scale_sd, x)
        s.premium[k] *= scale / s.factor_scale[k]
        s.factor_scale[k] = scale
        for t in range(n_periods):
            change[t] = draw_product(rng, scale, x, t)
            s.factors[k, t] += change[t]
        for i in range(n_assets):
            e, seen = w.e[i], d.seen[i]
            loading = s.loadings[0, k, i]
            for t in range(n_periods):
                e[t] -= loading * change[t] * seen[t]


@kernel
def to_coordinates(d: Data, s: State, w: Work) -> None:
    """Fill ``Work.coordinates`` and their prior precisions from the loadings and slopes."""
    n_blocks, n_factors, n_assets = s.loadings.shape
    tau = 1.0 / s.scalars[TAU] ** 2
    for k in range(n_factors):
        x, precision = w.coordinates[k], w.coordinate_precision[k]
        for i in range(n_assets):
            x[i] = s.loadings[0, k, i] - explained(d, s, k, i)
            precision[i] = s.loadings_mix[k, i] * tau
        for b in range(1, n_blocks):
            for i in range(n_assets):
                x[b * n_assets + i] = s.loadings[b, k, i] - s.loadings[b - 1, k, i]
                precision[b * n_assets + i] = 1.0 / s.scalars[DELTA] ** 2
        for j in range(d.characteristics.shape[0]):
            x[n_blocks * n_assets + j] = s.slopes[k, j]
            precision[n_blocks * n_assets + j] = 1.0 / d.slope_sd**2


@kernel
def from_coordinates(d: Data, s: State, w: Work) -> None:
    """Set loadings and slopes to what ``Work.coordinates`` say."""
    n_blocks, n_factors, n_assets = s.loadings.shape
    for k in range(n_factors):
        x = w.coordinates[k]
        for j in range(d.characteristics.shape[0]):
            s.slopes[k, j] = x[n_blocks * n_assets + j]
        for i in range(n_assets):
            s.loadings[0, k, i] = x[i] + explained(d, s, k, i)
        for b in range(1, n_blocks):
            for i in range(n_assets):
                s.loadings[b, k, i] = s.loadings[b - 1, k, i] + x[b * n_assets + i]


@kernel
def path_products(d: Data, s: State, w: Work) -> None:
    """Products of the factors' innovations over periods, lambda_k' Q lambda_j, in ``w.small[0]``.

    The mean of a factor counts as one period more, of variance ``premium_sd``^2.
    """
    n_factors, n_periods = s.factors.shape
    product = w.vectors[0, :n_periods]
    set_deviation(s, w)
    for k in range(n_factors):
        band_product(w.band, w.deviation[k], product)
        for j in range(k + 1):
            w.small[0, k, j] = dot(product, w.deviation[j])
            if d.premium_sd > 0.0:
                w.small[0, k, j] += s.premium[k] * s.premium[j] / d.premium_sd**2
            w.small[0, j, k] = w.small[0, k, j]


@kernel
def move_along_orbits(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Redraw how factors, loadings and intercepts share, with their products unchanged.

    Means of the factors, where there are any, move along, and are drawn last.
    Shears lambda_k += a lambda_j, w_j -= a w_k; scales lambda_k *= c, w_k /= c with the factor scale
    kept or moved along; shifts lambda_k += c, alpha -= c w_k. Each is drawn from its exact conditional.
    ``Work.band`` must be current.
    """
    n_blocks, n_factors, n_assets = s.loadings.shape
    n_periods = s.factors.shape[1]
    n_coordinates = n_blocks * n_assets + d.characteristics.shape[0]
    b_prior = 0.5 / d.factor_scale_sd**2
    path_products(d, s, w)
    n_normal = n_periods + 1 if d.premium_sd > 0.0 else n_periods
    to_coordinates(d, s, w)
    e = w.small[0]
    for k in range(n_factors):
        x = w.coordinates[k]
        for j in range(n_factors):
            if j == k:
                continue
            y, weight = w.coordinates[j], w.coordinate_precision[j]
            precision = e[j, j] / s.factor_scale[k] ** 2
            linear = -e[k, j] / s.factor_scale[k] ** 2
            for i in range(n_coordinates):
                c = weight[i] * x[i]
                precision += c * x[i]
                linear += c * y[i]
            a = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
            for t in range(n_periods):
                s.factors[k, t] += a * s.factors[j, t]
            s.premium[k] += a * s.premium[j]
            for i in range(n_coordinates):
                y[i] -= a * x[i]
            e[k, k] += a * (2.0 * e[k, j] + a * e[j, j])
            for r in range(n_factors):
                if r != k:
                    e[k, r] += a * e[j, r]
                    e[r, k] = e[k, r]
    for k in range(n_factors):
        x, weight = w.coordinates[k], w.coordinate_precision[k]
        squares = 0.0
        for i in range(n_coordinates):
            squares += weight[i] * x[i] ** 2
        scale = s.factor_scale[k]
        energy = e[k, k]
        # factor against loadings, factor scale kept
        a = scale_draw(rng, 0.0, float(n_normal - n_coordinates), 0.5 * energy / scale**2, 0.5 * squares)
        factor = math.exp(a)
        energy *= factor * factor
        squares /= factor * factor
        # factor scale given the factor
        scale = math.exp(scale_draw(rng, math.log(scale), 1.0 - n_normal, b_prior, 0.5 * energy))
        # factor and its scale against loadings
        a = scale_draw(rng, 0.0, 1.0 - n_coordinates, b_prior * scale**2, 0.5 * squares)
        factor *= math.exp(a)
        s.factor_scale[k] = scale * math.exp(a)
        s.premium[k] *= factor
        for t in range(n_periods):
            s.factors[k, t] *= factor
        for i in range(n_coordinates):
            x[i] /= factor
    from_coordinates(d, s, w)
    ones = w.vectors[0, :n_periods]
    product = w.vectors[1, :n_periods]
    for t in range(n_periods):
        ones[t] = 1.0
    band_product(w.band, ones, product)
    own = dot(product, ones)
    if d.mean_intercept >= 0 and n_blocks == 1:
        m = d.mean_intercept
        set_deviation(s, w)
        for k in range(n_factors):
            # factor and its mean, if it has one, against the intercepts
            if d.premium_sd > 0.0:
                precision = 1.0 / (d.premium_sd * s.factor_scale[k]) ** 2
                linear = -precision * s.premium[k]
            else:
                precision = own / s.factor_scale[k] ** 2
                linear = -dot(product, w.deviation[k]) / s.factor_scale[k] ** 2
            for i in range(n_assets):
                group = d.mean_group[m, i]
                c = s.loadings[0, k, i] * s.mean_mix[m, i] / s.mean_sigma[m, group] ** 2
                precision += c * s.loadings[0, k, i]
                linear += c * (s.mean_b[m, i] - s.mean_mu[m, group])
            a = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
            for t in range(n_periods):
                s.factors[k, t] += a
            if d.premium_sd > 0.0:
                s.premium[k] += a
            for i in range(n_assets):
                s.mean_b[m, i] -= a * s.loadings[0, k, i]
    if d.premium_sd > 0.0:
        for k in range(n_factors):
            # mean of the factor given its path; both have the precision 1 / scale^2 in common
            precision = own + 1.0 / d.premium_sd**2
            spread = s.factor_scale[k] / math.sqrt(precision)
            s.premium[k] = dot(product, s.factors[k]) / precision + spread * rng.standard_normal()


@kernel
def residuals(d: Data, s: State, w: Work) -> None:
    """Residuals of all returns (``Work.e``), 0 where missing."""
    n_blocks, n_factors, n_assets = s.loadings.shape
    n_periods = s.factors.shape[1]
    for i in range(n_assets):
        e = w.e[i]
        for t in range(n_periods):
            e[t] = d.y[i, t]
        for k in range(n_factors):
            for b in range(n_blocks):
                first, last = d.cut[b], d.cut[b + 1]
                add_scaled(e[first:last], -s.loadings[b, k, i], s.factors[k, first:last])
        for m in range(s.mean_b.shape[0]):
            for t in range(n_periods):
                e[t] -= s.mean_b[m, i] * d.mean_x[m, i, t]
        for t in range(n_periods):
            e[t] *= d.seen[i, t]
