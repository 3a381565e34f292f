"""Risk from a posterior: the model's own covariance, the variance of cut noise, intervals."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

from bdfm.data.panel import Panel
from bdfm.data.sources import demo
from bdfm.errors import DataError
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.noise import StudentTNoise
from bdfm.model.simulate import simulate_ahead
from bdfm.names import CLASS_INDEX, FACTORS
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive import MAX_LOG_RETURN
from bdfm.risk import BayesianEstimator, RiskModel, bayesian_risk, simple_returns
from bdfm.validation import validate


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    return fit(tiny_model, tiny_panel, seed=1, settings=SamplerSettings(draws=100, tune=150, chains=2))


@pytest.mark.parametrize("nu", [0.8, 1.9, 2.0, 2.1, 3.0, 4.0, 7.0, 40.0])
@pytest.mark.parametrize("scale", [0.01, 0.05, 0.6])
def test_variance_of_cut_noise(nu, scale):
    cut = MAX_LOG_RETURN / scale
    grid = integrate.quad(
        lambda u: 2 * np.exp(2 * u) * 2 * stats.t.sf(np.exp(u), nu), -20, np.log(cut), limit=400
    )
    variance = float(StudentTNoise().variance({"nu": np.array(nu)}, np.array(cut)))
    assert variance == pytest.approx(grid[0], rel=2e-5)
    if nu >= 7:
        assert variance == pytest.approx(nu / (nu - 2), rel=2e-3)


def test_draws_have_the_variance_of_the_simulated_future(posterior):
    """Against the forecast's own simulator, for one posterior draw and any portfolio."""
    risk = bayesian_risk(posterior, n_draws=5)
    assert (risk.n_draws, risk.kind, risk.factors) == (5, "Bayesian", ("F1", "F2"))
    assert risk.origin == posterior.panel.origin
    index = np.linspace(0, posterior.n_draws - 1, 5).round().astype(int)
    weights = np.array([0.4, -0.2, 0.3, 0.1, 0.1, 0.1, -0.1, 0.3])
    data = {
        k: v if k == CLASS_INDEX else v[:1]
        for k, v in model_data(posterior.model, posterior.panel, future=True).items()
    }
    for s in (0, 3):
        p = {k: v[[index[s]]] for k, v in posterior.parameters().items()}
        p["nu"] = np.maximum(p["nu"], 6.0)  # a variance that simulation can measure
        many = {k: np.repeat(v, 1000, axis=0) for k, v in p.items()}
        past, rng = many[FACTORS][:, -1:], np.random.default_rng(s)
        future = simulate_ahead(
            posterior.model, many, past, data, n_paths=40, rng=rng, dtype=np.float64
        ).reshape(-1, 8)
        own = RiskModel.from_arrays(
            risk.exposures[s], risk.factor_covariance[s],
            risk.specific_variance[s].values
            / StudentTNoise().variance({k: v[index[s]] for k, v in posterior.parameters().items()},
                MAX_LOG_RETURN / np.exp(posterior.model.log_noise_scale(
                {k: v[[index[s]]] for k, v in posterior.parameters().items()}, data))[0, 0])
            * p["nu"][0] / (p["nu"][0] - 2),
            assets=risk.assets, factors=risk.factors,
        )  # fmt: skip
        simulated = (future @ weights).var()
        assert float(own.variance(pd.Series(weights, risk.assets))) == pytest.approx(simulated, rel=0.03)
        np.testing.assert_allclose(np.cov(future.T)[0, 1], own.covariance()[0, 1], rtol=0.1, atol=2e-5)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"factor_scale": {"kind": "market_volatility"}}, marks=pytest.mark.long),
        {"factor_scale": {"kind": "stochastic_volatility"}},
        {"factor_noise": {"kind": "student_t"}},
        {"loadings": {"kind": "instrumented"}, "mean": [{"kind": "factor_premium"}]},
        pytest.param({"loadings": {"kind": "random_walk"}}, marks=pytest.mark.long),
    ],
)
def test_every_part_has_the_variance_of_the_simulated_future(parts):
    """Portfolio variance of the second period ahead, of one draw, for each part that moves."""
    prices, universe = demo()
    model = FactorModel(n_factors=2, dynamics=(), noise={"kind": "normal"}, **parts)
    panel = Panel.from_prices(prices, universe, origin="2022-09-30", settings=model.panel, horizon=2)
    posterior = fit(model, panel, seed=1, settings=SamplerSettings(draws=20, tune=100, chains=1))
    if "factor_nu" in posterior.draws:  # a variance that simulation can measure
        draws = posterior.draws
        draws = draws.assign(factor_nu=0 * draws["factor_nu"] + 6.0)
        posterior = Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1})
    risk = bayesian_risk(posterior, step=2, n_draws=1)
    weights = np.full(len(panel.assets), 1 / len(panel.assets))
    p = {k: np.repeat(v[:1], 1000, axis=0) for k, v in posterior.parameters().items()}
    future = simulate_ahead(
        model,
        p,
        p[FACTORS][:, :0],
        model_data(model, panel, future=True),
        n_paths=40,
        rng=np.random.default_rng(1),
        dtype=np.float64,
    )[:, :, 1].reshape(-1, len(weights))
    found = float(risk.variance(pd.Series(weights, risk.assets))[0])
    assert found == pytest.approx((future @ weights).var(), rel=0.05)


def test_validation_of_a_posterior():
    """The report takes a Bayesian model as any other: flags, a conclusion, no part left out in silence."""
    prices, universe = demo()
    model = FactorModel.from_preset("m6").model_copy(update={"n_factors": 2})
    panel = Panel.from_prices(prices, universe, origin="2022-09-30", settings=model.panel)
    posterior = fit(model, panel, seed=1, settings=SamplerSettings(draws=50, tune=100, chains=2))
    risk = bayesian_risk(posterior)
    returns = np.expm1(panel.history["log_returns"].to_pandas())
    report = validate(risk, returns, n_simulations=0, seed=1)
    assert report.conclusion
    assert len(report.flags) > 0


def test_alignment_changes_no_total(posterior):
    risk = bayesian_risk(posterior, n_draws=posterior.n_draws)
    p = posterior.parameters()
    common = np.einsum("dnk,dk,dmk->dnm", p["loadings"], p["factor_scale"] ** 2, p["loadings"])
    b, f = risk.exposures.values, risk.factor_covariance.values
    np.testing.assert_allclose(b @ f @ np.swapaxes(b, 1, 2), common, rtol=1e-9, atol=1e-14)


def test_history_is_what_the_model_leaves(posterior):
    history = bayesian_risk(posterior).history
    returns = posterior.panel.history["log_returns"].to_numpy()
    residual = history["specific_returns"].values
    np.testing.assert_array_equal(np.isnan(residual), np.isnan(returns))
    assert np.nanvar(residual) < 0.8 * np.nanvar(returns)


def test_later_periods_need_a_horizon(posterior):
    with pytest.raises(DataError, match="Build the panel with horizon=2"):
        bayesian_risk(posterior, step=2)


def test_estimator_reads_nothing_after_the_last_return():
    prices, universe = demo()
    members = [*universe["symbol"][:4], *universe["symbol"][-2:]]
    prices = prices[members].loc["2018":"2021-06"]
    model = FactorModel.from_preset("m6").model_copy(update={"n_factors": 2})
    returns = simple_returns(prices.loc[:"2020-12-18"], period_days=7)
    wild = prices.copy()
    wild.loc["2020-12-19":] = 1e6
    settings = SamplerSettings(draws=50, tune=50, chains=1)
    one, two = (
        BayesianEstimator(
            p, universe, model, seed=3, settings=settings, panel={"period": 7, "n_periods": 60}
        ).fit(returns)
        for p in (prices, wild)
    )
    np.testing.assert_array_equal(one.specific_variance, two.specific_variance)
    assert one.assets == tuple(members)
    assert one.origin == returns.index[-1]
    weekly = one.volatility(pd.Series(1 / 6, members))
    realised = float(returns.iloc[-60:].mean(axis=1).std())
    assert 0.5 * realised < float(weekly.median()) < 2 * realised
