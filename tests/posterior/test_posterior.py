"""Fit to forecast: equal seeds, files, no look-ahead, recovery, missing data, agreement of engines."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from bdfm import _sealed
from bdfm.data.panel import Panel
from bdfm.data.settings import PanelSettings, RollingCovariance
from bdfm.data.sources import DEMO_ORIGIN, demo
from bdfm.errors import DataError, FileError, ModelError
from bdfm.forecast.ranks import outcome_quantiles
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Part
from bdfm.model.parts.dynamics import VAR1
from bdfm.model.parts.log_volatility import LogVolIntercept
from bdfm.model.parts.mean import Intercept
from bdfm.model.parts.predictive import CovariancePool, HistoricalPool, ModelPredictive
from bdfm.model.simulate import other_draws, resample_past, simulate, simulate_ahead
from bdfm.posterior.fit import fit
from bdfm.posterior.posterior import Posterior
from bdfm.scoring.scores import ranked_probability_score

QUICK = SamplerSettings(draws=200, tune=300, chains=2, thin=2)


@pytest.fixture(scope="module")
def posterior(tiny_model, tiny_panel):
    return fit(
        tiny_model, tiny_panel, seed=5, settings=SamplerSettings(draws=1000, tune=500, chains=2, thin=2)
    )


def test_equal_seeds_give_equal_draws(tiny_model, tiny_panel):
    first, second, other = (
        fit(tiny_model, tiny_panel, seed=s, settings=QUICK).forecast(seed=3, n_draws=2000) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.draws, second.draws)
    assert not np.array_equal(first.draws, other.draws)


def test_the_number_of_cores_leaves_no_trace(tiny_model, tiny_panel):
    one, two = (
        fit(tiny_model, tiny_panel, seed=1, settings=QUICK.model_copy(update={"draws": 20, "cores": cores}))
        for cores in (1, 2)
    )
    xr.testing.assert_identical(one.draws, two.draws)
    assert one.attrs["settings"] == two.attrs["settings"]
    assert "cores" not in one.attrs["settings"]
    assert SamplerSettings.model_validate_json(one.attrs["settings"]).draws == 20


def test_tree_has_named_dims_and_groups(posterior, tiny_panel):
    tree = posterior.tree
    assert set(tree.children) == {"posterior", "sample_stats", "observed_data", "constant_data", "panel"}
    draws = posterior.draws
    assert draws["loadings"].dims == ("chain", "draw", "asset", "factor")
    assert draws["factors"].dims == ("chain", "draw", "period", "factor")
    assert list(draws["asset"].values) == list(tiny_panel.assets)
    assert "tiny" in repr(posterior)
    for variable in posterior.model.variables:
        if variable.stored:
            said = {"units": variable.unit, "long_name": variable.title}
            assert draws[variable.name].attrs == said


def test_a_file_holds_everything(posterior, tmp_path):
    path = posterior.save(tmp_path / "p.nc")
    loaded = Posterior.load(path)
    xr.testing.assert_identical(loaded.draws, posterior.draws)
    assert loaded.model == posterior.model
    xr.testing.assert_identical(loaded.panel.dataset, posterior.panel.dataset)
    first, second = (p.forecast(seed=1, n_draws=2000).draws for p in (posterior, loaded))
    np.testing.assert_array_equal(first, second)


def test_a_truncated_file_is_one_clear_error(posterior, tmp_path):
    path = posterior.save(tmp_path / "p.nc")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FileError, match=r"p\.nc"):
        Posterior.load(path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda d: d.isel(period=slice(0, 1)),
            "its panel cannot be read: panel: 36 periods of history among 1",
        ),
        (lambda d: d.isel(period=slice(0, 0)), "its panel cannot be read: .* among 0"),
        (lambda d: d.assign_attrs(n_history=0), "its panel cannot be read: panel: 0 periods"),
        (lambda d: d.assign_attrs(n_history="30"), "its panel cannot be read: panel: '30' periods"),
        (lambda d: d.assign_attrs(n_history=35), "the period labels of its draws are not those of its panel"),
        (lambda d: d.isel(asset=slice(0, 1)), "the asset labels of its draws"),
        (lambda d: d.isel(asset=slice(None, None, -1)), "the asset labels of its draws"),
    ],
)
def test_a_panel_of_other_labels_than_the_draws_is_refused(change, told, posterior, tmp_path):
    tree = posterior.tree.isel(draw=slice(0, 2))
    tree["panel"] = xr.DataTree(change(posterior.panel.to_dataset()))
    path = _sealed.save_tree(tree, tmp_path / "p.nc", kind="posterior")
    with pytest.raises(FileError, match=rf"p\.nc: {told}"):
        Posterior.load(path)


def test_log_likelihood_is_unweighted_and_pointwise(posterior, tiny_panel):
    values = posterior.log_likelihood()
    assert (values.name, values.dims) == ("log_returns", ("chain", "draw", "period", "asset"))
    missing = np.isnan(tiny_panel.history["log_returns"].to_numpy())
    assert missing.sum() > 10
    np.testing.assert_array_equal(np.isnan(values[0, 0].to_numpy()), missing)
    # The sampler's own total, with unit weights, is the sum.
    total = posterior.tree["sample_stats"]["total_log_likelihood"]
    np.testing.assert_allclose(values.sum(("period", "asset")), total, rtol=1e-8)


def test_tiny_fit_is_good_enough_to_test_with(posterior):
    diagnosis = posterior.diagnose()
    assert diagnosis.max_rhat < 1.05
    assert diagnosis.min_ess_bulk > 100


def test_posterior_covers_the_truth(posterior, tiny_truth):
    """Identified parameters lie within the posterior, judged over all assets at once."""
    z = []
    for name in ("theta", "beta_rv", "beta_earnings", "alpha", "beta_rr"):
        draws = posterior.draws[name].to_numpy().reshape(2000, -1)
        z.extend((tiny_truth[name].ravel() - draws.mean(axis=0)) / draws.std(axis=0))
    assert len(z) == 40
    assert np.max(np.abs(z)) < 4
    assert 0.4 < np.std(z) < 1.6


def test_horizon_beyond_the_panel_is_refused(posterior):
    with pytest.raises(DataError, match="horizon 2 is beyond the panel's 1 future period"):
        posterior.forecast(2, seed=1)


def test_forecast_is_antithetic(posterior):
    """Signs balance: mean log returns carry no Monte Carlo noise."""
    f, g = (np.log1p(posterior.forecast(seed=s, n_draws=4000).draws.to_numpy()).mean(axis=0) for s in (1, 2))
    np.testing.assert_allclose(f, g, atol=2e-6)


@pytest.fixture(scope="module")
def quiet(random_draws):
    """Function that gives a posterior of the demo, two periods ahead, without noise and innovations."""
    prices, universe = demo()
    panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, horizon=2)
    model = FactorModel(n_factors=2, mean=(Intercept(),), log_volatility=(LogVolIntercept(),))

    def make(evidence=()):
        draws = random_draws(model, panel, evidence=evidence)
        draws["alpha"] = draws["alpha"] / 100
        draws["rho"] = draws["rho"] * 0 + 0.5
        draws["factor_scale"] = draws["factor_scale"] * 0 + 1e-9
        draws["theta"] = draws["theta"] * 0 - 20
        for name in ("factors_next", "evidence_return"):
            if name in draws:
                draws[name] = draws[name] / 20
        return Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 0}, evidence=evidence)

    return make


def test_each_draw_goes_on_from_its_last_factors(quiet):
    posterior = quiet()
    p = posterior.parameters()
    first, both = (posterior.forecast(h, seed=1, n_draws=56) for h in (1, 2))
    ends = posterior.panel.future["period"].to_numpy()
    assert [f.end for f in (first, both)] == list(pd.DatetimeIndex(ends))
    for forecast, share in ((first, 0.5), (both, 0.5 + 0.25)):
        common = (p["loadings"] @ p["factors"][:, -1, :, None])[..., 0]
        n_steps = forecast.attrs["horizon"]
        expected = np.expm1(n_steps * p["alpha"] + share * common)[forecast.draws["posterior_draw"]]
        assert len(expected) == 56
        np.testing.assert_allclose(forecast.draws, expected, atol=5e-6)


def test_evidence_is_of_the_first_period_ahead(quiet):
    symbol = "AAPL"
    posterior = quiet([Evidence(symbol, 0.02, 0.1)])
    p = posterior.parameters()
    # One pair of paths of each draw: the period is the posterior's own, not drawn anew.
    forecast = posterior.forecast(2, seed=1, n_draws=28)
    common = (p["loadings"] @ p["factors_next"][..., None])[..., 0]
    total = 2 * p["alpha"] + 1.5 * common
    i = forecast.assets.index(symbol)
    total[:, i] = p["evidence_return"][:, 0] + p["alpha"][:, i] + 0.5 * common[:, i]
    np.testing.assert_allclose(forecast.draws, np.expm1(total)[forecast.draws["posterior_draw"]], atol=5e-6)


# -- pool with historical simulation (eq. 11a) -----------------------------------------------------------


def pooled(posterior, share):
    """The same posterior under a model that pools."""
    tree = posterior.tree
    model = posterior.model.model_copy(update={"predictive": HistoricalPool(share=share)})
    tree.attrs["model_toml"] = model.to_toml()
    return Posterior(tree)


def periods_of(log_returns, past):
    """Period of the past (row) of which returns (row, asset) are the most like: its known ones are equal."""
    return np.nanmax(np.abs(log_returns[:, None] - past), axis=2).argmin(axis=1)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_pool_is_the_model_and_the_past(posterior, tiny_panel, share):
    n_model = 24_000
    model = posterior.forecast(seed=3, n_draws=n_model).draws.to_numpy()
    forecast = pooled(posterior, share).forecast(seed=3, n_draws=round(n_model / (1 - share)))
    draws = forecast.draws.to_numpy()
    assert len(draws) == round(n_model / (1 - share))
    assert forecast.attrs["pool_share"] == share
    np.testing.assert_array_equal(draws[:n_model], model)  # the model's part is as if alone
    # The rest are whole past periods, one as often as another.
    past = tiny_panel.history["log_returns"].to_numpy()
    rest = np.log1p(draws[n_model:].astype(float))
    period = periods_of(rest, past)
    known = np.isfinite(past[period])
    np.testing.assert_allclose(rest[known], past[period][known], atol=2e-5)
    counts = np.bincount(period, minlength=len(past))
    assert counts.max() - counts.min() <= 1
    assert np.isfinite(rest).all()


def test_gaps_of_the_past_are_the_models_given_its_factors(posterior, tiny_panel):
    """Asset 1 had no return in the first ten periods: its draws there have the model's mean and sd."""
    p = posterior.parameters()
    data = model_data(posterior.model, tiny_panel)
    rows = 36 * 2000
    rng = np.random.default_rng(1)
    came = resample_past(posterior.model, p, data, n=rows, rng=rng)[:, 0].astype(float)
    period = periods_of(came, data["log_returns"])
    mu = posterior.model.expected_return(p, p["factors"], data)
    sigma = np.exp(posterior.model.log_noise_scale(p, data))
    for t in (0, 4, 9):
        drawn = came[period == t, 1]
        # Medians, because the noise is a Student-t.
        expected = np.median(mu[:, t, 1])
        se = 1.6 * np.median(sigma[:, t, 1]) / np.sqrt(len(drawn) / 10)
        assert abs(np.median(drawn) - expected) < 4 * se
        assert 0.8 < np.subtract(*np.quantile(drawn, [0.8, 0.2])) / (1.75 * np.median(sigma[:, t, 1])) < 2.0


def test_a_pool_over_several_periods_takes_them_in_a_row(posterior, tiny_panel):
    data = model_data(posterior.model, tiny_panel)
    rng = np.random.default_rng(1)
    came = resample_past(posterior.model, posterior.parameters(), data, n=70, n_steps=3, rng=rng)
    period = periods_of(came.reshape(-1, came.shape[2]), data["log_returns"]).reshape(came.shape[:2])
    np.testing.assert_array_equal(np.diff(period, axis=1), 1)
    counts = np.bincount(period[:, 0], minlength=tiny_panel.n_history - 2)
    assert counts.max() - counts.min() <= 1


def test_a_pool_hears_of_evidence(tiny_model, tiny_panel):
    model = tiny_model.model_copy(update={"predictive": HistoricalPool()})
    fitted = fit(model, tiny_panel, seed=1, settings=QUICK, evidence=[Evidence("A7", -0.06, 0.001)])
    forecast = fitted.forecast(seed=1, n_draws=2000)
    assert forecast.attrs["pool_share"] == 0.0
    assert np.abs(forecast.draws.sel(asset="A7") + 0.06).max() < 0.01
    assert "without past returns" in forecast.history()["text"].iloc[0]


def test_a_horizon_beyond_the_history_has_no_past_to_draw_from():
    prices, universe = demo()
    settings = PanelSettings(n_periods=24)
    panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, settings=settings, horizon=25)
    model = FactorModel(n_factors=2, predictive=HistoricalPool())
    fitted = fit(model, panel, seed=1, settings=QUICK)
    assert np.isfinite(fitted.forecast(24, seed=1, n_draws=400).draws).all()
    with pytest.raises(DataError, match=r"horizon 25 is longer than the history of 24.*\[predictive\]"):
        fitted.forecast(25, seed=1, n_draws=400)


# -- pool with the rolling covariance (eq. 11b) ----------------------------------------------------------

COVARIANCE = np.array([[0.01, 0.004, -0.001], [0.004, 0.0025, 0.0], [-0.001, 0.0, 0.0009]])


@pytest.fixture(scope="module")
def rolled():
    """A panel of three assets with a rolling covariance that is not the model's, and the model that pools."""
    returns = np.random.default_rng(5).standard_normal((40, 3)) * [0.2, 0.1, 0.05]
    classes = ["x", "x", "y"]
    panel = Panel.from_arrays(returns, asset_class=classes, rolling_covariance=COVARIANCE)
    settings = PanelSettings(rolling_covariance=RollingCovariance())
    model = FactorModel(n_factors=1, panel=settings, predictive=CovariancePool(share=0.25))
    return model, panel


def test_a_pool_is_the_model_and_the_rolling_covariance(rolled):
    model, panel = rolled
    fitted = fit(model, panel, seed=1, settings=QUICK)
    alone = fit(model.model_copy(update={"predictive": ModelPredictive()}), panel, seed=1, settings=QUICK)
    forecast = fitted.forecast(seed=3, n_draws=160_000)
    draws = forecast.draws.to_numpy().astype(float)
    np.testing.assert_array_equal(draws[:120_000], alone.forecast(seed=3, n_draws=120_000).draws)
    assert (len(draws), forecast.attrs["pool"], forecast.attrs["pool_share"]) == (
        160_000,
        "covariance_pool",
        0.25,
    )
    rest = np.log1p(draws[120_000:])
    sd = np.sqrt(np.diag(COVARIANCE))
    expected = 6 / np.pi * np.arcsin(COVARIANCE / np.outer(sd, sd) / 2)
    np.testing.assert_allclose(stats.spearmanr(rest).statistic, expected, atol=0.02)
    heights = np.quantile(rest, [0.1, 0.9], axis=0)  # variances of such tails are too rough
    np.testing.assert_allclose(
        np.diff(heights, axis=0)[0], 2 * stats.t(5).ppf(0.9) * sd * np.sqrt(3 / 5), rtol=0.03
    )
    np.testing.assert_allclose(rest.mean(axis=0), 0, atol=1e-5)  # mirrored pairs
    own = rest[:, 0] / np.sqrt(0.01 * 3 / 5)
    assert stats.kstest(own[:20_000], stats.t(5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("n_steps", [1, 3])
def test_periods_of_the_rolling_covariance_add_up(rolled, n_steps):
    model, panel = rolled
    rng = np.random.default_rng(1)
    evidence = [Evidence("A3", 0.05, 1e-4)]
    x = other_draws(model, {}, panel, n=100_000, n_steps=n_steps, rng=rng, evidence=evidence)
    later = (n_steps - 1) * COVARIANCE  # evidence is on the first period
    np.testing.assert_allclose(x[:, 2].mean(), np.log(1.05), atol=1e-3)
    np.testing.assert_allclose(x[:, 2].var(), later[2, 2], rtol=0.05, atol=1e-6)
    np.testing.assert_allclose(x[:, 1].var(), COVARIANCE[1, 1] + later[1, 1], rtol=0.05)


@pytest.mark.long
def test_draws_of_the_rolling_covariance_are_given_the_evidence(rolled):
    model, panel = rolled
    evidence = [Evidence("A1", -0.15, 0.01)]
    fitted = fit(model, panel, seed=1, settings=QUICK, evidence=evidence)
    forecast = fitted.forecast(seed=3, n_draws=160_000)
    assert forecast.attrs["pool_share"] == 0.25
    rest = forecast.draws.to_numpy()[120_000:].astype(float)
    assert abs(rest[:, 0].mean() + 0.15) < 0.005  # pulled back a little by the prior
    assert rest[:, 1].mean() < -0.03  # correlation 0.8
    assert "without" not in forecast.history()["text"].iloc[0]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2])
def test_a_share_is_between_zero_and_one(share):
    with pytest.raises(ModelError, match=r"share"):
        FactorModel(predictive={"kind": "historical_pool", "share": share})


def test_monte_carlo_noise_falls_as_draws_rise(posterior, rng):
    outcome = outcome_quantiles(rng.standard_normal(8))

    def noise(n_draws):
        scores = [
            ranked_probability_score(
                posterior.forecast(seed=s, n_draws=n_draws).quantile_probabilities().to_numpy(), outcome
            ).mean()
            for s in range(10)
        ]
        return np.std(scores, ddof=1)

    assert noise(128_000) < noise(4000) / 2


def test_gibbs_refuses_what_it_does_not_cover(tiny_panel):
    model = FactorModel(n_factors=1, dynamics=(VAR1(),))
    with pytest.raises(ModelError, match=r"engine gibbs: .*does not cover \(VAR1\)"):
        fit(model, tiny_panel, seed=1, settings=SamplerSettings(engine="gibbs"))


def test_inactive_assets_are_zeroed_and_recorded():
    prices, universe = demo()
    prices = prices.copy()
    prices.loc["2022-06-01":, "AAPL"] = np.nan
    panel = Panel.from_prices(prices, universe, origin=DEMO_ORIGIN, zero=["AAPL"])
    forecast = fit(FactorModel(n_factors=2), panel, seed=1, settings=QUICK).forecast(seed=1, n_draws=4000)
    assert float(np.abs(forecast.draws.sel(asset="AAPL")).max()) == 0
    assert list(forecast.history()["kind"]) == ["zero"]
    # The others move around a zero return, so it is not in the middle fifth for certain.
    middle = float(forecast.quantile_probabilities().sel(asset="AAPL", quantile=3))
    assert 0.05 < middle < 0.95


def test_no_look_ahead_bit_for_bit():
    """The future replaced by noise, by nothing and by huge numbers: the same forecast."""
    prices, universe = demo()
    origin = pd.Timestamp("2020-03-06")
    after = prices.index > origin
    assert after.sum() > 500
    rng = np.random.default_rng(0)
    noisy, huge, empty = prices.copy(), prices.copy(), prices.copy()
    noisy.loc[after] = rng.lognormal(3, 2, noisy.loc[after].shape)
    huge.loc[after] = 1e12
    empty.loc[after] = np.nan
    model = FactorModel(n_factors=2, predictive=HistoricalPool())
    draws = [
        fit(model, Panel.from_prices(p, universe, origin=origin), seed=1, settings=QUICK)
        .forecast(seed=1, n_draws=2000)
        .draws.to_numpy()
        for p in (prices, noisy, huge, empty, prices.loc[:origin])
    ]
    assert len(draws) == 5
    for other in draws[1:]:
        np.testing.assert_array_equal(draws[0], other)


@pytest.mark.slow
def test_engines_agree(tiny_model, tiny_panel):
    """Gibbs and NUTS give the same posterior: means within four Monte Carlo errors."""
    from bdfm.inference.ess import mcse_mean

    runs = [
        fit(
            tiny_model, tiny_panel, seed=3, settings=SamplerSettings(engine=e, draws=2000, thin=10)
        ).identified()
        for e in ("gibbs", "nuts")
    ]
    z = {}
    for name in runs[0].data_vars:
        a, b = (r[name].transpose("chain", "draw", ...).to_numpy() for r in runs)
        error = np.hypot(mcse_mean(a), mcse_mean(b))
        z[str(name)] = np.max(np.abs(a.mean((0, 1)) - b.mean((0, 1))) / error)
    assert len(z) > 15
    assert max(z.values()) < 4.5, z


@pytest.mark.slow
def test_recovery_at_m6_size():
    """Parameters of a simulated panel of M6's size lie where the posterior says."""
    rng = np.random.default_rng(12)
    model, n, t, k = FactorModel(n_factors=4), 100, 104, 4
    x = {
        "recent_return": rng.standard_normal((t, n)),
        "recent_volatility": 0.4 * rng.standard_normal((t, n, 1)),
        "earnings": (rng.random((t, n)) < 0.3).astype(float),
    }
    classes = ["stock"] * 50 + ["equity_etf"] * 41 + ["fixed_income_etf"] * 9
    truth = {
        "rho": np.float64(0.1),
        "factor_scale": np.array([0.04, 0.02, 0.015, 0.01]),
        "loadings": rng.standard_t(10, (n, k)),
        "alpha": 0.004 * rng.standard_t(10, n),
        "beta_rr": -0.003 + 0.002 * rng.standard_normal(n),
        "theta": -3.2 + 0.4 * rng.standard_normal(n),
        "beta_rv": 0.35 + 0.15 * rng.standard_normal((n, 1)),
        "beta_earnings": 0.3 + 0.2 * rng.standard_normal(n),
        "nu": rng.gamma(5.4, 1.3, n),
    }
    empty = Panel.from_arrays(np.zeros((t, n)), asset_class=classes, **x)
    returns = simulate(model, truth, model_data(model, empty), rng=rng).log_returns
    posterior = fit(model, Panel.from_arrays(returns, asset_class=classes, **x), seed=1)
    assert posterior.diagnose().max_rhat < 1.02
    draws = posterior.draws
    inside, total = 0, 0
    for name in ("theta", "beta_rv", "beta_earnings", "alpha", "beta_rr", "nu"):
        d = draws[name].to_numpy().reshape(posterior.n_draws, -1)
        low, high = np.quantile(d, [0.05, 0.95], axis=0)
        inside += int(((low < truth[name].ravel()) & (truth[name].ravel() < high)).sum())
        total += d.shape[1]
    assert total == 600
    # Assets share hyper-parameters, so their errors are not independent: the band is wider than binomial.
    assert 0.82 < inside / total < 0.96
    variance = (
        ((draws["loadings"] * draws["factor_scale"]) ** 2).sum("factor").mean(("chain", "draw")).to_numpy()
    )
    assert np.corrcoef(variance, (truth["loadings"] ** 2 * truth["factor_scale"] ** 2).sum(1))[0, 1] > 0.95


@pytest.mark.slow
@pytest.mark.shared_data
def test_deleting_a_fifth_of_the_returns_moves_means_within_their_uncertainty(m6_dir):
    from bdfm.data.sources import read_earnings, read_prices, read_universe

    prices, universe = read_prices(m6_dir / "prices.csv.gz"), read_universe(m6_dir / "universe.csv")
    earnings = read_earnings(m6_dir / "earnings.csv")
    full = Panel.from_prices(prices, universe, origin="2022-01-07", earnings=earnings)
    data = full.to_dataset()
    returns = data["log_returns"].to_numpy().copy()
    keep = np.random.default_rng(4).random(returns.shape) > 0.2
    data["log_returns"] = (data["log_returns"].dims, np.where(keep, returns, np.nan))
    model = FactorModel.from_preset("m6")
    z = []
    a, b = (fit(model, p, seed=1).draws for p in (full, Panel.from_dataset(data)))
    for name in ("theta", "beta_rv", "alpha", "beta_rr", "nu", "mu_theta", "mu_beta_rv", "mu_beta_rr"):
        x, y = (d[name].to_numpy().reshape(-1, *d[name].shape[2:]) for d in (a, b))
        z.extend(np.ravel((x.mean(0) - y.mean(0)) / y.std(0)))
    assert len(z) > 500
    assert np.mean(np.abs(z) < 2) > 0.95


def reweighted_mean(forecast, symbol, mean, sd):
    """Exact effect of evidence on unconditioned draws: weights are its likelihood (eq. 12)."""
    draws = forecast.draws
    log_weight = -0.5 * ((draws.sel(asset=symbol).to_numpy() - mean) / sd) ** 2
    weight = np.exp(log_weight - log_weight.max())
    return weight @ draws.to_numpy().astype(float) / weight.sum(), weight.sum() ** 2 / (weight**2).sum()


@pytest.mark.long  # of Gibbs sampling and quantiles in tests/report/test_month.py too
@pytest.mark.parametrize("engine", ["gibbs", "nuts"])
def test_evidence_in_the_model_equals_reweighting(engine, tiny_model, tiny_panel, posterior):
    statement = Evidence("A7", -0.06, 0.04)
    plain = posterior.forecast(seed=1)
    expected, ess = reweighted_mean(plain, *statement[:3])
    assert ess > 10_000
    settings = SamplerSettings(engine=engine, draws=2000)
    conditioned = fit(tiny_model, tiny_panel, seed=1, settings=settings, evidence=[statement]).forecast(
        seed=1
    )
    moved = expected - plain.draws.mean("draw").to_numpy()
    assert np.abs(moved).max() > 0.03
    np.testing.assert_allclose(conditioned.draws.mean("draw").to_numpy(), expected, atol=0.005)


def test_every_component_is_reachable_from_a_model():
    """No part is left out of the slots."""
    parts = {type(p) for p in FactorModel().parts}
    assert all(issubclass(p, Part) for p in parts)


def test_alignment_changes_nothing_that_is_identified(posterior):
    aligned = posterior.aligned()
    assert not np.allclose(aligned.draws["loadings"], posterior.draws["loadings"])
    for name, values in posterior.identified().data_vars.items():
        np.testing.assert_allclose(
            aligned.identified()[name], values, rtol=1e-9, atol=1e-12, err_msg=str(name)
        )
    np.testing.assert_allclose(aligned.log_likelihood(), posterior.log_likelihood(), rtol=1e-10, atol=1e-10)
    model, data = posterior.model, model_data(posterior.model, posterior.panel, future=True)
    paths = [
        simulate_ahead(
            model,
            q.parameters(),
            q.parameters()["factors"][:, -1:],
            data,
            n_paths=2,
            rng=np.random.default_rng(1),
            dtype=np.float64,
        )
        for q in (posterior, aligned)
    ]
    np.testing.assert_allclose(paths[0], paths[1], rtol=1e-10, atol=1e-10)


def test_a_posterior_of_an_unknown_part_names_its_file(small_preset, random_draws, tmp_path):
    """As a forecast does: the part is the reader's own, and its module is not imported."""
    model, panel = small_preset("m6")
    posterior = Posterior.from_draws(random_draws(model, panel), xr.Dataset(), model, panel, {})
    tree = _sealed.load_tree(posterior.save(tmp_path / "p.nc"), kind="posterior")
    tree.attrs["model_toml"] = tree.attrs["model_toml"].replace('"student_t"', '"my_noise"')
    _sealed.save_tree(tree, tmp_path / "own.nc", kind="posterior")
    loaded = Posterior.load(tmp_path / "own.nc")
    assert loaded.draws.sizes["chain"] == 2
    with pytest.raises(FileError, match=r"own\.nc: .*my_noise"):
        _ = loaded.model


def test_draws_of_a_model_that_is_refused_today_can_be_read(small_preset, random_draws, tmp_path):
    """Of an earlier release, which took a half-life of 1.5: its model is refused where it is asked for."""
    model, panel = small_preset("m6")
    posterior = Posterior.from_draws(random_draws(model, panel), xr.Dataset(), model, panel, {})
    tree = _sealed.load_tree(posterior.save(tmp_path / "p.nc"), kind="posterior")
    text, step = tree.attrs["model_toml"], 'kind = "step"\ncutoff = 2018-05-01\nbefore = 0.5'
    assert step in text
    tree.attrs["model_toml"] = text.replace(step, 'kind = "half_life"\nhalf_life_periods = 1.5')
    _sealed.save_tree(tree, tmp_path / "old.nc", kind="posterior")
    loaded = Posterior.load(tmp_path / "old.nc")
    assert loaded.draws.sizes["chain"] == 2
    with pytest.raises(FileError, match=r"old\.nc: .*half_life_periods"):
        _ = loaded.model
