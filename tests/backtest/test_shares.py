"""Shares of a pool learned from the record."""

from __future__ import annotations

import numpy as np
import pytest

from bdfm.backtest.shares import LearnedShares
from bdfm.errors import DataError
from bdfm.scoring.scores import ranked_probability_score


def forecasts(rng, n_origins=150, n_assets=40, spread=(0.0, 0.6, 1.2)):
    """Forecasts (origin, member, asset, quantile) and outcomes: members add noise to the true log odds."""
    truth = rng.dirichlet(np.full(5, 3.0), size=(n_origins, n_assets))
    members = []
    for s in spread:
        noisy = truth * np.exp(s * rng.standard_normal(truth.shape))
        members.append(noisy / noisy.sum(axis=-1, keepdims=True))
    place = (truth.cumsum(axis=-1) < rng.random((n_origins, n_assets, 1))).sum(axis=-1)
    return np.stack(members, axis=1), np.eye(5)[np.minimum(place, 4)]


def test_shares_go_to_the_best_and_regret_is_small():
    members, came = forecasts(np.random.default_rng(1))
    learned = LearnedShares(3)
    scores = []
    for p, y in zip(members, came, strict=True):
        pooled = np.tensordot(learned.shares, p, axes=1)
        scores.append(
            [ranked_probability_score(pooled, y).mean(), *(ranked_probability_score(q, y).mean() for q in p)]
        )
        before = learned.shares.copy()
        shares = learned.learn_from(list(p), y)
        assert shares.min() >= 0
        assert shares.sum() == pytest.approx(1)
        assert not np.array_equal(shares, before)
    assert learned.shares[0] > 0.85
    pooled, *each = np.mean(scores, axis=0)
    assert pooled < np.mean(each)  # better than no choice
    assert pooled < min(each) + 0.1 * (np.mean(each) - min(each))


def test_the_loss_is_the_slope_of_the_pools_score():
    members, came = forecasts(np.random.default_rng(2), n_origins=1)
    p, y = members[0], came[0]
    w = np.array([0.2, 0.5, 0.3])

    def score(shares):
        gap = np.cumsum(np.tensordot(shares, p, axes=1) - y, axis=-1)
        return (gap**2).sum(axis=-1).mean() / 5

    step = 1e-6
    slope = [(score(w + step * e) - score(w - step * e)) / (2 * step) for e in np.eye(3)]
    taken = []
    learned = LearnedShares(3)
    learned.shares = w
    learned.learn = taken.append  # type: ignore[method-assign,assignment]
    learned.learn_from(list(p), y)
    np.testing.assert_allclose(taken[0], slope, rtol=1e-6)


def test_equal_members_keep_equal_shares_and_one_has_all():
    learned = LearnedShares(4)
    for _ in range(5):
        np.testing.assert_allclose(learned.learn([0.3, 0.3, 0.3, 0.3]), 0.25)
    alone = LearnedShares(1)
    np.testing.assert_array_equal(alone.learn([0.7]), [1.0])


def test_the_order_of_members_does_not_matter_nor_do_units():
    rng = np.random.default_rng(3)
    losses = rng.random((30, 3))
    a, b, c = LearnedShares(3), LearnedShares(3), LearnedShares(3)
    for row in losses:
        x, y, z = a.learn(row), b.learn(row[::-1]), c.learn(1000 * row + 7)
    np.testing.assert_allclose(x, y[::-1])
    np.testing.assert_allclose(x, z, rtol=1e-6)


def test_losses_that_are_none_are_refused():
    with pytest.raises(DataError, match="losses of shape"):
        LearnedShares(2).learn([1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="losses"):
        LearnedShares(2).learn([1.0, np.nan])
    with pytest.raises(DataError, match="0 forecasters"):
        LearnedShares(0)
