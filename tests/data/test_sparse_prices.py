"""Prices that come weekly or monthly: what a panel makes of them, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bdfm.backtest import MarketData, origin_dates, walk_forward
from bdfm.backtest.simple import EqualFifths
from bdfm.data.features import Closes, spacing_days
from bdfm.data.panel import Panel
from bdfm.data.periods import edges_at_prices
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.posterior.fit import fit

ASSETS = list("ABCDEF")
UNIVERSE = pd.DataFrame({"symbol": ASSETS, "asset_class": ["x"] * 3 + ["y"] * 3})
MONTHS = PanelSettings(period="month")


@pytest.fixture(scope="module")
def daily():
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2009-12-31", "2017-12-29")
    steps = 0.01 * rng.standard_normal((len(days), 6)) + 0.005 * rng.standard_normal((len(days), 1))
    return pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), days, ASSETS)


@pytest.fixture(scope="module")
def monthly(daily):
    return daily.groupby([daily.index.year, daily.index.month]).tail(1)


def make(prices, origin="2017-12-29", settings=MONTHS, **kwargs):
    return Panel.from_prices(prices, UNIVERSE, origin=origin, settings=settings, **kwargs)


def test_spacing_is_that_of_most_assets(daily, monthly):
    assert spacing_days(daily) == 1
    assert spacing_days(monthly) == 30
    assert spacing_days(daily.iloc[::5]) == 7
    mixed = daily.copy()
    mixed["A"] = monthly["A"]
    assert spacing_days(mixed) == 1
    apart = monthly.copy()  # half of the funds report a day later
    later = monthly[["D", "E", "F"]].shift(1, freq="D")
    assert spacing_days(apart[["A", "B", "C"]].join(later, how="outer")) == 30


def test_returns_of_months_are_those_of_daily_prices(daily, monthly):
    found, expected = make(monthly), make(daily)
    assert found.n_history == expected.n_history == 96
    assert_array_equal(found.dataset.period, expected.dataset.period)
    assert_allclose(found.history.log_returns, expected.history.log_returns, rtol=1e-13)


def test_the_forecast_without_features_is_that_of_daily_prices(daily, monthly):
    model = FactorModel(name="plain", n_factors=1, mean=[], panel=MONTHS)
    kept = [part for part in model.log_volatility if part.kind == "intercept"]
    model = model.model_copy(update={"log_volatility": tuple(kept)})
    sampler = SamplerSettings(draws=60, tune=60, chains=1, engine="gibbs")
    one, other = (
        np.asarray(fit(model, make(x), seed=1, settings=sampler).forecast(seed=1, n_draws=200).draws)
        for x in (daily, monthly)
    )
    assert_allclose(one, other, rtol=1e-9)


def test_features_are_made_of_the_last_prices(monthly):
    panel = make(monthly)
    assert panel.settings.spacing_days == 30
    assert panel.settings.volatility_windows == (5,)
    returns = np.log(monthly).diff().iloc[1:].to_numpy()
    last, past = returns[-1], returns[:-1]
    assert_allclose(panel.future.recent_return[0], last / np.sqrt((past**2).mean(axis=0)))
    squares = [(returns[max(0, t - 4) : t + 1] ** 2).mean(axis=0) for t in range(96)]
    volatility = 0.5 * np.log(np.array(squares))
    own = volatility[2:]  # half of a window will do: 3 returns of 5
    assert_allclose(panel.future.recent_volatility[0, :, 0], own[-1] - own[:-1].mean(axis=0))
    # The period before last is measured against less of the past
    assert_allclose(panel.history.recent_return[-1], returns[-2] / np.sqrt((returns[:-2] ** 2).mean(axis=0)))


def test_levels_are_over_one_percent_a_day(daily, monthly):
    settings = PanelSettings(period="month", volatility_windows=(5, 20, 60), volatility_form="level")
    panel, fine = make(monthly, settings=settings), make(daily, settings=settings)
    assert panel.settings.volatility_windows == (5, 10, 20)
    assert fine.settings.volatility_windows == (5, 20, 60)
    assert fine.settings == settings
    one, other = (x.future.recent_volatility[0, :, 2] for x in (panel, fine))
    assert_allclose(one, other, atol=0.35)
    assert abs(float(panel.history.recent_volatility[30:].mean())) < 0.35


def test_nothing_after_the_origin_is_read(monthly):
    noisy = monthly.copy()
    noisy.loc["2016-01-01":] *= np.random.default_rng(0).uniform(0.1, 10, (24, 6))
    one, other = (make(x, origin="2015-12-31") for x in (monthly, noisy))
    assert one.dataset.identical(other.dataset)


def test_windows_stay_distinct_and_settings_settle():
    settings = PanelSettings(volatility_windows=(3, 4, 60, 61))
    once = settings.spaced(31)
    assert once.volatility_windows == (3, 4, 20, 40)
    assert once.spaced(31) == once
    assert settings.spaced(None) == settings
    assert "31 days" in once.note
    assert not settings.spaced(1).note


def test_a_model_takes_a_panel_of_its_own_settings_made_of_months(monthly):
    model = FactorModel.from_preset("house").model_copy(update={"n_factors": 1})
    settings = model.panel.model_copy(update={"period": "month"})
    model = model.model_copy(update={"panel": settings})
    sampler = SamplerSettings(draws=20, tune=20, chains=1)
    posterior = fit(model, make(monthly, settings=settings), seed=1, settings=sampler)
    assert np.isfinite(np.asarray(posterior.forecast(seed=1, n_draws=100).draws)).all()


def test_a_month_without_a_price_is_missing_and_the_next_one_too(monthly):
    holed = monthly.copy()
    holed.loc["2016-03-31", "A"] = np.nan
    found = make(holed).history.log_returns.sel(asset="A")
    assert [str(d)[:7] for d in found.period.values[np.isnan(found)]] == ["2016-03", "2016-04"]


@pytest.mark.parametrize("freq", ["MS", "BMS"])
def test_prices_of_the_first_day_of_the_month(freq):
    days = pd.date_range("2010-01-01", "2017-12-01", freq=freq)
    rng = np.random.default_rng(4)
    steps = 0.05 * rng.standard_normal((len(days), 6))
    prices = pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), days, ASSETS)
    panel = make(prices, origin="2017-12-01")
    assert panel.n_history == len(days) - 1
    assert_allclose(panel.history.log_returns, np.log(prices).diff().iloc[1:], rtol=1e-12)
    later = make(
        prices, origin="2017-12-21", accept=["stale-end"]
    ).history.log_returns  # edges on the 21st: the same months
    assert_allclose(later[-50:], np.log(prices).diff().iloc[-50:], rtol=1e-12)


def test_edges_move_on_to_prices_only_where_the_origin_has_one():
    edges = pd.DatetimeIndex(["2017-09-28", "2017-10-28", "2017-11-28", "2017-12-28"])
    days = pd.DatetimeIndex(["2017-10-02", "2017-11-01", "2017-12-01"])
    assert edges_at_prices(edges, days, n_past=2).equals(edges)
    found = edges_at_prices(edges - pd.Timedelta(days=27), days, n_past=3)
    assert [f"{d:%m-%d}" for d in found] == ["09-01", "10-02", "11-01", "12-01"]


def test_weekly_prices_with_the_usual_periods(daily):
    weekly = daily[daily.index.day_of_week == 4].drop(pd.Timestamp("2017-05-05"))  # one week is missing
    panel = make(weekly, settings=PanelSettings())
    expected = make(daily, settings=PanelSettings())
    assert panel.settings.spacing_days == 7
    assert not panel.history.recent_volatility_missing[8:].any()
    assert_allclose(panel.history.log_returns[-60:], expected.history.log_returns[-60:], rtol=1e-12)


@pytest.mark.parametrize(
    ("step", "period", "message"),
    [
        ("ME", 28, r"about every 31 days, too few for periods of 28 days. Take calendar months"),
        ("ME", 31, "Take calendar months"),
        ("QE", "month", r"about every 91 days, too few for periods of calendar months"),
        ("W-FRI", 5, r"about every 7 days, too few for periods of 5 days. .*at least 7 days"),
    ],
)
def test_periods_too_short_for_the_prices(daily, step, period, message):
    table, settings = daily.resample(step).last(), PanelSettings(period=period)
    with pytest.raises(DataError, match=message):
        make(table, settings=settings, origin="2017-12-29", accept=["stale-end"])


def test_an_asset_that_ended_months_ago_is_refused_and_one_that_reports_late_is_not(monthly):
    late = monthly.copy()
    late.loc["2017-12-29", "B"] = np.nan
    assert make(late).n_history == 96
    late.loc["2017-10-01":, "B"] = np.nan
    with pytest.raises(DataError, match=r"B has no price in the 9\d days before .*\[stale-end\]"):
        make(late)


def test_the_rolling_covariance_is_that_of_months(monthly):
    settings = PanelSettings(period="month", rolling_covariance=RollingCovariance())
    panel = make(monthly, settings=settings)
    assert panel.settings.rolling_covariance.correlation_days == 1
    returns = np.log(monthly).diff().iloc[1:]
    variance = np.diag(panel.dataset["rolling_covariance"])
    assert_allclose(variance, returns.var(ddof=0), rtol=0.35)  # of a month, weighted to the last years


def test_daily_closes_are_daily(daily):
    closes = Closes(daily, max_stale_days=10)
    assert (closes.spacing, closes.sparse) == (1, False)


def test_a_backtest_by_months(monthly, tmp_path):
    data = MarketData.of(monthly, UNIVERSE)
    origins = origin_dates("2015-07-31", "2015-10-31", every="month")
    run = walk_forward(EqualFifths(), data, origins, tmp_path / "run", period="month")
    assert [x.attrs["end"] for x in run.results] == ["2015-08-31", "2015-09-30", "2015-10-31", "2015-11-30"]
    assert len(run.scores) == 4
    young = monthly.copy()
    young.loc[:"2014-06-30", "A"] = np.nan  # 13 prices: too few
    young.loc["2015-04-01":, "B"] = np.nan  # ended
    with pytest.raises(DataError, match="4 of 6 assets are alive at 2015-07-31"):
        MarketData.of(young, UNIVERSE).history(pd.Timestamp("2015-07-31"), period="month")
