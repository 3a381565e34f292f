"""Time-varying exposures: rolling regression, filters, DCC-GARCH and a FactorVAE under one protocol."""

from bdfm.exposures.compare import Comparison, compare
from bdfm.exposures.data import ExposureData, choose_assets, read_factors
from bdfm.exposures.dcc import DCCGarch
from bdfm.exposures.factor_vae import FactorVAE, TrainedFactorVAE
from bdfm.exposures.kalman import KalmanBetas, kalman_betas
from bdfm.exposures.latent import LatentAnalysis, disentanglement_score
from bdfm.exposures.networks import total_correlation
from bdfm.exposures.pca import PrincipalComponents
from bdfm.exposures.random_walk import BayesianRandomWalk
from bdfm.exposures.regimes import Regimes
from bdfm.exposures.regression import ConstantBetas, RollingOLS
from bdfm.exposures.result import ExposureMethod, Exposures
from bdfm.exposures.simulation import MovingBetas, MovingBetasStudy

__all__ = [
    "BayesianRandomWalk",
    "Comparison",
    "ConstantBetas",
    "DCCGarch",
    "ExposureData",
    "ExposureMethod",
    "Exposures",
    "FactorVAE",
    "KalmanBetas",
    "LatentAnalysis",
    "MovingBetas",
    "MovingBetasStudy",
    "PrincipalComponents",
    "Regimes",
    "RollingOLS",
    "TrainedFactorVAE",
    "choose_assets",
    "compare",
    "disentanglement_score",
    "kalman_betas",
    "read_factors",
    "total_correlation",
]
