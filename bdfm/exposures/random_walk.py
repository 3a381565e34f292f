"""Bayesian random-walk betas: variances sampled with the paths integrated out, paths filtered."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.progress import track
from scipy.optimize import minimize

from bdfm import _checks
from bdfm._strict import strict, strict_fields
from bdfm.exposures.data import ExposureData
from bdfm.exposures.kalman import PERCENT, prior_variances
from bdfm.exposures.kernels import filter_betas, kernel
from bdfm.exposures.refits import MIN_RETURNS, check_enough, estimations
from bdfm.exposures.regression import with_constant
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET, DRAW, FACTOR

Floats = NDArray[np.float64]

# Inverse gamma priors. The step's: a daily sd around 0.01, 95 % between about 0.005 and 0.045.
STEP_SHAPE: Final = 1.5
STEP_RATE: Final = 1.5 * 0.01**2
NOISE_SHAPE: Final = 1.5
NOISE_RATE: Final = 1.5  # percent squared
_DIFFERENCE: Final = 0.05  # of a log variance, for the curvature


@kernel
def log_posterior(
    theta: Floats,
    y: Floats,
    x: Floats,
    prior_variance: Floats,
    mean: Floats,
    covariance: Floats,
) -> float:
    """Log posterior density of the log variances of one asset, up to a constant (eq. E13).

    ``theta`` (m,): log noise variance, then log step variances of the walking coefficients; the first
    coefficient is constant. The paths are integrated out by the filter; ``mean`` and ``covariance`` are its
    scratch memory.
    """
    steps = np.exp(theta)
    steps[0] = 0.0
    value = filter_betas(y, x, math.exp(theta[0]), steps, prior_variance, mean, covariance)
    value -= NOISE_SHAPE * theta[0] + NOISE_RATE * math.exp(-theta[0])
    for i in range(1, len(theta)):
        value -= STEP_SHAPE * theta[i] + STEP_RATE * math.exp(-theta[i])
    return float(value)


@kernel
def metropolis(
    rng: np.random.Generator,
    y: Floats,
    x: Floats,
    prior_variance: Floats,
    start: Floats,
    root: Floats,
    n_burn: int,
    thin: int,
    out: Floats,
) -> float:
    """Fill ``out`` (draw, m) with draws of the log variances by Metropolis; returns the acceptance rate.

    Proposals are normal with the Cholesky factor ``root`` (m, m), times a scale that is tuned to accept 30 %
    during the first ``n_burn`` steps, and fixed then.
    """
    n, m = x.shape
    mean, covariance = np.empty((n, m)), np.empty((n, m, m))
    now, new, z = start.copy(), np.empty(m), np.empty(m)
    level = log_posterior(now, y, x, prior_variance, mean, covariance)
    log_scale = math.log(2.4 / math.sqrt(m))
    accepted = 0
    for step in range(n_burn + thin * out.shape[0]):
        for i in range(m):
            z[i] = rng.standard_normal()
            new[i] = now[i]
            for j in range(i + 1):
                new[i] += math.exp(log_scale) * root[i, j] * z[j]
        proposed = log_posterior(new, y, x, prior_variance, mean, covariance)
        take = math.log(1.0 - rng.random()) < proposed - level
        if take:
            now[:] = new
            level = proposed
        if step < n_burn:
            log_scale += ((1.0 if take else 0.0) - 0.3) / math.sqrt(1.0 + step)
            continue
        accepted += take
        kept = step - n_burn
        if (kept + 1) % thin == 0:
            out[kept // thin] = now
    return float(accepted / (thin * out.shape[0]))


class Variances(NamedTuple):
    """Posterior draws for one asset, returns in percent."""

    noise: Floats  # (draw,)
    steps: Floats  # (draw, factor)
    acceptance: float  # of the sampler


def sample_variances(
    returns: Floats, factors: Floats, *, n_draws: int, n_burn: int, thin: int, rng: np.random.Generator
) -> Variances:
    """Posterior draws of the variances of one asset (eq. E13).

    ``returns`` (day,) and ``factors`` (day, factor) in percent; ``n_burn`` steps are thrown away, then every
    ``thin``-th is kept. Started at the mode, proposals shaped by the curvature there.
    """
    x = with_constant(factors)
    prior = prior_variances(factors.shape[1])
    mean, covariance = np.empty(x.shape), np.empty((*x.shape, x.shape[1]))

    def loss(theta: Floats) -> float:
        return -float(log_posterior(theta, returns, x, prior, mean, covariance))

    known = np.isfinite(returns)
    residual = (returns - x @ np.linalg.lstsq(x[known], returns[known], rcond=None)[0])[known]
    begin = np.log(np.concatenate([[max(residual.var(), 1e-12)], np.full(factors.shape[1], 0.01**2)]))
    mode = minimize(loss, begin, method="L-BFGS-B", bounds=[(v - 8, v + 8) for v in begin]).x
    root = np.linalg.cholesky(_inverse_curvature(loss, mode))
    out = np.empty((n_draws, x.shape[1]))
    acceptance = metropolis(rng, returns, x, prior, mode, root, n_burn, thin, out)
    return Variances(np.exp(out[:, 0]), np.exp(out[:, 1:]), float(acceptance))


def _inverse_curvature(loss: Callable[[Floats], float], mode: Floats) -> Floats:
    """Inverse Hessian of a loss by central differences, eigenvalues between 1e-4 and 4."""
    m = len(mode)
    hessian = np.empty((m, m))
    steps = _DIFFERENCE * np.eye(m)
    for i in range(m):
        for j in range(i + 1):
            around = [
                loss(mode + a * steps[i] + b * steps[j]) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
            ]
            hessian[i, j] = hessian[j, i] = (around[0] - around[1] - around[2] + around[3]) / (
                4 * _DIFFERENCE**2
            )
    values, vectors = np.linalg.eigh(hessian)
    return np.asarray(vectors / np.clip(values, 0.25, 1e4) @ vectors.T)


@strict_fields
@dataclass(frozen=True)
class BayesianRandomWalk:
    """Random-walk betas whose variances are uncertain too (eq. E6, E13).

    The regression of ``KalmanBetas``, asset by asset, with inverse gamma priors on noise and step variances.
    Their posterior given a growing past (eq. E21) is sampled by Metropolis, with the paths integrated out by
    the filter; each draw then filters all days, and the exposures are the mean and sd of the mixture. It is
    *not* bdfm's factor model: factors are published ones, assets share nothing, and noise is normal with a
    constant variance.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import exposures as ex
    >>> rng = np.random.default_rng(1)
    >>> days = pd.bdate_range("2020-01-01", periods=300)
    >>> market = rng.normal(0, 1, (300, 1))
    >>> shares = market * [0.5, 1.5] + rng.normal(0, 0.5, (300, 2))
    >>> data = ex.ExposureData.from_arrays(
    ...     shares / 100, market / 100, days=days, assets=["A", "B"], factor_names=["market"]
    ... )
    >>> found = ex.BayesianRandomWalk(n_draws=5, n_burn=20, thin=1).fit(data, seed=1)
    >>> found.exposures.shape
    (300, 2, 1)
    """

    n_draws: int = 50  # kept draws of each asset's variances
    n_burn: int = 300  # first draws, thrown away
    thin: int = 20  # steps for each kept draw
    smoothed: bool = False  # the training part's posterior on all days, also those that could not know it

    def __post_init__(self) -> None:
        for what, value, least in (
            ("n_draws", self.n_draws, 2),
            ("n_burn", self.n_burn, 0),
            ("thin", self.thin, 1),
        ):
            _checks.at_least(value, least, what=what, where=self.name)

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "bayes_random_walk_smoothed" if self.smoothed else "bayes_random_walk"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        check_enough(data, self.name)

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with posterior standard deviations; equal seeds give equal results.

        Raises
        ------
        DataError
            No asset has 60 returns in the training part, or the factors are collinear in it.
        """
        begun = time.perf_counter()
        self.check(data)
        returns, factors = np.asarray(data.returns) * PERCENT, np.asarray(data.factors) * PERCENT
        refits = estimations(data, smoothed=self.smoothed)
        x = with_constant(factors)
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, sd, intercept = (np.full(s, np.nan) for s in (shape, shape, shape[:2]))
        noise, steps = (np.full((self.n_draws, *s), np.nan) for s in (shape[1:2], shape[1:]))
        acceptance = np.full(shape[1], np.nan)
        mean, covariance = np.empty(x.shape), np.empty((*x.shape, x.shape[1]))
        prior = prior_variances(shape[2])
        streams = np.random.default_rng(seed).spawn(shape[1])
        for i in track(range(shape[1]), "Bayesian random walk", disable=not progress, transient=True):
            y = np.ascontiguousarray(returns[:, i])
            # The last estimate has the asset's own stream, earlier ones streams of theirs.
            streams_of = [*streams[i].spawn(len(refits) - 1), streams[i]]
            for (n, days), stream in zip(refits, streams_of, strict=True):
                if np.isfinite(y[:n]).sum() < MIN_RETURNS:
                    continue
                draws = sample_variances(
                    y[:n], factors[:n], n_draws=self.n_draws, n_burn=self.n_burn, thin=self.thin, rng=stream
                )
                noise[:, i], steps[:, i], acceptance[i] = draws
                first, second = np.zeros(x.shape), np.zeros(x.shape)
                for h, q in zip(draws.noise, draws.steps, strict=True):
                    filter_betas(y, x, h, np.concatenate([[0.0], q]), prior, mean, covariance)
                    first += mean / self.n_draws
                    second += (np.diagonal(covariance, axis1=1, axis2=2) + mean**2) / self.n_draws
                intercept[days, i], exposures[days, i] = first[days, 0] / PERCENT, first[days, 1:]
                sd[days, i] = np.sqrt(np.maximum(second - first**2, 0))[days, 1:]
        coords = {ASSET: list(data.assets), FACTOR: list(data.factor_names), DRAW: np.arange(self.n_draws)}
        parameters = {
            "noise_sd": ((DRAW, ASSET), np.sqrt(noise) / PERCENT),
            "step_sd": ((DRAW, ASSET, FACTOR), np.sqrt(steps)),
            "acceptance": (ASSET, acceptance),
        }
        return Exposures.from_arrays(
            self.name,
            data,
            exposures,
            intercept,
            exposure_sd=sd,
            parameters=xr.Dataset(parameters, coords=coords),
            details={
                "n_draws": self.n_draws,
                "n_burn": self.n_burn,
                "thin": self.thin,
                "seed": seed,
                "seconds": time.perf_counter() - begun,
            },
        )
