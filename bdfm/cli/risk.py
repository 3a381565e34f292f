"""Command on risk models: ``risk``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdfm.cli.console import out, say_read
from bdfm.cli.options import Accept, Alias, CalendarMonths, DateFormat, DecimalMark, Prices, aliases_of
from bdfm.exposures.choices import Unit
from bdfm.risk.choices import Kind

if TYPE_CHECKING:
    import pandas as pd

    from bdfm.risk import RiskModel


def risk(
    prices: Prices,
    portfolio: Annotated[
        Path | None,
        typer.Option(
            help="File with columns symbol, weight and optionally portfolio; equal weights without it."
            " CASH, and what is missing to 1, is cash."
        ),
    ] = None,
    model: Annotated[
        list[Kind] | None, typer.Option(help="Which models, repeatable; all that the files allow without it.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Assets to take, repeatable; not the others.")
    ] = None,
    universe: Annotated[
        Path | None, typer.Option(help="The same as a file: CSV with columns symbol, asset_class.")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="Last day used, such as 2022-02-04.")] = None,
    period: Annotated[
        str | None,
        typer.Option(
            help="Period: 1d, 5d, 20d market days, 1w, 4w weeks, 1m a calendar month;"
            " 1w (1m where prices are monthly) if not given."
        ),
    ] = None,
    period_days: Annotated[
        int | None, typer.Option(min=1, help="Period in calendar days, from 7 on.")
    ] = None,
    calendar_months: CalendarMonths = False,
    window: Annotated[int, typer.Option(min=20, help="Periods used.")] = 104,
    half_life: Annotated[
        float | None, typer.Option(min=1, help="Periods after which one counts half.")
    ] = None,
    horizon: Annotated[float, typer.Option(min=0.01, help="Periods that the risk is over.")] = 4,
    factors: Annotated[
        Path | None,
        typer.Option(help="Time-series model: file of daily factor returns; RF is no factor."),
    ] = None,
    unit: Annotated[
        Unit, typer.Option(help="What the factor file holds; French's are in percent.")
    ] = Unit.decimal,
    sectors: Annotated[
        Path | None, typer.Option(help="Cross-sectional model: file with columns symbol, sector.")
    ] = None,
    posterior: Annotated[
        Path | None, typer.Option(help="posterior.nc of bdfm forecast: adds the Bayesian model.")
    ] = None,
    check: Annotated[bool, typer.Option("--validate", help="Validate each model; takes longer.")] = False,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for models, tables and pictures.")
    ] = None,
    accept: Accept = None,
) -> None:
    """Risk of portfolios by up to four models. And where it comes from."""
    from functools import partial

    from bdfm import _checks, _files
    from bdfm.data.doubts.door import doubt_aliases
    from bdfm.data.sources import read_prices, read_universe
    from bdfm.errors import BdfmError
    from bdfm.exposures import read_factors
    from bdfm.risk import compare
    from bdfm.risk.from_files import (
        equal_weights,
        estimator_from_files,
        fit_each,
        prices_until,
        read_portfolios,
        read_sectors,
        returns_to_fit,
        risk_from_posterior,
        told_of_cash,
    )
    from bdfm.risk.spans import one_span
    from bdfm.validation import validate

    names = aliases_of(alias)
    forms = {"date_format": date_format, "decimal_mark": decimal_mark}
    last = None if origin is None else _checks.as_date(origin, where="--origin", date_format=date_format)
    whole = read_prices(prices, **forms, aliases=names)
    say_read(whole)
    table = prices_until(whole, last)
    right = accept or ()
    length = one_span(
        table, period=period, period_days=period_days, calendar_months=calendar_months, accept=right
    )
    weights = None
    if portfolio is not None:
        symbols = [str(c) for c in table.columns]
        weights = read_portfolios(portfolio, symbols, aliases=names, decimal_mark=decimal_mark, accept=right)
    members = None if universe is None else read_universe(universe, aliases=names)
    known = None if factors is None else read_factors(factors, unit=unit.value, **forms, accept=None)
    groups = None if sectors is None else read_sectors(sectors, aliases=names)
    say_read(weights, members, known, groups)
    doubt_aliases(names, accept=right)
    taken = [*(only or []), *([] if members is None else members["symbol"])]
    known_to = {str(c) for c in table.columns}
    held = [] if weights is None else [str(c) for c in weights.columns[(weights != 0).any()] if c in known_to]
    chosen = returns_to_fit(table, length, window, only=taken, held=held, accept=right)
    returns, left_out, still = chosen
    if left_out:
        out.print(
            f"Left out for want of returns in the last {len(returns)} periods: {', '.join(left_out)}.",
            markup=False,
        )
    if lost := [s for s in still if s not in held]:
        out.print(f"Left out, since their prices never move: {', '.join(lost)}.", markup=False)
    if weights is None:
        weights = equal_weights(returns)
    for line in told_of_cash(weights, chosen):
        out.print(line, markup=False)
    weights = weights[[c for c in weights.columns if c in set(returns.columns)]]
    kinds = list(model or [k for k in Kind if k is not Kind.TIME_SERIES or factors is not None])
    fits = fit_each(
        {
            kind.value: partial(
                estimator_from_files,
                kind,
                table,
                returns,
                half_life,
                factors=known,
                sectors=None if groups is None else groups.set_index("symbol")["sector"],
                accept=right,
            )
            for kind in kinds
        },
        returns,
    )
    models: dict[str, RiskModel] = {name: own.scale_to(horizon) for name, own in fits.models.items()}
    if posterior is not None:
        models["Bayesian"] = risk_from_posterior(posterior, weights, table.index[-1])
    result = compare(models, weights)
    _show(result, models, fits.failures, length.words(horizon))
    reports = {}
    if check:
        for name, estimator in fits.estimators.items():
            size = max(20, len(returns) // 2)
            try:
                report = validate(
                    fits.models[name],
                    returns,
                    estimator=estimator,
                    window=size,
                    step=4,
                    progress=out.is_terminal,
                )
            except BdfmError as error:
                reports[name] = f"not validated: {error}"
            else:
                reports[name] = report.conclusion
            out.print(f"[bold]{name}[/bold]: {reports[name]}")
    if out_dir is not None:
        with _files.OutputFolder(out_dir) as folder:
            for name, own in models.items():
                own.save(folder / f"{name.lower()}.nc")
                own.decompose(weights).plot().savefig(folder / f"{name.lower()}.png", dpi=150)
            _files.write_text(folder / "risk.csv", result.to_csv())
            summary: dict[str, Any] = {
                "period": length.words(1),
                "models": {n: repr(m) for n, m in models.items()},
                "failures": fits.failures,
                "left_out": left_out,
                "without_risk": still,
                "validation": reports,
            }
            _files.write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        out.print(
            f"Models, pictures, risk.csv and summary.json are in {out_dir}.", markup=False, soft_wrap=True
        )


def _show(result: pd.DataFrame, models: dict[str, RiskModel], failures: dict[str, str], length: str) -> None:
    from rich.table import Table

    for name, own in models.items():
        out.print(f"{name}: {len(own.assets)} assets, {len(own.factors)} factors; {'; '.join(own.notes)}")
    table = Table(title=f"Volatility over {length} (Bayesian: over its own period), %")
    for column in ("portfolio", "model"):
        table.add_column(column)
    for column in ("volatility", "90 % interval", "systematic", "specific", "systematic share"):
        table.add_column(column, justify="right")
    ends = result.reindex(columns=["volatility_low", "volatility_high"])
    names = [(str(p), str(m)) for p, m in result.index]
    for (portfolio, model), (_, row), (low, high) in zip(
        names, result.iterrows(), ends.to_numpy(), strict=True
    ):
        interval = "" if low != low else f"{100 * low:.2f} to {100 * high:.2f}"
        table.add_row(
            portfolio,
            model,
            f"{100 * row['volatility']:.2f}",
            interval,
            f"{100 * row['systematic_volatility']:.2f}",
            f"{100 * row['specific_volatility']:.2f}",
            ""
            if row["systematic_share"] != row["systematic_share"]
            else f"{100 * row['systematic_share']:.0f}",
        )
    for name in failures:
        table.add_row("", name, "not made", *[""] * 4)
    out.print(table)
    for name, reason in failures.items():
        out.print(f"{name}: not made. {reason}", markup=False)


COMMANDS = (risk,)
