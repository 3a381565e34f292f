"""What an optimiser is given of a forecast: draws, means and covariances, all by the draws' weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.sample import BLOCK, Sample

Floats = NDArray[np.float64]


def scenarios(forecast: Forecast, assets: Sequence[str], *, n_scenarios: int, seed: int) -> Floats:
    """Equally weighted draws (scenario, asset), taken by their weights at even distances in random order."""
    rng = np.random.default_rng(seed)
    p = forecast.weights.to_numpy()
    order = rng.permutation(len(p))
    n = min(n_scenarios, len(p))
    at = np.searchsorted(np.cumsum(p[order]), (np.arange(n) + rng.random()) / n * (1 - 1e-12))
    columns = [forecast.assets.index(a) for a in assets]
    draws = forecast.draws.to_numpy()
    chosen = np.asarray(draws[order[at]][:, columns], dtype=np.float64)
    _blocks.release(draws)
    return chosen


def weighted_scenarios(
    forecast: Forecast, assets: Sequence[str], *, n_scenarios: int, seed: int
) -> tuple[Floats, Floats]:
    """Draws (scenario, asset) and their weights: all as they are, or so many, taken by their weights."""
    p = forecast.weights.to_numpy()
    if len(p) > n_scenarios:
        chosen = scenarios(forecast, assets, n_scenarios=n_scenarios, seed=seed)
        return chosen, np.full(len(chosen), 1 / len(chosen))
    columns = [forecast.assets.index(a) for a in assets]
    counts = p > 0
    own = _blocks.copied(forecast.draws.to_numpy(), np.array(columns))
    return np.asarray(own[counts], dtype=np.float64), p[counts]


def moments(forecast: Forecast, assets: Sequence[str]) -> tuple[Floats, Floats]:
    """Means (asset,) and covariances (asset, asset) of cut returns under the weights."""
    p = forecast.weights.to_numpy()
    kept = [forecast.assets.index(a) for a in assets]
    draws = forecast.draws.to_numpy()
    mean, low, high = np.empty(len(kept)), *np.empty((2, len(kept)), dtype=np.float32)
    for j, column in enumerate(_blocks.columns(draws, np.array(kept))):
        x = Sample(column[:, None], ("x",)).cut({"x": 1.0}).astype(np.float32)
        mean[j], low[j], high[j] = p @ x, x.min(), x.max()
    covariance = np.zeros((len(assets), len(assets)))
    for here in _blocks.blocks(draws, most=BLOCK):
        x = np.clip(draws[here][:, kept], low, high).T.astype(np.float64) - mean[:, None]
        covariance += (x * p[here]) @ x.T
    return mean, covariance
