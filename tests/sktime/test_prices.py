"""Prices for sktime: its own checks, and figures against the forecaster's draws."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bdfm
from bdfm.backtest.protocol import History
from bdfm.backtest.simple import EWMA, HistoricalFifths
from bdfm.errors import DataError

pytest.importorskip("sktime.forecasting")
pytest.importorskip("skpro")
from sktime.utils.estimator_checks import check_estimator

from bdfm.sktime import PriceForecaster

NO_PRICES = "test_update_with_exogenous_variables"  # its one column is 0, 1, 2, ...


@pytest.fixture(scope="module")
def prices():
    return bdfm.demo()[0].loc["2020":, ["XOM", "KO", "WMT"]].reset_index(drop=True)


def test_checks_of_sktime_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(PriceForecaster, tests_to_exclude=NO_PRICES, verbose=False)
    failed = {k: v for k, v in results.items() if v != "PASSED"}
    assert not failed, failed
    assert len(results) >= 700


@pytest.mark.parametrize("update_params", [True, False])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_the_check_that_is_left_out_passes_with_prices(n_columns, update_params):
    """``test_update_with_exogenous_variables`` of sktime, whose one column begins at 0, from 1 on."""
    days = pd.date_range("2020-01-01", periods=25)
    values = np.arange(1.0, 26.0)[:, None] + np.arange(n_columns)
    y = pd.DataFrame(values, days, [f"y_{k}" for k in range(n_columns)]).squeeze(axis=1)
    X = pd.DataFrame(np.random.default_rng(1).standard_normal((25, 2)), days, ["a", "b"])
    for settings in PriceForecaster.get_test_params():
        forecaster = PriceForecaster(**settings).fit(y.iloc[:20], X=X.iloc[:20], fh=[1])
        forecaster.update(y.iloc[20:], X=X.iloc[20:], update_params=update_params)
        assert forecaster.cutoff == days[-1:]
        assert forecaster.is_fitted
        known, step = (y, 1) if update_params else (y.iloc[:20], 6)  # the same day, by what was fitted
        same = PriceForecaster(**settings).fit(known, fh=[step])
        assert list(forecaster.predict().index) == list(same.predict().index) == [days[-1] + days.freq]
        np.testing.assert_array_equal(
            forecaster.predict_quantiles(alpha=[0.1, 0.5]), same.predict_quantiles(alpha=[0.1, 0.5])
        )
    with pytest.raises(DataError, match="at or below 0"):
        PriceForecaster().fit(y - 1)


def test_a_fit_has_all_rows_that_updates_brought():
    """Those of an update without a fit too."""
    days = pd.date_range("2020-01-01", periods=60)
    y = pd.Series(100 + np.random.default_rng(2).standard_normal(60).cumsum(), days)
    forecaster = PriceForecaster(seed=1).fit(y.iloc[:40], fh=[1])
    forecaster.update(y.iloc[40:50], update_params=False)
    forecaster.update(y.iloc[50:], update_params=True)
    whole = PriceForecaster(seed=1).fit(y, fh=[1])
    np.testing.assert_array_equal(
        forecaster.predict_quantiles(alpha=[0.1, 0.5]), whole.predict_quantiles(alpha=[0.1, 0.5])
    )


def test_quantiles_are_those_of_the_forecasters_draws(prices):
    made_by = EWMA(n_draws=4000)
    days = pd.date_range("2000-01-01", periods=len(prices))
    universe = pd.DataFrame({"symbol": list(prices), "asset_class": "x", "name": list(prices)})
    origin = days[-1]
    levels = [0.05, 0.5, 0.9]
    fitted = PriceForecaster(made_by, seed=7).fit(prices, fh=[1, 20])
    found = fitted.predict_quantiles(alpha=levels)
    for step in (1, 20):
        end = origin + pd.Timedelta(days=step)
        history = History(prices.set_axis(days), universe, None, origin, end, step)
        draws = 1 + made_by.forecast(history, seed=7).draws.to_numpy().astype(float)
        expected = np.quantile(draws, levels, axis=0, method="inverted_cdf") * prices.iloc[-1].to_numpy()
        np.testing.assert_allclose(found.iloc[step // 20], expected.T.ravel(), rtol=1e-6)
    np.testing.assert_allclose(fitted.predict(), found.xs(0.5, axis=1, level=1))
    wide = np.log(found["XOM"][0.9] / found["XOM"][0.5])
    assert wide.iloc[1] / wide.iloc[0] == pytest.approx(np.sqrt(20), rel=0.01)  # rows, not market days


def test_distributions_hold_draws_of_columns_together(prices):
    fitted = PriceForecaster(EWMA(n_draws=4000), n_samples=800).fit(prices, fh=[1, 5])
    found = fitted.predict_proba()
    assert list(found.columns) == list(prices)
    assert list(found.index) == [len(prices), len(prices) + 4]
    far = found.quantile([0.1, 0.9])
    expected = fitted.predict_quantiles(alpha=[0.1, 0.9])
    np.testing.assert_allclose(far, expected, rtol=0.01)
    first = found.spl.xs(len(prices), level="time")
    assert len(first) == 800
    together = np.corrcoef(np.log(first).to_numpy().T)
    past = EWMA().estimate(_history(prices))[0]
    np.testing.assert_allclose(together, past, atol=0.12)


def _history(prices):
    days = pd.date_range("2000-01-01", periods=len(prices))
    universe = pd.DataFrame({"symbol": list(prices), "asset_class": "x", "name": list(prices)})
    return History(prices.set_axis(days), universe, None, days[-1], days[-1] + pd.Timedelta(days=1), 1)


class Weighted(EWMA):
    """Forecasts in whose draws falls of the first asset count ten times."""

    def forecast(self, history, *, seed):
        found = super().forecast(history, seed=seed)
        draws = found.draws.to_numpy()
        return bdfm.Forecast.from_draws(
            draws,
            assets=list(found.assets),
            asset_class=list(found.asset_class),
            origin=found.origin,
            end=found.end,
            weights=np.where(draws[:, 0] < 0, 10.0, 1.0),
        )


def test_weights_of_draws_count(prices):
    below = {}
    for kind in (EWMA, Weighted):
        fitted = PriceForecaster(kind(n_draws=4000), n_samples=2000).fit(prices, fh=[5])
        median = fitted.predict()["XOM"].iloc[0]
        samples = fitted.predict_proba().spl["XOM"]
        below[kind] = median / prices["XOM"].iloc[-1], float((samples < prices["XOM"].iloc[-1]).mean())
    assert below[EWMA][0] == pytest.approx(1, abs=0.005)
    assert below[Weighted][0] < below[EWMA][0] - 0.01
    assert below[EWMA][1] == pytest.approx(0.5, abs=0.05)
    assert below[Weighted][1] == pytest.approx(10 / 11, abs=0.03)


def test_a_column_goes_on_from_its_last_price(prices):
    gaps = prices.copy()
    gaps.loc[gaps.index[-3:], "KO"] = np.nan
    found = PriceForecaster().fit(gaps, fh=[1]).predict()
    assert found["KO"].iloc[0] == pytest.approx(prices["KO"].iloc[-4], rel=0.003)
    assert found["XOM"].iloc[0] == pytest.approx(prices["XOM"].iloc[-1], rel=0.003)


def test_the_seed_is_that_of_all_draws(prices):
    def samples(seed):
        fitted = PriceForecaster(EWMA(n_draws=500), n_samples=20, seed=seed).fit(prices, fh=[2])
        return fitted.predict_quantiles(alpha=[0.1]), fitted.predict_proba().spl

    (low, one), (again, other), (third, fourth) = samples(1), samples(1), samples(2)
    pd.testing.assert_frame_equal(low, again)
    pd.testing.assert_frame_equal(one, other)
    assert not np.allclose(low, third)
    assert not np.allclose(one, fourth)
    assert len(one) == 20


def test_one_column_is_forecast_as_among_others(prices):
    one = PriceForecaster().fit(prices["KO"], fh=[5]).predict_interval(coverage=0.9)
    all_ = PriceForecaster().fit(prices, fh=[5]).predict_interval(coverage=0.9)["KO"]
    np.testing.assert_allclose(one, all_, rtol=0.003)


def test_what_cannot_be_is_told(prices):
    with pytest.raises(DataError, match="Give prices, not returns"):
        PriceForecaster().fit(prices.pct_change(fill_method=None).dropna(), fh=[1])
    with pytest.raises(DataError, match="fifths without draws"):
        PriceForecaster(HistoricalFifths()).fit(prices, fh=[1]).predict()

    class Longer(EWMA):
        def forecast(self, history, *, seed):
            found = super().forecast(history, seed=seed)
            return bdfm.Forecast.from_draws(
                found.draws.to_numpy(),
                assets=list(found.assets),
                asset_class=list(found.asset_class),
                origin=found.origin,
                end=found.origin + pd.Timedelta(days=28),
            )

    with pytest.raises(DataError, match="spans 28 rows, not 1"):
        PriceForecaster(Longer()).fit(prices, fh=[1]).predict()
    assert len(PriceForecaster(Longer()).fit(prices, fh=[28]).predict()) == 1
