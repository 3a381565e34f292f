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
from bdfm.data.doubts.tables import Series, Tables

MIN_ROWS: Final = 20  # rows from which a column is taken for the total of others
FEWEST: Final = 3  # other columns, at least
SUMMARY: Final = 1e-4  # of a value, that cents leave of a sum or a mean
MOST_ROWS: Final = 0.99
SAME_SIDE: Final = 2 / 3  # of successive steps; independent ones 1/2, a correlation of 1/2 has 2/3
LEAST_THIRD, MIN_PAIRS = 250, 200  # rows of a third, and pairs of steps in it
CALM: Final = 2e-4  # daily sd up to which a fund accrues interest and little else
SAME_PRICE: Final = 1e-6
ANEW: Final = 2.5  # times the median step of an ordinary day
RISE, FALL = np.log(1.9), np.log(3.0)  # of the median asset on one day: no market did


@rule("summary-column", "refuse", "prices")
def summary_column(tables: Tables) -> Iterator[Finding]:
    """A column that is no asset, but the sum or the mean of all others.

    Within 1e-4 of it on 99 % of its rows, of 20 or more, beside three others or more.
    """
    series = tables.price_series
    if series is None or len(series.names) <= FEWEST or len(series.days) < MIN_ROWS:
        return
    values = np.where(series.known, series.values, 0.0)
    count = series.known.sum(axis=1, keepdims=True)
    others = values.sum(axis=1, keepdims=True) - values
    use = series.known & (count > FEWEST)
    moves = np.nan_to_num(series.step_sd) > 0
    for made, expected in (("sum", others), ("mean", others / np.maximum(count - 1, 1))):
        near = use & (np.abs(values - expected) <= SUMMARY * np.abs(expected))
        rows = use.sum(axis=0)
        for column in np.flatnonzero(moves & (rows >= MIN_ROWS) & (near.sum(axis=0) >= MOST_ROWS * rows)):
            name = series.names[column]
            yield Finding(
                "summary-column", "refuse", "prices", (name,), (),
                f"{name} is the {made} of the {counted(len(series.names) - 1, 'column')} beside it",
                "A column of totals or means is no asset.",
                "Leave it out.",
            )  # fmt: skip


@rule("smoothed", "warn", "prices")
def smoothed(tables: Tables) -> Iterator[Finding]:
    """Daily prices that go on as they went the day before.

    In the first, middle or last third (the whole, where a third has fewer than 250 rows) two successive
    steps lie on one side of the asset's median step in two thirds of the cases, of 200 or more, as with a
    correlation of 1/2 between them. So do averages over days, prices between those of weeks or months by
    interpolation, and marks of what hardly trades. Funds with a daily sd below 0.02 % accrue interest.
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
    lively = np.nan_to_num(series.step_sd) > CALM
    return np.nan_to_num(np.sign(np.where(lively, steps - middle, np.nan))).astype(np.int8)


@rule("begun-anew", "refuse", "prices")
def begun_anew(tables: Tables) -> Iterator[Finding]:
    """A day from which on all prices are of another kind: indices that begin anew at 100, another currency.

    More than half of three assets or more come to one and the same price on a day on which the median asset
    moves 2.5 times as far as usual; or the median asset is at 1.9 times the price before, or at a third.
    """
    series = tables.price_series
    if series is None or len(series.names) < FEWEST or len(series.days) < MIN_ROWS:
        return
    size = pd.DataFrame(np.abs(np.where(series.steps != 0, series.steps, np.nan))).median(axis=1).to_numpy()
    if not np.isfinite(size).any():
        return
    for row in np.flatnonzero(np.nan_to_num(size) > ANEW * np.nanmedian(size)):
        steps = series.steps[row]
        moved = np.isfinite(steps) & series.known[row]
        if moved.sum() < FEWEST:
            continue
        day, middle = series.day(int(row)), float(np.median(steps[moved]))
        values = series.values[row]
        price = float(np.median(values[moved]))  # that of more than half, if they have one
        shared = np.flatnonzero(moved & (np.abs(values - price) <= SAME_PRICE * np.abs(price)))
        if len(shared) >= FEWEST and 2 * len(shared) > moved.sum():
            names = tuple(series.names[c] for c in shared)
            yield Finding(
                "begun-anew", "refuse", "prices", names, (day,),
                f"{len(names)} of {counted(int(moved.sum()), 'asset')} come to {price:g} on {day}, from other"
                " prices",
                "Indices that begin anew have a step there which is no return.",
                "Link what comes after to what was before, or leave the earlier part out.",
            )  # fmt: skip
        elif middle >= RISE or middle <= -FALL:
            yield Finding(
                "begun-anew", "refuse", "prices", (), (day,),
                f"the prices of {day} are {np.exp(middle):.3g} times those before, at the median of"
                f" {counted(int(moved.sum()), 'asset')}",
                "No market moves so on a day: they are in another currency or unit, or begin anew.",
                "Bring both parts to one.",
            )  # fmt: skip
