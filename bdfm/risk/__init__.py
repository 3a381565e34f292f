"""Risk models: how risky a portfolio is and why, by four kinds of model behind one object."""

from bdfm.risk.base import RiskDecomposition, RiskModel, compare
from bdfm.risk.bayesian import BayesianEstimator, bayesian_risk
from bdfm.risk.cross_section import CrossSectionalEstimator
from bdfm.risk.fama_french import (
    Characteristics,
    FactorPortfolios,
    double_sort,
    june_characteristics,
    market_capitalisation,
    single_sorts,
)
from bdfm.risk.returns import compounded, simple_returns
from bdfm.risk.statistical import StatisticalEstimator
from bdfm.risk.styles import price_styles
from bdfm.risk.time_series import TimeSeriesEstimator

__all__ = [
    "BayesianEstimator",
    "Characteristics",
    "CrossSectionalEstimator",
    "FactorPortfolios",
    "RiskDecomposition",
    "RiskModel",
    "StatisticalEstimator",
    "TimeSeriesEstimator",
    "bayesian_risk",
    "compare",
    "compounded",
    "double_sort",
    "june_characteristics",
    "market_capitalisation",
    "price_styles",
    "simple_returns",
    "single_sorts",
]
