"""`bdfm exposures`: follow exposures by several methods, compare them, write files."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from bdfm import _checks, _files
from bdfm.data.sources import read_prices, read_universe
from bdfm.errors import DataError
from bdfm.exposures import (
    BayesianRandomWalk,
    Comparison,
    ConstantBetas,
    DCCGarch,
    ExposureData,
    ExposureMethod,
    Exposures,
    FactorVAE,
    KalmanBetas,
    PrincipalComponents,
    RollingOLS,
    choose_assets,
    compare,
    read_factors,
)

out = Console(highlight=False)

RISK_FREE = "RF"  # French's files carry it beside the factors


class Method(StrEnum):
    """Names of the methods on the command line."""

    constant = "constant"
    rolling = "rolling"
    kalman = "kalman"
    dcc = "dcc"
    bayes = "bayes"
    pca = "pca"
    vae = "vae"


class Unit(StrEnum):
    """What a file of factor returns holds."""

    percent = "percent"
    decimal = "decimal"


_DEFAULT = (Method.constant, Method.rolling, Method.kalman, Method.dcc)


def register(app: typer.Typer, interruptible: Callable[[], AbstractContextManager[None]]) -> None:
    """Add the command to the app; ``interruptible`` says what a Ctrl-C has left behind."""

    @app.command()
    def exposures(
        prices: Annotated[Path, typer.Option(help="Daily adjusted closes; every symbol on every day.")],
        factors: Annotated[Path, typer.Option(help="CSV of daily factor returns: date and one column each.")],
        unit: Annotated[Unit, typer.Option(help="What the factor file holds; French's are in percent.")],
        out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
        method: Annotated[
            list[Method] | None,
            typer.Option(help="Repeatable; constant, rolling, kalman and dcc if not given. vae needs torch."),
        ] = None,
        universe: Annotated[
            Path | None, typer.Option(help="CSV with symbol and asset_class: what to take, and its sectors.")
        ] = None,
        assets: Annotated[
            int | None,
            typer.Option(min=1, help="Random sample of this size over all classes of the universe."),
        ] = None,
        start: Annotated[str | None, typer.Option(help="First day of returns.")] = None,
        end: Annotated[str | None, typer.Option(help="Last day of returns.")] = None,
        window_days: Annotated[
            int, typer.Option(min=10, help="Window of rolling.")
        ] = RollingOLS().window_days,
        latents: Annotated[int, typer.Option(min=1, help="Latents of vae and components of pca.")] = 10,
        gamma: Annotated[float, typer.Option(min=0, help="Weight of vae's total correlation.")] = 6.0,
        seed: Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal results.")] = 1,
    ) -> None:
        """Follow daily exposures by several methods; compare their errors on the last 15 % of the days."""
        chosen = list(dict.fromkeys(method or _DEFAULT))
        methods: dict[Method, ExposureMethod] = {
            Method.constant: ConstantBetas(),
            Method.rolling: RollingOLS(window_days=window_days),
            Method.kalman: KalmanBetas(),
            Method.dcc: DCCGarch(),
            Method.bayes: BayesianRandomWalk(),
            Method.pca: PrincipalComponents(latents),
            Method.vae: FactorVAE(n_latents=latents, gamma=gamma),
        }
        data = _data(prices, factors, unit, universe, assets, start, end, seed)
        out.print(repr(data))
        with interruptible(), _files.OutputFolder(out_dir) as folder:
            results: dict[str, Exposures] = {}
            for key in chosen:
                result = methods[key].fit(data, seed=seed, progress=out.is_terminal)
                result.save(folder / f"exposures_{key.value}.nc")
                results[result.method] = result
                out.print(f"{result.method}: {result.details['seconds']:.1f} s")
            _write_comparison(compare(results, data), results, data, seed, folder)
        for name, text in {
            "exposures_METHOD.nc": "exposures by day, asset and factor: bdfm.exposures.Exposures.load",
            "comparison.csv": "errors of all methods",
            "comparison.png": "the same as a picture",
            "summary.json": "data, settings, seconds",
        }.items():
            out.print(f"{out_dir / name!s}  {text}", soft_wrap=True, markup=False)


def _data(
    prices: Path,
    factors: Path,
    unit: Unit,
    universe: Path | None,
    n_assets: int | None,
    start: str | None,
    end: str | None,
    seed: int,
) -> ExposureData:
    table = read_prices(prices)
    returns = read_factors(factors, unit=unit.value).drop(columns=RISK_FREE, errors="ignore")
    sectors: pd.Series[Any] | None = None
    if universe is not None:
        members = read_universe(universe)
        _checks.known(members["symbol"], list(table.columns), what="symbol", where="universe")
        sectors = members.set_index("symbol")["asset_class"]
        table = table[list(sectors.index)]
    if n_assets is not None:
        if sectors is None:
            raise DataError("options: --assets draws from the classes of a universe. Give --universe too.")
        table = table[choose_assets(sectors, n_assets, seed=seed)]
    return ExposureData.from_prices(table, returns, sectors=sectors, start=start, end=end)


def _write_comparison(
    comparison: Comparison,
    results: dict[str, Exposures],
    data: ExposureData,
    seed: int,
    folder: _files.OutputFolder,
) -> None:
    table = comparison.table()
    _files.write_text(folder / "comparison.csv", table.to_csv())
    comparison.plot().savefig(folder / "comparison.png", dpi=150)
    summary = {
        "assets": list(data.assets),
        "factors": list(data.factor_names),
        "days": {
            part: data.days_of(part).stop - data.days_of(part).start
            for part in ("training", "validation", "test")
        },
        "test": [f"{comparison.days[0]:%Y-%m-%d}", f"{comparison.days[-1]:%Y-%m-%d}"],
        "seed": seed,
        "methods": {name: dict(result.details) for name, result in results.items()},
    }
    _files.write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    shown = Table(title=f"Mean squared error, {len(comparison.days)} test days", box=None)
    for column in ("method", "reconstruction", "prediction", "of variance explained"):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for name, row in table.iterrows():
        shown.add_row(
            str(name),
            f"{row['reconstruction_standardised']:.4f}",
            f"{row['prediction_standardised']:.4f}",
            f"{row['prediction_r2']:.1%}",
        )
    out.print(shown)
    out.print("1 is an asset's variance in the training part. A reconstruction has seen the day itself.")
