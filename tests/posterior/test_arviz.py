"""ArviZ's groups on demand: they hold what they say, and every function of ArviZ is told of and works."""

import inspect
import re
import warnings
from pathlib import Path

import arviz as az
import arviz_plots
import arviz_stats
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

from bdfm.data.panel import Panel
from bdfm.data.sources import demo
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.predictive import HistoricalPool
from bdfm.model.parts.weights import HalfLifeWeights
from bdfm.posterior import door
from bdfm.posterior.fit import fit
from bdfm.posterior.groups import GROUPS, PREDICTIONS
from bdfm.posterior.leave_future_out import leave_future_out, pasts, predictive_log_density
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive_checks import prior_predictive

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "arviz.md"
ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \| (.+) \|$", re.MULTILINE)
ROWS = [
    (name, text)
    for names, text in ROW.findall(PAGE.read_text(encoding="utf-8").partition("## Every function")[2])
    for name in re.findall(r"`(\w+)`", names)
]
MANY = {"mode": "FAST_COMPILE"}  # of a graph that is evaluated hundreds of times: rewriting is worth it
LONG = (
    "plot_autocorr",
    "plot_psense_quantities",
    "plot_loo_interval",
    "plot_bf",
    "plot_compare",
    "loo_metrics",
    "loo_r2",
    "loo_influence",
    "loo_expectations",
    "wasserstein",
    "plot_psense_dist",
    "plot_pair",
    "plot_ppc_dist",
    "plot_ppc_dist_pit",
    "plot_forest",
    "compare",
)  # a quarter of a second and more each
CALL = re.compile(r"`(az\.\w+\(.*?\))`(?=[,;]| *$| of|$)")
NOT_OF_RESULTS = {"get_log_likelihood"}


@pytest.fixture(scope="module")
def fitted(tiny_model, tiny_panel):
    settings = SamplerSettings(engine="gibbs", draws=120, tune=200, chains=4, thin=1)
    return fit(tiny_model, tiny_panel, seed=5, settings=settings)


@pytest.fixture(scope="module")
def names(fitted):
    """What the calls of the page may use."""
    tree = fitted.to_datatree(seed=1, n_prior_draws=200)
    two = fitted.draws.isel(chain=[0, 1], draw=slice(0, 100))
    wide = Posterior.from_draws(two, xr.Dataset(), fitted.model, fitted.panel, fitted.attrs).to_datatree(
        seed=2
    )
    p, data = fitted.parameters(), model_data(fitted.model, fitted.panel)
    known = data["observed"]
    regression = tree.copy()
    shape = (4, 120, int(known.sum()))
    mu = fitted.model.expected_return(p, p["factors"], data)[:, known].reshape(shape)
    regression["posterior"] = xr.DataTree(xr.Dataset({"mu": (("chain", "draw", "cell"), mu)}))
    slim = tree.copy()
    slim["posterior"] = xr.DataTree(tree["posterior"].to_dataset().drop_vars("alpha"))
    return {
        "az": az,
        "tree": tree,
        "wide": wide,
        "four": tree,
        "slim": slim,
        "fitted": regression,
        "V": ["mu_theta", "sigma_theta"],
        "loo": az.loo(tree, pointwise=True),
        "posterior": fitted,
    }


def facts(posterior):
    """What is kept of a fit beside its model."""
    return {k: posterior.attrs[k] for k in ("engine", "seed", "settings", "versions", "seconds")}


def functions() -> set[str]:
    found = set()
    for module in (arviz_plots, arviz_stats):
        found |= {n for n, x in vars(module).items() if inspect.isfunction(x) and not n.startswith("_")}
    return found


def test_the_page_tells_of_every_function_of_arviz():
    told = [name for name, _ in ROWS]
    assert len(set(told)) == len(told) > 80
    assert functions() <= set(told), functions() - set(told)
    assert set(told) <= functions() | {"get_log_likelihood"}, set(told) - functions()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "text"),
    [pytest.param(*r, marks=pytest.mark.long if r[0] in LONG else (), id=r[0]) for r in ROWS],
)
def test_it_works_or_the_page_says_why_not(name, text, names):
    import matplotlib.pyplot as plt

    calls = CALL.findall(text)
    if not calls:
        assert len(text) > 8
        return
    for call in calls:
        result = eval(call, dict(names))
        assert result is not None
        if isinstance(result, xr.Dataset | xr.DataTree) and name not in NOT_OF_RESULTS:
            data = result if isinstance(result, xr.Dataset) else next(iter(result.leaves)).to_dataset()
            assert data.data_vars
    plt.close("all")


@pytest.mark.long
def test_lfo_cv_has_the_densities_of_the_package(tiny_model, tiny_panel):
    """The snippet of the page, run as it stands; in the period that comes nothing is known of its returns."""
    settings = SamplerSettings(engine="gibbs", draws=120, tune=200, chains=2, thin=1)
    posterior = fit(tiny_model, tiny_panel, seed=5, settings=settings)
    text = PAGE.read_text(encoding="utf-8")
    shown = [x.partition("```")[0] for x in text.split("<!-- lfo_cv -->\n```python\n")[1:]]
    names = {"posterior": posterior, "settings": settings}
    exec("\n".join(shown), names)
    found, first = names["found"], tiny_panel.n_history - 3
    by_hand = [
        np.nansum(
            predictive_log_density(
                fit(tiny_model, past, seed=1, settings=settings, accept=None), came, seed=1
            )
        )
        for past, came in pasts(tiny_panel, first)
    ]
    assert found.n_data_points == 3
    assert list(found.elpd_i["period"].values) == list(tiny_panel.history["period"].values[first:])
    np.testing.assert_allclose(found.elpd_i, by_hand, rtol=1e-12)
    ours = leave_future_out(posterior, seed=3, min_periods=first, settings=settings)
    np.testing.assert_allclose(found.elpd_i, ours.elpd_i.sum("asset"), atol=0.5)
    assert found.elpd == pytest.approx(ours.elpd, abs=1.0)


# -- what the groups hold ----------------------------------------------------------------------------------


@pytest.mark.long
def test_all_groups_stand_beside_the_posterior(names, fitted):
    tree = names["tree"]
    assert set(GROUPS) | {"posterior", "sample_stats", "constant_data"} <= set(tree.children)
    only = fitted.to_datatree("log_prior")
    assert set(only.children) & set(GROUPS) == {"log_prior", "observed_data"}
    assert set(fitted.with_log_likelihood().children) & set(GROUPS) == {"log_likelihood", "observed_data"}


def test_cells_are_the_known_returns_by_label(names, fitted):
    history = fitted.panel.history["log_returns"]
    for group in ("observed_data", "log_likelihood", "posterior_predictive", "prior_predictive"):
        cells = names["tree"][group]["log_returns"]
        assert cells.sizes["cell"] == int(np.isfinite(history).sum()) < history.size
        for k in (0, 17, -1):
            assert history.sel(period=cells.period[k].values, asset=cells.asset[k].item()).notnull()
    cells = names["tree"]["observed_data"]["log_returns"]
    for k in (0, 17, 100, -1):
        assert history.sel(period=cells.period[k].values, asset=cells.asset[k].item()) == cells[k]


@pytest.mark.long
def test_prior_is_that_of_pymc(names, fitted):
    built = fitted.model.build(fitted.panel)
    with built:
        theirs = pm.sample_prior_predictive(600, random_seed=7, compile_kwargs=MANY)
    prior = names["tree"]["prior"]
    assert set(prior.data_vars) == set(theirs["prior"].data_vars)
    for name, x in prior.data_vars.items():
        other = theirs["prior"][name]
        assert x.dims == other.dims, name
        spots = [(..., 0)] if x.ndim > 2 else [(...,)]
        for spot in spots:
            ours, pymc = x.values.reshape(200, -1)[:, 0], other.values.reshape(600, -1)[:, 0]
            assert stats.ks_2samp(ours, pymc).pvalue > 1e-4, (name, spot)
    together = names["tree"]["prior_predictive"]["log_returns"]
    alone = prior_predictive(fitted.model, fitted.panel, n_draws=200, seed=3)["log_returns"]
    of_first = alone.sel(period=together.period[5].values, asset=together.asset[5].item())
    assert stats.ks_2samp(together[0, :, 5].values, of_first.values).pvalue > 1e-4
    # A prior draw and its history belong together: wide factors, wide returns.
    scale = np.log(np.abs(prior["factors"]).mean(("period", "factor"))).values.ravel()
    width = np.log(np.abs(together).mean("cell")).values.ravel()
    assert stats.spearmanr(scale, width).statistic > 0.2


def test_log_prior_is_the_density_of_each_free_variable(names, fitted):
    group = names["tree"]["log_prior"]
    built = fitted.model.build(fitted.panel)
    assert set(group.data_vars) == {v.name for v in built.free_RVs}
    draws = names["tree"]["posterior"]
    sd = 0.2  # of rho, truncated to (-1, 1)
    expected = stats.truncnorm(-1 / sd, 1 / sd, scale=sd).logpdf(draws["rho"])
    np.testing.assert_allclose(group["rho"], expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(group["factors_z"], stats.norm().logpdf(draws["factors_z"]), rtol=1e-7)
    assert group["theta_z"].dims == draws["theta_z"].dims


def test_replicates_are_drawn_given_the_factors(names, fitted):
    """Moved to (0, 1) by the distribution that its own draw says, each is uniform."""
    p, data = fitted.parameters(), model_data(fitted.model, fitted.panel)
    known = data["observed"]
    mu = fitted.model.expected_return(p, p["factors"], data)[:, known]
    scale = np.exp(fitted.model.log_noise_scale(p, data))[:, known]
    nu = np.broadcast_to(p["nu"][:, None, :], (480, *known.shape))[:, known]
    y = names["tree"]["posterior_predictive"]["log_returns"].values.reshape(480, -1)
    u = stats.t(nu).cdf((y - mu) / scale)
    assert stats.kstest(u[:, ::7].ravel(), "uniform").pvalue > 1e-3


def test_log_likelihood_is_of_each_return_and_weighted_on_demand(tiny_panel, tiny_model, fitted, names):
    cells = names["tree"]["log_likelihood"]["log_returns"]
    whole = fitted.log_likelihood()
    for k in (0, 100, -1):
        there = whole.sel(period=cells.period[k].values, asset=cells.asset[k].item())
        np.testing.assert_array_equal(cells[..., k], there)
    model = FactorModel(name="w", n_factors=2, weights=HalfLifeWeights(half_life_periods=8))
    half = Posterior.from_draws(fitted.draws, xr.Dataset(), model, tiny_panel, facts(fitted))
    plain = half.to_datatree("log_likelihood")["log_likelihood"]["log_returns"]
    weighted = half.to_datatree("log_likelihood", weighted=True)["log_likelihood"]["log_returns"]
    np.testing.assert_array_equal(plain, cells)
    weights = dict(
        zip(tiny_panel.history.period.values, model_data(model, tiny_panel)["period_weights"], strict=True)
    )
    by_cell = np.array([weights[t] for t in plain.period.values])
    np.testing.assert_allclose(weighted, plain * by_cell)
    assert min(weights.values()) < 0.5


def test_predictions_are_the_forecast_of_each_posterior_draw(names, fitted):
    group = names["tree"]["predictions"]["returns"]
    assert group.dims == ("chain", "draw", "asset")
    assert list(group.asset.values) == list(fitted.panel.assets)
    forecast = fitted.forecast(seed=9, n_draws=20_000)
    for i in range(3):
        assert stats.ks_2samp(group.values[..., i].ravel(), forecast.draws.values[:, i]).pvalue > 1e-3
    # Each belongs to its own draw: where the noise is wide, so are its returns.
    p, ahead = fitted.parameters(), model_data(fitted.model, fitted.panel, future=True)
    scale = fitted.model.log_noise_scale(p, ahead)[:, 0]
    size = np.log(np.abs(group.values.reshape(480, -1)) + 1e-4)
    found = [stats.spearmanr(scale[:, i], size[:, i]).statistic for i in range(size.shape[1])]
    assert np.mean(found) > 0.02


def test_predictions_are_over_the_horizon(random_draws):
    prices, universe = demo()
    model = FactorModel(name="two", n_factors=2)
    panel = Panel.from_prices(prices, universe, origin="2021-12-31", horizon=2, settings=model.panel)
    posterior = Posterior.from_trace(random_draws(model, panel, draws=200), model, panel)
    one, two = (posterior.to_datatree(PREDICTIONS, seed=1, horizon=h)[PREDICTIONS] for h in (1, 2))
    assert (one.attrs["origin"], one.attrs["end"]) == ("2021-12-31", "2022-01-28")
    assert two.attrs["end"] == "2022-02-25"
    spread = [np.log1p(x["returns"]).std(("chain", "draw")).mean() for x in (one, two)]
    assert 1.2 < float(spread[1] / spread[0]) < 2


def test_evidence_is_part_of_the_prior_s_variables(small_preset, random_draws):
    model, panel = small_preset("m6")
    evidence = [Evidence("A3", 0.05, 0.04)]
    draws = random_draws(model, panel, evidence=evidence)
    posterior = Posterior.from_trace(draws, model, panel, evidence=evidence)
    found = posterior.to_datatree("log_prior")["log_prior"]
    assert set(found.data_vars) == {v.name for v in model.build(panel, evidence=evidence).free_RVs}
    assert len(found.data_vars) > len(model.build(panel).free_RVs)


def test_a_pool_has_its_share_of_predictions(tiny_panel, fitted):
    model = FactorModel(name="pooled", n_factors=2, predictive=HistoricalPool(share=0.5))
    flat = fitted.draws.assign(theta=fitted.draws["theta"] * 0 - 12, loadings=fitted.draws["loadings"] * 0)
    still = Posterior.from_draws(flat, xr.Dataset(), model, tiny_panel, facts(fitted))
    values = still.to_datatree("predictions", seed=3)["predictions"]["returns"]
    moved = (np.abs(values - values.median(("chain", "draw"))) > 0.01).mean(("chain", "draw"))
    assert 0.25 < float(moved.max()) < 0.6


def test_equal_seeds_give_equal_groups_whatever_else_is_asked_for(fitted):
    some = fitted.to_datatree(["posterior_predictive"], seed=1)
    others = fitted.to_datatree(["prior", "predictions", "posterior_predictive"], seed=1, n_prior_draws=5)
    again = fitted.to_datatree(["predictions", "prior"], seed=1, n_prior_draws=5)
    xr.testing.assert_identical(
        some["posterior_predictive"].to_dataset(), others["posterior_predictive"].to_dataset()
    )
    for group in ("prior", "predictions"):
        xr.testing.assert_identical(again[group].to_dataset(), others[group].to_dataset())
    other = fitted.to_datatree(["predictions"], seed=2)["predictions"].to_dataset()
    assert not other.equals(others["predictions"].to_dataset())
    assert fitted.to_datatree("prior", n_prior_draws=1)["prior"]["theta"].sizes["draw"] == 1


def test_what_cannot_be_asked_for(fitted):
    with pytest.raises(UnknownLabelError, match=r"group.*warmup"):
        fitted.to_datatree(["warmup"])
    with pytest.raises(DataError, match="n_prior_draws"):
        fitted.to_datatree("prior", n_prior_draws=0)
    with pytest.raises(DataError, match="horizon 9 is beyond"):
        fitted.to_datatree("predictions", horizon=9)


def test_loo_pit_is_uniform(names):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = az.loo_pit(names["tree"])["log_returns"].values
    assert stats.kstest(values, "uniform").pvalue > 0.01


def test_the_total_is_no_observation_to_arviz(fitted, tmp_path):
    """``az.loo(posterior.tree)`` had given a number for one observation."""
    for tree in (fitted.tree, fitted.aligned().tree):
        for call in (lambda t: az.loo(t), lambda t: az.compare({"a": t, "b": t})):
            with pytest.raises(Exception, match=r"log likelihood not found|compute ELPD"):
                call(tree)
    fitted.save(tmp_path / "posterior.nc")
    loaded = Posterior.load(tmp_path / "posterior.nc").tree["sample_stats"]
    xr.testing.assert_equal(loaded.to_dataset(), fitted.tree["sample_stats"].to_dataset())
    assert "total_log_likelihood" in loaded
    assert "log_likelihood" not in loaded


def test_a_file_of_before_gets_the_name_of_now(fitted):
    old = fitted.tree.copy()
    stats = old["sample_stats"].to_dataset().rename({"total_log_likelihood": "log_likelihood"})
    old["sample_stats"] = xr.DataTree(stats)
    assert "total_log_likelihood" in door.completed(old, Path("posterior.nc"))["sample_stats"]


@pytest.mark.parametrize(
    "call", [az.summary, az.ess, az.loo, az.plot_trace, az.plot_forest, np.asarray, list]
)
def test_a_result_given_whole_says_which_part_to_give(call, fitted):
    """ArviZ named classes of its own, its pictures said "not subscriptable", NumPy made an array of one."""
    with pytest.raises(DataError, match=r"a Posterior is no array, tree or table.*posterior\.tree"):
        call(fitted)
    forecast = Forecast.from_draws(
        [[0.01, 0.02], [0.02, 0.01]],
        assets=["A", "B"],
        asset_class=["stock", "stock"],
        origin="2022-02-04",
        end="2022-03-04",
    )
    with pytest.raises(DataError, match=r"a Forecast is no array, tree or table.*forecast\.draws"):
        call(forecast)


def test_results_stand_in_arrays_of_objects(fitted):
    """A list of results is an array of objects where one is asked for."""
    several = [fitted, fitted.aligned()]
    held = np.array(several, dtype=object)
    assert held.shape == (2,)
    assert held[0] is fitted
    assert pd.Series(several).iloc[1] is several[1]
