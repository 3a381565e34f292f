"""Weights of portfolios: shares of a book's money, told from percent and amounts by one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._symbols import is_cash
from bdfm.errors import DataError

MAX_NET: Final = 10.0  # net exposure, in the book's money: no book has more
MAX_GROSS: Final = 50.0  # sum of absolute weights, in the book's money: every book has less
MAX_ONE: Final = 1.0  # largest weight up to which a gross exposure says nothing: 1 and -1 of many assets

SHARES: Final = "Weights are shares of the book's money, 0.05 for 5 %."
REMEDY: Final = "Divide them by 100, if they are percent, and by the money, if they are amounts."


def numbers(table: pd.DataFrame, *, where: str) -> pd.DataFrame:
    """Table (portfolio, asset) as numbers; ``DataError`` names the columns with texts or missing values."""
    try:
        found = table.astype(float)
    except (TypeError, ValueError):  # a text in some column: which, is to be told
        columns = [pd.to_numeric(table.iloc[:, j], errors="coerce") for j in range(table.shape[1])]
        found = pd.concat(columns, axis=1).astype(float)
    bad = ~np.isfinite(found.to_numpy()).all(axis=0)
    if bad.any():
        named = _checks.first(map(str, table.columns[bad]))
        raise DataError(f"{where}: not finite for {named}. Give a number, and 0 for no holding.")
    return found


def faults(table: pd.DataFrame, *, named: bool = True) -> list[str | None]:
    """What shows of each row (portfolio, asset), cash among the assets, that it is percent or amounts.

    A net exposure beyond 10; or a gross exposure, without cash, from 50 on, of which one weight is beyond 1.
    None for shares. ``named``: whether rows have names that a text should give.
    """
    values = table.to_numpy(dtype=float)
    size = np.abs(values[:, [not is_cash(c) for c in table.columns]])
    with np.errstate(over="ignore", invalid="ignore"):  # of 1e308 twice
        net, gross = values.sum(axis=1), size.sum(axis=1)
    large = (gross >= MAX_GROSS) & (size.max(axis=1, initial=0.0) > MAX_ONE)
    found: list[str | None] = [None] * len(table)
    far = np.abs(net) > MAX_NET
    for k in np.flatnonzero(large | far).tolist():
        of = f" of {table.index[k]}" if named else ""
        found[k] = f"weights{of} sum to {net[k]:g}" if far[k] else f"absolute weights{of} sum to {gross[k]:g}"
    return found


def check_table(table: pd.DataFrame, *, where: str, named: bool) -> None:
    """Raise ``DataError`` for a table of weights with a row of percent or amounts; see ``faults``."""
    seen = next((f for f in faults(table, named=named) if f is not None), None)
    if seen is not None:
        raise DataError(f"{where}: {seen}. {SHARES} {REMEDY}")


def check_shares(weights: Mapping[str, float], *, where: str) -> None:
    """``check_table`` of one portfolio: weights by symbol."""
    check_table(pd.DataFrame([dict(weights)], dtype=float), where=where, named=False)
