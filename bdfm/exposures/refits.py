"""When what is estimated once is estimated: on growing pasts, so that no exposure knows a later day."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import PACKAGE, counted
from bdfm.data.doubts.factors import ALIKE
from bdfm.errors import DataError, DataWarning
from bdfm.exposures.data import ExposureData

Floats = NDArray[np.float64]

MIN_RETURNS: Final = 60  # of an asset, that its own estimates are made of
FEW_MOVES: Final = 5  # days on which a factor moves: fewer are told of
FIRST_DAYS: Final = 125  # half a year: least that variances are estimated on
_NEAR: Final = 0.75  # of the training part: a refit beyond would come just before the last one


class Estimation(NamedTuple):
    """One estimate: made of the first ``n_days`` days, it gives the exposures of ``days``."""

    n_days: int
    days: slice


def estimations(data: ExposureData, *, smoothed: bool) -> list[Estimation]:
    """Estimates of a method in the order of their days (eq. E21).

    On the first 125 days, and again on twice as many as before, up to the training part, whose estimate stays
    for all days after it. Each gives the exposures from the close of its last day on; days before the first
    one have none. ``smoothed``: the training part's estimate alone, for all days, which those of the training
    part could not have known.
    """
    n = data.n_training
    if smoothed:
        return [Estimation(n, slice(0, data.n_days))]
    sizes = []
    size = FIRST_DAYS
    while size <= _NEAR * n:
        sizes.append(size)
        size *= 2
    sizes.append(n)
    ends = [*(s - 1 for s in sizes[1:]), data.n_days]
    return [Estimation(s, slice(s - 1, end)) for s, end in zip(sizes, ends, strict=True)]


def known_days(data: ExposureData, values: NDArray[np.float64], n_days: int) -> NDArray[np.float64]:
    """Values (day, ...) of a method that is fitted once, to the first ``n_days``: NaN before their end."""
    shown = np.array(values, dtype=np.float64)
    shown[: n_days - 1] = np.nan
    return shown


def check_complete(data: ExposureData, method: str) -> None:
    """Raise ``DataError`` for a method that needs every asset's return on every day."""
    gaps = np.isnan(np.asarray(data.returns)).sum(axis=0)
    lacking = [f"{a} {n}" for a, n in zip(data.assets, gaps, strict=True) if n]
    if lacking:
        raise DataError(
            f"{method}: {len(lacking)} of {len(data.assets)} assets lack returns, days each:"
            f" {', '.join(lacking[:5])}. Leave them out, or choose days on which all trade."
        )


def _rank(factors: Floats) -> int:
    """Number of factors (day, factor) that can be told apart on these days, and from an intercept."""
    centred = factors - factors.mean(axis=0)
    size = np.sqrt(np.square(centred).sum(axis=0))
    moving = size > 1e-12 * np.sqrt(len(factors)) * np.abs(factors).max(axis=0)
    scaled = centred[:, moving] / size[moving]
    return int((np.linalg.eigvalsh(scaled.T @ scaled) >= ALIKE).sum())


def check_factors(data: ExposureData, windows: Iterable[slice], where: str) -> None:
    """Refuse days on which factors are collinear that are not so on all days, which a rule on data sees.

    Warns (``DataWarning``) of factors that hardly move in the training part.
    """
    factors = np.asarray(data.factors)
    whole = _rank(factors)
    for window in windows:
        if _rank(factors[window]) < whole:
            first, last = data.days[window][0], data.days[window][-1]
            raise DataError(
                f"{where}: the factors ({_checks.first(data.factor_names)}) are collinear from"
                f" {first:%Y-%m-%d} to {last:%Y-%m-%d}, though not on all days: one does not move there, or"
                " repeats others. Exposures to them are one of infinitely many solutions. Leave one out, or"
                " take other days."
            )
    _warn_of_still_factors(data, where)


def check_enough(data: ExposureData, method: str) -> None:
    """Look for what a method of own estimates for each asset needs in the training part.

    Raises ``DataError`` where no asset has enough returns, or factors are collinear there; warns
    (``DataWarning``) of assets without enough, which have no exposures.
    """
    training = data.days_of("training")
    count = np.isfinite(np.asarray(data.returns)[training]).sum(axis=0)
    few = [f"{a} {n}" for a, n in zip(data.assets, count, strict=True) if n < MIN_RETURNS]
    if few:
        told = (
            f"{method}: {len(few)} of {len(data.assets)} assets have fewer than {MIN_RETURNS} returns in the"
            f" {data.n_training} days of the training part ({_checks.first(few)})"
        )
        if len(few) == len(data.assets):
            raise DataError(f"{told}. Give a longer history.")
        warnings.warn(f"{told} and no exposures.", DataWarning, skip_file_prefixes=(PACKAGE,))
    check_factors(data, [training], method)


def _warn_of_still_factors(data: ExposureData, method: str) -> None:
    """Tell of factors that hardly ever move in the training part: exposures to them rest on those days."""
    still, training = [], data.days_of("training")
    for name, x in zip(data.factor_names, np.asarray(data.factors)[training].T, strict=True):
        moves = len(x) - int(np.unique(x, return_counts=True)[1].max())  # days with another value than usual
        if moves < FEW_MOVES:
            still.append(f"{name} on {counted(moves, 'day')}")
    if still:
        warnings.warn(
            f"{method}: {', '.join(still)} of {data.n_training} in the training part: a factor that moves"
            " so seldom says next to nothing about an exposure, which rests on those days alone. Leave it"
            " out, or give a longer history.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
