"""Gibbs updates of everything in the mean (eq. 2 to 5), given the precision u_it of each return.

Given u, returns are normal: r_it = sum_m B_mi x_mit + sum_k w_ki lambda_kt + Normal(0, 1 / sqrt(u_it)), and
Student-t priors are normal given their mixing variables. Four blocks, each from its exact conditional:

1. coefficients of regressors and their hierarchies: location and scale first, with the coefficients
   integrated out;
2. the loadings of each asset;
3. the whole factor path, one normal vector with block-tridiagonal precision;
4. moves along the directions in which loadings and factors trade off without changing their products:
   generalised Gibbs steps (Liu and Sabatti 2000), draws from the density along the orbit of a group with
   respect to its Haar measure. Without them the implied covariance moves slowly, because factors given
   loadings, and loadings given factors, are known far better than how they share.

Blocks 2 and 3 are over-relaxed (Adler 1981): x' = m - r (x - m) + sqrt(1 - r^2) z keeps the conditional
Normal(m, V) invariant, and moves against the old value instead of forgetting it. It speeds up the slowest
directions, those in which the last factor turns from one group of assets to another.
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.inference.gibbs_arrays import (
    DOF,
    LOC_MEAN,
    LOC_SD,
    RHO,
    RHO_MOVE,
    SCALE_SD,
    Data,
    Floats,
    State,
    Work,
    kernel,
)
from bdfm.inference.gibbs_random import MAX_SHRINK, gamma_fill, scale_draw


@kernel
def dot(a: Floats, b: Floats) -> float:
    """Sum of products of two vectors."""
    total = 0.0
    for t in range(a.shape[0]):
        total += a[t] * b[t]
    return total


@kernel
def fill_zero(a: Floats) -> None:
    """Set a matrix to 0; slice assignment would compile string formatting for its error message."""
    for r in range(a.shape[0]):
        for c in range(a.shape[1]):
            a[r, c] = 0.0


@kernel
def eliminate(a: Floats, h: Floats, start: int, stop: int) -> None:
    """Cholesky factor of columns ``start`` to ``stop`` of the lower triangle of ``a``, in place.

    ``h`` is solved along. Rows from ``stop`` on hold the Schur complement, and its right-hand side.
    """
    size = a.shape[0]
    for c in range(start, stop):
        pivot = 1.0 / math.sqrt(a[c, c])
        a[c, c] *= pivot
        h[c] *= pivot
        for r in range(c + 1, size):
            a[r, c] *= pivot
            h[r] -= a[r, c] * h[c]
        for r in range(c + 1, size):
            for q in range(c + 1, r + 1):
                a[r, q] -= a[r, c] * a[q, c]


@kernel
def solve_transposed(a: Floats, x: Floats) -> None:
    """Replace ``x`` by the solution of L' z = x, L the lower triangle of ``a``."""
    for c in range(x.shape[0] - 1, -1, -1):
        x[c] /= a[c, c]
        for r in range(c):
            x[r] -= a[c, r] * x[c]


@kernel
def add_scaled(target: Floats, a: float, x: Floats) -> None:
    """Add ``a * x`` to a vector in place."""
    for t in range(target.shape[0]):
        target[t] += a * x[t]


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


@kernel
def draw_loadings(rng: np.random.Generator, d: Data, s: State, w: Work, relax: float) -> None:
    """Draw the loadings of each asset; residuals must be current, and stay so."""
    n_factors, n_assets = s.loadings.shape
    n_periods = s.u.shape[1]
    spread = math.sqrt(1.0 - relax * relax)
    q = 0
    for k in range(n_factors):
        for j in range(k + 1):
            for t in range(n_periods):
                w.pair[q, t] = s.factors[k, t] * s.factors[j, t]
            q += 1
    weighted = w.vectors[0, :n_periods]
    a = w.small[0, :n_factors, :n_factors]
    h = w.small[1, 0, :n_factors]
    for i in range(n_assets):
        u = s.u[i]
        for t in range(n_periods):
            weighted[t] = u[t] * w.e[i, t]
        q = 0
        for k in range(n_factors):
            for j in range(k + 1):
                a[k, j] = dot(u, w.pair[q])
                q += 1
            a[k, k] += s.loadings_mix[k, i]
            h[k] = dot(weighted, s.factors[k]) - s.loadings_mix[k, i] * s.loadings[k, i]
        eliminate(a, h, 0, n_factors)
        for k in range(n_factors):
            h[k] = (1.0 + relax) * h[k] + spread * rng.standard_normal()
        solve_transposed(a, h)
        for k in range(n_factors):
            s.loadings[k, i] += h[k]
            add_scaled(w.e[i], -h[k], s.factors[k])
        for t in range(n_periods):
            w.e[i, t] *= d.seen[i, t]
    draw_loadings_mix(rng, d, s)


@kernel
def draw_loadings_mix(rng: np.random.Generator, d: Data, s: State) -> None:
    """Draw the mixing variables of Student-t loadings."""
    if d.loadings_dof == 0.0:
        return
    for k in range(s.loadings.shape[0]):
        gamma_fill(rng, s.loadings_mix[k], 0.5 * (d.loadings_dof + 1.0))
        for i in range(s.loadings.shape[1]):
            s.loadings_mix[k, i] /= 0.5 * (d.loadings_dof + s.loadings[k, i] ** 2)


@kernel
def draw_factor_path(rng: np.random.Generator, d: Data, s: State, w: Work, relax: float) -> None:
    """Draw the whole factor path (eq. 3a, stationary start) by block Cholesky, forward and back.

    Residuals must be current; they are not brought up to date.
    """
    n_factors, n_periods = s.factors.shape
    rho = s.scalars[RHO]
    spread = math.sqrt(1.0 - relax * relax)
    fill_zero(w.pair)
    fill_zero(w.path_rhs)
    weighted = w.vectors[0, :n_periods]
    for i in range(s.u.shape[0]):
        u = s.u[i]
        for t in range(n_periods):
            weighted[t] = u[t] * w.e[i, t]
        q = 0
        for k in range(n_factors):
            add_scaled(w.path_rhs[k], s.loadings[k, i], weighted)
            for j in range(k + 1):
                add_scaled(w.pair[q], s.loadings[k, i] * s.loadings[j, i], u)
                q += 1

    inverse = w.small[0]
    off = w.small[1, 0]  # minus the coupling of two consecutive periods, rho / scale^2
    vector = w.small[1, 1, :n_factors]
    ahead = w.small[1, 2]
    for k in range(n_factors):
        off[k] = rho / s.factor_scale[k] ** 2
        ahead[k] = 0.0
    for t in range(n_periods):
        a = w.path_chol[t]
        inner = 1.0 + rho * rho if 0 < t < n_periods - 1 else 1.0
        q = 0
        for k in range(n_factors):
            for j in range(k + 1):
                a[k, j] = w.pair[q, t]
                q += 1
            own = inner / s.factor_scale[k] ** 2
            a[k, k] += own
            # gradient of the log density at the current path
            vector[k] = w.path_rhs[k, t] - own * s.factors[k, t]
            if t > 0:
                vector[k] += off[k] * s.factors[k, t - 1]
            if t < n_periods - 1:
                vector[k] += off[k] * s.factors[k, t + 1]
        if t > 0 and rho != 0.0:
            # inverse holds L^-1 of the period before: S^-1 = L^-T L^-1
            for k in range(n_factors):
                total = 0.0
                for r in range(k, n_factors):
                    total += inverse[r, k] * w.path_rhs[r, t - 1]
                vector[k] += off[k] * total
                for j in range(k + 1):
                    total = 0.0
                    for r in range(k, n_factors):
                        total += inverse[r, k] * inverse[r, j]
                    a[k, j] -= off[k] * off[j] * total
        eliminate(a, vector, 0, n_factors)
        for k in range(n_factors):
            w.path_rhs[k, t] = vector[k]
        if rho != 0.0:
            for c in range(n_factors):
                inverse[c, c] = 1.0 / a[c, c]
                for r in range(c + 1, n_factors):
                    total = 0.0
                    for q in range(c, r):
                        total += a[r, q] * inverse[q, c]
                    inverse[r, c] = -total / a[r, r]
    for t in range(n_periods - 1, -1, -1):
        a = w.path_chol[t]
        for k in range(n_factors):  # L^-1 of the coupling with the period ahead
            total = off[k] * ahead[k]
            for r in range(k):
                total -= a[k, r] * vector[r]
            vector[k] = total / a[k, k]
        for k in range(n_factors):
            vector[k] += (1.0 + relax) * w.path_rhs[k, t] + spread * rng.standard_normal()
        solve_transposed(a, vector)
        for k in range(n_factors):
            ahead[k] = vector[k]
            s.factors[k, t] += vector[k]


@kernel
def innovation_products(s: State, w: Work) -> None:
    """Innovations of the factors, and their products over periods (``w.small[0]``)."""
    n_factors, n_periods = s.factors.shape
    rho = s.scalars[RHO]
    for k in range(n_factors):
        w.innovations[k, 0] = math.sqrt(1.0 - rho * rho) * s.factors[k, 0]
        for t in range(1, n_periods):
            w.innovations[k, t] = s.factors[k, t] - rho * s.factors[k, t - 1]
    for k in range(n_factors):
        for j in range(k + 1):
            w.small[0, k, j] = dot(w.innovations[k], w.innovations[j])
            w.small[0, j, k] = w.small[0, k, j]


@kernel
def move_along_orbits(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Redraw how factors, loadings and intercepts share, with their products unchanged.

    Shears lambda_k += a lambda_j, w_j -= a w_k; scales lambda_k *= c, w_k /= c with the factor scale
    kept or moved along; shifts lambda_k += c, alpha -= c w_k. Each is drawn from its exact conditional.
    """
    n_factors, n_periods = s.factors.shape
    n_assets = s.loadings.shape[1]
    rho = s.scalars[RHO]
    b_prior = 0.5 / d.factor_scale_sd**2
    innovation_products(s, w)
    e = w.small[0]
    for k in range(n_factors):
        for j in range(n_factors):
            if j == k:
                continue
            precision = e[j, j] / s.factor_scale[k] ** 2
            linear = -e[k, j] / s.factor_scale[k] ** 2
            for i in range(n_assets):
                c = s.loadings_mix[j, i] * s.loadings[k, i]
                precision += c * s.loadings[k, i]
                linear += c * s.loadings[j, i]
            a = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
            for t in range(n_periods):
                s.factors[k, t] += a * s.factors[j, t]
            for i in range(n_assets):
                s.loadings[j, i] -= a * s.loadings[k, i]
            e[k, k] += a * (2.0 * e[k, j] + a * e[j, j])
            for r in range(n_factors):
                if r != k:
                    e[k, r] += a * e[j, r]
                    e[r, k] = e[k, r]
    for k in range(n_factors):
        squares = 0.0
        for i in range(n_assets):
            squares += s.loadings_mix[k, i] * s.loadings[k, i] ** 2
        scale = s.factor_scale[k]
        energy = e[k, k]
        # factor against loadings, factor scale kept
        a = scale_draw(rng, 0.0, float(n_periods - n_assets), 0.5 * energy / scale**2, 0.5 * squares)
        factor = math.exp(a)
        energy *= factor * factor
        squares /= factor * factor
        # factor scale given the factor
        scale = math.exp(scale_draw(rng, math.log(scale), 1.0 - n_periods, b_prior, 0.5 * energy))
        # factor and its scale against loadings
        a = scale_draw(rng, 0.0, 1.0 - n_assets, b_prior * scale**2, 0.5 * squares)
        factor *= math.exp(a)
        s.factor_scale[k] = scale * math.exp(a)
        for t in range(n_periods):
            s.factors[k, t] *= factor
        for i in range(n_assets):
            s.loadings[k, i] /= factor
    if d.mean_intercept >= 0:
        m = d.mean_intercept
        first = 1.0 - rho * rho
        later = (1.0 - rho) ** 2
        for k in range(n_factors):
            # innovations of a constant path of ones: sqrt(1 - rho^2), then 1 - rho
            precision = first + (n_periods - 1) * later
            linear = -first * s.factors[k, 0]
            for t in range(1, n_periods):
                linear -= (1.0 - rho) * (s.factors[k, t] - rho * s.factors[k, t - 1])
            precision /= s.factor_scale[k] ** 2
            linear /= s.factor_scale[k] ** 2
            for i in range(n_assets):
                group = d.mean_group[m, i]
                c = s.loadings[k, i] * s.mean_mix[m, i] / s.mean_sigma[m, group] ** 2
                precision += c * s.loadings[k, i]
                linear += c * (s.mean_b[m, i] - s.mean_mu[m, group])
            a = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
            for t in range(n_periods):
                s.factors[k, t] += a
            for i in range(n_assets):
                s.mean_b[m, i] -= a * s.loadings[k, i]


@kernel
def draw_rho(rng: np.random.Generator, d: Data, s: State, w: Work) -> None:
    """Draw rho given the factors: normal but for the stationary start, hence one Metropolis step."""
    if d.rho_sd == 0.0:
        return
    n_factors, n_periods = s.factors.shape
    precision = 1.0 / d.rho_sd**2
    linear = 0.0
    for k in range(n_factors):
        # (1 - rho^2) lambda_1^2 of the start takes the first square out of the sum of past squares
        squares = 0.0
        products = 0.0
        for t in range(1, n_periods):
            products += s.factors[k, t] * s.factors[k, t - 1]
        for t in range(1, n_periods - 1):
            squares += s.factors[k, t] ** 2
        precision += squares / s.factor_scale[k] ** 2
        linear += products / s.factor_scale[k] ** 2
    new = (linear + math.sqrt(precision) * rng.standard_normal()) / precision
    now = s.scalars[RHO]
    w.accepted[RHO_MOVE, 1] += 1.0
    if abs(new) < 1.0:
        ratio = 0.5 * n_factors * (math.log1p(-new * new) - math.log1p(-now * now))
        if math.log(1.0 - rng.random()) < ratio:
            s.scalars[RHO] = new
            w.accepted[RHO_MOVE, 0] += 1.0


@kernel
def residuals(d: Data, s: State, w: Work) -> None:
    """Residuals of all returns (``Work.e``), 0 where missing."""
    n_factors, n_periods = s.factors.shape
    for i in range(s.u.shape[0]):
        e = w.e[i]
        for t in range(n_periods):
            e[t] = d.y[i, t]
        for k in range(n_factors):
            for t in range(n_periods):
                e[t] -= s.loadings[k, i] * s.factors[k, t]
        for m in range(s.mean_b.shape[0]):
            for t in range(n_periods):
                e[t] -= s.mean_b[m, i] * d.mean_x[m, i, t]
        for t in range(n_periods):
            e[t] *= d.seen[i, t]
