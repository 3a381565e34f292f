"""What was read of a file and how: the record that a table carries, and its one line."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import index
from pathlib import Path
from typing import Any, Final, SupportsFloat, SupportsIndex

from bdfm.errors import DataWarning

PACKAGE: Final = f"{Path(__file__).parent}{os.sep}"  # whose lines a warning is not about
READING: Final = "reading"  # key of DataFrame.attrs
LONGEST: Final = 60  # characters of a cell that a message repeats
STATEMENT: Final = 200  # of what a person writes to be understood: a view, an edit, a shock

_KINDS: Final = {  # of rows that are dropped, as told of one and of several
    "title": "row above the header",
    "blank": "blank row",
    "header": "repeated header row",
    "text": "row of text",
    "footer": "footer row",
    "block": "row of later blocks",
    "double": "row given twice",
}


def cut(text: object, longest: int = LONGEST) -> str:
    """Text of a cell in quotes, cut where it is long."""
    given = str(text)
    shown = longest
    while shown > 1 and len(repr(given[:shown])) > 2 * longest:  # signs that are written by their codes
        shown //= 2
    whole = repr(given[:shown])
    return whole if len(given) <= shown else f"{whole}... ({len(given)} characters)"


def quoted(text: object) -> str:
    """What a person wrote to be understood, a view say, in quotes, cut where it is very long."""
    return cut(text, STATEMENT)


def short(label: object, longest: int = LONGEST) -> str:
    """Label as a message names it: in quotes where it is blank, cut where it is long."""
    text = str(label)
    if not text.strip():
        return cut(text)
    return text if len(text) <= longest else f"{text[:longest]}... ({len(text)} characters)"


def title(name: Any) -> Any:
    """Name of an asset as it is shown: without what is invisible, breaks a line or turns its direction.

    Nothing meets by it, so that what came from a page or a sheet is mended and not refused. What is no text
    comes back as it is.
    """
    if not isinstance(name, str):
        return name
    return " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split())


@dataclass
class Reading:
    """How a file was read; filled while it is.

    Attributes
    ----------
    file
        Its name.
    container, encoding
        What it was packed in, and how its text was coded, where that is not UTF-8.
    separator, decimal_mark
        Of a text file; the mark only where it is the comma.
    dates, layout, column
        Form of the dates; wide, long or another; the price column that was taken, where there was a choice.
    rows_dropped
        Kind of row to their number.
    codes
        Code for missing to the cells that held it.
    notes
        What else a reader of the file did.
    warned
        Those of the notes that change what the table says. Whoever reads a file is told of all notes; of a
        table given in Python there is a warning of these.
    """

    file: str = ""
    container: str = ""
    encoding: str = ""
    separator: str = ""
    decimal_mark: str = ""
    dates: str = ""
    layout: str = ""
    column: str = ""
    rows_dropped: dict[str, int] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)

    def drop(self, kind: str, n: int = 1) -> None:
        """Count dropped rows of a kind."""
        if n:
            self.rows_dropped[kind] = self.rows_dropped.get(kind, 0) + n

    def note(self, text: str) -> None:
        """Keep a remark, once."""
        if text not in self.notes:
            self.notes.append(text)

    def warn(self, text: str) -> None:
        """Keep a remark of which tables given in Python warn."""
        self.note(text)
        if text not in self.warned:
            self.warned.append(text)

    def to_dict(self) -> dict[str, Any]:
        """Record of what is set, of texts, numbers and lists."""
        return {k: v for k, v in asdict(self).items() if v and k != "warned"}

    def tell(self, where: str) -> None:
        """Warn (``DataWarning``) of what was left out of a table given in Python, or put together."""
        gone = [f"{counted(n, _KINDS[kind])} left out" for kind, n in self.rows_dropped.items()]
        for text in (*gone, *self.warned):
            warnings.warn(f"{where}: {text}.", DataWarning, skip_file_prefixes=(PACKAGE,))


def line_of(record: Mapping[str, Any]) -> str:
    """One line about a record of ``Reading.to_dict``: form first, then what was dropped or replaced."""
    form = [
        record.get("container", ""),
        record.get("encoding", ""),
        record.get("separator", ""),
        f"decimal {record['decimal_mark']}" if record.get("decimal_mark") else "",
        f"dates {record['dates']}" if record.get("dates") else "",
        record.get("layout", ""),
        record.get("column", ""),
    ]
    done = [f"{counted(n, _KINDS[kind])} dropped" for kind, n in record.get("rows_dropped", {}).items()]
    codes = record.get("codes", {})
    if codes:
        n = sum(codes.values())
        done.append(f"{counted(n, 'cell')} of {', '.join(codes)} taken as missing")
    told = ", ".join(x for x in form if x)
    return f"{record.get('file', 'table')}: " + "; ".join(
        [x for x in [told, *done, *record.get("notes", [])] if x]
    )


_HEAD: Final = re.compile(r"^(.*?)((?: (?:of|above|given|in|with|that|from) .*)?)$")


def counted(n: SupportsIndex | SupportsFloat, noun: str, plural: str = "") -> str:
    """Number with its noun: 1 origin, 2 origins; ``plural`` where more than an ending differs.

    A whole number may come as a float; ``TypeError`` for one that is none.
    """
    if not isinstance(n, SupportsIndex) and not float(n).is_integer():
        raise TypeError(f"a whole number of {noun} was expected, got {n!r}")
    number = index(n) if isinstance(n, SupportsIndex) else int(float(n))
    return f"{number:,} {noun if number == 1 else plural or _plural(noun)}"


def _plural(noun: str) -> str:
    """Noun in the plural, of which further words after its first noun stay: rows above the header."""
    found = _HEAD.match(noun)
    head, rest = found.groups() if found else (noun, "")
    if re.search(r"(?:^| )(?:series|species|means)$", head):
        return noun
    for ending, many in ((r"(?<=[^aeiou])y$", "ies"), (r"(?<=[sx])is$", "es")):  # a basis, an analysis
        if re.search(ending, head):
            return f"{re.sub(ending, many, head)}{rest}"
    return f"{head}{'es' if re.search(r'(?:s|x|ch|sh)$', head) else 's'}{rest}"
