"""Bayesian dynamic factor models: calibrated joint probabilities of next month's asset returns."""

from importlib.metadata import version

from bdfm.data.panel import Panel, PanelSettings
from bdfm.data.sources import demo, read_earnings, read_prices, read_universe, yahoo
from bdfm.forecast import views
from bdfm.forecast.changes import Changes
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import outcome_quantiles, quantile_probabilities
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import Evidence, FactorModel, presets
from bdfm.portfolio.decisions import decide, portfolio_risk
from bdfm.posterior.posterior import Posterior, fit
from bdfm.scoring.m6 import information_ratio, period_returns, score_submission
from bdfm.scoring.scores import ranked_probability_score

__all__ = [
    "Changes",
    "Evidence",
    "FactorModel",
    "Forecast",
    "Panel",
    "PanelSettings",
    "Posterior",
    "SamplerSettings",
    "decide",
    "demo",
    "fit",
    "information_ratio",
    "outcome_quantiles",
    "period_returns",
    "portfolio_risk",
    "presets",
    "quantile_probabilities",
    "ranked_probability_score",
    "read_earnings",
    "read_prices",
    "read_universe",
    "score_submission",
    "views",
    "yahoo",
]

__version__ = version("bdfm")
