"""Boundaries of periods, counted back from the origin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cache
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from pandas.tseries.holiday import (
    GoodFriday,
    Holiday,
    USLaborDay,
    USMartinLutherKingJr,
    USMemorialDay,
    USPresidentsDay,
    USThanksgivingDay,
    nearest_workday,
    sunday_to_monday,
)

from bdfm import _checks
from bdfm._reading import counted, quoted
from bdfm.data.choices import MAX_DAYS, MAX_HORIZON
from bdfm.errors import DataError

Period = int | Literal["month", "day"]
HorizonText = int | str | dt.date  # as people write a horizon

NEAR_DAYS: Final = 4  # a weekend and a holiday

# Weekdays on which the last days of a month are no trading days: Good Friday (March), and the last Monday of
# May, a holiday in New York and in London alike.
_HOLIDAYS: Final = (GoodFriday, USMemorialDay)
_CLOSED: Final = (  # weekdays on which New York has no prices
    *_HOLIDAYS,
    USLaborDay,
    USMartinLutherKingJr,
    USPresidentsDay,
    USThanksgivingDay,
    Holiday("New Year", month=1, day=1, observance=sunday_to_monday),
    Holiday("Juneteenth", month=6, day=19, start_date="2022-01-01", observance=nearest_workday),
    Holiday("Independence", month=7, day=4, observance=nearest_workday),
    Holiday("Christmas", month=12, day=25, observance=nearest_workday),
)


def ends_month(day: pd.Timestamp) -> bool:
    """Whether a day is the last of its month, or no trading day follows it in its month.

    Trading days are weekdays other than Good Friday and the last Monday of May: Friday the 30th ends a month
    whose 31st is a Saturday. It hangs on the date alone, not on what a price file holds after it.
    """
    later = pd.bdate_range(day + pd.Timedelta(days=1), day + pd.offsets.MonthEnd(0))
    return bool(_are_closed(later, _HOLIDAYS).all())  # of none, too


def trading_days_between(one: pd.Timestamp, other: pd.Timestamp, known: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Trading days after the earlier of two days, up to the later.

    ``known`` are the days of a price file. After its last one weekdays stand for trading days, but for
    New York's holidays: a file that ends early says nothing about what it lacks.
    """
    first, last = min(one, other), max(one, other)
    later = pd.bdate_range(max(first, known.max()) + pd.Timedelta(days=1), last)
    there = known[(known > first) & (known <= last)]
    return pd.DatetimeIndex(there.append(later[~_are_closed(later, _CLOSED)]))


def one_market_day(one: pd.Timestamp, other: pd.Timestamp) -> bool:
    """Whether two days have the same closes: only weekends and New York's holidays lie between.

    A Friday the 29th and the month's end on Saturday the 30th are one.
    """
    return trading_days_between(one, other, pd.DatetimeIndex([min(one, other)])).empty


def _are_closed(days: pd.DatetimeIndex, rules: tuple[Holiday, ...]) -> np.ndarray:
    """Which days (day) are holidays by these rules."""
    closed = [x for year in days.year.unique() for x in _holidays(int(year), rules)]
    return np.asarray(days.isin(closed), dtype=bool)


@cache
def _holidays(year: int, rules: tuple[Holiday, ...]) -> tuple[pd.Timestamp, ...]:
    """Holidays of a year by these rules. Pandas takes milliseconds a rule, for however many days."""
    first, last = pd.Timestamp(year, 1, 1), pd.Timestamp(year, 12, 31)
    return tuple(x for rule in rules for x in rule.dates(first, last))


def period_edges(origin: pd.Timestamp, *, period: Period, n_past: int, n_future: int) -> pd.DatetimeIndex:
    """Boundaries (n_past + n_future + 1) of successive periods; the origin is number ``n_past``.

    Period t runs from edge t, exclusive, to edge t + 1, inclusive. ``period`` is a number of days,
    ``"month"`` for calendar months, or ``"day"`` for weekdays, which stand for market days. Months keep the
    origin's day of the month, or take the month's last day where it has no such day; when the origin is the
    last trading day of its month or later, every other edge is the last day of a month.

    Raises ``DataError`` for another period, and for edges outside the years that a date can have.
    """
    known = period in ("month", "day") if isinstance(period, str) else 1 <= period <= MAX_DAYS
    if not known:
        raise DataError(f'period: {period!r} is not "month", "day" or a number of days from 1 to {MAX_DAYS}.')
    try:
        return _edges(origin, period=period, n_past=n_past, n_future=n_future)
    except (OverflowError, ValueError) as error:  # OutOfBoundsDatetime is a ValueError
        raise DataError(
            f"periods: {counted(n_past, 'period')} of {period} before {origin:%Y-%m-%d} and {n_future}"
            " after it reach"
            " beyond the years 1678 to 2261. Use fewer or shorter ones."
        ) from error


def _edges(origin: pd.Timestamp, *, period: Period, n_past: int, n_future: int) -> pd.DatetimeIndex:
    steps = range(-n_past, n_future + 1)
    if period == "day":
        past = pd.bdate_range(end=origin - pd.Timedelta(days=1), periods=n_past)
        ahead = pd.bdate_range(start=origin + pd.Timedelta(days=1), periods=n_future)
        return pd.DatetimeIndex([*past, origin, *ahead]).as_unit("ns")
    if period != "month":
        edges = [origin + pd.Timedelta(days=period * j) for j in steps]
    elif ends_month(origin):
        last = origin + pd.offsets.MonthEnd(0)
        edges = [last + pd.offsets.MonthEnd(j) if j else origin for j in steps]
    else:
        edges = [origin + pd.DateOffset(months=j) for j in steps]
    return pd.DatetimeIndex(edges).as_unit("ns")


def edges_at_prices(edges: pd.DatetimeIndex, days: pd.DatetimeIndex, *, n_past: int) -> pd.DatetimeIndex:
    """Boundaries of sparse prices: one before the origin moves on to a price that follows within 4 days.

    The first trading day of a month is the 1st, 2nd or 3rd: where prices stand on it, and the origin too,
    each month ends with its own price. ``days`` (day) are those with a price, none after the origin, which is
    edge ``n_past``; where it has no price within 4 days before it, all edges stay.
    """
    past = edges[:n_past]
    before = int(days.searchsorted(edges[n_past], side="right")) - 1
    if before < 0 or (edges[n_past] - days[before]).days > NEAR_DAYS:
        return edges
    following = days[np.minimum(days.searchsorted(past), len(days) - 1)]
    wait = (following - past).days
    moved = past.where((wait < 0) | (wait > NEAR_DAYS), following)
    return pd.DatetimeIndex(moved.append(edges[n_past:])).as_unit("ns")


def edges_at_market_days(
    edges: pd.DatetimeIndex, days: pd.DatetimeIndex, *, n_past: int
) -> tuple[pd.DatetimeIndex, int]:
    """Boundaries of periods that are market days, and the number of periods of history.

    ``days`` are the market days up to the origin, which is edge ``n_past``; those before it take the place of
    weekdays. The last one stands for the origin, which may be a day or two later. What follows stays.
    """
    past = days[-(n_past + 1) : -1]
    return pd.DatetimeIndex(past.append(edges[n_past:])).as_unit("ns"), len(past)


def market_days_until(origin: pd.Timestamp, end: pd.Timestamp) -> int:
    """Number of weekdays after the origin up to a day: the market days of a forecast."""
    return len(pd.bdate_range(start=origin + pd.Timedelta(days=1), end=end))


def describe(period: Period) -> str:
    """Length of a period in words: "28 days", "calendar months" or "one market day"."""
    if period == "day":
        return "one market day"
    return "calendar months" if period == "month" else f"{period} days"


class Horizon(NamedTuple):
    """A horizon: number of periods, and its label in names of files, such as 5d, 2p or 2022-03-18."""

    periods: int
    label: str


def horizon_of(
    value: HorizonText | None,
    period: Period,
    origin: pd.Timestamp,
    *,
    where: str,
    date_format: str | None = None,
) -> Horizon:
    """Horizon that a text or a number means.

    ``value``: a number of periods; with periods of one market day also such as ``"5d"``, or a date after the
    origin up to which its weekdays count. None: one period. Raises ``DataError`` for anything else.
    """
    text = "1" if value is None else str(value).strip().lower()
    number = text.removesuffix("d") if period == "day" else text
    if number.isdecimal() and len(number) < 10:
        periods = int(number)
        label = f"{periods}{'d' if period == 'day' else 'p'}"
    elif period == "day":
        end = _checks.as_date(value, where=where, date_format=date_format)
        if end <= origin:
            raise DataError(
                f"{where}: {end:%Y-%m-%d} is not after the origin {origin:%Y-%m-%d}. Give a later day."
            )
        periods, label = market_days_until(origin, end), f"{end:%Y-%m-%d}"
        if not periods:
            raise DataError(
                f"{where}: there is no market day after the origin {origin:%Y-%m-%d} up to {label}, a"
                f" {end:%A}. Give a later day."
            )
    else:
        raise DataError(
            f"{where}: {quoted(value)} is no number of periods of {describe(period)}. Give one, such as 1;"
            " market days and dates need a model of market days, such as daily."
        )
    if not 1 <= periods <= MAX_HORIZON:
        raise DataError(f"{where}: {quoted(value)} is {periods} periods; 1 to {MAX_HORIZON} are possible.")
    return Horizon(periods, label)


def span_of(
    value: HorizonText, origin: pd.Timestamp, *, where: str, date_format: str | None = None
) -> HorizonText:
    """The horizon as it means the same from another origin: a date becomes market days, such as ``"20d"``."""
    if str(value).strip().lower().removesuffix("d").isdecimal():
        return value
    return f"{horizon_of(value, 'day', origin, where=where, date_format=date_format).periods}d"


def horizons_of(
    values: HorizonText | Iterable[HorizonText] | None,
    period: Period,
    origin: pd.Timestamp,
    *,
    where: str,
    date_format: str | None = None,
) -> tuple[Horizon, ...]:
    """Horizons of one value or several, in their order; raises as ``horizon_of``, and for one given twice."""
    several = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
    if not several:
        raise DataError(f"{where}: no horizon is given. Give one, such as 1.")
    found: dict[int, HorizonText | None] = {}
    made = []
    for value in several:
        one = horizon_of(value, period, origin, where=where, date_format=date_format)
        if one.periods in found:
            raise DataError(
                f"{where}: {found[one.periods]} and {value} are both {one.periods}"
                f" {'period' if one.periods == 1 else 'periods'} of {describe(period)}. Give one of them."
            )
        found[one.periods] = value
        made.append(one)
    return tuple(made)
