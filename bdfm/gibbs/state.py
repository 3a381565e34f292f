"""The parameters and mixing variables of one chain, and where it starts.

All arrays of a state are views of one vector of values: to keep a draw is to copy its first part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from bdfm.gibbs.data import Data, Effects, Floats
from bdfm.gibbs.spec import GibbsSpec
from bdfm.gibbs.start import MIN_SCALE, principal_components

_JITTER: Final = 0.3  # sd of the noise of start values, relative to the prior scale or on the log scale


class LoadingsState(NamedTuple):
    """Loadings and what their prior has."""

    values: Floats  # (B, K, N)
    slopes: Floats  # (K, L) on characteristics
    tau: Floats  # (1) scale of the loadings around what characteristics say; 1 without characteristics
    delta: Floats  # (1) sd of the change of loadings from one block to the next
    mixing: Floats  # (K, N) deviations of the first block ~ Normal(0, tau / sqrt(mixing))


class FactorsState(NamedTuple):
    """Factors, their means and scales."""

    path: Floats  # (K, T) with their mean, decimal per period
    premium: Floats  # (K) mean of each factor, decimal per period; 0 where factors have none
    scale: Floats  # (K) average scale, decimal per period


class DynamicsState(NamedTuple):
    """Coefficients of the autoregression; 0 where the model has none."""

    rho: Floats  # (1) at lag 1
    beta: Floats  # (1) at each later lag


class MultiplierState(NamedTuple):
    """What moves the factor scales; zero where nothing does, and a precision of 1."""

    slopes: Floats  # (W) of the log factor scales
    h: Floats  # (T) latent log multiplier
    phi: Floats  # (1) its persistence
    sigma: Floats  # (1) sd of its innovations
    mixing: Floats  # (T) innovations of a period ~ Normal(0, scale / sqrt(mixing)); 1 for normal factors
    nu: Floats  # (1) degrees of freedom of the factors; 1 and unused where they are normal


class FactorVolatilityState(NamedTuple):
    """Log volatility of each factor over its average; arrays of size 0 where factors have none."""

    h: Floats  # (K, T)
    phi: Floats  # (K) persistence
    sigma: Floats  # (K) sd of the shocks
    leverage: Floats  # (K) correlation of the standardised factor with the next shock


class AssetVolatilityState(NamedTuple):
    """Path of the log noise scale of each asset around its level; arrays of size 0 where there is none."""

    path: Floats  # (N, T)
    logit_phi: Floats  # (N) logit of its persistence
    log_sd: Floats  # (N) log of the sd of its shocks
    mu: Floats  # (2, G) locations of these two
    sigma: Floats  # (2, G) and their scales


class MeanState(NamedTuple):
    """Coefficients of the mean and their hierarchies."""

    b: Floats  # (M, N)
    mu: Floats  # (M, G)
    sigma: Floats  # (M, G)
    mixing: Floats  # (M, N) b ~ Normal(mu, sigma / sqrt(mixing))


class VolatilityState(NamedTuple):
    """Coefficients of the log-volatility and their hierarchies."""

    b: Floats  # (J, N)
    mu: Floats  # (J, G)
    sigma: Floats  # (J, G)


class NoiseState(NamedTuple):
    """Degrees of freedom; 1 and unused where the noise has none."""

    nu: Floats  # (N)
    sigma_nu: Floats  # (1)


class State(NamedTuple):
    """All that updates change; they do it in place."""

    loadings: LoadingsState
    factors: FactorsState
    dynamics: DynamicsState
    multiplier: MultiplierState
    factor_volatility: FactorVolatilityState
    asset_volatility: AssetVolatilityState
    mean: MeanState
    volatility: VolatilityState
    noise: NoiseState
    evidence: Floats  # (E) log returns of the last period with evidence on them; the data hold them too
    log_likelihood: Floats  # (1) weighted; current where a draw is kept
    u: Floats  # (N, T) precision of a return given its mixing variable; 0 where missing


def lay_out(take: Callable[..., Floats], data: Data, n_factors: int) -> tuple[State, int]:
    """State of which ``take(*shape)`` gives array after array, and the number of arrays that draws keep.

    These come first.
    """
    n_assets, n_periods = data.returns.values.shape
    n_mean, n_vol, k = len(data.mean.x), len(data.volatility.x), n_factors
    mean_groups = int(max([1, *data.mean.n_groups]))
    vol_groups = int(max([1, *data.volatility.n_groups]))
    calls = 0

    def next_array(*shape: int) -> Floats:
        nonlocal calls
        calls += 1
        return take(*shape)

    loadings = (
        next_array(len(data.loadings.cut) - 1, k, n_assets),
        next_array(k, data.loadings.characteristics.shape[1]),
        next_array(1),
        next_array(1),
    )
    factors = FactorsState(next_array(k, n_periods), next_array(k), next_array(k))
    dynamics = DynamicsState(next_array(1), next_array(1))
    multiplier = MultiplierState(
        slopes=next_array(len(data.multiplier.x)),
        h=next_array(n_periods),
        phi=next_array(1),
        sigma=next_array(1),
        mixing=next_array(n_periods),
        nu=next_array(1),
    )
    mean = (next_array(n_mean, n_assets), next_array(n_mean, mean_groups), next_array(n_mean, mean_groups))
    volatility = VolatilityState(
        next_array(n_vol, n_assets), next_array(n_vol, vol_groups), next_array(n_vol, vol_groups)
    )
    noise = NoiseState(next_array(n_assets), next_array(1))
    own_k = k if data.factor_volatility.present else 0
    own_n, own_groups = (
        (n_assets, data.asset_volatility.n_groups) if data.asset_volatility.present else (0, 0)
    )
    factor_volatility = FactorVolatilityState(
        next_array(own_k, n_periods), next_array(own_k), next_array(own_k), next_array(own_k)
    )
    asset_volatility = AssetVolatilityState(
        path=next_array(own_n, n_periods),
        logit_phi=next_array(own_n),
        log_sd=next_array(own_n),
        mu=next_array(2, own_groups),
        sigma=next_array(2, own_groups),
    )
    evidence, log_likelihood = next_array(len(data.evidence.asset)), next_array(1)
    kept = calls
    return State(
        LoadingsState(*loadings, next_array(k, n_assets)),
        factors,
        dynamics,
        multiplier,
        factor_volatility,
        asset_volatility,
        MeanState(*mean, next_array(n_mean, n_assets)),
        volatility,
        noise,
        evidence,
        log_likelihood,
        next_array(n_assets, n_periods),
    ), kept


def state_sizes(data: Data, n_factors: int) -> tuple[int, int]:
    """Number of values of a state, and of those that draws keep, which come first."""
    sizes: list[int] = []

    def count(*shape: int) -> Floats:
        sizes.append(int(math.prod(shape)))
        return np.empty(0)

    kept = lay_out(count, data, n_factors)[1]
    return sum(sizes), sum(sizes[:kept])


def state_views(values: Floats, data: Data, n_factors: int) -> State:
    """State whose arrays are views of the last axis of ``values``, with its other axes before their own."""
    first = 0

    def view(*shape: int) -> Floats:
        nonlocal first
        size = int(math.prod(shape))
        if first + size > values.shape[-1]:  # not among the values of kept draws
            return np.empty(0)
        part = values[..., first : first + size]
        first += size
        return part.reshape(*values.shape[:-1], *shape)

    return lay_out(view, data, n_factors)[0]


def start_state(spec: GibbsSpec, data: Data, rng: np.random.Generator) -> tuple[Floats, State]:
    """Start of one chain, the vector of all values and the views of it.

    Principal components in a random rotation, all else near its prior's centre. The noise is wide, so that
    chains start further apart than the posterior is wide.
    """
    k, n_assets = spec.n_factors, spec.returns.shape[1]
    values = np.zeros(state_sizes(data, k)[0])
    state = state_views(values, data, k)
    _start_factors(spec, state, rng)
    _start_hierarchy(data.mean, state.mean.mu, state.mean.sigma, rng)
    _start_hierarchy(data.volatility, state.volatility.mu, state.volatility.sigma, rng)
    b = state.volatility.b
    b[:] = np.take_along_axis(state.volatility.mu, data.volatility.group, axis=1)
    b += _JITTER * data.volatility.scale_sd[:, None] * rng.standard_normal(b.shape)
    if data.volatility.has_intercept:
        residual = principal_components(spec.returns, k)[2]
        b[data.volatility.intercept] = np.log(residual) + _JITTER * rng.standard_normal(n_assets)
    state.mean.mixing[:] = 1.0
    state.noise.nu[:] = 1.0
    state.noise.sigma_nu[:] = 1.0
    if dof := spec.noise.dof:
        state.noise.sigma_nu[:] = dof.sigma_nu_mean * np.exp(_JITTER * rng.standard_normal())
        state.noise.nu[:] = dof.nu_mean * np.exp(_JITTER * rng.standard_normal(n_assets))
    state.loadings.tau[:] = 1.0
    state.loadings.delta[:] = 0.5 * data.loadings.delta_sd * np.exp(_JITTER * rng.standard_normal())
    multiplier = state.multiplier
    multiplier.mixing[:] = multiplier.nu[:] = 1.0
    if spec.factor_noise:
        multiplier.nu[:] = spec.factor_noise.nu_mean
    sigma = 0.5 * data.multiplier.sigma_sd * np.exp(_JITTER * rng.standard_normal())
    h = _JITTER * data.multiplier.sigma_sd * rng.standard_normal(multiplier.h.shape)
    if data.multiplier.latent:
        multiplier.phi[:], multiplier.sigma[:], multiplier.h[:] = data.multiplier.phi_mean, sigma, h
    _start_paths(data, state, rng)
    return values, state


def _start_paths(data: Data, state: State, rng: np.random.Generator) -> None:
    """Parameters of log volatilities near the prior's, and paths of their law.

    A constant path would let the sd of its shocks run to 0 before it first moves.
    """
    if data.factor_volatility.present:
        own, prior = state.factor_volatility, data.factor_volatility
        logit = prior.logit_phi_mean + _JITTER * prior.logit_phi_sd * rng.standard_normal(own.phi.shape)
        own.phi[:] = 1.0 / (1.0 + np.exp(-logit))
        own.sigma[:] = np.exp(
            prior.log_sd_mean + _JITTER * prior.log_sd_sd * rng.standard_normal(own.phi.shape)
        )
    if data.asset_volatility.present:
        paths, priors = state.asset_volatility, data.asset_volatility
        spread = _JITTER * priors.loc_sd[:, None]
        paths.mu[:] = priors.loc_mean[:, None] + spread * rng.standard_normal(paths.mu.shape)
        paths.sigma[:] = priors.scale_sd[:, None] * np.exp(_JITTER * rng.standard_normal(paths.mu.shape))
        paths.logit_phi[:] = paths.mu[0, priors.group]
        paths.log_sd[:] = paths.mu[1, priors.group]
        phi, sd = 1.0 / (1.0 + np.exp(-paths.logit_phi)), np.exp(paths.log_sd)
        shocks = rng.standard_normal(paths.path.shape)
        paths.path[:, 0] = sd / np.sqrt(1.0 - phi**2) * shocks[:, 0]
        for t in range(1, shocks.shape[1]):
            paths.path[:, t] = phi * paths.path[:, t - 1] + sd * shocks[:, t]


def _start_factors(spec: GibbsSpec, state: State, rng: np.random.Generator) -> None:
    """Principal components with unit mean square loadings, in a random rotation."""
    k = spec.n_factors
    loadings, factors, _ = principal_components(spec.returns, k)
    rotation = np.linalg.qr(rng.standard_normal((k, k)))[0]
    loadings = loadings @ rotation
    factors = factors @ rotation + _JITTER * rng.standard_normal(factors.shape)
    scale = np.maximum(np.sqrt((loadings**2).mean(axis=0)), MIN_SCALE)
    state.loadings.values[:] = (loadings / scale).T
    state.loadings.mixing[:] = 1.0
    state.factors.path[:] = (factors * scale).T
    state.factors.scale[:] = scale


def _start_hierarchy(effects: Effects, mu: Floats, sigma: Floats, rng: np.random.Generator) -> None:
    """Locations and scales near the centres of their priors."""
    spread = np.where(effects.loc_known, 0.0, effects.loc_sd)[:, None]
    mu[:] = effects.loc_mean[:, None] + _JITTER * spread * rng.standard_normal(mu.shape)
    sigma[:] = effects.scale_sd[:, None] * np.exp(_JITTER * rng.standard_normal(sigma.shape))
