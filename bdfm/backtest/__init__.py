"""Backtests: walk-forward engine, baselines, comparison of forecasters."""

from bdfm.backtest.models import Late, ModelForecaster
from bdfm.backtest.protocol import Forecaster, History, MarketData, QuantileForecast
from bdfm.backtest.run import Run, load_runs
from bdfm.backtest.walk_forward import origin_dates, walk_forward

__all__ = [
    "Forecaster",
    "History",
    "Late",
    "MarketData",
    "ModelForecaster",
    "QuantileForecast",
    "Run",
    "load_runs",
    "origin_dates",
    "walk_forward",
]
