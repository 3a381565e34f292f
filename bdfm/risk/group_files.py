"""Files of the cross-sectional model: sectors and countries, whole or in part, and whom to estimate from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import pandas as pd

from bdfm import _checks
from bdfm._columns import SYMBOL_NAMES
from bdfm._reading import READING, counted
from bdfm.data.sources import CLASS_NAMES, Aliases, read_records
from bdfm.errors import DataError

SHARE: Final = "share"
FAMILIES: Final[Mapping[str, tuple[str, ...]]] = {
    "sector": (*(n for n in CLASS_NAMES if n != "sector"), "asset_class", "group"),
    "country": ("countries", "nation", "domicile", "region", "land"),
}
FAMILIES_PLURAL: Final = {"sector": "sectors", "country": "countries"}
ROUNDED: Final = 0.011  # by which shares may miss 1: 0.33 three times


class Groups(NamedTuple):
    """Families of categories by name, each shares (symbol, category); assets to estimate from, or None."""

    categories: Mapping[str, pd.DataFrame] = MappingProxyType({})
    universe: tuple[str, ...] | None = None

    def universe_of(self, assets: Sequence[str]) -> tuple[str, ...] | None:
        """Those of the assets to estimate from; ``DataError`` where there is none."""
        if self.universe is None:
            return None
        inside = tuple(a for a in assets if a in set(self.universe))
        if not inside:
            raise DataError(
                f"estimation universe: none of its {len(self.universe)} assets"
                f" ({_checks.first(self.universe)}) has the returns that the window"
                " needs. Name others, or take a shorter --window."
            )
        return inside


def read_shares(path: Path, family: str, *, aliases: Aliases = None) -> pd.DataFrame:
    """Shares (symbol, category) of a file with columns symbol and sector or country, and perhaps share.

    With ``share`` a symbol has as many rows as categories: 0.7 and 0.3, or 70% and 30%. They sum to 1;
    rounded ones, such as 0.33 three times, are made to. The file may have any form of ``bdfm.read_prices``.

    Raises
    ------
    FileError, DataError
        As ``read_portfolios``; a symbol given twice without shares or twice with one category, a row without
        category or share, shares that are negative or do not sum to 1.
    """
    where = FAMILIES_PLURAL[family]
    given = read_records(
        path,
        what=where,
        columns={"symbol": SYMBOL_NAMES, family: FAMILIES[family], SHARE: ("fraction", "membership")},
        numbers=(SHARE,),
        required=False,
        aliases=aliases,
    )
    _checks.has_columns(given, ("symbol", family), where=where)
    named = _checks.category(given[family])
    if (named == "").any():
        raise DataError(
            f"{where}: {_checks.first(given['symbol'][named == ''])} have no {family}. Fill it in."
        )
    if SHARE not in given:
        hint = f"For several {FAMILIES_PLURAL[family]} of one asset add a column {SHARE}: 0.7 and 0.3."
        _checks.unique(given["symbol"], what="symbol", where=where, hint=hint)
        given = given.assign(**{SHARE: 1.0})
    rows = given.assign(**{family: named})
    blank = rows["symbol"][rows[SHARE].isna()]
    if len(blank):
        raise DataError(
            f"{where}: {counted(len(blank), 'row has', 'rows have')} no share ({_checks.first(blank)})."
            " Fill them in."
        )
    double = rows["symbol"][rows.duplicated(["symbol", family])]
    if len(double):
        raise DataError(f"{where}: {_checks.first(double)} twice in one {family}. Add the shares up.")
    table = rows.pivot(index="symbol", columns=family, values=SHARE).fillna(0.0)
    total = table.sum(axis=1)
    bad = (table < 0).any(axis=1) | ((total - 1).abs() > ROUNDED)
    if bad.any():
        told = _checks.first([f"{a} {s:.4g}" for a, s in total[bad].items()])
        raise DataError(
            f"{where}: shares of {counted(bad.sum(), 'asset')} are negative or do not sum to 1 ({told})."
            " Give shares"
            " such as 0.7 and 0.3, or 70% and 30%."
        )
    found = table.div(total, axis=0)
    found.attrs[READING] = given.attrs.get(READING)
    return found


def read_groups(
    sectors: Path | None,
    countries: Path | None,
    estimation: Path | None,
    *,
    symbols: Sequence[str],
    aliases: Aliases = None,
    say: Callable[..., None] = lambda *_: None,
) -> Groups:
    """Groups of files, each of which may be absent.

    ``symbols`` are those of the prices; ``estimation`` is a file with a column symbol, or a bare list.
    ``say`` is called with the tables read. Raises as ``read_shares``, and ``UnknownLabelError`` for assets to
    estimate from that the prices lack.
    """
    paths = {"sector": sectors, "country": countries}
    categories = {k: read_shares(p, k, aliases=aliases) for k, p in paths.items() if p is not None}
    members: tuple[str, ...] | None = None
    say(*categories.values())
    if estimation is not None:
        where = "estimation universe"
        table = read_records(
            estimation, what=where, columns={"symbol": SYMBOL_NAMES}, aliases=aliases, bare="symbol"
        )
        say(table)
        _checks.unique(table["symbol"], what="symbol", where=where)
        _checks.known(list(table["symbol"]), list(symbols), what="symbol", where=where, alias=True)
        members = tuple(table["symbol"])
    return Groups(categories, members)
