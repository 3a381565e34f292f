"""What the prior of the loadings has: mixing variables, slopes on characteristics and tau, and the drift."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel, update
from bdfm.gibbs.data import Data, Floats
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.quantities import left_over
from bdfm.gibbs.random import gamma_fill, normal
from bdfm.gibbs.scratch import Scratch
from bdfm.gibbs.slice import draw_log_scale
from bdfm.gibbs.state import LoadingsState, State

# Of a scale over that of its prior, the end of its support: below it, precisions are beyond what the
# elimination of blocks keeps apart.
LEAST: Final = 1e-5


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
            own.mixing[k, i] /= 0.5 * (dof + tau * left_over(own, characteristics, 0, k, i) ** 2)


@update
def draw_loading_slopes(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S6: draw the slopes of each factor's loadings on characteristics, then tau.

    A regression of the loadings of the first block, and of their changes from block to block where there are
    several, on those of the characteristics. Reads the loadings, their mixing variables and delta.
    """
    own, x = state.loadings, data.loadings.characteristics
    loadings = own.values
    n_blocks, n_factors, n_assets = loadings.shape
    a, h, change = scratch.slopes.precision, scratch.slopes.vector, scratch.slopes.change
    n_slopes = x.shape[1]
    tau = 1.0 / own.tau[0] ** 2
    step = 1.0 / own.delta[0] ** 2 if n_blocks > 1 else 0.0
    squares = 0.0
    for k in range(n_factors):
        for r in range(n_slopes):
            for m in range(r + 1):
                a[r, m] = 0.0
            a[r, r] = 1.0 / data.loadings.slope_sd**2
            h[r] = 0.0
        for b in range(n_blocks):
            for i in range(n_assets):
                weight, answer = own.mixing[k, i] * tau, loadings[b, k, i]
                for r in range(n_slopes):
                    change[r] = x[b, r, i]
                if b > 0:
                    weight = step
                    answer -= loadings[b - 1, k, i]
                    for r in range(n_slopes):
                        change[r] -= x[b - 1, r, i]
                for r in range(n_slopes):
                    c = weight * change[r]
                    if c != 0.0:
                        h[r] += c * answer
                        for m in range(r + 1):
                            a[r, m] += c * change[m]
        eliminate(a, h, 0, n_slopes)
        for r in range(n_slopes):
            h[r] += normal(rng)
        solve_transposed(a, h)
        for r in range(n_slopes):
            own.slopes[k, r] = h[r]
        for i in range(n_assets):
            squares += own.mixing[k, i] * left_over(own, x, 0, k, i) ** 2
    power = 1.0 - n_factors * n_assets
    prior = 0.5 / data.loadings.tau_sd**2
    own.tau[0] = math.exp(draw_log_scale(rng, math.log(own.tau[0]), power, prior, 0.5 * squares))


@update
def move_loading_slopes(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S45: draw the slopes again with what characteristics leave of the loadings held fixed.

    ``draw_loading_slopes`` holds the loadings fixed instead, and where the rest hardly moves from block to
    block they say nearly all of the slopes; going from one to the other mixes well in both cases (Yu and Meng
    2011, interweaving). One factor after the other: a normal regression of the residuals on the products of
    factor and characteristic. Reads u, the factors and residuals, which must be current; changes slopes and
    loadings, and keeps the residuals current.
    """
    own, x, cut, path = state.loadings, data.loadings.characteristics, data.loadings.cut, state.factors.path
    n_blocks, n_factors, n_assets = own.values.shape
    a, h, change = scratch.slopes.precision, scratch.slopes.vector, scratch.slopes.change
    n_slopes = x.shape[1]
    prior = 1.0 / data.loadings.slope_sd**2
    for k in range(n_factors):
        for r in range(n_slopes):
            for m in range(r + 1):
                a[r, m] = 0.0
            a[r, r] = prior
            h[r] = -prior * own.slopes[k, r]
        for i in range(n_assets):
            u, e = state.u[i], scratch.residuals[i]
            for b in range(n_blocks):
                information, gradient = 0.0, 0.0
                for t in range(cut[b], cut[b + 1]):
                    weighted = u[t] * path[k, t]
                    information += weighted * path[k, t]
                    gradient += weighted * e[t]
                for r in range(n_slopes):
                    c = information * x[b, r, i]
                    if c != 0.0:
                        h[r] += gradient * x[b, r, i]
                        for m in range(r + 1):
                            a[r, m] += c * x[b, m, i]
        eliminate(a, h, 0, n_slopes)
        for r in range(n_slopes):
            h[r] += normal(rng)
        solve_transposed(a, h)
        for r in range(n_slopes):
            change[r] = h[r]
            own.slopes[k, r] += change[r]
        for i in range(n_assets):
            e, seen = scratch.residuals[i], data.returns.seen[i]
            for b in range(n_blocks):
                shift = 0.0
                for r in range(n_slopes):
                    shift += change[r] * x[b, r, i]
                own.values[b, k, i] += shift
                for t in range(cut[b], cut[b + 1]):
                    e[t] -= shift * path[k, t] * seen[t]


@update
def draw_drift(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S7: draw delta, the sd of the change of a loading, or of what characteristics leave of it.

    Reads the loadings and the slopes.
    """
    own, x = state.loadings, data.loadings.characteristics
    n_blocks, n_factors, n_assets = own.values.shape
    squares = 0.0
    for b in range(1, n_blocks):
        for k in range(n_factors):
            for i in range(n_assets):
                squares += (left_over(own, x, b, k, i) - left_over(own, x, b - 1, k, i)) ** 2
    power = 1.0 - (n_blocks - 1) * n_factors * n_assets
    prior = 0.5 / data.loadings.delta_sd**2
    own.delta[0] = math.exp(draw_log_scale(rng, math.log(own.delta[0]), power, prior, 0.5 * squares))


@update
def rescale_loading_rest(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S46: draw tau with u of eq. 4c held fixed, of loadings that walk around characteristics.

    Reads u, the factors and residuals, which must be current; changes tau and the loadings of all blocks, and
    keeps the residuals current.
    """
    own = state.loadings
    own.tau[0] = _rescaled(rng, data, state, scratch, own.tau[0], data.loadings.tau_sd, True)


@update
def rescale_drift(rng: np.random.Generator, data: Data, state: State, scratch: Scratch) -> None:
    """Eq. S46: draw delta with the standardised changes of the loadings held fixed.

    ``draw_drift`` holds the loadings fixed instead, and moves delta by a small share of itself, as there are
    many changes; where the data say little of each, going from one to the other mixes far better (Yu and Meng
    2011, interweaving). Reads and changes what ``rescale_loading_rest`` does, with delta for tau.
    """
    own = state.loadings
    own.delta[0] = _rescaled(rng, data, state, scratch, own.delta[0], data.loadings.delta_sd, False)


@kernel
def _rescaled(
    rng: np.random.Generator, data: Data, state: State, scratch: Scratch, now: float, sd: float, first: bool
) -> float:
    """Draw the scale of what characteristics leave of the first block, or of its changes, and apply it.

    Both multiply normal variables and have a half-normal prior, so that the returns are linear in them: one
    normal draw, whose sign goes to the variables.
    """
    own, x, cut, path = state.loadings, data.loadings.characteristics, data.loadings.cut, state.factors.path
    n_blocks, n_factors, n_assets = own.values.shape
    part = scratch.slopes.rest
    precision = 1.0 / sd**2
    gradient = -now * precision
    for i in range(n_assets):
        u, e = state.u[i], scratch.residuals[i]
        _parts(own, x, i, first, part)
        for b in range(n_blocks):
            for t in range(cut[b], cut[b + 1]):
                slope = 0.0
                for k in range(n_factors):
                    slope += part[b, k] * path[k, t]
                slope /= now
                precision += u[t] * slope * slope
                gradient += u[t] * slope * e[t]
    new = now + (gradient + math.sqrt(precision) * normal(rng)) / precision
    if abs(new) < LEAST * sd:
        return now  # a proposal outside of the support
    more = new / now - 1.0
    for i in range(n_assets):
        e, seen = scratch.residuals[i], data.returns.seen[i]
        _parts(own, x, i, first, part)
        for b in range(n_blocks):
            for t in range(cut[b], cut[b + 1]):
                change = 0.0
                for k in range(n_factors):
                    change += part[b, k] * path[k, t]
                e[t] -= more * change * seen[t]
            for k in range(n_factors):
                own.values[b, k, i] += more * part[b, k]
    return abs(new)


@kernel
def _parts(own: LoadingsState, x: Floats, i: int, first: bool, part: Floats) -> None:
    """What the loadings of an asset in each block (B, K) have of the rest of the first one, or beyond it."""
    for k in range(part.shape[1]):
        start = left_over(own, x, 0, k, i)
        for b in range(part.shape[0]):
            part[b, k] = start if first else left_over(own, x, b, k, i) - start
