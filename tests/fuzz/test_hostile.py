# ruff: noqa: E501  # examples in tables
"""Hostile tries that got through once, each told in one message now; the world is that of the fuzzer."""

from __future__ import annotations

import contextlib
import shutil

import fuzz_commands as grammar
import fuzz_files
import fuzz_world as world
import oracle
import pandas as pd
import pytest

from bdfm import _sealed
from bdfm._checks import category, universe_table
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.edits import EDITS
from bdfm.forecast.statements import read
from bdfm.forecast.views import KINDS, Absolute, Portfolio

FORECAST = f"forecast --prices prices.csv --universe universe.csv --origin {world.ORIGIN} --out new"
STRESS = "stress --prices prices.csv --portfolio book.csv --model statistical"
SECTORS = "risk --prices prices.csv --portfolio book.csv --model cross-sectional --sectors sectors.csv"
MANDATE = '[mandate]\nobjective = "minimum_variance"\n'


def edited(name, old, new):
    def prepare(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return prepare


def written(name, text):
    def prepare(folder):
        (folder / name).write_bytes(text.encode("latin-1"))

    return prepare


def spelled_twice(folder):
    for name in ("prices.csv", "universe.csv"):
        text = (folder / name).read_text()
        text = text.replace("date,A,B", "date,\u00e9,e\u0301").replace(
            "A,stock\nB,", "\u00e9,stock\ne\u0301,"
        )
        (folder / name).write_text(text, encoding="utf-8")


def another_fit(folder):
    tree = _sealed.load_tree(folder / "out/posterior.nc", kind="posterior")
    tree.attrs["seed"] = 99
    _sealed.save_tree(tree, folder / "out/posterior.nc", kind="posterior")


def another_model(folder):
    tree = _sealed.load_tree(folder / "out/posterior.nc", kind="posterior")
    tree.attrs["model_name"] = "other"
    _sealed.save_tree(tree, folder / "out/posterior.nc", kind="posterior")


def nothing(folder):
    pass


def panel(line):
    return edited("model.toml", "n_factors = 2", f"n_factors = 2\n[panel]\n{line}")


def renamed(name):
    """The asset A, everywhere."""

    def prepare(folder):
        for file, old, new in (
            ("prices.csv", "date,A,", f"date,{name},"),
            ("book.csv", "\nA,", f"\n{name},"),
        ):
            edited(file, old, new)(folder)

    return prepare


LONG = "x" * 5000
TRIES = {
    "a folder's name too long": ("run month.toml --check", edited("month.toml", "seed = 3", f'seed = 3\nout = "{LONG}"'),
                                 "longer than a file's can be"),
    "the same on the command line": (FORECAST.replace("new", LONG), nothing, "longer than a file's can be"),
    "a file's name too long": ("view out --constraint A=1% --out " + "y" * 300, nothing, "longer than a file's can be"),
    "an asset twice in a view": ("view out --constraint A~-~A~=~1%", nothing, "given more than once"),
    "its weights in pieces": ("view out --constraint 0.5~A~+~0.5~A~=~1%", nothing, "given more than once"),
    "holdings beyond all numbers": ("decide out --mandate m.toml", written("m.toml", MANDATE + "[holdings]\nA = 1e308\nB = 1e308\n"),
                                    "weights sum to inf"),
    "a book of 1e300": ("risk --prices prices.csv --portfolio book.csv --model statistical", edited("book.csv", "0.4", "1e300"),
                        "sum to 1e+300"),
    "a value of 1e300": ("decide out --mandate m.toml", written("m.toml", MANDATE + "nav = 1e300\n"), "less than or equal to"),
    "a summary that is a list": ("track ledger --prices prices.csv", written("ledger/one/summary.json", "[1, 2]"), "a table was expected"),
    "a run file in Latin-1": ("track ledger --prices prices.csv", written("ledger/one/run.toml", "# caf\xe9"), "not UTF-8 text"),
    "a window of a billion periods": ("risk --prices prices.csv --model statistical --window 1000000000", nothing, "--window"),
    "a horizon of 1e300 periods": ("risk --prices prices.csv --model statistical --horizon 1e300", nothing, "--horizon"),
    "periods that begin before all dates": (FORECAST + " --model model.toml", panel("n_periods = 1000000000000"), "beyond the years"),
    "returns of a billion years": (FORECAST + " --model model.toml", panel("recent_return_days = 1000000000000"), "recent_return_days"),
    "a past of a billion years": (FORECAST + " --model model.toml", panel("min_past_weeks = 1000000000000"), "min_past_weeks"),
    "a volatility of a billion years": (FORECAST + " --model model.toml", panel("volatility_windows = [5, 1000000000000]"), "from 2 to 36500"),
    "prices that never grow old": (FORECAST + " --model model.toml", panel("max_stale_days = 1000000000000"), "max_stale_days"),
    "a loss of 1e300": (f"{STRESS} --loss 1e300", nothing, "not less than what is invested (100%)"),
    "a loss of 10 for 10 %": (f"{STRESS} --loss 10", nothing, "is 1000 %, not less than what is invested"),
    "a volatility times 1e300": (f"{STRESS} --volatility 1e300", nothing, "is not between 0.01 and 100"),
    "a move by 1e300 volatilities": (f"{STRESS} --shock PC1=1e300~sd", nothing, "more than 100 of its volatilities"),
    "classes that are missing": (FORECAST, edited("universe.csv", "A,stock", "A,nan"), "1 of 6 assets have no class (A)"),
    "sectors that are missing": (f"{SECTORS}", edited("sectors.csv", "A,x", "A,#N/A"), "A have no sector"),
    "all assets set to zero": (f"{FORECAST} {' '.join(f'--zero {s}' for s in world.SYMBOLS)}", nothing, "all 6 assets are set to zero"),
    "the same by an edit": (f"edit out zero~{'~'.join(world.SYMBOLS)}", nothing, "Nothing is left to forecast"),
    "days of a calendar, with weekends": (f"{FORECAST} --period-days 1", nothing, "have no price. The market is closed then"),
    "a half-life of one period": ("risk --prices prices.csv --model statistical --half-life-periods 1", nothing, "leaves next to nothing of all but the last. Give 2 or more"),
    "a name in mathematics in a risk": ("risk --prices prices.csv --portfolio book.csv --model statistical --out new", renamed("$x_{$"), "cannot be shown"),
    "a view of a whole file": (f"view out --constraint {'A' * 100_000}", nothing, "(100000 characters): not understood"),
    "an edit of a whole file": (f"edit out {'A' * 100_000}", nothing, "unknown kind of edit"),
    "a shock of a whole file": (f"{STRESS} --shock {'A' * 100_000}", nothing, "(100000 characters): not understood"),
    "evidence of a whole file": (f"{FORECAST} --evidence {'A' * 100_000}", nothing, "(100000 characters) is not understood"),
    "a size of memory of a whole file": (f"{FORECAST} --memory {'a' * 10_000}", nothing, "(10002 characters) is no size of memory"),
    "a period of a whole file": (f"risk --prices prices.csv --model statistical --period {'a' * 10_000}", nothing, "(10000 characters) is none"),
    "a benchmark of a whole file": (f"risk --prices prices.csv --model statistical --benchmark {'a' * 10_000}", nothing, "(10000 characters) is neither a file"),
    "a distribution of a whole file": (f"edit out replace~A~distribution={'A' * 100_000}", nothing, "is no continuous distribution"),
    "an alias of a whole file": (f"{FORECAST} --alias {'A' * 100_000}", nothing, "is not of the form"),
    "a result over the prices": ("view out --constraint A=1% --out prices.csv", nothing, "a NetCDF file is to be written, and the name says a CSV table"),
    "a page over the prices": ("report out --out prices.csv", nothing, "the name says a CSV table"),
    "a submission over the prices": ("decide out --submission prices.csv", nothing, "holds something else than what is to be written"),
    "a track over a run file": ("track ledger --prices prices.csv --out month.toml", nothing, "the name says a run file"),
    "a weight of a view of 1e11": ("view out --constraint 99999999999~A~=~1%", nothing, "weights sum to 1e+11"),
    "a weight in a tail of 1e11": ("view out --constraint CVaR(99999999999~A,~0.9)~=~0.1", nothing, "weights sum to 1e+11"),
    "an origin at the end of time": ("run month.toml --check", edited("month.toml", f'"{world.ORIGIN}"', "9999-12-31"), "beyond the years"),
    "a name in two spellings": (FORECAST, spelled_twice, r"written in two ways ('\xe9', 'e\u0301')"),
    "a posterior of another fit": ("report out", another_fit, "seed 99"),
    "a posterior of another model": ("report out", another_model, "is of another fit (other, seed"),
    "a formula in the tables of risk": ("risk --prices prices.csv --portfolio book.csv --model statistical --out new", renamed("=CMD()"),
                                        "takes for a formula (=CMD())"),
    "a formula in the tables of a stress": (f"{STRESS} --loss 0.1 --out new", renamed("+1"), "takes for a formula (+1)"),
    "a time of day for an origin": ("run month.toml --check", edited("month.toml", f'"{world.ORIGIN}"', "16:00:00"), "a date such as 2022-01-07"),
    "a key without a name": ("run month.toml --check", edited("month.toml", "seed = 3", '"" = 3'), "unknown key ''."),
    "an error of TOML far in its line": ("run month.toml --check", edited("month.toml", "seed = 3", "seed = 0x_ff"), "(at line 2, column 9)"),
    "a date for a horizon of months": ("run month.toml --check", edited("month.toml", "[sampler]", "horizon = 2021-06-11\n[sampler]"),
                                       "'2021-06-11' is no number of periods"),
    "holdings in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "[holdings]\nA = 60\nB = 40\n"), "holdings: weights sum to 100."),
    "a benchmark in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "[mandate.benchmark]\nA = 60\nB = 40\n"),
                               "[benchmark]: weights sum to 100."),
    "a largest weight in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "max_weight = 10\n"),
                                    "max_weight is 10, 1000 % of the money"),
    "a range of one asset in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "[mandate.weights]\nA = [0, 20]\n"),
                                        "weights.A is 20, 2000 %"),
    "a range of a class in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "[mandate.limits.asset_class]\nstock = [0, 20]\n"),
                                      "limits.asset_class.stock is 20, 2000 %"),
    "a turnover in percent": ("decide out --mandate m.toml", written("m.toml", MANDATE + "turnover = 20\n"), "turnover is 20, 2000 %"),
    "one name for two files": ("decide out --out new.nc --submission ./new.nc", nothing, "two files are to be written to this name"),
    "a forecast over the posterior": ("view out --constraint A=1% --out out/posterior.nc", nothing, "holds a posterior, and is left as it is"),
    "the same over it by an edit": ("edit out zero~A --out out/posterior.nc", nothing, "holds a posterior"),
    "the same by a decision": ("decide out --out out/posterior.nc", nothing, "holds a posterior"),
    "an alias with two names": (f"{FORECAST} --alias A=X --alias A=Y", nothing, "A = X, and A = Y. A symbol has one name"),
    "the same in a file": (f"{FORECAST} --alias old.csv", written("old.csv", "old,new\nA,X\nA,Y\n"), "A = X, and A = Y"),
    "two windows of one name": (f"{STRESS} --replay a=2020-03-02..2020-03-20 --replay a=2020-05-04..2020-06-01", nothing, "it is given twice, with other days"),
    "rows of no portfolio": (STRESS, written("book.csv", "symbol,weight,portfolio\nA,0.5,x\nB,0.5,\n"), "1 row names no portfolio (B)"),
    "a name that turns the line around": ("run month.toml --check", edited("month.toml", 'asset = "A"', 'asset = "\\u202EA"'), r"\u202eA"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRIES)
def test_a_try_that_got_through(name, base, tmp_path):
    words, prepare, message = TRIES[name]
    folder = tmp_path / "x" / "case"
    shutil.copytree(base, folder, symlinks=True)
    prepare(folder)
    before = world.contents(folder.parent)
    with contextlib.chdir(folder):
        done = world.command([w.replace("~", " ") for w in words.split()])
    assert done.code == 2, done
    assert message in " ".join(done.err.split())
    assert not world.faults(done, folder.parent, before)
    assert not oracle.accepted_wrongly(done.words, done.code, folder)


@pytest.mark.parametrize(
    "day", [f"{world.ORIGIN}T23:30:00-05:00", f"{world.ORIGIN} 16:00:00", f"{world.ORIGIN}T00:30:00+14:00"]
)
def test_a_time_after_a_day_in_a_run_file_is_as_in_a_text(day, base, tmp_path):
    for quote in ("", '"'):
        folder = tmp_path / f"case{len(quote)}"
        shutil.copytree(base, folder, symlinks=True)
        edited("month.toml", f'"{world.ORIGIN}"', f"{quote}{day}{quote}")(folder)
        with contextlib.chdir(folder):
            done = world.command(["run", "month.toml", "--check"])
        assert done.code == 0, done
        assert f"periods to {world.ORIGIN}" in " ".join(done.out.split())


@pytest.mark.parametrize("text", fuzz_files.IN_PERCENT)
@pytest.mark.parametrize("door", grammar.DOORS)
def test_percent_without_its_sign_is_refused_at_every_door_for_views(door, text, base, tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(base, folder, symlinks=True)
    words = grammar.through(door, text.format(x=2, y=10), folder)
    before = world.contents(folder)
    with contextlib.chdir(folder):
        done = world.command(words)
    assert done.code == 2, done
    assert "statement-unit" in done.err, done
    assert not world.faults(done, folder, before)


@pytest.mark.parametrize(
    "text",
    [
        "shift A by=5",
        "set_return A value=5",
        "like A other=B spread=5",
        "cap A upper=5",
        "cap A lower=5",
        "cap A lower=-0.5 upper=3",
        "replace A distribution=uniform(5,1)",
        "acquired_for_stock A acquirer=B ratio=0.2 spread=-5",
        "acquired_for_cash A offer=9000",
        "acquired_for_stock A acquirer=B ratio=500",
    ],
)
def test_the_same_of_edits(text, base, tmp_path):
    folder = tmp_path / "case"
    shutil.copytree(base, folder, symlinks=True)
    kind, symbol, *settings = text.split()
    lines = [f"{k} = {v if v[0] in '-0123456789' else repr(v)}" for k, v in (x.split("=") for x in settings)]
    table = "\n".join(["[[edits]]", f"kind = '{kind}'", f"asset = '{symbol}'", *lines])
    (folder / "changes.toml").write_text(table)
    month = (folder / "month.toml").read_text()
    (folder / "month.toml").write_text(month.replace("[decision]", f"{table}\n[decision]"))
    for words in (
        ["edit", "out", text],
        ["edit", "out", "--file", "changes.toml"],
        ["run", "month.toml", "--check"],
    ):
        with contextlib.chdir(folder):
            done = world.command(words)
        assert done.code == 2, done
        assert "statement-unit" in done.err, done


@pytest.mark.parametrize("kinds", [(fuzz_files.EDITS, EDITS), (fuzz_files.VIEWS, KINDS)])
def test_the_grammar_has_every_statement_as_the_package_has_it(kinds):
    """Else the fuzzer never comes past the reader of tables."""
    grammar_of, package = kinds
    assert grammar_of.keys() == package.keys()
    for kind, table in grammar_of.items():
        more = {"semantics": "constraint"} if package is KINDS else {}
        assert read({"kind": kind, **table, **more}, package, where="grammar").kind == kind
        with pytest.raises(UnknownLabelError, match="odd_one"):
            read({"kind": kind, **table, **more, "odd_one": 1}, package, where="grammar")


@pytest.mark.parametrize("text", ["nan", "NaN", "NULL", "None", "N/A", "#N/A", "<NA>", "", " "])
def test_what_programs_write_for_missing_names_no_group(text):
    assert category(pd.Series([text, "x"])).tolist() == ["", "x"]
    universe = pd.DataFrame({"symbol": ["NA", "NULL"], "asset_class": "stock"})
    assert universe_table(universe)["symbol"].tolist() == ["NA", "NULL"]


@pytest.mark.parametrize("sign", ["a", "\U0001f4b9", "\u200b", "\x07", "\U000e0041"])
def test_a_view_of_many_signs_is_cut_however_they_are_written(sign):
    """Signs that are written by their codes take ten times the room of others."""
    names = [f"{sign * 40}{k}" for k in range(60)]
    for make in (
        lambda: Absolute(asset=sign * 3000, mean=0.01, semantics="evidence"),
        lambda: Portfolio(weights=dict.fromkeys(names, 0.01), mean=0.01, semantics="evidence"),
    ):
        with pytest.raises(DataError) as told:
            make()
        assert len(str(told.value)) < 1000
