"""Whether ranks are uniform: the largest deviation of their ECDF, against simultaneous bands."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

type Floats = NDArray[np.float64]

_NULL_SIMULATIONS: Final = 10_000


def below(ranks: NDArray[np.integer], n_draws: int) -> NDArray[np.int64]:
    """Number of ranks (replicate) below 1, 2, ..., ``n_draws``."""
    return np.cumsum(np.bincount(ranks, minlength=n_draws + 1))[:-1]


@cache
def _tails(n_replicates: int, n_draws: int) -> Floats:
    """Twice the smaller binomial tail of each count below each rank, (count, n_draws)."""
    count = np.arange(n_replicates + 1)[:, None]
    law = binom(n_replicates, np.arange(1, n_draws + 1) / (n_draws + 1))
    tails: Floats = 2.0 * np.minimum(law.cdf(count), law.sf(count - 1))
    return tails


@cache
def _null(n_replicates: int, n_draws: int) -> Floats:
    """Smallest tail over all ranks, of uniform ranks: simulated, ascending."""
    rng = np.random.default_rng(0)
    tails = _tails(n_replicates, n_draws)
    uniform = np.full(n_draws + 1, 1.0 / (n_draws + 1))
    blocks = []
    for _ in range(100):  # blocks bound the memory
        counts = rng.multinomial(n_replicates, uniform, size=_NULL_SIMULATIONS // 100).cumsum(axis=1)[:, :-1]
        blocks.append(tails[counts, np.arange(n_draws)].min(axis=1))
    return np.sort(np.concatenate(blocks))


def p_value(ranks: NDArray[np.integer], n_draws: int) -> float:
    """Probability that uniform ranks deviate at least as much somewhere, not below 1e-4."""
    tails, null = _tails(len(ranks), n_draws), _null(len(ranks), n_draws)
    smallest = tails[below(ranks, n_draws), np.arange(n_draws)].min()
    # Tails that are equal in exact arithmetic differ by rounding.
    return float((1 + np.searchsorted(null, smallest * (1 + 1e-9), side="right")) / (1 + len(null)))


def band(n_replicates: int, n_draws: int, prob: float) -> tuple[Floats, Floats]:
    """Lowest and highest ECDF at 1, 2, ..., ``n_draws`` that ``p_value`` lets pass at ``1 - prob``."""
    tails, null = _tails(n_replicates, n_draws), _null(n_replicates, n_draws)
    k = int((1.0 - prob) * (1 + len(null)) + 1e-9) - 1
    passes = tails * (1 + 1e-9) >= (null[k] if k >= 0 else 0.0)
    low = passes.argmax(axis=0)
    high = n_replicates - passes[::-1].argmax(axis=0)
    return low / n_replicates, high / n_replicates
