"""Effects: what each edit and view did to the assets that it moved most.

They are worked out when somebody asks, since each change costs a ranking of all draws, about 2 s for 600,000
draws of 100 assets. Until then a forecast keeps of each change what it replaced: the old returns of the
assets edited, or the old weights. With these the changes are taken back one by one, the newest first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _blocks
from bdfm.errors import InfeasibleViewError
from bdfm.forecast.columns import Floats
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.forecast.records import MEASURES, Effect, Record
from bdfm.forecast.sample import Sample
from bdfm.forecast.state import State
from bdfm.forecast.view import View
from bdfm.forecast.weigh import Pool, view_weights

N_NAMED: Final = 8  # assets that an effect names, besides those it is about
N_FIFTHS: Final = 5


@dataclass(frozen=True, eq=False)
class Past:
    """What a change replaced: enough to take it back.

    Attributes
    ----------
    n_records
        Number of records that it wrote.
    ranked
        Probabilities known, or to be known, of the state before it.
    weights, assets, asset_class, names
        Those before it.
    returns
        Returns (draw,) before it of the assets whose returns it changed, and of those that left.
    views, shares, pool
        Where views did it: these, the shares of the people who hold them, and how they were pooled.
    acts
        False for the record of something that is no change of this forecast.
    """

    n_records: int
    ranked: dict[int, Floats]
    weights: Floats
    assets: tuple[str, ...]
    asset_class: tuple[str, ...]
    names: tuple[str, ...]
    returns: Mapping[str, NDArray[np.float32]]
    views: tuple[View, ...] = ()
    shares: Mapping[str, float] | None = None
    pool: Pool = "linear"
    acts: bool = True

    @classmethod
    def of(cls, state: State, symbols: Sequence[str] = (), *, n_records: int = 1, **more: Any) -> Past:
        """What a change of the returns of ``symbols``, or of the weights, is about to replace."""
        old = {s: _blocks.column(state.returns, state.assets.index(s)) for s in symbols}
        labels = (state.assets, state.asset_class, state.names)
        return cls(n_records, state.ranked, state.weights, *labels, old, **more)

    def before(self, after: State) -> State:
        """State before the change that led to ``after``."""
        returns = after.returns
        if self.returns:
            returns = _blocks.empty(len(returns), len(self.assets))
            kept = [i for i, a in enumerate(self.assets) if a not in self.returns]
            source = [after.assets.index(self.assets[i]) for i in kept]
            for here in _blocks.blocks(returns, after.returns):
                returns[here, kept] = after.returns[here, source]
                for symbol, column in self.returns.items():
                    returns[here, self.assets.index(symbol)] = column[here]
        state = State(returns, self.weights, self.assets, self.asset_class, self.names)
        return state.with_ranks(self.ranked)

    def steps(self, before: State, after: State) -> Iterator[State]:
        """States on the way, where views are added one after the other."""
        state = before
        for n in range(1, len(self.views)):
            some = self.views[:n]
            people = {v.by for v in some}
            shares = None if self.shares is None else {p: x for p, x in self.shares.items() if p in people}
            try:
                weights = view_weights(
                    before.returns,
                    before.weights,
                    before.assets,
                    some,
                    shares=shares,
                    pool=self.pool,
                    min_effective_draws=0,
                )
                state = before.with_weights(weights)
            except InfeasibleViewError:
                pass  # held only together with those after it: it does nothing alone
            yield state
        yield after


def with_effects(records: Sequence[Record], past: Sequence[Past], state: State) -> tuple[Record, ...]:
    """Records with their effects; the newest are those of ``past``, which led to ``state``.

    The effect of a view is that of adding it to those before it in the same call. Records of what is no
    change, such as evidence inside the model, have none.
    """
    found = list(records)
    place = len(found)
    for change in reversed(past):
        place -= change.n_records
        before = change.before(state)
        if change.acts:
            last = before
            for offset, after in enumerate(change.steps(before, state)):
                record = found[place + offset]
                found[place + offset] = replace(record, effect=_effect(last, after, record.symbols))
                last = after
        state = before
    return tuple(found)


def table(records: Sequence[Record]) -> pd.DataFrame:
    """Effects as ``Forecast.effects`` gives them."""
    rows = []
    for number, record in enumerate(records, 1):
        if record.effect is None:
            continue
        for symbol, before in record.effect.before.items():
            row: dict[str, Any] = {"change": number, "text": record.text, "symbol": symbol}
            row["effective_draws"] = record.effect.effective_draws
            for measure, old, new in zip(MEASURES, before, record.effect.after[symbol], strict=True):
                row |= {f"{measure}_before": old, f"{measure}_after": new}
            rows.append(row)
    columns = ["change", "text", "symbol", "effective_draws"]
    columns += [f"{m}_{when}" for m in MEASURES for when in ("before", "after")]
    return pd.DataFrame(rows, columns=columns)


def _effect(before: State, after: State, symbols: Sequence[str]) -> Effect:
    """Effect of a change about ``symbols``."""
    both = [a for a in after.assets if a in before.assets]
    moved = (_ends(after).loc[both] - _ends(before).loc[both]).abs().sum(axis=1)
    named = [s for s in symbols if s in both][:N_NAMED]
    others = [str(s) for s in moved.sort_values(ascending=False, kind="stable").index if s not in named]
    chosen = [*named, *others[:N_NAMED]]
    return Effect(
        after.effective_draws,
        {s: _measures(before, s) for s in chosen},
        {s: _measures(after, s) for s in chosen},
    )


def _ends(state: State) -> pd.DataFrame:
    """Probabilities (asset, 2) of the lowest and highest fifth."""
    return pd.DataFrame(state.probabilities(N_FIFTHS)[:, [0, -1]], index=list(state.assets))


def _measures(state: State, symbol: str) -> tuple[float, ...]:
    """``MEASURES`` of an asset; the sd is of cut returns, as in views."""
    x, weights = Sample(state.returns, state.assets).cut({symbol: 1.0}), state.weights
    mean = float(weights @ x)
    low, high = _ends(state).loc[symbol].to_numpy()
    sd = float(np.sqrt(weights @ np.square(x - mean)))
    return float(weighted_quantiles(x, 0.5, weights)), sd, float(low), float(high)
