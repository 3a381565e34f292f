"""The joint density of a specification, written plainly from docs/model.md and without a look at the sampler.

Values come by the names of the model's variables, with the dims of the symbol table: ``factors`` (period,
factor) have mean zero, ``loadings`` (block, asset, factor) one block for each run of periods that share them.
Coefficients of an effect are (asset, column), their locations and scales (group, column).

Mixing variables are integrated out unless they are among the values: ``u`` (period, asset) of the returns,
``mix_loadings`` (asset, factor), ``mix_<effect>`` (asset, column), ``factor_mixing`` (period).
"""

import math

import numpy as np
from scipy import stats
from scipy.special import gammaln as lgamma

from bdfm.gibbs.updates.noise import LAPLACE, NORMAL, STUDENT_T  # codes of the families, nothing else

LOG_2PI = math.log(2 * math.pi)
erf = math.erf


def normal(x, mean, sd):
    """Log density of Normal(mean, sd)."""
    return -0.5 * LOG_2PI - np.log(sd) - 0.5 * ((x - mean) / sd) ** 2


def half_normal(x, sd):
    """Log density of the half-normal; -inf below 0."""
    return np.where(np.asarray(x) < 0, -np.inf, math.log(2) + normal(x, 0.0, sd))


def truncated_normal(x, mean, sd, low, high):
    """Log density of Normal(mean, sd) on (low, high)."""
    if not low < x < high:
        return -np.inf
    mass = 0.5 * (erf((high - mean) / sd / math.sqrt(2)) - erf((low - mean) / sd / math.sqrt(2)))
    return float(normal(x, mean, sd)) - math.log(mass)


def student(x, nu, mean, scale):
    """Log density of StudentT(nu, mean, scale)."""
    z = (x - mean) / scale
    constant = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * math.pi)
    return constant - np.log(scale) - (nu + 1) / 2 * np.log1p(z * z / nu)


def laplace(x, scale):
    """Log density of the Laplace distribution with mean 0."""
    return -math.log(2) - np.log(scale) - np.abs(x) / scale


def levy(x, c):
    """Log density of the Levy distribution, whose inverse is Gamma(1/2, c/2)."""
    return 0.5 * np.log(c) - 0.5 * LOG_2PI - 1.5 * np.log(x) - c / (2 * x)


def gamma(x, shape, rate):
    """Log density of Gamma(shape, rate)."""
    return shape * np.log(rate) - lgamma(shape) + (shape - 1) * np.log(x) - rate * x


def gamma_of_mean(x, mean, sd):
    """Log density of the gamma distribution with this mean and sd."""
    shape = (mean / np.asarray(sd, dtype=float)) ** 2
    return gamma(x, shape, shape / mean)


def groups(effect):
    """Group of each asset, and the number of groups."""
    index = np.zeros(effect.features.shape[1], int) if effect.groups is None else effect.groups
    return index, index.max() + 1


def columns(effect):
    """Features (period, asset, column)."""
    return effect.features.reshape(*effect.features.shape[:2], -1)


def autocovariances(coefficients):
    """Autocovariances 0 to n of a stationary AR(n) with unit innovations, from its companion form."""
    n = len(coefficients)
    companion = np.eye(n, k=-1)
    companion[0] = coefficients
    shock = np.zeros((n, n))
    shock[0, 0] = 1.0
    system = np.eye(n * n) - np.kron(companion, companion)
    return np.linalg.solve(system, shock.ravel()).reshape(n, n)[0]


def lag_coefficients(spec, p):
    """Coefficients of the autoregression, lag 1 first (eq. 3a, 3b)."""
    if spec.lags is None:
        return np.zeros(0)
    return np.array([p["rho"]] + [p["beta_momentum"] for _ in range(spec.lags.number - 1)])


def logit(x):
    return np.log(x) - np.log1p(-np.asarray(x))


def autoregression(path, phi, sd):
    """Log density of stationary paths (period, series) (eq. D3, D4)."""
    total = normal(path[0], 0.0, sd / np.sqrt(1 - phi**2)).sum()
    return total + normal(path[1:], phi * path[:-1], sd).sum()


def asset_paths_density(spec, p):
    """Paths of the log noise scale, their parameters and hierarchies (eq. D4, D5)."""
    own = spec.asset_volatility
    if own is None:
        return 0.0
    total = 0.0
    for name, prior in (("logit_phi", own.logit_phi), ("log_volatility_sd", own.log_sd)):
        mu, sigma = p[f"mu_{name}"], p[f"sigma_{name}"]
        total += normal(mu, prior.loc_mean, prior.loc_sd).sum() + half_normal(sigma, prior.scale_sd).sum()
        total += normal(p[name], mu[own.groups], sigma[own.groups]).sum()
    phi = 1 / (1 + np.exp(-p["logit_phi"]))
    return total + autoregression(p["volatility_state"], phi, np.exp(p["log_volatility_sd"]))


def log_multiplier(spec, p):
    """Log of the factors' scale over its average (period) (eq. 3d, 3e, 3f)."""
    m = np.zeros(len(spec.returns))
    if spec.scale_regression is not None:
        m = m + spec.scale_regression.features @ p["beta_mv"]
    if spec.latent_scale is not None:
        m = m + p["log_multiplier"]
    if "factor_mixing" in p:
        m = m - 0.5 * np.log(p["factor_mixing"])
    return m


def factor_density(spec, p):
    """Factors given their dynamics and scales (eq. 3), with the start cut out of a stationary process."""
    f, scale = p["factors"], p["factor_scale"]
    n_periods = len(f)
    if spec.factor_volatility is not None:  # eq. D2, D3: given h, leverage makes a mean of the next shock
        h = p["factor_volatility"]
        u = (h[1:] - p["factor_phi"] * h[:-1]) / p["factor_volatility_sd"]
        size, rho = scale * np.exp(h), p["leverage"]
        total = normal(f[:-1], size[:-1] * rho * u, size[:-1] * np.sqrt(1 - rho**2)).sum()
        return total + normal(f[-1], 0.0, size[-1]).sum()
    c = lag_coefficients(spec, p)
    multiplier = np.exp(log_multiplier(spec, p))
    cov = autocovariances(c) if len(c) else np.ones(1)
    total = 0.0
    for t in range(n_periods):
        if t >= len(c):
            best, variance = c, 1.0
        else:  # the best prediction from t past values, and its error
            toeplitz = cov[np.abs(np.subtract.outer(np.arange(t), np.arange(t)))]
            best = np.linalg.solve(toeplitz, cov[1 : t + 1]) if t else np.zeros(0)
            variance = cov[0] - best @ cov[1 : t + 1]
        past = sum((best[j] * f[t - 1 - j] for j in range(len(best))), start=np.zeros(f.shape[1]))
        sd = scale * multiplier[t] * math.sqrt(variance)
        if spec.factor_noise is None or "factor_mixing" in p:
            total += normal(f[t], past, sd).sum()
        else:  # the mixing variable integrated out
            law = stats.multivariate_t(past, np.diag(sd**2), p["factor_nu"])
            total += law.logpdf(f[t])
    return total


def factor_prior(spec, p):
    """Priors of what the factors depend on (eq. 3 to 3f, 5a)."""
    total = half_normal(p["factor_scale"], spec.factor_scale_sd).sum()
    if spec.premium_sd is not None:
        total += normal(p["premium"], 0.0, spec.premium_sd).sum()
    if spec.lags is not None:
        total += truncated_normal(p["rho"], 0.0, spec.lags.rho_sd, -1.0, 1.0)
        if spec.lags.number > 1:
            bound = (1 - abs(p["rho"])) / (spec.lags.number - 1)
            if bound <= 0:
                return -np.inf
            total += truncated_normal(p["beta_momentum"], 0.0, spec.lags.beta_sd, -bound, bound)
    if spec.scale_regression is not None:
        total += normal(p["beta_mv"], 0.0, spec.scale_regression.slope_sd).sum()
    if spec.factor_noise is not None:
        nu = p["factor_nu"]
        total += float(gamma_of_mean(nu, spec.factor_noise.nu_mean, spec.factor_noise.nu_sd))
        if "factor_mixing" in p:
            total += gamma(p["factor_mixing"], nu / 2, nu / 2).sum()
    own = spec.factor_volatility
    if own is not None:
        phi, sd = p["factor_phi"], p["factor_volatility_sd"]
        total += (normal(logit(phi), own.logit_phi_mean, own.logit_phi_sd) - np.log(phi * (1 - phi))).sum()
        total += (normal(np.log(sd), own.log_sd_mean, own.log_sd_sd) - np.log(sd)).sum()
        total += sum(truncated_normal(x, 0.0, own.leverage_sd, -1.0, 1.0) for x in p["leverage"])
        total += autoregression(p["factor_volatility"], phi, sd)
    latent = spec.latent_scale
    if latent is not None:
        h, phi, sigma = p["log_multiplier"], p["phi"], p["sigma_log_multiplier"]
        total += truncated_normal(phi, latent.phi_mean, latent.phi_sd, -1.0, 1.0)
        total += float(half_normal(sigma, latent.sigma_sd))
        if abs(phi) >= 1:
            return -np.inf
        total += normal(h[0], 0.0, sigma / math.sqrt(1 - phi**2))
        total += normal(h[1:], phi * h[:-1], sigma).sum()
    return total


def mixture(x, dof, mean, scale, mix):
    """Log density of coefficients, Student-t or normal; with ``mix`` that of the coefficients and of mix."""
    if dof is None:
        return normal(x, mean, scale).sum()
    if mix is None:
        return student(x, dof, mean, scale).sum()
    return (normal(x, mean, scale / np.sqrt(mix)) + gamma(mix, dof / 2, dof / 2)).sum()


def loading_density(spec, p):
    """Loadings and what they follow (eq. 4, 4b, 4c, 4d)."""
    w = p["loadings"]
    mean, scale, total = [0.0] * len(w), 1.0, 0.0
    known = spec.characteristics
    if known is not None:
        mean, scale = [z @ p["loading_slopes"] for z in known.values], p["sigma_loadings"]
        total += normal(p["loading_slopes"], 0.0, known.slope_sd).sum()
        total += float(half_normal(scale, known.scale_sd))
    total += mixture(w[0], spec.loadings_dof, mean[0], scale, p.get("mix_loadings"))
    if spec.loading_blocks is not None:
        total += float(half_normal(p["loading_drift"], spec.loading_blocks.drift_sd))
        for b in range(1, len(w)):
            around = w[b - 1] + mean[b] - mean[b - 1]
            total += normal(w[b], around, p["loading_drift"] * spec.loading_blocks.unit).sum()
    return total


def hierarchy_density(effect, p):
    """Coefficients of an effect, and their locations and scales (eq. 5, 8)."""
    name = effect.name
    index, _ = groups(effect)
    sigma = p[f"sigma_{name}"]
    mu = p[f"mu_{name}"] if effect.loc_sd is not None else np.full_like(sigma, effect.loc_mean)
    total = half_normal(sigma, effect.scale_sd).sum()
    if effect.loc_sd is not None:
        total += normal(mu, effect.loc_mean, effect.loc_sd).sum()
    return total + mixture(p[name], effect.dof, mu[index], sigma[index], p.get(f"mix_{name}"))


def expected_returns(spec, p):
    """Expected log returns (period, asset) given the factors (eq. 2, 4b, 5a)."""
    f, w = p["factors"], p["loadings"]
    if spec.premium_sd is not None:
        f = f + p["factor_scale"] * p["premium"]
    n_periods, n_assets = spec.returns.shape
    block = np.zeros(n_periods, int) if spec.loading_blocks is None else spec.loading_blocks.block
    mu = np.einsum("tik,tk->ti", w[block], f)
    for effect in spec.mean:
        mu = mu + (columns(effect) * p[effect.name]).sum(axis=2)
    assert mu.shape == (n_periods, n_assets)
    return mu


def level(effect, b):
    """What the regressors of an effect are multiplied by: its coefficients, or above a least scale."""
    return np.log(effect.least + np.exp(b)) if effect.least else b


def log_noise_scale(spec, p):
    """Log noise scale (period, asset) (eq. 7, D4)."""
    known = sum((columns(e) * level(e, p[e.name])).sum(axis=2) for e in spec.log_volatility)
    return known if spec.asset_volatility is None else known + p["volatility_state"]


def all_returns(spec, p):
    """Returns (period, asset), those of the last period that evidence speaks of among them."""
    returns = spec.returns.copy()
    for e, r in zip(spec.evidence, p.get("evidence_return", ()), strict=True):
        returns[-1, e.asset] = r
    return returns


def return_density(spec, p):
    """Weighted likelihood of the returns, with their mixing variables if those are given (eq. 6, 9, 10).

    The density of u: t(r; nu, mu, sigma)^omega = c Gamma(u; a, nu sigma^2 / 2) exp(-u (r - mu)^2 / 2),
    integrated over u, with a = omega (nu + 1) / 2 and c that of the t density to the power omega over sigma.
    That of Laplace noise: exp(-s |r - mu|) = Levy(u; s^2) exp(-u (r - mu)^2 / 2), with s = omega / sigma.
    """
    returns = all_returns(spec, p)
    seen = np.isfinite(returns)
    e = np.where(seen, returns - expected_returns(spec, p), 0.0)
    log_scale = log_noise_scale(spec, p)
    omega = np.ones(len(returns)) if spec.period_weights is None else spec.period_weights
    weight = np.broadcast_to(omega[:, None], e.shape)
    family = spec.noise.code
    if family == NORMAL:
        value = weight * normal(e, 0.0, np.exp(log_scale))
    elif family == LAPLACE and "u" not in p:
        value = weight * laplace(e, np.exp(log_scale))
    elif family == LAPLACE:
        u = np.where(seen, p["u"], 1.0)
        value = weight * (-math.log(2) - log_scale) - 0.5 * u * e * e
        value = value + levy(u, (weight / np.exp(log_scale)) ** 2)
    elif "u" not in p:
        value = weight * student(e, p["nu"], 0.0, np.exp(log_scale))
    else:
        assert family == STUDENT_T
        nu = np.broadcast_to(p["nu"], e.shape)
        u = np.where(seen, p["u"], 1.0)
        constant = lgamma((nu + 1) / 2) - lgamma(nu / 2) - 0.5 * np.log(nu * math.pi)
        value = weight * (constant - log_scale) - 0.5 * u * e * e
        value = value + gamma(u, weight * (nu + 1) / 2, nu * np.exp(2 * log_scale) / 2)
    return float(np.where(seen, value, 0.0).sum())


def noise_prior(spec, p):
    """Prior of the degrees of freedom (eq. 8)."""
    dof = spec.noise.dof
    if dof is None:
        return 0.0
    total = gamma_of_mean(p["sigma_nu"], dof.sigma_nu_mean, dof.sigma_nu_sd)
    return float(total + gamma_of_mean(p["nu"], dof.nu_mean, p["sigma_nu"]).sum())


def evidence_density(spec, p):
    """What is said about simple returns of the last period (eq. 12)."""
    given = zip(spec.evidence, p.get("evidence_return", ()), strict=True)
    return sum(float(normal(e.mean, math.expm1(r), e.sd)) for e, r in given)


def log_joint(spec, p):
    """Log joint density of all values and of the returns."""
    prior = factor_prior(spec, p)
    if not np.isfinite(prior):
        return -np.inf
    hierarchies = sum(hierarchy_density(e, p) for e in (*spec.mean, *spec.log_volatility))
    likelihood = return_density(spec, p) + evidence_density(spec, p)
    return float(
        prior
        + factor_density(spec, p)
        + loading_density(spec, p)
        + hierarchies
        + noise_prior(spec, p)
        + asset_paths_density(spec, p)
        + likelihood
    )
