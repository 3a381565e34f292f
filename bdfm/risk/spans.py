"""Lengths of periods that returns are taken over: market days, weeks, calendar days, calendar months."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import cut
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.features import Closes
from bdfm.data.periods import edges_at_prices, period_edges
from bdfm.errors import DataError

MAX_STALE_DAYS: Final = 10  # a close older than this is no price; of sparse prices, beside their spacing
MONTHLY: Final = 25  # days between prices from which they are monthly
_FORM: Final = re.compile(r"([0-9]+)\s*([dwm])")
_WEEK: Final = 7

Unit = Literal["market days", "days", "months"]


class Span(NamedTuple):
    """Length of a period: so many market days, calendar days or calendar months."""

    size: int
    unit: Unit

    def words(self, n_periods: float) -> str:
        """Length of so many periods: "20 market days", "28 days", "1 month"."""
        total = self.size * n_periods
        return f"{total:g} {self.unit.removesuffix('s') if total == 1 else self.unit}"


def span(period: str | int) -> Span:
    """Span of a text such as "1d", "5d" (market days), "1w", "4w" (7 calendar days each), "1m" or "month".

    A number is calendar days, of which weekends are, so at least 7. Raises ``DataError`` for another text.
    """
    where = "period"
    if not isinstance(period, str):
        size = _checks.at_least(period, 1, what="days", where=where)
        if size < _WEEK:
            raise DataError(
                f"{where}: {size} calendar days: weekends would count as returns of zero. Give market days,"
                f" {size}d."
            )
        return Span(size, "days")
    text = period.strip().lower()
    found = _FORM.fullmatch("1m" if text == "month" else text)
    if not found or not int(found[1]):
        raise DataError(
            f"{where}: {cut(period)} is none. Write market days as 1d or 20d, weeks as 1w or 4w, a month as"
            " 1m."
        )
    size, letter = int(found[1]), found[2]
    if letter == "d":
        return Span(size, "market days")
    return Span(size * _WEEK, "days") if letter == "w" else Span(size, "months")


def usual_span(prices: pd.DataFrame, *, accept: Collection[str] = ()) -> Span:
    """Weeks of daily and weekly prices, calendar months of monthly ones; ``accept`` as in ``doubt``."""
    try:
        table = _checks.price_table(prices)
    except DataError:
        doubt(Tables("risk", prices=prices), accept=accept)  # the reason, if a rule knows it
        raise
    closes = Closes(table.dropna(how="all"), max_stale_days=MAX_STALE_DAYS)
    return Span(1, "months") if closes.spacing >= MONTHLY else span("1w")


def one_span(
    prices: pd.DataFrame,
    *,
    period: str | None,
    period_days: int | None,
    calendar_months: bool,
    accept: Collection[str] = (),
) -> Span:
    """Span that one of three options gives; the usual one of the prices if none is given."""
    given = [period is not None, period_days is not None, calendar_months]
    if sum(given) > 1:
        raise DataError(
            "options: --period, --period-days and --calendar-months exclude each other. Give one."
        )
    if calendar_months:
        return span("month")
    if period is not None or period_days is not None:
        return span(period if period is not None else period_days or 0)
    return usual_span(prices, accept=accept)


def usual_horizon(length: Span, *, chosen: bool) -> int:
    """Periods that risk is over unless said: one of a period that was ``chosen``, or else about a month."""
    weekly = length.unit == "days" and length.size == _WEEK
    return 4 if weekly and not chosen else 1


def period_ends(table: pd.DataFrame, length: Span) -> pd.DatetimeIndex:
    """Ends of periods, ascending, counted back from the last day of prices (day, symbol) that are checked.

    The first is the start of the first period. A market day is one on which half of the assets listed then
    have a new price.

    Raises
    ------
    DataError
        Prices that come too rarely for periods so short.
    """
    closes = Closes(table, max_stale_days=MAX_STALE_DAYS)
    last, first = table.index[-1], table.index[0]
    if length.unit == "market days":
        days = pd.DatetimeIndex(closes.market_days.astype("datetime64[D]")).as_unit("ns")
        if closes.sparse:
            raise _too_rare(closes, length)
        return days[::-1][:: length.size][::-1]
    if length.unit == "days":
        if closes.sparse and length.size < closes.spacing:
            raise _too_rare(closes, length)
        n = (last - first).days // length.size
        return period_edges(last, period=length.size, n_past=n, n_future=0)
    if closes.spacing > 32 * length.size:
        raise _too_rare(closes, length)
    n = (last.year - first.year) * 12 + last.month - first.month + 1
    edges = period_edges(last, period="month", n_past=n, n_future=0)
    if closes.sparse:
        edges = edges_at_prices(edges, closes.dates, n_past=n)
    return pd.DatetimeIndex(edges[edges >= first][::-1][:: length.size][::-1])


def returns_between(table: pd.DataFrame, ends: pd.DatetimeIndex) -> pd.DataFrame:
    """Simple returns (period, symbol) between ends, each from the last close on or before it.

    NaN where a close is older than 10 days. That of sparse prices may be older by their spacing, but the two
    closes must be as far apart as the ends, give or take 10 days.
    """
    closes = Closes(table, max_stale_days=MAX_STALE_DAYS)
    row = table.index.searchsorted(ends, side="right") - 1
    day = table.index.to_numpy().astype("datetime64[D]").astype(float)
    at = ends.to_numpy().astype("datetime64[D]").astype(float)[:, None]
    traded = pd.DataFrame(np.where(table.notna(), day[:, None], np.nan)).ffill().to_numpy()[row]
    oldest = MAX_STALE_DAYS + (closes.spacing if closes.sparse else 0)
    values = table.ffill().iloc[row].set_axis(ends).where(at - traded <= oldest)
    returns = (values / values.shift(1) - 1).iloc[1:]
    if closes.sparse:
        off = np.abs(np.diff(traded, axis=0) - np.diff(at, axis=0))
        returns = returns.where(off <= MAX_STALE_DAYS)
    return returns


def _too_rare(closes: Closes, length: Span) -> DataError:
    remedy = "1m" if MONTHLY <= closes.spacing <= 32 else f"{-(-closes.spacing // _WEEK)}w"
    return DataError(
        f"returns: one price about every {closes.spacing} days, too few for periods of {length.words(1)}."
        f" Take a longer period, {remedy} say."
    )
