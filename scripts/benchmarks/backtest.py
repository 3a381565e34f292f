"""Models and all baselines over past origins, compared: the headline table of backtests.

    python scripts/benchmarks/backtest.py --prices FILE --universe FILE [--earnings FILE] --out FOLDER
        [--model m6]... [--only BASELINE]... [--first 2012-03-16] [--last 2022-01-07]
        [--workers 1] [--cores 2] [--seeds 1] [--late]

With two seeds it also tells the Monte Carlo error of each mean RPS, with --late whether data that come one
period late would score better. What is done is kept: the same command goes on where it stopped.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import bdfm
from bdfm.backtest import (
    Late,
    MarketData,
    ModelForecaster,
    Run,
    baselines,
    compare,
    lateness,
    origin_dates,
    walk_forward,
)
from bdfm.backtest.models import BACKTEST_SAMPLER
from bdfm.backtest.protocol import Forecaster

out = Console(highlight=False)


def model_forecaster(name: str, cores: int) -> Forecaster:
    """Forecaster of a preset or a TOML file."""
    if name.endswith(".toml"):
        model = bdfm.FactorModel.from_toml(Path(name))
    else:
        model = bdfm.FactorModel.from_preset(name)
    return ModelForecaster(model, sampler=BACKTEST_SAMPLER.model_copy(update={"cores": cores}))


def main(
    prices: Annotated[Path, typer.Option()],
    universe: Annotated[Path, typer.Option()],
    folder: Annotated[Path, typer.Option("--out")],
    earnings: Path | None = None,
    model: Annotated[list[str] | None, typer.Option(help="Model or TOML file. Repeatable.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Baseline, instead of all. Repeatable.")] = None,
    first: str = "2012-03-16",
    last: str = "2022-01-07",
    workers: int = 1,
    cores: int = 2,
    seeds: int = 1,
    late: bool = False,
) -> None:
    """Run models and baselines, print the tables, write the page."""
    data = MarketData.of(
        bdfm.read_prices(prices),
        bdfm.read_universe(universe),
        None if earnings is None else bdfm.read_earnings(earnings),
    )
    origins = origin_dates(first, last)
    known = baselines()
    forecasters = [model_forecaster(name, cores) for name in model or []]
    forecasters += [known[name] for name in only or known]

    def run(forecaster: Forecaster, seed: int = 1) -> Run:
        place = folder / f"seed-{seed}" / forecaster.name.replace(", ", "-").replace(" ", "-")
        show = out.is_terminal
        return walk_forward(forecaster, data, origins, place, seed=seed, workers=workers, progress=show)

    runs = []
    for forecaster in forecasters:
        runs.append(run(forecaster))
        out.print(str(runs[-1]), markup=False)
    if len(runs) > 1:
        comparison = compare(runs)
        out.print(comparison)
        out.print(comparison.verdict, markup=False)
        out.print(comparison.calibration.round(3).to_string(), markup=False)
        comparison.write_html(folder / "comparison.html")
        out.print(f"Page with pictures: {folder / 'comparison.html'}", markup=False, soft_wrap=True)
    if seeds > 1:
        table = Table("forecaster", "Monte Carlo sd of the mean RPS, 1e-5", "of one origin's, 1e-5", box=None)
        for forecaster, base in zip(forecasters, runs, strict=True):
            others = [run(forecaster, seed) for seed in range(2, seeds + 1)]
            scores = np.array([r.scores["rps"] for r in (base, *others)])
            sd = float(np.sqrt(scores.var(axis=0, ddof=1).mean()))  # independent from origin to origin
            table.add_row(base.name, f"{1e5 * sd / np.sqrt(len(origins)):.2f}", f"{1e5 * sd:.1f}")
        out.print(table)
    if late:
        table = Table("forecaster", "one period late, RPS in 1e-5", "± se", "p", box=None)
        for forecaster, base in zip(forecasters, runs, strict=True):
            d = lateness(base, run(Late(forecaster)))
            table.add_row(base.name, f"{1e5 * d.mean:+.1f}", f"{1e5 * d.se:.1f}", f"{d.p_value:.3f}")
        out.print(table)


if __name__ == "__main__":
    typer.run(main)
