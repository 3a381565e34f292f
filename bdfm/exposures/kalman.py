"""Random-walk betas by the Kalman filter, variances by maximum likelihood."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from rich.progress import track
from scipy.optimize import minimize

from bdfm import _checks
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.exposures.data import ExposureData
from bdfm.exposures.kernels import filter_betas
from bdfm.exposures.refits import MIN_RETURNS, check_enough, estimations
from bdfm.exposures.regression import with_constant
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET, FACTOR

Floats = NDArray[np.float64]

PERCENT: Final = 100.0  # the filters work in percent, where all numbers are of the order of one
PRIOR_SD_INTERCEPT: Final = 1.0  # percent a day
PRIOR_SD_BETA: Final = 10.0
_STEP_BOUNDS: Final = (1e-6, 1.0)  # daily sd of a beta's step; the lower end is a constant beta
_STARTS: Final = (0.003, 0.03)  # of the search, daily sd of a step


def prior_variances(n_factors: int) -> Floats:
    """Variances (1 + factor) of intercept and betas on the first day: vague, and proper."""
    return np.array([PRIOR_SD_INTERCEPT**2] + [PRIOR_SD_BETA**2] * n_factors)


@strict
def kalman_betas(
    returns: ArrayLike, factors: ArrayLike, *, noise_variance: float, step_variance: ArrayLike
) -> tuple[float, Floats, Floats]:
    """Log-likelihood, means and covariances of one asset's betas by the Kalman filter (eq. E6, E7).

    Raises ``DataError`` for shapes that do not fit each other.

    Parameters
    ----------
    returns, factors
        (day,) and (day, factor), in percent.
    noise_variance
        Of the return around its regression, percent squared.
    step_variance
        (factor,) variance of each beta's daily step; the intercept is constant.

    Returns
    -------
    tuple
        Log-likelihood of all days; means (day, 1 + factor) and covariances (day, 1 + factor, 1 + factor) of
        the coefficients given all days up to each, intercept first.

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
    >>> fit, means, _ = ex.kalman_betas(shares[:, 0], market, noise_variance=0.25, step_variance=[1e-4])
    >>> means[-1].round(1)
    array([-0. ,  0.6])
    """
    y, f = np.asarray(returns, dtype=np.float64), np.asarray(factors, dtype=np.float64)
    steps = np.concatenate([[0.0], np.asarray(step_variance, dtype=np.float64)])
    if y.ndim != 1 or f.ndim != 2 or len(f) != len(y) or len(steps) != f.shape[1] + 1:
        raise DataError(
            f"kalman: returns {y.shape}, factors {f.shape} and {len(steps) - 1} step variances do not fit."
            " Expected (day,), (day, factor) and one variance for each factor."
        )
    _checks.positive(noise_variance, what="noise_variance", where="kalman")
    if (steps < 0).any() or not np.isfinite(steps).all():
        raise DataError("kalman: step variances must be finite and not negative.")
    x = with_constant(f)
    mean, covariance = np.empty(x.shape), np.empty((*x.shape, x.shape[1]))
    loglik = filter_betas(y, x, float(noise_variance), steps, prior_variances(f.shape[1]), mean, covariance)
    return float(loglik), mean, covariance


def maximum_likelihood(returns: Floats, factors: Floats) -> tuple[float, Floats, float]:
    """Noise variance, step variances (factor) and log-likelihood of one asset, in percent (eq. E7).

    Found by L-BFGS on logarithms from two starts, slow and fast betas; the better one counts. Step standard
    deviations are kept between 1e-6 (a constant beta) and 1 a day.
    """
    x = with_constant(factors)
    n_factors = factors.shape[1]
    prior = prior_variances(n_factors)
    mean, covariance = np.empty(x.shape), np.empty((*x.shape, x.shape[1]))
    known = np.isfinite(returns)
    residual = (returns - x @ np.linalg.lstsq(x[known], returns[known], rcond=None)[0])[known]
    scale = float(np.log(max(residual.var(), 1e-12)))

    def loss(theta: Floats) -> float:
        steps = np.concatenate([[0.0], np.exp(theta[1:])])
        return -float(filter_betas(returns, x, np.exp(theta[0]), steps, prior, mean, covariance)) / len(x)

    low, high = (2 * np.log(b) for b in _STEP_BOUNDS)
    bounds = [(scale - 10, scale + 2)] + [(low, high)] * n_factors
    fits = [
        minimize(
            loss,
            np.concatenate([[scale - 0.1], np.full(n_factors, 2 * np.log(start))]),
            method="L-BFGS-B",
            bounds=bounds,
        )
        for start in _STARTS
    ]
    best = min(fits, key=lambda fit: float(fit.fun))
    return float(np.exp(best.x[0])), np.exp(best.x[1:]), -float(best.fun) * len(x)


@strict_fields
@dataclass(frozen=True)
class KalmanBetas:
    """Random-walk betas, asset by asset: filtered, so that no estimate knows a later day (eq. E6, E7).

    Noise and step variances are maximum-likelihood estimates on a growing past (eq. E21), those of the
    training part then stay; the intercept is constant. Noise is normal with a constant variance: a turbulent
    day moves betas more than it should.
    """

    smoothed: bool = False  # the training part's estimate on all days, also those that could not know it

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "kalman_smoothed" if self.smoothed else "kalman"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        check_enough(data, self.name)

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with filtered standard deviations, given the variances; ``seed`` changes nothing.

        Raises
        ------
        DataError
            No asset has 60 returns in the training part, or the factors are collinear in it.
        """
        begun = time.perf_counter()
        self.check(data)
        returns, factors = np.asarray(data.returns) * PERCENT, np.asarray(data.factors) * PERCENT
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, sd, intercept = (np.full(s, np.nan) for s in (shape, shape, shape[:2]))
        refits = estimations(data, smoothed=self.smoothed)
        noise, steps, loglik = (np.full(s, np.nan) for s in (shape[1], shape[1:], shape[1]))
        for i in track(range(shape[1]), "Kalman filter", disable=not progress, transient=True):
            y = np.ascontiguousarray(returns[:, i])
            for n, days in refits:
                if np.isfinite(y[:n]).sum() < MIN_RETURNS:
                    continue
                noise[i], steps[i], loglik[i] = maximum_likelihood(y[:n], factors[:n])
                _, mean, covariance = kalman_betas(
                    y, factors, noise_variance=noise[i], step_variance=steps[i]
                )
                intercept[days, i], exposures[days, i] = mean[days, 0] / PERCENT, mean[days, 1:]
                sd[days, i] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)[days, 1:])
        coords = {ASSET: list(data.assets), FACTOR: list(data.factor_names)}
        parameters = {
            "noise_sd": (ASSET, np.sqrt(noise) / PERCENT),
            "step_sd": ((ASSET, FACTOR), np.sqrt(steps)),
            "log_likelihood": (ASSET, loglik),  # of the training part, returns in percent
        }
        return Exposures.from_arrays(
            self.name,
            data,
            exposures,
            intercept,
            exposure_sd=sd,
            parameters=xr.Dataset(parameters, coords=coords),
            details={"seconds": time.perf_counter() - begun},
        )
