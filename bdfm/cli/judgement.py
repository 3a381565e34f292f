"""Commands on a forecast that is there: ``view``, ``edit``, ``decide``, ``report``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bdfm import _memory
from bdfm.cli.command import on_the_line
from bdfm.cli.console import out
from bdfm.cli.options import Accept, ChangesFile, ForecastFile, Memory, OutChanged, OutForecast
from bdfm.errors import DataError
from bdfm.forecast.choices import FORMS
from bdfm.names import FORECAST_FILE, REPORT_FILE
from bdfm.portfolio.choices import METHODS

if TYPE_CHECKING:
    from bdfm.forecast.changes import Changes


def view(
    forecast: ForecastFile,
    without_option: Annotated[list[str] | None, typer.Argument(metavar="", hidden=True)] = None,
    evidence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help=f"Measurement with an error: changes weights by its likelihood. Forms: {'; '.join(FORMS)}",
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="What shall hold. The same forms.")
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the views in a blend; 1, if not given."),
    ] = None,
    file: ChangesFile = None,
    out_file: OutChanged = None,
    accept: Accept = None,
    memory: Memory = None,
) -> None:
    """Change the weights of a forecast's draws by views. All are taken together."""
    from bdfm.forecast.changes import Changes, Step
    from bdfm.forecast.view_texts import parse

    if without_option:
        from bdfm._reading import quoted

        raise DataError(
            f"view: {quoted(without_option[0])} stands alone. Say before each what it is: --evidence, a"
            " measurement with an error, or --constraint, what shall hold."
        )

    given: list[tuple[list[str], Literal["evidence", "constraint"]]] = [
        (evidence or [], "evidence"),
        (constraint or [], "constraint"),
    ]
    share = 1.0 if confidence is None else confidence
    views = tuple(parse(t, semantics=s, confidence=share) for texts, s in given for t in texts)
    if file is None:
        changes = Changes((Step((), views),)) if views else None
    else:
        if views:
            raise DataError("view: give --file, or --evidence and --constraint, not both.")
        if confidence is not None:
            raise DataError("view: --confidence is for --evidence and --constraint. Write it into the file.")
        changes = Changes.from_toml(file)
    if changes is None or not changes.views:
        raise DataError("view: no view given. Use --evidence, --constraint or --file.")
    with _memory.within(memory, where="--memory"):
        _apply(changes, forecast, out_file, accept)


def edit(
    forecast: ForecastFile,
    edits: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EDIT]...", help='Such as "zero DRE" or "shift TLT by=0.01".'),
    ] = None,
    file: ChangesFile = None,
    out_file: OutChanged = None,
    accept: Accept = None,
    memory: Memory = None,
) -> None:
    """Change a forecast's draws by edits, in the order given."""
    from bdfm.forecast.changes import Changes, Step, parse_edits

    found = tuple(parse_edits(edits or []))
    if bool(found) == (file is not None):
        raise DataError('edit: give edits such as "zero DRE", or --file; one of both.')
    changes = Changes((Step(found),)) if file is None else Changes.from_toml(file)
    if not changes.edits:
        raise DataError(f"edit: {file} holds no [[edits]].")
    with _memory.within(memory, where="--memory"):
        _apply(changes, forecast, out_file, accept)


def decide(
    ctx: typer.Context,
    forecast: ForecastFile,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "equal",
    exposure: Annotated[float, typer.Option(help="Sum of absolute weights, 0.25 to 1.")] = 0.25,
    max_weight: Annotated[float, typer.Option(help="Largest weight, as a share of the exposure.")] = 1.0,
    short: Annotated[bool, typer.Option("--short", help="Allow negative weights.")] = False,
    mandate: Annotated[
        Path | None,
        typer.Option(
            help="File with a [mandate] table, such as a run file; its [holdings] are held before trading."
        ),
    ] = None,
    holdings: Annotated[
        Path | None,
        typer.Option(
            help="File with columns symbol, weight: what is held before trading; nothing without it."
        ),
    ] = None,
    universe: Annotated[
        Path | None, typer.Option(help="File with the columns that the mandate limits, such as sector.")
    ] = None,
    submission: Annotated[Path | None, typer.Option(help="Also write an M6 submission there.")] = None,
    out_file: OutForecast = None,
    memory: Memory = None,
) -> None:
    """Choose a portfolio within the limits of M6, or under a mandate. The forecast keeps it."""
    from bdfm import _files
    from bdfm._reading import counted
    from bdfm.cli.show import show_decision
    from bdfm.data.sources import read_universe
    from bdfm.forecast.forecast import Forecast
    from bdfm.portfolio.decisions import decide as decided
    from bdfm.portfolio.mandate import Mandate
    from bdfm.portfolio.methods import DecisionSettings
    from bdfm.risk.from_files import read_portfolios

    with _memory.within(memory, where="--memory"):
        path = _file(forecast)
        _not_in_ledger(out_file or path)
        loaded = Forecast.load(path)
        given = {"method": method, "exposure": exposure, "max_weight": max_weight, "short": short}
        settings: DecisionSettings | Mandate
        held: Mapping[str, float] = {}
        if mandate is None:
            settings = DecisionSettings(**given)
        else:
            if any(on_the_line(ctx, x) for x in given):
                raise DataError(
                    "decide: a mandate says all. Leave out --method, --exposure, --max-weight and --short."
                )
            settings, held = Mandate.from_toml(mandate)
        if holdings is not None:
            # what a book may be, the choice itself says
            table = read_portfolios(holdings, loaded.assets, accept=None, what="holdings")
            if len(table) != 1:
                raise DataError(
                    f"--holdings: {holdings.name} holds {counted(len(table), 'portfolio')}. Keep one."
                )
            held = {str(k): float(w) for k, w in table.iloc[0].items()}
        columns = None if universe is None else read_universe(universe)
        decision = decided(loaded, settings, holdings=held, universe=columns)
        show_decision(decision, loaded)
        with _files.together():
            written = [] if submission is None else [loaded.write_submission(submission, decision.weights)]
            written.append(decision.save_in(loaded).save(out_file or path))
        for file in written:
            out.print(f"{file}", markup=False, soft_wrap=True)


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help=f"Folder with {FORECAST_FILE}, or one forecast in it.")
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", help=f"Page to write; DIR/{REPORT_FILE}, if not given.")
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(help="Folder of the month before; that of the ledger around DIR, if not given."),
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Also write every table to DIR/report.xlsx.")
    ] = False,
    memory: Memory = None,
) -> None:
    """Write one HTML page about a forecast that needs no network."""
    from bdfm import _files
    from bdfm.report.page import write_report, write_report_workbook

    with _memory.within(memory, where="--memory"):
        with _files.together():
            written = [write_report(folder, out_file, previous=previous)]
            if excel:
                book = None if out_file is None else written[0].with_suffix(".xlsx")
                written.append(write_report_workbook(folder, book, previous=previous))
        for file in written:
            out.print(f"{file}", markup=False, soft_wrap=True)


def _file(path: Path) -> Path:
    from bdfm._folders import file_in

    return file_in(path, FORECAST_FILE)


def _apply(changes: Changes, forecast: Path, out_file: Path | None, accept: list[str] | None) -> None:
    from bdfm import _files
    from bdfm.cli.show import show_history, show_quantiles
    from bdfm.forecast.forecast import Forecast

    path = _file(forecast)
    if out_file is not None:
        _not_in_ledger(out_file)
    else:
        _files.nameable(_files.next_to(path))
    loaded = Forecast.load(path)
    result = changes.apply(loaded, accept=accept or ())
    show_quantiles(result)
    show_history(result, since=len(loaded.records))
    out.print(f"{result.effective_draws:,.0f} effective of {result.n_draws:,} draws")
    if out_file is None:
        written = _files.write_beside(path, result.save)
    else:
        written = result.save(out_file)
    out.print(f"{written}", markup=False, soft_wrap=True)


def _not_in_ledger(target: Path) -> None:
    """Raise for the forecast of a month in a ledger, where nothing is written over."""
    from bdfm.ledger.ledger import check_free

    target = target.resolve()  # a link to a month is written through
    if target.name == FORECAST_FILE:
        check_free(target.parent, instead="Give another file: --out.")


COMMANDS = (view, edit, decide, report)
