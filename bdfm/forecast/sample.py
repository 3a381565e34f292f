"""What views read: the returns in the draws, and what of them a view holds at a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Means, volatilities and correlations are of returns cut at these quantiles (see ``Sample.cut``).
CUT: Final = 1e-4
_BLOCK: Final = 16_384  # draws that are held in double precision at a time


@dataclass(frozen=True)
class Sample:
    """Draws (draw, asset) of simple returns with their labels."""

    draws: NDArray[Any]
    assets: tuple[str, ...]
    _events: dict[tuple[object, ...], Floats] = field(default_factory=dict, compare=False)

    def column(self, symbol: str) -> Floats:
        """Returns (draw,) of one asset."""
        return np.asarray(self.draws[:, self.assets.index(symbol)], dtype=np.float64)

    def portfolio(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio."""
        if len(weights) <= 3:
            return np.asarray(sum(w * self.column(s) for s, w in weights.items()))
        row = np.zeros(len(self.assets))
        for symbol, weight in weights.items():
            row[self.assets.index(symbol)] = weight
        total = np.empty(len(self.draws))
        for start in range(0, len(total), _BLOCK):  # whole rows: columns of a wide table are slow to read
            total[start : start + _BLOCK] = self.draws[start : start + _BLOCK].astype(np.float64) @ row
        return total

    def cut(self, weights: Mapping[str, float]) -> Floats:
        """Returns (draw,) of a portfolio, those beyond their 0.01 % and 99.99 % quantiles set to these.

        A log return with Student-t noise of few degrees of freedom has no finite mean as a simple return: a
        single draw of +10,000 % could satisfy a view on the mean alone, and nothing else would move. Up to
        10,000 draws are never cut.
        """
        x = self.portfolio(weights)
        n_out = int(CUT * len(x))
        if n_out:
            ends = np.partition(x, [n_out, len(x) - 1 - n_out])[[n_out, len(x) - 1 - n_out]]
            np.clip(x, *ends, out=x)
        return x

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
        own = self.draws[:, [self.assets.index(symbol)]]
        below = np.count_nonzero(self.draws < own, axis=1)
        tied = np.count_nonzero(self.draws == own, axis=1)  # itself included
        # In units of 1/n_quantiles everything is a whole number, so boundaries are exact.
        low = np.maximum(below * n_quantiles, (quantile - 1) * n)
        high = np.minimum((below + tied) * n_quantiles, quantile * n)
        return np.asarray(np.maximum(high - low, 0) / (tied * n_quantiles))


@dataclass(frozen=True)
class Row:
    """One linear constraint: the expectation of ``feature`` (draw,), against ``target``."""

    key: tuple[object, ...]
    feature: Floats
    target: float
    sign: int = 0
