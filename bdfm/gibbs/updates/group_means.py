"""Means of all log-volatility hierarchies of one grouping together."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import update
from bdfm.gibbs.data import Data
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.quantities import set_precision
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.log_volatility import accept, backward_noise
from bdfm.gibbs.updates.noise import asset_log_likelihood, noise_information


@update
def move_group_means(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S23: move the means of all hierarchies of one grouping, and their coefficients along.

    In every other sweep, by ``tuning.sweeps``; S24 has the others.

    One Newton-type Metropolis-Hastings step a group for all of them together: regressors such as volatilities
    over several windows are collinear, so that one mean at a time would move slowly.

    Reads residuals, nu and ``noise``, all of which must be current (eq. S22 leaves it so) and is kept so;
    changes coefficients and mu.
    """
    if (scratch.tuning.sweeps[0] & 1) == 0:
        return
    volatility, prior, noise, own = state.volatility, data.volatility, scratch.noise, scratch.proposal
    shared, family, products = data.sums.shared, data.noise.family, data.sums.products
    n_effects, n_assets = volatility.b.shape
    n = shared.shape[0]
    a, step, back, b = own.chol[:n, :n], own.step[:n], own.back[:n], own.new
    groups = prior.group[shared[0]]
    for group in range(prior.n_groups[shared[0]]):
        log_ratio = 0.0
        for r in range(n):
            j = shared[r]
            for c in range(r + 1):
                a[r, c] = 0.0
            a[r, r] = 1.0 / prior.loc_sd[j] ** 2
            step[r] = -(volatility.mu[j, group] - prior.loc_mean[j]) / prior.loc_sd[j] ** 2
        for i in range(n_assets):
            if groups[i] == group:
                information = noise_information(family, state.noise.nu[i])
                for r in range(n):
                    step[r] += noise.gradient[i, shared[r]]
                    for c in range(r + 1):
                        a[r, c] += information * products[i, shared[r], shared[c]]
        eliminate(a, step, 0, n)
        for r in range(n):
            z = normal(rng)
            log_ratio += 0.5 * z * z
            step[r] += z
        solve_transposed(a, step)
        for r in range(n):
            j = shared[r]
            now = volatility.mu[j, group] - prior.loc_mean[j]
            new = now + step[r]
            log_ratio += 0.5 * (now * now - new * new) / prior.loc_sd[j] ** 2
            back[r] = -new / prior.loc_sd[j] ** 2
        for i in range(n_assets):
            if groups[i] != group:
                continue
            for j in range(n_effects):
                b[j] = volatility.b[j, i]
            for r in range(n):
                b[shared[r]] += step[r]
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
            log_ratio += noise.new_loglik[i] - noise.loglik[i]
            for r in range(n):
                back[r] += noise.new_gradient[i, shared[r]]
        log_ratio -= backward_noise(a, step, back)
        if math.log(1.0 - uniform(rng)) < log_ratio:
            for r in range(n):
                volatility.mu[shared[r], group] += step[r]
            for i in range(n_assets):
                if groups[i] == group:
                    for r in range(n):
                        volatility.b[shared[r], i] += step[r]
                    accept(noise, i, noise.new_loglik[i])
