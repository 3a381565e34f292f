"""Periods of returns and of models: where the first one begins, and none lost on the way."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, DataWarning
from bdfm.forecast.forecast import Forecast
from bdfm.risk import (
    CrossSectionalEstimator,
    compounded,
    forecast_given_loss,
    portfolio_returns,
    simple_returns,
)

DAYS = pd.bdate_range("2020-12-01", "2021-06-30")
DAILY = pd.DataFrame({"market": np.random.default_rng(3).normal(0, 0.01, len(DAYS))}, DAYS)


def by_hand(first, last):
    return float((1 + DAILY["market"].loc[first:last]).prod() - 1)


@pytest.mark.parametrize(
    ("ends", "first", "last"),
    [
        (["2021-01-08", "2021-01-11"], "2021-01-08", "2021-01-08"),  # a Friday, and the Monday after
        (["2021-01-11", "2021-01-12", "2021-01-13"], "2021-01-11", "2021-01-11"),
        (["2021-01-08", "2021-01-15", "2021-01-22"], "2021-01-04", "2021-01-08"),
        (["2021-01-08", "2021-01-14", "2021-01-22"], "2021-01-04", "2021-01-08"),  # a holiday
        (["2021-01-29", "2021-02-26", "2021-03-31"], "2021-01-01", "2021-01-29"),  # last market days
        (["2021-01-31", "2021-02-28", "2021-03-31"], "2021-01-01", "2021-01-29"),
        (["2021-02-26", "2021-03-31", "2021-04-30"], "2021-02-01", "2021-02-26"),
        (["2021-02-15", "2021-03-15", "2021-04-15"], "2021-01-18", "2021-02-15"),  # from the 16th, a Saturday
        (["2021-03-31", "2021-06-30"], "2021-01-01", "2021-03-31"),
        (["2021-02-26", "2021-03-31"], "2021-02-01", "2021-02-26"),
        (["2021-01-29", "2021-02-05"], "2021-01-25", "2021-01-29"),  # a week, though the one ends a month
        (["2021-01-12", "2021-01-19", "2021-01-26", "2021-02-02"], "2021-01-06", "2021-01-12"),
        (["2021-01-08", "2021-01-13", "2021-01-18", "2021-01-21"], "2021-01-06", "2021-01-08"),  # 3 days each
        (["2021-01-08"], "2021-01-08", "2021-01-08"),
    ],
)
def test_the_first_period_is_as_long_as_the_others(ends, first, last):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        found = compounded(DAILY, pd.DatetimeIndex(ends))
        if len(ends) > 1:  # of a table that begins with it, too
            pd.testing.assert_frame_equal(compounded(DAILY.loc[first:], pd.DatetimeIndex(ends)), found)
    assert found.iloc[0, 0] == pytest.approx(by_hand(first, last))
    if len(ends) > 1:
        after = DAYS[DAYS > ends[0]][0]
        assert found.iloc[1, 0] == pytest.approx(by_hand(after, ends[1]))


@pytest.mark.parametrize(
    ("ends", "start"),
    [
        (["2021-01-29", "2021-02-26", "2021-03-31"], "2021-01-18"),
        (["2021-01-08", "2021-01-15", "2021-01-22"], "2021-01-07"),
        (["2021-01-28", "2021-02-25", "2021-03-25"], "2021-01-19"),
        (["2021-01-11", "2021-01-19", "2021-01-26", "2021-02-02"], "2021-01-11"),
        (["2021-01-08", "2021-01-13", "2021-01-18", "2021-01-21"], "2021-01-07"),  # two days of three
    ],
)
def test_a_table_that_begins_late_is_told(ends, start):
    """Its first period was shorter without a word."""
    with pytest.warns(DataWarning, match=rf"begins on {start}, after the first of .*ending {ends[0]}"):
        found = compounded(DAILY.loc[start:], pd.DatetimeIndex(ends))
    assert found.iloc[0, 0] == pytest.approx(by_hand(start, ends[0]))


@pytest.mark.parametrize("period", ["5d", "1w", "4w", "1m"])
def test_factors_that_begin_with_the_prices_are_never_late(period):
    """Whatever holidays the first period has: returns of 100 tables that begin on any day."""
    rng = np.random.default_rng(2)
    days = pd.bdate_range("2015-01-01", "2021-12-31").delete([0, 90, 91, 92, 256, 257])
    prices = pd.DataFrame(100 * np.exp(rng.normal(0, 0.01, (len(days), 2)).cumsum(axis=0)), days, ["A", "B"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        for start in range(0, 300, 3):
            table = prices.iloc[start : start + 400]
            ends = simple_returns(table, period=period, accept=None).index
            compounded(simple_returns(table, accept=None), ends, accept=None)


def test_a_holiday_and_weekly_rows_are_not_late():
    """From the Tuesday after a Monday without a market; of rows a week apart, from the first of four."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        compounded(DAILY.loc["2021-01-05":], pd.DatetimeIndex(["2021-01-08", "2021-01-15", "2021-01-22"]))
        weeks = DAILY.loc["2020-12-04":].iloc[::5]
        compounded(weeks, weeks.index[3::4])


def test_a_model_of_other_exposures_is_of_the_same_period():
    rng = np.random.default_rng(1)
    assets = [f"A{i}" for i in range(12)]
    weeks = pd.date_range("2020-01-03", periods=40, freq="7D")
    returns = pd.DataFrame(rng.normal(0, 0.03, (40, 12)), weeks, assets)
    estimator = CrossSectionalEstimator(categories={"sector": pd.Series(["x", "y"] * 6, assets)})
    model = estimator.fit(returns)
    month = estimator.at(model.scale_to(4), weeks[-1])
    assert month.periods == 4
    assert np.allclose(month.scale_to(4).covariance(), 4 * model.covariance())


def test_members_count_in_order_of_time():
    months = pd.date_range("2020-01-31", periods=8, freq="ME")
    returns = pd.DataFrame(np.random.default_rng(1).normal(0, 0.03, (8, 4)), months, list("ABCD"))
    members = pd.DataFrame(
        [["low", "low", "high", "high"], ["high", "high", "low", "low"]], months[[0, 4]], list("ABCD")
    )
    found = portfolio_returns(returns, members, ["low", "high"])
    assert np.allclose(found["low"].iloc[[0, -1]], [returns.iloc[1, :2].mean(), returns.iloc[-1, 2:].mean()])
    pd.testing.assert_frame_equal(portfolio_returns(returns, members.iloc[::-1], ["low", "high"]), found)
    with pytest.raises(DataError, match="2020-01-31"):
        portfolio_returns(returns, members.iloc[[0, 0, 1]], ["low", "high"])


def test_a_window_of_nothing_is_refused():
    prices = 100 * (1 + DAILY).cumprod()
    assert len(simple_returns(prices, window=5)) == 5
    with pytest.raises(DataError, match="window must be a whole number of at least 1"):
        simple_returns(prices, window=0)


def test_cash_earns_nothing_where_a_loss_is_given():
    r = np.random.default_rng(1).normal(0, 0.03, (2000, 2))
    f = Forecast.from_draws(
        r, assets=["A", "B"], asset_class=["x"] * 2, origin="2022-01-07", end="2022-02-04"
    )
    found = forecast_given_loss(f, {"A": 0.4, "CASH": 0.6}, 0.01)
    pd.testing.assert_frame_equal(found, forecast_given_loss(f, {"A": 0.4}, 0.01))
