"""Updates of the mixing variables and of the mean, S1 to S3, against their densities.

How each is held to its density: ``density_cases``.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from density_cases import (
    assert_current,
    assert_gamma,
    run_from,
    vector,
    with_vector,
    world,
)
from drivers import (
    GROUPS,
    LAPLACE_NOISE,
    Chain,
    N,
    Script,
    T,
    U,
    after,
    assert_draws_normal,
    assert_invariant,
    assert_slice,
    integrated,
    make_spec,
    make_values,
    moved,
    normal_law,
    updates,
)
from reference import all_returns, log_joint, log_noise_scale
from scipy import stats
from scipy.interpolate import CubicSpline

# -- S1: mixing variables of the returns --------------------------------------------------------------------


def test_u_of_the_returns():
    spec, p = world()
    seen = np.isfinite(all_returns(spec, p))
    assert (after(spec, p, Script(), U.draw_mixing)["u"][~seen] == 0).all()
    assert_gamma(spec, p, U.draw_mixing, "u", list(zip(*np.nonzero(seen), strict=True)))


@pytest.mark.long
def test_u_of_the_returns_with_laplace_noise():
    """Draws of every cell against the density on a grid: Kolmogorov and Smirnov, in the logarithm of u."""
    spec, p = world(**LAPLACE_NOISE)
    seen = np.isfinite(all_returns(spec, p))
    chain, rng = Chain(spec, p), np.random.default_rng(1)
    draws = np.empty((1500, T, N))
    for x in draws:
        U.draw_mixing(rng, chain.data, chain.state, chain.scratch)
        x[:] = chain.state.u.T
    assert (draws[:, ~seen] == 0).all()
    assert len(np.unique(spec.period_weights)) > 3
    for cell in zip(*np.nonzero(seen), strict=True):
        x = np.log(draws[:, *cell])
        grid = np.linspace(x.min() - 3, x.max() + 3, 100)
        log_p = [log_joint(spec, moved(p, "u", cell, math.exp(v))) + v for v in grid]
        fine = np.linspace(grid[0], grid[-1], 4000)
        density = np.exp(CubicSpline(grid, log_p)(fine) - max(log_p))
        cdf = np.cumsum(density) / density.sum()
        found = stats.kstest(x, lambda v, cdf=cdf, fine=fine: np.interp(v, fine, cdf))
        assert found.pvalue > 1e-4, (cell, found)


def test_u_of_laplace_noise_close_to_a_residual_of_zero():
    """Its law there is Levy's, up to the bound on u sigma^2; nothing overflows or hangs at any residual."""
    spec, p = world(**LAPLACE_NOISE)
    chain, rng = Chain(spec, p), np.random.default_rng(2)
    s = chain.data.returns.weight * np.sqrt(chain.scratch.noise.precision)
    bound = 1e8 * chain.scratch.noise.precision
    seen = chain.data.returns.seen > 0
    for e in (0.0, 1e-300, 1e-30, 1e-12, 1e-6):
        chain.scratch.residuals[:] = e
        u = np.empty((300, *s.shape))
        for x in u:
            U.draw_mixing(rng, chain.data, chain.state, chain.scratch)
            x[:] = chain.state.u
        assert (u[:, seen] > 0).all()
        assert (u <= bound * (1 + 1e-12)).all()
        ratio = (u / np.where(seen, s, 1.0) ** 2)[:, seen].ravel()
        assert stats.kstest(ratio, stats.levy.cdf).pvalue > 1e-4
    for e in (1e3, 1e150, math.inf, math.nan):
        chain.scratch.residuals[:] = e
        U.draw_mixing(rng, chain.data, chain.state, chain.scratch)
        mean = np.where(seen, s / e, 0.0)
        if e < math.inf:  # the larger phi = s |e|, the closer to its mean
            spread = np.where(seen, 1.0 / np.sqrt(s * e, where=seen, out=np.ones_like(s)), 1.0)
            assert (np.abs(chain.state.u - mean) <= (6 * spread + 1e-12) * mean).all()


def test_bound_of_u_with_laplace_noise():
    """At a residual of 0, u sigma^2 is the square of weight over normal number, drawn anew above 1e8."""
    spec, p = world(**LAPLACE_NOISE)
    chain, z = Chain(spec, p), math.sqrt(0.5e-8)
    chain.scratch.residuals[:] = 0.0
    U.draw_mixing(Script([z] * 6 + [0.5]), chain.data, chain.state, chain.scratch)
    weight = spec.period_weights[:6]
    assert (weight[:5] ** 2 / z**2 < 1e8).all()
    assert 1 / z**2 > 1e8
    assert weight[5] ** 2 / z**2 > 1e8
    expected = weight**2 / np.array([z, z, z, z, z, 0.5]) ** 2
    found = chain.state.u[0, :6] / chain.scratch.noise.precision[0, :6]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_u_of_normal_noise_is_the_weighted_precision():
    spec, p = world(normal=True)
    chain = Chain(spec, p)
    chain.state.u[:] = -1.0
    U.draw_mixing(Script(), chain.data, chain.state, chain.scratch)
    weight = np.where(np.isfinite(spec.returns), spec.period_weights[:, None], 0.0)
    np.testing.assert_allclose(chain.state.u.T, weight * np.exp(-2 * log_noise_scale(spec, p)), rtol=1e-12)


# -- S2, S3: the mean ---------------------------------------------------------------------------------------


mean_hierarchies = updates("refresh_information", "draw_mean_hierarchies")
mean_coefficients = updates("refresh_information", "draw_mean_coefficients")


def mean_world(case, **parts):
    """One hierarchy first: that of the intercepts, or one of the two of the other effect."""
    spec, _ = world(**parts)
    alpha, rr = spec.mean
    if case == "group 1":
        rr = replace(rr, groups=1 - GROUPS)
    spec = make_spec(**parts, mean=(alpha, rr) if case == "alpha" else (rr, alpha))
    return spec, make_values(spec)


@pytest.mark.parametrize("case", ["alpha", "group 0", "group 1"])
def test_scale_and_location_of_a_mean_hierarchy_with_coefficients_integrated_out(case):
    spec, p = mean_world(case)
    name = "alpha" if case == "alpha" else "beta_rr"
    coefficients = ["alpha", "beta_rr"]

    def read(q):
        return math.log(q[f"sigma_{name}"][0, 0])

    def joint(x, q):
        """Of coefficients, and the location of the group where it is unknown."""
        new = with_vector(q, coefficients, x[: 2 * N])
        if name == "beta_rr":
            new = moved(new, "mu_beta_rr", (0, 0), x[-1])
        return log_joint(spec, new)

    def start(q):
        tail = [q["mu_beta_rr"][0, 0]] if name == "beta_rr" else []
        return np.append(vector(q, coefficients), tail)

    def density(log_sigma):
        q = moved(p, f"sigma_{name}", (0, 0), math.exp(log_sigma))
        return integrated(lambda x: joint(x, q), start(q), 0.05) + log_sigma

    def draw(rng):
        return read(after(spec, p, rng, mean_hierarchies))

    assert_slice(draw, density, read(p))
    if name == "beta_rr":
        ends = [after(spec, p, Script([z], [0.6]), mean_hierarchies) for z in (0.0, 1.0)]
        assert read(ends[0]) == read(ends[1])
        q = moved(p, "sigma_beta_rr", (0, 0), math.exp(read(ends[0])))
        mean, covariance = normal_law(lambda x: joint(x, q), start(q), 0.05)
        found = [q["mu_beta_rr"][0, 0] for q in ends]
        assert found[0] == pytest.approx(mean[-1], rel=1e-6)
        assert found[1] - found[0] == pytest.approx(math.sqrt(covariance[-1, -1]), rel=1e-6)


@pytest.mark.long
def test_draws_of_the_scale_of_the_intercepts():
    spec, p = mean_world("alpha", normal=True)

    def density(log_sigma):
        q = moved(p, "sigma_alpha", (0, 0), math.exp(log_sigma))
        names = ["alpha", "beta_rr"]
        f = lambda x: log_joint(spec, with_vector(q, names, x))  # noqa: E731
        return integrated(f, vector(q, names), 0.05) + log_sigma

    grid = np.linspace(-15, -1.5, 40)
    draw = run_from(spec, p, mean_hierarchies, "sigma_alpha", (0, 0), log=True)
    assert_invariant(draw, density, grid)


@pytest.mark.parametrize("parts", [{}, {"normal": True}, LAPLACE_NOISE], ids=["student", "normal", "laplace"])
def test_mean_coefficients(parts):
    spec, p = world(**parts)
    names = ["alpha", "beta_rr"]
    law = normal_law(lambda x: log_joint(spec, with_vector(p, names, x)), vector(p, names), 0.05)
    assert_draws_normal(lambda z: vector(after(spec, p, Script(z), mean_coefficients), names), law, 2 * N)
    chain = Chain(spec, p)
    chain.run(Script(), mean_coefficients)
    assert_current(chain)


@pytest.mark.parametrize("name", ["alpha", "beta_rr"])
def test_mixing_variables_of_the_mean_coefficients(name):
    spec, p = world()
    assert_gamma(spec, p, U.draw_mean_mixing, f"mix_{name}", [(i, 0) for i in range(N)])
