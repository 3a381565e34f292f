"""Dims and types of what the Dataset of a panel holds."""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr

from bdfm import _checks
from bdfm.errors import DataError
from bdfm.names import (
    ASSET,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CHARACTERISTICS_PATH,
    CLASS_OF,
    EARNINGS,
    MARKET_RISK,
    MARKET_VOLATILITY,
    NAME,
    OTHER_ASSET,
    OUTSIDE_VOLATILITY,
    PERIOD,
    PERIOD_START,
    RECENT_RETURN,
    RECENT_RETURN_MISSING,
    RECENT_VOLATILITY,
    RECENT_VOLATILITY_MISSING,
    RETURNS,
    ROLLING_COVARIANCE,
    WINDOW,
)

VARIABLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    RETURNS: ((PERIOD, ASSET), "f8"),
    RECENT_RETURN: ((PERIOD, ASSET), "f8"),
    RECENT_VOLATILITY: ((PERIOD, ASSET, WINDOW), "f8"),
    MARKET_VOLATILITY: ((PERIOD, WINDOW), "f8"),
    CHARACTERISTICS: ((ASSET, CHARACTERISTIC), "f8"),
    EARNINGS: ((PERIOD, ASSET), "f8"),
    RECENT_RETURN_MISSING: ((PERIOD, ASSET), "?"),
    RECENT_VOLATILITY_MISSING: ((PERIOD, ASSET, WINDOW), "?"),
}
# What only some panels hold: those made with what it takes
OPTIONAL: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    ROLLING_COVARIANCE: ((ASSET, OTHER_ASSET), "f8"),
    OUTSIDE_VOLATILITY: ((PERIOD, ASSET), "f8"),
    MARKET_RISK: ((PERIOD, ASSET), "f8"),
    CHARACTERISTICS_PATH: ((PERIOD, ASSET, CHARACTERISTIC), "f8"),
}
COORDINATES: Final[dict[str, tuple[str, str]]] = {
    PERIOD: (PERIOD, "M8[ns]"),
    PERIOD_START: (PERIOD, "M8[ns]"),
    ASSET: (ASSET, "U"),
    CLASS_OF: (ASSET, "U"),
    NAME: (ASSET, "U"),
    WINDOW: (WINDOW, "i8"),
    CHARACTERISTIC: (CHARACTERISTIC, "U"),
}
ATTRIBUTES: Final = ("origin", "n_history", "has_earnings", "inactive", "settings")


def _check_history(dataset: xr.Dataset) -> None:
    """Raise ``DataError`` where the periods are not some of history and then some after the origin."""
    told, n_periods = dataset.attrs["n_history"], dataset.sizes[PERIOD]
    told = told.item() if isinstance(told, np.generic) else told
    n_history = told if isinstance(told, int) else 0
    if not 0 < n_history < n_periods:
        raise DataError(
            f"panel: {told!r} periods of history among {n_periods}; at least one, and one after it, was"
            " expected."
        )


def read_only(dataset: xr.Dataset) -> xr.Dataset:
    """Copy of a panel's Dataset with its types and nothing else, read-only; ``DataError`` when it is none."""
    lacking = [x for x in (*VARIABLES, *COORDINATES) if x not in dataset.variables]
    lacking += [x for x in ATTRIBUTES if x not in dataset.attrs]
    if lacking:
        raise DataError(f"panel: the dataset lacks {_checks.first(lacking)}; it was not made by to_dataset.")
    _check_history(dataset)
    held = VARIABLES | {x: form for x, form in OPTIONAL.items() if x in dataset}
    fixed = {x: np.array(dataset[x].to_numpy(), dtype=kind) for x, (_, kind) in held.items()}
    coords = {x: dataset[x].to_numpy().astype(kind) for x, (_, kind) in COORDINATES.items()}
    for array in (*fixed.values(), *coords.values()):
        array.flags.writeable = False
    return xr.Dataset(
        {x: (held[x][0], array) for x, array in fixed.items()},
        coords={x: (COORDINATES[x][0], array) for x, array in coords.items()},
        attrs={x: dataset.attrs[x] for x in ATTRIBUTES},
    )
