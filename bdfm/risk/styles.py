"""Exposures that prices alone give: momentum, volatility, beta, reversal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm.data.features import spacing_days
from bdfm.data.settings import DAILY_SPACING
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, PERIOD

Floats = NDArray[np.float64]

YEAR: Final = 252  # market days
QUARTER: Final = 63
MONTH: Final = 21
FRESH: Final = 7  # market days: as long as a close counts where none is given, ten days


def _momentum(log_prices: Floats, returns: Floats) -> Floats:
    return np.asarray(log_prices[-1 - MONTH] - log_prices[-1 - YEAR])


def _volatility(log_prices: Floats, returns: Floats) -> Floats:
    sd = returns[-QUARTER:].std(axis=0, ddof=1)
    # A stock that did not move at all has no logarithm of volatility: missing, like one without prices.
    return np.log(np.where(sd > 0, sd, np.nan))


def _beta(log_prices: Floats, returns: Floats) -> Floats:
    own = returns[-YEAR:]
    full = np.isfinite(own).all(axis=0)
    if not full.any():
        return np.full(own.shape[1], np.nan)
    market = own[:, full].mean(axis=1)
    market = market - market.mean()
    return np.asarray(market @ own / (market @ market))


def _reversal(log_prices: Floats, returns: Floats) -> Floats:
    return np.asarray(log_prices[-1 - MONTH] - log_prices[-1])


STYLES: Final[dict[str, Callable[[Floats, Floats], Floats]]] = {
    "momentum": _momentum,
    "volatility": _volatility,
    "beta": _beta,
    "reversal": _reversal,
}


def price_styles(
    prices: pd.DataFrame, days: pd.DatetimeIndex, *, styles: Sequence[str] = tuple(STYLES)
) -> xr.DataArray:
    """Exposures (period, asset, factor) at the close of some days, from prices up to each day only.

    ``momentum``: log return from 252 to 21 market days ago. ``volatility``: log standard deviation of the
    last 63 daily log returns. ``beta``: slope on the equally weighted mean of all assets with a full history,
    252 days. ``reversal``: minus the log return of the last 21 days, high for recent losers.

    Parameters
    ----------
    prices
        (day, symbol) adjusted closes, daily: weekly rows would make a year of five.
    days
        Days to compute them for; the last row of the table on or before each counts.
    styles
        Some of the four.

    Returns
    -------
    xarray.DataArray
        Not standardised. A day without a close repeats the last one, for up to seven market days; NaN where
        an asset lacks prices for a style all the same.

    Raises
    ------
    DataError
        Fewer than 253 rows of prices before the first day, or prices that are not daily.
    UnknownLabelError
        An unknown style.
    """
    where = "styles"
    _checks.known(styles, list(STYLES), what="style", where=where)
    table = _checks.price_table(prices)
    spacing = spacing_days(table)
    if spacing > DAILY_SPACING:
        raise DataError(
            f"{where}: prices come about every {spacing} days, and {', '.join(styles)} count market days."
            " Give daily closes."
        )
    rows = table.index.searchsorted(pd.DatetimeIndex(days), side="right")
    if len(rows) and rows.min() < YEAR + 1:
        first = pd.DatetimeIndex(days)[int(rows.argmin())]
        raise DataError(
            f"{where}: {rows.min()} days of prices up to {first:%Y-%m-%d}; {YEAR + 1} are needed."
            f" Start at {table.index[YEAR]:%Y-%m-%d} or later."
            if len(table) > YEAR
            else f"{where}: {counted(len(table), 'day')} of prices; {YEAR + 1} are needed."
        )
    log_prices = np.log(table.ffill(limit=FRESH).to_numpy())
    returns = np.diff(log_prices, axis=0, prepend=np.nan)
    values = np.stack(
        [
            np.stack(
                [STYLES[s](log_prices[r - YEAR - 1 : r], returns[r - YEAR - 1 : r]) for s in styles], axis=-1
            )
            for r in rows
        ]
    )
    coords = {PERIOD: pd.DatetimeIndex(days).rename(None), ASSET: list(table.columns), FACTOR: list(styles)}
    return xr.DataArray(values, dims=(PERIOD, ASSET, FACTOR), coords=coords, name="styles")
