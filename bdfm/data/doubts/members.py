"""Rules on universes, portfolios and calendars of earnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks, _labels, _weights
from bdfm._reading import counted
from bdfm.data.doubts.finding import Finding, Severity
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Tables

N_FIFTHS: Final = 5
GROUPS: Final = ("asset_class", "sector", "country", "group", "subgroup")
MAX_GROSS: Final = 10.0  # sum of absolute weights
MAX_A_YEAR: Final = 6  # announcements: four, and two that were moved
FAR_DAYS: Final = 400  # after the origin: scheduled dates are known for a year
ONE_DAY: Final = 0.9  # share of announcements on one day


@rule("universe", "refuse", "universe", "groups")
def universe(tables: Tables) -> Iterator[Finding]:
    """Universes too small for what is asked of them.

    One asset is refused: there is nothing to rank and nothing in common. So are assets that are all set to
    zero. Fewer than five, the number of quantiles, are warned of: fifths are then shared out by halves and
    thirds. Classes with one asset are warned of: it has none to pool with. So are classes, sectors and other
    groups that differ in nothing but capitals, width, spaces, hyphens, "&" for "and" or a plural s, of a
    universe or by themselves. Symbols given twice are refused by every reader.
    """
    yield from _nearly_one(tables.groups, "groups", "warn")
    table = tables.universe
    if table is None or "symbol" not in table:
        return
    n = len(table)
    grave: Severity = "note" if tables.purpose == "backtest" else "warn"  # it asks for five alive
    if n == 1:
        yield Finding(
            "universe", "refuse", "universe", (str(table["symbol"].iloc[0]),), (), "one asset",
            "Ranks, and what assets have in common, need at least two.", "Add assets.", acceptable=False,
        )  # fmt: skip
    elif tables.inactive and set(table["symbol"].astype(str)) <= set(tables.inactive):
        yield Finding(
            "universe", "refuse", "universe", (), (), f"all {n} assets are set to zero",
            "Nothing is left to forecast.", "Take some of them out of --zero (zero in run files).",
            acceptable=False,
        )  # fmt: skip
    elif n < N_FIFTHS:
        yield Finding(
            "universe", grave, "universe", (), (), f"{n} assets",
            f"Fewer than {N_FIFTHS}, so that fifths are shared.", "Add assets, or read quantiles with care.",
        )  # fmt: skip
    if "asset_class" in table and n > 1:
        sizes = table["asset_class"].astype(str).value_counts(sort=False)
        single = [str(s) for s in sizes.index[sizes == 1]]
        if single:
            yield Finding(
                "universe", grave, "universe", tuple(single), (),
                f"{len(single)} of {len(sizes)} asset classes have one asset ({_checks.first(single)})",
                "It has none to pool with: its priors decide more.",
                "Merge the class with another if need be.",
            )  # fmt: skip
    yield from _nearly_one({c: list(table[c].dropna()) for c in GROUPS if c in table}, "universe", grave)


def _nearly_one(groups: Mapping[str, Sequence[object]], what: str, severity: Severity) -> Iterator[Finding]:
    """Names of groups, by family, that are probably one."""
    for family, given in groups.items():
        for names in _labels.nearly_one(given):
            yield Finding(
                "universe", severity, what, tuple(names), (),
                f"{family}: {_checks.first(names)} differ in nothing but {_labels.BY_CHANCE}",
                "They are probably one group, and are taken for several.", "Write them in one way.",
            )  # fmt: skip


@rule("portfolio", "refuse", "portfolio")
def portfolio(tables: Tables) -> Iterator[Finding]:
    """Weights in the wrong unit, or none.

    Refused: no weight but zeros; a net weight beyond 10, or a gross weight from 50 on with one weight
    beyond 1, which are percent or amounts. Warned of: a gross weight above 10, more than any fund's.
    """
    table = tables.portfolio
    if table is None:
        return
    size = np.abs(table.to_numpy(dtype=np.float64)).sum(axis=1)
    for name, gross, seen in zip(table.index, size, _weights.faults(table), strict=True):
        if not gross:
            yield Finding(
                "portfolio", "refuse", "portfolio", (str(name),), (), f"{name} holds nothing",
                "A portfolio has at least one weight.", "Give weights, as shares of its value.",
                acceptable=False,
            )  # fmt: skip
        elif seen is not None:
            yield Finding(
                "portfolio", "refuse", "portfolio", (str(name),), (), seen, _weights.SHARES, _weights.REMEDY,
                acceptable=False,
            )  # fmt: skip
        elif gross > MAX_GROSS:
            yield Finding(
                "portfolio", "warn", "portfolio", (str(name),), (),
                f"absolute weights of {name} sum to {gross:g}",
                "Weights are shares of the portfolio's value, 0.05 for 5 %.",
                "Divide them by its value, if they are amounts.",
            )  # fmt: skip


@rule("alias", "warn", "aliases")
def alias(tables: Tables) -> Iterator[Finding]:
    """Aliases of symbols that no file has.

    Warned of, since most are misspelled: the symbol that was meant keeps its name, and may stand for another
    asset, or beside its own later prices.
    """
    if tables.aliases:
        told = _checks.first(f"{old} = {new}" for old, new in tables.aliases.items())
        yield Finding(
            "alias", "warn", "aliases", tuple(tables.aliases), (), f"no file has the symbol of {told}",
            "An alias renames a symbol as files spell it, in capitals or not.",
            "Correct its spelling, or leave it out.",
        )  # fmt: skip


@rule("earnings", "warn", "earnings")
def earnings(tables: Tables) -> Iterator[Finding]:
    """Calendars that cannot be of announcements.

    Warned of: dates before 1950 or more than 400 days after the origin (or the last price, or the median
    date); a symbol all of whose dates lie before or after the prices; more than 6 announcements a year of a
    symbol, over at least 8; more than 90 % of all, of 5 symbols or more, on one day.
    """
    table = tables.earnings
    if table is None or not {"symbol", "date"} <= set(table.columns) or table.empty:
        return
    days = _checks.days(table["date"], where="earnings", exact=True)
    symbols = pd.Index(table["symbol"].astype(str).str.strip())
    prices = tables.price_series
    end = tables.origin
    if end is None:
        end = (
            prices.days[-1] if prices is not None and len(prices.days) else days.sort_values()[len(days) // 2]
        )
    wild = (days > end + pd.Timedelta(days=FAR_DAYS)) | (days < pd.Timestamp("1950-01-01"))
    if wild.any() and (prices is not None or tables.origin is not None):
        names = tuple(dict.fromkeys(symbols[wild]))
        yield Finding(
            "earnings", "warn", "earnings", names, tuple(f"{d:%Y-%m-%d}" for d in days[wild][:10]),
            f"{int(wild.sum())} of {len(days)} dates are far from {end:%Y-%m-%d}, first {names[0]} on"
            f" {days[wild][0]:%Y-%m-%d}",
            "Announcements are known for a year ahead at most.", "Correct the dates.",
        )  # fmt: skip
    if prices is not None and len(prices.days):
        outside = (days < prices.days[0]) | (days > end + pd.Timedelta(days=FAR_DAYS))
        by_symbol = pd.Series(np.asarray(outside)).groupby(np.asarray(symbols)).all()
        lost = [s for s in by_symbol.index[by_symbol] if s in set(prices.names)]
        if lost:
            yield Finding(
                "earnings", "warn", "earnings", tuple(map(str, lost)), (),
                f"no date of {_checks.first(lost)} lies within the prices, which run from {prices.day(0)} to"
                f" {prices.day(-1)}",
                "The calendar says nothing about these assets.", "Give the dates of the same years.",
            )  # fmt: skip
    once = pd.DataFrame({"symbol": np.asarray(symbols), "day": days}).drop_duplicates()
    per = once.groupby("symbol")["day"].agg(["count", "min", "max"])
    years = (per["max"] - per["min"]).dt.days / 365.25 + 0.25
    many = per.index[(per["count"] >= 8) & (per["count"] / years > MAX_A_YEAR)]
    if len(many):
        rate = (per["count"] / years)[many]
        yield Finding(
            "earnings", "warn", "earnings", tuple(map(str, many)), (),
            f"{counted(len(many), 'symbol has', 'symbols have')} more than {MAX_A_YEAR} announcements a"
            f" year ({many[0]}:"
            f" {rate.iloc[0]:.0f})",
            "Companies announce four times a year.", "Keep earnings alone, one row for each.",
        )  # fmt: skip
    top = days.value_counts()
    if symbols.nunique() >= 5 and len(days) >= 5 and top.iloc[0] > ONE_DAY * len(days):
        yield Finding(
            "earnings", "warn", "earnings", (), (f"{top.index[0]:%Y-%m-%d}",),
            f"{top.iloc[0]} of {len(days)} announcements are on {top.index[0]:%Y-%m-%d}",
            "Companies announce on different days.", "Check the column of dates.",
        )  # fmt: skip
