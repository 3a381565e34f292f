"""Exposures in use: covariance, volatility over time and hedges against loops; gaps, late listings."""

import json
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from moving_betas import simulated
from scipy import stats

from bdfm.errors import DataError, DataWarning
from bdfm.exposures import (
    ConstantBetas,
    ExposureData,
    ExposureEstimator,
    KalmanBetas,
    RollingOLS,
    describe,
    exposures_risk,
    exposures_volatility,
    factor_hedge,
)
from bdfm.report import book
from bdfm.risk import RiskModel, hedge
from bdfm.risk.spans import span
from bdfm.validation import walk_forward

W = {"A1": 0.5, "A2": 0.7, "A5": -0.2}


@pytest.fixture(scope="module")
def late():
    """The same data with a late listing, a gap and an asset that ended."""
    returns, factors, _ = simulated()
    returns[:200, 3] = np.nan
    returns[250:260, 1] = np.nan
    returns[370:, 2] = np.nan
    days = pd.bdate_range("2020-01-01", periods=len(returns))
    data = ExposureData.from_arrays(
        returns, factors, days=days, assets=[f"A{i + 1}" for i in range(6)], factor_names=("market", "size")
    )
    return data, data.returns.to_pandas()


@pytest.fixture(scope="module")
def rolling(late):
    return RollingOLS(window_days=100, refresh_days=10).fit(late[0])


def by_hand(exposures, returns, day, life=63.0):
    """B, F and D of a day by loops."""
    d = exposures.dataset
    t = int(d["day"].to_index().get_loc(day))
    b, a = d["exposures"].to_numpy(), d["intercept"].to_numpy()
    f = d["factor_values"].to_numpy()
    weight = np.array([0.5 ** ((t - s) / life) for s in range(t + 1)])
    cov = sum(w * np.outer(x, x) for w, x in zip(weight, f, strict=False)) / weight.sum()
    specific = []
    for i in range(b.shape[1]):
        squares = []
        for s in range(1, t + 1):
            error = returns.iloc[s, i] - a[s - 1, i] - b[s - 1, i] @ f[s]
            if np.isfinite(error):
                squares.append(error**2)
        own = 0.5 ** (np.arange(len(squares))[::-1] / life)
        specific.append(own @ squares / own.sum() if squares else np.nan)
    return b[t], cov, np.array(specific)


def test_the_covariance_of_a_day_by_loops(rolling, late):
    day = rolling.dataset["day"].to_index()[-1]
    model = exposures_risk(rolling, late[1])
    b, f, d = by_hand(rolling, late[1], day)
    assert model.assets == ("A1", "A2", "A4", "A5", "A6")  # A3 ended
    keep = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(model.exposures, b[keep])
    np.testing.assert_allclose(model.factor_covariance, f)
    np.testing.assert_allclose(model.specific_variance, d[keep])
    assert model.origin == day
    assert "left out for want of returns: A3" in model.notes[1]
    assert float(model.scale_to(20).variance(W)) == pytest.approx(20 * float(model.variance(W)))
    assert model.observed_factors


def test_volatility_is_known_the_day_before(rolling, late):
    found = exposures_volatility(rolling, late[1], W)
    days = rolling.dataset["day"].to_index()
    for t in (200, 320, len(days) - 2):
        one = exposures_risk(rolling, late[1], day=days[t])
        assert found[days[t + 1]] == pytest.approx(float(one.volatility(W)), rel=1e-10)
    other = late[1].copy()
    other.iloc[300:] *= 3
    again = exposures_volatility(rolling, other, W)
    pd.testing.assert_series_equal(again.loc[: days[300]], found.loc[: days[300]])
    assert not again.loc[days[301] :].equals(found.loc[days[301] :])
    # A3 ended on day 370: of who holds it nothing is told from 21 days after on, as of the day's model.
    ended = exposures_volatility(rolling, late[1], {"A3": 1.0})
    assert ended.index[-1] == days[370 + 20]
    assert "A3" in exposures_risk(rolling, late[1], day=days[370 + 19]).assets
    assert "A3" not in exposures_risk(rolling, late[1], day=days[370 + 20]).assets
    # A4 is listed late: the book that holds it has a volatility later.
    assert exposures_volatility(rolling, late[1], {"A4": 1.0}).index[0] > found.index[0]


def test_moving_exposures_forecast_the_risk_of_moving_betas(moving):
    data, betas = moving
    returns = data.returns.to_pandas()
    w = pd.Series(1 / 6, list(data.assets))
    sd = exposures_volatility(KalmanBetas().fit(data), returns, w)
    came = (returns @ w).loc[sd.index]
    assert 0.85 < (came / sd).std() < 1.15
    truth = np.einsum("i,tik->tk", w, betas)
    path = factor_hedge(KalmanBetas().fit(data), w)
    assert np.abs(path.to_numpy()[-100:] + truth[-100:]).mean() < 0.15


def test_hedges(rolling, late):
    path = factor_hedge(rolling, W)
    b = rolling.exposures.sel(asset=list(W)).to_numpy()[-1]
    np.testing.assert_allclose(path.iloc[-1], -(np.array(list(W.values())) @ b))
    model = exposures_risk(rolling, late[1])
    found = hedge(model, W, ["A6"])
    cov = model.covariance().to_pandas()
    w = pd.Series(W).reindex(cov.index).fillna(0)
    assert found.ratios["A6"] == pytest.approx(-(cov.loc["A6"] @ w) / cov.loc["A6", "A6"])


def test_an_estimator_like_any_other(late):
    data, logs = late
    simple = np.expm1(logs)
    factors = data.factors.to_pandas()
    rate = pd.Series(1e-4, factors.index)
    estimator = ExposureEstimator(ConstantBetas(), factors)
    model = estimator.fit(simple)
    assert isinstance(model, RiskModel)
    assert model.origin == simple.index[-1]
    excess = ExposureEstimator(ConstantBetas(), factors, risk_free=rate).fit(simple)
    np.testing.assert_allclose(excess.exposures, model.exposures, atol=0.01)
    early = estimator.fit(simple.iloc[:380])
    assert early.origin == simple.index[379]
    with pytest.raises(DataError, match="no factor returns on"):
        ExposureEstimator(ConstantBetas(), factors.iloc[:-1]).fit(simple)
    with pytest.raises(DataError, match=r"(?s)market has an sd of.*percent, read as decimals"):
        ExposureEstimator(ConstantBetas(), 100 * factors).fit(simple)


def test_what_the_data_accept_is_accepted_in_use(late):
    """Two losses of all but nothing look like codes for missing, and are returns of a coin."""
    data, logs = late
    logs = logs.copy()
    logs.iloc[[150, 300], 0] = -0.9999
    accept = ["missing-code:A1"]
    made = ExposureData.from_arrays(
        logs.to_numpy(), data.factors.to_numpy(), days=logs.index, assets=data.assets,
        factor_names=data.factor_names, accept=accept,
    )  # fmt: skip
    found = RollingOLS(window_days=100).fit(made)
    for use in (
        lambda **more: exposures_risk(found, logs, **more),
        lambda **more: exposures_volatility(found, logs, W, **more),
    ):
        with pytest.raises(DataError, match=r"(?s)A1.*--accept missing-code:A1"):
            use()
        assert str(use(accept=accept)) == str(use(accept=None))


def test_factors_of_an_estimator_are_examined_once(late):
    """A refit of each origin told of them again, and nothing accepted what was right."""
    data, logs = late
    simple = np.expm1(logs[["A1", "A5", "A6"]])
    factors = data.factors.to_pandas()
    doubtful = factors.copy()
    doubtful.iloc[40, 0] = 1.05
    with pytest.raises(DataError, match=r"(?s)market.*--accept far-return:market"):
        ExposureEstimator(ConstantBetas(), doubtful)
    estimator = ExposureEstimator(ConstantBetas(), doubtful, accept=("far-return:market",))
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        assert len(walk_forward(estimator, simple, start=len(simple) - 4).table)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again = ExposureEstimator(ConstantBetas(), factors.assign(size=0.01 * factors["size"].cumsum()))
        walk_forward(again, simple, start=len(simple) - 4)
    assert len([w for w in told if "size" in str(w.message)]) == 1


def test_what_cannot_be_used(late):
    data, returns = late
    smooth = ConstantBetas(smoothed=True).fit(data)
    with pytest.raises(DataError, match="smoothed exposures know later days"):
        exposures_risk(smooth, returns)
    usual = ConstantBetas().fit(data)
    with pytest.raises(DataError, match="no returns on 5 of their days"):
        exposures_risk(usual, returns.iloc[:-5])
    with pytest.raises(DataError, match="Choose a later day"):
        exposures_risk(usual, returns, day=returns.index[30])


def test_descriptive_statistics_are_those_of_scipy(late):
    data, returns = late
    table, pairs = describe(data)
    own = returns["A4"].dropna()
    row = table.loc[("asset", "A4")]
    assert row["n_days"] == 200
    assert row["skewness"] == pytest.approx(stats.skew(own, bias=False))
    assert row["excess_kurtosis"] == pytest.approx(stats.kurtosis(own, bias=False))
    assert row["sharpe"] == pytest.approx(np.sqrt(252) * own.mean() / own.std())
    assert table.loc[("factor", "market"), "annual_sd"] == pytest.approx(
        np.sqrt(252) * data.factors.to_numpy()[:, 0].std(ddof=1)
    )
    upper = [returns.iloc[:, [i, j]].dropna().corr().iloc[0, 1] for i in range(6) for j in range(i)]
    assert pairs.loc["assets", "median"] == pytest.approx(np.median(upper))
    assert pairs.loc["assets", "max"] == pytest.approx(np.max(upper))
    market = [
        np.corrcoef(
            returns.iloc[:, i].dropna(), data.factors.to_pandas()["market"].loc[returns.iloc[:, i].notna()]
        )[0, 1]
        for i in range(6)
    ]
    assert pairs.loc["assets with market", "mean"] == pytest.approx(np.mean(market))


@pytest.mark.long
def test_risk_takes_a_file_of_exposures(bdfm_command, tmp_path):
    returns, factors, _ = simulated(n_days=700)
    days = pd.bdate_range("2019-01-01", periods=700)
    names = [f"A{i + 1}" for i in range(6)]
    pd.DataFrame(100 * np.exp(returns.cumsum(axis=0)), days, names).rename_axis("date").to_csv(
        tmp_path / "prices.csv"
    )
    pd.DataFrame(factors, days, ["market", "size"]).rename_axis("date").to_csv(tmp_path / "factors.csv")
    common = ("--prices", tmp_path / "prices.csv", "--factors", tmp_path / "factors.csv")
    code, _, err = bdfm_command(
        "exposures", *common, "--unit", "decimal", "--method", "rolling", "--window-days", "100",
        "--out", tmp_path / "exposures",
    )  # fmt: skip
    assert code == 0, err
    file = next((tmp_path / "exposures").glob("exposures_*.nc"))
    out_dir = tmp_path / "out"
    code, out, err = bdfm_command(
        "risk", *common, "--model", "time-series", "--exposures", file, "--hedge", "A6", "--out", out_dir
    )
    assert code == 0, err
    name = "exposures, rolling_ols"
    assert name in out
    model = RiskModel.load(out_dir / f"{name}.nc")
    assert model.periods == pytest.approx(20)  # four weeks
    risk = pd.read_csv(out_dir / "risk.csv", index_col=[0, 1])
    assert risk.loc[("equal", name), "volatility"] == pytest.approx(
        risk.loc[("equal", "time-series"), "volatility"], rel=0.5
    )
    assert name in json.loads((out_dir / "summary.json").read_text())["models"]
    code, _, err = bdfm_command(
        "risk", *common, "--model", "time-series", "--exposures", file, "--origin", "2020-06-01"
    )
    assert code == 0, err  # exposures of an earlier day are there too
    pd.read_csv(tmp_path / "prices.csv").iloc[:-20].to_csv(tmp_path / "short.csv", index=False)
    code, _, err = bdfm_command(
        "exposures", "--prices", tmp_path / "short.csv", *common[2:], "--unit", "decimal",
        "--method", "rolling", "--window-days", "100", "--out", tmp_path / "old",
    )  # fmt: skip
    assert code == 0, err
    old = next((tmp_path / "old").glob("exposures_*.nc"))
    code, _, err = bdfm_command("risk", *common, "--model", "time-series", "--exposures", old)
    assert code == 2
    assert "Choose an --origin among their days" in " ".join(err.split())

    gap = pd.read_csv(tmp_path / "prices.csv", index_col=0)
    gap.loc[gap.index[600:640], "A1"] = np.nan
    gap.to_csv(tmp_path / "gap.csv")
    pd.DataFrame({"symbol": ["A1", "A2"], "weight": 0.5}).to_csv(tmp_path / "book.csv", index=False)
    held = ("--prices", tmp_path / "gap.csv", "--portfolio", tmp_path / "book.csv", "--model", "statistical")
    code, _, err = bdfm_command("risk", *held, "--period", "5d")
    assert (code, "lack returns" in " ".join(err.split())) == (2, True)
    code, out, err = bdfm_command("risk", *held, "--period", "5d", *common[2:], "--exposures", file)
    assert code == 0, err
    assert "statistical: not made." in out
    assert name in out


def test_a_file_of_exposures_takes_prices_that_were_accepted(late, tmp_path):
    """Their returns are not asked about again: a command has accepted the prices."""
    data, logs = late
    found = RollingOLS(window_days=100).fit(data)
    found.save(tmp_path / "exposures.nc")
    logs = logs.fillna(0.0)
    logs.iloc[[150, 300], 0] = -0.9999
    prices = 100 * np.exp(logs.cumsum())
    with pytest.raises(DataError, match="missing-code"):
        exposures_risk(found, np.log(prices).diff())
    asked = SimpleNamespace(period="5d", period_days=None, calendar_months=False, horizon=4.0)
    model = book._moving(asked, tmp_path / "exposures.nc", prices, None, span("5d"))
    assert model.assets == data.assets
