"""An edit that is said twice: told once by a command that makes something, and by none that refuses it."""

from __future__ import annotations

import contextlib
import shutil

import fuzz_world as world
import pytest

TWICE = "was said before, and counts once more"
SHIFT = '[[edits]]\nkind = "shift"\nasset = "A"\nby = 0.01\n'


@pytest.fixture
def folder(base, tmp_path):
    found = tmp_path / "case"
    shutil.copytree(base, found, symlinks=True)
    month = (found / "month.toml").read_text()
    (found / "month.toml").write_text(month.replace("[decision]", f"{SHIFT}[decision]"))
    (found / "changes.toml").write_text(2 * SHIFT)
    return found


def said(folder, *words):
    with contextlib.chdir(folder):
        done = world.command(list(words))
    return done.code, done.err.count(TWICE)


@pytest.mark.parametrize(
    "words",
    [
        "run month.toml",
        "run month.toml --check",
        "edit out --file changes.toml",
    ],
)
def test_it_is_told_once(words, folder):
    assert said(folder, *words.split()) == (0, 1)


def test_it_is_not_told_where_all_is_refused(folder):
    month = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text(
        month + '[[edits]]\nkind = "zero"\nassets = ["A", "B", "C", "D", "E", "F"]\n'
    )
    assert said(folder, "run", "month.toml", "--check") == (2, 0)
    assert said(folder, "edit", "out", "shift A by=0.01", "--out", "once.nc") == (0, 0)
    assert said(folder, "edit", "once.nc", "shift A by=0.01") == (2, 0)
    assert said(folder, "edit", "once.nc", "--file", "changes.toml") == (2, 0)
