"""Rules on prices that do not move: cash, pegs, assets that are gone, and halts in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from bdfm.data.doubts.calendar import SILENT_DAYS, WARN_SILENT_DAYS, further_days
from bdfm.data.doubts.finding import Finding, Severity
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Purpose, Series, Tables
from bdfm.data.features import fresh_closes

MIN_SAME: Final = 10  # prices from which on one price throughout is cash or a peg
MIN_HELD: Final = 6  # rows that repeat the last price, at least: of monthly prices two may well be alike
LONG_ROWS: Final = 60  # rows of one price in between, about three months, that are told
# What comes of a price that stands still, by what is computed.
STANDS_STILL: Final[dict[Purpose, str]] = {
    "risk": "A close that is carried on makes returns of 0, and a large one when it moves again.",
    "exposures": "A close that is carried on makes returns of 0, and a large one when it moves again.",
    "score": "The last close before stands for that of each day until then, which has the whole move.",
}
AT_THE_END: Final = "The last close stands for that of the end: right where trading has stopped."
NO_PRICE: Final = "A close older than {} days is no price: a period that begins or ends then has no return."


@rule("constant-price", "refuse", "prices")
def constant_price(tables: Tables) -> Iterator[Finding]:
    """Prices that do not change.

    From 10 prices on: the same price throughout is cash or a peg; the last price repeated for 30 days or more
    is an asset that is gone and whose price was carried on; 60 rows or more of one price at the start or in
    between are warned of. The first two are refused where a panel is made, which has no return to learn from,
    unless the asset's return is set to zero, and warned of elsewhere; exposures refuse the first, and
    backtests and scores, which take a repeated price for none, note them. The last price repeated for 10 days
    is warned of where a panel is made, and elsewhere told as no-new-price. Liquid assets repeat a price for
    two days at most.
    """
    series = tables.price_series
    if series is None or len(series.days) < MIN_SAME:
        return
    moves = np.nan_to_num(series.steps) != 0
    n = len(series.days)
    ever = moves.any(axis=0)
    last_move = n - 1 - np.argmax(moves[::-1], axis=0)
    first_row = np.argmax(series.known, axis=0)
    last_row = n - 1 - np.argmax(series.known[::-1], axis=0)
    needs = tables.forecasts or tables.purpose == "exposures"
    grave: Severity = "refuse" if tables.forecasts else "warn"
    if tables.purpose in ("score", "backtest"):  # a price repeated is no price there
        grave = "note"
    for column in map(int, np.flatnonzero(series.counts >= MIN_SAME)):
        name = series.names[column]
        quiet = name in tables.inactive
        since = series.day(int(first_row[column]))
        if not ever[column]:
            if not quiet:
                yield Finding(
                    "constant-price", "refuse" if needs else grave, "prices", (name,), (since,),
                    f"the price of {name} has not changed since {since}"
                    f" ({series.values[first_row[column], column]:g} on all {series.counts[column]} days)",
                    "Cash or a peg returns 0 for sure, and there is nothing to learn about it.",
                    "Pass --zero for it, or leave it out." if tables.forecasts
                    else "It counts as cash, without risk: leave it out if it is none."
                    if tables.purpose == "risk" else "Leave it out.",
                    acceptable=not needs,
                )  # fmt: skip
            continue
        moved, ends = int(last_move[column]), int(last_row[column])
        same = (series.days[ends] - series.days[moved]).days
        gone = same >= SILENT_DAYS
        long = gone or (tables.forecasts and same > WARN_SILENT_DAYS)  # elsewhere shorter ones: no-new-price
        if long and _carried_on(series, column, moved, ends) and not quiet:
            now: Severity = grave if gone else "warn"
            yield Finding(
                "constant-price", now, "prices", (name,), (series.day(moved), series.day(ends)),
                f"the price of {name} has not changed in {same} days, from {series.day(moved)} to"
                f" {series.day(ends)}",
                "The asset is probably delisted or halted, and its last price was carried on."
                if gone else "A halt, or a price that was carried on.",
                "Drop it, or pass --zero for a delisted asset."
                if gone and tables.forecasts else "Leave the days blank on which it did not trade.",
                acceptable=not (gone and tables.forecasts),
            )  # fmt: skip
        yield from _runs(
            tables,
            "note" if grave == "note" else "warn",
            column,
            moves[:, column],
            int(first_row[column]),
            moved,
        )


def _runs(
    tables: Tables, severity: Severity, column: int, moves: np.ndarray, first: int, last: int
) -> Iterator[Finding]:
    """Long runs of one price before the last move."""
    series = tables.price_series
    if series is None:
        return
    at = np.concatenate([[first], np.flatnonzero(moves)])
    for k in np.flatnonzero(np.diff(at) >= LONG_ROWS):
        begin, end = int(at[k]), int(at[k + 1])
        if 2 * int(series.known[begin:end, column].sum()) <= end - begin:
            continue
        name = series.names[column]
        yield Finding(
            "constant-price", severity, "prices", (name,), (series.day(begin), series.day(end)),
            f"the price of {name} is the same on {end - begin} days, from {series.day(begin)} to"
            f" {series.day(end - 1)}",
            "Days without trade count as returns of 0, and volatility comes out too low.",
            "Leave the days blank on which it did not trade.",
        )  # fmt: skip


@rule("no-new-price", "warn", "prices")
def no_new_price(tables: Tables) -> Iterator[Finding]:
    """More than 10 days between two prices of an asset that differ: it is blank, or stands still.

    A halt, or a price that was carried on. In a panel a close older than 10 days (``max_stale_days``) is no
    price, so the periods that begin or end in such a stretch have no return: they are counted, and the first
    is named, where the periods are known; a stretch over no end of a period is a note there. Elsewhere the
    returns of these days are 0 until it moves again. So is an asset without a new close in the 10 days before
    the end of the table, where no panel is made, unless constant-price or stale-end say so: from 30 days on,
    of an asset that is gone. A score says it of any number of days, since it counts with the older close, and
    so does a backtest of a price that is carried on. Markets are closed for 10 days at most. Where prices are
    not daily, 6 rows are such a stretch, since two months may well end at one price.
    """
    series = tables.price_series
    if series is None or len(series.days) < MIN_SAME:
        return
    longest, further = tables.max_stale_days, further_days(series)
    usual = STANDS_STILL.get(tables.purpose, NO_PRICE.format(longest + further))
    day = series.days.to_numpy().astype("datetime64[D]").astype(np.int64)
    edges = np.array([x.to_datetime64() for x in tables.edges], "datetime64[D]").astype(np.int64)
    fresh = fresh_closes(series.values)
    for column in map(int, np.flatnonzero(series.counts >= MIN_SAME)):
        rows = np.flatnonzero(fresh[:, column])
        if len(rows) > 1:  # with one price throughout it is cash
            yield from _still_at_the_end(tables, series, column, int(rows[-1]), longest, further)
        old, new = rows[:-1], rows[1:]
        still = day[new] - day[old] > longest + further
        if further:
            still &= new - old > MIN_HELD
        stretches = [(int(a), int(b)) for a, b in zip(old[still], new[still], strict=True)]
        if not stretches:
            continue
        # Ends at which the last new close is too old, and returns that begin or end at one of them.
        ends = [np.flatnonzero((edges > day[a] + longest + further) & (edges < day[b])) for a, b in stretches]
        lost = {int(k) for found in ends for k in (*found, *(found + 1)) if 0 < k < len(edges)}
        told = [x for x, found in zip(stretches, ends, strict=True) if len(found)] or stretches
        a, b = max(told, key=lambda x: day[x[1]] - day[x[0]])
        name = series.names[column]
        seen = f"{name} has no new price for {day[b] - day[a]} days, from {series.day(a)} to {series.day(b)}"
        if len(told) > 1:
            seen += f" (the longest of {len(told)} times)"
        if lost:
            number = "1 of its returns is" if len(lost) == 1 else f"{len(lost)} of its returns are"
            first = f"{tables.edges[min(lost)]:%Y-%m-%d}"
            seen += f", over the end of a period: {number} missing, that to {first} first"
        days = tuple(series.day(k) for x in told for k in x)
        severity: Severity = "warn" if lost or not len(edges) else "note"
        yield Finding(
            "no-new-price", severity, "prices", (name,), days, seen, usual,
            "Give its prices of these days, if it traded.",
        )  # fmt: skip


def _carried_on(series: Series, column: int, moved: int, ends: int) -> bool:
    """Whether an asset repeats its price from one row to another, on most of the days."""
    held = int(series.known[moved : ends + 1, column].sum())
    return held >= MIN_HELD and 2 * held > ends - moved


def _still_at_the_end(
    tables: Tables, series: Series, column: int, moved: int, longest: int, further: int
) -> Iterator[Finding]:
    """An asset without a new price since a row, too long before the end, where no other rule says so."""
    n = len(series.days)
    ends = n - 1 - int(np.argmax(series.known[::-1, column]))
    age, same, silent = (
        (series.days[b] - series.days[a]).days for a, b in ((moved, -1), (moved, ends), (ends, -1))
    )
    if tables.forecasts or age <= longest + further or (further and n - 1 - moved <= MIN_HELD):
        return
    gone = same >= SILENT_DAYS and tables.purpose != "backtest" and _carried_on(series, column, moved, ends)
    if tables.purpose != "score" and (gone or silent > SILENT_DAYS + further):
        return
    name, since, end = series.names[column], series.day(moved), series.day(-1)
    none = tables.purpose == "backtest" or (tables.purpose == "risk" and silent > longest + further)
    yield Finding(
        "no-new-price", "warn", "prices", (name,), (since, end),
        f"{name} has no new price in the {age} days to the end, {since} to {end}",
        NO_PRICE.format(longest + further) if none else AT_THE_END,
        "Give its prices of these days, if it traded.",
    )  # fmt: skip
