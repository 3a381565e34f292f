"""The fuzzer itself: what it holds commands to fails where a check is removed or a fault is planted."""

from __future__ import annotations

import contextlib
import shutil

import fuzz_commands
import fuzz_world as world
import numpy as np
import oracle
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bdfm import _checks, _files, _settings
from bdfm.data.doubts import tables
from bdfm.forecast import actions, changes, return_views
from bdfm.forecast.state import State
from bdfm.model import evidence
from bdfm.report import month

FORECAST = f"forecast --prices prices.csv --universe universe.csv --origin {world.ORIGIN} --out new"
VIEW = "view out --constraint A=1%"


def a_door_that_raises(patch, folder):
    def door(*_, **__):
        raise KeyError("planted")

    patch(month, "read_universe", door)


def half_a_file(patch, folder):
    write = _files.write_bytes
    patch(_files, "write_bytes", lambda path, data, **how: write(path, bytes(data)[: len(data) // 2], **how))


def sums_that_are_wrong(patch, folder):
    probabilities = State.probabilities
    patch(State, "probabilities", lambda self, n: probabilities(self, n) * 1.001)


def something_left(patch, folder):
    write = _files.write_bytes

    def leaves(path, data, **how):
        write(path, data, **how)
        (folder / ".bdfm-left").mkdir()

    patch(_files, "write_bytes", leaves)


def no_check_of_prices(patch, folder):
    for module in (_checks, tables):  # the reader's check, and that of the doubts
        patch(module, "np", _NumPyWithoutInfinity())
    lines = (folder / "prices.csv").read_text().splitlines()
    cells = lines[500].split(",")
    lines[500] = ",".join([cells[0], "inf", *cells[2:]])
    (folder / "prices.csv").write_text("\n".join(lines) + "\n")


class _NumPyWithoutInfinity:
    """NumPy to which no number is infinite."""

    def __getattr__(self, name):
        return (lambda x: np.zeros(np.shape(x), bool)) if name == "isinf" else getattr(np, name)


def no_check_of_types(patch, folder):
    patch(_settings, "_of_kind", lambda value, annotation: value)
    text = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text(text.replace("seed = 3", 'seed = "3"'))


def no_doubt_of_statements(patch, folder):
    for module in (actions, changes, evidence):
        patch(module, "doubt", lambda *_, **__: None)


def no_bounds_of_views(patch, folder):
    """Their fields take any number, and so do the doubts about them."""
    patch(return_views.Absolute, "said", ())


PLANTS = {
    a_door_that_raises: (FORECAST, "KeyError"),
    half_a_file: (VIEW, "cannot be read"),
    sums_that_are_wrong: (VIEW, "probabilities miss their sums"),
    something_left: (VIEW, "left over"),
    no_check_of_prices: ("risk --prices prices.csv --model statistical", "accepted a price of inf"),
    no_check_of_types: ("run month.toml --check", "accepted month.toml: seed = '3'"),
    no_doubt_of_statements: ("edit out shift~A~by=50", "accepted {"),
    no_bounds_of_views: ("view out --evidence A=2~+-~10", "accepted {"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_is_seen(plant, base, tmp_path, monkeypatch):
    words, message = PLANTS[plant]
    folder = tmp_path / "x" / "case"
    shutil.copytree(base, folder, symlinks=True)

    def look():
        before = world.contents(folder.parent)
        with contextlib.chdir(folder):
            done = world.command([w.replace("~", " ") for w in words.split()])
        found = world.faults(done, folder.parent, before)
        return found + oracle.accepted_wrongly(done.words, done.code, folder, before), done

    plant(monkeypatch.setattr, folder)
    found, done = look()
    assert any(message in x for x in found), (found, done)
    monkeypatch.undo()
    shutil.rmtree(folder)
    shutil.copytree(base, folder, symlinks=True)
    world.short_fits(monkeypatch.setattr)
    found, done = look()
    assert not found, (found, done)


@pytest.mark.slow
def test_a_removed_doubt_is_met_by_chance_too(base, tmp_path, monkeypatch):
    """The grammar makes statements that only a doubt refuses, and the oracle knows them by itself."""
    seen = []

    @settings(max_examples=25, derandomize=True, phases=[Phase.generate], deadline=None, database=None)
    @given(data=st.data())
    def cases(data):
        folder = tmp_path / str(len(seen))
        shutil.copytree(base, folder, symlinks=True)
        words = fuzz_commands.in_percent(data.draw, folder)
        with contextlib.chdir(folder):
            done = world.command(words)
        seen.append((done.code, oracle.accepted_wrongly(done.words, done.code, folder)))
        shutil.rmtree(folder)
        (tmp_path / str(len(seen) - 1)).mkdir()

    cases()
    assert len(seen) > 20
    assert {(code, bool(found)) for code, found in seen} == {(2, False)}
    seen.clear()
    for path in tmp_path.iterdir():
        path.rmdir()
    no_doubt_of_statements(monkeypatch.setattr, tmp_path)
    cases()
    assert sum(bool(found) for _, found in seen) > len(seen) / 3
