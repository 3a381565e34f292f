"""Atomic files: published whole or not at all; an older file survives any failure."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from unicodedata import category

import numpy as np
import pandas as pd

from bdfm import _endings
from bdfm._checks import address, in_home, no_file, path_of, refuse_formulas
from bdfm.errors import FileError

# Windows has no locks of folders: there each run takes care of itself.
fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN: Final = 500  # characters of a path in a message
_UNSHOWN = ("Cc", "Zl", "Zp")  # categories of characters: control characters and ends of lines
# Without width, or turning what follows; not those that join letters.
_INVISIBLE = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_YOUNG: Final = 60.0  # seconds in which a file that is just made may not be locked yet


def write_error(path: Path, error: OSError) -> FileError:
    """What an error of the system while writing means to a user, and what to do."""
    reason = error.strerror or str(error)
    if error.errno in FULL:
        remedy = "the disk is full. Free some space, or write to another disk"
    elif error.errno in _FORBIDDEN:
        remedy = "no permission to write there. Choose a folder that you may write to"
    elif error.errno == errno.ENOENT and not os.path.isdir(path.parent):
        remedy = f"the folder {path.parent} does not exist. Create it first"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        remedy = "a file stands where a folder was expected. Choose another path"
    elif error.errno == errno.ENAMETOOLONG:
        remedy = "the name is longer than a file's can be. Choose a shorter one"
    elif error.errno == errno.EISDIR:
        remedy = "this is a folder. Give the name of a file"
    else:
        remedy = "it could not be written. Choose another path"
    shown = str(path) if len(str(path)) <= _SHOWN else f"{str(path)[:_SHOWN]}..."
    return FileError(f"{shown}: {remedy}; older files were left as they were ({reason}).")


def nameable(path: Path) -> None:
    """Raise ``FileError`` for a path that leads nowhere, or a new name that no list of files shows right."""
    new = "".join(p.name for p in (path, *path.parents) if not os.path.lexists(p))
    odd = next((c for c in new if category(c) in _UNSHOWN or c in _INVISIBLE), None)
    if odd is not None:
        raise FileError(
            f"{str(path)!a}: the character {odd!a} is no part of a name. Leave it out: it may have been"
            " copied along."
        )
    if (home := in_home(path)) is not None:
        raise FileError(f"{path}: ~ is a sign of the shell, and no name here. Write {home}.")
    told = address(path, done="written to", instead="Give a path.")
    if told and not os.path.lexists(path):
        raise FileError(told)
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileError(
                f"{path}: links that lead to each other in a circle. Choose another path, or remove one."
            ) from error
    except ValueError as error:  # half of a pair of surrogates
        raise FileError(f"{str(path)!a}: no name that a file can have. Choose another one.") from error


class TakenError(FileError):
    """A name that was to be free has a file."""


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """One process after the other in a folder, within."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes | memoryview, *, anew: bool = False) -> None:
    """Write a file whole or not at all, replacing an older one of that name.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name in one
    step; inside ``together``, in one step with others. A symbolic link is followed. What a killed write of
    the same file has left is removed.

    Raises
    ------
    FileError
        The folder is missing or not writable, or the disk is full; an older file is intact. With ``anew``,
        a file of that name is there, even one that another process has just written.
    """
    path = path_of(path)
    nameable(path)
    target = path.resolve()
    temporary = target.with_name(f"{_hidden(target)}{secrets.token_hex(4)}.tmp")
    waiting = _waiting.get()
    replaceable(target, bytes(data[:32]))
    try:
        _remove_killed(target)
        with open(temporary, "xb") as file:
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if waiting is not None:
            waiting.append((temporary, target))
            return
        if anew or _anew.get():
            _take_free_name(temporary, target)
        else:
            os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise write_error(path, error) from error
        raise
    with suppress(OSError):  # some file systems cannot sync a folder; the file itself is safe
        sync(target.parent)


def replaceable(target: Path, begins: bytes = b"") -> None:
    """Raise where something stands that no file may replace: a folder, a pipe, a device, a file of a user.

    ``begins``: first bytes of what is to take the name. A form that this package writes replaces its like,
    and has a name that says nothing else.
    """
    if kind := no_file(target):
        raise FileError(f"{target}: this is {kind}. Give the name of a file.")
    form = _endings.form_of(begins)
    if begins:
        _endings.check(target, _endings.kinds_of(form))
    if form is None or not os.path.isfile(target):
        return
    there = b""
    with suppress(OSError), open(target, "rb") as file:
        there = file.read(len(form)).lower()
    if there and there != form:
        raise FileError(
            f"{target}: holds something else than what is to be written, and is left as it is. Give another"
            " name, or remove it."
        )


def _take_free_name(temporary: Path, target: Path) -> None:
    """Give a file a name that no file has; ``TakenError`` where one has it."""
    with in_turn(target.parent):  # a hard link could be refused too, but leaves two names if it is killed
        if os.path.lexists(target):
            raise TakenError(f"{target}: is there already, and is not written over. Give another name.")
        os.replace(temporary, target)


_waiting: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("_waiting", default=None)


_anew: ContextVar[bool] = ContextVar("_anew", default=False)


@contextmanager
def together() -> Iterator[None]:
    """Files written inside appear together when the block ends without error, or none of them does.

    Raises ``FileError`` on leaving where one cannot take its name; older files of all names are back then.
    """
    waiting: list[tuple[Path, Path]] = []
    token = _waiting.set(waiting)
    try:
        yield
        take_names(waiting)
    except OSError as error:
        if isinstance(error, FileError) or not waiting:
            raise
        raise write_error(waiting[0][1], error) from error
    finally:
        _waiting.reset(token)
        _unlink(temporary for temporary, _ in waiting)


def take_names(
    moves: Sequence[tuple[Path, Path]],
    *,
    removed: Sequence[Path] = (),
    kept: Path | None = None,
    before_rollback: Callable[[], object] = lambda: None,
) -> None:
    """Give all files their names and remove others, or neither: an error midway brings the older files back.

    Older files are kept in a folder meanwhile, or each beside itself.
    """
    done: list[tuple[Path, Path | None]] = []
    olds: list[Path] = []  # what is kept meanwhile, told before it is made
    steps: list[tuple[Path | None, Path]] = [*moves, *((None, target) for target in removed)]
    try:
        for number, (source, target) in enumerate(steps):
            old = None
            if os.path.lexists(target):
                replaceable(target)
                own = target.with_name(f"{_hidden(target)}{secrets.token_hex(4)}.tmp")
                old = own if kept is None else kept / f"{number}"
                olds.append(old)
                _second_name(target, old)
            done.append((target, old))
            if source is None:
                target.unlink(missing_ok=True)
            else:
                os.replace(source, target)
    except BaseException:
        before_rollback()
        for target, old in reversed(done):
            with suppress(OSError):
                if old is None:
                    target.unlink(missing_ok=True)
                else:
                    os.replace(old, target)
                    old.unlink(missing_ok=True)  # there still, where both were one file
        _unlink(old for old in olds if old not in {x for _, x in done})
        raise
    _unlink(olds)


def _unlink(paths: Iterable[Path]) -> None:
    """Remove all files that are there, also where a signal comes in between, which goes on afterwards."""
    left = list(paths)
    try:
        for path in left:
            with suppress(OSError):
                path.unlink(missing_ok=True)
    except BaseException:
        for path in left:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        raise


def _second_name(file: Path, name: Path) -> None:
    try:
        os.link(file, name, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(file, name, follow_symlinks=False)


def check_target(path: str | Path, kinds: Sequence[str] | None = None) -> None:
    """Raise ``FileError`` where a file, of these kinds, could not be written; the try leaves nothing."""
    path = path_of(path)
    nameable(path)
    target = path.resolve()
    replaceable(target)
    if kinds is not None:
        _endings.check(path, kinds)
    # Named before it is made: a signal may come in between, and what is made is removed then.
    temporary = target.with_name(f"{_hidden(target)}{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.touch(mode=0o600, exist_ok=False)
        finally:
            _unlink([temporary])
    except OSError as error:
        raise write_error(path, error) from error


def _hidden(target: Path) -> str:
    """Beginning of the names of temporary files of a target."""
    return f".{target.name[:60]}."


def _remove_killed(target: Path) -> None:
    """Remove temporary files of a target whose process has ended: older ones that nothing locks."""
    if fcntl is None:
        return
    begin = _hidden(target)
    with os.scandir(target.parent) as entries:
        left = [e.path for e in entries if e.name.startswith(begin) and e.name.endswith(".tmp")]
    for path in left:
        if len(path) != len(str(target.parent / begin)) + len("01234567.tmp"):
            continue
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if time.time() - os.fstat(file.fileno()).st_mtime > _YOUNG:
                os.unlink(path)


def write_text(path: str | Path, text: str, *, anew: bool = False) -> None:
    """Write a UTF-8 text file whole or not at all; errors as in ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"), anew=anew)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, whole or not at all; errors as in ``write_bytes``.

    Raises ``DataError`` for a label or a text that a spreadsheet would compute.
    """
    texts = table.select_dtypes(exclude="number")
    labels = [x for axis in (table.index, table.columns) for level in axis for x in np.atleast_1d(level)]
    refuse_formulas(
        (x for x in (*labels, *texts.to_numpy().ravel()) if isinstance(x, str)), where=Path(path).name
    )
    write_text(path, table.to_csv())


def next_to(path: str | Path) -> Path:
    """First free name beside a file: ``a_1.nc`` for ``a.nc``, then ``a_2.nc``."""
    path = path_of(path)
    stem, dash, number = path.stem.rpartition("_")
    if not dash or not number.isdecimal():
        stem, number = path.stem, "0"
    count = int(number) + 1
    while os.path.exists(found := path.with_name(f"{stem}_{count}{path.suffix}")):
        count += 1
    return found


def write_beside(path: Path, write: Callable[[Path], Path]) -> Path:
    """Let a file be written under the first free name beside another, even where others do the same."""
    token = _anew.set(True)
    try:
        while True:
            with suppress(TakenError):
                return write(next_to(path))
    finally:
        _anew.reset(token)
