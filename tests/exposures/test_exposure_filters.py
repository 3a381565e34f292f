"""Filters against statsmodels, arch, SciPy, and simulations with known parameters."""

import warnings

import numpy as np
import pytest
from scipy.stats import invgamma, multivariate_normal
from statsmodels.tsa.statespace.kalman_smoother import KalmanSmoother

from bdfm.errors import DataError
from bdfm.exposures import (
    BayesianRandomWalk,
    ConstantBetas,
    DCCGarch,
    ExposureData,
    KalmanBetas,
    kalman_betas,
)
from bdfm.exposures.dcc import conditional_betas, fit_dcc, garch_margin
from bdfm.exposures.kalman import maximum_likelihood, prior_variances
from bdfm.exposures.kernels import dcc_correlations, dcc_loglik, garch_variance
from bdfm.exposures.random_walk import (
    NOISE_RATE,
    NOISE_SHAPE,
    STEP_RATE,
    STEP_SHAPE,
    sample_variances,
)

# -- Kalman filter -------------------------------------------------------------------------------------------


def statsmodels_filter(y, factors, noise_variance, steps):
    """The same model in statsmodels' state space, smoothed."""
    n, k = factors.shape
    model = KalmanSmoother(k_endog=1, k_states=k + 1)
    model.bind(np.ascontiguousarray(y[None]))
    model["design"] = np.vstack([np.ones(n), factors.T])[None]
    model["transition"] = model["selection"] = np.eye(k + 1)
    model["state_cov"] = np.diag([0.0, *steps])
    model["obs_cov"] = np.array([[noise_variance]])
    model.initialize_known(np.zeros(k + 1), np.diag(prior_variances(k)))
    return model.smooth()


@pytest.mark.parametrize("steps", [(4e-4, 1e-4), (0.0, 1e-2), (0.0, 0.0)])
@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_kalman_equals_statsmodels(data, steps, noise):
    y, f = 100 * data.returns.to_numpy()[:, 2], 100 * data.factors.to_numpy()
    oracle = statsmodels_filter(y, f, noise, steps)
    loglik, mean, covariance = kalman_betas(y, f, noise_variance=noise, step_variance=steps)
    assert loglik == pytest.approx(oracle.llf_obs.sum(), abs=1e-8)
    np.testing.assert_allclose(mean, oracle.filtered_state.T, atol=1e-8)
    np.testing.assert_allclose(covariance, np.moveaxis(oracle.filtered_state_cov, 2, 0), atol=1e-8)


def test_fitted_likelihoods_equal_statsmodels(data):
    result = KalmanBetas().fit(data)
    n = data.n_training
    p = result.parameters
    for i in range(len(data.assets)):
        y, f = 100 * data.returns.to_numpy()[:n, i], 100 * data.factors.to_numpy()[:n]
        noise = (100 * float(p["noise_sd"][i])) ** 2
        oracle = statsmodels_filter(y, f, noise, p["step_sd"].to_numpy()[i] ** 2)
        assert float(p["log_likelihood"][i]) == pytest.approx(oracle.llf_obs.sum(), abs=1e-8)


def test_maximum_likelihood_is_one(data):
    y, f = 100 * data.returns.to_numpy()[:, 4], 100 * data.factors.to_numpy()
    noise, steps, best = maximum_likelihood(y, f)
    assert noise == pytest.approx(0.64, rel=0.25)
    assert np.sqrt(steps[0]) == pytest.approx(0.02, rel=0.6)
    for factor in (0.7, 1.4):
        for k in range(3):
            scaled = np.concatenate([[noise], steps])
            scaled[k] *= factor
            loglik, *_ = kalman_betas(y, f, noise_variance=scaled[0], step_variance=scaled[1:])
            assert loglik <= best + 1e-4


def test_filtered_bands_cover_the_truth(moving):
    data, betas = moving
    result = KalmanBetas().fit(data)
    z = ((result.exposures - betas) / result.exposure_sd).to_numpy()[data.n_training - 1 :]
    assert 0.80 < (np.abs(z) < 1.645).mean() < 0.97
    late = slice(data.n_training, None)
    flat = np.abs(ConstantBetas().fit(data).exposures.to_numpy() - betas)[late].mean()
    assert np.abs(result.exposures.to_numpy() - betas)[late].mean() < 0.7 * flat


def test_kalman_refuses_what_does_not_fit():
    with pytest.raises(DataError, match="do not fit"):
        kalman_betas(np.zeros(5), np.zeros((4, 2)), noise_variance=1, step_variance=[0, 0])
    with pytest.raises(DataError, match="noise_variance must be above 0"):
        kalman_betas(np.zeros(5), np.zeros((5, 1)), noise_variance=0, step_variance=[0])
    with pytest.raises(DataError, match="not negative"):
        kalman_betas(np.zeros(5), np.zeros((5, 1)), noise_variance=1, step_variance=[-1])


# -- DCC-GARCH -----------------------------------------------------------------------------------------------


def test_margin_equals_arch(data):
    from arch import arch_model

    y = 100 * data.returns.to_numpy()[:, 1]
    n = data.n_training
    margin = garch_margin(y, n)
    fit = arch_model(y[:n], mean="Constant", vol="GARCH", p=1, q=1, rescale=False).fit(disp="off")
    np.testing.assert_allclose(np.sqrt(margin.variance[:n]), fit.conditional_volatility, rtol=1e-8)
    np.testing.assert_allclose(margin.standardised[:n], fit.std_resid, rtol=1e-8)
    forecast = fit.forecast(horizon=1, reindex=False).variance.to_numpy()[0, 0]
    assert margin.variance[n] == pytest.approx(forecast, rel=1e-3)  # arch forecasts from another backcast


def naive_dcc(z, target, a, b):
    """Correlations (day + 1) and log-likelihood by SciPy, step by step."""
    q, correlations, total = target.copy(), [], 0.0
    for t in range(len(z) + 1):
        d = np.diag(1 / np.sqrt(np.diag(q)))
        r = d @ q @ d
        correlations.append(r)
        if t < len(z):
            total += multivariate_normal.logpdf(z[t], cov=r)
            q = (1 - a - b) * target + a * np.outer(z[t], z[t]) + b * q
    return np.array(correlations), total + 0.5 * z.size * np.log(2 * np.pi)


def test_dcc_kernels_equal_a_naive_loop(rng):
    target = np.array([[1, 0.5, -0.2], [0.5, 1, 0.1], [-0.2, 0.1, 1]])
    z = rng.multivariate_normal(np.zeros(3), target, size=60)
    correlations, loglik = naive_dcc(z, target, 0.07, 0.85)
    assert dcc_loglik(z, target, 0.07, 0.85) == pytest.approx(loglik, abs=1e-9)
    np.testing.assert_allclose(dcc_correlations(z, target, 0.07, 0.85), correlations, atol=1e-12)
    assert dcc_loglik(z, np.full((3, 3), 1.0), 0.0, 0.0) == -np.inf


def simulate_dcc(n, target, a, b, seed):
    rng = np.random.default_rng(seed)
    q, z, correlations = target.copy(), np.empty((n, len(target))), np.empty((n, *target.shape))
    for t in range(n):
        d = 1 / np.sqrt(np.diag(q))
        correlations[t] = q * np.outer(d, d)
        z[t] = np.linalg.cholesky(correlations[t]) @ rng.standard_normal(len(target))
        q = (1 - a - b) * target + a * np.outer(z[t], z[t]) + b * q
    return z, correlations


def test_dcc_recovers_known_parameters():
    target = np.array([[1, 0.6, 0.1], [0.6, 1, 0.3], [0.1, 0.3, 1]])
    z, correlations = simulate_dcc(4000, target, 0.05, 0.92, seed=3)
    fit = fit_dcc(z)
    assert fit.a == pytest.approx(0.05, abs=0.015)
    assert fit.b == pytest.approx(0.92, abs=0.03)
    estimated = dcc_correlations(z, fit.target, fit.a, fit.b)[:-1]
    assert np.corrcoef(estimated[:, 0, 1], correlations[:, 0, 1])[0, 1] > 0.95
    assert dcc_loglik(z, fit.target, fit.a, fit.b) >= dcc_loglik(z, fit.target, 0.05, 0.92)


def test_conditional_betas_are_covariance_over_variance(rng):
    root = rng.standard_normal((5, 3, 3))
    h = root @ np.swapaxes(root, 1, 2) + 0.5 * np.eye(3)
    sd = np.sqrt(np.diagonal(h, axis1=1, axis2=2))
    correlation = h / sd[:, :, None] / sd[:, None, :]
    for t, beta in enumerate(conditional_betas(correlation, sd)):
        np.testing.assert_allclose(beta, np.linalg.inv(h[t, 1:, 1:]) @ h[t, 1:, 0], rtol=1e-10)
    one = conditional_betas(correlation[:, :2, :2], sd[:, :2])[:, 0]
    np.testing.assert_allclose(one, h[:, 0, 1] / h[:, 1, 1], rtol=1e-12)


def test_dcc_garch_follows_the_conditional_beta():
    """Two GARCH series with a DCC of known parameters: the estimated beta follows the true one."""
    n = 2500
    target = np.array([[1.0, 0.5], [0.5, 1.0]])
    z, correlations = simulate_dcc(n, target, 0.06, 0.92, seed=5)
    series, variances = np.empty((n, 2)), np.empty((n, 2))
    for j, (omega, alpha, beta) in enumerate([(0.05, 0.08, 0.9), (0.02, 0.10, 0.88)]):
        variance = omega / (1 - alpha - beta)
        for t in range(n):
            variances[t, j] = variance
            series[t, j] = np.sqrt(variance) * z[t, j]
            variance = omega + alpha * series[t, j] ** 2 + beta * variance
    data = ExposureData.from_arrays(series[:, :1] / 100, series[:, 1:] / 100)
    result = DCCGarch().fit(data)
    truth = correlations[1:, 0, 1] * np.sqrt(variances[1:, 0] / variances[1:, 1])
    estimate = result.exposures.to_numpy()[:-1, 0, 0]  # dated t, of day t + 1
    known = np.isfinite(estimate)
    assert known.sum() == n - 1 - 124
    truth, estimate = truth[known], estimate[known]
    assert np.corrcoef(estimate, truth)[0, 1] > 0.9
    assert np.abs(estimate - truth).mean() < 0.12
    assert float(result.parameters["b"][0]) == pytest.approx(0.92, abs=0.05)


def test_garch_recursion_by_hand():
    r = np.array([1.0, -2.0])
    v = garch_variance(r, 0.1, 0.2, 0.7, 1.0)
    np.testing.assert_allclose(v, [1.0, 0.1 + 0.2 + 0.7, 0.1 + 0.2 * 4 + 0.7 * 1.0])


def test_series_that_does_not_converge_is_named(data, monkeypatch):
    import bdfm.exposures.dcc as module

    def fail(returns, n_training):
        raise DataError("DCC-GARCH: a GARCH(1,1) did not converge (flag 9). Drop the series.")

    monkeypatch.setattr(module, "garch_margin", fail)
    with pytest.raises(DataError, match="DCC-GARCH: market: a GARCH"):
        DCCGarch().fit(data)
    with pytest.raises(DataError, match="2 or more series"):
        fit_dcc(np.zeros((10, 1)))


# -- Bayesian random walk ------------------------------------------------------------------------------------


@pytest.mark.long
def test_variances_have_the_exact_posterior():
    """One factor: the posterior of the two variances on a fine grid, from the exact likelihood."""
    rng = np.random.default_rng(2)
    n = 150
    f = rng.standard_normal((n, 1))
    beta = 1 + np.cumsum(0.08 * rng.standard_normal(n))
    y = beta * f[:, 0] + 0.9 * rng.standard_normal(n)
    draws = sample_variances(y, f, n_draws=1500, n_burn=500, thin=4, rng=np.random.default_rng(3))
    log_noise, log_step = np.linspace(-1.2, 0.8, 40), np.linspace(-11, -1, 50)
    density = np.empty((40, 50))
    for i, h in enumerate(np.exp(log_noise)):
        for j, q in enumerate(np.exp(log_step)):
            loglik, *_ = kalman_betas(y, f, noise_variance=h, step_variance=[q])
            prior = invgamma.logpdf(h, NOISE_SHAPE, scale=NOISE_RATE) + invgamma.logpdf(
                q, STEP_SHAPE, scale=STEP_RATE
            )
            density[i, j] = loglik + prior + np.log(h) + np.log(q)
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    for sample, grid, marginal in (
        (np.log(draws.noise), log_noise, weights.sum(axis=1)),
        (np.log(draws.steps[:, 0]), log_step, weights.sum(axis=0)),
    ):
        mean = grid @ marginal
        sd = np.sqrt((grid - mean) ** 2 @ marginal)
        n_effective = 1500 / (1 + 2 * sum(np.corrcoef(sample[k:], sample[:-k])[0, 1] for k in range(1, 30)))
        assert n_effective > 250
        assert abs(sample.mean() - mean) < 4 * sd / np.sqrt(n_effective)
        assert sample.std() == pytest.approx(sd, rel=0.15)
    assert 0.15 < draws.acceptance < 0.5


def test_bayesian_bands_are_wider_than_those_of_known_variances(data):
    own = data.select(["A2"])
    bayes = BayesianRandomWalk(n_draws=30, n_burn=100, thin=5).fit(own, seed=1)
    assert bayes.parameters["step_sd"].shape == (30, 1, 2)
    p = bayes.parameters
    _, _, covariance = kalman_betas(
        100 * own.returns.to_numpy()[:, 0],
        100 * own.factors.to_numpy(),
        noise_variance=float(((100 * p["noise_sd"]) ** 2).mean()),
        step_variance=(p["step_sd"] ** 2).mean("draw").to_numpy()[0],
    )
    known = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))[200:, 1:].mean()
    assert float(bayes.exposure_sd[200:].mean()) > 0.85 * known
    again = BayesianRandomWalk(n_draws=30, n_burn=100, thin=5).fit(own, seed=1)
    assert again.dataset.identical(bayes.dataset)
    other = BayesianRandomWalk(n_draws=30, n_burn=100, thin=5).fit(own, seed=2)
    assert not other.dataset.equals(bayes.dataset)


def test_no_warnings_from_margins(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        garch_margin(100 * data.returns.to_numpy()[:, 0], data.n_training)
