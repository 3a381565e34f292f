"""What past windows would have made of a book: through a model's exposures, or by the assets' own returns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import PORTFOLIO
from bdfm.risk.base import RiskModel
from bdfm.risk.decomposition import draw_mean
from bdfm.risk.inputs import Weights, portfolios
from bdfm.risk.returns import doubt_returns, were_examined

# First and last day of the months that the sources replay.
WINDOWS: Final[dict[str, tuple[str, str]]] = {
    "Lehman, September 2008": ("2008-09-01", "2008-09-30"),
    "COVID-19, March 2020": ("2020-03-01", "2020-03-31"),
    "rates, January 2022": ("2022-01-01", "2022-01-31"),
}
SLACK: Final = pd.Timedelta(days=6)  # between a window's end and the table's: a long weekend, or a week
MISFIT: Final = pd.Timedelta(days=10)  # that the periods in a window may begin before it, or end


@strict
def replay(
    model: RiskModel,
    factor_returns: pd.DataFrame,
    weights: Weights,
    *,
    windows: Mapping[str, tuple[object, object]] = WINDOWS,
    accept: Collection[str] = (),
) -> pd.DataFrame:
    """Portfolios' systematic return in past windows, with the exposures of today (eq. R13).

    Parameters
    ----------
    model
        Its exposures count; with posterior draws their mean.
    factor_returns
        (period, factor) simple returns of the model's factors, decimals, that cover the windows.
    weights
        As ``RiskModel.variance`` takes them.
    windows
        First and last day by name, both included.
    accept
        Doubts about the factor returns that are right all the same, as ``RULE`` or ``RULE:LABEL``; see
        ``bdfm.data.doubts``.

    Returns
    -------
    pandas.DataFrame
        One row per window and portfolio: ``return``, compounded over the window; ``worst_period``;
        ``drawdown``, the largest fall from the best value before it; ``n_periods``. What is specific to the
        assets is not in it: nobody knows what it would have been.

    Raises
    ------
    UnknownLabelError
        A factor that the table lacks.
    DataError
        No window, a window without periods or with missing returns; factor returns that a rule of
        ``bdfm.data.doubts`` refuses. Where factors are no data their unit is the model's own, and what
        each of them makes of the asset with the largest exposure is looked at.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> factors = returns[["QUAL"]].rename(columns={"QUAL": "market"})
    >>> model = risk.TimeSeriesEstimator(factors).fit(returns.drop(columns="QUAL"))
    >>> fall = {"March 2020": ("2020-03-01", "2020-03-31")}
    >>> risk.replay(model, factors, {"XOM": 0.5, "KO": 0.5}, windows=fall)["return"].round(3).tolist()
    [-0.14]
    """
    where = "replay"
    table = _factor_table(model, factor_returns, where)
    doubt_factor_returns({"": model}, table, accept=accept)
    names, w = portfolios(weights, model.assets)
    exposure = draw_mean(w @ model.exposures.to_numpy(), model.n_draws)  # (portfolio, factor)
    by_period = pd.DataFrame(table.to_numpy() @ exposure.T, table.index, names or ["portfolio"])
    return _by_window(by_period, windows, "the factor returns", where)


@strict
def replay_held(
    returns: pd.DataFrame,
    weights: Weights,
    *,
    windows: Mapping[str, tuple[object, object]] = WINDOWS,
    accept: Collection[str] = (),
) -> pd.DataFrame:
    """Portfolios' return in past windows with the weights of today and the assets' own returns.

    No model: what is specific to the assets is in it, as it came then. Otherwise as ``replay``; ``returns``
    (period, asset) are simple, and ``accept`` is about them. Raises ``DataError`` where a held asset has no
    return in a window, and for returns that a rule of ``bdfm.data.doubts`` refuses.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> fall = {"March 2020": ("2020-03-01", "2020-03-31")}
    >>> risk.replay_held(returns, {"XOM": 0.5, "KO": 0.5}, windows=fall)["return"].round(3).tolist()
    [-0.236]
    """
    where = "replay of assets"
    labels = [str(c) for c in returns.columns]
    names, w = portfolios(weights, labels)
    held = (w != 0).any(axis=0)
    table = returns.set_axis(_checks.days(returns.index, where=where)).sort_index()
    doubt_returns(table.loc[:, held], accept=accept)
    values = np.nan_to_num(table.to_numpy(dtype=float)) @ w.T
    gone = table.isna().to_numpy() & held
    values[gone.any(axis=1)] = np.nan
    lacking = [a for a, g in zip(labels, gone.any(axis=0), strict=True) if g]
    what = f"the returns of the held assets (gaps: {_checks.first(lacking)})" if lacking else "the returns"
    return _by_window(pd.DataFrame(values, table.index, names or ["portfolio"]), windows, what, where)


def doubt_factor_returns(
    models: Mapping[str, RiskModel], factor_returns: pd.DataFrame, *, accept: Collection[str]
) -> None:
    """Pass factor returns (period, factor), as far as models use them, through the rules on returns.

    Those of factors that are no data, such as principal components, have a unit of their own: what each makes
    of the asset that it moves most is looked at in its place.
    """
    if were_examined():
        return
    table = factor_returns.set_axis([str(c) for c in factor_returns.columns], axis=1)
    observed = {f for m in models.values() if m.observed_factors for f in m.factors}
    if used := [f for f in table.columns if f in observed]:
        doubt_returns(table[used], accept=accept)
    for model in models.values():
        if model.observed_factors or not set(model.factors) <= set(table.columns):
            continue
        exposures = draw_mean(model.exposures.to_numpy(), model.n_draws)  # (asset, factor)
        largest = np.abs(exposures).argmax(axis=0)
        made = table[list(model.factors)] * exposures[largest, np.arange(len(model.factors))]
        names = [f"{f} by the exposure of {model.assets[i]}" for f, i in zip(made, largest, strict=True)]
        doubt_returns(made.set_axis(names, axis=1), accept=accept)


def check_covers(
    days: pd.DatetimeIndex,
    first: pd.Timestamp,
    last: pd.Timestamp,
    name: str,
    *,
    what: str = "the returns",
    where: str = "replay",
) -> None:
    """Raise ``DataError`` where a table of these days has not the whole of a window, or no day in it."""
    if not len(days):
        raise _lacking(days, first, last, name, what, where)
    gap = days.to_series().diff().median()  # the first period of a table is as long as its periods are
    opens = days[0] if pd.isna(gap) else days[0] - gap + pd.Timedelta(days=1)
    # A table that begins inside a window, or ends there, would pass for the whole of it.
    if opens > first + SLACK or days[-1] < last - SLACK:
        raise _lacking(days, first, last, name, what, where)
    inside = np.flatnonzero((days >= first) & (days <= last))
    if not len(inside):
        raise DataError(
            f"{where}: {what} have no day from {first:%Y-%m-%d} to {last:%Y-%m-%d} ({name}). Give a window"
            " with a trading day in it."
        )
    begin = days[inside[0] - 1] + pd.Timedelta(days=1) if inside[0] else opens
    if first - begin > MISFIT or last - days[inside[-1]] > MISFIT:
        end = days[min(int(days.searchsorted(last)), len(days) - 1)]
        raise DataError(
            f"{where}: {what} are those of whole periods, and in {name} ({first:%Y-%m-%d} to {last:%Y-%m-%d})"
            f" they speak of {begin:%Y-%m-%d} to {days[inside[-1]]:%Y-%m-%d}. Give a window of whole periods,"
            f" such as {begin:%Y-%m-%d}..{end:%Y-%m-%d}, or daily prices."
        )


def _lacking(
    days: pd.DatetimeIndex, first: pd.Timestamp, last: pd.Timestamp, name: str, what: str, where: str
) -> DataError:
    span = f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}" if len(days) else "empty"
    beyond = len(days) and last > days[-1]  # of no use to look for it in older files
    how = "It ends after the last of them." if beyond else "Give a longer table, or other windows."
    return DataError(
        f"{where}: {what} ({span}) lack {name} ({first:%Y-%m-%d} to {last:%Y-%m-%d}), in whole or in part."
        f" {how}"
    )


def _by_window(
    by_period: pd.DataFrame, windows: Mapping[str, tuple[object, object]], what: str, where: str
) -> pd.DataFrame:
    """Table (window, portfolio) of ``replay`` from returns (period, portfolio), NaN where one is missing."""
    if not windows:
        raise DataError(f"{where}: no window given. Leave windows out for the usual ones.")
    rows = {}
    for name, ends in windows.items():
        first, last = (_checks.as_date(d, where=f"{where}: {name}") for d in ends)
        part, days = by_period.loc[first:last], pd.DatetimeIndex(by_period.index)
        check_covers(days, first, last, name, what=what, where=where)
        if not np.isfinite(part.to_numpy()).all():
            raise _lacking(days, first, last, name, what, where)
        value = np.vstack([np.ones(part.shape[1]), np.cumprod(1 + part.to_numpy(), axis=0)])
        fall = (value / np.maximum.accumulate(value, axis=0) - 1).min(axis=0)
        for j, portfolio in enumerate(part.columns):
            rows[name, portfolio] = (value[-1, j] - 1, part.iloc[:, j].min(), fall[j], len(part))
    columns = ["return", "worst_period", "drawdown", "n_periods"]
    index = pd.MultiIndex.from_tuples(list(rows), names=["window", PORTFOLIO])
    return pd.DataFrame(list(rows.values()), index, columns).astype({"n_periods": int})


def _factor_table(model: RiskModel, factor_returns: pd.DataFrame, where: str) -> pd.DataFrame:
    table = factor_returns.set_axis([str(c) for c in factor_returns.columns], axis=1)
    _checks.known(model.factors, list(table.columns), what="factor", where=f"{where}: factor returns")
    table = table.set_axis(_checks.days(table.index, where=where)).sort_index()
    return _checks.numeric(table[list(model.factors)], where=where)
