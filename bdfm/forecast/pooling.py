"""Entropy pooling of constraints: expectations, then standard deviations, then correlations.

Each stage is one problem of minimum relative entropy to the weights before all constraints, with every
statement of the stages so far in it. A standard deviation is linear in the weights once its mean is held, a
correlation once means and standard deviations are: held where the stage before left them. A bound that its
stage meets without it is not in the problem, nor is what it would hold, so that it leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bdfm.forecast.entropy import minimum_relative_entropy
from bdfm.forecast.moments import Moment, Tail
from bdfm.forecast.return_views import ReturnView
from bdfm.forecast.sample import Floats, Row, Sample
from bdfm.forecast.view import SIGN, View

STAGES: Final = (2, 3)  # after the expectations, which are the first
TOLERANCE: Final = 1e-8  # of a standard deviation relative to itself, of a correlation, of a shortfall
ROUNDING: Final = 1e-7  # of a return, by which means that depend on each other may differ
_TO_AND_FRO: Final = 1e-6
_MAX_ROUNDS: Final = 100
_MAX_SETS: Final = 100  # of bounds, tried where they contradict each other


def pooled(views: Sequence[View], sample: Sample, prior: Floats) -> Floats | None:
    """Weights (draw,) nearest to ``prior`` under which all constraints hold; None where there are none.

    The order of the views does not matter.
    """
    if not means_agree(views):
        return None
    rows = [row for v in views for row in v.rows(sample)]
    tails = [tail for v in views for tail in v.tails(sample)]
    first = _solve(rows, tails, prior)
    weights = first
    for stage in STAGES:
        if first is None or weights is None:
            return None
        if any(v.stage == stage for v in views):
            known = [v for v in views if 1 < v.stage <= stage]
            moments = [v.moment(sample, first, weights) for v in known]
            weights = _stage(rows, tails, moments, prior)
    return weights


def means_agree(views: Sequence[View]) -> bool:
    """Whether any expected returns of the assets are as all constraints on expected returns say.

    Of A = 2 % and B = 3 %, A - B = 1 % follows neither from these draws nor from others. Draws would find
    weights nevertheless, all on the few that are cut: a difference is not cut where its sides are.
    """
    said = [v for v in views if isinstance(v, ReturnView)]
    assets = sorted({a for v in said for a in v.portfolio})
    held = np.array([[v.portfolio.get(a, 0.0) for a in assets] for v in said])
    if len(said) < 2 or np.linalg.matrix_rank(held) == len(said):
        return True
    from scipy.optimize import linprog  # takes a while, and few views depend on each other

    stated, sign = np.array([v.mean for v in said]), np.array([SIGN[v.sense] for v in said])
    sides = [(sign >= 0, -1.0), (sign <= 0, 1.0)]  # not below what is stated, not above
    a = np.vstack([side * held[use] for use, side in sides])
    b = np.concatenate([side * stated[use] for use, side in sides])
    found = linprog(  # least violation, beside the expected returns
        np.r_[np.zeros(len(assets)), 1.0],
        A_ub=np.column_stack([a, -np.ones(len(a))]),
        b_ub=b,
        bounds=[(None, None)] * len(assets) + [(0, None)],
    )
    least = np.inf if found.x is None else float(found.x[-1])  # it is feasible, and bounded from below
    return least <= ROUNDING * max(1.0, float(np.abs(held).max()))


def _stage(
    rows: Sequence[Row], tails: Sequence[Tail], moments: Sequence[Moment], prior: Floats
) -> Floats | None:
    """Weights of one stage: bounds on moments enter one by one, the worst first, until none is violated."""
    always = [m for m in moments if m.row.sign == 0]
    bounds = [m for m in moments if m.row.sign != 0]
    known: dict[frozenset[int], Floats | None] = {}

    def solution(active: frozenset[int]) -> Floats | None:
        if active not in known:
            some = [*always, *(bounds[k] for k in sorted(active))]
            known[active] = _solve(_joined(rows, some), tails, prior)
        return known[active]

    def violated(weights: Floats, active: frozenset[int]) -> list[int]:
        """Bounds outside ``active`` that are violated, the worst first."""
        size = {k: m.violation(weights) for k, m in enumerate(bounds) if k not in active}
        return sorted((k for k, x in size.items() if x > TOLERANCE), key=lambda k: -size[k])

    def search(active: frozenset[int]) -> frozenset[int] | None:
        """Bounds with which all are met, from ``active`` on; back where one that entered leaves no way."""
        weights = solution(active)
        if weights is None:
            return None
        entering = violated(weights, active)
        if not entering:
            return active
        ways = (active | {k} for k in entering)
        return next((x for way in ways if len(known) < _MAX_SETS and (x := search(way)) is not None), None)

    found = search(frozenset())
    if found is None:
        return None
    for bound in sorted(found) if len(found) > 1 else ():  # one that came early may be met by those after it
        without = solution(found - {bound})
        if without is not None and not violated(without, found - {bound}):
            found = found - {bound}
    return solution(found)


def _joined(rows: Sequence[Row], moments: Sequence[Moment]) -> list[Row]:
    """One equality a subject, which stands for the bounds on the same, that it meets; else its bounds."""
    every = [*rows, *(m.row for m in moments), *(row for m in moments for row in m.held)]
    held: dict[tuple[object, ...], Row] = {}
    for row in every:
        if row.sign == 0:
            held.setdefault(row.key, row)
    return [row for row in every if row.sign != 0 and row.key not in held] + list(held.values())


def _solve(rows: Sequence[Row], tails: Sequence[Tail], prior: Floats) -> Floats | None:
    """Weights under linear rows and shortfalls.

    A shortfall that is on the wrong side gets the row at the value at risk of the weights so far, moved with
    it until the shortfall is as stated: E[a + max(-x - a, 0) / share] is flat in a there, so that few rounds
    do. A value at risk is a draw; where it goes to and fro between two, the nearer one counts.
    """
    places: list[float | None] = [None] * len(tails)
    tried: set[tuple[float | None, ...]] = set()
    tolerance = TOLERANCE
    for _ in range(_MAX_ROUNDS):
        extra = [tail.at(a) for tail, a in zip(tails, places, strict=True) if a is not None]
        weights = _tilt([*rows, *extra], prior)
        if weights is None:
            return None
        before = tuple(places)
        for k, tail in enumerate(tails):
            gap = 1 - tail.shortfall(weights) / tail.target
            off = tail.sign * gap if tail.sign else abs(gap)
            slack = (
                tail.sign < 0 and places[k] is not None and gap > tolerance
            )  # less may be needed elsewhere
            if off > tolerance or slack:
                places[k] = tail.at_risk(weights)
        if tuple(places) == before:
            return weights if all(_is_met(tail, weights) for tail in tails) else None
        if tuple(places) in tried:
            tolerance = _TO_AND_FRO
        tried.add(tuple(places))
    return None


def _is_met(tail: Tail, weights: Floats) -> bool:
    gap = 1 - tail.shortfall(weights) / tail.target
    return (tail.sign * gap if tail.sign else abs(gap)) <= _TO_AND_FRO


def _tilt(rows: Sequence[Row], prior: Floats) -> Floats | None:
    """Weights of minimum relative entropy under rows; probabilities of 0 and 1 exclude draws."""
    weights, open_rows = prior, []
    for row in rows:
        low, high = float(row.feature.min()), float(row.feature.max())
        edge = low if row.target == low else high if row.target == high else None
        if edge is None or low == high or row.sign == (1 if edge == low else -1):
            open_rows.append(row)
            continue
        # At the edge of its support an expectation leaves no choice: only draws at the edge count.
        weights = np.where(row.feature == edge, weights, 0.0)
    if weights is not prior:
        total = weights.sum()
        if not total > 0:
            return None
        weights = weights / total
    if not open_rows:
        return weights
    tilt = minimum_relative_entropy(
        np.stack([r.feature for r in open_rows]),
        np.array([r.target for r in open_rows]),
        weights,
        signs=[r.sign for r in open_rows],
    )
    return tilt.weights if tilt.feasible else None
