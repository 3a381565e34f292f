"""Law of the factor innovations over their scales (eq. 3, 3f): normal, or Student-t by the period."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from bdfm.gibbs.spec import StudentFactors
from bdfm.model.part import Array, Block, Data, Params, Part, Variable
from bdfm.model.parts.noise import StudentTNoise
from bdfm.names import FACTOR_MIXING, FACTOR_MIXING_NEXT, FACTOR_NU, NU, PERIOD, PERIOD_WEIGHTS

Floats = NDArray[np.float64]


class FactorNoise(Part):
    """Distribution of the factor innovations over their scales (eq. 3f): a multiplier times normal draws.

    The multiplier of a period is the same for all factors. So their joint law does not change when they are
    rotated; with one for each factor the model would single out one rotation.
    """

    slot: ClassVar[str] = "factor_noise"
    claims: ClassVar[frozenset[str]] = frozenset({"factor noise"})

    def params(self, data: Data) -> Params:
        """No parameters."""
        return {}

    def multiplier(self, p: Params) -> Array:
        """Multiplier of the innovations of each period, broadcastable to (..., period)."""
        return np.ones(1)

    def multiplier_next(self, p: Params) -> Array:
        """Multiplier (...) of the first period after the origin."""
        return 1.0

    def with_history(self, p: Params, n_periods: int, rng: np.random.Generator) -> Params:
        """Parameters with what the multipliers of ``n_periods`` need, drawn where they lack it."""
        return p

    def simulate_ahead(self, p: Params, data: Data, n_draws: int, rng: np.random.Generator) -> Floats:
        """Multipliers (draw, period) of the periods after the origin, one path for each draw."""
        return np.ones((n_draws, len(data[PERIOD_WEIGHTS])))

    def variance(self, p: Params, limit: Floats) -> Floats:
        """Variance (draw) of an innovation of unit scale, cut at ± ``limit`` (draw) in units of the scale.

        A forecast cuts log returns, and heavy tails may have no variance without that.
        """
        return np.ones_like(limit)


class NormalFactorNoise(FactorNoise):
    """Normal innovations (eq. 3)."""

    kind: Literal["normal"] = "normal"

    def block(self, data: Data) -> Block:
        """Normal innovations."""
        return {"factor_noise": None}


class StudentTFactorNoise(FactorNoise):
    """Student-t innovations (eq. 3f): η_kt ~ Normal(0, σ_λk e^{m_t}) / sqrt(ξ_t), one ξ_t for all factors.

    ξ_t ~ Gamma(ν/2, rate ν/2) and ν ~ Gamma(mean ``nu_mean``, sd ``nu_sd``): the factors of a period are
    jointly Student-t with ν degrees of freedom. Mean 8 is the heaviness of monthly market returns once
    volatility is modelled; an sd of half of it leaves 2 % below ν = 2, where there is no variance, and says
    little else: each period adds as many numbers about its ξ_t as there are factors.
    """

    kind: Literal["student_t"] = "student_t"
    nu_mean: PositiveFloat = 8.0
    nu_sd: PositiveFloat = 4.0
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(FACTOR_NU, "ν_λ", (), "1", "Degrees of freedom of the factors, ν of eq. 3f"),
        Variable(FACTOR_MIXING, "ξ_t", (PERIOD,), "1", "Precision of the factors in a period, ξ of eq. 3f"),
    )
    ahead: ClassVar[tuple[Variable, ...]] = (
        Variable(FACTOR_MIXING_NEXT, "ξ_T+1", (), "1", "Precision of the factors in the next period"),
    )

    def params(self, data: Data) -> Params:
        """Degrees of freedom ν (scalar) and mixing variables ξ (period)."""
        import pymc as pm

        nu = pm.Gamma(FACTOR_NU, mu=self.nu_mean, sigma=self.nu_sd)
        return {FACTOR_NU: nu, FACTOR_MIXING: pm.Gamma(FACTOR_MIXING, nu / 2.0, nu / 2.0, dims=PERIOD)}

    def block(self, data: Data) -> Block:
        """Prior of the degrees of freedom."""
        return {"factor_noise": StudentFactors(self.nu_mean, self.nu_sd)}

    def multiplier(self, p: Params) -> Array:
        """Multiplier 1 / sqrt(ξ_t) (..., period)."""
        return p[FACTOR_MIXING] ** -0.5

    def multiplier_next(self, p: Params) -> Array:
        """Multiplier (...) of the first period after the origin: drawn already, or a new variable of PyMC."""
        if FACTOR_MIXING_NEXT in p:
            return p[FACTOR_MIXING_NEXT] ** -0.5
        import pymc as pm

        return pm.Gamma(FACTOR_MIXING_NEXT, p[FACTOR_NU] / 2.0, p[FACTOR_NU] / 2.0) ** -0.5

    def with_history(self, p: Params, n_periods: int, rng: np.random.Generator) -> Params:
        """Parameters with ξ (..., period), drawn from its prior given ν where they lack it."""
        if FACTOR_MIXING in p:
            return p
        return {**p, FACTOR_MIXING: self._draws(np.asarray(p[FACTOR_NU]), n_periods, rng)}

    def simulate_ahead(self, p: Params, data: Data, n_draws: int, rng: np.random.Generator) -> Floats:
        """Multipliers (draw, period) of the periods after the origin; new draws, but for a known ξ_T+1."""
        mixing = self._draws(np.broadcast_to(p[FACTOR_NU], n_draws), len(data[PERIOD_WEIGHTS]), rng)
        if FACTOR_MIXING_NEXT in p:
            mixing[:, 0] = p[FACTOR_MIXING_NEXT]
        return np.asarray(mixing**-0.5)

    @staticmethod
    def _draws(nu: Floats, n_periods: int, rng: np.random.Generator) -> Floats:
        """Mixing variables (..., period) given ν (...)."""
        half = nu[..., None] / 2.0
        return np.asarray(rng.standard_gamma(half, (*nu.shape, n_periods)) / half)

    def variance(self, p: Params, limit: Floats) -> Floats:
        """Variance (draw) of an innovation of unit scale, cut at ± ``limit``: that of Student-t noise."""
        return StudentTNoise().variance({NU: p[FACTOR_NU]}, limit)
