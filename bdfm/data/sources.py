"""Tables from files, the embedded demo and Yahoo, in the form that ``Panel.from_prices`` takes."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, cast

import pandas as pd

from bdfm import _checks, _columns, _dates, _numbers, _symbols, _tables
from bdfm._kinds import of_kind, texts
from bdfm._optional import optional
from bdfm._reading import READING, Reading, counted, cut, line_of
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.reading import raw, rows, text_rows
from bdfm.data.risk_free import is_rate
from bdfm.errors import DataError

DEMO_ORIGIN: Final = pd.Timestamp("2022-12-23")  # the last Friday of the demo's prices

_INSTEAD: Final = "Check the network and the spelling of the symbols, or read prices from a file."

# Other names of columns, as ``_columns.key`` spells them
CLASS_NAMES: Final = tuple(
    (
        "class assetclass sector gics_sector type asset_type category industry"
        " klasse anlageklasse assetklasse vermögensklasse kategorie sektor branche"
        " classe catégorie secteur clase categoría settore categoria setor"
    ).split()
)
# Those that may also head another column, beside one of the class
SECTOR_NAMES: Final = frozenset(
    (
        "sector gics_sector type category industry kategorie sektor branche"
        " catégorie secteur categoría settore categoria setor"
    ).split()
)
_UNIVERSE: Final = {
    "symbol": _columns.SYMBOL_NAMES,
    "asset_class": CLASS_NAMES,
    "name": ("company", "description", "bezeichnung", "nom", "nombre", "nome"),
}
_DATES: Final = ("earnings_date", "announcement_date", "report_date", "rdq", *_columns.DATE_NAMES)
_EARNINGS: Final = {"symbol": _columns.SYMBOL_NAMES, "date": _DATES}
_VOLATILITY: Final = ("volatility", "vol", "implied_volatility", "iv", "ivol", "sigma")
RISK_FREE: Final = "RF"  # the risk-free rate beside the factors, as French's files call it
_FRENCH: Final = re.compile(r"CRSP database|Ibbotson|Kenneth R\. French|CMPT_ME", re.I)

PathLike = str | os.PathLike[str]
_PATHS: Final = (str, os.PathLike)
Aliases = Mapping[str, str] | PathLike | None


def read_prices(
    path: PathLike | pd.DataFrame,
    *,
    date_format: str | None = None,
    decimal_mark: str | None = None,
    aliases: Aliases = None,
) -> pd.DataFrame:
    """Return adjusted daily closes (date, symbol) of a file of any common form; see ``docs/files.md``.

    CSV with commas, semicolons, tabs or pipes, Parquet, or a sheet of Excel, plain or in gzip or zip. Wide: a
    column of dates and one for each symbol. Long: dates, symbols and prices. Yahoo's two header rows, one
    symbol's open, high, low and close, and columns such as AAPL_Close are known; Adj Close is taken before
    Close. What was read, and how, is a record in ``.attrs["reading"]``.

    Parameters
    ----------
    path
        File, or a DataFrame of one of these shapes.
    date_format
        How to read dates with two meanings: dmy, mdy, ymd, or a strptime pattern such as %d/%m/%Y.
    decimal_mark
        Point or comma, where the numbers leave it open.
    aliases
        Symbol in the file to the one it is called by, such as FB to META; or a file of two such columns.

    Raises
    ------
    FileError
        The file is missing, empty, cut off, or no table.
    DataError
        Dates or numbers that are none or mean two; one day and symbol with two prices; symbols given twice.
        Whether prices are positive is checked where they are used.

    Examples
    --------
    >>> import bdfm, pandas as pd
    >>> rows = {"date": ["31.01.2022", "01.02.2022"], "ticker": ["A", "A"], "Adj Close": ["1,5", "2,5"]}
    >>> prices = bdfm.read_prices(pd.DataFrame(rows))
    >>> prices.loc["2022-02-01", "A"]
    np.float64(2.5)
    """
    what = "prices"
    reading = Reading()
    names = _aliases(aliases)
    table, mark = _dated(path, what, reading, date_format, _mark(decimal_mark))
    name = _columns.stem(Path(os.fsdecode(path))) if isinstance(path, _PATHS) else ""
    found = _tables.wide(table, where=what, decimal_mark=mark, reading=reading, aliases=names, name=name)
    _doubt_unused(names, aliases, found.columns)
    return _with(found, reading)


def read_volatility(
    path: PathLike | pd.DataFrame,
    *,
    date_format: str | None = None,
    decimal_mark: str | None = None,
    aliases: Aliases = None,
) -> pd.DataFrame:
    """Annual volatilities (date, symbol), decimals, of a file: a column of dates and one for each symbol.

    Or long: dates, symbols and a column of values (``volatility``, ``value``, ``iv``). Each is known at the
    end of its day. Parameters and errors as ``read_prices``; units are checked where it is used
    (``bdfm.data.outside``). ``path``, ``date_format``, ``decimal_mark`` and ``aliases`` are those of prices.

    Examples
    --------
    >>> import bdfm, pandas as pd
    >>> rows = {"date": ["2022-01-31", "2022-02-01"], "SPY": [0.22, 0.21], "TLT": [0.15, 0.16]}
    >>> bdfm.read_volatility(pd.DataFrame(rows))
                 SPY   TLT
    date
    2022-01-31  0.22  0.15
    2022-02-01  0.21  0.16
    """
    reading = Reading()
    names = _aliases(aliases)
    table, mark = _dated(path, "volatility", reading, date_format, _mark(decimal_mark))
    other = {c: "value" for c in table.columns if _columns.key(c) in _VOLATILITY}
    if len(other) == 1:
        table = table.rename(columns=other)
    found = _tables.wide(table, where="volatility", decimal_mark=mark, reading=reading, aliases=names)
    return _with(found, reading)


def read_returns(
    path: PathLike | pd.DataFrame,
    *,
    what: str = "factors",
    unit: Literal["percent", "decimal"] = "decimal",
    date_format: str | None = None,
    decimal_mark: str | None = None,
) -> pd.DataFrame:
    """Returns (date, column) of a file, such as factors', as decimals; French's files as downloaded.

    The first block of daily or monthly rows is taken; codes for missing, such as -99.99, are NaN. A risk-free
    rate is the column ``RF``, whatever its case. Cells with a percent sign are percent whatever the unit.

    Parameters
    ----------
    path, date_format, decimal_mark
        As in ``read_prices``.
    what
        Name of the table, for messages.
    unit
        What the file holds.

    Raises
    ------
    FileError, DataError
        As ``read_prices``.
    """
    reading = Reading()
    table, mark = _dated(path, what, reading, date_format, _mark(decimal_mark))
    signed: set[object] = set()
    found = _tables.wide(
        table, where=what, decimal_mark=mark, reading=reading, prices=False, percent_columns=signed
    )
    found = _numbers.replace_codes(found, reading, decimals=unit == "decimal")
    rates = [c for c in found.columns if is_rate(str(c))]
    if unit == "percent":
        found = found.div([1.0 if c in signed else 100.0 for c in found.columns], axis="columns")
    if len(rates) == 1:
        found = found.rename(columns={rates[0]: RISK_FREE})
    return _with(found, reading)


def read_universe(path: PathLike | pd.DataFrame, *, aliases: Aliases = None) -> pd.DataFrame:
    """Universe (asset) of a file: columns symbol, asset_class, name and any others.

    The columns may be called ticker, id, class, sector, type and the like. A bare list of symbols is a
    universe of one class, "asset". Files are of the forms of ``read_prices``. Raises ``FileError`` as it
    does, ``DataError`` for a missing class or a repeated symbol. ``path`` is a file or a DataFrame;
    ``aliases`` as in ``read_prices``.

    Examples
    --------
    >>> import bdfm, pandas as pd
    >>> bdfm.read_universe(pd.DataFrame({"ticker": ["SPY", "TLT"], "class": ["equity", "bond"]}))
      symbol asset_class name
    0    SPY      equity  SPY
    1    TLT        bond  TLT
    """
    reading = Reading()
    table = _records(_tables.bare_list(path), "universe", reading, _UNIVERSE, bare="symbol")
    if "symbol" in table and table.shape[1] == 1:
        table = table.assign(asset_class=_tables.ONE_CLASS)
        reading.layout, reading.separator = "a list of symbols", ""
        reading.note(f'all of one class, "{_tables.ONE_CLASS}"')
    names = _aliases(aliases)
    found = _checks.universe_table(_named(table, names))
    _doubt_unused(names, aliases, found["symbol"])
    return _with(found, reading)


def read_earnings(
    path: PathLike | pd.DataFrame, *, date_format: str | None = None, aliases: Aliases = None
) -> pd.DataFrame:
    """Announcements of a file: columns symbol, date and any others, such as session.

    Raises ``FileError`` as ``read_prices`` does, ``DataError`` for an empty symbol or a date that is none.
    ``path``, ``date_format`` and ``aliases`` as there.
    """
    reading = Reading()
    table = _records(path, "earnings", reading, _EARNINGS)
    if "date" in table:
        found = _dates.parse(table["date"], where="earnings", date_format=date_format, exact=True)
        reading.dates = found.form
        table = table.assign(date=found.days)
    return _with(_checks.earnings_table(_named(table, aliases)), reading)


def read_records(
    path: PathLike | pd.DataFrame,
    *,
    what: str,
    columns: Mapping[str, Iterable[str]],
    numbers: Iterable[str] = (),
    label: str = "symbol",
    required: bool = True,
    bare: str = "",
    aliases: Aliases = None,
    decimal_mark: str | None = None,
) -> pd.DataFrame:
    """Table of texts of a file with a row for each thing, such as weights or sectors.

    Parameters
    ----------
    path, aliases, decimal_mark
        As in ``read_prices``; aliases are for the column of symbols.
    what
        Name of the table, for messages.
    columns
        Names that are needed, each with other names that it goes by.
    numbers
        Columns to give as floats; a cell of 25% is 0.25.
    label
        Column of the symbols.
    required
        Whether to refuse a table without one of ``columns``.
    bare
        Column that a list without a header is; blank where there has to be one.

    Raises
    ------
    FileError, DataError
        As ``read_prices``; also for a column that is missing.
    """
    reading = Reading()
    table = _records(path, what, reading, columns, bare=bare)
    if required:
        file = f" {Path(os.fsdecode(path)).name}" if isinstance(path, _PATHS) else ""
        _checks.has_columns(table, tuple(columns), where=f"{what}{file}", others=columns)
    wanted = [c for c in numbers if c in table]
    if wanted:
        labels = table[label].astype(str) if label in table else None
        sign = _signs.get(reading.separator, "")
        parsed = _numbers.floats(
            table[wanted],
            where=what,
            decimal_mark=_mark(decimal_mark),
            separator=sign,
            reading=reading,
            labels=labels,
        )
        table = table.assign(**{c: parsed[c] for c in wanted})
    return _with(_named(table, aliases, label), reading)


def read_aliases(path: PathLike) -> _symbols.Aliases:
    """Aliases of a file of two columns: the symbol as files have it, and the one it is called by."""
    reading = Reading()
    table = _records(path, "aliases", reading, {})
    if table.shape[1] != 2:
        raise DataError(
            f"aliases: {path} has {counted(table.shape[1], 'column')}. Two were expected: old and new symbol."
        )
    rows = [(str(old), str(new)) for old, new in table.to_numpy()]
    first, second = map(str, table.columns)
    plain = {"old", "new", "from", "to", "alias", "name", "file", "called", *_columns.SYMBOL_NAMES}
    if not {_columns.key(first), _columns.key(second)} & plain:  # no header: the first row is an alias too
        rows.insert(0, (first, second))
    return _symbols.check_aliases(rows)


def told(*tables: pd.DataFrame | None) -> list[str]:
    """One line about each table that was read: its file, form, and what was dropped or replaced."""
    return [line_of(t.attrs[READING]) for t in tables if t is not None and READING in t.attrs]


def demo() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices (day, symbol) and universe of 20 US stocks and 5 factor ETFs, 2014-01-02 to 2022-12-28.

    Real adjusted daily closes, in US dollars, from the data sets that ship with skfolio (BSD-3-Clause); no
    network. ``DEMO_ORIGIN`` is their last Friday.

    Examples
    --------
    >>> import bdfm
    >>> prices, universe = bdfm.demo()
    >>> prices.shape[1], len(universe)
    (25, 25)
    """
    with resources.as_file(resources.files("bdfm.data") / "demo") as folder:
        return read_prices(folder / "prices.csv.gz"), read_universe(folder / "universe.csv")


def yahoo(symbols: Sequence[str], start: object, end: object) -> pd.DataFrame:
    """Return adjusted daily closes (date, symbol) from Yahoo Finance, both days included; needs yfinance.

    Columns are in the order of ``symbols``; days on which a symbol did not trade are NaN.

    Raises
    ------
    MissingDependencyError
        yfinance is not installed.
    DataError
        No network, no prices for a symbol, no or repeated symbols, or a start after the end.

    Examples
    --------
    >>> import bdfm
    >>> bdfm.yahoo(["SPY", "TLT"], "2021-01-04", "2021-12-31")  # doctest: +SKIP
    """
    where = "yahoo"
    symbols = texts(symbols)
    if not symbols:
        raise DataError(f"{where}: no symbols given. Name at least one.")
    _checks.unique(symbols, what="symbol", where=where)
    first_day, last_day = (
        _checks.as_date(start, where=f"{where} start"),
        _checks.as_date(end, where=f"{where} end"),
    )
    if first_day > last_day:
        raise DataError(f"{where}: start {first_day:%Y-%m-%d} is after end {last_day:%Y-%m-%d}. Swap them.")
    yfinance = optional("yfinance", what=where)
    logger = logging.getLogger("yfinance")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what fails is told once, below
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # yfinance is behind pandas
            answer = yfinance.download(
                symbols,
                start=f"{first_day:%Y-%m-%d}",
                end=f"{last_day + pd.Timedelta(days=1):%Y-%m-%d}",  # exclusive there
                auto_adjust=True,
                group_by="column",
                multi_level_index=True,
                progress=False,
                threads=False,
            )
    except Exception as error:  # whatever its network library raises
        raise DataError(f"{where}: the download failed ({error}). {_INSTEAD}") from error
    finally:
        logger.setLevel(level)
    if answer is None or answer.empty or "Close" not in answer.columns.get_level_values(0):
        raise DataError(
            f"{where}: no prices came back for any of {len(symbols)} symbols ({_checks.first(symbols)})."
            f" {_INSTEAD}"
        )
    closes = answer["Close"].rename(columns=str.upper)
    table = closes.reindex(columns=[x.upper() for x in symbols]).set_axis(symbols, axis=1)
    empty = [str(x) for x in table.columns[table.isna().all()]]
    if empty:
        raise DataError(
            f"{where}: no prices for {len(empty)} of {len(symbols)} symbols ({_checks.first(empty)}) from"
            f" {first_day:%Y-%m-%d} to {last_day:%Y-%m-%d}. Check how Yahoo spells them, or leave them out."
        )
    table = table.set_axis(_checks.days(table.index, where=where).rename("date"))
    return _checks.numeric(table, where=where).dropna(how="all").sort_index()


_signs: Final = {name: sign for sign, name in text_rows.SEPARATORS.items()}


def _dated(
    source: PathLike | pd.DataFrame, what: str, reading: Reading, date_format: str | None, mark: str | None
) -> tuple[pd.DataFrame, str | None]:
    """Table with days as index, numbers as they are written, and the decimal mark of the file."""
    _dates.order_of(date_format)
    source = _file_or_table(source, what)
    if isinstance(source, pd.DataFrame):
        table = _storable(source, what)
    else:
        path = source
        found = raw.content(path, what=what, reading=reading)
        if isinstance(found, str):
            if _FRENCH.search(found[:3000]) or _FRENCH.search(found[-300:]):
                reading.note("French's data library")
            table, mark = rows.dated_table(found, path=path, what=what, reading=reading, decimal_mark=mark)
        else:
            table = _storable(found, what)
        if table.empty:
            raise DataError(f"{what}: {path} has a header but no rows.")
    return _tables.days_first(table, where=what, date_format=date_format, reading=reading), mark


def _file_or_table(source: object, what: str) -> Path | pd.DataFrame:
    """Path of a file, or a table of pandas (of a Series, its one column); ``DataError`` for anything else."""
    if isinstance(source, pd.Series):
        return source.to_frame()
    if isinstance(source, _PATHS):
        return _checks.path_of(source, what=what)
    hint = "Give the path of a file, or a DataFrame of pandas."
    expected = "a path or a DataFrame"
    of_kind(source, pd.DataFrame, what="the table", where=what, hint=hint, expected=expected)
    return cast(pd.DataFrame, source)


def _records(
    source: PathLike | pd.DataFrame,
    what: str,
    reading: Reading,
    wanted: Mapping[str, Iterable[str]],
    bare: str = "",
) -> pd.DataFrame:
    """Table with a row for each thing, under this package's names of columns."""
    known = [n for name, others in wanted.items() for n in (name, *others)]
    source = _file_or_table(source, what)
    if isinstance(source, pd.DataFrame):
        _storable(source, what)
        table = source if isinstance(source.index, pd.RangeIndex) else source.reset_index()
    else:
        path = source
        found = raw.content(path, what=what, reading=reading)
        if isinstance(found, str):
            table = rows.record_table(found, path=path, what=what, reading=reading, known=known, bare=bare)
        else:
            _storable(found, what)
            table = found if isinstance(found.index, pd.RangeIndex) else found.reset_index()
        if table.empty:
            raise DataError(f"{what}: {path} has a header but no rows.")
    return _columns.record_columns(table, wanted)


def _aliases(aliases: Aliases) -> _symbols.Aliases:
    return read_aliases(aliases) if isinstance(aliases, _PATHS) else _symbols.check_aliases(aliases)


def _doubt_unused(names: _symbols.Aliases, given: Aliases, symbols: Iterable[object]) -> None:
    """Warn of aliases that concern nothing in a table of all assets, unless other tables are to come."""
    if not isinstance(given, _symbols.Aliases):
        there = {str(s) for s in symbols}
        lost = {old: new for old, new in names.unused.items() if new not in there}
        doubt(Tables(aliases=lost))


def _named(table: pd.DataFrame, aliases: Aliases, label: str = "symbol") -> pd.DataFrame:
    names = _aliases(aliases)
    if not names or label not in table:
        return table
    return table.assign(**{label: [names.rename(s) if str(s).strip() in names else s for s in table[label]]})


def _mark(mark: str | None) -> str | None:
    if mark is None:
        return None
    found = {"point": ".", "comma": ","}.get(mark, mark)
    if found not in (".", ","):
        raise DataError(f"decimal mark: {cut(mark)} is none. Give . or ,")
    return found


def _with(table: pd.DataFrame, reading: Reading) -> pd.DataFrame:
    table.attrs[READING] = reading.to_dict()
    return table


def _storable(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """The same table; ``DataError`` where a name or a cell is a text that no file can hold."""
    columns: list[Any] = [*(table.iloc[:, j] for j in range(table.shape[1])), table.index]
    heads: list[Any] = list(table.columns)
    cells = (x for c in columns if c.dtype.kind not in "biufmM" for x in c)
    names = [x for head in heads for x in (head if isinstance(head, tuple) else (head,))]
    _checks.storable((*names, *cells), where=what)
    _numbers.refuse_errors(names, where=what)
    return table
