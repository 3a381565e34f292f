"""Slopes of the log factor scales on regressors (eq. 3d)."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.quantities import set_multiplier
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State


@kernel
def slope_density(shift: float, args: tuple[Floats, Floats, Floats, int, float, float]) -> float:
    """Log density of a move of all slopes, which moves the log multipliers by shift * x_t."""
    energy, multiplier, x, n_factors, pull, curvature = args
    value = 0.0
    for t in range(x.shape[0]):
        m = multiplier[t] + shift * x[t]
        value -= n_factors * m + 0.5 * energy[t] * math.exp(-2.0 * m)
    return value - shift * (pull + 0.5 * curvature * shift)


@update
def draw_scale_slopes(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S14: slice update of all slopes along each of their axes in turn.

    Regressors go together (volatilities of a week, a month, a quarter), and one slope after the other would
    move in small steps. Reads ``path.energy`` (``refresh_innovations``) and ``path.multiplier``, which must
    be current and is kept so. ``path.band`` is out of date afterwards.
    """
    path, own, slopes = scratch.path, data.multiplier, state.multiplier.slopes
    n_factors = state.factors.scale.shape[0]
    prior = 1.0 / own.slope_sd**2
    for j in range(slopes.shape[0]):
        axis = own.axes[j]
        pull, curvature = 0.0, 0.0
        for w in range(slopes.shape[0]):
            pull += prior * axis[w] * slopes[w]
            curvature += prior * axis[w] * axis[w]
        args = (path.energy, path.multiplier, own.along[j], n_factors, pull, curvature)
        shift = slice_update(rng, slope_density, args, 0.0, 3.0)
        for w in range(slopes.shape[0]):
            slopes[w] += shift * axis[w]
        set_multiplier(own.x, state.multiplier, path.multiplier)
