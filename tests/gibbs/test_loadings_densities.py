"""Updates of the loadings, S4 to S7, against their densities.

How each is held to its density: ``density_cases``.
"""

import math

import numpy as np
import pytest
from density_cases import (
    Recorder,
    assert_current,
    assert_gamma,
    assert_log_scale,
    replay_normal,
    vector,
    with_vector,
    world,
)
from drivers import (
    BLOCKS,
    KNOWN,
    KNOWN_PATH,
    PREMIUM,
    Chain,
    K,
    N,
    Script,
    U,
    after,
    assert_draws_normal,
    moved,
    normal_law,
    patched,
)
from reference import log_joint

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
