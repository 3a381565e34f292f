"""R-hat, effective numbers of draws and Monte Carlo errors, on plain arrays of draws.

The rank-normalised split diagnostics of Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021, Bayesian
Analysis 16(2)), vectorised over quantities; and the energy's fraction of missing information (Betancourt
2016).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri

from bdfm._threads import in_order
from bdfm.errors import DataError

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
    shape = split.shape
    flat = split.reshape(shape[0], -1)
    n = flat.shape[1]
    # Score of the average rank h / 2, h = 2 ... 2n: ranks are whole or half numbers, so a table is enough.
    table = ndtri((np.arange(2 * n + 1) / 2 - 0.375) / (n + 0.25))
    row_start = np.arange(0, flat.size, n)[:, None]
    order = np.argsort(flat, axis=1) + row_start
    ordered = np.take(flat, order)
    scores = [_scatter(table, ordered, order).reshape(shape)]
    if fold:
        low, high = ordered[:, (n - 1) // 2, None], ordered[:, n // 2, None]
        distance = np.abs(ordered - (low + high) / 2)
        # The two middle draws of an even number are as far: not for last digits to decide which is closer.
        distance = np.where((ordered == low) | (ordered == high), (high - low) / 2, distance)
        # Falls, then rises: a stable sort merges the two runs in one pass.
        by_distance = np.argsort(distance, axis=1, kind="stable") + row_start
        folded = _scatter(table, np.take(distance, by_distance), np.take(order, by_distance))
        scores.append(folded.reshape(shape))
    return tuple(scores)


def _scatter(table: Array, ordered: Array, order: NDArray[np.intp]) -> Array:
    """Scores of sorted values, put at the flat places ``order``; equal values share their mean rank."""
    n = ordered.shape[1]
    result = np.empty_like(ordered)
    result.ravel()[order] = table[2::2]
    tied = ordered[:, 1:] == ordered[:, :-1]
    rows = np.flatnonzero(tied.any(axis=1))
    if len(rows):
        position = np.arange(n)
        edge = np.ones((len(rows), 1), dtype=bool)
        starts = np.hstack([edge, ~tied[rows]])
        ends = np.hstack([~tied[rows], edge])
        low = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
        high = np.minimum.accumulate(np.where(ends, position, n)[:, ::-1], axis=1)[:, ::-1]
        result.ravel()[order[rows]] = table[low + high + 2]
    return result


def _plain_rhat(chains: Array) -> Array:
    """R-hat of (quantity, chain, draw) without splitting or ranks."""
    n = chains.shape[2]
    between = n * chains.mean(axis=2).var(axis=1, ddof=1)
    within = chains.var(axis=2, ddof=1).mean(axis=1)
    result: Array = np.sqrt((between / within + n - 1) / n)
    return result


def _ess(chains: Array) -> Array:
    """Effective number of draws for the mean of (quantity, chain, draw), chains already split."""
    n_quantity, n_chain, n = chains.shape
    chain_mean = chains.mean(axis=2)
    fft_length = next_fast_len(2 * n, real=True)
    spectrum = rfft(chains - chain_mean[..., None], n=fft_length, axis=2)
    # Only the mean over chains is needed, and the inverse transform is linear.
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    autocov = irfft(power, n=fft_length, axis=1)[:, :n] / n
    within = autocov[:, :1] * (n / (n - 1))
    total = autocov[:, :1] + chain_mean.var(axis=1, ddof=1)[:, None]
    rho = 1 - (within - autocov) / total
    rho[:, 0] = 1

    even, odd = rho[:, 0 : n - 1 : 2], rho[:, 1:n:2]
    pair = even + odd
    # Pairs before the first negative one count (initial positive sequence), each at most as much as the one
    # before it (initial monotone sequence).
    n_max = max(0, (n - 3) // 2)
    counted = np.logical_and.accumulate(pair[:, :n_max] > 0, axis=1)
    n_counted = counted.sum(axis=1)
    monotone = np.minimum.accumulate(pair[:, :n_max], axis=1)
    row = np.arange(n_quantity)
    last_even, last_pair = even[row, n_counted], pair[row, n_counted]
    last = np.where((last_even > 0) | (last_pair >= 0), last_even, 0)
    tau = -1 + 2 * np.where(counted, monotone, 0).sum(axis=1) + last
    n_total = n_chain * n
    ess = n_total / np.maximum(tau, 1 / np.log10(n_total))
    constant = chains.max(axis=(1, 2)) == chains.min(axis=(1, 2))
    return np.where(constant, float(n_total), ess)
