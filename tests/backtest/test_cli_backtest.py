"""The commands backtest, compare and baselines as a user runs them."""

import re

import pytest


@pytest.mark.long
def test_backtest_and_compare(bdfm_command, data, origins, tmp_path):
    data.prices.to_csv(tmp_path / "prices.csv")
    data.universe.to_csv(tmp_path / "universe.csv", index=False)
    (tmp_path / "tiny.toml").write_text('name = "tiny"\nn_factors = 1\n', encoding="utf-8")
    arguments = [
        *("--prices", tmp_path / "prices.csv", "--universe", tmp_path / "universe.csv"),
        *("--first", f"{origins[0]:%Y-%m-%d}", "--last", f"{origins[1]:%Y-%m-%d}"),
        *("--draws", 20, "--tune", 20, "--chains", 2, "--n-draws", 400, "--out", tmp_path / "runs"),
    ]
    code, out, err = bdfm_command("backtest", "equal", "pca", tmp_path / "tiny.toml", *arguments)
    assert code == 0, err
    assert "equal: RPS 0.16000 over 2 origins" in out
    assert "nan" not in out
    assert "±" not in out  # two origins have no error
    assert "fits meet the thresholds asked for: worst R-hat" in out
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["equal", "pca", "tiny"]
    assert bdfm_command("backtest", "pca", tmp_path / "tiny.toml", *arguments)[0] == 0  # nothing to do
    code, out, _ = bdfm_command("compare", tmp_path / "runs", "--out", tmp_path / "page.html")
    assert code == 0
    assert "Best is " in out
    assert "nan" not in out
    assert "±" not in out.replace("1e-5 ± se", "")
    assert (tmp_path / "page.html").stat().st_size > 1_000_000
    code, _, err = bdfm_command("backtest", "pcca", *arguments)
    assert code == 2
    assert "Did you mean pca?" in err


def test_errors(bdfm_command, tmp_path):
    code, _, err = bdfm_command("compare", tmp_path)
    assert code == 2
    assert "no run of a backtest" in err
    code, _, err = bdfm_command("compare", tmp_path, "--score", "luck")
    assert code == 2
    assert "unknown score luck" in err


def test_updates_by_calendar_months_are_refused_before_anything_is_read(bdfm_command, tmp_path):
    words = ["backtest", "equal", "house", "--warm", 3, "--calendar-months", "--out", tmp_path / "runs"]
    words += ["--prices", "no.csv", "--universe", "no.csv", "--first", "2020-01-31", "--last", "2020-03-31"]
    code, _, err = bdfm_command(*words)
    assert code == 2
    assert "--warm: an update goes on from the origin a number of days before" in err
    assert "Leave out --warm, or give --period-days 28." in err


FITS = ["--warm 3", "--draws 50", "--tune 50", "--chains 3", "--thin 2", "--max-rhat 1.2", "--min-ess 10"]
FITS += ["--max-sweeps 5000", "--engine nuts", "--n-draws 500", "--tune 50 --thin 2"]


@pytest.mark.parametrize("options", FITS)
def test_options_of_fits_are_refused_where_there_are_none(bdfm_command, tmp_path, options):
    """Before anything is read; beside a model they are taken, whichever baselines there are."""
    words = ["--out", tmp_path / "runs", "--prices", "no.csv", "--universe", "no.csv"]
    words += ["--first", "2020-01-31", "--last", "2020-03-31", *options.split()]
    code, _, err = bdfm_command("backtest", "equal", "ewma-t", *words)
    assert code == 2
    named = ", ".join(options.split()[::2])
    assert f"backtest: {named}: for fits of models, and baselines have none" in " ".join(err.split())
    code, _, err = bdfm_command("backtest", "equal", "house", *words)
    assert code == 2
    assert "no.csv" in err or "NUTS" in err or "nuts" in err


def test_options_of_all_forecasters_are_taken_by_baselines(bdfm_command, tmp_path):
    words = ["--out", tmp_path / "runs", "--prices", "no.csv", "--universe", "no.csv", "--workers", 2]
    words += ["--first", "2020-01-31", "--last", "2020-03-31", "--late", 1, "--cores", 1, "--seed", 3]
    code, _, err = bdfm_command("backtest", "equal", *words)
    assert code == 2
    assert "no.csv" in err


def test_baselines_are_listed(bdfm_command):
    code, out, _ = bdfm_command("baselines")
    assert code == 0
    assert "ewma-t-5d" in out
    assert "DCC-GARCH" in out
    rows = re.split(r"\n(?=[a-z])", out)
    said = {row.split()[0]: " ".join(row.split()[1:]) for row in rows}
    assert len(set(said.values())) == len(rows) > 10
    assert "=" not in out  # words, not the names of fields
    assert said["ewma-normal"].endswith("normal margins")
    assert said["ewma-t"].endswith("Student-t margins, 5 degrees of freedom")
    assert said["har-5d"].endswith("correlations of returns over 5 days")
    assert "OAS" in said["oas"]
    assert said["fhs"].endswith("margins of past returns")
