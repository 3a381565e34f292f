"""Rules on prices that were computed: totals of the other columns, smoothed closes, a series begun anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding
from bdfm.data.doubts.forms import MAX_DAILY
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Floats, Series, Tables, robust_sd

MIN_ROWS: Final = 20  # rows from which a column is taken for the total of others
FEWEST: Final = 3  # other columns, at least
SUMMARY: Final = 1e-4  # of a value, that cents leave of a sum or a mean
MOST_ROWS: Final = 0.99
SAME_SIDE: Final = 2 / 3  # of successive steps; independent ones 1/2, a correlation of 1/2 has 2/3
LEAST_THIRD, MIN_PAIRS = 250, 200  # rows of a third, and pairs of steps in it
CALM: Final = 2e-4  # daily sd about its median step up to which a fund accrues interest and little else
ONE_SIGN: Final = 0.99  # of the steps: interest, or a currency that is let down day by day
NEARLY: Final = 1e-3  # median distance, of a value, at which two columns are twins
SAME_PRICE: Final = 1e-6
ANEW: Final = 2.5  # times the median step of an ordinary day
LEAST_ASSETS: Final = 8  # of three or four, two stocks that fall are "the median asset"
MAX_GAP: Final = 7  # days before a day on which no market moves so far
LATER: Final = 5  # rows before, and from the day on, that are of two kinds
BEFORE: Final = 1.1  # upper over lower quartile of the prices before; bonds end at par from near it
RISE, FALL = np.log(1.9), np.log(3.0)  # of the median asset on one day: no market did
ALIKE, MOST = np.log(1.25), 0.8  # a currency does so to all, within what each moves by itself


@rule("summary-column", "refuse", "prices")
def summary_column(tables: Tables) -> Iterator[Finding]:
    """A column that is no asset, but the sum or the mean of all others.

    Within 1e-4 of it on 99 % of its rows, of 20 or more, beside three others or more. Not where another
    column is within 1e-3 of it at the median day: one coin in two quotes, beside some that cost pennies, is
    the sum of its twin and of them. One column is named, the nearest.
    """
    series = tables.price_series
    if series is None or len(series.names) <= FEWEST or len(series.days) < MIN_ROWS:
        return
    values = np.where(series.known, series.values, 0.0)
    count = series.known.sum(axis=1, keepdims=True)
    others = values.sum(axis=1, keepdims=True) - values
    use = series.known & (count > FEWEST)
    rows = use.sum(axis=0)
    moves = (np.nan_to_num(series.step_sd) > 0) & (rows >= MIN_ROWS)
    found: list[tuple[float, int, str]] = []
    for made, expected in (("sum", others), ("mean", others / np.maximum(count - 1, 1))):
        apart = np.abs(values - expected)
        near = use & (apart <= SUMMARY * np.abs(expected))
        for column in map(int, np.flatnonzero(moves & (near.sum(axis=0) >= MOST_ROWS * rows))):
            if not _has_twin(series, column):
                own = near[:, column]
                far = apart[own, column] / np.maximum(np.abs(expected[own, column]), 1e-300)
                found.append((float(far.mean()), column, made))
    if found:
        _, column, made = min(found)
        name = series.names[column]
        yield Finding(
            "summary-column", "refuse", "prices", (name,), (),
            f"{name} is the {made} of the {counted(len(series.names) - 1, 'column')} beside it",
            "A column of totals or means is no asset.",
            "Leave it out.",
        )  # fmt: skip


def _has_twin(series: Series, column: int) -> bool:
    """Whether another column stands at nearly the same price on most days."""
    own = series.values[:, [column]]
    far = pd.DataFrame(np.abs(series.values - own) - NEARLY * np.abs(own)).median()
    return bool((far.drop(column) <= 0).any())


@rule("smoothed", "warn", "prices")
def smoothed(tables: Tables) -> Iterator[Finding]:
    """Daily prices that go on as they went the day before.

    In the first, middle or last third (the whole, where a third has fewer than 250 rows) two successive
    steps lie on one side of the asset's median step in two thirds of the cases, of 200 or more, as with a
    correlation of 1/2 between them. So do averages over days, prices between those of weeks or months by
    interpolation, and marks of what hardly trades. What moves by less than 0.02 % about its median step, or
    on 99 % of its days to one side of 0, accrues interest.
    """
    series = tables.price_series
    if series is None or not series.gap <= MAX_DAILY:
        return
    sides = _sides(series)
    parts = 3 if len(sides) >= 3 * LEAST_THIRD else 1
    found: dict[int, tuple[float, NDArray[np.int64]]] = {}
    for rows in np.array_split(np.arange(len(sides)), parts):
        pairs = sides[rows[1:]] * sides[rows[:-1]]
        n = (pairs != 0).sum(axis=0)
        share = (pairs > 0).sum(axis=0) / np.maximum(n, 1)
        for column in map(int, np.flatnonzero((n >= MIN_PAIRS) & (share >= SAME_SIDE))):
            if column not in found or share[column] > found[column][0]:
                found[column] = float(share[column]), rows
    for column, (most, rows) in sorted(found.items()):
        name, days = series.names[column], (series.day(int(rows[0])), series.day(int(rows[-1])))
        yield Finding(
            "smoothed", "warn", "prices", (name,), days,
            f"{name} moves as on the day before on {most:.0%} of the days from {days[0]} to {days[1]}",
            "Prices of a market do so on about half of them: these are averages, between those of weeks or"
            " months, or are marks. Volatility of days is then too low for weeks.",
            "Give the closes of each day, and leave days without one blank.",
        )  # fmt: skip


def _sides(series: Series) -> NDArray[np.int8]:
    """Side (day, label) of the median on which a step lies: -1 or 1; 0 without a step, or of a calm fund."""
    steps = np.where((series.steps != 0) & series.known, series.steps, np.nan)
    known = np.isfinite(steps).any(axis=0)
    middle = np.zeros(steps.shape[1])
    middle[known] = np.nanmedian(steps[:, known], axis=0)
    rising = (steps > 0).sum(axis=0) / np.maximum(np.isfinite(steps).sum(axis=0), 1)
    one_sign = np.maximum(rising, 1 - rising) >= ONE_SIGN  # rates of 2 to 14 % move by more than CALM
    lively = (np.nan_to_num(robust_sd(steps - middle)) > CALM) & ~one_sign
    return np.nan_to_num(np.sign(np.where(lively, steps - middle, np.nan))).astype(np.int8)


@rule("begun-anew", "refuse", "prices")
def begun_anew(tables: Tables) -> Iterator[Finding]:
    """A day from which on all prices are of another kind: indices that begin anew at 100, another currency.

    Of the assets that have a price that day and one before, more than half, and eight at least, come to one
    and the same price, from prices whose quartiles are 1.1 times apart or more, on a day on which the median
    asset moves 2.5 times as far as usual. Assets that stay at their price, as cash does, are not among them.
    Or, of daily prices, on a day at most seven after the row before, eight assets or more stand at 1.9 times
    the price before, or at a third, at the median, and four in five within 1.25 times of that ratio, as a
    currency does it. Either way the medians of up to five days before and after are as far apart, or half as
    far: prices of a single day are spikes.
    """
    series = tables.price_series
    if series is None or len(series.names) < LEAST_ASSETS or len(series.days) < MIN_ROWS:
        return
    size = pd.DataFrame(np.abs(np.where(series.steps != 0, series.steps, np.nan))).median(axis=1).to_numpy()
    if not np.isfinite(size).any():
        return
    gaps = np.diff(series.days.to_numpy(), prepend=series.days.to_numpy()[:1]) / np.timedelta64(1, "D")
    for row in map(int, np.flatnonzero(np.nan_to_num(size) > ANEW * np.nanmedian(size))):
        steps = series.steps[row]
        known = np.isfinite(steps) & series.known[row]
        moved = known & (np.abs(steps) > SAME_PRICE)
        if moved.sum() < LEAST_ASSETS:
            continue
        day, values, before = series.day(row), series.values[row], series.logs[row - 1]
        price = float(np.median(values[moved]))  # that of more than half, if they have one
        shared = np.flatnonzero(moved & (np.abs(values - price) <= SAME_PRICE * np.abs(price)))
        many = len(shared) >= LEAST_ASSETS and 2 * len(shared) > known.sum()
        if many and _apart(before[shared]) and 2 * _stays(series, row, moved)[shared].sum() > len(shared):
            names = tuple(series.names[c] for c in shared)
            yield Finding(
                "begun-anew", "refuse", "prices", names, (day,),
                f"{len(names)} of {counted(int(known.sum()), 'asset')} come to {price:g} on {day}, from other"
                " prices",
                "Indices that begin anew have a step there which is no return.",
                "Link what comes after to what was before, or leave the earlier part out.",
            )  # fmt: skip
            continue
        middle = float(np.median(steps[known]))
        alike = (np.abs(steps[known] - middle) <= ALIKE).mean() >= MOST
        daily = series.gap <= MAX_DAILY and gaps[row] <= MAX_GAP
        far = middle >= RISE or middle <= -FALL
        if daily and alike and far and 2 * _stays(series, row, moved).sum() > known.sum():
            yield Finding(
                "begun-anew", "refuse", "prices", (), (day,),
                f"the prices of {day} are {np.exp(middle):.3g} times those before, at the median of"
                f" {counted(int(known.sum()), 'asset')}, and nearly so for all",
                "No market moves so on a day: they are in another currency or unit, or begin anew.",
                "Bring both parts to one.",
            )  # fmt: skip


def _stays(series: Series, row: int, moved: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Assets, among those that moved, whose prices of the days after are half their step away or more."""
    later, earlier = (
        np.asarray(pd.DataFrame(series.logs[rows]).median())
        for rows in (slice(row, row + LATER), slice(max(row - LATER, 0), row))
    )
    return np.asarray(moved & ((later - earlier) / np.where(moved, series.steps[row], 1.0) >= 1 / 2))


def _apart(logs: Floats) -> bool:
    """Whether prices, as logs, differ by more than what ends at one price does the day before."""
    low, high = np.quantile(logs, [0.25, 0.75])
    return bool(high - low >= np.log(BEFORE))
