"""Command line: parses, calls the package, prints."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bdfm import _checks, _files
from bdfm.cli import backtest, exposures, risk
from bdfm.cli.judgement import add_commands
from bdfm.data.panel import Panel, PanelSettings
from bdfm.data.sources import DEMO_ORIGIN, read_earnings, read_prices, read_universe
from bdfm.data.sources import demo as demo_data
from bdfm.errors import BdfmError, BdfmWarning, DataError, DataWarning
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import Engine, SamplerSettings
from bdfm.model.factor_model import Evidence, FactorModel, presets
from bdfm.posterior.posterior import N_PREDICTIVE_DRAWS, fit
from bdfm.report.month import summary
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
    prices, universe = demo_data()
    model = FactorModel.from_preset("m6")
    out.print(
        f"Demo: {len(universe)} assets, forecast of the 4 weeks after {DEMO_ORIGIN:%Y-%m-%d}, model m6."
    )
    with _interruptible(), _files.OutputFolder(out_dir) as folder:
        panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=model.panel)
        settings = SamplerSettings(engine=engine, draws=draws, tune=tune, chains=chains)
        _month(model, panel, settings, seed=seed, evidence=(), folder=folder)
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
    statements = [_evidence(text) for text in evidence or []]
    zeroed = tuple(dict.fromkeys(zero or []))
    factor_model = _model(model)
    if calendar_months and period_days is not None:
        raise DataError("options: --period-days and --calendar-months exclude each other. Give one of them.")
    period: Any = "month" if calendar_months else period_days or factor_model.panel.period
    panel_settings = _panel_settings(factor_model.panel, period)
    factor_model = factor_model.model_copy(update={"panel": panel_settings})
    table = read_universe(universe)
    _checks.known(zeroed, list(table["symbol"]), what="symbol", where="--zero")
    day, closes = _checks.as_date(origin, where="--origin"), read_prices(prices)
    panel = Panel.from_prices(
        closes,
        table,
        origin=day,
        earnings=None if earnings is None else read_earnings(earnings),
        settings=panel_settings,
        inactive=zeroed,
    )
    jumps = _checks.price_jumps(closes[list(panel.assets)], panel.origin)
    if jumps:
        message = _checks.jump_message(jumps, panel.origin)
        warnings.warn(f"{message} Check that they are right.", DataWarning, stacklevel=1)
    settings = SamplerSettings(engine=engine, draws=draws, tune=tune, chains=chains)
    with _interruptible(), _files.OutputFolder(out_dir) as folder:
        _month(factor_model, panel, settings, seed=seed, evidence=statements, folder=folder)
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


def _panel_settings(settings: PanelSettings, period: Any) -> PanelSettings:
    try:
        return PanelSettings(**settings.model_dump() | {"period": period})
    except ValidationError as error:
        raise DataError(f"--period-days: {error.errors()[0]['msg']}, got {period}.") from None


def _evidence(text: str) -> Evidence:
    symbol, separator, numbers = text.rpartition("=")
    parts = numbers.split(",")
    if not separator or not symbol or len(parts) != 2:
        raise DataError(f"--evidence: {text!r} is not of the form SYMBOL=MEAN,SD, such as TLT=0.02,0.10.")
    mean, sd = (
        _checks.finite(x, what=what, where=f"--evidence {symbol}")  # type: ignore[arg-type]
        for what, x in zip(("mean", "sd"), parts, strict=True)
    )
    return Evidence(symbol, mean, sd)


def _month(
    model: FactorModel,
    panel: Panel,
    settings: SamplerSettings,
    *,
    seed: int,
    evidence: Sequence[Evidence],
    folder: _files.OutputFolder,
) -> None:
    """Fit, forecast and write the files of one month."""
    begun = time.perf_counter()
    out.print(
        f"{panel.n_history} periods to {panel.origin:%Y-%m-%d}, {len(panel.assets)} assets in"
        f" {len(panel.asset_classes)} classes. Sampling {settings.chains} chains ..."
    )
    posterior = fit(model, panel, seed=seed, settings=settings, evidence=evidence, progress=out.is_terminal)
    sampled = time.perf_counter()
    result = posterior.forecast(seed=seed, n_draws=N_PREDICTIVE_DRAWS)
    seconds = posterior.seconds | {"forecast": time.perf_counter() - sampled}
    diagnosis = posterior.diagnose()
    posterior.save(folder / "posterior.nc")
    result.save(folder / "forecast.nc")
    result.write_submission(folder / "submission.csv")
    result.plot_quantiles().savefig(folder / "quantiles.png", dpi=150)
    seconds["total"] = time.perf_counter() - begun
    facts = summary(posterior, result, seconds=seconds)
    _files.write_text(folder / "summary.json", json.dumps(facts, indent=2) + "\n")
    _print_quantiles(result)
    out.print(f"[{'green' if diagnosis.converged else 'yellow'}]{diagnosis.verdict}[/]")
    for advice in diagnosis.advice:
        out.print(f"  {advice}")
    out.print("Seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in seconds.items()))


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
