"""Picture of a stress test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bdfm._figures import new_figure
from bdfm.names import PORTFOLIO

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BARS = 40  # in one panel; the tables hold the rest


def overview(
    replay: pd.DataFrame, shocks: pd.DataFrame, risk: pd.DataFrame, reverse: pd.DataFrame, *, loss: float
) -> Figure:
    """Panels of the tables of ``StressTest`` that are not empty; colours are models."""
    models = list(dict.fromkeys(m for t in (replay, shocks, risk, reverse) for m in _models(t)))
    colour = {m: "#999999" if m == "own returns" else f"C{i}" for i, m in enumerate(models)}
    panels: list[tuple[str, pd.DataFrame, str]] = [
        (f"Past windows, return{' %'}", replay, "return"),
        ("Shocks to factors, expected return %", shocks, "return"),
        ("Shocks to risk, volatility % (line: before)", risk, "shocked"),
        (f"Distance of a loss of {loss:.0%}, volatilities", reverse, "distance"),
    ]
    panels = [p for p in panels if len(p[1])]
    sizes = [min(len(t), MAX_BARS) for _, t, _ in panels]
    heights = [1.0 + 0.17 * n for n in sizes]
    figure, axes = new_figure(
        len(panels), 1, figsize=(9, sum(heights) + 0.6), gridspec_kw={"height_ratios": heights}
    )
    for axis, (title, table, column) in zip(axes[:, 0], panels, strict=True):
        _bars(axis, table.head(MAX_BARS), column, colour, scale=1.0 if column == "distance" else 100.0)
        axis.set_title(title, fontsize=9, loc="left")
    handles: list[Any] = [axes[0, 0].barh([0], [0], color=c) for c in colour.values()]
    figure.legend(handles, list(colour), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _models(table: pd.DataFrame) -> list[str]:
    return [str(m) for m in table.index.get_level_values("model")] if len(table) else []


def _bars(axis: Axes, table: pd.DataFrame, column: str, colour: dict[str, str], *, scale: float) -> None:
    place = np.arange(len(table))
    models = _models(table)
    values = scale * table[column].to_numpy(dtype=float)
    axis.barh(place, values, color=[colour[m] for m in models], height=0.75)
    if column == "shocked":
        before = scale * table["volatility"].to_numpy(dtype=float)
        axis.vlines(before, place - 0.4, place + 0.4, color="black", lw=1)
    for x, y in zip(values, place, strict=True):
        axis.annotate(
            f"{x:.1f}",
            (x, y),
            xytext=(3 if x >= 0 else -3, 0),
            textcoords="offset points",
            ha="left" if x >= 0 else "right",
            va="center",
            fontsize=6,
        )
    labels = [
        ", ".join(
            str(v) for k, v in zip(table.index.names, key, strict=True) if k in ("window", "shock", PORTFOLIO)
        )
        for key in table.index
    ]
    axis.set_yticks(place, [x.replace("$", r"\$") for x in labels], fontsize=6)
    axis.invert_yaxis()
    axis.axvline(0, color="black", lw=0.6)
    axis.margins(x=0.12)
    axis.tick_params(axis="x", labelsize=7)
    axis.spines[["top", "right"]].set_visible(False)
