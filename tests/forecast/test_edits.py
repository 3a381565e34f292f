from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bdfm.errors import DataError
from bdfm.forecast import columns
from bdfm.forecast.records import Record

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.text(),
    st.lists(st.text(min_size=1)),
    st.text(),
    st.dictionaries(st.text(min_size=1).filter(lambda k: k not in ("kind", "symbols", "text")), scalars),
)
@settings(max_examples=50, deadline=None)
def test_records_survive_json(kind, symbols, text, parameters):
    record = Record.of(kind, symbols, text, **parameters)
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_records_are_frozen_and_hashable():
    record = Record.of("shift", ["A"], "A moved.", by=0.1)
    assert record.symbols == ("A",)
    assert len({record, Record.of("shift", ("A",), "A moved.", by=0.1)}) == 1
    with pytest.raises(AttributeError):
        record.kind = "other"  # type: ignore[misc]


def test_scaling_keeps_the_median_and_multiplies_distances(rng):
    x = rng.gamma(2, 0.02, 501)
    scaled = columns.scale_about_median(x, 2.5)
    assert np.median(scaled) == np.median(x)
    assert scaled.std() == pytest.approx(2.5 * x.std())
    np.testing.assert_allclose(columns.scale_about_median(scaled, 1 / 2.5), x)


def test_scaling_uses_the_weighted_median():
    weights = np.array([0.6, 0.2, 0.2])
    assert columns.scale_about_median(np.array([0.0, 1.0, 2.0]), 2, weights).tolist() == [0, 2, 4]


def test_samples_depend_on_seed_and_symbol():
    law = stats.norm(0.02, 0.1)
    a = columns.sample(law, 5000, seed=1, symbol="A")
    assert (a == columns.sample(law, 5000, seed=1, symbol="A")).all()
    assert (a != columns.sample(law, 5000, seed=2, symbol="A")).any()
    # One seed for two assets must not tie them together: 4 Monte Carlo errors of a correlation.
    assert abs(np.corrcoef(a, columns.sample(law, 5000, seed=1, symbol="B"))[0, 1]) < 4 / np.sqrt(5000)


def test_mapping_by_ranks_gives_out_the_same_values_in_the_old_order(rng):
    old, values = rng.normal(size=1000), rng.gamma(2, size=1000)
    new = columns.map_by_ranks(
        old, columns.empirical_quantiles(values), weights=np.full(1000, 1e-3), seed=0, symbol="A"
    )
    assert (np.sort(new) == np.sort(values)).all()
    assert (np.argsort(new) == np.argsort(old)).all()


def test_mapping_by_ranks_onto_itself_changes_nothing(rng):
    old = rng.normal(size=777).round(1)  # with ties
    same = columns.map_by_ranks(
        old, columns.empirical_quantiles(old), weights=np.full(777, 1 / 777), seed=0, symbol="A"
    )
    assert (same == old).all()


def test_mapping_by_ranks_counts_weights(rng):
    old, weights = rng.normal(size=4000), rng.gamma(1, size=4000)
    weights[:100] = 0
    weights /= weights.sum()
    law = stats.expon()
    new = columns.map_by_ranks(old, law.ppf, weights=weights, seed=0, symbol="A")
    assert np.isfinite(new).all()
    assert weights @ new == pytest.approx(law.mean(), abs=5e-3)
    assert weights @ (new < law.ppf(0.2)) == pytest.approx(0.2, abs=1e-3)


def test_equal_draws_are_ordered_at_random(rng):
    old, n = np.zeros(2000), 2000
    quantile = columns.empirical_quantiles(np.arange(2000.0))
    new = columns.map_by_ranks(old, quantile, weights=np.full(n, 1 / n), seed=3, symbol="A")
    assert (np.sort(new) == np.arange(2000)).all()
    assert abs(np.corrcoef(new, np.arange(n))[0, 1]) < 4 / np.sqrt(n)
    # Nor may one seed tie two such assets together.
    other = columns.map_by_ranks(old, quantile, weights=np.full(n, 1 / n), seed=3, symbol="B")
    assert abs(np.corrcoef(new, other)[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"here: 1 of 6 returns are NaN or infinite \(B\). Try this."),
        (-np.inf, r"here: 1 of 6 returns are NaN or infinite \(B\)"),
        (-1.5, r"here: 1 of 6 simple returns are below -1 \(B; lowest -1.5\).*Try this."),
    ],
)
def test_impossible_returns_are_refused_by_label(value, message):
    returns = np.zeros((3, 2))
    returns[1, 1] = value
    with pytest.raises(DataError, match=message):
        columns.check_returns(returns, ["A", "B"], where="here", remedy="Try this.")


def test_a_total_loss_is_possible():
    columns.check_returns(np.full((3, 2), -1.0), ["A", "B"], where="here", remedy="")
