"""Predictive distribution (eq. 11, 11a, 11b): which share of the draws is not the model's, and whose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bdfm.model.part import Part
from bdfm.names import ROLLING_COVARIANCE

Share = Annotated[float, Field(gt=0, lt=1)]


class Predictive(Part):
    """Where the draws of a forecast come from: ``other_share`` of them are not the model's."""

    slot: ClassVar[str] = "predictive"
    takes_evidence: ClassVar[bool] = False  # whether the other draws can be made given evidence (eq. 12)

    @property
    def other_share(self) -> float:
        """Share of the draws that are not the model's."""
        return 0.0

    def shares(self, evidence: Sequence[object]) -> float:
        """Share of the draws that are not the model's, given evidence or none."""
        return self.other_share if self.takes_evidence or not evidence else 0.0


class ModelPredictive(Predictive):
    """All draws are the model's (eq. 11)."""

    kind: Literal["model"] = "model"


class HistoricalPool(Predictive):
    """Linear pool of the model with historical simulation (eq. 11a).

    ``share`` of the draws are returns as they came in one of the panel's past periods, of all assets jointly,
    each period as often as another; where an asset had none, the model draws it given that period's factors.
    Past periods have the skewness, the tails and the premia that no part of the model describes, the model
    knows the present volatility; a pool of two forecasts scores at least as well as the two do on
    average, by any convex score (Stone 1961; Genest and Zidek 1986). Periods count alike, whatever their
    weights in the likelihood: shapes change more slowly than volatilities. Past periods know nothing of
    evidence: a fit with it forecasts with the model alone.
    """

    kind: Literal["historical_pool"] = "historical_pool"
    share: Share = 0.5

    @property
    def other_share(self) -> float:
        """Share of the draws that are past returns."""
        return self.share


class CovariancePool(Predictive):
    """Linear pool of the model with the rolling covariance of daily returns (eq. 11b).

    ``share`` of the draws have mean 0, the variances of ``[panel.rolling_covariance]``, and Student-t margins
    of ``dof`` degrees of freedom joined by a Gaussian copula of its correlations. The model sees structure in
    eight years of periods, the rolling covariance sees every day of the last ones; they err at different
    times, and neither has an opinion on direction. Given evidence these draws are conditioned on it like the
    model's; the shares stay.
    """

    kind: Literal["covariance_pool"] = "covariance_pool"
    share: Share = 0.5
    dof: Annotated[float, Field(gt=2)] = 5.0
    needs: ClassVar[frozenset[str]] = frozenset({ROLLING_COVARIANCE})
    takes_evidence: ClassVar[bool] = True

    @property
    def other_share(self) -> float:
        """Share of the draws that have the rolling covariance."""
        return self.share
