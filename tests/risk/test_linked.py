"""Linked specific risk: variances stay, specific correlations within a group are as said."""

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError, UnknownLabelError
from bdfm.risk import RiskModel, TimeSeriesEstimator, link_specific

ASSETS = ["GOOG", "GOOGL", "A", "B"]


def model(rng, lead=()):
    b = rng.normal(1, 0.3, (*lead, 4, 2))
    return RiskModel.from_arrays(
        b, np.broadcast_to(np.diag([4e-4, 1e-4]), (*lead, 2, 2)), rng.uniform(1e-4, 9e-4, (*lead, 4)),
        assets=ASSETS, factors=["market", "size"],
    )  # fmt: skip


@pytest.mark.parametrize("lead", [(), (3,)])
def test_covariance_changes_within_the_group_alone(rng, lead):
    before = model(rng, lead).scale_to(4)
    after = link_specific(before, {"Alphabet": ["GOOG", "GOOGL"]}, correlation=0.9)
    change = after.covariance().to_numpy() - before.covariance().to_numpy()
    d = before.specific_variance.to_numpy()
    expected = np.zeros((*lead, 4, 4))
    expected[..., 0, 1] = expected[..., 1, 0] = 0.9 * np.sqrt(d[..., 0] * d[..., 1])
    if lead:  # covariance is the mean over draws
        expected = expected.mean(axis=0)
    np.testing.assert_allclose(change, expected, atol=1e-18)
    assert after.factors == ("market", "size", "linked Alphabet")
    assert (after.periods, after.kind, after.origin) == (before.periods, before.kind, before.origin)


def test_long_one_class_and_short_the_other_is_safer(rng):
    days = pd.bdate_range("2020-01-01", periods=400)
    f = pd.DataFrame(rng.normal(0, 0.01, (400, 1)), days, ["market"])
    common = rng.normal(0, 0.02, 400)
    own = rng.normal(0, 0.002, (400, 3))
    returns = f.to_numpy() + own
    returns[:, :2] += common[:, None]
    table = pd.DataFrame(returns, days, ["GOOG", "GOOGL", "A"])
    fitted = TimeSeriesEstimator(f).fit(table)
    book = {"GOOG": 1.0, "GOOGL": -1.0}
    linked = link_specific(fitted, {"Alphabet": ["GOOG", "GOOGL"]})
    realised = table["GOOG"].sub(table["GOOGL"]).std()
    assert float(fitted.variance(book)) ** 0.5 > 5 * realised
    assert float(linked.variance(book)) ** 0.5 == pytest.approx(realised, rel=0.02)
    assert "correlated 0.99" in linked.notes[-1]


def test_the_correlation_is_the_mean_over_pairs_of_the_days_that_both_have(rng):
    days = pd.bdate_range("2020-01-01", periods=60)
    f = pd.DataFrame(rng.normal(0, 0.01, (60, 1)), days, ["market"])
    returns = rng.normal(0, 0.02, (60, 3)) + rng.normal(0, 0.02, (60, 1))
    table = pd.DataFrame(returns, days, ["A", "B", "C"])
    table.iloc[:9, 1] = np.nan
    fitted = TimeSeriesEstimator(f).fit(table)
    own = fitted.history["specific_returns"].to_pandas().corr()  # pandas leaves a pair's gaps out
    mean = (own.loc["A", "B"] + own.loc["A", "C"] + own.loc["B", "C"]) / 3
    linked = link_specific(fitted, {"x": ["A", "B", "C"]})
    d = fitted.specific_variance.to_numpy()
    common = fitted.covariance().to_numpy()[0, 1]
    assert linked.covariance().to_numpy()[0, 1] - common == pytest.approx(
        mean * np.sqrt(d[0] * d[1]), rel=1e-9
    )


@pytest.mark.parametrize(
    ("groups", "correlation", "words"),
    [
        ({}, 0.5, "no group"),
        ({"x": ["GOOG"]}, 0.5, "fewer than two members"),
        ({"x": ["GOOG", "GOOGL"], "y": ["GOOG", "A"]}, 0.5, "GOOG"),
        ({"x": ["GOOG", "GOOGL"]}, 1.0, "below 1"),
        ({"x": ["GOOG", "GOOGL"]}, -0.1, "at least 0"),
        ({"x": ["GOOG", "GOOGL"]}, None, "no specific returns"),
    ],
)
def test_what_cannot_be_linked(rng, groups, correlation, words):
    with pytest.raises(DataError, match=words):
        link_specific(model(rng), groups, correlation=correlation)


def test_unknown_member(rng):
    with pytest.raises(UnknownLabelError, match="NOPE"):
        link_specific(model(rng), {"x": ["GOOG", "NOPE"]}, correlation=0.5)
