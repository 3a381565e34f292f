"""Weights that fall with age, and how much must be left of what they weight."""

from __future__ import annotations

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
MIN_TOTAL: Final = 1.0  # sum of weights that are at most 1: one period that counts in full

HalfLife = Annotated[float, Field(ge=MIN_HALF_LIFE)]


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


def check_left(weights: Floats, *, where: str, kind: type[BdfmError] = DataError) -> None:
    """Raise ``kind`` where weights (period,) of at most 1 leave less than 5 periods, or half of fewer."""
    n = len(weights)
    if not n:
        return
    total = float(weights.sum())
    left = effective_size(weights) if total > 0 and np.square(weights).sum() > 0 else 0.0
    if left < min(MIN_SHARE * n, MIN_EFFECTIVE) * (1 - 1e-9) or total < MIN_TOTAL * (1 - 1e-9):
        raise kind(
            f"{where}: of {n} periods they leave as much as {min(left, total):.2g} that count in full, too"
            f" few to learn from. Let more periods count."
        )
