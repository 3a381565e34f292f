"""An alarm that may be looked at every month: false alarms, and months until bad forecasters are caught."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError
from bdfm.forecast.forecast import Forecast
from bdfm.scoring.alarm import STATISTICS, Alarm, month_pits

N = 30
CLASSES = ["x"] * N
SYMBOLS = [f"A{i}" for i in range(N)]
LOADING = np.linspace(0.02, 0.06, N)


def returns(n, rng, scale=1.0):
    """Returns (n, asset) with a common factor and heavy tails."""
    common = rng.standard_t(6, (n, 1)) * LOADING
    return scale * (common + 0.05 * rng.standard_t(6, (n, N)))


def month(draws, weights=None):
    return Forecast.from_draws(
        np.maximum(draws, -0.95),
        assets=SYMBOLS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
        weights=weights,
    )


def places(statistics, reference, rng):
    """PITs (month, statistic) of outcomes among draws' statistics."""
    order = np.sort(reference, axis=0)
    below = np.stack([np.searchsorted(order[:, j], statistics[:, j]) for j in range(order.shape[1])], 1)
    return (below + rng.random(below.shape)) / (len(order) + 1)


def features(r, sd):
    z = r / sd
    return np.stack([r.mean(1), np.square(z).mean(1), z.std(1)], 1)


def months_until_caught(scale, n_records, n_months, seed):
    """Month of the alarm in records of a forecaster whose volatilities are 1 / scale of what is so."""
    rng = np.random.default_rng(seed)
    draws = returns(20_000, rng)
    sd = draws.std(axis=0)
    reference = features(draws, sd)
    found = []
    for _ in range(n_records):
        pits = places(features(returns(n_months, rng, scale), sd), reference, rng)
        raised = Alarm.of(pd.DataFrame(pits)).raised
        found.append(np.inf if raised is None else int(raised) + 1)
    return np.array(found)


@pytest.mark.long
def test_a_calibrated_forecaster_rarely_raises_the_alarm_in_ten_years():
    caught = months_until_caught(1.0, 1000, 120, seed=1)
    assert np.isfinite(caught).mean() <= 0.05


def test_volatility_a_fifth_too_low_is_caught_within_two_years():
    caught = months_until_caught(1.25, 200, 120, seed=2)
    assert np.isfinite(caught).all()
    assert np.median(caught) < 15
    assert np.percentile(caught, 90) < 30


def test_places_are_uniform_for_outcomes_of_the_forecast_itself():
    rng = np.random.default_rng(3)
    f = month(returns(3000, rng), weights=rng.gamma(2, size=3000))
    draws, w = f.draws.to_numpy(), f.weights.to_numpy()
    pits = []
    for k in range(150):
        came = pd.Series(draws[rng.choice(len(draws), p=w)], index=SYMBOLS)
        pits.append(month_pits(f, came, seed=k))
    table = pd.DataFrame(pits)
    assert list(table) == list(STATISTICS)
    assert np.abs(table.mean() - 0.5).max() < 4 * np.sqrt(1 / 12 / 150)
    assert np.abs(table.std() - np.sqrt(1 / 12)).max() < 0.05


def test_scores_of_ranks_are_those_of_each_outcome():
    from bdfm.forecast.ranks import outcome_quantiles
    from bdfm.scoring.alarm import _rank_scores
    from bdfm.scoring.scores import ranked_probability_score

    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.ones(5), 7)
    r = np.concatenate([rng.normal(size=(20, 7)), rng.integers(0, 3, (5, 7)).astype(float)])
    expected = [ranked_probability_score(p, outcome_quantiles(x, 5)).mean() for x in r]
    np.testing.assert_allclose(_rank_scores(p, r), expected, rtol=1e-12)


@pytest.mark.long
def test_places_are_uniform_where_draws_tie():
    rng = np.random.default_rng(9)
    coarse = np.repeat(returns(4, rng), 500, axis=0)  # four outcomes, all else ties
    f = month(coarse)
    draws = f.draws.to_numpy()
    pits = [
        month_pits(f, pd.Series(draws[rng.integers(2000)], SYMBOLS), seed=k)["market"] for k in range(400)
    ]
    counts = np.histogram(pits, bins=8, range=(0, 1))[0]
    assert np.square(counts - 50).sum() / 50 < 24  # chi-squared of 7 degrees, 0.999


@pytest.mark.parametrize("n", [2, 3])
def test_places_of_ranks_are_uniform_of_few_assets(n):
    """Few assets have few scores: what came ties with draws, whose scores are sums in another order."""
    rng = np.random.default_rng(n)
    pits = []
    for k in range(200):
        draws = np.maximum(rng.normal(size=(300, n)) * 0.05 + np.linspace(0, 0.02, n), -0.95)
        f = Forecast.from_draws(
            draws,
            assets=SYMBOLS[:n],
            asset_class=CLASSES[:n],
            origin="2022-02-04",
            end="2022-03-04",
        )
        came = rng.normal(size=n) * 0.05 + np.linspace(0, 0.02, n)
        pits.append(month_pits(f, pd.Series(came, SYMBOLS[:n]), seed=k)["ranks"])
    counts = np.histogram(pits, bins=8, range=(0, 1))[0]
    assert np.square(counts - 25).sum() / 25 < 24  # chi-squared of 7 degrees, 0.999


def test_each_statistic_sees_what_it_is_for():
    rng = np.random.default_rng(4)
    f = month(returns(3000, rng))
    big = pd.Series(3 * returns(1, rng)[0], index=SYMBOLS)
    assert month_pits(f, big, seed=1)["size"] > 0.99
    up = pd.Series(0.2, index=SYMBOLS)
    assert month_pits(f, up, seed=1)["market"] > 0.95
    assert month_pits(f, up, seed=1)["spread"] < 0.05
    sure = month(returns(3000, rng) + 0.3 * np.linspace(-1, 1, N))  # ranks nearly known
    wrong = pd.Series(-0.3 * np.linspace(-1, 1, N), index=SYMBOLS)
    assert month_pits(sure, wrong, seed=1)["ranks"] > 0.99


def test_e_values_are_products_of_densities():
    from scipy import stats

    u = np.array([[0.9], [0.97], [0.8]])
    shapes = (0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 5.0)
    expected = np.mean([np.cumprod(stats.beta.pdf(u[:, 0], a, b)) for a in shapes for b in shapes], axis=0)
    alarm = Alarm.of(pd.DataFrame(u, columns=["size"]))
    np.testing.assert_allclose(alarm.e_values["size"], expected, rtol=1e-10)
    np.testing.assert_allclose(alarm.e_values["all"], expected, rtol=1e-10)
    assert alarm.raised is None
    assert alarm.reason is None


def test_the_alarm_says_when_and_why():
    rng = np.random.default_rng(5)
    u = pd.DataFrame({"market": rng.random(20), "size": 1 - 0.05 * rng.random(20)}, index=range(100, 120))
    alarm = Alarm.of(u)
    assert alarm.raised in range(101, 106)
    assert alarm.reason == "size"


def test_what_cannot_be_used_is_refused():
    f = month(returns(500, np.random.default_rng(6)))
    with pytest.raises(DataError, match=r"29 of 30 assets have no realised return \(A1, "):
        month_pits(f, {"A0": 0.1}, seed=1)
    with pytest.raises(DataError, match="between 0 and 1"):
        Alarm.of(pd.DataFrame({"size": [0.5, 1.0]}))
    with pytest.raises(DataError, match=r"false_alarm must be above 0 and below 1.*got 2"):
        Alarm.of(pd.DataFrame({"size": [0.5]}), false_alarm=2)
    with pytest.raises(DataError, match=r"1e-06 at the least, got 4\.94066e-324"):  # 1 over it is infinite
        Alarm.of(pd.DataFrame({"size": [0.5]}), false_alarm=5e-324)
