"""Draws by the names and in the dimensions of the model, from the kept values of all chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bdfm import names
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.spec import Effect, GibbsSpec
from bdfm.gibbs.state import MeanState, State, VolatilityState, state_views


def named_draws(spec: GibbsSpec, data: Data, kept: Floats) -> dict[str, NDArray[np.float64]]:
    """Draws by variable name, (chain, draw, ...), assets and periods before factors and windows.

    ``kept`` (chain, draw, value) holds the values of states that draws keep.
    """
    views = named_views(spec, state_views(kept, data, spec.n_factors))
    return {name: np.array(x) for name, x in views.items()}


def named_views(spec: GibbsSpec, state: State) -> dict[str, NDArray[np.float64]]:
    """What ``named_draws`` copies, of a state with the axes chain and draw: views of it where they can be."""
    draws = _factor_draws(spec, state)
    draws |= _loading_draws(spec, state)
    draws |= _effect_draws(spec.mean, state.mean)
    draws |= _effect_draws(spec.log_volatility, state.volatility)
    draws |= _path_draws(spec, state)
    if spec.noise.dof is not None:
        draws[names.NU] = state.noise.nu
        draws[f"sigma_{names.NU}"] = state.noise.sigma_nu[..., 0]
    return draws


def log_likelihood_draws(spec: GibbsSpec, data: Data, kept: Floats) -> NDArray[np.float64]:
    """Weighted log-likelihood (chain, draw) of the returns."""
    return np.array(state_views(kept, data, spec.n_factors).log_likelihood[..., 0])


def _factor_draws(spec: GibbsSpec, state: State) -> dict[str, Floats]:
    factors, multiplier = state.factors, state.multiplier
    path = (factors.path - factors.premium[..., None]).swapaxes(2, 3)
    draws = {}
    history = path.shape[2]
    if spec.evidence:
        history -= 1
        draws[names.FACTORS_NEXT] = path[:, :, -1]
        draws[names.EVIDENCE_RETURN] = state.evidence
        if spec.latent_scale is not None:
            draws[names.LOG_MULTIPLIER_NEXT] = multiplier.h[..., -1]
        if spec.factor_noise is not None:
            draws[names.FACTOR_MIXING_NEXT] = multiplier.mixing[..., -1]
    draws[names.FACTORS] = path[:, :, :history]
    draws[names.FACTOR_SCALE] = factors.scale
    if spec.premium_sd is not None:
        draws[names.PREMIUM] = factors.premium / factors.scale
    if spec.lags is not None:
        draws[names.RHO] = state.dynamics.rho[..., 0]
        if spec.lags.number > 1:
            draws[names.BETA_MOMENTUM] = state.dynamics.beta[..., 0]
    if spec.scale_regression is not None:
        draws[names.BETA_MV] = multiplier.slopes
    if spec.latent_scale is not None:
        draws[names.LOG_MULTIPLIER] = multiplier.h[..., :history]
        draws[names.PHI] = multiplier.phi[..., 0]
        draws[f"sigma_{names.LOG_MULTIPLIER}"] = multiplier.sigma[..., 0]
    if spec.factor_noise is not None:
        draws[names.FACTOR_NU] = multiplier.nu[..., 0]
        draws[names.FACTOR_MIXING] = multiplier.mixing[..., :history]
    return draws


def _path_draws(spec: GibbsSpec, state: State) -> dict[str, Floats]:
    """Log volatilities of single factors and of single assets."""
    draws = {}
    if spec.factor_volatility is not None:
        own = state.factor_volatility
        draws[names.FACTOR_VOLATILITY] = own.h.swapaxes(2, 3)
        draws[names.FACTOR_PHI] = own.phi
        draws[names.FACTOR_VOLATILITY_SD] = own.sigma
        draws[names.LEVERAGE] = own.leverage
    if spec.asset_volatility is not None:
        paths = state.asset_volatility
        draws[names.VOLATILITY_STATE] = paths.path.swapaxes(2, 3)
        for row, (name, values) in enumerate(
            ((names.LOGIT_PHI, paths.logit_phi), (names.LOG_VOLATILITY_SD, paths.log_sd))
        ):
            draws[name] = values
            draws[f"mu_{name}"] = paths.mu[:, :, row]
            draws[f"sigma_{name}"] = paths.sigma[:, :, row]
    return draws


def _loading_draws(spec: GibbsSpec, state: State) -> dict[str, Floats]:
    own = state.loadings
    path = own.values.swapaxes(3, 4)
    draws = {names.LOADINGS: path[:, :, -1]}
    if spec.loading_blocks is not None:
        draws[names.LOADINGS_PATH] = path
        draws[names.LOADING_DRIFT] = own.delta[..., 0] / spec.loading_blocks.unit
    if spec.characteristics is not None:
        draws[names.LOADING_SLOPES] = own.slopes.swapaxes(2, 3)
        draws[f"sigma_{names.LOADINGS}"] = own.tau[..., 0]
    return draws


def _effect_draws(effects: tuple[Effect, ...], state: MeanState | VolatilityState) -> dict[str, Floats]:
    """Coefficients, locations and scales of each effect; several windows on the last axis."""
    draws = {}
    first = 0
    for effect in effects:
        columns = slice(first, first + effect.columns)
        first += effect.columns
        hyper = {f"sigma_{effect.name}": state.sigma}
        if effect.loc_sd is not None:
            hyper[f"mu_{effect.name}"] = state.mu
        values = {effect.name: state.b[:, :, columns]}
        for name, x in hyper.items():
            values[name] = x[:, :, columns, 0 if effect.groups is None else slice(effect.n_groups)]
        for name, x in values.items():
            draws[name] = x[:, :, 0] if effect.features.ndim == 2 else np.moveaxis(x, 2, -1)
    return draws
