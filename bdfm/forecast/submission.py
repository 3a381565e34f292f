"""The form of an M6 submission: its columns, its limits, and a table of five decimals from probabilities.

It stands beside the forecast, which writes it, and below the scoring, which reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._kinds import of_kind
from bdfm.errors import DataError

Floats = NDArray[np.float64]

N_RANKS: Final = 5  # quintiles
RANKS: Final = tuple(f"Rank{k}" for k in range(1, N_RANKS + 1))
COLUMNS: Final = ("ID", *RANKS, "Decision")
MIN_EXPOSURE: Final = 0.25  # bounds of the sum of absolute decisions
MAX_EXPOSURE: Final = 1.0
_UNITS: Final = 100_000  # of five decimals


def submission(
    probabilities: Floats,
    assets: Sequence[str],
    decisions: Mapping[str, float] | pd.Series[float] | None = None,
) -> pd.DataFrame:
    """Table of a submission: ID, Rank1 to Rank5 (Rank1 the lowest fifth), Decision; 5 decimals.

    Probabilities (asset, rank) are rounded by largest remainder, so that each row still sums to 1.
    ``decisions`` and what is raised are as in ``Forecast.to_submission``.
    """
    where = "decisions"
    if decisions is None:
        weight = np.full(len(assets), MIN_EXPOSURE / len(assets))
    else:
        hint = "Such as decision.weights; None is an equal weight."
        kinds, expected = (Mapping, pd.Series), "weights by symbol"
        of_kind(decisions, kinds, what="the argument", where=where, hint=hint, expected=expected)
        given = {str(k): _checks.finite(v, what=f"{k}", where=where) for k, v in decisions.items()}
        _checks.known(given, assets, what="asset", where=where)
        weight = np.array([given.get(a, 0.0) for a in assets])
    units = round(float(np.abs(weight).sum()) * _UNITS)
    if not MIN_EXPOSURE * _UNITS <= units <= MAX_EXPOSURE * _UNITS:
        raise DataError(
            f"{where}: absolute weights sum to {units / _UNITS:g}, expected {MIN_EXPOSURE:g} to"
            f" {MAX_EXPOSURE:g}. Multiply them by one factor."
        )
    ranks = _whole_units(probabilities, _UNITS) / _UNITS
    amounts = np.sign(weight) * _whole_units(np.abs(weight)[None, :], units)[0] / _UNITS
    table = pd.DataFrame({"ID": list(assets)})
    return table.assign(**dict(zip(RANKS, ranks.T, strict=True)), Decision=amounts)


def to_csv(table: pd.DataFrame) -> str:
    """Text of the file."""
    return str(table.to_csv(index=False, float_format="%.5f", lineterminator="\n"))


def _whole_units(shares: Floats, units: int) -> Floats:
    """Shares (row, column), each row in whole units that sum to ``units``, by largest remainder."""
    exact = shares / shares.sum(axis=1, keepdims=True) * units
    whole = np.floor(exact)
    missing = units - whole.sum(axis=1, keepdims=True)
    place = np.argsort(np.argsort(whole - exact, axis=1, kind="stable"), axis=1)
    return np.asarray(whole + (place < missing))
