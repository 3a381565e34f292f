"""Paths of the log noise scale of single assets (eq. D4), their parameters and hierarchies (eq. D5)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Effects, Floats, Ints
from bdfm.gibbs.level import effect_of, level_change, lowest_shift
from bdfm.gibbs.random import exp_in_place, log_in_place, normal, uniform
from bdfm.gibbs.scratch import LANES, Scratch, VolatilityPathScratch
from bdfm.gibbs.slice import draw_log_scale, slice_above, slice_update
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.log_squares import LOWEST, draw_parts, weigh_path
from bdfm.gibbs.updates.noise import STUDENT_T
from bdfm.gibbs.updates.path_marginal import draw_coefficients, draw_paths
from bdfm.gibbs.updates.prior import prior_value
from bdfm.gibbs.updates.student import log_sum

SLICES: Final = 2  # of persistence and shocks for each path, which cost little beside it
_WIDTH_PHI: Final = 1.0  # first interval of the slice of logit phi
_WIDTH_SD: Final = 0.5  # and of a log sd
_LEAST_WIDTH: Final = 1e-9  # of that of a level: one of 0 would step out for ever


@kernel
def sigmoid(x: float) -> float:
    """Inverse of the logit."""
    return 1.0 / (1.0 + math.exp(-x))


@kernel
def set_log_scale(effects: Effects, i: int, b: Floats, log_scale: Floats) -> None:
    """Log noise scale of asset i by period without its path, from the coefficients ``b`` (J, N)."""
    for t in range(log_scale.shape[0]):
        log_scale[t] = 0.0
    for j in range(b.shape[0]):
        c = effect_of(effects, j, b[j, i])
        for t in range(log_scale.shape[0]):
            log_scale[t] += c * effects.x[j, i, t]


@kernel
def eliminate_band(own: VolatilityPathScratch, n: int) -> None:
    """Eliminate n states with a tridiagonal precision, from the first on.

    ``diagonal`` holds its diagonal, ``coupling`` (t) minus its entry of t and t + 1, ``linear`` precision
    times mean; the first and the last are overwritten.
    """
    d, c, h = own.diagonal, own.coupling, own.linear
    for t in range(1, n):
        share = c[t - 1] / d[t - 1]
        d[t] -= share * c[t - 1]
        h[t] += share * h[t - 1]


@kernel
def solve_band(own: VolatilityPathScratch, n: int) -> None:
    """Mean of n normal states with a tridiagonal precision, into ``proposal``; see ``eliminate_band``."""
    eliminate_band(own, n)
    d, c, h, x = own.diagonal, own.coupling, own.linear, own.proposal
    x[n - 1] = h[n - 1] / d[n - 1]
    for t in range(n - 2, -1, -1):
        x[t] = (h[t] + c[t] * x[t + 1]) / d[t]


@kernel
def draw_band(rng: np.random.Generator, own: VolatilityPathScratch, n: int) -> None:
    """Draw n normal states with a tridiagonal precision, into ``proposal``; see ``eliminate_band``."""
    eliminate_band(own, n)
    d, c, h, x = own.diagonal, own.coupling, own.linear, own.proposal
    for t in range(n):
        x[t] = math.sqrt(d[t]) * normal(rng)
    x[n - 1] = (h[n - 1] + x[n - 1]) / d[n - 1]
    for t in range(n - 2, -1, -1):
        x[t] = (h[t] + x[t] + c[t] * x[t + 1]) / d[t]


@kernel
def extend_path(rng: np.random.Generator, path: Floats, first: int, stop: int, phi: float, sd: float) -> None:
    """Draw the states before the first and after the last return given those between."""
    for t in range(first - 1, -1, -1):
        path[t] = phi * path[t + 1] + sd * normal(rng)
    for t in range(stop, path.shape[0]):
        path[t] = phi * path[t - 1] + sd * normal(rng)


@kernel
def set_squares(i: int, data: Data, state: State, scratch: Scratch, ratio: Floats, y: Floats) -> None:
    """Fill ``ratio`` with e^2 / sigma^2 of asset i from its first return on, and ``y`` with their logs.

    sigma is the noise scale without the path, which comes into ``log_scale``.
    """
    own, bits, n = scratch.volatility_path, scratch.volatility_path.bits, ratio.shape[0]
    first = data.asset_volatility.first[i]
    e = scratch.residuals[i, first : first + n]
    set_log_scale(data.volatility, i, state.volatility.b, own.log_scale)
    for t in range(n):
        y[t] = -2.0 * own.log_scale[first + t]
    exp_in_place(y, bits)
    for t in range(n):
        ratio[t] = e[t] * e[t] * y[t]
        y[t] = max(ratio[t], math.exp(LOWEST))
    log_in_place(y, bits)


@kernel
def dof_of(i: int, data: Data, state: State) -> float:
    """Degrees of freedom of an asset's noise; 1, which is not read, where it is normal."""
    if data.noise.family == STUDENT_T:
        nu: float = state.noise.nu[i]
        return nu
    return 1.0


@kernel
def open_lane(
    rng: np.random.Generator,
    data: Data,
    state: State,
    scratch: Scratch,
    i: int,
    information: Floats,
    pull: Floats,
) -> None:
    """Draw the parts of the mixture of asset i; what they say of each state: precision, times mean.

    ``path_group.log_ratio[i]`` begins with less the log of exact likelihood over that by the mixture.
    """
    own, lane = scratch.path_group, scratch.volatility_path
    first, stop = data.asset_volatility.first[i], data.asset_volatility.stop[i]
    n = stop - first
    seen, ratio, y = data.returns.seen[i, first:stop], own.ratio[i, :n], own.target[i, :n]
    set_squares(i, data, state, scratch, ratio, y)
    own.log_ratio[i] = -weigh_path(
        state.asset_volatility.path[i, first:stop],
        y,
        ratio,
        data.noise.family,
        dof_of(i, data, state),
        seen,
        lane,
    )
    for t in range(information.shape[0]):
        information[t] = 0.0
        pull[t] = 0.0
    draw_parts(
        rng, y, lane.parts, lane.weights, lane.total[:n], seen, information[first:stop], pull[first:stop]
    )


@kernel
def close_lane(data: Data, state: State, scratch: Scratch, i: int, path: Floats) -> None:
    """Add the exact likelihood of a proposed ``path`` (T) of asset i, over that by the mixture."""
    own, lane = scratch.path_group, scratch.volatility_path
    first, stop = data.asset_volatility.first[i], data.asset_volatility.stop[i]
    n = stop - first
    new = lane.proposal[:n]
    for t in range(n):
        new[t] = path[first + t]
    own.log_ratio[i] += weigh_path(
        new, own.target[i, :n], own.ratio[i, :n], data.noise.family, dof_of(i, data, state),
        data.returns.seen[i, first:stop], lane,
    )  # fmt: skip


@kernel
def take_path(data: Data, state: State, scratch: Scratch, i: int, path: Floats) -> None:
    """Make ``path`` (T) that of asset i, and bring its noise precision up to date."""
    for t in range(path.shape[0]):
        state.asset_volatility.path[i, t] = path[t]
    set_log_scale(data.volatility, i, state.volatility.b, scratch.volatility_path.log_scale)
    set_asset_precision(i, state, scratch)


@kernel
def set_asset_precision(i: int, state: State, scratch: Scratch) -> None:
    """Bring the noise precision of asset i up to date; ``log_scale`` must be that of the asset."""
    precision, log_scale = scratch.noise.precision[i], scratch.volatility_path.log_scale
    for t in range(precision.shape[0]):
        precision[t] = -2.0 * (log_scale[t] + state.asset_volatility.path[i, t])
    exp_in_place(precision, scratch.volatility_path.bits)


@update
def draw_asset_paths(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S31: path v of the log noise scale of each asset, its persistence and shocks, in one step.

    log(e^2 / sigma^2) is 2 v + log z^2, z normal or Student-t; parts of the mixture near the law of log z^2
    are drawn given v. Given them, logit phi and log sd are moved along directions with v integrated out, and
    v is drawn, one normal vector. That step leaves the posterior by the mixture as it is and is reversible
    under it; so all three are accepted with the ratio of exact likelihood over mixture, there and here.
    Mixing variables of Student-t noise are integrated out. Assets are taken in blocks of ``LANES``.

    In every other sweep, where eq. S44 does the same with the hierarchies in those between. Reads residuals,
    coefficients of the log-volatility, nu and hierarchies; changes paths and parameters and keeps
    ``noise.precision`` current. ``noise.loglik`` and ``gradient`` are out of date afterwards, and so is
    u, until mixing variables are drawn.
    """
    own, lanes, paths, prior = (
        scratch.path_group,
        scratch.lanes,
        state.asset_volatility,
        data.asset_volatility,
    )
    others_turn = (scratch.tuning.sweeps[0] & 1) == 0
    information, pull, new = own.information[0], own.pull[0], own.path[0]
    i = 0
    while i < paths.path.shape[0]:
        width = 0
        while i < paths.path.shape[0] and width < LANES:
            group = prior.group[i]
            if not (others_turn and prior.together[group]):
                open_lane(rng, data, state, scratch, i, information[:, width], pull[:, width])
                lanes.member[width] = i
                lanes.now[0, width], lanes.now[1, width] = paths.logit_phi[i], paths.log_sd[i]
                for row in range(2):
                    lanes.mu[row, width], lanes.sigma[row, width] = (
                        paths.mu[row, group],
                        paths.sigma[row, group],
                    )
                width += 1
            i += 1
        if width == 0:
            continue
        for _ in range(SLICES):
            draw_coefficients(rng, lanes, width, information, pull)
        draw_paths(rng, lanes, width, information, pull, new)
        for j in range(width):
            asset = lanes.member[j]
            close_lane(data, state, scratch, asset, new[:, j])
            scratch.moves.asset_path[1] += 1.0
            if math.log(1.0 - uniform(rng)) < own.log_ratio[asset]:
                scratch.moves.asset_path[0] += 1.0
                paths.logit_phi[asset], paths.log_sd[asset] = lanes.now[0, j], lanes.now[1, j]
                take_path(data, state, scratch, asset, new[:, j])


@kernel
def path_scale_density(
    log_c: float,
    args: tuple[float, float, float, bool, float, Floats, Floats, Floats, Ints, Floats, Floats, Floats, Ints],
) -> float:
    """Log density of log c when a path and the sd of its shocks are multiplied by c.

    ``ratio`` holds the squared residuals over the noise scale without the path.
    """
    log_sd, mu, sigma, student, nu, path, ratio, seen, bounds, run_weight, squares, logs, bits = args
    c = math.exp(log_c)
    value = prior_value(log_sd + log_c, mu, sigma, False, 1.0)
    for t in range(path.shape[0]):
        squares[t] = -2.0 * c * path[t]
    exp_in_place(squares, bits)
    total = 0.0
    for t in range(path.shape[0]):
        squares[t] *= ratio[t]
        total += seen[t] * path[t]
    value -= c * total
    if student:
        value -= 0.5 * (nu + 1.0) * log_sum(bounds, run_weight, seen, squares, 1.0 / nu, logs, bits)
    else:
        for t in range(path.shape[0]):
            value -= 0.5 * squares[t]
    return value


@update
def rescale_asset_paths(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S32: slice update of the log sd of each path's shocks, the path moved along (non-centred form).

    Mixing variables are integrated out. Reads residuals, nu, hierarchies and ``noise.precision``, which must
    be current and is kept so; changes log sds and paths.
    """
    own, paths, prior = scratch.volatility_path, state.asset_volatility, data.asset_volatility
    returns = data.returns
    for i in range(paths.path.shape[0]):
        path, e, precision = paths.path[i], scratch.residuals[i], scratch.noise.precision[i]
        for t in range(path.shape[0]):
            own.total[t] = 2.0 * path[t]
        exp_in_place(own.total, own.bits)
        for t in range(path.shape[0]):
            own.ratio[t] = e[t] * e[t] * precision[t] * own.total[t] * returns.seen[i, t]
        group = prior.group[i]
        args = (
            paths.log_sd[i],
            paths.mu[1, group],
            paths.sigma[1, group],
            data.noise.family == STUDENT_T,
            state.noise.nu[i],
            path,
            own.ratio,
            returns.seen[i],
            returns.run_bounds,
            returns.run_weight,
            own.target,
            own.logs,
            own.bits,
        )
        log_c = slice_update(rng, path_scale_density, args, 0.0, _WIDTH_SD)
        c = math.exp(log_c)
        paths.log_sd[i] += log_c
        for t in range(path.shape[0]):
            own.total[t] = -2.0 * (c - 1.0) * path[t]
            path[t] *= c
        exp_in_place(own.total, own.bits)
        for t in range(path.shape[0]):
            precision[t] *= own.total[t]


@kernel
def path_products(path: Floats, first: int, stop: int) -> tuple[float, float, float, float]:
    """What an autoregression's density needs of a path from ``first`` to before ``stop``.

    Square of the first state; sums over later ones of x_t^2, x_t x_t-1 and x_t-1^2.
    """
    own = 0.0
    cross = 0.0
    before = 0.0
    x = path[first:stop]
    for t in range(1, x.shape[0]):
        own += x[t] * x[t]
        cross += x[t] * x[t - 1]
        before += x[t - 1] * x[t - 1]
    return x[0] * x[0], own, cross, before


@kernel
def autoregression_value(
    logit_phi: float, log_sd: float, n: int, start: float, own: float, cross: float, before: float
) -> float:
    """Log density of n states of a stationary autoregression, up to a constant."""
    phi = sigmoid(logit_phi)
    rest = sigmoid(-logit_phi)
    root = rest * (1.0 + phi)  # 1 - phi^2
    squares = root * start + own - 2.0 * phi * cross + phi * phi * before
    return 0.5 * math.log(root) - n * log_sd - 0.5 * math.exp(-2.0 * log_sd) * squares


@kernel
def logit_phi_density(x: float, args: tuple[float, float, float, int, float, float, float, float]) -> float:
    """Log density of logit phi of one path."""
    log_sd, mu, sigma, n, start, own, cross, before = args
    z = (x - mu) / sigma
    return autoregression_value(x, log_sd, n, start, own, cross, before) - 0.5 * z * z


@kernel
def log_sd_density(x: float, args: tuple[float, float, float, int, float, float, float, float]) -> float:
    """Log density of the log sd of the shocks of one path."""
    logit_phi, mu, sigma, n, start, own, cross, before = args
    z = (x - mu) / sigma
    return autoregression_value(logit_phi, x, n, start, own, cross, before) - 0.5 * z * z


@kernel
def level_density(x: float, args: tuple[float, float, float, float, float, bool, float, float]) -> float:
    """Log density of a shift x of an intercept, the path moved against the level."""
    precision, linear, b, mu, sigma, student, dof, least = args
    up = level_change(b, x, least)
    return prior_value(b + x, mu, sigma, student, dof) + linear * up - 0.5 * precision * up * up


@update
def draw_path_parameters(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S33: level, logit phi and log sd of each path given log noise scales (the centred form).

    The level is the intercept of the log-volatility, where there is one; the path moves against it. States
    before the first and after the last return are integrated out, and drawn anew. Reads the paths and the
    hierarchies; ``noise.precision`` must be current and is kept so.
    """
    paths, prior, volatility, effects = (
        state.asset_volatility,
        data.asset_volatility,
        state.volatility,
        data.volatility,
    )
    own, level = scratch.volatility_path, data.volatility.intercept
    for i in range(paths.path.shape[0]):
        path, group = paths.path[i], prior.group[i]
        first, stop = prior.first[i], prior.stop[i]
        n = stop - first
        if effects.has_intercept:
            phi, precision = sigmoid(paths.logit_phi[i]), math.exp(-2.0 * paths.log_sd[i])
            linear = (1.0 - phi * phi) * path[first]
            for t in range(first + 1, stop):
                linear += (1.0 - phi) * (path[t] - phi * path[t - 1])
            square = precision * (1.0 - phi * phi + (n - 1.0) * (1.0 - phi) ** 2)
            of = effects.group[level, i]
            mu, sigma = volatility.mu[level, of], volatility.sigma[level, of]
            args_level = (
                square,
                precision * linear,
                volatility.b[level, i],
                mu,
                sigma,
                effects.student[level],
                effects.dof[level],
                effects.least,
            )
            width = max(3.0 / math.sqrt(square + 1.0 / sigma**2), _LEAST_WIDTH)
            lowest = lowest_shift(volatility.b[level, i], effects.least)
            shift = slice_above(rng, level_density, args_level, 0.0, width, lowest)
            up = level_change(volatility.b[level, i], shift, effects.least)
            volatility.b[level, i] += shift
            for t in range(first, stop):
                path[t] -= up
        start, squares, cross, before = path_products(path, first, stop)
        args = (
            paths.log_sd[i],
            paths.mu[0, group],
            paths.sigma[0, group],
            n,
            start,
            squares,
            cross,
            before,
        )
        paths.logit_phi[i] = slice_update(rng, logit_phi_density, args, paths.logit_phi[i], _WIDTH_PHI)
        args_sd = (
            paths.logit_phi[i],
            paths.mu[1, group],
            paths.sigma[1, group],
            n,
            start,
            squares,
            cross,
            before,
        )
        paths.log_sd[i] = slice_update(rng, log_sd_density, args_sd, paths.log_sd[i], _WIDTH_SD)
        extend_path(rng, path, first, stop, sigmoid(paths.logit_phi[i]), math.exp(paths.log_sd[i]))
        if first == 0 and stop == path.shape[0]:
            continue
        set_log_scale(effects, i, volatility.b, own.log_scale)
        set_asset_precision(i, state, scratch)


@update
def draw_path_hierarchies(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S34: locations and scales of logit phi and of log sd of each group, given these (centred)."""
    paths, prior = state.asset_volatility, data.asset_volatility
    for row in range(2):
        values = paths.logit_phi if row == 0 else paths.log_sd
        mean, sd = prior.loc_mean[row], prior.loc_sd[row]
        for group in range(prior.n_groups):
            n = 0.0
            total = 0.0
            for i in range(values.shape[0]):
                if prior.group[i] == group:
                    n += 1.0
                    total += values[i]
            variance = paths.sigma[row, group] ** 2
            precision = n / variance + 1.0 / sd**2
            linear = total / variance + mean / sd**2
            mu = (linear + math.sqrt(precision) * normal(rng)) / precision
            paths.mu[row, group] = mu
            squares = 0.0
            for i in range(values.shape[0]):
                if prior.group[i] == group:
                    squares += (values[i] - mu) ** 2
            half_normal = 0.5 / prior.scale_sd[row] ** 2
            now = math.log(paths.sigma[row, group])
            paths.sigma[row, group] = math.exp(
                draw_log_scale(rng, now, 1.0 - n, half_normal, 0.5 * squares + 1e-300)
            )
