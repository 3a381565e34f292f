"""Hierarchies of the assets' persistence and shocks, with their paths integrated out (eq. S44)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import AssetVolatilityData, Data
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import PathGroupScratch, Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.asset_volatility import (
    dof_of,
    draw_states_given_parts,
    extend_path,
    set_asset_precision,
    set_log_scale,
    set_squares,
    sigmoid,
)
from bdfm.gibbs.updates.log_squares import draw_parts, weigh_path
from bdfm.gibbs.updates.path_marginal import path_marginal_density

# Steps along a direction of the locations and log scales of logit phi and log sd: near their posterior's sd
_STEP_MU: Final = (0.2, 0.15)
_STEP_SIGMA: Final = (0.4, 0.3)
_WIDTH: Final = 2.0


@kernel
def group_marginal_density(
    x: float,
    args: tuple[
        int,
        PathGroupScratch,
        AssetVolatilityData,
        float,
        float,
        float,
        float,
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

    Locations and log scales move; the coefficients of the group move along at fixed standardised values
    ``own.z``. ``own.information`` and ``own.pull`` hold what parts of the mixture say of each state.
    """  # fmt: skip
    (
        group, own, prior, mu_phi, mu_sd, sigma_phi, sigma_sd,
        step_mu_phi, step_mu_sd, step_phi, step_sd, mean_phi, mean_sd, sd_phi, sd_sd,
    ) = args  # fmt: skip
    new_mu_phi, new_mu_sd = mu_phi + x * step_mu_phi, mu_sd + x * step_mu_sd
    new_phi, new_sd = sigma_phi * math.exp(x * step_phi), sigma_sd * math.exp(x * step_sd)
    z_phi, z_sd = (new_mu_phi - mean_phi) / sd_phi, (new_mu_sd - mean_sd) / sd_sd
    value: float = -0.5 * (z_phi * z_phi + z_sd * z_sd) + x * (step_phi + step_sd)  # of the log scales
    r_phi, r_sd = new_phi / prior.scale_sd[0], new_sd / prior.scale_sd[1]
    value -= 0.5 * (r_phi * r_phi + r_sd * r_sd)
    for i in range(own.z.shape[1]):
        if prior.group[i] == group:
            n = prior.stop[i] - prior.first[i]
            value += path_marginal_density(
                0.0,
                (
                    new_mu_phi + new_phi * own.z[0, i], new_mu_sd + new_sd * own.z[1, i], 0.0, 0.0,
                    new_mu_phi, new_phi, new_mu_sd, new_sd,
                    own.information[i, :n], own.pull[i, :n],
                ),
            )  # fmt: skip
    return value


@update
def move_path_hierarchies(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S44: locations and scales of logit phi and log sd of a group, and all of its paths, in one step.

    As eq. S31, with the parts of the mixture of all assets of a group drawn first: then locations and scales
    move along a direction with the standardised coefficients fixed (the non-centred form) and the paths
    integrated out; before or after that the log scales alone, by the toss of a coin; then all paths are
    drawn, and exact likelihood over mixture of all of them accepts.

    In every other sweep, between those of eq. S31, and for groups of up to 500 assets, with normal noise 150:
    of more paths the mixture is not near enough for one ratio. Reads and changes what ``draw_asset_paths``
    does, and the hierarchies.
    """
    own, paths, prior = scratch.path_group, state.asset_volatility, data.asset_volatility
    work, family = scratch.volatility_path, data.noise.family
    if (scratch.tuning.sweeps[0] & 1) == 1:
        return
    for group in range(prior.n_groups):
        if not prior.together[group]:
            continue
        mu_phi, mu_sd = paths.mu[0, group], paths.mu[1, group]
        sigma_phi, sigma_sd = paths.sigma[0, group], paths.sigma[1, group]
        log_ratio = 0.0
        for i in range(paths.path.shape[0]):
            if prior.group[i] != group:
                continue
            first, stop = prior.first[i], prior.stop[i]
            n = stop - first
            path, seen = paths.path[i, first:stop], data.returns.seen[i, first:stop]
            ratio, y = own.ratio[i, :n], own.target[i, :n]
            own.z[0, i] = (paths.logit_phi[i] - mu_phi) / sigma_phi
            own.z[1, i] = (paths.log_sd[i] - mu_sd) / sigma_sd
            set_squares(i, data, state, scratch, ratio, y)
            log_ratio -= weigh_path(path, y, ratio, family, dof_of(i, data, state), seen, work)
            information, pull = own.information[i, :n], own.pull[i, :n]
            draw_parts(rng, y, work.parts, work.weights, work.total[:n], seen, information, pull)
        alone_first = uniform(rng) < 0.5  # either order as often, so that both steps together are reversible
        for turn in range(2):  # locations and scales; scales alone, which the former hold back
            alone = (turn == 0) == alone_first
            step_mu_phi = 0.0 if alone else _STEP_MU[0] * normal(rng)
            step_mu_sd = 0.0 if alone else _STEP_MU[1] * normal(rng)
            step_phi, step_sd = _STEP_SIGMA[0] * normal(rng), _STEP_SIGMA[1] * normal(rng)
            args = (
                group, own, prior, mu_phi, mu_sd, sigma_phi, sigma_sd,
                step_mu_phi, step_mu_sd, step_phi, step_sd,
                prior.loc_mean[0], prior.loc_mean[1], prior.loc_sd[0], prior.loc_sd[1],
            )  # fmt: skip
            x = slice_update(rng, group_marginal_density, args, 0.0, _WIDTH)
            mu_phi += x * step_mu_phi
            mu_sd += x * step_mu_sd
            sigma_phi *= math.exp(x * step_phi)
            sigma_sd *= math.exp(x * step_sd)
        for i in range(paths.path.shape[0]):
            if prior.group[i] != group:
                continue
            n = prior.stop[i] - prior.first[i]
            seen = data.returns.seen[i, prior.first[i] : prior.stop[i]]
            new, y, ratio = own.path[i, :n], own.target[i, :n], own.ratio[i, :n]
            logit_phi, log_sd = mu_phi + sigma_phi * own.z[0, i], mu_sd + sigma_sd * own.z[1, i]
            draw_states_given_parts(rng, logit_phi, log_sd, own.information[i, :n], own.pull[i, :n], work)
            for t in range(n):
                new[t] = work.proposal[t]
            log_ratio += weigh_path(new, y, ratio, family, dof_of(i, data, state), seen, work)
        scratch.moves.path_group[1] += 1.0
        accepted = math.log(1.0 - uniform(rng)) < log_ratio
        if accepted:
            scratch.moves.path_group[0] += 1.0
            paths.mu[0, group], paths.mu[1, group] = mu_phi, mu_sd
            paths.sigma[0, group], paths.sigma[1, group] = sigma_phi, sigma_sd
        for i in range(paths.path.shape[0]):
            if prior.group[i] != group:
                continue
            first, stop = prior.first[i], prior.stop[i]
            if accepted:
                paths.logit_phi[i] = mu_phi + sigma_phi * own.z[0, i]
                paths.log_sd[i] = mu_sd + sigma_sd * own.z[1, i]
                for t in range(first, stop):
                    paths.path[i, t] = own.path[i, t - first]
            phi, sd = sigmoid(paths.logit_phi[i]), math.exp(paths.log_sd[i])
            extend_path(rng, paths.path[i], first, stop, phi, sd)
            set_log_scale(data.volatility, i, state.volatility.b, work.log_scale)
            set_asset_precision(i, state, scratch)
