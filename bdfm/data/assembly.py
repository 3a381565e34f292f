"""Arrays of a panel to its Dataset."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.data import features
from bdfm.data.form import OPTIONAL, VARIABLES
from bdfm.data.settings import PanelSettings
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

Array = NDArray[Any]


def assemble(
    settings: PanelSettings,
    edges: pd.DatetimeIndex,
    *,
    n_history: int,
    universe: pd.DataFrame,
    log_returns: Array,
    recent_return: Array,
    recent_volatility: Array,
    market_volatility: Array,
    characteristics: tuple[list[str], Array],
    characteristics_path: Array | None,
    market_risk: Array | None,
    outside_volatility: Array | None,
    rolling_covariance: Array | None,
    earnings: Array,
    has_earnings: bool,
    inactive: Collection[str],
    settings_json: str,
) -> xr.Dataset:
    """Dataset of a panel, of arrays over all periods, features with NaN where missing."""
    names, values_by_asset = characteristics
    arrays: dict[str, Array] = {
        RETURNS: log_returns,
        EARNINGS: earnings,
        MARKET_VOLATILITY: np.nan_to_num(market_volatility, posinf=np.inf, neginf=-np.inf),
        CHARACTERISTICS: values_by_asset,
    }
    for name, given in (
        (ROLLING_COVARIANCE, rolling_covariance),
        (OUTSIDE_VOLATILITY, outside_volatility),
        (MARKET_RISK, market_risk),
        (CHARACTERISTICS_PATH, characteristics_path),
    ):
        if given is not None:
            arrays[name] = given
    for name, missing, values in (
        (RECENT_RETURN, RECENT_RETURN_MISSING, recent_return),
        (RECENT_VOLATILITY, RECENT_VOLATILITY_MISSING, recent_volatility),
    ):
        arrays[missing] = np.isnan(values)
        arrays[name] = np.where(arrays[missing], 0.0, values)
    if settings.volatility_form == "level":
        classes = pd.factorize(universe["asset_class"])[0].astype(np.int64)
        arrays[RECENT_VOLATILITY] = features.fill_by_class(recent_volatility, classes)
    infinite = [name for name, array in arrays.items() if np.isinf(array).any()]
    if infinite:
        raise DataError(f"{_checks.first(infinite)}: some values are infinite. Give NaN where missing.")
    return xr.Dataset(
        {name: ((VARIABLES | OPTIONAL)[name][0], array) for name, array in arrays.items()},
        coords={
            PERIOD: edges[1:],
            PERIOD_START: (PERIOD, edges[:-1]),
            ASSET: list(universe["symbol"]),
            CLASS_OF: (ASSET, list(universe["asset_class"])),
            NAME: (ASSET, list(universe["name"])),
            WINDOW: list(settings.volatility_windows),
            CHARACTERISTIC: names,
        },
        attrs={
            "origin": f"{edges[n_history]:%Y-%m-%d}",
            "n_history": n_history,
            "has_earnings": int(has_earnings),
            "inactive": json.dumps(list(inactive)),
            "settings": settings_json,
        },
    )
