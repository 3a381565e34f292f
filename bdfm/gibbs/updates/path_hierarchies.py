"""Hierarchies of the assets' persistence and shocks, with their paths integrated out (eq. S44)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.adapt import adapt_path_centre
from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import AssetVolatilityData, Data
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import LANES, LaneScratch, PathGroupScratch, Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.asset_volatility import close_lane, open_lane, take_path
from bdfm.gibbs.updates.path_marginal import draw_coefficients, draw_paths, marginal_values

# Steps along a direction of the locations and log scales of logit phi and log sd: near their posterior's sd
_STEP_MU: Final = (0.2, 0.15)
_STEP_SIGMA: Final = (0.4, 0.3)
_WIDTH: Final = 2.0
_TURNS: Final = 5  # of hierarchies, of coefficients between them, and so on: the same read backwards
_APART: Final = (0.3, 0.15)  # between points at which curvatures of logit phi and log sd are found
_CORRELATION: Final = 0.9  # between the two, at most: curvatures are rough
_FARTHEST: Final = (1.5, 0.75)  # from the centre to where a normal density may be, along either alone


@kernel
def curvatures(own: PathGroupScratch, lanes: LaneScratch, members: int, centre: tuple[float, float]) -> None:
    """What parts of the mixture say of the coefficients of each asset, as a normal density near ``centre``.

    By differences of the density with the path integrated out: ``own.told`` (5, N) gets the precisions of
    logit phi and of log sd, what is off the diagonal, and precision times mean of both. Where the density is
    not concave, or so flat that its mode would be far away, precisions are such that it is not.
    """
    told = own.told
    for begin in range(0, members, LANES):
        width, block = min(LANES, members - begin), begin // LANES
        for j in range(width):
            for k in range(5):
                told[k, begin + j] = 0.0
        for point in range(7):  # the centre; to both sides along each; and along both at once
            way = 0.0 if point == 0 else 1.0 - 2.0 * (point % 2)
            along_phi = way if point in (1, 2, 5, 6) else 0.0
            along_sd = way if point in (3, 4, 5, 6) else 0.0
            for j in range(width):
                lanes.logit_phi[j] = centre[0] + along_phi * _APART[0]
                lanes.log_sd[j] = centre[1] + along_sd * _APART[1]
            marginal_values(lanes, width, own.information[block], own.pull[block])
            for j in range(width):
                value, i = lanes.value[j], begin + j
                if point == 0:
                    told[0, i] += 2.0 * value
                    told[1, i] += 2.0 * value
                    told[2, i] -= 2.0 * value
                elif point <= 2:
                    told[0, i] -= value
                    told[2, i] += value
                    told[3, i] += 0.5 * way * value
                elif point <= 4:
                    told[1, i] -= value
                    told[2, i] += value
                    told[4, i] += 0.5 * way * value
                else:
                    told[2, i] -= value
        for i in range(begin, begin + width):
            slope_phi, slope_sd = told[3, i] / _APART[0], told[4, i] / _APART[1]
            a = max(told[0, i] / (_APART[0] * _APART[0]), abs(slope_phi) / _FARTHEST[0])
            b = max(told[1, i] / (_APART[1] * _APART[1]), abs(slope_sd) / _FARTHEST[1])
            most = _CORRELATION * math.sqrt(a * b)
            c = min(max(0.5 * told[2, i] / (_APART[0] * _APART[1]), -most), most)
            told[0, i], told[1, i], told[2, i] = a, b, c
            told[3, i] = slope_phi + a * centre[0] + c * centre[1]
            told[4, i] = slope_sd + c * centre[0] + b * centre[1]


@kernel
def conditional(
    own: PathGroupScratch, i: int, mu: tuple[float, float], sigma: tuple[float, float]
) -> tuple[float, float, float, float, float]:
    """Mean and Cholesky factor of logit phi and log sd of member i, by what ``curvatures`` found and a prior.

    The two means, and (1, 1), (2, 1) and (2, 2) of the lower factor of their covariance.
    """
    p, q = 1.0 / (sigma[0] * sigma[0]), 1.0 / (sigma[1] * sigma[1])
    a, b, c = own.told[0, i] + p, own.told[1, i] + q, own.told[2, i]
    x, y = own.told[3, i] + p * mu[0], own.told[4, i] + q * mu[1]
    determinant = a * b - c * c
    root = math.sqrt(b / determinant)
    return (
        (b * x - c * y) / determinant,
        (a * y - c * x) / determinant,
        root,
        -c / (determinant * root),
        1.0 / math.sqrt(b),
    )


@kernel
def group_marginal_density(
    x: float,
    args: tuple[
        PathGroupScratch,
        LaneScratch,
        AssetVolatilityData,
        int,
        float,
        float,
        float,
        float,
        float,
        float,
        float,
        float,
    ],
) -> float:
    """Log density ``x`` steps along a direction of the hierarchies of a group, its paths integrated out.

    Locations and log scales move; the coefficients of the group's ``members`` move along at fixed ``own.z``,
    standardised by ``conditional``. ``own.information`` and ``own.pull`` hold what parts of the mixture say
    of each state.
    """
    (
        own, lanes, prior, members, mu_phi, mu_sd, sigma_phi, sigma_sd,
        step_mu_phi, step_mu_sd, step_phi, step_sd,
    ) = args  # fmt: skip
    mu = mu_phi + x * step_mu_phi, mu_sd + x * step_mu_sd
    sigma = sigma_phi * math.exp(x * step_phi), sigma_sd * math.exp(x * step_sd)
    value: float = x * (step_phi + step_sd)  # density of the log scales
    for row in range(2):
        z, r = (mu[row] - prior.loc_mean[row]) / prior.loc_sd[row], sigma[row] / prior.scale_sd[row]
        value -= 0.5 * (z * z + r * r)
    value -= members * math.log(sigma[0] * sigma[1])
    for begin in range(0, members, LANES):
        width = min(LANES, members - begin)
        for j in range(width):
            i = begin + j
            mean_phi, mean_sd, root, cross, rest = conditional(own, i, mu, sigma)
            lanes.logit_phi[j] = mean_phi + root * own.z[0, i]
            lanes.log_sd[j] = mean_sd + cross * own.z[0, i] + rest * own.z[1, i]
            z_phi, z_sd = (lanes.logit_phi[j] - mu[0]) / sigma[0], (lanes.log_sd[j] - mu[1]) / sigma[1]
            value += math.log(root * rest) - 0.5 * (z_phi * z_phi + z_sd * z_sd)
        block = begin // LANES
        marginal_values(lanes, width, own.information[block], own.pull[block])
        for j in range(width):
            value += lanes.value[j]
    return value


@update
def move_path_hierarchies(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S44: locations and scales of logit phi and log sd of a group, and all of its paths, in one step.

    As eq. S31, with the parts of the mixture of all assets of a group drawn first. Given them, with the paths
    integrated out, hierarchies and coefficients take turns: locations and scales move along a direction, or
    by the toss of a coin the log scales alone, and the coefficients along with them: standardised not by the
    hierarchy, but by a normal density near their posterior given the hierarchy (``conditional``), so that
    they stay near what the returns say as the hierarchy lets them go. Then each asset's coefficients move
    along a direction of their own; and so on, in an order that is the same read backwards, so that all of it
    is reversible. Then all paths are drawn, and exact likelihood over mixture of all of them accepts.

    In every other sweep, between those of eq. S31, and for groups of up to 500 assets, with normal noise 150:
    of more paths the mixture is not near enough for one ratio. Reads and changes what ``draw_asset_paths``
    does, and the hierarchies.
    """
    own, lanes, paths, prior = (
        scratch.path_group,
        scratch.lanes,
        state.asset_volatility,
        data.asset_volatility,
    )
    tuning = scratch.tuning
    if (tuning.sweeps[0] & 1) == 1:
        return
    for group in range(prior.n_groups):
        if not prior.together[group]:
            continue
        mu_phi, mu_sd = paths.mu[0, group], paths.mu[1, group]
        sigma_phi, sigma_sd = paths.sigma[0, group], paths.sigma[1, group]
        members = 0
        for i in range(paths.path.shape[0]):
            if prior.group[i] == group:
                block, lane = members // LANES, members % LANES
                open_lane(
                    rng, data, state, scratch, i, own.information[block, :, lane], own.pull[block, :, lane]
                )
                own.member[members] = i
                own.now[0, members], own.now[1, members] = paths.logit_phi[i], paths.log_sd[i]
                members += 1
        curvatures(own, lanes, members, (tuning.path_centre[0, group], tuning.path_centre[1, group]))
        for turn in range(_TURNS):
            if turn % 2 == 0:
                for i in range(members):
                    mean_phi, mean_sd, root, cross, rest = conditional(
                        own, i, (mu_phi, mu_sd), (sigma_phi, sigma_sd)
                    )
                    own.z[0, i] = (own.now[0, i] - mean_phi) / root
                    own.z[1, i] = (own.now[1, i] - mean_sd - cross * own.z[0, i]) / rest
                alone = uniform(rng) < 0.5  # log scales, which locations hold back in a common step
                step_mu_phi = 0.0 if alone else _STEP_MU[0] * normal(rng)
                step_mu_sd = 0.0 if alone else _STEP_MU[1] * normal(rng)
                step_phi, step_sd = _STEP_SIGMA[0] * normal(rng), _STEP_SIGMA[1] * normal(rng)
                args = (
                    own, lanes, prior, members, mu_phi, mu_sd, sigma_phi, sigma_sd,
                    step_mu_phi, step_mu_sd, step_phi, step_sd,
                )  # fmt: skip
                x = slice_update(rng, group_marginal_density, args, 0.0, _WIDTH)
                mu_phi += x * step_mu_phi
                mu_sd += x * step_mu_sd
                sigma_phi *= math.exp(x * step_phi)
                sigma_sd *= math.exp(x * step_sd)
                for i in range(members):
                    mean_phi, mean_sd, root, cross, rest = conditional(
                        own, i, (mu_phi, mu_sd), (sigma_phi, sigma_sd)
                    )
                    own.now[0, i] = mean_phi + root * own.z[0, i]
                    own.now[1, i] = mean_sd + cross * own.z[0, i] + rest * own.z[1, i]
                continue
            for begin in range(0, members, LANES):
                width, block = min(LANES, members - begin), begin // LANES
                for j in range(width):
                    lanes.mu[0, j], lanes.mu[1, j] = mu_phi, mu_sd
                    lanes.sigma[0, j], lanes.sigma[1, j] = sigma_phi, sigma_sd
                    lanes.now[0, j], lanes.now[1, j] = own.now[0, begin + j], own.now[1, begin + j]
                draw_coefficients(rng, lanes, width, own.information[block], own.pull[block])
                for j in range(width):
                    own.now[0, begin + j], own.now[1, begin + j] = lanes.now[0, j], lanes.now[1, j]
        log_ratio = 0.0
        for begin in range(0, members, LANES):
            width, block = min(LANES, members - begin), begin // LANES
            for j in range(width):
                lanes.now[0, j], lanes.now[1, j] = own.now[0, begin + j], own.now[1, begin + j]
            draw_paths(rng, lanes, width, own.information[block], own.pull[block], own.path[block])
            for j in range(width):
                asset = own.member[begin + j]
                close_lane(data, state, scratch, asset, own.path[block, :, j])
                log_ratio += own.log_ratio[asset]
        scratch.moves.path_group[1] += 1.0
        if math.log(1.0 - uniform(rng)) < log_ratio:
            scratch.moves.path_group[0] += 1.0
            paths.mu[0, group], paths.mu[1, group] = mu_phi, mu_sd
            paths.sigma[0, group], paths.sigma[1, group] = sigma_phi, sigma_sd
            for i in range(members):
                asset = own.member[i]
                paths.logit_phi[asset], paths.log_sd[asset] = own.now[0, i], own.now[1, i]
                take_path(data, state, scratch, asset, own.path[i // LANES, :, i % LANES])
        adapt_path_centre(tuning, group, paths.mu[0, group], paths.mu[1, group])
