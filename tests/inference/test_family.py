"""The family of models: each part recovers what data were simulated with, on the engine that runs it."""

import numpy as np
import pytest
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.errors import ModelError
from bdfm.inference.engine import choose
from bdfm.inference.ess import mcse_mean
from bdfm.inference.sbc import calibrate
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.simulate import simulate
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior

N_PERIODS, N_ASSETS, K = 156, 16, 2
QUICK = SamplerSettings(draws=400, tune=600, thin=5, chains=2, cores=2)
MARKET = {"factor_scale": {"kind": "market_volatility"}}
LATENT = {"factor_scale": {"kind": "stochastic_volatility"}}
MOMENTUM = {"dynamics": [{"kind": "momentum"}]}
MOVING = {"loadings": {"kind": "random_walk", "every": 13, "drift_sd": 0.3}}
INSTRUMENTED = {"loadings": {"kind": "instrumented"}}
FOLLOWING = {
    "panel": {"moving_characteristics": True},
    "loadings": {"kind": "instrumented_walk", "every": 13},
}
PREMIUM = {"mean": [{"kind": "intercept"}, {"kind": "factor_premium", "sd": 0.3}]}
LEAN = {"mean": [{"kind": "market_premium", "mean": 0.1, "mean_sd": 0.3}]}
STUDENT = {"factor_noise": {"kind": "student_t"}}
VAR = {"dynamics": [{"kind": "var1"}]}
COVERED = {
    "independent": {"dynamics": []},
    "momentum": MOMENTUM,
    "market": MARKET,
    "latent": LATENT,
    "moving": MOVING,
    "instrumented": INSTRUMENTED,
    "following": FOLLOWING,
    "momentum and market": MOMENTUM | MARKET,
    "premium": PREMIUM,
    "premium alone": {"dynamics": [], "mean": [{"kind": "factor_premium", "sd": 0.3}]} | MARKET,
    "market premium": LEAN | MARKET,
    "premium and latent": PREMIUM | LATENT | MOMENTUM,
    "laplace": {"noise": {"kind": "laplace"}},
    "student factors": STUDENT,
    "student factors and market": STUDENT | MARKET | {"dynamics": [], "mean": []},
    "student factors and latent": STUDENT | LATENT | PREMIUM,
}
# The likelihood of weighted periods is not that of any process, so that calibration cannot judge it.
WEIGHTED = {"noise": {"kind": "laplace"}, "weights": {"kind": "half_life", "half_life_periods": 8.0}}
AGREE = COVERED | {"laplace, weighted, with evidence": WEIGHTED}


def simulated(parts, *, seed=1, **own):
    """Model, panel and truth: a market factor and a weaker one, and the parameters of the part."""
    rng = np.random.default_rng(seed)
    model = FactorModel(n_factors=K, **parts)
    shape = (N_PERIODS, N_ASSETS)
    features = {
        "recent_return": rng.standard_normal(shape),
        "recent_volatility": 0.4 * rng.standard_normal((*shape, 1)),
        "earnings": (rng.random(shape) < 0.3).astype(float),
        "market_volatility": 0.5 * rng.standard_normal((N_PERIODS, 1)),
        "next_market_volatility": [0.8],
        "market_risk": np.tile(0.05 * np.linspace(0.5, 1.5, N_ASSETS), (N_PERIODS, 1)),  # the first factor's
        "next_market_risk": 0.05 * np.linspace(0.5, 1.5, N_ASSETS),
        "characteristics": np.column_stack([np.ones(N_ASSETS), rng.standard_normal(N_ASSETS)]),
    }
    truth = {
        "rho": np.float64(-0.2),
        "factor_scale": np.array([0.05, 0.02]),
        "loadings": np.column_stack([np.linspace(0.5, 1.5, N_ASSETS), rng.standard_normal(N_ASSETS)]),
        "alpha": np.zeros(N_ASSETS),
        "beta_rr": np.zeros(N_ASSETS),
        "theta": np.full(N_ASSETS, -4.0),
        "beta_rv": np.full((N_ASSETS, 1), 0.4),
        "beta_earnings": np.full(N_ASSETS, 0.3),
        "nu": np.full(N_ASSETS, 7.0),
    }
    if not any(part.kind == "recent_return" for part in model.mean):
        del truth["beta_rr"]
    for name, value in own.items():
        truth[name] = value(rng) if callable(value) else value
    if "loading_slopes" in own:
        u = 0.1 * rng.standard_normal((N_ASSETS, K))
        truth["loadings"] = features["characteristics"] @ truth["loading_slopes"] + u
    classes = ["stock"] * (N_ASSETS // 2) + ["bond"] * (N_ASSETS // 2)
    empty = Panel.from_arrays(np.zeros(shape), asset_class=classes, **features)
    returns = simulate(model, truth, model_data(model, empty), rng=rng).log_returns
    return model, Panel.from_arrays(returns, asset_class=classes, **features), truth, features, classes


def moving_characteristics(constant, now, n_periods):
    """Two characteristics (period, asset, 2): one that stays, one that walks to its values at the origin."""
    steps = 0.3 * np.random.default_rng(8).standard_normal((n_periods, len(now)))
    path = np.concatenate([now + np.cumsum(steps, axis=0)[::-1], now[None]])
    return np.stack([np.broadcast_to(constant, path.shape), path], axis=2)


def with_returns(panel, returns):
    """Panel with other returns where it has any (24, 8)."""
    old = panel.dataset["log_returns"].to_numpy()
    new = np.where(np.isfinite(old), np.vstack([returns, np.zeros(8)]), np.nan)
    return Panel.from_dataset(panel.to_dataset().assign(log_returns=(("period", "asset"), new)))


def near(draws, truth, *, sd_below):
    """Whether the posterior is informative and the truth within four posterior sd."""
    values = np.asarray(draws)
    mean, sd = values.mean(), values.std()
    assert sd < sd_below, f"posterior sd {sd:.3f}"
    assert abs(mean - truth) < 4 * sd, f"posterior {mean:.3f} +- {sd:.3f}, truth {truth}"


def test_momentum_is_recovered():
    model, panel, *_ = simulated(MOMENTUM, beta_momentum=np.float64(0.05))
    draws = fit(model, panel, seed=1, settings=QUICK).draws
    near(draws["rho"], -0.2, sd_below=0.08)
    near(draws["beta_momentum"], 0.05, sd_below=0.02)
    assert float((draws["beta_momentum"] > 0).mean()) > 0.95


def test_premium_is_recovered():
    premium = np.array([0.4, -0.3])
    model, panel, truth, *_ = simulated(PREMIUM, premium=premium)
    posterior = fit(model, panel, seed=1, settings=QUICK)
    mean = posterior.identified()["common_mean"]
    found = mean.mean(["chain", "draw"]).to_numpy()
    expected = truth["loadings"] @ (truth["factor_scale"] * premium)
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert np.max(np.abs(found - expected) / mean.std(["chain", "draw"]).to_numpy()) < 3.5
    sharpe = np.linalg.norm(posterior.draws["premium"].to_numpy(), axis=-1)  # of the best mix of factors
    near(sharpe, 0.5, sd_below=0.12)


@pytest.mark.long
@pytest.mark.parametrize("mean_sd", [0.05, 1.0])
def test_a_market_premium_is_as_much_the_priors_as_its_memory_is_long(mean_sd):
    """13 years know a Sharpe ratio to about 0.08: a century's prior keeps its say beside them."""
    parts = {"dynamics": [], "mean": [{"kind": "market_premium", "mean": 0.1, "mean_sd": mean_sd}]}
    model, panel, *_ = simulated(parts, sharpe=np.full(N_ASSETS, 0.4))
    posterior = fit(model, panel, seed=1, settings=QUICK)
    draws = posterior.draws["mu_sharpe"]
    mean, sd = float(draws.mean()), float(draws.std())
    if mean_sd == 1.0:  # the data speak: of 156 periods, 1 / sqrt(156) at least
        near(draws, 0.4, sd_below=0.15)
        assert sd > 0.06
    else:  # 0.1 and 0.05 against the data's 0.4 and 0.08 or so
        assert 0.1 < mean < 0.25
        assert 0.03 < sd < 0.05
    # What the forecast expects is that premium on the next period's risk.
    x = panel.future["market_risk"].to_numpy()[0]
    expected = posterior.identified()["expected_return_next"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(expected, posterior.draws["sharpe"].mean(("chain", "draw")) * x, rtol=1e-6)


def test_slope_on_market_volatility_is_recovered():
    model, panel, *_ = simulated(MARKET, beta_mv=np.array([0.8]))
    posterior = fit(model, panel, seed=1, settings=QUICK)
    near(posterior.draws["beta_mv"], 0.8, sd_below=0.15)
    near(posterior.draws["rho"], -0.2, sd_below=0.08)
    # The forecast period's market is restless: 0.8 * 0.8 above the usual log scale.
    data = panel.to_dataset()
    calm = Panel.from_dataset(data.assign(market_volatility=0 * data.market_volatility))
    p = posterior.parameters()
    loud, quiet = (
        model.factor_scale.scale(p, model_data(model, x, future=True))[:, 0] for x in (panel, calm)
    )
    np.testing.assert_allclose(np.log(loud / quiet).mean(), 0.64, atol=0.3)


@pytest.mark.long
def test_degrees_of_freedom_and_mixing_of_the_factors_are_recovered():
    model, panel, truth, *_ = simulated(
        STUDENT | MARKET,
        beta_mv=np.array([0.8]),
        factor_nu=np.float64(3.0),
        factor_mixing=lambda rng: rng.chisquare(3.0, N_PERIODS) / 3.0,
    )
    draws = fit(model, panel, seed=1, settings=QUICK).draws
    near(np.log(draws["factor_nu"]), np.log(3.0), sd_below=0.35)
    near(draws["beta_mv"], 0.8, sd_below=0.25)
    log_xi = np.log(draws["factor_mixing"]).mean(["chain", "draw"]).to_numpy()
    assert np.corrcoef(log_xi, np.log(truth["factor_mixing"]))[0, 1] > 0.55
    normal, panel, *_ = simulated(MARKET, beta_mv=np.array([0.8]))
    student = FactorModel(**normal.model_dump() | STUDENT)
    assert float(fit(student, panel, seed=1, settings=QUICK).draws["factor_nu"].mean()) > 8.0


def test_latent_volatility_is_recovered():
    def path(rng):
        h = np.zeros(N_PERIODS)
        for t in range(1, N_PERIODS):
            h[t] = 0.9 * h[t - 1] + 0.3 * rng.standard_normal()
        return h

    model, panel, truth, *_ = simulated(LATENT, log_multiplier=path)
    draws = fit(model, panel, seed=1, settings=QUICK).draws
    h = draws["log_multiplier"].mean(["chain", "draw"]).to_numpy()
    assert np.corrcoef(h, truth["log_multiplier"])[0, 1] > 0.75
    near(draws["sigma_log_multiplier"], 0.3, sd_below=0.15)
    low, high = draws["log_multiplier"].quantile([0.05, 0.95], dim=["chain", "draw"]).to_numpy()
    centred = truth["log_multiplier"] - truth["log_multiplier"].mean() + h.mean()
    assert np.mean((low < centred) & (centred < high)) > 0.8


def test_drift_of_loadings_is_recovered():
    def path(rng):
        first = np.column_stack([np.linspace(0.5, 1.5, N_ASSETS), rng.standard_normal(N_ASSETS)])
        steps = 0.3 * rng.standard_normal((N_PERIODS // 13 - 1, N_ASSETS, K))
        return np.concatenate([first[None], first + np.cumsum(steps, axis=0)])

    model, panel, truth, *_ = simulated(MOVING, loadings_path=path)
    posterior = fit(model, panel, seed=1, settings=QUICK)
    near(posterior.draws["loading_drift"], 0.3, sd_below=0.08)
    w, scale = truth["loadings_path"], truth["factor_scale"]
    variance = posterior.identified()["common_variance"].mean(["chain", "draw"]).to_numpy()
    now, before = (np.square(x * scale).sum(axis=1) for x in (w[-1], w[0]))
    assert np.corrcoef(variance, now)[0, 1] > 0.8
    assert np.corrcoef(variance, now)[0, 1] > np.corrcoef(variance, before)[0, 1] + 0.2


@pytest.mark.long
def test_loadings_follow_characteristics_as_they_move():
    """Characteristics of the origin for the whole history, or none, miss how the loadings came there."""
    rng = np.random.default_rng(5)
    _, _, truth, features, classes = simulated(INSTRUMENTED)
    features["characteristics"] = moving_characteristics(
        np.ones(N_ASSETS), rng.standard_normal(N_ASSETS), N_PERIODS
    )
    model = FactorModel(n_factors=K, **FOLLOWING)
    empty = Panel.from_arrays(np.zeros((N_PERIODS, N_ASSETS)), asset_class=classes, **features)
    data = model_data(model, empty)
    slopes, own = np.array([[1.0, 0.2], [0.8, -0.9]]), 0.1 * rng.standard_normal((N_ASSETS, K))
    path = np.stack([z @ slopes + own for z in model.loadings.by_block(data)])
    truth |= {"loadings_path": path, "loadings": path[-1]}
    returns = simulate(model, truth, data, rng=rng).log_returns
    panel = Panel.from_arrays(returns, asset_class=classes, **features)
    scaled = truth["loadings"] * truth["factor_scale"]
    target = scaled @ scaled.T
    error = {}
    for name, parts in (("following", FOLLOWING), ("origin", INSTRUMENTED), ("static", {})):
        draws = fit(FactorModel(n_factors=K, **parts), panel, seed=1, settings=QUICK).draws
        found = (draws["loadings"] * draws["factor_scale"]).transpose("chain", "draw", "asset", "factor")
        mean = np.einsum("cdik,cdjk->cdij", found, found).mean(axis=(0, 1))
        error[name] = float(np.linalg.norm(mean - target) / np.linalg.norm(target))
    assert error["following"] < 0.3, error
    assert error["following"] < 0.6 * min(error["origin"], error["static"]), error


@pytest.mark.long
def test_a_new_listing_gets_the_loadings_of_its_characteristics():
    """With two returns, characteristics decide; with static loadings, the prior does."""
    slopes = np.array([[1.2, 0.3], [0.6, -0.8]])
    model, panel, truth, features, classes = simulated(INSTRUMENTED, loading_slopes=slopes)
    returns = panel.history["log_returns"].to_numpy().copy()
    returns[:-2, 3] = np.nan
    young = Panel.from_arrays(returns, asset_class=classes, **features)
    target = (truth["loadings"][3] * truth["factor_scale"] ** 2) @ truth["loadings"][8]
    error = {}
    for name, own in (("instrumented", model), ("static", FactorModel(n_factors=K))):
        found = fit(own, young, seed=1, settings=QUICK).identified()["common_covariance"].sel(pair="A4~A9")
        error[name] = float(abs(found.mean() - target) / abs(target))
    assert error["instrumented"] < 0.5
    assert error["instrumented"] < 0.5 * error["static"]


@pytest.mark.slow
def test_var_is_recovered_by_nuts():
    """Eigenvalues of the matrix do not depend on how factors are rotated."""
    matrix = np.array([[0.5, 0.3], [0.0, -0.3]])
    model, panel, *_ = simulated(VAR, var_matrix=matrix)
    settings = SamplerSettings(draws=500, tune=800, chains=2)
    assert choose(settings, model) == "nuts"
    draws = fit(model, panel, seed=1, settings=settings).draws["var_matrix"].to_numpy()
    eigenvalues = np.sort(np.linalg.eigvals(draws).real, axis=-1)
    near(eigenvalues[..., 0], -0.3, sd_below=0.12)
    near(eigenvalues[..., 1], 0.5, sd_below=0.12)


def test_characteristics_that_a_panel_lacks_are_named(tiny_panel):
    with pytest.raises(ModelError, match="follow characteristics, and the panel has none"):
        FactorModel(n_factors=2, **INSTRUMENTED).build(tiny_panel)


def test_aligned_var_forecasts_the_same(tiny_panel, random_draws):
    """Turning the factors turns the matrix with them: expected factors turn, expected returns stay."""
    model = FactorModel(n_factors=2, **VAR)
    posterior = Posterior.from_draws(random_draws(model, tiny_panel), xr.Dataset(), model, tiny_panel, {})
    a, b = posterior.identified(), posterior.aligned().identified()
    for name in ("expected_return_next", "log_likelihood", "common_variance"):
        np.testing.assert_allclose(a[name], b[name], rtol=1e-8)
    assert not np.allclose(posterior.draws["var_matrix"], posterior.aligned().draws["var_matrix"])


@pytest.mark.parametrize("name", ["moving", "instrumented", "following", "latent", "premium"])
def test_alignment_turns_all_that_multiplies_factors(name, small):
    model = FactorModel(n_factors=2, **COVERED[name])
    panel = with_returns(small, np.random.default_rng(2).normal(0, 0.05, (24, 8)))
    posterior = fit(model, panel, seed=1, settings=SamplerSettings(draws=20, tune=50, chains=2))
    a, b = posterior.identified(), posterior.aligned().identified()
    for quantity in ("expected_return_next", "log_likelihood", "common_variance", "common_covariance"):
        np.testing.assert_allclose(a[quantity], b[quantity], rtol=1e-8)


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_forecast(name, demo_panel):
    """Every preset runs on the engine that covers it, and only the VAR is left to NUTS."""
    model = FactorModel.from_preset(name)
    assert choose(SamplerSettings(), model) == ("nuts" if name == "var" else "gibbs")


@pytest.fixture(scope="module")
def small():
    """24 periods of 8 assets in 2 classes, with a late start, an early end and gaps."""
    rng = np.random.default_rng(1)
    shape = (24, 8)
    returns = np.zeros(shape)
    returns[:6, 1] = np.nan
    returns[20:, 6] = np.nan
    returns[rng.random(shape) < 0.05] = np.nan
    return Panel.from_arrays(
        returns,
        asset_class=["stock"] * 5 + ["bond_etf"] * 3,
        recent_return=rng.standard_normal(shape),
        recent_volatility=0.7 * rng.standard_normal((*shape, 1)),
        market_volatility=0.6 * rng.standard_normal((24, 1)),
        characteristics=moving_characteristics(np.r_[np.ones(5), np.zeros(3)], rng.standard_normal(8), 24),
        earnings=rng.random(shape) < 0.3,
        market_risk=0.05 * rng.standard_normal(shape),
        next_market_risk=0.05 * rng.standard_normal(8),
        next_recent_return=rng.standard_normal(8),
        next_recent_volatility=0.7 * rng.standard_normal((8, 1)),
        next_market_volatility=[0.5],
        next_earnings=np.ones(8),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", COVERED)
def test_gibbs_is_calibrated(name, small):
    result = calibrate(FactorModel(n_factors=K, **COVERED[name]), small, seed=3, n_replicates=300, n_draws=49)
    inside = result.inside()
    assert len(inside) >= 18
    if not inside.all():  # one in five runs by chance: 22 quantities, each with 1 %. So look again, harder
        model = FactorModel(n_factors=K, **COVERED[name])
        again = calibrate(model, small, seed=4, n_replicates=900, n_draws=49)
        assert again.inside()[inside.index[~inside]].all(), (
            result.summary().to_string() + again.summary().to_string()
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", AGREE)
def test_engines_agree(name, small):
    """Gibbs and NUTS give the same posterior: means within 4.5 Monte Carlo errors."""
    model = FactorModel(n_factors=K, **AGREE[name])
    evidence = (Evidence("A1", 0.1, 0.03), Evidence("A8", -0.02, 0.05)) if "evidence" in name else ()
    rng = np.random.default_rng(5)
    p = {
        "factor_scale": np.array([0.05, 0.02]),
        "loadings": rng.standard_normal((8, 2)) + np.array([1.0, 0.0]),
        "theta": np.full(8, -3.5),
        "beta_rv": np.full((8, 1), 0.4),
        **{k: np.zeros(8) for k in ("alpha", "beta_rr", "beta_earnings")},
        "nu": np.full(8, 7.0),
    }
    plain = FactorModel(n_factors=K, dynamics=())
    panel = with_returns(small, simulate(plain, p, model_data(plain, small), rng=rng).log_returns)
    runs = []
    for engine in ("gibbs", "nuts"):
        settings = SamplerSettings(engine=engine, draws=2000, thin=10)
        posterior = fit(model, panel, seed=3, settings=settings, evidence=evidence)
        runs.append(posterior.identified())
        if evidence:
            assert "evidence_return" in runs[-1]
    z = {}
    for quantity in runs[0].data_vars:
        a, b = (r[quantity].transpose("chain", "draw", ...).to_numpy() for r in runs)
        error = np.hypot(mcse_mean(a), mcse_mean(b))
        apart = np.abs(a.mean((0, 1)) - b.mean((0, 1)))
        # What the model fixes, such as an expected return without a mean, is the same in both.
        fixed = np.where(apart > 0, np.inf, 0.0)
        z[str(quantity)] = np.max(np.divide(apart, error, out=fixed, where=error > 0))
    assert len(z) > 15
    assert max(z.values()) < 4.5, z
