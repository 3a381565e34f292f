"""The one function that all doors for data pass through, and the rules that it asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._symbols import Aliases
from bdfm.data.doubts import calendar, computed, factors, forms, members, pairs, prices, said, still
from bdfm.data.doubts.factors import against_assets
from bdfm.data.doubts.finding import EVERYTHING, Finding, Findings, as_records
from bdfm.data.doubts.pairs import shifted_factors
from bdfm.data.doubts.rule import RULES
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError

MODULES = (
    prices,
    forms,
    calendar,
    still,
    computed,
    pairs,
    factors,
    members,
    said,
)  # importing them fills the registry


def check_accept(accept: Collection[str], *, where: str = "accept") -> tuple[str, ...]:
    """What is accepted, as ``RULE`` or ``RULE:SYMBOL``; ``UnknownLabelError`` where there is no such rule."""
    if not isinstance(accept, Iterable):
        raise DataError(f"{where}: a list of RULE or RULE:SYMBOL was expected, got {accept!r}.")
    given = (accept,) if isinstance(accept, str) else tuple(dict.fromkeys(accept))
    names = [str(x).partition(":")[0] for x in given]
    _checks.known(
        [n for n in names if n != EVERYTHING],
        list(RULES),
        what="rule",
        where=where,
        hint="Write RULE or RULE:SYMBOL.",
    )
    return given


def examine(tables: Tables, *, accept: Collection[str] = ()) -> Findings:
    """Findings of all rules about tables, none of them enforced.

    Parameters
    ----------
    tables
        What goes through the door together.
    accept
        ``RULE`` or ``RULE:SYMBOL``: what is right although it looks wrong; ``"*"`` accepts everything.
    """
    given = check_accept(accept)
    # sums and squares of absurd numbers overflow; their bounds are the readers', who name them
    with np.errstate(over="ignore", invalid="ignore"):
        found = [f for rule in RULES.values() if tables.has(rule.tables) for f in rule.look(tables)]
    if tables.since is not None:
        first = f"{tables.since:%Y-%m-%d}"
        found = [replace(f, severity="note") if _is_old(f, first) else f for f in found]
    return Findings(found).accepting(given)


def _is_old(finding: Finding, first: str) -> bool:
    """Whether a warning is about days before the first that count."""
    return finding.severity == "warn" and bool(finding.days) and max(finding.days) < first


_kept: ContextVar[list[Finding] | None] = ContextVar("kept findings", default=None)


@contextmanager
def kept() -> Iterator[list[Finding]]:
    """List that fills with what every door inside the block finds, for the record of a run."""
    found: list[Finding] = []
    token = _kept.set(found)
    try:
        yield found
    finally:
        _kept.reset(token)


def record(found: Sequence[Finding]) -> dict[str, list[dict[str, Any]]]:
    """What a summary says of the findings of a run: those accepted, and those warned of, once each."""
    once = Findings(list(dict.fromkeys(found)))
    return {"accepted": as_records(once.accepted), "warned": as_records(once.of("warn"))}


def doubt_aliases(aliases: Aliases, *, accept: Collection[str] | None = ()) -> None:
    """Doubts about aliases, once every file has been read that they are for; as ``doubt``."""
    doubt(Tables(aliases=aliases.unused), accept=accept)


def doubt_beside(prices: pd.DataFrame, factors: pd.DataFrame, *, accept: Collection[str] | None = ()) -> None:
    """Doubts about factors that the prices beside them show, where each went through a door alone."""
    both = Tables("risk", prices=prices, factors=factors)
    seen = [*against_assets(both), *shifted_factors(both)]
    found = Findings(seen).accepting(check_accept(accept or ()))
    if (keep := _kept.get()) is not None:
        keep += found
    found.enforce()


def doubt(tables: Tables, *, accept: Collection[str] | None = (), acceptable: bool = True) -> Findings:
    """Findings about tables, after refusing or warning.

    Parameters
    ----------
    tables, accept
        As in ``examine``. None where another door has examined the same tables: no rule is asked.
    acceptable
        Whether the caller can say what it accepts. If not, no message says how to.

    Raises
    ------
    DataError
        One error that lists every refusal, each with its rule and what accepts it.
    UnknownLabelError
        ``accept`` names no rule.

    Warns
    -----
    DataWarning
        One line for each kind of doubt that does not refuse.
    """
    if accept is None:
        return Findings()
    found = examine(tables, accept=accept)
    if not acceptable:
        found = Findings([replace(f, acceptable=False) for f in found])
    if (keep := _kept.get()) is not None:
        keep += found
    return found.enforce()
