"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bdfm.data.choices import MAX_DAYS
from bdfm.exposures.choices import Unit
from bdfm.inference.choices import Engine
from bdfm.risk.choices import Kind

if TYPE_CHECKING:
    from bdfm._symbols import Aliases

# Files
Prices = Annotated[Path, typer.Option(help="Daily adjusted closes: CSV, .xlsx or Parquet, wide or long.")]
Universe = Annotated[
    Path | None,
    typer.Option(help="File with symbol, asset_class and optionally name; or a list of symbols. Needed."),
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

# A book and its risk models
PortfolioFile = Annotated[
    Path | None,
    typer.Option(
        "--portfolio",
        help="File with columns symbol, weight and optionally portfolio; equal weights without it."
        " CASH, and what is missing to 1, is cash.",
    ),
]
Kinds = Annotated[
    list[Kind] | None,
    typer.Option("--model", help="Kinds of risk models, repeatable; all that the files allow without it."),
]
Only = Annotated[
    list[str] | None, typer.Option(metavar="SYMBOL", help="Assets to take, repeatable; not the others.")
]
Members = Annotated[
    Path | None,
    typer.Option(help="Assets to take, as a file: columns symbol, asset_class, or symbols alone."),
]
Origin = Annotated[str | None, typer.Option(help="Last day used, such as 2022-02-04.")]
Period = Annotated[
    str | None,
    typer.Option(
        help="Period: 1d, 5d, 20d market days, 1w, 4w weeks, 1m a calendar month;"
        " 1w (1m where prices are monthly) if not given."
    ),
]
PeriodDays = Annotated[
    int | None, typer.Option(min=1, max=MAX_DAYS, help="Period in calendar days, from 7 on.")
]
Window = Annotated[int, typer.Option(min=20, max=MAX_DAYS, help="Last periods that models are fitted to.")]
HalfLife = Annotated[float | None, typer.Option(help="Periods after which one counts half, from 2 on.")]
Horizon = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=10_000,
        help="Periods that the risk is over. If not given: one of a period that was, or else four weeks (a"
        " month where prices are monthly).",
    ),
]
Factors = Annotated[
    Path | None,
    typer.Option(help="Time-series model: file of daily factor returns; RF is no factor."),
]
FactorUnit = Annotated[Unit, typer.Option(help="What the factor file holds; French's are in percent.")]
Sectors = Annotated[
    Path | None,
    typer.Option(help="Cross-sectional model: file with columns symbol, sector; share for parts."),
]
Countries = Annotated[
    Path | None,
    typer.Option(help="Cross-sectional model: file with columns symbol, country; share for parts."),
]
Estimation = Annotated[
    Path | None,
    typer.Option(help="Cross-sectional model: file of symbols that factor returns are estimated from."),
]
PosteriorFile = Annotated[
    Path | None,
    typer.Option("--posterior", help="Folder or posterior.nc of bdfm forecast: adds the Bayesian model."),
]

ExposuresFile = Annotated[
    Path | None,
    typer.Option("--exposures", help="exposures_METHOD.nc of bdfm exposures: adds a model of theirs."),
]

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
    typer.Option(
        help="Folder of an earlier forecast, whose draws are moved on instead of fitting anew; or of several,"
        " of which the nearest is taken."
    ),
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
NDraws = Annotated[int, typer.Option(min=100, help="Predictive draws of a forecast.")]
Chains = Annotated[int, typer.Option(min=1, help="Independent chains.")]
EngineName = Annotated[Engine, typer.Option(help="Sampler; auto takes the fastest that covers the model.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed; equal seeds give equal results.")]


def draws_of(text: str) -> int | str:
    """Number of draws that a text means, or "auto"; other texts stay as they are, to be refused."""
    return int(text) if text.strip().isdecimal() else text.strip()


def aliases_of(given: list[str] | None) -> Aliases:
    """Aliases of the options ``--alias``: OLD=NEW, or files of them."""
    from bdfm import _checks
    from bdfm._symbols import alias_of, check_aliases
    from bdfm.data.sources import read_aliases

    pairs: list[tuple[str, str]] = []
    for text in given or []:
        if "=" not in text and _checks.there(Path(text)):
            pairs += read_aliases(text).items()
        else:
            pairs.append(alias_of(text))
    return check_aliases(pairs, where="--alias")
