"""Gibbs updates of the effects on the mean (eq. 2 and 5), given the precision u_it of each return.

Given u, returns are normal: r_it = sum_m B_mi x_mit + sum_k w_ki lambda_kt + Normal(0, 1 / sqrt(u_it)), and
Student-t priors are normal given their mixing variables. Location and scale of each hierarchy are drawn
with the coefficients integrated out, then the coefficients of each asset.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.arrays import DOF, LOC_MEAN, LOC_SD, SCALE_SD, Data, Floats, State, Work, kernel
from bdfm.gibbs.linear import dot, eliminate, solve_transposed
from bdfm.gibbs.random import MAX_SHRINK, gamma_fill


@kernel
def effect_systems(d: Data, s: State, w: Work) -> None:
    """Information of each asset on its coefficients: ``Work.gram``, and ``Work.rhs`` at the current ones."""
    n_effects, n_assets = s.mean_b.shape
    n_periods = s.u.shape[1]
    weighted = w.vectors[0, :n_periods]
    for i in range(n_assets):
        g = w.gram[i]
        h = w.rhs[i]
        for m in range(n_effects):
            for t in range(n_periods):
                weighted[t] = s.u[i, t] * d.mean_x[m, i, t]
            h[m] = dot(weighted, w.e[i])
            for j in range(m + 1):
                g[m, j] = dot(weighted, d.mean_x[j, i])
                g[j, m] = g[m, j]
        for m in range(n_effects):
            for j in range(n_effects):
                h[m] += g[m, j] * s.mean_b[j, i]


@kernel
def marginal_information(d: Data, s: State, w: Work, i: int, m: int) -> tuple[float, float]:
    """Information g and h of exp(h b - g b^2 / 2), the likelihood of coefficient m of asset i.

    The other coefficients of the asset are integrated out.
    """
    n_effects = s.mean_b.shape[0]
    if n_effects == 1:
        return w.gram[i, 0, 0], w.rhs[i, 0]
    a = w.small[0]
    h = w.small[1, 0]
    last = n_effects - 1
    # The coefficient asked for changes places with the last, so that its Schur complement remains.
    for p in range(n_effects):
        row = m if p == last else (last if p == m else p)
        h[p] = w.rhs[i, row]
        for q in range(p + 1):
            a[p, q] = w.gram[i, row, m if q == last else (last if q == m else q)]
        if p < last:
            group = d.mean_group[row, i]
            prior = s.mean_mix[row, i] / s.mean_sigma[row, group] ** 2
            a[p, p] += prior
            h[p] += prior * s.mean_mu[row, group]
    eliminate(a[:n_effects, :n_effects], h[:n_effects], 0, last)
    return a[last, last], h[last]


@kernel
def hyper_density(
    log_sigma: float, g: Floats, h: Floats, mix: Floats, prior: Floats
) -> tuple[float, float, float]:
    """Log density of log sigma_g with the coefficients and the location integrated out.

    Also the precision of the location given sigma, and that precision times its mean (zeros where the
    location is known).
    """
    mean, sd = prior[LOC_MEAN], prior[LOC_SD]
    variance = math.exp(2.0 * log_sigma)
    precision = 0.0
    linear = 0.0
    squares = 0.0
    product = 1.0
    logs = 0.0
    for i in range(g.shape[0]):
        v = variance / mix[i]
        shrink = 1.0 / (1.0 + g[i] * v)
        precision += g[i] * shrink
        linear += h[i] * shrink
        squares += h[i] * h[i] * v * shrink
        product *= shrink
        if product < 1e-200:
            logs += math.log(product)
            product = 1.0
    logs += math.log(product)
    value = 0.5 * (logs + squares) - 0.5 * variance / prior[SCALE_SD] ** 2 + log_sigma
    if sd == 0.0:
        return value + linear * mean - 0.5 * precision * mean * mean, 0.0, 0.0
    precision += 1.0 / sd**2
    linear += mean / sd**2
    return value + 0.5 * linear * linear / precision - 0.5 * math.log(precision), precision, linear


@kernel
def draw_mean_hypers(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw location and scale of each hierarchy in the mean, coefficients and loadings integrated out."""
    n_assets = s.u.shape[0]
    g = w.vectors[1]
    h = w.vectors[2]
    mix = w.vectors[3]
    for m in range(s.mean_b.shape[0]):
        prior = d.mean_prior[m]
        for group in range(d.mean_groups[m]):
            n = 0
            for i in range(n_assets):
                if d.mean_group[m, i] == group:
                    g[n], h[n] = marginal_information(d, s, w, i, m)
                    mix[n] = s.mean_mix[m, i]
                    n += 1
            now = math.log(s.mean_sigma[m, group])
            level = hyper_density(now, g[:n], h[:n], mix[:n], prior)[0] + math.log(1.0 - rng.random())
            low = now - rng.random()
            high = low + 1.0
            while hyper_density(low, g[:n], h[:n], mix[:n], prior)[0] > level:
                low -= 1.0
            while hyper_density(high, g[:n], h[:n], mix[:n], prior)[0] > level:
                high += 1.0
            for _ in range(MAX_SHRINK):
                new = low + (high - low) * rng.random()
                if hyper_density(new, g[:n], h[:n], mix[:n], prior)[0] >= level:
                    now = new
                    break
                if new < now:
                    low = new
                else:
                    high = new
            s.mean_sigma[m, group] = math.exp(now)
            if prior[LOC_SD] > 0.0:
                _, precision, linear = hyper_density(now, g[:n], h[:n], mix[:n], prior)
                s.mean_mu[m, group] = (linear + math.sqrt(precision) * rng.standard_normal()) / precision


@kernel
def draw_effects(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw the coefficients of each asset's regressors, and the mixing variables of their priors.

    ``effect_systems`` comes first. Residuals are brought up to date.
    """
    n_effects, n_assets = s.mean_b.shape
    for i in range(n_assets):
        a = w.gram[i, :n_effects, :n_effects]
        h = w.rhs[i, :n_effects]
        for m in range(n_effects):
            group = d.mean_group[m, i]
            prior = s.mean_mix[m, i] / s.mean_sigma[m, group] ** 2
            a[m, m] += prior
            h[m] += prior * s.mean_mu[m, group]
        eliminate(a, h, 0, n_effects)
        for m in range(n_effects):
            h[m] += rng.standard_normal()
        solve_transposed(a, h)
        for m in range(n_effects):
            for t in range(w.e.shape[1]):
                w.e[i, t] -= (h[m] - s.mean_b[m, i]) * d.mean_x[m, i, t] * d.seen[i, t]
            s.mean_b[m, i] = h[m]
    for m in range(n_effects):
        dof = d.mean_prior[m, DOF]
        if dof > 0.0:
            gamma_fill(rng, s.mean_mix[m], 0.5 * (dof + 1.0))
            for i in range(n_assets):
                group = d.mean_group[m, i]
                z = (s.mean_b[m, i] - s.mean_mu[m, group]) / s.mean_sigma[m, group]
                s.mean_mix[m, i] /= 0.5 * (dof + z * z)
