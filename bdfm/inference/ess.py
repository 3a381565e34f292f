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
from bdfm.gibbs.compiling import entry, exact_kernel, kernel

type Array = NDArray[np.float64]

_BLOCK_BYTES: Final = 2_000_000  # draws of one block of quantities: small enough for the processor's cache


def rhat(draws: ArrayLike) -> Array:
    """Rank-normalised split R-hat of each quantity: the larger of the bulk and the folded (scale) value.

    ``draws`` (chain, draw, ...) any unit; the result has the remaining axes. NaN with fewer than two chains
    or four draws, for constant quantities and where a draw is not finite; huge or infinite where every
    half-chain stands still at a value of its own. The middle draw of an odd number is left out.
    """
    found: Array = _by_block(draws, _measures, min_chains=2, shape=(3,))[0]
    return found


def ess_bulk(draws: ArrayLike) -> Array:
    """Effective number of draws, over all chains, for the centre of each quantity's distribution.

    ``draws`` (chain, draw, ...); the result has the remaining axes. Split chains, rank-normalised; Geyer's
    initial monotone sequence. Constant quantities count every draw; NaN where a draw is not finite or with
    fewer than four draws.
    """
    found: Array = _by_block(draws, _measures, shape=(3,))[1]
    return found


def ess_tail(draws: ArrayLike) -> Array:
    """Effective number of draws for the 5 % and the 95 % quantile of each quantity, the smaller of both.

    ``draws`` and special values as in :func:`ess_bulk`.
    """
    found: Array = _by_block(draws, _measures, shape=(3,))[2]
    return found


def rhat_and_ess(draws: ArrayLike) -> Array:
    """R-hat, bulk ESS and tail ESS (3, ...) from one sort: as the functions of one each.

    ``draws`` (chain, draw, ...), at least four of a chain. One chain has the R-hat of its two halves.
    """
    return _by_block(draws, _measures, shape=(3,))


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


def _by_block(
    draws: ArrayLike,
    kernel: Callable[[Array], Array],
    *,
    min_chains: int = 1,
    shape: tuple[int, ...] = (),
) -> Array:
    """Apply ``kernel``, which takes (quantity, chain, draw), to blocks of quantities.

    The last axis of its result counts the quantities of the block; earlier axes, of ``shape``, are kept in
    front.
    """
    x = np.asarray(draws)
    if x.ndim < 2:
        raise DataError(f"draws: expected (chain, draw, ...), got an array of shape {x.shape}.")
    n_chain, n_draw, *rest = x.shape
    flat = x.reshape(n_chain, n_draw, -1)
    n = flat.shape[2]
    if n_chain < min_chains or n_draw < 4:
        return np.full((*shape, *rest), np.nan)
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
        return np.empty((*shape, *rest))
    result = np.concatenate(parts, axis=-1)
    return result.reshape((*result.shape[:-1], *rest))


def _split(block: Array) -> Array:
    """First and last half of each chain as chains of their own, (quantity, 2 chain, half)."""
    half = block.shape[2] // 2
    return np.concatenate([block[:, :, :half], block[:, :, -half:]], axis=1)


def _measures(block: Array) -> Array:
    """R-hat, bulk ESS and tail ESS (3, quantity) of draws (quantity, chain, draw), at least four of each."""
    n_quantity, n_chain, n = block.shape
    used = 2 * (n // 2) * n_chain
    # Where each draw stands among the halves, -1 for the middle one of an odd number, which is left out.
    halves = np.full((n_chain, n), -1)
    halves[:, : n // 2], halves[:, n - n // 2 :] = np.arange(used).reshape(2, n_chain, -1)
    # Score of the average rank h / 2, h = 2 ... 2n: ranks are whole or half numbers, so a table is enough.
    table = ndtri((np.arange(2 * used + 1) / 2 - 0.375) / (used + 0.25))
    flat = block.reshape(n_quantity, -1)
    chains = np.empty((2 * n_chain, n // 2))
    sorts = np.empty((2, used)), np.empty((2, used), np.intp)
    result = np.empty((3, n_quantity))
    measure(flat, np.argsort(flat, axis=1), halves.ravel(), table, chains, chains.reshape(-1), *sorts, result)
    return result


def _ess(chains: Array) -> Array:
    """Effective number of draws for the mean of (quantity, chain, draw), chains already split."""
    result = np.empty(len(chains))
    effective_numbers(chains.copy(), result)
    return result


@entry
def measure(
    draws: Array,
    order: NDArray[np.intp],
    halves: NDArray[np.intp],
    table: Array,
    chains: Array,
    flat: Array,
    rising: Array,
    places: NDArray[np.intp],
    result: Array,
) -> None:
    """R-hat, bulk ESS and tail ESS (3, quantity) of draws (quantity, chain x draw).

    ``order`` sorts the draws of a quantity, ``halves`` (chain x draw) says where each stands in ``flat``, -1
    for one that is left out, ``table`` has the score of twice a rank. Memory that is written
    over: the halves of all chains, ``flat`` in one row; and the draws in rising order (2, draw), second their
    distances to the median, with where each stands among the halves.
    """
    values, distances, place, folded = rising[0], rising[1], places[0], places[1]
    for q in range(len(draws)):
        x, rank = draws[q], order[q]
        m = 0
        for k in range(len(x)):
            if halves[rank[k]] >= 0:
                place[m] = halves[rank[k]]
                values[m] = x[rank[k]]
                m += 1
        for step in range(4):  # of the centre, the scale, and both tails; each kernel is called at one place
            if step < 2:
                if step == 1:
                    fold(values, place, distances, folded)
                put_scores(table, rising[step], places[step], flat)
                apart = potential_scale(chains)
                result[0, q] = apart if step == 0 or result[0, q] < apart else result[0, q]
            else:
                split_at(values, place, quantile_of(x, rank, 0.05 if step == 2 else 0.95), flat)
            if step != 1:
                found = effective_number(chains)
                if step == 0:
                    result[1, q] = found
                else:
                    result[2, q] = found if step == 2 else min(result[2, q], found)


@entry
def effective_numbers(chains: Array, result: Array) -> None:
    """Effective number of draws of each quantity, of (quantity, chain, draw); the draws are overwritten."""
    for q in range(len(chains)):
        result[q] = effective_number(chains[q])


@exact_kernel
def quantile_of(draws: Array, order: NDArray[np.intp], level: float) -> float:
    """Quantile between two neighbours, as NumPy takes it."""
    at = level * (len(draws) - 1)
    k = int(at)
    share = at - k
    low = draws[order[k]]
    high = draws[order[min(k + 1, len(draws) - 1)]]
    between: float = high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share
    return between


@kernel
def split_at(values: Array, place: NDArray[np.intp], bound: float, result: Array) -> None:
    """1 at the places of values, which rise, up to a bound, 0 at the others."""
    for k in range(len(values)):
        result[place[k]] = 1.0 if values[k] <= bound else 0.0


@kernel
def put_scores(table: Array, values: Array, place: NDArray[np.intp], result: Array) -> None:
    """Scores of the ranks of ``values``, which rise, put at their places; equal ones share a rank."""
    n = len(values)
    first = 0
    while first < n:
        last = first
        while last + 1 < n and values[last + 1] == values[first]:
            last += 1
        for k in range(first, last + 1):
            result[place[k]] = table[first + last + 2]
        first = last + 1


@exact_kernel
def fold(values: Array, place: NDArray[np.intp], distances: Array, folded: NDArray[np.intp]) -> None:
    """Distances to the median of ``values``, which rise, in rising order, and where each stands.

    Distances fall up to the median and rise from there, so their order is a merger of two runs.
    """
    n = len(values)
    low, high = values[(n - 1) // 2], values[n // 2]
    middle, half = (low + high) / 2, (high - low) / 2
    left, right = n // 2 - 1, n // 2
    for k in range(n):
        below, above = np.inf, np.inf
        # The two middle draws of an even number are as far: not for last digits to say which is closer.
        if left >= 0:
            value = values[left]
            below = half if value == low or value == high else abs(value - middle)
        if right < n:
            value = values[right]
            above = half if value == low or value == high else abs(value - middle)
        if right == n or (left >= 0 and below <= above):
            distances[k], folded[k] = below, place[left]
            left -= 1
        else:
            distances[k], folded[k] = above, place[right]
            right += 1


@kernel
def potential_scale(chains: Array) -> float:
    """R-hat of (chain, draw) without splitting or ranks; NaN where all are constant and equal."""
    n_chain, n = chains.shape
    within, total, of_means = 0.0, 0.0, 0.0
    for c in range(n_chain):
        within += variance_of(chains[c]) * n / (n - 1)
        total += mean_of(chains[c])
    for c in range(n_chain):
        of_means += (mean_of(chains[c]) - total / n_chain) ** 2
    ratio: float = n * (of_means / (n_chain - 1)) / (within / n_chain)
    return math.sqrt((ratio + n - 1) / n)


@kernel
def mean_of(x: Array) -> float:
    """Mean of numbers."""
    total = 0.0
    for t in range(len(x)):
        total += x[t]
    mean: float = total / len(x)
    return mean


@kernel
def variance_of(x: Array) -> float:
    """Mean square of deviations from the mean."""
    mean, total = mean_of(x), 0.0
    for t in range(len(x)):
        total += (x[t] - mean) ** 2
    variance: float = total / len(x)
    return variance


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


@kernel
def effective_number(x: Array) -> float:
    """Effective number of draws for the mean of (chain, draw), split chains; the draws become deviations.

    Geyer's initial monotone sequence: autocorrelations are summed in pairs up to the first that is negative,
    each pair at most as large as the one before. Most end after a few lags, so these are summed one by one;
    and the interpreter is let go, which FFTs do not do. Constant draws all count.
    """
    n_chain, n = x.shape
    n_pairs, n_total = max(0, (n - 3) // 2), n_chain * n
    overall, constant = 0.0, True
    for c in range(n_chain):
        for t in range(n):
            constant = constant and x[c, t] == x[0, 0]
        overall += mean_of(x[c]) / n_chain
    if constant:
        return float(n_total)
    between = 0.0
    for c in range(n_chain):
        mean = mean_of(x[c])
        between += (mean - overall) ** 2 / (n_chain - 1)
        for t in range(n):
            x[c, t] -= mean
    variance = autocovariance(x, 0)
    within, total = variance * n / (n - 1), variance + between
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
    number: float = n_total / max(tau, 1.0 / math.log10(n_total))
    return number
