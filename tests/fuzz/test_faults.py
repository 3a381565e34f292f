"""A full disk at each write of each command that writes: nothing lost, nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

import fuzz_world as world
import pytest
from few import few

from bdfm import _files

# A buffer of h5netcdf that a traceback holds on to is told of where it is collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

COMMANDS = {
    "view": ["view", "out", "--constraint", "A = 1%"],
    "edit": ["edit", "out", "zero B"],
    "decide": ["decide", "out", "--submission", "sub.csv"],
    "roll": ["roll", "month.toml", "--origin", world.NEXT, "--drop", "all"],
    "forecast": [
        *("forecast", "--prices", "prices.csv", "--universe", "universe.csv"),
        *("--origin", world.ORIGIN, "--out", "new"),
    ],
}


def _run(base, folder, words, monkeypatch, at, fault):
    """A command whose write number ``at`` ends in a fault; what came, what was there, how many."""
    shutil.copytree(base, folder, symlinks=True)
    before, writes, replace = world.contents(folder), [], os.replace

    def failing(source, target):
        if not str(source).endswith(".tmp"):  # a name given to what is on the disk already
            return replace(source, target)
        writes.append(target)
        if len(writes) == at:
            raise fault
        return replace(source, target)

    monkeypatch.setattr(_files.os, "replace", failing)
    with contextlib.chdir(folder):
        done = world.command(words)
    monkeypatch.setattr(_files.os, "replace", replace)
    return done, before, len(writes)


@pytest.mark.parametrize("name", few(COMMANDS, {*COMMANDS} - {"forecast"}))  # as slow as its writes are many
def test_a_full_disk_at_each_write(name, base, tmp_path, monkeypatch):
    at = 0
    while True:
        at += 1
        folder = tmp_path / str(at)
        fault = OSError(errno.ENOSPC, "No space left on device")
        done, before, writes = _run(base, folder, COMMANDS[name], monkeypatch, at, fault)
        if writes < at:  # all were tried
            assert done.code == 0
            break
        assert done.code == 2, done
        assert "the disk is full" in done.err
        if name != "decide":  # the submission is a file of its own, written before
            assert not world.faults(done, folder, before)
    assert at > 1
