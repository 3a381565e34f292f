"""Each option of each command does something: another result, another file, other words, or a refusal.

What follows from running commands with and without an option, ``bdfm/cli/effects.py`` holds by hand.
"""

from __future__ import annotations

import contextlib
import io
import re

import fuzz_world as world
import numpy as np
import pandas as pd
import pytest
import typer

from bdfm import _netcdf
from bdfm.cli import app

COMMANDS = typer.main.get_command(app.app).commands
TABLES = "--prices prices.csv --universe universe.csv"
BOOK = f"--prices prices.csv --portfolio book.csv --origin {world.ORIGIN} --out new"
FACTORS = "--factors factors.csv --unit decimal"
SPAN = "--first 2021-04-16 --last 2021-05-14 --out new"
# Lines that do their work; an option is added, or its value replaced.
LINES = {
    "forecast": f"forecast {TABLES} --origin {world.ORIGIN} --out new",
    "check": f"check {TABLES} --origin {world.ORIGIN} --out new.html",
    "check, factors": f"check --prices prices.csv {FACTORS}",
    "view": "view out --constraint A=1%",
    "edit": "edit out zero~B",
    "decide": "decide out --method minimum_variance",
    "decide, equal": "decide out",
    "decide, mandate": "decide out --mandate mandate.toml",
    "report": "report out",
    "roll": f"roll month.toml --origin {world.NEXT} --keep all --out next.toml",
    "track": "track ledger --prices prices.csv --out new.html",
    "score": "score --submission submission.csv --prices prices.csv"
    f" --origin {world.ORIGIN} --end {world.END}",
    "backtest": f"backtest equal {TABLES} {SPAN}",
    "backtest, house": f"backtest house {TABLES} {SPAN}",
    "risk": f"risk {BOOK} --model statistical",
    "risk, time series": f"risk {BOOK} --model time-series {FACTORS}",
    "risk, posterior": f"risk {BOOK} --posterior out",
    "stress": f"stress {BOOK} --model statistical --shock PC1=-2sd",
    "stress, time series": f"stress {BOOK} --model time-series {FACTORS} --shock Mkt-RF=-10%",
    "exposures": f"exposures --prices prices.csv {FACTORS} --window-days 200 --out new",
}
# A value of each option that is another than the usual one and than those above
VALUES = {
    "--prices": "other.csv", "--universe": "others.csv", "--origin": "2021-04-16", "--out": "else",
    "--earnings": "earnings.csv", "--volatility": "volatility.csv", "--period-days": "21", "--horizon": "2",
    "--model": "model.toml", "--draws": "30", "--tune": "30", "--chains": "3", "--engine": "nuts",
    "--n-draws": "150", "--seed": "7", "--zero": "A", "--evidence": "C=0.02,0.01", "--warm-from": "out",
    "--alias": "A=Z", "--factors": "more.csv", "--unit": "percent", "--portfolio": "books.csv",
    "--constraint": "B=1%", "--confidence": "0.5", "--file": "changes.toml", "--method": "equal",
    "--exposure": "0.5", "--max-weight": "0.3", "--mandate": "mandate.toml", "--holdings": "books.csv",
    "--submission": "sub.csv", "--previous": "ledger/one", "--keep": "views", "--drop": "all",
    "--false-alarm": "0.2", "--end": "2021-06-04", "--first": "2021-03-19", "--last": "2021-05-12",
    "--history-days": "700", "--late": "1", "--warm": "2", "--thin": "2", "--max-rhat": "1.5",
    "--min-ess": "20", "--max-sweeps": "5000", "--benchmark": "A", "--hedge": "A", "--hedge-limits": "-1 0",
    "--backtest": "20", "--level": "0.9", "--days": "3", "--only": "A", "--period": "1w", "--window": "40",
    "--half-life-periods": "10", "--sectors": "sectors.csv", "--countries": "countries.csv",
    "--estimation": "estimation.csv", "--posterior": "out", "--exposures": "kalman.nc",
    "--replay": "2020-03-02..2020-03-30", "--shock": "PC2=1sd", "--correlation": "-0.5", "--loss": "0.05",
    "--forecast": "out/forecast.nc", "--assets": "3", "--start": "2019-06-03", "--window-days": "100",
    "--latents": "1", "--gamma": "2",
}  # fmt: skip
MODEL = {"risk": "cross-sectional", "stress": "cross-sectional"}
# What is not about the result: where and within which bounds work is done, how a file is to be read where
# that is beyond doubt, and doubts that are not there.
OF_THE_WORK = ("--memory", "--workers", "--cores", "--scheduler", "--quiet")
OF_DOUBTS = ("--date-format", "--decimal-mark", "--accept")
# Options of a line above that find nothing to do there
IDLE_HERE = {
    ("check", "--origin"), ("check", "--zero"), ("check, factors", "--origin"), ("check, factors", "--zero"),
    ("roll", "--keep"),  # beside all
    ("decide, equal", "--method"),  # is equal
}  # fmt: skip
CASES = [
    (line, p.opts[0])
    for line in LINES
    for p in COMMANDS[line.partition(",")[0]].params
    if p.param_type_name == "option"
    and p.opts[0] not in (*OF_THE_WORK, *OF_DOUBTS)
    and (line, p.opts[0]) not in IDLE_HERE
]


@pytest.fixture(scope="module")
def place(base, tmp_path_factory):
    """The folder of the fuzzer, with files for the options that it leaves out."""
    place = world.Place(base, tmp_path_factory.mktemp("options") / "x")
    folder = place.folder
    prices = pd.read_csv(folder / "prices.csv", index_col="date")
    moves = np.random.default_rng(2).normal(0, 0.005, prices.shape)
    (prices * np.exp(moves)).round(3).to_csv(folder / "other.csv")
    factors = pd.read_csv(folder / "factors.csv", index_col="date")
    (factors * [1.1, 0.7]).round(5).to_csv(folder / "more.csv")
    universe = pd.read_csv(folder / "universe.csv")
    universe.assign(asset_class=["stock", "etf"] * 3).iloc[:5].to_csv(folder / "others.csv", index=False)
    pd.DataFrame({"symbol": list("ABD"), "weight": [0.5, 0.2, 0.3]}).to_csv(folder / "books.csv", index=False)
    (folder / "mandate.toml").write_text('[mandate]\nobjective = "minimum_variance"\nmax_weight = 0.4\n')
    place.made = world.contents(folder.parent)
    return place


def ran(place, words):
    """What a command did: exit code, what it said, what stands in its files but for clocks and records."""
    place.put_back()
    with contextlib.chdir(place.folder):
        done = world.command(words)
    assert not done.crash, done
    files = {
        name: _held(name, data)
        for name, data in world.contents(place.folder).items()
        if data is not None and not name.endswith(("run.toml", "seconds.jsonl", ".sqlite"))
    }
    return done.code, re.sub(r"\d+(\.\d+)? s\b", "", done.out + done.err), files


def _held(name, data):
    """Numbers and labels of a NetCDF file, without its record of settings; others without seconds."""
    if name.endswith(".nc"):
        with contextlib.suppress(ValueError):
            groups = _netcdf.read_tree(io.BytesIO(data)).subtree
            return {(g.path, k): repr(v.values.tolist()) for g in groups for k, v in g.variables.items()}
    return re.sub(rb'"seconds": [^{}]*(?=[{}])', b"", data) if name.endswith("summary.json") else data


def split(line):
    """Words of a line; a ~ stands for a space within one."""
    return [w.replace("~", " ") for w in LINES[line].split()]


def words_of(line, flag):
    """Words of a line with one option more, or another value of one that it has."""
    words = split(line)
    name = line.partition(",")[0]
    parameter = next(p for p in COMMANDS[name].params if p.opts[0] == flag)
    if getattr(parameter, "is_flag", False):
        return [*words, flag]
    value = MODEL[name] if flag == "--model" and name in MODEL else VALUES[flag]
    given = value.split() if parameter.nargs > 1 else [value]
    if flag in words and not parameter.multiple:
        at = words.index(flag)
        return [*words[: at + 1], *given, *words[at + 1 + len(given) :]]
    return [*words, flag, *given]


@pytest.mark.long
@pytest.mark.parametrize("line", LINES)
def test_every_option_has_an_effect_or_is_refused(line, place):
    plain = ran(place, split(line))
    assert plain[0] in (0, 3), plain[:2]
    again = ran(place, split(line))
    assert [k for k in plain[2] if plain[2][k] != again[2].get(k)] == []
    assert again == plain
    others = {flag: words_of(line, flag) for own, flag in CASES if own == line}
    idle = [f for f, words in others.items() if words != split(line) and ran(place, words) == plain]
    assert idle == []


@pytest.mark.parametrize(
    ("line", "more", "told"),
    [
        ("risk, posterior", "--level 0.9", "--level 0.9: needs the --posterior of a model of market days"),
        ("risk, posterior", "--level 0.95", "--level 0.95: needs the"),  # the usual one too
        ("risk, posterior", "--seed 7", "--seed 7: needs the --posterior of a model of market days"),
        ("risk, posterior", "--seed 7 --backtest 20", "--seed 7: needs the"),
        ("decide, mandate", "--method equal", "a mandate says all. Leave out --method"),
    ],
)
def test_an_option_that_had_no_effect_is_refused(line, more, told, place):
    """What it needs is in a file, or it was the usual one: no table of options knows it."""
    code, said, _ = ran(place, [*split(line), *more.split()])
    assert (code, told in " ".join(said.split())) == (2, True), said


def test_what_an_option_needs_may_be_there(place):
    code, said, _ = ran(place, [*split("risk, posterior"), *"--window 40 --level 0.9 --backtest 20".split()])
    assert code == 0, said


def test_a_model_that_stress_cannot_make_is_told(place):
    """It was left out without a word."""
    code, said, _ = ran(place, [*split("stress"), "--model", "cross-sectional"])
    assert code == 0
    assert "cross-sectional: not made. cross-sectional model: A, " in said
