"""Page and files of a stress test."""

from __future__ import annotations

import base64
import io
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from bdfm import _files, _folders, _json
from bdfm.data.risk_free import split_risk_free
from bdfm.forecast.forecast import Forecast
from bdfm.report.book import BAYESIAN, Book
from bdfm.report.book_tables import records
from bdfm.risk.returns import examined
from bdfm.risk.spans import MAX_STALE_DAYS
from bdfm.risk.stress_tests import Scenarios, StressTest, stress_test

_STYLE = """body{font:14px system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;font-size:12px}
td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ddd}
th{text-align:left}.wide{overflow-x:auto}.note{color:#666;font-size:13px}img{max-width:100%}"""
TITLES = {
    "replay": "Past windows through the exposures of today",
    "shocks": "Shocks to factors",
    "risk": "Shocks to volatility and correlation",
    "reverse": "The most likely move that loses so much",
    "reverse_factors": "Its factors",
    "reverse_assets": "Its assets",
    "forecast": "The forecast's draws that lose so much",
}
NOTES = {
    "replay": "Factor returns of the window times today's exposures, compounded; specific returns are in"
    " the rows 'own returns' alone.",
    "shocks": "Other factors take their mean given the shock; volatility is what remains about the return.",
    "risk": "Volatility over the horizon before and after, and 95 % value at risk of normal returns after.",
    "reverse": "Distance in volatilities; probability of such a loss or more, were returns normal.",
    "reverse_factors": "Components (PC1, ...) are of standardised returns: read their moves in volatilities.",
}
_PERCENT = ("return", "volatility", "shocked", "value", "drawdown", "worst", "loss", "move", "mean", "given")


def page(found: StressTest, *, about: str) -> str:
    """One HTML page with all tables and the picture inside: it needs no network."""
    buffer = io.BytesIO()
    found.plot().savefig(buffer, format="png", dpi=110)
    image = base64.b64encode(buffer.getvalue()).decode()
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>Stress test</title>",
        f"<style>{_STYLE}</style><h1>Stress test</h1><p>{escape(about)}</p>",
        f'<img alt="Scenarios by portfolio and model" src="data:image/png;base64,{image}">',
    ]
    for name, table in found.tables.items():
        parts.append(f"<h2>{TITLES[name]}</h2>")
        if name in NOTES:
            parts.append(f"<p class=note>{NOTES[name]}</p>")
        percent: Any = {c: "{:.2%}".format for c in table.columns if str(c).startswith(_PERCENT)}
        shown = table.to_html(formatters=percent, float_format="{:.3g}".format, border=0, max_rows=200)
        parts.append(f"<div class=wide>{shown}</div>")
    if found.left_out:
        items = "".join(f"<li>{escape(x)}</li>" for x in found.left_out)
        parts.append(f"<h2>Not answered</h2><ul class=note>{items}</ul>")
    return "".join(parts) + "</html>\n"


def about(book: Book) -> str:
    """What the scenarios are of, in a sentence."""
    origin = next(iter(book.models.values())).origin
    when = "" if origin is None else f" at {origin:%Y-%m-%d}"
    bayesian = " (Bayesian: over its own period)" if BAYESIAN in book.models else ""
    return (
        f"{len(book.weights)} portfolio{'s' * (len(book.weights) != 1)}{when}; models"
        f" {', '.join(book.models)} over {book.span}{bayesian}."
    )


def stress_of_book(book: Book, asked: Scenarios, *, forecast: Forecast | None = None) -> StressTest:
    """Stress test of a book: daily returns of its prices and its daily factors are replayed."""
    used = dict.fromkeys(map(str, book.returns.columns))
    for model in book.models.values():  # a posterior has assets, young or ended, that the others have not
        used |= dict.fromkeys(a for a in model.assets if a in book.prices)
    daily = book.prices[[*used]].ffill(limit=MAX_STALE_DAYS)
    with examined():  # as prices, with what was accepted of them
        return stress_test(
            book.models,
            book.weights,
            scenarios=asked,
            returns=daily.pct_change(fill_method=None).iloc[1:],
            factor_returns=None if book.factors is None else split_risk_free(book.factors)[0],
            forecast=forecast,
        )


def write_stress(found: StressTest, folder: Path, *, about: str) -> list[str]:
    """Write ``stress.html``, ``stress.png``, ``stress.json`` and a CSV for each table, all or none; names."""
    names = ["stress.html", "stress.png", "stress.json"]
    asked = asdict(found.scenarios)
    asked["shocks"] = None if asked["shocks"] is None else [dict(m) for m, _ in found.scenarios.shocks or ()]
    asked["windows"] = (
        None if asked["windows"] is None else {k: [str(x) for x in v] for k, v in asked["windows"].items()}
    )
    with _folders.OutputFolder(folder, made_by="stress") as files:
        _files.write_text(files / "stress.html", page(found, about=about))
        found.plot().savefig(files / "stress.png", dpi=150)
        whole = {"about": about, "scenarios": asked, "left_out": list(found.left_out)}
        text = _json.text(whole | records(found.tables), indent=2, default=str)
        _files.write_text(files / "stress.json", text + "\n")
        for name, table in found.tables.items():
            _files.write_table(files / f"{name}.csv", table)
            names.append(f"{name}.csv")
    return names
