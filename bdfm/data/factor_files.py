"""Files of daily factor returns, such as French's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import pandas as pd

from bdfm._reading import cut
from bdfm._strict import strict
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.sources import read_returns
from bdfm.errors import DataError


@strict
def read_factors(
    path: str | Path | pd.DataFrame,
    *,
    unit: Literal["percent", "decimal"],
    date_format: str | None = None,
    decimal_mark: str | None = None,
    accept: Collection[str] | None = (),
) -> pd.DataFrame:
    """Daily factor returns (day, factor) of a file, as decimals.

    The file may have any form of ``bdfm.read_prices``, or be one of French's as downloaded; codes for
    missing, such as -99.99, are NaN. A risk-free rate is kept as the column ``RF``; drop it where it is no
    factor.

    Parameters
    ----------
    path
        File.
    unit
        What the file holds: French's data library publishes percent.
    date_format, decimal_mark
        As in ``bdfm.read_prices``.
    accept
        As in ``ExposureData.from_arrays``.

    Raises
    ------
    FileError
        The file is missing or no table.
    DataError
        No dates, repeated dates that differ, text in place of a number, or a unit that the numbers
        contradict.
    """
    where = "factors"
    if unit not in ("percent", "decimal"):
        raise DataError(f"{where}: unit must be percent or decimal, got {cut(unit)}.")
    values = read_returns(path, what=where, unit=unit, date_format=date_format, decimal_mark=decimal_mark)
    doubt(Tables("exposures", factors=values), accept=accept)
    return values
