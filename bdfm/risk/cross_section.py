"""Risk models with known exposures: factor returns by regression across assets, period by period."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, get_args

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _kinds, _renamed
from bdfm._reading import counted
from bdfm._strict import strict, strict_fields
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError
from bdfm.names import ASSET, FACTOR, PERIOD
from bdfm.risk.base import RiskModel
from bdfm.risk.returns import (
    Divisor,
    period_weights,
    returns_table,
    weighted_covariance,
    weighted_variance,
    window_of,
)

Floats = NDArray[np.float64]

MARKET: Final = "market"
MIN_PERIODS: Final = 8  # of specific returns that an asset needs for a variance
_ALONE: Final = 0.999  # leverage of an asset that is all there is of a factor
_WHERE: Final = "cross-sectional model"
_SUM: Final = 1e-6  # memberships may miss 1 by this much


@_renamed.fields(half_life="half_life_periods")
@strict_fields
@dataclass(frozen=True, eq=False)
class CrossSectionalEstimator:
    """Factor returns by (weighted) regression across assets on exposures known before (eq. R6).

    r_it = f_market,t + Σ_c m_ic f_ct + Σ_s x_is,t-1 f_st + u_it. F is the covariance of the estimated factor
    returns, D the variance of the specific returns u / sqrt(1 - h): the regression fits an asset of leverage
    h so much too well. Exposures of the risk model are those at the last day.

    Parameters
    ----------
    numeric
        (period, asset, factor) exposures known at the close of ``period``: size, book-to-market, momentum,
        volatility. The newest at the start of a return's period explain it. ``None`` for categories alone.
    categories
        Family name to memberships: a Series (asset) of labels, or a table (asset, category) of shares that
        sum to 1 in each row, such as 0.7 and 0.3 for a company in two sectors. Names of categories are
        factor names.
    market
        Whether a market factor, to which every asset has exposure 1, is included. With it every family of
        categories is redundant by one; without it every family but the first. The redundant families are
        pinned down by Σ_c W_c f_c = 0, W_c the membership of category c in the estimation universe weighted
        by capitalisation: the market is the weighted average, categories are deviations from it.
    universe
        Assets from which factor returns are estimated: a list, or a table (period, asset) of booleans; the
        others are only explained. ``None`` for all.
    weights
        (period, asset) positive regression weights, such as the root of capitalisation or 1 / D; equal for
        ``None``.
    capitalisation
        (period, asset) positive; weights of the constraints and of the mean exposure; equal for ``None``.
    standardise
        Whether numeric exposures have (capitalisation-weighted) mean 0 and standard deviation 1 over the
        estimation universe in each period.
    window, half_life_periods
        As in ``TimeSeriesEstimator``.
    divisor
        ``"unbiased"`` divides specific returns by sqrt(1 - h) before their variance is taken; ``"textbook"``
        takes them as they are, too small for assets that decide their own factors.
    accept
        Doubts about names of categories and returns that are right all the same; see
        ``bdfm.data.doubts``. None where the names were examined before.

    Notes
    -----
    Tables by period hold from their day until the next row. An asset whose exposure or return is missing
    takes no part in that period's regression; at the last day exposures must be there for every asset.
    """

    numeric: xr.DataArray | None = None
    categories: Mapping[str, pd.Series | pd.DataFrame] = field(default_factory=dict)
    market: bool = True
    universe: Sequence[str] | pd.DataFrame | None = None
    weights: pd.DataFrame | None = None
    capitalisation: pd.DataFrame | None = None
    standardise: bool = True
    window: int | None = None
    half_life_periods: float | None = None
    divisor: Divisor = "unbiased"
    accept: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        check_categories(self.categories, where=_WHERE)

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model from simple returns (period, asset), made at their last period.

        Raises
        ------
        DataError
            Exposures that do not cover the assets and periods, memberships that do not sum to 1, a category
            without a member in the estimation universe, a design that stays singular.
        UnknownLabelError
            An unknown divisor.
        """
        where = _WHERE
        doubt_names(self.categories, accept=self.accept)
        _checks.known([self.divisor], get_args(Divisor), what="divisor", where=where)
        whole = returns_table(returns, where=where, accept=self.accept)
        table = window_of(whole, self.window, where=where)
        design = Design(self, table.columns, where)
        starts = whole.index.to_series().shift(1).loc[table.index]
        use = table.notna().any(axis=1).to_numpy()
        if self.numeric is not None:
            use = use & design.covers(starts)
        if use.sum() < MIN_PERIODS:
            raise DataError(
                f"{where}: exposures are known before {use.sum()} of {len(table)} periods, at least"
                f" {MIN_PERIODS} are needed. Give exposures dated before the returns."
            )
        table, starts = table.loc[use], starts.loc[use]
        factor_returns = np.empty((len(table), len(design.factors)))
        specific, leverage = np.full(table.shape, np.nan), np.zeros(table.shape)
        for t, (start, day) in enumerate(zip(starts, table.index, strict=True)):
            cross = design.at(start if pd.notna(start) else day)
            r = table.iloc[t].to_numpy()
            factor_returns[t], leverage[t] = _regress(cross, r, f"{where} on {day:%Y-%m-%d}", design)
            specific[t] = r - cross.exposures @ factor_returns[t]
        count = np.isfinite(specific).sum(axis=0)
        few = [f"{a} {n}" for a, n in zip(table.columns, count, strict=True) if n < MIN_PERIODS]
        if few:
            raise DataError(
                f"{where}: {len(few)} of {table.shape[1]} assets have fewer than {MIN_PERIODS} specific"
                f" returns ({_checks.first(few)}). Drop them, or use more history."
            )
        alone = [a for a, h in zip(table.columns, leverage.max(axis=0), strict=True) if h > _ALONE]
        if alone:
            raise DataError(
                f"{where}: {_checks.first(alone)} alone decide the return of a factor, so nothing is left as"
                " specific. Merge their categories into others, or add assets."
            )
        now = design.at(whole.index[-1]).exposures
        lacking = [a for a, bad in zip(table.columns, np.isnan(now).any(axis=1), strict=True) if bad]
        if lacking:
            raise DataError(
                f"{where}: exposures at {whole.index[-1]:%Y-%m-%d} are missing of {len(lacking)} of"
                f" {counted(table.shape[1], 'asset')} ({_checks.first(lacking)}). Fill them in (styles of"
                " prices need a"
                " year of closes), or drop the assets."
            )
        weight = period_weights(len(table), self.half_life_periods, where=where)
        frame = pd.DataFrame(factor_returns, table.index, list(design.factors))
        return RiskModel.from_arrays(
            now,
            weighted_covariance(factor_returns, weight),
            weighted_variance(
                specific / np.sqrt(1 - leverage) if self.divisor == "unbiased" else specific, weight
            ),
            assets=list(table.columns),
            factors=design.factors,
            kind="cross-sectional",
            origin=whole.index[-1],
            notes=(f"{counted(len(table), 'cross-section')}; {design.note}",),
            factor_returns=frame,
            specific_returns=pd.DataFrame(specific, table.index, table.columns),
        )

    @strict
    def at(self, model: RiskModel, day: pd.Timestamp) -> RiskModel:
        """Model with the exposures that were known at the close of another day; F and D stay.

        Raises ``DataError`` for a day at which an asset has no exposures.
        """
        where = _WHERE
        b = Design(self, pd.Index(model.assets), where).at(day).exposures
        lacking = [a for a, bad in zip(model.assets, np.isnan(b).any(axis=1), strict=True) if bad]
        if lacking:
            raise DataError(f"{where}: {_checks.first(lacking)} have no exposures at {day:%Y-%m-%d}.")
        made = RiskModel.from_arrays(
            b,
            model.factor_covariance,
            model.specific_variance,
            assets=model.assets,
            factors=model.factors,
            kind=model.kind,
            origin=model.origin,
            notes=model.notes,
        )
        return replace(made, periods=model.periods)


@dataclass(frozen=True, eq=False)
class Cross:
    """One period's design: exposures (asset, factor), who is in, weights, and the free directions."""

    exposures: Floats
    inside: NDArray[np.bool_]  # (asset,) of the estimation universe
    weights: Floats  # (asset,) of the regression
    capital: Floats  # (asset,)


class Design:
    """Exposures of all assets at any day, from the settings of an estimator."""

    def __init__(self, settings: CrossSectionalEstimator, assets: pd.Index[Any], where: str) -> None:
        self.settings, self.where = settings, where
        self.assets = [str(a) for a in assets]
        families = {k: _memberships(v, self.assets, k, where) for k, v in settings.categories.items()}
        self.styles: list[str] = []
        if settings.numeric is not None:
            self.numeric = _numeric(settings.numeric, self.assets, where)
            self.numeric_days = _checks.days(self.numeric[PERIOD].values, where=f"{where}: numeric exposures")
            self.numeric_values = self.numeric.to_numpy()
            self.styles = [str(x) for x in self.numeric[FACTOR].values]
        market = [MARKET] if settings.market else []
        if not (market or families or self.styles):
            raise DataError(f"{where}: no factors. Give categories or numeric exposures.")
        names = [str(c) for table in families.values() for c in table.columns]
        self.factors = (*market, *names, *self.styles)
        _checks.unique(self.factors, what="factor", where=where, hint="Rename one of them.")
        blocks = [np.ones((len(self.assets), len(market)))] + [t.to_numpy() for t in families.values()]
        self.fixed = np.column_stack(blocks)
        stops = np.cumsum([len(market)] + [t.shape[1] for t in families.values()])
        self.families = dict(zip(families, (slice(a, b) for a, b in pairwise(stops)), strict=True))
        self.constrained = list(self.families.values())[0 if settings.market else 1 :]
        self.universe = self._universe()
        self.weights = self._positive(settings.weights, "weights")
        self.capital = self._positive(settings.capitalisation, "capitalisation")

    @property
    def note(self) -> str:
        """How many families are pinned down, in words."""
        n = len(self.constrained)
        zero = f"{counted(n, 'family of categories sums', 'families of categories sum')} to zero" if n else ""
        return zero or "no constraint needed"

    def _universe(self) -> pd.DataFrame | NDArray[np.bool_]:
        given = self.settings.universe
        if given is None:
            return np.ones(len(self.assets), dtype=bool)
        if isinstance(given, pd.DataFrame):
            return self._columns(given.astype(bool), "universe")
        _checks.known(list(given), self.assets, what="asset", where=f"{self.where}: universe")
        return np.isin(self.assets, list(given))

    def _positive(self, table: pd.DataFrame | None, what: str) -> pd.DataFrame | None:
        if table is None:
            return None
        found = self._columns(table, what)
        if not (found.to_numpy(dtype=float) > 0).all():
            bad = found.columns[~(found.to_numpy(dtype=float) > 0).all(axis=0)]
            raise DataError(f"{self.where}: {what} of {_checks.first(bad)} are missing or not above 0.")
        return found

    def _columns(self, table: pd.DataFrame, what: str) -> pd.DataFrame:
        table = table.set_axis([str(c) for c in table.columns], axis=1)
        _checks.has_columns(table, self.assets, where=f"{self.where}: {what}")
        days = _checks.days(table.index, where=f"{self.where}: {what}")
        return table[self.assets].set_axis(days).sort_index()

    def _row(self, table: pd.DataFrame, day: pd.Timestamp, what: str) -> NDArray[Any]:
        position = int(table.index.searchsorted(day, side="right")) - 1
        if position < 0:
            raise DataError(f"{self.where}: no {what} on or before {day:%Y-%m-%d}. Start the table earlier.")
        return table.iloc[position].to_numpy()

    def covers(self, starts: pd.Series) -> NDArray[np.bool_]:
        """Which periods start on or after the first day of the numeric exposures."""
        return (starts >= self.numeric_days[0]).to_numpy()

    def at(self, day: pd.Timestamp) -> Cross:
        """Design known at the close of a day."""
        inside = (
            self.universe
            if isinstance(self.universe, np.ndarray)
            else self._row(self.universe, day, "universe").astype(bool)
        )
        ones = np.ones(len(self.assets))
        weights = ones if self.weights is None else self._row(self.weights, day, "weights").astype(float)
        capital = (
            ones if self.capital is None else self._row(self.capital, day, "capitalisation").astype(float)
        )
        exposures = self.fixed
        if self.styles:
            position = int(self.numeric_days.searchsorted(day, side="right")) - 1
            values = self.numeric_values[position]
            if self.settings.standardise:
                values = self._standardised(values, inside, capital, day)
            exposures = np.column_stack([exposures, values])
        return Cross(exposures, inside, weights, capital)

    def _standardised(
        self, values: Floats, inside: NDArray[np.bool_], capital: Floats, day: pd.Timestamp
    ) -> Floats:
        own = np.where(inside[:, None], values, np.nan)
        share = np.where(np.isfinite(own), capital[:, None], 0.0)
        total = share.sum(axis=0)
        mean = (share * np.nan_to_num(own)).sum(axis=0) / np.where(total > 0, total, 1.0)
        known = np.isfinite(own)
        square = np.where(known, np.square(np.nan_to_num(own) - mean), 0.0).sum(axis=0)
        sd = np.sqrt(square / np.maximum(known.sum(axis=0), 1))
        flat = [s for s, x in zip(self.styles, sd, strict=True) if not x > 0]
        if flat:
            raise DataError(
                f"{self.where}: {_checks.first(flat)} on {day:%Y-%m-%d} is missing or the same for all"
                " assets of the estimation universe. Leave the factor out, or start later."
            )
        return np.asarray((values - mean) / sd)


def _regress(cross: Cross, r: Floats, where: str, design: Design) -> tuple[Floats, Floats]:
    """Factor returns (factor,) of one period under the zero-sum constraints, and leverages (asset,)."""
    use = cross.inside & np.isfinite(r) & np.isfinite(cross.exposures).all(axis=1)
    x, w = cross.exposures[use], cross.weights[use]
    basis = np.eye(x.shape[1])
    dropped = []
    for family in design.families.values():
        members = x[:, family].sum(axis=0)
        empty = [design.factors[family][j] for j in np.flatnonzero(members == 0)]
        if empty:
            raise DataError(
                f"{where}: no asset of the estimation universe with a return is in {_checks.first(empty)}."
                " Merge the category into another, or widen the universe."
            )
    for family in design.constrained:
        total = cross.capital[use] @ x[:, family]
        heaviest = int(total.argmax())
        # f_heaviest = - Σ_c W_c f_c / W_heaviest over the others
        basis[family.start + heaviest, family] = -total / total[heaviest]
        dropped.append(family.start + heaviest)
    basis = np.delete(basis, dropped, axis=1)
    root = np.sqrt(w)[:, None]
    free, _, rank, _ = np.linalg.lstsq(root * (x @ basis), root[:, 0] * r[use], rcond=1e-10)
    if rank < basis.shape[1]:
        raise DataError(
            f"{where}: {counted(use.sum(), 'asset')} of the estimation universe cannot tell"
            f" {counted(x.shape[1], 'factor')} apart"
            f" (rank {rank} of {basis.shape[1]}). Drop factors that are combinations of others."
        )
    orthonormal = np.linalg.qr(root * (x @ basis))[0]
    leverage = np.zeros(len(r))
    leverage[use] = np.square(orthonormal).sum(axis=1)
    return basis @ free, leverage


def check_categories(categories: Mapping[str, object], *, where: str) -> None:
    """Raise ``DataError`` unless these are labels or shares of assets by family."""
    hint = 'Give each family labels or shares by asset: {"sector": pd.Series({"XOM": "energy", ...})}.'
    _kinds.of_kind(categories, Mapping, what="categories", where=where, hint=hint)
    for family, given in categories.items():
        _kinds.of_kind(given, (pd.Series, pd.DataFrame), what=f"categories {family}", where=where, hint=hint)


def doubt_names(
    categories: Mapping[str, pd.Series | pd.DataFrame], *, accept: Collection[str] | None
) -> None:
    """Doubts about the names of families of categories, as ``CrossSectionalEstimator`` takes them."""
    names = {
        str(k): list(v.dropna() if isinstance(v, pd.Series) else v.columns) for k, v in categories.items()
    }
    doubt(Tables("risk", groups=names), accept=accept)


def _memberships(given: pd.Series | pd.DataFrame, assets: list[str], family: str, where: str) -> pd.DataFrame:
    """Shares (asset, category) that sum to 1 in each row."""
    where = f"{where}: categories {family}"
    table = (
        pd.get_dummies(given.dropna(), dtype=float) if isinstance(given, pd.Series) else given.astype(float)
    )
    table = table.set_axis([str(x) for x in table.index]).set_axis([str(c) for c in table.columns], axis=1)
    _checks.unique(table.index, what="asset", where=where)
    missing = [a for a in assets if a not in table.index]
    if missing:
        raise DataError(
            f"{where}: {counted(len(missing), 'asset has', 'assets have')} none"
            f" ({_checks.first(missing)}). Add them."
        )
    table = table.loc[assets]
    values = table.to_numpy()
    bad = (
        (np.abs(values.sum(axis=1) - 1) > _SUM) | (values < 0).any(axis=1) | ~np.isfinite(values).all(axis=1)
    )
    if bad.any():
        named = [f"{a} {s:.4g}" for a, s in zip(table.index[bad], values[bad].sum(axis=1), strict=True)]
        raise DataError(
            f"{where}: shares of {counted(bad.sum(), 'asset')} are negative, missing or do not sum to 1"
            f" ({_checks.first(named)}). Give each asset shares such as 0.7 and 0.3."
        )
    return table.loc[:, (values > 0).any(axis=0)]


def _numeric(given: xr.DataArray, assets: list[str], where: str) -> xr.DataArray:
    where = f"{where}: numeric exposures"
    if set(given.dims) != {PERIOD, ASSET, FACTOR}:
        raise DataError(f"{where}: dims {given.dims}, expected ({PERIOD}, {ASSET}, {FACTOR}).")
    own = [str(a) for a in given[ASSET].values]
    missing = [a for a in assets if a not in set(own)]
    if missing:
        raise DataError(
            f"{where}: {counted(len(missing), 'asset has', 'assets have')} none"
            f" ({_checks.first(missing)}). Add them."
        )
    days = pd.DatetimeIndex(given[PERIOD].values)
    if not (days.is_monotonic_increasing and days.is_unique):
        raise DataError(f"{where}: days are repeated or not in ascending order. Sort them.")
    return (
        given.assign_coords({ASSET: own}).sel({ASSET: assets}).transpose(PERIOD, ASSET, FACTOR).astype(float)
    )
