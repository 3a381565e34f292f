"""Log noise scale with a stochastic volatility for each asset (eq. D4, D5)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from bdfm.gibbs.spec import AssetVolatility, NormalHierarchy
from bdfm.model.part import Array, Block, Data, Params, Variable, hierarchy_variables
from bdfm.model.parts.autoregression import autoregression, to_normals
from bdfm.model.parts.linear import class_groups
from bdfm.model.parts.log_volatility import LogVolatility
from bdfm.names import (
    ASSET,
    ASSET_CLASS,
    CLASS_INDEX,
    LOG_VOLATILITY_SD,
    LOGIT_PHI,
    PERIOD,
    PERIOD_NUMBER,
    VOLATILITY_STATE,
)

Floats = NDArray[np.float64]

_LOGIT_PHI = Variable(LOGIT_PHI, "logit φ_i", (ASSET,), "1", "Persistence of the noise, logit of φ of eq. D4")
_LOG_SD = Variable(
    LOG_VOLATILITY_SD, "log ς_i", (ASSET,), "log of log ratio per period", "Shocks to the noise, log of ς"
)


class StochasticVolatility(LogVolatility):
    """A latent log noise scale for each asset, around its level (eq. D4, D5): v_it = φ_i v_i,t-1 + ς_i u_it.

    Stationary with mean 0: the level is the intercept's. logit φ_i ~ Normal(μ_φ,c, σ_φ,c) and log ς_i ~
    Normal(μ_ς,c, σ_ς,c) by class c, with μ_φ ~ Normal(``logit_phi_mean``, ``logit_phi_sd``), log ς likewise
    around log ``volatility_sd``, and half-normal scales. The prior's median is a half-life of 23 days and a
    stationary sd of 0.5: noise between 0.6 and 1.6 times the usual.

    A series has its states where it has returns, from the first to the last; before and after, they follow
    their law. Missing days between have states and no term in the likelihood.
    """

    kind: Literal["stochastic_volatility"] = "stochastic_volatility"
    logit_phi_mean: float = 3.5
    logit_phi_sd: PositiveFloat = 0.75
    logit_phi_scale: PositiveFloat = 0.5
    volatility_sd: PositiveFloat = 0.12
    volatility_sd_spread: PositiveFloat = 0.5
    volatility_sd_scale: PositiveFloat = 0.4
    claims: ClassVar[frozenset[str]] = frozenset({"path of the log-volatility"})
    takes_evidence: ClassVar[bool] = False
    refuses: ClassVar[frozenset[tuple[str, str]]] = frozenset({("weights", "step"), ("weights", "half_life")})
    variables: ClassVar[tuple[Variable, ...]] = (
        *hierarchy_variables(_LOGIT_PHI, location=True, groups=class_groups(_LOGIT_PHI)),
        *hierarchy_variables(_LOG_SD, location=True, groups=class_groups(_LOG_SD)),
        Variable(
            VOLATILITY_STATE,
            "v_it",
            (PERIOD, ASSET),
            "log ratio",
            "Log noise scale over its level, v of eq. D4",
            identified=False,  # what it makes of the noise scale is judged
        ),
        Variable(
            f"{VOLATILITY_STATE}_z",
            "shocks to v_it, standardised",
            (PERIOD, ASSET),
            "1",
            "Shocks to the log noise scale, standardised",
            identified=False,
            stored=False,
        ),
    )

    @property
    def _priors(self) -> dict[str, NormalHierarchy]:
        """Hierarchies of logit φ and log ς, by name."""
        log_sd = float(np.log(self.volatility_sd))
        return {
            LOGIT_PHI: NormalHierarchy(self.logit_phi_mean, self.logit_phi_sd, self.logit_phi_scale),
            LOG_VOLATILITY_SD: NormalHierarchy(log_sd, self.volatility_sd_spread, self.volatility_sd_scale),
        }

    def params(self, data: Data) -> Params:
        """Persistence and shocks' sd (asset) with their hierarchies, and the paths v (period, asset)."""
        import pymc as pm

        found: dict[str, Array] = {}
        for name, prior in self._priors.items():
            mu = pm.Normal(f"mu_{name}", prior.loc_mean, prior.loc_sd, dims=ASSET_CLASS)
            sigma = pm.HalfNormal(f"sigma_{name}", prior.scale_sd, dims=ASSET_CLASS)
            z = pm.Normal(f"{name}_z", 0.0, 1.0, dims=ASSET)
            b = pm.Deterministic(name, mu[data[CLASS_INDEX]] + sigma[data[CLASS_INDEX]] * z, dims=ASSET)
            found |= {f"mu_{name}": mu, f"sigma_{name}": sigma, name: b}
        phi, sd = pm.math.sigmoid(found[LOGIT_PHI]), pm.math.exp(found[LOG_VOLATILITY_SD])
        z = pm.Normal(f"{VOLATILITY_STATE}_z", 0.0, 1.0, dims=(PERIOD, ASSET))
        path = pm.Deterministic(VOLATILITY_STATE, autoregression(phi, sd, z), dims=(PERIOD, ASSET))
        return found | {VOLATILITY_STATE: path}

    def standardised(self, p: Params, data: Data) -> Params:
        """Standardised coefficients of the hierarchies, and the shocks to the paths."""
        index = data[CLASS_INDEX]
        found = {
            f"{name}_z": (p[name] - p[f"mu_{name}"][:, index]) / p[f"sigma_{name}"][:, index]
            for name in self._priors
        }
        phi, sd = self._of_assets(p)
        return found | {f"{VOLATILITY_STATE}_z": to_normals(phi, sd, p[VOLATILITY_STATE])}

    def block(self, data: Data) -> Block:
        """Priors of persistence and shocks by class."""
        groups = data[CLASS_INDEX].astype(np.int64)
        priors = self._priors
        return {"asset_volatility": AssetVolatility(groups, priors[LOGIT_PHI], priors[LOG_VOLATILITY_SD])}

    @staticmethod
    def _of_assets(p: Params) -> tuple[Floats, Floats]:
        """Persistence φ and shocks' sd ς (..., asset)."""
        return 1.0 / (1.0 + np.exp(-p[LOGIT_PHI])), np.exp(p[LOG_VOLATILITY_SD])

    def effect(self, p: Params, data: Data) -> Array:
        """Path v (..., period, asset); of periods after the origin its expectation at the origin."""
        path = p[VOLATILITY_STATE]
        if not isinstance(path, np.ndarray):
            return path  # a PyMC form is of the history
        number, n = data[PERIOD_NUMBER], path.shape[-2]
        if (number < n).all():
            return path[..., number, :]
        power = np.asarray(number - n + 1, dtype=float)[:, None]
        phi, _ = self._of_assets(p)
        return phi[..., None, :] ** power * path[..., -1:, :]

    def step_ahead(self, p: Params, before: Array, rng: np.random.Generator) -> Array:
        """Deviation (draw, asset) of a period's v from its expectation at the origin, given the one before.

        0 at the origin.
        """
        phi, sd = self._of_assets(p)
        return phi * before + sd * rng.standard_normal(sd.shape)

    def variance_ahead(self, p: Params, step: int) -> Array:
        """Variance (draw, asset) of that deviation, in period ``step`` after the origin, from 0."""
        phi, sd = self._of_assets(p)
        return np.square(sd) * (1.0 - phi ** (2 * step + 2)) / (1.0 - np.square(phi))
