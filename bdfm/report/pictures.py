"""Pictures of the report (Plotly): probabilities, risk, factors, volatility."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm.forecast.pictures import ends_named, extreme_assets
from bdfm.model.equations import at_periods, model_data
from bdfm.names import (
    CHAIN,
    DRAW,
    FACTOR,
    FACTORS,
    PERIOD,
)
from bdfm.portfolio.decisions import Decision
from bdfm.posterior.posterior import Posterior
from bdfm.report.briefing import conviction
from bdfm.report.page_form import data_script

_N_FACTORS: Final = 3  # whose paths are drawn
_N_DRAWS: Final = 300  # posterior draws behind the volatility picture
FIFTHS: Final = ("lowest", "2", "3", "4", "highest")
_N_PART: Final = 50  # rows of one heat map: what goes on a sheet of paper
N_SHOWN: Final = 300  # assets of a heat map: of more, those with the largest and smallest tails
_CELLS: Final = 8_000_000  # noise scales (draw, period, asset) in memory at a time
_COLOURS: Final = ("#3b6fb6", "#c8553d", "#4f9d69", "#8a6fb0", "#b08d3c", "#5c6b73")


def figure_html(figure: Any, name: str) -> str:
    """Figure as its data, drawn when it is seen (``page.js``), its title above it: that wraps on a phone."""
    title = str(figure.layout.title.text)
    top = figure.layout.margin.t or 10
    figure.update_layout(
        title=None,
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 12},
        margin={"l": 10, "r": 10, "t": top, "b": 30},
    )
    drawn = json.loads(figure.to_json())
    return (
        f'<div class=figure role=group aria-label="{escape(title)}"><h4>{escape(title)}</h4>'
        f'<div class=drawing id="figure-{name}" style="height:{int(figure.layout.height)}px"></div>'
        f"{data_script({k: drawn[k] for k in ('data', 'layout')}, 'class=drawn')}</div>"
    )


def _label(text: object) -> str:
    """Text for a label of plotly, which reads a few HTML tags."""
    return escape(str(text), quote=False)


def heatmaps(table: pd.DataFrame) -> list[Any]:
    """Probability of each fifth (asset, fifth), in percent, numbered, by falling conviction.

    Of many assets the ends are shown (``extreme_assets``). In parts that go on a sheet of paper each.
    """
    everything = len(table)
    table = table.iloc[extreme_assets((table["P1"] + table["P5"]).to_numpy(), N_SHOWN)]
    shown = table.loc[conviction(table).sort_values(ascending=False, kind="stable").index]
    top = max(40.0, float(100 * shown[[f"P{k}" for k in range(1, 6)]].to_numpy().max()))
    title = "Probability of each fifth, %, by conviction" + ends_named(len(shown), everything)
    n = -(-len(shown) // _N_PART)
    parts = [shown.iloc[len(shown) * k // n : len(shown) * (k + 1) // n] for k in range(n)]
    return [
        _heatmap(part, title if n == 1 else f"{title}, {k} of {n}", top) for k, part in enumerate(parts, 1)
    ]


def _heatmap(table: pd.DataFrame, title: str, top: float) -> Any:
    """Heat map of assets in their order; ``top`` is the percentage of the darkest red."""
    from plotly import graph_objects as go

    shown = table.iloc[::-1]  # the last row is drawn on top
    p = 100 * shown[[f"P{k}" for k in range(1, 6)]].to_numpy()
    figure = go.Figure(
        go.Heatmap(
            z=np.round(p, 2).tolist(),
            x=list(FIFTHS),
            y=[_label(s) for s in shown.index],
            text=[[f"{x:.0f}" for x in row] for row in p],
            texttemplate="%{text}",
            textfont={"size": 9},
            customdata=[
                [_label(f"{n}, {c}")] * 5 for n, c in zip(shown["name"], shown["asset_class"], strict=True)
            ],
            hovertemplate="%{customdata}<br>%{y}, %{x}: %{z:.1f} %<extra></extra>",
            colorscale=[[0, "#3b6fb6"], [20 / top, "#ffffff"], [1, "#b3402a"]],  # white: a fifth
            zmin=0,
            zmax=top,
            colorbar={"title": "%", "thickness": 10},
        )
    )
    figure.update_yaxes(type="category", tickfont={"size": 9}, dtick=1, automargin=True)
    figure.update_xaxes(side="top", title=None)
    return figure.update_layout(
        height=100 + 15 * len(shown),
        margin_t=30,
        title=title,
    )


def dispersion(table: pd.DataFrame) -> Any:
    """Median and 5 % to 95 % of each asset's return; of many assets the widest and narrowest."""
    from plotly import graph_objects as go

    everything = len(table)
    table = table.iloc[extreme_assets((table["95%"] - table["5%"]).to_numpy(), N_SHOWN)]
    shown = table.sort_values("95%")
    figure = go.Figure()
    for colour, name in zip(_cycle(), dict.fromkeys(table["asset_class"]), strict=False):
        part = shown[shown["asset_class"] == name]
        middle = 100 * part["50%"]
        figure.add_scatter(
            x=[_label(s) for s in part.index],
            y=middle.round(3).tolist(),
            mode="markers",
            name=_label(name),
            marker={"color": colour, "size": 5},
            error_y={
                "type": "data",
                "array": (100 * part["95%"] - middle).round(3).tolist(),
                "arrayminus": (middle - 100 * part["5%"]).round(3).tolist(),
                "thickness": 1,
                "width": 0,
            },
        )
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=[_label(s) for s in shown.index],
        tickfont={"size": 8},
    )
    figure.update_yaxes(title="return, %", zeroline=True)
    return figure.update_layout(
        height=420,
        title="Volatility: median and 5 % to 95 % of each asset" + ends_named(len(table), everything),
        legend={"orientation": "h", "y": -0.25},
    )


def contributions(decision: Decision, n_assets: int = 30) -> Any:
    """Contribution of each asset to volatility and expected shortfall."""
    from plotly import graph_objects as go

    parts = decision.risk.contributions
    parts = parts.loc[parts["volatility"].abs().sort_values().index[-n_assets:]]
    figure = go.Figure()
    for colour, measure in zip(_COLOURS, ("volatility", "expected_shortfall"), strict=False):
        figure.add_bar(
            y=[_label(s) for s in parts.index],
            x=(100 * parts[measure]).round(5).tolist(),
            orientation="h",
            name=measure.replace("_", " "),
            marker_color=colour,
        )
    figure.update_yaxes(type="category", dtick=1, tickfont={"size": 9}, automargin=True)
    figure.update_xaxes(title="%")
    return figure.update_layout(
        height=140 + 18 * len(parts),
        title="Contributions to risk",
        margin_t=30,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
    )


def factor_paths(posterior: Posterior) -> Any:
    """Paths of the first factors, with bands."""
    from plotly import graph_objects as go

    draws = posterior.aligned().draws[FACTORS]
    periods = [f"{pd.Timestamp(x):%Y-%m-%d}" for x in draws[PERIOD].to_numpy()]
    figure = go.Figure()
    for colour, k in zip(_COLOURS, range(min(_N_FACTORS, draws.sizes[FACTOR])), strict=False):
        path = 100 * draws.isel({FACTOR: k}).transpose(CHAIN, DRAW, PERIOD).to_numpy().reshape(
            -1, len(periods)
        )
        _band(figure, periods, path, f"factor {k + 1}", colour)
    figure.update_yaxes(title="factor return, %")
    return figure.update_layout(
        height=380, title="Largest factors, median and 80 % band", legend={"orientation": "h", "y": -0.15}
    )


def volatility(posterior: Posterior) -> Any:
    """Scale of the noise over time, and in the period ahead."""
    from plotly import graph_objects as go

    panel, model = posterior.panel, posterior.model
    parameters = posterior.parameters()
    n = posterior.n_draws
    chosen = np.linspace(0, n - 1, min(_N_DRAWS, n)).astype(int)
    data, future = model_data(model, panel), at_periods(model_data(model, panel, future=True), slice(1))
    shape = (panel.n_history, len(panel.assets))
    middle = np.empty((len(chosen), panel.n_history + 1, len(panel.asset_classes)))
    size = max(1, _CELLS // math.prod(shape))
    for start in range(0, len(chosen), size):
        own = chosen[start : start + size]
        p = {k: x[own] for k, x in parameters.items()}
        history = np.broadcast_to(model.log_noise_scale(p, data), (len(own), *shape))
        ahead = np.broadcast_to(model.log_noise_scale(p, future), (len(own), 1, shape[1]))
        scale = np.exp(np.concatenate([history, ahead], axis=1))
        for c in range(len(panel.asset_classes)):
            middle[start : start + size, :, c] = np.median(scale[:, :, panel.class_index == c], axis=2)
    ends = [*panel.history[PERIOD].to_numpy(), panel.future[PERIOD].to_numpy()[0]]
    periods = [f"{pd.Timestamp(x):%Y-%m-%d}" for x in ends]
    figure = go.Figure()
    for colour, (c, name) in zip(_cycle(), enumerate(panel.asset_classes), strict=False):
        _band(figure, periods, 100 * middle[:, :, c], str(name), colour)
    figure.update_yaxes(title="noise scale, % a period", rangemode="tozero")
    return figure.update_layout(
        height=380,
        title="Own volatility, the middle asset of each class; the last point is the forecast",
        legend={"orientation": "h", "y": -0.15},
    )


def _band(figure: Any, x: Sequence[str], paths: NDArray[Any], name: str, colour: str) -> None:
    """Median (line) and 80 % band of paths (draw, x)."""
    low, middle, high = (y.round(4).tolist() for y in np.quantile(paths, [0.1, 0.5, 0.9], axis=0))
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.15)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(x=list(x), y=middle, name=_label(name), line={"color": colour, "width": 1.5})


def _cycle() -> list[str]:
    return list(_COLOURS) * 20
