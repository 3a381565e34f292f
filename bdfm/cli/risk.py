"""Commands on risk models: ``risk``, ``stress``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bdfm.cli.book_options import BookOptions, with_options
from bdfm.cli.command import on_the_line
from bdfm.cli.console import out, say_read
from bdfm.cli.options import PortfolioFile, Prices, Seed, aliases_of
from bdfm.data.choices import MAX_HORIZON
from bdfm.errors import BdfmError, DataError
from bdfm.names import FORECAST_FILE


@with_options(BookOptions)
def risk(
    ctx: typer.Context,
    prices: Annotated[
        Path | None,
        typer.Option(
            help="Daily adjusted closes: CSV, .xlsx or Parquet, wide or long. Without them, with the"
            " --posterior of a model of market days: the next days alone."
        ),
    ] = None,
    portfolio: PortfolioFile = None,
    benchmark: Annotated[
        str | None,
        typer.Option(metavar="FILE|SYMBOL", help="What portfolios are compared with: adds active risk."),
    ] = None,
    hedge: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL", help="Instrument of a minimum-variance hedge, repeatable."),
    ] = None,
    hedge_limits: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH", help="Least and most of each instrument, in shares of the book: -0.5 0, say."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--validate", help="Validate each model; takes longer.")] = False,
    backtest: Annotated[
        int | None,
        typer.Option(
            min=20, metavar="PERIODS", help="Backtest value at risk and expected shortfall, walk-forward."
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(
            min=0.5, max=0.999, help="Of value at risk and expected shortfall: 0.95 is the worst twentieth."
        ),
    ] = 0.95,
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_HORIZON,
            help="Market days ahead, with the --posterior of a model of market days. 20, or as many as it"
            " has, if not given.",
        ),
    ] = None,
    seed: Seed = 1,
    *,
    options: BookOptions,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for models, tables and pictures.")
    ] = None,
) -> None:
    """Risk of portfolios by up to four models. Where it comes from, and what the next days hold."""
    from bdfm.cli import show_risk
    from bdfm.report import book_tables
    from bdfm.report.ahead import ahead_of_book, check_ahead
    from bdfm.report.book import book_of
    from bdfm.report.risk import validated, write_risk

    asked: dict[str, Any] = {
        "days": days,
        "level": level,
        "seed": seed,
        "accept": tuple(options.accept or ()),
    }
    if prices is None:
        others: dict[str, object] = {"--benchmark": benchmark, "--validate": check, "--backtest": backtest}
        others |= {"--hedge": hedge, "--hedge-limits": hedge_limits}
        _ahead_alone(portfolio, options, others, asked, out_dir)
        return
    request = options.request(prices, portfolio, benchmark=benchmark, instruments=tuple(hedge or ()))
    book = book_of(request, say=say_read)
    ahead_only = ["seed"] if backtest is not None else ["level", "seed"]
    check_ahead(book, {"--days": days} | {f"--{x}": asked[x] for x in ahead_only if on_the_line(ctx, x)})
    tested = None if backtest is None else book_tables.tested_returns(book, backtest)
    show_risk.left_out(book)
    show_risk.volatilities(book)
    tables: dict[str, Any] = {}
    found_assets = book_tables.asset_table(book)
    if len(found_assets):
        tables["assets"] = found_assets
        show_risk.assets(found_assets)
    if benchmark is not None:
        tables["active"] = book_tables.active_table(book)
        show_risk.active(tables["active"])
    if hedge:
        tables["hedge"] = book_tables.hedge_table(book, hedge, limits=hedge_limits)
        show_risk.hedges(tables["hedge"])
    priced, found = book_tables.pricing(book), book_tables.explained(book)
    show_risk.alphas(priced)
    show_risk.explained(found)
    reports = validated(book, progress=out.is_terminal) if check else {}
    for name, text in reports.items():
        out.print(f"[bold]{name}[/bold]: {text}")
    tails: dict[Any, Any] = {}
    if tested is not None:
        tails, failed = book_tables.tail_backtests(book, tested, level=level)
        show_risk.tails(tails, failed)
    ahead = None
    try:
        ahead = ahead_of_book(book, **asked)
    except BdfmError as error:  # the rest is worth having
        if days is not None:
            raise
        out.print(f"Next days: not worked out. {error}", markup=False, soft_wrap=True)
    if ahead is not None:
        show_risk.ahead(ahead)
    if out_dir is not None:
        rest: dict[str, Any] = {"reports": reports, "tails": tails, "ahead": ahead}
        write_risk(book, out_dir, tables=tables, priced=priced, explained=found, **rest)
        out.print(
            f"Models, pictures, tables and summary.json are in {out_dir}.", markup=False, soft_wrap=True
        )


def _ahead_alone(
    portfolio: Path | None,
    options: BookOptions,
    others: Mapping[str, object],
    asked: dict[str, Any],
    out_dir: Path | None,
) -> None:
    """Risk of the next days, of the file of a posterior and a portfolio."""
    from bdfm.cli import show_risk
    from bdfm.posterior.posterior import Posterior
    from bdfm.report.ahead import ahead_of, check_alone, write_ahead_alone

    if options.posterior is None:
        raise DataError(
            "options: --prices is missing. Give a file of daily closes; or --posterior of a model of market"
            " days, for the next days alone."
        )
    check_alone({**others, **options.given("posterior", "decimal_mark", "alias", "accept")})
    forms: dict[str, Any] = {"aliases": aliases_of(options.alias), "decimal_mark": options.decimal_mark}
    found = ahead_of(Posterior.load(options.posterior), portfolio, **asked, **forms)
    show_risk.ahead(found)
    if out_dir is not None:
        write_ahead_alone(found, out_dir)
        out.print(f"Tables, a picture and summary.json are in {out_dir}.", markup=False, soft_wrap=True)


@with_options(BookOptions)
def stress(
    prices: Prices,
    portfolio: PortfolioFile = None,
    window_of: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            metavar="FIRST..LAST",
            help="Past window, such as 2020-02-20..2020-03-23, or NAME=FIRST..LAST; repeatable."
            " September 2008, March 2020 and January 2022 if not given.",
        ),
    ] = None,
    shock: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FACTOR=MOVE",
            help='Such as "Mkt-RF=-10%, HML=2%" or "Mkt-RF=-2 sd"; repeatable. Each main factor falls by 2 sd'
            " if not given.",
        ),
    ] = None,
    alone: Annotated[
        bool, typer.Option("--alone", help="Factors that are not shocked stay; they go along otherwise.")
    ] = False,
    volatility: Annotated[
        float, typer.Option(min=0.01, help="New over old volatility of factors and specific returns.")
    ] = 1.5,
    correlation: Annotated[
        float, typer.Option(min=-1, max=1, help="How far correlations go to 1, or if negative to 0.")
    ] = 0.5,
    loss: Annotated[float, typer.Option(min=0.0001, help="That reverse stress asks for.")] = 0.1,
    forecast: Annotated[
        Path | None,
        typer.Option(help="Forecast or its folder: adds the mean of its draws that lose so much."),
    ] = None,
    *,
    options: BookOptions,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for a page, a picture and tables.")
    ] = None,
) -> None:
    """Stress of portfolios: past crashes, shocks to factors and to risk, and what it takes to lose."""
    from bdfm._folders import file_in
    from bdfm.cli import show_risk
    from bdfm.forecast.forecast import Forecast
    from bdfm.report.book import book_of
    from bdfm.report.stress import about, stress_of_book, write_stress
    from bdfm.risk.scenario_texts import parse_shock, parse_windows
    from bdfm.risk.stress_tests import Scenarios

    asked = Scenarios(
        windows=parse_windows(window_of) if window_of else None,
        shocks=[parse_shock(text) for text in shock] if shock else None,
        others_move=not alone,
        factor_volatility=volatility,
        specific_volatility=volatility,
        correlation=correlation,
        loss=loss,
    )
    loaded = None if forecast is None else Forecast.load(file_in(forecast, FORECAST_FILE))
    book = book_of(options.request(prices, portfolio), say=say_read)
    show_risk.left_out(book)
    show_risk.not_made(book)
    found = stress_of_book(book, asked, forecast=loaded)
    show_risk.stress(found, book)
    if out_dir is not None:
        names = write_stress(found, out_dir, about=about(book))
        out.print(f"{', '.join(names)} are in {out_dir}.", markup=False, soft_wrap=True)


COMMANDS = (risk, stress)
