"""Edits: statements about single assets that change draws and never weights.

Each class is an edit in Python, in the tables ``[[edits]]`` of a file and in texts on the command line; its
fields are the arguments, the keys and the settings. A new edit is a class here, a name in ``AnyEdit`` and,
for the fingers, a method in ``actions``. All returns are simple, over the forecast horizon, as decimals.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, Self, override

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, PrivateAttr

from bdfm import _checks
from bdfm.errors import DataError, DataWarning
from bdfm.forecast import columns
from bdfm.forecast.columns import Distribution, Floats
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.forecast.records import Record as Record  # for those who record what they did by hand
from bdfm.forecast.state import State, single
from bdfm.forecast.statements import Statement, by_kind, read

PRICE_TOLERANCE: Final = 0.05  # a price this far from the last close is questioned

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0)]
Symbols = tuple[str, ...]


class Edit(Statement):
    """Base of all edits."""

    what: ClassVar[str] = "edit"
    keeps_defaults: ClassVar[bool] = True
    words: ClassVar[Symbols] = ("symbol",)  # fields that a text on the command line gives without their names
    closes: ClassVar[Mapping[str, str]] = {}  # prices that closes can fill, and the field that says whose

    @classmethod
    @override
    def place(cls, settings: Mapping[str, Any]) -> str:
        return f"{cls.model_fields['kind'].default} {settings.get('symbol', '')}".strip()

    @property
    def where(self) -> str:
        """What the edit is about, for messages."""
        return self.place(self.__dict__)

    def members(self, state: State) -> Symbols:
        """Symbols of the assets that the edit changes."""
        raise NotImplementedError

    def returns(self, state: State) -> Floats:
        """Return (draw,) that these assets get."""
        raise NotImplementedError

    def sentence(self, state: State) -> str:
        """What is done, for the record."""
        raise NotImplementedError

    def remedy(self, state: State) -> str:
        """What helps where the new returns are impossible."""
        return ""

    def apply(self, state: State) -> State:
        """State after the edit.

        Raises
        ------
        UnknownLabelError
            A symbol or class that is not there.
        DataError
            New returns that are NaN, infinite or below -1, or a price that is missing.
        """
        self.priced(None)
        symbols = self.members(state)
        where = f"{self.kind} {_checks.first(symbols)}"
        state.known(symbols, where=where)
        new = single(self.returns(state))
        columns.check_returns(new[:, None], ["the result"], where=where, remedy=self.remedy(state))
        return state.with_returns(symbols, new)

    def priced(self, closes: pd.Series[float] | None) -> Self:
        """Edit with the prices that it leaves out taken from closes at the origin, by symbol.

        Raises ``DataError`` for a price that is missing in both. Warns (``DataWarning``) of one given that is
        not near its close.
        """
        prices = {key: self._price(key, getattr(self, whose), closes) for key, whose in self.closes.items()}
        return self.model_copy(update=prices) if prices else self

    def _price(self, key: str, symbol: str, closes: pd.Series[float] | None) -> float:
        given: float | None = getattr(self, key)
        close = None if closes is None or symbol not in closes.index else float(closes[symbol])
        if close is None or not np.isfinite(close):
            if given is None:
                raise DataError(
                    f"{self.where}: the key {key} is missing, and no close of {symbol} is at hand."
                )
            return given
        if given is not None and abs(given / close - 1) > PRICE_TOLERANCE:
            warnings.warn(
                f"{self.where}: {key} {given:g} of {symbol} is not near its last close {close:g}. Left from"
                " another month? Leave the key out to take the close.",
                DataWarning,
                stacklevel=3,
            )
        return close if given is None else given

    def record(self, state: State) -> Record:
        """Record of the edit of a state, from which ``from_record`` makes it again."""
        settings = self.parameters(leave_out=("symbol", "symbols"))
        return Record.of(self.kind, self.members(state), self.sentence(state), **settings)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Edit of a record."""
        return cls.from_parameters(dict(record.parameters), symbol=record.symbols[0])


class _Several(Edit):
    """An edit of several assets alike."""

    words: ClassVar[Symbols] = ("symbols",)

    symbols: Symbols

    @override
    def _check(self) -> None:
        if not self.symbols:
            raise DataError(f"{self.kind}: no asset named. Name at least one.")
        _checks.unique(self.symbols, what="symbols", where=self.kind, hint="Name each once.")

    @override
    def members(self, state: State) -> Symbols:
        return self.symbols

    @classmethod
    @override
    def from_record(cls, record: Record) -> Self:
        return cls.from_parameters({}, symbols=record.symbols)


class _OfOne(Edit):
    """An edit of one asset."""

    symbol: str

    @override
    def members(self, state: State) -> Symbols:
        return (self.symbol,)

    def own(self, state: State) -> Floats:
        """Returns (draw,) of the asset before the edit."""
        return state.column(self.symbol, where=self.where)

    def happens(self, state: State, probability: float, seed: int) -> NDArray[np.bool_]:
        """Draws (draw,) in which what the edit speaks of happens."""
        return columns.happens(probability, state.weights, seed=seed, symbol=self.symbol)


class Zero(_Several):
    """Delisted assets return zero in every draw.

    Such an asset is not in the middle quantile for sure: the others move around it. Several of them tie and
    share their quantile slots.
    """

    kind: Literal["zero"] = "zero"

    @override
    def returns(self, state: State) -> Floats:
        return np.zeros(len(state.returns))

    @override
    def sentence(self, state: State) -> str:
        return f"{', '.join(self.symbols)}: return set to zero in every draw."


class SetReturn(_OfOne):
    """An asset has one return in every draw, as when it is bought for cash.

    ``value``: simple return from the origin's close to the offer price, above -1.
    """

    kind: Literal["set_return"] = "set_return"
    value: float

    @override
    def _check(self) -> None:
        if self.value <= columns.TOTAL_LOSS:
            raise DataError(
                f"{self.where}: a return must be above -1, got {self.value:g}. {columns.GIVE_SIMPLE}"
            )

    @override
    def returns(self, state: State) -> Floats:
        return np.full(len(state.returns), self.value)

    @override
    def sentence(self, state: State) -> str:
        return f"{self.symbol}: return set to {self.value:.4%}."


class AcquiredForCash(_OfOne):
    """An asset is bought for cash.

    ``offer`` and ``price`` are the offer for a share and the close at the origin, in one currency; the return
    is offer / price - 1. ``probability``: that the deal closes, or that the price stands at the offer, by the
    end of the span; in the other draws, chosen at random by ``seed`` and independently of all returns, the
    asset keeps its own return. The share of their weights is ``probability`` to within one draw.
    """

    closes: ClassVar[Mapping[str, str]] = {"price": "symbol"}

    kind: Literal["acquired_for_cash"] = "acquired_for_cash"
    offer: Positive
    price: Positive | None = None
    probability: Probability = 1.0
    seed: Seed = 0

    @property
    def _value(self) -> float:
        return columns.offer_return(self.offer, self.price or np.nan)

    @override
    def returns(self, state: State) -> Floats:
        closed = self.happens(state, self.probability, self.seed)
        return np.where(closed, self._value, self.own(state))

    @override
    def sentence(self, state: State) -> str:
        how = f"bought for cash at {self.offer:g}, {self._value:+.4%} from {self.price:g}"
        return f"{self.symbol}: {how}{_chance(self.probability)}."


class AcquiredForStock(_OfOne):
    """An asset is bought for shares of another, and moves with it.

    ``ratio`` and ``cash`` are shares of the buyer, which is in the forecast too, and money for one share of
    the asset; ``price`` and ``acquirer_price`` the closes at the origin, in one currency. ``spread``: how far
    below the offer's value the asset still trades at the end of the span, as a share of it; 0 once the deal
    has closed, negative where a higher bid is expected. ``probability`` and ``seed`` as in
    ``AcquiredForCash``.
    """

    words: ClassVar[Symbols] = ("symbol", "acquirer")
    closes: ClassVar[Mapping[str, str]] = {"price": "symbol", "acquirer_price": "acquirer"}

    kind: Literal["acquired_for_stock"] = "acquired_for_stock"
    acquirer: str
    ratio: Positive
    price: Positive | None = None
    acquirer_price: Positive | None = None
    cash: float = 0.0
    spread: float = 0.0
    probability: Probability = 1.0
    seed: Seed = 0

    @override
    def _check(self) -> None:
        if self.symbol == self.acquirer:
            raise DataError(f"{self.where}: an asset cannot buy itself. Name its buyer.")
        if self.cash < 0 or self.spread >= 1:
            raise DataError(
                f"{self.where}: cash must not be below 0 and spread must be below 1, got {self.cash:g} and"
                f" {self.spread:g}."
            )

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
            f"{self.symbol}: bought for {self.ratio:g} {self.acquirer}"
            + (f" and {self.cash:g} in cash" if self.cash else "")
            + f", worth {self._bought(np.zeros(1))[0]:+.4%} today"
            + (f" at a spread of {self.spread:.4%}" if self.spread else "")
            + f"{_chance(self.probability)}."
        )


class Halted(_OfOne):
    """An asset's trading stays halted to the end of the span, with a probability.

    There its return is zero, the last price carried forward; in the other draws, chosen as in
    ``AcquiredForCash``, it keeps its own return.
    """

    kind: Literal["halted"] = "halted"
    probability: Probability = 1.0
    seed: Seed = 0

    @override
    def returns(self, state: State) -> Floats:
        return np.where(self.happens(state, self.probability, self.seed), 0.0, self.own(state))

    @override
    def sentence(self, state: State) -> str:
        return f"{self.symbol}: trading halted to the end{_chance(self.probability)}, return zero there."


class Suspended(Edit):
    """No asset of one class trades: all return zero, tie, and share their slots."""

    words: ClassVar[Symbols] = ("asset_class",)

    kind: Literal["suspended"] = "suspended"
    asset_class: str

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


class Like(_OfOne):
    """An asset returns what another does plus ``spread``, as when bought for stock.

    With a spread of zero the two tie in every draw and share their quantile slots.
    """

    words: ClassVar[Symbols] = ("symbol", "other")

    kind: Literal["like"] = "like"
    other: str
    spread: float = 0.0

    @override
    def _check(self) -> None:
        if self.symbol == self.other:
            raise DataError(f"{self.where}: an asset cannot follow itself. Name another one.")

    @override
    def returns(self, state: State) -> Floats:
        return state.column(self.other, where=self.where) + self.spread

    @override
    def sentence(self, state: State) -> str:
        end = f" {self.spread:+.4%}." if self.spread else "."
        return f"{self.symbol}: return set to that of {self.other}{end}"

    @override
    def remedy(self, state: State) -> str:
        return "Use a spread nearer to zero."


class Shift(_OfOne):
    """``by`` is added to every draw of an asset's simple return."""

    kind: Literal["shift"] = "shift"
    by: float

    @override
    def returns(self, state: State) -> Floats:
        return self.own(state) + self.by

    @override
    def sentence(self, state: State) -> str:
        return f"{self.symbol}: return shifted by {self.by:+.4%}."

    @override
    def remedy(self, state: State) -> str:
        return f"Cap the asset at lower={-1 - self.by:.4g} first, or shift less."


class Scale(_OfOne):
    """An asset's distance from its median is multiplied by ``factor``, above 0."""

    kind: Literal["scale"] = "scale"
    factor: Positive

    @override
    def returns(self, state: State) -> Floats:
        return columns.scale_about_median(self.own(state), self.factor, state.weights_unless_equal)

    @override
    def sentence(self, state: State) -> str:
        return f"{self.symbol}: dispersion around its median scaled by {self.factor:g}."

    @override
    def remedy(self, state: State) -> str:
        median = float(weighted_quantiles(self.own(state), 0.5, state.weights_unless_equal))
        return f"Cap the asset at lower={median - (1 + median) / self.factor:.4g} first, or scale less."


class Cap(_OfOne):
    """An asset's return is held between ``lower`` and ``upper``; give one or both."""

    kind: Literal["cap"] = "cap"
    lower: float | None = None
    upper: float | None = None

    @property
    def _bounds(self) -> tuple[float, float]:
        low = -np.inf if self.lower is None else self.lower
        return low, np.inf if self.upper is None else self.upper

    @override
    def _check(self) -> None:
        if self.lower is None and self.upper is None:
            raise DataError(f"{self.where}: no bound given. Give lower, upper or both.")
        low, high = self._bounds
        if low >= high or high <= columns.TOTAL_LOSS:
            raise DataError(
                f"{self.where}: bounds {low:g} to {high:g} leave no room. Give -1 < lower < upper."
            )

    @override
    def returns(self, state: State) -> Floats:
        return np.clip(self.own(state), *self._bounds)

    @override
    def sentence(self, state: State) -> str:
        given = {"lower": self.lower, "upper": self.upper}
        bounds = ", ".join(f"{k} {x:.4%}" for k, x in given.items() if x is not None)
        return f"{self.symbol}: return capped, {bounds}."


class Replace(_OfOne):
    """An asset's draws are replaced by those of a distribution, or in Python by given numbers (``by``).

    ``distribution`` is a text such as ``"t(4, loc=0.01, scale=0.05)"``, a continuous distribution of
    ``scipy.stats`` of simple returns. Without ``keep_ranks`` draws are taken independently, and the asset's
    dependence with all others is lost; with it the new values are given out by the rank of the old ones, so
    that the asset's rank dependence with the others is kept. ``seed``: for draws from a distribution, and for
    the order of equal draws under ``keep_ranks``. Assets replaced with one seed still get different random
    numbers.
    """

    kind: Literal["replace"] = "replace"
    distribution: str
    keep_ranks: bool = False
    seed: Seed = 0
    _given: Distribution | None = PrivateAttr(None)

    @classmethod
    def by(
        cls, symbol: str, draws: ArrayLike | Distribution, *, keep_ranks: bool = False, seed: int = 0
    ) -> Self:
        """Edit by (draw,) simple returns, one per draw, or by a frozen ``scipy.stats`` distribution."""
        checked = cls(symbol=symbol, distribution="norm()", keep_ranks=keep_ranks, seed=seed)
        given = draws if isinstance(draws, Distribution) else columns.Numbers(draws, where=checked.where)
        edit = checked.model_copy(update={"distribution": columns.describe(given)})
        edit._given = given
        return edit

    @property
    def source(self) -> Distribution:
        """Where the new draws come from."""
        return self._given or columns.distribution(self.distribution, where=self.where)

    @override
    def _check(self) -> None:
        _ = self.source

    @override
    def returns(self, state: State) -> Floats:
        own, source = self.own(state), self.source
        if isinstance(source, columns.Numbers):
            source.check(self.symbol, len(own))
        if self.keep_ranks:
            return columns.map_by_ranks(own, source.ppf, weights=state.weights, seed=self.seed)
        return columns.sample(source, len(own), seed=self.seed, symbol=self.symbol)

    @override
    def sentence(self, state: State) -> str:
        how = "ranks kept" if self.keep_ranks else "independent of the other assets"
        return f"{self.symbol}: draws replaced by {columns.describe(self.source)} ({how})."

    @override
    def remedy(self, state: State) -> str:
        return "Use a distribution of simple returns, bounded at -1."

    @override
    def record(self, state: State) -> Record:
        return Record.of(
            self.kind,
            (self.symbol,),
            self.sentence(state),
            source=columns.describe(self.source),
            keep_ranks=self.keep_ranks,
            seed=self.seed,
        )

    @classmethod
    @override
    def from_record(cls, record: Record) -> Self:
        settings = dict(record.parameters)
        source = settings.pop("source")
        if source == columns.NUMBERS:
            raise DataError(
                f"records: the draws that replaced {record.symbols[0]} were given as numbers, which a record"
                " does not hold. Replace by a distribution, or repeat the edit by hand."
            )
        return cls.from_parameters(settings, symbol=record.symbols[0], distribution=source)


class Drop(_Several):
    """Some assets leave: the others are ranked among themselves."""

    kind: Literal["drop"] = "drop"

    @override
    def apply(self, state: State) -> State:
        state.known(self.symbols, where=self.kind)
        left = len(state.assets) - len(self.symbols)
        if left < 2:
            raise DataError(f"drop: {left} assets would be left. Ranks need at least 2.")
        return state.without(self.symbols)

    @override
    def sentence(self, state: State) -> str:
        return f"{', '.join(self.symbols)}: dropped."


AnyEdit = Annotated[
    Zero
    | SetReturn
    | AcquiredForCash
    | AcquiredForStock
    | Halted
    | Suspended
    | Like
    | Shift
    | Scale
    | Cap
    | Replace
    | Drop,
    Field(discriminator="kind"),
]
EDITS: Final[dict[str, type[Edit]]] = by_kind(AnyEdit)


def parse_edits(texts: Sequence[str]) -> Iterator[Edit]:
    """Edits of short texts, as on the command line: ``"acquired_for_cash ATVI offer=95 price=81"``.

    The kind, the symbols, and settings as key=value.
    """
    for text in texts:
        where = f"edit {text!r}"
        kind, *words = text.split() or [""]
        _checks.known([kind], list(EDITS), what="kind of edit", where=where)
        settings = [w for w in words if "=" in w and "(" not in w.split("=")[0]]
        table: dict[str, Any] = {"kind": kind, **dict(w.split("=", 1) for w in settings)}
        named = [w for w in words if w not in settings]
        fields = EDITS[kind].words
        if fields == ("symbols",):
            table["symbols"] = named
        elif len(named) > len(fields):
            raise DataError(f"{where}: {named[len(fields)]!r} is not of the form key=value.")
        else:
            table |= dict(zip(fields, named, strict=False))
        yield read(table, EDITS, where=where)


def _chance(probability: float) -> str:
    return "" if probability == 1 else f" with probability {probability:g}"
