"""Names that were changed: the old one is taken, with a warning, until the next minor version."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
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


_IN_A_FILE: Final[ContextVar[bool]] = ContextVar("in_a_file", default=False)


@contextmanager
def of_a_file() -> Iterator[None]:
    """Take old names without a warning: of a file that a program wrote, which nobody can change."""
    token = _IN_A_FILE.set(True)
    try:
        yield
    finally:
        _IN_A_FILE.reset(token)


def warn(old: str, new: str, *, where: str) -> None:
    """Say that a name is another one now, of the line outside the package that has the old one."""
    if _IN_A_FILE.get():
        return
    pydantic = find_spec("pydantic")  # its frames stand between a record of settings and who makes it
    inner = [Path(__file__), *([Path(pydantic.origin)] if pydantic and pydantic.origin else [])]
    warnings.warn(
        f"{where}: {old} is called {new} now. Write {new}; the next minor version does not know {old}.",
        RenamedWarning,
        skip_file_prefixes=tuple(f"{path.parent}{os.sep}" for path in inner),
    )


def keys(
    given: Mapping[str, Any], new_of: Mapping[str, str], *, where: str, old_wins: bool = False
) -> dict[str, Any]:
    """Values by name, in which names that were changed are the new ones.

    ``DataError`` where both are there, unless the old one is to count.
    """
    old = [name for name in given if name in new_of]
    for name in old:
        if new_of[name] in given and not old_wins:
            raise DataError(
                f"{where}: both {name} and {new_of[name]} are given, its new name. Give the new one."
            )
        warn(name, new_of[name], where=where)
    overruled = {new_of[name] for name in old}
    return {new_of.get(name, name): x for name, x in given.items() if name not in overruled}


def everywhere(value: Any, new_of: Mapping[str, str]) -> Any:
    """Value as of JSON in which names that were changed are the new ones, however deep; without a warning."""
    if isinstance(value, dict):
        return {new_of.get(name, name): everywhere(x, new_of) for name, x in value.items()}
    return [everywhere(x, new_of) for x in value] if isinstance(value, list) else value


def keywords[**P, R](*, _old_wins: bool = False, **new_of: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Function that takes keywords under their old names as well: ``@keywords(old="new")``.

    ``DataError`` where a call has both; but of a class, whose ``replace`` gives all fields, the old one
    counts.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def with_old(*args: P.args, **kwargs: P.kwargs) -> R:
            if not new_of.keys() & kwargs.keys():
                return function(*args, **kwargs)
            where = place(function.__qualname__, args)
            given: dict[str, Any] = keys(kwargs, new_of, where=where, old_wins=_old_wins)
            return function(*args, **given)

        return with_old

    return decorated


def place(name: str, args: tuple[Any, ...]) -> str:
    """What a function is called for messages: a method by the class of its object, a maker by the class."""
    _, dot, last = name.rpartition(".")
    if not dot or not args:
        return name
    of = args[0] if isinstance(args[0], type) else type(args[0])
    return of.__name__ if last in ("__init__", "__new__") else f"{of.__name__}.{last}"


def named_tuple[T: tuple[Any, ...]](**new_of: str) -> Callable[[type[T]], type[T]]:
    """Named tuple whose fields are taken and read under their old names as well."""

    def decorated(kind: type[T]) -> type[T]:
        made: Any = kind
        take = keywords(_old_wins=False, **new_of)
        made.__new__ = take(made.__new__)
        made._replace = made.__replace__ = take(made._replace)
        for old, new in new_of.items():
            setattr(kind, old, attribute(old, new))
        return kind

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
