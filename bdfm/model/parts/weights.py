"""Period weights (eq. 9): how much the log-likelihood of each period counts."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bdfm.data.weighting import HalfLife, check_total, halved
from bdfm.errors import ModelError
from bdfm.model.part import Block, Data, Params, Part, unwritten
from bdfm.names import PERIOD_WEIGHTS


class Weights(Part):
    """Weight of each period's log-likelihood (eq. 9); the weights are numbers, not variables."""

    slot: ClassVar[str] = "weights"
    claims: ClassVar[frozenset[str]] = frozenset({"period weights"})

    def weights(self, period_end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Weights ω (period), in (0, 1]."""
        raise unwritten(self, "weights")

    def checked(self, period_end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Weights ω (period) that leave enough to learn from; ``ModelError`` otherwise."""
        found = self.weights(period_end)
        check_total(found, where=f"weights ({self.kind})", kind=ModelError)
        return found

    def params(self, data: Data) -> Params:
        """No parameters."""
        return {}

    def block(self, data: Data) -> Block:
        """Weights of the periods."""
        return {"period_weights": data[PERIOD_WEIGHTS]}


class EqualWeights(Weights):
    """All periods count alike: ω_t = 1."""

    kind: Literal["equal"] = "equal"

    def weights(self, period_end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Weights ω (period), in (0, 1]."""
        return np.ones(len(period_end))


class StepWeights(Weights):
    """Periods that end before ``cutoff`` count ``before`` as much as the others (eq. 9, step form)."""

    kind: Literal["step"] = "step"
    cutoff: dt.date
    before: Annotated[float, Field(gt=0, le=1)] = 0.5

    def weights(self, period_end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Weights ω (period), in (0, 1]."""
        return np.where(period_end < np.datetime64(self.cutoff), self.before, 1.0)


class HalfLifeWeights(Weights):
    """Weights that halve every ``half_life_periods`` (eq. 9): ω_t = 2^(-age / half-life), newest period 1."""

    kind: Literal["half_life"] = "half_life"
    half_life_periods: HalfLife

    def weights(self, period_end: NDArray[np.datetime64]) -> NDArray[np.float64]:
        """Weights ω (period), in (0, 1].

        Raises ``ModelError`` for a half-life that leaves no weight to the oldest period.
        """
        found = halved(len(period_end), self.half_life_periods)
        if found.size and found[0] < np.finfo(np.float64).tiny:
            raise ModelError(
                f"weights: a half-life of {self.half_life_periods:g} periods leaves no weight to the oldest"
                f" of {len(found)}. Give a longer one, or take fewer periods."
            )
        return found
