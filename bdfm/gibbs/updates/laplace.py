"""Laplace noise: normalising constant, log-likelihood and score of an asset, expected information, mixing.

The density of a return with weight omega, (exp(-|e| / sigma) / (2 sigma))^omega, has the kernel exp(-s |e|)
with s = omega / sigma: that of a Laplace density again, so that its mixture is exact for every weight.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats
from bdfm.gibbs.random import normal, uniform

LAPLACE_NORM: Final = -math.log(2.0)  # log of the normalising constant
LAPLACE_INFORMATION: Final = 1.0  # expected, of one return about its log scale
_MAX_RATIO: Final = 1e8  # of u sigma^2


@kernel
def laplace_kernel(weight: Floats, score: Floats) -> float:
    """Sum of -weight sqrt(r) over periods, ``score`` holding r = (e / sigma)^2.

    ``score`` becomes the derivative of the log density in log sigma.
    """
    value = 0.0
    for t in range(score.shape[0]):
        score[t] = math.sqrt(score[t])
        value -= weight[t] * score[t]
    for t in range(score.shape[0]):
        score[t] = weight[t] * (score[t] - 1.0)
    return value


@kernel
def laplace_mixing(rng: np.random.Generator, weight: Floats, precision: Floats, e: Floats, u: Floats) -> None:
    """Eq. S1 of Laplace noise, for one asset: u ~ InverseGaussian(mean s / |e|, shape s^2); 0 where missing.

    By the method of Michael, Schucany and Haas (1976) for w = u / s^2, whose mean is 1 / phi, phi = s |e|,
    and whose shape is 1: of the two values of w that a squared normal number y stands for, 1 / r and
    r / phi^2, it takes the first with probability r / (r + phi). Written with r nothing cancels, down to
    phi = 0.

    u has no bound as e goes to 0, and normal updates that take it as precision would lose their digits. It is
    drawn given u sigma^2 <= 1e8: the density of the noise is then the mixture without what lies beyond, lower
    by less than 1 part in 10,000 within some 1 / 10,000 of the scale around 0, and the same elsewhere.
    """
    for t in range(u.shape[0]):
        if weight[t] == 0.0:
            u[t] = 0.0
            continue
        square = weight[t] * weight[t]
        phi = abs(e[t]) * weight[t] * math.sqrt(precision[t])
        while True:
            y = normal(rng) ** 2
            r = phi + 0.5 * (y + math.sqrt(y * (y + 4.0 * phi)))
            w = 1.0 / r if uniform(rng) * (r + phi) <= r else r / (phi * phi)
            if not w * square > _MAX_RATIO:  # and so a residual that is no number does not go on for ever
                break
        u[t] = square * precision[t] * w
