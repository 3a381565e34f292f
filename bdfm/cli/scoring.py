"""Command on scores: ``score``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from bdfm import _json
from bdfm.cli.console import err, out, say_read
from bdfm.cli.options import Accept, Alias, DateFormat, DecimalMark, aliases_of


def score(
    given_file: Annotated[Path, typer.Option("--submission", help="Submission: ID,Rank1..Rank5,Decision.")],
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes that cover the period.")],
    origin: Annotated[str, typer.Option(help="Day of the forecast: the Friday before the period.")],
    end: Annotated[str, typer.Option(help="Final Friday of the period.")],
    date_format: DateFormat = None,
    decimal_mark: DecimalMark = None,
    alias: Alias = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    accept: Accept = None,
) -> None:
    """Score a submission by the rules of M6. Ranked probability score and information ratio."""
    from bdfm import _checks
    from bdfm.data.doubts.door import doubt_aliases
    from bdfm.data.sources import read_prices
    from bdfm.scoring.m6 import read_submission, score_submission

    aliases = aliases_of(alias)
    first, last = (
        _checks.as_date(day, where=where, date_format=date_format)
        for day, where in ((origin, "--origin"), (end, "--end"))
    )
    given = read_submission(given_file, aliases=aliases, decimal_mark=decimal_mark)
    table = read_prices(prices, date_format=date_format, decimal_mark=decimal_mark, aliases=aliases)
    say_read(given, table, to=err if as_json else out)
    doubt_aliases(aliases, accept=accept or ())
    result = score_submission(given, table, first, last, accept=accept or ())
    if as_json:
        facts = {"rps": result.rps, "equal_rps": result.equal_rps, "ir": result.ir}
        sys.stdout.write(_json.text(facts) + "\n")
        return
    equal = f"{result.equal_rps:.5f} is a fifth for everything"
    out.print(f"RPS {result.rps:.5f}  ({equal}; lower is better)")
    none = "none: it needs daily prices of a book that moves"
    out.print(f"IR  {none if math.isnan(result.ir) else f'{result.ir:.5f}'}")


COMMANDS = (score,)
