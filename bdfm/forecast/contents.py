"""What a forecast is made of, as arguments or as variables of a file: read by name, and looked at."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _labels
from bdfm.errors import DataError
from bdfm.forecast.submission import N_RANKS
from bdfm.names import ASSET, QUANTILE

ROUNDED: Final = 1e-12  # by which sums of weights miss 1 that were written as they were
MOST_POSITIONS: Final = 2**31


def positions(given: ArrayLike, n_draws: int) -> NDArray[np.int64]:
    """Positions of posterior draws (draw,): whole numbers from 0 on."""
    _labels.same_draws(None, given, what="posterior_draw", where="forecast")
    index = np.asarray(given)
    if index.shape != (n_draws,):
        raise DataError(f"forecast: posterior_draw has shape {index.shape}, expected {(n_draws,)}.")
    if index.dtype.kind == "f" and (index == np.floor(index)).all():  # as other programs write them
        index = np.where(np.isfinite(index), index, -1.0).astype(np.int64)
    if index.dtype.kind not in "iu" or ((index < 0) | (index > MOST_POSITIONS)).any():
        raise DataError(
            f"forecast: posterior_draw is of type {index.dtype}, or has numbers below 0 or beyond"
            f" {MOST_POSITIONS:,}. Positions of posterior draws were expected, whole numbers from 0 on."
        )
    return index.astype(np.int64)


def labels_of(dataset: xr.Dataset, name: str) -> list[Any]:
    """Labels of a file; ``KeyError`` where it has none, for which the library would count from 0."""
    if name not in dataset.variables:
        raise KeyError(name)
    return list(dataset[name].values.tolist())


def day_of(dataset: xr.Dataset, name: str) -> str:
    """Day of a file, which is a text there: a number would be read as nanoseconds."""
    value = dataset.attrs[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}")
    return value


def values_of(dataset: xr.Dataset, name: str, *dims: str) -> NDArray[Any]:
    """Values along dimensions by name, whatever their order in the file; ``ValueError`` for other ones."""
    if name not in dataset.variables:
        raise KeyError(name)
    found = dataset[name]
    if sorted(map(str, found.dims)) != sorted(dims):
        raise ValueError(f"{name} is along {', '.join(map(str, found.dims))}, not {', '.join(dims)}")
    return np.asarray(found.transpose(*dims).values)


def known_probabilities(dataset: xr.Dataset) -> NDArray[np.float64]:
    """Probabilities (asset, fifth) beside draws made anew; ``ValueError`` where they are none."""
    known = np.array(values_of(dataset, "probabilities", ASSET, QUANTILE), dtype=np.float64)
    share = len(known) / N_RANKS
    fine = known.shape[1] == N_RANKS and bool(np.isfinite(known).all()) and bool((known > -1e-9).all())
    if not fine or abs(known.sum(axis=1) - 1).max() > 1e-6 or abs(known.sum(axis=0) - share).max() > 1e-6:
        raise ValueError("its probabilities do not sum to 1 for each asset, and to a fifth of the assets")
    known.flags.writeable = False
    return known
