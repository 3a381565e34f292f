"""Shapes of tables: wide, long, two-level and one symbol's; each becomes days by symbols."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_dtype, is_float_dtype, is_numeric_dtype

from bdfm import _columns, _dates, _doubles, _numbers
from bdfm._kinds import kind_and_text
from bdfm._reading import READING, Reading, counted, cut
from bdfm._symbols import Aliases
from bdfm.errors import DataError

ONE_CLASS: Final = "asset"  # class of all assets of a universe that is a bare list of symbols
_LOOKED_AT: Final = 1000  # different cells of a column that say whether it holds symbols


def days_first(
    table: pd.DataFrame, *, where: str, date_format: str | None = None, reading: Reading | None = None
) -> pd.DataFrame:
    """Table with its days as index: from a column of dates, or from an index that holds them.

    Raises ``DataError`` where there are none, or one is no date.
    """
    table = table.set_axis(_columns.two_level(table.columns), axis=1)
    if isinstance(table.index, pd.MultiIndex):
        table = _index_as_columns(table)
    labels: list[Any] = list(table.columns)
    names = [c[0] if isinstance(c, tuple) else c for c in labels]
    index = table.index
    stamped = isinstance(index, pd.DatetimeIndex | pd.PeriodIndex)
    held = stamped or (not is_numeric_dtype(index) and len(index) > 0 and all(_dated(x) for x in index[:5]))
    column = None if stamped else _date_column(table, names, beside=held)
    if column is None and is_numeric_dtype(index) and _columns.key(index.name) in _columns.DATE_NAMES:
        held = True
    if column is not None:
        found = _dates.parse(table.iloc[:, column], where=where, date_format=date_format)
        table = table.iloc[:, [j for j in range(table.shape[1]) if j != column]]
    elif held:
        found = _dates.parse(index, where=where, date_format=date_format)
    else:
        named = f"{reading.file} has no column date" if reading is not None and reading.file else ""
        what = named or "no column date, and no days as index"
        shown = ", ".join(cut(n).strip("'") for n in names[:5])
        shown += f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise DataError(
            f"{where}: {what}; found {shown}. Expected date and symbols (wide), or date, symbol, and one of"
            f" {', '.join(_columns.PRICE_NAMES[:2])}, price, close (long)." + _dates.across(names)
        )
    if reading is not None and not reading.dates:
        reading.dates = found.form
        for note in found.notes:
            reading.note(note)
    table = table.set_axis(found.days.rename("date"))
    again = _columns.parts_of_days(table)
    if again and _symbol_column(table) is None:
        if reading is not None:
            gone = ", ".join(str(table.columns[j]) for j in again)
            reading.warn(f"{gone} left out: dates or parts of them, no prices")
        table = table.iloc[:, [j for j in range(table.shape[1]) if j not in set(again)]]
    return table


def wide(
    table: pd.DataFrame,
    *,
    where: str,
    decimal_mark: str | None = None,
    reading: Reading | None = None,
    aliases: Aliases | None = None,
    name: str = "",
    prices: bool = True,
    percent_columns: set[object] | None = None,
) -> pd.DataFrame:
    """Floats (day, symbol) of a table with days as index, in whichever shape; days ascending.

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
        table = _columns.one_field(table, where, reading)
    elif symbol is not None:
        return _from_long(table, symbol, where, decimal_mark, reading, aliases)
    elif prices:
        table = _columns.one_per_symbol(table, where, reading, name)
    if not reading.layout:
        reading.layout = "wide form"
    refuse_nameless(table.columns, where)
    names = [str(c).strip() for c in table.columns]
    _unique(names, where)
    if not names:
        raise DataError(f"{where}: there are dates but no column of prices. Add one for each symbol.")
    _numbers.refuse_errors(names, where=where)
    numbers = _floats(table.set_axis(names, axis=1), where, decimal_mark, reading, percent_columns)
    numbers = _renamed(numbers, aliases, where, reading)
    return _doubles.merged(numbers, where, reading).rename_axis(columns=None)


def bare_list(given: Any) -> Any:
    """Universe of a list of symbols, all of one class, or of classes by symbol; anything else as it is.

    A Series whose index holds integers is a list, with gaps too: rows that were taken from a table. Raises
    ``DataError`` where a symbol is neither text nor number.
    """
    one = isinstance(given, pd.Index | pd.Series) or (isinstance(given, np.ndarray) and given.ndim == 1)
    if not one and not isinstance(given, list | tuple):
        return given
    by_symbol = isinstance(given, pd.Series) and given.index.inferred_type != "integer"
    symbols = list(given.index if by_symbol else given)
    bad = [i for i, x in enumerate(symbols) if not _may_be_symbol(x)]
    if bad:
        raise DataError(
            f"universe: {len(bad)} of {len(symbols)} in a list of symbols are neither text nor number, first"
            f" {cut(symbols[bad[0]])} in place {bad[0] + 1}. Give symbols alone, a Series of classes by"
            " symbol, or a DataFrame with columns symbol and asset_class."
        )
    return pd.DataFrame({"symbol": symbols, "asset_class": list(given) if by_symbol else ONE_CLASS})


def _may_be_symbol(x: object) -> bool:
    """Whether it is a text or a number; what is missing is told of later, with its row."""
    if isinstance(x, bool | np.bool_):
        return False
    return isinstance(x, str | int | float | np.number) or x is None or x is pd.NA or x is pd.NaT


def prices_frame(prices: Any, *, where: str = "prices") -> pd.DataFrame:
    """Prices (day, symbol) of a table given in Python, in any shape that a file may have.

    A table that is wide already, with days as index, is given back as it came.
    """
    if isinstance(prices, pd.Series):
        prices = prices.to_frame()
    if not isinstance(prices, pd.DataFrame):
        raise DataError(
            f"{where}: a table (day, symbol) was expected, got {kind_and_text(prices)}."
            " Read a file with bdfm.read_prices(path)."
        )
    if any(getattr(kind, "kind", "") == "c" for kind in prices.dtypes):
        raise DataError(f"{where}: numbers are complex. Give real ones.")
    found = _wide(prices, where=where)
    stamps = found.index
    if isinstance(stamps, pd.DatetimeIndex) and not stamps.hasnans and stamps.normalize().has_duplicates:
        found = _doubles.once_a_day(found.set_axis(_dates.parse(stamps, where=where).days), where=where)
    if found.columns.nlevels > 1:
        raise DataError(
            f"{where}: columns have {found.columns.nlevels} levels, first {found.columns[0]!s:.60}, of which"
            " none names fields such as close and volume alone. Keep one level, the symbols."
        )
    refuse_nameless(found.columns, where)
    return found


def _wide(prices: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Prices (day, symbol) of a table in any shape."""
    # What a reader gave, as long as it is that still: pandas hands attributes on to whatever is made of it.
    if READING in prices.attrs and _is_wide(prices):
        return prices
    keys = [_columns.field_of(c) for c in prices.columns] if prices.columns.nlevels == 1 else []
    fine = (
        isinstance(prices.index, pd.DatetimeIndex)
        and bool(keys)
        and not any(isinstance(c, str) and c.startswith("('") for c in prices.columns)
        and not (_columns.FIELDS & set(keys))
        and not any(map(_columns.may_be_part, keys))
        and not set(_columns.SYMBOL_NAMES) & set(keys)
        and not any(
            _columns.without_currency(c).rpartition("_")[2] in _columns.FIELDS for c in prices.columns
        )
    )
    if fine:
        return prices
    reading = Reading()
    days = days_first(prices, where=where, reading=reading)
    symbol, fielded = _symbol_column(days), days.columns.nlevels == 1 and _columns.kind_of(days) != "wide"
    if days.columns.nlevels == 1 and symbol is None and not fielded:
        reading.tell(where)
        return days  # checked by the caller, as a wide table is
    found = wide(days, where=where, reading=reading)
    reading.tell(where)
    found.attrs[READING] = reading.to_dict()
    return found


def _is_wide(prices: pd.DataFrame) -> bool:
    """Whether a table has days as index and nothing but numbers in columns of one level."""
    return (
        isinstance(prices.index, pd.DatetimeIndex)
        and prices.columns.nlevels == 1
        and all(map(is_float_dtype, set(prices.dtypes)))
    )


def _dated(value: object) -> bool:
    return not isinstance(value, str | int | float) or (
        isinstance(value, str) and _dates.looks_like_a_day(value)
    )


def _date_column(table: pd.DataFrame, names: list[Any], *, beside: bool) -> int | None:
    """Position of the column of dates: by its name, or the first one where its cells are dates.

    ``beside``: whether the index holds days.
    """

    def cells(j: int) -> list[str]:
        column = table.iloc[:, j]
        if (beside or _columns.key(names[0]) == "") and is_numeric_dtype(column):
            return ["0"]  # prices, beside days: 1995.5 is no month
        return [str(x) for x in column[column.notna() & (column.astype(str) != "")].iloc[:5]]

    found = _columns.date_column(names, cells, beside=beside)
    if found is not None or beside or not len(table) or not table.shape[1]:
        return found
    first = table.iloc[:, 0]
    if isinstance(first.dtype, pd.DatetimeTZDtype | pd.PeriodDtype) or is_datetime64_dtype(first):
        return 0
    dated = not is_numeric_dtype(first) and all(_dated(x) for x in first.iloc[:5])
    return 0 if dated or _columns.key(names[0]) == "" else None


def _index_as_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Table whose index of two levels, day and symbol, has become columns of those names."""
    index: Any = table.index
    names = []
    for i in range(index.nlevels):
        level, own = index.levels[i], index.names[i]
        is_day = (
            isinstance(level, pd.DatetimeIndex | pd.PeriodIndex) or _columns.key(own) in _columns.DATE_NAMES
        )
        names.append("date" if is_day else own if own is not None else "symbol")
    flat = index.set_names(names).to_frame(index=False)
    found: pd.DataFrame = pd.concat([flat, table.reset_index(drop=True)], axis=1)
    return found


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
    labels: list[Any] = list(table.columns)
    names = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in labels]
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
    keys = {_columns.key(c): c for c in reversed(table.columns)}
    price = next((keys[w] for w in _columns.PRICE_NAMES if w in keys), None)
    for wanted in _columns.SYMBOL_NAMES:
        if wanted not in keys:
            continue
        column = keys[wanted]
        cells = table[column]
        if cells.ndim > 1:  # a name that comes twice
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


def _from_long(
    table: pd.DataFrame,
    symbol: Any,
    where: str,
    decimal_mark: str | None,
    reading: Reading,
    aliases: Aliases | None,
) -> pd.DataFrame:
    """Wide form of long prices; symbols in the order of their first row."""
    price = _columns.find_price([c for c in table.columns if c != symbol], where, reading)
    if price is None:
        raise DataError(
            f"{where}: columns date and {symbol}, but none of {', '.join(_columns.PRICE_NAMES[:2])},"
            " price, close; found"
            f" {', '.join(map(str, table.columns[:8]))}. Name the column of adjusted closes price."
        )
    cells = table[symbol]
    label = cells.map(_symbol_text)
    blank = np.flatnonzero((label == "").to_numpy())
    if len(blank):
        raise DataError(f"{where}: no symbol in row {blank[0] + 1}. Fill the column {symbol}.")
    _numbers.refuse_errors(label.unique(), where=where)
    reading.layout, reading.column = reading.layout or "long form", str(price)
    numbers = _floats(table[[price]], where, decimal_mark, reading, None, labels=label)
    renamed = label if not aliases else label.map({s: aliases.rename(s) for s in label.unique()})
    _refuse_currencies(table, renamed, where)
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
        _doubles.refuse_doubles(
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


def _refuse_currencies(table: pd.DataFrame, symbols: pd.Series[Any], where: str) -> None:
    """Raise where a column of currencies names several for one symbol: no return is between them."""
    column = _columns.find(table.columns, _columns.CURRENCY_NAMES)
    if column is None or table[column].ndim > 1:
        return
    texts = table[column].map(_symbol_text).to_numpy()
    given = pd.DataFrame({"symbol": symbols.to_numpy(), "text": texts})[texts != ""].drop_duplicates()
    units = given.assign(unit=given["text"].map(_unit_of_money)).drop_duplicates(["symbol", "unit"])
    several = units["symbol"][units["symbol"].duplicated()].unique()
    if len(several):
        named = ", ".join(
            f"{cut(s).strip(chr(39))} in {' and '.join(map(cut, units['text'][units['symbol'] == s]))}"
            for s in several[:5]
        )
        more = f" and {len(several) - 5} more" if len(several) > 5 else ""
        raise DataError(
            f"{where}: the column {column} gives more than one currency to {named}{more}. Keep the rows of"
            " one currency, or call its listings by different symbols."
        )


# Pence, agorot and cents of vendors, and the dollar's sign
_OTHER_SPELLINGS: Final = {"GBX": "GBp", "ILA": "ILa", "ZAC": "ZAc", "ZAX": "ZAc", "$": "USD", "US$": "USD"}


def _unit_of_money(text: str) -> str:
    """Currency in one spelling. The last letter counts: GBP is pounds, GBp and GBX are pence."""
    known = _OTHER_SPELLINGS.get(text.upper() if text.upper() == "GBX" else text)
    return known or (text if text[:2].isupper() else text.upper())


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


def _renamed(table: pd.DataFrame, aliases: Aliases | None, where: str, reading: Reading) -> pd.DataFrame:
    """Columns under the names that aliases give them; two columns of one symbol become one."""
    if not aliases:
        return table
    names = [aliases.rename(c) for c in table.columns]
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
            _doubles.refuse_others(pd.DatetimeIndex(table.index), n, columns[n], values, where)
            values = np.where(np.isnan(columns[n]), values, columns[n])
        columns[n] = values
    return pd.DataFrame(columns, index=table.index)


def refuse_nameless(columns: pd.Index[Any], where: str) -> None:
    """Raise ``DataError`` for a column whose name is blank or missing."""
    bad = [
        j for j, c in enumerate(columns) if not isinstance(c, tuple) and (pd.isna(c) or not str(c).strip())
    ]
    if bad:
        raise DataError(f"{where}: no name for column {bad[0] + 2}. Fill the first row.")


def _unique(names: list[str], where: str) -> None:
    index = pd.Index(names)
    double = index[index.duplicated()].unique()
    if len(double):
        named = ", ".join(map(str, double[:5]))
        raise DataError(
            f"{where}: {counted(len(double), 'column')} given more than once ({named}). Keep one of each."
        )
