"""Pictures of a comparison (Plotly), and the page that holds them all in one file."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from bdfm import _files
from bdfm._optional import optional
from bdfm._statistics import p_number, p_text
from bdfm.backtest.choices import JOINT, SCORES, unit_of
from bdfm.backtest.scoreboard import Grouping, Scoreboard
from bdfm.forecast.forecast import N_RANKS

Figure = Any  # of Plotly, which is optional

GROUPINGS: Final[dict[Any, str]] = {
    "year": "Year of the origin",
    "asset_class": "Asset class",
    "volatility": "Volatility of the market, known at the origin",
}
_N_BINS: Final = 8  # of forecasts in a reliability diagram
_ROW: Final = 24  # pixels of a forecaster
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
h1{font-size:1.5em}h2{font-size:1.15em;margin:2em 0 .3em}table{border-collapse:collapse;font-size:13px}
.wide{overflow-x:auto}
td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child{text-align:left}.note{color:#666;font-size:13px}
"""


def texts(scores: Scoreboard) -> pd.DataFrame:
    """Table (forecaster) for people: texts only."""
    t, unit = scores.table, unit_of(scores.score)

    def number(column: str, form: str, scale: float = 1.0) -> list[str]:
        return ["" if np.isnan(x) else format(x / scale, form) for x in t[column]]

    columns = {
        SCORES[scores.score]: number("score", ".5f"),
        f"diff {unit.text}".strip(): [
            "reference" if n == scores.reference else x
            for n, x in zip(t.index, number("difference", f"+.{unit.decimals}f", unit.size), strict=True)
        ],
        "± se": [
            "" if n == scores.reference else x
            for n, x in zip(t.index, number("se", f".{unit.decimals}f", unit.size), strict=True)
        ],
        "p": [p_number(x) for x in t["p_value"]],
        "MCS p": [p_number(x) for x in t["mcs_p_value"]],
        "wins": number("wins", ".0%"),
    }
    others = {k: v for k, v in SCORES.items() if k != scores.score and (k not in JOINT or t[k].notna().any())}
    columns |= {v: number(k, ".3f" if k in JOINT else ".4f") for k, v in others.items()}
    if t["information_ratio"].notna().any():
        columns["IR"] = number("information_ratio", ".3f")
    return pd.DataFrame(columns, index=t.index)


def _figure(height: float, **layout: Any) -> Figure:
    figure = optional("plotly.graph_objects", what="compare", extra="backtest").Figure()
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 10, "r": 10, "t": 30, "b": 40}, **layout
    )
    return figure


def differences(scores: Scoreboard) -> Figure:
    """See ``Comparison.plot_differences``."""
    table, unit = scores.table.iloc[::-1], unit_of(scores.score)
    figure = _figure(110 + _ROW * len(table), showlegend=False)
    names = [escape(str(n)) for n in table.index]
    t = max(scores.freedom, 1)
    for level, width in ((0.95, 2), (0.9, 6)):
        reach = stdtrit(t, (1 + level) / 2) * table["se"].fillna(0).to_numpy() / unit.size
        for name, centre, half in zip(names, table["difference"] / unit.size, reach, strict=True):
            figure.add_scatter(
                x=[centre - half, centre + half],
                y=[name, name],
                mode="lines",
                line={"width": width, "color": "#7fa6cc"},
                hoverinfo="skip",
            )
    chances = [
        [p_text(row["p_value"]), p_text(row["mcs_p_value"], name="MCS p")] for _, row in table.iterrows()
    ]
    figure.add_scatter(
        x=table["difference"] / unit.size,
        y=names,
        mode="markers",
        marker={"color": "#1f4e79", "size": 9},
        customdata=[
            [score, escape(", ".join(filter(None, known)))]
            for score, known in zip(table["score"], chances, strict=True)
        ],
        hovertemplate=f"%{{y}}: mean %{{customdata[0]:.5f}}, difference {unit.template('x')}"
        "<br>%{customdata[1]}<extra></extra>",
    )
    figure.add_vline(x=0, line_width=1, line_color="#222")
    figure.update_xaxes(
        title=f"{SCORES[scores.score]} less that of {escape(scores.reference)}"
        + (f", {unit.text}; left is better" if unit.text else "; left is better")
    )
    return figure


def cumulative(scores: Scoreboard) -> Figure:
    """See ``Comparison.plot_cumulative``."""
    losses = scores.losses
    figure = _figure(420, hovermode="x unified")
    for name in scores.table.index:
        if name != scores.reference:
            path = (losses[name] - losses[scores.reference]).cumsum()
            figure.add_scatter(x=path.index, y=path, mode="lines", name=escape(str(name)))
    figure.add_hline(y=0, line_width=1, line_color="#222")
    figure.update_yaxes(title=f"sum of differences from {escape(scores.reference)}")
    return figure


def groups(scores: Scoreboard, group: Grouping) -> Figure:
    """See ``Comparison.plot_groups``."""
    unit = unit_of(scores.score)
    table = scores.by(group)
    labels = list(dict.fromkeys(table.index.get_level_values(0)))
    names = [n for n in scores.table.index if n != scores.reference][::-1]

    def grid(column: pd.Series[Any]) -> Any:
        return column.unstack(0).reindex(index=names, columns=labels)

    values = grid(table["difference"]) / unit.size
    with np.errstate(invalid="ignore", divide="ignore"):
        t = grid(table["difference"] / table["se"].where(table["se"] > 0))
    text = [
        [
            "" if np.isnan(x) else f"{x:.{unit.decimals - 1}f}" + (f"<br>({s:.1f})" if np.isfinite(s) else "")
            for x, s in zip(row, row_t, strict=True)
        ]
        for row, row_t in zip(values.to_numpy(), t.to_numpy(), strict=True)
    ]
    top = float(np.nanquantile(np.abs(values.to_numpy()), 0.9)) or 1.0
    figure = _figure(130 + 1.5 * _ROW * len(names))
    figure.add_heatmap(
        z=values.to_numpy(),
        x=[escape(str(x)) for x in labels],
        y=[escape(str(n)) for n in names],
        text=text,
        texttemplate="%{text}",
        textfont={"size": 10},
        colorscale="RdBu_r",
        zmin=-top,
        zmax=top,
        colorbar={"title": unit.text},
        hovertemplate=f"%{{y}}, %{{x}}: {unit.template('z')}<extra></extra>",
    )
    figure.update_xaxes(type="category")
    return figure


def decomposition(scores: Scoreboard) -> Figure:
    """See ``Comparison.plot_decomposition``."""
    table, unit = scores.decomposition, unit_of("rps")
    figure = _figure(380, barmode="group")
    for name in table.index:
        if name != scores.reference:
            gap = (table.loc[name] - table.loc[scores.reference]) / unit.size
            figure.add_bar(x=list(gap.index), y=gap, name=escape(str(name)))
    figure.update_xaxes(title="boundary between fifths, share of assets below", type="category")
    figure.update_yaxes(title=f"RPS less that of {escape(scores.reference)}, {unit.text}")
    return figure


def calibration(scores: Scoreboard) -> Figure:
    """See ``Comparison.plot_calibration``."""
    subplots = optional("plotly.subplots", what="compare", extra="backtest")
    dark = optional("plotly.colors", what="compare", extra="backtest").qualitative.Dark24

    titles = ("lowest fifth", "highest fifth", "PIT: ECDF less diagonal")
    figure = subplots.make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.07)
    figure.update_layout(template="plotly_white", height=430, margin={"l": 10, "r": 10, "t": 40, "b": 40})
    top = 0.25
    grid = np.linspace(0, 1, 101)
    for i, name in enumerate(scores.table.index):
        run = scores.runs[scores.names.index(name)]
        style = {"color": dark[i % 24], "width": 1.5}
        common = {"name": escape(str(name)), "legendgroup": str(i), "line": style, "marker": {"size": 5}}
        p, y = (np.concatenate([x[k].to_numpy() for x in run.results]) for k in ("probability", "outcome"))
        for column, q in ((1, 0), (2, N_RANKS - 1)):
            bins = np.array_split(np.argsort(p[:, q], kind="stable"), _N_BINS)
            x = [float(p[b, q].mean()) for b in bins]
            f = [float(y[b, q].mean()) for b in bins]
            top = max(top, *x, *f)
            figure.add_scatter(
                x=x, y=f, mode="lines+markers", row=1, col=column, showlegend=column == 1, **common
            )
        if run.has_draws:
            pits = np.sort(run.cells["pit"].to_numpy())
            curve = np.searchsorted(pits, grid, side="right") / len(pits) - grid
            figure.add_scatter(x=grid, y=curve, mode="lines", row=1, col=3, showlegend=False, **common)
    for column in (1, 2):
        line = {"color": "#222", "width": 1}
        figure.add_scatter(
            x=[0, top], y=[0, top], mode="lines", line=line, row=1, col=column, showlegend=False
        )
        figure.update_xaxes(title="forecast probability", row=1, col=column)
    figure.update_yaxes(title="frequency", row=1, col=1)
    figure.update_xaxes(title="PIT", row=1, col=3)
    return figure


def write(scores: Scoreboard, path: Path) -> Path:
    """See ``Comparison.write_html``."""
    sections = [
        (
            "Who is better, by how much, with what certainty",
            "p: Diebold-Mariano, two-sided, errors robust to autocorrelation. MCS p: model confidence set;"
            " above 0.1 a forecaster is among the best with 90 % confidence. Scores are means over assets and"
            " origins, lower is better; CRPS, energy, variogram and Dawid-Sebastiani"
            " scores are of log returns. RPS is in units in which"
            " equal fifths score 0.16 at every origin.",
            [_table(texts(scores)), differences(scores)],
        ),
        (
            "When",
            f"Sum over origins of the difference of {SCORES[scores.score]} from {scores.reference}: a"
            " line that falls gains on it.",
            [cumulative(scores)],
        ),
    ]
    for group, title in GROUPINGS.items():
        if group == "asset_class" and scores.score in JOINT:
            continue
        size = unit_of(scores.score).text
        unit = f" in {size}" if size else ""
        note = f"Difference from {scores.reference}{unit}, t-statistic in brackets; blue is better."
        sections.append((title, note, [groups(scores, group)]))
    sections += [
        (
            "Where on the scale",
            "Parts of the RPS at the boundaries of the fifths. The outer ones reward knowing who will move"
            " far, the inner ones knowing the direction.",
            [decomposition(scores)],
        ),
        (
            "Calibration",
            "Frequency against forecast probability, in bins of equally many forecasts: best on the"
            " diagonal. Slopes below 1 mean overconfidence. The PIT of calibrated forecasts is uniform.",
            [
                _table(_calibration_texts(scores)),
                calibration(scores),
            ],
        ),
    ]
    body = []
    scripts: bool | str = True  # plotly.js goes into the first figure: the page needs no network
    for title, note, parts in sections:
        body.append(f'<h2>{escape(title)}</h2><p class="note">{escape(note)}</p>')
        for part in parts:
            if isinstance(part, str):
                body.append(f'<div class="wide">{part}</div>')
                continue
            body.append(
                part.to_html(full_html=False, include_plotlyjs=scripts, div_id=f"picture-{len(body)}")
            )
            scripts = False
    span = f"{scores.origins[0]:%Y-%m-%d} to {scores.origins[-1]:%Y-%m-%d}"
    title = f"Comparison of {len(scores.names)} forecasters, {span}"
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<p>{escape(scores.verdict)}</p>{''.join(body)}</body></html>\n"
    )
    _files.write_text(path, html)
    return path


def _calibration_texts(scores: Scoreboard) -> pd.DataFrame:
    """Table (forecaster) of calibration for people."""
    table = scores.calibration
    shown = table.round(3).astype(object).fillna("")
    return shown.assign(pit_p_value=[p_number(x) for x in table["pit_p_value"]])


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(border=0, escape=True)
