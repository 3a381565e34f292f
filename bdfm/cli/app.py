"""Command line: parses, calls the package, prints."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bdfm import _checks
from bdfm.cli import backtest, exposures, risk
from bdfm.cli.judgement import add_commands
from bdfm.data.sources import DEMO_ORIGIN, read_prices
from bdfm.errors import BdfmError, BdfmWarning, DataError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import Engine, SamplerSettings
from bdfm.model.factor_model import FactorModel, presets
from bdfm.posterior.posterior import N_PREDICTIVE_DRAWS
from bdfm.report.month import Month, make_month, run_month
from bdfm.report.run_file import DataTable, EvidenceTable, RunFile
from bdfm.scoring.m6 import read_submission, score_submission

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Calibrated joint probabilities of next month's returns, from a Bayesian dynamic factor model.",
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

_DEFAULTS = SamplerSettings()
Draws = Annotated[int, typer.Option(min=10, help="Kept draws of each chain.")]
Tune = Annotated[int, typer.Option(min=10, help="Adaptation draws of each chain.")]
Chains = Annotated[int, typer.Option(min=1, help="Independent chains.")]
EngineName = Annotated[Engine, typer.Option(help="Sampler; auto takes the fastest that covers the model.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed; equal seeds give equal results.")]


@app.command()
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")] = Path("bdfm-demo"),
    draws: Draws = _DEFAULTS.draws,
    tune: Tune = _DEFAULTS.tune,
    chains: Chains = _DEFAULTS.chains,
    engine: EngineName = _DEFAULTS.engine,
    seed: Seed = 1,
) -> None:
    """Forecast the embedded demo universe: 20 US stocks and 5 factor ETFs, no network needed."""
    run = RunFile(
        data=DataTable(origin=DEMO_ORIGIN.date(), demo=True),
        model="m6",
        sampler=SamplerSettings(engine=engine, draws=draws, tune=tune, chains=chains),
        **_forecast_only(seed, out_dir),
    )
    with _interruptible():
        month = make_month(run)
        out.print(
            f"Demo: {len(month.panel.assets)} assets, forecast of the 4 weeks after {DEMO_ORIGIN:%Y-%m-%d},"
            " model m6."
        )
        _run(month)
    _print_places(out_dir)
    out.print("Next: your own prices with [bold]bdfm forecast[/bold]; the README explains the files.")


@app.command()
def forecast(
    prices: Annotated[
        Path, typer.Option(help="Daily adjusted closes: wide or long CSV, .csv.gz or Parquet.")
    ],
    universe: Annotated[Path, typer.Option(help="CSV with columns symbol, asset_class and optionally name.")],
    origin: Annotated[str, typer.Option(help="Day on which the forecast is made, such as 2022-01-07.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    earnings: Annotated[Path | None, typer.Option(help="CSV with columns symbol, date.")] = None,
    period_days: Annotated[
        int | None, typer.Option(min=1, help="Days of a period; the model's, if not given.")
    ] = None,
    calendar_months: Annotated[bool, typer.Option(help="Periods are calendar months.")] = False,
    model: Annotated[str, typer.Option(help="Name of a model (see `bdfm models`) or a TOML file.")] = "m6",
    draws: Draws = _DEFAULTS.draws,
    tune: Tune = _DEFAULTS.tune,
    chains: Chains = _DEFAULTS.chains,
    engine: EngineName = _DEFAULTS.engine,
    seed: Seed = 1,
    zero: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Delisted asset: zero return. Repeatable.")
    ] = None,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL=MEAN,SD", help="Evidence on an asset's return, in decimals. Repeatable."
        ),
    ] = None,
) -> None:
    """Forecast next period's returns and their quintile probabilities from a price file."""
    if calendar_months and period_days is not None:
        raise DataError("options: --period-days and --calendar-months exclude each other. Give one of them.")
    run = RunFile(
        data=DataTable(
            origin=origin,
            prices=prices,
            universe=universe,
            earnings=earnings,
            period="month" if calendar_months else period_days,
            zero=tuple(dict.fromkeys(zero or [])),
        ),
        model=model,
        sampler=SamplerSettings(engine=engine, draws=draws, tune=tune, chains=chains),
        evidence=tuple(_evidence(text) for text in evidence or []),
        **_forecast_only(seed, out_dir),
    )
    options = {"origin": "--origin", "zero": "--zero", "period": "--period-days"}
    with _interruptible():
        _run(make_month(run, options))
    _print_places(out_dir)


@app.command()
def score(
    submission: Annotated[Path, typer.Option(help="Submission CSV: ID,Rank1..Rank5,Decision.")],
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes that cover the period.")],
    start: Annotated[str, typer.Option(help="Friday before the period.")],
    end: Annotated[str, typer.Option(help="Final Friday of the period.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a submission by the M6 rules: ranked probability score and information ratio."""
    result = score_submission(
        read_submission(submission),
        read_prices(prices),
        _checks.as_date(start, where="--start"),
        _checks.as_date(end, where="--end"),
    )
    if as_json:
        sys.stdout.write(json.dumps({"rps": result.rps, "ir": result.ir}) + "\n")
        return
    out.print(f"RPS {result.rps:.5f}  (0.16000 is a fifth for everything; lower is better)")
    out.print(f"IR  {result.ir:.5f}")


app.command()(risk.risk)


@app.command()
def models() -> None:
    """List the models that ship with the package."""
    table = Table("model", "factors", "dynamics", "mean", "log volatility", "noise", "weights", box=None)
    for name, path in presets().items():
        m = FactorModel.from_toml(path)
        parts = [" + ".join(x.kind for x in slot) for slot in (m.dynamics, m.mean, m.log_volatility)]
        table.add_row(name, str(m.n_factors), *parts, m.noise.kind, m.weights.kind)
    out.print(table)
    out.print("Settings and reasons are in the TOML files; copy one, change it, pass its path to --model.")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say what a Ctrl-C has left behind, instead of a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("Stopped before the end; no file was written or changed. Run the same command again.")
        raise SystemExit(130) from None


exposures.register(app, _interruptible)


def _model(name: str) -> FactorModel:
    if name.endswith(".toml"):
        return FactorModel.from_toml(Path(name))
    return FactorModel.from_preset(name)


backtest.register(app, out, _model)


def _evidence(text: str) -> EvidenceTable:
    symbol, separator, numbers = text.rpartition("=")
    parts = numbers.split(",")
    if not separator or not symbol or len(parts) != 2:
        raise DataError(f"--evidence: {text!r} is not of the form SYMBOL=MEAN,SD, such as TLT=0.02,0.10.")
    mean, sd = (
        _checks.finite(x, what=what, where=f"--evidence {symbol}")  # type: ignore[arg-type]
        for what, x in zip(("mean", "sd"), parts, strict=True)
    )
    return EvidenceTable(symbol=symbol, mean=mean, sd=sd)


def _forecast_only(seed: int, out_dir: Path) -> dict[str, Any]:
    """Rest of the run file of a forecast without judgement, decision and report."""
    outputs = ("submission", "posterior", "picture")
    return {
        "seed": seed,
        "n_draws": N_PREDICTIVE_DRAWS,
        "decision": None,
        "outputs": outputs,
        "out": out_dir,
    }


def _run(month: Month) -> None:
    """Run a month without judgement, and print what came."""
    panel = month.panel
    out.print(
        f"{panel.n_history} periods to {panel.origin:%Y-%m-%d}, {len(panel.assets)} assets in"
        f" {len(panel.asset_classes)} classes. Sampling {month.run.sampler.chains} chains ..."
    )
    results = run_month(month, progress=out.is_terminal)
    diagnosis = results.posterior.diagnose()
    _print_quantiles(results.forecast)
    out.print(f"[{'green' if diagnosis.converged else 'yellow'}]{diagnosis.verdict}[/]")
    for advice in diagnosis.advice:
        out.print(f"  {advice}")
    out.print("Seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in results.summary["seconds"].items()))


def _print_quantiles(result: Forecast, n_ends: int = 12) -> None:
    """Quintile table; of a large universe the assets with the largest and smallest tails."""
    p = result.quantile_probabilities().to_pandas()
    p = p.loc[(p[1] + p[5]).sort_values(ascending=False).index]
    shown = p if len(p) <= 2 * n_ends + 1 else pd.concat([p.head(n_ends), p.tail(n_ends)])
    out.print(f"Quintile probabilities, {result.origin:%Y-%m-%d} to {result.end:%Y-%m-%d}, in %:")
    table = Table()
    table.add_column("asset")
    for q in p.columns:
        table.add_column({1: "lowest", 5: "highest"}.get(int(q), str(q)), justify="right")
    for position, (symbol, row) in enumerate(shown.iterrows()):
        if len(shown) < len(p) and position == n_ends:
            table.add_row(f"... {len(p) - len(shown)} more", *[""] * len(p.columns))
        table.add_row(str(symbol), *(f"{100 * x:.1f}" for x in row))
    out.print(table)


def _print_places(folder: Path) -> None:
    what = {
        "submission.csv": "quintile probabilities in the M6 form",
        "quantiles.png": "the same as a picture",
        "forecast.nc": "predictive draws: bdfm.Forecast.load",
        "posterior.nc": "posterior draws: bdfm.Posterior.load",
        "summary.json": "settings, versions, seconds, diagnostics",
    }
    width = max(len(str(folder / name)) for name in what)
    for name, text in what.items():
        out.print(f"{folder / name!s:{width}}  {text}", soft_wrap=True, markup=False)


add_commands(app, _print_quantiles)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, BdfmWarning):
        err.print(Text.assemble(("Warning: ", "yellow"), str(message)), soft_wrap=True)


def main() -> None:
    """Entry point: errors made on purpose are one message and exit code 2."""
    warnings.simplefilter("always", BdfmWarning)
    warnings.showwarning = _show_warning
    try:
        app()
    except BdfmError as error:
        err.print(Text.assemble(("Error: ", "red"), str(error)), soft_wrap=True)
        raise SystemExit(2) from None
