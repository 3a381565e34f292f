"""Tables from files, the embedded demo and Yahoo, in the form that ``Panel.from_prices`` takes."""

from __future__ import annotations

import csv
import gzip
import io
import logging
import warnings
import zlib
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._optional import optional
from bdfm.errors import DataError, FileError

DEMO_ORIGIN: Final = pd.Timestamp("2022-12-23")  # the last Friday of the demo's prices

PRICE_COLUMNS: Final = ("adjusted_close", "adj_close", "price", "close")  # of the long form, best first
BLANKS: Final = ("", "NA", "N/A", "NaN", "nan", "null")  # a missing price; in a column of symbols, a symbol
_INSTEAD: Final = "Check the network and the spelling of the symbols, or read prices from a file."
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"


def read_prices(path: str | Path) -> pd.DataFrame:
    """Return adjusted daily closes (date, symbol) of a CSV file, plain or gzipped, or of a Parquet file.

    Wide form: a column ``date`` (or an unnamed first one) and one column for each symbol. Long form: columns
    ``date``, ``symbol`` and one of ``adjusted_close``, ``adj_close``, ``price``, ``close`` (the first of
    these that is there). Dates are of the form 2022-03-04; rows may be in any order; a blank is a missing
    price. Whether prices are positive is checked where they are used.

    Raises
    ------
    FileError
        The file is missing, empty, cut off, or no table.
    DataError
        Repeated dates or symbols, a date that is none, text in place of a price.
    """
    where = "prices"
    table = _read(path, what=where, text=lambda name: _key(name) in ("", "date", "symbol"))
    keys = {_key(name): name for name in reversed(table.columns)}
    if "date" not in keys:
        if "" not in keys or keys[""] != table.columns[0]:
            raise DataError(
                f"{where}: {path} has no column date; found {_checks.first(table.columns)}. Expected date"
                f" and symbols (wide), or date, symbol, and one of {', '.join(PRICE_COLUMNS)} (long)."
            )
        keys["date"] = keys[""]
    table = table.set_axis(_checks.days(table[keys["date"]], where=where).rename("date"))
    if "symbol" in keys:
        wide = _pivot(table, keys, where)
    else:
        wide = _checks.numeric(table.drop(columns=keys["date"]), where=where)
    if wide.columns.empty:
        raise DataError(f"{where}: {path} has dates but no column of prices. Add one for each symbol.")
    _checks.unique(wide.index.astype(str), what="days", where=where)
    return wide.rename_axis(columns=None).sort_index()


def read_universe(path: str | Path) -> pd.DataFrame:
    """Universe (asset) of a CSV or Parquet file: columns symbol, asset_class, name and any others.

    Raises ``FileError`` as ``read_prices`` does, ``DataError`` for a missing class or a repeated symbol.
    """
    return _checks.universe_table(_read(path, what="universe", text=lambda _: True).rename(columns=_key))


def read_earnings(path: str | Path) -> pd.DataFrame:
    """Announcements of a CSV or Parquet file: columns symbol, date and any others, such as session.

    Raises ``FileError`` as ``read_prices`` does, ``DataError`` for an empty symbol or a date that is none.
    """
    return _checks.earnings_table(_read(path, what="earnings", text=lambda _: True).rename(columns=_key))


def read_texts(path: str | Path, *, what: str) -> pd.DataFrame:
    """Table of a CSV or Parquet file, all of its cells as text; ``what`` names it in messages.

    Raises ``FileError`` for a file that is missing, empty, not UTF-8 or no table, ``DataError`` for one
    without rows.
    """
    return _read(path, what=what, text=lambda _: True).rename(columns=_key).fillna("").astype(str)


def demo() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices (day, symbol) and universe of 20 US stocks and 5 factor ETFs, 2014-01-02 to 2022-12-28.

    Real adjusted daily closes, in US dollars, from the data sets that ship with skfolio (BSD-3-Clause); no
    network. ``DEMO_ORIGIN`` is their last Friday.
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
    """
    where = "yahoo"
    symbols = list(symbols)
    if not symbols:
        raise DataError(f"{where}: no symbols given. Name at least one.")
    _checks.unique(symbols, what="symbols", where=where)
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


def _key(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _pivot(table: pd.DataFrame, keys: dict[str, str], where: str) -> pd.DataFrame:
    """Wide form of long prices indexed by day; symbols in the order of their first row."""
    price = next((keys[x] for x in PRICE_COLUMNS if x in keys), None)
    if price is None:
        raise DataError(
            f"{where}: columns date and symbol, but none of {', '.join(PRICE_COLUMNS)}; found"
            f" {_checks.first(table.columns)}. Name the column of adjusted closes price."
        )
    symbol = table[keys["symbol"]].astype(str).str.strip()
    blank = np.flatnonzero(table[keys["symbol"]].isna() | (symbol == ""))
    if len(blank):
        raise DataError(f"{where}: no symbol in row {_checks.first(blank + 1)}. Fill the column symbol.")
    cells = pd.MultiIndex.from_arrays([table.index, symbol])
    double = cells[cells.duplicated()].unique()
    if len(double):
        named = _checks.first(f"{name} on {day:%Y-%m-%d}" for day, name in double)
        raise DataError(f"{where}: {len(double)} given more than once ({named}). Keep one row of each.")
    wide = table[price].set_axis(cells).unstack()[symbol.unique()]
    return _checks.numeric(wide, where=where)


def _read(path: str | Path, *, what: str, text: Callable[[str], bool]) -> pd.DataFrame:
    """Table of a CSV or Parquet file as it stands; columns for which ``text`` holds are kept as text."""
    path = _checks.existing_file(Path(path), what=what)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"{what}: {path} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    if not raw.strip():
        raise FileError(f"{what}: {path} is empty. A table with a header was expected.")
    table = _parquet(raw, path, what) if raw.startswith(_PARQUET) else _csv(raw, path, what, text)
    if table.empty:
        raise DataError(f"{what}: {path} has a header but no rows.")
    return table


def _parquet(raw: bytes, path: Path, what: str) -> pd.DataFrame:
    try:
        table = pd.read_parquet(io.BytesIO(raw))
    except (OSError, ValueError) as error:  # pyarrow reports damage by these
        raise FileError(
            f"{what}: {path} is cut off or damaged ({_line(error)}). Get a whole copy."
        ) from error
    if not isinstance(table.index, pd.RangeIndex):
        index = table.index
        table = (
            (index.rename("date") if index.nlevels == 1 else index)
            .to_frame(index=False)
            .join(table.reset_index(drop=True))
        )
    table = table.set_axis(table.columns.astype(str).str.strip(), axis=1)
    _checks.unique(table.columns, what="columns", where=what, hint="Keep one of each.")
    return table


def _csv(raw: bytes, path: Path, what: str, text: Callable[[str], bool]) -> pd.DataFrame:
    if raw.startswith(_GZIP):
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise FileError(f"{what}: {path} is cut off or damaged ({error}). Get a whole copy.") from error
    try:
        content = raw.decode("utf-8-sig")
        if "\0" in content:
            raise ValueError("it holds bytes that are no text")
    except ValueError as error:
        raise FileError(
            f"{what}: {path} is not a CSV file in UTF-8, nor gzip of one, nor Parquet ({_line(error)})."
        ) from error
    try:
        header = next((row for row in csv.reader(io.StringIO(content, newline=None)) if row), [])
    except csv.Error as error:
        raise FileError(f"{what}: {path} is not a CSV table ({error}).") from error
    if len(header) < 2:
        found = f"one column, {header[0][:40]!r}" if header else "nothing"
        raise FileError(
            f"{what}: {path} has {found}. A CSV table with columns separated by commas was expected."
        )
    header = [name.strip() for name in header]
    if "" in header[1:]:
        raise DataError(
            f"{what}: {path} has no name for column {header.index('', 1) + 1}. Fill the first row."
        )
    _checks.unique(header, what="columns", where=what, hint="Keep one of each.")
    texts = {name for name in header if text(name)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header lose data
            return pd.read_csv(
                io.StringIO(content),
                header=0,
                names=header,
                index_col=False,
                dtype=dict.fromkeys(texts, str),
                keep_default_na=False,
                na_values={name: BLANKS for name in header if name not in texts},
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise FileError(f"{what}: {path} is not a CSV table ({_line(error)}).") from error


def _line(error: Exception) -> str:
    """First line of a library's message."""
    return str(error).strip().partition("\n")[0].rstrip(".")
