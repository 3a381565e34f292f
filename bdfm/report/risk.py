"""Files of a book's risk: models, tables, pictures, and what validation says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bdfm import _files, _folders, _json
from bdfm.errors import BdfmError
from bdfm.report import book_tables
from bdfm.report.ahead import write_ahead
from bdfm.report.book import Book
from bdfm.report.book_meaning import explanation, meanings, realised
from bdfm.risk.ahead import RiskAhead
from bdfm.risk.book import compare
from bdfm.risk.pricing import Pricing
from bdfm.risk.principal import Components
from bdfm.validation.report import validate
from bdfm.validation.tail_backtest import TailBacktest
from bdfm.validation.tail_tables import plot_tails, tail_table


def validated(book: Book, *, progress: bool = False) -> dict[str, str]:
    """Conclusion of ``validate`` for each model that was fitted, or why there is none."""
    said = {}
    for name, estimator in book.fits.estimators.items():
        size = max(20, len(book.returns) // 2)
        try:
            found = validate(
                book.fits.models[name],
                book.returns,
                estimator=estimator,
                window=size,
                step=4,
                progress=progress,
            )
        except BdfmError as error:
            said[name] = f"not validated: {error}"
        else:
            said[name] = found.conclusion
    return said


def write_risk(
    book: Book,
    folder: Path,
    *,
    tables: Mapping[str, pd.DataFrame],
    priced: Pricing | None,
    explained: Components | None,
    reports: Mapping[str, str],
    tails: Mapping[tuple[str, str], TailBacktest],
    ahead: RiskAhead | None = None,
) -> None:
    """Write models, a CSV and a picture of each table, and ``summary.json`` with all of it; all or none."""
    result = compare(book.models, book.weights)
    with _folders.OutputFolder(folder, made_by="risk") as files:
        for name, own in book.models.items():
            own.save(files / f"{name.lower()}.nc")
            own.decompose(book.weights).plot().savefig(files / f"{name.lower()}.png", dpi=150)
        whole = {"risk": result, "own_returns": realised(book), **tables}
        if "assets" in tables:
            book_tables.plot_assets(tables["assets"]).savefig(files / "assets.png", dpi=150)
        if "active" in tables:
            book_tables.plot_pairs(
                tables["active"], "volatility", "active_volatility", "Volatility, alone and active, %"
            ).savefig(files / "active.png", dpi=150)
        if "hedge" in tables:
            book_tables.plot_pairs(
                tables["hedge"], "volatility", "hedged_volatility", "Volatility before and after the hedge, %"
            ).savefig(files / "hedge.png", dpi=150)
        summary: dict[str, Any] = {
            "period": book.length.words(1),
            "horizon": book.span,
            "models": {n: repr(m) for n, m in book.models.items()},
            "meanings": meanings(book),
            "why_models_differ": explanation(book, result),
            "failures": book.fits.failures,
            "left_out": book.left_out,
            "without_risk": book.without_risk,
            "validation": dict(reports),
        }
        if priced is not None:
            whole |= {"alphas": priced.alphas, "betas": priced.betas, "premia": priced.premia}
            summary["all_alphas_zero"] = {
                "F": priced.grs, "p_value": priced.grs_p_value, "freedom": list(priced.grs_freedom)
            }  # fmt: skip
            book_tables.plot_alphas(priced).savefig(files / "alphas.png", dpi=150)
        if explained is not None:
            whole |= {"components": explained.table, "loadings": explained.loadings}
            explained.plot().savefig(files / "components.png", dpi=150)
        if tails:
            whole["backtest"] = tail_table(tails)
            plot_tails(tails).savefig(files / "backtest.png", dpi=150)
            series = pd.concat({k: t.series for k, t in tails.items()}, names=["portfolio", "model"])
            _files.write_table(files / "backtest_series.csv", series)
        if ahead is not None:
            write_ahead(ahead, files)
        for name, table in whole.items():
            _files.write_table(files / f"{name}.csv", table)
        summary["tables"] = book_tables.records({k: t for k, t in whole.items() if k != "loadings"})
        _files.write_text(files / "summary.json", _json.text(summary, indent=2) + "\n")
