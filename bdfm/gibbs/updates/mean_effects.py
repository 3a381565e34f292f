"""Effects on the mean (eq. 2 and 5), given the precision u_it of each return.

Given u, returns are normal: r_it = sum_m B_mi x_mit + sum_k w_ki lambda_kt + Normal(0, 1 / sqrt(u_it)), and
Student-t priors are normal given their mixing variables. Location and scale of each hierarchy are drawn
with the coefficients integrated out, then the coefficients of each asset.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats, Ints
from bdfm.gibbs.linear import dot, eliminate, solve_transposed
from bdfm.gibbs.random import gamma_fill, normal
from bdfm.gibbs.scratch import RegressionScratch, Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import MeanState, State

_SMALL = 1e-200  # a product of shares whose logarithm is taken before it underflows


@update
def refresh_information(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Information of each asset on its coefficients: ``regression.gram``, and ``rhs`` of the coefficients.

    Reads u, coefficients and residuals, which must be current. The two updates that follow need it.
    """
    mean, own, x, u, e = state.mean, scratch.regression, data.mean.x, state.u, scratch.residuals
    n_effects = mean.b.shape[0]
    weighted = own.weighted
    for i in range(u.shape[0]):
        g, h = own.gram[i], own.rhs[i]
        for m in range(n_effects):
            for t in range(u.shape[1]):
                weighted[t] = u[i, t] * x[m, i, t]
            h[m] = dot(weighted, e[i])
            for j in range(m + 1):
                g[m, j] = dot(weighted, x[j, i])
                g[j, m] = g[m, j]
        for m in range(n_effects):
            for j in range(n_effects):
                h[m] += g[m, j] * mean.b[j, i]


@kernel
def marginal_information(
    mean: MeanState, groups: Ints, own: RegressionScratch, i: int, m: int
) -> tuple[float, float]:
    """Information g and h of exp(h b - g b^2 / 2), the likelihood of coefficient m of asset i.

    The other coefficients of the asset are integrated out.
    """
    n_effects = mean.b.shape[0]
    a, h = own.matrix, own.vector
    last = n_effects - 1
    # The coefficient asked for changes places with the last, so that its Schur complement remains.
    for p in range(n_effects):
        row = m if p == last else (last if p == m else p)
        h[p] = own.rhs[i, row]
        for q in range(p + 1):
            a[p, q] = own.gram[i, row, m if q == last else (last if q == m else q)]
        if p < last:
            group = groups[row, i]
            prior = mean.mixing[row, i] / mean.sigma[row, group] ** 2
            a[p, p] += prior
            h[p] += prior * mean.mu[row, group]
    eliminate(a, h, 0, last)
    return a[last, last], h[last]


@kernel
def shrunk_sums(log_sigma: float, g: Floats, h: Floats, mixing: Floats) -> tuple[float, float, float]:
    """Coefficients integrated out: precision and precision times mean of the location, and log density."""
    variance = math.exp(2.0 * log_sigma)
    precision = 0.0
    linear = 0.0
    squares = 0.0
    product = 1.0
    logs = 0.0
    for i in range(g.shape[0]):
        v = variance / mixing[i]
        shrink = 1.0 / (1.0 + g[i] * v)
        precision += g[i] * shrink
        linear += h[i] * shrink
        squares += h[i] * h[i] * v * shrink
        product *= shrink
        if product < _SMALL:
            logs += math.log(product)
            product = 1.0
    logs += math.log(product)
    return precision, linear, 0.5 * (logs + squares)


@kernel
def hierarchy_density(
    log_sigma: float, args: tuple[Floats, Floats, Floats, bool, float, float, float]
) -> float:
    """Log density of log sigma_g with the coefficients and the location integrated out."""
    g, h, mixing, loc_known, loc_mean, loc_sd, scale_sd = args
    precision, linear, value = shrunk_sums(log_sigma, g, h, mixing)
    value += log_sigma - 0.5 * math.exp(2.0 * log_sigma) / scale_sd**2
    if loc_known:
        return value + linear * loc_mean - 0.5 * precision * loc_mean * loc_mean
    precision += 1.0 / loc_sd**2
    linear += loc_mean / loc_sd**2
    return value + 0.5 * linear * linear / precision - 0.5 * math.log(precision)


@update
def draw_mean_hierarchies(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S2: draw location and scale of each hierarchy in the mean, coefficients integrated out.

    Reads what ``refresh_information`` has set and the mixing variables; changes mu and sigma. Coefficients
    have to be drawn next (``draw_mean_coefficients``), since they were integrated out.
    """
    effects, mean, own = data.mean, state.mean, scratch.regression
    for m in range(mean.b.shape[0]):
        loc_mean, loc_sd = effects.loc_mean[m], effects.loc_sd[m]
        for group in range(effects.n_groups[m]):
            n = 0
            for i in range(mean.b.shape[1]):
                if effects.group[m, i] == group:
                    own.information[n], own.linear[n] = marginal_information(mean, effects.group, own, i, m)
                    own.mixing[n] = mean.mixing[m, i]
                    n += 1
            g, h, mixing = own.information[:n], own.linear[:n], own.mixing[:n]
            args = (g, h, mixing, effects.loc_known[m], loc_mean, loc_sd, effects.scale_sd[m])
            now = slice_update(rng, hierarchy_density, args, math.log(mean.sigma[m, group]), 1.0)
            mean.sigma[m, group] = math.exp(now)
            if not effects.loc_known[m]:
                precision, linear, _ = shrunk_sums(now, g, h, mixing)
                precision += 1.0 / loc_sd**2
                linear += loc_mean / loc_sd**2
                mean.mu[m, group] = (linear + math.sqrt(precision) * normal(rng)) / precision


@update
def draw_mean_coefficients(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S3: draw the coefficients of each asset's regressors together.

    Reads what ``refresh_information`` has set, which it uses up, mu, sigma and mixing; changes the
    coefficients, and keeps the residuals current.
    """
    effects, mean, own = data.mean, state.mean, scratch.regression
    n_effects, n_assets = mean.b.shape
    seen = data.returns.seen
    for i in range(n_assets):
        a, h, e = own.gram[i], own.rhs[i], scratch.residuals[i]
        for m in range(n_effects):
            group = effects.group[m, i]
            prior = mean.mixing[m, i] / mean.sigma[m, group] ** 2
            a[m, m] += prior
            h[m] += prior * mean.mu[m, group]
        eliminate(a, h, 0, n_effects)
        for m in range(n_effects):
            h[m] += normal(rng)
        solve_transposed(a, h)
        for m in range(n_effects):
            for t in range(e.shape[0]):
                e[t] -= (h[m] - mean.b[m, i]) * effects.x[m, i, t] * seen[i, t]
            mean.b[m, i] = h[m]


@update
def draw_mean_mixing(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S3: draw the mixing variables of Student-t coefficients; reads coefficients, mu and sigma."""
    effects, mean = data.mean, state.mean
    for m in range(mean.b.shape[0]):
        if effects.student[m]:
            dof = effects.dof[m]
            gamma_fill(rng, mean.mixing[m], 0.5 * (dof + 1.0))
            for i in range(mean.b.shape[1]):
                group = effects.group[m, i]
                z = (mean.b[m, i] - mean.mu[m, group]) / mean.sigma[m, group]
                mean.mixing[m, i] /= 0.5 * (dof + z * z)
