"""The briefing as HTML: first page, tables in percent, density strips. Everything is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _blocks
from bdfm._reading import counted
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import weighted_quantiles
from bdfm.report.briefing import Briefing, conviction
from bdfm.report.page_form import wide_table

N_STRIPS: Final = 120  # assets whose density is drawn: of more, those with the most conviction
_BANDS: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SHADES: Final = ("b1", "b2", "b3", "b3", "b2", "b1")  # of what lies between them
FRONT: Final = (
    "Probabilities that changed most",
    "Risk of the book",
    "Positions that changed most",
    "Views and edits, beside last month's",
)
BOOK: Final = ("Weights and trades", "What binds", "Exposure by", "Stress", "Factors")


def first_page(found: Briefing, verdict: tuple[bool | None, str]) -> str:
    """What is thought, the verdict on the fit, and what changed."""
    good, text = verdict
    kind = "" if good is None else "good" if good else "bad"
    lines = "".join(f"<li>{escape(line)}</li>" for line in found.lines)
    changed = titled(found, FRONT)
    since = f"<h3>Since last month</h3>{changed}" if changed else "<p>No month before this one is known.</p>"
    return f'<ol class=lines>{lines}</ol><p class="{kind}">{escape(text)}</p>{since}'


def last_month(found: Briefing) -> str:
    """What happened against what was said; blank without a month before."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in found.happened)
    tables = titled(found, ("Last month:",))
    return f"<ul>{lines}</ul>{tables}" if lines else ""


def titled(found: Briefing, titles: Sequence[str]) -> str:
    """Tables whose title begins with one of some, with their notes, in that order."""
    parts = []
    for start in titles:
        for title, table in found.tables.items():
            if title.startswith(start):
                note = found.notes.get(title)
                text = f"<p>{escape(note)}</p>" if note else ""
                parts.append(f"<div><h4>{escape(title)}</h4>{text}{table_html(table)}</div>")
    return f"<div class=tables>{''.join(parts)}</div>" if parts else ""


def table_html(table: pd.DataFrame) -> str:
    """Table with its index; shares in percent, unless the column says that it is a number or an amount."""
    heads = [str(table.index.name or ""), *map(str, table.columns)]
    forms = [_form(str(c), table[c]) for c in table.columns]
    kinds = [_kind(str(c), f) for c, f in zip(table.columns, forms, strict=True)]
    head = "".join(
        f"<th scope=col{k}>{escape(_head(h, f))}</th>"
        for h, f, k in zip(heads, ["", *forms], ["", *kinds], strict=True)
    )
    rows = []
    for label, values in zip(table.index, table.to_numpy(dtype=object), strict=True):
        cells = "".join(_cell(x, f, k) for x, f, k in zip(values, forms, kinds, strict=True))
        rows.append(f"<tr><th scope=row>{escape(str(label))}</th>{cells}</tr>")
    return wide_table("class=plain", f"<thead><tr>{head}</tr></thead>", rows)


def _form(name: str, column: pd.Series[Any]) -> str:
    """How a column is written: "" for text, or a format."""
    if not pd.api.types.is_numeric_dtype(column):
        return ""
    if name.endswith("(amount)"):
        return "{:,.0f}"
    if name.endswith("(number)"):
        return "{:,.0f}" if pd.api.types.is_integer_dtype(column) or "shares" in name else "{:+.2f}"
    small = float(np.nanmax(np.abs(column.to_numpy(dtype=float)), initial=0.0)) < 0.01
    return "%3" if small else "%2"


def _head(name: str, form: str) -> str:
    return f"{name}, %" if form.startswith("%") else name.replace(" (number)", "").replace(" (amount)", "")


def _kind(name: str, form: str) -> str:
    """Class of a column, head and cells alike: names and classes are left out on a phone."""
    return "" if form else f" class={name}" if name in ("name", "class") else " class=text"


def _cell(value: Any, form: str, kind: str) -> str:
    if not form:
        return f"<td{kind}>{escape(str(value))}</td>"
    if value is None or value != value:
        return "<td></td>"
    text = f"{100 * value:.{form[1]}f}" if form.startswith("%") else form.format(value)
    return f"<td>{plain_zero(text)}</td>"


def plain_zero(text: str) -> str:
    """Number without its sign where nothing is left of it: 0.0% of -0.0% and +0.0%."""
    return text if text.strip("+-0.,%") else text.lstrip("+-")


def strips(forecast: Forecast, table: pd.DataFrame) -> str:
    """Density of each asset's return as a strip of shades, those of most conviction first."""
    order = conviction(table).sort_values(ascending=False, kind="stable").index[:N_STRIPS]
    at = [forecast.assets.index(str(s)) for s in order]
    equal = forecast.effective_draws > forecast.n_draws - 1
    weights = None if equal else forecast.weights.to_numpy()
    draws = _blocks.copied(forecast.draws.to_numpy(), np.array(at))
    values = weighted_quantiles(draws, list(_BANDS), weights)  # (band, asset)
    left, right = float(np.median(values[0]) * 1.6), float(np.median(values[-1]) * 1.6)
    left, right = min(left, -1e-4), max(right, 1e-4)

    def place(x: float) -> float:
        return round(1000 * float(np.clip((x - left) / (right - left), 0, 1)), 1)

    zero = place(0.0)
    rows = []
    for k, symbol in enumerate(order):
        own = [place(x) for x in values[:, k]]
        bars = "".join(
            f'<rect class={shade} x="{a}" width="{round(b - a, 1)}" y="2" height="14"/>'
            for shade, a, b in zip(_SHADES, own, own[1:], strict=False)
        )
        middle = f'<rect class=mid x="{own[3] - 1.5:.1f}" width="3" y="0" height="18"/>'
        line = f'<rect class=zero x="{zero - 0.5:.1f}" width="1" y="0" height="18"/>'
        said = f"{values[1, k]:+.1%} to {values[5, k]:+.1%}"
        rows.append(
            f"<tr><th scope=row>{escape(str(symbol))}</th><td class=strip>"
            f'<svg viewBox="0 0 1000 18" preserveAspectRatio="none">{line}{bars}{middle}</svg></td>'
            f"<td>{plain_zero(f'{values[3, k]:+.1%}')}</td><td class=class>{said}</td></tr>"
        )
    more = (
        ""
        if len(order) == len(table)
        else f" Of {counted(len(table), 'asset')} the {len(order)} of most conviction."
    )
    return (
        f"<p>Return over the span from {left:+.0%} to {right:+.0%}: the middle half dark, 5 to 95 % lighter,"
        f" 1 to 99 % lightest, the median and zero as lines; beside them the median and 5 to 95 %.{more}</p>"
        f"{wide_table('class=strips', '', rows)}"
    )


def doubts(attrs: Mapping[str, Any]) -> str:
    """What was doubtful in the data: accepted, or warned of."""
    titles = {"doubts_accepted": "Accepted as right", "doubts_warned": "Warned of"}
    found = {k: str(v) for k, v in attrs.items() if k.startswith("doubts_") and v}
    if not found:
        return "<p>Nothing in the data was doubtful, or nothing is known of it.</p>"
    parts = []
    for key, text in found.items():
        items = "".join(f"<li>{escape(x)}</li>" for x in text.split("; "))
        parts.append(f"<h3>{escape(titles.get(key, key.replace('_', ' ')))}</h3><ul>{items}</ul>")
    return "".join(parts)
