"""The model as a whole: files, joint checks, density, missing data, weights, evidence."""

import datetime as dt

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from bdfm.errors import DataError, ModelError, UnknownLabelError
from bdfm.model.equations import model_data, scaled
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.parts.dynamics import AR1, VAR1, Momentum, standard_innovations
from bdfm.model.parts.factor_scale import MarketVolatilityScale
from bdfm.model.parts.loadings import RandomWalkLoadings
from bdfm.model.parts.log_volatility import LogVolIntercept, RecentVolatility
from bdfm.model.parts.mean import Intercept, RecentReturn
from bdfm.model.parts.noise import NormalNoise, StandardNoise
from bdfm.model.parts.weights import HalfLifeWeights, StepWeights
from bdfm.model.simulate import simulate, simulate_ahead


@pytest.fixture
def model():
    return FactorModel(n_factors=2, weights=StepWeights(cutoff=dt.date(2018, 6, 1), before=0.4))


def evaluate(pymc_model, names, point):
    """Values of variables at a point of the unconstrained space."""
    variables = pymc_model.replace_rvs_by_values([pymc_model[n] for n in names])
    function = pymc_model.compile_fn(variables, inputs=pymc_model.value_vars, on_unused_input="ignore")
    return dict(zip(names, function(point), strict=True))


def random_point(pymc_model, rng):
    return {k: v + 0.3 * rng.standard_normal(np.shape(v)) for k, v in pymc_model.initial_point().items()}


# -- files ---------------------------------------------------------------------------------------------


def test_presets_round_trip_through_toml():
    assert "m6" in presets()
    for name in presets():
        preset = FactorModel.from_preset(name)
        assert preset.name == name
        assert FactorModel.from_toml(preset.to_toml()) == preset


def test_m6_has_the_published_settings():
    m6 = FactorModel.from_preset("m6")
    assert (m6.n_factors, m6.panel.n_periods, m6.panel.period) == (7, 104, 28)
    assert [d.kind for d in m6.dynamics] == ["ar1"]
    assert m6.panel.volatility_windows == (5,)
    assert m6.weights.cutoff == dt.date(2018, 5, 1)
    assert (m6.loadings.nu, m6.noise.nu_mean) == (10, 7)


@pytest.mark.parametrize("name", sorted(presets()))
def test_toml_states_every_setting(name):
    """The file is the whole model: no default hides outside it."""
    import tomllib

    table = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    assert table == tomllib.loads(FactorModel.from_preset(name).to_toml())
    assert table["name"] == name


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("n_factor = 3", UnknownLabelError, r"top level: unknown key n_factor\. Did you mean n_factors\?"),
        ('[[dynamics]]\nkind = "ar1"\nrho_sdd = 1', UnknownLabelError, "unknown key rho_sdd.*rho_sd"),
        ('[[mean]]\nkind = "intercep"', UnknownLabelError, "mean.*unknown kind 'intercep'.*'intercept'"),
        ("[noise]\nnu_mean = 3", ModelError, r"\[noise\].*`kind` is missing"),
        (
            '[noise]\nkind = "student_t"\nnu_mean = -3',
            ModelError,
            r"table \[noise\]: nu_mean should be greater than 0, got -3\.",
        ),
        ("[panel]\nwindows = [5]", UnknownLabelError, r"table \[panel\]: unknown key windows"),
        ("n_factors = ", ModelError, "not valid TOML"),
        ("n_factors = 0", ModelError, "top level: n_factors should be greater than or equal to 1, got 0"),
    ],
)
def test_errors_in_toml_name_the_key(text, error, message):
    with pytest.raises(error, match=message):
        FactorModel.from_toml(text)


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(UnknownLabelError, match=r"unknown preset m66\. Did you mean m6\?"):
        FactorModel.from_preset("m66")


def test_parts_may_not_share_a_claim():
    with pytest.raises(ModelError, match="AR1 and Momentum both describe the factor lag 1"):
        FactorModel(dynamics=(AR1(), Momentum()))


# -- density -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["student_t", "normal"])
def test_log_likelihood_equals_a_naive_loop(tiny_panel, model, rng, noise):
    if noise == "normal":
        model = model.model_copy(update={"noise": NormalNoise()})
    pymc_model = model.build(tiny_panel)
    point = random_point(pymc_model, rng)
    names = ["loadings", "factors", "alpha", "beta_rr", "theta", "beta_rv", "beta_earnings"]
    p = evaluate(pymc_model, names + (["nu"] if noise == "student_t" else []), point)
    x = model_data(model, tiny_panel)
    expected, n_cells, pointwise = 0.0, 0, np.zeros(x["log_returns"].shape)
    for t, i in np.argwhere(np.isfinite(x["log_returns"])):
        mu = p["alpha"][i] + p["loadings"][i] @ p["factors"][t] + p["beta_rr"][i] * x["recent_return"][t, i]
        log_scale = (
            p["theta"][i]
            + p["beta_rv"][i, 0] * x["recent_volatility"][t, i, 0]
            + p["beta_earnings"][i] * x["earnings"][t, i]
        )
        law = stats.norm() if noise == "normal" else stats.t(p["nu"][i])
        z = (x["log_returns"][t, i] - mu) / np.exp(log_scale)
        pointwise[t, i] = law.logpdf(z) - log_scale
        expected += x["period_weights"][t] * pointwise[t, i]
        n_cells += 1
    assert n_cells == np.isfinite(x["log_returns"]).sum() < x["log_returns"].size
    likelihood, weighting = pymc_model["log_returns"], pymc_model["period_weighting"]
    observed = pymc_model.compile_logp(vars=[likelihood, weighting])(point)
    np.testing.assert_allclose(observed, expected, rtol=1e-10)
    # The elements, (period, asset), are unweighted, and 0 where a return is missing.
    (elements,) = pymc_model.compile_logp(vars=[likelihood], sum=False)(point)
    np.testing.assert_allclose(elements, pointwise, rtol=1e-10)


def test_gradient_is_finite_at_the_start(tiny_panel, model):
    pymc_model = model.build(tiny_panel)
    gradient = pymc_model.compile_dlogp()(pymc_model.initial_point())
    assert np.all(np.isfinite(gradient))


def test_unit_weights_are_no_weights(tiny_panel, rng):
    equal = FactorModel(n_factors=2)
    halved = FactorModel(n_factors=2, weights=HalfLifeWeights(half_life_periods=1e12))
    point = random_point(equal.build(tiny_panel), rng)
    values = [m.build(tiny_panel).compile_logp()(point) for m in (equal, halved)]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)


def test_permuting_assets_permutes_the_density(tiny_panel, model, rng):
    order = rng.permutation(len(tiny_panel.assets))
    permuted = tiny_panel.select([tiny_panel.assets[i] for i in order])
    first, second = model.build(tiny_panel), model.build(permuted)
    point = random_point(first, rng)
    # Classes are listed in order of first appearance, so they may be permuted too.
    classes = [tiny_panel.asset_classes.index(c) for c in permuted.asset_classes]
    moved = {}
    for name, value in point.items():
        dims = first.named_vars_to_dims.get(name.removesuffix("_log__").removesuffix("_interval__"), ())
        for axis, dim in enumerate(dims):
            value = (
                np.take(value, order if dim == "asset" else classes, axis)
                if dim in ("asset", "asset_class")
                else value
            )
        moved[name] = value
    np.testing.assert_allclose(second.compile_logp()(moved), first.compile_logp()(point), rtol=1e-10)


def test_dims_and_coords_are_named(tiny_panel, model):
    built = model.build(tiny_panel)
    assert built.named_vars_to_dims["log_returns"] == ("period", "asset")
    assert built.named_vars_to_dims["loadings"] == ("asset", "factor")
    assert list(built.coords["asset"]) == list(tiny_panel.assets)
    assert all(v.name in built.named_vars_to_dims for v in built.free_RVs if v.ndim)


def test_a_user_can_extend_the_model(tiny_panel, model):
    with model.build(tiny_panel) as extended:
        pm.Potential("belief", pm.logp(pm.Normal.dist(0, 0.01), extended["alpha"]).sum())
    assert np.isfinite(extended.compile_logp()(extended.initial_point()))


# -- simulation ----------------------------------------------------------------------------------------


@pytest.mark.long
def test_prior_predictive_of_pymc_and_of_simulate_agree(tiny_panel, model, rng):
    built = model.build(tiny_panel)
    n = 1500
    names = [v.name for v in (*built.free_RVs, *built.deterministics) if not v.name.endswith("_z")]
    wanted = [*(built[x] for x in names), built["log_returns"]]
    draws = pm.draw(wanted, draws=n, random_seed=3, mode="FAST_COMPILE")  # of so many, rewriting is worth it
    *parameters, returns = draws
    p = dict(zip(names, parameters, strict=True))
    simulated = simulate(model, p, model_data(model, tiny_panel), rng=rng)
    for t, i in [(0, 0), (0, 5), (20, 2), (35, 7)]:
        assert stats.ks_2samp(returns[:, t, i], simulated.log_returns[:, t, i]).pvalue > 1e-3
    for t in (0, 35):
        assert stats.ks_2samp(p["factors"][:, t, 0], simulated.factors[:, t, 0]).pvalue > 1e-3


def test_a_var_starts_with_the_scale_of_the_first_period(rng):
    """Simulated factors give back innovations of unit sd in every period, also where the scale moves."""
    n, n_periods = 4000, 6
    model = FactorModel(
        n_factors=2,
        dynamics=(VAR1(),),
        factor_scale=MarketVolatilityScale(),
        mean=(Intercept(),),
        log_volatility=(LogVolIntercept(),),
        noise=NormalNoise(),
    )
    data = {
        "class_index": np.zeros(3, dtype=int),
        "market_volatility": np.linspace(-1, 1, n_periods)[:, None],
        "period_weights": np.ones(n_periods),
    }
    p = {
        "var_matrix": np.tile([[0.5, 0.2], [0.0, 0.3]], (n, 1, 1)),
        "factor_scale": np.tile([0.05, 0.02], (n, 1)),
        "beta_mv": np.ones((n, 1)),
        "loadings": np.ones((n, 3, 2)),
        "alpha": np.zeros((n, 3)),
        "theta": np.full((n, 3), -4.0),
    }
    factors = simulate(model, p, data, rng=rng).factors
    z = standard_innovations(model.lags(p), factors, model.factor_scale.scale(p, data))
    np.testing.assert_allclose(z.std(axis=0), 1, atol=4 / np.sqrt(2 * n))


def test_periods_ahead_count_in_full_and_have_the_last_loadings(tiny_panel):
    model = FactorModel(
        loadings=RandomWalkLoadings(every=10), weights=StepWeights(cutoff=dt.date(2100, 1, 1), before=0.4)
    )
    past, ahead = (model_data(model, tiny_panel, future=f) for f in (False, True))
    assert past["period_weights"].tolist() == [0.4] * 36
    assert ahead["period_weights"].tolist() == [1.0]
    assert np.unique(past["loading_block"]).tolist() == [0, 1, 2, 3]
    assert ahead["loading_block"].tolist() == [3]


def test_the_other_draw_of_a_pair_turns_around_its_centre():
    noise = StandardNoise(np.array([[1.0, -0.5]]), np.array([[2.0, 1.0]]), np.array([[0.3, -0.2]]))
    mu, scale = np.array([[0.01, 0.02]]), np.array([[0.05, 0.1]])
    pair = scaled(mu, scale, noise, sign=np.array([1.0, -1.0])[:, None, None])
    np.testing.assert_allclose(pair.mean(axis=0), mu + scale * noise.centre, atol=1e-15)
    np.testing.assert_allclose(pair[0] - pair[1], 2 * scale * noise.multiplier * noise.normal)


def often(model, p, n=1000):
    """One parameter set as many draws, from factors of 0.05: paths of all draws are made at once."""
    return model, {k: np.repeat(v, n, axis=0) for k, v in p.items()}, np.full((n, 1, 1), 0.05)


def test_paths_ahead_equal_the_equations(tiny_panel, rng):
    """Mean and sd over many paths of one parameter set against eq. 2, 3a and 7 by hand."""
    model = FactorModel(
        n_factors=1, mean=(Intercept(),), log_volatility=(LogVolIntercept(),), noise=NormalNoise()
    )
    n_assets = len(tiny_panel.assets)
    p = {
        "rho": np.array([0.6]),
        "factor_scale": np.array([[0.03]]),
        "loadings": np.linspace(-1, 2, n_assets)[None, :, None],
        "alpha": np.linspace(0, 0.02, n_assets)[None, :],
        "theta": np.full((1, n_assets), np.log(0.02)),
    }
    data = model_data(model, tiny_panel, future=True)
    paths = simulate_ahead(*often(model, p), data, n_paths=40, rng=rng).reshape(-1, n_assets)
    w = p["loadings"][0, :, 0]
    # Antithetic paths make the mean exact up to rounding.
    np.testing.assert_allclose(paths.mean(axis=0, dtype=float), p["alpha"][0] + w * 0.6 * 0.05, atol=1e-7)
    np.testing.assert_allclose(paths.std(axis=0), np.sqrt((w * 0.03) ** 2 + 0.02**2), rtol=0.03)


def test_each_step_ahead_has_its_own_features(rng):
    """Mean and sd of three steps with features of their own, by eq. 2, 3d and 7."""
    n_assets, rho = 4, 0.5
    model = FactorModel(
        n_factors=1,
        mean=(RecentReturn(),),
        factor_scale=MarketVolatilityScale(),
        log_volatility=(LogVolIntercept(), RecentVolatility()),
        noise=NormalNoise(),
    )
    data = {
        "class_index": np.zeros(n_assets, dtype=int),
        "recent_return": rng.standard_normal((3, n_assets)),
        "recent_volatility": rng.standard_normal((3, n_assets, 1)),
        "market_volatility": np.array([[-0.5], [1.0], [0.2]]),
        "period_weights": np.ones(3),
    }
    w = np.linspace(-1, 2, n_assets)
    p = {
        "rho": np.array([rho]),
        "factor_scale": np.array([[0.03]]),
        "beta_mv": np.array([[0.8]]),
        "loadings": w[None, :, None],
        "beta_rr": np.full((1, n_assets), 0.01),
        "theta": np.full((1, n_assets), np.log(0.02)),
        "beta_rv": np.full((1, n_assets, 1), 0.5),
    }
    paths = simulate_ahead(*often(model, p), data, n_paths=20, rng=rng).reshape(-1, 3, n_assets).astype(float)
    variance = 0.0
    for s in range(3):
        mean = w * 0.05 * rho ** (s + 1) + 0.01 * data["recent_return"][s]
        np.testing.assert_allclose(paths[:, s].mean(axis=0), mean, atol=1e-7)  # exact in antithetic pairs
        variance = rho**2 * variance + (0.03 * np.exp(0.8 * data["market_volatility"][s, 0])) ** 2
        noise = 0.02 * np.exp(0.5 * data["recent_volatility"][s, :, 0])
        np.testing.assert_allclose(paths[:, s].std(axis=0), np.sqrt(w**2 * variance + noise**2), rtol=0.03)


# -- evidence ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "error", "message"),
    [
        ([Evidence("A9", 0.0, 0.1)], UnknownLabelError, "evidence: unknown asset A9"),
        ([Evidence("A1", 0.0, 0.1)] * 2, DataError, r"given more than once \(A1\)"),
        ([Evidence("A1", 0.0, 0.0)], DataError, "evidence on A1: sd must be above 0, got 0"),
        ([Evidence("A1", np.nan, 0.1)], DataError, "evidence on A1: mean must be a finite number"),
        ([Evidence("A1", 1e298, 0.1)], DataError, r"evidence on A1: 1e\+298 is more than 100"),
        ([Evidence("A1", -1.5, 0.1)], DataError, "evidence on A1: .*loses more than everything"),
    ],
)
def test_bad_evidence(tiny_panel, model, evidence, error, message):
    with pytest.raises(error, match=message):
        model.build(tiny_panel, evidence=evidence)


def test_evidence_adds_the_forecast_period(tiny_panel, model):
    built = model.build(tiny_panel, evidence=[Evidence("A1", 0.02, 0.1), Evidence("A3", 0.0, 0.05)])
    assert list(built.coords["evidence"]) == ["A1", "A3"]
    assert built.named_vars_to_dims["factors_next"] == ("factor",)
    assert np.isfinite(built.compile_logp()(built.initial_point()))


def test_a_model_in_a_notebook_is_a_table_of_its_variables():
    for name in presets():
        model = FactorModel.from_preset(name)
        html = model._repr_html_()
        stored = [v for v in model.variables if v.stored]
        assert html.count("<tr>") == len(stored) + 1
        assert all(f"<td>{v.name}</td>" in html and f"<td>{v.unit}</td>" in html for v in stored)
    assert "<script>" not in FactorModel(name="<script>")._repr_html_()
