"""The daily model as a user runs it: a horizon of days, the next evening, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import demo
from bdfm.forecast.forecast import Forecast
from bdfm.model.factor_model import presets
from bdfm.posterior.posterior import Posterior


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with prices, universe, calendar and the preset of few days and one factor."""
    folder = tmp_path_factory.mktemp("daily")
    prices, universe = demo()
    members = ["AAPL", "AMD", "BAC", "PEP"]
    prices.loc["2018":"2020", members].to_csv(folder / "prices.csv")
    universe[universe["symbol"].isin(members)].to_csv(folder / "universe.csv", index=False)
    (folder / "earnings.csv").write_text("symbol,date,session\nAMD,2020-07-28,post\nAAPL,2020-11-24,post\n")
    text = presets()["daily"].read_text(encoding="utf-8")
    text = text.replace("n_periods = 1000", "n_periods = 80").replace("n_factors = 20", "n_factors = 1")
    (folder / "small.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def arguments(files):
    data = ("--prices", files / "prices.csv", "--universe", files / "universe.csv")
    data += ("--earnings", files / "earnings.csv", "--accept", "earnings-cover", "--accept", "earnings-gap")
    return [
        "forecast",
        *data[:6],
        "--model",
        files / "small.toml",
        "--draws",
        50,
        "--tune",
        50,
        "--chains",
        2,
    ]


@pytest.fixture
def first(bdfm_command, arguments, files):
    if not (files / "first").exists():
        days = ("--origin", "2020-11-20", "--horizon", "5d", "--out", files / "first")
        code, _, err = bdfm_command(*arguments, *days)
        assert code == 0, err
    return files / "first"


def test_a_week_from_today(files, first):
    forecast = Forecast.load(first / "forecast.nc")
    assert f"{forecast.origin:%F} {forecast.end:%F}" == "2020-11-20 2020-11-27"
    submission = pd.read_csv(first / "submission.csv")
    ranks = submission.filter(like="Rank")
    np.testing.assert_allclose(ranks.sum(axis=1), 1.0, atol=1e-4)
    panel = Posterior.load(first / "posterior.nc").panel
    assert panel.n_history == 80
    flags = panel.future["earnings"].to_pandas()["AAPL"]
    assert list(flags[flags > 0].index.strftime("%F")) == ["2020-11-25"]
    assert json.loads((first / "summary.json").read_text())["model"] == "daily"


def test_the_run_file_makes_it_again(bdfm_command, first):
    assert 'horizon = "5d"' in (first / "run.toml").read_text()
    made = (first / "forecast.nc").read_bytes()
    code, _, err = bdfm_command("run", first / "run.toml")
    assert code == 0, err
    assert (first / "forecast.nc").read_bytes() == made


def test_the_next_evening_goes_on(bdfm_command, arguments, files, first):
    out = files / "next"
    days = ("--origin", "2020-11-23", "--horizon", "2020-12-04", "--warm-from", first, "--out", out)
    code, _, err = bdfm_command(*arguments, *days)
    assert code == 0, err
    before, after = (Posterior.load(x / "posterior.nc") for x in (first, out))
    assert after.attrs["warm_from"] == "2020-11-20"
    assert after.panel.n_future == 9
    np.testing.assert_array_equal(after.panel.history["period"][:-1], before.panel.history["period"][1:])
    assert f"{Forecast.load(out / 'forecast.nc').end:%F}" == "2020-12-04"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--horizon", "2020-11-20"), "--horizon: 2020-11-20 is not after the origin"),
        (("--horizon", "0d"), "0 periods; 1 to 260"),
        (("--evidence", "AMD=0.02,0.01"), "Fit without evidence, and give the forecast a view"),
        (("--horizon", "5d", "--period-days", "28"), "no number of periods of 28 days"),
    ],
)
def test_what_is_refused_before_the_fit(bdfm_command, arguments, files, options, told):
    code, _, err = bdfm_command(*arguments, "--origin", "2020-11-20", *options, "--out", files / "refused")
    assert code == 2
    assert told in " ".join(err.split())
    assert not (files / "refused").exists()
