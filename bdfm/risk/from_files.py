"""Risk models from files: portfolios, and an estimator for each kind of model that the files allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from bdfm import _checks
from bdfm._columns import SYMBOL_NAMES, stem
from bdfm._reading import READING
from bdfm.data.sources import RISK_FREE, read_records, read_returns
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
    path: Path | None,
    returns: pd.DataFrame,
    *,
    aliases: Mapping[str, str] | None = None,
    decimal_mark: str | None = None,
) -> pd.DataFrame:
    """Weights (portfolio, asset) of a file with columns symbol, weight and optionally portfolio.

    Equal weights without a file; ``returns`` (period, asset) says which assets there are. The file may have
    any form of ``bdfm.read_prices``; a weight of 25% is 0.25.
    """
    where = "portfolio"
    if path is None:
        return pd.DataFrame(1 / returns.shape[1], index=[EQUAL], columns=returns.columns)
    given = read_records(
        path,
        what=where,
        columns={"symbol": SYMBOL_NAMES, "weight": ("weights", "w", "holding", "share", "allocation")},
        numbers=("weight",),
        aliases=aliases,
        decimal_mark=decimal_mark,
    )
    unknown = given["symbol"][given["weight"].isna()]
    if len(unknown):
        raise DataError(f"{where}: {len(unknown)} rows have no weight ({_checks.first(unknown)}). Fill them.")
    if "portfolio" not in given:
        given["portfolio"] = stem(path)
    double = given[given.duplicated(["portfolio", "symbol"])]
    if len(double):
        raise DataError(f"{where}: {_checks.first(double['symbol'])} given twice. Add the weights up.")
    _checks.known(given["symbol"], list(returns.columns), what="symbol", where=where, alias=True)
    wide = given.pivot(index="portfolio", columns="symbol", values="weight").fillna(0.0)
    wide = wide.loc[list(dict.fromkeys(given["portfolio"]))]
    wide.attrs[READING] = given.attrs[READING]
    return wide


def estimator_from_files(
    kind: Kind,
    prices: pd.DataFrame,
    returns: pd.DataFrame,
    half_life: float | None,
    *,
    factors: Path | None,
    sectors: Path | None,
    date_format: str | None = None,
    decimal_mark: str | None = None,
    aliases: Mapping[str, str] | None = None,
    say: Callable[[pd.DataFrame], None] = lambda _: None,
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
        File of daily factor returns, decimals; for the time-series model. A risk-free rate is left out.
    sectors
        File with columns symbol, sector; for the cross-sectional model, which does without if need be.
    date_format, decimal_mark, aliases
        As in ``bdfm.read_prices``.
    say
        Called with each table that is read.
    """
    if kind is Kind.STATISTICAL:
        return StatisticalEstimator("marchenko_pastur", standardise=True, half_life=half_life)
    if kind is Kind.TIME_SERIES:
        if factors is None:
            raise DataError("--model time-series needs --factors, a file of daily factor returns.")
        daily = read_returns(factors, date_format=date_format, decimal_mark=decimal_mark)
        say(daily)
        daily = daily.drop(columns=RISK_FREE, errors="ignore")
        weekly = compounded(daily, pd.DatetimeIndex(returns.index))
        return TimeSeriesEstimator(weekly, half_life=half_life)
    days = pd.DatetimeIndex(returns.index)
    styles = price_styles(prices, days[days >= prices.index[min(YEAR, len(prices) - 1)]])
    if sectors is None:
        return CrossSectionalEstimator(styles, half_life=half_life)
    names = ("class", "asset_class", "gics_sector", "group", "industry", "type", "category")
    table = read_records(
        sectors, what="sectors", columns={"symbol": SYMBOL_NAMES, "sector": names}, aliases=aliases
    )
    say(table)
    _checks.unique(table["symbol"], what="symbols", where="sectors")
    return CrossSectionalEstimator(
        styles, {"sector": table.set_index("symbol")["sector"]}, half_life=half_life
    )


def risk_from_posterior(path: Path, weights: pd.DataFrame) -> RiskModel:
    """Bayesian risk, of a file of draws, over the posterior's own period, for the assets of the weights."""
    found = bayesian_risk(Posterior.load(path))
    _checks.known([str(c) for c in weights.columns], found.assets, what="asset", where=f"{path.name}")
    return found
