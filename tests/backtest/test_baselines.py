"""Baselines: estimates against other libraries, and none of them sees the future."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from forecasters import Naive

from bdfm.backtest import Late, MarketData, QuantileForecast, baselines, look_ahead
from bdfm.backtest.dcc import DCC, _dcc_ahead, _dcc_parameters, _garch, _garch_filter
from bdfm.backtest.filtered import FilteredHistorical
from bdfm.backtest.simple import EWMA, HAR, EqualFifths, HistoricalFifths, PCAFactors, Shrinkage
from bdfm.data.covariance import pairwise_correlation, summed, volatility
from bdfm.data.features import day_numbers
from bdfm.data.periods import period_edges
from bdfm.data.weighting import halved
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.model.copula import to_student

SMALL = {
    name: f.model_copy(update={"n_draws": 400}) if hasattr(f, "n_draws") else f
    for name, f in baselines().items()
}


@pytest.fixture(scope="module")
def history(data, origins):
    return data.history(origins[4])


@pytest.fixture(scope="module")
def gaps(rng_module):
    returns = rng_module.standard_t(5, (600, 6)) @ np.linalg.cholesky(0.5 * np.eye(6) + 0.5).T / 100
    returns[:450, 1] = np.nan
    returns[rng_module.random((600, 6)) < 0.05] = np.nan
    return returns


@pytest.fixture(scope="module")
def rng_module():
    return np.random.default_rng(5)


def test_names():
    assert list(baselines()) == [
        "equal", "historical", "ewma-normal", "ewma-t", "ewma-t-5d", "har", "har-5d", "ledoit-wolf", "oas",
        "fhs", "dcc", "pca",
    ]  # fmt: skip
    settings = [str(f.settings) for f in baselines().values()]
    assert len(set(settings)) == len(settings)
    with pytest.raises(UnknownLabelError, match=r"baselines: unknown baseline ewma_t\. Did you mean ewma-t"):
        baselines()["ewma_t"]
    with pytest.raises(UnknownLabelError, match=r"unknown baseline 3\. Known: equal"):
        baselines()[3]


@pytest.mark.parametrize("name", SMALL)
def test_no_baseline_sees_the_future(name, data, origins):
    audit = look_ahead(SMALL[name], data, origins[[1, 5]])
    assert audit.shape == (2, 3)
    assert audit.to_numpy().all(), audit


def test_the_audit_of_the_engine_finds_a_forecaster_that_peeks(data, origins):
    assert look_ahead(Naive(), data, origins[:1]).to_numpy().all()
    assert look_ahead(Late(Naive()), data, origins[:1]).to_numpy().all()

    class Cheat(type(data)):
        """Data whose histories hold their own future."""

        def history(self, origin, **kwargs):
            made = super().history(origin, **kwargs)
            return replace(made, prices=self.prices[list(made.assets)].ffill())

    cheat = Cheat(data.prices, data.universe, data.earnings)
    audit = look_ahead(Naive(), cheat, origins[:1])
    assert not audit[["noise", "huge"]].to_numpy().any()


@pytest.mark.parametrize("name", SMALL)
def test_forecasts_are_seeded_and_balanced(name, history):
    forecast = SMALL[name].forecast(history, seed=1)
    assert forecast.assets == history.assets
    if isinstance(forecast, QuantileForecast):
        np.testing.assert_allclose(forecast.probabilities.sum(axis=1), 1)
        return
    draws = forecast.draws.to_numpy()
    assert (draws == SMALL[name].forecast(history, seed=1).draws.to_numpy()).all()
    assert not (draws == SMALL[name].forecast(history, seed=2).draws.to_numpy()).all()
    p = forecast.quantile_probabilities().to_numpy()
    np.testing.assert_allclose(p[:, 0], p[:, 4], atol=0.02)  # antithetic, up to rounding of returns
    logs = np.log1p(draws.astype(np.float64))
    np.testing.assert_allclose(np.median(logs, axis=0), 0, atol=0.005)
    # 4-week volatility of US stocks and ETFs in the spring of 2020
    assert ((logs.std(axis=0) > 0.02) & (logs.std(axis=0) < 0.4)).all()


def test_volatility_is_that_of_pandas(gaps):
    half_life = 40.0
    weights = halved(len(gaps), half_life)
    own = volatility(gaps, weights)
    frame = pd.DataFrame(gaps)
    expected = frame.ewm(halflife=half_life, ignore_na=False).var(bias=True).iloc[-1]
    np.testing.assert_allclose(own**2, expected, rtol=1e-9)


def test_correlation_without_gaps_is_that_of_numpy(rng_module):
    x = rng_module.standard_normal((300, 4)) @ rng_module.standard_normal((4, 4))
    np.testing.assert_allclose(pairwise_correlation(x, np.ones(300)), np.corrcoef(x.T), atol=1e-9)
    weights = halved(300, 50.0)
    expected = np.cov(x.T, aweights=weights)
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(pairwise_correlation(x, weights), expected / scale / scale[:, None], atol=1e-9)


def test_correlation_of_few_common_days_is_pulled_to_the_others(gaps):
    few = gaps.copy()
    few[:-8, 1] = np.nan
    c = pairwise_correlation(few, np.ones(len(few)))
    others = np.delete(np.delete(c, 1, 0), 1, 1)[np.triu_indices(5, 1)].mean()
    assert c[1, [0, 2, 3, 4, 5]] == pytest.approx(others, abs=0.25)
    assert np.linalg.eigvalsh(c).min() > 0
    np.testing.assert_allclose(np.diag(c), 1)


def test_overlapping_returns():
    x = np.array([[1.0], [2.0], [np.nan], [4.0], [np.nan], [np.nan]])
    assert summed(x, 1) is x
    np.testing.assert_array_equal(summed(x, 3)[:, 0], [3, 6, np.nan, np.nan])


def test_longer_returns_see_through_different_closing_hours(rng_module):
    common = rng_module.standard_normal(20_001)
    late = np.column_stack([common[1:], common[:-1]]) + 0.1 * rng_module.standard_normal((20_000, 2))
    weights = np.ones(20_000)
    assert abs(pairwise_correlation(late, weights)[0, 1]) < 0.05
    assert pairwise_correlation(summed(late, 5), np.ones(19_996), n_days=5)[0, 1] == pytest.approx(
        0.8, abs=0.03
    )


def test_student_margins():
    from scipy import stats

    z = np.random.default_rng(1).standard_normal((200_000, 2))
    x = to_student(z.copy(), 5.0)
    assert x.std(axis=0) == pytest.approx(1.0, abs=0.02)
    scale = np.sqrt(5 / 3)
    assert stats.kstest(x[:, 0] * scale, stats.t(5).cdf).pvalue > 0.01
    assert (np.argsort(x[:, 1]) == np.argsort(z[:, 1])).all()


def test_ewma_simulates_what_it_estimates(history):
    forecaster = EWMA(label="x", dof=None, n_draws=40_000)
    correlation, scale = forecaster.estimate(history)
    logs = np.log1p(forecaster.forecast(history, seed=1).draws.to_numpy().astype(np.float64))
    np.testing.assert_allclose(logs.std(axis=0), scale, rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(logs.T), correlation, atol=0.03)


def test_historical_fifths(history):
    p = HistoricalFifths(prior_periods=1e-6).forecast(history, seed=1).probabilities
    days = day_numbers(period_edges(history.origin, period=28, n_past=130, n_future=0))
    r = history.closes.log_returns(days[:-1], days[1:])
    r = r[np.isfinite(r).all(axis=1)]
    assert len(r) > 20
    expected = np.mean([outcome_quantiles(x) for x in r], axis=0)
    np.testing.assert_allclose(p, expected, atol=1e-6)
    shrunk = HistoricalFifths(prior_periods=1e9).forecast(history, seed=1).probabilities
    np.testing.assert_allclose(shrunk, 0.2, atol=1e-4)
    assert (EqualFifths().forecast(history, seed=1).probabilities == 0.2).all()


@pytest.mark.parametrize("method", ["ledoit_wolf", "oas"])
def test_shrinkage_is_that_of_scikit_learn(method, data, origins):
    from sklearn.covariance import OAS, LedoitWolf

    # Closes that repeat by chance count as missing: a little noise makes all returns known.
    noise = np.exp(np.random.default_rng(1).normal(0, 1e-5, data.prices.shape))
    history = MarketData.of(data.prices * noise, data.universe).history(origins[4])
    returns = history.daily_returns[-250:]
    assert np.isfinite(returns).all()
    standard = (returns - returns.mean(axis=0)) / returns.std(axis=0)
    oracle = {"ledoit_wolf": LedoitWolf, "oas": OAS}[method](assume_centered=True).fit(standard)
    correlation, scale = Shrinkage(method=method).estimate(history)
    np.testing.assert_allclose(correlation, oracle.covariance_, atol=1e-9)
    np.testing.assert_allclose(scale, returns.std(axis=0) * np.sqrt(history.horizon_days))


def test_principal_components(history):
    full, _ = PCAFactors(n_factors=9).estimate(history)
    returns = history.daily_returns[-500:]
    np.testing.assert_allclose(full, pairwise_correlation(returns, np.ones(500)), atol=0.02)
    one, _ = PCAFactors(n_factors=1).estimate(history)
    largest = np.linalg.eigvalsh(full)[-1]
    assert np.linalg.eigvalsh(one)[-1] == pytest.approx(largest, rel=0.15)
    # one factor: every 2 x 2 minor off the diagonal vanishes
    assert one[0, 1] * one[2, 3] == pytest.approx(one[0, 3] * one[2, 1], abs=0.02)


def test_har_volatility_returns_to_the_mean(data):
    crash = data.history(pd.Timestamp("2020-03-20"))
    har = HAR().estimate(crash)[1]
    recent = np.nanstd(crash.daily_returns[-10:], axis=0) * np.sqrt(crash.horizon_days)
    year = np.nanstd(crash.daily_returns[-400:-30], axis=0) * np.sqrt(crash.horizon_days)
    assert (har < recent).all()
    assert (har > year).all()
    with pytest.raises(DataError, match="too few"):
        HAR().estimate(data.history(pd.Timestamp("2017-12-29")))


def test_filtered_historical_simulation_keeps_variance_and_dependence(history):
    logs = np.log1p(
        FilteredHistorical(n_draws=20_000).forecast(history, seed=1).draws.to_numpy().astype(float)
    )
    correlation, scale = EWMA(label="x", correlation_half_life_days=1e6, correlation_days=5).estimate(history)
    np.testing.assert_allclose(logs.std(axis=0), scale, rtol=0.3)
    np.testing.assert_allclose(np.corrcoef(logs.T), correlation, atol=0.2)


def test_garch_filter_forecasts_as_arch_does():
    from arch import arch_model

    returns = np.random.default_rng(3).standard_t(6, 800)
    model = arch_model(returns, mean="Zero", vol="GARCH", dist="t", rescale=False)
    fit = model.fit(disp="off")
    margin = _garch(returns, 400)
    assert margin is not None
    z, ahead = _garch_filter(returns, *margin, 20)
    expected = fit.forecast(horizon=20).variance.to_numpy()[-1]
    np.testing.assert_allclose(ahead, expected, rtol=0.02)  # arch starts its recursion at another value
    np.testing.assert_allclose(z[100:], fit.std_resid[100:], rtol=0.02)
    assert _garch(returns[:300], 400) is None


def test_dcc_recovers_known_parameters():
    rng = np.random.default_rng(4)
    n, a, b = 8, 0.05, 0.9
    target = 0.4 * np.ones((n, n)) + 0.6 * np.eye(n)
    q, rows = target.copy(), []
    for _ in range(4000):
        scale = np.sqrt(np.diag(q))
        z = np.linalg.cholesky(q / scale / scale[:, None]) @ rng.standard_normal(n)
        rows.append(z)
        q = (1 - a - b) * target + a * np.outer(z, z) + b * q
    z = np.array(rows)
    found = _dcc_parameters(z, target)
    assert found == pytest.approx((a, b), abs=0.03)
    scale = np.sqrt(np.diag(q))
    np.testing.assert_allclose(_dcc_ahead(z, target, a, b, 1), q / scale / scale[:, None], atol=1e-9)
    np.testing.assert_allclose(_dcc_ahead(z, target, a, b, 10_000), target, atol=0.01)


def test_dcc_needs_one_asset_to_fit(data):
    with pytest.raises(DataError, match="no asset has 400 daily returns"):
        DCC().forecast(data.history(pd.Timestamp("2017-12-29")), seed=1)
