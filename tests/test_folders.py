"""Folders of results: all files of a run appear together at its end, or none does."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bdfm import _files, _folders
from bdfm.errors import FileError


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def fill(path: Path, *names: str, error: BaseException | type[BaseException] | None = None) -> None:
    with _folders.OutputFolder(path) as folder:
        for name in names:
            _files.write_text(folder / name, "new")
        if error:
            raise error


def test_output_folder_publishes_all_files_at_the_end(tmp_path):
    target = tmp_path / "a" / "b"
    with _folders.OutputFolder(target) as folder:
        _files.write_text(folder / "one.txt", "1")
        (folder / "sub").mkdir()
        (folder / "sub" / "two.txt").write_text("2")
        assert not (target / "one.txt").exists()
    assert leftovers(target) == ["one.txt", "sub"]
    assert (target / "sub" / "two.txt").read_text() == "2"
    with _folders.OutputFolder(target) as folder:
        _files.write_text(folder / "one.txt", "new")
    assert (target / "one.txt").read_text() == "new"
    assert (target / "sub" / "two.txt").read_text() == "2"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_output_folder_leaves_no_trace_of_a_failed_block(tmp_path, error):
    with pytest.raises(error):
        fill(tmp_path / "new" / "deep", "a.txt", error=error)
    assert leftovers(tmp_path) == []


def test_output_folder_keeps_older_files_of_a_failed_block(tmp_path):
    _files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError, match="stop"):
        fill(tmp_path, "a.txt", error=RuntimeError("stop"))
    assert leftovers(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_output_folder_fails_before_the_work(tmp_path, monkeypatch):
    _files.write_text(tmp_path / "file", "x")
    worked = []
    with (
        pytest.raises(FileError, match="a file stands where a folder"),
        _folders.OutputFolder(tmp_path / "file"),
    ):
        worked.append(1)

    make = Path.mkdir

    def forbid(path, *args, **kwargs):
        if path.name.startswith(".bdfm-"):
            raise PermissionError(errno.EACCES, "Permission denied")
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", forbid)
    with (
        pytest.raises(FileError, match="new: no permission to write there"),
        _folders.OutputFolder(tmp_path / "new"),
    ):
        worked.append(1)
    assert not worked
    assert leftovers(tmp_path) == ["file"]


def test_output_folder_refuses_before_the_first_file_moves(tmp_path):
    (tmp_path / "z.txt").mkdir()
    with pytest.raises(FileError, match="Give the name of a file"):
        fill(tmp_path, "a.txt", "z.txt")
    assert leftovers(tmp_path) == ["z.txt"]


def test_output_folder_explains_a_full_disk_and_names_the_users_folder(tmp_path):
    with pytest.raises(FileError, match=r"out: the disk is full"), _folders.OutputFolder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileError) as caught, _folders.OutputFolder(tmp_path / "out") as folder:
        _files.write_text(folder / "missing" / "a.txt", "x")
    assert str(tmp_path / "out" / "missing") in str(caught.value)
    assert ".bdfm-" not in str(caught.value)
    assert leftovers(tmp_path) == []


def failing_replace(monkeypatch, at, fault):
    """Renames end in a fault at number ``at``; returns those that came."""
    replace, seen = os.replace, []

    def renamed(source, target):
        seen.append(target)
        if len(seen) == at:
            raise fault
        return replace(source, target)

    monkeypatch.setattr(os, "replace", renamed)
    return seen


NAMES = ("a.txt", "b.txt", "sub/c.txt")


def old_and_new(target):
    """A folder that holds two of three files already, and what writes all three."""
    target.mkdir()
    for name in NAMES[:2]:
        (target / name).write_text("old")

    def write():
        with _folders.OutputFolder(target) as folder:
            (folder / "sub").mkdir()
            for name in NAMES:
                (folder / name).write_text("new")

    return write


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("fault", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_rename_that_fails_midway_brings_the_older_files_back(tmp_path, monkeypatch, at, fault):
    target = tmp_path / "out"
    write = old_and_new(target)
    seen = failing_replace(monkeypatch, at, fault)
    with pytest.raises((FileError, KeyboardInterrupt)):
        write()
    assert len(seen) > at - 1
    monkeypatch.undo()
    assert {p.name: p.read_text() for p in target.iterdir() if p.is_file()} == {
        "a.txt": "old",
        "b.txt": "old",
    }
    assert leftovers(target) == ["a.txt", "b.txt", "sub"] or leftovers(target) == ["a.txt", "b.txt"]
    assert not list((target / "sub").iterdir())
    write()
    assert [(target / name).read_text() for name in NAMES] == ["new"] * 3


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_run_killed_while_files_take_their_names_is_carried_to_its_end(tmp_path, at):
    target = tmp_path / "out"
    old_and_new(target)
    code = (
        "import os, signal, sys\n"
        "from bdfm import _folders\n"
        "seen, replace = [], os.replace\n"
        "def renamed(source, target):\n"
        "    seen.append(target)\n"
        f"    if len(seen) == {at}:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return replace(source, target)\n"
        "os.replace = renamed\n"
        "with _folders.OutputFolder(sys.argv[1]) as folder:\n"
        "    (folder / 'sub').mkdir()\n"
        f"    for name in {NAMES!r}:\n"
        "        (folder / name).write_text('new')\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert sum((target / n).exists() and (target / n).read_text() == "new" for n in NAMES) == at - 1
    with pytest.raises(RuntimeError, match="stop"):  # whatever becomes of the next run
        fill(target, "d.txt", error=RuntimeError("stop"))
    assert [(target / name).read_text() for name in NAMES] == ["new"] * 3
    assert not [p for p in target.iterdir() if p.name.startswith(".")]


def test_files_written_together_appear_together(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with _files.together():
        _files.write_text(tmp_path / "a.txt", "new")
        _files.write_text(tmp_path / "b.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert not (tmp_path / "b.txt").exists()
    assert [p.read_text() for p in sorted(tmp_path.iterdir())] == ["new", "new"]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_of_files_written_together_none_appears_where_one_fails(tmp_path, monkeypatch, at):
    (tmp_path / "b.txt").write_text("old")
    failing_replace(monkeypatch, at, OSError(errno.ENOSPC, "No space left on device"))

    def write(error=None):
        with _files.together():
            for name in ("a", "b", "c"):
                _files.write_text(tmp_path / f"{name}.txt", "new")
            if error is not None:
                raise error

    with pytest.raises(FileError, match="the disk is full"):
        write()
    monkeypatch.undo()
    assert [(p.name, p.read_text()) for p in sorted(tmp_path.iterdir())] == [("b.txt", "old")]
    with pytest.raises(RuntimeError, match="stop"):
        write(RuntimeError("stop"))
    assert [(p.name, p.read_text()) for p in sorted(tmp_path.iterdir())] == [("b.txt", "old")]
