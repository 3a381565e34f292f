"""The registry of rules: functions of tables with a name, a severity and the tables that they concern."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bdfm.data.doubts.finding import Finding, Severity
from bdfm.data.doubts.tables import Tables

Look = Callable[[Tables], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """A rule: ``look`` gives its findings; its docstring says what is doubted, from which threshold, and why.

    ``severity`` is the worst that it finds.
    """

    name: str
    severity: Severity
    tables: tuple[str, ...]
    look: Look

    @property
    def text(self) -> str:
        """What it doubts, and why from there on."""
        return " ".join((self.look.__doc__ or "").split())


RULES: Final[dict[str, Rule]] = {}


def rule(name: str, severity: Severity, *tables: str) -> Callable[[Look], Look]:
    """Decorator that enters a function into the registry."""

    def enter(look: Look) -> Look:
        RULES[name] = Rule(name, severity, tables, look)
        return look

    return enter
