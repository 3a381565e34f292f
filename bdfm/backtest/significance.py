"""Whether one forecaster scores better than another, beyond chance."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from bdfm import _checks
from bdfm._optional import optional
from bdfm._seeds import either_seed
from bdfm._statistics import (
    ALIKE,
    MIN_ORIGINS,
    cosine_variance,
    cosines,
    long_run_variance,
    newey_west_lags,
    overlapping_freedom,
)
from bdfm._strict import strict
from bdfm.backtest.protocol import Floats
from bdfm.errors import DataError

CONFIDENCE: Final = 0.9  # of the model confidence set
N_BOOTSTRAP: Final = 10_000
SIZE: Final = 0.1  # of scores, where differences come without them: a RPS is somewhat larger


def that_share_a_day(origins: pd.DatetimeIndex, ends: pd.DatetimeIndex) -> int:
    """Most origins, ascending, whose spans to their ``ends`` have a day in common with a first one's.

    0 where no span begins before another one ends.
    """
    later = origins.searchsorted(ends, side="left") - np.arange(len(origins))
    return int(later.max()) if len(later) and later.max() > 1 else 0


def freedom(n: int, sharing: int = 0, n_lags: int | None = None) -> int:
    """Degrees of freedom of the t distribution behind a test of ``diebold_mariano``."""
    return n - 1 if sharing < 2 or n_lags is not None else overlapping_freedom(n, sharing)


class Difference(NamedTuple):
    """Mean difference of two scores, its standard error, and the two-sided p-value of no difference."""

    mean: float
    se: float
    p_value: float
    n: int


def size_of(*losses: NDArray[Any]) -> float:
    """Largest of some scores, whatever its sign: by it one knows which differences are rounding."""
    return max((float(np.abs(x).max()) for x in losses if len(x)), default=0.0)


@strict
def diebold_mariano(
    differences: Floats, *, n_lags: int | None = None, sharing: int = 0, size: float = SIZE
) -> Difference:
    """Test of Diebold and Mariano (1995) that two forecasters score alike.

    The variance of the mean difference counts autocorrelation up to ``n_lags`` by Bartlett's kernel (Newey
    and West 1987); the statistic is compared to a t distribution of n - 1 degrees of freedom, since origins
    are few (Harvey, Leybourne and Newbold 1997).

    Where periods overlap, differences of neighbours are alike for as long as they share days, and Bartlett's
    kernel counts too little of it: of differences that mean nothing it rejected 16 % at the level of 5 %
    (30 origins, four of which share a day) to 50 % (20 do). There the variance is the mean square of
    n / (2 sharing) cosines of the differences, at most 0.4 n^(2/3), and the t distribution has as many
    degrees of freedom (Lazarus, Lewis, Stock and Watson 2018): it rejects 5 to 7 %.

    Parameters
    ----------
    differences
        (origin,) differences of two scores, in order of time.
    n_lags
        Lags; floor(4 (n / 100)^(2/9)) unless given, which takes the kernel whatever ``sharing`` is.
    sharing
        Most origins whose periods share a day; 0 or 1 where none do.
    size
        Largest of both scores, whatever its sign: differences within 1e-14 of it are rounding. 0.1 unless
        given, about that of a RPS.

    Returns
    -------
    Difference
        NaN errors with fewer than eight origins, or fewer than two for each of those that share a day: then
        nobody can tell. So where a difference is not finite. A p-value of 1 where there is no difference but
        rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from bdfm.backtest import diebold_mariano
    >>> found = diebold_mariano(np.random.default_rng(1).normal(0.1, 0.2, 50))
    >>> round(found.mean, 3), round(found.p_value, 4)
    (0.093, 0.0004)
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    mean = float(d.mean()) if n else float("nan")
    if n < MIN_ORIGINS or not np.isfinite(mean):
        return Difference(mean, float("nan"), float("nan"), n)
    if np.ptp(d) <= ALIKE * size:
        return Difference(mean, 0.0, 1.0 if abs(mean) <= ALIKE * size else 0.0, n)
    free = freedom(n, _checks.at_least(sharing, 0, what="sharing", where="compare"), n_lags)
    if free < 1:
        return Difference(mean, float("nan"), float("nan"), n)
    if free < n - 1:
        se = float(np.sqrt(cosine_variance(d, free) / n))
    else:
        lags = newey_west_lags(n) if n_lags is None else n_lags
        lags = min(_checks.at_least(lags, 0, what="n_lags", where="compare"), n - 1)
        se = float(np.sqrt(long_run_variance(d, lags) / (n - 1)))
    return Difference(mean, se, float(2 * stdtr(free, -abs(mean) / se)), n)


@either_seed
@strict
def model_confidence_set(
    losses: pd.DataFrame,
    *,
    seed: int,
    n_bootstrap: int = N_BOOTSTRAP,
    n_block: int | None = None,
    sharing: int = 0,
) -> pd.Series[float]:
    """P-value of each forecaster in the model confidence set (Hansen, Lunde and Nason 2011).

    The set of confidence 1 - a holds those with a p-value above a: the best one is among them with at least
    that probability. Range statistic, stationary bootstrap.

    Where periods overlap, blocks of the bootstrap are too few to tell how much means vary: of two forecasters
    alike one was left out in 19 to 36 % of simulations (30 to 120 origins, 4 or 20 of which share a day), not
    in 10 %. There the statistic rests on the cosines of ``diebold_mariano``: those of all forecasters, and
    their means, are nearly independent and normal with one covariance. Were expected losses equal, any
    rotation of them among each other would be as likely (Langsrud 2005), and p-values are shares of random
    rotations: of two forecasters that of ``diebold_mariano``. Of two to twenty alike, with normal,
    heavy-tailed and clustered differences, one or more were left out in 9 to 14 % of simulations.

    Parameters
    ----------
    losses
        (origin, forecaster), lower is better.
    seed, n_bootstrap
        Of the bootstrap, and its number of samples.
    n_block
        Origins in a block on average; n^(1/3) unless given, which takes the bootstrap whatever ``sharing``
        is.
    sharing
        Most origins whose periods share a day; 0 or 1 where none do.

    Returns
    -------
    pandas.Series
        By forecaster; NaN with fewer than eight origins, or fewer than two for each of those that share a
        day. Forecasters whose losses differ by rounding alone have one p-value.

    Raises
    ------
    DataError
        Losses that are not finite, or no forecaster.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm.backtest import model_confidence_set
    >>> scores = np.random.default_rng(1).normal([0.16, 0.16, 0.2], 0.01, (60, 3))
    >>> losses = pd.DataFrame(scores, columns=list("abc"))
    >>> model_confidence_set(losses, seed=1, n_bootstrap=500).round(2).to_dict()
    {'a': 1.0, 'b': 0.91, 'c': 0.0}
    """
    where = "model confidence set"
    sharing = _checks.at_least(sharing, 0, what="sharing", where=where)
    usual: int = max(2, round(len(losses) ** (1 / 3)))
    block = usual if n_block is None else _checks.at_least(n_block, 1, what="n_block", where=where)
    if not losses.shape[1]:
        raise DataError(f"{where}: losses have no column. Give one for each forecaster.")
    bad = losses.columns[~np.isfinite(losses.to_numpy(dtype=float)).all(axis=0)]
    if len(bad):
        raise DataError(
            f"{where}: losses of {_checks.first(map(str, bad))} are not finite at every origin. Leave out"
            " these origins, or these forecasters."
        )
    if len(losses) < MIN_ORIGINS:
        return pd.Series(np.nan, index=losses.columns)
    groups = _groups_alike(losses)
    first = [names[0] for names in groups]
    if len(first) == 1:
        return pd.Series(1.0, index=losses.columns)
    if sharing > 1 and n_block is None:
        n_cosines = overlapping_freedom(len(losses), sharing)
        found = _among_the_best(losses[first].to_numpy(), n_cosines, n_bootstrap, seed)
    else:
        bootstrap = optional("arch.bootstrap", what="compare", extra="backtest")
        mcs = bootstrap.MCS(
            losses[first].to_numpy(),
            size=1 - CONFIDENCE,
            reps=n_bootstrap,
            block_size=min(block, len(losses)),
            seed=seed,
        )
        mcs.compute()
        found = mcs.pvalues["Pvalue"]
    values = {n: float(found[k]) for k, names in enumerate(groups) for n in names}
    return pd.Series(values).reindex(losses.columns)


def _groups_alike(losses: pd.DataFrame) -> list[list[Any]]:
    """Forecasters by groups that score alike but for rounding: such a difference has no variance."""
    groups: list[list[Any]] = []
    for name in losses:
        own = losses[name].to_numpy(dtype=float)
        for group in groups:
            other = losses[group[0]].to_numpy(dtype=float)
            if np.abs(own - other).max() <= ALIKE * size_of(own, other):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _among_the_best(losses: Floats, n_cosines: int, n_rotations: int, seed: int) -> Floats:
    """P-value (forecaster) in the confidence set of losses (origin, forecaster), by means and cosines.

    A squared t statistic is monotone in the share that the mean has in the sum of squares of mean and
    cosines, which no rotation changes. So the statistic of a pair is that share, and a rotation a random
    direction.
    """
    if n_cosines < 1:
        return np.full(losses.shape[1], np.nan)
    waves = np.sqrt(2) * cosines(len(losses), n_cosines)
    parts = np.vstack([np.ones(len(losses)), waves]) @ (losses - losses.mean(axis=1, keepdims=True))
    one, other = np.triu_indices(losses.shape[1], 1)
    gaps = parts[:, one] - parts[:, other]
    directions = gaps / np.maximum(np.linalg.norm(gaps, axis=0), np.finfo(float).tiny)
    rotations = np.random.default_rng(seed).standard_normal((n_rotations, n_cosines + 1))
    rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
    left, values, largest = np.ones(losses.shape[1], dtype=bool), np.ones(losses.shape[1]), 0.0
    while left.sum() > 1:
        pairs = np.flatnonzero(left[one] & left[other])
        seen = directions[0, pairs]
        worst = int(np.argmax(np.abs(seen)))
        drawn = np.abs(rotations @ directions[:, pairs]).max(axis=1)
        n_beyond = int((drawn >= abs(seen[worst])).sum())
        largest = max(largest, (1 + n_beyond) / (1 + n_rotations))
        gone = (one if seen[worst] > 0 else other)[pairs[worst]]
        values[gone], left[gone] = largest, False
    return values
