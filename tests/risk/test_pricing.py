"""Alphas, their joint test, hedges, active risk and components against statsmodels and by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats

from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import RiskModel, StatisticalEstimator
from bdfm.risk.book import active_risk, hedge, marginal_risk
from bdfm.risk.pricing import grs_statistic, price
from bdfm.risk.principal import components, parameter_counts

T, N, K = 90, 5, 2
W = {"A0": 0.4, "A2": 0.7, "A4": -0.1}
w = np.array([0.4, 0.0, 0.7, 0.0, -0.1])
BASE = np.full(5, 0.2)


@pytest.fixture
def data(rng):
    days = pd.bdate_range("2020-01-01", periods=T)
    factors = pd.DataFrame(rng.normal(0.004, 0.03, (T, K)), days, ["market", "size"])
    noise = rng.normal(0, 0.02, (T, N))
    values = np.linspace(-0.004, 0.006, N) + factors.to_numpy() @ rng.normal(1, 0.4, (K, N)) + noise
    return factors, pd.DataFrame(values, days, [f"A{i}" for i in range(N)])


def test_alphas_and_errors_equal_statsmodels(data):
    factors, returns = data
    returns = returns.mask(np.random.default_rng(1).random(returns.shape) < 0.1)
    rate = pd.Series(0.001, returns.index)
    found = price(returns, factors, risk_free=rate)
    for asset in returns:
        y = (returns[asset] - rate).dropna()
        ols = sm.OLS(y, sm.add_constant(factors.loc[y.index])).fit()
        row = found.alphas.loc[asset]
        figures = (
            ols.params["const"],
            ols.bse["const"],
            ols.tvalues["const"],
            ols.pvalues["const"],
            ols.rsquared,
        )
        np.testing.assert_allclose(row.iloc[:5].astype(float), figures, rtol=1e-8)
        own = found.betas.loc[asset]
        np.testing.assert_allclose(own["beta"], ols.params.iloc[1:], rtol=1e-8)
        np.testing.assert_allclose(own["se"], ols.bse.iloc[1:], rtol=1e-8)
        np.testing.assert_allclose(own["p_value"], ols.pvalues.iloc[1:], rtol=1e-6)


def test_joint_test_is_the_likelihood_ratio_of_wilks(data):
    factors, returns = data
    found = price(returns, factors)
    y, x = returns.to_numpy(), sm.add_constant(factors.to_numpy())
    free = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    tied = y - x[:, 1:] @ np.linalg.lstsq(x[:, 1:], y, rcond=None)[0]
    wilks = np.linalg.det(free.T @ free) / np.linalg.det(tied.T @ tied)
    assert found.grs == pytest.approx((1 / wilks - 1) * (T - N - K) / N)
    assert found.grs_freedom == (N, T - N - K)
    assert found.grs_p_value == pytest.approx(stats.f.sf(found.grs, N, T - N - K))
    single = price(returns[["A4"]], factors)
    assert single.grs == pytest.approx(single.alphas.loc["A4", "t"] ** 2)
    assert np.isnan(grs_statistic(y[:6], factors.to_numpy()[:6])[0])


def test_an_asset_made_of_the_factors_has_no_alpha_to_test(data):
    """Its alpha and error are rounding: their ratio was shown as the largest t."""
    factors, returns = data
    without = price(returns, factors)
    wide = returns.assign(FUND=factors["market"] * 0.3 + factors["size"], TWIN=factors["market"])
    wide.iloc[:4, -1] = np.nan  # whose gaps take no period from the test of the others
    found = price(wide, factors)
    assert found.spanned == ["FUND", "TWIN"]
    assert without.spanned == []
    assert found.alphas.loc[found.spanned, ["t", "p_value"]].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.alphas.drop(index=found.spanned), without.alphas)
    assert found.grs == pytest.approx(without.grs)
    assert (found.grs_freedom, found.n_periods) == (without.grs_freedom, T)
    assert found.betas.loc[("FUND", "market"), "beta"] == pytest.approx(0.3)
    alone = price(factors.rename(columns={"market": "M", "size": "S"}), factors)
    assert alone.spanned == ["M", "S"]
    assert np.isnan([alone.grs, alone.grs_p_value]).all()


def test_an_asset_that_is_there_twice_leaves_no_joint_test(data):
    """Of the command's warning of twins, who may be share classes; it had ended in an error of algebra."""
    factors, returns = data
    twice = returns.assign(again=returns.iloc[:, 0])
    found = price(twice, factors)
    assert np.isnan(found.grs)
    assert np.isnan(found.grs_p_value)
    assert found.alphas["alpha"].iloc[-1] == pytest.approx(found.alphas["alpha"].iloc[0])


def test_expected_return_is_the_security_market_line(data):
    factors, returns = data
    market = price(returns, factors[["market"]])
    beta = market.betas["beta"].xs("market", level="factor")
    found = market.expected(0.002, premia={"market": 0.005})
    np.testing.assert_allclose(found["expected"], 0.002 + beta * 0.005)
    np.testing.assert_allclose(found["se"], 0.005 * market.betas["se"])
    sample = market.expected(0.002)
    np.testing.assert_allclose(sample["expected"], returns.mean() - market.alphas["alpha"] + 0.002)
    error = factors["market"].std() / np.sqrt(T)
    mean = factors["market"].mean()
    np.testing.assert_allclose(
        sample["se"] ** 2, beta.to_numpy() ** 2 * error**2 + mean**2 * market.betas["se"].to_numpy() ** 2
    )
    with pytest.raises(DataError, match="no premium of size"):
        price(returns, factors).expected(premia={"market": 0.01})


def test_portfolios_of_fama_and_french_by_their_own_factors(shared_data):
    """July 1963 to December 1991, as in their paper of 1993; the files have been revised since."""
    folder = shared_data("french")
    factors = pd.read_csv(folder / "ff3_monthly.csv", skipinitialspace=True, index_col="month") / 100
    factors.index = pd.PeriodIndex(factors.index.str.strip(), freq="M").to_timestamp("M").normalize()
    portfolios = pd.read_csv(folder / "ff25_monthly.csv", index_col=0) / 100
    portfolios.index = pd.to_datetime(portfolios.index.astype(str), format="%Y%m") + pd.offsets.MonthEnd(0)
    span = slice("1963-07-01", "1991-12-31")
    returns, factors = portfolios.loc[span], factors.loc[span]
    assert len(returns) == 342
    three = price(returns, factors[["Mkt-RF", "SMB", "HML"]], risk_free=factors["RF"])
    one = price(returns, factors[["Mkt-RF"]], risk_free=factors["RF"])
    # Their tables 9a and 9c: F 1.91 and 1.56; R² 0.83 to 0.97 with three factors.
    assert three.grs == pytest.approx(1.56, abs=0.35)
    assert one.grs == pytest.approx(1.91, abs=0.35)
    assert one.grs_p_value < 0.02 < three.grs_p_value < 0.1
    assert three.alphas["r_squared"].min() > 0.8 > one.alphas["r_squared"].min()


# -- the book ------------------------------------------------------------------------------------------------


@pytest.fixture
def model(rng):
    f = np.array([[0.04, 0.01], [0.01, 0.02]])
    return RiskModel.from_arrays(
        rng.normal(1, 0.5, (5, 2)),
        f,
        rng.uniform(0.01, 0.03, 5),
        assets=[f"A{i}" for i in range(5)],
        factors=["m", "s"],
    )


@pytest.fixture
def drawn(model, rng):
    b = model.exposures.to_numpy() + rng.normal(0, 0.1, (30, 5, 2))
    f, d = model.factor_covariance.to_numpy(), model.specific_variance.to_numpy()
    lead = np.ones(30)
    return RiskModel.from_arrays(
        b, f * lead[:, None, None], d * lead[:, None], assets=model.assets, factors=model.factors
    )


def test_marginal_risk_is_the_derivative_of_volatility(model, drawn):
    found = marginal_risk(model, W)
    step = 1e-6
    for i, asset in enumerate(model.assets):
        up, down = (
            float(model.volatility(dict(zip(model.assets, w + s * np.eye(5)[i], strict=True))))
            for s in (step, -step)
        )
        assert float(found.sel(asset=asset)) == pytest.approx((up - down) / (2 * step), rel=1e-5)
    assert float(found.to_numpy() @ w) == pytest.approx(float(model.volatility(W)))
    assert marginal_risk(drawn, pd.DataFrame([W, W], ["p", "q"]).fillna(0)).dims == (
        "draw",
        "portfolio",
        "asset",
    )
    with pytest.raises(DataError, match="no variance"):
        marginal_risk(model, {"A0": 0.0})


def test_hedge_is_the_minimum_of_the_variance(model, drawn):
    index = pd.DataFrame([BASE, np.eye(5)[1]], ["index", "A1"], list(model.assets))
    for made in (model, drawn):
        sigma = made.covariance().to_numpy()
        found = hedge(made, W, index)
        best = optimize.minimize(
            lambda h, s=sigma: 1e3 * (w + h @ index.to_numpy()) @ s @ (w + h @ index.to_numpy()),
            [0, 0],
            tol=1e-12,
        )
        np.testing.assert_allclose(found.ratios, best.x, atol=1e-5)
        assert found.hedged_volatility == pytest.approx(np.sqrt(best.fun / 1e3))
        assert found.volatility == pytest.approx(np.sqrt(w @ sigma @ w))
        assert found.effectiveness == pytest.approx(1 - best.fun / 1e3 / (w @ sigma @ w))
        np.testing.assert_allclose(found.weights, w + found.ratios.to_numpy() @ index.to_numpy())
    single = hedge(model, W, ["A3"])
    sigma = model.covariance().to_numpy()
    assert single.ratios["A3"] == pytest.approx(-(sigma @ w)[3] / sigma[3, 3])
    with pytest.raises(DataError, match="redundant"):
        hedge(model, W, pd.DataFrame([BASE, 2 * BASE], ["one", "two"], list(model.assets)))
    with pytest.raises(UnknownLabelError, match="X"):
        hedge(model, W, ["X"])


def test_active_risk_by_the_whole_covariance(model, drawn):
    base = dict(zip(model.assets, BASE, strict=True))
    found = active_risk(model, W, base).loc["portfolio"]
    sigma = model.covariance().to_numpy()
    a = w - BASE
    assert found["active_volatility"] == pytest.approx(np.sqrt(a @ sigma @ a))
    assert found["beta"] == pytest.approx(w @ sigma @ BASE / (BASE @ sigma @ BASE))
    assert found["correlation"] == pytest.approx(
        w @ sigma @ BASE / np.sqrt((w @ sigma @ w) * (BASE @ sigma @ BASE))
    )
    specific = a**2 @ model.specific_variance.to_numpy()
    assert found["systematic_share"] == pytest.approx(1 - specific / (a @ sigma @ a))
    assert found["active_share"] == pytest.approx(np.abs(a).sum() / 2)
    assert found["beta"] == pytest.approx(float(model.beta_to(base, W)))
    row = active_risk(drawn, W, base).loc["portfolio"]
    assert row["beta_low"] < row["beta"] < row["beta_high"]
    assert active_risk(drawn, base, base).loc["portfolio", "active_volatility"] == pytest.approx(0)


# -- components ----------------------------------------------------------------------------------------------


def test_components_by_the_eigenvalues(data):
    _, returns = data
    found = components(returns)
    values = np.linalg.eigvalsh(np.cov(returns.T))[::-1]
    np.testing.assert_allclose(found.table["eigenvalue"], values)
    np.testing.assert_allclose(found.table["cumulative"], values.cumsum() / values.sum())
    np.testing.assert_allclose(np.cov(returns.T) @ found.loadings, found.loadings * values, atol=1e-12)
    held = returns @ found.portfolios.T
    np.testing.assert_allclose(np.abs(found.portfolios).sum(axis=1), 1)
    np.testing.assert_allclose(np.corrcoef(held.T), np.eye(N), atol=1e-8)
    assert (found.loadings.sum() >= 0).all()
    model = StatisticalEstimator(2).fit(returns)
    np.testing.assert_allclose(model.factor_covariance.to_numpy().diagonal() * N, values[:2])
    assert len(found.plot().axes) == 2


def test_components_of_the_correlation(data):
    _, returns = data
    found = components(returns * np.array([1, 0.2, 1, 1, 1]), standardise=True)
    values = np.linalg.eigvalsh(np.corrcoef(returns.T))[::-1]
    np.testing.assert_allclose(found.table["eigenvalue"], values)
    assert found.edge == pytest.approx((1 + np.sqrt(N / T)) ** 2)
    held = returns * np.array([1, 0.2, 1, 1, 1]) @ found.portfolios.T
    np.testing.assert_allclose(np.corrcoef(held.T), np.eye(N), atol=1e-8)
    with pytest.raises(DataError, match="never moved"):
        components(returns.assign(A0=0.01))


def test_explained_variance_of_large_companies(shared_data):
    """513 stocks, daily: the audit of the sources has 43.9, 6.7 and 4.0 %."""
    prices = pd.read_parquet(shared_data("sp500") / "adjusted_close.parquet")
    returns = prices.pct_change(fill_method=None).iloc[1:].dropna(axis=1)
    assert components(returns).table["share"].iloc[0] > 0.25


def test_parameter_counts():
    found = parameter_counts(1000, 10, 250)
    assert found["parameters"].tolist() == [500_500, 11_055]
    np.testing.assert_allclose(found["returns_per_parameter"], [250_000 / 500_500, 250_000 / 11_055])


def hedge_model(rng):
    b = rng.normal(1, 0.4, (5, 2))
    return RiskModel.from_arrays(
        b, np.diag([4e-4, 1e-4]), rng.uniform(1e-4, 9e-4, 5),
        assets=[f"A{i}" for i in range(5)], factors=["market", "size"],
    )  # fmt: skip


def test_hedge_under_limits_is_the_best_of_a_direct_search(rng):
    model = hedge_model(rng)
    sigma = model.covariance().to_numpy()
    names = ["A1", "A2", "A3"]
    free = hedge(model, W, names)
    for limits in [(-0.2, 0.0), {"A1": (-0.1, 0.1), "A2": (0.05, 1.0)}, (-10.0, 10.0)]:
        found = hedge(model, W, names, limits=limits)
        ends = [limits.get(n, (-50, 50)) if isinstance(limits, dict) else limits for n in names]

        def variance(h):
            held = w.copy()
            held[1:4] += h
            return 1e4 * held @ sigma @ held

        best = optimize.minimize(variance, np.mean(ends, axis=1), bounds=ends, tol=1e-14)
        np.testing.assert_allclose(found.ratios, best.x, atol=1e-5)
        assert 1e4 * found.hedged_volatility**2 == pytest.approx(variance(found.ratios.to_numpy()))
        assert found.hedged_volatility >= free.hedged_volatility - 1e-12
    np.testing.assert_allclose(hedge(model, W, names, limits=(-10, 10)).ratios, free.ratios, atol=1e-8)


@pytest.mark.parametrize("limits", [(0.1, -0.1), (0.0,), (0.2, 0.2), (float("nan"), 1.0)])
def test_limits_that_are_none(rng, limits):
    with pytest.raises(DataError, match="low and high"):
        hedge(hedge_model(rng), W, ["A1"], limits=limits)


def test_limits_of_an_instrument_that_is_not_there(rng):
    with pytest.raises(UnknownLabelError, match="A3"):
        hedge(hedge_model(rng), W, ["A1"], limits={"A3": (-1, 1)})
