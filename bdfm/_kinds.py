"""Things that Python programs hand over in the place of others: what came, what was expected, what to do."""

from __future__ import annotations

from pathlib import Path

from bdfm._reading import short
from bdfm.errors import DataError


def of_kind(given: object, kind: type | tuple[type, ...], *, what: str, where: str, hint: str) -> None:
    """Raise ``DataError`` unless it is an object of a class: what came, what was expected, what to do."""
    if isinstance(given, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = " or ".join(
        f"bdfm.{k.__name__}" if k.__module__.startswith("bdfm") else k.__name__ for k in kinds
    )
    came = f"the class {given.__name__} itself" if isinstance(given, type) else kind_and_text(given)
    raise DataError(f"{where}: {what} must be {expected}, got {came}. {hint}")


def kind_and_text(given: object) -> str:
    """What a thing is, for a message; texts and numbers are repeated."""
    plain = isinstance(given, str | int | float | Path)
    return type(given).__name__ + (f" {short(repr(given))}" if plain else "")
