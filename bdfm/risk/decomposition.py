"""Where the variance of portfolios comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._reading import counted
from bdfm._statistics import interval
from bdfm._strict import strict
from bdfm.errors import DataError
from bdfm.names import ASSET, DRAW, FACTOR, PORTFOLIO
from bdfm.risk import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class RiskDecomposition:
    """Variance of portfolios by source; made by ``RiskModel.decompose``.

    Attributes
    ----------
    kind, periods
        Of the risk model.
    exposure
        Factor exposure B'w ([draw,] portfolio, factor).
    by_factor
        Contribution (B'w)_k (F B'w)_k of each factor to the variance ([draw,] portfolio, factor); it sums to
        the systematic variance. A negative one hedges the others.
    systematic_by_asset, specific_by_asset
        Contribution w_i (B F B'w)_i and w_i² D_i of each asset ([draw,] portfolio, asset).

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices, _ = bdfm.demo()
    >>> returns = risk.simple_returns(prices.loc[:"2021-12-31"], period_days=7).iloc[-104:]
    >>> model = risk.StatisticalEstimator(3).fit(returns)
    >>> parts = model.decompose({"XOM": 0.5, "KO": 0.5})
    >>> round(float((parts.systematic / parts.variance).squeeze()), 2)
    0.84
    """

    kind: str
    periods: float
    exposure: xr.DataArray
    by_factor: xr.DataArray
    systematic_by_asset: xr.DataArray
    specific_by_asset: xr.DataArray

    @property
    def systematic(self) -> xr.DataArray:
        """Systematic variance ([draw,] portfolio)."""
        return self.by_factor.sum(FACTOR).rename("systematic")

    @property
    def specific(self) -> xr.DataArray:
        """Specific variance ([draw,] portfolio)."""
        return self.specific_by_asset.sum(ASSET).rename("specific")

    @property
    def variance(self) -> xr.DataArray:
        """Total variance ([draw,] portfolio): systematic and specific."""
        return (self.systematic + self.specific).rename("variance")

    @property
    def by_asset(self) -> xr.DataArray:
        """Contribution of each asset to the variance ([draw,] portfolio, asset), w_i (Σw)_i."""
        return (self.systematic_by_asset + self.specific_by_asset).rename("by_asset")

    @property
    def table(self) -> pd.DataFrame:
        """One row per portfolio: volatility and the systematic share of variance; with draws 90 % intervals.

        Columns ``volatility``, ``systematic_volatility``, ``specific_volatility``, ``systematic_share``; with
        draws their posterior medians, and ``..._low`` and ``..._high``.
        """
        share = self.systematic / self.variance
        figures: dict[str, xr.DataArray] = {
            "volatility": self.variance**0.5,
            "systematic_volatility": self.systematic**0.5,
            "specific_volatility": self.specific**0.5,
            "systematic_share": share,
        }
        return summary_table(_arrays(figures), pd.Index(self.by_factor[PORTFOLIO].values, name=PORTFOLIO))

    def factors(self, portfolio: str | None = None) -> pd.DataFrame:
        """One row per factor and one for ``specific``: exposure, variance, share of variance, volatility.

        ``volatility`` is the contribution to the portfolio's volatility, variance contribution over
        volatility, so that all columns but the first sum to the total. With draws posterior medians and
        90 % intervals. The portfolio may be left out if there is only one.
        """
        name = self._one(portfolio)
        specific = self.specific.sel({PORTFOLIO: name}).expand_dims({FACTOR: ["specific"]}, -1)
        parts = xr.concat([self.by_factor.sel({PORTFOLIO: name}), specific], FACTOR, join="exact")
        total = self.variance.sel({PORTFOLIO: name})
        exposure = self.exposure.sel({PORTFOLIO: name}).reindex({FACTOR: parts[FACTOR].values})
        figures: dict[str, xr.DataArray] = {"exposure": exposure, "variance": parts, "share": parts / total}
        figures["volatility"] = parts / total**0.5
        return summary_table(_arrays(figures), pd.Index(parts[FACTOR].values, name=FACTOR))

    def assets(self, portfolio: str | None = None) -> pd.DataFrame:
        """One row per asset, largest first: contributions to variance (systematic, specific, both), share."""
        name = {PORTFOLIO: self._one(portfolio)}
        total = self.variance.sel(name)
        figures: dict[str, xr.DataArray] = {
            "variance": self.by_asset.sel(name),
            "systematic": self.systematic_by_asset.sel(name),
            "specific": self.specific_by_asset.sel(name),
            "share": self.by_asset.sel(name) / total,
            "volatility": self.by_asset.sel(name) / total**0.5,
        }
        table = summary_table(_arrays(figures), pd.Index(self.by_asset[ASSET].values, name=ASSET))
        return table.sort_values("variance", ascending=False, kind="stable")

    def _one(self, portfolio: str | None) -> str:
        names = [str(x) for x in self.by_factor[PORTFOLIO].values]
        if portfolio is None:
            if len(names) > 1:
                raise DataError(
                    f"decomposition: {counted(len(names), 'portfolio')} ({_checks.first(names)}). Name one."
                )
            return names[0]
        _checks.known([portfolio], names, what="portfolio", where="decomposition")
        return portfolio

    def __repr__(self) -> str:
        rows = self.table.head(_checks.MAX_NAMED)
        parts = [
            f"{name} {row.volatility:.2%} ({row.systematic_share:.0%} systematic)"
            for name, row in rows.iterrows()
        ]
        more = self.by_factor.sizes[PORTFOLIO] - len(parts)
        return (
            f"<bdfm.RiskDecomposition, {self.kind}: {', '.join(parts)}{f' and {more} more' if more else ''}>"
        )

    def _repr_html_(self) -> str:
        percent = {c: "{:.2%}".format for c in self.table.columns}
        return f"<p><b>Risk, {escape(self.kind)} model</b></p>" + self.table.to_html(
            formatters=percent, border=0
        )

    @strict
    def plot(self, *, n_factors: int = 10) -> Figure:
        """Share of each portfolio's variance by factor and specific; volatility at the bar's end.

        Factors beyond the ``n_factors`` that matter most are joined to "other factors". With draws shares
        are those of posterior mean variances, and the label has the 90 % interval of the volatility.
        """
        return plots.sources(
            self.by_factor,
            self.specific,
            self.table,
            kind=self.kind,
            periods=self.periods,
            n_factors=n_factors,
        )


def summary_table(figures: Mapping[str, NDArray[np.float64]], index: pd.Index[Any]) -> pd.DataFrame:
    """Columns of figures (row); of those with draws (draw, row) medians and ends of 90 % intervals."""
    table = pd.DataFrame(index=index)
    for name, values in figures.items():
        if values.ndim > 1:
            low, middle, high = interval(values)
            table[name], table[f"{name}_low"], table[f"{name}_high"] = middle, low, high
        else:
            table[name] = values
    return table


def draw_mean(values: NDArray[np.float64], n_draws: int) -> NDArray[np.float64]:
    """Mean over posterior draws, the first dimension, where there are any."""
    return np.asarray(values.mean(axis=0) if n_draws else values)


def _arrays(figures: Mapping[str, xr.DataArray]) -> dict[str, NDArray[np.float64]]:
    return {k: v.transpose(DRAW, ..., missing_dims="ignore").to_numpy() for k, v in figures.items()}
