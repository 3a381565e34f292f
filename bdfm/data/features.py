"""Returns and features of assets from daily closes, each known at the day it is stated for.

A close is *fresh* when it differs from the asset's close before it. Vendors repeat the last close on local
holidays and after a delisting; such a repetition carries no news, and counting it as a zero return would
feign calm. So everything here runs between fresh closes, and each daily return knows how many market days it
spans: an unchanged price, a local holiday and a missing day need no rule of their own.

Prices may be sparse: weekly, or one a month. Then market days are the days that have one, a "daily" return is
that from one price to the next, and an asset's own past is measured at each of them rather than each week.

No value at a day reads a close after that day. Arrays are (day, asset).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bdfm.data.settings import DAILY_SPACING, PanelSettings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WEEK: Final = 7
MIN_GAPS: Final = 8  # between prices of an asset from which a spacing can be told; daily, if nobody has them
MARKET_DAYS_OF_A_DAY: Final = 5 / 7
MIN_PAST: Final = 12  # past values of sparse prices that are enough to measure against: a year of months
# Adjusted closes are products of a close and a factor: a repeated close may differ in its last bits.
SAME_PRICE: Final = 1e-9


def day_numbers(days: pd.DatetimeIndex) -> Ints:
    """Whole days since 1970-01-01."""
    return days.to_numpy().astype("datetime64[D]").astype(np.int64)


def fresh_closes(closes: Floats) -> NDArray[np.bool_]:
    """Whether each close (row, asset) is there and differs from the asset's last one before it."""
    here = np.isfinite(closes)
    if not len(closes):
        return here
    rows = np.arange(len(closes))[:, None]
    seen = np.maximum.accumulate(np.where(here, rows, -1), axis=0)
    before = np.vstack([np.full((1, closes.shape[1]), -1), seen[:-1]])
    last = np.where(before >= 0, np.take_along_axis(closes, np.maximum(before, 0), axis=0), np.nan)
    with np.errstate(invalid="ignore"):
        return here & ~(np.abs(closes - last) <= SAME_PRICE * last)


def spacing_days(table: pd.DataFrame) -> int:
    """Calendar days from one price to the next (day, asset): the median over assets of each one's median."""
    numbers, here = day_numbers(pd.DatetimeIndex(table.index)), np.isfinite(table.to_numpy(dtype=np.float64))
    gaps = [np.median(np.diff(numbers[own])) for own in here.T if own.sum() > MIN_GAPS]
    return max(1, round(float(np.median(gaps)))) if gaps else 1


class Closes:
    """Daily closes of assets, looked up by calendar day.

    Parameters
    ----------
    table
        Positive closes (day, asset), missing as NaN, at least one known; days ascend without repetition.
    max_stale_days
        A fresh close older than this many calendar days is no price any more. It also ends a series: no
        daily return runs across a longer gap. Where prices are sparse, their spacing is added.

    Notes
    -----
    A *market day* is a row of the table on which at least half of the assets then listed have a fresh
    close; listed are those with a fresh close on that row or at most ``max_stale_days`` before.

    ``spacing`` is the number of calendar days from one price to the next, 1 if daily; ``sparse`` says that
    they come less often than daily.
    """

    def __init__(self, table: pd.DataFrame, *, max_stale_days: int) -> None:
        self.days = day_numbers(pd.DatetimeIndex(table.index))
        spacing = spacing_days(table)
        self.sparse = spacing > DAILY_SPACING
        self.spacing = spacing if self.sparse else 1
        self.max_stale_days = max_stale_days
        self._oldest = max_stale_days + (spacing if self.sparse else 0)
        values = table.to_numpy(dtype=np.float64)
        self.fresh = fresh_closes(values)
        with np.errstate(invalid="ignore"):
            self._log_close = np.log(values)
        rows = np.arange(len(values))[:, None]
        self._last = np.maximum.accumulate(
            np.where(self.fresh, rows, -1), axis=0
        )  # row of the last fresh close
        listed = self._is_usable(self.days, self._last)
        self.market = listed.any(axis=1) & (2 * self.fresh.sum(axis=1) >= listed.sum(axis=1))
        self._market_count = np.cumsum(self.market)

    def _is_usable(self, days: Ints, last: Ints) -> NDArray[np.bool_]:
        """Whether a fresh close of row ``last`` (day, asset) is young enough on ``days``."""
        age = days[:, None] - self.days[np.maximum(last, 0)]
        return (last >= 0) & (age <= self._oldest)

    def _last_at(self, days: Ints) -> Ints:
        """Row of each asset's last fresh close on or before each day; -1 where there is none."""
        row = np.searchsorted(self.days, days, side="right") - 1
        return np.where(row[:, None] >= 0, self._last[np.maximum(row, 0)], -1)

    def log_returns(self, starts: Ints, ends: Ints) -> Floats:
        """Log return from each start to each end (pair, asset), decimal.

        From the last fresh close on or before the start to that on or before the end. NaN where one of them
        is too old, or where no fresh close lies between. Of sparse prices the two must be as far apart as
        start and end, but for ``max_stale_days``: the return of two months is not that of the second.
        """
        a, b = self._last_at(starts), self._last_at(ends)
        known = self._is_usable(starts, a) & self._is_usable(ends, b) & (b > a)
        if self.sparse:
            apart = self.days[np.maximum(b, 0)] - self.days[np.maximum(a, 0)]
            known &= np.abs(apart - (ends - starts)[:, None]) <= self.max_stale_days
        change = np.take_along_axis(self._log_close, np.maximum(b, 0), axis=0) - np.take_along_axis(
            self._log_close, np.maximum(a, 0), axis=0
        )
        return np.where(known, change, np.nan)

    def day_returns(self, starts: Ints, ends: Ints) -> Floats:
        """``log_returns`` over one market day; NaN without a close on the start: two days' return came."""
        first = self._last_at(starts)
        own = (first >= 0) & (self.days[np.maximum(first, 0)] == starts[:, None])
        return np.where(own, self.log_returns(starts, ends), np.nan)

    @cached_property
    def _steps(self) -> tuple[NDArray[np.bool_], Floats, Ints]:
        """Whether a daily return ends on each row (row, asset), that return, and the row it starts from."""
        before = np.vstack([np.full((1, self.fresh.shape[1]), -1), self._last[:-1]])
        ends = self.fresh & self._is_usable(self.days, before)
        start = np.maximum(before, 0)
        change = self._log_close - np.take_along_axis(self._log_close, start, axis=0)
        return ends, np.where(ends, change, 0.0), start

    @cached_property
    def _daily(self) -> tuple[Floats, Ints, Ints]:
        """Running sums over rows (row + 1, asset): squared daily returns, market days spanned, days covered.

        A daily return runs between successive fresh closes and stands on the row of the later one. It spans
        the market days after the earlier row up to the later one, at least 1. A market day is covered when a
        daily return spans it.
        """
        n_rows, n_assets = self.fresh.shape
        ends, change, start = self._steps
        squares = change**2
        spans = np.where(ends, np.maximum(self._market_count[:, None] - self._market_count[start], 1), 0)
        # Row of the next fresh close, on or after each row. It lies ahead, but `covered` is only ever read
        # up to the last fresh close before the day in question, where the next one is known.
        rows = np.arange(n_rows)[:, None]
        following = np.minimum.accumulate(np.where(self.fresh, rows, n_rows)[::-1], axis=0)[::-1]
        spanned = np.take_along_axis(np.vstack([ends, np.zeros((1, n_assets), bool)]), following, axis=0)
        covered = self.market[:, None] & spanned
        return _running(squares), _running(spans), _running(covered.astype(np.int64))

    def log_volatility(self, days: Ints, *, window: int) -> Floats:
        """Log of realised daily volatility over the ``window`` market days up to each day (day, asset).

        Volatility is sqrt(sum of squared daily returns / sum of the market days they span), over the daily
        returns that end in the window, as a decimal per market day. NaN where these cover less than half of
        the window, or the last fresh close is too old.
        """
        squares, spans, covered = self._daily
        row = np.searchsorted(self.days, days, side="right") - 1
        market_rows = np.flatnonzero(self.market)
        n_market = np.where(row >= 0, self._market_count[np.maximum(row, 0)], 0)
        # Of sparse prices half a window will do, as it does for an asset's own returns
        full = (2 * n_market >= window if self.sparse else n_market >= window) & (n_market > 0)
        first = market_rows[np.where(full, np.maximum(n_market - window, 0), 0)][:, None]
        last = self._last_at(days)
        stop = np.maximum(last + 1, first)

        def total(sums: NDArray[Any]) -> NDArray[Any]:
            upto, before = (np.take_along_axis(sums, rows, axis=0) for rows in (stop, first))
            return np.asarray(upto - before)

        square, span = total(squares), total(spans)
        known = full[:, None] & (2 * total(covered) >= window) & (square > 0) & self._is_usable(days, last)
        return np.where(known, 0.5 * np.log(np.where(known, square, 1.0) / np.maximum(span, 1)), np.nan)

    @cached_property
    def market_index(self) -> Closes:
        """Closes of an equal-weighted portfolio, one asset: its log return is the mean of daily returns."""
        ends, change, _ = self._steps
        count = ends.sum(axis=1)
        mean = change.sum(axis=1) / np.maximum(count, 1)
        level = np.where(self.market & (count > 0), np.exp(np.cumsum(mean)), np.nan)
        return Closes(pd.DataFrame({"market": level}, index=self.dates), max_stale_days=self.max_stale_days)

    def _with_market(self, day: int, window: int) -> tuple[Floats, Floats]:
        """Covariance of daily returns with their equal-weighted mean, and the variance of that (asset).

        Over ``window`` market days up to a day; NaN with less than a quarter of the window.
        """
        ends, change, start = self._steps
        row = int(np.searchsorted(self.days, day, side="right"))
        rows = np.flatnonzero(self.market[:row])[-window:]
        one = ends[rows] & (self._market_count[rows][:, None] - self._market_count[start[rows]] == 1)
        y = np.where(one, change[rows], 0.0)
        market = (y.sum(axis=1) / np.maximum(one.sum(axis=1), 1))[:, None]
        n = np.maximum(one.sum(axis=0), 1)
        x = np.where(one, market, 0.0)
        covariance = (x * y).sum(axis=0) / n - x.sum(axis=0) / n * (y.sum(axis=0) / n)
        variance = (x * x).sum(axis=0) / n - (x.sum(axis=0) / n) ** 2
        known = (4 * one.sum(axis=0) >= window) & (variance > 0)
        return np.where(known, covariance, np.nan), np.where(known, variance, np.nan)

    def market_beta(self, day: int, *, window: int) -> Floats:
        """Slope of daily returns on their equal-weighted mean, over ``window`` market days to a day (asset).

        NaN with less than a quarter of the window.
        """
        covariance, variance = self._with_market(day, window)
        return np.asarray(covariance / variance)

    def market_risk(self, day: int, *, window: int) -> Floats:
        """Beta times the sd of the equal-weighted mean, a market day: the sd that an asset has of the market.

        With the sign of its beta (asset); window and NaN as in ``market_beta``.
        """
        covariance, variance = self._with_market(day, window)
        return np.asarray(covariance / np.sqrt(variance))

    def calendar(self, last_day: int) -> Ints:
        """Every calendar day from the first row to ``last_day``."""
        return np.arange(self.days[0], last_day + 1)

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Days of the table."""
        return pd.DatetimeIndex(self.days.astype("datetime64[D]"))

    @cached_property
    def market_days(self) -> Ints:
        """Numbers of the market days, ascending."""
        return self.days[self.market]

    def market_position(self, days: Ints) -> Ints:
        """Place in ``market_days`` of the last market day on or before each day; -1 before the first."""
        return np.searchsorted(self.market_days, days, side="right") - 1


def _running(values: NDArray[Any]) -> NDArray[Any]:
    """Return the sums of the first 0, 1, 2, ... rows."""
    return np.concatenate([np.zeros((1, values.shape[1]), values.dtype), np.cumsum(values, axis=0)])


def past_weeks(values: Floats) -> tuple[Floats, Ints]:
    """Sum and number of known values 1, 2, 3, ... weeks before each calendar day (calendar day, asset)."""
    n_days, n_assets = values.shape
    known = np.isfinite(values)
    padding = ((WEEK, -n_days % WEEK), (0, 0))  # one empty week ahead: a day's own value does not count
    shape = (-1, WEEK, n_assets)
    sums = np.cumsum(np.pad(np.where(known, values, 0.0), padding).reshape(shape), axis=0)
    counts = np.cumsum(np.pad(known.astype(np.int64), padding).reshape(shape), axis=0)
    return sums.reshape(-1, n_assets)[:n_days], counts.reshape(-1, n_assets)[:n_days]


def _on(calendar: Ints, values: NDArray[Any], days: Ints) -> NDArray[Any]:
    """Rows of a calendar table on given days; zero for days before the calendar."""
    position = days - calendar[0]
    return np.where((position >= 0)[:, None], values[np.maximum(position, 0)], 0)


def own_past(closes: Closes, value: Callable[[Ints], Floats], starts: Ints) -> tuple[Floats, Ints]:
    """Sum and number of an asset's past values before each start (start, asset), the current one left out.

    ``value`` gives them on days (day, asset). They are taken 1, 2, 3, ... weeks before the start; where
    prices are sparse at every market day before the last one.
    """
    if not closes.sparse:
        calendar = closes.calendar(int(starts.max()))
        sums, counts = past_weeks(value(calendar))
        return _on(calendar, sums, starts), _on(calendar, counts, starts)
    values = value(closes.market_days)
    known = np.isfinite(values)
    before = np.maximum(closes.market_position(starts), 0)
    return _running(np.where(known, values, 0.0))[before], _running(known.astype(np.int64))[before]


def _enough(closes: Closes, min_past_weeks: int) -> int:
    """Past values that a feature must have: of sparse prices as many as these weeks have, or 12 if fewer."""
    if not closes.sparse:
        return min_past_weeks
    return max(min(MIN_PAST, min_past_weeks), round(min_past_weeks * WEEK / closes.spacing))


def recent_return(closes: Closes, starts: Ints, *, days: int, min_past_weeks: int) -> Floats:
    """Return of the ``days`` before each start over the asset's own past (start, asset): x^rr of eq. 2.

    Log return over these calendar days, divided by sqrt(days / 7) times the root mean square of the asset's
    log returns over the weeks that end 1, 2, 3, ... weeks before the start, as far back as closes go. NaN
    where the return, or ``min_past_weeks`` of these weeks, are not known.

    Of sparse prices it is the return over the last ones, as many as ``days`` have room for, over the asset's
    past returns from price to price.
    """
    if closes.sparse:
        return _recent_steps(closes, starts, max(1, round(days / closes.spacing)), min_past_weeks)
    total, n_weeks = own_past(closes, lambda d: closes.log_returns(d - WEEK, d) ** 2, starts)
    scale = np.sqrt(total / np.maximum(n_weeks, 1) * (days / WEEK))
    known = (n_weeks >= min_past_weeks) & (scale > 0)
    return np.where(known, closes.log_returns(starts - days, starts) / np.where(known, scale, 1.0), np.nan)


def _recent_steps(closes: Closes, starts: Ints, n_steps: int, min_past_weeks: int) -> Floats:
    """``recent_return`` over ``n_steps`` market days of sparse prices (start, asset)."""
    days = closes.market_days

    def over(position: Ints, steps: int) -> Floats:
        there = (position >= steps)[:, None]
        came = closes.log_returns(days[np.maximum(position - steps, 0)], days[np.maximum(position, 0)])
        return np.where(there, came, np.nan)

    total, n_past = own_past(closes, lambda d: over(closes.market_position(d), 1) ** 2, starts)
    scale = np.sqrt(total / np.maximum(n_past, 1) * n_steps)
    known = (n_past >= _enough(closes, min_past_weeks)) & (scale > 0)
    now = over(closes.market_position(starts), n_steps)
    return np.where(known, now / np.where(known, scale, 1.0), np.nan)


def volatility_level(closes: Closes, starts: Ints, *, window: int) -> Floats:
    """Log volatility before each start over 1 % a day (start, asset): x^rv of eq. 7 in levels.

    ``Closes.log_volatility`` over ``window`` market days up to the start; NaN where it is not known. That of
    sparse prices is taken down to a day by the square root of time.
    """
    days = closes.spacing * MARKET_DAYS_OF_A_DAY if closes.sparse else 1.0
    return np.asarray(closes.log_volatility(starts, window=window) - np.log(0.01 * np.sqrt(days)))


def market_volatility(closes: Closes, starts: Ints, *, window: int, min_past_weeks: int) -> Floats:
    """Log volatility of the equal-weighted portfolio less its own past mean (start): x^m of eq. 3d.

    As ``recent_volatility``, of the one asset of ``Closes.market_index``.
    """
    return recent_volatility(closes.market_index, starts, window=window, min_past_weeks=min_past_weeks)[:, 0]


def recent_volatility(closes: Closes, starts: Ints, *, window: int, min_past_weeks: int) -> Floats:
    """Log volatility before each start less the asset's own past mean (start, asset): x^rv of eq. 7.

    ``Closes.log_volatility`` over ``window`` market days up to the start, less its mean over the days 1, 2,
    3, ... weeks before the start, as far back as closes go. NaN where the volatility, or ``min_past_weeks``
    of these past values, are not known.
    """
    total, n_past = own_past(closes, lambda d: closes.log_volatility(d, window=window), starts)
    now = closes.log_volatility(starts, window=window)
    enough = n_past >= _enough(closes, min_past_weeks)
    return np.where(enough, now - total / np.maximum(n_past, 1), np.nan)


def at_starts(closes: Closes, starts: Ints, settings: PanelSettings) -> tuple[Floats, Floats, Floats]:
    """Features at the starts of periods: ``recent_return``, ``recent_volatility``, ``market_volatility``.

    Of shape (start, asset), (start, asset, window), (start, window); the second as the settings say.
    """
    past, windows = settings.min_past_weeks, settings.volatility_windows
    level = settings.volatility_form == "level"
    own = [
        volatility_level(closes, starts, window=w)
        if level
        else recent_volatility(closes, starts, window=w, min_past_weeks=past)
        for w in windows
    ]
    market = [market_volatility(closes, starts, window=w, min_past_weeks=past) for w in windows]
    days = settings.recent_return_days
    returned = recent_return(closes, starts, days=days, min_past_weeks=past)
    return returned, np.stack(own, axis=2), np.stack(market, axis=1)


TRAILING_DAYS: Final = 250  # market days of trailing betas and volatilities
TRAILING_STEPS: Final = 36  # the same of sparse prices, at least: three years of months


def _trailing(closes: Closes) -> int:
    """Market days of a trailing beta: 250, or of sparse prices those of a year, 36 at least."""
    return max(TRAILING_STEPS, 365 // closes.spacing) if closes.sparse else TRAILING_DAYS


def market_risk(closes: Closes, edges: Ints) -> Floats:
    """Sd that assets have of the market over each period (period, asset), known at its start: x^mr of eq. 5b.

    ``Closes.market_risk`` over 250 market days up to the start (of sparse prices a year of them, or 36), by
    the square root of the market days of the period; signed, decimal. NaN where it is not known.
    """
    steps = np.diff(edges) / (closes.spacing if closes.sparse else 1 / MARKET_DAYS_OF_A_DAY)
    found = [closes.market_risk(int(day), window=_trailing(closes)) for day in edges[:-1]]
    return np.asarray(np.stack(found) * np.sqrt(steps)[:, None])


def characteristics(
    closes: Closes, day: int, asset_class: NDArray[np.str_], group: NDArray[np.str_]
) -> tuple[list[str], Floats]:
    """Characteristics of assets at the end of a day, names and values (asset, characteristic): z of eq. 4c.

    A dummy for each class and for each group with more than one asset, 0 or 1; then the trailing beta on the
    equal-weighted portfolio and the log volatility, both over 250 market days (of sparse prices a year of
    them, or 36), and momentum, the log return from 365 to 28 days before. The last three are standardised
    over assets; where one is not known, the mean of the asset's group stands in, or of its class, or 0.
    """
    names, columns = [], []
    for what, labels in (("class", asset_class), ("group", group)):
        for label in sorted(set(labels.tolist())):
            member = labels == label
            if what == "class" or (label and 1 < member.sum() and not _same_set(member, asset_class)):
                names.append(f"{what}: {label}")
                columns.append(member.astype(float))
    days = np.array([day])
    window = _trailing(closes)
    numbers = {
        "beta": closes.market_beta(day, window=window),
        "volatility": closes.log_volatility(days, window=window)[0],
        "momentum": closes.log_returns(days - 365, days - 28)[0],
    }
    for name, values in numbers.items():
        known = np.isfinite(values)
        sd = values[known].std() if known.any() else 0.0
        standard = np.where(known, (values - values[known].mean()) / sd, np.nan) if sd > 0 else 0.0 * known
        for labels in (group, asset_class, np.full(len(asset_class), "all")):
            standard = _fill_by(standard, labels)
        names.append(name)
        columns.append(standard)
    return names, np.stack(columns, axis=1)


def _same_set(member: NDArray[np.bool_], labels: NDArray[np.str_]) -> bool:
    """Whether the members are all assets of one label, and no other."""
    return any(np.array_equal(member, labels == x) for x in np.unique(labels[member]))


def _fill_by(values: Floats, labels: NDArray[np.str_]) -> Floats:
    """Values with unknown ones replaced by the mean over known values of the same label, if any."""
    filled = values.copy()
    for label in np.unique(labels[np.isnan(values)]):
        known = (labels == label) & np.isfinite(values)
        if known.any():
            filled[(labels == label) & np.isnan(values)] = values[known].mean()
    return filled


def fill_by_class(values: Floats, class_index: Ints) -> Floats:
    """Values (period, asset, window) with unknown ones replaced by the median of their class in that period.

    Where the whole class is unknown, by the median of all assets; where nobody is known, by 0.
    """
    filled = values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # medians of nothing are NaN, and meant to be
        medians = [np.nanmedian(values[:, class_index == c], axis=1) for c in range(class_index.max() + 1)]
        overall = np.nanmedian(values, axis=1, keepdims=True)
    typical = np.stack(medians, axis=1)[:, class_index]
    filled = np.where(np.isnan(filled), typical, filled)
    filled = np.where(np.isnan(filled), overall, filled)
    return np.nan_to_num(filled)


SEASON: Final = 364  # days after which a company is taken to report again
SILENCE: Final = 120  # days without an announcement beyond which a calendar is taken not to reach


def seasonal_announcements(days: Ints, *, since: int, until: int) -> Ints:
    """Announcement days of one company, its calendar's gaps at both ends filled by its own yearly pattern.

    The days of the first and of the last year that are known are repeated every 364 days, backwards to
    ``since`` and on to ``until``, where the calendar is silent for more than 120 days there. Nothing after
    ``until`` is looked at.
    """
    days = np.unique(days[days <= until])
    parts = [days]
    if len(days) and until - days[-1] > SILENCE:
        season = days[days > days[-1] - SEASON]
        n_years = (until - int(season[0])) // SEASON + 1
        parts.append((season + SEASON * np.arange(1, n_years + 1)[:, None]).ravel())
    if len(days) and days[0] - since > SILENCE:
        season = days[days < days[0] + SEASON]
        n_years = (int(season[-1]) - since) // SEASON + 1
        parts.append((season - SEASON * np.arange(1, n_years + 1)[:, None]).ravel())
    filled = np.unique(np.concatenate(parts))
    return filled[(filled >= min(since, days[0] if len(days) else since)) & (filled <= until)]


def announcement_flags(edges: Ints, days: Ints, asset: Ints, *, n_assets: int) -> Floats:
    """Earnings flags (period, asset), I^e of eq. 7: 1 for an announcement after the start and up to the end.

    ``edges`` (period + 1) are the boundaries; ``days`` and ``asset`` (announcement) give when and who.
    """
    flags = np.zeros((len(edges) - 1, n_assets))
    period = np.searchsorted(edges, days, side="left") - 1
    inside = (period >= 0) & (period < len(flags))
    flags[period[inside], asset[inside]] = 1.0
    return flags
