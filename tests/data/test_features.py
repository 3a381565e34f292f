"""Features against hand arithmetic and against a slow version that walks through the days."""

import math
from bisect import bisect_right
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from bdfm.data.features import (
    Closes,
    announcement_flags,
    characteristics,
    day_numbers,
    fill_by_class,
    fresh_closes,
    market_volatility,
    past_weeks,
    recent_return,
    recent_volatility,
    seasonal_announcements,
    volatility_level,
)

NAN = np.nan
STALE = 10


def closes(columns, days=None, start="2020-01-06", max_stale_days=STALE):
    table = pd.DataFrame(columns, dtype=float)
    table.index = pd.bdate_range(start, periods=len(table)) if days is None else pd.DatetimeIndex(days)
    return Closes(table, max_stale_days=max_stale_days)


def numbers(*days):
    return day_numbers(pd.DatetimeIndex(days))


def trading(n, base=10.0):
    """Closes that change every day."""
    return [base * (1.01 + 0.003 * (k % 3)) ** k for k in range(n)]


def random_table(seed, n_days=240, n_assets=4):
    """Random walks with late starts, early ends, holes, repeated closes and local and common holidays."""
    rng = np.random.default_rng(seed)
    values = 50 * np.exp(np.cumsum(0.01 * rng.standard_t(4, (n_days, n_assets)), axis=0))
    for j in range(n_assets):
        for k in np.flatnonzero(rng.random(n_days) < 0.06):
            values[k, j] = values[k - 1, j] if k else values[k, j]
    values[rng.random(values.shape) < 0.04] = NAN
    values[: rng.integers(5, 120), 0] = NAN
    values[rng.integers(150, 220) :, 1] = values[140, 1]
    hole = rng.integers(60, 180)
    values[hole : hole + rng.integers(3, 40), 2] = NAN
    closed = rng.random(n_days) < 0.03
    values[closed, 1:] = NAN
    table = pd.DataFrame(values, index=pd.bdate_range("2018-01-01", periods=n_days))
    return table.drop(table.index[rng.integers(30, 200)]).dropna(how="all")


class Slow:
    """The definitions of the module, one asset and one day at a time."""

    def __init__(self, table):
        self.table, self.days = table, list(table.index)
        self.fresh = {i: self.fresh_days(i) for i in table}
        self.market = [d for d in self.days if self.is_market_day(d)]

    def fresh_days(self, i):
        found, last = [], None
        for d, price in self.table[i].dropna().items():
            if price != last:
                found.append(d)
            last = price
        return found

    def last_fresh(self, i, day):
        before = bisect_right(self.fresh[i], day)
        last = self.fresh[i][before - 1] if before else None
        return last if last is not None and (day - last).days <= STALE else None

    def is_market_day(self, day):
        listed = [i for i in self.table if self.last_fresh(i, day) is not None]
        return bool(listed) and sum(day in self.fresh[i] for i in listed) >= len(listed) / 2

    def log_return(self, i, start, end):
        a, b = self.last_fresh(i, start), self.last_fresh(i, end)
        if a is None or b is None or a == b:
            return NAN
        return math.log(self.table[i][b] / self.table[i][a])

    def log_volatility(self, i, day, window):
        days = self.market[: bisect_right(self.market, day)][-window:]
        if len(days) < window or self.last_fresh(i, day) is None:
            return NAN
        square, span, covered = 0.0, 0, 0
        for a, b in pairwise(self.fresh[i]):
            if days[0] <= b <= day and (b - a).days <= STALE:
                between = self.market[bisect_right(self.market, a) : bisect_right(self.market, b)]
                square += math.log(self.table[i][b] / self.table[i][a]) ** 2
                span += max(len(between), 1)
                covered += sum(d >= days[0] for d in between)
        return 0.5 * math.log(square / span) if covered >= math.ceil(window / 2) else NAN

    def weeks_before(self, day):
        ends = []
        while (day := day - pd.Timedelta(days=7)) >= self.days[0]:
            ends.append(day)
        return ends

    def recent_return(self, i, start, days, min_past_weeks):
        week = pd.Timedelta(days=7)
        past = [self.log_return(i, d - week, d) for d in self.weeks_before(start)]
        past = [x for x in past if not math.isnan(x)]
        if len(past) < min_past_weeks:
            return NAN
        scale = math.sqrt(sum(x * x for x in past) / len(past) * days / 7)
        return self.log_return(i, start - pd.Timedelta(days=days), start) / scale

    def recent_volatility(self, i, start, window, min_past_weeks):
        past = [self.log_volatility(i, d, window) for d in self.weeks_before(start)]
        past = [x for x in past if not math.isnan(x)]
        if len(past) < min_past_weeks:
            return NAN
        return self.log_volatility(i, start, window) - sum(past) / len(past)


def test_a_close_is_fresh_when_it_differs_from_the_last_known_one():
    column = np.array([NAN, 5, 5, NAN, 5, 6, NAN, 6.5, 6.5 * (1 + 1e-12), 6])[:, None]
    assert_array_equal(
        fresh_closes(column)[:, 0], [False, True, False, False, False, True, False, True, False, True]
    )


def test_market_days_need_half_of_the_listed_assets():
    # Four assets: the third listed late, the fourth silent for good after the first day.
    n = 14
    c = [NAN] * 12 + [3.0, 3.1]
    d = [7.0] * n
    a = trading(n)
    b = trading(n, 20)
    b[5] = b[4]  # a and not b of (a, b, d): 1 of 3
    a[12] = a[11]
    b[12] = b[11]  # only c of (a, b, c), d is no longer listed: 1 of 3
    b[13] = b[12]  # a and c of three
    found = closes({"a": a, "b": b, "c": c, "d": d}).market
    assert_array_equal(np.flatnonzero(~found), [5, 12])


def test_returns_run_between_the_last_fresh_closes():
    # Monday 6 January to Friday 17 January; b repeats its close from the 14th on.
    b = [10, 11, 12, 13, 14, 15, 15, 15, 15, 15]
    found = closes({"a": trading(10), "b": b}).log_returns(
        numbers("2020-01-05", "2020-01-06", "2020-01-11", "2020-01-12", "2020-01-13", "2020-01-09"),
        numbers("2020-01-10", "2020-01-10", "2020-01-19", "2020-01-23", "2020-01-17", "2020-01-24"),
    )[:, 1]
    # Before the data; plain; over a weekend; end just young enough; no fresh close between; end too old.
    assert_allclose(found, [NAN, math.log(14 / 10), math.log(15 / 14), math.log(15 / 14), NAN, NAN])


def test_repeated_and_missing_closes_are_spans_not_zeros():
    z = [10.0, 11.0, 11.0, NAN, 12.0, 12.6]
    table = closes({"x": trading(6), "y": trading(6, 30), "z": z})
    day = numbers("2020-01-13")  # the sixth business day
    first, third, fourth = math.log(1.1) ** 2, math.log(12 / 11) ** 2, math.log(12.6 / 12) ** 2
    expected = 0.5 * math.log((first + third + fourth) / (1 + 3 + 1))
    assert_allclose(table.log_volatility(day, window=5)[0, 2], expected)
    # The last two market days: the return that ends on the first of them began before, and spans three.
    assert_allclose(table.log_volatility(day, window=2)[0, 2], 0.5 * math.log((third + fourth) / 4))


def test_a_local_holiday_of_half_the_assets_leaves_constant_volatility_constant():
    a = [100 * 1.02**k for k in range(12)]
    b = list(a)
    b[6] = b[5]  # no close of its own; the next return is over two days
    table = closes({"a": a, "b": b, "c": a})
    found = table.log_volatility(numbers("2020-01-21"), window=8)[0]
    assert_allclose(found[0], math.log(math.log(1.02)))
    assert_allclose(found[1], 0.5 * math.log((6 + 4) / 8) + found[0])


def test_volatility_needs_half_of_the_window():
    # Six market days; z has a fresh close on the first, and then from some day on.
    def last(z):
        return closes({"x": trading(6), "y": trading(6, 30), "z": z}).log_volatility(
            numbers("2020-01-13"), window=5
        )[0, 2]

    assert math.isfinite(last([9, 10, 11, 12, 12, 12]))  # 3 of 5 days covered
    assert math.isnan(last([9, 10, 11, 11, 11, 11]))  # 2 of 5
    assert math.isnan(last([NAN, NAN, NAN, 10, 11, 12]))
    assert math.isfinite(last([NAN, NAN, 10, 11, 12, 13]))
    # One return over the first day of the window only, although it spans four days in all.
    long = closes({"x": trading(9), "y": trading(9, 30), "z": [9, NAN, NAN, NAN, 10, 10, 10, 10, 10]})
    assert math.isnan(long.log_volatility(numbers("2020-01-16"), window=5)[0, 2])


def test_no_daily_return_across_a_long_hole():
    z = [10.0, 10.1] + [NAN] * 10 + [20.0, 20.2, 20.4]
    table = closes({"x": trading(15), "y": trading(15, 30), "z": z})
    found = table.log_volatility(numbers("2020-01-24"), window=2)[0, 2]
    expected = 0.5 * math.log((math.log(20.2 / 20) ** 2 + math.log(20.4 / 20.2) ** 2) / 2)
    assert_allclose(found, expected)


def test_past_weeks_excludes_the_day_itself():
    values = np.arange(1.0, 17.0)[:, None]
    values[1] = NAN
    sums, counts = past_weeks(values)
    assert_array_equal(sums[:, 0], [0] * 7 + [1, 0, 3, 4, 5, 6, 7, 1 + 8, 0 + 9])
    assert_array_equal(counts[:, 0], [0] * 7 + [1, 0, 1, 1, 1, 1, 1, 2, 1])


def test_recent_return_by_hand():
    # One close a week, on Fridays, rising by known steps.
    steps = [0.01, -0.02, 0.03, 0.01, -0.04]
    prices = 100 * np.exp(np.cumsum([0, *steps]))
    table = closes({"a": prices}, days=pd.date_range("2020-01-03", periods=6, freq="7D"))
    start = numbers("2020-02-07")
    scale = math.sqrt(sum(x * x for x in steps[:4]) / 4)
    assert_allclose(recent_return(table, start, days=7, min_past_weeks=4), [[-0.04 / scale]])
    assert_allclose(
        recent_return(table, start, days=14, min_past_weeks=4), [[-0.03 / (scale * math.sqrt(2))]]
    )
    assert np.isnan(recent_return(table, start, days=7, min_past_weeks=5)).all()


def test_recent_volatility_by_hand():
    # Daily steps of 1 % for six weeks, then a week of 2 %: x^rv is log 2.
    steps = [0.01 * (-1) ** k for k in range(30)] + [0.02 * (-1) ** k for k in range(5)]
    prices = 100 * np.exp(np.cumsum(steps)) * np.ones((2, 1))
    table = closes({"a": prices[0], "b": 3 * prices[1]})
    start = numbers("2020-02-21")
    found = recent_volatility(table, start, window=5, min_past_weeks=4)
    assert_allclose(found, [[math.log(2)] * 2])
    # Six Fridays before the last; on the first of them four daily returns cover four of the five days.
    assert np.isfinite(recent_volatility(table, start, window=5, min_past_weeks=6)).all()
    assert np.isnan(recent_volatility(table, start, window=5, min_past_weeks=7)).all()


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 21]), st.sampled_from([3, 7, 28]))
def test_features_equal_a_slow_walk_through_the_days(seed, window, days):
    table = random_table(seed)
    fast, slow = Closes(table, max_stale_days=STALE), Slow(table)
    assert_array_equal(table.index[fast.market], pd.DatetimeIndex(slow.market))
    stamps = pd.DatetimeIndex([table.index[0] - pd.Timedelta(days=3), *table.index[[0, 4]]])
    stamps = stamps.append(
        pd.date_range(table.index[20], table.index[-1] + pd.Timedelta(days=12), freq="31D")
    )
    starts = day_numbers(stamps)
    assets = range(table.shape[1])

    def slowly(method, *args):
        return [[method(i, d, *args) for i in assets] for d in stamps]

    assert_allclose(
        fast.log_volatility(starts, window=window), slowly(slow.log_volatility, window), atol=1e-9
    )
    found = fast.log_returns(starts[:-1], starts[1:])
    assert_allclose(
        found, [[slow.log_return(i, a, b) for i in assets] for a, b in pairwise(stamps)], atol=1e-12
    )
    found = recent_return(fast, starts, days=days, min_past_weeks=8)
    assert np.isfinite(found).any()
    assert_allclose(found, slowly(slow.recent_return, days, 8), atol=1e-9)
    found = recent_volatility(fast, starts, window=window, min_past_weeks=8)
    assert np.isfinite(found).any()
    assert_allclose(found, slowly(slow.recent_volatility, window, 8), atol=1e-9)


@pytest.mark.parametrize("future", ["noise", "nan", "huge", "gone"])
def test_features_of_a_day_read_nothing_after_it(future):
    table = random_table(3)
    for row in (100, 150, 200):
        changed = table.copy()
        after = changed.iloc[row + 1 :]
        rng = np.random.default_rng(row)
        new = {"noise": np.exp(rng.normal(3, 1, after.shape)), "nan": NAN, "huge": 1e300}.get(future)
        changed = changed.iloc[: row + 1] if new is None else changed
        if new is not None:
            changed.iloc[row + 1 :] = new
        starts = day_numbers(table.index[40 : row + 1 : 9])
        pairs = [Closes(t, max_stale_days=STALE) for t in (table, changed)]
        for one, two in zip(
            *(
                [
                    c.log_volatility(starts, window=5),
                    c.log_returns(starts - 28, starts),
                    recent_return(c, starts, days=7, min_past_weeks=5),
                    recent_volatility(c, starts, window=5, min_past_weeks=5),
                    volatility_level(c, starts, window=5),
                    market_volatility(c, starts, window=5, min_past_weeks=5),
                    characteristics(c, int(starts[-1]), np.array(list("xxyy")), np.array(list("xxyz")))[1],
                ]
                for c in pairs
            ),
            strict=True,
        ):
            assert_array_equal(one, two)


def test_announcements_belong_to_the_period_that_ends_on_or_after_them():
    edges = numbers("2022-01-07", "2022-02-04", "2022-03-04", "2022-04-01")
    days = numbers("2022-01-07", "2022-01-08", "2022-02-04", "2022-03-05", "2022-04-01", "2022-04-02")
    asset = np.array([0, 1, 2, 0, 1, 2])
    found = announcement_flags(edges, days, asset, n_assets=3)
    assert_array_equal(found, [[0, 1, 1], [0, 0, 0], [1, 1, 0]])


def test_market_volatility_is_that_of_the_mean_return():
    # Two assets whose daily steps cancel half of each other: the market moves by (2 % - 1 %) / 2.
    signs = np.array([(-1) ** k for k in range(35)])
    last = np.where(np.arange(35) < 30, 1.0, 3.0)
    steps = np.column_stack([0.02 * signs * last, -0.01 * signs * last])
    prices = 100 * np.exp(np.cumsum(steps, axis=0))
    table = closes({"a": prices[:, 0], "b": prices[:, 1]})
    start = numbers("2020-02-21")
    assert_allclose(market_volatility(table, start, window=5, min_past_weeks=4), [math.log(3)])
    index = table.market_index
    assert_allclose(index.log_volatility(start, window=5), [[math.log(0.015)]])
    assert_allclose(volatility_level(table, start, window=5), [[math.log(6), math.log(3)]])


def test_characteristics_by_hand():
    """Dummies of classes and of groups of their own; beta, volatility and momentum standardised."""
    rng = np.random.default_rng(2)
    n = 300
    market = 0.01 * rng.standard_normal(n)
    beta = np.array([0.5, 1.0, 1.5, 1.0, 1.0])
    prices = 100 * np.exp(np.cumsum(market[:, None] * beta, axis=0))
    prices[:-5, 4] = NAN  # listed a week ago
    table = closes(dict(zip("abcde", prices.T, strict=True)))
    day = int(table.days[-1])
    classes = np.array(["stock", "stock", "stock", "bond", "stock"])
    group = np.array(["tech", "tech", "oil", "bond", "oil"])
    names, z = characteristics(table, day, classes, group)
    assert names == [
        "class: bond",
        "class: stock",
        "group: oil",
        "group: tech",
        "beta",
        "volatility",
        "momentum",
    ]
    assert_array_equal(z[:, 1], [1, 1, 1, 0, 1])
    assert_array_equal(z[:, 2], [0, 0, 1, 0, 1])
    known = beta[:4] / beta[:4].mean()
    assert_allclose(z[:4, 4], (known - known.mean()) / known.std(), atol=0.02)
    assert_allclose(z[:4].mean(axis=0)[4:], 0, atol=1e-12)
    assert_allclose(z[:4].std(axis=0)[4:], 1)
    assert_allclose(z[4, 4:], z[2, 4:])  # the mean of its group


def test_momentum_is_the_year_before_the_last_four_weeks():
    rng = np.random.default_rng(5)
    steps = 0.02 * rng.standard_normal((300, 4))
    levels = np.cumsum(steps, axis=0)
    table = closes(dict(zip("abcd", 100 * np.exp(levels.T), strict=True)))
    day = int(table.days[-1])
    first, last = np.searchsorted(table.days, [day - 365, day - 28], side="right") - 1
    momentum = levels[last] - levels[first]
    names, z = characteristics(table, day, np.array(["stock"] * 4), np.array(list("wxyz")))
    assert names[-1] == "momentum"
    assert_allclose(z[:, -1], (momentum - momentum.mean()) / momentum.std())


def test_market_beta_is_of_daily_returns_in_the_last_days():
    """A return over two days, as after a missing close, is no daily one: it counts nowhere."""
    rng = np.random.default_rng(6)
    steps = 0.01 * rng.standard_normal((60, 3))
    prices = 100 * np.exp(np.cumsum(steps, axis=0))
    prices[50, 2] = NAN
    table = closes(dict(zip("abc", prices.T, strict=True)))
    daily = np.ma.array(steps)
    daily[50:52, 2] = np.ma.masked
    daily = daily[-20:]
    market = daily.mean(axis=1)
    expected = []
    for own in daily.T:
        x, y = market[~own.mask], own.compressed()
        expected.append(np.cov(x, y, ddof=0)[0, 1] / x.var())
    assert_allclose(table.market_beta(int(table.days[-1]), window=20), expected)


def test_levels_that_are_not_known_take_the_median_of_their_class():
    x = np.array([[[1.0], [3.0], [NAN], [7.0]], [[NAN], [NAN], [NAN], [2.0]], [[NAN], [NAN], [NAN], [NAN]]])
    found = fill_by_class(x, np.array([0, 0, 0, 1]))
    assert_array_equal(found[:, :, 0], [[1, 3, 2, 7], [2, 2, 2, 2], [0, 0, 0, 0]])


def test_a_calendar_with_gaps_is_filled_by_its_own_season():
    days = 1000 + np.array([0, 91, 182, 273, 364, 455])
    filled = seasonal_announcements(days, since=600, until=2000)
    assert_array_equal(filled[:4], [636, 727, 818, 909])
    assert_array_equal(filled[4:10], days)
    assert_array_equal(filled[10:], 1455 + np.array([91, 182, 273, 364, 455]))
    kept_up = seasonal_announcements(days, since=950, until=1500)
    assert_array_equal(kept_up, days)
    # What lies beyond the end of the forecast period does not matter.
    assert_array_equal(seasonal_announcements(days, since=950, until=1200), days[:3])
    assert len(seasonal_announcements(days[:0], since=0, until=2000)) == 0
