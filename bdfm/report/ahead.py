"""Risk of a book for the next days, of a posterior's file: read, written, and as a section of the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from bdfm import _checks, _files, _folders, _json
from bdfm._symbols import Aliases
from bdfm.errors import BdfmError, DataError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import Decision
from bdfm.posterior.posterior import Posterior
from bdfm.report.book_tables import records
from bdfm.risk.ahead import DAYS, MEASURES, N_DRAWS, RiskAhead, risk_ahead
from bdfm.risk.from_files import read_portfolios

if TYPE_CHECKING:
    from bdfm.report.book import Book

SHOWN: Final = (1, 2, 3, 5, 10, 15, 20)  # days that tables on screen hold; files hold all
_PAGE_DRAWS: Final = 20_000


def ahead_of(
    posterior: Posterior,
    portfolio: Path | pd.DataFrame | None,
    *,
    days: int | None,
    level: float,
    seed: int,
    aliases: Aliases | None = None,
    decimal_mark: str | None = None,
    accept: Collection[str] | None = (),
    n_draws: int = N_DRAWS,
) -> RiskAhead:
    """Risk of portfolios of a file, of a table (portfolio, asset), or of equal weights of all assets.

    ``days``: 20, or as many as the posterior's panel has, unless given. Errors are those of ``risk_ahead``
    and ``read_portfolios``.
    """
    panel = posterior.panel
    if portfolio is None:
        live = [a for a in panel.assets if a not in panel.zero]
        books = pd.DataFrame(1.0 / len(live), index=["equal"], columns=live)
    elif isinstance(portfolio, pd.DataFrame):
        books = portfolio
    else:
        books = read_portfolios(
            portfolio, panel.assets, aliases=aliases, decimal_mark=decimal_mark, accept=accept
        )
    n = min(DAYS, panel.n_future) if days is None else days
    return risk_ahead(posterior, books, days=n, level=level, seed=seed, n_draws=n_draws)


def ahead_of_book(
    book: Book, *, days: int | None, level: float, seed: int, accept: Collection[str] | None = ()
) -> RiskAhead | None:
    """Risk of a book's portfolios in the next days; None without a posterior of market days."""
    posterior = _posterior_of_days(book)
    if posterior is None:
        return None
    return ahead_of(posterior, book.weights, days=days, level=level, seed=seed, accept=accept)


def _posterior_of_days(book: Book) -> Posterior | None:
    """Posterior of a book whose periods are market days; None without one."""
    posterior = book.posterior
    return posterior if posterior is not None and posterior.model.conditions_paths else None


def check_ahead(book: Book, given: Mapping[str, object]) -> None:
    """Refuse options, by name, that only the next days need, of a book without a posterior of days."""
    named = next(((name, x) for name, x in given.items() if x is not None), None)
    if named is not None and _posterior_of_days(book) is None:
        name, value = named
        raise DataError(f"{name} {value}: needs the --posterior of a model of market days, such as daily.")


def check_alone(given: Mapping[str, object]) -> None:
    """Refuse options that mean nothing without prices; ``given`` holds what came, by name."""
    named = [name for name, value in given.items() if value]
    if named:
        raise DataError(
            f"options: {_checks.first(named)}, and no --prices. Add --prices; without it, --posterior alone"
            " says what is at risk in the next days."
        )


def write_ahead(found: RiskAhead, files: _folders.OutputFolder) -> None:
    """Write ``ahead.csv``, ``ahead.png``, and where there are any ``announcements.csv``."""
    _files.write_table(files / "ahead.csv", found.table)
    found.plot().savefig(files / "ahead.png", dpi=150)
    if len(found.announcements):
        _files.write_table(files / "announcements.csv", found.announcements)


def write_ahead_alone(found: RiskAhead, folder: Path) -> None:
    """The same, and ``summary.json`` with all of it, into a folder of their own; all or none."""
    summary = {
        "origin": f"{found.origin:%Y-%m-%d}",
        "level": found.level,
        "portfolios": found.portfolios,
        "tables": records({"ahead": found.table, "announcements": found.announcements}),
    }
    with _folders.OutputFolder(folder, made_by="risk") as files:
        write_ahead(found, files)
        text = _json.text(summary, indent=2, default=lambda day: f"{day:%Y-%m-%d}")
        _files.write_text(files / "summary.json", text + "\n")


def ahead_section(forecast: Forecast, posterior: Posterior | None) -> str:
    """HTML of the next days' risk of the decision's weights, or of equal ones; blank for other models."""
    if posterior is None or not posterior.model.conditions_paths:
        return ""
    decision = Decision.of(forecast)
    books = None
    if decision is not None:
        books = pd.DataFrame([decision.weights.to_dict()], index=[decision.title])
        books = books.loc[:, (books != 0).any()]
    n = min(DAYS, posterior.panel.n_future)
    try:
        found = ahead_of(posterior, books, days=n, level=0.95, seed=0, n_draws=_PAGE_DRAWS)
    except BdfmError as error:  # evidence that few of these draws agree with, or a pool
        return f"<h3>Next days</h3><p>Not worked out: {escape(str(error))}</p>"
    name = found.portfolios[0]
    given = f", given that {'; '.join(e.words for e in posterior.evidence)}" if posterior.evidence else ""
    columns = ("value", "posterior_error")
    values = [100 * found.measure(m)[[*columns]].astype(float).to_numpy() for m in MEASURES]
    rows = "".join(
        f"<tr><th scope=row>{d}</th>"
        + "".join(f"<td>{x[d - 1, 0]:.2f} ± {x[d - 1, 1]:.2f}</td>" for x in values)
        + "</tr>"
        for d in SHOWN
        if d <= n
    )
    heads = "".join(f"<th>{escape(text)}</th>" for text in MEASURES.values())
    first = found.announcements.head(20).reset_index()[["symbol", "end", "volatility", "without"]]
    told = ", ".join(
        f"{symbol} on {end:%Y-%m-%d} ({100 * there:.1f} % instead of {100 * without:.1f} %)"
        for symbol, end, there, without in first.to_numpy().tolist()
    )
    announced = f"<p>Announcements, and volatility of the day: {escape(told)}.</p>" if told else ""
    return (
        f"<h3>Next days</h3><p>{escape(name.capitalize())}, of the fit without edits and views"
        f"{escape(given)}, in % with posterior errors; value at risk and expected shortfall at 95 %.</p>"
        "<div class=wide>"
        f"<table class=plain><thead><tr><th>market day</th>{heads}</tr></thead><tbody>{rows}</tbody>"
        f"</table></div>{announced}"
    )
