"""Slice updates against the distributions that they must leave alone."""

import math

import numpy as np
import pytest
from scipy import stats

from bdfm.gibbs.compiling import plain
from bdfm.gibbs.slice import draw_log_scale, slice_above, slice_update, slice_within

N = 4000


def skewed(x, args):
    """Log of a standard Gumbel density, moved and stretched: asymmetric."""
    location, scale = args
    z = (x - location) / scale
    return -z - math.exp(-z)


GUMBEL = stats.gumbel_r(1.0, 2.0)


@pytest.mark.parametrize("width", [0.3, 3.0, 30.0])
def test_one_update_keeps_the_distribution(width):
    rng = np.random.default_rng(1)
    starts = GUMBEL.rvs(N, random_state=rng)
    draws = np.array([plain(slice_update)(rng, skewed, (1.0, 2.0), x, width) for x in starts])
    assert stats.kstest(draws, GUMBEL.cdf).pvalue > 1e-3
    assert np.mean(draws != starts) > 0.99
    # and moves: at a wide interval the new value hardly remembers the old one
    assert abs(np.corrcoef(starts, draws)[0, 1]) < (0.98 if width < 1 else 0.5)


def test_update_between_bounds_keeps_the_truncated_distribution():
    rng = np.random.default_rng(2)
    low, high = GUMBEL.cdf([-1.0, 4.0])
    starts = GUMBEL.ppf(rng.uniform(low, high, N))
    draws = np.array([plain(slice_within)(rng, skewed, (1.0, 2.0), x, -1.0, 4.0) for x in starts])
    assert -1 < draws.min()
    assert draws.max() < 4
    assert stats.kstest(draws, lambda x: (GUMBEL.cdf(x) - low) / (high - low)).pvalue > 1e-3


def test_no_step_goes_down_from_the_floor():
    rng = np.random.default_rng(3)
    evaluated = []

    def flat(x, args):
        evaluated.append(x)
        return 0.0 if x < 5.0 else -math.inf

    for _ in range(200):
        plain(slice_above)(rng, flat, (), 0.0, 1.0, -3.0)
    assert -4.0 < min(evaluated) < -3.0 + 1.0
    assert sum(x > 5.0 for x in evaluated) > 0


def test_slice_that_closes_on_its_start_returns_it():
    rng = np.random.default_rng(4)
    spike = lambda x, args: 0.0 if x == 0.25 else -math.inf  # noqa: E731
    assert plain(slice_update)(rng, spike, (), 0.25, 1.0) == 0.25
    assert plain(slice_within)(rng, spike, (), 0.25, 0.0, 1.0) == 0.25


@pytest.mark.parametrize(("a", "b", "c"), [(-6.0, 0.5, 3.0), (4.0, 2.0, 0.1), (0.0, 1.0, 1.0)])
def test_log_scale_has_its_density(a, b, c):
    rng = np.random.default_rng(5)
    x, draws = 0.0, []
    for _ in range(N):
        x = plain(draw_log_scale)(rng, x, a, b, c)
        draws.append(x)
    grid = np.linspace(-6, 6, 24_001)
    p = np.exp(a * grid - b * np.exp(2 * grid) - c * np.exp(-2 * grid))
    cdf = np.cumsum(p) / p.sum()
    assert stats.kstest(draws[::2], lambda v: np.interp(v, grid, cdf)).pvalue > 1e-3
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.25
