"""Exposures by ordinary least squares: over a rolling window, or once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.exposures.choices import WINDOW_DAYS
from bdfm.exposures.data import ExposureData
from bdfm.exposures.refits import check_factors, estimations
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET

Floats = NDArray[np.float64]


def with_constant(factors: Floats) -> Floats:
    """Design (day, 1 + factor) of a regression with an intercept."""
    return np.column_stack([np.ones(len(factors)), factors])


def _ols(returns: Floats, factors: Floats) -> tuple[Floats, Floats, Floats]:
    """Coefficients and standard errors (1 + factor, asset), R² (asset), of one window by statsmodels.

    An asset's missing days are left out of its own regression; NaN where fewer than half of the days are
    known, or no more than there are coefficients.
    """
    sm = optional("statsmodels.api", what="rolling OLS")
    design = with_constant(factors)
    size = design.shape[1]
    params, bse = np.full((2, size, returns.shape[1]), np.nan)
    r2 = np.full(returns.shape[1], np.nan)
    for i, column in enumerate(returns.T):
        known = np.isfinite(column)
        if 2 * known.sum() < len(column) or known.sum() <= size:
            continue
        fit = sm.OLS(column[known], design[known]).fit()
        with np.errstate(invalid="ignore", divide="ignore"):  # of an asset that stands still there
            params[:, i], bse[:, i], r2[i] = fit.params, fit.bse, fit.rsquared
    return params, bse, r2


@strict_fields
@dataclass(frozen=True)
class RollingOLS:
    """Exposures by least squares over the last ``window_days``, refreshed every ``refresh_days`` (eq. E5).

    An estimate uses the days up to and including the one on which it is made, and stands until the next.
    Days before the first full window are NaN. Standard errors are those of homoskedastic, uncorrelated
    residuals; they say nothing about betas that move inside the window.
    """

    window_days: int = WINDOW_DAYS
    refresh_days: int = 21

    def __post_init__(self) -> None:
        _checks.at_least(self.refresh_days, 1, what="refresh_days", where=self.name)
        _checks.at_least(self.window_days, 10, what="window_days", where=self.name)

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "rolling_ols"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        optional("statsmodels.api", what="rolling OLS")
        n_factors = len(data.factor_names)
        if not n_factors + 2 <= self.window_days <= data.n_days:
            raise DataError(
                f"{self.name}: a window of {self.window_days} days does not fit {n_factors} factors and"
                f" {data.n_days} days. Choose one between {n_factors + 2} and {data.n_days}."
            )
        check_factors(data, (window for window, _ in self._windows(data)), self.name)

    def _windows(self, data: ExposureData) -> Iterator[tuple[slice, slice]]:
        """Days of each estimate, and those that it holds for, from its last one on."""
        for t in range(self.window_days - 1, data.n_days, self.refresh_days):
            yield slice(t + 1 - self.window_days, t + 1), slice(t, t + self.refresh_days)

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with standard errors; ``seed`` and ``progress`` change nothing.

        Raises
        ------
        DataError
            The window is longer than the history, or has too few days for the factors, or factors are
            collinear in it.
        """
        begun = time.perf_counter()
        self.check(data)
        n_factors = len(data.factor_names)
        returns, factors = np.asarray(data.returns), np.asarray(data.factors)
        shape = (data.n_days, len(data.assets), n_factors)
        exposures, errors = np.full(shape, np.nan), np.full(shape, np.nan)
        intercept = np.full(shape[:2], np.nan)
        for window, until in self._windows(data):
            params, bse, _ = _ols(returns[window], factors[window])
            intercept[until], exposures[until], errors[until] = params[0], params[1:].T, bse[1:].T
        return Exposures.from_arrays(
            self.name,
            data,
            exposures,
            intercept,
            exposure_sd=errors,
            details={
                "window_days": self.window_days,
                "refresh_days": self.refresh_days,
                "seconds": time.perf_counter() - begun,
            },
        )


@strict_fields
@dataclass(frozen=True)
class ConstantBetas:
    """Exposures by least squares on the training part, the same ever after: what the others must beat.

    Those of days inside the training part are of a growing past (eq. E21).
    """

    smoothed: bool = False  # the training part's estimate on all days, also those that could not know it

    @property
    def name(self) -> str:
        """Short name for tables and files."""
        return "constant_smoothed" if self.smoothed else "constant"

    def check(self, data: ExposureData) -> None:
        """Raise what ``fit`` would, ``DataError`` say, before anything is fitted."""
        optional("statsmodels.api", what="OLS")
        check_factors(data, (slice(0, n) for n, _ in estimations(data, smoothed=self.smoothed)), self.name)

    @strict
    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with standard errors; ``seed`` and ``progress`` change nothing.

        Raises
        ------
        DataError
            Factors are collinear in the days of an estimate.
        """
        begun = time.perf_counter()
        self.check(data)
        returns, factors = np.asarray(data.returns), np.asarray(data.factors)
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, errors, intercept = (np.full(s, np.nan) for s in (shape, shape, shape[:2]))
        r2 = np.full(shape[1], np.nan)
        for n, days in estimations(data, smoothed=self.smoothed):
            params, bse, r2 = _ols(returns[:n], factors[:n])
            intercept[days], exposures[days], errors[days] = params[0], params[1:].T, bse[1:].T
        return Exposures.from_arrays(
            self.name,
            data,
            exposures,
            intercept,
            exposure_sd=errors,
            parameters=xr.Dataset({"r_squared": (ASSET, r2)}, coords={ASSET: list(data.assets)}),
            details={"seconds": time.perf_counter() - begun},
        )
