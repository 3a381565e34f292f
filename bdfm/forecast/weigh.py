"""Weights of draws under views: confidences, pools of people, refusals that say what could be had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks, _checks
from bdfm._reading import counted, quoted, short
from bdfm.errors import BdfmError, DataError, InfeasibleViewError, UnknownLabelError
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.event_views import check_orders
from bdfm.forecast.pooling import pooled
from bdfm.forecast.return_views import Absolute, ReturnView
from bdfm.forecast.sample import Sample
from bdfm.forecast.view import Claim, View, percent

Floats = NDArray[np.float64]
Pool = Literal["linear", "log"]

MIN_EFFECTIVE_DRAWS: Final = 1000.0  # fewer: a probability of 0.2 has a Monte Carlo sd above 1.3 points
MIN_EFFECTIVE_SHARE: Final = 0.1  # what forecasts of few draws must keep instead
FEWEST: Final = 2.0  # and whatever there are: one draw alone is no distribution
MAX_LOSS: Final = 20.0  # effective draws before views over those after, beyond which these are called few


def few_left(before: float, after: float) -> bool:
    """Whether views leave few effective draws: a warning, and with "auto" a second fit, hang on this number.

    Forecasts that had no more than ``MIN_EFFECTIVE_DRAWS`` before the views are judged by that number alone.
    """
    return before > MIN_EFFECTIVE_DRAWS and after < before / MAX_LOSS


def fixed_returns(draws: NDArray[Any], assets: Sequence[str], views: Sequence[View]) -> dict[str, float]:
    """Return by symbol of the assets of views that return the same in every draw (draw, asset)."""
    named = {s for v in views for s in v.assets if s in assets}
    columns = {s: _blocks.column(draws, list(assets).index(s)) for s in sorted(named)}
    return {s: float(x[0]) for s, x in columns.items() if x.min() == x.max()}


def check_views(
    views: Sequence[View], assets: Sequence[str], *, fixed: Mapping[str, float] | None = None
) -> None:
    """Raise unless every view names known assets, no person states one thing twice, and weights can move it.

    One bound from below and one from above, on the same subject, are a band.

    Parameters
    ----------
    views, assets
        Views, and the symbols that they may name.
    fixed
        Return by symbol of assets that return the same in every draw.

    Raises
    ------
    UnknownLabelError
        A symbol outside ``assets``.
    DataError
        Two views of one person on the same subject that are no band; evidence of one on orders that go in a
        circle.
    InfeasibleViewError
        A view about fixed returns alone, or about how one of them moves or ranks; a band whose lower end is
        above its upper one.
    """
    for strange in (v for v in views if not isinstance(v, View)):
        raise DataError(
            f"views: {short(repr(strange))} is a {type(strange).__name__}, not a view. Give views one by one,"
            ' such as views.Absolute(asset="TLT", mean=0.02, sd=0.1, semantics="evidence"), or'
            " views.parse(...)."
        )
    seen: dict[tuple[object, ...], list[tuple[View, Claim]]] = {}
    for view in views:
        _checks.known(view.named, assets, what="asset", where=f"view {quoted(view.text)}")
        held = [s for s in view.assets if s in (fixed or {})]
        if held and (view.needs_all_to_vary or len(held) == len(view.assets)):
            told = " and ".join(f"{s} returns {percent((fixed or {})[s])}" for s in held)
            raise InfeasibleViewError(
                f"view {quoted(view.text)}: {told} in every draw, set by an edit or at rest in the data; no"
                " weighting moves it. Drop the view or the edit."
            )
        for claim in view.claims:
            before = seen.setdefault((view.by, *claim.subject), [])
            for other, its in before:
                _check_band(view, claim, other, its)
            before.append((view, claim))
    check_orders(views)


def _check_band(view: View, claim: Claim, other: View, its: Claim) -> None:
    """Raise unless what two views say of one subject is a band: a lower bound and an upper one above it."""
    if {claim.sign, its.sign} != {1, -1}:
        raise DataError(
            f"view {quoted(view.text)}: on the same subject as the view {quoted(other.text)}. Keep one of"
            " them, combine them, or say by whom each is, so that they are pooled. Two bounds are a band"
            " where one is from below and one from above; an sd beside them is said once."
        )
    lower, upper = (claim.value, its.value) if claim.sign == 1 else (its.value, claim.value)
    if lower - upper > 1e-9 * max(abs(lower), abs(upper)):
        raise InfeasibleViewError(
            f"view {quoted(view.text)}: contradicts the view {quoted(other.text)}: the lower bound is above"
            " the upper one, so that nothing satisfies both. Exchange the bounds, or drop one of them."
        )


def view_weights(
    draws: NDArray[Any],
    weights: Floats,
    assets: Sequence[str],
    views: Sequence[View],
    *,
    shares: Mapping[str, float] | None = None,
    pool: Pool = "linear",
    min_effective_draws: float | None = None,
) -> Floats:
    """Weights (draw,) after views.

    Parameters
    ----------
    draws, weights, assets
        Simple returns (draw, asset), their weights (draw,) so far, which sum to 1, and symbols.
    views
        Views of one or several people; of one person, evidence is taken first, then the constraints hold.
    shares
        Share of each person in the pool, not negative, of sum up to 1; the rest stays with ``weights``. By
        default all people have equal shares of the whole.
    pool
        ``linear``: the mean of people's weights by their shares. ``log``: their geometric mean, which is
        sharper where they agree; a draw that one of them rules out is out.
    min_effective_draws
        Below this effective number of draws a view is refused. By default 1,000, or a tenth of the draws
        where that is less, but two.

    Raises
    ------
    InfeasibleViewError
        No weighting satisfies the views, or it leaves too few effective draws; the message names the view,
        the reason, and the strongest that would do.
    UnknownLabelError, DataError
        As ``check_views``; shares that cannot be used.

    Notes
    -----
    A view of confidence c stands for a blend: with chance c the view is right, otherwise the prior is (linear
    opinion pool). Several confidences nest (Meucci 2008, section 4): of chance c all views at least
    as confident hold together. People are pooled linearly in the same way, each with all of their views, or
    logarithmically (C. Genest and J. Zidek, *Statistical Science* 1(1), 1986).
    """
    views = tuple(views)
    check_views(views, assets, fixed=fixed_returns(draws, assets, views))
    _checks.known([pool], get_args(Pool), what="pool", where="views")
    given = pool_shares(views, shares)
    views = tuple(v for v in views if v.confidence > 0)
    if not views or not sum(given.values()):
        return weights
    least = min_effective_draws
    if least is None:
        here = effective_number(weights)
        least = min(MIN_EFFECTIVE_DRAWS, max(MIN_EFFECTIVE_SHARE * here, min(FEWEST, here)))
    elif least < 0:
        raise DataError(
            f"views: min_effective_draws must be 0 or more, got {least:g}. Leave it"
            f" out for {MIN_EFFECTIVE_DRAWS:,.0f}."
        )
    problem = _Problem(Sample(draws, tuple(assets)), weights, least)
    people = {
        person: _of_one([v for v in views if v.by == person], problem) for person, x in given.items() if x
    }
    rest = 1 - sum(given.values())
    if pool == "linear":
        total = rest * weights + sum(given[person] * q for person, q in people.items())
    else:
        total = _geometric_mean([(rest, weights), *((given[p], q) for p, q in people.items())])
        if not total.sum() > 0 or effective_number(total / total.sum()) < least:
            raise InfeasibleViewError(
                f"views: the views of {' and '.join(people)} leave no draws, or too few, that all of them"
                ' hold possible. Pool them with pool = "linear".'
            )
    return np.asarray(total / total.sum())


def _of_one(views: Sequence[View], problem: _Problem) -> Floats:
    """Weights (draw,) of one person: of each chance, the views at least as confident hold."""
    levels = [0.0, *sorted({v.confidence for v in views})]
    total = (1 - levels[-1]) * problem.prior
    for lower, upper in pairwise(levels):
        total = total + (upper - lower) * problem.solve([v for v in views if v.confidence >= upper])
    return np.asarray(total)


def _geometric_mean(parts: Sequence[tuple[float, Floats]]) -> Floats:
    """Product of weights (draw,) to the power of their shares, over its largest value."""
    with np.errstate(divide="ignore"):
        log = np.asarray(sum(share * np.log(q) for share, q in parts if share > 0))
    top = log.max()
    return np.exp(log - top) if np.isfinite(top) else np.zeros_like(log)


def pool_shares(views: Sequence[View], shares: Mapping[str, float] | None) -> dict[str, float]:
    """Share of each person in the pool, as in ``view_weights``; raises for shares that cannot be used."""
    people = list(dict.fromkeys(v.by for v in views))
    if shares is None:
        return {p: 1 / len(people) for p in people}
    where = "shares"
    known_people(shares, people)
    missing = [p or "(nobody named)" for p in people if p not in shares]
    if missing:
        raise DataError(f"{where}: none given for {_checks.first(missing)}. Give one for each person.")
    given = {p: _checks.finite(s, what=f"the share of {p}", where=where) for p, s in shares.items()}
    if min(given.values(), default=0) < 0 or sum(given.values()) > 1 + 1e-9:
        raise DataError(
            f"{where}: {', '.join(f'{p} {s:g}' for p, s in given.items())} are not within 0 and 1 with a sum"
            " of at most 1. What is left of 1 stays with the model."
        )
    return given


def known_people(shares: Mapping[str, float], people: Iterable[str]) -> None:
    """Raise for shares that are no table by name, or of a person by whom no view is."""
    if not isinstance(shares, Mapping):
        raise DataError(
            f"shares: a table of numbers by person was expected, got {short(repr(shares))}. Give one such as"
            ' {"Ann": 0.6}.'
        )
    people = list(people)
    if any(shares) and not any(people):
        raise UnknownLabelError(
            f"shares: unknown person {_checks.first(shares)}: no view says by whom it is. Say it in each."
        )
    hint = "Say in each view by whom it is."
    _checks.known(list(shares), people, what="person", where="shares", hint=hint)


class _Problem:
    """Draws, weights so far and a least effective number, under which sets of views are solved."""

    def __init__(self, sample: Sample, prior: Floats, least: float) -> None:
        self.sample = sample
        self.prior = prior
        self.least = least

    @cached_property
    def _log_prior(self) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.prior))

    def solve(self, views: Sequence[View]) -> Floats:
        """Weights under which all views hold; raises ``InfeasibleViewError``."""
        weights = self.attempt(views)
        if weights is None or effective_number(weights) < self.least:
            raise InfeasibleViewError(self._refusal(views))
        return weights

    def attempt(self, views: Sequence[View]) -> Floats | None:
        """Weights under which all views hold, however few draws are left; None where there are none."""
        weights = self.prior
        evidence = [v for v in views if v.semantics == "evidence"]
        if evidence:
            log_weight = self._log_prior + sum(v.log_likelihood(self.sample) for v in evidence)
            raw = np.exp(log_weight - log_weight.max())
            weights = raw / raw.sum()
        constraints = [v for v in views if v.semantics == "constraint"]
        return pooled(constraints, self.sample, weights) if constraints else weights

    def good(self, views: Sequence[View]) -> bool:
        """Whether views can be held with enough effective draws."""
        weights = self.attempt(views)
        return weights is not None and effective_number(weights) >= self.least

    # -- refusals ----------------------------------------------------------------------------------------

    def _refusal(self, views: Sequence[View]) -> str:
        """Which views are in conflict, why, and what could be had instead."""
        position = next(j for j in range(len(views)) if not self.good(views[: j + 1]))
        view, others = views[position], list(views[:position])
        for other in views[
            :position
        ]:  # what is left is in conflict, and would not be without any one of them
            rest = [v for v in others if v is not other]
            if not self.good([*rest, view]):
                others = rest
        weights = self.attempt([*others, view])
        if not others:
            reason = self._why_alone(view, weights)
        else:
            several = len(others) > 1
            names = " and ".join(repr(v.text) for v in others)
            against = f"the view{'s' if several else ''} {names}"
            if weights is None:
                both = "all of them" if several else "both"
                reason = f"contradicts {against}: no weighting of the draws satisfies {both}"
            else:
                reason = (
                    f"together with {against} it leaves {effective_number(weights):,.0f} effective of"
                    f" {counted(len(self.prior), 'draw')}, at least {self.least:,.0f} are needed"
                )
        return f"view {str(view)!r}: {reason}. {self._way_out(view, others)}"

    def _why_alone(self, view: View, weights: Floats | None) -> str:
        if weights is not None:
            return (
                f"it leaves {effective_number(weights):,.0f} effective of {len(self.prior):,} draws, at least"
                f" {self.least:,.0f} are needed"
            )
        if isinstance(view, ReturnView):
            x = self.sample.cut(view.portfolio)[self.prior > 0]
            return (
                f"no weighting of the draws satisfies it; they run from {percent(float(x.min()))} to"
                f" {percent(float(x.max()))}"
            )
        return "no weighting of the draws satisfies it"

    def _way_out(self, view: View, before: list[View]) -> str:
        found = self._strongest(view, before)
        parts = []
        if found is not None:
            beside = "" if not before else " beside the other" if len(before) == 1 else " beside the others"
            parts.append(f"The strongest attainable{beside}: {_told_apart(found, view)}.")
        if isinstance(view, Absolute) and view.semantics == "evidence":
            parts.append(
                f"Draws cannot reach this far: put it into the model, with evidence=[Evidence({view.asset!r},"
                f" {view.mean:g}, {view.sd:g})] of bdfm.fit, --evidence on the command line, or"
                ' views_method = "auto" in a run file.'
            )
        elif found is None:
            parts.append("Drop it, or change the views it stands beside.")
        return " ".join(parts)

    def _strongest(self, view: View, before: list[View], n_halvings: int = 12) -> View | None:
        """View on the way from what the draws say to what the view says, as far as it can be had."""
        start = self.attempt(before)
        if start is None:
            return None
        implied = view.implied(self.sample, start)
        if not np.isfinite(list(implied.values())).all():
            return None
        moving = ["mean"] if view.semantics == "evidence" and "mean" in view.numbers else list(view.numbers)

        def towards(share: float) -> View | None:
            numbers = {k: implied[k] + share * (view.numbers[k] - implied[k]) for k in moving}
            try:
                return type(view)(**view.model_dump() | numbers)
            except BdfmError:
                return None

        def reached(share: float) -> bool:
            trial = towards(share)
            return trial is not None and self.good([*before, trial])

        if not reached(0.0):
            return self._widest(view, before)
        low, high = 0.0, 1.0
        for _ in range(n_halvings):
            middle = (low + high) / 2
            low, high = (middle, high) if reached(middle) else (low, middle)
        return towards(low)

    def _widest(self, view: View, before: list[View]) -> View | None:
        """Evidence too sharp even at the draws' own mean: the same with an error that can be had."""
        if not (isinstance(view, ReturnView) and view.semantics == "evidence" and view.sd is not None):
            return None
        for doubling in range(1, 20):
            trial = view.model_copy(update={"sd": view.sd * 2**doubling})
            if self.good([*before, trial]):
                return trial
        return None


def _told_apart(found: View, view: View) -> str:
    """Text of what could be had instead, with its numbers in full where it reads as what was asked for."""
    if found.text != view.text:
        return found.text
    pairs = [(k, x, view.numbers[k]) for k, x in found.numbers.items() if x != view.numbers[k]]
    whole = ", ".join(f"{k} {x:.12g} and not {y:.12g}" for k, x, y in pairs)
    return (
        f"nearly that ({whole}). So small a gap is that of a rounded number, such as 0.333 for a third: leave"
        " out one of the views, which the others imply"
    )
