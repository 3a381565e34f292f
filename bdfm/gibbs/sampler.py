"""Blocked Gibbs sampler of the dynamic factor model (eq. 1 to 9), on plain arrays.

It covers independent factors, AR(1) and momentum; factor scales that are constant, follow regressors or have
a latent volatility; Student-t or normal loadings that are constant, follow characteristics of the assets or
change from block to block of periods; any number of effects on the mean and on the log-volatility with
hierarchies over assets; Student-t or normal noise; period weights; and missing returns. A sweep costs about a
millisecond at N = 100, T = 104, K = 7; chains run on threads.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.arrays import (
    ASSET_MOVE,
    BETA,
    DELTA,
    LOC_MEAN,
    LOC_SD,
    N_FIXED,
    N_SCALARS,
    NU_MOVE,
    PHI,
    RHO,
    RHO_MOVE,
    SCALE_SD,
    SIGMA_H,
    SIGMA_NU,
    STEP_NU,
    TAU,
    Data,
    Floats,
    State,
    Work,
)
from bdfm.gibbs.spec import Effect, GibbsSpec
from bdfm.gibbs.start import MIN_SCALE, principal_components
from bdfm.gibbs.sweep import Kept, run

_MAX_CHUNK = 64  # periods whose likelihood factors are multiplied before a logarithm is taken
_JITTER = 0.3  # sd of the noise of start values, relative to the prior scale or on the log scale
_BATCH = 100  # sweeps between two returns to Python, where an interrupt is noticed


@dataclass(frozen=True)
class GibbsSettings:
    """Length of a run: each chain makes ``tune`` sweeps, then ``thin * draws`` and keeps every thin-th."""

    draws: int = 2500
    tune: int = 500
    thin: int = 1
    chains: int = 4
    cores: int = os.cpu_count() or 1


@dataclass(frozen=True)
class GibbsResult:
    """Draws by variable name, (chain, draw, ...) in the order of dims of the model, and how they came.

    ``sample_stats`` holds the weighted log-likelihood of the returns (chain, draw); ``acceptance`` the rate
    of each kind of Metropolis-Hastings move; ``seconds`` wall time by stage.
    """

    draws: dict[str, NDArray[np.float64]]
    sample_stats: dict[str, NDArray[np.float64]]
    acceptance: dict[str, float]
    seconds: dict[str, float]


def sample_gibbs(
    spec: GibbsSpec,
    settings: GibbsSettings = GibbsSettings(),
    *,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> GibbsResult:
    """Posterior draws of a specification. The same seed gives the same draws, on any number of cores.

    ``on_progress`` is called now and then, from the chains' threads, with the number of sweeps made and to
    make over all chains. An interrupt or an error in one chain stops the others within a batch of sweeps.
    """
    begun = time.perf_counter()
    data = make_data(spec)
    _compile(spec, data)
    compiled = time.perf_counter()
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(settings.chains)]
    states = [start_state(spec, data, rng) for rng in streams]
    works = [make_work(data, state) for state in states]
    kept = _allocate(states[0], settings)

    stop = threading.Event()
    total = settings.chains * (settings.tune + settings.thin * settings.draws)
    done = [0] * settings.chains

    def advance(chain: int, sweeps: int) -> bool:
        """Count sweeps; whether to go on."""
        done[chain] += sweeps
        if on_progress is not None:
            on_progress(sum(done), total)
        return not stop.is_set()

    def run_chain(chain: int) -> None:
        # Threads share no array: reference counts of one that they share would slow both down.
        own = make_data(spec)
        rng, state, work = streams[chain], states[chain], works[chain]
        none = Kept(*(x[chain, :0] for x in kept))
        for first in range(0, settings.tune, _BATCH):
            batch = min(_BATCH, settings.tune - first)
            run(rng, own, state, work, none, first, batch, 1)
            if not advance(chain, batch):
                return
        work.accepted[:] = 0.0
        step = max(1, _BATCH // settings.thin)
        for first in range(0, settings.draws, step):
            part = Kept(*(x[chain, first : first + step] for x in kept))
            run(rng, own, state, work, part, settings.tune + first, 0, settings.thin)
            if not advance(chain, len(part.nu) * settings.thin):
                return

    with ThreadPoolExecutor(max_workers=max(1, min(settings.cores, settings.chains))) as pool:
        try:
            for future in [pool.submit(run_chain, chain) for chain in range(settings.chains)]:
                future.result()
        except BaseException:  # an interrupt too: leaving the pool waits for its threads
            stop.set()
            raise
    seconds = {"compile": compiled - begun, "sample": time.perf_counter() - compiled}
    return GibbsResult(
        _named(spec, kept),
        {"log_likelihood": kept.log_likelihood},
        _acceptance(spec, works),
        seconds,
    )


def _stack(
    effects: tuple[Effect, ...], n_periods: int, n_assets: int
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Regressors (effect, asset, period), groups (effect, asset) and priors (effect, 4), one row a column."""
    x = [e.features.reshape(n_periods, n_assets, -1)[:, :, c].T for e in effects for c in range(e.columns)]
    groups = [
        np.zeros(n_assets, np.int64) if e.groups is None else e.groups
        for e in effects
        for _ in range(e.columns)
    ]
    prior = [
        (e.loc_mean, e.loc_sd or 0.0, e.scale_sd, e.dof or 0.0) for e in effects for _ in range(e.columns)
    ]
    return (
        np.ascontiguousarray(np.reshape(np.array(x, dtype=np.float64), (len(x), n_assets, n_periods))),
        np.reshape(np.array(groups, dtype=np.int64), (len(x), n_assets)),
        np.reshape(np.array(prior, dtype=np.float64), (len(x), 4)),
    )


def _constant(x: Floats) -> int:
    """Position of the first regressor that is 1 everywhere, -1 if there is none."""
    found = np.flatnonzero((x == 1.0).all(axis=(1, 2)))
    return int(found[0]) if len(found) else -1


def _shared(group: NDArray[np.int64], prior: Floats) -> NDArray[np.int64]:
    """Positions of the effects whose location is unknown and whose grouping is that of the first of them."""
    free = np.flatnonzero(prior[:, LOC_SD] > 0)
    return np.asarray(free[(group[free] == group[free[:1]]).all(axis=1)], dtype=np.int64)


def make_data(spec: GibbsSpec) -> Data:
    """Arrays that the kernels read, from a specification."""
    n_periods, n_assets = spec.returns.shape
    seen = np.ascontiguousarray(np.isfinite(spec.returns).T.astype(np.float64))
    named = np.array([e.asset for e in spec.evidence], dtype=np.int64)
    seen[named, -1] = 1.0
    omega = np.ones(n_periods) if spec.period_weights is None else spec.period_weights
    weight = seen * omega
    mean_x, mean_group, mean_prior = _stack(spec.mean, n_periods, n_assets)
    vol_x, vol_group, vol_prior = _stack(spec.log_volatility, n_periods, n_assets)
    bounds = [0]
    for t in range(1, n_periods):
        if omega[t] != omega[t - 1] or t - bounds[-1] == _MAX_CHUNK:
            bounds.append(t)
    noise, lags, blocks = spec.noise, spec.lags, spec.loading_blocks
    known, moving, latent = spec.characteristics, spec.scale_regression, spec.latent_scale
    block = np.zeros(n_periods, np.int64) if blocks is None else blocks.block
    characteristics = np.zeros((0, n_assets)) if known is None else known.values.T
    scale_x = np.zeros((0, n_periods)) if moving is None else moving.features.T
    shape = (noise.sigma_nu_mean / noise.sigma_nu_sd) ** 2 if noise else 1.0
    return Data(
        y=np.ascontiguousarray(np.nan_to_num(spec.returns.T)),
        seen=seen,
        weight=weight,
        total_weight=weight.sum(axis=1),
        chunk=np.array([*bounds, n_periods], dtype=np.int64),
        chunk_weight=omega[bounds].astype(np.float64),
        mean_x=mean_x,
        mean_group=mean_group,
        mean_groups=np.array([e.n_groups for e in spec.mean for _ in range(e.columns)], dtype=np.int64),
        mean_prior=mean_prior,
        mean_intercept=_constant(mean_x),
        vol_x=vol_x,
        vol_group=vol_group,
        vol_groups=np.array(
            [e.n_groups for e in spec.log_volatility for _ in range(e.columns)], dtype=np.int64
        ),
        vol_prior=vol_prior,
        vol_intercept=_constant(vol_x),
        vol_shared=_shared(vol_group, vol_prior),
        vol_sum=np.ascontiguousarray(np.einsum("it,jit->ij", weight, vol_x)),
        vol_info=np.ascontiguousarray(np.einsum("it,jit,rit->ijr", weight, vol_x, vol_x)),
        evidence_asset=named,
        evidence=np.array([(e.mean, e.sd) for e in spec.evidence], dtype=np.float64).reshape(-1, 2),
        cut=np.array([0, *(np.flatnonzero(np.diff(block)) + 1), n_periods], dtype=np.int64),
        characteristics=np.ascontiguousarray(characteristics, dtype=np.float64),
        loadings_dof=float(spec.loadings_dof or 0.0),
        slope_sd=float(known.slope_sd) if known else 1.0,
        tau_sd=float(known.scale_sd) if known else 0.0,
        delta_sd=float(blocks.drift_sd * blocks.unit) if blocks else 1.0,
        factor_scale_sd=float(spec.factor_scale_sd),
        scale_x=np.ascontiguousarray(scale_x, dtype=np.float64),
        scale_slope_sd=float(moving.slope_sd) if moving else 1.0,
        h_sd=float(latent.sigma_sd) if latent else 0.0,
        phi_mean=float(latent.phi_mean) if latent else 0.0,
        phi_sd=float(latent.phi_sd) if latent else 1.0,
        premium_sd=float(spec.premium_sd or 0.0),
        n_lags=int(lags.number) if lags else 0,
        rho_sd=float(lags.rho_sd) if lags else 1.0,
        beta_sd=float(lags.beta_sd) if lags else 1.0,
        nu_mean=float(noise.nu_mean) if noise else 0.0,
        sigma_nu_shape=float(shape),
        sigma_nu_rate=float(shape / noise.sigma_nu_mean) if noise else 1.0,
    )


def make_work(data: Data, state: State) -> Work:
    """Memory of one chain, with the noise precisions of its state."""
    n_assets, n_periods = data.y.shape
    n_blocks, n_factors, _ = state.loadings.shape
    n_mean, n_vol, n_known = len(data.mean_x), len(data.vol_x), len(data.characteristics)
    small = max(n_factors, n_mean, n_vol, n_known, 4)
    n_coordinates = n_blocks * n_assets + n_known
    groups = int(max([1, *data.mean_groups, *data.vol_groups]))
    return Work(
        e=np.zeros((n_assets, n_periods)),
        precision=np.exp(-2.0 * np.einsum("ji,jit->it", state.vol_b, data.vol_x)),
        precision_new=np.zeros((n_assets, n_periods)),
        gradient=np.zeros((n_assets, n_vol)),
        gradient_new=np.zeros((n_assets, n_vol)),
        norm=np.zeros(n_assets),
        loglik=np.zeros(n_assets),
        loglik_new=np.zeros(n_assets),
        multiplier=np.zeros(n_periods),
        rows=np.zeros((n_periods, data.n_lags + 1)),
        start=np.zeros(n_periods),
        band=np.zeros((data.n_lags + 1, n_periods)),
        deviation=np.zeros((n_factors, n_periods)),
        energy=np.zeros(n_periods),
        coordinates=np.zeros((n_factors, n_coordinates)),
        coordinate_precision=np.zeros((n_factors, n_coordinates)),
        coupling=np.zeros((n_periods, n_factors)),
        change=np.zeros((n_factors, n_periods)),
        switch=np.zeros((5, max(n_assets, n_periods))),
        pair=np.zeros((n_factors * (n_factors + 1) // 2, n_periods)),
        path_rhs=np.zeros((n_factors, n_periods)),
        path_chol=np.zeros((n_periods, n_factors, n_factors)),
        gram=np.zeros((n_assets, n_mean, n_mean)),
        rhs=np.zeros((n_assets, n_mean)),
        small=np.zeros((3, small, small)),
        vectors=np.zeros((4, max(n_periods, n_assets, small))),
        bits=np.zeros(n_periods, dtype=np.int64),
        logs=np.zeros(n_periods),
        groups=np.zeros((groups, 11)),
        leverage=np.zeros(n_assets),
        accepted=np.zeros((N_FIXED + n_vol, 2)),
    )


def start_state(spec: GibbsSpec, data: Data, rng: np.random.Generator) -> State:
    """Start of one chain: principal components in a random rotation, all else near its prior's centre.

    The noise is wide, so that chains start further apart than the posterior is wide.
    """
    n_assets, n_periods = data.y.shape
    k = spec.n_factors
    loadings, factors, residual = principal_components(spec.returns, k)
    rotation = np.linalg.qr(rng.standard_normal((k, k)))[0]
    loadings = loadings @ rotation
    factors = factors @ rotation + _JITTER * rng.standard_normal(factors.shape)
    scale = np.maximum(np.sqrt((loadings**2).mean(axis=0)), MIN_SCALE)

    def hierarchy(prior: Floats, n_groups: int) -> tuple[Floats, Floats]:
        jitter = rng.standard_normal((len(prior), n_groups))
        mu = prior[:, [LOC_MEAN]] + _JITTER * prior[:, [LOC_SD]] * jitter
        sigma = prior[:, [SCALE_SD]] * np.exp(_JITTER * rng.standard_normal((len(prior), n_groups)))
        return mu, sigma

    mean_mu, mean_sigma = hierarchy(data.mean_prior, int(max([1, *data.mean_groups])))
    vol_mu, vol_sigma = hierarchy(data.vol_prior, int(max([1, *data.vol_groups])))
    vol_b = np.take_along_axis(vol_mu, data.vol_group, axis=1)
    vol_b += _JITTER * data.vol_prior[:, [SCALE_SD]] * rng.standard_normal(vol_b.shape)
    if data.vol_intercept >= 0:
        vol_b[data.vol_intercept] = np.log(residual) + _JITTER * rng.standard_normal(n_assets)
    noise = spec.noise
    sigma_nu = noise.sigma_nu_mean * np.exp(_JITTER * rng.standard_normal()) if noise else 1.0
    nu = noise.nu_mean * np.exp(_JITTER * rng.standard_normal(n_assets)) if noise else np.ones(n_assets)
    scalars = np.zeros(N_SCALARS)
    scalars[[SIGMA_NU, STEP_NU, TAU, PHI]] = sigma_nu, np.log(0.2), 1.0, data.phi_mean
    scalars[DELTA] = 0.5 * data.delta_sd * np.exp(_JITTER * rng.standard_normal())
    scalars[SIGMA_H] = 0.5 * data.h_sd * np.exp(_JITTER * rng.standard_normal())
    n_blocks = len(data.cut) - 1
    return State(
        loadings=np.repeat((loadings / scale).T[None], n_blocks, axis=0),
        loadings_mix=np.ones((k, n_assets)),
        slopes=np.zeros((k, len(data.characteristics))),
        factors=np.ascontiguousarray((factors * scale).T),
        premium=np.zeros(k),
        factor_scale=scale,
        scale_slopes=np.zeros(len(data.scale_x)),
        h=np.asarray(_JITTER * data.h_sd * rng.standard_normal(n_periods)),
        mean_b=np.zeros(data.mean_group.shape),
        mean_mix=np.ones(data.mean_group.shape),
        mean_mu=mean_mu,
        mean_sigma=mean_sigma,
        vol_b=vol_b,
        vol_mu=vol_mu,
        vol_sigma=vol_sigma,
        nu=nu,
        scalars=scalars,
        evidence=np.zeros(len(data.evidence_asset)),
        u=np.zeros((n_assets, n_periods)),
    )


def _allocate(state: State, settings: GibbsSettings) -> Kept:
    """Memory for the draws of all chains, with leading axes (chain, draw)."""
    lead = (settings.chains, settings.draws)
    shapes = {name: getattr(state, name).shape for name in Kept._fields[:-1]}
    return Kept(
        **{name: np.empty(lead + shape) for name, shape in shapes.items()}, log_likelihood=np.empty(lead)
    )


def _compile(spec: GibbsSpec, data: Data) -> None:
    """Compile the kernels, or load them from the cache, by a call that makes no sweep."""
    state = start_state(spec, data, np.random.default_rng(0))
    kept = _allocate(state, GibbsSettings(chains=1, draws=1))
    none = Kept(*(x[0, :0] for x in kept))
    run(np.random.default_rng(0), data, state, make_work(data, state), none, 0, 0, 1)


def _named(spec: GibbsSpec, kept: Kept) -> dict[str, NDArray[np.float64]]:
    """Draws by variable name, assets and periods before factors and windows."""
    draws = {}
    history = kept.factors.shape[-1]
    if spec.evidence:
        history -= 1
        draws[names.FACTORS_NEXT] = kept.factors[..., -1] - kept.premium
        draws[names.EVIDENCE_RETURN] = kept.evidence
        if spec.latent_scale is not None:
            draws[names.LOG_MULTIPLIER_NEXT] = kept.h[..., -1]
    draws |= {
        names.LOADINGS: kept.loadings[:, :, -1].swapaxes(2, 3),
        names.FACTORS: (kept.factors - kept.premium[..., None])[..., :history].swapaxes(2, 3),
        names.FACTOR_SCALE: kept.factor_scale,
    }
    if spec.premium_sd is not None:
        draws[names.PREMIUM] = kept.premium / kept.factor_scale
    scalars = np.moveaxis(kept.scalars, -1, 0)
    if spec.lags is not None:
        draws[names.RHO] = scalars[RHO]
        if spec.lags.number > 1:
            draws[names.BETA_MOMENTUM] = scalars[BETA]
    if spec.loading_blocks is not None:
        draws[names.LOADINGS_PATH] = kept.loadings.swapaxes(3, 4)
        draws[names.LOADING_DRIFT] = scalars[DELTA] / spec.loading_blocks.unit
    if spec.characteristics is not None:
        draws[names.LOADING_SLOPES] = kept.slopes.swapaxes(2, 3)
        draws[f"sigma_{names.LOADINGS}"] = scalars[TAU]
    if spec.scale_regression is not None:
        draws[names.BETA_MV] = kept.scale_slopes
    if spec.latent_scale is not None:
        draws[names.LOG_MULTIPLIER] = kept.h[..., :history]
        draws[names.PHI] = scalars[PHI]
        draws[f"sigma_{names.LOG_MULTIPLIER}"] = scalars[SIGMA_H]
    for effects, b, mu, sigma in (
        (spec.mean, kept.mean_b, kept.mean_mu, kept.mean_sigma),
        (spec.log_volatility, kept.vol_b, kept.vol_mu, kept.vol_sigma),
    ):
        first = 0
        for effect in effects:
            columns = slice(first, first + effect.columns)
            first += effect.columns
            hyper = {f"sigma_{effect.name}": sigma}
            if effect.loc_sd is not None:
                hyper[f"mu_{effect.name}"] = mu
            values = {effect.name: b[:, :, columns]}
            for name, x in hyper.items():
                values[name] = x[:, :, columns, 0 if effect.groups is None else slice(effect.n_groups)]
            for name, x in values.items():
                draws[name] = x[:, :, 0] if effect.features.ndim == 2 else np.moveaxis(x, 2, -1)
    if spec.noise is not None:
        draws[names.NU] = kept.nu
        draws[f"sigma_{names.NU}"] = scalars[SIGMA_NU]
    return {name: np.ascontiguousarray(x) for name, x in draws.items()}


def _acceptance(spec: GibbsSpec, works: list[Work]) -> dict[str, float]:
    """Acceptance rate of each kind of move over all chains, adaptation excluded."""
    total = np.sum([w.accepted for w in works], axis=0)
    rate = total[:, 0] / np.maximum(total[:, 1], 1.0)
    named = {"log_volatility": rate[ASSET_MOVE]}
    if spec.noise is not None:
        named[f"sigma_{names.NU}"] = rate[NU_MOVE]
    if spec.lags is not None and spec.lags.number == 1:
        named[names.RHO] = rate[RHO_MOVE]
    row = N_FIXED
    for effect in spec.log_volatility:
        for c in range(effect.columns):
            named[f"mu_{effect.name}" + (f"_{c}" if effect.columns > 1 else "")] = rate[row]
            row += 1
    return {name: float(x) for name, x in named.items()}
