"""Shares of a pool learned from the record."""

from __future__ import annotations

import numpy as np
import pytest

from bdfm.backtest.shares import HedgeShares, LearnedShares
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


# Hedge, for few months


def rps(p, y):
    return float(ranked_probability_score(p, y).mean())


def slopes(p, w, y):
    """By differences, of the pool's score in each share."""
    step = 1e-6
    ends = [[rps(np.tensordot(w + k * e, p, axes=1), y) for k in (step, -step)] for e in np.eye(len(w))]
    return np.array([(up - down) / (2 * step) for up, down in ends])


def test_the_bound_on_the_regret_holds_also_against_whom_outcomes_hurt_most():
    """Outcomes of each origin are those that hurt the pool most; the best fixed pool is found on a grid."""
    rng = np.random.default_rng(8)
    for n_origins in (1, 3, 12, 60):
        learned = HedgeShares(2)
        room, pool, grid = 0.0, 0.0, np.zeros(101)
        for _ in range(n_origins):
            p = rng.dirichlet(np.full(5, 2.0), size=(2, 10))
            room += HedgeShares.room(p) ** 2
            ahead = HedgeShares(2)
            ahead._losses, ahead._room = learned._losses.copy(), learned._room
            w = ahead.learn_from(p, np.eye(5)[np.zeros(10, dtype=int)])  # shares do not know what comes
            worst = max(range(5), key=lambda q: rps(np.tensordot(w, p, axes=1), np.eye(5)[[q] * 10]))
            y = np.eye(5)[[worst] * 10]
            np.testing.assert_array_equal(learned.learn_from(p, y), w)
            pool += rps(np.tensordot(w, p, axes=1), y)
            grid += [rps(np.tensordot([x, 1 - x], p, axes=1), y) for x in np.linspace(0, 1, 101)]
        assert pool - grid.min() <= np.sqrt(room * np.log(2)) + 1e-12


def test_shares_are_exponential_in_the_slopes():
    members, came = forecasts(np.random.default_rng(4), n_origins=3)
    learned, losses, room = HedgeShares(3), np.zeros(3), 0.0
    for p, y in zip(members, came, strict=True):
        room += HedgeShares.room(p) ** 2
        expected = np.exp(-2 * np.sqrt(np.log(3) / room) * losses)
        w = learned.learn_from(list(p), y)
        np.testing.assert_allclose(w, expected / expected.sum(), rtol=1e-10)
        losses += slopes(p, w, y)
    expected = np.exp(-2 * np.sqrt(np.log(3) / room) * losses)
    np.testing.assert_allclose(learned.shares, expected / expected.sum(), rtol=1e-6)


def test_room_bounds_how_far_losses_come_apart_and_is_reached():
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.ones(5), size=(3, 6))
    room, widest = HedgeShares.room(p), 0.0
    for pool in np.eye(3):
        every = np.array([[slopes(p[:, [a]], pool, np.eye(5)[[q]]) for q in range(5)] for a in range(6)])
        apart = every[:, :, :, None] - every[:, :, None, :]  # (asset, outcome, one, other)
        widest = max(widest, apart.max(axis=1).mean(axis=0).max())
    assert room == pytest.approx(widest, rel=1e-6)


def test_a_month_moves_shares_by_what_it_tells_not_by_who_is_near():
    """With a model and two people whom it lies between, one month says little, and nobody has nearly all."""
    rng = np.random.default_rng(6)
    p = rng.dirichlet(np.full(5, 4.0), size=(2, 80))
    members = [(p[0] + 1.2 * p[1]) / 2.2, p[0], p[1]]
    y = np.eye(5)[rng.integers(5, size=80)]
    old, new = LearnedShares(3), HedgeShares(3)
    assert old.learn_from(members, y).max() > 0.8
    new.learn_from(members, y)
    assert 1 / 3 < new.shares.max() < 0.45
    assert new.shares.argmax() == np.argmin(slopes(np.array(members), np.full(3, 1 / 3), y))


def test_who_keeps_being_better_gets_more_and_the_order_does_not_matter():
    members, came = forecasts(np.random.default_rng(1))
    learned, turned = HedgeShares(3), HedgeShares(3)
    scores = []
    for p, y in zip(members, came, strict=True):
        w = learned.learn_from(list(p), y)
        np.testing.assert_allclose(turned.learn_from(list(p[::-1]), y), w[::-1])
        scores.append([rps(np.tensordot(w, p, axes=1), y), *(rps(q, y) for q in p)])
    pooled, *each = np.mean(scores, axis=0)
    assert learned.shares[0] > 0.5  # the rate allows for assets that come out alike, and these do not
    assert pooled < np.mean(each)
    same = HedgeShares(2)
    for _ in range(3):
        np.testing.assert_array_equal(same.learn_from([members[0][0]] * 2, came[0]), [0.5, 0.5])


def test_forecasts_that_are_none_are_refused_by_hedge():
    with pytest.raises(DataError, match="0 forecasters"):
        HedgeShares(0)
    p = np.full((4, 5), 0.2)
    with pytest.raises(DataError, match="forecasts of 3, expected of 2"):
        HedgeShares(2).learn_from([p, p, p], np.eye(5)[:4])
    with pytest.raises(DataError, match="rows of probabilities"):
        HedgeShares(2).learn_from([p, 2 * p], np.eye(5)[:4])
