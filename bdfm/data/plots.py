"""Pictures of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bdfm._figures import class_colours, new_figure
from bdfm._reading import counted
from bdfm.names import ASSET, PERIOD, PERIOD_START, RETURNS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def coverage(history: xr.Dataset, asset_classes: Sequence[str], class_index: NDArray[np.int64]) -> Figure:
    """Figure of which asset has a return in which period of history, classes together and in colours."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    order = np.argsort(class_index, kind="stable")
    n_classes, n_assets = len(asset_classes), len(order)
    known = history[RETURNS].notnull().to_numpy()[:, order].T
    colours = list(class_colours(asset_classes).values())
    figure, grid = new_figure(figsize=(9, float(np.clip(0.16 * n_assets, 2.5, 16)) + 1))
    axes = grid[0, 0]
    edges = np.append(history[PERIOD_START].to_numpy(), history[PERIOD].to_numpy()[-1])
    axes.pcolormesh(
        edges,
        np.arange(n_assets + 1) - 0.5,
        np.where(known, class_index[order][:, None] + 1, 0),
        cmap=ListedColormap(["#eeeeee", *colours]),
        vmin=-0.5,
        vmax=n_classes + 0.5,
    )
    axes.set_yticks(range(n_assets), [str(history[ASSET].values[i]) for i in order], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("period")
    axes.set_title(
        f"Returns known: {known.mean():.1%} of {n_assets} assets, {counted(len(edges) - 1, 'period')}"
    )
    handles = [Patch(color=c, label=x) for c, x in zip(colours, asset_classes, strict=True)]
    handles.append(Patch(color="#eeeeee", label="missing"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure
