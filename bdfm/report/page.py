"""A forecast as one HTML page that needs no network: tables, pictures, changes, risk, diagnostics.

Everything that comes from a file is escaped, and the page forbids itself to load anything.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _checks, _files
from bdfm._optional import optional
from bdfm._reading import counted
from bdfm._strict import strict
from bdfm.forecast.forecast import CLOSES, Forecast
from bdfm.names import FORECAST_FILE, REPORT_FILE
from bdfm.portfolio.decisions import Decision
from bdfm.portfolio.risk import BLANK_ERROR
from bdfm.posterior.posterior import Posterior
from bdfm.report.ahead import ahead_section
from bdfm.report.briefing import briefing
from bdfm.report.page_form import PAGE, lies_beside, wide_table
from bdfm.report.pictures import (
    FIFTHS,
    contributions,
    dispersion,
    factor_paths,
    figure_html,
    heatmaps,
    volatility,
)
from bdfm.report.results import MonthFiles, read_results
from bdfm.report.sections import doubts, first_page, last_month, plain_zero, strips, titled
from bdfm.report.what_if import what_if_section
from bdfm.report.workbook import workbook_tables, write_workbook

WHAT_IF: Final = "What if"
STYLE: Final = "page.css"
SCRIPTS: Final = ("page.js", "entropy.js", "what_if.js", "what_if_page.js")


def write_report(
    folder: str | Path, path: str | Path | None = None, *, previous: str | Path | None = None
) -> Path:
    """Write the report of a folder of results; returns its path.

    Parameters
    ----------
    folder
        Folder with ``forecast.nc``, or another forecast in such a folder; ``posterior.nc``, ``summary.json``
        and ``month.toml`` or ``run.toml`` are used if there.
    path
        Of the page; ``report.html`` in the folder unless given, of ``forecast_1.nc`` ``report_1.html``.
    previous
        Folder of the month before, or its forecast; that of the ledger around the folder unless given.

    Raises
    ------
    FileError
        No forecast there, a file that cannot be read, or a page that cannot be written.
    MissingDependencyError
        plotly is not installed.
    """
    told = read_results(folder, previous=previous)
    target = beside(told, Path(REPORT_FILE).suffix) if path is None else _checks.path_of(path)
    parts: dict[str, Any] = {"posterior": told.posterior, "summary": told.summary, "run": told.run}
    _files.write_text(target, report_html(told.forecast, **parts, previous=told.previous))
    return target


def beside(told: MonthFiles, suffix: str) -> Path:
    """Path of a report beside its forecast: ``report_1`` of ``forecast_1.nc``."""
    stem = Path(told.file).stem.replace(Path(FORECAST_FILE).stem, Path(REPORT_FILE).stem, 1)
    return told.folder / f"{stem}{suffix}"


def write_report_workbook(
    folder: str | Path, path: str | Path | None = None, *, previous: str | Path | None = None
) -> Path:
    """Write every table of the report to an Excel workbook; parameters and errors as ``write_report``."""
    told = read_results(folder, previous=previous)
    found = briefing(told.forecast, posterior=told.posterior, previous=told.previous)
    target = beside(told, ".xlsx") if path is None else _checks.path_of(path)
    return write_workbook(workbook_tables(told.forecast, found), target)


@strict
def report_html(
    forecast: Forecast,
    *,
    posterior: Posterior | None = None,
    summary: Mapping[str, Any] | None = None,
    run: str | None = None,
    previous: Forecast | None = None,
) -> str:
    """Return the page of a forecast.

    Parameters
    ----------
    forecast
        With its records, and the decision that it carries, if any.
    posterior
        For pictures of factors and volatility, and the verdict on convergence.
    summary
        Of the run: versions, seconds, diagnostics.
    run
        Text of the run file, shown as the way to make the page again.
    previous
        Forecast of the month before, to tell what changed and what came of it.
    """
    plotly = optional("plotly.offline", what="report").get_plotlyjs()
    table = forecast.summary()
    found = briefing(forecast, posterior=posterior, previous=previous)
    sections = [
        ("First page", first_page(found, verdict(posterior, summary))),
        ("Weights and trades", titled(found, ("Weights and trades", "What binds", "Exposure by"))),
        ("Risk", _risk_section(forecast) + ahead_section(forecast, posterior) + titled(found, ("Stress",))),
        ("Last month", last_month(found)),
        ("Densities", strips(forecast, table)),
        ("Heat map", "".join(figure_html(f, f"heatmap-{k}") for k, f in enumerate(heatmaps(table)))),
        ("Views and edits", _changes_section(forecast)),
        ("Forecast", _forecast_section(forecast, table)),
        (WHAT_IF, what_if_section(forecast)),
        ("Factors and volatility", titled(found, ("Factors",)) + _model_section(forecast, posterior, table)),
        ("Data", doubts(forecast.attrs)),
        ("Diagnostics", _diagnostics_section(posterior, summary)),
        ("How to reproduce", _reproduce_section(forecast, summary, run)),
    ]
    title = f"Forecast {forecast.origin:%Y-%m-%d} to {forecast.end:%Y-%m-%d}"
    sections = [(name, html) for name, html in sections if html]
    body = "".join(
        f'<section id="s{k}" class="{"screen" if name == WHAT_IF else ""}"><h2>{escape(name)}</h2>{html}'
        "</section>"
        for k, (name, html) in enumerate(sections)
    )
    links = "".join(f'<a href="#s{k}">{escape(name)}</a>' for k, (name, _) in enumerate(sections))
    return PAGE.format(
        title=escape(title),
        head=f"Forecast <span>{forecast.origin:%Y-%m-%d}</span> to <span>{forecast.end:%Y-%m-%d}</span>",
        style=lies_beside(STYLE),
        plotly=plotly,
        links=links,
        body=body,
        script="\n".join(lies_beside(name) for name in SCRIPTS),
    )


# -- sections ----------------------------------------------------------------------------------------------


def _forecast_section(forecast: Forecast, table: pd.DataFrame) -> str:
    effective, n = forecast.effective_draws, len(forecast.records)
    facts = [
        f"{counted(len(table), 'asset')}",
        f"{forecast.n_draws:,} draws"
        + ("" if effective > forecast.n_draws - 1 else f", {effective:,.0f} effective"),
        {0: "no views or edits", 1: "1 view or edit"}.get(n, f"{n} views and edits"),
    ]
    model = forecast.attrs.get("model")
    if model is not None:
        facts.append(f"model {model}")
    percent = ("5%", "50%", "95%")  # not the sd, which hangs on a few extreme draws
    heads = ["Symbol", "Name", "Class", *FIFTHS, "5 %", "median", "95 %"]
    rows = []
    for symbol, row in table.iterrows():
        cells = [
            f"<th scope=row>{escape(str(symbol))}</th>",
            f"<td class=name>{escape(str(row['name']))}</td>",
            f"<td class=class>{escape(str(row['asset_class']))}</td>",
        ]
        probabilities = [float(row[f"P{k}"]) for k in range(1, 6)]
        cells += [
            f'<td class=p data-v="{p:.6f}" style="{_shade(p)}">{100 * p:.1f}</td>' for p in probabilities
        ]
        cells += [f'<td data-v="{row[c]:.6f}">{plain_zero(f"{100 * row[c]:.1f}")}</td>' for c in percent]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    kinds = ["symbol", "name", "class", *["p"] * (len(heads) - 3)]
    head = "".join(
        f'<th scope=col class="{kind}" data-title="{escape(title)}">'
        f"<button type=button>{escape(title)}</button></th>"
        for kind, title in zip(kinds, heads, strict=True)
    )
    return (
        f"<p>{escape(', '.join(facts))}. Probability in % that an asset's return ranks in each fifth of the"
        " assets, and quantiles of its return in %.<span class=screen> Click a column to sort.</span></p>"
        '<p class=tools><label>Search <input id=search type=search placeholder="symbol, name, class"></label>'
        f" <span id=shown role=status>{len(rows)} of {len(rows)}</span></p>"
        f"{wide_table('id=assets', f'<thead><tr>{head}</tr></thead>', rows)}"
    )


def _shade(p: float) -> str:
    """Background of a probability: white at a fifth, red above, blue below."""
    strength = min(abs(p - 0.2) / 0.2, 1.0)
    red, green, blue = (200, 85, 61) if p > 0.2 else (59, 111, 182)
    return f"background:rgba({red},{green},{blue},{0.75 * strength:.2f})"


def _changes_section(forecast: Forecast) -> str:
    if not forecast.records:
        return "<p>None: the forecast is the model's.</p>"
    effects = forecast.effects()
    parts = []
    for number, record in enumerate(forecast.records, 1):
        parts.append(f"<h3>{number}. {escape(record.text)}</h3>")
        rows = effects[effects["change"] == number]
        if rows.empty:
            continue
        lines = "".join(
            f"<tr><th scope=row>{escape(str(r['symbol']))}</th>"
            + "".join(_arrow(r[f"{m}_before"], r[f"{m}_after"]) for m in ("median", "sd", "P1", "P5"))
            + "</tr>"
            for _, r in rows.iterrows()
        )
        parts.append(
            f"<p>{rows['effective_draws'].iloc[0]:,.0f} effective draws after it. The asset it is about, and"
            " those that it moved most:</p><div class=wide><table class=plain><thead><tr><th>Symbol</th>"
            "<th>median, %</th><th>sd, %</th><th>lowest fifth, %</th><th>highest fifth, %</th></tr></thead>"
            f"<tbody>{lines}</tbody></table></div>"
        )
    if effects.empty:
        parts.append(
            "<p>What they did cannot be told: evidence went into the fit itself, or the file is of an older"
            " release.</p>"
        )
    return "".join(parts)


def _arrow(before: float, after: float) -> str:
    change = 100 * (after - before)
    kind = "up" if change > 0.05 else "down" if change < -0.05 else "same"
    return f'<td class="{kind}">{plain_zero(f"{100 * before:.1f}")} → {plain_zero(f"{100 * after:.1f}")}</td>'


def _risk_section(forecast: Forecast) -> str:
    decision = Decision.of(forecast)
    if decision is None:
        return "<p>No decision was taken with this forecast (<code>bdfm decide</code>).</p>"
    risk = decision.risk
    rows = "".join(
        f"<tr><th scope=row>{escape(str(name).replace('_', ' '))}</th>"
        + "".join(f"<td>{'' if np.isnan(x) else f'{100 * x:.3f}'}</td>" for x in row)
        + "</tr>"
        for name, row in zip(risk.table.index, risk.table.to_numpy(), strict=True)
    )
    blank = f"<p>{BLANK_ERROR}</p>" if risk.table["posterior_error"].isna().any() else ""
    held = decision.weights[decision.weights != 0]
    text = (
        f"<p>{escape(decision.title.capitalize())}: {counted(len(held), 'asset')}, sum of absolute weights"
        f" {held.abs().sum():.2f}. Over the span, in %; value at risk and expected shortfall at"
        f" {100 * risk.level:g} %. The Monte Carlo error is that of finitely many draws, the posterior error"
        " that of not knowing the parameters.</p>"
    )
    if decision.left_out:
        text += f"<p>Not traded, their return is fixed: {escape(', '.join(decision.left_out))}.</p>"
    return (
        f"{text}<div class=wide><table class=plain><thead><tr><th>measure</th><th>value</th>"
        f"<th>Monte Carlo error</th><th>posterior error</th></tr></thead><tbody>{rows}</tbody></table></div>"
        + blank
        + figure_html(contributions(decision), "contributions")
    )


def _model_section(forecast: Forecast, posterior: Posterior | None, table: pd.DataFrame) -> str:
    parts = [figure_html(dispersion(table), "dispersion")]
    if posterior is None:
        parts.append("<p>No posterior beside the forecast: no pictures of its factors.</p>")
    else:
        parts += [
            figure_html(factor_paths(posterior), "factors"),
            figure_html(volatility(posterior), "volatility"),
        ]
    return "".join(parts)


def verdict(posterior: Posterior | None, summary: Mapping[str, Any] | None) -> tuple[bool | None, str]:
    """Whether the fit is good, None where that is not known, and the sentence about it."""
    if posterior is not None:
        diagnosis = posterior.diagnose()
        return diagnosis.converged, f"Fit: {diagnosis.verdict}"
    found = (summary or {}).get("diagnostics")
    good = found.get("converged") if isinstance(found, Mapping) else None
    if not isinstance(good, bool):
        return None, "Fit: nothing is known of it, no posterior lies beside the forecast."
    return good, "Fit: the sampler has converged." if good else "Fit: the sampler has NOT converged."


def _diagnostics_section(posterior: Posterior | None, summary: Mapping[str, Any] | None) -> str:
    if posterior is not None:
        diagnosis = posterior.diagnose()
        kind = "good" if diagnosis.converged else "bad"
        advice = "".join(f"<li>{escape(a)}</li>" for a in diagnosis.advice)
        return f'<p class="{kind}">{escape(diagnosis.verdict)}</p>' + (f"<ul>{advice}</ul>" if advice else "")
    found = (summary or {}).get("diagnostics")
    if not isinstance(found, Mapping):
        return "<p>Unknown: neither a posterior nor a summary lies beside the forecast.</p>"
    rows = "".join(
        f"<tr><th scope=row>{escape(str(k).replace('_', ' '))}</th><td>{escape(_said(v))}</td></tr>"
        for k, v in found.items()
    )
    return f"<table class=plain><tbody>{rows}</tbody></table>"


def _said(value: object) -> str:
    return f"{value:,.5g}" if isinstance(value, float) else str(value)


def _reproduce_section(forecast: Forecast, summary: Mapping[str, Any] | None, run: str | None) -> str:
    facts = {
        k: v
        for k, v in forecast.attrs.items()
        if k not in ("decision", CLOSES) and not k.startswith("doubts_")
    }
    versions = (summary or {}).get("versions")
    if isinstance(versions, Mapping):
        facts["versions"] = ", ".join(f"{k} {v}" for k, v in versions.items())
    rows = "".join(
        f"<tr><th scope=row>{escape(str(k))}</th><td class=text>{escape(str(v))}</td></tr>"
        for k, v in facts.items()
    )
    text = f"<table class=plain><tbody>{rows}</tbody></table>"
    if run is None:
        return text + "<p>No run file beside the forecast.</p>"
    try:
        origin = tomllib.loads(run).get("data", {}).get("origin", "")
    except tomllib.TOMLDecodeError:
        origin = ""
    return (
        f"{text}<p>Save this as <code>month.toml</code> and run <code>bdfm run month.toml</code>"
        f"{escape(f' (origin {origin})') if origin else ''}:</p><pre>{escape(run)}</pre>"
    )
