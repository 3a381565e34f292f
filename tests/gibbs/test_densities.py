"""Evidence, what updates share, and the sweep as a whole, against the densities of docs/sampler.md.

How each is held to its density: ``density_cases``.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
from density_cases import (
    along,
    assert_current,
    run_from,
    skip,
    world,
)
from drivers import (
    ASSET_PATHS,
    BLOCKS,
    EQUAL_WEIGHTS,
    EVIDENCE,
    FACTOR_PATHS,
    KNOWN,
    KNOWN_PATH,
    LAPLACE_NOISE,
    LATENT,
    MOMENTUM,
    NO_LAGS,
    PREMIUM,
    REGRESSION,
    STUDENT,
    Chain,
    Script,
    U,
    after,
    assert_invariant,
    assert_slice,
    moved,
    plain,
    updates,
)
from reference import log_joint
from scipy import stats

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


def test_gamma_variates_of_many_shapes_at_once():
    """Each place has its own law, those whose first try is refused too; the smallest shape refuses most."""
    shape = np.array([0.02, 0.3, 0.95, 1.0, 1.3, 4.7, 60.0])
    rng, draws, memory = np.random.default_rng(1), np.empty((4000, len(shape))), np.empty((2, len(shape)))
    for out in draws:
        plain("random").gamma_each(rng, shape, out, *memory, np.empty(len(shape), dtype=np.int64))
    for a, x in zip(shape, draws.T, strict=True):
        assert stats.kstest(x, stats.gamma(a).cdf).pvalue > 1e-4, a
    # independent from place to place, and from draw to draw
    scores = stats.norm.ppf(stats.gamma(shape).cdf(draws).clip(1e-9, 1 - 1e-9))
    assert abs(np.corrcoef(scores.T) - np.eye(len(shape))).max() < 0.07
    assert abs(np.corrcoef(scores[:-1].T, scores[1:].T)[: len(shape), len(shape) :]).max() < 0.07


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
    files = [
        *Path(__file__).parent.glob("test_*densities.py"),
        Path(__file__).with_name("test_collapsed_paths.py"),
        Path(__file__).with_name("test_path_lanes.py"),
    ]
    here = "".join(file.read_text(encoding="utf-8") for file in files)
    untested = [name for name in own if not re.search(rf'U\.{name}\b|"{name}"', here)]
    assert not untested
