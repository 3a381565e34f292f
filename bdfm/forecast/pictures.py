"""Pictures of a forecast, made of its numbers and labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bdfm._figures import pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure


N_SHOWN: Final = 400  # assets of a heat map: nobody reads more, and drawing them takes minutes


def extreme_assets(tails: NDArray[np.float64], n_shown: int) -> NDArray[np.intp]:
    """Places of all assets; of more than ``n_shown``, of those with the largest and smallest tails."""
    if len(tails) <= n_shown:
        return np.arange(len(tails))
    order = np.argsort(tails, kind="stable")
    half = n_shown // 2
    return np.sort(np.concatenate([order[:half], order[-half:]]))


def ends_named(n_shown: int, n_assets: int) -> str:
    """What a title says of the assets that are left out."""
    return "" if n_shown == n_assets else f" ({n_shown} of {n_assets:,} assets: largest and smallest tails)"


def heat_map(
    probabilities: NDArray[np.float64], *, assets: Sequence[str], asset_class: Sequence[str], title: str
) -> Figure:
    """Heatmap of quantile probabilities (asset, quantile), lowest quantile first, numbers in percent.

    By class, and in a class from the most to the least dispersed; of many assets the ends
    (``extreme_assets``). White is 1/Q, what an asset without any forecast would get.
    """
    plt = pyplot()
    from matplotlib.colors import TwoSlopeNorm

    shown = extreme_assets(probabilities[:, 0] + probabilities[:, -1], N_SHOWN)
    p, n_quantiles = probabilities[shown], probabilities.shape[1]
    title += ends_named(len(shown), len(assets))
    assets, asset_class = ([labels[i] for i in shown] for labels in (assets, asset_class))
    classes = list(dict.fromkeys(asset_class))
    order = np.array([classes.index(c) for c in asset_class])
    rank = np.lexsort((-(p[:, 0] + p[:, -1]), order))
    panels = np.array_split(rank, -(-len(rank) // 50))
    rows = max(len(panel) + len({asset_class[i] for i in panel}) for panel in panels)
    figure: Figure
    figure, axes = plt.subplots(
        1,
        len(panels),
        squeeze=False,
        figsize=(1.6 + 0.5 * n_quantiles * len(panels) + 0.9 * len(panels), 1.3 + 0.19 * rows),
        layout="constrained",
    )
    plt.close(figure)  # shown where it is returned, not a second time at the end of a cell
    norm = TwoSlopeNorm(1 / n_quantiles, 0, max(2 / n_quantiles, float(p.max())))
    for axis, panel in zip(axes[0], panels, strict=True):
        values: list[NDArray[Any]] = []
        labels: list[str] = []
        current = None
        for i in panel:
            if asset_class[i] != current:
                current = asset_class[i]
                axis.text(-0.5, len(values), current, fontsize=8, weight="bold", va="center")
                values.append(np.full(n_quantiles, np.nan))
                labels.append("")
            for q in range(n_quantiles):
                dark = abs(float(norm(p[i, q])) - 0.5) > 0.35
                axis.text(
                    q,
                    len(values),
                    f"{100 * p[i, q]:.0f}",
                    fontsize=6.5,
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                    in_layout=False,
                )
            values.append(p[i])
            labels.append(assets[i])
        blank = [np.full(n_quantiles, np.nan)] * (rows - len(values))
        image = axis.imshow(np.array(values + blank), cmap="RdBu_r", norm=norm, aspect="auto")
        axis.set_xticks(range(n_quantiles), range(1, n_quantiles + 1), fontsize=8)
        axis.set_yticks(range(len(labels)), labels, fontsize=7)
        axis.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
        axis.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=40, pad=0.01)
    bar.set_label("probability", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10)
    return figure
