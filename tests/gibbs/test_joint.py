"""Every combination of features that the sampler covers leaves the prior of parameters and data alone."""

import numpy as np
import pytest
from few import every_third, few
from gibbs_cases import CASES, IDS, PATHS, pairs, paths_spec, small_spec
from gibbs_joint import alone_test, joint_test

LIMIT = 5.0  # of about 1,800 z-scores in all


def worst(z):
    name = max(z, key=lambda n: abs(z[n]))
    return f"{name}: {z[name]:.1f}"


def test_cases_have_every_pair_of_features():
    every, had = pairs()
    assert had == every
    assert len(every) > 150


@pytest.mark.parametrize("number", every_third(range(len(CASES))), ids=IDS)
def test_joint_distribution(number):
    z = joint_test(small_spec(CASES[number]))
    assert len(z) >= 80
    assert max(map(abs, z.values())) < LIMIT, worst(z)


@pytest.mark.parametrize("number", few(range(len(CASES)), (1, 12)))
def test_joint_distribution_of_the_sweeps_of_an_update(number):
    """They lack moves of a chain, which are not needed for the posterior to be kept."""
    z = joint_test(small_spec(CASES[number]), alone=False)
    assert len(z) >= 80
    assert max(map(abs, z.values())) < LIMIT, worst(z)


@pytest.mark.long
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", PATHS)
def test_joint_distribution_with_volatilities_of_single_factors_and_assets(name, alone):
    z = joint_test(paths_spec(PATHS[name]), alone=alone)
    assert len(z) >= 100
    assert max(map(abs, z.values())) < LIMIT, worst(z)


def at_length(cases, quick):
    """A case with few chains, and all cases with many in the slow tests."""
    return [(quick, {}), *(pytest.param(x, LONG, marks=pytest.mark.slow) for x in cases)]


LONG = {"n_prior": 15_000, "n_chains": 600}


@pytest.mark.long
@pytest.mark.parametrize(("name", "length"), at_length(("both", "both, normal noise"), "both"))
def test_each_update_of_volatilities_alone_keeps_the_joint_distribution(name, length):
    found = alone_test(paths_spec(PATHS[name]), **length)
    assert len(found) > 15
    for update, z in found.items():
        assert max(map(abs, z.values())) < LIMIT, f"{update}: {worst(z)}"


@pytest.mark.slow
@pytest.mark.parametrize("name", PATHS)
def test_joint_distribution_with_volatilities_long(name):
    z = joint_test(paths_spec(PATHS[name]), n_prior=100_000, n_chains=500, n_steps=300, seed=2)
    assert max(map(abs, z.values())) < LIMIT, worst(z)


ALONE = (1, 2, 3, 12, 17)  # cases that have all updates between them, and all families of noise


@pytest.mark.long
@pytest.mark.parametrize(("number", "length"), at_length(ALONE, 12))
def test_each_update_alone_keeps_the_joint_distribution(number, length):
    for update, z in alone_test(small_spec(CASES[number]), **length).items():
        assert max(map(abs, z.values())) < LIMIT, f"{update}: {worst(z)}"


@pytest.mark.slow
@pytest.mark.parametrize("number", ALONE)
def test_each_update_alone_keeps_the_joint_distribution_over_many_chains(number):
    """Metropolis-Hastings steps with a wrong ratio, which are nearly right, need as many."""
    found = alone_test(small_spec(CASES[number]), n_prior=200_000, n_chains=8000, times=100, seed=2)
    for update, z in found.items():
        assert max(map(abs, z.values())) < LIMIT, f"{update}: {worst(z)}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_joint_distribution_long(case):
    z = joint_test(small_spec(case), n_prior=100_000, n_chains=500, n_steps=300, seed=2)
    assert max(map(abs, z.values())) < LIMIT, worst(z)


def flipped(data):
    """A sign: the regressors of the mean change theirs."""
    return data._replace(mean=data.mean._replace(x=-data.mean.x))


def shifted(data):
    """An index: the regressors of the mean are those of the period before."""
    return data._replace(mean=data.mean._replace(x=np.roll(data.mean.x, 1, axis=2)))


def exchanged(data):
    """An index: two assets change their characteristics."""
    x = data.loadings.characteristics
    return data._replace(loadings=data.loadings._replace(characteristics=x[:, :, [1, 0, 2, 3]].copy()))


@pytest.mark.parametrize(
    ("number", "fault", "name"),
    [(1, flipped, "mean x0"), (0, shifted, "mean x1"), (3, exchanged, "slope w 0")],
    ids=["sign", "period", "asset"],
)
def test_joint_distribution_finds_planted_faults(number, fault, name):
    z = joint_test(small_spec(CASES[number]), fault=fault)
    assert abs(z[name]) > LIMIT, worst(z)


def test_joint_distribution_finds_a_prior_that_is_wrong_by_a_fifth():
    spec = small_spec(CASES[1])
    narrow = spec.lags.rho_sd * 0.8
    z = joint_test(
        spec, n_chains=300, fault=lambda data: data._replace(dynamics=data.dynamics._replace(rho_sd=narrow))
    )
    assert abs(z["rho0 squared"]) > LIMIT, worst(z)


def test_joint_distribution_finds_a_noise_scale_that_is_wrong_by_a_tenth():
    z = joint_test(small_spec(CASES[0]), spread=0.9)
    assert z["b0"] < -LIMIT, worst(z)
