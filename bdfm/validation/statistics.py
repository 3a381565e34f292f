"""Test statistics of residuals and regressions, for all assets at once.

statsmodels has them for one series at a time; the tests hold these to it. The Monte Carlo part of validation
needs many tables: 500 periods of 500 assets take from 2 ms (autocorrelation) to 30 ms (ARCH) of a core, with
gaps 200 ms for tails; what laws take besides, once for a length, is in ``bdfm.validation.simulated_laws``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bdfm._statistics import long_run_variance, newey_west_lags
from bdfm.validation.simulated_laws import p_values

Floats = NDArray[np.float64]


def standardised(values: Floats) -> Floats:
    """Columns (period, asset) with mean 0 and variance 1; NaN stays."""
    centred = values - np.nanmean(values, axis=0)
    sd = np.sqrt(np.nanmean(np.square(centred), axis=0))
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))


def ljung_box(values: Floats, lags: int) -> Floats:
    """p-values (asset,) of Ljung and Box (1978): no autocorrelation up to ``lags``."""
    return np.asarray(stats.chi2.sf(_portmanteau(values, lags), lags))


def _portmanteau(values: Floats, lags: int) -> Floats:
    z = np.nan_to_num(standardised(values))
    n = np.isfinite(values).sum(axis=0)
    q = np.zeros(z.shape[1])
    for lag in range(1, lags + 1):
        q += np.square((z[lag:] * z[:-lag]).sum(axis=0) / n) / (n - lag)
    return np.asarray(n * (n + 2) * q)


def robust_autocorrelation(values: Floats, lags: int) -> Floats:
    """p-values (asset,) of no autocorrelation up to ``lags``, whatever the volatility does.

    Lobato, Nankervis and Savin (2001) with a diagonal weight: Σ_k (Σ z_t z_t-k)² / Σ z_t² z_t-k². Clusters of
    volatility, which make Ljung and Box reject too often, cancel. By its simulated law.
    """
    found = _robust_portmanteau(values, lags)
    return _by_law(_robust_portmanteau, found, np.isfinite(values).sum(axis=0), lags)


def _robust_portmanteau(values: Floats, lags: int) -> Floats:
    z = np.nan_to_num(standardised(values))
    q = np.zeros(z.shape[1])
    for lag in range(1, lags + 1):
        product = z[lag:] * z[:-lag]
        # The mean of a sample correlation is about -1/n: without it short samples reject negative ones.
        total = product.sum(axis=0) + (len(z) - lag) / len(z)
        q += np.square(total) / np.maximum(np.square(product).sum(axis=0), 1e-300)
    return np.asarray(q)


def whitened(values: Floats) -> Floats:
    """Residuals (period, asset) of a first-order autoregression of each column; the first period is kept."""
    z = values - np.nanmean(values, axis=0)
    known = np.nan_to_num(z)
    rho = (known[1:] * known[:-1]).sum(axis=0) / np.maximum(np.square(known[:-1]).sum(axis=0), 1e-300)
    out = z.copy()
    out[1:] -= rho * known[:-1]
    return np.asarray(out)


def arch_lm(values: Floats, lags: int) -> Floats:
    """p-values (asset,) of Engle's (1982) test: squares regressed on their ``lags`` last values."""
    p = np.empty(values.shape[1])
    for j, column in enumerate(values.T):
        x = np.square(column[np.isfinite(column)])
        y = x[lags:]
        design = np.column_stack([np.ones(len(y))] + [x[lags - k : -k] for k in range(1, lags + 1)])
        left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
        r2 = 1 - float(left @ left) / float(np.square(y - y.mean()).sum())
        p[j] = stats.chi2.sf(len(y) * r2, lags)
    return p


def volatility_clusters(values: Floats, lags: int) -> Floats:
    """p-values (asset,) of no autocorrelation of absolute values, by their normal scores.

    What Engle's test asks, but of ranks: its size does not depend on tails, in which few squares decide all.
    By its simulated law.
    """
    found = _portmanteau_of_sizes(values, lags)
    return _by_law(_portmanteau_of_sizes, found, np.isfinite(values).sum(axis=0), lags)


def _portmanteau_of_sizes(values: Floats, lags: int) -> Floats:
    gaps: Literal["omit", "propagate"] = (
        "omit" if np.isnan(values).any() else "propagate"
    )  # one asset at a time if there are any
    rank = stats.rankdata(np.abs(values), axis=0, nan_policy=gaps)
    n = np.isfinite(values).sum(axis=0)
    return _portmanteau(stats.norm.ppf((rank - 0.375) / (n + 0.25)), lags)


def jarque_bera(values: Floats) -> Floats:
    """p-values (asset,) of Jarque and Bera's (1980) test of normality."""
    z = standardised(values)
    n = np.isfinite(values).sum(axis=0)
    skew, kurtosis = np.nanmean(z**3, axis=0), np.nanmean(z**4, axis=0)
    return np.asarray(stats.chi2.sf(n / 6 * (skew**2 + (kurtosis - 3) ** 2 / 4), 2))


def normality(values: Floats) -> Floats:
    """p-values (asset,) of D'Agostino and Pearson's (1973) statistic, by its simulated law."""
    n = np.isfinite(values).sum(axis=0)
    whole = (n == len(values)).all()
    found = _omnibus(values) if whole else np.array([_omnibus(c[np.isfinite(c)]) for c in values.T])
    return _by_law(_omnibus, found, n)


def _omnibus(values: Floats) -> Floats:
    return np.asarray(stats.normaltest(values, axis=0).statistic)


def _by_law(statistic: Callable[..., Floats], found: Floats, n: NDArray[np.int64], *args: int) -> Floats:
    """p-values (asset,) of a statistic by its law for so many periods (asset,) of independent normal values.

    Chi-squared is right in the middle alone: where 5 % are shared out over checks and assets, it rejects 100
    normal periods for their tails nine times too often, for autocorrelation or clusters two to three times.
    """
    p = np.full(found.shape, np.nan)
    for size in np.unique(n):
        p[n == size] = p_values(statistic, found[n == size], int(size), *args)
    return p


class Regressions(NamedTuple):
    """Regressions of all assets: coefficients and t-statistics (regressor, asset), R² (asset,)."""

    coefficients: Floats
    t: Floats
    r_squared: Floats
    covariances: Floats  # (asset, regressor, regressor)


def regress(x: Floats, y: Floats, *, lags: int | None = None) -> Regressions:
    """Least squares of each column of ``y`` (period, asset) on ``x`` (period, regressor), constant included.

    t-statistics have Newey-West (1987) errors with Bartlett weights, 4 (T/100)^(2/9) lags unless given; 0
    lags are White's. Both with the factor T / (T - regressors). Missing values of y have weight zero.
    """
    known = np.isfinite(y)
    full = known.all()
    n_assets, k = y.shape[1], x.shape[1]
    filled = np.where(known, y, 0.0)
    if full:
        inverse = np.broadcast_to(np.linalg.pinv(x.T @ x), (n_assets, k, k))
    else:
        gram = np.einsum("tk,tn,tl->nkl", x, known.astype(float), x, optimize=True)
        inverse = np.linalg.pinv(gram)
    b = np.einsum("nkl,ln->kn", inverse, x.T @ filled)
    e = np.where(known, y - x @ b, 0.0)
    n = known.sum(axis=0)
    m = newey_west_lags(len(x)) if lags is None else lags
    pairs = (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)
    meat = (np.square(e).T @ pairs).reshape(n_assets, k, k)
    for lag in range(1, m + 1):
        cross = (x[lag:, :, None] * x[:-lag, None, :]).reshape(len(x) - lag, -1)
        part = ((e[lag:] * e[:-lag]).T @ cross).reshape(n_assets, k, k)
        meat = meat + (1 - lag / (m + 1)) * (part + part.transpose(0, 2, 1))
    covariance = inverse @ meat @ inverse * (n / (n - k))[:, None, None]
    error = np.sqrt(np.maximum(np.diagonal(covariance, axis1=1, axis2=2), 0)).T
    total = np.square(np.where(known, y - filled.sum(axis=0) / np.maximum(n, 1), 0.0)).sum(axis=0)
    r2 = 1 - np.square(e).sum(axis=0) / np.where(total > 0, total, np.nan)
    return Regressions(b, b / np.where(error > 0, error, np.nan), r2, covariance)


def variance_inflation(x: Floats) -> Floats:
    """Variance inflation (column,) of each column of ``x`` (row, column), given the others and a constant."""
    sd = x.std(axis=0)
    correlation = np.corrcoef(x[:, sd > 0].T).reshape((sd > 0).sum(), -1)
    out = np.full(x.shape[1], np.nan)
    values = np.linalg.eigvalsh(correlation)
    if values[0] < 1e-12:
        inverse = np.linalg.pinv(correlation, rcond=1e-12)
        # A column in the null space is a combination of others: infinite.
        null = np.abs(np.eye(len(correlation)) - correlation @ inverse).max(axis=0) > 1e-6
        out[sd > 0] = np.where(null, np.inf, np.diag(inverse))
    else:
        out[sd > 0] = np.diag(np.linalg.inv(correlation))
    return out


class VarianceBreak(NamedTuple):
    """Most likely break of a series' mean: p-value of none, and its first period after the break."""

    p_value: float
    position: int


def variance_break(squares: Floats) -> VarianceBreak:
    """Whether the mean of a series of squares (period,) changes once, at an unknown time.

    The test κ2 of Sansó, Aragó and Carrion (2004): cumulated deviations from the mean over the root of the
    long-run variance, which is that of the two parts either side of the candidate break; the supremum of a
    Brownian bridge has the Kolmogorov distribution. Clusters of volatility alone do not look like a break.
    """
    n = len(squares)
    path = np.cumsum(squares - squares.mean())[:-1]
    at = int(np.abs(path).argmax()) + 1
    left = np.concatenate([squares[:at] - squares[:at].mean(), squares[at:] - squares[at:].mean()])
    scale = np.sqrt(max(long_run_variance(left), 1e-300) * n)
    statistic = float(np.abs(path).max() / scale) if scale > 0 else 0.0
    return VarianceBreak(float(stats.kstwobign.sf(statistic)), at)


def largest_eigenvalue(values: Floats) -> float:
    """Largest eigenvalue of the correlation matrix of columns (period, asset), missing values as zero."""
    z = np.nan_to_num(standardised(values))
    n, k = z.shape
    gram = z.T @ z if k <= n else z @ z.T
    return float(np.linalg.eigvalsh(gram)[-1] / n)


def bonferroni(p: NDArray[Any]) -> float:
    """Probability of a p-value as small as the least of ``p``, at most, however they depend on each other."""
    known = p[np.isfinite(p)]
    return float(min(1.0, known.min() * known.size)) if known.size else 1.0


def holm(p: Floats, level: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected with a chance of at most ``level`` of any false one (Holm 1979)."""
    flat = np.where(np.isfinite(p), p, 1.0).ravel()
    order = np.argsort(flat, kind="stable")
    passed = flat[order] <= level / (len(flat) - np.arange(len(flat)))
    stop = len(flat) if passed.all() else int((~passed).argmax())
    rejected = np.zeros(len(flat), dtype=bool)
    rejected[order[:stop]] = True
    return rejected.reshape(p.shape)
