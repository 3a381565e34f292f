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
    """Log density of a slope that moves by ``shift`` from ``now``, and all log multipliers by shift * x_t."""
    energy, multiplier, x, n_factors, now, prior = args
    value = 0.0
    for t in range(x.shape[0]):
        m = multiplier[t] + shift * x[t]
        value -= n_factors * m + 0.5 * energy[t] * math.exp(-2.0 * m)
    return value - prior * (now + shift) ** 2


@update
def draw_scale_slopes(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S14: slice update of the slope on each regressor in turn.

    Reads ``path.energy`` (``refresh_innovations``) and ``path.multiplier``, which must be current and is kept
    so. ``path.band`` is out of date afterwards.
    """
    path, own, slopes = scratch.path, data.multiplier, state.multiplier.slopes
    n_factors = state.factors.scale.shape[0]
    prior = 0.5 / own.slope_sd**2
    for j in range(slopes.shape[0]):
        x = own.x[j]
        squares = 0.0
        for t in range(x.shape[0]):
            squares += x[t] * x[t]
        width = 3.0 / math.sqrt(2.0 * n_factors * squares + 2.0 * prior)
        args = (path.energy, path.multiplier, x, n_factors, slopes[j], prior)
        slopes[j] += slice_update(rng, slope_density, args, 0.0, width)
        set_multiplier(own.x, state.multiplier, path.multiplier)
