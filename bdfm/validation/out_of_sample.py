"""What forecasts of risk were worth on returns that they had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._statistics import mean_error
from bdfm._strict import strict
from bdfm.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class OutOfSample:
    """Forecasts of risk and what came, period by period; made by ``walk_forward`` and by validation.

    Attributes
    ----------
    kind
        Kind of the risk model.
    realised, variance, baseline
        (period, portfolio): realised return; its variance as the model forecast it, and as the portfolio's
        own returns in the training window would have it. Columns are (group, portfolio).
    distance
        (period,) r'Σ⁻¹r over the number of assets; 1 on average for a calibrated covariance.
    minimum_variance
        (period) ``realised`` return and forecast ``variance`` of the portfolio that the model thinks safest.
    actual, unexplained
        (period, asset): return, and what is left of it once factor returns are known (time-series models) or
        estimated from the other assets of the period.
    origins
        (period,) last day that the model knew.
    """

    kind: str
    realised: pd.DataFrame
    variance: pd.DataFrame
    baseline: pd.DataFrame
    distance: pd.Series
    minimum_variance: pd.DataFrame
    actual: pd.DataFrame
    unexplained: pd.DataFrame
    origins: pd.Series

    @property
    def standardised(self) -> pd.DataFrame:
        """Realised returns in units of their forecast volatility (period, portfolio)."""
        return self.realised / self.variance**0.5

    def bias(self) -> pd.DataFrame:
        """Bias statistic of each portfolio and its standard error (columns ``bias``, ``se``).

        Root mean square of standardised returns: 1 for right forecasts, above 1 where risk is underestimated.
        The error allows for heavy tails and volatility that clusters (Newey-West on squares).
        """
        squares = self.standardised**2
        level = squares.mean()
        se = pd.Series([mean_error(x) for x in squares.to_numpy().T], squares.columns)
        return pd.DataFrame({"bias": level**0.5, "se": se / (2 * level**0.5)})

    def qlike(self) -> pd.DataFrame:
        """QLIKE log σ² + r²/σ² of the model and of the sample variance: mean over periods (portfolio)."""
        losses = {
            name: (np.log(v) + np.square(self.realised) / v).mean()
            for name, v in (("qlike", self.variance), ("baseline", self.baseline))
        }
        return pd.DataFrame(losses)

    def qlike_gain(self) -> tuple[float, float]:
        """QLIKE of the sample variance less the model's, mean over random portfolios, and its standard error.

        Positive: the model forecasts better.
        """
        groups = self.realised.columns.get_level_values(0)
        pick = (
            groups.isin(["long only", "long-short"]) if "long only" in groups else np.ones(len(groups), bool)
        )
        r2 = np.square(self.realised.loc[:, pick])
        own, base = self.variance.loc[:, pick], self.baseline.loc[:, pick]
        gain = np.asarray((np.log(base) + r2 / base - np.log(own) - r2 / own).mean(axis=1))
        return float(np.nanmean(gain)), mean_error(gain)

    def r_squared(self) -> pd.Series:
        """Out-of-sample R² of each asset: 1 - Σ unexplained² / Σ return²."""
        both = np.isfinite(self.unexplained)
        left, total = ((x.where(both) ** 2).sum() for x in (self.unexplained, self.actual))
        found: pd.Series[float] = 1 - left / total
        return found.rename("r_squared")

    def total_r_squared(self) -> float:
        """Out-of-sample R² over all assets and periods together."""
        both = np.isfinite(self.unexplained)
        left, total = (float(np.square(x.where(both)).sum().sum()) for x in (self.unexplained, self.actual))
        return 1 - left / total

    def mahalanobis(self) -> tuple[float, float]:
        """Mean of r'Σ⁻¹r / N and its standard error; 1 for a calibrated covariance."""
        values = self.distance.dropna().to_numpy()
        return float(values.mean()), mean_error(values)

    def minimum_variance_ratio(self) -> tuple[float, float]:
        """Realised over forecast volatility of the minimum-variance portfolio, and its standard error."""
        squares = (self.minimum_variance["realised"] ** 2 / self.minimum_variance["variance"]).dropna()
        level = float(np.sqrt(squares.mean()))
        return level, mean_error(squares.to_numpy()) / (2 * level)

    @property
    def table(self) -> pd.DataFrame:
        """One row per group of portfolios: number, mean bias statistic, share outside 1 ± 2 se, QLIKE."""
        bias, qlike = self.bias(), self.qlike()
        outside = (bias["bias"] - 1).abs() > 2 * bias["se"]
        frame = bias.assign(outside=outside.astype(float)).join(qlike)
        grouped = frame.groupby(level=0, sort=False)
        table = grouped[["bias", "outside", "qlike", "baseline"]].mean()
        table.insert(0, "portfolios", grouped.size())
        return table

    def summary(self) -> pd.Series:
        """Headline figures of the model, for a table of several models."""
        bias = self.bias()["bias"].groupby(level=0, sort=False).mean()
        qlike = self.qlike()["qlike"].groupby(level=0, sort=False).mean()
        figures = {f"bias, {g}": bias[g] for g in bias.index} | {f"QLIKE, {g}": qlike[g] for g in qlike.index}
        figures["Mahalanobis / N"] = self.mahalanobis()[0]
        figures["minimum variance, realised / forecast"] = self.minimum_variance_ratio()[0]
        own = np.square(self.minimum_variance["realised"].dropna())
        figures["minimum variance, realised volatility"] = float(np.sqrt(own.mean()))
        figures["R² out of sample"] = self.total_r_squared()
        return pd.Series(figures, name=self.kind)

    def __repr__(self) -> str:
        bias = self.bias()["bias"]
        return (
            f"<bdfm.OutOfSample, {self.kind}: {counted(len(self.realised), 'period')},"
            f" {self.realised.shape[1]}"
            f" portfolios, mean bias {bias.mean():.2f}, R² {self.total_r_squared():.0%}>"
        )

    def _repr_html_(self) -> str:
        return opening(self) + self.table.to_html(float_format="{:.3f}".format, border=0)

    def plot(self) -> Figure:
        """Bias statistics by group of portfolios, and the Mahalanobis distance over time."""
        bias = self.bias()
        groups = list(dict.fromkeys(bias.index.get_level_values(0)))
        figure, axes = new_figure(1, 2, figsize=(10, 3.2), width_ratios=[1, 1.6])
        left, right = axes[0]
        for place, group in enumerate(groups):
            own = bias.loc[group]
            jitter = np.linspace(-0.3, 0.3, len(own)) if len(own) > 1 else np.zeros(1)
            left.errorbar(
                place + jitter,
                own["bias"],
                yerr=2 * own["se"],
                fmt=".",
                ms=4,
                lw=0.4,
                color=f"C{place}",
                alpha=0.7,
            )
        left.axhline(1, color="black", lw=0.8)
        left.set_xticks(range(len(groups)), groups, fontsize=8)
        left.set_title("bias statistic ± 2 se; above 1: risk underestimated", fontsize=8)
        right.plot(self.distance, ".", ms=3, color="C0")
        right.plot(self.distance.rolling(max(5, len(self.distance) // 20)).mean(), color="C3", lw=1.2)
        right.axhline(1, color="black", lw=0.8)
        right.set_yscale("log")
        right.set_title("Mahalanobis distance / N, and its moving average", fontsize=8)
        for axis in (left, right):
            axis.tick_params(labelsize=7)
            axis.spines[["top", "right"]].set_visible(False)
        figure.suptitle(f"Out of sample, {self.kind} model", fontsize=10)
        return figure


@strict
def compare_forecasts(results: Mapping[str, OutOfSample]) -> pd.DataFrame:
    """Table (figure, model) of the ``results`` of several models on the same periods and portfolios.

    The last rows are the mean QLIKE over random portfolios less that of the best model, and the standard
    error of that difference: models within two errors of the best are not told apart by these data.

    Raises
    ------
    DataError
        Results of different periods or portfolios.
    """
    if not results:
        raise DataError("compare_forecasts: no results given.")
    names = list(results)
    first = results[names[0]].realised
    for name in names[1:]:
        other = results[name].realised
        if not (first.index.equals(other.index) and first.columns.equals(other.columns)):
            raise DataError(f"compare_forecasts: {name} has other periods or portfolios than {names[0]}.")
    table = pd.DataFrame({name: r.summary() for name, r in results.items()})
    pick = first.columns.get_level_values(0).isin(["long only", "long-short"])
    pick = pick if pick.any() else np.ones_like(pick)
    r2 = np.square(first.loc[:, pick])
    loss = pd.DataFrame(
        {
            n: (np.log(r.variance.loc[:, pick]) + r2 / r.variance.loc[:, pick]).mean(axis=1)
            for n, r in results.items()
        }
    ).dropna()
    difference = loss.sub(loss[loss.mean().idxmin()], axis=0)
    table.loc["QLIKE above the best"] = difference.mean()
    table.loc["its standard error"] = {n: mean_error(difference[n].to_numpy()) for n in names}
    return table
