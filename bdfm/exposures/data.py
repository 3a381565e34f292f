"""Daily returns of assets and factors that exposures are followed on, split in time once for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks
from bdfm.data.sources import read_returns
from bdfm.errors import DataError
from bdfm.names import ASSET, DAY, FACTOR, SECTOR

Floats = NDArray[np.float64]
Part = Literal["training", "validation", "test"]

TRAINING_SHARE: Final = 0.70
VALIDATION_SHARE: Final = 0.15
MIN_DAYS: Final = 60
_PERCENT_SD: Final = 0.15  # a daily sd above this is a return in percent, not a decimal


@dataclass(frozen=True, eq=False, repr=False)
class ExposureData:
    """Daily log returns of assets and returns of factors on the same days, split in time.

    Made by ``from_prices`` or ``from_arrays``. Days up to ``n_training`` are the training part, the next
    ``n_validation`` the validation part, the rest the test part: whatever is estimated once (variances,
    networks, means and sds of standardisation) is estimated on the training part, and methods that learn as
    they go see each day after it is over.

    Attributes
    ----------
    days
        Trading days, ascending.
    assets, factor_names
        Labels.
    sectors
        Sector of each asset, "" where none was given.
    n_training, n_validation
        Days of the first two parts.
    """

    _returns: Floats  # (day, asset)
    _factors: Floats  # (day, factor)
    days: pd.DatetimeIndex
    assets: tuple[str, ...]
    factor_names: tuple[str, ...]
    sectors: tuple[str, ...]
    n_training: int
    n_validation: int

    def __post_init__(self) -> None:
        self._returns.flags.writeable = False
        self._factors.flags.writeable = False

    @classmethod
    def from_arrays(
        cls,
        returns: ArrayLike,
        factors: ArrayLike,
        *,
        days: Sequence[object] | pd.DatetimeIndex | None = None,
        assets: Sequence[str] | None = None,
        factor_names: Sequence[str] | None = None,
        sectors: Sequence[str] | None = None,
        training: float = TRAINING_SHARE,
        validation: float = VALIDATION_SHARE,
    ) -> ExposureData:
        """Data from arrays.

        Parameters
        ----------
        returns
            (day, asset) daily log returns, decimals, none missing.
        factors
            (day, factor) returns of the factors on the same days, decimals, none missing.
        days
            Trading days, ascending; business days from 2000-01-03 if not given.
        assets, factor_names, sectors
            Labels; A0, A1, ... and F1, F2, ... if not given, sectors blank.
        training, validation
            Shares of the days in the first two parts; the rest is the test part.

        Raises
        ------
        DataError
            Shapes, labels, shares or values that cannot be used.
        """
        where = "exposure data"
        r, f = np.array(returns, dtype=np.float64), np.array(factors, dtype=np.float64)
        if r.ndim != 2 or f.ndim != 2 or len(r) != len(f):
            raise DataError(
                f"{where}: returns have shape {r.shape}, factors {f.shape}; expected (day, asset) and"
                " (day, factor) with the same days."
            )
        index = (
            pd.bdate_range("2000-01-03", periods=len(r)) if days is None else _checks.days(days, where=where)
        )
        labels = tuple(
            str(a) for a in (assets if assets is not None else [f"A{i}" for i in range(r.shape[1])])
        )
        names = tuple(
            str(n) for n in (factor_names if factor_names is not None else _factor_names(f.shape[1]))
        )
        groups = tuple(str(s) for s in sectors) if sectors is not None else ("",) * r.shape[1]
        for what, given, expected in (
            ("days", len(index), len(r)),
            ("assets", len(labels), r.shape[1]),
            ("factor names", len(names), f.shape[1]),
            ("sectors", len(groups), r.shape[1]),
        ):
            if given != expected:
                raise DataError(
                    f"{where}: {given} {what} given, the arrays have {expected}. Give one for each."
                )
        for what, values in (("assets", labels), ("factor names", names), ("days", index)):
            _checks.unique(values, what=what, where=where, hint="Keep one of each.")
        if not index.is_monotonic_increasing:
            raise DataError(f"{where}: days are not ascending. Sort the rows by day.")
        if not labels or not names:
            raise DataError(
                f"{where}: {len(labels)} assets and {len(names)} factors. Give at least one of each."
            )
        _complete(
            r, labels, index, what="returns", remedy="Drop these assets, or choose days on which all trade."
        )
        _complete(f, names, index, what="factors", remedy="Complete them, or choose other days.")
        _decimals(f, names)
        n_training, n_validation = _split(len(r), training, validation)
        flat = [labels[j] for j in np.flatnonzero(r[:n_training].std(axis=0) == 0)]
        if flat:
            raise DataError(
                f"{where}: {len(flat)} of {len(labels)} assets do not move in the training part"
                f" ({_checks.first(flat)}). Drop them."
            )
        return cls(r, f, index.rename(DAY), labels, names, groups, n_training, n_validation)

    @classmethod
    def from_prices(
        cls,
        prices: pd.DataFrame,
        factors: pd.DataFrame,
        *,
        sectors: Mapping[str, str] | pd.Series[Any] | None = None,
        start: object = None,
        end: object = None,
        training: float = TRAINING_SHARE,
        validation: float = VALIDATION_SHARE,
    ) -> ExposureData:
        """Data from daily prices and factor returns, on the days that both cover.

        Parameters
        ----------
        prices
            (day, symbol) adjusted closes; all symbols need a price on every day.
        factors
            (day, factor) simple returns of the factors, decimals, as ``read_factors`` gives them.
        sectors
            Sector by symbol, for pictures and averages.
        start, end
            First and last day of returns; if not given, the first and last that both tables have.
        training, validation
            As in ``from_arrays``.

        Raises
        ------
        DataError
            No common days, days that only one of the tables has, prices missing, and as ``from_arrays``.
        """
        where = "exposure data"
        table = _checks.price_table(prices)
        returns = table.apply(np.log).diff().iloc[1:]
        known = factors.set_axis(_checks.days(factors.index, where="factors")).sort_index()
        low = max(
            [returns.index[0], known.index[0]]
            + ([_checks.as_date(start, where=f"{where}: start")] if start else [])
        )
        high = min(
            [returns.index[-1], known.index[-1]]
            + ([_checks.as_date(end, where=f"{where}: end")] if end else [])
        )
        if low > high:
            raise DataError(
                f"{where}: prices cover {table.index[0]:%Y-%m-%d} to {table.index[-1]:%Y-%m-%d}, factors"
                f" {known.index[0]:%Y-%m-%d} to {known.index[-1]:%Y-%m-%d}: no day in common"
                " (within start and end, where given). Give tables that overlap."
            )
        returns, known = returns.loc[low:high], known.loc[low:high]
        odd = returns.index.symmetric_difference(known.index)
        if len(odd):
            raise DataError(
                f"{where}: {len(odd)} days are in one of prices and factors only"
                f" ({_checks.first(f'{d:%Y-%m-%d}' for d in odd)}). Use one calendar for both: a return over"
                " two days has no factor return of one."
            )
        if sectors is not None:
            mapping = dict(sectors)
            _checks.known(list(returns.columns), list(mapping), what="asset", where="sectors")
        return cls.from_arrays(
            returns.to_numpy(),
            known.to_numpy(dtype=np.float64),
            days=pd.DatetimeIndex(returns.index),
            assets=list(returns.columns),
            factor_names=[str(c) for c in known.columns],
            sectors=None if sectors is None else [str(mapping[a]) for a in returns.columns],
            training=training,
            validation=validation,
        )

    # Contents

    @property
    def n_days(self) -> int:
        """Number of days."""
        return len(self.days)

    @property
    def returns(self) -> xr.DataArray:
        """Daily log returns (day, asset), decimals, read-only."""
        coords: dict[str, Any] = {
            DAY: self.days,
            ASSET: list(self.assets),
            SECTOR: (ASSET, list(self.sectors)),
        }
        return xr.DataArray(self._returns.view(), dims=(DAY, ASSET), coords=coords, name="log_returns")

    @property
    def factors(self) -> xr.DataArray:
        """Factor returns (day, factor), decimals, read-only."""
        coords = {DAY: self.days, FACTOR: list(self.factor_names)}
        return xr.DataArray(self._factors.view(), dims=(DAY, FACTOR), coords=coords, name="factors")

    @property
    def mean(self) -> Floats:
        """Mean (asset) of the returns of the training part."""
        return np.asarray(self._returns[: self.n_training].mean(axis=0))

    @property
    def sd(self) -> Floats:
        """Standard deviation (asset) in the training part: the unit of the standardised scale."""
        return np.asarray(self._returns[: self.n_training].std(axis=0))

    @property
    def standardised(self) -> Floats:
        """Returns (day, asset) less ``mean``, over ``sd``."""
        return np.asarray((self._returns - self.mean) / self.sd)

    def days_of(self, part: Part) -> slice:
        """Positions of the days of a part."""
        bounds = {
            "training": (0, self.n_training),
            "validation": (self.n_training, self.n_training + self.n_validation),
            "test": (self.n_training + self.n_validation, self.n_days),
        }
        _checks.known([part], list(bounds), what="part", where="days_of")
        return slice(*bounds[part])

    def select(self, assets: Sequence[str]) -> ExposureData:
        """Data of some assets, in the order given, on the same split."""
        _checks.known(assets, self.assets, what="asset", where="select")
        _checks.unique(assets, what="assets", where="select", hint="Name each once.")
        if not len(assets):
            raise DataError("select: no assets named. Name at least one.")
        index = [self.assets.index(a) for a in assets]
        return replace(
            self,
            _returns=self._returns[:, index].copy(),
            assets=tuple(assets),
            sectors=tuple(self.sectors[i] for i in index),
        )

    def __repr__(self) -> str:
        parts = [
            f"{name} {self.days[s][0]:%Y-%m-%d} to {self.days[s][-1]:%Y-%m-%d} ({s.stop - s.start} days)"
            for name in ("training", "validation", "test")
            for s in [self.days_of(name)]
        ]
        return (
            f"ExposureData: {len(self.assets)} assets, factors {_checks.first(self.factor_names)};"
            f" {', '.join(parts)}"
        )


def read_factors(
    path: str | Path | pd.DataFrame,
    *,
    unit: Literal["percent", "decimal"],
    date_format: str | None = None,
    decimal_mark: str | None = None,
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
        raise DataError(f"{where}: unit must be percent or decimal, got {unit!r}.")
    values = read_returns(path, what=where, unit=unit, date_format=date_format, decimal_mark=decimal_mark)
    _decimals(values.to_numpy(), list(values.columns))
    return values


def choose_assets(sectors: Mapping[str, str] | pd.Series[Any], n_assets: int, *, seed: int) -> list[str]:
    """Symbols of a random sample over all sectors, in alphabetical order.

    Each sector has places in proportion to its size by the method of largest remainders, and at least one;
    within a sector all symbols are equally likely. Equal seeds give equal samples, whatever the order of the
    rows.

    Parameters
    ----------
    sectors
        Sector by symbol.
    n_assets
        Size of the sample, at least the number of sectors.
    seed
        Of the draw.

    Raises
    ------
    DataError
        Fewer places than sectors, or more places than symbols.
    """
    table = pd.Series(dict(sectors), dtype=object).astype(str).sort_index()
    size = table.value_counts().sort_index()
    n = _checks.at_least(n_assets, len(size), what=f"n_assets ({len(size)} sectors)", where="choose_assets")
    if n > len(table):
        raise DataError(f"choose_assets: {n} assets asked for, {len(table)} given. Ask for fewer.")
    # One place each, and the rest in proportion to what a sector has left.
    left = np.asarray(size - 1, dtype=np.float64)
    quota = (n - len(size)) * left / max(float(left.sum()), 1.0)
    places = np.floor(quota).astype(int)
    order = np.argsort(-(quota - places), kind="stable")
    places[order[: n - len(size) - places.sum()]] += 1
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    for sector, k in zip(size.index, places + 1, strict=True):
        members = table.index[table == sector].to_numpy()
        chosen += [str(s) for s in rng.choice(members, size=int(k), replace=False)]
    return sorted(chosen)


def _factor_names(n: int) -> list[str]:
    return [f"F{k}" for k in range(1, n + 1)]


def _split(n_days: int, training: float, validation: float) -> tuple[int, int]:
    where = "exposure data"
    share, second = (
        _checks.positive(x, what=f"share of the {w} part", where=where)
        for w, x in (("training", training), ("validation", validation))
    )
    if share + second >= 1:
        raise DataError(
            f"{where}: shares {share:g} and {second:g} leave no test part. Their sum must be below 1."
        )
    if n_days < MIN_DAYS:
        raise DataError(f"{where}: {n_days} days, at least {MIN_DAYS} are needed. Give a longer history.")
    n_training = int(n_days * share)
    return n_training, int(n_days * (share + second)) - n_training


def _complete(
    values: Floats, labels: Sequence[str], days: pd.DatetimeIndex, *, what: str, remedy: str
) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    columns = [int(j) for j in np.flatnonzero(bad.any(axis=0))]
    named = _checks.first(f"{labels[j]} from {days[int(bad[:, j].argmax())]:%Y-%m-%d}" for j in columns)
    raise DataError(
        f"exposure data: {what} of {len(columns)} of {len(labels)} columns are missing or infinite on some"
        f" day ({named}). {remedy}"
    )


def _decimals(values: Floats, names: Sequence[str]) -> None:
    with np.errstate(invalid="ignore"):
        wide = [n for n, s in zip(names, np.nanstd(values, axis=0), strict=True) if s > _PERCENT_SD]
    if wide:
        raise DataError(
            f"factors: {_checks.first(wide)} have a daily standard deviation above {_PERCENT_SD:.0%}."
            " Returns must be decimals, 0.01 for 1 %; read a file in percent with unit='percent'."
        )
