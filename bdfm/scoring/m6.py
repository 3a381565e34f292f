"""The rules of the M6 competition: returns of a period, information ratio, submissions read and scored.

Prices are wide tables (day, symbol) of adjusted closes. ``start`` and ``end`` of a period are the Friday
before it starts and its final Friday: the days of the two closes that the return compares.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm import _checks, _columns, _labels, _renamed, _tables
from bdfm._reading import PACKAGE, READING, counted
from bdfm.data.doubts.door import doubt
from bdfm.data.doubts.tables import Tables
from bdfm.data.settings import DAILY_SPACING
from bdfm.data.sources import Aliases, read_prices, read_records
from bdfm.errors import DataError, DataWarning
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.forecast.submission import COLUMNS, MAX_EXPOSURE, MIN_EXPOSURE, N_RANKS, RANKS
from bdfm.scoring.scores import SUM_TOLERANCE, ranked_probability_score

Floats = NDArray[np.float64]

EXPOSURE_TOLERANCE: Final = 5e-4  # of absolute decisions: a hundred numbers of 5 decimals
_AROUND_DAYS: Final = 60  # before the period, which say how calm its prices are
_FEW_GAPS: Final = 5  # between prices, below which a holiday may be the median
_ROUNDING: Final = 1e-12  # of a daily return
_MAX_CLOSED_DAYS: Final = 4  # weekdays in a row on which markets may be closed


def _filled(prices: pd.DataFrame, start: str | pd.Timestamp, end: str | pd.Timestamp) -> pd.DataFrame:
    """Forward-filled prices (day, symbol) from the start's close to the end's."""
    first_day, last_day = _checks.as_date(start, where="start"), _checks.as_date(end, where="end")
    if last_day <= first_day:
        raise DataError(f"period: end {last_day:%Y-%m-%d} is not after start {first_day:%Y-%m-%d}.")
    table = _checks.price_table(prices).dropna(how="all")
    rows = [_row_before(table.index, day, what) for day, what in ((first_day, "start"), (last_day, "end"))]
    window = table.iloc[: rows[1] + 1].ffill().iloc[rows[0] :]
    missing = window.columns[window.iloc[0].isna()]
    if len(missing):
        raise DataError(
            f"prices: {len(missing)} of {table.shape[1]} assets have no price on or before"
            f" {first_day:%Y-%m-%d} ({_checks.first(missing)}). Add earlier prices, or leave these assets"
            " out."
        )
    return window


def _row_before(days: pd.Index[Any], day: pd.Timestamp, what: str) -> int:
    """Position of the last row on or before a day; markets may be closed on the day itself."""
    position = int(days.searchsorted(day, side="right")) - 1
    gap = 0  # weekdays from the row to the day
    if position >= 0:
        row, until = (np.datetime64(d + pd.Timedelta(days=1), "D") for d in (days[position], day))
        gap = int(np.busday_count(row, until))
    if position < 0 or gap > _MAX_CLOSED_DAYS:
        near = [f"the last before it is of {days[position]:%Y-%m-%d}"] if position >= 0 else []
        near += [f"the next one is of {days[position + 1]:%Y-%m-%d}"] if position + 1 < len(days) else []
        cover = ", ".join(near) or "there are none"
        raise DataError(
            f"prices: none in the week up to the period's {what} {day:%Y-%m-%d}; {cover}."
            " Give prices of the whole period, or correct the dates."
        )
    if gap and position == len(days) - 1:
        warnings.warn(
            f"prices: they stop on {days[position]:%Y-%m-%d}, before the period's {what} {day:%Y-%m-%d}; the"
            " last close is used. Right for a market holiday, wrong for a table cut short.",
            DataWarning,
            skip_file_prefixes=(PACKAGE,),
        )
    return position


def period_returns(
    prices: pd.DataFrame, start: str | pd.Timestamp, end: str | pd.Timestamp
) -> pd.Series[float]:
    """Return of each symbol, simple and decimal, over a period, as scored in M6.

    The last close on or before ``end`` over the last close on or before ``start``, minus 1. An asset that
    stops trading keeps its last price, so that a delisted one returns 0.

    Parameters
    ----------
    prices
        (day, symbol) adjusted closes in any currency; blanks where an asset did not trade.
    start, end
        The Friday before the period starts, and its final Friday.

    Raises
    ------
    DataError
        Dates in the wrong order or outside the data, or an asset without a price on or before ``start``.

    Warns
    -----
    DataWarning
        The table stops up to 4 weekdays before ``end``.
    """
    window = _filled(prices, start, end)
    return (window.iloc[-1] / window.iloc[0] - 1).rename("return")


def information_ratio(
    prices: pd.DataFrame,
    weights: Mapping[str, float] | pd.Series[float],
    start: str | pd.Timestamp,
    end: str | pd.Timestamp,
) -> float:
    """Information ratio of a portfolio over a period, as scored in M6: higher is better.

    Sum of daily log portfolio returns over their sample standard deviation; not annualised. A daily
    portfolio return is Σ weight · simple return of the day, so that weights are restored each day and what
    is not invested earns nothing. NaN when all daily returns are equal, where the period has fewer than two,
    and where prices are weekly or monthly: a sum over the sd of a week is another figure. Of a period of
    fewer than six prices the spacing of all prices up to its end says so.

    Parameters
    ----------
    prices, start, end
        As in ``period_returns``; days after ``start`` up to ``end`` count.
    weights
        Weight by symbol, negative for short; symbols not named hold none.

    Raises
    ------
    UnknownLabelError
        A weight for a symbol without prices.
    DataError
        As in ``period_returns``; a day that loses everything.

    Examples
    --------
    >>> import bdfm
    >>> prices, _ = bdfm.demo()
    >>> ratio = bdfm.information_ratio(prices, {"XOM": 0.5, "KO": 0.5}, "2021-12-31", "2022-01-28")
    >>> round(ratio, 2)
    12.16
    """
    where = "information ratio"
    prices = _tables.prices_frame(prices)
    given = _labels.by_symbol(weights, where=where)
    _checks.known(given, [str(c) for c in prices.columns], what="asset", where=where)
    window = _filled(prices, start, end)
    if not _is_daily(prices, window):
        return float("nan")
    return _ratio(window[list(given)], np.array(list(given.values())))


def _is_daily(prices: pd.DataFrame, window: pd.DataFrame) -> bool:
    """Whether prices (day, symbol) are daily: by the days between those of a window of ``_filled``.

    By all prices up to its end where these are too few to tell, as around a holiday of a week; by the least
    where those are few too, since one of weekly prices is four days away at the least.
    """
    days = pd.DatetimeIndex(window.index)
    if len(days) <= _FEW_GAPS:
        every = _checks.price_table(prices).dropna(how="all").index
        days = pd.DatetimeIndex(every[every <= days[-1]])
    gaps = np.diff(days.to_numpy()) / np.timedelta64(1, "D")
    if len(gaps) < _FEW_GAPS:
        return bool(len(gaps)) and float(gaps.min()) <= DAILY_SPACING
    return float(np.median(gaps)) <= DAILY_SPACING


def _ratio(window: pd.DataFrame, weights: Floats) -> float:
    """Information ratio of weights (symbol,) on the columns of a window of ``_filled``."""
    where = "information ratio"
    if len(window) < 3:  # no sd
        return float("nan")
    daily = window.pct_change(fill_method=None).iloc[1:].to_numpy() @ weights
    if daily.min() <= -1:
        raise DataError(
            f"{where}: the portfolio loses everything in one day ({daily.min():.4g}). Check the prices."
        )
    log_returns = np.log1p(daily)
    sd = float(log_returns.std(ddof=1))
    # What grows at one rate has daily returns that differ by rounding
    return float(log_returns.sum()) / sd if sd > _ROUNDING * np.abs(weights).sum() else float("nan")


def read_submission(
    path: str | Path,
    *,
    assets: Sequence[str] | None = None,
    aliases: Aliases = None,
    decimal_mark: str | None = None,
) -> pd.DataFrame:
    """Submission of a file: columns ID, Rank1 to Rank5, Decision, in the order of the file.

    Parameters
    ----------
    path
        File with that header, of any form of ``bdfm.read_prices``.
    assets
        Universe: exactly these symbols must be there, in any order; ``None`` does not check.
    aliases, decimal_mark
        As in ``bdfm.read_prices``.

    Raises
    ------
    FileError
        The file is missing or no table.
    UnknownLabelError
        A symbol outside the universe.
    DataError
        Columns or symbols missing or doubled, numbers that are none, probabilities outside [0, 1] or not
        summing to 1 within 1e-4, absolute decisions not summing to between 0.25 and 1 within 5e-4.
    """
    names = {_columns.key(c): c for c in COLUMNS}
    table = read_records(
        path,
        what="submission",
        columns={k: () for k in names},
        numbers=list(names)[1:],
        label="id",
        required=False,
        aliases=aliases,
        decimal_mark=decimal_mark,
    )
    found = _checked_submission(table.rename(columns=names), assets, where=f"submission {Path(path).name}")
    found.attrs[READING] = table.attrs[READING]
    return found


def _checked_submission(
    table: pd.DataFrame, assets: Sequence[str] | None, *, where: str = "submission"
) -> pd.DataFrame:
    """Submission with numbers as floats, after all checks of ``read_submission``."""
    table = table.rename(columns=lambda c: str(c).strip())
    if {*RANKS, "ID"} <= set(table.columns) and "Decision" not in table:
        raise DataError(
            f"{where}: no column Decision. Where nothing is decided, give each asset"
            f" {MIN_EXPOSURE / max(len(table), 1):.5f}; bdfm.ranked_probability_score takes probabilities"
            " alone."
        )
    _checks.has_columns(table, COLUMNS, where=where)
    table = table[list(COLUMNS)].reset_index(drop=True)
    table["ID"] = table["ID"].astype(str).str.strip()
    symbols = table["ID"]
    if table.empty:
        raise DataError(f"{where}: no rows. Give one for each asset.")
    _checks.unique(symbols, what="symbol", where=where)
    if assets is not None:
        _checks.known(symbols, list(assets), what="asset", where=where)
        missing = [a for a in assets if a not in set(symbols)]
        if missing:
            raise DataError(
                f"{where}: {len(missing)} of {len(assets)} assets are missing ({_checks.first(missing)}). All"
                " are ranked together: add their rows, or score on prices of the submitted assets only."
            )
    numbers: pd.DataFrame = (
        table[[*RANKS, "Decision"]].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    )
    known = (numbers.abs() < np.inf).all(axis=1)
    _refuse(~known, symbols, f"{where}: a number is missing or not finite", "Give all of them.")
    ranks = numbers[list(RANKS)]
    sums = ranks.sum(axis=1)
    percent = bool(((sums - 100).abs() < 1).all())  # rounded to a tenth of a percent, say
    outside = ((ranks < 0) | (ranks > 1)).any(axis=1)
    advice = "They are in percent: divide them by 100." if percent else "Correct them."
    _refuse(outside, symbols, f"{where}: a probability is not within 0 and 1", advice)
    off = (sums - 1).abs() > SUM_TOLERANCE
    said = f"{where}: the five probabilities do not sum to 1 within {SUM_TOLERANCE:g}"
    if off.any():
        said += f", but to {sums[off].iloc[0]:.6g}"
    _refuse(off, symbols, said, "Divide each row by its sum, unless they are of something else.")
    exposure = float(numbers["Decision"].abs().sum())
    if exposure == 0:
        raise DataError(
            f"{where}: all decisions are 0, and their absolute values sum to {MIN_EXPOSURE:g} at least."
            f" Where nothing is decided, give each asset {MIN_EXPOSURE / len(table):.5f}."
        )
    if not MIN_EXPOSURE - EXPOSURE_TOLERANCE <= exposure <= MAX_EXPOSURE + EXPOSURE_TOLERANCE:
        raise DataError(
            f"{where}: absolute decisions sum to {exposure:.5f}, expected {MIN_EXPOSURE:g} to"
            f" {MAX_EXPOSURE:g}. Multiply them by one factor."
        )
    numbers.insert(0, "ID", symbols)
    return numbers


def _refuse(bad: pd.Series[bool], symbols: pd.Series[str], message: str, advice: str) -> None:
    if bad.any():
        named = _checks.first(symbols[bad])
        raise DataError(f"{message}, in {bad.sum()} of {len(bad)} rows ({named}). {advice}")


@dataclass(frozen=True, repr=False, eq=False)
class Score:
    """Scores of one submission over one period.

    Attributes
    ----------
    rps
        Mean ranked probability score; lower is better.
    ir
        Information ratio of the decisions; higher is better, NaN without any variation.
    start, end
        Days of the closes that the returns compare.
    equal_rps
        RPS of equal fifths on the same returns: 0.16 where the number of assets is a multiple of five; less
        elsewhere, where an asset can lie in two fifths, and where returns tie.
    """

    rps: float
    ir: float
    start: pd.Timestamp
    end: pd.Timestamp
    equal_rps: float
    _by_asset: pd.DataFrame

    @property
    def by_asset(self) -> pd.DataFrame:
        """One row per symbol (a copy): return, quantile, rps, decision.

        ``return`` is decimal; ``quantile`` the fifth it fell in, 1 lowest, a mean where returns tie.
        """
        return self._by_asset.copy()

    def __repr__(self) -> str:
        return (
            f"<Score {self.start:%Y-%m-%d} to {self.end:%Y-%m-%d}: RPS {self.rps:.5f}, IR {self.ir:.5f},"
            f" {counted(len(self._by_asset), 'asset')}>"
        )


@_renamed.keywords(start="origin")
def score_submission(
    submission: str | Path | pd.DataFrame,
    prices: str | Path | pd.DataFrame,
    origin: str | pd.Timestamp,
    end: str | pd.Timestamp,
    *,
    accept: Collection[str] | None = (),
) -> Score:
    """Scores of a submission by the rules of M6.

    Parameters
    ----------
    submission
        Columns ID, Rank1 to Rank5, Decision; one row for each column of ``prices``, in any order. Or a file
        of them, as ``read_submission`` reads it.
    prices, origin, end
        Prices (day, symbol), or a file of them, as ``bdfm.read_prices`` reads it; as in ``period_returns``
        from ``origin``, the Friday before the period, to its final Friday.
    accept
        Doubts about the prices from 60 days before the period to its end that are right all the same; see
        ``bdfm.data.doubts``.

    Raises
    ------
    UnknownLabelError, DataError
        As in ``read_submission`` and ``information_ratio``; what a rule of ``bdfm.data.doubts`` refuses.

    Examples
    --------
    >>> import bdfm, pandas as pd
    >>> prices = bdfm.demo()[0]
    >>> fifths = {f"Rank{k}": 0.2 for k in range(1, 6)}
    >>> submission = pd.DataFrame({"ID": prices.columns, **fifths, "Decision": 0.01})
    >>> round(bdfm.score_submission(submission, prices, "2021-12-31", "2022-01-28").rps, 5)
    0.16
    """
    if isinstance(submission, str | Path):
        submission = read_submission(submission)
    prices = read_prices(prices) if isinstance(prices, str | Path) else _tables.prices_frame(prices)
    first, last = _checks.as_date(origin, where="origin"), _checks.as_date(end, where="end")
    days = _checks.days(prices.index, where="prices")
    near = (days >= first - pd.Timedelta(days=_AROUND_DAYS)) & (days <= last)
    doubt(Tables("score", prices=prices.loc[near], whole=prices), accept=accept)
    table = _checked_submission(submission, [str(c) for c in prices.columns])
    window = _filled(prices, origin, end).rename(columns=str)[list(table["ID"])]
    returns = window.iloc[-1] / window.iloc[0] - 1
    outcome = outcome_quantiles(returns.to_numpy(), N_RANKS)
    rps = ranked_probability_score(table[list(RANKS)].to_numpy(), outcome)
    decision = table.set_index("ID")["Decision"]
    by_asset = pd.DataFrame(
        {
            "return": returns,
            "quantile": outcome @ np.arange(1, N_RANKS + 1),
            "rps": rps,
            "decision": decision,
        }
    ).rename_axis("symbol")
    return Score(
        rps=float(rps.mean()),
        ir=_ratio(window, decision.to_numpy()) if _is_daily(prices, window) else float("nan"),
        start=window.index[0],
        end=window.index[-1],
        equal_rps=float(ranked_probability_score(np.full(outcome.shape, 1 / N_RANKS), outcome).mean()),
        _by_asset=by_asset,
    )
