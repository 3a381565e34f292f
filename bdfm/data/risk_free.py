"""The risk-free rate that files of factor returns carry beside the factors."""

from __future__ import annotations

import warnings
from typing import Any, Final

import pandas as pd

from bdfm import _checks
from bdfm._reading import PACKAGE
from bdfm.errors import DataError, DataWarning

RATES: Final = (
    "rf",
    "rfree",
    "riskfree",
    "riskfreerate",
    "tbill",
)  # names of a column, spaces and signs left out
MARKETS: Final = ("mkt", "market", "rm")  # a market's return, of which nobody says whether it is excess


def is_rate(column: str) -> bool:
    """Whether a column is the risk-free rate by its name."""
    return _plain(column) in RATES


def _plain(column: str) -> str:
    return "".join(x for x in column.lower() if x.isalnum())


def split_risk_free(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[Any] | None]:
    """Factors of a table (day, column) and its risk-free rate; None where it has none.

    The rate is a column RF, rf or risk_free, say. It belongs off the returns of assets, and off no factor:
    Mkt-RF is an excess return already. A ``DataWarning`` tells of a column Mkt beside it, which is taken as
    it is. Raises ``DataError`` where two columns are rates, or nothing else is left.
    """
    plain = {str(c): _plain(str(c)) for c in table.columns}
    rates = [c for c in plain if is_rate(c)]
    if not rates:
        return table, None
    if len(rates) > 1:
        raise DataError(f"factors: columns {' and '.join(rates)} are both risk-free rates. Keep one.")
    rest = table.drop(columns=rates)
    if rest.empty:
        raise DataError(
            f"factors: there is only the risk-free rate {rates[0]}. Add a column for each factor."
        )
    markets = [c for c, name in plain.items() if name in MARKETS]
    if markets:
        warnings.warn(
            f"factors: {rates[0]} is subtracted from the assets' returns, and not from"
            f" {_checks.first(markets)}, which is taken for an excess return. If it is not, subtract"
            f" {rates[0]}"
            " in the file.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    return rest, table[rates[0]].rename("risk_free")
