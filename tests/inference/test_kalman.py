"""Gaussian special case: log-likelihood with the factors integrated out, against an exact Kalman filter.

With normal noise the log joint density of returns y and standardised innovations z is quadratic in z, so
that log p(y) = log p(y, z) - log p(z | y) is exact; at the mode, log p(z | y) needs only the precision of z.
All densities are those of the PyMC model that ``FactorModel.build`` makes; the filter is statsmodels'.
"""

import numpy as np
import pymc as pm
import pytest
from scipy.linalg import cho_solve
from scipy.stats import multivariate_normal
from statsmodels.tsa.statespace.kalman_filter import KalmanFilter

from bdfm.model.equations import FACTORS_Z, model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.parts.dynamics import AR1, Momentum
from bdfm.model.parts.log_volatility import Earnings, LogVolIntercept, RecentVolatility
from bdfm.model.parts.mean import Intercept, RecentReturn
from bdfm.model.parts.noise import NormalNoise
from bdfm.names import (
    ALPHA,
    BETA_EARNINGS,
    BETA_MOMENTUM,
    BETA_RR,
    BETA_RV,
    EARNINGS,
    FACTOR_SCALE,
    LOADINGS,
    RECENT_RETURN,
    RECENT_VOLATILITY,
    RETURNS,
    RHO,
    THETA,
)

PLAIN = {"mean": (Intercept(),), "log_volatility": (LogVolIntercept(),)}
FEATURES = {
    "mean": (Intercept(), RecentReturn()),
    "log_volatility": (LogVolIntercept(), RecentVolatility(), Earnings()),
}


def gaussian(*dynamics, parts=PLAIN):
    return FactorModel(n_factors=2, dynamics=dynamics, noise=NormalNoise(), **parts)


def at_parameters(model, panel, **values):
    """Return the PyMC model, a point of its unconstrained space, and the parameters there by name."""
    built = model.build(panel)
    rng = np.random.default_rng(4)
    shape = (len(panel.assets), model.n_factors)
    values = {LOADINGS: rng.normal(0.5, 1.0, shape), FACTOR_SCALE: np.array([0.04, 0.015]), **values}
    start = pm.initial_point.make_initial_point_fn(
        model=built, overrides={built[name]: value for name, value in values.items()}, jitter_rvs=set()
    )
    # What is not given stands at its prior's centre plus noise, on the unconstrained scale.
    fixed = {built.rvs_to_values[built[name]].name for name in values}
    point = {
        name: value if name in fixed else value + 0.3 * rng.standard_normal(value.shape)
        for name, value in start(0).items()
    }
    names = [v.name for v in (*built.free_RVs, *built.deterministics)]
    variables = built.replace_rvs_by_values([built[x] for x in names])
    evaluate = built.compile_fn(variables, inputs=built.value_vars, on_unused_input="ignore")
    p = dict(zip(names, evaluate(point), strict=True))
    for name, value in values.items():
        np.testing.assert_allclose(p[name], value, rtol=1e-12)
    return built, point, p


def log_marginal(built, point):
    """Log density of the returns at a point, with the factors integrated out."""
    log_joint = built.compile_logp(vars=[built[FACTORS_Z], built[RETURNS]])
    gradient = built.compile_dlogp(vars=[built[FACTORS_Z]])
    shape = point[FACTORS_Z].shape
    n = int(np.prod(shape))

    def at(z):
        return {**point, FACTORS_Z: z.reshape(shape)}

    slope = gradient(at(np.zeros(n)))
    # Differences of the gradient of a quadratic function are its second derivatives.
    precision = np.array([slope - gradient(at(unit)) for unit in np.eye(n)])
    np.testing.assert_allclose(precision, precision.T, atol=1e-9 * np.abs(precision).max())
    chol = np.linalg.cholesky((precision + precision.T) / 2)
    mode = cho_solve((chol, True), slope)
    assert np.abs(gradient(at(mode))).max() < 1e-9 * np.abs(slope).max()
    return log_joint(at(mode)) - np.log(np.diag(chol)).sum() + n / 2 * np.log(2 * np.pi)


def kalman_filter(model, panel, p):
    """Filter of the same model in companion form, initialised from its stationary law."""
    data = model_data(model, panel)
    n_periods, n_assets = data[RETURNS].shape
    coefficients = [float(c) for c in model.lags(p).coefficients]
    k, n_lags = model.n_factors, len(coefficients)
    kf = KalmanFilter(k_endog=n_assets, k_states=k * n_lags, k_posdef=k)
    # A converged filter would be approximate.
    kf.tolerance = 0.0
    kf.bind(data[RETURNS].copy())
    kf["design"] = np.hstack([p[LOADINGS], np.zeros((n_assets, k * (n_lags - 1)))])
    kf["transition"] = np.vstack([np.kron(coefficients, np.eye(k)), np.eye(k * (n_lags - 1), k * n_lags)])
    kf["selection"] = np.eye(k * n_lags, k)
    kf["state_cov"] = np.diag(p[FACTOR_SCALE] ** 2)
    # By hand, not by the model's own equations.
    mu = np.tile(p[ALPHA], (n_periods, 1))
    log_scale = np.tile(p[THETA], (n_periods, 1))
    if BETA_RR in p:
        mu += p[BETA_RR] * data[RECENT_RETURN]
        log_scale += p[BETA_RV][:, 0] * data[RECENT_VOLATILITY][:, :, 0]
        log_scale += p[BETA_EARNINGS] * data[EARNINGS]
    kf["obs_intercept"] = mu.T
    kf["obs_cov"] = np.stack([np.diag(v) for v in np.exp(2 * log_scale)], axis=2)
    kf.initialize_stationary()
    return kf


@pytest.mark.parametrize(
    ("dynamics", "parts", "values"),
    [
        pytest.param(AR1(), PLAIN, {RHO: -0.35}, marks=pytest.mark.long),
        (AR1(), FEATURES, {RHO: 0.93}),
        (Momentum(), PLAIN, {RHO: 0.4, BETA_MOMENTUM: -0.05}),
        pytest.param(Momentum(), FEATURES, {RHO: -0.2, BETA_MOMENTUM: 0.06}, marks=pytest.mark.long),
    ],
    ids=["ar1", "ar1 with features", "momentum", "momentum with features"],
)
def test_log_likelihood_equals_the_kalman_filter(tiny_panel, dynamics, parts, values):
    missing = np.isnan(tiny_panel.history[RETURNS].to_numpy())
    assert 20 < missing.sum() < missing.size / 2
    model = gaussian(dynamics, parts=parts)
    built, point, p = at_parameters(model, tiny_panel, **values)
    kf = kalman_filter(model, tiny_panel, p)
    stationary = kf.loglike()
    np.testing.assert_allclose(log_marginal(built, point), stationary, rtol=0, atol=1e-8)
    # The start matters: independent first factors of the innovation's scale would be seen.
    n_lags = dynamics.n_lags
    kf.initialize_known(np.zeros(2 * n_lags), np.diag(np.tile(p[FACTOR_SCALE] ** 2, n_lags)))
    assert abs(kf.loglike() - stationary) > 1e-4


def test_independent_factors_are_a_constant_covariance(tiny_panel):
    """Without dynamics each period is one normal draw: no filter is needed to say its density."""
    model = gaussian()
    built, point, p = at_parameters(model, tiny_panel)
    scaled = p[LOADINGS] * p[FACTOR_SCALE]
    covariance = scaled @ scaled.T + np.diag(np.exp(2 * p[THETA]))
    expected = 0.0
    for r in tiny_panel.history[RETURNS].to_numpy():
        seen = np.flatnonzero(np.isfinite(r))
        law = multivariate_normal(p[ALPHA][seen], covariance[np.ix_(seen, seen)])
        expected += law.logpdf(r[seen])
    np.testing.assert_allclose(log_marginal(built, point), expected, rtol=0, atol=1e-8)
