"""What pydantic says of settings, in the words of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from bdfm._checks import known, shown
from bdfm._toml import with_points
from bdfm.errors import BdfmError, DataError, UnknownLabelError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

# How pydantic names one of the forms that a key may have
_FORM = re.compile(r"(dict|list|tuple|literal|constrained-\w+|function-\w+)\[.*\]$")
_NO_SHARES = frozenset({"correlation"})  # numbers up to 1 that nobody says in percent
# What pydantic says less plainly, by its type of problem
_EXPECTED = {
    "float_parsing": "a number",
    "float_type": "a number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "path_type": "a path, as text",
    "dict_type": "a table",
    "model_type": "a table",
}


def settings_error(
    error: ValidationError,
    record: type[BaseModel],
    *,
    where: str = "",
    kind: type[BdfmError] = DataError,
) -> BdfmError:
    """First problem of a record of settings, told in the words of this package.

    Parameters
    ----------
    error
        What pydantic says.
    record
        Class of the record.
    where
        What was read, for the message; nothing for a file whose tables are named instead.
    kind
        Of the error, unless a key or kind is unknown (``UnknownLabelError``), or a validator raised its own.
    """
    problems = [x | {"loc": _keys(x["loc"])} for x in error.errors()]
    problem = problems[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, BdfmError):
        return cause
    in_table = problem["type"] in ("union_tag_invalid", "union_tag_not_found")  # no key to speak of
    owner, path = _settings_at(record, problem["loc"] if in_table else problem["loc"][:-1])
    table = f"[{'.'.join(path)}]" if path else ""
    if where:
        place = f"{where}, {table}" if table else where
    else:
        place = f"table {table}" if table else "top level"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        return UnknownLabelError(
            f"{place}: unknown kind {shown(context['tag'])}. Known: {context['expected_tags']}."
        )
    if problem["type"] == "union_tag_not_found":
        return kind(f"{place}: the key `kind` is missing.")
    key = str(problem["loc"][-1]) if problem["loc"] else "settings"
    if problem["type"] == "extra_forbidden":
        try:
            known([key], list(owner.model_fields), what="key", where=place)
        except UnknownLabelError as unknown:
            return unknown
    if problem["type"] == "missing":
        choices = _choices(owner.model_fields[key].annotation) if key in owner.model_fields else ()
        hint = f" Give {key} = {' or '.join(map(repr, choices))}." if choices else ""
        return kind(f"{place}: the key {key} is missing.{hint}")
    if cause is not None:  # a validator's text says which key
        came = problem.get("input")  # of several keys: all of the table, and the text says what counts
        return kind(f"{place}: {cause}" + ("." if isinstance(came, Mapping) else f", got {shown(came)}."))
    same = [x for x in problems if x["loc"] == problem["loc"]]  # one for each form that a key may have
    wanted = [_EXPECTED.get(x["type"]) or x["msg"].removeprefix("Input should be ") for x in same]
    expected = ", or ".join(dict.fromkeys(wanted))
    verb = " should be" if expected != problem["msg"] else ":"
    told = f"{place}: {key}{verb} {expected}, got {shown(problem.get('input'))}."
    one_value = problem["type"] in _EXPECTED and problem["type"] not in ("dict_type", "model_type")
    own_name = key not in owner.model_fields or any(str(x) in owner.model_fields for x in problem["loc"][:-1])
    points = with_points(key, problem.get("input")) if one_value and own_name else ""
    return kind(told + points + _in_percent(problem) + _example(record, problem["loc"]))


def _in_percent(problem: Any) -> str:
    """How a share is written that came in percent; blank for other faults."""
    limits = problem.get("ctx", {})
    most, came = limits.get("le", limits.get("lt")), problem.get("input")
    if most != 1 or isinstance(came, bool) or not isinstance(came, int | float) or not 2 <= came <= 100:
        return ""
    if problem["loc"] and problem["loc"][-1] in _NO_SHARES:
        return ""
    return f" If {came:g} % is meant, write {came / 100:g}."


def _keys(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Location without the forms of a key that pydantic names beside it, such as dict[str,float]."""
    return tuple(x for x in location if not (isinstance(x, str) and _FORM.match(x)))


def _settings_at(record: type[BaseModel], location: Sequence[int | str]) -> tuple[type[BaseModel], list[str]]:
    """Class of the table at a location such as ('mean', 0, 'intercept'), and the keys that lead to it."""
    candidates = [record]
    keys: list[str] = []
    for part in location:
        by_kind = [c for c in candidates if _kind(c) == part]
        if by_kind:  # pydantic names the kind of a part too, which is no key
            candidates = by_kind
            continue
        keys.append(str(part))
        found = [
            m
            for c in candidates
            if part in c.model_fields
            for m in _records(c.model_fields[str(part)].annotation)
        ]
        candidates = found or candidates
    return candidates[0], keys


def _example(record: type[BaseModel], location: Sequence[int | str]) -> str:
    """Sentence with the example of the field that a location leads to; blank where it has none."""
    candidates, said = [record], ""
    for part in location:
        fields = [f for c in candidates if (f := c.model_fields.get(str(part))) is not None]
        if fields:
            candidates = [m for f in fields for m in _records(f.annotation)]
            said = next((f" Such as {f.examples[0]}." for f in fields if f.examples), "")
    return said


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Values of a key that can have but a few."""
    annotation = getattr(annotation, "__value__", annotation)
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _kind(record: type[BaseModel]) -> Any:
    field = record.model_fields.get("kind")
    return None if field is None else field.default


def _records(annotation: Any) -> list[type[BaseModel]]:
    """Records of settings inside a type annotation."""
    if isinstance(annotation, type) and hasattr(annotation, "model_fields"):
        return [annotation]
    return [m for arg in get_args(annotation) for m in _records(arg)]
