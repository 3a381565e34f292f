"""Every update of the sampler against the density that docs/sampler.md gives it, from one joint density.

Four kinds of question, by what an update is made of.

*Normal draws* are linear in their normal numbers: numbers 0 and 1 give mean and covariance, which must be
those of the joint density, whose Hessian is exact by differences because it is quadratic.
*Gamma draws* have a shape and a rate, which a gamma variate put in by hand shows.
*Slices and Metropolis steps* accept a proposal or not: with the level of the slice, or the uniform number of
the step, just below and just above what the joint density says, they must do the one and the other.
*What has one dimension* is also run from draws of its density, and must leave them draws from it.
"""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drivers import (
    ASSET_PATHS,
    BLOCKS,
    EQUAL_WEIGHTS,
    EVIDENCE,
    FACTOR_PATHS,
    GROUPS,
    KNOWN,
    KNOWN_PATH,
    LAPLACE_NOISE,
    LATENT,
    LEAST,
    MOMENTUM,
    NO_LAGS,
    PREMIUM,
    REGRESSION,
    STUDENT,
    Chain,
    K,
    N,
    Script,
    T,
    U,
    after,
    assert_draws_normal,
    assert_invariant,
    assert_metropolis,
    assert_slice,
    integrated,
    make_spec,
    make_values,
    moved,
    normal_law,
    patched,
    plain,
    updates,
    without,
)
from reference import all_returns, expected_returns, log_joint, log_noise_scale
from scipy import integrate, stats
from scipy.interpolate import CubicSpline

from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T

SURE = 1.0 - 2.0**-53  # as a uniform number: the lowest level of a slice, or acceptance of nearly anything


def world(**parts):
    """A tiny problem: its specification and values of everything."""
    spec = make_spec(**parts)
    return spec, make_values(spec)


def with_vector(p, names, x):
    """Values with the arrays named replaced by the entries of a vector."""
    new, first = dict(p), 0
    for name in names:
        size = np.size(p[name])
        new[name] = np.reshape(x[first : first + size], np.shape(p[name]))
        first += size
    assert first == len(x)
    return new


def vector(p, names):
    """The arrays named as one vector."""
    return np.concatenate([np.ravel(p[name]) for name in names])


def skip(n_slices):
    """Uniform numbers with which slices come to an end after three of them: level, place and proposal."""
    return [SURE, 0.37, 0.52] * n_slices


def along(spec, p, update, name, index, *, log=False, prefix=(), normals=(), drop=()):
    """Update, density and value of one coordinate, on the log scale with ``log``.

    ``prefix`` are uniform numbers, and ``normals`` normal ones, that the update uses up before it comes to
    the coordinate; what it changes with them is part of what the density is given.
    """

    def read(q):
        x = q[name] if index is None else q[name][index]
        return math.log(x) if log else float(x)

    now = read(p)

    def draw(rng):
        rng.uniforms[:0] = list(prefix)
        rng.normals[:0] = list(normals)
        return read(after(spec, p, rng, update))

    given = without(p, *drop)

    def density(x):
        value = math.exp(x) if log else x
        return log_joint(spec, moved(given, name, index, value)) + (x if log else 0.0)

    return draw, density, now


def run_from(spec, p, update, name, index, *, log=False):
    """Update of one coordinate from any value, for ``assert_invariant``."""

    def draw(x, rng):
        q = after(spec, moved(p, name, index, math.exp(x) if log else x), rng, update)
        value = q[name] if index is None else q[name][index]
        return math.log(value) if log else float(value)

    return draw


def gamma_law(density):
    """Shape and rate of a gamma density, from three values of its logarithm."""
    one, two, four = (density(x) for x in (1.0, 2.0, 4.0))
    rate = two - one - (four - two)
    return (two - one + rate) / math.log(2.0) + 1.0, rate


def assert_gamma(spec, p, update, name, cells):
    """An update draws numbers by ``gamma_fill`` with the shapes and rates of the joint density."""

    def run(fill):
        with patched("gamma_fill", fill):
            return after(spec, p, Script(), update)[name]

    def ones(rng, out, shape):
        out[:] = 1.0

    def shapes(rng, out, shape):
        out[:] = shape

    inverse_rate, mean = run(ones), run(shapes)
    assert len(cells) > 3
    for cell in cells:
        shape, rate = gamma_law(lambda x, cell=cell: log_joint(spec, moved(p, name, cell, x)))
        assert inverse_rate[cell] == pytest.approx(1 / rate, rel=1e-7)
        assert mean[cell] == pytest.approx(shape / rate, rel=1e-7)


class Recorder:
    """In place of the update of a log scale: keeps the density that it is given, moves by a known step."""

    def __init__(self, *steps):
        self.steps, self.calls = list(steps), []

    def __call__(self, rng, start, a, b, c):
        self.calls.append((start, a, b, c))
        return start + (self.steps.pop(0) if self.steps else 0.1)


def assert_log_scale(call, density, now):
    """The density a x - b exp(2 x) - c exp(-2 x) of a call is ``density``, up to a constant."""
    start, a, b, c = call
    assert start == pytest.approx(now, abs=1e-12)

    def found(x):
        return a * x - b * math.exp(2 * x) - c * math.exp(-2 * x)

    for shift in (-0.7, 0.4):
        expected = density(now + shift) - density(now)
        assert found(start + shift) - found(start) == pytest.approx(expected, rel=1e-8, abs=1e-8)


def assert_current(chain):
    """What the chain keeps along is that of its values: residuals, noise precisions, band of the path."""
    w, fresh = chain.scratch, Chain(chain.spec, chain.values()).scratch
    np.testing.assert_allclose(w.residuals, fresh.residuals, atol=1e-12)
    np.testing.assert_allclose(w.noise.precision, fresh.noise.precision, rtol=1e-10)
    np.testing.assert_allclose(w.path.band, fresh.path.band, rtol=1e-10)


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


# -- S4 to S7: loadings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("relax", [0.0, 0.8])
@pytest.mark.parametrize(
    "parts", [PREMIUM, BLOCKS, KNOWN, KNOWN_PATH], ids=["static", "blocks", "characteristics", "both"]
)
def test_loadings(parts, relax):
    spec, p = world(**parts)
    law = normal_law(lambda x: log_joint(spec, with_vector(p, ["loadings"], x)), np.ravel(p["loadings"]), 0.5)

    def draw(z):
        return np.ravel(after(spec, p, Script(z), U.draw_loadings, relax=relax)["loadings"])

    assert_draws_normal(draw, law, p["loadings"].size, relax=relax, start=np.ravel(p["loadings"]))
    chain = Chain(spec, p)
    chain.run(Script(), U.draw_loadings)
    assert_current(chain)


@pytest.mark.parametrize(
    "parts", [{}, BLOCKS, KNOWN, KNOWN_PATH], ids=["static", "blocks", "characteristics", "both"]
)
def test_mixing_variables_of_the_loadings(parts):
    spec, p = world(**parts)
    cells = [(i, k) for i in range(N) for k in range(K)]
    assert_gamma(spec, p, U.draw_loading_mixing, "mix_loadings", cells)


@pytest.mark.parametrize("parts", [KNOWN, KNOWN_PATH], ids=["constant", "moving"])
def test_slopes_on_characteristics_and_their_scale(parts):
    spec, p = world(**parts)
    names = ["loading_slopes"]
    law = normal_law(lambda x: log_joint(spec, with_vector(p, names, x)), vector(p, names), 0.5)
    record = Recorder()
    with patched("draw_log_scale", record):
        assert_draws_normal(
            lambda z: vector(after(spec, p, Script(z), U.draw_loading_slopes), names), law, 2 * K
        )
        record.calls.clear()
        q = after(spec, p, Script(), U.draw_loading_slopes)

    def density(x):
        return log_joint(spec, q | {"sigma_loadings": math.exp(x)}) + x

    assert_log_scale(record.calls[0], density, math.log(p["sigma_loadings"]))
    assert q["sigma_loadings"] == pytest.approx(p["sigma_loadings"] * math.exp(0.1))


def test_slopes_on_characteristics_that_the_loadings_follow():
    """One normal draw a factor, with what characteristics leave of the loadings held fixed."""
    spec, p = world(**KNOWN_PATH)

    def follow(q, k, slopes):
        new = moved(q, "loading_slopes", (slice(None), k), slopes)
        change = spec.characteristics.values @ (slopes - q["loading_slopes"][:, k])
        return moved(new, "loadings", (..., k), q["loadings"][..., k] + change)

    z = np.random.default_rng(3).standard_normal((K, 2))
    q = p
    for k in range(K):
        f = lambda x, q=q, k=k: log_joint(spec, follow(q, k, x))  # noqa: E731
        q = follow(q, k, replay_normal(f, q["loading_slopes"][:, k], z[k], 0.1, 0.0))
    chain = Chain(spec, p)
    found = chain.run(Script(z.ravel()), U.move_loading_slopes)
    assert_current(chain)
    for name in ("loadings", "loading_slopes"):
        np.testing.assert_allclose(found[name], q[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("parts", [BLOCKS, KNOWN_PATH], ids=["blocks", "characteristics"])
def test_drift_of_the_loadings(parts):
    spec, p = world(**parts)
    with patched("draw_log_scale", record := Recorder()):
        q = after(spec, p, Script(), U.draw_drift)
    unit = math.log(spec.loading_blocks.unit)

    def density(x):
        return log_joint(spec, p | {"loading_drift": math.exp(x - unit)}) + x

    assert_log_scale(record.calls[0], density, math.log(p["loading_drift"]) + unit)
    assert q["loading_drift"] == pytest.approx(p["loading_drift"] * math.exp(0.1))


@pytest.mark.parametrize(
    ("name", "parts"),
    [("loading_drift", BLOCKS), ("loading_drift", KNOWN_PATH), ("sigma_loadings", KNOWN_PATH)],
    ids=["drift", "drift around characteristics", "first block"],
)
def test_scales_of_the_loadings_with_what_they_multiply_held_fixed(name, parts):
    """One normal draw; what is below 0 turns the sign of what is multiplied."""
    spec, p = world(**parts)
    first = name == "sigma_loadings"
    update = U.rescale_loading_rest if first else U.rescale_drift

    def follow(x):
        """Values with the scale x, of either sign; its prior is as wide on both sides."""
        known = spec.characteristics
        around = known.values @ p["loading_slopes"] if known else np.zeros_like(p["loadings"])
        rest = p["loadings"] - around
        start = np.repeat(rest[:1], len(rest), axis=0)
        walk = rest - start
        more = x / p[name]
        rest = more * start + walk if first else start + more * walk
        return p | {name: abs(x), "loadings": rest + around}

    def density(x):
        """Log density in what is held fixed: that of the multiplied ones does not count."""
        q = follow(float(x[0]))
        n = p["loadings"][0].size * (1 if first else len(p["loadings"]) - 1)
        return log_joint(spec, q) + n * math.log(q[name])

    law = normal_law(density, np.array([p[name]]), 0.1 * p[name])
    for z in (0.0, 1.3, -1.3, -(law[0][0] + 0.1) / math.sqrt(law[1][0, 0])):
        chain = Chain(spec, p)
        found = chain.run(Script([z]), update)
        expected = follow(law[0][0] + math.sqrt(law[1][0, 0]) * z)
        for x in (name, "loadings"):
            np.testing.assert_allclose(found[x], expected[x], rtol=1e-6, atol=1e-9)
        assert_current(chain)
    assert expected["loadings"][-1, 0, 0] != pytest.approx(p["loadings"][-1, 0, 0])


# -- S8, S9: factors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("relax", [0.0, 0.8])
@pytest.mark.parametrize(
    "parts",
    [PREMIUM | LATENT | STUDENT, NO_LAGS | REGRESSION, BLOCKS | EVIDENCE | STUDENT],
    ids=["ar1", "none", "blocks"],
)
def test_factor_path(parts, relax):
    spec, p = world(**parts)
    law = normal_law(lambda x: log_joint(spec, with_vector(p, ["factors"], x)), np.ravel(p["factors"]), 0.1)

    def draw(z):
        q = after(spec, p, Script(z), U.draw_factor_path, relax=relax)
        return np.ravel(q["factors"])

    assert_draws_normal(draw, law, T * K, relax=relax, start=np.ravel(p["factors"]))


def replay_normal(f, x, z, steps, relax=0.0):
    """Value of a normal vector drawn from exp(f) with standard normal numbers z, over-relaxed."""
    gradient, hessian = _newton(f, x, steps)
    root = np.linalg.cholesky(-hessian)
    step = np.linalg.solve(-hessian, gradient)
    return x + (1 + relax) * step + math.sqrt(1 - relax**2) * np.linalg.solve(root.T, z)


def _newton(f, x, steps):
    mean, covariance = normal_law(f, x, steps)
    precision = np.linalg.inv(covariance)
    return precision @ (mean - x), -precision


@pytest.mark.parametrize("relax", [0.0, 0.8])
@pytest.mark.parametrize(
    "parts", [MOMENTUM | PREMIUM | REGRESSION, MOMENTUM | BLOCKS | STUDENT], ids=["premium", "blocks"]
)
def test_factor_path_by_period(parts, relax):
    spec, p = world(**parts)
    z = np.random.default_rng(3).standard_normal((T, K))
    q = p
    for t in range(T):
        f = lambda x, q=q, t=t: log_joint(spec, moved(q, "factors", t, x))  # noqa: E731
        q = moved(q, "factors", t, replay_normal(f, q["factors"][t], z[t], 0.1, relax))
    found = after(spec, p, Script(z.ravel()), U.draw_factor_periods, relax=relax)
    np.testing.assert_allclose(found["factors"], q["factors"], rtol=1e-6, atol=1e-9)


# -- S10, S11: orbits ---------------------------------------------------------------------------------------


def turn(spec, p, k, *, path=1.0, scale=1.0, loadings=1.0):
    """Values with the path of factor k and its mean, its scale, and its loadings multiplied by numbers."""
    q = {name: np.array(x) if isinstance(x, np.ndarray) else x for name, x in p.items()}
    q["factors"][:, k] *= path
    q["factor_scale"][k] *= scale
    q["loadings"][:, :, k] *= loadings
    if "premium" in p:
        q["premium"][k] *= path / scale
    if "loading_slopes" in p:
        q["loading_slopes"][:, k] *= loadings
    return q


def shear(p, k, j, a):
    """Factor k and its mean plus a times factor j, loadings on j less a times those on k."""
    q = {name: np.array(x) if isinstance(x, np.ndarray) else x for name, x in p.items()}
    q["factors"][:, k] += a * p["factors"][:, j]
    if "premium" in p:
        q["premium"][k] += a * p["premium"][j] * p["factor_scale"][j] / p["factor_scale"][k]
    for name in ("loadings", "loading_slopes"):
        if name in p:
            q[name][..., j] -= a * p[name][..., k]
    return q


def shift(p, k, a):
    """Factor k, or its mean if it has one, plus a; intercepts less a times the loadings on it."""
    q = {name: np.array(x) if isinstance(x, np.ndarray) else x for name, x in p.items()}
    if "premium" in p:
        q["premium"][k] += a / p["factor_scale"][k]
    else:
        q["factors"][:, k] += a
    q["alpha"][:, 0] -= a * p["loadings"][0][:, k]
    return q


def shift_mean(p, k, a):
    """Mean of factor k plus a, the factor with its mean unchanged."""
    q = {name: np.array(x) if isinstance(x, np.ndarray) else x for name, x in p.items()}
    q["premium"][k] += a / p["factor_scale"][k]
    q["factors"][:, k] -= a
    return q


ORBITS = {
    "plain": {},
    "premium": PREMIUM | LATENT,
    "characteristics": KNOWN | NO_LAGS,
    "blocks": BLOCKS | MOMENTUM | STUDENT,
    "moving characteristics": KNOWN_PATH | PREMIUM,
    "all": PREMIUM | KNOWN | MOMENTUM,
}
orbits = pytest.mark.parametrize("parts", list(ORBITS.values()), ids=list(ORBITS))


def assert_replayed(spec, p, update, moves):
    """An update is a chain of normal draws, each along the orbit that one of ``moves`` makes of a number."""
    z = np.random.default_rng(4).standard_normal(len(moves))
    chain = Chain(spec, p)
    found, expected = chain.run(Script(z), update), p
    for number, (move, scale) in zip(z, moves, strict=True):
        f = lambda x, q=expected, move=move: log_joint(spec, move(q, x[0]))  # noqa: E731
        a = replay_normal(f, np.zeros(1), np.array([number]), scale)[0]
        expected = move(expected, float(a))
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-6, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(expected_returns(spec, found), expected_returns(spec, p), rtol=1e-9)
    assert_current(chain)


@orbits
def test_shears(parts):
    spec, p = world(**parts)
    moves = [(lambda q, a, k=k, j=j: shear(q, k, j, a), 0.5) for k in range(K) for j in range(K) if j != k]
    assert_replayed(spec, p, U.shear_factors, moves)


@orbits
def test_scales_of_factors_against_loadings(parts):
    spec, p = world(**parts)
    steps = [0.13, -0.2, 0.08, -0.11, 0.17, 0.05]
    record = Recorder(*steps)
    chain = Chain(spec, p)
    with patched("draw_log_scale", record):
        found = chain.run(Script(), U.rescale_factors)
    assert_current(chain)
    has_mean, calls, q = "premium" in p, iter(record.calls), p
    n_loadings = p["loadings"][..., 0].size + (p["loading_slopes"][:, 0].size if "loading_slopes" in p else 0)
    for k in range(K):
        moves = (
            # Jacobians in the coordinates of the joint density, in which the premium is over the scale
            (lambda c: {"path": c, "loadings": 1 / c}, T + has_mean - n_loadings, 0.0),
            (lambda c: {"scale": c}, 1 - has_mean, math.log(p["factor_scale"][k])),
            (lambda c: {"path": c, "scale": c, "loadings": 1 / c}, T + 1 - n_loadings, 0.0),
        )
        for i, (move, power, now) in enumerate(moves):

            def density(x, q=q, k=k, move=move, power=power, now=now):
                return log_joint(spec, turn(spec, q, k, **move(math.exp(x - now)))) + power * (x - now)

            assert_log_scale(next(calls), density, now)
            q = turn(spec, q, k, **move(math.exp(steps[3 * k + i])))
    for name, x in q.items():
        np.testing.assert_allclose(found[name], x, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    "parts", [{}, PREMIUM | LATENT, KNOWN | MOMENTUM | STUDENT], ids=["plain", "premium", "momentum"]
)
def test_shifts_against_intercepts(parts):
    spec, p = world(**parts)
    moves = [(lambda q, a, k=k: shift(q, k, a), 0.05) for k in range(K)]
    assert_replayed(spec, p, U.shift_factors, moves)


@pytest.mark.parametrize(
    "parts", [LATENT, NO_LAGS | STUDENT, MOMENTUM | KNOWN], ids=["latent", "none", "momentum"]
)
def test_premia(parts):
    spec, p = world(**parts, **PREMIUM)
    moves = [(lambda q, a, k=k: shift_mean(q, k, a), 0.05) for k in range(K)]
    assert_replayed(spec, p, U.draw_premia, moves)


# -- S12, S13: autoregression -------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [LATENT, STUDENT], ids=["latent", "student"])
def test_rho_of_an_ar1(parts):
    spec, p = world(**parts, **PREMIUM)

    def propose(x, normals, uniforms):
        q = after(spec, p | {"rho": float(x[0])}, Script(normals, uniforms), U.draw_rho)
        return np.array([q["rho"]])

    def density(x):
        return log_joint(spec, p | {"rho": float(x[0])})

    directions = np.array([[0.9], [-1.4], [0.3], [1.8], [-0.5]])
    tried = list(
        assert_metropolis(
            propose, density, np.array([p["rho"]]), directions=directions, accept_uniform=lambda u: [u]
        )
    )
    assert len(tried) >= 1
    grid = np.linspace(-1, 1, 102)[1:-1]
    assert_invariant(run_from(spec, p, U.draw_rho, "rho", None), lambda x: density([x]), grid, bounded=True)


@pytest.mark.parametrize("name", ["rho", "beta_momentum"])
def test_rho_and_beta_of_momentum(name):
    spec, p = world(**MOMENTUM, **REGRESSION, **PREMIUM, **STUDENT)
    update, prefix, given = U.draw_lag_coefficients, [], p
    if name == "beta_momentum":
        prefix = [SURE, 0.6]  # level and first proposal of rho
        given = p | {"rho": after(spec, p, Script(uniforms=prefix), update)["rho"]}
        assert given["rho"] != p["rho"]
    draw, _, now = along(spec, p, update, name, None, prefix=prefix)

    def density(x):
        return log_joint(spec, given | {name: x})

    assert_slice(draw, density, now)
    if name == "rho":
        edge = 1 - 2 * abs(p["beta_momentum"])
        grid = np.linspace(-edge, edge, 103)[1:-1]
        assert_invariant(run_from(spec, p, update, name, None), density, grid, bounded=True)


# -- S30: Student-t factors ---------------------------------------------------------------------------------


def prepared(name):
    """An update that reads the innovations of the factors, with those brought up to date."""
    return updates("refresh_innovations", name)


STUDENTS = [STUDENT, STUDENT | NO_LAGS | REGRESSION, STUDENT | MOMENTUM | LATENT | PREMIUM]


@pytest.mark.parametrize("parts", STUDENTS, ids=["plain", "regression", "latent"])
def test_degrees_of_freedom_of_the_factors(parts):
    """Drawn with the mixing variables integrated out, whatever these are."""
    spec, p = world(**parts)
    update, drop = prepared("draw_factor_mixing"), ("factor_mixing",)
    draw, density, now = along(spec, p, update, "factor_nu", None, log=True, drop=drop)
    assert_slice(draw, density, now)
    other = p | {"factor_mixing": p["factor_mixing"][::-1]}
    one, two = (after(spec, q, Script(uniforms=[0.5]), update) for q in (p, other))
    assert one["factor_nu"] == pytest.approx(two["factor_nu"], rel=1e-12)
    if "rho" not in p:
        draws = run_from(spec, p, update, "factor_nu", None, log=True)
        assert_invariant(draws, density, np.linspace(-0.5, 3.7, 60))


@pytest.mark.parametrize(
    "parts", [*STUDENTS, STUDENT | EVIDENCE], ids=["plain", "scale", "latent", "evidence"]
)
def test_mixing_variables_of_the_factors(parts):
    spec, p = world(**parts)
    update = prepared("draw_factor_mixing")
    with patched("slice_update", lambda rng, density, args, now, width: now):
        assert_gamma(spec, p, update, "factor_mixing", [(t,) for t in range(T)])
    chain = Chain(spec, p)
    multiplier = Chain(spec, chain.run(Script(), update)).scratch.path.multiplier
    np.testing.assert_allclose(chain.scratch.path.multiplier, multiplier, rtol=1e-12)


# -- S14 to S18: scales over time ---------------------------------------------------------------------------


@pytest.mark.parametrize("j", [0, 1])
@pytest.mark.parametrize("parts", [{}, LATENT | STUDENT], ids=["alone", "latent"])
def test_slopes_of_the_factor_scales(parts, j):
    """Along each axis of the expected information in turn, in standard deviations by it."""
    spec, p = world(**REGRESSION, **MOMENTUM, **PREMIUM, **parts)
    update, x = prepared("draw_scale_slopes"), spec.scale_regression.features
    information = 2 * spec.n_factors * x.T @ x + np.eye(2) / spec.scale_regression.slope_sd**2
    axes = np.linalg.inv(np.linalg.cholesky(information))
    np.testing.assert_allclose(axes @ information @ axes.T, np.eye(2), atol=1e-12)

    def moves(q):
        return np.linalg.solve(axes.T, q["beta_mv"] - p["beta_mv"]).round(12)

    def draw(rng):
        rng.uniforms[:0] = skip(j)
        return float(moves(after(spec, p, rng, update))[j])

    before = moves(after(spec, p, Script(uniforms=skip(j)), update))[:j] @ axes[:j]

    def density(move):
        return log_joint(spec, p | {"beta_mv": p["beta_mv"] + before + move * axes[j]})

    assert_slice(draw, density, 0.0)
    if j == 0 and not parts:
        slope = run_from(spec, p, update, "beta_mv", 0)
        assert_invariant(
            slope,
            lambda b: log_joint(spec, moved(p, "beta_mv", 0, b)),
            np.linspace(-2.5, 2.5, 60),
        )


@pytest.mark.parametrize("t", [0, 3, T - 1])
@pytest.mark.parametrize("parts", [{}, REGRESSION | STUDENT], ids=["alone", "regression"])
def test_latent_multiplier_of_a_period(t, parts):
    spec, p = world(**LATENT, **PREMIUM, **parts)
    update = prepared("draw_h")
    q = after(spec, p, Script(uniforms=skip(t)), update)
    given = p | {"log_multiplier": np.where(np.arange(T) < t, q["log_multiplier"], p["log_multiplier"])}
    draw, _, now = along(spec, p, update, "log_multiplier", t, prefix=skip(t))

    def density(x):
        return log_joint(spec, moved(given, "log_multiplier", t, x))

    assert_slice(draw, density, now)
    if t == 0 and not parts:
        assert_invariant(run_from(spec, p, update, "log_multiplier", 0), density, np.linspace(-3, 3, 60))


def test_persistence_and_scale_of_the_latent_multiplier():
    spec, p = world(**LATENT)
    update = U.draw_phi

    def propose(x, normals, uniforms):
        return np.array([after(spec, p | {"phi": float(x[0])}, Script(normals, uniforms), update)["phi"]])

    def density(x):
        return log_joint(spec, p | {"phi": float(x[0])})

    record = Recorder()
    with patched("draw_log_scale", record):
        directions = np.array([[0.9], [-1.4], [0.3], [1.1], [-0.5]])
        start = np.array([p["phi"]])
        tried = assert_metropolis(
            propose, density, start, directions=directions, accept_uniform=lambda u: [u]
        )
        assert len(list(tried)) >= 1
        record.calls.clear()
        q = after(spec, p, Script([0.4], [SURE]), update)
    assert q["phi"] != p["phi"]
    assert_log_scale(
        record.calls[0],
        lambda x: log_joint(spec, q | {"sigma_log_multiplier": math.exp(x)}) + x,
        math.log(p["sigma_log_multiplier"]),
    )
    grid = np.linspace(-1, 1, 202)[1:-1]
    assert_invariant(run_from(spec, p, update, "phi", None), lambda x: density([x]), grid, bounded=True)


@pytest.mark.parametrize("parts", [{}, REGRESSION | STUDENT], ids=["alone", "regression"])
def test_rescaling_of_the_latent_multiplier(parts):
    spec, p = world(**LATENT, **parts)
    update = prepared("rescale_h")
    base = math.log(p["sigma_log_multiplier"])

    def at(x):
        c = math.exp(x - base)
        return p | {"sigma_log_multiplier": math.exp(x), "log_multiplier": c * p["log_multiplier"]}

    def density(x):
        return log_joint(spec, at(x)) + (T + 1) * x

    def draw(rng):
        q = after(spec, p, rng, update)
        c = q["sigma_log_multiplier"] / p["sigma_log_multiplier"]
        np.testing.assert_allclose(q["log_multiplier"], c * p["log_multiplier"], rtol=1e-12)
        return math.log(q["sigma_log_multiplier"])

    assert_slice(draw, density, base)
    assert_invariant(
        lambda x, rng: math.log(after(spec, at(x), rng, update)["sigma_log_multiplier"]),
        density,
        np.linspace(-12, 2, 80),
    )


@pytest.mark.parametrize("parts", [{}, PREMIUM | STUDENT], ids=["plain", "premium"])
def test_shift_of_the_latent_multiplier_against_the_factor_scales(parts):
    spec, p = world(**LATENT, **parts)
    update = U.shift_h

    def at(c):
        q = p | {"log_multiplier": p["log_multiplier"] + c, "factor_scale": p["factor_scale"] * math.exp(-c)}
        return q | ({"premium": p["premium"] * math.exp(c)} if "premium" in p else {})

    def density(c):  # the mean of a factor, premium times scale, stays
        return log_joint(spec, at(c)) - K * c + (K * c if "premium" in p else 0.0)

    def draw(rng):
        q = after(spec, p, rng, update)
        c = q["log_multiplier"][0] - p["log_multiplier"][0]
        for name, x in at(c).items():
            np.testing.assert_allclose(q[name], x, rtol=1e-9)
        return c

    assert_slice(draw, density, 0.0)
    assert_invariant(
        lambda c, rng: after(spec, at(c), rng, update)["log_multiplier"][0] - p["log_multiplier"][0],
        density,
        np.linspace(-2.5, 4.5, 80),
    )


# -- S19, S20: factors on and off ---------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("parts", [PREMIUM, KNOWN | MOMENTUM | STUDENT], ids=["premium", "characteristics"])
def test_factor_scale_with_loadings_integrated_out(parts, k):
    spec, p = world(**parts)
    used = np.full(N * k, 0.3)
    now = after(spec, p, Script([*used], skip(k)), U.switch_factors)
    for name in ("loadings", "factors", "factor_scale", "premium"):  # of the factors before k
        if name in p:
            now[name] = np.where(np.arange(K) < k, now[name], p[name])

    def joint(x, q):
        return log_joint(spec, moved(q, "loadings", (0, slice(None), k), x))

    def density(log_scale):
        c = math.exp(log_scale) / p["factor_scale"][k]
        q = turn(spec, now, k, path=c, scale=c)  # the path in units of the scale is given, and the premium
        return integrated(lambda x: joint(x, q), q["loadings"][0, :, k], 0.5) + (T + 1) * log_scale

    def draw(rng):
        rng.uniforms[:0], rng.normals[:0] = skip(k), [*used]
        return math.log(after(spec, p, rng, U.switch_factors)["factor_scale"][k])

    assert_slice(draw, density, math.log(p["factor_scale"][k]))

    def given(z):
        q = after(spec, p, Script([*used, *z], skip(k + 1)), U.switch_factors)
        return q if k == K - 1 else q | {"loadings": q["loadings"]}

    q = turn(spec, now, k)
    scale = given(np.zeros(N))["factor_scale"][k]
    q = turn(spec, now, k, path=scale / p["factor_scale"][k], scale=scale / p["factor_scale"][k])
    law = normal_law(lambda x: joint(x, q), q["loadings"][0, :, k], 0.5)
    assert_draws_normal(lambda z: given(z)["loadings"][0, :, k], law, N)
    chain = Chain(spec, p)
    found = chain.run(Script(), U.switch_factors)
    np.testing.assert_allclose(
        found["factors"] / found["factor_scale"], p["factors"] / p["factor_scale"], rtol=1e-10
    )
    if "premium" in p:
        np.testing.assert_allclose(found["premium"], p["premium"], rtol=1e-12)
    assert_current(chain)


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("parts", [PREMIUM | LATENT | STUDENT, {}], ids=["premium", "plain"])
def test_factor_scale_with_the_path_integrated_out(parts, k):
    spec, p = world(**NO_LAGS, **parts)
    used = np.full(T * k, 0.3)
    now = after(spec, p, Script([*used], skip(k)), U.switch_paths)
    for name in ("factors", "factor_scale"):
        now[name] = np.where(np.arange(K) < k, now[name], p[name])

    def joint(x, q):
        return log_joint(spec, moved(q, "factors", (slice(None), k), x))

    def density(log_scale):
        q = moved(now, "factor_scale", k, math.exp(log_scale))
        return integrated(lambda x: joint(x, q), q["factors"][:, k], 0.1) + log_scale

    def draw(rng):
        rng.uniforms[:0], rng.normals[:0] = skip(k), [*used]
        return math.log(after(spec, p, rng, U.switch_paths)["factor_scale"][k])

    assert_slice(draw, density, math.log(p["factor_scale"][k]))

    def given(z):
        return after(spec, p, Script([*used, *z], skip(k + 1)), U.switch_paths)

    q = moved(now, "factor_scale", k, given(np.zeros(T))["factor_scale"][k])
    law = normal_law(lambda x: joint(x, q), q["factors"][:, k], 0.1)
    assert_draws_normal(lambda z: given(z)["factors"][:, k], law, T)
    chain = Chain(spec, p)
    found = chain.run(Script(), U.switch_paths)
    if "premium" in p:
        np.testing.assert_allclose(found["premium"], p["premium"], rtol=1e-12)
    assert_current(chain)


@pytest.mark.long
@pytest.mark.parametrize("which", ["loadings", "path"])
def test_draws_of_a_factor_scale_that_is_switched(which):
    spec, p = world(**NO_LAGS)
    update = U.switch_factors if which == "loadings" else U.switch_paths

    def at(log_scale):
        c = math.exp(log_scale) / p["factor_scale"][0]
        return (
            turn(spec, p, 0, path=c, scale=c)
            if which == "loadings"
            else moved(p, "factor_scale", 0, math.exp(log_scale))
        )

    def density(log_scale):
        q = at(log_scale)
        if which == "loadings":
            f = lambda x: log_joint(spec, moved(q, "loadings", (0, slice(None), 0), x))  # noqa: E731
            return integrated(f, q["loadings"][0, :, 0], 0.5) + (T + 1) * log_scale
        f = lambda x: log_joint(spec, moved(q, "factors", (slice(None), 0), x))  # noqa: E731
        return integrated(f, q["factors"][:, 0], 0.1) + log_scale

    assert_invariant(
        lambda x, rng: math.log(after(spec, at(x), rng, update)["factor_scale"][0]),
        density,
        np.linspace(-14, -1, 40),
    )


# -- S21: residuals with the noise scale --------------------------------------------------------------------


@pytest.mark.parametrize("i", range(N))
@pytest.mark.parametrize(
    "parts",
    [PREMIUM | LATENT, MOMENTUM | STUDENT, LAPLACE_NOISE],
    ids=["premium", "momentum", "laplace"],
)
def test_residual_move(parts, i):
    spec, p = world(**parts)
    before = after(spec, p, Script(uniforms=skip(i)), U.move_along_residuals)
    for name in ("theta", "u"):  # of the assets before i
        keep = np.arange(N) < i
        before[name] = np.where(keep[:, None] if name == "theta" else keep[None], before[name], p[name])
    # the factors before the move of asset i: a run that leaves the other assets after it alone
    chain = Chain(spec, p)
    chain.scratch.tuning.leverage[i:] = 0.0
    before["factors"] = chain.run(Script(uniforms=skip(i)), U.move_along_residuals)["factors"]
    e = np.where(np.isfinite(spec.returns), spec.returns - expected_returns(spec, before), 0.0)[:, i]
    n_seen = np.isfinite(spec.returns[:, i]).sum()

    def run(rng):
        rng.uniforms[:0] = skip(i)
        chain = Chain(spec, p)
        chain.scratch.tuning.leverage[i + 1 :] = 0.0
        q = chain.run(rng, U.move_along_residuals)
        return chain, q, q["theta"][i, 0] - p["theta"][i, 0]

    chain, q, log_c = run(Script())
    assert_current(chain)
    t = int(np.argmax(np.abs(e)))
    v = (q["factors"][t] - before["factors"][t]) / ((1 - math.exp(log_c)) * e[t])
    assert v @ p["loadings"][0, i] == pytest.approx(1.0, rel=1e-9)

    def at(x):
        new = moved(before, "theta", (i, 0), p["theta"][i, 0] + x)
        new["factors"] = before["factors"] + (1 - math.exp(x)) * np.outer(e, v)
        new["u"] = before["u"].copy()
        new["u"][:, i] *= math.exp(-2 * x)
        return new

    for name, x in at(log_c).items():
        np.testing.assert_allclose(q[name], x, rtol=1e-8, atol=1e-12, err_msg=name)

    # Jacobian: of the path, the map of factors to factors; of u, exp(-2 x) for each return
    def path_jacobian(x):
        total = 0.0
        for t in range(T):
            if np.isfinite(spec.returns[t, i]):
                # d e_t / d lambda_t = -w_i
                total += np.linalg.slogdet(np.eye(K) - (1 - math.exp(x)) * np.outer(v, p["loadings"][0, i]))[
                    1
                ]
        return total

    def density(x):
        return log_joint(spec, at(x)) + path_jacobian(x) - 2 * n_seen * x

    assert_slice(lambda rng: run(rng)[2], density, 0.0)
    if i == 0:

        def draw(x, rng):
            chain = Chain(spec, at(x))
            chain.scratch.tuning.leverage[1:] = 0.0
            return chain.run(rng, U.move_along_residuals)["theta"][0, 0] - p["theta"][0, 0]

        assert_invariant(draw, density, np.linspace(-3, 2, 80))


# -- S22 to S25: log-volatility -----------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 0.4])
@pytest.mark.parametrize(("family", "nu"), [(NORMAL, 1.0), (STUDENT_T, 4.5), (LAPLACE, 1.0)])
def test_functions_of_each_family_of_noise(family, nu, weight):
    """The density integrates to 1, the score is its derivative, the information the mean square of that."""
    noise, one = plain("updates.noise"), np.ones(1)
    none = plain("data")._effects((), 1, 1)

    def log_density_and_score(z, log_scale=0.0):
        score = np.zeros(1)
        value = noise.likelihood_terms(
            none, 0, np.zeros(0), family, nu, weight * one, np.array([0, 1]), weight * one, z * one,
            math.exp(-2 * log_scale) * one, score, np.zeros(0), np.zeros(1), np.zeros(1, np.int64),
        )  # fmt: skip
        return value + weight * (noise.noise_norm(family, nu) - log_scale), score[0]

    def expected(f):
        return (
            2 * integrate.quad(lambda z: f(z) * math.exp(log_density_and_score(z)[0] / weight), 0, np.inf)[0]
        )

    assert expected(lambda z: 1.0) == pytest.approx(1.0, abs=1e-7)
    information = expected(lambda z: (log_density_and_score(z)[1] / weight) ** 2)
    assert noise.noise_information(family, nu) == pytest.approx(information, rel=1e-6)
    for z in (-2.7, 0.3, 1.4):
        up, down = (log_density_and_score(z, x)[0] for x in (1e-5, -1e-5))
        assert log_density_and_score(z)[1] == pytest.approx((up - down) / 2e-5, rel=1e-6)


@pytest.mark.parametrize("walk", [0.05, 0.6], ids=["walk", "newton"])
@pytest.mark.parametrize(
    ("parts", "i"),
    [({}, 0), (EQUAL_WEIGHTS, 3), ({"normal": True}, 1), (LAPLACE_NOISE, 3), (LEAST, 0)],
    ids=["student", "equal", "normal", "laplace", "least"],
)
def test_log_volatility_coefficients_of_an_asset(parts, i, walk):
    spec, p = world(**parts)
    p = without(p, "u")

    def values(x):
        q = {name: np.array(z) if isinstance(z, np.ndarray) else z for name, z in p.items()}
        q["theta"][i, 0], q["beta_rv"][i], q["beta_earnings"][i, 0] = x[0], x[1:3], x[3]
        return q

    def read(q):
        return np.array([q["theta"][i, 0], *q["beta_rv"][i], q["beta_earnings"][i, 0]])

    def propose(x, normals, uniforms):
        chain = Chain(spec, values(x))
        q = chain.run(
            Script([*np.full(4 * i, 0.1), *normals], [0.5] * (2 * i) + uniforms), U.move_asset_coefficients
        )
        assert_current(chain)
        return read(q)

    directions = np.random.default_rng(5).standard_normal((6, 4))
    tried = assert_metropolis(
        propose, lambda x: log_joint(spec, values(x)), read(p),
        directions=directions, accept_uniform=lambda u: [walk, u],
        newton=walk > 0.1,
    )  # fmt: skip
    assert len(list(tried)) >= 2


@pytest.mark.parametrize("parts", [{}, LAPLACE_NOISE, LEAST], ids=["student", "laplace", "least"])
@pytest.mark.parametrize("group", [0, 1])
def test_means_of_a_group_of_log_volatility_hierarchies_together(group, parts):
    spec, p = world(**parts)
    p = without(p, "u")
    members = group == GROUPS

    update = updates("refresh_log_likelihood", "move_group_means")

    def values(x):
        q = {name: np.array(z) if isinstance(z, np.ndarray) else z for name, z in p.items()}
        change = x - read(p)
        q["mu_theta"][group, 0] += change[0]
        q["theta"][members, 0] += change[0]
        q["mu_beta_rv"][group] += change[1:]
        q["beta_rv"][members] += change[1:]
        return q

    def read(q):
        return np.array([q["mu_theta"][group, 0], *q["mu_beta_rv"][group]])

    def propose(x, normals, uniforms):
        chain = Chain(spec, values(x))
        q = chain.run(Script([*np.full(3 * group, 0.1), *normals], [0.5] * group + uniforms), update)
        assert_current(chain)
        for name in ("theta", "beta_rv"):
            np.testing.assert_allclose(q[name][members], values(read(q))[name][members], rtol=1e-10)
        return read(q)

    tried = assert_metropolis(
        propose, lambda x: log_joint(spec, values(x)), read(p),
        directions=np.random.default_rng(6).standard_normal((8, 3)), accept_uniform=lambda u: [u],
        newton=True,
    )  # fmt: skip
    assert len(list(tried)) >= 2


def first_hierarchy(name, column=0, parts={}, **changes):  # noqa: B006 - not changed
    """A world in which one column of an effect comes first, so that its hierarchy is the first to move."""
    effects = list(make_spec(least=parts.get("least", 0.0)).log_volatility)
    effect = effects.pop([e.name for e in effects].index(name))
    features = effect.features if column == 0 else effect.features[:, :, ::-1]
    effect = replace(effect, features=features, **changes)
    spec = make_spec(log_volatility=(effect, *effects), **parts)
    return spec, without(make_values(spec), "u"), effect


group_moves = updates("refresh_log_likelihood", "move_groups")


@pytest.mark.parametrize(
    ("name", "column", "group", "parts"),
    [
        ("theta", 0, 0, {}),
        ("theta", 0, 1, LAPLACE_NOISE),
        ("theta", 0, 0, LEAST),
        ("beta_rv", 1, 0, {}),
        ("beta_earnings", 0, 0, {}),
        ("beta_earnings", 0, 0, LAPLACE_NOISE),
    ],
    ids=["theta-0", "theta-1-laplace", "theta-least", "beta_rv", "beta_earnings", "beta_earnings-laplace"],
)
def test_group_mean_and_scale_with_the_coefficients(name, column, group, parts):
    spec, p, effect = first_hierarchy(name, column, parts)
    column = 0  # the first of the effect as it is now
    index = np.zeros(N, int) if effect.groups is None else GROUPS
    members = np.flatnonzero(index == group)
    cell = (group, column)
    z = (p[name][members, column] - p[f"mu_{name}"][cell]) / p[f"sigma_{name}"][cell]

    def values(x):
        """A scale below 0 is that scale with the sign of all z turned."""
        q = moved(moved(p, f"mu_{name}", cell, x[0]), f"sigma_{name}", cell, abs(x[1]))
        q[name] = p[name].copy()
        q[name][members, column] = x[0] + x[1] * z
        return q

    def propose(x, normals, uniforms):
        n_groups = index.max() + 1
        used = [0.1, 0.1] * group, [0.1, 0.1] * (n_groups - group - 1)
        u = [0.5] * group + uniforms + [0.5] * (n_groups - group - 1)
        chain = Chain(spec, values(x))
        q = chain.run(Script([*used[0], *normals, *used[1]], u), group_moves)
        assert_current(chain)
        mu = q[f"mu_{name}"][cell]
        sigma = (q[name][members[0], column] - mu) / z[0]
        assert abs(sigma) == pytest.approx(q[f"sigma_{name}"][cell], rel=1e-9)
        np.testing.assert_allclose(q[name][members, column], mu + sigma * z, rtol=1e-9, atol=1e-12)
        return np.array([mu, sigma])

    def density(x):  # of mu, sigma and z
        return log_joint(spec, values(x)) + len(members) * math.log(abs(x[1]))

    start = np.array([p[f"mu_{name}"][cell], p[f"sigma_{name}"][cell]])
    directions = np.vstack([np.random.default_rng(7).standard_normal((8, 2)), [[0.3, -4.5]]])
    tried = assert_metropolis(
        propose,
        density,
        start,
        directions=directions,
        accept_uniform=lambda u: [u],
        newton=True,
    )
    assert len(list(tried)) >= 2


def test_scale_of_a_group_whose_mean_is_known():
    spec, p, known = first_hierarchy("beta_earnings", loc_sd=None)
    z = (p["beta_earnings"][:, 0] - known.loc_mean) / p["sigma_beta_earnings"][0, 0]

    def values(x):
        q = moved(p, "sigma_beta_earnings", (0, 0), abs(x[0]))
        return q | {"beta_earnings": (known.loc_mean + x[0] * z)[:, None]}

    def propose(x, normals, uniforms):
        q = Chain(spec, values(x)).run(Script([5.0, *normals], uniforms), group_moves)
        return np.array([(q["beta_earnings"][0, 0] - known.loc_mean) / z[0]])

    tried = assert_metropolis(
        propose,
        lambda x: log_joint(spec, values(x)) + N * math.log(abs(x[0])),
        np.array([0.5]),  # beyond the mode, so that some proposals are refused
        directions=np.array([[-1.2], [0.8], [1.9], [-0.4], [-2.2], [2.6], [-3.0]]),
        accept_uniform=lambda u: [u],
        newton=True,
    )
    assert len(list(tried)) >= 1


@pytest.mark.parametrize(("name", "column"), [("theta", 0), ("beta_rv", 1), ("beta_earnings", 0)])
def test_location_and_scale_of_a_log_volatility_hierarchy_given_its_coefficients(name, column):
    spec, p, effect = first_hierarchy(name, column)
    index = np.zeros(N, int) if effect.groups is None else GROUPS
    cell = (0, 0)
    shapes = []

    def fill(rng, out, shape):
        shapes.append(shape)
        out[:] = 1.7 + np.arange(len(out))

    record = Recorder()

    def run(z):
        with patched("gamma_fill", fill), patched("draw_log_scale", record):
            return after(spec, p, Script(z), U.draw_hierarchies)

    given = dict(p)
    if effect.dof is not None:  # mixing variables that exist inside this update only
        mix = np.ones((N, 1))
        for i in range(N):
            f = lambda x, i=i: log_joint(spec, p | {f"mix_{name}": moved({"m": mix}, "m", (i, 0), x)["m"]})  # noqa: E731
            shape, rate = gamma_law(f)
            shapes.clear()
            run([0.0])
            assert shapes[0] == pytest.approx(shape)
            given.setdefault(f"mix_{name}", np.ones((N, 1)))[i, 0] = (1.7 + i) / rate
    start = np.array([p[f"mu_{name}"][cell]])
    law = normal_law(lambda x: log_joint(spec, moved(given, f"mu_{name}", cell, x[0])), start, 0.3)
    assert_draws_normal(lambda z: np.array([run(z)[f"mu_{name}"][cell]]), law, 1)
    record.calls.clear()
    q = run([0.4])
    given = given | {f"mu_{name}": moved(p, f"mu_{name}", cell, q[f"mu_{name}"][cell])[f"mu_{name}"]}
    assert_log_scale(
        record.calls[0],
        lambda x: log_joint(spec, moved(given, f"sigma_{name}", cell, math.exp(x))) + x,
        math.log(p[f"sigma_{name}"][cell]),
    )
    assert q[f"sigma_{name}"][cell] == pytest.approx(p[f"sigma_{name}"][cell] * math.exp(0.1))
    if effect.groups is not None:  # the calls of the groups come one after the other
        assert record.calls[1][0] == pytest.approx(math.log(p[f"sigma_{name}"][1, 0]))
    assert index.max() + 1 == len(p[f"sigma_{name}"])


# -- S26 to S28: degrees of freedom -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("turn_number", "parts"),
    [(0, {}), (1, {}), (2, {}), (2, LEAST), (3, EQUAL_WEIGHTS)],
    ids=["0", "1", "2", "2-least", "3"],
)
def test_degrees_of_freedom_of_an_asset(turn_number, parts):
    spec, p = world(**parts)
    p = without(p, "u")
    i = turn_number % 2
    ridge = 0.125 if turn_number >= 2 else 0.0

    base = math.log(p["nu"][i])

    def at(x):
        q = moved(p, "nu", i, math.exp(x))
        return moved(q, "theta", (i, 0), p["theta"][i, 0] + ridge * (x - base))

    def density(x):
        return log_joint(spec, at(x)) + x

    def draw(rng):
        chain = Chain(spec, p, turn=turn_number)
        q = chain.run(rng, U.draw_nu)
        assert_current(chain)
        x = math.log(q["nu"][i])
        assert q["theta"][i, 0] == pytest.approx(at(x)["theta"][i, 0], abs=1e-12)
        assert q["nu"][1 - i] == p["nu"][1 - i]
        return x

    assert_slice(draw, density, base)
    assert_invariant(
        lambda x, rng: math.log(after(spec, at(x), rng, U.draw_nu, turn=turn_number)["nu"][i]),
        density,
        np.linspace(-6, 5, 80),
    )


@pytest.mark.parametrize("z", [-1.3, 0.6, 1.1])
def test_joint_move_of_sigma_nu_and_all_degrees_of_freedom(z):
    spec, p = world()
    p = without(p, "u")

    def run(q, z, u):
        chain = Chain(spec, q)
        chain.scratch.tuning.log_step_nu[:] = math.log(0.3)
        return chain.run(Script([z], [u]), U.move_sigma_nu)

    new = run(p, z, SURE)
    assert new["sigma_nu"] == pytest.approx(p["sigma_nu"] * math.exp(0.3 * z))
    back = run(new, -z, SURE)
    np.testing.assert_allclose(back["nu"], p["nu"], rtol=1e-10)
    ratio = log_joint(spec, new) - log_joint(spec, p) + math.log(new["sigma_nu"] / p["sigma_nu"])
    step = 1e-4
    for i in range(N):
        ends = [run(moved(p, "nu", i, p["nu"][i] + h), z, SURE)["nu"][i] for h in (-step, step)]
        ratio += math.log((ends[1] - ends[0]) / (2 * step))
    if ratio < -1e-6:
        for change, moves in ((-1e-7, True), (1e-7, False)):
            q = run(p, z, -math.expm1(ratio + change))
            assert (q["sigma_nu"] == new["sigma_nu"]) is moves, ratio
    assert ratio < -1e-6 or z == 0.6


def test_sigma_nu_given_all_degrees_of_freedom():
    spec, p = world()
    update = U.draw_sigma_nu
    draw, density, now = along(spec, p, update, "sigma_nu", None, log=True)
    assert_slice(draw, density, now)
    assert_invariant(run_from(spec, p, update, "sigma_nu", None, log=True), density, np.linspace(-2, 3, 60))


# -- S29: evidence ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [{}, LAPLACE_NOISE], ids=["student", "laplace"])
@pytest.mark.parametrize("r", [0, 1])
def test_returns_with_evidence_on_them(r, parts):
    spec, p = world(**EVIDENCE, **parts)
    given = dict(p)
    if r == 1:
        q = after(spec, p, Script(uniforms=skip(1)), U.draw_evidence)
        given = moved(p, "evidence_return", 0, q["evidence_return"][0])
    draw, _, now = along(spec, p, U.draw_evidence, "evidence_return", r, prefix=skip(r))

    def density(x):
        return log_joint(spec, moved(given, "evidence_return", r, x))

    assert_slice(draw, density, now)
    chain = Chain(spec, p)
    chain.run(Script(), U.draw_evidence)
    assert_current(chain)
    if r == 0:
        assert_invariant(
            run_from(spec, p, U.draw_evidence, "evidence_return", 0), density, np.linspace(-0.6, 0.6, 100)
        )


# -- parts that updates share -------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b", "c"), [(-7.0, 3.0, 0.4), (2.5, 0.7, 0.02), (0.0, 1.0, 1.0)])
def test_update_of_a_log_scale(a, b, c):
    def density(x):
        return a * x - b * math.exp(2 * x) - c * math.exp(-2 * x)

    grid = np.linspace(-4, 3, 500)
    ends = assert_invariant(
        lambda x, rng: plain("slice").draw_log_scale(rng, x, a, b, c), density, grid, n=1500
    )
    assert abs(np.corrcoef(ends[:-1], ends[1:])[0, 1]) < 0.9


@pytest.mark.parametrize("shape", [0.3, 0.95, 1.0, 4.7])
def test_gamma_variates(shape):
    out = np.empty(3000)
    plain("random").gamma_fill(np.random.default_rng(1), out, shape)
    assert stats.kstest(out, stats.gamma(shape).cdf).pvalue > 1e-4


# -- the sweep ---------------------------------------------------------------------------------------------

SWEEPS = [
    {},
    {"normal": True} | NO_LAGS | REGRESSION,
    PREMIUM | LATENT | REGRESSION | EVIDENCE | STUDENT,
    NO_LAGS | STUDENT,
    BLOCKS | MOMENTUM | LATENT | EVIDENCE,
    KNOWN | MOMENTUM | PREMIUM | REGRESSION,
    KNOWN_PATH | PREMIUM | LATENT,
    {"mean": (), "loadings_dof": None} | EQUAL_WEIGHTS,
    LAPLACE_NOISE | PREMIUM | LATENT | EVIDENCE,
    FACTOR_PATHS | ASSET_PATHS,
    ASSET_PATHS | {"normal": True},
]


@pytest.mark.parametrize("number", range(len(SWEEPS)))
def test_sweep_finds_everything_current(number):
    """Bringing all that is kept along up to date before every update changes nothing but digits."""
    spec, p = world(**SWEEPS[number])
    own, more = Chain(spec, p), Chain(spec, p)
    sweep = plain("sweep").sweep_of(spec, own.data)
    names = [update.__name__ for update in sweep]
    assert names.count("begin_sweep") == 1
    assert len(names) > 12
    start = own.values()
    mine, others = (np.random.default_rng(1) for _ in range(2))
    for _ in range(4):
        for name, update in zip(names, sweep, strict=True):
            update(mine, own.data, own.state, own.scratch)
            extra = ["refresh_band", "refresh_residuals", "refresh_precision"]
            if name in ("move_group_means", "move_groups"):
                extra.append("refresh_log_likelihood")
            if name in ("draw_factor_mixing", "draw_scale_slopes", "draw_h", "rescale_h"):
                extra.append("refresh_innovations")
            args = others, more.data, more.state, more.scratch
            updates(*extra)(*args)
            update(*args)
        for name, x in own.values().items():
            np.testing.assert_allclose(x, more.values()[name], rtol=1e-6, atol=1e-9, err_msg=name)
    same = [name for name, x in own.values().items() if np.array_equal(x, start[name])]
    assert not set(same) - {"rho"}, same  # of which a proposal may be refused four times


# -- the document ------------------------------------------------------------------------------------------


def test_document_lists_all_updates_in_the_order_of_a_sweep():
    root = Path(__file__).parents[2]
    text = (root / "docs" / "sampler.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| [^|]+ \| S\d+ \| \[`(\w+)`\]", text, re.MULTILINE)
    own = [name for name in vars(U) if not name.startswith(("refresh_", "begin_"))]
    assert listed == own
    files = ("test_densities.py", "test_path_densities.py", "test_collapsed_paths.py")
    here = "".join(Path(__file__).with_name(file).read_text(encoding="utf-8") for file in files)
    untested = [name for name in own if not re.search(rf'U\.{name}\b|"{name}"', here)]
    assert not untested
