"""What baselines share: settings as fields, and simulation of log returns over the period.

There is no conditional mean: expected returns over four weeks are small beside the error of their estimates.
Draws come in antithetic pairs, so that up and down balance exactly where the distribution is symmetric, and
Monte Carlo noise is small.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from pydantic import Field

from bdfm import _checks
from bdfm._settings import Settings
from bdfm.backtest.protocol import Floats, History, QuantileForecast
from bdfm.errors import DataError
from bdfm.forecast.forecast import AttrValue, Forecast
from bdfm.model.copula import simulated_normal, to_student
from bdfm.posterior.predictive import MAX_LOG_RETURN, RETURN_RESOLUTION

N_DRAWS: Final = 40_000


class Baseline(Settings):
    """A forecaster whose fields are its settings."""

    label: str = Field(exclude=True)  # name in tables

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.label

    @property
    def settings(self) -> Mapping[str, Any]:
        """Kind and fields."""
        return {"kind": type(self).__name__, **self.model_dump(mode="json")}

    @property
    def described(self) -> str:
        """What it is, in a line: the first of its class's documentation, and what its settings make of it."""
        return (type(self).__doc__ or "").partition("\n")[0].replace("``", "").rstrip(".")

    def forecast(self, history: History, *, seed: int) -> Forecast | QuantileForecast:
        """Forecast of the period after the history; see ``Forecaster``."""
        raise NotImplementedError(f"{type(self).__name__} has no forecast method")


class Simulation(Baseline):
    """Log returns with a correlation matrix, volatilities, and normal or Student-t margins.

    Attributes
    ----------
    dof
        Degrees of freedom of each asset's margin, above 2, joined by a Gaussian copula; None for normal
        margins. (A multivariate t shares its scale between all assets, which no ranking notices.)
    window_days
        Market days before the origin that are used, at most.
    n_draws
        Draws; the standard deviation of a forecast's RPS over seeds is some 4e-5 at 40,000.
    """

    dof: float | None = Field(default=None, gt=2)
    window_days: int = Field(default=1500, ge=20)
    n_draws: int = Field(default=N_DRAWS, ge=2)

    @property
    def margins(self) -> str:
        """What the margins are, in words."""
        return "normal margins" if self.dof is None else f"Student-t margins, {self.dof:g} degrees of freedom"

    @property
    def described(self) -> str:
        """What it is, and its margins."""
        return f"{super().described}; {self.margins}"

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlation (asset, asset), and volatility (asset,) over the period, of log returns."""
        raise NotImplementedError(f"{type(self).__name__} has no estimate method")

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast by simulation."""
        correlation, scale = self.estimate(history)
        draws = simulated_normal(correlation, self.n_draws, np.random.default_rng(seed))
        if self.dof is not None:
            draws = to_student(draws, self.dof)
        draws *= scale
        return from_log_returns(draws, history, {})

    def _returns(self, history: History) -> Floats:
        returns = history.daily_returns[-self.window_days :]
        few = np.isfinite(returns).sum(axis=0) < 2
        if few.any():
            named = _checks.first(a for a, x in zip(history.assets, few, strict=True) if x)
            raise DataError(
                f"{self.name}: {few.sum()} of {len(few)} assets have fewer than 2 daily returns in the last"
                f" {self.window_days} days ({named}). Drop them from the universe."
            )
        return returns


def from_log_returns(log_returns: Floats, history: History, attrs: Mapping[str, AttrValue]) -> Forecast:
    """Forecast of draws (draw, asset) of log returns over the period."""
    simple = np.expm1(np.clip(log_returns, -MAX_LOG_RETURN, MAX_LOG_RETURN))
    return Forecast.from_draws(
        np.rint(simple / RETURN_RESOLUTION) * RETURN_RESOLUTION,
        assets=history.assets,
        asset_class=history.asset_class,
        names=tuple(history.universe["name"]),
        origin=history.origin,
        end=history.end,
        attrs=attrs,
    )
