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

import numpy as np
import pytest
from drivers import (
    Chain,
    Script,
    after,
    make_spec,
    make_values,
    moved,
    normal_law,
    patched,
    updates,
    without,
)
from reference import log_joint

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
    """An update draws gamma variates with the shapes and rates of the joint density."""

    def run(value):
        def fill(rng, out, shape):
            out[:] = value(shape)

        def each(rng, shape, out, *_):
            out[:] = value(shape)

        with patched("gamma_fill", fill), patched("gamma_each", each):
            return after(spec, p, Script(), update)[name]

    def ones(shape):
        return 1.0

    def shapes(shape):
        return shape

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


def prepared(name):
    """An update that reads the innovations of the factors, with those brought up to date."""
    return updates("refresh_innovations", name)
