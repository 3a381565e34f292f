"""Updates of the scales of the factors, S14 to S20, against their densities.

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
    assert_log_scale,
    prepared,
    run_from,
    skip,
    turn,
    world,
)
from drivers import (
    KNOWN,
    LATENT,
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
    moved,
    normal_law,
    patched,
)
from reference import log_joint

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
