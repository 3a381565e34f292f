"""Weights of minimum relative entropy under constraints on expectations (entropy pooling, Meucci 2008)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TOLERANCE: Final = 1e-10  # of a constraint, in standard deviations of its feature: where steps end
_HELD: Final = 1e-8  # beyond which a constraint does not hold
_DEPENDENT: Final = 1e-12  # share of the largest variance below which a combination of features has none
_FLAT: Final = 1e-9  # slope along features that depend on each other, above which it is none of rounding
_ROUNDING: Final = 1e-15  # of the dual's value: near the end a step gains less
_MAX_STEPS: Final = 100


@dataclass(frozen=True)
class Tilt:
    """Solution of ``minimum_relative_entropy``.

    Attributes
    ----------
    weights
        (draw,), sum to 1.
    multipliers
        (constraint,) λ in weights ∝ prior · exp(λ · features).
    relative_entropy
        Σ weights · log(weights / prior), in nats.
    feasible
        False when no weighting satisfies the constraints, or none was found; ``weights`` are then of no use.
    """

    weights: Floats
    multipliers: Floats
    relative_entropy: float
    feasible: bool


def minimum_relative_entropy(
    features: Floats, targets: Floats, prior: Floats, *, signs: Sequence[int] | None = None
) -> Tilt:
    """Weights nearest to ``prior`` in relative entropy under which features have given expectations.

    Parameters
    ----------
    features
        (constraint, draw).
    targets
        (constraint,) expected value of each feature.
    prior
        (draw,) weights that sum to 1; draws of weight zero keep it.
    signs
        (constraint,) 0 for "equal to the target", 1 for "at least", -1 for "at most"; ``None``: all equal.

    Notes
    -----
    The dual has one variable for each constraint, whatever the number of draws: λ minimises the convex
    function D(λ) = log Σ prior · exp(λ · (features - targets)), whose gradient and Hessian are the mean and
    covariance of the features under the weights. Newton's method with a projection onto the signs of the
    multipliers of inequalities (D. Bertsekas, *SIAM J. Control Optim.* 20(2), 1982) takes 5 to 20 passes
    over the draws. By weak duality no admissible weighting has a relative entropy below -D(λ); none can have
    one above -log of the smallest prior weight, so that a larger value proves that there is none.
    """
    sign = np.zeros(len(targets), dtype=int) if signs is None else np.asarray(signs, dtype=int)
    used = prior > 0
    weight = prior if used.all() else prior[used]
    g = (features if used.all() else features[:, used]) - targets[:, None]
    centre = g @ weight
    scale = np.sqrt(np.maximum((g - centre[:, None]) ** 2 @ weight, 0.0))
    constant = scale <= 1e-12 * (1 + np.abs(targets))
    held = np.where(sign == 0, np.abs(centre) <= 1e-12 * (1 + np.abs(targets)), sign * centre >= -1e-12)
    if (constant & ~held).any():
        return Tilt(prior, np.zeros(len(targets)), np.inf, feasible=False)
    active = np.flatnonzero(~constant)
    unit = np.where(sign[active] < 0, -1.0, 1.0) / scale[active]
    g = g[active] * unit[:, None]
    bounded = sign[active] != 0
    log_prior = np.log(weight)
    limit = -float(log_prior.min())

    def weigh(x: Floats) -> tuple[float, Floats]:
        exponent = log_prior + x @ g
        top = exponent.max()
        q = np.exp(exponent - top)
        total = q.sum()
        return float(top + np.log(total)), q / total

    x = np.zeros(len(active))
    value, q = weigh(x)
    for _ in range(_MAX_STEPS):
        gradient = g @ q
        free = ~bounded | (x > 0) | (gradient < 0)
        if not free.any() or np.abs(gradient[free]).max() <= _TOLERANCE:
            break
        moved = g[free] - gradient[free, None]
        hessian = (moved * q) @ moved.T
        newton, flat = _directions(hessian, gradient[free])
        direction, size, improved = np.zeros(len(x)), 1.0, False
        if np.abs(flat).max() > _FLAT:
            direction[free] = flat
            less = bounded & (direction < 0)
            size = float((x[less] / -direction[less]).min(initial=(limit + value + 1) / float(flat @ flat)))
        if np.abs(flat).max() <= _FLAT or size <= 0:
            direction[free], size = newton, 1.0
            if (bounded & (x == 0) & (direction < 0)).any():  # they would stay where they are, alone
                direction = _within_bounds(g, q, gradient, x, bounded)
        while size > 1e-12:
            trial = x + size * direction
            trial[bounded & (trial < 1e-14 * np.abs(trial).max())] = 0.0
            new_value, new_q = weigh(trial)
            if new_value <= value + 1e-4 * float(gradient @ (trial - x)) + _ROUNDING * (1 + abs(value)):
                improved = not np.array_equal(trial, x)
                x, value, q = trial, new_value, new_q
                break
            size /= 2
        if not improved or -value > limit:
            break
    weights = q
    if not used.all():
        weights = np.zeros_like(prior)
        weights[used] = q
    multipliers = np.zeros(len(targets))
    multipliers[active] = x * unit
    gap = g @ q
    held = np.where(bounded, np.minimum(gap, 0) + np.minimum(x, gap), gap)  # x · gap = 0: one of them is 0
    return Tilt(
        weights, multipliers, -value, feasible=-value <= limit and bool((np.abs(held) <= _HELD).all())
    )


def _within_bounds(g: Floats, q: Floats, gradient: Floats, x: Floats, bounded: NDArray[np.bool_]) -> Floats:
    """Step to the minimum of the dual's quadratic form over multipliers that are not negative where bounded.

    By active sets: from the bounds that hold now, one at a time is released or met. Newton's step on all that
    would move, cut off at zero, goes to and fro between bounds that depend on each other.
    """
    moved = g - gradient[:, None]
    hessian = (moved * q) @ moved.T
    step, held = np.zeros(len(x)), bounded & (x == 0)
    for _ in range(_MAX_STEPS):
        slope = gradient + hessian @ step
        free = np.flatnonzero(~held)
        more = np.zeros(len(x))
        if len(free):
            more[free] = _directions(hessian[np.ix_(free, free)], slope[free])[0]
        room = np.full(len(x), np.inf)
        less = bounded & ~held & (more < 0)
        room[less] = (x + step)[less] / -more[less]
        first = int(room.argmin())
        step = step + min(1.0, float(room[first])) * more
        if room[first] < 1:
            step[first], held[first] = -x[first], True
            continue
        slope = gradient + hessian @ step
        release = int(np.where(held, slope, np.inf).argmin())
        if not held[release] or slope[release] >= -_TOLERANCE:
            break
        held[release] = False
    return step


def _directions(hessian: Floats, gradient: Floats) -> tuple[Floats, Floats]:
    """Newton's step, and the steepest descent where the dual is linear: along rows that depend on each other.

    Equalities that say one thing twice have no slope there; two sides of a band have, until one is left.
    """
    roots, vectors = np.linalg.eigh(hessian)
    along = vectors.T @ gradient
    curved = roots > _DEPENDENT * roots[-1]
    return -(vectors[:, curved] @ (along[curved] / roots[curved])), -(vectors[:, ~curved] @ along[~curved])


def effective_number(weights: Floats) -> float:
    """Effective number of draws 1 / Σ weight² of weights (draw,) that sum to 1."""
    return float(1 / np.square(weights).sum())
