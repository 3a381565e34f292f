"""Slice updates of one number (Neal 2003): stepping out, then shrinkage towards the current value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from bdfm.gibbs.compiling import kernel
from bdfm.gibbs.random import uniform

MAX_SHRINK: Final = 200  # proposals after which a slice is taken to have closed on its start
# What the next value of the density is for
START, _STEP_DOWN, _STEP_UP, _PROPOSE, DONE = 0, 1, 2, 3, 4


@kernel
def slice_step(
    rng: np.random.Generator,
    stage: int,
    value: float,
    x: float,
    now: float,
    width: float,
    floor: float,
    low: float,
    high: float,
    level: float,
    shrunk: int,
) -> tuple[int, float, float, float, float, int]:
    """What a slice update does with the log density ``value`` at ``x``: the next stage, x, and the rest.

    It has found its draw, ``x``, once the stage is ``DONE``. See ``slice_above``.
    """
    if stage == START:
        level += value
        stage, x = _STEP_DOWN, low
        if low <= floor:
            stage, x = _STEP_UP, high
    elif stage == _STEP_DOWN:
        if value > level:
            low -= width
            x = low
            if low <= floor:
                stage, x = _STEP_UP, high
        else:
            stage, x = _STEP_UP, high
    elif stage == _STEP_UP:
        if value > level:
            high += width
            x = high
        else:
            stage, x = _PROPOSE, low + (high - low) * uniform(rng)
    elif value >= level:
        stage = DONE
    else:
        if x < now:
            low = x
        else:
            high = x
        shrunk += 1
        if shrunk == MAX_SHRINK:
            stage, x = DONE, now
        else:
            x = low + (high - low) * uniform(rng)
    return stage, x, low, high, level, shrunk


@kernel
def slice_above(
    rng: np.random.Generator,
    density: Callable[..., float],
    args: tuple[Any, ...],
    now: float,
    width: float,
    floor: float,
) -> float:
    """Slice update of ``now`` under ``density(x, *args)``, a log density; no step goes down from ``floor``.

    Stepping out by ``width`` is valid at any width; a few standard deviations cost least. The density is
    called in one place, because it is inlined: four copies would take four times as long to compile.
    """
    level = math.log(1.0 - uniform(rng))
    low = now - width * uniform(rng)
    high = low + width
    x = now
    stage = START
    shrunk = 0
    while stage != DONE:
        value = density(x, args)
        stage, x, low, high, level, shrunk = slice_step(
            rng, stage, value, x, now, width, floor, low, high, level, shrunk
        )
    return x


@kernel
def slice_update(
    rng: np.random.Generator, density: Callable[..., float], args: tuple[Any, ...], now: float, width: float
) -> float:
    """Slice update of ``now`` under ``density(x, args)``, the log of a density on the whole line."""
    return slice_above(rng, density, args, now, width, -math.inf)


@kernel
def slice_within(
    rng: np.random.Generator,
    density: Callable[..., float],
    args: tuple[Any, ...],
    now: float,
    low: float,
    high: float,
) -> float:
    """Slice update of ``now`` between ``low`` and ``high``, outside of which the density is 0."""
    level = math.log(1.0 - uniform(rng))
    x = now
    stage = START
    shrunk = 0
    while stage != DONE:
        value = density(x, args)
        if stage == START:
            level += value
            stage, x = _PROPOSE, low + (high - low) * uniform(rng)
        else:
            stage, x, low, high, level, shrunk = slice_step(
                rng, stage, value, x, now, 0.0, -math.inf, low, high, level, shrunk
            )
    return x


@kernel
def log_scale_density(x: float, args: tuple[float, float, float]) -> float:
    """Log density a x - b exp(2 x) - c exp(-2 x) of the log of a scale."""
    a, b, c = args
    return a * x - b * math.exp(2.0 * x) - c * math.exp(-2.0 * x)


@kernel
def draw_log_scale(rng: np.random.Generator, start: float, a: float, b: float, c: float) -> float:
    """Slice update of x under the log density a x - b exp(2 x) - c exp(-2 x), with b > 0, c > 0.

    It is the conditional of the log of every scale here: of normal variables measured against it (c),
    with a half-normal prior or normal variables that it multiplies (b). It is log-concave, so that
    intervals of a few standard deviations (at the mode) give nearly independent draws; two are made.
    """
    root = math.sqrt(a * a + 16.0 * b * c)
    square = (root + a) / (4.0 * b) if a > 0.0 else 4.0 * c / (root - a)
    width = 3.0 / math.sqrt(4.0 * b * square + 4.0 * c / square)
    now = start
    for _ in range(2):
        now = slice_update(rng, log_scale_density, (a, b, c), now, width)
    return now
