"""Docstrings of public functions and methods name the errors that their own code raises."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bdfm import errors

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

KINDS = {n for n in vars(errors) if n.endswith("Error")}
CHECKS = {
    "known": "UnknownLabelError",
    "existing_text": "FileError",
    **dict.fromkeys(("as_date", "days", "finite", "has_columns", "unique", "universe_table"), "DataError"),
}  # what helpers raise. Wrong kinds of arguments, numbers and paths are refused alike everywhere


def raised(source: str) -> set[str]:
    """Names of errors that a function raises by itself."""
    found = set()
    for node in ast.walk(ast.parse(textwrap.dedent(source))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found |= {ast.unparse(node.exc.func)} & KINDS
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            helper = node.func.value
            if isinstance(helper, ast.Name) and helper.id == "_checks" and node.func.attr in CHECKS:
                found.add(CHECKS[node.func.attr])
    return found


def _of(member: object) -> Callable | None:
    """Function behind a method, a property or a decorated function; None for anything else."""
    for name in ("fget", "func", "__func__"):
        member = getattr(member, name, None) or member
    function = inspect.unwrap(member) if callable(member) else None
    return function if inspect.isfunction(function) else None


def documented() -> Iterator[tuple[str, Callable, str]]:
    """Name, function and text of each public function, method and property, with what bases say of it."""
    things = {f"{room}.{n}": x for room in described.ROOMS for n, x in described.names_of(room).items()}
    for place in described.MODULES:
        own = vars(importlib.import_module(place)).items()
        things |= {
            f"{place}.{n}": x
            for n, x in own
            if n[0] != "_" and getattr(x, "__module__", "") == place
            if inspect.isclass(x) or inspect.isfunction(x)
        }
    for name, thing in things.items():
        if not inspect.isclass(thing):
            yield name, inspect.unwrap(thing), inspect.getdoc(thing) or ""
            continue
        for member, value in vars(thing).items():
            function = None if member.startswith("_") else _of(value)
            if function is not None and function.__module__.startswith("bdfm"):
                bases = [vars(k)[member] for k in thing.__mro__ if member in vars(k)]
                yield f"{name}.{member}", function, " ".join(inspect.getdoc(b) or "" for b in bases)


FOUND = {name: (raised(inspect.getsource(f)), text) for name, f, text in documented()}


@pytest.mark.parametrize("name", [n for n, (kinds, _) in FOUND.items() if kinds])
def test_a_docstring_names_the_errors_that_its_function_raises(name):
    kinds, text = FOUND[name]
    missing = sorted(k for k in kinds if k not in text)
    assert not missing, f"{name} raises {', '.join(missing)} and its docstring does not say so"


def test_enough_is_looked_at():
    assert len(FOUND) > 600
    assert sum(bool(kinds) for kinds, _ in FOUND.values()) > 120
    assert FOUND["bdfm.FactorModel.from_preset"][0] == {"UnknownLabelError"}
    assert FOUND["bdfm.Posterior.model"][0] == {"FileError"}  # a cached property
    assert FOUND["bdfm.Forecast.from_draws"][0]  # a decorated classmethod


def test_errors_are_found_in_code():
    code = "def f(x):\n    _checks.known([x], ['a'], what='x', where='f')\n    raise DataError('no')\n"
    assert raised(code) == {"UnknownLabelError", "DataError"}
    assert raised("def f():\n    raise NotImplementedError\n") == set()


@pytest.mark.parametrize("kind", [errors.DataError, errors.FileError, errors.UnknownLabelError])
@pytest.mark.parametrize(("n", "whole"), [(1000, True), (1400, True), (3000, False), (10**6, False)])
def test_no_message_is_longer_than_a_page(kind, n, whole):
    """Whatever it repeats; what it is about and what to do are at its ends."""
    text = f"decimal mark: {'a' * n} is none. Give . or ,"
    told = str(kind(text))
    assert told.startswith("decimal mark: aaaa")
    assert told.endswith("aaaa is none. Give . or ,")
    assert len(told) < 1900
    assert (told == text) is whole
    assert whole or f"... ({len(text)} characters) ..." in told
    assert kind(text).args == (text,)
