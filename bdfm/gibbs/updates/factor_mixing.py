"""Student-t factors: their degrees of freedom, and the mixing variable of each period (eq. 3f)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.quantities import set_multiplier
from bdfm.gibbs.random import gamma_fill
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import slice_update
from bdfm.gibbs.state import State

_WIDTH: Final = 1.0  # first interval of the slice of log nu


@kernel
def factor_nu_density(log_nu: float, args: tuple[Floats, int, float, float]) -> float:
    """Log density of log nu given the squared innovations of each period, mixing variables integrated out."""
    squares, n_factors, shape, rate = args
    nu = math.exp(log_nu)
    half = 0.5 * (nu + n_factors)
    norm = math.lgamma(half) - math.lgamma(0.5 * nu) - 0.5 * n_factors * log_nu
    value: float = shape * log_nu - rate * nu + squares.shape[0] * norm
    for t in range(squares.shape[0]):
        value -= half * math.log1p(squares[t] / nu)
    return value


@update
def draw_factor_mixing(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S30: draw nu with the mixing variables integrated out, and then these.

    Reads ``path.energy`` (``refresh_innovations``) and ``path.multiplier``, which must be current and is kept
    so; changes nu and the mixing variables. ``path.band`` is out of date afterwards.
    """
    own, path, prior = state.multiplier, scratch.path, data.factor_noise
    squares = path.product
    n_factors, n_periods = state.factors.path.shape
    for t in range(n_periods):
        # in units of the scale without the mixing variable, which the multiplier holds
        squares[t] = path.energy[t] * math.exp(-2.0 * path.multiplier[t]) / own.mixing[t]
    args = (squares, n_factors, prior.nu_shape, prior.nu_rate)
    nu = math.exp(slice_update(rng, factor_nu_density, args, math.log(own.nu[0]), _WIDTH))
    own.nu[0] = nu
    gamma_fill(rng, own.mixing, 0.5 * (nu + n_factors))
    for t in range(n_periods):
        own.mixing[t] *= 2.0 / (nu + squares[t])
    set_multiplier(data.multiplier.x, own, path.multiplier)
