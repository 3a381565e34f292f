"""Tiny problems, the sampler as plain Python, random numbers by script: what the tests of updates need.

The sampler's source is imported a second time with decorators that compile nothing. Its updates then take any
object for a random generator, and each can be asked what it does with chosen random numbers.
"""

import importlib
import math
import sys
from types import SimpleNamespace
from unittest import mock

import numba
import numpy as np
from reference import all_returns, expected_returns, groups, log_noise_scale
from scipy import stats
from scipy.interpolate import PchipInterpolator

import bdfm.gibbs
from bdfm.gibbs.spec import (
    AssetVolatility,
    Characteristics,
    DegreesOfFreedom,
    Effect,
    FactorVolatility,
    GibbsSpec,
    KnownReturn,
    Lags,
    LatentScale,
    LoadingBlocks,
    NoiseFamily,
    NormalHierarchy,
    ScaleRegression,
    StudentFactors,
)
from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T

T, N, K = 8, 4, 2
GROUPS = np.array([0, 1, 0, 0])


def _identity(*args, **_):
    """A decorator that does nothing, with or without arguments."""
    return args[0] if args and callable(args[0]) else (lambda function: function)


def _plain():
    """All modules of the sampler once more, uncompiled; those of the process stay as they are."""
    kept = {name: module for name, module in sys.modules.items() if name.startswith("bdfm.gibbs")}
    for name in kept:
        if name != "bdfm.gibbs.spec":
            del sys.modules[name]
    try:
        with mock.patch.object(numba, "njit", _identity):
            importlib.import_module("bdfm.gibbs.sampler")
            return [module for name, module in sys.modules.items() if name.startswith("bdfm.gibbs.")]
    finally:
        for name in [name for name in sys.modules if name.startswith("bdfm.gibbs")]:
            del sys.modules[name]
        sys.modules.update(kept)
        sys.modules["bdfm"].gibbs = kept["bdfm.gibbs"]


PLAIN = _plain()
assert bdfm.gibbs is sys.modules["bdfm.gibbs"]


def plain(module):
    """A module of the sampler, uncompiled."""
    return next(m for m in PLAIN if m.__name__ == f"bdfm.gibbs.{module}")


U = SimpleNamespace(**plain("sweep").UPDATES)


def updates(*names):
    """Updates made one after the other."""

    def run(rng, data, state, scratch):
        for name in names:
            getattr(U, name)(rng, data, state, scratch)

    return run


class Script:
    """A random generator that hands out given numbers first, and then those of a seed."""

    def __init__(self, normals=(), uniforms=(), seed=0):
        self.normals, self.uniforms = list(normals), list(uniforms)
        self.rest = np.random.default_rng(seed)

    def standard_normal(self):
        return self.normals.pop(0) if self.normals else self.rest.standard_normal()

    def random(self):
        return self.uniforms.pop(0) if self.uniforms else self.rest.random()


def patched(name, replacement):
    """Context in which every plain module sees ``replacement`` under a name."""
    stack = [mock.patch.object(m, name, replacement) for m in PLAIN if hasattr(m, name)]
    assert stack

    class Patches:
        def __enter__(self):
            for p in stack:
                p.start()

        def __exit__(self, *_):
            for p in stack:
                p.stop()

    return Patches()


# -- tiny problems ------------------------------------------------------------------------------------------


def make_spec(*, normal=False, least=0.0, **parts):
    """Four assets in two uneven groups, eight periods, gaps, uneven weights; ``parts`` on top.

    ``least``: noise scale below which the level of none goes; intercepts are near log 0.14.
    """
    rng = np.random.default_rng(11)
    returns = 0.08 * rng.standard_normal((T, N)) + 0.03
    returns[:2, 1] = returns[5, 2] = np.nan
    weights = np.array([0.3, 0.3, 0.3, 0.6, 0.6, 0.8, 1.0, 1.0])
    evidence = parts.get("evidence", ())
    if evidence:
        returns[-1] = np.nan
    one = np.ones((T, N))
    dof = None if normal else 9.0
    settings = dict(
        returns=returns,
        n_factors=K,
        mean=(
            Effect("alpha", one, scale_sd=0.03, loc_mean=0.01, dof=dof),
            Effect("beta_rr", rng.standard_normal((T, N)), 0.02, loc_sd=0.03, groups=GROUPS, dof=dof),
        ),
        log_volatility=(
            Effect(
                "theta", one, scale_sd=0.4, loc_sd=0.5, loc_mean=-2.0, groups=GROUPS, dof=7.0, least=least
            ),
            Effect("beta_rv", rng.standard_normal((T, N, 2)), scale_sd=0.3, loc_sd=0.4, groups=GROUPS),
            Effect(
                "beta_earnings", (rng.random((T, N)) < 0.4) + 0.0, scale_sd=0.25, loc_sd=0.3, loc_mean=0.1
            ),
        ),
        lags=Lags(1, rho_sd=0.4),
        factor_scale_sd=0.07,
        loadings_dof=6.0,
        noise=NoiseFamily(NORMAL)
        if normal
        else NoiseFamily(STUDENT_T, DegreesOfFreedom(7.0, sigma_nu_mean=2.5, sigma_nu_sd=0.8)),
        period_weights=weights,
    )
    return GibbsSpec(**(settings | parts))


LEAST = {"least": 0.1}
LAPLACE_NOISE = {"noise": NoiseFamily(LAPLACE)}
PREMIUM = {"premium_sd": 0.4}
MOMENTUM = {"lags": Lags(3, rho_sd=0.4, beta_sd=0.15)}
NO_LAGS = {"lags": None}
EQUAL_WEIGHTS = {"period_weights": None}  # one run of weights, whose logarithms are taken together
BLOCKS = {"loading_blocks": LoadingBlocks(np.array([0, 0, 0, 1, 1, 1, 2, 2]), drift_sd=0.4, unit=0.7)}
KNOWN = {
    "characteristics": Characteristics(
        np.array([[[1.0, 0.3], [0.0, -1.2], [1.0, 0.8], [0.0, 0.4]]]), slope_sd=0.6, scale_sd=0.8
    )
}
# Characteristics that move, one of them not, and a last block without a period: what a forecast starts from.
KNOWN_PATH = {
    "loading_blocks": LoadingBlocks(np.array([0, 0, 0, 1, 1, 1, 2, 2]), 0.4, 0.7, n_blocks=4),
    "characteristics": Characteristics(
        np.stack(
            [np.tile([1.0, 0.0, 1.0, 0.0], (4, 1)), np.random.default_rng(7).standard_normal((4, N))], axis=2
        ),
        slope_sd=0.6,
        scale_sd=0.8,
    ),
}
REGRESSION = {
    "scale_regression": ScaleRegression(np.random.default_rng(5).standard_normal((T, 2)), slope_sd=0.4)
}
LATENT = {"latent_scale": LatentScale(phi_mean=0.6, phi_sd=0.3, sigma_sd=0.4)}
STUDENT = {"factor_noise": StudentFactors(nu_mean=7.0, nu_sd=2.5)}
FACTOR_PATHS = {
    **NO_LAGS,
    **EQUAL_WEIGHTS,
    "factor_volatility": FactorVolatility(1.2, 0.6, -1.1, 0.4, 0.5),
}
ASSET_PATHS = {
    **EQUAL_WEIGHTS,
    "asset_volatility": AssetVolatility(
        GROUPS, NormalHierarchy(1.1, 0.5, 0.4), NormalHierarchy(-1.2, 0.4, 0.3)
    ),
}
EVIDENCE = {"evidence": (KnownReturn(2, 0.1, 0.05), KnownReturn(0, -0.05, 0.08))}


def make_values(spec, seed=1):
    """Values of all parameters and latent variables, none of them at a special point."""
    rng = np.random.default_rng(seed)
    n_blocks = 1 if spec.loading_blocks is None else spec.loading_blocks.number
    p = {
        "loadings": np.cumsum(rng.standard_normal((n_blocks, N, K)) * 0.6, axis=0) + 0.4,
        "factors": 0.06 * rng.standard_normal((T, K)),
        "factor_scale": np.array([0.06, 0.035]),
    }
    if spec.loadings_dof is not None:
        p["mix_loadings"] = rng.gamma(3.0, 1 / 3.0, (N, K))
    for effect in (*spec.mean, *spec.log_volatility):
        _, n_groups = groups(effect)
        n_columns = effect.features.reshape(T, N, -1).shape[2]
        sigma = effect.scale_sd * rng.uniform(0.6, 1.3, (n_groups, n_columns))
        mu = effect.loc_mean + (effect.loc_sd or 0.0) * rng.standard_normal((n_groups, n_columns))
        p[f"sigma_{effect.name}"] = sigma
        if effect.loc_sd is not None:
            p[f"mu_{effect.name}"] = mu
        index, _ = groups(effect)
        p[effect.name] = mu[index] + sigma[index] * rng.standard_normal((N, n_columns))
        if effect in spec.mean and effect.dof is not None:
            p[f"mix_{effect.name}"] = rng.gamma(4.0, 1 / 4.0, (N, n_columns))
    if spec.premium_sd is not None:
        p["premium"] = np.array([0.5, -0.3])
    if spec.lags is not None:
        p["rho"] = 0.35
        if spec.lags.number > 1:
            p["beta_momentum"] = -0.12
    if spec.scale_regression is not None:
        p["beta_mv"] = np.array([0.4, -0.25])
    if spec.latent_scale is not None:
        p |= {"phi": 0.55, "sigma_log_multiplier": 0.35, "log_multiplier": 0.4 * rng.standard_normal(T)}
    if spec.factor_noise is not None:
        p |= {"factor_nu": 4.5, "factor_mixing": np.array([0.4, 1.9, 0.7, 1.2, 0.15, 2.6, 0.9, 1.4])}
    if spec.factor_volatility is not None:
        p |= {"factor_volatility": 0.4 * rng.standard_normal((T, K)), "factor_phi": np.array([0.6, 0.8])}
        p |= {"factor_volatility_sd": np.array([0.5, 0.35]), "leverage": np.array([-0.55, 0.3])}
    if spec.asset_volatility is not None:
        p["volatility_state"] = 0.4 * rng.standard_normal((T, N))
        for name, mu in (("logit_phi", 0.9), ("log_volatility_sd", -1.0)):
            p[f"mu_{name}"], p[f"sigma_{name}"] = np.array([mu, mu - 0.2]), np.array([0.4, 0.3])
            p[name] = mu + 0.3 * rng.standard_normal(N)
    if spec.characteristics is not None:
        p |= {"loading_slopes": 0.5 * rng.standard_normal((2, K)), "sigma_loadings": 0.7}
    if spec.loading_blocks is not None:
        p["loading_drift"] = 0.45
    if spec.evidence:
        p["evidence_return"] = np.array([0.03, -0.02])
    if spec.noise.dof is not None:
        p |= {"nu": np.array([4.0, 9.0, 6.0, 3.0]), "sigma_nu": 2.2}
    if spec.noise.code != NORMAL:
        seen = np.isfinite(all_returns(spec, p))
        p["u"] = np.where(seen, np.exp(-2 * log_noise_scale(spec, p)) * rng.gamma(2.0, 0.5, (T, N)), 0.0)
    return p


def without(p, *names):
    """Values without some of them: mixing variables that are then integrated out."""
    return {name: x for name, x in p.items() if name not in names}


def moved(p, name, index, value):
    """Values with one number replaced."""
    new = dict(p)
    if index is None:
        new[name] = float(value)
    else:
        new[name] = np.array(p[name], dtype=float)
        new[name][index] = value
    return new


# -- from and to the arrays of the sampler ------------------------------------------------------------------


_TEMPLATES = {}


def _template(spec):
    """Data of a specification and the number of values of a state, made once."""
    if id(spec) not in _TEMPLATES:
        data = plain("data").make_data(spec)
        # the specification is kept too, so that no other one gets its id
        _TEMPLATES[id(spec)] = (data, plain("state").state_sizes(data, spec.n_factors)[0], spec)
    return _TEMPLATES[id(spec)][:2]


class Chain:
    """The arrays of one chain, at given values."""

    def __init__(self, spec, p, *, relax=0.0, turn=0):
        self.spec, self.p = spec, p
        data, size = _template(spec)
        returns = data.returns._replace(values=np.nan_to_num(all_returns(spec, p).T))
        self.data = data = data._replace(returns=returns)
        self.state = state = plain("state").state_views(np.ones(size), data, spec.n_factors)
        state.multiplier.h[:] = 0.0
        for name, array, factor in self.entries():
            if name in p:
                array[...] = factor * np.asarray(p[name]).T
        state.loadings.values[:] = p["loadings"].swapaxes(1, 2)
        mean = p["factor_scale"] * p.get("premium", 0.0)
        state.factors.path[:] = (p["factors"] + mean).T
        state.factors.premium[:] = mean
        for effects, own in ((spec.mean, state.mean), (spec.log_volatility, state.volatility)):
            for row, e, c in self.rows(effects):
                n = len(p[f"sigma_{e.name}"])
                own.b[row] = p[e.name][:, c]
                own.sigma[row, :n] = p[f"sigma_{e.name}"][:, c]
                own.mu[row, :n] = p[f"mu_{e.name}"][:, c] if f"mu_{e.name}" in p else e.loc_mean
        for row, e, c in self.rows(spec.mean):
            state.mean.mixing[row] = p[f"mix_{e.name}"][:, c] if f"mix_{e.name}" in p else 1.0
        self.scratch = scratch = plain("scratch").make_scratch(data, state)
        updates("refresh_band", "refresh_residuals", "refresh_precision")(None, data, state, scratch)
        e = all_returns(spec, p) - expected_returns(spec, p)
        assert np.abs(scratch.residuals.T - np.where(np.isfinite(e), e, 0.0)).max() < 1e-12
        state.u[:] = p["u"].T if "u" in p else data.returns.weight * scratch.noise.precision
        scratch.tuning.leverage[:] = 1.0
        scratch.tuning.relax[:] = relax
        scratch.tuning.sweeps[:] = turn + 1

    def entries(self):
        """Name, array and what to multiply the value by, where the array is the transpose of the value."""
        s, blocks = self.state, self.spec.loading_blocks
        return (
            ("mix_loadings", s.loadings.mixing, 1.0),
            ("loading_slopes", s.loadings.slopes, 1.0),
            ("sigma_loadings", s.loadings.tau, 1.0),
            ("loading_drift", s.loadings.delta, 1.0 if blocks is None else blocks.unit),
            ("factor_scale", s.factors.scale, 1.0),
            ("rho", s.dynamics.rho, 1.0),
            ("beta_momentum", s.dynamics.beta, 1.0),
            ("beta_mv", s.multiplier.slopes, 1.0),
            ("log_multiplier", s.multiplier.h, 1.0),
            ("phi", s.multiplier.phi, 1.0),
            ("sigma_log_multiplier", s.multiplier.sigma, 1.0),
            ("factor_volatility", s.factor_volatility.h, 1.0),
            ("factor_phi", s.factor_volatility.phi, 1.0),
            ("factor_volatility_sd", s.factor_volatility.sigma, 1.0),
            ("leverage", s.factor_volatility.leverage, 1.0),
            ("volatility_state", s.asset_volatility.path, 1.0),
            ("logit_phi", s.asset_volatility.logit_phi, 1.0),
            ("log_volatility_sd", s.asset_volatility.log_sd, 1.0),
            *(
                (f"{what}_{name}", array[row], 1.0)
                for row, name in enumerate(("logit_phi", "log_volatility_sd"))
                for what, array in (("mu", s.asset_volatility.mu), ("sigma", s.asset_volatility.sigma))
            ),
            ("factor_nu", s.multiplier.nu, 1.0),
            ("factor_mixing", s.multiplier.mixing, 1.0),
            ("nu", s.noise.nu, 1.0),
            ("sigma_nu", s.noise.sigma_nu, 1.0),
            ("evidence_return", s.evidence, 1.0),
            ("u", s.u, 1.0),
        )

    @staticmethod
    def rows(effects):
        """Row of the sampler's arrays, effect and column, for each column of each effect."""
        pairs = [(e, c) for e in effects for c in range(e.columns)]
        return [(row, e, c) for row, (e, c) in enumerate(pairs)]

    def values(self):
        """Values by name, those that the chain was made of."""
        s, old = self.state, self.p
        new = {
            "loadings": s.loadings.values.swapaxes(1, 2).copy(),
            "factors": (s.factors.path - s.factors.premium[:, None]).T.copy(),
            "premium": s.factors.premium / s.factors.scale,
        }
        for name, array, factor in self.entries():
            if name in old:
                new[name] = (array.T / factor).reshape(np.shape(old[name])).copy()
                new[name] = float(new[name]) if np.ndim(old[name]) == 0 else new[name]
        for effects, own in ((self.spec.mean, s.mean), (self.spec.log_volatility, s.volatility)):
            for row, e, c in self.rows(effects):
                arrays = {e.name: own.b, f"mu_{e.name}": own.mu, f"sigma_{e.name}": own.sigma}
                if effects is self.spec.mean:
                    arrays[f"mix_{e.name}"] = own.mixing
                for name, array in arrays.items():
                    if name in old:
                        x = new.setdefault(name, np.empty_like(old[name]))
                        x[:, c] = array[row, : len(x)]
        return {name: x for name, x in new.items() if name in old}

    def run(self, rng, update):
        """Values after an update, called as update(rng, data, state, scratch)."""
        update(rng, self.data, self.state, self.scratch)
        return self.values()


def after(spec, p, rng, update, **settings):
    """Values after one update from the given ones, which stay as they are."""
    return Chain(spec, p, **settings).run(rng, update)


# -- what an update must agree with -------------------------------------------------------------------------


def quadratic(f, x0, steps):
    """Gradient at x0 and Hessian of a quadratic function, exact but for rounding."""
    n = len(x0)
    h = np.broadcast_to(np.asarray(steps, dtype=float), (n,))
    unit = np.eye(n) * h
    centre = f(x0)
    plus = np.array([f(x0 + e) for e in unit])
    minus = np.array([f(x0 - e) for e in unit])
    hessian = np.diag(plus + minus - 2 * centre)
    for i in range(n):
        for j in range(i):
            hessian[i, j] = hessian[j, i] = f(x0 + unit[i] + unit[j]) - plus[i] - plus[j] + centre
    return (plus - minus) / (2 * h), hessian / np.outer(h, h)


def normal_law(f, x0, steps):
    """Mean and covariance of the density exp(f) of a normal vector."""
    gradient, hessian = quadratic(f, x0, steps)
    covariance = np.linalg.inv(-hessian)
    return x0 + covariance @ gradient, covariance


def integrated(f, x0, steps):
    """Log of the integral of exp(f) over a normal vector, up to a constant."""
    gradient, hessian = quadratic(f, x0, steps)
    return f(x0) + 0.5 * gradient @ np.linalg.solve(-hessian, gradient) - 0.5 * np.linalg.slogdet(-hessian)[1]


def assert_draws_normal(draw, law, n_normals, *, relax=0.0, start=None, rtol=1e-6):
    """An update that is linear in its normal numbers has the mean and the covariance of ``law``.

    ``draw(normals)`` is the vector that comes of given standard normal numbers. Over-relaxed by ``relax``
    its mean is pushed beyond that of the law, away from ``start``, and its variance is less.
    """
    mean, covariance = law
    centre = draw(np.zeros(n_normals))
    expected = mean if start is None else mean + relax * (mean - start)
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((centre - expected) / sd, 0.0, atol=rtol)
    root = np.stack([draw(e) - centre for e in np.eye(n_normals)], axis=1)
    np.testing.assert_allclose(
        root @ root.T / np.outer(sd, sd), (1 - relax**2) * covariance / np.outer(sd, sd), atol=rtol
    )


def assert_slice(draw, density, now, *, needed=3, attempts=60, eps=1e-8, seed=0):
    """An update accepts a proposal exactly where ``density`` is above the level of its slice.

    ``draw(rng)`` is the coordinate after the update from the coordinate ``now``. A first run finds a proposal
    x that is taken; with the level just below and just above density(x) it must be taken and refused.
    """
    rng = np.random.default_rng(seed)
    start = density(now)
    found = 0

    def result(depth, place, proposal, rest):
        return draw(Script(uniforms=[-math.expm1(-depth), place, proposal], seed=rest))

    for _ in range(attempts):
        depth, place, proposal = rng.exponential(2.0), rng.random(), rng.random()
        x = result(depth, place, proposal, 1)
        if x != result(depth, place, proposal, 2) or x == now:
            continue  # not the first proposal
        drop = start - density(x)
        if drop <= 2 * eps:
            continue  # uphill, whatever the level
        assert drop <= depth + eps, f"accepted {drop - depth:.3g} below the level"
        if result(drop + eps, place, proposal, 1) != x:
            continue  # the interval is another one at this level
        assert result(drop - eps, place, proposal, 1) != x, "accepted below the level"
        found += 1
        if found == needed:
            return
    raise AssertionError(f"{found} of {needed} thresholds agree")


def assert_invariant(draw, density, grid, *, n=600, seed=0, level=1e-4, bounded=False):
    """One update of draws from a density leaves them draws from it (Kolmogorov-Smirnov).

    ``draw(x, rng)`` is the coordinate after an update from x; the density is tabulated on ``grid``, outside
    of which there is none of it to speak of; ``bounded``: because it ends there.
    """
    spline = PchipInterpolator(grid, [density(x) for x in grid])
    grid = np.linspace(grid[0], grid[-1], 2000)
    values = spline(grid)
    p = np.exp(values - values.max())
    assert bounded or max(p[0], p[-1]) < 1e-4, "the grid is too narrow"
    cdf = np.concatenate([[0.0], np.cumsum(0.5 * (p[1:] + p[:-1]) * np.diff(grid))])
    cdf /= cdf[-1]
    rng = np.random.default_rng(seed)
    starts = np.interp((np.arange(n) + rng.random(n)) / n, cdf, grid)
    ends = np.array([draw(x, rng) for x in starts])
    assert np.mean(ends != starts) > 0.3
    found = stats.kstest(ends, lambda x: np.interp(x, grid, cdf))
    assert found.pvalue > level, found
    return ends


def assert_metropolis(propose, density, now, *, directions, accept_uniform, newton=False, eps=1e-8):
    """A Newton-type move accepts with the ratio of Metropolis and Hastings; yields the ratios tried.

    ``propose(x, normals, uniforms)`` is where the move goes from x. Its proposal is normal with the mean and
    the root of the covariance that come of numbers 0 and 1, from here and from there. With ``newton`` its
    mean must be the covariance times the gradient away.
    """
    sure = 1.0 - 2.0**-53

    def law(x):
        n = directions.shape[1]
        centre = propose(x, np.zeros(n), accept_uniform(sure))
        return centre, np.stack([propose(x, e, accept_uniform(sure)) - centre for e in np.eye(n)], axis=1)

    centre, root = law(now)
    if newton:
        steps = 1e-5 * np.eye(len(now))
        gradient = [(density(now + step) - density(now - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(
            np.linalg.solve(root @ root.T, centre - now), gradient, rtol=1e-5, atol=1e-5
        )
    for normals in directions:
        new = propose(now, normals, accept_uniform(sure))
        if np.array_equal(new, now):
            continue  # outside of where the density is
        np.testing.assert_allclose(new, centre + root @ normals, rtol=1e-9, atol=1e-12)
        back_centre, back_root = law(new)
        back = np.linalg.solve(back_root, now - back_centre)
        ratio = density(new) - density(now) + 0.5 * normals @ normals - 0.5 * back @ back
        ratio += np.linalg.slogdet(root)[1] - np.linalg.slogdet(back_root)[1]
        if ratio > -2 * eps:
            continue
        for shift, moves in ((-eps, True), (eps, False)):
            found = propose(now, normals, accept_uniform(-math.expm1(ratio + shift)))
            close = np.allclose(found, new, rtol=1e-9, atol=1e-12)
            assert close is moves, f"ratio {ratio:.6f}, shifted by {shift}"
        yield ratio
