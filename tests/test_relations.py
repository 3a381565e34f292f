"""What must not matter, through doors of Python: order of assets, draws, views, rows; units; other columns.

Commands are in ``cli/test_cli_invariance.py``. No fit: forecasts are made of draws, risk models of returns.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bdfm
from bdfm import risk
from bdfm.backtest import MarketData, baselines
from bdfm.scoring.calibration import Calibration
from bdfm.scoring.joint import dawid_sebastiani_score, variogram_score
from bdfm.scoring.scores import energy_score

N = 12
NAMES = [f"S{k:02d}" for k in range(N)]
CLASS = dict(zip(NAMES, ["stock", "fund"] * (N // 2), strict=True))
OTHER = list(np.random.default_rng(1).permutation(NAMES))
UNITS = pd.Series(np.logspace(-2, 3, N), NAMES)
ORIGIN, END = "2021-12-31", "2022-01-28"
WEIGHTS = pd.Series(np.random.default_rng(2).dirichlet(np.ones(N)), NAMES)


def simulated_prices():
    rng = np.random.default_rng(3)
    days = pd.bdate_range("2016-01-04", END, name="date")
    common = 0.007 * rng.standard_t(5, (len(days), 1)) * np.linspace(0.6, 1.3, N)
    own = rng.standard_t(5, (len(days), N)) * np.linspace(0.006, 0.014, N)
    return pd.DataFrame(50 * np.exp(np.cumsum(common + own, axis=0)), days, NAMES)


PRICES = simulated_prices()
RETURNS = risk.simple_returns(PRICES.loc[:ORIGIN], period_days=7).iloc[-156:]


def forecast(assets=NAMES, rows=slice(None)):
    rng = np.random.default_rng(8)
    common = 0.03 * rng.standard_t(5, (3000, 1)) * np.linspace(0.5, 1.5, N)
    draws = pd.DataFrame(np.clip(common + 0.05 * rng.standard_t(5, (3000, N)), -0.9, None), columns=NAMES)
    return bdfm.Forecast.from_draws(
        draws[assets].to_numpy()[rows],
        assets=assets,
        asset_class=[CLASS[a] for a in assets],
        origin=ORIGIN,
        end=END,
    )


def probabilities(made):
    return made.quantile_probabilities().sel(asset=NAMES).to_numpy()


# Forecasts

STATEMENTS = ("S01 = 2% +- 5%", "S03 > S05 : 0.6", "vol(S02) = 1.2x", "P(S04 < -5%) = 0.3", "S07 - S08 >= 1%",
              "S09 in 5/5 : 0.3", "0.5 S10 + 0.5 S11 = 1%")  # fmt: skip
EVIDENCE = ("S01 = 2% +- 5%", "S07 - S08 = 1% +- 6%", "S03 > S05 : 0.6")


def said(semantics):
    texts = EVIDENCE if semantics == "evidence" else STATEMENTS
    return [bdfm.views.parse(t, semantics=semantics) for t in texts]


@pytest.mark.parametrize("semantics", ["evidence", "constraint"])
def test_views_know_no_order(semantics):
    views = said(semantics)
    rows = np.random.default_rng(4).permutation(3000)
    seen = forecast().with_views(*views)
    np.testing.assert_allclose(forecast(OTHER).with_views(*views[::-1]).weights, seen.weights, rtol=1e-7)
    mixed = forecast(rows=rows).with_views(*views)
    np.testing.assert_allclose(mixed.weights, seen.weights.to_numpy()[rows], rtol=1e-6)
    np.testing.assert_allclose(probabilities(mixed), probabilities(seen), atol=1e-9)


def test_edits_know_no_order_of_assets():
    def edited(made):
        return made.shift("S01", 0.02).scale("S02", 1.4).halted("S03", probability=0.4).cap("S04", lower=-0.1)

    one, other = edited(forecast()), edited(forecast(OTHER))
    np.testing.assert_array_equal(other.draws.sel(asset=NAMES), one.draws)
    np.testing.assert_array_equal(probabilities(other), probabilities(one))


def test_edits_of_different_assets_know_no_order_of_their_own():
    steps = [lambda f: f.shift("S01", 0.02), lambda f: f.scale("S02", 1.4), lambda f: f.zero("S05")]
    one, other = forecast(), forecast()
    for step, back in zip(steps, steps[::-1], strict=True):
        one, other = step(one), back(other)
    np.testing.assert_array_equal(other.draws, one.draws)


def test_a_draw_twice_is_a_draw_of_double_weight():
    made = forecast()
    draws = made.draws.to_numpy()
    weights = np.where(np.arange(3000) < 100, 2.0, 1.0)
    common = {"assets": NAMES, "asset_class": list(CLASS.values()), "origin": ORIGIN, "end": END}
    heavy = bdfm.Forecast.from_draws(draws, weights=weights / weights.sum(), **common)
    twice = bdfm.Forecast.from_draws(np.vstack([draws, draws[:100]]), **common)
    np.testing.assert_allclose(probabilities(heavy), probabilities(twice), atol=1e-12)
    one, other = (bdfm.portfolio_risk(f, WEIGHTS.to_dict()).table["value"] for f in (heavy, twice))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_what_is_called_leaves_what_it_was_given_alone():
    made, views = forecast(), said("constraint")
    draws, weights, texts = made.draws.copy(deep=True), made.weights.copy(deep=True), [str(v) for v in views]
    held = {"S01": 0.6, "S02": 0.4}
    for _ in range(2):
        made.with_views(*views).shift("S01", 0.1).zero("S02").drop("S03")
        bdfm.decide(made, bdfm.Mandate(max_weight=0.3), holdings=held)
        bdfm.portfolio_risk(made, held)
    xr.testing.assert_identical(made.draws, draws)
    xr.testing.assert_identical(made.weights, weights)
    assert [str(v) for v in views] == texts
    assert held == {"S01": 0.6, "S02": 0.4}
    assert not made.records


# Decisions and their risk


@pytest.mark.parametrize("method", ["minimum_variance", "mean_cvar", "information_ratio", "risk_parity"])
def test_decisions_know_no_order_of_assets(method):
    one, other = (bdfm.decide(f, method=method, exposure=0.5, max_weight=0.2).weights for f in pair())
    np.testing.assert_allclose(other[one.index], one, atol=2e-4)


@pytest.mark.parametrize("objective", ["mean_cvar", "minimum_variance", "expected_utility", "minimum_regret"])
def test_mandates_know_no_order_of_assets(objective):
    mandate = bdfm.Mandate(
        objective=objective, max_weight=0.25, benchmark="equal", cost_bps=5, turnover=0.6,
        limits={"asset_class": {"stock": (0, 0.6)}},
    )  # fmt: skip
    held = {"S01": 0.2, "S02": 0.3, "S05": 0.5}
    one, other = (
        bdfm.decide(f, mandate, holdings=h).weights
        for f, h in zip(pair(), (held, dict(reversed(held.items()))), strict=True)
    )
    np.testing.assert_allclose(other[one.index], one, atol=2e-4)


def pair():
    return [made.with_views(*said("evidence")) for made in (forecast(), forecast(OTHER))]


def test_risk_of_a_portfolio_knows_no_order():
    one, other = (
        bdfm.portfolio_risk(f, w.to_dict()).table
        for f, w in zip(pair(), (WEIGHTS, WEIGHTS[OTHER]), strict=True)
    )
    np.testing.assert_allclose(other, one, rtol=1e-9)


# Scores


def test_scores_know_no_order_of_assets():
    came = pd.Series(np.random.default_rng(5).normal(0, 0.06, N), NAMES)
    one, other = forecast(), forecast(OTHER)
    for score in (
        lambda f, y: bdfm.ranked_probability_score(
            f.quantile_probabilities(), bdfm.outcome_quantiles(y)
        ).mean(),
        lambda f, y: variogram_score(f.draws, y),
        lambda f, y: dawid_sebastiani_score(f.draws, y),
        lambda f, y: energy_score(f.draws, y, seed=1),
        lambda f, y: Calibration.from_forecasts([(f, y)], seed=1).uniformity,
    ):
        assert float(score(other, came[OTHER])) == pytest.approx(float(score(one, came)), rel=1e-6)


# Panels, risk models, baselines

TABLES = {
    "columns": PRICES[OTHER],
    "rows": PRICES.sample(frac=1, random_state=1),
    "units": PRICES * UNITS,
    "other columns": PRICES.assign(ZZ=PRICES["S01"].to_numpy()[::-1], QQ=np.nan),
    "a zone": PRICES.tz_localize("Asia/Tokyo"),
    "texts": PRICES.set_axis(PRICES.index.astype(str)),
    "blank weekends": PRICES.asfreq("D"),
    "another future": pd.concat([PRICES.loc[:ORIGIN], 2 * PRICES.loc["2022-01-03":]]),
    "long": PRICES.rename_axis(columns="symbol").stack().rename("price").reset_index().iloc[::-1],
}


def universe(names=NAMES):
    return pd.DataFrame({"symbol": names, "asset_class": [CLASS[a] for a in names]})


@pytest.mark.parametrize("case", TABLES)
def test_panels_know_no_order_and_no_unit(case):
    plain, found = (
        bdfm.Panel.from_prices(p, u, origin=ORIGIN).to_dataset()
        for p, u in ((PRICES, universe()), (TABLES[case], universe(OTHER)))
    )
    xr.testing.assert_allclose(found.sel(asset=NAMES), plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ["columns", "units", "other columns", "blank weekends"])
def test_returns_know_no_order_and_no_unit(case):
    found = risk.simple_returns(TABLES[case].loc[:ORIGIN], period_days=7)[NAMES].iloc[-156:]
    np.testing.assert_allclose(found, RETURNS, rtol=1e-9, atol=1e-12)


def models(names):
    """Kind to a model of returns of the assets in this order."""
    styles, factors = (
        risk.price_styles(PRICES[names], RETURNS.index),
        RETURNS[["S00", "S01"]].set_axis(["F", "G"], axis=1),
    )
    member = pd.get_dummies(pd.Series(CLASS)[names]).astype(float)
    own = RETURNS[names]
    yield "statistical", risk.StatisticalEstimator(3).fit(own)
    yield "by correlations", risk.StatisticalEstimator("marchenko_pastur", standardise=True).fit(own)
    yield "cross-sectional", risk.CrossSectionalEstimator(styles, {"class": member}).fit(own)
    yield (
        "time-series",
        risk.TimeSeriesEstimator(factors[["G", "F"] if names is OTHER else ["F", "G"]]).fit(own),
    )


def test_risk_models_know_no_order_of_assets():
    for (kind, one), (_, other) in zip(models(NAMES), models(OTHER), strict=True):
        expected = one.volatility(WEIGHTS.to_dict())
        np.testing.assert_allclose(
            other.volatility(WEIGHTS[OTHER].to_dict()), expected, rtol=1e-7, err_msg=kind
        )
        np.testing.assert_allclose(
            one.volatility((-3 * WEIGHTS).to_dict()), 3 * expected, rtol=1e-9, err_msg=kind
        )


def test_stress_knows_no_order_of_assets():
    found = []
    for names in (NAMES, OTHER):
        model = risk.StatisticalEstimator(3).fit(RETURNS[names])
        days = PRICES[names].pct_change(fill_method=None).iloc[1:]
        found.append(risk.stress_test({"pca": model}, pd.DataFrame([WEIGHTS[names]], ["b"]), returns=days))
    for table in ("replay", "shocks", "risk", "reverse"):
        one, other = (getattr(x, table).select_dtypes("number") for x in found)
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9, err_msg=table)


@pytest.mark.parametrize("name", ["equal", "historical", "ewma-t-5d", "har", "oas", "pca", "fhs"])
def test_baselines_know_no_unit_and_no_order_but_that_of_random_numbers(name):
    found = []
    for prices, names in ((PRICES, NAMES), (PRICES * UNITS, NAMES), (PRICES, OTHER)):
        history = MarketData.of(prices, universe(names)).history(pd.Timestamp("2021-12-03"), period=28)
        made = baselines()[name].forecast(history, seed=5)
        given = made.quantile_probabilities() if isinstance(made, bdfm.Forecast) else made.probabilities
        found.append(pd.DataFrame(np.asarray(given), list(history.assets)).loc[NAMES].to_numpy())
    plain, unit, order = found
    np.testing.assert_allclose(unit, plain, atol=1e-4)
    np.testing.assert_allclose(order, plain, atol=0.015)
