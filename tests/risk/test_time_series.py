"""Time-series estimator against statsmodels and linearmodels, and its options by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from linearmodels.asset_pricing import TradedFactorModel
from statsmodels.regression.rolling import RollingOLS

from bdfm.data.sources import read_prices
from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import TimeSeriesEstimator, simple_returns

T, N, K = 120, 6, 2


@pytest.fixture
def data(rng):
    days = pd.bdate_range("2020-01-01", periods=T)
    factors = pd.DataFrame(rng.normal(0.0005, 0.01, (T, K)), days, ["market", "size"])
    betas = np.column_stack([np.linspace(0.5, 1.6, N), rng.normal(0, 0.5, N)])
    noise = rng.normal(0, np.linspace(0.01, 0.03, N), (T, N))
    returns = pd.DataFrame(0.0002 + factors.to_numpy() @ betas.T + noise, days, [f"A{i}" for i in range(N)])
    return factors, returns


def test_equals_regression_of_each_asset(data):
    factors, returns = data
    returns = returns.mask(np.random.default_rng(1).random(returns.shape) < 0.1)
    risk_free = pd.Series(np.linspace(0, 1e-4, T), returns.index)
    model = TimeSeriesEstimator(factors, risk_free=risk_free).fit(returns)
    for asset in returns:
        y = (returns[asset] - risk_free).dropna()
        ols = sm.OLS(y, sm.add_constant(factors.loc[y.index])).fit()
        own = model.exposures.sel(asset=asset)
        np.testing.assert_allclose(own, ols.params.iloc[1:], rtol=1e-10)
        assert float(model.specific_variance.sel(asset=asset)) == pytest.approx(ols.mse_resid, rel=1e-10)
        residuals = model.history["specific_returns"].sel(asset=asset).to_series().dropna()
        np.testing.assert_allclose(residuals, ols.resid, atol=1e-14)
    np.testing.assert_allclose(model.factor_covariance, np.cov(factors.T), rtol=1e-12)
    assert model.observed_factors
    assert model.origin == returns.index[-1]


def test_half_life_equals_weighted_least_squares(data):
    factors, returns = data
    model = TimeSeriesEstimator(factors, half_life_periods=30).fit(returns)
    weights = 0.5 ** (np.arange(T - 1, -1, -1) / 30)
    for asset in returns:
        wls = sm.WLS(returns[asset], sm.add_constant(factors), weights=weights).fit()
        np.testing.assert_allclose(model.exposures.sel(asset=asset), wls.params.iloc[1:], rtol=1e-9)
    np.testing.assert_allclose(
        model.factor_covariance / np.trace(model.factor_covariance),
        np.cov(factors.T, aweights=weights) / np.trace(np.cov(factors.T, aweights=weights)),
        rtol=1e-9,
    )
    equal = TimeSeriesEstimator(factors, half_life_periods=1e9).fit(returns)
    plain = TimeSeriesEstimator(factors).fit(returns)
    np.testing.assert_allclose(equal.specific_variance, plain.specific_variance, rtol=1e-6)


def test_window_rolls_like_statsmodels(data):
    factors, returns = data
    rolled = RollingOLS(returns["A3"], sm.add_constant(factors), window=60).fit().params
    for end in (60, 90, T):
        model = TimeSeriesEstimator(factors, window=60).fit(returns.iloc[:end])
        np.testing.assert_allclose(model.exposures.sel(asset="A3"), rolled.iloc[end - 1, 1:], rtol=1e-8)


def test_vasicek_shrinkage_by_hand(data):
    factors, returns = data
    plain = TimeSeriesEstimator(factors[["market"]]).fit(returns)
    beta = plain.exposures.values[:, 0]
    x = factors["market"] - factors["market"].mean()
    error2 = plain.specific_variance.values / float(x @ x)
    for target, shrink_to in ((beta.mean(), "mean"), (1.0, {"market": 1.0})):
        spread = np.mean((beta - target) ** 2)
        expected = (spread * beta + error2 * target) / (spread + error2)
        model = TimeSeriesEstimator(factors[["market"]], shrink_to=shrink_to).fit(returns)
        np.testing.assert_allclose(model.exposures.values[:, 0], expected, rtol=1e-10)
        residual = returns - factors[["market"]].to_numpy() * expected
        sse = ((residual - residual.mean()) ** 2).sum()
        np.testing.assert_allclose(model.specific_variance, sse / (T - 2), rtol=1e-10)
    both = TimeSeriesEstimator(factors, shrink_to={"market": 1.0}).fit(returns).exposures
    np.testing.assert_allclose(
        both.sel(factor="size"), TimeSeriesEstimator(factors).fit(returns).exposures.sel(factor="size")
    )


def test_nothing_after_the_origin_enters(data):
    factors, returns = data
    cut = returns.iloc[:80]
    wild = factors.copy()
    wild.iloc[80:] = np.nan
    one, two = (TimeSeriesEstimator(f, window=50).fit(cut) for f in (factors, wild))
    np.testing.assert_array_equal(one.exposures, two.exposures)
    np.testing.assert_array_equal(one.factor_covariance, two.factor_covariance)


def test_masked_rows_are_no_observations(data):
    factors, returns = data
    masked = returns.copy()
    masked.iloc[20:50] = np.nan
    keep = np.r_[0:20, 50:T]
    model = TimeSeriesEstimator(factors).fit(masked)
    expected = TimeSeriesEstimator(factors).fit(returns.iloc[keep])
    np.testing.assert_allclose(model.exposures, expected.exposures)
    np.testing.assert_allclose(model.factor_covariance, expected.factor_covariance)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f, r: (f.iloc[:-3], r), DataError, "nothing for 3 of 120 periods"),
        (lambda f, r: (f.assign(copy=f["market"] * 2), r), DataError, "collinear"),
        (lambda f, r: (f.assign(flat=1.0), r), DataError, "flat is 1 on all"),
        (
            lambda f, r: (f.where(np.arange(T)[:, None] != [4, 4]), r),
            DataError,
            "2 values are missing .first market",
        ),
        (lambda f, r: (f, r.assign(A0=r["A0"].where(r.index > r.index[-8]))), DataError, "A0 7"),
        (lambda f, r: (f, r[::-1]), DataError, "not in ascending order"),
        (lambda f, r: (f, r * 1000), DataError, "percent, read as decimals"),
        (lambda f, r: (f, r.assign(B=np.nan)), DataError, "no return .B"),
    ],
)
def test_unusable_input(data, change, error, message):
    factors, returns = change(*data)
    with pytest.raises(error, match=message):
        TimeSeriesEstimator(factors).fit(returns)


def test_unusable_settings(data):
    factors, returns = data
    with pytest.raises(DataError, match="fewer than the window of 500"):
        TimeSeriesEstimator(factors, window=500).fit(returns)
    with pytest.raises(UnknownLabelError, match=r"unknown factor mkt\. Did you mean market"):
        TimeSeriesEstimator(factors, shrink_to={"mkt": 1}).fit(returns)
    with pytest.raises(DataError, match="half_life_periods must be above 0"):
        TimeSeriesEstimator(factors, half_life_periods=0).fit(returns)


def test_weekly_returns():
    days = pd.to_datetime(["2020-01-01", "2020-01-03", "2020-01-09", "2020-01-17", "2020-02-14"])
    prices = pd.DataFrame({"A": [1.0, 2, 3, 6, 12], "B": [1, 1, np.nan, np.nan, 4.0]}, days)
    weekly = simple_returns(prices, period_days=7, accept=None)
    assert list(weekly.index) == list(pd.date_range("2020-01-10", "2020-02-14", freq="7D"))
    np.testing.assert_allclose(weekly["A"], [0.5, 1, 0, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(weekly["B"], [0, *[np.nan] * 5])
    np.testing.assert_allclose(simple_returns(prices, accept=None)["A"], [1, 0.5, 1, 1])


@pytest.mark.long
@pytest.mark.shared_data
def test_french_exposures_of_500_stocks(shared_data):
    prices = read_prices(shared_data("sp500") / "adjusted_close.parquet")
    french = pd.read_csv(shared_data("french") / "ff3_daily.csv", index_col="date", parse_dates=True) / 100
    returns = simple_returns(prices, accept=["twins", "unit-step", "no-new-price"])
    french = french.loc[returns.index]
    factors = french[["Mkt-RF", "SMB", "HML"]]
    model = TimeSeriesEstimator(factors, risk_free=french["RF"]).fit(returns)
    assert len(model.assets) == 513
    excess = returns.sub(french["RF"], axis=0)
    # linearmodels solves all assets at once; statsmodels one by one
    joint = TradedFactorModel(excess, factors).fit()
    np.testing.assert_allclose(model.exposures, joint.betas, atol=1e-8, rtol=0)
    for asset in model.assets[::57]:
        ols = sm.OLS(excess[asset], sm.add_constant(factors)).fit()
        np.testing.assert_allclose(model.exposures.sel(asset=asset), ols.params.iloc[1:], atol=1e-10)


def test_textbook_divisor(rng):
    days = pd.bdate_range("2020-01-01", periods=25)
    factors = pd.DataFrame(rng.normal(0, 0.01, (25, 2)), days, ["market", "size"])
    returns = pd.DataFrame(rng.normal(0, 0.01, (25, 3)), days, ["A", "B", "C"])
    returns.iloc[3, 1] = np.nan
    model = TimeSeriesEstimator(factors, divisor="textbook").fit(returns)
    u = model.history["specific_returns"].to_pandas()
    np.testing.assert_allclose(model.specific_variance, u.var(ddof=1), rtol=1e-10)
    usual = TimeSeriesEstimator(factors).fit(returns)
    n = returns.notna().sum()
    np.testing.assert_allclose(usual.specific_variance, u.var(ddof=1) * (n - 1) / (n - 3), rtol=1e-10)
    with pytest.raises(UnknownLabelError, match="divisor"):
        TimeSeriesEstimator(factors, divisor="n").fit(returns)
