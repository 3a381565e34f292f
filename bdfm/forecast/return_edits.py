"""Edits that change an asset's returns as told: set, tied to another's, shifted, scaled, capped, replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, override

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, PrivateAttr

from bdfm import _renamed
from bdfm._seeds import either_seed
from bdfm._settings import Seed
from bdfm.data.doubts.tables import Said
from bdfm.errors import DataError
from bdfm.forecast import columns
from bdfm.forecast.columns import Distribution, Floats
from bdfm.forecast.edit import OfOne, Positive, Symbols
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.forecast.records import Record
from bdfm.forecast.state import State


class SetReturn(OfOne):
    """An asset has one return in every draw, as when it is bought for cash.

    ``value``: simple return from the origin's close to the offer price, above -1.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["set_return RRC value=0.02"])
    >>> isinstance(edit, edits.SetReturn), edit.kind
    (True, 'set_return')
    """

    kind: Literal["set_return"] = "set_return"
    value: float

    @override
    def _check(self) -> None:
        if self.value <= columns.TOTAL_LOSS:
            raise DataError(
                f"{self.where}: a return must be above -1, got {self.value:g}. {columns.GIVE_SIMPLE}"
            )

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        return (Said(self.where, self.asset, "return", self.value),)

    @override
    def returns(self, state: State) -> Floats:
        return np.full(len(state.returns), self.value)

    @override
    def sentence(self, state: State) -> str:
        return f"{self.asset}: return set to {self.value:.4%}."


class Like(OfOne):
    """An asset returns what another does plus ``spread``, as when bought for stock.

    With a spread of zero the two tie in every draw and share their quantile slots.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["like RRC other=XOM spread=0.01"])
    >>> isinstance(edit, edits.Like), edit.kind
    (True, 'like')
    """

    words: ClassVar[Symbols] = ("asset", "other")

    kind: Literal["like"] = "like"
    other: str  # asset that it follows
    spread: float = 0.0

    @override
    def _check(self) -> None:
        if self.asset == self.other:
            raise DataError(f"{self.where}: an asset cannot follow itself. Name another one.")

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        return (Said(self.where, self.asset, "return", self.spread),)

    @override
    def returns(self, state: State) -> Floats:
        return state.column(self.other, where=self.where) + self.spread

    @override
    def sentence(self, state: State) -> str:
        end = f" {self.spread:+.4%}." if self.spread else "."
        return f"{self.asset}: return set to that of {self.other}{end}"

    @override
    def remedy(self, state: State) -> str:
        return "Use a spread nearer to zero."


class Shift(OfOne):
    """``by`` is added to every draw of an asset's simple return.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["shift XOM by=0.02"])
    >>> isinstance(edit, edits.Shift), edit.kind
    (True, 'shift')
    """

    kind: Literal["shift"] = "shift"
    by: float

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        return (Said(self.where, self.asset, "return", self.by),)

    @override
    def returns(self, state: State) -> Floats:
        return self.own(state) + self.by

    @override
    def sentence(self, state: State) -> str:
        return f"{self.asset}: return shifted by {self.by:+.4%}."

    @override
    def remedy(self, state: State) -> str:
        return f"Cap the asset at lower={-1 - self.by:.4g} first, or shift less."


class Scale(OfOne):
    """An asset's distance from its median is multiplied by ``factor``, above 0.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["scale XOM factor=1.5"])
    >>> isinstance(edit, edits.Scale), edit.kind
    (True, 'scale')
    """

    kind: Literal["scale"] = "scale"
    factor: Positive

    @override
    def returns(self, state: State) -> Floats:
        return columns.scale_about_median(self.own(state), self.factor, state.weights_unless_equal)

    @override
    def sentence(self, state: State) -> str:
        return f"{self.asset}: dispersion around its median scaled by {self.factor:g}."

    @override
    def remedy(self, state: State) -> str:
        median = float(weighted_quantiles(self.own(state), 0.5, state.weights_unless_equal))
        return f"Cap the asset at lower={median - (1 + median) / self.factor:.4g} first, or scale less."


class Cap(OfOne):
    """An asset's return is held between ``lower`` and ``upper``; give one or both.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["cap XOM lower=-0.1"])
    >>> isinstance(edit, edits.Cap), edit.kind
    (True, 'cap')
    """

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

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        given = [x for x in (self.lower, self.upper) if x is not None and x > columns.TOTAL_LOSS]
        return tuple(Said(self.where, self.asset, "return", x) for x in given)

    @override
    def returns(self, state: State) -> Floats:
        return np.clip(self.own(state), *self._bounds)

    @override
    def sentence(self, state: State) -> str:
        given = {"lower": self.lower, "upper": self.upper}
        bounds = ", ".join(f"{k} {x:.4%}" for k, x in given.items() if x is not None)
        return f"{self.asset}: return capped, {bounds}."


class Replace(OfOne):
    """An asset's draws are replaced by those of a distribution, or in Python by given numbers (``by``).

    ``distribution`` is a text such as ``"t(4, loc=0.01, scale=0.05)"``, a continuous distribution of
    ``scipy.stats`` of simple returns. Without ``keep_ranks`` draws are taken independently, and the asset's
    dependence with all others is lost; with it the new values are given out by the rank of the old ones, so
    that the asset's rank dependence with the others is kept. ``seed``: for draws from a distribution, and for
    the order of equal draws under ``keep_ranks``. Assets replaced with one seed still get different random
    numbers.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["replace RRC distribution=norm(0,0.1)"])
    >>> isinstance(edit, edits.Replace), edit.kind
    (True, 'replace')
    """

    kind: Literal["replace"] = "replace"
    distribution: str
    keep_ranks: bool = False
    seed: Seed = 0
    _given: Distribution | None = PrivateAttr(None)

    @classmethod
    @_renamed.keywords(symbol="asset")
    @either_seed
    def by(
        cls, asset: str, draws: ArrayLike | Distribution, *, keep_ranks: bool = False, seed: int = 0
    ) -> Self:
        """Edit by (draw,) simple returns, one per draw, or by a frozen ``scipy.stats`` distribution."""
        checked = cls(asset=asset, distribution="norm()", keep_ranks=keep_ranks, seed=seed)
        given = draws if isinstance(draws, Distribution) else columns.Numbers(draws, where=checked.where)
        edit = BaseModel.model_copy(checked, update={"distribution": columns.describe(given)})
        edit._given = given
        return edit

    @override
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As of any edit; what Python gave stays, unless another ``distribution`` is said."""
        if self._given is None or not update or "distribution" in update:
            return super().model_copy(update=update, deep=deep)
        checked = super().model_copy(update={**update, "distribution": "norm()"}, deep=deep)
        edit = BaseModel.model_copy(checked, update={"distribution": self.distribution})
        edit._given = self._given
        return edit

    @property
    def source(self) -> Distribution:
        """Where the new draws come from."""
        return self._given or columns.distribution(self.distribution, where=self.where)

    @override
    def _check(self) -> None:
        _ = self.source

    @property
    @override
    def said(self) -> tuple[Said, ...]:
        source = self.source
        if isinstance(source, columns.Numbers) and not (source.values.ndim and source.values.size):
            return ()  # refused where the draws are known that it is to replace
        middle = float(np.ravel(source.ppf(np.array([0.5])))[0])
        return (Said(self.where, self.asset, "return", middle),)

    @override
    def returns(self, state: State) -> Floats:
        own, source = self.own(state), self.source
        if isinstance(source, columns.Numbers):
            source.check(self.asset, len(own))
        if self.keep_ranks:
            return columns.map_by_ranks(
                own, source.ppf, weights=state.weights, seed=self.seed, symbol=self.asset
            )
        return columns.sample(source, len(own), seed=self.seed, symbol=self.asset)

    @override
    def sentence(self, state: State) -> str:
        how = "ranks kept" if self.keep_ranks else "independent of the other assets"
        return f"{self.asset}: draws replaced by {columns.describe(self.source)} ({how})."

    @override
    def remedy(self, state: State) -> str:
        return "Use a distribution of simple returns, bounded at -1."

    @override
    def record(self, state: State) -> Record:
        return Record.of(
            self.kind,
            (self.asset,),
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
        return cls.from_parameters(settings, asset=record.symbols[0], distribution=source)
