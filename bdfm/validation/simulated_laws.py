"""Laws of test statistics by simulation: chi-squared is wrong in the tail, where shared levels need it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_DRAWS: Final = 20_000
TAIL: Final = 0.02  # share of the draws that the tail is made of
LENGTHS: Final = (8, 16, 32, 64, 128, 256, 512, 1024)  # periods of the laws that are simulated
_BLOCK: Final = 1000  # series simulated at a time


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


def p_values(statistic: Callable[..., Floats], values: Floats, n_periods: int, *args: Any) -> Floats:
    """Chances (asset,) of at least ``values`` of ``statistic(series, *args)`` of independent normal series.

    Laws are simulated at lengths from 8 to 1,024 periods; between two of them the logarithm of the chance
    goes along a line in 1 / n. Beyond the last it stays, which is nearer than chi-squared for tails: at 1,500
    periods that still rejects one in 1,000 twice as often. NaN stays.
    """
    n = min(max(n_periods, LENGTHS[0]), LENGTHS[-1])
    at = bisect_left(LENGTHS, n)
    long = law_of(statistic, LENGTHS[at], *args).p_values(values)
    if LENGTHS[at] == n:
        return long
    short = law_of(statistic, LENGTHS[at - 1], *args).p_values(values)
    share = (1 / n - 1 / LENGTHS[at]) / (1 / LENGTHS[at - 1] - 1 / LENGTHS[at])
    return np.asarray(short**share * long ** (1 - share))


@cache  # eight lengths of three statistics, 160 kB each
def law_of(statistic: Callable[..., Floats], n_periods: int, *args: Any) -> SimulatedLaw:
    """Law of ``statistic(series, *args)`` (asset,) of independent normal series (period, asset).

    Always the same; kept once simulated, which takes from 20 ms (64 periods, autocorrelation) to 2.5 s of a
    core (1,024 periods, tails or clusters).
    """
    rng = np.random.default_rng(n_periods)
    blocks = [statistic(rng.standard_normal((n_periods, _BLOCK)), *args) for _ in range(N_DRAWS // _BLOCK)]
    draws = np.sort(np.concatenate(blocks))
    top = draws[-round(TAIL * N_DRAWS) :]
    return SimulatedLaw(draws, float(top[0]), float(top.mean() - top[0]))
