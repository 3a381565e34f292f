"""Rolling volatilities and correlations of daily returns with gaps.

Returns are those of ``features.Closes``, between fresh closes on market days, so that local holidays count
neither as calm nor as news. An asset of a short history gets its own volatility from what there is, and
correlations from the days that it shares with each other one.

Where markets close at different hours, correlations of daily returns are too low: today's news in New York is
tomorrow's in London. Overlapping returns over several days (``summed``) mend that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm.data.features import Closes
from bdfm.data.settings import RollingCovariance
from bdfm.data.weighting import halved
from bdfm.errors import DataError

Floats = NDArray[np.float64]

MIN_SHARED_DAYS: Final = 40  # that a correlation is believed from; below, it is pulled to the class's
MIN_EIGENVALUE: Final = 1e-4  # of a correlation matrix, relative to its mean 1


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
        scale = np.sqrt(squares * squares.T, out=squares)
        correlation = (w * x).T @ x
        correlation /= scale
    del squares, scale  # matrices of all pairs: few at a time
    trust = known.T @ known
    trust /= MIN_SHARED_DAYS * n_days
    np.clip(trust, 0.0, 1.0, out=trust)
    trust[~np.isfinite(correlation)] = 0.0
    np.nan_to_num(correlation, copy=False)
    weight = trust.copy()
    np.fill_diagonal(weight, 0.0)
    total = max(weight.sum(), 1e-300)
    weight *= correlation
    centre = float(weight.sum() / total)
    del weight
    correlation *= trust
    correlation += (1 - trust) * centre
    del trust
    return positive_definite(correlation)


def positive_definite(correlation: Floats) -> Floats:
    """Correlation matrix with unit diagonal and no eigenvalue below 0.0001, by clipping."""
    values, vectors = np.linalg.eigh((correlation + correlation.T) / 2)
    fixed = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(fixed))
    return np.asarray(fixed / scale / scale[:, None])


class Estimate(NamedTuple):
    """Correlation (asset, asset), and volatility (asset,) per market day, of log returns."""

    correlation: Floats
    volatility: Floats


def rolling(returns: Floats, settings: RollingCovariance) -> Estimate:
    """Exponentially weighted correlation and volatility of daily log returns (day, asset), newest last.

    RiskMetrics with half-lives of their own for the two, and correlations of overlapping returns over several
    days; NaN is missing. An asset with fewer than 2 returns has a volatility of NaN or 0.
    """
    kept = returns[-settings.window_days :]
    daily = volatility(kept, halved(len(kept), settings.volatility_half_life_days))
    n_days = settings.correlation_days
    longer = summed(kept, n_days)
    weights = halved(len(longer), settings.correlation_half_life_days)
    return Estimate(pairwise_correlation(longer, weights, n_days=n_days), daily)


def market_days(closes: Closes) -> NDArray[np.int64]:
    """Days (since 1970) on which at least half of the assets listed then have a fresh close."""
    return np.asarray(closes.days[closes.market])


def market_days_ahead(days: NDArray[np.int64], n_calendar_days: int) -> float:
    """Market days among the next calendar days, by the share of the last year's ``days``."""
    last_year = days > days[-1] - 365
    span = min(365, int(days[-1] - days[0]) or 1)
    return float(n_calendar_days * last_year.sum() / span)


def covariance_ahead(closes: Closes, n_calendar_days: int, settings: RollingCovariance) -> Floats:
    """Covariance (asset, asset) of log returns over the calendar days after the last close (eq. 11b).

    An asset with too few returns for a volatility of its own has the median one.
    """
    days = market_days(closes)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = rolling(closes.log_returns(days[:-1], days[1:]), settings)
    known = np.isfinite(found.volatility) & (found.volatility > 0)
    usual = float(np.median(found.volatility[known])) if known.any() else 0.0
    scale = np.where(known, found.volatility, usual)
    return np.asarray(found.correlation * np.outer(scale, scale) * market_days_ahead(days, n_calendar_days))


def checked_covariance(values: ArrayLike, n_assets: int) -> Floats:
    """Covariance (asset, asset) as given; ``DataError`` where it is none."""
    matrix = np.array(values, dtype=np.float64)
    square = matrix.shape == (n_assets, n_assets) and bool(np.isfinite(matrix).all())
    if not square or not np.allclose(matrix, matrix.T) or np.diag(matrix).min() <= 0:
        raise DataError(
            f"rolling_covariance: shape {matrix.shape}; a symmetric ({n_assets}, {n_assets}) matrix of finite"
            " values with a positive diagonal was expected."
        )
    return matrix
