"""Volatility that the user knows from elsewhere, implied by options say, as a feature of periods."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _doubles
from bdfm._reading import counted
from bdfm.data.features import Closes, Floats, day_numbers
from bdfm.errors import DataError

WINDOW: Final = 20  # market days of the realised volatility that it is compared to
MARKET_DAYS: Final = 252  # of the year that volatilities are quoted for
PRIOR_PERIODS: Final = 6.0  # periods that the assets' common level counts in an asset's own
_USUAL: Final = (0.01, 3.0)  # annual volatilities whose median is believed; outside, the unit is another
_CELL: Final = (1e-4, 20.0)  # what a single one can be: 0.01 % of a bill or a peg, 2,000 % of a squeeze
# times the realised one, at the median: daily ones are a sixteenth, monthly ones 0.29, variances often a
# fifth, percent a hundred; of a calm target of a takeover it may be several times what the price moves
_APART: Final = (1 / 3, 5.0)
_MIN_PERIODS: Final = 6  # of which the median is believed
_UNIT: Final = (
    "Annual volatilities in decimals were expected, 0.25 for 25 %: divide percentages by 100, multiply daily"
    " ones by the root of 252 and monthly ones by that of 12, take the root of variances."
)


def volatility_table(volatility: pd.DataFrame, *, until: pd.Timestamp | None = None) -> pd.DataFrame:
    """Annual volatilities (day, symbol) up to ``until``, decimals, checked; NaN where missing.

    Raises
    ------
    DataError
        Repeated days or symbols, values that are not positive and finite, below 0.0001 or above 20, or a
        median of all that is no annual decimal.
    """
    where = "volatility"
    table = volatility.set_axis(_checks.days(volatility.index, where=where), axis=0).sort_index()
    table = _checks.numeric(table.set_axis(table.columns.astype(str), axis=1), where=where)
    _checks.unique(table.columns, what="symbol", where=where, hint="Keep one column of each.")
    table = _doubles.once_a_day(table, where=where)
    if until is not None:
        table = table.loc[table.index <= until]
    values = table.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        raise DataError(f"{where}: not one value. Columns of symbols with annual volatilities were expected.")

    def refuse(cells: NDArray[np.bool_], hint: str) -> None:
        if cells.any():
            named = _checks.first(
                f"{table.columns[j]} has {values[i, j]:g} on {table.index[i]:%Y-%m-%d}"
                for i, j in np.argwhere(cells)
            )
            raise DataError(f"{where}: {named}. {hint}")

    with np.errstate(invalid="ignore"):
        refuse((values <= 0) | np.isinf(values), "Volatilities are positive; leave a missing one blank.")
        middle = float(np.median(known))
        if not _USUAL[0] <= middle <= _USUAL[1]:
            raise DataError(f"{where}: the median is {middle:g}. {_UNIT}")
        refuse((values < _CELL[0]) | (values > _CELL[1]), _UNIT)
    return table


def outside_volatility(
    table: pd.DataFrame, symbols: list[str], closes: Closes, starts: NDArray[np.int64]
) -> Floats:
    """What a given volatility says beyond the realised one, at the start of each period (period, asset).

    Log of the given daily volatility over the realised one of the last 20 market days, less its mean over the
    asset's earlier periods; the mean is pulled to that of all assets, which counts as six periods. So 0 means
    as far above the past as ever, and stands for a value that is missing or older than ``max_stale_days``.
    ``table`` (day, symbol): values known at the end of their day. ``starts`` ascend.

    Raises ``DataError`` for an asset whose values are more than five times the realised ones, or less than a
    third, at the median over its periods: their unit is another.
    """
    days = day_numbers(pd.DatetimeIndex(table.index))
    given = table.reindex(columns=symbols).to_numpy(dtype=np.float64)
    row = np.arange(len(days))[:, None]
    newest = np.maximum.accumulate(np.where(np.isfinite(given), row, -1), axis=0)
    at = np.searchsorted(days, starts, side="right") - 1
    last = np.where(at[:, None] >= 0, newest[np.maximum(at, 0)], -1)
    age = starts[:, None] - days[np.maximum(last, 0)]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.log(np.take_along_axis(given, np.maximum(last, 0), axis=0) / np.sqrt(MARKET_DAYS))
    value = np.where((last >= 0) & (age <= closes.max_stale_days), value, np.nan)
    gap = value - closes.log_volatility(starts, window=WINDOW)
    # of prices that are not daily, the realised one is of a row: from one to the next are more market days
    row_days = closes.spacing * MARKET_DAYS / 365.25 if closes.sparse else 1.0
    for name, own in zip(symbols, gap.T, strict=True):
        own = own[np.isfinite(own)]
        apart = float(np.median(own) + np.log(row_days) / 2) if len(own) >= _MIN_PERIODS else 0.0
        if not np.log(_APART[0]) <= apart <= np.log(_APART[1]):
            raise DataError(
                f"volatility: {name}'s is {np.exp(apart):.3g} times what its price moved by, at the median of"
                f" {counted(len(own), 'period')}. {_UNIT}"
            )
    return _less_own_past(gap)


def _less_own_past(gap: Floats) -> Floats:
    """Values (period, asset) less their mean over earlier periods, 0 where missing; see above."""
    known = np.isfinite(gap)
    x = np.where(known, gap, 0.0)
    total, count = np.cumsum(x, axis=0), np.cumsum(known, axis=0)
    # The common level: of all earlier periods, and of the present one, which is known too.
    common = total.sum(axis=1) / np.maximum(count.sum(axis=1), 1)
    before, n_before = total - x, count - known
    level = (before + PRIOR_PERIODS * common[:, None]) / (n_before + PRIOR_PERIODS)
    return np.where(known, gap - level, 0.0)
