"""Command on risk models: ``risk``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdfm.cli.console import out, say_read
from bdfm.cli.options import Alias, DateFormat, DecimalMark, Prices, aliases_of
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
        ),
    ] = None,
    model: Annotated[
        list[Kind] | None, typer.Option(help="Which models, repeatable; all that the files allow without it.")
    ] = None,
    origin: Annotated[str | None, typer.Option(help="Last day used, such as 2022-02-04.")] = None,
    period_days: Annotated[int, typer.Option(min=1, help="Days of a period.")] = 7,
    window: Annotated[int, typer.Option(min=20, help="Periods used.")] = 104,
    half_life: Annotated[
        float | None, typer.Option(min=1, help="Periods after which one counts half.")
    ] = None,
    horizon: Annotated[float, typer.Option(min=0.01, help="Periods that the risk is over.")] = 4,
    factors: Annotated[
        Path | None,
        typer.Option(help="Time-series model: file of daily factor returns, decimals."),
    ] = None,
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
) -> None:
    """Risk of portfolios by up to four models. And where it comes from."""
    from bdfm import _checks, _files
    from bdfm.data.sources import read_prices
    from bdfm.risk import compare, simple_returns
    from bdfm.risk.from_files import estimator_from_files, read_portfolios, risk_from_posterior
    from bdfm.validation import validate

    aliases = aliases_of(alias)
    last = None if origin is None else _checks.as_date(origin, where="--origin", date_format=date_format)
    table = read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=aliases)
    say_read(table)
    if last is not None:
        table = table.loc[:last]
    returns = simple_returns(table, period_days=period_days).iloc[-window:]
    weights = read_portfolios(portfolio, returns, aliases=aliases, decimal_mark=decimal_mark)
    if portfolio is not None:
        say_read(weights)
    kinds = list(model or [k for k in Kind if k is not Kind.TIME_SERIES or factors is not None])
    estimators = {
        kind.value: estimator_from_files(
            kind,
            table,
            returns,
            half_life,
            factors=factors,
            sectors=sectors,
            date_format=date_format,
            decimal_mark=decimal_mark,
            aliases=aliases,
            say=say_read,
        )
        for kind in kinds
    }
    models: dict[str, RiskModel] = {name: e.fit(returns).scale_to(horizon) for name, e in estimators.items()}
    if posterior is not None:
        models["Bayesian"] = risk_from_posterior(posterior, weights)
    result = compare(models, weights)
    _show(result, models, period_days * horizon)
    reports = {}
    if check:
        for name, estimator in estimators.items():
            size = max(20, len(returns) // 2)
            report = validate(
                estimator.fit(returns),
                returns,
                estimator=estimator,
                window=size,
                step=4,
                progress=out.is_terminal,
            )
            reports[name] = report.conclusion
            out.print(f"[bold]{name}[/bold]: {report.conclusion}")
    if out_dir is not None:
        with _files.OutputFolder(out_dir) as folder:
            for name, own in models.items():
                own.save(folder / f"{name.lower()}.nc")
                own.decompose(weights).plot().savefig(folder / f"{name.lower()}.png", dpi=150)
            _files.write_text(folder / "risk.csv", result.to_csv())
            summary: dict[str, Any] = {
                "models": {n: repr(m) for n, m in models.items()},
                "validation": reports,
            }
            _files.write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
        out.print(
            f"Models, pictures, risk.csv and summary.json are in {out_dir}.", markup=False, soft_wrap=True
        )


def _show(result: pd.DataFrame, models: dict[str, RiskModel], days: float) -> None:
    from rich.table import Table

    for name, own in models.items():
        out.print(f"{name}: {len(own.assets)} assets, {len(own.factors)} factors; {'; '.join(own.notes)}")
    table = Table(title=f"Volatility over {days:g} days (Bayesian: over its own period), %")
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
            f"{100 * row['systematic_share']:.0f}",
        )
    out.print(table)


COMMANDS = (risk,)
