"""Market risk of a period, x^mr of eq. 5b: against a calculation of its own, and without a look ahead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.data.sources import demo
from bdfm.errors import ModelError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.mean import MarketPremium
from bdfm.posterior.fit import fit

ORIGIN = "2019-12-27"
SMALL = PanelSettings(n_periods=30)


@pytest.fixture(scope="module")
def files():
    return demo()


def risk(prices, universe, **own):
    panel = Panel.from_prices(prices, universe, origin=ORIGIN, settings=own.get("settings", SMALL))
    return panel.dataset["market_risk"]


def test_it_is_beta_times_the_markets_sd_over_the_year_before(files):
    prices, universe = files
    found = risk(prices, universe)
    own = prices[list(universe["symbol"])]
    fresh = own.diff().abs() > 1e-9 * own
    open_days = fresh[fresh.mean(axis=1) >= 0.5].index
    fresh, own = fresh.loc[open_days], own.loc[open_days]
    returns = np.log(own).diff().where(fresh & fresh.shift(fill_value=False))  # of a day, not of two
    for t, start in enumerate(found["period_start"].to_numpy()):
        year = returns.loc[:start].iloc[-250:]
        market = year.mean(axis=1)
        for symbol in universe["symbol"]:
            y = year[symbol].dropna()
            x = market[y.index]
            beta = np.polyfit(x, y, 1)[0]
            by_hand = beta * x.std(ddof=0) * np.sqrt(20)
            np.testing.assert_allclose(found.sel(asset=symbol)[t], by_hand, rtol=1e-6)
    assert float(found.min()) > 0
    assert 0.01 < float(found.mean()) < 0.1


def test_nothing_after_the_start_of_a_period_counts(files):
    prices, universe = files
    usual = risk(prices, universe)
    starts = pd.DatetimeIndex(usual["period_start"].to_numpy())
    later = prices.copy()
    later.loc[later.index > starts[20]] **= 1.05
    changed = risk(later, universe)
    np.testing.assert_array_equal(changed[:21], usual[:21])
    assert np.all(changed[22:] != usual[22:])


def test_an_asset_without_a_past_has_the_median_of_its_class(files):
    prices, universe = files
    young = prices.copy()
    symbol = universe["symbol"][0]
    listed = pd.Timestamp(ORIGIN) - pd.DateOffset(months=9)
    young.loc[:listed, symbol] = np.nan
    found = risk(young, universe)
    same = universe.loc[universe["asset_class"] == universe["asset_class"][0], "symbol"][1:]
    others = found.sel(asset=list(same)).isel(period=5)
    assert float(found.sel(asset=symbol)[5]) == pytest.approx(float(others.median()))
    assert abs(float(found.sel(asset=symbol)[-1]) - float(others.median())) > 1e-4


def test_later_periods_keep_that_of_the_first(files):
    panel = Panel.from_prices(*files, origin=ORIGIN, settings=SMALL, horizon=3)
    future = panel.future["market_risk"].to_numpy()
    np.testing.assert_array_equal(future[1:], future[:1].repeat(2, axis=0))


def test_monthly_prices_count_months(files):
    prices, universe = files
    monthly = prices.groupby(prices.index.to_period("M")).tail(1)
    settings = PanelSettings(n_periods=30, period="month")
    panel = Panel.from_prices(monthly, universe, origin=monthly.index[-1], settings=settings)
    days = Panel.from_prices(prices, universe, origin=monthly.index[-1], settings=settings)
    ratio = panel.future["market_risk"].mean() / days.future["market_risk"].mean()
    assert 0.7 < float(ratio) < 1.4


def test_one_table_of_a_model_file_leans_and_a_panel_of_arrays_must_have_it():
    model = FactorModel.from_toml('[[mean]]\nkind = "market_premium"\n')
    assert model.mean == (MarketPremium(),)
    rng = np.random.default_rng(1)
    panel = Panel.from_arrays(0.05 * rng.standard_normal((30, 4)), asset_class=["a"] * 4)
    with pytest.raises(ModelError, match=r"lacks market_risk.*from_arrays"):
        fit(model, panel, seed=1, settings=SamplerSettings(chains=2, draws=10, tune=10))
    with pytest.raises(ModelError, match="factor mean"):
        FactorModel.from_toml('[[mean]]\nkind = "market_premium"\n[[mean]]\nkind = "factor_premium"\n')
