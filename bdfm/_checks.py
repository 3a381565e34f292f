"""Checks at the edge of the package: one rule, one function, one message."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Final
from urllib.parse import unquote

import numpy as np
import pandas as pd

from bdfm import _dates, _doubles, _memory, _numbers, _tables
from bdfm._kinds import kind_and_text, of_kind
from bdfm._reading import counted, short, title
from bdfm._symbols import did_you_mean
from bdfm.errors import DataError, FileError, UnknownLabelError

PRICES = (1e-12, 1e15)  # what a price can be, in any currency, adjusted or not
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_ADDRESS = re.compile(r"(?:.*?/)?(https?|ftps?|sftp|file|s3|gs|az|abfss?|hdfs|dbfs):/", re.I)
_MISSING = ("nan", "null", "none", "n/a", "#n/a", "<na>")  # no symbols: those may be called so
_NO_NUMBERS = (bool, np.bool_, str, bytes)  # which Python and NumPy take for numbers
MAX_NAMED = 5  # offenders that a message names before it only counts


def first(labels: Iterable[object], n: int = MAX_NAMED, *, whole: bool = False) -> str:
    """First ``n`` labels, comma separated, with the number of those left out.

    Long ones are cut, as a file's may be anything; ``whole`` leaves them: messages of this package.
    """
    items = [str(x) for x in labels]
    if not whole:
        items[:n] = [short(x) for x in items[:n]]
    more = f" and {len(items) - n} more" if len(items) > n else ""
    return ", ".join(items[:n]) + more


def known(
    labels: Iterable[str],
    allowed: Sequence[str],
    *,
    what: str,
    where: str,
    hint: str = "",
    alias: bool = False,
) -> None:
    """Raise ``UnknownLabelError`` unless every label is among ``allowed``.

    With ``alias`` the message says how to call a symbol by its other spelling: where files are read.
    """
    allowed_set = set(allowed)
    unknown = [x for x in dict.fromkeys(labels) if x not in allowed_set]
    if not unknown:
        return
    guess = did_you_mean(unknown[0], allowed, alias=alias)
    plural = "" if len(unknown) == 1 else "s"
    raise UnknownLabelError(
        f"{where}: unknown {what}{plural} {first(unknown)}.{guess} Known: {first(allowed)}."
        + (f" {hint}" if hint else "")
    )


def unique(labels: Iterable[object], *, what: str, where: str, hint: str = "") -> None:
    """Raise ``DataError`` when a label comes twice; ``what`` is one of them."""
    index = labels if isinstance(labels, pd.Index) else pd.Index(list(labels))
    double = index[index.duplicated()].unique()
    if len(double):
        raise DataError(
            f"{where}: {counted(len(double), what)} given more than once ({first(double)})."
            f" {hint or 'Keep one row of each.'}"
        )


def as_date(value: object, *, where: str, date_format: str | None = None) -> pd.Timestamp:
    """Value as a day without time of day or zone; ``DataError`` when it is none, or may be two.

    ``date_format`` (dmy, mdy, ymd or a strptime pattern) says how a text such as 02/01/2022 is meant.
    """
    return _dates.one_day(value, where=where, date_format=date_format)


def days(values: Iterable[object], *, where: str, exact: bool = False) -> pd.DatetimeIndex:
    """Dates as days without time of day or zone; ``DataError`` names the first that is none, or may be two.

    Every form with one meaning is read, see ``_dates.parse``; 3/4/2022 means two different days.
    """
    return _dates.parse(values, where=where, exact=exact).days


def numeric(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Table (day, symbol) as floats, blanks as NaN; ``DataError`` names the first texts by symbol and day."""
    return _numbers.floats(table, where=where)


def finite(value: float, *, what: str, where: str) -> float:
    """Value as a finite float; ``DataError`` otherwise, also for a text or a truth."""
    try:
        number = None if isinstance(value, _NO_NUMBERS) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise DataError(f"{where}: {what} must be a number, got {shown(value)}.")
    if not np.isfinite(number):
        raise DataError(f"{where}: {what} must be a finite number, got {value!r}.")
    return number


LEAST_CHANCE: Final = 1e-6  # of a false alarm: one in a million; a smaller one is a slip


def false_alarm(chance: float, *, where: str) -> float:
    """The chance of a false alarm; ``DataError`` unless from one in a million to below 1."""
    found = finite(chance, what="false_alarm", where=where)
    if not LEAST_CHANCE <= found < 1:
        raise DataError(
            f"{where}: false_alarm must be above 0 and below 1, and {LEAST_CHANCE:g} at the least, got"
            f" {chance:g}. 0.05 is 5 %."
        )
    return found


def positive(value: float, *, what: str, where: str) -> float:
    """Value as a finite float above zero; ``DataError`` otherwise."""
    number = finite(value, what=what, where=where)
    if number <= 0:
        raise DataError(f"{where}: {what} must be above 0, got {number:g}.")
    return number


def at_least(value: int, minimum: int, *, what: str, where: str) -> int:
    """Value as a whole number not below ``minimum``; ``DataError`` otherwise."""
    odd = isinstance(value, _NO_NUMBERS)
    number = float("nan") if odd else finite(value, what=what, where=where)
    if odd or number != int(number) or number < minimum:
        raise DataError(f"{where}: {what} must be a whole number of at least {minimum}, got {shown(value)}.")
    return int(number)


def seed_number(seed: object, *, where: str) -> int:
    """Seed as one number from 0 to 2^63 - 1, which a file can hold: the same seed gives the same number.

    Whole numbers stay as they are. A list of them, a ``SeedSequence`` or a larger number is hashed; a
    ``Generator`` or ``RandomState`` gives its next number, and moves on; None takes one from the system.
    """
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**63 - 1))
    if isinstance(seed, np.random.RandomState):
        return int(seed.randint(2**31 - 1))
    if isinstance(seed, np.random.SeedSequence):
        return int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= int(seed) < 2**63:
        return int(seed)
    entropy: Any = seed.tolist() if isinstance(seed, np.ndarray) else seed
    numbers = list(entropy) if isinstance(entropy, list | tuple) else [entropy]
    whole = all(isinstance(x, int | np.integer) and not isinstance(x, bool) and x >= 0 for x in numbers)
    if seed is None:
        return int(np.random.default_rng().integers(2**63 - 1))
    if not numbers or not whole:
        raise DataError(
            f"{where}: a seed is a whole number from 0 on, a list of them, a SeedSequence or a Generator, got"
            f" {seed!r}."
        )
    return seed_number(np.random.SeedSequence([int(x) for x in numbers]), where=where)


def path_of(given: str | os.PathLike[str], *, what: str = "path") -> Path:
    """Path that a text or a path is; ``FileError`` for a blank text, to Python the working folder."""
    if not isinstance(given, str | os.PathLike):
        raise FileError(f"{what}: a path was expected, got {shown(given)}. Give it as a text.")
    if not (text := os.fsdecode(given)).strip():
        raise FileError(f"{what}: the path is blank. Give one; . is the working folder.")
    return Path(text)


def there(path: Path) -> bool:
    """Whether a path leads to something; a name that no file can have leads to nothing."""
    return os.path.exists(path)


def no_file(path: Path) -> str:
    """What stands at a path where a file was expected, such as "a pipe"; blank for a file, or nothing."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return ""
    return next((name for holds, name in _NO_FILES if holds(mode)), "")


def existing(path: Path, *, what: str) -> Path:
    """Path of a file or folder that exists; ``FileError`` otherwise."""
    if not there(path):
        raise FileError(f"{what}: {_why_not_there(path)}")
    return path


def existing_file(path: Path, *, what: str) -> Path:
    """Path of a file that exists; ``FileError`` otherwise, and for what is none: it may have no end."""
    existing(path, what=what)
    if kind := no_file(path):
        hint = "" if kind == "a folder" else " Save what it gives to a file, and name that one."
        raise FileError(f"{what}: {path} is {kind}, a file was expected.{hint}")
    return path


def existing_folder(path: Path, *, what: str, hint: str) -> Path:
    """Path of a folder that exists; ``FileError`` otherwise, with ``hint`` where something else is there."""
    existing(path, what=what)
    if not os.path.isdir(path):
        raise FileError(f"{what}: {short(path, 500)} is no folder. {hint}")
    return path


def _why_not_there(path: Path) -> str:
    """Why a path leads to nothing, and what to do."""
    shown = short(path, 500)
    if told := address(path):
        return told
    try:
        os.stat(path)
    except FileNotFoundError:
        if (home := in_home(path)) is not None:
            return f"{shown} does not exist: ~ is a sign of the shell. Write {home}."
        if os.path.islink(path):
            return f"{shown} is a link to {os.readlink(path)}, which does not exist. Check the link."
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"{shown}: links that lead to each other in a circle. Choose another path, or remove one."
        if error.errno == errno.EACCES:
            return f"{shown}: no permission to look into its folder. Check the permissions."
        if error.errno == errno.ENOTDIR:
            return f"{shown} does not exist: a file stands where a folder was expected. Check the path."
        if error.errno == errno.ENAMETOOLONG:
            return f"{shown}: the name is longer than a file's can be, so that it does not exist. Check it."
    except ValueError:
        pass  # half of a pair of surrogates, or a NUL
    return f"{shown} does not exist. Check the path."


def address(path: Path, *, done: str = "read from", instead: str = "Download it first.") -> str:
    """What is wrong with a path that is an address, https://... say, and what to do; blank for another path.

    It is told as it was given: paths keep one stroke. ``done``: with files on this machine.
    """
    found = _ADDRESS.match(path.as_posix())
    if found is None:
        return ""
    rest = path.as_posix()[found.end() :]
    if found[1].lower() == "file":
        own = re.sub(r"^/(?=[A-Za-z]:)", "", "/" + unquote(rest).removeprefix("localhost/"))  # a drive
        given = f"{found[1]}:///{rest}"
        return f"{short(given, 500)} is an address of this machine. Give the path: {short(own, 500)}."
    given = short(f"{found[1]}://{rest}", 500)
    return f"{given} is an address, and files are {done} this machine alone. {instead}"


def in_home(path: Path) -> Path | None:
    """Path that a shell would make of one with ~; None where it has none, or nobody knows the home."""
    at = next((k for k, part in enumerate(path.parts) if part == "~"), None)
    if at is None or os.path.lexists(Path(*path.parts[: at + 1])):  # a name like any other
        return None
    try:
        return Path.home().joinpath(*path.parts[at + 1 :])
    except RuntimeError:
        return None


_LARGE = 2**30  # bytes of a file from which on the memory is asked


def existing_bytes(path: Path, *, what: str) -> bytes:
    """Content of a file; ``FileError`` where it is missing, no file, too large, or cannot be read."""
    file = existing_file(path, what=what)
    try:
        size = os.path.getsize(file)
        free = _memory.available() if size > _LARGE else None
        if free is not None and size > free:
            raise FileError(
                f"{what}: {file} has {_memory.readable(size)}, and {_memory.readable(free)} of memory are"
                " free. Give a smaller file."
            )
        return file.read_bytes()
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"{what}: {file} cannot be read ({error.strerror}). Check its permissions."
        ) from error


def existing_text(path: Path, *, what: str) -> str:
    """Text of a UTF-8 file; ``FileError`` where it is missing or in another encoding."""
    content = existing_bytes(path, what=what)
    try:
        return io.StringIO(content.decode("utf-8-sig"), newline=None).read()
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: not UTF-8 text (byte {error.start + 1}). Save the {what} as UTF-8."
        ) from error


def has_columns(
    frame: pd.DataFrame,
    columns: Collection[str],
    *,
    where: str,
    others: Mapping[str, Iterable[str]] = MappingProxyType({}),
    hint: str = "Give a DataFrame.",
) -> None:
    """Raise ``DataError`` unless it is a table with all ``columns``; ``others``: names to tell for each."""
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"{where}: a table with the columns {first(columns, 8)} was expected, got"
            f" {kind_and_text(frame)}. {hint}"
        )
    missing = [c for c in columns if c not in frame.columns]
    double = [c for c in columns if c not in missing and frame[c].ndim > 1]
    if double and frame.columns.nlevels > 1:
        raise DataError(
            f"{where}: columns have {frame.columns.nlevels} levels, first {frame.columns[0]!s:.60}."
            f" Expected one, with {first(columns, 8)}."
        )
    if double:
        raise DataError(f"{where}: the column {double[0]} comes twice. Keep one of them.")

    def named(column: str) -> str:
        known = [x for x in others.get(column, ()) if x != column] if column in missing else []
        return f"{column} (or {', '.join(known[:4])}, ...)" if known else column

    if missing:
        raise DataError(
            f"{where}: missing column{'s' if len(missing) > 1 else ''} {first(missing)};"
            f" found {first(frame.columns, 8) or 'none'}. Expected {first(map(named, columns), 8)}."
            + (" Its index has them: use .reset_index()." if set(missing) <= set(frame.index.names) else "")
        )


def price_table(
    prices: pd.DataFrame, *, symbols: Sequence[str] | None = None, until: pd.Timestamp | None = None
) -> pd.DataFrame:
    """Return daily prices (day, symbol) as positive floats, missing as NaN, days ascending.

    Only ``symbols`` and days up to ``until`` are looked at, where given. Raises ``DataError`` for repeated
    days or symbols, a row label that is no date, and values that are not positive finite numbers.
    """
    where = "prices"
    prices = _tables.prices_frame(prices, where=where)
    storable(prices.columns, where=where)
    _numbers.refuse_errors(prices.columns, where=where)
    names = prices.columns.astype(str)
    unique(names, what="symbol", where=where, hint="Keep one column of each.")
    table = prices.set_axis(names, axis=1).set_axis(days(prices.index, where=where))
    table = _doubles.once_a_day(table, where=where).sort_index()
    if until is not None:
        table = table.loc[table.index <= until]
    table = numeric(table if symbols is None else table[list(symbols)], where=where)
    values = table.to_numpy()
    bad = np.argwhere(np.isinf(values) | (values <= 0))
    odd = np.argwhere((values > 0) & ((values < PRICES[0]) | (values > PRICES[1])) & np.isfinite(values))
    if len(odd) and not len(bad):
        named = first(f"{table.columns[j]} on {table.index[d]:%Y-%m-%d}: {values[d, j]:g}" for d, j in odd)
        raise DataError(
            f"{where}: {len(odd)} below {PRICES[0]:g} or above {PRICES[1]:g}, which no currency has"
            f" ({named}). Correct them, or give them in another unit."
        )
    if len(bad):
        named = first(f"{table.columns[j]} on {table.index[d]:%Y-%m-%d}: {values[d, j]:g}" for d, j in bad)
        raise DataError(
            f"{where}: {len(bad)} not positive and finite ({named}). Correct them, or leave them blank."
        )
    return table


def category(column: pd.Series[Any]) -> pd.Series[str]:
    """Names of classes, sectors and the like, stripped; blank where a program wrote that one is missing."""
    text = _text(column)
    return text.mask(text.str.casefold().isin(_MISSING), "")


def _text(column: pd.Series[Any]) -> pd.Series[str]:
    """Cells as stripped text, blank where missing."""
    return column.where(column.notna(), "").astype(str).str.strip()


def storable(labels: Iterable[object], *, where: str) -> None:
    """Raise ``DataError`` for texts that no file can hold: with a NUL or half of a pair of surrogates."""
    bad = [ascii(x) for x in labels if isinstance(x, str) and _UNSTORABLE.search(x)]
    if bad:
        raise DataError(
            f"{where}: {counted(len(bad), 'text')} with NUL or broken characters ({first(bad)}). Correct"
            " them, or"
            " save the file as UTF-8."
        )


def printable(labels: Iterable[object], *, what: str, where: str) -> None:
    """Raise ``DataError`` for labels that no file or picture can show as they are."""
    names = list(dict.fromkeys(str(x).strip() for x in labels))
    bad = [ascii(x) for x in names if not x.isprintable() or x.count("$") > 1]  # pictures typeset $...$
    if bad:
        raise DataError(
            f"{where}: {counted(len(bad), what)} with characters that cannot be shown, or with two $"
            f" ({first(bad)}). Rename them."
        )
    spelled: dict[str, str] = {}
    for name in names:
        other = spelled.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise DataError(
                f"{where}: one {what} written in two ways ({other!a}, {name!a}). Write"
                " it in one way, or keep one of them."
            )


def refuse_formulas(symbols: Iterable[str], *, where: object) -> None:
    """Raise ``DataError`` for symbols that a spreadsheet would compute."""
    formulas = list(dict.fromkeys(x for x in symbols if x[:1] in tuple("=+-@")))
    if formulas:
        raise DataError(
            f"{where}: {counted(len(formulas), 'symbol')} that a spreadsheet takes for a formula"
            f" ({first(formulas)}):"
            " they begin with =, +, - or @. Rename them with --alias (aliases in Python and run files)."
        )


def _symbols(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Table with its symbols as text; ``DataError`` when one is blank."""
    printable(table["symbol"], what="symbol", where=where)
    _numbers.refuse_errors(table["symbol"], where=where)
    table = table.reset_index(drop=True).assign(symbol=_text(table["symbol"]).to_numpy())
    blank = np.flatnonzero(table["symbol"] == "")
    if len(blank):
        raise DataError(f"{where}: no symbol in row {first(blank + 1)}. Fill the column symbol.")
    refuse_formulas(table["symbol"], where=where)
    return table


def universe_table(universe: pd.DataFrame) -> pd.DataFrame:
    """Universe with text columns symbol, asset_class and name; the symbol where a name is missing.

    Other columns are kept; a list of symbols is a universe of one class. Raises ``DataError`` for a missing
    column, an empty cell, or a repeated symbol.
    """
    where = "universe"
    universe = _tables.bare_list(universe)
    hint = "Read a file with bdfm.read_universe(path)."
    has_columns(universe, ("symbol", "asset_class"), where=where, hint=hint)
    if universe.empty:
        raise DataError(f"{where}: no assets. Give one row for each.")
    printable(universe["asset_class"], what="class", where=where)
    table = _symbols(universe, where=where)
    unique(table["symbol"], what="symbol", where=where)
    table["asset_class"] = category(table["asset_class"])
    bare = table["symbol"][table["asset_class"] == ""]
    if len(bare):
        raise DataError(
            f"{where}: {len(bare)} of {len(table)} assets have no class ({first(bare)})."
            " Fill the column asset_class."
        )
    # before it is a column of texts, which holds no half of a pair
    name = _text(table["name"].map(title)) if "name" in table else table["symbol"]
    return table.assign(name=name.where(name != "", table["symbol"]))


def is_table(given: object, *, where: str) -> None:
    """Raise ``DataError`` for what is no DataFrame, such as the path of a file; None is no table at all."""
    hint = f"Read a file with bdfm.read_{where}(path)."
    of_kind(given, (pd.DataFrame, NoneType), what="it", where=where, hint=hint, expected="a DataFrame")


def earnings_table(earnings: pd.DataFrame) -> pd.DataFrame:
    """Announcements with columns symbol (text) and date (day); other columns are kept.

    Raises ``DataError`` for a missing column, an empty symbol, or a date that is none.
    """
    where = "earnings"
    has_columns(earnings, ("symbol", "date"), where=where)
    table = _symbols(earnings, where=where)
    return table.assign(date=days(table["date"], where=where, exact=True))


def shown(value: object) -> str:
    """Value as a message repeats it, cut where it is long."""
    return short(repr(value))
