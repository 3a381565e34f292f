"""Backtests of value at risk and expected shortfall against hand calculations and simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from bdfm.errors import DataError, DataWarning
from bdfm.forecast.forecast import Forecast
from bdfm.risk import StatisticalEstimator
from bdfm.validation.tail_backtest import (
    backtest_tail,
    coverage,
    independence,
    tail_of_forecasts,
    tail_of_model,
    tail_of_volatility,
)


def series(x):
    return pd.Series(np.asarray(x, dtype=float), pd.bdate_range("2020-01-01", periods=len(x)))


def test_kupiec_by_the_binomial_likelihood():
    """His own table: 9 failures in 255 days at 99 %; and the LR from scipy's binomial."""
    hits = np.zeros((2, 255), dtype=bool)
    hits[0, :9] = True
    hits[1, :3] = True
    found = coverage(hits, 0.01)
    for x, value in zip((9, 3), found, strict=True):
        by_hand = 2 * (stats.binom.logpmf(x, 255, x / 255) - stats.binom.logpmf(x, 255, 0.01))
        assert value == pytest.approx(by_hand, rel=1e-9)
    assert coverage(np.zeros((1, 255), dtype=bool), 0.01)[0] == pytest.approx(-2 * 255 * np.log(0.99))


def test_christoffersen_by_counts():
    """Transitions 0-0 4, 0-1 2, 1-0 2, 1-1 1 by hand."""
    hits = np.array([[0, 0, 1, 1, 0, 0, 0, 1, 0, 0]], dtype=bool)
    free = 4 * np.log(4 / 6) + 2 * np.log(2 / 6) + 2 * np.log(2 / 3) + np.log(1 / 3)
    tied = 6 * np.log(6 / 9) + 3 * np.log(3 / 9)
    assert independence(hits)[0] == pytest.approx(2 * (free - tied), abs=1e-12)
    clustered = np.array([[0, 0, 0, 0, 0, 0, 1, 1, 1, 1]], dtype=bool)
    free = 5 * np.log(5 / 6) + np.log(1 / 6)
    tied = 5 * np.log(5 / 9) + 4 * np.log(4 / 9)
    assert independence(clustered)[0] == pytest.approx(2 * (free - tied))


def test_expected_shortfall_by_hand():
    r = np.full(40, 0.01)
    r[[3, 9, 20]] = -0.05, -0.08, -0.03
    found = backtest_tail(series(r), series(np.full(40, 0.04)), series(np.full(40, 0.05)), level=0.95)
    assert found.n_hits == 2
    assert found.table.loc["expected shortfall", "statistic"] == pytest.approx(1 - 0.13 / (40 * 0.05 * 0.05))
    row = found.table.loc["conditional coverage"]
    parts = found.table.loc[["unconditional coverage", "independence"], "statistic"].sum()
    assert row["statistic"] == pytest.approx(parts)
    assert row["p_value"] == pytest.approx(stats.chi2.sf(parts, 2))
    assert found.plot().axes[0].get_title() == "2 of 40 beyond, 2.0 expected"


@pytest.mark.long
def test_right_forecasts_pass_and_wrong_ones_fail_as_often_as_p_values_say():
    rng = np.random.default_rng(3)
    var, es = tail_of_volatility(0.01, level=0.95)
    p, low = [], []
    for seed in range(100):
        r = 0.01 * rng.standard_normal(250)
        said = series(np.full(250, var)), series(np.full(250, es))
        draws = 0.01 * rng.standard_normal((250, 200))
        p.append(
            backtest_tail(series(r), *said, draws=draws, n_simulations=300, seed=seed).table["p_simulated"]
        )
        low.append(backtest_tail(series(1.6 * r), *said, n_simulations=300, seed=seed).table["p_simulated"])
    p, low = np.array(p), np.array(low)
    assert ((p < 0.1).mean(axis=0) < 0.1 + 3.5 * np.sqrt(0.09 / 100)).all()
    assert abs(p.mean(axis=0) - 0.5).max() < 0.11
    assert (low[:, 3] < 0.05).mean() > 0.95
    assert (low[:, 0] < 0.05).mean() > 0.8


def test_clusters_are_found():
    hits = np.tile(np.r_[np.ones(5), np.zeros(95)], 5)
    r = series(np.where(hits > 0, -0.03, 0.01))
    found = backtest_tail(r, series(np.full(500, 0.02)), level=0.95).table
    assert found.loc["independence", "p_simulated"] < 0.001
    assert found.loc["unconditional coverage", "statistic"] == pytest.approx(0, abs=1e-9)
    assert "expected shortfall" not in found.index


@pytest.mark.parametrize("dof", [None, 4.0])
def test_tail_of_a_volatility_by_integration(dof):
    law = stats.norm(0.01, 0.02) if dof is None else stats.t(dof, 0.01, 0.02 * np.sqrt((dof - 2) / dof))
    var, es = tail_of_volatility(0.02, level=0.95, mean=0.01, dof=dof)
    assert var == pytest.approx(-law.ppf(0.05))
    tail = integrate.quad(lambda x: x * law.pdf(x), -np.inf, law.ppf(0.05), epsabs=1e-12)[0] / 0.05
    assert es == pytest.approx(-tail, rel=1e-6)


def test_model_walks_forward_without_a_look_ahead(rng):
    days = pd.bdate_range("2020-01-01", periods=120)
    returns = pd.DataFrame(0.01 * rng.standard_normal((120, 4)), days, list("ABCD"))
    estimator, held = StatisticalEstimator(1), {"A": 0.5, "C": 0.5}
    found = tail_of_model(estimator, returns, held, start=100, every=10)
    for at in (0, 10):
        volatility = float(estimator.fit(returns.iloc[: 100 + at]).volatility(held))
        assert found["value_at_risk"].iloc[at + 9] == pytest.approx(stats.norm.ppf(0.95) * volatility)
    np.testing.assert_allclose(found["realised"], returns[["A", "C"]].mean(axis=1).iloc[100:])
    changed = returns.copy()
    changed.iloc[110:] *= 9
    other = tail_of_model(estimator, changed, held, start=100, every=10)
    pd.testing.assert_series_equal(found["value_at_risk"], other["value_at_risk"])


def test_forecasts_say_their_tails(rng):
    draws = 0.02 * rng.standard_normal((4000, 2))
    ends = pd.date_range("2020-01-31", periods=3, freq="28D")
    made = [
        Forecast.from_draws(
            k * draws, assets=("A", "B"), asset_class=["x"] * 2, origin=e - pd.Timedelta("28D"), end=e
        )
        for k, e in zip((1, 2, 3), ends, strict=True)
    ]
    table = tail_of_forecasts(made, pd.Series([0.0, -0.1, 0.1], ends), {"A": 1.0})
    np.testing.assert_allclose(table["value_at_risk"] / table["value_at_risk"].iloc[0], [1, 2, 3], rtol=1e-3)
    assert table["value_at_risk"].iloc[0] == pytest.approx(0.02 * 1.645, rel=0.06)
    with pytest.raises(DataError, match="no realised return on 2020"):
        tail_of_forecasts(made, pd.Series([0.0], ends[:1]), {"A": 1.0})
    with pytest.raises(DataError, match="no forecasts given"):
        tail_of_forecasts([], pd.Series([0.0], ends[:1]), {"A": 1.0})


def test_forecasts_count_once_and_in_order_of_time(rng):
    """Whatever their order; two of one end were one, and spans that overlap were told nothing of."""
    ends = pd.date_range("2020-01-31", periods=3, freq="28D")
    came = pd.Series([0.0, -0.1, 0.1], ends)

    def one(k, days=28):
        return Forecast.from_draws(
            0.02 * (k + 1) * rng.standard_normal((400, 2)), assets=["A", "B"], asset_class=["x"] * 2,
            origin=ends[k] - pd.Timedelta(days=days), end=ends[k],
        )  # fmt: skip

    made = [one(k) for k in range(3)]
    table = tail_of_forecasts(made[::-1], came, {"A": 1.0})
    pd.testing.assert_frame_equal(table, tail_of_forecasts(made, came, {"A": 1.0}))
    assert list(table["realised"]) == list(came)
    with pytest.raises(DataError, match="two forecasts end on 2020-02-28"):
        tail_of_forecasts([*made, one(1)], came, {"A": 1.0})
    with pytest.warns(DataWarning, match=r"2 of 3 forecasts begin before another one ends .* find too much"):
        tail_of_forecasts([one(k, days=40) for k in range(3)], came, {"A": 1.0})


def test_draws_count_by_their_weights(rng):
    """Draws of a forecast with a view: right outcomes are drawn by weight."""
    n, losses = 40, np.array([0.01, 0.05, 0.09])
    draws, weights = np.tile(-losses, (n, 1)), np.tile([18.0, 1, 1], (n, 1))
    r = np.full(n, 0.01)
    r[:6] = -0.07
    said = series(np.full(n, 0.04)), series(np.full(n, 0.07))
    found = {
        name: backtest_tail(series(r), *said, level=0.9, draws=draws, draw_weights=w, seed=3)
        for name, w in {"equal": None, "views": weights, "scaled": 5 * weights}.items()
    }
    p = {k: v.table.loc["expected shortfall", "p_simulated"] for k, v in found.items()}
    # 27 exceedances are right where draws count alike, 4 where by weight: six are many there.
    assert p["equal"] > 0.95
    assert 0.05 < p["views"] < 0.4
    assert p["scaled"] == p["views"]
    z = 1 - rng.binomial(n, 0.1, 4000) * 0.07 / (n * 0.07 * 0.1)  # each exceedance loses 0.07 on average
    exact = (z < 1 - 6 * 0.07 / (n * 0.07 * 0.1)).mean()
    assert p["views"] == pytest.approx(exact, abs=0.1)
    with pytest.raises(DataError, match="draw_weights of shape"):
        backtest_tail(series(r), *said, draws=draws, draw_weights=weights[:, :2])


def test_errors_say_what_is_wrong():
    r = series(np.zeros(30))
    with pytest.raises(DataError, match="expected shortfall is not positive or below"):
        backtest_tail(r, r + 0.02, r + 0.01)
    with pytest.raises(DataError, match="periods of value_at_risk"):
        backtest_tail(r, r.iloc[1:])
    with pytest.raises(DataError, match="At least 20"):
        backtest_tail(r.iloc[:5], r.iloc[:5])
    with pytest.raises(DataError, match="level must be"):
        backtest_tail(r, r, level=0.05)
    with pytest.raises(DataError, match="not in order of time"):
        backtest_tail(r.iloc[::-1], r.iloc[::-1])
    for few in (0, 1):  # p-values of 0.5 and 0.25, whatever came
        with pytest.raises(DataError, match="n_simulations must be a whole number of at least 20"):
            backtest_tail(r, r, n_simulations=few)
    with pytest.raises(DataError, match="1 value is missing"):
        backtest_tail(r, r.where(r.index != r.index[4]))


@pytest.mark.parametrize("level", [95, 0.05, 1.0])
def test_a_level_that_is_none_is_refused_where_it_made_nan(level):
    r = pd.DataFrame({"A": series(np.sin(np.arange(40.0)) / 50)})
    with pytest.raises(DataError, match="walk-forward tail risk: level must be"):  # before any fit
        tail_of_model(None, r, {"A": 1.0}, start=30, level=level)
    with pytest.raises(DataError, match="tail of a volatility: level must be"):
        tail_of_volatility(0.02, level=level)


def test_the_market_of_2018_to_2022_is_no_constant_volatility(shared_data):
    """Daily returns of the US market until 4 February 2022: one volatility for all days fails clearly."""
    daily = pd.read_csv(shared_data("french") / "ff3_daily.csv", index_col=0, parse_dates=True)
    r = (daily["Mkt-RF"] / 100).loc[:"2022-02-04"]
    whole = tail_of_volatility(np.full(len(r), r.iloc[:250].std()), level=0.99)
    ewma = np.sqrt(r.pow(2).ewm(alpha=0.06).mean().shift(1)).iloc[250:]
    constant = backtest_tail(r, *(pd.Series(x, r.index) for x in whole), level=0.99).table["p_simulated"]
    moving = backtest_tail(
        r.iloc[250:],
        *(pd.Series(x, ewma.index) for x in tail_of_volatility(ewma.to_numpy(), level=0.99)),
        level=0.99,
    ).table["p_simulated"]
    assert constant["independence"] < 0.1
    assert constant["expected shortfall"] < 0.01
    assert moving["independence"] > constant["independence"]
