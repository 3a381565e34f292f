"""The joint distribution test (Geweke 2004): a chain that redraws its data keeps the prior of everything.

The prior and the data are drawn here with NumPy, from the equations of the model and not from the sampler's
code. Chains start from draws of the prior, so that they are stationary from the start, and there are many of
them, so that the errors of their averages are known without theory of correlated series.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from bdfm.gibbs.data import Data, make_data
from bdfm.gibbs.scratch import make_scratch
from bdfm.gibbs.state import state_sizes, state_views
from bdfm.gibbs.sweep import REFRESH, START, UPDATES, Chain, run, sweep_of
from bdfm.gibbs.updates.noise import LAPLACE, STUDENT_T

SWEEPS = 4  # for each data set, since nu takes turns of four


def truncated_normal(mean, sd, low, high, rng):
    mean, sd, low, high = np.broadcast_arrays(mean, sd, low, high)
    return stats.truncnorm.rvs((low - mean) / sd, (high - mean) / sd, mean, sd, random_state=rng)


def stationary_rows(rho, beta, n_lags):
    """Coefficients and variance of a period given the 0 to ``n_lags`` before it, innovations of variance 1.

    From the autocovariances, which solve the Lyapunov equation P = A P A' + Q of the companion form.
    """
    n = len(rho)
    a = np.concatenate([rho[:, None], np.repeat(beta[:, None], n_lags - 1, axis=1)], axis=1)
    companion = np.zeros((n, n_lags, n_lags))
    companion[:, 0] = a
    companion[:, np.arange(1, n_lags), np.arange(n_lags - 1)] = 1.0
    product = np.einsum("nij,nkl->nikjl", companion, companion).reshape(n, n_lags**2, n_lags**2)
    noise = np.zeros((n, n_lags**2, 1))
    noise[:, 0] = 1.0
    gamma = np.linalg.solve(np.eye(n_lags**2) - product, noise).reshape(n, n_lags, n_lags)[:, 0]
    rows = []
    for order in range(n_lags):
        if order == 0:
            rows.append((np.zeros((n, 0)), gamma[:, 0]))
            continue
        lags = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
        c = np.linalg.solve(gamma[:, lags], gamma[:, 1 : order + 1, None])[..., 0]
        rows.append((c, gamma[:, 0] - (c * gamma[:, 1 : order + 1]).sum(axis=1)))
    return [*rows, (a, np.ones(n))]


def prior_dynamics(spec, s, x, rng):
    """Coefficients, multipliers, scales, means and paths of the factors."""
    n = len(s.noise.nu)
    lags, n_lags = spec.lags, spec.lags.number if spec.lags else 0
    if lags:
        s.dynamics.rho[:, 0] = truncated_normal(np.zeros(n), lags.rho_sd, -1, 1, rng)
    rho = s.dynamics.rho[:, 0]
    if n_lags > 1:
        bound = (1 - np.abs(rho)) / (n_lags - 1)
        s.dynamics.beta[:, 0] = truncated_normal(0, lags.beta_sd, -bound, bound, rng)
    own = s.multiplier
    if spec.scale_regression:
        own.slopes[:] = spec.scale_regression.slope_sd * rng.standard_normal(own.slopes.shape)
    if latent := spec.latent_scale:
        phi = truncated_normal(np.full(n, latent.phi_mean), latent.phi_sd, -1, 1, rng)
        sigma = np.abs(latent.sigma_sd * rng.standard_normal(n))
        own.phi[:, 0], own.sigma[:, 0] = phi, sigma
        own.h[:, 0] = sigma / np.sqrt(1 - phi**2) * rng.standard_normal(n)
        for t in range(1, own.h.shape[1]):
            own.h[:, t] = phi * own.h[:, t - 1] + sigma * rng.standard_normal(n)
    own.mixing[:] = own.nu[:] = 1.0
    if spec.factor_volatility:
        prior_factor_paths(spec, s, rng)
        return
    if factors := spec.factor_noise:
        shape = (factors.nu_mean / factors.nu_sd) ** 2
        own.nu[:, 0] = rng.gamma(shape, factors.nu_mean / shape, n)
        own.mixing[:] = rng.chisquare(own.nu, own.mixing.shape) / own.nu
    multiplier = np.exp(own.h + own.slopes @ x) / np.sqrt(own.mixing)
    f = s.factors
    f.scale[:] = np.abs(spec.factor_scale_sd * rng.standard_normal(f.scale.shape))
    if spec.premium_sd:
        f.premium[:] = f.scale * spec.premium_sd * rng.standard_normal(f.scale.shape)
    rows = stationary_rows(rho, s.dynamics.beta[:, 0], n_lags) if n_lags else [(np.zeros((n, 0)), np.ones(n))]
    deviation = np.zeros(f.path.shape)
    for t in range(f.path.shape[2]):
        c, variance = rows[min(t, n_lags)]
        z = f.scale * (multiplier[:, t] * np.sqrt(variance))[:, None] * rng.standard_normal(f.scale.shape)
        past = deviation[:, :, t - c.shape[1] : t][:, :, ::-1]
        deviation[:, :, t] = z + (past * c[:, None]).sum(axis=2)
    f.path[:] = deviation + f.premium[..., None]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def autoregression(phi, sd, shocks):
    """Stationary paths (draw, series, period) of standard normal shocks."""
    path = np.empty(shocks.shape)
    path[..., 0] = sd / np.sqrt(1 - phi**2) * shocks[..., 0]
    for t in range(1, shocks.shape[-1]):
        path[..., t] = phi * path[..., t - 1] + sd * shocks[..., t]
    return path


def prior_factor_paths(spec, s, rng):
    """Volatilities of the factors, and factors whose shocks go with the next one of their volatility."""
    own, prior, f = s.factor_volatility, spec.factor_volatility, s.factors
    own.phi[:] = sigmoid(prior.logit_phi_mean + prior.logit_phi_sd * rng.standard_normal(own.phi.shape))
    own.sigma[:] = np.exp(prior.log_sd_mean + prior.log_sd_sd * rng.standard_normal(own.phi.shape))
    own.leverage[:] = truncated_normal(np.zeros(own.phi.shape), prior.leverage_sd, -1, 1, rng)
    z = rng.standard_normal(own.h.shape)
    shocks = rng.standard_normal(own.h.shape)
    rho = own.leverage[..., None]
    shocks[..., 1:] = rho * z[..., :-1] + np.sqrt(1 - rho**2) * shocks[..., 1:]
    own.h[:] = autoregression(own.phi, own.sigma, shocks)
    f.scale[:] = np.abs(spec.factor_scale_sd * rng.standard_normal(f.scale.shape))
    f.path[:] = f.scale[..., None] * np.exp(own.h) * z


def prior_asset_paths(spec, s, rng):
    """Paths of the log noise scale, and what they are drawn from."""
    own, prior = s.asset_volatility, spec.asset_volatility
    if prior is None:
        return
    for row, (of, values) in enumerate(((prior.logit_phi, own.logit_phi), (prior.log_sd, own.log_sd))):
        shape = own.mu[:, row].shape
        own.mu[:, row] = of.loc_mean + of.loc_sd * rng.standard_normal(shape)
        own.sigma[:, row] = np.abs(of.scale_sd * rng.standard_normal(shape))
        spread = own.sigma[:, row, prior.groups] * rng.standard_normal(values.shape)
        values[:] = own.mu[:, row, prior.groups] + spread
    shocks = rng.standard_normal(own.path.shape)
    own.path[:] = autoregression(sigmoid(own.logit_phi), np.exp(own.log_sd), shocks)


def prior_loadings(spec, s, rng):
    own, dof = s.loadings, spec.loadings_dof
    n = len(own.tau)
    own.mixing[:] = 1.0
    if dof:
        own.mixing[:] = rng.gamma(dof / 2, 2 / dof, own.mixing.shape)
    own.tau[:] = own.delta[:] = 1.0
    around = np.zeros_like(own.values)
    if known := spec.characteristics:
        own.tau[:] = np.abs(known.scale_sd * rng.standard_normal((n, 1)))
        own.slopes[:] = known.slope_sd * rng.standard_normal(own.slopes.shape)
        around = np.einsum("ckl,bil->cbki", own.slopes, known.values)
    noise = rng.standard_normal(own.mixing.shape) / np.sqrt(own.mixing)
    own.values[:, 0] = around[:, 0] + own.tau[..., None] * noise
    if blocks := spec.loading_blocks:
        own.delta[:] = np.abs(blocks.drift_sd * blocks.unit * rng.standard_normal((n, 1)))
    for b in range(1, own.values.shape[1]):
        change = rng.standard_normal(own.mixing.shape)
        own.values[:, b] = own.values[:, b - 1] + own.delta[..., None] * change
        own.values[:, b] += around[:, b] - around[:, b - 1]


def prior_effects(effects, own, rng):
    row = 0
    for effect in effects:
        groups = np.zeros(own.b.shape[2], int) if effect.groups is None else effect.groups
        for _ in range(effect.columns):
            shape = own.mu[:, row].shape
            own.mu[:, row] = effect.loc_mean + (effect.loc_sd or 0.0) * rng.standard_normal(shape)
            own.sigma[:, row] = np.abs(effect.scale_sd * rng.standard_normal(shape))
            z = rng.standard_normal(own.b[:, row].shape)
            mixing = rng.gamma(effect.dof / 2, 2 / effect.dof, z.shape) if effect.dof else np.ones(z.shape)
            own.b[:, row] = own.mu[:, row, groups] + own.sigma[:, row, groups] * z / np.sqrt(mixing)
            if hasattr(own, "mixing"):
                own.mixing[:, row] = mixing
            row += 1


def prior(spec, n, rng):
    """Values (draw, value) of ``n`` states from the prior."""
    data = make_data(spec)
    values = np.zeros((n, state_sizes(data, spec.n_factors)[0]))
    s = state_views(values, data, spec.n_factors)
    s.noise.nu[:] = s.noise.sigma_nu[:] = 1.0
    if dof := spec.noise.dof:
        shape = (dof.sigma_nu_mean / dof.sigma_nu_sd) ** 2
        s.noise.sigma_nu[:] = rng.gamma(shape, dof.sigma_nu_mean / shape, (n, 1))
        shape = (dof.nu_mean / s.noise.sigma_nu) ** 2
        s.noise.nu[:] = rng.gamma(shape, dof.nu_mean / shape, s.noise.nu.shape)
    prior_effects(spec.mean, s.mean, rng)
    prior_effects(spec.log_volatility, s.volatility, rng)
    prior_asset_paths(spec, s, rng)
    prior_loadings(spec, s, rng)
    prior_dynamics(spec, s, data.multiplier.x, rng)
    assets = [e.asset for e in spec.evidence]
    s.evidence[:] = returns(spec, data, s, rng)[0][:, assets, -1]
    # one in many thousands, near a unit root: a simple return that overflows
    wild = np.abs(s.evidence).max(axis=1, initial=0.0) > 20
    values[wild] = values[~wild][: wild.sum()]
    return values


def returns(spec, data, s, rng, spread=1.0):
    """Returns (draw, asset, period) given the parameters, their common part and their noise scale."""
    block = np.repeat(np.arange(len(data.loadings.cut) - 1), np.diff(data.loadings.cut))
    common = np.einsum("ctki,ckt->cit", s.loadings.values[:, block], s.factors.path)
    mean = common + np.einsum("cmi,mit->cit", s.mean.b, data.mean.x)
    log_sigma = np.zeros(mean.shape)
    for j, (x, effect) in enumerate(
        zip(data.volatility.x, (e for e in spec.log_volatility for _ in range(e.columns)), strict=True)
    ):
        b = s.volatility.b[:, j, :, None]
        log_sigma += (np.log(effect.least + np.exp(b)) if effect.least else b) * x
    sigma = np.exp(log_sigma + s.asset_volatility.path if spec.asset_volatility else log_sigma)
    return mean + spread * sigma * standard_noise(spec, s, mean.shape, rng), common, sigma


def standard_noise(spec, s, shape, rng):
    """Noise of unit scale (draw, asset, period)."""
    if spec.noise.code == STUDENT_T:
        return rng.standard_t(s.noise.nu[..., None], shape)
    return rng.laplace(size=shape) if spec.noise.code == LAPLACE else rng.standard_normal(shape)


def observed(spec, data, s, rng, spread=1.0):
    """New data given the parameters: returns, those with evidence as they are, and what is said of these."""
    y, common, sigma = returns(spec, data, s, rng, spread)
    y *= data.returns.seen
    y[:, data.evidence.asset, -1] = s.evidence
    said = np.expm1(s.evidence) + data.evidence.sd * rng.standard_normal(s.evidence.shape)
    return y, common, sigma, said


def quantities(data, s, y, said):
    """Scalars of each draw: parameters, and products that see signs and positions."""
    q = {}
    blocks = {
        "w": s.loadings.values,
        "slope": s.loadings.slopes,
        "tau": s.loadings.tau,
        "delta": s.loadings.delta,
        "f": s.factors.path,
        "premium": s.factors.premium,
        "scale": s.factors.scale,
        "rho": s.dynamics.rho,
        "beta": s.dynamics.beta,
        "slopes": s.multiplier.slopes,
        "h": s.multiplier.h,
        "phi": s.multiplier.phi,
        "sigma_h": s.multiplier.sigma,
        "factor_nu": s.multiplier.nu,
        "factor_mixing": s.multiplier.mixing,
        "mean_b": s.mean.b,
        "mean_mu": s.mean.mu,
        "mean_sigma": s.mean.sigma,
        "b": s.volatility.b,
        "mu": s.volatility.mu,
        "sigma": s.volatility.sigma,
        "nu": s.noise.nu,
        "sigma_nu": s.noise.sigma_nu,
        "evidence": s.evidence,
        "said": said,
        "factor_h": s.factor_volatility.h,
        "factor_phi": s.factor_volatility.phi,
        "factor_sd": s.factor_volatility.sigma,
        "leverage": s.factor_volatility.leverage,
        "v": s.asset_volatility.path,
        "logit_phi": s.asset_volatility.logit_phi,
        "log_sd": s.asset_volatility.log_sd,
        "path_mu": s.asset_volatility.mu,
        "path_sigma": s.asset_volatility.sigma,
    }
    for name, x in blocks.items():
        flat = x.reshape(len(x), -1)
        for at in sorted({0, flat.shape[1] // 2, flat.shape[1] - 1} & set(range(flat.shape[1]))):
            q[f"{name}{at}"] = flat[:, at]
    w, f, scale = s.loadings.values, s.factors.path, s.factors.scale
    deviation = (f - s.factors.premium[..., None]) / scale[..., None]
    rho, seen = s.dynamics.rho[:, 0], data.returns.seen
    log_f = np.log(np.abs(deviation) + 1e-9).sum(axis=1)
    q["lag 1"] = rho * (deviation[:, :, 1:] * deviation[:, :, :-1]).sum(axis=(1, 2))
    q["lag 2"] = s.dynamics.beta[:, 0] * (deviation[:, :, 2:] * deviation[:, :, :-2]).sum(axis=(1, 2))
    q["start"], q["end"] = np.abs(deviation[:, 0, 0]), np.abs(deviation[:, -1, -1])
    q["premium f"] = (s.factors.premium * f.mean(axis=2)).sum(axis=1)
    q["log f h"] = (s.multiplier.h * log_f).sum(axis=1)
    log_w = np.log(s.multiplier.mixing)
    q["log f w"], q["h w"] = (log_w * log_f).sum(axis=1), (log_w * s.multiplier.h).sum(axis=1)
    q["w level"] = log_w.mean(axis=1) - 2 * np.log(scale).mean(axis=1)
    q["factor_nu w"] = np.log(s.multiplier.nu[:, 0]) * np.square(log_w).sum(axis=1)
    q["h lag"] = (s.multiplier.h[:, 1:] * s.multiplier.h[:, :-1]).sum(axis=1)
    q["h level"] = s.multiplier.h.mean(axis=1) + np.log(scale).mean(axis=1)
    q["phi sigma_h"] = s.multiplier.phi[:, 0] * np.log(s.multiplier.sigma[:, 0] + 1e-9)
    for j, x in enumerate(data.multiplier.x):
        q[f"log f x{j}"] = s.multiplier.slopes[:, j] * (log_f @ x)
    q |= path_quantities(s, deviation, y)
    for name, (i, k) in {"first": (0, 0), "last": (-1, -1)}.items():
        q[f"w f {name}"] = w[:, 0, k, i] * f[:, k, 0]
        q[f"w f y {name}"] = w[:, -1, k, i] * (f[:, k, -3:] * y[:, i, -3:]).sum(axis=1)
        q[f"w scale {name}"] = np.abs(w[:, -1, k, i]) * scale[:, k]
    q["w w"] = (w[:, 0, 0] * w[:, 0, -1]).sum(axis=1)
    q["w moves"] = s.loadings.delta[:, 0] * np.log(np.abs(w[:, -1] - w[:, 0]) + 1e-9).sum(axis=(1, 2))
    known = data.loadings.characteristics
    around = w[:, 0] - s.loadings.slopes @ known[0]
    q["w fit"] = (s.loadings.mixing * around**2).sum(axis=(1, 2)) / s.loadings.tau[:, 0] ** 2
    for j, x in enumerate(known[0]):
        q[f"slope w {j}"] = (s.loadings.slopes[..., j] * (w[:, 0] @ x)).sum(axis=1)
    for j, x in enumerate(np.diff(known, axis=0).swapaxes(0, 1)):
        moves = np.einsum("cbki,bi->ck", np.diff(w, axis=1), x)
        q[f"slope moves {j}"] = (s.loadings.slopes[..., j] * moves).sum(axis=1)
    common = np.einsum("cki,ckt->cit", w[:, -1], f)
    e = y - np.einsum("cmi,mit->cit", s.mean.b, data.mean.x)
    log_e = np.log(np.abs(e - common) + 1e-6) * seen
    for m, x in enumerate(data.mean.x):
        q[f"mean x{m}"] = (s.mean.b[:, m] * (y * x).sum(axis=2)).sum(axis=1)
        around = s.mean.b[:, m] - s.mean.mu[:, m, data.mean.group[m]]
        q[f"mean b b{m}"] = around[:, 0] * around[:, 1]
        q[f"mean around{m}"] = np.abs(around[:, -1])
        scale = s.mean.sigma[:, m, data.mean.group[m]]
        q[f"mean fit{m}"] = (s.mean.mixing[:, m] * (around / scale) ** 2).sum(axis=1)
    for j, x in enumerate(data.volatility.x):
        q[f"scale x{j}"] = (s.volatility.b[:, j] * (log_e * x).sum(axis=2)).sum(axis=1)
        group = data.volatility.group[j]
        around = s.volatility.b[:, j] - s.volatility.mu[:, j, group]
        q[f"around{j}"] = np.abs(around[:, -1])
        q[f"fit{j}"] = np.abs(around / s.volatility.sigma[:, j, group]).sum(axis=1)
    q["nu theta"] = np.log(s.noise.nu[:, 0]) * s.volatility.b[:, 0, 0]
    q["size nu"] = np.log(s.noise.nu[:, -1]) * np.abs(e[:, -1]).max(axis=1)
    # of the noise: what tells families with one spread apart
    inner = np.abs(e - common)[:, -1] * np.exp(-s.volatility.b[:, 0, -1:])
    q["peak"], q["tail"] = np.sqrt(inner).mean(axis=1), np.square(inner).mean(axis=1)
    q["evidence y"] = (s.evidence * said).sum(axis=1)
    return q


def path_quantities(s, deviation, y):
    """Products of the volatilities of single factors and assets with what they make."""
    q = {}
    own = s.factor_volatility
    if own.h.size:
        z = deviation * np.exp(-own.h)
        u = (own.h[..., 1:] - own.phi[..., None] * own.h[..., :-1]) / own.sigma[..., None]
        q["z u"] = (own.leverage * (z[..., :-1] * u).sum(axis=2)).sum(axis=1)
        q["z next u"] = (own.leverage * (z[..., 1:] * u).sum(axis=2)).sum(axis=1)
        q["z u alone"] = (z[:, -1, :-1] * u[:, -1]).sum(axis=1)
        q["u u"], q["z z"] = np.square(u).sum(axis=(1, 2)), np.square(z).sum(axis=(1, 2))
        q["h f"] = (own.h * np.log(np.abs(deviation) + 1e-9)).sum(axis=(1, 2))
        q["h h"] = (own.h[..., 1:] * own.h[..., :-1]).sum(axis=(1, 2))
        q["h start"] = np.abs(own.h[:, 0, 0]) * np.sqrt(1 - own.phi[:, 0] ** 2) / own.sigma[:, 0]
        q["factor level"] = own.h.mean(axis=(1, 2)) + np.log(s.factors.scale).mean(axis=1)
        q["factor sd h"] = (np.log(own.sigma) * np.abs(own.h).mean(axis=2)).sum(axis=1)
    paths = s.asset_volatility
    if paths.path.size:
        v, phi, sd = paths.path, sigmoid(paths.logit_phi)[..., None], np.exp(paths.log_sd)[..., None]
        u = (v[..., 1:] - phi * v[..., :-1]) / sd
        q["v u"], q["v v"] = np.square(u).sum(axis=(1, 2)), (v[..., 1:] * v[..., :-1]).sum(axis=(1, 2))
        q["v start"] = (np.abs(v[..., 0]) * np.sqrt(1 - phi[..., 0] ** 2) / sd[..., 0]).sum(axis=1)
        q["v missing"] = np.abs(u[:, 1, 0]) + np.abs(u[:, 2, -1])
        q["v y"] = (v * np.log(np.abs(y) + 1e-6)).sum(axis=(1, 2))
        q["v level"] = (v.mean(axis=2) * s.volatility.b[:, 0]).sum(axis=1)
        q["v nu"] = (np.log(s.noise.nu) * np.abs(v).mean(axis=2)).sum(axis=1)
        q["sd v"] = (paths.log_sd * np.abs(v).mean(axis=2)).sum(axis=1)
        q["path around"] = np.abs(paths.logit_phi[:, 1] - paths.mu[:, 0, 0])
        q["path fit"] = np.abs(paths.log_sd[:, 3] - paths.mu[:, 1, -1]) / paths.sigma[:, 1, -1]
    return q


class Reference(NamedTuple):
    """Quantities of draws from the prior and the data given it, sorted."""

    data: Data
    sorted: dict[str, np.ndarray]

    def scores(self, s, y, said):
        """Uniform scores of quantities, less 1/2, and their squares less 1/12, by name."""
        for name, x in quantities(self.data, s, y, said).items():
            if name in self.sorted:
                of = self.sorted[name]
                left, right = (np.searchsorted(of, x, side) for side in ("left", "right"))
                u = (left + right) / (2 * len(of)) - 0.5
                yield name, np.array([u, u**2 - 1 / 12])


def reference(spec, n, rng):
    data = make_data(spec)
    states = state_views(prior(spec, n, rng), data, spec.n_factors)
    y, _, _, said = observed(spec, data, states, rng)
    found = quantities(data, states, y, said)
    return Reference(data, {name: np.sort(x) for name, x in found.items() if np.ptp(x) > 0})


def z_scores(means, n_prior):
    """z-scores by name from independent averages (2, chain) of the scores."""
    z = {}
    for name, x in means.items():
        error = np.sqrt(x.var(axis=1, ddof=1) / x.shape[1] + np.array([1 / 12, 1 / 180]) / n_prior)
        z[name], z[f"{name} squared"] = x.mean(axis=1) / error
    return z


def make_chains(spec, values, rng, fault=lambda data: data):
    """A chain on each row of values, which it changes in place."""
    chains = []
    for row in values:
        own = fault(make_data(spec))
        state = state_views(row, own, spec.n_factors)
        chain = Chain(np.random.default_rng(rng.integers(2**63)), own, row, state, make_scratch(own, state))
        chain.scratch.tuning.leverage[:] = 1.0  # no adaptation here: make the residual move for all assets
        chains.append(chain)
    return chains


def run_all(chains, plan, times, y, said):
    """Give each chain its data, and make the updates of a plan."""
    none, nothing = np.empty((0, 0)), np.empty(0, np.int64)
    for c, chain in enumerate(chains):
        chain.data.returns.values[:] = y[c]
        chain.data.evidence.mean[:] = said[c]
        run(chain.rng, chain.data, chain.state, chain.scratch, plan, nothing, times, 1, chain.values, none)


def joint_test(
    spec, *, n_prior=15_000, n_chains=150, n_steps=20, seed=1, fault=lambda data: data, spread=1.0, alone=True
):
    """z-scores of the uniform scores of all quantities, and of their squares, between chains and prior.

    ``fault`` changes the data as the sampler sees them; ``spread`` other than 1 makes returns whose noise it
    is wrong about. Without ``alone`` sweeps are those of draws that are moved on.
    """
    rng = np.random.default_rng(seed)
    known = reference(spec, n_prior, rng)
    values = prior(spec, n_chains, rng)
    states = state_views(values, known.data, spec.n_factors)
    chains = make_chains(spec, values, rng, fault)
    plan = chains[0].compiled([*START, *SWEEPS * sweep_of(spec, known.data, alone=alone)])
    means = {name: np.zeros((2, n_chains)) for name in known.sorted}
    for _ in range(n_steps):
        y, _, _, said = observed(spec, known.data, states, rng, spread)
        run_all(chains, plan, 1, y, said)
        y[:, known.data.evidence.asset, -1] = states.evidence
        for name, score in known.scores(states, y, said):
            means[name] += score / n_steps
    return z_scores(means, n_prior)


# What is current when an update starts, and updates that are one only together with others
CURRENT = (
    *REFRESH,
    UPDATES["draw_mixing"],
    UPDATES["refresh_innovations"],
    UPDATES["refresh_log_likelihood"],
)
TOGETHER = {
    "draw_mean_hierarchies": ("refresh_information", "draw_mean_hierarchies", "draw_mean_coefficients"),
    "draw_mean_coefficients": ("refresh_information", "draw_mean_coefficients"),
    "draw_factor_path": ("draw_factor_path", "refresh_residuals"),
    "draw_factor_periods": ("draw_factor_periods", "refresh_residuals"),
    "draw_factor_days": ("draw_factor_days", "refresh_residuals"),
    "draw_nu": ("begin_sweep", "draw_nu"),
    "draw_asset_paths": ("begin_sweep", "draw_asset_paths"),
    "move_path_hierarchies": ("begin_sweep", "move_path_hierarchies"),
}


def alone_test(spec, *, n_prior=10_000, n_chains=300, times=40, seed=1):
    """z-scores, by update, after ``times`` repetitions of it alone from draws of prior and data.

    Given the data, each update keeps the posterior, and so the joint distribution: no other corrects it.
    """
    rng = np.random.default_rng(seed)
    known = reference(spec, n_prior, rng)
    start = prior(spec, n_chains, rng)
    values = start.copy()
    states = state_views(values, known.data, spec.n_factors)
    y, _, _, said = observed(spec, known.data, states, rng)
    chains = make_chains(spec, values, rng)
    current = chains[0].compiled(CURRENT)
    result = {}
    for update in dict.fromkeys(sweep_of(spec, known.data)):
        name = update.__name__
        if name == "begin_sweep" or name.startswith("refresh"):
            continue
        values[:] = start
        run_all(chains, current, 1, y, said)
        updates = [UPDATES[u] for u in TOGETHER.get(name, (name,))]
        run_all(chains, chains[0].compiled(updates), times, y, said)
        now = y.copy()
        now[:, known.data.evidence.asset, -1] = states.evidence
        result[name] = z_scores(dict(known.scores(states, now, said)), n_prior)
    return result
