"""Labels and numbers by label that Python programs hand over: each in its place, or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from bdfm import _checks, _weights
from bdfm._kinds import kind_and_text
from bdfm._reading import short, title
from bdfm._symbols import latin
from bdfm.errors import DataError

_NO_LISTS: Final = (
    ((str, bytes), " (one text)"),
    ((set, frozenset), " (a set, which has no order)"),
    (Mapping, " (a table by label)"),
)
# What of a name people vary by chance; documents and messages have this list
BY_CHANCE: Final = 'capitals, width, spaces, hyphens, "&" for "and" or a plural s'
_HYPHEN: Final = re.compile(r"(?<=\w)[-_](?=\w)")  # between words; that of A- or -1 says something


def names_of(
    given: object, *, what: str, where: str, of: Sequence[str] | None = None, blank: bool = False
) -> tuple[str, ...]:
    """Labels as texts, in the order given.

    ``of``: the assets that the labels belong to, one for each: a Series by other labels than these is
    refused. ``blank``: whether a label may be blank.

    Raises
    ------
    DataError
        No list of names: one text, a set, whose order is chance, a table by label; a label that is missing,
        blank, bytes, true or false, or has characters that cannot be shown, as files refuse it too.
    """
    names = _texts_of(given, what=what, where=where, of=of, blank=blank)
    _checks.printable(names, what="name", where=f"{where}: {what}")
    return names


def titles_of(given: object, *, where: str, of: Sequence[str]) -> tuple[str, ...]:
    """Names of assets as they are shown, by ``title``; errors otherwise as in ``names_of``."""
    return tuple(map(title, _texts_of(given, what="names", where=where, of=of, blank=True)))


def _texts_of(
    given: object, *, what: str, where: str, of: Sequence[str] | None, blank: bool
) -> tuple[str, ...]:
    """Labels as texts of any characters; see ``names_of``."""
    kind = next((text for of_kind, text in _NO_LISTS if isinstance(given, of_kind)), "")
    if kind or not isinstance(given, Iterable):
        raise DataError(f"{where}: {what} must be a list of names, got {short(repr(given))}{kind}.")
    if of is not None:
        in_order(given, of, axis=0, what=what, where=where)
    cells = list(getattr(given, "values", given) if type(given).__name__ == "DataArray" else given)
    bad = [i for i, x in enumerate(cells) if _is_none(x, blank=blank)]
    if bad:
        raise DataError(
            f"{where}: {what} has {len(bad)} of {len(cells)} that are no names, first"
            f" {short(repr(cells[bad[0]]))} in place {bad[0] + 1}. Give a text for each."
        )
    return tuple(str(x) for x in cells)


def _is_none(label: Any, *, blank: bool) -> bool:
    """Whether something names nothing: missing, blank, bytes, a truth value."""
    if isinstance(label, str):
        return not blank and not label.strip()
    missing = pd.isna(label) if pd.api.types.is_scalar(label) else False
    return bool(missing) or isinstance(label, bytes | bool | np.bool_)


class Own(NamedTuple):
    """Labels that a table has of its own along an axis: as texts, and whether they are integers by type."""

    texts: tuple[str, ...]
    integers: bool


def own_labels(given: Any, *, axis: int) -> Own | None:
    """Labels that a table of pandas or xarray has of its own along an axis; None where it has none.

    Rows and columns that are but counted, from 0 on, name nothing, of whichever class their index is. So does
    an axis that the table has not.
    """
    pandas = isinstance(given, pd.DataFrame | pd.Series)
    if not (pandas or type(given).__name__ == "DataArray") or not -given.ndim <= axis < given.ndim:
        return None
    index = given.axes[axis] if pandas else given.indexes.get(given.dims[axis])
    if index is None:
        return None
    integers = index.inferred_type == "integer"
    if integers and np.array_equal(index, np.arange(len(index))):
        return None
    return Own(tuple(str(x) for x in index), integers)


def in_order(given: object, labels: Sequence[str], *, axis: int, what: str, where: str) -> None:
    """Raise ``DataError`` where a table has names of its own along an axis, and they are others.

    Tables are those of pandas and xarray. What is but counted, and integers that are none of the labels, name
    nothing; texts do, such as "7203" of Tokyo.
    """
    found = own_labels(given, axis=axis)
    if found is None or found.texts == tuple(labels):
        return
    if found.integers and not set(found.texts) & set(labels):
        return
    raise _others(found.texts, labels, what=what, where=where)


def _others(found: Sequence[str], labels: Sequence[str], *, what: str, where: str) -> DataError:
    return DataError(
        f"{where}: {what} is by {_checks.first(found)}, and the labels are {_checks.first(labels)}: others,"
        " or in another order. Put it into their order (reindex), or give its values alone."
    )


def columns_of(table: object) -> list[object] | None:
    """Labels of the columns of a pandas table; None where it has none of its own, or is another array."""
    if not isinstance(table, pd.DataFrame) or all(isinstance(x, int | np.integer) for x in table.columns):
        return None
    return list(table.columns)


def same_labels(table: object, other: object, *, axes: tuple[int, int], what: str, where: str) -> None:
    """Raise ``DataError`` where two tables both have labels, each along its axis, and not alike.

    Integers on one side alone that are none of the labels on the other name nothing, as in ``in_order``.
    """
    labels, found = own_labels(table, axis=axes[0]), own_labels(other, axis=axes[1])
    if labels is None or found is None or labels.texts == found.texts:
        return
    if labels.integers != found.integers and not set(labels.texts) & set(found.texts):
        return
    raise _others(found.texts, labels.texts, what=what, where=where)


def same_draws(draws: object, other: object, *, what: str, where: str) -> None:
    """Raise ``DataError`` where numbers by draw have the labels of the draws in another order, or others.

    ``draws``: the first axis of a table; those of an array, or None, are counted from 0 on.
    """
    found = _first_axis(other)
    if found is None:
        return
    own = _first_axis(draws)
    own = pd.RangeIndex(len(found)) if own is None else own
    if len(own) == len(found) and not own.equals(found) and set(own) == set(found):
        raise _others(list(map(str, found)), list(map(str, own)), what=what, where=where)
    same_labels(draws, other, axes=(0, 0), what=what, where=where)


def _first_axis(given: Any) -> pd.Index[Any] | None:
    """Labels along the first axis of a table; None of another array."""
    if isinstance(given, pd.DataFrame | pd.Series):
        return given.index
    return given.indexes.get(given.dims[0]) if type(given).__name__ == "DataArray" and given.ndim else None


def by_symbol(weights: Mapping[Any, Any] | pd.Series[Any], *, where: str) -> dict[str, float]:
    """Weights by symbol; ``DataError`` for what is none, a symbol given twice, percent and amounts."""
    if not isinstance(weights, Mapping | pd.Series):
        raise DataError(
            f'{where}: weights by symbol were expected, such as {{"XOM": 0.6, "KO": 0.4}}, got'
            f" {kind_and_text(weights)}. A row of a table is table.iloc[0]; bdfm.risk.read_portfolios reads a"
            " file."
        )
    symbols = [str(s) for s, _ in weights.items()]  # a Series may have one twice
    _checks.unique(symbols, what="symbol", where=where, hint="Add their weights up.")
    found = {str(s): _checks.finite(w, what=f"the weight of {s}", where=where) for s, w in weights.items()}
    _weights.check_shares(found, where=where)
    return found


def alike(name: str) -> str:
    """Name without what people vary by chance, ``BY_CHANCE``."""
    words = _HYPHEN.sub(" ", latin(name).casefold().replace("&", " and ")).split()
    return " ".join(w[:-1] if len(w) > 3 and w[-1] == "s" and w[-2] != "s" else w for w in words)


def nearly_one(names: Iterable[object]) -> list[list[str]]:
    """Groups of different names that are alike."""
    spelt: dict[str, list[str]] = {}
    for name in dict.fromkeys(map(str, names)):
        spelt.setdefault(alike(name), []).append(name)
    return [group for group in spelt.values() if len(group) > 1]
