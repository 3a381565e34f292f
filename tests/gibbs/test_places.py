"""Chains that found a far worse place begin again where the best one is, and it is told."""

import numpy as np
import pytest

import bdfm
from bdfm.gibbs import sampler, start
from bdfm.gibbs.sampler import GibbsSettings, sample_gibbs
from bdfm.gibbs.spec import Effect, GibbsSpec, NoiseFamily
from bdfm.gibbs.start import lagging_chains
from bdfm.gibbs.updates.noise import NORMAL

T, LARGE, SMALL = 80, 8, 4
SETTINGS = GibbsSettings(draws=40, tune=200, thin=1, chains=3, cores=2)


@pytest.fixture
def two_groups():
    """Two groups of assets, each with a strong factor of its own, for a model that has room for one."""
    rng = np.random.default_rng(1)
    factors = rng.standard_normal((T, 2))
    group = np.repeat([0, 1], (LARGE, SMALL))
    returns = 0.05 * factors[:, group] + 0.005 * rng.standard_normal((T, LARGE + SMALL))
    theta = Effect("theta", np.ones(returns.shape), scale_sd=1.0, loc_sd=1.0, loc_mean=-4.0)
    return GibbsSpec(returns, 1, (theta,), NoiseFamily(NORMAL)), factors, group


@pytest.fixture
def one_chain_at_the_small_group(two_groups, monkeypatch):
    """Chain 1 of 0 to 2 begins with the factor of the smaller group; the others where chains do."""
    spec, factors, group = two_groups
    own = group == 1
    draw = {
        "factors": 0.05 * factors[:, 1:],
        "factor_scale": np.array([0.05]),
        "loadings": own.astype(float)[:, None],
        "theta": np.where(own, np.log(0.005), np.log(0.05)),
    }
    make, made = sampler.make_chain, []

    def make_chain(spec, rng, *more):
        made.append(rng)
        return make(spec, rng, draw) if len(made) == 3 else make(spec, rng, *more)  # the first one compiles

    monkeypatch.setattr(sampler, "make_chain", make_chain)
    return spec


def size_on(loadings, assets):
    """Mean absolute loading (chain) of some assets."""
    return np.abs(loadings[:, :, assets, 0]).mean(axis=(1, 2))


def test_a_chain_at_a_far_worse_place_begins_again_at_the_best(one_chain_at_the_small_group):
    result = sample_gibbs(one_chain_at_the_small_group, SETTINGS, seed=1)
    assert list(result.begun_again) == [1]
    # Noise of a tenth of the factor's size, in four assets more: some log(10) for each of their returns.
    assert result.begun_again[1] == pytest.approx((LARGE - SMALL) * T * np.log(10), rel=0.15)
    large, small = (size_on(result.draws["loadings"], x) for x in (slice(LARGE), slice(LARGE, None)))
    assert (large > 10 * small).all()
    assert len(np.unique(result.draws["loadings"][:, -1, 0])) == 3  # from there on each has a life of its own


def test_without_that_it_would_stay_there(one_chain_at_the_small_group, monkeypatch):
    monkeypatch.setattr(start, "LAGGING", np.inf)
    result = sample_gibbs(one_chain_at_the_small_group, SETTINGS, seed=1)
    assert result.begun_again == {}
    large, small = (size_on(result.draws["loadings"], x) for x in (slice(LARGE), slice(LARGE, None)))
    assert (large > 10 * small).tolist() == [True, False, True]
    assert small[1] > 5 * large[1]


def test_chains_that_agree_are_left_as_they_are(two_groups, monkeypatch):
    """Their draws are those of a run that does not look."""
    spec = two_groups[0]
    looked = sample_gibbs(spec, SETTINGS, seed=1)
    monkeypatch.setattr(sampler, "FEWEST_WATCHED", 10**6)
    for name, x in sample_gibbs(spec, SETTINGS, seed=1).draws.items():
        np.testing.assert_array_equal(looked.draws[name], x)
    assert looked.begun_again == {}


def test_what_counts_as_far():
    rng = np.random.default_rng(2)
    near = np.array([1000.0, 900.0, 995.0])[:, None] + 20.0 * rng.standard_normal((3, 50))
    assert lagging_chains(near) == (0, {})
    far = near - np.array([0.0, 50.0, 0.0])[:, None]
    best, lacking = lagging_chains(far)
    assert best == 0
    assert lacking == {1: pytest.approx(far[0].mean() - far[1].mean())}
    assert lagging_chains(far[::-1])[0] == 2
    wild = far + np.array([0.0, 200.0, 0.0])[:, None] * rng.standard_normal((3, 50))
    assert lagging_chains(wild)[1] == {}  # on its way still
    assert lagging_chains(np.where(far < 900, np.nan, far))[1] == {}
    assert lagging_chains(near[:1]) == (0, {})


def test_a_fit_tells_of_it(tiny_model, tiny_panel, monkeypatch, tmp_path):
    settings = bdfm.SamplerSettings(draws=20, tune=200, chains=2, thin=1)
    plain = bdfm.fit(tiny_model, tiny_panel, seed=1, settings=settings)
    assert "begun_again" not in plain.attrs
    assert "begun again" not in plain.diagnose().verdict
    monkeypatch.setattr(sampler, "lagging_chains", lambda x: (0, {1: 1234.5}))
    posterior = bdfm.fit(tiny_model, tiny_panel, seed=1, settings=settings)
    told = "begun again from the best chain: chain 1 (1,234 lower)"
    for one in (posterior, bdfm.Posterior.load(posterior.save(tmp_path / "posterior.nc"))):
        assert told in one.diagnose().verdict
        assert told in one.diagnose()._repr_html_()
    np.testing.assert_array_equal(plain.draws["theta"][0], posterior.draws["theta"][0])
    assert not np.array_equal(plain.draws["theta"][1], posterior.draws["theta"][1])
