"""The routine from month to month: roll, run into a ledger, track, as a user runs them."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import demo
from bdfm.errors import DataError, FileError, RenamedWarning, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import decide
from bdfm.report.month import read_month
from bdfm.report.roll import roll, to_text
from bdfm.report.run_file import read_run_file

pytestmark = pytest.mark.usefixtures("blank_pictures")  # what pictures show is tested where they are made

FILE = """
model = "m6"
seed = 3
n_draws = 4000
ledger = "book"

[data]
demo = true
origin = 2022-10-28

[sampler]
draws = 50
tune = 50
chains = 2

[shares]
Ann = 0.5
Ben = 0.5

[[edits]]
kind = "zero"
assets = ["PEP"]

[[edits]]
kind = "halted"
asset = "AMD"

[[views]]
kind = "ordering"
above = "AAPL"
below = "BAC"
probability = 0.6
semantics = "evidence"
by = "Ann"

[[views]]
kind = "absolute"
asset = "CVX"
mean = 0.01
sd = 0.1
semantics = "evidence"
by = "Ben"
"""
ALL = {"keep": ["views"]}


@pytest.fixture
def file(tmp_path):
    (tmp_path / "first.toml").write_text(FILE)
    return tmp_path / "first.toml"


@pytest.fixture(scope="module")
def prices():
    return demo()[0]


def test_the_next_month_keeps_what_holds_on(file, prices):
    rolled = roll(file, "2022-11-25", prices, keep=["view 2"], drop=["view 1"])
    assert rolled.kept[1] == "view 2: CVX returns 1 % ± 10 % (evidence, by Ben)"
    assert [t.split(":")[0] for t in rolled.kept] == ["edit 1", "view 2"]
    assert [t.split(":")[0] for t in rolled.dropped] == ["edit 2", "view 1"]
    text = to_text(rolled, file)
    assert text.startswith("# Rolled from first.toml.\n# Kept edit 1")
    table = tomllib.loads(text)
    assert f"{table['data']['origin']}" == "2022-11-25"
    assert table["out"] == "book/2022-11-25"
    assert table["model"] == "m6"
    assert table["sampler"] == {"draws": 50, "tune": 50, "chains": 2}
    assert [x["kind"] for x in table["edits"]] == ["zero"]
    assert [x["asset"] for x in table["views"]] == ["CVX"]
    assert table["shares"] == {"Ben": 0.5}


def test_draws_go_on_from_the_last_month_or_from_the_nearest_of_a_folder(file, prices):
    month = file.parent / "book" / "2022-10-28"
    month.mkdir(parents=True)
    (month / "posterior.nc").touch()
    for place, following in (("book/2022-09-30", "book/2022-10-28"), ("book", "book")):
        file.write_text(f'warm_from = "{place}"\n{FILE}')
        rolled = roll(file, "2022-11-25", prices, drop=["all"])
        assert rolled.run.warm_from.as_posix() == following


def test_a_rolled_file_is_in_order(file, prices):
    target = file.with_name("second.toml")
    target.write_text(to_text(roll(file, "2022-11-25", prices, **ALL), file))
    month = read_month(target)
    assert month.out == target.parent / "book" / "2022-11-25"
    assert f"{month.panel.origin:%Y-%m-%d}" == "2022-11-25"
    assert len(month.changes.views) == 2
    again = roll(target, "2022-12-23", prices, drop=["all"])
    assert again.run.edits == ()
    assert again.run.views == ()
    assert again.run.shares is None
    assert again.run.out.as_posix() == "book/2022-12-23"


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        (
            {},
            DataError,
            r"nothing was said of them: view 1 \(AAPL above BAC.*view 2 \(CVX returns"
            r'.*Say --keep "view 1" or --drop "view 1"',
        ),
        ({"keep": ["view 1"]}, DataError, r"nothing was said of them: view 2 \(CVX"),
        ({"keep": ["view 1"], "drop": ["view 1", "view 2"]}, DataError, "view 1 is both kept and dropped"),
        ({"keep": ["view 7"]}, UnknownLabelError, "unknown statement view 7"),
    ],
)
def test_statements_are_asked_about(how, kind, message, file, prices):
    with pytest.raises(kind, match=message):
        roll(file, "2022-11-25", prices, **how)


def test_a_file_of_the_version_before_is_rolled_with_new_names(file, prices):
    stated = '[[evidence]]\nasset = "AAPL"\nmean = 0.01\nsd = 0.1\n'
    file.write_text(FILE.replace("[shares]", f"{stated}[shares]"))
    new = to_text(roll(file, "2022-11-25", prices, keep=["all"]), file)
    before, views = file.read_text().split("[[views]]", 1)
    file.write_text(
        before.replace("assets = ", "symbols = ").replace("asset = ", "symbol = ") + "[[views]]" + views
    )
    with pytest.warns(RenamedWarning, match="is called asset") as told:
        rolled = roll(file, "2022-11-25", prices, keep=["all"])
    assert len(told) == 3
    assert to_text(rolled, file) == new
    assert "symbol" not in new


def test_the_nearest_word_counts(file, prices):
    rolled = roll(file, "2022-11-25", prices, keep=["all"], drop=["view 1", "edit 1"])
    assert [t.split(":")[0] for t in rolled.kept] == ["edit 2", "view 2"]


def test_time_goes_forward(file, prices):
    with pytest.raises(DataError, match=r"2022-10-28 is not after that of .*first\.toml, 2022-10-28"):
        roll(file, "2022-10-28", prices, **ALL)


def test_holdings_drift_by_their_returns(file, prices):
    out = file.parent / "book" / "2022-10-28"
    out.mkdir(parents=True)
    rng = np.random.default_rng(1)
    symbols = ["AAPL", "BAC", "CVX"]
    f = Forecast.from_draws(
        0.05 * rng.standard_normal((500, 3)),
        assets=symbols,
        asset_class=["stock"] * 3,
        origin="2022-10-28",
        end="2022-11-25",
    )
    decision = decide(f, method="equal", exposure=0.6)
    decision.save_in(f).save(out / "forecast.nc")
    held = roll(file, "2022-11-25", prices, **ALL).run.holdings
    growth = prices[symbols].asof(pd.Timestamp("2022-11-25")) / prices[symbols].asof(
        pd.Timestamp("2022-10-28")
    )
    money = 0.2 * growth
    for symbol in symbols:  # of the money that there is now: 0.4 of it stayed in cash
        assert held[symbol] == pytest.approx(money[symbol] / (0.4 + money.sum()), rel=1e-9)
    assert len(held) == 3
    with pytest.raises(UnknownLabelError, match=r"unknown asset BAC.*The book holds it: add its prices"):
        roll(file, "2022-11-25", prices.drop(columns="BAC"), **ALL)


def test_a_month_that_was_not_run_passes_its_own_holdings_on(run, file, prices):
    """They were dropped without a word, and the next month began in cash."""
    text = file.read_text()
    file.write_text(text + "\n[holdings]\nAAPL = 0.5\nBAC = 0.5\n")
    rolled = roll(file, "2022-11-25", prices, **ALL)
    growth = prices[["AAPL", "BAC"]].asof("2022-11-25") / prices[["AAPL", "BAC"]].asof("2022-10-28")
    for symbol, weight in (growth / growth.sum()).items():
        assert rolled.run.holdings[symbol] == pytest.approx(weight, rel=1e-9)
    assert "first.toml has no forecast in book/2022-10-28" in rolled.note
    code, out, err = run("roll", file, "--origin", "2022-11-25", "--keep", "all")
    assert code == 0
    assert "2 holdings, 100.0% invested" in out
    assert "the holdings are those of its file" in err
    assert "# first.toml has no forecast" in file.with_name("2022-11-25.toml").read_text()
    file.write_text(text)
    rolled = roll(file, "2022-11-25", prices, keep="all")
    assert not rolled.run.holdings
    assert rolled.note.endswith("there are no holdings")


def test_a_quiet_run_tells_that_it_has_not_converged(run, file):
    """A fixed number of draws ends without a warning, and a scheduler saw nothing."""
    file.write_text(file.read_text().replace('ledger = "book"', 'outputs = ["submission"]'))
    for more in ((), (file.with_name("second.toml"),)):
        for path in more:
            path.write_text('out = "second"\n' + file.read_text())
        code, out, err = run("run", file, *more, "--quiet")
        assert (code, out) == (0, "")
        assert "first.toml: not converged: worst R-hat" in err


def test_a_ledger_writes_over_nothing(file):
    out = file.parent / "book" / "2022-10-28"
    out.mkdir(parents=True)
    assert read_run_file(file)[0].out.as_posix() == "book/2022-10-28"
    (out / "forecast.nc").write_bytes(b"x")
    already = r'holds a month already, of the ledger book, .* such as out = "book/2022-10-28_1"'
    with pytest.raises(FileError, match=already):
        read_month(file)
    assert [p.name for p in out.parent.iterdir()] == [
        out.name
    ]  # a refusal enters nothing, this or another month
    file.write_text('out = "elsewhere"\n' + FILE)
    with pytest.raises(DataError, match="out elsewhere is no folder in the ledger book"):
        read_month(file)


def test_a_month_that_a_check_refuses_is_not_written(run, file):
    text = file.read_text()
    file.write_text('accept = ["no-such-rule"]\n' + text)
    before = sorted(file.parent.iterdir())
    for _ in range(2):  # the same call says the same again, not that a file is there
        code, _, err = run("roll", file, "--origin", "2022-11-25", "--keep", "views", "--check")
        assert code == 2
        assert "no-such-rule" in err
        assert sorted(file.parent.iterdir()) == before
    file.write_text(text)
    assert run("roll", file, "--origin", "2022-11-25", "--keep", "views", "--check")[0] == 0
    assert file.with_name("2022-11-25.toml").exists()


@pytest.mark.long
def test_three_months_as_a_routine(run, file, prices):
    code, out, err = run("run", file)
    assert code == 0, err
    code, out, err = run("roll", file, "--origin", "2022-11-25", "--keep", "views")
    assert code == 0, err
    assert "kept view 1: AAPL above BAC" in out
    assert "dropped edit 2" in out
    assert "holdings" in out
    second = file.with_name("2022-11-25.toml")
    assert run("roll", file, "--origin", "2022-11-25", "--keep", "views")[0] == 2  # not written over
    code, out, err = run("run", second, "--check", "--json")
    assert code == 0, err
    assert json.loads(out)["origin"] == "2022-11-25"
    code, out, err = run("run", second, "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert printed["out"].endswith("2022-11-25")
    assert printed["model"] == "m6"
    code, out, _ = run("run", file.with_name("first.toml"), "--check", "--quiet")
    assert (code, out) == (2, "")  # it is in the ledger
    summary = json.loads((file.parent / "book" / "2022-11-25" / "summary.json").read_text())
    assert 0 <= summary["turnover"] < 0.1
    code, out, err = run("run", second)
    assert code == 2
    assert "holds a month already" in err
    for words in (("decide",), ("edit", "drop KO"), ("view", "--constraint", "KO > PEP : 0.6")):
        target = file.parent / "book" / "2022-11-25" / "forecast.nc"
        before = target.read_bytes()
        place = () if words[0] == "decide" else ("--out", target)
        code, _, err = run(words[0], target.parent, *words[1:], *place)
        assert (code, target.read_bytes()) == (2, before)
        assert "in which nothing is written over" in " ".join(err.split())
    prices.to_csv(file.with_name("prices.csv"))
    code, out, err = run("track", file.parent / "book", "--prices", file.with_name("prices.csv"), "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [m["origin"] for m in found["months"]] == ["2022-10-28", "2022-11-25"]
    assert {p["by"] for p in found["people"]} == {"model", "Ann", "Ben"}
    assert len(found["views"]) == 4
    page = (file.parent / "book" / "track.html").read_text(encoding="utf-8")
    assert "Record of 2 months" in page
    code, out, _ = run("track", file.parent / "book", "--prices", file.with_name("prices.csv"), "--quiet")
    assert code == 0
    assert out == ""
    code, out, _ = run("track", file.parent / "book", "--prices", file.with_name("prices.csv"))
    for part in ("Months", "Means", "Views", "People", "RPS gain"):
        assert part in out


def test_a_run_file_among_its_results_rolls_to_a_folder_beside_them(file, prices):
    place = file.parent / "first"
    place.mkdir()
    inside = place / "run.toml"
    inside.write_text('out = "."\n[data]\ndemo = true\norigin = 2022-10-28\n')
    assert roll(inside, "2022-11-25", prices).run.out.as_posix() == "../2022-11-25"


def test_a_horizon_that_was_a_date_is_as_far_from_the_new_origin(file, prices):
    """The 18th of November is 15 market days after the 28th of October."""
    text = 'model = "daily"\n[data]\ndemo = true\norigin = 2022-10-28\nhorizon = [1, "5d", 2022-11-18]\n'
    stated = '[[evidence]]\nasset = "AAPL"\nmean = 0.01\nsd = 0.1\nhorizon = 2022-11-04\n'
    (file.parent / "daily.toml").write_text(text + stated)
    rolled = roll(file.parent / "daily.toml", "2022-11-25", prices, keep=["evidence"])
    assert rolled.run.data.horizon == (1, "5d", "15d")
    assert rolled.run.evidence[0].horizon == "5d"
    assert "evidence 1: AAPL returns 1 % ± 10 % over 2022-11-04" in rolled.kept
