"""Rules on the days of tables: how often there are prices, on which days of the week, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Series, Tables

MIN_ROWS: Final = 8  # rows from which a spacing is judged
WEEKLY_GAP, MONTHLY_GAP, QUARTERLY_GAP = 5.0, 20.0, 80.0  # median days between rows; daily: 1
MAX_TABLE_AGE: Final = 10  # days that a table may end before the origin; a close older is no price
WARN_TABLE_AGE: Final = 4  # a long weekend
SILENT_DAYS: Final = 30  # an asset without a price for longer is no longer traded
WARN_SILENT_DAYS: Final = 10
MAX_CLOSED: Final = 0.05  # share of periods without a price: holidays
MONTHS: Final = ' Forecasts of these take --calendar-months (period = "month").'
WEEKDAYS: Final = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


def _spacing(gap: float) -> str:
    """Name of a spacing by the median of the days between rows."""
    if gap < WEEKLY_GAP:
        return "daily"
    if gap < MONTHLY_GAP:
        return "weekly"
    return "monthly" if gap < QUARTERLY_GAP else "quarterly"


def _gaps(days: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(np.diff(days.to_numpy().astype("datetime64[D]").astype(np.int64)))


@rule("sampling", "refuse", "prices")
def sampling(tables: Tables) -> Iterator[Finding]:
    """Prices that are not daily.

    By the median of the days between rows: from 5 on weekly, from 20 on monthly, from 80 on quarterly. It is
    noted where panels and returns are made, which fit features and periods to the prices and refuse periods
    that are too short; for exposures it is warned of. So is the change from one spacing to another between
    the first and the last third of a table. Single assets with a price on fewer than a fourth of the days
    from their first to their last are refused where a panel is made, and elsewhere warned of. So are periods
    so short that more than 5 % of them hold no price: weekends of calendar days. Several rows a day are
    refused by every reader.
    """
    series = tables.price_series
    if series is None or len(series.days) < MIN_ROWS:
        return
    makes_panel = tables.forecasts or tables.purpose == "backtest"
    gaps = _gaps(series.days)
    kind = _spacing(float(np.median(gaps)))
    if kind != "daily":
        yield Finding(
            "sampling", "warn" if tables.purpose == "exposures" else "note", "prices", (), (),
            f"one row every {np.median(gaps):g} days ({counted(len(series.days), 'row')} from"
            f" {series.day(0)} to"
            f" {series.day(-1)}): the prices are {kind}",
            "Recent volatility and recent return are then counted in prices instead of market days.",
            "Give daily closes if there are any." + (MONTHS if kind == "monthly" else ""),
        )  # fmt: skip
        return
    yield from _closed_periods(tables, series)
    third = len(gaps) // 3
    first, last = (_spacing(float(np.median(g))) for g in (gaps[:third], gaps[-third:]))
    if first != last:
        yield Finding(
            "sampling", "warn", "prices", (), (),
            f"the prices are {first} at first and {last} at last",
            "A table of mixed spacing has returns of different lengths in one column.",
            "Keep the daily part.",
        )  # fmt: skip
    for column in np.flatnonzero(series.counts >= MIN_ROWS):
        rows = np.flatnonzero(series.known[:, column])
        if 4 * len(rows) >= rows[-1] - rows[0] + 1:
            continue
        name = series.names[column]
        yield Finding(
            "sampling", "refuse" if makes_panel else "warn", "prices", (name,), (),
            f"{name} has a price on {len(rows)} of {rows[-1] - rows[0] + 1} days, one every"
            f" {np.median(_gaps(series.days[rows])):g} days",
            "The others have daily prices: recent volatility and recent return are counted in market days.",
            "Give daily closes, or leave it out.",
        )  # fmt: skip


def _closed_periods(tables: Tables, series: Series) -> Iterator[Finding]:
    """Periods without a single row, among those that begin after the first one, of daily prices."""
    edges = pd.DatetimeIndex(list(tables.edges))
    edges = edges[edges >= series.days[0]]
    if len(edges) < 2:
        return
    rows = np.diff(series.days.searchsorted(edges, side="right"))
    closed = int((rows == 0).sum())
    if closed > MAX_CLOSED * len(rows):
        yield Finding(
            "sampling", "refuse", "prices", (), (),
            f"{closed} of {len(rows)} periods, of {(edges[1] - edges[0]).days} calendar days, have no price",
            "The market is closed then, and all returns are zero.",
            "Take longer periods, or a model of market days, such as daily.",
        )  # fmt: skip


@rule("time-zone", "warn", "prices", "factors")
def time_zone(tables: Tables) -> Iterator[Finding]:
    """Days that are not those of the market.

    Sundays in more than 10 % of the rows and Fridays in fewer than 2 %, as when closes are stamped in another
    time zone and fall on the day before; times of day that differ from row to row; Saturdays or Sundays in
    fewer than 5 % of the rows, as single ones are (a market open all week has them in 28 %),
    or in more where another day of the week is missing.
    """
    for what, series in (("prices", tables.price_series), ("factors", tables.factor_series)):
        if series is None or len(series.days) < 20:
            continue
        share = np.bincount(series.days.day_of_week, minlength=7) / len(series.days)
        if share[6] > 0.1 and share[4] < 0.02:
            yield Finding(
                "time-zone", "warn", what, (), (),
                f"{share[6]:.0%} of the rows are {WEEKDAYS[6]} and {share[4]:.0%} {WEEKDAYS[4]}",
                "Days are those of another time zone, one too early; some markets do trade from Sunday on.",
                "Write each close on the day of its market.",
            )  # fmt: skip
        elif 0 < share[5] + share[6] < 0.05:
            odd = series.days[series.days.day_of_week >= 5]
            yield Finding(
                "time-zone", "warn", what, (), tuple(f"{d:%Y-%m-%d}" for d in odd[:10]),
                f"{len(odd)} of {len(series.days)} rows are on weekends, first {odd[0]:%Y-%m-%d}",
                "Markets are closed then; a row that repeats Friday's closes makes returns of 0.",
                "Drop these rows, or move them to their day.",
            )  # fmt: skip
        elif share[5] + share[6] > 0 and share[:5].min() < 0.02 and series.gap < WEEKLY_GAP:
            yield Finding(
                "time-zone", "warn", what, (), (),
                f"{share[5] + share[6]:.0%} of the rows are on weekends, and hardly any are"
                f" {WEEKDAYS[int(share[:5].argmin())]}",
                "Days are moved: what trades on weekends does so on all days, but for a few markets.",
                "Write each close on the day of its market.",
            )  # fmt: skip
        if series.stamps is not None:
            times = (series.stamps - series.stamps.normalize()).unique()
            if len(times) > 1:
                yield Finding(
                    "time-zone", "warn", what, (), (), f"rows have {len(times)} different times of day",
                    "A daily table has one close a day; times are dropped.",
                    "Keep the close of each day.",
                )  # fmt: skip


def today() -> pd.Timestamp:
    """The last day that has begun anywhere, by the clock of this machine."""
    return (pd.Timestamp.now("UTC") + pd.Timedelta(hours=14)).tz_localize(None).normalize()


@rule("future-days", "warn", "prices", "factors")
def future_days(tables: Tables) -> Iterator[Finding]:
    """Rows with values dated after today, by the clock of this machine.

    As where day and month were exchanged, or a forecast stands among the prices. Of prices that are not daily
    a row may be dated by the end of its week, month or quarter: up to as many days ahead as lie between two
    rows. Rows after the origin are used for nothing, but that they are dated so is told as well: what was
    exchanged there was so before it.
    """
    for what, series, table in (
        ("prices", tables.price_series, tables.prices if tables.whole is None else tables.whole),
        ("factors", tables.factor_series, tables.factors),
    ):
        if series is None or table is None:
            continue
        now = today()
        days = (
            table.index
            if isinstance(table.index, pd.DatetimeIndex)
            else _checks.days(table.index, where=what)
        )
        ahead = np.flatnonzero(days.tz_localize(None) > now + pd.Timedelta(days=further_days(series)))
        own = [str(c) in series.names for c in table.columns]
        ahead = ahead[table.iloc[ahead].loc[:, own].notna().any(axis=1).to_numpy()]
        if len(ahead):
            late = days[ahead].sort_values()
            yield Finding(
                "future-days", "warn", what, (), tuple(f"{d:%Y-%m-%d}" for d in late[:10]),
                f"{counted(len(late), 'row')} of {len(days)} dated after today, which is {now:%Y-%m-%d}"
                f" at the latest anywhere, first"
                f" {late[0]:%Y-%m-%d}",
                "No market has closed there yet: day and month may be exchanged, or the clock is wrong.",
                "Correct the dates (--date-format says how they are written), or leave the rows out.",
            )  # fmt: skip


@rule("stale-end", "refuse", "prices")
def stale_end(tables: Tables) -> Iterator[Finding]:
    """Prices that end before the origin or begin after it, or assets that end before the others.

    A table without a price up to the origin is refused. One that ends more than 10 days before the origin is
    refused (a close that old is no price), more than 4 days is warned of (a long weekend is 4). For a
    forecast an asset without a price in the 30 days before the origin is refused, and 10 days are warned of;
    elsewhere assets that end 30 days before the table are noted together. Where prices are not daily, the
    days between them are added to all of these; but of monthly and rarer prices an origin more than 4 days
    after the last one is warned of.
    """
    series = tables.price_series
    if series is None and tables.origin is not None and (begun := tables.first_price) is not None:
        yield Finding(
            "stale-end", "refuse", "prices", (), (f"{begun:%Y-%m-%d}",),
            f"the origin {tables.origin:%Y-%m-%d} is before the first price ({begun:%Y-%m-%d})",
            "A forecast knows nothing but prices up to its origin.",
            "Choose a later origin, or add earlier prices.",
            acceptable=False,
        )  # fmt: skip
    if series is None or not len(series.days):
        return
    end = tables.origin if tables.origin is not None else series.days[-1]
    age = (end - series.days[-1]).days
    further = further_days(series)
    if age > WARN_TABLE_AGE + further:
        yield Finding(
            "stale-end", "warn" if age <= MAX_TABLE_AGE + further else "refuse",
            "prices", (), (series.day(-1),),
            f"the origin {end:%Y-%m-%d} is {age} days after the last price ({series.day(-1)})",
            "What happened since is not known to the model.",
            "Choose an earlier origin, or add later prices.",
            acceptable=age <= MAX_TABLE_AGE + further,
        )  # fmt: skip
    elif age > WARN_TABLE_AGE and series.gap >= MONTHLY_GAP and tables.forecasts:
        yield Finding(
            "stale-end", "warn", "prices", (), (series.day(-1),),
            f"the origin {end:%Y-%m-%d} is {age} days after the last price ({series.day(-1)}), and prices are"
            f" {_spacing(series.gap)}",
            "The forecast begins at that price whatever its origin says, and cannot be scored.",
            f"Take the day of a price: --origin {series.day(-1)}, or add later prices.",
        )  # fmt: skip
    ended = [x for x in _ended(series, end) if x[0] not in tables.inactive]
    if not tables.forecasts:
        some = [x for x in ended if x[2] > SILENT_DAYS + further]
        if some:
            yield Finding(
                "stale-end", "note", "prices", tuple(name for name, _, _ in some), (),
                f"{len(some)} of {len(series.names)} assets end before the others"
                f" ({_checks.first(f'{name} on {day}' for name, day, _ in some)})",
                "They may be delisted.", "Leave them out if so.",
            )  # fmt: skip
        return
    for name, day, silent in ended:
        gone = silent >= SILENT_DAYS + further
        if not gone and silent <= WARN_SILENT_DAYS + further:
            continue
        yield Finding(
            "stale-end", "refuse" if gone else "warn", "prices", (name,), (day,),
            f"{name} has no price in the {silent} days before the origin {end:%Y-%m-%d} (the last: {day})",
            "An asset without a price for that long is no longer traded." if gone else "It may be delisted.",
            "Drop it, or pass --zero for a delisted asset.",
            acceptable=not gone,
        )  # fmt: skip


def further_days(series: Series) -> int:
    """Days from one price to the next where prices are not daily, otherwise 0."""
    return int(np.ceil(series.gap)) if series.gap >= WEEKLY_GAP else 0


def _ended(series: Series, end: pd.Timestamp) -> Iterator[tuple[str, str, int]]:
    """Assets, their last day with a price, and how many days before the end that is."""
    n = len(series.days)
    last = n - 1 - np.argmax(series.known[::-1], axis=0)
    gone = (end - series.days).days.to_numpy()
    table = (end - series.days[-1]).days
    for column in np.flatnonzero(series.counts > 0):
        silent = int(gone[last[column]])
        if silent > table:
            yield series.names[column], series.day(int(last[column])), silent
