"""Work in pieces: the same results whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from bdfm import _threads
from bdfm.forecast.ranks import quantile_probabilities
from bdfm.model.copula import log_returns, student_heights, to_student
from bdfm.model.simulate import simulate_ahead


@pytest.fixture(params=[1, 3])
def on_cores(request, monkeypatch):
    monkeypatch.setattr(_threads, "cores", lambda: request.param)
    return request.param


def test_results_come_in_the_order_of_the_pieces(on_cores):
    assert list(_threads.in_order(lambda a, b: a - b, range(50), range(0, 100, 2))) == [-x for x in range(50)]


def test_an_error_of_a_piece_is_raised(on_cores):
    def work(x):
        if x == 7:
            raise ValueError("piece 7")

    with pytest.raises(ValueError, match="piece 7"):
        _threads.each(work, range(20))


def test_the_same_seed_gives_the_same_draws_on_any_number_of_cores(monkeypatch, small_preset, random_draws):
    model, panel = small_preset("m6")
    from bdfm.model.equations import at_periods, model_data
    from bdfm.posterior.posterior import Posterior

    draws = random_draws(model, panel)
    posterior = Posterior.from_draws(draws, draws[[]], model, panel, {"seed": 1})
    p = posterior.parameters()
    past = p["factors"][:, -1:]
    data = at_periods(model_data(model, panel, future=True), slice(1))
    covariance = 0.01 * (np.eye(4) + 0.5)
    found = {}
    for n in (1, 3):
        monkeypatch.setattr(_threads, "cores", lambda n=n: n)
        paths = simulate_ahead(model, p, past, data, n_paths=20, rng=np.random.default_rng(3))
        pool = np.empty((50_001, 4), dtype=np.float32)
        log_returns(covariance, pool, dof=5.0, rng=np.random.default_rng(4))
        found[n] = paths, pool, quantile_probabilities(pool)
    for one, three in zip(found[1], found[3], strict=True):
        np.testing.assert_array_equal(one, three)
    paths, pool, _ = found[1]
    # Pieces have random numbers of their own: no pair of paths and no block of draws repeats another.
    assert len(np.unique(paths[::2, 0, 0, 0])) == 10
    assert len(np.unique(pool[:25_000, 0])) > 24_000
    np.testing.assert_array_equal(pool[:25_000], -pool[25_001:])


def test_the_map_to_a_student_t_is_that_of_the_quantiles():
    from scipy import stats

    z = np.array([-9.0, -6.5, -3.21, -0.4, 0.0, 0.7, 2.5, 4.0, 6.5, 8.0])
    exact = stats.t.ppf(stats.norm.cdf(np.clip(z, -6.5, 6.5)), 5.0) * np.sqrt(3 / 5)
    np.testing.assert_allclose(to_student(z[:, None].copy(), 5.0)[:, 0], exact, rtol=2e-3, atol=1e-12)
    knots = np.linspace(-6.5, 6.5, 4001)
    np.testing.assert_allclose(to_student(knots[:, None].copy(), 5.0)[:, 0], student_heights(5.0), atol=1e-8)
