"""Files that change while a command works: the record is of what was read, and reads are of one version."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from hashlib import sha256

import fuzz_world as world
import pytest
import stopped
from few import few
from short_runs import replace_fits

from bdfm.forecast.forecast import Forecast
from bdfm.posterior.posterior import Posterior
from bdfm.report import month as month_module

FORECAST = f"forecast --prices prices.csv --universe universe.csv --origin {world.ORIGIN} --out new"


def ran(base, folder, words):
    """What a command did in a copy of the world."""
    shutil.copytree(base, folder, symlinks=True)
    with contextlib.chdir(folder):
        return world.command(words.split())


def spoil(folder):
    """Another price file of the same form takes the name, as an editor saves it; the universe goes."""
    lines = (folder / "prices.csv").read_text().splitlines()
    (folder / "other.csv").write_text("\n".join(x.replace(".", ".1") for x in lines))
    os.replace(folder / "other.csv", folder / "prices.csv")
    (folder / "universe.csv").unlink()


@pytest.mark.long
@pytest.mark.parametrize("words", ["run month.toml", FORECAST])
def test_a_file_that_is_replaced_during_the_fit_changes_nothing(words, base, tmp_path, monkeypatch):
    assert ran(base, tmp_path / "calm", words).code == 0

    def spoilt(sampled):
        def replaced(*args, **settings):
            spoil(tmp_path / "storm")
            return sampled(*args, **settings)

        return replaced

    replace_fits(monkeypatch.setattr, spoilt)
    done = ran(base, tmp_path / "storm", words)
    assert done.code == 0, done
    assert not (tmp_path / "storm" / "universe.csv").exists()
    place = "new" if words == FORECAST else "out"
    calm, storm = (tmp_path / x / place for x in ("calm", "storm"))
    for name in ("forecast.nc", "posterior.nc", "submission.csv"):
        assert (calm / name).read_bytes() == (storm / name).read_bytes()
    sums = {k: sha256((base / f"{k}.csv").read_bytes()).hexdigest() for k in ("prices", "universe")}
    for folder in (calm, storm):
        assert json.loads((folder / "summary.json").read_text())["files"] == sums


@pytest.mark.parametrize("words", ["run month.toml", "run month.toml --check", FORECAST])
def test_a_file_that_changes_while_it_is_read_is_told(words, base, tmp_path, monkeypatch):
    folder = tmp_path / "x"
    read = month_module._data

    def changing(*args):
        found = read(*args)
        with (folder / "prices.csv").open("a") as file:
            file.write("2021-07-01,1,1,1,1,1,1\n")
        return found

    monkeypatch.setattr(month_module, "_data", changing)
    done = ran(base, folder, words)
    assert done.code == 2, done
    assert "prices" in done.err
    assert "the file changed while it was read. Run the same again." in " ".join(done.err.split())
    assert {*world.contents(folder)} == {*world.contents(base)}


# Commands that read or write one forecast, and what both orders of each pair may leave.
AT_ONCE = {
    "view": "view out --constraint A=1%",
    "edit": "edit out zero~B",
    "decide": "decide out",
    "report": "report out",
    "forecast": FORECAST.replace("new", "out --seed 5 --keep-draws"),
}
PAIRS = [
    ("view", "edit"),
    ("view", "report"),
    ("edit", "decide"),
    ("decide", "report"),
    ("decide", "decide"),
    ("forecast", "view"),
    ("forecast", "decide"),
]


@pytest.mark.skipif(not stopped.Path("/proc/self/stat").exists(), reason="processes are watched by /proc")
@pytest.mark.parametrize("pair", few(PAIRS, [PAIRS[2], PAIRS[5]]))
def test_two_commands_at_once_on_one_forecast(pair, base, tmp_path):
    """Each ends as it would alone, or is told why not; no file is half of one and half of the other."""
    folder = tmp_path / "x"
    shutil.copytree(base, folder, symlinks=True)
    words = [[w.replace("~", " ") for w in AT_ONCE[name].split()] for name in pair]
    ended = [c.wait() for c in [stopped.Child(folder, w) for w in words]]
    assert {e.code for e in ended} <= {0, 2}, ended
    assert 0 in {e.code for e in ended}, ended
    assert not any("Traceback" in e.text for e in ended), ended
    assert not stopped.left_over(stopped.state(folder))
    for file in (folder / "out").glob("forecast*.nc"):
        assert len(Forecast.load(file).assets) == len(world.SYMBOLS)
    Posterior.load(folder / "out" / "posterior.nc")
