"""Days that daily prices and factor returns have in common, and returns of both between them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError

_WHERE: Final = "exposure data"
MAX_ODD_SHARE: Final = 0.1  # of days that only one of prices and factors has


def tables_used(prices: pd.DataFrame, factors: pd.DataFrame, start: object, end: object) -> Tables:
    """Tables of the days that prices and factors both cover, from start to end where given."""
    days, own = _checks.days(prices.index, where="prices"), _checks.days(factors.index, where="factors")
    if not len(days) or not len(own):
        return Tables("exposures")
    low, high = _within(own.min(), min(own.max(), days.max()), start, end)
    before = days[days < low]
    first = before.max() if len(before) else low
    return Tables(
        "exposures",
        prices=prices.loc[(days >= first) & (days <= high)],
        whole=prices,
        factors=factors.loc[(own >= low) & (own <= high)],
    )


def _within(
    first: pd.Timestamp, last: pd.Timestamp, start: object, end: object
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day, no earlier than a start and no later than an end where these are given."""
    low = max(first, _checks.as_date(start, where=f"{_WHERE}: start")) if start else first
    high = min(last, _checks.as_date(end, where=f"{_WHERE}: end")) if end else last
    return low, high


def common_span(
    prices: pd.DataFrame, factors: pd.DataFrame, start: object, end: object
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day of returns that both tables can give; ``DataError`` where there is none."""
    first, last = max([*prices.index[1:2], factors.index[0]]), min(prices.index[-1], factors.index[-1])
    low, high = _within(first, last, start, end)
    if low > high:
        raise DataError(
            f"{_WHERE}: prices cover {prices.index[0]:%Y-%m-%d} to {prices.index[-1]:%Y-%m-%d}, factors"
            f" {factors.index[0]:%Y-%m-%d} to {factors.index[-1]:%Y-%m-%d}: no day in common"
            " (within start and end, where given). Give tables that overlap."
        )
    return low, high


def on_common_days(
    prices: pd.DataFrame, factors: pd.DataFrame, low: pd.Timestamp, high: pd.Timestamp
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Log returns of assets and returns of factors between the days that both tables have.

    From the last common day before ``low``, or the last price before it, to ``high``. ``DataError`` where
    more than a tenth of the days are in one of them only.
    """
    inside = prices.index[(prices.index >= low) & (prices.index <= high)]
    odd = inside.symmetric_difference(factors.loc[low:high].index)
    days = inside.intersection(factors.index)
    if len(odd) > MAX_ODD_SHARE * max(len(inside), 1) or not len(days):
        raise DataError(
            f"{_WHERE}: {counted(len(odd), 'day is', 'days are')} in one of prices and factors only, beside"
            f" {len(days)} in both"
            f" ({_checks.first(f'{d:%Y-%m-%d}' for d in odd)}). Give tables of one calendar."
        )
    start = prices.index[prices.index < days[0]]
    begin = start[-1:] if not len(shared := start.intersection(factors.index)) else shared[-1:]
    edges = begin.append(days)
    returns = np.log(prices.loc[edges]).diff().iloc[1:]
    row = factors.index.searchsorted(edges, side="right")
    growth = np.vstack([np.zeros((1, factors.shape[1])), np.log1p(factors.to_numpy(float)).cumsum(axis=0)])
    if np.isfinite(growth).all():
        between = np.expm1(np.diff(growth[row], axis=0))
        alone = np.diff(row) == 1  # as they are, to the last bit
        between[alone] = factors.loc[days].to_numpy(float)[alone]
        return returns, pd.DataFrame(between, days, factors.columns)
    return returns, factors.loc[days].copy()  # what is missing is told later
