"""Origins in a row of which each forecast goes on from the one before.

Where a stretch begins hangs on the date alone, so that a forecast depends on data, seed and origin as any
other does: not on which origins are asked for, on the number of workers, or on where a run was stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, runtime_checkable

import pandas as pd

from bdfm import _checks
from bdfm.backtest.protocol import Forecaster, History, QuantileForecast
from bdfm.data.periods import Period
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast

NO_MONTHS: Final = (
    "an update goes on from the origin a number of days before, which calendar months of different lengths"
    " do not have."
)
_EPOCH: Final = pd.Timestamp("1970-01-01")


@runtime_checkable
class SequentialForecaster(Forecaster, Protocol):
    """A forecaster that may go on from what it found at the origin before.

    It still keeps nothing between calls: what it found is handed back to it.
    """

    @property
    def stretch(self) -> int:
        """Origins in a row of which only the first begins anew; 1 where each does."""

    def forecast_next(
        self, history: History, earlier: object | None, *, seed: int
    ) -> tuple[Forecast | QuantileForecast, object]:
        """Forecast, and what the next one goes on from; ``earlier`` is that of one period before, or None."""


def stretch_length(forecaster: Forecaster) -> int:
    """Origins of a stretch of a forecaster, 1 where it has none; ``DataError`` where that is no number."""
    if not isinstance(forecaster, SequentialForecaster):
        return 1
    return _checks.at_least(forecaster.stretch, 1, what="stretch", where=forecaster.name)


def stretches(
    origins: Sequence[pd.Timestamp], *, period: Period, length: int
) -> list[tuple[pd.Timestamp, ...]]:
    """Origins in groups that belong to one stretch: all of a group go on from one another.

    Raises ``DataError`` where a stretch has more than one origin and periods are months.
    """
    groups: dict[tuple[int, int], list[pd.Timestamp]] = {}
    for origin in origins:
        groups.setdefault(_place(origin, period, length)[:2], []).append(origin)
    return [tuple(sorted(g)) for g in groups.values()]


def way_to(origin: pd.Timestamp, *, period: Period, length: int) -> list[pd.Timestamp]:
    """Origins from the first of the stretch to this one, which is the last."""
    number = _place(origin, period, length)[2]
    step = pd.Timedelta(days=period if isinstance(period, int) else 0)
    return [origin - k * step for k in range(number, -1, -1)]


def _place(origin: pd.Timestamp, period: Period, length: int) -> tuple[int, int, int]:
    """Day within a period, number of the stretch, and number of the origin within it; counted from 1970."""
    if length == 1:
        return 0, origin.toordinal(), 0
    if not isinstance(period, int):
        raise DataError(
            f"backtest: period {period!r} and warm: {NO_MONTHS} Leave out warm, or give the period in days."
        )
    periods, day = divmod((origin - _EPOCH).days, period)
    number, place = divmod(periods, length)
    return day, number, place
