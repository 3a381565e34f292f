"""Draws of a forecast made anew from the file of its posterior."""

from __future__ import annotations

from pathlib import Path

from bdfm.forecast.forecast import Forecast
from bdfm.posterior.posterior import Posterior


def remade(path: Path, *, horizon: int, seed: int, n_draws: int) -> Forecast:
    """Forecast that ``Posterior.forecast`` makes, its base found at ``path``; ``FileError`` without one."""
    return Posterior.load(path).forecast(horizon, seed=seed, n_draws=n_draws)
