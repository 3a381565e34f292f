"""The best weights under a mandate, what binds and what it costs, and which limits conflict.

Written in cvxpy directly, and not by skfolio's optimisers, which know neither utility over draws nor the
square-root cost of trading, and tell neither dual values nor conflicts. The draws' weights count in all.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bdfm._optional import optional
from bdfm.errors import DataError
from bdfm.portfolio.choices import OBJECTIVES
from bdfm.portfolio.terms import Limit, Terms, percent

Floats = NDArray[np.float64]

_TOLERANCE: Final = 1e-10  # of the solver
_KEPT: Final = 1e-6  # by how much a limit may be missed
_FELT: Final = 1e-7  # least price, per 1 %, that is told
_PART: Final = 1e-5  # of the money: risk parity holds at least so much of each asset


@dataclass(frozen=True)
class Problem:
    """Terms with what the draws say, and the aim as a number.

    Attributes
    ----------
    draws, p
        (draw, asset) returns over the span and their weights (draw,).
    mean, covariance
        (asset,) and (asset, asset), of all draws of the forecast.
    """

    terms: Terms
    draws: Floats
    p: Floats
    mean: Floats
    covariance: Floats

    @cached_property
    def sd(self) -> Floats:
        """Standard deviation (asset,) over the span."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def root(self) -> Floats:
        """Rows whose squares sum to a variance: covariance = rootᵀ root."""
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(np.sqrt(np.maximum(values, 0))[:, None] * vectors.T)

    def returns(self, weights: Floats) -> Floats:
        """Return of the book (draw,), net of costs, eq. B1."""
        cash = (1 - weights.sum()) * self.terms.cash_return
        return np.asarray(self.draws @ weights + cash - self.terms.costs(weights, self.sd).sum())

    def value(self, weights: Floats) -> float:
        """What the mandate maximises, in units of return over the span; NaN for risk parity."""
        m, own = self.terms.mandate, self.returns(weights)
        cost = float(self.terms.costs(weights, self.sd).sum())
        if m.objective == "mean_cvar":
            cash = (1 - weights.sum()) * self.terms.cash_return
            mean = float(self.mean @ weights) + cash - cost
            return float(mean - m.risk_aversion * shortfall(-own, self.p, m.level))
        if m.objective == "minimum_variance":
            return -float(m.risk_aversion / 2 * weights @ self.covariance @ weights + cost)
        if m.objective == "minimum_regret":
            return -shortfall(self.benchmark_returns - own, self.p, m.level)
        if m.objective == "expected_utility":
            if (own <= -1).any():
                return -1.0
            g = m.risk_aversion
            if abs(g - 1) < 1e-9:
                return float(np.expm1(self.p @ np.log1p(own)))
            return float((self.p @ (1 + own) ** (1 - g)) ** (1 / (1 - g)) - 1)
        return float("nan")

    @property
    def benchmark_returns(self) -> Floats:
        """Return of the benchmark (draw,), what is missing to 1 in cash."""
        b = self.terms.benchmark
        return np.asarray(self.draws @ b + (1 - b.sum()) * self.terms.cash_return)

    def told_per(self, weights: Floats) -> float:
        """What one unit of the aim is of what ``OBJECTIVES`` calls it."""
        m = self.terms.mandate
        if m.objective == "minimum_variance":
            volatility = float(np.sqrt(weights @ self.covariance @ weights))
            return 1 / (m.risk_aversion * volatility) if volatility > 0 else 0.0
        if m.objective == "expected_utility":  # of certainty equivalent: the inverse of marginal utility
            return float((1 + self.value(weights)) ** m.risk_aversion)
        return 1.0


def shortfall(losses: Floats, p: Floats, level: float) -> float:
    """Expected shortfall: the weighted mean of the largest ``1 - level`` of losses (draw,)."""
    order = np.argsort(-losses)
    rest = np.minimum(np.cumsum(p[order]), 1 - level)
    return float(np.diff(rest, prepend=0.0) @ losses[order] / (1 - level))


@dataclass(frozen=True)
class Solution:
    """Weights (asset,), and by limit the prices (row,) of 1 more room, in units of the aim."""

    weights: Floats
    prices: tuple[Floats, ...]


def solve(problem: Problem, limits: Sequence[Limit]) -> Solution:
    """Best weights under the limits; raises ``DataError`` where there are none."""
    cp = _cvxpy()
    terms = problem.terms
    if told := conflict(problem, limits):
        raise DataError(told)
    n, m = len(terms.assets), terms.mandate
    w: Any = cp.Variable(n)
    kappa: Any = 1.0
    if m.objective == "risk_parity":
        # Eq. B9 is homogeneous: limits are put to y = κ w, and κ is found with it.
        kappa = cp.Variable(pos=True)
    constraints = [_constraint(problem, limit, w, kappa) for limit in limits]
    for cones in (True, False):  # one form fails the solver where the other does not, rarely
        aim, scale, inside = _aim(cp, problem, w, cones)
        status = _solve(cp.Problem(cp.Minimize(aim), [*constraints, *inside]))
        if status in ("optimal", "unbounded"):
            break
    if "unbounded" in status:
        raise DataError(
            "mandate: nothing bounds the book: more is always better. Give gross or max_weight, or a larger"
            " risk_aversion."
        )
    if w.value is None:
        raise DataError(f"mandate: the solver found no weights ({status}).")
    size = 1.0 if m.objective != "risk_parity" else float(kappa.value)
    found = np.asarray(w.value, dtype=np.float64) / size
    missed = [x.words for x in limits if violation(problem, x, found) > 100 * _KEPT]
    if missed:
        raise DataError(
            f"mandate: the solver did not keep {missed[0]} ({status}). Loosen the limits a little."
        )
    prices = tuple(np.atleast_1d(np.asarray(c.dual_value, dtype=np.float64)) / scale for c in constraints)
    return Solution(found, prices)


def _cvxpy() -> Any:
    return optional("cvxpy", what="mandate", instead="or decide with --method equal.")


def _solve(problem: Any) -> str:
    """Solve as exactly as can be; returns what the solver says."""
    exact = {"tol_gap_abs": _TOLERANCE, "tol_gap_rel": _TOLERANCE, "tol_feas": _TOLERANCE}
    for options in (exact, {}):
        try:
            with warnings.catch_warnings():  # an inaccurate solution is solved for again, and then looked at
                warnings.simplefilter("ignore")
                problem.solve(solver="CLARABEL", **options)
        except MemoryError:
            raise
        except Exception as error:  # cvxpy's error is of a package that may not be there
            status = str(error).splitlines()[0]
        else:
            status = str(problem.status)
            if status in ("optimal", "infeasible", "unbounded"):
                break
    return status


def _cost(cp: Any, problem: Problem, w: Any, cones: bool) -> tuple[Any, list[Any]]:
    """Cost of trading, eq. B2, as one variable, which keeps the rows of the draws short, and its bounds."""
    terms = problem.terms
    impact = terms.impact(problem.sd)
    if not terms.cost.any() and not impact.any():
        return 0.0, []
    size, cost = cp.Variable(len(terms.assets)), cp.Variable()
    total = terms.cost @ size
    if impact.any():
        total = total + impact @ cp.power(size, 1.5, approx=not cones)
    return cost, [cost >= total, size >= w - terms.held, size >= terms.held - w]


def _aim(cp: Any, problem: Problem, w: Any, cones: bool) -> tuple[Any, float, list[Any]]:
    """What is minimised, eq. B8, in units in which it curves by about 1; these units; and its own bounds.

    ``cones``: whether |trade|^1.5 is written by power cones, or by second-order cones, which is as exact.
    """
    terms = problem.terms
    m, rate = terms.mandate, terms.cash_return
    free = np.flatnonzero(~terms.fixed)
    cost, inside = _cost(cp, problem, w, cones)
    cash = (1 - cp.sum(w)) * rate
    own = problem.draws @ w + cash - cost
    variance = float(np.mean(np.square(problem.sd[free]))) or 1.0
    if m.objective == "risk_parity":
        pull = cp.sum_squares(problem.root @ w) / (2 * variance)
        return pull - cp.sum(cp.log(w[free])) / len(free), 1.0, []
    if m.objective == "minimum_variance":
        scale = 2 / (m.risk_aversion * variance)
        return scale * (m.risk_aversion / 2 * cp.sum_squares(problem.root @ w) + cost), scale, inside
    if m.objective == "expected_utility":
        scale, g = 1 / ((m.risk_aversion or 1.0) * variance), m.risk_aversion
        if abs(g - 1) < 1e-9:
            utility = cp.log(1 + own)
        elif g == 0:
            utility = own
        else:
            utility = (cp.power(1 + own, 1 - g, approx=False) - 1) / (1 - g)
        return -scale * (problem.p @ utility), scale, inside
    scale, at_risk = 1 / float(np.sqrt(variance)), cp.Variable()

    def tail(losses: Any) -> Any:
        return at_risk + problem.p @ cp.pos(losses - at_risk) / (1 - m.level)

    if m.objective == "minimum_regret":
        return scale * tail(problem.benchmark_returns - own), scale, inside
    mean = problem.mean @ w + cash - cost
    return scale * (m.risk_aversion * tail(-own) - mean), scale, inside


def _side(problem: Problem, limit: Limit, w: Any, kappa: Any) -> Any:
    """Left side of a limit on weights κ w."""
    cp = _cvxpy()
    terms = problem.terms
    if limit.of == "weights":
        return limit.rows @ w
    if limit.of == "absolute":
        return limit.rows @ cp.abs(w)
    if limit.of == "trades":
        return limit.rows @ cp.abs(w - kappa * terms.held)
    return cp.reshape(cp.norm(problem.root @ (w - kappa * terms.benchmark)), (1,), order="F")


def _constraint(problem: Problem, limit: Limit, w: Any, kappa: Any) -> Any:
    left, right = _side(problem, limit, w, kappa), limit.bound * kappa
    return left <= right if limit.sense == "<=" else left >= right if limit.sense == ">=" else left == right


def violation(problem: Problem, limit: Limit, weights: Floats) -> float:
    """By how much weights miss a limit, 0 where they keep it; negative is never told."""
    return float(np.max(np.maximum(_beyond(problem, limit, weights), 0), initial=0.0))


def _beyond(problem: Problem, limit: Limit, weights: Floats) -> Floats:
    """Left side less right side (row,), as a limit of the kind "at most"; absolute where it is exact."""
    terms = problem.terms
    if limit.of == "active":
        left = np.atleast_1d(np.linalg.norm(problem.root @ (weights - terms.benchmark)))
    else:
        trade = np.abs(weights - terms.held)
        left = limit.rows @ {"weights": weights, "absolute": np.abs(weights), "trades": trade}[limit.of]
    gap = np.asarray(left - limit.bound, dtype=np.float64)
    return gap if limit.sense == "<=" else -gap if limit.sense == ">=" else np.abs(gap)


def binding(problem: Problem, limits: Sequence[Limit], solution: Solution) -> list[dict[str, Any]]:
    """Limits that bind: their words, what 1 % more room is worth, and that in words."""
    m = problem.terms.mandate
    title, per = OBJECTIVES[m.objective][1], problem.told_per(solution.weights)
    rows = []
    for limit, prices in zip(limits, solution.prices, strict=True):
        at = _beyond(problem, limit, solution.weights) > -_KEPT
        if m.objective == "risk_parity":
            if at.any() and limit.sense != "==":
                rows.append({"limit": limit.words, "price": float("nan"), "text": f"{limit.words}: binds."})
            continue
        # 1 more of the number in the words moves every row's bound by 1 / step.
        price = float(np.sum(np.abs(prices) if limit.sense != "==" else prices)) * per / abs(limit.step)
        if not at.any() or abs(price) * 0.01 < _FELT or np.isnan(limit.value):
            continue
        whom = ""
        if limit.bound.size > 1:
            names = _names(problem.terms, limit, at)
            whom = f", for {names}"
        if limit.sense == "==":
            way = "more" if price * limit.step > 0 else "less"
            gain = f"1 % {way} is worth {_small(price)} of {title}"
        else:
            gain = f"it costs {_small(price)} of {title} per 1 %"
        rows.append({"limit": limit.words, "price": abs(price), "text": f"{limit.words}{whom}: {gain}."})
    return sorted(rows, key=lambda r: -(r["price"] if r["price"] == r["price"] else 0.0))


def _small(price: float) -> str:
    """What 1 % is worth."""
    return f"{abs(price):.2g} %"


def _names(terms: Terms, limit: Limit, at: NDArray[np.bool_]) -> str:
    columns = [int(np.argmax(limit.rows[[k]].toarray())) for k in np.flatnonzero(at)]
    shown = [terms.assets[j] for j in columns[:3]]
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    return ", ".join(shown) + more


# -- conflicts ---------------------------------------------------------------------------------------------


def conflict(problem: Problem, limits: Sequence[Limit]) -> str:
    """Sentence about a smallest set of limits that no portfolio keeps together; blank where all can be kept.

    A deletion filter: each limit is left out for good where the rest still conflicts, so that of what remains
    every one is needed. It is run from both ends, and the smaller set is told.
    """
    terms = problem.terms
    every = list(limits)
    if terms.mandate.objective == "risk_parity":
        least = [x for x in every if x.words == "no short positions"]
        every += [
            Limit("each asset held, by risk parity", "weights", x.rows, x.bound + _PART, ">=", "", np.nan)
            for x in least
        ]
    if _distance(problem, every) <= _KEPT:
        return ""
    sets = [_filtered(problem, order) for order in (every, every[::-1])]
    few = min(sets, key=len)
    few = [x for x in every if any(x is y for y in few)]
    words = "; ".join(x.words for x in few)
    ways = [w for x in few if (w := _way_out(problem, few, x))]
    together = "keeps these limits together" if len(few) > 1 else "keeps this limit"
    advice = f" To keep the others, one would have to be: {'; '.join(ways)}." if ways else ""
    return f"mandate: no portfolio {together}: {words}.{advice}"


def _filtered(problem: Problem, limits: list[Limit]) -> list[Limit]:
    kept = list(limits)
    for limit in limits:
        rest = [x for x in kept if x is not limit]
        if _distance(problem, rest) > _KEPT:
            kept = rest
    return kept


def _distance(problem: Problem, limits: Sequence[Limit], only: Limit | None = None) -> float:
    """Least amount by which limits, or ``only`` that one while others are kept, have to be missed."""
    cp = _cvxpy()
    w, slack = cp.Variable(len(problem.terms.assets)), cp.Variable(nonneg=True)
    constraints = []
    for limit in limits:
        room = slack if only is None or limit is only else 0.0
        left = _side(problem, limit, w, 1.0)
        if limit.sense != ">=":
            constraints.append(left <= limit.bound + room)
        if limit.sense != "<=":
            constraints.append(left >= limit.bound - room)
    status = _solve(cp.Problem(cp.Minimize(slack), constraints))
    return float(slack.value) if status.startswith("optimal") else float("inf")


def _way_out(problem: Problem, few: Sequence[Limit], limit: Limit) -> str:
    """What a limit would have to be for the others to be kept; blank where it has no number."""
    if np.isnan(limit.value):
        return ""
    ways = []
    sides: tuple[tuple[int, Literal["<=", ">="]], ...] = ((1, "<="), (-1, ">="))
    for sign, sense in sides:  # an exact number has both
        if limit.sense not in (sense, "=="):
            continue
        one = replace(limit, sense=sense)
        room = _distance(problem, [*(x for x in few if x is not limit), one], one)
        ways.append((room, limit.value + sign * limit.step * room))
    moved = [(room, value) for room, value in ways if np.isfinite(room) and room > _KEPT]
    if not moved:
        return ""
    room, value = min(moved)
    rounded = np.ceil(1e4 * value - 1e-3) if value > limit.value else np.floor(1e4 * value + 1e-3)
    return limit.ask.format(percent(float(rounded) / 1e4))
