"""What constraints say of moments and tails: statements that are not linear in the weights by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bdfm.forecast.ranks import reached
from bdfm.forecast.sample import Floats, Row


@dataclass(frozen=True, eq=False)
class Moment:
    """A statement about a moment, linear in the weights once other moments are held.

    Attributes
    ----------
    row
        The statement.
    held
        What it holds, equalities.
    short
        How far weights (draw,) are below the stated value, relative to it or in units of a correlation.
    """

    row: Row
    held: tuple[Row, ...]
    short: Callable[[Floats], float]

    def violation(self, weights: Floats) -> float:
        """How far weights (draw,) are on the wrong side of a bound, at most 0 where they are not."""
        return self.row.sign * self.short(weights)


@dataclass(frozen=True, eq=False)
class Tail:
    """Expected shortfall of returns ``x`` (draw,) in their worst ``share``, against ``target``, a loss.

    It is the least value over a of E[a + max(-x - a, 0) / share] (R. Rockafellar
    and S. Uryasev, *Journal of Risk* 2(3), 2000), reached at the value at risk. "At least" is thus one linear
    constraint for each a; "at most" holds if one of them does.
    """

    x: Floats
    share: float
    target: float
    sign: int = 0

    def at_risk(self, weights: Floats) -> float:
        """Value at risk under weights (draw,): the loss that is reached in ``share`` of them."""
        return -quantile(self.x, self.share, weights)

    def shortfall(self, weights: Floats) -> float:
        """Expected shortfall under weights (draw,)."""
        return float(weights @ self.feature(self.at_risk(weights)))

    def feature(self, a: float) -> Floats:
        """What has the shortfall as its expectation where ``a`` is the value at risk, else more."""
        return a + np.maximum(-self.x - a, 0.0) / self.share

    def at(self, a: float) -> Row:
        """The statement where ``a`` is taken for the value at risk."""
        return Row((a,), self.feature(a), self.target, self.sign)


def quantile(x: Floats, share: float, weights: Floats) -> float:
    """Least value of ``x`` (draw,) up to which there is a ``share`` of the weights."""
    order = np.argsort(x, kind="stable")
    total = np.cumsum(weights[order])
    return float(x[order[min(int(np.searchsorted(total, reached(np.asarray(share)))), len(x) - 1)]])
