"""Boundaries of periods, counted back from the origin."""

from __future__ import annotations

from typing import Literal

import pandas as pd

Period = int | Literal["month"]


def period_edges(origin: pd.Timestamp, *, period: Period, n_past: int, n_future: int) -> pd.DatetimeIndex:
    """Boundaries (n_past + n_future + 1) of successive periods; the origin is number ``n_past``.

    Period t runs from edge t, exclusive, to edge t + 1, inclusive. ``period`` is a number of days, or
    ``"month"`` for calendar months. Months keep the origin's day of the month, or take the month's last
    day where it has no such day; when the origin is the last day of its month, so is every edge.
    """
    steps = range(-n_past, n_future + 1)
    if period != "month":
        edges = [origin + pd.Timedelta(days=period * j) for j in steps]
    elif origin.is_month_end:
        edges = [origin + pd.offsets.MonthEnd(j) for j in steps]
    else:
        edges = [origin + pd.DateOffset(months=j) for j in steps]
    return pd.DatetimeIndex(edges).as_unit("ns")


def describe(period: Period) -> str:
    """Length of a period in words: "28 days" or "calendar months"."""
    return "calendar months" if period == "month" else f"{period} days"
