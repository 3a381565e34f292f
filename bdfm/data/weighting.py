"""Weights that fall with age, and how much must be left of what they weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bdfm import _checks
from bdfm.errors import BdfmError, DataError

Floats = NDArray[np.float64]
MIN_HALF_LIFE: Final = 2.0  # periods: weights are then as good as 5.8 of them; with 1 as good as 3
MIN_EFFECTIVE: Final = 5.0  # periods that weights must be as good as
MIN_SHARE: Final = 0.5  # of the periods that there are, where they are few
MIN_TOTAL: Final = 3.0  # sum of weights that are at most 1: periods that count in full; a half-life of 2: 3.4

# Old names of half-lives in market days, and the new ones
OLD_HALF_LIVES: Final[Mapping[str, str]] = {
    "volatility_half_life": "volatility_half_life_days",
    "correlation_half_life": "correlation_half_life_days",
}
HalfLife = Annotated[float, Field(ge=MIN_HALF_LIFE, allow_inf_nan=False)]


def half_life_of(value: float, *, what: str, where: str) -> float:
    """A half-life as a float of at least 2 periods or days; ``DataError`` otherwise."""
    life = _checks.positive(value, what=what, where=where)
    if life < MIN_HALF_LIFE:
        raise DataError(
            f"{where}: a {what} of {life:g} leaves next to nothing of all but the last. Give"
            f" {MIN_HALF_LIFE:g} or more."
        )
    return life


def halved(n: int, half_life: float) -> Floats:
    """Weights (n,) that halve every ``half_life`` rows back; the last one is 1."""
    with np.errstate(over="ignore"):
        return np.asarray(0.5 ** (np.arange(n)[::-1] / half_life))


def effective_size(weights: Floats) -> float:
    """Number of equally weighted periods that carry as much: (Σ w)² / Σ w² (Kish 1965)."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def check_total(weights: Floats, *, where: str, kind: type[BdfmError] = DataError) -> None:
    """Raise ``kind`` where weights (period,) of at most 1 sum to less than 3, or to half of fewer periods.

    More weight of any period never makes it raise: the effective size may fall by it.
    """
    _check(float(weights.sum()), MIN_TOTAL, weights, where, kind)


def check_effective(weights: Floats, *, where: str) -> None:
    """Raise ``DataError`` where weights (period,) are as good as less than 5 periods, or half of fewer."""
    left = effective_size(weights) if np.square(weights).sum() > 0 else 0.0
    _check(left, MIN_EFFECTIVE, weights, where, DataError)


def _check(left: float, least: float, weights: Floats, where: str, kind: type[BdfmError]) -> None:
    n = len(weights)
    if left < min(MIN_SHARE * n, least) * (1 - 1e-9):
        raise kind(
            f"{where}: of {n} periods they leave as much as {left:.2g} that count in full, too few to learn"
            f" from. Let more periods count."
        )
