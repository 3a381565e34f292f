"""Characteristics of companies as they were known: from statements, their delays and restatements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bdfm import _checks
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, PERIOD

SYMBOL, END, KNOWN = "symbol", "period_ending", "known_on"
LAG_DAYS: Final = 120  # after a fiscal year's end, until its statement is taken as known
MAX_AGE_DAYS: Final = 550  # of a fiscal year's end: a year and the lag, and two months
MARKET_CAP: Final = "market_cap"

Formula = Callable[[Mapping[str, pd.Series]], pd.Series]


def _ratio(top: str, bottom: str) -> Formula:
    def formula(x: Mapping[str, pd.Series]) -> pd.Series:
        return x[top] / x[bottom].where(x[bottom] > 0)

    return formula


def _value(x: Mapping[str, pd.Series]) -> pd.Series:
    return x["total_equity"].where(x["total_equity"] > 0) / x[MARKET_CAP].where(x[MARKET_CAP] > 0)


# The usual characteristics; equity, income and capitalisation are in one unit.
CHARACTERISTICS: Final[Mapping[str, Formula]] = {
    "size": lambda x: x[MARKET_CAP].where(x[MARKET_CAP] > 0).apply(np.log),
    "book_to_market": _value,
    "earnings_yield": _ratio("net_income", MARKET_CAP),
    "quality": _ratio("net_income", "total_equity"),
    "leverage": _ratio("total_liabilities", "total_assets"),
}


@dataclass(frozen=True, eq=False, repr=False)
class FundamentalsPanel:
    """Items of statements, each with the day since which it is known; made by ``from_table``.

    ``max_age_days``: days after which a report is too old to be used.

    Attributes
    ----------
    items
        Names of the numbers: total_equity, net_income, ...
    assets
        Symbols.
    """

    _table: pd.DataFrame  # symbol, period_ending, known_on and items, ordered by the last two
    items: tuple[str, ...]
    assets: tuple[str, ...]
    max_age_days: int

    @classmethod
    @strict
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        lag_days: int = LAG_DAYS,
        known_on: str | None = None,
        max_age_days: int = MAX_AGE_DAYS,
    ) -> FundamentalsPanel:
        """Panel of statements.

        Parameters
        ----------
        table
            Columns ``symbol``, ``period_ending`` (fiscal year or quarter end) and one for each item; blanks
            are missing. A fiscal year may come several times, restated, with different days of publication.
        lag_days
            Days from the fiscal year's end to the day from which a statement counts as known, where no day is
            given.
        known_on
            Column of the day of publication; blanks take the lag.
        max_age_days
            A number whose fiscal year ended longer ago than that is no more known.

        Raises
        ------
        DataError
            Missing columns, days that are none, texts in place of numbers, a publication before the fiscal
            year's end, a statement that comes twice with one day of publication.
        """
        where = "fundamentals"
        need = (SYMBOL, END, *([known_on] if known_on else []))
        _checks.has_columns(table, need, where=where)
        lag = _checks.at_least(lag_days, 0, what="lag_days", where=where)
        age = _checks.at_least(max_age_days, 1, what="max_age_days", where=where)
        items = [str(c) for c in table.columns if c not in need]
        if not items or not len(table):
            raise DataError(f"{where}: no item beside {', '.join(need)}, or no row. Add numbers.")
        numbers = _checks.numeric(table[items], where=where)
        ends = _checks.days(table[END], where=f"{where}: {END}")
        known = pd.Series(ends + pd.Timedelta(days=lag))
        if known_on is not None:
            given = table[known_on].reset_index(drop=True)
            there = given.notna().to_numpy()
            said = _checks.days(given[there], where=f"{where}: {known_on}", exact=True)
            known = known.where(~there)
            known[there] = said
            early = known.to_numpy() < ends.to_numpy()
            if early.any():
                raise DataError(
                    f"{where}: {counted(early.sum(), 'statement is', 'statements are')} known before their"
                    " fiscal year ends"
                    f" ({_checks.first(table[SYMBOL].astype(str)[early])}). Check {known_on}."
                )
        made = numbers.reset_index(drop=True).assign(
            **{SYMBOL: table[SYMBOL].astype(str).to_numpy(), END: ends.to_numpy(), KNOWN: known.to_numpy()}
        )
        double = made[made.duplicated([SYMBOL, END, KNOWN])]
        if len(double):
            named = [f"{s} {d:%Y-%m-%d}" for s, d in zip(double[SYMBOL], double[END], strict=True)]
            raise DataError(
                f"{where}: {counted(len(double), 'statement comes', 'statements come')} twice"
                f" ({_checks.first(named)}). Keep one, or give"
                " the days of publication."
            )
        made = made.sort_values([END, KNOWN], kind="stable").reset_index(drop=True)
        return cls(made, tuple(items), tuple(dict.fromkeys(made[SYMBOL].sort_values())), age)

    def as_of(self, day: object, assets: Sequence[str] | None = None) -> pd.DataFrame:
        """Items (asset, item) as known at the close of a day; NaN where nothing is.

        Each item is that of the last fiscal year known then in which it is not blank, in its last version
        known then: a restatement counts from its own day on, not before.

        Raises ``DataError`` for a day that is none.
        """
        when = _checks.as_date(day, where="fundamentals")
        names = list(self.assets) if assets is None else [str(a) for a in assets]
        t = self._table
        then = t[(t[KNOWN] <= when) & (t[END] >= when - pd.Timedelta(days=self.max_age_days))]
        return then.groupby(SYMBOL)[list(self.items)].last().reindex(names).rename_axis(ASSET)

    @strict
    def characteristics(
        self,
        days: Sequence[object] | pd.DatetimeIndex,
        *,
        market_cap: pd.DataFrame | None = None,
        formulas: Mapping[str, Formula | str] | None = None,
        lag_months: int = 0,
    ) -> dict[str, pd.DataFrame]:
        """Characteristics (day, asset) by name, each of what was known at the close of the day.

        Parameters
        ----------
        days
            Days, such as the ends of months or of Junes.
        market_cap
            (day, asset) capitalisation; the newest on or before each day counts, if it is not older than 31
            days. Formulas see it as the item ``market_cap``, and its assets are those of the result.
        formulas
            By name a function of a mapping of items to Series (asset), or the name of an item. Without it the
            usual ones whose items are there: size, book_to_market, earnings_yield, quality, leverage.
        lag_months
            Months by which the capitalisation in the formulas is older than the day, as Fama and French take
            December's for June (6).

        Raises
        ------
        DataError
            A formula that needs an item that there is not, or days before the capitalisations.
        """
        where = "characteristics"
        index = _checks.days(pd.DatetimeIndex(list(days)), where=where)
        have = {*self.items, *([MARKET_CAP] if market_cap is not None else [])}
        chosen: Mapping[str, Formula | str]
        chosen = (
            {k: f for k, f in CHARACTERISTICS.items() if _works(f, have)} if formulas is None else formulas
        )
        if not chosen:
            raise DataError(f"{where}: no formula works with {_checks.first(sorted(have))}. Give formulas.")
        assets = list(self.assets) if market_cap is None else [str(c) for c in market_cap.columns]
        cap = None if market_cap is None else market_cap.set_axis(assets, axis=1)
        if cap is not None:
            cap = cap.set_axis(_checks.days(cap.index, where=f"{where}: market_cap")).sort_index()
        rows: dict[str, dict[pd.Timestamp, pd.Series[Any]]] = {name: {} for name in chosen}
        for day in index:
            known = self.as_of(day, assets)
            values: dict[str, pd.Series[Any]] = {item: known[item] for item in self.items}
            if cap is not None:
                values[MARKET_CAP] = _newest(cap, day - pd.DateOffset(months=lag_months), where)
            for name, formula in chosen.items():
                rows[name][day] = _apply(formula, values, name, where)
        return {name: pd.DataFrame(r).T.reindex(columns=assets) for name, r in rows.items()}

    @strict
    def exposures(
        self,
        days: Sequence[object] | pd.DatetimeIndex,
        *,
        market_cap: pd.DataFrame | None = None,
        formulas: Mapping[str, Formula | str] | None = None,
    ) -> xr.DataArray:
        """The same as exposures (period, asset, factor), as ``CrossSectionalEstimator`` takes them."""
        tables = self.characteristics(days, market_cap=market_cap, formulas=formulas)
        one = next(iter(tables.values()))
        coords = {PERIOD: pd.DatetimeIndex(one.index), ASSET: list(one.columns), FACTOR: list(tables)}
        values = np.stack([t.to_numpy(dtype=float) for t in tables.values()], axis=-1)
        return xr.DataArray(values, dims=(PERIOD, ASSET, FACTOR), coords=coords, name="characteristics")

    def __repr__(self) -> str:
        known = self._table[KNOWN]
        return (
            f"<bdfm.FundamentalsPanel: {counted(len(self.assets), 'asset')}, {', '.join(self.items)};"
            f" {len(known)}"
            f" statements known from {known.min():%Y-%m-%d} to {known.max():%Y-%m-%d}>"
        )


def _works(formula: Formula | str, have: set[str]) -> bool:
    """Whether a formula finds its items."""
    probe = {item: pd.Series([1.0]) for item in have}
    try:
        formula(probe) if callable(formula) else probe[formula]
    except KeyError:
        return False
    return True


def _apply(
    formula: Formula | str, values: Mapping[str, pd.Series[Any]], name: str, where: str
) -> pd.Series[Any]:
    try:
        found = formula(values) if callable(formula) else values[formula]
    except KeyError as error:
        raise DataError(
            f"{where}: {name} needs the item {error.args[0]}. There are {_checks.first(sorted(values))}."
        ) from error
    return found.astype(float).replace([np.inf, -np.inf], np.nan)


def _newest(cap: pd.DataFrame, day: pd.Timestamp, where: str) -> pd.Series[Any]:
    row = int(cap.index.searchsorted(day, side="right")) - 1
    if row < 0:
        raise DataError(f"{where}: no market capitalisation on or before {day:%Y-%m-%d}. Start it earlier.")
    fresh = (day - cap.index[row]).days <= 31
    return cap.iloc[row].astype(float) if fresh else pd.Series(np.nan, cap.columns)
