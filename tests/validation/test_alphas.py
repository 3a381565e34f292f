"""Alphas out of sample: planted ones last, luck does not, and nothing looks ahead."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from bdfm import validation
from bdfm.errors import DataError
from bdfm.validation import forecast_alphas

T, N = 160, 30
DAYS = pd.bdate_range("2018-01-01", periods=T)
FACTORS = pd.DataFrame(np.random.default_rng(3).normal(0.002, 0.02, (T, 2)), DAYS, ["market", "size"])


def simulate(rng, spread):
    b = rng.normal(1, 0.3, (2, N))
    alphas = rng.normal(0, spread, N)
    noise = rng.normal(0, 0.01, (T, N))
    return alphas, pd.DataFrame(alphas + FACTORS.to_numpy() @ b + noise, DAYS, [f"A{i}" for i in range(N)])


@pytest.mark.long
def test_planted_alphas_last_and_shrink_by_their_error():
    spread, window = 0.002, 80
    rng = np.random.default_rng(0)
    slopes, known = [], []
    for _ in range(12):
        alphas, returns = simulate(rng, spread)
        found = forecast_alphas(returns, FACTORS, window=window, step=20)
        slopes.append(found.table.loc["slope", "value"])
        known.append(np.corrcoef(found.forecast.iloc[0], alphas)[0, 1])
        assert found.table.loc["rank correlation", "value"] > 0.3
        assert found.table.loc["r_squared", "value"] > 0
    # what regression to the mean leaves: variance of alphas over that of their estimates
    reliability = np.mean(np.square(known))
    assert np.mean(slopes) == pytest.approx(reliability, abs=0.08)
    assert 0.5 < reliability < 0.9


@pytest.mark.long
def test_luck_does_not_last():
    rng = np.random.default_rng(1)
    tables = [forecast_alphas(simulate(rng, 0.0)[1], FACTORS, window=80, step=20).table for _ in range(12)]
    slopes = [t.loc["slope", "value"] for t in tables]
    assert abs(np.mean(slopes)) < 3 * np.std(slopes, ddof=1) / np.sqrt(len(slopes))
    assert np.mean([t.loc["r_squared", "value"] for t in tables]) < 0


def test_one_origin_by_hand():
    _, returns = simulate(np.random.default_rng(2), 0.002)
    returns.iloc[100:110, 3] = np.nan
    rate = pd.Series(0.0001, DAYS)
    found = forecast_alphas(returns, FACTORS, risk_free=rate, window=80, step=30)
    assert list(found.forecast.index) == [DAYS[79], DAYS[109], DAYS[139]]
    y = returns["A3"].sub(rate).iloc[30:110].dropna()
    ols = sm.OLS(y, sm.add_constant(FACTORS.loc[y.index])).fit()
    assert found.forecast.loc[DAYS[109], "A3"] == pytest.approx(ols.params["const"])
    after = returns["A3"].sub(rate).iloc[110:140] - FACTORS.iloc[110:140] @ ols.params[["market", "size"]]
    assert found.realised.loc[DAYS[109], "A3"] == pytest.approx(after.mean())
    x, z = found.forecast.iloc[0].to_numpy(), found.realised.iloc[0].to_numpy()
    row = found.by_origin().iloc[0]
    assert row["slope"] == pytest.approx(np.polyfit(x, z, 1)[0])
    assert row["rank_correlation"] == pytest.approx(stats.spearmanr(x, z).statistic)
    left = np.nansum(np.square(found.realised - found.forecast).to_numpy())
    whole = np.nansum(np.square(found.realised).to_numpy())
    assert found.table.loc["r_squared", "value"] == pytest.approx(1 - left / whole)


def test_no_look_ahead():
    _, returns = simulate(np.random.default_rng(4), 0.001)
    one = forecast_alphas(returns, FACTORS, step=20)
    later, moved = returns.copy(), FACTORS.copy()
    later.iloc[120:] = later.iloc[120:] * -1.5
    moved.iloc[120:] *= -1.2
    other = forecast_alphas(later, moved, step=20)
    pd.testing.assert_frame_equal(one.forecast.iloc[:3], other.forecast.iloc[:3])
    pd.testing.assert_frame_equal(one.realised.iloc[:2], other.realised.iloc[:2])
    assert not np.allclose(one.realised.iloc[2], other.realised.iloc[2])


def test_what_cannot_be_asked():
    _, returns = simulate(np.random.default_rng(5), 0.001)
    with pytest.raises(DataError, match="none left"):
        forecast_alphas(returns, FACTORS, start=T)
    with pytest.raises(DataError, match="2 assets"):
        forecast_alphas(returns.iloc[:, :2], FACTORS)
    with pytest.raises(DataError, match=r"origin 2018-01-04.*fewer than"):
        forecast_alphas(returns, FACTORS, start=4)


def test_presentation():
    _, returns = simulate(np.random.default_rng(6), 0.001)
    found = forecast_alphas(returns, FACTORS, step=40)
    assert "slope" in repr(found)
    assert "rank correlation" in found._repr_html_()
    found.plot().draw_without_rendering()


def test_combinations_of_the_factors_have_no_alphas():
    rng = np.random.default_rng(6)
    weeks = pd.bdate_range("2019-01-04", periods=90, freq="W-FRI")
    factors = pd.DataFrame(rng.normal(0, 0.02, (90, 2)), weeks, ["a", "b"])
    returns = pd.DataFrame(rng.normal(0, 0.02, (90, 4)), weeks, list("ABCD")).add(factors["a"], axis=0)
    plain = validation.forecast_alphas(returns, factors, window=50, step=10)
    beside = returns.assign(X=factors["a"], Y=0.5 * factors["a"] - factors["b"], Z=0.0)
    found = validation.forecast_alphas(beside, factors, window=50, step=10)
    assert found.forecast[["X", "Y", "Z"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.table, plain.table)
    with pytest.raises(
        DataError, match="X, Y, Z: combinations of the factors, or without a move, so that 1 asset is"
    ):
        validation.forecast_alphas(beside[["A", "X", "Y", "Z"]], factors, window=50, step=10)
