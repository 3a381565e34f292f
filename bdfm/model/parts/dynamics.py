"""Factor dynamics (eq. 3): how the mean of the factors depends on their past.

All linear dynamics are lag polynomials, and a part states its polynomial once, in ``lags``. The density
(``innovation_path``), the simulation (``simulate_path``) and the forecast (``step``) follow from it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, PositiveFloat

from bdfm.gibbs import spec
from bdfm.model.part import Array, Block, Data, Params, Part, Turn, Variable, functions_for, unwritten
from bdfm.names import BETA_MOMENTUM, FACTOR, FACTOR_BEFORE, FACTOR_SCALE, RHO, VAR_MATRIX

_DOUBLINGS = 12  # paths of a vector autoregression in PyTensor have at most 2^12 periods


class LagPolynomial(NamedTuple):
    """Lag polynomial of the factors: E λ_t = c_1 λ_{t-1} + c_2 λ_{t-2} + ...

    ``coefficients``, the first lag first, are numbers common to all factors, each of shape (...), or with
    ``matrix`` one matrix (..., factor, factor_before).
    """

    coefficients: list[Array]
    matrix: bool = False


_RHO = Variable(RHO, "ρ", (), "1", "Short-term reversal of the factors, ρ of eq. 3a")


class Dynamics(Part):
    """How the mean of the factors depends on their past (eq. 3)."""

    slot: ClassVar[str] = "dynamics"
    n_lags: ClassVar[int] = 0

    def lags(self, p: Params) -> LagPolynomial:
        """Lag polynomial of the factors."""
        raise unwritten(self, "lags")


class AR1(Dynamics):
    """First-order autoregression (eq. 3a): E λ_t = ρ λ_{t-1}, one ρ for all factors.

    Prior: ρ ~ Normal(0, ``rho_sd``) truncated to the stationary (-1, 1). Monthly factor returns are nearly
    uncorrelated over time, so the prior sd of 0.2 leaves room for any plausible reversal or momentum.
    """

    kind: Literal["ar1"] = "ar1"
    rho_sd: PositiveFloat = 0.2
    n_lags: ClassVar[int] = 1
    claims: ClassVar[frozenset[str]] = frozenset({"factor lag 1"})
    variables: ClassVar[tuple[Variable, ...]] = (_RHO,)

    def params(self, data: Data) -> Params:
        """Short-term reversal ρ (scalar)."""
        import pymc as pm

        return {RHO: pm.TruncatedNormal(RHO, 0.0, self.rho_sd, lower=-1.0, upper=1.0)}

    def lags(self, p: Params) -> LagPolynomial:
        """Lag polynomial of the factors."""
        return LagPolynomial([p[RHO]])

    def block(self, data: Data) -> Block:
        """Autoregression with one lag."""
        return {"lags": spec.Lags(self.n_lags, self.rho_sd)}


class Momentum(Dynamics):
    """Short-term reversal and long-term momentum (eq. 3b): E λ_t = ρ λ_{t-1} + β Σ_{j=2..12} λ_{t-j}.

    Priors: ρ as in AR(1); β ~ Normal(0, ``beta_sd``) truncated to |β| < (1 - |ρ|) / 11, which makes the sum
    of absolute lag coefficients less than one and so every draw stationary.
    """

    kind: Literal["momentum"] = "momentum"
    rho_sd: PositiveFloat = 0.2
    beta_sd: PositiveFloat = 0.03
    n_lags: ClassVar[int] = 12
    claims: ClassVar[frozenset[str]] = frozenset({"factor lag 1", "factor lags 2 to 12"})
    variables: ClassVar[tuple[Variable, ...]] = (
        _RHO,
        Variable(BETA_MOMENTUM, "β", (), "1", "Long-term momentum of the factors, β of eq. 3b"),
    )

    def params(self, data: Data) -> Params:
        """Short-term reversal ρ and long-term momentum β (scalars)."""
        import pymc as pm

        rho = pm.TruncatedNormal(RHO, 0.0, self.rho_sd, lower=-1.0, upper=1.0)
        bound = (1.0 - functions_for(rho).abs(rho)) / (self.n_lags - 1)
        beta = pm.TruncatedNormal(BETA_MOMENTUM, 0.0, self.beta_sd, lower=-bound, upper=bound)
        return {RHO: rho, BETA_MOMENTUM: beta}

    def lags(self, p: Params) -> LagPolynomial:
        """Lag polynomial of the factors."""
        return LagPolynomial([p[RHO]] + [p[BETA_MOMENTUM]] * (self.n_lags - 1))

    def block(self, data: Data) -> Block:
        """Autoregression with one coefficient for the first lag and one for all others."""
        return {"lags": spec.Lags(self.n_lags, self.rho_sd, self.beta_sd)}


class VAR1(Dynamics):
    """Vector autoregression (eq. 3c): E λ_t = Φ λ_{t-1}, Φ shrunk towards a diagonal.

    In units of the factor scales, Φ = S P S^-1 with S = diag(σ_λ). P = L^-1 A with L L' = I + A A' has all
    singular values below 1, so that Φ is stationary whatever A. A_kk ~ Normal(0, ``own_sd``) and A_kj ~
    Normal(0, ``cross_sd``): as in a Minnesota prior, other factors' pasts matter less than a factor's own,
    and matter in units of their scales. For small values P is nearly A. ``cross_sd`` 0 leaves one AR
    coefficient for each factor.
    """

    kind: Literal["var1"] = "var1"
    own_sd: PositiveFloat = 0.2
    cross_sd: NonNegativeFloat = 0.05
    n_lags: ClassVar[int] = 1
    claims: ClassVar[frozenset[str]] = frozenset({"factor lag 1"})
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(
            VAR_MATRIX,
            "P",
            (FACTOR, FACTOR_BEFORE),
            "1",
            "Matrix of the vector autoregression in units of the factor scales, P of eq. 3c",
            identified=False,
            turn=Turn.BOTH,
        ),
        Variable(
            f"{VAR_MATRIX}_z",
            "A, standardised",
            (FACTOR, FACTOR_BEFORE),
            "1",
            "Matrix A of eq. 3c, standardised",
            identified=False,
            stored=False,
        ),
    )

    @property
    def declared(self) -> tuple[Variable, ...]:
        """Variables; without other factors' pasts, A is a diagonal (factor)."""
        matrix, standard = self.variables
        return self.variables if self.cross_sd else (matrix, standard._replace(dims=(FACTOR,)))

    def params(self, data: Data) -> Params:
        """Matrix P (factor, factor_before) of the factors in units of their scales."""
        import pymc as pm
        import pytensor.tensor as pt

        k = len(pm.modelcontext(None).coords[FACTOR])
        if self.cross_sd == 0:
            own = pm.Normal(f"{VAR_MATRIX}_z", 0.0, 1.0, dims=FACTOR) * self.own_sd
            matrix = pt.diag(own / pt.sqrt(1.0 + own**2))
        else:
            a = self._prior_sd(k) * pm.Normal(f"{VAR_MATRIX}_z", 0.0, 1.0, dims=(FACTOR, FACTOR_BEFORE))
            lower = pt.linalg.cholesky(pt.eye(k) + a @ a.T)
            matrix = pt.linalg.solve_triangular(lower, a, lower=True)
        return {VAR_MATRIX: pm.Deterministic(VAR_MATRIX, matrix, dims=(FACTOR, FACTOR_BEFORE))}

    def _prior_sd(self, k: int) -> NDArray[np.float64]:
        """Prior sd (factor, factor_before) of A."""
        return np.where(np.eye(k) > 0, self.own_sd, self.cross_sd)

    def standardised(self, p: Params, data: Data) -> Params:
        """A over its prior sd, from P: L' L = (I - P P')^-1 with L lower triangular, and A = L P."""
        matrix = p[VAR_MATRIX]
        k = matrix.shape[-1]
        if self.cross_sd == 0:
            own = np.diagonal(matrix, axis1=-2, axis2=-1)
            return {f"{VAR_MATRIX}_z": own / np.sqrt(1.0 - own**2) / self.own_sd}
        inverse = np.linalg.inv(np.eye(k) - matrix @ matrix.swapaxes(-1, -2))
        # The lower factor with the transpose in front is the usual one of the matrix turned by 180 degrees.
        upper = np.linalg.cholesky(inverse[..., ::-1, ::-1])[..., ::-1, ::-1]
        return {f"{VAR_MATRIX}_z": upper.swapaxes(-1, -2) @ matrix / self._prior_sd(k)}

    def lags(self, p: Params) -> LagPolynomial:
        """Lag polynomial of the factors."""
        scale = p[FACTOR_SCALE]
        matrix = scale[..., :, None] * p[VAR_MATRIX] / scale[..., None, :]
        return LagPolynomial([matrix], matrix=True)


def summed_lags(dynamics: tuple[Dynamics, ...], p: Params) -> LagPolynomial:
    """Lag polynomial of several dynamics, whose means are summed."""
    parts = [d.lags(p) for d in dynamics]
    if any(part.matrix for part in parts):
        only: LagPolynomial = parts[0]  # all dynamics claim the first lag, so that a matrix stands alone
        return only
    n_lags = max((len(part.coefficients) for part in parts), default=0)
    return LagPolynomial(
        [sum(part.coefficients[j] for part in parts if j < len(part.coefficients)) for j in range(n_lags)]
    )


def mean(lags: LagPolynomial, past: Array) -> Array:
    """Expected factors given their past (eq. 3).

    ``past`` (..., lag, factor), newest lag last, has at least as many lags as the polynomial. Returns
    (..., factor), decimal per period.
    """
    if lags.matrix:
        return (lags.coefficients[0] * past[..., -1, None, :]).sum(axis=-1)
    terms = [c[..., None] * past[..., -1 - j, :] for j, c in enumerate(lags.coefficients)]
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


def stationary_root(matrix: Array, scale: Array) -> Array:
    """Root R (..., factor, factor) of the stationary covariance of a VAR(1): Var λ = R R' (eq. 3c).

    ``matrix`` Φ (..., factor, factor_before); ``scale`` (..., factor), the sd of the innovations. Solves
    V = Φ V Φ' + diag(scale²) as a linear system.
    """
    xp: Any = np
    if not isinstance(scale, np.ndarray):
        import pytensor.tensor as pt

        xp = pt
    k = scale.shape[-1]
    standard = matrix * scale[..., None, :] / scale[..., :, None]  # no number in it is tiny
    product = standard[..., :, None, :, None] * standard[..., None, :, None, :]
    system = xp.eye(k * k) - product.reshape((*product.shape[:-4], k * k, k * k))
    identity = xp.eye(k).reshape((k * k, 1)) + xp.zeros_like(system[..., :1])
    covariance = xp.linalg.solve(system, identity)
    root = xp.linalg.cholesky(covariance.reshape((*covariance.shape[:-2], k, k)))
    return scale[..., :, None] * root


def innovation_path(lags: LagPolynomial, innovations: Array, scale: Array | None = None) -> Array:
    """Factor path of the fit, from the innovations η (period, factor) (eq. 3, PyTensor).

    Numbers as coefficients: solves A λ = η, where A is unit lower-triangular and banded, by one triangular
    solve instead of a scan, whose gradient is another solve. A matrix: λ_t = Σ_j Φ^j η_{t-j} by doubling,
    with the squares of Φ. Equals ``simulate_path`` with repeated ``step``. ``scale`` (factor), the sd of the
    first innovations, is needed for the stationary start of a matrix only.
    """
    import pytensor.tensor as pt

    if not lags.coefficients:
        return innovations
    if lags.matrix:
        power = lags.coefficients[0]
        start = stationary_root(power, scale) @ (innovations[0] / scale)
        path = pt.concatenate([start[None], innovations[1:]], axis=0)
        reach = 1
        for _ in range(_DOUBLINGS):
            path = path + pt.concatenate([pt.zeros_like(path[:reach]), path[:-reach] @ power.T], axis=0)
            power, reach = power @ power, 2 * reach
        return path
    coefficients = lags.coefficients
    p = len(coefficients)
    n = innovations.shape[0]
    started = pt.arange(n) >= p  # rows that have all their lags
    a = pt.eye(n)
    for j, c in enumerate(coefficients, start=1):
        a = a - c * pt.eye(n, k=-j) * started[:, None]
    scales = [sd for _, sd in stationary_start(coefficients)]
    for m, (phi, _) in enumerate(stationary_start(coefficients)):
        if phi:
            a = pt.set_subtensor(a[m, :m], -pt.stack(phi[::-1]))
    eta = pt.concatenate([pt.stack(scales)[:, None] * innovations[:p], innovations[p:]])
    return pt.linalg.solve_triangular(a, eta, lower=True, unit_diagonal=True)


def step(lags: LagPolynomial, past: Array, innovation: Array) -> Array:
    """Factors one period ahead (eq. 3): mean given ``past`` (..., lag, factor) plus η (..., factor)."""
    return mean(lags, past) + innovation if lags.coefficients else innovation


def simulate_path(
    lags: LagPolynomial, innovations: NDArray[np.float64], scale: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Factor paths from innovations η (..., period, factor), with the stationary start (eq. 3, NumPy).

    ``scale`` (..., factor), the sd of the first innovations, is needed for a matrix only.
    """
    path = np.empty_like(innovations)
    start = stationary_start(lags.coefficients) if lags.coefficients and not lags.matrix else []
    for t in range(innovations.shape[-2]):
        eta = innovations[..., t, :]
        if t == 0 and lags.matrix:
            first = np.asarray(scale)
            root = stationary_root(lags.coefficients[0], first)
            path[..., t, :] = (root @ (eta / first)[..., None])[..., 0]
        elif t < len(start):
            phi, sd = start[t]
            path[..., t, :] = step(LagPolynomial(phi), path[..., :t, :], np.asarray(sd)[..., None] * eta)
        else:
            path[..., t, :] = step(lags, path[..., :t, :], eta)
    return path


def standard_innovations(
    lags: LagPolynomial, path: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Innovations over their sd, of factor paths (..., period, factor): the inverse of ``simulate_path``.

    ``scale`` (..., period, factor) is the sd of the innovations, broadcastable to the path.
    """
    scale = np.broadcast_to(scale, path.shape)
    z = np.empty_like(path)
    start = stationary_start(lags.coefficients) if lags.coefficients and not lags.matrix else []
    for t in range(path.shape[-2]):
        past, now = path[..., :t, :], path[..., t, :]
        if t == 0 and lags.matrix:
            root = stationary_root(lags.coefficients[0], np.ascontiguousarray(scale[..., 0, :]))
            z[..., t, :] = np.linalg.solve(root, now[..., None])[..., 0]
            continue
        if t < len(start):
            phi, sd = start[t]
            eta = (now - step(LagPolynomial(phi), past, np.zeros(()))) / np.asarray(sd)[..., None]
        else:
            eta = now - mean(lags, past) if lags.coefficients else now
        z[..., t, :] = eta / scale[..., t, :]
    return z
