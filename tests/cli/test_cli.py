"""The command line as a user runs it: files written, messages, exit codes."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from bdfm.cli.month import _evidence
from bdfm.data.sources import demo
from bdfm.forecast.forecast import Forecast
from bdfm.model.factor_model import presets
from bdfm.posterior.posterior import Posterior


@pytest.fixture(scope="module")
def files_once(tmp_path_factory):
    """A small universe as a user has it: 8 assets of the demo, 5 years of prices."""
    folder = tmp_path_factory.mktemp("files")
    prices, universe = demo()
    members = [*universe["symbol"][:6], *universe["symbol"][-2:]]
    prices.loc["2016":"2020", members].to_csv(folder / "prices.csv")
    universe[universe["symbol"].isin(members)].to_csv(folder / "universe.csv", index=False)
    return folder


@pytest.fixture
def files(files_once, tmp_path):
    return shutil.copytree(files_once, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def arguments(files):
    return [
        "forecast",
        *("--prices", files / "prices.csv", "--universe", files / "universe.csv", "--origin", "2020-12-18"),
        *("--draws", 50, "--tune", 50, "--chains", 2, "--n-draws", 6000, "--out", files / "out"),
    ]


def test_forecast_writes_all_files(bdfm_command, arguments, files):
    code, out, _ = bdfm_command(*arguments, "--zero", "AAPL", "--seed", 7)
    assert code == 0
    folder = files / "out"
    assert sorted(p.name for p in folder.iterdir()) == [
        ".bdfm.json", "forecast.nc", "posterior.nc", "quantiles.png", "run.toml", "submission.csv",
        "summary.json",
    ]  # fmt: skip
    submission = pd.read_csv(folder / "submission.csv")
    assert list(submission.columns) == ["ID", "Rank1", "Rank2", "Rank3", "Rank4", "Rank5", "Decision"]
    assert len(submission) == 8
    np.testing.assert_allclose(submission.iloc[:, 1:6].sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(submission["Decision"].sum(), 0.25, atol=1e-9)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["model"] == "house"
    assert (summary["origin"], summary["end"], summary["seed"]) == ("2020-12-18", "2021-01-15", 7)
    assert (summary["n_assets"], summary["zero"]) == (8, ["AAPL"])
    assert list(summary["seconds"]) == ["compile", "sample", "forecast", "total"]
    assert {"max_rhat", "min_ess_bulk", "min_ess_tail", "divergences"} <= set(summary["diagnostics"])
    assert {"bdfm", "pymc", "python"} <= set(summary["versions"])
    forecast = Forecast.load(folder / "forecast.nc")
    assert float(np.abs(forecast.draws.sel(asset="AAPL")).max()) == 0
    assert Posterior.load(folder / "posterior.nc").panel.n_history == summary["n_periods"]
    assert "Quintile probabilities" in out
    assert "submission.csv" in out


def without(arguments, options):
    """A command and its options, but for those that are given otherwise."""
    given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    return [arguments[0], *(x for k, value in given.items() if k not in options for x in (k, value))]


@pytest.mark.long
def test_a_forecast_is_repeated_by_its_run_file(bdfm_command, arguments, files):
    options = ["--zero", "AAPL", "--evidence", "BBY = 2% +- 10%", "--period-days", 21, "--seed", 7]
    options += [
        "--draws",
        400,
        "--tune",
        50,
        "--chains",
        2,
    ]  # the evidence's period is drawn anew as often as draws have to be repeated
    assert bdfm_command(*without(arguments, options), *options)[0] == 0
    folder = files / "out"
    names = ("forecast.nc", "submission.csv", "quantiles.png", "run.toml")
    before = {name: (folder / name).read_bytes() for name in names}
    code, out, err = bdfm_command("run", folder / "run.toml")
    assert code == 0, err
    assert "no decision" in " ".join(out.split())
    assert {name: (folder / name).read_bytes() for name in names} == before
    assert {p.name for p in folder.iterdir()} == {*names, "posterior.nc", "summary.json", ".bdfm.json"}
    assert Posterior.load(folder / "posterior.nc").evidence[0].asset == "BBY"


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (("TLT = 2% +- 10%", "TLT=0.02,0.10", "TLT = 0.02 ± 0.1", "TLT = 2%, 10%"), ("TLT", 0.02, 0.1)),
        (("SPY = -5% +- 1% over 5d", "SPY=-0.05,0.01,5d"), ("SPY", -0.05, 0.01, "5d")),
        (("AAPL US Equity=0.02,0.10", "'AAPL US Equity' = 2% +- 10%"), ("AAPL US Equity", 0.02, 0.1)),
        (("'AAPL US Equity'=0.02,0.10,5d",), ("AAPL US Equity", 0.02, 0.1, "5d")),
    ],
)
def test_evidence_has_the_text_of_a_view(texts, values):
    names = ("asset", "mean", "sd", "horizon")
    for text in texts:
        assert _evidence(text).model_dump(exclude_unset=True) == dict(zip(names, values, strict=False)), text


def change(path, function):
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    function(table).to_csv(path, index=False)


BAD_FILES = {
    "text price": ("prices.csv", lambda t: t.assign(AAPL=["abc", *t["AAPL"][1:]]), "AAPL"),
    "negative price": ("prices.csv", lambda t: t.assign(AAPL=["-1", *t["AAPL"][1:]]), "AAPL"),
    "infinite price": ("prices.csv", lambda t: t.assign(AAPL=["inf", *t["AAPL"][1:]]), "AAPL"),
    "duplicate date": ("prices.csv", lambda t: pd.concat([t, t.tail(1).assign(AAPL="1.5")]), "2020-12-31"),
    "ends early": ("prices.csv", lambda t: t.assign(AAPL=[*t["AAPL"][:-200], *[""] * 200]), "AAPL.*--zero"),
    "no usable return": (
        "prices.csv",
        lambda t: t.assign(AAPL=[*[""] * (len(t) - 10), *t["AAPL"][-10:]]),
        "AAPL",
    ),
    "no such symbol": ("universe.csv", lambda t: t.assign(symbol=["AAPLE", *t["symbol"][1:]]), "AAPLE"),
    "duplicate symbol": ("universe.csv", lambda t: pd.concat([t, t.tail(1)]), "more than once"),
    "no class column": ("universe.csv", lambda t: t.drop(columns="asset_class"), "asset_class"),
    "empty class": (
        "universe.csv",
        lambda t: t.assign(asset_class=["", *t["asset_class"][1:]]),
        "asset_class|class",
    ),
    "too short": ("prices.csv", lambda t: t.tail(300), "24"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file_is_one_message_and_nothing_is_written(bdfm_command, arguments, files, case):
    name, function, message = BAD_FILES[case]
    change(files / name, function)
    code, _, err = bdfm_command(*arguments)
    assert code == 2
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert pd.Series([err]).str.contains(message).all(), err
    assert not (files / "out").exists()


BAD_OPTIONS = {
    "unknown zero": (["--zero", "ZZZ"], "--zero: unknown symbol ZZZ"),
    "unknown evidence": (["--evidence", "ZZZ=0.1,0.1"], "evidence: unknown asset ZZZ"),
    "evidence form": (["--evidence", "AAPL:0.1"], "is not understood. Write the return of one asset"),
    "evidence on two": (
        ["--evidence", "AAPL - KO = 1% +- 2%"],
        "Write the return of one asset and its error",
    ),
    "evidence bound": (["--evidence", "AAPL >= 1% +- 2%"], "Write the return of one asset and its error"),
    "evidence number": (["--evidence", "AAPL=0.1,x"], "sd must be a number, got 'x'"),
    "evidence on zero": (["--zero", "AAPL", "--evidence", "AAPL=0.1,0.1"], "its return is set to zero"),
    "origin early": (["--origin", "2001-01-05"], "origin"),
    "origin late": (["--origin", "2031-01-03"], "origin"),
    "origin text": (["--origin", "soon"], "'soon' is not a date"),
    "model": (["--model", "m7x"], "unknown preset m7x"),
    "two periods": (["--period-days", "28", "--calendar-months"], "exclude each other"),
    "no file": (["--prices", "nowhere.csv"], "nowhere.csv"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_option_is_one_message_and_nothing_is_written(bdfm_command, arguments, files, case):
    options, message = BAD_OPTIONS[case]
    code, _, err = bdfm_command(*without(arguments, options), *options)
    assert code == 2
    assert err.startswith("Error: ")
    assert message in err
    assert not (files / "out").exists()


def test_a_missing_universe_is_told_with_what_it_holds(bdfm_command, arguments, files):
    at = arguments.index("--universe")
    code, _, err = bdfm_command(*arguments[:at], *arguments[at + 2 :])
    assert code == 2
    for word in ("--universe is missing", "symbol and asset_class", "a list of symbols"):
        assert word in " ".join(err.split())
    assert not (files / "out").exists()


def test_unknown_earnings_are_a_counted_warning(bdfm_command, arguments, files):
    (files / "earnings.csv").write_text("symbol,date\nAAPL,2020-10-29\nZZZ,2020-10-29\n")
    code, _, err = bdfm_command(*arguments, "--earnings", files / "earnings.csv")
    assert code == 0
    assert "Warning: " in err
    assert "ZZZ" in err


def test_out_that_cannot_be_a_folder(bdfm_command, arguments, files):
    (files / "out").write_text("a file")
    code, _, err = bdfm_command(*arguments)
    assert code == 2
    assert "out" in err
    assert (files / "out").read_text() == "a file"


def test_full_disk_leaves_old_files_intact(bdfm_command, arguments, files, monkeypatch):
    assert bdfm_command(*arguments)[0] == 0
    before = {p.name: p.read_bytes() for p in (files / "out").iterdir()}

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = bdfm_command(*arguments, "--seed", 9)
    assert code == 2
    assert "space" in err
    assert {p.name: p.read_bytes() for p in (files / "out").iterdir()} == before


def test_interrupt_says_what_is_left(bdfm_command, arguments, files, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("bdfm.report.month.sampled", stop)
    code, _, err = bdfm_command(*arguments)
    assert code == 130
    assert "Every file is whole" in err
    assert not (files / "out").exists()


def test_models_lists_the_presets(bdfm_command):
    code, out, _ = bdfm_command("models")
    assert code == 0
    for name, path in presets().items():
        assert f"\n{name} " in out
        assert path.parent.name in out
    assert "…" not in out
    assert "The model that we recommend: half of its draws" in out
    said = re.findall(r"^(\w+)  +(.+)$", out, re.MULTILINE)
    assert len({text for _, text in said}) == len(said) > 8


@pytest.mark.shared_data
def test_score_of_the_official_example(bdfm_command, m6_dir):
    example = m6_dir / "scoring_example"
    options = ["--prices", example / "prices.csv", "--origin", "2022-03-04", "--end", "2022-04-01"]
    code, out, _ = bdfm_command("score", "--submission", example / "submission.csv", *options, "--json")
    assert code == 0
    result = json.loads(out)
    assert round(result["rps"], 5) == 0.15158
    assert round(result["ir"], 5) == 4.06932
    assert round(result["equal_rps"], 5) == 0.16


@pytest.mark.shared_data
def test_equal_fifths_score_016(bdfm_command, m6_dir, tmp_path):
    example = m6_dir / "scoring_example"
    submission = pd.read_csv(example / "submission.csv")
    submission[[f"Rank{k}" for k in range(1, 6)]] = 0.2
    submission.to_csv(tmp_path / "equal.csv", index=False)
    options = ["--prices", example / "prices.csv", "--origin", "2022-03-04", "--end", "2022-04-01"]
    code, out, _ = bdfm_command("score", "--submission", tmp_path / "equal.csv", *options)
    assert code == 0
    assert "RPS 0.16000" in out
