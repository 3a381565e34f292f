"""What a new noise costs: one class with density, draws and variance; NUTS needs no more.

The Gibbs engine needs a family of its own beside it: a file with its constant, its score, its information and
the draw of its mixing variables, and a line in each function of ``bdfm.gibbs.updates.noise``, as has
``LaplaceNoise``.
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
import xarray as xr
from numpy.typing import NDArray
from pymc.distributions.dist_math import normal_lcdf
from scipy import special, stats

import bdfm
from bdfm.errors import ModelError
from bdfm.gibbs.data import make_data
from bdfm.gibbs.sweep import UPDATES, sweep_of
from bdfm.inference.engine import choose, gibbs_spec
from bdfm.inference.settings import SamplerSettings
from bdfm.model.equations import at_periods, model_data
from bdfm.model.evidence import Evidence
from bdfm.model.factor_model import FactorModel
from bdfm.model.part import Array, Data, Params, Variable
from bdfm.model.parts.noise import LaplaceNoise, Noise, StandardNoise
from bdfm.model.simulate import simulate_ahead
from bdfm.names import ASSET, EVIDENCE_RETURN, FACTORS, FACTORS_NEXT, RETURNS
from bdfm.posterior.fit import fit
from bdfm.posterior.leave_one_out import leave_one_out
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


LAWS = {
    "skewed": lambda p, mu=0.0, scale=1.0: stats.skewnorm(p[SKEW], mu, scale),
    "laplace": lambda p, mu=0.0, scale=1.0: stats.laplace(mu, scale),
}


@pytest.fixture(scope="module", params=[SkewedNoise(), LaplaceNoise()], ids=lambda noise: noise.kind)
def case(request, small_preset, random_draws):
    model, panel = small_preset("m6")
    model = model.model_copy(update={"noise": request.param, "name": request.param.kind})
    draws = random_draws(model, panel, draws=40)
    law = LAWS[request.param.kind]
    return model, panel, Posterior.from_draws(draws, xr.Dataset(), model, panel, {"seed": 1}), law


def own(noise, p, at):
    """Parameters of the noise, at an index."""
    return {name: p[name][at] for name in noise.parameters}


def test_density_of_pymc_and_ours_are_that_of_scipy(case):
    model, panel, posterior, law = case
    p, data = posterior.parameters(), model_data(model, panel)
    mu, log_scale = model.expected_return(p, p[FACTORS], data), model.log_noise_scale(p, data)
    of = law(own(model.noise, p, (slice(None), None)))
    by_hand = of.logpdf((data[RETURNS] - mu) / np.exp(log_scale)) - log_scale
    ours = posterior.log_likelihood().to_numpy().reshape(by_hand.shape)
    known = np.isfinite(ours) & (by_hand > -700)  # SciPy's tails end before ours
    assert known.sum() > 1000
    np.testing.assert_allclose(ours[known], by_hand[known], rtol=1e-7, atol=1e-9)
    with model.build(panel):
        theirs = pm.compute_log_likelihood(posterior.tree, progressbar=False)["log_likelihood"][RETURNS]
    theirs = theirs.to_numpy().reshape(by_hand.shape)
    np.testing.assert_allclose(theirs, np.nan_to_num(ours), rtol=1e-6, atol=1e-6)  # PyTensor's constants


def test_draws_have_the_density_and_pairs_share_their_centre(case):
    model, panel, posterior, law = case
    one = {name: x[:1] for name, x in posterior.parameters().items()}
    first = at_periods(model_data(model, panel), slice(1))
    many = {name: np.repeat(x, 4000, axis=0) for name, x in one.items()}
    drawn = model.draw_returns(many, many[FACTORS][:, :1], first, rng=np.random.default_rng(1))[:, 0]
    mu = model.expected_return(one, one[FACTORS][:, :1], first)[0, 0]
    scale = np.exp(model.log_noise_scale(one, first))[0, 0]
    p = own(model.noise, one, 0)
    variance = np.broadcast_to(model.noise.variance(one, np.full((1, 6), 60.0)), (1, 6))[0]
    for i in range(len(panel.assets)):
        of = law({name: x[i] for name, x in p.items()}, mu[i], scale[i])
        assert stats.kstest(drawn[:, i], of.cdf).pvalue > 1e-3
        assert of.var() == pytest.approx(scale[i] ** 2 * float(variance[i]))
    ahead = model_data(model, panel, future=True)
    past = one[FACTORS][:, -1:]
    up, down = simulate_ahead(
        model, one, past, ahead, n_paths=2, rng=np.random.default_rng(2), dtype=np.float64
    )[:, 0, 0]
    assert not np.allclose(up, down)


def test_everything_else_follows(case):
    model, _, posterior, _ = case
    assert FactorModel.from_toml(model.to_toml()) == model
    assert set(model.noise.parameters) <= set(posterior.diagnose().table.index)
    assert posterior.forecast(seed=1, n_draws=500).n_draws >= 500
    assert np.isfinite(bayesian_risk(posterior, n_draws=5).specific_variance).all()


def test_without_a_family_a_noise_is_left_to_nuts():
    model = FactorModel(noise=SkewedNoise())
    assert choose(SamplerSettings(), model) == "nuts"
    with pytest.raises(ModelError, match=r"engine gibbs: .*does not cover \(SkewedNoise\)"):
        choose(SamplerSettings(engine="gibbs"), model)


# -- a family of the Gibbs engine ----------------------------------------------------------------------------


def test_files_that_know_of_a_family():
    """All that the package says of Laplace noise: three files."""
    package = Path(bdfm.__file__).parent
    found = {
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if "laplace" in file.read_text(encoding="utf-8").lower()
    }
    assert found == {"model/parts/noise.py", "gibbs/updates/laplace.py", "gibbs/updates/noise.py"}


def test_updates_of_degrees_of_freedom_are_of_the_family_that_has_them(small_preset):
    model, panel = small_preset("m6")
    swept = {}
    for kind in ("student_t", "normal", "laplace"):
        spec = gibbs_spec(FactorModel(n_factors=2, noise={"kind": kind}, panel=model.panel), panel)
        swept[kind] = sweep_of(spec, make_data(spec))
    dof = [UPDATES[name] for name in ("draw_nu", "move_sigma_nu", "draw_sigma_nu")]
    assert [u for u in swept["student_t"] if u in dof] == dof
    assert swept["normal"] == swept["laplace"] == [u for u in swept["student_t"] if u not in dof]


def test_the_gibbs_engine_takes_it_with_evidence_and_weights(small_preset):
    model, panel = small_preset("m6")
    weights = {"kind": "half_life", "half_life_periods": 12.0}
    model = FactorModel(n_factors=2, noise=LaplaceNoise(), weights=weights, panel=model.panel)
    assert choose(SamplerSettings(), model) == "gibbs"
    evidence = (Evidence("A2", 0.04, 0.02),)
    settings = SamplerSettings(draws=150, tune=150, chains=2, thin=2)
    posterior = fit(model, panel, seed=1, settings=settings, evidence=evidence)
    assert not {"nu", "sigma_nu"} & set(posterior.draws)
    data = model_data(model, panel)
    p = posterior.parameters()
    z = (data[RETURNS] - model.expected_return(p, p[FACTORS], data)) * np.exp(-model.log_noise_scale(p, data))
    pointwise = posterior.log_likelihood().to_numpy().reshape(z.shape)
    by_hand = stats.laplace.logpdf(z) - model.log_noise_scale(p, data)
    np.testing.assert_allclose(pointwise, by_hand, rtol=1e-10)
    weighted = np.nansum(by_hand * data["period_weights"][:, None], axis=(1, 2))
    ahead = at_periods(model_data(model, panel, future=True), slice(1))
    mu = model.expected_return(p, p[FACTORS_NEXT][:, None], ahead)[:, 0, 2]
    log_scale = model.log_noise_scale(p, ahead)[:, 0, 2]
    drawn = posterior.draws[EVIDENCE_RETURN].to_numpy().ravel()
    weighted += stats.laplace.logpdf(drawn, mu, np.exp(log_scale))  # one more return, of weight 1
    kept = posterior.tree["sample_stats"]["total_log_likelihood"].to_numpy().ravel()
    np.testing.assert_allclose(kept, weighted, rtol=1e-9)
    said = np.expm1(drawn)
    assert abs(said.mean() - 0.04) < 0.02
    assert 0.005 < said.std() < 0.025
    left_out = leave_one_out(posterior, seed=1)
    assert np.isfinite(left_out.pit.to_numpy()[np.isfinite(data[RETURNS])]).all()
    loose = replicate_quantiles(posterior)
    assert np.all((loose > 1e-3) & (loose < 1 - 1e-3))


def replicate_quantiles(posterior):
    """Where what the data show of the noise lies among what replicates of it show: peak and tails."""
    model, panel = posterior.model, posterior.panel
    data, p = model_data(model, panel), posterior.parameters()
    mu, scale = model.expected_return(p, p[FACTORS], data), np.exp(model.log_noise_scale(p, data))
    drawn = model.draw_returns(p, p[FACTORS], data, rng=np.random.default_rng(1))

    def shown(returns):
        z = np.abs(returns - mu) / scale
        return np.stack([np.nanmean(z < 0.3, axis=(1, 2)), np.nanmean(np.minimum(z, 6.0) ** 2, axis=(1, 2))])

    drawn = np.where(np.isfinite(data[RETURNS]), drawn, np.nan)
    return (shown(drawn) > shown(data[RETURNS])).mean(axis=1)
