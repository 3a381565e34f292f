"""Updates of the factors, S8 to S13 and S30, against their densities.

How each is held to its density: ``density_cases``.
"""

import math

import numpy as np
import pytest
from density_cases import (
    SURE,
    Recorder,
    along,
    assert_current,
    assert_gamma,
    assert_log_scale,
    prepared,
    replay_normal,
    run_from,
    shear,
    shift,
    shift_mean,
    turn,
    with_vector,
    world,
)
from drivers import (
    BLOCKS,
    EVIDENCE,
    KNOWN,
    KNOWN_PATH,
    LATENT,
    MOMENTUM,
    NO_LAGS,
    PREMIUM,
    REGRESSION,
    STUDENT,
    Chain,
    K,
    Script,
    T,
    U,
    after,
    assert_draws_normal,
    assert_invariant,
    assert_metropolis,
    assert_slice,
    moved,
    normal_law,
    patched,
)
from reference import expected_returns, log_joint

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
