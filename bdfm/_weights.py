"""Weights of portfolios: shares of a book's money, told from percent and amounts by one rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._symbols import is_cash
from bdfm.errors import DataError

MAX_WEIGHT: Final = 1000.0  # of an asset: beyond all leverage
MAX_NET: Final = 10.0  # net exposure: no book has more, in its money
MAX_GROSS: Final = 50.0  # from here on a sum of absolute weights is one in percent: no book is a fiftyfold

SHARES: Final = "Weights are shares of the book's money, 0.05 for 5 %."
REMEDY: Final = "Divide them by 100, if they are percent, and by the money, if they are amounts."


def fault(weights: Mapping[str, float], *, of: str = "") -> str | None:
    """What shows that weights by symbol, cash among them, are percent or amounts; None for shares.

    A weight beyond 1,000, a net exposure beyond 10, or a gross exposure, without cash, from 50 on. ``of``:
    the portfolio's name, for the text.
    """
    name = f" of {of}" if of else ""
    far = [s for s, w in weights.items() if abs(w) > MAX_WEIGHT]
    if far:
        return f"the weight of {_checks.first(far)}{f' in {of}' if of else ''} is beyond {MAX_WEIGHT:g}"
    net, gross = sum(weights.values()), sum(abs(w) for s, w in weights.items() if not is_cash(s))
    if abs(net) > MAX_NET:
        return f"weights{name} sum to {net:g}"
    if gross >= MAX_GROSS:
        return f"absolute weights{name} sum to {gross:g}"
    return None


def check_shares(weights: Mapping[str, float], *, where: str, of: str = "") -> None:
    """Raise ``DataError`` for weights by symbol that are percent or amounts; see ``fault``."""
    seen = fault(weights, of=of)
    if seen is not None:
        raise DataError(f"{where}: {seen}. {SHARES} {REMEDY}")


def check_table(table: pd.DataFrame, *, where: str, named: bool) -> None:
    """``check_shares`` of each row of a table (portfolio, asset), cash among the assets."""
    values = table.to_numpy(dtype=float)
    size = np.abs(values)
    odd = (size > MAX_WEIGHT).any(axis=1) | (np.abs(values.sum(axis=1)) > MAX_NET)
    for k in np.flatnonzero(odd | (size.sum(axis=1) >= MAX_GROSS)):  # of few, of which more is asked
        row = dict(zip(map(str, table.columns), values[k].tolist(), strict=True))
        check_shares(row, where=where, of=str(table.index[k]) if named else "")
