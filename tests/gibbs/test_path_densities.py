"""Updates of the volatilities of single factors and assets against the joint density, as ``density_cases``.

The two Metropolis-Hastings steps of whole paths, ``draw_asset_paths`` and ``draw_factor_volatilities``, are
run on one series against weighted draws of its prior; what they do to all others is in ``test_joint``.
"""

import math

import numpy as np
import pytest
from density_cases import SURE, assert_current, skip, with_vector
from drivers import (
    ASSET_PATHS,
    FACTOR_PATHS,
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
    moved,
    normal_law,
    plain,
)
from path_cases import ASSET_PARAMETERS, BOTH, assert_moments, long, poorer, world
from reference import expected_returns, log_joint, log_noise_scale
from scipy import stats


def level(spec, p):
    """Log noise scale (asset) of an average period."""
    return log_noise_scale(spec, {x: p[x] if x == "theta" else np.zeros_like(p[x]) for x in p})[0]


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

    module = plain("updates.factor_scales")
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


@pytest.mark.long
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
