import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdfm.data.periods import describe, ends_month, period_edges, trading_days_between
from bdfm.data.sources import read_prices


def days(*texts):
    return pd.DatetimeIndex(texts).as_unit("ns")


def edges(origin, **kwargs):
    return period_edges(pd.Timestamp(origin), **kwargs)


def test_day_periods_count_back_from_the_origin():
    found = edges("2022-03-04", period=28, n_past=2, n_future=1)
    assert found.equals(days("2022-01-07", "2022-02-04", "2022-03-04", "2022-04-01"))


def test_months_keep_the_day_of_the_month():
    found = edges("2022-03-15", period="month", n_past=2, n_future=1)
    assert found.equals(days("2022-01-15", "2022-02-15", "2022-03-15", "2022-04-15"))


def test_months_without_that_day_end_on_their_last():
    found = edges("2023-03-30", period="month", n_past=2, n_future=1)
    assert found.equals(days("2023-01-30", "2023-02-28", "2023-03-30", "2023-04-30"))


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("2021-07-30", ["2021-05-31", "2021-06-30", "2021-07-30", "2021-08-31", "2021-09-30"]),  # Friday
        ("2021-02-26", ["2020-12-31", "2021-01-31", "2021-02-26", "2021-03-31", "2021-04-30"]),
        ("2022-10-30", ["2022-08-30", "2022-09-30", "2022-10-30", "2022-11-30", "2022-12-30"]),  # Monday left
        ("2024-03-28", ["2024-01-31", "2024-02-29", "2024-03-28", "2024-04-30", "2024-05-31"]),  # Good Friday
        ("2021-05-28", ["2021-03-31", "2021-04-30", "2021-05-28", "2021-06-30", "2021-07-31"]),  # last Monday
        ("2021-07-29", ["2021-05-29", "2021-06-29", "2021-07-29", "2021-08-29", "2021-09-29"]),  # Friday left
    ],
)
def test_a_month_whose_last_trading_day_is_the_origin_ends_there_and_others_on_their_last(origin, expected):
    found = edges(origin, period="month", n_past=2, n_future=2)
    assert found.equals(days(*expected))


def test_the_last_trading_day_is_found_as_the_new_york_calendar_has_it():
    # Every weekday from 2015 to 2023: a month ends with the last one that is no New York holiday.
    calendar = pd.bdate_range("2015-01-01", "2023-12-31")
    closed = days("2018-03-30", "2021-05-31")  # the only holidays that end a month in these years
    traded = calendar.difference(closed)
    last = traded.to_series().groupby([traded.year, traded.month]).max()
    assert len(last) == 108
    assert [d for d in traded if ends_month(d)] == list(last)


@pytest.mark.parametrize("origin", ["2023-02-28", "2024-02-29", "2023-04-30", "2023-12-31"])
def test_month_ends_stay_month_ends(origin):
    found = edges(origin, period="month", n_past=30, n_future=2)
    assert len(found) == 33
    assert found.is_month_end.all()
    assert found[30] == pd.Timestamp(origin)


@given(
    st.dates(min_value=pd.Timestamp("1990-01-01").date(), max_value=pd.Timestamp("2040-01-01").date()),
    st.one_of(st.just("month"), st.integers(1, 90)),
    st.integers(1, 40),
    st.integers(0, 5),
)
def test_edges_ascend_through_the_origin(origin, period, n_past, n_future):
    found = edges(origin, period=period, n_past=n_past, n_future=n_future)
    assert len(found) == n_past + n_future + 1
    assert found[n_past] == pd.Timestamp(origin)
    assert found.is_monotonic_increasing
    assert found.is_unique


def test_describe():
    assert describe(28) == "28 days"
    assert describe("month") == "calendar months"


def test_trading_days_after_the_end_of_a_file_are_weekdays_without_holidays(m6_dir):
    """Those of the file count as they are; after its end the calendar says what it would hold."""
    days = read_prices(m6_dir / "prices.csv.gz").index
    moved = days[np.flatnonzero(read_prices(m6_dir / "prices.csv.gz")["IVV"].diff().fillna(1.0))]
    new_york = moved[(moved > "2009-12-31") & (moved <= "2021-12-31")]  # when its price changed: it traded
    ahead = trading_days_between(days[0], pd.Timestamp("2021-12-31"), days[days <= "2009-12-31"])
    ahead = ahead[ahead > "2009-12-31"]
    assert not set(new_york) - set(ahead)
    other = ahead.difference(new_york)  # equal closes, a storm in 2012, a funeral in 2018
    assert {"2012-10-29", "2012-10-30", "2018-12-05"} <= {f"{d:%Y-%m-%d}" for d in other}
    assert len(other) < 12
    friday, sunday = pd.Timestamp("2021-12-31"), pd.Timestamp("2022-01-02")
    assert not len(trading_days_between(friday, sunday, days))
    assert list(trading_days_between(sunday, friday + pd.Timedelta(days=3), days[days <= friday])) == [
        pd.Timestamp("2022-01-03")
    ]
