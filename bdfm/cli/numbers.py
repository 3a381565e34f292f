"""Numbers of options: the rule of ``_numerals`` before the library that takes options apart reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args, get_type_hints

from typer.models import OptionInfo

from bdfm import _numerals
from bdfm._reading import cut
from bdfm.errors import DataError


def words(given: list[str], commands: Iterable[Callable[..., None]]) -> list[str]:
    """Words of a command line; in the values of options that take a number each dash is the ASCII minus.

    Raises ``DataError`` for such a value in which Python alone reads a number: 1_0, nan.
    """
    command = next((c for c in commands if given and c.__name__ == given[0]), None)
    if command is None:
        return given
    numeric = set(_numeric(command))
    found: list[str] = []
    for before, word in zip(["", *given], given, strict=False):
        name, equals, value = word.partition("=")
        if before in numeric:
            found.append(_number(before, word))
        elif equals and name in numeric:
            found.append(f"{name}={_number(name, value)}")
        else:
            found.append(word)
    return found


def _number(option: str, text: str) -> str:
    if _numerals.odd(text):
        raise DataError(f"{option}: {cut(text)} is no number. Write digits, such as 10, 0.1 or 1e-3.")
    return _numerals.with_minus(text)


def _numeric(command: Callable[..., None]) -> Iterator[str]:
    """Options of a command that take a number, as they are written."""
    for parameter, hint in get_type_hints(command, include_extras=True).items():
        kind, *more = get_args(hint) or [hint]
        kinds: set[Any] = {kind, *get_args(kind)}
        if kinds & {int, float}:
            written = [d for x in more if isinstance(x, OptionInfo) for d in x.param_decls or ()]
            yield from written or [f"--{parameter.replace('_', '-')}"]
