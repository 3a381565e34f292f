"""Volatility that the user knows from elsewhere, implied by options say, as a feature of periods."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.data.features import Closes, Floats, day_numbers
from bdfm.errors import DataError

WINDOW: Final = 20  # market days of the realised volatility that it is compared to
MARKET_DAYS: Final = 252  # of the year that volatilities are quoted for
PRIOR_PERIODS: Final = 6.0  # periods that the assets' common level counts in an asset's own
_USUAL: Final = (0.01, 3.0)  # annual volatilities whose median is believed; outside, the unit is another


def volatility_table(volatility: pd.DataFrame) -> pd.DataFrame:
    """Annual volatilities (day, symbol), decimals, checked; NaN where missing.

    Raises
    ------
    DataError
        Repeated days or symbols, values that are not positive, or a median that is no annual decimal.
    """
    where = "volatility"
    table = volatility.set_axis(_checks.days(volatility.index, where=where), axis=0).sort_index()
    table = _checks.numeric(table.set_axis(table.columns.astype(str), axis=1), where=where)
    _checks.unique(table.index.astype(str), what="days", where=where)
    _checks.unique(table.columns, what="symbols", where=where, hint="Keep one column of each.")
    values = table.to_numpy(dtype=np.float64)
    known = values[np.isfinite(values)]
    if not known.size:
        raise DataError(f"{where}: not one value. Columns of symbols with annual volatilities were expected.")
    if known.min() <= 0:
        row, column = np.argwhere(np.where(np.isfinite(values), values, 1.0) <= 0)[0]
        raise DataError(
            f"{where}: {table.columns[column]} has {values[row, column]:g} on {table.index[row]:%Y-%m-%d}."
            " Volatilities are positive; leave a missing one blank."
        )
    middle = float(np.median(known))
    if not _USUAL[0] <= middle <= _USUAL[1]:
        raise DataError(
            f"{where}: the median is {middle:g}. Annual volatilities in decimals were expected, 0.25 for"
            " 25 %: divide percentages by 100, multiply daily ones by the root of 252."
        )
    return table


def outside_volatility(
    table: pd.DataFrame, symbols: list[str], closes: Closes, starts: NDArray[np.int64]
) -> Floats:
    """What a given volatility says beyond the realised one, at the start of each period (period, asset).

    Log of the given daily volatility over the realised one of the last 20 market days, less its mean over the
    asset's earlier periods; the mean is pulled to that of all assets, which counts as six periods. So 0 means
    as far above the past as ever, and stands for a value that is missing or older than ``max_stale_days``.
    ``table`` (day, symbol): values known at the end of their day. ``starts`` ascend.
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
