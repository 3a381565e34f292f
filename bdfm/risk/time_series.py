"""Risk models with known factor returns, such as Fama-French: exposures by time-series regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _doubles, _renamed
from bdfm._reading import counted
from bdfm._strict import strict_fields
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.weighting import effective_size
from bdfm.errors import DataError
from bdfm.risk.base import RiskModel
from bdfm.risk.returns import (
    Divisor,
    period_weights,
    returns_table,
    weighted_covariance,
    window_of,
)

Floats = NDArray[np.float64]

MIN_FREEDOM: Final = 5  # periods beyond the coefficients that a regression needs


@_renamed.fields(half_life="half_life_periods")
@strict_fields
@dataclass(frozen=True, eq=False)
class TimeSeriesEstimator:
    """Exposures by regressing each asset's excess return on factor returns, with an intercept (eq. R5).

    F is the sample covariance of the factor returns, D the residual variance (divisor T - K - 1).

    Parameters
    ----------
    factors
        (period, factor) factor returns, decimals: excess returns or zero-cost portfolios. Their index has
        every day of the returns; what is after the last return is never looked at.
    risk_free
        (period,) risk-free simple return of each period, subtracted from the assets' returns; ``None`` for
        returns that are excess returns already.
    window
        Number of the last periods used; ``None`` for all.
    half_life_periods
        Periods after which an observation counts half; ``None`` for equal weights.
    shrink_to
        Vasicek (1973) shrinkage. ``"mean"``: exposures move towards their cross-sectional mean, each the
        more, the less precisely it is known. A mapping, such as ``{"market": 1.0}``: those of the factors
        named move towards the value given. ``None``: plain regression.
    divisor
        Of the residual variance: ``"unbiased"`` T - K - 1, ``"textbook"`` T - 1, which is too small by the
        share of freedom that exposures cost (5 % at 20 periods and one factor).
    accept
        Doubts about factors and returns that are right all the same; see ``bdfm.data.doubts``.
    """

    factors: pd.DataFrame
    risk_free: pd.Series | None = None
    window: int | None = None
    half_life_periods: float | None = None
    shrink_to: Literal["mean"] | Mapping[str, float] | None = None
    divisor: Divisor = "unbiased"
    accept: tuple[str, ...] = ()

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model from simple returns (period, asset), made at their last period.

        Raises
        ------
        DataError
            Returns without factor returns, collinear factors, assets with too few returns.
        UnknownLabelError
            An unknown divisor.
        """
        where = "time-series model"
        _checks.known([self.divisor], get_args(Divisor), what="divisor", where=where)
        table = window_of(returns_table(returns, where=where, accept=self.accept), self.window, where=where)
        origin = table.index[-1]
        table, factors = self.realised(table)
        table = table.loc[table.notna().any(axis=1)]
        factors = factors.loc[table.index]
        doubt(Tables("risk", factors=factors), accept=self.accept)
        names = [str(c) for c in factors.columns]
        x = np.column_stack([np.ones(len(factors)), factors.to_numpy()])
        y = table.to_numpy()
        weights = period_weights(len(x), self.half_life_periods, where=where)
        self._check_design(x, y, names, list(table.columns), where)
        coefficients, residuals, variance, errors = regressions(x, y, weights)
        if self.shrink_to is not None:
            target = self._target(coefficients[1:], names, where)
            coefficients[1:] = _shrunk(coefficients[1:], errors[1:], target)
            coefficients, residuals, variance = _refit(x, y, weights, coefficients)
        if self.divisor == "textbook":
            variance = variance * _freedom_used(y, weights, x.shape[1])
        return RiskModel.from_arrays(
            coefficients[1:].T,
            weighted_covariance(x[:, 1:], weights),
            variance,
            assets=list(table.columns),
            factors=names,
            kind="time-series",
            origin=origin,
            observed_factors=True,
            notes=self._notes(len(x)),
            factor_returns=factors.set_axis(names, axis=1),
            specific_returns=pd.DataFrame(residuals, table.index, table.columns),
        )

    def realised(self, returns: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Excess returns (period, asset) and factor returns (period, factor) of periods to be explained."""
        where = "time-series model"
        factors = _on(self.factors, returns.index, where=f"{where}: factors")
        if self.risk_free is None:
            return returns, factors
        rate = _on(self.risk_free.to_frame("risk_free"), returns.index, where=f"{where}: risk-free rate")
        return returns.sub(rate["risk_free"], axis=0), factors

    def _notes(self, n: int) -> tuple[str, ...]:
        weighted = "" if self.half_life_periods is None else f", half-life {self.half_life_periods:g}"
        shrunk = "" if self.shrink_to is None else "; exposures shrunk (Vasicek)"
        return (f"{n} periods{weighted}{shrunk}",)

    def _target(self, betas: Floats, names: list[str], where: str) -> Floats:
        """Value that exposures (factor, asset) move towards, (factor,); NaN for factors left alone."""
        if self.shrink_to == "mean":
            return np.asarray(betas.mean(axis=1))
        if not isinstance(self.shrink_to, Mapping):
            raise DataError(f"{where}: shrink_to is {self.shrink_to!r}, expected 'mean' or a mapping.")
        _checks.known(self.shrink_to, names, what="factor", where=f"{where}: shrink_to")
        given = {k: _checks.finite(v, what=k, where=f"{where}: shrink_to") for k, v in self.shrink_to.items()}
        return np.array([given.get(name, np.nan) for name in names])

    def _check_design(self, x: Floats, y: Floats, names: list[str], assets: list[str], where: str) -> None:
        needed = x.shape[1] + MIN_FREEDOM
        count = np.isfinite(y).sum(axis=0)
        few = [f"{a} {n}" for a, n in zip(assets, count, strict=True) if n < needed]
        if few:
            raise DataError(
                f"{where}: {len(few)} of {len(assets)} assets have fewer than {needed} returns in the window"
                f" ({_checks.first(few)}), which {counted(len(names), 'factor needs', 'factors need')}."
                " Drop them, or use more history."
            )
        scale = np.abs(x).max(axis=0)
        flat = [n for n, s in zip(names, x[:, 1:].std(axis=0), strict=True) if s == 0]
        if flat or np.linalg.matrix_rank(x / np.where(scale > 0, scale, 1)) < x.shape[1]:
            named = f"{_checks.first(flat)} constant" if flat else f"among {_checks.first(names)}"
            raise DataError(f"{where}: the factors are collinear ({named}). Drop one of them.")


def regressions(x: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted least squares of each column of ``y`` (period, asset) on ``x`` (period, regressor).

    Missing values of an asset are left out of its own regression alone.

    Returns
    -------
    tuple
        Coefficients (regressor, asset); residuals (period, asset), NaN where y is; residual variances
        (asset,), Σ w e² / Σ w times n / (n - regressors) with n = (Σ w)² / Σ w²; standard errors (regressor,
        asset) of the textbook formula.
    """
    n_regressors, n_assets = x.shape[1], y.shape[1]
    coefficients, errors = np.empty((n_regressors, n_assets)), np.empty((n_regressors, n_assets))
    variance = np.empty(n_assets)
    known = np.isfinite(y)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for p in range(patterns.shape[1]):  # assets with equal gaps share one factorisation
        rows, columns = patterns[:, p], np.flatnonzero(which.ravel() == p)
        w = weights[rows]
        root = np.sqrt(w)[:, None]
        own, target = x[rows], y[np.ix_(rows, columns)]
        solution = np.linalg.lstsq(root * own, root * target, rcond=None)[0]
        coefficients[:, columns] = solution
        n = effective_size(w)
        mean_square = w @ np.square(target - own @ solution) / w.sum()
        variance[columns] = mean_square * n / (n - n_regressors)
        gram = np.linalg.inv((own * w[:, None]).T @ own / w.sum())
        errors[:, columns] = np.sqrt(np.outer(np.diag(gram) / n, variance[columns]))
    return coefficients, y - x @ coefficients, variance, errors


def _freedom_used(y: Floats, weights: Floats, n_regressors: int) -> Floats:
    """(n - regressors) / (n - 1) of each asset, n its effective number of periods."""
    w = np.where(np.isfinite(y), weights[:, None], 0.0)
    n = np.square(w.sum(axis=0)) / np.square(w).sum(axis=0)
    return np.asarray((n - n_regressors) / (n - 1))


def _shrunk(betas: Floats, errors: Floats, target: Floats) -> Floats:
    """Vasicek (1973): exposures (factor, asset) weighted with the target by precision.

    The prior variance is that of the estimates about the target, over assets.
    """
    towards = np.where(np.isfinite(target), target, 0.0)[:, None]
    spread = np.square(betas - towards).mean(axis=1)[:, None]
    keep = spread / (spread + np.square(errors))
    return np.where(np.isfinite(target)[:, None], keep * betas + (1 - keep) * towards, betas)


def _refit(x: Floats, y: Floats, weights: Floats, coefficients: Floats) -> tuple[Floats, Floats, Floats]:
    """Intercepts, residuals and residual variances given exposures."""
    part = y - x[:, 1:] @ coefficients[1:]
    w = np.where(np.isfinite(y), weights[:, None], 0.0)
    intercept = (w * np.nan_to_num(part)).sum(axis=0) / w.sum(axis=0)
    residuals = part - intercept
    n = np.square(w.sum(axis=0)) / np.square(w).sum(axis=0)
    mean_square = (w * np.square(np.nan_to_num(residuals))).sum(axis=0) / w.sum(axis=0)
    return np.vstack([intercept, coefficients[1:]]), residuals, mean_square * n / (n - x.shape[1])


def _on(table: pd.DataFrame, index: pd.Index[Any], *, where: str) -> pd.DataFrame:
    """Rows of a table for the periods of the returns, all present and finite."""
    days = _checks.days(table.index, where=where)
    names = [str(c) for c in table.columns]
    _checks.unique(names, what="column", where=where)
    table = _doubles.once_a_day(table.set_axis(days), where=where)
    days = pd.DatetimeIndex(table.index)
    missing = index.difference(days)
    if len(missing):
        raise DataError(
            f"{where}: nothing for {len(missing)} of {len(index)} periods of the returns"
            f" ({_checks.first(f'{d:%Y-%m-%d}' for d in missing)}). Give both for the same days."
        )
    rows = _checks.numeric(table.set_axis(days).set_axis(names, axis=1).loc[index], where=where)
    bad = ~np.isfinite(rows.to_numpy())
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise DataError(
            f"{where}: {counted(bad.sum(), 'value is', 'values are')} missing (first {names[j]} on"
            f" {index[i]:%Y-%m-%d})."
        )
    return rows
