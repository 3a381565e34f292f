"""Backtests: walk-forward engine, baselines, comparison of forecasters."""

from bdfm.backtest.audit import lateness, look_ahead
from bdfm.backtest.baselines import baselines
from bdfm.backtest.compare import Comparison, compare
from bdfm.backtest.models import Late, ModelForecaster
from bdfm.backtest.protocol import Forecaster, History, MarketData, QuantileForecast
from bdfm.backtest.run import Run, load_runs
from bdfm.backtest.significance import diebold_mariano, model_confidence_set
from bdfm.backtest.walk_forward import origin_dates, walk_forward

__all__ = [
    "Comparison",
    "Forecaster",
    "History",
    "Late",
    "MarketData",
    "ModelForecaster",
    "QuantileForecast",
    "Run",
    "baselines",
    "compare",
    "diebold_mariano",
    "lateness",
    "load_runs",
    "look_ahead",
    "model_confidence_set",
    "origin_dates",
    "walk_forward",
]
