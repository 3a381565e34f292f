"""The page of a track: tables and pictures in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm.backtest.run import EQUAL_RPS
from bdfm.ledger.track import MODEL, Track

Floats = NDArray[np.float64]

_WIDTH: Final = 720
_HEIGHT: Final = 240
_EDGE: Final = 56  # room for the labels of an axis
_COLOURS: Final = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#222222")
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } .note { color: #555; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
svg { max-width: 100%; height: auto; } .bad { color: #b00020; font-weight: 600; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""
_PERCENT: Final = ("coverage_50", "coverage_90", "profit", "expected", "value_at_risk")


def texts(found: Track) -> list[tuple[str, pd.DataFrame]]:
    """Tables of a track as people read them: title and texts."""
    months = found.months.reset_index()
    for name in months.columns:
        if name in _PERCENT:
            months[name] = [_percent(x) for x in months[name]]
        elif name == "breach":
            months[name] = ["yes" if x is True else "" for x in months[name]]
        elif pd.api.types.is_numeric_dtype(months[name]):
            months[name] = [_number(x) for x in months[name]]
    months.columns = [str(c).replace("_", " ") for c in months.columns]
    means = found.means()
    rows = [
        {
            "score": str(name).replace("_", " "),
            "mean ± se": f"{form(row['mean'])} ± {form(row['se'])}",
            "months": int(row["n"]),
        }
        for name, row in means.iterrows()
        for form in [_percent if name in _PERCENT else _number]
    ]
    views = found.views
    if len(views):
        views = views.assign(
            rps_gain=[f"{1e5 * x:+.0f}" if np.isfinite(x) else "" for x in views["rps_gain"]],
            log_gain=[f"{x:+.4f}" if np.isfinite(x) else "" for x in views["log_gain"]],
        ).rename(columns={"rps_gain": "RPS gain, 1e-5", "log_gain": "log score gain"})
    people = found.people
    if len(people):
        people = people.assign(
            rps=[_number(x) for x in people["rps"]],
            share=[_percent(x) for x in people["share"]],
            share_after=[_percent(x) for x in people["share_after"]],
        ).rename(columns={"share_after": "share after"})
    return [("Months", months), ("Means", pd.DataFrame(rows)), ("Views", views), ("People", people)]


def track_html(found: Track) -> str:
    """Page of a track."""
    tables = dict(texts(found))
    origins = [str(x) for x in found.months.index]
    title = f"Record of {len(origins)} month{'s' if len(origins) > 1 else ''}, {origins[0]} to {origins[-1]}"
    parts = [f"<p>{verdict(found)}</p>"]
    if found.alarm is not None:
        log_e = np.log10(found.alarm.e_values)
        curves = {str(c): log_e[c].to_numpy() for c in log_e}
        limit = -np.log10(found.alarm.level)
        high, chance = f"{1 / found.alarm.level:g}", f"{found.alarm.level:.0%}"
        parts += [
            "<h2>Are the forecasts calibrated?</h2>",
            '<p class="note">Winnings of bets against calibration that began with 1, powers of ten. They may'
            f" be looked at every month: of calibrated forecasts all ever reach {high} with a"
            f" chance of at most {chance}.</p>",
            lines(origins, curves, limit=limit, label="log10 e-value"),
        ]
    gain = np.cumsum(EQUAL_RPS - found.months["rps"].to_numpy(dtype=float))
    parts += [
        "<h2>What was gained on equal fifths</h2>",
        '<p class="note">Sum over months of 0.16 less the ranked probability score: a line that rises knows'
        " more.</p>",
        lines(origins, {"RPS": gain}, limit=None, label="sum of gains"),
    ]
    notes = {
        "Months": "Scores: lower is better. Coverage: shares of assets inside their 50 and 90 % intervals.",
        "Means": "Standard errors are robust to autocorrelation, and there from eight months on.",
        "Views": "Score without the view less that with it: above 0 it helped.",
        "People": f"Score of each person's views alone, and of {MODEL}, the draws without views. Share: what"
        " the record before the month gives each in a pool.",
    }
    for name, note in notes.items():
        if len(tables[name]):
            html = tables[name].to_html(index=False, border=0, escape=True, na_rep="")
            parts.append(f'<h2>{name}</h2><p class="note">{escape(note)}</p><div class="wide">{html}</div>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def verdict(found: Track) -> str:
    """Alarm and mean score in a sentence of HTML."""
    row = found.means().loc["rps"]
    error = f" ± {row['se']:.5f}" if np.isfinite(row["se"]) else ""
    score = f"Mean RPS {row['mean']:.5f}{error}; equal fifths score {EQUAL_RPS:g}."
    if found.alarm is None or found.alarm.raised is None:
        return f"No alarm. {score}"
    why = escape(f"{found.alarm.reason}, raised in {found.alarm.raised}")
    return f'<span class="bad">Alarm: the forecasts are not calibrated ({why}).</span> {score}'


def lines(labels: Sequence[str], curves: Mapping[str, Floats], *, limit: float | None, label: str) -> str:
    """Curves (month,) as SVG, with a dashed line at a limit."""
    values = np.concatenate([np.asarray(y, dtype=float) for y in curves.values()])
    ends = [*values, 0.0] if limit is None else [*values, 0.0, limit]
    low, high = float(min(ends)), float(max(ends))
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad

    def x(k: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (k / (len(labels) - 1) if len(labels) > 1 else 0.5)

    def y(value: float) -> float:
        return 16 + (_HEIGHT - 48) * (high - value) / (high - low)

    parts = [
        f'<line x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{y(0):.1f}" y2="{y(0):.1f}" stroke="#999"/>',
        f'<text x="4" y="12">{escape(label)}</text>',
    ]
    for value in np.linspace(low + pad, high - pad, 4):
        parts.append(f'<text x="4" y="{y(value) + 4:.1f}">{value:.3g}</text>')
    step = max(1, len(labels) // 6)
    for k in range(0, len(labels), step):
        parts.append(
            f'<text x="{x(k):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(labels[k])}</text>'
        )
    if limit is not None:
        at = f"{y(limit):.1f}"
        parts.append(
            f'<line x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{at}" y2="{at}" stroke="#b00020"'
            ' stroke-dasharray="6 4"/>'
        )
    for k, curve in enumerate(curves.values()):
        colour, thick = _COLOURS[k % len(_COLOURS)], 3.5 if k == len(curves) - 1 else 1.5  # the last is all
        points = " ".join(f"{x(j):.1f},{y(float(v)):.1f}" for j, v in enumerate(curve))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
        j = len(labels) - 1
        parts.append(f'<circle cx="{x(j):.1f}" cy="{y(float(curve[j])):.1f}" r="3" fill="{colour}"/>')
    key = "".join(
        f' <span style="color:{_COLOURS[k % len(_COLOURS)]}">&#9632;</span> {escape(name)}'
        for k, name in enumerate(curves)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" font-size="12" role="img"'
        f' aria-label="{escape(label)}">{"".join(parts)}</svg><p class="note">{key}</p>'
    )


def _number(x: float) -> str:
    return f"{x:.4f}" if np.isfinite(x) else ""


def _percent(x: float) -> str:
    return f"{x:.1%}" if np.isfinite(x) else ""
