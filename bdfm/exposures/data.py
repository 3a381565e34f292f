"""Daily returns of assets and factors that exposures are followed on, split in time once for all."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bdfm import _checks, _doubles, _labels, _tables
from bdfm._kinds import of_kind, texts
from bdfm._reading import PACKAGE, counted
from bdfm._seeds import either_seed
from bdfm._strict import strict
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError, DataWarning
from bdfm.exposures.common_days import common_span, on_common_days, tables_used
from bdfm.names import ASSET, DAY, FACTOR, SECTOR
from bdfm.risk.returns import simple_of_logs

Floats = NDArray[np.float64]
Part = Literal["training", "validation", "test"]

TRAINING_SHARE: Final = 0.70
VALIDATION_SHARE: Final = 0.15
MIN_DAYS: Final = 60
_NO_FACTOR: Final = "A blank or a code for missing is there (missing-code): fill it, or leave out those rows."
_RATE: Final = "risk-free rate"


@dataclass(frozen=True, eq=False, repr=False)
class ExposureData:
    """Daily log returns of assets and returns of factors on the same days, split in time.

    Made by ``from_prices`` or ``from_arrays``. Days up to ``n_training`` are the training part, the next
    ``n_validation`` the validation part, the rest the test part: whatever is estimated once (networks, means
    and sds of standardisation) is estimated on the training part, and methods that learn as they go see each
    day after it is over. A return of an asset may be missing (NaN).

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
    @strict
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
        accept: Collection[str] | None = (),
    ) -> ExposureData:
        """Data from arrays.

        Parameters
        ----------
        returns
            (day, asset) daily log returns, decimals; NaN where missing. An asset needs 60 of them in the
            training part, or half of its days.
        factors
            (day, factor) returns of the factors on the same days, decimals, none missing.
        days
            Trading days, ascending; business days from 2000-01-03 if not given.
        assets, factor_names, sectors
            Labels; A0, A1, ... and F1, F2, ... if not given, sectors blank.
        training, validation
            Shares of the days in the first two parts; the rest is the test part.
        accept
            Doubts about returns and factors that are right all the same, as ``RULE`` or ``RULE:COLUMN``; see
            ``bdfm.data.doubts``. None where they were examined before.

        Raises
        ------
        DataError
            Shapes, labels, shares or values that cannot be used.
        """
        where = "exposure data"
        # Row by row in memory, however they come: sums of another order differ in the last digit, and that
        # decides where the search for a likelihood's maximum stops (exposures then differ by thousandths).
        given_returns, given_factors = returns, factors
        r, f = (np.array(x, dtype=np.float64, order="C") for x in (returns, factors))
        if r.ndim != 2 or f.ndim != 2 or len(r) != len(f):
            raise DataError(
                f"{where}: returns have shape {r.shape}, factors {f.shape}; expected (day, asset) and"
                " (day, factor) with the same days."
            )
        index = (
            pd.bdate_range("2000-01-03", periods=len(r)) if days is None else _checks.days(days, where=where)
        )
        labels = tuple(f"A{i}" for i in range(r.shape[1]))
        named = _labels.columns_of(given_returns) if assets is None else assets
        if named is not None:
            labels = _labels.names_of(named, what="assets", where=where)
            _labels.in_order(given_returns, labels, axis=1, what="returns", where=where)
        names = tuple(_factor_names(f.shape[1]))
        if factor_names is not None:
            names = _labels.names_of(factor_names, what="factor_names", where=where)
            _labels.in_order(given_factors, names, axis=1, what="factors", where=where)
        groups = ("",) * r.shape[1]
        if sectors is not None:
            groups = _labels.names_of(sectors, what="sectors", where=where, of=labels, blank=True)
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
        for what, values in (("asset", labels), ("factor name", names), ("day", index)):
            _checks.unique(values, what=what, where=where, hint="Keep one of each.")
        if not index.is_monotonic_increasing:
            raise DataError(f"{where}: days are not ascending. Sort the rows by day.")
        if not labels or not names:
            raise DataError(
                f"{where}: {counted(len(labels), 'asset')} and {counted(len(names), 'factor')}. Give at"
                " least one of each."
            )
        if np.isinf(r).any():
            raise DataError(
                f"{where}: returns of {np.isinf(r).sum()} cells are infinite. Give NaN if missing."
            )
        silent = np.isnan(r).all(axis=1)
        if silent.any():
            raise DataError(f"{where}: no return on {silent.sum()} of {len(r)} days. Leave those days out.")
        _complete(f, names, index, what="factors", remedy=_NO_FACTOR)
        told = {SECTOR: [g for g in groups if g]}
        table = pd.DataFrame(f, index, list(names))
        simple = simple_of_logs(pd.DataFrame(r, index, list(labels)))
        doubt(Tables("exposures", factors=table, returns=simple, groups=told), accept=accept)
        n_training, n_validation = _split(len(r), training, validation)
        short = [labels[j] for j in np.flatnonzero(_too_short(r[:n_training]))]
        if short:
            raise DataError(
                f"{where}: {len(short)} of {len(labels)} assets have too few returns in the"
                f" {n_training} days of"
                f" the training part ({_checks.first(short)}). Drop them, or choose other days."
            )
        flat = [labels[j] for j in np.flatnonzero(np.nanstd(r[:n_training], axis=0) == 0)]
        if flat:
            raise DataError(
                f"{where}: {len(flat)} of {len(labels)} assets do not move in the training part"
                f" ({_checks.first(flat)}). Drop them."
            )
        return cls(r, f, index.rename(DAY), labels, names, groups, n_training, n_validation)

    @classmethod
    @strict
    def from_prices(
        cls,
        prices: pd.DataFrame,
        factors: pd.DataFrame,
        *,
        sectors: Mapping[str, str] | pd.Series[Any] | None = None,
        risk_free: pd.Series[Any] | None = None,
        start: object = None,
        end: object = None,
        training: float = TRAINING_SHARE,
        validation: float = VALIDATION_SHARE,
        accept: Collection[str] | None = (),
    ) -> ExposureData:
        """Data from daily prices and factor returns, on the days that both have.

        A return runs from one such day to the next, and so do the factors', compounded over days between on
        which there are no prices. Assets with too few returns in the training part are left out, and a
        ``DataWarning`` names them.

        Parameters
        ----------
        prices
            (day, symbol) adjusted closes, blanks where an asset did not trade.
        factors
            (day, factor) simple returns of the factors, decimals, as ``read_factors`` gives them.
        sectors
            Sector by symbol, for pictures and averages.
        risk_free
            Daily risk-free simple return (day,), decimals; subtracted from the assets' returns if given.
        start, end
            First and last day of returns; if not given, the first and last that both tables have.
        training, validation, accept
            As in ``from_arrays``; symbols too. Only the days used are examined.

        Raises
        ------
        DataError
            What a rule of ``bdfm.data.doubts`` refuses. No common days, or more than a tenth of the days in
            one of the tables only, and as ``from_arrays``.
        UnknownLabelError
            An asset without a sector, where sectors are given.
        """
        where = "exposure data"
        prices = _tables.prices_frame(prices)
        hint = "Read a file with bdfm.exposures.read_factors(path, unit=...)."
        of_kind(factors, pd.DataFrame, what="factors", where=where, hint=hint, expected="a DataFrame")
        factors = factors.set_axis(_checks.days(factors.index, where="factors"))
        factors = _doubles.once_a_day(factors, where="factors")
        if risk_free is not None:
            what = "risk-free rate"
            rate = risk_free.set_axis(_checks.days(risk_free.index, where=what)).to_frame()
            risk_free = _doubles.once_a_day(rate, where=what).iloc[:, 0]
        told = factors if risk_free is None else factors.assign(RF=risk_free)
        groups = {} if sectors is None else {SECTOR: list(dict(sectors).values())}
        doubt(replace(tables_used(prices, told, start, end), groups=groups), accept=accept)
        table = _checks.price_table(prices).dropna(how="all")
        for what, given in (("prices", table), ("factors", factors)):
            if not len(given):
                raise DataError(f"{where}: {what} has no rows. Give days that both tables have.")
        known = factors.sort_index()
        if risk_free is not None:
            known = known.assign(**{_RATE: risk_free.reindex(known.index)})
        low, high = common_span(table, known, start, end)
        returns, known = on_common_days(table, known, low, high)
        excess = known.pop(_RATE) if risk_free is not None else 0.0
        if risk_free is not None:
            days = pd.DatetimeIndex(known.index)
            _complete(np.asarray(excess)[:, None], [_RATE], days, what="rates", remedy="Complete it.")
        returns = returns.sub(np.log1p(excess), axis=0)
        n_training, _ = _split(len(returns), training, validation)
        short = returns.columns[_too_short(returns.to_numpy()[:n_training])]
        if 0 < len(short) < returns.shape[1]:
            warnings.warn(
                f"{where}: {len(short)} of {returns.shape[1]} assets are left out for want of returns up to"
                f" {returns.index[n_training - 1]:%Y-%m-%d} ({_checks.first(short)}).",
                DataWarning,
                skip_file_prefixes=(PACKAGE,),
            )
            returns = returns.drop(columns=short)
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
            accept=None,  # examined above, with the prices
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
        return np.asarray(np.nanmean(self._returns[: self.n_training], axis=0))

    @property
    def sd(self) -> Floats:
        """Standard deviation (asset) in the training part: the unit of the standardised scale."""
        return np.asarray(np.nanstd(self._returns[: self.n_training], axis=0))

    @property
    def standardised(self) -> Floats:
        """Returns (day, asset) less ``mean``, over ``sd``."""
        return np.asarray((self._returns - self.mean) / self.sd)

    @strict
    def days_of(self, part: Part) -> slice:
        """Positions of the days of a part.

        Raises ``UnknownLabelError`` for an unknown part.
        """
        bounds = {
            "training": (0, self.n_training),
            "validation": (self.n_training, self.n_training + self.n_validation),
            "test": (self.n_training + self.n_validation, self.n_days),
        }
        _checks.known([part], list(bounds), what="part", where="days_of")
        return slice(*bounds[part])

    def select(self, assets: Sequence[str]) -> ExposureData:
        """Data of some assets, in the order given, on the same split.

        Raises ``UnknownLabelError`` for an asset that the data lack; ``DataError`` for an asset twice, or
        none.
        """
        assets = texts(assets)
        _checks.known(assets, self.assets, what="asset", where="select")
        _checks.unique(assets, what="asset", where="select", hint="Name each once.")
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
            f"ExposureData: {counted(len(self.assets), 'asset')}, factors {_checks.first(self.factor_names)};"
            f" {', '.join(parts)}"
        )


@either_seed
@strict
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

    Examples
    --------
    >>> from bdfm import exposures as ex
    >>> ex.choose_assets({"A": "tech", "B": "tech", "C": "tech", "D": "energy"}, 3, seed=1)
    ['A', 'B', 'D']
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


def _too_short(training: Floats) -> NDArray[np.bool_]:
    """Whether each asset (column) has too few returns in the training part."""
    return np.asarray(np.isfinite(training).sum(axis=0) < min(MIN_DAYS, (len(training) + 1) // 2))


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
