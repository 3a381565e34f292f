import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bdfm.data.periods import describe, period_edges


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
    found = edges("2024-03-30", period="month", n_past=2, n_future=1)
    assert found.equals(days("2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"))


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
