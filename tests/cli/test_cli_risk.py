"""The command `bdfm risk` as a user runs it."""

import io
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bdfm._sheet import Sheet
from bdfm.cli.console import out
from bdfm.cli.show_risk import alphas
from bdfm.data.sources import demo, read_prices
from bdfm.exposures import read_factors
from bdfm.risk import RiskModel, simple_returns
from bdfm.risk.returns import compounded

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture
def run(bdfm_command):
    """Run `bdfm risk ...`."""
    return lambda *args: bdfm_command("risk", *args)


@pytest.fixture(scope="module")
def files_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    prices, _ = demo()
    prices = prices.loc["2019":"2022-06-30"]
    prices.to_csv(folder / "prices.csv")
    stocks = list(prices.columns[:20])
    pd.DataFrame({"symbol": prices.columns, "sector": ["x", "y"] * 12 + ["x"]}).to_csv(
        folder / "sectors.csv", index=False
    )
    rows = [("core", s, 0.05) for s in stocks]
    rows += [("tilt", stocks[0], 1.0), ("tilt", stocks[1], -0.5)]
    pd.DataFrame(rows, columns=["portfolio", "symbol", "weight"]).to_csv(folder / "book.csv", index=False)
    market = prices.pct_change(fill_method=None).iloc[1:].mean(axis=1)
    pd.DataFrame({"market": market}).rename_axis("date").to_csv(folder / "factors.csv")
    return folder


@pytest.fixture
def files(files_once, tmp_path):
    return shutil.copytree(files_once, tmp_path, dirs_exist_ok=True)


@pytest.mark.drawn
def test_models_agree_with_the_package(run, files):
    code, out, err = run(
        *("--prices", files / "prices.csv", "--portfolio", files / "book.csv"),
        *("--sectors", files / "sectors.csv", "--factors", files / "factors.csv"),
        *("--origin", "2022-02-04", "--out", files / "out"),
    )
    assert code == 0, err
    assert "Volatility over 28 days" in out
    table = pd.read_csv(files / "out" / "risk.csv", index_col=["portfolio", "model"])
    assert list(table.index) == [
        (p, m) for p in ("core", "tilt") for m in ("time-series", "cross-sectional", "statistical")
    ]
    prices, _ = demo()
    returns = simple_returns(prices.loc["2019":"2022-02-04"], period_days=7).iloc[-104:]
    core = pd.Series(0.05, prices.columns[:20])
    for name in ("time-series", "cross-sectional", "statistical"):
        model = RiskModel.load(files / "out" / f"{name}.nc")
        assert model.periods == 4
        assert model.origin == pd.Timestamp("2022-02-04")
        assert float(model.volatility(core)) == pytest.approx(table.loc[("core", name), "volatility"])
        realised = 2 * (returns[core.index] @ core).std()
        assert 0.8 * realised < table.loc[("core", name), "volatility"] < 1.2 * realised
        assert (files / "out" / f"{name}.png").stat().st_size > 5000
    assert set(json.loads((files / "out" / "summary.json").read_text())["models"]) == {
        "time-series", "cross-sectional", "statistical"}  # fmt: skip


def test_figures_stay_whole_in_80_columns():
    console = Console(width=80, file=io.StringIO())
    heads = ["volatility", "90 % interval", "systematic", "specific", "systematic share"]
    table = Sheet("Volatility, %", ["portfolio", "model"], heads)
    figures = ["8.92", "14.23 to 15.96", "7.74", "4.42", "75"]
    table.add_row("core", "cross-sectional", *figures)
    table.add_row("core", "own returns, last 104", "6.30", *[""] * 4)
    console.print(table)
    lines = console.file.getvalue().splitlines()
    assert all(any(f in line for line in lines) for f in (*figures, "6.30"))
    assert {"90 %", "interval", "volatility", "systematic", "share"} <= set(
        re.split(r"\s{2,}|\s(?!%)", "  ".join(lines))
    )


def test_equal_weights_and_validation(run, files):
    code, out, err = run("--prices", files / "prices.csv", "--model", "statistical", "--validate")
    assert code == 0, err
    assert "equal" in out
    assert "checks" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("tilt,AAPL", "tilt,ZZZ"), "unknown symbol ZZZ"),
        (lambda t: t.replace("-0.5", "half"), "'half'"),
        (lambda t: t.replace("weight", "wait"), "missing column weight"),
        (lambda t: t + t.splitlines()[-1] + "\n", "given twice"),
    ],
)
def test_bad_portfolio(run, files, change, message):
    path = files / "book.csv"
    text = path.read_text()
    path.write_text(change(text))
    assert change(text) != text
    code, _, err = run("--prices", files / "prices.csv", "--portfolio", path, "--model", "statistical")
    assert code == 2
    assert message in err


@pytest.fixture
def dead(tmp_path):
    """Prices of A, B, C, D, one of which ended, and a portfolio of two of the others."""

    def make(ended="D", held=("A", "B")):
        rng = np.random.default_rng(5)
        days = pd.bdate_range("2019-01-01", "2021-12-31")
        steps = 0.01 * rng.standard_normal((len(days), 1)) + 0.01 * rng.standard_normal((len(days), 4))
        prices = pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), days, list("ABCD"))
        prices.loc["2020-06-01":, ended] = np.nan
        prices.rename_axis("date").to_csv(tmp_path / "prices.csv")
        pd.DataFrame({"symbol": held, "weight": 1 / len(held)}).to_csv(tmp_path / "book.csv", index=False)
        market = prices.pct_change(fill_method=None).iloc[1:][["A", "B", "C"]].mean(axis=1)
        factors = pd.DataFrame({"Mkt-RF": market, "RF": 0.0002}).fillna(0).rename_axis("date")
        factors.to_csv(tmp_path / "factors.csv")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("ended", "held", "options"),
    [
        ("D", ("A", "B"), ["--model", "statistical"]),
        ("A", ("B", "C"), []),
        ("C", ("D",), ["--period", "5d"]),
        ("B", ("A", "C", "D"), ["--calendar-months"]),
    ],
)
def test_an_asset_that_ended_is_left_out_by_name(run, dead, ended, held, options):
    folder = dead(ended, held)
    code, out, err = run(
        *("--prices", folder / "prices.csv", "--portfolio", folder / "book.csv", "--out", folder / "out"),
        *options,
    )
    assert code == 0, err
    assert (
        f"Left out for want of returns in the last {35 if '--calendar-months' in options else 104} per" in out
    )
    assert json.loads((folder / "out" / "summary.json").read_text())["left_out"] == [ended]
    assert ended not in RiskModel.load(folder / "out" / "statistical.nc").assets


def test_a_held_asset_that_ended_is_an_error_and_a_gap_ends_one_model_alone(run, dead):
    folder = dead("A", ("A", "B"))
    files = ("--prices", folder / "prices.csv", "--portfolio", folder / "book.csv")
    code, _, err = run(*files, "--window", "52")
    assert code == 2
    assert "A, held by a portfolio, has no return in the last 52 periods" in " ".join(err.split())
    code, out, err = run(*files, "--factors", folder / "factors.csv", "--out", folder / "out")
    assert code == 0, err
    assert "statistical: not made." in out
    assert "lack returns" in " ".join(out.split())
    summary = json.loads((folder / "out" / "summary.json").read_text())
    assert set(summary["models"]) == {"time-series"}
    assert set(summary["failures"]) == {"statistical", "cross-sectional"}
    code, _, err = run(*files, "--model", "statistical")
    assert (code, "lack returns" in " ".join(err.split())) == (2, True)
    code, _, err = run(*files, "--model", "statistical", "--model", "cross-sectional")
    assert (code, "no model could be made" in err) == (2, True)


def test_only_some_assets(run, dead):
    folder = dead()
    prices = ("--prices", folder / "prices.csv", "--model", "statistical", "--out", folder / "out")
    code, out, err = run(*prices, "--only", "C", "--only", "A", "--only", "B")
    assert code == 0, err
    assert "Left out" not in out
    universe = pd.DataFrame({"symbol": list("ABC"), "asset_class": "x"})
    universe.to_csv(folder / "universe.csv", index=False)
    before = pd.read_csv(folder / "out" / "risk.csv")
    assert run(*prices, "--universe", folder / "universe.csv")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "out" / "risk.csv"), before)
    code, _, err = run(*prices, "--only", "Z")
    assert (code, "unknown symbol Z" in err) == (2, True)
    code, _, err = run(*prices, "--only", "A", "--portfolio", folder / "book.csv")
    assert (code, "portfolios hold B" in err) == (2, True)


def test_the_risk_free_rate_comes_off_the_assets_and_is_no_factor(run, dead):
    folder = dead()
    options = ("--prices", folder / "prices.csv", "--model", "time-series", "--out", folder / "out")
    options += ("--only", "A", "--only", "B", "--only", "C")
    assert run(*options, "--factors", folder / "factors.csv")[0] == 0
    model = RiskModel.load(folder / "out" / "time-series.nc")
    assert list(model.factors) == ["Mkt-RF"]
    prices = read_prices(folder / "prices.csv")[["A", "B", "C"]]
    returns = simple_returns(prices, period="1w").iloc[-104:]
    daily = read_factors(folder / "factors.csv", unit="decimal")
    weekly = compounded(daily, returns.index)
    by_hand = returns.sub(weekly["RF"], axis=0)
    x = np.column_stack([np.ones(104), weekly["Mkt-RF"]])
    slopes = np.linalg.lstsq(x, by_hand.to_numpy(), rcond=None)[0]
    np.testing.assert_allclose(np.asarray(model.exposures)[:, 0], slopes[1], rtol=1e-10)
    residual = by_hand.to_numpy() - x @ slopes
    variance = np.square(residual).sum(axis=0) / (104 - 2) * 4  # over four weeks
    np.testing.assert_allclose(np.asarray(model.specific_variance), variance, rtol=1e-10)
    # The same in percent, and under another name of the rate
    first = pd.read_csv(folder / "out" / "risk.csv")
    table = (100 * daily).rename(columns={"RF": "risk_free"}).rename_axis("date")
    table.to_csv(folder / "percent.csv")
    assert run(*options, "--factors", folder / "percent.csv", "--unit", "percent")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "out" / "risk.csv"), first)


@pytest.mark.long
def test_volatility_of_market_days_is_that_of_weeks(run, dead):
    folder = dead()
    volatility = {}
    for period, horizon in (("1d", 20), ("5d", 4), ("1w", 4), ("20d", 1), ("4w", 1)):
        code, out, err = run(
            *("--prices", folder / "prices.csv", "--model", "statistical", "--only", "A", "--only", "B"),
            *("--period", period, "--horizon", horizon, "--window", 700, "--out", folder / "out"),
        )
        assert code == 0, err
        assert f"over {'28 days' if 'w' in period else '20 market days'}" in out
        volatility[period] = float(pd.read_csv(folder / "out" / "risk.csv")["volatility"].iloc[0])
    # A day's variance is 1.5e-4; one component of two assets counts what is left of them as independent
    assert volatility["1d"] == pytest.approx(np.sqrt(20 * 0.00015), rel=0.15)
    for period in ("5d", "1w", "20d", "4w"):
        assert volatility[period] == pytest.approx(volatility["1d"], rel=0.2), period


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--period-days", 1], "weekends would count as returns of zero. Give market days, 1d"),
        (["--period", "1x"], "'1x' is none. Write market days as 1d"),
        (["--period", "1w", "--calendar-months"], "exclude each other"),
        (["--origin", "2035-01-01"], "outside of the prices, which run from 2019-01-01 to 2021-12-31"),
        (["--origin", "1999-01-01"], "outside of the prices"),
    ],
)
def test_periods_and_origins_that_are_none(run, dead, options, message):
    code, _, err = run("--prices", dead() / "prices.csv", "--model", "statistical", *options)
    assert code == 2
    assert message in " ".join(err.split())


def test_monthly_prices(run, dead):
    folder = dead()
    table = read_prices(folder / "prices.csv").groupby(pd.Grouper(freq="ME")).last()
    table.rename_axis("date").to_csv(folder / "monthly.csv")
    options = ("--prices", folder / "monthly.csv", "--model", "statistical", "--out", folder / "out")
    code, out, err = run(*options, "--validate")
    assert code == 0, err
    assert "over 1 month," in out
    code, _, err = run(*options, "--period", "1w")
    assert (code, "too few for periods of 7 days" in " ".join(err.split())) == (2, True)
    returns = simple_returns(table.dropna(axis=1), period="1m")
    pd.testing.assert_frame_equal(
        returns,
        table.dropna(axis=1).pct_change(fill_method=None).iloc[1:],
        check_freq=False,
        check_index_type=False,
        check_names=False,
    )


@pytest.mark.parametrize(
    ("option", "what"), [("--portfolio", "portfolio"), ("--factors", "factors"), ("--sectors", "sectors")]
)
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00bad", b"symbol,weight,sector,date\n", b"one\n"])
def test_files_that_are_no_tables(run, dead, option, what, content):
    folder = dead()
    (folder / "bad.csv").write_bytes(content)
    code, _, err = run(
        *("--prices", folder / "prices.csv", option, folder / "bad.csv"),
        *("--only", "A", "--only", "B", "--only", "C"),
    )
    assert code == 2
    assert "Traceback" not in err
    assert what in err


def test_missing_files(run, files):
    code, _, err = run("--prices", files / "prices.csv", "--model", "time-series")
    assert (code, "needs --factors" in err) == (2, True)
    code, _, err = run("--prices", files / "nothing.csv")
    assert code == 2
    assert "does not exist" in err


def test_small_p_values_of_alphas_are_not_zero():
    rows = {"alpha": [0.01, 0.002], "se": 0.001, "t": [10.0, 2.0], "p_value": [1e-9, 0.04], "r_squared": 0.5}
    table = pd.DataFrame(rows, index=["A", "B"])
    found = SimpleNamespace(alphas=table, spanned=[], grs=9.0, grs_freedom=(2, 50), grs_p_value=1e-5)
    with out.capture() as told:
        alphas(found)
    first, second = (line.split() for line in told.get().splitlines() if line.split()[:1] in (["A"], ["B"]))
    assert first[-3:-1] == ["<", "0.001"]
    assert second[-2] == "0.040"
    assert "F(2, 50) = 9.00, p < 0.001." in " ".join(told.get().split())
