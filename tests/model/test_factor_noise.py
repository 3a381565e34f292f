"""Student-t factors (eq. 3f): the law of histories, forecasts and replicates, files, variance, rotation."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.parts.factor_noise import NormalFactorNoise, StudentTFactorNoise
from bdfm.model.simulate import simulate, simulate_ahead
from bdfm.names import PERIOD_WEIGHTS
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive_checks import posterior_predictive
from bdfm.risk import bayesian_risk

NU = 4.0
STUDENT = {"factor_noise": {"kind": "student_t", "nu_mean": 6.0, "nu_sd": 2.0}}


@pytest.fixture(scope="module")
def case(small_preset, random_draws):
    """Model with everything that moves the scale of a period, and random draws of it."""
    model, panel = small_preset("market_volatility")
    model = FactorModel(**model.model_dump() | STUDENT | {"dynamics": []})
    draws = random_draws(model, panel, draws=40)
    return model, panel, Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1})


def one(posterior, n, **changes):
    """One draw of the parameters, n times, without mixing variables unless ``changes`` bring some."""
    p = {name: np.repeat(x[:1], n, axis=0) for name, x in posterior.parameters().items()}
    del p["factor_mixing"]
    return p | {"factor_nu": np.full(n, NU)} | changes


def assert_student(z):
    """Pairs (draw, 2) are Student-t in two dimensions: each number, and the squared length (an F)."""
    for k in range(2):
        assert stats.kstest(z[:, k], stats.t(NU).cdf).pvalue > 1e-3
    assert stats.kstest(np.square(z).sum(axis=1) / 2, stats.f(2, NU).cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(z[:, 0], z[:, 1])[0]) < 0.05


def test_factors_of_a_simulated_history_are_jointly_student(case):
    model, panel, posterior = case
    data = model_data(model, panel)
    p = one(posterior, 4000)
    factors = simulate(model, p, data, rng=np.random.default_rng(1)).factors
    z = factors / model.factor_scale.scale(p, data)
    assert_student(z[:, 3])
    assert_student(z[:, -1])
    assert abs(np.corrcoef(np.square(z[:, 3, 0]), np.square(z[:, 4, 1]))[0, 1]) < 0.1


def test_a_history_has_the_mixing_variables_that_it_is_given(case):
    model, panel, posterior = case
    data = model_data(model, panel)
    xi = np.tile(np.linspace(0.1, 3.0, panel.n_history), (4000, 1))
    p = one(posterior, 4000, factor_mixing=xi)
    factors = simulate(model, p, data, rng=np.random.default_rng(1)).factors
    z = factors * np.sqrt(xi)[..., None] / model.factor_scale.scale(p, data)
    assert stats.kstest(z[:, 0].ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(z[:, -1].ravel(), "norm").pvalue > 1e-3


def ahead(model, panel, p, n_paths=2, seed=2):
    """Log returns (path, draw, asset) of the next period, without noise or mean to speak of."""
    quiet = p | {"theta": np.full_like(p["theta"], -25.0)}
    past = p["factors"][:, :0]
    future = model_data(model, panel, future=True)
    rng = np.random.default_rng(seed)
    return simulate_ahead(model, quiet, past, future, n_paths=n_paths, rng=rng, dtype=np.float64)[:, :, 0]


def test_a_forecast_draws_a_mixing_variable_for_each_path(case):
    model, panel, posterior = case
    plain = FactorModel(**model.model_dump() | {"mean": []})
    p = one(posterior, 4000)
    p = {name: x for name, x in p.items() if name not in ("alpha", "beta_rr")}
    up, down = ahead(plain, panel, p)
    np.testing.assert_allclose(up, -down, atol=1e-9)  # pairs share the size of the shocks
    multiplier = np.exp(model.factor_scale.log_multiplier(p, model_data(model, panel, future=True)))[:, :1]
    loadings = p["loadings"] * (p["factor_scale"] * multiplier)[:, None]
    assert_student(np.linalg.lstsq(loadings[0], up.T, rcond=None)[0].T)
    paths = ahead(plain, panel, {name: x[:1] for name, x in p.items()}, n_paths=4000)[::2, 0]
    assert_student(np.linalg.lstsq(loadings[0], paths.T, rcond=None)[0].T)


def test_replicates_draw_mixing_variables_anew(case):
    model, panel, posterior = case
    draws = posterior.draws.assign(
        factor_nu=0 * posterior.draws["factor_nu"] + NU,
        factor_mixing=0 * posterior.draws["factor_mixing"] + 9,
    )
    posterior = Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1})
    factors = posterior_predictive(posterior, n_draws=posterior.n_draws, seed=3)["factors"].to_numpy()
    z = factors / model.factor_scale.scale(posterior.parameters(), model_data(model, panel))
    assert_student(z.reshape(-1, 2))


def test_a_known_mixing_variable_of_the_next_period_stays():
    part, future = StudentTFactorNoise(), {PERIOD_WEIGHTS: np.ones(3)}
    p = {"factor_nu": np.full(5000, NU), "factor_mixing_next": np.full(5000, 0.25)}
    multiplier = part.simulate_ahead(p, future, 5000, np.random.default_rng(1))
    np.testing.assert_array_equal(multiplier[:, 0], 2.0)
    assert part.multiplier_next(p)[0] == 2.0
    assert stats.kstest(NU / multiplier[:, 1:].ravel() ** 2, stats.chi2(NU).cdf).pvalue > 1e-3


@pytest.mark.parametrize("nu", [0.7, 2.0, 3.0, 9.0])
def test_variance_of_cut_innovations(nu):
    cut = 60.0
    found = StudentTFactorNoise().variance({"factor_nu": np.array([nu])}, np.array([cut]))[0]
    tail = integrate.quad(
        lambda u: 4 * np.exp(2 * u) * stats.t.sf(np.exp(u), nu), -20, np.log(cut), limit=400
    )
    assert found == pytest.approx(tail[0], rel=1e-4)
    assert NormalFactorNoise().variance({}, np.array([cut])) == 1.0


def test_risk_is_finite_for_every_number_of_degrees_of_freedom(case):
    model, panel, posterior = case
    draws = posterior.draws.assign(factor_nu=0 * posterior.draws["factor_nu"] + 1.2)
    heavy = Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1})
    f = bayesian_risk(heavy, n_draws=20).factor_covariance.to_numpy()
    calm = bayesian_risk(posterior, n_draws=20).factor_covariance.to_numpy()
    assert np.isfinite(f).all()
    assert (np.diagonal(f, axis1=1, axis2=2) > np.diagonal(calm, axis1=1, axis2=2)).all()


def test_normal_factors_are_no_table_and_student_factors_are():
    normal = FactorModel(name="x")
    assert "factor_noise" not in normal.model_dump()
    assert "factor_noise" not in normal.model_dump_json()
    assert "factor_noise" not in normal.to_toml()
    assert FactorModel(**normal.model_dump() | {"factor_noise": {"kind": "normal"}}) == normal
    model = FactorModel.from_toml('[factor_noise]\nkind = "student_t"\nnu_mean = 5.0')
    assert model.factor_noise == StudentTFactorNoise(nu_mean=5.0)
    assert FactorModel.from_toml(model.to_toml()) == model
    assert FactorModel.model_validate_json(model.model_dump_json()) == model
    assert all("[factor_noise]" not in file.read_text(encoding="utf-8") for file in presets().values())


@pytest.mark.long
def test_a_fit_and_all_that_follows(small_preset, tmp_path):
    model, panel = small_preset("stochastic_volatility")
    model = FactorModel(**model.model_dump() | STUDENT)
    settings = SamplerSettings(engine="gibbs", draws=40, tune=60, chains=2, thin=1)
    evidence = [Evidence("A3", 0.05, 0.04)]
    posterior = fit(model, panel, seed=3, settings=settings, evidence=evidence)
    draws = posterior.draws
    assert draws["factor_nu"].dims == ("chain", "draw")
    assert draws["factor_mixing"].dims == ("chain", "draw", "period")
    assert draws.sizes["period"] == panel.n_history
    assert draws["factor_mixing_next"].dims == ("chain", "draw")
    judged = posterior.diagnose().table["elements"]
    assert judged[["factor_nu", "factor_mixing", "factor_mixing_next"]].to_list() == [1, panel.n_history, 1]
    aligned = posterior.aligned()
    xr.testing.assert_equal(aligned.draws["factor_mixing"], draws["factor_mixing"])
    np.testing.assert_allclose(aligned.log_likelihood(), posterior.log_likelihood(), rtol=1e-9)
    returns = posterior.forecast(seed=1, n_draws=400).draws
    loaded = Posterior.load(posterior.save(tmp_path / "p.nc"))
    np.testing.assert_array_equal(loaded.forecast(seed=1, n_draws=400).draws, returns)
    np.testing.assert_allclose(aligned.forecast(seed=1, n_draws=400).draws, returns, atol=1e-5)
    alone = fit(model, panel, seed=3, settings=settings)
    assert "factor_mixing_next" not in alone.draws
    assert not np.array_equal(alone.forecast(seed=1).draws, alone.forecast(seed=2).draws)


def test_candidate_is_the_core_of_house_with_student_factors():
    place = Path(__file__).parents[2] / "scripts" / "benchmarks"
    found, core = (FactorModel.from_toml(place / f"skill_{name}.toml") for name in ("core_t", "core"))
    own = {"name": "core-t", "factor_noise": {"kind": "student_t"}}
    assert found == FactorModel(**core.model_dump() | own)
