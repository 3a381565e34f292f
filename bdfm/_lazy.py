"""Public names of a package that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def modules_of(package: str) -> Callable[[str], ModuleType]:
    """``__getattr__`` of a package whose modules are imported when they are first named.

    So that ``bdfm.scoring.calibration.pit`` can be written as pages call it, after ``import bdfm`` alone.
    """

    def find(name: str) -> ModuleType:
        full = f"{package}.{name}"
        if name.startswith("_") or not name.isidentifier() or find_spec(full) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(full)

    return find


def public_names(
    package: str, places: Mapping[str, Collection[str]], *, modules: Mapping[str, str] | None = None
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its name.
    places
        Module to the names that the package takes from it.
    modules
        Name to a module that the package shows under that name.

    Notes
    -----
    A package says the same again below ``TYPE_CHECKING``, for type checkers and editors; a test compares the
    two. No name may be that of a module inside the package, which would stand in its place once imported.
    """
    place = {name: module for module, names in places.items() for name in names}
    modules = dict(modules or {})
    names = sorted(name for name in (*place, *modules) if not name.startswith("_"))

    def find(name: str) -> Any:
        # None is kept: it would stay what it was at its first use, whatever its module has there later.
        if name in place:
            return getattr(import_module(place[name]), name)
        return import_module(modules[name]) if name in modules else modules_of(package)(name)

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *place, *modules})

    return names, find, listed
