"""Scores and rank histograms of joint forecasts: whether assets move together as the draws say.

The energy score (``bdfm.scoring.scores``) sees a wrong dependence weakly (Pinson and Tastu 2013); these do.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from bdfm import _checks
from bdfm._reading import counted
from bdfm._seeds import either_seed
from bdfm.errors import DataError
from bdfm.scoring.scores import draws_and_outcome, ties

Floats = NDArray[np.float64]
PreRank = Literal["average", "band_depth", "energy"]
PRE_RANKS: Final[tuple[PreRank, ...]] = get_args(PreRank)
N_VARIOGRAM_DRAWS: Final = 20_000  # of normal draws E|X_i - X_j|^0.5 is known within 0.3 % then
N_RANKED_DRAWS: Final = 1000
_ROWS: Final = 2048  # draws of one step of a sum over all
BAND: Final = 0.95  # of the counts of a bin, for a calibrated forecast


def variogram_score(
    draws: ArrayLike,
    realised: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    order: float = 0.5,
    n_draws: int = N_VARIOGRAM_DRAWS,
) -> float:
    """Variogram score of joint predictive draws; lower is better (Scheuerer and Hamill 2015).

    Σ_ij (E|X_i - X_j|^p - |y_i - y_j|^p)², over all ordered pairs of assets. It sees wrong dependence, since
    differences of assets that move together are small; it does not see a shift that all assets share.

    Parameters
    ----------
    draws, realised, weights
        As in ``crps``.
    order
        p, above 0; 0.5 is robust to heavy tails.
    n_draws
        Draws looked at, evenly spaced where there are more.

    Raises
    ------
    DataError
        As in ``crps``; fewer than 2 assets, or an order that is not above 0.
    """
    where = "variogram score"
    if not (np.isfinite(order) and order > 0):
        raise DataError(f"{where}: order {order} is no number above 0. Take 0.5, or 1.")
    values, outcome, w = draws_and_outcome(draws, realised, weights, where=where)
    _several(outcome, where)
    values, w = _thinned(values, w, n_draws, where)
    total = 0.0
    for i in range(values.shape[1] - 1):
        expected = w @ np.abs(values[:, i + 1 :] - values[:, i, None]) ** order
        total += float(np.sum((expected - np.abs(outcome[i + 1 :] - outcome[i]) ** order) ** 2))
    return 2 * total


def dawid_sebastiani_score(
    draws: ArrayLike, realised: ArrayLike, *, weights: ArrayLike | None = None
) -> float:
    """Dawid-Sebastiani score of joint predictive draws; lower is better (Dawid and Sebastiani 1999).

    log det Σ + (y - μ)' Σ⁻¹ (y - μ), with mean μ and unbiased covariance Σ of the weighted draws: minus twice
    the log density of a normal distribution with these moments, but for a constant. Proper for any forecast
    with two moments: score log returns.

    Parameters
    ----------
    draws, realised, weights
        As in ``crps``; more effective draws than assets.

    Raises
    ------
    DataError
        As in ``crps``; a covariance that cannot be inverted: too few draws, or an asset that does not move.
    """
    where = "Dawid-Sebastiani score"
    values, outcome, w = draws_and_outcome(draws, realised, weights, where=where)
    mean = w @ values
    gap = outcome - mean
    covariance = np.zeros((len(outcome), len(outcome)))
    for start in range(0, len(values), _ROWS):  # what is close by at once, not copies of all draws
        centred = values[start : start + _ROWS] - mean
        covariance += centred.T @ (centred * w[start : start + _ROWS, None])
    covariance /= 1 - np.square(w).sum()
    sd = np.sqrt(np.diag(covariance))
    effective = 1 / np.square(w).sum()
    advice = (
        f" {counted(len(outcome), 'asset')}, {effective:,.0f} effective draws. Leave out assets that do not"
        " move."
    )
    if not (sd > 0).all() or effective <= len(outcome):
        raise DataError(f"{where}: the covariance of the draws cannot be inverted:{advice}")
    try:
        factor = cho_factor(covariance / np.outer(sd, sd), lower=True)
    except LinAlgError as error:
        raise DataError(f"{where}: the covariance of the draws cannot be inverted:{advice}") from error
    log_det = 2 * float(np.log(np.diag(factor[0])).sum() + np.log(sd).sum())
    return log_det + float((gap / sd) @ cho_solve(factor, gap / sd))


@either_seed
def joint_pit(
    draws: ArrayLike,
    realised: ArrayLike,
    *,
    pre_rank: PreRank = "average",
    weights: ArrayLike | None = None,
    seed: int,
    n_draws: int = N_RANKED_DRAWS,
) -> float:
    """Rank of what came among the draws, all assets together, from 0 to 1; uniform if calibrated.

    A pre-rank makes one number of each draw and of what came, within the pool of all of them; the rank of the
    latter is then as that of one asset (Gneiting et al. 2008; Thorarinsdottir et al. 2016; Allen et al.
    2024). With F_i(z) the share of the pool below z_i, ties by half:

    - ``average``, mean_i F_i: crowding at both ends means too little dependence (all assets rise or fall
      together more often than the draws say), in the middle too much; on one side a bias.
    - ``band_depth``, mean_i F_i (1 - F_i): low for what lies outside in many assets: crowding at 0 means
      too narrow forecasts, or too little dependence.
    - ``energy``, E|X - z| over the pool, Euclidean: high for what lies far away: crowding at 1 means too
      narrow forecasts.

    Parameters
    ----------
    draws, realised, weights
        As in ``crps``.
    pre_rank
        ``average``, ``band_depth`` or ``energy``.
    seed
        For the draws that are looked at, and for ties.
    n_draws
        Draws looked at, a random part where there are more.

    Raises
    ------
    DataError
        As in ``crps``; fewer than 2 assets.
    UnknownLabelError
        Another pre-rank.
    """
    from scipy.spatial.distance import cdist

    where = "joint pit"
    _checks.known([pre_rank], PRE_RANKS, what="pre-rank", where=where)
    values, outcome, w = draws_and_outcome(draws, realised, weights, where=where)
    _several(outcome, where)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(values))
    values, w = _thinned(values[order], w[order], n_draws, where)
    # What came is one more of the pool, with the weight of a draw.
    n = 1 / np.square(w).sum()
    pool = np.vstack([values, outcome])
    mass = np.append(w * n, 1.0) / (n + 1)
    if pre_rank == "energy":
        rho = cdist(pool, pool) @ mass
    else:
        below = np.column_stack([_mid_rank(column, mass) for column in pool.T])
        rho = (below if pre_rank == "average" else below * (1 - below)).mean(axis=1)
    mine, others = rho[-1], rho[:-1]
    near = ties(others, float(mine))
    less = float(mass[:-1][(others < mine) & ~near].sum())
    return less + float(rng.random()) * float(mass[:-1][near].sum() + mass[-1])


def rank_histogram(pits: ArrayLike, *, n_bins: int = 10) -> pd.DataFrame:
    """Counts of joint PITs by bin, one row a bin: low, high, count, expected, and the band of chance.

    Parameters
    ----------
    pits
        (origin,) of ``joint_pit``, of forecasts whose spans do not overlap.
    n_bins
        Number of bins, at least 2.

    Returns
    -------
    pandas.DataFrame
        ``low`` and ``high`` ends of the bin; ``count``; ``expected``; ``band_low`` and ``band_high``, between
        which 95 % of the counts of each bin alone lie for a calibrated forecast (binomial).

    Raises
    ------
    DataError
        No values, or values outside 0 and 1.
    """
    from scipy.stats import binom  # slow to import, and seldom needed

    where = "rank histogram"
    n_bins = _checks.at_least(n_bins, 2, what="n_bins", where=where)
    values = np.asarray(pits, dtype=np.float64).ravel()
    if not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise DataError(
            f"{where}: {counted(len(values), 'value')}; at least one is needed, all within 0 and 1."
        )
    count, edges = np.histogram(values, bins=n_bins, range=(0.0, 1.0))
    low, high = binom.interval(BAND, len(values), 1 / n_bins)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "count": count,
            "expected": len(values) / n_bins,
            "band_low": int(low),
            "band_high": int(high),
        }
    )


def _several(outcome: Floats, where: str) -> None:
    if len(outcome) < 2:
        raise DataError(f"{where}: one asset has no dependence. Give at least 2, or take crps and pit.")


def _thinned(values: Floats, w: Floats, n_draws: int, where: str) -> tuple[Floats, Floats]:
    """At most ``n_draws`` evenly spaced draws and their weights, which sum to 1."""
    n_draws = _checks.at_least(n_draws, 2, what="n_draws", where=where)
    if len(values) <= n_draws:
        return values, w
    index = np.linspace(0, len(values) - 1, n_draws).round().astype(int)
    part = w[index]
    if (part > 0).sum() < 2:
        raise DataError(f"{where}: fewer than 2 of the {n_draws} draws looked at have a weight. Take more.")
    return values[index], part / part.sum()


def _mid_rank(column: Floats, mass: Floats) -> Floats:
    """Share of the pool below each value, ties by half."""
    labels, index = np.unique(column, return_inverse=True)
    at = np.bincount(index, weights=mass, minlength=len(labels))
    return np.asarray((np.cumsum(at) - at / 2)[index])
