"""TOML that people write: a text to a table, and one error for all that it cannot be."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from bdfm import _checks
from bdfm._reading import STATEMENT, short
from bdfm.errors import BdfmError, DataError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")  # a name that needs no quotes
_NAMES: Final = re.compile(r""" *"[^"]*" *| *'[^']*' *|[^.]+""")  # of a key such as limits."GICS Sector".Oil
_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")


def key(name: str) -> str:
    """Name as a key of TOML: in quotes where it has other signs than a bare key may have."""
    if _BARE.fullmatch(name):
        return name
    return f'"{name}"' if '"' not in name and "\\" not in name else f"'{name}'"


def _advice(text: str, error: str) -> str:
    """What to do about a line that is no TOML, with a space before it; blank where this cannot tell."""
    place = _PLACE.search(error)
    lines = text.split("\n")
    if place is None or int(place[1]) > len(lines):
        return ""
    line, column = lines[int(place[1]) - 1], int(place[2]) - 1
    name, is_pair, value = line.partition("=")
    if is_pair and "\\" in value:
        return f" A path with \\ stands in single quotes: '{short(value.strip(' "').rstrip(chr(39)))}'."
    if "Invalid value" in error:
        found = re.match(r"[^\s,\]}#\"']+", line[column:])
        word = found[0] if found else ""
        if word.lower() in ("true", "false"):
            return f" Write {word.lower()}."
        if re.match(r"[+-]?\.?\d", word):
            return " A number is written such as 0.5."
        return f' A text stands in quotes: "{short(word)}".' if word else " A value is missing."
    if re.match(r"\s*,\s*\d", line[column:]):
        return " Numbers have a decimal point."
    header = line.strip().startswith("[")
    if not is_pair and not header:
        return " A line is NAME = VALUE, or the name of a table in brackets."
    names = [n.strip() for n in _NAMES.findall(name.strip(" []"))]
    odd = next((n for n in names if n[:1] not in ("", "'", '"') and not _BARE.fullmatch(n)), "")
    if not odd or set(odd) & {'"', "'"}:  # which of its quotes is meant, nothing says
        return ""
    written = key(short(odd)) if header else f"{key(short(odd))} = ..."
    return f" A name with other signs than A to Z, digits, _ and - stands in quotes: {written}."


def source_text(source: str | Path, *, what: str) -> tuple[str, str]:
    """What a source is called in messages, and its text: a path's, also one that is a text, or itself."""
    if isinstance(source, Path) or (source.endswith(".toml") and "\n" not in source):
        return str(source), _checks.existing_text(Path(source), what=what)
    return what, source


def parsed(text: str, *, where: str, kind: type[BdfmError] = DataError) -> dict[str, Any]:
    """Table of a TOML text; ``kind`` of error where it is none, or nested too deeply."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # the latter for numbers and dates that are none
        told = short(error, STATEMENT).rstrip(".")
        raise kind(f"{where}: not valid TOML: {told}.{_advice(text, str(error))}") from error
    except RecursionError:
        raise kind(f"{where}: not valid TOML: its brackets are nested too deeply.") from None
