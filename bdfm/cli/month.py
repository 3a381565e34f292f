"""Commands that make a month's forecast: ``demo``, ``forecast``, ``run``."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdfm.cli.console import interruptible, out
from bdfm.cli.options import (
    CalendarMonths,
    Chains,
    Draws,
    Earnings,
    EngineName,
    OutFolder,
    Prices,
    Seed,
    Tune,
    Universe,
)
from bdfm.errors import DataError, DataWarning
from bdfm.inference.choices import CHAINS, DRAWS, ENGINE, TUNE
from bdfm.names import FORECAST_FILE, POSTERIOR_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from bdfm import _files
    from bdfm.data.panel import Panel
    from bdfm.inference.settings import SamplerSettings
    from bdfm.model.evidence import Evidence
    from bdfm.model.factor_model import FactorModel


def demo(
    out_dir: OutFolder = Path("bdfm-demo"),
    draws: Draws = DRAWS,
    tune: Tune = TUNE,
    chains: Chains = CHAINS,
    engine: EngineName = ENGINE,
    seed: Seed = 1,
) -> None:
    """Forecast the embedded demo universe; no network needed. It holds 20 US stocks and 5 factor ETFs."""
    from bdfm import _files
    from bdfm.data import sources
    from bdfm.data.panel import Panel
    from bdfm.inference.settings import SamplerSettings
    from bdfm.model.factor_model import FactorModel

    prices, universe = sources.demo()
    origin = sources.DEMO_ORIGIN
    model = FactorModel.from_preset("m6")
    out.print(f"Demo: {len(universe)} assets, forecast of the 4 weeks after {origin:%Y-%m-%d}, model m6.")
    with interruptible(), _files.OutputFolder(out_dir) as folder:
        panel = Panel.from_prices(prices, universe, origin=origin, settings=model.panel)
        settings = SamplerSettings(engine=engine, draws=draws, tune=tune, chains=chains)
        _month(model, panel, settings, seed=seed, evidence=(), folder=folder)
    _print_places(out_dir)
    out.print("Next: your own prices with [bold]bdfm forecast[/bold]; the README explains the files.")


def forecast(
    prices: Prices,
    universe: Universe,
    origin: Annotated[str, typer.Option(help="Day on which the forecast is made, such as 2022-01-07.")],
    out_dir: OutFolder,
    earnings: Earnings = None,
    period_days: Annotated[
        int | None, typer.Option(min=1, help="Days of a period; the model's, if not given.")
    ] = None,
    calendar_months: CalendarMonths = False,
    model: Annotated[str, typer.Option(help="Name of a model (see `bdfm models`) or a TOML file.")] = "m6",
    draws: Draws = DRAWS,
    tune: Tune = TUNE,
    chains: Chains = CHAINS,
    engine: EngineName = ENGINE,
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
    """Forecast the next period's returns from a price file. Quintile probabilities come with them."""
    from bdfm import _checks, _files
    from bdfm.data.panel import Panel
    from bdfm.data.settings import PanelSettings
    from bdfm.data.sources import read_earnings, read_prices, read_universe
    from bdfm.inference.settings import SamplerSettings
    from bdfm.model.find import find_model

    statements = [_evidence(text) for text in evidence or []]
    zeroed = tuple(dict.fromkeys(zero or []))
    factor_model = find_model(model)
    if calendar_months and period_days is not None:
        raise DataError("options: --period-days and --calendar-months exclude each other. Give one of them.")
    period: Any = "month" if calendar_months else period_days or factor_model.panel.period
    panel_settings = PanelSettings(**factor_model.panel.model_dump() | {"period": period})
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
    with interruptible(), _files.OutputFolder(out_dir) as folder:
        _month(factor_model, panel, settings, seed=seed, evidence=statements, folder=folder)
    _print_places(out_dir)


def run(
    month_file: Annotated[Path, typer.Argument(metavar="MONTH.TOML", help="The run file.")],
    check: Annotated[bool, typer.Option("--check", help="Read and check everything; fit nothing.")] = False,
) -> None:
    """Fit, forecast, edit, view, decide and report, as one file says."""
    from bdfm.cli.show import show_decision, show_diagnosis, show_history, show_quantiles
    from bdfm.report.month import read_month, run_month

    month = read_month(month_file)
    panel = month.panel
    out.print(
        f"{panel.n_history} periods to {panel.origin:%Y-%m-%d}, {len(panel.assets)} assets, model"
        f" {month.model.name}; {len(month.changes.edits)} edits, {len(month.changes.views)} views,"
        f" decision {month.run.decision.method}."
    )
    if check:
        out.print(f"{month_file}: data, model, edits, views and decision are in order. Nothing was fitted.")
        return
    posterior, forecast, decision = run_month(month, progress=out.is_terminal, say=out.print)
    show_quantiles(forecast)
    show_history(forecast)
    show_decision(decision)
    show_diagnosis(posterior.diagnose())
    out.print(f"Results in {month.out}", markup=False, soft_wrap=True)


def _evidence(text: str) -> Evidence:
    from bdfm import _checks
    from bdfm.model.evidence import Evidence

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
    from bdfm import _files
    from bdfm.cli.show import show_diagnosis, show_quantiles
    from bdfm.posterior.fit import fit
    from bdfm.posterior.posterior import N_PREDICTIVE_DRAWS
    from bdfm.report.month import summary

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
    posterior.save(folder / POSTERIOR_FILE)
    result.save(folder / FORECAST_FILE)
    result.write_submission(folder / "submission.csv")
    result.plot_quantiles().savefig(folder / "quantiles.png", dpi=150)
    seconds["total"] = time.perf_counter() - begun
    facts = summary(posterior, result, seconds=seconds)
    _files.write_text(folder / SUMMARY_FILE, json.dumps(facts, indent=2) + "\n")
    show_quantiles(result)
    show_diagnosis(diagnosis)
    for advice in diagnosis.advice:
        out.print(f"  {advice}")
    out.print("Seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in seconds.items()))


def _print_places(folder: Path) -> None:
    what = {
        "submission.csv": "quintile probabilities in the M6 form",
        "quantiles.png": "the same as a picture",
        FORECAST_FILE: "predictive draws: bdfm.Forecast.load",
        POSTERIOR_FILE: "posterior draws: bdfm.Posterior.load",
        SUMMARY_FILE: "settings, versions, seconds, diagnostics",
    }
    width = max(len(str(folder / name)) for name in what)
    for name, text in what.items():
        out.print(f"{folder / name!s:{width}}  {text}", soft_wrap=True, markup=False)


COMMANDS = (demo, forecast, run)
