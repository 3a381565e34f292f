"""Shapes of tables: which column is the day, the symbol, the price; wide, long, two-level and one symbol's file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from bdfm import _dates, _numbers
from bdfm._reading import READING, Reading, cut
from bdfm.errors import DataError

# Names of columns, as ``key`` spells them; the first that is there is taken
DATE_NAMES: Final = (
    "date dates datum fecha day timestamp datetime date_time time trade_date trading_date tradedate trading_day"
    " as_of as_of_date asof price_date pricing_date observation_date datadate caldt month period time_period"
).split()
SYMBOL_NAMES: Final = (
    "symbol ticker tickers symbols tic ric isin sedol cusip permno secid sec_id security_id instrument asset"
    " security bbg_ticker bloomberg_ticker id code name"
).split()
PRICE_NAMES: Final = (
    "adjusted_close adj_close adjclose close_adj closeadj adjusted adj_price adjusted_price adjusted_closing_price price px_last close"
    " closing_price close_price close_last last last_price settle nav net_asset_value value prc prccd schlusskurs"
    " kurs zuletzt"
).split()
_OTHER_FIELDS: Final = (
    "open high low volume vol dividends stock_splits capital_gains change change_% chg_% vwap trades turnover"
    " open_interest px_open px_high px_low px_volume open_price high_price low_price adj_open adj_high adj_low"
    " adj_volume split_factor div_cash eroffnung eröffnung hoch tief volumen unadjusted_close raw_close"
).split()
_BARS: Final = frozenset("open high low volume vol px_open px_high px_low px_volume".split())
_NO_PRICES: Final = frozenset("volume px_volume dividends stock_splits capital_gains".split())
_LEVELS: Final = frozenset(
    (
        "",
        "price",
        "ticker",
        "tickers",
        "symbol",
        "symbols",
        "security",
        "securities",
        "attribute",
        "attributes",
        "field",
        "fields",
    )
    + ("instrument", "name", "names", "ric", "isin", "variable", *DATE_NAMES)
)
FIELDS: Final = frozenset((*PRICE_NAMES, *_OTHER_FIELDS))
_LOOKED_AT: Final = 1000  # different cells of a column that say whether it holds symbols


def key(name: object) -> str:
    """Name of a column without what people vary: case, spaces, points, stars."""
    return re.sub(r"[\s_.-]+", "_", str(name).strip().strip("*:").lower()).strip("_")


def find(names: Iterable[object], wanted: Iterable[str]) -> Any:
    """First column that has one of the wanted names, best name first; None where there is none."""
    keys = {key(n): n for n in reversed(list(names))}
    return next((keys[w] for w in wanted if w in keys), None)


def is_level(cell: str) -> bool:
    """Whether a text may stand at the left of a row of column names that is not the last one."""
    return key(cell) in _LEVELS


def is_field(name: object) -> bool:
    """Whether a column name says what of a symbol its numbers are."""
    return key(name) in FIELDS


def two_level(columns: pd.Index[Any]) -> pd.Index[Any]:
    """Columns as two levels, where texts such as "('Close', 'AAPL')" hide them; columns of one value drop out."""
    if columns.nlevels == 1:
        hidden = [c for c in columns if isinstance(c, str) and re.match(r"^\(['\"].*['\"]\)$", c)]
        if not hidden or len(hidden) < len(columns) - 1:
            return columns
        try:
            pairs = [ast.literal_eval(c) if c in set(hidden) else (c, "") for c in columns]
            columns = pd.MultiIndex.from_tuples(pairs)
        except (ValueError, SyntaxError, TypeError):
            return columns
    while columns.nlevels > 2:
        same = [i for i in range(columns.nlevels) if columns.get_level_values(i).nunique() == 1]
        if not same:
            break
        columns = columns.droplevel(same[0])
    return columns


def days_first(
    table: pd.DataFrame, *, where: str, date_format: str | None = None, reading: Reading | None = None
) -> pd.DataFrame:
    """Table with its days as index: from a column of dates, or from an index that holds them.

    Raises ``DataError`` where there are none, or one is no date.
    """
    table = table.set_axis(two_level(table.columns), axis=1)
    if isinstance(table.index, pd.MultiIndex):
        table = _index_as_columns(table)
    names = [c[0] if isinstance(c, tuple) else c for c in table.columns]
    column = _date_column(table, names)
    index = table.index
    held = isinstance(index, pd.DatetimeIndex | pd.PeriodIndex) or (
        not is_numeric_dtype(index) and len(index) > 0 and all(_dated(x) for x in index[:5])
    )
    if column is None and not held and is_numeric_dtype(index) and key(index.name) in DATE_NAMES:
        held = True
    if column is not None and not isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
        position = names.index(column)
        found = _dates.parse(table.iloc[:, position], where=where, date_format=date_format)
        table = table.iloc[:, [j for j in range(table.shape[1]) if j != position]]
    elif held:
        found = _dates.parse(index, where=where, date_format=date_format)
    else:
        named = f"{reading.file} has no column date" if reading is not None and reading.file else ""
        what = named or "no column date, and no days as index"
        shown = ", ".join(cut(n).strip("'") for n in names[:5])
        shown += f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise DataError(
            f"{where}: {what}; found {shown}. Expected date and symbols (wide), or date, symbol, and one of"
            f" {', '.join(PRICE_NAMES[:2])}, price, close (long)."
        )
    if reading is not None and not reading.dates:
        reading.dates = found.form
        for note in found.notes:
            reading.note(note)
    return table.set_axis(found.days.rename("date"))


def wide(
    table: pd.DataFrame,
    *,
    where: str,
    decimal_mark: str | None = None,
    reading: Reading | None = None,
    aliases: Mapping[str, str] | None = None,
    name: str = "",
    prices: bool = True,
    percent_columns: set[object] | None = None,
) -> pd.DataFrame:
    """Floats (day, symbol) of a table with days as index, in whichever shape; symbols as texts, days ascending.

    Parameters
    ----------
    table
        As ``days_first`` gives it.
    where
        For messages.
    decimal_mark, percent_columns
        As in ``_numbers.floats``.
    reading
        Told of the layout, the column taken, and what was left out.
    aliases
        Symbol in the table to the one it is called by.
    name
        What to call the one symbol of a file without symbols; blank refuses such a table.
    prices
        Whether the numbers are prices: then a column may be open, close or volume.

    Raises
    ------
    DataError
        No column of numbers, several for one symbol and day that contradict each other, symbols missing.
    """
    reading = Reading() if reading is None else reading
    table = _without_empty(_without_row_numbers(table, reading))
    symbol = _symbol_column(table)
    if table.columns.nlevels > 1:
        table = _one_field(table, where, reading)
    elif symbol is not None:
        return _from_long(table, symbol, where, decimal_mark, reading, aliases)
    elif prices:
        table = _one_per_symbol(table, where, reading, name)
    if not reading.layout:
        reading.layout = "wide form"
    names = [str(c).strip() for c in table.columns]
    _unique(names, where)
    if not names:
        raise DataError(f"{where}: there are dates but no column of prices. Add one for each symbol.")
    blank = [j for j, n in enumerate(names) if not n]
    if blank:
        raise DataError(f"{where}: no name for column {blank[0] + 2}. Fill the first row.")
    numbers = _floats(table.set_axis(names, axis=1), where, decimal_mark, reading, percent_columns)
    numbers = _renamed(numbers, aliases, where, reading)
    return _merged(numbers, where, reading).rename_axis(columns=None)


def prices_frame(prices: Any, *, where: str = "prices") -> pd.DataFrame:
    """Prices (day, symbol) of a table given in Python, in any shape that a file may have.

    A table that is wide already, with days as index, is given back as it came.
    """
    if isinstance(prices, pd.Series):
        prices = prices.to_frame()
    if not isinstance(prices, pd.DataFrame):
        raise DataError(f"{where}: a table (day, symbol) was expected, got {type(prices).__name__}.")
    if READING in prices.attrs:
        return prices
    keys = [key(c) for c in prices.columns] if prices.columns.nlevels == 1 else []
    fine = (
        isinstance(prices.index, pd.DatetimeIndex)
        and bool(keys)
        and not any(isinstance(c, str) and c.startswith("('") for c in prices.columns)
        and not (FIELDS & set(keys))
        and not set(SYMBOL_NAMES) & set(keys)
        and not any(k.rpartition("_")[2] in FIELDS for k in keys)
    )
    if fine:
        return prices
    reading = Reading()
    days = days_first(prices, where=where, reading=reading)
    symbol, fielded = _symbol_column(days), days.columns.nlevels == 1 and _kind(days) != "wide"
    if days.columns.nlevels == 1 and symbol is None and not fielded:
        return days  # checked by the caller, as a wide table is
    found = wide(days, where=where, reading=reading)
    found.attrs[READING] = reading.to_dict()
    return found


def record_columns(table: pd.DataFrame, wanted: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """Table whose columns have this package's names: ``wanted`` says which other names each goes by."""
    if not wanted:
        return table
    keys = [key(c) for c in table.columns]
    new = dict(zip(table.columns, keys, strict=True))
    for name, others in wanted.items():
        if name in keys:
            continue
        taken = next((o for o in others if o in keys and new[table.columns[keys.index(o)]] == o), None)
        if taken is not None:
            new[table.columns[keys.index(taken)]] = name
    return table.rename(columns=new)


def _dated(value: object) -> bool:
    return not isinstance(value, str | int | float) or (
        isinstance(value, str) and _dates.looks_like_a_day(value)
    )


def _date_column(table: pd.DataFrame, names: list[Any]) -> Any:
    """Name of the column of dates: by its name, or the first one where its cells are dates."""
    for wanted in DATE_NAMES:
        for j, name in enumerate(names):
            if key(name) == wanted and (
                wanted in ("date", "dates", "datum")
                or not is_numeric_dtype(table.iloc[:, j])
                or not _other_dates(table, j)
            ):
                return name
    if not len(table) or not table.shape[1]:
        return None
    first = table.iloc[:, 0]
    if isinstance(first.dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or str(first.dtype).startswith(
        "datetime64"
    ):
        return names[0]
    if not is_numeric_dtype(first) and all(_dated(x) for x in first.iloc[:5]):
        return names[0]
    return names[0] if key(names[0]) == "" and not isinstance(table.index, pd.DatetimeIndex) else None


def _other_dates(table: pd.DataFrame, but: int) -> bool:
    """Whether the index holds dates, so that a column called day or time may be a symbol."""
    del but
    return isinstance(table.index, pd.DatetimeIndex | pd.PeriodIndex)


def _index_as_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Table whose index of two levels, day and symbol, has become columns of those names."""
    index = table.index
    names = []
    for i in range(index.nlevels):
        level, own = index.levels[i], index.names[i]
        is_day = isinstance(level, pd.DatetimeIndex | pd.PeriodIndex) or key(own) in DATE_NAMES
        names.append("date" if is_day else own if own is not None else "symbol")
    flat = index.set_names(names).to_frame(index=False)
    return pd.concat([flat, table.reset_index(drop=True)], axis=1)


def _without_row_numbers(table: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    """Table without a first column of row numbers that has no name."""
    if table.columns.nlevels > 1 or not table.shape[1]:
        return table
    name = str(table.columns[0])
    if name.strip() and not name.startswith("Unnamed:"):
        return table
    numbers = pd.to_numeric(table.iloc[:, 0], errors="coerce")
    if len(numbers) and (numbers.diff().iloc[1:] == 1).all() and numbers.iloc[0] in (0, 1):
        reading.note("row numbers left out")
        return table.iloc[:, 1:]
    return table


def _without_empty(table: pd.DataFrame) -> pd.DataFrame:
    """Table without columns that have neither name nor cells, as spreadsheets leave them behind."""
    names = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in table.columns]
    gone = [
        j
        for j, n in enumerate(names)
        if (not n.strip() or n.startswith("Unnamed:"))
        and (table.iloc[:, j].isna() | (table.iloc[:, j] == "")).all()
    ]
    return table if not gone else table.iloc[:, [j for j in range(len(names)) if j not in set(gone)]]


def _symbol_column(table: pd.DataFrame) -> Any:
    """Column of symbols of a long table; None for a wide one, even if a symbol in it is called ID."""
    if table.columns.nlevels > 1:
        return None
    keys = {key(c): c for c in reversed(table.columns)}
    price = next((keys[w] for w in PRICE_NAMES if w in keys), None)
    for wanted in SYMBOL_NAMES:
        if wanted not in keys:
            continue
        column = keys[wanted]
        cells = table[column]
        if isinstance(cells, pd.DataFrame):
            continue
        numbers = is_numeric_dtype(cells) or all(
            x is None or (isinstance(x, float) and np.isnan(x)) or _numbers.is_number(str(x))
            for x in cells.unique()[:_LOOKED_AT]
        )
        if not numbers or (price is not None and price != column and bool(table.index.has_duplicates)):
            return column
        if wanted in ("symbol", "ticker", "permno"):
            return column
    return None


def _one_field(table: pd.DataFrame, where: str, reading: Reading) -> pd.DataFrame:
    """Table of one column for each symbol, from two levels: fields and symbols, in either order."""
    columns = table.columns
    if columns.nlevels > 2:
        raise DataError(
            f"{where}: {columns.nlevels} levels of column names; expected one, or price and symbol."
        )
    shares = [np.mean([is_field(x) for x in columns.get_level_values(i).unique()]) for i in range(2)]
    level = int(np.argmax(shares))
    if shares[level] < 1:
        fields = ", ".join(str(x) for x in columns.get_level_values(0).unique()[:5])
        raise DataError(
            f"{where}: two levels of column names, neither of which is prices ({fields}). Expected Adj Close or"
            " Close and symbols."
        )
    names, symbols = columns.get_level_values(level), columns.get_level_values(1 - level)
    keys = [key(n) for n in names]
    everyone = list(dict.fromkeys(symbols))
    for wanted in PRICE_NAMES:
        here = [j for j, k in enumerate(keys) if k == wanted]
        if {symbols[j] for j in here} == set(everyone):
            reading.layout = "two-level columns"
            reading.column = str(names[here[0]])
            return table.iloc[:, here].set_axis([str(symbols[j]) for j in here], axis=1)
    raise DataError(
        f"{where}: no price that all {len(everyone)} symbols have; found {', '.join(dict.fromkeys(map(str, names)))}."
        " Expected Adj Close or Close for each."
    )


def _kind(table: pd.DataFrame) -> str:
    """What the columns of a table without symbols are: ohlcv, price, pairs or wide."""
    names = [str(c) for c in table.columns]
    keys = [key(n) for n in names]
    if keys and all(k in FIELDS for k in keys):
        if len(keys) == 1:
            return "price" if keys[0] in PRICE_NAMES else "wide"
        if len(set(keys) & _BARS) + (len(set(keys) & set(PRICE_NAMES)) > 0) >= 2 and len(
            set(keys) & set(PRICE_NAMES)
        ):
            return "ohlcv"
    if len(keys) > 1 and set(keys) <= FIELDS and len(set(keys) & _BARS) > 1:
        return "bars"
    pairs = [_split(n) for n in names]
    split = [p for p in pairs if p is not None]
    if not split:
        return "wide"
    if len(split) == len(names):
        return "pairs"
    plain = {n for n, p in zip(names, pairs, strict=True) if p is None}
    counts = pd.Series([s for s, _ in split]).value_counts()
    return "pairs" if any(s in plain for s, _ in split) or (counts > 1).any() else "wide"


def _split(name: str) -> tuple[str, str] | None:
    """Symbol and field of a column such as AAPL_Close, AAPL Adj Close or Close.AAPL; None for a plain symbol."""
    cuts = [m.start() for m in re.finditer(r"[\s_.|/:-]+", name)]
    for place in cuts:  # the longest field at the end first
        head, tail = name[:place], name[place:].lstrip(" _.|/:-")
        if head and key(tail) in FIELDS:
            return head.strip(), tail
    for place in reversed(cuts):
        head, tail = name[:place], name[place:].lstrip(" _.|/:-")
        if tail and key(head) in FIELDS:
            return tail.strip(), head
    return None


def _one_per_symbol(table: pd.DataFrame, where: str, reading: Reading, name: str) -> pd.DataFrame:
    """Table of one price column for each symbol, from open, high, low, close and volume of one or of several."""
    kind = _kind(table)
    names = [str(c) for c in table.columns]
    if kind == "bars":
        raise DataError(
            f"{where} (ohlcv): the columns are one symbol's ({', '.join(names[:6])}), and none of them is its"
            " closing price. Expected Adj Close or Close."
        )
    if kind in ("ohlcv", "price"):
        price = next(n for w in PRICE_NAMES for n in names if key(n) == w)
        if not name:
            if kind == "price":
                return table
            raise DataError(
                f"{where} (ohlcv): the columns are one symbol's prices and volume ({', '.join(names[:6])}), not"
                f" assets. Give the column of its price under the symbol's name:"
                f" table[[{price!r}]].rename(columns={{{price!r}: 'SYMBOL'}})."
            )
        reading.layout, reading.column = "one symbol's file", price
        reading.note(f"taken as the asset {name}, after the file")
        return table[[price]].set_axis([name], axis=1)
    if kind == "wide":
        none = [n for n in names if key(n) in _NO_PRICES]
        if none:
            raise DataError(f"{where} (ohlcv): the column {none[0]} is no asset's price. Leave it out.")
        return table
    pairs = {n: _split(n) for n in names}
    by_symbol: dict[str, dict[str, str]] = {}
    for n, pair in pairs.items():
        symbol, field = (n, "") if pair is None else pair
        by_symbol.setdefault(symbol, {}).setdefault(key(field), n)
    taken, fields = {}, set()
    for symbol, own in by_symbol.items():
        best = next((own[w] for w in ("", *PRICE_NAMES) if w in own), None)
        if best is None:
            raise DataError(
                f"{where} (ohlcv): {', '.join(own.values())} are columns of {symbol}, and none of them is a price."
                " Expected its Adj Close or Close."
            )
        taken[symbol] = best
        pair = pairs[best]
        fields.add("" if pair is None else key(pair[1]))
    if len(fields - {""}) > 1:
        raise DataError(
            f"{where} (ohlcv): symbols have different prices ({', '.join(list(taken.values())[:5])}). Give the same"
            " one for each."
        )
    first = next(iter(taken.values()))
    pair = pairs[first]
    reading.layout, reading.column = "a column for each symbol and price", "" if pair is None else pair[1]
    left = len(names) - len(taken)
    if left:
        reading.note(f"{left} other column{'s' if left > 1 else ''} of these symbols left out")
    return table[list(taken.values())].set_axis(list(taken), axis=1)


def _from_long(
    table: pd.DataFrame,
    symbol: Any,
    where: str,
    decimal_mark: str | None,
    reading: Reading,
    aliases: Mapping[str, str] | None,
) -> pd.DataFrame:
    """Wide form of long prices; symbols in the order of their first row."""
    price = find([c for c in table.columns if c != symbol], PRICE_NAMES)
    if price is None:
        raise DataError(
            f"{where}: columns date and {symbol}, but none of {', '.join(PRICE_NAMES[:2])}, price, close; found"
            f" {', '.join(map(str, table.columns[:8]))}. Name the column of adjusted closes price."
        )
    cells = table[symbol]
    label = cells.map(_symbol_text)
    blank = np.flatnonzero((label == "").to_numpy())
    if len(blank):
        raise DataError(f"{where}: no symbol in row {blank[0] + 1}. Fill the column {symbol}.")
    reading.layout, reading.column = "long form", str(price)
    numbers = _floats(table[[price]], where, decimal_mark, reading, None, labels=label)
    renamed = label if not aliases else label.map(lambda s: aliases.get(s, s))
    order = list(dict.fromkeys(renamed))
    codes = pd.Index(order).get_indexer(pd.Index(renamed))
    days = pd.DatetimeIndex(table.index.unique()).sort_values()
    rows = days.get_indexer(pd.DatetimeIndex(table.index))
    values = numbers.to_numpy()[:, 0]
    place = rows.astype(np.int64) * len(order) + codes
    kept, first, inverse = np.unique(place, return_index=True, return_inverse=True)
    if len(kept) < len(place):
        low, high = (np.full(len(kept), fill) for fill in (np.inf, -np.inf))
        known = ~np.isnan(values)
        np.minimum.at(low, inverse[known], values[known])
        np.maximum.at(high, inverse[known], values[known])
        _refuse_doubles(
            [
                (days[kept[k] // len(order)], order[kept[k] % len(order)], low[k], high[k])
                for k in np.flatnonzero(low < high)
            ],
            where,
        )
        flat = np.where(np.isinf(low), np.nan, low)
        reading.drop("double", len(place) - len(kept))
    else:
        flat = values[first]
    grid = np.full(len(days) * len(order), np.nan)
    grid[kept] = flat
    return pd.DataFrame(grid.reshape(len(days), len(order)), index=days.rename("date"), columns=order)


def _symbol_text(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _floats(
    table: pd.DataFrame,
    where: str,
    decimal_mark: str | None,
    reading: Reading,
    percent_columns: set[object] | None,
    labels: pd.Series[Any] | None = None,
) -> pd.DataFrame:
    return _numbers.floats(
        table,
        where=where,
        decimal_mark=decimal_mark,
        separator=_sign(reading),
        reading=reading,
        percent_columns=percent_columns,
        labels=labels,
    )


def _sign(reading: Reading) -> str:
    return {"semicolon": ";", "comma": ",", "tab": "\t", "pipe": "|"}.get(reading.separator, "")


def _renamed(
    table: pd.DataFrame, aliases: Mapping[str, str] | None, where: str, reading: Reading
) -> pd.DataFrame:
    """Columns under the names that aliases give them; two columns of one symbol become one."""
    if not aliases:
        return table
    names = [aliases.get(c, c) for c in table.columns]
    changed = [f"{a} as {b}" for a, b in zip(table.columns, names, strict=True) if a != b]
    if not changed:
        return table
    reading.note(", ".join(changed[:5]))
    renamed = table.set_axis(names, axis=1)
    if len(set(names)) == len(names):
        return renamed
    columns: dict[str, np.ndarray[Any, Any]] = {}
    for j, n in enumerate(names):
        values = table.iloc[:, j].to_numpy()
        if n in columns:
            _compatible(pd.DatetimeIndex(table.index), n, columns[n], values, where)
            values = np.where(np.isnan(columns[n]), values, columns[n])
        columns[n] = values
    return pd.DataFrame(columns, index=table.index)


def _compatible(
    days: pd.DatetimeIndex, name: str, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], where: str
) -> None:
    clash = np.flatnonzero(~np.isnan(a) & ~np.isnan(b) & (a != b))
    _refuse_doubles([(days[i], name, a[i], b[i]) for i in clash], where)


def _merged(table: pd.DataFrame, where: str, reading: Reading) -> pd.DataFrame:
    """Table with each day once, ascending: equal rows are one, and the gaps of one are filled by another."""
    table = table if table.index.is_monotonic_increasing else table.sort_index(kind="stable")
    if not table.index.has_duplicates:
        return table
    low, high = (getattr(table.groupby(level=0), f)() for f in ("min", "max"))
    rows, columns = np.nonzero((low < high).to_numpy())
    _refuse_doubles(
        [
            (low.index[i], str(table.columns[j]), low.iat[i, j], high.iat[i, j])
            for i, j in zip(rows, columns, strict=True)
        ],
        where,
    )
    counts = table.groupby(level=0).count()
    double = table.index[table.index.duplicated()].unique()
    repeated = int((counts.loc[double] > 1).any(axis=1).sum())
    merged = len(double) - repeated
    reading.drop("double", len(table) - len(low) - merged)
    if merged:
        reading.note(f"{merged} day{'s' if merged > 1 else ''} given in parts put together")
    return low.rename_axis(table.index.name)


def _refuse_doubles(clashes: list[tuple[Any, str, float, float]], where: str) -> None:
    if clashes:
        named = ", ".join(f"{s} on {d:%Y-%m-%d}: {a:g} and {b:g}" for d, s, a, b in clashes[:5])
        more = f" and {len(clashes) - 5} more" if len(clashes) > 5 else ""
        raise DataError(
            f"{where}: {len(clashes)} given more than once with different values ({named}{more}). Keep one row of"
            " each day and symbol; times of day are not used."
        )


def _unique(names: list[str], where: str) -> None:
    index = pd.Index(names)
    double = index[index.duplicated()].unique()
    if len(double):
        named = ", ".join(map(str, double[:5]))
        raise DataError(f"{where}: {len(double)} columns given more than once ({named}). Keep one of each.")


def stem(path: Path) -> str:
    """Symbol that a file of one symbol is named after: its name without endings."""
    text = path.name
    for _ in range(2):
        text = re.sub(r"\.(csv|txt|tsv|gz|zip|bz2|xz|parquet|pq|xlsx|xlsm)$", "", text, flags=re.I)
    return text
