"""Command on data: ``check``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bdfm.cli.console import err, out, say_read
from bdfm.cli.options import Accept, Alias, DateFormat, DecimalMark, Earnings, Prices, aliases_of
from bdfm.exposures.choices import Unit


def check(
    prices: Prices,
    universe: Annotated[
        Path | None, typer.Option(help="File with columns symbol, asset_class: look at these assets alone.")
    ] = None,
    factors: Annotated[Path | None, typer.Option(help="File of daily factor returns.")] = None,
    unit: Annotated[Unit, typer.Option(help="What the factor file holds.")] = Unit.decimal,
    earnings: Earnings = None,
    portfolio: Annotated[Path | None, typer.Option(help="File with columns symbol, weight.")] = None,
    origin: Annotated[
        str | None, typer.Option(help="Day of a forecast: nothing later is looked at, and all must be alive.")
    ] = None,
    zero: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Asset of zero return, which may have ended.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder for the findings and a picture of coverage.")
    ] = None,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    accept: Accept = None,
) -> None:
    """Say what is doubtful in tables. Exit code 0 for nothing, 1 for warnings, 2 for what is refused."""
    from bdfm.report.check import check_files, write_check

    tables, found = check_files(
        prices=prices,
        universe=universe,
        factors=factors,
        unit=unit.value,
        earnings=earnings,
        portfolio=portfolio,
        origin=origin,
        inactive=tuple(zero or ()),
        accept=accept or (),
        date_format=date_format,
        decimal_mark=decimal_mark,
        aliases=aliases_of(alias),
    )
    read = (tables.prices, tables.universe, tables.factors, tables.earnings, tables.portfolio)
    say_read(*read, to=err if as_json else out)
    if out_dir is not None:
        write_check(tables, found, out_dir)
    if as_json:
        sys.stdout.write(found.to_json() + "\n")
    else:
        if len(found):
            out.print(found.rich_table())
        out.print(repr(found)[1:-1], markup=False)
        if out_dir is not None:
            names = "findings.json, findings.html and coverage.png"
            out.print(f"{names} are in {out_dir}.", markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)


COMMANDS = (check,)
