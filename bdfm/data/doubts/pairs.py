"""Rule on columns that are nearly alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.data.doubts.finding import Finding, Severity
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Floats, Series, Tables

COPY: Final = 2e-5  # 1 - correlation below which one column is a copy of the other
TWIN: Final = 0.02  # below which a specific risk of its own misleads: share classes, funds on one index
MIN_COMMON: Final = 60  # days in common that a correlation needs
MAX_ROWS: Final = 750  # three years, of large tables
MANY: Final = 500  # columns from which a table is large
BLOCK: Final = 1000
CLIP: Final = 10.0  # sds beyond which a return is cut, so that one common outlier makes no twins
SHIFT_ROWS: Final = 250  # days that a shift is judged by
SHIFT_OTHERS: Final = 4  # other columns that make a market
SHIFT_SAME: Final = 0.1  # correlation with the market of the same day, at most, of a shifted column
SHIFT_LINK: Final = 0.3  # and with that of the day before or after, at least
SHIFT_ALIKE: Final = 0.2  # from which another column is of another day too, if it is above the same day's
MAX_TOLD: Final = 50  # pairs


@rule("twins", "refuse", "prices")
def twins(tables: Tables) -> Iterator[Finding]:
    """Columns that move alike.

    The correlation of daily returns, each cut at 10 robust sds, over at least 60 common days. Above 0.99998
    one column is a copy of the other, in whatever unit: refused where a model is fitted to them jointly,
    since residuals that are the same in two columns break it. Funds on one index reach 0.9998 at most, for
    their closes differ by a basis point. Above 0.98, as share classes are: warned of, since a specific risk
    of each asset's own cannot see what they share. Of more than 500 columns the last three years are looked
    at. Names that differ in nothing but capitals, such as xom beside XOM, are warned of.
    """
    series = tables.price_series
    yield from _same_names(tables)
    if series is None or len(series.names) < 2 or len(series.days) <= MIN_COMMON:
        return
    grave: Severity = "refuse" if tables.forecasts or tables.purpose == "backtest" else "warn"
    if tables.purpose == "score":
        grave = "note"
    pairs = sorted(_pairs(series), key=lambda x: -x[2])
    for first, second, correlation in pairs[:MAX_TOLD]:
        one, other = series.names[first], series.names[second]
        copy = 1 - correlation < COPY
        if copy:
            yield Finding(
                "twins", grave, "prices", (one, other), (),
                f"{one} and {other} have the same returns (correlation {correlation:.6f})",
                "Two columns with one history break the fit, and count twice.",
                "Leave one of them out; an edit such as like can give it back.",
            )  # fmt: skip
        else:
            yield Finding(
                "twins", "note" if tables.purpose == "score" else "warn", "prices", (one, other), (),
                f"{one} and {other} have a correlation of {correlation:.4f}",
                "Like share classes or funds on one index; a specific risk for each asset cannot see what"
                " they share, and a long-short pair of them looks riskier than it is.",
                "Leave one of them out, or link their specific risk (bdfm.risk.link_specific).",
            )  # fmt: skip


def _same_names(tables: Tables) -> Iterator[Finding]:
    """Columns whose names are one symbol but for capitals."""
    series = tables.price_series
    spelt: dict[str, list[str]] = {}
    for name in [] if series is None else series.names:
        spelt.setdefault(name.casefold(), []).append(name)
    for names in spelt.values():
        if len(names) > 1:
            yield Finding(
                "twins", "note" if tables.purpose == "score" else "warn", "prices", tuple(names), (),
                f"{_checks.first(names)} differ in nothing but capitals",
                "They are probably one asset of two sources.", "Leave one of them out, or rename it.",
            )  # fmt: skip


def _pairs(series: Series) -> Iterator[tuple[int, int, float]]:
    """Pairs of columns whose correlation is above 1 - ``TWIN``, with it."""
    rows = slice(None) if len(series.names) <= MANY else slice(-MAX_ROWS, None)
    steps = series.steps[rows]
    known = series.known[rows] & np.isfinite(steps)
    sd = series.step_sd
    usable = np.flatnonzero(np.isfinite(sd) & (sd > 0) & (known.sum(axis=0) >= MIN_COMMON))
    if len(usable) < 2:
        return
    known = known[:, usable]
    z = np.clip(np.where(known, steps[:, usable], 0.0) / sd[usable], -CLIP, CLIP)
    full = bool(known.all())
    small = z.astype(np.float32)
    mask, square = known.astype(np.float32), np.square(small)
    own = square.sum(axis=0)
    for start in range(0, len(usable), BLOCK):
        stop = min(start + BLOCK, len(usable))
        product = small[:, start:stop].T @ small[:, start:]
        if full:
            scale = np.sqrt(own[start:stop, None] * own[None, start:])
        else:
            scale = np.sqrt(
                (square[:, start:stop].T @ mask[:, start:]) * (mask[:, start:stop].T @ square[:, start:])
            )
        with np.errstate(invalid="ignore", divide="ignore"):
            near = np.triu(product > (1 - 2 * TWIN) * scale, 1) & (scale > 0)
        for i, j in np.argwhere(near)[: 100 * MAX_TOLD]:
            first, second = int(start + i), int(start + j)
            both = known[:, first] & known[:, second]
            if both.sum() >= MIN_COMMON:
                # One cut for both: a copy with noise has other sds, since its zeros are none.
                pair = steps[:, usable[[first, second]]]
                cut = CLIP * sd[usable[[first, second]]].max()
                value = _correlation(np.clip(pair, -cut, cut), both)
                if 1 - value < TWIN:
                    yield int(usable[first]), int(usable[second]), value


def _correlation(pair: Floats, both: NDArray[np.bool_]) -> float:
    a, b = pair[both].T
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


@rule("shifted-days", "warn", "prices", "factors")
def shifted_days(tables: Tables) -> Iterator[Finding]:
    """One column whose days are those before or after all others', or factors of other days than the prices.

    Its daily returns, each cut at 5 robust sds, have a correlation of less than 0.1 with the mean of the
    others' on the same day, and of 0.3 or more with that of the day before or of the day after; over the last
    three years, in 250 days or more with four others. Nothing is said where another column is of another day
    too (0.2 or more, and more than on the same day): markets that close before another, as Tokyo before New
    York, look like it. A factor is compared with the mean of the assets in the same way.
    """
    series = tables.price_series
    if series is None or len(series.names) <= SHIFT_OTHERS or not series.gap <= 4:
        return
    yield from shifted_factors(tables)
    steps = series.steps[-MAX_ROWS:]
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.clip(steps / series.step_sd, -5, 5)
    known = np.isfinite(z) & (z != 0)
    z = np.where(known, z, 0.0)
    others = known.sum(axis=1)[:, None] - known
    market = (z.sum(axis=1)[:, None] - z) / np.maximum(others, 1)
    there = others >= SHIFT_OTHERS
    same = _links(z, market, known & there)
    before = _links(z[1:], market[:-1], known[1:] & there[:-1])
    after = _links(z[:-1], market[1:], known[:-1] & there[1:])
    most = np.fmax(before, after)
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero((np.abs(same) < SHIFT_SAME) & (most >= SHIFT_LINK))
        alike = int(((most > same) & (most >= SHIFT_ALIKE)).sum())
    if len(odd) != 1 or alike > 1:
        return
    column = int(odd[0])
    late = bool(before[column] == most[column])  # the other may be NaN
    yield _shifted("prices", "the others", series.names[column], same[column], most[column], late=late)


def shifted_factors(tables: Tables) -> Iterator[Finding]:
    """Factors that move with the assets of the day before or after, and not with those of the same day."""
    prices, factors = tables.price_series, tables.factor_series
    if prices is None or factors is None or not factors.gap <= 4:
        return
    rows = prices.days.get_indexer(factors.days)
    there = rows >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.clip(prices.steps[rows[there]] / prices.step_sd, -5, 5)
        values = np.clip(factors.values[there] / factors.value_sd, -5, 5)
    known = np.isfinite(z) & (z != 0)
    n = known.sum(axis=1)[:, None]
    market = np.where(known, z, 0.0).sum(axis=1)[:, None] / np.maximum(n, 1)
    both = np.isfinite(values) & (n >= SHIFT_OTHERS)
    values = np.where(both, values, 0.0)
    same, before, after = (
        _links(values, market, both),
        _links(values[1:], market[:-1], both[1:] & (n[:-1] >= SHIFT_OTHERS)),
        _links(values[:-1], market[1:], both[:-1] & (n[1:] >= SHIFT_OTHERS)),
    )
    most = np.fmax(np.abs(before), np.abs(after))
    with np.errstate(invalid="ignore"):
        odd = np.flatnonzero((np.abs(same) < SHIFT_SAME) & (most >= SHIFT_LINK))
    for column in odd:
        late = bool(abs(before[column]) == most[column])
        link = (before if late else after)[column]
        yield _shifted("factors", "the assets", factors.names[column], same[column], link, late=late)


def _shifted(
    table: Literal["prices", "factors"], others: str, name: str, same: float, link: float, *, late: bool
) -> Finding:
    """A column that moves with what others did on the day before (``late``) or after, by correlations."""
    return Finding(
        "shifted-days", "warn", table, (name,), (),
        f"{name} has a correlation of {same:.2f} with {others} on the same day, and of {link:.2f}"
        f" on the day {'before' if late else 'after'}",
        f"Its days are one too {'late' if late else 'early'}, or its market closes"
        f" {'before' if late else 'after'} {others}'.",
        f"Check the days of {'its closes' if table == 'prices' else 'the factors'}.",
    )  # fmt: skip


def _links(one: Floats, other: Floats, both: NDArray[np.bool_]) -> Floats:
    """Correlations (column) of two tables (row, column) where ``both`` holds; NaN of fewer than 250 rows."""
    n = both.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(both, one - np.where(both, one, 0).sum(axis=0) / n, 0)
        y = np.where(both, other - np.where(both, other, 0).sum(axis=0) / n, 0)
        found = (x * y).sum(axis=0) / np.sqrt(np.square(x).sum(axis=0) * np.square(y).sum(axis=0))
    return np.where(n >= SHIFT_ROWS, found, np.nan)
