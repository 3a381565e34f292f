"""Panels of market days: which days, which returns, which day an announcement moves, nothing later."""

import numpy as np
import pandas as pd
import pytest

from bdfm.data.panel import Panel
from bdfm.data.periods import horizon_of, period_edges
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError

DAYS = PanelSettings(period="day", n_periods=60)
HOLIDAY = pd.Timestamp("2021-11-25")  # Thanksgiving, when no asset trades
LOCAL = pd.Timestamp("2021-12-08")  # a holiday of C alone


def prices(end="2021-12-31", seed=1):
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2021-06-01", end)
    days = days[days != HOLIDAY]
    table = pd.DataFrame(
        100 * np.exp(np.cumsum(0.01 * rng.standard_normal((len(days), 4)), axis=0)), days, list("ABCD")
    )
    table.loc[LOCAL, "C"] = np.nan
    return table


UNIVERSE = pd.DataFrame({"symbol": list("ABCD"), "asset_class": ["stock"] * 3 + ["bond"]})


def panel(origin="2021-12-31", table=None, **parts):
    table = prices() if table is None else table
    return Panel.from_prices(table, UNIVERSE, origin=origin, **{"settings": DAYS, "accept": None} | parts)


def test_periods_are_market_days():
    made = panel(horizon=3)
    ends = pd.DatetimeIndex(made.history["period"].to_numpy())
    assert len(ends) == 60
    assert ends[-1] == pd.Timestamp("2021-12-31")
    assert HOLIDAY not in ends
    assert (ends.day_of_week < 5).all()
    ahead = pd.DatetimeIndex(made.future["period"].to_numpy())
    assert list(ahead.strftime("%F")) == ["2022-01-03", "2022-01-04", "2022-01-05"]
    assert "60 periods of one market day" in repr(made)


def test_returns_are_those_of_one_day():
    table, made = prices(), panel()
    returns = made.history["log_returns"].to_pandas()
    whole = np.log(table).diff()
    after = table.index[table.index > LOCAL][0]
    for day, row in returns.iterrows():
        for asset, value in row.items():
            if asset == "C" and day in (LOCAL, after):  # none, and the return of two days
                assert np.isnan(value)
            else:
                assert value == pytest.approx(whole.loc[day, asset], abs=1e-12)
    # over the holiday of all, from the close before it
    friday = pd.Timestamp("2021-11-26")
    assert returns.loc[friday, "A"] == pytest.approx(
        np.log(table.loc[friday, "A"] / table["A"].loc[:HOLIDAY].iloc[-1])
    )


def test_an_origin_at_the_weekend_ends_the_last_day():
    friday, sunday = panel("2021-12-17"), panel("2021-12-19", horizon=2)
    np.testing.assert_array_equal(friday.history["log_returns"], sunday.history["log_returns"])
    assert sunday.history["period"].to_numpy()[-1] == np.datetime64("2021-12-19")
    assert list(pd.DatetimeIndex(sunday.future["period"].to_numpy()).strftime("%F")) == [
        "2021-12-20",
        "2021-12-21",
    ]


def test_short_data_give_fewer_days():
    made = panel(table=prices().iloc[-40:])
    assert made.n_history == 39
    assert np.isfinite(made.history["log_returns"].to_numpy()).mean() > 0.97


def test_an_announcement_flags_the_day_that_it_moves():
    calendar = pd.DataFrame(
        {
            "symbol": ["A", "A", "B", "B", "D", "C"],
            "date": pd.to_datetime(
                ["2021-11-10", "2021-11-16", "2021-11-24", "2021-11-26", "2021-12-31", "2022-01-04"]
            ),
            "session": ["pre", "post", "post", "POST", "post", ""],
        }
    )
    made = panel(horizon=3, earnings=calendar)
    flags = made.dataset["earnings"].to_pandas()
    found = {(asset, f"{day:%F}") for (day, asset), x in flags.stack().items() if x}
    assert found == {
        ("A", "2021-11-10"),
        ("A", "2021-11-17"),
        ("B", "2021-11-26"),  # after the holiday
        ("B", "2021-11-29"),  # after the weekend
        ("D", "2022-01-03"),
        ("C", "2022-01-04"),
    }
    monthly = panel(settings=PanelSettings(n_periods=30, period=5), earnings=calendar)
    assert monthly.dataset["earnings"].sum() >= 4  # their session is not looked at


def test_nothing_after_the_origin_is_read():
    origin = "2021-11-30"
    table = prices()
    before = panel(origin, table, horizon=3)
    rng = np.random.default_rng(3)
    after = table.copy()
    later = after.index > origin
    after.loc[later] = np.exp(rng.standard_normal((later.sum(), 4)))
    after.loc[after.index[later][::2]] = np.nan
    same = panel(origin, after, horizon=3)
    for name in before.dataset.data_vars:
        np.testing.assert_array_equal(before.dataset[name], same.dataset[name], err_msg=name)
    assert before.dataset.identical(panel(origin, table.loc[:origin], horizon=3).dataset)


def test_edges_without_prices_are_weekdays():
    edges = period_edges(pd.Timestamp("2020-01-03"), period="day", n_past=2, n_future=2)
    assert list(edges.strftime("%a %d")) == ["Wed 01", "Thu 02", "Fri 03", "Mon 06", "Tue 07"]


def test_weekly_prices_are_too_few():
    weekly = prices().iloc[::5]
    with pytest.raises(DataError, match="too few for periods of one market day"):
        panel(table=weekly, origin=weekly.index[-1])


@pytest.mark.parametrize(
    ("value", "periods"),
    [(None, 1), (3, 3), ("5d", 5), ("20", 20), ("2022-02-07", 1), ("2022-03-04", 20), ("2022-02-12", 5)],
)
def test_horizons_in_market_days(value, periods):
    origin = pd.Timestamp("2022-02-04")
    assert horizon_of(value, "day", origin, where="horizon").periods == periods


@pytest.mark.parametrize(
    ("value", "period", "told"),
    [
        ("2022-02-04", "day", "2022-02-04 is not after the origin"),
        ("0d", "day", "0 periods; 1 to 260 are possible"),
        ("2030-01-01", "day", "1 to 260 are possible"),
        ("5d", 28, "no number of periods of 28 days"),
        ("2022-03-18", "month", "no number of periods of calendar months"),
        ("soon", "day", "soon"),
    ],
)
def test_other_horizons_are_refused(value, period, told):
    with pytest.raises(DataError, match=told):
        horizon_of(value, period, pd.Timestamp("2022-02-04"), where="--horizon")


def test_two_periods_of_weeks_are_a_horizon_too():
    assert horizon_of("2", 28, pd.Timestamp("2022-02-04"), where="--horizon") == (2, "2p")
