"""How a panel is made of daily prices."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    PositiveInt,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from bdfm._kinds import of_kind
from bdfm._settings import Settings
from bdfm.data.choices import MAX_DAYS
from bdfm.data.periods import Period
from bdfm.data.weighting import OLD_HALF_LIVES, HalfLife

MIN_PERIODS: Final = 24
DAILY_SPACING: Final = 4  # calendar days between prices up to which they are daily
_SHORTEST_WINDOW: Final = 5  # longest first window of sparse prices; each one after it may be twice as long


class RollingCovariance(Settings):
    """How the covariance of the days before the origin is estimated: ``[panel.rolling_covariance]``."""

    told_as = "panel.rolling_covariance"
    renamed = OLD_HALF_LIVES

    volatility_half_life_days: HalfLife = 60.0  # market days, as of all of these
    correlation_half_life_days: HalfLife = 250.0
    correlation_days: PositiveInt = 5  # of overlapping returns: markets close at different hours
    window_days: int = Field(default=1500, ge=20, le=MAX_DAYS)  # market days before the origin, at most


class PanelSettings(Settings):
    """How a panel is made from daily prices: the ``[panel]`` table of a model file.

    Examples
    --------
    >>> import bdfm
    >>> bdfm.PanelSettings(period="month", n_periods=60).period
    'month'
    """

    told_as = "panel"

    period: Period = 28  # days, "month" for calendar months, or "day" for market days
    n_periods: int = Field(default=104, ge=MIN_PERIODS)  # at most; shorter data give fewer
    recent_return_days: int = Field(default=7, ge=1, le=MAX_DAYS)  # calendar days
    volatility_windows: tuple[int, ...] = (5,)  # market days
    # relative: to the asset's own past; level: over 1 % a day, unknown values taking the median of the class
    volatility_form: Literal["relative", "level"] = "relative"
    # seasonal: a calendar that begins late or has ended is filled by its own yearly pattern
    earnings_gaps: Literal["none", "seasonal"] = "none"
    min_past_weeks: int = Field(
        default=26, ge=1, le=MAX_DAYS // 7
    )  # weeks of its own past that a feature is measured against
    # calendar days after which a close is no price any more; of sparse prices, beside their spacing
    max_stale_days: int = Field(default=10, ge=1, le=MAX_DAYS)
    # calendar days from one price to the next where they are sparse, 30 say; a panel has that of its prices
    spacing_days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None
    # characteristics at the start of each period, for loadings that follow them as they move
    moving_characteristics: bool = False
    # of daily returns up to the origin, for models whose forecasts pool with it; none unless a table is given
    rolling_covariance: RollingCovariance | None = None

    @field_validator("period", mode="before")
    @classmethod
    def _period(cls, value: object) -> object:
        if value not in ("month", "day") and (type(value) is not int or not 1 <= value <= 366):
            raise ValueError('period must be "month", "day" or a whole number of days from 1 to 366')
        return value

    @field_validator("volatility_windows")
    @classmethod
    def _windows(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 2 or max(value) > MAX_DAYS or list(value) != sorted(set(value)):
            raise ValueError(
                f"volatility_windows must be increasing numbers of market days from 2 to {MAX_DAYS}"
            )
        return value

    @model_serializer(mode="wrap")
    def _without_constant_characteristics(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings; characteristics that stay are no line, so that files from before others moved stay."""
        table: dict[str, Any] = handler(self)
        if not self.moving_characteristics:
            table.pop("moving_characteristics", None)
        return table

    @property
    def sparse(self) -> bool:
        """Whether prices are known to come less often than daily: features count observations, not days."""
        return self.spacing_days is not None and self.spacing_days > DAILY_SPACING

    @property
    def note(self) -> str:
        """Sentence about sparse prices and what features are made of; blank for daily ones."""
        if not self.sparse:
            return ""
        windows = ", ".join(map(str, self.volatility_windows))
        return (
            f"Prices come about every {self.spacing_days} days: features are made of the last prices instead"
            f" of days (volatility of the last {windows}; return over the last"
            f" {max(1, round(self.recent_return_days / (self.spacing_days or 1)))})."
        )

    def spaced(self, days: int | None) -> Self:
        """Return these settings for prices that come every so many calendar days; the same if daily.

        Market days of sparse prices are the days that have one. Windows are counted in them: the first at
        most 5, each one after it at most twice as long, since 60 months say nothing of next month. The recent
        return is that of at least one step from price to price.
        """
        if days is None or days <= DAILY_SPACING:
            return self
        windows = [min(w, _SHORTEST_WINDOW * 2**j) for j, w in enumerate(self.volatility_windows)]
        rolling = self.rolling_covariance
        if rolling is not None:  # hours of closing do not matter there
            rolling = rolling.model_copy(update={"correlation_days": 1})
        return self.model_copy(
            update={
                "rolling_covariance": rolling,
                "spacing_days": days,
                "volatility_windows": tuple(windows),
                "recent_return_days": max(self.recent_return_days, days),
            }
        )


def panel_settings(given: PanelSettings | None) -> PanelSettings:
    """Settings as given, the defaults for None; ``DataError`` for anything else."""
    if given is None:
        return PanelSettings()
    hint = "Those that a model expects are its panel: settings=model.panel."
    of_kind(given, PanelSettings, what="settings", where="panel", hint=hint)
    return given
