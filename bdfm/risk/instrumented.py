"""Risk models whose exposures follow characteristics that move: instrumented principal components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bdfm import _checks, _renamed
from bdfm._reading import counted
from bdfm._strict import strict_fields
from bdfm.errors import DataError
from bdfm.risk.base import RiskModel
from bdfm.risk.cross_section import (
    MIN_PERIODS,
    CrossSectionalEstimator,
    Design,
    check_categories,
    doubt_names,
)
from bdfm.risk.returns import (
    period_weights,
    returns_table,
    weighted_covariance,
    weighted_variance,
    window_of,
)

Floats = NDArray[np.float64]

_SETTLED: Final = 1e-10  # change of the span of the slopes in a step, below which they have settled
_MAX_STEPS: Final = 20_000
_WHERE: Final = "instrumented model"


@_renamed.fields(half_life="half_life_periods")
@strict_fields
@dataclass(frozen=True, eq=False)
class InstrumentedEstimator:
    """Exposures that move with characteristics: B_t = X_t Γ, of few factors (eq. R27).

    r_it = x_i,t-1' Γ f_t + u_it (Kelly, Pruitt and Su 2019). X are characteristics known at the start of the
    period, Γ (characteristic, factor) is the same at all times and for all assets, f_t is not observed. With
    as many factors as characteristics it is the cross-sectional model without constraints; with fewer, factor
    returns of all characteristics are pressed into the few that explain most. A new listing has exposures
    from its first characteristics on, an asset that changes changes them at once.

    Parameters
    ----------
    numeric
        (period, asset, factor) characteristics known at the close of ``period``: ``price_styles``,
        ``FundamentalsPanel.exposures``. The newest at the start of a return's period explain it.
    n_factors
        Number of factors, at most that of characteristics.
    categories
        As in ``CrossSectionalEstimator``: memberships are characteristics too.
    constant
        Whether a characteristic is 1 for every asset.
    standardise
        Whether numeric characteristics have mean 0 and standard deviation 1 over the assets in each period.
    window, half_life_periods
        As in ``TimeSeriesEstimator``.
    accept
        As in ``CrossSectionalEstimator``.

    Notes
    -----
    Least squares over all periods and assets, by alternating between f_t given Γ and Γ given f_t, from the
    leading components of the characteristics' own portfolios X_t' r_t. Γ'Γ = I, factors are uncorrelated in
    the window, the first has the largest variance, and the assets' mean exposure at the origin is positive.
    D is the variance of u / sqrt(1 - h), h the share of a return that its own factor returns take.

    Examples
    --------
    >>> import bdfm
    >>> from bdfm import risk
    >>> prices = bdfm.demo()[0].loc["2019":"2021-12-31"]
    >>> returns = risk.simple_returns(prices, period="1w").iloc[-104:]
    >>> styles = risk.price_styles(prices, returns.index)
    >>> model = risk.InstrumentedEstimator(styles, 2).fit(returns)
    >>> model.factors
    ('IPC1', 'IPC2')
    """

    numeric: xr.DataArray
    n_factors: int
    categories: Mapping[str, pd.Series | pd.DataFrame] = field(default_factory=dict)
    constant: bool = True
    standardise: bool = True
    window: int | None = None
    half_life_periods: float | None = None
    accept: tuple[str, ...] | None = ()

    def __post_init__(self) -> None:
        check_categories(self.categories, where=_WHERE)

    def fit(self, returns: pd.DataFrame) -> RiskModel:
        """Risk model from simple returns (period, asset), made at their last period; see ``estimate``."""
        return self.estimate(returns).model

    def estimate(self, returns: pd.DataFrame) -> InstrumentedFit:
        """The risk model with the slopes Γ that its exposures have.

        Raises
        ------
        DataError
            Characteristics that do not cover the assets and periods, more factors than characteristics,
            fewer assets in a period than factors, no characteristics at the last day, slopes that do not
            settle.
        """
        doubt_names(self.categories, accept=self.accept)
        whole = returns_table(returns, where=_WHERE, accept=self.accept)
        table = window_of(whole, self.window, where=_WHERE)
        design = self._design(table.columns)
        k = _checks.at_least(self.n_factors, 1, what="n_factors", where=_WHERE)
        if k > len(design.factors):
            raise DataError(
                f"{_WHERE}: {k} factors of {len(design.factors)} characteristics"
                f" ({_checks.first(design.factors)}). Ask for fewer, or give more characteristics."
            )
        starts = whole.index.to_series().shift(1).loc[table.index]
        use = table.notna().any(axis=1).to_numpy() & design.covers(starts)
        if use.sum() < max(MIN_PERIODS, k + 2):
            raise DataError(
                f"{_WHERE}: characteristics are known before {use.sum()} of {len(table)} periods, at least"
                f" {max(MIN_PERIODS, k + 2)} are needed. Give characteristics dated before the returns."
            )
        table, starts = table.loc[use], starts.loc[use]
        x = [design.at(start).exposures for start in starts]
        r = table.to_numpy()
        known = [np.isfinite(a).all(axis=1) & np.isfinite(b) for a, b in zip(x, r, strict=True)]
        few = [f"{day:%Y-%m-%d} {n.sum()}" for day, n in zip(table.index, known, strict=True) if n.sum() <= k]
        if few:
            raise DataError(
                f"{_WHERE}: {len(few)} of {len(table)} periods have no more than {k} assets with returns and"
                f" characteristics ({_checks.first(few)}). Start later, or ask for fewer factors."
            )
        weight = period_weights(len(table), self.half_life_periods, where=_WHERE)
        slopes = _slopes(x, r, known, weight, k)
        return self._fitted(design, slopes, x, known, table, weight, whole.index[-1])

    def _design(self, assets: pd.Index) -> Design:
        settings = CrossSectionalEstimator(
            self.numeric,
            self.categories,
            market=self.constant,
            standardise=self.standardise,
            accept=None,  # told above
        )
        return Design(settings, assets, _WHERE)

    def _fitted(
        self, design: Design, slopes: Floats, x: list[Floats], known: list[NDArray[np.bool_]],
        table: pd.DataFrame, weight: Floats, origin: pd.Timestamp,
    ) -> InstrumentedFit:  # fmt: skip
        """Factors in their order and with their signs, specific returns, and the model of both."""
        r = table.to_numpy()
        factors = _factors(slopes, x, r, known)
        turn = np.linalg.eigh(weighted_covariance(factors, weight))[1][:, ::-1]
        now = design.at(origin).exposures
        lacking = [a for a, bad in zip(table.columns, np.isnan(now).any(axis=1), strict=True) if bad]
        if lacking:
            raise DataError(
                f"{_WHERE}: characteristics at {origin:%Y-%m-%d} are missing of {len(lacking)} of"
                f" {counted(table.shape[1], 'asset')} ({_checks.first(lacking)}). Fill them in, or drop"
                " the assets."
            )
        turn = turn * np.where((now @ slopes @ turn).sum(axis=0) < 0, -1.0, 1.0)
        slopes, factors = slopes @ turn, factors @ turn
        specific, unbiased = np.full(r.shape, np.nan), np.full(r.shape, np.nan)
        for t, (a, there) in enumerate(zip(x, known, strict=True)):
            b = a[there] @ slopes
            specific[t, there] = r[t, there] - b @ factors[t]
            leverage = np.square(np.linalg.qr(b)[0]).sum(axis=1)
            unbiased[t, there] = specific[t, there] / np.sqrt(np.maximum(1 - leverage, 1e-9))
        count = np.isfinite(specific).sum(axis=0)
        few = [f"{a} {n}" for a, n in zip(table.columns, count, strict=True) if n < MIN_PERIODS]
        if few:
            raise DataError(
                f"{_WHERE}: {len(few)} of {table.shape[1]} assets have fewer than {MIN_PERIODS} specific"
                f" returns ({_checks.first(few)}). Drop them, or use more history."
            )
        names = [f"IPC{j + 1}" for j in range(slopes.shape[1])]
        model = RiskModel.from_arrays(
            now @ slopes,
            weighted_covariance(factors, weight),
            weighted_variance(unbiased, weight),
            assets=list(table.columns),
            factors=names,
            kind="instrumented",
            origin=origin,
            notes=(
                f"{counted(len(table), 'cross-section')}; exposures follow {len(slopes)} characteristics",
            ),
            factor_returns=pd.DataFrame(factors, table.index, names),
            specific_returns=pd.DataFrame(specific, table.index, table.columns),
        )
        return InstrumentedFit(model, pd.DataFrame(slopes, list(design.factors), names), design)


class InstrumentedFit(NamedTuple):
    """A risk model, the slopes Γ (characteristic, factor) of its exposures, and the design that holds X."""

    model: RiskModel
    slopes: pd.DataFrame
    design: Design

    def exposures(self, day: object) -> pd.DataFrame:
        """Exposures X Γ (asset, factor) by the characteristics known at the close of a day; NaN without.

        Raises ``DataError`` for a day before the first characteristics, or that is none.
        """
        stamp = _checks.as_date(day, where=f"{_WHERE}: exposures")
        if stamp < self.design.numeric_days[0]:
            raise DataError(
                f"{_WHERE}: characteristics begin on {self.design.numeric_days[0]:%Y-%m-%d}, after"
                f" {stamp:%Y-%m-%d}. Choose a later day."
            )
        values = self.design.at(stamp).exposures @ self.slopes.to_numpy()
        return pd.DataFrame(values, list(self.model.assets), self.slopes.columns)


def _factors(slopes: Floats, x: list[Floats], r: Floats, known: list[NDArray[np.bool_]]) -> Floats:
    """Factor returns (period, factor) given slopes: least squares across the assets of each period."""
    pairs = zip(x, r, known, strict=True)
    return np.array([np.linalg.lstsq(a[n] @ slopes, b[n], rcond=1e-10)[0] for a, b, n in pairs])


def _slopes(x: list[Floats], r: Floats, known: list[NDArray[np.bool_]], weight: Floats, k: int) -> Floats:
    """Orthonormal slopes (characteristic, factor) of least squares over all periods and assets."""
    gram = np.array([a[n].T @ a[n] for a, n in zip(x, known, strict=True)])
    managed = np.array([a[n].T @ b[n] for a, b, n in zip(x, r, known, strict=True)])
    size = gram.shape[1]
    slopes = np.linalg.eigh((managed * weight[:, None]).T @ managed)[1][:, ::-1][:, :k]
    for _ in range(_MAX_STEPS):
        inner = np.einsum("lk,tlm,mj->tkj", slopes, gram, slopes)
        f = np.stack(
            [np.linalg.lstsq(a, b, rcond=1e-12)[0] for a, b in zip(inner, managed @ slopes, strict=True)]
        )
        left = np.einsum("t,tk,tj,tlm->lkmj", weight, f, f, gram).reshape(size * k, size * k)
        right = np.einsum("t,tl,tk->lk", weight, managed, f).reshape(size * k)
        new = np.linalg.qr(np.linalg.lstsq(left, right, rcond=1e-12)[0].reshape(size, k))[0]
        moved = np.abs(new - slopes @ (slopes.T @ new)).max()
        slopes = new
        if moved < _SETTLED:
            return slopes
    raise DataError(
        f"{_WHERE}: slopes of {k} factors on {size} characteristics still move by {moved:.0e} after"
        f" {_MAX_STEPS:,} steps. Ask for fewer factors, or drop characteristics that say the same."
    )
