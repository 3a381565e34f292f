"""The sheet of an Excel workbook that holds a table, as text with commas."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

from bdfm import _checks, _columns
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm.errors import FileError

_SPLIT: Final = re.compile(r"^(.+\.xls[xm])#(.+)$", re.I | re.DOTALL)
# A formula whose value no program has computed yet; a text that is blank says t="str"
_NOT_COMPUTED: Final = re.compile(
    rb'<c (?![^>]*t="str")[^>]*?r="([A-Z]+[0-9]+)"[^>]*>\s*<f(?:[^>]*/>|[^>]*>[^<]*</f>)'
    rb"\s*(?:<v\s*/>|<v></v>)?\s*</c>"
)
# First cell and the whole of a range of merged cells; and a cell that holds no text
_MERGED: Final = re.compile(rb'<mergeCell ref="(?=([A-Z]+[0-9]+):)([^"]+)"')
_NUMBER: Final = re.compile(
    rb'<c (?![^>]*t="(?:s|str|inlineStr)")[^>]*?r="([A-Z]+[0-9]+)"[^>]*>\s*'
    rb"(?:<f[^>]*/>|<f[^>]*>[^<]*</f>)?\s*<v>"
)
# Other names of the sheet that holds a table, as ``_columns.key`` spells them
_SHEETS: Final = {
    "prices": "price closes kurse schlusskurse preise kursdaten cours prix precios prezzi preços",
    "universe": "assets universum anlagen wertpapiere titel univers titres universo activos titoli ativos",
    "earnings": "termine quartalszahlen ergebnisse résultats resultados risultati",
    "weights": "holdings gewichte bestand bestände depot poids pesos pesi",
}
_QUOTED: Final = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')  # parts of a number format that are no sign of percent


def split_sheet(path: Path) -> tuple[Path, str]:
    """Workbook and sheet of a path such as book.xlsx#Prices; the sheet is blank where none is named."""
    found = _SPLIT.match(path.name)
    if found is None or _checks.there(path):
        return path, ""
    return path.with_name(found.group(1)), found.group(2)


def sheet_text(raw: bytes, path: Path, what: str, wanted: str) -> tuple[str, str]:
    """Name and cells of a sheet, as text with commas.

    The sheet that ``wanted`` names; else the only one with cells that is not hidden; else the one that is
    called as the table is (``what``), in one of six languages. Numbers have no decimal mark in the text
    (15e-1), so that they mean one thing beside numbers that are texts; those in cells of percent have the
    sign, as they are shown.

    Raises ``FileError`` for a damaged workbook, no sheet of that name, more than one to choose from,
    formulas without a value, and numbers or days in merged cells.
    """
    openpyxl = optional(
        "openpyxl", what=f"{what}: {path.name} is an Excel file; reading it", instead="or save it as CSV"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl's, about styles and extensions
            book: Any = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            sheets = {s.title: s for s in book.worksheets}
            shown = {n: s for n, s in sheets.items() if s.sheet_state == "visible"}
            if wanted:
                _known(wanted, list(sheets), path, what)
                shown = {wanted: sheets[wanted]}
            filled = {n: rows for n, s in shown.items() if (rows := _rows(s))}
    except (FileError, MemoryError):
        raise
    except Exception as error:  # whatever a parser of XML in a zip raises
        told = str(error).strip().partition("\n")[0].rstrip(".")[:200]
        raise FileError(f"{what}: {path} is damaged, or no Excel workbook ({told}).") from error
    called = {what, *_SHEETS.get(what, "").split()}
    named = [n for n in filled if _columns.key(n) == what] or [n for n in filled if _columns.key(n) in called]
    if not wanted and len(filled) > 1 and len(named) == 1:
        filled = {named[0]: filled[named[0]]}
    if len(filled) != 1:
        if wanted:
            raise FileError(f"{what}: the sheet {wanted} of {path} is empty. A table was expected.")
        names = _checks.first(filled, 8) or "none"
        raise FileError(
            f"{what}: {path} has {counted(len(filled), 'sheet')} with cells ({names})."
            + (
                f" Say which: {path.name}#{next(iter(filled))}, say; or call one {what}."
                if filled
                else " A table was expected."
            )
        )
    name, rows = next(iter(filled.items()))
    _refuse_cells(raw, sheets[name], path, what)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return name, text.getvalue()


def _known(wanted: str, names: list[str], path: Path, what: str) -> None:
    if wanted not in names:
        raise FileError(f"{what}: {path} has no sheet {wanted}; it has {_checks.first(names, 8)}.")


def _rows(sheet: Any) -> list[list[str]]:
    """Cells of a sheet as texts, without the columns and rows that are blank at its beginning and end."""
    sheet.reset_dimensions()  # what the file says of them may be wrong
    rows = [[_cell(c) for c in row] for row in sheet.iter_rows()]
    while rows and not any(rows[-1]):
        rows.pop()
    first = next((k for k, row in enumerate(rows) if any(row)), 0)
    rows = rows[first:]
    width = max((len(row) for row in rows), default=0)
    left = min((next(j for j, c in enumerate(row) if c) for row in rows if any(row)), default=0)
    return [row[left:] + [""] * (width - len(row)) for row in rows]


def _cell(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d}" if value.time() == dt.time() else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and value != value:
        return ""
    if "%" in _QUOTED.sub("", cell.number_format or ""):
        return f"{number_text(value, 2)}%"
    return number_text(value)


def number_text(value: float, shift: int = 0) -> str:
    """A number times a power of ten, exactly and without a decimal mark: 1.5 is 15e-1."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, digits = mantissa.partition(".")
    power = int(exponent or 0) - len(digits) + shift
    return f"{int(whole + digits)}e{power}" if power else str(int(whole + digits))


def _refuse_cells(raw: bytes, sheet: Any, path: Path, what: str) -> None:
    """Raise ``FileError`` where cells do not hold what they seem to.

    Formulas without a value, as programs write that compute nothing; and merged cells, which show the number
    or day that is in the first alone. Texts may be: a header of two rows, or a title. So may a number or day
    with a row for itself, such as that of a report.
    """
    place = getattr(sheet, "_worksheet_path", "")
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        if place not in archive.namelist():
            return
        cells = archive.read(place)
    ranges = dict(_MERGED.findall(cells))
    for held in _NUMBER.finditer(cells) if ranges else ():
        if held.group(1) in ranges and not _alone(cells, held.group(1), ranges[held.group(1)]):
            raise FileError(
                f"{what}: {path} has merged cells, first {ranges[held.group(1)].decode()} of the sheet"
                f" {sheet.title}: only the first holds what all of them show. Unmerge them and fill each."
            )
    found = _NOT_COMPUTED.search(cells)
    if found is not None:
        raise FileError(
            f"{what}: {path} has formulas without their values, first in cell {found.group(1).decode()} of"
            f" the sheet {sheet.title}. Open it in Excel and save it."
        )


def _alone(cells: bytes, first: bytes, merged: bytes) -> bool:
    """Whether merged cells are in one row, which holds nothing else."""
    row = first.lstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    filled = re.findall(
        rb'<c [^>]*?r="[A-Z]+%b"[^>]*(?<!/)>(?:(?!</c>).)*?<(?:v|is)>' % row, cells, re.DOTALL
    )
    return len(filled) == 1 and re.findall(rb"[0-9]+", merged) == [row, row]
