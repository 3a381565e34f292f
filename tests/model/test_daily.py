"""The daily model: what it recovers, how it forecasts, and what it cannot stand beside."""

import numpy as np
import pytest
import xarray as xr

from bdfm.data.panel import Panel
from bdfm.errors import InfeasibleViewError, ModelError
from bdfm.forecast.changes import Changes
from bdfm.inference.ess import mcse_mean
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Part
from bdfm.model.parts.autoregression import from_normals
from bdfm.model.parts.factor_volatility import FactorVolatilityScale
from bdfm.model.simulate import simulate, simulate_ahead
from bdfm.posterior.changed import forecast_with_changes
from bdfm.posterior.fit import fit
from bdfm.posterior.turned import turned_draws

T, N = 600, 8
TRUTH = {
    "factor_scale": np.array([0.01]),
    "factor_phi": np.array([0.95]),
    "factor_volatility_sd": np.array([0.2]),
    "leverage": np.array([-0.7]),
    "theta": np.linspace(-4.8, -4.0, N),
    "beta_earnings": np.full(N, 1.0),
    "nu": np.full(N, 7.0),
    "logit_phi": np.full(N, np.log(0.95 / 0.05)),
    "log_volatility_sd": np.full(N, np.log(0.2)),
}


def daily(n_factors=1):
    return FactorModel.from_preset("daily").model_copy(update={"n_factors": n_factors})


@pytest.fixture(scope="module")
def simulated():
    """Model, panel, truth: one market with leverage, eight assets, one of them listed late, and gaps."""
    model, rng = daily(), np.random.default_rng(4)
    flags = (rng.random((T, N)) < 0.05).astype(float)
    empty = Panel.from_arrays(np.zeros((T, N)), asset_class=["stock"] * N, earnings=flags)
    phi = 1 / (1 + np.exp(-TRUTH["logit_phi"]))
    p = TRUTH | {
        "loadings": np.linspace(0.6, 1.4, N)[:, None],
        "factor_volatility": from_normals(
            TRUTH["factor_phi"], TRUTH["factor_volatility_sd"], rng.standard_normal((T, 1))
        ),
        "volatility_state": from_normals(
            phi, np.exp(TRUTH["log_volatility_sd"]), rng.standard_normal((T, N))
        ),
    }
    came = simulate(model, p, model_data(model, empty), rng=rng)
    returns = came.log_returns.copy()
    returns[:250, 3] = np.nan
    returns[rng.random(returns.shape) < 0.03] = np.nan
    panel = Panel.from_arrays(
        returns, asset_class=["stock"] * N, earnings=flags, next_earnings=np.r_[1.0, np.zeros(N - 1)]
    )
    return model, panel, p | {"factors": came.factors}


@pytest.fixture(scope="module")
def fitted(simulated):
    """A few sweeps: for what holds of any draws."""
    model, panel, _ = simulated
    return fit(model, panel, seed=1, settings=SamplerSettings(draws=60, tune=60, thin=1, chains=2, cores=2))


@pytest.fixture(scope="module")
def converged(simulated):
    model, panel, _ = simulated
    settings = SamplerSettings(draws=250, tune=500, thin=8, chains=2, cores=2)
    return fit(model, panel, seed=1, settings=settings)


def near(draws, truth, *, sd_below):
    values = np.asarray(draws)
    mean, sd = values.mean(), values.std()
    assert sd < sd_below, f"posterior sd {sd:.3f}"
    assert abs(mean - truth) < 3.5 * sd, f"posterior {mean:.3f} +- {sd:.3f}, truth {truth}"


@pytest.mark.slow
def test_parameters_are_recovered(converged):
    draws = converged.aligned().draws
    near(draws["leverage"], -0.7, sd_below=0.2)
    near(draws["factor_phi"], 0.95, sd_below=0.03)
    near(draws["mu_logit_phi"], np.log(0.95 / 0.05), sd_below=0.5)
    near(draws["mu_log_volatility_sd"], np.log(0.2), sd_below=0.25)
    near(draws["mu_beta_earnings"], 1.0, sd_below=0.2)
    theta = draws["theta"]
    z = (theta.mean(("chain", "draw")) - TRUTH["theta"]) / theta.std(("chain", "draw"))
    assert np.abs(z).max() < 4


@pytest.mark.slow
def test_paths_are_recovered_where_there_are_returns(converged, simulated):
    truth = simulated[2]
    v = converged.draws["volatility_state"]
    mean, sd = (x.to_numpy() for x in (v.mean(("chain", "draw")), v.std(("chain", "draw"))))
    for i in (0, 5):
        assert np.corrcoef(mean[:, i], truth["volatility_state"][:, i])[0, 1] > 0.6
    inside = np.abs(mean - truth["volatility_state"]) < 1.645 * sd
    assert 0.82 < inside.mean() < 0.97
    assert sd[:200, 3].mean() > 1.3 * sd[300:, 3].mean()  # before it was listed, the prior
    h = converged.draws["factor_volatility"].mean(("chain", "draw")).to_numpy()[:, 0]
    assert np.corrcoef(h, truth["factor_volatility"][:, 0])[0, 1] > 0.7


def test_diagnosis_judges_what_is_identified(fitted):
    table = fitted.diagnose().table
    judged = {"common_variance", "noise_scale_next", "logit_phi", "mu_log_volatility_sd", "log_likelihood"}
    assert judged <= set(table.index)
    assert not {"leverage", "factor_volatility", "volatility_state"} & set(table.index)


def test_alignment_changes_places_and_signs_only(fitted):
    other = fitted.aligned()
    for name in ("common_variance", "common_covariance", "log_likelihood"):
        np.testing.assert_allclose(fitted.identified()[name], other.identified()[name], rtol=1e-8)
    assert (other.draws["loadings"].mean(("chain", "draw")) > 0).all()
    p, q = fitted.parameters(), other.parameters()
    sign = np.sign((p["loadings"] * q["loadings"]).sum(axis=1))
    np.testing.assert_allclose(q["leverage"], sign * p["leverage"])
    np.testing.assert_array_equal(q["factor_volatility"], p["factor_volatility"])


def test_alignment_of_factors_that_changed_places_and_signs():
    """Draws of two factors, each draw in an order and with signs of its own: all come back to one."""
    model, rng = daily(2), np.random.default_rng(2)
    n, panel = 40, Panel.from_arrays(np.zeros((30, 6)), asset_class=["stock"] * 6)
    truth = {
        "loadings": np.array([[1.0, 0.9, 1.1, 1.0, 0.2, 0.1], [0.1, -0.2, 0.1, 0.0, 1.2, 0.9]]).T,
        "factors": 0.01 * rng.standard_normal((30, 2)),
        "factor_scale": np.array([0.02, 0.01]),
        "leverage": np.array([-0.6, -0.2]),
        "factor_phi": np.array([0.9, 0.5]),
        "factor_volatility": rng.standard_normal((30, 2)),
    }
    turns = np.zeros((2, n, 2, 2))
    for c, d in np.ndindex(2, n):
        turns[c, d] = np.eye(2)[rng.permutation(2)] * rng.choice([-1.0, 1.0], 2)
    signed, places = {"loadings", "factors", "leverage"}, np.abs(turns)
    found = {k: x @ (turns if k in signed else places) for k, x in truth.items()}
    core = {v.name: v.dims for v in model.variables}
    coords = {k: x for k, x in model.coords(panel).items() if k in ("asset", "period", "factor")}
    draws = xr.Dataset({k: (("chain", "draw", *core[k]), x) for k, x in found.items()}, coords)
    back = turned_draws(draws, model, {})
    for name, x in truth.items():
        np.testing.assert_allclose(back[name], np.broadcast_to(x, back[name].shape), err_msg=name)


def test_forecast_goes_on_from_the_last_states(simulated):
    """Of one set of parameters: variances of the first day and of ten are those of the equations."""
    model, panel, truth = simulated
    n = 4000
    p = {k: np.repeat(np.asarray(x)[None], n, axis=0) for k, x in truth.items()}
    data = model_data(model, panel, future=True)
    ahead = {k: np.repeat(x, 10, axis=0) if k not in ("class_index",) else x for k, x in data.items()}
    ahead["period_number"] = np.arange(T, T + 10)
    ahead["earnings"][1:] = 0.0
    past = p["factors"][:, :0]
    came = simulate_ahead(model, p, past, ahead, n_paths=20, rng=np.random.default_rng(1), dtype=np.float64)
    assert came.shape == (20, n, 10, N)
    nu, log_scale = 7.0, model.log_noise_scale({k: x[:1] for k, x in p.items()}, ahead)[0]
    one = {k: x[:1] for k, x in p.items()}
    for t in (0, 4, 9):
        common = truth["loadings"][:, 0] ** 2 * (
            0.01**2 * model.factor_scale.variance_ahead(one, ahead, t)[0, 0]
        )
        own = np.exp(2 * log_scale[t] + 2 * model.volatility_variance_ahead(one, t)[0]) * nu / (nu - 2)
        np.testing.assert_allclose(came[:, :, t].var(axis=(0, 1)), common + own, rtol=0.06)
    # antithetic: on the first day a pair balances, and noise on the announcement day is e times the usual
    np.testing.assert_allclose(came[0, :, 0], -came[1, :, 0], atol=1e-12)
    np.testing.assert_allclose(log_scale[0, 0] - log_scale[1, 0], 1.0, atol=0.1)
    # leverage: a fall of the market on the first day makes the next one wilder
    market = came[:, :, 0].mean(axis=-1)
    fall, rise = (np.abs(came[:, :, 1].mean(axis=-1))[x] for x in (market < -0.01, market > 0.01))
    assert fall.mean() > 1.1 * rise.mean()


def test_forecasts_of_several_days(fitted):
    panel = fitted.panel
    one = fitted.forecast(1, seed=1, n_draws=20_000)
    assert str(one.end.date()) > str(panel.origin.date())
    spread = np.asarray(one.draws).std(axis=0)
    assert spread[0] > 1.3 * np.median(spread)  # it announces
    with pytest.raises(Exception, match="beyond the panel's 1 future periods"):
        fitted.forecast(5, seed=1)


def test_views_reweight_and_never_ask_for_a_second_fit(fitted):
    far = {"kind": "absolute", "asset": "A1", "mean": 0.4, "sd": 0.01, "semantics": "evidence"}
    with pytest.raises(InfeasibleViewError):
        forecast_with_changes(fitted, Changes.from_dict({"views": [far]}, where="x"), seed=1, n_draws=2000)
    near_ = far | {"mean": 0.01, "sd": 0.02}
    posterior, forecast = forecast_with_changes(
        fitted, Changes.from_dict({"views": [near_]}, where="x"), seed=1, n_draws=2000
    )
    assert posterior is fitted
    assert len(forecast.records) == 1


def test_evidence_conditions_forecasts_and_not_the_fit(fitted):
    """The next day's return of an asset is stated, and others move with it; the draws stay."""
    stated = Evidence("A2", -0.04, 0.002)
    assert stated.asset in fitted.panel.assets
    given = fitted.with_evidence(stated)
    assert given.draws.identical(fitted.draws)
    forecast = given.forecast(1, seed=1, n_draws=20_000)
    means = dict(zip(forecast.assets, forecast.weights.to_numpy() @ forecast.draws.to_numpy(), strict=True))
    assert means["A2"] == pytest.approx(-0.04, abs=0.002)
    assert max(means[a] for a in forecast.assets) < -0.003


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        ({"dynamics": [{"kind": "ar1"}]}, "AR1 in .dynamics."),
        ({"factor_noise": {"kind": "student_t"}}, "StudentTFactorNoise"),
        ({"loadings": {"kind": "random_walk"}}, "RandomWalkLoadings"),
        ({"loadings": {"kind": "instrumented_walk"}}, "InstrumentedWalkLoadings"),
        ({"mean": [{"kind": "factor_premium"}]}, "FactorPremium"),
        ({"weights": {"kind": "half_life", "half_life_periods": 250.0}}, "HalfLifeWeights"),
        ({"noise": {"kind": "laplace"}}, "LaplaceNoise cannot stand beside StochasticVolatility"),
    ],
)
def test_what_it_cannot_stand_beside(beside, named):
    table = daily().model_dump() | beside
    with pytest.raises(ModelError, match=f"{named}.*Leave one of them out"):
        FactorModel(**table)


def test_every_kind_of_loadings_that_its_updates_do_not_know_is_refused():
    """The updates of factors by day (eq. S40, S41) move one set of loadings, whose prior has the mean 0."""
    own = {
        k for (slot, k), p in Part.kinds.items() if slot == "loadings" and p.__module__.startswith("bdfm.")
    }
    refused = {kind for slot, kind in FactorVolatilityScale.refuses if slot == "loadings"}
    assert own - {"static"} == refused


@pytest.mark.slow
def test_engines_agree_on_five_assets(simulated):
    """Gibbs and NUTS on the PyMC form: means within 4.5 Monte Carlo errors, of leverage and paths too."""
    model, panel, _ = simulated
    days = panel.to_dataset().isel(period=slice(T - 250, None), asset=slice(0, 5))
    days.attrs |= {"n_history": 250}
    short = Panel.from_dataset(days)
    runs = []
    for engine, settings in (("gibbs", {"draws": 2000, "thin": 10}), ("nuts", {"draws": 500, "tune": 900})):
        own = SamplerSettings(engine=engine, chains=4, **settings)
        posterior = fit(model, short, seed=3, settings=own).aligned()
        found = posterior.identified().drop_vars(
            ["log_likelihood", "expected_return_next"]
        )  # the latter is 0
        draws = posterior.draws
        sign = np.sign(draws["loadings"].mean("asset"))
        runs.append(
            found.assign(
                signed_leverage=(draws["leverage"] * sign).sum("factor"),
                persistence=draws["factor_phi"].sum("factor"),
                shocks=draws["factor_volatility_sd"].sum("factor"),
                last=draws["factor_volatility"].isel(period=-1, drop=True).sum("factor"),
                middle=draws["volatility_state"].isel(period=125, drop=True),
            )
        )
    z = {}
    for quantity in runs[0].data_vars:
        a, b = (r[quantity].transpose("chain", "draw", ...).to_numpy() for r in runs)
        error = np.hypot(mcse_mean(a), mcse_mean(b))
        z[str(quantity)] = np.max(np.abs(a.mean((0, 1)) - b.mean((0, 1))) / error)
    print(z)
    assert len(z) > 18
    assert max(z.values()) < 4.5, z
