"""Updates of the noise, S21 to S28, against their densities.

How each is held to its density: ``density_cases``.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from density_cases import (
    SURE,
    Recorder,
    along,
    assert_current,
    assert_log_scale,
    gamma_law,
    run_from,
    skip,
    world,
)
from drivers import (
    EQUAL_WEIGHTS,
    GROUPS,
    LAPLACE_NOISE,
    LATENT,
    LEAST,
    MOMENTUM,
    PREMIUM,
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
    make_spec,
    make_values,
    moved,
    normal_law,
    patched,
    plain,
    updates,
    without,
)
from reference import expected_returns, log_joint
from scipy import integrate

from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T

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
        chain = Chain(spec, values(x), turn=1)
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


@pytest.mark.parametrize(("update", "own_turn"), [("move_group_means", 0), ("move_groups", 1)])
def test_means_and_groups_take_turns_where_hierarchies_share_a_grouping(update, own_turn):
    spec, p = world()
    p = without(p, "u")
    for turn in range(4):
        runs = [
            Chain(spec, p, turn=turn).run(Script(seed=s), updates("refresh_log_likelihood", update))
            for s in range(5)
        ]
        moves = any(not np.array_equal(q["mu_theta"], p["mu_theta"]) for q in runs)
        assert moves == (turn % 2 == own_turn), turn


def test_groups_move_in_every_sweep_where_nothing_else_moves_their_means():
    spec, p, _ = first_hierarchy("beta_earnings")
    for turn in range(4):
        runs = [Chain(spec, p, turn=turn).run(Script(seed=s), group_moves) for s in range(5)]
        assert any(not np.array_equal(q["mu_beta_earnings"], p["mu_beta_earnings"]) for q in runs), turn


def test_scale_of_a_group_whose_mean_is_known():
    spec, p, known = first_hierarchy("beta_earnings", loc_sd=None)
    z = (p["beta_earnings"][:, 0] - known.loc_mean) / p["sigma_beta_earnings"][0, 0]

    def values(x):
        q = moved(p, "sigma_beta_earnings", (0, 0), abs(x[0]))
        return q | {"beta_earnings": (known.loc_mean + x[0] * z)[:, None]}

    def propose(x, normals, uniforms):
        q = Chain(spec, values(x), turn=1).run(Script([5.0, *normals], uniforms), group_moves)
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
