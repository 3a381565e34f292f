"""Paths of assets' volatilities with residuals integrated out (eq. S43), against the joint density."""

import math

import numpy as np
import pytest
from density_cases import assert_current
from drivers import LEAST, Chain, K, N, Script, T, U, moved, patched, plain
from path_cases import BOTH, assert_moments, long, world
from reference import expected_returns
from scipy import stats


@pytest.fixture
def every_asset():
    """The update visits all assets that it is for, not a random half."""
    with patched("_SHARE", 1.0):
        yield


def collapsed_world(**parts):
    """Specification, values and what the others know of the first asset: dense algebra, day by day."""
    spec, p = world(**BOTH, **parts)
    i, w = 0, p["loadings"][0]
    e = np.where(np.isfinite(spec.returns), spec.returns - expected_returns(spec, p), 0.0)
    chain = Chain(spec, p)
    precision, mean = np.empty((T, K)), np.empty((T, K))
    for k in range(K):
        plain("updates.factor_days").set_day_prior(
            chain.state.factor_volatility, k, p["factor_scale"][k], mean[:, k], precision[:, k]
        )
    u = chain.state.u.T
    variance, gap, direction = np.empty(T), np.empty(T), np.empty((T, K))
    others = [r for r in range(N) if r != i]
    for t in range(T):
        a = np.diag(precision[t]) + (w[others].T * u[t, others]) @ w[others]
        g = w[others].T @ (u[t, others] * e[t, others]) - precision[t] * (p["factors"][t] - mean[t])
        variance[t] = w[i] @ np.linalg.solve(a, w[i])
        gap[t] = w[i] @ np.linalg.solve(a, g)
        direction[t] = np.linalg.solve(a, w[i]) / variance[t]
    return spec, p, e, variance, gap, direction


@pytest.mark.usefixtures("every_asset")
def test_what_others_know_of_an_asset():
    spec, p, _, variance, gap, direction = collapsed_world()
    chain = Chain(spec, p)
    chain.scratch.tuning.leverage[1:] = 0.0
    seen = []
    module = plain("updates.collapsed_path")
    original = module.draw_states

    def watched(rng, own, *rest):
        seen.append((own.variance.copy(), own.centre.copy(), own.log_variance.copy(), own.direction.copy()))
        original(rng, own, *rest)

    module.draw_states = watched
    try:
        chain.run(Script(), U.draw_collapsed_paths)
    finally:
        module.draw_states = original
    (found, centre, log_variance, moved_along) = seen[0]
    e = spec.returns[:, 0] - expected_returns(spec, p)[:, 0]
    np.testing.assert_allclose(found, variance, rtol=1e-9)
    np.testing.assert_allclose(centre, e - gap, rtol=1e-9)
    np.testing.assert_allclose(moved_along.T, direction, rtol=1e-9)
    np.testing.assert_allclose(
        np.exp(log_variance + 2 * p["volatility_state"][:, 0]), 1 / p["u"][:, 0], rtol=1e-9
    )
    # the likelihood is that of the return given all others
    value = module.collapsed_value(
        chain.scratch.collapsed._replace(variance=found, centre=centre, log_variance=log_variance),
        p["volatility_state"][:, 0],
        0.3,
        0,
        T,
        np.ones(T),
    )
    total = variance + math.exp(0.6) / p["u"][:, 0]
    expected = stats.norm.logpdf(e - gap, 0.0, np.sqrt(total)).sum() + 0.5 * T * math.log(2 * math.pi)
    assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.usefixtures("every_asset")
@pytest.mark.parametrize("parts", [{}, {"normal": True}, LEAST], ids=["student", "normal", "least"])
def test_collapsed_paths_keep_all_current(parts):
    """Residuals, factors, u and noise precisions fit one another; xi = u sigma^2 and other days stay."""
    spec, p = world(**BOTH, **parts)
    chain = Chain(spec, p)
    xi = chain.state.u / chain.scratch.noise.precision
    q = chain.run(np.random.default_rng(3), U.draw_collapsed_paths)
    assert_current(chain)
    seen = np.isfinite(spec.returns).T
    np.testing.assert_allclose((chain.state.u / chain.scratch.noise.precision)[seen], xi[seen], rtol=1e-9)
    assert (chain.state.u[~seen] == 0).all()
    assert (q["theta"] != p["theta"]).any()
    np.testing.assert_array_equal(q["loadings"], p["loadings"])


@pytest.mark.usefixtures("every_asset")
def test_collapsed_paths_leave_noise_below_all_digits_alone():
    """Precisions of others are a difference, of which nothing is left: no factor becomes nan."""
    spec, p = world(**BOTH)
    far = moved(p, "u", (3, 0), 1e15)
    chain = Chain(spec, far)
    chain.scratch.tuning.leverage[1:] = 0.0
    q = chain.run(np.random.default_rng(3), U.draw_collapsed_paths)
    for name in ("factors", "volatility_state", "theta", "u"):
        np.testing.assert_array_equal(q[name], far[name], err_msg=name)
    module = plain("updates.collapsed_path")
    near = collapsed_at(module, spec, p, -0.5 * math.log(1e-9))
    assert module.collapsed_value(*near, 0, T, np.ones(T)) == -math.inf


def collapsed_at(module, spec, p, down):
    """Scratch memory of the first asset, its path far down, and no shift."""
    _, _, e, variance, gap, _ = collapsed_world()
    own = Chain(spec, p).scratch.collapsed
    own = own._replace(variance=variance, centre=e[:, 0] - gap, log_variance=np.log(variance))
    return own, np.full(T, -down - 0.1), 0.0


@pytest.mark.long
@pytest.mark.usefixtures("every_asset")
@pytest.mark.parametrize(
    ("block", "least", "n_draws"),
    [*long((2, {}, 2000), (100, {}, 2000), (100, LEAST, 2000)), (2, {}, 900), (100, LEAST, 900)],
)
def test_collapsed_paths_have_the_moments_of_the_joint_density(block, least, n_draws):
    """Of one asset: states, level and common return of each day, against weighted draws of their prior."""
    spec, p, _, variance, gap, _ = collapsed_world(**least)
    w, centre = p["loadings"][0, 0], (spec.returns - expected_returns(spec, p))[:, 0] - gap
    rng = np.random.default_rng(6)
    chain, draws = Chain(spec, p), []
    common = p["factors"] @ w
    with patched("_BLOCK", block):
        for _ in range(n_draws):
            chain.scratch.tuning.leverage[1:] = 0.0
            q = chain.run(rng, U.draw_collapsed_paths)
            draws.append(np.r_[q["volatility_state"][:, 0], q["theta"][0, 0], q["factors"] @ w - common])
    draws, n = np.array(draws), 30_000
    phi, sd = 1 / (1 + np.exp(-p["logit_phi"][0])), np.exp(p["log_volatility_sd"][0])
    v = np.empty((n, T))
    v[:, 0] = sd / np.sqrt(1 - phi**2) * rng.standard_normal(n)
    for t in range(1, T):
        v[:, t] = phi * v[:, t - 1] + sd * rng.standard_normal(n)
    theta = p["mu_theta"][0, 0] + p["sigma_theta"][0, 0] * rng.standard_t(7.0, n)
    low = least.get("least", 0.0)
    up = np.log(low + np.exp(theta)) - math.log(low + math.exp(p["theta"][0, 0]))
    change = v - p["volatility_state"][:, 0] + up[:, None]
    noise = np.exp(2 * change) / p["u"][:, 0]
    log_weight = stats.norm.logpdf(centre, 0.0, np.sqrt(noise + variance)).sum(axis=1)
    share = noise / (noise + variance)
    e = share * centre + np.sqrt(share * variance) * rng.standard_normal((n, T))
    known = np.concatenate([v, theta[:, None], centre + gap - e], axis=1)
    assert_moments(draws, known, log_weight, least=1000, correlated=10)


@pytest.mark.parametrize(("centre", "variance", "sd"), [(9.0, 0.01, 0.8), (20.0, 0.1, 1.0)])
def test_a_state_is_accepted_as_its_law_says_where_what_is_proposed_is_far_off(centre, variance, sd):
    """One state beside an outlier, whose normal proposal is so poor that only half of them are taken."""
    spec, p = world(**BOTH)
    module, chain, phi = plain("updates.collapsed_path"), Chain(spec, p), 0.5
    own = chain.scratch.collapsed._replace(
        variance=np.full(T, variance), centre=np.full(T, centre), log_variance=np.zeros(T)
    )
    rng, path, draws, moves = np.random.default_rng(4), np.zeros(1), np.empty(2500), np.zeros(2)
    for j in range(len(draws)):
        module.draw_states(rng, own, chain.scratch.volatility_path, path, phi, sd, np.ones(1), moves)
        draws[j] = path[0]
    x = np.linspace(-8, 8, 4001)
    law = stats.norm.pdf(centre, 0.0, np.sqrt(variance + np.exp(2 * x)))
    law = law * stats.norm.pdf(x, 0.0, sd / math.sqrt(1 - phi**2))
    mean = np.average(x, weights=law)
    assert 0.4 < moves[0] / moves[1] < 0.7
    assert draws.mean() == pytest.approx(mean, abs=0.06)
    assert draws.std() == pytest.approx(math.sqrt(np.average((x - mean) ** 2, weights=law)), abs=0.04)


def test_collapsed_paths_visit_a_random_half():
    """And of those that it is for alone: each about half of the times, the others never."""
    spec, p = world(**BOTH)
    rng, visits = np.random.default_rng(9), np.zeros(N)
    for _ in range(60):
        chain = Chain(spec, p)
        chain.scratch.tuning.leverage[3] = 0.0
        q = chain.run(rng, U.draw_collapsed_paths)
        visits += q["theta"][:, 0] != p["theta"][:, 0]
    assert (np.abs(visits[:3] - 30) < 15).all()
    assert visits[3] == 0
