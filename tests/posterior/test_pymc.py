"""What PyMC and ArviZ make of our posteriors and models is what we make of them, for every preset."""

import warnings

import arviz as az
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from few import few
from pytensor.graph.rewriting.utils import rewrite_graph
from scipy import stats

from bdfm import _sealed
from bdfm._checks import seed_number
from bdfm.errors import DataError, FileError, MissingDependencyError, ModelError
from bdfm.inference.diagnostics import diagnose
from bdfm.inference.engine import gibbs_spec, not_covered
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel, presets
from bdfm.model.parts.dynamics import VAR1
from bdfm.model.parts.factor_noise import NormalFactorNoise, StudentTFactorNoise
from bdfm.model.parts.factor_scale import MarketVolatilityScale, StochasticVolatilityScale
from bdfm.model.parts.loadings import RandomWalkLoadings
from bdfm.model.parts.mean import FactorPremium
from bdfm.model.parts.weights import EqualWeights
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive_checks import prior_predictive

SHORT = SamplerSettings(engine="gibbs", draws=30, tune=30, chains=2, thin=1)
MANY = {"mode": "FAST_COMPILE"}  # of graphs that are evaluated hundreds of times: rewriting is worth it
PRESETS = sorted(presets())
# The presets whose parts are of all kinds; the others in the long tests, where each builds its graph.
FEW = few(PRESETS, ("daily", "house", "momentum"))
PREDICTIVE = pytest.mark.filterwarnings("ignore:The effect of Potentials")  # of period_weighting: on purpose


@pytest.fixture(scope="module")
def posteriors(small_preset, random_draws):
    """Posterior of each preset on a small panel: a short Gibbs run, or random draws where NUTS is needed."""
    found = {}

    def of(name):
        if name not in found:
            model, panel = small_preset(name)
            if not_covered(model):
                draws = random_draws(model, panel, draws=30)
                found[name] = Posterior.from_draws(draws, xr.Dataset(), model, panel, {})
            else:
                found[name] = fit(model, panel, seed=3, settings=SHORT)
        return found[name]

    return of


def check_tree(posterior, evidence=()):
    """All free variables are there, with dims and labels, and give back what the posterior stores."""
    built = posterior.model.build(posterior.panel, evidence=evidence)
    draws = posterior.tree["posterior"].to_dataset()
    for variable in built.free_RVs:
        assert variable.name in draws
        dims = built.named_vars_to_dims.get(variable.name, ())
        assert draws[variable.name].dims == ("chain", "draw", *dims), variable.name
        for dim in dims:
            assert list(draws[dim].values) == list(built.coords[dim]), dim
    names = [v.name for v in built.deterministics]
    with built:
        made = pm.compute_deterministics(draws, var_names=names, progressbar=False)
    for name in names:
        scale = np.abs(draws[name]).max().item()
        np.testing.assert_allclose(made[name], draws[name], rtol=1e-7, atol=1e-9 * scale, err_msg=name)
    return built, draws


@pytest.mark.parametrize("name", FEW)
def test_the_tree_holds_a_point_of_the_pymc_model_for_every_draw(posteriors, name):
    check_tree(posteriors(name))


def test_a_model_that_is_open_is_no_parent(posteriors, small_preset):
    """As in a notebook, where all is written within ``with model:``."""
    model, panel = small_preset("house")
    with pm.Model() as other, model.build(panel) as first:
        second = model.build(panel)
        tree = posteriors("house").to_datatree(("prior",), n_prior_draws=5, seed=1)
    assert second.parent is None
    assert second.named_vars.keys() == first.named_vars.keys()
    assert tree["prior"].sizes["draw"] == 5
    assert not other.named_vars


@pytest.mark.parametrize("factors", [NormalFactorNoise(), StudentTFactorNoise()], ids=lambda f: f.kind)
@pytest.mark.parametrize("name", ["m6", "stochastic_volatility", "market_volatility"])
def test_with_evidence_too(small_preset, name, factors):
    model, panel = small_preset(name)
    model = model.model_copy(update={"factor_noise": factors})
    evidence = [Evidence("A3", 0.05, 0.04), Evidence("A0", -0.02, 0.1)]
    posterior = fit(model, panel, seed=3, settings=SHORT, evidence=evidence)
    check_tree(posterior, evidence)


def test_the_sampler_has_the_period_with_evidence_last(small_preset):
    model, panel = small_preset("m6")
    spec = gibbs_spec(model, panel, [Evidence("A3", 0.05, 0.04)])
    data = panel.dataset
    np.testing.assert_array_equal(spec.returns, data["log_returns"])
    features = {e.name: e.features for e in (*spec.mean, *spec.log_volatility)}
    for coefficient, name in (("beta_rr", "recent_return"), ("beta_rv", "recent_volatility")):
        np.testing.assert_array_equal(features[coefficient], data[name])
    assert spec.period_weights[0] < spec.period_weights[-1] == 1
    assert [(e.asset, e.mean, e.sd) for e in spec.evidence] == [(3, 0.05, 0.04)]


@pytest.mark.parametrize(
    "settings",
    [
        {"dynamics": (VAR1(cross_sd=0.0),)},
        {"dynamics": (VAR1(),), "factor_scale": MarketVolatilityScale()},
        {"dynamics": ()},
        {"dynamics": (VAR1(),), "factor_noise": StudentTFactorNoise()},
        {"factor_scale": StochasticVolatilityScale(), "factor_noise": StudentTFactorNoise()},
        {"loadings": RandomWalkLoadings(every=7), "mean": (FactorPremium(),)},
    ],
)
def test_parts_that_no_preset_has(small_preset, random_draws, settings):
    model, panel = small_preset("m6")
    model = model.model_copy(update=settings)
    draws = random_draws(model, panel)
    if "var_matrix" in draws:  # with cross_sd 0 it is a diagonal
        draws["var_matrix"] = draws["var_matrix"] * np.eye(2)
    check_tree(Posterior.from_draws(draws, xr.Dataset(), model, panel, {}))


@pytest.mark.parametrize("name", FEW)
def test_log_likelihood_of_pymc_is_ours(posteriors, name):
    posterior = posteriors(name)
    with posterior.model.build(posterior.panel):
        tree = pm.compute_log_likelihood(posterior.tree, progressbar=False)
    theirs, ours = tree["log_likelihood"]["log_returns"], posterior.log_likelihood()
    assert theirs.dims == ("chain", "draw", "period", "asset")
    assert list(theirs["asset"].values) == list(posterior.panel.assets)
    np.testing.assert_allclose(theirs, ours.fillna(0.0), rtol=1e-9, atol=1e-9)
    assert ours.isnull().any()


@pytest.mark.parametrize("name", FEW)
@PREDICTIVE
def test_replicates_of_pymc_come_from_the_posterior(posteriors, name):
    """Each replicate, moved to (0, 1) by the distribution that its own draw says, is uniform."""
    posterior = posteriors(name)
    model, data = posterior.model, model_data(posterior.model, posterior.panel)
    with model.build(posterior.panel):
        drawn = pm.sample_posterior_predictive(posterior.tree, progressbar=False, random_seed=5)
    replicates = drawn["posterior_predictive"]["log_returns"].to_numpy().reshape(-1, *data["observed"].shape)
    p = posterior.parameters()
    z = (replicates - model.expected_return(p, p["factors"], data)) / np.exp(model.log_noise_scale(p, data))
    law = stats.t(p["nu"][:, None, :]) if "nu" in p else stats.norm()
    u = law.cdf(z).reshape(len(z), -1)
    assert stats.kstest(u[:, ::7].ravel(), "uniform").pvalue > 1e-3
    ours = model.draw_returns(p, p["factors"], data, rng=np.random.default_rng(6)).mean(axis=0)
    assert np.corrcoef(replicates.mean(axis=0).ravel(), ours.ravel())[0, 1] > 0.5


@pytest.mark.long
@pytest.mark.parametrize("name", few(PRESETS, ("momentum",)))  # the tiny model's in tests/model/test_model.py
@PREDICTIVE
def test_prior_predictive_of_pymc_is_ours(small_preset, name):
    model, panel = small_preset(name, n_periods=15)  # each period is a step of the graph
    with model.build(panel):
        drawn = pm.sample_prior_predictive(600, random_seed=7, compile_kwargs=MANY)
    theirs = drawn["prior_predictive"]["log_returns"].to_numpy()[0]
    ours = prior_predictive(model, panel, n_draws=600, seed=8)["log_returns"].to_numpy()
    for t, i in [(0, 0), (0, 5), (7, 2), (14, 3)]:
        assert stats.ks_2samp(theirs[:, t, i], ours[:, t, i]).pvalue > 1e-3


@pytest.mark.parametrize("name", PRESETS)
def test_arviz_summarises_and_leaves_out(posteriors, name):
    posterior = posteriors(name)
    table = az.summary(posterior.tree, var_names=["theta", "loadings"])
    assert len(table) == len(posterior.panel.assets) * 3
    tree = posterior.with_log_likelihood()
    values = tree["log_likelihood"]["log_returns"]
    n_known = int(np.isfinite(posterior.panel.history["log_returns"]).sum())
    assert values.sizes["cell"] == n_known < posterior.panel.history["log_returns"].size
    with (
        np.errstate(all="ignore"),
        pytest.warns(UserWarning, match="Pareto"),
    ):  # 60 draws, each return matters
        loo = az.loo(tree, reff=1.0)
    assert np.isfinite(loo.elpd)
    assert loo.n_data_points == n_known


# -- a user's own trace ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["prior", pytest.param("posterior", marks=pytest.mark.long)])
def extended(small_preset, request):
    """m6 with a macro series that moves the factors, and a belief; a trace that PyMC drew of it."""
    model, panel = small_preset("m6")
    model = model.model_copy(update={"weights": EqualWeights()})
    macro = np.random.default_rng(1).standard_normal(panel.n_history)
    built = model.build(panel)
    with built, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        kappa = pm.Normal("kappa", 0.0, 1.0)
        slope = pm.Normal("macro_slope", 0.0, 0.02, dims="factor")
        moved = pm.Deterministic("macro_factors", macro[:, None] * slope, dims=("period", "factor"))
        pm.Potential("belief", pm.logp(pm.Normal.dist(0, 0.01), built["alpha"]).sum() - kappa**2)
        pm.Potential("use", -0.5 * (moved**2).sum())
        if request.param == "prior":
            drawn = pm.sample_prior_predictive(120, random_seed=4)
            trace = xr.DataTree.from_dict({"posterior": drawn["prior"].to_dataset()})
        else:
            trace = pm.sample(
                draws=60, tune=60, chains=2, nuts_sampler="nutpie", random_seed=4, progressbar=False,
                compute_convergence_checks=False, quiet=True,
            )  # fmt: skip
    return model, panel, trace


@pytest.mark.long
def test_a_users_trace_is_a_posterior(extended, tmp_path):
    model, panel, trace = extended
    turns = {"macro_slope": "factors", "macro_factors": "factors"}
    posterior = Posterior.from_trace(trace, model, panel, turns=turns)
    assert {"kappa", "macro_slope"} <= set(posterior.draws.data_vars)
    assert "kappa" in posterior.diagnose().table.index
    assert "macro_slope" not in posterior.diagnose().table.index
    assert posterior.forecast(seed=1, n_draws=1000).n_draws >= 1000
    loaded = Posterior.load(posterior.save(tmp_path / "p.nc"))
    xr.testing.assert_identical(loaded.draws, posterior.draws)
    assert loaded.turns == turns
    turned = loaded.aligned()
    for name in ("macro_factors", "factors"):
        old, new = (xr.dot(p.draws[name], p.draws["loadings"], dim="factor") for p in (posterior, turned))
        np.testing.assert_allclose(new, old, rtol=1e-8, atol=1e-12)
    check_tree(posterior)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("theta"), r"the draws lack theta\. Keep all variables"),
        (lambda d: d.isel(asset=slice(5)), r"asset labels .* not the panel's \(missing: A5\)"),
        (lambda d: d.assign_coords(asset=list("bcdefg")), r"asset labels .*unknown: b, c, .*missing: A0"),
        (lambda d: d.drop_vars("asset"), "a dim asset without labels"),
        (lambda d: d.isel(period=slice(1, None)), "period labels of the draws are not the panel's"),
        (lambda d: d.where(d["chain"] == 0), "draws that are not finite"),
        (lambda d: d.astype(complex), "of type complex128, no real numbers"),
        (lambda d: d.astype(str), "no real numbers"),
        (lambda d: d.assign(nu=d["theta"].isel(asset=0, drop=True)), "nu has dims chain, draw; expected"),
        (lambda d: d.assign(own=d["factor_scale"]), 'own has a factor dim.*turns={"own": "factors"}'),
        (lambda d: d.isel(draw=0, drop=True), "the draws have no dimension draw"),
    ],
)
def test_draws_that_do_not_fit_are_refused(small_preset, random_draws, change, message):
    model, panel = small_preset("m6")
    with pytest.raises(DataError, match=message):
        Posterior.from_trace(change(random_draws(model, panel)), model, panel)


def test_draws_meet_the_panel_by_label(small_preset, random_draws):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    mixed = draws.isel(asset=[3, 1, 5, 0, 2, 4], factor=[1, 0], asset_class=[1, 0])
    mixed = mixed.transpose("draw", ..., "chain")
    one, other = (Posterior.from_trace(d, model, panel) for d in (draws, mixed))
    xr.testing.assert_equal(one.draws, other.draws)
    with pytest.raises(DataError, match="the trace has no group posterior"):
        Posterior.from_trace(xr.DataTree(), model, panel)


def test_evidence_of_a_trace_is_asked_for(small_preset, random_draws):
    model, panel = small_preset("m6")
    evidence = [Evidence("A3", 0.05, 0.04)]
    draws = random_draws(model, panel, evidence=evidence)
    with pytest.raises(
        DataError, match=r"factors_next.*only a fit with evidence has\. Give the evidence too"
    ):
        Posterior.from_trace(draws, model, panel)
    assert Posterior.from_trace(draws, model, panel, evidence=evidence).evidence == tuple(evidence)


@pytest.mark.parametrize("group", ["panel", "posterior", "sample_stats"])
def test_a_file_of_another_form_is_one_clear_error(group, small_preset, random_draws, tmp_path):
    model, panel = small_preset("m6")
    posterior = Posterior.from_trace(random_draws(model, panel), model, panel)
    tree = posterior.tree
    del tree[group]
    path = _sealed.save_tree(tree, tmp_path / "old.nc", kind="posterior")
    with pytest.raises(FileError, match=rf"old\.nc: the file has no group {group}: another release"):
        Posterior.load(path)


def test_a_posterior_is_read_only(small_preset, random_draws):
    model, panel = small_preset("m6")
    draws = random_draws(model, panel)
    posterior = Posterior.from_trace(draws, model, panel)
    for dataset in (posterior.draws, posterior.tree["posterior"].to_dataset()):
        with pytest.raises(ValueError, match="read-only"):
            dataset["theta"].values[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        posterior.tree["posterior"]["alpha_z"].values[:] = 0
    draws["theta"].values[:] = 0  # the giver's own arrays stay theirs
    assert (posterior.draws["theta"] != 0).all()


# -- data, seeds, samplers ---------------------------------------------------------------------------------


@pytest.mark.long
def test_one_pymc_model_serves_another_panel(small_preset):
    model, panel = small_preset("m6")
    built = model.build(panel)
    logp = built.compile_logp()
    point = built.initial_point()
    other = small_preset("m6")[1]
    changed = other.to_dataset()
    changed["log_returns"][3, 2] += 0.05
    changed["log_returns"][7, 0] = np.nan
    other = type(panel).from_dataset(changed)
    model.set_panel(built, other)
    expected = model.build(other).compile_logp()(point)
    assert logp(point) == pytest.approx(float(expected), rel=1e-12)
    assert logp(point) != pytest.approx(float(model.build(panel).compile_logp()(point)), rel=1e-6)
    with pytest.raises(ModelError, match=r"set_panel: .*asset labels \(A0, A1.*\) are not those"):
        model.set_panel(built, panel.select(panel.assets[:5]))


@pytest.mark.parametrize(("before", "after"), [(30, 33), (30, 28), (8, 12)])
def test_moving_loadings_belong_to_a_number_of_periods(small_preset, before, after):
    """As many blocks do not make a panel fit: periods change their blocks."""
    model, panel = small_preset("dynamic_loadings", n_periods=before)
    _, other = small_preset("dynamic_loadings", n_periods=after)
    built = model.build(panel)
    assert model.loadings.blocks(before)[-1] == model.loadings.blocks(after)[-1]
    with pytest.raises(ModelError, match=rf"the panel has {after} periods, and it was built with {before}\."):
        model.set_panel(built, other)
    model.set_panel(built, panel)
    assert np.isfinite(built.compile_logp()(built.initial_point()))


def test_a_gap_in_the_data_is_a_gap_in_the_density(small_preset):
    """There is no mask beside the returns that could say otherwise."""
    model, panel = small_preset("m6")
    assert "observed" not in {v.name for v in model.build(panel).data_vars}


def test_containers_of_different_lengths_are_refused(small_preset):
    model, panel = small_preset("m6")
    built = model.build(panel)
    longer = np.zeros((panel.n_history + 1, len(panel.assets)))
    periods = np.arange(panel.n_history + 1)
    with built:
        pm.set_data({"recent_return": longer}, coords={"period": periods})
    with pytest.raises(AssertionError, match="differ in their number of periods"):
        built.compile_logp()(built.initial_point())


def test_seeds_of_every_usual_kind(small_preset, tmp_path):
    def number(seed):
        return seed_number(seed, where="fit")

    assert number(7) == number(np.int64(7)) == 7
    assert number([1, 2]) == number(np.random.SeedSequence([1, 2])) == number((1, 2)) != number([2, 1])
    assert number(2**70) == number(2**70) < 2**63
    assert number(np.random.default_rng(1)) == number(np.random.default_rng(1)) != number(None)
    assert number(np.random.RandomState(1)) == number(np.random.RandomState(1))
    model, panel = small_preset("m6")
    for wrong in (True, -1, 1.5, "1", []):
        with pytest.raises(DataError, match="fit: a seed is a whole number from 0 on"):
            fit(model, panel, seed=wrong, settings=SHORT)
    posterior = fit(model, panel, seed=[1, 2], settings=SHORT.model_copy(update={"draws": 10}))
    assert int(posterior.attrs["seed"]) == number([1, 2])
    posterior.forecast(seed=2**70, n_draws=100).save(tmp_path / "f.nc")
    Posterior.load(posterior.save(tmp_path / "p.nc"))


def test_samplers_are_asked_for_in_vain_with_a_clear_message(small_preset):
    model, panel = small_preset("m6")
    with pytest.raises(ModelError, match="engine gibbs: it has no sampler 'pymc'"):
        fit(model, panel, seed=1, settings=SamplerSettings(engine="gibbs", sampler="pymc"))
    try:
        import numpyro  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match="needs numpyro, which is not installed"):
            fit(model, panel, seed=1, settings=SamplerSettings(engine="nuts", sampler="numpyro"))


@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_chains_begin_where_the_fit_says(small_preset, monkeypatch, sampler):
    """PyMC moves the start of these by up to 1 in any unit unless told not to: chains stood still there."""
    asked = {}

    def caught(**options):
        asked.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("bdfm.inference.nuts.find_spec", lambda name: name)
    monkeypatch.setattr(pm, "sample", caught)
    model, panel = small_preset("m6")
    with pytest.raises(KeyboardInterrupt):
        fit(model, panel, seed=1, settings=SamplerSettings(engine="nuts", sampler=sampler))
    assert asked["nuts"]["jitter"] is False
    assert len(asked["initvals"]) == SamplerSettings().chains


@pytest.mark.parametrize("name", few(PRESETS, ("house",)))
def test_no_gradient_meets_the_nan_of_a_missing_return(small_preset, name):
    """As JAX differentiates: the graph after its rewrites, and NaN times zero is NaN. Chains stood still."""
    model, panel = small_preset(name)
    assert np.isnan(panel.history["log_returns"]).any()
    built = model.build(panel)
    terms = [term.sum() for term in built.logp(sum=False)]
    parts = [pt.add(*terms[k::6]) for k in range(6)]  # Python's linker adds 32 terms at most
    rewritten = [rewrite_graph(part, include=("canonicalize", "stabilize")) for part in parts]

    def gradient(densities):
        slopes = [pytensor.grad(x, built.value_vars, disconnected_inputs="ignore") for x in densities]
        whole = pt.concatenate([sum(each).ravel() for each in zip(*slopes, strict=True)])
        as_written = pytensor.compile.mode.Mode(linker="py", optimizer=None)
        return pytensor.function(built.value_vars, whole, mode=as_written)(**start)

    start = built.initial_point(random_seed=1)
    found = gradient(rewritten)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, gradient(parts), rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["numpyro", "blackjax"])
def test_other_samplers_draw_from_the_posterior(small_preset, sampler):
    """Means of the common variances are those of Gibbs."""
    pytest.importorskip(sampler)
    model, panel = small_preset("m6")
    length = {"draws": 400, "tune": 400, "chains": 2}
    one = fit(model, panel, seed=1, settings=SamplerSettings(engine="nuts", sampler=sampler, **length))
    other = fit(model, panel, seed=2, settings=SamplerSettings(engine="gibbs", thin=5, **length))
    found, expected = (np.log(p.identified()["common_variance"]) for p in (one, other))
    assert one.diagnose().max_rhat < 1.1
    gap = found.mean(("chain", "draw")) - expected.mean(("chain", "draw"))
    assert float(np.abs(gap / expected.std(("chain", "draw"))).max()) < 0.35


# -- what is judged ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(PRESETS, ("house",)))
def test_a_chain_that_is_stuck_in_one_variable_has_not_converged(small_preset, random_draws, name):
    """For each variable declared identified: it reaches the verdict, and alone decides it."""
    model, panel = small_preset(name)
    draws = random_draws(model, panel, chains=4, draws=800)
    posterior = Posterior.from_draws(draws, xr.Dataset(), model, panel, {})
    assert posterior.diagnose().converged
    judged = [v.name for v in model.variables if v.identified]
    assert {"theta", "sigma_theta"} < set(judged)
    assert set(judged) <= set(posterior.diagnose().table.index)
    quantities = posterior.identified()
    for variable in judged:
        stuck = draws[variable].copy(deep=True)
        stuck[0] = stuck[0, 0]
        verdict = diagnose(quantities.assign({variable: stuck}), must_vary=judged)
        assert not verdict.converged, variable
        assert verdict.table["max_rhat"].drop(variable).max() <= 1.01
        assert verdict.table.loc[variable, "max_rhat"] > 1.01, variable
    name = judged[-1]
    everywhere = draws.assign({name: xr.full_like(draws[name], 0.5)})
    verdict = Posterior.from_draws(everywhere, xr.Dataset(), model, panel, {}).diagnose()
    assert any(f"{name}" in line and "same value in every draw" in line for line in verdict.advice)


def test_the_house_preset_judges_its_volatility_slopes():
    judged = {v.name for v in FactorModel.from_preset("house").variables if v.identified}
    assert "beta_mv" in judged
