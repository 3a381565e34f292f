"""Draws with a given covariance and heavy tails (eq. 11b), alone and given evidence (eq. 12)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bdfm.model.copula import log_returns, to_student

SD = np.array([0.08, 0.04, 0.02])
CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.1], [-0.3, 0.1, 1.0]])
COVARIANCE = CORRELATION * np.outer(SD, SD)
DOF = 5.0


def draws(evidence=(), n=200_000, seed=1):
    out = np.empty((n, 3), dtype=np.float32)
    log_returns(COVARIANCE, out, dof=DOF, rng=np.random.default_rng(seed), evidence=evidence)
    return out.astype(np.float64)


def margin(i):
    """Distribution of an asset's log return."""
    return stats.t(DOF, scale=SD[i] * np.sqrt((DOF - 2) / DOF))


def test_margins_are_student_t_with_the_given_variance():
    x = draws()
    for i in range(3):
        half = x[: len(x) // 2, i]  # the other half mirrors it
        assert stats.kstest(half, margin(i).cdf).pvalue > 1e-3
    np.testing.assert_allclose(x.std(axis=0), SD, rtol=0.02)


def test_correlations_of_returns_are_lower_by_what_the_page_says():
    """By quadrature: those of the normal variables less those of the Student-t ones (docs/model.md)."""
    x, w = np.polynomial.hermite_e.hermegauss(120)
    w /= w.sum()
    lower = []
    for rho in np.linspace(0, 1, 41):
        both = rho * x[:, None] + np.sqrt(1 - rho**2) * x
        own = to_student(x.copy(), DOF)
        variance = float(w @ np.square(own))
        lower.append(rho - float((w * own) @ to_student(both, DOF) @ w) / variance)
    assert min(lower) > -1e-9
    assert max(lower) == pytest.approx(0.013, abs=0.0005)


def test_ranks_are_those_of_a_gaussian_copula():
    x = draws()
    expected = 6 / np.pi * np.arcsin(CORRELATION / 2)  # Spearman's rho of a Gaussian copula
    np.testing.assert_allclose(stats.spearmanr(x).statistic, expected, atol=0.01)


def test_pairs_mirror_each_other():
    x = draws(n=1000)
    np.testing.assert_allclose(x[:500], -x[500:], atol=1e-15)


@pytest.mark.parametrize(("mean", "sd"), [(0.02, 0.1), (-0.15, 0.02), (0.3, 0.005), (0.0, 1e-4)])
def test_one_measured_return_is_as_by_quadrature(mean, sd):
    x = draws([(0, mean, sd)])
    grid = np.linspace(-0.9, 0.9, 400_001)
    density = margin(0).pdf(grid) * np.exp(-0.5 * ((mean - np.expm1(grid)) / sd) ** 2)
    density /= density.sum()
    centre = (density * grid).sum()
    spread = np.sqrt((density * (grid - centre) ** 2).sum())
    assert abs(x[:, 0].mean() - centre) < 0.02 * spread
    assert abs(x[:, 0].std() / spread - 1) < 0.02
    # The others follow through the copula: their normal variables are linear in its.
    z = stats.norm.ppf(np.clip(margin(0).cdf(grid), 1e-12, 1 - 1e-12))
    for i in (1, 2):
        rho = CORRELATION[0, i]
        own = stats.norm.ppf(margin(i).cdf(x[:, i]))
        assert abs(own.mean() - rho * (density * z).sum()) < 0.02
        variance = 1 - rho**2 + rho**2 * ((density * z**2).sum() - (density * z).sum() ** 2)
        assert abs(own.var() - variance) < 0.02


def test_two_measured_returns_are_as_by_weighting():
    evidence = [(0, 0.05, 0.05), (2, 0.02, 0.01)]
    x = draws(evidence)
    prior = draws(n=2_000_000, seed=2)
    weight = np.prod([stats.norm(m, s).pdf(np.expm1(prior[:, i])) for i, m, s in evidence], axis=0)
    weight /= weight.sum()
    mean = weight @ prior
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=3e-4)
    np.testing.assert_allclose(x.std(axis=0), np.sqrt(weight @ (prior - mean) ** 2), rtol=0.02)


def test_equal_seeds_give_equal_draws():
    evidence = [(0, -0.1, 0.02)]
    np.testing.assert_array_equal(draws(evidence, 1000), draws(evidence, 1000))
    assert not np.array_equal(draws(evidence, 1000), draws(evidence, 1000, seed=2))
