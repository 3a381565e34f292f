"""Level of an asset's log noise scale, which a least noise scale bounds from below (eq. D4)."""

from __future__ import annotations

import math
from typing import Final

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Effects

FAR: Final = 30.0  # below the log of the least noise scale: there the intercept changes nothing at all


@kernel
def lowest_shift(b: float, least: float) -> float:
    """Shift of an intercept ``b`` below which no slice steps: nothing but the prior's tail knows of it there.

    Where the least noise fits better than the present one by thousands, as at a start, the whole tail of a
    Student-t prior is in the slice, and stepping out through it would take as good as for ever. States more
    than a step below are then left and not entered; what the prior has there is beyond all digits.
    """
    return -math.inf if least <= 0.0 else math.log(least) - FAR - b


@kernel
def level_of(b: float, least: float) -> float:
    """Log noise scale log(least + e^b) of an average period at an intercept; ``b`` where least is 0."""
    if least <= 0.0:
        return b
    low = math.log(least)
    return max(b, low) + math.log1p(math.exp(-abs(b - low)))


@kernel
def level_slope(b: float, least: float) -> float:
    """Derivative of ``level_of`` in the intercept."""
    return 1.0 if least <= 0.0 else 1.0 / (1.0 + least * math.exp(-b))


@kernel
def level_change(b: float, shift: float, least: float) -> float:
    """What the level goes up by when the intercept goes from ``b`` to ``b + shift``."""
    return shift if least <= 0.0 else level_of(b + shift, least) - level_of(b, least)


@kernel
def effect_of(effects: Effects, j: int, b: float) -> float:
    """What regressor j is multiplied by at its coefficient: itself, or the level that an intercept makes."""
    return level_of(b, effects.least) if effects.least > 0.0 and j == effects.intercept else b
