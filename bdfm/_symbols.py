"""Symbols that are spelled in more than one way: aliases, and the guess of what an unknown one is."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Iterable, Mapping, Sized
from difflib import get_close_matches
from typing import Any, Final, cast

from bdfm._reading import quoted, short
from bdfm.errors import DataError

_CASH: Final = re.compile(r"^\$?cash(?:$|[\s_./&-])", re.I)
_SUFFIX: Final = re.compile(r"\s+([A-Z]{2}\s+)?(EQUITY|INDEX|CURNCY|COMDTY|CORP)$", re.I)
# A symbol with spaces in a text of several words, such as 'AAPL US Equity' in a view. A quote is one where a
# word begins, alone or as a value: that of O'Neil is none.
IN_QUOTES: Final = r"""'[^']*[^'\s][^']*'|"[^"]*[^"\s][^"]*\""""
NO_QUOTE: Final = r"""(?!['"])"""
_QUOTED: Final = re.compile(rf"(?<![^\s(,=])(?:{IN_QUOTES})(?![^\s),=<>:])")
_OPEN: Final = re.compile(r"""(?<![^\s(,=])['"]""")
_ALIAS: Final = re.compile(rf"\s*({IN_QUOTES}|{NO_QUOTE}[^=]+?)\s*=\s*({IN_QUOTES}|{NO_QUOTE}[^=]+?)\s*")


def unquoted(symbol: str) -> str:
    """Symbol of a text without the quotes around it, as ``IN_QUOTES`` has them."""
    return symbol[1:-1].strip() if re.fullmatch(IN_QUOTES, symbol) else symbol


def in_quotes(symbol: str) -> str:
    """Symbol as texts of several words take it; one that has quotes of both kinds has no such form."""
    mark = '"' if "'" in symbol else "'"
    return f"{mark}{symbol}{mark}"


def without_quoted(text: str) -> str:
    """Text of the same length in which what stands in quotes is blank, so that its words are not taken."""
    return _QUOTED.sub(lambda found: " " * len(found[0]), text)


def quote_fault(text: str) -> str:
    """What is wrong with the quotes of a text, with a space before it; blank where they are in order."""
    if _OPEN.search(without_quoted(text)) is None:
        return ""
    return (
        " One of its quotes is not closed, holds nothing, or ends within a word: around a symbol stand two,"
        " with spaces before and after, such as 'AAPL US Equity'."
    )


def spelling(symbol: str) -> str:
    """Symbol without what sources vary: case, BF.B or BF-B or BF/B, a suffix such as US Equity."""
    return re.sub(r"[\s./_-]+", "-", _SUFFIX.sub("", symbol.strip())).upper()


# Letters of other scripts that look like Latin ones, and these
_LIKE_LATIN: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеіјорѕсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "ABESIJKMHOPCTYXaeijopscyxABEZHIKMNOPTYXo",
)


def latin(text: str) -> str:
    """Text as it looks: full-width letters, and those of other scripts that look Latin, as Latin ones."""
    return unicodedata.normalize("NFKC", text).translate(_LIKE_LATIN)


def other_spelling(symbol: str, allowed: Iterable[str]) -> str:
    """The one symbol that is spelled otherwise; blank where there is none, or more than one."""
    found = [x for x in dict.fromkeys(allowed) if spelling(x) == spelling(symbol) and x != symbol]
    return found[0] if len(found) == 1 else ""


def is_cash(label: object, known: Iterable[str] = ()) -> bool:
    """Whether a label of a portfolio is cash: CASH, $CASH, Cash USD ..., unless an asset is called so."""
    symbol = str(label).strip()
    return _CASH.match(symbol) is not None and symbol not in set(known)


def did_you_mean(symbol: str, allowed: Iterable[str], *, alias: bool = False) -> str:
    """Question about an unknown symbol, with a space before it; blank where nothing is like it.

    With ``alias`` it says how to call one by the other's name, where they are spellings of one symbol.
    """
    labels = list(allowed)
    looks = next((x for x in labels if x != symbol and latin(x) == latin(symbol)), "")
    if looks:
        odd = next((c for c in symbol + looks if c not in latin(c)), "")
        if not odd:  # an accent that is a character of its own, in the one of both
            return f" Did you mean {looks}, the same letters composed otherwise?"
        return f" Did you mean {looks}, which looks the same? {odd} is {unicodedata.name(odd, 'no letter')}."
    other = other_spelling(symbol, labels)
    if other:
        way = f" --alias {_as_option(symbol, other)} (aliases in Python and run files)." if alias else ""
        return f" Did you mean {other}?{way}"
    close = get_close_matches(symbol, labels, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _as_option(old: str, new: str) -> str:
    """Alias as a shell takes it, and ``alias_of``."""
    return in_shell("=".join(in_quotes(x) if "=" in x or x[0] in "'\"" else x for x in (old, new)))


def in_shell(text: str) -> str:
    """Value of an option as a shell takes it: in quotes where it has spaces or other signs of a shell."""
    if shlex.quote(text) == text:
        return text
    return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)


class Aliases(dict[str, str]):
    """Symbol of the files to the one it is called by; knows which of them some table had.

    The tables of one command are read with one of these, so that what none of them has can be told.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        super().__init__(aliases)
        self._met: set[str] = set()

    def rename(self, label: object) -> str:
        """What a symbol of a table is called by."""
        symbol = str(label).strip()
        if symbol in self:
            self._met.add(symbol)
        return self.get(symbol, symbol)

    @property
    def unused(self) -> dict[str, str]:
        """Those whose symbol no table had so far."""
        return {old: new for old, new in self.items() if old not in self._met}


def check_aliases(
    aliases: Mapping[str, str] | Iterable[tuple[str, str]] | None, *, where: str = "aliases"
) -> Aliases:
    """Aliases, or pairs of old and new symbol, as texts.

    Raises ``DataError`` for a blank one, one that leads to another alias, and a symbol with two names.
    """
    if isinstance(aliases, Aliases):
        return aliases
    found: dict[str, str] = {}
    pairs = list(aliases.items() if isinstance(aliases, Mapping) else _pairs(aliases, where))
    for a, b in pairs:
        old, new = str(a).strip(), str(b).strip()
        if found.setdefault(old, new) != new:
            raise DataError(
                f"{where}: {old} = {found[old]}, and {old} = {new}. A symbol has one name: keep one."
            )
    for old, new in found.items():
        if not old or not new:
            raise DataError(f"{where}: a symbol is blank ({old!r} = {new!r}). Give both.")
        if new in found and new != old:
            raise DataError(f"{where}: {old} = {new}, and {new} = {found[new]}. Give the last name for each.")
    return Aliases({a: b for a, b in found.items() if a != b})


def _pairs(given: object, where: str) -> Iterable[tuple[object, object]]:
    """Pairs of a list of them; ``DataError`` for anything else."""
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping | os.PathLike)
    items: list[Any] = [] if given is None else list(cast("Iterable[Any]", given)) if several else [given]
    pairs = (isinstance(x, Sized) and not isinstance(x, str | bytes) and len(x) == 2 for x in items)
    bad = next((x for x, is_pair in zip(items, pairs, strict=True) if not is_pair), None)
    if bad is not None:
        raise DataError(
            f"{where}: {short(repr(bad))} is none. Give a dict of old and new symbols, or a path of a file."
        )
    return items


def alias_of(text: str, *, where: str = "--alias") -> tuple[str, str]:
    """Alias of a text such as FB=META; ``DataError`` when it is none."""
    found = _ALIAS.fullmatch(text)
    if found is None:
        several = text.count("=") > 1 and not quote_fault(text)
        first = text.partition("=")[0].strip()
        why = (
            f" It has more than one =: a symbol that has one stands in quotes, as {in_quotes(short(first))}."
        )
        raise DataError(
            f"{where}: {quoted(text)} is not of the form OLD=NEW, such as FB=META, nor a file of two columns."
            f"{why if several else quote_fault(text)}"
        )
    return unquoted(found[1]), unquoted(found[2])
