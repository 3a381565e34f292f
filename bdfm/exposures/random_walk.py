"""Bayesian random-walk betas: the posterior of variances and paths by Gibbs sampling."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.progress import track

from bdfm import checks
from bdfm.dims import ASSET, DRAW, FACTOR
from bdfm.exposures.data import ExposureData
from bdfm.exposures.kalman import PERCENT, prior_variances
from bdfm.exposures.kernels import cholesky, filter_betas, kernel
from bdfm.exposures.regression import with_constant
from bdfm.exposures.result import Exposures

Floats = NDArray[np.float64]

# Inverse gamma priors. The step's: a daily sd around 0.01, 95 % between about 0.005 and 0.045.
STEP_SHAPE: Final = 1.5
STEP_RATE: Final = 1.5 * 0.01**2
NOISE_SHAPE: Final = 1.5
NOISE_RATE: Final = 1.5  # percent squared


@kernel
def backward_draw(
    rng: np.random.Generator, mean: Floats, covariance: Floats, step_variance: Floats, path: Floats
) -> None:
    """Fill ``path`` (day, m) with a draw of the coefficients given all days (Carter and Kohn 1994).

    ``mean`` and ``covariance`` are filtered moments; the first coefficient is constant (step variance 0), the
    others walk.
    """
    n, m = mean.shape
    moment, root = np.empty((m, m)), np.zeros((m, m))
    sum_, gain = np.empty((m, m)), np.empty((m, m))
    centre, w = np.empty(m), np.empty(m)
    for t in range(n - 1, -1, -1):
        for i in range(m):
            centre[i] = mean[t, i]
            for j in range(m):
                moment[i, j] = covariance[t, i, j]
        if t < n - 1:
            # b_t | b_t+1 is normal: gain = P (P + Q)^-1, mean + gain (b_t+1 - mean), P - gain P
            for i in range(m):
                for j in range(m):
                    sum_[i, j] = moment[i, j]
                sum_[i, i] += step_variance[i]
            cholesky(sum_, root)
            for row in range(m):
                for i in range(m):
                    s = moment[row, i]
                    for k in range(i):
                        s -= root[i, k] * w[k]
                    w[i] = s / root[i, i]
                for i in range(m - 1, -1, -1):
                    s = w[i]
                    for k in range(i + 1, m):
                        s -= root[k, i] * gain[row, k]
                    gain[row, i] = s / root[i, i]
            for i in range(m):
                for j in range(m):
                    centre[i] += gain[i, j] * (path[t + 1, j] - mean[t, j])
                    s = 0.0
                    for k in range(m):
                        s += gain[i, k] * covariance[t, k, j]
                    moment[i, j] -= s
        # The constant coefficient equals that of the day after; only the others are drawn.
        begin = 0
        if t < n - 1 and step_variance[0] == 0.0:
            centre[0] = path[t + 1, 0]
            begin = 1
        k_size = m - begin
        sub, sub_root = np.empty((k_size, k_size)), np.zeros((k_size, k_size))
        for i in range(k_size):
            for j in range(k_size):
                sub[i, j] = 0.5 * (moment[begin + i, begin + j] + moment[begin + j, begin + i])
        cholesky(sub, sub_root)
        for i in range(k_size):
            w[i] = rng.standard_normal()
        for i in range(m):
            path[t, i] = centre[i]
        for i in range(k_size):
            for j in range(i + 1):
                path[t, begin + i] += sub_root[i, j] * w[j]


@kernel
def gibbs(
    rng: np.random.Generator,
    y: Floats,
    x: Floats,
    prior_variance: Floats,
    start: Floats,
    n_burn: int,
    thin: int,
    out: Floats,
) -> None:
    """Fill ``out`` (draw, m) with draws of noise variance and step variances given all of ``y`` (eq. E13).

    Each sweep draws the path by ``backward_draw`` and then the variances from their inverse gamma
    conditionals. ``start`` (m,): noise variance, then step variances of the walking coefficients.
    """
    n, m = x.shape
    mean, covariance, path = np.empty((n, m)), np.empty((n, m, m)), np.empty((n, m))
    noise = start[0]
    steps = np.zeros(m)
    steps[1:] = start[1:]
    for sweep in range(n_burn + thin * out.shape[0]):
        filter_betas(y, x, noise, steps, prior_variance, mean, covariance)
        backward_draw(rng, mean, covariance, steps, path)
        rate = NOISE_RATE
        for t in range(n):
            error = y[t]
            for i in range(m):
                error -= x[t, i] * path[t, i]
            rate += 0.5 * error * error
        noise = rate / rng.standard_gamma(NOISE_SHAPE + 0.5 * n)
        for i in range(1, m):
            rate = STEP_RATE
            for t in range(1, n):
                step = path[t, i] - path[t - 1, i]
                rate += 0.5 * step * step
            steps[i] = rate / rng.standard_gamma(STEP_SHAPE + 0.5 * (n - 1))
        kept = sweep - n_burn
        if kept >= 0 and (kept + 1) % thin == 0:
            out[kept // thin, 0] = noise
            out[kept // thin, 1:] = steps[1:]


class Variances(NamedTuple):
    """Posterior draws for one asset, returns in percent."""

    noise: Floats  # (draw,)
    steps: Floats  # (draw, factor)


def sample_variances(
    returns: Floats, factors: Floats, *, n_draws: int, n_burn: int, thin: int, rng: np.random.Generator
) -> Variances:
    """Posterior draws of the variances of one asset (eq. E13).

    ``returns`` (day,) and ``factors`` (day, factor) in percent; ``n_burn`` sweeps are thrown away, then every
    ``thin``-th is kept.
    """
    x = with_constant(factors)
    residual = returns - x @ np.linalg.lstsq(x, returns, rcond=None)[0]
    start = np.concatenate([[residual.var()], np.full(factors.shape[1], 0.01**2)])
    out = np.empty((n_draws, x.shape[1]))
    gibbs(rng, returns, x, prior_variances(factors.shape[1]), start, n_burn, thin, out)
    return Variances(out[:, 0], out[:, 1:])


@dataclass(frozen=True)
class BayesianRandomWalk:
    """Random-walk betas whose variances are uncertain too (eq. E6, E13).

    The regression of ``KalmanBetas``, asset by asset, with inverse gamma priors on noise and step variances.
    Their posterior given the training part is sampled by Gibbs (forward filter, backward sampler); each draw
    then filters all days, and the exposures are the mean and sd of the mixture. It is *not* bdfm's factor
    model: factors are published ones, assets share nothing, and noise is normal with a constant variance.
    """

    n_draws: int = 50
    n_burn: int = 300
    thin: int = 10

    def __post_init__(self) -> None:
        for what, value, least in (
            ("n_draws", self.n_draws, 2),
            ("n_burn", self.n_burn, 0),
            ("thin", self.thin, 1),
        ):
            checks.at_least(value, least, what=what, where=self.name)

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "bayes_random_walk"

    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with posterior standard deviations; equal seeds give equal results."""
        begun = time.perf_counter()
        returns, factors = np.asarray(data.returns) * PERCENT, np.asarray(data.factors) * PERCENT
        part = data.days_of("training")
        x = with_constant(factors)
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, sd, intercept = np.empty(shape), np.empty(shape), np.empty(shape[:2])
        noise, steps = np.empty((self.n_draws, shape[1])), np.empty((self.n_draws, *shape[1:]))
        mean, covariance = np.empty(x.shape), np.empty((*x.shape, x.shape[1]))
        prior = prior_variances(shape[2])
        streams = np.random.default_rng(seed).spawn(shape[1])
        for i in track(range(shape[1]), "Bayesian random walk", disable=not progress, transient=True):
            y = np.ascontiguousarray(returns[:, i])
            draws = sample_variances(
                y[part],
                factors[part],
                n_draws=self.n_draws,
                n_burn=self.n_burn,
                thin=self.thin,
                rng=streams[i],
            )
            noise[:, i], steps[:, i] = draws
            first, second = np.zeros(x.shape), np.zeros(x.shape)
            for h, q in zip(*draws, strict=True):
                filter_betas(y, x, h, np.concatenate([[0.0], q]), prior, mean, covariance)
                first += mean / self.n_draws
                second += (np.diagonal(covariance, axis1=1, axis2=2) + mean**2) / self.n_draws
            intercept[:, i], exposures[:, i] = first[:, 0] / PERCENT, first[:, 1:]
            sd[:, i] = np.sqrt(np.maximum(second - first**2, 0))[:, 1:]
        coords = {ASSET: list(data.assets), FACTOR: list(data.factor_names), DRAW: np.arange(self.n_draws)}
        parameters = {
            "noise_sd": ((DRAW, ASSET), np.sqrt(noise) / PERCENT),
            "step_sd": ((DRAW, ASSET, FACTOR), np.sqrt(steps)),
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
