"""Every component, from one registry: NumPy equals PyTensor, a batch equals a loop over draws."""

import datetime as dt

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import stats

from bdfm.components.base import Component
from bdfm.components.dynamics import (
    AR1,
    Momentum,
    innovation_path,
    lag_coefficients,
    simulate_path,
    stationary_start,
)
from bdfm.components.likelihood import NormalNoise, StudentTNoise
from bdfm.components.loadings import StaticLoadings
from bdfm.components.mean import Intercept, RecentReturn
from bdfm.components.volatility import ConstantScale, Earnings, LogVolIntercept, RecentVolatility
from bdfm.components.weights import EqualWeights, HalfLifeWeights, StepWeights

N_DRAWS, N_PERIODS, N_ASSETS, N_FACTORS, N_WINDOWS = 3, 20, 5, 2, 2

DYNAMICS = [AR1(), Momentum()]
EFFECTS = [Intercept(), RecentReturn(), LogVolIntercept(), RecentVolatility(), Earnings()]
NOISE = [StudentTNoise(), NormalNoise()]
WEIGHTS = [EqualWeights(), StepWeights(cutoff=dt.date(2018, 5, 1)), HalfLifeWeights(half_life_periods=12)]
REGISTRY = [*DYNAMICS, ConstantScale(), StaticLoadings(), *EFFECTS, *NOISE, *WEIGHTS]


def leaves(cls):
    return {c for s in cls.__subclasses__() for c in (leaves(s) or {s})}


def test_registry_holds_every_component():
    assert {type(c) for c in REGISTRY} == leaves(Component)
    assert len(REGISTRY) == 14


@pytest.fixture
def data(rng):
    return {
        "class_index": np.array([0, 0, 1, 1, 1]),
        "recent_return": rng.standard_normal((N_PERIODS, N_ASSETS)),
        "recent_volatility": rng.standard_normal((N_PERIODS, N_ASSETS, N_WINDOWS)),
        "earnings": rng.integers(0, 2, (N_PERIODS, N_ASSETS)).astype(float),
    }


def prior(component, data, n_draws=N_DRAWS, seed=1):
    """Draws of a component's own variables by name, (draw, ...)."""
    coords = {"asset": range(N_ASSETS), "asset_class": range(2), "factor": range(N_FACTORS)}
    with pm.Model(coords=coords | {"window": range(N_WINDOWS)}):
        variables = component.params({k: pm.Data(k, v) for k, v in data.items()})
        names = list(variables)
        if not names:
            return {}
        return dict(
            zip(names, pm.draw([variables[n] for n in names], draws=n_draws, random_seed=seed), strict=True)
        )


def as_tensors(arrays):
    return {k: pt.as_tensor(v) for k, v in arrays.items()}


@pytest.mark.parametrize("component", EFFECTS, ids=lambda c: type(c).__name__)
def test_effect_numpy_equals_pytensor_and_batch_equals_loop(component, data):
    p = prior(component, data)
    batch = component.effect(p, data)
    assert batch.shape[-1] == N_ASSETS
    assert batch.shape[0] == N_DRAWS
    for d in range(N_DRAWS):
        one = {k: v[d] for k, v in p.items()}
        np.testing.assert_allclose(component.effect(one, data), batch[d], rtol=1e-12)
        symbolic = component.effect(as_tensors(one), as_tensors(data)).eval()
        np.testing.assert_allclose(symbolic, batch[d], rtol=1e-12)


def test_effects_by_hand(data):
    x = data
    p = {"beta_rr": np.array([1.0, 2, 3, 4, 5]), "beta_rv": np.arange(10.0).reshape(5, 2)}
    np.testing.assert_allclose(RecentReturn().effect(p, x)[3, 2], 3 * x["recent_return"][3, 2])
    by_hand = 4 * x["recent_volatility"][7, 2, 0] + 5 * x["recent_volatility"][7, 2, 1]
    np.testing.assert_allclose(RecentVolatility().effect(p, x)[7, 2], by_hand)


def test_common_return_batch_equals_loop(data, rng):
    p = prior(StaticLoadings(), data)
    factors = rng.standard_normal((N_DRAWS, N_PERIODS, N_FACTORS))
    batch = StaticLoadings().common(p, factors)
    for d in range(N_DRAWS):
        by_hand = np.array([[p["loadings"][d, i] @ f for i in range(N_ASSETS)] for f in factors[d]])
        np.testing.assert_allclose(batch[d], by_hand, rtol=1e-12)
        one = {"loadings": pt.as_tensor(p["loadings"][d])}
        np.testing.assert_allclose(StaticLoadings().common(one, pt.as_tensor(factors[d])).eval(), by_hand)


def test_factor_scale_broadcasts_over_periods(data):
    p = prior(ConstantScale(), data)
    assert ConstantScale().scale(p, data).shape == (N_DRAWS, 1, N_FACTORS)


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda c: type(c).__name__)
def test_path_of_the_fit_equals_repeated_steps(dynamics, data, rng):
    p = prior(dynamics, data, seed=4)
    eta = rng.standard_normal((N_DRAWS, N_PERIODS, N_FACTORS))
    simulated = simulate_path(lag_coefficients((dynamics,), p), eta)
    for d in range(N_DRAWS):
        one = {k: pt.as_tensor(v[d]) for k, v in p.items()}
        path = innovation_path(lag_coefficients((dynamics,), one), pt.as_tensor(eta[d])).eval()
        np.testing.assert_allclose(path, simulated[d], rtol=1e-10, atol=1e-12)


def test_path_without_dynamics_is_the_innovations(rng):
    eta = rng.standard_normal((4, 2))
    assert innovation_path([], eta) is eta
    np.testing.assert_array_equal(simulate_path([], eta), eta)


def autocovariance(phi, n):
    """Autocovariances of an AR(p) with unit innovations, from its long moving-average form."""
    psi = np.zeros(3000)
    psi[0] = 1.0
    for t in range(1, len(psi)):
        psi[t] = sum(c * psi[t - 1 - j] for j, c in enumerate(phi) if t - 1 - j >= 0)
    return np.array([psi[: len(psi) - h] @ psi[h:] for h in range(n)])


@pytest.mark.parametrize("phi", [[0.6], [-0.4], [0.5, -0.3], [-0.1] + [0.05] * 11])
def test_start_is_exactly_stationary(phi):
    """The covariance of the simulated path, exact by linearity, is that of the stationary process."""
    n = 30
    coefficients = [np.float64(c) for c in phi]
    impulse = simulate_path([np.full(n, c) for c in coefficients], np.eye(n)[:, :, None])[:, :, 0].T
    gamma = autocovariance(phi, n)
    lags = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    np.testing.assert_allclose(impulse @ impulse.T, gamma[lags], rtol=1e-8, atol=1e-10)


def test_ar1_starts_at_its_stationary_sd():
    ((phi, sd),) = stationary_start([np.float64(0.6)])
    assert phi == []
    np.testing.assert_allclose(sd, 1 / np.sqrt(1 - 0.36))


def test_momentum_prior_is_stationary(data):
    p = prior(Momentum(beta_sd=1.0, rho_sd=1.0), data, n_draws=500)
    assert np.all(np.abs(p["rho"]) + 11 * np.abs(p["beta_momentum"]) < 1)
    assert np.std(p["beta_momentum"]) > 0.01


def naive_log_density(noise, log_scale, p):
    """One observation at a time, by SciPy."""
    result = np.empty(noise.shape)
    for t, i in np.ndindex(*noise.shape):
        scale = np.exp(log_scale[t, i])
        if "nu" in p:
            result[t, i] = stats.t.logpdf(noise[t, i], p["nu"][i], 0, scale)
        else:
            result[t, i] = stats.norm.logpdf(noise[t, i], 0, scale)
    return result


@pytest.mark.parametrize("component", NOISE, ids=lambda c: type(c).__name__)
def test_log_density_equals_naive_loop(component, data, rng):
    p = prior(component, data)
    noise = 0.1 * rng.standard_normal((N_DRAWS, N_PERIODS, N_ASSETS))
    log_scale = rng.normal(-3, 1, noise.shape)
    batch = component.log_density(noise, log_scale, p)
    for d in range(N_DRAWS):
        one = {k: v[d] for k, v in p.items()}
        expected = naive_log_density(noise[d], log_scale[d], one)
        np.testing.assert_allclose(batch[d], expected, rtol=1e-10)
        symbolic = component.log_density(pt.as_tensor(noise[d]), pt.as_tensor(log_scale[d]), as_tensors(one))
        np.testing.assert_allclose(pytensor.function([], symbolic)(), expected, rtol=1e-10)


@pytest.mark.parametrize("component", NOISE, ids=lambda c: type(c).__name__)
def test_standard_draws_have_the_density(component, rng):
    p = {"nu": np.array([3.0, 8.0])} if isinstance(component, StudentTNoise) else {}
    normal, multiplier = component.standard_draws(p, (20_000, 2), rng)
    reference = [stats.t(3.0), stats.t(8.0)] if p else [stats.norm()] * 2
    for i, distribution in enumerate(reference):
        assert stats.kstest((normal * multiplier)[:, i], distribution.cdf).pvalue > 1e-3


def test_weights():
    ends = np.array(["2018-04-06", "2018-05-04", "2018-06-01"], dtype="datetime64[ns]")
    np.testing.assert_array_equal(EqualWeights().weights(ends), [1, 1, 1])
    step = StepWeights(cutoff=dt.date(2018, 5, 1), before=0.3)
    np.testing.assert_array_equal(step.weights(ends), [0.3, 1, 1])
    np.testing.assert_allclose(HalfLifeWeights(half_life_periods=1).weights(ends), [0.25, 0.5, 1])
