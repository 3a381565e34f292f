"""What a backtest is made of: data, the history known at an origin, and the protocol of a forecaster."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _tables
from bdfm._kinds import kind_and_text
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.data.covariance import market_days, market_days_ahead
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.features import Closes, day_numbers, fresh_closes
from bdfm.data.outside import volatility_table
from bdfm.data.periods import Period, period_edges
from bdfm.data.settings import PanelSettings
from bdfm.data.usable import silent_days
from bdfm.errors import DataError
from bdfm.forecast.forecast import N_RANKS, AttrValue, Forecast
from bdfm.scoring.scores import SUM_TOLERANCE

Floats = NDArray[np.float64]

MIN_PRICES: Final = 60  # that an asset needs among the last rows before an origin to be in its universe
MIN_SPARSE_PRICES: Final = 24  # the same of weekly and monthly prices
_MAX_STALE_DAYS: Final = PanelSettings().max_stale_days
LISTING_ROWS: Final = 250  # a year of trading days
RETURN_PERIODS: Final = 13  # of which one must have a return


@runtime_checkable
class Forecaster(Protocol):
    """Whatever forecasts the next period from a history: the model of this package, a baseline, yours.

    Instances are sent to other processes, so they must pickle, and keep nothing between calls: an origin's
    forecast may depend on the history and the seed alone.
    """

    @property
    def name(self) -> str:
        """Name in tables and pictures."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that its forecasts depend on, as JSON values: a run is resumed only with equal settings."""

    def forecast(self, history: History, *, seed: int) -> Forecast | QuantileForecast:
        """Forecast of exactly the assets of ``history.universe``, from the origin to ``history.end``.

        Simple returns over that span, as draws; or, where the method has no draws, probabilities of each
        fifth. What is put into ``attrs`` is kept with the results.
        """


def check_forecaster(forecaster: object) -> None:
    """Raise ``DataError`` for what is no forecaster: a name alone, a class, what lacks something."""
    where = "backtest"
    expected = "It is an object with a name (text), settings (a dict) and a method forecast(history, *, seed)"
    if isinstance(forecaster, str):
        raise DataError(
            f"{where}: {forecaster!r} is a name, not a forecaster. Take bdfm.backtest.baselines()[...] or"
            f" ModelForecaster(...). {expected}."
        )
    if isinstance(forecaster, type):
        raise DataError(
            f"{where}: {forecaster.__name__} is a class. Give an object of it: it is made by (...)."
        )
    name, settings, forecast = (getattr(forecaster, k, None) for k in ("name", "settings", "forecast"))
    has = {
        "name": isinstance(name, str),
        "settings": isinstance(settings, Mapping),
        "forecast": callable(forecast),
    }
    lacking = [k for k, there in has.items() if not there]
    if lacking:
        raise DataError(
            f"{where}: a {type(forecaster).__name__} is no forecaster, for want of {' and '.join(lacking)}."
            f" {expected}."
        )
    if not str(name).strip():
        raise DataError(f"{where}: the forecaster's name is blank. Tables and files need one.")
    try:
        json.dumps(dict(settings or {}))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where}: settings of {name} cannot be kept in a file: {error}. Give numbers, texts, truths,"
            " None, and lists and dicts of these."
        ) from None


def check_made(made: object, *, where: str) -> None:
    """Raise ``DataError`` where a forecaster's ``forecast`` gave something else than a forecast."""
    if not isinstance(made, Forecast | QuantileForecast):
        raise DataError(
            f"{where}: forecast() gave {kind_and_text(made)}; a bdfm.Forecast (Forecast.from_draws) or a"
            " bdfm.backtest.QuantileForecast was expected."
        )


@dataclass(frozen=True, eq=False)
class QuantileForecast:
    """Probabilities of the fifths alone, of a method that has no predictive draws.

    Parameters
    ----------
    assets
        Symbols.
    probabilities
        (asset, quantile), lowest fifth first; rows sum to 1.
    attrs
        Facts to keep with the results: texts and numbers.

    Raises
    ------
    DataError
        Another shape, or rows that are no probabilities.
    """

    assets: tuple[str, ...]
    probabilities: Floats
    attrs: Mapping[str, AttrValue]

    def __init__(
        self,
        assets: tuple[str, ...],
        probabilities: ArrayLike,
        attrs: Mapping[str, AttrValue] | None = None,
    ) -> None:
        values = np.array(probabilities, dtype=np.float64)
        where = "quantile forecast"
        if values.shape != (len(assets), N_RANKS):
            raise DataError(
                f"{where}: probabilities of shape {values.shape}, expected"
                f" ({counted(len(assets), 'asset')}, {N_RANKS})."
            )
        good = np.isfinite(values).all(axis=1) & (values >= 0).all(axis=1)
        good &= np.abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE
        if not good.all():
            bad = [a for a, ok in zip(assets, good, strict=True) if not ok]
            raise DataError(
                f"{where}: rows of {counted(len(bad), 'asset')} are not within 0 and 1 with sum 1"
                f" ({_checks.first(bad)})."
            )
        values.flags.writeable = False
        object.__setattr__(self, "assets", tuple(assets))
        object.__setattr__(self, "probabilities", values)
        object.__setattr__(self, "attrs", dict(attrs or {}))


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What is known at an origin: nothing in it is younger, but for scheduled earnings dates.

    Attributes
    ----------
    prices
        (day, symbol) adjusted closes up to the origin, of the assets of ``universe``; NaN where missing.
    universe
        One row for each asset alive at the origin: symbol, asset_class, name.
    earnings
        Announcements (symbol, date) of these assets up to ``end``; None without a calendar.
    origin, end
        Day on which the forecast is made, after its close, and last day of the period to forecast.
    period
        Length of that period, in days or ``"month"``.
    volatility
        Annual volatilities (day, symbol) known up to the origin; None without a table of them.
    """

    prices: pd.DataFrame
    universe: pd.DataFrame
    earnings: pd.DataFrame | None
    origin: pd.Timestamp
    end: pd.Timestamp
    period: Period
    volatility: pd.DataFrame | None = None

    @property
    def assets(self) -> tuple[str, ...]:
        """Symbols, in the order of the universe."""
        return tuple(self.universe["symbol"])

    @property
    def asset_class(self) -> tuple[str, ...]:
        """Class of each asset."""
        return tuple(self.universe["asset_class"])

    @cached_property
    def closes(self) -> Closes:
        """Closes looked up by day, local holidays and stale prices dealt with as in a panel."""
        return Closes(self.prices, max_stale_days=_MAX_STALE_DAYS)

    @cached_property
    def market_days(self) -> NDArray[np.int64]:
        """Days (since 1970) on which at least half of the assets listed then have a fresh close."""
        return market_days(self.closes)

    @cached_property
    def daily_returns(self) -> Floats:
        """Log returns (market day after the first, asset); NaN where an asset has no fresh close since."""
        return self.closes.log_returns(self.market_days[:-1], self.market_days[1:])

    @cached_property
    def horizon_days(self) -> float:
        """Market days that the forecast period will have, by the share of the last year's days."""
        return market_days_ahead(self.market_days, (self.end - self.origin).days)

    @strict
    def market_volatility(self, n_days: int = 60) -> float:
        """Annual volatility of the assets' mean return over the last ``n_days`` market days, decimal.

        Of weekly or monthly prices over as many of their days.
        """
        tail = Closes(self.prices.iloc[-2 * n_days :], max_stale_days=_MAX_STALE_DAYS)
        days = tail.days[tail.market][-n_days - 1 :]
        recent = tail.log_returns(days[:-1], days[1:])
        known = np.isfinite(recent)
        mean = np.where(known, recent, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        if not len(mean):
            return float("nan")
        per_year = 365.25 * len(mean) / float(days[-1] - days[0]) if self.closes.sparse else 252.0
        return float(np.sqrt(per_year * np.mean(mean**2)))

    @strict
    def earlier(self, n_periods: int) -> Self:
        """History as it was ``n_periods`` periods before the origin, of the assets of this one."""
        edges = period_edges(self.origin, period=self.period, n_past=n_periods, n_future=0)
        origin, end = edges[0], edges[1] if n_periods else self.end
        earnings = self.earnings
        return replace(
            self,
            prices=self.prices.loc[:origin],
            earnings=None if earnings is None else earnings[earnings["date"] <= end],
            volatility=None if self.volatility is None else self.volatility.loc[:origin],
            origin=origin,
            end=end,
        )

    def __repr__(self) -> str:
        return (
            f"<History to {self.origin:%Y-%m-%d}: {counted(len(self.universe), 'asset')},"
            f" {counted(len(self.prices), 'day')};"
            f" to forecast: until {self.end:%Y-%m-%d}>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class MarketData:
    """Prices, universe and earnings calendar of a backtest; made by ``of``, which checks them once."""

    prices: pd.DataFrame  # (day, symbol) adjusted closes
    universe: pd.DataFrame
    earnings: pd.DataFrame | None
    volatility: pd.DataFrame | None = None  # (day, symbol) annual, known at the end of the day

    @classmethod
    def of(
        cls,
        prices: pd.DataFrame,
        universe: pd.DataFrame,
        earnings: pd.DataFrame | None = None,
        *,
        volatility: pd.DataFrame | None = None,
        accept: Collection[str] | None = (),
    ) -> MarketData:
        """Data of a backtest.

        Parameters
        ----------
        prices
            Adjusted closes (day, symbol), missing as NaN. Symbols outside the universe are not used.
        universe
            Columns symbol, asset_class, and optionally name and group: every asset that ever takes part.
        earnings
            Columns symbol and date, each announcement as it was scheduled; None without a calendar.
        volatility
            Annual volatilities (day, symbol), each known at the end of its day, for models with the part
            ``outside_volatility``; see ``bdfm.data.outside``.
        accept
            As in ``Panel.from_prices``. All days are examined, and nothing of it goes into a forecast.

        Raises
        ------
        DataError
            What a rule of ``bdfm.data.doubts`` refuses. Prices that are not positive, repeated days or
            symbols, rows without a class or date.
        UnknownLabelError
            An asset of the universe without a column of prices.
        """
        table = _checks.universe_table(universe)
        _checks.is_table(earnings, where="earnings")
        _checks.is_table(volatility, where="volatility")
        table = table[[c for c in ("symbol", "asset_class", "name", "group") if c in table]]
        symbols = list(table["symbol"])
        prices = _tables.prices_frame(prices)
        _checks.known(symbols, [str(c) for c in prices.columns], what="symbol", where="universe", alias=True)
        doubt(Tables("backtest", prices=prices, universe=table, earnings=earnings), accept=accept)
        closes = _checks.price_table(prices, symbols=symbols).dropna(how="all")
        if closes.empty:
            raise DataError("prices: not one price of the universe. Check the files.")
        calendar = None
        if earnings is not None:
            calendar = _checks.earnings_table(earnings)[["symbol", "date"]]
            calendar = calendar[calendar["symbol"].isin(symbols)].reset_index(drop=True)
        return cls(closes, table, calendar, None if volatility is None else volatility_table(volatility))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the data: equal for equal prices, universe and earnings."""
        digest = sha256()
        digest.update(self.prices.index.to_numpy().astype("datetime64[D]").astype(np.int64).tobytes())
        digest.update(np.ascontiguousarray(self.prices.to_numpy(dtype=np.float64)).tobytes())
        tables = (self.universe,) if self.earnings is None else (self.universe, self.earnings)
        for table in tables:
            digest.update(table.to_csv(index=False).encode())
        if self.volatility is not None:
            digest.update(self.volatility.to_csv().encode())
        return digest.hexdigest()

    @strict
    def history(
        self, origin: pd.Timestamp, *, period: Period = 28, history_days: int | None = None
    ) -> History:
        """What is known at an origin.

        The universe holds the assets *alive* then: at least 60 prices in the 250 rows up to the origin (24
        where prices are sparse), a fresh one in the 30 days before it (more, by their spacing), and a
        return over one of the last 13 periods.

        Parameters
        ----------
        origin
            Day on which the forecast is made, after its close.
        period
            Length of the period to forecast, in days or ``"month"``.
        history_days
            Calendar days of history: a rolling window; None for all there is, an expanding one.

        Raises
        ------
        DataError
            Fewer than five assets are alive.
        """
        end = period_edges(origin, period=period, n_past=0, n_future=1)[1]
        first = None if history_days is None else origin - pd.Timedelta(days=history_days)
        past = self.prices.loc[first:origin]
        alive = self._alive(past, origin, period)
        if alive.sum() < N_RANKS:
            raise DataError(
                f"backtest: {alive.sum()} of {len(alive)} assets are alive at {origin:%Y-%m-%d}, fifths need"
                f" {N_RANKS}. Choose a later origin."
            )
        universe = self.universe[alive].reset_index(drop=True)
        earnings = self.earnings
        if earnings is not None:
            known = earnings["symbol"].isin(universe["symbol"]) & (earnings["date"] <= end)
            earnings = earnings[known].reset_index(drop=True)
        prices = past.loc[:, list(universe["symbol"])].dropna(how="all").copy()
        volatility = None if self.volatility is None else self.volatility.loc[:origin]
        return History(prices, universe, earnings, origin, end, period, volatility)

    @staticmethod
    def _alive(past: pd.DataFrame, origin: pd.Timestamp, period: Period) -> NDArray[np.bool_]:
        rows = past.iloc[-LISTING_ROWS:]
        if rows.empty:
            return np.zeros(past.shape[1], dtype=bool)
        closes = Closes(past, max_stale_days=_MAX_STALE_DAYS)
        fresh = fresh_closes(rows.to_numpy(dtype=np.float64))
        recent = rows.index > origin - pd.Timedelta(days=silent_days(closes))
        enough = MIN_SPARSE_PRICES if closes.sparse else MIN_PRICES
        listed = (rows.notna().sum() >= enough).to_numpy() & fresh[recent].any(axis=0)
        edges = day_numbers(period_edges(origin, period=period, n_past=RETURN_PERIODS, n_future=0))
        returns = closes.log_returns(edges[:-1], edges[1:])
        return np.asarray(listed & np.isfinite(returns).any(axis=0))

    def __repr__(self) -> str:
        days = self.prices.index
        calendar = (
            "no earnings" if self.earnings is None else f"{counted(len(self.earnings), 'announcement')}"
        )
        span = f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"
        return f"<MarketData: {counted(len(self.universe), 'asset')}, {span}, {calendar}>"
