"""Volatility path of an asset that the factors explain nearly wholly, residuals integrated out (eq. S43)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.adapt import MIN_LEVERAGE
from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.level import level_change, lowest_shift
from bdfm.gibbs.linear import add_rows, fill_zero
from bdfm.gibbs.random import exp_in_place, log_in_place, normal, uniform
from bdfm.gibbs.scratch import CHUNK, CollapsedScratch, NormalScratch, Scratch, VolatilityPathScratch
from bdfm.gibbs.slice import slice_above
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.asset_volatility import (
    draw_band,
    extend_path,
    set_asset_precision,
    set_log_scale,
    sigmoid,
    solve_band,
)
from bdfm.gibbs.updates.factor_days import set_day_prior
from bdfm.gibbs.updates.factor_path import set_path_information
from bdfm.gibbs.updates.prior import prior_value
from bdfm.gibbs.updates.residual_move import found_direction, set_factor_information

_BLOCK: Final = 100  # states that are drawn together
_STEPS: Final = 4  # of Fisher scoring, towards the mode that a proposal is centred on
_STEEPEST: Final = 8.0  # a residual's square over its variance counts no more than this in these steps
# Noise variance over that of the common return below which nothing moves: what the others know is a
# difference of precisions, whose digits would be gone.
_LEAST: Final = 1e-9
_WIDTH_LEVEL: Final = 0.3  # first interval of the slice of a level
_SHARE: Final = 0.5  # of the assets that it is for: each sweep visits so many, drawn anew


@kernel
def solve_for_asset(
    own: CollapsedScratch, work: NormalScratch, w: Floats, u: Floats, e: Floats, first: int, stop: int
) -> None:
    """What all others know of an asset's common return on the days from ``first`` to ``stop``.

    ``work.pair`` and ``work.gradient`` hold precision and gradient of the factors given all. Sets
    ``variance``, ``gap`` (the others' mean less the present value) and ``direction``, in which factors move
    when it moves by 1.
    """
    n_factors = w.shape[0]
    n = stop - first
    chol, solved, rest = own.chol, own.solved, own.rest
    variance, gap = own.variance[first:stop], own.gap[first:stop]
    weight, pulled = own.weight[:n], own.pulled[:n]
    for t in range(n):
        weight[t] = u[first + t]
        pulled[t] = u[first + t] * e[first + t]
        variance[t] = 0.0
        gap[t] = 0.0
    q = 0
    for k in range(n_factors):
        for j in range(k + 1):
            a, pair, product = chol[q, :n], work.pair[q, first:stop], w[k] * w[j]
            for t in range(n):
                a[t] = pair[t] - product * weight[t]
            q += 1
    for k in range(n_factors):
        z, r, gradient = solved[k, :n], rest[k, :n], work.gradient[k, first:stop]
        row = k * (k + 1) // 2
        for t in range(n):
            z[t] = w[k]
            r[t] = gradient[t] - w[k] * pulled[t]
        for j in range(k):
            a, diagonal = chol[row + j, :n], chol[j * (j + 1) // 2 + j, :n]
            before = j * (j + 1) // 2
            for m in range(j):
                b, c = chol[row + m, :n], chol[before + m, :n]
                for t in range(n):
                    a[t] -= b[t] * c[t]
            y, s = solved[j, :n], rest[j, :n]
            for t in range(n):
                a[t] *= diagonal[t]
                z[t] -= a[t] * y[t]
                r[t] -= a[t] * s[t]
        d = chol[row + k, :n]
        for j in range(k):
            a = chol[row + j, :n]
            for t in range(n):
                d[t] -= a[t] * a[t]
        for t in range(n):
            d[t] = 1.0 / math.sqrt(d[t])  # of its inverse
            z[t] *= d[t]
            r[t] *= d[t]
            variance[t] += z[t] * z[t]
            gap[t] += z[t] * r[t]
    for k in range(n_factors - 1, -1, -1):
        z = solved[k, :n]
        row = k * (k + 1) // 2
        d, direction = chol[row + k, :n], own.direction[k, first:stop]
        for t in range(n):
            z[t] *= d[t]
            direction[t] = z[t] / variance[t]
        for j in range(k):
            y, a = solved[j, :n], chol[row + j, :n]
            for t in range(n):
                y[t] -= a[t] * z[t]


@kernel
def collapsed_value(
    own: CollapsedScratch, path: Floats, x: float, first: int, stop: int, seen: Floats
) -> float:
    """Log likelihood of the states ``path`` + x from ``first`` to ``stop``, residuals integrated out.

    Minus infinity where the noise of a day is too small for digits (``_LEAST``), or not a number.
    """
    total, bits = own.values[: stop - first], own.bits
    for t in range(first, stop):
        total[t - first] = own.log_variance[t] + 2.0 * (path[t] + x)
    exp_in_place(total, bits)
    value = 0.0
    known = True
    for t in range(first, stop):
        known = known and (seen[t] == 0.0 or total[t - first] >= _LEAST * own.variance[t])
        total[t - first] += own.variance[t]
        square = own.centre[t] * own.centre[t]
        value -= 0.5 * seen[t] * square / total[t - first]
    if not known:
        return -math.inf
    log_in_place(total, bits)
    for t in range(first, stop):
        value -= 0.5 * seen[t] * total[t - first]
    return value


@kernel
def collapsed_level_density(
    x: float,
    args: tuple[CollapsedScratch, Floats, Floats, float, float, float, bool, float, float],
) -> float:
    """Log density of a shift x of the intercept of an asset's noise, its residuals integrated out."""
    own, path, seen, b, mu, sigma, student, dof, least = args
    value = collapsed_value(own, path, level_change(b, x, least), 0, path.shape[0], seen)
    return value + prior_value(b + x, mu, sigma, student, dof)


@kernel
def set_block(
    own: CollapsedScratch,
    band: VolatilityPathScratch,
    path: Floats,
    at: Floats,
    first: int,
    stop: int,
    phi: float,
    sd: float,
    seen: Floats,
) -> None:
    """Fill ``band`` with the normal vector near the states from ``first`` to before ``stop``, given the rest.

    The likelihood of each state is taken as normal with the expected information at ``at``, whose mean is a
    step of Fisher scoring away; ``own.curvature`` and ``own.pull`` hold its precision and that times mean.
    """
    precision = 1.0 / (sd * sd)
    n = path.shape[0]
    for t in range(first, stop):
        noise = math.exp(own.log_variance[t] + 2.0 * at[t])
        total = noise + own.variance[t]
        share = noise / total
        square = min(own.centre[t] * own.centre[t] / total, _STEEPEST)
        own.curvature[t] = 2.0 * seen[t] * share * share
        own.pull[t] = own.curvature[t] * at[t] + seen[t] * share * (square - 1.0)
        end = t == 0 or t == n - 1
        r = t - first
        band.diagonal[r] = own.curvature[t] + precision * (1.0 if end else 1.0 + phi * phi)
        band.linear[r] = own.pull[t]
        band.coupling[r] = precision * phi
    if n == 1:
        band.diagonal[0] -= precision * phi * phi
    if first > 0:
        band.linear[0] += precision * phi * path[first - 1]
    if stop < n:
        band.linear[stop - first - 1] += precision * phi * path[stop]


@kernel
def over_normal(own: CollapsedScratch, path: Floats, first: int, stop: int, seen: Floats) -> float:
    """Log of target over proposal at a path, from ``first`` to before ``stop``; priors cancel."""
    value = collapsed_value(own, path, 0.0, first, stop, seen)
    for t in range(first, stop):
        value += path[t] * (0.5 * own.curvature[t] * path[t] - own.pull[t])
    return value


@kernel
def draw_states(
    rng: np.random.Generator,
    own: CollapsedScratch,
    band: VolatilityPathScratch,
    path: Floats,
    phi: float,
    sd: float,
    seen: Floats,
    moves: Floats,
) -> None:
    """Draw the states of a path in blocks, each by an independence step of Metropolis and Hastings.

    What is proposed depends on the states outside of the block alone: a normal vector around the end of a
    fixed number of steps of Fisher scoring from their own prediction.
    """
    n = path.shape[0]
    new, at = own.proposal[:n], own.mode[:n]
    for t in range(n):
        new[t] = path[t]
    first = 0
    stop = int(uniform(rng) * min(_BLOCK, n)) + 1
    while first < n:
        for t in range(first, stop):  # interpolated: where the scoring begins
            at[t] = 0.0
        if first > 0 or stop < n:
            left = path[first - 1] if first > 0 else path[stop]
            right = path[stop] if stop < n else path[first - 1]
            for t in range(first, stop):
                at[t] = left + (right - left) * (t - first + 1.0) / (stop - first + 1.0)
        for _ in range(_STEPS):
            set_block(own, band, path, at, first, stop, phi, sd, seen)
            solve_band(band, stop - first)
            for t in range(first, stop):
                at[t] = band.proposal[t - first]
        set_block(own, band, path, at, first, stop, phi, sd, seen)
        draw_band(rng, band, stop - first)
        for t in range(first, stop):
            new[t] = band.proposal[t - first]
        log_ratio = over_normal(own, new, first, stop, seen) - over_normal(own, path, first, stop, seen)
        moves[1] += 1.0
        accepted = math.log(1.0 - uniform(rng)) < log_ratio
        if accepted:
            moves[0] += 1.0
        for t in range(first, stop):
            if accepted:
                path[t] = new[t]
            else:
                new[t] = path[t]
        first = stop
        stop = min(first + _BLOCK, n)


@kernel
def draw_residuals(
    rng: np.random.Generator,
    own: CollapsedScratch,
    work: NormalScratch,
    w: Floats,
    path: Floats,
    seen: Floats,
    u: Floats,
    e: Floats,
    start: int,
) -> None:
    """Draw the residuals of an asset given its path, and move factors, u and what all know along.

    ``path`` begins in period ``start``; ``e`` holds the residuals before.
    """
    n_factors, n = w.shape[0], path.shape[0]
    shift, pull, change = own.proposal[:n], own.pull[:n], own.curvature[:n]
    old, now = e[start : start + n], u[start : start + n]
    for t in range(n):
        noise = math.exp(own.log_variance[t] + 2.0 * path[t])
        known = own.variance[t]
        share = noise / (noise + known)
        new = share * own.centre[t] + math.sqrt(share * known) * normal(rng)
        shift[t] = seen[t] * (old[t] - new)
        pull[t] = seen[t] * (new / noise - now[t] * old[t]) - shift[t] / known
        change[t] = seen[t] / noise - now[t]
        now[t] = seen[t] / noise
    q = 0
    for k in range(n_factors):
        moved, gradient = work.change[k, start : start + n], work.gradient[k, start : start + n]
        direction = own.direction[k, start : start + n]
        for t in range(n):
            moved[t] += direction[t] * shift[t]
            gradient[t] += w[k] * pull[t]
        for j in range(k + 1):
            pair, product = work.pair[q, start : start + n], w[k] * w[j]
            for t in range(n):
                pair[t] += product * change[t]
            q += 1


@update
def draw_collapsed_paths(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S43: path and level of the noise of single assets, their residuals integrated out.

    Where the factors explain an asset nearly wholly, its residuals follow its noise and its noise follows
    its residuals. Given its mixing variables and all others, the common return of a day is normal, with a
    mean and a variance that the other assets know; so the asset's return is normal too, with the variance of
    both. The path is drawn under that likelihood, then the level, then the residuals; the factors of a day
    move along, in the direction that the others' knowledge leaves.

    For the assets whose leverage, averaged over the adaptation, is above a threshold, and whose noise is not
    below all digits of what the others know; such states are not left, and not entered. A random half of
    them a sweep: it is the dearest update, and others move the same in between. Reads u, loadings,
    volatilities and residuals, which must be current; changes paths, intercepts, factors and u, and keeps
    residuals and ``noise.precision`` current.
    """
    own, work, days, factors, tuning = (
        scratch.collapsed,
        scratch.normal,
        scratch.days,
        state.factors,
        scratch.tuning,
    )
    paths, bounds, volatility, effects = (
        state.asset_volatility,
        data.asset_volatility,
        state.volatility,
        data.volatility,
    )
    loadings, level, move = state.loadings.values[0], effects.intercept, scratch.residual_move
    n_factors, n_assets = loadings.shape
    n_periods = factors.path.shape[1]
    set_path_information(
        state.loadings.values, data.loadings.cut, state.u, scratch.residuals, factors.scale, days.none, work
    )
    set_factor_information(loadings, state.u, factors.scale, move)
    for k in range(n_factors):
        mean, weight = days.mean[k], days.precision[k]
        set_day_prior(state.factor_volatility, k, factors.scale[k], mean, weight)
        diagonal, gradient = work.pair[k * (k + 1) // 2 + k], work.gradient[k]
        total = 0.0
        for t in range(n_periods):
            diagonal[t] += weight[t]
            gradient[t] -= weight[t] * (factors.path[k, t] - mean[t])
            total += weight[t]
        move.information[k, k] += total / n_periods - 1.0 / factors.scale[k] ** 2
    fill_zero(work.change)
    for i in range(n_assets):
        if tuning.adapting[0]:
            found_direction(i, loadings, tuning, move)
        if not tuning.leverage[i] >= MIN_LEVERAGE or uniform(rng) >= _SHARE:
            continue
        first, stop = bounds.first[i], bounds.stop[i]
        path, seen = paths.path[i, first:stop], data.returns.seen[i, first:stop]
        u, e, w = state.u[i], own.residual, own.loading
        for k in range(n_factors):
            w[k] = loadings[k, i]
        for t in range(n_periods):
            e[t] = scratch.residuals[i, t]
        add_rows(e, -1.0, w, work.change, 0, n_periods)
        for t in range(first, stop, CHUNK):
            solve_for_asset(own, work, w, u, e, t, min(t + CHUNK, stop))
        n = stop - first
        for t in range(n):
            r = first + t
            e[r] *= seen[t]
            own.variance[t] = own.variance[r]
            own.centre[t] = e[r] - own.gap[r]
            own.log_variance[t] = -2.0 * path[t] - (math.log(u[r]) if seen[t] > 0.0 else 0.0)
        if not collapsed_value(own, path, 0.0, 0, n, seen) > -math.inf:
            continue
        phi, sd = sigmoid(paths.logit_phi[i]), math.exp(paths.log_sd[i])
        draw_states(rng, own, scratch.volatility_path, path, phi, sd, seen, scratch.moves.collapsed_path)
        if effects.has_intercept:
            of = effects.group[level, i]
            args = (
                own,
                path,
                seen,
                volatility.b[level, i],
                volatility.mu[level, of],
                volatility.sigma[level, of],
                effects.student[level],
                effects.dof[level],
                effects.least,
            )
            lowest = lowest_shift(volatility.b[level, i], effects.least)
            shift = slice_above(rng, collapsed_level_density, args, 0.0, _WIDTH_LEVEL, lowest)
            up = level_change(volatility.b[level, i], shift, effects.least)
            volatility.b[level, i] += shift
            for t in range(n):
                own.log_variance[t] += 2.0 * up
        draw_residuals(rng, own, work, w, path, seen, u, e, first)
        extend_path(rng, paths.path[i], first, stop, phi, sd)
        set_log_scale(effects, i, volatility.b, scratch.volatility_path.log_scale)
        set_asset_precision(i, state, scratch)
    for k in range(n_factors):
        for t in range(n_periods):
            factors.path[k, t] += work.change[k, t]
    for i in range(n_assets):
        e, seen = scratch.residuals[i], data.returns.seen[i]
        for k in range(n_factors):
            own.loading[k] = loadings[k, i]
        add_rows(e, -1.0, own.loading, work.change, 0, n_periods)
        for t in range(n_periods):
            e[t] *= seen[t]
