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
        said = f"{where}: not valid TOML: {short(error, STATEMENT).rstrip('.')}."
        raise kind(said + _hint(text, str(error))) from error
    except RecursionError:
        raise kind(f"{where}: not valid TOML: its brackets are nested too deeply.") from None


def _hint(text: str, error: str) -> str:
    """What people most often mean by the line at which a parser stops; blank where it is something else."""
    at = re.search(r"at line (\d+)", error)
    lines = text.splitlines()
    if at is None or int(at[1]) > len(lines):
        return ""
    line = lines[int(at[1]) - 1].strip()
    key, equals, value = (x.strip() for x in line.partition("="))
    value = value.partition("#")[0].strip()
    names = _NAMES.findall(key.strip("[] ")) if equals or line.startswith("[") else []
    odd = next(
        (n.strip() for n in names if n.strip()[:1] not in "'\"" and not _BARE.fullmatch(n.strip())), ""
    )
    if odd:
        return f' A name with other signs than a to z, digits, - and _ stands in quotes: "{odd}".'
    if re.fullmatch(r"[+-]?\d+,\d+", value):
        return f" Decimals have a point: {key} = {value.replace(',', '.')}."
    if equals and "\\" in value:
        bare = value.strip("\"'")
        return f" A path with \\ stands in single quotes: {key} = '{bare}'."
    if re.fullmatch(r"[^\W\d_][^\"'\[\]{}]*|\d+([./])\d+\1\d+", value):
        return f' A text stands in quotes: {key} = "{value}".'
    return ""
