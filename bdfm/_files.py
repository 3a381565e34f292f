"""Atomic files with a schema version: published whole or not at all; an older file survives any failure."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from unicodedata import category

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _endings
from bdfm._checks import address, existing_bytes, in_home, no_file, path_of, refuse_formulas
from bdfm._netcdf import kind_of, lacking, read_dataset, read_tree, written
from bdfm.errors import FileError

# Windows has no locks of folders: there each run takes care of itself.
fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

SCHEMA_VERSION: Final = 1  # raise it when an older release could misread a new file
KIND: Final = "bdfm_kind"
SCHEMA: Final = "bdfm_schema_version"

FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN: Final = 500  # characters of a path in a message
_UNSHOWN = ("Cc", "Zl", "Zp")  # categories of characters: control characters and ends of lines
# Without width, or turning what follows; not those that join letters.
_INVISIBLE = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE = b"PK\x03\x04"
_ATTRS = "attrs"  # name of the array that holds JSON values
_YOUNG: Final = 60.0  # seconds in which a file that is just made may not be locked yet
_SEAL = b"\nbdfm sha256 "  # and the digest of all before it; readers of HDF5 ignore what follows their data


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


def _kind_there(path: Path) -> str | None:
    """Kind of the NetCDF file of this package that has a name; None where there is none, or a broken one."""
    with suppress(Exception):  # whatever cannot be read has nothing to lose
        if path.is_file():
            return kind_of(_sealed_content(path), KIND)
    return None


def _refuse_other_kind(path: str | Path, kind: str) -> None:
    """Raise ``FileError`` where a file of another kind has the name that one of ``kind`` is to have."""
    there = _kind_there(path_of(path))
    if there is not None and there != kind:
        raise FileError(
            f"{path}: holds a {there}, and is left as it is: a {kind} was to be written. Give another"
            " name, or remove it."
        )


def _write_sealed(path: str | Path, data: bytes | memoryview) -> Path:
    # Made in memory first, since HDF5 cannot close a file on a full disk. Sealed, since HDF5 notices little
    # damage, and crashes on some.
    sealed = b"".join([data, _SEAL, sha256(data).hexdigest().encode()])
    if isinstance(data, memoryview):  # its buffer complains where an error keeps a view of it alive
        data.release()
    write_bytes(path, sealed)
    return Path(path)


def save_dataset(dataset: xr.Dataset, path: str | Path, *, kind: str, level: int = 1) -> Path:
    """Write a Dataset as NetCDF, atomically, compressed by zlib at ``level``; numbers keep their type.

    ``kind`` ("posterior", "forecast") and the schema version are stamped on it. Attributes must be strings,
    numbers or arrays of them. Returns the path; errors as in ``write_bytes``.
    """
    _refuse_other_kind(path, kind)
    stamped = dataset.assign_attrs({KIND: kind, SCHEMA: SCHEMA_VERSION})
    return _write_sealed(path, written({"/": stamped}, level))


def save_tree(tree: xr.DataTree, path: str | Path, *, kind: str, level: int = 1) -> Path:
    """Write a DataTree as NetCDF groups; otherwise as ``save_dataset``."""
    _refuse_other_kind(path, kind)
    stamped = tree.copy(deep=False)
    stamped.attrs = {**tree.attrs, KIND: kind, SCHEMA: SCHEMA_VERSION}
    groups = {node.path: node.to_dataset(inherit=node is stamped) for node in stamped.subtree}
    return _write_sealed(path, written(groups, level))


def _sealed_content(path: Path, signature: bytes = _HDF5_SIGNATURE) -> BytesIO:
    """Content of a file of ``_write_sealed``, which must be as it was written."""
    data = existing_bytes(path, what="file")
    if not data.startswith(signature):
        form = "NetCDF" if signature == _HDF5_SIGNATURE else "npz"
        raise FileError(f"{path}: not a file saved by bdfm (no {form} signature). Check the path.")
    content, seal, digest = data.rpartition(_SEAL)
    if not seal:
        raise FileError(f"{path}: cut off, or not saved by bdfm. Save it again, or use a copy.")
    if sha256(content).hexdigest().encode() != digest:
        raise FileError(f"{path}: the file is damaged. Save it again, or use a copy.")
    return BytesIO(content)


def _unstamped(attrs: dict[Any, Any], path: Path, kind: str) -> dict[Any, Any]:
    """Attributes without the stamp of this module, which must fit."""
    attrs = dict(attrs)
    found, version = attrs.pop(KIND, None), attrs.pop(SCHEMA, None)
    if isinstance(version, bool) or not isinstance(version, int | np.integer) or version < 1:
        raise FileError(f"{path}: its file schema is {version}, which no release writes. Use another copy.")
    if version > SCHEMA_VERSION:
        raise FileError(
            f"{path}: written by a newer bdfm (file schema {version}, this release reads up to"
            f" {SCHEMA_VERSION}). Upgrade bdfm."
        )
    if not isinstance(found, str) or found != kind:
        raise FileError(f"{path}: holds a {found}, a {kind} was expected. Check the path.")
    return attrs


@contextmanager
def _written_here(path: Path) -> Iterator[None]:
    """Tell of content that is sealed and whole, and yet none that this package writes."""
    try:
        yield
    except (ValueError, KeyError) as error:
        told = lacking(error) if isinstance(error, KeyError) else str(error)
        raise FileError(
            f"{path}: its content is none that bdfm writes ({told[:200]}). Use another copy, or make it anew."
        ) from error


def load_dataset(path: str | Path, *, kind: str) -> xr.Dataset:
    """Dataset of a file made by ``save_dataset``, wholly in memory, the file closed.

    Raises
    ------
    FileError
        The file is missing, damaged, of another kind, or written by a newer release.
    """
    path = path_of(path)
    with _written_here(path):
        dataset = read_dataset(_sealed_content(path))
    dataset.attrs = _unstamped(dataset.attrs, path, kind)
    return dataset


def load_tree(path: str | Path, *, kind: str) -> xr.DataTree:
    """DataTree of a file made by ``save_tree``; otherwise as ``load_dataset``."""
    path = path_of(path)
    with _written_here(path):
        tree = read_tree(_sealed_content(path))
    tree.attrs = _unstamped(tree.attrs, path, kind)
    return tree


def save_arrays(
    arrays: Mapping[str, NDArray[Any]], attrs: Mapping[str, Any], path: str | Path, *, kind: str
) -> Path:
    """Write arrays and JSON values as one ``.npz`` file, atomically: for many small ones, NetCDF is slow.

    Equal contents give equal bytes, and ``numpy.load`` reads it. Returns the path; errors as ``write_bytes``.
    """
    stamp = json.dumps({**attrs, KIND: kind, SCHEMA: SCHEMA_VERSION})
    data = BytesIO()
    np.savez_compressed(data, allow_pickle=False, **{_ATTRS: np.array(stamp), **arrays})
    return _write_sealed(path, data.getvalue())


def load_arrays(path: str | Path, *, kind: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and JSON values of a file of ``save_arrays``; errors as in ``load_dataset``."""
    path = path_of(path)
    with np.load(_sealed_content(path, _ZIP_SIGNATURE), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return arrays, _unstamped(json.loads(str(arrays.pop(_ATTRS))), path, kind)


def is_intact(path: str | Path) -> bool:
    """Whether a file of ``save_arrays`` is there, whole, and as it was written."""
    try:
        _sealed_content(path_of(path), _ZIP_SIGNATURE)
    except FileError:
        return False
    return True
