"""Hierarchies of the log-volatility coefficients: b_i = mu + sigma z_i for the assets of a group.

They are updated in both forms (interweaving, Yu and Meng 2011): mu and sigma given b, and all b of a group
together with mu and sigma, z fixed. Collinear regressors move together (``group_means``).
"""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Effects
from bdfm.gibbs.level import level_change
from bdfm.gibbs.quantities import set_precision
from bdfm.gibbs.random import gamma_fill, normal, uniform
from bdfm.gibbs.scratch import GroupScratch, Scratch
from bdfm.gibbs.slice import draw_log_scale
from bdfm.gibbs.state import State, VolatilityState
from bdfm.gibbs.updates.log_volatility import accept
from bdfm.gibbs.updates.noise import asset_log_likelihood, noise_information


@kernel
def propose_groups(
    rng: np.random.Generator, prior: Effects, volatility: VolatilityState, j: int, own: GroupScratch
) -> None:
    """Newton step of (mu, sigma) of each group of hierarchy j, from sums over its assets."""
    mean, sd, scale_sd = prior.loc_mean[j], prior.loc_sd[j], prior.scale_sd[j]
    free = not prior.loc_known[j]
    for group in range(prior.n_groups[j]):
        mu, sigma = volatility.mu[j, group], volatility.sigma[j, group]
        # lower triangle of the precision of (mu, sigma), then its Cholesky factor
        if free:
            own.slope_mu[group] -= (mu - mean) / sd**2
            l00 = math.sqrt(own.chol_mu[group] + 1.0 / sd**2)
        else:
            own.slope_mu[group] = 0.0
            own.chol_cross[group] = 0.0
            l00 = 1.0
        l10 = own.chol_cross[group] / l00
        l11 = math.sqrt(own.chol_sigma[group] + 1.0 / scale_sd**2 - l10 * l10)
        own.slope_sigma[group] -= sigma / scale_sd**2
        z0, z1 = normal(rng), normal(rng)
        if not free:
            z0 = 0.0
        step1 = ((own.slope_sigma[group] - l10 * own.slope_mu[group] / l00) / l11 + z1) / l11
        step0 = (own.slope_mu[group] / l00 + z0 - l10 * step1) / l00
        own.chol_mu[group], own.chol_cross[group], own.chol_sigma[group] = l00, l10, l11
        own.mu[group], own.sigma[group] = mu + step0, sigma + step1
        ratio = 0.5 * (z0 * z0 + z1 * z1)
        if free:
            ratio += 0.5 * ((mu - mean) ** 2 - (own.mu[group] - mean) ** 2) / sd**2
        own.log_ratio[group] = ratio + 0.5 * (sigma**2 - own.sigma[group] ** 2) / scale_sd**2
        own.new_slope_mu[group], own.new_slope_sigma[group] = 0.0, 0.0


@kernel
def judge_groups(
    rng: np.random.Generator, prior: Effects, volatility: VolatilityState, j: int, own: GroupScratch
) -> int:
    """Accept or reject the proposal of each group, and the number of those accepted."""
    mean, sd, scale_sd = prior.loc_mean[j], prior.loc_sd[j], prior.scale_sd[j]
    accepted = 0
    for group in range(prior.n_groups[j]):
        l00, l10, l11 = own.chol_mu[group], own.chol_cross[group], own.chol_sigma[group]
        back0 = volatility.mu[j, group] - own.mu[group]
        back1 = volatility.sigma[j, group] - own.sigma[group]
        slope0 = 0.0 if prior.loc_known[j] else own.new_slope_mu[group] - (own.mu[group] - mean) / sd**2
        slope1 = own.new_slope_sigma[group] - own.sigma[group] / scale_sd**2
        z0 = l00 * back0 + l10 * back1 - slope0 / l00
        z1 = l11 * back1 - (slope1 - l10 * slope0 / l00) / l11
        own.log_ratio[group] -= 0.5 * (z0 * z0 + z1 * z1)
        own.accepted[group] = math.log(1.0 - uniform(rng)) < own.log_ratio[group]
        if own.accepted[group]:
            accepted += 1
    return accepted


@update
def move_groups(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S24: move mu and sigma of each group of each hierarchy, and its coefficients along, z fixed.

    In every other sweep where there is S23 (several hierarchies of one grouping), which has the others; else
    in each.

    One Newton-type Metropolis-Hastings step a group. sigma may cross 0: the sign of sigma and of all z
    together is arbitrary, so that the half-normal prior extends to a normal one, and |sigma| is kept.

    Reads residuals, nu and ``noise``, all of which must be current (eq. S22 leaves it so) and is kept so;
    changes coefficients, mu and sigma.
    """
    if data.sums.shared.shape[0] > 1 and (scratch.tuning.sweeps[0] & 1) == 1:
        return
    volatility, prior, noise, own = state.volatility, data.volatility, scratch.noise, scratch.group
    b, family = scratch.proposal.new, data.noise.family
    n_effects, n_assets = volatility.b.shape
    for j in range(n_effects):
        for group in range(prior.n_groups[j]):
            own.slope_mu[group], own.slope_sigma[group] = 0.0, 0.0
            own.chol_mu[group], own.chol_cross[group], own.chol_sigma[group] = 0.0, 0.0, 0.0
        for i in range(n_assets):
            group = prior.group[j, i]
            z = (volatility.b[j, i] - volatility.mu[j, group]) / volatility.sigma[j, group]
            information = noise_information(family, state.noise.nu[i]) * data.sums.products[i, j, j]
            own.slope_mu[group] += noise.gradient[i, j]
            own.slope_sigma[group] += noise.gradient[i, j] * z
            own.chol_mu[group] += information
            own.chol_cross[group] += information * z
            own.chol_sigma[group] += information * z * z
        propose_groups(rng, prior, volatility, j, own)
        for i in range(n_assets):
            group = prior.group[j, i]
            z = (volatility.b[j, i] - volatility.mu[j, group]) / volatility.sigma[j, group]
            for r in range(n_effects):
                b[r] = volatility.b[r, i]
            b[j] = own.mu[group] + own.sigma[group] * z
            if prior.has_intercept and j == prior.intercept:
                factor = math.exp(2.0 * level_change(b[j], volatility.b[j, i] - b[j], prior.least))
                for t in range(noise.score.shape[0]):
                    noise.new_precision[i, t] = factor * noise.precision[i, t]
            else:
                set_precision(prior, i, b, state.asset_volatility.path, noise.new_precision[i], noise.bits)
            noise.new_loglik[i] = asset_log_likelihood(
                prior,
                i,
                b,
                data.sums.x[i],
                family,
                state.noise.nu[i],
                noise.norm[i],
                data.returns,
                scratch.residuals[i],
                noise.new_precision[i],
                noise.score,
                noise.new_gradient[i],
                noise.logs,
                noise.bits,
            )
            own.log_ratio[group] += noise.new_loglik[i] - noise.loglik[i]
            own.new_slope_mu[group] += noise.new_gradient[i, j]
            own.new_slope_sigma[group] += noise.new_gradient[i, j] * z
        scratch.moves.group[j, 0] += judge_groups(rng, prior, volatility, j, own)
        scratch.moves.group[j, 1] += prior.n_groups[j]
        for i in range(n_assets):
            group = prior.group[j, i]
            if own.accepted[group]:
                z = (volatility.b[j, i] - volatility.mu[j, group]) / volatility.sigma[j, group]
                volatility.b[j, i] = own.mu[group] + own.sigma[group] * z
                accept(noise, i, noise.new_loglik[i])
        for group in range(prior.n_groups[j]):
            if own.accepted[group]:
                volatility.mu[j, group] = own.mu[group]
                volatility.sigma[j, group] = abs(own.sigma[group])


@update
def draw_hierarchies(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S25: draw mu and sigma of each group of each hierarchy given its coefficients (the centred form).

    Student-t coefficients are normal given mixing variables, which are drawn first and not kept.
    """
    volatility, prior, mixing = state.volatility, data.volatility, scratch.proposal.mixing
    n_effects, n_assets = volatility.b.shape
    for j in range(n_effects):
        b, groups, student, dof = volatility.b[j], prior.group[j], prior.student[j], prior.dof[j]
        mu, sigma = volatility.mu[j], volatility.sigma[j]
        mean, sd = prior.loc_mean[j], prior.loc_sd[j]
        if student:
            gamma_fill(rng, mixing, 0.5 * (dof + 1.0))
        for i in range(n_assets):
            z = (b[i] - mu[groups[i]]) / sigma[groups[i]]
            mixing[i] = mixing[i] / (0.5 * (dof + z * z)) if student else 1.0
        for group in range(prior.n_groups[j]):
            n = 0.0
            total = 0.0
            linear = 0.0
            for i in range(n_assets):
                if groups[i] == group:
                    n += 1.0
                    total += mixing[i]
                    linear += mixing[i] * b[i]
            if not prior.loc_known[j]:
                variance = sigma[group] ** 2
                precision = total / variance + 1.0 / sd**2
                linear = linear / variance + mean / sd**2
                mu[group] = (linear + math.sqrt(precision) * normal(rng)) / precision
            squares = 0.0
            for i in range(n_assets):
                if groups[i] == group:
                    squares += mixing[i] * (b[i] - mu[group]) ** 2
            half_normal = 0.5 / prior.scale_sd[j] ** 2
            log_sigma = draw_log_scale(rng, math.log(sigma[group]), 1.0 - n, half_normal, 0.5 * squares)
            sigma[group] = math.exp(log_sigma)
