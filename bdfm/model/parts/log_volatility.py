"""Log scale of the noise (eq. 7 and 8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveFloat, SerializerFunctionWrapHandler, model_serializer

from bdfm.model.part import (
    Array,
    Block,
    Data,
    Params,
    Part,
    Variable,
    functions_for,
    hierarchy_variables,
    unwritten,
)
from bdfm.model.parts.linear import Hierarchy, LinearEffect, class_groups
from bdfm.names import (
    ASSET,
    BETA_EARNINGS,
    BETA_OV,
    BETA_RV,
    EARNINGS,
    OUTSIDE_VOLATILITY,
    RECENT_VOLATILITY,
    THETA,
    WINDOW,
)

_THETA = Variable(
    THETA, "θ_i", (ASSET,), "log of decimal per period", "Log noise scale of an average period, θ"
)
_BETA_RV = Variable(
    BETA_RV, "β^rv_iw", (ASSET, WINDOW), "1", "Noise after high recent volatility, β of eq. 7"
)
_BETA_EARNINGS = Variable(
    BETA_EARNINGS, "β^e_i", (ASSET,), "log ratio", "Noise in periods with earnings, β of eq. 7"
)

_BETA_OV = Variable(BETA_OV, "β^o_i", (ASSET,), "1", "Noise after a high given volatility, β of eq. 7")


class LogVolatility(Part):
    """A term of the log noise scale (eq. 7)."""

    slot: ClassVar[str] = "log_volatility"

    def effect(self, p: Params, data: Data) -> Array:
        """Term of eq. 7, broadcastable to (..., period, asset)."""
        raise unwritten(self, "effect")

    def step_ahead(self, p: Params, before: Array, rng: np.random.Generator) -> Array:
        """What a period's term deviates by from ``effect`` of it, given the deviation of the one before.

        For terms that are not known at the origin (draw, asset); others have none.
        """
        return before

    def variance_ahead(self, p: Params, step: int) -> Array:
        """Variance, (draw, asset) or a number, of that deviation in period ``step`` after the origin."""
        return 0.0


class LinearLogVolatility(LinearEffect, LogVolatility):
    """A linear effect on the log noise scale."""


class LogVolIntercept(LinearLogVolatility):
    """Log noise scale of an average period (eq. 8): θ_i ~ StudentT(``nu``, μ_θ,c, σ_θ,c).

    ``mean`` -3 is a noise scale of 5 % per 4 weeks; ``mean_sd`` 1 covers 2 % to 14 % within one sd, from
    short bonds to biotechnology; ``scale`` 0.5 lets assets of a class differ by a factor of two or so.

    With ``least``, decimal per period, the noise scale of an average period is least + exp θ_i (eq. D4): no
    asset is known better than its closes are. Without, nothing bounds the noise of an asset that the others
    determine.
    """

    kind: Literal["intercept"] = "intercept"
    nu: PositiveFloat = 10.0
    mean: float = -3.0
    mean_sd: PositiveFloat = 1.0
    scale: PositiveFloat = 0.5
    least: Annotated[float, Field(ge=0)] = 0.0
    claims: ClassVar[frozenset[str]] = frozenset({"log-volatility intercept"})
    coefficient: ClassVar[Variable] = _THETA
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(
        _THETA, location=True, groups=class_groups(_THETA)
    )
    by_class: ClassVar[bool] = True

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of θ within a class."""
        return Hierarchy(self.scale, dof=self.nu, location=self.mean, location_sd=self.mean_sd)

    def effect(self, p: Params, data: Data) -> Array:
        """θ, or log(least + exp θ), (..., 1, asset)."""
        theta = super().effect(p, data)
        if not self.least:
            return theta
        f = functions_for(theta)
        return f.log(self.least + f.exp(theta))

    def block(self, data: Data) -> Block:
        """One effect of the Gibbs engine, with its least scale."""
        ((slot, (effect,)),) = super().block(data).items()
        return {slot: (replace(effect, least=self.least),)}

    @model_serializer(mode="wrap")
    def _without_none(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings; no least scale is no setting, so that files from before there was one stay."""
        found: dict[str, Any] = dump(self)
        if not self.least:
            found.pop("least", None)
        return found


class RecentVolatility(LinearLogVolatility):
    """Persistence of volatility (eq. 8): β^rv_i ~ Normal(μ_rv,c, σ_rv,c), one slope for each window.

    The regressor is a log ratio, so a slope of 1 would mean that the noise scale follows recent
    volatility one for one and 0 that it ignores it; the prior Normal(0, 0.5) of the class means covers both.
    """

    kind: Literal["recent_volatility"] = "recent_volatility"
    mean_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 0.25
    needs: ClassVar[frozenset[str]] = frozenset({RECENT_VOLATILITY})
    claims: ClassVar[frozenset[str]] = frozenset({"recent volatility"})
    coefficient: ClassVar[Variable] = _BETA_RV
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(
        _BETA_RV, location=True, groups=class_groups(_BETA_RV)
    )
    regressor: ClassVar[str | None] = RECENT_VOLATILITY
    by_class: ClassVar[bool] = True

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of β^rv within a class, for each window."""
        return Hierarchy(self.scale, location_sd=self.mean_sd)


class Earnings(LinearLogVolatility):
    """Larger noise in periods with an earnings announcement (eq. 8): β^e_i ~ Normal(μ_e, σ_e).

    Assets without announcements keep the prior of β^e, which then never enters their likelihood.
    """

    kind: Literal["earnings"] = "earnings"
    mean_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 0.25
    needs: ClassVar[frozenset[str]] = frozenset({EARNINGS})
    claims: ClassVar[frozenset[str]] = frozenset({"earnings"})
    coefficient: ClassVar[Variable] = _BETA_EARNINGS
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_BETA_EARNINGS, location=True)
    regressor: ClassVar[str | None] = EARNINGS

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of β^e over all assets."""
        return Hierarchy(self.scale, location_sd=self.mean_sd)


class OutsideVolatility(LinearLogVolatility):
    """What a volatility known from elsewhere adds (eq. 8): β^o_i ~ Normal(μ_o, σ_o).

    The regressor is the log of a given volatility, implied by options say, over the realised one, less its
    own past: a slope of 1 follows it wholly, 0 ignores it. The prior Normal(0.5, 0.5) of the mean is between
    the two; slopes are pooled over assets, and assets without a value keep the prior.
    """

    kind: Literal["outside_volatility"] = "outside_volatility"
    mean: float = 0.5
    mean_sd: PositiveFloat = 0.5
    scale: PositiveFloat = 0.25
    needs: ClassVar[frozenset[str]] = frozenset({OUTSIDE_VOLATILITY})
    claims: ClassVar[frozenset[str]] = frozenset({"outside volatility"})
    coefficient: ClassVar[Variable] = _BETA_OV
    variables: ClassVar[tuple[Variable, ...]] = hierarchy_variables(_BETA_OV, location=True)
    regressor: ClassVar[str | None] = OUTSIDE_VOLATILITY

    @property
    def hierarchy(self) -> Hierarchy:
        """Prior of β^o over all assets."""
        return Hierarchy(self.scale, location=self.mean, location_sd=self.mean_sd)
