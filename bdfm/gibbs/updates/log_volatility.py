"""Log-volatility coefficients of each asset (eq. 7), with the mixing variables of its returns integrated out.

Moves take Newton steps with the expected information of the noise, weight * information * x x', which does
not depend on the coefficients. Nothing here knows which family the noise is of.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.quantities import set_precision
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import NoiseScratch, Scratch
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.noise import asset_log_likelihood, noise_information, set_norms
from bdfm.gibbs.updates.prior import prior_slope, prior_value

_RANDOM_WALK: Final = 0.1  # share of random-walk moves, so that a chain in a far tail cannot stick


@kernel
def accept(noise: NoiseScratch, i: int, loglik: float) -> None:
    """Make the proposed precision, gradient and log-likelihood of asset i the current ones."""
    noise.loglik[i] = loglik
    for t in range(noise.precision.shape[1]):
        noise.precision[i, t] = noise.new_precision[i, t]
    for j in range(noise.gradient.shape[1]):
        noise.gradient[i, j] = noise.new_gradient[i, j]


@kernel
def backward_noise(a: Floats, step: Floats, gradient: Floats) -> float:
    """Half the square of the noise that would make a Newton step back by ``step``.

    ``a`` holds the Cholesky factor L of the precision of both steps, and ``gradient`` that of the log density
    at the proposal; it is overwritten. The noise is -L' step - L^-1 gradient.
    """
    n = step.shape[0]
    total = 0.0
    for j in range(n):
        for r in range(j):
            gradient[j] -= a[j, r] * gradient[r]
        gradient[j] /= a[j, j]
    for j in range(n):
        z = gradient[j]
        for r in range(j, n):
            z += a[r, j] * step[r]
        total += 0.5 * z * z
    return total


@update
def move_asset_coefficients(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S22: one Metropolis-Hastings step for the log-volatility coefficients of each asset.

    A Newton step with normal noise, and now and then a random walk. Reads residuals, ``noise.precision``,
    which must be current, nu and the hierarchies; changes the coefficients. ``noise.precision``, ``norm``,
    ``loglik`` and ``gradient`` are current afterwards.
    """
    volatility, prior, noise, own = state.volatility, data.volatility, scratch.noise, scratch.proposal
    a, step, z, now, new, back = own.chol, own.step, own.noise, own.now, own.new, own.back
    n_effects, n_assets = volatility.b.shape
    family = data.noise.family
    set_norms(family, state.noise.nu, data.returns.total_weight, noise.norm)
    for i in range(n_assets):
        nu, e = state.noise.nu[i], scratch.residuals[i]
        information = noise_information(family, nu)
        for j in range(n_effects):
            now[j] = volatility.b[j, i]
            new[j] = now[j]
        walk = False
        loglik, prior_now, forward = 0.0, 0.0, 0.0
        # the likelihood at the current coefficients, then at the proposal: one loop, since it is inlined
        for proposed in (False, True):
            precision = noise.new_precision[i] if proposed else noise.precision[i]
            gradient = noise.new_gradient[i] if proposed else noise.gradient[i]
            if proposed:
                set_precision(prior, i, new, state.asset_volatility.path, precision, noise.bits)
            loglik = asset_log_likelihood(
                prior,
                i,
                new,
                data.sums.x[i],
                family,
                nu,
                noise.norm[i],
                data.returns,
                e,
                precision,
                noise.score,
                gradient,
                noise.logs,
                noise.bits,
            )
            if proposed:
                continue
            noise.loglik[i] = loglik
            for j in range(n_effects):
                group, dof = prior.group[j, i], prior.dof[j]
                mu, sigma = volatility.mu[j, group], volatility.sigma[j, group]
                prior_now += prior_value(now[j], mu, sigma, prior.student[j], dof)
                step[j] = gradient[j] + prior_slope(now[j], mu, sigma, prior.student[j], dof)
                z[j] = normal(rng)
                for r in range(j + 1):
                    a[j, r] = information * data.sums.products[i, j, r]
                spread = (dof + 1.0) / (dof + 3.0) if prior.student[j] else 1.0
                a[j, j] += spread / sigma**2
            eliminate(a, step, 0, n_effects)
            walk = uniform(rng) < _RANDOM_WALK
            for j in range(n_effects):
                forward += 0.5 * z[j] * z[j]
                step[j] = z[j] if walk else step[j] + z[j]
            solve_transposed(a, step)
            for j in range(n_effects):
                new[j] = now[j] + step[j]
        prior_new = 0.0
        for j in range(n_effects):
            group, dof = prior.group[j, i], prior.dof[j]
            mu, sigma = volatility.mu[j, group], volatility.sigma[j, group]
            prior_new += prior_value(new[j], mu, sigma, prior.student[j], dof)
            back[j] = noise.new_gradient[i, j] + prior_slope(new[j], mu, sigma, prior.student[j], dof)
        ratio = loglik + prior_new - noise.loglik[i] - prior_now
        if not walk:
            ratio += forward - backward_noise(a, step, back)
        scratch.moves.asset[1] += 1.0
        if math.log(1.0 - uniform(rng)) < ratio:
            scratch.moves.asset[0] += 1.0
            accept(noise, i, loglik)
            for j in range(n_effects):
                volatility.b[j, i] = new[j]
