"""Gibbs updates of what moves the factors (eq. 3): autoregression and time-varying scale.

Given the coefficients and the multipliers exp(m_t) of the factor scales, each factor's path is normal with
precision Q / sigma_k^2, where Q = A' D A is the same for all factors: row t of A takes the innovation out of
the path, D_t = exp(-2 m_t) / v_t^2, and v_t > 1 only in the first periods, which have the stationary
distribution (``stationary_start`` in ``bdfm.model.parts.dynamics``).
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.arrays import (
    BETA,
    PHI,
    RHO,
    RHO_MOVE,
    SIGMA_H,
    Data,
    Floats,
    State,
    Work,
    kernel,
)
from bdfm.gibbs.random import MAX_SHRINK, scale_draw


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
def set_multiplier(d: Data, s: State, w: Work) -> None:
    """Log multipliers of the factor scales (``Work.multiplier``)."""
    for t in range(w.multiplier.shape[0]):
        total = s.h[t]
        for j in range(d.scale_x.shape[0]):
            total += s.scale_slopes[j] * d.scale_x[j, t]
        w.multiplier[t] = total


@kernel
def set_band(d: Data, s: State, w: Work) -> None:
    """Band of Q (``Work.band``): row j holds the entries of periods t and t - j."""
    n_periods = w.multiplier.shape[0]
    lag_rows(d.n_lags, s.scalars[RHO], s.scalars[BETA], w.rows, w.start)
    for j in range(d.n_lags + 1):
        for t in range(n_periods):
            w.band[j, t] = 0.0
    for t in range(n_periods):
        weight = w.start[t] * math.exp(-2.0 * w.multiplier[t])
        for j in range(min(t, d.n_lags) + 1):
            c = weight * w.rows[t, j]
            for r in range(j, min(t, d.n_lags) + 1):
                w.band[r - j, t - j] += c * w.rows[t, r]


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
def set_deviation(s: State, w: Work) -> None:
    """Factors less their mean (``Work.deviation``), which eq. 3 speaks of."""
    for k in range(s.factors.shape[0]):
        for t in range(s.factors.shape[1]):
            w.deviation[k, t] = s.factors[k, t] - s.premium[k]


@kernel
def set_energy(d: Data, s: State, w: Work) -> None:
    """Sum over factors of squared innovations, in units of scale and start (``Work.energy``)."""
    n_factors, n_periods = s.factors.shape
    set_deviation(s, w)
    for t in range(n_periods):
        w.energy[t] = 0.0
    for k in range(n_factors):
        scale = 1.0 / s.factor_scale[k] ** 2
        for t in range(n_periods):
            innovation = w.deviation[k, t]
            for j in range(1, min(t, d.n_lags) + 1):
                innovation += w.rows[t, j] * w.deviation[k, t - j]
            w.energy[t] += scale * w.start[t] * innovation * innovation


@kernel
def draw_dynamics(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw the coefficients of the autoregression given the factors."""
    if d.n_lags == 1:
        draw_rho(rng, d, s, w)
    elif d.n_lags > 1:
        for which in (RHO, BETA):
            draw_lag_coefficient(rng, d, s, w, which)


@kernel
def draw_rho(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw rho of an AR(1): normal but for the stationary start, hence one Metropolis step."""
    n_factors, n_periods = s.factors.shape
    precision = 1.0 / d.rho_sd**2
    linear = 0.0
    first = 0.0
    set_deviation(s, w)
    for k in range(n_factors):
        scale = 1.0 / s.factor_scale[k] ** 2
        path = w.deviation[k]
        first += scale * math.exp(-2.0 * w.multiplier[0]) * path[0] ** 2
        for t in range(1, n_periods):
            weight = scale * math.exp(-2.0 * w.multiplier[t]) * path[t - 1]
            precision += weight * path[t - 1]
            linear += weight * path[t]
    new = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
    now = s.scalars[RHO]
    w.accepted[RHO_MOVE, 1] += 1.0
    if abs(new) < 1.0:
        ratio = 0.5 * n_factors * (math.log1p(-new * new) - math.log1p(-now * now))
        ratio += 0.5 * first * (new * new - now * now)
        if math.log(1.0 - rng.random()) < ratio:
            s.scalars[RHO] = new
            w.accepted[RHO_MOVE, 0] += 1.0


@kernel
def lag_density(d: Data, s: State, w: Work, rho: float, beta: float) -> float:
    """Log density of (rho, beta) given the factors (eq. 3b)."""
    bound = (1.0 - abs(rho)) / (d.n_lags - 1)
    lag_rows(d.n_lags, rho, beta, w.rows, w.start)
    set_energy(d, s, w)
    value = -0.5 * (rho / d.rho_sd) ** 2 - 0.5 * (beta / d.beta_sd) ** 2
    value -= math.log(math.erf(bound / (d.beta_sd * math.sqrt(2.0))))
    for t in range(d.n_lags):
        value += 0.5 * s.factors.shape[0] * math.log(w.start[t])
    for t in range(s.factors.shape[1]):
        value -= 0.5 * w.energy[t] * math.exp(-2.0 * w.multiplier[t])
    return value


@kernel
def draw_lag_coefficient(rng: np.random.Generator, d: Data, s: State, w: Work, which: int) -> None:
    """Slice update of rho or beta on its stationary interval, shrunk towards the current value (eq. 3b)."""
    rho, beta = s.scalars[RHO], s.scalars[BETA]
    high = 1.0 - abs(beta) * (d.n_lags - 1) if which == RHO else (1.0 - abs(rho)) / (d.n_lags - 1)
    low = -high
    now = s.scalars[which]
    level = lag_density(d, s, w, rho, beta) + math.log(1.0 - rng.random())
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        value = lag_density(d, s, w, new, beta) if which == RHO else lag_density(d, s, w, rho, new)
        if value >= level:
            s.scalars[which] = new
            return
        if new < now:
            low = new
        else:
            high = new


@kernel
def multiplier_density(energy: Floats, multiplier: Floats, x: Floats, shift: float, n_factors: int) -> float:
    """Log density of the innovations when all log multipliers move by ``shift * x_t``."""
    value = 0.0
    for t in range(x.shape[0]):
        m = multiplier[t] + shift * x[t]
        value -= n_factors * m + 0.5 * energy[t] * math.exp(-2.0 * m)
    return value


@kernel
def draw_multiplier(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw what moves the factor scales, and bring ``Work.multiplier`` and ``Work.band`` up to date."""
    if d.scale_x.shape[0] > 0 or d.h_sd > 0.0:
        lag_rows(d.n_lags, s.scalars[RHO], s.scalars[BETA], w.rows, w.start)
        set_energy(d, s, w)
    for j in range(d.scale_x.shape[0]):
        draw_scale_slope(rng, d, s, w, j)
        set_multiplier(d, s, w)
    if d.h_sd > 0.0:
        draw_log_volatility(rng, d, s, w)
        draw_phi(rng, d, s)
        rescale_log_volatility(rng, d, s, w)
        shift_log_volatility(rng, d, s)
        set_multiplier(d, s, w)
    set_band(d, s, w)


@kernel
def draw_scale_slope(rng: np.random.Generator, d: Data, s: State, w: Work, j: int) -> None:
    """Slice update of the slope of the log factor scales on regressor j (eq. 3d)."""
    n_factors = s.factors.shape[0]
    x = d.scale_x[j]
    now = s.scale_slopes[j]
    squares = 0.0
    for t in range(x.shape[0]):
        squares += x[t] * x[t]
    width = 3.0 / math.sqrt(2.0 * n_factors * squares + 1.0 / d.scale_slope_sd**2)
    prior = 0.5 / d.scale_slope_sd**2
    level = multiplier_density(w.energy, w.multiplier, x, 0.0, n_factors) - prior * now**2
    level += math.log(1.0 - rng.random())
    low = -width * rng.random()
    high = low + width
    while multiplier_density(w.energy, w.multiplier, x, low, n_factors) - prior * (now + low) ** 2 > level:
        low -= width
    while multiplier_density(w.energy, w.multiplier, x, high, n_factors) - prior * (now + high) ** 2 > level:
        high += width
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        value = multiplier_density(w.energy, w.multiplier, x, new, n_factors) - prior * (now + new) ** 2
        if value >= level:
            s.scale_slopes[j] = now + new
            return
        if new < 0.0:
            low = new
        else:
            high = new


@kernel
def draw_log_volatility(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Slice update of the latent log multiplier h of one period after the other (eq. 3e)."""
    n_factors, n_periods = s.factors.shape
    phi = s.scalars[PHI]
    precision_h = 1.0 / s.scalars[SIGMA_H] ** 2
    for t in range(n_periods):
        # prior given the neighbours: normal with this precision and precision times mean
        own = precision_h * (1.0 - phi * phi if t == 0 else 1.0)
        linear = 0.0 if t == 0 else precision_h * phi * s.h[t - 1]
        if t + 1 < n_periods:
            own += precision_h * phi * phi
            linear += precision_h * phi * s.h[t + 1]
        linear -= n_factors
        energy = 0.5 * w.energy[t]
        width = 3.0 / math.sqrt(own + 2.0 * n_factors)
        now = s.h[t]
        level = linear * now - 0.5 * own * now * now - energy * math.exp(-2.0 * now)
        level += math.log(1.0 - rng.random())
        low = now - width * rng.random()
        high = low + width
        while linear * low - 0.5 * own * low * low - energy * math.exp(-2.0 * low) > level:
            low -= width
        while linear * high - 0.5 * own * high * high - energy * math.exp(-2.0 * high) > level:
            high += width
        for _ in range(MAX_SHRINK):
            new = low + (high - low) * rng.random()
            if linear * new - 0.5 * own * new * new - energy * math.exp(-2.0 * new) >= level:
                s.h[t] = new
                break
            if new < now:
                low = new
            else:
                high = new


@kernel
def draw_phi(rng: np.random.Generator, d: Data, s: State) -> None:
    """Draw the persistence phi and the scale sigma_h given the path of h (eq. 3e)."""
    n_periods = s.h.shape[0]
    variance = s.scalars[SIGMA_H] ** 2
    precision = 1.0 / d.phi_sd**2
    linear = d.phi_mean / d.phi_sd**2
    for t in range(1, n_periods):
        precision += s.h[t - 1] ** 2 / variance
        linear += s.h[t - 1] * s.h[t] / variance
    new = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
    now = s.scalars[PHI]
    if abs(new) < 1.0:
        ratio = 0.5 * (math.log1p(-new * new) - math.log1p(-now * now))
        ratio += 0.5 * s.h[0] ** 2 / variance * (new * new - now * now)
        if math.log(1.0 - rng.random()) < ratio:
            s.scalars[PHI] = new
    phi = s.scalars[PHI]
    squares = (1.0 - phi * phi) * s.h[0] ** 2
    for t in range(1, n_periods):
        squares += (s.h[t] - phi * s.h[t - 1]) ** 2
    now = math.log(s.scalars[SIGMA_H])
    s.scalars[SIGMA_H] = math.exp(scale_draw(rng, now, 1.0 - n_periods, 0.5 / d.h_sd**2, 0.5 * squares))


@kernel
def rescale_density(d: Data, s: State, w: Work, log_c: float) -> float:
    """Log density of log c when sigma_h and the path of h are multiplied by c."""
    c = math.exp(log_c)
    value: float = log_c - 0.5 * (c * s.scalars[SIGMA_H] / d.h_sd) ** 2
    for t in range(s.h.shape[0]):
        m = c * s.h[t]
        value -= s.factors.shape[0] * m + 0.5 * w.energy[t] * math.exp(-2.0 * m)
    return value


@kernel
def rescale_log_volatility(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Slice update of sigma_h with the path of h moved along (the non-centred form)."""
    level = rescale_density(d, s, w, 0.0) + math.log(1.0 - rng.random())
    low = -rng.random()
    high = low + 1.0
    while rescale_density(d, s, w, low) > level:
        low -= 1.0
    while rescale_density(d, s, w, high) > level:
        high += 1.0
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        if rescale_density(d, s, w, new) >= level:
            s.scalars[SIGMA_H] *= math.exp(new)
            for t in range(s.h.shape[0]):
                s.h[t] *= math.exp(new)
            return
        if new < 0.0:
            low = new
        else:
            high = new


@kernel
def shift_density(
    square: float, linear: float, scales: float, power: float, premiums: float, c: float
) -> float:
    """Log density of c when h moves up by c and all log factor scales down by c.

    ``scales`` and ``premiums`` are sums of squares over factors, of scales and of premiums over scales.
    """
    value = -0.5 * square * c * c - linear * c - power * c - 0.5 * scales * math.exp(-2.0 * c)
    return value - 0.5 * premiums * math.exp(2.0 * c) if premiums > 0.0 else value


@kernel
def shift_log_volatility(rng: np.random.Generator, d: Data, s: State) -> None:
    """Slice update of the level of h against the factor scales, their products unchanged."""
    n_periods, n_factors = s.h.shape[0], s.factor_scale.shape[0]
    phi = s.scalars[PHI]
    precision = 1.0 / s.scalars[SIGMA_H] ** 2
    square = precision * (1.0 - phi * phi + (n_periods - 1) * (1.0 - phi) ** 2)
    linear = precision * (1.0 - phi * phi) * s.h[0]
    for t in range(1, n_periods):
        linear += precision * (1.0 - phi) * (s.h[t] - phi * s.h[t - 1])
    scales = 0.0
    premiums = 0.0
    power = float(n_factors)
    if d.premium_sd > 0.0:
        power = 0.0  # the densities of the premiums, which scale with the factors, make up for it
    for k in range(n_factors):
        scales += (s.factor_scale[k] / d.factor_scale_sd) ** 2
        if d.premium_sd > 0.0:
            premiums += (s.premium[k] / (d.premium_sd * s.factor_scale[k])) ** 2
    width = 3.0 / math.sqrt(square + 2.0 * n_factors)
    level = shift_density(square, linear, scales, power, premiums, 0.0) + math.log(1.0 - rng.random())
    low = -width * rng.random()
    high = low + width
    while shift_density(square, linear, scales, power, premiums, low) > level:
        low -= width
    while shift_density(square, linear, scales, power, premiums, high) > level:
        high += width
    for _ in range(MAX_SHRINK):
        new = low + (high - low) * rng.random()
        if shift_density(square, linear, scales, power, premiums, new) >= level:
            for t in range(n_periods):
                s.h[t] += new
            for k in range(n_factors):
                s.factor_scale[k] *= math.exp(-new)
            return
        if new < 0.0:
            low = new
        else:
            high = new
