"""What a panel holds, that it does not look ahead, and what it is as an object."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from panel_case import CLASSES, ORIGIN, SYMBOLS, make, prices_of_days, same, universe_of_classes

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.data.sources import DEMO_ORIGIN, demo, read_earnings, read_prices, read_universe
from bdfm.errors import BdfmError, DataError, DataWarning, UnknownLabelError


@pytest.fixture
def prices():
    return prices_of_days()


@pytest.fixture
def universe():
    return universe_of_classes()


# What it holds


def test_periods_returns_and_labels(prices, universe):
    panel = make(prices, universe.assign(name=["Alpha", "", None, "X", "Y"]))
    data = panel.dataset
    assert panel.n_history == 52  # 2018-01-12 to 2022-01-07; the period before starts on 2017-12-15
    assert panel.n_future == 1
    assert panel.origin == pd.Timestamp(ORIGIN)
    assert data.period.dtype == data.period_start.dtype == "datetime64[ns]"
    assert data.period.values[-1] == np.datetime64("2022-02-04")
    assert data.period_start.values[0] == np.datetime64("2018-01-12")
    assert_array_equal(data.period.values[:-1], data.period_start.values[1:])
    assert panel.assets == tuple(SYMBOLS)
    assert panel.asset_classes == ("stock", "bond_etf")
    assert_array_equal(panel.class_index, [0, 0, 0, 1, 1])
    assert data.class_of.values.tolist() == list(CLASSES.values())
    assert data.name.values.tolist() == ["Alpha", "BB", "CC", "X", "Y"]
    assert data.window.values.tolist() == [5]
    expected = np.log(prices.loc["2021-03-05"] / prices.loc["2021-02-05"])
    assert_allclose(data.log_returns.sel(period="2021-03-05"), expected)
    assert not panel.history.log_returns.isnull().any()
    assert panel.future.log_returns.isnull().all()
    assert not panel.has_earnings
    assert not data.earnings.any()


def test_features_of_the_period_after_the_origin_by_hand(prices, universe):
    panel = make(prices, universe)
    log = np.log(prices.loc[:ORIGIN, "CC"])
    fridays = log.loc[log.index.day_of_week == 4]
    weekly = fridays.diff().dropna()
    scale = math.sqrt((weekly.iloc[:-1] ** 2).mean())
    assert_allclose(panel.future.recent_return.sel(asset="CC"), [weekly.iloc[-1] / scale])
    volatility = np.log(np.sqrt((log.diff().dropna() ** 2).rolling(5).mean())).dropna()
    volatility = volatility.loc[volatility.index.day_of_week == 4]
    # On the first Friday the window has four daily returns, the first row having none.
    first = 0.5 * math.log((log.diff().iloc[1:5] ** 2).mean())
    past = [first, *volatility.iloc[:-1]]
    found = panel.future.recent_volatility.sel(asset="CC", window=5)
    assert_allclose(found, [volatility.iloc[-1] - np.mean(past)])


def test_features_without_enough_past_are_zero_and_flagged(prices, universe):
    panel = make(prices, universe, settings=PanelSettings(volatility_windows=(5, 21), min_past_weeks=30))
    data = panel.history
    missing = data.recent_return_missing.values
    # The 30th full week ends on 2018-08-03, the start that counts it comes a week later at the earliest.
    assert_array_equal(
        missing, (data.period_start < np.datetime64("2018-08-10")).values[:, None] & missing.any(0)
    )
    assert missing.sum() == 8 * 5
    assert (data.recent_return.values[missing] == 0).all()
    assert (data.recent_return.values[~missing] != 0).all()
    assert data.recent_volatility.dims == ("period", "asset", "window")
    gone = data.recent_volatility_missing
    assert (data.recent_volatility.values[gone.values] == 0).all()
    assert (gone.sel(window=21).sum() > gone.sel(window=5).sum()) > 0
    assert not any(data[x].isnull().any() for x in ("recent_return", "recent_volatility", "earnings"))


def test_later_steps_keep_volatility_and_have_no_recent_return(prices, universe):
    earnings = pd.DataFrame({"symbol": ["AA", "BB"], "date": ["2022-03-01", "2022-04-02"]})
    panel = make(prices, universe, horizon=3, earnings=earnings)
    one, future = make(prices, universe).future, panel.future
    assert panel.n_future == 3
    assert panel.origin == pd.Timestamp(ORIGIN)
    assert_array_equal(future.recent_return, np.vstack([one.recent_return, np.zeros((2, 5))]))
    assert future.recent_return_missing.sum("asset").values.tolist() == [0, 5, 5]
    assert_array_equal(future.recent_volatility, np.repeat(one.recent_volatility, 3, axis=0))
    assert not future.recent_volatility_missing.any()
    assert_array_equal(future.earnings, [[0] * 5, [1, 0, 0, 0, 0], [0] * 5])
    assert panel.has_earnings


def test_earnings_fall_in_the_period_that_they_end_in(prices, universe):
    dates = ["2021-12-10", "2021-12-11", "2022-01-07", "2022-01-08"]
    earnings = pd.DataFrame({"symbol": ["AA", "BB", "CC", "AA"], "date": pd.to_datetime(dates)})
    flags = make(prices, universe, earnings=earnings).dataset.earnings
    assert flags.sum() == 4
    assert_array_equal(flags[-3:], [[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [1, 0, 0, 0, 0]])


def test_calendar_months(prices, universe):
    panel = make(prices, universe, origin="2021-12-31", settings=PanelSettings(period="month"))
    ends = pd.DatetimeIndex(panel.dataset.period.values)
    assert ends.is_month_end.all()
    assert panel.n_history == 47  # from January 2018's end
    expected = np.log(prices.loc["2020-02-28"] / prices.loc["2020-01-31"])
    assert_allclose(panel.dataset.log_returns.sel(period="2020-02-29"), expected)


def test_calendar_months_from_the_last_trading_day(prices, universe):
    settings = PanelSettings(period="month")
    panel = make(prices, universe, origin="2021-07-30", settings=settings)  # a Friday, the 31st a Saturday
    ends = pd.DatetimeIndex(panel.dataset.period.values)
    assert [f"{d:%m-%d}" for d in ends[-3:]] == ["06-30", "07-30", "08-31"]
    later = make(prices, universe, origin="2021-07-31", settings=settings)
    assert_array_equal(panel.history.log_returns, later.history.log_returns)


def test_the_number_of_periods_is_a_maximum(prices, universe):
    panel = make(prices, universe, settings=PanelSettings(n_periods=30))
    assert panel.n_history == 30
    xr.testing.assert_identical(
        panel.history.drop_attrs(), make(prices, universe).history.isel(period=slice(-30, None)).drop_attrs()
    )


# Missing prices


def test_late_starts_early_ends_and_holes_stay_missing(prices, universe):
    prices.loc[:"2019-06-14", "AA"] = np.nan
    prices.loc["2021-08-02":, "BB"] = np.nan  # delisted
    prices.loc["2021-08-02":, "YY"] = prices.loc["2021-07-30", "YY"]  # the same, last close repeated
    prices.loc["2020-06-01":"2020-07-01", "CC"] = np.nan
    told = r"CC has no new price for 34 days, .*: 2 of its returns are missing, that to 2020-06-26 first"
    with pytest.warns(DataWarning, match=told):
        panel = make(prices, universe, zero=["YY", "BB"])
    known = panel.history.log_returns.notnull()
    assert panel.zero == ("YY", "BB")
    ends = panel.history.period
    assert_array_equal(known.sel(asset="AA"), ends > np.datetime64("2019-07-12"))
    for symbol in ("BB", "YY"):
        # The period to 2021-08-20 has no young close at its end.
        assert_array_equal(known.sel(asset=symbol), ends < np.datetime64("2021-08-20"))
    hole = ends.values[~known.sel(asset="CC").values]
    assert pd.DatetimeIndex(hole).strftime("%Y-%m-%d").tolist() == ["2020-06-26", "2020-07-24"]
    assert known.sel(asset="XX").all()
    table = panel.summary()
    assert list(table.index) == SYMBOLS
    assert table.loc["CC", "returns"] == 50
    assert table.loc["AA", "first"] == pd.Timestamp("2019-07-26")
    assert table.loc["BB", "last"] == pd.Timestamp("2021-07-23")
    assert table.loc["AA", "missing_recent_return"] > table.loc["XX", "missing_recent_return"]
    assert table.loc["YY", "missing_recent_volatility"] > table.loc["XX", "missing_recent_volatility"]


def test_an_inactive_asset_may_have_no_return(prices, universe):
    prices["BB"] = np.nan
    panel = make(prices, universe, zero=["BB"])
    assert panel.history.log_returns.sel(asset="BB").isnull().all()
    assert pd.isna(panel.summary().loc["BB", "first"])
    assert panel.summary().loc["BB", "returns"] == 0


@pytest.mark.parametrize("blank", [False, True])
def test_a_holiday_moves_features_of_a_calm_asset_little(prices, universe, blank):
    calm = [100 * math.exp(0.01 * ((-1) ** k + 1) / 2) for k in range(len(prices))]
    prices["AA"] = prices["BB"] = calm
    right = ["twins", "not-prices", "constant-price"]
    before = make(prices, universe, accept=right).future.recent_volatility.sel(asset="BB").item()
    row = prices.index.get_loc("2022-01-05")
    prices.iloc[row, 1] = np.nan if blank else prices.iloc[row - 1, 1]
    prices.iloc[row + 1, 1] = prices.iloc[row - 1, 1] * math.exp(0.01 * math.sqrt(2))
    prices.iloc[row + 2, 1] = prices.iloc[row + 1, 1] * math.exp(0.01)
    after = make(prices, universe, accept=right).future.recent_volatility.sel(asset="BB").item()
    assert before == pytest.approx(0, abs=1e-12)
    assert after == pytest.approx(0, abs=1e-12)  # not log(3/5) / 2, as if the day had been without news


# No look-ahead


@pytest.mark.parametrize("future", ["noise", "nan", "huge", "text", "gone"])
def test_nothing_after_the_origin_is_read(prices, universe, future):
    after = prices.index > ORIGIN
    assert after.sum() == 10
    changed = prices[~after] if future == "gone" else prices.astype(object if future == "text" else float)
    if future != "gone":
        rng = np.random.default_rng(1)
        value = {"noise": rng.normal(0, 50, (10, 5)), "nan": np.nan, "huge": 1e300, "text": "abc"}[future]
        changed.loc[after] = value
    same(make(changed, universe), make(prices, universe))


def test_features_of_a_period_read_nothing_after_its_start(prices, universe):
    full = make(prices, universe).dataset
    rng = np.random.default_rng(2)
    names = ["recent_return", "recent_volatility", "recent_return_missing", "recent_volatility_missing"]
    for t in (10, 25, 40, 52):
        changed = prices.copy()
        after = changed.index > pd.Timestamp(full.period_start.values[t])
        changed.loc[after] = np.exp(rng.normal(3, 2, (after.sum(), 5)))
        found = make(changed, universe, accept=["*"]).dataset
        for name in names:
            assert_array_equal(found[name][: t + 1], full[name][: t + 1])
        assert_array_equal(found.log_returns[:t], full.log_returns[:t])
        assert t == 52 or (found.recent_return[t + 1 :] != full.recent_return[t + 1 :]).all()


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1000))
def test_permuting_assets_permutes_the_panel(order, seed):
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2019-06-03", "2022-01-21")
    values = 40 * np.exp(np.cumsum(rng.normal(0, 0.01, (len(days), 5)), axis=0))
    values[rng.random(values.shape) < 0.05] = np.nan
    table = pd.DataFrame(values, index=days, columns=SYMBOLS)
    rows = pd.DataFrame({"symbol": SYMBOLS, "asset_class": CLASSES.values()})
    panel = make(table, rows)
    mixed = make(table.iloc[rng.permutation(len(days)), rng.permutation(5)], rows.iloc[list(order)])
    chosen = panel.select([SYMBOLS[i] for i in order])
    sums = ["market_volatility", "characteristics"]  # over assets, so that their order rounds differently
    xr.testing.assert_allclose(mixed.to_dataset(), chosen.to_dataset(), rtol=1e-12)
    xr.testing.assert_identical(mixed.to_dataset().drop_vars(sums), chosen.to_dataset().drop_vars(sums))
    assert mixed.asset_classes == tuple(dict.fromkeys(CLASSES[SYMBOLS[i]] for i in order))


def test_characteristics_of_each_period_are_those_of_a_panel_at_its_start(prices, universe):
    """And depend on no later price."""
    moving = PanelSettings(moving_characteristics=True)
    panel = make(prices, universe, settings=moving, horizon=2)
    path = panel.dataset["characteristics_path"].to_numpy()
    n = panel.n_history
    np.testing.assert_array_equal(path[n], panel.dataset["characteristics"])
    np.testing.assert_array_equal(path[n + 1], path[n])
    assert "characteristics_path" not in make(prices, universe).dataset
    for t in (30, n - 1):
        start = pd.Timestamp(panel.dataset["period_start"].to_numpy()[t])
        earlier = make(prices.loc[:start], universe, origin=start, settings=moving)
        np.testing.assert_allclose(path[t], earlier.dataset["characteristics"], rtol=1e-9, atol=1e-12)
    assert np.abs(path[30, :, -3:] - path[n, :, -3:]).max() > 0.1


@pytest.mark.parametrize("shape", [(4, 5, 2), (6, 5, 2), (5, 4, 2), (4, 2), (5,)])
def test_characteristics_of_other_shapes_are_refused(shape):
    with pytest.raises(DataError, match=r"characteristics: shape .*\(5, asset, characteristic\)"):
        Panel.from_arrays(np.zeros((4, 5)), asset_class=["x"] * 5, characteristics=np.zeros(shape))


# The object


def test_arrays_are_locked_and_copies_are_not(prices, universe):
    panel = make(prices, universe)
    data = panel.dataset
    assert len(data.variables) == 16
    for part in (data, panel.history, panel.future):
        for name in part.data_vars:
            with pytest.raises(ValueError, match="read-only"):
                part[name].values[0, 0] = 1
    data["log_returns"] = 0 * data["log_returns"]
    panel.history.attrs["origin"] = data.attrs["origin"] = "1999-01-01"
    assert panel.origin == pd.Timestamp(ORIGIN)
    assert (panel.history.log_returns != 0).all()
    with pytest.raises(AttributeError):
        panel.settings = PanelSettings()
    panel.to_dataset()["log_returns"].values[0, 0] = 7
    assert panel.history.log_returns.values[0, 0] != 7


def test_round_trip_through_a_file(prices, universe, tmp_path):
    earnings = pd.DataFrame({"symbol": ["AA"], "date": ["2021-12-15"]})
    own = PanelSettings(period="month", volatility_windows=(5, 21))
    panel = make(prices, universe, earnings=earnings, settings=own, horizon=2, zero=["CC"])
    panel.to_dataset().to_netcdf(tmp_path / "panel.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "panel.nc", engine="h5netcdf") as stored:
        again = Panel.from_dataset(stored)
    same(again, panel)
    assert again.settings == own
    assert (again.n_history, again.n_future, again.zero) == (panel.n_history, 2, ("CC",))
    assert again.has_earnings is True
    assert {x: v.dtype for x, v in again.dataset.variables.items()} == {
        x: v.dtype for x, v in panel.dataset.variables.items()
    }
    with pytest.raises(DataError, match="lacks log_returns; it was not made by to_dataset"):
        Panel.from_dataset(panel.to_dataset().drop_vars("log_returns"))
    with pytest.raises(DataError, match="lacks origin, n_history, has_earnings, inactive, settings;"):
        Panel.from_dataset(panel.to_dataset().drop_attrs())


def test_select(prices, universe):
    panel = make(prices, universe, zero=["BB", "CC"])
    part = panel.select(["XX", "CC"])
    assert part.assets == ("XX", "CC")
    assert part.asset_classes == ("bond_etf", "stock")
    assert part.zero == ("CC",)
    assert panel.zero == ("BB", "CC")
    assert_array_equal(part.history.recent_return, panel.history.recent_return[:, [3, 2]])
    with pytest.raises(UnknownLabelError, match=r"select: unknown symbol XY\. Known: AA, BB"):
        panel.select(["XY"])
    with pytest.raises(DataError, match="1 symbol given more than once"):
        panel.select(["AA", "AA"])
    with pytest.raises(DataError, match="select: no assets given"):
        panel.select([])


def test_it_prints_and_plots(prices, universe):
    prices.loc[:"2019-06-14", "AA"] = np.nan
    panel = make(prices, universe)
    text = (
        "Panel: 5 assets in 2 classes, 52 periods of 28 days to 2022-01-07, 1 future, 7.3% of returns missing"
    )
    assert repr(panel) == f"<{text}>"
    assert text in panel._repr_html_()
    assert "bond_etf" in panel._repr_html_()
    figure = panel.plot_coverage()
    mesh = figure.axes[0].collections[0].get_array()
    assert mesh.shape == (5, 52)
    assert (mesh == 0).sum() == 19
    assert [x.get_text() for x in figure.axes[0].get_yticklabels()] == SYMBOLS
    assert [x.get_text() for x in figure.legends[0].get_texts()] == ["stock", "bond_etf", "missing"]


def test_from_arrays():
    rng = np.random.default_rng(0)
    returns = rng.normal(size=(30, 3))
    returns[4, 1] = np.nan
    recent = rng.normal(size=(30, 3))
    recent[2, 0] = np.nan
    panel = Panel.from_arrays(
        returns,
        asset_class=["a", "b", "a"],
        recent_return=recent,
        recent_volatility=recent,
        earnings=np.eye(30, 3),
        next_recent_volatility=[1, 2, 3],
        next_earnings=[0, 1, 0],
    )
    assert panel.assets == ("A1", "A2", "A3")
    assert panel.origin == pd.Timestamp("2020-01-03")
    assert (panel.n_history, panel.n_future, panel.has_earnings) == (30, 1, True)
    assert_array_equal(panel.history.log_returns, returns)
    assert_array_equal(panel.history.recent_return, np.nan_to_num(recent))
    assert_array_equal(panel.history.recent_return_missing, np.isnan(recent))
    assert_array_equal(panel.history.recent_volatility[..., 0], np.nan_to_num(recent))
    assert_array_equal(panel.history.earnings, np.eye(30, 3))
    assert_array_equal(panel.future.recent_return, np.zeros((1, 3)))
    assert panel.future.recent_return_missing.all()
    assert_array_equal(panel.future.recent_volatility[..., 0], [[1, 2, 3]])
    assert_array_equal(panel.future.earnings, [[0, 1, 0]])
    assert panel.history.period_start.values[0] == np.datetime64("2020-01-03") - 30 * np.timedelta64(28, "D")
    returns[:] = 0
    assert (panel.history.log_returns != 0).all()
    assert not Panel.from_arrays(returns, asset_class=["a"] * 3).has_earnings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"log_returns": np.zeros(3)}, r"log_returns: shape \(3,\), expected \(period, asset\)"),
        ({"log_returns": np.full((30, 2), np.inf)}, "log_returns: some values are infinite"),
        ({"recent_return": np.full((30, 2), -np.inf)}, "recent_return: some values are infinite"),
        ({"asset_class": ["a"]}, "asset_class: 1 given for 2 assets"),
        ({"assets": ["x", "x"]}, r"universe: 1 symbol given more than once \(x\)"),
        ({"asset_class": ["a", ""]}, r"1 of 2 assets have no class \(A2\)"),
        ({"recent_return": np.zeros((29, 2))}, r"recent_return: shape \(29, 2\), expected \(30, 2\)"),
        ({"next_recent_return": np.zeros(3)}, r"next_recent_return: shape \(3,\), expected \(2,\)"),
        (
            {"recent_volatility": np.zeros((30, 2, 2))},
            r"recent_volatility: shape \(30, 2, 2\), expected \(30, 2, 1\)",
        ),
        ({"earnings": np.full((30, 2), 0.5)}, "earnings: flags must be 0 or 1"),
        ({"origin": "soon"}, "origin: 'soon' is not a date"),
    ],
)
def test_from_arrays_refuses(change, message):
    good = {"log_returns": np.zeros((30, 2)), "asset_class": ["a", "b"]}
    with pytest.raises(DataError, match=message):
        Panel.from_arrays(**(good | change))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("period", "week", 'period must be "month", "day" or a whole number of days'),
        ("period", 0, 'period must be "month", "day" or a whole number of days from 1 to 366, got 0'),
        ("period", True, "period should be a whole number"),
        ("n_periods", 23, "n_periods should be greater than or equal to 24, got 23"),
        (
            "volatility_windows",
            (),
            "volatility_windows must be increasing numbers of market days from 2 to 36500",
        ),
        ("volatility_windows", (1, 5), "volatility_windows must be increasing .*from 2 to 36500"),
        ("volatility_windows", (21, 5), "volatility_windows must be increasing"),
        ("volatility_windows", (5, 5), "volatility_windows must be increasing"),
        ("min_past_weeks", 0, "min_past_weeks should be greater than or equal to 1, got 0"),
        ("windows", 5, "unknown key windows"),
    ],
)
def test_settings_refuse(field, value, message):
    with pytest.raises(BdfmError, match=f"panel: {message}"):
        PanelSettings(**{field: value})


def test_settings_defaults():
    assert PanelSettings().model_dump() == {
        "period": 28,
        "n_periods": 104,
        "recent_return_days": 7,
        "volatility_windows": (5,),
        "volatility_form": "relative",
        "earnings_gaps": "none",
        "min_past_weeks": 26,
        "max_stale_days": 10,
        "spacing_days": None,
        "rolling_covariance": None,
    }


# Real data


def test_demo_panel():
    prices, universe = demo()
    panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN)
    assert panel.n_history == 104
    assert len(panel.assets) == 25
    assert panel.asset_classes == ("stock", "equity_etf")
    assert panel.history.log_returns.notnull().all()
    expected = np.log(prices.loc["2022-12-23"] / prices.loc["2022-11-25"])
    assert_allclose(panel.history.log_returns[-1], expected)
    assert not panel.dataset.recent_return_missing.any()
    # The close of SIZE did not move from 2015-09-08 to 09-11: two of five days are too few for a volatility.
    missing = panel.dataset.recent_volatility_missing.squeeze("window")
    assert missing.sum() == 1
    assert missing.sel(asset="SIZE", period="2015-10-09")


@pytest.mark.shared_data
def test_m6_panel(m6_dir):
    prices, universe = read_prices(m6_dir / "prices.csv.gz"), read_universe(m6_dir / "universe.csv")
    earnings = read_earnings(m6_dir / "earnings.csv")
    with pytest.warns(DataWarning, match=r"IUMO.L has no new price .* of its returns are missing"):
        panel = Panel.from_prices(prices, universe, origin=ORIGIN, earnings=earnings)
    assert (len(panel.assets), panel.n_history) == (100, 104)
    assert panel.asset_classes == ("stock", "equity_etf", "fixed_income_etf")
    assert np.bincount(panel.class_index).tolist() == [50, 41, 9]
    known = panel.history.log_returns.notnull()
    # Whether a close that moved stands at most 10 days before both ends.
    edges = pd.DatetimeIndex([*panel.history.period_start.values, panel.origin])
    for symbol in panel.assets:
        closes = prices[symbol].dropna()
        moved = closes.index[closes.diff() != 0]
        last = pd.Series(moved, index=moved).reindex(edges, method="ffill")
        young = ((edges - pd.DatetimeIndex(last)).days <= 10) & last.notna().to_numpy()
        assert_array_equal(known.sel(asset=symbol), young[:-1] & young[1:])
    table = panel.summary()
    assert int((~known).sum()) == 621
    late = dict(CARR=23, CZR=95, FTV=71, OGN=8, PYPL=84, WRK=85, REET=97, XLC=46, VXX=51)
    # IUMO.L listed in 2016-10, and its close then did not move for weeks at a time until 2017-04.
    london = {
        "IEAA.L": 56,
        "HIGH.L": 56,
        "JPEA.L": 61,
        "IUVL.L": 68,
        "IUMO.L": 62,
        "IEVL.L": 90,
        "IEFM.L": 90,
    }
    assert table.returns[table.returns < 104].to_dict() == late | london
    assert table.loc["OGN", "earnings"] == 0
    inside = earnings[(earnings.date > ORIGIN) & (earnings.date <= "2022-02-04")]
    assert panel.future.earnings.sum() == inside.symbol.nunique() == 25
    last = prices.loc["2022-01-07"] / prices.loc["2021-12-10"]
    assert_allclose(panel.history.log_returns[-1], np.log(last[list(panel.assets)]))
    # A week with a common holiday is not calm on that account.
    week = panel.dataset.recent_volatility.sel(window=5)
    assert abs(week.mean()) < 0.2
    assert 0.4 < week.std() < 0.7
