"""Dataset of a panel from daily closes, universe and calendars."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import pandas as pd
import xarray as xr

from bdfm import _checks, _tables
from bdfm._kinds import texts
from bdfm.data import features
from bdfm.data.assembly import assemble
from bdfm.data.covariance import covariance_ahead
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.outside import outside_volatility, volatility_table
from bdfm.data.periods import edges_at_market_days, edges_at_prices, period_edges
from bdfm.data.settings import PanelSettings
from bdfm.data.usable import check_panel, closes_until, earnings_flags, usable_periods


def dataset_from_prices(
    prices: pd.DataFrame,
    universe: pd.DataFrame,
    *,
    origin: object,
    earnings: pd.DataFrame | None,
    volatility: pd.DataFrame | None,
    settings: PanelSettings,
    horizon: int,
    zero: Collection[str],
    accept: Collection[str] | None,
    sized: Callable[[int, int], None] | None,
) -> xr.Dataset:
    """Dataset of a panel; arguments and errors are those of ``Panel.from_prices``."""
    horizon = _checks.at_least(horizon, 1, what="horizon", where="panel")
    table = _checks.universe_table(universe)
    _checks.is_table(earnings, where="earnings")
    _checks.is_table(volatility, where="volatility")
    symbols = list(table["symbol"])
    inactive = tuple(dict.fromkeys(texts(zero)))
    _checks.known(inactive, symbols, what="symbol", where="zero")
    day = _checks.as_date(origin, where="origin")
    prices = _tables.prices_frame(prices)
    edges = period_edges(day, period=settings.period, n_past=settings.n_periods, n_future=horizon)
    since = edges[0] - (edges[-1] - edges[0]) / 10 if settings.period == "day" else edges[0]  # holidays
    tables = Tables(
        "forecast", prices=prices, universe=table, earnings=earnings, origin=day, since=since,
        inactive=inactive, max_stale_days=settings.max_stale_days,
        edges=() if settings.period == "day" else tuple(edges[: settings.n_periods + 1]),
    )  # fmt: skip
    check_panel(len(prices), len(symbols), settings)
    doubt(tables, accept=accept)
    closes = closes_until(day, prices, symbols, inactive, settings)
    settings = settings.spaced(closes.spacing)
    if closes.sparse:
        edges = edges_at_prices(edges, closes.dates, n_past=settings.n_periods)
    n_past, returns_of = settings.n_periods, closes.log_returns
    if settings.period == "day":
        market = pd.DatetimeIndex(closes.market_days.astype("datetime64[D]"))
        edges, n_past = edges_at_market_days(edges, market, n_past=n_past)
        returns_of = closes.day_returns
    days = features.day_numbers(edges)
    history = days[: n_past + 1]
    returns = returns_of(history[:-1], history[1:])
    begun = usable_periods(returns, symbols, inactive, day, settings)
    edges, days, returns = edges[begun:], days[begun:], returns[begun:]
    if sized is not None:
        sized(*returns.shape)

    starts = days[: len(returns) + 1]  # of the periods of history, and of the first one after the origin
    recent_return, recent_volatility, market_volatility = features.at_starts(closes, starts, settings)
    group = _checks.category(table["group"]) if "group" in table else table["asset_class"]
    labels = table["asset_class"].to_numpy(dtype=np.str_), group.to_numpy(dtype=np.str_)
    names, characteristics = features.characteristics(closes, int(history[-1]), *labels)
    path = None
    if settings.moving_characteristics:
        path = np.stack([features.characteristics(closes, int(day), *labels)[1] for day in starts])
        path = np.concatenate([path, np.repeat(path[-1:], horizon - 1, axis=0)])
    risk = features.market_risk(closes, days[: len(returns) + 2])
    outside = None
    if volatility is not None:
        outside = outside_volatility(volatility_table(volatility, until=day), symbols, closes, starts)
        outside = np.concatenate([outside, np.repeat(outside[-1:], horizon - 1, axis=0)])
    rolling = settings.rolling_covariance
    later = horizon - 1
    unknown = np.full((horizon, len(symbols)), np.nan)
    return assemble(
        settings,
        edges,
        n_history=len(returns),
        universe=table,
        log_returns=np.concatenate([returns, unknown]),
        recent_return=np.concatenate([recent_return, unknown[:later]]),
        recent_volatility=np.concatenate(
            [recent_volatility, np.repeat(recent_volatility[-1:], later, axis=0)]
        ),
        market_volatility=np.concatenate(
            [market_volatility, np.repeat(market_volatility[-1:], later, axis=0)]
        ),
        characteristics=(names, characteristics),
        characteristics_path=path,
        market_risk=features.fill_by_class(
            np.concatenate([risk, np.repeat(risk[-1:], later, axis=0)])[..., None],
            pd.factorize(table["asset_class"])[0].astype(np.int64),
        )[..., 0],
        outside_volatility=outside,
        rolling_covariance=None
        if rolling is None
        else covariance_ahead(closes, (edges[len(returns) + 1] - day).days, rolling),
        earnings=earnings_flags(earnings, days, symbols, settings),
        has_earnings=earnings is not None,
        inactive=inactive,
        settings_json=settings.model_dump_json(),
    )
