"""Numbers, truths, choices and tables by name that Python hands over: of the kinds that annotations say."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, wraps
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd

from bdfm import _checks, _kinds
from bdfm._renamed import place
from bdfm.errors import DataError

_SAID: Final = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Mapping: "a table by name",
    NoneType: "None",
    pd.Series: "",
    pd.DataFrame: "",
}
_OF_PANDAS: Final = re.compile(r"\bpd\.(Series|DataFrame)\[[^\]]*\]")  # which only type checkers subscript


class _Wanted(NamedTuple):
    """What an argument may be: classes, and texts of choices."""

    kinds: frozenset[Any]
    choices: tuple[str, ...]


def strict[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Function whose arguments are checked by their annotations before it runs.

    Objects of this package are looked at first (``_kinds.taken``): a path in the place of a forecast is told.
    Numbers, truths, choices, tables by name and None, and unions of these, are checked; arguments that may be
    anything else are left to the function. A truth or a text is no number, 1 is no truth, NaN and infinity
    are no numbers, 2.0 is a whole number.

    Raises ``DataError``; ``UnknownLabelError`` for a choice that there is none of.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind_partial(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # which says what is wrong
        plan, objects, changed = _plan(function), _kinds.taken(function), {}

        def where() -> str:
            return place(function.__qualname__, args)

        for name in given.arguments.keys() & objects.keys():
            _kinds.look(given.arguments[name], name, *objects[name], where=where())
        for name in given.arguments.keys() & _kinds.tables(function):
            _kinds.refuse_other_table(given.arguments[name], name, where=where())
        for name in given.arguments.keys() & plan.keys():
            value = given.arguments[name]
            found = _of_kind(value, plan[name], what=name, where=where)
            if found is not value:
                changed[name] = found
        if not changed:
            return function(*args, **kwargs)
        given.arguments.update(changed)
        return function(*given.args, **given.kwargs)

    vars(checked)["is_strict"] = True
    return checked


def strict_fields[T](kind: type[T]) -> type[T]:
    """Dataclass whose fields but tables are checked by their annotations when it is made; as ``strict``."""
    made: Any = kind
    made.__init__ = strict(made.__init__)
    return kind


@cache
def _plan(function: Callable[..., Any]) -> dict[str, _Wanted]:
    """What is checked of each argument of a function; seeds, which may be generators, have ``_seeds``."""
    around = vars(sys.modules[function.__module__])
    of_record = function.__name__ == "__init__"
    found: dict[str, _Wanted] = {}
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    alone = {k for k, p in inspect.signature(function).parameters.items() if p.kind not in several}
    alone -= {"seed", *_kinds.taken(function)}
    for name in alone & function.__annotations__.keys():
        text = function.__annotations__[name]
        text = _OF_PANDAS.sub(r"pd.\1", text) if isinstance(text, str) else text
        one = SimpleNamespace(__annotations__={name: text})
        with suppress(Exception):  # a name for type checkers alone
            wanted = _wanted(get_type_hints(one, around)[name], of_record=of_record)
            if wanted is not None:
                found[name] = wanted
    return found


def _wanted(hint: Any, *, of_record: bool) -> _Wanted | None:
    """What an annotation allows; None where that is more than is checked here."""
    kinds: set[Any] = set()
    choices: list[str] = []
    for arm in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        arm = getattr(arm, "__value__", arm)
        origin = get_origin(arm) or arm
        if origin is Literal and all(isinstance(x, str) for x in get_args(arm)):
            choices += get_args(arm)
        elif origin in _SAID or arm is None:
            kinds.add(NoneType if arm is None else origin)
        else:
            return None
    if not choices and not kinds & {bool, int, float, Mapping}:
        return None
    if kinds & {pd.Series, pd.DataFrame} or (of_record and Mapping in kinds):  # they have doors of their own
        return None
    return _Wanted(frozenset(kinds), tuple(choices))


def _of_kind(value: Any, wanted: _Wanted, *, what: str, where: Callable[[], str]) -> Any:
    """Value, or the number that it is; raises where it is of no kind that is wanted."""
    kinds, choices = wanted
    plain = value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value
    if isinstance(plain, bool):
        if bool in kinds:
            return value
    elif value is None and NoneType in kinds:
        return value
    elif isinstance(plain, str) and (str in kinds or plain in choices):
        return value
    elif isinstance(plain, str) and choices:
        _checks.known([plain], choices, what=what, where=where())
    elif Mapping in kinds and isinstance(value, Mapping):
        return value
    elif kinds & {int, float} and not isinstance(plain, str | bytes):
        return _number(value, float if float in kinds else int, what=what, where=where)
    known = [said for k, said in _SAID.items() if k in kinds and not (k is int and float in kinds)]
    expected = ", or ".join(["one of " + ", ".join(choices)] * bool(choices) + known)
    raise DataError(f"{where()}: {what} must be {expected}, got {_checks.shown(value)}.")


def _number(value: Any, kind: type, *, what: str, where: Callable[[], str]) -> Any:
    """Number that a value is, itself where it is one of Python."""
    number = _checks.finite(value, what=what, where=where())  # also of a whole number that no float can hold
    if isinstance(value, int) or (kind is float and isinstance(value, float)):
        return value
    if isinstance(value, np.integer):  # exactly, where a float would round
        return int(value)
    if kind is float:
        return number
    if number != int(number):
        raise DataError(f"{where()}: {what} must be a whole number, got {_checks.shown(value)}.")
    return int(number)
