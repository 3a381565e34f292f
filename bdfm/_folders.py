"""A folder of results: its files appear together, or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bdfm import _made
from bdfm._checks import path_of
from bdfm._files import FULL, fcntl, in_turn, nameable, replaceable, sync, take_names, write_error
from bdfm.errors import FileError

_STAGED: Final = ".bdfm-"  # beginning of the names of hidden folders in which results are made
_WHOLE: Final = ".whole"  # stands in a hidden folder while its files take their names
_KEPT: Final = ".kept-"  # beginning of the folder in it with older files of these names
_STALE: Final = (
    ".stale"  # in a hidden folder: files of an earlier run that go when the new ones have their names
)


class BusyError(FileError):
    """A folder of results to which another run is writing."""


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


def settle(folder: Path) -> bool:
    """Remove what killed runs have left in a folder of results, or carry them to their end.

    A run that was killed while its files, all of them whole, took their names is carried to its end. False
    where a run is still at work in the folder, which is left alone.
    """
    for left in sorted(folder.glob(f"{_STAGED}????????")):
        if not left.is_dir() or left.is_symlink():
            continue
        lock = _locked(left)
        if lock is None:
            return False
        try:
            if (left / _WHOLE).exists():
                for source, target in _moves(left, folder):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(source, target)
                with suppress(OSError):
                    _made.remove(folder, left / _STALE)
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(lock)
    return True


def file_in(path: str | Path, name: str) -> Path:
    """File of a folder of results, or the path itself where it is none; what a killed run left is settled."""
    path = path_of(path)
    if not os.path.isdir(path):
        return path
    with suppress(OSError), in_turn(path):  # a folder that cannot be written to is read as it is
        settle(path)
    return path / name


def settle_each(folder: Path) -> None:
    """``settle`` for each folder of results in a folder; what cannot be mended stays to be read as it is."""
    for place in {p.parent for p in folder.glob(f"*/{_STAGED}*")}:
        with suppress(OSError), in_turn(place):
            settle(place)


def _moves(staged: Path, folder: Path) -> list[tuple[Path, Path]]:
    """Files of a hidden folder, and the names in its folder that they shall have."""
    own = (staged / _WHOLE, staged / _STALE)
    found = sorted(p for p in staged.rglob("*") if p.is_file() and p not in own)
    return [
        (p, folder / p.relative_to(staged))
        for p in found
        if not p.relative_to(staged).parts[0].startswith(_KEPT)
    ]


class OutputFolder:
    """Folder whose files appear together, when the block ends without error, or not at all.

    ``with OutputFolder("out") as folder:`` makes the folder, and fails at once where it cannot be written;
    ``folder / "name"`` is the path to write to, in a hidden folder inside it. On success the files
    (subfolders too) replace older ones of the same name. On any error, nothing appears,
    older files are intact or back, and folders that were made here are removed; so on Ctrl-C, but for one
    that comes when the last file has its name: then all are there. What a killed run has left
    there is removed by the next one, which carries a run to its end that was killed while its files took
    their names; while another one is at work there, it is refused.

    ``made_by`` names who makes the files. A record in the folder keeps which they are: those that an earlier
    run of the same made, that nobody has changed since, and that are not made again, go in the same step.
    All else in the folder stays.

    Raises
    ------
    FileError
        On entry: the folder cannot be made or written, or holds results of another command that these would
        replace; ``BusyError`` where another run writes to it. On leaving: the disk is full, a folder
        stands where a file should go, or a file of another command that was not known before.
    """

    def __init__(self, path: str | Path, *, made_by: str | None = None) -> None:
        self.path = path_of(path, what="folder")
        self._made_by = made_by
        self._staged = self.path
        self._made: list[Path] = []
        self._lock: int | None = None

    def __truediv__(self, name: str | Path) -> Path:
        return self._staged / name

    def __enter__(self) -> Self:
        nameable(self.path)
        if os.path.islink(self.path) and not os.path.exists(self.path):
            raise FileError(
                f"{self.path}: a link to {os.readlink(self.path)}, which does not exist. Create that folder,"
                " or remove the link."
            )
        replaceable(self.path / _made.RECORD)  # now, and not when all the work is done
        if self._made_by is not None:
            _made.refuse_others(self.path, self._made_by)
        self._made = [p for p in (self.path, *self.path.parents) if not os.path.lexists(p)]  # deepest first
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with in_turn(self.path):  # no other run may take a folder for a killed one's before it is locked
                if not settle(self.path):
                    raise BusyError(
                        f"{self.path}: another run is writing to this folder. Wait for it, or choose another"
                        " one."
                    )
                # Named before it is made: a signal may come in between, and what is made is removed then.
                self._staged = self.path / f"{_STAGED}{secrets.token_hex(4)}"
                self._staged.mkdir(mode=0o700)
                self._lock = _locked(self._staged)
        except BaseException as error:
            self._clean(failed=True)
            if isinstance(error, OSError) and not isinstance(error, FileError):
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
            elif isinstance(error, OSError) and error.errno in FULL:
                raise write_error(self.path, error) from error
        finally:
            self._clean(failed=not published)

    def check(self) -> None:
        """Raise ``FileError`` where the folder cannot be written to; nothing is left of the try."""
        try:
            self.__enter__()
        finally:
            self._clean(failed=True)

    def _publish(self) -> None:
        stale: dict[str, str] = {}
        try:
            if self._made_by is not None:
                new = {p.relative_to(self._staged).as_posix(): p for p, _ in _moves(self._staged, self.path)}
                _made.refuse_others(self.path, self._made_by, new)
                stale = _made.stale(self.path, self._made_by, new)
                (self._staged / _made.RECORD).write_text(_made.record(self.path, self._made_by, new), "utf-8")
                (self._staged / _STALE).write_text(json.dumps(stale), "utf-8")
            moves = _moves(self._staged, self.path)
            for source, target in moves:  # all that can be refused is refused before the first file moves
                replaceable(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                sync(source)
            (self._staged / _WHOLE).touch()  # from here on a killed run is carried to its end by the next one
            kept = Path(tempfile.mkdtemp(prefix=_KEPT, dir=self._staged))
            gone = [path for x in stale if (path := _made.inside(self.path, x)) is not None]
            take_names(moves, removed=gone, kept=kept, before_rollback=(self._staged / _WHOLE).unlink)
        except FileError:
            raise
        except OSError as error:
            raise write_error(self.path, error) from error
        with suppress(OSError):
            sync(self.path)

    def _clean(self, *, failed: bool) -> None:
        try:
            self._clean_once(failed=failed)
        except BaseException:  # a signal; a second one does not come here
            self._clean_once(failed=failed)
            raise

    def _clean_once(self, *, failed: bool) -> None:
        """Each step may be done twice."""
        if self._staged != self.path:
            shutil.rmtree(self._staged, ignore_errors=True)
            self._staged = self.path
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)
        if failed:
            for folder in self._made:
                with suppress(OSError):  # only empty folders go
                    folder.rmdir()
