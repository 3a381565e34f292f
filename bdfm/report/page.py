"""A forecast as one HTML page that needs no network: tables, pictures, changes, risk, diagnostics.

Everything that comes from a file is escaped, and the page forbids itself to load anything.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bdfm import _checks, _files
from bdfm._optional import optional
from bdfm.errors import FileError
from bdfm.forecast.forecast import CLOSES, Forecast
from bdfm.names import (
    FORECAST_FILE,
    MADE_FILE,
    POSTERIOR_FILE,
    REPORT_FILE,
    RUN_FILE,
    SUMMARY_FILE,
)
from bdfm.portfolio.decisions import Decision
from bdfm.posterior.posterior import Posterior
from bdfm.report.pictures import (
    FIFTHS,
    contributions,
    dispersion,
    factor_paths,
    figure_html,
    heatmap,
    volatility,
)


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write the report of a folder of results; returns its path.

    Parameters
    ----------
    folder
        Folder with ``forecast.nc``, or another forecast in such a folder; ``posterior.nc``, ``summary.json``
        and ``month.toml`` or ``run.toml`` are used if there.
    path
        Of the page; ``report.html`` in the folder unless given, of ``forecast_1.nc`` ``report_1.html``.

    Raises
    ------
    FileError
        No forecast there, a file that cannot be read, or a page that cannot be written.
    MissingDependencyError
        plotly is not installed.
    """
    folder, file = Path(folder), FORECAST_FILE
    if folder.is_file():
        folder, file = folder.parent, folder.name
    if not folder.is_dir():
        raise FileError(f"report: {folder} is no folder. Give the folder that a run or forecast wrote.")
    forecast = Forecast.load(folder / file)
    there = (folder / POSTERIOR_FILE).exists()
    posterior = Posterior.load(folder / POSTERIOR_FILE) if there else None
    summary = _read_summary(folder / SUMMARY_FILE)
    files = [f for f in (folder / RUN_FILE, folder / MADE_FILE) if f.exists()]
    run = _checks.existing_text(files[0], what="run file") if files else None
    stem = Path(file).stem.replace(Path(FORECAST_FILE).stem, Path(REPORT_FILE).stem, 1)
    target = folder / f"{stem}{Path(REPORT_FILE).suffix}" if path is None else Path(path)
    _files.write_text(target, report_html(forecast, posterior=posterior, summary=summary, run=run))
    return target


def report_html(
    forecast: Forecast,
    *,
    posterior: Posterior | None = None,
    summary: Mapping[str, Any] | None = None,
    run: str | None = None,
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
    """
    plotly = optional("plotly.offline", what="report").get_plotlyjs()
    table = forecast.summary()
    sections = [
        ("Forecast", _forecast_section(forecast, table)),
        ("Heat map", figure_html(heatmap(table), "heatmap")),
        ("Views and edits", _changes_section(forecast)),
        ("Decision and risk", _risk_section(forecast)),
        ("Factors and volatility", _model_section(forecast, posterior, table)),
        ("Diagnostics", _diagnostics_section(posterior, summary)),
        ("How to reproduce", _reproduce_section(forecast, summary, run)),
    ]
    title = f"Forecast {forecast.origin:%Y-%m-%d} to {forecast.end:%Y-%m-%d}"
    body = "".join(
        f'<section id="s{k}"><h2>{escape(name)}</h2>{html}</section>'
        for k, (name, html) in enumerate(sections)
    )
    links = "".join(f'<a href="#s{k}">{escape(name)}</a>' for k, (name, _) in enumerate(sections))
    return _PAGE.format(
        title=escape(title),
        style=_STYLE,
        plotly=plotly,
        links=links,
        body=body,
        script=_SCRIPT,
    )


def _read_summary(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileError(f"{path}: not valid JSON ({error}). Delete it, or run the month again.") from error
    return found if isinstance(found, dict) else None


# -- sections ----------------------------------------------------------------------------------------------


def _forecast_section(forecast: Forecast, table: pd.DataFrame) -> str:
    effective = forecast.effective_draws
    facts = [
        f"{len(table)} assets",
        f"{forecast.n_draws:,} draws"
        + ("" if effective > forecast.n_draws - 1 else f", {effective:,.0f} effective"),
        f"{len(forecast.records)} views and edits" if forecast.records else "no views or edits",
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
        cells += [f'<td data-v="{row[c]:.6f}">{100 * row[c]:.1f}</td>' for c in percent]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    kinds = ["symbol", "name", "class", *["p"] * (len(heads) - 3)]
    head = "".join(
        f'<th scope=col class="{kind}"><button type=button>{escape(title)}</button></th>'
        for kind, title in zip(kinds, heads, strict=True)
    )
    return (
        f"<p>{escape(', '.join(facts))}. Probability in % that an asset's return ranks in each fifth of the"
        " assets, and quantiles of its return in %. Click a column to sort.</p>"
        '<p class=tools><label>Search <input id=search type=search placeholder="symbol, name, class"></label>'
        f" <span id=shown role=status>{len(rows)} of {len(rows)}</span></p>"
        f"<div class=wide><table id=assets><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}"
        "</tbody></table></div>"
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
    return f'<td class="{kind}">{100 * before:.1f} → {100 * after:.1f}</td>'


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
    held = decision.weights[decision.weights != 0]
    text = (
        f"<p>{escape(decision.title.capitalize())}: {len(held)} assets, sum of absolute weights"
        f" {held.abs().sum():.2f}. Over the span, in %; value at risk and expected shortfall at"
        f" {100 * risk.level:g} %. The Monte Carlo error is that of finitely many draws, the posterior error"
        " that of not knowing the parameters.</p>"
    )
    if decision.left_out:
        text += f"<p>Not traded, their return is fixed: {escape(', '.join(decision.left_out))}.</p>"
    return (
        f"{text}<div class=wide><table class=plain><thead><tr><th>measure</th><th>value</th>"
        f"<th>Monte Carlo error</th><th>posterior error</th></tr></thead><tbody>{rows}</tbody></table></div>"
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
        f"<tr><th scope=row>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in found.items()
    )
    return f"<table class=plain><tbody>{rows}</tbody></table>"


def _reproduce_section(forecast: Forecast, summary: Mapping[str, Any] | None, run: str | None) -> str:
    facts = {k: v for k, v in forecast.attrs.items() if k not in ("decision", CLOSES)}
    versions = (summary or {}).get("versions")
    if isinstance(versions, Mapping):
        facts["versions"] = ", ".join(f"{k} {v}" for k, v in versions.items())
    rows = "".join(
        f"<tr><th scope=row>{escape(str(k))}</th><td>{escape(str(v))}</td></tr>" for k, v in facts.items()
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


# -- the page ----------------------------------------------------------------------------------------------

_STYLE: Final = """
:root{--ink:#1c2530;--soft:#5c6b73;--line:#dfe4e8;--page:#fff}
*{box-sizing:border-box}
body{margin:0;font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--page)}
header,section{max-width:1100px;margin:0 auto;padding:0 16px}
header{padding-top:20px}
h1{font-size:24px;margin:0 0 6px}h2{font-size:19px;margin:34px 0 8px;border-bottom:1px solid var(--line)}
h3{font-size:15px;margin:18px 0 4px}
nav{display:flex;flex-wrap:wrap;gap:4px 14px}nav a{color:#3b6fb6}
.wide{overflow-x:auto;max-height:75vh;overflow-y:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
#assets{width:100%}
th,td{padding:3px 7px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
tbody th,.symbol,.name,.class{text-align:left}td.name{max-width:260px;overflow:hidden;text-overflow:ellipsis}
thead th{position:sticky;top:0;background:#f3f5f7;z-index:1}
thead button{all:unset;cursor:pointer;font-weight:600}
thead button:focus-visible{outline:2px solid #3b6fb6}
th[aria-sort=ascending] button:after{content:" \\25B2"}
th[aria-sort=descending] button:after{content:" \\25BC"}
.plain td,.plain th{white-space:normal}.plain tbody th{font-weight:500}
.up{color:#a8432d}.down{color:#2f5c9a}.same{color:var(--soft)}
.good{color:#2f7a48;font-weight:600}.bad{color:#a8432d;font-weight:600}
.tools{display:flex;gap:14px;align-items:center;flex-wrap:wrap}input{font:inherit;padding:4px 8px}
pre{background:#f3f5f7;padding:12px;overflow-x:auto;font-size:12.5px}
.figure{margin:10px 0}
footer{max-width:1100px;margin:30px auto;padding:0 16px;color:var(--soft);font-size:13px}
@media (max-width:640px){body{font-size:14px}.name,.class{display:none}
th,td{padding:3px 5px}h1{font-size:20px}}
@media print{nav,.tools{display:none}.wide{overflow:visible;max-height:none}thead th{position:static}
section{break-inside:auto}tr,.figure{break-inside:avoid}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""

_SCRIPT: Final = """
(function(){
  const table=document.getElementById('assets'),body=table.tBodies[0],heads=[...table.tHead.rows[0].cells];
  const rows=[...body.rows],search=document.getElementById('search'),shown=document.getElementById('shown');
  const value=function(row,k){const c=row.cells[k];
    return c.dataset.v===undefined?c.textContent:parseFloat(c.dataset.v)};
  heads.forEach(function(head,k){head.firstElementChild.addEventListener('click',function(){
    const numeric=typeof value(rows[0],k)==='number';
    const now=head.getAttribute('aria-sort');
    const up=now===null?!numeric:now==='descending';
    heads.forEach(function(h){h.removeAttribute('aria-sort')});
    head.setAttribute('aria-sort',up?'ascending':'descending');
    rows.sort(function(a,b){const x=value(a,k),y=value(b,k);
      const d=numeric?x-y:x.localeCompare(y);return up?d:-d});
    rows.forEach(function(r){body.appendChild(r)});
  })});
  search.addEventListener('input',function(){
    const wanted=search.value.trim().toLowerCase();let n=0;
    rows.forEach(function(r){
      const text=[0,1,2].map(function(k){return r.cells[k].textContent}).join(' ').toLowerCase();
      const hit=text.includes(wanted);r.hidden=!hit;if(hit)n+=1});
    shown.textContent=n+' of '+rows.length;
  });
})();
"""

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; \
style-src 'unsafe-inline'; img-src data: blob:; font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style><script>{plotly}</script></head>
<body><header><h1>{title}</h1><nav>{links}</nav></header>
<main>{body}</main>
<footer>Made by bdfm. Probabilities are those of a model; nothing here is investment advice.</footer>
<script>{script}</script></body></html>
"""
