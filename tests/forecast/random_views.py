"""Random sets of constraint views, and an independent solution of them: the convex programs of docs/model.md.

The oracle knows nothing of the package's solver. It builds each stage's program from the statements, as the
document has them, and gives it to an interior point solver on the weights themselves (the primal).
"""

from __future__ import annotations

import functools
import itertools
import warnings

import cvxpy as cp
import numpy as np
from scipy import optimize

from bdfm import views as v
from bdfm.forecast.sample import Sample

SYMBOLS = ("A", "B", "C", "D", "E", "F")
SENSES = ("equal", "at_least", "at_most")
SIGN = {"equal": 0, "at_least": 1, "at_most": -1}


def draws(n, rng):
    """Returns (draw, asset) with common factors, skewed and heavy-tailed."""
    factors = rng.standard_t(6, (n, 2)) * [0.04, 0.02]
    own = rng.gamma(2.0, 0.02, (n, 6)) - 0.04
    loadings = rng.normal(0.8, 0.6, (2, 6))
    return np.maximum(0.004 + factors @ loadings + own, -0.95).astype(np.float32)


def moments(x, w):
    mean = w @ x
    return mean, np.sqrt(w @ (x - mean) ** 2)


def random_views(sample, weights, rng, reach=0.35):
    """Three to six views about different things, in reach of the draws or just out of it."""
    found = []
    pick = lambda k: [str(s) for s in rng.choice(SYMBOLS, k, replace=False)]  # noqa: E731
    kinds = rng.choice(
        ["absolute", "spread", "relative", "volatility", "times", "correlation", "ordering", "quantile"],
        rng.integers(3, 7),
    )
    for kind in kinds:
        sense, push = str(rng.choice(SENSES)), rng.normal(0, reach)
        common = {"sense": sense, "semantics": "constraint"}
        one, two = pick(2)
        x, y = sample.cut({one: 1.0}), sample.cut({two: 1.0})
        (mean, sd), (mean_y, sd_y) = moments(x, weights), moments(y, weights)
        if kind == "absolute":
            view = v.Absolute(asset=one, mean=mean + push * sd, **common)
        elif kind == "spread":
            factor = float(np.exp(rng.normal(0, 0.25)))
            view = v.Absolute(asset=one, mean=mean + push * sd, sd=sd * factor, **common)
        elif kind == "relative":
            mean, sd = moments(x - y, weights)
            view = v.Relative(asset=one, over=two, mean=mean + push * sd, **common)
        elif kind == "volatility":
            view = v.Volatility(asset=one, sd=sd * float(np.exp(rng.normal(0, 0.25))), **common)
        elif kind == "times":
            view = v.Volatility(asset=one, times=float(np.exp(rng.normal(0, 0.25))), **common)
        elif kind == "correlation":
            now = float(weights @ ((x - mean) * (y - mean_y))) / (sd * sd_y)
            to = float(np.tanh(np.arctanh(now) + push))
            view = v.Correlation(asset=one, other=two, correlation=to, **common)
        elif kind == "ordering":
            p = float(np.clip(weights @ sample.above(one, two) + 0.3 * push, 0.02, 0.98))
            view = v.Ordering(above=one, below=two, probability=p, **common)
        else:
            k = int(rng.integers(1, 6))
            p = float(np.clip(weights @ sample.share_of_quantile(one, k, 5) * np.exp(push), 0.01, 0.9))
            view = v.Quantile(asset=one, quantile=k, probability=p, **common)
        taken = {s for other in found for s in other.subjects}
        if not taken & set(view.subjects):
            found.append(view)
    return found


def statement_gap(view, sample, weights):
    """Stated minus what weights say, for each number of a view; measured anew, not by the view."""
    if isinstance(view, (v.Absolute, v.Relative)):
        names = {view.asset: 1.0} | ({view.over: -1.0} if isinstance(view, v.Relative) else {})
        mean, sd = moments(sample.cut(names), weights)
        gaps = [(SIGN[view.sense], view.mean - mean)]
        return gaps if view.sd is None else [*gaps, (0, view.sd - sd)]
    if isinstance(view, v.Volatility):
        return [(SIGN[view.sense], view.sd - moments(sample.cut({view.asset: 1.0}), weights)[1])]
    if isinstance(view, v.Correlation):
        x, y = sample.cut({view.asset: 1.0}), sample.cut({view.other: 1.0})
        (a, s), (b, t) = moments(x, weights), moments(y, weights)
        return [(SIGN[view.sense], view.correlation - weights @ ((x - a) * (y - b)) / (s * t))]
    event = (
        sample.above(view.above, view.below)
        if isinstance(view, v.Ordering)
        else sample.share_of_quantile(view.asset, view.quantile, view.n_quantiles)
    )
    return [(SIGN[view.sense], view.probability - weights @ event)]


def without_times(views, sample, first):
    """Views with "times what it was" as a number, what it was under ``first``."""
    return [
        x
        if not isinstance(x, v.Volatility) or x.times is None
        else x.model_copy(
            update={"sd": x.times * moments(sample.cut({x.asset: 1.0}), first)[1], "times": None}
        )
        for x in views
    ]


class NoProgress(Exception):
    """The interior point method found neither a solution nor a proof that there is none."""


def program(prior, conditions):
    """Primal: least relative entropy under (feature, sign, target); None where there is no solution."""
    units = [feature.std() or 1.0 for feature, _, _ in conditions]
    gaps = [prior * (f - target) / unit for (f, _, target), unit in zip(conditions, units, strict=True)]
    z = cp.Variable(len(prior))  # weights over the prior's, which solvers like better
    limits = [
        gap @ z == 0 if sign == 0 else sign * (gap @ z) >= 0
        for gap, (_, sign, _) in zip(gaps, conditions, strict=True)
    ]
    problem = cp.Problem(cp.Minimize(prior @ -cp.entr(z)), [prior @ z == 1, *limits])
    for tolerance in (1e-11, 1e-9):
        sharp = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), tolerance)
        try:
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                problem.solve(solver="CLARABEL", **sharp)
        except cp.SolverError:
            continue
        if problem.status == "infeasible":
            return None
        if problem.status == "optimal":
            return _weights(prior, z.value)
    raise NoProgress


def certified(weights, prior, conditions, tolerance=1e-6):
    """Whether weights meet the conditions of Karush, Kuhn and Tucker, which prove them optimal.

    Feasible; log(weights / prior) a constant plus multipliers times features; multipliers of bounds of the
    right sign, and zero where the bound is slack.
    """
    features, held = [np.ones(len(prior))], [True]
    for feature, sign, target in conditions:
        unit = feature.std() or 1.0
        gap = (weights @ feature - target) / unit
        if (abs(gap) if sign == 0 else -sign * gap) > tolerance:
            return False
        if sign == 0 or abs(gap) <= tolerance:
            features.append((sign or 1) * (feature - target) / unit)
            held.append(sign == 0)
    signs = np.where(held, -np.inf, 0.0)
    root = np.sqrt(weights)  # draws of hardly any weight have hardly any say
    found = optimize.lsq_linear(
        np.stack(features, 1) * root[:, None],
        np.log(weights / prior) * root,
        bounds=(signs, np.inf),
        method="bvls",  # two rows that hold the same thing are collinear, which the other method cannot bear
        tol=1e-14,
    )
    return float(np.abs(found.fun).max()) < tolerance


def _weights(prior, z):
    weights = prior * np.maximum(z, 0)
    return weights / weights.sum()


def conditions_of(view, sample, stage, reference):
    """What a view says in a stage, and what it holds."""
    sign = SIGN[view.sense]
    if isinstance(view, (v.Absolute, v.Relative)):
        names = {view.asset: 1.0} | ({view.over: -1.0} if isinstance(view, v.Relative) else {})
        x = sample.cut(names)
        said = [(x, sign, view.mean)]
        if view.sd is not None and stage >= 2:
            mean, _ = moments(x, reference)
            said += [(x, 0, mean), ((x - mean) ** 2, 0, view.sd**2)]
        return said
    if isinstance(view, v.Volatility):
        x = sample.cut({view.asset: 1.0})
        mean, _ = moments(x, reference)
        return [(x, 0, mean), ((x - mean) ** 2, sign, view.sd**2)]
    if isinstance(view, v.Correlation):
        x, y = sample.cut({view.asset: 1.0}), sample.cut({view.other: 1.0})
        (a, s), (b, t) = moments(x, reference), moments(y, reference)
        held = [(x, 0, a), (y, 0, b), ((x - a) ** 2, 0, s**2), ((y - b) ** 2, 0, t**2)]
        return [*held, ((x - a) * (y - b), sign, view.correlation * s * t)]
    event = (
        sample.above(view.above, view.below)
        if isinstance(view, v.Ordering)
        else sample.share_of_quantile(view.asset, view.quantile, view.n_quantiles)
    )
    return [(event, sign, view.probability)]


def in_stage(view, stage):
    if isinstance(view, v.Volatility):
        return stage >= 2
    return stage >= 3 if isinstance(view, v.Correlation) else True


def is_bound(view):
    """Whether it is a bound on a moment, which is in the problem only where its stage would violate it."""
    return isinstance(view, (v.Volatility, v.Correlation)) and view.sense != "equal"


def holds(view, sample, weights, tolerance=1e-7):
    """Whether weights meet all that a view states."""
    gaps = statement_gap(view, sample, weights)
    return all((abs(gap) if sign == 0 else sign * gap) <= tolerance for sign, gap in gaps)


def some_certificate(weights, views, sample, prior, stage, reference):
    """Whether weights meet all statements of a stage, and are optimal with some of the bounds in it."""
    here = [x for x in views if in_stage(x, stage)]
    bounds = [x for x in here if is_bound(x)]
    sets = itertools.chain.from_iterable(
        itertools.combinations(range(len(bounds)), n) for n in range(len(bounds) + 1)
    )
    return all(holds(x, sample, weights) for x in here) and any(
        certified(
            weights,
            prior,
            [
                c
                for x in here
                if not is_bound(x) or any(x is bounds[k] for k in active)
                for c in conditions_of(x, sample, stage, reference)
            ],
        )
        for active in sets
    )


def oracle_stage(views, sample, prior, stage, reference):
    """All weights that the document allows for a stage.

    Of the bounds on moments any set may be in the problem with what they hold, if all bounds are met, and
    each of the set would not be, or others would not, were it left out.
    """
    here = [x for x in views if in_stage(x, stage)]
    bounds = [x for x in here if is_bound(x)]

    @functools.cache
    def solution(active):
        kept = [x for x in here if not is_bound(x) or any(x is bounds[k] for k in active)]
        found = program(prior, [c for x in kept for c in conditions_of(x, sample, stage, reference)])
        return found, found is not None and all(holds(x, sample, found) for x in bounds)

    sets = (
        set(some) for n in range(len(bounds) + 1) for some in itertools.combinations(range(len(bounds)), n)
    )
    allowed = []
    for active in map(frozenset, sets):
        found, met = solution(active)
        if met and not any(solution(active - {k})[1] for k in active):
            allowed.append(found)
    return allowed


def sample_of(seed, n=250):
    rng = np.random.default_rng(seed)
    prior = rng.gamma(3, size=n)
    return Sample(draws(n, rng), SYMBOLS), prior / prior.sum(), rng
