"""Log volatilities h of single factors, with leverage, and their parameters (eq. D2, D3)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, FactorVolatilityData, Floats
from bdfm.gibbs.random import uniform
from bdfm.gibbs.scratch import PARTS, Scratch, VolatilityPathScratch
from bdfm.gibbs.slice import slice_update, slice_within
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.asset_volatility import draw_band, sigmoid
from bdfm.gibbs.updates.log_squares import LOG_WEIGHT, LOWEST, MEAN, PRECISION, ROOT_A, ROOT_B

_BLOCK: Final = 250  # periods of a path that are drawn together
_WIDTH_PHI: Final = 1.0
_WIDTH_SD: Final = 0.5
_FLOOR: Final = math.exp(LOWEST)


@kernel
def part_transition(part: int, y: float, sign: float, phi: float, push: float) -> tuple[float, float]:
    """Slope and constant of the next state in this one, if log z^2 comes from a part of the mixture.

    ``push`` is the sd of the shocks times leverage, ``y`` the log square, ``sign`` that of z.
    """
    slope = phi - 2.0 * push * sign * ROOT_B[part]
    return slope, push * sign * (ROOT_A[part] + ROOT_B[part] * (y - MEAN[part]))


@kernel
def set_block_weights(
    own: VolatilityPathScratch,
    path: Floats,
    signed: Floats,
    first: int,
    stop: int,
    phi: float,
    push: float,
    precision: float,
) -> float:
    """Weights of the parts of the mixture in a block of a path, their sums, and log product of sums.

    Of each period the mixture's density of its log square, and of the next state given it; up to a constant.
    ``signed`` holds factors over their average scale.
    """
    value = 0.0
    n = path.shape[0]
    for t in range(first, stop):
        sign = 1.0 if signed[t] >= 0.0 else -1.0
        y = own.target[t]
        total = 0.0
        for j in range(PARTS):
            x = y - 2.0 * path[t] - MEAN[j]
            log_weight = LOG_WEIGHT[j] - 0.5 * PRECISION[j] * x * x
            if t + 1 < n:
                slope, constant = part_transition(j, y, sign, phi, push)
                rest = path[t + 1] - slope * path[t] - constant
                log_weight -= 0.5 * precision * rest * rest
            own.weights[j, t] = math.exp(log_weight)
            total += own.weights[j, t]
        own.total[t] = total
        value += math.log(max(total, 1e-300))
    return value


@kernel
def exact_block(
    path: Floats, signed: Floats, first: int, stop: int, phi: float, push: float, precision: float
) -> float:
    """What ``set_block_weights`` is near: log density of factors and next states in a block."""
    value = 0.0
    for t in range(first, stop):
        z = signed[t] * math.exp(-path[t])
        value -= path[t] + 0.5 * z * z
        if t + 1 < path.shape[0]:
            rest = path[t + 1] - phi * path[t] - push * z
            value -= 0.5 * precision * rest * rest
    return value


@kernel
def set_block_band(
    rng: np.random.Generator,
    own: VolatilityPathScratch,
    path: Floats,
    signed: Floats,
    first: int,
    stop: int,
    phi: float,
    sd: float,
    push: float,
    precision: float,
) -> None:
    """Draw a part of the mixture for each period of a block; the precision of its states given these."""
    n = path.shape[0]
    for t in range(first, stop):
        own.diagonal[t - first] = 0.0
        own.linear[t - first] = 0.0
        own.coupling[t - first] = 0.0
    if first == 0:
        own.diagonal[0] = (1.0 - phi * phi) / (sd * sd)
    else:
        own.diagonal[0] = precision
        before = path[first - 1]
        own.linear[0] = precision * (phi * before + push * signed[first - 1] * math.exp(-before))
    for t in range(first, stop):
        level = uniform(rng) * own.total[t]
        part = 0
        while part < PARTS - 1 and level > own.weights[part, t]:
            level -= own.weights[part, t]
            part += 1
        r, y = t - first, own.target[t]
        own.diagonal[r] += 4.0 * PRECISION[part]
        own.linear[r] += 2.0 * PRECISION[part] * (y - MEAN[part])
        if t + 1 == n:
            continue
        sign = 1.0 if signed[t] >= 0.0 else -1.0
        slope, constant = part_transition(part, y, sign, phi, push)
        own.diagonal[r] += precision * slope * slope
        if t + 1 < stop:
            own.linear[r] -= precision * slope * constant
            own.coupling[r] = precision * slope
            own.diagonal[r + 1] += precision
            own.linear[r + 1] += precision * constant
        else:
            own.linear[r] += precision * slope * (path[t + 1] - constant)


@update
def draw_factor_volatilities(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S35: the path h of each factor's log volatility, in blocks, by Metropolis and Hastings.

    As eq. S31 for assets, with leverage: each part of the mixture has a linear form of z in log z^2, so that
    the next state is linear in this one. Blocks begin at another place in each sweep. Reads factors, their
    scales, and the parameters of h; changes h.
    """
    own, volatility, factors = scratch.volatility_path, state.factor_volatility, state.factors
    signed = scratch.days.mean
    n_factors, n_periods = volatility.h.shape
    for k in range(n_factors):
        h, s = volatility.h[k], signed[k]
        phi, sd, leverage = volatility.phi[k], volatility.sigma[k], volatility.leverage[k]
        push, precision = sd * leverage, 1.0 / (sd * sd * (1.0 - leverage * leverage))
        for t in range(n_periods):
            s[t] = factors.path[k, t] / factors.scale[k]
            own.target[t] = math.log(max(s[t] * s[t], _FLOOR))
            own.ratio[t] = h[t]
        first = 0
        stop = int(uniform(rng) * min(_BLOCK, n_periods)) + 1
        while first < n_periods:
            log_ratio = set_block_weights(own, h, s, first, stop, phi, push, precision)
            log_ratio -= exact_block(h, s, first, stop, phi, push, precision)
            set_block_band(rng, own, h, s, first, stop, phi, sd, push, precision)
            draw_band(rng, own, stop - first)
            new = own.ratio
            for t in range(first, stop):
                new[t] = own.proposal[t - first]
            log_ratio += exact_block(new, s, first, stop, phi, push, precision)
            log_ratio -= set_block_weights(own, new, s, first, stop, phi, push, precision)
            scratch.moves.factor_path[1] += 1.0
            if math.log(1.0 - uniform(rng)) < log_ratio:
                scratch.moves.factor_path[0] += 1.0
                for t in range(first, stop):
                    h[t] = new[t]
            for t in range(first, stop):
                new[t] = h[t]
            first = stop
            stop = min(first + _BLOCK, n_periods)


@kernel
def transition_sums(h: Floats, signed: Floats) -> tuple[float, float, float, float, float, float]:
    """Sums over transitions of products of the next h (x), h (y) and z: xx, xy, yy, xz, yz, zz."""
    xx, xy, yy, xz, yz, zz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for t in range(h.shape[0] - 1):
        x, y = h[t + 1], h[t]
        z = signed[t] * math.exp(-y)
        xx += x * x
        xy += x * y
        yy += y * y
        xz += x * z
        yz += y * z
        zz += z * z
    return xx, xy, yy, xz, yz, zz


@kernel
def transition_value(
    logit_phi: float,
    log_sd: float,
    leverage: float,
    n: int,
    start: float,
    sums: tuple[float, float, float, float, float, float],
) -> float:
    """Log density of a path h of n states given factors; ``start`` is the first state's square."""
    phi, sd = sigmoid(logit_phi), math.exp(log_sd)
    xx, xy, yy, xz, yz, zz = sums
    push, rest = sd * leverage, 1.0 - leverage * leverage
    root = sigmoid(-logit_phi) * (1.0 + phi)
    squares = xx - 2.0 * phi * xy + phi * phi * yy - 2.0 * push * (xz - phi * yz) + push * push * zz
    value = 0.5 * math.log(root) - n * log_sd - 0.5 * (n - 1.0) * math.log(rest)
    return value - 0.5 * (root * start + squares / rest) / (sd * sd)


@kernel
def factor_phi_density(
    x: float,
    args: tuple[
        float, float, int, float, tuple[float, float, float, float, float, float], FactorVolatilityData
    ],
) -> float:
    """Log density of logit phi of a factor given h."""
    log_sd, leverage, n, start, sums, prior = args
    z = (x - prior.logit_phi_mean) / prior.logit_phi_sd
    return transition_value(x, log_sd, leverage, n, start, sums) - 0.5 * z * z


@kernel
def factor_sd_density(
    x: float,
    args: tuple[
        float, float, int, float, tuple[float, float, float, float, float, float], FactorVolatilityData
    ],
) -> float:
    """Log density of the log sd of the shocks to a factor's h, given h."""
    logit_phi, leverage, n, start, sums, prior = args
    z = (x - prior.log_sd_mean) / prior.log_sd_sd
    return transition_value(logit_phi, x, leverage, n, start, sums) - 0.5 * z * z


@kernel
def leverage_density(
    x: float,
    args: tuple[
        float, float, int, float, tuple[float, float, float, float, float, float], FactorVolatilityData
    ],
) -> float:
    """Log density of the leverage of a factor given h."""
    logit_phi, log_sd, n, start, sums, prior = args
    if not -1.0 < x < 1.0:
        return -math.inf
    z = x / prior.leverage_sd
    return transition_value(logit_phi, log_sd, x, n, start, sums) - 0.5 * z * z


@update
def draw_factor_volatility_parameters(
    rng: np.random.Generator, data: Data, state: State, scratch: Scratch
) -> None:
    """Eq. S36: persistence, shocks' sd and leverage of each factor's log volatility given its path (centred).

    Slice updates that see sums over periods only. Reads factors, scales and h.
    """
    volatility, factors, prior = state.factor_volatility, state.factors, data.factor_volatility
    signed = scratch.days.mean
    n_factors, n = volatility.h.shape
    for k in range(n_factors):
        h, s = volatility.h[k], signed[k]
        for t in range(n):
            s[t] = factors.path[k, t] / factors.scale[k]
        sums, start = transition_sums(h, s), h[0] * h[0]
        phi = volatility.phi[k]
        logit_phi, log_sd, leverage = (
            math.log(phi / (1.0 - phi)),
            math.log(volatility.sigma[k]),
            volatility.leverage[k],
        )
        args_phi = (log_sd, leverage, n, start, sums, prior)
        logit_phi = slice_update(rng, factor_phi_density, args_phi, logit_phi, _WIDTH_PHI)
        args_sd = (logit_phi, leverage, n, start, sums, prior)
        log_sd = slice_update(rng, factor_sd_density, args_sd, log_sd, _WIDTH_SD)
        args_leverage = (logit_phi, log_sd, n, start, sums, prior)
        leverage = slice_within(rng, leverage_density, args_leverage, leverage, -1.0, 1.0)
        volatility.phi[k] = sigmoid(logit_phi)
        volatility.sigma[k] = math.exp(log_sd)
        volatility.leverage[k] = leverage


@kernel
def factor_path_scale_density(
    log_c: float, args: tuple[Floats, Floats, float, float, float, FactorVolatilityData]
) -> float:
    """Log density of log c when h and the sd of its shocks are multiplied by c, the factors fixed."""
    h, signed, phi, sd, leverage, prior = args
    c = math.exp(log_c)
    z0 = (math.log(sd) + log_c - prior.log_sd_mean) / prior.log_sd_sd
    value = -0.5 * z0 * z0
    rest = 1.0 / (1.0 - leverage * leverage)
    for t in range(h.shape[0]):
        z = signed[t] * math.exp(-c * h[t])
        value -= c * h[t] + 0.5 * z * z
        if t + 1 < h.shape[0]:
            u = (h[t + 1] - phi * h[t]) / sd - leverage * z
            value -= 0.5 * rest * u * u
    return value


@update
def rescale_factor_volatilities(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S37: slice update of the sd of each factor's shocks to h, h moved along (non-centred form).

    Reads factors, scales, persistence and leverage.
    """
    volatility, factors = state.factor_volatility, state.factors
    for k in range(volatility.h.shape[0]):
        h, s = volatility.h[k], scratch.days.mean[k]
        for t in range(h.shape[0]):
            s[t] = factors.path[k, t] / factors.scale[k]
        phi, sd, leverage = volatility.phi[k], volatility.sigma[k], volatility.leverage[k]
        args = (h, s, phi, sd, leverage, data.factor_volatility)
        c = math.exp(slice_update(rng, factor_path_scale_density, args, 0.0, _WIDTH_SD))
        volatility.sigma[k] *= c
        for t in range(h.shape[0]):
            h[t] *= c


@kernel
def factor_level_density(c: float, args: tuple[float, float, float]) -> float:
    """Log density of c when h moves up by c and the factor scale down, their product unchanged."""
    square, linear, scale = args
    return -0.5 * square * c * c - linear * c - c - 0.5 * scale * math.exp(-2.0 * c)


@update
def shift_factor_volatilities(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S38: slice update of the level of each h against the factor's scale, their product unchanged.

    Reads factors and the parameters of h; changes h and the factor scales.
    """
    volatility, factors = state.factor_volatility, state.factors
    for k in range(volatility.h.shape[0]):
        h = volatility.h[k]
        n = h.shape[0]
        phi, sd, leverage = volatility.phi[k], volatility.sigma[k], volatility.leverage[k]
        first = (1.0 - phi * phi) / (sd * sd)
        later = 1.0 / (sd * sd * (1.0 - leverage * leverage))
        square = first + later * (n - 1.0) * (1.0 - phi) ** 2
        linear = first * h[0]
        for t in range(n - 1):
            z = factors.path[k, t] / factors.scale[k] * math.exp(-h[t])
            linear += later * (1.0 - phi) * (h[t + 1] - phi * h[t] - sd * leverage * z)
        ratio = factors.scale[k] / data.factors.scale_sd
        width = 3.0 / math.sqrt(square + 2.0)
        c = slice_update(rng, factor_level_density, (square, linear, ratio * ratio), 0.0, width)
        factors.scale[k] *= math.exp(-c)
        for t in range(n):
            h[t] += c
