"""Which files of a folder of results a command made there, so that its next run leaves none behind."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from hashlib import file_digest
from pathlib import Path, PurePosixPath
from typing import Any, Final

from bdfm import _checks, _json
from bdfm.errors import FileError
from bdfm.names import SUMMARY_FILE

_LONGEST: Final = 4_000_000  # bytes of a record that is read; one of a thousand files has a hundred thousand
RECORD: Final = ".bdfm.json"  # in the folder: SHA-256 by file, by the command that made it
# Every run of a command writes the same ones, so that none is left behind; they hold clocks, and a record
# with their digests would differ from run to run: it has their names alone.
_CLOCKS: Final = ".json"
_NAME_ALONE: Final = ""
# What each command writes of what others write too, whatever it is asked for: known before it works, and of
# folders whose record does not name it.
_SHARED: Final = {
    "month": (SUMMARY_FILE,),
    "risk": (SUMMARY_FILE, "risk.csv"),
    "exposures": (SUMMARY_FILE,),
    "stress": ("risk.csv",),
}
_CALLED: Final = {"month": "a forecast"}  # who makes results, where that is not the command's name

Made = dict[str, dict[str, str]]


def inside(folder: Path, name: object) -> Path | None:
    """File of a folder by a name that stands in a file; None where that leads elsewhere, or to no file."""
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        return None
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        return None
    path = folder / parts
    try:
        own = path.parent.resolve().is_relative_to(folder.resolve())
        return path if own and path.is_file() and not path.is_symlink() else None
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links that lead in a circle
        return None


def digest(path: Path) -> str | None:
    """SHA-256 of a file; None where there is none that can be read: a pipe would keep its reader waiting."""
    try:
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return None


def _read(path: Path) -> dict[str, Any]:
    """Object of a JSON file; empty where there is none, none that can be understood, or one without end."""
    try:
        if not path.is_file():
            return {}
        with open(path, "rb") as file:
            content = file.read(_LONGEST + 1)
        return _json.table(content) if len(content) <= _LONGEST else {}
    except (OSError, ValueError):
        return {}


def listed(folder: Path) -> Made:
    """What the record of a folder says; nothing where there is none, or none that can be understood."""
    return {
        command: {name: x for name, x in files.items() if isinstance(x, str)}
        for command, files in _read(folder / RECORD).items()
        if isinstance(files, dict)
    }


def refuse_others(folder: Path, made_by: str, new: Collection[str] | None = None) -> None:
    """Raise ``FileError`` where a command would replace files that another one made.

    ``new``: names that it makes; by default those that are known before it works.
    """
    known = listed(folder)
    for other, files in sorted(known.items()):
        its = {*files, *_SHARED.get(other, ())} - {*known.get(made_by, ())} if other != made_by else set()
        given = _SHARED.get(made_by, ()) if new is None else new
        if taken := sorted(x for x in its.intersection(given) if os.path.lexists(folder / x)):
            raise FileError(
                f"{folder}: holds the results of {_CALLED.get(other, f'bdfm {other}')}, whose"
                f" {_checks.first(taken)} these would replace. Give another folder."
            )


def stale(folder: Path, made_by: str, new: Collection[str]) -> dict[str, str]:
    """Files, with their SHA-256, that a command made and does not make now, and that nobody has changed.

    Not those of which the record has the name alone.
    """
    before = listed(folder).get(made_by, {})
    return {name: known for name, known in before.items() if name not in new and _is(folder, name, known)}


def _is(folder: Path, name: str, known: object) -> bool:
    """Whether a file of a folder is there, and its bytes are those that are known."""
    path = inside(folder, name)
    return path is not None and digest(path) == known


def record(folder: Path, made_by: str, new: Mapping[str, Path]) -> str:
    """Text of the record once a command has made files (by their names in the folder).

    A file that is there already with the very bytes is not the command's, unless the record says so of these
    bytes: a run file beside which its results are written, which a user may have edited since it was made.
    """
    before = listed(folder)
    own = before.pop(made_by, {})
    made = {}
    for name, path in new.items():
        found = _NAME_ALONE if name.endswith(_CLOCKS) else digest(path)
        if found is not None and (own.get(name) == found or digest(folder / name) != found):
            made[name] = found
    others = {
        c: {k: x for k, x in files.items() if k not in new and os.path.lexists(folder / k)}
        for c, files in before.items()
    }
    return (
        json.dumps({c: x for c, x in {**others, made_by: made}.items() if x}, indent=1, sort_keys=True) + "\n"
    )


def remove(folder: Path, listing: Path) -> None:
    """Remove the files of a folder that a JSON file lists by ``stale``, unless one was changed since."""
    for name, known in _read(listing).items():
        if _is(folder, name, known):
            os.unlink(folder / name)
