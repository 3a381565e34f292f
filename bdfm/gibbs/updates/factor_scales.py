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


@kernel
def settle_residuals(residuals: Floats, change: Floats, path: Floats, seen: Floats) -> None:
    """Take the last factor's change by asset and its path out of the residuals; 0 again where missing."""
    for i in range(residuals.shape[0]):
        e, known, moved = residuals[i], seen[i], change[i]
        for t in range(e.shape[0]):
            e[t] = (e[t] - moved * path[t]) * known[t]


@update
def switch_factors(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S19: draw the scale of each factor together with its loadings, given its path over its scale.

    While a factor is off, its path and loadings are draws of their priors, whose product would disturb the
    fit at any scale that matters; with loadings free to adapt, a random path disturbs it little.

    It needs loadings that do not change over time. Reads u, mixing, slopes, tau and residuals, which must be
    current; changes scales, loadings, paths and premia, and keeps the residuals current.
    """
    own, factors, x = state.loadings, state.factors, scratch.products
    loadings, residuals, characteristics = own.values[0], scratch.residuals, data.loadings.characteristics[0]
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    tau = 1.0 / own.tau[0] ** 2
    precision, gradient, information = x.precision[:n_assets], x.gradient[:n_assets], x.information[:n_assets]
    mean, start = x.mean[:n_assets], x.value[:n_assets]
    # What the factor before has changed leaves the residuals in the pass over them that the next one makes
    # anyway. Meanwhile they need not be 0 where a return is missing: u is.
    moved, last = x.moved[:n_assets], scratch.normal.change[0]
    for t in range(n_periods):
        last[t] = 0.0
    for k in range(n_factors):
        before = factors.scale[k]
        z = factors.path[k]
        for t in range(n_periods):
            z[t] /= before
        for i in range(n_assets):
            u, e = state.u[i], residuals[i]
            g = 0.0
            a = 0.0
            for t in range(n_periods):
                left = e[t] - moved[i] * last[t]
                e[t] = left
                weighted = u[t] * z[t]
                g += weighted * left
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
            moved[i] = draw_product(rng, scale, precision[i], gradient[i], information[i], mean[i], start[i])
            loadings[k, i] = (start[i] + moved[i]) / scale
        for t in range(n_periods):
            last[t] = z[t]
            z[t] *= scale
    settle_residuals(residuals, moved, last, data.returns.seen)


@kernel
def set_path_terms(
    k: int, loadings: Floats, u: Floats, residuals: Floats, change: Floats, x: ProductScratch
) -> None:
    """Gradient and information of the path of factor k, by period.

    First ``change``, that of the path of the factor before, leaves the residuals; where a return is missing
    they need not be 0 until ``settle_residuals``, since u is.
    """
    n_periods = change.shape[0]
    gradient, information = x.gradient[:n_periods], x.information[:n_periods]
    for t in range(n_periods):
        gradient[t] = 0.0
        information[t] = 0.0
    for i in range(u.shape[0]):
        precision, e, loading = u[i], residuals[i], loadings[k, i]
        before = loadings[k - 1, i] if k > 0 else 0.0
        for t in range(n_periods):
            left = e[t] - before * change[t]
            e[t] = left
            weighted = loading * precision[t]
            gradient[t] += weighted * left
            information[t] += weighted * loading


@kernel
def draw_path(
    rng: np.random.Generator, k: int, data: Data, state: State, scratch: Scratch, change: Floats
) -> float:
    """Draw the scale of factor k, then its path; ``change`` is that of the path. Returns the scale.

    Prior precision and mean of the path in units of the scale, its value, gradient and information are in
    ``scratch.products``.
    """
    factors, x = state.factors, scratch.products
    scale = draw_scale(rng, factors.scale[k], data.factors.scale_sd, x, change.shape[0])
    for t in range(change.shape[0]):
        change[t] = draw_product(
            rng, scale, x.precision[t], x.gradient[t], x.information[t], x.mean[t], x.value[t]
        )
        factors.path[k, t] += change[t]
    return scale


@update
def switch_paths(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S20: draw the scale of each factor together with its path, given its loadings.

    As ``switch_factors``, with the path integrated out, for factors without dynamics: their periods are
    independent. Reads u, loadings, ``path.band`` and residuals, which must be current; changes scales, paths
    and premia, and keeps the residuals current.
    """
    factors, x, band = state.factors, scratch.products, scratch.path.band
    loadings, residuals, change = state.loadings.values[0], scratch.residuals, scratch.normal.change[0]
    n_factors, n_periods = factors.path.shape
    for t in range(n_periods):
        change[t] = 0.0
    for k in range(n_factors):
        before = factors.scale[k]
        for t in range(n_periods):
            x.precision[t] = band[0, t]
            x.mean[t] = factors.premium[k] / before
            x.value[t] = factors.path[k, t]
        set_path_terms(k, loadings, state.u, residuals, change, x)
        scale = draw_path(rng, k, data, state, scratch, change)
        factors.premium[k] *= scale / before
        factors.scale[k] = scale
    settle_residuals(residuals, loadings[n_factors - 1], change, data.returns.seen)
