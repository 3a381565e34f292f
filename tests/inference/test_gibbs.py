"""The Gibbs sampler against its own prior, naive densities, numerical integration and exact formulas."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bdfm.errors import ModelError
from bdfm.inference.diagnostics import mcse_mean
from bdfm.inference.gibbs import (
    Effect,
    GibbsSettings,
    GibbsSpec,
    StudentNoise,
    make_data,
    make_work,
    sample_gibbs,
    start_state,
)
from bdfm.inference.gibbs_sweep import Kept, run

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
        rho_sd=0.3,
        factor_scale_sd=0.05,
        # nu far below 1 would make data that overflow
        noise=StudentNoise(7.0, sigma_nu_mean=2.0, sigma_nu_sd=0.4),
        period_weights=weights,
    )


def prior_draws(spec, n, rng):
    """Draws of all parameters from the prior, by name; written without reference to the sampler."""
    out = {}
    for effect in (*spec.mean, *spec.log_volatility):
        groups = np.zeros(N, int) if effect.groups is None else effect.groups
        mu = effect.loc_mean + (effect.loc_sd or 0.0) * rng.standard_normal((n, groups.max() + 1))
        sigma = np.abs(effect.scale_sd * rng.standard_normal(mu.shape))
        z = rng.standard_normal((n, N)) if effect.dof is None else rng.standard_t(effect.dof, (n, N))
        out[effect.name] = mu[:, groups] + sigma[:, groups] * z
        if effect.loc_sd is not None:
            out[f"mu_{effect.name}"] = mu
        out[f"sigma_{effect.name}"] = sigma
    out["rho"] = stats.truncnorm.rvs(
        -1 / spec.rho_sd, 1 / spec.rho_sd, scale=spec.rho_sd, size=n, random_state=rng
    )
    out["factor_scale"] = np.abs(spec.factor_scale_sd * rng.standard_normal((n, K)))
    out["loadings"] = rng.standard_t(spec.loadings_dof, (n, N, K))
    path = [out["factor_scale"] * rng.standard_normal((n, K)) / np.sqrt(1 - out["rho"] ** 2)[:, None]]
    for _ in range(T - 1):
        path.append(out["rho"][:, None] * path[-1] + out["factor_scale"] * rng.standard_normal((n, K)))
    out["factors"] = np.stack(path, axis=1)
    shape = (spec.noise.sigma_nu_mean / spec.noise.sigma_nu_sd) ** 2
    out["sigma_nu"] = rng.gamma(shape, spec.noise.sigma_nu_mean / shape, n)
    a = (spec.noise.nu_mean / out["sigma_nu"]) ** 2
    out["nu"] = rng.gamma(a[:, None], spec.noise.nu_mean / a[:, None], (n, N))
    return out


def statistics(p):
    """Scalars of each draw that the joint test compares."""
    w, f = p["loadings"], p["factors"]
    q = {}
    for name in ("alpha", "beta_rr", "theta", "beta_rv", "beta_earnings"):
        x = p[name].reshape(len(w), N)
        q[name], q[f"{name}_last"] = x[:, 0], x[:, -1]
        q[f"spread_{name}"] = np.abs(x[:, 0] - x[:, 1])
        q[f"product_{name}"] = x[:, 0] * x[:, 1]
        for hyper in (f"mu_{name}", f"sigma_{name}"):
            if hyper in p:
                q[hyper] = p[hyper].reshape(len(w), -1)[:, 0]
                q[f"log_{hyper}"] = np.log(np.abs(q[hyper]))
    q["rho"], q["rho2"] = p["rho"], p["rho"] ** 2
    q["scale"], q["log_scale"] = p["factor_scale"][:, 0], np.log(p["factor_scale"][:, 0])
    q["loading2"], q["log_loading"] = w[:, 0, 0] ** 2, np.log(np.abs(w[:, 3, 1]))
    common = np.einsum("dik,dk->di", w**2, p["factor_scale"] ** 2)
    q["common"], q["log_common"] = common[:, 0], np.log(common[:, -1])
    q["cross"] = np.abs((w[:, :, 0] * w[:, :, 1]).mean(axis=1))
    q["factor_product"] = np.abs((f[:, :, 0] * f[:, :, 1]).mean(axis=1))
    q["first"], q["later"] = np.abs(f[:, 0, 0]), np.abs(f[:, T // 2, 1])
    q["covariance"] = f[:, 5, 0] * f[:, 6, 0]
    q["product"] = w[:, 2, 0] * f[:, 3, 0]
    q["alpha_factor"] = p["alpha"][:, 0] * w[:, 0, 0] * f[:, :, 0].mean(axis=1)
    q["nu"], q["log_nu"], q["nu_last"] = p["nu"][:, 0], np.log(p["nu"][:, 0]), p["nu"][:, -1]
    q["sigma_nu"], q["log_sigma_nu"] = p["sigma_nu"], np.log(p["sigma_nu"])
    q["nu_theta"] = q["log_nu"] * p["theta"][:, 0]
    return q


def standard_error(x, batches=50):
    """Standard error of the mean of a correlated series, from means of batches."""
    means = x[: len(x) // batches * batches].reshape(batches, -1).mean(axis=1)
    return means.std(ddof=1) / np.sqrt(batches)


def joint_test(n_prior, n_chain, seed, *, spread=1.0):
    """z-scores of all statistics between prior draws and a chain that redraws its data (Geweke 2004).

    ``spread`` other than 1 makes data that the sampler is wrong about.
    """
    spec = tiny_spec()
    rng = np.random.default_rng(seed)
    prior = statistics(prior_draws(spec, n_prior, rng))

    data = make_data(spec)
    state = start_state(spec, data, rng)
    work = make_work(data, state)
    work.leverage[:] = 1.0  # no adaptation here: make the residual move for all assets
    work_size = {name: (n_chain, *getattr(state, name).shape) for name in Kept._fields[:-1]}
    kept = Kept(
        **{name: np.empty(shape) for name, shape in work_size.items()}, log_likelihood=np.empty(n_chain)
    )
    for r in range(n_chain):
        mean = state.loadings.T @ state.factors + np.einsum("mi,mit->it", state.mean_b, data.mean_x)
        sigma = np.exp(np.einsum("ji,jit->it", state.vol_b, data.vol_x))
        data.y[:] = (mean + spread * sigma * rng.standard_t(state.nu[:, None], mean.shape)) * data.seen
        # two sweeps for each data set: nu is updated for every second asset
        run(rng, data, state, work, Kept(*(x[r : r + 1] for x in kept)), 0, 0, 2)
    chain = statistics(
        {
            "loadings": kept.loadings.swapaxes(1, 2),
            "factors": kept.factors.swapaxes(1, 2),
            "factor_scale": kept.factor_scale,
            "rho": kept.scalars[:, 0],
            "sigma_nu": kept.scalars[:, 1],
            "nu": kept.nu,
            "alpha": kept.mean_b[:, 0],
            "sigma_alpha": kept.mean_sigma[:, 0],
            "beta_rr": kept.mean_b[:, 1],
            "mu_beta_rr": kept.mean_mu[:, 1],
            "sigma_beta_rr": kept.mean_sigma[:, 1],
            "theta": kept.vol_b[:, 0],
            "mu_theta": kept.vol_mu[:, 0],
            "sigma_theta": kept.vol_sigma[:, 0],
            "beta_rv": kept.vol_b[:, 1],
            "mu_beta_rv": kept.vol_mu[:, 1],
            "sigma_beta_rv": kept.vol_sigma[:, 1],
            "beta_earnings": kept.vol_b[:, 2],
            "mu_beta_earnings": kept.vol_mu[:, 2],
            "sigma_beta_earnings": kept.vol_sigma[:, 2],
        }
    )
    assert chain.keys() == prior.keys()
    assert len(chain) >= 40
    z, share = {}, {}
    for name, x in chain.items():
        error = standard_error(x)
        z[name] = (x.mean() - prior[name].mean()) / np.hypot(error, prior[name].std() / np.sqrt(n_prior))
        share[name] = x.var() / (error**2 * len(x))
    return z, share


def test_joint_distribution():
    z, share = joint_test(50_000, 40_000, 1)
    assert min(share.values()) * 40_000 > 100
    assert max(map(abs, z.values())) < 4.5, max(z, key=lambda name: abs(z[name]))


def test_joint_distribution_finds_a_noise_scale_that_is_wrong_by_a_tenth():
    z, _ = joint_test(50_000, 20_000, 1, spread=0.9)
    assert max(map(abs, z.values())) > 6


@pytest.mark.slow
def test_joint_distribution_long():
    z, _ = joint_test(400_000, 400_000, 3)
    assert max(map(abs, z.values())) < 4, max(z, key=lambda name: abs(z[name]))


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


def test_features_of_the_wrong_shape_are_refused():
    spec = tiny_spec()
    wrong = replace(spec.mean[0], features=np.ones((T, N - 1)))
    with pytest.raises(ModelError, match="features of alpha have shape"):
        replace(spec, mean=(wrong,))
