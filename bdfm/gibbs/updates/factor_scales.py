"""The scale of each factor with its loadings, or with its path, integrated out.

So factors that the data hardly support go on and off (partially collapsed Gibbs, van Dyk and Park 2008).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats, Ints
from bdfm.gibbs.quantities import explained
from bdfm.gibbs.random import log_in_place, normal
from bdfm.gibbs.scratch import ProductScratch, Scratch
from bdfm.gibbs.slice import slice_above
from bdfm.gibbs.state import State

# First interval of the slice of a log factor scale: wide, because the scale of a factor that the data hardly
# support has two modes, one near 0.
_WIDTH: Final = 2.0
_FLOOR: Final = (
    50.0  # how far below its prior's scale a log factor scale is looked for; the prior has e^-50 there
)


@kernel
def scale_density(
    log_scale: float, args: tuple[float, Floats, Floats, Floats, Floats, Floats, Floats, Floats, Ints]
) -> float:
    """Log density of the log scale of one factor, with its loadings or its path integrated out.

    Arrays are those of ``ProductScratch``. Each product c = scale * w with w ~ Normal(mean, 1 / p) enters the
    likelihood as exp(g (c - c0) - A (c - c0)^2 / 2), a form that keeps its digits for large A. ``share`` is
    A / p and ``gain`` g^2 / p, so that no product takes more than one division.
    """
    scale_sd, gradient, information, mean, start, share, gain, logs, bits = args
    scale = math.exp(log_scale)
    square = scale * scale
    value = log_scale - 0.5 * (scale / scale_sd) ** 2
    for i in range(logs.shape[0]):
        from_mean = scale * mean[i] - start[i]
        ratio = 1.0 + square * share[i]
        change = from_mean * (gradient[i] - 0.5 * information[i] * from_mean) + 0.5 * square * gain[i]
        value += change / ratio
        logs[i] = ratio
    log_in_place(logs, bits)
    total = 0.0
    for i in range(logs.shape[0]):
        total += logs[i]
    return value - 0.5 * total


@kernel
def draw_scale(rng: np.random.Generator, now: float, scale_sd: float, x: ProductScratch, n: int) -> float:
    """Slice update of the scale of one factor under ``scale_density``; the first ``n`` products count."""
    precision, gradient, information = x.precision[:n], x.gradient[:n], x.information[:n]
    share, gain = x.share[:n], x.gain[:n]
    for i in range(n):
        share[i] = information[i] / precision[i]
        gain[i] = gradient[i] * gradient[i] / precision[i]
    args = (
        scale_sd,
        gradient,
        information,
        x.mean[:n],
        x.value[:n],
        share,
        gain,
        x.logs[:n],
        x.bits[:n],
    )
    return math.exp(slice_above(rng, scale_density, args, math.log(now), _WIDTH, math.log(scale_sd) - _FLOOR))


@kernel
def draw_product(
    rng: np.random.Generator, scale: float, p: float, g: float, a: float, mean: float, start: float
) -> float:
    """Change of one product of ``scale_density``, drawn at a scale."""
    precision = p + scale * scale * a
    centre = (scale * scale * g + p * (scale * mean - start)) / precision
    return centre + scale / math.sqrt(precision) * normal(rng)


@update
def switch_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S19: draw the scale of each factor together with its loadings, given its path over its scale.

    While a factor is off, its path and loadings are draws of their priors, whose product would disturb the
    fit at any scale that matters; with loadings free to adapt, a random path disturbs it little.

    It needs loadings that do not change over time. Reads u, mixing, slopes, tau and residuals, which must be
    current; changes scales, loadings, paths and premia, and keeps the residuals current.
    """
    own, factors, x = state.loadings, state.factors, scratch.products
    loadings, seen, characteristics = own.values[0], data.returns.seen, data.loadings.characteristics[0]
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    tau = 1.0 / own.tau[0] ** 2
    precision, gradient, information = x.precision[:n_assets], x.gradient[:n_assets], x.information[:n_assets]
    mean, start = x.mean[:n_assets], x.value[:n_assets]
    for k in range(n_factors):
        before = factors.scale[k]
        z = factors.path[k]
        for t in range(n_periods):
            z[t] /= before
        for i in range(n_assets):
            u, e = state.u[i], scratch.residuals[i]
            g = 0.0
            a = 0.0
            for t in range(n_periods):
                weighted = u[t] * z[t]
                g += weighted * e[t]
                a += weighted * z[t]
            precision[i] = own.mixing[k, i] * tau
            gradient[i] = g
            information[i] = a
            mean[i] = explained(own.slopes, characteristics, k, i)
            start[i] = before * loadings[k, i]
        scale = draw_scale(rng, before, data.factors.scale_sd, x, n_assets)
        factors.premium[k] *= scale / before
        factors.scale[k] = scale
        for i in range(n_assets):
            change = draw_product(rng, scale, precision[i], gradient[i], information[i], mean[i], start[i])
            loadings[k, i] = (start[i] + change) / scale
            e = scratch.residuals[i]
            for t in range(n_periods):
                e[t] -= change * z[t] * seen[i, t]
        for t in range(n_periods):
            z[t] *= scale


@update
def switch_paths(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S20: draw the scale of each factor together with its path, given its loadings.

    As ``switch_factors``, with the path integrated out, for factors without dynamics: their periods are
    independent. Reads u, loadings, ``path.band`` and residuals, which must be current; changes scales, paths
    and premia, and keeps the residuals current.
    """
    factors, x, band = state.factors, scratch.products, scratch.path.band
    loadings, seen, change = state.loadings.values[0], data.returns.seen, scratch.normal.change[0]
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    precision, gradient = x.precision[:n_periods], x.gradient[:n_periods]
    information, mean, start = x.information[:n_periods], x.mean[:n_periods], x.value[:n_periods]
    for k in range(n_factors):
        before = factors.scale[k]
        for t in range(n_periods):
            precision[t] = band[0, t]
            gradient[t] = 0.0
            information[t] = 0.0
            mean[t] = factors.premium[k] / before
            start[t] = factors.path[k, t]
        for i in range(n_assets):
            u, e = state.u[i], scratch.residuals[i]
            loading = loadings[k, i]
            square = loading * loading
            for t in range(n_periods):
                gradient[t] += loading * u[t] * e[t]
                information[t] += square * u[t]
        scale = draw_scale(rng, before, data.factors.scale_sd, x, n_periods)
        factors.premium[k] *= scale / before
        factors.scale[k] = scale
        for t in range(n_periods):
            change[t] = draw_product(rng, scale, precision[t], gradient[t], information[t], mean[t], start[t])
            factors.path[k, t] += change[t]
        for i in range(n_assets):
            e, loading = scratch.residuals[i], loadings[k, i]
            for t in range(n_periods):
                e[t] -= loading * change[t] * seen[i, t]
