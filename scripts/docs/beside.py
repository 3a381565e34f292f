"""What docstrings of the public API say, here and in skfolio as it is installed, by one measure.

    python scripts/docs/beside.py

Public are the classes and functions in ``__all__`` of public modules, enumerations left out, and the public
methods that a class defines itself. A parameter is told where the docstring of its function has its name; of
a class, where that of the class or of one that it comes from has. Errors are told where a docstring names
them or has a section ``Raises``, of functions whose own code raises. The table is that of
docs/development.md.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from typing import Any


def public(package: str) -> list[Any]:
    """Public classes and functions of a package, each once."""
    root = importlib.import_module(package)
    found: dict[str, Any] = {}
    places = [m.name for m in pkgutil.walk_packages(root.__path__, f"{package}.")]
    for place in [package, *places]:
        if any(p.startswith("_") or p in ("tests", "datasets") for p in place.split(".")):
            continue
        try:
            module = importlib.import_module(place)
        except ImportError:  # an optional package
            continue
        for name in getattr(module, "__all__", ()):
            try:
                thing = getattr(module, name)
            except ImportError:
                continue
            kind = inspect.isclass(thing) and not issubclass(thing, enum.Enum | BaseException)
            if kind or inspect.isfunction(thing):
                found[f"{thing.__module__}.{name}"] = thing
    return list(found.values())


def functions(thing: Any) -> Iterator[Any]:
    """A function, or the public methods that a class defines itself."""
    if inspect.isfunction(thing):
        yield inspect.unwrap(thing)
        return
    for name, value in vars(thing).items():
        method = getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(method):
            yield inspect.unwrap(method)


def raises(function: Any) -> bool:
    """Whether a function's own code raises."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):
        return False
    thrown = [n.exc for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc is not None]
    return any("NotImplemented" not in ast.unparse(x) for x in thrown)


def row(package: str) -> list[str]:
    """Cells of a row: names, with an example, parameters told, errors told."""
    things = public(package)
    examples = sum(">>>" in (inspect.getdoc(t) or "") for t in things)
    told, errors = [], []
    for thing in things:
        if inspect.isclass(thing):
            text = " ".join(k.__doc__ or "" for k in thing.__mro__ if k.__module__.startswith(package))
            fields = "\n".join(
                inspect.getsource(k) for k in thing.__mro__ if k.__module__.startswith(package)
            )
            text += " ".join(re.findall(r"^    (\w+):.*#", fields, re.MULTILINE))  # a comment beside a field
            own = [] if getattr(thing, "_is_protocol", False) else list(inspect.signature(thing).parameters)
            told += [bool(re.search(rf"\b{p}\b", text)) for p in own]
        for function in functions(thing):
            text = inspect.getdoc(function) or ""
            own = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
            told += [bool(re.search(rf"\b{p}\b", text)) for p in own]
            if raises(function):
                errors.append(bool(re.search(r"Raises|\w+Error\b", text)))
    share = [f"{sum(x)} of {len(x)} ({sum(x) / len(x):.0%})" for x in (told, errors)]
    return [str(len(things)), f"{examples} ({examples / len(things):.0%})", *share]


if __name__ == "__main__":
    print("| | names | with an example | parameters told | errors told |\n|---|---|---|---|---|")
    for name in ("bdfm", "skfolio"):
        print(f"| {name} | {' | '.join(row(name))} |")
