"""How a panel is made of daily prices."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from bdfm._settings import Settings
from bdfm.data.periods import Period

MIN_PERIODS: Final = 24


class RollingCovariance(Settings):
    """How the covariance of the days before the origin is estimated: ``[panel.rolling_covariance]``."""

    told_as = "panel.rolling_covariance"

    volatility_half_life: PositiveFloat = 60.0  # market days
    correlation_half_life: PositiveFloat = 250.0
    correlation_days: PositiveInt = 5  # of overlapping returns: markets close at different hours
    window_days: int = Field(default=1500, ge=20)  # market days before the origin, at most


class PanelSettings(Settings):
    """How a panel is made from daily prices: the ``[panel]`` table of a model file."""

    told_as = "panel"

    period: Period = 28  # days, or "month" for calendar months
    n_periods: int = Field(default=104, ge=MIN_PERIODS)  # at most; shorter data give fewer
    recent_return_days: PositiveInt = 7  # calendar days
    volatility_windows: tuple[int, ...] = (5,)  # market days
    # relative: to the asset's own past; level: over 1 % a day, unknown values taking the median of the class
    volatility_form: Literal["relative", "level"] = "relative"
    # seasonal: a calendar that begins late or has ended is filled by its own yearly pattern
    earnings_gaps: Literal["none", "seasonal"] = "none"
    min_past_weeks: PositiveInt = 26  # weeks of its own past that a feature is measured against
    max_stale_days: PositiveInt = 10  # calendar days after which a close is no price any more
    # of daily returns up to the origin, for models whose forecasts pool with it; none unless a table is given
    rolling_covariance: RollingCovariance | None = None

    @field_validator("period", mode="before")
    @classmethod
    def _period(cls, value: object) -> object:
        if value != "month" and (type(value) is not int or not 1 <= value <= 366):
            raise ValueError('period must be "month" or a whole number of days from 1 to 366')
        return value

    @field_validator("volatility_windows")
    @classmethod
    def _windows(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 2 or list(value) != sorted(set(value)):
            raise ValueError("volatility_windows must be increasing numbers of market days, each at least 2")
        return value
