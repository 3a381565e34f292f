"""Runs in steps: they are fixed runs that end where a judge says so, whatever the number of cores."""

import numpy as np
import pytest
from test_gibbs import tiny_spec

from bdfm.gibbs.sampler import GROWTH, GibbsSettings, Look, sample_gibbs, sample_in_steps

TUNE, THIN, FIRST = 30, 2, 10


def in_steps(looks, *, draws=1000, cores=2, max_sweeps=10_000, seed=4, tell=None):
    """Run whose judge gives these looks one after the other, then never enough."""
    seen, left = [], list(looks)

    def judge(drawn, stats):
        seen.append(drawn["rho"].shape[1])
        assert stats["log_likelihood"].shape == drawn["rho"].shape
        return left.pop(0) if left else Look(enough=False)

    settings = GibbsSettings(draws, TUNE, THIN, chains=3, cores=cores)
    result = sample_in_steps(
        tiny_spec(), settings, judge, first=FIRST, max_sweeps=max_sweeps, seed=seed, on_progress=tell
    )
    return result, seen


def fixed(sweeps, thin=1, seed=4):
    """Every thin-th of the states of so many sweeps after tuning."""
    return sample_gibbs(tiny_spec(), GibbsSettings(sweeps // thin, TUNE, thin, chains=3), seed=seed).draws


NO, YES, APART = Look(enough=False), Look(enough=True), Look(enough=False, apart=True)


@pytest.mark.parametrize("cores", [1, 3])
def test_it_ends_where_the_judge_says_with_the_draws_of_a_fixed_run(cores):
    result, seen = in_steps([NO, NO, YES], cores=cores)
    assert len(seen) == 3
    assert seen[0] == FIRST
    assert result.thin == THIN
    assert result.sweeps == TUNE + THIN * seen[-1]
    assert result.draws["rho"].shape == (3, seen[-1])
    expected = fixed(THIN * seen[-1], THIN)
    for name, x in result.draws.items():
        np.testing.assert_array_equal(x, expected[name], err_msg=name)


def test_looks_are_few():
    _, seen = in_steps([], max_sweeps=TUNE + 400)
    steps = np.array(seen[1:]) / np.array(seen[:-1])
    assert len(seen) > 8
    assert (steps[:-1] > GROWTH - 0.15).all()


def test_the_next_look_is_where_the_judge_wants_it():
    result, seen = in_steps([Look(enough=False, growth=2.0), Look(enough=False, growth=1.2), YES])
    assert seen == [FIRST, 2 * FIRST, round(2.4 * FIRST)]
    assert result.sweeps == TUNE + THIN * seen[-1]


def test_the_bound_is_kept_and_reached():
    result, seen = in_steps([], max_sweeps=TUNE + 101)
    assert result.sweeps == TUNE + 100  # whole draws
    assert seen[-1] == 50


def test_memory_is_bounded_by_dropping_every_second_draw():
    result, seen = in_steps([], draws=16, max_sweeps=TUNE + 120)
    assert max(seen) <= 16
    assert result.thin == 8
    states = fixed(120)
    for name, x in result.draws.items():
        last = result.sweeps - TUNE - result.thin * np.arange(x.shape[1])[::-1]
        np.testing.assert_array_equal(x, states[name][:, last - 1], err_msg=name)


def test_the_first_half_is_dropped_where_chains_are_apart():
    result, seen = in_steps([APART, NO, YES])
    kept = result.draws["rho"].shape[1]
    assert kept == (result.sweeps - TUNE) // THIN - FIRST // 2
    expected = fixed(result.sweeps - TUNE, THIN)
    for name, x in result.draws.items():
        np.testing.assert_array_equal(x, expected[name][:, FIRST // 2 :], err_msg=name)
    assert seen[1] == kept - (seen[2] - seen[1])


def test_progress_counts_sweeps_of_all_chains():
    told = []
    result, _ = in_steps([NO, YES], tell=lambda done, total: told.append((done, total)))
    assert told[-1] == (3 * result.sweeps, 3 * result.sweeps)
    assert all(done <= total for done, total in told)


def test_an_error_in_the_judge_ends_the_run():
    def judge(drawn, stats):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sample_in_steps(
            tiny_spec(), GibbsSettings(100, TUNE, THIN), judge, first=FIRST, max_sweeps=1000, seed=1
        )
