"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bdfm.inference.choices import Engine

if TYPE_CHECKING:
    from bdfm._symbols import Aliases

# Files
Prices = Annotated[Path, typer.Option(help="Daily adjusted closes: CSV, .xlsx or Parquet, wide or long.")]
Universe = Annotated[
    Path, typer.Option(help="File with symbol, asset_class and optionally name; or a list of symbols.")
]
Earnings = Annotated[Path | None, typer.Option(help="File with columns symbol, date.")]
Volatility = Annotated[
    Path | None,
    typer.Option(help="File of annual volatilities by day and symbol, implied by options, say."),
]
DateFormat = Annotated[
    str | None,
    typer.Option(help="How dates with two meanings are written: dmy, mdy, ymd, or such as %d/%m/%Y."),
]
DecimalMark = Annotated[
    str | None, typer.Option(help="Point or comma, . or , where the numbers of a file leave it open.")
]
Alias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OLD=NEW", help="What a symbol of the files is called; or a file of two columns. Repeatable."
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
ForecastFile = Annotated[Path, typer.Argument(metavar="FORECAST", help="A forecast.nc, or its folder.")]
OutForecast = Annotated[
    Path | None, typer.Option("--out", help="File to write; FORECAST itself, if not given.")
]
OutChanged = Annotated[
    Path | None,
    typer.Option("--out", help="File to write; a new one beside FORECAST, if not given: forecast_1.nc."),
]
ChangesFile = Annotated[Path | None, typer.Option("--file", help="TOML file with tables edits and views.")]

CalendarMonths = Annotated[bool, typer.Option(help="Periods are calendar months.")]
Accept = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RULE[:SYMBOL]",
        help="A doubt about the data that is right all the same, as its message names it. Repeatable.",
    ),
]

KeepDraws = Annotated[
    bool,
    typer.Option("--keep-draws", help="Write all predictive draws; else forecast.nc makes them anew."),
]

WarmFrom = Annotated[
    Path | None,
    typer.Option(help="Folder of an earlier forecast, from whose posterior the chains go on."),
]

Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Budget of memory, such as 4GB; half of the machine, if not given."),
]

# Where work is done
Workers = Annotated[int, typer.Option(min=1, help="Local processes.")]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")]

# The sampler
Draws = Annotated[
    str, typer.Option(metavar="N|auto", help="Kept draws of each chain; auto: sweeps until they suffice.")
]
Tune = Annotated[int, typer.Option(min=10, help="Adaptation draws of each chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Independent chains.")]
EngineName = Annotated[Engine, typer.Option(help="Sampler; auto takes the fastest that covers the model.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal results.")]


def aliases_of(given: list[str] | None) -> Aliases:
    """Aliases of the options ``--alias``: OLD=NEW, or files of them."""
    from bdfm._symbols import alias_of, check_aliases
    from bdfm.data.sources import read_aliases

    found: dict[str, str] = {}
    for text in given or []:
        if "=" not in text and Path(text).exists():
            found |= read_aliases(text)
        else:
            old, new = alias_of(text)
            found[old] = new
    return check_aliases(found, where="--alias")
