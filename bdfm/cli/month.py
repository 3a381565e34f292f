"""Commands that make a month's forecast: ``demo``, ``forecast``, ``run``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bdfm import _json
from bdfm._reading import counted, cut, quoted
from bdfm.cli.console import err, interruptible, out, quiet, say_read
from bdfm.cli.options import (
    Accept,
    Alias,
    CalendarMonths,
    Chains,
    DateFormat,
    DecimalMark,
    Draws,
    Earnings,
    EngineName,
    KeepDraws,
    Memory,
    NDraws,
    OutFolder,
    Prices,
    Scheduler,
    Seed,
    Tune,
    Universe,
    Volatility,
    WarmFrom,
    Workers,
    aliases_of,
    draws_of,
)
from bdfm.data.choices import MAX_DAYS
from bdfm.errors import DataError
from bdfm.inference.choices import CHAINS, DRAWS, ENGINE, N_PREDICTIVE_DRAWS, TUNE
from bdfm.names import FORECAST_FILE, MADE_FILE, POSTERIOR_FILE, SUMMARY_FILE

if TYPE_CHECKING:
    from bdfm.report.month import Month
    from bdfm.report.run_file import EvidenceTable


def demo(
    out_dir: OutFolder = Path("bdfm-demo"),
    draws: Draws = DRAWS,
    tune: Tune = TUNE,
    chains: Chains = CHAINS,
    engine: EngineName = ENGINE,
    n_draws: NDraws = N_PREDICTIVE_DRAWS,
    seed: Seed = 1,
    keep_draws: KeepDraws = False,
    memory: Memory = None,
) -> None:
    """Forecast the embedded demo universe; no network needed. It holds 20 US stocks and 5 factor ETFs."""
    from bdfm.data.sources import DEMO_ORIGIN
    from bdfm.inference.settings import SamplerSettings
    from bdfm.report.month import make_month
    from bdfm.report.run_file import DataTable, RunFile

    run_file = RunFile(
        data=DataTable(origin=DEMO_ORIGIN.date(), demo=True),
        model="house",
        sampler=SamplerSettings(engine=engine, draws=draws_of(draws), tune=tune, chains=chains),
        **_forecast_only(seed, n_draws, out_dir, keep_draws, memory),
    )
    with interruptible():
        month = make_month(run_file)
        out.print(
            f"Demo: {counted(len(month.panel.assets), 'asset')}, forecast of the 4 weeks after"
            f" {DEMO_ORIGIN:%Y-%m-%d},"
            " model house."
        )
        _run(month)
    _print_places(out_dir)
    out.print("Next: your own prices with [bold]bdfm forecast[/bold]; docs/outputs.md explains the files.")


def forecast(
    prices: Prices,
    origin: Annotated[str, typer.Option(help="Day on which the forecast is made, such as 2022-01-07.")],
    out_dir: OutFolder,
    universe: Universe = None,
    earnings: Earnings = None,
    volatility: Volatility = None,
    period_days: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="Days of a period; the model's, if not given.")
    ] = None,
    calendar_months: CalendarMonths = False,
    horizon: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N|5d|DATE",
            help="Periods ahead: a number, market days such as 5d, or a date. Repeatable: one fit, a forecast"
            " of each. One period, if not given.",
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model to fit: its name (see `bdfm models`) or a TOML file.")
    ] = "house",
    draws: Draws = DRAWS,
    tune: Tune = TUNE,
    chains: Chains = CHAINS,
    engine: EngineName = ENGINE,
    n_draws: NDraws = N_PREDICTIVE_DRAWS,
    seed: Seed = 1,
    zero: Annotated[
        list[str] | None, typer.Option(metavar="SYMBOL", help="Delisted asset: zero return. Repeatable.")
    ] = None,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Evidence on an asset's return, inside the fit: TLT = 2% +- 10%, SPY = -5% +- 1% over 5d."
            " Repeatable.",
        ),
    ] = None,
    warm_from: WarmFrom = None,
    keep_draws: KeepDraws = False,
    memory: Memory = None,
    accept: Accept = None,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
) -> None:
    """Forecast the next period's returns from a price file. Quintile probabilities come with them."""
    from bdfm.inference.settings import SamplerSettings
    from bdfm.report.month import make_month
    from bdfm.report.run_file import DataTable, RunFile

    if universe is None:
        raise DataError(
            "options: --universe is missing. Give a file with a row for each asset and the columns symbol and"
            " asset_class (KO,stock), or a list of symbols, which are of one class then."
        )
    if calendar_months and period_days is not None:
        raise DataError("options: --period-days and --calendar-months exclude each other. Give one of them.")
    forms: dict[str, Any] = {"date_format": date_format, "decimal_mark": decimal_mark}
    run_file = RunFile(
        data=DataTable(
            origin=origin,
            prices=prices,
            universe=universe,
            earnings=earnings,
            volatility=volatility,
            period="month" if calendar_months else period_days,
            horizon=horizon[0] if horizon and len(horizon) == 1 else tuple(horizon) if horizon else None,
            zero=tuple(zero or ()),
            **{k: x for k, x in forms.items() if x is not None},
        ),
        aliases=aliases_of(alias),
        model=model,
        sampler=SamplerSettings(engine=engine, draws=draws_of(draws), tune=tune, chains=chains),
        evidence=tuple(_evidence(text) for text in evidence or []),
        accept=tuple(dict.fromkeys(accept or [])),
        **({} if warm_from is None else {"warm_from": warm_from}),
        **_forecast_only(seed, n_draws, out_dir, keep_draws, memory),
    )
    options = {
        "origin": "--origin",
        "zero": "--zero",
        "period": "--period-days",
        "horizon": "--horizon",
        "evidence": "--evidence",
        "date_format": "--date-format",
        "warm_from": "--warm-from",
    }
    with interruptible():
        month = make_month(run_file, options)
        _run(month)
    _print_places(out_dir, [h.label for h in month.horizons[1:]])


def run(
    month_files: Annotated[list[Path], typer.Argument(metavar="MONTH.TOML...", help="Run files.")],
    check: Annotated[bool, typer.Option("--check", help="Read and check everything; fit nothing.")] = False,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    memory: Memory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
    silent: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors and warnings.")] = False,
) -> None:
    """Fit, forecast, edit, view, decide and report, as one file says. Several files are several months."""
    from bdfm import _memory

    with quiet(as_json or silent):
        if len(month_files) > 1 or scheduler is not None:
            options: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "memory": memory}
            facts = _run_several(month_files, check=check, **options)
        else:
            with _memory.within(memory, where="--memory"):
                facts = _run_one(month_files[0], check=check)
    if as_json:
        sys.stdout.write(_json.text(facts) + "\n")
    if facts.get("failed"):
        raise typer.Exit(2)


def _run_one(month_file: Path, *, check: bool) -> dict[str, Any]:
    """One month, with all that it has to say; its summary, with the folder of the results."""
    from bdfm.cli.show import show_decision, show_diagnosis, show_history, show_quantiles
    from bdfm.report.month import read_month, run_month

    month = read_month(month_file)
    panel, decided = month.panel, month.run.decided
    say_read(*month.tables)
    out.print(
        f"{counted(panel.n_history, 'period')} to {panel.origin:%Y-%m-%d},"
        f" {counted(len(panel.assets), 'asset')}, model"
        f" {month.model.name}{_horizons(month)}; {_counted(month)},"
        f" {'no decision' if decided is None else f'decision {decided.name}'}."
    )
    _note(month)
    if check:
        out.print(f"{month_file}: data, model, edits, views and decision are in order. Nothing was fitted.")
        return {
            "checked": str(month_file),
            "origin": f"{panel.origin:%Y-%m-%d}",
            "n_assets": len(panel.assets),
        }
    with interruptible():
        progress = out.is_terminal and not out.quiet
        posterior, forecast, decision, facts, further = run_month(month, progress=progress, say=out.print)
    show_quantiles(forecast)
    for own in further.values():
        show_quantiles(own)
    show_history(forecast)
    if decision is not None:
        show_decision(decision, forecast)
    show_diagnosis(posterior.diagnose())
    if out.quiet and not facts["diagnostics"]["converged"] and month.run.sampler.draws != "auto":
        # A run of automatic length has warned of it; one of a fixed length would end without a word.
        err.print(f"{month_file}: {posterior.diagnose().verdict}", markup=False, soft_wrap=True)
    out.print(f"Results in {month.out}", markup=False, soft_wrap=True)
    return facts | {"out": str(month.out)}


def _run_several(
    files: list[Path], *, check: bool, workers: int, scheduler: str | None, memory: str | None
) -> dict[str, Any]:
    """Several months: a line as each is done, and a table at the end; the table, and how many failed."""
    from bdfm._sheet import Sheet
    from bdfm.report.months import Outcome, run_months, table

    def tell(outcome: Outcome) -> None:
        for text in outcome.warnings:
            err.print(f"{outcome.path}: warning: {text}", markup=False, soft_wrap=True)
        if outcome.error:
            err.print(f"{outcome.path}: failed: {outcome.error}", markup=False, soft_wrap=True)
        else:
            out.print(f"{outcome.path}: done in {outcome.seconds:.0f} s", markup=False, soft_wrap=True)
        if out.quiet and outcome.verdict and not (check or outcome.converged or outcome.warnings):
            err.print(f"{outcome.path}: {outcome.verdict}", markup=False, soft_wrap=True)

    options: dict[str, Any] = {"workers": workers, "scheduler": scheduler, "memory": memory}
    others = (
        "wrote nothing" if scheduler is None else "may still be finished by workers that have them in hand"
    )
    with interruptible(f"Stopped. Months that are done are kept; the others {others}."):
        outcomes = run_months(files, check=check, on_done=tell, **options)
    found = table(outcomes)
    shown = Sheet("", ["month", "state"], ["assets", "seconds"], ["verdict"])
    for row in found[[*shown.keys, *shown.figures, *shown.texts]].itertuples(index=False):
        shown.add_row(*map(str, row))
    out.print(shown)
    failed = sum(bool(o.error) for o in outcomes)
    out.print(f"{len(outcomes) - failed} of {len(outcomes)} months are {'in order' if check else 'done'}.")
    return {"months": json.loads(found.to_json(orient="records")), "failed": failed}


def _evidence(text: str) -> EvidenceTable:
    from bdfm import _numerals
    from bdfm._symbols import quote_fault, unquoted, without_quoted
    from bdfm.forecast.return_views import Absolute
    from bdfm.forecast.view_texts import parse, refuse_decimal_comma
    from bdfm.report.run_file import EvidenceTable

    # The numbers stand behind the last = that is in no quotes, and the horizon behind them.
    words = without_quoted(text)
    split = words.rfind(" over ", words.rfind("="))
    statement, horizon = (text, "") if split < 0 else (text[:split].strip(), text[split + 6 :].strip())
    over = {"horizon": horizon} if horizon else {}
    asset, separator, numbers = statement.rpartition("=")
    parts = numbers.split(",")
    if len(parts) > 1:
        refuse_decimal_comma(parts[0], parts[1])
    try:
        view = parse(statement, semantics="evidence")
    except DataError:
        view = None
    if isinstance(view, Absolute) and view.sense == "equal" and view.sd is not None:
        return EvidenceTable(asset=view.asset, mean=view.mean, sd=view.sd, **over)
    if not separator or not asset or len(parts) not in (2, 3) or quote_fault(text):
        raise DataError(
            f"--evidence: {quoted(text)} is not understood.{quote_fault(text)} Write the return of one asset"
            " and its error, such as 'TLT = 2% +- 10%' (TLT=0.02,0.10 is the same), or with a horizon, such"
            " as 'SPY = -5% +- 1% over 5d'. A symbol with spaces stands in quotes: 'A B' = 2% +- 10%."
        )
    asset = unquoted(asset.strip())
    given = {"mean": _numerals.number(parts[0]), "sd": _numerals.number(parts[1])}
    for (what, value), part in zip(given.items(), parts, strict=False):
        if value is None:
            raise DataError(f"--evidence {asset}: {what} must be a number, got {cut(part.strip())}.")
    over |= {"horizon": parts[2].strip()} if len(parts) == 3 else {}
    return EvidenceTable.from_table({"asset": asset, **given, **over}, where="--evidence")


def _forecast_only(
    seed: int, n_draws: int, out_dir: Path, keep_draws: bool, memory: str | None
) -> dict[str, Any]:
    """Rest of the run file of a forecast without judgement, decision and report."""
    return {
        "seed": seed,
        "n_draws": n_draws,
        "decision": None,
        "outputs": ("submission", "posterior", "picture"),
        "out": out_dir,
        **({"keep_draws": True} if keep_draws else {}),
        **({} if memory is None else {"memory": memory}),
    }


def _run(month: Month) -> None:
    """Run a month without judgement, and print what came."""
    from bdfm.cli.show import show_diagnosis, show_quantiles
    from bdfm.report.month import run_month

    panel = month.panel
    n_classes = len(panel.asset_classes)
    say_read(*month.tables)
    out.print(
        f"{counted(panel.n_history, 'period')} to {panel.origin:%Y-%m-%d},"
        f" {counted(len(panel.assets), 'asset')} in"
        f" {counted(n_classes, 'class')}{_horizons(month)}. Sampling"
        f" {month.run.sampler.chains} chains ..."
    )
    _note(month)
    results = run_month(month, progress=out.is_terminal)
    diagnosis = results.posterior.diagnose()
    show_quantiles(results.forecast)
    for own in results.further.values():
        show_quantiles(own)
    show_diagnosis(diagnosis)
    for advice in diagnosis.advice:
        out.print(f"  {advice}")
    out.print("Seconds: " + ", ".join(f"{k} {v:.1f}" for k, v in results.summary["seconds"].items()))


def _counted(month: Month) -> str:
    """How many statements of each kind a run file makes, such as "1 piece of evidence, 2 edits, 1 view"."""
    counts = {
        ("piece of evidence", "pieces of evidence"): len(month.evidence),
        ("asset set to zero", "assets set to zero"): len(month.run.data.zero),
        ("edit", "edits"): len(month.changes.edits),
        ("view", "views"): len(month.changes.views),
    }
    told = [f"{n} {names[n != 1]}" for names, n in counts.items() if n or names[0] in ("edit", "view")]
    return ", ".join(told)


def _horizons(month: Month) -> str:
    """Horizons in words, where there are several."""
    several = [h.label for h in month.horizons]
    return f", horizons {', '.join(several)}" if len(several) > 1 else ""


def _note(month: Month) -> None:
    """Say what features are made of where prices are sparse, and from which month the draws go on."""
    if month.panel.settings.note:
        out.print(month.panel.settings.note)
    if month.warm_from is not None:
        from bdfm.report.earlier import start_in_words

        out.print(start_in_words(month.warm_from.as_earlier(), month.panel), soft_wrap=True)


def _print_places(folder: Path, further: Sequence[str] = ()) -> None:
    from bdfm.report.horizons import file_of

    what = {
        "submission.csv": "quintile probabilities in the M6 form",
        "quantiles.png": "the same as a picture",
        FORECAST_FILE: "predictive draws: bdfm.Forecast.load",
        POSTERIOR_FILE: "posterior draws: bdfm.Posterior.load",
        SUMMARY_FILE: "settings, versions, seconds, diagnostics",
        MADE_FILE: "all of it as one file: bdfm run makes the same again",
    }
    for label in further:
        names = ", ".join(file_of(name, label) for name in ("submission.csv", "quantiles.png"))
        what[file_of(FORECAST_FILE, label)] = f"horizon {label}, with {names}"
    width = max(len(str(folder / name)) for name in what)
    for name, text in what.items():
        out.print(f"{folder / name!s:{width}}  {text}", soft_wrap=True, markup=False)


COMMANDS = (demo, forecast, run)
