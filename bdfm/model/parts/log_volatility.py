"""Log scale of the noise (eq. 7 and 8)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pymc as pm
from pydantic import Field, PositiveFloat

from bdfm.model.part import (
    Array,
    Component,
    Data,
    Params,
    class_hierarchy,
    common_hierarchy,
)
from bdfm.names import (
    ASSET,
    ASSET_CLASS,
    BETA_EARNINGS,
    BETA_RV,
    EARNINGS,
    RECENT_VOLATILITY,
    THETA,
    WINDOW,
)


class LogVolIntercept(Component):
    """Log noise scale of an average period (eq. 8): θ_i ~ StudentT(``nu``, μ_θ,c, σ_θ,c).

    ``mean`` -3 is a noise scale of 5 % per 4 weeks; ``mean_sd`` 1 covers 2 % to 14 % within one sd, from
    short bonds to biotechnology; ``scale`` 0.5 lets assets of a class differ by a factor of two or so.
    """

    kind: Literal["intercept"] = "intercept"
    nu: PositiveFloat = 10.0
    mean: float = -3.0
    mean_sd: PositiveFloat = 1.0
    scale: PositiveFloat = 0.5
    claims: ClassVar[frozenset[str]] = frozenset({"log-volatility intercept"})

    def params(self, data: Data) -> Params:
        """Intercepts θ (asset), class means and class scales (asset_class), log of decimal per period."""
        mu = pm.Normal(f"mu_{THETA}", self.mean, self.mean_sd, dims=ASSET_CLASS)
        sigma = pm.HalfNormal(f"sigma_{THETA}", self.scale, dims=ASSET_CLASS)
        theta = class_hierarchy(THETA, data, mu=mu, sigma=sigma, nu=self.nu)
        return {f"mu_{THETA}": mu, f"sigma_{THETA}": sigma, THETA: theta}

    def effect(self, p: Params, data: Data) -> Array:
        """Term θ_i of eq. 7, (..., 1, asset)."""
        return p[THETA][..., None, :]


class RecentVolatility(Component):
    """Persistence of volatility (eq. 8): β^rv_i ~ Normal(μ_rv,c, σ_rv,c), one slope for each window.

    The regressor is a log ratio, so a slope of 1 would mean that the noise scale follows recent
    volatility one for one and 0 that it ignores it; the prior Normal(0, 0.5) of the class means covers both.
    """

    kind: Literal["recent_volatility"] = "recent_volatility"
    mean_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 0.25
    needs: ClassVar[frozenset[str]] = frozenset({RECENT_VOLATILITY})
    claims: ClassVar[frozenset[str]] = frozenset({"recent volatility"})

    def params(self, data: Data) -> Params:
        """Slopes β^rv (asset, window), class means and class scales (asset_class, window), dimensionless."""
        mu = pm.Normal(f"mu_{BETA_RV}", 0.0, self.mean_sd, dims=(ASSET_CLASS, WINDOW))
        sigma = pm.HalfNormal(f"sigma_{BETA_RV}", self.scale, dims=(ASSET_CLASS, WINDOW))
        beta = class_hierarchy(BETA_RV, data, mu=mu, sigma=sigma, nu=None, dims=(ASSET, WINDOW))
        return {f"mu_{BETA_RV}": mu, f"sigma_{BETA_RV}": sigma, BETA_RV: beta}

    def effect(self, p: Params, data: Data) -> Array:
        """Term β^rv_i x^rv_it of eq. 7, summed over windows, (..., period, asset)."""
        return (p[BETA_RV][..., None, :, :] * data[RECENT_VOLATILITY]).sum(axis=-1)


class Earnings(Component):
    """Larger noise in periods with an earnings announcement (eq. 8): β^e_i ~ Normal(μ_e, σ_e).

    Assets without announcements keep the prior of β^e, which then never enters their likelihood.
    """

    kind: Literal["earnings"] = "earnings"
    mean_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 0.25
    needs: ClassVar[frozenset[str]] = frozenset({EARNINGS})
    claims: ClassVar[frozenset[str]] = frozenset({"earnings"})

    def params(self, data: Data) -> Params:
        """Offsets β^e (asset), their mean and scale (scalars), log ratio of noise scales."""
        mu = pm.Normal(f"mu_{BETA_EARNINGS}", 0.0, self.mean_sd)
        sigma = pm.HalfNormal(f"sigma_{BETA_EARNINGS}", self.scale)
        beta = common_hierarchy(BETA_EARNINGS, mu=mu, sigma=sigma, nu=None)
        return {f"mu_{BETA_EARNINGS}": mu, f"sigma_{BETA_EARNINGS}": sigma, BETA_EARNINGS: beta}

    def effect(self, p: Params, data: Data) -> Array:
        """Term β^e_i I^e_it of eq. 7, (..., period, asset)."""
        return p[BETA_EARNINGS][..., None, :] * data[EARNINGS]


LogVolatility = Annotated[LogVolIntercept | RecentVolatility | Earnings, Field(discriminator="kind")]
