"""What the Gibbs sampler is told: data and priors of one fit, as plain arrays and numbers.

Parts of a model write these records (``Part.block``), the sampler reads them. Nothing here compiles anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bdfm.errors import ModelError


@dataclass(frozen=True)
class Effect:
    """Regressors, each with one coefficient an asset, and the hierarchy of these coefficients.

    ``b_i ~ StudentT(dof, mu_c, sigma_c)``, normal where ``dof`` is None, with ``mu_c ~ Normal(loc_mean,
    loc_sd)`` and ``sigma_c ~ HalfNormal(scale_sd)`` for each group c; with several windows, for each window.

    Parameters
    ----------
    name
        Name of the coefficients among the draws; location and scale are ``mu_<name>`` and ``sigma_<name>``.
    features
        (period, asset) or (period, asset, window); finite everywhere.
    scale_sd
        Scale of the half-normal prior of sigma.
    loc_sd
        Standard deviation of mu; None: mu is known to be ``loc_mean`` and not among the draws.
    groups
        (asset) position of the asset's group; None: all assets in one, and mu and sigma are scalars.
    dof
        Degrees of freedom of the coefficients around mu; None: normal.
    least
        Of the intercept of the log-volatility: the noise scale that it cannot go below. Its effect is then
        log(least + e^b) in the place of b; 0: b.
    """

    name: str
    features: NDArray[np.float64]
    scale_sd: float
    loc_sd: float | None = None
    loc_mean: float = 0.0
    groups: NDArray[np.int64] | None = None
    dof: float | None = None
    least: float = 0.0

    @property
    def columns(self) -> int:
        """Number of coefficients of an asset."""
        return 1 if self.features.ndim == 2 else self.features.shape[2]

    @property
    def n_groups(self) -> int:
        """Number of groups of the hierarchy."""
        return 1 if self.groups is None else int(self.groups.max()) + 1


@dataclass(frozen=True)
class DegreesOfFreedom:
    """Prior of degrees of freedom: nu_i ~ Gamma(mean, sd sigma_nu), sigma_nu ~ Gamma(mean, sd)."""

    nu_mean: float = 7.0
    sigma_nu_mean: float = 3.0
    sigma_nu_sd: float = 1.0


@dataclass(frozen=True)
class NoiseFamily:
    """Family of the noise.

    Parameters
    ----------
    code
        Its number in ``bdfm.gibbs.updates.noise``, which knows what a family is made of.
    dof
        Prior of its degrees of freedom; None: it has none.
    """

    code: int
    dof: DegreesOfFreedom | None = None


@dataclass(frozen=True)
class Lags:
    """Autoregression of the factors: rho at lag 1 and, with more lags, beta at all others (eq. 3a, 3b)."""

    number: int = 1
    rho_sd: float = 0.2
    beta_sd: float = 0.03


@dataclass(frozen=True)
class Characteristics:
    """Prior mean of the loadings: values by block, and priors of their slopes and of tau.

    ``values`` (block, asset, characteristic); one block where loadings do not move.
    """

    values: NDArray[np.float64]
    slope_sd: float = 0.5
    scale_sd: float = 1.0


@dataclass(frozen=True)
class LoadingBlocks:
    """Blocks of periods with loadings of their own: the block of each period, and the prior of their changes.

    A change has sd ``unit`` times the drift, which is half-normal with scale ``drift_sd``. ``block`` ascends
    from 0; blocks after its last, up to ``n_blocks``, have no periods: what a forecast starts from.
    """

    block: NDArray[np.int64]
    drift_sd: float
    unit: float = 1.0
    n_blocks: int | None = None

    @property
    def number(self) -> int:
        """Number of blocks, those without periods among them."""
        return int(self.block.max()) + 1 if self.n_blocks is None else self.n_blocks


@dataclass(frozen=True)
class ScaleRegression:
    """Regressors (period, regressor) of the log factor scales, and the prior sd of their slopes."""

    features: NDArray[np.float64]
    slope_sd: float = 0.5


@dataclass(frozen=True)
class LatentScale:
    """Latent AR(1) log multiplier of the factor scales: priors of its persistence and innovation sd."""

    phi_mean: float = 0.8
    phi_sd: float = 0.15
    sigma_sd: float = 0.25


@dataclass(frozen=True)
class StudentFactors:
    """Student-t factors: prior of their degrees of freedom, nu ~ Gamma(mean, sd) (eq. 3f)."""

    nu_mean: float = 8.0
    nu_sd: float = 4.0


@dataclass(frozen=True)
class FactorVolatility:
    """A log volatility for each factor, AR(1) with leverage (eq. D2, D3).

    logit phi ~ Normal(``logit_phi_mean``, ``logit_phi_sd``), the log of the shocks' sd ~
    Normal(``log_sd_mean``, ``log_sd_sd``), leverage ~ Normal(0, ``leverage_sd``) truncated to (-1, 1).
    """

    logit_phi_mean: float = 3.5
    logit_phi_sd: float = 0.75
    log_sd_mean: float = -2.1
    log_sd_sd: float = 0.5
    leverage_sd: float = 0.4


@dataclass(frozen=True)
class NormalHierarchy:
    """Prior of normal coefficients: mu_c ~ Normal(``loc_mean``, ``loc_sd``), sigma_c half-normal."""

    loc_mean: float
    loc_sd: float
    scale_sd: float


@dataclass(frozen=True)
class AssetVolatility:
    """A log noise scale for each asset around its level, AR(1) (eq. D4, D5).

    ``groups`` (asset): position of the asset's group; hierarchies of logit phi and of log sd of the shocks.
    """

    groups: NDArray[np.int64]
    logit_phi: NormalHierarchy
    log_sd: NormalHierarchy


@dataclass(frozen=True)
class KnownReturn:
    """Evidence on the simple return of an asset in the last period: Normal(``mean`` | return, ``sd``)."""

    asset: int
    mean: float
    sd: float


@dataclass(frozen=True)
class GibbsSpec:
    """Data and priors of one fit.

    Parameters
    ----------
    returns
        (period, asset) log returns, decimal, NaN where missing.
    n_factors
        Number of factors, at least 1.
    mean, log_volatility
        Effects of eq. 2 and eq. 7; at least one effect on the log-volatility.
    noise
        Family of the noise (eq. 6).
    lags
        Autoregression; None: no dynamics.
    factor_scale_sd
        Scale of the half-normal prior of each factor scale, decimal per period.
    premium_sd
        Prior sd of the mean of each factor over its scale; None: factors have mean 0.
    scale_regression, latent_scale
        What moves the factor scales; None: constant.
    factor_noise
        Prior of the degrees of freedom of the factors; None: normal factors.
    loadings_dof
        Degrees of freedom of the loadings (scale 1); None: normal.
    factor_volatility
        Prior of a log volatility for each factor; None: none. With normal factors without means and dynamics,
        and loadings that neither change nor follow anything.
    asset_volatility
        Prior of a path of the log noise scale of each asset; None: none. With Student-t or normal noise.
    characteristics, loading_blocks
        What the loadings follow, and how what is left of them changes; None: nothing, and not at all.
    period_weights
        (period) omega_t in (0, 1]; None: all 1.
    evidence
        With any, the last period is the one after the origin, whose returns are all missing (eq. 12).
    """

    returns: NDArray[np.float64]
    n_factors: int
    log_volatility: tuple[Effect, ...]
    noise: NoiseFamily
    mean: tuple[Effect, ...] = ()
    lags: Lags | None = field(default_factory=Lags)
    factor_scale_sd: float = 0.03
    premium_sd: float | None = None
    scale_regression: ScaleRegression | None = None
    latent_scale: LatentScale | None = None
    factor_noise: StudentFactors | None = None
    factor_volatility: FactorVolatility | None = None
    asset_volatility: AssetVolatility | None = None
    loadings_dof: float | None = 10.0
    characteristics: Characteristics | None = None
    loading_blocks: LoadingBlocks | None = None
    period_weights: NDArray[np.float64] | None = None
    evidence: tuple[KnownReturn, ...] = ()

    def __post_init__(self) -> None:
        n_periods, n_assets = self.returns.shape
        if n_periods < 3 or self.n_factors < 1 or not self.log_volatility:
            raise ModelError(
                f"gibbs: {n_periods} periods, {self.n_factors} factors, {len(self.log_volatility)} effects on"
                " the log-volatility; at least 3, 1 and 1 are needed."
            )
        if self.lags is not None and self.lags.number >= n_periods:
            raise ModelError(
                f"gibbs: {n_periods} periods, and dynamics with {self.lags.number} lags; more periods than"
                " lags are needed."
            )
        for effect in (*self.mean, *self.log_volatility):
            if effect.features.shape[:2] != (n_periods, n_assets) or not np.isfinite(effect.features).all():
                raise ModelError(
                    f"gibbs: features of {effect.name} have shape {effect.features.shape}; finite values of"
                    f" shape {(n_periods, n_assets)} or with windows on a third axis are needed."
                )
        self._check_paths()
        blocks, known = self.loading_blocks, self.characteristics
        shape = (1 if blocks is None else blocks.number, n_assets)
        if known is not None and known.values.shape[:2] != shape:
            raise ModelError(
                f"gibbs: characteristics of shape {known.values.shape}; {shape} by characteristic is needed."
            )
        weights = self.period_weights
        if weights is not None and (
            weights.shape != (n_periods,) or not ((weights > 0) & (weights <= 1)).all()
        ):
            raise ModelError(f"gibbs: period_weights need {n_periods} values above 0 and at most 1.")

    def _check_paths(self) -> None:
        """What a volatility of its own of each factor or asset cannot stand beside."""
        if self.factor_volatility is None and self.asset_volatility is None:
            return
        weights = self.period_weights
        beside = {
            "evidence": bool(self.evidence),
            "period weights": weights is not None and not (weights == 1.0).all(),
        }
        if self.factor_volatility is not None:
            beside |= {
                "dynamics": self.lags is not None,
                "factor means": self.premium_sd is not None,
                "another factor volatility": self.scale_regression is not None
                or self.latent_scale is not None,
                "Student-t factors": self.factor_noise is not None,
                "loadings that move": self.loading_blocks is not None,
                "characteristics": self.characteristics is not None,
            }
        found = [name for name, there in beside.items() if there]
        if found:
            raise ModelError(
                f"gibbs: volatilities of single factors or assets cannot stand beside {', '.join(found)}."
            )
