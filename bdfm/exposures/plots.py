"""Pictures of exposures: paths, maps, training, latents, regimes, comparisons. Each returns a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm._figures import new_figure
from bdfm.names import ASSET, DAY, FACTOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_MAX_LABELS: Final = 60  # rows of a heat map that are labelled
_BAND: Final = 2.0  # standard deviations
_MARGIN: Final = 0.7  # of betas around the truth


class Paths(Protocol):
    """What a picture reads of ``Exposures``, which draws itself by these functions."""

    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def exposures(self) -> xr.DataArray: ...  # noqa: D102
    @property
    def exposure_sd(self) -> xr.DataArray | None: ...  # noqa: D102
    @property
    def factor_names(self) -> list[str]: ...  # noqa: D102
    @property
    def latent(self) -> bool: ...  # noqa: D102
    def observed_exposures(self) -> xr.DataArray: ...  # noqa: D102


def exposure_paths(
    results: Mapping[str, Paths],
    asset: str,
    *,
    factors: Sequence[str] | None = None,
    truth: Mapping[str, Floats] | None = None,
    title: str = "",
) -> Figure:
    """Exposures of one asset over time by one or more methods, one panel a factor.

    ``results`` by name, on the same days and published factors (a latent method alone shows its latents);
    ``truth`` (day) by factor is drawn in black. Bands: two standard deviations, where a method has them.
    """
    one = next(iter(results.values()))
    single = len(results) == 1
    names = (
        list(factors) if factors is not None else (one.factor_names if single else _common_factors(results))
    )
    figure, axes = new_figure(len(names), 1, figsize=(9, 1.1 + 2.0 * len(names)), sharex=True)
    for axis, name in zip(axes[:, 0], names, strict=True):
        edges: list[Floats] = []
        for colour, (label, result) in enumerate(results.items()):
            own = result.exposures if single else result.observed_exposures()
            path = own.sel({ASSET: asset, FACTOR: name})
            days = path[DAY].values
            axis.plot(days, path.values, lw=1.2, color=f"C{colour}", label=label)
            edges.append(path.values)
            sd = result.exposure_sd
            if sd is not None and (single or not result.latent):
                half = _BAND * sd.sel({ASSET: asset, FACTOR: name}).values
                edges += [path.values - half, path.values + half]
                axis.fill_between(
                    days, path.values - half, path.values + half, color=f"C{colour}", alpha=0.15, lw=0
                )
        if truth is not None and name in truth:
            axis.plot(one.exposures[DAY].values, truth[name], color="black", lw=1, ls="--", label="truth")
        axis.set_ylabel(name)
        axis.grid(alpha=0.25)
        # A filter's first days know nothing: their bands would leave no room for the rest.
        low, high = np.nanquantile(np.concatenate(edges), [0.01, 0.99])
        axis.set_ylim(low - 0.15 * (high - low) - 1e-9, high + 0.15 * (high - low) + 1e-9)
    if not single or truth is not None:
        axes[0, 0].legend(fontsize=8, ncols=4, loc="upper left")
    figure.suptitle(title or f"{asset}: exposures" + (f" by {one.method}" if single else ""), fontsize=10)
    return figure


def _common_factors(results: Mapping[str, Paths]) -> list[str]:
    return [str(f) for f in next(iter(results.values())).observed_exposures()[FACTOR].values]


def exposure_map(result: Paths, factor: str) -> Figure:
    """Heat map (asset, day) of the exposures to one factor, assets sorted by their mean."""
    values = pd.DataFrame(result.exposures.sel({FACTOR: factor}).to_pandas()).T
    values = values.loc[values.mean(axis=1).sort_values(ascending=False).index]
    limit = float(np.nanquantile(np.abs(values.to_numpy()), 0.98))
    figure, axes = new_figure(figsize=(10, np.clip(0.11 * len(values) + 1.2, 3, 11)))
    image = _heat(axes[0, 0], values, limit, rows=True)
    days = values.columns
    ticks = np.linspace(0, len(days) - 1, 8).astype(int)
    axes[0, 0].set_xticks(ticks, [f"{days[i]:%Y-%m}" for i in ticks], fontsize=8)
    figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    figure.suptitle(f"Exposures to {factor} by {result.method}", fontsize=10)
    return figure


def training_history(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Training and validation loss by epoch, and their parts; the dotted line is the epoch that was kept."""
    parts = ["loss", "reconstruction", "kl", "total_correlation"]
    figure, axes = new_figure(1, len(parts), figsize=(13, 3.2))
    for axis, part in zip(axes[0], parts, strict=True):
        for name, colour in (("training", "C0"), ("validation", "C1")):
            axis.plot(history.index, history[f"{name}_{part}"], color=colour, label=name, marker=".", ms=3)
        axis.axvline(best_epoch, color="grey", ls=":", lw=1)
        axis.set_title(part.replace("_", " "), fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.grid(alpha=0.25)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(
        "Loss in nats a day; training in training mode, so that its batch norm differs", fontsize=9
    )
    return figure


def heat_map(table: pd.DataFrame, title: str) -> Figure:
    """Heat map of correlations, rows by columns."""
    figure, axes = new_figure(
        figsize=(1.5 + 0.5 * len(table.columns), np.clip(0.13 * len(table) + 1.6, 3, 13))
    )
    image = _heat(axes[0, 0], table, 1.0, rows=True)
    axes[0, 0].set_xticks(range(len(table.columns)), [str(c) for c in table.columns], fontsize=8)
    if table.size <= 200:
        for y, x in np.ndindex(*table.shape):
            value = float(table.to_numpy()[y, x])
            axes[0, 0].text(
                x,
                y,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if abs(value) > 0.6 else "black",
            )
    figure.colorbar(image, ax=axes, shrink=0.8)
    figure.suptitle(title, fontsize=10)
    return figure


def _heat(axis: Axes, table: pd.DataFrame, limit: float, *, rows: bool) -> Any:
    image = axis.imshow(
        table.to_numpy(dtype=float),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="nearest",
    )
    size = 7 if len(table) <= _MAX_LABELS else 4.5
    axis.set_yticks(
        range(len(table)) if rows else [], [str(i) for i in table.index] if rows else [], fontsize=size
    )
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return image


def latent_plane(plane: pd.DataFrame, explained: Sequence[float]) -> Figure:
    """Days in the plane of the latents' first two principal components, coloured by time."""
    figure, axes = new_figure(figsize=(6.5, 5.2))
    years = plane.index.year + plane.index.day_of_year / 366  # type: ignore[attr-defined]
    dots = axes[0, 0].scatter(
        plane.iloc[:, 0], plane.iloc[:, 1], c=years, s=7, cmap="viridis", alpha=0.8, lw=0
    )
    axes[0, 0].set_xlabel(f"first component, {explained[0]:.0%} of the variance")
    axes[0, 0].set_ylabel(f"second component, {explained[1]:.0%}")
    whole = list(range(math.ceil(years.min()), math.floor(years.max()) + 1))
    figure.colorbar(dots, ax=axes, label="year", format="%.0f" if whole else "%.2f", ticks=whole or None)
    figure.suptitle("Latent space, coloured by time", fontsize=10)
    return figure


def two_series(first: pd.Series[float], second: pd.Series[float], title: str) -> Figure:
    """Two series over time, each on an axis of its own."""
    figure, axes = new_figure(figsize=(10, 3.6))
    left, right = axes[0, 0], axes[0, 0].twinx()
    left.plot(first.index, first, color="C0", lw=1)
    right.plot(second.index, second, color="C3", lw=1.2)
    left.set_ylabel(str(first.name), color="C0")
    right.set_ylabel(str(second.name), color="C3")
    left.grid(alpha=0.25)
    figure.suptitle(title, fontsize=10)
    return figure


def latent_paths(values: pd.DataFrame, window_days: int) -> Figure:
    """Latents over time: daily values in grey, their trailing mean in colour."""
    n = values.shape[1]
    columns = 2 if n > 1 else 1
    rows = -(-n // columns)
    figure, axes = new_figure(rows, columns, figsize=(12, 0.8 + 1.25 * rows), sharex=True)
    for k, axis in enumerate(axes.ravel()):
        if k >= n:
            axis.set_visible(False)
            continue
        column = values.iloc[:, k]
        axis.plot(column.index, column, color="0.8", lw=0.5)
        axis.plot(column.index, column.rolling(window_days).mean(), color=f"C{k % 10}", lw=1.2)
        axis.set_ylabel(str(column.name), rotation=0, labelpad=12)
        axis.grid(alpha=0.25)
    figure.suptitle(f"Latents by day, and their mean over {window_days} days", fontsize=10)
    return figure


def regime_timeline(labels: pd.Series[int], volatility: pd.Series[float]) -> Figure:
    """Volatility over time on a background of the regimes, calm to turbulent."""
    from matplotlib import colormaps

    figure, axes = new_figure(figsize=(11, 3.4))
    axis = axes[0, 0]
    n = int(labels.max())
    colours = colormaps["YlOrRd"](np.linspace(0.1, 0.8, n))
    start = labels.ne(labels.shift()).cumsum()
    spells = [spell for _, spell in labels.groupby(start)]
    ends = [spell.index[0] for spell in spells[1:]] + [labels.index[-1]]
    for spell, end in zip(spells, ends, strict=True):
        axis.axvspan(spell.index[0], end, color=colours[int(spell.iloc[0]) - 1], alpha=0.55, lw=0)
    axis.plot(volatility.index, volatility, color="black", lw=1)
    axis.set_ylabel("volatility, annual")
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    handles = [
        axis.plot([], [], color=colours[k], lw=6, alpha=0.55, label=f"regime {k + 1}")[0] for k in range(n)
    ]
    axis.legend(handles=handles, fontsize=8, ncols=n, loc="upper right")
    figure.suptitle("Regimes over time, ordered by volatility", fontsize=10)
    return figure


def error_bars(table: pd.DataFrame, title: str) -> Figure:
    """Standardised errors of each method: reconstruction and prediction side by side."""
    figure, axes = new_figure(figsize=(8, 1.2 + 0.42 * len(table)))
    axis = axes[0, 0]
    y = np.arange(len(table))[::-1]
    for offset, kind, colour in ((0.19, "reconstruction", "C7"), (-0.19, "prediction", "C0")):
        axis.barh(y + offset, table[f"{kind}_standardised"], height=0.36, color=colour, label=kind)
        for at, value in zip(y, table[f"{kind}_standardised"], strict=True):
            axis.text(value, at + offset, f" {value:.3f}", va="center", fontsize=7)
    axis.set_yticks(y, [str(i) for i in table.index], fontsize=8)
    axis.set_xlabel("mean squared error, standardised returns", fontsize=8)
    axis.margins(x=0.12)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    figure.suptitle(title, fontsize=10)
    return figure


def story_paths(paths: Mapping[str, Mapping[str, Floats]], truth: Mapping[str, Floats], title: str) -> Figure:
    """Estimated betas of a simulation by story, one panel each: median over replicates and central 80 %.

    ``paths``: story to method to (replicate, day); ``truth``: story to (day).
    """
    stories = list(paths)
    columns = 2
    rows = -(-len(stories) // columns)
    figure, axes = new_figure(rows, columns, figsize=(12, 0.8 + 2.9 * rows), sharex=True)
    for axis, story in zip(axes.ravel(), stories, strict=False):
        for colour, (method, values) in enumerate(paths[story].items()):
            started = np.isfinite(values).all(axis=0)
            days = np.flatnonzero(started)
            low, middle, high = np.quantile(values[:, started], [0.1, 0.5, 0.9], axis=0)
            axis.plot(days, middle, color=f"C{colour}", lw=1.1, label=method, zorder=3 - 0.1 * colour)
            axis.fill_between(days, low, high, color=f"C{colour}", alpha=0.10, lw=0, zorder=1)
        axis.set_ylim(truth[story].min() - _MARGIN, truth[story].max() + _MARGIN)
        axis.plot(truth[story], color="black", lw=1.2, ls="--", label="truth", zorder=4)
        axis.set_title(story, fontsize=9)
        axis.grid(alpha=0.25)
    for axis in axes.ravel()[len(stories) :]:
        axis.set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside lower center", ncols=len(labels))
    figure.suptitle(title, fontsize=10)
    return figure
