"""Scores of joint forecasts: against others' code, against hand, and whether they see a broken copula."""

import numpy as np
import pytest
from scipy import stats

from bdfm.errors import DataError, UnknownLabelError
from bdfm.scoring.joint import (
    PRE_RANKS,
    dawid_sebastiani_score,
    joint_pit,
    rank_histogram,
    variogram_score,
)
from bdfm.scoring.scores import crps

N_ASSETS, N_ORIGINS = 8, 400
SCORES = {"variogram": variogram_score, "dawid_sebastiani": dawid_sebastiani_score}


@pytest.fixture
def draws(rng):
    sd = np.linspace(0.5, 3, 4)
    return rng.standard_normal((300, 4)) * sd + 0.8 * rng.standard_normal((300, 1)) + [0.1, 0, -0.2, 1]


@pytest.mark.long  # those of a backtest in tests/backtest/test_walk_forward.py too
def test_scores_are_those_of_scoringrules(draws):
    import scoringrules as sr  # compiles for seconds: in the one process that runs this

    came = np.array([0.4, -1.0, 0.3, 2.0])
    assert variogram_score(draws, came) == pytest.approx(sr.vs_ensemble(came, draws), rel=1e-9)
    assert variogram_score(draws, came, order=1.5) == pytest.approx(sr.vs_ensemble(came, draws, p=1.5))
    assert dawid_sebastiani_score(draws, came) == pytest.approx(sr.dssmv_ensemble(came, draws), rel=1e-9)


def test_a_weight_of_two_is_two_draws(draws):
    came = np.array([0.4, -1.0, 0.3, 2.0])
    weights = np.repeat([1, 2, 5], 100)
    many = np.repeat(draws, weights, axis=0)
    assert variogram_score(draws, came, weights=weights) == pytest.approx(variogram_score(many, came))
    w = weights / weights.sum()
    one = dawid_sebastiani_score(draws, came, weights=weights)
    expected = np.cov(draws.T, aweights=w, ddof=0) / (1 - (w**2).sum())
    gap = came - w @ draws
    assert one == pytest.approx(np.linalg.slogdet(expected)[1] + gap @ np.linalg.solve(expected, gap))
    ties = many + 1e-13 * np.random.default_rng(2).standard_normal(many.shape)
    for kind in PRE_RANKS:
        ours = joint_pit(draws, came, pre_rank=kind, weights=weights, seed=3)
        assert ours == pytest.approx(joint_pit(ties, came, pre_rank=kind, seed=3), abs=0.02)


def test_pre_ranks_by_hand():
    pool = np.array([[0.0, 5.0], [1.0, 1.0], [2.0, 2.0], [3.0, 0.0], [10.0, 10.0]])
    x, y = pool[:4], pool[4]
    shares = (stats.rankdata(pool, axis=0) - 0.5) / 5
    by_hand = {
        "average": shares.mean(axis=1),
        "band_depth": (shares * (1 - shares)).mean(axis=1),
        "energy": np.linalg.norm(pool[:, None] - pool, axis=2).mean(axis=1),
    }
    assert set(by_hand) == set(PRE_RANKS)
    for outcome in range(5):
        others = np.delete(pool, outcome, axis=0)
        for kind, rho in by_hand.items():
            found = joint_pit(others, pool[outcome], pre_rank=kind, seed=1)
            rest = np.delete(rho, outcome)
            near = np.isclose(rest, rho[outcome])
            low = ((rest < rho[outcome]) & ~near).sum() / 5
            assert low <= found <= low + (near.sum() + 1) / 5, (kind, outcome)
    assert joint_pit(x, y, pre_rank="average", seed=1) > 0.8
    assert joint_pit(x, y, pre_rank="band_depth", seed=1) < 0.2 + 1e-9
    assert joint_pit(x, y, pre_rank="energy", seed=1) > 0.8


# -- a broken copula ---------------------------------------------------------------------------------------


def joint(rng, n, correlation):
    """Student-t log returns of unequal scales and a common correlation."""
    common = rng.standard_normal((n, 1))
    z = np.sqrt(correlation) * common + np.sqrt(1 - correlation) * rng.standard_normal((n, N_ASSETS))
    return z / np.sqrt(rng.chisquare(8, (n, 1)) / 8) * np.linspace(0.02, 0.08, N_ASSETS)


@pytest.fixture(scope="module")
def simulated():
    """Draws of the truth, the same with each column shuffled, and what comes of the truth."""
    rng = np.random.default_rng(4)
    right = joint(rng, 1500, 0.5)
    return right, rng.permuted(right, axis=0), joint(rng, N_ORIGINS, 0.5)


@pytest.mark.parametrize("name", SCORES)
def test_scores_see_a_broken_copula_while_marginals_stay(simulated, name):
    right, broken, came = simulated
    np.testing.assert_array_equal(np.sort(right, axis=0), np.sort(broken, axis=0))
    np.testing.assert_allclose(crps(right, came[0]), crps(broken, came[0]), rtol=1e-9)
    gain = np.array([SCORES[name](broken, y) - SCORES[name](right, y) for y in came])
    assert gain.mean() / (gain.std() / np.sqrt(len(came))) > 4


@pytest.mark.parametrize("kind", PRE_RANKS)
def test_ranks_see_a_broken_copula_while_marginals_stay(simulated, kind):
    right, broken, came = simulated
    of_right = [joint_pit(right, y, pre_rank=kind, seed=k, n_draws=400) for k, y in enumerate(came)]
    of_broken = [joint_pit(broken, y, pre_rank=kind, seed=k, n_draws=400) for k, y in enumerate(came)]
    assert stats.kstest(of_right, "uniform").pvalue > 0.01
    counts = rank_histogram(of_broken)["count"]
    assert stats.chisquare(counts).pvalue < 1e-4
    ends = counts.iloc[[0, -1]].sum()  # too little dependence crowds the ends
    assert ends > 1.4 * 2 * N_ORIGINS / 10
    assert stats.chisquare(rank_histogram(of_right)["count"]).pvalue > 0.01


def test_too_narrow_forecasts_by_pre_rank(simulated):
    right, _, came = simulated
    pits = {
        k: [joint_pit(right / 2, y, pre_rank=k, seed=1, n_draws=300) for y in came[:150]] for k in PRE_RANKS
    }
    assert np.mean(pits["band_depth"]) < 0.4
    assert np.mean(pits["energy"]) > 0.6


def test_rank_histogram_says_what_chance_allows():
    table = rank_histogram([0.0, 0.05, 0.55, 1.0], n_bins=2)
    assert table["count"].tolist() == [2, 2]
    assert table["expected"].tolist() == [2.0, 2.0]
    many = rank_histogram(np.linspace(0, 1, 1000), n_bins=10)
    low, high = stats.binom.interval(0.95, 1000, 0.1)
    assert (many["band_low"].iloc[0], many["band_high"].iloc[0]) == (low, high)
    assert many["count"].sum() == 1000


def test_refusals(draws):
    came = np.zeros(4)
    with pytest.raises(DataError, match="order 0"):
        variogram_score(draws, came, order=0)
    with pytest.raises(DataError, match="one asset has no dependence"):
        variogram_score(draws[:, :1], came[:1])
    still = draws.copy()
    still[:, 2] = 0
    with pytest.raises(DataError, match="cannot be inverted"):
        dawid_sebastiani_score(still, came)
    with pytest.raises(DataError, match="4 assets, 3 effective"):
        dawid_sebastiani_score(draws[:3], came)
    twice = np.column_stack([draws, draws[:, 0]])
    with pytest.raises(DataError, match="cannot be inverted"):
        dawid_sebastiani_score(twice, np.zeros(5))
    with pytest.raises(UnknownLabelError, match="pre-rank"):
        joint_pit(draws, came, pre_rank="depth", seed=1)
    with pytest.raises(DataError, match="within 0 and 1"):
        rank_histogram([1.2])
    with pytest.raises(DataError, match="weight"):
        variogram_score(draws, came, weights=np.zeros(300))
