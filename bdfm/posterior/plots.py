"""Pictures of a posterior: factors, loadings, volatility, hierarchies.

Each function takes posterior draws (chain, draw, ...) named as in ``bdfm.names`` and the panel or model they
belong to, and returns a Matplotlib figure. Factors and loadings are shown one by one only after alignment:
give ``posterior.aligned().draws``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._figures import class_colours, new_figure
from bdfm.data.panel import Panel
from bdfm.inference.identified import parameters
from bdfm.model.equations import at_periods, model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.noise import StudentTNoise
from bdfm.names import (
    ASSET,
    CHAIN,
    DRAW,
    EARNINGS,
    FACTOR,
    FACTOR_SCALE,
    FACTORS,
    LOADINGS,
    NU,
    OBSERVED,
    PERIOD,
    PERIOD_START,
    PERIOD_WEIGHTS,
    RECENT_VOLATILITY,
    RETURNS,
    WINDOW,
)
from bdfm.posterior.places import place_labels, scale_to_plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

PROB: Final = 0.9  # of every band and interval
ROWS_PER_COLUMN: Final = 50  # assets below each other before a further column begins
_DRAWS: Final = (CHAIN, DRAW)
_GREY: Final = "#777777"
_GRID_POINTS: Final = 61  # of the search of an estimate without pooling, refined by a parabola


# -- factors and loadings ----------------------------------------------------------------------------------


def factor_paths(draws: xr.Dataset, *, n_named: int = 4) -> Figure:
    """Path of each factor over the history: median and central 90 % band, in percent per period.

    Parameters
    ----------
    draws
        Aligned draws: ``factors`` (chain, draw, period, factor), ``loadings``, ``factor_scale``.
    n_named
        Number of assets with the most positive and the most negative scaled loading that a title names.
    """
    scaled = _scaled_loadings(draws).mean(_DRAWS)
    low, median, high = _band(draws[FACTORS].transpose(..., PERIOD, FACTOR))
    scale = draws[FACTOR_SCALE].mean(_DRAWS)
    n_factors = draws.sizes[FACTOR]
    figure, axes = new_figure(n_factors, figsize=(9.5, 0.5 + 1.35 * n_factors), sharex=True)
    time = draws[PERIOD].to_numpy()
    for k, axis in enumerate(axes[:, 0]):
        axis.fill_between(time, 100 * low[:, k], 100 * high[:, k], color="C0", alpha=0.3, lw=0)
        axis.plot(time, 100 * median[:, k], color="C0", lw=1)
        axis.axhline(0, color=_GREY, lw=0.6)
        own = scaled.isel({FACTOR: k}).to_series().sort_values()
        up, down = own[own > 0].index[::-1][:n_named], own[own < 0].index[:n_named]
        signs = [
            f"{sign} {', '.join(map(str, names))}" for sign, names in (("+", up), ("−", down)) if len(names)
        ]
        axis.set_title(
            f"{draws[FACTOR].values[k]}   sd {100 * float(scale[k]):.1f} %   {'   '.join(signs)}",
            fontsize=8,
            loc="left",
        )
        axis.tick_params(labelsize=7)
        axis.margins(x=0.01)
    figure.supylabel("factor, % per period", fontsize=8)
    figure.suptitle("Factors: median and 90 % band; assets of the largest loadings", fontsize=10)
    return figure


def loadings(draws: xr.Dataset, panel: Panel) -> Figure:
    """Heatmap of scaled loadings: return of an asset, in percent, when a factor moves by one of its sd.

    Assets by class, and in a class by the loading on the first factor. Colours are posterior means; a number
    stands where the central 90 % interval leaves out zero.

    Parameters
    ----------
    draws
        Aligned draws: ``loadings`` (chain, draw, asset, factor) and ``factor_scale``.
    panel
        Tells the asset classes.
    """
    scaled = 100 * _scaled_loadings(draws)
    mean = scaled.mean(_DRAWS).to_numpy()
    low, _, high = _band(scaled)
    clear = (low > 0) | (high < 0)
    # A fund such as VXX moves several times as much as all others; it may saturate.
    limit = float(np.quantile(np.abs(mean), 0.98)) or 1.0
    n_factors = draws.sizes[FACTOR]
    columns = _columns(_by_class(panel, -mean[:, 0]), panel)
    figure, axes = new_figure(
        1,
        len(columns),
        figsize=(1.0 + (1.2 + 0.38 * n_factors) * len(columns), 1.5 + 0.19 * max(map(len, columns))),
    )
    for axis, rows in zip(axes[0], columns, strict=True):
        blank = np.full(n_factors, np.nan)
        values = [blank if isinstance(row, str) else mean[row] for row in rows]
        values += [blank] * (max(map(len, columns)) - len(rows))
        image = axis.imshow(np.array(values), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        _label_rows(axis, rows, panel)
        for y, row in enumerate(rows):
            for k in range(n_factors):
                if not isinstance(row, str) and clear[row, k]:
                    dark = abs(mean[row, k]) > 0.65 * limit
                    axis.text(
                        k,
                        y,
                        f"{mean[row, k]:.1f}",
                        fontsize=5.5,
                        ha="center",
                        va="center",
                        color="white" if dark else "black",
                        in_layout=False,
                    )
        axis.set_xticks(range(n_factors), [str(k) for k in draws[FACTOR].values], fontsize=8)
        axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
        axis.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=axes, orientation="horizontal", shrink=0.8, aspect=40, pad=0.01, extend="both"
    )
    bar.set_label("% per sd of the factor; number: 90 % interval without 0", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle("Scaled loadings by factor", fontsize=10)
    return figure


def asset_map(draws: xr.Dataset, panel: Panel) -> Figure:
    """Map of the assets in two dimensions: near each other are those that the factors move alike.

    The distance to be shown is sqrt(2 (1 - r)), r the correlation of two assets' common parts at the
    posterior mean of Σ_k w_ik w_jk σ_λk²: the distance between the directions of their loadings.
    Multidimensional scaling (SMACOF from classical scaling) finds the places; the title gives its relative
    error (stress). The area of a dot grows with the sd of the common part. Nothing here depends on how
    factors are rotated: aligned and plain draws give one map.
    """
    common = _common_covariance(draws)
    sd = np.sqrt(np.diag(common))
    distance = np.sqrt(np.clip(2 - 2 * common / np.outer(sd, sd), 0, None))
    np.fill_diagonal(distance, 0.0)
    place, stress = scale_to_plane(distance)
    n_assets = len(panel.assets)
    size = float(np.clip(4.0 + 0.6 * np.sqrt(n_assets), 6, 11))
    figure, axes = new_figure(figsize=(size, 0.85 * size))
    axis = axes[0, 0]
    # One fund with several times the risk of all others shall not shrink their dots to nothing.
    area = 6 + 34 * np.minimum(sd / float(np.quantile(sd, 0.95)), 1.5)
    colours = class_colours(panel.asset_classes)
    own_colour = [colours[name] for name in panel.class_of]
    axis.scatter(*place.T, s=area, c=own_colour, alpha=0.8, lw=0)
    axis.set_aspect("equal", adjustable="datalim")
    axis.margins(0.06)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_color("#cccccc")
    axis.set_title(
        f"{draws.sizes[FACTOR]} factors in 2 dimensions: near is moved alike"
        f" (stress {stress:.2f}; area: sd of the common part)",
        fontsize=10,
    )
    _class_legend(figure, panel)
    font = 7 if n_assets > 40 else 8
    place_labels(axis, place, panel.assets, own_colour, radius=np.sqrt(area / np.pi), fontsize=font)
    return figure


def _scaled_loadings(draws: xr.Dataset) -> xr.DataArray:
    """w_ik σ_λk (chain, draw, asset, factor), decimal per period."""
    return (draws[LOADINGS] * draws[FACTOR_SCALE]).transpose(*_DRAWS, ASSET, FACTOR)


def _common_covariance(draws: xr.Dataset) -> Floats:
    """Posterior mean of Σ_k w_ik w_jk σ_λk² (asset, asset)."""
    scaled = _scaled_loadings(draws).to_numpy()
    flat = scaled.transpose(2, 0, 1, 3).reshape(scaled.shape[2], -1)
    return np.asarray(flat @ flat.T / (scaled.shape[0] * scaled.shape[1]))


# -- volatility --------------------------------------------------------------------------------------------


def volatility_path(draws: xr.Dataset, model: FactorModel, panel: Panel, asset: str) -> Figure:
    """Noise scale σ_it of an asset over the history and the next period (eq. 7), percent per period.

    Steps and band: median and central 90 % interval. Dots: absolute noise |r - μ| at the posterior median of
    the expected return; somewhat more than half of them lie below σ. Marks at the bottom: periods with an
    earnings announcement.

    Raises
    ------
    UnknownLabelError
        No such asset.
    """
    _checks.known([asset], panel.assets, what="asset", where="volatility path")
    own = panel.select([asset])
    p = parameters(draws.sel({ASSET: [asset]}))
    history, future = model_data(model, own), model_data(model, own, future=True)
    ahead = at_periods(future, slice(1))
    n_draws, n_shown = len(p[LOADINGS]), own.n_history + 1
    log_scale = [
        np.broadcast_to(model.log_noise_scale(p, data), (n_draws, size, 1))[..., 0]
        for data, size in ((history, own.n_history), (ahead, 1))
    ]
    low, median, high = 100 * np.exp(np.quantile(np.concatenate(log_scale, axis=1), _tails(), axis=0))
    expected = np.median(model.expected_return(p, p[FACTORS], history), axis=0)
    noise = 100 * np.abs(history[RETURNS] - expected)[:, 0]

    shown = own.dataset.isel({PERIOD: slice(0, n_shown)})
    start, end = shown[PERIOD_START].to_numpy(), shown[PERIOD].to_numpy()
    edges, middle = np.append(start, end[-1]), start + (end - start) / 2
    figure, axes = new_figure(figsize=(9.5, 3.5))
    axis = axes[0, 0]
    axis.scatter(middle[:-1], noise, s=9, color=_GREY, alpha=0.8, lw=0, label="|r − μ|")
    axis.stairs(high, edges, baseline=low, fill=True, color="C0", alpha=0.3, lw=0, label="σ, 90 % band")
    axis.stairs(median, edges, baseline=None, color="C0", lw=1.2, label="σ, median")
    axis.plot(middle[-1:], median[-1:], "o", color="C3", ms=5, label="next period")
    if own.has_earnings:
        flagged = middle[shown[EARNINGS].to_numpy()[:, 0] > 0]
        axis.plot(
            flagged, np.zeros(len(flagged)), "|", color="C1", ms=9, mew=1.5, clip_on=False, label="earnings"
        )
    axis.set_ylim(0, 1.05 * float(np.nanmax([*high, *noise])))
    axis.set_ylabel("% per period", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.margins(x=0.01)
    axis.set_title(f"Noise of {asset}", fontsize=10)
    figure.legend(loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    return figure


# -- hierarchies -------------------------------------------------------------------------------------------


def coefficients(
    draws: xr.Dataset, model: FactorModel, panel: Panel, variable: str, *, window: int | None = None
) -> Figure:
    """Coefficients of the assets against the distribution that shrinks them (eq. 5, 8).

    Dots and lines: posterior median and central 90 % interval. Shaded: mean ± 2 sd of the class, or of all
    assets where they share one distribution, at the posterior means (for ``nu`` the central 95 % of
    its Gamma distribution). Hollow: what the asset's own returns alone say (``estimates_alone``); a triangle
    at the edge where that lies beyond. Assets whose returns say nothing are left out, as for earnings those
    that announce none.

    Parameters
    ----------
    draws
        Posterior draws (chain, draw, ...), aligned or not.
    model, panel
        Model that was fitted, and the panel it was fitted to.
    variable
        ``theta``, ``beta_rv``, ``beta_earnings``, ``beta_rr``, ``alpha`` or ``nu``.
    window
        Volatility window of ``beta_rv``, in market days; the first unless given.

    Raises
    ------
    UnknownLabelError
        The model has no such coefficients, or no such window.
    """
    where = "coefficients"
    by_asset = [str(n) for n, v in draws.data_vars.items() if ASSET in v.dims and f"sigma_{n}" in draws]
    _checks.known([variable], by_asset, what="coefficient", where=where)
    position: dict[str, int] = {}
    if WINDOW in draws[variable].dims:
        windows = [str(w) for w in draws[WINDOW].values]
        chosen = windows[0] if window is None else str(window)
        _checks.known([chosen], windows, what="window", where=where)
        position = {WINDOW: windows.index(chosen)}
    low, median, high = _band(draws[variable].isel(position).transpose(*_DRAWS, ASSET))
    bottom, top = _population(draws, model, variable, position, len(panel.asset_classes))
    grid = _grid(low, high, bottom, top, logarithmic=variable == NU)
    alone = estimates_alone(draws, model, panel, variable, grid=grid, **position)

    told = np.isfinite(alone)
    columns = _columns([i for i in _by_class(panel, median) if told[i] or not told.any()], panel)
    n_rows = max(map(len, columns))
    colours = class_colours(panel.asset_classes)
    figure, axes = new_figure(
        1, len(columns), figsize=(4.4 * len(columns) + 0.6, 1.4 + 0.17 * n_rows), sharex=True
    )
    for axis, rows in zip(axes[0], columns, strict=True):
        _label_rows(axis, rows, panel)
        headings = [y for y, row in enumerate(rows) if isinstance(row, str)]
        for first, last in pairwise([*headings, len(rows)]):
            name = str(rows[first])
            c = panel.asset_classes.index(name)
            axis.fill_betweenx(
                [first + 0.5, last - 0.5], bottom[c], top[c], color=colours[name], alpha=0.12, lw=0
            )
            y = np.arange(first + 1, last)
            index = np.array([row for row in rows[first + 1 : last] if not isinstance(row, str)])
            axis.hlines(y, low[index], high[index], color=colours[name], lw=1.2)
            axis.plot(median[index], y, "o", color=colours[name], ms=3.5)
            below, above = alone[index] <= grid[0], alone[index] >= grid[-1]
            for part, marker in ((below, "<"), (above, ">"), (~below & ~above, "o")):
                style = {"marker": marker, "facecolor": "none", "edgecolor": _GREY, "lw": 0.8, "zorder": 3}
                axis.scatter(alone[index][part], y[part], s=14, clip_on=False, **style)
        if variable == NU:
            axis.set_xscale("log")
            ticks = [t for t in (1, 2, 3, 5, 10, 20, 50, 100) if grid[0] <= t <= grid[-1]]
            axis.set_xticks(ticks, [str(t) for t in ticks])
            axis.set_xticks([], minor=True)
        axis.set_xlim(grid[0], grid[-1])
        axis.set_ylim(n_rows - 0.5, -0.5)
        axis.tick_params(axis="x", labelsize=7)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#e5e5e5", lw=0.6)
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
    suffix = f", window of {draws[WINDOW].values[position[WINDOW]]} days" if position else ""
    figure.suptitle(f"{_title(model, variable)}{suffix}", fontsize=10)
    figure.supxlabel(
        "line: 90 % interval   shaded: what assets are drawn from   hollow: the asset on its own",
        fontsize=7.5,
        color=_GREY,
    )
    return figure


def degrees_of_freedom(draws: xr.Dataset, model: FactorModel, panel: Panel) -> Figure:
    """Degrees of freedom ν of the noise of each asset (eq. 6): few mean heavy tails; see ``coefficients``."""
    return coefficients(draws, model, panel, NU)


def estimates_alone(
    draws: xr.Dataset,
    model: FactorModel,
    panel: Panel,
    variable: str,
    *,
    grid: Floats,
    window: int | None = None,
    n_draws: int = 100,
) -> Floats:
    """Estimate (asset,) of a coefficient from the asset's own returns alone, without its hierarchy.

    It maximises the weighted log-likelihood of the asset's returns, averaged over the posterior draws of
    everything else: one M-step of EM under a flat prior. (At posterior means the fitted factors would explain
    too much, and noise scales come out too low.) Searched on ``grid``, then on the parabola through
    the best three points; the end of the grid where the best lies beyond. NaN where the likelihood does not
    depend on the coefficient. ``window`` is a position; ``n_draws`` the number of thinned draws.
    """
    data = model_data(model, panel)
    everything = parameters(draws)
    total_draws = len(everything[variable])
    weight = np.where(data[OBSERVED], data[PERIOD_WEIGHTS][:, None], 0.0)
    total = np.zeros((len(grid), len(panel.assets)))
    for s in np.unique(np.linspace(0, total_draws - 1, n_draws).round().astype(int)):
        p = {name: values[s] for name, values in everything.items()}
        trial = np.array(np.broadcast_to(p[variable], (len(grid), *p[variable].shape)))
        trial[(..., window) if window is not None else ...] = grid[:, None]
        p[variable] = trial
        density = np.where(data[OBSERVED], model.log_likelihood(p, data), 0.0)
        total += (weight * density).sum(axis=-2)
    best = total.argmax(axis=0)
    inner = np.clip(best, 1, len(grid) - 2)
    before, at, after = (total[inner + d, np.arange(len(inner))] for d in (-1, 0, 1))
    curve = before - 2 * at + after
    offset = np.where(
        best == inner, 0.5 * (before - after) / np.where(curve < 0, curve, -np.inf), best - inner
    )
    estimate = np.interp(inner + offset, np.arange(len(grid)), grid)
    return np.where(np.ptp(total, axis=0) > 1e-9 * np.abs(total).max(), estimate, np.nan)


def _title(model: FactorModel, variable: str) -> str:
    """What a picture of a variable is called: as its part declares, or its name."""
    title = next((v.title for v in model.variables if v.name == variable), variable)
    if RECENT_VOLATILITY in model.needs and model.panel.volatility_form == "level":
        # The feature is 0 at that volatility, not at the asset's average
        title = title.replace("of an average period", "after a volatility of 1 % a day")
    return title


def _population(
    draws: xr.Dataset, model: FactorModel, variable: str, position: dict[str, int], n_classes: int
) -> tuple[Floats, Floats]:
    """Lower and upper end (asset_class,) of the distribution that the coefficients were drawn from."""
    sigma = draws[f"sigma_{variable}"].mean(_DRAWS)
    if isinstance(model.noise, StudentTNoise) and variable == NU:
        from scipy.stats import gamma  # slow to import, and seldom needed

        mean, sd = model.noise.nu_mean, float(sigma)
        low, high = (float(gamma.ppf(q, (mean / sd) ** 2, scale=sd**2 / mean)) for q in (0.025, 0.975))
        return np.full(n_classes, low), np.full(n_classes, high)
    mu = draws[f"mu_{variable}"].mean(_DRAWS) if f"mu_{variable}" in draws else xr.zeros_like(sigma)
    inner = {k: v for k, v in position.items() if k in sigma.dims}
    centre, spread = (np.broadcast_to(x.isel(inner).to_numpy(), n_classes) for x in (mu, sigma))
    return np.asarray(centre - 2 * spread), np.asarray(centre + 2 * spread)


def _grid(low: Floats, high: Floats, bottom: Floats, top: Floats, *, logarithmic: bool) -> Floats:
    """Values that the picture spans: all intervals and distributions, and a fifth more on either side."""
    start, end = min(low.min(), bottom.min()), max(high.max(), top.max())
    if logarithmic:
        return np.geomspace(start / 1.2, end * 1.2, _GRID_POINTS)
    margin = 0.2 * (end - start) or 1.0
    return np.linspace(start - margin, end + margin, _GRID_POINTS)


# -- common ground -----------------------------------------------------------------------------------------


def _tails() -> list[float]:
    return [(1 - PROB) / 2, 0.5, (1 + PROB) / 2]


def _band(values: xr.DataArray) -> tuple[Floats, Floats, Floats]:
    """Lower end, median and upper end of the central interval over all draws."""
    # The draws have no missing values: NumPy's quantile is many times faster than xarray's.
    low, median, high = np.quantile(values.transpose(*_DRAWS, ...).to_numpy(), _tails(), axis=(0, 1))
    return low, median, high


def _by_class(panel: Panel, key: Floats) -> list[int]:
    """Positions of the assets: by class, in a class by rising key."""
    return [int(i) for i in np.lexsort((key, panel.class_index))]


def _columns(order: Sequence[int], panel: Panel) -> list[list[int | str]]:
    """Rows of each column of a tall picture: positions of assets, under a heading for each class."""
    columns: list[list[int | str]] = []
    for part in np.array_split(order, -(-len(order) // ROWS_PER_COLUMN)):
        rows: list[int | str] = []
        current = -1
        for i in part:
            if panel.class_index[i] != current:
                current = int(panel.class_index[i])
                rows.append(panel.asset_classes[current])
            rows.append(int(i))
        columns.append(rows)
    return columns


def _label_rows(axis: Axes, rows: Sequence[int | str], panel: Panel) -> None:
    """Symbols beside the rows, and the class in bold above its first."""
    labels = ["" if isinstance(row, str) else panel.assets[row] for row in rows]
    axis.set_yticks(range(len(rows)), labels, fontsize=7)
    for y, row in enumerate(rows):
        if isinstance(row, str):
            axis.text(
                0.0, y, row, fontsize=8, weight="bold", va="center", transform=axis.get_yaxis_transform()
            )


def _class_legend(figure: Figure, panel: Panel) -> None:
    from matplotlib.lines import Line2D

    colours = class_colours(panel.asset_classes)
    handles = [
        Line2D([], [], marker="o", ls="none", ms=5, color=c, label=name) for name, c in colours.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
