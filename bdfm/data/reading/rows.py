"""Tables of a text file: the header among other rows, and the rows that are the table."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _columns, _dates, _numbers
from bdfm._checks import first
from bdfm._reading import Reading, counted, cut
from bdfm.data.reading import blocks, text_rows
from bdfm.data.reading.text_rows import Row, trimmed
from bdfm.errors import DataError, FileError

_SAMPLE_ROWS, _SAMPLE_CELLS = 300, 50_000
_BLANKS: Final = ["", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "#N/A", "#N/A N/A", "-", "--", "."]
_TOTALS: Final = re.compile(
    r"^(grand )?(sub)?(total|sum|average|avg|mean|count|min|max|minimum|maximum|std|stdev|median|summe|gesamt"
    r"|mittelwert|durchschnitt|somme|moyenne|totale|copyright|source|note|notes|quelle)\b",
    re.I,
)


class Layout(NamedTuple):
    """Where the table of a file is: names of its columns, and the line its rows begin after."""

    columns: pd.Index[Any]
    dates: int  # position of the column of dates
    lines: int  # above the first row
    n_title: int  # rows above the header


def dated_table(
    text: str, *, path: Path, what: str, reading: Reading, decimal_mark: str | None
) -> tuple[pd.DataFrame, str | None]:
    """Table of a text with a column of dates, numbers still as they are written; and its decimal mark.

    The first column is that of the dates, as text. Columns have one or two levels.
    """
    text, sign = text_rows.separated(text, path, what, reading)
    sample, whole = text_rows.sample_of(text, sign, path, what)
    side, first = blocks.blocks_of(sample, reading, what=what)
    if side:
        rows = [[c.strip() for c in row] for row in text_rows.rows_of(text, sign, path, what)]
        return blocks.long_form(rows[first:], side, reading, what=what), decimal_mark
    layout = _layout(sample, path, what)
    reading.drop("title", layout.n_title)
    if decimal_mark is None:
        body = [row for row in sample[layout.lines :]] if whole else sample[layout.lines : _SAMPLE_ROWS]
        cells = islice(
            (c for row in body for j, c in enumerate(row) if j != layout.dates and c), _SAMPLE_CELLS
        )
        try:
            mark, unclear, _ = _numbers.mark_of(cells)
        except DataError as error:
            raise DataError(f"{what}: {error}") from None
        mark = "?" if not mark and unclear else mark or "."
    else:
        mark = decimal_mark
    if mark == ",":
        reading.decimal_mark = _numbers.MARKS[mark]
    table = _parsed(text, sign, layout, mark, path, what)
    table = _own_rows(table, layout, what, reading)
    if table.empty:
        raise DataError(f"{what}: {path} has a header but no rows.")
    return table, decimal_mark if mark == "?" else mark


def record_table(
    text: str, *, path: Path, what: str, reading: Reading, known: Iterable[str], bare: str = ""
) -> pd.DataFrame:
    """Table of texts: the header is the first row with a known name, else the first.

    Parameters
    ----------
    text, path, what, reading
        As in ``dated_table``.
    known
        Names of columns, as ``_columns.key`` spells them.
    bare
        Name of the column of a file that is a bare list; blank where a list is no table.
    """
    text, sign = text_rows.separated(text, path, what, reading, single=bool(bare))
    rows = [[c.strip() for c in row] for row in text_rows.rows_of(text, sign, path, what)]
    lines = list(range(1, len(rows) + 1))
    filled = [(n, row) for n, row in zip(lines, rows, strict=True) if any(row)]
    reading.drop("blank", sum(bool(row) for row in rows) - len(filled))
    names = set(known)
    head = next((k for k, (_, row) in enumerate(filled) if {_columns.key(c) for c in row} & names), None)
    width = max(len(trimmed(row)) for _, row in filled)
    if width == 1 and not bare:
        raise FileError(f"{what}: {path} has one column, {cut(filled[0][1][0])}. {text_rows.expected()}")
    if width == 1 and (head is None or head > 0):
        return pd.DataFrame({bare: [row[0] for _, row in filled]})
    head = head or 0
    reading.drop("title", head)
    header = trimmed(filled[head][1])
    if "" in header:
        raise DataError(f"{what}: {path} has no name for column {header.index('') + 1}. Fill the first row.")
    index = pd.Index(header)
    double = index[index.duplicated()].unique()
    if len(double):
        raise DataError(
            f"{what}: {counted(len(double), 'column')} given more than once ({', '.join(double[:5])})."
            " Keep one of each."
        )
    body = []
    for n, row in filled[head + 1 :]:
        cells = trimmed(row)
        if len(cells) > len(header):
            raise _too_wide(path, what, n, len(cells), len(header))
        if cells == header:
            reading.drop("header")
        elif _TOTALS.match(cells[0]) and len(cells) == 1 and len(header) > 1:
            reading.drop("footer")
        else:
            body.append(cells + [""] * (len(header) - len(cells)))
    if not body:
        raise DataError(f"{what}: {path} has a header but no rows.")
    return pd.DataFrame(body, columns=header, dtype=object)


def _layout(sample: Sequence[Row], path: Path, what: str) -> Layout:
    """Header and first row of a sample."""
    begin = _after_titles(sample)
    head, dates = _header_by_name(sample, begin)
    if head is None:
        head = _header_above(sample, begin)
        dates = 0
    if head is None:
        rows = [r for r in sample if any(r)]
        if not rows:
            raise FileError(f"{what}: {path} is empty. A table with a header was expected.")
        if _data(rows[0], 0):
            raise DataError(
                f"{what}: {path} has no header: its first row is {', '.join(cut(c) for c in rows[0][:3])}."
                " Add a row"
                " with date and the symbols."
            )
        shown = ", ".join(cut(c).strip("'") for c in rows[0][:5])
        more = f" and {len(rows[0]) - 5} more" if len(rows[0]) > 5 else ""
        raise DataError(
            f"{what}: {path} has no column date; found {shown}{more}. Expected date and symbols (wide), or"
            " date, symbol, and one of adjusted_close, adj_close, price, close (long)."
            + _dates.across(rows[0])
        )
    below = head
    levels = [sample[head]]
    if _needs_more(sample[head], dates):
        for k in range(head - 1, max(head - 5, begin - 1), -1):
            if not any(sample[k]):
                continue
            if not _level(sample[k], dates):
                break
            levels.insert(0, sample[k])
        while (
            below + 1 < len(sample)
            and _level(sample[below + 1], dates)
            and not _data(sample[below + 1], dates)
        ):
            below += 1
            levels.append(sample[below])
    body = [r for r in sample[below + 1 : below + 1 + _SAMPLE_ROWS] if any(r)]
    width = max([len(trimmed(r)) for r in levels])
    if body:  # names that are blank, above cells that are not, are asked for later
        width = max(width, min(len(levels[-1]), max(len(trimmed(r)) for r in body)))
    names_missing = len(body) > 0 and all(len(trimmed(r)) == width + 1 for r in body) and len(levels) == 1
    if names_missing and _columns.find(levels[0], _columns.DATE_NAMES) is None:
        levels = [["", *levels[0]]]  # row names without a name, as R writes them
        width += 1
    first_used = head - (len(levels) - 1 - (below - head))
    title = sum(any(r) for r in sample[: max(first_used, 0)])
    return Layout(_names(levels, width, dates), dates, below + 1, title)


def _after_titles(sample: Sequence[Row]) -> int:
    """First row below a day that stands alone above the header, as the day of a report does."""
    begin = 0
    for k, row in enumerate(sample):
        if any(row[1:]) or (row and _columns.key(row[0]) in _columns.DATE_NAMES):
            break
        if row and _dates.looks_like_a_day(row[0]):
            begin = k + 1
    return begin


def _header_by_name(sample: Sequence[Row], begin: int) -> tuple[int | None, int]:
    """Row and column of a cell that is called date and has dates, or nothing else, below it."""
    for k, row in enumerate(sample):
        if k < begin or sum(bool(c) for c in row) < 1 or len(row) < 2:
            continue
        if any(_dates.looks_like_a_day(c) and not c.isdigit() for c in row):
            if _data(row, 0):
                return None, 0
            continue
        if not any(_columns.key(c) in _columns.DATE_NAMES for c in row):
            continue
        rest = [r for r in sample[k + 1 : k + 30] if any(r)]
        cells = [[r[j] for r in rest if len(r) > j and r[j]][:5] for j in range(len(row))]
        return k, _columns.date_column(row, cells.__getitem__) or 0
    return None, 0


def _header_above(sample: Sequence[Row], begin: int) -> int | None:
    """Row above the first row that begins with a date."""
    for k, row in enumerate(sample):
        if k >= begin and _data(row, 0):
            above = [i for i in range(begin, k) if any(sample[i]) and len(sample[i]) > 1]
            return above[-1] if above else None
    return None


def _data(row: Row, dates: int) -> bool:
    return len(row) > max(dates, 1) and _dates.looks_like_a_day(row[dates])


def _needs_more(header: Row, dates: int) -> bool:
    """Whether a header does not say all: only the date, or only what the numbers of each symbol are."""
    names = [c for j, c in enumerate(header) if j != dates and c]
    return not names or (all(_columns.is_field(n) for n in names))


def _level(row: Row, dates: int) -> bool:
    """Whether a row is one of the names of columns, such as the row of symbols below one of fields."""
    rest = [c for j, c in enumerate(row) if j != dates and c]
    return (
        bool(rest)
        and len(row) > dates
        and _columns.is_level(row[dates])
        and not any(_dates.looks_like_a_day(c) and not c.isdigit() for c in rest)
        and not all(_numbers._POINT.match(c) or c.lower() in _numbers.MISSING for c in rest)
    )


def _names(levels: list[Row], width: int, dates: int) -> pd.Index[Any]:
    """Names of columns of one row or of two, with names that stand over several columns repeated."""
    padded = [(row + [""] * width)[:width] for row in levels]
    useful = [row for row in padded if any(c for j, c in enumerate(row) if j != dates)]
    if len(useful) > 2:  # such as the name beside the symbol: the fields, and the row nearest to them
        fields = [r for r in useful if all(_columns.is_field(c) for j, c in enumerate(r) if j != dates and c)]
        others = [r for r in useful if r not in fields]
        useful = [*others[:1], *fields[:1]] if others and fields else useful[-2:]
    if len(useful) < 2:
        return pd.Index((useful or padded)[-1])
    full = useful[-1]
    for row in useful[:-1]:
        last = ""
        for j in range(width):
            if j != dates:
                last = row[j] or (last if full[j] else "")
                row[j] = last
        row[dates] = ""
    return pd.MultiIndex.from_arrays(
        [[*r[:dates], r[dates] if k else "date", *r[dates + 1 :]] for k, r in enumerate(useful)]
    )


def _parsed(text: str, sign: str, layout: Layout, mark: str, path: Path, what: str) -> pd.DataFrame:
    """Cells below the header: numbers where a whole column is plain, else texts."""
    width = len(layout.columns)
    names = list(range(width))
    texts = {layout.dates}
    if layout.columns.nlevels == 1:
        wanted = set(_columns.SYMBOL_NAMES)
        texts |= {j for j, c in enumerate(layout.columns) if _columns.key(c) in wanted}
    kind: dict[int, Any] = dict.fromkeys(names if mark == "?" else texts, str)
    blanks: Any = _BLANKS if len(kind) < 2 else {j: _BLANKS for j in names if j not in kind}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header lose data
            return pd.read_csv(
                io.BytesIO(text.encode()),
                sep=sign,
                decimal=mark if mark != "?" else ".",
                header=None,
                names=names,
                skiprows=layout.lines,
                skip_blank_lines=False,
                index_col=False,
                dtype=kind,
                keep_default_na=False,
                na_values=blanks,
                skipinitialspace=True,
                low_memory=False,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError):
        return _slowly(text, sign, layout, path, what)


def _slowly(text: str, sign: str, layout: Layout, path: Path, what: str) -> pd.DataFrame:
    """Cells below the header, all as texts; a row that is too long is named."""
    width = len(layout.columns)
    body = []
    for n, row in enumerate(text_rows.rows_of(text, sign, path, what)[layout.lines :], layout.lines + 1):
        cells = row if len(row) <= width else trimmed(row)
        if len(cells) > width:
            raise _too_wide(path, what, n, len(cells), width)
        body.append([c.strip() for c in cells] + [""] * (width - len(cells)))
    return pd.DataFrame(body, columns=range(width), dtype=object)


def _refuse_other_header(others: pd.DataFrame, between: np.ndarray[Any, Any], what: str) -> None:
    """Refuse texts in most columns between rows of numbers: another header, or the same in other order."""
    for i in np.flatnonzero(between):
        names = [x for x in others.iloc[i].fillna("").astype(str).str.strip() if x]
        if len(names) >= max(2, 0.5 * others.shape[1]):
            raise FileError(
                f"{what}: between its rows of numbers there is another header, {first(names)}, which is not"
                " the one above: two files were joined, and columns would be taken for those of the first."
                " Give one table, with one header."
            )


def _too_wide(path: Path, what: str, n: int, found: int, width: int) -> FileError:
    return FileError(
        f"{what}: {path} has {found} cells in row {n}, where the header has {width}. A separator too many,"
        " or a"
        " decimal comma in a table with commas: correct the row, or separate by semicolons."
    )


def _own_rows(table: pd.DataFrame, layout: Layout, what: str, reading: Reading) -> pd.DataFrame:
    """Rows of the first block that has dates of days or months, the dates as first column."""
    dates = table[layout.dates].astype(object).fillna("").astype(str).str.strip()
    others = table.drop(columns=layout.dates)
    codes, uniques = pd.factorize(dates)
    kinds = _dates.families(uniques)[codes] if len(uniques) else np.empty(0, dtype=object)
    keep = kinds != ""
    first_block = np.ones(len(keep), dtype=bool)
    if not keep.all():
        empty = _blank(others)
        text_only = ~keep & ~empty & _no_numbers(others)
        header = (
            [str(c) for j, c in enumerate(layout.columns) if j != layout.dates]
            if layout.columns.nlevels == 1
            else []
        )
        again = np.zeros(len(keep), dtype=bool)
        for i in np.flatnonzero(~keep):
            again[i] = bool(header) and _same_names(others.iloc[i], header)
        alone = ~keep & empty & (dates != "").to_numpy()
        first_block = _block(keep, kinds, (text_only | alone) & ~again, dates)
        total = np.array([bool(_TOTALS.match(d)) for d in dates]) & ~keep
        good = keep | empty | text_only | again | total | ~first_block
        if not good.all():  # left for the parser of dates, which names the row
            keep = keep | ~good
        last = int(np.flatnonzero(keep & first_block)[-1]) if (keep & first_block).any() else -1
        gone = ~keep & first_block
        after = np.arange(len(keep)) > last
        blank = gone & empty & (dates == "").to_numpy()
        reading.drop("blank", int(blank.sum()))
        reading.drop("header", int((gone & again).sum()))
        rest = gone & ~blank & ~again
        _refuse_other_header(others, rest & text_only & ~after & (np.arange(len(keep)) > keep.argmax()), what)
        reading.drop("footer", int((rest & after).sum()))
        reading.drop("text", int((rest & ~after).sum()))
    years = keep & first_block & (kinds == "year")
    if years.any() and (keep & first_block & (kinds != "year")).any():
        begun = int(np.flatnonzero(years)[0])
        if not (keep & first_block & (kinds != "year"))[begun:].any():  # an annual block below the other
            first_block &= np.arange(len(keep)) < begun
    reading.drop("block", int((keep & ~first_block).sum()))
    chosen = keep & first_block
    table = table.loc[chosen].reset_index(drop=True)
    order = [layout.dates, *(j for j in range(table.shape[1]) if j != layout.dates)]
    return table[order].set_axis(layout.columns[order], axis=1)


def _same_names(row: pd.Series[Any], header: list[str]) -> bool:
    """Whether a row of cells holds the header; a symbol called NA was read as a missing cell."""

    def same(cell: Any, name: str) -> bool:
        if pd.isna(cell):
            return name in _BLANKS
        return str(cell).strip() == name or (not isinstance(cell, str) and name == f"{cell:g}")

    return all(same(cell, name) for cell, name in zip(row, header, strict=True))


def _block(
    keep: np.ndarray[Any, Any],
    kinds: np.ndarray[Any, Any],
    breaks: np.ndarray[Any, Any],
    dates: pd.Series[Any],
) -> np.ndarray[Any, Any]:
    """Which rows belong to the first block: a row of text ends it where the dates below begin again."""
    first = np.ones(len(keep), dtype=bool)
    for i in np.flatnonzero(breaks):
        before, after = np.flatnonzero(keep[:i]), np.flatnonzero(keep[i:]) + i
        if not len(before) or not len(after):
            continue
        again = dates.iloc[after[0]] in set(dates.iloc[before])
        if again or kinds[after[0]] != kinds[before[0]]:
            first[i:] = False
            break
    return first


def _blank(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    blank = np.ones(len(table), dtype=bool)
    for j in range(table.shape[1]):
        column = table.iloc[:, j]
        blank &= (column.isna() | (column.astype(object) == "")).to_numpy(dtype=bool)
    return blank


def _no_numbers(table: pd.DataFrame) -> np.ndarray[Any, Any]:
    none = np.ones(len(table), dtype=bool)
    for j in range(table.shape[1]):
        column = table.iloc[:, j]
        if pd.api.types.is_numeric_dtype(column):
            none &= column.isna().to_numpy()
        else:
            none &= ~column.astype(object).fillna("").astype(str).str.contains(
                r"^[^A-Za-z]*\d[^A-Za-z]*(?:[eE]-?\d+)?[^A-Za-z]*$"
            ).to_numpy(dtype=bool)
    return none
