"""What a new noise costs: one class with density, draws and variance; NUTS needs no more.

The Gibbs engine needs a family of its own beside it (``bdfm.gibbs.updates.noise``): a file with constant,
score and information, and a line in each function there.
"""

from typing import ClassVar, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.typing import NDArray
from pymc.distributions.dist_math import normal_lcdf
from scipy import special, stats

from bdfm.errors import ModelError
from bdfm.inference.engine import choose
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import at_periods, model_data
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Array, Data, Params, Variable
from bdfm.model.parts.noise import Noise, StandardNoise
from bdfm.model.simulate import simulate_ahead
from bdfm.names import ASSET, FACTORS, RETURNS
from bdfm.posterior.posterior import Posterior
from bdfm.risk import bayesian_risk

SKEW = "skew"


class SkewedNoise(Noise):
    """Skewed normal noise (Azzalini 1985): δ |u| + sqrt(1 - δ²) z, with δ = a / sqrt(1 + a²)."""

    kind: Literal["skewed"] = "skewed"
    sd: float = 2.0
    parameters: ClassVar[tuple[str, ...]] = (SKEW,)
    variables: ClassVar[tuple[Variable, ...]] = (
        Variable(SKEW, "a_i", (ASSET,), "1", "Skewness of the noise"),
    )

    def params(self, data: Data) -> Params:
        return {SKEW: pm.Normal(SKEW, -1.0, self.sd, dims=ASSET)}

    def log_density(self, noise: Array, log_scale: Array, p: Params) -> Array:
        numpy = isinstance(noise, np.ndarray)
        z = noise * (np.exp if numpy else pt.exp)(-log_scale)
        x = p[SKEW][..., None, :] * z
        tail = special.log_ndtr(x) if numpy else normal_lcdf(0.0, 1.0, x)
        return np.log(2.0) + tail - 0.5 * np.log(2.0 * np.pi) - log_scale - 0.5 * z * z

    def standard_draws(self, p: Params, shape: tuple[int, ...], rng: np.random.Generator) -> StandardNoise:
        delta = np.broadcast_to(p[SKEW] / np.sqrt(1.0 + p[SKEW] ** 2), shape)
        centre = delta * np.abs(rng.standard_normal(shape))
        return StandardNoise(rng.standard_normal(shape), np.sqrt(1.0 - delta**2), centre)

    def variance(self, p: Params, limit: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 - 2.0 / np.pi * p[SKEW] ** 2 / (1.0 + p[SKEW] ** 2) + np.zeros_like(limit)

    def standard_variable(self, name: str, p: Params, index: NDArray[np.intp], *, dims: str) -> Array:
        return pm.SkewNormal(name, mu=0.0, sigma=1.0, alpha=p[SKEW][index], dims=dims)


@pytest.fixture(scope="module")
def case(small_preset, random_draws):
    model, panel = small_preset("m6")
    model = model.model_copy(update={"noise": SkewedNoise(), "name": "skewed"})
    draws = random_draws(model, panel, draws=40)
    return model, panel, Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1})


def test_density_of_pymc_and_ours_are_that_of_scipy(case):
    model, panel, posterior = case
    p, data = posterior.parameters(), model_data(model, panel)
    z = (data[RETURNS] - model.expected_return(p, p[FACTORS], data)) / np.exp(model.log_noise_scale(p, data))
    by_hand = stats.skewnorm.logpdf(z, p[SKEW][:, None, :]) - model.log_noise_scale(p, data)
    ours = posterior.log_likelihood().to_numpy().reshape(by_hand.shape)
    known = np.isfinite(ours) & np.isfinite(by_hand)  # SciPy's tails end before ours
    assert known.sum() > 1000
    np.testing.assert_allclose(ours[known], by_hand[known], rtol=1e-7, atol=1e-9)
    with model.build(panel):
        theirs = pm.compute_log_likelihood(posterior.tree, progressbar=False)["log_likelihood"][RETURNS]
    theirs = theirs.to_numpy().reshape(by_hand.shape)
    np.testing.assert_allclose(theirs, np.nan_to_num(ours), rtol=1e-6, atol=1e-6)  # PyTensor's constants


def test_draws_have_the_density_and_pairs_share_their_centre(case):
    model, panel, posterior = case
    one = {name: x[:1] for name, x in posterior.parameters().items()}
    first = at_periods(model_data(model, panel), slice(1))
    many = {name: np.repeat(x, 4000, axis=0) for name, x in one.items()}
    drawn = model.draw_returns(many, many[FACTORS][:, :1], first, rng=np.random.default_rng(1))[:, 0]
    mu = model.expected_return(one, one[FACTORS][:, :1], first)[0, 0]
    scale = np.exp(model.log_noise_scale(one, first))[0, 0]
    for i in range(len(panel.assets)):
        law = stats.skewnorm(one[SKEW][0, i], mu[i], scale[i])
        assert stats.kstest(drawn[:, i], law.cdf).pvalue > 1e-3
        assert law.var() == pytest.approx(
            scale[i] ** 2 * float(model.noise.variance(one, np.full(6, 9.0))[0, i])
        )
    ahead = model_data(model, panel, future=True)
    past = one[FACTORS][:, -1:]
    up, down = simulate_ahead(
        model, one, past, ahead, n_paths=2, rng=np.random.default_rng(2), dtype=np.float64
    )[:, 0, 0]
    assert not np.allclose(up, down)


def test_everything_else_follows(case):
    model, _, posterior = case
    assert FactorModel.from_toml(model.to_toml()) == model
    assert SKEW in posterior.diagnose().table.index
    assert posterior.forecast(seed=1, n_draws=500).n_draws >= 500
    assert np.isfinite(bayesian_risk(posterior, n_draws=5).specific_variance).all()
    assert choose(SamplerSettings(), model) == "nuts"
    with pytest.raises(ModelError, match=r"engine gibbs: .*does not cover \(SkewedNoise\)"):
        choose(SamplerSettings(engine="gibbs"), model)
