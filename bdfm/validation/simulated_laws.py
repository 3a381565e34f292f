"""Laws of test statistics by simulation: chi-squared is wrong in the tail, where shared levels need it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_DRAWS: Final = 20_000
TAIL: Final = 0.02  # share of the draws that the tail is made of
LONGEST: Final = 2000  # periods, from which on laws hardly change
_STEP: Final = 0.05  # of the logarithm of periods between laws that are simulated
_BLOCK: Final = 1000  # series simulated at a time
_SHORTEST: Final = 8


@dataclass(frozen=True, eq=False)
class SimulatedLaw:
    """Law of a statistic that is large if something is wrong.

    Attributes
    ----------
    draws
        Sorted values of the statistic where nothing is wrong.
    start, scale
        Where the last 2 % of them begin, and the mean excess there: beyond, the tail is exponential.
    """

    draws: Floats
    start: float
    scale: float

    def p_values(self, values: Floats) -> Floats:
        """Chances of at least ``values``; NaN stays."""
        body = 1 - np.searchsorted(self.draws, values) / len(self.draws)
        beyond = TAIL * np.exp(-np.maximum(values - self.start, 0.0) / self.scale)
        return np.where(np.isnan(values), np.nan, np.where(values > self.start, beyond, body))


def law_of(statistic: Callable[..., Floats], n_periods: int, *args: Any) -> SimulatedLaw:
    """Law of ``statistic(values, *args)`` (asset,) for independent normal values (period, asset).

    For a number of periods within 3 % of ``n_periods``, at most 2,000; kept once simulated. Always the same.
    """
    n = round(np.exp(round(np.log(max(n_periods, _SHORTEST)) / _STEP) * _STEP))
    return _simulated(statistic, max(_SHORTEST, min(n, LONGEST)), args)


@lru_cache(maxsize=64)
def _simulated(statistic: Callable[..., Floats], n: int, args: tuple[Any, ...]) -> SimulatedLaw:
    rng = np.random.default_rng(n)
    blocks = [statistic(rng.standard_normal((n, _BLOCK)), *args) for _ in range(N_DRAWS // _BLOCK)]
    draws = np.sort(np.concatenate(blocks))
    top = draws[-round(TAIL * N_DRAWS) :]
    return SimulatedLaw(draws, float(top[0]), float(top.mean() - top[0]))
