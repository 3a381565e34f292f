"""What of prices, universe and calendar a panel can use, and what it refuses."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Collection
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _memory, _symbols, _tables
from bdfm._reading import PACKAGE, counted
from bdfm.data import features
from bdfm.data.periods import describe
from bdfm.data.settings import MIN_PERIODS, PanelSettings
from bdfm.errors import DataError, DataWarning, UnknownLabelError

log = logging.getLogger(__name__)
MONTH: Final = (28, 32)  # days between monthly prices
AFTER_CLOSE: Final = ("post", "amc", "after close", "after market close")  # sessions of a calendar
# Memory at the most, in numbers of double precision; measured by tests/test_memory.py.
CELLS: Final = 21  # for each day of prices and asset
MOVING_CELLS: Final = 4  # for each period, asset and characteristic, where those of each period are kept
PAIRS: Final = 10  # for each pair of assets, where there is a rolling covariance
MAX_SILENT_DAYS: Final = 30  # of daily prices; see silent_days


def panel_bytes(n_days: int, n_assets: int, settings: PanelSettings) -> int:
    """Bytes that a panel of so many days of prices takes while it is made."""
    pairs = 0 if settings.rolling_covariance is None else PAIRS * n_assets**2
    # A dummy for each class and group; 40 are many.
    moving = MOVING_CELLS * settings.n_periods * n_assets * 40 if settings.moving_characteristics else 0
    return 8 * (CELLS * n_days * n_assets + pairs + moving)


def check_panel(n_days: int, n_assets: int, settings: PanelSettings) -> None:
    """Raise ``DataError`` where a panel would not fit into memory; it says which one would."""
    assets = _memory.most(n_assets, lambda n: panel_bytes(n_days, n, settings))
    days = _memory.most(n_days, lambda n: panel_bytes(n, n_assets, settings))
    each = {"day": 1.0, "month": 21.0}.get(str(settings.period)) or int(settings.period) * 5 / 7
    fewest = MIN_PERIODS * each + 5 * settings.min_past_weeks  # that a panel needs, in days of prices
    would = _memory.would_fit(
        (assets, 2, "{:,} assets"),
        (days, math.floor(fewest) + 1, "prices of the last {:,} days"),
        form="{}; or raise",
        otherwise="Raise",
    )
    _memory.check(
        panel_bytes(n_days, n_assets, settings),
        where="panel",
        what=f"{n_days:,} days of prices of {n_assets:,} assets",
        advice=f"{would} the budget (--memory), or close other programs.",
    )


def earnings_flags(
    earnings: pd.DataFrame | None, edges: NDArray[np.int64], symbols: list[str], settings: PanelSettings
) -> NDArray[Any]:
    """Earnings flags (period, asset); a ``DataWarning`` counts announcements of other symbols.

    Of periods of a day, flags are on the day whose return an announcement moves: a column ``session`` of the
    calendar says which were after the close (``AFTER_CLOSE``).
    """
    if earnings is None:
        return np.zeros((len(edges) - 1, len(symbols)))
    table = _checks.earnings_table(earnings)
    asset = pd.Index(symbols).get_indexer(pd.Index(table["symbol"]))
    outside = table["symbol"][asset < 0]
    if len(outside):
        names = outside.unique()
        warnings.warn(
            f"earnings: {counted(len(outside), 'announcement')} of {counted(len(names), 'symbol')} outside"
            f" the universe {'is' if len(outside) == 1 else 'are'} ignored ({_checks.first(names)})."
            + ("" if (asset >= 0).any() else " None of its assets has one: are symbols written as in it?"),
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    days = features.day_numbers(pd.DatetimeIndex(table["date"]))[asset >= 0]
    if settings.period == "day" and "session" in table:
        # An announcement after the close moves the price of the next market day.
        late = table["session"].astype(str).str.strip().str.lower().isin(AFTER_CLOSE).to_numpy()
        days = days + late[asset >= 0]
    owner = asset[asset >= 0].astype(np.int64)
    if settings.earnings_gaps == "seasonal":
        parts = [
            features.seasonal_announcements(days[owner == i], since=int(edges[0]), until=int(edges[-1]))
            for i in range(len(symbols))
        ]
        days = np.concatenate(parts)
        owner = np.repeat(np.arange(len(symbols)), [len(part) for part in parts])
    return features.announcement_flags(edges, days, owner, n_assets=len(symbols))


def closes_until(
    origin: pd.Timestamp,
    prices: pd.DataFrame,
    symbols: list[str],
    inactive: Collection[str],
    settings: PanelSettings,
) -> features.Closes:
    """Return checked closes of the universe up to the origin; values after it are not looked at."""
    prices = _tables.prices_frame(prices)
    names = prices.columns.astype(str)
    present = set(names)
    absent = [x for x in symbols if x not in present]
    if absent:
        spelt = next((x for x in absent if _symbols.other_spelling(x, names)), absent[0])
        guess = _symbols.did_you_mean(spelt, names, alias=True)
        of = f" For {spelt}:" if guess and len(absent) > 1 else ""
        raise UnknownLabelError(
            f"prices: {len(absent)} of {len(symbols)} assets of the universe have no column"
            f" ({_checks.first(absent)}).{of}{guess} Add their prices, or drop them from the universe."
        )
    ignored = names.difference(pd.Index(symbols))
    if len(ignored):
        log.info(
            "prices: %d symbols outside the universe are ignored (%s)", len(ignored), _checks.first(ignored)
        )
    table = _checks.price_table(prices, symbols=symbols, until=origin).dropna(how="all")
    if table.empty:
        raise DataError(f"origin: {origin:%Y-%m-%d} is before the first price. Choose a later origin.")
    last = table.index[-1]
    age = (origin - last).days
    closes = features.Closes(table, max_stale_days=settings.max_stale_days)
    _check_spacing(closes, settings)
    further = closes.spacing if closes.sparse else 0
    if age > settings.max_stale_days + further:
        raise DataError(
            f"origin: {origin:%Y-%m-%d} is {age} days after the last price ({last:%Y-%m-%d})."
            " Choose an earlier origin, or add later prices."
        )

    n_days = silent_days(closes)
    recent = (table.index > origin - pd.Timedelta(days=n_days))[:, None] & closes.fresh
    silent = [
        x for x, some in zip(symbols, recent.any(axis=0), strict=True) if not some and x not in inactive
    ]
    if silent:
        raise DataError(
            f"prices: {len(silent)} of {len(symbols)} assets have no fresh price in the {n_days} days"
            f" before the origin {origin:%Y-%m-%d} ({_checks.first(silent)})."
            " Drop them, or pass --zero for a delisted asset."
        )
    return closes


def silent_days(closes: features.Closes) -> int:
    """Calendar days without a fresh price after which an asset is no longer traded."""
    return MAX_SILENT_DAYS + (closes.spacing if closes.sparse else 0)


def _check_spacing(closes: features.Closes, settings: PanelSettings) -> None:
    """Raise ``DataError`` where periods are too short for prices that come so rarely."""
    if not closes.sparse:
        return
    monthly = MONTH[0] <= closes.spacing <= MONTH[1]
    if settings.period == "day":
        good = False
    elif settings.period == "month":
        good = closes.spacing <= MONTH[1]
    else:  # a month is no whole number of days: shorter periods would have no price, or two
        good = settings.period >= closes.spacing * (2 if monthly else 1)
    if good:
        return
    if settings.period == "day":
        raise DataError(
            f"prices: one price about every {closes.spacing} days, too few for periods of one market day."
            " Give daily prices, or take a model of longer periods."
        )
    remedy = (
        'Take calendar months (--calendar-months, period = "month").'
        if monthly
        else f"Give daily prices, or periods of at least {closes.spacing} days."
    )
    raise DataError(
        f"prices: one price about every {closes.spacing} days, too few for periods of"
        f" {describe(settings.period)}. {remedy}"
    )


def usable_periods(
    returns: NDArray[Any],
    symbols: list[str],
    inactive: Collection[str],
    origin: pd.Timestamp,
    settings: PanelSettings,
) -> int:
    """Return the number of the first period in which an asset has a return; enough must follow."""
    known = np.isfinite(returns)
    usable = known.any(axis=1)
    if usable.sum() < MIN_PERIODS:
        raise DataError(
            f"prices: {usable.sum()} usable periods of {describe(settings.period)} before the origin"
            f" {origin:%Y-%m-%d}, at least {MIN_PERIODS} needed."
            " Add earlier prices, or choose a later origin."
        )
    idle = [x for x, some in zip(symbols, known.any(axis=0), strict=True) if not some and x not in inactive]
    if idle:
        raise DataError(
            f"prices: {len(idle)} of {len(symbols)} have no return in the {usable.sum()} usable periods"
            f" before {origin:%Y-%m-%d} ({_checks.first(idle)}). Drop them from the universe."
        )
    return int(usable.argmax())
