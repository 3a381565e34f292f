from __future__ import annotations

from fractions import Fraction
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bdfm.errors import DataError
from bdfm.forecast.ranks import (
    normalised_weights,
    outcome_quantiles,
    quantile_probabilities,
    weighted_quantiles,
)


def oracle(draws, n_quantiles, weights):
    """The rule in exact fractions: each tied asset averages the slots of the positions of its tie."""
    n = draws.shape[1]
    total = [[Fraction(0)] * n_quantiles for _ in range(n)]
    for row, weight in zip(draws, weights, strict=True):
        for i in range(n):
            below, tied = int((row < row[i]).sum()), int((row == row[i]).sum())
            for q in range(n_quantiles):
                low, high = Fraction(q * n, n_quantiles), Fraction((q + 1) * n, n_quantiles)
                overlap = max(Fraction(0), min(high, Fraction(below + tied)) - max(low, Fraction(below)))
                total[i][q] += Fraction(int(weight)) * overlap / tied
    size = Fraction(int(sum(weights)))
    return np.array([[float(x / size) for x in row] for row in total])


@st.composite
def cases(draw):
    n_draws, n_assets = draw(st.integers(1, 5)), draw(st.integers(1, 11))
    # Few values make many ties; -0.0 and 0.0 are equal.
    values = hnp.arrays(
        float, (n_draws, n_assets), elements=st.sampled_from([-0.5, -0.0, 0.0, 0.1, 0.2, 3.0])
    )
    weights = st.lists(st.integers(0, 4), min_size=n_draws, max_size=n_draws).filter(any)
    return draw(values), draw(st.integers(2, 7)), np.array(draw(weights))


@given(cases())
@settings(max_examples=60, deadline=None)
def test_agrees_with_exact_fractions(case):
    draws, n_quantiles, weights = case
    p = quantile_probabilities(draws, n_quantiles=n_quantiles, weights=weights)
    np.testing.assert_allclose(p, oracle(draws, n_quantiles, weights), atol=1e-14)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-14)
    np.testing.assert_allclose(p.sum(axis=0), draws.shape[1] / n_quantiles, atol=1e-13)


@pytest.mark.parametrize("n_assets", [8, 23, 100])
def test_agrees_with_exact_fractions_without_ties(rng, n_assets):
    draws, weights = rng.standard_t(5, (7, n_assets)), rng.integers(0, 9, 7)
    p = quantile_probabilities(draws, weights=weights)
    np.testing.assert_allclose(p, oracle(draws, 5, weights), atol=1e-14)


def test_equal_weights_count_exactly(rng):
    draws = rng.normal(size=(997, 10))
    counts = quantile_probabilities(draws) * 997
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-12)
    assert (np.round(counts).sum(axis=0) == 2 * 997).all()


def test_known_cases():
    assert outcome_quantiles([0.3, 0.1, 0.5, 0.2, 0.4]).tolist() == [
        [0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    # Two assets tie over positions 1 and 2 of 5.
    assert outcome_quantiles([0.0, 0.2, 0.2, 0.4, 0.5])[1:3].tolist() == [[0, 0.5, 0.5, 0, 0]] * 2
    assert outcome_quantiles(np.zeros(7)).tolist() == pytest.approx(np.full((7, 5), 0.2))
    # Three assets in two halves: the middle one is half in each.
    assert outcome_quantiles([1.0, 2.0, 3.0], n_quantiles=2).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]


def test_permuting_assets_permutes_the_result(rng):
    draws = rng.normal(size=(50, 12)).round(1)
    order = rng.permutation(12)
    np.testing.assert_allclose(quantile_probabilities(draws[:, order]), quantile_probabilities(draws)[order])


def test_only_ranks_matter(rng):
    draws = rng.normal(size=(50, 12))
    assert (quantile_probabilities(np.expm1(draws)) == quantile_probabilities(draws)).all()
    np.testing.assert_allclose(quantile_probabilities(-draws), quantile_probabilities(draws)[:, ::-1])


def test_weights_are_relative_and_mean_repeated_draws(rng):
    draws, weights = rng.normal(size=(9, 6)).round(1), rng.integers(0, 4, 9)
    p = quantile_probabilities(draws, weights=weights)
    np.testing.assert_allclose(quantile_probabilities(draws, weights=weights * 7.5), p)
    np.testing.assert_allclose(quantile_probabilities(np.repeat(draws, weights, axis=0)), p)
    np.testing.assert_allclose(
        quantile_probabilities(draws, weights=np.full(9, 0.1)), quantile_probabilities(draws)
    )


def test_blocks_join_without_a_seam(rng):
    draws = rng.normal(size=(20_000, 5))
    halves = [quantile_probabilities(d) for d in np.split(draws, [3])]
    np.testing.assert_allclose(quantile_probabilities(draws), (3 * halves[0] + 19_997 * halves[1]) / 20_000)


def test_any_memory_layout_and_number_type_is_taken(rng):
    draws = rng.normal(size=(40, 6)).astype(np.float32)
    p = quantile_probabilities(draws)
    assert (quantile_probabilities(np.asfortranarray(draws)) == p).all()
    assert (quantile_probabilities(draws.astype(float)) == p).all()
    assert (quantile_probabilities(np.argsort(np.argsort(draws, axis=1), axis=1)) == p).all()
    draws.flags.writeable = False
    assert (quantile_probabilities(draws) == p).all()


@pytest.mark.parametrize(
    ("draws", "keywords", "message"),
    [
        (np.zeros(3), {}, r"shape \(3,\), expected \(draw, asset\)"),
        (np.zeros((0, 3)), {}, r"shape \(0, 3\)"),
        ([[1.0, np.nan], [np.inf, 2.0]], {}, "2 returns are NaN or infinite"),
        (np.zeros((2, 3)), {"n_quantiles": 1}, "n_quantiles must be a whole number of at least 2"),
        (np.zeros((2, 3)), {"weights": [1.0]}, r"weights have shape \(1,\), expected one per draw, \(2,\)"),
        (np.zeros((2, 3)), {"weights": [1.0, -1.0]}, "1 of 2 weights are negative, NaN or infinite"),
        (np.zeros((2, 3)), {"weights": [np.nan, np.inf]}, "2 of 2 weights"),
        (np.zeros((2, 3)), {"weights": [0, 0]}, "all weights are zero"),
    ],
)
def test_unusable_input_is_refused(draws, keywords, message):
    with pytest.raises(DataError, match=message):
        quantile_probabilities(draws, **keywords)


def test_normalised_weights_do_not_touch_the_input():
    given_weights = np.array([1.0, 3.0])
    assert normalised_weights(given_weights, 2, where="test").tolist() == [0.25, 0.75]
    assert given_weights.tolist() == [1.0, 3.0]
    assert normalised_weights(None, 4, where="test").tolist() == [0.25] * 4


def test_weighted_quantiles_mean_repeated_draws(rng):
    draws, weights = rng.normal(size=(25, 3)), rng.integers(1, 5, 25)
    np.testing.assert_array_equal(
        weighted_quantiles(draws, [0.05, 0.5, 0.95], weights / weights.sum()),
        weighted_quantiles(np.repeat(draws, weights, axis=0), [0.05, 0.5, 0.95]),
    )


def test_weighted_quantiles_are_where_the_sum_of_weights_reaches_the_probability():
    """At the lowest draw that will do, also where the sum meets the probability exactly."""
    close = 1 + np.array([2.0, 0.0, 1.0]) / 1e6  # so near to each other that they share a bin
    draws, lowest = np.append(close, 9.0), np.sort(close)
    for weights in (np.full(4, 0.25), None):
        found = weighted_quantiles(draws, [0.25, 0.3, 0.5, 0.75, 1.0], weights)
        assert found.tolist() == [lowest[0], lowest[1], lowest[1], lowest[2], 9]


def test_the_largest_draw_is_the_quantile_of_one():
    """Also where it has less weight than sums of weights are exact to; without weight it is none."""
    draws = np.array([[0.3, 5.0], [0.1, 0.2], [0.2, 0.1], [9.0, 9.0]])
    for least in (1e-12, 1e-18):
        found = weighted_quantiles(draws, [0.5, 1.0], np.array([least, 0.5, 0.5, 0.0]))
        assert found.tolist() == [[0.1, 0.1], [0.3, 5.0]]
    assert weighted_quantiles(draws[:, 0], 1.0, np.array([1e-12, 0.5, 0.5, 0.0])) == 0.3


def test_speed(rng):
    draws = rng.standard_normal((20_000, 100), dtype=np.float32)
    quantile_probabilities(draws[:10])  # compiled
    start = process_time()
    quantile_probabilities(draws)
    assert process_time() - start < 1  # 0.05 to 0.1 s alone on a core; room for a busy machine


@pytest.mark.parametrize("size", [1e308, 1e-300])
def test_weights_of_any_sum(size):
    w = normalised_weights(size * (np.arange(1.0, 5.0) / 4), 4, where="x")
    np.testing.assert_allclose(w, [0.1, 0.2, 0.3, 0.4], rtol=1e-12)
