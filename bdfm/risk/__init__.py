"""Risk models: how risky a portfolio is and why, by four kinds of model behind one object."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.risk.base import RiskModel as RiskModel
    from bdfm.risk.base import compare as compare
    from bdfm.risk.bayesian import BayesianEstimator as BayesianEstimator
    from bdfm.risk.bayesian import bayesian_risk as bayesian_risk
    from bdfm.risk.cross_section import CrossSectionalEstimator as CrossSectionalEstimator
    from bdfm.risk.decomposition import RiskDecomposition as RiskDecomposition
    from bdfm.risk.fama_french import Characteristics as Characteristics
    from bdfm.risk.fama_french import FactorPortfolios as FactorPortfolios
    from bdfm.risk.fama_french import double_sort as double_sort
    from bdfm.risk.fama_french import june_characteristics as june_characteristics
    from bdfm.risk.fama_french import market_capitalisation as market_capitalisation
    from bdfm.risk.fama_french import single_sorts as single_sorts
    from bdfm.risk.returns import compounded as compounded
    from bdfm.risk.returns import simple_returns as simple_returns
    from bdfm.risk.statistical import StatisticalEstimator as StatisticalEstimator
    from bdfm.risk.styles import price_styles as price_styles
    from bdfm.risk.time_series import TimeSeriesEstimator as TimeSeriesEstimator
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm.risk.base": ("RiskModel", "compare"),
            "bdfm.risk.decomposition": ("RiskDecomposition",),
            "bdfm.risk.bayesian": ("BayesianEstimator", "bayesian_risk"),
            "bdfm.risk.cross_section": ("CrossSectionalEstimator",),
            "bdfm.risk.fama_french": (
                "Characteristics",
                "FactorPortfolios",
                "double_sort",
                "june_characteristics",
                "market_capitalisation",
                "single_sorts",
            ),
            "bdfm.risk.returns": ("compounded", "simple_returns"),
            "bdfm.risk.statistical": ("StatisticalEstimator",),
            "bdfm.risk.styles": ("price_styles",),
            "bdfm.risk.time_series": ("TimeSeriesEstimator",),
        },
    )
