"""Views on events that each draw decides: which asset returns more, which quantile one ranks in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, override

import numpy as np
from pydantic import Field

from bdfm._reading import quoted, short
from bdfm.errors import DataError
from bdfm.forecast.sample import Floats, Row, Sample
from bdfm.forecast.view import SIGN, WORDS, Claim, Numbers, Sense, View


class EventView(View):
    """A probability of an event that each draw decides, in shares where assets tie.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("XLE > XLU : 0.7", semantics="evidence")
    >>> isinstance(view, views.EventView), view.probability
    (True, 0.7)
    """

    probability: Annotated[float, Field(ge=0, le=1)]
    sense: Sense = "equal"  # or at_least, at_most: a bound, of constraints alone

    @override
    def _check(self) -> None:
        if self.semantics == "evidence":
            if self.sense != "equal":
                raise DataError(
                    f"view {quoted(self.text)}: sense {self.sense!r} is for constraints. Leave it out."
                )
            if self.probability in (0, 1):
                raise DataError(
                    f"view {quoted(self.text)}: evidence cannot be certain. Give a probability between 0 and"
                    " 1, or make it a constraint."
                )

    @property
    def base_rate(self) -> float:
        """Probability of the event for who knows nothing: the statement says as much as it differs."""
        raise NotImplementedError

    def event(self, sample: Sample) -> Floats:
        """Share (draw,) to which the event happens in each draw."""
        raise NotImplementedError

    @property
    @override
    def numbers(self) -> Numbers:
        return {"probability": self.probability}

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"probability": float(weights @ self.event(sample))}

    @override
    def rows(self, sample: Sample) -> list[Row]:
        return [Row(self.subjects[0], self.event(sample), self.probability, SIGN[self.sense])]

    @override
    def log_likelihood(self, sample: Sample) -> Floats:
        share = self.event(sample)
        if_event = self.probability / self.base_rate
        if_not = (1 - self.probability) / (1 - self.base_rate)
        return np.asarray(np.log(share * if_event + (1 - share) * if_not))

    def _phrase(self) -> str:
        return f"with probability {WORDS[self.sense]}{self.probability:g}"


class Ordering(EventView):
    """One asset returns more than another, with a probability: "XLE above XLU with probability 0.7".

    As evidence it is the statement of someone whose odds, knowing nothing else, are ``probability`` to
    1 - ``probability``: the odds of the draws are multiplied by these. As a constraint, the probability is
    ``probability``. Ties count half.
    """

    kind: Literal["ordering"] = "ordering"
    above: str  # asset that returns more
    below: str  # asset that returns less

    @override
    def _check(self) -> None:
        if self.above == self.below:
            raise DataError(f"view {quoted(self.text)}: an asset cannot be above itself. Name another one.")
        super()._check()

    @property
    @override
    def base_rate(self) -> float:
        return 0.5

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return (self.above, self.below)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        subject, sign = ("ordering", frozenset(self.assets)), SIGN[self.sense]
        if self.above < self.below:
            return (Claim(subject, sign, self.probability),)
        return (Claim(subject, -sign, 1 - self.probability),)  # of ties each has half

    @property
    @override
    def text(self) -> str:
        return f"{self.above} above {self.below} {self._phrase()}"

    @override
    def event(self, sample: Sample) -> Floats:
        return sample.above(self.above, self.below)


def check_orders(views: Sequence[View]) -> None:
    """Raise ``DataError`` for orders of one person's evidence that go in a circle, each above one half."""
    below: dict[str, dict[str, list[str]]] = {}
    for view in views:
        if isinstance(view, Ordering) and view.semantics == "evidence" and view.probability != 0.5:
            pair = (view.above, view.below) if view.probability > 0.5 else (view.below, view.above)
            below.setdefault(view.by, {}).setdefault(pair[0], []).append(pair[1])
    for person, steps in below.items():
        if circle := _circle(steps):
            whose = f"views by {person}" if person else "views"
            raise DataError(
                f"{whose}: evidence on orders goes in a circle: {short(' above '.join(circle), 200)}. Drop"
                " one of them, turn it round, or say by whom each is, so that they are pooled."
            )


def _circle(steps: Mapping[str, Sequence[str]]) -> list[str]:
    """Nodes of a circle in a directed graph, the first one again at its end; empty where there is none."""
    done: set[str] = set()
    for start in steps:
        path, ways = [start], [iter(steps[start])]
        while ways:
            if (node := next(ways[-1], None)) is None:
                ways.pop()
                done.add(path.pop())
            elif node in path:
                return [*path[path.index(node) :], node]
            elif node not in done:
                path.append(node)
                ways.append(iter(steps.get(node, ())))
    return []


class Quantile(EventView):
    """An asset ranks in a quantile of the cross-section: "GOOG in the top fifth with probability 0.3".

    ``quantile`` 1 is the lowest. As evidence, the odds of the draws are multiplied by the odds of
    ``probability`` over those of 1/``n_quantiles``, which someone without any knowledge would give; as a
    constraint, the probability is ``probability``. Ties share their slots.
    """

    kind: Literal["quantile"] = "quantile"
    asset: str
    quantile: Annotated[int, Field(ge=1)]
    n_quantiles: Annotated[int, Field(ge=2)] = 5

    @override
    def _check(self) -> None:
        if self.quantile > self.n_quantiles:
            raise DataError(
                f"view {quoted(self.text)}: there are {self.n_quantiles} quantiles. Give one of 1 (lowest) to"
                f" {self.n_quantiles}."
            )
        super()._check()

    @property
    @override
    def base_rate(self) -> float:
        return 1 / self.n_quantiles

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return (self.asset,)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        subject = ("quantile", self.asset, self.quantile, self.n_quantiles)
        return (Claim(subject, SIGN[self.sense], self.probability),)

    @property
    @override
    def text(self) -> str:
        return f"{self.asset} in quantile {self.quantile} of {self.n_quantiles} {self._phrase()}"

    @override
    def event(self, sample: Sample) -> Floats:
        return sample.share_of_quantile(self.asset, self.quantile, self.n_quantiles)
