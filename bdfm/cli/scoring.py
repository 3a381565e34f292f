"""Command on scores: ``score``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bdfm.cli.console import out
from bdfm.cli.options import Accept


def score(
    submission: Annotated[Path, typer.Option(help="Submission CSV: ID,Rank1..Rank5,Decision.")],
    prices: Annotated[Path, typer.Option(help="Daily adjusted closes that cover the period.")],
    start: Annotated[str, typer.Option(help="Friday before the period.")],
    end: Annotated[str, typer.Option(help="Final Friday of the period.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    accept: Accept = None,
) -> None:
    """Score a submission by the rules of M6. Ranked probability score and information ratio."""
    from bdfm import _checks
    from bdfm.data.sources import read_prices
    from bdfm.scoring.m6 import read_submission, score_submission

    result = score_submission(
        read_submission(submission),
        read_prices(prices),
        _checks.as_date(start, where="--start"),
        _checks.as_date(end, where="--end"),
        accept=accept or (),
    )
    if as_json:
        sys.stdout.write(json.dumps({"rps": result.rps, "ir": result.ir}) + "\n")
        return
    out.print(f"RPS {result.rps:.5f}  (0.16000 is a fifth for everything; lower is better)")
    out.print(f"IR  {result.ir:.5f}")


COMMANDS = (score,)
