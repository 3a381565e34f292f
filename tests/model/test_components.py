"""Every component, from one registry: NumPy equals PyTensor, a batch equals a loop over draws."""

import datetime as dt

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from scipy import integrate, stats

from bdfm.errors import ModelError
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Part
from bdfm.model.parts.autoregression import from_normals, to_normals
from bdfm.model.parts.dynamics import (
    AR1,
    VAR1,
    LagPolynomial,
    Momentum,
    innovation_path,
    simulate_path,
    stationary_root,
    stationary_start,
    step,
    summed_lags,
)
from bdfm.model.parts.factor_noise import NormalFactorNoise, StudentTFactorNoise
from bdfm.model.parts.factor_scale import ConstantScale, MarketVolatilityScale, StochasticVolatilityScale
from bdfm.model.parts.factor_volatility import FactorVolatilityScale
from bdfm.model.parts.loadings import (
    InstrumentedLoadings,
    InstrumentedWalkLoadings,
    RandomWalkLoadings,
    StaticLoadings,
)
from bdfm.model.parts.log_volatility import Earnings, LogVolIntercept, OutsideVolatility, RecentVolatility
from bdfm.model.parts.mean import FactorPremium, Intercept, MarketPremium, RecentReturn
from bdfm.model.parts.noise import LaplaceNoise, NormalNoise, StudentTNoise
from bdfm.model.parts.predictive import CovariancePool, HistoricalPool, ModelPredictive
from bdfm.model.parts.stochastic_volatility import StochasticVolatility
from bdfm.model.parts.weights import EqualWeights, HalfLifeWeights, StepWeights

N_DRAWS, N_PERIODS, N_ASSETS, N_FACTORS, N_WINDOWS = 3, 20, 5, 2, 2

DYNAMICS = [AR1(), Momentum(), VAR1(), VAR1(cross_sd=0.0)]
SCALES = [ConstantScale(), MarketVolatilityScale(), StochasticVolatilityScale(), FactorVolatilityScale()]
LOADINGS = [
    StaticLoadings(),
    RandomWalkLoadings(every=8, drift_sd=0.5),
    InstrumentedLoadings(),
    InstrumentedWalkLoadings(every=8, drift_sd=0.5),
]
EFFECTS = [
    Intercept(),
    FactorPremium(),
    MarketPremium(),
    RecentReturn(),
    LogVolIntercept(),
    LogVolIntercept(least=0.01),
    RecentVolatility(),
    Earnings(),
    OutsideVolatility(),
    StochasticVolatility(),
]
NOISE = [StudentTNoise(), NormalNoise(), LaplaceNoise()]
WEIGHTS = [EqualWeights(), StepWeights(cutoff=dt.date(2018, 5, 1)), HalfLifeWeights(half_life_periods=12)]
PREDICTIVE = [ModelPredictive(), HistoricalPool(), CovariancePool()]
FACTOR_NOISE = [NormalFactorNoise(), StudentTFactorNoise()]
REGISTRY = [*DYNAMICS, *SCALES, *FACTOR_NOISE, *LOADINGS, *EFFECTS, *NOISE, *WEIGHTS, *PREDICTIVE]


def leaves(cls):
    """Parts of the package, not those that other tests make."""
    own = (s for s in cls.__subclasses__() if s.__module__.startswith("bdfm."))
    return {c for s in own for c in (leaves(s) or {s})}


def test_registry_holds_every_component():
    # Other tests define parts of their own.
    own = {part for part in leaves(Part) if part.__module__.startswith("bdfm.")}
    assert {type(c) for c in REGISTRY} == own
    assert len(REGISTRY) == 33


@pytest.fixture
def data(rng):
    return {
        "class_index": np.array([0, 0, 1, 1, 1]),
        "recent_return": rng.standard_normal((N_PERIODS, N_ASSETS)),
        "recent_volatility": rng.standard_normal((N_PERIODS, N_ASSETS, N_WINDOWS)),
        "earnings": rng.integers(0, 2, (N_PERIODS, N_ASSETS)).astype(float),
        "market_risk": 0.05 * rng.standard_normal((N_PERIODS, N_ASSETS)),
        "outside_volatility": rng.standard_normal((N_PERIODS, N_ASSETS)),
        "market_volatility": rng.standard_normal((N_PERIODS, N_WINDOWS)),
        "characteristics": rng.standard_normal((N_ASSETS, 3)),
        "characteristics_path": rng.standard_normal((N_PERIODS, N_ASSETS, 3)),
        "period_weights": np.ones(N_PERIODS),
        "loading_block": RandomWalkLoadings(every=8).blocks(N_PERIODS),
        "period_number": np.arange(N_PERIODS),
    }


def prior(component, data, n_draws=N_DRAWS, seed=1):
    """Draws of a component's own variables by name, (draw, ...)."""
    coords = {"asset": range(N_ASSETS), "asset_class": range(2), "factor": range(N_FACTORS)}
    coords |= {"window": range(N_WINDOWS), "period": range(N_PERIODS), "characteristic": range(3)}
    coords |= {"factor_before": range(N_FACTORS), **component.coords(data)}
    with pm.Model(coords=coords):
        containers = {k: pm.Data(k, v) for k, v in data.items() if k != "loading_block"}
        variables = component.params(containers | {"loading_block": data["loading_block"]})
        names = list(variables)
        if not names:
            return {}
        return dict(
            zip(names, pm.draw([variables[n] for n in names], draws=n_draws, random_seed=seed), strict=True)
        )


def as_tensors(arrays):
    return {k: pt.as_tensor(v) for k, v in arrays.items()}


@pytest.mark.parametrize("component", EFFECTS, ids=lambda c: type(c).__name__)
def test_effect_numpy_equals_pytensor_and_batch_equals_loop(component, data, rng):
    common = {
        "loadings": rng.standard_normal((N_DRAWS, N_ASSETS, N_FACTORS)),
        "factor_scale": rng.random((N_DRAWS, N_FACTORS)),
    }
    p = prior(component, data) | common
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
    lean = MarketPremium().effect({"sharpe": np.full(5, 0.2)}, x)
    np.testing.assert_allclose(lean, 0.2 * x["market_risk"])
    common = {"loadings": np.ones((5, 2)), "factor_scale": np.array([0.05, 0.02])}
    premium = FactorPremium().effect({**common, "premium": np.array([0.2, -0.1])}, x)
    np.testing.assert_allclose(premium, np.full((1, 5), 0.05 * 0.2 - 0.02 * 0.1))
    by_hand = 4 * x["recent_volatility"][7, 2, 0] + 5 * x["recent_volatility"][7, 2, 1]
    np.testing.assert_allclose(RecentVolatility().effect(p, x)[7, 2], by_hand)


def test_least_noise_bounds_the_level_and_is_a_setting_only_where_it_is_given(data):
    """log(least + e^theta): its limits, and one value by hand; settings of before have no such key."""
    theta = np.array([-60.0, -3.0, 0.7])
    found = LogVolIntercept(least=0.02).effect({"theta": theta}, data)
    np.testing.assert_allclose(found, [np.log([0.02, 0.02 + np.exp(-3.0), 0.02 + np.exp(0.7)])], rtol=1e-12)
    np.testing.assert_array_equal(LogVolIntercept().effect({"theta": theta}, data), theta[None])
    assert "least" not in LogVolIntercept().model_dump()
    assert LogVolIntercept(least=0.02).model_dump()["least"] == 0.02
    assert FactorModel.from_preset("daily").log_volatility[0].least == 0.0001
    with pytest.raises(ModelError, match="least"):
        FactorModel(log_volatility=[{"kind": "intercept", "least": -0.1}])


@pytest.mark.parametrize("component", LOADINGS, ids=lambda c: type(c).__name__)
def test_common_return_batch_equals_loop(component, data, rng):
    data = data | {"loading_block": component.blocks(N_PERIODS)}
    p = prior(component, data)
    assert p["loadings"].shape == (N_DRAWS, N_ASSETS, N_FACTORS)
    factors = rng.standard_normal((N_DRAWS, N_PERIODS, N_FACTORS))
    batch = component.common(p, factors, data)
    block = component.blocks(N_PERIODS)
    for d in range(N_DRAWS):
        own = p.get("loadings_path", p["loadings"][:, None])[d]
        by_hand = np.array([own[b] @ f for b, f in zip(block, factors[d], strict=True)])
        np.testing.assert_allclose(batch[d], by_hand, rtol=1e-12)
        one = as_tensors({k: v[d] for k, v in p.items()})
        np.testing.assert_allclose(component.common(one, pt.as_tensor(factors[d]), data).eval(), by_hand)


def test_blocks_of_loadings_end_at_the_origin():
    np.testing.assert_array_equal(RandomWalkLoadings(every=3).blocks(7), [0, 1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(RandomWalkLoadings(every=1).blocks(3), [0, 1, 2])
    np.testing.assert_array_equal(StaticLoadings().blocks(3), [0, 0, 0])


@pytest.mark.long
def test_random_walk_loadings_change_by_the_yearly_drift(data):
    """With blocks of 8 periods, a change has sd drift * sqrt(8 / 13); a forecast uses the last block."""
    data["loading_block"] = RandomWalkLoadings(every=8).blocks(N_PERIODS)
    p = prior(RandomWalkLoadings(every=8, drift_sd=0.5), data, n_draws=4000)
    np.testing.assert_array_equal(p["loadings"], p["loadings_path"][:, -1])
    change = np.diff(p["loadings_path"], axis=1) / p["loading_drift"][:, None, None, None]
    np.testing.assert_allclose(change.std(), np.sqrt(8 / 13), rtol=0.02)
    assert p["loadings_path"].shape[1] == 3


def test_instrumented_loadings_follow_characteristics(data):
    p = prior(InstrumentedLoadings(scale=1e-9), data)
    by_hand = np.einsum("il,dlk->dik", data["characteristics"], p["loading_slopes"])
    np.testing.assert_allclose(p["loadings"], by_hand, atol=1e-7)


def test_loadings_that_follow_moving_characteristics(data):
    """Those of the start of each block, in the last one of the origin; what they leave walks."""
    component = InstrumentedWalkLoadings(every=8, drift_sd=1e-9, scale=1e-9)
    data = data | {"loading_block": component.blocks(N_PERIODS)}
    assert data["loading_block"].tolist() == [-4] * 4 + [-3] * 8 + [-2] * 8
    assert component.block_ahead(N_PERIODS) == -1
    p = prior(component, data)
    known = [data["characteristics_path"][t] for t in (0, 4, 12)] + [data["characteristics"]]
    by_hand = np.einsum("bil,dlk->dbik", np.stack(known), p["loading_slopes"])
    np.testing.assert_allclose(p["loadings_path"], by_hand, atol=1e-6)
    np.testing.assert_array_equal(p["loadings"], p["loadings_path"][:, -1])
    factors = np.random.default_rng(2).standard_normal((N_DRAWS, N_PERIODS, N_FACTORS))
    path = p["loadings_path"]
    for t, b in ((3, 0), (4, 1), (19, 2)):
        own = np.einsum("dik,dk->di", path[:, b], factors[:, t])
        np.testing.assert_allclose(component.common(p, factors, data)[:, t], own)
    ahead = component.common(p, factors[:, :1], {"loading_block": np.array([-1])})
    np.testing.assert_allclose(ahead[:, 0], np.einsum("dik,dk->di", path[:, -1], factors[:, 0]))


@pytest.mark.parametrize("component", SCALES, ids=lambda c: type(c).__name__)
def test_factor_scale_numpy_equals_pytensor_and_batch_equals_loop(component, data):
    p = prior(component, data)
    batch = np.broadcast_to(component.scale(p, data), (N_DRAWS, N_PERIODS, N_FACTORS))
    for d in range(N_DRAWS):
        one = {k: v[d] for k, v in p.items()}
        own = np.broadcast_to(component.scale(one, data), batch[d].shape)
        np.testing.assert_allclose(own, batch[d], rtol=1e-12)
        symbolic = component.scale(as_tensors(one), as_tensors(data)).eval()
        np.testing.assert_allclose(np.broadcast_to(symbolic, batch[d].shape), batch[d], rtol=1e-12)


@pytest.mark.parametrize("component", FACTOR_NOISE, ids=lambda c: type(c).__name__)
def test_factor_noise_numpy_equals_pytensor_and_batch_equals_loop(component, data):
    p = prior(component, data)
    batch = np.broadcast_to(component.multiplier(p), (N_DRAWS, N_PERIODS))
    for d in range(N_DRAWS):
        one = {k: v[d] for k, v in p.items()}
        np.testing.assert_allclose(np.broadcast_to(component.multiplier(one), N_PERIODS), batch[d])
        symbolic = component.multiplier(as_tensors(one))
        symbolic = symbolic if isinstance(symbolic, np.ndarray) else symbolic.eval()
        np.testing.assert_allclose(np.broadcast_to(symbolic, N_PERIODS), batch[d], rtol=1e-12)


def test_factor_scales_by_hand(data):
    x = data["market_volatility"]
    p = {"factor_scale": np.array([0.04, 0.01]), "beta_mv": np.array([0.5, -0.2])}
    by_hand = 0.01 * np.exp(0.5 * x[3, 0] - 0.2 * x[3, 1])
    np.testing.assert_allclose(MarketVolatilityScale().scale(p, data)[3, 1], by_hand)
    p = {"factor_scale": np.array([0.04, 0.01]), "log_multiplier": np.linspace(0, 1, N_PERIODS)}
    np.testing.assert_allclose(StochasticVolatilityScale().scale(p, data)[-1, 0], 0.04 * np.e)


def test_latent_volatility_ahead_has_the_law_of_its_history(data, rng):
    """From a stationary start, the path ahead has the mean and variance of an AR(1), exactly known."""
    n = 40_000
    p = {
        "phi": np.full(n, 0.8),
        "sigma_log_multiplier": np.full(n, 0.3),
        "log_multiplier": np.full((n, 1), 0.7),
    }
    ahead = {"period_weights": np.ones(3)}
    h = StochasticVolatilityScale().simulate_ahead(p, ahead, n, rng)
    assert h.shape == (n, 3)
    for s in range(3):
        sd = 0.3 * np.sqrt(sum(0.64**j for j in range(s + 1)))
        np.testing.assert_allclose(h[:, s].mean(), 0.7 * 0.8 ** (s + 1), atol=4 * sd / np.sqrt(n))
        np.testing.assert_allclose(h[:, s].std(), sd, rtol=0.02)


@pytest.mark.parametrize("with_next", [False, True])
def test_latent_variance_ahead_is_that_of_its_paths(rng, with_next):
    n = 200_000
    p = {"phi": np.full(n, 0.7), "sigma_log_multiplier": np.full(n, 0.2)}
    p["log_multiplier"] = np.full((n, 1), 0.5)
    if with_next:
        p["log_multiplier_next"] = np.full(n, -0.4)
    ahead = {"period_weights": np.ones(3)}
    h = StochasticVolatilityScale().simulate_ahead(p, ahead, n, rng)
    for s in range(3):
        found = StochasticVolatilityScale().variance_ahead(p, ahead, s)
        np.testing.assert_allclose(found, np.exp(2 * h[:, s]).mean(), rtol=0.01)


@pytest.mark.long
def test_factors_with_volatilities_of_their_own_have_leverage(data, rng):
    """A standardised factor goes with the next shock to its volatility, by the correlation, and no other."""
    part = FactorVolatilityScale(leverage_sd=0.5)
    n = 1000
    p = prior(part, data, n_draws=n)
    z = rng.standard_normal((n, N_PERIODS, N_FACTORS))
    y = part.correlated(p, z)
    np.testing.assert_allclose(part.independent(p, y), z, atol=1e-9)
    h, phi, sd = p["factor_volatility"], p["factor_phi"][:, None], p["factor_volatility_sd"][:, None]
    u = (h[:, 1:] - phi * h[:, :-1]) / sd
    np.testing.assert_allclose(u.std(), 1.0, rtol=0.02)
    np.testing.assert_allclose(h[:, 0].std(axis=0), (sd / np.sqrt(1 - phi**2) * z[:, :1]).std(0)[0], rtol=0.1)
    rho = p["leverage"][:, None]
    for lag, expected in ((0, np.square(rho).mean()), (1, 0.0)):
        first = y[:, : N_PERIODS - 1 - lag]
        found = (rho * first * u[:, lag:]).mean()
        np.testing.assert_allclose(
            found, expected, atol=4 * np.std(rho * first * u[:, lag:]) / np.sqrt(first.size)
        )
    np.testing.assert_allclose(y.std(), 1.0, rtol=0.02)
    for d in range(2):
        one = {k: v[d] for k, v in p.items()}
        np.testing.assert_allclose(part.correlated(as_tensors(one), pt.as_tensor(z[d])).eval(), y[d])
        law = one["factor_phi"], one["factor_volatility_sd"]
        again = from_normals(*law, to_normals(*law, one["factor_volatility"]))
        np.testing.assert_allclose(again, one["factor_volatility"], atol=1e-9)


@pytest.mark.parametrize("step", [0, 1, 4])
def test_volatility_of_a_factor_ahead_goes_on_from_its_last_value(rng, step):
    n = 200_000
    one = {"factor_phi": 0.9, "factor_volatility_sd": 0.3, "leverage": -0.6, "factor_scale": 0.02}
    p = {k: np.full((n, 1), x) for k, x in one.items()}
    p["factor_volatility"], p["factors"] = np.full((n, 1, 1), 0.4), np.full((n, 1, 1), -0.05)
    part = FactorVolatilityScale()
    h, z = part.start_ahead(p)
    np.testing.assert_allclose(z, -0.05 / (0.02 * np.exp(0.4)))
    for _ in range(step + 1):
        h = part.step_ahead(p, h, z, rng.standard_normal((n, 1)))
        z = rng.standard_normal((n, 1))
    ahead = {"period_weights": np.ones(5), "period_number": np.arange(1, 6)}
    np.testing.assert_allclose(part.variance_ahead(p, ahead, step), np.exp(2 * h).mean(), rtol=0.02)
    np.testing.assert_allclose(part.log_multipliers(p, ahead)[0, step], h.mean(), atol=0.005)
    again = part.simulate_ahead(p, ahead, n, rng)[:, step]
    assert stats.ks_2samp(again[:, 0], h[:, 0]).pvalue > 1e-3
    # A fall raises what comes: E h = 0.9 * 0.4 + 0.3 * (-0.6) * z
    last = -0.05 / (0.02 * np.exp(0.4))
    np.testing.assert_allclose(part.log_multipliers(p, ahead)[0, 0], 0.9 * 0.4 - 0.3 * 0.6 * last)


def test_volatility_of_an_asset_ahead_deviates_from_its_expectation(rng):
    n, part = 100_000, StochasticVolatility()
    p = {"logit_phi": np.full((n, 1), np.log(9.0)), "log_volatility_sd": np.full((n, 1), np.log(0.2))}
    p["volatility_state"] = np.full((n, 4, 1), 0.7)
    ahead = {"period_number": np.arange(4, 8)}
    np.testing.assert_allclose(part.effect(p, ahead)[0, :, 0], 0.7 * 0.9 ** np.arange(1, 5))
    np.testing.assert_allclose(
        part.effect(p, {"period_number": np.arange(2, 4)}), p["volatility_state"][:, 2:]
    )
    deviation = 0.0
    for s in range(3):
        deviation = part.step_ahead(p, deviation, rng)
        variance = 0.04 * sum(0.81**j for j in range(s + 1))
        np.testing.assert_allclose(deviation.var(), variance, rtol=0.02)
        np.testing.assert_allclose(part.variance_ahead(p, s), variance)


def with_scale(p):
    """Parameters of dynamics with the factor scales that a VAR is measured in."""
    return p | {"factor_scale": np.tile([0.05, 0.02], (N_DRAWS, 1))}


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=lambda c: type(c).__name__)
def test_path_of_the_fit_equals_repeated_steps(dynamics, data, rng):
    p = with_scale(prior(dynamics, data, seed=4))
    eta = p["factor_scale"][:, None] * rng.standard_normal((N_DRAWS, N_PERIODS, N_FACTORS))
    simulated = simulate_path(summed_lags((dynamics,), p), eta, p["factor_scale"])
    for d in range(N_DRAWS):
        one = {k: pt.as_tensor(v[d]) for k, v in p.items()}
        lags = summed_lags((dynamics,), one)
        path = innovation_path(lags, pt.as_tensor(eta[d]), one["factor_scale"]).eval()
        np.testing.assert_allclose(path, simulated[d], rtol=1e-10, atol=1e-12)
        lags = summed_lags((dynamics,), {k: v[d] for k, v in p.items()})
        for t in range(12, N_PERIODS):
            np.testing.assert_allclose(step(lags, path[:t], eta[d, t]), path[t], rtol=1e-9, atol=1e-12)


def test_path_without_dynamics_is_the_innovations(rng):
    eta = rng.standard_normal((4, 2))
    assert innovation_path(LagPolynomial([]), eta) is eta
    np.testing.assert_array_equal(simulate_path(LagPolynomial([]), eta), eta)


def test_diagonal_var_is_ar1(rng):
    scale = np.array([0.05, 0.02])
    eta = scale * rng.standard_normal((N_PERIODS, 2))
    matrix = VAR1().lags({"factor_scale": scale, "var_matrix": 0.4 * np.eye(2)})
    ar1 = AR1().lags({"rho": np.float64(0.4)})
    np.testing.assert_allclose(
        simulate_path(matrix, eta, scale), simulate_path(ar1, eta), rtol=1e-12, atol=1e-15
    )


def test_var_is_stationary_and_starts_there(data):
    """Whatever the prior draws: spectral radius below 1, and Var = Phi Var Phi' + diag(scale^2)."""
    p = prior(VAR1(own_sd=2.0, cross_sd=2.0), data, n_draws=200)
    p["factor_scale"] = np.tile([0.05, 0.02], (200, 1))
    (phi,), matrix = VAR1().lags(p)
    assert matrix
    assert np.abs(np.linalg.eigvals(phi)).max() < 1
    assert np.linalg.norm(p["var_matrix"], 2, axis=(1, 2)).max() > 0.8  # the prior does reach far
    root = stationary_root(phi, p["factor_scale"])
    variance = root @ root.swapaxes(1, 2)
    expected = phi @ variance @ phi.swapaxes(1, 2) + 0.0004 * np.diag([6.25, 1.0])
    np.testing.assert_allclose(variance, expected, rtol=1e-6)


def test_var_shrinks_towards_a_diagonal(data):
    p = prior(VAR1(own_sd=0.2, cross_sd=0.05), data, n_draws=4000)["var_matrix"]
    np.testing.assert_allclose(p[:, 0, 0].std(), 0.2, rtol=0.08)
    np.testing.assert_allclose(p[:, 0, 1].std(), 0.05, rtol=0.08)


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
    lags = LagPolynomial([np.full(n, c) for c in coefficients])
    impulse = simulate_path(lags, np.eye(n)[:, :, None])[:, :, 0].T
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


def unit_law(component, nu=None):
    """Distribution of noise of unit scale, by SciPy."""
    return {"student_t": stats.t(nu), "normal": stats.norm(), "laplace": stats.laplace()}[component.kind]


def naive_log_density(component, noise, log_scale, p):
    """One observation at a time, by SciPy."""
    result = np.empty(noise.shape)
    for t, i in np.ndindex(*noise.shape):
        law = unit_law(component, p["nu"][i] if "nu" in p else 1.0)
        result[t, i] = law.logpdf(noise[t, i] / np.exp(log_scale[t, i])) - log_scale[t, i]
    return result


@pytest.mark.parametrize("component", NOISE, ids=lambda c: type(c).__name__)
def test_log_density_equals_naive_loop(component, data, rng):
    p = prior(component, data)
    noise = 0.1 * rng.standard_normal((N_DRAWS, N_PERIODS, N_ASSETS))
    log_scale = rng.normal(-3, 1, noise.shape)
    batch = component.log_density(noise, log_scale, p)
    for d in range(N_DRAWS):
        one = {k: v[d] for k, v in p.items()}
        expected = naive_log_density(component, noise[d], log_scale[d], one)
        np.testing.assert_allclose(batch[d], expected, rtol=1e-10)
        symbolic = component.log_density(pt.as_tensor(noise[d]), pt.as_tensor(log_scale[d]), as_tensors(one))
        np.testing.assert_allclose(pytensor.function([], symbolic)(), expected, rtol=1e-10)


@pytest.mark.parametrize("component", NOISE, ids=lambda c: type(c).__name__)
def test_standard_draws_have_the_density(component, rng):
    p = {"nu": np.array([3.0, 8.0])} if isinstance(component, StudentTNoise) else {}
    normal, multiplier, centre = component.standard_draws(p, (20_000, 2), rng)
    assert centre == 0.0
    for i, distribution in enumerate([unit_law(component, 3.0), unit_law(component, 8.0)]):
        assert stats.kstest((normal * multiplier)[:, i], distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("limit", [0.01, 0.7, 4.0, 60.0])
@pytest.mark.parametrize("component", [StudentTNoise(), LaplaceNoise()], ids=lambda c: type(c).__name__)
def test_variance_of_cut_noise_is_its_integral(component, limit):
    law = unit_law(component, 2.7)
    inside = 2 * integrate.quad(lambda x: x**2 * law.pdf(x), 0, limit, limit=200)[0]
    found = component.variance({"nu": np.array([2.7])}, np.array([limit]))
    np.testing.assert_allclose(found, inside + 2 * limit**2 * law.sf(limit), rtol=1e-8)


def test_weights():
    ends = np.array(["2018-04-06", "2018-05-04", "2018-06-01"], dtype="datetime64[ns]")
    np.testing.assert_array_equal(EqualWeights().weights(ends), [1, 1, 1])
    step = StepWeights(cutoff=dt.date(2018, 5, 1), before=0.3)
    np.testing.assert_array_equal(step.weights(ends), [0.3, 1, 1])
    at_the_end = StepWeights(
        cutoff=dt.date(2018, 5, 4), before=0.3
    )  # a period that ends on it counts in full
    np.testing.assert_array_equal(at_the_end.weights(ends), [0.3, 1, 1])
    np.testing.assert_allclose(HalfLifeWeights(half_life_periods=2).weights(ends), [0.5, 0.5**0.5, 1])
