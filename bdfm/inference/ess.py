"""R-hat, effective numbers of draws and Monte Carlo errors, on plain arrays of draws.

The rank-normalised split diagnostics of Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021, Bayesian
Analysis 16(2)), vectorised over quantities; and the energy's fraction of missing information (Betancourt
2016).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from bdfm._threads import in_order
from bdfm.errors import DataError
from bdfm.gibbs.compiling import entry, kernel

type Array = NDArray[np.float64]

_TAIL: Final = (0.05, 0.95)
_BLOCK_BYTES: Final = 2_000_000  # draws of one block of quantities: small enough for the processor's cache


def rhat(draws: ArrayLike) -> Array:
    """Rank-normalised split R-hat of each quantity: the larger of the bulk and the folded (scale) value.

    ``draws`` (chain, draw, ...) any unit; the result has the remaining axes. NaN with fewer than two chains
    or four draws, for constant quantities and where a draw is not finite; huge or infinite where every
    half-chain stands still at a value of its own. The middle draw of an odd number is left out.
    """
    return _by_block(draws, _rhat_block, min_chains=2)


def ess_bulk(draws: ArrayLike) -> Array:
    """Effective number of draws, over all chains, for the centre of each quantity's distribution.

    ``draws`` (chain, draw, ...); the result has the remaining axes. Split chains, rank-normalised; Geyer's
    initial monotone sequence. Constant quantities count every draw; NaN where a draw is not finite or with
    fewer than four draws.
    """
    return _by_block(draws, lambda block: _ess(_normal_scores(_split(block))[0]))


def ess_tail(draws: ArrayLike) -> Array:
    """Effective number of draws for the 5 % and the 95 % quantile of each quantity, the smaller of both.

    ``draws`` and special values as in :func:`ess_bulk`.
    """
    return _by_block(draws, _ess_tail_block)


def rhat_and_ess(draws: ArrayLike) -> Array:
    """R-hat, bulk ESS and tail ESS (3, ...): as the functions of one each, with one sort for the first two.

    ``draws`` (chain, draw, ...), at least four of a chain. One chain has the R-hat of its two halves.
    """

    def kernel(block: Array) -> Array:
        bulk, folded = _normal_scores(_split(block), fold=True)
        worst = np.fmax(_plain_rhat(bulk), _plain_rhat(folded))
        return np.stack([worst, _ess(bulk), _ess_tail_block(block)])

    return _by_block(draws, kernel)


def mcse_mean(draws: ArrayLike) -> Array:
    """Monte Carlo standard error of the posterior mean of each quantity, in the quantity's unit.

    ``draws`` and special values as in :func:`ess_bulk`.
    """

    def kernel(block: Array) -> Array:
        sd: Array = block.std(axis=(1, 2), ddof=1)
        return sd / np.sqrt(_ess(_split(block)))

    return _by_block(draws, kernel)


def bfmi(energy: ArrayLike) -> Array:
    """Bayesian fraction of missing information of each chain; ``energy`` (chain, draw)."""
    values = np.asarray(energy, dtype=float)
    change: Array = np.square(np.diff(values, axis=1)).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return change / values.var(axis=1, ddof=1)


def _by_block(draws: ArrayLike, kernel: Callable[[Array], Array], *, min_chains: int = 1) -> Array:
    """Apply ``kernel``, which takes (quantity, chain, draw), to blocks of quantities.

    The last axis of its result counts the quantities of the block; earlier axes are kept in front.
    """
    x = np.asarray(draws)
    if x.ndim < 2:
        raise DataError(f"draws: expected (chain, draw, ...), got an array of shape {x.shape}.")
    n_chain, n_draw, *rest = x.shape
    flat = x.reshape(n_chain, n_draw, -1)
    n = flat.shape[2]
    if n_chain < min_chains or n_draw < 4:
        return np.full(rest, np.nan)
    size = max(1, _BLOCK_BYTES // (8 * n_chain * n_draw))

    def of_block(start: int) -> Array:
        block = np.array(np.moveaxis(flat[:, :, start : start + size], 2, 0), dtype=float, order="C")
        bad = ~np.isfinite(block).all(axis=(1, 2))
        block[bad] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):  # each thread has its own
            part = kernel(block)
        part[..., bad] = np.nan
        return part

    parts = list(in_order(of_block, range(0, n, size)))
    if not parts:
        return np.empty(rest)
    result = np.concatenate(parts, axis=-1)
    return result.reshape((*result.shape[:-1], *rest))


def _rhat_block(block: Array) -> Array:
    bulk, folded = _normal_scores(_split(block), fold=True)
    return np.fmax(_plain_rhat(bulk), _plain_rhat(folded))


def _ess_tail_block(block: Array) -> Array:
    flat = block.reshape(len(block), -1)
    low, high = np.quantile(flat, _TAIL, axis=1)[..., None, None]
    return np.minimum(_ess(_split(block <= low)), _ess(_split(block <= high)))


def _split(block: NDArray[np.generic]) -> Array:
    """First and last half of each chain as chains of their own, (quantity, 2 chain, half)."""
    half = block.shape[2] // 2
    return np.concatenate([block[:, :, :half], block[:, :, -half:]], axis=1).astype(float, copy=False)


def _normal_scores(split: Array, *, fold: bool = False) -> tuple[Array, ...]:
    """Ranks of the draws over all chains as normal scores; with ``fold`` also of distances to the median."""
    flat = split.reshape(len(split), -1)
    n = flat.shape[1]
    # Score of the average rank h / 2, h = 2 ... 2n: ranks are whole or half numbers, so a table is enough.
    table = ndtri((np.arange(2 * n + 1) / 2 - 0.375) / (n + 0.25))
    order = np.argsort(flat, axis=1)
    scores = [np.empty_like(flat)]
    put_scores(table, flat, order, scores[0])
    if fold:
        scores.append(np.empty_like(flat))
        put_folded_scores(table, flat, order, scores[1])
    return tuple(x.reshape(split.shape) for x in scores)


@kernel
def score_ties(table: Array, values: Array, order: NDArray[np.intp], result: Array) -> None:
    """Scores of the ranks of ``values``, which rise, put at the places ``order``; equal ones share a rank."""
    n = len(values)
    first = 0
    while first < n:
        last = first
        while last + 1 < n and values[last + 1] == values[first]:
            last += 1
        for k in range(first, last + 1):
            result[order[k]] = table[first + last + 2]
        first = last + 1


@entry
def put_scores(table: Array, draws: Array, order: NDArray[np.intp], result: Array) -> None:
    """Normal scores of draws (quantity, draw), given the order of each row."""
    values = np.empty(draws.shape[1])
    for q in range(len(draws)):
        for k in range(len(values)):
            values[k] = draws[q, order[q, k]]
        score_ties(table, values, order[q], result[q])


@entry
def put_folded_scores(table: Array, draws: Array, order: NDArray[np.intp], result: Array) -> None:
    """Normal scores of the distances of draws (quantity, draw) to the median, given the order of each row.

    Distances fall up to the median and rise from there, so their order is a merger of two runs.
    """
    n = draws.shape[1]
    distances, place = np.empty(n), np.empty(n, np.intp)
    for q in range(len(draws)):
        x, rank = draws[q], order[q]
        low, high = x[rank[(n - 1) // 2]], x[rank[n // 2]]
        middle, half = (low + high) / 2, (high - low) / 2
        left, right = n // 2 - 1, n // 2
        for k in range(n):
            below, above = np.inf, np.inf
            # The two middle draws of an even number are as far: not for last digits to say which is closer.
            if left >= 0:
                value = x[rank[left]]
                below = half if value == low or value == high else abs(value - middle)
            if right < n:
                value = x[rank[right]]
                above = half if value == low or value == high else abs(value - middle)
            if right == n or (left >= 0 and below <= above):
                distances[k], place[k] = below, rank[left]
                left -= 1
            else:
                distances[k], place[k] = above, rank[right]
                right += 1
        score_ties(table, distances, place, result[q])


def _plain_rhat(chains: Array) -> Array:
    """R-hat of (quantity, chain, draw) without splitting or ranks."""
    n = chains.shape[2]
    between = n * chains.mean(axis=2).var(axis=1, ddof=1)
    within = chains.var(axis=2, ddof=1).mean(axis=1)
    result: Array = np.sqrt((between / within + n - 1) / n)
    return result


def _ess(chains: Array) -> Array:
    """Effective number of draws for the mean of (quantity, chain, draw), chains already split."""
    result = np.empty(len(chains))
    effective_numbers(
        chains - chains.mean(axis=2)[..., None], chains.mean(axis=2).var(axis=1, ddof=1), result
    )
    constant = chains.max(axis=(1, 2)) == chains.min(axis=(1, 2))
    return np.where(constant, float(chains[0].size), result)


@kernel
def autocovariance(x: Array, lag: int) -> float:
    """Mean over chains of the autocovariance at a lag of deviations (chain, draw), each sum over n."""
    n_chain, n = x.shape
    total = 0.0
    for c in range(n_chain):
        row = x[c]
        for t in range(n - lag):
            total += row[t] * row[t + lag]
    mean: float = total / (n_chain * n)
    return mean


@entry
def effective_numbers(deviations: Array, between: Array, result: Array) -> None:
    """Effective numbers of draws of each quantity, from deviations (quantity, chain, draw) from chain means.

    ``between``: variance of the chain means. Geyer's initial monotone sequence: autocorrelations are summed
    in pairs up to the first that is negative, each pair at most as large as the one before. Most end after a
    few lags, so these are summed one by one; and the interpreter is let go, which FFTs do not do.
    """
    n_quantity, n_chain, n = deviations.shape
    n_pairs = max(0, (n - 3) // 2)
    n_total = n_chain * n
    for q in range(n_quantity):
        x = deviations[q]
        variance = autocovariance(x, 0)
        within, total = variance * n / (n - 1), variance + between[q]
        even, odd = 1.0, 1.0 - (within - autocovariance(x, 1)) / total
        tau, smallest = -1.0, np.inf
        for k in range(1, n_pairs + 1):
            if not even + odd > 0:
                break
            smallest = min(smallest, even + odd)
            tau += 2.0 * smallest
            even = 1.0 - (within - autocovariance(x, 2 * k)) / total
            odd = 1.0 - (within - autocovariance(x, 2 * k + 1)) / total
        if even > 0 or even + odd >= 0:
            tau += even
        result[q] = n_total / max(tau, 1.0 / math.log10(n_total))
