"""What a command is given: each option once, none blank, and messages that say what came and was expected."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand
from typer.models import OptionInfo

from bdfm import _numerals
from bdfm._reading import cut
from bdfm.cli.effects import refuse_idle
from bdfm.errors import DataError

_EVERY = {"store": "append", "store_const": "append_const"}  # actions that keep the last value, and all


class Command(TyperCommand):
    """Command whose line is checked before it is taken apart; its help and completion are as ever."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Words left over; ``DataError`` for an option given twice, a blank one, and a value that is none."""
        given: Mapping[str, Any] = {}
        if not ctx.resilient_parsing:
            given = _given(self, ctx, args)
            if "help" not in given:
                _refuse_blank(self, given)
                _refuse_broken(self, given)
                _refuse_twice(self, given)
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            name = getattr(error.param, "name", None)
            if error.param is not None and given.get(str(name)) in (None, []):
                raise DataError(
                    f"{_written(error.param)} is missing. Give it; bdfm {self.name} --help says what it is."
                ) from None
            said = self.callback is not None and _wrong(self.callback, str(name), given.get(str(name)))
            if not said:
                raise
            raise DataError(
                f"{_written(error.param)}: {said}; bdfm {self.name} --help says what it is."
            ) from None
        written = {str(p.name): _written(p) for p in self.params}
        refuse_idle(str(self.name), given, written.__getitem__)
        return rest


def on_the_line(ctx: typer.Context, parameter: str) -> bool:
    """Whether an option was written, be it with its usual value."""
    source = ctx.get_parameter_source(parameter)
    return source is not None and source.name == "COMMANDLINE"


def _given(command: TyperCommand, ctx: typer.Context, args: list[str]) -> dict[str, Any]:
    """All values on a line by parameter: lists of those of options, also where the last alone would count."""
    parser: Any = command.make_parser(ctx)
    for option in {id(x): x for x in (*parser._long_opt.values(), *parser._short_opt.values())}.values():
        option.action = _EVERY.get(option.action, option.action)
    found: dict[str, Any] = parser.parse_args(args=list(args))[0]
    return found


def _refuse_blank(command: TyperCommand, given: Mapping[str, Any]) -> None:
    """Raise ``DataError`` for a value without a character, as of a variable that is not set."""
    for parameter in command.params:
        value = given.get(str(parameter.name))
        if any(isinstance(x, str) and not x.strip() for x in _all(value)):
            raise DataError(
                f"{_written(parameter)}: the value is blank. Give one, or leave it out; a variable of the"
                " shell may not be set."
            )


def _refuse_broken(command: TyperCommand, given: Mapping[str, Any]) -> None:
    """Raise ``DataError`` for a text that no encoding here reads, unless a file is called so."""
    parameters: list[Any] = list(command.params)
    for parameter in parameters:
        texts = [x for x in _all(given.get(str(parameter.name))) if isinstance(x, str)]
        odd = next((x for x in texts if re.search("[\ud800-\udfff]", x) and not os.path.lexists(x)), None)
        if odd is None or "path" in parameter.bare_type().lower():
            continue
        if sys.getfilesystemencoding() == "utf-8":
            why = "is no text in UTF-8. Write it anew: it may be a copy from a file in another encoding."
        else:
            why = "is no text in the encoding of this terminal. Set PYTHONUTF8=1, or LANG=C.UTF-8."
        raise DataError(f"{_written(parameter)}: {odd!a} {why}")


def _refuse_twice(command: TyperCommand, given: Mapping[str, Any]) -> None:
    """Raise ``DataError`` for an option that takes one value and has several; a flag may be said again."""
    for parameter in command.params:
        values = given.get(str(parameter.name))
        if getattr(parameter, "multiple", False) or not isinstance(values, list) or len(values) < 2:
            continue
        no = parameter.secondary_opts
        if not getattr(parameter, "is_flag", False):
            named = " and ".join(cut(" ".join(_all(x))) for x in values[:2])
        elif len(set(values)) > 1:
            named = f"{parameter.opts[0]} and {no[0]}"
        else:
            continue
        raise DataError(f"{_written(parameter)}: given {len(values)} times, {named}. Keep one: it takes one.")


def _all(value: Any) -> Iterator[Any]:
    """Texts of a value, which may be several, or several pairs."""
    if isinstance(value, list | tuple):
        for x in value:
            yield from _all(x)
    else:
        yield value


def _written(parameter: Any) -> str:
    """How a parameter is written: an option's name, an argument's as help has it, if it does."""
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return "a word without an option" if parameter.hidden else str(parameter.metavar or parameter.name)


def _wrong(function: Callable[..., Any], name: str, given: Any) -> str:
    """What came and what was expected of a parameter; blank where this cannot tell."""
    hint = get_type_hints(function, include_extras=True).get(name)
    annotated = [hint, *get_args(hint)]
    info = next((x for x in annotated if isinstance(x, OptionInfo)), None)
    kinds = [k for x in annotated for k in (x, *get_args(x), *(z for y in get_args(x) for z in get_args(y)))]
    names = next(filter(None, map(_choices, kinds)), [])
    number = next((k for k in (float, int) if k in kinds), None)
    for text in _all(given):
        if names and text not in names:
            return f"{cut(text)} is none of {', '.join(names)}. Give one of them"
        if number is not None and not _fits(text, number, info):
            return f"{cut(text)} is no {_expected(number, info)}. Give one"
    return ""


def _choices(kind: Any) -> list[str]:
    """Names that a kind of values has; none where it is no choice."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(x.value) for x in kind]
    return [str(x) for x in get_args(kind)] if get_origin(kind) is Literal else []


def _fits(text: str, number: type, info: OptionInfo | None) -> bool:
    value = _numerals.number(text) if number is float else _numerals.whole(text)
    low, high = (None, None) if info is None else (info.min, info.max)
    return value is not None and not (
        (low is not None and value < low) or (high is not None and value > high)
    )


def _expected(number: type, info: OptionInfo | None) -> str:
    noun = "number" if number is float else "whole number"
    low, high = (None, None) if info is None else (info.min, info.max)
    if low is not None and high is not None:
        return f"{noun} from {low} to {high}"
    if low is not None:
        return f"{noun} of at least {low}"
    return noun if high is None else f"{noun} of at most {high}"
