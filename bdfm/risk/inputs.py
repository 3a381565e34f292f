"""What a risk model is given: weights of portfolios, a covariance, the history of its estimation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _labels, _weights
from bdfm._reading import short
from bdfm._symbols import is_cash
from bdfm.data.periods import trading_days_between
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, FACTOR_RETURNS, PERIOD, PORTFOLIO, SPECIFIC_RETURNS

Floats = NDArray[np.float64]
Weights = Mapping[str, float] | pd.Series | pd.DataFrame | xr.DataArray

MAX_APART: Final = 4  # days between two models of one trading day: a long weekend
_SYMMETRY: Final = 1e-8  # relative asymmetry or negative eigenvalue of F that passes for rounding


def check_one_day(
    made: pd.Timestamp, last: pd.Timestamp, days: pd.DatetimeIndex, *, where: str, what: str
) -> None:
    """Raise ``DataError`` where ``what`` was made on another trading day than the models beside it.

    ``last`` is the last day that the models use, ``days`` are all days of the prices. A weekend or holidays
    may lie between: no day that could have a price.
    """
    between = trading_days_between(made, last, days)
    if not len(between) and abs((made - last).days) <= MAX_APART:
        return
    remedy = f"Pass --origin {made:%Y-%m-%d}, or give the {what} of that day."
    if made < days.min():
        remedy = f"Give the {what} of a day of the prices."
    if made > days.max():
        remedy = f"Use prices up to {made:%Y-%m-%d}, or the {what} of {days.max():%Y-%m-%d}."
    raise DataError(
        f"{where}: its {what} was made on {made:%Y-%m-%d}, and the other models use prices up to"
        f" {last:%Y-%m-%d}. {remedy}"
    )


def portfolios(weights: Weights, assets: Sequence[str]) -> tuple[list[str] | None, Floats]:
    """Names (``None`` for one without) and weights (portfolio, asset) in the order of the assets.

    Cash (``CASH``, unless an asset is called so) has no risk and is left out. ``DataError`` for weights that
    are no numbers, percent or amounts.
    """
    where = "weights"
    if isinstance(weights, xr.DataArray):
        if not set(weights.dims) <= {PORTFOLIO, ASSET} or ASSET not in weights.dims:
            raise DataError(f"{where}: dims {weights.dims}, expected ({ASSET},) or ({PORTFOLIO}, {ASSET}).")
        table = weights.transpose(..., ASSET).to_pandas()
    elif isinstance(weights, pd.DataFrame | pd.Series):
        table = weights
    else:
        try:
            table = pd.Series({k: float(x) for k, x in dict(weights).items()}, dtype=float)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{where}: asset to number was expected, got {short(repr(weights))}. Several portfolios are a"
                " table: one row for each, one column for each asset."
            ) from error
    whole = table if isinstance(table, pd.DataFrame) else table.to_frame().T
    cash = [is_cash(a, assets) for a in whole.columns]
    labels = [str(a) for a, c in zip(whole.columns, cash, strict=True) if not c]
    if labels != list(assets):
        hint = "A table has one portfolio in each row and one asset in each column."
        _checks.known(labels, assets, what="asset", where=where, hint=hint)
        _checks.unique(labels, what="asset", where=where)
    whole = _weights.numbers(whole, where=where)
    values = whole.to_numpy()[:, [not c for c in cash]]
    if labels != list(assets):
        position = {a: i for i, a in enumerate(assets)}
        full = np.zeros((len(whole), len(assets)))
        full[:, [position[a] for a in labels]] = values
        values = full
    names = [str(x) for x in whole.index] if isinstance(table, pd.DataFrame) else None
    if names is not None:
        _checks.unique(names, what="portfolio", where=where)
    _weights.check_table(whole, where=where, named=names is not None)
    return names, values


def labels_of(
    assets: Sequence[str],
    factors: Sequence[str],
    exposures: object,
    factor_covariance: object,
    specific_variance: object,
    *,
    where: str,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Labels of assets and factors, in whose order the tables must be where they have labels themselves."""
    labels = _labels.names_of(assets, what="assets", where=where)
    names = _labels.names_of(factors, what="factors", where=where)
    for what, given in (("asset", labels), ("factor", names)):
        _checks.unique(given, what=what, where=where)
    for what, table, *along in (
        ("exposures", exposures, labels, names),
        ("factor_covariance", factor_covariance, names, names),
        ("specific_variance", specific_variance, labels),
    ):
        if np.asarray(table).ndim >= len(along):  # before the labelled axes there may be one of draws
            for axis, own in enumerate(along, -len(along)):
                _labels.in_order(table, own, axis=axis, what=str(what), where=where)
    return labels, names


def check_covariance(f: Floats, where: str) -> None:
    """Raise ``DataError`` unless ``f`` ([draw,] factor, factor) is symmetric without negative eigenvalues."""
    size = float(np.abs(f).max(initial=0.0))
    skew = float(np.abs(f - np.swapaxes(f, -1, -2)).max(initial=0.0))
    lowest = float(np.linalg.eigvalsh(f).min(initial=0.0))
    if skew > _SYMMETRY * size or lowest < -_SYMMETRY * size:
        raise DataError(
            f"{where}: the factor covariance is no covariance (asymmetry {skew:.3g}, smallest eigenvalue"
            f" {lowest:.3g}). Give a symmetric matrix without negative eigenvalues."
        )


def history_of(
    factor_returns: pd.DataFrame | None,
    specific_returns: pd.DataFrame | None,
    assets: tuple[str, ...],
    factors: tuple[str, ...],
) -> xr.Dataset | None:
    """Factor and specific returns of the estimation on common periods; None where neither is given."""
    if factor_returns is None and specific_returns is None:
        return None
    variables = {}
    for name, table, dim, labels in (
        (FACTOR_RETURNS, factor_returns, FACTOR, factors),
        (SPECIFIC_RETURNS, specific_returns, ASSET, assets),
    ):
        if table is None:
            continue
        if tuple(map(str, table.columns)) != labels:
            raise DataError(f"risk model: columns of {name} are not its {dim}s in order. Reindex the table.")
        coords = {PERIOD: pd.DatetimeIndex(table.index).rename(None), dim: list(labels)}
        variables[name] = xr.DataArray(table.to_numpy(dtype=float), dims=(PERIOD, dim), coords=coords)
    try:
        xr.align(*variables.values(), join="exact")
    except ValueError as error:
        raise DataError("risk model: factor and specific returns have different periods.") from error
    return xr.Dataset(variables)
