"""Dims and types of what the Dataset of a panel holds."""

from __future__ import annotations

from typing import Final

from bdfm.names import (
    ASSET,
    CHARACTERISTIC,
    CHARACTERISTICS,
    CLASS_OF,
    EARNINGS,
    MARKET_VOLATILITY,
    NAME,
    PERIOD,
    PERIOD_START,
    RECENT_RETURN,
    RECENT_RETURN_MISSING,
    RECENT_VOLATILITY,
    RECENT_VOLATILITY_MISSING,
    RETURNS,
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
