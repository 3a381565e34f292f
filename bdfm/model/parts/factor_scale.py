"""Scales of the factors (eq. 3): constant, following market volatility, or with a volatility of their own."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from bdfm.gibbs.spec import LatentScale, ScaleRegression
from bdfm.model.part import Array, Block, Data, Params, Part, Turn, Variable, functions_for
from bdfm.model.parts.dynamics import LagPolynomial, innovation_path, standard_innovations
from bdfm.names import (
    BETA_MV,
    FACTOR,
    FACTOR_SCALE,
    LOG_MULTIPLIER,
    LOG_MULTIPLIER_NEXT,
    MARKET_VOLATILITY,
    PERIOD,
    PERIOD_WEIGHTS,
    PHI,
    WINDOW,
)

FACTOR_SCALE_VARIABLE = Variable(
    FACTOR_SCALE,
    "σ_λk",
    (FACTOR,),
    "decimal log return per period",
    "Scale of the factor, σ of eq. 3",
    identified=False,
    turn=Turn.SCALE,
)
_SIGMA_H = f"sigma_{LOG_MULTIPLIER}"


class FactorScale(Part):
    """What all factor scales share: σ_λk times one multiplier a period, the same for all factors (eq. 3).

    σ_λk ~ half-normal(``sd``). The sd of 0.03 per 4 weeks puts the strongest factor, the market with about
    0.04, at a plausible 1.3 prior sd, and lets superfluous factors shrink. A multiplier of its own for
    each factor would tie the model to one rotation of the factors; one for all does not.
    """

    sd: PositiveFloat = 0.03
    slot: ClassVar[str] = "factor_scale"
    claims: ClassVar[frozenset[str]] = frozenset({"factor scale"})
    variables: ClassVar[tuple[Variable, ...]] = (FACTOR_SCALE_VARIABLE,)
    by_factor: ClassVar[bool] = False  # whether each factor's scale moves by itself

    def params(self, data: Data) -> Params:
        """Factor scales σ_λ (factor) of an average period, decimal log return per period."""
        import pymc as pm

        return {FACTOR_SCALE: pm.HalfNormal(FACTOR_SCALE, self.sd, dims=FACTOR)}

    def log_multiplier(self, p: Params, data: Data) -> Array:
        """Log of the multiplier of each period, broadcastable to (..., period)."""
        return np.zeros(1)

    def scale(self, p: Params, data: Data) -> Array:
        """Standard deviation of the factor innovations η, broadcastable to (..., period, factor)."""
        multiplier = functions_for(p[FACTOR_SCALE]).exp(self.log_multiplier(p, data))
        return p[FACTOR_SCALE][..., None, :] * multiplier[..., :, None]

    def correlated(self, p: Params, z: Array) -> Array:
        """Standardised innovations (..., period, factor) of independent normal z, given what moves scales."""
        return z

    def independent(self, p: Params, innovations: Array) -> Array:
        """Inverse of ``correlated``."""
        return innovations

    def log_multiplier_next(self, p: Params, data: Data) -> Array:
        """Log of the multiplier (...) of the first period of ``data``, the one after the origin."""
        return self.log_multiplier(p, data)[..., 0]

    def variance_ahead(self, p: Params, data: Data, step: int) -> NDArray[np.float64]:
        """Expected squared multiplier (draw or 1) of period ``step`` of ``data``, those after the origin."""
        log_multiplier = np.asarray(self.log_multiplier(p, data))
        return np.asarray(np.exp(2.0 * log_multiplier[..., min(step, log_multiplier.shape[-1] - 1)]))

    def simulate_ahead(
        self, p: Params, data: Data, n_draws: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Log multipliers (draw, period) of the periods after the origin, one path for each draw."""
        n_steps = len(data[PERIOD_WEIGHTS])
        return np.broadcast_to(self.log_multiplier(p, data), (n_draws, n_steps))


class ConstantScale(FactorScale):
    """Constant scale of each factor (eq. 3): η_kt ~ Normal(0, σ_λk)."""

    kind: Literal["constant"] = "constant"

    def block(self, data: Data) -> Block:
        """Prior of the scales."""
        return {"factor_scale_sd": self.sd}


class MarketVolatilityScale(FactorScale):
    """Factor scales that follow recent market volatility (eq. 3d).

    η_kt ~ Normal(0, σ_λk exp(Σ_w β^m_w x^m_tw)). x^m is the log volatility of an equal-weighted portfolio of
    the universe before the period, one for each window, over its own past; a slope of 1 in all would follow
    it one for one. β^m_w ~ Normal(0, ``slope_sd``).
    """

    kind: Literal["market_volatility"] = "market_volatility"
    slope_sd: PositiveFloat = 0.5
    needs: ClassVar[frozenset[str]] = frozenset({MARKET_VOLATILITY})
    variables: ClassVar[tuple[Variable, ...]] = (
        FACTOR_SCALE_VARIABLE,
        Variable(BETA_MV, "β^m_w", (WINDOW,), "1", "Factor scales after high market volatility, β of eq. 3d"),
    )

    def params(self, data: Data) -> Params:
        """Factor scales σ_λ (factor) and slopes β^m (window), dimensionless."""
        import pymc as pm

        return {**super().params(data), BETA_MV: pm.Normal(BETA_MV, 0.0, self.slope_sd, dims=WINDOW)}

    def log_multiplier(self, p: Params, data: Data) -> Array:
        """Log multiplier Σ_w β^m_w x^m_tw (..., period)."""
        return (p[BETA_MV][..., None, :] * data[MARKET_VOLATILITY]).sum(axis=-1)

    def block(self, data: Data) -> Block:
        """Priors of the scales, and regressors of their logs."""
        regression = ScaleRegression(data[MARKET_VOLATILITY], self.slope_sd)
        return {"factor_scale_sd": self.sd, "scale_regression": regression}


class StochasticVolatilityScale(FactorScale):
    """Factor scales with a latent volatility of their own (eq. 3e): η_kt ~ Normal(0, σ_λk exp(h_t)).

    h_t = φ h_{t-1} + Normal(0, σ_h), stationary. φ ~ Normal(``phi_mean``, ``phi_sd``) truncated to (-1, 1):
    monthly volatility shocks have a half-life of some months. σ_h ~ half-normal(``volatility_sd``): within
    one prior sd the stationary sd of h is 0.4, volatility between two thirds and one and a half of the usual.
    """

    kind: Literal["stochastic_volatility"] = "stochastic_volatility"
    phi_mean: float = 0.8
    phi_sd: PositiveFloat = 0.15
    volatility_sd: PositiveFloat = 0.25
    variables: ClassVar[tuple[Variable, ...]] = (
        FACTOR_SCALE_VARIABLE,
        Variable(PHI, "φ", (), "1", "Persistence of the factors' volatility, φ of eq. 3e"),
        Variable(
            _SIGMA_H, "σ_h", (), "log ratio per period", "Shocks to the factors' volatility, σ of eq. 3e"
        ),
        Variable(LOG_MULTIPLIER, "h_t", (PERIOD,), "log ratio", "Log volatility of the factors, h of eq. 3e"),
        Variable(
            f"{LOG_MULTIPLIER}_z",
            "shocks to h_t, standardised",
            (PERIOD,),
            "1",
            "Shocks to the factors' volatility, standardised",
            identified=False,
            stored=False,
        ),
    )
    ahead: ClassVar[tuple[Variable, ...]] = (
        Variable(
            LOG_MULTIPLIER_NEXT, "h_T+1", (), "log ratio", "Log volatility of the factors in the next period"
        ),
        Variable(
            f"{LOG_MULTIPLIER_NEXT}_z",
            "shock to h_T+1, standardised",
            (),
            "1",
            "Shock to the factors' volatility in the next period, standardised",
            identified=False,
            stored=False,
        ),
    )

    def params(self, data: Data) -> Params:
        """Factor scales σ_λ (factor), persistence φ and sd σ_h (scalars), and the path h (period)."""
        import pymc as pm

        phi = pm.TruncatedNormal(PHI, self.phi_mean, self.phi_sd, lower=-1.0, upper=1.0)
        sigma = pm.HalfNormal(_SIGMA_H, self.volatility_sd)
        z = pm.Normal(f"{LOG_MULTIPLIER}_z", 0.0, 1.0, dims=PERIOD)
        path = pm.Deterministic(
            LOG_MULTIPLIER, innovation_path(LagPolynomial([phi]), (sigma * z)[:, None])[:, 0], dims=PERIOD
        )
        own = {PHI: phi, _SIGMA_H: sigma, LOG_MULTIPLIER: path}
        return {**super().params(data), **own}

    def standardised(self, p: Params, data: Data) -> Params:
        """Shocks to h over their sd, also that of the next period where it is among the parameters."""
        phi, sigma, h = p[PHI], p[_SIGMA_H], p[LOG_MULTIPLIER]
        scale = sigma[:, None, None]
        found = {
            f"{LOG_MULTIPLIER}_z": standard_innovations(LagPolynomial([phi]), h[..., None], scale)[..., 0]
        }
        if LOG_MULTIPLIER_NEXT in p:
            found[f"{LOG_MULTIPLIER_NEXT}_z"] = (p[LOG_MULTIPLIER_NEXT] - phi * h[:, -1]) / sigma
        return found

    def block(self, data: Data) -> Block:
        """Priors of the scales, and of their latent volatility."""
        latent = LatentScale(self.phi_mean, self.phi_sd, self.volatility_sd)
        return {"factor_scale_sd": self.sd, "latent_scale": latent}

    def log_multiplier(self, p: Params, data: Data) -> Array:
        """Latent h (..., period) of the history."""
        return p[LOG_MULTIPLIER]

    def log_multiplier_next(self, p: Params, data: Data) -> Array:
        """Latent h (...) of the first period after the origin: drawn already, or a new variable of PyMC."""
        if LOG_MULTIPLIER_NEXT in p:
            return p[LOG_MULTIPLIER_NEXT]
        import pymc as pm

        z = pm.Normal(f"{LOG_MULTIPLIER_NEXT}_z", 0.0, 1.0)
        value = p[PHI] * p[LOG_MULTIPLIER][-1] + p[_SIGMA_H] * z
        return pm.Deterministic(LOG_MULTIPLIER_NEXT, value)

    def variance_ahead(self, p: Params, data: Data, step: int) -> NDArray[np.float64]:
        """Expected exp(2 h) (draw) of period ``step`` after the origin: h is normal given its path so far."""
        n_steps, h = step + 1, p[LOG_MULTIPLIER][..., -1]
        if LOG_MULTIPLIER_NEXT in p:
            n_steps, h = step, p[LOG_MULTIPLIER_NEXT]
        phi = p[PHI]
        variance = p[_SIGMA_H] ** 2 * (1.0 - phi ** (2 * n_steps)) / (1.0 - phi**2)
        return np.asarray(np.exp(2.0 * phi**n_steps * h + 2.0 * variance))

    def simulate_ahead(
        self, p: Params, data: Data, n_draws: int, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Latent h (draw, period) of the periods after the origin, one path for each draw."""
        h = p[LOG_MULTIPLIER][..., -1]
        path = np.empty((n_draws, len(data[PERIOD_WEIGHTS])))
        for t in range(path.shape[1]):
            if t == 0 and LOG_MULTIPLIER_NEXT in p:
                h = p[LOG_MULTIPLIER_NEXT]
            else:
                h = p[PHI] * h + p[_SIGMA_H] * rng.standard_normal(n_draws)
            path[:, t] = h
        return path
