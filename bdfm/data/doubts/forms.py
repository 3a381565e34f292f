"""Rules on what a column of prices is: no prices at all, or the open, high, low and volume of one asset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Floats, Series, Tables

MIN_ROWS: Final = 60  # values from which the form of a column is judged
NO_TREND: Final = (
    1.0  # sd of log levels over that of steps: 0.7 for noise about a level, about √(n/6) for prices
)
MAX_RETURN_SD: Final = 0.3  # of what may be returns plus a constant
REVERSAL: Final = (
    -0.4
)  # autocorrelation of steps below which levels are noise: -0.5 for returns, 0 for prices
WANDER: Final = 60.0  # steps that a level of noise ranges over at most, worst days included; prices over more
LOG_LEVELS: Final = (1.5, 12.0)  # what logs of prices from 5 to 160,000 lie between
LOG_SD: Final = (0.006, 0.05)  # daily sd of logs of prices of stocks
LOG_RATIO: Final = (0.4, 2.5)  # absolute sd of a column of logs over the sd of prices beside it
LOG_MARKET: Final = 0.25  # correlation of its steps with the median step, which logs of stocks are above
MAX_DAILY: Final = 4.0  # days between rows that may be daily
VOLUME_SD: Final = 0.25  # robust daily sd of a log volume is 0.3 and more, of no price on calm days

SUMMARY: Final = 1e-4  # part of a mean by which the same mean, rounded, may differ
SUMMARY_OF_FEW: Final = 1e-9  # where one or two columns may hit it by chance
SUMMARY_OF_MANY: Final = 1e-3  # which so many columns do not hit together:
MANY_COLUMNS: Final = 5
OUT_OF_PLACE: Final = 4.0  # median steps that a mean is away from the price before it
TINY: Final = 1e-300  # in place of a mean of 0
MIN_ABOVE: Final = 20  # rows above a row of means

FIELD_NAMES: Final = {
    "open",
    "high",
    "low",
    "close",
    "adjclose",
    "adjustedclose",
    "volume",
    "vwap",
    "turnover",
}
FIELD_END: Final = re.compile(
    r"[\s._\-/|:(]*(open|high|low|close|adj[\s._]*close|adjusted[\s._]*close|volume|vwap)\)?$", re.I
)
CALM_PEG: Final = 1e-3  # sd of a row up to which coins and currencies are held at a price
YIELD_NAME: Final = re.compile(r"yield|ytm|^dgs\d+|^\^?(tnx|irx|tyx|fvx)$", re.I)
# funds that are called by what they hold
YIELD_FUND: Final = re.compile(r"(high|dividend|div|equity|enhanced)[\s_.-]*yield\w*|yieldco\w*", re.I)


@rule("not-prices", "refuse", "prices")
def not_prices(tables: Tables) -> Iterator[Finding]:
    """Columns that are no prices.

    Refused: returns, with between 10 and 90 % of values below zero; and returns plus a constant (1 + r, 100 +
    100 r), whose levels do not wander (their sd is below that of their steps) and whose steps undo each other
    (autocorrelation below -0.4), in half of the columns or more, each with a sd above 0.1 %. In fewer
    columns, and calmer ones, the latter is warned of: pegs look like it, and stablecoins. Warned of: logs of
    prices (three columns or more, all with levels from 1.5 to 12, an absolute daily sd of 0.6 to 5 % and a
    relative one below 0.6 %; exchange rates may look like it); single columns like that among livelier ones,
    if their absolute sd is 0.4 to 2.5 times the others' and they move with the median column (correlation
    above 0.25); and names of yields, whose relative changes are no returns.
    """
    series = tables.price_series
    if series is None:
        return
    enough = series.counts >= 20
    values = series.values
    with np.errstate(invalid="ignore"):
        negative = (values < 0).sum(axis=0) / np.maximum(series.counts, 1)
    signs = enough & (negative > 0.1) & (negative < 0.9)
    for column in np.flatnonzero(signs):
        name = series.names[column]
        yield Finding(
            "not-prices", "refuse", "prices", (name,), (),
            f"{name}: {negative[column]:.0%} of {series.counts[column]} values are below zero",
            "Such columns hold returns or logs, not prices.",
            "Give closes; of returns r, (1 + r).cumprod() makes them.",
            acceptable=False,
        )  # fmt: skip
    flat = _noise_about_a_level(series) & ~signs
    lively = flat & (np.nan_to_num(series.step_sd) > CALM_PEG)
    many = lively.sum() >= max(1, len(flat) / 2)
    for column in np.flatnonzero(flat):
        name, grave = series.names[column], many and lively[column]
        yield Finding(
            "not-prices", "refuse" if grave else "warn", "prices", (name,), (),
            f"{name} stays within {np.nanstd(series.logs[:, column]):.2%} of its mean of"
            f" {np.nanmean(values[:, column]):.4g} but moves by {series.step_sd[column]:.2%} a row, each"
            " undone",
            "Such columns hold returns plus a constant (1 + r, 100 + 100 r), not prices.",
            "Give closes; of returns r, (1 + r).cumprod() makes them.",
        )  # fmt: skip
    if _are_logs(series):
        yield Finding(
            "not-prices", "warn", "prices", (), (),
            f"all {counted(len(series.names), 'column has', 'columns have')} levels of"
            f" {np.nanmedian(values):.3g} that move by less"
            " than 0.6 % a row",
            "Logs of prices look like it, and so do exchange rates.",
            "If they are logs, give the closes themselves.",
        )  # fmt: skip
    for calm in _logs_among_prices(series):
        name = series.names[calm]
        yield Finding(
            "not-prices", "warn", "prices", (name,), (),
            f"{name} has levels of {np.nanmedian(values[:, calm]):.3g} and moves by"
            f" {series.step_sd[calm]:.2%} a row, with columns that move by more than 0.6 %",
            "Logs of prices look like it, among closes, and so do funds of bonds.",
            "If they are logs, give the closes themselves.",
        )  # fmt: skip
    for name in series.names:
        if YIELD_NAME.search(YIELD_FUND.sub("", name)):
            yield Finding(
                "not-prices", "warn", "prices", (name,), (), f"{name} is named like a yield",
                "The relative change of a yield is no return: a bond loses when it rises.",
                "Give prices of bonds or of a fund.",
            )  # fmt: skip


def _noise_about_a_level(series: Series) -> np.ndarray:
    """Whether (label) log levels are noise about a constant, as 1 + r is."""
    steps = series.steps
    long = series.counts >= MIN_ROWS
    found = np.zeros(len(series.names), dtype=bool)
    sd = np.nan_to_num(series.step_sd)
    # A cheap look first: the levels of a price wander further than a few of its steps.
    with np.errstate(invalid="ignore"):
        top, bottom = _extreme(series.logs, 1), _extreme(series.logs, 0)
    for column in np.flatnonzero(long & (sd > 0) & (sd < MAX_RETURN_SD) & (top - bottom < WANDER * sd)):
        own = steps[:, column]
        own = own[np.isfinite(own)]
        levels = series.logs[:, column]
        spread = float(np.nanstd(levels) / max(float(own.std()), 1e-300))
        centred = own - own.mean()
        link = float(centred[1:] @ centred[:-1]) / float(centred @ centred)
        found[column] = spread < NO_TREND and link < REVERSAL
    return found


def _extreme(logs: Floats, which: int) -> Floats:
    filled = np.where(np.isfinite(logs), logs, -np.inf if which else np.inf)
    return np.asarray(filled.max(axis=0) if which else filled.min(axis=0))


@rule("summary-row", "refuse", "prices", "returns", "factors")
def summary_row(tables: Tables) -> Iterator[Finding]:
    """A last row that is no day, but the means or the sums of the columns.

    Each value of it is the mean, or each the sum, of what its column holds above, of twenty rows or more:
    within 1e-4 of it where three columns or more move, 1e-3 of five or more, 1e-9 of fewer; and half of the
    prices are more than four median steps from those before them. It would be the price at the origin.
    """
    for what, series in (
        ("prices", tables.whole_series), ("returns", tables.return_series), ("factors", tables.factor_series)
    ):  # fmt: skip
        if series is None or len(series.days) <= MIN_ABOVE:
            continue
        above, last = series.values[:-1], series.values[-1]
        known = np.isfinite(last) & np.isfinite(above).any(axis=0)
        count = np.maximum(np.isfinite(above).sum(axis=0), 1)
        totals = np.nansum(above, axis=0)
        for made, values in (("means", totals / count), ("sums", totals)):
            apart = np.abs(last - values) / np.maximum(np.abs(values), TINY)
            if not (apart <= SUMMARY_OF_MANY)[known].any():
                continue  # of all but a few tables: the rest looks at every row
            moves = np.zeros(len(last), dtype=bool)
            moves[known] = np.nanmax(above[:, known], axis=0) > np.nanmin(above[:, known], axis=0)
            n = int(moves.sum())
            near = SUMMARY_OF_FEW if n < 3 else SUMMARY_OF_MANY if n >= MANY_COLUMNS else SUMMARY
            if not n or not (apart <= near)[moves].all() or not _out_of_place(what, above, last, moves):
                continue
            yield Finding(
                "summary-row", "refuse", what, (), (series.day(len(series.days) - 1),),
                f"the last row, of {series.day(len(series.days) - 1)}, holds the {made} of the"
                f" {n} columns above it",
                "A row of means or totals is no day.",
                "Take it out.",
            )  # fmt: skip


def _out_of_place(what: str, above: Floats, last: Floats, moves: NDArray[np.bool_]) -> bool:
    """Whether a last row is none that could follow: of funds that hardly move each day is near the mean.

    Returns may be what they like from day to day; there more than a single column among many says it.
    """
    n = int(moves.sum())
    if what != "prices":
        return n > 1 or 2 * n >= len(moves)
    table = pd.DataFrame(above)
    with np.errstate(invalid="ignore"):
        away = np.abs(last - table.ffill().iloc[-1].to_numpy())
        odd = away > OUT_OF_PLACE * table.diff().abs().median().to_numpy()
    return 2 * int((odd & moves).sum()) >= n


def _logs_among_prices(series: Series) -> list[int]:
    """Columns that move with the others, but as little as logs of prices do, where all others move more.

    A fund of bonds at five pounds moves like that too. Where another column is as calm, none is named.
    """
    if not series.gap <= MAX_DAILY:
        return []
    level, sd = _level(series), np.nan_to_num(series.step_sd)
    like = (level > LOG_LEVELS[0]) & (level < LOG_LEVELS[1]) & (series.counts >= MIN_ROWS)
    like &= (sd > 0) & (sd < LOG_SD[0])
    rest = sd[~like & (sd > 0)]
    if not like.any() or len(rest) < 2 or (rest < LOG_SD[0]).any():
        return []
    market = pd.DataFrame(series.steps).median(axis=1)
    ratio = level * sd / np.median(rest)
    near = like & (ratio > LOG_RATIO[0]) & (ratio < LOG_RATIO[1])
    return [
        int(c)
        for c in np.flatnonzero(near)
        if pd.Series(series.steps[:, c]).corr(market, method="spearman") > LOG_MARKET
    ]


def _level(series: Series) -> Floats:
    """Median (label) of the newest values."""
    some = series.values[-MIN_ROWS:]
    return np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else np.nan for c in some.T])


def _are_logs(series: Series) -> bool:
    if len(series.names) < 3 or not (series.counts >= MIN_ROWS).all():
        return False
    level = _level(series)
    absolute = level * series.step_sd
    return bool(
        ((level > LOG_LEVELS[0]) & (level < LOG_LEVELS[1])).all()
        and (series.step_sd < LOG_SD[0]).all()
        and ((absolute > LOG_SD[0]) & (absolute < LOG_SD[1])).mean() >= 0.5  # bills move less
    )


def _field(name: str) -> tuple[str, str] | None:
    """Symbol and field of a name such as "SPY Close" or "volume"; None where it ends in no field."""
    found = FIELD_END.search(name.strip())
    if found is None:
        return None
    return name.strip()[: found.start()], re.sub(r"[\s._]", "", found[1].lower())


@rule("ohlcv", "refuse", "prices")
def ohlcv(tables: Tables) -> Iterator[Finding]:
    """Columns that are the open, high, low, close and volume of one asset.

    Two columns or more that share a symbol (or have none) and end in a field's name; or whole numbers whose
    log moves by more than 25 % on the median row and turns back the next (autocorrelation below -0.2), which
    volumes do and no price does.
    """
    series = tables.price_series
    if series is None:
        return
    groups: dict[str, list[str]] = {}
    for name in series.names:
        field = _field(name)
        if field is not None:
            groups.setdefault(field[0], []).append(name)
    named: set[str] = set()
    for stem, members in groups.items():
        if len(members) < 2 or (stem and len(members) < 2):
            continue
        named |= set(members)
        best = next((m for m in members if (_field(m) or ("", ""))[1].startswith("adj")), None)
        close = best or next((m for m in members if (_field(m) or ("", ""))[1] == "close"), members[-1])
        yield Finding(
            "ohlcv", "refuse", "prices", tuple(members), (),
            f"columns {_checks.first(members, 8)} are fields of one asset",
            "Each column is taken for an asset of its own.",
            f"Keep one column of adjusted closes for each asset (here {close!r}), named by its symbol.",
        )  # fmt: skip
    wild = (series.counts >= MIN_ROWS) & (np.nan_to_num(series.step_sd) > VOLUME_SD)
    for column in np.flatnonzero(wild):
        name = series.names[column]
        own = series.values[series.known[:, column], column]
        if name in named or not np.array_equal(own, np.round(own)):
            continue
        steps = series.steps[:, column]
        steps = steps[np.isfinite(steps)]
        if not np.isfinite(steps).any() or float(np.corrcoef(steps[1:], steps[:-1])[0, 1]) > -0.2:
            continue
        yield Finding(
            "ohlcv", "refuse", "prices", (name,), (),
            f"{name}: integers about {np.median(own):,.0f} that move by {series.step_sd[column]:.0%} a row",
            "Such columns hold volumes.",
            "Leave the column out.",
        )  # fmt: skip
