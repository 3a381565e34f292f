"""Expected return apart from the factors (eq. 2 and 5)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pymc as pm
from pydantic import Field, PositiveFloat

from bdfm.model.part import Array, Component, Data, Params, class_hierarchy, common_hierarchy
from bdfm.names import ALPHA, ASSET_CLASS, BETA_RR, FACTOR, FACTOR_SCALE, LOADINGS, PREMIUM, RECENT_RETURN


class Intercept(Component):
    """Constant expected return of each asset (eq. 5): α_i ~ StudentT(``nu``, 0, σ_α), σ_α half-normal.

    The prior scale of σ_α, 0.005 per 4 weeks (about 6.5 % a year), spans what long-run mean returns
    differ by; a monthly sample of eight years alone cannot tell them apart.
    """

    kind: Literal["intercept"] = "intercept"
    nu: PositiveFloat = 10.0
    scale: PositiveFloat = 0.005
    claims: ClassVar[frozenset[str]] = frozenset({"intercept"})

    def params(self, data: Data) -> Params:
        """Intercepts α (asset) and their scale, decimal log return per period."""
        sigma = pm.HalfNormal(f"sigma_{ALPHA}", self.scale)
        return {f"sigma_{ALPHA}": sigma, ALPHA: common_hierarchy(ALPHA, mu=0.0, sigma=sigma, nu=self.nu)}

    def effect(self, p: Params, data: Data) -> Array:
        """Term α_i of eq. 2, (..., 1, asset)."""
        return p[ALPHA][..., None, :]


class RecentReturn(Component):
    """Reversal or continuation of the last week (eq. 5): β^rr_i ~ StudentT(``nu``, μ_rr,c, σ_rr,c).

    The regressor is in weekly standard deviations, so β^rr is a return per standard deviation. Prior
    scales of 0.005 mean that a two-sigma week moves next month's expectation by about 1 %, more
    than any published reversal effect.
    """

    kind: Literal["recent_return"] = "recent_return"
    nu: PositiveFloat = 10.0
    mean_sd: PositiveFloat = 0.005
    scale: PositiveFloat = 0.005
    needs: ClassVar[frozenset[str]] = frozenset({RECENT_RETURN})
    claims: ClassVar[frozenset[str]] = frozenset({"recent return"})

    def params(self, data: Data) -> Params:
        """Slopes β^rr (asset), class means and class scales (asset_class), decimal per weekly sd."""
        mu = pm.Normal(f"mu_{BETA_RR}", 0.0, self.mean_sd, dims=ASSET_CLASS)
        sigma = pm.HalfNormal(f"sigma_{BETA_RR}", self.scale, dims=ASSET_CLASS)
        beta = class_hierarchy(BETA_RR, data, mu=mu, sigma=sigma, nu=self.nu)
        return {f"mu_{BETA_RR}": mu, f"sigma_{BETA_RR}": sigma, BETA_RR: beta}

    def effect(self, p: Params, data: Data) -> Array:
        """Term β^rr_i x^rr_it of eq. 2, (..., period, asset)."""
        return p[BETA_RR][..., None, :] * data[RECENT_RETURN]


class FactorPremium(Component):
    """Premia of the factors (eq. 5a): each factor has a mean, σ_λk π_k with π_k ~ Normal(0, ``sd``).

    The arbitrage pricing theory (Ross 1976): expected returns are paid for common risk, in proportion to the
    loadings, and not to single assets. π is a Sharpe ratio per period. The prior sd of 0.1 per 4 weeks is
    0.36 a year, about that of stock markets over the last century; eight years of data alone would leave a
    standard error as large. All factors share the prior, so that a rotation of them changes nothing.
    """

    kind: Literal["factor_premium"] = "factor_premium"
    sd: PositiveFloat = 0.1
    claims: ClassVar[frozenset[str]] = frozenset({"factor mean"})

    def params(self, data: Data) -> Params:
        """Premium π (factor), mean of the factor over its scale, per period."""
        return {PREMIUM: pm.Normal(PREMIUM, 0.0, self.sd, dims=FACTOR)}

    def effect(self, p: Params, data: Data) -> Array:
        """Term Σ_k w_ki σ_λk π_k of eq. 2, (..., 1, asset)."""
        means = p[FACTOR_SCALE] * p[PREMIUM]
        return (p[LOADINGS] * means[..., None, :]).sum(axis=-1)[..., None, :]


Mean = Annotated[Intercept | FactorPremium | RecentReturn, Field(discriminator="kind")]
