"""Vectorised statistics against statsmodels and SciPy, one series at a time."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.diagnostic import acorr_ljungbox, het_arch
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.outliers_influence import variance_inflation_factor

from bdfm._statistics import long_run_variance, mean_error
from bdfm.validation import statistics
from bdfm.validation.simulated_laws import law_of, p_values

T, N = 240, 5


@pytest.fixture
def series(rng):
    values = rng.standard_t(6, (T, N))
    for t in range(1, T):
        values[t, 0] += 0.3 * values[t - 1, 0]
    return values


def test_what_no_normal_series_shows_has_no_chance_and_no_warning():
    """The chance is 0, between two simulated lengths too."""
    p = p_values(statistics._omnibus, np.array([1e7, 1.0]), 90)
    assert p[0] == 0.0 < p[1]


def test_ljung_box(series):
    found = statistics.ljung_box(series, 5)
    for j in range(N):
        expected = acorr_ljungbox(series[:, j], lags=[5])["lb_pvalue"].iloc[0]
        assert found[j] == pytest.approx(expected, rel=1e-9)
    assert found[0] < 1e-3


@pytest.mark.filterwarnings("ignore:acorr_lm currently returns:FutureWarning")
def test_arch_lm(series):
    found = statistics.arch_lm(series, 4)
    for j in range(N):
        assert found[j] == pytest.approx(het_arch(series[:, j], nlags=4)[1], rel=1e-8)


def test_normality(series):
    np.testing.assert_allclose(
        statistics.jarque_bera(series), stats.jarque_bera(series, axis=0).pvalue, rtol=1e-9
    )
    # chi-squared's in the middle of the law
    np.testing.assert_allclose(statistics.normality(series), stats.normaltest(series).pvalue, atol=0.02)


SIZES = {
    "tails": statistics.normality,
    "autocorrelation": lambda z: statistics.robust_autocorrelation(z, 5),
    "clusters": lambda z: statistics.volatility_clusters(z, 5),
}


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("n_periods", [45, 104])  # between lengths that are simulated
def test_sizes_hold_far_out_where_chi_squared_is_several_times_too_small(name, n_periods):
    """At the levels that Bonferroni leaves, on series that the law was not simulated from; both ways."""
    z = np.random.default_rng(8).standard_normal((n_periods, 40_000))
    p = SIZES[name](z)
    for level in (0.5, 0.2, 0.05, 0.01):
        assert (p < level).mean() == pytest.approx(level, rel=0.2)
    # 40 and 4 are expected
    assert 22 <= (p < 1e-3).sum() <= 62
    assert 1 <= (p < 1e-4).sum() <= 10
    if name == "tails":
        assert (stats.normaltest(z).pvalue < 1e-4).sum() >= 20


def test_laws_between_two_lengths_are_between_theirs():
    at = np.array([1.0, 5.0, 12.0, 30.0, np.nan])
    short, between, long = (p_values(statistics._omnibus, at, n) for n in (64, 96, 128))
    assert np.isnan([short[-1], between[-1], long[-1]]).all()
    # 1/96 is a third of the way from 1/128 to 1/64
    np.testing.assert_allclose(between[:-1], short[:-1] ** (1 / 3) * long[:-1] ** (2 / 3), rtol=1e-9)
    np.testing.assert_array_equal(
        p_values(statistics._omnibus, at, 5000), p_values(statistics._omnibus, at, 1024)
    )
    np.testing.assert_array_equal(p_values(statistics._omnibus, at, 3), p_values(statistics._omnibus, at, 8))


def test_law_is_kept_and_the_same_for_gaps():
    values = np.random.default_rng(1).standard_normal((150, 3))
    values[:40, 1] = np.nan
    whole = statistics.normality(values)
    alone = [statistics.normality(c[np.isfinite(c)][:, None])[0] for c in values.T]
    np.testing.assert_allclose(whole, alone, rtol=1e-9)
    law = law_of(statistics._omnibus, 128)
    assert law is law_of(statistics._omnibus, 128)
    assert law is not law_of(statistics._omnibus, 64)
    at = np.array([law.draws[100], law.start, law.start + law.scale, np.nan])
    np.testing.assert_allclose(law.p_values(at), [0.995, 0.02, 0.02 / np.e, np.nan], atol=1e-4)


@pytest.mark.parametrize("lags", [0, 4])
def test_regressions_with_hac_errors(series, rng, lags):
    x = sm.add_constant(rng.normal(size=(T, 3)))
    y = series.copy()
    y[:7, 2] = np.nan
    found = statistics.regress(x, y, lags=lags)
    for j in range(N):
        use = np.isfinite(y[:, j])
        kind = {"cov_type": "HC1"} if lags == 0 else {
            "cov_type": "HAC", "cov_kwds": {"maxlags": lags, "use_correction": True}}  # fmt: skip
        ols = sm.OLS(y[use, j], x[use]).fit(**kind)
        np.testing.assert_allclose(found.coefficients[:, j], ols.params, rtol=1e-9)
        np.testing.assert_allclose(found.t[:, j], ols.tvalues, rtol=1e-8)
        np.testing.assert_allclose(found.covariances[j], ols.cov_params(), rtol=1e-7, atol=1e-12)
        assert found.r_squared[j] == pytest.approx(ols.rsquared)


def test_variance_inflation(rng):
    x = rng.normal(size=(T, 4))
    x[:, 3] = x[:, 0] + 0.3 * x[:, 3]
    design = sm.add_constant(x)
    expected = [variance_inflation_factor(design, j + 1) for j in range(4)]
    np.testing.assert_allclose(statistics.variance_inflation(x), expected, rtol=1e-9)
    x[:, 3] = x[:, 0] - x[:, 1]
    found = statistics.variance_inflation(x)
    assert np.isinf(found[[0, 1, 3]]).all()
    assert found[2] == pytest.approx(1, abs=0.1)


def test_long_run_variance(series):
    x = series[:, 0]
    ols = sm.OLS(x, np.ones(T)).fit(cov_type="HAC", cov_kwds={"maxlags": 4, "use_correction": False})
    assert long_run_variance(x, 4) / T == pytest.approx(ols.cov_params()[0, 0], rel=1e-9)
    assert mean_error(x) == pytest.approx(np.sqrt(long_run_variance(x, 4) / T), rel=0.2)


def test_holm(rng):
    p = rng.random((4, 6)) ** 6
    expected = multipletests(p.ravel(), alpha=0.05, method="holm")[0].reshape(p.shape)
    np.testing.assert_array_equal(statistics.holm(p, 0.05), expected)
    assert expected.any()
    assert not expected.all()


def test_break_is_found_where_it_is(rng):
    values = rng.standard_normal((T, N))
    values[150:] *= 2
    found = statistics.variance_break(np.square(values).mean(axis=1))
    assert found.p_value < 1e-4
    assert abs(found.position - 150) < 10


@pytest.mark.long
def test_robust_statistics_keep_their_size_where_classical_ones_do_not():
    """Clustered volatility without autocorrelation: Ljung-Box rejects too often, the robust form does not."""
    rng = np.random.default_rng(3)
    n_series = 400
    variance, noise = np.ones(n_series), np.empty((500, n_series))
    for t in range(500):
        noise[t] = np.sqrt(variance) * rng.standard_normal(n_series)
        variance = 0.1 + 0.3 * noise[t] ** 2 + 0.6 * variance
    assert (statistics.ljung_box(noise, 5) < 0.05).mean() > 0.12
    assert 0.025 < (statistics.robust_autocorrelation(noise, 5) < 0.05).mean() < 0.075
    assert (statistics.volatility_clusters(noise, 5) < 0.05).mean() > 0.9
    tails = rng.standard_t(3, (300, n_series))
    share = (statistics.volatility_clusters(tails, 5) < 0.05).mean()
    assert 0.025 < share < 0.075


def test_largest_eigenvalue(rng):
    for shape in ((60, 10), (10, 60)):
        values = rng.normal(size=shape)
        assert statistics.largest_eigenvalue(values) == pytest.approx(
            np.linalg.eigvalsh(np.corrcoef(values.T))[-1]
        )
