"""The Gibbs sampler against naive densities, numerical integration and exact formulas."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bdfm.errors import ModelError
from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs
from bdfm.gibbs.spec import DegreesOfFreedom, Effect, GibbsSpec, Lags, NoiseFamily
from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T
from bdfm.inference.ess import mcse_mean

T, N, K = 20, 6, 2
GROUPS = np.array([0, 0, 0, 1, 1, 1])


def tiny_spec(seed=0, weights=None, missing=True):
    """Six assets in two classes, all components, priors tight enough that nothing runs away."""
    rng = np.random.default_rng(seed)
    returns = 0.05 * rng.standard_normal((T, N))
    if missing:
        returns[:4, 1] = np.nan
        returns[-2:, 4] = np.nan
        returns[7, 2] = np.nan
    one = np.ones((T, N))
    earnings = (np.arange(T)[:, None] + np.arange(N)) % 3 == 0
    return GibbsSpec(
        returns,
        K,
        mean=(
            Effect("alpha", one, scale_sd=0.02, dof=10.0),
            Effect(
                "beta_rr", rng.standard_normal((T, N)), scale_sd=0.02, loc_sd=0.02, groups=GROUPS, dof=10.0
            ),
        ),
        log_volatility=(
            Effect("theta", one, scale_sd=0.3, loc_sd=0.5, loc_mean=-2.0, groups=GROUPS, dof=10.0),
            Effect("beta_rv", rng.standard_normal((T, N, 1)), scale_sd=0.2, loc_sd=0.3, groups=GROUPS),
            Effect("beta_earnings", earnings.astype(float), scale_sd=0.25, loc_sd=0.3),
        ),
        lags=Lags(rho_sd=0.3),
        factor_scale_sd=0.05,
        # nu far below 1 would make data that overflow
        noise=NoiseFamily(STUDENT_T, DegreesOfFreedom(7.0, sigma_nu_mean=2.0, sigma_nu_sd=0.4)),
        period_weights=weights,
    )


def standard_error(x, batches=50):
    """Standard error of the mean of a correlated series, from means of batches."""
    means = x[: len(x) // batches * batches].reshape(batches, -1).mean(axis=1)
    return means.std(ddof=1) / np.sqrt(batches)


def test_equal_seeds_give_equal_draws_on_any_number_of_cores():
    first, second, other = (
        sample_gibbs(tiny_spec(), GibbsSettings(20, 30, 2, chains=3, cores=cores), seed=seed).draws
        for cores, seed in ((1, 4), (2, 4), (2, 5))
    )
    assert len(first) == 20
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)
        assert not np.array_equal(values, other[name]), name


def test_a_period_of_negligible_weight_is_as_good_as_missing():
    """Posterior means with a wild period at weight 1e-9 equal those without it."""
    spec = tiny_spec(missing=False)
    wild, gone = spec.returns.copy(), spec.returns.copy()
    wild[5], gone[5] = 3.0, np.nan
    weights = np.where(np.arange(T) == 5, 1e-9, 1.0)
    settings = GibbsSettings(1500, 500, 4, chains=2)
    runs = [
        sample_gibbs(replace(spec, returns=wild, period_weights=weights), settings, seed=1).draws,
        sample_gibbs(replace(spec, returns=gone), settings, seed=2).draws,
    ]
    for name in ("theta", "beta_rv", "nu"):
        a, b = (r[name].reshape(2, 1500, -1) for r in runs)
        error = np.hypot(mcse_mean(a), mcse_mean(b))
        assert np.max(np.abs(a.mean((0, 1)) - b.mean((0, 1))) / error) < 4.5, name


def test_progress_counts_every_sweep():
    seen = []
    settings = GibbsSettings(10, 150, 3, chains=2)
    sample_gibbs(tiny_spec(), settings, seed=1, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (360, 360)


def test_specifications_that_cannot_be_run_are_refused():
    spec = tiny_spec()
    wrong = replace(spec.mean[0], features=np.ones((T, N - 1)))
    with pytest.raises(ModelError, match=r"features of alpha have shape \(20, 5\)"):
        replace(spec, mean=(wrong,))
    with pytest.raises(ModelError, match="period_weights need 20 values"):
        replace(spec, period_weights=np.zeros(T))
    with pytest.raises(ModelError, match="0 effects on the log-volatility"):
        replace(spec, log_volatility=())


def log_posterior(spec, p):
    """Log posterior density of each draw up to a constant, written plainly: eq. 1 to 9 and the priors."""
    n = len(p["rho"])
    value = np.zeros(n)

    def half_normal(x, sd):
        return stats.norm.logpdf(x, 0, sd)

    linear = {"mean": np.einsum("dik,dtk->dti", p["loadings"], p["factors"]), "scale": np.zeros((n, T, N))}
    for part, effects in (("mean", spec.mean), ("scale", spec.log_volatility)):
        for e in effects:
            b = p[e.name].reshape(n, N, 1)
            groups = np.zeros(N, int) if e.groups is None else e.groups
            sigma = p[f"sigma_{e.name}"].reshape(n, -1)
            mu = p[f"mu_{e.name}"].reshape(n, -1) if e.loc_sd else np.full_like(sigma, e.loc_mean)
            z = (b[:, :, 0] - mu[:, groups]) / sigma[:, groups]
            density = stats.norm.logpdf(z) if e.dof is None else stats.t.logpdf(z, e.dof)
            value += (density - np.log(sigma[:, groups])).sum(axis=1)
            value += half_normal(sigma, e.scale_sd).sum(axis=1)
            if e.loc_sd:
                value += stats.norm.logpdf(mu, e.loc_mean, e.loc_sd).sum(axis=1)
            linear[part] += e.features.reshape(1, T, N) * b[:, None, :, 0]
    f, rho, scale = p["factors"], p["rho"][:, None], p["factor_scale"]
    value += stats.norm.logpdf(f[:, 0], 0, scale / np.sqrt(1 - rho**2)).sum(axis=1)
    for t in range(1, T):
        value += stats.norm.logpdf(f[:, t], rho * f[:, t - 1], scale).sum(axis=1)
    value += stats.norm.logpdf(p["rho"], 0, spec.lags.rho_sd) + half_normal(scale, spec.factor_scale_sd).sum(
        axis=1
    )
    value += stats.t.logpdf(p["loadings"], spec.loadings_dof).sum(axis=(1, 2))
    a = (spec.noise.dof.nu_mean / p["sigma_nu"])[:, None] ** 2
    value += stats.gamma.logpdf(p["nu"], a, scale=spec.noise.dof.nu_mean / a).sum(axis=1)
    a = (spec.noise.dof.sigma_nu_mean / spec.noise.dof.sigma_nu_sd) ** 2
    value += stats.gamma.logpdf(p["sigma_nu"], a, scale=spec.noise.dof.sigma_nu_mean / a)
    return value + log_likelihood(spec, p, linear["mean"], np.exp(linear["scale"]))


def log_likelihood(spec, p, mean, sigma):
    """Weighted log-likelihood of each draw."""
    density = stats.t.logpdf(spec.returns, p["nu"][:, None, :], mean, sigma)
    return np.nansum(spec.period_weights[:, None] * density, axis=(1, 2))


@pytest.fixture(scope="module")
def weighted():
    """A posterior with period weights and missing returns: specification, result, draws of all chains."""
    spec = tiny_spec(weights=np.where(np.arange(T) < 8, 0.4, np.linspace(0.5, 1.0, T)))
    result = sample_gibbs(spec, GibbsSettings(draws=1000, tune=300, thin=8, chains=2), seed=3)
    return spec, result, {name: x.reshape(-1, *x.shape[2:]) for name, x in result.draws.items()}


def test_log_likelihood_is_that_of_the_draws(weighted):
    spec, result, p = weighted
    mean = np.einsum("dik,dtk->dti", p["loadings"], p["factors"])
    mean += p["alpha"][:, None] + p["beta_rr"][:, None] * spec.mean[1].features
    _, rv, earnings = spec.log_volatility
    scale = p["theta"][:, None] + p["beta_earnings"][:, None] * earnings.features
    scale += np.einsum("diw,tiw->dti", p["beta_rv"], rv.features)
    expected = log_likelihood(spec, p, mean, np.exp(scale))
    np.testing.assert_allclose(result.sample_stats["log_likelihood"].reshape(-1), expected, rtol=1e-10)


# Unconstrained coordinates of one parameter of each kind: name, index, map to the line and back
LOG = (np.log, np.exp, lambda y: y)
LINE = (lambda x: x, lambda y: y, lambda y: 0.0)
ATANH = (np.arctanh, np.tanh, lambda y: np.log1p(-(np.tanh(y) ** 2)))
COORDINATES = [
    ("alpha", (0,), LINE),
    ("sigma_alpha", (), LOG),
    ("beta_rr", (2,), LINE),
    ("mu_beta_rr", (0,), LINE),
    ("sigma_beta_rr", (1,), LOG),
    ("theta", (1,), LINE),
    ("mu_theta", (0,), LINE),
    ("sigma_theta", (1,), LOG),
    ("beta_rv", (3, 0), LINE),
    ("mu_beta_rv", (1, 0), LINE),
    ("sigma_beta_rv", (0, 0), LOG),
    ("beta_earnings", (4,), LINE),
    ("mu_beta_earnings", (), LINE),
    ("sigma_beta_earnings", (), LOG),
    ("nu", (0,), LOG),
    ("nu", (4,), LOG),
    ("sigma_nu", (), LOG),
    ("rho", (), ATANH),
    ("factor_scale", (0,), LOG),
    ("loadings", (1, 0), LINE),
    ("loadings", (4, 1), LINE),
    ("factors", (0, 0), LINE),
    ("factors", (7, 1), LINE),
    ("factors", (T - 1, 0), LINE),
]


@pytest.mark.parametrize(("name", "index", "maps"), COORDINATES, ids=[f"{n}{i}" for n, i, _ in COORDINATES])
def test_score_of_the_plain_log_posterior_has_the_moments_of_a_posterior(weighted, name, index, maps):
    """E[d log p / dx] = 0 and E[(x - c) d log p / dx] = -1 under p, for every coordinate x of the line."""
    spec, _, p = weighted
    to_line, back, log_jacobian = maps
    at = (slice(None), *index)
    y = to_line(p[name][at])
    step = 1e-4 * y.std()
    value = {}
    for sign in (-1, 1):
        moved = p[name].copy()
        moved[at] = back(y + sign * step)
        value[sign] = log_posterior(spec, {**p, name: moved}) + log_jacobian(y + sign * step)
    score = (value[1] - value[-1]) / (2 * step)
    for x in (score, (y - np.median(y)) * score + 1.0):
        # heavy tails: 2,000 draws of which at least half count
        assert abs(x.mean()) < 4.5 * standard_error(x, batches=40)


def test_weighted_student_posterior_of_one_asset_agrees_with_integration_on_a_grid():
    rng = np.random.default_rng(4)
    n = 25
    returns = 0.01 + 0.04 * rng.standard_t(4.0, (n, 1))
    weights = np.where(np.arange(n) < 10, 0.3, 1.0)
    one = np.ones((n, 1))
    tight = 1e-6  # scales that leave only the location of each hierarchy
    spec = GibbsSpec(
        returns,
        1,
        mean=(Effect("alpha", one, scale_sd=tight, loc_sd=0.02),),
        log_volatility=(Effect("theta", one, scale_sd=tight, loc_sd=0.7, loc_mean=-3.0),),
        lags=None,
        factor_scale_sd=1e-8,
        noise=NoiseFamily(STUDENT_T, DegreesOfFreedom(7.0, sigma_nu_mean=3.0, sigma_nu_sd=1e-3)),
        period_weights=weights,
    )
    result = sample_gibbs(spec, GibbsSettings(draws=5000, tune=300, thin=2, chains=2), seed=5)
    a, th, ln = np.meshgrid(
        np.linspace(-0.05, 0.07, 49), np.linspace(-4.6, -1.6, 61), np.linspace(-1.5, 3.5, 61), indexing="ij"
    )
    log_p = stats.norm.logpdf(a, 0, 0.02) + stats.norm.logpdf(th, -3, 0.7) + ln
    log_p += stats.gamma.logpdf(np.exp(ln), (7 / 3) ** 2, scale=9 / 7)
    for r, w in zip(returns[:, 0], weights, strict=True):
        log_p += w * stats.t.logpdf(r, np.exp(ln), a, np.exp(th))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    log_nu = np.log(result.draws["nu"])
    for draws, grid in ((result.draws["alpha"], a), (result.draws["theta"], th), (log_nu, ln)):
        x = draws.reshape(-1)
        for f in (lambda v: v, lambda v: (v - (p * grid).sum()) ** 2):  # noqa: B023 - used at once
            error = standard_error(f(x))
            assert f(x).var() / error**2 > 500
            assert abs(f(x).mean() - (p * f(grid)).sum()) < 4 * error


@pytest.mark.parametrize("constant", [False, True], ids=["returns", "with equal returns"])
def test_weighted_laplace_posterior_of_one_asset_agrees_with_integration_on_a_grid(constant):
    """With returns that are equal the posterior of the mean peaks there, and mixing variables run away."""
    rng = np.random.default_rng(4)
    n = 25
    returns = 0.01 + 0.04 * rng.laplace(size=(n, 1))
    if constant:
        returns[:8] = 0.01
    weights = np.where(np.arange(n) < 10, 0.3, 1.0)
    one = np.ones((n, 1))
    tight = 1e-7  # scales that leave only the location of each hierarchy
    spec = GibbsSpec(
        returns,
        1,
        mean=(Effect("alpha", one, scale_sd=tight, loc_sd=0.02),),
        log_volatility=(Effect("theta", one, scale_sd=tight, loc_sd=0.7, loc_mean=-3.0),),
        noise=NoiseFamily(LAPLACE),
        lags=None,
        factor_scale_sd=1e-8,
        period_weights=weights,
    )
    result = sample_gibbs(spec, GibbsSettings(draws=5000, tune=300, thin=2, chains=2), seed=5)
    hierarchies = {f"{kind}{name}" for name in ("alpha", "theta") for kind in ("", "mu_", "sigma_")}
    assert set(result.draws) == {"loadings", "factors", "factor_scale", *hierarchies}
    assert set(result.acceptance) == {"log_volatility", "mu_theta"}
    a, th = np.meshgrid(np.linspace(-0.06, 0.08, 1401), np.linspace(-4.6, -1.6, 301), indexing="ij")
    log_p = stats.norm.logpdf(a, 0, 0.02) + stats.norm.logpdf(th, -3, 0.7)
    for r, w in zip(returns[:, 0], weights, strict=True):
        log_p += w * stats.laplace.logpdf(r, a, np.exp(th))
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    for draws, grid in ((result.draws["alpha"], a), (result.draws["theta"], th)):
        x, centre = draws.reshape(-1), (p * grid).sum()
        functions = (lambda v: v, lambda v: (v - centre) ** 2, lambda v: np.abs(v - centre))  # noqa: B023
        for f in functions:
            error = standard_error(f(x))
            assert f(x).var() / error**2 > 500
            assert abs(f(x).mean() - (p * f(grid)).sum()) < 4 * error


def test_regression_with_known_normal_noise_has_its_exact_posterior():
    rng = np.random.default_rng(6)
    x = rng.standard_normal((T, N))
    sigma = 0.03
    returns = 0.01 + 0.02 * x + sigma * rng.standard_normal((T, N))
    returns[3:6, 2] = np.nan
    weights = np.linspace(0.2, 1.0, T)
    one = np.ones((T, N))
    tight = 1e-7
    spec = GibbsSpec(
        returns,
        1,
        mean=(Effect("alpha", one, tight, loc_sd=0.02), Effect("beta_rr", x, tight, loc_sd=0.02)),
        log_volatility=(Effect("theta", one, tight, loc_sd=tight, loc_mean=np.log(sigma)),),
        lags=None,
        factor_scale_sd=1e-9,
        noise=NoiseFamily(NORMAL),
        period_weights=weights,
    )
    result = sample_gibbs(spec, GibbsSettings(draws=4000, tune=200, chains=2), seed=7)
    seen = np.isfinite(returns)
    design = np.stack([one[seen], x[seen]], axis=1)
    w = np.broadcast_to(weights[:, None], (T, N))[seen] / sigma**2
    covariance = np.linalg.inv(design.T @ (w[:, None] * design) + np.eye(2) / 0.02**2)
    mean = covariance @ design.T @ (w * returns[seen])
    draws = np.stack([result.draws[f"mu_{name}"].reshape(-1) for name in ("alpha", "beta_rr")])
    for k in range(2):
        assert abs(draws[k].mean() - mean[k]) < 4 * standard_error(draws[k])
    np.testing.assert_allclose(np.cov(draws), covariance, atol=0.06 * np.sqrt(covariance.diagonal().prod()))


def test_common_covariance_agrees_with_importance_sampling_over_integrated_factors():
    rng = np.random.default_rng(8)
    sigma, n = 0.03, 15
    returns = rng.standard_normal((n, 1)) * [0.05, -0.03] + sigma * rng.standard_normal((n, 2))
    weights = np.where(np.arange(n) < 5, 0.5, 1.0)
    tight = 1e-7
    theta = Effect("theta", np.ones((n, 2)), tight, loc_sd=tight, loc_mean=np.log(sigma))
    spec = GibbsSpec(
        returns,
        1,
        (theta,),
        lags=None,
        factor_scale_sd=0.05,
        loadings_dof=None,
        noise=NoiseFamily(NORMAL),
        period_weights=weights,
    )
    result = sample_gibbs(spec, GibbsSettings(draws=10_000, tune=300, chains=2), seed=9)
    w = rng.standard_normal((400_000, 2))
    s2 = (0.05 * rng.standard_normal(400_000)) ** 2
    log_weight = np.zeros(400_000)
    for r, omega in zip(returns, weights, strict=True):
        noise = sigma**2 / omega
        total = 1 + s2 * (w**2).sum(axis=1) / noise
        log_weight -= 0.5 * (np.log(total) - s2 / noise**2 * (w @ r) ** 2 / total)
    v = np.exp(log_weight - log_weight.max())
    v /= v.sum()
    assert 1 / (v**2).sum() > 5000
    loadings, scale = result.draws["loadings"].reshape(-1, 2), result.draws["factor_scale"].reshape(-1)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        x = scale**2 * loadings[:, i] * loadings[:, j]
        y = s2 * w[:, i] * w[:, j]
        expected = (v * y).sum()
        error = np.hypot(standard_error(x), np.sqrt((v**2 * (y - expected) ** 2).sum()))
        assert abs(x.mean() - expected) < 4 * error


def test_every_component_is_optional():
    full = tiny_spec()
    theta, rv, _ = full.log_volatility
    windows = replace(rv, features=np.concatenate([rv.features, rv.features**2], axis=2))
    bare = replace(
        full,
        mean=(),
        log_volatility=(theta, windows),
        lags=None,
        loadings_dof=None,
        noise=NoiseFamily(NORMAL),
        n_factors=3,
    )
    settings = GibbsSettings(draws=7, tune=10, chains=2)
    shapes = {name: x.shape[2:] for name, x in sample_gibbs(bare, settings, seed=1).draws.items()}
    assert shapes == {
        "loadings": (N, 3),
        "factors": (T, 3),
        "factor_scale": (3,),
        "theta": (N,),
        "mu_theta": (2,),
        "sigma_theta": (2,),
        "beta_rv": (N, 2),
        "mu_beta_rv": (2, 2),
        "sigma_beta_rv": (2, 2),
    }
    result = sample_gibbs(full, settings, seed=1)
    shapes = {name: x.shape[2:] for name, x in result.draws.items()}
    assert shapes["alpha"] == (N,)
    assert shapes["sigma_alpha"] == ()
    assert "mu_alpha" not in shapes
    assert shapes["mu_beta_earnings"] == ()
    assert shapes["nu"] == (N,)
    assert all(np.isfinite(x).all() for x in result.draws.values())
    assert set(result.acceptance) == {
        "log_volatility",
        "sigma_nu",
        "rho",
        "mu_theta",
        "mu_beta_rv",
        "mu_beta_earnings",
    }
    assert all(0 < rate <= 1 for rate in result.acceptance.values())
