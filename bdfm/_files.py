"""Atomic files with a schema version: published whole or not at all; an older file survives any failure."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm._checks import existing_file
from bdfm.errors import FileError

# Windows has no locks of folders: there each run takes care of itself.
fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None

SCHEMA_VERSION: Final = 1  # raise it when an older release could misread a new file
KIND: Final = "bdfm_kind"
SCHEMA: Final = "bdfm_schema_version"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE = b"PK\x03\x04"
_ATTRS = "attrs"  # name of the array that holds JSON values
_STAGED: Final = ".bdfm-"  # beginning of the names of hidden folders in which results are made
_YOUNG: Final = 60.0  # seconds in which a file that is just made may not be locked yet
_SEAL = b"\nbdfm sha256 "  # and the digest of all before it; readers of HDF5 ignore what follows their data


def write_error(path: Path, error: OSError) -> FileError:
    """What an error of the system while writing means to a user, and what to do."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        remedy = "the disk is full. Free some space, or write to another disk"
    elif error.errno in _FORBIDDEN:
        remedy = "no permission to write there. Choose a folder that you may write to"
    elif error.errno == errno.ENOENT and not path.parent.is_dir():
        remedy = f"the folder {path.parent} does not exist. Create it first"
    elif error.errno in (errno.ENOTDIR, errno.EEXIST):
        remedy = "a file stands where a folder was expected. Choose another path"
    elif error.errno == errno.EISDIR:
        remedy = "this is a folder. Give the name of a file"
    else:
        remedy = "it could not be written. Choose another path"
    return FileError(f"{path}: {remedy}; older files were left as they were ({reason}).")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all, replacing an older one of that name.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name in one
    step. A symbolic link is followed. What a killed write of the same file has left is removed.

    Raises
    ------
    FileError
        The folder is missing or not writable, or the disk is full; an older file is intact.
    """
    path = Path(path)
    target = path.resolve()
    temporary = target.with_name(f"{_hidden(target)}{secrets.token_hex(4)}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _remove_killed(target)
        with open(temporary, "xb") as file:
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise write_error(path, error) from error
        raise
    with suppress(OSError):  # some file systems cannot sync a folder; the file itself is safe
        _sync(target.parent)


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


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all; errors as in ``write_bytes``."""
    write_bytes(path, text.encode("utf-8"))


def next_to(path: str | Path) -> Path:
    """First free name beside a file: ``a_1.nc`` for ``a.nc``, then ``a_2.nc``."""
    path = Path(path)
    stem, dash, number = path.stem.rpartition("_")
    if not dash or not number.isdecimal():
        stem, number = path.stem, "0"
    count = int(number) + 1
    while (found := path.with_name(f"{stem}_{count}{path.suffix}")).exists():
        count += 1
    return found


def _encoding(dataset: xr.Dataset, level: int) -> dict[str, dict[str, Any]]:
    # Strings and scalars cannot be compressed.
    options = {"zlib": True, "complevel": level, "shuffle": True}
    return {
        str(name): dict(options)
        for name, variable in dataset.variables.items()
        if variable.ndim and variable.size and variable.dtype.kind in "biufmM"
    }


@contextmanager
def _without_a_scheduler() -> Iterator[None]:
    """No import of ``distributed`` within.

    Before it writes, xarray asks Dask for a scheduler, and Dask imports ``distributed``, if it is there, to
    see whether one runs: more than half a second. Where nothing has imported it, none does; and what is
    written here is in memory.
    """
    name = "distributed"
    absent = name not in sys.modules
    if absent:
        sys.modules[name] = None  # type: ignore[assignment]  # its import raises ImportError, as if not there
    try:
        yield
    finally:
        if absent:
            sys.modules.pop(name, None)


def _write_sealed(path: str | Path, data: bytes | memoryview) -> Path:
    # Made in memory first, since HDF5 cannot close a file on a full disk. Sealed, since HDF5 notices little
    # damage, and crashes on some.
    write_bytes(path, b"".join([data, _SEAL, sha256(data).hexdigest().encode()]))
    return Path(path)


def save_dataset(dataset: xr.Dataset, path: str | Path, *, kind: str, level: int = 1) -> Path:
    """Write a Dataset as NetCDF, atomically, compressed by zlib at ``level``; numbers keep their type.

    ``kind`` ("posterior", "forecast") and the schema version are stamped on it. Attributes must be strings,
    numbers or arrays of them. Returns the path; errors as in ``write_bytes``.
    """
    stamped = dataset.assign_attrs({KIND: kind, SCHEMA: SCHEMA_VERSION})
    with _without_a_scheduler():
        content = stamped.to_netcdf(engine="h5netcdf", encoding=_encoding(stamped, level))
    return _write_sealed(path, content)


def save_tree(tree: xr.DataTree, path: str | Path, *, kind: str, level: int = 1) -> Path:
    """Write a DataTree as NetCDF groups; otherwise as ``save_dataset``."""
    stamped = tree.copy(deep=False)
    stamped.attrs = {**tree.attrs, KIND: kind, SCHEMA: SCHEMA_VERSION}
    encoding = {node.path: _encoding(node.to_dataset(inherit=False), level) for node in stamped.subtree}
    with _without_a_scheduler():
        content = stamped.to_netcdf(engine="h5netcdf", encoding=encoding)
    return _write_sealed(path, content)


def _sealed_content(path: Path, signature: bytes = _HDF5_SIGNATURE) -> BytesIO:
    """Content of a file of ``_write_sealed``, which must be as it was written."""
    existing_file(path, what="file")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
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
    found, version = attrs.pop(KIND), attrs.pop(SCHEMA)
    if isinstance(version, bool) or not isinstance(version, int | np.integer) or version < 1:
        raise FileError(f"{path}: its file schema is {version}, which no release writes. Use another copy.")
    if version > SCHEMA_VERSION:
        raise FileError(
            f"{path}: written by a newer bdfm (file schema {version}, this release reads up to"
            f" {SCHEMA_VERSION}). Upgrade bdfm."
        )
    if found != kind:
        raise FileError(f"{path}: holds a {found}, a {kind} was expected. Check the path.")
    return attrs


def load_dataset(path: str | Path, *, kind: str) -> xr.Dataset:
    """Dataset of a file made by ``save_dataset``, wholly in memory, the file closed.

    Raises
    ------
    FileError
        The file is missing, damaged, of another kind, or written by a newer release.
    """
    path = Path(path)
    with xr.open_dataset(_sealed_content(path), engine="h5netcdf") as stored:
        attrs = _unstamped(stored.attrs, path, kind)
        dataset = stored.load().drop_encoding()
        dataset.attrs = attrs
        return dataset


def load_tree(path: str | Path, *, kind: str) -> xr.DataTree:
    """DataTree of a file made by ``save_tree``; otherwise as ``load_dataset``."""
    path = Path(path)
    with xr.open_datatree(_sealed_content(path), engine="h5netcdf") as stored:
        attrs = _unstamped(stored.attrs, path, kind)
        tree = stored.load().map_over_datasets(xr.Dataset.drop_encoding)
        tree.attrs = attrs
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
    path = Path(path)
    with np.load(_sealed_content(path, _ZIP_SIGNATURE), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return arrays, _unstamped(json.loads(str(arrays.pop(_ATTRS))), path, kind)


def is_intact(path: str | Path) -> bool:
    """Whether a file of ``save_arrays`` is there, whole, and as it was written."""
    try:
        _sealed_content(Path(path), _ZIP_SIGNATURE)
    except FileError:
        return False
    return True


def _locked(folder: Path) -> int | None:
    """Descriptor that holds the lock of a folder until its process ends; None where another has it."""
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:  # a file system without locks: there each run takes care of itself
        return descriptor
    return descriptor


@contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """One process after the other, within."""
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


class OutputFolder:
    """Folder whose files appear together, when the block ends without error, or not at all.

    ``with OutputFolder("out") as folder:`` makes the folder, and fails at once where it cannot be written;
    ``folder / "name"`` is the path to write to, in a hidden folder inside it. On success the files
    (subfolders too) replace older ones of the same name. On any error, Ctrl-C included, nothing appears,
    older files are intact, and folders that were made here are removed. What a killed run has left there is
    removed by the next one; while another one is at work there, it is refused.

    Raises
    ------
    FileError
        On entry: the folder cannot be made or written. On leaving: the disk is full, or a folder stands
        where a file should go.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._staged = self.path
        self._made: list[Path] = []
        self._lock: int | None = None

    def __truediv__(self, name: str | Path) -> Path:
        return self._staged / name

    def __enter__(self) -> Self:
        if self.path.is_symlink() and not self.path.exists():
            raise FileError(
                f"{self.path}: a link to {os.readlink(self.path)}, which does not exist. Create that folder,"
                " or remove the link."
            )
        self._made = [p for p in (self.path, *self.path.parents) if not os.path.lexists(p)]  # deepest first
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with _in_turn(self.path):  # no other run may take a folder for a killed one's before it is locked
                self._remove_stale()
                self._staged = Path(tempfile.mkdtemp(prefix=_STAGED, dir=self.path))
                self._lock = _locked(self._staged)
        except BaseException as error:
            self._clean(failed=True)
            if isinstance(error, OSError):
                raise write_error(self.path, error) from error
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        published = False
        try:
            if error is None:
                self._publish()
                published = True
            elif isinstance(error, FileError):  # the user knows the folder, not the hidden one
                raise FileError(str(error).replace(str(self._staged), str(self.path))) from error
            elif isinstance(error, OSError) and error.errno in _FULL:
                raise write_error(self.path, error) from error
        finally:
            self._clean(failed=not published)

    def check(self) -> None:
        """Raise ``FileError`` where the folder cannot be written to; nothing is left of the try."""
        self.__enter__()
        self._clean(failed=True)

    def _remove_stale(self) -> None:
        """Remove what killed runs have left; ``FileError`` where another run is at work in the folder."""
        for left in self.path.glob(f"{_STAGED}????????"):
            if not left.is_dir() or left.is_symlink():
                continue
            lock = _locked(left)
            if lock is None:
                raise FileError(
                    f"{self.path}: another run is writing to this folder. Wait for it, or choose another one."
                )
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)

    def _publish(self) -> None:
        staged = sorted(p for p in self._staged.rglob("*") if p.is_file())
        moves = [(p, self.path / p.relative_to(self._staged)) for p in staged]
        try:
            for source, target in moves:  # all that can be refused is refused before the first file moves
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, f"{target} is a folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                _sync(source)
            for source, target in moves:
                os.replace(source, target)
        except OSError as error:
            raise write_error(self.path, error) from error
        with suppress(OSError):
            _sync(self.path)

    def _clean(self, *, failed: bool) -> None:
        if self._staged != self.path:
            shutil.rmtree(self._staged, ignore_errors=True)
            self._staged = self.path
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if failed:
            for folder in self._made:
                with suppress(OSError):  # only empty folders go
                    folder.rmdir()
