"""Names that were changed: the old one is taken, with a warning, until the next minor version."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from bdfm.errors import DataError, RenamedWarning

# Options of the command line by command: the old name and the new one
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "track": {"--level": "--false-alarm", "--page": "--out"},
    "decide": {"--portfolio": "--holdings"},
    "score": {"--start": "--origin"},
    "risk": {"--half-life": "--half-life-periods"},
    "stress": {"--half-life": "--half-life-periods"},
}


def warn(old: str, new: str, *, where: str, stacklevel: int = 3) -> None:
    """Say that a name is another one now."""
    warnings.warn(
        f"{where}: {old} is called {new} now. Write {new}; the next minor version does not know {old}.",
        RenamedWarning,
        stacklevel=stacklevel,
    )


def keywords[**P, R](*, _old_wins: bool = False, **new_of: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Function that takes keywords under their old names as well: ``@keywords(old="new")``.

    ``DataError`` where a call has both; but of a class, whose ``replace`` gives all fields, the old one
    counts.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def with_old(*args: P.args, **kwargs: P.kwargs) -> R:
            old = [name for name in new_of if name in kwargs]
            if not old:
                return function(*args, **kwargs)
            where = function.__qualname__.removesuffix(".__init__")
            given: dict[str, Any] = dict(kwargs)
            for name in old:
                if new_of[name] in given and not _old_wins:
                    raise DataError(
                        f"{where}: both {name} and {new_of[name]} are given, its new name. Give the new one."
                    )
                warn(name, new_of[name], where=where)
                given[new_of[name]] = given.pop(name)
            return function(*args, **given)

        return with_old

    return decorated


def fields[T](**new_of: str) -> Callable[[type[T]], type[T]]:
    """Dataclass whose fields are taken, read and loaded from a pickle under their old names as well."""

    def decorated(kind: type[T]) -> type[T]:
        made: Any = kind
        made.__init__ = keywords(**new_of, _old_wins=True)(made.__init__)

        def load(self: object, state: dict[str, Any]) -> None:
            self.__dict__.update({new_of.get(name, name): value for name, value in state.items()})

        made.__setstate__ = load
        for old, new in new_of.items():
            setattr(kind, old, attribute(old, new))
        return kind

    return decorated


def attribute(old: str, new: str) -> property:
    """Property of the old name that gives the attribute of the new one."""

    def read(self: object) -> Any:
        warn(old, new, where=type(self).__name__)
        return getattr(self, new)

    return property(read, doc=f"The old name of ``{new}``.")


def words(given: list[str]) -> list[str]:
    """Words of a command line in which options that were renamed have their new names."""
    new_of = OPTIONS.get(given[0], {}) if given else {}
    found: list[str] = []
    for word in given:
        name, equals, value = word.partition("=")
        if name in new_of and "--" not in found:
            warn(name, new_of[name], where=given[0])
            found.append(f"{new_of[name]}{equals}{value}")
        else:
            found.append(word)
    return found
