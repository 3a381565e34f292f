"""Time-varying exposures in use: a covariance, a volatility over time, and holdings of factors that hedge."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm._strict import strict, strict_fields
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.weighting import half_life_of
from bdfm.errors import DataError
from bdfm.exposures.data import ExposureData
from bdfm.exposures.result import (
    EXPOSURES,
    FACTOR_VALUES,
    FACTORS_GIVEN,
    INTERCEPT,
    ExposureMethod,
    Exposures,
)
from bdfm.names import DAY, FACTOR
from bdfm.risk.base import RiskModel
from bdfm.risk.inputs import Weights, portfolios
from bdfm.risk.returns import doubt_returns, examined, simple_of_logs

Floats = NDArray[np.float64]

HALF_LIFE_DAYS: Final = 63.0
MIN_ERRORS: Final = 60  # errors of prediction that an asset needs for a variance
MAX_SILENT_DAYS: Final = 21  # without a return, after which an asset is not alive
_SMOOTHED: Final = "_smoothed"


def _errors(
    exposures: Exposures, returns: pd.DataFrame, accept: Collection[str] | None
) -> tuple[Floats, NDArray[np.bool_], Floats, Floats]:
    """Errors of one-step prediction and who is alive (day, asset), factors (day, factor) and exposures."""
    where = f"{exposures.method} exposures in use"
    if exposures.method.endswith(_SMOOTHED):
        raise DataError(f"{where}: smoothed exposures know later days. Fit the method without smoothed.")
    _checks.known(
        exposures.assets, [str(c) for c in returns.columns], what="asset", where=f"{where}: returns"
    )
    days = exposures.dataset[DAY].to_index()
    table = _checks.numeric(returns.set_axis(_checks.days(returns.index, where=where)), where=where)
    table = table.set_axis([str(c) for c in table.columns], axis=1)
    missing = days.difference(table.index)
    if len(missing):
        raise DataError(
            f"{where}: no returns on {len(missing)} of their days"
            f" ({_checks.first(f'{d:%Y-%m-%d}' for d in missing)}). Give returns of the same days."
        )
    if accept is not None:
        doubt_returns(simple_of_logs(table.loc[days, exposures.assets]), accept=accept)
    r = table.loc[days, exposures.assets].to_numpy(dtype=float)
    d = exposures.dataset
    b, a = d[EXPOSURES].to_numpy(), d[INTERCEPT].to_numpy()
    values = d[FACTORS_GIVEN].to_numpy()
    said = np.full(r.shape, np.nan)
    said[1:] = a[:-1] + np.einsum("tik,tk->ti", b[:-1], values[1:])
    return r - said, _alive(r - said, np.isfinite(r)), d[FACTOR_VALUES].to_numpy(), b


def _recent(squares: Floats, half_life: float) -> Floats:
    """Exponentially weighted mean (day, ...) of squares up to each day, over those that are known."""
    keep = 0.5 ** (1 / half_life)
    total, weight = np.zeros(squares.shape[1:]), np.zeros(squares.shape[1:])
    out = np.full(squares.shape, np.nan)
    for t, row in enumerate(squares):
        known = np.isfinite(row)
        total = np.where(known, keep * total + np.nan_to_num(row), total)
        weight = np.where(known, keep * weight + 1, weight)
        out[t] = total / np.where(weight > 0, weight, np.nan)
    return out


def _alive(errors: Floats, returned: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which assets (day, asset) have enough errors so far, and a return of late."""
    enough = np.isfinite(errors).cumsum(axis=0) >= MIN_ERRORS
    late = pd.DataFrame(returned.astype(float)).rolling(MAX_SILENT_DAYS, min_periods=1).max()
    return np.asarray(enough & (late.to_numpy() > 0))


@strict
def exposures_risk(
    exposures: Exposures,
    returns: pd.DataFrame,
    *,
    day: object | None = None,
    half_life_days: float = HALF_LIFE_DAYS,
    accept: Collection[str] | None = (),
) -> RiskModel:
    """Risk model of the day after a day: exposures of that day, recent variances (eq. E22).

    F is the exponentially weighted second moment of the factors, D that of the errors of one-step prediction:
    each is of exposures known the day before, so that D holds the error of exposures too. Over one day;
    ``scale_to(20)`` for four weeks. Returns are log returns.

    Parameters
    ----------
    exposures
        Of any method, not smoothed; to published factors or latents.
    returns
        (day, asset) daily log returns, excess ones where the method had excess returns, on the exposures'
        days; blanks where an asset did not trade.
    day
        Last day used; the last of the exposures unless given.
    half_life_days
        Days after which a square counts half.
    accept
        Doubts about the returns that are right all the same, such as those that ``ExposureData`` accepted,
        as ``RULE`` or ``RULE:ASSET``; see ``bdfm.data.doubts``. None where they were examined before.

    Returns
    -------
    RiskModel
        Of the assets alive: at least 60 errors, and a return in the last 21 days. ``notes`` name the others.

    Raises
    ------
    DataError
        Smoothed exposures, days without returns, a day before the exposures, no asset alive; what a rule of
        ``bdfm.data.doubts`` refuses.

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
    >>> found = ex.RollingOLS(60).fit(data, seed=1)
    >>> model = ex.exposures_risk(found, pd.DataFrame(shares / 100, days, ["A", "B"]))
    >>> round(float(model.volatility({"A": 0.5, "B": 0.5})), 4)
    0.0104
    """
    where = f"{exposures.method} exposures in use"
    life = half_life_of(half_life_days, what="half_life_days", where=where)
    days = exposures.dataset[DAY].to_index()
    last = days[-1] if day is None else _checks.as_date(day, where=where)
    n = int(days.searchsorted(last, side="right"))
    if n <= MIN_ERRORS:
        raise DataError(
            f"{where}: {n} days up to {last:%Y-%m-%d}, from {days[0]:%Y-%m-%d} on. Choose a later day."
        )
    errors, living, factors, b = (x[:n] for x in _errors(exposures, returns, accept))
    alive = living[-1] & np.isfinite(b[-1]).all(axis=1)
    if not alive.any():
        raise DataError(f"{where}: no asset has {MIN_ERRORS} errors and exposures on {days[n - 1]:%Y-%m-%d}.")
    there = np.isfinite(factors).all(axis=1)
    weight = 0.5 ** (np.arange(there.sum() - 1, -1, -1) / life)
    f = (factors[there] * weight[:, None]).T @ factors[there] / weight.sum()
    gone = [a for a, ok in zip(exposures.assets, alive, strict=True) if not ok]
    notes = [f"{exposures.method}, {n} days, half-life {life:g} days, log returns"]
    notes += [f"left out for want of returns: {_checks.first(gone)}"] if gone else []
    return RiskModel.from_arrays(
        b[-1][alive],
        f,
        _recent(np.square(errors), life)[-1][alive],
        assets=[a for a, ok in zip(exposures.assets, alive, strict=True) if ok],
        factors=exposures.factor_names,
        kind=f"exposures, {exposures.method}",
        origin=days[n - 1],
        observed_factors=not exposures.latent,
        notes=notes,
    )


@strict
def exposures_volatility(
    exposures: Exposures,
    returns: pd.DataFrame,
    weights: Weights,
    *,
    half_life_days: float = HALF_LIFE_DAYS,
    accept: Collection[str] | None = (),
) -> pd.Series[float]:
    """Volatility (day,) of one portfolio's log return on each day, as known at the close of the day before.

    That of ``exposures_risk`` of the day before, on days after which every held asset has one; the others
    are not in the result. Parameters as there.

    ``exposures``, ``returns``, ``weights``, ``half_life_days``, ``accept`` are those of ``exposures_risk``.

    Raises ``DataError`` for several portfolios, returns that do not cover its assets, or that a rule of
    ``bdfm.data.doubts`` refuses.

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
    >>> found = ex.RollingOLS(60).fit(data, seed=1)
    >>> returns = pd.DataFrame(shares / 100, days, ["A", "B"])
    >>> ex.exposures_volatility(found, returns, {"A": 0.5, "B": 0.5}).tail(2).round(4).tolist()
    [0.0103, 0.0104]
    """
    where = f"{exposures.method} exposures in use"
    life = half_life_of(half_life_days, what="half_life_days", where=where)
    names, w = portfolios(weights, exposures.assets)
    if len(w) != 1:
        raise DataError(f"{where}: {counted(len(w), 'portfolio')} ({_checks.first(names or ())}). Give one.")
    held = w[0] != 0
    errors, alive, factors, b = _errors(exposures, returns, accept)
    products = _recent(factors[:, :, None] * factors[:, None, :], life)
    specific = _recent(np.square(errors[:, held]), life)
    x = np.einsum("i,tik->tk", w[0][held], b[:, held])
    variance = np.einsum("tk,tkl,tl->t", x, products, x) + specific @ np.square(w[0][held])
    variance[~alive[:, held].all(axis=1)] = np.nan
    days = exposures.dataset[DAY].to_index()
    return pd.Series(np.sqrt(variance[:-1]), days[1:], name="volatility").dropna()


def factor_hedge(exposures: Exposures, weights: Weights) -> pd.DataFrame:
    """Holdings (day, factor) of factor portfolios that take away a book's exposures, -B'w, on each day.

    For published factors, units of a factor's portfolio (index futures, say) for a book of one.

    ``weights`` are those of the book.

    Raises ``DataError`` for several books.

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
    >>> found = ex.RollingOLS(60).fit(data, seed=1)
    >>> ex.factor_hedge(found, {"A": 0.5, "B": 0.5}).iloc[-1].round(1).to_dict()
    {'market': -1.0}
    """
    names, w = portfolios(weights, exposures.assets)
    if len(w) != 1:
        raise DataError(f"factor hedge: {counted(len(w), 'book')} ({_checks.first(names or ())}). Give one.")
    held = w[0] != 0
    path = -np.einsum("i,tik->tk", w[0][held], exposures.exposures.to_numpy()[:, held])
    days = exposures.dataset[DAY].to_index()
    return pd.DataFrame(path, days, pd.Index(exposures.factor_names, name=FACTOR))


@strict_fields
@dataclass(frozen=True, eq=False)
class ExposureEstimator:
    """Risk model whose exposures move: a method fitted to the returns so far (``bdfm.risk.base.Estimator``).

    Validation, backtests and comparisons take it as any estimator. Each fit follows exposures anew.

    Parameters
    ----------
    method
        Such as ``KalmanBetas()``; not smoothed.
    factors
        (day, factor) simple returns, decimals.
    risk_free
        (day,) rate that is subtracted from the returns.
    half_life_days
        As in ``exposures_risk``.
    accept
        Doubts about factors and returns that are right all the same; see ``bdfm.data.doubts``. Factors are
        examined once, when the estimator is made, returns at each fit.

    Raises
    ------
    DataError
        Factors that are no numbers, or that a rule of ``bdfm.data.doubts`` refuses.

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
    >>> estimator = ex.ExposureEstimator(ex.RollingOLS(60), pd.DataFrame(market / 100, days, ["market"]))
    >>> model = estimator.fit(pd.DataFrame(shares / 100, days, ["A", "B"]))
    >>> round(float(model.volatility({"A": 0.5, "B": 0.5})), 4)
    0.0104
    """

    method: ExposureMethod
    factors: pd.DataFrame
    risk_free: pd.Series[float] | None = None
    half_life_days: float = HALF_LIFE_DAYS
    accept: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        days = _checks.days(self.factors.index, where="exposures in use: factors")
        doubt(Tables("exposures", factors=self.factors.set_axis(days)), accept=self.accept)

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model of the day after the last of daily simple returns (day, asset), which may have gaps.

        Raises ``DataError`` for what a rule on data refuses, days that are none, or without factor returns.
        """
        where = "exposures in use"
        days = _checks.days(returns.index, where=where)
        simple = returns.set_axis(days).set_axis([str(c) for c in returns.columns], axis=1)
        doubt_returns(simple, accept=self.accept)
        table = pd.DataFrame(np.log1p(simple.to_numpy(dtype=float)), days, simple.columns)
        known = self.factors.set_axis(_checks.days(self.factors.index, where=f"{where}: factors"))
        missing = days.difference(pd.DatetimeIndex(known.index))
        if len(missing):
            raise DataError(
                f"{where}: no factor returns on {_checks.first(f'{d:%Y-%m-%d}' for d in missing)}."
                " Give both for the same days."
            )
        if self.risk_free is not None:
            table = table.sub(np.log1p(self.risk_free.reindex(days)), axis=0)
        data = ExposureData.from_arrays(
            table.to_numpy(),
            known.loc[days].to_numpy(dtype=float),
            days=days,
            assets=list(table.columns),
            factor_names=[str(c) for c in known.columns],
            accept=None,
        )
        with examined():
            return exposures_risk(self.method.fit(data), table, half_life_days=self.half_life_days)
