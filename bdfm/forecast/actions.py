"""Actions: what makes another forecast of a forecast, and writes a record of it.

Edits change draws and views change weights. What an edit means, and what it refuses, is said by its class in
``edits``; its method here is for the fingers: ``forecast.zero("DRE")``.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bdfm import _renamed
from bdfm._blocks import blocks
from bdfm._reading import PACKAGE, quoted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError, DataWarning, InfeasibleViewError
from bdfm.forecast import edits, effects, weigh
from bdfm.forecast.columns import Distribution
from bdfm.forecast.edit import Edit
from bdfm.forecast.effects import Past
from bdfm.forecast.ranks import normalised_weights
from bdfm.forecast.records import Record, Scalar
from bdfm.forecast.state import State
from bdfm.forecast.view import View
from bdfm.forecast.weigh import Pool

ALL_FIXED: Final = (
    "after them each of the assets has one return in all draws. Nothing is left to forecast. Take some of"
    " them out."
)


def warn_again(records: Iterable[Record]) -> None:
    """Warn of edits that were said before and change draws once more; once all else about them is known."""
    for record in dict.fromkeys(records):
        warnings.warn(
            f"edits: {record.text.rstrip('.')}, was said before, and counts once more. Leave"
            " it out if it is the same; give the sum if it is not.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Actions:
    """State of a forecast, the records of what was done to it, and the methods that do more.

    ``_past`` is what the newest records replaced; of older ones the effect is known, or lost.
    """

    _state: State
    records: tuple[Record, ...]
    _past: tuple[Past, ...]

    @cached_property
    def _told(self) -> tuple[Record, ...]:
        """Records with their effects."""
        return effects.with_effects(self.records, self._past, self._state)

    def _then(self, state: State, past: Past, *records: Record) -> Self:
        """Forecast after a change: the one place where a record is added, and what it replaced."""
        known = "_told" in self.__dict__  # effects are worked out once
        return replace(
            self,
            _state=state,
            records=(*(self._told if known else self.records), *records),
            _past=(*(() if known else self._past), past),
        )

    @property
    def is_fixed(self) -> bool:
        """Whether no asset's return differs between draws, as after an edit of each."""
        returns = self._state.returns
        return not any((returns[here] != returns[0]).any() for here in blocks(returns))

    @property
    def closes(self) -> pd.Series[float] | None:
        """Close of each symbol at the origin, by which prices in edits are checked; None where not known."""
        return None

    def edit(self, *statements: Edit, accept: Collection[str] | None = ()) -> Self:
        """Forecast after edits, one after the other.

        ``accept``: doubts about their numbers that are right all the same (``bdfm.data.doubts``), such as
        ``["statement-unit:TLT"]``; None where they were examined before.
        """
        for strange in statements:
            if not isinstance(strange, Edit):
                raise DataError(
                    f"edits: {quoted(strange)} is a {type(strange).__name__}, not an edit. Give edits one by"
                    ' one, such as edits.Shift(asset="TLT", by=0.01), or *edits.parse_edits([...]).'
                )
        statements = tuple(e.priced(self.closes) for e in statements)
        said = [x for e in statements for x in e.said_beside(self.closes)]
        doubt(Tables("forecast", said=said), accept=accept)
        forecast, again = self._edited(statements)
        if accept is not None:
            warn_again(again)
            if forecast.is_fixed and not self.is_fixed:
                warnings.warn(f"edits: {ALL_FIXED}", DataWarning, skip_file_prefixes=(PACKAGE,))
        return forecast

    def _edited(self, statements: Iterable[Edit]) -> tuple[Self, list[Record]]:
        """Forecast after edits that were looked at, and the records of those that were said before."""
        forecast, again = self, []
        for edit in statements:
            state = forecast._state
            before = Counter(s for r in forecast.records if r.is_random for s in r.symbols)
            changed, record = edit.apply(replace(state, events=before)), edit.record(state)
            if record in forecast.records and not np.array_equal(changed.returns, state.returns):
                again.append(record)
            forecast = forecast._then(changed, Past.of(state, record.symbols), record)
        return forecast, again

    # -- views -----------------------------------------------------------------------------------------

    @strict
    def with_views(
        self,
        *statements: View,
        shares: Mapping[str, float] | None = None,
        pool: Pool = "linear",
        min_effective_draws: float | None = None,
        few: Literal["warn", "refuse"] = "warn",
        accept: Collection[str] | None = (),
    ) -> Self:
        """Forecast in which views hold: other weights, the same draws.

        Parameters
        ----------
        statements
            Views of ``bdfm.forecast.views``, such as ``views.Absolute(asset="TLT", mean=0.02, sd=0.1,
            semantics="evidence")``; all are taken together, and their order does not matter. Without any, the
            forecast stays as it is.
        shares
            Share of each person where the views say by whom they are; the rest stays with this forecast.
            By default all people share the whole equally.
        pool
            ``linear`` or ``log``: the arithmetic or the geometric mean of people's weights.
        min_effective_draws
            Fewer effective draws are refused; by default 1,000, or a tenth where there are fewer than 10,000.
        few
            What to do where they are not refused, but few (``weigh.few_left``).
        accept
            As in ``edit``.

        Raises
        ------
        InfeasibleViewError
            A view that contradicts others, that no weighting of the draws satisfies, or that leaves too few
            effective draws. The message names it and the strongest that could be had.
        UnknownLabelError, DataError
            An unknown symbol, one subject twice, a view that this forecast has already, or shares that cannot
            be used.

        Warns
        -----
        DataWarning
            Few effective draws are left: evidence inside the model (``evidence`` of ``bdfm.fit``) is better.
        """
        weigh.check_views(statements, self._state.assets)
        doubt(Tables("forecast", said=[x for v in statements for x in v.said]), accept=accept)
        self.check_new([v.record(0) for v in statements])
        state = self._state
        weights = weigh.view_weights(
            state.returns,
            state.weights,
            state.assets,
            statements,
            shares=shares,
            pool=pool,
            min_effective_draws=min_effective_draws,
        )
        if not statements:
            return self
        seen = state.with_weights(weights)
        if weigh.few_left(state.effective_draws, seen.effective_draws):
            message = (
                f"views: {seen.effective_draws:,.0f} effective of {len(weights):,} draws are left; tails and"
                " probabilities are as rough as from so few. Put evidence on a return into the model instead"
                " (bdfm.fit(..., evidence=[...]); of market days posterior.with_evidence(...)); or take more"
                " draws."
            )
            if few == "refuse":
                raise InfeasibleViewError(message)
            warnings.warn(message, DataWarning, skip_file_prefixes=(PACKAGE,))
        step = len(self.records) + 1
        records = [view.record(step) for view in statements]
        if shares is not None or pool != "linear":
            how: dict[str, Scalar] = {} if pool == "linear" else {"pool": pool}
            how |= {f"shares.{person}": share for person, share in (shares or {}).items()}
            text = ", ".join(f"{person} {share:g}" for person, share in (shares or {}).items()) or "equally"
            manner = "" if pool == "linear" else f" ({pool})"
            records.append(Record.of("pool", (), f"Views pooled{manner}: {text}.", step=step, **how))
        past = Past.of(state, n_records=len(records), views=statements, shares=shares, pool=pool)
        return self._then(seen, past, *records)

    def check_new(self, records: Collection[Record]) -> None:
        """Raise ``DataError`` for a record that says what one of this forecast says: it would count twice."""
        for record in records:
            for number, old in enumerate(self.records, 1):
                if old.says_the_same(record):
                    raise DataError(
                        f"{record.text.removesuffix('.')}: this forecast has it already, as change {number}"
                        " of its history. Take the forecast before it, or leave it out."
                    )

    def with_weights(self, weights: ArrayLike, *, record: Record) -> Self:
        """Forecast with other weights (draw,) and the record of the view that gave them; draws stay."""
        new = normalised_weights(weights, len(self._state.weights), where=record.kind)
        return self._then(self._state.with_weights(new), Past.of(self._state), record)

    def with_record(self, record: Record) -> Self:
        """Forecast with one more record, of what was done to the draws before they came here."""
        return self._then(self._state, Past.of(self._state, acts=False), record)

    # -- edits -----------------------------------------------------------------------------------------

    def zero(self, *assets: str) -> Self:
        """Forecast in which delisted assets return zero in every draw, see ``edits.Zero``."""
        return self.edit(edits.Zero(assets=assets))

    @_renamed.keywords(symbol="asset")
    def set_return(self, asset: str, value: float) -> Self:
        """Forecast in which an asset has one simple return in every draw, see ``edits.SetReturn``."""
        return self.edit(edits.SetReturn(asset=asset, value=value))

    @_renamed.keywords(symbol="asset")
    @either_seed
    def acquired_for_cash(
        self, asset: str, *, offer: float, price: float, probability: float = 1.0, seed: int = 0
    ) -> Self:
        """Forecast in which an asset is bought for cash, see ``edits.AcquiredForCash``."""
        return self.edit(
            edits.AcquiredForCash(asset=asset, offer=offer, price=price, probability=probability, seed=seed)
        )

    @_renamed.keywords(symbol="asset")
    @either_seed
    def acquired_for_stock(
        self,
        asset: str,
        acquirer: str,
        *,
        ratio: float,
        price: float,
        acquirer_price: float,
        cash: float = 0.0,
        spread: float = 0.0,
        probability: float = 1.0,
        seed: int = 0,
    ) -> Self:
        """Forecast in which an asset is bought for shares of another, see ``edits.AcquiredForStock``."""
        return self.edit(
            edits.AcquiredForStock(
                asset=asset,
                acquirer=acquirer,
                ratio=ratio,
                price=price,
                acquirer_price=acquirer_price,
                cash=cash,
                spread=spread,
                probability=probability,
                seed=seed,
            )
        )

    @_renamed.keywords(symbol="asset")
    @either_seed
    def halted(self, asset: str, *, probability: float = 1.0, seed: int = 0) -> Self:
        """Forecast in which an asset's trading stays halted, with a probability, see ``edits.Halted``."""
        return self.edit(edits.Halted(asset=asset, probability=probability, seed=seed))

    def suspended(self, asset_class: str) -> Self:
        """Forecast in which no asset of one class trades, see ``edits.Suspended``."""
        return self.edit(edits.Suspended(asset_class=asset_class))

    @_renamed.keywords(symbol="asset")
    def like(self, asset: str, other: str, spread: float = 0.0) -> Self:
        """Forecast in which an asset returns what another does plus ``spread``, see ``edits.Like``."""
        return self.edit(edits.Like(asset=asset, other=other, spread=spread))

    @_renamed.keywords(symbol="asset")
    def shift(self, asset: str, by: float) -> Self:
        """Forecast in which ``by`` is added to every draw of an asset's return, see ``edits.Shift``."""
        return self.edit(edits.Shift(asset=asset, by=by))

    @_renamed.keywords(symbol="asset")
    def scale(self, asset: str, factor: float) -> Self:
        """Forecast in which an asset's distance from its median is multiplied, see ``edits.Scale``."""
        return self.edit(edits.Scale(asset=asset, factor=factor))

    @_renamed.keywords(symbol="asset")
    def cap(self, asset: str, lower: float | None = None, upper: float | None = None) -> Self:
        """Forecast in which an asset's return is held between bounds, see ``edits.Cap``."""
        return self.edit(edits.Cap(asset=asset, lower=lower, upper=upper))

    @_renamed.keywords(symbol="asset")
    @either_seed
    def replace(
        self, asset: str, draws: ArrayLike | Distribution, *, keep_ranks: bool = False, seed: int = 0
    ) -> Self:
        """Forecast in which an asset's draws are replaced, see ``edits.Replace``.

        ``draws``: (draw,) simple returns, one per draw, or a frozen ``scipy.stats`` distribution of them.
        """
        return self.edit(edits.Replace.by(asset, draws, keep_ranks=keep_ranks, seed=seed))

    def drop(self, *assets: str) -> Self:
        """Forecast without some assets, see ``edits.Drop``."""
        return self.edit(edits.Drop(assets=assets))
