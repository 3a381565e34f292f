"""Large arrays (row, column): where they are kept, and how they are gone through, block by block.

An array that takes more than its share of the budget lies in a file without a name, mapped into memory: it is
an array like any other, and the file goes when nobody holds it. What goes through it does so in blocks, and
hands the memory of each back, so that a large array is never in memory as a whole. A block is as large for a
small budget as for a large one, and small arrays are one block: there is one way, and one result.
"""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm import _memory
from bdfm.errors import DataError

BLOCK_BYTES: Final = 64_000_000  # of a block of rows in double precision
GATHER_BYTES: Final = 512_000_000  # of a block of columns in single precision: each costs a pass of all rows
SHARE: Final = 0.4  # of the budget: arrays that take more, all together, lie in files
_ROWS: Final = 256  # a block has a multiple of so many, but the last
_beside: ContextVar[int] = ContextVar("beside", default=1)


class _Room(mmap.mmap):
    """Memory that lies in a file of our own. Maps of others keep theirs: changes may be there alone."""


def rows_at_once(width: int) -> int:
    """Rows of so many columns in a block."""
    return max(_ROWS, BLOCK_BYTES // (8 * max(width, 1)) // _ROWS * _ROWS)


def block_bytes(n_rows: int, n_columns: int) -> int:
    """Bytes of a block in double precision at the most, which never falls as an array grows."""
    return min(8 * n_rows * n_columns, max(BLOCK_BYTES, 8 * _ROWS * n_columns))


@contextmanager
def beside(n_arrays: int) -> Iterator[None]:
    """Each array made inside is one of so many, which are held beside each other."""
    token = _beside.set(n_arrays)
    try:
        yield
    finally:
        _beside.reset(token)


def n_beside() -> int:
    """Arrays that are held beside each other, see ``beside``."""
    return _beside.get()


def kept_on_disk(n_rows: int, n_columns: int) -> bool:
    """Whether an array of this shape, in single precision, lies in a file under the budget of now.

    All that are held beside it are counted.
    """
    allowed = _memory.budget()
    return allowed is not None and 4 * n_rows * n_columns * n_beside() > SHARE * allowed


def empty(n_rows: int, n_columns: int, *, on_disk: bool | None = None) -> NDArray[np.float32]:
    """Array (row, column) in single precision with anything in it, in memory or in a file.

    ``on_disk``: whether in a file; as ``kept_on_disk`` says unless given.

    Raises
    ------
    DataError
        It needs a file, and the disk has no room for it.
    """
    if not (kept_on_disk(n_rows, n_columns) if on_disk is None else on_disk):
        return np.empty((n_rows, n_columns), dtype=np.float32)
    size = 4 * n_rows * n_columns
    with tempfile.TemporaryFile(prefix="bdfm-") as file:  # the map keeps it until the array goes
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error here, not a crash later
            else:
                file.truncate(size)
        except OSError as error:
            raise DataError(
                f"memory: {n_rows:,} draws of {n_columns:,} assets take {_memory.readable(size)}, more than"
                f" the budget holds, and {tempfile.gettempdir()} has no room for them ({error.strerror})."
                " Lower n_draws, raise the budget, or set TMPDIR to a folder with room."
            ) from error
        mapped = _Room(file.fileno(), size)
    return np.frombuffer(mapped, dtype=np.float32).reshape(n_rows, n_columns)


def empty_like(array: NDArray[Any]) -> NDArray[np.float32]:
    """Array of the same shape with anything in it, in a file where that one is."""
    return empty(*array.shape, on_disk=_file_of(array) is not None or None)


def free_on_disk() -> int:
    """Bytes that the folder of temporary files has free."""
    return shutil.disk_usage(tempfile.gettempdir()).free


def no_disk(n_rows: int, n_columns: int, n_arrays: int, *, would: str) -> DataError:
    """Error where the disk has no room for arrays that lie in files; ``would``: which would fit, in words."""
    times = f"{n_arrays} times " if n_arrays > 1 else ""
    return DataError(
        f"memory: {times}{n_rows:,} draws of {n_columns:,} assets take"
        f" {_memory.readable(4 * n_rows * n_columns * n_arrays)}, more than memory should hold, and"
        f" {tempfile.gettempdir()} has {_memory.readable(free_on_disk())} free. Lower n_draws{would}, raise"
        " the budget, or set TMPDIR to a folder with room."
    )


def _file_of(array: NDArray[Any]) -> _Room | None:
    """The file of our own in which an array, or what it is a part of, lies."""
    found: Any = array
    while isinstance(found, np.ndarray):
        found = found.base
    mapped = found.obj if isinstance(found, memoryview) else found
    return mapped if isinstance(mapped, _Room) else None


def release(part: NDArray[Any]) -> None:
    """Hand back the memory of a part of an array of ``empty`` that lies in a file; its values stay there."""
    mapped = _file_of(part)
    if mapped is None or not hasattr(mapped, "madvise") or not part.size:
        return
    start = part.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    stop = start + (len(part) - 1) * part.strides[0] + part.itemsize
    mapped.madvise(mmap.MADV_DONTNEED, first, stop - first)


def blocks(array: NDArray[Any], *others: NDArray[Any], most: int | None = None) -> Iterator[slice]:
    """Slices of rows, at most so many at once; the memory of each is handed back after its turn.

    ``others``: what is read or written beside, with the same rows, whose memory is handed back too.
    """
    size = min(rows_at_once(array.shape[1]), most or len(array))
    for start in range(0, len(array), size):
        here = slice(start, min(start + size, len(array)))
        yield here
        for one in (array, *others):
            release(one[here])


def column(array: NDArray[Any], number: int) -> NDArray[Any]:
    """Copy of one column (row,)."""
    out = np.empty(len(array), dtype=array.dtype)
    for here in blocks(array):
        out[here] = array[here, number]
    return out


def columns(array: NDArray[Any], chosen: NDArray[np.intp] | None = None) -> Iterator[NDArray[Any]]:
    """Chosen columns one after the other, or all, each (row,) and side by side in memory."""
    wanted = np.arange(array.shape[1]) if chosen is None else chosen
    at_once = max(1, GATHER_BYTES // (array.itemsize * max(1, len(array))))
    for first in range(0, len(wanted), at_once):
        some = wanted[first : first + at_once]
        part = slice(int(some[0]), int(some[-1]) + 1) if (np.diff(some) == 1).all() else some
        gathered = np.empty((len(some), len(array)), dtype=array.dtype)
        for here in blocks(array):
            gathered[:, here] = array[here, part].T
        yield from gathered


def copied(array: NDArray[np.float32], chosen: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
    """Copy of an array, or of some of its columns."""
    out = empty_like(array) if chosen is None else empty(len(array), len(chosen))
    for here in blocks(array, out):
        out[here] = array[here] if chosen is None else array[here][:, chosen]
    return out


def extremes(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and largest value of each column."""
    low, high = array[0].copy(), array[0].copy()
    for here in blocks(array):
        np.minimum(low, array[here].min(axis=0), out=low)
        np.maximum(high, array[here].max(axis=0), out=high)
    return low, high
