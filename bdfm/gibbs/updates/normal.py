"""Normal noise: normalising constant, log-likelihood and score of an asset, expected information, mixing."""

from __future__ import annotations

import math
from typing import Final

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats

NORMAL_NORM: Final = -0.5 * math.log(2.0 * math.pi)  # log of the normalising constant
NORMAL_INFORMATION: Final = 2.0  # expected, of one return about its log scale


@kernel
def normal_kernel(weight: Floats, score: Floats) -> float:
    """Sum of -weight / 2 r over periods, ``score`` holding r = (e / sigma)^2.

    ``score`` becomes the derivative of the log density in log sigma.
    """
    value = 0.0
    for t in range(score.shape[0]):
        value -= 0.5 * weight[t] * score[t]
    for t in range(score.shape[0]):
        score[t] = weight[t] * (score[t] - 1.0)
    return value


@kernel
def normal_mixing(weight: Floats, precision: Floats, u: Floats) -> None:
    """Eq. S1 of normal noise: u is the weighted precision, and not random."""
    for t in range(u.shape[0]):
        u[t] = weight[t] * precision[t]
