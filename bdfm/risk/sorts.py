"""Sorts of assets by characteristics into portfolios, one or two at a time, and the factors they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks
from bdfm._figures import new_figure
from bdfm._html import opening
from bdfm._reading import counted
from bdfm._strict import strict, strict_fields
from bdfm.errors import DataError
from bdfm.risk.returns import returns_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

BREAKS: Final[Mapping[str, tuple[float, ...]]] = {
    "halves": (0.5,),
    "terciles": (1 / 3, 2 / 3),
    "30/40/30": (0.3, 0.7),
    "quartiles": (0.25, 0.5, 0.75),
    "quintiles": (0.2, 0.4, 0.6, 0.8),
    "deciles": tuple(i / 10 for i in range(1, 10)),
}
_ROUNDING: Final = 1e-12


def quantile_groups(
    values: Floats, breaks: Sequence[float], *, of: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Group (asset,) of each value, 0 the lowest; -1 where it is NaN.

    Breakpoints are quantiles of the values, or of those that ``of`` (asset,) marks, linear between order
    statistics. A value at a breakpoint belongs below it, so that ties stay together.
    """
    known = np.isfinite(values)
    base = known if of is None else known & of
    groups = np.full(len(values), -1)
    if base.any():
        points = np.quantile(values[base], breaks)
        points = points + _ROUNDING * np.abs(points)  # interpolation must not lift a tie above its breakpoint
        groups[known] = np.searchsorted(points, values[known], side="left")
    return groups


@dataclass(frozen=True, eq=False, repr=False)
class FactorPortfolios:
    """Sorted portfolios and the factors made of them.

    Attributes
    ----------
    factors
        (period, factor), such as SMB and HML: simple returns, decimals.
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
            f"<bdfm.FactorPortfolios: {', '.join(self.factors.columns)},"
            f" {counted(len(self.factors), 'period')}"
            f" {self.factors.index[0]:%Y-%m-%d} to {self.factors.index[-1]:%Y-%m-%d},"
            f" {counted(len(self.members), 'formation')}>"
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


@strict_fields
@dataclass(frozen=True, eq=False)
class Sort:
    """One characteristic to sort by.

    Attributes
    ----------
    name
        Of the factor that it makes.
    values
        (formation, asset); known at each formation; NaN leaves an asset out.
    breaks
        Quantiles between 0 and 1, rising; or a name of ``BREAKS`` such as "30/40/30", "deciles".
    labels
        Of the groups, lowest first; "1", "2", ... unless given.
    low_less_high
        Whether the factor is the lowest group less the highest, as for size; otherwise the other way round.
    breakpoints_from
        Assets whose values make the breakpoints, such as those of one exchange; all unless given.
    """

    name: str
    values: pd.DataFrame
    breaks: str | Sequence[float] = "30/40/30"
    labels: Sequence[str] | None = None
    low_less_high: bool = False
    breakpoints_from: Sequence[str] | None = None

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Quantiles of the breaks.

        Raises ``UnknownLabelError`` for unknown breaks; ``DataError`` for breaks
        that do not rise between 0 and 1.
        """
        where = f"sort by {self.name}"
        if isinstance(self.breaks, str):
            _checks.known([self.breaks], list(BREAKS), what="breaks", where=where)
            return BREAKS[self.breaks]
        points = tuple(_checks.finite(x, what="a break", where=where) for x in self.breaks)
        if not points or list(points) != sorted(set(points)) or not 0 < points[0] <= points[-1] < 1:
            raise DataError(f"{where}: breaks {points} are not rising between 0 and 1. Such as (0.3, 0.7).")
        return points

    @property
    def groups(self) -> tuple[str, ...]:
        """Labels of the groups, lowest first.

        Raises ``DataError`` for labels that are not one for each group, or come twice.
        """
        n = len(self.quantiles) + 1
        if self.labels is None:
            return tuple(str(j + 1) for j in range(n))
        names = tuple(map(str, self.labels))
        _checks.unique(names, what="label", where=f"sort by {self.name}")
        if len(names) != n:
            raise DataError(
                f"sort by {self.name}: {counted(len(names), 'label')} for {n} groups. Give one for each."
            )
        return names


@strict
def sort_portfolios(
    returns: pd.DataFrame,
    first: Sort,
    second: Sort | None = None,
    *,
    within: bool = False,
    weights: pd.DataFrame | None = None,
    joint: str = "/",
) -> FactorPortfolios:
    """Portfolios of assets sorted by one characteristic or two, and a factor for each.

    The factor of a sort is its extreme groups' difference, averaged over the groups of the other sort: with
    halves of size and 30/40/30 of book-to-market these are SMB and HML (eq. R9).

    Parameters
    ----------
    returns
        (period, asset) simple returns. A period belongs to the last formation on or before its start, which
        is the period before; periods before the first formation are left out.
    first, second
        What to sort by; the formations are those of ``first``, and the newest values of ``second`` on or
        before each. An asset takes part where it has all values.
    within
        Whether breakpoints of the second sort are those of each group of the first. Otherwise, and by
        default, the sorts are independent, as Fama and French's. Within groups every portfolio has its share
        of assets, but "high" among small assets is not "high" among big ones.
    weights
        (day, asset) market capitalisation for value weights: the newest on or before a period's start
        counts. ``None`` for equal weights. An asset without return or weight in a period is left out of it.
    joint
        Between two labels in the name of a portfolio.

    Raises
    ------
    DataError
        Breaks or labels that do not fit, breakpoints of assets without values, a portfolio without a member,
        no period after a formation.
    """
    sorts = [first] if second is None else [first, second]
    where = "sort by " + " and ".join(x.name for x in sorts)
    assets = [str(a) for a in first.values.columns]
    days = _checks.days(first.values.index, where=f"{where}: formations").sort_values()
    tables = [_at(x, assets, days) for x in sorts]
    known = np.all([np.isfinite(t) for t in tables], axis=0)
    members = np.full(known.shape, "", dtype=object)
    groups = [x.groups for x in sorts]
    for t in range(len(days)):
        rows = [np.where(known[t], table[t], np.nan) for table in tables]
        codes = [_groups(sorts[0], rows[0], assets)]
        if second is not None:
            if within:
                own = np.full(len(assets), -1)
                for j in range(len(first.groups)):
                    inside = codes[0] == j
                    found = _groups(second, np.where(inside, rows[1], np.nan), assets)
                    own[inside] = found[inside]
                codes.append(own)
            else:
                codes.append(_groups(second, rows[1], assets))
        for i in np.flatnonzero(np.min(codes, axis=0) >= 0):
            members[t, i] = joint.join(own[c[i]] for own, c in zip(groups, codes, strict=True))
    names = [joint.join(x) for x in _product(groups)]
    _checks.unique(names, what="portfolio", where=where)
    labels = pd.DataFrame(members, days, assets)
    table = portfolio_returns(returns, labels, names, weights=weights, where=where)
    factors = {}
    for k, own_sort in enumerate(sorts):
        top, bottom = (
            table[[joint.join(x) for x in _product([(e,) if j == k else g for j, g in enumerate(groups)])]]
            for e in (own_sort.groups[-1], own_sort.groups[0])
        )
        high, low = (x.mean(axis=1, skipna=False) for x in (top, bottom))
        factors[own_sort.name] = low - high if own_sort.low_less_high else high - low
    return FactorPortfolios(pd.DataFrame(factors), table, labels)


def _product(groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for names in groups:
        found = [(*x, n) for x in found for n in names]
    return found


def _groups(sort: Sort, values: Floats, assets: list[str]) -> NDArray[np.int64]:
    if sort.breakpoints_from is None:
        return quantile_groups(values, sort.quantiles)
    where = f"sort by {sort.name}: breakpoints"
    _checks.known(sort.breakpoints_from, assets, what="asset", where=where)
    of = np.isin(assets, list(sort.breakpoints_from))
    if np.isfinite(values).any() and not np.isfinite(values[of]).any():
        raise DataError(f"{where}: none of the assets that make them has a value. Name others.")
    return quantile_groups(values, sort.quantiles, of=of)


def _at(sort: Sort, assets: list[str], days: pd.DatetimeIndex) -> Floats:
    """Values (formation, asset): the newest on or before each formation."""
    where = f"sort by {sort.name}"
    table = sort.values.set_axis([str(c) for c in sort.values.columns], axis=1)
    _checks.unique(table.columns, what="asset", where=where)
    table = table.set_axis(_checks.days(table.index, where=where)).sort_index()
    _checks.unique(table.index.astype(str), what="formation", where=where)
    row = table.index.searchsorted(days, side="right") - 1
    if (row < 0).any():
        raise DataError(f"{where}: no value on or before {days[0]:%Y-%m-%d}. Start the table earlier.")
    return table.reindex(columns=assets).to_numpy(dtype=float)[row]


def market_return(returns: pd.DataFrame, weights: pd.DataFrame | None = None) -> pd.Series[float]:
    """Return (period,) of all assets together, weighted by capitalisation at each period's start.

    ``weights`` as in ``sort_portfolios``; ``None`` weights all alike. The first period has no start and is
    left out.

    ``returns`` (period, asset) are simple.

    Raises ``DataError`` for an index that is no days, or weights that begin later.
    """
    assets = [str(c) for c in returns.columns]
    days = _checks.days(returns.index, where="market")
    labels = pd.DataFrame("market", days[:1], assets)
    return portfolio_returns(returns, labels, ["market"], weights=weights, where="market")["market"]


def portfolio_returns(
    returns: pd.DataFrame,
    members: pd.DataFrame,
    names: Sequence[str],
    *,
    weights: pd.DataFrame | None = None,
    where: str = "portfolios",
) -> pd.DataFrame:
    """Returns (period, portfolio) of portfolios whose members (formation, asset) are labels, blank for none.

    Periods, weights and errors as in ``sort_portfolios``.

    ``returns`` are those of the assets, ``names`` the labels in order, ``where`` what messages call it.

    Raises ``UnknownLabelError`` for a member without returns; ``DataError`` for no period after a
    formation, a formation given twice, or an empty portfolio.

    Examples
    --------
    >>> import pandas as pd
    >>> from bdfm import risk
    >>> ends = pd.date_range("2022-01-31", periods=2, freq="ME")
    >>> returns = pd.DataFrame({"A": [0.01, 0.02], "B": [0.03, 0.00]}, ends)
    >>> members = pd.DataFrame({"A": ["low"], "B": ["high"]}, pd.to_datetime(["2021-12-31"]))
    >>> risk.portfolio_returns(returns, members, ["low", "high"])["low"].tolist()
    [0.02]
    """
    table = returns_table(returns, where=where)
    assets = [str(a) for a in members.columns]
    _checks.known(assets, list(table.columns), what="asset", where=f"{where}: characteristics")
    members = members.set_axis(_checks.days(members.index, where=f"{where}: formations")).sort_index()
    days = pd.DatetimeIndex(members.index)
    _checks.unique(days.astype(str), what="formation", where=where)
    labels = members.to_numpy()
    for day, row in zip(days, labels, strict=True):
        empty = [n for n in names if not (row == n).any()]
        if empty:
            raise DataError(
                f"{where}: no asset in {_checks.first(empty)} at {day:%Y-%m-%d}, of {(row != '').sum()} with"
                " all characteristics. Give a larger universe, or fewer groups."
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
    return pd.DataFrame(out, table.index[use])


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
