"""Views on the tail of a return: probability below a level, value at risk, expected shortfall."""

from __future__ import annotations

from typing import Annotated, Literal, override

import numpy as np
from pydantic import Field

from bdfm._reading import quoted
from bdfm._weights import check_shares
from bdfm.data.doubts.said import LARGEST
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError
from bdfm.forecast.moments import Tail, quantile
from bdfm.forecast.return_views import canonical, constraint_only, unit
from bdfm.forecast.sample import Floats, Row, Sample
from bdfm.forecast.view import SIGN, WORDS, Claim, Numbers, Sense, View, percent

Level = Annotated[float, Field(gt=0.5, lt=1)]
Loss = Annotated[float, Field(gt=0, le=LARGEST)]


class TailView(View):
    """A statement about the tail of the return of an asset, or of a portfolio of weights by symbol.

    A constraint only: a tail is a property of all draws together.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("VaR(TLT, 95%) = 8%", semantics="constraint")
    >>> isinstance(view, views.TailView), view.loss
    (True, 0.08)
    """

    asset: str | None = None
    weights: dict[str, float] | None = None
    sense: Sense = "equal"

    @override
    def _check(self) -> None:
        if (self.asset is None) == (self.weights is None):
            raise DataError(f"view {self.kind}: give either asset or weights.")
        if not any(self.portfolio.values()):
            raise DataError(f"view {self.kind}: all weights are zero. Give at least one that is not.")
        check_shares(self.portfolio, where=f"view {self.kind}")
        constraint_only(self, "a tail")

    @property
    def portfolio(self) -> dict[str, float]:
        """Weight by symbol."""
        return (
            {self.asset: 1.0}
            if self.asset is not None
            else {s: w for s, w in (self.weights or {}).items() if w}
        )

    @property
    @override
    def assets(self) -> tuple[str, ...]:
        return tuple(self.portfolio)

    @property
    def _of(self) -> str:
        if self.asset is not None:
            return self.asset
        return " + ".join(f"{w:g} {s}" for s, w in self.portfolio.items())


class Below(TailView):
    """Probability that a return is below ``level``: "TLT returns less than -5 % with probability 0.1".

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("P(TLT < -5%) = 0.1", semantics="constraint")
    >>> isinstance(view, views.Below), str(view)
    (True, 'TLT returns less than -5 % with probability 0.1 (constraint)')
    """

    kind: Literal["below"] = "below"
    level: Annotated[float, Field(gt=-1, le=LARGEST)]
    probability: Annotated[float, Field(ge=0, le=1)]

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        return (Said(f"view {quoted(self.text)}", self.assets[0], "return", self.level),)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        subject = ("below", *signed(self.portfolio, self.level / abs(unit(self.portfolio))))
        return (Claim(subject, SIGN[self.sense], self.probability),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"probability": self.probability}

    @property
    @override
    def text(self) -> str:
        chance = f"{WORDS[self.sense]}{self.probability:g}"
        return f"{self._of} returns less than {percent(self.level)} with probability {chance}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"probability": float(weights @ (sample.portfolio(self.portfolio) < self.level))}

    @override
    def rows(self, sample: Sample) -> list[Row]:
        event = (sample.portfolio(self.portfolio) < self.level).astype(np.float64)
        return [Row(self.subjects[0], event, self.probability, SIGN[self.sense])]


class LossView(TailView):
    """A loss, positive, that stands for the worst 1 - ``level`` of the returns."""

    loss: Loss
    level: Level = 0.95

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        return (Said(f"view {quoted(self.text)}", self.assets[0], "return", self.loss),)

    @property
    @override
    def claims(self) -> tuple[Claim, ...]:
        loss = self.loss / abs(unit(self.portfolio))
        return (Claim((self.kind, *signed(self.portfolio, self.level)), SIGN[self.sense], loss),)

    @property
    @override
    def numbers(self) -> Numbers:
        return {"loss": self.loss}


class ValueAtRisk(LossView):
    """Loss that is exceeded with probability 1 - ``level``: "95 % value at risk of TLT is 8 %".

    ``loss``: positive. The statement is that a return of -``loss`` or less has probability 1 - ``level``; the
    value at risk of the draws is then ``loss`` to within the gap between two draws.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("VaR(TLT, 95%) <= 8%", semantics="constraint")
    >>> isinstance(view, views.ValueAtRisk), str(view)
    (True, '95 % value at risk of TLT is at most 8 % (constraint)')
    """

    kind: Literal["value_at_risk"] = "value_at_risk"

    @property
    @override
    def text(self) -> str:
        return f"{percent(self.level)} value at risk of {self._of} is {WORDS[self.sense]}{percent(self.loss)}"

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"loss": -quantile(sample.portfolio(self.portfolio), 1 - self.level, weights)}

    @override
    def rows(self, sample: Sample) -> list[Row]:
        event = (sample.portfolio(self.portfolio) <= -self.loss).astype(np.float64)
        return [Row(self.subjects[0], event, 1 - self.level, SIGN[self.sense])]


class Shortfall(LossView):
    """Mean loss in the worst 1 - ``level``: "95 % expected shortfall of TLT is 12 %", also called CVaR.

    ``loss``: positive. Of returns cut as those of means are.

    Examples
    --------
    >>> from bdfm import views
    >>> view = views.parse("CVaR(TLT, 95%) = 12%", semantics="constraint")
    >>> isinstance(view, views.Shortfall), str(view)
    (True, '95 % expected shortfall of TLT is 12 % (constraint)')
    """

    kind: Literal["shortfall"] = "shortfall"

    @property
    @override
    def text(self) -> str:
        what = f"{percent(self.level)} expected shortfall of {self._of}"
        return f"{what} is {WORDS[self.sense]}{percent(self.loss)}"

    def _tail(self, sample: Sample) -> Tail:
        x = sample.cut(self.portfolio)
        return Tail(x, 1 - self.level, self.loss, SIGN[self.sense])

    @override
    def implied(self, sample: Sample, weights: Floats) -> Numbers:
        return {"loss": self._tail(sample).shortfall(weights)}

    @override
    def tails(self, sample: Sample) -> list[Tail]:
        return [self._tail(sample)]


def signed(portfolio: dict[str, float], level: float) -> tuple[object, ...]:
    """Key of one tail: the other side of a portfolio is another subject."""
    return (canonical(portfolio), np.sign(unit(portfolio)).item(), level)
