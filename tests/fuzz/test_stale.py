"""Folders that a command has written to before: of its earlier run nothing is left, all else is."""

from __future__ import annotations

import contextlib
import inspect
import shutil

import fuzz_world as world
import pytest
from daily_draws import daily_posterior
from few import few

from bdfm import _made
from bdfm.cli import backtest, check, exposures, judgement, ledger, models, month, risk, scoring

TABLES = "--prices prices.csv --universe universe.csv"
FORECAST = f"forecast {TABLES} --origin {world.ORIGIN} --out new"
BOOK = "--prices prices.csv --portfolio book.csv --model statistical --out new"
EXPOSURES = "exposures --prices prices.csv --factors factors.csv --unit decimal --method constant --out new"
# The first command, the second, and what of the first is not the second's.
TWICE = {
    "forecast": (
        f"{FORECAST} --horizon 1 --horizon 2",
        FORECAST,
        {"forecast_2p.nc", "submission_2p.csv", "quantiles_2p.png"},
    ),
    "run": ("run month.toml", "run fewer.toml", {"posterior.nc", "quantiles.png", "report.html"}),
    "check": ("check --prices prices.csv --out new", f"check {TABLES} --out new", set()),
    "risk": (f"risk {BOOK} --benchmark A", f"risk {BOOK}", {"active.csv", "active.png"}),
    "stress": (
        f"stress {BOOK} --origin 2021-05-14 --loss 0.01 --forecast out",
        f"stress {BOOK} --origin 2021-05-14",
        {"forecast.csv"},
    ),
    "exposures": (f"{EXPOSURES} --method rolling --window-days 100", EXPOSURES, {"exposures_rolling.nc"}),
}
NOT_TRIED = {
    "demo": "makes the same as forecast, by the same function",
    "backtest": "goes on where it was: a folder of runs keeps them all",
}


def test_every_command_with_a_folder_is_tried():
    groups = (month, check, judgement, ledger, scoring, models, backtest, risk, exposures)
    found = {c.__name__ for g in groups for c in g.COMMANDS if "out_dir" in inspect.signature(c).parameters}
    assert found | {"run"} == {*TWICE, *NOT_TRIED}


@pytest.mark.parametrize("name", few(TWICE, ("check", "risk", "stress")))
def test_nothing_of_the_run_before_is_left(name, base, tmp_path):
    one, two, gone = TWICE[name]
    folder = tmp_path / "x"
    shutil.copytree(base, folder, symlinks=True)
    text = world.MONTH.replace("seed = 3", 'seed = 3\nout = "new"')
    (folder / "month.toml").write_text(text)
    (folder / "fewer.toml").write_text(text.replace("seed = 3", 'seed = 3\noutputs = ["submission"]'))
    out = folder / "new"
    with contextlib.chdir(folder):
        done = world.command(one.split())
        assert done.code in (0, 1 if name == "check" else 0), done
        first = {p.name for p in out.iterdir()}
        assert gone <= first
        (out / "notes.txt").write_text("mine")
        kept = sorted(gone)[:1] if len(gone) > 1 else []
        for mine in kept:
            (out / mine).write_bytes((out / mine).read_bytes() + b"mine")
        times = json_times(out)
        done = world.command(two.split())
    assert done.code in (0, 1 if name == "check" else 0), done
    found = {p.name for p in out.iterdir()}
    assert found == (first - gone) | {"notes.txt", *kept}
    assert listed(out) == found - {"notes.txt", ".bdfm.json", *kept}
    check_json(out, times)


def listed(out):
    return {x for files in _made.listed(out).values() for x in files}


def json_times(out):
    return {p.name: p.stat().st_mtime_ns for p in out.glob("*.json")}


def check_json(out, before):
    """Every run writes these anew: each must be of the last one."""
    now = json_times(out)
    assert before.keys() <= now.keys()
    assert all(now[name] > time for name, time in before.items())


@pytest.mark.long
def test_nothing_of_all_models_is_left_beside_the_next_days_alone(base, tmp_path, monkeypatch):
    """``risk`` with prices, and then with a posterior alone, which write by two functions."""
    for name in ("prices.csv", "book.csv"):
        shutil.copy(base / name, tmp_path)
    daily_posterior().save(tmp_path / "days.nc")
    monkeypatch.chdir(tmp_path)
    out, alone = tmp_path / "new", "risk --posterior days.nc --days 4 --out new"
    assert world.command(f"risk {BOOK}".split()).code == 0
    times = json_times(out)
    assert {"summary.json", _made.RECORD} == set(times)
    assert world.command(alone.split()).code == 0
    check_json(out, times)
    tables = {"ahead.csv", "ahead.png", "announcements.csv"}
    assert {p.name for p in out.iterdir()} == {*tables, *times}
    assert listed(out) == {*tables, "summary.json"}
