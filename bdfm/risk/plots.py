"""Pictures of risk: factors, exposures, sources of variance. Each returns a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm._figures import new_figure
from bdfm._statistics import interval
from bdfm.names import DRAW, FACTOR, PORTFOLIO

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


def factors(f: Floats, names: Sequence[str], *, kind: str, periods: float) -> Figure:
    """Volatility of each factor, and the correlations between factors; posterior means over draws.

    ``f`` ([draw,] factor, factor) is their covariance over ``periods`` periods.
    """
    sd = np.sqrt(np.diagonal(f, axis1=-2, axis2=-1))
    bottom = np.where(sd > 0, sd, 1.0)
    correlation = f / (bottom[..., :, None] * bottom[..., None, :])
    k = len(names)
    figure, axes = new_figure(1, 2, figsize=(3.5 + 0.55 * k, 1.6 + 0.26 * k))
    left, right = axes[0]
    place = np.arange(k)
    if f.ndim == 3:
        low, middle, high = interval(100 * sd)
        left.barh(place, middle, xerr=[middle - low, high - middle], color="C0", error_kw={"lw": 0.8})
        correlation = correlation.mean(axis=0)
    else:
        left.barh(place, 100 * sd, color="C0")
    left.set_yticks(place, names, fontsize=7)
    left.invert_yaxis()
    left.set_xlabel(f"volatility, % over {periods:g} periods", fontsize=8)
    left.spines[["top", "right"]].set_visible(False)
    image = right.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1)
    right.set_yticks([])
    right.set_xticks(place, names, fontsize=7, rotation=90)
    for i in range(k if k <= 12 else 0):
        for j in range(k):
            if i != j:
                right.text(j, i, f"{100 * correlation[i, j]:.0f}", fontsize=6, ha="center", va="center")
    right.set_title("correlation, %", fontsize=8)
    bar = figure.colorbar(image, ax=right, shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    figure.suptitle(f"Factors of the {kind} model", fontsize=10)
    return figure


def exposures(
    b: Floats, f: Floats, assets: Sequence[str], names: Sequence[str], *, kind: str, n_assets: int = 40
) -> Figure:
    """Heatmap of exposures, in percent of return per standard deviation of the factor.

    ``b`` ([draw,] asset, factor), ``f`` ([draw,] factor, factor). Of a large universe the assets with the
    largest systematic variance are shown.
    """
    sd = np.sqrt(np.diagonal(f, axis1=-2, axis2=-1))
    scaled = 100 * b * sd[..., None, :]
    scaled = scaled.mean(axis=0) if b.ndim == 3 else scaled
    size = np.argsort(-np.square(scaled).sum(axis=1), kind="stable")[:n_assets]
    shown = np.sort(size)
    values = scaled[shown]
    limit = float(np.quantile(np.abs(values), 0.98)) or 1.0
    figure, axes = new_figure(figsize=(2.2 + 0.4 * len(names), 1.4 + 0.17 * len(shown)))
    axis = axes[0, 0]
    image = axis.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axis.set_yticks(range(len(shown)), [assets[i] for i in shown], fontsize=6)
    axis.set_xticks(range(len(names)), names, fontsize=7, rotation=90)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axis, shrink=0.6, extend="both")
    bar.set_label("% per sd of the factor", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    axis.set_title(f"Exposures of the {kind} model", fontsize=9)
    return figure


def sources(
    parts: xr.DataArray,
    specific: xr.DataArray,
    table: pd.DataFrame,
    *,
    kind: str,
    periods: float,
    n_factors: int = 10,
) -> Figure:
    """Share of each portfolio's variance by factor and specific; volatility at the bar's end.

    ``parts`` ([draw,] portfolio, factor) and ``specific`` ([draw,] portfolio) are contributions to the
    variance, ``table`` (portfolio) the volatilities. Factors beyond the ``n_factors`` that matter most are
    joined.
    """
    if DRAW in parts.dims:
        parts, specific = parts.mean(DRAW), specific.mean(DRAW)
    values = (parts / (parts.sum(FACTOR) + specific)).transpose(PORTFOLIO, FACTOR).to_numpy()
    order = np.argsort(-np.abs(values).max(axis=0), kind="stable")
    named = np.sort(order[:n_factors])
    shown = {str(parts[FACTOR].values[k]): values[:, k] for k in named}
    if len(order) > n_factors:
        shown["other factors"] = values[:, order[n_factors:]].sum(axis=1)
    shown["specific"] = 1 - values.sum(axis=1)
    n = len(values)
    place = np.arange(n)
    figure, axes = new_figure(figsize=(9, 1.3 + 0.42 * n + 0.16 * (len(shown) // 6)))
    axis = axes[0, 0]
    ends = {True: np.zeros(n), False: np.zeros(n)}
    for j, (name, own) in enumerate(shown.items()):
        colour = "#bbbbbb" if name == "specific" else f"C{j % 10}"
        for positive in (True, False):
            part = np.where((own > 0) == positive, own, 0.0)
            label = name if positive else None
            axis.barh(place, 100 * part, left=100 * ends[positive], color=colour, label=label, height=0.7)
            ends[positive] = ends[positive] + part
    for i, volatility in enumerate(table["volatility"]):
        text = f"{100 * volatility:.2f} %"
        if "volatility_low" in table:
            low, high = 100 * table[["volatility_low", "volatility_high"]].iloc[i]
            text += f" ({low:.2f} to {high:.2f})"
        axis.text(100 * ends[True][i] + 1, i, text, fontsize=7, va="center")
    axis.axvline(0, color="black", lw=0.6)
    axis.set_yticks(place, [str(x) for x in table.index], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(right=100 * float(ends[True].max()) * 1.3)
    axis.set_xlabel("% of variance; label: volatility", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=6, fontsize=7, frameon=False)
    figure.suptitle(f"Sources of risk over {periods:g} periods, {kind} model", fontsize=10)
    return figure
