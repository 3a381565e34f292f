"""Updates of the volatilities of single factors and assets against the joint density, as ``test_densities``.

The two Metropolis-Hastings steps of whole paths, ``draw_asset_paths`` and ``draw_factor_volatilities``, are
run on one series against weighted draws of its prior; what they do to all others is in ``test_joint``.
"""

import math
from contextlib import ExitStack
from unittest import mock

import numpy as np
import pytest
from drivers import (
    ASSET_PATHS,
    FACTOR_PATHS,
    GROUPS,
    LEAST,
    Chain,
    K,
    N,
    Script,
    T,
    U,
    after,
    assert_draws_normal,
    assert_invariant,
    assert_slice,
    make_spec,
    make_values,
    moved,
    normal_law,
    patched,
    plain,
)
from reference import expected_returns, log_joint, log_noise_scale
from scipy import stats
from test_densities import SURE, assert_current, skip, with_vector

from bdfm.gibbs.scratch import PARTS, Parts
from bdfm.gibbs.updates import log_squares, student_squares
from bdfm.gibbs.updates.noise import NORMAL, STUDENT_T


def world(**parts):
    spec = make_spec(**parts)
    return spec, make_values(spec)


BOTH = FACTOR_PATHS | ASSET_PATHS


def level(spec, p):
    """Log noise scale (asset) of an average period."""
    return log_noise_scale(spec, {x: p[x] if x == "theta" else np.zeros_like(p[x]) for x in p})[0]


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
    module, rng, n, nu = plain("updates.log_squares"), np.random.default_rng(4), 12, 4.6
    parts = Parts(np.zeros(1, dtype=np.int64), *np.zeros((3, PARTS)))
    module.set_parts(family, nu, parts)
    e, seen = rng.standard_t(3.0, n), (rng.random(n) < 0.8).astype(float)
    law = stats.t(nu) if family == STUDENT_T else stats.norm

    def found(v):
        total, weights, bits = np.empty(n), np.empty((PARTS, n)), np.empty(n, dtype=np.int64)
        module.mixture_weights(np.log(e**2), v, parts, weights, total, bits)
        return module.exact_over_mixture(v, e**2, family, nu, total, seen, np.empty(n), bits)

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
    for module, update, turn, expected in (
        (plain("updates.asset_volatility"), U.draw_asset_paths, 0, list(nu)),
        (plain("updates.path_hierarchies"), U.move_path_hierarchies, 1, of_groups),
    ):
        parts, exact, set_parts, ratio = [], [], module.set_parts, module.exact_over_mixture

        def watched(family, own, found, parts=parts, set_parts=set_parts):
            parts.append(own)
            set_parts(family, own, found)

        def likelihood(path, squares, family, own, *rest, exact=exact, ratio=ratio):
            exact.append(own)
            return ratio(path, squares, family, own, *rest)

        with (
            mock.patch.object(module, "set_parts", watched),
            mock.patch.object(module, "exact_over_mixture", likelihood),
        ):
            Chain(spec, p, turn=turn).run(np.random.default_rng(1), update)
        assert len(set(parts)) > 1
        assert parts == (expected if turn else [x for x in expected if x in parts])
        assert exact == (expected if turn else [x for x in parts for _ in range(2)])


def test_scales_of_a_group_move_before_or_after_its_locations_by_a_coin():
    """One order alone would not be reversible, and acceptance asks for that."""
    spec, p = world(**BOTH)
    module, orders, rng = plain("updates.path_hierarchies"), [], np.random.default_rng(6)
    original = module.slice_update

    def watched(rng, density, args, *rest):
        orders.append(args[7:9] == (0.0, 0.0))  # the steps of both locations
        return original(rng, density, args, *rest)

    with mock.patch.object(module, "slice_update", watched):
        for _ in range(30):
            Chain(spec, p, turn=1).run(rng, U.move_path_hierarchies)
    pairs = np.array(orders).reshape(-1, 2)
    assert len(pairs) == 60
    assert (pairs.sum(axis=1) == 1).all()
    assert 15 < pairs[:, 0].sum() < 45


def poorer(off):
    """Context in which all means of both mixtures are wrong by ``off``."""
    both = ExitStack()
    both.enter_context(patched("MEAN", log_squares.MEAN + off))
    both.enter_context(patched("KNOT_MEAN", student_squares.KNOT_MEAN + off))
    return both


def test_factors_of_a_day():
    spec, p = world(**BOTH)
    names = ("factors",)
    law = normal_law(
        lambda x: log_joint(spec, with_vector(p, names, x)), np.ravel(p["factors"]), np.full(T * K, 0.01)
    )
    draw = lambda z: np.ravel(after(spec, p, Script(z), U.draw_factor_days)["factors"])  # noqa: E731
    assert_draws_normal(draw, law, T * K)
    relaxed = lambda z: np.ravel(after(spec, p, Script(z), U.draw_factor_days, relax=0.6)["factors"])  # noqa: E731
    assert_draws_normal(relaxed, law, T * K, relax=0.6, start=np.ravel(p["factors"]))


def test_shears():
    spec, p = world(**BOTH)
    f, w = p["factors"], p["loadings"]

    def at(a):
        return p | {
            "factors": np.column_stack([f[:, 0] + a * f[:, 1], f[:, 1]]),
            "loadings": np.stack([w[..., 0], w[..., 1] - a * w[..., 0]], axis=-1),
        }

    law = normal_law(lambda a: log_joint(spec, at(a[0])), np.zeros(1), 0.1)

    def draw(z):
        new = after(spec, p, Script([z[0], 0.3]), U.shear_factor_days)["factors"]
        ratio = (new[:, 0] - f[:, 0]) / f[:, 1]
        np.testing.assert_allclose(ratio, ratio[0])
        return ratio[:1]

    assert_draws_normal(draw, law, 1)
    chain = Chain(spec, p)
    chain.run(Script(), U.shear_factor_days)
    assert_current_residuals(chain)


def test_sizes_of_factors():
    """The first of three moves: lambda *= c, w /= c; and the density of the second."""
    spec, p = world(**BOTH)

    def at(x):
        f, w = p["factors"].copy(), p["loadings"].copy()
        f[:, 0] *= math.exp(x)
        w[..., 0] /= math.exp(x)
        return p | {"factors": f, "loadings": w}

    def draw(rng):
        rng.uniforms += [SURE, 0.5, 0.5] if not rng.uniforms else []
        chain = Chain(spec, p)
        with_first = plain("updates.factor_days")
        density = with_first.size_density
        moves = []

        def watched(rng_, f, args, now, width):
            x = plain("slice").slice_update(rng_, f, args, now, width) if f is density and not moves else now
            moves.append(x)
            return x

        original, with_first.slice_update = with_first.slice_update, watched
        log_scale, with_first.draw_log_scale = with_first.draw_log_scale, lambda *_: 0.0
        try:
            chain.run(rng, U.rescale_factor_days)
        finally:
            with_first.slice_update, with_first.draw_log_scale = original, log_scale
        return moves[0]

    assert_slice(draw, lambda x: log_joint(spec, at(x)) + (T - N) * x, 0.0)
    scale = lambda x: moved(p, "factor_scale", 0, math.exp(x))  # noqa: E731
    density = plain("updates.factor_days").scale_of_days_density
    inner = Chain(spec, p)
    days = inner.scratch.days
    plain("updates.factor_days").set_day_prior(
        inner.state.factor_volatility, 0, 1.0, days.mean[0], days.precision[0]
    )
    f = p["factors"][:, 0]
    sums = (days.precision[0] * f * f).sum(), (days.precision[0] * f * days.mean[0]).sum()
    args = (float(T), *sums, spec.factor_scale_sd)
    values = [(density(x, args), log_joint(spec, scale(x)) + x) for x in (-3.5, -2.8, -2.0)]
    np.testing.assert_allclose(np.diff([a for a, _ in values]), np.diff([b for _, b in values]), rtol=1e-8)


def test_scale_with_the_days_integrated_out():
    """At every scale, the density is the joint one with the factor integrated out."""
    spec, p = world(**BOTH)
    chain = Chain(spec, p)
    x, seen = [], {}

    def catch(rng, now, scale_sd, products, n):
        if not x:
            x.append(now)
            seen.update(
                {
                    name: getattr(products, name)[:n].copy()
                    for name in ("precision", "gradient", "information")
                }
            )
            seen["mean"], seen["value"] = products.mean[:n].copy(), products.value[:n].copy()
        return now

    module = plain("updates.factor_days")
    original, module.draw_scale = module.draw_scale, catch
    try:
        chain.run(Script(), U.switch_factor_days)
    finally:
        module.draw_scale = original
    law = {}
    for factor in (0.7, 1.4):
        scale = p["factor_scale"][0] * factor

        def joint(z, scale=scale):
            f = p["factors"].copy()
            f[:, 0] = z * scale
            return log_joint(spec, moved(p, "factor_scale", 0, scale) | {"factors": f}) + T * math.log(scale)

        law[factor] = normal_law(joint, p["factors"][:, 0] / scale, np.full(T, 0.3))
        precision = seen["precision"] + scale**2 * seen["information"]
        centre = scale * (seen["gradient"] + seen["information"] * seen["value"])
        centre = (centre + seen["precision"] * seen["mean"]) / precision
        np.testing.assert_allclose(centre, law[factor][0], rtol=1e-6)
        np.testing.assert_allclose(1 / precision, np.diag(law[factor][1]), rtol=1e-6)
    assert_current_residuals(chain)


def assert_current_residuals(chain):
    fresh = Chain(chain.spec, chain.values()).scratch
    np.testing.assert_allclose(chain.scratch.residuals, fresh.residuals, atol=1e-12)


# -- parameters of the factors' volatilities -----------------------------------------------------------------


def logit(x):
    return math.log(x / (1 - x))


def test_persistence_of_a_factor():
    spec, p = world(**BOTH)
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731

    def density(x):
        phi = sigmoid(x)
        return log_joint(spec, moved(p, "factor_phi", 0, phi)) + math.log(phi * (1 - phi))

    draw = lambda rng: logit(after(spec, p, rng, U.draw_factor_volatility_parameters)["factor_phi"][0])  # noqa: E731
    assert_slice(draw, density, logit(p["factor_phi"][0]))
    assert_invariant(
        lambda x, rng: logit(
            after(spec, moved(p, "factor_phi", 0, sigmoid(x)), rng, U.draw_factor_volatility_parameters)[
                "factor_phi"
            ][0]
        ),
        density,
        np.linspace(-3, 5, 60),
        n=300,
    )


@pytest.mark.parametrize("name", ["factor_volatility_sd", "leverage"])
def test_shocks_and_leverage_of_a_factor(name):
    """Each after those before it, whose slices take three uniform numbers."""
    spec, p = world(**BOTH)
    prefix = skip(1 if name == "factor_volatility_sd" else 2)
    log = name == "factor_volatility_sd"
    read = lambda q: math.log(q[name][0]) if log else float(q[name][0])  # noqa: E731
    q = after(spec, p, Script(uniforms=[*prefix]), U.draw_factor_volatility_parameters)
    given = moved(p, "factor_phi", 0, q["factor_phi"][0])
    if not log:
        given = moved(given, "factor_volatility_sd", 0, q["factor_volatility_sd"][0])

    def draw(rng):
        rng.uniforms[:0] = prefix
        return read(after(spec, p, rng, U.draw_factor_volatility_parameters))

    def density(x):
        return log_joint(spec, moved(given, name, 0, math.exp(x) if log else x)) + (x if log else 0.0)

    assert_slice(draw, density, read(p))


def test_rescaling_of_a_factors_volatility():
    spec, p = world(**BOTH)

    def at(x):
        h = p["factor_volatility"].copy()
        h[:, 0] *= math.exp(x)
        sd = p["factor_volatility_sd"][0] * math.exp(x)
        return moved(p, "factor_volatility_sd", 0, sd) | {"factor_volatility": h}

    def draw(rng):
        new = after(spec, p, rng, U.rescale_factor_volatilities)
        x = math.log(new["factor_volatility_sd"][0] / p["factor_volatility_sd"][0])
        np.testing.assert_allclose(new["factor_volatility"][:, 0], at(x)["factor_volatility"][:, 0])
        return x

    assert_slice(draw, lambda x: log_joint(spec, at(x)) + (T + 1) * x, 0.0)


def test_shift_of_a_factors_volatility():
    spec, p = world(**BOTH)

    def at(x):
        h = p["factor_volatility"].copy()
        h[:, 0] += x
        return moved(p, "factor_scale", 0, p["factor_scale"][0] * math.exp(-x)) | {"factor_volatility": h}

    def draw(rng):
        new = after(spec, p, rng, U.shift_factor_volatilities)
        x = -math.log(new["factor_scale"][0] / p["factor_scale"][0])
        np.testing.assert_allclose(new["factor_volatility"][:, 0], at(x)["factor_volatility"][:, 0])
        return x

    assert_slice(draw, lambda x: log_joint(spec, at(x)) - x, 0.0)


# -- assets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normal", [False, True])
def test_rescaling_of_an_assets_path(normal):
    spec, p = world(**ASSET_PATHS, normal=normal)
    p = {name: x for name, x in p.items() if name != "u"}

    def at(x):
        v = p["volatility_state"].copy()
        v[:, 0] *= math.exp(x)
        sd = p["log_volatility_sd"][0] + x
        return moved(p, "log_volatility_sd", 0, sd) | {"volatility_state": v}

    def draw(rng):
        chain = Chain(spec, p)
        new = chain.run(rng, U.rescale_asset_paths)
        assert_current(chain)
        x = new["log_volatility_sd"][0] - p["log_volatility_sd"][0]
        np.testing.assert_allclose(new["volatility_state"][:, 0], at(x)["volatility_state"][:, 0])
        return x

    assert_slice(draw, lambda x: log_joint(spec, at(x)) + T * x, 0.0)


@pytest.mark.parametrize("least", [{}, LEAST], ids=["none", "least"])
def test_level_of_an_assets_path(least):
    spec, p = world(**ASSET_PATHS, **least)
    p = {name: x for name, x in p.items() if name != "u"}
    i = 0  # it has all returns, so that no state lies outside of them

    def at(x):
        v = p["volatility_state"].copy()
        q = moved(p, "theta", (i, 0), p["theta"][i, 0] + x)
        v[:, i] -= (level(spec, q) - level(spec, p))[i]
        return q | {"volatility_state": v}

    def draw(rng):
        chain = Chain(spec, p)
        new = chain.run(rng, U.draw_path_parameters)
        assert_current(chain)
        return new["theta"][i, 0] - p["theta"][i, 0]

    assert_slice(draw, lambda x: log_joint(spec, at(x)), 0.0)


@pytest.mark.parametrize("name", ["logit_phi", "log_volatility_sd"])
def test_persistence_and_shocks_of_an_asset(name):
    spec, p = world(**ASSET_PATHS)
    p = {key: x for key, x in p.items() if key != "u"}
    prefix = skip(1 if name == "logit_phi" else 2)
    q = after(spec, p, Script(uniforms=[*prefix]), U.draw_path_parameters)
    v = p["volatility_state"].copy()
    v[:, 0] = q["volatility_state"][:, 0]
    given = moved(p, "theta", (0, 0), q["theta"][0, 0]) | {"volatility_state": v}
    if name == "log_volatility_sd":
        given = moved(given, "logit_phi", 0, q["logit_phi"][0])

    def draw(rng):
        rng.uniforms[:0] = prefix
        return float(after(spec, p, rng, U.draw_path_parameters)[name][0])

    assert_slice(draw, lambda x: log_joint(spec, moved(given, name, 0, x)), float(p[name][0]))


@pytest.mark.parametrize("name", ["logit_phi", "log_volatility_sd"])
def test_location_of_a_hierarchy_of_paths(name):
    spec, p = world(**ASSET_PATHS)
    start = np.array([p[f"mu_{name}"][0]])
    law = normal_law(lambda x: log_joint(spec, moved(p, f"mu_{name}", 0, x[0])), start, 0.3)
    n_before = 0 if name == "logit_phi" else 2  # those of the other hierarchy's groups come first

    def draw(z):
        new = after(spec, p, Script([*([0.1] * n_before), *z]), U.draw_path_hierarchies)
        return new[f"mu_{name}"][:1]

    assert_draws_normal(draw, law, 1)

    def scale(x, rng):
        q = moved(p, f"sigma_{name}", 0, math.exp(x))
        return math.log(after(spec, q, rng, U.draw_path_hierarchies)[f"sigma_{name}"][0])

    assert np.std([scale(math.log(0.4), np.random.default_rng(s)) for s in range(50)]) > 0.1


# -- whole paths ---------------------------------------------------------------------------------------------


def whole_path(spec, p, name, update, column, n=1500, seed=3):
    """Draws (draw, period) of one path by an update alone, far apart enough to be tested.

    Of an asset, logit phi and log sd, which move along, come after the states.
    """
    rng = np.random.default_rng(seed)
    chain = Chain(spec, p)
    found = []
    for _ in range(n):
        chain.run(rng, update)
        q = chain.values()
        of_asset = [[q[x][column]] for x in ASSET_PARAMETERS] if name == "volatility_state" else []
        found.append(np.concatenate([q[name][:, column], *of_asset]))
    return np.array(found)


ASSET_PARAMETERS = ("logit_phi", "log_volatility_sd")


def prior_paths(spec, p, name, column, n, rng):
    """Draws of the prior of ``whole_path``: states, and of an asset logit phi and log sd; and its density."""
    if name == "volatility_state":
        group = spec.asset_volatility.groups[column]
        mu, sigma = (np.array([p[f"{of}_{x}"][group] for x in ASSET_PARAMETERS]) for of in ("mu", "sigma"))
        parameters = mu + sigma * rng.standard_normal((n, 2))
        phi, sd = 1 / (1 + np.exp(-parameters[:, 0])), np.exp(parameters[:, 1])
        log_density = stats.norm.logpdf(parameters, mu, sigma).sum(axis=1)
    else:
        parameters, log_density = np.empty((n, 0)), np.zeros(n)
        phi, sd = (np.full(n, p[x][column]) for x in ("factor_phi", "factor_volatility_sd"))
    paths = np.empty((n, T))
    scale = sd / np.sqrt(1 - phi**2)
    paths[:, 0] = scale * rng.standard_normal(n)
    log_density += stats.norm.logpdf(paths[:, 0], 0.0, scale)
    for t in range(1, T):
        paths[:, t] = phi * paths[:, t - 1] + sd * rng.standard_normal(n)
        log_density += stats.norm.logpdf(paths[:, t], phi * paths[:, t - 1], sd)
    return np.concatenate([paths, parameters], axis=1), log_density


def with_path(p, name, column, x):
    """Values with one path, and of an asset logit phi and log sd, replaced."""
    path = p[name].copy()
    path[:, column] = x[:T]
    q = p | {name: path}
    for own, value in zip(ASSET_PARAMETERS, x[T:], strict=False):
        q = moved(q, own, column, value)
    return q


def long(*values):
    """Parameters of the slow tests."""
    return [pytest.param(*x, marks=pytest.mark.slow) for x in values]


def assert_moments(draws, weighted, log_weight, *, least, correlated):
    """Means, squares and products of neighbours of draws are those of a weighted sample (draw, ...).

    ``least``: effective draws that the weights must leave; ``correlated``: draws that count as one.
    """
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    effective = 1 / np.square(weight).sum()
    assert effective > least
    for of in (lambda x: x, np.square, lambda x: x * np.roll(x, 1, axis=1)):
        mean = weight @ of(weighted)
        error = np.sqrt(weight @ np.square(of(weighted) - mean) * (1 / effective + correlated / len(draws)))
        assert np.abs((of(draws).mean(axis=0) - mean) / error).max() < 4.5


@pytest.mark.parametrize(
    ("name", "update", "column", "normal"),
    [
        ("volatility_state", U.draw_asset_paths, 1, False),
        ("volatility_state", U.draw_asset_paths, 1, True),
        ("factor_volatility", U.draw_factor_volatilities, 0, False),
    ],
    ids=["student", "normal", "factor"],
)
@pytest.mark.parametrize(("off", "n"), [*long((0.0, 1500), (1.5, 1500)), (1.5, 600)])
def test_whole_paths_have_the_moments_of_the_joint_density(name, update, column, normal, off, n):
    """Against weighted draws of the prior: means, squares and neighbours of the states.

    However poor the mixture: with ``off`` its means are wrong by that, and only the exact density helps.
    """
    spec, p = world(**BOTH, normal=normal)
    p = {key: x for key, x in p.items() if key != "u"}
    with poorer(off):
        draws = whole_path(spec, p, name, update, column, n)
    assert (np.ptp(draws, axis=0) > 0).all()
    paths, own = prior_paths(spec, p, name, column, 4 * n, np.random.default_rng(5))
    log_weight = np.array([log_joint(spec, with_path(p, name, column, x)) for x in paths]) - own
    assert_moments(draws, paths, log_weight, least=n / 15, correlated=30)


@pytest.mark.parametrize("normal", [False, True], ids=["student", "normal"])
@pytest.mark.parametrize(("off", "n_draws"), [*long((0.0, 2500), (1.5, 2500)), (1.5, 900)])
def test_paths_of_a_group_with_their_hierarchies_have_the_moments_of_the_joint_density(off, n_draws, normal):
    """Of a group of one asset, its standardised coefficients fixed: against weighted draws of the prior."""
    spec, p = world(**BOTH, normal=normal)
    p = {key: x for key, x in p.items() if key != "u"}
    i, group, own = 1, 1, spec.asset_volatility
    priors = (own.logit_phi, own.log_sd)
    cells = [f"{of}_{x}" for x in ASSET_PARAMETERS for of in ("mu", "sigma")]
    z = [(p[x][i] - p[f"mu_{x}"][group]) / p[f"sigma_{x}"][group] for x in ASSET_PARAMETERS]
    rng, chain, draws = np.random.default_rng(3), Chain(spec, p, turn=1), []
    with poorer(off):
        for _ in range(n_draws):
            q = chain.run(rng, U.move_path_hierarchies)
            now = [(q[x][i] - q[f"mu_{x}"][group]) / q[f"sigma_{x}"][group] for x in ASSET_PARAMETERS]
            np.testing.assert_allclose(now, z, rtol=1e-9)
            draws.append(np.r_[q["volatility_state"][:, i], [q[name][group] for name in cells]])
    assert_current(chain)
    draws, n = np.array(draws), 20_000
    assert (np.ptp(draws, axis=0) > 0).all()
    rng = np.random.default_rng(5)
    mu = np.array([x.loc_mean for x in priors]) + [x.loc_sd for x in priors] * rng.standard_normal((n, 2))
    sigma = np.abs([x.scale_sd for x in priors] * rng.standard_normal((n, 2)))
    b = mu + sigma * z
    phi, sd = 1 / (1 + np.exp(-b[:, 0])), np.exp(b[:, 1])
    v = np.empty((n, T))
    v[:, 0] = sd / np.sqrt(1 - phi**2) * rng.standard_normal(n)
    for t in range(1, T):
        v[:, t] = phi * v[:, t - 1] + sd * rng.standard_normal(n)
    returns, log_scale = spec.returns[:, i], log_noise_scale(spec, p)[:, i] - p["volatility_state"][:, i]
    e, seen = returns - expected_returns(spec, p)[:, i], np.isfinite(returns)
    scale = np.exp(log_scale + v)
    own_density = stats.norm.logpdf(e, 0.0, scale) if normal else stats.t.logpdf(e, p["nu"][i], 0.0, scale)
    known = np.column_stack([v, mu[:, 0], sigma[:, 0], mu[:, 1], sigma[:, 1]])
    assert_moments(draws, known, own_density[:, seen].sum(axis=1), least=1000, correlated=20)


@pytest.mark.parametrize("parts", [FACTOR_PATHS, BOTH, BOTH | LEAST], ids=["factors", "both", "least"])
def test_residual_move_by_day(parts):
    """Of the first asset: its residuals and noise scale times c, the factors moved along; eq. S42."""
    spec, p = world(**parts)
    seen = np.isfinite(spec.returns[:, 0])
    e = np.where(seen, (spec.returns - expected_returns(spec, p))[:, 0], 0.0)

    def run(rng):
        chain = Chain(spec, p)
        chain.scratch.tuning.leverage[1:] = 0.0
        q = chain.run(rng, U.move_along_residual_days)
        return chain, q, q["theta"][0, 0] - p["theta"][0, 0]

    chain, q, shift = run(Script())
    assert_current(chain)

    def log_c_of(x):
        return (level(spec, moved(p, "theta", (0, 0), p["theta"][0, 0] + x)) - level(spec, p))[0]

    t = int(np.argmax(np.abs(e)))
    v = (q["factors"][t] - p["factors"][t]) / ((1 - math.exp(log_c_of(shift))) * e[t])
    assert v @ p["loadings"][0, 0] == pytest.approx(1.0, rel=1e-9)

    def at(x):
        c, u = math.exp(log_c_of(x)), p["u"].copy()
        u[:, 0] /= c * c
        return moved(p, "theta", (0, 0), p["theta"][0, 0] + x) | {
            "factors": p["factors"] + (1 - c) * np.outer(e, v),
            "u": u,
        }

    # volumes: residuals times c, and u over its square, where there are returns
    n = seen.sum()
    assert_slice(lambda rng: run(rng)[2], lambda x: log_joint(spec, at(x)) + (n - 2 * n) * log_c_of(x), 0.0)


def test_density_of_persistence_and_shocks_with_the_path_integrated_out():
    """Against determinants and a solution of the whole precision of the states."""
    rng = np.random.default_rng(8)
    n = 40  # more than one run of pivots
    information = rng.gamma(2.0, 1.0, n) * (rng.random(n) < 0.8)
    pull = information * rng.standard_normal(n)
    mu, sigma = (1.0, -1.4), (0.7, 0.4)

    def dense(x):
        logit, log_sd = 0.4 + 0.5 * x, -1.0 - 0.3 * x
        phi, sd = 1 / (1 + math.exp(-logit)), math.exp(log_sd)
        lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        prior = np.linalg.inv(sd**2 / (1 - phi**2) * phi**lags)
        both = prior + np.diag(information)
        value = 0.5 * np.linalg.slogdet(prior)[1] - 0.5 * np.linalg.slogdet(both)[1]
        value += 0.5 * pull @ np.linalg.solve(both, pull)
        return value + stats.norm.logpdf([logit, log_sd], mu, sigma).sum()

    density = plain("updates.path_marginal").path_marginal_density
    args = (0.4, -1.0, 0.5, -0.3, mu[0], sigma[0], mu[1], sigma[1], information, pull)
    for x in (-2.0, -0.5, 1.0, 3.0):
        difference = density(x, args) - density(0.0, args)
        assert difference == pytest.approx(dense(x) - dense(0.0), rel=1e-8)
    alone = (*args[:8], information[:1] + 1.0, pull[:1])
    q = lambda x: math.exp(2 * (1.0 + 0.3 * x)) * (1 - 1 / (1 + math.exp(-0.4 - 0.5 * x)) ** 2)  # noqa: E731
    one = lambda x: (  # noqa: E731
        0.5 * math.log(q(x) / (q(x) + alone[8][0]))
        + 0.5 * pull[0] ** 2 / (q(x) + alone[8][0])
        + stats.norm.logpdf([0.4 + 0.5 * x, -1.0 - 0.3 * x], mu, sigma).sum()
    )
    assert density(1.0, alone) - density(0.0, alone) == pytest.approx(one(1.0) - one(0.0), rel=1e-8)


# -- paths with residuals integrated out ---------------------------------------------------------------------


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


def test_paths_start_from_their_law():
    """None is constant, whose shocks would be drawn towards 0 until it first moves."""
    spec, _ = world(**BOTH)
    start = [
        plain("state")
        .start_state(spec, plain("data").make_data(spec), np.random.default_rng(s))[1]
        .asset_volatility
        for s in range(200)
    ]
    v = np.array([x.path for x in start])
    phi, sd = 1 / (1 + np.exp(-np.array([x.logit_phi for x in start]))), np.exp([x.log_sd for x in start])
    z = (v[..., 1:] - phi[..., None] * v[..., :-1]) / sd[..., None]
    assert abs(z.mean()) < 0.06
    assert z.std() == pytest.approx(1.0, abs=0.04)
    assert (v[..., 0] * np.sqrt(1 - phi**2) / sd).std() == pytest.approx(1.0, abs=0.1)


def test_large_groups_have_their_paths_one_by_one_in_every_sweep():
    """Groups of three and one, at most two together: eq. S31 takes the former always, eq. S44 never."""
    spec, p = world(**BOTH)
    moved_by = {}
    with patched("MOST_TOGETHER", 2):
        data = plain("data").make_data(spec)
    assert data.asset_volatility.together.tolist() == [False, True]
    for turn in (0, 1):
        for name in ("draw_asset_paths", "move_path_hierarchies"):
            changed = np.zeros(N, bool)
            for seed in range(12):
                chain = Chain(spec, p, turn=turn)
                q_data = chain.data._replace(asset_volatility=data.asset_volatility)
                getattr(U, name)(np.random.default_rng(seed), q_data, chain.state, chain.scratch)
                changed |= (chain.values()["logit_phi"] != p["logit_phi"]).ravel()
            moved_by[name, turn] = changed.tolist()
    with patched("MOST_TOGETHER_NORMAL", 3):
        of_normal = plain("data").make_data(make_spec(**BOTH, normal=True)).asset_volatility.together
    with patched("MOST_TOGETHER_NORMAL", 2):
        fewer = plain("data").make_data(make_spec(**BOTH, normal=True)).asset_volatility.together
    assert (of_normal.tolist(), fewer.tolist()) == ([True, True], [False, True])
    large = [True, False, True, True]
    assert moved_by["draw_asset_paths", 0] == [True] * N
    assert moved_by["draw_asset_paths", 1] == large
    assert moved_by["move_path_hierarchies", 0] == [False] * N
    assert moved_by["move_path_hierarchies", 1] == [not x for x in large]


def test_paths_of_a_group_are_drawn_at_the_parameters_that_are_then_kept():
    spec, p = world(**BOTH)
    module, seen = plain("updates.path_hierarchies"), []
    original = module.draw_states_given_parts

    def watched(rng, logit_phi, log_sd, *rest):
        seen.append((logit_phi, log_sd))
        original(rng, logit_phi, log_sd, *rest)

    module.draw_states_given_parts = watched
    try:
        q = Chain(spec, p, turn=1).run(Script(seed=2), U.move_path_hierarchies)
    finally:
        module.draw_states_given_parts = original
    order = [i for group in (0, 1) for i in np.flatnonzero(group == GROUPS)]  # groups one after the other
    kept = [(q["logit_phi"][i], q["log_volatility_sd"][i]) for i in order]
    moved_ = [
        (p["logit_phi"][i], p["log_volatility_sd"][i]) != now for i, now in zip(order, kept, strict=True)
    ]
    assert any(moved_)
    for now, drawn, moves in zip(kept, seen, moved_, strict=True):
        if moves:
            assert now == pytest.approx(drawn, rel=1e-12)


@pytest.mark.parametrize("of", ["level_density", "residual_density", "collapsed_level_density"])
def test_a_level_far_above_the_least_noise_is_drawn_in_few_steps(of):
    """The least noise fits better by more than the tail of the prior can lose: the slice has no lower end."""
    b, least, count = 0.0, 1e-4, 0
    prior = (b, -4.0, 0.5, True, 10.0, least)
    if of == "level_density":
        density, args = plain("updates.asset_volatility").level_density, (1.0, -2000.0, *prior)
    elif of == "residual_density":
        density, args = plain("updates.residual_move").residual_density, (-1000.0, 0.0, 0.0, *prior)
    else:
        module, chain = plain("updates.collapsed_path"), Chain(*world(**BOTH, **LEAST))
        own = chain.scratch.collapsed
        own.variance[:], own.centre[:], own.log_variance[:] = 1e-9, 1e-5, 0.0
        density, args = module.collapsed_level_density, (own, np.zeros(T), np.full(T, 100.0), *prior)
    assert density(-1e6, args) > density(0.0, args) + 50

    def counted(x, args):
        nonlocal count
        count += 1
        assert count < 1000
        return density(x, args)

    lowest = plain("level").lowest_shift(b, least)
    rng = np.random.default_rng(1)
    found = [plain("slice").slice_above(rng, counted, args, 0.0, 0.3, lowest) for _ in range(3)]
    assert lowest - 1 < min(found) < 0
    assert plain("level").lowest_shift(b, 0.0) == -math.inf
