"""The noise as the rest sees it (eq. 6): one branch a family, so that a new one is a line in each function.

A family has a file with its normalising constant, its log-likelihood with score, and its expected
information; its parameters have updates of their own, and its mixing variables a branch in ``mixing``.
"""

from __future__ import annotations

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats, Ints, Returns
from bdfm.gibbs.linear import dot
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.normal import NORMAL_INFORMATION, NORMAL_NORM, normal_kernel
from bdfm.gibbs.updates.student import student_information, student_kernel, student_norm


@kernel
def noise_norm(student: bool, nu: float) -> float:
    """Log of the normalising constant of the noise at scale 1."""
    return student_norm(nu) if student else NORMAL_NORM


@kernel
def noise_information(student: bool, nu: float) -> float:
    """Expected information of one return about its log scale."""
    return student_information(nu) if student else NORMAL_INFORMATION


@kernel
def likelihood_terms(
    x: Floats,
    i: int,
    student: bool,
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
    n_periods = score.shape[0]
    for t in range(n_periods):
        score[t] = e[t] * e[t] * precision[t]
    if student:
        value = student_kernel(nu, bounds, run_weight, weight, score, logs, bits)
    else:
        value = normal_kernel(weight, score)
    for j in range(gradient.shape[0]):
        total = 0.0
        for t in range(n_periods):
            total += score[t] * x[j, i, t]
        gradient[j] = total
    return value


@kernel
def set_norms(student: bool, nu: Floats, total_weight: Floats, norm: Floats) -> None:
    """Weighted log normalising constants of the noise of each asset."""
    for i in range(norm.shape[0]):
        norm[i] = noise_norm(student, nu[i]) * total_weight[i]


@kernel
def asset_log_likelihood(
    x: Floats,
    i: int,
    b: Floats,
    sums: Floats,
    student: bool,
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
    return value + likelihood_terms(
        x,
        i,
        student,
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
    set_norms(data.noise.student, state.noise.nu, data.returns.total_weight, noise.norm)
    total = 0.0
    for i in range(noise.norm.shape[0]):
        for j in range(b.shape[0]):
            b[j] = state.volatility.b[j, i]
        noise.loglik[i] = asset_log_likelihood(
            data.volatility.x,
            i,
            b,
            data.sums.x[i],
            data.noise.student,
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
    state.log_likelihood[0] = total
