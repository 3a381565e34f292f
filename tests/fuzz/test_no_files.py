"""What is no file, at every door where one is read or written: one message at once, and never a wait."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket

import fuzz_world as world
import pytest

if not hasattr(os, "mkfifo"):
    pytest.skip("no pipes with names here", allow_module_level=True)

TABLES = "--prices prices.csv --universe universe.csv"
SPAN = f"--origin {world.ORIGIN} --end {world.END}"
FORECAST = f"forecast {TABLES} --origin {world.ORIGIN} --out new"
STATISTICAL = "--prices prices.csv --portfolio book.csv --model statistical"
EXPOSURES = "exposures --prices prices.csv --factors factors.csv --unit decimal --method constant --out new"
MANDATE = "decide out --mandate mandate.toml"
# Commands, and the files that each reads.
READS = {
    "check --prices prices.csv --universe universe.csv --factors factors.csv --earnings earnings.csv"
    " --portfolio book.csv --alias aliases.csv": "prices universe factors earnings book aliases",
    f"{FORECAST} --earnings earnings.csv --volatility volatility.csv --model model.toml --warm-from"
    " out/posterior.nc": "prices universe earnings volatility model.toml out/posterior.nc",
    "run month.toml": "month.toml prices universe",
    "run month.toml --check": "month.toml prices",
    "view out --constraint A=1%": "out/forecast.nc",
    "view out --file changes.toml": "changes.toml",
    "edit out zero~B": "out/forecast.nc",
    "edit out --file changes.toml": "changes.toml",
    MANDATE: "mandate.toml out/forecast.nc",
    "report out": "out/forecast.nc out/summary.json out/run.toml out/posterior.nc",
    f"score --submission submission.csv --prices prices.csv {SPAN}": "submission prices",
    f"roll month.toml --origin {world.NEXT} --drop all": "month.toml prices",
    "track ledger --prices prices.csv": "prices ledger/ledger.sqlite",
    f"risk {STATISTICAL}": "prices book",
    "risk --prices prices.csv --portfolio book.csv --model time-series --factors factors.csv": "factors",
    "risk --prices prices.csv --portfolio book.csv --model cross-sectional --sectors sectors.csv": "sectors",
    f"stress {STATISTICAL} --loss 0.1 --forecast out/forecast.nc": "prices out/forecast.nc",
    f"backtest equal {TABLES} --first 2021-02-05 --last 2021-05-14 --out runs": "prices universe",
    EXPOSURES: "prices factors",
}  # fmt: skip
WRITES = {
    "view out --constraint A=1% --out here": "here",
    "edit out zero~B --out here": "here",
    "decide out --submission here": "here",
    "report out --out here": "here",
    f"roll month.toml --origin {world.NEXT} --drop all --out here": "here",
    "track ledger --prices prices.csv --out here": "here",
    "compare runs --out here": "here",
    FORECAST: "new/forecast.nc",
    f"risk {STATISTICAL} --out new": "new/assets.csv",
}
CASES = [(words, name) for words, names in READS.items() for name in names.split()]
# The same commands with each place in turn where a file is named on the line.
NAMED = sorted(
    {
        words.replace(f" {place}", "~*", 1)
        for words, name in CASES
        for place in (name if "." in name else f"{name}.csv", "out", "ledger")
        if f" {place}" in words
    }
)


def put(kind, path):
    """Something that is no file, in the place of one."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    elif kind == "a folder":
        path.mkdir()
    else:
        with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)  # the whole path may be too long


@pytest.fixture
def folder(base, tmp_path):
    found = tmp_path / "x" / "case"
    shutil.copytree(base, found, symlinks=True)
    (found / "mandate.toml").write_text('[mandate]\nobjective = "minimum_variance"\n')
    return found


def told(folder, words, message, *, before_the_fit=True):
    def seen():
        found = {p: (p.lstat().st_mode, p.lstat().st_size) for p in sorted(folder.rglob("*"))}
        return {p: x for p, x in found.items() if p.name != "ledger.sqlite"}  # made by a look

    before = seen()
    with contextlib.chdir(folder):
        done = world.command([w.replace("~", " ") for w in words.split()], limit=30)
    assert done.code == 2, done
    assert message in " ".join(done.err.split()), done
    assert not before_the_fit or "Sampling" not in done.out
    assert done.err.count("Error: ") <= 1
    assert seen() == before


@pytest.mark.parametrize(("words", "name"), CASES)
def test_a_pipe_is_no_file_to_read(words, name, folder):
    path = folder / (name if "." in name else f"{name}.csv")
    put("a pipe", path)
    told(folder, words, f"{path.name} is a pipe, a file was expected. Save what it gives to a file")


@pytest.mark.parametrize("words", NAMED)
def test_a_name_that_no_file_can_have_is_a_file_that_is_not_there(words, folder):
    told(folder, words.replace("~*", " " + 300 * "x"), "xxx")


@pytest.mark.parametrize("words", WRITES)
@pytest.mark.parametrize("kind", ["a pipe", "a socket"])
def test_what_is_no_file_is_not_written_over(words, kind, folder):
    put(kind, folder / WRITES[words])
    told(folder, words, f"this is {kind}. Give the name of a file", before_the_fit=words != FORECAST)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("run month.toml", "month.toml"),
        ("view out --constraint A=1%", "out/forecast.nc"),
        ("report out", "out/posterior.nc"),
        (f"{FORECAST} --warm-from out/posterior.nc", "out/posterior.nc"),
        (FORECAST, "prices.csv"),
    ],
)
@pytest.mark.parametrize("kind", ["a folder", "a socket", "a device"])
def test_folders_and_sockets_are_none_either(words, name, kind, folder):
    put(kind, folder / name)
    of_a_month = kind == "a folder" and name.startswith("out/")  # for which a folder may be given
    told(folder, words, "does not exist" if of_a_month else f"is {kind}, a file was expected")


def test_months_of_a_ledger_that_are_no_files(folder):
    """A month whose summary is no file is none; one whose forecast is, or whose backtest is, says so."""
    for name in ("ledger/one/forecast.nc", "ledger/one/run.toml"):
        path = folder / name
        kept = path.read_bytes() if path.exists() else None
        put("a pipe", path)
        told(folder, "track ledger --prices prices.csv", "is a pipe, a file was expected")
        path.unlink()
        if kept is not None:
            path.write_bytes(kept)
    put("a pipe", folder / "runs" / "equal" / "manifest.json")
    told(folder, "compare runs", "no run of a backtest")
