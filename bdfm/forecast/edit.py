"""Edit: what all edits share."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Self, override

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from bdfm import _checks
from bdfm._reading import PACKAGE, short
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError, DataWarning
from bdfm.forecast import columns
from bdfm.forecast.columns import Floats
from bdfm.forecast.records import Record
from bdfm.forecast.state import State, single
from bdfm.forecast.statements import Statement

PRICE_TOLERANCE: Final = 0.05  # a price this far from the last close is questioned

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Symbols = tuple[str, ...]


class Edit(Statement):
    """Base of all edits: what they share on the command line, in files and in records.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> [e.kind for e in edits.parse_edits(["zero RRC", "shift XOM by=0.02"])]
    ['zero', 'shift']
    """

    what: ClassVar[str] = "edit"
    keeps_defaults: ClassVar[bool] = True
    words: ClassVar[Symbols] = ("asset",)  # fields that a text on the command line gives without their names
    closes: ClassVar[Mapping[str, str]] = {}  # prices that closes can fill, and the field that says whose

    @classmethod
    @override
    def place(cls, settings: Mapping[str, Any]) -> str:
        asset = str(settings.get("asset", ""))
        return f"{cls.model_fields['kind'].default} {short(asset) if asset else ''}".strip()

    @property
    def where(self) -> str:
        """What the edit is about, for messages."""
        return self.place(self.__dict__)

    def members(self, state: State) -> Symbols:
        """Symbols of the assets that the edit changes; ``state`` is the forecast before it.

        Raises ``UnknownLabelError`` for a class, or an asset, that the forecast lacks.
        """
        raise NotImplementedError

    def returns(self, state: State) -> Floats:
        """Return (draw,) that these assets get; ``state`` is the forecast before."""
        raise NotImplementedError

    def sentence(self, state: State) -> str:
        """What is done to the forecast before, ``state``, for the record."""
        raise NotImplementedError

    def remedy(self, state: State) -> str:
        """What helps where the new returns are impossible, given the forecast before, ``state``."""
        return ""

    def apply(self, state: State) -> State:
        """State of a forecast after the edit, given ``state`` before it.

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
                skip_file_prefixes=(PACKAGE,),
            )
        return close if given is None else given

    def said_beside(self, closes: pd.Series[float] | None) -> tuple[Said, ...]:
        """What is ``said``, and the prices that it gives over the closes at the origin."""
        found = list(self.said)
        for key, whose in self.closes.items():
            given, symbol = getattr(self, key), getattr(self, whose)
            close = None if closes is None or symbol not in closes.index else float(closes[symbol])
            if given is not None and close is not None and close > 0:
                shown = f"a {key} of {given:g} for {symbol} beside its last close {close:g}"
                found.append(Said(self.where, symbol, "ratio", given / close, shown))
        return tuple(found)

    def record(self, state: State) -> Record:
        """Record of the edit of a state, from which ``from_record`` makes it again."""
        settings = self.parameters(leave_out=("asset", "assets"))
        return Record.of(self.kind, self.members(state), self.sentence(state), **settings)

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Edit of a record.

        Raises ``DataError`` for draws given as numbers, which a record does not hold.
        """
        return cls.from_parameters(dict(record.parameters), asset=record.symbols[0])


class Several(Edit):
    """An edit of several assets alike."""

    words: ClassVar[Symbols] = ("assets",)
    renamed: ClassVar[Mapping[str, str]] = {"symbols": "assets"}

    assets: Symbols  # each edited alike

    @override
    def _check(self) -> None:
        if not self.assets:
            raise DataError(f"{self.kind}: no asset named. Name at least one.")
        _checks.unique(self.assets, what="asset", where=self.kind, hint="Name each once.")

    @override
    def members(self, state: State) -> Symbols:
        return self.assets

    @classmethod
    @override
    def from_record(cls, record: Record) -> Self:
        return cls.from_parameters({}, assets=record.symbols)


class OfOne(Edit):
    """An edit of one asset."""

    renamed: ClassVar[Mapping[str, str]] = {"symbol": "asset"}

    asset: str

    @override
    def members(self, state: State) -> Symbols:
        return (self.asset,)

    def own(self, state: State) -> Floats:
        """Returns (draw,) of the asset before the edit."""
        return state.column(self.asset, where=self.where)

    def happens(self, state: State, probability: float, seed: int) -> NDArray[np.bool_]:
        """Draws (draw,) in which what the edit speaks of happens."""
        nth = state.events.get(self.asset, 0)
        return columns.happens(probability, state.weights, seed=seed, symbol=self.asset, nth=nth)
