"""TOML that people write: a text to a table, and one error for all that it cannot be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bdfm import _checks
from bdfm._reading import STATEMENT, short
from bdfm.errors import BdfmError, DataError


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
        raise kind(f"{where}: not valid TOML: {short(error, STATEMENT).rstrip('.')}.") from error
    except RecursionError:
        raise kind(f"{where}: not valid TOML: its brackets are nested too deeply.") from None
