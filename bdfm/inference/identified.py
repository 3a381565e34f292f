"""Quantities of a posterior that the data identify, whatever the sign, order or rotation of the factors."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm._checks import first
from bdfm._threads import each, in_order
from bdfm.data.panel import Panel
from bdfm.errors import DataError
from bdfm.model.equations import Equations, at_periods, model_data
from bdfm.model.part import Data
from bdfm.names import (
    ASSET,
    CHAIN,
    DRAW,
    FACTOR,
    FACTOR_BEFORE,
    FACTOR_SCALE,
    FACTORS_NEXT,
    LOADINGS,
    LOG_LIKELIHOOD,
    OBSERVED,
    PERIOD,
    PERIOD_WEIGHTS,
    PREMIUM,
)

PAIR: Final = "pair"  # two assets, "AAA~BBB"
COMMON_VARIANCE: Final = "common_variance"  # (asset), squared decimal per period
COMMON_COVARIANCE: Final = "common_covariance"  # (pair), squared decimal per period
COMMON_MEAN: Final = "common_mean"  # (asset), decimal per period
NOISE_SCALE: Final = "noise_scale"  # sigma_it (period, asset), decimal per period
NOISE_SCALE_NEXT: Final = "noise_scale_next"  # sigma_i,T+1 (asset), decimal per period
LOG_NOISE_SCALE: Final = "log_noise_scale"  # mean over the history of log sigma_it (asset), log of decimal
EXPECTED_RETURN_NEXT: Final = "expected_return_next"  # mu_i,T+1 (asset), decimal log return

MAX_PAIRS: Final = 5_000  # of a larger universe only these, evenly spaced: all would not fit into memory
QUICK_PAIRS: Final = 300
_BLOCK_BYTES: Final = 8_000_000  # loadings of the pairs of one block of draws
_BLOCK_DRAWS: Final = 50  # draws whose densities and noise scales each thread has in memory, at most
_SCALE_BYTES: Final = 1_000_000  # of the noise scales of one block of draws: what a core has close by

Floats = NDArray[np.float64]


def identified(
    posterior: xr.Dataset,
    model: Equations,
    panel: Panel,
    *,
    full: bool = False,
    quick: bool = False,
    log_likelihood: xr.DataArray | None = None,
) -> xr.Dataset:
    """Identified quantities of each draw, (chain, draw, ...): what convergence is judged on.

    - ``common_variance`` (asset) Σ_k w_ik² σ_λk² and ``common_covariance`` (pair) Σ_k w_ik w_jk σ_λk² of the
      factor innovations, squared decimal log return per period, where factors or loadings move those of an
      average period with the loadings at the origin; pairs i < j, labelled ``AAA~BBB``, at most ``MAX_PAIRS``
      of them, evenly spaced;
    - ``common_mean`` (asset) Σ_k w_ik σ_λk π_k, decimal per period, where factors have premia;
    - every variable that its part declares identified, and every variable that the model does not know, such
      as those of an extension; none with a factor dimension, whose order is arbitrary;
    - ``log_noise_scale`` (asset), the mean over the history of log σ_it (eq. 7), and ``noise_scale_next``
      (asset), σ_i,T+1 of the first period after the origin; with ``full`` ``noise_scale`` (period, asset) of
      the history in the place of these two;
    - ``expected_return_next`` (asset), the expected log return of the first period after the origin;
    - ``log_likelihood``, the weighted total over the history (eq. 9).

    Parameters
    ----------
    posterior
        Draws with dims chain and draw and the labels of model and panel.
    model, panel
        What was fitted, and to what.
    full
        All noise scales: about 0.3 GB for 4,000 draws of 105 periods and 100 assets.
    quick
        Without what takes the equations of all periods, and with ``QUICK_PAIRS`` pairs.
    log_likelihood
        The weighted total (chain, draw), where the sampler knows it.

    Raises
    ------
    DataError
        No dims chain and draw.
    """
    missing = [dim for dim in (CHAIN, DRAW) if dim not in posterior.dims]
    if missing:
        raise DataError(f"identified: the posterior has no dimension {first(missing)}.")
    posterior = posterior.transpose(CHAIN, DRAW, ..., missing_dims="ignore")
    result = _common(posterior, QUICK_PAIRS if quick else MAX_PAIRS)
    declared = {v.name: v for v in (*model.variables, *model.variables_ahead)}
    judged = {}
    for name, variable in posterior.data_vars.items():
        own = declared.get(str(name))
        if (own is None or own.identified) and not {FACTOR, FACTOR_BEFORE} & set(variable.dims):
            judged[name] = variable
    result = result.assign(judged)
    total = not quick and log_likelihood is None
    result = result.assign(_by_draw(posterior, model, panel, full=full, quick=quick, total=total))
    return result if log_likelihood is None else result.assign({LOG_LIKELIHOOD: log_likelihood})


def judged_variables(model: Equations) -> tuple[str, ...]:
    """Names of the stored variables of the history that ``identified`` passes on to ``diagnose``."""
    return tuple(v.name for v in model.variables if v.identified and v.stored)


def common_covariance(posterior: xr.Dataset, one: str, other: str) -> xr.DataArray:
    """Common covariance (chain, draw) of two assets, in either order: Σ_k w_ik w_jk σ_λk²."""
    scaled = (posterior[LOADINGS] * posterior[FACTOR_SCALE]).transpose(CHAIN, DRAW, ASSET, FACTOR)
    product = scaled.sel({ASSET: one}, drop=True) * scaled.sel({ASSET: other}, drop=True)
    return product.sum(FACTOR).rename(COMMON_COVARIANCE)


def _common(posterior: xr.Dataset, max_pairs: int) -> xr.Dataset:
    """Common variances and covariances, and common means where factors have premia."""
    loadings = posterior[LOADINGS].transpose(CHAIN, DRAW, ASSET, FACTOR).to_numpy()
    scaled = loadings * posterior[FACTOR_SCALE].to_numpy()[..., None, :]
    assets = posterior[ASSET].to_numpy().astype(str)
    i, j = np.triu_indices(len(assets), 1)
    if len(i) > max_pairs:
        kept = np.linspace(0, len(i) - 1, max_pairs).round().astype(np.intp)
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


def _pair_products(scaled: Floats, i: NDArray[np.intp], j: NDArray[np.intp]) -> Floats:
    """Inner products of rows i and j of (chain, draw, asset, factor), (chain, draw, pair)."""
    n_chain, n_draw, n_asset, n_factor = scaled.shape
    rows = scaled.reshape(-1, n_asset, n_factor)
    result = np.empty((len(rows), len(i)))
    size = max(1, _BLOCK_BYTES // (8 * n_factor * max(1, len(i))))

    every = 4 * len(i) > n_asset * n_asset  # half of all products is little more than is asked for

    def of_block(start: int) -> None:
        block, out = rows[start : start + size], result[start : start + size]
        if every:
            out[:] = (block @ block.swapaxes(1, 2))[:, i, j]
        else:
            np.einsum("dpk,dpk->dp", block[:, i], block[:, j], out=out)

    each(of_block, range(0, len(rows), size))
    return result.reshape(n_chain, n_draw, -1)


def parameters(posterior: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Draws as arrays (draw, ...) by name, chains joined, for the equations of the model."""
    return {
        str(name): values.to_numpy().reshape(-1, *values.shape[2:])
        for name, values in posterior.transpose(CHAIN, DRAW, ...).data_vars.items()
    }


def _by_draw(
    posterior: xr.Dataset, model: Equations, panel: Panel, *, full: bool, quick: bool, total: bool
) -> dict[str, Any]:
    """Quantities that follow from the model's equations, in blocks of draws to spare memory."""
    p = {str(name): x.to_numpy() for name, x in posterior.transpose(CHAIN, DRAW, ...).data_vars.items()}
    data, ahead = model_data(model, panel), at_periods(model_data(model, panel, future=True), slice(1))
    (n_chains, n_draws), n_assets = p[LOADINGS].shape[:2], len(panel.assets)
    shape = (panel.n_history, n_assets)
    found: dict[str, list[Floats]] = {}
    size = _BLOCK_DRAWS if quick else max(1, min(_BLOCK_DRAWS, _SCALE_BYTES // (8 * math.prod(shape))))

    def of_block(chain: int, start: int) -> dict[str, Floats]:
        q = {name: x[chain, start : start + size] for name, x in p.items()}
        n = len(q[LOADINGS])
        block = {EXPECTED_RETURN_NEXT: _expected_next(model, q, ahead)}
        if not quick:
            log_scale = np.broadcast_to(model.log_noise_scale(q, data), (n, *shape))
        if total:
            block[LOG_LIKELIHOOD] = _weighted_total(model, q, data, log_scale)
        if full:
            block[NOISE_SCALE] = np.exp(log_scale)
        else:
            next_scale = np.broadcast_to(model.log_noise_scale(q, ahead), (n, 1, n_assets))
            block[NOISE_SCALE_NEXT] = np.exp(next_scale[:, 0])
            if not quick:
                block[LOG_NOISE_SCALE] = log_scale.mean(axis=1)
        return block

    starts = range(0, n_draws, size)
    chains = [c for c in range(n_chains) for _ in starts]
    for block in in_order(of_block, chains, [*starts] * n_chains):
        for name, x in block.items():
            found.setdefault(name, []).append(x)
    lead = (posterior.sizes[CHAIN], posterior.sizes[DRAW])
    dims = {LOG_LIKELIHOOD: (), NOISE_SCALE: (PERIOD, ASSET)}
    labels: dict[str, Any] = {
        dim: posterior[dim].to_numpy() for dim in (CHAIN, DRAW, ASSET) if dim in posterior.coords
    }
    labels[PERIOD] = panel.history[PERIOD].to_numpy()
    result: dict[str, Any] = {}
    for name, blocks in found.items():
        x = np.concatenate(blocks)
        core = dims.get(name, (ASSET,))
        coords = {dim: labels[dim] for dim in (CHAIN, DRAW, *core) if dim in labels}
        result[name] = xr.DataArray(x.reshape(*lead, *x.shape[1:]), coords, (CHAIN, DRAW, *core))
    return result


def _expected_next(model: Equations, p: dict[str, NDArray[Any]], ahead: Data) -> Floats:
    """Expected log return (draw, asset) of the first period after the origin (eq. 2 and 3)."""
    state = p[FACTORS_NEXT] if FACTORS_NEXT in p else model.expected_factors(p)
    return np.asarray(model.expected_return(p, state[:, None, :], ahead)[:, 0])


def _weighted_total(model: Equations, p: dict[str, NDArray[Any]], data: Data, log_scale: Floats) -> Floats:
    """Weighted log-likelihood (draw) of the history (eq. 9), given its log noise scales."""
    weight = data[PERIOD_WEIGHTS][:, None] * data[OBSERVED]
    density = np.where(data[OBSERVED], model.log_likelihood(p, data, log_scale), 0.0)
    return np.asarray((density * weight).sum(axis=(-2, -1)))
