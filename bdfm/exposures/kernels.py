"""Compiled recursions of the filters: plain arrays of one asset."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm._kernels import kept

type Floats = NDArray[np.float64]

LOG_2PI: Final = math.log(2 * math.pi)


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Compiled function, cached on disk; sums in the order written: results are comparable to 1e-12."""
    return kept(function, nogil=True, error_model="numpy")


@kernel
def filter_betas(
    y: Floats,
    x: Floats,
    noise_variance: float,
    step_variance: Floats,
    prior_variance: Floats,
    mean: Floats,
    covariance: Floats,
) -> float:
    """Log-likelihood of random-walk coefficients (eq. E6, E7); fills their filtered moments.

    y_t = x_t' b_t + noise, b_t = b_t-1 + step, b_1 ~ N(0, diag(prior_variance)).

    A day whose return is NaN moves nothing but the uncertainty. ``y`` (day,), ``x`` (day, m),
    ``step_variance`` and ``prior_variance`` (m,); ``mean`` (day, m) and ``covariance`` (day, m, m) are those
    of b_t given days 1 to t.
    """
    n, m = x.shape
    b = np.zeros(m)
    p = np.zeros((m, m))
    g = np.empty(m)
    for i in range(m):
        p[i, i] = prior_variance[i]
    loglik = 0.0
    for t in range(n):
        if t > 0:
            for i in range(m):
                p[i, i] += step_variance[i]
        if math.isnan(y[t]):
            for i in range(m):
                mean[t, i] = b[i]
                for j in range(m):
                    covariance[t, i, j] = p[i, j]
            continue
        error = y[t]
        f = noise_variance
        for i in range(m):
            s = 0.0
            for j in range(m):
                s += p[i, j] * x[t, j]
            g[i] = s
            f += s * x[t, i]
            error -= x[t, i] * b[i]
        loglik -= 0.5 * (LOG_2PI + math.log(f) + error * error / f)
        for i in range(m):
            b[i] += g[i] * error / f
            for j in range(i + 1):
                p[i, j] -= g[i] * g[j] / f
                p[j, i] = p[i, j]
        for i in range(m):
            mean[t, i] = b[i]
            for j in range(m):
                covariance[t, i, j] = p[i, j]
    return loglik


@kernel
def garch_variance(residual: Floats, omega: float, alpha: float, beta: float, start: float) -> Floats:
    """Conditional variances (day + 1,) of a GARCH(1,1) (eq. E8); the last is that of the day after.

    ``start`` stands for both the squared residual and the variance of the day before the first.
    """
    n = len(residual)
    variance = np.empty(n + 1)
    variance[0] = omega + (alpha + beta) * start
    for t in range(n):
        variance[t + 1] = omega + alpha * residual[t] * residual[t] + beta * variance[t]
    return variance


@kernel
def cholesky(a: Floats, out: Floats) -> bool:
    """Fill the lower triangle of ``out`` with the Cholesky factor of ``a``; False where it has none."""
    m = a.shape[0]
    for i in range(m):
        for j in range(i + 1):
            s = a[i, j]
            for k in range(j):
                s -= out[i, k] * out[j, k]
            if i == j:
                if s <= 0.0:
                    return False
                out[i, i] = math.sqrt(s)
            else:
                out[i, j] = s / out[j, j]
    return True


@kernel
def dcc_loglik(z: Floats, target: Floats, a: float, b: float) -> float:
    """Gaussian log-likelihood (correlation part) of DCC(1,1) on standardised residuals (eq. E9, E10).

    ``z`` (day, m), ``target`` (m, m) the correlation to which Q returns and at which it starts. Constants and
    the part of the margins are left out; minus infinity where a correlation matrix is not positive definite.
    """
    n, m = z.shape
    q = target.copy()
    r = np.empty((m, m))
    factor = np.zeros((m, m))
    w = np.empty(m)
    total = 0.0
    for t in range(n):
        for i in range(m):
            for j in range(i + 1):
                r[i, j] = q[i, j] / math.sqrt(q[i, i] * q[j, j])
                r[j, i] = r[i, j]
        if not cholesky(r, factor):
            return -np.inf
        for i in range(m):
            s = z[t, i]
            for k in range(i):
                s -= factor[i, k] * w[k]
            w[i] = s / factor[i, i]
            total -= math.log(factor[i, i]) + 0.5 * w[i] * w[i]
        for i in range(m):
            for j in range(m):
                q[i, j] = (1.0 - a - b) * target[i, j] + a * z[t, i] * z[t, j] + b * q[i, j]
    return total


@kernel
def dcc_correlations(z: Floats, target: Floats, a: float, b: float) -> Floats:
    """Conditional correlations (day + 1, m, m) of DCC(1,1) (eq. E9, E10); the last is of the day after."""
    n, m = z.shape
    q = target.copy()
    r = np.empty((n + 1, m, m))
    for t in range(n + 1):
        for i in range(m):
            for j in range(m):
                r[t, i, j] = q[i, j] / math.sqrt(q[i, i] * q[j, j])
        if t < n:
            for i in range(m):
                for j in range(m):
                    q[i, j] = (1.0 - a - b) * target[i, j] + a * z[t, i] * z[t, j] + b * q[i, j]
    return r
