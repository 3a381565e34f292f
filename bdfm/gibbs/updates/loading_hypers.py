"""What the prior of the loadings has: mixing variables, slopes on characteristics and tau, or the drift."""

from __future__ import annotations

import math

import numpy as np

from bdfm.gibbs.compiling import update
from bdfm.gibbs.data import Data
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.quantities import explained
from bdfm.gibbs.random import gamma_fill, normal
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import draw_log_scale
from bdfm.gibbs.state import State


@update
def draw_loading_mixing(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S5: draw the mixing variables of Student-t loadings.

    Reads the first block of the loadings, slopes and tau.
    """
    own, characteristics, dof = state.loadings, data.loadings.characteristics, data.loadings.dof
    tau = 1.0 / own.tau[0] ** 2
    for k in range(own.mixing.shape[0]):
        gamma_fill(rng, own.mixing[k], 0.5 * (dof + 1.0))
        for i in range(own.mixing.shape[1]):
            around = explained(own.slopes, characteristics, k, i)
            own.mixing[k, i] /= 0.5 * (dof + tau * (own.values[0, k, i] - around) ** 2)


@update
def draw_loading_slopes(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S6: draw the slopes of each factor's loadings on characteristics, then tau.

    Reads the first block of the loadings and their mixing variables.
    """
    own, x = state.loadings, data.loadings.characteristics
    loadings = own.values[0]
    a, h = scratch.slopes.precision, scratch.slopes.vector
    n_slopes = x.shape[0]
    tau = 1.0 / own.tau[0] ** 2
    squares = 0.0
    for k in range(loadings.shape[0]):
        for r in range(n_slopes):
            for m in range(r + 1):
                a[r, m] = 0.0
            a[r, r] = 1.0 / data.loadings.slope_sd**2
            h[r] = 0.0
        for i in range(loadings.shape[1]):
            weight = own.mixing[k, i] * tau
            for r in range(n_slopes):
                c = weight * x[r, i]
                h[r] += c * loadings[k, i]
                for m in range(r + 1):
                    a[r, m] += c * x[m, i]
        eliminate(a, h, 0, n_slopes)
        for r in range(n_slopes):
            h[r] += normal(rng)
        solve_transposed(a, h)
        for r in range(n_slopes):
            own.slopes[k, r] = h[r]
        for i in range(loadings.shape[1]):
            squares += own.mixing[k, i] * (loadings[k, i] - explained(own.slopes, x, k, i)) ** 2
    power = 1.0 - loadings.shape[0] * loadings.shape[1]
    prior = 0.5 / data.loadings.tau_sd**2
    own.tau[0] = math.exp(draw_log_scale(rng, math.log(own.tau[0]), power, prior, 0.5 * squares))


@update
def draw_drift(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S7: draw delta, the sd of the change of a loading from block to block; reads the loadings."""
    own = state.loadings
    loadings = own.values
    n_blocks, n_factors, n_assets = loadings.shape
    squares = 0.0
    for b in range(1, n_blocks):
        for k in range(n_factors):
            for i in range(n_assets):
                squares += (loadings[b, k, i] - loadings[b - 1, k, i]) ** 2
    power = 1.0 - (n_blocks - 1) * n_factors * n_assets
    prior = 0.5 / data.loadings.delta_sd**2
    own.delta[0] = math.exp(draw_log_scale(rng, math.log(own.delta[0]), power, prior, 0.5 * squares))
