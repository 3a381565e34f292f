"""Cross-sectional estimator against independent solvers, with fractional sectors and constraints."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr

from bdfm.data.sources import read_prices
from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import CrossSectionalEstimator, price_styles, simple_returns

T, N = 40, 30
ASSETS = [f"A{i:02d}" for i in range(N)]
SECTORS = ["energy", "banks", "tech"]


@pytest.fixture
def data(rng):
    days = pd.bdate_range("2021-01-01", periods=T)
    shares = pd.DataFrame(np.eye(3)[rng.integers(0, 3, N)], ASSETS, SECTORS)
    shares.loc["A03"] = [0.0, 0.7, 0.3]
    styles = rng.normal(size=(T, N, 2))
    f = rng.normal(0, 0.01, (T, 6))
    returns = np.full((T, N), np.nan)
    returns[0] = rng.normal(0, 0.01, N)
    for t in range(1, T):
        x = np.column_stack([np.ones(N), shares, styles[t - 1]])
        returns[t] = x @ f[t] + rng.normal(0, 0.01, N)
    numeric = xr.DataArray(
        styles, dims=("period", "asset", "factor"),
        coords={"period": days, "asset": ASSETS, "factor": ["value", "size"]},
    )  # fmt: skip
    capital = pd.DataFrame(rng.lognormal(0, 1, (T, N)), days, ASSETS)
    return pd.DataFrame(returns, days, ASSETS), shares, numeric, capital


def kkt(x, w, r, constraints):
    """Weighted least squares under linear constraints, by the normal equations with multipliers."""
    k, m = x.shape[1], len(constraints)
    a = np.zeros((k + m, k + m))
    a[:k, :k] = 2 * x.T @ (w[:, None] * x)
    a[:k, k:], a[k:, :k] = constraints.T, constraints
    return np.linalg.solve(a, np.concatenate([2 * x.T @ (w * r), np.zeros(m)]))[:k]


def test_equals_an_independent_solver(data, rng):
    returns, shares, numeric, capital = data
    returns = returns.mask(rng.random(returns.shape) < 0.05)
    country = pd.Series(["US"] * 20 + ["UK"] * 10, ASSETS)
    weights = np.sqrt(capital)
    universe = ASSETS[:25]
    model = CrossSectionalEstimator(
        numeric,
        {"sector": shares, "country": country},
        universe=universe,
        weights=weights,
        capitalisation=capital,
    ).fit(returns)
    assert model.factors == ("market", *SECTORS, "UK", "US", "value", "size")
    history = model.history
    inside = np.arange(N) < 25
    fixed = np.column_stack([np.ones(N), shares, pd.get_dummies(country, dtype=float)])
    leverages = []
    for t in range(1, T):
        cap, raw = capital.to_numpy()[t - 1], numeric.values[t - 1]
        mean = np.average(raw[inside], axis=0, weights=cap[inside])
        sd = np.sqrt(np.mean((raw[inside] - mean) ** 2, axis=0))
        x = np.column_stack([fixed, (raw - mean) / sd])
        r = returns.to_numpy()[t]
        use = inside & np.isfinite(r)
        constraints = np.zeros((2, 8))
        constraints[0, 1:4] = cap[use] @ x[use, 1:4]
        constraints[1, 4:6] = cap[use] @ x[use, 4:6]
        expected = kkt(x[use], weights.to_numpy()[t - 1][use], r[use], constraints)
        root = np.sqrt(weights.to_numpy()[t - 1][use])[:, None]
        hat = root * x[use] @ np.linalg.pinv(root * x[use])
        leverages.append(np.diag(hat)[np.flatnonzero(use) == 3][0] if use[3] else np.nan)
        found = history["factor_returns"].values[t - 1]
        np.testing.assert_allclose(found, expected, atol=1e-10)
        np.testing.assert_allclose(constraints @ found, 0, atol=1e-12)
        np.testing.assert_allclose(history["specific_returns"].values[t - 1], r - x @ expected, atol=1e-10)
    np.testing.assert_allclose(
        model.factor_covariance, np.cov(history["factor_returns"].values.T), atol=1e-16
    )
    own = history["specific_returns"].sel(asset="A28").to_series().dropna()  # outside the universe: h = 0
    assert float(model.specific_variance.sel(asset="A28")) == pytest.approx((own**2).sum() / (len(own) - 1))
    own = history["specific_returns"].sel(asset="A03").values / np.sqrt(1 - np.array(leverages))
    own = own[np.isfinite(own)]
    assert float(model.specific_variance.sel(asset="A03")) == pytest.approx((own**2).sum() / (len(own) - 1))
    np.testing.assert_allclose(model.exposures.sel(asset="A03", factor=SECTORS), [0, 0.7, 0.3])
    last = numeric.values[-1]
    mean = np.average(last[inside], axis=0, weights=capital.to_numpy()[-1][inside])
    assert float(model.exposures.sel(asset="A03", factor="size")) == pytest.approx(
        (last[3, 1] - mean[1]) / np.sqrt(np.mean((last[inside, 1] - mean[1]) ** 2))
    )


def test_without_market_the_first_family_is_free(data):
    returns, shares, numeric, _ = data
    model = CrossSectionalEstimator(numeric, {"sector": shares}, market=False, standardise=False).fit(returns)
    x = np.column_stack([shares, numeric.values[4]])
    expected = sm.OLS(returns.to_numpy()[5], x).fit().params
    np.testing.assert_allclose(model.history["factor_returns"].values[4], expected, atol=1e-10)


def test_weighted_regressions_are_those_of_skfolio(data, rng):
    skfolio = pytest.importorskip("skfolio.linear_model")
    returns, shares, numeric, capital = data
    weights = np.sqrt(capital)
    model = CrossSectionalEstimator(
        numeric, {"sector": shares}, market=False, standardise=False, weights=weights
    ).fit(returns)
    fixed = np.broadcast_to(shares.to_numpy(), (T - 1, N, 3))
    x = np.concatenate([fixed, numeric.values[:-1]], axis=2)
    reference = skfolio.CSLinearRegression().fit(
        x, returns.to_numpy()[1:], cs_weights=weights.to_numpy()[:-1]
    )
    np.testing.assert_allclose(model.history["factor_returns"], reference.coef_, atol=1e-10)


def test_constraint_is_a_choice_of_description_only(data):
    returns, shares, numeric, capital = data
    equal, weighted, bare = (
        CrossSectionalEstimator(numeric, {"sector": shares}, standardise=False, **kwargs).fit(returns)
        for kwargs in ({}, {"capitalisation": capital}, {"market": False})
    )
    for other in (weighted, bare):
        np.testing.assert_allclose(
            equal.history["specific_returns"], other.history["specific_returns"], atol=1e-12
        )
    np.testing.assert_allclose(equal.covariance(), bare.covariance(), atol=1e-15)


def test_exposures_are_dated_before_the_return(data):
    returns, shares, numeric, capital = data
    estimator = CrossSectionalEstimator(numeric, {"sector": shares}, capitalisation=capital)
    cut = returns.iloc[:30]
    base = estimator.fit(cut)
    wild = numeric.copy()
    wild[30:] = 1e9
    late = capital.copy()
    late.iloc[30:] = 1e-9
    other = CrossSectionalEstimator(wild, {"sector": shares}, capitalisation=late).fit(cut)
    np.testing.assert_array_equal(base.exposures, other.exposures)
    np.testing.assert_array_equal(base.factor_covariance, other.factor_covariance)
    last = numeric.copy()
    last[29] += np.linspace(0, 1, N)[:, None]  # known at the last day: changes exposures, not the past
    other = CrossSectionalEstimator(last, {"sector": shares}, capitalisation=capital).fit(cut)
    np.testing.assert_array_equal(base.factor_covariance, other.factor_covariance)
    assert not np.allclose(base.exposures, other.exposures)


def test_masked_rows_keep_the_dates_of_exposures(data):
    returns, shares, numeric, _ = data
    estimator = CrossSectionalEstimator(numeric, {"sector": shares})
    masked = returns.copy()
    masked.iloc[10:20] = np.nan
    full, part = estimator.fit(returns).history, estimator.fit(masked).history
    kept = part["period"].values
    assert len(kept) == T - 1 - 10
    np.testing.assert_array_equal(part["factor_returns"], full["factor_returns"].sel(period=kept))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, n: (s.mul(0.9), n), "do not sum to 1 .A00 0.9"),
        (lambda s, n: (s.drop("A07"), n), "1 asset has none .A07"),
        (lambda s, n: (s, n.sel(asset=ASSETS[1:])), "1 asset has none .A00"),
        (lambda s, n: (s, n.where(n["asset"] != "A05")), "1 of 30 assets have fewer than 8 .* .A05 0"),
        (lambda s, n: (s, n * 0), "value, size on .* is missing or the same"),
        (lambda s, n: (s, xr.concat([n, n.sel(factor=["value"]).assign_coords(factor=["twin"])], "factor")),
         r"cannot tell 7 factors apart \(rank 5 of 6\)"),
        (lambda s, n: (s, n.assign_coords(period=n["period"] + np.timedelta64(400, "D"))), "before 0 of 40"),
        (lambda s, n: (s, n.assign_coords(factor=["value", "tech"])), "1 factor given more than once .tech"),
    ],
)  # fmt: skip
def test_unusable_exposures(data, change, message):
    returns, shares, numeric, _ = data
    shares, numeric = change(shares, numeric)
    with pytest.raises(DataError, match=message):
        CrossSectionalEstimator(numeric, {"sector": shares}).fit(returns)


def test_category_outside_the_universe(data):
    returns, shares, _, _ = data
    outside = [a for a in ASSETS if shares.loc[a, "tech"] == 0]
    with pytest.raises(DataError, match="no asset of the estimation universe with a return is in tech"):
        CrossSectionalEstimator(None, {"sector": shares}, universe=outside).fit(returns)
    lonely = shares.assign(rail=0.0)
    lonely.loc["A01"] = [0.0, 0.0, 0.0, 1.0]
    with pytest.raises(DataError, match="A01 alone decide"):
        CrossSectionalEstimator(None, {"sector": lonely}).fit(returns)
    with pytest.raises(DataError, match="no factors"):
        CrossSectionalEstimator(market=False).fit(returns)


def test_styles_by_hand_and_without_look_ahead(rng):
    days = pd.bdate_range("2019-01-01", periods=300)
    prices = pd.DataFrame(np.exp(rng.normal(0, 0.01, (300, 4)).cumsum(axis=0)), days, list("abcd"))
    at = days[[260, 290]]
    styles = price_styles(prices, at)
    log = np.log(prices)
    daily = log.diff()
    np.testing.assert_allclose(styles.sel(factor="momentum")[0], log.iloc[239] - log.iloc[8], rtol=1e-10)
    np.testing.assert_allclose(styles.sel(factor="reversal")[1], log.iloc[269] - log.iloc[290], rtol=1e-10)
    np.testing.assert_allclose(
        styles.sel(factor="volatility")[0], np.log(daily.iloc[198:261].std()), rtol=1e-10
    )
    market = daily.iloc[9:261].mean(axis=1)
    slope = [np.polyfit(market, daily.iloc[9:261][a], 1)[0] for a in "abcd"]
    np.testing.assert_allclose(styles.sel(factor="beta")[0], slope, rtol=1e-9)
    wild = prices.copy()
    wild.iloc[261:] = 1e6
    np.testing.assert_array_equal(price_styles(wild, at)[0], styles[0])
    with pytest.raises(DataError, match="253 are needed"):
        price_styles(prices, days[[100]])


def test_styles_count_market_days_and_not_weeks(rng):
    """252 weeks are five years, and not the year of momentum and beta."""
    weeks = pd.date_range("2015-01-02", periods=300, freq="W-FRI")
    prices = pd.DataFrame(np.exp(rng.normal(0, 0.02, (300, 4)).cumsum(axis=0)), weeks, list("abcd"))
    with pytest.raises(DataError, match="come about every 7 days, and momentum, beta count market days"):
        price_styles(prices, weeks[[290]], styles=["momentum", "beta"])


def test_styles_bear_days_without_a_close_and_not_weeks(rng):
    """A day without a close repeats the last one, as in a panel; one without any for weeks has no style."""
    days = pd.bdate_range("2019-01-01", periods=300)
    prices = pd.DataFrame(np.exp(rng.normal(0, 0.01, (300, 4)).cumsum(axis=0)), days, list("abcd"))
    gaps = prices.copy()
    gaps.iloc[150:153, 0] = np.nan
    gaps.iloc[239, 1] = np.nan
    gaps.iloc[200:220, 2] = np.nan
    styles, whole = price_styles(gaps, days[[260]])[0], price_styles(prices, days[[260]])[0]
    np.testing.assert_allclose(styles.sel(asset="a"), whole.sel(asset="a"), atol=0.15)
    log = np.log(prices["b"])
    assert float(styles.sel(asset="b", factor="momentum")) == pytest.approx(log.iloc[238] - log.iloc[8])
    assert styles.sel(asset="c").isnull().to_numpy().tolist() == [False, True, True, False]
    assert not styles.sel(asset="d").isnull().any()


@pytest.mark.shared_data
def test_sectors_and_styles_of_500_stocks(shared_data):
    folder = shared_data("sp500")
    prices = read_prices(folder / "adjusted_close.parquet").loc[:"2020-06"]
    sectors = pd.read_csv(folder / "sectors.csv").set_index("symbol")["gics_sector"].loc[prices.columns]
    shares = pd.get_dummies(sectors, dtype=float)
    shares.loc["AMZN"] = 0.0
    shares.loc["AMZN", ["Consumer Discretionary", "Information Technology"]] = [0.7, 0.3]
    weekly = simple_returns(prices, period_days=7, accept=["twins", "unit-step", "no-new-price"]).loc[
        "2019-06":
    ]
    styles = price_styles(prices, weekly.index)
    model = CrossSectionalEstimator(styles, {"sector": shares}).fit(weekly)
    assert len(model.assets) == 513
    worst = 0.0
    for t in range(1, len(weekly)):
        raw = styles.values[t - 1]
        x = np.column_stack([np.ones(513), shares, (raw - raw.mean(axis=0)) / raw.std(axis=0)])
        constraints = np.zeros((1, x.shape[1]))
        constraints[0, 1:12] = shares.sum()
        expected = kkt(x, np.ones(513), weekly.to_numpy()[t], constraints)
        worst = max(worst, np.abs(model.history["factor_returns"].values[t - 1] - expected).max())
    assert worst < 1e-8
    np.testing.assert_allclose(
        model.exposures.sel(asset="AMZN", factor=["Consumer Discretionary", "Information Technology"]),
        [0.7, 0.3],
    )
    # Style factors of the real data explain something beyond sectors in most weeks.
    plain = CrossSectionalEstimator(None, {"sector": shares}).fit(weekly.iloc[1:])
    ratio = (
        np.square(model.history["specific_returns"]).sum()
        / np.square(plain.history["specific_returns"]).sum()
    )
    assert 0.5 < float(ratio) < 0.97


def test_textbook_divisor_takes_specific_returns_as_they_are(rng):
    days = pd.bdate_range("2020-01-01", periods=40)
    returns = pd.DataFrame(rng.normal(0, 0.02, (40, 12)), days, [f"A{i}" for i in range(12)])
    groups = {"group": pd.Series(["a"] * 3 + ["b"] * 9, returns.columns)}
    plain = CrossSectionalEstimator(None, groups, divisor="textbook").fit(returns)
    u = plain.history["specific_returns"].to_pandas()
    np.testing.assert_allclose(plain.specific_variance, np.square(u).sum() / (len(u) - 1), rtol=1e-10)
    usual = CrossSectionalEstimator(None, groups).fit(returns)
    ratio = usual.specific_variance.to_numpy() / plain.specific_variance.to_numpy()
    np.testing.assert_allclose(ratio, [1.5] * 3 + [9 / 8] * 9)  # 1 / (1 - h), h = 1 / members
    with pytest.raises(UnknownLabelError, match="divisor"):
        CrossSectionalEstimator(None, groups, divisor="n").fit(returns)
