"""Latent log multiplier h of the factor scales, an AR(1) (eq. 3e)."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.quantities import set_multiplier
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import draw_log_scale, slice_update
from bdfm.gibbs.state import State


@kernel
def period_density(h: float, args: tuple[float, float, float]) -> float:
    """Log density of h in one period; half the energy of the period is that of its innovations at h = 0."""
    linear, precision, half_energy = args
    return linear * h - 0.5 * precision * h * h - half_energy * math.exp(-2.0 * h)


@update
def draw_h(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S15: slice update of h in one period after the other.

    Reads phi, sigma_h, ``path.energy`` (``refresh_innovations``), what regressors say of the log scales and
    the mixing variables; keeps ``path.multiplier`` current. ``path.band`` is out of date afterwards.
    """
    own, path, x = state.multiplier, scratch.path, data.multiplier.x
    h, phi = own.h, own.phi[0]
    n_factors, n_periods = state.factors.path.shape
    precision = 1.0 / own.sigma[0] ** 2
    for t in range(n_periods):
        # prior given the neighbours: normal with this precision and precision times mean
        prior = precision * (1.0 - phi * phi if t == 0 else 1.0)
        linear = 0.0 if t == 0 else precision * phi * h[t - 1]
        if t + 1 < n_periods:
            prior += precision * phi * phi
            linear += precision * phi * h[t + 1]
        linear -= n_factors
        regression = 0.0
        for j in range(x.shape[0]):
            regression += own.slopes[j] * x[j, t]
        half_energy = 0.5 * path.energy[t] * own.mixing[t] * math.exp(-2.0 * regression)
        width = 3.0 / math.sqrt(prior + 2.0 * n_factors)
        h[t] = slice_update(rng, period_density, (linear, prior, half_energy), h[t], width)
    set_multiplier(x, own, path.multiplier)


@update
def draw_phi(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S16: draw the persistence phi (normal but for the stationary start) and sigma_h given h."""
    own, prior = state.multiplier, data.multiplier
    h = own.h
    n_periods = h.shape[0]
    variance = own.sigma[0] ** 2
    precision = 1.0 / prior.phi_sd**2
    linear = prior.phi_mean / prior.phi_sd**2
    for t in range(1, n_periods):
        precision += h[t - 1] ** 2 / variance
        linear += h[t - 1] * h[t] / variance
    new = (linear + math.sqrt(precision) * normal(rng)) / precision
    now = own.phi[0]
    if abs(new) < 1.0:
        ratio = 0.5 * (math.log1p(-new * new) - math.log1p(-now * now))
        ratio += 0.5 * h[0] ** 2 / variance * (new * new - now * now)
        if math.log(1.0 - uniform(rng)) < ratio:
            own.phi[0] = new
    phi = own.phi[0]
    squares = (1.0 - phi * phi) * h[0] ** 2
    for t in range(1, n_periods):
        squares += (h[t] - phi * h[t - 1]) ** 2
    half_normal = 0.5 / prior.sigma_sd**2
    log_sigma = draw_log_scale(rng, math.log(own.sigma[0]), 1.0 - n_periods, half_normal, 0.5 * squares)
    own.sigma[0] = math.exp(log_sigma)


@kernel
def rescale_density(log_c: float, args: tuple[float, Floats, Floats, Floats, int]) -> float:
    """Log density of log c when sigma_h and the path of h are multiplied by c.

    ``ratio`` is sigma_h over its prior's scale, ``multiplier`` the log multipliers with h at c = 1.
    """
    ratio, h, multiplier, energy, n_factors = args
    c = math.exp(log_c)
    value = log_c - 0.5 * (c * ratio) ** 2
    for t in range(h.shape[0]):
        m = multiplier[t] + (c - 1.0) * h[t]
        value -= n_factors * m + 0.5 * energy[t] * math.exp(-2.0 * m)
    return value


@update
def rescale_h(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S17: slice update of sigma_h with the path of h moved along (the non-centred form).

    Reads ``path.energy`` (``refresh_innovations``), and ``path.multiplier``, which it keeps current.
    ``path.band`` is out of date afterwards.
    """
    own, path = state.multiplier, scratch.path
    ratio = own.sigma[0] / data.multiplier.sigma_sd
    args = (ratio, own.h, path.multiplier, path.energy, state.factors.scale.shape[0])
    c = math.exp(slice_update(rng, rescale_density, args, 0.0, 1.0))
    own.sigma[0] *= c
    for t in range(own.h.shape[0]):
        own.h[t] *= c
    set_multiplier(data.multiplier.x, own, path.multiplier)


@kernel
def shift_density(c: float, args: tuple[float, float, float, float, float]) -> float:
    """Log density of c when h moves up by c and all log factor scales down by c.

    ``scales`` and ``premia`` are sums of squares over factors, of scales and of premia over scales.
    """
    square, linear, scales, power, premia = args
    value = -0.5 * square * c * c - linear * c - power * c - 0.5 * scales * math.exp(-2.0 * c)
    return value - 0.5 * premia * math.exp(2.0 * c) if premia > 0.0 else value


@update
def shift_h(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S18: slice update of the level of h against the factor scales, their products unchanged.

    Reads h, phi, sigma_h, factor scales and premia; changes h and the factor scales. ``path.multiplier``,
    ``path.band`` and ``path.energy`` are out of date afterwards.
    """
    own, factors, prior = state.multiplier, state.factors, data.factors
    h, phi = own.h, own.phi[0]
    n_periods, n_factors = h.shape[0], factors.scale.shape[0]
    precision = 1.0 / own.sigma[0] ** 2
    square = precision * (1.0 - phi * phi + (n_periods - 1) * (1.0 - phi) ** 2)
    linear = precision * (1.0 - phi * phi) * h[0]
    for t in range(1, n_periods):
        linear += precision * (1.0 - phi) * (h[t] - phi * h[t - 1])
    scales = 0.0
    premia = 0.0
    # the densities of premia, which scale with the factors, make up for the Jacobian
    power = 0.0 if prior.has_premium else 1.0 * n_factors
    for k in range(n_factors):
        scales += (factors.scale[k] / prior.scale_sd) ** 2
        if prior.has_premium:
            premia += (factors.premium[k] / (prior.premium_sd * factors.scale[k])) ** 2
    width = 3.0 / math.sqrt(square + 2.0 * n_factors)
    c = slice_update(rng, shift_density, (square, linear, scales, power, premia), 0.0, width)
    for t in range(n_periods):
        h[t] += c
    for k in range(n_factors):
        factors.scale[k] *= math.exp(-c)
