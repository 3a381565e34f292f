"""Validation of risk models: whether to believe them, and where not."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.validation.alphas import AlphaForecasts as AlphaForecasts
    from bdfm.validation.alphas import forecast_alphas as forecast_alphas
    from bdfm.validation.check import Check as Check
    from bdfm.validation.out_of_sample import OutOfSample as OutOfSample
    from bdfm.validation.out_of_sample import compare_forecasts as compare_forecasts
    from bdfm.validation.refits import cross_validate as cross_validate
    from bdfm.validation.refits import trial_portfolios as trial_portfolios
    from bdfm.validation.refits import walk_forward as walk_forward
    from bdfm.validation.report import ValidationReport as ValidationReport
    from bdfm.validation.report import validate as validate
    from bdfm.validation.selection import FactorSelection as FactorSelection
    from bdfm.validation.selection import published as published
    from bdfm.validation.selection import select_factors as select_factors
    from bdfm.validation.tail_backtest import TailBacktest as TailBacktest
    from bdfm.validation.tail_backtest import backtest_tail as backtest_tail
    from bdfm.validation.tail_backtest import tail_of_forecasts as tail_of_forecasts
    from bdfm.validation.tail_backtest import tail_of_model as tail_of_model
    from bdfm.validation.tail_backtest import tail_of_volatility as tail_of_volatility
    from bdfm.validation.tail_tables import plot_tails as plot_tails
    from bdfm.validation.tail_tables import tail_table as tail_table
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm.validation.alphas": (
                "AlphaForecasts",
                "forecast_alphas",
            ),
            "bdfm.validation.check": ("Check",),
            "bdfm.validation.out_of_sample": (
                "OutOfSample",
                "compare_forecasts",
            ),
            "bdfm.validation.refits": (
                "cross_validate",
                "trial_portfolios",
                "walk_forward",
            ),
            "bdfm.validation.report": (
                "ValidationReport",
                "validate",
            ),
            "bdfm.validation.selection": (
                "FactorSelection",
                "published",
                "select_factors",
            ),
            "bdfm.validation.tail_backtest": (
                "TailBacktest",
                "backtest_tail",
                "tail_of_forecasts",
                "tail_of_model",
                "tail_of_volatility",
            ),
            "bdfm.validation.tail_tables": (
                "plot_tails",
                "tail_table",
            ),
        },
    )
