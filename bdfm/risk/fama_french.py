"""Fama-French factors from characteristics: single sorts, and 2×3 double sorts formed each June."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm.errors import DataError
from bdfm.risk.returns import returns_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

SIX: Final = ("SV", "SN", "SG", "BV", "BN", "BG")  # small and big; value, neutral, growth
SIZE_BREAKS: Final = (0.5,)
VALUE_BREAKS: Final = (0.3, 0.7)
_ROUNDING: Final = 1e-12
SINGLE_SIZE: Final = 0.1  # share of assets that are small in a single sort
SINGLE_VALUE: Final = 0.3  # share of assets at either end of a single sort by book-to-market


@dataclass(frozen=True, eq=False)
class Characteristics:
    """Size and book-to-market at each formation; made by ``june_characteristics`` or by hand.

    Attributes
    ----------
    size
        (formation, asset) market capitalisation at the formation day.
    book_to_market
        (formation, asset) book equity over market equity; NaN for assets left out.
    left_out
        One row per formation and asset that takes no part: ``formation``, ``asset``, ``reason``.
    """

    size: pd.DataFrame
    book_to_market: pd.DataFrame
    left_out: pd.DataFrame


def june_characteristics(
    book_equity: pd.DataFrame, market_cap: pd.DataFrame, *, years: Sequence[int]
) -> Characteristics:
    """Characteristics as Fama and French (1993) use them, at the end of each June.

    Parameters
    ----------
    book_equity
        Columns ``symbol``, ``period_ending`` (fiscal year end) and ``book_equity``.
    market_cap
        (month end, asset) market capitalisation, in the unit of the book equity.
    years
        Years of the Junes.

    Returns
    -------
    Characteristics
        Size is market equity at the end of June. Book-to-market is the book equity of the last fiscal year
        that ended in the previous calendar year over market equity at the end of that year. Assets without
        one of them, or with book equity of zero or less, are left out, with the reason.

    Raises
    ------
    DataError
        A June or December without market capitalisations, or a repeated fiscal year end.
    """
    where = "characteristics"
    _checks.has_columns(
        book_equity, ("symbol", "period_ending", "book_equity"), where=f"{where}: book equity"
    )
    equity = book_equity[["symbol", "period_ending", "book_equity"]].copy()
    equity["period_ending"] = _checks.days(equity["period_ending"], where=f"{where}: period_ending")
    equity["symbol"] = equity["symbol"].astype(str)
    double = equity[equity.duplicated(["symbol", "period_ending"])]
    if len(double):
        named = [f"{s} {d:%Y-%m-%d}" for s, d in zip(double["symbol"], double["period_ending"], strict=True)]
        raise DataError(f"{where}: {len(double)} fiscal years come twice ({_checks.first(named)}). Keep one.")
    cap = market_cap.set_axis([str(c) for c in market_cap.columns], axis=1)
    cap = cap.set_axis(_checks.days(cap.index, where=f"{where}: market_cap")).sort_index()
    sizes, ratios, lost = {}, {}, []
    for year in years:
        june, december = (_month(cap, y, m, where) for y, m in ((year, 6), (year - 1, 12)))
        ended = equity[equity["period_ending"].dt.year == year - 1].sort_values("period_ending")
        book = ended.groupby("symbol")["book_equity"].last().reindex(cap.columns)
        size, market = (cap.loc[day].where(lambda x: x > 0) for day in (june, december))
        reasons = {
            "no book equity of the previous year": book.isna(),
            "book equity not above zero": book <= 0,
            "no market capitalisation in December": market.isna(),
            "no market capitalisation in June": size.isna(),
        }
        out = pd.Series(False, cap.columns)
        for reason, bad in reasons.items():
            lost += [(june, asset, reason) for asset in cap.columns[bad & ~out]]
            out |= bad
        sizes[june], ratios[june] = size.where(~out), (book / market).where(~out)
    return Characteristics(
        pd.DataFrame(sizes).T,
        pd.DataFrame(ratios).T,
        pd.DataFrame(lost, columns=["formation", "asset", "reason"]),
    )


def market_capitalisation(
    shares: pd.DataFrame, close: pd.DataFrame, adjusted_close: pd.DataFrame
) -> pd.DataFrame:
    """Market capitalisation (month end, asset) from shares outstanding at fiscal year ends.

    Shares times the raw close of that month, carried on with the growth of the adjusted close until the next
    fiscal year: a split between the two does no harm. Dividends count as if they stayed in the company, which
    overstates a capitalisation by a year's yield at most.

    Parameters
    ----------
    shares
        Columns ``symbol``, ``period_ending``, ``shares_outstanding``; rows without a number are ignored.
    close, adjusted_close
        (month end, asset) raw closes, and closes adjusted for splits and dividends.

    Returns
    -------
    pandas.DataFrame
        NaN before the first fiscal year end, and for assets without shares.
    """
    where = "market capitalisation"
    _checks.has_columns(shares, ("symbol", "period_ending", "shares_outstanding"), where=where)
    if not (close.index.equals(adjusted_close.index) and close.columns.equals(adjusted_close.columns)):
        raise DataError(f"{where}: closes and adjusted closes differ in days or assets. Reindex one.")
    days = _checks.days(close.index, where=where)
    known = shares.dropna(subset=["shares_outstanding"])
    ends = _checks.days(known["period_ending"], where=where)
    table = pd.DataFrame(np.nan, days, close.columns)
    order = np.argsort(ends.to_numpy(), kind="stable")
    for symbol, end, number in known.assign(period_ending=ends)[
        ["symbol", "period_ending", "shares_outstanding"]
    ].to_numpy()[order]:
        row = days.searchsorted(end + pd.offsets.MonthEnd(0), side="right") - 1
        if row >= 0 and symbol in table:
            growth = adjusted_close[symbol].iloc[row:] / adjusted_close[symbol].iloc[row]
            table.loc[days[row] :, symbol] = float(number) * close[symbol].iloc[row] * growth.to_numpy()
    return table


def _month(cap: pd.DataFrame, year: int, month: int, where: str) -> pd.Timestamp:
    index = pd.DatetimeIndex(cap.index)
    days = index[(index.year == year) & (index.month == month)]
    if not len(days):
        raise DataError(f"{where}: no market capitalisations in {year}-{month:02d}. Give that month too.")
    return pd.Timestamp(days[-1])


def quantile_groups(values: Floats, breaks: Sequence[float]) -> NDArray[np.int64]:
    """Group (asset,) of each value, 0 the lowest; -1 where it is NaN.

    Breakpoints are quantiles of the values, linear between order statistics. A value at a breakpoint belongs
    below it, so that ties stay together.
    """
    known = np.isfinite(values)
    groups = np.full(len(values), -1)
    if known.any():
        points = np.quantile(values[known], breaks)
        points = points + _ROUNDING * np.abs(points)  # interpolation must not lift a tie above its breakpoint
        groups[known] = np.searchsorted(points, values[known], side="left")
    return groups


@dataclass(frozen=True, eq=False, repr=False)
class FactorPortfolios:
    """Sorted portfolios and the factors made of them.

    Attributes
    ----------
    factors
        (period, factor) SMB and HML, simple returns, decimals.
    portfolios
        (period, portfolio) simple returns.
    members
        (formation, asset) portfolio of each asset, blank where it takes no part.
    """

    factors: pd.DataFrame
    portfolios: pd.DataFrame
    members: pd.DataFrame

    @property
    def counts(self) -> pd.DataFrame:
        """Number of assets (formation, portfolio)."""
        table = {day: row[row != ""].value_counts() for day, row in self.members.iterrows()}
        return pd.DataFrame(table).T.fillna(0).astype(int)

    def __repr__(self) -> str:
        return (
            f"<bdfm.FactorPortfolios: {', '.join(self.factors.columns)}, {len(self.factors)} periods"
            f" {self.factors.index[0]:%Y-%m-%d} to {self.factors.index[-1]:%Y-%m-%d},"
            f" {len(self.members)} formations>"
        )

    def _repr_html_(self) -> str:
        return opening(self) + self.counts.to_html(border=0)

    def plot(self) -> Figure:
        """Growth of one unit in each factor."""
        figure, axes = new_figure(figsize=(8, 3))
        axis = axes[0, 0]
        for name, values in self.factors.items():
            axis.plot(values.index, np.cumprod(1 + values.fillna(0)), label=str(name), lw=1.2)
        axis.axhline(1, color="black", lw=0.6)
        axis.legend(fontsize=8, frameon=False)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title("Growth of 1 in each factor", fontsize=9)
        return figure


def double_sort(
    returns: pd.DataFrame, characteristics: Characteristics, *, weights: pd.DataFrame | None = None
) -> FactorPortfolios:
    """SMB and HML of a 2×3 sort (eq. R9): size at the median, book-to-market at the 30th and 70th percentile.

    SMB = (SV + SN + SG)/3 - (BV + BN + BG)/3, HML = (SV + BV)/2 - (SG + BG)/2.

    Parameters
    ----------
    returns
        (period, asset) simple returns. A period belongs to the last formation on or before its start, which
        is the period before; periods before the first formation are left out.
    characteristics
        Size and book-to-market at each formation; membership is fixed until the next.
    weights
        (day, asset) market capitalisation for value weights: the newest on or before a period's start counts.
        ``None`` for equal weights. An asset without return or weight in a period is left out of it, the
        others share its part.

    Raises
    ------
    DataError
        A portfolio without a member, or no period after a formation.
    """

    def label(size: Floats, value: Floats) -> list[str]:
        small, group = quantile_groups(size, SIZE_BREAKS), quantile_groups(value, VALUE_BREAKS)
        return ["" if s < 0 or g < 0 else "SB"[s] + "GNV"[g] for s, g in zip(small, group, strict=True)]

    table, members = _portfolios(returns, characteristics, label, SIX, weights, "double sort")
    factors = pd.DataFrame(
        {
            "SMB": table[["SV", "SN", "SG"]].mean(axis=1) - table[["BV", "BN", "BG"]].mean(axis=1),
            "HML": table[["SV", "BV"]].mean(axis=1) - table[["SG", "BG"]].mean(axis=1),
        }
    )
    return FactorPortfolios(factors, table, members)


def single_sorts(
    returns: pd.DataFrame, characteristics: Characteristics, *, weights: pd.DataFrame | None = None
) -> tuple[FactorPortfolios, FactorPortfolios]:
    """SMB and HML of single sorts, each with its portfolios.

    SMB: the smallest 10 % of assets minus the other 90 %. HML: the highest 30 % by book-to-market minus the
    lowest 30 %. ``returns``, ``characteristics`` and ``weights`` as in ``double_sort``.
    """

    def by_size(size: Floats, value: Floats) -> list[str]:
        group = quantile_groups(size, (SINGLE_SIZE,))
        return ["" if g < 0 else ("small", "big")[g] for g in group]

    def by_value(size: Floats, value: Floats) -> list[str]:
        group = quantile_groups(value, (SINGLE_VALUE, 1 - SINGLE_VALUE))
        return ["" if g < 0 else ("low", "middle", "high")[g] for g in group]

    results = []
    for name, label, ends, all_names in (
        ("SMB", by_size, ("small", "big"), ("small", "big")),
        ("HML", by_value, ("high", "low"), ("high", "middle", "low")),
    ):
        table, members = _portfolios(
            returns, characteristics, label, all_names, weights, f"single sort {name}"
        )
        factor = (table[ends[0]] - table[ends[1]]).to_frame(name)
        results.append(FactorPortfolios(factor, table, members))
    return results[0], results[1]


def _portfolios(
    returns: pd.DataFrame,
    characteristics: Characteristics,
    label: Callable[[Floats, Floats], list[str]],
    names: Sequence[str],
    weights: pd.DataFrame | None,
    where: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = returns_table(returns, where=where)
    assets = [str(a) for a in characteristics.size.columns]
    _checks.known(assets, list(table.columns), what="asset", where=f"{where}: characteristics")
    days = _checks.days(characteristics.size.index, where=f"{where}: formations")
    size, value = (
        x.set_axis(days).sort_index().to_numpy(dtype=float)
        for x in (
            characteristics.size,
            characteristics.book_to_market.reindex(columns=characteristics.size.columns),
        )
    )
    days = days.sort_values()
    labels = np.array([label(np.where(np.isfinite(v), s, np.nan), np.where(np.isfinite(s), v, np.nan))
                       for s, v in zip(size, value, strict=True)])  # fmt: skip
    for day, row in zip(days, labels, strict=True):
        empty = [n for n in names if not (row == n).any()]
        if empty:
            raise DataError(
                f"{where}: no asset in {_checks.first(empty)} at {day:%Y-%m-%d}, of {(row != '').sum()} with"
                " both characteristics. Give a larger universe."
            )
    start = table.index.to_series().shift(1)
    formation = days.searchsorted(start.fillna(days[0] - pd.Timedelta(days=1)), side="right") - 1
    use = formation >= 0
    if not use.any():
        raise DataError(f"{where}: no return starts on or after the first formation {days[0]:%Y-%m-%d}.")
    r = table[assets].to_numpy()[use]
    w = _weights_at(weights, assets, start[use], where) if weights is not None else np.ones_like(r)
    w = np.where(np.isfinite(r) & np.isfinite(w) & (w > 0), w, 0.0)
    member = labels[formation[use]]
    out: dict[str, Any] = {}
    for name in names:
        own = np.where(member == name, w, 0.0)
        total = own.sum(axis=1)
        out[name] = (own * np.nan_to_num(r)).sum(axis=1) / np.where(total > 0, total, np.nan)
    return pd.DataFrame(out, table.index[use]), pd.DataFrame(labels, days, assets)


def _weights_at(weights: pd.DataFrame, assets: list[str], starts: pd.Series, where: str) -> Floats:
    where = f"{where}: weights"
    table = weights.set_axis([str(c) for c in weights.columns], axis=1)
    _checks.has_columns(table, assets, where=where)
    days = _checks.days(table.index, where=where)
    table = table[assets].set_axis(days).sort_index()
    row = table.index.searchsorted(pd.DatetimeIndex(starts), side="right") - 1
    if (row < 0).any():
        raise DataError(f"{where}: none on or before {starts.iloc[int((row < 0).argmax())]:%Y-%m-%d}.")
    return table.to_numpy(dtype=float)[row]
