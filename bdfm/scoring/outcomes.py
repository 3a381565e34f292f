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

FEWEST: Final = 2  # returns whose median says anything
FAR: Final = 0.25  # median return, either way, that no period has
FAR_SPREADS: Final = 25.0  # the same in spreads of the forecasts; percent are about 70
FAR_OF_GROSS: Final = 6.0  # spreads of the forecasts that 1 is away from 0: they are below 17 %
NEAR_ONE: Final = 0.25  # median distance from 1, over the median, of gross returns
ROUNDED: Final = 1e-8  # below -1, where a loss of all was added up
N_LOOKED_AT: Final = 1_000  # draws that a spread is taken of


def check_unit(came: Floats, spread: Floats, *, where: str) -> None:
    """Raise ``DataError`` where returns that came (...) are in another unit than their forecasts.

    ``spread`` is about the sd of each under its forecast. Percent and prices are told by their size, in
    itself and in these, so that a crash is no doubt, nor is a forecast that was wrong; gross returns are near
    1, and none is a loss.
    """
    if len(came) < FEWEST:
        return
    middle, size = float(np.median(came)), float(np.median(np.abs(came)))
    ratio = float(np.median(np.abs(came) / np.maximum(spread, 1e-12)))
    away = float(np.median(np.abs(came - 1)))
    gross = bool((came >= 0).all()) and away < NEAR_ONE * middle and ratio > FAR_OF_GROSS
    if gross or (size > FAR and ratio > FAR_SPREADS):
        seen = f"of {middle:.2f}" if gross else f"size of {size:.0%}"
        more = ", and none is a loss" if gross else ""
        like = "gross returns, 1 + r" if gross else "percent or prices"
        raise DataError(
            f"{where}: returns that came have a median {seen}, {ratio:.0f} times the sd of the"
            f" forecast{more}. They look like {like}, read as decimals. Give simple returns, 0.01 for 1 %; if"
            " they are right, leave these forecasts out."
        )


def _spread(forecast: Forecast) -> Floats:
    """Sd of each asset (asset,) over draws at equal steps of their weights."""
    total = np.cumsum(forecast.weights.to_numpy())
    n = min(N_LOOKED_AT, len(total))
    at = np.searchsorted(total, total[-1] * (np.arange(n) + 0.5) / n)
    return np.asarray(forecast.draws.to_numpy()[at].std(axis=0, dtype=np.float64))


def returns_that_came(
    forecast: Forecast, realised: Mapping[str, float] | pd.Series[float], *, where: str
) -> Floats:
    """Simple returns that came (asset,), in the order of the forecast.

    Raises ``DataError`` for an asset without a finite return, or twice, a loss of more than all, and returns
    that look as if they were of another unit.
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
    if float(np.median(np.abs(came))) > FAR:
        check_unit(came, _spread(forecast), where=where)
    came = np.where((came < -1) & (came >= -1 - ROUNDED), -1.0, came)
    below = values.index[came < -1]
    if len(below):
        raise DataError(
            f"{where}: returns below -1 ({_checks.first(f'{s} {values[s]:.4g}' for s in below)}). Give simple"
            " returns as decimals, 0.01 for 1 %."
        )
    return came
