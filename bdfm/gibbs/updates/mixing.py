"""Mixing variables of the returns (eq. 6 as a mixture of normal densities)."""

from __future__ import annotations

import numpy as np

from bdfm.gibbs.compiling import update
from bdfm.gibbs.data import Data
from bdfm.gibbs.random import gamma_fill
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.state import State


@update
def draw_mixing(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S1: draw u, the precision of each return given its mixing variable; 0 where missing.

    The kernel of the t density to the power of a weight, (1 + e^2 / (nu sigma^2))^-a, is a mixture over
    u ~ Gamma(a, rate (nu sigma^2 + e^2) / 2) of exp(-u e^2 / 2). There is no factor sqrt(u), so that normal
    updates of the mean take u as precision, and u is drawn from that gamma. With normal noise u is the
    weighted precision itself.

    Reads residuals, ``noise.precision`` and nu, which must be current; changes u.
    """
    returns, precision = data.returns, scratch.noise.precision
    bounds, run_weight = returns.run_bounds, returns.run_weight
    n_periods = precision.shape[1]
    for i in range(precision.shape[0]):
        u, e = state.u[i], scratch.residuals[i]
        if data.noise.student:
            nu = state.noise.nu[i]
            for c in range(run_weight.shape[0]):
                gamma_fill(rng, u[bounds[c] : bounds[c + 1]], 0.5 * run_weight[c] * (nu + 1.0))
            for t in range(n_periods):
                p = precision[i, t]
                u[t] *= 2.0 * p * returns.seen[i, t] / (nu + e[t] ** 2 * p)
        else:
            for t in range(n_periods):
                u[t] = returns.weight[i, t] * precision[i, t]
