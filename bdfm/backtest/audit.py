"""Checks that a backtest does not see the future."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.backtest.comparison import compare
from bdfm.backtest.protocol import (
    Floats,
    Forecaster,
    History,
    MarketData,
    QuantileForecast,
    check_forecaster,
    check_made,
)
from bdfm.backtest.run import Run
from bdfm.backtest.significance import Difference, diebold_mariano, size_of
from bdfm.backtest.stretches import SequentialForecaster, stretch_length, way_to
from bdfm.backtest.walk import origin_seed
from bdfm.data.periods import Period, period_edges
from bdfm.errors import DataError

_HUGE: Final = 1e12


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return np.asarray(np.exp(rng.normal(4, 2, shape)))


FUTURES: Final[dict[str, Callable[[tuple[int, ...], np.random.Generator], Floats]]] = {
    "noise": _noise,
    "missing": lambda shape, _: np.full(shape, np.nan),
    "huge": lambda shape, rng: _HUGE * _noise(shape, rng),
}


@either_seed
@strict
def look_ahead(
    forecaster: Forecaster,
    data: MarketData,
    origins: Sequence[object] | pd.DatetimeIndex,
    *,
    period: Period = 28,
    history_days: int | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """Whether forecasts stay the same, bit by bit, when the future is another one.

    Every price after the origin is replaced by noise, by nothing, or by huge numbers, and every announcement
    after the period to forecast by others; history, seed and forecast are made anew by the way of a backtest.

    Raises ``DataError`` for no origins, or dates that are none.

    Parameters
    ----------
    forecaster, data, origins, period, history_days, seed
        As in ``walk_forward``.

    Returns
    -------
    pandas.DataFrame
        (origin, future): True where the forecast is bit-identical to that from the data as they are.
    """
    check_forecaster(forecaster)
    dates = [_checks.as_date(o, where="origins") for o in origins]
    if not dates:
        raise DataError("look-ahead audit: no origins given. Give at least one date.")
    rows = {}
    for origin in dates:
        made = {
            name: _forecast(
                forecaster, _with_future(data, origin, period, make), origin, period, history_days, seed
            )
            for name, make in FUTURES.items()
        }
        truth = _forecast(forecaster, data, origin, period, history_days, seed)
        rows[origin] = {k: x.shape == truth.shape and bool((x == truth).all()) for k, x in made.items()}
    return pd.DataFrame(rows).T.rename_axis("origin").rename_axis("future", axis=1).astype(bool)


def _forecast(
    forecaster: Forecaster,
    data: MarketData,
    origin: pd.Timestamp,
    period: Period,
    history_days: int | None,
    seed: int,
) -> NDArray[np.floating[Any]]:
    """Draws or probabilities of the last origin, the whole stretch up to it forecast from these data."""

    def known(day: pd.Timestamp) -> History:
        return data.history(day, period=period, history_days=history_days)

    if isinstance(forecaster, SequentialForecaster) and stretch_length(forecaster) > 1:
        earlier: object | None = None
        for day in way_to(origin, period=period, length=forecaster.stretch):
            try:
                forecast, earlier = forecaster.forecast_next(known(day), earlier, seed=origin_seed(seed, day))
            except DataError:  # too few prices yet: the stretch begins later
                if day == origin or earlier is not None:
                    raise
    else:
        forecast = forecaster.forecast(known(origin), seed=origin_seed(seed, origin))
    check_made(forecast, where=f"look-ahead audit of {forecaster.name}")
    if isinstance(forecast, QuantileForecast):
        return forecast.probabilities
    return np.asarray(forecast.draws.to_numpy())


def _with_future(
    data: MarketData,
    origin: pd.Timestamp,
    period: Period,
    make: Callable[[tuple[int, ...], np.random.Generator], Floats],
) -> MarketData:
    rng = np.random.default_rng(0)
    prices = data.prices.copy()
    after = prices.index > origin
    prices.loc[after] = make((int(after.sum()), prices.shape[1]), rng)
    earnings = data.earnings
    if earnings is not None:
        end = period_edges(origin, period=period, n_past=0, n_future=1)[1]
        known = earnings[earnings["date"] <= end]
        days = end + pd.to_timedelta(rng.integers(1, 400, 3 * len(data.universe)), unit="D")
        others = pd.DataFrame({"symbol": np.tile(data.universe["symbol"], 3), "date": days})
        earnings = pd.concat([others, known], ignore_index=True)
    volatility = data.volatility
    if volatility is not None:
        volatility = volatility.copy()
        later = volatility.index > origin
        volatility.loc[later] = rng.uniform(0.1, 1.0, (int(later.sum()), volatility.shape[1]))
    return replace(data, prices=prices, earnings=earnings, volatility=volatility)


@strict
def lateness(run: Run, late: Run) -> Difference:
    """Mean RPS of the run that saw everything late (``Late``) less that of the fresh one, with its error.

    It should be positive. Where it is negative beyond its error, features or outcomes are out of step.
    """
    found = compare([run, late], reference=run.name)
    own, later = found.losses.to_numpy().T
    return diebold_mariano(later - own, sharing=found.sharing, size=size_of(own, later))
