"""Scores of an origin that memory cannot hold are refused before its forecast is made."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from forecasters import Naive

from bdfm import _memory
from bdfm.backtest import ModelForecaster, walk_forward
from bdfm.backtest.protocol import History
from bdfm.backtest.run import evaluate
from bdfm.backtest.walk import SCORED
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.model.factor_model import FactorModel

N_DRAWS, N_ASSETS = 20_000, 60


class Drawing(Naive):
    """Says how many draws it gives; counts its forecasts."""

    n_draws = 4000

    def __init__(self):
        self.made = []

    def forecast(self, history, *, seed):
        self.made.append(history.origin)
        return super().forecast(history, seed=seed)


class Silent:
    """Does not say how many."""

    name, settings = "silent", {}

    def forecast(self, history, *, seed):
        return Naive().forecast(history, seed=seed)


def test_an_origin_is_refused_before_its_forecast(tmp_path, data, origins, monkeypatch):
    needed = 8 * SCORED * Drawing.n_draws * 10
    forecaster = Drawing()
    monkeypatch.setattr(_memory, "available", lambda: needed - 1)
    said = r"scores of 4,000 draws of 10 assets need .* 3,999 draws would fit: lower n_draws \(--n-draws\)"
    with pytest.raises(DataError, match=said):
        walk_forward(forecaster, data, origins[:2], tmp_path / "run")
    assert forecaster.made == []
    monkeypatch.setattr(_memory, "available", lambda: needed)
    assert len(walk_forward(forecaster, data, origins[:2], tmp_path / "run").results) == 2
    monkeypatch.setattr(_memory, "available", lambda: 1)
    assert len(walk_forward(Silent(), data, origins[:1], tmp_path / "silent").results) == 1


@pytest.mark.parametrize("warm", [1, 3])
def test_a_model_is_not_fitted_in_vain(warm, tmp_path, data, origins, monkeypatch):
    monkeypatch.setattr(_memory, "available", lambda: 10**7)
    monkeypatch.setattr("bdfm.backtest.models.sampled", lambda *_, **__: pytest.fail("fitted"))
    forecaster = ModelForecaster(FactorModel.from_preset("m6"), warm=warm)
    with pytest.raises(DataError, match="scores of 200,000 draws of 10 assets need about 64 MB"):
        walk_forward(forecaster, data, origins[:1], tmp_path / "run")


@pytest.mark.parametrize("weighted", [False, True])
def test_scores_take_no_more_memory_than_is_asked_for(weighted):
    rng = np.random.default_rng(1)
    names = [f"S{k}" for k in range(N_ASSETS)]
    days = pd.bdate_range("2020-01-01", periods=300)
    walk = np.exp(np.cumsum(0.01 * rng.standard_normal((300, N_ASSETS)), axis=0))
    universe = pd.DataFrame({"symbol": names, "asset_class": "x", "name": names})
    origin, end = days[-1], days[-1] + pd.Timedelta(days=28)
    history = History(pd.DataFrame(walk, days, names), universe, None, origin, end, 28)
    weights = rng.random(N_DRAWS) if weighted else np.ones(N_DRAWS)
    forecast = Forecast.from_draws(
        0.05 * rng.standard_normal((N_DRAWS, N_ASSETS)),
        assets=names,
        asset_class=["x"] * N_ASSETS,
        origin=origin,
        end=end,
        weights=weights / weights.sum(),
    )
    came = pd.Series(0.05 * rng.standard_normal(N_ASSETS), names)
    evaluate(forecast, history, came, seed=1)  # what is imported on the way
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        evaluate(forecast, history, came, seed=1)
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert 0.7 < taken / (8 * SCORED * N_DRAWS * N_ASSETS) < 1.0
