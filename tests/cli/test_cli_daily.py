"""The daily model as a user runs it: a horizon of days, the next evening, and what is refused."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from bdfm.cli import app
from bdfm.data.sources import demo
from bdfm.forecast.forecast import Forecast
from bdfm.model.factor_model import presets
from bdfm.posterior.posterior import Posterior

pytestmark = pytest.mark.usefixtures("blank_pictures")

FILES = (("forecast", ".nc"), ("submission", ".csv"), ("quantiles", ".png"))


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
        "--n-draws",
        6000,
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


@pytest.fixture(scope="module")
def several(arguments, files):
    """Folder of three horizons in one run, with evidence on a week; what was printed."""
    out, told = files / "several", StringIO()
    options = ("--origin", "2020-11-20", "--out", out, "--evidence", "PEP = -5% +- 1% over 5d")
    days = ("--horizon", "1d", "--horizon", "5d", "--horizon", "2020-12-01")
    words = ["bdfm", *(str(x) for x in (*arguments, *options, *days))]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
        patch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit, match=r"^0$"):
            app.main()
    return out, told.getvalue()


LABELS = {"": "2020-11-23", "_5d": "2020-11-27", "_2020-12-01": "2020-12-01"}


@pytest.mark.long
def test_several_horizons_have_their_files(several):
    """One fit; the first horizon has the plain names, each further one its label in them."""
    out, told = several
    files = {p.name for p in out.iterdir()}
    each = {f"{stem}{x}{end}" for x in LABELS for stem, end in FILES}
    assert files == each | {"posterior.nc", "run.toml", "summary.json", ".bdfm.json"}
    for label, end in LABELS.items():
        forecast = Forecast.load(out / f"forecast{label}.nc")
        assert f"{forecast.end:%F}" == end
        assert f"2020-11-20 to {end}" in told
        assert (
            abs(pd.read_csv(out / f"submission{label}.csv").filter(like="Rank").sum(axis=1) - 1).max() < 1e-4
        )
    facts = json.loads((out / "summary.json").read_text())
    assert facts["horizons"] == {"1d": 1, "5d": 5, "2020-12-01": 7}
    assert facts["evidence"] == [["PEP", -0.05, 0.01, 5]]
    assert "horizons 1d, 5d, 2020-12-01" in " ".join(told.split())


@pytest.mark.long
def test_evidence_on_a_week_is_in_every_horizon(several):
    """Each day of the week takes its part of the fall, and what comes after stays."""
    means = []
    for label in LABELS:
        forecast = Forecast.load(several[0] / f"forecast{label}.nc")
        record = forecast.records[0]
        assert record.kind == "evidence"
        assert record.text == "PEP returns -5.0000% ± 1.0000% over 5 periods (evidence inside the model)."
        means.append(float(forecast.weights @ forecast.draws.sel(asset="PEP")))
    day, week, month = means
    assert -0.04 < day < -0.002
    assert -0.053 < week < -0.035  # what the model expects has its part
    np.testing.assert_allclose(month, week, atol=0.01)


def test_paths_are_the_same_in_all_horizons(several):
    """Draw j of a day and of a week is one path: the day is part of the week."""
    posterior = Posterior.load(several[0] / "posterior.nc").with_evidence()
    found = posterior.forecasts(["1d", 2], seed=1, n_draws=2000)
    assert list(found) == ["1d", "2d"]
    first, both = (np.log1p(x.draws.to_numpy().astype(float)) for x in found.values())
    common = [np.corrcoef(first[:, j], both[:, j])[0, 1] for j in range(first.shape[1])]
    assert min(common) > 0.5
    assert max(np.corrcoef(first[:, j], (both - first)[:, j])[0, 1] for j in range(4)) < 0.3


def test_a_report_of_a_further_horizon(bdfm_command, several):
    code, _, err = bdfm_command("report", several[0] / "forecast_5d.nc")
    assert code == 0, err
    assert (several[0] / "report_5d.html").exists()
    (several[0] / "report_5d.html").unlink()


@pytest.mark.long
def test_a_run_file_of_several_horizons(bdfm_command, several):
    """It says what it will do, and makes the same files."""
    out, _ = several
    code, told, err = bdfm_command("run", out / "run.toml", "--check")
    assert code == 0, err
    assert "horizons 1d, 5d, 2020-12-01" in " ".join(told.split())
    made = (out / "forecast_5d.nc").read_bytes()
    code, _, err = bdfm_command("run", out / "run.toml")
    assert code == 0, err
    assert (out / "forecast_5d.nc").read_bytes() == made


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--horizon", "2020-11-20"), "--horizon: 2020-11-20 is not after the origin"),
        (("--horizon", "0d"), "0 periods; 1 to 260"),
        (("--horizon", "5d", "--period-days", "28"), "no number of periods of 28 days"),
        (
            ("--horizon", "2020-11-21"),
            "no market day after the origin 2020-11-20 up to 2020-11-21, a Saturday",
        ),
        (("--horizon", "5d", "--horizon", "5"), "--horizon: 5d and 5 are both 5 periods of one market day"),
        (("--horizon", "1", "--horizon", "2020-11-23"), "1 and 2020-11-23 are both 1 period"),
        (("--horizon", "1d", "--horizon", "300d"), "300 periods; 1 to 260"),
        (("--evidence", "AMD=0.02"), "is not understood. Write the return of one asset"),
        (("--evidence", "AMD=0.02,0.01,1,2"), "is not understood. Write the return of one asset"),
        (("--evidence", "AMD=0.02,0.01,soon"), "--evidence on AMD"),
        (("--horizon", "1d", "--horizon", "5d", "--evidence", "AMD=0.02,0.01"), "over which horizon?"),
    ],
)
def test_what_is_refused_before_the_fit(bdfm_command, arguments, files, options, told):
    code, _, err = bdfm_command(*arguments, "--origin", "2020-11-20", *options, "--out", files / "refused")
    assert code == 2
    assert told in " ".join(err.split())
    assert not (files / "refused").exists()
