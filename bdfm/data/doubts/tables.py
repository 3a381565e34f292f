"""What rules look at: tables as they came, and views of them that several rules share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_float_dtype

from bdfm import _checks
from bdfm.errors import DataError

Floats = NDArray[np.float64]
Purpose = Literal["forecast", "backtest", "risk", "exposures", "score", "check"]

SD_OF_MAD: Final = 1.4826  # sd of a normal variable over the median of its absolute value


class Said(NamedTuple):
    """A number in a statement about an asset: evidence, a view, an edit, an offer.

    ``what``: ``"return"``, ``"sd"`` or ``"ratio"`` (of an offer or a price to the close).
    """

    where: str
    symbol: str
    what: Literal["return", "sd", "ratio"]
    value: float
    shown: str = ""  # for ratios: the two prices


class Series:
    """A table (day, label) of numbers up to the origin, days ascending, and what rules read from it.

    Attributes
    ----------
    days
        Days (day) without time of day.
    stamps
        The same as they came, where they are time stamps.
    names
        Labels.
    values
        (day, label), NaN where missing.

    Raises
    ------
    DataError
        Labels or days twice, values that are no numbers, infinite ones, so that no rule meets them.
    """

    def __init__(self, table: pd.DataFrame, origin: pd.Timestamp | None, *, where: str) -> None:
        days = _checks.days(table.index, where=where)
        self.names = [str(c) for c in table.columns]
        what = "symbol" if where == "prices" else "column"
        _checks.unique(self.names, what=what, where=where, hint="Keep one column of each.")
        _checks.unique(days.astype(str), what="day", where=where)
        rows = np.argsort(days.to_numpy(), kind="stable")
        if origin is not None:  # what comes later is not looked at
            rows = rows[: int(days[rows].searchsorted(origin, side="right"))]
        if len(rows) != len(days) or not days.is_monotonic_increasing:
            table, days = table.iloc[rows], days[rows]
        stamps = table.index if isinstance(table.index, pd.DatetimeIndex) else None
        if all(is_float_dtype(kind) for kind in table.dtypes):
            values = table.to_numpy(dtype=np.float64)
        else:
            values = _checks.numeric(table.set_axis(days), where=where).to_numpy(dtype=np.float64)
        some = np.isfinite(values).any(axis=1)
        endless = np.argwhere(np.isinf(values))
        if len(endless):
            named = _checks.first(
                f"{self.names[j]} on {days[i]:%Y-%m-%d}: {values[i, j]:g}" for i, j in endless
            )
            raise DataError(f"{where}: {len(endless)} infinite ({named}). Correct them, or leave them blank.")
        if not some.all():
            days, values = days[some], values[some]
            stamps = None if stamps is None else stamps[some]
        self.days: pd.DatetimeIndex = days
        self.stamps: pd.DatetimeIndex | None = stamps
        self.values = values

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Whether there is a finite value (day, label)."""
        return np.asarray(np.isfinite(self.values))

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Number of finite values (label)."""
        return np.asarray(self.known.sum(axis=0))

    @cached_property
    def logs(self) -> Floats:
        """Logs (day, label) of positive prices, the last one carried forward."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(np.where(self.values > 0, self.values, np.nan))
        logs[~np.isfinite(logs)] = np.nan
        return np.asarray(pd.DataFrame(logs).ffill().to_numpy())

    @cached_property
    def steps(self) -> Floats:
        """Log returns (day, label) from an asset's price to its next; NaN before its second, 0 in gaps."""
        steps = np.full(self.logs.shape, np.nan)
        steps[1:] = np.diff(self.logs, axis=0)
        return steps

    @cached_property
    def step_sd(self) -> Floats:
        """Robust sd (label) of steps that are not 0, which outliers do not move; NaN where there are none."""
        return robust_sd(self.steps)

    @cached_property
    def value_sd(self) -> Floats:
        """Robust sd (label) of the values themselves, about 0: of returns."""
        return robust_sd(np.where(self.known, self.values, np.nan))

    @cached_property
    def gap(self) -> float:
        """Median of the calendar days from one row to the next; NaN with fewer than three rows."""
        gaps = self.days.to_series().diff().dt.days.iloc[1:]
        return float(gaps.median()) if len(gaps) >= 2 else float("nan")

    def day(self, row: int) -> str:
        """Day of a row as text."""
        return f"{self.days[row]:%Y-%m-%d}"


def robust_sd(values: Floats) -> Floats:
    """Sd (column) of values (row, column) about 0 by the median of those that are neither 0 nor missing."""
    size = np.abs(values.T).copy()
    size[~(size > 0)] = np.inf
    size.sort(axis=1)
    n = (size < np.inf).sum(axis=1)
    middle = size[np.arange(len(size)), np.maximum(n - 1, 0) // 2] if size.shape[1] else np.zeros(len(size))
    return np.where(n > 0, SD_OF_MAD * middle, np.nan)


@dataclass(frozen=True, eq=False)
class Tables:
    """Tables that go through one door together, and what they are wanted for.

    Attributes
    ----------
    purpose
        What is computed from them; it decides what is refused and what is only told.
    prices, factors, returns
        (day, label): closes; factor returns, decimals; asset returns, decimals.
    whole
        The table of which ``prices`` are the days that are used, where these are not all. What a last row
        sums up may be above them. Days after the last of ``prices`` are not looked at.
    universe, earnings
        As ``Panel.from_prices`` takes them.
    portfolio
        (portfolio, asset) weights.
    groups
        Names of sectors, countries and the like by family, where they come without a universe.
    said
        Numbers of statements.
    aliases
        Those whose symbol none of the files has.
    origin
        Day of the forecast; rows after it are not looked at. None: the whole table.
    inactive
        Assets whose return is set to zero.
    since
        First day of the periods that are fitted: what is doubtful and wholly before it is noted, not warned
        of. What is refused is refused all the same, since features are measured against all of the past.
    edges
        Days on which the periods begin and end whose returns are made; empty where they are not known.
    max_stale_days
        Days after which a close is no price any more.
    """

    purpose: Purpose = "check"
    prices: pd.DataFrame | None = None
    whole: pd.DataFrame | None = None
    factors: pd.DataFrame | None = None
    returns: pd.DataFrame | None = None
    universe: pd.DataFrame | None = None
    earnings: pd.DataFrame | None = None
    portfolio: pd.DataFrame | None = None
    groups: Mapping[str, Sequence[object]] = field(default_factory=dict)
    said: Sequence[Said] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    origin: pd.Timestamp | None = None
    inactive: Collection[str] = ()
    since: pd.Timestamp | None = None
    edges: Sequence[pd.Timestamp] = ()
    max_stale_days: int = 10

    @property
    def forecasts(self) -> bool:
        """Whether a panel is made of them at the origin, so that its assets must be alive there."""
        return self.purpose == "forecast" or (self.purpose == "check" and self.origin is not None)

    @cached_property
    def first_price(self) -> pd.Timestamp | None:
        """Day of the first price, also after the origin; None without any."""
        table = self._held
        series = None if table is None else Series(table, None, where="prices")
        return series.days[0] if series is not None and len(series.days) else None

    @cached_property
    def price_series(self) -> Series | None:
        """Prices; only the universe's, where there is one."""
        table = self._held
        return None if table is None else _unless_empty(Series(table, self.origin, where="prices"))

    @cached_property
    def _held(self) -> pd.DataFrame | None:
        """Prices, of the universe's assets where there is one and any of them has a column."""
        if self.prices is None or self.universe is None or "symbol" not in self.universe:
            return self.prices
        mine = {str(s).strip() for s in self.universe["symbol"]}
        held = [str(c) in mine for c in self.prices.columns]
        return self.prices.loc[:, held] if any(held) and not all(held) else self.prices

    @cached_property
    def whole_series(self) -> Series | None:
        """Prices with all the days before those that are used."""
        used = self.price_series
        if used is None or self.whole is None:
            return used
        names = set(used.names)
        own = [str(c) in names for c in self.whole.columns]
        return Series(self.whole.loc[:, own], used.days[-1], where="prices")

    @cached_property
    def factor_series(self) -> Series | None:
        """Factor returns."""
        if self.factors is None:
            return None
        return _unless_empty(Series(self.factors, self.origin, where="factors"))

    @cached_property
    def return_series(self) -> Series | None:
        """Asset returns."""
        if self.returns is None:
            return None
        return _unless_empty(Series(self.returns, self.origin, where="returns"))

    def has(self, tables: Collection[str]) -> bool:
        """Whether one of the tables is there."""
        return any(len(x) if (x := _given(self, name)) is not None else False for name in tables)


def _unless_empty(series: Series) -> Series | None:
    """None for a table without any value, about which its reader says more."""
    return series if len(series.days) and series.names else None


def _given(tables: Tables, name: str) -> Any:
    return tables.said if name == "statements" else getattr(tables, name)
