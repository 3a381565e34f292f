"""Scenarios of short texts, as on the command line: shocks to factors, past windows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import pandas as pd

from bdfm import _checks, _numerals
from bdfm._reading import quoted
from bdfm.errors import DataError

_MOVE: Final = re.compile(rf"(?P<name>.+?)\s*=\s*(?P<number>{_numerals.NUMBER})\s*(?P<unit>%|sd)?")
_WINDOW: Final = re.compile(r"(?:(?P<name>.+?)\s*=\s*)?(?P<first>[^=]+?)\s*\.\.\s*(?P<last>.+)")
MOVE_FORM: Final = '"Mkt-RF = -10%, HML = 2%" (a move in percent, or a decimal), "Mkt-RF = -2 sd"'
WINDOW_FORM: Final = '"2008-09-01..2008-09-30" or "Lehman = 2008-09-01..2008-09-30"'


def parse_shock(text: str) -> tuple[dict[str, float], frozenset[str]]:
    """Moves of a text, by factor, and the factors whose move is in their volatilities (sd)."""
    moves: dict[str, float] = {}
    scaled = set()
    for part in text.split(","):
        found = _MOVE.fullmatch(_numerals.with_minus(part.strip()))
        if found is None:
            raise DataError(f"shock {quoted(text)}: not understood. Write {MOVE_FORM}.")
        name = found["name"].strip()
        if name in moves:
            raise DataError(f"shock {quoted(text)}: {name} is named twice. Keep one.")
        moves[name] = float(found["number"]) / (100 if found["unit"] == "%" else 1)
        if found["unit"] == "sd":
            scaled.add(name)
        elif abs(moves[name]) > 1:
            raise DataError(
                f"shock {quoted(text)}: a move of {moves[name]:.0%}. Write percent with a sign (-10%),"
                " decimals (-0.1), or volatilities (-2 sd)."
            )
    return moves, frozenset(scaled)


def parse_window(text: str) -> tuple[str, tuple[pd.Timestamp, pd.Timestamp]]:
    """Name, first and last day of a text."""
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise DataError(f"window {quoted(text)}: not understood. Write {WINDOW_FORM}.")
    first, last = (_checks.as_date(found[k], where=f"window {quoted(text)}") for k in ("first", "last"))
    if last < first:
        raise DataError(f"window {quoted(text)}: it ends before it begins. Write {WINDOW_FORM}.")
    return found["name"] or f"{first:%Y-%m-%d} to {last:%Y-%m-%d}", (first, last)


def parse_windows(texts: Iterable[str]) -> dict[str, tuple[pd.Timestamp, pd.Timestamp]]:
    """Windows of texts by name; ``DataError`` where a name has two."""
    found: dict[str, tuple[pd.Timestamp, pd.Timestamp]] = {}
    for name, window in map(parse_window, texts):
        if found.setdefault(name, window) != window:
            raise DataError(f"window {quoted(name)}: it is given twice, with other days. Give another name.")
    return found
