"""Priors for skfolio: the forecast's draws, by name and weight; conventions; walk-forward."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils import estimator_checks

import bdfm
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.skfolio import ForecastPrior, ModelPrior
from bdfm.skfolio.prior import prices_of

skfolio = pytest.importorskip("skfolio")
from skfolio.model_selection import WalkForward, cross_val_predict  # noqa: E402
from skfolio.optimization import (  # noqa: E402
    HierarchicalRiskParity,
    MaximumDiversification,
    MeanRisk,
    NestedClustersOptimization,
    RiskBudgeting,
)
from skfolio.prior import EmpiricalPrior  # noqa: E402

ASSETS = ["A", "B", "C", "D"]
OPTIMISERS = {
    "minimum_cvar": MeanRisk(risk_measure=skfolio.RiskMeasure.CVAR),
    "minimum_variance": MeanRisk(),
    "risk_parity": RiskBudgeting(),
    "diversification": MaximumDiversification(),
    "hierarchical": HierarchicalRiskParity(),
    "nested": NestedClustersOptimization(),
}
NEEDS_NAMES = "it fits an array without names of columns, and assets meet a forecast by name"
# Checks that fit plain arrays of numbers; what they ask for is tested below on tables with names and days.
CANNOT = {
    "check_fit_score_takes_y": NEEDS_NAMES,
    "check_estimators_overwrite_params": NEEDS_NAMES,
    "check_dont_overwrite_parameters": NEEDS_NAMES,
    "check_estimators_fit_returns_self": NEEDS_NAMES,
    "check_readonly_memmap_input": NEEDS_NAMES,
    "check_n_features_in_after_fitting": NEEDS_NAMES,
    "check_positive_only_tag_during_fit": NEEDS_NAMES,
    "check_estimators_dtypes": NEEDS_NAMES,
    "check_dtype_object": NEEDS_NAMES,
    "check_pipeline_consistency": NEEDS_NAMES,
    "check_estimators_nan_inf": NEEDS_NAMES,
    "check_estimators_pickle": NEEDS_NAMES,
    "check_array_api_input": NEEDS_NAMES,
    "check_f_contiguous_array_estimator": NEEDS_NAMES,
    "check_methods_sample_order_invariance": NEEDS_NAMES,
    "check_methods_subset_invariance": NEEDS_NAMES,
    "check_dict_unchanged": NEEDS_NAMES,
    "check_fit_idempotent": NEEDS_NAMES,
    "check_fit_check_is_fitted": NEEDS_NAMES,
    "check_n_features_in": NEEDS_NAMES,
    "check_fit2d_predict1d": NEEDS_NAMES,
    "check_fit2d_1sample": NEEDS_NAMES,
    "check_fit2d_1feature": NEEDS_NAMES,
}
SHORT = bdfm.SamplerSettings(engine="gibbs", draws=30, tune=60, chains=2, thin=1)


def made(weights=None, still=()):
    rng = np.random.default_rng(3)
    draws = rng.standard_normal((900, 4)) * [0.02, 0.04, 0.06, 0.08] + 0.02 * rng.standard_normal((900, 1))
    draws += [0.001, 0.002, 0.003, 0.004]
    draws[:, list(still)] = 0.0
    return Forecast.from_draws(
        draws,
        assets=ASSETS,
        asset_class=["stock"] * 4,
        origin="2021-02-05",
        end="2021-03-05",
        weights=weights,
    )


@pytest.fixture(scope="module")
def forecast():
    return made()


@pytest.fixture(scope="module")
def weighted():
    """Forecast in whose draws the fall of D counts five times."""
    return made(weights=np.where(made().draws.to_numpy()[:, 3] < -0.05, 5.0, 1.0))


@pytest.fixture(scope="module")
def returns():
    days = pd.bdate_range("2017-01-02", "2020-12-31")
    rng = np.random.default_rng(5)
    values = rng.standard_t(6, (len(days), 4)) * [0.004, 0.006, 0.009, 0.012] + 0.006 * rng.standard_normal(
        (len(days), 1)
    )
    return pd.DataFrame(values, index=days, columns=ASSETS)


# -- the draws ---------------------------------------------------------------------------------------------


def test_scenarios_are_the_draws_by_name(forecast, weighted, returns):
    X = returns[["D", "B"]]
    prior = ForecastPrior(forecast).fit(X).return_distribution_
    draws = forecast.draws.to_numpy()[:, [3, 1]].astype(float)
    np.testing.assert_array_equal(prior.returns, draws)
    assert prior.sample_weight is None
    np.testing.assert_allclose(prior.mu, draws.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(prior.covariance, np.cov(draws.T, ddof=0), rtol=1e-5)
    of_weighted = ForecastPrior(weighted).fit(X).return_distribution_
    w = weighted.weights.to_numpy()
    np.testing.assert_allclose(of_weighted.sample_weight, w)
    np.testing.assert_allclose(of_weighted.mu, w @ draws, rtol=1e-5)
    np.testing.assert_allclose(of_weighted.covariance, np.cov(draws.T, aweights=w, ddof=0), rtol=1e-5)
    assert of_weighted.mu[0] < prior.mu[0] - 0.01


def test_fewer_scenarios_keep_the_weights(weighted, returns):
    prior = ForecastPrior(weighted, n_scenarios=800, seed=2).fit(returns).return_distribution_
    assert len(prior.returns) < 800
    assert prior.sample_weight.sum() == pytest.approx(1)
    # At even distances: of the draws that count five times, their share of the weight.
    fallen = weighted.draws.to_numpy()[:, 3] < -0.05
    share = weighted.weights.to_numpy()[fallen].sum()
    assert prior.sample_weight[prior.returns[:, 3] < -0.05].sum() == pytest.approx(share, abs=0.06)
    whole = ForecastPrior(weighted).fit(returns).return_distribution_
    np.testing.assert_array_equal(prior.mu, whole.mu)
    again = ForecastPrior(weighted, n_scenarios=800, seed=2).fit(returns).return_distribution_
    np.testing.assert_array_equal(again.returns, prior.returns)


def test_moments_are_of_returns_without_their_wildest_draws(returns):
    """Means and covariances are those of decisions: a single draw of a heavy tail makes neither."""
    rng = np.random.default_rng(8)
    draws = 0.05 * rng.standard_normal((20_000, 2)).astype(np.float32)
    draws[7, 0] = 900.0
    wild = Forecast.from_draws(
        draws, assets=["A", "B"], asset_class=["x"] * 2, origin="2021-02-05", end="2021-03-05"
    )
    prior = ForecastPrior(wild).fit(returns[["A", "B"]]).return_distribution_
    np.testing.assert_allclose(prior.mu, 0, atol=0.002)
    np.testing.assert_allclose(np.sqrt(np.diag(prior.covariance)), 0.05, rtol=0.03)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_take_the_prior_and_its_weights(name, forecast, weighted, returns):
    def chosen(of):
        model = clone(OPTIMISERS[name]).set_params(**inner(name, ForecastPrior(of)))
        return model.fit(returns).weights_

    plain, other = chosen(forecast), chosen(weighted)
    assert plain.sum() == pytest.approx(1)
    assert np.abs(plain - other).max() > 1e-4
    if name in ("minimum_variance", "risk_parity", "minimum_cvar"):
        assert other[3] <= plain[3] + 1e-3  # D falls more often
        assert plain[0] > plain[3]


def inner(name, prior):
    """Where an optimiser keeps its prior."""
    if name != "nested":
        return {"prior_estimator": prior}
    return {"inner_estimator": MeanRisk(prior_estimator=prior), "outer_estimator": RiskBudgeting()}


def test_an_asset_that_does_not_move_is_not_investable(returns):
    model = MeanRisk(prior_estimator=ForecastPrior(made(still=[1]))).fit(returns)
    prior = model.prior_estimator_.return_distribution_
    assert prior.investable_mask.tolist() == [True, False, True, True]
    assert model.weights_[1] == 0
    turned = ForecastPrior(made(still=[1])).fit(returns[["B", "A"]]).return_distribution_
    assert turned.investable_mask.tolist() == [False, True]


# -- conventions -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prior", [ForecastPrior(), ModelPrior()], ids=lambda p: type(p).__name__)
def test_checks_of_scikit_learn(prior):
    results = estimator_checks.check_estimator(
        prior, expected_failed_checks=CANNOT, on_fail=None, on_skip=None
    )
    failed = [(r["check_name"], r["exception"]) for r in results if r["status"] == "failed"]
    assert not failed, failed
    passed = {r["check_name"] for r in results if r["status"] == "passed"}
    assert len(passed) >= 16  # 17 from scikit-learn 1.7 on
    assert {"check_estimator_cloneable", "check_get_params_invariance", "check_set_params"} <= passed
    assert {"check_no_attributes_set_in_init", "check_parameters_default_constructible"} <= passed


def test_a_clone_shares_the_forecast_and_nothing_else(forecast, returns):
    prior = ForecastPrior(forecast, n_scenarios=50, seed=7).fit(returns)
    other = clone(prior)
    assert other.forecast is forecast
    assert (other.n_scenarios, other.seed) == (50, 7)
    assert not hasattr(other, "return_distribution_")
    assert prior.n_features_in_ == 4
    assert list(prior.feature_names_in_) == ASSETS
    before = returns.copy()
    assert prior.fit(returns) is prior
    pd.testing.assert_frame_equal(returns, before)
    nested = clone(MeanRisk(prior_estimator=prior))
    assert nested.get_params()["prior_estimator__seed"] == 7
    assert nested.set_params(prior_estimator__seed=8).prior_estimator.seed == 8


def test_model_prior_is_pickled_with_its_distribution(fitted_model_prior):
    again = pickle.loads(pickle.dumps(ForecastPrior(n_scenarios=9)))
    assert again.n_scenarios == 9
    assert fitted_model_prior.posterior_.panel.origin == pd.Timestamp("2020-12-31")


def test_what_cannot_be_a_prior(forecast, returns):
    with pytest.raises(DataError, match="forecast is NoneType"):
        ForecastPrior().fit(returns)
    with pytest.raises(DataError, match="columns of X have no names"):
        ForecastPrior(forecast).fit(returns.to_numpy())
    with pytest.raises(UnknownLabelError, match="Z"):
        ForecastPrior(forecast).fit(returns.rename(columns={"A": "Z"}))
    with pytest.raises(DataError, match="n_scenarios"):
        ForecastPrior(forecast, n_scenarios=1).fit(returns)
    with pytest.raises(DataError, match="days as index"):
        ModelPrior().fit(returns.reset_index(drop=True))
    with pytest.raises(DataError, match="at or below -1"):
        ModelPrior().fit(returns - 1.1)
    lost = returns.copy()
    lost.iloc[5, 1] = -1.0  # no price comes after it
    with pytest.raises(DataError, match="at or below -1"):
        ModelPrior().fit(lost)


def test_prices_have_the_returns_that_they_are_made_of():
    days = pd.bdate_range("2021-01-04", periods=6)
    given = pd.DataFrame(
        {"A": [0.1, -0.2, 0.3, 0.0, 0.1, -0.1], "B": [np.nan, np.nan, 0.5, -0.5, np.nan, 0.2]}, days
    )
    prices = prices_of(given, where="test")
    assert prices.index[0] == pd.Timestamp("2021-01-01")
    assert prices["A"].iloc[0] == 1.0
    np.testing.assert_allclose(prices["A"].pct_change(fill_method=None).iloc[1:], given["A"])
    assert prices["B"].isna().tolist() == [True, True, False, False, False, False, False]
    np.testing.assert_allclose(prices["B"].pct_change(fill_method=None).dropna(), [0.5, -0.5, 0.0, 0.2])


# -- fitted inside -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted_model_prior(returns):
    X = returns.copy()
    X.iloc[:200, 2] = np.nan
    model = bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 1})
    return ModelPrior(model, settings=SHORT, asset_class={"A": "bond"}, n_scenarios=700, seed=6).fit(X)


@pytest.mark.filterwarnings("ignore")
def test_model_prior_forecasts_the_returns_it_is_given(fitted_model_prior, returns):
    prior = fitted_model_prior
    assert prior.forecast_.origin == returns.index[-1]
    assert prior.posterior_.panel.asset_classes == ("bond", "asset")
    history = prior.posterior_.panel.history["log_returns"]
    end = pd.Timestamp(history.period.values[-2])
    first = pd.Timestamp(history.period.values[-3])
    came = np.log1p(returns["B"][(returns.index > first) & (returns.index <= end)]).sum()
    assert float(history.sel(asset="B")[-2]) == pytest.approx(came)
    assert history.sel(asset="C").isnull().sum() >= 7
    monthly = np.sqrt(20) * returns.std().to_numpy()
    sd = np.sqrt(np.diag(prior.return_distribution_.covariance))
    assert (np.abs(np.log(sd / monthly)) < 0.6).all()
    assert len(prior.return_distribution_.returns) == 700
    assert prior.posterior_.attrs["seed"] == 6


@pytest.mark.filterwarnings("ignore")
def test_walk_forward(returns):
    """Each fit knows the training days alone: noise in the days after changes no weight."""
    model = bdfm.FactorModel.from_preset("m6").model_copy(update={"n_factors": 1})
    optimiser = MeanRisk(prior_estimator=ModelPrior(model, settings=SHORT, seed=4))
    folds = WalkForward(train_size=760, test_size=140)
    done = cross_val_predict(optimiser, returns, cv=folds)
    assert len(done) == folds.get_n_splits(returns) == 2
    later = returns.copy()
    later.iloc[760:] = 0.3 * np.random.default_rng(1).standard_normal(later.iloc[760:].shape) ** 2
    other = cross_val_predict(optimiser, later, cv=folds)
    np.testing.assert_array_equal(done[0].weights, other[0].weights)
    assert np.abs(done[1].weights - other[1].weights).max() > 1e-3
    against = cross_val_predict(MeanRisk(prior_estimator=EmpiricalPrior()), returns, cv=folds)
    assert done[0].weights[0] > done[0].weights[3]
    assert against[0].weights[0] > against[0].weights[3]


def test_the_table_of_the_page_is_that_of_the_script():
    """Each row of docs/howto/skfolio.md is made of docs/optimisers.csv, which the script wrote."""
    docs = Path(__file__).parents[2] / "docs"
    kept = pd.read_csv(docs / "optimisers.csv", index_col=["optimiser", "prior"])
    page = (docs / "howto" / "skfolio.md").read_text(encoding="utf-8")
    gain = kept["log volatility against empirical, %"]
    for name in kept.index.unique("optimiser"):
        cells = [f"{kept.loc[(name, 'empirical'), 'volatility a year, %']:.1f} %"]
        cells += [
            f"{gain[name, p]:+.1f} ± {kept['se'][name, p]:.1f}"
            for p in ("Ledoit-Wolf", "factor model", "bdfm")
        ]
        assert f"| {name} | {' | '.join(cells)} |\n" in page
    for prior in ("bdfm", "empirical"):
        turnover = [f"{x:.0f}" for x in kept["turnover a month, %"].xs(prior, level="prior")]
        assert f"{', '.join(turnover[:-1])} and {turnover[-1]} %" in page
