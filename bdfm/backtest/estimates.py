"""Volatilities and correlations from daily returns with gaps.

Returns are those of ``features.Closes``, between fresh closes on market days, so that local holidays count
neither as calm nor as news. An asset of a short history gets its own volatility from what there is, and
correlations from the days that it shares with each other one.

Where markets close at different hours, correlations of daily returns are too low: today's news in New York is
tomorrow's in London. Overlapping returns over several days (``summed``) mend that.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm.backtest.protocol import Floats

MIN_SHARED_DAYS: Final = 40  # that a correlation is believed from; below, it is pulled to the class's
MIN_EIGENVALUE: Final = 1e-4  # of a correlation matrix, relative to its mean 1


def decay(n: int, half_life: float) -> Floats:
    """Weights (n,) that halve every ``half_life`` days back; the last one is 1."""
    return np.asarray(0.5 ** (np.arange(n)[::-1] / half_life))


def volatility(returns: Floats, weights: Floats) -> Floats:
    """Weighted standard deviation (asset,) of returns (day, asset) about their mean; NaN is missing."""
    known = np.isfinite(returns)
    w = np.where(known, weights[:, None], 0.0)
    w /= w.sum(axis=0)
    x = np.where(known, returns, 0.0)
    squares = np.where(known, x - (w * x).sum(axis=0), 0.0) ** 2
    return np.asarray(np.sqrt((w * squares).sum(axis=0)))


def summed(returns: Floats, n_days: int) -> Floats:
    """Overlapping returns (day, asset) over ``n_days`` days; NaN unless more than half of them are known."""
    if n_days == 1:
        return returns
    known = np.isfinite(returns)

    def window(x: NDArray[Any]) -> NDArray[Any]:
        total = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)])
        return np.asarray(total[n_days:] - total[:-n_days])

    enough = window(known.astype(np.float64)) > n_days / 2
    return np.where(enough, window(np.where(known, returns, 0.0)), np.nan)


def pairwise_correlation(returns: Floats, weights: Floats, *, n_days: int = 1) -> Floats:
    """Correlation (asset, asset) from the days that each pair shares, made positive definite.

    Pairs with fewer than 40 days in common are pulled to the mean correlation of all pairs, by the share that
    is lacking. ``returns`` (day, asset) over ``n_days`` days each, which overlap; missing as NaN.
    """
    known = np.isfinite(returns).astype(np.float64)
    x = np.where(known > 0, returns, 0.0)
    w = weights[:, None]
    x -= known * ((w * x).sum(axis=0) / np.maximum((w * known).sum(axis=0), 1e-300))
    squares = (w * x**2).T @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = (w * x).T @ x / np.sqrt(squares * squares.T)
    shared = known.T @ known
    trust = np.clip(shared / (MIN_SHARED_DAYS * n_days), 0.0, 1.0)
    trust[~np.isfinite(correlation)] = 0.0
    correlation = np.nan_to_num(correlation)
    outside = ~np.eye(len(correlation), dtype=bool)
    weight = trust * outside
    centre = float((weight * correlation).sum() / max(weight.sum(), 1e-300))
    return positive_definite(trust * correlation + (1 - trust) * centre)


def positive_definite(correlation: Floats) -> Floats:
    """Correlation matrix with unit diagonal and no eigenvalue below 0.0001, by clipping."""
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    fixed = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(fixed))
    return np.asarray(fixed / scale / scale[:, None])
