"""Rule on numbers that people state: evidence, views, edits, offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bdfm.data.doubts.finding import Finding, Severity
from bdfm.data.doubts.rule import rule
from bdfm.data.doubts.tables import Tables

LARGEST: Final = 100.0  # of a return, sd or loss: beyond 10,000 % it is no statement, whoever accepts it
LARGE_RETURN: Final = 1.0  # of a period: 100 %
LARGE_SD: Final = 1.0
SMALL_SD: Final = 1e-3  # 0.1 %, a twentieth of what the calmest asset has in a month
SURE_SD: Final = 1e-6  # no statement about a price is as exact as this
RATIO: Final = 3.0  # of an offer to the price, or of a price given to the close


@rule("statement-unit", "refuse", "statements")
def statement_unit(tables: Tables) -> Iterator[Finding]:
    """Statements in the wrong unit.

    Refused: a return of 100 % or more in a period, or an sd of 100 % or more, which are percent written as
    decimals (5 for 5 %); an sd below 0.0001 %; an offer or a price that is more than three times the close or
    less than a third of it, which is another unit, or unadjusted against adjusted. Warned of: an sd below
    0.1 %, more certain than any statement about a return.
    """
    for said in tables.said:
        severity: Severity = "refuse"
        label = f"{said.where}: " if said.where else ""
        if said.what == "return" and abs(said.value) >= LARGE_RETURN:
            seen = f"{label}a return of {said.value:g}, which is {_percent(said.value)}"
            usual, remedy = (
                "Returns are decimals: 0.05 is 5 %.",
                "Divide by 100, or write 5%, if it is in percent.",
            )
        elif said.what == "sd" and said.value >= LARGE_SD:
            seen = f"{label}an sd of {said.value:g}, which is {said.value:,.0%}"
            usual, remedy = (
                "Sds are decimals: 0.05 is 5 %.",
                "Divide by 100, or write 5%, if it is in percent.",
            )
        elif said.what == "sd" and 0 < said.value < SMALL_SD:
            severity = "refuse" if said.value < SURE_SD else "warn"
            seen = f"{label}an sd of {said.value:g}, which is {100 * said.value:.2g} %"
            usual = "No statement about a return is as certain as that."
            remedy = "Give a larger sd; what is sure is an edit, such as set_return."
        elif said.what == "ratio" and not 1 / RATIO <= said.value <= RATIO:
            seen = f"{label}{said.shown}"
            usual = "They are of different units, or one of them is adjusted for splits and dividends."
            remedy = "Give both in one unit, as of the same day."
        else:
            continue
        yield Finding("statement-unit", severity, "statements", (said.symbol,), (), seen, usual, remedy)


def _percent(value: float) -> str:
    """A number in percent, in as many digits as can be read."""
    return f"{value:+,.0%}" if abs(value) < 1e4 else f"{100 * value:+.3g}%"
