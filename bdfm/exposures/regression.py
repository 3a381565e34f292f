"""Exposures by ordinary least squares: over a rolling window, or once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._optional import optional
from bdfm.data.doubts.factors import ALIKE
from bdfm.errors import DataError
from bdfm.exposures.choices import WINDOW_DAYS
from bdfm.exposures.data import ExposureData
from bdfm.exposures.refits import estimations
from bdfm.exposures.result import Exposures
from bdfm.names import ASSET

Floats = NDArray[np.float64]


MIN_RETURNS: Final = 60  # of an asset, that its own estimates are made of


def with_constant(factors: Floats) -> Floats:
    """Design (day, 1 + factor) of a regression with an intercept."""
    return np.column_stack([np.ones(len(factors)), factors])


def _rank(factors: Floats) -> int:
    """Number of factors (day, factor) that can be told apart on these days, and from an intercept."""
    centred = factors - factors.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=0))
    moving = size > 1e-12 * np.sqrt(len(factors)) * np.abs(factors).max(axis=0)
    scaled = centred[:, moving] / size[moving]
    return int((np.linalg.eigvalsh(scaled.T @ scaled) >= ALIKE).sum())


def _check_window(data: ExposureData, window: slice, where: str) -> None:
    """Refuse days on which factors are collinear that are not so on all days, which a rule on data sees."""
    factors = np.asarray(data.factors)
    if _rank(factors[window]) < _rank(factors):
        first, last = data.days[window][0], data.days[window][-1]
        raise DataError(
            f"{where}: the factors ({_checks.first(data.factor_names)}) are collinear from {first:%Y-%m-%d}"
            f" to {last:%Y-%m-%d}, though not on all days: one does not move there, or repeats others."
            " Exposures to them are one of infinitely many solutions. Leave one out, or take other days."
        )


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
        params[:, i], bse[:, i], r2[i] = fit.params, fit.bse, fit.rsquared
    return params, bse, r2


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

    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with standard errors; ``seed`` and ``progress`` change nothing.

        Raises
        ------
        DataError
            The window is longer than the history, or has too few days for the factors, or factors are
            collinear in it.
        """
        begun = time.perf_counter()
        n_factors = len(data.factor_names)
        if not n_factors + 2 <= self.window_days <= data.n_days:
            raise DataError(
                f"{self.name}: a window of {self.window_days} days does not fit {n_factors} factors and"
                f" {data.n_days} days. Choose one between {n_factors + 2} and {data.n_days}."
            )
        returns, factors = np.asarray(data.returns), np.asarray(data.factors)
        shape = (data.n_days, len(data.assets), n_factors)
        exposures, errors = np.full(shape, np.nan), np.full(shape, np.nan)
        intercept = np.full(shape[:2], np.nan)
        for t in range(self.window_days - 1, data.n_days, self.refresh_days):
            window = slice(t + 1 - self.window_days, t + 1)
            _check_window(data, window, self.name)
            params, bse, _ = _ols(returns[window], factors[window])
            until = slice(t, t + self.refresh_days)
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

    def fit(self, data: ExposureData, *, seed: int = 0, progress: bool = False) -> Exposures:
        """Exposures with standard errors; ``seed`` and ``progress`` change nothing.

        Raises
        ------
        DataError
            Factors are collinear in the days of an estimate.
        """
        begun = time.perf_counter()
        returns, factors = np.asarray(data.returns), np.asarray(data.factors)
        shape = (data.n_days, len(data.assets), len(data.factor_names))
        exposures, errors, intercept = (np.full(s, np.nan) for s in (shape, shape, shape[:2]))
        r2 = np.full(shape[1], np.nan)
        for n, days in estimations(data, smoothed=self.smoothed):
            _check_window(data, slice(0, n), self.name)
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
