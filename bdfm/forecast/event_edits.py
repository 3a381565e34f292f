"""Edits for what happens to assets: they are delisted, bought, halted, suspended, or leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self, override

import numpy as np

from bdfm import _checks
from bdfm._settings import Seed
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError
from bdfm.forecast import columns
from bdfm.forecast.columns import Floats
from bdfm.forecast.edit import Edit, OfOne, Positive, Probability, Several, Symbols
from bdfm.forecast.records import Record
from bdfm.forecast.state import State


class Zero(Several):
    """Delisted assets return zero in every draw.

    Such an asset is not in the middle quantile for sure: the others move around it. Several of them tie and
    share their quantile slots.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["zero RRC"])
    >>> isinstance(edit, edits.Zero), edit.kind
    (True, 'zero')
    """

    kind: Literal["zero"] = "zero"

    @override
    def returns(self, state: State) -> Floats:
        return np.zeros(len(state.returns))

    @override
    def sentence(self, state: State) -> str:
        return f"{', '.join(self.assets)}: return set to zero in every draw."


class AcquiredForCash(OfOne):
    """An asset is bought for cash.

    ``offer`` and ``price`` are the offer for a share and the close at the origin, in one currency; the return
    is offer / price - 1. ``probability``: that the deal closes, or that the price stands at the offer, by the
    end of the span; in the other draws, chosen at random by ``seed`` and independently of all returns, the
    asset keeps its own return. The share of their weights is ``probability`` to within one draw.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["acquired_for_cash RRC offer=20 price=17.6 probability=0.8"])
    >>> isinstance(edit, edits.AcquiredForCash), edit.kind
    (True, 'acquired_for_cash')
    """

    closes: ClassVar[Mapping[str, str]] = {"price": "asset"}

    kind: Literal["acquired_for_cash"] = "acquired_for_cash"
    offer: Positive
    price: Positive | None = None
    probability: Probability = 1.0
    seed: Seed = 0

    @property
    def _value(self) -> float:
        return columns.offer_return(self.offer, self.price or np.nan)

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        if self.price is None:
            return ()
        shown = f"an offer of {self.offer:g} for {self.asset} beside a price of {self.price:g}"
        return (Said(self.where, self.asset, "ratio", self.offer / self.price, shown),)

    @override
    def returns(self, state: State) -> Floats:
        closed = self.happens(state, self.probability, self.seed)
        return np.where(closed, self._value, self.own(state))

    @override
    def sentence(self, state: State) -> str:
        how = f"bought for cash at {self.offer:g}, {self._value:+.4%} from {self.price:g}"
        return f"{self.asset}: {how}{_chance(self.probability)}."


class AcquiredForStock(OfOne):
    """An asset is bought for shares of another, and moves with it.

    ``ratio`` and ``cash`` are shares of the buyer, which is in the forecast too, and money for one share of
    the asset; ``price`` and ``acquirer_price`` the closes at the origin, in one currency. ``spread``: how far
    below the offer's value the asset still trades at the end of the span, as a share of it; 0 once the deal
    has closed, negative where a higher bid is expected. ``probability`` and ``seed`` as in
    ``AcquiredForCash``.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["acquired_for_stock RRC acquirer=XOM ratio=0.3"])
    >>> isinstance(edit, edits.AcquiredForStock), edit.kind
    (True, 'acquired_for_stock')
    """

    words: ClassVar[Symbols] = ("asset", "acquirer")
    closes: ClassVar[Mapping[str, str]] = {"price": "asset", "acquirer_price": "acquirer"}

    kind: Literal["acquired_for_stock"] = "acquired_for_stock"
    acquirer: str  # the buyer
    ratio: Positive
    price: Positive | None = None
    acquirer_price: Positive | None = None
    cash: float = 0.0
    spread: float = 0.0
    probability: Probability = 1.0
    seed: Seed = 0

    @override
    def _check(self) -> None:
        if self.asset == self.acquirer:
            raise DataError(f"{self.where}: an asset cannot buy itself. Name its buyer.")
        if self.cash < 0 or self.spread >= 1:
            raise DataError(
                f"{self.where}: cash must not be below 0 and spread must be below 1, got {self.cash:g} and"
                f" {self.spread:g}."
            )

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        spread = Said(self.where, self.asset, "return", self.spread)
        if self.price is None or self.acquirer_price is None:
            return (spread,)
        offer = self.ratio * self.acquirer_price + self.cash
        shown = f"an offer worth {offer:g} for {self.asset} beside a price of {self.price:g}"
        return (Said(self.where, self.asset, "ratio", offer / self.price, shown), spread)

    def _bought(self, acquirer: Floats) -> Floats:
        return columns.exchange_returns(
            acquirer,
            ratio=self.ratio,
            acquirer_price=self.acquirer_price or np.nan,
            price=self.price or np.nan,
            cash=self.cash,
            spread=self.spread,
        )

    @override
    def returns(self, state: State) -> Floats:
        closed = self.happens(state, self.probability, self.seed)
        bought = self._bought(state.column(self.acquirer, where=self.where))
        return np.where(closed, bought, self.own(state))

    @override
    def sentence(self, state: State) -> str:
        return (
            f"{self.asset}: bought for {self.ratio:g} {self.acquirer}"
            + (f" and {self.cash:g} in cash" if self.cash else "")
            + f", worth {self._bought(np.zeros(1))[0]:+.4%} today"
            + (f" at a spread of {self.spread:.4%}" if self.spread else "")
            + f"{_chance(self.probability)}."
        )


class Halted(OfOne):
    """An asset's trading stays halted to the end of the span, with a probability.

    There its return is zero, the last price carried forward; in the other draws, chosen as in
    ``AcquiredForCash``, it keeps its own return.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["halted RRC probability=0.5"])
    >>> isinstance(edit, edits.Halted), edit.kind
    (True, 'halted')
    """

    kind: Literal["halted"] = "halted"
    probability: Probability = 1.0
    seed: Seed = 0  # of the choice of draws

    @override
    def returns(self, state: State) -> Floats:
        return np.where(self.happens(state, self.probability, self.seed), 0.0, self.own(state))

    @override
    def sentence(self, state: State) -> str:
        return f"{self.asset}: trading halted to the end{_chance(self.probability)}, return zero there."


class Suspended(Edit):
    """No asset of one class trades: all return zero, tie, and share their slots.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["suspended stock"])
    >>> isinstance(edit, edits.Suspended), edit.kind
    (True, 'suspended')
    """

    words: ClassVar[Symbols] = ("asset_class",)

    kind: Literal["suspended"] = "suspended"
    asset_class: str  # as in the universe

    @override
    def members(self, state: State) -> Symbols:
        classes = list(dict.fromkeys(state.asset_class))
        _checks.known([self.asset_class], classes, what="class", where=self.kind)
        pairs = zip(state.assets, state.asset_class, strict=True)
        return tuple(a for a, c in pairs if c == self.asset_class)

    @override
    def returns(self, state: State) -> Floats:
        return np.zeros(len(state.returns))

    @override
    def sentence(self, state: State) -> str:
        some = _checks.first(self.members(state))
        return f"Class {self.asset_class} suspended: return of {some} set to zero in every draw."

    @classmethod
    @override
    def from_record(cls, record: Record) -> Self:
        return cls.from_parameters(dict(record.parameters))


class Drop(Several):
    """Some assets leave: the others are ranked among themselves.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["drop RRC"])
    >>> isinstance(edit, edits.Drop), edit.kind
    (True, 'drop')
    """

    kind: Literal["drop"] = "drop"

    @override
    def apply(self, state: State) -> State:
        state.known(self.assets, where=self.kind)
        left = len(state.assets) - len(self.assets)
        if left < 2:
            raise DataError(f"drop: {left} assets would be left. Ranks need at least 2.")
        return state.without(self.assets)

    @override
    def sentence(self, state: State) -> str:
        return f"{', '.join(self.assets)}: dropped."


def _chance(probability: float) -> str:
    return "" if probability == 1 else f" with probability {probability:g}"
