"""Commands for judgement: views, edits, decisions, a month in one file, and the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.table import Table

from bdfm.errors import DataError
from bdfm.forecast.changes import Changes, Step, parse_edits
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.views import FORMS, Semantics, parse
from bdfm.portfolio.decisions import Decision, DecisionSettings, Method, decide
from bdfm.report.month import read_month, run_month
from bdfm.report.page import REPORT_FILE, write_report

out = Console(highlight=False)

_METHODS = ", ".join(get_args(Method))
ForecastFile = Annotated[Path, typer.Argument(metavar="FORECAST", help="A forecast.nc, or its folder.")]
Out = Annotated[Path | None, typer.Option("--out", help="File to write; FORECAST itself, if not given.")]
ChangesFile = Annotated[Path | None, typer.Option("--file", help="TOML file with [[edits]] and [[views]].")]


def add_commands(app: typer.Typer, show: Callable[[Forecast], None]) -> None:
    """Add the commands to an application; ``show`` prints the quintile table."""

    @app.command()
    def view(
        forecast: ForecastFile,
        evidence: Annotated[
            list[str] | None, typer.Option(metavar="TEXT", help=f"Likelihood. Forms: {'; '.join(FORMS)}")
        ] = None,
        constraint: Annotated[
            list[str] | None, typer.Option(metavar="TEXT", help="What shall hold. The same forms.")
        ] = None,
        confidence: Annotated[float, typer.Option(min=0, max=1, help="Share of the views in a blend.")] = 1.0,
        file: ChangesFile = None,
        out_file: Out = None,
    ) -> None:
        """Change the weights of a forecast's draws by views, all taken together."""
        given: list[tuple[list[str], Semantics]] = [
            (evidence or [], "evidence"),
            (constraint or [], "constraint"),
        ]
        views = tuple(parse(t, semantics=s, confidence=confidence) for texts, s in given for t in texts)
        if file is None:
            changes = Changes((Step((), views),)) if views else None
        else:
            if views:
                raise DataError("view: give --file, or --evidence and --constraint, not both.")
            changes = Changes.from_toml(file)
        if changes is None or not changes.views:
            raise DataError("view: no view given. Use --evidence, --constraint or --file.")
        _apply(changes, forecast, out_file, show)

    @app.command()
    def edit(
        forecast: ForecastFile,
        edits: Annotated[
            list[str] | None,
            typer.Argument(metavar="[EDIT]...", help='Such as "zero DRE" or "shift TLT by=0.01".'),
        ] = None,
        file: ChangesFile = None,
        out_file: Out = None,
    ) -> None:
        """Change a forecast's draws by edits, in the order given."""
        found = tuple(parse_edits(edits or []))
        if bool(found) == (file is not None):
            raise DataError('edit: give edits such as "zero DRE", or --file; one of both.')
        changes = Changes((Step(found),)) if file is None else Changes.from_toml(file)
        if not changes.edits:
            raise DataError(f"edit: {file} holds no [[edits]].")
        _apply(changes, forecast, out_file, show)

    @app.command(name="decide")
    def decide_command(
        forecast: ForecastFile,
        method: Annotated[str, typer.Option(help=f"One of {_METHODS}.")] = "equal",
        exposure: Annotated[float, typer.Option(help="Sum of absolute weights, 0.25 to 1.")] = 0.25,
        max_weight: Annotated[float, typer.Option(help="Largest weight, as a share of the exposure.")] = 1.0,
        short: Annotated[bool, typer.Option("--short", help="Allow negative weights.")] = False,
        submission: Annotated[Path | None, typer.Option(help="Also write an M6 submission there.")] = None,
        out_file: Out = None,
    ) -> None:
        """Choose a portfolio within the limits of M6, show its risk, and keep it in the forecast."""
        path = _file(forecast)
        loaded = Forecast.load(path)
        settings = DecisionSettings(method=method, exposure=exposure, max_weight=max_weight, short=short)
        decision = decide(loaded, settings)
        _print_decision(decision)
        if submission is not None:
            out.print(
                f"{loaded.write_submission(submission, decision.weights)}", markup=False, soft_wrap=True
            )
        out.print(f"{decision.save_in(loaded).save(out_file or path)}", markup=False, soft_wrap=True)

    @app.command()
    def run(
        month_file: Annotated[Path, typer.Argument(metavar="MONTH.TOML", help="The run file.")],
        check: Annotated[
            bool, typer.Option("--check", help="Read and check everything; fit nothing.")
        ] = False,
    ) -> None:
        """Fit, forecast, edit, view, decide and report, as one file says."""
        month = read_month(month_file)
        panel, decided = month.panel, month.run.decision
        out.print(
            f"{panel.n_history} periods to {panel.origin:%Y-%m-%d}, {len(panel.assets)} assets, model"
            f" {month.model.name}; {len(month.changes.edits)} edits, {len(month.changes.views)} views,"
            f" {'no decision' if decided is None else f'decision {decided.method}'}."
        )
        if check:
            out.print(
                f"{month_file}: data, model, edits, views and decision are in order. Nothing was fitted."
            )
            return
        posterior, forecast, decision, _ = run_month(month, progress=out.is_terminal, say=out.print)
        show(forecast)
        _print_history(forecast)
        if decision is not None:
            _print_decision(decision)
        diagnosis = posterior.diagnose()
        out.print(f"[{'green' if diagnosis.converged else 'yellow'}]{diagnosis.verdict}[/]")
        out.print(f"Results in {month.out}", markup=False, soft_wrap=True)

    @app.command()
    def report(
        folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with forecast.nc.")],
        out_file: Annotated[
            Path | None, typer.Option("--out", help=f"Page to write; DIR/{REPORT_FILE}, if not given.")
        ] = None,
    ) -> None:
        """Write one HTML page about a forecast that needs no network."""
        out.print(f"{write_report(folder, out_file)}", markup=False, soft_wrap=True)


def _file(path: Path) -> Path:
    return path / "forecast.nc" if path.is_dir() else path


def _apply(changes: Changes, forecast: Path, out_file: Path | None, show: Callable[[Forecast], None]) -> None:
    path = _file(forecast)
    loaded = Forecast.load(path)
    result = changes.apply(loaded)
    show(result)
    _print_history(result, since=len(loaded.records))
    out.print(f"{result.effective_draws:,.0f} effective of {result.n_draws:,} draws")
    out.print(f"{result.save(out_file or path)}", markup=False, soft_wrap=True)


def _print_history(forecast: Forecast, since: int = 0) -> None:
    """Views and edits, with what each did to the asset that it is about."""
    effects = forecast.effects()
    for number, record in enumerate(forecast.records[since:], since + 1):
        out.print(f"{number}. {record.text}", markup=False, soft_wrap=True)
        for _, row in effects[effects["change"] == number].head(3).iterrows():
            moves = ", ".join(
                f"{name} {100 * row[f'{m}_before']:.1f} -> {100 * row[f'{m}_after']:.1f} %"
                for name, m in (("median", "median"), ("lowest", "P1"), ("highest", "P5"))
            )
            out.print(f"   {row['symbol']}: {moves}", markup=False, soft_wrap=True)


def _print_decision(decision: Decision) -> None:
    out.print(repr(decision)[1:-1], markup=False)
    table = Table("measure, %", "value", "Monte Carlo error", "posterior error", box=None)
    for name, row in decision.risk.table.iterrows():
        table.add_row(str(name).replace("_", " "), *(f"{100 * float(x):.3f}" for x in row))
    out.print(table)
    held = decision.weights[decision.weights != 0]
    largest = held.loc[held.abs().sort_values(ascending=False).index[:10]]
    out.print("Largest: " + ", ".join(f"{s} {w:.4f}" for s, w in largest.items()), markup=False)
