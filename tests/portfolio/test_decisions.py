"""Portfolios from weighted draws and their risk, against exact results and brute force."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import signal, stats

from bdfm import views
from bdfm.errors import DataError, MissingDependencyError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.sample import Sample
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.portfolio.choices import METHODS, USED_BY
from bdfm.portfolio.decisions import Decision, decide
from bdfm.portfolio.methods import DecisionSettings
from bdfm.portfolio.risk import Errors, portfolio_risk
from bdfm.posterior.fit import fit
from bdfm.report.run_file import RunFile

ASSETS = ("A", "B", "C", "D")
MEAN = np.array([0.02, 0.01, 0.005, 0.012])
LOADING = np.array([0.05, 0.03, -0.01, 0.02])
NOISE = np.array([0.04, 0.02, 0.01, 0.03])
COVARIANCE = np.outer(LOADING, LOADING) + np.diag(NOISE**2)


def make(n=40_000, *, seed=1, n_posterior=400, spread=0.0, weights=None):
    """Normal returns; each posterior draw has its own mean, ``spread`` its sd over the posterior."""
    rng = np.random.default_rng(seed)
    index = np.tile(np.arange(n_posterior), n // n_posterior)
    shift = rng.normal(0, spread, n_posterior)[index] if spread else 0.0
    z = rng.standard_normal((n, 1)) * LOADING + rng.standard_normal((n, 4)) * NOISE
    return Forecast.from_draws(
        MEAN + z + np.reshape(shift, (-1, 1)),
        assets=ASSETS,
        asset_class=["x"] * 4,
        origin="2022-02-04",
        end="2022-03-04",
        posterior_draw=index,
        weights=weights,
    )


@pytest.fixture(scope="module")
def forecast():
    return make()


# Risk


def test_risk_of_a_normal_portfolio(forecast):
    w = {"A": 0.4, "B": 0.3, "C": -0.2}
    row = np.array([0.4, 0.3, -0.2, 0.0])
    mean, sd = row @ MEAN, np.sqrt(row @ COVARIANCE @ row)
    risk = portfolio_risk(forecast, w, level=0.95)
    z = stats.norm.ppf(0.95)
    exact = {
        "mean": mean,
        "volatility": sd,
        "value_at_risk": z * sd - mean,
        "expected_shortfall": stats.norm.pdf(z) / 0.05 * sd - mean,
        "probability_of_loss": stats.norm.cdf(-mean / sd),
    }
    assert list(risk.table.index) == list(exact)
    for name, value in exact.items():
        found = risk.table.loc[name]
        assert abs(found["value"] - value) < 4.5 * found["mc_error"], name
        assert 0 < found["mc_error"] < 0.05 * abs(value), name
    parts = risk.contributions
    assert parts["volatility"].sum() == pytest.approx(risk.table.loc["volatility", "value"])
    assert parts["expected_shortfall"].sum() == pytest.approx(risk.table.loc["expected_shortfall", "value"])
    marginal = row * (COVARIANCE @ row) / sd
    np.testing.assert_allclose(parts["volatility"], marginal[:3], atol=5e-4)


@pytest.mark.parametrize("n", [20, 100, 1000, 2000])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.975, 0.99])
def test_value_at_risk_is_one_draw_by_all_doors(rng, n, level):
    """1 - 0.95 is a little more than a twentieth: the measure was a draw further in than the 5 % quantile."""
    f = make(n, n_posterior=10)
    weighted = f.with_weights(np.repeat([1.0, 3.0], n // 2), record=f.zero("D").records[0])
    for seen in (f, weighted):
        x, p = seen.draws.to_numpy()[:, 0].astype(float), seen.weights.to_numpy()
        order = np.argsort(x)
        at = x[order][np.cumsum(p[order]) >= (1 - level) - 1e-9][0]
        assert portfolio_risk(seen, {"A": 1.0}, level=level).table.loc["value_at_risk", "value"] == -at
        view = views.parse(f"VaR(A, {level}) = 5%", semantics="constraint")
        assert view.implied(Sample(seen.draws.to_numpy(), ASSETS), p)["loss"] == -at
        if level == 0.95:
            assert seen.summary().loc["A", "5%"] == at


def test_one_draw_has_no_error():
    """Of a single draw, or one that has all the weight, how far another would lie is not known."""
    one = make(400)
    alone = one.with_weights(np.eye(400)[3], record=one.zero("D").records[0])
    single = Forecast.from_draws(
        one.draws[:1].to_numpy(), assets=ASSETS, asset_class=["x"] * 4, origin="2022-02-04", end="2022-03-04"
    )
    for seen in (alone, single):
        risk = portfolio_risk(seen, {"A": 1.0})
        assert risk.table["mc_error"].isna().all()
        assert "±" not in repr(risk)


@pytest.mark.parametrize(("n", "level"), [(15, 0.95), (100, 0.99), (1000, 0.9995)])
def test_a_tail_of_one_draw_has_no_error(n, level):
    """It was told as sure to the last digit; draws without weight are none."""
    one = make(n, n_posterior=5)
    assert np.isnan(portfolio_risk(one, {"A": 1.0}, level=level).table.loc["expected_shortfall", "mc_error"])
    two = portfolio_risk(one, {"A": 1.0}, level=1 - 2 / n).table
    assert two.loc["expected_shortfall", "mc_error"] > 0
    assert two["mc_error"].notna().all()
    lowest = np.argsort(one.draws.to_numpy()[:, 0])
    weights = np.ones(n)
    weights[lowest[0]] = 0
    alone = one.with_weights(weights, record=one.zero("D").records[0])
    found = portfolio_risk(alone, {"A": 1.0}, level=1 - 1 / (n - 1)).table
    assert np.isnan(found.loc["expected_shortfall", "mc_error"])


def test_monte_carlo_errors_are_those_of_repetition():
    """Spread of the measures over 60 forecasts against the mean error that each states."""
    w = {a: 0.25 for a in ASSETS}
    tables = [portfolio_risk(make(4000, seed=s), w).table for s in range(60)]
    values = np.array([t["value"] for t in tables])
    stated = np.array([t["mc_error"] for t in tables])
    # The sd of 60 values has a relative error of 9 %; density and batches add some.
    np.testing.assert_allclose(np.sqrt((stated**2).mean(axis=0)), values.std(axis=0, ddof=1), rtol=0.35)


def test_monte_carlo_error_counts_the_autocorrelation_of_the_sampler(rng):
    """An AR(1) of 0.8 triples the error of its mean."""
    x = 0.02 * signal.lfilter([1], [1, -0.8], rng.standard_normal(8000))
    f = Forecast.from_draws(
        np.column_stack([x, x]),
        assets=("A", "B"),
        asset_class=["x"] * 2,
        origin="2022-02-04",
        end="2022-03-04",
        posterior_draw=np.arange(8000),
    )
    found = portfolio_risk(f, {"A": 1.0}).table.loc["mean", "mc_error"]
    assert found == pytest.approx(3 * x.std() / np.sqrt(8000), rel=0.4)


def test_posterior_error_is_the_spread_of_the_parameters():
    """Means that differ over the posterior with sd 1 %: a portfolio of weights w gets 1 % times Σw."""
    f = make(200_000, n_posterior=2000, spread=0.01)
    risk = portfolio_risk(f, {"A": 0.5, "B": 0.5}).table
    assert risk.loc["mean", "posterior_error"] == pytest.approx(0.01, rel=0.1)
    assert risk.loc["value_at_risk", "posterior_error"] == pytest.approx(0.01, rel=0.35)
    sure = portfolio_risk(make(200_000, n_posterior=2000), {"A": 0.5, "B": 0.5}).table
    assert not sure.loc["mean", "posterior_error"] > 0.002
    # Without knowledge of the posterior draw there is no such error.
    plain = Forecast.from_draws(
        f.draws.to_numpy(), assets=ASSETS, asset_class=["x"] * 4, origin="2022-02-04", end="2022-03-04"
    )
    assert portfolio_risk(plain, {"A": 1}).table["posterior_error"].isna().all()


def test_a_posterior_error_that_is_lost_in_the_noise_is_blank_and_not_zero():
    clusters = np.repeat(np.arange(50), 8)
    errors = Errors(np.full(400, 1 / 400), clusters)
    halves = np.tile([1.0, 1, -1, -1], 100)  # means of a draw's halves that go apart: noise alone
    assert np.isnan(errors.posterior(halves * np.linspace(1, 2, 400)))
    spread = np.repeat(np.linspace(-1, 1, 50), 8)
    assert errors.posterior(spread) == pytest.approx(spread.std())


def test_posterior_error_of_a_fit_is_that_of_a_nested_simulation(tiny_model, tiny_panel):
    """Brute force: 4,000 paths of each of 200 posterior draws give the measure given the parameters."""
    sampler = SamplerSettings(draws=100, tune=100, chains=2, engine="gibbs")
    plain = fit(tiny_model, tiny_panel, seed=2, settings=sampler)
    weights = {a: 1 / len(tiny_panel.assets) for a in tiny_panel.assets}
    nested = plain.forecast(seed=9, n_draws=800_000)
    own = nested.draws.to_numpy() @ np.full(len(tiny_panel.assets), 1 / len(tiny_panel.assets))
    by_draw = pd.Series(own).groupby(nested.draws.coords["posterior_draw"].to_numpy())
    exact = {
        "mean": by_draw.mean().std(),
        "probability_of_loss": by_draw.apply(lambda x: (x < 0).mean()).std(),
    }
    found = portfolio_risk(plain.forecast(seed=3, n_draws=100_000), weights).table["posterior_error"]
    for name, value in exact.items():
        assert found[name] == pytest.approx(value, rel=0.15), name


@pytest.mark.long
def test_posterior_error_with_evidence_is_that_of_a_nested_simulation(tiny_model, tiny_panel):
    """Brute force: 5,000 prior draws of the period of each posterior draw, weighted by the evidence."""
    sampler = SamplerSettings(draws=150, tune=100, chains=2, engine="gibbs")
    evidence = [Evidence(tiny_panel.assets[0], 0.02, 0.02), Evidence(tiny_panel.assets[5], -0.01, 0.03)]
    told = fit(tiny_model, tiny_panel, seed=2, settings=sampler, evidence=evidence)
    p, rng = told.parameters(), np.random.default_rng(8)
    future = at_periods(model_data(tiny_model, tiny_panel, future=True), slice(1))
    at = [tiny_panel.assets.index(e.asset) for e in evidence]
    means, losses = [], []
    for s in range(told.n_draws):
        q = {k: np.broadcast_to(v[s], (5000, *v[s].shape)) for k, v in p.items()}
        eta = q["factor_scale"] * rng.standard_normal(q["factor_scale"].shape)
        factors = tiny_model.expected_factors(q) + eta
        r = tiny_model.draw_returns(q, factors[:, None], future, rng=rng)[:, 0]
        stated, error = (np.array([getattr(e, n) for e in evidence]) for n in ("mean", "sd"))
        weight = np.exp(-0.5 * np.square((np.expm1(r[:, at].clip(-9, 9)) - stated) / error).sum(axis=1))
        held = np.expm1(r.clip(-1, 1)).mean(axis=1)  # forecasts cut the worst of heavy tails too
        means.append(np.average(held, weights=weight))
        losses.append(np.average(held < 0, weights=weight))
    forecast = told.forecast(seed=3, n_draws=100_000)
    risk = portfolio_risk(forecast, {a: 1 / len(tiny_panel.assets) for a in tiny_panel.assets}).table
    assert risk.loc["mean", "posterior_error"] == pytest.approx(np.std(means), rel=0.12)
    assert risk.loc["probability_of_loss", "posterior_error"] == pytest.approx(np.std(losses), rel=0.15)
    assert risk.loc["mean", "value"] == pytest.approx(np.mean(means), abs=0.0006)
    # One pair of paths from each posterior draw cannot tell its luck from its parameters.
    single = told.forecast(seed=3, n_draws=300)
    assert portfolio_risk(single, {tiny_panel.assets[0]: 1.0}).table["posterior_error"].isna().all()


def test_antithetic_pairs_stay_in_one_half():
    """Two pairs of paths of each posterior draw: noise cancels in each half, and the parameters are left."""
    n = 300
    rng = np.random.default_rng(4)
    expected, noise = rng.normal(0, 0.01, n), rng.normal(0, 0.05, (2, n))
    paths = [expected + sign * z for z in noise for sign in (1, -1)]
    f = Forecast.from_draws(
        np.column_stack([np.concatenate(paths), np.zeros(4 * n)]),
        assets=("A", "B"),
        asset_class=["x"] * 2,
        origin="2022-02-04",
        end="2022-03-04",
        posterior_draw=np.tile(np.arange(n), 4),
    )
    found = portfolio_risk(f, {"A": 1.0}).table.loc["mean", "posterior_error"]
    assert found == pytest.approx(expected.std(), rel=1e-5)


def test_risk_uses_the_weights(forecast):
    seen = forecast.with_views(views.Absolute(asset="A", mean=-0.05, semantics="constraint"))
    before, after = (portfolio_risk(f, {"A": 1.0}).table["value"] for f in (forecast, seen))
    assert after["mean"] == pytest.approx(-0.05, abs=1e-9)
    assert after["probability_of_loss"] > before["probability_of_loss"] + 0.2
    repeated = Forecast.from_draws(
        np.repeat(forecast.draws.to_numpy()[:500], np.arange(500) % 3, axis=0),
        assets=ASSETS,
        asset_class=["x"] * 4,
        origin="2022-02-04",
        end="2022-03-04",
    )
    weighted = make(n=40_000, weights=np.r_[np.arange(500) % 3, np.zeros(39_500)])
    a, b = (portfolio_risk(f, {"A": 0.7, "D": 0.3}).table["value"] for f in (repeated, weighted))
    for name in ("value_at_risk", "expected_shortfall", "probability_of_loss"):
        assert a[name] == pytest.approx(b[name], abs=1e-9), name


def test_contributions_to_the_shortfall_are_means_of_the_worst_draws(rng):
    draws, row = rng.gamma(1, 0.05, (20, 2)), np.array([0.6, -0.4])
    f = Forecast.from_draws(
        draws, assets=("A", "B"), asset_class=["x"] * 2, origin="2022-02-04", end="2022-03-04"
    )
    worst = np.argsort(draws @ row)[:2]
    found = portfolio_risk(f, {"A": 0.6, "B": -0.4}, level=0.9)
    expected = -row * draws[worst].mean(axis=0)
    np.testing.assert_allclose(found.contributions["expected_shortfall"], expected, rtol=1e-5)


# Portfolios


def test_minimum_variance_is_the_closed_form(forecast):
    inverse = np.linalg.solve(COVARIANCE, np.ones(4))
    exact = inverse / inverse.sum()
    assert (exact > 0).all()
    found = decide(forecast, method="minimum_variance", exposure=1.0)
    np.testing.assert_allclose(found.weights, exact, atol=0.02)


def test_information_ratio_is_the_closed_form(forecast):
    direction = np.linalg.solve(COVARIANCE, MEAN)
    exact = direction / direction.sum()
    assert (exact > 0).all()
    found = decide(forecast, method="information_ratio", exposure=1.0)
    np.testing.assert_allclose(found.weights, exact, atol=0.03)


def test_risk_parity_shares_the_variance(forecast):
    risk = decide(forecast, method="risk_parity", exposure=1.0).risk
    np.testing.assert_allclose(
        risk.contributions["volatility"], risk.table.loc["volatility", "value"] / 4, rtol=0.03
    )


def test_scenarios_are_those_of_the_seed(forecast):
    one, again, other = (
        decide(forecast, method="mean_cvar", exposure=1.0, n_scenarios=150, seed=k).weights for k in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-3


def test_mean_cvar_beats_the_others_in_its_own_objective(forecast):
    def objective(decision):
        value = decision.risk.table["value"]
        return value["mean"] - 1.0 * value["expected_shortfall"]

    best = decide(forecast, method="mean_cvar", exposure=1.0, n_scenarios=4000)
    others = [decide(forecast, method=m, exposure=1.0) for m in METHODS if m != "mean_cvar"]
    assert all(objective(best) > objective(d) - 2e-4 for d in others)


@pytest.mark.parametrize("method", METHODS)
def test_limits_of_m6_are_kept(method, forecast):
    for exposure, cap in ((0.25, 0.3), (1.0, 1.0)):
        own = {} if method == "equal" else {"max_weight": cap}
        found = decide(forecast, method=method, exposure=exposure, **own)
        assert found.weights.abs().sum() == pytest.approx(exposure)
        assert found.weights.max() <= cap * exposure + 1e-6
        assert found.weights.min() >= 0
        table = forecast.to_submission(found.weights)
        assert table["Decision"].abs().sum() == pytest.approx(exposure)


def test_views_move_the_decision(forecast):
    seen = forecast.with_views(views.Absolute(asset="C", mean=0.02, semantics="constraint"))
    before, after = (decide(f, method="information_ratio").weights["C"] for f in (forecast, seen))
    assert after > before + 0.02


def test_scenarios_are_draws_that_count(rng):
    """Draws without weight, in which A loses half, are no risk."""
    gone = np.arange(400) % 4 == 0
    a = np.where(gone, -0.5, 0.05 + 0.001 * rng.standard_normal(400))
    f = Forecast.from_draws(
        np.column_stack([a, 0.02 * rng.standard_normal((400, 3))]),
        assets=ASSETS,
        asset_class=["x"] * 4,
        origin="2022-02-04",
        end="2022-03-04",
        weights=~gone,
    )
    assert decide(f, method="mean_cvar", exposure=1.0, n_scenarios=200).weights["A"] > 0.9


def test_short_positions(forecast):
    bad = forecast.with_views(views.Absolute(asset="A", mean=-0.03, semantics="constraint"))
    found = decide(bad, method="information_ratio", short=True, exposure=1.0)
    assert found.weights["A"] < -0.05
    assert found.weights.abs().sum() == pytest.approx(1)


def test_short_positions_keep_the_limit_too(rng):
    mean = np.r_[-0.05, np.full(8, 0.01)]
    f = Forecast.from_draws(
        mean + 0.03 * rng.standard_normal((4000, 9)),
        assets=list("ABCDEFGHI"),
        asset_class=["x"] * 9,
        origin="2022-02-04",
        end="2022-03-04",
    )
    found = decide(f, method="information_ratio", short=True, exposure=1.0, max_weight=0.3).weights
    assert -0.3 <= found["A"] < -0.1


def test_delisted_assets_are_left_out(forecast):
    found = decide(forecast.zero("C"), method="minimum_variance")
    assert found.left_out == ("C",)
    assert found.weights["C"] == 0


def test_a_forecast_carries_its_decision(forecast, tmp_path):
    found = decide(forecast, method="risk_parity", exposure=0.5)
    loaded = Forecast.load(found.save_in(forecast).save(tmp_path / "f.nc"))
    again = Decision.of(loaded)
    np.testing.assert_allclose(again.weights, found.weights)
    assert again.settings == found.settings
    np.testing.assert_allclose(again.risk.table["value"], found.risk.table["value"])
    assert Decision.of(forecast) is None


def test_looks(forecast):
    found = decide(forecast)
    assert repr(found) == "<Decision by equal: 4 assets, exposure 0.25>"
    assert "volatility" in found._repr_html_()
    assert repr(found.risk).startswith("<PortfolioRisk of 4 assets: mean ")
    assert found.risk.plot().axes[0].get_xlabel() == "contribution, %"


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda f: portfolio_risk(f, {"E": 1}), UnknownLabelError, "risk: unknown asset E"),
        (lambda f: portfolio_risk(f, {"A": 0}), DataError, "risk: no asset is held"),
        (lambda f: portfolio_risk(f, {"A": np.nan}), DataError, "the weight of A must be a finite number"),
        (lambda f: portfolio_risk(f, {"A": 1}, level=95), DataError, "level must be between 0 and 1, got 95"),
        (lambda f: decide(f, method="best"), DataError, "decision: method should be 'equal'"),
        (lambda f: decide(f, exposure=2), DataError, "decision: exposure should be less than or equal to 1"),
        (
            lambda f: decide(f, method="risk_parity", max_weight=0.1),
            DataError,
            r"max_weight 0\.1 times 4 assets is below 1",
        ),
        (lambda f: decide(f.zero("A", "B", "C")), DataError, "1 asset has returns that vary"),
        (
            lambda f: decide(
                f.shift("A", -0.2).shift("B", -0.2).shift("C", -0.2).shift("D", -0.2),
                method="information_ratio",
            ),
            DataError,
            "information_ratio has no solution",
        ),
    ],
)
def test_what_cannot_be_decided_is_refused(call, kind, message, forecast):
    with pytest.raises(kind, match=message):
        call(forecast)


def test_without_skfolio_equal_weights_work(forecast, monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio", None)
    monkeypatch.setitem(sys.modules, "skfolio.optimization", None)
    assert decide(forecast).weights.sum() == pytest.approx(0.25)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bdfm\[decisions\]'"):
        decide(forecast, method="risk_parity")


def test_settings_are_checked():
    with pytest.raises(UnknownLabelError, match="unknown key exposures"):
        DecisionSettings(exposures=1)


OTHER_VALUES = {"max_weight": 0.35, "short": True, "risk_aversion": 4.0, "n_scenarios": 500, "seed": 7}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", OTHER_VALUES)
def test_a_setting_has_an_effect_or_is_refused(name, method, forecast):
    """Every method, by its weights; a file of a release that took it idly is read."""
    assert set(OTHER_VALUES) == set(USED_BY)
    given = {"method": method, name: OTHER_VALUES[name]}
    if method in USED_BY[name]:
        shifted = forecast.shift("A", -0.3)
        found = [decide(shifted, exposure=1.0, **x).weights for x in ({"method": method}, given)]
        assert np.abs(found[0] - found[1]).max() > 1e-6
        return
    why = f"decision: {name} = {str(OTHER_VALUES[name]).lower()} has no effect on {method}, only on"
    with pytest.raises(DataError, match=why):
        decide(forecast, **given)
    with pytest.raises(DataError, match=why):
        RunFile(data={"origin": "2020-12-18", "demo": True}, decision=given)
    old = decide(forecast).save_in(forecast)
    facts = json.loads(old.attrs["decision"])
    facts["settings"] |= given
    assert Decision.of(old.with_attrs(decision=json.dumps(facts))).settings.method == method
