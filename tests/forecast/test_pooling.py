"""Constraints together: what they state holds, what does not bind leaves no trace, weights are an independent
solver's; tails; what is refused, and by which names."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from random_views import (
    SYMBOLS,
    NoProgress,
    draws,
    holds,
    in_stage,
    moments,
    oracle_stage,
    random_views,
    sample_of,
    some_certificate,
    statement_gap,
    without_times,
)

from bdfm import views as v
from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast.entropy import effective_number
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.moments import quantile
from bdfm.forecast.pooling import pooled
from bdfm.forecast.sample import Sample

C = {"semantics": "constraint"}
LEAST = 25  # a tenth of the draws, as forecasts refuse


@pytest.fixture(scope="module")
def forecast():
    return Forecast.from_draws(
        draws(4000, np.random.default_rng(11)),
        assets=SYMBOLS,
        asset_class=["x"] * 6,
        origin="2022-02-04",
        end="2022-03-04",
    )


def now(f, *symbols):
    """Mean and sd of an asset, or correlation of two."""
    w, sample = f.weights.to_numpy(), Sample(f.draws.to_numpy(), f.assets)
    x = [sample.cut({s: 1.0}) for s in symbols]
    if len(x) == 1:
        return moments(x[0], w)
    (a, s), (b, t) = (moments(c, w) for c in x)
    return w @ ((x[0] - a) * (x[1] - b)) / (s * t)


# One problem for all


def test_a_volatility_bound_that_holds_leaves_a_correlation_alone(forecast):
    mean, sd = now(forecast, "A")
    corr = v.Correlation(asset="A", other="B", correlation=0.55, **C)
    bound = v.Volatility(asset="A", times=0.8, sense="at_least", **C)
    both = forecast.with_views(corr, bound)
    assert now(both, "A", "B") == pytest.approx(0.55, abs=1e-8)
    assert now(both, "A") == pytest.approx((mean, sd), abs=1e-8)
    np.testing.assert_allclose(both.weights, forecast.with_views(corr).weights, rtol=1e-7)


def test_a_mean_bound_that_holds_leaves_a_volatility_alone(forecast):
    mean, sd = now(forecast, "A")
    wide = v.Volatility(asset="A", times=1.3, **C)
    both = forecast.with_views(wide, v.Absolute(asset="A", mean=mean - 0.03, sense="at_least", **C))
    assert now(both, "A") == pytest.approx((mean, 1.3 * sd), abs=1e-8)
    np.testing.assert_allclose(both.weights, forecast.with_views(wide).weights, rtol=1e-7)


def test_a_bound_with_an_sd_that_are_true_change_nothing(forecast):
    mean, sd = now(forecast, "A")
    view = v.Absolute(asset="A", mean=mean - 0.03, sd=sd, sense="at_least", **C)
    np.testing.assert_allclose(forecast.with_views(view).weights, forecast.weights, rtol=1e-6)


def test_a_bound_that_binds_says_what_the_equality_says(forecast):
    _, sd = now(forecast, "A")
    for bound, equal in (
        (
            v.Volatility(asset="A", sd=1.2 * sd, sense="at_least", **C),
            v.Volatility(asset="A", sd=1.2 * sd, **C),
        ),
        (
            v.Correlation(asset="A", other="B", correlation=-0.2, sense="at_most", **C),
            v.Correlation(asset="A", other="B", correlation=-0.2, **C),
        ),
    ):
        np.testing.assert_allclose(
            forecast.with_views(bound).weights, forecast.with_views(equal).weights, rtol=1e-6
        )


def test_a_bound_that_came_early_leaves_where_those_after_it_meet_it():
    """A moves much more than B where B is wide: its bound is violated most, and then not at all."""
    rng = np.random.default_rng(2)
    b = 0.05 * rng.standard_normal(4000)
    a = np.expm1(6 * b) / 6 + 0.005 * rng.standard_normal(4000)
    f = Forecast.from_draws(
        np.stack([a, b], 1), assets=["A", "B"], asset_class=["x"] * 2, origin="2022-02-04", end="2022-03-04"
    )
    first = v.Volatility(asset="A", times=1.15, sense="at_least", **C)
    second = v.Volatility(asset="B", times=1.14, sense="at_least", **C)
    alone = f.with_views(second)
    assert now(alone, "A")[1] > 1.15 * now(f, "A")[1]
    assert abs(now(alone, "A")[0] - now(f, "A")[0]) > 1e-3  # what the first bound would have held
    np.testing.assert_allclose(f.with_views(first, second).weights, alone.weights, rtol=1e-7)


def test_means_come_before_volatilities_and_these_before_correlations(forecast):
    """A volatility moves no mean, a correlation neither means nor volatilities of its assets."""
    mean = now(forecast, "A")[0]
    wide = forecast.with_views(v.Volatility(asset="A", times=1.4, **C))
    assert now(wide, "A")[0] == pytest.approx(mean, abs=1e-9)
    tied = forecast.with_views(v.Correlation(asset="A", other="B", correlation=0.6, **C))
    for symbol in "AB":
        assert now(tied, symbol) == pytest.approx(now(forecast, symbol), abs=1e-9)


def solved(seed, reach=0.5, n=250):
    """A random set of views, what each stage gives, and the views with numbers in place of "times"."""
    sample, prior, rng = sample_of(seed, n)
    views = random_views(sample, prior, rng, reach)
    stages, said = [], []
    for stage in (1, 2, 3):
        here = [x for x in views if in_stage(x, stage)]
        if stage == 1:  # an sd is a statement of the second stage
            here = [x.model_copy(update={"sd": None}) if hasattr(x, "mean") else x for x in here]
        weights = pooled(here, sample, prior)
        if stage == 2:
            views = without_times(views, sample, stages[0])
            here = [x for x in views if in_stage(x, stage)]
        elif stage == 3:
            here = views
        said.append(here)
        stages.append(weights)
        if weights is None or effective_number(weights) < LEAST:
            break
    return sample, prior, views, said, stages


def check_against_solvers(seeds):
    """Each set: statements hold, optimal (Karush, Kuhn, Tucker), equal to Clarabel's."""
    counts = {"held": 0, "refused": 0, "compared": 0, "no progress": 0}
    for seed in seeds:
        sample, prior, views, said, stages = solved(seed)
        reference = prior
        for stage, (here, weights) in enumerate(zip(said, stages, strict=True), 1):
            few = weights is not None and effective_number(weights) < LEAST
            if few:
                counts["refused"] += 1
                break
            if weights is not None:
                assert some_certificate(weights, here, sample, prior, stage, reference), (seed, stage)
            try:
                allowed = oracle_stage(here, sample, prior, stage, reference)
            except NoProgress:
                counts["no progress"] += 1
                allowed = None
            if weights is None:
                # Where we see no weighting, the other solver sees none either, or one of too few draws.
                assert not any(effective_number(x) >= LEAST for x in allowed or []), (seed, stage)
                counts["refused"] += 1
                break
            if not allowed:  # the certificate stands
                counts["no progress"] += allowed is not None
            else:
                counts["compared"] += 1
                apart = [0.5 * np.abs(x - weights).sum() for x in allowed]
                assert min(apart) < 1e-5, (seed, stage, apart)
            reference = weights
        else:
            counts["held"] += 1
            gaps = [
                abs(gap) if sign == 0 else sign * gap
                for x in views
                for sign, gap in statement_gap(x, sample, stages[-1])
            ]
            assert max(gaps) < 1e-6, (seed, gaps)
    return counts


@pytest.mark.long
def test_random_sets_hold_and_equal_an_independent_solver():
    counts = check_against_solvers(range(22))
    assert counts["held"] >= 18
    assert counts["compared"] >= 55


@pytest.mark.slow
def test_a_thousand_random_sets_hold_and_equal_an_independent_solver():
    counts = check_against_solvers(range(1000))
    assert counts["held"] >= 900
    assert counts["no progress"] < 0.04 * counts["compared"]


def idle_bounds(seed):
    """How many bounds of a random set hold without being said; none of them leaves a trace."""
    sample, prior, rng = sample_of(seed)
    views = random_views(sample, prior, rng)
    whole, found = pooled(views, sample, prior), 0
    for view in [] if whole is None else views:
        if view.sense == "equal" or getattr(view, "sd", None) is not None or getattr(view, "times", None):
            continue
        rest = [x for x in views if x is not view]
        stages = [pooled([x for x in rest if x.stage <= s], sample, prior) for s in (1, 2, 3)]
        if all(x is not None and holds(view, sample, x, 1e-9) for x in stages[view.stage - 1 :]):
            np.testing.assert_allclose(
                stages[-1], whole, rtol=1e-6, atol=1e-12, err_msg=f"seed {seed}, {view}"
            )
            found += 1
    return found


def test_bounds_that_hold_without_being_said_leave_no_trace():
    assert sum(idle_bounds(seed) for seed in range(40)) > 20


@pytest.mark.slow
def test_bounds_that_hold_leave_no_trace_in_a_thousand_sets():
    assert sum(idle_bounds(seed) for seed in range(1000)) > 500


def test_the_order_of_the_views_does_not_matter():
    sample, prior, rng = sample_of(7)
    views = random_views(sample, prior, rng)
    first = pooled(views, sample, prior)
    assert first is not None
    for order in itertools.islice(itertools.permutations(views), 1, 100, 17):
        np.testing.assert_allclose(pooled(order, sample, prior), first, rtol=1e-7, atol=1e-12)


def test_holding_one_thing_twice_does_no_harm():
    """E has a mean, F over E a bound, and a correlation holds the mean of F too: three rows of rank two."""
    sample, _, _, said, stages = solved(130)
    assert stages[-1] is not None
    assert all(holds(x, sample, stages[-1]) for x in said[-1])


# Tails


def shortfall(x, w, level):
    """Mean of the worst 1 - level, draw by draw."""
    order, left, total = np.argsort(x), 1 - level, 0.0
    for k in order:
        part = min(w[k], left)
        total -= part * x[k]
        left -= part
    return total / (1 - level)


@pytest.mark.parametrize(
    ("factor", "sense"), [(1.25, "at_least"), (1.25, "equal"), (0.8, "at_most"), (0.8, "equal")]
)
def test_a_shortfall_holds_and_is_nearest(factor, sense, forecast):
    w = forecast.weights.to_numpy()
    x = Sample(forecast.draws.to_numpy(), forecast.assets).cut({"A": 1.0, "B": -0.5})
    loss = factor * shortfall(x, w, 0.9)
    view = v.Shortfall(weights={"A": 1.0, "B": -0.5}, loss=loss, level=0.9, sense=sense, **C)
    q = forecast.with_views(view).weights.to_numpy()
    assert shortfall(x, q, 0.9) == pytest.approx(loss, rel=1e-7)
    # Tilted by the excess over its own value at risk, and by nothing else.
    at_risk = -quantile(x, 0.1, q)
    design = np.stack([np.ones_like(x), np.maximum(-x - at_risk, 0)], 1)
    answer, *_ = np.linalg.lstsq(design, np.log(q / w), rcond=None)
    assert np.abs(design @ answer - np.log(q / w)).max() < 1e-6
    assert np.sign(answer[1]) == np.sign(factor - 1)
    # No other place of the value at risk gives a nearer weighting.
    entropy = q @ np.log(q / w)
    for a in np.quantile(x, [0.05, 0.08, 0.12, 0.15]):
        from bdfm.forecast.entropy import minimum_relative_entropy

        f = -a + np.maximum(-x + a, 0) / 0.1
        other = minimum_relative_entropy(f[None], np.array([loss]), w, signs=[1 if factor > 1 else -1])
        further = other.relative_entropy >= entropy - 1e-9
        assert further if factor < 1 else other.relative_entropy <= entropy + 1e-9


def test_tails_stand_beside_moments(forecast):
    views = [
        v.Shortfall(asset="A", loss=0.16, **C),
        v.Shortfall(asset="C", loss=0.5 * shortfall_of(forecast, "C"), sense="at_least", **C),
        v.Below(asset="B", level=-0.05, probability=0.2, **C),
        v.ValueAtRisk(asset="D", loss=0.09, level=0.9, sense="at_least", **C),
        v.Volatility(asset="E", times=1.1, **C),
    ]
    loss = 1.1 * shortfall_of(forecast, "A")
    views[0] = v.Shortfall(asset="A", loss=loss, **C)
    seen = forecast.with_views(*views)
    w, d = seen.weights.to_numpy(), forecast.draws.to_numpy().astype(float)
    assert shortfall_of(seen, "A") == pytest.approx(loss, rel=1e-7)
    assert w @ (d[:, 1] < -0.05) == pytest.approx(0.2, abs=1e-9)
    assert w @ (d[:, 3] <= -0.09) >= 0.1 - 1e-9
    assert now(seen, "E")[1] == pytest.approx(1.1 * now(forecast.with_views(*views[:4]), "E")[1], rel=1e-7)
    # The second says less than is so.
    np.testing.assert_allclose(forecast.with_views(views[0], *views[2:]).weights, seen.weights, rtol=1e-6)


def shortfall_of(f, symbol):
    x = Sample(f.draws.to_numpy(), f.assets).cut({symbol: 1.0})
    return shortfall(x, f.weights.to_numpy(), 0.95)


@pytest.mark.parametrize("sense", ["equal", "at_least", "at_most"])
def test_a_value_at_risk_is_where_it_is_said(sense, forecast):
    x = forecast.draws.to_numpy()[:, 0].astype(float)
    before = -quantile(x, 0.05, forecast.weights.to_numpy())
    loss = before * (0.9 if sense == "at_most" else 1.1)
    seen = forecast.with_views(v.ValueAtRisk(asset="A", loss=loss, sense=sense, **C))
    after = -quantile(x, 0.05, seen.weights.to_numpy())
    assert after == pytest.approx(loss, abs=0.002)
    idle = v.ValueAtRisk(asset="A", loss=loss, sense={"at_most": "at_least"}.get(sense, "at_most"), **C)
    if sense != "equal":
        np.testing.assert_allclose(forecast.with_views(idle).weights, forecast.weights, rtol=1e-9)


TEXTS = {
    "P(TLT < -5%) = 0.1": v.Below(asset="TLT", level=-0.05, probability=0.1, **C),
    "P(SPY - BF-B < 0%) >= 60%": v.Below(
        weights={"SPY": 1, "BF-B": -1}, level=0, probability=0.6, sense="at_least", **C
    ),
    "VaR(TLT, 95%) <= 8%": v.ValueAtRisk(asset="TLT", loss=0.08, sense="at_most", **C),
    "CVaR(0.6 SPY + 0.4 TLT, 0.9) = 0.12": v.Shortfall(
        weights={"SPY": 0.6, "TLT": 0.4}, loss=0.12, level=0.9, **C
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_tails_are_read(text):
    assert v.parse(text, semantics="constraint") == TEXTS[text]


@pytest.mark.parametrize(
    "text", ["VaR(TLT) = 8%", "P(TLT < -5%) = 2x", "CVaR(TLT, 95%) = 8% +- 1%", "P(-, 3) = 1"]
)
def test_other_texts_of_tails_are_refused(text):
    with pytest.raises(DataError, match="not understood"):
        v.parse(text, semantics="constraint")


def test_no_draw_is_evidence_of_a_tail():
    with pytest.raises(DataError, match="a tail is a property of all draws together"):
        v.Shortfall(asset="A", loss=0.1, semantics="evidence")


# Refusals


def test_only_views_in_conflict_are_named(forecast):
    views = [
        v.Absolute(asset="D", mean=now(forecast, "D")[0] + 0.005, **C),
        v.Ordering(above="A", below="B", probability=0.8, **C),
        v.Ordering(above="B", below="C", probability=0.8, **C),
        v.Volatility(asset="F", times=1.05, **C),
        v.Ordering(above="A", below="C", probability=0.2, **C),
    ]
    with pytest.raises(InfeasibleViewError) as error:
        forecast.with_views(*views)
    text = str(error.value)
    assert (
        "contradicts the views 'A above B with probability 0.8' and 'B above C with probability 0.8'" in text
    )
    assert "The strongest attainable beside the others: A above C with probability 0.6" in text
    assert "D returns" not in text
    assert "volatility of F" not in text


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (v.Absolute, {"asset": "A", "mean": 1e298}),
        (v.Absolute, {"asset": "A", "mean": 0.01, "sd": 1e200}),
        (v.Volatility, {"asset": "A", "times": 1e9}),
        (v.Shortfall, {"asset": "A", "loss": 1e9}),
        (v.Below, {"asset": "A", "level": 1e9, "probability": 0.5}),
    ],
)
def test_numbers_beyond_all_returns_are_refused_by_a_bound(kind, settings):
    with pytest.raises(DataError, match="should be less than or equal to 100"):
        kind(**settings, **C)


FIXED = {
    "evidence": v.Absolute(asset="A", mean=0.02, sd=0.1, semantics="evidence"),
    "mean": v.Absolute(asset="A", mean=0.02, sense="at_most", **C),
    "volatility": v.Volatility(asset="A", times=1.1, **C),
    "correlation": v.Correlation(asset="C", other="A", correlation=0.3, **C),
    "rank": v.Quantile(asset="A", quantile=3, probability=0.4, **C),
    "tail": v.Below(asset="A", level=-0.1, probability=0.1, **C),
    "two of them": v.Ordering(above="A", below="B", probability=0.5, **C),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_view_on_a_return_that_an_edit_has_fixed_is_refused(name, forecast):
    fixed = forecast.zero("A").set_return("B", 0.03)
    with pytest.raises(InfeasibleViewError, match=r"A returns 0 %.* in every draw, set by an edit"):
        fixed.with_views(FIXED[name])
    # An asset against one that stands still is a view on that asset.
    fixed.with_views(v.Relative(asset="C", over="A", mean=now(forecast, "C")[0] + 0.01, **C))
    fixed.with_views(v.Ordering(above="C", below="A", probability=0.6, **C))


def test_the_same_view_twice_is_refused(forecast):
    view = v.Ordering(above="A", below="B", probability=0.6, semantics="evidence")
    once = forecast.with_views(view)
    with pytest.raises(
        DataError, match=r"A above B with probability 0\.6 \(evidence\): this forecast has it .*change 1"
    ):
        once.with_views(view)
    once.with_views(view.model_copy(update={"by": "Ann"}))


# Pools of people


def test_a_log_pool_is_the_geometric_mean(forecast):
    prior = v.Ordering(above="E", below="F", probability=0.8, semantics="evidence")
    forecast = forecast.with_views(prior)  # weights that differ: the model's share counts
    ann = v.Absolute(asset="A", mean=now(forecast, "A")[0] + 0.02, by="Ann", **C)
    ben = v.Ordering(above="B", below="C", probability=0.7, by="Ben", **C)
    p, a, b = (f.weights.to_numpy() for f in (forecast, forecast.with_views(ann), forecast.with_views(ben)))
    seen = forecast.with_views(ann, ben, shares={"Ann": 0.5, "Ben": 0.3}, pool="log")
    expected = a**0.5 * b**0.3 * p**0.2
    np.testing.assert_allclose(seen.weights, expected / expected.sum(), rtol=1e-9)
    assert seen.history()["text"].iloc[-1] == "Views pooled (log): Ann 0.5, Ben 0.3."
    equal = forecast.with_views(ann, ben, pool="log").weights
    np.testing.assert_allclose(equal, np.sqrt(a * b) / np.sqrt(a * b).sum(), rtol=1e-9)


def test_people_who_exclude_each_other_have_no_log_pool(forecast):
    ann = v.Ordering(above="A", below="B", probability=1, by="Ann", **C)
    ben = v.Ordering(above="A", below="B", probability=0, by="Ben", **C)
    forecast.with_views(ann, ben)
    with pytest.raises(InfeasibleViewError, match="the views of Ann and Ben leave no draws"):
        forecast.with_views(ann, ben, pool="log")


def test_effects_are_recorded_whichever_door_a_change_comes_through(forecast):
    view = v.Ordering(above="A", below="B", probability=0.7, **C)
    seen = forecast.shift("C", 0.01).zero("D").with_views(view)
    assert seen.effects()["change"].unique().tolist() == [1, 2, 3]
