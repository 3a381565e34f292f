"""Edits: statements about single assets that change draws and never weights.

All kinds of them in one place. Each class is an edit in Python, in the tables ``[[edits]]`` of a file and in
texts on the command line; its fields are the arguments, the keys and the settings. A new edit is a class in
``event_edits`` or ``return_edits``, a name in ``AnyEdit`` and, for the fingers, a method in ``actions``. All
returns are simple, over the forecast horizon, as decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from bdfm import _checks, _numerals
from bdfm._reading import cut, quoted
from bdfm._symbols import IN_QUOTES, quote_fault, unquoted
from bdfm.errors import DataError
from bdfm.forecast.edit import Edit
from bdfm.forecast.event_edits import AcquiredForCash, AcquiredForStock, Drop, Halted, Suspended, Zero
from bdfm.forecast.records import Record
from bdfm.forecast.return_edits import Cap, Like, Replace, Scale, SetReturn, Shift
from bdfm.forecast.statements import by_kind, read

__all__ = [
    "EDITS",
    "AcquiredForCash",
    "AcquiredForStock",
    "AnyEdit",
    "Cap",
    "Drop",
    "Edit",
    "Halted",
    "Like",
    "Record",  # for those who record what they did by hand
    "Replace",
    "Scale",
    "SetReturn",
    "Shift",
    "Suspended",
    "Zero",
    "parse_edits",
]

AnyEdit = Annotated[
    Zero
    | SetReturn
    | AcquiredForCash
    | AcquiredForStock
    | Halted
    | Suspended
    | Like
    | Shift
    | Scale
    | Cap
    | Replace
    | Drop,
    Field(discriminator="kind"),
]
EDITS: Final[dict[str, type[Edit]]] = by_kind(AnyEdit)

# Words between spaces; what stands in quotes holds together, alone or as a value.
_KEY: Final = r"""(?:[^\s='"]+=)?"""
_WORD: Final = re.compile(rf"{_KEY}(?:{IN_QUOTES})(?!\S)|\S+")
_IN_QUOTES: Final = re.compile(rf"{_KEY}(?:{IN_QUOTES})")
_OPEN: Final = re.compile(rf"{_KEY}['\"]")
# Returns and chances, which a text may say in percent as a view does; prices and ratios are plain numbers.
_IN_PERCENT: Final = ("by", "value", "spread", "lower", "upper", "probability")


def with_new_names(table: Mapping[str, Any]) -> dict[str, Any]:
    """Table of ``[[edits]]`` in which keys that were renamed have their new names."""
    kind = EDITS.get(str(table.get("kind")))
    return dict(table) if kind is None else kind.with_new_names(table)


def parse_edits(texts: Sequence[str]) -> Iterator[Edit]:
    """Edits of short texts, as on the command line: ``"acquired_for_cash ATVI offer=95 price=81"``.

    The kind, the symbols, and settings as key=value. A symbol with spaces stands in quotes:
    ``zero 'AAPL US Equity'``, ``like CVX other='XOM US Equity'``. Returns and chances are decimals, or
    percentages with a % sign: ``shift XOM by=2%``.

    Raises ``UnknownLabelError`` for an unknown kind of edit; ``DataError`` for a text that is no edit, or a
    setting that is missing or cannot be.

    Examples
    --------
    >>> from bdfm.forecast import edits
    >>> (edit,) = edits.parse_edits(["shift XOM by=0.02"])
    >>> edit.asset, edit.by
    ('XOM', 0.02)
    """
    for text in texts:
        where = f"edit {quoted(text)}"
        kind, *words = _WORD.findall(text) or [""]
        _checks.known([kind], list(EDITS), what="kind of edit", where=where)
        if any(_OPEN.match(w) and not _IN_QUOTES.fullmatch(w) for w in words):
            raise DataError(f"{where}:{quote_fault(text)}")
        settings = [w for w in words if "=" in w and w[0] not in "'\"" and "(" not in w.split("=")[0]]
        table: dict[str, Any] = {"kind": kind, **_settings_of(EDITS[kind], settings)}
        named = [unquoted(w) for w in words if w not in settings]
        fields = EDITS[kind].words
        told = [*fields[: len(named)], *(w.partition("=")[0] for w in settings)]
        _checks.unique(told, what="setting", where=where, hint="Give each once, with or without its name.")
        if fields == ("assets",):
            said = {k: table[k].split(",") for k in _names_of_assets(EDITS[kind]) & table.keys()}
            table |= said if said and not named else said | {"assets": named}
        elif len(named) > len(fields):
            keys = [f"{k}=" for k in EDITS[kind].model_fields if k not in ("kind", *fields)]
            raise DataError(
                f"{where}: {cut(named[len(fields)])} is not of the form key=value. After"
                f" {' and '.join(fields)}, {kind} takes {', '.join(keys) or 'nothing'}. A symbol with spaces"
                " stands in quotes: 'AAPL US Equity'."
            )
        else:
            table |= dict(zip(fields, named, strict=False))
        yield read(table, EDITS, where=where)


def _names_of_assets(kind: type[Edit]) -> set[str]:
    """What the list of its assets is called, and was."""
    return {"assets", *(old for old, new in kind.renamed.items() if new == "assets")}


def _settings_of(kind: type[Edit], words: Sequence[str]) -> dict[str, Any]:
    """Settings of texts key=value, each of the type that the edit has there."""
    found = {}
    for key, _, text in (word.partition("=") for word in words):
        own = unquoted(text)
        part = _numerals.number(own[:-1]) if own.endswith("%") and key in _IN_PERCENT else None
        found[key] = kind.of_text(key, own) if part is None else part / 100
    return found
