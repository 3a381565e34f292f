"""Predictive distribution (eq. 11, 11a): which share of the draws the past gives."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bdfm.model.part import Part


class Predictive(Part):
    """Where the draws of a forecast come from; ``past_share`` of them are past returns (eq. 11a)."""

    slot: ClassVar[str] = "predictive"

    @property
    def past_share(self) -> float:
        """Share of the draws that are past returns."""
        return 0.0


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
    weights in the likelihood: shapes change more slowly than volatilities.
    """

    kind: Literal["historical_pool"] = "historical_pool"
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5

    @property
    def past_share(self) -> float:
        """Share of the draws that are past returns."""
        return self.share
