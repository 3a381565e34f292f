"""TOML that people write: a text to a table, and one error for all that it cannot be."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bdfm import _checks
from bdfm._reading import STATEMENT, short
from bdfm.errors import BdfmError, DataError

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")  # a name that needs no quotes
_NAMES: Final = re.compile(r""" *"[^"]*" *| *'[^']*' *|[^.]+""")  # of a key such as limits."GICS Sector".Oil
_PLACE: Final = re.compile(r"\(at line (\d+), column (\d+)\)")
_TEXTS: Final = re.compile(r"""'[^']*'|"[^"]*"|\#.*""")  # of a line, and its comment
_CURLY: Final = "“”„‟‘’‚‛«»‹›″′`´＂＇"  # what editors, keyboards and pages make of the quotes of TOML
# A text that begins with a quote of TOML, and ends with another sign that looks like one
_ENDS_OTHERWISE: Final = re.compile(
    rf"""(?<![^\s=\[,{{])(?:(")[^"{_CURLY}]*?(['{_CURLY}])|(')[^'{_CURLY}]*?(["{_CURLY}]))(?=\s*(?:[,\]}}#=]|$))"""
)
_UNQUOTED: Final = re.compile(r"""[^,\]}#"'=]+""")  # a value as far as it may be one text
_WORDS: Final = {
    **dict.fromkeys(("yes", "on"), "true"),
    **dict.fromkeys(("no", "off"), "false"),
    **{f"{sign}{x}": f"{sign}{x[:3]}" for sign in ("", "+", "-") for x in ("inf", "infinity", "nan")},
}  # what other languages write, and what TOML does


def key(name: str) -> str:
    """Name as a key of TOML: in quotes where it has other signs than a bare key may have."""
    return name if _BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """Text in quotes of TOML: single ones where that spares marks before its own signs."""
    if set(value) & {'"', "\\"} and "'" not in value and value.isprintable():
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)


def with_points(name: str, came: object) -> str:
    """Advice on a name with points, of which TOML makes tables: BRK.B = 0.1; with a space before it."""
    whole = name
    while isinstance(came, Mapping) and came:
        more, came = next(iter(came.items()))
        whole += f".{more}"
    if whole == name:
        return ""
    value = text(short(came)) if isinstance(came, str) else str(came)
    value = value.lower() if isinstance(came, bool) else value
    return f" A name with a point stands in quotes: {key(short(whole))} = {short(value)}."


def _advice(content: str, error: str) -> str:
    """What to do about a line that is no TOML, with a space before it; blank where this cannot tell."""
    place = _PLACE.search(error)
    lines = content.split("\n")
    if place is None or int(place[1]) > len(lines):
        # a text without an end is told of the end of the document, and is in its last line
        return _of_quotes(content.rstrip().rpartition("\n")[2])
    line, column = lines[int(place[1]) - 1], int(place[2]) - 1
    before, rest = line[:column], line[column:]
    if rest[:1] in tuple(_CURLY):
        return f' Quotes are straight in TOML: " and not {rest[0]}.'
    if quotes := _of_quotes(line):
        return quotes
    if "Unescaped" in error or "Invalid hex value" in error:
        many_lines = "\n".join(lines[: int(place[1]) - 1])
        return "" if many_lines.count('"""') % 2 else _of_escape(line, column)
    if "Invalid value" in error:
        return _of_value(before, rest)
    if "after a statement" in error and re.search(r"=\s*[+-]?\d+$", before):
        comma = re.match(r",(\d+)\s*(?:#|$)", rest)
        if comma is None:
            return ""
        thousands = len(comma[1]) == 3  # or three decimals
        return f" Numbers have {'no commas, and ' if thousands else ''}a decimal point."
    header = re.match(r"\s*\[+([^\]]*)", line)
    named, is_pair, _ = line.partition("=")
    if not re.search("Invalid statement|Expected '=' after|a key part|end of a table declaration", error):
        return ""
    if header is None and not is_pair:
        return " A line is NAME = VALUE, or the name of a table in brackets."
    names = [n.strip() for n in _NAMES.findall((header[1] if header else named).strip())]
    odd = next((n for n in names if n[:1] not in ("", "'", '"') and not _BARE.fullmatch(n)), "")
    if not odd or set(odd) & {'"', "'"}:  # which of its quotes is meant, nothing says
        return ""
    written = key(short(odd)) if header else f"{key(short(odd))} = ..."
    return f" A name with other signs than A to Z, digits, _ and - stands in quotes: {written}."


def _of_quotes(line: str) -> str:
    """Advice on a text of a line that begins with a quote and ends with another sign; blank for others."""
    found = _ENDS_OTHERWISE.search(line)
    if found is None:
        return ""
    first, last = (mark for mark in found.groups() if mark)
    if last in _CURLY:
        return f" Quotes are straight in TOML: {first} and not {last}."
    return f" A text ends with the quote it begins with: {first} and not {last}."


def _of_escape(line: str, column: int) -> str:
    """Advice on the text in double quotes that a column is in, of which marks are no escapes: a path, say."""
    found = next((m for m in _TEXTS.finditer(line) if m.start() < column <= m.end()), None)
    if found is None or found[0][0] != '"' or not re.match(r"\s*(?:[,\]}#=.]|$)", line[found.end() :]):
        return ""
    written = text(short(found[0][1:-1]))
    if written[0] == '"':
        return f" In double quotes each \\ is written twice: {written}."
    return f" A text with \\ stands in single quotes: {written}."


def _of_value(before: str, rest: str) -> str:
    """Advice on a value that is none, ``rest`` of a line, after what stands ``before`` it."""
    if rest.strip()[:1] in ("", "#", ",", "]", "}"):
        return " A value is missing."
    found = _UNQUOTED.match(rest)
    word = found[0].strip().rstrip(_CURLY) if found else ""
    after = rest[found.end() :] if found else rest
    _, is_pair, begun = before.partition("=")
    inside = not is_pair or bool(set(begun) & {"[", "{"})  # brackets
    if not word or after[:1] not in (("", "#", ",", "]", "}") if inside else ("", "#")):
        return ""
    if word.lower() in ("true", "false"):
        return f" Write {word.lower()}."
    if re.fullmatch(r"[+-]?\.\d+", word):
        return " A number is written such as 0.5."
    if re.match(r"[−–—]\d", word):
        return " A minus is the sign -."
    if re.match(r"[^\w/\\]*\d", word):  # a number of some kind
        return ""
    if word.lower() in ("none", "null", "nil"):
        return f" Leave it out where nothing is meant; a text stands in quotes: {text(word)}."
    if word.lower() in _WORDS:
        return f" Write {_WORDS[word.lower()]}; a text stands in quotes: {text(word)}."
    if inside and " " in word:  # one text or two
        return " A text stands in quotes."
    return f" A text stands in {'single ' if chr(92) in word else ''}quotes: {text(short(word))}."


def source_text(source: str | Path, *, what: str) -> tuple[str, str]:
    """What a source is called in messages, and its text: a path's, also one that is a text, or itself."""
    if isinstance(source, Path) or (source.endswith(".toml") and "\n" not in source):
        return str(source), _checks.existing_text(Path(source), what=what)
    return what, source


def parsed(text: str, *, where: str, kind: type[BdfmError] = DataError) -> dict[str, Any]:
    """Table of a TOML text; ``kind`` of error where it is none, or nested too deeply."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # the latter for numbers and dates that are none
        told = short(error, STATEMENT).rstrip(".")
        raise kind(f"{where}: not valid TOML: {told}.{_advice(text, str(error))}") from error
    except RecursionError:
        raise kind(f"{where}: not valid TOML: its brackets are nested too deeply.") from None
