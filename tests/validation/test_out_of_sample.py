"""Walk-forward and cross-validation: no look-ahead, figures by hand, right forecasts judged right."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bdfm import risk, validation
from bdfm.errors import DataError
from bdfm.risk import CrossSectionalEstimator, RiskModel, StatisticalEstimator, TimeSeriesEstimator
from bdfm.validation import compare_forecasts, cross_validate, trial_portfolios, walk_forward
from bdfm.validation.refits import _explain

T, N = 300, 12


@pytest.fixture
def data(rng):
    days = pd.bdate_range("2018-01-01", periods=T)
    f = pd.DataFrame(rng.normal(0, 0.01, (T, 2)), days, ["market", "size"])
    b = np.column_stack([rng.uniform(0.6, 1.4, N), rng.normal(0, 0.6, N)])
    values = f.to_numpy() @ b.T + rng.normal(0, 0.012, (T, N))
    return f, pd.DataFrame(values, days, [f"A{i}" for i in range(N)])


def test_forecasts_know_the_past_alone(data):
    factors, returns = data
    base = walk_forward(TimeSeriesEstimator(factors), returns, window=100, step=25)
    changed, wild = returns.copy(), factors.copy()
    changed.iloc[225:] = np.random.default_rng(0).normal(0, 0.1, (75, N))
    wild.iloc[225:] *= 7
    other = walk_forward(TimeSeriesEstimator(wild), changed, window=100, step=25)
    known = base.origins.to_numpy() <= returns.index[224].to_numpy()
    assert known.sum() == 150
    assert base.origins.iloc[0] == returns.index[99]
    pd.testing.assert_frame_equal(base.variance[known], other.variance[known])
    assert not np.allclose(base.variance[~known], other.variance[~known])


def test_figures_by_hand(data):
    factors, returns = data
    estimator = TimeSeriesEstimator(factors)
    result = walk_forward(estimator, returns, window=200, step=50, seed=4)
    portfolios = trial_portfolios(list(returns.columns), seed=4)
    model = estimator.fit(returns.iloc[50:250])
    w = portfolios.loc[("long-short", "long-short 3")]
    assert w.sum() == pytest.approx(0, abs=1e-12)
    assert w.abs().sum() == pytest.approx(2)
    key = ("long-short", "long-short 3")
    last = result.realised.index[-50:]
    np.testing.assert_allclose(result.variance.loc[last, key], float(model.variance(w)))
    np.testing.assert_allclose(result.realised.loc[last, key], returns.loc[last] @ w)
    np.testing.assert_allclose(result.baseline.loc[last, key], (returns.iloc[50:250] @ w).var(), rtol=1e-10)
    sigma = model.covariance().values
    r = returns.iloc[260].to_numpy()
    assert result.distance.iloc[60] == pytest.approx(r @ np.linalg.solve(sigma, r) / N)
    safest = np.linalg.solve(sigma, np.ones(N))
    safest /= safest.sum()
    assert result.minimum_variance["realised"].iloc[60] == pytest.approx(r @ safest)
    assert result.minimum_variance["variance"].iloc[60] == pytest.approx(safest @ sigma @ safest)
    left = r - model.exposures.values @ factors.iloc[260].to_numpy()
    np.testing.assert_allclose(result.unexplained.iloc[60], left)
    z2 = result.realised[key] ** 2 / result.variance[key]
    assert result.bias().loc[key, "bias"] == pytest.approx(np.sqrt(z2.mean()))
    qlike = (np.log(result.variance[key]) + z2).mean()
    assert result.qlike().loc[key, "qlike"] == pytest.approx(qlike)
    total = 1 - (result.unexplained**2).sum().sum() / (result.actual**2).sum().sum()
    assert result.total_r_squared() == pytest.approx(total)


def test_each_asset_is_left_out_of_what_explains_it(data):
    """The shortcut e / (1 - h) equals a regression on the other assets."""
    _, returns = data
    model = StatisticalEstimator(2).fit(returns.iloc[:200])
    unseen = returns.iloc[200:203].copy()
    unseen.iloc[1, 4] = np.nan
    _, left = _explain(model, StatisticalEstimator(2), unseen)
    b, d = model.exposures.values, model.specific_variance.values
    for t, i in ((0, 3), (1, 5), (2, 0)):
        r = unseen.to_numpy()[t]
        others = np.isfinite(r) & (np.arange(N) != i)
        root = 1 / np.sqrt(d[others])
        f = np.linalg.lstsq(b[others] * root[:, None], r[others] * root, rcond=None)[0]
        assert left[t, i] == pytest.approx(r[i] - b[i] @ f)
    assert np.isnan(left[1, 4])


def test_comparison_knows_better_from_worse(data):
    factors, returns = data

    class Double:
        def fit(self, seen):
            model = TimeSeriesEstimator(factors).fit(seen)
            return RiskModel.from_arrays(
                2 * model.exposures, model.factor_covariance, 4 * model.specific_variance,
                assets=model.assets, factors=model.factors, kind="double",
            )  # fmt: skip

    right = walk_forward(TimeSeriesEstimator(factors), returns, window=150, step=30)
    wrong = walk_forward(Double(), returns, window=150, step=30)
    table = compare_forecasts({"right": right, "wrong": wrong})
    assert table.loc["bias, long only", "right"] == pytest.approx(1, abs=0.15)
    assert table.loc["bias, long only", "wrong"] == pytest.approx(0.5, abs=0.1)
    assert table.loc["Mahalanobis / N", "right"] == pytest.approx(1, abs=0.15)
    assert table.loc["QLIKE above the best", "right"] == 0
    gap, error = table.loc[["QLIKE above the best", "its standard error"], "wrong"]
    assert gap > 5 * error > 0
    short = walk_forward(TimeSeriesEstimator(factors), returns, window=200, step=30)
    with pytest.raises(DataError, match="other periods or portfolios"):
        compare_forecasts({"a": right, "b": short})


def test_given_portfolios_and_gaps(data):
    factors, returns = data
    returns.iloc[250, 3] = np.nan
    weights = pd.DataFrame({"A3": [1.0, 0.0], "A5": [1.0, 1.0]}, ["both", "one"])
    result = walk_forward(TimeSeriesEstimator(factors), returns, window=200, step=50, portfolios=weights)
    assert list(result.realised.columns) == [("given", "both"), ("given", "one")]
    assert np.isnan(result.realised.iloc[50, 0])
    assert np.isfinite(result.realised.iloc[50, 1])
    assert result.qlike_gain()[1] > 0
    with pytest.raises(DataError, match="none left after the first 300"):
        walk_forward(TimeSeriesEstimator(factors), returns, start=300)
    with pytest.raises(DataError, match=r"origin 2018-01-10: .* fewer than 8 returns"):
        walk_forward(TimeSeriesEstimator(factors), returns, start=8, window=7)


class Makes:
    """What a time-series estimator makes, changed."""

    def __init__(self, factors, change):
        self.inner, self.change = TimeSeriesEstimator(factors), change

    def fit(self, returns):
        return self.change(self.inner, returns)


def turned(inner, returns):
    return inner.fit(returns[returns.columns[::-1]])


def shortened(inner, returns):
    return inner.fit(returns.iloc[:, 1:])


def stretched(inner, returns):
    return inner.fit(returns).scale_to(4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (turned, "another order"),
        (shortened, "lacks A0: too few returns .*or none of late"),
        (stretched, r"over 4 periods.*before scale_to"),
    ],
)
def test_refits_are_of_the_returns_that_come(data, change, message):
    """Weights were laid on other assets, four periods held against one, or an asset's risk left out."""
    factors, returns = data
    estimator, model = Makes(factors, change), TimeSeriesEstimator(factors).fit(returns)
    doors = {
        "walk_forward": lambda: walk_forward(estimator, returns, window=200, step=50),
        "cross_validate": lambda: cross_validate(estimator, returns, n_folds=4),
        "validate": lambda: validation.validate(model, returns, estimator=estimator, n_simulations=2),
        "tail_of_model": lambda: validation.tail_of_model(
            estimator, returns, pd.Series(0.1, returns.columns), start=200, every=50
        ),
    }
    if change is turned:  # found by name there
        right = validation.tail_of_model(
            TimeSeriesEstimator(factors), returns, pd.Series(0.1, returns.columns), start=200, every=50
        )
        pd.testing.assert_frame_equal(doors.pop("tail_of_model")(), right)
    for door in doors.values():
        with pytest.raises(DataError, match=message):
            door()


@pytest.mark.parametrize("asked", [{"start": 0}, {"start": 1}, {"window": 0}, {"window": -5}, {"step": 0}])
def test_origins_that_cannot_be_are_refused(data, asked):
    """A zero is not "not given"."""
    factors, returns = data
    for door in (
        lambda: walk_forward(TimeSeriesEstimator(factors), returns, **asked),
        lambda: validation.forecast_alphas(returns, factors, **asked),
    ):
        with pytest.raises(DataError, match=f"{next(iter(asked))} must be a whole number of at least"):
            door()


def test_cross_validation_covers_every_period_once_per_path(data):
    pytest.importorskip("skfolio")
    factors, returns = data
    group = pd.Series(["a", "b", "c"] * 4, returns.columns)
    for estimator in (TimeSeriesEstimator(factors), CrossSectionalEstimator(None, {"group": group})):
        paths = cross_validate(estimator, returns, n_folds=4, n_test_folds=2)
        assert len(paths) == 3
        for path in paths:
            assert path.realised.index.equals(returns.index)
            assert 0.8 < path.bias().loc["long only", "bias"].mean() < 1.25
    with pytest.raises(DataError, match="20 periods in 6 folds"):
        cross_validate(TimeSeriesEstimator(factors), returns.iloc[:20])


def test_cross_validation_is_not_fitted_to_what_it_tests(data):
    pytest.importorskip("skfolio")
    factors, returns = data
    seen = []

    class Spy:
        def fit(self, table):
            seen.append(table.notna().all(axis=1).to_numpy())
            return TimeSeriesEstimator(factors).fit(table)

    cross_validate(Spy(), returns, n_folds=3, n_test_folds=2, purged_size=2, embargo_size=3)
    # One fold trains: after the tests it loses 2 purged and 3 embargoed periods, before them 2 purged ones.
    assert [int(s.sum()) for s in seen] == [100 - 5, 100 - 5 - 2, 100 - 2]


WEEKS = pd.bdate_range("2019-01-04", periods=120, freq="W-FRI")


@pytest.fixture(scope="module")
def weekly():
    """Returns of six assets, and three factors that move them."""
    rng = np.random.default_rng(4)
    factors = pd.DataFrame(rng.normal(0, 0.02, (120, 3)), WEEKS, ["Mkt", "SMB", "HML"])
    own = rng.normal(0, 0.02, (120, 6))
    returns = factors.to_numpy() @ rng.normal(0.6, 0.5, (3, 6)) + own
    return pd.DataFrame(returns, WEEKS, list("ABCDEF")), factors


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n_folds": 4, "n_test_folds": 4}, "4 of 4 folds are tested, and none is left"),
        ({"n_folds": 4, "n_test_folds": 0}, "n_test_folds must be a whole number of at least 2, got 0"),
        ({"n_folds": 2}, "n_folds must be a whole number of at least 3, got 2"),
        ({"n_folds": 4, "embargo_size": 100}, "100 under embargo leave nothing of a fold of 30"),
        ({"n_folds": 4, "purged_size": 40}, "40 periods purged and 1 under embargo leave nothing"),
        ({"n_folds": 4, "purged_size": 28}, "28 periods purged and 1 under embargo leave nothing"),
        (
            {"n_folds": 3, "purged_size": 20},
            "a split leaves 0 of 120 periods to fit to, at least 5 are needed: 2",
        ),
        (
            {"n_folds": 10, "n_test_folds": 8, "purged_size": 5, "embargo_size": 4},
            "a split leaves 0 of 120 periods",
        ),
        ({"n_folds": 10, "n_test_folds": 8, "purged_size": 4, "embargo_size": 2}, "leaves 4 of 120 periods"),
        ({"n_folds": 4, "purged_size": -1}, "purged_size must be a whole number of at least 0"),
    ],
)
def test_folds_that_cannot_be_are_refused_by_name(given, told, weekly):
    with pytest.raises(DataError, match=told):
        validation.cross_validate(risk.StatisticalEstimator(2), weekly[0], **given)


def test_periods_without_any_return_say_nothing(weekly):
    returns, factors = weekly
    gap = returns.copy()
    gap.iloc[80:90] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = validation.walk_forward(risk.StatisticalEstimator(2), gap, window=60, step=10)
        shorter = validation.walk_forward(risk.StatisticalEstimator(2), returns, window=60, step=10)
    hole = found.realised.index.isin(WEEKS[80:90])
    assert found.realised[hole].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.realised[~hole], shorter.realised[~hole])
    model = risk.TimeSeriesEstimator(factors).fit(gap)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        validation.validate(
            model, gap, estimator=risk.TimeSeriesEstimator(factors), n_simulations=0, start=110, step=5
        )


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([[0.0, 0.0]], "portfolios: p holds nothing"),
        ([[60.0, 40.0]], "portfolios: weights of p sum to 100"),
    ],
)
def test_trial_portfolios_of_nothing_or_percent_are_refused(weights, told, weekly):
    given = pd.DataFrame(weights, ["p"], ["A", "B"])
    for run in (validation.walk_forward, validation.cross_validate):
        with pytest.raises(DataError, match=told):
            run(risk.StatisticalEstimator(2), weekly[0], portfolios=given)


@pytest.mark.parametrize(
    ("n", "told"),
    [(-1, "n_simulations must be a whole number of at least 0"), (1, "one simulation has no spread")],
)
def test_numbers_of_simulations_that_cannot_be(n, told, weekly):
    returns, factors = weekly
    model = risk.TimeSeriesEstimator(factors).fit(returns)
    with pytest.raises(DataError, match=told):
        validation.validate(model, returns, n_simulations=n)
