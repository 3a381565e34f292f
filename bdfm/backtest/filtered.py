"""Filtered historical simulation: past residuals, scaled by today's volatility."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from bdfm.backtest.protocol import Floats, History
from bdfm.backtest.simulation import Simulation, from_log_returns
from bdfm.data.covariance import MIN_SHARED_DAYS
from bdfm.data.weighting import OLD_HALF_LIVES, HalfLife
from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast


class FilteredHistorical(Simulation):
    """Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999) with EWMA volatility.

    Daily returns over the volatility expected for their day are residuals. A path of the period draws blocks
    of ``block_days`` days of them, all assets together, and multiplies them by volatility that goes on with
    each simulated day. Blocks of several days keep what one market learns from another the next day. A
    residual that an asset lacks is made from its class's mean of that day and noise, with the asset's
    correlation to that mean.
    """

    renamed: ClassVar[Mapping[str, str]] = {"volatility_half_life": OLD_HALF_LIVES["volatility_half_life"]}

    label: str = Field(default="fhs", exclude=True)
    volatility_half_life_days: HalfLife = 60.0  # market days
    block_days: PositiveInt = 5
    n_draws: int = Field(default=20_000, ge=2)
    warm_up: ClassVar[int] = 60  # first days of an asset, whose volatility is not known yet

    @property
    def margins(self) -> str:
        """What the margins are, in words."""
        return "margins of past returns"

    def forecast(self, history: History, *, seed: int) -> Forecast:
        """Forecast by simulation; each path comes with its mirror image."""
        rng = np.random.default_rng(seed)
        returns = self._returns(history)
        keep = 0.5 ** (1 / self.volatility_half_life_days)
        residuals, variance = _residuals(returns, keep, self.warm_up)
        residuals = _completed(residuals, np.array(history.asset_class), rng)
        n_days = max(1, round(history.horizon_days))
        n_paths = -(-self.n_draws // 2)
        n_blocks = -(-n_days // self.block_days)
        starts = rng.integers(len(residuals) - self.block_days + 1, size=(n_paths, n_blocks))
        total = np.zeros((n_paths, residuals.shape[1]))
        ahead = np.tile(variance, (n_paths, 1))
        for day in range(n_days):
            z = residuals[starts[:, day // self.block_days] + day % self.block_days]
            step = np.sqrt(ahead) * z
            total += step
            ahead = keep * ahead + (1 - keep) * step**2
        total *= np.sqrt(history.horizon_days / n_days)
        return from_log_returns(np.concatenate([total, -total]), history, {})


def _residuals(returns: Floats, keep: float, warm_up: int) -> tuple[Floats, Floats]:
    """Returns over expected volatility (day, asset), unit variance, NaN where missing; and the next variance.

    Variance starts as the mean square of an asset's first ``warm_up`` returns, which give no residuals.
    """
    known = np.isfinite(returns)
    count = np.cumsum(known, axis=0)
    x = np.where(known, returns, 0.0)
    early = known & (count <= warm_up)
    variance = (x**2 * early).sum(axis=0) / np.maximum(early.sum(axis=0), 1)
    residuals = np.full(returns.shape, np.nan)
    for t in range(len(returns)):
        on = known[t] & (count[t] > warm_up)
        residuals[t, on] = x[t, on] / np.sqrt(variance[on])
        variance = np.where(on, keep * variance + (1 - keep) * x[t] ** 2, variance)
    begun = np.isfinite(residuals).any(axis=1)
    if not begun.any():
        raise DataError("fhs: no asset has enough returns to begin with. Choose a later origin.")
    residuals = residuals[begun]
    present = np.isfinite(residuals)
    n = np.maximum(present.sum(axis=0), 1)
    residuals -= np.where(present, residuals, 0.0).sum(axis=0) / n
    scale = np.sqrt((np.where(present, residuals, 0.0) ** 2).sum(axis=0) / n)
    return residuals / np.where(scale > 0, scale, 1.0), variance


def _completed(residuals: Floats, classes: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Residuals (day, asset) without gaps; see ``FilteredHistorical``."""
    filled = residuals.copy()
    known = np.isfinite(residuals)
    x = np.where(known, residuals, 0.0)
    for j in np.flatnonzero(~known.all(axis=0)):
        others = (classes == classes[j]) & (np.arange(len(classes)) != j)
        if not others.any():
            others = np.arange(len(classes)) != j
        n = known[:, others].sum(axis=1)
        mean = x[:, others].sum(axis=1) / np.maximum(n, 1)
        mean /= max(float(np.sqrt(np.mean(mean[n > 0] ** 2))), 1e-12)
        own = known[:, j] & (n > 0)
        pairs = own.sum()
        rho = float(np.mean(x[own, j] * mean[own])) if pairs >= MIN_SHARED_DAYS else 0.5
        rho = float(np.clip(rho, -0.95, 0.95))
        source = x[known[:, j], j] if pairs >= MIN_SHARED_DAYS else x[:, others][known[:, others]]
        noise = rng.choice(source, (~known[:, j]).sum()) * rng.choice([-1.0, 1.0], (~known[:, j]).sum())
        filled[~known[:, j], j] = rho * mean[~known[:, j]] + np.sqrt(1 - rho**2) * noise
    return filled
