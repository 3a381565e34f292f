"""Expected return apart from the factors (eq. 2 and 5)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveFloat

from bdfm.model.part import Array, Block, Data, Params, Part, Turn, Variable, hierarchy_variables, unwritten
from bdfm.model.parts.linear import Hierarchy, LinearEffect, class_groups
from bdfm.model.parts.loadings import common_by_block
from bdfm.names import (
    ALPHA,
    ASSET,
    BETA_RR,
    FACTOR,
    FACTOR_SCALE,
    LOADING_BLOCK,
    LOADINGS,
    LOADINGS_PATH,
    MARKET_RISK,
    PREMIUM,
    RECENT_RETURN,
    SHARPE,
)

_ALPHA = Variable(ALPHA, "α_i", (ASSET,), "decimal log return per period", "Intercept, α of eq. 2")
_BETA_RR = Variable(
    BETA_RR,
    "β^rr_i",
    (ASSET,),
    "decimal log return per weekly standard deviation",
    "Expected return after last week's return, β of eq. 2",
)
_SHARPE = Variable(
    SHARPE,
    "κ_i",
    (ASSET,),
    "1 per period",
    "Expected return over market risk, κ of eq. 5b",
)


class Mean(Part):
    """A term of the expected return (eq. 2)."""

    slot: ClassVar[str] = "mean"

    def effect(self, p: Params, data: Data) -> Array:
        """Term of eq. 2, broadcastable to (..., period, asset)."""
        raise unwritten(self, "effect")


class LinearMean(LinearEffect, Mean):
    """A linear effect on the expected return."""


class Intercept(LinearMean):
    """Constant expected return of each asset (eq. 5): α_i ~ StudentT(``nu``, 0, σ_α), σ_α half-normal.

    The prior scale of σ_α, 0.005 per 4 weeks (about 6.5 % a year), spans what long-run mean returns
    differ by; a monthly sample of eight years alone cannot tell them apart.
    """

    kind: Literal["intercept"] = "intercept"
    nu: PositiveFloat = 10.0
    scale: PositiveFloat = 0.005
    claims: ClassVar[frozenset[str]] = frozenset({"intercept"})
    coefficient: ClassVar[Variable] = _ALPHA
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_ALPHA, location=False)

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of α."""
        return Hierarchy(self.scale, dof=self.nu)


class RecentReturn(LinearMean):
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
    coefficient: ClassVar[Variable] = _BETA_RR
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(
        _BETA_RR, location=True, groups=class_groups(_BETA_RR)
    )
    regressor: ClassVar[str | None] = RECENT_RETURN
    by_class: ClassVar[bool] = True

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of β^rr within a class."""
        return Hierarchy(self.scale, dof=self.nu, location_sd=self.mean_sd)


class MarketPremium(LinearMean):
    """Premium for market risk (eq. 5b): κ_i ~ Normal(μ_κ, σ_κ), with a long memory in the prior of μ_κ.

    The capital asset pricing model: an asset is paid for the sd that it has of the market, beta times the
    market's sd, at a Sharpe ratio κ. The prior of its mean, Normal(``mean``, ``mean_sd``), is a century's and
    not the panel's decade: stocks beat bills by about 0.1 of their sd per 4 weeks (0.36 a year), known to
    half of that. A hundred periods know a Sharpe ratio to 0.1, so that they move it by a fifth of what they
    say. ``scale`` lets assets differ a little.

    An opinion on direction: no recommended model holds it (docs/skill.md says what it did).
    """

    kind: Literal["market_premium"] = "market_premium"
    mean: float = 0.1
    mean_sd: PositiveFloat = 0.05
    scale: PositiveFloat = 0.025
    needs: ClassVar[frozenset[str]] = frozenset({MARKET_RISK})
    claims: ClassVar[frozenset[str]] = frozenset({"factor mean"})
    coefficient: ClassVar[Variable] = _SHARPE
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_SHARPE, location=True)
    regressor: ClassVar[str | None] = MARKET_RISK

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of κ over all assets."""
        return Hierarchy(self.scale, location=self.mean, location_sd=self.mean_sd)


class FactorPremium(Mean):
    """Premia of the factors (eq. 5a): each factor has a mean, σ_λk π_k with π_k ~ Normal(0, ``sd``).

    The arbitrage pricing theory (Ross 1976): expected returns are paid for common risk, in proportion to the
    loadings, and not to single assets. π is a Sharpe ratio per period. The prior sd of 0.1 per 4 weeks is
    0.36 a year, about that of stock markets over the last century; eight years of data alone would leave a
    standard error as large. All factors share the prior, so that a rotation of them changes nothing. Where
    loadings move (eq. 4b), the premium is paid for the loadings of the time.
    """

    kind: Literal["factor_premium"] = "factor_premium"
    sd: PositiveFloat = 0.1
    claims: ClassVar[frozenset[str]] = frozenset({"factor mean"})
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(
            PREMIUM,
            "π_k",
            (FACTOR,),
            "1 per period",
            "Premium of the factor, π of eq. 5a",
            identified=False,  # the common mean is
            turn=Turn.STANDARD,
        ),
    )

    def params(self, data: Data) -> Params:
        """Premium π (factor), mean of the factor over its scale, per period."""
        import pymc as pm

        return {PREMIUM: pm.Normal(PREMIUM, 0.0, self.sd, dims=FACTOR)}

    def effect(self, p: Params, data: Data) -> Array:
        """Term Σ_k w_ki σ_λk π_k of eq. 2, (..., 1, asset), or (..., period, asset) where loadings move."""
        means = p[FACTOR_SCALE] * p[PREMIUM]
        if LOADINGS_PATH in p:
            return common_by_block(p[LOADINGS_PATH], means[..., None, :], data[LOADING_BLOCK])
        return (p[LOADINGS] * means[..., None, :]).sum(axis=-1)[..., None, :]

    def block(self, data: Data) -> Block:
        """Prior sd of the premia."""
        return {"premium_sd": self.sd}
