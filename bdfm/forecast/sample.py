"""What views read: the returns in the draws, and what of them a view holds at a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm import _blocks

Floats = NDArray[np.float64]

# Means, volatilities and correlations are of returns cut at these quantiles (see ``Sample.cut``).
CUT: Final = 1e-4
BLOCK: Final = 16_384  # draws that are held in double precision at a time, at most


@dataclass(frozen=True)
class Sample:
    """Draws (draw, asset) of simple returns with their labels."""

    draws: NDArray[Any]
    assets: tuple[str, ...]
    _events: dict[tuple[object, ...], Floats] = field(default_factory=dict, compare=False)

    def column(self, symbol: str) -> Floats:
        """Returns (draw,) of one asset."""
        return _blocks.column(self.draws, self.assets.index(symbol)).astype(np.float64)

    def portfolio(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio."""
        if len(weights) <= 3:
            return np.asarray(sum(w * self.column(s) for s, w in weights.items()))
        row = np.zeros(len(self.assets))
        for symbol, weight in weights.items():
            row[self.assets.index(symbol)] = weight
        total = np.empty(len(self.draws))
        for here in _blocks.blocks(self.draws, most=BLOCK):  # whole rows: columns are slow to read
            total[here] = self.draws[here].astype(np.float64) @ row
        return total

    def cut(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio, those beyond their 0.01 % and 99.99 % quantiles set to these.

        A log return with Student-t noise of few degrees of freedom has no finite mean as a simple return: a
        single draw of +10,000 % could satisfy a view on the mean alone, and nothing else would move. Up to
        10,000 draws are never cut.
        """
        return cut_ends(self.portfolio(weights))

    def above(self, one: str, other: str) -> Floats:
        """1 (draw,) where ``one`` returns more than ``other``, 0 where less, a half where they tie."""
        a, b = self.column(one), self.column(other)
        return np.where(a == b, 0.5, (a > b).astype(np.float64))

    def share_of_quantile(self, symbol: str, quantile: int, n_quantiles: int) -> Floats:
        """Share (draw,) of an asset's position that lies in a quantile; ties share as in ``ranks``."""
        key = (symbol, quantile, n_quantiles)
        if key not in self._events:
            self._events[key] = self._share_of_quantile(*key)
        return self._events[key]

    def _share_of_quantile(self, symbol: str, quantile: int, n_quantiles: int) -> Floats:
        n = len(self.assets)
        below, tied = np.empty((2, len(self.draws)), dtype=np.int64)
        for here in _blocks.blocks(self.draws):
            block = self.draws[here]
            own = block[:, [self.assets.index(symbol)]]
            below[here] = np.count_nonzero(block < own, axis=1)
            tied[here] = np.count_nonzero(block == own, axis=1)  # itself included
        # In units of 1/n_quantiles everything is a whole number, so boundaries are exact.
        low = np.maximum(below * n_quantiles, (quantile - 1) * n)
        high = np.minimum((below + tied) * n_quantiles, quantile * n)
        return np.asarray(np.maximum(high - low, 0) / (tied * n_quantiles))


def cut_ends(x: Floats) -> Floats:
    """Values (draw,), those beyond their 0.01 % and 99.99 % quantiles set to these, in place."""
    n_out = int(CUT * len(x))
    if n_out:
        ends = np.partition(x, [n_out, len(x) - 1 - n_out])[[n_out, len(x) - 1 - n_out]]
        np.clip(x, *ends, out=x)
    return x


@dataclass(frozen=True)
class Row:
    """One linear constraint: the expectation of ``feature`` (draw,), against ``target``."""

    key: tuple[object, ...]
    feature: Floats
    target: float
    sign: int = 0
