"""The command `bdfm stress`, and what `bdfm risk` says beyond volatility, as a user runs them."""

import json

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import demo
from bdfm.risk import RiskModel, TimeSeriesEstimator, price, simple_returns
from bdfm.risk.book import active_risk, hedge, marginal_risk
from bdfm.risk.returns import compounded
from bdfm.risk.shocks import shock_factors
from bdfm.validation import backtest_tail, tail_of_model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    prices, _ = demo()
    prices = prices.loc["2017":"2022-02-04"]
    prices.to_csv(folder / "prices.csv")
    stocks = list(prices.columns[:8])
    rows = [("core", s, 0.125) for s in stocks]
    rows += [("tilt", stocks[0], 1.0), ("tilt", stocks[1], -0.5)]
    pd.DataFrame(rows, columns=["portfolio", "symbol", "weight"]).to_csv(folder / "book.csv", index=False)
    pd.DataFrame({"symbol": prices.columns, "weight": 1 / prices.shape[1]}).to_csv(
        folder / "benchmark.csv", index=False
    )
    daily = prices.pct_change(fill_method=None).iloc[1:]
    factors = pd.DataFrame({"Mkt-RF": daily.mean(axis=1), "SMB": daily.iloc[:, :3].mean(axis=1), "RF": 1e-5})
    factors["SMB"] -= factors["Mkt-RF"]
    factors.rename_axis("date").to_csv(folder / "factors.csv")
    return folder


def common(files):
    return (
        *("--prices", files / "prices.csv", "--portfolio", files / "book.csv"),
        *("--factors", files / "factors.csv", "--model", "time-series", "--model", "statistical"),
        *("--accept", "collinear-factors"),
    )


@pytest.mark.long
def test_risk_says_where_it_comes_from_and_what_to_do(bdfm_command, files):
    """Each table of the folder is what the functions give for the model of the folder."""
    out_dir = files / "risk"
    code, out, err = bdfm_command(
        "risk",
        *common(files),
        *("--benchmark", files / "benchmark.csv", "--hedge", "WMT", "--backtest", "40", "--out", out_dir),
    )
    assert code == 0, err
    for text in ("Largest parts", "Against the benchmark", "Minimum-variance hedge", "Alphas of the factors"):
        assert text in out
    assert "Principal components explain" in out
    assert "over 40 periods" in out
    model = RiskModel.load(out_dir / "time-series.nc")
    prices, _ = demo()
    tilt = {prices.columns[0]: 1.0, prices.columns[1]: -0.5}
    keys = {"index_col": [0, 1]}
    assets = pd.read_csv(out_dir / "assets.csv", index_col=[0, 1, 2]).sort_index()
    marginal = marginal_risk(model, tilt)
    for name, weight in tilt.items():
        row = assets.loc[("tilt", "time-series", name)]
        assert row["marginal"] == pytest.approx(float(marginal.sel(asset=name)))
        assert row["contribution"] == pytest.approx(weight * row["marginal"])
    total = assets.loc[("tilt", "time-series"), "contribution"].sum()
    assert total == pytest.approx(float(model.volatility(tilt)))
    equal = pd.Series(1 / prices.shape[1], prices.columns)
    active = pd.read_csv(out_dir / "active.csv", **keys).loc[("tilt", "time-series")]
    expected = active_risk(model, tilt, equal).iloc[0]
    pd.testing.assert_series_equal(active, expected, check_names=False)
    own = pd.read_csv(out_dir / "hedge.csv", **keys).loc[("tilt", "time-series")]
    assert own["WMT"] == pytest.approx(hedge(model, tilt, ["WMT"]).ratios["WMT"])
    returns = simple_returns(prices.loc["2017":"2022-02-04"], period="1w").iloc[-104:]
    factors = pd.read_csv(files / "factors.csv", index_col="date", parse_dates=True)
    weekly = compounded(factors, pd.DatetimeIndex(returns.index), accept=None)
    priced = price(returns, weekly.drop(columns="RF"), risk_free=weekly["RF"])
    alphas = pd.read_csv(out_dir / "alphas.csv", index_col=0)
    pd.testing.assert_frame_equal(alphas, priced.alphas, check_exact=False)
    summary = json.loads((out_dir / "summary.json").read_text())
    assert summary["all_alphas_zero"]["F"] == pytest.approx(priced.grs)
    shares = pd.read_csv(out_dir / "components.csv", index_col=0)["share"]
    values = np.linalg.eigvalsh(np.cov(returns.to_numpy().T))[::-1]
    np.testing.assert_allclose(shares, values / values.sum(), atol=1e-9)
    for name in ("assets", "active", "hedge", "alphas", "components", "backtest"):
        assert (out_dir / f"{name}.png").stat().st_size > 4000
        assert name in ("backtest", *summary["tables"])


@pytest.mark.long
def test_backtest_of_tails_is_the_walk_forward_of_the_package(bdfm_command, files):
    out_dir = files / "tails"
    code, _, err = bdfm_command(
        "risk", *common(files), "--window", "60", "--backtest", "30", "--level", "0.9", "--out", out_dir
    )
    assert code == 0, err
    prices, _ = demo()
    returns = simple_returns(prices.loc["2017":"2022-02-04"], period="1w").iloc[-90:]
    factors = pd.read_csv(files / "factors.csv", index_col="date", parse_dates=True)
    weekly = compounded(factors, pd.DatetimeIndex(returns.index), accept=None)
    estimator = TimeSeriesEstimator(
        weekly.drop(columns="RF"), risk_free=weekly["RF"], window=60, accept=("collinear-factors",)
    )
    core = pd.Series(0.125, prices.columns[:8])
    said = tail_of_model(estimator, returns, core, start=60, every=4, level=0.9)
    expected = backtest_tail(*(said[c] for c in said), level=0.9)
    row = pd.read_csv(out_dir / "backtest.csv", index_col=[0, 1]).loc[("core", "time-series")]
    assert row["exceedances"] == expected.n_hits
    assert row["expected"] == pytest.approx(3.0)
    assert row["kupiec"] == pytest.approx(expected.table.loc["unconditional coverage", "p_simulated"])
    assert row["expected_shortfall"] == pytest.approx(expected.table.loc["expected shortfall", "p_simulated"])
    series = pd.read_csv(out_dir / "backtest_series.csv", index_col=[0, 1, 2]).sort_index()
    np.testing.assert_allclose(series.loc[("core", "time-series"), "realised"], said["realised"])


@pytest.mark.long
def test_a_benchmark_may_be_a_symbol(bdfm_command, files):
    out_dir = files / "symbol"
    code, _, err = bdfm_command("risk", *common(files), "--benchmark", "WMT", "--out", out_dir)
    assert code == 0, err
    model = RiskModel.load(out_dir / "statistical.nc")
    prices, _ = demo()
    found = pd.read_csv(out_dir / "active.csv", index_col=[0, 1]).loc[("core", "statistical")]
    beta = model.beta_to({"WMT": 1.0}, dict.fromkeys(prices.columns[:8], 0.125))
    assert found["beta"] == pytest.approx(float(beta))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--benchmark", "WNT"), "neither a file nor a symbol of the prices. Did you mean WMT?"),
        (("--benchmark", "book.csv"), "holds 2 portfolios (core, tilt)"),
        (("--hedge", "WNT"), "unknown symbol WNT"),
        (("--backtest", "400"), "400 to test need 504"),
    ],
)
def test_what_risk_cannot_compare_with(bdfm_command, files, monkeypatch, options, message):
    monkeypatch.chdir(files)
    code, _, err = bdfm_command("risk", *common(files), *options)
    assert code == 2
    assert message in " ".join(err.split())


def test_stress_writes_a_page_a_picture_and_tables(bdfm_command, files):
    out_dir = files / "stress"
    code, out, err = bdfm_command(
        "stress",
        *common(files),
        *("--replay", "crash = 2020-03-02..2020-03-31", "--shock", "Mkt-RF=-10%", "--shock", "PC1=-2 sd"),
        *("--volatility", "2", "--correlation", "0.25", "--loss", "0.2", "--out", out_dir),
    )
    assert code == 0, err
    for text in ("Past windows", "Shocks to factors over 28 days", "Losing 20% over 28 days"):
        assert text in out
    moves = pd.read_csv(out_dir / "reverse_factors.csv", index_col=[0, 1, 2])
    said = f"PC1 {moves.loc[('tilt', 'statistical', 'PC1'), 'in_volatilities']:+.1f} sd"
    assert said in " ".join(out.split())
    factors = pd.read_csv(files / "factors.csv", index_col="date", parse_dates=True)
    prices, _ = demo()
    returns = simple_returns(prices.loc["2017":"2022-02-04"], period="1w").iloc[-104:]
    weekly = compounded(factors, pd.DatetimeIndex(returns.index), accept=None)
    model = TimeSeriesEstimator(weekly.drop(columns="RF"), risk_free=weekly["RF"]).fit(returns).scale_to(4)
    tilt = {prices.columns[0]: 1.0, prices.columns[1]: -0.5}
    shock = shock_factors(model, {"Mkt-RF": -0.1}, tilt).table.iloc[0]
    found = pd.read_csv(out_dir / "shocks.csv", index_col=[0, 1, 2])
    assert found.loc[("Mkt-RF -10 %", "tilt", "time-series"), "return"] == pytest.approx(shock["return"])
    assert ("PC1 -2 sd", "tilt", "statistical") in found.index
    assert ("PC1 -2 sd", "tilt", "time-series") not in found.index
    march = factors.loc["2020-03-02":"2020-03-31"].drop(columns="RF").to_numpy()
    x = np.array([1.0, -0.5]) @ model.exposures.sel(asset=list(tilt)).to_numpy()
    replay = pd.read_csv(out_dir / "replay.csv", index_col=[0, 1, 2])
    row = replay.loc[("crash", "tilt", "time-series")]
    assert row["return"] == pytest.approx(np.prod(1 + march @ x) - 1)
    risk = pd.read_csv(out_dir / "risk.csv", index_col=[0, 1, 2])
    both = risk.loc[("volatility x 2", "tilt", "statistical")]
    assert both["shocked"] == pytest.approx(2 * both["volatility"])
    page = (out_dir / "stress.html").read_text()
    assert page.count("<h2>") == 6
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")
    stored = json.loads((out_dir / "stress.json").read_text())
    assert stored["scenarios"]["loss"] == 0.2
    assert stored["reverse"][0]["loss"] == pytest.approx(0.2)
    assert (out_dir / "stress.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--shock", "oil=-10%"), "unknown factor oil"),
        (("--shock", "Mkt-RF"), "not understood"),
        (("--replay", "1999-01-01..1999-02-01"), "lack 1999-01-01 to 1999-02-01"),
        (("--replay", "yesterday"), "not understood"),
        (("--forecast", "nothing.nc"), "nothing.nc"),
    ],
)
def test_what_stress_cannot_answer(bdfm_command, files, options, message):
    code, _, err = bdfm_command("stress", *common(files), *options, "--out", files / "never")
    assert code == 2
    assert message in " ".join(err.split())
    assert not (files / "never").exists()


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (slice(None, "2022-01-19"), "go back to a day that it has (--origin 2022-01-19)"),
        (slice("2021-06-02", None), "Give a longer one, or fewer periods (--window)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["risk", "stress"])
def test_factors_of_other_days_than_the_prices_are_told(bdfm_command, files, command, days, told):
    table = pd.read_csv(files / "factors.csv", index_col="date", parse_dates=True).loc[days]
    table.to_csv(files / "other.csv")
    data = ("--prices", files / "prices.csv", "--factors", files / "other.csv", "--model", "time-series")
    code, _, err = bdfm_command(command, *data, "--accept", "collinear-factors")
    assert code == 2
    assert told in " ".join(err.split())
    assert f"The table runs from {table.index[0]:%Y-%m-%d} to {table.index[-1]:%Y-%m-%d}" in " ".join(
        err.split()
    )


@pytest.mark.parametrize(
    ("rule", "word"), [(None, "worst day"), ("W-FRI", "worst period"), ("ME", "worst period")]
)
def test_the_worst_of_a_window_is_of_the_prices_own_period(bdfm_command, files, rule, word):
    prices, _ = demo()
    table = prices.loc["2015":"2022-01-31"].iloc[:, :8]
    (table if rule is None else table.resample(rule).last().dropna()).to_csv(files / "prices_rule.csv")
    code, out, err = bdfm_command("stress", "--prices", files / "prices_rule.csv", "--model", "statistical",
                                  "--window", "60")  # fmt: skip
    assert code == 0, err
    assert word in " ".join(out.split()), out


def test_windows_of_weekly_prices_say_of_which_weeks_they_are(bdfm_command, tmp_path):
    """A week belongs to the window in which it ends: five from Friday to Friday, and not four."""
    prices = demo()[0].loc["2015":"2021-12-31"]
    weekly = prices[prices.index.day_of_week == 4]
    weekly.to_csv(tmp_path / "prices.csv")
    pd.DataFrame({"symbol": ["XOM", "KO"], "weight": 0.5}).to_csv(tmp_path / "book.csv", index=False)
    code, out, err = bdfm_command(
        "stress", "--prices", tmp_path / "prices.csv", "--portfolio", tmp_path / "book.csv",
        "--model", "statistical", "--replay", "crash = 2020-02-21..2020-03-20",
    )  # fmt: skip
    assert code == 0, err
    assert "Periods that end in the windows: 5 of crash." in out
    held = weekly[["XOM", "KO"]].pct_change().loc["2020-02-21":"2020-03-20"].mean(axis=1)
    assert f"{100 * ((1 + held).prod() - 1):+.2f}" in out
