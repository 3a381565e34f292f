"""Rules on factor returns: their unit, and whether they can be told apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Floats, Series, Tables
from bdfm.data.risk_free import is_rate

TOO_SMALL: Final = 2e-4  # daily sd of a factor: 0.02 %, a hundredth of what a factor has
TOO_LARGE: Final = 0.15  # 15 %: percent; a factor has 0.2 to 3 %
MAX_RATE: Final = 0.5  # risk-free return of a year
MAX_BETA: Final = 30.0  # sd of the assets over that of the liveliest factor
MIN_BETA: Final = 1 / 60
MOVES_WITH: Final = 0.5  # correlation; of short bonds with VIX it is 0.2
FEWEST_DAYS: Final = 20  # of a correlation that says anything
MIN_ROWS: Final = 60
GROSS: Final = 0.5  # median return of a row, which none has without a loss
QUIET: Final = 0.25  # of the median asset's sd: changes from row to row that are those of a rate
LEVELS: Final = 0.9  # correlation with the row before, which no return has
ALIKE: Final = 1e-6  # smallest eigenvalue of the factors' correlation: rank deficient to rounding
NEARLY: Final = 0.005  # R² of one factor on the others above 0.99 or so


@rule("factor-unit", "refuse", "factors", "returns")
def factor_unit(tables: Tables) -> Iterator[Finding]:
    """Returns in the wrong unit, in both directions.

    By the robust daily sd of a column (of longer periods by the root of their days): below 0.02 % are
    decimals that were read as percent, above 15 % is percent read as decimals; factors have 0.2 to 3 %. A
    risk-free rate (RF) hardly moves: there a mean of more than 50 % a year is percent read as decimals. Where
    prices come with the factors, assets whose median sd is more than 30 times that of the liveliest factor,
    or less than a sixtieth of that of the quietest, with which they move, are of another unit: short bonds
    beside VIX alone move little with it. With the wrong unit exposures come out a hundred times
    too large or too small. A column of 20 values or more without a loss, and with a median of 50 % and more,
    holds gross returns (1 + r), or an index. A column of 60 rows or more whose correlation with its own row
    before is above 0.9 is of levels, or of returns added up, and is warned of. Assets whose changes from row
    to row have less than a quarter of the median asset's sd, or 0.02 % a day, earn a rate, as cash does.
    """
    for what, series in (("factors", tables.factor_series), ("returns", tables.return_series)):
        if series is None or len(series.days) < 3:
            continue
        root = float(np.sqrt(max(1.0, np.nan_to_num(series.gap, nan=1.0) * 5 / 7)))
        sd = _sd(series)
        for column, name in enumerate(series.names):
            if is_rate(name):
                mean = float(np.nanmean(series.values[:, column])) if series.counts[column] else 0.0
                yearly = mean * 252 / root**2
                if abs(yearly) > MAX_RATE:
                    yield Finding(
                        "factor-unit", "refuse", what, (name,), (),
                        f"{name} is {mean:.3g} a row, {yearly:.0%} a year",
                        "These are percent, or rates of a year, read as decimals of a row.",
                        "Give decimals of each row, 0.0001 for 0.01 %: read a file in percent with"
                        " unit='percent' (--unit percent), and divide rates of a year by 252 days.",
                    )  # fmt: skip
            elif _is_gross(series.values[:, column]):
                yield Finding(
                    "factor-unit", "refuse", what, (name,), (),
                    f"{name} has no loss in {counted(int(series.counts[column]), 'row')}, and a median of"
                    f" {np.nanmedian(series.values[:, column]):.4g}",
                    "These are gross returns, 1 + r, or the levels of an index.",
                    "Give simple returns, 0.01 for 1 %.",
                )  # fmt: skip
            elif sd[column] > TOO_LARGE * root:
                yield _unit(what, name, f"{name} has an sd of {sd[column]:.1%}", "percent", "decimals")
            elif 1e-12 < sd[column] < TOO_SMALL * root and what == "factors":
                yield _unit(what, name, f"{name} has an sd of {sd[column]:.2g} a row", "decimals", "percent")
    yield from against_assets(tables)
    yield from _levels(tables.factor_series, "factors")
    yield from _levels(tables.return_series, "returns")


def _is_gross(values: Floats) -> bool:
    known = values[np.isfinite(values)]
    return len(known) >= FEWEST_DAYS and bool((known > 0).all()) and float(np.median(known)) >= GROSS


def _levels(series: Series | None, what: str) -> Iterator[Finding]:
    """Columns that are where they were the row before: levels, which no return is like.

    Of assets those whose changes are as large as returns: a rate has levels too.
    """
    if series is None or len(series.days) < MIN_ROWS:
        return
    change = pd.DataFrame(series.values).diff().std().to_numpy()
    least = 0.0
    if what == "returns":
        usual = np.fmin(pd.DataFrame(series.values).std().to_numpy(), change)
        root = float(np.sqrt(max(1.0, np.nan_to_num(series.gap, nan=1.0) * 5 / 7)))
        least = max(TOO_SMALL * root, QUIET * float(np.nan_to_num(pd.Series(usual).median())))
    for column, name in enumerate(series.names):
        values = series.values[:, column]
        values = values[np.isfinite(values)]
        if is_rate(name) or len(values) < MIN_ROWS or np.ptp(values) <= 1e-12 or change[column] < least:
            continue
        link = float(np.corrcoef(values[1:], values[:-1])[0, 1])
        if link > LEVELS:
            yield Finding(
                "factor-unit", "warn", what, (name,), (),
                f"{name} has a correlation of {link:.2f} with its own row before",
                "It holds levels, or returns added up: exposures to it and risk of it mean nothing.",
                "Give its change from row to row, as a decimal.",
            )  # fmt: skip


def _unit(what: str, name: str, seen: str, held: str, read: str) -> Finding:
    usual = f"These are {held}, read as {read}: the sd of a day is 0.2 to 3 %."
    remedy = (
        "Returns must be decimals, 0.01 for 1 %; read a file in percent with unit='percent' (--unit percent)."
    )
    if held == "decimals":
        remedy = "Read the file with unit='decimal' (--unit decimal)."
    return Finding("factor-unit", "refuse", what, (name,), (), seen, usual, remedy)


def _sd(series: Series) -> Floats:
    """Robust sd (label); the plain one where most values are 0."""
    centred = series.values - np.nan_to_num(_median(series.values))
    size = np.sort(np.abs(centred), axis=0)  # NaN last
    n = series.counts
    middle = 1.4826 * size[np.maximum(n - 1, 0) // 2, np.arange(size.shape[1])]
    plain = np.array(
        [float(np.std(c[np.isfinite(c)])) if np.isfinite(c).any() else 0.0 for c in series.values.T]
    )
    return np.where(middle > 0, middle, plain)


def _median(values: Floats) -> Floats:
    return np.array([float(np.median(c[np.isfinite(c)])) if np.isfinite(c).any() else 0.0 for c in values.T])


def against_assets(tables: Tables) -> Iterator[Finding]:
    """Factors of another unit than the prices beside them."""
    factors, prices = tables.factor_series, tables.price_series
    if factors is None or prices is None or len(factors.days) < 20 or len(prices.days) < 20:
        return
    if abs(factors.gap - prices.gap) > 1:
        return
    own = [i for i, name in enumerate(factors.names) if not is_rate(name)]
    assets = prices.step_sd[np.isfinite(prices.step_sd)]
    sd = _sd(factors)[own]
    if not len(assets) or not len(own) or sd.max() <= 0:
        return
    if ((sd > TOO_LARGE) | (sd < TOO_SMALL)).any():
        return  # told already
    small = float(np.median(assets) / sd.max()) > MAX_BETA
    if not small and (np.median(assets) / sd.min() >= MIN_BETA or _link(factors, prices, own) < MOVES_WITH):
        return
    which, ends = ("liveliest", sd.max()) if small else ("quietest", sd.min())
    yield Finding(
        "factor-unit", "refuse", "factors", tuple(factors.names[i] for i in own), (),
        f"assets have a median sd of {np.median(assets):.2%} a row, the {which} factor {ends:.3%}",
        "Exposures would be about that ratio, and most are 0.3 to 3.",
        "Give both as decimals, of the same days.",
    )  # fmt: skip


def _link(factors: Series, prices: Series, own: list[int]) -> float:
    """Largest correlation with a factor that the median asset has on days of both; 0 for few days."""
    rows = prices.days.get_indexer(factors.days)
    if (rows >= 0).sum() < FEWEST_DAYS:  # where any two columns may look alike
        return 0.0
    moves = pd.DataFrame(prices.steps[rows[rows >= 0]])
    sizes = pd.DataFrame(factors.values[rows >= 0][:, own])
    each = [moves.corrwith(sizes[k]).abs() for k in sizes]
    return float(np.nan_to_num(pd.concat(each, axis=1).max(axis=1).median()))


@rule("collinear-factors", "refuse", "factors")
def collinear_factors(tables: Tables) -> Iterator[Finding]:
    """Factors that cannot be told apart.

    A column that does not move, and a smallest eigenvalue of the factors' correlation below 1e-6 (the same
    factor twice, in whatever unit, or a sum of others), are refused: exposures are then one of infinitely
    many solutions. A risk-free rate (RF) is no factor and left out. Below 0.005, an R² of one factor on the
    others of about 0.99 or more, is warned of: exposures have errors ten times what they would have.
    """
    series = tables.factor_series
    if series is None or len(series.days) < 10:
        return
    own = [i for i, name in enumerate(series.names) if not is_rate(name)]
    names = [series.names[i] for i in own]
    values = series.values[:, own]
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) <= len(names) + 1:
        return
    shares = values / np.maximum(np.abs(values).max(axis=0), 1e-300)  # squares of absurd returns overflow
    centred = shares - shares.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=0))
    still = size <= 1e-12 * np.sqrt(len(values))
    for column in np.flatnonzero(still):
        name = names[column]
        yield Finding(
            "collinear-factors", "refuse", "factors", (name,), (),
            f"{name} is {values[0, column]:g} on all {counted(len(values), 'day')}",
            "A factor that does not move cannot be told from the intercept: the factors are collinear.",
            "Leave it out.",
        )  # fmt: skip
    moving = np.flatnonzero(~still)
    if len(moving) < 2:
        return
    scaled = centred[:, moving] / size[moving]
    roots, vectors = np.linalg.eigh(scaled.T @ scaled)
    for k in range(len(moving) - 1):
        if roots[k] >= NEARLY:
            break
        weight = np.abs(vectors[:, k])
        together = tuple(names[moving[i]] for i in np.flatnonzero(weight > 0.1 * weight.max()))
        alike = roots[k] < ALIKE
        yield Finding(
            "collinear-factors", "refuse" if alike else "warn", "factors", together, (),
            f"{_checks.first(together)} are {'' if alike else 'nearly '}linearly dependent (smallest"
            f" eigenvalue of their correlation {max(roots[k], 0):.2g})",
            "The factors are collinear: exposures to them are one of infinitely many solutions."
            if alike else "Exposures to collinear factors have large errors.",
            "Leave one of them out." if alike else "Leave one out, or take its residual on the others.",
        )  # fmt: skip
