"""Persistence and shocks of log volatilities whose paths are integrated out, given parts of the mixture.

The states of a path are a chain, so that each has to wait for the one before it. But paths of different
assets do not wait for each other: they stand beside each other in ``LANES`` lanes, and each step is made for
all lanes by vector instructions, some ten times as fast as one path after the other.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.data import Floats
from bdfm.gibbs.random import normal, uniform
from bdfm.gibbs.scratch import LaneScratch
from bdfm.gibbs.slice import DONE, START, slice_step

# Steps of logit phi and of log sd along a direction: near their posterior's sd over some years of days
_STEP_PHI: Final = 0.6
_STEP_SD: Final = 0.35
_WIDTH: Final = 3.0
_RUN: Final = 32  # pivots that are multiplied before a logarithm is taken


@kernel
def marginal_values(own: LaneScratch, width: int, information: Floats, pull: Floats) -> None:
    """Log densities of the first ``width`` paths at ``own.logit_phi`` and ``own.log_sd``, into ``own.value``.

    The states are integrated out, and no prior is in it. ``information`` and ``pull`` (T, LANES) hold what
    the returns say of each state, precision and precision times mean, 0 where there is no return. The states'
    precision times sd^2 is tridiagonal; it is eliminated from the first state to the last.
    """
    phi, square, inner, inverse = own.phi, own.square, own.inner, own.inverse
    linear, quadratic, product, value = own.linear, own.quadratic, own.product, own.value
    n = information.shape[0]
    for j in range(width):
        phi[j] = 1.0 / (1.0 + math.exp(-own.logit_phi[j]))
        rest = (1.0 + phi[j]) / (1.0 + math.exp(own.logit_phi[j]))  # 1 - phi^2
        square[j] = math.exp(2.0 * own.log_sd[j])
        inner[j] = 1.0 + phi[j] * phi[j]
        value[j] = 0.5 * math.log(rest)
        product[j] = (1.0 if n > 1 else rest) + square[j] * information[0, j]
        inverse[j] = 1.0 / product[j]
        linear[j] = pull[0, j]
        quadratic[j] = linear[j] * linear[j] * inverse[j]
    for t in range(1, n):
        if t + 1 == n:
            for j in range(width):
                inner[j] = 1.0
        said, pulled = information[t], pull[t]
        for j in range(width):
            share = phi[j] * inverse[j]
            pivot = inner[j] + square[j] * said[j] - phi[j] * share
            inverse[j] = 1.0 / pivot
            linear[j] = pulled[j] + share * linear[j]
            quadratic[j] += linear[j] * linear[j] * inverse[j]
            product[j] *= pivot
        if t % _RUN == 0:
            for j in range(width):
                value[j] -= 0.5 * math.log(product[j])
                product[j] = 1.0
    for j in range(width):
        value[j] += 0.5 * (square[j] * quadratic[j] - math.log(product[j]))


@kernel
def draw_coefficients(
    rng: np.random.Generator, own: LaneScratch, width: int, information: Floats, pull: Floats
) -> None:
    """Slice updates of (logit phi, log sd) of each lane along a direction of its own, paths integrated out.

    All lanes step together, until the last has its value. ``own.mu`` and ``own.sigma`` (2, LANES) hold the
    normal prior of each; ``own.now`` (2, LANES) is changed.
    """
    for j in range(width):
        angle = 2.0 * math.pi * uniform(rng)
        own.step[0, j], own.step[1, j] = _STEP_PHI * math.cos(angle), _STEP_SD * math.sin(angle)
        own.low[j] = -_WIDTH * uniform(rng)
        own.high[j] = own.low[j] + _WIDTH
        own.level[j] = math.log(1.0 - uniform(rng))
        own.x[j], own.stage[j], own.shrunk[j] = 0.0, START, 0
    left = width
    while left > 0:
        for j in range(width):
            own.logit_phi[j] = own.now[0, j] + own.x[j] * own.step[0, j]
            own.log_sd[j] = own.now[1, j] + own.x[j] * own.step[1, j]
        marginal_values(own, width, information, pull)
        left = 0
        for j in range(width):
            if own.stage[j] == DONE:
                continue
            z_phi = (own.logit_phi[j] - own.mu[0, j]) / own.sigma[0, j]
            z_sd = (own.log_sd[j] - own.mu[1, j]) / own.sigma[1, j]
            value = own.value[j] - 0.5 * (z_phi * z_phi + z_sd * z_sd)
            own.stage[j], own.x[j], own.low[j], own.high[j], own.level[j], own.shrunk[j] = slice_step(
                rng, own.stage[j], value, own.x[j], 0.0, _WIDTH, -math.inf,
                own.low[j], own.high[j], own.level[j], own.shrunk[j],
            )  # fmt: skip
            if own.stage[j] != DONE:
                left += 1
    for j in range(width):
        for row in range(2):
            own.now[row, j] += own.x[j] * own.step[row, j]


@kernel
def draw_paths(
    rng: np.random.Generator,
    own: LaneScratch,
    width: int,
    information: Floats,
    pull: Floats,
    paths: Floats,
) -> None:
    """Draw the path of each lane given ``own.now`` and parts of the mixture, into ``paths`` (T, LANES)."""
    phi, square, inner, inverse, linear = own.phi, own.square, own.inner, own.inverse, own.linear
    noise, n = own.noise, information.shape[0]
    for j in range(width):
        phi[j] = 1.0 / (1.0 + math.exp(-own.now[0, j]))
        square[j] = math.exp(2.0 * own.now[1, j])
        inner[j] = 1.0 + phi[j] * phi[j]
        first = 1.0 if n > 1 else (1.0 + phi[j]) / (1.0 + math.exp(own.now[0, j]))
        inverse[j] = 1.0 / (first + square[j] * information[0, j])
        linear[j] = pull[0, j]
        own.inverses[0, j] = inverse[j]
        own.linears[0, j] = linear[j]
    for t in range(1, n):
        if t + 1 == n:
            for j in range(width):
                inner[j] = 1.0
        said, pulled, inverses, linears = information[t], pull[t], own.inverses[t], own.linears[t]
        for j in range(width):
            share = phi[j] * inverse[j]
            inverse[j] = 1.0 / (inner[j] + square[j] * said[j] - phi[j] * share)
            linear[j] = pulled[j] + share * linear[j]
            inverses[j] = inverse[j]
            linears[j] = linear[j]
    for j in range(width):
        linear[j] = 0.0  # what the state after it adds
    for t in range(n - 1, -1, -1):
        for j in range(width):
            noise[j] = normal(rng)
        path, inverses, linears = paths[t], own.inverses[t], own.linears[t]
        for j in range(width):
            spread = math.sqrt(square[j] * inverses[j])
            path[j] = inverses[j] * (square[j] * linears[j] + linear[j]) + spread * noise[j]
            linear[j] = phi[j] * path[j]
