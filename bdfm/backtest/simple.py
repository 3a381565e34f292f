"""Simple baselines: equal fifths, historical frequencies, one estimate of volatilities and correlations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from bdfm._optional import optional
from bdfm._reading import counted
from bdfm.backtest.protocol import Floats, History, QuantileForecast
from bdfm.backtest.simulation import Baseline, Simulation
from bdfm.data.covariance import (
    Estimate,
    pairwise_correlation,
    positive_definite,
    rolling,
    summed,
    volatility,
)
from bdfm.data.features import day_numbers
from bdfm.data.periods import period_edges
from bdfm.data.settings import RollingCovariance
from bdfm.data.weighting import OLD_HALF_LIVES, HalfLife
from bdfm.errors import DataError
from bdfm.forecast.forecast import N_RANKS
from bdfm.forecast.ranks import outcome_quantiles


class EqualFifths(Baseline):
    """A fifth for everything: knowing nothing."""

    label: str = Field(default="equal", exclude=True)

    def forecast(self, history: History, *, seed: int) -> QuantileForecast:
        """Equal probabilities; the seed is not used."""
        n = len(history.assets)
        return QuantileForecast(history.assets, np.full((n, N_RANKS), 1 / N_RANKS))


class HistoricalFifths(Baseline):
    """How often each asset was in each fifth, shrunk to its class and that to equal fifths.

    Posterior means under Dirichlet priors: ``prior_periods`` periods with the class's frequencies are added
    to an asset's own, and as many with equal ones to the class's.
    """

    label: str = Field(default="historical", exclude=True)
    n_periods: PositiveInt = 130  # at most, before the origin
    prior_periods: PositiveFloat = 26.0

    def forecast(self, history: History, *, seed: int) -> QuantileForecast:
        """Shrunk frequencies; the seed is not used."""
        edges = period_edges(history.origin, period=history.period, n_past=self.n_periods, n_future=0)
        days = day_numbers(edges)
        returns = history.closes.log_returns(days[:-1], days[1:])
        counts = np.zeros((len(history.assets), N_RANKS))
        for row in returns:
            known = np.isfinite(row)
            if known.sum() >= N_RANKS:
                counts[known] += outcome_quantiles(row[known], N_RANKS)
        classes = np.array(history.asset_class)
        centre = np.empty_like(counts)
        for name in dict.fromkeys(history.asset_class):
            own = counts[classes == name].sum(axis=0) + self.prior_periods / N_RANKS
            centre[classes == name] = own / own.sum()
        total = counts + self.prior_periods * centre
        return QuantileForecast(history.assets, total / total.sum(axis=1, keepdims=True))


class EWMA(Simulation):
    """Exponentially weighted volatilities and correlations (RiskMetrics), of different half-lives.

    Student-t margins of 5 degrees of freedom by default: ``ewma-t``; ``dof=None`` is ``ewma-normal``.
    """

    renamed: ClassVar[Mapping[str, str]] = OLD_HALF_LIVES

    label: str = Field(default="ewma-t", exclude=True)
    dof: float | None = Field(default=5.0, gt=2)
    volatility_half_life_days: HalfLife = 60.0  # market days
    correlation_half_life_days: HalfLife = 250.0
    correlation_days: PositiveInt = 1

    @property
    def described(self) -> str:
        """What it is, its margins, and of which returns its correlations are."""
        days = self.correlation_days
        return super().described + (f"; correlations of returns over {days} days" if days > 1 else "")

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Weighted estimates; see the class."""
        found = self._rolling(history)
        return found.correlation, found.volatility * np.sqrt(history.horizon_days)

    def _rolling(self, history: History) -> Estimate:
        settings = RollingCovariance(
            volatility_half_life_days=self.volatility_half_life_days,
            correlation_half_life_days=self.correlation_half_life_days,
            correlation_days=self.correlation_days,
            window_days=self.window_days,
        )
        return rolling(self._returns(history), settings)


class HAR(EWMA):
    """Panel HAR volatility (Corsi 2009, in logs) with EWMA correlations.

    Log volatility over the next ``horizon_days`` market days is regressed on that over the last week, month,
    quarter and year, in one regression over all assets and the past, one observation a week. The last of the
    windows also stands in for an asset's own level. Smearing (Duan 1983) takes logs back to variances.
    """

    label: str = Field(default="har", exclude=True)
    windows: tuple[int, ...] = (5, 22, 66, 250)  # market days
    horizon: PositiveInt = 20  # market days
    train_days: int = Field(default=2500, ge=500)  # market days of observations, at most

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """HAR volatilities and weighted correlations; see the class.

        Raises ``DataError`` for too few observations of volatility before the origin.
        """
        weighted = self._rolling(history)
        days, closes = history.market_days, history.closes
        ends = days[-1::-5][::-1]  # the last of them is the origin's
        x = np.stack([closes.log_volatility(ends, window=w) for w in self.windows], axis=2)
        fallback = np.log(weighted.volatility)
        place = np.searchsorted(days, ends)
        use = (place + self.horizon < len(days)) & (place >= max(self.windows))
        use &= place >= len(days) - self.train_days
        after = days[place[use] + self.horizon]
        y = closes.log_volatility(after, window=self.horizon)
        rows = np.isfinite(y) & np.isfinite(x[use]).all(axis=2)
        if rows.sum() < 50 * len(self.windows):
            raise DataError(
                f"{self.name}: {counted(rows.sum(), 'observation')} of volatility before"
                f" {history.origin:%Y-%m-%d} are"
                " too few for its regression. Choose a later origin, or shorter windows."
            )
        design = np.column_stack([np.ones(rows.sum()), x[use][rows]])
        coefficients, *_ = np.linalg.lstsq(design, y[rows], rcond=None)
        smear = np.log(np.mean(np.exp(2 * (y[rows] - design @ coefficients)))) / 2
        # A young asset has no year of volatility: its own average stands in.
        now = np.where(np.isfinite(x[-1]), x[-1], fallback[:, None])
        scale = np.exp(coefficients[0] + now @ coefficients[1:] + smear)
        return weighted.correlation, scale * np.sqrt(history.horizon_days)


class Shrinkage(Simulation):
    """Sample covariance of a window, shrunk by scikit-learn.

    ``method`` is ``ledoit_wolf`` (Ledoit and Wolf 2004) or ``oas`` (Chen et al. 2010). Returns are
    standardised first, so that it is the correlations that are shrunk, towards none. The strength is
    estimated with missing returns at zero; the matrix itself from the days that pairs share.
    """

    label: str = Field(default="ledoit-wolf", exclude=True)
    method: str = Field(default="ledoit_wolf", pattern="^(ledoit_wolf|oas)$")
    window_days: int = Field(default=250, ge=20)

    @property
    def described(self) -> str:
        """What it is, by which method, and its margins."""
        method = "OAS (Chen et al. 2010)" if self.method == "oas" else "Ledoit and Wolf (2004)"
        return super().described.replace("scikit-learn", f"scikit-learn by {method}")

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Shrunk correlations and the window's volatilities; see the class."""
        covariance = optional("sklearn.covariance", what=self.name, extra="backtest")
        returns = self._returns(history)
        equal = np.ones(len(returns))
        scale = volatility(returns, equal)
        standard = np.nan_to_num((returns - np.nanmean(returns, axis=0)) / scale)
        if self.method == "oas":
            strength = float(
                covariance.OAS(store_precision=False, assume_centered=True).fit(standard).shrinkage_
            )
        else:
            strength = float(covariance.ledoit_wolf_shrinkage(standard, assume_centered=True))
        correlation = (1 - strength) * pairwise_correlation(returns, equal)
        np.fill_diagonal(correlation, 1.0)
        return correlation, scale * np.sqrt(history.horizon_days)


class PCAFactors(Simulation):
    """Static factor model: leading principal components of the correlations, own noise for the rest."""

    label: str = Field(default="pca", exclude=True)
    n_factors: PositiveInt = 7
    window_days: int = Field(default=500, ge=20)
    correlation_days: PositiveInt = 1

    def estimate(self, history: History) -> tuple[Floats, Floats]:
        """Correlations of the factor model and the window's volatilities; see the class."""
        returns = self._returns(history)
        equal = np.ones(len(returns))
        longer = summed(returns, self.correlation_days)
        full = pairwise_correlation(longer, np.ones(len(longer)), n_days=self.correlation_days)
        values, vectors = np.linalg.eigh(full)
        k = min(self.n_factors, len(values) - 1)
        common = (vectors[:, -k:] * values[-k:]) @ vectors[:, -k:].T
        np.fill_diagonal(common, 1.0)
        return positive_definite(common), volatility(returns, equal) * np.sqrt(history.horizon_days)
