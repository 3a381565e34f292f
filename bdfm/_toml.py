"""TOML that people write: a file or a text to a table, and one error for all that it cannot be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from bdfm import _checks
from bdfm._reading import short
from bdfm.errors import BdfmError, DataError, FileError


def text_of(path: Path, *, what: str, kind: type[BdfmError] = DataError) -> str:
    """Text of a TOML file, which is UTF-8; ``kind`` of error where it is in another coding."""
    _checks.existing_file(path, what=what)
    try:
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise FileError(
            f"{what}: {path} cannot be read ({error.strerror}). Check its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise kind(
            f"{path}: not valid TOML: byte {error.start + 1} is not UTF-8. Save the file as UTF-8."
        ) from error


def parsed(text: str, *, where: str, kind: type[BdfmError] = DataError) -> dict[str, Any]:
    """Table of a TOML text; ``kind`` of error where it is none, or nested too deeply."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # the latter for numbers and dates that are none
        raise kind(f"{where}: not valid TOML: {short(error).rstrip('.')}.") from error
    except RecursionError:
        raise kind(f"{where}: not valid TOML: its brackets are nested too deeply.") from None
