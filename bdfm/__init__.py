"""Bayesian dynamic factor models: calibrated joint probabilities of next month's asset returns."""

import sys
from typing import TYPE_CHECKING

if sys.version_info < (3, 12):  # noqa: UP036  # before anything that an older Python cannot read
    _TOO_OLD = f"bdfm needs Python 3.12 or newer, this is {sys.version.split()[0]}. Use a newer one."
    if sys.argv[:1] == ["-m"]:  # python -m bdfm: one line, no traceback
        sys.exit(_TOO_OLD)
    raise ImportError(_TOO_OLD)

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm import backtest as backtest
    from bdfm import errors as errors
    from bdfm import exposures as exposures
    from bdfm import risk as risk
    from bdfm import validation as validation
    from bdfm._version import __version__ as __version__
    from bdfm.data.panel import Panel as Panel
    from bdfm.data.settings import PanelSettings as PanelSettings
    from bdfm.data.sources import demo as demo
    from bdfm.data.sources import read_earnings as read_earnings
    from bdfm.data.sources import read_prices as read_prices
    from bdfm.data.sources import read_universe as read_universe
    from bdfm.data.sources import read_volatility as read_volatility
    from bdfm.data.sources import yahoo as yahoo
    from bdfm.forecast import views as views
    from bdfm.forecast.changes import Changes as Changes
    from bdfm.forecast.forecast import Forecast as Forecast
    from bdfm.forecast.ranks import outcome_quantiles as outcome_quantiles
    from bdfm.forecast.ranks import quantile_probabilities as quantile_probabilities
    from bdfm.inference.settings import SamplerSettings as SamplerSettings
    from bdfm.model.evidence import Evidence as Evidence
    from bdfm.model.factor_model import FactorModel as FactorModel
    from bdfm.model.factor_model import presets as presets
    from bdfm.portfolio.decisions import decide as decide
    from bdfm.portfolio.mandate import Mandate as Mandate
    from bdfm.portfolio.risk import portfolio_risk as portfolio_risk
    from bdfm.posterior.fit import fit as fit
    from bdfm.posterior.posterior import Posterior as Posterior
    from bdfm.scoring.m6 import information_ratio as information_ratio
    from bdfm.scoring.m6 import period_returns as period_returns
    from bdfm.scoring.m6 import score_submission as score_submission
    from bdfm.scoring.scores import ranked_probability_score as ranked_probability_score
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm._version": ("__version__",),
            "bdfm.data.panel": ("Panel",),
            "bdfm.data.settings": ("PanelSettings",),
            "bdfm.data.sources": (
                "demo",
                "read_earnings",
                "read_prices",
                "read_universe",
                "read_volatility",
                "yahoo",
            ),
            "bdfm.forecast.changes": ("Changes",),
            "bdfm.forecast.forecast": ("Forecast",),
            "bdfm.forecast.ranks": ("outcome_quantiles", "quantile_probabilities"),
            "bdfm.inference.settings": ("SamplerSettings",),
            "bdfm.model.evidence": ("Evidence",),
            "bdfm.model.factor_model": ("FactorModel", "presets"),
            "bdfm.portfolio.decisions": ("decide",),
            "bdfm.portfolio.mandate": ("Mandate",),
            "bdfm.portfolio.risk": ("portfolio_risk",),
            "bdfm.posterior.fit": ("fit",),
            "bdfm.posterior.posterior": ("Posterior",),
            "bdfm.scoring.m6": ("information_ratio", "period_returns", "score_submission"),
            "bdfm.scoring.scores": ("ranked_probability_score",),
        },
        modules={
            "backtest": "bdfm.backtest",
            "errors": "bdfm.errors",
            "exposures": "bdfm.exposures",
            "risk": "bdfm.risk",
            "validation": "bdfm.validation",
            "views": "bdfm.forecast.views",
        },
    )
