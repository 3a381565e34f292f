"""Cholesky factors of small matrices, also where one return is known so well that others are lost."""

import numpy as np
import pytest

from bdfm.gibbs.compiling import plain
from bdfm.gibbs.linear import eliminate, solve_transposed
from bdfm.gibbs.sweep import REFRESH, make_chain, sweep_of
from bdfm.inference.engine import gibbs_spec


@pytest.mark.parametrize("size", [1, 2, 5, 7])
def test_factor_and_solution(size, rng):
    x = rng.standard_normal((size, 2 * size))
    a, h = x @ x.T, rng.standard_normal(size)
    factor, solution = a.copy(), h.copy()
    plain(eliminate)(factor, solution, 0, size)
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(a), rtol=1e-10)
    plain(solve_transposed)(factor, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(a, h), rtol=1e-8)


@pytest.mark.parametrize("known", [1e12, 1e20, 1e60, 1e250])
def test_a_direction_known_far_better_than_the_others_leaves_numbers(known, rng):
    for _ in range(50):
        w = rng.standard_normal(5)
        a = known * np.outer(w, w) + np.diag(rng.random(5) + 0.5)
        h = known * w * 0.3
        plain(eliminate)(a, h, 0, 5)
        assert (np.diag(a) > 0).all()
        plain(solve_transposed)(a, h)
        assert np.isfinite(h).all()
        assert w @ h == pytest.approx(0.3, rel=0.01)  # what is known is kept to


def test_sweeps_go_on_from_a_return_without_noise(tiny_model, tiny_panel):
    """A chain of a calibration ended in NaN where a noise scale came to 1e-13."""
    spec = gibbs_spec(tiny_model, tiny_panel)
    chain = make_chain(spec, np.random.default_rng(1))
    sweep = sweep_of(spec, chain.data)
    for asset in range(len(tiny_panel.assets)):
        for log_scale in (-20.0, -40.0, -80.0):
            chain.state.volatility.b[0, asset] = log_scale
            chain.apply([*REFRESH, *sweep])
            assert np.isfinite(chain.values).all()
