"""Principal components: where chains start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_SCALE = 1e-4  # decimal per period: floor of scales, for assets that hardly move


def principal_components(returns: Floats, n_factors: int) -> tuple[Floats, Floats, Floats]:
    """Loadings (asset, factor), unit-variance factors (period, factor) and residual scales (asset).

    ``returns`` (period, asset) with NaN where missing. Each asset is centred and divided by its sd, so that
    quiet assets count like loud ones; missing cells take the asset's mean, which is good enough to start.
    Where there are more factors than components the rest start near zero.
    """
    observed = np.isfinite(returns)
    count = np.maximum(observed.sum(axis=0), 1)
    filled = np.where(observed, returns, 0.0)
    centred = np.where(observed, filled - filled.sum(axis=0) / count, 0.0)
    sd = np.sqrt((centred**2).sum(axis=0) / count)
    # An asset without a single return takes the typical scale.
    sd = np.where(sd > MIN_SCALE, sd, max(float(np.median(sd)), MIN_SCALE))
    u, s, vt = np.linalg.svd(centred / sd, full_matrices=False)
    k = min(n_factors, len(s) - 1)
    root = np.sqrt(returns.shape[0])
    factors = np.zeros((returns.shape[0], n_factors))
    loadings = np.full((returns.shape[1], n_factors), MIN_SCALE)
    factors[:, :k] = u[:, :k] * root
    loadings[:, :k] = (vt[:k].T * s[:k] / root) * sd[:, None]
    residual = np.where(observed, centred - factors @ loadings.T, 0.0)
    scale = np.sqrt((residual**2).sum(axis=0) / count)
    return loadings, factors, np.maximum(scale, 0.1 * sd)
