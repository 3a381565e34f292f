"""Scales of the factors that each have a stochastic volatility of their own, with leverage (eq. D2, D3)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat

from bdfm.gibbs.spec import FactorVolatility
from bdfm.model.part import Array, Block, Data, Params, Turn, Variable, functions_for
from bdfm.model.parts.autoregression import autoregression, to_normals
from bdfm.model.parts.factor_scale import FACTOR_SCALE_VARIABLE, FactorScale
from bdfm.names import (
    FACTOR,
    FACTOR_PHI,
    FACTOR_SCALE,
    FACTOR_VOLATILITY,
    FACTOR_VOLATILITY_SD,
    FACTORS,
    LEVERAGE,
    PERIOD,
    PERIOD_NUMBER,
    PERIOD_WEIGHTS,
)

Floats = NDArray[np.float64]

_PHI_Z = f"{FACTOR_PHI}_z"


class FactorVolatilityScale(FactorScale):
    """A stochastic volatility for each factor, with leverage (eq. D2, D3): f_kt = σ_λk exp(h_kt) z_kt.

    h_kt = φ_k h_k,t-1 + ς_k u_kt, stationary with mean 0, and corr(z_kt, u_k,t+1) = ϱ_k: for a market factor
    that moves assets up, negative, since volatility rises after a fall. logit φ_k ~
    Normal(``logit_phi_mean``, ``logit_phi_sd``): a half-life of 23 days at the median, of 5 to 100 within
    two sd. log ς_k ~ Normal(log ``volatility_sd``, ``volatility_sd_spread``). ϱ_k ~ Normal(0,
    ``leverage_sd``) truncated to (-1, 1): symmetric, since the sign of a factor is arbitrary.

    Volatilities of their own single out one rotation of the factors; only their order and signs are
    arbitrary. So there are no dynamics and no factor means beside them.
    """

    kind: Literal["factor_volatility"] = "factor_volatility"
    sd: PositiveFloat = 0.006
    logit_phi_mean: float = 3.5
    logit_phi_sd: PositiveFloat = 0.75
    volatility_sd: PositiveFloat = 0.12
    volatility_sd_spread: PositiveFloat = 0.5
    leverage_sd: float = Field(default=0.4, gt=0, le=10)
    by_factor: ClassVar[bool] = True
    takes_evidence: ClassVar[bool] = False
    refuses: ClassVar[frozenset[tuple[str, str]]] = frozenset(
        {
            ("dynamics", "*"),
            ("factor_noise", "student_t"),
            ("loadings", "random_walk"),
            ("loadings", "instrumented"),
            ("loadings", "instrumented_walk"),
            ("mean", "factor_premium"),
            ("weights", "step"),
            ("weights", "half_life"),
        }
    )
    variables: ClassVar[tuple[Variable, ...]] = (
        FACTOR_SCALE_VARIABLE,
        Variable(
            FACTOR_PHI,
            "φ_k",
            (FACTOR,),
            "1",
            "Persistence of the factor's volatility, φ of eq. D3",
            identified=False,
            turn=Turn.ORDER,
        ),
        Variable(
            _PHI_Z,
            "logit φ_k, standardised",
            (FACTOR,),
            "1",
            "Persistence of the factor's volatility, standardised",
            identified=False,
            turn=Turn.ORDER,
            stored=False,
        ),
        Variable(
            FACTOR_VOLATILITY_SD,
            "ς_k",
            (FACTOR,),
            "log ratio per period",
            "Shocks to the factor's volatility, ς of eq. D3",
            identified=False,
            turn=Turn.ORDER,
        ),
        Variable(
            LEVERAGE,
            "ϱ_k",
            (FACTOR,),
            "1",
            "Leverage of the factor, ϱ of eq. D3",
            identified=False,
            turn=Turn.SIGN,
        ),
        Variable(
            FACTOR_VOLATILITY,
            "h_kt",
            (PERIOD, FACTOR),
            "log ratio",
            "Log volatility of the factor, h of eq. D3",
            identified=False,
            turn=Turn.ORDER,
        ),
        Variable(
            f"{FACTOR_VOLATILITY}_z",
            "shocks to h_kt, standardised",
            (PERIOD, FACTOR),
            "1",
            "Shocks to the factor's volatility, standardised",
            identified=False,
            turn=Turn.ORDER,
            stored=False,
        ),
    )

    def params(self, data: Data) -> Params:
        """Factor scales σ, persistence φ, shocks' sd ς and leverage ϱ (factor), and the paths h."""
        import pymc as pm

        logit = self.logit_phi_mean + self.logit_phi_sd * pm.Normal(_PHI_Z, 0.0, 1.0, dims=FACTOR)
        phi = pm.Deterministic(FACTOR_PHI, pm.math.sigmoid(logit), dims=FACTOR)
        sd = pm.LogNormal(
            FACTOR_VOLATILITY_SD, np.log(self.volatility_sd), self.volatility_sd_spread, dims=FACTOR
        )
        leverage = pm.TruncatedNormal(LEVERAGE, 0.0, self.leverage_sd, lower=-1.0, upper=1.0, dims=FACTOR)
        z = pm.Normal(f"{FACTOR_VOLATILITY}_z", 0.0, 1.0, dims=(PERIOD, FACTOR))
        path = pm.Deterministic(FACTOR_VOLATILITY, autoregression(phi, sd, z), dims=(PERIOD, FACTOR))
        own = {FACTOR_PHI: phi, FACTOR_VOLATILITY_SD: sd, LEVERAGE: leverage, FACTOR_VOLATILITY: path}
        return {**super().params(data), **own}

    def standardised(self, p: Params, data: Data) -> Params:
        """Persistence on the logit scale and the shocks u to the paths of h, standardised."""
        logit = np.log(p[FACTOR_PHI]) - np.log1p(-p[FACTOR_PHI])
        return {
            _PHI_Z: (logit - self.logit_phi_mean) / self.logit_phi_sd,
            f"{FACTOR_VOLATILITY}_z": self._shocks(p),
        }

    def block(self, data: Data) -> Block:
        """Priors of the scales and of their volatilities."""
        own = FactorVolatility(
            self.logit_phi_mean,
            self.logit_phi_sd,
            float(np.log(self.volatility_sd)),
            self.volatility_sd_spread,
            self.leverage_sd,
        )
        return {"factor_scale_sd": self.sd, "factor_volatility": own}

    def _shocks(self, p: Params) -> Array:
        return to_normals(p[FACTOR_PHI], p[FACTOR_VOLATILITY_SD], p[FACTOR_VOLATILITY])

    def log_multipliers(self, p: Params, data: Data) -> Array:
        """Log multiplier h (..., period, factor); of periods after the origin its expectation at the origin.

        What leverage makes of the last factors is in it.
        """
        path = p[FACTOR_VOLATILITY]
        if not isinstance(path, np.ndarray):
            return path  # a PyMC form is of the history
        number, n = data[PERIOD_NUMBER], path.shape[-2]
        if (number < n).all():
            return path[..., number, :]
        first = self._expected(p, path[..., -1, :], self._last(p))
        power = np.asarray(number - n, dtype=float)[:, None]
        return p[FACTOR_PHI][..., None, :] ** power * first[..., None, :]

    def scale(self, p: Params, data: Data) -> Array:
        """Standard deviation of the factors, σ exp(h) (..., period, factor)."""
        log_multiplier = self.log_multipliers(p, data)
        return p[FACTOR_SCALE][..., None, :] * functions_for(log_multiplier).exp(log_multiplier)

    def correlated(self, p: Params, z: Array) -> Array:
        """Standardised factors (..., period, factor) of independent normal z, given the paths of h (eq. D3).

        ϱ u_t+1 + sqrt(1 - ϱ²) z_t, and z_T in the last period, after which no volatility is known.
        """
        path, phi = p[FACTOR_VOLATILITY], p[FACTOR_PHI][..., None, :]
        following = (path[..., 1:, :] - phi * path[..., :-1, :]) / p[FACTOR_VOLATILITY_SD][..., None, :]
        leverage = p[LEVERAGE][..., None, :]
        f = functions_for(path, leverage, z)
        first = leverage * following + f.sqrt(1.0 - leverage**2) * z[..., :-1, :]
        return f.concatenate([first, z[..., -1:, :]], axis=-2)

    def independent(self, p: Params, factors: Array) -> Array:
        """Inverse of ``correlated``: independent normal z of standardised factors."""
        path, phi = p[FACTOR_VOLATILITY], p[FACTOR_PHI][..., None, :]
        following = (path[..., 1:, :] - phi * path[..., :-1, :]) / p[FACTOR_VOLATILITY_SD][..., None, :]
        leverage = p[LEVERAGE][..., None, :]
        z = np.array(factors)
        z[..., :-1, :] = (factors[..., :-1, :] - leverage * following) / np.sqrt(1.0 - leverage**2)
        return z

    def _last(self, p: Params) -> Array:
        """Standardised factors (..., factor) of the last period of the history."""
        return p[FACTORS][..., -1, :] / (p[FACTOR_SCALE] * np.exp(p[FACTOR_VOLATILITY][..., -1, :]))

    @staticmethod
    def _expected(p: Params, h: Array, z: Array) -> Array:
        """Expected h of the next period, given h and the standardised factors of this one."""
        return p[FACTOR_PHI] * h + p[FACTOR_VOLATILITY_SD] * p[LEVERAGE] * z

    def start_ahead(self, p: Params) -> tuple[Floats, Floats]:
        """Last h and standardised factors (draw, factor), from which ``step_ahead`` goes on."""
        return np.asarray(p[FACTOR_VOLATILITY][..., -1, :]), np.asarray(self._last(p))

    def step_ahead(self, p: Params, h: Floats, z: Floats, shock: Floats) -> Floats:
        """Log multipliers h (..., draw, factor) one period on: with leverage, and a normal ``shock``."""
        spread = p[FACTOR_VOLATILITY_SD] * np.sqrt(1.0 - np.square(p[LEVERAGE]))
        return np.asarray(self._expected(p, h, z) + spread * shock)

    def variance_ahead(self, p: Params, data: Data, step: int) -> Floats:
        """Expected exp(2 h) (draw, factor) of period ``step`` after the origin, given the last factors."""
        h, z = self.start_ahead(p)
        phi, sd = p[FACTOR_PHI], p[FACTOR_VOLATILITY_SD]
        first = sd**2 * (1.0 - np.square(p[LEVERAGE]))  # leverage of the last period is known
        variance = phi ** (2 * step) * first + sd**2 * (1.0 - phi ** (2 * step)) / (1.0 - phi**2)
        return np.asarray(np.exp(2.0 * phi**step * self._expected(p, h, z) + 2.0 * variance))

    def simulate_ahead(self, p: Params, data: Data, n_draws: int, rng: np.random.Generator) -> Floats:
        """Log multipliers (draw, period, factor) of the periods after the origin; of the first, given all.

        Of later ones without the factors that came between; ``step_ahead`` takes these along.
        """
        h, z = self.start_ahead(p)
        path = np.empty((n_draws, len(data[PERIOD_WEIGHTS]), h.shape[-1]))
        for t in range(path.shape[1]):
            h = self.step_ahead(p, h, z, rng.standard_normal(h.shape))
            z = rng.standard_normal(h.shape)
            path[:, t] = h
        return path
