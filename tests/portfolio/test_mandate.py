"""Decisions under a mandate: against direct formulations, prices by differences, conflicts in words."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from mandate_case import (
    ASSETS,
    CENTS,
    CLASSES,
    HELD,
    HELD_BY_ASSET,
    STOCK,
    TECH,
    UNIVERSE,
    YEARS,
    make,
    numbers,
)

from bdfm.errors import DataError, MissingDependencyError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.choices import OBJECTIVES, ON_DRAWS
from bdfm.portfolio.decisions import Decision, decide
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.optimise import shortfall
from bdfm.portfolio.scenarios import moments

cp = pytest.importorskip("cvxpy")


@pytest.fixture(scope="module")
def forecast():
    return make()


def tail(losses, p, level):
    """Expected shortfall as Rockafellar and Uryasev write it, and its constraints."""
    a, z = cp.Variable(), cp.Variable(len(p), nonneg=True)
    return a + p @ z / (1 - level), [z >= losses - a]


def best(aim, constraints, w):
    cp.Problem(cp.Minimize(aim), constraints).solve(
        solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11
    )
    return np.asarray(w.value)


# Ten mandates of increasing difficulty, each written once more by hand.


def minimum_variance(r, p, mean, cov):
    w = cp.Variable(8)
    return best(1e3 * cp.quad_form(w, cp.psd_wrap(cov)), [cp.sum(w) == 1, w >= 0], w)


def with_caps(r, p, mean, cov):
    w = cp.Variable(8)
    limits = [cp.sum(w) == 1, w >= 0, w <= 0.3, w[0] >= 0.05, w[0] <= 0.1, w[7] <= 0.2]
    return best(1e3 * cp.quad_form(w, cp.psd_wrap(cov)), limits, w)


def with_costs(r, p, mean, cov):
    w, buy, sell = cp.Variable(8), cp.Variable(8, nonneg=True), cp.Variable(8, nonneg=True)
    limits = [w == HELD_BY_ASSET + buy - sell, cp.sum(w) >= 0.9, cp.sum(w) <= 1, w >= 0]
    limits += [cp.sum(buy + sell) <= 0.6, STOCK @ w >= 0.5]
    return best(1e3 * (2 * cp.quad_form(w, cp.psd_wrap(cov)) + 0.003 * cp.sum(buy + sell)), limits, w)


def mean_cvar(r, p, mean, cov):
    w, size = cp.Variable(8), cp.Variable(8, nonneg=True)
    cost = 0.004 * cp.sum(size)
    es, more = tail(-(r @ w - cost), p, 0.9)
    more += [size >= w - HELD_BY_ASSET, size >= HELD_BY_ASSET - w]
    return best(1e2 * (0.25 * es - mean @ w + cost), [*more, cp.sum(w) == 1, w >= 0, w <= 0.4], w)


def long_short(r, p, mean, cov):
    w, long, short = cp.Variable(8), cp.Variable(8, nonneg=True), cp.Variable(8, nonneg=True)
    rate = 1.3**YEARS - 1
    own = r @ w + (1 - cp.sum(w)) * rate
    es, more = tail(-own, p, 0.95)
    limits = [*more, w == long - short, cp.sum(long + short) <= 1.6, cp.sum(w) >= -0.1, cp.sum(w) <= 0.4]
    limits += [w <= 0.35, w >= -0.35, TECH @ w <= 0.1, TECH @ w >= -0.1]
    return best(1e2 * (0.1 * es - mean @ w - (1 - cp.sum(w)) * rate), limits, w)


def tracking(r, p, mean, cov):
    w, b = cp.Variable(8), np.array([0.2, 0.2, 0.1, 0.1, 0, 0.4, 0, 0])
    root = np.linalg.cholesky(cov)
    es, more = tail(-(r @ w), p, 0.95)
    limits = [*more, cp.sum(w) == 1, w >= 0, w <= 0.5, cp.norm(root.T @ (w - b)) <= 0.04 * YEARS**0.5]
    return best(1e2 * (0.3 * es - mean @ w), limits, w)


def utility_with_impact(r, p, mean, cov):
    w, size = cp.Variable(8), cp.Variable(8, nonneg=True)
    sd = np.sqrt(np.diag(cov))
    impact = 0.8 * sd / np.sqrt(YEARS * 252) * np.sqrt(5e7 / 4e7)
    cost = 0.0005 * cp.sum(size) + impact @ cp.power(size, 1.5, approx=False)
    own = 1 + r @ w - cost
    limits = [size >= w - HELD_BY_ASSET, size >= HELD_BY_ASSET - w, cp.sum(w) == 1, w >= 0]
    return best(1e3 * (p @ cp.power(own, -3, approx=False)) / 3, limits, w)


def log_utility(r, p, mean, cov):
    w, size = cp.Variable(8), cp.Variable(8, nonneg=True)
    limits = [size >= w - HELD_BY_ASSET, size >= HELD_BY_ASSET - w, cp.sum(w) >= 0.8, cp.sum(w) <= 1, w >= 0]
    limits += [STOCK @ w <= 0.55, TECH @ w <= 0.2, cp.sum(size) <= 0.8]
    return best(-1e3 * (p @ cp.log(1 + r @ w - 0.001 * cp.sum(size))), limits, w)


def regret(r, p, mean, cov):
    w, size = cp.Variable(8), cp.Variable(8, nonneg=True)
    es, more = tail(r @ np.full(8, 1 / 8) - r @ w + 0.002 * cp.sum(size), p, 0.8)
    limits = [*more, size >= w - HELD_BY_ASSET, size >= HELD_BY_ASSET - w, cp.sum(w) == 1, w >= 0, w[0] == 0]
    return best(1e2 * es, [*limits, STOCK @ w <= 0.5], w)


def risk_parity(r, p, mean, cov):
    y, k = cp.Variable(8), cp.Variable(nonneg=True)
    limits = [cp.sum(y) == 0.9 * k, STOCK @ y <= 0.3 * k, cp.norm1(y - k * HELD_BY_ASSET) / 2 <= 0.4 * k]
    aim = cp.quad_form(y, cp.psd_wrap(1e4 * cov)) / 2 - cp.sum(cp.log(y)) / 8
    return best(aim, limits, y) / float(k.value)


MANDATES = {
    minimum_variance: {"objective": "minimum_variance"},
    with_caps: {
        "objective": "minimum_variance",
        "max_weight": 0.3,
        "weights": {"A": (0.05, 0.1), "H": (0.0, 0.2)},
    },
    with_costs: {
        "objective": "minimum_variance",
        "risk_aversion": 4.0,
        "cost_bps": 30.0,
        "turnover": 0.3,
        "cash": (0.0, 0.1),
        "limits": {"asset_class": {"stock": (0.5, 1.0)}},
    },
    mean_cvar: {"risk_aversion": 0.25, "level": 0.9, "max_weight": 0.4, "cost_bps": 40.0},
    long_short: {
        "risk_aversion": 0.1,
        "long_only": False,
        "gross": (0.0, 1.6),
        "net": (-0.1, 0.4),
        "max_weight": 0.35,
        "limits": {"sector": {"tech": (-0.1, 0.1)}},
        "cash_rate_annual": 0.3,
    },
    tracking: {
        "risk_aversion": 0.3,
        "max_weight": 0.5,
        "benchmark": {"A": 0.2, "B": 0.2, "C": 0.1, "D": 0.1, "F": 0.4},
        "tracking_error_annual": 0.04,
    },
    utility_with_impact: {
        "objective": "expected_utility",
        "risk_aversion": 4.0,
        "cost_bps": 5.0,
        "nav": 5e7,
        "impact": 0.8,
        "daily_volume": 4e7,
    },
    log_utility: {
        "objective": "expected_utility",
        "cash": (0.0, 0.2),
        "cost_bps": 10.0,
        "turnover": 0.4,
        "limits": {"asset_class": {"stock": (0.0, 0.55)}, "sector": {"tech": (0.0, 0.2)}},
    },
    regret: {
        "objective": "minimum_regret",
        "level": 0.8,
        "benchmark": "equal",
        "cost_bps": 20.0,
        "weights": {"A": (0.0, 0.0)},
        "limits": {"asset_class": {"stock": (0.0, 0.5)}},
    },
    risk_parity: {
        "objective": "risk_parity",
        "cash": (0.1, 0.3),
        "turnover": 0.4,
        "limits": {"asset_class": {"stock": (0.0, 0.3)}},
    },
}


@pytest.mark.parametrize("direct", MANDATES, ids=lambda f: f.__name__)
def test_weights_are_those_of_a_direct_formulation(direct, forecast):
    expected = direct(*numbers(forecast))
    mandate = Mandate(**MANDATES[direct])
    found = decide(forecast, mandate, holdings=HELD, universe=UNIVERSE)
    np.testing.assert_allclose(found.weights, expected, atol=1e-4)
    assert 0 < np.count_nonzero(np.abs(expected) > 0.01)
    np.testing.assert_allclose(found.trades["trade"].sum(), found.weights.sum() - 0.9, atol=1e-9)


def test_risk_parity_is_parity(forecast):
    w = decide(forecast, Mandate(objective="risk_parity")).weights.to_numpy()
    parts = w * (numbers(forecast)[3] @ w)
    np.testing.assert_allclose(parts / parts.sum(), 1 / 8, atol=1e-4)
    assert w.sum() == pytest.approx(1)


def test_mean_cvar_is_that_of_skfolio():
    pytest.importorskip("skfolio")
    f = make(p=np.ones(700))
    old = decide(f, method="mean_cvar", risk_aversion=0.25, exposure=1.0, max_weight=0.4, n_scenarios=700)
    new = decide(f, Mandate(risk_aversion=0.25, max_weight=0.4, n_scenarios=700))
    np.testing.assert_allclose(new.weights, old.weights, atol=1e-4)


@pytest.mark.parametrize("direct", [mean_cvar, log_utility, regret], ids=lambda f: f.__name__)
def test_a_weight_of_two_is_the_draw_twice(direct):
    twice = np.random.default_rng(0).integers(1, 3, 400)
    f = make(400, p=twice)
    g = make(400, p=np.ones(400))
    repeated = Forecast.from_draws(
        np.repeat(g.draws.to_numpy(), twice, axis=0),
        assets=ASSETS,
        asset_class=CLASSES,
        origin="2022-02-04",
        end="2022-03-04",
    )
    mandate = Mandate(**MANDATES[direct])
    a, b = (decide(x, mandate, holdings=HELD, universe=UNIVERSE).weights for x in (f, repeated))
    np.testing.assert_allclose(a, b, atol=1e-4)


def test_of_many_draws_some_are_taken_and_the_mean_is_of_all():
    f = make(6000)
    found = decide(f, Mandate(risk_aversion=0.25, max_weight=0.4, n_scenarios=3000)).weights
    exact = decide(f, Mandate(risk_aversion=0.25, max_weight=0.4, n_scenarios=6000)).weights
    np.testing.assert_allclose(found, exact, atol=0.15)
    again = decide(f, Mandate(risk_aversion=0.25, max_weight=0.4, n_scenarios=3000)).weights
    np.testing.assert_array_equal(found, again)


# What limits cost


def aim_of(forecast, found, mandate):
    """What a mandate maximises, in what its prices are told in, by plain NumPy."""
    r, p, _, cov = numbers(forecast)
    w = found.weights.to_numpy()
    own = r @ w - found.cost
    if mandate.objective == "minimum_variance":
        return -np.sqrt(w @ cov @ w)
    if mandate.objective == "expected_utility":
        g = mandate.risk_aversion
        return (p @ (1 + own) ** (1 - g)) ** (1 / (1 - g)) - 1
    if mandate.objective == "minimum_regret":
        return -shortfall(r @ np.full(8, 1 / 8) - own, p, mandate.level)
    return p @ own - mandate.risk_aversion * shortfall(-own, p, mandate.level)


STEP = 1e-3
MOVED = {
    "asset_class stock at most": lambda m, x: {"limits": {"asset_class": {"stock": (0.0, 0.3 + x)}}},
    "turnover at most": lambda m, x: {"turnover": 0.5 + x},
    "each asset at most": lambda m, x: {"max_weight": 0.25 + x},
}


@pytest.mark.parametrize(
    ("objective", "aversion"),
    [("mean_cvar", 0.25), ("minimum_variance", 3.0), ("expected_utility", 6.0), ("minimum_regret", 1.0)],
)
def test_prices_are_what_a_moved_limit_gives(objective, aversion, forecast):
    base = {
        "objective": objective,
        "risk_aversion": aversion,
        "max_weight": 0.25,
        "turnover": 0.5,
        "limits": {"asset_class": {"stock": (0.0, 0.3)}},
        "cash": (0.1, 0.2),
        "benchmark": "equal",
    }
    mandate = Mandate(**base)
    found = decide(forecast, mandate, holdings=HELD)
    assert len(found.binding) >= 2
    checked = 0
    for limit, change in MOVED.items():
        own = found.binding[found.binding["limit"].str.startswith(limit)]
        if own.empty:
            continue
        ends = [
            aim_of(forecast, decide(forecast, Mandate(**base | change(mandate, x)), holdings=HELD), mandate)
            for x in (-STEP, STEP)
        ]
        price = float(own["price"].iloc[0])
        assert price == pytest.approx((ends[1] - ends[0]) / (2 * STEP), rel=0.1, abs=2e-4), limit
        assert f"{price:.2g} % of " in own["text"].iloc[0]
        checked += 1
    assert checked >= 1


def test_prices_of_cash_and_the_tracking_error_are_in_their_own_numbers(forecast):
    """Cash of 1 % less, and 1 % a year more, whose bound over the span is another number."""
    base = {"objective": "expected_utility", "risk_aversion": 2.0, "cash": (0.2, 1.0)}
    base |= {"benchmark": {"F": 0.5, "G": 0.3}, "tracking_error_annual": 0.03}
    mandate = Mandate(**base)
    found = decide(forecast, mandate)
    for limit, key, way in (("cash at least", "cash", -1), ("tracking error", "tracking_error_annual", 1)):
        price = float(found.binding.set_index("limit").filter(like=limit, axis=0)["price"].iloc[0])
        ends = []
        for x in (-STEP, STEP):
            moved = {"cash": (0.2 + way * x, 1.0)} if key == "cash" else {key: 0.03 + x}
            ends.append(aim_of(forecast, decide(forecast, Mandate(**base | moved)), mandate))
        assert price == pytest.approx((ends[1] - ends[0]) / (2 * STEP), rel=0.01), limit


def test_an_exact_limit_says_which_way_it_pays(forecast):
    risky = decide(forecast, Mandate(objective="minimum_variance"))
    assert "net exposure exactly 100 %: 1 % less is worth" in " ".join(risky.binding["text"])
    rich = decide(forecast, Mandate(risk_aversion=0.0, max_weight=0.3))
    assert "net exposure exactly 100 %: 1 % more is worth" in " ".join(rich.binding["text"])


# Limits that conflict


@pytest.mark.parametrize(
    ("mandate", "words"),
    [
        (
            {"max_weight": 0.1, "turnover": 1.0, "limits": {"sector": {"oil": (0.0, 0.9)}}},
            "no portfolio keeps these limits together: net exposure exactly 100 %; each asset at most 10 %."
            " To keep the others, one would have to be: net exposure 80 %; each asset at most 12.5 %.",
        ),
        (
            {
                "max_weight": 0.3,
                "cash": (0.0, 0.1),
                "gross": (0.0, 1.0),
                "limits": {"asset_class": {"stock": (0.0, 0.3), "bond": (0.0, 0.5)}},
            },
            "these limits together: cash at most 10 %; asset_class stock at most 30 %; asset_class bond at"
            " most 50 %. To keep the others, one would have to be: cash at most 20 %; asset_class stock at"
            " most 40 %; asset_class bond at most 60 %.",
        ),
        (
            {
                "turnover": 0.1,
                "cash": (0.0, 0.5),
                "weights": {"A": (0.0, 0.05)},
                "max_weight": 0.9,
                "benchmark": "equal",
                "tracking_error_annual": 0.5,
            },
            "these limits together: A at most 5 %; turnover at most 10 %. To keep the others, one would have"
            " to be: A at most 10 %; turnover at most 12.5 %.",
        ),
    ],
)
def test_conflicts_in_words(mandate, words, forecast):
    with pytest.raises(DataError) as told:
        decide(forecast, Mandate(**mandate), holdings=HELD, universe=UNIVERSE)
    assert words in str(told.value)


def test_a_tracking_error_conflicts_too(forecast):
    own = Mandate(benchmark={"A": 1.0}, tracking_error_annual=0.01, max_weight=0.5)
    with pytest.raises(DataError, match=r"each asset at most 50 %; tracking error at most 1 % a year\."):
        decide(forecast, own)


def test_one_limit_alone_that_cannot_be_kept(forecast):
    own = Mandate(objective="risk_parity", weights={"A": (0.0, 0.0)})
    with pytest.raises(DataError, match=r"together: A exactly 0 %; each asset held, by risk parity\."):
        decide(forecast, own)


def test_a_book_without_an_end_is_told(forecast):
    own = Mandate(long_only=False, risk_aversion=0.0)
    with pytest.raises(DataError, match="nothing bounds the book"):
        decide(forecast, own)


# Lots


def test_lots_are_the_nearest_whole_ones():
    """Against every combination of whole lots around the weights."""
    f = make(300)
    own = Mandate(
        objective="minimum_variance",
        weights={a: (0.0, 0.0) for a in "ABCDE"},
        nav=1000.0,
        lot=2,
        cash=(0.0, 1.0),
        net=(0.9, 1.0),
        max_weight=0.45,
    )
    exact = decide(f, own.model_copy(update={"lot": None})).weights[list("FGH")].to_numpy()
    found = decide(f, own, prices=CENTS)
    unit = 2 * np.array([CENTS[a] for a in "FGH"]) / 1000
    counts = itertools.product(*(range(int(x / u) + 3) for x, u in zip(exact, unit, strict=True)))
    fits = [w for k in counts if (w := np.array(k) * unit).sum() <= 1 and w.max() <= 0.45 and w.sum() >= 0.9]
    least = min(np.abs(w - exact).sum() for w in fits)
    assert np.abs(found.weights[list("FGH")] - exact).sum() == pytest.approx(least, abs=1e-3 * least + 1e-9)
    shares = found.trades["shares"].to_numpy()
    np.testing.assert_allclose(shares, np.round(shares / 2) * 2, atol=1e-6)
    assert "Whole lots and the smallest trade cost" in found.notes[0]


def test_whole_lots_leave_cash_and_small_trades_are_not_made(forecast):
    own = Mandate(objective="minimum_variance", nav=1e5, lot=10, min_trade=0.04, max_weight=0.3)
    found = decide(forecast, own, holdings=HELD, prices=CENTS)
    trades = found.trades["trade"].abs()
    assert (trades[trades > 0] >= 0.04 - 1e-9).all()
    assert 0.95 < found.weights.sum() <= 1
    assert found.weights.max() <= 0.3 + 1e-9
    assert any("net exposure exactly 100 % is missed by" in n for n in found.notes)
    table = found.trades
    np.testing.assert_allclose(table["money"], 1e5 * table["trade"])
    np.testing.assert_allclose(table["shares"], table["money"] / [CENTS[s] for s in table.index])


def test_the_universe_has_costs_and_lots_of_its_own(forecast):
    columns = UNIVERSE.assign(cost_bps=[50.0] * 4 + [None] * 4, lot=[""] * 7 + ["100"])
    own = Mandate(objective="minimum_variance", cost_bps=1.0, nav=1e6, max_weight=0.25)
    found = decide(forecast, own, holdings=HELD, universe=columns, prices=CENTS)
    rate = found.trades["cost"] / found.trades["trade"].abs()
    np.testing.assert_allclose(rate["A"], 0.005)
    np.testing.assert_allclose(rate.reindex(["E", "F", "G"]).dropna(), 0.0001)  # of those that are traded
    assert "G" in rate
    hundreds = float(found.trades.loc["H", "shares"]) / 100
    assert hundreds == pytest.approx(round(hundreds), abs=1e-6)
    assert round(hundreds) != 0


# The rest


def test_assets_that_do_not_move_are_held_as_they_are():
    f = make(fixed=2)
    found = decide(f, Mandate(objective="risk_parity", cash=(0.0, 0.5)), holdings=HELD)
    assert found.weights["C"] == 0.25
    assert found.weights.sum() == pytest.approx(1)
    assert found.left_out == ("C",)
    with pytest.raises(DataError, match="C not traded, the return being fixed"):
        decide(f, Mandate(limits={"sector": {"oil": (0.0, 0.2)}}), holdings=HELD, universe=UNIVERSE)


def test_a_book_of_cash_has_no_risk(forecast):
    found = decide(forecast, Mandate(objective="minimum_variance", cash=(0.0, 1.0)), holdings=HELD)
    assert found.weights.abs().sum() < 1e-4
    nothing = decide(forecast, Mandate(risk_aversion=50.0, cash=(0.0, 1.0)))
    assert (nothing.weights == 0).all()
    assert (nothing.risk.table["value"] == 0).all()
    assert Decision.of(nothing.save_in(forecast)).risk.table["value"].sum() == 0


def test_the_limits_of_m6_are_a_preset(forecast):
    own = Mandate(preset="m6", objective="minimum_variance")
    found = decide(forecast, own)
    assert found.weights.sum() == pytest.approx(0.25)
    assert forecast.to_submission(found.weights)["Decision"].sum() == pytest.approx(0.25)
    assert Mandate(preset="m6", gross=(0.5, 1.0)).gross == (0.5, 1.0)


def test_a_forecast_carries_its_decision(forecast, tmp_path):
    own = Mandate(**MANDATES[log_utility])
    made = decide(forecast, own, holdings=HELD, universe=UNIVERSE)
    path = made.save_in(forecast).save(tmp_path / "forecast.nc")
    again = Decision.of(Forecast.load(path))
    assert again.settings == own
    assert again.notes == made.notes
    assert again.turnover == pytest.approx(0.4, abs=1e-4)
    pd.testing.assert_series_equal(again.weights, made.weights)
    pd.testing.assert_frame_equal(again.trades, made.trades)
    pd.testing.assert_frame_equal(again.binding, made.binding)


def test_without_cvxpy(forecast, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("bdfm._optional.import_module", absent)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bdfm\[decisions\]'"):
        decide(forecast, Mandate())


def test_moments_are_of_all_draws(forecast):
    _, _, mean, covariance = numbers(forecast)
    found = moments(forecast, ASSETS)
    np.testing.assert_allclose(found[0], mean, atol=1e-8)
    np.testing.assert_allclose(found[1], covariance, atol=1e-9)


@pytest.mark.parametrize("limit", [0.02, 0.5])
def test_the_tracking_error_of_the_choice_is_told_whether_it_binds_or_not(forecast, limit):
    mandate = Mandate(objective="minimum_variance", benchmark="equal", tracking_error_annual=limit)
    decision = decide(forecast, mandate)
    _, _, _, covariance = numbers(forecast)
    active = decision.weights.to_numpy() - 1 / 8
    expected = np.sqrt(active @ covariance @ active / YEARS)
    (note,) = [x for x in decision.notes if x.startswith("Tracking error")]
    assert float(note.split()[2]) == pytest.approx(100 * expected, rel=0.01)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", ["n_scenarios", "seed"])
def test_which_draws_count_has_an_effect_or_is_refused(objective, name):
    """Every aim, by its weights; a file of a release that took it idly is read."""
    f, given = make(), {"n_scenarios": 150, "seed": 7}
    own = {"objective": objective}
    own |= {"benchmark": {"A": 1.0}, "max_weight": 0.3} if objective == "minimum_regret" else {}
    if objective in ON_DRAWS:
        few = own | {"n_scenarios": 200}
        found = [decide(f, Mandate(**x)).weights for x in (few, few | {name: given[name]})]
        assert np.abs(found[0] - found[1]).max() > 1e-6
        return
    with pytest.raises(DataError, match=f"{name} = {given[name]} has no effect on {objective}"):
        Mandate(**own, **{name: given[name]})
    old = decide(f, Mandate(**own)).save_in(f)
    facts = json.loads(old.attrs["decision"])
    facts["mandate"][name] = given[name]
    assert Decision.of(old.with_attrs(decision=json.dumps(facts))).settings.objective == objective
