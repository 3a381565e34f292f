"""Tables of returns as the estimators take them, and weights of old periods."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _doubles, _tables
from bdfm._kinds import of_kind
from bdfm._reading import PACKAGE, counted
from bdfm._strict import strict
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.weighting import check_effective, effective_size, half_life_of, halved
from bdfm.errors import DataError, DataWarning
from bdfm.risk.spans import MAX_STALE_DAYS, Span, period_ends, returns_between, span

Floats = NDArray[np.float64]

Divisor = Literal["unbiased", "textbook"]  # of specific variances

LONG_WEEKEND: Final = pd.Timedelta(days=5)  # from a close to the next, at most
DAYS_OF: Final = {"days": 1.0, "months": 31.0, "market days": 1.6}  # calendar days, at most


@strict
def simple_returns(
    prices: pd.DataFrame,
    *,
    period_days: int | None = None,
    period: str | Span | None = None,
    window: int | None = None,
    accept: Collection[str] | None = (),
) -> pd.DataFrame:
    """Simple returns (period, asset), decimal, labelled by the last day of each period.

    Parameters
    ----------
    prices
        (day, symbol) adjusted closes; blanks where an asset did not trade.
    period_days
        Calendar days of a period, at least 7, as an older way to say ``period``.
    period
        ``None``: from one row of the table to the next. Otherwise ``"1d"``, ``"5d"`` for market days (rows on
        which half of the assets have a new price), ``"1w"``, ``"4w"`` for 7 and 28 calendar days, ``"1m"``
        for calendar months; counted back from the last day. The last close on or before each end counts, if
        it is not older than 10 days.
    window
        Number of the last periods to return, and of those whose prices are examined; None for all.
    accept
        Doubts about the prices that are right all the same, as ``RULE`` or ``RULE:SYMBOL``; see
        ``bdfm.data.doubts``. None where they were examined before.

    Returns
    -------
    pandas.DataFrame
        NaN where one of the two prices is missing.

    Raises
    ------
    DataError
        Prices that cannot be used, or too few for one period; both lengths given, or one that is none; what a
        rule of ``bdfm.data.doubts`` refuses.
    """
    if period is not None and period_days is not None:
        raise DataError("returns: period and period_days both say how long periods are. Give one of them.")
    if window is not None:
        window = _checks.at_least(window, 1, what="window", where="returns")
    given = period_days if period is None else period
    length = given if given is None or isinstance(given, Span) else span(given)
    prices = _tables.prices_frame(prices)
    doubt_prices(prices, length, window, accept=accept)
    table = _checks.price_table(prices)
    if length is None or not len(table):
        values = table
    else:
        ends = period_ends(table, length)
        if len(ends) > 1:
            return _last(returns_between(table, ends), window)
        values = table.iloc[: len(ends)]
    if len(values) < 2:
        raise DataError(f"returns: prices of {len(values)} period ends. At least 2 are needed.")
    return _last((values / values.shift(1) - 1).iloc[1:], window)


def _last(table: pd.DataFrame, window: int | None) -> pd.DataFrame:
    return table if window is None else table.iloc[-window:]


def doubt_prices(
    prices: pd.DataFrame, length: Span | None, window: int | None, *, accept: Collection[str] | None = ()
) -> None:
    """Pass the prices that the last ``window`` returns are made of through the rules on data."""
    if accept is not None:
        doubt(Tables("risk", prices=_of_window(prices, length, window), whole=prices), accept=accept)


def _of_window(prices: pd.DataFrame, length: Span | None, window: int | None) -> pd.DataFrame:
    """Prices that the last ``window`` returns are made of, or some more."""
    if window is None or not len(prices):
        return prices
    if length is None:
        return prices.sort_index().iloc[-window - 1 :]
    days = _checks.days(prices.index, where="prices")
    back = DAYS_OF[length.unit] * length.size * window + MAX_STALE_DAYS
    return prices.loc[days >= days.max() - pd.Timedelta(days=back)]


def compounded(
    returns: pd.DataFrame, ends: pd.DatetimeIndex, *, accept: Collection[str] | None = ()
) -> pd.DataFrame:
    """Returns compounded to longer periods (period, column): daily factors to weeks or months.

    Parameters
    ----------
    returns
        (day, column) simple returns, decimals, without gaps.
    ends
        Last day of each period, ascending; a period starts after the end before it. The first one is as long
        as the others: in days of the table where each of them has as many, in months, or else in calendar
        days as the second. A table that begins later makes it shorter, and is warned of.
    accept
        As in ``simple_returns``: about the factors of these periods.

    Raises
    ------
    DataError
        A period without any day, or a missing return.

    Warns
    -----
    DataWarning
        A first period that the table does not cover from its beginning.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> daily = risk.simple_returns(prices.loc["2021"])
    >>> risk.compounded(daily[["XOM"]], returns.index[-3:]).round(3)
                  XOM
    2021-12-17 -0.047
    2021-12-24  0.016
    2021-12-31  0.003
    """
    where = "compounding"
    days = _checks.days(returns.index, where=where)
    table = _checks.numeric(returns.set_axis(days), where=where).sort_index()
    table = _doubles.once_a_day(table, where=where)
    ends = pd.DatetimeIndex(ends)
    edges = table.index.searchsorted(ends, side="right")
    first, late = _begin(pd.DatetimeIndex(table.index), ends, edges)
    edges = np.concatenate([[first], edges])
    if late and edges[1] > first:
        warnings.warn(
            f"{where}: the table begins on {table.index[0]:%Y-%m-%d}, after the first of"
            f" the periods (ending {ends[0]:%Y-%m-%d}) does, which is shorter than the others. Give a"
            " longer table, or leave that period out.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    doubt(Tables("risk", factors=table.iloc[edges[0] : edges[-1]]), accept=accept)
    empty = ends[np.diff(edges) < 1]
    if len(empty):
        raise DataError(_no_days(pd.DatetimeIndex(table.index), ends, empty, where))
    used = np.log1p(table.to_numpy()[edges[0] : edges[-1]])
    growth = np.vstack([np.zeros((1, table.shape[1])), used.cumsum(axis=0)])
    values = np.expm1(np.diff(growth[edges - edges[0]], axis=0))
    if not np.isfinite(values).all():
        missing = [
            f"{table.columns[j]} on {table.index[i]:%Y-%m-%d}"
            for i, j in np.argwhere(~np.isfinite(table.to_numpy()))
            if edges[0] <= i < edges[-1]
        ]
        raise DataError(
            f"{where}: {counted(len(missing), 'return is', 'returns are')} missing"
            f" ({_checks.first(missing)}). A blank or a"
            " code for missing is there (missing-code): fill it, or leave out those rows."
        )
    return pd.DataFrame(values, ends, table.columns)


def _begin(days: pd.DatetimeIndex, ends: pd.DatetimeIndex, edges: NDArray[np.intp]) -> tuple[int, bool]:
    """Position of the first of the days in the first period, and whether the days begin after it does.

    ``edges`` are positions after the ends.

    A Friday and the Monday after it are three calendar days apart, and one market day; a January is longer
    than the February after it.
    """
    if len(ends) < 2:
        return int(days.searchsorted(ends[0] - pd.Timedelta(days=1), side="right")), False
    counts, gaps = np.diff(edges), np.diff(ends.to_numpy())
    months = np.diff(12 * ends.year.to_numpy() + ends.month.to_numpy())
    alike, even = bool((gaps == gaps[0]).all()), bool((counts == counts[0]).all())
    if even and (counts[0] == 1 or not alike):
        return max(int(edges[0] - counts[0]), 0), bool(edges[0] < counts[0])
    begin = ends[0] - (ends[1] - ends[0])
    if months[0] and (months == months[0]).all():
        after = days.append(days[-1:] + pd.offsets.BDay(1))
        last = all(after[i].month != end.month for i, end in zip(edges, ends, strict=True))  # of their months
        if last or not alike:
            begin = ends[0] - pd.DateOffset(months=int(months[0]))
            begin = begin + pd.offsets.MonthEnd(0) if last else begin
    late = len(days) > 0 and days[0] - begin > LONG_WEEKEND and edges[0] < counts.min()
    return int(days.searchsorted(begin, side="right")), bool(late)


def _no_days(days: pd.DatetimeIndex, ends: pd.DatetimeIndex, empty: pd.DatetimeIndex, where: str) -> str:
    """Message about periods without a day in a table: it ends too early, begins too late, or has a hole."""
    named = _checks.first(f"{d:%Y-%m-%d}" for d in empty)
    text = f"{where}: no returns in {len(empty)} of {len(ends)} periods (ending {named})."
    if not len(days):
        return f"{text} The table is empty."
    text += f" The table runs from {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}."
    if empty[-1] == ends[-1]:
        return f"{text} Give a longer one, or go back to a day that it has (--origin {days[-1]:%Y-%m-%d})."
    if empty[0] == ends[0]:
        return f"{text} Give a longer one, or fewer periods (--window)."
    return f"{text} Fill the hole."


_examined: ContextVar[bool] = ContextVar("returns were examined", default=False)


@contextmanager
def examined() -> Iterator[None]:
    """Block whose returns are parts of a table that went through the rules, or are made of such prices."""
    token = _examined.set(True)
    try:
        yield
    finally:
        _examined.reset(token)


def were_examined() -> bool:
    """Whether this is inside a block of ``examined``."""
    return _examined.get()


def doubt_returns(returns: pd.DataFrame, *, accept: Collection[str] | None = None) -> None:
    """Pass simple returns (period, asset) through the rules on data, once for each call of the package.

    Raises ``DataError`` for what a rule refuses. Where a caller has no ``accept`` no message says how to.
    """
    if not were_examined():
        doubt(Tables("risk", returns=returns), accept=accept or (), acceptable=accept is not None)


def simple_of_logs(returns: pd.DataFrame) -> pd.DataFrame:
    """Log returns as rules on simple returns take them: a log below -1 is a large loss, and no misprint.

    All else as it came, so that messages name numbers of the table; no price falls by e^-5 in a period, so
    that what is below is told of.
    """
    values = returns.to_numpy(dtype=np.float64)
    losses = np.expm1(values, where=(values < -1) & (values > -5), out=values.copy())
    return pd.DataFrame(losses, returns.index, returns.columns)


def returns_table(
    returns: pd.DataFrame, *, where: str, complete: bool = False, accept: Collection[str] | None = None
) -> pd.DataFrame:
    """Returns (period, asset) with ascending days and text labels, after checks.

    Raises ``DataError`` for days that are none, repeated or out of order, repeated assets, values that are
    not finite or below -1, an asset without any return, and with ``complete`` any gap in a row that has
    returns.
    """
    hint = "Give a DataFrame with days as index and symbols as columns, as risk.simple_returns does."
    of_kind(returns, pd.DataFrame, what="the table of returns", where=where, hint=hint)
    names = [str(c) for c in returns.columns]
    _checks.unique(names, what="asset", where=where, hint="Keep one column of each.")
    index = _checks.days(returns.index, where=where)
    if not index.is_monotonic_increasing:
        raise DataError(f"{where}: days are not in ascending order. Sort the table.")
    table = _checks.numeric(returns.set_axis(names, axis=1).set_axis(index), where=where)
    table = _doubles.once_a_day(table, where=where)
    index = pd.DatetimeIndex(table.index)  # rows given twice are left out
    doubt_returns(table, accept=accept)
    values = table.to_numpy()
    if not values.size:
        raise DataError(f"{where}: an empty table of returns (shape {values.shape}).")
    bad = np.isinf(values) | (values < -1)
    if bad.any():
        i, j = np.argwhere(bad)[0]
        raise DataError(
            f"{where}: {counted(bad.sum(), 'return is', 'returns are')} infinite or below -1 (first"
            f" {names[j]} on {index[i]:%Y-%m-%d}:"
            f" {values[i, j]:.4g}). Give simple returns as decimals, 0.01 for 1 %."
        )
    known = np.isfinite(values)
    empty = [names[j] for j in np.flatnonzero(~known.any(axis=0))]
    if empty:
        raise DataError(
            f"{where}: {len(empty)} of {len(names)} assets have no return ({_checks.first(empty)})."
        )
    if complete:
        gaps = ~known & known.any(axis=1)[:, None]
        lacking = [f"{names[j]} {gaps[:, j].sum()}" for j in np.flatnonzero(gaps.any(axis=0))]
        if lacking:
            raise DataError(
                f"{where}: {len(lacking)} of {len(names)} assets lack returns, periods each:"
                f" {_checks.first(lacking)}. Drop them, or take a shorter window: the table must be full."
            )
    return table


def window_of(table: pd.DataFrame, window: int | None, *, where: str) -> pd.DataFrame:
    """Last ``window`` rows of a table; all of them for ``None``. ``DataError`` where there are fewer."""
    if window is None:
        return table
    size = _checks.at_least(window, 2, what="window", where=where)
    if len(table) < size:
        raise DataError(
            f"{where}: {counted(len(table), 'period')}, fewer than the window of {size}. Give more history."
        )
    return table.iloc[-size:]


def period_weights(n: int, half_life_periods: float | None, *, where: str) -> Floats:
    """Weights (period,) of mean 1, halved every ``half_life_periods`` into the past; equal for ``None``.

    ``DataError`` where they leave too little.
    """
    if half_life_periods is None:
        return np.ones(n)
    weights = halved(n, half_life_of(half_life_periods, what="half_life_periods", where=where))
    check_effective(weights, where=f"{where}, weights of a half-life of {half_life_periods:g}")
    return np.asarray(weights / weights.mean())


def weighted_covariance(values: Floats, weights: Floats) -> Floats:
    """Covariance (column, column) of values (period, column); for equal weights with divisor T - 1."""
    share = weights / weights.sum()
    centred = values - share @ values
    n = effective_size(weights)
    return np.asarray((centred * share[:, None]).T @ centred * (n / (n - 1)))


def weighted_variance(values: Floats, weights: Floats, *, lost: float = 1.0) -> Floats:
    """Mean square (column,) of values (period, column) that may be NaN, with ``lost`` degrees of freedom.

    For equal weights and full columns Σ x² / (T - lost). Values are taken as centred already.
    """
    known = np.isfinite(values)
    w = np.where(known, weights[:, None], 0.0)
    total = w.sum(axis=0)
    n = total**2 / np.square(w).sum(axis=0)
    return np.asarray((w * np.square(np.nan_to_num(values))).sum(axis=0) / total * (n / (n - lost)))
