"""Every table of the report as an Excel workbook, one sheet each; names are texts, whatever they are."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from bdfm import _files
from bdfm._optional import optional
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import Decision
from bdfm.report.briefing import Briefing, conviction

_SHEET: Final = 31  # letters of a sheet's name that Excel takes
_CELL: Final = 32_767  # and of a text
_NOT_IN_SHEETS: Final = re.compile(r"[\[\]:*?/\\']")
_NOT_IN_CELLS: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")  # openpyxl refuses them
_CLOCK: Final = re.compile(rb">\d{4}-\d\d-\d\dT[\d:]+Z<")


def workbook_tables(forecast: Forecast, found: Briefing) -> dict[str, pd.DataFrame]:
    """All tables of a report by title: the briefing's, the forecast, its changes and its risk."""
    summary = forecast.summary()
    tables = {
        "In five lines": pd.DataFrame({"line": [*found.lines, *found.happened]}),
        "Forecast": summary.assign(conviction=conviction(summary)),
        **found.tables,
    }
    if forecast.records:
        tables["Views and edits"] = forecast.history().drop(columns="parameters")
        effects = forecast.effects()
        if len(effects):
            tables["Effects of views and edits"] = effects
    decision = Decision.of(forecast)
    if decision is not None:
        tables["Risk"] = decision.risk.table.rename_axis("measure")
        tables["Contributions to risk"] = decision.risk.contributions
    return tables


def write_workbook(tables: Mapping[str, pd.DataFrame], path: str | Path) -> Path:
    """Write tables to an Excel file, whole or not at all; returns its path.

    Raises
    ------
    MissingDependencyError
        openpyxl is not installed.
    FileError
        The file cannot be written.
    """
    book = optional("openpyxl", what="report --excel").Workbook()
    book.remove(book.active)
    used: set[str] = set()
    for title, table in tables.items():
        sheet = book.create_sheet(_sheet_name(title, used))
        named = table.index.name is not None
        whole = table.reset_index() if named else table
        _write_row(sheet, 1, [str(c) for c in whole.columns])
        for k, row in enumerate(whole.to_numpy(dtype=object), 2):
            _write_row(sheet, k, row)
        sheet.freeze_panes = "B2" if named else "A2"
        for letter in "AB":
            sheet.column_dimensions[letter].width = 28
    content = io.BytesIO()
    book.save(content)
    _files.write_bytes(path, _without_clocks(content))
    return Path(path)


def _without_clocks(book: io.BytesIO) -> bytes:
    """The same workbook without the time at which it was made: equal tables give equal bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(book) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            content = old.read(part)
            if part.filename == "docProps/core.xml":
                content = _CLOCK.sub(b">1980-01-01T00:00:00Z<", content)
            new.writestr(zipfile.ZipInfo(part.filename), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def _write_row(sheet: Any, row: int, values: Any) -> None:
    for column, value in enumerate(values, 1):
        if value is None or value != value:
            continue
        own = value.item() if hasattr(value, "item") else value
        number = isinstance(own, int | float | bool)
        cell = sheet.cell(row, column, own if number else None)
        if not number:
            cell.value = _NOT_IN_CELLS.sub("", str(own))[:_CELL]
            cell.data_type = "s"  # else a text that begins with = is computed by whoever opens the file


def _sheet_name(title: str, used: set[str]) -> str:
    """Name that Excel takes, not yet used."""
    plain = _NOT_IN_SHEETS.sub(" ", title).strip() or "table"
    name, k = plain[:_SHEET], 1
    while name.lower() in used:
        k += 1
        name = f"{plain[: _SHEET - len(str(k)) - 1]} {k}"
    used.add(name.lower())
    return name
