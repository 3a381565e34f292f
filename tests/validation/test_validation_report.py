"""Validation finds the fault that was planted, and none where there is none, as often as it says."""

import collections
import warnings

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import CrossSectionalEstimator, RiskModel, StatisticalEstimator, TimeSeriesEstimator
from bdfm.validation import select_factors, validate, walk_forward
from bdfm.validation.check import Collector
from bdfm.validation.fit_checks import diagnose_residuals

T, N = 500, 20
FACTORS = ["market", "size", "value"]


def simulate(rng, fault=None):
    """Factor returns and returns of a three-factor world, with a fault in it or in the factors given."""
    days = pd.bdate_range("2018-01-01", periods=T)
    f = rng.normal(0, [0.01, 0.006, 0.005], (T, 3))
    b = np.column_stack([rng.uniform(0.6, 1.4, N), rng.normal(0, 0.6, N), rng.normal(0, 0.6, N)])
    e = rng.normal(0, 1, (T, N)) * rng.uniform(0.008, 0.02, N)
    if fault == "autocorrelation":
        for t in range(1, T):
            e[t] += 0.25 * e[t - 1]
    if fault == "break":
        f[T // 2 :] *= 2
        e[T // 2 :] *= 2
    factors = pd.DataFrame(f, days, FACTORS)
    if fault == "missing factor":
        factors = factors[["market", "size"]]
    if fault == "collinear":
        factors = factors.assign(twin=factors["value"] + rng.normal(0, 0.0005, T))
    return factors, pd.DataFrame(f @ b.T + e, days, [f"A{i}" for i in range(N)])


def test_a_break_is_dated_among_all_days(rng):
    """Days on which no asset has a residual were counted out of its date: here by a hundred days."""
    f, returns = simulate(rng, "break")
    u = returns.to_numpy() - returns.mean().to_numpy()
    u[:100] = np.nan
    moves = f.to_numpy().copy()
    found = Collector()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        white = diagnose_residuals(found, pd.DataFrame(moves, f.index, f.columns), u)
    said = next(row for row in found.rows if row[0] == "volatility break, specific")
    day = pd.Timestamp(said[2].split()[-1])
    assert abs(f.index.get_loc(day) - T // 2) < 15
    assert float(said[2].split()[2]) == pytest.approx(2, rel=0.1)
    # Cleaned of it, residuals shortly before the break move as much as those after it
    before, after = np.nanstd(white[T // 2 - 90 : T // 2 - 15]), np.nanstd(white[T // 2 + 15 :])
    assert before == pytest.approx(after, rel=0.1)


# What each fault must raise in the diagnosis, and nothing else there.
RIGHT = {
    "missing factor": {"co-movement of residuals"},
    "collinear": {"collinearity"},
    "break": {"volatility break, specific", "volatility break, factor"},
    "autocorrelation": {"autocorrelation of residuals"},
}


@pytest.mark.filterwarnings("ignore:.*nearly linearly dependent")  # they are doubted at the door too
@pytest.mark.parametrize("fault", RIGHT)
def test_planted_fault_is_named_and_no_other(fault):
    for seed in range(4):
        factors, returns = simulate(np.random.default_rng([5, seed]), fault)
        report = validate(TimeSeriesEstimator(factors).fit(returns), returns, seed=seed)
        assert set(report.flags) == RIGHT[fault], report.conclusion
        assert report.skipped


@pytest.mark.long
def test_clean_data_raise_no_more_alarms_than_stated():
    n_alarms, n_reports = 0, 40
    for seed in range(n_reports):
        factors, returns = simulate(np.random.default_rng([6, seed]))
        n_alarms += bool(validate(TimeSeriesEstimator(factors).fit(returns), returns, seed=seed).flags)
    # At most 5 % each: more than 6 of 40 would come by chance in 1 of 250 runs of this test.
    assert n_alarms <= 6


@pytest.mark.slow
def test_false_alarms_of_the_whole_report():
    """All parts, refits and forecasts included, on 200 clean data sets."""
    alarms, n_reports = collections.Counter(), 200
    n_alarms = 0
    for seed in range(n_reports):
        factors, returns = simulate(np.random.default_rng([7, seed]))
        estimator = TimeSeriesEstimator(factors)
        report = validate(
            estimator.fit(returns),
            returns,
            estimator=estimator,
            window=250,
            step=21,
            n_simulations=50,
            seed=seed,
        )
        alarms.update(report.flags)
        n_alarms += bool(report.flags)
    # 5 % of 200 are 10; 19 or more would come by chance in 1 of 200 runs of this test.
    assert n_alarms <= 18, alarms


@pytest.fixture(scope="module")
def full_report():
    factors, returns = simulate(np.random.default_rng(1))
    estimator = TimeSeriesEstimator(factors)
    return validate(
        estimator.fit(returns), returns, estimator=estimator, window=250, step=50, n_simulations=15,
        cross_validation=True, seed=1,
    )  # fmt: skip


def test_full_report(full_report):
    report = full_report
    assert not report.skipped
    assert report.flags == ()
    assert report.conclusion.startswith("No fault found")
    assert set(report.table["section"]) == {"diagnosis", "forecast"}
    assert list(report.assets.columns[:4]) == ["r_squared", "t market", "t size", "t value"]
    assert (report.assets["r_squared"] > 0.1).all()
    assert report.factors["significant_exposures"]["market"] == N
    assert 0 < report.periods.mean() < 0.5  # across assets the market explains little
    assert report.out_of_sample.total_r_squared() > 0.3
    assert list(report.regimes.index) == ["calm before", "in between", "turbulent before"]
    assert report.regimes["periods"].sum() == 250
    assert len(report.paths) == 5  # C(6, 2) splits of 2 folds make 15 * 2 / 6 paths
    assert report.paths["bias, long only"].between(0.85, 1.15).all()
    ratio = report.simulation.loc["specific variance, refit over truth", "mean"]
    assert ratio == pytest.approx(1, abs=0.05)


def test_rolling_exposures(full_report):
    factors, returns = simulate(np.random.default_rng(1))
    rolling = full_report.rolling
    assert rolling.shape == (9, N, 3)
    last = TimeSeriesEstimator(factors, window=T // 4).fit(returns)
    np.testing.assert_allclose(rolling[-1], last.exposures, atol=1e-10)
    assert rolling["period"].values[-1] == returns.index[-1].to_datetime64()


def test_presentation(full_report):
    assert "0 of" in repr(full_report)
    assert "diagnosis" in full_report._repr_html_()
    full_report.plot().draw_without_rendering()
    full_report.plot_stability().draw_without_rendering()
    full_report.out_of_sample.plot().draw_without_rendering()
    assert "portfolios" in repr(full_report.out_of_sample)
    assert "long only" in full_report.out_of_sample._repr_html_()


def test_a_flag_says_what_it_means():
    factors, returns = simulate(np.random.default_rng(2), "missing factor")
    report = validate(TimeSeriesEstimator(factors).fit(returns), returns)
    assert "a factor is missing" in report.conclusion
    assert "a factor is missing" in report._repr_html_()


@pytest.mark.long
def test_statistical_and_cross_sectional_models_without_fault():
    rng = np.random.default_rng(12)
    _, returns = simulate(rng)
    for estimator in (
        # Of the plain covariance the third component is the most volatile asset, not the third factor.
        StatisticalEstimator(3, standardise=True),
        CrossSectionalEstimator(None, {"group": pd.Series(["a", "b"] * 10, returns.columns)}, market=True),
    ):
        report = validate(
            estimator.fit(returns), returns, estimator=estimator, window=250, step=125, n_simulations=20
        )
        if isinstance(estimator, StatisticalEstimator):
            assert report.flags == (), report.conclusion
        else:  # two groups at random cannot stand for size and value
            assert "co-movement of residuals" in report.flags
        assert report.simulation is not None


def test_given_regimes():
    factors, returns = simulate(np.random.default_rng(1))
    estimator = TimeSeriesEstimator(factors)
    spells = {"spring": ("2019-03-01", "2019-05-31"), "summer": ("2019-06-01", "2019-08-31")}
    report = validate(
        estimator.fit(returns),
        returns,
        estimator=estimator,
        window=250,
        step=50,
        n_simulations=0,
        regimes=spells,
    )
    assert list(report.regimes.index) == ["spring", "summer"]
    with pytest.raises(DataError, match="regime early: no test period"):
        validate(
            estimator.fit(returns), returns, estimator=estimator, window=250, step=50, n_simulations=0,
            regimes={"early": ("2001-01-01", "2001-02-01")},
        )  # fmt: skip


def test_unusable_input():
    factors, returns = simulate(np.random.default_rng(1))
    bare = RiskModel.from_arrays(np.ones((N, 1)), [[1.0]], np.ones(N), assets=list(returns), factors=["f"])
    with pytest.raises(DataError, match="the model has no history"):
        validate(bare, returns)
    with pytest.raises(DataError, match="no returns for 100 of the model's 500 periods"):
        validate(TimeSeriesEstimator(factors).fit(returns), returns.iloc[:400])


def test_factors_that_explain_nothing_are_named():
    rng = np.random.default_rng(21)
    days = pd.bdate_range("2018-01-01", periods=300)
    factors = pd.DataFrame(rng.normal(0, 0.01, (300, 2)), days, ["noise 1", "noise 2"])
    returns = pd.DataFrame(rng.normal(0, 0.01, (300, N)), days, [f"A{i}" for i in range(N)])
    estimator = TimeSeriesEstimator(factors)
    report = validate(
        estimator.fit(returns), returns, estimator=estimator, window=100, step=50, n_simulations=0
    )
    assert {"explanatory power", "explanatory power, unseen returns"} <= set(report.flags)
    assert f"0 of {N} assets explained" in report.table.loc["explanatory power", "statistic"]


def test_r_squared_of_the_check_is_that_of_the_fit():
    factors, returns = simulate(np.random.default_rng(22))
    model = TimeSeriesEstimator(factors).fit(returns)
    words = validate(model, returns, n_simulations=0).table.loc["explanatory power", "statistic"]
    r = returns - returns.mean()
    u = pd.DataFrame(model.history["specific_returns"].to_numpy())
    total = 1 - np.square(u).to_numpy().sum() / np.square(r).to_numpy().sum()
    assert f"R² {total:.2f} over all returns" in words
    assert f"{N} of {N} assets explained" in words


def test_exposures_that_make_no_sense_are_named():
    factors, returns = simulate(np.random.default_rng(23))
    wrong = returns.assign(A4=-returns["A4"])  # a sign turned in the file
    expected = {"market": (0.0, 3.0), "value": (-5.0, 5.0)}
    good = validate(TimeSeriesEstimator(factors).fit(returns), returns, expected=expected, n_simulations=0)
    assert "expected exposures" not in good.flags
    assert good.unexpected is not None
    assert len(good.unexpected) == 0
    model = TimeSeriesEstimator(factors).fit(wrong)
    bad = validate(model, wrong, expected=expected, n_simulations=0)
    assert "expected exposures" in bad.flags
    assert list(bad.unexpected.index) == [("A4", "market")]
    row = bad.unexpected.iloc[0]
    assert row["exposure"] == pytest.approx(model.exposures.to_numpy()[4, 0])
    assert (row["low"], row["high"]) == (0, 3)
    assert "A4 to market -" in bad.table.loc["expected exposures", "statistic"]
    assert validate(model, wrong, n_simulations=0).unexpected is None
    upside = validate(model, wrong, expected={"market": "-"}, n_simulations=0)
    assert len(upside.unexpected) == N - 1


def test_a_little_below_its_bound_is_no_fault():
    factors, returns = simulate(np.random.default_rng(24))
    model = TimeSeriesEstimator(factors).fit(returns)
    lowest = float(model.exposures.to_numpy()[:, 0].min())
    near = validate(model, returns, expected={"market": (lowest + 0.02, 3.0)}, n_simulations=0)
    assert "expected exposures" not in near.flags


def test_expected_exposures_of_a_model_without_errors():
    _, returns = simulate(np.random.default_rng(25))
    groups = {"group": pd.Series(["a", "b"] * 10, returns.columns)}
    model = CrossSectionalEstimator(None, groups, market=True).fit(returns)
    fine = validate(model, returns, expected={"market": (0.5, 2.0)})
    assert "expected exposures" not in fine.flags
    bad = validate(model, returns, expected={"market": "-"})
    assert len(bad.unexpected) == N


@pytest.mark.parametrize("given", ["up", (2.0, 1.0), (1.0,), ("a", "b")])
def test_an_expectation_that_is_none(given):
    factors, returns = simulate(np.random.default_rng(26))
    model = TimeSeriesEstimator(factors).fit(returns)
    with pytest.raises(DataError, match="expected exposures to market"):
        validate(model, returns, expected={"market": given}, n_simulations=0)
    with pytest.raises(UnknownLabelError, match="momentum"):
        validate(model, returns, expected={"momentum": "+"}, n_simulations=0)


# -- what is honest and strange ------------------------------------------------------------------------------


def strange_world(rng, n_periods=120):
    days = pd.bdate_range("2020-01-03", periods=n_periods, freq="W-FRI")
    f = pd.DataFrame(rng.normal(0, 0.02, (n_periods, 2)), days, ["market", "size"])
    b = rng.normal(1, 0.3, (6, 2))
    returns = f.to_numpy() @ b.T + rng.normal(0, 0.01, (n_periods, 6))
    return pd.DataFrame(returns, days, list("ABCDEF")), f


def test_an_asset_that_is_a_factor_is_named_and_not_tested(rng):
    returns, f = strange_world(rng)
    returns["FUND"] = 0.5 * f["market"] + f["size"]
    model = TimeSeriesEstimator(f).fit(returns)
    with pytest.raises(
        DataError, match="validation: FUND: combinations of the factors, without specific risk"
    ):
        validate(model, returns, n_simulations=0)
    nearly = returns.assign(FUND=returns["FUND"] + rng.normal(0, 1e-4, len(f)))
    assert validate(TimeSeriesEstimator(f).fit(nearly), nearly, n_simulations=0).checks


@pytest.mark.parametrize("factor", [2.0, 0.01, 4.0])
def test_other_returns_than_the_models_are_refused(rng, factor):
    returns, f = strange_world(rng)
    for estimator in (
        TimeSeriesEstimator(f),
        StatisticalEstimator(2),
        TimeSeriesEstimator(f, half_life_periods=20),
    ):
        model = estimator.fit(returns)
        assert validate(model, returns, n_simulations=0).checks
        with pytest.raises(DataError, match="are not of these returns"):
            validate(model, (returns * factor).clip(lower=-1), n_simulations=0)
    shuffled = returns.set_axis(list("BCDEFA"), axis=1)
    with pytest.raises(DataError, match="are not of these returns"):
        validate(TimeSeriesEstimator(f).fit(returns), shuffled, n_simulations=0)


def test_a_model_over_several_periods_is_refused(rng):
    returns, f = strange_world(rng)
    with pytest.raises(DataError, match="the model is over 4 periods, its history of one"):
        validate(TimeSeriesEstimator(f).fit(returns).scale_to(4), returns, n_simulations=0)


@pytest.mark.parametrize("level", [0.0, 1.0, 2.0, -0.1])
def test_a_level_is_between_0_and_1(rng, level):
    returns, f = strange_world(rng)
    with pytest.raises(DataError, match="false_alarm must be above 0 and below 1"):
        validate(TimeSeriesEstimator(f).fit(returns), returns, false_alarm=level)
    with pytest.raises(DataError, match="false_alarm must be above 0 and below 1"):
        select_factors(returns, f, false_alarm=level, seed=1)


def test_halves_too_short_for_a_drift_are_told(rng):
    returns, f = (x.iloc[:18] for x in strange_world(rng))
    found = validate(TimeSeriesEstimator(f).fit(returns), returns, n_simulations=0)
    assert "stability of exposures" not in [c.name for c in found.checks]
    assert "stability of exposures: needs more than 9 returns of an asset in each half" in found.skipped


def test_one_asset_has_no_portfolios(rng):
    returns, f = strange_world(rng)
    with pytest.raises(DataError, match="test portfolios: 1 asset"):
        walk_forward(TimeSeriesEstimator(f), returns[["A"]], window=60)
