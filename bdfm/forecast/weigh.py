"""Weights of draws under views: confidences, pools of people, refusals that say what could be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.errors import BdfmError, DataError, InfeasibleViewError
from bdfm.forecast.entropy import effective_number, minimum_relative_entropy
from bdfm.forecast.return_views import Absolute, ReturnView
from bdfm.forecast.sample import Row, Sample
from bdfm.forecast.view import View, percent

Floats = NDArray[np.float64]

MIN_EFFECTIVE_DRAWS: Final = 1000.0  # fewer: a probability of 0.2 has a Monte Carlo sd above 1.3 points
MIN_EFFECTIVE_SHARE: Final = 0.1  # what forecasts of few draws must keep instead
MAX_LOSS: Final = 20.0  # effective draws before views over those after, beyond which these are called few


def few_left(before: float, after: float) -> bool:
    """Whether views leave few effective draws: a warning, and with "auto" a second fit, hang on this number.

    Forecasts that had no more than ``MIN_EFFECTIVE_DRAWS`` before the views are judged by that number alone.
    """
    return before > MIN_EFFECTIVE_DRAWS and after < before / MAX_LOSS


def check_views(views: Sequence[View], assets: Sequence[str]) -> None:
    """Raise unless every view names known assets and no person states one thing twice.

    Raises
    ------
    UnknownLabelError
        A symbol outside ``assets``.
    DataError
        Two views of one person on the same subject.
    """
    strange = next((v for v in views if not isinstance(v, View)), None)
    if strange is not None:
        raise DataError(
            f"views: {strange!r} is a {type(strange).__name__}, not a view. Give views one by one, such as"
            ' views.Absolute(asset="TLT", mean=0.02, sd=0.1, semantics="evidence"), or views.parse(...).'
        )
    seen: dict[tuple[object, ...], View] = {}
    for view in views:
        _checks.known(view.symbols, assets, what="asset", where=f"view {view.text!r}")
        for subject in view.subjects:
            key = (view.by, *subject)
            if key in seen:
                raise DataError(
                    f"view {view.text!r}: on the same subject as the view {seen[key].text!r}. Keep one of"
                    " them, combine them, or say by whom each is, so that they are pooled."
                )
            seen[key] = view


def view_weights(
    draws: NDArray[Any],
    weights: Floats,
    assets: Sequence[str],
    views: Sequence[View],
    *,
    shares: Mapping[str, float] | None = None,
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
    min_effective_draws
        Below this effective number of draws a view is refused. By default 1,000, or a tenth of the draws
        where that is less.

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
    as confident hold together. People are pooled in the same way, each with all of their views.
    """
    views = tuple(views)
    check_views(views, assets)
    pool = pool_shares(views, shares)
    views = tuple(v for v in views if v.confidence > 0)
    if not views or not sum(pool.values()):
        return weights
    least = min_effective_draws
    if least is None:
        least = min(MIN_EFFECTIVE_DRAWS, MIN_EFFECTIVE_SHARE * effective_number(weights))
    problem = _Problem(Sample(draws, tuple(assets)), weights, least)
    total = (1 - sum(pool.values())) * weights
    for person, share in pool.items():
        own = [v for v in views if v.by == person]
        levels = [0.0, *sorted({v.confidence for v in own})]
        total = total + share * (1 - levels[-1]) * weights
        for lower, upper in pairwise(levels):
            held = [v for v in own if v.confidence >= upper]
            total = total + share * (upper - lower) * problem.solve(held)
    return total / total.sum()


def pool_shares(views: Sequence[View], shares: Mapping[str, float] | None) -> dict[str, float]:
    """Share of each person in the pool, as in ``view_weights``; raises for shares that cannot be used."""
    people = list(dict.fromkeys(v.by for v in views))
    if shares is None:
        return {p: 1 / len(people) for p in people}
    where = "shares"
    _checks.known(list(shares), people, what="person", where=where, hint="Say in each view by whom it is.")
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
        base = weights
        rows: dict[tuple[object, ...], Row] = {}
        for stage in (1, 2, 3):
            constraints = [v for v in views if v.semantics == "constraint" and v.stage == stage]
            if not constraints:
                continue
            for view in constraints:
                for row in view.rows(self.sample, weights):
                    if row.key in view.subjects:
                        rows[row.key] = row
                    else:  # a moment held where it is, unless a view of its own speaks of it
                        rows.setdefault(row.key, row)
            solved = _tilt(list(rows.values()), base)
            if solved is None:
                return None
            weights = solved
        return weights

    def good(self, views: Sequence[View]) -> bool:
        """Whether views can be held with enough effective draws."""
        weights = self.attempt(views)
        return weights is not None and effective_number(weights) >= self.least

    # -- refusals ----------------------------------------------------------------------------------------

    def _refusal(self, views: Sequence[View]) -> str:
        """Which view fails, why, and what could be had instead."""
        position = next(j for j in range(len(views)) if not self.good(views[: j + 1]))
        view, before = views[position], list(views[:position])
        alone = not self.good([view])
        weights = self.attempt([view] if alone else [*before, view])
        if alone:
            reason = self._why_alone(view, weights)
            before = []
        else:
            partner = next((v for v in before if not self.good([v, view])), None)
            against = "the views before it" if partner is None else f"the view {partner.text!r}"
            before = before if partner is None else [partner]
            if weights is None:
                reason = f"contradicts {against}: no weighting of the draws satisfies both"
            else:
                reason = (
                    f"together with {against} it leaves {effective_number(weights):,.0f} effective of"
                    f" {len(self.prior):,} draws, at least {self.least:,.0f} are needed"
                )
        return f"view {str(view)!r}: {reason}. {self._way_out(view, before)}"

    def _why_alone(self, view: View, weights: Floats | None) -> str:
        for symbol in view.symbols:
            column = self.sample.column(symbol)
            if column.min() == column.max():
                return f"{symbol} returns {percent(float(column[0]))} in every draw, after an edit perhaps"
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
            beside = " beside the other" if before else ""
            parts.append(f"The strongest attainable{beside}: {found.text}.")
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
