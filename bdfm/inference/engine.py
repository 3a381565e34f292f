"""Choice of the engine, and the two engines behind one signature."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from bdfm import _checks
from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs
from bdfm.gibbs.spec import (
    Characteristics,
    Effect,
    GibbsSpec,
    KnownReturn,
    Lags,
    LatentScale,
    LoadingBlocks,
    ScaleRegression,
    StudentNoise,
)
from bdfm.inference.nuts import sample_nuts
from bdfm.inference.settings import SamplerSettings
from bdfm.inference.start import pca_start
from bdfm.model.factor_model import BY_ASSET, Evidence, FactorModel, at_periods, model_data
from bdfm.model.parts.dynamics import AR1, Momentum
from bdfm.model.parts.factor_scale import ConstantScale, MarketVolatilityScale, StochasticVolatilityScale
from bdfm.model.parts.loadings import InstrumentedLoadings, RandomWalkLoadings, StaticLoadings
from bdfm.model.parts.log_volatility import Earnings, LogVolatility, LogVolIntercept, RecentVolatility
from bdfm.model.parts.mean import FactorPremium, Intercept, RecentReturn
from bdfm.model.parts.noise import NormalNoise, StudentTNoise
from bdfm.names import (
    ALPHA,
    ASSET,
    ASSET_CLASS,
    BETA_EARNINGS,
    BETA_RR,
    BETA_RV,
    BLOCK,
    CHAIN,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CLASS_INDEX,
    DRAW,
    EARNINGS,
    EVIDENCE,
    FACTOR,
    LOADING_BLOCK,
    MARKET_VOLATILITY,
    PERIOD,
    PERIOD_WEIGHTS,
    POSTERIOR,
    RECENT_RETURN,
    RECENT_VOLATILITY,
    RETURNS,
    SAMPLE_STATS,
    THETA,
    VARIABLE_DIMS,
    WINDOW,
)

_COVERED = (
    AR1,
    Momentum,
    ConstantScale,
    MarketVolatilityScale,
    StochasticVolatilityScale,
    StaticLoadings,
    RandomWalkLoadings,
    InstrumentedLoadings,
    Intercept,
    FactorPremium,
    RecentReturn,
    LogVolIntercept,
    RecentVolatility,
    Earnings,
    StudentTNoise,
    NormalNoise,
)


def not_covered(model: FactorModel) -> list[str]:
    """Names of the parts that the Gibbs sampler does not cover; empty where it can run the model."""
    parts = [p for p in model.components if p is not model.weights and type(p) not in _COVERED]
    return [type(p).__name__ for p in parts]


def choose(settings: SamplerSettings, model: FactorModel) -> str:
    """``gibbs`` or ``nuts``: what was asked for, or with ``auto`` the fastest that covers the model."""
    missing = not_covered(model)
    if settings.engine == "gibbs" and missing:
        raise ModelError(
            f"engine gibbs: model {model.name!r} has parts that it does not cover ({_checks.first(missing)})."
            " Use --engine nuts, or auto."
        )
    if settings.engine == "auto":
        return "nuts" if missing or settings.sampler != "nutpie" else "gibbs"
    return settings.engine


class Sampled(NamedTuple):
    """Draws (chain, draw, ...), statistics of the sampler, and wall seconds by stage."""

    draws: xr.Dataset
    sample_stats: xr.Dataset
    seconds: dict[str, float]


def run(
    engine: str,
    model: FactorModel,
    panel: Panel,
    settings: SamplerSettings,
    *,
    seed: int,
    evidence: tuple[Evidence, ...] = (),
    progress: bool = False,
) -> Sampled:
    """Posterior draws by the engine named; the same variables with the same dims from either."""
    if engine == "gibbs":
        return _run_gibbs(model, panel, settings, seed=seed, evidence=evidence, progress=progress)
    begun = time.perf_counter()
    pymc_model = model.build(panel, evidence=evidence)
    start = pca_start(pymc_model, model_data(model, panel), model.n_factors)
    prepared = time.perf_counter() - begun
    tree, seconds = sample_nuts(pymc_model, start, settings, seed=seed, progress=progress)
    seconds["compile"] += prepared
    return Sampled(tree[POSTERIOR].to_dataset(), tree[SAMPLE_STATS].to_dataset(), seconds)


def _run_gibbs(
    model: FactorModel,
    panel: Panel,
    settings: SamplerSettings,
    *,
    seed: int,
    evidence: tuple[Evidence, ...],
    progress: bool,
) -> Sampled:
    columns = (TextColumn("Sampling"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not progress, transient=True) as bar:
        task = bar.add_task("sweeps", total=None)
        result = sample_gibbs(
            gibbs_spec(model, panel, evidence),
            GibbsSettings(settings.draws, settings.tune, settings.thin, settings.chains, settings.cores),
            seed=seed,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    history = panel.history
    labels = {
        CHAIN: np.arange(settings.chains),
        DRAW: np.arange(settings.draws),
        ASSET: list(panel.assets),
        ASSET_CLASS: list(panel.asset_classes),
        FACTOR: np.arange(1, model.n_factors + 1),
        PERIOD: history[PERIOD].to_numpy(),
        WINDOW: history[WINDOW].to_numpy(),
        CHARACTERISTIC: history[CHARACTERISTIC].to_numpy(),
        EVIDENCE: [e.symbol for e in evidence],
        BLOCK: np.arange(1, model.loadings.blocks(panel.n_history)[-1] + 2),
    }

    def dataset(arrays: dict[str, NDArray[np.float64]]) -> xr.Dataset:
        dims = {name: (CHAIN, DRAW, *VARIABLE_DIMS.get(name, ())) for name in arrays}
        used = {d for ds in dims.values() for d in ds}
        return xr.Dataset(
            {name: (dims[name], x) for name, x in arrays.items()},
            coords={d: x for d, x in labels.items() if d in used},
        )

    return Sampled(dataset(result.draws), dataset(result.sample_stats), result.seconds)


def gibbs_spec(model: FactorModel, panel: Panel, evidence: tuple[Evidence, ...] = ()) -> GibbsSpec:
    """Specification for the Gibbs sampler of a model that it covers.

    With evidence, the first period after the origin is the last one (eq. 12).
    """
    data = model_data(model, panel)
    if evidence:
        ahead = at_periods(model_data(model, panel, future=True), slice(1))
        data = {n: x if n in BY_ASSET else np.concatenate([x, ahead[n]]) for n, x in data.items()}
    ones, groups = np.ones(data[RETURNS].shape), data[CLASS_INDEX].astype(np.int64)

    def effect(part: Intercept | RecentReturn | LogVolatility) -> Effect:
        match part:
            case Intercept():
                return Effect(ALPHA, ones, scale_sd=part.scale, dof=part.nu)
            case RecentReturn():
                x = data[RECENT_RETURN]
                return Effect(
                    BETA_RR, x, scale_sd=part.scale, loc_sd=part.mean_sd, groups=groups, dof=part.nu
                )
            case LogVolIntercept():
                return Effect(
                    THETA,
                    ones,
                    scale_sd=part.scale,
                    loc_sd=part.mean_sd,
                    loc_mean=part.mean,
                    groups=groups,
                    dof=part.nu,
                )
            case RecentVolatility():
                x = data[RECENT_VOLATILITY]
                return Effect(BETA_RV, x, scale_sd=part.scale, loc_sd=part.mean_sd, groups=groups)
            case Earnings():
                return Effect(BETA_EARNINGS, data[EARNINGS], scale_sd=part.scale, loc_sd=part.mean_sd)

    noise, scale, loadings = model.noise, model.factor_scale, model.loadings
    lags = None
    match model.dynamics:
        case (AR1(rho_sd=rho_sd),):
            lags = Lags(1, rho_sd)
        case (Momentum(rho_sd=rho_sd, beta_sd=beta_sd, n_lags=n_lags),):
            lags = Lags(n_lags, rho_sd, beta_sd)
    return GibbsSpec(
        returns=data[RETURNS],
        n_factors=model.n_factors,
        mean=tuple(effect(part) for part in model.mean if not isinstance(part, FactorPremium)),
        log_volatility=tuple(effect(part) for part in model.log_volatility),
        lags=lags,
        factor_scale_sd=scale.sd,
        premium_sd=next((part.sd for part in model.mean if isinstance(part, FactorPremium)), None),
        scale_regression=ScaleRegression(data[MARKET_VOLATILITY], scale.slope_sd)
        if isinstance(scale, MarketVolatilityScale)
        else None,
        latent_scale=LatentScale(scale.phi_mean, scale.phi_sd, scale.volatility_sd)
        if isinstance(scale, StochasticVolatilityScale)
        else None,
        loadings_dof=loadings.nu,
        characteristics=Characteristics(data[CHARACTERISTICS], loadings.slope_sd, loadings.scale)
        if isinstance(loadings, InstrumentedLoadings)
        else None,
        loading_blocks=LoadingBlocks(data[LOADING_BLOCK], loadings.drift_sd, loadings.step_sd(1.0))
        if isinstance(loadings, RandomWalkLoadings)
        else None,
        noise=StudentNoise(noise.nu_mean, noise.nu_sd_mean, noise.nu_sd_sd)
        if isinstance(noise, StudentTNoise)
        else None,
        period_weights=data[PERIOD_WEIGHTS],
        evidence=tuple(KnownReturn(panel.assets.index(e.symbol), e.mean, e.sd) for e in evidence),
    )
