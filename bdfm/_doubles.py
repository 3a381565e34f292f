"""Days that come twice: equal rows are one, the gaps of one are filled by another, the rest is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from bdfm import _numbers
from bdfm._reading import Reading, counted
from bdfm.errors import DataError


def refuse_others(
    days: pd.DatetimeIndex, name: str, a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], where: str
) -> None:
    """Raise ``DataError`` where two columns of one symbol have different values on a day."""
    clash = np.flatnonzero(~np.isnan(a) & ~np.isnan(b) & (a != b))
    refuse_doubles([(days[int(i)], name, a[i], b[i]) for i in clash], where)


def once_a_day(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Table with days as index, each once: of equal rows one is kept, as readers of files do.

    Raises ``DataError`` where rows of a day contradict each other; warns (``DataWarning``) of rows left out
    or put together.
    """
    if not table.index.has_duplicates or table.columns.nlevels > 1 or not table.columns.is_unique:
        return table
    reading = Reading()
    found = merged(_numbers.floats(table, where=where), where, reading)
    reading.tell(where)
    found.attrs = table.attrs
    return found


def merged(table: pd.DataFrame, where: str, reading: Reading) -> pd.DataFrame:
    """Table with each day once, ascending: equal rows are one, and the gaps of one are filled by another."""
    table = table if table.index.is_monotonic_increasing else table.sort_index(kind="stable")
    if not table.index.has_duplicates:
        return table
    low, high = (getattr(table.groupby(level=0), f)() for f in ("min", "max"))
    rows, columns = np.nonzero((low < high).to_numpy())
    refuse_doubles(
        [
            (low.index[i], str(table.columns[j]), low.iat[i, j], high.iat[i, j])
            for i, j in zip(rows, columns, strict=True)
        ],
        where,
    )
    counts = table.groupby(level=0).count()
    double = table.index[table.index.duplicated()].unique()
    repeated = int((counts.loc[double] > 1).any(axis=1).sum())
    joined = len(double) - repeated
    reading.drop("double", len(table) - len(low) - joined)
    if joined:
        reading.warn(f"{counted(joined, 'day')} given in parts put together")
    found: pd.DataFrame = low.rename_axis(table.index.name)
    return found


def refuse_doubles(clashes: list[tuple[Any, str, float, float]], where: str) -> None:
    """Raise ``DataError`` for clashes: day, symbol and two values of each."""
    if clashes:
        named = ", ".join(f"{s} on {d:%Y-%m-%d}: {a:g} and {b:g}" for d, s, a, b in clashes[:5])
        more = f" and {len(clashes) - 5} more" if len(clashes) > 5 else ""
        raise DataError(
            f"{where}: {len(clashes)} given more than once with different values ({named}{more}). Keep one"
            " row of"
            " each day and symbol; times of day are not used."
        )
