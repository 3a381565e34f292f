"""Moves along the directions in which loadings and factors trade off without changing their products.

Generalised Gibbs steps (Liu and Sabatti 2000): draws from the density along the orbit of a group with respect
to its Haar measure. Without them the implied covariance moves slowly, because factors given loadings, and
loadings given factors, are known far better than how they share.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, FactorsData, Floats, LoadingsData
from bdfm.gibbs.linear import dot
from bdfm.gibbs.quantities import band_product, explained, left_over, set_deviation
from bdfm.gibbs.random import normal
from bdfm.gibbs.scratch import PathScratch, Scratch
from bdfm.gibbs.slice import draw_log_scale
from bdfm.gibbs.state import FactorsState, LoadingsState, State


@kernel
def to_coordinates(data: LoadingsData, own: LoadingsState, coordinates: Floats, precision: Floats) -> None:
    """Coordinates of the loadings (see ``loadings``) and their prior precisions."""
    characteristics = data.characteristics
    n_blocks, n_factors, n_assets = own.values.shape
    tau = 1.0 / own.tau[0] ** 2
    for k in range(n_factors):
        x, p = coordinates[k], precision[k]
        for i in range(n_assets):
            x[i] = left_over(own, characteristics, 0, k, i)
            p[i] = own.mixing[k, i] * tau
        for b in range(1, n_blocks):
            for i in range(n_assets):
                before = left_over(own, characteristics, b - 1, k, i)
                x[b * n_assets + i] = left_over(own, characteristics, b, k, i) - before
                p[b * n_assets + i] = 1.0 / own.delta[0] ** 2
        for j in range(characteristics.shape[1]):
            x[n_blocks * n_assets + j] = own.slopes[k, j]
            p[n_blocks * n_assets + j] = 1.0 / data.slope_sd**2


@kernel
def from_coordinates(characteristics: Floats, own: LoadingsState, coordinates: Floats) -> None:
    """Set loadings and slopes to what their coordinates say."""
    loadings = own.values
    n_blocks, n_factors, n_assets = loadings.shape
    for k in range(n_factors):
        x = coordinates[k]
        for j in range(characteristics.shape[1]):
            own.slopes[k, j] = x[n_blocks * n_assets + j]
        for i in range(n_assets):
            rest = 0.0
            for b in range(n_blocks):
                rest += x[b * n_assets + i]
                loadings[b, k, i] = rest + explained(own.slopes, characteristics[b], k, i)


@kernel
def set_products(data: FactorsData, factors: FactorsState, path: PathScratch, products: Floats) -> None:
    """Products of the factors' innovations over periods, lambda_k' Q lambda_j.

    The mean of a factor counts as one period more, of variance ``premium_sd``^2.
    """
    n_factors = products.shape[0]
    set_deviation(factors, path.deviation)
    for k in range(n_factors):
        band_product(path.band, path.deviation[k], path.product)
        for j in range(k + 1):
            products[k, j] = dot(path.product, path.deviation[j])
            if data.has_premium:
                products[k, j] += factors.premium[k] * factors.premium[j] / data.premium_sd**2
            products[j, k] = products[k, j]


@update
def shear_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S10, shears: lambda_k += a lambda_j, w_j -= a w_k for each pair of factors, with a normal draw a.

    The factors' means, where there are any, move along. Reads ``path.band``, which must be current, the
    factor scales and the prior of the loadings; changes paths, premia, loadings and slopes. No product of
    loadings with factors changes, so that the residuals stay current.
    """
    own, factors, e = scratch.orbit, state.factors, scratch.orbit.products
    set_products(data.factors, factors, scratch.path, e)
    to_coordinates(data.loadings, state.loadings, own.coordinates, own.precision)
    n_factors, n_coordinates = own.coordinates.shape
    for k in range(n_factors):
        x, path = own.coordinates[k], factors.path[k]
        for j in range(n_factors):
            if j == k:
                continue
            y, weight, other = own.coordinates[j], own.precision[j], factors.path[j]
            precision = e[j, j] / factors.scale[k] ** 2
            linear = -e[k, j] / factors.scale[k] ** 2
            for i in range(n_coordinates):
                c = weight[i] * x[i]
                precision += c * x[i]
                linear += c * y[i]
            a = (linear + math.sqrt(precision) * normal(rng)) / precision
            for t in range(path.shape[0]):
                path[t] += a * other[t]
            factors.premium[k] += a * factors.premium[j]
            for i in range(n_coordinates):
                y[i] -= a * x[i]
            e[k, k] += a * (2.0 * e[k, j] + a * e[j, j])
            for r in range(n_factors):
                if r != k:
                    e[k, r] += a * e[j, r]
                    e[r, k] = e[k, r]
    from_coordinates(data.loadings.characteristics, state.loadings, own.coordinates)


@update
def rescale_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S10, scales: lambda_k *= c, w_k /= c with the factor scale kept; the factor scale; all three.

    Reads and changes what ``shear_factors`` does, and the factor scales; the residuals stay current.
    """
    own, factors, e = scratch.orbit, state.factors, scratch.orbit.products
    set_products(data.factors, factors, scratch.path, e)
    to_coordinates(data.loadings, state.loadings, own.coordinates, own.precision)
    n_factors, n_coordinates = own.coordinates.shape
    n_periods = factors.path.shape[1]
    n_normal = n_periods + 1 if data.factors.has_premium else n_periods
    prior = 0.5 / data.factors.scale_sd**2
    for k in range(n_factors):
        x, weight = own.coordinates[k], own.precision[k]
        squares = 0.0
        for i in range(n_coordinates):
            squares += weight[i] * x[i] ** 2
        scale = factors.scale[k]
        energy = e[k, k]
        # factor against loadings, factor scale kept
        power = 1.0 * (n_normal - n_coordinates)
        factor = math.exp(draw_log_scale(rng, 0.0, power, 0.5 * energy / scale**2, 0.5 * squares))
        energy *= factor * factor
        squares /= factor * factor
        # factor scale given the factor
        scale = math.exp(draw_log_scale(rng, math.log(scale), 1.0 - n_normal, prior, 0.5 * energy))
        # factor and its scale against loadings
        c = math.exp(draw_log_scale(rng, 0.0, 1.0 - n_coordinates, prior * scale**2, 0.5 * squares))
        factor *= c
        factors.scale[k] = scale * c
        factors.premium[k] *= factor
        for t in range(n_periods):
            factors.path[k, t] *= factor
        for i in range(n_coordinates):
            x[i] /= factor
    from_coordinates(data.loadings.characteristics, state.loadings, own.coordinates)


@update
def shift_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S10, shifts: lambda_k += a, alpha_i -= a w_ik, with the factor's mean if it has one.

    For models with an intercept in the mean, and loadings that do not change over time. Reads ``path.band``,
    which must be current, the factor scales, loadings and the hierarchy of the intercepts; changes paths,
    premia and intercepts. The residuals stay current.
    """
    factors, mean, path, m = state.factors, state.mean, scratch.path, data.mean.intercept
    loadings, groups = state.loadings.values[0], data.mean.group[m]
    n_factors, n_assets = loadings.shape
    band_product(path.band, path.ones, path.product)
    own = dot(path.product, path.ones)
    set_deviation(factors, path.deviation)
    for k in range(n_factors):
        if data.factors.has_premium:
            precision = 1.0 / (data.factors.premium_sd * factors.scale[k]) ** 2
            linear = -precision * factors.premium[k]
        else:
            precision = own / factors.scale[k] ** 2
            linear = -dot(path.product, path.deviation[k]) / factors.scale[k] ** 2
        for i in range(n_assets):
            c = loadings[k, i] * mean.mixing[m, i] / mean.sigma[m, groups[i]] ** 2
            precision += c * loadings[k, i]
            linear += c * (mean.b[m, i] - mean.mu[m, groups[i]])
        a = (linear + math.sqrt(precision) * normal(rng)) / precision
        for t in range(factors.path.shape[1]):
            factors.path[k, t] += a
        if data.factors.has_premium:
            factors.premium[k] += a
        for i in range(n_assets):
            mean.b[m, i] -= a * loadings[k, i]
