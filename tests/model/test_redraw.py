"""The forecast period of a fit with evidence, drawn anew: its Markov chain against weighted prior draws."""

import numpy as np
import pytest
from scipy import stats

from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.redraw import _Period, elliptical_slice, paths_given_evidence, slice_steps

N = 2000
EVIDENCE = [Evidence("A0", 0.04, 0.01), Evidence("A5", -0.03, 0.08)]  # one sharp and off, one vague


def test_elliptical_slice_draws_the_posterior_of_a_normal_mean(rng):
    z = np.zeros((4000, 2))
    for _ in range(40):
        z = elliptical_slice(rng, lambda x, rows: -0.5 * ((x[:, 0] - 2.0) / 0.5) ** 2, z)
    assert z[:, 0].mean() == pytest.approx(2.0 * 1 / (1 + 0.25), abs=0.03)
    assert z[:, 0].std() == pytest.approx(np.sqrt(0.25 / 1.25), rel=0.06)
    assert stats.kstest(z[:, 1], "norm").pvalue > 1e-3


def test_slice_steps_draw_a_given_density(rng):
    x = rng.gamma(3.0, 1.0, (3000, 2))
    for _ in range(5):
        x = slice_steps(
            rng, lambda v, rows: np.where(v > 0, 2 * np.log(np.abs(v) + 1e-300) - v, -np.inf), x, 3.0 + 0 * x
        )
    for j in (0, 1):
        assert stats.kstest(x[:, j], stats.gamma(3.0).cdf).pvalue > 1e-3


@pytest.mark.parametrize("noise", ["normal", "student_t"])
@pytest.mark.parametrize("factors", ["constant", "moving"])
def test_the_chain_ends_where_weighted_prior_draws_are(
    tiny_model, tiny_panel, tiny_truth, rng, noise, factors
):
    """From a far start, factors and returns of one parameter value come to their law given the evidence."""
    change = {"noise": {"kind": noise}}
    if factors == "moving":
        change |= {
            "factor_scale": {"kind": "stochastic_volatility"},
            "factor_noise": {"kind": "student_t"},
        }
    model = FactorModel(**(tiny_model.model_dump() | change))
    one = dict(tiny_truth) | {"factors": 0.02 * rng.standard_normal((36, 2))}
    one |= {"phi": np.float64(0.8), "sigma_log_multiplier": np.float64(0.4), "factor_nu": np.float64(5.0)}
    one |= {"log_multiplier": 0.1 * rng.standard_normal(36), "factor_mixing": rng.gamma(3, 1 / 3, 36)}
    names = {v.name for v in model.variables if v.stored}
    one = {k: v for k, v in one.items() if k in names}
    ahead = at_periods(model_data(model, tiny_panel, future=True), slice(1))
    at = np.array([0, 5])

    n = 100_000
    q = {k: np.broadcast_to(v, (n, *np.shape(v))) for k, v in one.items()}
    multiplier = model.multipliers_ahead(q, ahead, n, rng)[:, 0]
    eta = multiplier * q["factor_scale"] * rng.standard_normal((n, 2))
    prior = model.expected_factors(q) + eta
    returns = model.draw_returns(q, prior[:, None], ahead, rng=rng)[:, 0, at]
    stated, error = np.array([0.04, -0.03]), np.array([0.01, 0.08])
    weight = np.exp(-0.5 * np.square((np.expm1(returns) - stated) / error).sum(axis=1))
    weight /= weight.sum()

    p = {k: np.broadcast_to(v, (N, *np.shape(v))) for k, v in one.items()}
    p |= {"factors_next": np.full((N, 2), 0.1), "evidence_return": np.full((N, 2), 0.3)}
    if factors == "moving":
        p |= {"log_multiplier_next": np.full(N, 1.0), "factor_mixing_next": np.full(N, 3.0)}
    period = _Period(model, p, ahead, at, EVIDENCE, rng)
    np.testing.assert_allclose(period.factors, p["factors_next"])
    period.move(60)
    tolerance = 4.5 * np.sqrt(0.25 / N + 0.25 * (weight @ weight))
    assert tolerance < 0.07
    # Heavy tails make standard deviations noisy: the shares below quantiles of the weighted draws.
    noise_now = period.returns - period._mean(period.z, period.sd, period.all)  # factors and returns jointly
    noise_exact = returns - model.expected_return(q, prior[:, None], ahead)[:, 0, at]
    pairs = ((period.factors, prior), (period.returns, returns), (noise_now, noise_exact))
    for own, exact in pairs:
        for j in (0, 1):
            order = np.argsort(exact[:, j])
            at_level = np.searchsorted(np.cumsum(weight[order]), (0.1, 0.3, 0.5, 0.7, 0.9))
            below = (own[:, j, None] < exact[order[at_level], j]).mean(axis=0)
            np.testing.assert_allclose(below, (0.1, 0.3, 0.5, 0.7, 0.9), atol=tolerance)
    if factors == "moving":
        for name in ("log_multiplier_next", "factor_mixing_next"):
            assert len(np.unique(period.multipliers[name])) > N / 2
        size = np.log(multiplier[:, 0])
        moved = period.multipliers
        own = moved["log_multiplier_next"] - 0.5 * np.log(moved["factor_mixing_next"])
        assert own.mean() == pytest.approx(weight @ size, abs=0.05)


def test_halves_of_the_paths_share_nothing_of_the_period(tiny_model, tiny_panel, tiny_truth, rng):
    """With one parameter value the means of the two halves of the paths are unrelated over draws."""
    n = 600
    p = {k: np.broadcast_to(v, (n, *np.shape(v))) for k, v in tiny_truth.items()}
    p |= {"factors": np.zeros((n, 36, 2)), "factors_next": 0.05 * rng.standard_normal((n, 2))}
    p["evidence_return"] = 0.01 * rng.standard_normal((n, 2))
    data = model_data(tiny_model, tiny_panel, future=True)
    made = paths_given_evidence(
        tiny_model, p, p["factors"][:, -1:], data, tiny_panel, EVIDENCE, n_paths=8, rng=rng
    )
    assert made.redrawn
    x = made.log_returns[:, :, 0].mean(axis=2)  # (path, draw)
    half = np.arange(8) // 2 % 2
    first, second = x[half == 0].mean(axis=0), x[half == 1].mean(axis=0)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(n)
    # What is evident is that return in every path, within its error; pairs share it, and the period.
    assert np.abs(np.expm1(made.log_returns[2:, :, 0, 0]) - 0.04).mean() < 0.02
    np.testing.assert_array_equal(made.log_returns[0, :, 0, [0, 5]], made.log_returns[1, :, 0, [0, 5]])
    single = paths_given_evidence(
        tiny_model, p, p["factors"][:, -1:], data, tiny_panel, EVIDENCE, n_paths=2, rng=rng
    )
    assert not single.redrawn
    np.testing.assert_allclose(single.log_returns[0, :, 0, [0, 5]].T, p["evidence_return"], rtol=1e-6)
