"""The noise as the rest sees it (eq. 6): one branch a family, so that a new one is a line in each function.

A family is a scale mixture of normal densities. It has a code, which the part of the model names (its method
``block``), and a file with its normalising constant, its log-likelihood with score, its expected information,
and the draw of its mixing variables. Only here does anything look at the code. A family's own parameters,
where it has any, have updates of their own: those of degrees of freedom are in ``degrees_of_freedom``.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Effects, Floats, Ints, Returns
from bdfm.gibbs.level import level_of, level_slope
from bdfm.gibbs.linear import dot
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.laplace import LAPLACE_INFORMATION, LAPLACE_NORM, laplace_kernel, laplace_mixing
from bdfm.gibbs.updates.normal import NORMAL_INFORMATION, NORMAL_NORM, normal_kernel, normal_mixing
from bdfm.gibbs.updates.student import student_information, student_kernel, student_mixing, student_norm

# Codes of the families; compiled kernels know them as constants.
NORMAL: Final = 0
STUDENT_T: Final = 1
LAPLACE: Final = 2


@kernel
def noise_norm(family: int, nu: float) -> float:
    """Log of the normalising constant of the noise at scale 1."""
    if family == STUDENT_T:
        return student_norm(nu)
    return LAPLACE_NORM if family == LAPLACE else NORMAL_NORM


@kernel
def noise_information(family: int, nu: float) -> float:
    """Expected information of one return about its log scale."""
    if family == STUDENT_T:
        return student_information(nu)
    return LAPLACE_INFORMATION if family == LAPLACE else NORMAL_INFORMATION


@kernel
def likelihood_terms(
    effects: Effects,
    i: int,
    b: Floats,
    family: int,
    nu: float,
    weight: Floats,
    bounds: Ints,
    run_weight: Floats,
    e: Floats,
    precision: Floats,
    score: Floats,
    gradient: Floats,
    logs: Floats,
    bits: Ints,
) -> float:
    """Weighted log-likelihood of asset i less its normalising constants and log scales.

    Also fills ``gradient``, that of the whole log-likelihood in the log-volatility coefficients.
    """
    x, n_periods = effects.x, score.shape[0]
    for t in range(n_periods):
        score[t] = e[t] * e[t] * precision[t]
    if family == STUDENT_T:
        value = student_kernel(nu, bounds, run_weight, weight, score, logs, bits)
    elif family == LAPLACE:
        value = laplace_kernel(weight, score)
    else:
        value = normal_kernel(weight, score)
    for j in range(gradient.shape[0]):
        total = 0.0
        for t in range(n_periods):
            total += score[t] * x[j, i, t]
        gradient[j] = total
    if effects.least > 0.0:
        gradient[effects.intercept] *= level_slope(b[effects.intercept], effects.least)
    return value


@kernel
def set_norms(family: int, nu: Floats, total_weight: Floats, norm: Floats) -> None:
    """Weighted log normalising constants of the noise of each asset."""
    for i in range(norm.shape[0]):
        norm[i] = noise_norm(family, nu[i]) * total_weight[i]


@kernel
def asset_log_likelihood(
    effects: Effects,
    i: int,
    b: Floats,
    sums: Floats,
    family: int,
    nu: float,
    norm: float,
    returns: Returns,
    e: Floats,
    precision: Floats,
    score: Floats,
    gradient: Floats,
    logs: Floats,
    bits: Ints,
) -> float:
    """Weighted log-likelihood of asset i at log-volatility coefficients ``b``; fills its gradient in them.

    ``sums`` holds the weighted sums of its regressors, ``precision`` 1 / sigma^2 at ``b``.
    """
    value = norm - dot(sums, b)
    if effects.least > 0.0:
        j = effects.intercept
        value -= sums[j] * (level_of(b[j], effects.least) - b[j])
    return value + likelihood_terms(
        effects,
        i,
        b,
        family,
        nu,
        returns.weight[i],
        returns.run_bounds,
        returns.run_weight,
        e,
        precision,
        score,
        gradient,
        logs,
        bits,
    )


@update
def refresh_log_likelihood(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Bring norms, log-likelihoods and gradients of all assets up to date, and ``State.log_likelihood``.

    Residuals and ``noise.precision`` must be current.
    """
    noise, b = scratch.noise, scratch.proposal.now
    set_norms(data.noise.family, state.noise.nu, data.returns.total_weight, noise.norm)
    total = 0.0
    for i in range(noise.norm.shape[0]):
        for j in range(b.shape[0]):
            b[j] = state.volatility.b[j, i]
        noise.loglik[i] = asset_log_likelihood(
            data.volatility,
            i,
            b,
            data.sums.x[i],
            data.noise.family,
            state.noise.nu[i],
            noise.norm[i],
            data.returns,
            scratch.residuals[i],
            noise.precision[i],
            noise.score,
            noise.gradient[i],
            noise.logs,
            noise.bits,
        )
        total += noise.loglik[i]
    paths = state.asset_volatility.path
    for i in range(paths.shape[0]):
        for t in range(paths.shape[1]):
            total -= data.returns.weight[i, t] * paths[i, t]
    state.log_likelihood[0] = total


@update
def draw_mixing(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S1: draw u, the precision of each return given its mixing variable; 0 where missing.

    The kernel of a density to the power of a weight is a mixture over u of exp(-u e^2 / 2). There is no
    factor sqrt(u), so that normal updates of the mean take u as precision. With normal noise u is the
    weighted precision itself.

    Reads residuals, ``noise.precision`` and nu, which must be current; changes u.
    """
    family, returns, noise = data.noise.family, data.returns, scratch.noise
    for i in range(state.u.shape[0]):
        u, e, precision = state.u[i], scratch.residuals[i], noise.precision[i]
        if family == STUDENT_T:
            nu, bounds, run_weight = state.noise.nu[i], returns.run_bounds, returns.run_weight
            student_mixing(
                rng,
                nu,
                bounds,
                run_weight,
                returns.seen[i],
                precision,
                e,
                u,
                noise.new_precision[i],
                noise.score,
                noise.logs,
                noise.bits,
            )
        elif family == LAPLACE:
            laplace_mixing(rng, returns.weight[i], precision, e, u)
        else:
            normal_mixing(returns.weight[i], precision, u)
