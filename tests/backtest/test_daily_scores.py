"""Scores of the script that judges the daily model: densities are densities, and tables say what came."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from daily_draws import SYMBOLS, daily_posterior
from scipy import stats


@pytest.fixture(scope="module")
def script(benchmark_script):
    return benchmark_script("daily_scores")


def known(**returns):
    return np.array([returns.get(s, np.nan) for s in SYMBOLS])


@pytest.mark.long
def test_density_of_the_next_day_is_a_density(script):
    """Over a grid of two assets' returns it sums to one; with one asset the joint is its own."""
    posterior, grid = daily_posterior(20), np.linspace(-0.24, 0.24, 31)
    options = {"seed": 1, "n_inner": 1}
    joint = [
        [script.next_day_density(posterior, known(AAPL=x, PEP=y), **options)[0] for y in grid] for x in grid
    ]
    step = grid[1] - grid[0]
    assert np.exp(joint).sum() * step**2 == pytest.approx(1.0, abs=0.02)
    alone, error, each = script.next_day_density(posterior, known(AMD=-0.03), **options)
    assert alone == pytest.approx(each[SYMBOLS.index("AMD")])
    assert np.isnan(np.delete(each, SYMBOLS.index("AMD"))).all()
    assert 0 < error < 0.5
    both = script.next_day_density(posterior, known(AAPL=-0.03, BAC=-0.035), **options)
    other = script.next_day_density(posterior, known(AAPL=-0.03, BAC=0.035), **options)
    assert both[0] > other[0] + 1  # they move together


def test_density_agrees_with_the_draws_of_the_forecast(script):
    posterior = daily_posterior()
    draws = np.log1p(posterior.forecast(1, seed=2, n_draws=100_000).draws.to_numpy().astype(float))
    for j, symbol in enumerate(SYMBOLS):
        for x in (0.0, -0.02):
            near = np.mean(np.abs(draws[:, j] - x) < 0.002) / 0.004
            density = np.exp(script.next_day_density(posterior, known(**{symbol: x}), seed=1)[0])
            assert density == pytest.approx(near, rel=0.1)


@pytest.mark.long
def test_copula_densities(script):
    """Normal margins are a multivariate normal; Student-t ones have the scale as their standard deviation."""
    r = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
    scale, x = np.array([0.01, 0.02, 0.03]), np.array([-0.02, 0.01, 0.05])
    expected = stats.multivariate_normal(cov=r * np.outer(scale, scale)).logpdf(x)
    joint, each = script.copula_density(r, scale, None, x)
    assert joint == pytest.approx(expected)
    np.testing.assert_allclose(each, stats.norm.logpdf(x, scale=scale))
    free, margins = script.copula_density(np.eye(3), scale, 5.0, x)
    assert free == pytest.approx(margins.sum())
    grid = np.linspace(-0.6, 0.6, 401)
    density = np.exp([script.copula_density(np.eye(1), scale[:1], 5.0, np.array([v]))[0] for v in grid])
    assert density.sum() * 0.003 == pytest.approx(1.0, abs=0.01)
    assert (density * np.square(grid)).sum() * 0.003 == pytest.approx(scale[0] ** 2, rel=0.05)
    step = 0.01
    axis = np.arange(-0.16, 0.161, step)
    table = [
        [script.copula_density(r[:2, :2], scale[:2], 5.0, np.array([a, b]))[0] for b in axis] for a in axis
    ]
    assert np.exp(table).sum() * step**2 == pytest.approx(1.0, abs=0.02)


def test_tables_say_what_came(script, tmp_path):
    """The daily model is better by one each day; on announcement days what came is twice what was said."""
    for day in range(10):
        said = {
            name: {
                "log_joint": level + 0.1 * day,
                "log_each": [level, level],
                "crps": -level,
                "energy": -level,
                "volatility": [0.01, 0.02],
                "tails": {n: {"equal": {"0.95": [0.02, 0.03]}} for n in ("1", "20")},
            }
            for name, level in (("daily", 3.0), ("ewma-t", 2.0))
        }
        kept = {
            "said": said,
            "came": [0.02, -0.01],
            "announced": [1.0, 0.0],
            "books": {"1": {"equal": -0.05 if day == 3 else 0.01}, "20": None},
        }
        (tmp_path / f"2020-01-01_2020-01-{day + 1:02d}.json").write_text(json.dumps(kept))
    table = script.table_of(tmp_path)
    assert len(table) == 20
    found = script.differences(table, "log_joint", "ewma-t")
    assert found.loc["all", "mean"] == pytest.approx(-1.0)
    assert found.loc["2020-01-01", "n"] == 10
    days = script.announcements(tmp_path)
    assert days.loc[("daily", "announced"), "squared ratio"] == pytest.approx(4.0)
    assert days.loc[("daily", "beside"), "squared ratio"] == pytest.approx(0.25)
    assert days.loc[("daily", "beside"), "forecast volatility"] == pytest.approx(0.02)
    tails = script.tail_tests(tmp_path, "1", "0.95")
    assert tails.loc[("equal", "daily"), "beyond"] == 1
    assert script.tail_tests(tmp_path, "20", "0.95").empty


def test_tables_of_the_page_are_those_of_the_scores(script):
    docs = Path(__file__).parents[2] / "docs"
    table = pd.read_csv(docs / "daily_scores.csv")
    assert script.markdown(table) in (docs / "daily.md").read_text(encoding="utf-8")
    assert len(table) == 50 * 5
    # What the page says in words
    for rival, errors, starts in (("ewma-t", 3.7, 5), ("dcc", 2.5, 4), ("riskmetrics", 2.5, 5)):
        joint = script.differences(table, "log_joint", rival)
        assert joint.loc["all", "mean"] < -errors * joint.loc["all", "se"]
        assert (joint.drop(index="all")["mean"] < 0).sum() == starts
    for rival in ("ewma-t", "riskmetrics", "dcc", "fhs"):
        crps = script.differences(table, "crps", rival)
        assert 0 < crps.loc["all", "mean"] < 2 * crps.loc["all", "se"]
        quiet = crps.loc["2014-02-07"]
        assert (quiet["mean"] < -2 * quiet["se"]) == (rival in ("ewma-t", "fhs"))


def test_announcements_ahead_of_an_evening(benchmark_script):
    """Ratios on the days that somebody announces; a repeated close gives no return for two days."""
    evening = benchmark_script("evening")
    days = pd.bdate_range("2022-01-10", periods=4)
    prices = pd.DataFrame({"A": [100.0, 110.0, 110.0, 121.0], "B": [50.0, 55.0, 60.5, 66.55]}, days)
    came = evening.log_returns(prices, days)
    assert np.isnan(came[[0, 2, 3], 0]).all()
    assert came[1, 0] == pytest.approx(np.log(1.1))
    assert came[1:, 1] == pytest.approx(np.log(1.1))
    came = np.array([[0.02, 0.01, np.nan], [0.04, 0.01, 0.03], [0.5, 0.5, 0.5]])
    flags = np.array([[True, False, False], [True, False, False], [False, False, False]])
    found = evening.squared_ratios(came, np.full((3, 3), 0.01), flags)
    assert found["announced"] == {"n": 2, "mean": pytest.approx(10.0), "error": pytest.approx(6.0)}
    assert found["beside"]["n"] == 3
    assert found["beside"]["mean"] == pytest.approx(11 / 3)
