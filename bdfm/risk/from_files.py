"""Risk models from files: portfolios, and an estimator for each kind of model that the files allow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

import pandas as pd

from bdfm import _checks
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError
from bdfm.posterior.posterior import Posterior
from bdfm.risk.base import Estimator, RiskModel
from bdfm.risk.bayesian import bayesian_risk
from bdfm.risk.choices import Kind
from bdfm.risk.cross_section import CrossSectionalEstimator
from bdfm.risk.returns import compounded
from bdfm.risk.statistical import StatisticalEstimator
from bdfm.risk.styles import YEAR, price_styles
from bdfm.risk.time_series import TimeSeriesEstimator

EQUAL: Final = "equal"  # name of the portfolio of equal weights


def read_portfolios(
    path: Path | None, returns: pd.DataFrame, *, accept: Collection[str] | None = ()
) -> pd.DataFrame:
    """Weights (portfolio, asset) of a CSV file with columns symbol, weight and optionally portfolio.

    Equal weights without a file; ``returns`` (period, asset) says which assets there are, ``accept``
    which doubts about the weights are right all the same (``bdfm.data.doubts``).
    """
    where = "portfolio"
    if path is None:
        return pd.DataFrame(1 / returns.shape[1], index=[EQUAL], columns=returns.columns)
    given = pd.read_csv(_checks.existing_file(path, what=where), dtype=str, keep_default_na=False)
    _checks.has_columns(given, ("symbol", "weight"), where=f"{where} {path.name}")
    if given.empty:
        raise DataError(f"{where}: {path.name} has a header but no rows. Give one for each asset held.")
    number = pd.to_numeric(given["weight"], errors="coerce")
    bad = given[number.isna()]
    if len(bad):
        named = [f"{s} {w!r}" for s, w in zip(bad["symbol"], bad["weight"], strict=True)]
        raise DataError(f"{where}: weights of {len(bad)} rows are no numbers ({_checks.first(named)}).")
    given["weight"] = number
    if "portfolio" not in given:
        given["portfolio"] = path.stem
    double = given[given.duplicated(["portfolio", "symbol"])]
    if len(double):
        raise DataError(f"{where}: {_checks.first(double['symbol'])} given twice. Add the weights up.")
    _checks.known(given["symbol"], list(returns.columns), what="symbol", where=where)
    wide = given.pivot(index="portfolio", columns="symbol", values="weight").fillna(0.0)
    weights = wide.loc[list(dict.fromkeys(given["portfolio"]))]
    doubt(Tables("risk", portfolio=weights), accept=accept)
    return weights


def estimator_from_files(
    kind: Kind,
    prices: pd.DataFrame,
    returns: pd.DataFrame,
    half_life: float | None,
    *,
    factors: Path | None,
    sectors: Path | None,
    accept: Collection[str] = (),
) -> Estimator:
    """Estimator of one kind.

    Parameters
    ----------
    kind
        Of the model.
    prices, returns
        Daily closes (day, asset), and the returns (period, asset) that will be fitted.
    half_life
        Periods after which one counts half; None for equal weights.
    factors
        CSV of daily factor returns, decimals, with a column date; for the time-series model.
    sectors
        CSV with columns symbol, sector; for the cross-sectional model, which does without if need be.
    accept
        Doubts about the factors that are right all the same (``bdfm.data.doubts``).
    """
    if kind is Kind.STATISTICAL:
        return StatisticalEstimator("marchenko_pastur", standardise=True, half_life=half_life)
    if kind is Kind.TIME_SERIES:
        if factors is None:
            raise DataError("--model time-series needs --factors, a file of daily factor returns.")
        daily = pd.read_csv(_checks.existing_file(factors, what="factors"))
        _checks.has_columns(daily, ("date",), where="factors")
        weekly = compounded(daily.set_index("date"), pd.DatetimeIndex(returns.index), accept=accept)
        return TimeSeriesEstimator(weekly, half_life=half_life, accept=tuple(accept))
    days = pd.DatetimeIndex(returns.index)
    styles = price_styles(prices, days[days >= prices.index[min(YEAR, len(prices) - 1)]])
    if sectors is None:
        return CrossSectionalEstimator(styles, half_life=half_life)
    table = pd.read_csv(_checks.existing_file(sectors, what="sectors"), dtype=str, keep_default_na=False)
    _checks.has_columns(table, ("symbol", "sector"), where="sectors")
    _checks.unique(table["symbol"], what="symbols", where="sectors")
    return CrossSectionalEstimator(
        styles, {"sector": table.set_index("symbol")["sector"]}, half_life=half_life
    )


def risk_from_posterior(path: Path, weights: pd.DataFrame) -> RiskModel:
    """Bayesian risk, of a file of draws, over the posterior's own period, for the assets of the weights."""
    found = bayesian_risk(Posterior.load(path))
    _checks.known([str(c) for c in weights.columns], found.assets, what="asset", where=f"{path.name}")
    return found
