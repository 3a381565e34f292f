"""Returns of the forecast period with evidence on them (eq. 12)."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State


@kernel
def evidence_density(r: float, args: tuple[float, float, float, float]) -> float:
    """Log density of a log return given its mixing variable and what is said about the simple return."""
    mean, precision, stated, sd = args
    return -0.5 * precision * (r - mean) ** 2 - 0.5 * ((math.expm1(r) - stated) / sd) ** 2


@update
def draw_evidence(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S29: slice update of each return of the forecast period that there is evidence on.

    Such a return is data that are not known: all other updates take its value as seen. Reads u and residuals,
    which must be current, and keeps these so; changes ``State.evidence`` and the returns of the data.
    """
    own, residuals, returns = data.evidence, scratch.residuals, data.returns.values
    last = residuals.shape[1] - 1
    for r in range(own.asset.shape[0]):
        i = own.asset[r]
        now, precision, sd = state.evidence[r], state.u[i, last], own.sd[r]
        mean = now - residuals[i, last]
        # From the return stated, and not from the one now: a width must not depend on where the chain is.
        width = 3.0 / math.sqrt(precision + (1.0 + own.mean[r]) ** 2 / sd**2)
        new = slice_update(rng, evidence_density, (mean, precision, own.mean[r], sd), now, width)
        state.evidence[r] = new
        returns[i, last] = new
        residuals[i, last] = new - mean
