"""The rolling covariance of a panel: of daily returns before each period, carried to its length."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.errors import DataError


def rolling_panel(prices, universe, origin=DEMO_ORIGIN, **settings):
    rolling = RollingCovariance(**settings)
    return Panel.from_prices(
        prices,
        universe,
        origin=origin,
        settings=PanelSettings(rolling_covariance=rolling),
        accept=["universe"],
    )


def test_rolling_covariance_is_weighted_daily_returns_times_the_days_ahead():
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2017-01-02", "2021-12-31")
    steps = rng.standard_normal((len(days), 4)) @ rng.standard_normal((4, 4)) * 0.01
    prices = pd.DataFrame(100 * np.exp(np.cumsum(steps, axis=0)), index=days, columns=list("ABCD"))
    universe = pd.DataFrame({"symbol": list("ABCD"), "asset_class": "x"})
    found = rolling_panel(prices, universe, days[-1], window_days=400, correlation_days=5)

    def weighted(x, half_life):
        w = 0.5 ** (np.arange(len(x))[::-1] / half_life)
        w /= w.sum()
        gap = x - w @ x
        return (gap * w[:, None]).T @ gap

    daily = np.log(prices).diff().to_numpy()[-400:]
    five = np.stack([daily[i : i + 5].sum(axis=0) for i in range(396)])
    slow, fast = weighted(five, 250), np.sqrt(np.diag(weighted(daily, 60)))
    sd = np.sqrt(np.diag(slow))
    last_year = (days > days[-1] - pd.Timedelta(days=365)).sum()
    expected = slow / np.outer(sd, sd) * np.outer(fast, fast) * 28 * last_year / 365
    np.testing.assert_allclose(found.dataset["rolling_covariance"], expected, rtol=1e-8)


def test_rolling_covariance_does_not_look_ahead_and_follows_the_assets():
    prices, universe = demo()
    origin = pd.Timestamp("2020-06-26")
    whole = rolling_panel(prices, universe, origin)
    changed = prices.copy()
    changed.loc[origin + pd.Timedelta(days=1) :] *= 1.7
    np.testing.assert_array_equal(
        whole.dataset["rolling_covariance"],
        rolling_panel(changed, universe, origin).dataset["rolling_covariance"],
    )
    few = whole.select(whole.assets[3:0:-1])
    np.testing.assert_array_equal(
        few.dataset["rolling_covariance"], whole.dataset["rolling_covariance"][3:0:-1, 3:0:-1]
    )
    again = Panel.from_dataset(few.to_dataset())
    xr.testing.assert_identical(again.dataset, few.dataset)
    scaled = rolling_panel(prices * 100, universe, origin)  # pence
    np.testing.assert_allclose(
        scaled.dataset["rolling_covariance"], whole.dataset["rolling_covariance"], rtol=1e-9
    )


def test_a_rolling_covariance_must_be_one():
    returns = np.zeros((30, 2))
    for bad in (
        np.eye(3),
        [[1.0, 0.2], [0.1, 1.0]],
        [[1.0, 0.0], [0.0, 0.0]],
        [[1.0, np.nan], [np.nan, 1.0]],
    ):
        with pytest.raises(DataError, match="rolling_covariance: shape"):
            Panel.from_arrays(returns, asset_class=["x", "x"], rolling_covariance=bad)
