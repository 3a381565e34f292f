"""Mixtures that stand for the law of the log of a squared noise, and the exact likelihood over them."""

import math
from unittest import mock

import numpy as np
import pytest
from drivers import Chain, N, T, U, plain
from path_cases import BOTH, world
from scipy import stats

from bdfm.gibbs.scratch import PARTS, Parts
from bdfm.gibbs.updates import log_squares
from bdfm.gibbs.updates.noise import NORMAL, STUDENT_T


def test_mixture_is_near_the_law_of_a_log_square():
    """Moments of log z^2 are -1.2704 and pi^2 / 2; its density is met within 1.5 % where most of it is."""
    weight = np.exp(log_squares.LOG_WEIGHT) * np.sqrt(2 * np.pi / log_squares.PRECISION)
    np.testing.assert_allclose(weight.sum(), 1.0, atol=1e-5)
    mean = weight @ log_squares.MEAN
    np.testing.assert_allclose(mean, -1.27036, atol=1e-3)
    variance = weight @ (1 / log_squares.PRECISION + (log_squares.MEAN - mean) ** 2)
    np.testing.assert_allclose(variance, np.pi**2 / 2, rtol=1e-3)
    x = np.linspace(-8, 2, 200)
    exact = stats.chi2(1).pdf(np.exp(x)) * np.exp(x)
    at = x[:, None] - log_squares.MEAN
    found = np.exp(log_squares.LOG_WEIGHT - 0.5 * log_squares.PRECISION * at**2).sum(axis=1)
    np.testing.assert_allclose(found, exact, rtol=0.015)
    # the linear form of z, given its part, has the sign and the size of z
    z = log_squares.ROOT_A + log_squares.ROOT_B * (1.0 - log_squares.MEAN)
    np.testing.assert_allclose(z[1:3], math.exp(0.5), rtol=0.05)


def parts_at(family, nu):
    """Parts of the mixture for noise of a family, those that are used."""
    found = Parts(np.zeros(1, dtype=np.int64), *(np.full(PARTS, np.nan) for _ in range(3)))
    plain("updates.log_squares").set_parts(family, nu, found)
    n = found.number[0]
    return Parts(found.number, *(x[:n] for x in found[1:]))


@pytest.mark.parametrize(
    ("nu", "most"),
    [
        (1.0, 0.001),
        (1.6, 0.01),
        (2.7, 0.001),
        (4.5, 0.004),
        (7.4, 0.002),
        (8.7, 0.006),
        (33.0, 0.01),
        (400.0, 0.012),
    ],
)
def test_mixture_is_near_the_law_of_a_squared_student_t(nu, most):
    """Root mean square of the difference of log densities under the law, at knots and between them."""
    parts = parts_at(STUDENT_T, nu)
    x = np.linspace(-30, 30, 6001)
    exact = stats.t(nu).logpdf(np.exp(x / 2)) + x / 2  # density of x = log t^2
    at = x[:, None] - parts.mean
    found = np.log(np.exp(parts.log_weight - 0.5 * parts.precision * at**2).sum(axis=1) + 1e-300)
    weight = np.exp(parts.log_weight) * np.sqrt(2 * np.pi / parts.precision)
    assert weight.sum() == pytest.approx(1.0, abs=0.01)
    assert np.exp(exact).sum() * (x[1] - x[0]) == pytest.approx(1.0, abs=1e-3)
    assert math.sqrt(np.trapezoid(np.exp(exact) * (found - exact) ** 2, x)) < most


def test_parts_beyond_the_knots_are_those_of_the_end():
    for nu, end in ((0.3, 1.0), (1e6, 400.0)):
        for far, near in zip(parts_at(STUDENT_T, nu), parts_at(STUDENT_T, end), strict=True):
            np.testing.assert_allclose(far, near, rtol=1e-12)


def test_parts_of_normal_noise_are_those_of_the_table():
    parts = parts_at(NORMAL, 7.0)
    np.testing.assert_array_equal(
        parts[1:], (log_squares.MEAN, log_squares.PRECISION, log_squares.LOG_WEIGHT)
    )


@pytest.mark.parametrize("family", [STUDENT_T, NORMAL], ids=["student", "normal"])
def test_likelihood_of_a_path_over_that_by_the_mixture(family):
    """Differences between two paths against densities of residuals, days without a return left out."""
    module, rng, n, nu = plain("updates.log_squares"), np.random.default_rng(4), T, 4.6
    spec, p = world(**BOTH)
    own = Chain(spec, p).scratch.volatility_path
    e, seen = rng.standard_t(3.0, n), (rng.random(n) < 0.8).astype(float)
    law = stats.t(nu) if family == STUDENT_T else stats.norm

    def found(v):
        return module.weigh_path(v, np.log(e**2), e**2, family, nu, seen, own)

    def expected(v):
        used = parts_at(family, nu)
        at = np.log(e**2)[:, None] - 2 * v[:, None] - used.mean
        mixture = np.log(np.exp(used.log_weight - 0.5 * used.precision * at**2).sum(axis=1))
        return seen @ (law.logpdf(e / np.exp(v)) - v - mixture)

    assert seen.min() == 0
    v, other = 0.5 * rng.standard_normal((2, n))
    assert found(v) - found(other) == pytest.approx(expected(v) - expected(other), rel=1e-9)


def test_each_path_has_the_mixture_of_its_own_degrees_of_freedom():
    """In eq. S31 and, before and after, in eq. S44; and the exact likelihood has the same."""
    spec, p = world(**BOTH)
    nu, groups = p["nu"], spec.asset_volatility.groups
    assert len(set(nu)) == N
    of_groups = [nu[i] for g in range(2) for _ in range(2) for i in np.flatnonzero(groups == g)]
    module = plain("updates.asset_volatility")
    for update, turn, expected in (
        (U.draw_asset_paths, 0, [*nu, *nu]),
        (U.move_path_hierarchies, 1, of_groups),
    ):
        seen, weigh = [], module.weigh_path

        def watched(path, y, ratio, family, own, *rest, seen=seen, weigh=weigh):
            seen.append(own)
            return weigh(path, y, ratio, family, own, *rest)

        with mock.patch.object(module, "weigh_path", watched):
            Chain(spec, p, turn=turn).run(np.random.default_rng(1), update)
        assert seen == expected
