"""Backtests: walk-forward engine, baselines, comparison of forecasters."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.backtest.audit import lateness as lateness
    from bdfm.backtest.audit import look_ahead as look_ahead
    from bdfm.backtest.comparison import Comparison as Comparison
    from bdfm.backtest.comparison import compare as compare
    from bdfm.backtest.models import Late as Late
    from bdfm.backtest.models import ModelForecaster as ModelForecaster
    from bdfm.backtest.protocol import Forecaster as Forecaster
    from bdfm.backtest.protocol import History as History
    from bdfm.backtest.protocol import MarketData as MarketData
    from bdfm.backtest.protocol import QuantileForecast as QuantileForecast
    from bdfm.backtest.run import Run as Run
    from bdfm.backtest.run import load_runs as load_runs
    from bdfm.backtest.significance import diebold_mariano as diebold_mariano
    from bdfm.backtest.significance import model_confidence_set as model_confidence_set
    from bdfm.backtest.standard import baselines as baselines
    from bdfm.backtest.stretches import SequentialForecaster as SequentialForecaster
    from bdfm.backtest.walk import origin_dates as origin_dates
    from bdfm.backtest.walk import walk_forward as walk_forward
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm.backtest.audit": ("lateness", "look_ahead"),
            "bdfm.backtest.standard": ("baselines",),
            "bdfm.backtest.comparison": ("Comparison", "compare"),
            "bdfm.backtest.models": ("Late", "ModelForecaster"),
            "bdfm.backtest.protocol": ("Forecaster", "History", "MarketData", "QuantileForecast"),
            "bdfm.backtest.run": ("Run", "load_runs"),
            "bdfm.backtest.significance": ("diebold_mariano", "model_confidence_set"),
            "bdfm.backtest.stretches": ("SequentialForecaster",),
            "bdfm.backtest.walk": ("origin_dates", "walk_forward"),
        },
    )
