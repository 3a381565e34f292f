"""Forecasts of returns by factor models: whether alphas of the past are those of the future."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._statistics import mean_error
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET
from bdfm.risk.pricing import price
from bdfm.risk.returns import examined, returns_table
from bdfm.risk.time_series import TimeSeriesEstimator
from bdfm.validation.refits import origins_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

MIN_ASSETS = 3  # that a slope or a rank correlation across assets needs


@dataclass(frozen=True, eq=False, repr=False)
class AlphaForecasts:
    """Alphas as they were known, and abnormal returns that came; made by ``forecast_alphas``.

    Attributes
    ----------
    forecast, realised
        (origin, asset): alpha per period, estimated from the periods up to the origin; and the mean of
        r - Σ β f over the periods after it, up to the next origin, with the betas of the origin.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> from bdfm import validation
    >>> factors = returns[["QUAL"]].rename(columns={"QUAL": "market"})
    >>> found = validation.forecast_alphas(returns[["XOM", "KO", "AMD", "PG"]], factors, window=52, step=4)
    >>> found.forecast.shape
    (13, 4)
    """

    forecast: pd.DataFrame
    realised: pd.DataFrame

    def by_origin(self) -> pd.DataFrame:
        """Slope of what came on what was forecast, across assets, and their rank correlation (origin)."""
        rows = []
        for a, b in zip(self.forecast.to_numpy(), self.realised.to_numpy(), strict=True):
            both = np.isfinite(a) & np.isfinite(b)
            x, y = a[both], b[both]
            if len(x) < MIN_ASSETS:
                rows.append((np.nan, np.nan, len(x)))
                continue
            x, y = x - x.mean(), y - y.mean()
            rows.append((float(x @ y / (x @ x)), float(stats.spearmanr(x, y).statistic), len(x)))
        return pd.DataFrame(rows, self.forecast.index, ["slope", "rank_correlation", "assets"])

    def _r_squared(self) -> float:
        a, b = self.forecast.to_numpy(), self.realised.to_numpy()
        both = np.isfinite(a) & np.isfinite(b)
        return float(1 - np.square(b - a)[both].sum() / np.square(b)[both].sum())

    def _slope(self) -> tuple[float, float]:
        """Mean over origins and its error."""
        values = self.by_origin()["slope"].to_numpy()
        return float(np.nanmean(values)), mean_error(values)

    @property
    def table(self) -> pd.DataFrame:
        """Means over origins with their errors (Newey-West): ``value``, ``se``, ``t``.

        ``slope``: 1 if alphas last as estimated, 0 if they are noise; between them, what to shrink alphas to.
        ``rank correlation``: of forecast and realised. ``r_squared``: 1 - Σ (realised - alpha)² / Σ realised²
        over all; negative where alphas as estimated are worse than none (Campbell and Thompson 2008, Review
        of Financial Studies 21, 1509-1531); it has no error here.
        """
        ranks = self.by_origin()["rank_correlation"].to_numpy()
        found = {"slope": self._slope(), "rank correlation": (float(np.nanmean(ranks)), mean_error(ranks))}
        rows = [(value, se, value / se if se > 0 else np.nan) for value, se in found.values()]
        rows.append((self._r_squared(), np.nan, np.nan))
        return pd.DataFrame(rows, [*found, "r_squared"], ["value", "se", "t"])

    def __repr__(self) -> str:
        slope, se = self._slope()
        return (
            f"<bdfm.AlphaForecasts: {counted(self.forecast.shape[1], 'asset')},"
            f" {counted(len(self.forecast), 'origin')}; slope"
            f" {slope:.2f} ± {se:.2f} (1: alphas last, 0: noise), R² {self._r_squared():.3f}>"
        )

    def _repr_html_(self) -> str:
        return opening(self) + self.table.to_html(float_format="{:.3f}".format, border=0)

    def plot(self) -> Figure:
        """Realised against forecast alphas, and the rank correlation of each origin."""
        figure, axes = new_figure(1, 2, figsize=(9, 3.2))
        left, right = axes[0]
        a, b = 100 * self.forecast.to_numpy().ravel(), 100 * self.realised.to_numpy().ravel()
        both = np.isfinite(a) & np.isfinite(b)
        left.plot(a[both], b[both], ".", ms=2, alpha=0.4)
        span = np.array([a[both].min(), a[both].max()])
        slope, _ = self._slope()
        left.plot(span, span, color="black", lw=0.6, label="alphas last")
        left.plot(span, slope * span, color="C3", lw=1.2, label=f"slope {slope:.2f}")
        left.set_xlabel("alpha as forecast, % a period")
        left.set_ylabel("abnormal return that came, %")
        left.legend(fontsize=7, frameon=False)
        found = self.by_origin()["rank_correlation"]
        right.bar(np.arange(len(found)), found, color="C0")
        right.axhline(0, color="black", lw=0.6)
        right.set_xlabel("origin")
        right.set_ylabel("rank correlation across assets")
        return figure


@strict
def forecast_alphas(
    returns: pd.DataFrame,
    factors: pd.DataFrame,
    *,
    risk_free: pd.Series | None = None,
    window: int | None = None,
    step: int = 1,
    start: int | None = None,
) -> AlphaForecasts:
    """Alphas estimated from the past alone, again and again, and the abnormal returns that came (eq. R26).

    Parameters
    ----------
    returns
        (period, asset) simple returns, decimals; excess returns unless ``risk_free`` is given.
    factors
        (period, factor) factor returns, decimals, of these periods.
    risk_free
        (period,) rate that is subtracted from the returns.
    window
        Last periods that each regression sees; ``None`` for all of the past.
    step
        Periods between origins, over which abnormal returns are averaged.
    start
        Periods before the first origin: the window unless given, or half of the data without one.

    Raises
    ------
    DataError
        Too few periods or assets, not counting combinations of the factors; or as ``price``, with the origin
        named.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> from bdfm import validation
    >>> factors = returns[["QUAL"]].rename(columns={"QUAL": "market"})
    >>> found = validation.forecast_alphas(returns[["XOM", "KO", "AMD", "PG"]], factors, window=52, step=4)
    >>> found.by_origin().columns.tolist()
    ['slope', 'rank_correlation', 'assets']
    """
    where = "alphas out of sample"
    table = returns_table(returns, where=where)
    stops = origins_of(len(table), window, step, start, where=where)
    if table.shape[1] < MIN_ASSETS:
        raise DataError(f"{where}: {counted(table.shape[1], 'asset')}; {MIN_ASSETS} or more can be compared.")
    estimator = TimeSeriesEstimator(factors, risk_free=risk_free)
    forecast, realised = {}, {}
    for stop in stops:
        past = table.iloc[max(0, stop - window) if window else 0 : stop]
        origin = past.index[-1]
        try:
            with examined():
                fitted = price(past, factors, risk_free=risk_free)
        except DataError as error:
            raise DataError(f"{where}, origin {origin:%Y-%m-%d}: {error}") from error
        beta = fitted.betas["beta"].unstack()
        excess, f = estimator.realised(table.iloc[stop : stop + step])
        assets = list(fitted.alphas.index)
        abnormal = excess[assets].to_numpy() - f.to_numpy() @ beta.loc[assets, list(f.columns)].to_numpy().T
        known = np.isfinite(abnormal).sum(axis=0)
        mean = np.nansum(abnormal, axis=0) / np.where(known > 0, known, np.nan)
        there = fitted.alphas["t"].notna()  # an asset that is a combination of the factors has none
        if there.sum() < MIN_ASSETS:
            raise DataError(
                f"{where}, origin {origin:%Y-%m-%d}: {_checks.first(there.index[~there])}: combinations of"
                " the factors, or without a move, so that"
                f" {counted(there.sum(), 'asset is', 'assets are')} left; {MIN_ASSETS} or"
                " more can be compared. Leave them out of the returns, or make the factors without them."
            )
        forecast[origin] = fitted.alphas["alpha"].where(there)
        realised[origin] = pd.Series(mean, assets).where(there)
    made = (pd.DataFrame(x).T.reindex(columns=table.columns) for x in (forecast, realised))
    one, other = (x.rename_axis(columns=ASSET) for x in made)
    return AlphaForecasts(one, other)
