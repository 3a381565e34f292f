"""Factor dynamics (eq. 3): how the mean of the factors depends on their past.

All linear dynamics are lag polynomials, and a part states its polynomial once, in ``coefficients``. The
density (``innovation_path``), the simulation (``simulate_path``) and the forecast (``step``) follow from it.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from bdfm.components.base import Array, Component, Data, Params, functions_for
from bdfm.dims import BETA_MOMENTUM, RHO


class AR1(Component):
    """First-order autoregression (eq. 3a): E λ_t = ρ λ_{t-1}, one ρ for all factors.

    Prior: ρ ~ Normal(0, ``rho_sd``) truncated to the stationary (-1, 1). Monthly factor returns are nearly
    uncorrelated over time, so the prior sd of 0.2 leaves room for any plausible reversal or momentum.
    """

    kind: Literal["ar1"] = "ar1"
    rho_sd: PositiveFloat = 0.2
    n_lags: ClassVar[int] = 1
    claims: ClassVar[frozenset[str]] = frozenset({"factor lag 1"})

    def params(self, data: Data) -> Params:
        """Short-term reversal ρ (scalar)."""
        return {RHO: pm.TruncatedNormal(RHO, 0.0, self.rho_sd, lower=-1.0, upper=1.0)}

    def coefficients(self, p: Params) -> list[Array]:
        """Coefficient of each lag, the first lag first; each of shape (...)."""
        return [p[RHO]]


class Momentum(Component):
    """Short-term reversal and long-term momentum (eq. 3b): E λ_t = ρ λ_{t-1} + β Σ_{j=2..12} λ_{t-j}.

    Priors: ρ as in AR(1); β ~ Normal(0, ``beta_sd``) truncated to |β| < (1 - |ρ|) / 11, which makes the sum
    of absolute lag coefficients less than one and so every draw stationary.
    """

    kind: Literal["momentum"] = "momentum"
    rho_sd: PositiveFloat = 0.2
    beta_sd: PositiveFloat = 0.03
    n_lags: ClassVar[int] = 12
    claims: ClassVar[frozenset[str]] = frozenset({"factor lag 1", "factor lags 2 to 12"})

    def params(self, data: Data) -> Params:
        """Short-term reversal ρ and long-term momentum β (scalars)."""
        rho = pm.TruncatedNormal(RHO, 0.0, self.rho_sd, lower=-1.0, upper=1.0)
        bound = (1.0 - functions_for(rho).abs(rho)) / (self.n_lags - 1)
        beta = pm.TruncatedNormal(BETA_MOMENTUM, 0.0, self.beta_sd, lower=-bound, upper=bound)
        return {RHO: rho, BETA_MOMENTUM: beta}

    def coefficients(self, p: Params) -> list[Array]:
        """Coefficient of each lag, the first lag first; each of shape (...)."""
        return [p[RHO]] + [p[BETA_MOMENTUM]] * (self.n_lags - 1)


Dynamics = Annotated[AR1 | Momentum, Field(discriminator="kind")]


def lag_coefficients(dynamics: tuple[Any, ...], p: Params) -> list[Array]:
    """Lag polynomial of several dynamics, whose means are summed; first lag first, each of shape (...)."""
    parts = [d.coefficients(p) for d in dynamics]
    n_lags = max((len(part) for part in parts), default=0)
    return [sum(part[j] for part in parts if j < len(part)) for j in range(n_lags)]


def mean(coefficients: list[Array], past: Array) -> Array:
    """Expected factors given their past (eq. 3).

    ``past`` (..., lag, factor), newest lag last, has at least as many lags as coefficients of shape (...).
    Returns (..., factor), decimal per period.
    """
    terms = [c[..., None] * past[..., -1 - j, :] for j, c in enumerate(coefficients)]
    return sum(terms[1:], start=terms[0])


def stationary_start(coefficients: list[Array]) -> list[tuple[list[Array], Array]]:
    """Exact start of a stationary autoregression: how each of its first p values depends on those before.

    Returns for m = 0..p-1 past values the m best linear coefficients (first lag first) and the
    innovation sd in units of the sd of η. Step-down form of the Levinson-Durbin recursion: from order m to
    m-1 with k = φ_m, φ'_j = (φ_j + k φ_{m-j}) / (1 - k²) and v' = v / (1 - k²). With it the first periods
    have the stationary distribution of eq. 3 without extra parameters; AR(1) starts at sd 1/sqrt(1 - ρ²).
    """
    sqrt = functions_for(*coefficients).sqrt
    phi, variance = list(coefficients), 1.0
    orders: list[tuple[list[Array], Array]] = []
    while phi:
        k = phi[-1]
        shrink = 1.0 - k**2
        phi = [(phi[j] + k * phi[-2 - j]) / shrink for j in range(len(phi) - 1)]
        variance = variance / shrink
        orders.append((phi, sqrt(variance)))
    return orders[::-1]


def innovation_path(coefficients: list[Array], innovations: Array) -> Array:
    """Factor path of the fit, from the innovations η (period, factor) (eq. 3, PyTensor).

    Solves A λ = η, where A is unit lower-triangular and banded: one triangular solve instead of a
    scan, whose gradient is another solve. Equals ``simulate_path`` with repeated ``step``.
    """
    if not coefficients:
        return innovations
    p = len(coefficients)
    n = innovations.shape[0]
    started = pt.arange(n) >= p  # rows that have all their lags
    a = pt.eye(n)
    for j, c in enumerate(coefficients, start=1):
        a = a - c * pt.eye(n, k=-j) * started[:, None]
    scale = [sd for _, sd in stationary_start(coefficients)]
    for m, (phi, _) in enumerate(stationary_start(coefficients)):
        if phi:
            a = pt.set_subtensor(a[m, :m], -pt.stack(phi[::-1]))
    eta = pt.concatenate([pt.stack(scale)[:, None] * innovations[:p], innovations[p:]])
    return pt.linalg.solve_triangular(a, eta, lower=True, unit_diagonal=True)


def step(coefficients: list[Array], past: Array, innovation: Array) -> Array:
    """Factors one period ahead (eq. 3): mean given ``past`` (..., lag, factor) plus η (..., factor)."""
    return mean(coefficients, past) + innovation if coefficients else innovation


def simulate_path(
    coefficients: list[NDArray[np.float64]], innovations: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Factor paths from innovations η (..., period, factor), with the stationary start (eq. 3, NumPy)."""
    path = np.empty_like(innovations)
    start = stationary_start(coefficients) if coefficients else []
    for t in range(innovations.shape[-2]):
        eta = innovations[..., t, :]
        if t < len(start):
            phi, scale = start[t]
            eta = np.asarray(scale)[..., None] * eta
            path[..., t, :] = step(phi, path[..., :t, :], eta)
        else:
            path[..., t, :] = step(coefficients, path[..., :t, :], eta)
    return path
