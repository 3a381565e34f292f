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

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
BELOW_ZERO = "test_update_with_exogenous_variables"  # its one column has values below 0: no prices


@pytest.fixture(scope="module")
def prices():
    return bdfm.demo()[0].loc["2020":, ["XOM", "KO", "WMT"]].reset_index(drop=True)


def test_checks_of_sktime_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(PriceForecaster, verbose=False)
    failed = {k: v for k, v in results.items() if v != "PASSED"}
    assert set(map(type, failed.values())) == {DataError}
    assert {name.partition("[")[0] for name in failed} == {BELOW_ZERO}
    assert len(results) - len(failed) >= 700


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


def test_one_column_is_forecast_as_among_others(prices):
    one = PriceForecaster().fit(prices["KO"], fh=[5]).predict_interval(coverage=0.9)
    all_ = PriceForecaster().fit(prices, fh=[5]).predict_interval(coverage=0.9)["KO"]
    np.testing.assert_allclose(one, all_, rtol=0.003)


def test_what_cannot_be_is_told(prices):
    with pytest.raises(DataError, match="Give prices, not returns"):
        PriceForecaster().fit(prices.pct_change().dropna(), fh=[1])
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
