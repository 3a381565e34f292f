"""Rows of cells of a text: its separator, and what quotes make one cell of."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Final

from bdfm._reading import Reading, cut
from bdfm.errors import FileError

SEPARATORS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
_SAMPLE_CHARACTERS: Final = 400_000
Row = list[str]


def expected() -> str:
    """What was expected, for messages."""
    return "A table with columns separated by commas, semicolons or tabs was expected."


def separated(text: str, path: Path, what: str, reading: Reading, *, single: bool = False) -> tuple[str, str]:
    """Text without Excel's first line "sep=;", and the separator of its columns."""
    said = re.match(r"\s*\"?sep=(.)\"?\r?\n", text, re.I)
    if said:
        text = text[said.end() :]
    sign = said.group(1) if said else _separator(text)
    if not sign and not single:
        first = next((x.strip() for x in text.splitlines() if x.strip()), "")
        raise FileError(f"{what}: {path} has one column, {cut(first)}. {expected()}")
    reading.separator = "" if "Excel" in reading.container else SEPARATORS.get(sign, sign)
    return text, sign or ","


def _separator(text: str) -> str:
    """Separator by which most rows have the same number of cells; blank where there is none."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    start = text[: max(50_000, _first_lines(text, 4))]
    lines = start.splitlines()[: 1 if len(start) == len(text) and "\n" not in start.strip() else None]
    if len(start) < len(text) and len(lines) > 1:
        lines = lines[:-1]
    best, found = (0, 0), ""
    for sign in SEPARATORS:
        if sign not in start:
            continue
        try:
            counts = [
                len(row) for row in csv.reader(lines[:200], delimiter=sign) if any(c.strip() for c in row)
            ]
        except csv.Error:
            continue
        wide = [n for n in counts if n > 1]
        if not wide:
            continue
        usual = max(set(wide), key=lambda n: (wide.count(n), n))
        score = (wide.count(usual), usual)
        if score > best:
            best, found = score, sign
    return found


def rows_of(text: str, sign: str, path: Path, what: str, *, whole: bool = True) -> list[Row]:
    """Rows of cells of a text; ``FileError`` where a quote has no partner, unless the text is a beginning."""
    for strict in (True, False):
        try:
            return list(csv.reader(io.StringIO(text, newline=None), delimiter=sign, strict=strict and whole))
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise FileError(
                    f"{what}: {path} has a quote without its partner: the file is cut off, or a cell holds"
                    " a single"
                    ' ". Correct it.'
                ) from error
            if not strict or not whole:
                raise FileError(f"{what}: {path} is not a CSV table ({error}).") from error
    raise AssertionError  # one of the two returned or raised


def sample_of(text: str, sign: str, path: Path, what: str) -> tuple[list[Row], bool]:
    """First rows of a text, a row for each line or what quotes make of several; whether they are all."""
    whole = len(text) <= _SAMPLE_CHARACTERS
    start = text if whole else text[: max(_SAMPLE_CHARACTERS, _first_lines(text))]
    rows = [[c.strip() for c in row] for row in rows_of(start, sign, path, what, whole=False)]
    return (rows, True) if whole else (rows[:-1], False)


def _first_lines(text: str, n: int = 25) -> int:
    """Characters of the first lines of a table that is very wide."""
    place = 0
    for _ in range(n):
        found = text.find("\n", place)
        if found < 0:
            return len(text)
        place = found + 1
    return place


def trimmed(row: Row) -> Row:
    """Row without blank cells at its end."""
    n = len(row)
    while n and not row[n - 1].strip():
        n -= 1
    return row[:n]
