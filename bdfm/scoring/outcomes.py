"""What came of a forecast: one return for each of its assets, in the unit that it is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm.errors import DataError

if TYPE_CHECKING:
    from bdfm.forecast.forecast import Forecast

Floats = NDArray[np.float64]

FEWEST: Final = 5  # returns whose median says anything
FAR: Final = 0.25  # median return, either way, that no period has
FAR_SPREADS: Final = 15.0  # the same in spreads of the forecasts; percent are about 70


def check_unit(came: Floats, spread: Floats, *, where: str) -> None:
    """Raise ``DataError`` where returns that came (...) are in another unit than their forecasts.

    ``spread`` is about the sd of each under its forecast. Both medians must be far off, so that a crash is
    no doubt, nor is a forecast that was wrong.
    """
    if len(came) < FEWEST:
        return
    size = float(np.median(np.abs(came)))
    ratio = float(np.median(np.abs(came) / np.maximum(spread, 1e-12)))
    if size > FAR and ratio > FAR_SPREADS:
        raise DataError(
            f"{where}: returns that came have a median size of {size:.0%}, {ratio:.0f} times the sd of the"
            " forecast. These are percent, gross returns or prices, read as decimals. Give simple returns,"
            " 0.01 for 1 %."
        )


def returns_that_came(
    forecast: Forecast, realised: Mapping[str, float] | pd.Series[float], *, where: str
) -> Floats:
    """Simple returns that came (asset,), in the order of the forecast.

    Raises ``DataError`` for an asset without a finite return, or twice, a loss of more than all, and returns
    of another unit.
    """
    where = f"{where}, origin {forecast.origin:%Y-%m-%d}"
    given = pd.Series(realised, dtype=float)
    _checks.unique(given.index, what="symbol", where=where)
    values = given.reindex(list(forecast.assets))
    lacking = values.index[~np.isfinite(values)]
    if len(lacking):
        raise DataError(
            f"{where}: {len(lacking)} of {len(values)} assets have no realised return"
            f" ({_checks.first(lacking)}). Add them, or drop the assets from the forecast."
        )
    came = np.asarray(values, dtype=np.float64)
    if float(np.median(np.abs(came))) > FAR:  # of few forecasts: the sd takes a look at all draws
        draws, weights = forecast.draws.to_numpy(), forecast.weights.to_numpy()
        sd = np.sqrt(np.maximum(weights @ np.square(draws - weights @ draws), 0))
        check_unit(came, sd, where=where)
    below = values.index[came < -1]
    if len(below):
        raise DataError(
            f"{where}: returns below -1 ({_checks.first(f'{s} {values[s]:.4g}' for s in below)}). Give simple"
            " returns as decimals, 0.01 for 1 %."
        )
    return came
