"""Risk of the next days on the command line: of a posterior alone, and after the other models' tables."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from daily_draws import ORIGIN, SYMBOLS, daily_posterior
from few import few

from bdfm.data.sources import demo
from bdfm.model.evidence import Evidence
from bdfm.posterior.posterior import Posterior
from bdfm.risk.ahead import risk_ahead

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folder of a forecast, a book with cash, and prices up to the origin."""
    place = tmp_path_factory.mktemp("ahead")
    daily_posterior().save(place / "posterior.nc")
    (place / "book.csv").write_text("symbol,weight\nAAPL,0.5\nAMD,0.3\nCASH,0.2\n")
    prices, _ = demo()
    prices.loc["2019":ORIGIN, SYMBOLS].to_csv(place / "prices.csv")
    return place


def words(text):
    return " ".join(text.split())


@pytest.mark.drawn
def test_of_a_posterior_alone(bdfm_command, folder):
    out = folder / "out"
    options = ("--portfolio", folder / "book.csv", "--seed", 3, "--out", out)
    code, told, err = bdfm_command("risk", "--posterior", folder, *options)
    assert code == 0, err
    assert f"Next market days from {ORIGIN}" in words(told)
    assert "Announcements ahead of assets held" in words(told)
    assert "AMD" in told
    assert "PEP" not in told  # it announces, and is not held
    tables = {"ahead.csv", "ahead.png", "announcements.csv"}
    assert {p.name for p in out.iterdir()} == {*tables, "summary.json", ".bdfm.json"}
    table = pd.read_csv(out / "ahead.csv", index_col=["portfolio", "day", "measure"])
    assert list(table.index.levels[1]) == list(range(1, 9))  # as many as the posterior has
    week = table.loc[("book", 5)]
    assert week.loc["expected_shortfall", "value"] > week.loc["value_at_risk", "value"]


@pytest.mark.long
def test_after_the_other_models(bdfm_command, folder, monkeypatch):
    """The same table, beside models of past returns; the posterior's file is read once."""
    read, load = [], Posterior.load
    monkeypatch.setattr(Posterior, "load", lambda path: read.append(path) or load(path))
    out = folder / "both"
    data = ("--prices", folder / "prices.csv", "--portfolio", folder / "book.csv", "--period", "1d")
    options = ("--model", "statistical", "--window", 200, "--days", 3, "--seed", 3, "--out", out)
    code, told, err = bdfm_command("risk", *data, *options, "--posterior", folder / "posterior.nc")
    assert code == 0, err
    assert "Next market days" in words(told)
    assert "Bayesian" in told
    assert len(read) == 1
    alone = risk_ahead(daily_posterior(), {"AAPL": 0.5, "AMD": 0.3}, seed=3, days=3)
    table = pd.read_csv(out / "ahead.csv", index_col=["portfolio", "day", "measure"])
    assert list(table.index.levels[1]) == [1, 2, 3]
    assert table["value"].tolist() == pytest.approx(alone.table["value"].astype(float).tolist())
    assert "Bayesian" in json.loads((out / "summary.json").read_text())["models"]


@pytest.mark.long
def test_the_next_days_end_no_other_table(bdfm_command, folder):
    """What the posterior's paths cannot do is said, and refused only where days are asked for."""
    far = daily_posterior().with_evidence(Evidence("AAPL", 0.9, 0.001, 1))
    far.save(folder / "far.nc")
    data = ("--prices", folder / "prices.csv", "--portfolio", folder / "book.csv", "--period", "1d")
    options = ("--model", "statistical", "--window", 200, "--posterior", folder / "far.nc")
    code, told, err = bdfm_command("risk", *data, *options)
    assert code == 0, err
    assert "Next days: not worked out. evidence (AAPL returns 90" in words(told)
    code, _, err = bdfm_command("risk", *data, *options, "--days", 3)
    assert code == 2
    assert "evidence (AAPL returns 90" in words(err)


@pytest.mark.long
@pytest.mark.parametrize("command", few(["risk", "stress"], ("stress",)))
def test_a_posterior_of_another_market_day_is_refused(bdfm_command, folder, command):
    """A weekend may lie between it and the other models' last day, no day with prices."""
    prices, _ = demo()
    prices.loc["2018":"2021", SYMBOLS].to_csv(folder / "longer.csv")
    data = ("--prices", folder / "longer.csv", "--portfolio", folder / "book.csv", "--period", "1d")
    options = ("--model", "statistical", "--window", 100, "--posterior", folder / "posterior.nc")
    for day in (ORIGIN, "2020-11-22"):
        code, _, err = bdfm_command(command, *data, *options, "--origin", day)
        assert code == 0, err
    for day in ("2019-11-20", "2020-11-19", "2020-11-23", "2021-11-20"):
        code, _, err = bdfm_command(command, *data, *options, "--origin", day)
        assert code == 2
        assert f"posterior.nc: its forecast was made on {ORIGIN}" in words(err)
        assert f"Pass --origin {ORIGIN}" in words(err)


@pytest.mark.parametrize("command", ["risk", "stress"])
@pytest.mark.parametrize(
    ("last", "refuses"), [("2020-11-20", False), ("2020-11-19", True), ("2020-11-17", True)]
)
def test_prices_that_end_before_the_day_of_the_posterior_are_refused(
    bdfm_command, folder, command, last, refuses
):
    """No later price says that there was a trading day: the calendar does."""
    prices, _ = demo()
    prices.loc["2018":last, SYMBOLS].to_csv(folder / "short.csv")
    data = ("--prices", folder / "short.csv", "--portfolio", folder / "book.csv", "--period", "1d")
    options = ("--model", "statistical", "--window", 100, "--posterior", folder / "posterior.nc")
    code, _, err = bdfm_command(command, *data, *options)
    if not refuses:
        assert code == 0, err
        return
    assert code == 2
    assert (
        f"posterior.nc: its forecast was made on {ORIGIN}, and the other models use prices up to {last}"
        in words(err)
    )
    assert f"Use prices up to {ORIGIN}, or the forecast of {last}." in words(err)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "--prices is missing. Give a file of daily closes; or --posterior"),
        (("--posterior", "."), "--model, --origin, and no --prices"),
        (("--posterior", ".", "--hedge-limits", -1, 0), "has no effect without --hedge"),
        (("--posterior", ".", "--days", 9), "day 9 is beyond the panel's 8 future days"),
    ],
)
def test_what_is_refused(bdfm_command, folder, monkeypatch, options, told):
    monkeypatch.chdir(folder)
    more = ("--model", "statistical", "--origin", ORIGIN) if options == ("--posterior", ".") else ()
    code, _, err = bdfm_command("risk", *options, *more)
    assert code == 2
    assert told in words(err)


def test_days_without_a_posterior_of_days(bdfm_command, folder):
    data = ("--prices", folder / "prices.csv", "--period", "1d", "--model", "statistical", "--window", 100)
    code, _, err = bdfm_command("risk", *data, "--days", 3)
    assert code == 2
    assert "--days 3: needs the --posterior of a model of market days" in words(err)
