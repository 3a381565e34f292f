"""Quantile probabilities: how often each asset falls in each quantile of the cross-section.

A draw's n assets are ranked ascending; position i covers [i, i + 1) of n, and quantile k of Q covers
[(k-1)n/Q, kn/Q). Where n is not a multiple of Q a position is split between two quantiles by overlap.
Tied assets share the slots of their positions equally, as M6 scores them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bdfm import _blocks, _labels
from bdfm._checks import at_least
from bdfm._kernels import kept
from bdfm._labels import Own, own_labels
from bdfm._reading import counted, short
from bdfm._strict import strict
from bdfm._threads import in_order
from bdfm.errors import DataError
from bdfm.names import ASSET, QUANTILE

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_BINS = 4096  # of values, in which a weighted quantile is sought
_BLOCK = 8192  # draws ranked at a time, at most


_SUMMED: Final = 1e-10  # of a share, by which weights may miss it by rounding: far less than a draw of 1e9
_HUGE: Final = 1e290  # weights whose sum may be beyond the largest number


def normalised_weights(
    weights: ArrayLike | None, n_draws: int, *, where: str, of: object = None
) -> NDArray[np.float64]:
    """Weights (draw,) that sum to 1; ``None`` gives equal ones. ``DataError`` when they cannot be used.

    ``of``: the draws, whose labels those of the weights have to be, where both have some.
    """
    if weights is None:
        return np.full(n_draws, 1 / n_draws)
    try:
        values = np.array(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: weights are no numbers ({short(error)}). Give one per draw.") from error
    if values.shape != (n_draws,):
        raise DataError(f"{where}: weights have shape {values.shape}, expected one per draw, ({n_draws},).")
    _labels.same_draws(of, weights, what="weights", where=where)
    good = np.isfinite(values) & (values >= 0)
    if not good.all():
        raise DataError(f"{where}: {(~good).sum()} of {n_draws} weights are negative, NaN or infinite.")
    if not values.any():
        raise DataError(f"{where}: all weights are zero. At least one draw must count.")
    if values.max() > _HUGE:  # their sum would be infinite
        values /= values.max()
    return values / values.sum()


def _add_block(
    draws: NDArray[Any],  # (draw, asset)
    order: NDArray[np.intp],  # (draw, asset), assets of each draw from lowest to highest
    weights: NDArray[np.float64],  # (draw,)
    filled: NDArray[np.float64],  # (position + 1, quantile), share of each quantile below a position
    total: NDArray[np.float64],  # (asset, quantile), added to
) -> None:
    # Serial, while threads sort the next blocks: the order of additions stays the same everywhere.
    n_draws, n_assets = draws.shape
    for d in range(n_draws):
        if weights[d] == 0:
            continue
        start = 0
        while start < n_assets:
            value = draws[d, order[d, start]]
            stop = start + 1
            while stop < n_assets and draws[d, order[d, stop]] == value:
                stop += 1
            for q in range(filled.shape[1]):
                slots = filled[stop, q] - filled[start, q]
                if slots > 0:
                    share = weights[d] * slots / (stop - start)
                    for position in range(start, stop):
                        total[order[d, position], q] += share
            start = stop


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Loop compiled by Numba, once it is needed."""
    return kept(function, nogil=True)


@overload
def quantile_probabilities(
    draws: pd.DataFrame | xr.DataArray, *, n_quantiles: int = 5, weights: ArrayLike | None = None
) -> xr.DataArray: ...
@overload
def quantile_probabilities(
    draws: ArrayLike, *, n_quantiles: int = 5, weights: ArrayLike | None = None
) -> NDArray[np.float64]: ...
@strict
def quantile_probabilities(
    draws: ArrayLike | pd.DataFrame | xr.DataArray,
    *,
    n_quantiles: int = 5,
    weights: ArrayLike | None = None,
) -> NDArray[np.float64] | xr.DataArray:
    """Probability (asset, quantile) that an asset's return falls in each quantile, lowest first.

    Parameters
    ----------
    draws
        (draw, asset), any increasing function of return; finite.
    n_quantiles
        Q; 5 for quintiles.
    weights
        (draw,), not negative, of any sum; ``None`` for equal ones.

    Returns
    -------
    numpy.ndarray, or xarray.DataArray by the assets that a table of pandas or xarray names
        Rows sum to 1, columns to n/Q. Without ties and with n a multiple of Q, equal weights give exact
        counts over the number of draws.

    Raises
    ------
    DataError
        ``draws`` is not (draw, asset) or not finite, or the weights cannot be used.

    Notes
    -----
    100 assets in 100,000 draws take 0.1 to 0.5 s on one core, by the speed of the sort.

    Examples
    --------
    >>> import bdfm
    >>> draws = [[0.01, 0.03, -0.02, 0.04, 0.00], [0.02, 0.01, -0.01, 0.05, 0.03]]
    >>> bdfm.quantile_probabilities(draws)[3]
    array([0., 0., 0., 0., 1.])
    """
    values = np.asarray(draws)
    where = "quantile probabilities"
    if values.ndim != 2 or 0 in values.shape:
        raise DataError(f"{where}: draws have shape {values.shape}, expected (draw, asset).")
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    n_bad = sum(int(values[here].size - np.isfinite(values[here]).sum()) for here in _blocks.blocks(values))
    if n_bad:
        raise DataError(
            f"{where}: {counted(n_bad, 'return is', 'returns are')} NaN or infinite. Leave these assets out."
        )
    n_quantiles = at_least(n_quantiles, 2, what="n_quantiles", where=where)
    n_draws, n_assets = values.shape
    # Weights of 1 make equal-weight totals exact counts.
    w = np.ones(n_draws) if weights is None else normalised_weights(weights, n_draws, where=where, of=draws)
    # In units of 1/Q everything is a whole number, so boundaries are exact.
    positions = np.arange(n_assets + 1)[:, None] * n_quantiles
    bounds = np.arange(n_quantiles)[None, :] * n_assets
    filled = np.clip(positions - bounds, 0, n_assets) / n_quantiles
    total = np.zeros((n_assets, n_quantiles))
    # A single draw is not worth an import; the sums are the same.
    add_block = _add_block if n_draws == 1 and "numba" not in sys.modules else _compiled(_add_block)

    size = min(_BLOCK, _blocks.rows_at_once(n_assets))

    def ranked(start: int) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[np.float64]]:
        block = np.array(values[start : start + size])
        _blocks.release(values[start : start + size])
        return block, np.argsort(block, axis=1), w[start : start + size]

    for block, order, weight in in_order(ranked, range(0, n_draws, size)):
        add_block(block, order, weight, filled, total)
    return _labelled(total / w.sum(), own_labels(draws, axis=1))


def _labelled(values: NDArray[np.float64], assets: Own | None) -> NDArray[np.float64] | xr.DataArray:
    """Values (asset, quantile) by asset and quantile, as those of a forecast; as they are without assets."""
    if assets is None:
        return values
    from xarray import DataArray  # labels come from it, or from pandas

    coords = {ASSET: list(assets.texts), QUANTILE: np.arange(1, values.shape[1] + 1)}
    return DataArray(values, dims=(ASSET, QUANTILE), coords=coords, name="probability")


@overload
def outcome_quantiles(returns: pd.Series[Any] | xr.DataArray, n_quantiles: int = 5) -> xr.DataArray: ...
@overload
def outcome_quantiles(returns: ArrayLike, n_quantiles: int = 5) -> NDArray[np.float64]: ...
@strict
def outcome_quantiles(
    returns: ArrayLike | pd.Series[Any] | xr.DataArray, n_quantiles: int = 5
) -> NDArray[np.float64] | xr.DataArray:
    """Quantile (asset, quantile) of each realised return: one-hot, or fractional where returns tie.

    ``returns`` (asset,), finite; ``n_quantiles`` 5 for fifths. The same function as
    ``quantile_probabilities`` on a single draw. Of a Series of ``period_returns``, or a DataArray, the result
    is a DataArray by the same assets, so that scores can tell whether a forecast is of these.

    Examples
    --------
    >>> import bdfm
    >>> bdfm.outcome_quantiles([0.03, -0.02, 0.01, 0.08, 0.05]).argmax(axis=1) + 1
    array([3, 1, 2, 5, 4])
    """
    found: NDArray[np.float64] = quantile_probabilities(
        np.atleast_2d(np.asarray(returns, dtype=np.float64)), n_quantiles=n_quantiles
    )
    return _labelled(found, own_labels(returns, axis=0))


def reached(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least sum of weights that counts as a share: 1 - 0.95 is a little more than 50 draws of 1,000."""
    return share * (1 - _SUMMED)


def weighted_quantiles(
    draws: NDArray[np.floating[Any]],
    probabilities: float | list[float],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Quantiles (probability, ...) of draws (draw, ...) along the first axis; each is one of the draws.

    The inverse of the weighted distribution function: without interpolation, weights mean the same as
    repeated draws. ``weights`` of ``None`` count each draw once.
    """
    wanted = np.atleast_1d(reached(np.asarray(probabilities, dtype=np.float64)))
    whole = np.atleast_1d(np.asarray(probabilities) >= 1)
    table = draws.reshape(len(draws), -1)

    def quantiles_of(x: NDArray[Any]) -> NDArray[Any]:
        if weights is None:
            return np.asarray(np.quantile(x, wanted, method="inverted_cdf"))
        found = np.asarray(_compiled(_weighted_quantiles)(x, weights, wanted))
        if whole.any():  # the largest draw may have less weight than sums of weights are exact to
            found[whole] = x[weights > 0].max()
        return found

    parts = list(in_order(quantiles_of, _blocks.columns(table)))
    found = np.array(parts, dtype=np.float64).reshape(-1, len(wanted)).T
    return found.reshape((*np.shape(probabilities), *draws.shape[1:]))


def moments(
    draws: NDArray[np.floating[Any]], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted means and standard deviations (asset,) of draws (draw, asset), in double precision."""

    def of(x: NDArray[Any]) -> tuple[float, float]:
        values = x.astype(np.float64)
        mean = float(np.dot(weights, values))
        values -= mean
        np.square(values, out=values)
        return mean, float(np.sqrt(np.dot(weights, values)))

    mean, sd = np.array(list(in_order(of, _blocks.columns(draws)))).reshape(-1, 2).T
    return mean, sd


def _weighted_quantiles(
    values: NDArray[Any], weights: NDArray[np.float64], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted quantiles (wanted,) of values (draw,), exact.

    Weights are summed in bins, and only the bin that counts is sorted: ten times as fast as sorting all.
    """
    low, high = np.inf, -np.inf
    for i in range(len(values)):
        if weights[i] > 0:
            low, high = min(low, values[i]), max(high, values[i])
    found = np.empty(len(wanted))
    if low == high:
        found[:] = low
        return found
    per_bin = (_BINS - 1) / (high - low)
    totals = np.zeros(_BINS)
    for i in range(len(values)):
        if weights[i] > 0:
            totals[int((values[i] - low) * per_bin)] += weights[i]
    below = np.cumsum(totals)
    for k in range(len(wanted)):
        target = wanted[k] * below[-1]
        place = min(int(np.searchsorted(below, target)), _BINS - 1)
        members = np.empty(len(values), dtype=np.intp)
        n = 0
        for i in range(len(values)):
            if weights[i] > 0 and int((values[i] - low) * per_bin) == place:
                members[n] = i
                n += 1
        members = members[:n][np.argsort(values[members[:n]])]
        reached = below[place - 1] if place > 0 else 0.0
        found[k] = values[members[-1]]
        for member in members:
            reached += weights[member]
            if reached >= target:
                found[k] = values[member]
                break
    return found
