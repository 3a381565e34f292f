"""Proper scores of forecasts: of quantile probabilities, and of draws."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _labels
from bdfm._seeds import either_seed
from bdfm.errors import DataError
from bdfm.forecast.ranks import normalised_weights
from bdfm.names import ASSET, DRAW, QUANTILE

Floats = NDArray[np.float64]

SUM_TOLERANCE: Final = 1e-4  # of a row's probabilities: five numbers of 5 decimals
_COLUMNS: Final = 8  # assets at a time: what is laid out for them stays near the processor
LOG_SCORE_FLOOR: Final = 1e-4  # probability that a log score counts at least: draws run out in the tails
_TIE: Final = 1e-12
ENERGY_BLOCK: Final = 100  # draws compared pair by pair at a time


def ranked_probability_score(
    probabilities: ArrayLike | xr.DataArray, outcome: ArrayLike | xr.DataArray
) -> Floats:
    """Ranked probability score (asset,) of each asset; lower is better, on average 0.16 for equal fifths.

    Mean over quantiles of squared differences of cumulative sums, as scored in M6.

    Parameters
    ----------
    probabilities
        (asset, quantile), rows sum to 1.
    outcome
        (asset, quantile) from ``outcome_quantiles``: one-hot, or fractional where returns tie. Where both
        name their assets, or quantiles (DataArrays, tables of pandas), these must be the same in the same
        order.

    Raises
    ------
    DataError
        Shapes or labels that differ, or rows that are no probabilities.

    Examples
    --------
    >>> import bdfm, numpy as np
    >>> outcome = bdfm.outcome_quantiles([0.03, -0.02, 0.01, 0.08, 0.05])
    >>> equal = np.full((5, 5), 0.2)
    >>> round(float(bdfm.ranked_probability_score(equal, outcome).mean()), 4)
    0.16
    """
    forecast, observed = _rows_and_outcome(probabilities, outcome, where="ranked probability score")
    gap = np.cumsum(np.clip(forecast, 0, 1), axis=-1) - np.cumsum(observed, axis=-1)
    return np.asarray(np.sum(gap**2, axis=-1) / forecast.shape[1])


def squared_errors_by_quantile(probabilities: ArrayLike, outcome: ArrayLike) -> Floats:
    """Squared errors (asset, quantile) of the cumulative probabilities, whose mean over quantiles is the RPS.

    The last one is 0. Column k tells how well the forecast separates quantiles up to k from those above: at
    k = 1 and k = Q - 1 what it knows of the tails, in the middle what it knows of direction.

    Parameters
    ----------
    probabilities, outcome
        As in ``ranked_probability_score``, which checks them.
    """
    gap = np.cumsum(np.asarray(probabilities, dtype=float) - np.asarray(outcome, dtype=float), axis=1)
    gap[:, -1] = 0.0
    return np.asarray(gap**2)


def log_score(probabilities: ArrayLike, outcome: ArrayLike) -> Floats:
    """Logarithmic score (asset,): minus the log probability of the quantile that came; lower is better.

    log Q, 1.609 for fifths, is what equal probabilities get. Probabilities below 0.0001 count as that: what
    is never drawn is not known to be impossible.

    Parameters
    ----------
    probabilities
        (asset, quantile), rows sum to 1.
    outcome
        (asset, quantile) one-hot; where returns tie, fractional: then the log scores are averaged.

    Raises
    ------
    DataError
        As in ``ranked_probability_score``.
    """
    forecast, observed = _rows_and_outcome(probabilities, outcome, where="log score")
    return np.asarray(-(observed * np.log(np.maximum(forecast, LOG_SCORE_FLOOR))).sum(axis=1))


def crps(draws: ArrayLike, realised: ArrayLike, *, weights: ArrayLike | None = None) -> Floats:
    """Continuous ranked probability score (asset,) of predictive draws, in their unit; lower is better.

    E|X - y| - E|X - X'| / 2, the latter over pairs of different draws: without the bias of few draws.

    Parameters
    ----------
    draws
        (draw, asset), at least 2 draws. Their mean must exist: score log returns, since simple returns of
        Student-t log returns have no mean.
    realised
        (asset,) what came, in the same unit. Where both name their assets, as ``forecast.draws`` and a Series
        of ``period_returns`` do, these must be the same in the same order.
    weights
        (draw,) of any sum, such as ``forecast.weights``, which views change; ``None`` for equal ones.

    Raises
    ------
    DataError
        Shapes or assets that differ, fewer than 2 draws, values that are not finite, weights that cannot be
        used.
    """
    values, outcome, w = draws_and_outcome(draws, realised, weights, where="crps")
    alike = w.min() == w.max()
    below = np.cumsum(w)[:-1, None]  # weight below each gap between neighbours
    scores = np.empty(values.shape[1])
    for start in range(0, values.shape[1], _COLUMNS):
        here = slice(start, start + _COLUMNS)
        own = values[:, here]
        near = w @ np.abs(own - outcome[here])
        if alike:
            gaps = np.diff(np.sort(own, axis=0), axis=0)
        else:
            order = np.argsort(own, axis=0)
            gaps = np.diff(np.take_along_axis(own, order, axis=0), axis=0)
            below = np.cumsum(w[order], axis=0)[:-1]
        between = 2 * (gaps * below * (1 - below)).sum(axis=0) / (1 - np.square(w).sum())
        scores[here] = near - between / 2
    return scores


@either_seed
def energy_score(
    draws: ArrayLike,
    realised: ArrayLike,
    *,
    seed: int,
    weights: ArrayLike | None = None,
    block: int = ENERGY_BLOCK,
) -> float:
    """Energy score of joint predictive draws, in their unit; lower is better (Gneiting and Raftery 2007).

    E||X - y|| - E||X - X'|| / 2 with Euclidean norms over assets. The second mean is over the pairs inside
    blocks of shuffled draws: unbiased, and linear in the number of draws where all pairs would be quadratic.

    Parameters
    ----------
    draws, realised, weights
        As in ``crps``.
    seed
        Of the shuffle.
    block
        Draws in a block, at least 2; fewer left over at the end are not paired.

    Raises
    ------
    DataError
        As in ``crps``.
    """
    from scipy.spatial.distance import pdist

    where = "energy score"
    values, outcome, w = draws_and_outcome(draws, realised, weights, where=where)
    size = min(_checks.at_least(block, 2, what="block", where=where), len(values))
    order = np.random.default_rng(seed).permutation(len(values))
    one, other = np.triu_indices(size, 1)
    far = pairs = 0.0
    for start in range(0, len(values) - size + 1, size):
        own = order[start : start + size]
        both = w[own][one] * w[own][other]
        far += float(both @ pdist(values[own]))
        pairs += float(both.sum())
    if not pairs:
        raise DataError(f"{where}: fewer than 2 draws of a block have a weight. Give a larger block.")
    return float(w @ np.linalg.norm(values - outcome, axis=1) - 0.5 * far / pairs)


def ties(values: Floats, observed: float) -> NDArray[np.bool_]:
    """Whether values (draw,) are the observed one but for rounding: sums of another order differ by that."""
    return np.asarray(np.abs(values - observed) <= _TIE * max(1.0, abs(observed)))


def in_precision_of(draws: NDArray[Any], outcome: NDArray[Any]) -> Floats:
    """What came (asset,), rounded as the draws are, so that equal means equal: 0.02 of a fixed return is."""
    values = np.asarray(outcome, dtype=np.float64)
    return values.astype(draws.dtype).astype(np.float64) if draws.dtype.kind == "f" else values


def draws_and_outcome(
    draws: ArrayLike, realised: ArrayLike, weights: ArrayLike | None, *, where: str
) -> tuple[Floats, Floats, Floats]:
    """Draws (draw, asset), what came (asset,) and weights that sum to 1; ``DataError`` where unusable."""
    draws = turned(draws, (DRAW, ASSET))
    raw = np.asarray(draws)
    values, outcome = np.asarray(raw, dtype=np.float64), in_precision_of(raw, np.asarray(realised))
    if values.ndim != 2 or outcome.shape != values.shape[1:] or len(values) < 2:
        raise DataError(
            f"{where}: draws of shape {values.shape} and returns of shape {outcome.shape}, expected"
            " (draw, asset) with at least 2 draws, and (asset,)."
        )
    _labels.same_labels(draws, realised, axes=(1, 0), what="what came", where=where)
    if not np.isfinite(values).all() or not np.isfinite(outcome).all():
        raise DataError(f"{where}: draws and realised returns must be finite. Drop what has no return.")
    w = normalised_weights(weights, len(values), where=where, of=draws)
    if (w > 0).sum() < 2:
        raise DataError(f"{where}: one draw has all the weight. At least 2 must count.")
    return values, outcome, w


def turned(table: ArrayLike | xr.DataArray, dims: tuple[str, ...]) -> ArrayLike | xr.DataArray:
    """Table with a DataArray's dims in this order; as it is where they are others, or it has none."""
    if isinstance(table, xr.DataArray) and set(table.dims) == set(dims):
        return table.transpose(*dims)
    return table


def _rows_and_outcome(
    probabilities: ArrayLike | xr.DataArray, outcome: ArrayLike | xr.DataArray, *, where: str
) -> tuple[Floats, Floats]:
    """Probabilities and outcome, both (asset, quantile); ``DataError`` where unusable or labels differ."""
    probabilities, outcome = (turned(x, (ASSET, QUANTILE)) for x in (probabilities, outcome))
    forecast, observed = np.asarray(probabilities, dtype=float), np.asarray(outcome, dtype=float)
    if forecast.ndim != 2 or forecast.shape != observed.shape:
        raise DataError(
            f"{where}: shapes {forecast.shape} and {observed.shape}, expected (asset, quantile) twice."
        )
    for axis in (0, 1):
        _labels.same_labels(probabilities, outcome, axes=(axis, axis), what="what came", where=where)
    for what, values in (("probabilities", forecast), ("outcome", observed)):
        problem = _row_problems(values)
        if problem.any():
            raise DataError(
                f"{where}: {problem.sum()} of {len(values)} rows of {what} are not within 0 and 1 with sum 1"
                f" (rows {_checks.first(np.flatnonzero(problem))})."
            )
    return forecast, observed


def _row_problems(values: Floats) -> NDArray[np.bool_]:
    within = np.isfinite(values) & (values >= -1e-9) & (values <= 1 + 1e-9)
    return ~within.all(axis=1) | (np.abs(values.sum(axis=1) - 1) > SUM_TOLERANCE)
