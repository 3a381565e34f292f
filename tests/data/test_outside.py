"""Volatility known from elsewhere: the table, the feature, the slope that a fit finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bdfm.data.outside import outside_volatility, volatility_table
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.data.sources import demo
from bdfm.errors import DataError, ModelError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.dynamics import AR1
from bdfm.model.parts.log_volatility import LogVolIntercept, OutsideVolatility
from bdfm.model.parts.mean import Intercept
from bdfm.posterior.fit import fit

ORIGIN = pd.Timestamp("2020-06-26")


@pytest.fixture(scope="module")
def files():
    """Prices, universe, and a given volatility that is twice the realised one, but for what tests change."""
    prices, universe = demo()
    returns = np.log(prices).diff()
    volatility = 2 * np.sqrt(252) * np.sqrt((returns**2).rolling(20).mean())
    return prices, universe, volatility.iloc[60:]


def feature(files, volatility):
    prices, universe, _ = files
    panel = Panel.from_prices(prices, universe, origin=ORIGIN, volatility=volatility)
    return panel.dataset["outside_volatility"]


def test_a_volatility_as_far_above_the_realised_one_as_ever_says_nothing(files):
    x = feature(files, files[2])
    assert abs(x.sel(asset="AAPL")).max() < 0.05  # days without a trade are counted otherwise there
    np.testing.assert_allclose(feature(files, 2 * files[2]), x, atol=1e-12)


def test_news_is_the_log_over_the_own_past(files):
    volatility = files[2].copy()
    start = pd.Timestamp(feature(files, volatility)["period_start"].to_numpy()[-1])
    assert start == ORIGIN
    volatility.loc[start, "AAPL"] *= 1.5
    x, usual = feature(files, volatility), feature(files, files[2])
    change = (x - usual).sel(asset="AAPL").to_numpy()
    np.testing.assert_allclose(change[:-1], 0, atol=1e-12)
    # The common level takes in today's value: one of all that are known, weighing 6 of 6 + n.
    n = int(np.isfinite(usual.sel(asset="AAPL")).sum()) - 1
    common = np.log(1.5) / (25 * (n + 1))
    np.testing.assert_allclose(change[-1], np.log(1.5) - common * 6 / (6 + n), atol=1e-3)


def test_nothing_after_the_start_of_a_period_counts(files):
    usual = feature(files, files[2])
    starts = pd.DatetimeIndex(usual["period_start"].to_numpy())
    for k in (-1, -5):
        later = files[2].copy()
        later.loc[starts[k] + pd.Timedelta(days=1) :] *= 1.7
        x = feature(files, later)
        np.testing.assert_array_equal(x[: k + 1 or None], usual[: k + 1 or None])


def test_a_missing_or_old_value_is_neutral(files):
    volatility = files[2].copy()
    volatility.loc[ORIGIN - pd.Timedelta(days=9) :, "AAPL"] = np.nan
    volatility.loc[ORIGIN - pd.Timedelta(days=12) :, "JPM"] = np.nan
    volatility["KO"] = np.nan
    volatility = volatility.drop(columns="PEP")
    volatility *= np.exp(np.random.default_rng(1).standard_normal(volatility.shape) * 0.2)
    x = feature(files, volatility)
    assert x.sel(asset="AAPL")[-1] != 0  # nine days old: still one
    assert x.sel(asset="JPM")[-1] == 0
    assert (x.sel(asset=["KO", "PEP"]) == 0).all()
    assert np.isfinite(x).all()


def test_later_periods_of_a_horizon_keep_the_value_of_the_origin(files):
    prices, universe, volatility = files
    volatility = volatility * np.exp(np.random.default_rng(1).standard_normal(volatility.shape) * 0.2)
    panel = Panel.from_prices(prices, universe, origin=ORIGIN, volatility=volatility, horizon=3)
    x = panel.future["outside_volatility"].to_numpy()
    np.testing.assert_array_equal(x, np.repeat(x[:1], 3, axis=0))
    one = panel.select(["KO", "AAPL"])
    np.testing.assert_array_equal(one.future["outside_volatility"][0], x[0][[9, 0]])


def test_the_own_level_is_pulled_to_the_common_one():
    days = pd.bdate_range("2020-01-01", periods=3)

    class Flat:
        max_stale_days, sparse = 10, False

        def log_volatility(self, starts, *, window):
            assert window == 20
            return np.zeros((len(starts), 2))

    given = pd.DataFrame(
        np.sqrt(252) * np.exp([[0.2, 0.4], [0.6, np.nan], [0.1, 0.3]]), index=days, columns=["A", "B"]
    )
    starts = days.to_numpy().astype("datetime64[D]").astype(np.int64)
    x = outside_volatility(given, ["A", "B"], Flat(), starts)  # type: ignore[arg-type]
    # The second day's B is the first day's, a day old.
    commons = [0.3, (0.2 + 0.4 + 0.6 + 0.4) / 4, (0.2 + 0.4 + 0.6 + 0.4 + 0.1 + 0.3) / 6]
    own = [
        [0.2 - commons[0], 0.4 - commons[0]],
        [0.6 - (0.2 + 6 * commons[1]) / 7, 0.4 - (0.4 + 6 * commons[1]) / 7],
        [0.1 - (0.8 + 6 * commons[2]) / 8, 0.3 - (0.8 + 6 * commons[2]) / 8],
    ]
    np.testing.assert_allclose(x, own, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v * 100, r"median is .* divide percentages by 100"),
        (lambda v: v / 100, r"median is .* multiply daily ones"),
        (
            lambda v: v.mask(np.tile((v.index == v.index[5])[:, None], 3), -0.1),
            r"AAPL has -0\.1 on .* positive",
        ),
        (lambda v: v * np.nan, r"not one value"),
        (lambda v: one(v, np.inf), r"AAPL has inf on .* positive"),
        (lambda v: one(v, 25.0), r"AAPL has 25 on .* divide percentages by 100"),
        (lambda v: one(v, 1e-5), r"AAPL has 1e-05 on .* multiply daily ones"),
        (lambda v: pd.concat([v, 1.1 * v.iloc[:1]]), r"given more than once with different values"),
    ],
)
def test_tables_in_another_unit_or_without_sense_are_refused(files, change, message):
    with pytest.raises(DataError, match=message):
        volatility_table(change(files[2].iloc[:, :3]))


def one(table, value):
    """The table with another value in one cell."""
    table = table.copy()
    table.loc[table.index[7], "AAPL"] = value
    return table


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (100, r"AAPL has 2\d\.\d+ on .* divide percentages by 100"),
        (1 / np.sqrt(252), r"AAPL's is 0\.126 times what its price moved by, .* multiply daily ones"),
        (2, None),
        (0.18, None),
        (0.14, r"AAPL's is 0\.28\d* times what its price moved by, .* monthly ones by that of 12"),
    ],
)
def test_one_column_in_another_unit_is_refused(files, times, told):
    """The table's is twice the realised one. The other columns are right, and so is the median of all."""
    volatility = files[2].copy()
    volatility["AAPL"] *= times
    if told is None:
        feature(files, volatility)
        return
    with pytest.raises(DataError, match=told):
        feature(files, volatility)


def test_annual_volatilities_fit_monthly_prices_too(files):
    """There the realised one is of a month; of daily volatilities it still is another."""
    prices, universe, volatility = files
    monthly = prices.resample("ME").last()
    day = monthly.index[-1]
    given = {"origin": day, "settings": PanelSettings(period="month")}
    Panel.from_prices(monthly, universe, volatility=volatility / 2, **given)
    one_in_days = volatility.assign(AAPL=volatility["AAPL"] / 2 / np.sqrt(252))
    with pytest.raises(DataError, match=r"AAPL's is 0\.0\d+ times"):
        Panel.from_prices(monthly, universe, volatility=one_in_days, **given)


def test_volatilities_after_the_origin_are_not_looked_at(files):
    volatility = files[2]
    spoilt = volatility.copy()
    spoilt.loc[volatility.index > ORIGIN] = 9999.0
    late = pd.DataFrame(np.inf, pd.bdate_range("2099-01-05", periods=300), volatility.columns)
    x = feature(files, volatility)
    xr.testing.assert_identical(feature(files, pd.concat([spoilt, late])), x)


def test_a_model_with_the_part_needs_the_table(files):
    model = FactorModel(name="mine", log_volatility=(LogVolIntercept(), OutsideVolatility()))
    panel = Panel.from_prices(files[0], files[1], origin=ORIGIN)
    with pytest.raises(ModelError, match=r"lacks outside_volatility.*volatility=\.\.\. to from_prices"):
        fit(model, panel, seed=1)


def test_a_fit_finds_the_slope():
    rng = np.random.default_rng(3)
    n_periods, n_assets = 120, 12
    x = 0.4 * rng.standard_normal((n_periods + 1, n_assets))
    market = 0.03 * rng.standard_normal((n_periods, 1))
    noise = np.exp(-3 + 0.8 * x[:-1]) * rng.standard_t(8, (n_periods, n_assets))
    panel = Panel.from_arrays(
        market + noise,
        asset_class=["a"] * n_assets,
        outside_volatility=x[:-1],
        next_outside_volatility=x[-1],
    )
    model = FactorModel(
        n_factors=1,
        dynamics=(AR1(),),
        mean=(Intercept(),),
        log_volatility=(LogVolIntercept(), OutsideVolatility()),
    )
    posterior = fit(model, panel, seed=1, settings=SamplerSettings(chains=2, draws=400, tune=400))
    slope = posterior.draws["mu_beta_ov"]
    assert abs(float(slope.mean()) - 0.8) < 3 * float(slope.std())
    assert float(slope.std()) < 0.15
    assert "beta_ov" in posterior.identified()
    wide = posterior.forecast(seed=1, n_draws=20_000).draws
    spread = np.log(wide.std("draw")).to_numpy()
    assert np.corrcoef(spread, x[-1])[0, 1] > 0.8
