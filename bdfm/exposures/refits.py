"""When what is estimated once is estimated: on growing pasts, so that no exposure knows a later day."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdfm.errors import DataError
from bdfm.exposures.data import ExposureData

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
