"""Degrees of freedom of Student-t noise, and the spread of their prior (eq. 6)."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from bdfm.gibbs.adapt import adapt_step_nu
from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats, Ints, NoiseData, Returns
from bdfm.gibbs.level import level_change
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import NoiseScratch, Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State
from bdfm.gibbs.updates.prior import prior_value
from bdfm.gibbs.updates.student import log_sum, student_norm

_RIDGE: Final = 0.125  # d log sigma / d log nu along the ridge of the t likelihood, 1 / (nu + 1) at nu = 7
_WIDTH: Final = 1.5  # first interval of the slice of log nu
_WIDTH_SIGMA: Final = 0.5  # and of log sigma_nu


class RidgePrior(NamedTuple):
    """Prior of the noise scale that moves along with nu; a flat one if none does."""

    slope: float  # d b / d log nu, 0 if it stays
    b: float
    mu: float
    sigma: float
    student: bool
    dof: float
    least: float  # noise scale below which e^b does not bring it


@kernel
def nu_density(
    shift: float,
    args: tuple[float, float, float, float, RidgePrior, Floats, Ints, Floats, Floats, Floats, Ints],
) -> float:
    """Log density of an asset at log nu + shift, its intercept moved along by ``ridge.slope * shift``.

    ``ratio`` holds (e / sigma)^2 before the move.
    """
    nu, shape, rate, total_weight, ridge, ratio, bounds, run_weight, weight, logs, bits = args
    new = nu * math.exp(shift)
    along = ridge.slope * shift
    up = level_change(ridge.b, along, ridge.least)
    value = shape * math.log(new) - rate * new + (student_norm(new) - up) * total_weight
    factor = math.exp(-2.0 * up) / new
    value -= 0.5 * (new + 1.0) * log_sum(bounds, run_weight, weight, ratio, factor, logs, bits)
    return value + prior_value(ridge.b + along, ridge.mu, ridge.sigma, ridge.student, ridge.dof)


@kernel
def set_ratio(e: Floats, precision: Floats, ratio: Floats) -> None:
    """Squared residuals over the noise scale."""
    for t in range(ratio.shape[0]):
        ratio[t] = e[t] ** 2 * precision[t]


@update
def draw_nu(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S26: slice update of log nu, for every second asset in turn: it costs much and moves well.

    Two sweeps of four it moves along the ridge on which nu trades off with the noise scale, and two alone,
    for assets whose noise scale is held tight by its prior; which, ``tuning.sweeps`` says.

    Reads residuals, ``noise.precision``, which must be current and is kept so, sigma_nu and the hierarchy of
    the log-volatility intercepts; changes nu and these intercepts. ``noise.norm``, ``loglik`` and
    ``gradient`` are out of date afterwards.
    """
    returns, volatility, prior, noise = data.returns, state.volatility, data.volatility, scratch.noise
    nu, ratio, first = state.noise.nu, scratch.dof.ratio, prior.intercept
    turn = scratch.tuning.sweeps[0] - 1
    shape = (data.noise.nu_mean / state.noise.sigma_nu[0]) ** 2
    rate = shape / data.noise.nu_mean
    along = prior.has_intercept and (turn & 2) != 0
    for i in range(turn & 1, nu.shape[0], 2):
        set_ratio(scratch.residuals[i], noise.precision[i], ratio)
        ridge = RidgePrior(0.0, 0.0, 0.0, 1.0, False, 1.0, 0.0)
        if along:
            group = prior.group[first, i]
            ridge = RidgePrior(
                _RIDGE,
                volatility.b[first, i],
                volatility.mu[first, group],
                volatility.sigma[first, group],
                prior.student[first],
                prior.dof[first],
                prior.least,
            )
        args = (
            nu[i],
            shape,
            rate,
            returns.total_weight[i],
            ridge,
            ratio,
            returns.run_bounds,
            returns.run_weight,
            returns.weight[i],
            noise.logs,
            noise.bits,
        )
        shift = slice_update(rng, nu_density, args, 0.0, _WIDTH)
        nu[i] *= math.exp(shift)
        if along:
            volatility.b[first, i] += ridge.slope * shift
            factor = math.exp(-2.0 * level_change(ridge.b, ridge.slope * shift, prior.least))
            for t in range(ratio.shape[0]):
                noise.precision[i, t] *= factor


@kernel
def asset_log_likelihood_of_nu(
    nu: float, returns: Returns, i: int, ratio: Floats, noise: NoiseScratch
) -> float:
    """What nu changes in the weighted log-likelihood of asset i."""
    bounds, run_weight, weight = returns.run_bounds, returns.run_weight, returns.weight[i]
    sums = log_sum(bounds, run_weight, weight, ratio, 1.0 / nu, noise.logs, noise.bits)
    total: float = returns.total_weight[i]
    return student_norm(nu) * total - 0.5 * (nu + 1.0) * sums


@update
def move_sigma_nu(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S27: random walk of log sigma_nu with all nu moved along, each at a fixed normal score.

    The score is that of Wilson and Hilferty (1931): the cube root of a gamma variable is nearly normal. The
    step is adapted. Reads residuals and ``noise.precision``, which must be current; changes sigma_nu and nu.
    """
    own, nu, prior = scratch.dof, state.noise.nu, data.noise
    sigma = state.noise.sigma_nu[0]
    new_sigma = sigma * math.exp(math.exp(scratch.tuning.log_step_nu[0]) * normal(rng))
    shape, new_shape = (prior.nu_mean / sigma) ** 2, (prior.nu_mean / new_sigma) ** 2
    log_ratio = prior.sigma_nu_shape * math.log(new_sigma / sigma) - prior.sigma_nu_rate * (new_sigma - sigma)
    log_ratio += nu.shape[0] * (
        new_shape * math.log(new_shape / prior.nu_mean)
        - math.lgamma(new_shape)
        - shape * math.log(shape / prior.nu_mean)
        + math.lgamma(shape)
        + 0.5 * math.log(shape / new_shape)
    )
    for i in range(nu.shape[0]):
        root = (nu[i] / prior.nu_mean) ** (1.0 / 3.0)
        z = (root - 1.0 + 1.0 / (9.0 * shape)) * math.sqrt(shape / new_shape)
        new_root = 1.0 - 1.0 / (9.0 * new_shape) + z
        if new_root <= 0.0:
            log_ratio = -math.inf
            break
        new = prior.nu_mean * new_root**3
        own.nu[i] = new
        log_ratio += (new_shape - 1.0) * math.log(new) - (shape - 1.0) * math.log(nu[i])
        log_ratio += (nu[i] * shape - new * new_shape) / prior.nu_mean + 2.0 * math.log(new_root / root)
        set_ratio(scratch.residuals[i], scratch.noise.precision[i], own.ratio)
        log_ratio += asset_log_likelihood_of_nu(new, data.returns, i, own.ratio, scratch.noise)
        log_ratio -= asset_log_likelihood_of_nu(nu[i], data.returns, i, own.ratio, scratch.noise)
    scratch.moves.nu[1] += 1.0
    if math.log(1.0 - uniform(rng)) < log_ratio:
        scratch.moves.nu[0] += 1.0
        state.noise.sigma_nu[0] = new_sigma
        for i in range(nu.shape[0]):
            nu[i] = own.nu[i]
    adapt_step_nu(scratch.tuning, log_ratio)


@kernel
def sigma_nu_density(log_sigma: float, args: tuple[float, float, float, NoiseData]) -> float:
    """Log density of log sigma_nu given the number of all nu, their sum and that of their logarithms."""
    n, total, logs, prior = args
    sigma = math.exp(log_sigma)
    shape = (prior.nu_mean / sigma) ** 2
    rate = shape / prior.nu_mean
    value = prior.sigma_nu_shape * log_sigma - prior.sigma_nu_rate * sigma
    return value + n * (shape * math.log(rate) - math.lgamma(shape)) + shape * logs - rate * total


@update
def draw_sigma_nu(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S28: slice update of log sigma_nu given all nu."""
    own = state.noise
    logs = 0.0
    total = 0.0
    for i in range(own.nu.shape[0]):
        logs += math.log(own.nu[i])
        total += own.nu[i]
    args = (1.0 * own.nu.shape[0], total, logs, data.noise)
    now = math.log(own.sigma_nu[0])
    own.sigma_nu[0] = math.exp(slice_update(rng, sigma_nu_density, args, now, _WIDTH_SIGMA))
