"""Principal components against NumPy, scikit-learn and statsmodels; rules for their number."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from statsmodels.multivariate.pca import PCA as StatsmodelsPCA

from bdfm.errors import BdfmError, DataError, UnknownLabelError
from bdfm.risk import StatisticalEstimator
from bdfm.risk.statistical import bai_ng, marchenko_pastur

T, N = 300, 20


def simulate(rng, k, *, t=T, n=N, strength=1.0):
    f = rng.normal(0, 0.01, (t, k))
    b = rng.normal(0.3, 1, (n, k)) * strength
    values = f @ b.T + rng.normal(0, 0.01, (t, n))
    return pd.DataFrame(values, pd.bdate_range("2018-01-01", periods=t), [f"A{i}" for i in range(n)])


def test_equals_an_eigendecomposition(rng):
    returns = simulate(rng, 3)
    model = StatisticalEstimator(3).fit(returns)
    sample = np.cov(returns.T)
    values, vectors = np.linalg.eigh(sample)
    top = vectors[:, -3:] @ np.diag(values[-3:]) @ vectors[:, -3:].T
    b, f = model.exposures.values, model.factor_covariance.values
    np.testing.assert_allclose(b @ f @ b.T, top, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(np.mean(b**2, axis=0), 1)
    assert (b.sum(axis=0) > 0).all()
    pca = PCA(3).fit(returns)
    scores = model.history["factor_returns"].values
    np.testing.assert_allclose(np.abs(scores * np.sqrt(N)), np.abs(pca.transform(returns)), rtol=1e-7)
    residual = (returns - returns.mean()).to_numpy() - scores @ b.T
    np.testing.assert_allclose(model.specific_variance, (residual**2).sum(axis=0) / (T - 4), rtol=1e-9)
    np.testing.assert_allclose(f, np.cov(scores.T), atol=1e-15)


def test_standardised_components_are_those_of_the_correlation(rng):
    returns = simulate(rng, 2) * np.linspace(0.2, 5, N)
    model = StatisticalEstimator(2, standardise=True).fit(returns)
    sd = returns.std(ddof=0).to_numpy()
    corr = np.corrcoef(returns.T)
    values, vectors = np.linalg.eigh(corr)
    top = vectors[:, -2:] @ np.diag(values[-2:]) @ vectors[:, -2:].T
    b = model.exposures.values / sd[:, None]
    np.testing.assert_allclose(
        b @ model.factor_covariance.values @ b.T, top * T / (T - 1), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("k", [1, 3, 5])
def test_rules_find_the_number_of_factors(rng, k):
    returns = simulate(rng, k, n=60, t=400)
    z = ((returns - returns.mean()) / returns.std(ddof=0)).to_numpy()
    assert bai_ng(z) == k
    assert marchenko_pastur(z) == k
    assert len(StatisticalEstimator("bai_ng").fit(returns).factors) == k
    assert len(StatisticalEstimator("marchenko_pastur").fit(returns).factors) == k


def test_bai_ng_is_that_of_statsmodels():
    """On tables whose factors fade into the noise, so that the size of the penalty decides."""
    fading = np.array([1.0, 0.6, 0.45, 0.35, 0.28, 0.22, 0.17, 0.13])
    found, references = [], []
    for seed, (t, n) in enumerate([(60, 30), (200, 30), (400, 20), (30, 90), (40, 200), (100, 100)]):
        rng = np.random.default_rng(seed)
        values = rng.standard_normal((t, 8)) * fading @ rng.standard_normal((8, n)) + rng.standard_normal(
            (t, n)
        )
        z = (values - values.mean(axis=0)) / values.std(axis=0)
        reference = StatsmodelsPCA(z, ncomp=10, standardize=True).ic[1:, 1]  # IC_p2, from one factor on
        found.append(bai_ng(z, max_factors=10))
        references.append(int(np.argmin(reference)) + 1)
    assert found == references
    assert len(set(found)) > 2


def test_share_of_variance(rng):
    returns = simulate(rng, 3)
    explained = np.cumsum(PCA().fit(returns).explained_variance_ratio_)
    for share in (0.3, 0.6, 0.9):
        k = len(StatisticalEstimator(share).fit(returns).factors)
        assert explained[k - 1] >= share
        assert k == 1 or explained[k - 2] < share


def test_half_life_is_a_weighted_covariance(rng):
    returns = simulate(rng, 2)
    model = StatisticalEstimator(2, half_life_periods=60).fit(returns)
    weights = 0.5 ** (np.arange(T - 1, -1, -1) / 60)
    sample = np.cov(returns.T, aweights=weights)
    values, vectors = np.linalg.eigh(sample)
    b, f = model.exposures.values, model.factor_covariance.values
    top = vectors[:, -2:] @ np.diag(values[-2:]) @ vectors[:, -2:].T
    common = b @ f @ b.T
    np.testing.assert_allclose(common / np.trace(common), top / np.trace(top), rtol=1e-7, atol=1e-10)


def test_order_of_assets_does_not_matter(rng):
    returns = simulate(rng, 2)
    one = StatisticalEstimator(2).fit(returns).covariance()
    two = StatisticalEstimator(2).fit(returns[returns.columns[::-1]]).covariance()
    np.testing.assert_allclose(one, two.sel(asset=one["asset"], other_asset=one["other_asset"]), rtol=1e-9)


def test_unusable_input(rng):
    returns = simulate(rng, 2)
    gaps = returns.copy()
    gaps.iloc[3:6, 2] = np.nan
    with pytest.raises(DataError, match="1 of 20 assets lack returns, periods each: A2 3"):
        StatisticalEstimator(2).fit(gaps)
    gaps.iloc[3:6] = np.nan  # no observation at all on those days is no gap
    assert len(StatisticalEstimator(2).fit(gaps).history["period"]) == T - 3
    with pytest.raises(DataError, match="A1 never moved"):
        StatisticalEstimator(2).fit(returns.assign(A1=0.0))
    with pytest.raises(DataError, match="25 factors for 20 assets"):
        StatisticalEstimator(25).fit(returns)
    with pytest.raises(UnknownLabelError, match=r"unknown rule bai-ng\. Did you mean bai_ng"):
        StatisticalEstimator("bai-ng").fit(returns)


@pytest.mark.parametrize("wrong", ["foo", 0, -1, 2.5, True, None, float("nan"), [3]])
def test_a_number_of_factors_that_cannot_be_is_refused_where_it_is_given(wrong):
    with pytest.raises(BdfmError, match="statistical model: n_factors"):
        StatisticalEstimator(wrong)
