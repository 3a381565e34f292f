"""Sealed files of results: NetCDF and arrays with a kind, a schema version and a digest of their content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _files
from bdfm._checks import existing_bytes, path_of
from bdfm._netcdf import kind_of, lacking, read_dataset, read_tree, written
from bdfm.errors import FileError

SCHEMA_VERSION: Final = 1  # raise it when an older release could misread a new file
KIND: Final = "bdfm_kind"
SCHEMA: Final = "bdfm_schema_version"

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_ZIP_SIGNATURE = b"PK\x03\x04"
_ATTRS = "attrs"  # name of the array that holds JSON values
_SEAL = b"\nbdfm sha256 "  # and the digest of all before it; readers of HDF5 ignore what follows their data


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
    _files.write_bytes(path, sealed)
    return Path(path)


def save_dataset(dataset: xr.Dataset, path: str | Path, *, kind: str, level: int = 1) -> Path:
    """Write a Dataset as NetCDF, atomically, compressed by zlib at ``level``; numbers keep their type.

    ``kind`` ("posterior", "forecast") and the schema version are stamped on it. Attributes must be strings,
    numbers or arrays of them. Returns the path; errors as in ``_files.write_bytes``.
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

    Equal contents give equal bytes, and ``numpy.load`` reads it. Returns the path; errors as in
    ``_files.write_bytes``.
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
