"""Risk models: how risky a portfolio is and why, by four kinds of model behind one object."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.risk.ahead import RiskAhead as RiskAhead
    from bdfm.risk.ahead import risk_ahead as risk_ahead
    from bdfm.risk.base import RiskModel as RiskModel
    from bdfm.risk.bayesian import BayesianEstimator as BayesianEstimator
    from bdfm.risk.bayesian import bayesian_risk as bayesian_risk
    from bdfm.risk.book import Hedge as Hedge
    from bdfm.risk.book import active_risk as active_risk
    from bdfm.risk.book import compare as compare
    from bdfm.risk.book import hedge as hedge
    from bdfm.risk.book import marginal_risk as marginal_risk
    from bdfm.risk.cross_section import CrossSectionalEstimator as CrossSectionalEstimator
    from bdfm.risk.decomposition import RiskDecomposition as RiskDecomposition
    from bdfm.risk.fama_french import Characteristics as Characteristics
    from bdfm.risk.fama_french import double_sort as double_sort
    from bdfm.risk.fama_french import june_characteristics as june_characteristics
    from bdfm.risk.fama_french import market_capitalisation as market_capitalisation
    from bdfm.risk.fama_french import single_sorts as single_sorts
    from bdfm.risk.from_files import read_portfolios as read_portfolios
    from bdfm.risk.fundamentals import FundamentalsPanel as FundamentalsPanel
    from bdfm.risk.instrumented import InstrumentedEstimator as InstrumentedEstimator
    from bdfm.risk.instrumented import InstrumentedFit as InstrumentedFit
    from bdfm.risk.linked import link_specific as link_specific
    from bdfm.risk.losses import ReverseStress as ReverseStress
    from bdfm.risk.losses import forecast_given_loss as forecast_given_loss
    from bdfm.risk.losses import reverse_stress as reverse_stress
    from bdfm.risk.pricing import Pricing as Pricing
    from bdfm.risk.pricing import grs_statistic as grs_statistic
    from bdfm.risk.pricing import price as price
    from bdfm.risk.principal import Components as Components
    from bdfm.risk.principal import components as components
    from bdfm.risk.principal import parameter_counts as parameter_counts
    from bdfm.risk.replays import replay as replay
    from bdfm.risk.replays import replay_held as replay_held
    from bdfm.risk.returns import compounded as compounded
    from bdfm.risk.returns import simple_returns as simple_returns
    from bdfm.risk.shocks import FactorShock as FactorShock
    from bdfm.risk.shocks import shock_factors as shock_factors
    from bdfm.risk.shocks import shock_risk as shock_risk
    from bdfm.risk.simulated_error import estimation_error as estimation_error
    from bdfm.risk.simulated_error import plot_estimation_error as plot_estimation_error
    from bdfm.risk.sorts import FactorPortfolios as FactorPortfolios
    from bdfm.risk.sorts import Sort as Sort
    from bdfm.risk.sorts import market_return as market_return
    from bdfm.risk.sorts import portfolio_returns as portfolio_returns
    from bdfm.risk.sorts import sort_portfolios as sort_portfolios
    from bdfm.risk.statistical import StatisticalEstimator as StatisticalEstimator
    from bdfm.risk.stress_tests import Scenarios as Scenarios
    from bdfm.risk.stress_tests import StressTest as StressTest
    from bdfm.risk.stress_tests import implied_factor_returns as implied_factor_returns
    from bdfm.risk.stress_tests import stress_test as stress_test
    from bdfm.risk.styles import price_styles as price_styles
    from bdfm.risk.time_series import TimeSeriesEstimator as TimeSeriesEstimator
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm.risk.ahead": (
                "RiskAhead",
                "risk_ahead",
            ),
            "bdfm.risk.base": ("RiskModel",),
            "bdfm.risk.bayesian": (
                "BayesianEstimator",
                "bayesian_risk",
            ),
            "bdfm.risk.book": (
                "Hedge",
                "active_risk",
                "compare",
                "hedge",
                "marginal_risk",
            ),
            "bdfm.risk.cross_section": ("CrossSectionalEstimator",),
            "bdfm.risk.decomposition": ("RiskDecomposition",),
            "bdfm.risk.instrumented": ("InstrumentedEstimator", "InstrumentedFit"),
            "bdfm.risk.linked": ("link_specific",),
            "bdfm.risk.fama_french": (
                "Characteristics",
                "double_sort",
                "june_characteristics",
                "market_capitalisation",
                "single_sorts",
            ),
            "bdfm.risk.fundamentals": ("FundamentalsPanel",),
            "bdfm.risk.pricing": (
                "Pricing",
                "grs_statistic",
                "price",
            ),
            "bdfm.risk.principal": (
                "Components",
                "components",
                "parameter_counts",
            ),
            "bdfm.risk.returns": (
                "compounded",
                "simple_returns",
            ),
            "bdfm.risk.simulated_error": (
                "estimation_error",
                "plot_estimation_error",
            ),
            "bdfm.risk.sorts": (
                "FactorPortfolios",
                "Sort",
                "market_return",
                "portfolio_returns",
                "sort_portfolios",
            ),
            "bdfm.risk.statistical": ("StatisticalEstimator",),
            "bdfm.risk.from_files": ("read_portfolios",),
            "bdfm.risk.losses": ("ReverseStress", "forecast_given_loss", "reverse_stress"),
            "bdfm.risk.replays": ("replay", "replay_held"),
            "bdfm.risk.shocks": ("FactorShock", "shock_factors", "shock_risk"),
            "bdfm.risk.stress_tests": (
                "Scenarios",
                "StressTest",
                "implied_factor_returns",
                "stress_test",
            ),
            "bdfm.risk.styles": ("price_styles",),
            "bdfm.risk.time_series": ("TimeSeriesEstimator",),
        },
    )
