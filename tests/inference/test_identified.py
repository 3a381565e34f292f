"""Identified quantities against loops and the equations, for draws that no sampler made."""

import numpy as np
import pytest
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError
from bdfm.inference.identified import common_covariance, identified, judged_variables
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.loadings import RandomWalkLoadings
from bdfm.model.parts.log_volatility import LogVolIntercept
from bdfm.model.parts.mean import FactorPremium, Intercept
from bdfm.model.parts.weights import HalfLifeWeights
from bdfm.posterior.posterior import Posterior

ASSETS = ["XOM", "TLT", "IVV", "OGN"]
T = 30


@pytest.fixture
def model():
    return FactorModel(n_factors=3, panel=PanelSettings(volatility_windows=(5, 21)))


@pytest.fixture
def panel(rng):
    n = len(ASSETS)
    return Panel.from_arrays(
        0.05 * rng.standard_normal((T, n)),
        asset_class=["a", "b", "a", "b"],
        assets=ASSETS,
        recent_return=rng.standard_normal((T, n)),
        recent_volatility=rng.standard_normal((T, n, 2)),
        earnings=rng.integers(0, 2, (T, n)).astype(float),
        next_recent_return=rng.standard_normal(n),
        next_recent_volatility=rng.standard_normal((n, 2)),
        next_earnings=np.array([0.0, 1.0, 1.0, 0.0]),
        settings=PanelSettings(volatility_windows=(5, 21)),
    )


@pytest.fixture
def posterior(model, panel, random_draws):
    return random_draws(model, panel)


def test_common_covariances_equal_a_loop(posterior, model, panel):
    result = identified(posterior, model, panel)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    assert list(result["pair"].values) == [f"{ASSETS[i]}~{ASSETS[j]}" for i, j in pairs]
    for c, d in np.ndindex(posterior.sizes["chain"], posterior.sizes["draw"]):
        draw = posterior.isel(chain=c, draw=d)
        w, scale = draw["loadings"].values, draw["factor_scale"].values
        covariance = w @ np.diag(scale**2) @ w.T
        found = result.isel(chain=c, draw=d)
        np.testing.assert_allclose(found["common_variance"], np.diag(covariance), rtol=1e-12)
        np.testing.assert_allclose(found["common_covariance"], [covariance[p] for p in pairs], rtol=1e-9)


def test_pairs_of_a_large_universe_are_evenly_spaced(posterior, model, panel, monkeypatch):
    whole = identified(posterior, model, panel)["common_covariance"]
    monkeypatch.setattr("bdfm.inference.identified.MAX_PAIRS", 3)
    few = identified(posterior, model, panel)["common_covariance"]
    xr.testing.assert_allclose(few, whole.isel(pair=[0, 2, 5]), rtol=1e-12, atol=0.0)


def test_a_covariance_has_no_order(posterior, model, panel):
    one, other = common_covariance(posterior, "OGN", "XOM"), common_covariance(posterior, "XOM", "OGN")
    xr.testing.assert_equal(one, other)
    by_pair = identified(posterior, model, panel)["common_covariance"].sel(pair="XOM~OGN", drop=True)
    np.testing.assert_allclose(one, by_pair, rtol=1e-12)


@pytest.mark.parametrize("constant", ["_BLOCK_BYTES", "_BLOCK_DRAWS"])
def test_blocks_of_draws_do_not_matter(posterior, model, panel, monkeypatch, constant):
    whole = identified(posterior, model, panel)
    size = 8 * 16 * 3 if constant == "_BLOCK_BYTES" else 3
    monkeypatch.setattr(f"bdfm.inference.identified.{constant}", size)
    xr.testing.assert_equal(identified(posterior, model, panel), whole)


def test_what_is_passed_on_is_what_the_parts_declare(posterior, model, panel):
    result = identified(posterior, model, panel)
    made = {"common_variance", "common_covariance", "noise_scale_next", "log_noise_scale"}
    made |= {"expected_return_next", "log_likelihood"}
    hypers = {"sigma_alpha", "mu_beta_rr", "sigma_beta_rr", "mu_theta", "sigma_theta", "mu_beta_rv"}
    hypers |= {"sigma_beta_rv", "mu_beta_earnings", "sigma_beta_earnings", "sigma_nu"}
    own = {"rho", "alpha", "beta_rr", "theta", "beta_rv", "beta_earnings", "nu"} | hypers
    assert set(result.data_vars) == made | own
    assert set(judged_variables(model)) == own
    xr.testing.assert_equal(result["mu_theta"], posterior["mu_theta"])


def test_variables_of_an_extension_are_judged_unless_they_have_a_factor(posterior, model, panel):
    more = posterior.assign(own=2 * posterior["rho"], slope=posterior["factor_scale"] * 2)
    result = identified(more, model, panel)
    assert "own" in result
    assert "slope" not in result


def test_noise_scales_follow_equation_7(posterior, model, panel):
    """The mean is over the history alone, and the next period is the first one after the origin."""
    x = panel.dataset
    log_scale = (
        posterior["theta"]
        + (posterior["beta_rv"] * x["recent_volatility"]).sum("window")
        + posterior["beta_earnings"] * x["earnings"]
    ).transpose("chain", "draw", "period", "asset")
    past, ahead = log_scale.isel(period=slice(T)), log_scale.isel(period=T)
    result = identified(posterior, model, panel)
    np.testing.assert_allclose(result["noise_scale_next"], np.exp(ahead), rtol=1e-12)
    np.testing.assert_allclose(result["log_noise_scale"], past.mean("period"), rtol=1e-10)
    full = identified(posterior, model, panel, full=True)
    np.testing.assert_allclose(full["noise_scale"], np.exp(past), rtol=1e-12)
    assert "noise_scale_next" not in full


def test_a_longer_horizon_changes_nothing(posterior, model, panel):
    """Whatever the panel knows of later periods is not what a posterior is judged on."""
    future = panel.dataset.isel(period=slice(T, None))
    later = future.assign_coords(period=future["period"] + np.timedelta64(28, "D"))
    later = later.assign(earnings=1 - later["earnings"])
    longer = xr.concat([panel.dataset, later], "period", data_vars="minimal", coords="minimal")
    other = Panel.from_dataset(longer.assign_attrs(panel.dataset.attrs))
    assert other.n_future == 2
    xr.testing.assert_equal(identified(posterior, model, other), identified(posterior, model, panel))


def test_expected_return_and_likelihood_follow_the_equations(posterior, model, panel):
    data = model_data(model, panel)
    ahead = at_periods(model_data(model, panel, future=True), slice(1))
    result = identified(posterior, model, panel).isel(chain=1, draw=2)
    draw = {str(k): v.values for k, v in posterior.isel(chain=1, draw=2).data_vars.items()}
    state = draw["rho"] * draw["factors"][-1]
    mu = draw["alpha"] + draw["loadings"] @ state + draw["beta_rr"] * ahead["recent_return"][0]
    np.testing.assert_allclose(result["expected_return_next"], mu, rtol=1e-10)
    one = {k: v[None] for k, v in draw.items()}
    total = np.nansum(model.log_likelihood(one, data))
    np.testing.assert_allclose(result["log_likelihood"], total, rtol=1e-12)


def test_evidence_and_period_weights_count(model, panel, random_draws):
    """With evidence the next factors are drawn, not expected; the likelihood is the weighted one."""
    weighted = model.model_copy(update={"weights": HalfLifeWeights(half_life_periods=5)})
    draws = random_draws(weighted, panel, evidence=[Evidence("TLT", 0.01, 0.1)])
    result = identified(draws, weighted, panel).isel(chain=1, draw=2)
    draw = {str(k): v.values for k, v in draws.isel(chain=1, draw=2).data_vars.items()}
    x = at_periods(model_data(weighted, panel, future=True), slice(1))["recent_return"][0]
    mu = draw["alpha"] + draw["loadings"] @ draw["factors_next"] + draw["beta_rr"] * x
    np.testing.assert_allclose(result["expected_return_next"], mu, rtol=1e-10)
    one = {k: v[None] for k, v in draw.items()}
    density = weighted.log_likelihood(one, model_data(weighted, panel))[0]
    weights = 2.0 ** (-np.arange(T)[::-1] / 5)
    np.testing.assert_allclose(result["log_likelihood"], weights @ density.sum(axis=1), rtol=1e-12)


def test_model_without_regressors_has_a_constant_noise_scale(panel, random_draws):
    plain = FactorModel(n_factors=2, mean=(Intercept(),), log_volatility=(LogVolIntercept(),))
    draws = random_draws(plain, panel)
    result = identified(draws, plain, panel)
    np.testing.assert_allclose(result["noise_scale_next"], np.exp(draws["theta"]))
    np.testing.assert_allclose(result["log_noise_scale"], draws["theta"], rtol=1e-14)
    assert identified(draws, plain, panel, full=True)["noise_scale"].sizes["period"] == T


def test_order_of_dims_does_not_matter_and_input_stays(posterior, model, panel):
    before = posterior.copy(deep=True)
    moved = identified(posterior.transpose(..., "draw", "chain"), model, panel)
    xr.testing.assert_allclose(moved, identified(posterior, model, panel), rtol=1e-12)
    xr.testing.assert_identical(posterior, before)


@pytest.mark.parametrize(
    "settings", [{}, {"mean": (FactorPremium(),)}, {"loadings": RandomWalkLoadings(every=8)}]
)
def test_unchanged_by_alignment(panel, random_draws, settings):
    model = FactorModel(n_factors=3, panel=panel.settings, **settings)
    own = Posterior.from_draws(random_draws(model, panel), xr.Dataset(), model, panel, {})
    turned = own.aligned()
    assert not np.allclose(turned.draws["loadings"], own.draws["loadings"])
    for name, old in own.identified().data_vars.items():
        new = turned.identified()[name]
        assert np.abs(new - old).max() < 1e-9 * np.abs(old).max(), name


def test_errors(posterior, model, panel):
    with pytest.raises(DataError, match="the posterior has no dimension draw"):
        identified(posterior.isel(draw=0), model, panel)
