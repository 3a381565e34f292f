"""Fama-French factors from characteristics: single sorts, and 2×3 double sorts formed each June."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from bdfm import _checks
from bdfm._reading import PACKAGE, counted
from bdfm._strict import strict
from bdfm.errors import DataError, DataWarning
from bdfm.risk.returns import examined
from bdfm.risk.sorts import FactorPortfolios, Sort, sort_portfolios

SIX: Final = ("SV", "SN", "SG", "BV", "BN", "BG")  # small and big; value, neutral, growth
SIZE_BREAKS: Final = (0.5,)
VALUE_BREAKS: Final = (0.3, 0.7)
SINGLE_SIZE: Final = 0.1  # share of assets that are small in a single sort


@dataclass(frozen=True, eq=False)
class Characteristics:
    """Size and book-to-market at each formation; made by ``june_characteristics`` or by hand.

    Attributes
    ----------
    size
        (formation, asset) market capitalisation at the formation day, also of assets without book-to-market.
    book_to_market
        (formation, asset) book equity over market equity; NaN for assets left out.
    left_out
        One row per formation and asset without book-to-market: ``formation``, ``asset``, ``reason``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import risk
    >>> rng = np.random.default_rng(1)
    >>> months = pd.date_range("2020-07-31", periods=24, freq="ME")
    >>> names = list("ABCDEFGHIJKL")
    >>> returns = pd.DataFrame(rng.normal(0.01, 0.05, (24, 12)), months, names)
    >>> june = pd.to_datetime(["2020-06-30"])
    >>> size = pd.DataFrame([range(1, 13)], june, names)
    >>> value = pd.DataFrame([[3, 1, 2] * 4], june, names, dtype=float)
    >>> left_out = pd.DataFrame(columns=["formation", "asset", "reason"])
    >>> known = risk.Characteristics(size.astype(float), value, left_out)
    >>> known.size.shape
    (1, 12)
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
        one of them, or with book equity of zero or less, have no book-to-market, and are listed with the
        reason.

    Raises
    ------
    DataError
        A June or December without market capitalisations, or a repeated fiscal year end.

    Examples
    --------
    >>> import pandas as pd
    >>> from bdfm import risk
    >>> book = pd.DataFrame({"symbol": ["A", "B"], "book_equity": [50.0, -5.0]})
    >>> book["period_ending"] = "2019-12-31"
    >>> ends = pd.to_datetime(["2019-12-31", "2020-06-30"])
    >>> market_cap = pd.DataFrame({"A": [100.0, 90.0], "B": [40.0, 50.0]}, ends)
    >>> found = risk.june_characteristics(book, market_cap, years=[2020])
    >>> found.book_to_market.to_numpy(), found.left_out["asset"].tolist()
    (array([[0.5, nan]]), ['B'])
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
        sizes[june], ratios[june] = size, (book / market).where(~out)
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

    Raises ``DataError`` for shares without these columns, or adjusted closes of other days or assets.

    Parameters
    ----------
    shares
        Columns ``symbol``, ``period_ending``, ``shares_outstanding``; rows without a number are ignored, and
        rows whose number is not above zero too: a ``DataWarning`` names them.
    close, adjusted_close
        (month end, asset) raw closes, and closes adjusted for splits and dividends.

    Returns
    -------
    pandas.DataFrame
        NaN before the first fiscal year end, and for assets without shares.

    Examples
    --------
    >>> import pandas as pd
    >>> from bdfm import risk
    >>> ends = pd.to_datetime(["2020-01-31", "2020-02-29"])
    >>> shares = pd.DataFrame({"symbol": ["A"], "shares_outstanding": [1000.0]})
    >>> shares["period_ending"] = "2020-01-31"
    >>> close = pd.DataFrame({"A": [10.0, 11.0]}, ends)
    >>> risk.market_capitalisation(shares, close, close)["A"].tolist()
    [10000.0, 11000.0]
    """
    where = "market capitalisation"
    _checks.has_columns(shares, ("symbol", "period_ending", "shares_outstanding"), where=where)
    if not (close.index.equals(adjusted_close.index) and close.columns.equals(adjusted_close.columns)):
        raise DataError(f"{where}: closes and adjusted closes differ in days or assets. Reindex one.")
    days = _checks.days(close.index, where=where)
    known = shares.dropna(subset=["shares_outstanding"])
    ends = _checks.days(known["period_ending"], where=where)
    none = known["shares_outstanding"].to_numpy(dtype=float) <= 0
    if none.any():
        named = [
            f"{s} {e:%Y-%m-%d} {n:g}"
            for s, e, n in zip(
                known["symbol"][none], ends[none], known["shares_outstanding"][none], strict=True
            )
        ]
        warnings.warn(
            f"{where}: {counted(none.sum(), 'number')} of shares are not above zero"
            f" ({_checks.first(named)}) and are"
            " left out. Correct them.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
        known, ends = known[~none], ends[~none]
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


@strict
def double_sort(
    returns: pd.DataFrame,
    characteristics: Characteristics,
    *,
    weights: pd.DataFrame | None = None,
    within: bool = False,
) -> FactorPortfolios:
    """SMB and HML of a 2×3 sort (eq. R9): size at the median, book-to-market at the 30th and 70th percentile.

    SMB = (SV + SN + SG)/3 - (BV + BN + BG)/3, HML = (SV + BV)/2 - (SG + BG)/2.

    Parameters
    ----------
    returns, weights
        As in ``sort_portfolios``.
    characteristics
        Size and book-to-market at each formation; membership is fixed until the next.
    within
        Whether book-to-market is sorted within small and within big assets. Otherwise, as in Fama and French
        (1993), its breakpoints are those of all assets.

    Raises
    ------
    DataError
        A portfolio without a member, or no period after a formation.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import risk
    >>> rng = np.random.default_rng(1)
    >>> months = pd.date_range("2020-07-31", periods=24, freq="ME")
    >>> names = list("ABCDEFGHIJKL")
    >>> returns = pd.DataFrame(rng.normal(0.01, 0.05, (24, 12)), months, names)
    >>> june = pd.to_datetime(["2020-06-30"])
    >>> size = pd.DataFrame([range(1, 13)], june, names)
    >>> value = pd.DataFrame([[3, 1, 2] * 4], june, names, dtype=float)
    >>> left_out = pd.DataFrame(columns=["formation", "asset", "reason"])
    >>> known = risk.Characteristics(size.astype(float), value, left_out)
    >>> risk.double_sort(returns, known).factors.mean().round(3).to_dict()
    {'SMB': -0.004, 'HML': 0.01}
    """
    size = Sort("SMB", characteristics.size, SIZE_BREAKS, ("S", "B"), low_less_high=True)
    value = Sort("HML", characteristics.book_to_market, VALUE_BREAKS, ("G", "N", "V"))
    found = sort_portfolios(returns, size, value, within=within, weights=weights, joint="")
    return FactorPortfolios(found.factors, found.portfolios[list(SIX)], found.members)


def single_sorts(
    returns: pd.DataFrame, characteristics: Characteristics, *, weights: pd.DataFrame | None = None
) -> tuple[FactorPortfolios, FactorPortfolios]:
    """SMB and HML of single sorts, each with its portfolios.

    SMB: the smallest 10 % of assets minus the other 90 %; it needs no book equity. HML: the highest 30 % by
    book-to-market minus the lowest 30 %. ``returns``, ``characteristics`` and
    ``weights`` as in ``double_sort``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bdfm import risk
    >>> rng = np.random.default_rng(1)
    >>> months = pd.date_range("2020-07-31", periods=24, freq="ME")
    >>> names = list("ABCDEFGHIJKL")
    >>> returns = pd.DataFrame(rng.normal(0.01, 0.05, (24, 12)), months, names)
    >>> june = pd.to_datetime(["2020-06-30"])
    >>> size = pd.DataFrame([range(1, 13)], june, names)
    >>> value = pd.DataFrame([[3, 1, 2] * 4], june, names, dtype=float)
    >>> left_out = pd.DataFrame(columns=["formation", "asset", "reason"])
    >>> known = risk.Characteristics(size.astype(float), value, left_out)
    >>> small, value = risk.single_sorts(returns, known)
    >>> list(small.factors), list(value.factors)
    (['SMB'], ['HML'])
    """
    size = Sort("SMB", characteristics.size, (SINGLE_SIZE,), ("small", "big"), low_less_high=True)
    value = Sort("HML", characteristics.book_to_market, VALUE_BREAKS, ("low", "middle", "high"))
    smb = sort_portfolios(returns, size, weights=weights)
    with examined():
        hml = sort_portfolios(returns, value, weights=weights)
    return smb, FactorPortfolios(hml.factors, hml.portfolios[["high", "middle", "low"]], hml.members)
