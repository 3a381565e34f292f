"""Doubts of small splits, of rows of means, of columns of another day: when they say no."""

import doubt_cases as cases
import numpy as np
import pandas as pd
import pytest

from bdfm.data.doubts import calendar
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.pairs import shifted_days
from bdfm.data.doubts.tables import Tables
from bdfm.data.panel import Panel
from bdfm.data.sources import demo, read_prices
from bdfm.errors import DataError, DataWarning
from bdfm.risk import StatisticalEstimator

NEW = ("summary-row", "shifted-days")


def seen(rule, **given):
    return [f.seen for f in examine(Tables("risk", **given)) if f.rule == rule]


def of(found, rule):
    return [f for f in found if f.rule == rule]


def market_day(prices, least, most):
    """Row of a day on which the median asset moves by so many sds."""
    market = np.log(prices).diff().median(axis=1)
    size = (market.abs() / (1.4826 * market.abs().median())).to_numpy()
    return int(np.flatnonzero((size[100:600] > least) & (size[100:600] < most))[0]) + 100


@pytest.mark.parametrize(
    ("least", "most", "factor", "told"),
    [(0, 0.5, 1 / 1.5, True), (0, 0.5, 0.65, True), (2, 9, 1 / 1.5, False), (0, 0.5, 0.72, False)],
)
def test_falls_by_a_third(least, most, factor, told):
    """Told on quiet days of the market, and near a third."""
    prices = cases.clean_prices()
    row = market_day(prices, least, most)
    step = prices["S3"].iloc[row] / prices["S3"].iloc[row - 1]
    prices.iloc[row:, 3] *= factor / step  # the whole step is the factor
    assert any("3 for 2" in x for x in seen("unit-step", prices=prices)) is told
    few = seen("unit-step", prices=prices[["S3", "S4"]])  # no market that could be quiet
    assert not any("3 for 2" in x for x in few)


def test_a_fall_by_a_third_that_comes_back_is_no_split():
    prices = cases.clean_prices()
    row = market_day(prices, 0, 0.5)
    prices.iloc[row : row + 2, 3] /= 1.5
    assert not any("3 for 2" in x for x in seen("unit-step", prices=prices))


@pytest.mark.parametrize("what", ["mean", "sum"])
@pytest.mark.parametrize("columns", [1, 2, 8])
def test_a_row_of_means_or_totals(what, columns):
    prices = cases.clean_prices().iloc[:, :columns]
    row = getattr(prices.iloc[:-1], what)()
    odd = prices.copy()
    odd.iloc[-1] = row
    assert seen("summary-row", prices=odd) == [
        f"the last row, of {odd.index[-1]:%Y-%m-%d}, holds the {what}s of the {columns} columns above it"
    ]
    assert not seen("summary-row", prices=prices)
    odd.iloc[-1, 0] *= 1.01
    assert not seen("summary-row", prices=odd)
    assert not seen("summary-row", prices=prices.iloc[:15])
    odd.iloc[-1, 0] = row.iloc[0]
    rounded = odd.assign(cash=1.0).round(2)
    assert bool(seen("summary-row", prices=rounded)) is (columns == 8)
    universe = pd.DataFrame({"symbol": list(odd.columns), "asset_class": "x"})
    if columns == 8:
        with pytest.raises(DataError, match=r"\[summary-row\]"):
            Panel.from_prices(odd, universe, origin=odd.index[-1])


def test_rows_of_means_of_returns_and_factors():
    returns = cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    returns.iloc[-1] = returns.iloc[:-1].mean()
    assert len(seen("summary-row", returns=returns)) == 1
    assert len(seen("summary-row", factors=returns)) == 1


def test_columns_of_another_day():
    prices = cases.clean_prices()
    assert not seen("shifted-days", prices=prices)
    assert len(seen("shifted-days", prices=prices.assign(S2=prices["S2"].shift(1)))) == 1
    two = prices.assign(S2=prices["S2"].shift(1), S4=prices["S4"].shift(1))
    assert not seen("shifted-days", prices=two)  # a market that closes before the other
    assert not seen("shifted-days", prices=prices[["S0", "S1", "S2"]].assign(S2=prices["S2"].shift(1)))
    short = prices.assign(S2=prices["S2"].shift(1)).iloc[-200:]
    assert not seen("shifted-days", prices=short)
    weekly = prices.assign(S2=prices["S2"].shift(1)).iloc[::5]
    assert not seen("shifted-days", prices=weekly)
    own = 50 * np.exp(0.01 * np.random.default_rng(5).standard_normal(len(prices)).cumsum())
    assert not seen("shifted-days", prices=prices.assign(S2=own))  # which has nothing to do with the others


def test_the_demo_raises_none_of_them():
    prices, _ = demo()
    assert not [f for f in examine(Tables("check", prices=prices)) if f.rule in NEW or "3 for 2" in f.seen]


def test_real_prices_raise_few(m6_dir):
    """Of 100 assets in 22 years two falls of a third on quiet days, both of them news: CNC and URI."""
    prices = read_prices(m6_dir / "prices.csv.gz")
    tables = Tables("check", prices=prices, origin=pd.Timestamp("2022-02-04"))
    found = examine(tables)
    assert not [f for f in found if f.rule in NEW]
    small = [f for f in found if "3 for 2" in f.seen and float(f.seen.split(": ")[1].split("%")[0]) > -37.4]
    assert sorted(f.labels[0] for f in small) == ["CNC", "URI"]
    late = prices.assign(AAPL=prices["AAPL"].shift(1)) if "AAPL" in prices else prices
    some = list(shifted_days(Tables("check", prices=late)))
    assert [f.labels for f in some] == ([("AAPL",)] if "AAPL" in prices else [])


def test_the_way_of_a_shift_is_right_where_the_other_is_not_known():
    """Of 250 usable steps one link is of 250 and the other of 249, which is none."""
    prices = cases.clean_prices()
    prices = prices.assign(S2=prices["S2"].shift(1))
    for rows in range(240, 300):
        short = prices.assign(S2=prices["S2"].where(np.arange(len(prices)) >= len(prices) - rows))
        for text in seen("shifted-days", prices=short):
            assert "on the day before" in text
            assert "nan" not in text


def test_one_coarse_column_among_many_is_no_row_of_means():
    """A rate in steps of a basis point hits its own mean now and then while all others have no return."""
    days = pd.bdate_range("2020-01-01", periods=41)
    factors = pd.DataFrame(np.nan, days, ["Mkt", "SMB", "HML", "RF"])
    factors.iloc[:-1] = np.random.default_rng(1).normal(0, 1, (40, 4))
    factors["RF"] = [0.01, 0.03] * 20 + [0.02]
    assert not seen("summary-row", factors=factors)
    factors.iloc[-1] = factors.iloc[:-1].mean()
    assert len(seen("summary-row", factors=factors)) == 1


def bonds_beside(kind):
    """Short bonds of 0.06 % a day, and factors: as they are, or in percent."""
    rng = np.random.default_rng(4)
    days = cases.DAYS[:700]
    level = rng.standard_normal((700, 1))
    moves = 0.0006 * (0.8 * level + 0.6 * rng.standard_normal((700, 5)))
    prices = pd.DataFrame(100 * np.exp(np.cumsum(moves, axis=0)), days, [f"B{k}" for k in range(5)])
    duration = 0.0007 * (0.9 * level[:, 0] + 0.4 * rng.standard_normal(700))
    vix = 0.07 * (0.25 * level[:, 0] + rng.standard_normal(700))
    stocks = -0.15 * vix + 0.005 * rng.standard_normal(700)
    factors = {
        "VIX alone": {"VIX": vix},
        "VIX and stocks": {"VIX": vix, "MKT": stocks},
        "VIX and duration": {"VIX": vix, "DURATION": duration},
        "duration in percent": {"DURATION": 100 * duration},
        "two in percent": {"DURATION": 100 * duration, "CREDIT": 100 * np.roll(duration, 300)},
        "duration in percent beside VIX": {"DURATION": 100 * duration, "VIX": vix},
    }[kind]
    return prices, pd.DataFrame(factors, days)


@pytest.mark.parametrize(
    ("kind", "told"),
    [("VIX alone", False), ("VIX and stocks", False), ("VIX and duration", False),
     ("duration in percent", True), ("two in percent", True), ("duration in percent beside VIX", True)],
)  # fmt: skip
def test_lively_factors_beside_quiet_assets(kind, told):
    """In another unit are factors that are too lively, all of them, and that assets move with."""
    prices, factors = bonds_beside(kind)
    found = [f for f in examine(Tables("risk", prices=prices, factors=factors)) if f.rule == "factor-unit"]
    assert bool(found) is told
    assert all("the quietest factor" in f.seen and f.severity == "refuse" for f in found)
    with_rate = factors.assign(RF=1e-5)
    again = [f for f in examine(Tables("risk", prices=prices, factors=with_rate)) if f.rule == "factor-unit"]
    assert bool(again) is told


def test_quiet_factors_beside_lively_assets():
    prices, factors = bonds_beside("VIX and duration")
    prices = 100 * (1 + np.clip(50 * prices.pct_change(fill_method=None), -0.5, 0.5)).cumprod()
    for told, given in ((True, factors[["DURATION"]]), (False, factors)):
        found = [f for f in examine(Tables("risk", prices=prices, factors=given)) if f.rule == "factor-unit"]
        assert bool(found) is told
        assert all("the liveliest factor" in f.seen for f in found)


@pytest.mark.parametrize("origin", [None, cases.DAYS[-60]])
@pytest.mark.parametrize(
    "form", [list, pd.DatetimeIndex, lambda d: d.tz_localize("UTC"), lambda d: d.astype(str)]
)
def test_days_after_today(monkeypatch, form, origin):
    """Whatever the origin, and as long as there is a value on them."""
    monkeypatch.setattr(calendar, "today", lambda: cases.DAYS[-4])
    prices = cases.clean_prices().set_axis(form(cases.DAYS))
    (found,) = of(examine(Tables(prices=prices, origin=origin)), "future-days")
    assert found.severity == "warn"
    assert found.days == tuple(f"{d:%Y-%m-%d}" for d in cases.DAYS[-3:])
    assert found.seen.startswith(f"3 rows of {cases.N_DAYS} dated after today")
    prices.iloc[-3:] = np.nan
    assert not of(examine(Tables(prices=prices, origin=origin)), "future-days")
    monkeypatch.setattr(calendar, "today", lambda: cases.DAYS[-1])
    assert not examine(Tables(prices=cases.clean_prices()))


def test_prices_that_are_not_daily_may_be_dated_by_the_end_of_their_period(monkeypatch):
    months = pd.date_range("2015-01-31", periods=60, freq="ME")
    prices = cases.clean_prices().iloc[:60].set_axis(months)
    for today, n in ((months[-1] - pd.Timedelta(days=28), 0), (months[-2] - pd.Timedelta(days=2), 1)):
        monkeypatch.setattr(calendar, "today", lambda today=today: today)
        assert len(of(examine(Tables(prices=prices)), "future-days")) == n


def test_today_is_the_last_day_that_has_begun_anywhere():
    now = pd.Timestamp.now("UTC").tz_localize(None)
    assert now.normalize() <= calendar.today() <= now + pd.Timedelta(hours=14)


# Columns that were computed


@pytest.mark.parametrize("what", ["mean", "sum"])
def test_a_column_of_totals_or_means(what):
    prices = cases.clean_prices()
    odd = prices.assign(All=getattr(prices, what)(axis=1).round(2))
    assert seen("summary-column", prices=odd) == [f"All is the {what} of the 8 columns beside it"]
    holes = odd.mask(np.random.default_rng(2).random(odd.shape) < 0.02)
    holes["All"] = getattr(holes[prices.columns], what)(axis=1)  # of those that have a price
    assert seen("summary-column", prices=holes)
    assert not seen("summary-column", prices=odd.assign(All=1.002 * odd["All"]))
    assert not seen("summary-column", prices=odd.drop(columns="S3"))
    assert not seen("summary-column", prices=odd[["S0", "S1", "All"]])
    assert not seen("summary-column", prices=pd.concat([odd.iloc[:600], prices.assign(All=99.0).iloc[600:]]))
    universe = pd.DataFrame({"symbol": list(odd.columns), "asset_class": "x"})
    with pytest.raises(DataError, match=r"\[summary-column\]"):
        Panel.from_prices(odd, universe, origin=odd.index[-1])


def test_prices_that_trend_or_repeat_are_not_smoothed():
    """Not funds that accrue interest, not what rises nearly every day, not what stands still in between."""
    prices = cases.clean_prices()
    n = np.arange(len(prices))
    noise = np.random.default_rng(6).standard_normal(len(prices))
    interest = np.cumsum(1e-4 + 5e-5 * np.sin(n / 100))
    prices["cash"] = 100 * np.exp(interest)
    prices["trend"] = np.exp(np.cumsum(0.003 + 0.001 * noise))
    prices["seldom"] = prices["S1"].where(n % 3 == 0).ffill()
    assert not seen("smoothed", prices=prices)
    assert not seen("smoothed", prices=prices.iloc[:150].rolling(5).mean().dropna())  # too few days to say
    part = prices.drop(columns="seldom")
    part.iloc[:230] = part.iloc[:230].rolling(10).mean().bfill()
    assert not seen("smoothed", prices=part)  # a third of too few days
    longer = pd.concat([part.iloc[:230]] * 2 + [prices] * 2)
    longer = longer.set_axis(pd.bdate_range("2010-01-04", periods=len(longer)))
    assert seen("smoothed", prices=longer[["S0", "S1", "S2"]])


@pytest.mark.parametrize(
    ("rates", "basis", "spread"),
    [
        ([0.05, 0.05], 252, 0.0),
        ([0.01, 0.05, 0.053, 0.043], 252, 0.0),
        ([0.01, 0.05, 0.053, 0.043], 365, 0.0),  # three days of interest on Mondays
        ([0.005, 0.08], 252, 4e-5),  # as a fund of bills is traded
        ([0.15, 0.1475], 252, 0.0),
        ([0.02, 0.1375, 0.105, 0.15], 252, 0.0),
        ([0.08, 0.5], 252, 0.0),
    ],
)
def test_a_fund_that_accrues_interest_is_not_smoothed(rates, basis, spread):
    """At rates that a central bank moves by steps every sixth week."""
    prices = cases.clean_prices()
    step = np.arange(len(prices)) // 30 * 30
    yearly = np.interp(step, np.linspace(0, len(prices), len(rates)), rates)
    days = np.diff(prices.index.to_numpy(), prepend=prices.index.to_numpy()[:1]) / np.timedelta64(1, "D")
    share = 1.0 if basis == 252 else days
    noise = spread * np.random.default_rng(7).standard_normal(len(prices))
    prices["cash"] = 100 * np.exp(np.cumsum(yearly * share / basis + noise))
    assert not seen("smoothed", prices=prices)


def test_one_coin_in_two_quotes_is_no_sum():
    prices = cases.clean_prices().iloc[:, :3]
    coin, noise = (
        60_000 * prices["S0"] / prices["S0"].iloc[0],
        np.random.default_rng(5).standard_normal(len(prices)),
    )
    coins = pd.DataFrame({"BTC-USD": coin, "BTC-USDT": coin * (1 + 1e-5 * noise)}).round(2)
    coins = coins.assign(DOGE=0.001 * prices["S1"], XRP=0.002 * prices["S2"])
    assert not seen("summary-column", prices=coins)
    stable = pd.DataFrame(1 + 4e-5 * np.random.default_rng(6).standard_normal((len(prices), 5)), prices.index)
    assert not seen("summary-column", prices=stable.add_prefix("USD"))


def test_stablecoins_are_no_returns_plus_one():
    """They are told of, as pegs are; 1 + r of what moves as stocks or bonds do is refused."""
    prices, rng = cases.clean_prices(), np.random.default_rng(5)
    coins = prices.iloc[:, :2].assign(
        **{f"USD{i}": 1 + 3e-4 * rng.standard_normal(len(prices)) for i in "TCD"}
    )
    found = of(examine(Tables("risk", prices=coins)), "not-prices")
    assert {f.severity for f in found} == {"warn"}
    bonds = coins.assign(**{f"USD{i}": 1 + 2e-3 * rng.standard_normal(len(prices)) for i in "TCD"})
    assert {f.severity for f in of(examine(Tables("risk", prices=bonds)), "not-prices")} == {"refuse"}


def of_one_price(n, price=1.0):
    return {f"CASH{i}": price for i in range(n)}


def test_assets_that_stay_at_one_price_do_not_begin_anew():
    """Cash, whatever its share; coins that come back to 1; bonds that are paid back."""
    prices = cases.clean_prices()
    assert not seen("begun-anew", prices=prices.iloc[:, :2].assign(**of_one_price(9)))
    assert not seen("begun-anew", prices=prices.assign(**of_one_price(9)))
    rng = np.random.default_rng(8)
    stable = np.round(1 + 3e-4 * rng.standard_normal((len(prices), 10)), 3)
    stable[200] = np.linspace(0.95, 0.98, 10)
    stable[201:] = 1.0
    assert not seen("begun-anew", prices=pd.DataFrame(stable, prices.index).add_prefix("USD"))
    bonds = 100 + np.cumsum(0.05 * rng.standard_normal((len(prices), 10)), axis=0)
    bonds[-1] = 100.0
    assert not seen("begun-anew", prices=pd.DataFrame(bonds, prices.index).add_prefix("B"))
    # and indices begin anew with cash beside them
    anew = cases._linked(prices, 100 * prices.iloc[300:] / prices.iloc[300])
    assert seen("begun-anew", prices=anew.assign(**of_one_price(7)))
    assert not seen("begun-anew", prices=anew.iloc[:, :7])  # of few assets nothing is said


def test_a_few_assets_far_periods_and_single_days_are_no_other_currency():
    prices = cases.clean_prices()
    jump = cases._linked(prices, 2.1 * prices.iloc[300:])
    assert seen("begun-anew", prices=jump)
    assert not seen("begun-anew", prices=jump.iloc[:, :4])
    crash = prices.iloc[:, :3].copy()
    crash.iloc[300:, :2] *= 0.2
    assert not seen("begun-anew", prices=crash)
    months = pd.date_range("1970-01-31", periods=len(prices), freq="ME")
    assert not seen("begun-anew", prices=jump.set_axis(months).iloc[:600])  # crypto in 2017: 2.04 times
    late = jump.index.where(np.arange(len(jump)) < 300, jump.index + pd.Timedelta(days=40))
    assert not seen("begun-anew", prices=jump.set_axis(late))  # a table with a hole
    ratios = np.linspace(1.2, 4.0, 8)  # a mania moves each as far as it goes
    assert not seen("begun-anew", prices=cases._linked(prices, ratios * prices.iloc[300:]))
    spike = prices.copy()
    spike.iloc[300] *= 7.8
    assert not seen("begun-anew", prices=spike)  # which unit-step refuses
    assert seen("unit-step", prices=spike)
    last = prices.copy()
    last.iloc[-1] *= 7.8
    assert seen("begun-anew", prices=last)


def test_days_on_which_a_market_moves_far_are_no_new_start():
    prices = cases.clean_prices()
    crash = prices.copy()
    crash.iloc[300:] *= 0.55  # half of everything, on one day
    assert not seen("begun-anew", prices=crash)
    assert not seen("begun-anew", prices=crash.assign(S0=crash["S0"].round(-2)))
    few = prices.copy()
    few.iloc[300, :3] = 100.0  # three of eight
    assert not seen("begun-anew", prices=few)
    middle = prices.iloc[:, 1:].copy()
    middle.iloc[300:] *= 1.3  # a day on which all move far
    middle.iloc[300, 2:5] = middle.iloc[300].median()  # three of seven, in the middle of the others
    assert not seen("begun-anew", prices=middle)
    coarse = (10 * prices.iloc[:, :3] / prices.iloc[0, :3]).round()
    assert (coarse.nunique(axis=1) == 1).sum() > 10
    assert not seen("begun-anew", prices=coarse)
    assert not seen("begun-anew", prices=100 * prices / prices.iloc[0])  # all begin there
    assert not seen("begun-anew", prices=prices.round(-1))  # coarse prices meet by chance


# Returns that are none


def test_returns_that_are_gross_or_added_up():
    returns = cases.clean_prices().pct_change(fill_method=None).iloc[1:]
    gross, added = returns.assign(S2=1 + returns["S2"]), returns.assign(S3=returns["S3"].cumsum())
    assert not seen("factor-unit", returns=returns)
    assert seen("factor-unit", returns=gross)[0].startswith(
        "S2 has no loss in 699 rows, and a median of 0.99"
    )
    assert seen("factor-unit", returns=added)[0].startswith("S3 has a correlation of")
    assert not seen("factor-unit", returns=returns.abs())  # what only gains, as cash does
    assert not seen("factor-unit", returns=gross.iloc[:19])
    with pytest.raises(DataError, match=r"gross returns, 1 \+ r.*\[factor-unit\]"):
        StatisticalEstimator(2).fit(gross)
    with pytest.warns(DataWarning, match="levels, or returns added up"):
        StatisticalEstimator(2).fit(added)


def test_an_announcement_given_twice_is_one():
    calendar_of_all = cases.clean_earnings()
    assert not seen("earnings", prices=cases.clean_prices(), earnings=pd.concat([calendar_of_all] * 3))
    later = calendar_of_all.assign(date=calendar_of_all["date"] + pd.Timedelta(days=1))
    assert seen("earnings", prices=cases.clean_prices(), earnings=pd.concat([calendar_of_all, later]))
