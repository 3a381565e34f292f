"""Quantities of a posterior that the data identify, whatever the sign, order or rotation of the factors."""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm._checks import first
from bdfm.errors import DataError, ModelError
from bdfm.names import (
    ALPHA,
    ASSET,
    BETA_EARNINGS,
    BETA_MOMENTUM,
    BETA_RR,
    BETA_RV,
    CHAIN,
    DRAW,
    EARNINGS,
    EVIDENCE_RETURN,
    FACTOR,
    FACTOR_SCALE,
    LOADINGS,
    NU,
    PERIOD,
    PREMIUM,
    RECENT_VOLATILITY,
    RHO,
    THETA,
)

PAIR: Final = "pair"  # two assets, "AAA~BBB"
COMMON_VARIANCE: Final = "common_variance"  # (asset), squared decimal per period
COMMON_COVARIANCE: Final = "common_covariance"  # (pair), squared decimal per period
COMMON_MEAN: Final = "common_mean"  # (asset), decimal per period
NOISE_SCALE: Final = "noise_scale"  # sigma_it (period, asset), decimal per period
NOISE_SCALE_NEXT: Final = "noise_scale_next"  # sigma_i,T+h (asset), decimal per period
LOG_NOISE_SCALE: Final = (
    "log_noise_scale"  # mean over periods of log sigma_it (asset), log of decimal per period
)

_PARAMETERS: Final = frozenset(
    {ALPHA, BETA_RR, THETA, BETA_RV, BETA_EARNINGS, NU, RHO, BETA_MOMENTUM, EVIDENCE_RETURN}
)
_HYPER_PREFIXES: Final = ("mu_", "sigma_")
MAX_PAIRS: Final = 5_000  # of a larger universe only these, evenly spaced: all would not fit into memory
_BLOCK_BYTES: Final = 8_000_000  # loadings of the pairs of one block of draws


def identified(
    posterior: xr.Dataset, *, constant_data: xr.Dataset | None = None, full: bool = False
) -> xr.Dataset:
    """Identified quantities of each draw, (chain, draw, ...): what convergence is judged on.

    - ``common_variance`` (asset) Σ_k w_ik² σ_λk² and ``common_covariance`` (pair) Σ_k w_ik w_jk σ_λk² of the
      factor innovations, squared decimal log return per period; pairs i < j, labelled ``AAA~BBB``,
      at most ``MAX_PAIRS`` of them, evenly spaced;
    - ``common_mean`` (asset) Σ_k w_ik σ_λk π_k, decimal per period, where factors have premia;
    - α, β^rr, θ, β^rv, β^e, ν, ρ, β, hyper-parameters (``mu_*``, ``sigma_*``) and returns with evidence,
      as far as the posterior has them; not those with a factor dimension, whose order is arbitrary;
    - the noise scale of eq. 7, with ``constant_data``: ``noise_scale_next`` (asset) in its last period, the
      forecast period, in decimal log return, and ``log_noise_scale`` (asset), the mean over its periods of
      log σ_it; with ``full`` all of ``noise_scale`` (period, asset) instead of these two.

    Parameters
    ----------
    posterior
        Draws with dims chain and draw and the variable names of ``bdfm.names``.
    constant_data
        ``recent_volatility`` (period, asset, window) and ``earnings`` (period, asset), as far as the
        posterior has a slope on them, known at the start of each period.
    full
        All noise scales: about 0.3 GB for 4,000 draws of 105 periods and 100 assets.

    Raises
    ------
    ModelError
        Loadings or factor scales that move over time, which have no common covariance of their own yet.
    DataError
        No dims chain and draw, or constant data that lack a feature or other labels.
    """
    missing = [dim for dim in (CHAIN, DRAW) if dim not in posterior.dims]
    if missing:
        raise DataError(f"identified: the posterior has no dimension {first(missing)}.")
    posterior = posterior.transpose(CHAIN, DRAW, ..., missing_dims="ignore")
    result = _common(posterior)
    for name, variable in posterior.data_vars.items():
        known = name in _PARAMETERS or str(name).startswith(_HYPER_PREFIXES)
        if known and FACTOR not in variable.dims:
            result[name] = variable
    if constant_data is not None and THETA in posterior:
        result.update(_noise(posterior, constant_data, full=full))
    return result


def _common(posterior: xr.Dataset) -> xr.Dataset:
    """Common variances and covariances, empty for a posterior without factors."""
    if LOADINGS not in posterior or FACTOR_SCALE not in posterior:
        return xr.Dataset()
    moving = [name for name in (LOADINGS, FACTOR_SCALE) if PERIOD in posterior[name].dims]
    if moving:
        raise ModelError(
            f"identified: {first(moving)} moves over time, and common covariances are defined for constant"
            " loadings and scales only. Diagnose the covariance of the forecast instead."
        )
    loadings = posterior[LOADINGS].transpose(CHAIN, DRAW, ASSET, FACTOR).to_numpy()
    scaled = loadings * posterior[FACTOR_SCALE].to_numpy()[..., None, :]
    assets = posterior[ASSET].to_numpy().astype(str)
    i, j = np.triu_indices(len(assets), 1)
    if len(i) > MAX_PAIRS:
        kept = np.linspace(0, len(i) - 1, MAX_PAIRS).round().astype(np.intp)
        i, j = i[kept], j[kept]
    coords = {dim: posterior[dim] for dim in (CHAIN, DRAW, ASSET) if dim in posterior.coords}
    premia = {}
    if PREMIUM in posterior:
        premium = posterior[PREMIUM].transpose(CHAIN, DRAW, FACTOR).to_numpy()
        premia[COMMON_MEAN] = ((CHAIN, DRAW, ASSET), (scaled @ premium[..., None])[..., 0])
    return xr.Dataset(
        {
            **premia,
            COMMON_VARIANCE: ((CHAIN, DRAW, ASSET), np.square(scaled).sum(axis=-1)),
            COMMON_COVARIANCE: ((CHAIN, DRAW, PAIR), _pair_products(scaled, i, j)),
        },
        coords={**coords, PAIR: [f"{assets[a]}~{assets[b]}" for a, b in zip(i, j, strict=True)]},
    )


def _pair_products(
    scaled: NDArray[np.float64], i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Inner products of rows i and j of (chain, draw, asset, factor), (chain, draw, pair)."""
    n_chain, n_draw, n_asset, n_factor = scaled.shape
    rows = scaled.reshape(-1, n_asset, n_factor)
    result = np.empty((len(rows), len(i)))
    size = max(1, _BLOCK_BYTES // (8 * n_factor * max(1, len(i))))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        np.einsum("dpk,dpk->dp", block[:, i], block[:, j], out=result[start : start + size])
    return result.reshape(n_chain, n_draw, -1)


def _noise(posterior: xr.Dataset, constant_data: xr.Dataset, *, full: bool) -> dict[str, xr.DataArray]:
    """Noise scales from eq. 7, log σ_it = θ_i + Σ_w β^rv_iw x^rv_itw + β^e_i I^e_it."""
    slopes = {BETA_RV: RECENT_VOLATILITY, BETA_EARNINGS: EARNINGS}
    slopes = {beta: name for beta, name in slopes.items() if beta in posterior}
    missing = [name for name in slopes.values() if name not in constant_data]
    if missing:
        raise DataError(
            f"identified: the posterior has slopes on {first(missing)}, which the constant data lack; found"
            f" {first(constant_data.data_vars)}."
        )
    try:
        draws, features = xr.align(
            posterior[[THETA, *slopes]], constant_data[list(slopes.values())], join="exact"
        )
    except xr.AlignmentError as error:
        raise DataError(
            "identified: assets or windows of the constant data are not those of the posterior, in its order."
        ) from error
    theta = draws[THETA].transpose(CHAIN, DRAW, ASSET)
    # One regressor (period, asset) and its slope (chain, draw, asset) for each window, and for earnings.
    terms: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for beta, name in slopes.items():
        slope = draws[beta].transpose(CHAIN, DRAW, ASSET, ...).to_numpy()
        x = features[name].transpose(PERIOD, ASSET, ...).to_numpy()
        columns = range(x.shape[2]) if x.ndim == 3 else [...]
        terms += [(x[:, :, w], slope[:, :, :, w]) for w in columns]

    if full:
        scale = np.repeat(theta.to_numpy()[:, :, None, :], constant_data.sizes[PERIOD], axis=2)
        for x, slope in terms:
            scale += x * slope[:, :, None, :]
        np.exp(scale, out=scale)
        dims = (CHAIN, DRAW, PERIOD, ASSET)
        coords = {dim: theta[dim] for dim in (CHAIN, DRAW, ASSET) if dim in theta.coords}
        return {NOISE_SCALE: xr.DataArray(scale, {**coords, PERIOD: constant_data[PERIOD]}, dims)}
    last, mean = theta.to_numpy().copy(), theta.to_numpy().copy()
    for x, slope in terms:
        last += x[-1] * slope
        mean += x.mean(axis=0) * slope  # the mean of a linear function is that function of the mean
    return {NOISE_SCALE_NEXT: theta.copy(data=np.exp(last)), LOG_NOISE_SCALE: theta.copy(data=mean)}
