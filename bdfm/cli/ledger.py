"""Commands of the routine from month to month: ``roll``, ``track``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bdfm import _json
from bdfm.cli.console import err, out, say_read
from bdfm.cli.options import Accept, Alias, DateFormat, DecimalMark, aliases_of
from bdfm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from bdfm.ledger.track import Track

ALARM_CODE = 3  # exit code of track where the alarm is raised


def roll(
    last: Annotated[Path, typer.Argument(metavar="LAST.TOML", help="Run file of the last month.")],
    origin: Annotated[str, typer.Option(help="Day of the next forecast, such as 2022-03-04.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write; ORIGIN.toml beside LAST, if not given.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT", help='"view 1", "edit 2", "evidence 1", views, edits, evidence, all. Repeatable.'
        ),
    ] = None,
    drop: Annotated[list[str] | None, typer.Option(metavar="WHAT", help="As --keep. Repeatable.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Also read and check the new month; fit nothing.")
    ] = False,
) -> None:
    """Write the run file of the next month. Views are kept or dropped as told, holdings drift."""
    from bdfm import _checks, _files
    from bdfm.report.month import read_month
    from bdfm.report.roll import roll as rolled_from
    from bdfm.report.roll import to_text

    rolled = rolled_from(last, origin, _prices_of(last), keep=keep or [], drop=drop or [])
    day = _checks.as_date(origin, where="--origin")
    target = last.with_name(f"{day:%Y-%m-%d}.toml") if out_file is None else out_file
    if _checks.there(target):
        raise DataError(f"roll: {target} is there already, and is not written over. Give another --out.")
    if target.resolve().parent != last.resolve().parent:
        raise DataError(f"roll: {target} does not lie beside {last}, so that its paths would not be right.")
    _files.write_text(target, to_text(rolled, last), anew=True)
    for word, texts in (("kept", rolled.kept), ("dropped", rolled.dropped)):
        for text in texts:
            out.print(f"{word} {text}", markup=False, soft_wrap=True)
    if rolled.note:
        err.print(f"roll: {rolled.note}.", markup=False, soft_wrap=True)
    if rolled.run.holdings:
        out.print(f"{len(rolled.run.holdings)} holdings, {sum(rolled.run.holdings.values()):.1%} invested")
    if check:
        try:
            read_month(target)
        except BaseException:  # what is refused is not there, so that the same call can be made again
            target.unlink(missing_ok=True)
            raise
    out.print(f"{target}", markup=False, soft_wrap=True)
    if check:
        out.print(f"{target}: data, model, edits, views and decision are in order. Nothing was fitted.")


def track(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The ledger: a folder of months.")],
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes that cover the months.")],
    false_alarm: Annotated[
        float, typer.Option(help="Chance that calibrated forecasts ever raise the alarm.")
    ] = 0.05,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="HTML page to write; DIR/track.html, if not given.")
    ] = None,
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings and an alarm.")] = False,
    accept: Accept = None,
) -> None:
    """Score all months of a ledger that are over. Exit code 3 says that the alarm is raised."""
    from bdfm import _files
    from bdfm.data.doubts.door import doubt_aliases
    from bdfm.data.sources import read_prices
    from bdfm.ledger.ledger import Ledger
    from bdfm.ledger.page import track_html
    from bdfm.ledger.track import track as tracked

    aliases = aliases_of(alias)
    table = read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=aliases)
    if not quiet:
        say_read(table, to=err if as_json else out)
    doubt_aliases(aliases, accept=accept or ())
    found = tracked(Ledger.open(folder), table, false_alarm=false_alarm, accept=accept or ())
    target = folder / "track.html" if out_file is None else out_file
    _files.write_text(target, track_html(found))
    if as_json:
        sys.stdout.write(_json.text(found.to_dict()) + "\n")
    elif not quiet:
        _show(found)
        out.print(f"{target}", markup=False, soft_wrap=True)
    if found.alarm is not None and found.alarm.raised is not None:
        if not as_json:
            out.print(f"ALARM in {found.alarm.raised}: forecasts are not calibrated ({found.alarm.reason}).")
        raise typer.Exit(ALARM_CODE)


def _prices_of(last: Path) -> pd.DataFrame:
    """Prices that a run file names."""
    from bdfm._symbols import check_aliases
    from bdfm.data.sources import demo, read_prices
    from bdfm.report.run_file import read_run_file

    run, _ = read_run_file(last)
    if run.data.prices is None:
        return demo()[0]
    return read_prices(
        last.parent / run.data.prices,
        date_format=run.data.date_format,
        decimal_mark=run.data.decimal_mark,
        aliases=check_aliases(run.aliases, where=f"{last}, [aliases]"),
    )


def _show(found: Track) -> None:
    from bdfm._sheet import Sheet
    from bdfm.ledger.page import texts

    for title, table in texts(found):
        if len(table):
            names = [str(c) for c in table.columns]
            n_texts = 1  # columns of words, such as a view's, stand first
            while n_texts < len(names) and any(re.match("[A-Za-z]", str(x)) for x in table.iloc[:, n_texts]):
                n_texts += 1
            shown = Sheet(title, names[:n_texts], names[n_texts:])
            for row in table.itertuples(index=False):
                shown.add_row(*map(str, row))
            out.print()
            out.print(shown)
    if found.open:
        out.print(f"\nNot over yet: {', '.join(found.open)}")


COMMANDS = (roll, track)
