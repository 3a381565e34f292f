"""Findings: what a rule has seen in a table, what to do about it, and whether it was accepted."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import pandas as pd

from bdfm import _checks, _json
from bdfm._reading import PACKAGE, counted
from bdfm._symbols import in_shell
from bdfm.errors import DataError, DataWarning

if TYPE_CHECKING:
    from bdfm._sheet import Sheet

log = logging.getLogger(__name__)

Severity = Literal["refuse", "warn", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("refuse", "warn", "note")
EVERYTHING: Final = "*"  # accepts every rule
MAX_TOLD: Final = 3  # findings of one kind that a message tells in full


@dataclass(frozen=True)
class Finding:
    """What one rule has seen.

    Attributes
    ----------
    rule
        Name of the rule, such as ``"unit-step"``.
    severity
        ``refuse``: nothing is computed unless it is accepted; ``warn``: one line; ``note``: only
        ``bdfm check`` tells it.
    table
        Where it was seen: prices, factors, returns, universe, portfolio, earnings, statements, aliases.
    labels
        Symbols or columns concerned; empty where it is about the whole table.
    days
        Days concerned (2022-03-04), oldest first; empty where no single days are.
    seen
        What was seen, with numbers.
    usual
        What is right or usual, and what goes wrong otherwise.
    remedy
        What to do.
    acceptable
        Whether ``accept`` can help: prices below zero are of no use to anyone.
    accepted
        Whether it was accepted.
    """

    rule: str
    severity: Severity
    table: str
    labels: tuple[str, ...]
    days: tuple[str, ...]
    seen: str
    usual: str
    remedy: str
    acceptable: bool = True
    accepted: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What ``accept`` may say of it: the rule, or the rule and each label."""
        return (self.rule, *(f"{self.rule}:{label}" for label in self.labels))


class Findings(Sequence[Finding]):
    """Findings of all rules, refusals first, then warnings, then notes."""

    def __init__(self, findings: Sequence[Finding] = ()) -> None:
        order = {s: i for i, s in enumerate(SEVERITIES)}
        self._all = tuple(sorted(findings, key=lambda f: order[f.severity]))

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Finding]: ...
    def __getitem__(self, index: int | slice) -> Finding | Sequence[Finding]:
        """One finding, or a slice of them."""
        return self._all[index]

    def __len__(self) -> int:
        return len(self._all)

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Findings of a severity that were not accepted."""
        return tuple(f for f in self._all if f.severity == severity and not f.accepted)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """Refusals and warnings that were accepted."""
        return tuple(f for f in self._all if f.accepted)

    @property
    def exit_code(self) -> int:
        """Exit code of ``bdfm check``: 2 where something is refused, 1 where warned of, else 0."""
        return 2 if self.of("refuse") else int(bool(self.of("warn")))

    def accepting(self, accept: Collection[str]) -> Findings:
        """Findings of which those that ``accept`` names count as accepted; notes stay as they are."""
        wanted = set(accept)
        return Findings(
            [
                replace(f, accepted=f.acceptable and f.severity != "note" and _is_accepted(f, wanted))
                for f in self._all
            ]
        )

    def enforce(self) -> Findings:
        """The findings themselves, after an error of all refusals, or a warning for each kind of warning.

        Raises ``DataError`` that lists every refusal; warns (``DataWarning``) of the rest, notes are logged.
        """
        told = [_message(group) for group in _groups(self.of("refuse"))]
        if len(told) == 1:
            raise DataError(told[0])
        if told:
            lines = "".join(f"\n- {line}" for line in told)
            raise DataError(f"{counted(len(told), 'doubt')} about the data refuse them:{lines}")
        for group in _groups(self.of("warn")):
            warnings.warn(_message(group), DataWarning, skip_file_prefixes=(PACKAGE,))  # the caller's line
        for group in _groups(self.of("note")):
            log.info("%s", _message(group))
        return self

    def table(self) -> pd.DataFrame:
        """One row for each finding: the fields of ``Finding``."""
        columns = list(Finding.__dataclass_fields__)
        rows = [asdict(f) | {"labels": ", ".join(f.labels), "days": ", ".join(f.days)} for f in self._all]
        return pd.DataFrame(rows, columns=columns)

    def to_json(self) -> str:
        """JSON text: number of findings of each severity, exit code, and the findings."""
        return _json.text(
            {
                **{s: len(self.of(s)) for s in SEVERITIES},
                "accepted": len(self.accepted),
                "exit_code": self.exit_code,
                "findings": [asdict(f) for f in self._all],
            },
            indent=2,
        )

    def rich_table(self) -> Sheet:
        """Table for a terminal."""
        from rich.text import Text

        from bdfm._sheet import Sheet

        table = Sheet("", ["", "rule"], texts=["where", "seen", "what to do"])
        colour = {"refuse": "red", "warn": "yellow", "note": "dim"}
        for f in self._all:
            verdict = "accepted" if f.accepted else f.severity
            where = f"{f.table}: {_checks.first(f.labels)}" if f.labels else f.table
            cells = (f.rule, where, f.seen, f"{f.usual} {f.remedy}".strip())
            table.add_row(Text(verdict, style=colour.get(verdict, "green")), *cells)
        return table

    def _repr_html_(self) -> str:
        """Table for a notebook or a page."""
        head = "".join(f"<th>{x}</th>" for x in ("", "rule", "where", "days", "seen", "what to do"))
        rows = []
        for f in self._all:
            where = f"{f.table}: {_checks.first(f.labels)}" if f.labels else f.table
            verdict = "accepted" if f.accepted else f.severity
            told = f"{f.usual} {f.remedy}".strip()
            cells = (verdict, f.rule, where, _checks.first(f.days, 3), f.seen, told)
            rows.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
        return f"<p><b>{escape(repr(self)[1:-1])}</b></p><table><tr>{head}</tr>{''.join(rows)}</table>"

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.of(s))} {s}" for s in SEVERITIES)
        return f"<Findings: {counts}, {len(self.accepted)} accepted>"


def _is_accepted(finding: Finding, wanted: Collection[str]) -> bool:
    """Whether the rule is accepted, or each label by itself; of pairs, one of the two is enough."""
    if EVERYTHING in wanted or finding.rule in wanted:
        return True
    return any(name in wanted for name in finding.names[1:])


def _groups(findings: Sequence[Finding]) -> Iterator[tuple[Finding, ...]]:
    """Findings of one kind together, in order."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.rule, f.table, f.usual, f.remedy), []).append(f)
    yield from (tuple(g) for g in groups.values())


def _message(group: Sequence[Finding]) -> str:
    """One line about findings of one kind, with what would accept them."""
    f = group[0]
    more = f" and {len(group) - MAX_TOLD} more" if len(group) > MAX_TOLD else ""
    seen = "; ".join(x.seen for x in group[:MAX_TOLD]) + more
    counted = f"{len(group)} found: " if len(group) > 1 else ""
    text = f"{f.table}: {counted}{seen}. {f.usual} {f.remedy}".rstrip()
    if not f.acceptable:
        return f"{text} [{f.rule}]"
    names = list(dict.fromkeys(x.names[-1] if len(x.labels) == 1 else x.names[0] for x in group))
    how = names[0] if len(names) == 1 else f"{f.rule}:SYMBOL or {f.rule}"
    quiet = "If it is right" if f.severity == "refuse" else "If it is right, and not to be told again"
    return f"{text} {quiet}: --accept {in_shell(how)}. [{f.rule}]"


def as_records(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON values for a summary: rule, table, labels, days, what was seen."""
    return [
        {"rule": f.rule, "table": f.table, "labels": list(f.labels), "days": list(f.days), "seen": f.seen}
        for f in findings
    ]
