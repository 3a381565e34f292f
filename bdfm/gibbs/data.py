"""What stays fixed while sampling, as arrays for the kernels.

Arrays are asset-major, so that the inner loop over periods is contiguous. Sizes: N assets, T periods, K
factors, M effects on the mean, J effects on the log-volatility, G the largest number of groups of a
hierarchy, B blocks of periods with loadings of their own, L characteristics, W regressors of the log factor
scales, P lags, E returns with evidence on them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm.gibbs.spec import Effect, GibbsSpec

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]
type Bools = NDArray[np.bool_]

_MAX_RUN: Final = 64  # periods whose likelihood factors are multiplied before a logarithm is taken
# Paths whose mixtures are near enough to be accepted together (eq. S44), with Student-t noise and with normal
MOST_TOGETHER: Final = 500
MOST_TOGETHER_NORMAL: Final = 150


class Returns(NamedTuple):
    """Log returns, and what each counts."""

    values: Floats  # (N, T) 0 where missing; with evidence, its draws in the last period
    seen: Floats  # (N, T) 1 where a return is known, else 0
    weight: Floats  # (N, T) period weight where a return is known, else 0
    total_weight: Floats  # (N) sum of ``weight``
    run_bounds: Ints  # (C + 1) bounds of runs of periods of one weight
    run_weight: Floats  # (C) that weight


class Effects(NamedTuple):
    """Regressors, one coefficient an asset each, and the priors of their hierarchies; n effects."""

    x: Floats  # (n, N, T)
    group: Ints  # (n, N) group of each asset
    n_groups: Ints  # (n)
    loc_known: Bools  # (n) whether the location is known, and equals ``loc_mean``
    loc_mean: Floats  # (n)
    loc_sd: Floats  # (n) 1 where the location is known
    scale_sd: Floats  # (n) of the half-normal prior of the scale
    student: Bools  # (n) whether coefficients are Student-t around the location
    dof: Floats  # (n) their degrees of freedom, 1 where they are normal
    has_intercept: bool  # whether a regressor is 1 everywhere
    intercept: int  # the first such effect, 0 where there is none
    least: float  # what the exponential of its effect does not go below; 0: none


class VolatilitySums(NamedTuple):
    """Weighted sums of the regressors of the log-volatility over periods."""

    x: Floats  # (N, J)
    products: Floats  # (N, J, J)
    shared: Ints  # effects with an unknown location and one grouping, that of the first of them


class LoadingsData(NamedTuple):
    """Prior of the loadings."""

    cut: Ints  # (B + 1) bounds of the blocks of periods with the same loadings; the last one may be empty
    student: bool  # whether deviations of the first block are Student-t
    dof: float
    characteristics: Floats  # (B, L, N)
    slope_sd: float  # of the normal prior of slopes on characteristics
    tau_sd: float  # of the half-normal prior of tau, which is 1 where L is 0
    delta_sd: float  # of the half-normal prior of delta, where B is above 1


class FactorsData(NamedTuple):
    """Priors of the factor scales and of the factors' means."""

    scale_sd: float  # of the half-normal prior
    has_premium: bool  # whether factors have a mean
    premium_sd: float  # of the normal prior of a factor's mean over its scale


class DynamicsData(NamedTuple):
    """Autoregression of the factors."""

    n_lags: int  # 0, 1, or more with the momentum polynomial
    rho_sd: float
    beta_sd: float


class MultiplierData(NamedTuple):
    """What moves the factor scales."""

    x: Floats  # (W, T) regressors of the log factor scales
    axes: Floats  # (W, W) a row for each move of all slopes: conjugate, one sd by the expected information
    along: Floats  # (W, T) how the log factor scales move with each
    slope_sd: float  # of the normal prior of their slopes
    latent: bool  # whether there is a latent log multiplier h
    sigma_sd: float  # of the half-normal prior of sigma_h
    phi_mean: float  # of the truncated normal prior
    phi_sd: float


class FactorVolatilityData(NamedTuple):
    """Priors of a log volatility for each factor."""

    present: bool
    logit_phi_mean: float
    logit_phi_sd: float
    log_sd_mean: float
    log_sd_sd: float
    leverage_sd: float


class AssetVolatilityData(NamedTuple):
    """Priors of the path of the log noise scale of each asset: logit phi and log sd of the shocks."""

    present: bool
    group: Ints  # (N) group of each asset
    n_groups: int
    together: Bools  # (G) whether a group is small enough for a step of all of its paths together
    first: Ints  # (N) period of the first return that is known
    stop: Ints  # (N) period after that of the last
    loc_mean: Floats  # (2)
    loc_sd: Floats  # (2)
    scale_sd: Floats  # (2)


class FactorNoiseData(NamedTuple):
    """Family of the factor innovations, and prior of its degrees of freedom."""

    student: bool  # Student-t, one mixing variable a period; else normal
    nu_shape: float  # of the gamma prior
    nu_rate: float


class NoiseData(NamedTuple):
    """Family of the noise, and prior of its degrees of freedom; 1 and unused where it has none."""

    family: int  # its code in ``updates.noise``
    nu_mean: float
    sigma_nu_shape: float  # of its gamma prior
    sigma_nu_rate: float


class EvidenceData(NamedTuple):
    """Returns of the last period with evidence on them, which are not known."""

    asset: Ints  # (E)
    mean: Floats  # (E) of what is said about the simple return
    sd: Floats  # (E)


class Data(NamedTuple):
    """All that stays fixed."""

    returns: Returns
    mean: Effects
    volatility: Effects
    sums: VolatilitySums
    loadings: LoadingsData
    factors: FactorsData
    dynamics: DynamicsData
    multiplier: MultiplierData
    factor_volatility: FactorVolatilityData
    asset_volatility: AssetVolatilityData
    factor_noise: FactorNoiseData
    noise: NoiseData
    evidence: EvidenceData


def _effects(effects: tuple[Effect, ...], n_periods: int, n_assets: int) -> Effects:
    """Effects with one row a coefficient: as many as they have columns."""
    flat = [(e, c) for e in effects for c in range(e.columns)]
    x = np.array([e.features.reshape(n_periods, n_assets, -1)[:, :, c].T for e, c in flat], dtype=np.float64)
    x = np.ascontiguousarray(x.reshape(len(flat), n_assets, n_periods))
    groups = [np.zeros(n_assets) if e.groups is None else e.groups for e, _ in flat]
    found = np.flatnonzero((x == 1.0).all(axis=(1, 2)))

    def column(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    return Effects(
        x=x,
        group=np.array(groups, dtype=np.int64).reshape(len(flat), n_assets),
        n_groups=np.array([e.n_groups for e, _ in flat], dtype=np.int64),
        loc_known=np.array([e.loc_sd is None for e, _ in flat], dtype=np.bool_),
        loc_mean=column([e.loc_mean for e, _ in flat]),
        loc_sd=column([1.0 if e.loc_sd is None else e.loc_sd for e, _ in flat]),
        scale_sd=column([e.scale_sd for e, _ in flat]),
        student=np.array([e.dof is not None for e, _ in flat], dtype=np.bool_),
        dof=column([1.0 if e.dof is None else e.dof for e, _ in flat]),
        has_intercept=len(found) > 0,
        intercept=int(found[0]) if len(found) else 0,
        least=float(flat[found[0]][0].least) if len(found) else 0.0,
    )


def _sums(weight: Floats, effects: Effects) -> VolatilitySums:
    free = np.flatnonzero(~effects.loc_known)
    shared = free[(effects.group[free] == effects.group[free[:1]]).all(axis=1)]
    return VolatilitySums(
        x=np.ascontiguousarray(np.einsum("it,jit->ij", weight, effects.x)),
        products=np.ascontiguousarray(np.einsum("it,jit,rit->ijr", weight, effects.x, effects.x)),
        shared=np.asarray(shared, dtype=np.int64),
    )


def _loadings(spec: GibbsSpec) -> LoadingsData:
    n_periods, n_assets = spec.returns.shape
    blocks, known = spec.loading_blocks, spec.characteristics
    block = np.zeros(n_periods, np.int64) if blocks is None else blocks.block
    n_blocks = 1 if blocks is None else blocks.number
    characteristics = np.zeros((n_blocks, 0, n_assets)) if known is None else known.values.swapaxes(1, 2)
    return LoadingsData(
        cut=np.searchsorted(block, np.arange(n_blocks + 1)).astype(np.int64),
        student=spec.loadings_dof is not None,
        dof=float(spec.loadings_dof or 1.0),
        characteristics=np.array(characteristics, dtype=np.float64, order="C"),
        slope_sd=float(known.slope_sd) if known else 1.0,
        tau_sd=float(known.scale_sd) if known else 1.0,
        delta_sd=float(blocks.drift_sd * blocks.unit) if blocks else 1.0,
    )


def _multiplier(spec: GibbsSpec) -> MultiplierData:
    moving, latent = spec.scale_regression, spec.latent_scale
    x = np.zeros((0, spec.returns.shape[0])) if moving is None else moving.features.T
    slope_sd = float(moving.slope_sd) if moving else 1.0
    information = 2 * spec.n_factors * (x @ x.T) + np.eye(len(x)) / slope_sd**2
    axes = np.linalg.inv(np.linalg.cholesky(information))
    return MultiplierData(
        x=np.array(x, dtype=np.float64, order="C"),
        axes=np.ascontiguousarray(axes),
        along=np.ascontiguousarray(axes @ x),
        slope_sd=slope_sd,
        latent=latent is not None,
        sigma_sd=float(latent.sigma_sd) if latent else 1.0,
        phi_mean=float(latent.phi_mean) if latent else 0.0,
        phi_sd=float(latent.phi_sd) if latent else 1.0,
    )


def _factor_volatility(spec: GibbsSpec) -> FactorVolatilityData:
    own = spec.factor_volatility
    if own is None:
        return FactorVolatilityData(False, 0.0, 1.0, 0.0, 1.0, 1.0)
    numbers = own.logit_phi_mean, own.logit_phi_sd, own.log_sd_mean, own.log_sd_sd, own.leverage_sd
    return FactorVolatilityData(True, *(float(x) for x in numbers))


def _asset_volatility(spec: GibbsSpec, seen: Floats) -> AssetVolatilityData:
    own = spec.asset_volatility
    n_assets, n_periods = seen.shape
    some = seen.any(axis=1)
    priors = (own.logit_phi, own.log_sd) if own else ()
    most = MOST_TOGETHER_NORMAL if spec.noise.dof is None else MOST_TOGETHER
    return AssetVolatilityData(
        present=own is not None,
        group=np.zeros(n_assets, dtype=np.int64) if own is None else own.groups.astype(np.int64),
        n_groups=int(own.groups.max()) + 1 if own else 0,
        together=np.bincount(own.groups) <= most if own else np.zeros(0, dtype=np.bool_),
        first=np.where(some, seen.argmax(axis=1), 0).astype(np.int64),
        stop=np.where(some, n_periods - seen[:, ::-1].argmax(axis=1), n_periods).astype(np.int64),
        loc_mean=np.array([x.loc_mean for x in priors], dtype=np.float64),
        loc_sd=np.array([x.loc_sd for x in priors], dtype=np.float64),
        scale_sd=np.array([x.scale_sd for x in priors], dtype=np.float64),
    )


def _factor_noise(spec: GibbsSpec) -> FactorNoiseData:
    own = spec.factor_noise
    shape = (own.nu_mean / own.nu_sd) ** 2 if own else 1.0
    return FactorNoiseData(own is not None, float(shape), float(shape / own.nu_mean) if own else 1.0)


def _returns(spec: GibbsSpec) -> Returns:
    n_periods = spec.returns.shape[0]
    seen = np.ascontiguousarray(np.isfinite(spec.returns).T.astype(np.float64))
    seen[[e.asset for e in spec.evidence], -1] = 1.0
    omega = np.ones(n_periods) if spec.period_weights is None else spec.period_weights
    weight = seen * omega
    bounds = [0]
    for t in range(1, n_periods):
        if omega[t] != omega[t - 1] or t - bounds[-1] == _MAX_RUN:
            bounds.append(t)
    return Returns(
        values=np.ascontiguousarray(np.nan_to_num(spec.returns.T)),
        seen=seen,
        weight=weight,
        total_weight=weight.sum(axis=1),
        run_bounds=np.array([*bounds, n_periods], dtype=np.int64),
        run_weight=omega[bounds].astype(np.float64),
    )


def make_data(spec: GibbsSpec) -> Data:
    """Arrays that the kernels read, from a specification."""
    n_periods, n_assets = spec.returns.shape
    dof, lags = spec.noise.dof, spec.lags
    returns = _returns(spec)
    volatility = _effects(spec.log_volatility, n_periods, n_assets)
    shape = (dof.sigma_nu_mean / dof.sigma_nu_sd) ** 2 if dof else 1.0
    return Data(
        returns=returns,
        mean=_effects(spec.mean, n_periods, n_assets),
        volatility=volatility,
        sums=_sums(returns.weight, volatility),
        loadings=_loadings(spec),
        factors=FactorsData(
            float(spec.factor_scale_sd), spec.premium_sd is not None, float(spec.premium_sd or 1.0)
        ),
        dynamics=DynamicsData(
            n_lags=int(lags.number) if lags else 0,
            rho_sd=float(lags.rho_sd) if lags else 1.0,
            beta_sd=float(lags.beta_sd) if lags else 1.0,
        ),
        multiplier=_multiplier(spec),
        factor_volatility=_factor_volatility(spec),
        asset_volatility=_asset_volatility(spec, returns.seen),
        factor_noise=_factor_noise(spec),
        noise=NoiseData(
            family=int(spec.noise.code),
            nu_mean=float(dof.nu_mean) if dof else 1.0,
            sigma_nu_shape=float(shape),
            sigma_nu_rate=float(shape / dof.sigma_nu_mean) if dof else 1.0,
        ),
        evidence=EvidenceData(
            asset=np.array([e.asset for e in spec.evidence], dtype=np.int64),
            mean=np.array([e.mean for e in spec.evidence], dtype=np.float64),
            sd=np.array([e.sd for e in spec.evidence], dtype=np.float64),
        ),
    )
