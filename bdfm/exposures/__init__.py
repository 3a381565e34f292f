"""Time-varying exposures: rolling regression, filters, DCC-GARCH and a FactorVAE under one protocol."""

from typing import TYPE_CHECKING

from bdfm._lazy import public_names

if TYPE_CHECKING:
    from bdfm.data.factor_files import read_factors as read_factors
    from bdfm.exposures.comparison import Comparison as Comparison
    from bdfm.exposures.comparison import compare as compare
    from bdfm.exposures.data import ExposureData as ExposureData
    from bdfm.exposures.data import choose_assets as choose_assets
    from bdfm.exposures.dcc import DCCGarch as DCCGarch
    from bdfm.exposures.descriptive import describe as describe
    from bdfm.exposures.factor_vae import FactorVAE as FactorVAE
    from bdfm.exposures.factor_vae import TrainedFactorVAE as TrainedFactorVAE
    from bdfm.exposures.kalman import KalmanBetas as KalmanBetas
    from bdfm.exposures.kalman import kalman_betas as kalman_betas
    from bdfm.exposures.latent import LatentAnalysis as LatentAnalysis
    from bdfm.exposures.latent import disentanglement_score as disentanglement_score
    from bdfm.exposures.networks import total_correlation as total_correlation
    from bdfm.exposures.pca import PrincipalComponents as PrincipalComponents
    from bdfm.exposures.random_walk import BayesianRandomWalk as BayesianRandomWalk
    from bdfm.exposures.regimes import Regimes as Regimes
    from bdfm.exposures.regression import ConstantBetas as ConstantBetas
    from bdfm.exposures.regression import RollingOLS as RollingOLS
    from bdfm.exposures.result import ExposureMethod as ExposureMethod
    from bdfm.exposures.result import Exposures as Exposures
    from bdfm.exposures.risk import ExposureEstimator as ExposureEstimator
    from bdfm.exposures.risk import exposures_risk as exposures_risk
    from bdfm.exposures.risk import exposures_volatility as exposures_volatility
    from bdfm.exposures.risk import factor_hedge as factor_hedge
    from bdfm.exposures.simulation import MovingBetas as MovingBetas
    from bdfm.exposures.simulation import MovingBetasStudy as MovingBetasStudy
else:
    __all__, __getattr__, __dir__ = public_names(
        __name__,
        {
            "bdfm.data.factor_files": ("read_factors",),
            "bdfm.exposures.comparison": (
                "Comparison",
                "compare",
            ),
            "bdfm.exposures.data": (
                "ExposureData",
                "choose_assets",
            ),
            "bdfm.exposures.dcc": ("DCCGarch",),
            "bdfm.exposures.descriptive": ("describe",),
            "bdfm.exposures.factor_vae": (
                "FactorVAE",
                "TrainedFactorVAE",
            ),
            "bdfm.exposures.kalman": (
                "KalmanBetas",
                "kalman_betas",
            ),
            "bdfm.exposures.latent": (
                "LatentAnalysis",
                "disentanglement_score",
            ),
            "bdfm.exposures.networks": ("total_correlation",),
            "bdfm.exposures.pca": ("PrincipalComponents",),
            "bdfm.exposures.random_walk": ("BayesianRandomWalk",),
            "bdfm.exposures.regimes": ("Regimes",),
            "bdfm.exposures.regression": (
                "ConstantBetas",
                "RollingOLS",
            ),
            "bdfm.exposures.result": (
                "ExposureMethod",
                "Exposures",
            ),
            "bdfm.exposures.risk": (
                "ExposureEstimator",
                "exposures_risk",
                "exposures_volatility",
                "factor_hedge",
            ),
            "bdfm.exposures.simulation": (
                "MovingBetas",
                "MovingBetasStudy",
            ),
        },
    )
