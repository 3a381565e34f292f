"""Things that Python programs hand over in the place of others: what came, what was expected, what to do."""

from __future__ import annotations

from importlib import import_module
from pathlib import PurePath

from bdfm._reading import short
from bdfm.errors import DataError


def of_kind(
    given: object,
    kind: type | tuple[type, ...],
    *,
    what: str,
    where: str,
    hint: str,
    expected: str = "",
) -> None:
    """Raise ``DataError`` unless it is an object of a class: what came, what was expected, what to do.

    ``expected``: what to call it all, where the caller takes more, which it has looked for itself.
    """
    if isinstance(given, kind):
        return
    kinds = kind if isinstance(kind, tuple) else (kind,)
    expected = expected or " or ".join(map(_public_name, kinds))
    came = f"the class {given.__name__} itself" if isinstance(given, type) else kind_and_text(given)
    raise DataError(f"{where}: {what} must be {expected}, got {came}. {hint}")


def _public_name(kind: type) -> str:
    """Name by which a user reaches a class: of the first package from the top that shows it."""
    module, name = kind.__module__, kind.__name__
    if module.partition(".")[0] != "bdfm":
        return name
    parts = module.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    return next(
        (f"{p}.{name}" for p in packages if getattr(import_module(p), name, None) is kind),
        f"{module}.{name}",
    )


def kind_and_text(given: object) -> str:
    """What a thing is, for a message; texts and numbers are repeated."""
    plain = isinstance(given, str | int | float | PurePath)
    return type(given).__name__ + (f" {short(repr(given))}" if plain else "")
