"""Replicated histories, statistics against naive computation, misfit that must be found, leave-one-out."""

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from scipy import stats

from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings
from bdfm.errors import DataError
from bdfm.inference.engine import labelled
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.noise import NormalNoise
from bdfm.model.parts.weights import StepWeights
from bdfm.model.simulate import simulate
from bdfm.posterior.fit import fit
from bdfm.posterior.history_statistics import _median, statistics
from bdfm.posterior.leave_one_out import LeaveOneOut, leave_one_out
from bdfm.posterior.posterior import Posterior
from bdfm.posterior.predictive_checks import (
    PredictiveCheck,
    check,
    check_prior,
    posterior_predictive,
    prior_predictive,
)


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    settings = SamplerSettings(engine="gibbs", draws=150, tune=200, chains=2, thin=2)
    return fit(tiny_model, tiny_panel, seed=5, settings=settings)


def returns_of(panel):
    return panel.history["log_returns"].reset_coords(drop=True)


def known_posterior(model, panel, truth, n_draws=40):
    """Posterior that knows the parameters: every draw is the truth, factors zero, hyper-parameters 0.1."""
    coords = model.coords(panel)
    shapes = {v.name: tuple(len(coords[d]) for d in v.dims) for v in model.variables if v.stored}
    values = {n: np.full(shape, 0.1) for n, shape in shapes.items()} | truth
    values["factors"] = np.zeros(shapes["factors"])
    arrays = {n: np.tile(v, (1, n_draws, *(1,) * np.ndim(v))) for n, v in values.items()}
    draws = labelled(arrays, model, coords)
    return Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 0})


# -- replicated histories


def test_posterior_replicates_are_masked_labelled_and_seeded(posterior, tiny_panel):
    first, second, other = (posterior_predictive(posterior, n_draws=30, seed=s) for s in (1, 1, 2))
    assert first["log_returns"].dims == ("draw", "period", "asset")
    assert first["factors"].dims == ("draw", "period", "factor")
    missing = returns_of(tiny_panel).isnull().to_numpy()
    assert missing.sum() > 10
    np.testing.assert_array_equal(
        first["log_returns"].isnull(), np.broadcast_to(missing, (30, *missing.shape))
    )
    xr.testing.assert_identical(first, second)
    assert not first.equals(other)
    assert first["posterior_draw"].values[[0, -1]].tolist() == [0, posterior.n_draws - 1]
    assert len(np.unique(first["posterior_draw"])) == 30


def test_more_replicates_than_draws_get_noise_of_their_own(posterior):
    replicates = posterior_predictive(posterior, n_draws=2 * posterior.n_draws, seed=1)
    twin = replicates["posterior_draw"].to_numpy()
    assert twin[0] == twin[1]
    assert not np.allclose(replicates["factors"][0], replicates["factors"][1])


def test_prior_replicates(tiny_model, tiny_panel):
    first = prior_predictive(tiny_model, tiny_panel, n_draws=300, seed=3)
    assert first["log_returns"].shape == (300, 36, 8)
    np.testing.assert_array_equal(first["log_returns"][0].isnull(), returns_of(tiny_panel).isnull())
    # Factors have variance 0.03^2 E[1 / (1 - rho^2)], and rho an sd of 0.2.
    variance = np.square(first["factors"].to_numpy()).mean()
    assert 0.03**2 < variance < 1.3 * 0.03**2
    one, again = (prior_predictive(tiny_model, tiny_panel, n_draws=1, seed=3) for _ in range(2))
    assert one.sizes["draw"] == 1
    xr.testing.assert_identical(one, again)


# -- statistics


def naive(returns, panel):
    """The documented statistics, one history at a time, with pandas."""
    frame = pd.DataFrame(returns, columns=list(panel.assets))
    observed = frame.notna().to_numpy()
    history = panel.history
    group = {
        c: [a for a, k in zip(panel.assets, panel.class_index, strict=True) if panel.asset_classes[k] == c]
        for c in panel.asset_classes
    }
    out = {}
    distance = (frame - frame.median()).abs()
    beyond = distance > 3 * 1.4826 * distance.median()
    size = frame.abs() / frame.abs().mean()
    recent = history["recent_volatility"].to_numpy()[..., 0]
    known = observed & ~history["recent_volatility_missing"].to_numpy()[..., 0]
    high = recent >= np.quantile(recent[known], 0.75)
    for c, members in group.items():
        own = frame.columns.isin(members)[None]
        out[f"mean {c}"] = frame[members].mean().mean()
        out[f"sd {c}"] = frame[members].std().mean()
        out[f"tails {c}"] = beyond[members].to_numpy().sum() / frame[members].count().sum()
        part, rest = (size.to_numpy()[known & own & x].mean() for x in (high, ~high))
        out[f"after high volatility {c}"] = part / rest
    corr = frame.corr(min_periods=12).to_numpy()
    names = list(group)
    for a in range(len(names)):
        for b in range(a, len(names)):
            pairs = [
                corr[panel.assets.index(x), panel.assets.index(y)]
                for x in group[names[a]]
                for y in group[names[b]]
                if a != b or panel.assets.index(x) < panel.assets.index(y)
            ]
            out[f"correlation {names[a]}" + (f", {names[b]}" if a != b else "")] = np.nanmean(pairs)
    flagged = history["earnings"].to_numpy() > 0
    with_one, without = flagged & observed, ~flagged & observed
    both = with_one.any(axis=0) & without.any(axis=0)
    out["earnings"] = size.to_numpy()[with_one & both].mean() / size.to_numpy()[without & both].mean()
    z = (frame - frame.mean()) / frame.std()
    spread = np.log(z.std(axis=1)[z.count(axis=1) >= 5])
    out["dispersion"], out["dispersion, its variation"] = np.exp(spread.mean()), spread.std()
    u, s, _ = np.linalg.svd(z.fillna(0).to_numpy(), full_matrices=False)
    first = u[:, 0] * np.sign(u[:, 0] @ z.fillna(0).sum(axis=1))
    standard = (first - first.mean()) / first.std()

    def lag1(x):
        x = x - x.mean()
        return (x[1:] * x[:-1]).sum() / (x**2).sum()

    out["component 1 share"] = s[0] ** 2 / (s**2).sum()
    out["component 1 autocorrelation"] = lag1(first)
    out["component 1 autocorrelation of size"] = lag1(np.abs(standard))
    out["component 1 skewness"] = stats.skew(first)
    out["component 1 largest move"] = np.abs(standard).max()
    out["components 1-3 autocorrelation"] = np.mean([lag1(u[:, k]) for k in range(3)])
    return out


def test_statistics_agree_with_a_naive_computation_draw_by_draw(posterior, tiny_panel):
    replicates = posterior_predictive(posterior, n_draws=60, seed=1)["log_returns"]
    result = statistics(replicates, tiny_panel)
    assert result.dims == ("draw", "statistic")
    assert result.shape == (60, 20)
    for d in (0, 7, 59):  # in different blocks
        expected = naive(replicates[d].to_numpy(), tiny_panel)
        assert set(expected) == set(result["statistic"].values)
        for name, value in expected.items():
            assert float(result[d].sel(statistic=name)) == pytest.approx(value, rel=1e-9), name
    single = statistics(replicates[7].drop_vars("draw"), tiny_panel)
    np.testing.assert_allclose(single[0], result[7], rtol=1e-12)


def test_statistics_of_two_windows_and_of_assets_that_never_announce(rng):
    """Turmoil is that of the shortest window; an asset without announcements is no measure of theirs."""
    shape = (40, 6)
    announced = rng.random(shape) < 0.3
    announced[:, 0] = False
    panel = Panel.from_arrays(
        rng.normal(0, np.linspace(0.01, 0.06, 6), shape),
        asset_class=["a"] * 3 + ["b"] * 3,
        recent_volatility=rng.standard_normal((*shape, 2)),
        earnings=announced.astype(float),
        settings=PanelSettings(volatility_windows=(5, 20)),
    )
    found = statistics(returns_of(panel), panel)[0]
    for name, value in naive(returns_of(panel).to_numpy(), panel).items():
        assert float(found.sel(statistic=name)) == pytest.approx(value, rel=1e-9), name


def test_medians_are_of_observed_returns(rng):
    values = rng.normal(size=(3, 10, 4))
    observed = np.arange(10)[:, None] < np.array([10, 7, 4, 0])
    known = np.where(observed, values, np.nan)[..., :3]
    np.testing.assert_allclose(_median(values, observed)[:, :3], np.nanmedian(known, axis=1))
    assert not _median(values, observed)[:, 3].any()


def test_what_stands_in_missing_cells_does_not_matter(tiny_panel, rng):
    returns = returns_of(tiny_panel)
    filled = returns.fillna(xr.DataArray(rng.normal(0, 9, returns.shape), dims=returns.dims))
    np.testing.assert_array_equal(statistics(returns, tiny_panel), statistics(filled, tiny_panel))


def test_the_order_of_assets_does_not_matter(tiny_panel):
    order = [tiny_panel.assets[i] for i in (3, 0, 4, 1, 2, 7, 6, 5)]
    other = tiny_panel.select(order)
    np.testing.assert_allclose(
        statistics(returns_of(tiny_panel), tiny_panel), statistics(returns_of(other), other), rtol=1e-9
    )


def test_statistics_without_earnings_and_with_many_classes(rng):
    panel = Panel.from_arrays(rng.normal(0, 0.05, (40, 10)), asset_class=list("aabbccddee"))
    names = list(statistics(returns_of(panel), panel)["statistic"].values)
    assert "earnings" not in names
    assert not [n for n in names if n.startswith("after")]  # no features
    assert [n for n in names if n.startswith("correlation")] == [
        *(f"correlation {c}" for c in "abcde"),
        "correlation between classes",
    ]


def test_statistics_refuse_what_does_not_fit(tiny_panel):
    returns = returns_of(tiny_panel)
    with pytest.raises(DataError, match="different periods or assets"):
        statistics(returns[:, :7], tiny_panel)
    with pytest.raises(DataError, match="3 returns are missing where the panel has one"):
        statistics(
            returns.where(returns["asset"] != "A0").fillna(returns.isel(period=slice(4, None))), tiny_panel
        )


# -- predictive checks


@pytest.fixture(scope="module")
def heavy_panel(tiny_model, tiny_truth):
    """80 periods of 20 assets whose noise has 2.5 degrees of freedom, and their parameters."""
    rng = np.random.default_rng(3)
    n, t = 20, 80
    truth = {
        k: (np.resize(v, (n, *v.shape[1:])) if v.ndim and len(v) == 8 else v) for k, v in tiny_truth.items()
    }
    truth |= {"nu": np.full(n, 2.5), "factor_scale": np.array([0.02, 0.01])}
    features = {
        "recent_return": rng.standard_normal((t, n)),
        "recent_volatility": 0.5 * rng.standard_normal((t, n, 1)),
        "earnings": (rng.random((t, n)) < 0.25).astype(float),
    }
    classes = ["stock"] * 12 + ["bond_etf"] * 8
    empty = Panel.from_arrays(np.zeros((t, n)), asset_class=classes, **features)
    returns = simulate(tiny_model, truth, model_data(tiny_model, empty), rng=rng).log_returns
    return Panel.from_arrays(returns, asset_class=classes, **features), truth


def test_check_finds_tails_that_the_model_lacks(heavy_panel):
    panel, truth = heavy_panel
    model = FactorModel(name="thin", n_factors=2, noise=NormalNoise())
    thin = {k: v for k, v in truth.items() if k != "nu"}
    result = check(known_posterior(model, panel, thin), n_draws=300, seed=1)
    tails = [flag for flag in result.flags if flag.startswith("tails")]
    assert len(tails) == 2
    assert "tails are heavier than in the model" in tails[0]
    assert (result.table.loc[["tails stock", "tails bond_etf"], "tail_probability"] < 0.01).all()


def test_check_passes_the_true_model(heavy_panel, tiny_model):
    panel, truth = heavy_panel
    result = check(known_posterior(tiny_model, panel, truth), n_draws=300, seed=1)
    assert len(result.flags) <= 1
    again = check(known_posterior(tiny_model, panel, truth), n_draws=300, seed=1)
    pd.testing.assert_frame_equal(result.table, again.table)


def test_check_of_a_fit(posterior):
    result = check(posterior, n_draws=100, seed=1)
    table = result.table
    assert list(table.columns) == ["observed", "5%", "50%", "95%", "tail_probability"]
    assert ((table["5%"] <= table["50%"]) & (table["50%"] <= table["95%"])).all()
    assert table["tail_probability"].between(0, 0.5).all()
    assert len(result.flags) <= 3
    assert "100 replicates" in repr(result)
    assert "tiny" in repr(result)
    assert "<table" in result._repr_html_()
    with pytest.raises(ValueError, match="read-only"):
        result.replicated.values[0, 0] = 1.0


def test_check_prior_allows_for_the_truth(tiny_model, tiny_panel):
    result = check_prior(tiny_model, tiny_panel, n_draws=200, seed=1)
    assert "prior" in repr(result)
    assert not [f for f in result.flags if f.startswith(("sd", "mean", "tails"))]


def test_tail_probability_and_flags_by_hand():
    names = ["sd stock", "tails stock", "earnings"]
    replicated = np.column_stack([np.arange(200.0), np.r_[np.zeros(100), np.ones(100)], np.arange(200.0)])
    result = PredictiveCheck(
        "posterior",
        "m",
        xr.DataArray([199.5, 1.0, -5.0], dims="statistic", coords={"statistic": names}),
        xr.DataArray(replicated, dims=("draw", "statistic"), coords={"statistic": names}),
    )
    np.testing.assert_allclose(result.table["tail_probability"], [0, 0.25, 0])
    assert len(result.flags) == 2
    assert result.flags[0].startswith("sd stock: 200 in the data")
    assert "returns vary more" in result.flags[0]
    assert "announcements move returns less" in result.flags[1]
    figure = result.plot()
    assert [a.get_title() for a in figure.axes] == names
    assert [a.lines[0].get_xdata()[0] for a in figure.axes] == [199.5, 1.0, -5.0]
    assert [a.title.get_color() for a in figure.axes] == ["C3", "black", "C3"]
    assert not plt.get_fignums()


# -- leave one out


def test_leave_one_out_is_arviz_loo_on_the_observed_cells(posterior, tiny_panel):
    result = leave_one_out(posterior, n_draws=posterior.n_draws, seed=1)
    tree = posterior.with_log_likelihood()
    with pytest.warns(UserWarning, match="Pareto") if result.n_doubtful else nothing():
        oracle = arviz_stats.loo(tree, var_name="log_returns", reff=1.0)
    assert result.elpd.elpd == pytest.approx(oracle.elpd, rel=1e-6)
    assert result.pit.dims == ("period", "asset")
    np.testing.assert_array_equal(result.pit.isnull(), returns_of(tiny_panel).isnull())
    cells = result.pit.to_numpy()[result.pit.notnull().to_numpy()]
    assert cells.min() > 0
    assert cells.max() < 1
    assert stats.kstest(cells, "uniform").pvalue > 0.001
    assert "returns, elpd" in repr(result)


def nothing():
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto:UserWarning")
def test_leave_one_out_is_the_refit_without_a_return(tiny_panel):
    """Exact, where periods count less than 1: ours is right, ArviZ's of the plain likelihood is not."""
    cutoff = pd.Timestamp(tiny_panel.history["period"].to_numpy()[24]).date()
    model = FactorModel(name="w", n_factors=2, weights=StepWeights(cutoff=cutoff, before=0.3))
    settings = SamplerSettings(engine="gibbs", draws=500, tune=200, chains=2, thin=2)
    posterior = fit(model, tiny_panel, seed=5, settings=settings)
    own = leave_one_out(posterior, n_draws=posterior.n_draws, seed=1).elpd.elpd_i.to_numpy()
    plain = arviz_stats.loo(posterior.with_log_likelihood(), var_name="log_returns", pointwise=True, reff=1.0)
    gap = np.abs(own - plain.elpd_i.to_numpy())
    cells = np.argwhere(returns_of(tiny_panel).notnull().to_numpy())
    j = int(gap.argmax())
    t, i = cells[j]
    dataset = tiny_panel.to_dataset()
    returns = dataset["log_returns"].copy(deep=True)
    returns[{"period": t, "asset": i}] = np.nan
    without = fit(model, Panel.from_dataset(dataset.assign(log_returns=returns)), seed=7, settings=settings)
    density = model.log_likelihood(without.parameters(), model_data(model, tiny_panel))[:, t, i]
    exact = float(np.log(np.exp(density).mean()))
    assert gap[j] > 0.5
    assert own[j] == pytest.approx(exact, abs=0.25)
    assert abs(plain.elpd_i.to_numpy()[j] - exact) > 2 * abs(own[j] - exact)


def test_leave_one_out_removes_as_much_as_entered(tiny_model, tiny_panel, tiny_truth):
    """A return of hardly any weight is left out as if it had not been there."""
    model = FactorModel(
        name="w",
        n_factors=2,
        weights=StepWeights(cutoff=str(tiny_panel.history["period"].to_numpy()[30])[:10], before=1e-8),
    )
    p = known_posterior(model, tiny_panel, tiny_truth, n_draws=200)
    draws = p.draws
    rng = np.random.default_rng(2)
    draws["theta"] = draws["theta"] + 0.3 * rng.standard_normal(draws["theta"].shape)
    noisy = Posterior.from_draws(draws, xr.Dataset(), model, tiny_panel, p.attrs)
    old = leave_one_out(noisy, n_draws=200, seed=1).elpd.elpd_i.to_numpy()
    values = noisy.log_likelihood()
    exact = np.log(np.exp(values).mean(("chain", "draw"))).to_numpy()
    observed = np.isfinite(exact)
    assert observed.sum() == len(old)
    early = np.repeat(np.arange(36)[:, None], 8, axis=1)[observed] < 30
    np.testing.assert_allclose(old[early], exact[observed][early], atol=1e-6)


def test_leave_one_out_picture(posterior):
    result = leave_one_out(posterior, n_draws=150, seed=1)
    assert isinstance(result, LeaveOneOut)
    figure = result.plot()
    assert [a.get_title() for a in figure.axes] == ["stock", "bond_etf"]
    assert not plt.get_fignums()


def test_leave_one_out_needs_draws(posterior):
    with pytest.raises(DataError, match="n_draws must be a whole number of at least 100"):
        leave_one_out(posterior, n_draws=10, seed=1)
