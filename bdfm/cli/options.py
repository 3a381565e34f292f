"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bdfm.inference.choices import Engine

# Files
Prices = Annotated[Path, typer.Option(help="Daily adjusted closes: wide or long CSV, .csv.gz or Parquet.")]
Universe = Annotated[Path, typer.Option(help="CSV with columns symbol, asset_class and optionally name.")]
Earnings = Annotated[Path | None, typer.Option(help="CSV with columns symbol, date.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the results.")]
ForecastFile = Annotated[Path, typer.Argument(metavar="FORECAST", help="A forecast.nc, or its folder.")]
OutForecast = Annotated[
    Path | None, typer.Option("--out", help="File to write; FORECAST itself, if not given.")
]
ChangesFile = Annotated[Path | None, typer.Option("--file", help="TOML file with tables edits and views.")]

CalendarMonths = Annotated[bool, typer.Option(help="Periods are calendar months.")]

KeepDraws = Annotated[
    bool,
    typer.Option("--keep-draws", help="Write all predictive draws; else forecast.nc makes them anew."),
]

WarmFrom = Annotated[
    Path | None,
    typer.Option(help="Folder of an earlier forecast, from whose posterior the chains go on."),
]

# The sampler
Draws = Annotated[
    str, typer.Option(metavar="N|auto", help="Kept draws of each chain; auto: sweeps until they suffice.")
]
Tune = Annotated[int, typer.Option(min=10, help="Adaptation draws of each chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Independent chains.")]
EngineName = Annotated[Engine, typer.Option(help="Sampler; auto takes the fastest that covers the model.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal results.")]
