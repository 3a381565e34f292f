"""The page of a track: tables and pictures in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm._reading import counted
from bdfm._statistics import with_error
from bdfm.backtest.run import EQUAL_RPS
from bdfm.backtest.significance import diebold_mariano
from bdfm.ledger.judge import MODEL
from bdfm.ledger.track import Track

Floats = NDArray[np.float64]

_WIDTH: Final = 720
_HEIGHT: Final = 240
_EDGE: Final = 56  # room for the labels of an axis, at least
_DIGIT: Final = 14  # width of a digit on a phone, where letters are larger
_LABELS: Final = 6  # of the months, about; on a phone, where letters are larger, every third
_COLOURS: Final = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#888888")
_LEFT: Final = frozenset({"origin", "end", "score", "view", "by"})  # columns of texts
_STYLE: Final = """
:root { --ink: #222; --soft: #555; --line: #ddd; --page: #fff; --bad: #b00020; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #dfe5ea; --soft: #9fabb5; --line: #39434d; --page: #161b20; --bad: #ff8b94;
    color-scheme: dark; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } .note { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .2rem .55rem; text-align: right; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; } td { white-space: nowrap; } .left { text-align: left; }
td.view { white-space: normal; }
svg { max-width: 100%; height: auto; display: block; } svg text { fill: var(--ink); }
.axis { stroke: #999; } .limit { stroke: var(--bad); } .bad { color: var(--bad); font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 0 2rem; } .pictures > div { flex: 1 1 30rem; min-width: 0; }
@media (max-width: 640px) {
  svg text { font-size: 22px; } .odd { display: none; } td.view { min-width: 11rem; }
}
@media print {
  body { margin: 0; max-width: none; font-size: 11px; } table { font-size: 8.5px; }
  th, td { padding: 2px 4px; } svg text { font-size: 18px; } .odd { display: none; }
  .wide { overflow: visible; } h2, .note { break-after: avoid; } tr, svg { break-inside: avoid; }
  .pictures > div { flex-basis: 45%; break-inside: avoid; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
_NAMES: Final = {"rps": "RPS", "crps": "CRPS", "coverage 50": "inside 50 %", "coverage 90": "inside 90 %"}
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
            "mean ± se": with_error(row["mean"], row["se"], form),
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
    return [
        ("Months", months.rename(columns=_NAMES)),
        ("Means", pd.DataFrame(rows).replace({"score": _NAMES})),
        ("Views in sum", _sums(found.views)),
        ("Views", views),
        ("People", people.rename(columns=_NAMES)),
    ]


def _sums(views: pd.DataFrame) -> pd.DataFrame:
    """What the views of each person gained: their number, how many helped, the mean gain with its error."""
    known = views.dropna(subset=["rps_gain"]) if len(views) else views
    rows = []
    for by, own in known.groupby("by", sort=True) if len(known) else ():
        gain = 1e5 * own.groupby("origin")["rps_gain"].mean().to_numpy(dtype=float)
        error = diebold_mariano(gain - gain.mean()).se
        rows.append(
            {
                "by": by,
                "views": len(own),
                "helped": int((own["rps_gain"] > 0).sum()),
                "RPS gain a month, 1e-5": with_error(gain.mean(), error, "{:+.0f}".format),
            }
        )
    return pd.DataFrame(rows)


def track_html(found: Track) -> str:
    """Page of a track."""
    tables = dict(texts(found))
    origins = [str(x) for x in found.months.index]
    title = f"Record of {counted(len(origins), 'month')}, {origins[0]} to {origins[-1]}"
    pictures = []
    if found.alarm is not None:
        log_e = np.log10(found.alarm.e_values)
        curves = {str(c): log_e[c].to_numpy() for c in log_e}
        high = 1 / found.alarm.false_alarm
        text = (
            "Winnings of bets against calibration that began with 1. They may be looked at every month: the"
            f" thick line, the mean of the others, ever reaches {high:g} with a chance of at most"
            f" {found.alarm.false_alarm:.0%} where forecasts are calibrated."
        )
        pictures.append(
            (
                "Are the forecasts calibrated?",
                text,
                lines(origins, curves, limit=np.log10(high), label="e-value", powers=True),
            )
        )
    gain = np.cumsum(EQUAL_RPS - found.months["rps"].to_numpy(dtype=float))
    text = "Sum over months of 0.16 less the ranked probability score: a line that rises knows more."
    pictures.append(("What was gained on equal fifths", text, lines(origins, {"RPS": gain}, label="gain")))
    if len(found.people):
        after = 100 * found.people.pivot(index="origin", columns="by", values="share_after")
        curves = {str(c): after[c].to_numpy(dtype=float) for c in sorted(after, key=lambda c: c == MODEL)}
        text = "Shares of a pool of people and model, by the record up to each month."
        pictures.append(("Who earns a share?", text, lines(list(after.index), curves, label="share, %")))
    parts = [f"<p>{verdict(found)}</p>", '<div class="pictures">']
    for name, note, html in pictures:
        parts.append(f'<div><h2>{escape(name)}</h2><p class="note">{escape(note)}</p>{html}</div>')
    parts.append("</div>")
    notes = {
        "Months": "Scores: lower is better. Inside: share of assets that came inside their 50 and 90 %"
        " intervals.",
        "Means": "Standard errors are robust to autocorrelation, and there from eight months on.",
        "Views in sum": "Score without a view less that with it, above 0 where it helped.",
        "Views": "Each by itself, in units of 1e-5 of the RPS.",
        "People": f"Score of each person's views alone, and of {MODEL}, the draws without views. Share: what"
        " the record before the month gives each in a pool; share after: with the month.",
    }
    for name, note in notes.items():
        if len(tables[name]):
            parts.append(f'<h2>{name}</h2><p class="note">{escape(note)}</p>{_table(tables[name])}')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def verdict(found: Track) -> str:
    """Alarm and mean score in a sentence of HTML."""
    row: Any = found.means().loc["rps"]
    mean = with_error(row["mean"], row["se"], "{:.5f}".format)
    score = f"Mean RPS {mean}; equal fifths score {EQUAL_RPS:g}."
    if found.alarm is None or found.alarm.raised is None:
        return f"No alarm. {score}"
    why = escape(f"{found.alarm.reason}, raised in {found.alarm.raised}")
    return f'<span class="bad">Alarm: the forecasts are not calibrated ({why}).</span> {score}'


def _table(table: pd.DataFrame) -> str:
    """Table of texts and whole numbers, those of ``_LEFT`` to the left."""
    kinds = [f' class="left {c}"' if c in _LEFT else "" for c in table.columns]
    head = "".join(f"<th{k}>{escape(str(c))}</th>" for c, k in zip(table.columns, kinds, strict=True))
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{k}>{'' if x is None or x != x else escape(str(x))}</td>"
            for x, k in zip(row, kinds, strict=True)
        )
        + "</tr>"
        for row in table.itertuples(index=False)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def ticks(low: float, high: float) -> Floats:
    """Three to six round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough)
    whole = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return np.asarray(whole * step + 0.0, dtype=np.float64)  # 0.0: no -0


def lines(
    labels: Sequence[str],
    curves: Mapping[str, Floats],
    *,
    label: str,
    limit: float | None = None,
    powers: bool = False,
) -> str:
    """Curves (month,) as SVG, the last one thick, with a dashed line at a limit; ``powers`` of ten."""
    values = np.concatenate([np.asarray(y, dtype=float) for y in curves.values()])
    values = values[np.isfinite(values)]
    ends = [*values, 0.0] if limit is None else [*values, 0.0, limit]
    low, high = float(min(ends)), float(max(ends))
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    marks = np.arange(np.ceil(low), np.floor(high) + 1) if powers else ticks(low, high)
    told = [f"{10**value:g}" if powers else f"{value:.6g}" for value in marks]
    left, right = max(_EDGE, 6 + _DIGIT * max(map(len, told), default=0)), _WIDTH - _EDGE

    def x(k: float) -> float:
        return left + (right - left) * (k / (len(labels) - 1) if len(labels) > 1 else 0.5)

    def y(value: float) -> float:
        return 30 + (_HEIGHT - 66) * (high - value) / (high - low)

    parts = [
        f'<line x1="{left}" x2="{right}" y1="{y(0):.1f}" y2="{y(0):.1f}" class="axis"/>',
        f'<text x="0" y="16">{escape(label)}</text>',
    ]
    for value, said in zip(marks, told, strict=True):
        parts.append(f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{said}</text>')
    step = max(1, -(-len(labels) // _LABELS))
    for count, k in enumerate(range(0, len(labels), step)):
        odd = ' class="odd"' if count % 3 else ""
        parts.append(
            f'<text x="{x(k):.1f}" y="{_HEIGHT - 8}" text-anchor="middle"{odd}>{escape(labels[k][:7])}</text>'
        )
    if limit is not None:
        said = f"{10**limit:g}" if powers else f"{limit:g}"
        at = f"{y(limit):.1f}"
        parts.append(
            f'<line x1="{left}" x2="{right}" y1="{at}" y2="{at}" class="limit" stroke-dasharray="6 4"/>'
            f'<text x="{right + 6}" y="{y(limit) + 4:.1f}">{said}</text>'
        )
    for k, curve in enumerate(curves.values()):
        colour, thick = _COLOURS[k % len(_COLOURS)], 3.5 if k == len(curves) - 1 else 1.5  # the last is all
        known = [j for j, v in enumerate(curve) if np.isfinite(v)]
        points = " ".join(f"{x(j):.1f},{y(float(curve[j])):.1f}" for j in known)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{thick}"/>')
        if known:
            j = known[-1]
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
