"""Bands, a lower and an upper bound on one subject: through every door, against an independent solution.

And orders that go in a circle."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from random_views import SYMBOLS, conditions_of, draws, holds, program

from bdfm import views as v
from bdfm.errors import DataError, InfeasibleViewError
from bdfm.forecast.changes import Changes
from bdfm.forecast.entropy import minimum_relative_entropy
from bdfm.forecast.event_views import check_orders
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.pooling import pooled
from bdfm.forecast.sample import Sample

C = {"semantics": "constraint"}


def made(n=4000):
    return Forecast.from_draws(
        draws(n, np.random.default_rng(11)),
        assets=SYMBOLS,
        asset_class=["x"] * 6,
        origin="2022-02-04",
        end="2022-03-04",
    )


@pytest.fixture(scope="module")
def forecast():
    return made()


# Kind: what it says of its number x, from above and from below, each in one of its ways of being written.
KINDS = {
    "mean": ("A >= {}", "A <= {}"),
    "relative": ("A - B >= {}", "A - B <= {}"),
    "portfolio": ("0.5 A + 0.5 B >= {}", "0.5 B + 0.5 A <= {}"),
    "volatility": ("vol(A) >= {}", "vol(A) <= {}"),
    "correlation": ("corr(A, B) >= {}", "corr(B, A) <= {}"),
    "below": ("P(A < -5%) >= {}", "P(A < -5%) <= {}"),
    "value at risk": ("VaR(A, 90%) >= {}", "VaR(A, 90%) <= {}"),
    "shortfall": ("CVaR(A, 90%) >= {}", "CVaR(A, 90%) <= {}"),
}


def bound(text, x):
    return v.parse(text.format(repr(round(float(x), 12))), **C)


def now(forecast, view):
    sample = Sample(forecast.draws.to_numpy(), forecast.assets)
    return view.implied(sample, forecast.weights.to_numpy())[next(iter(view.numbers))]


@pytest.mark.parametrize("kind", KINDS)
def test_a_band_is_its_nearer_end_or_nothing(kind, forecast):
    low, high = KINDS[kind]
    here = now(forecast, bound(low, 0.05))
    step = 0.15 * abs(here) + 0.004
    inside = forecast.with_views(bound(low, here - step), bound(high, here + step))
    np.testing.assert_allclose(inside.weights, forecast.weights, rtol=1e-7)
    for ends, one in (((here + step, here + 2 * step), low), ((here - 2 * step, here - step), high)):
        views = [bound(low, ends[0]), bound(high, ends[1])]
        both = forecast.with_views(*views)
        alone = forecast.with_views(bound(one, ends[0] if one == low else ends[1]))
        assert np.abs(both.weights - forecast.weights).max() > 1e-6
        np.testing.assert_allclose(both.weights, alone.weights, rtol=1e-5)
        np.testing.assert_allclose(forecast.with_views(*views[::-1]).weights, both.weights, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_band_without_room_is_the_equality(kind, forecast):
    low, high = KINDS[kind]
    here = now(forecast, bound(low, 0.05))
    to = here + 0.1 * abs(here) + 0.003
    band = forecast.with_views(bound(low, to), bound(high, to))
    same = forecast.with_views(bound(low.replace(">=", "="), to))
    np.testing.assert_allclose(band.weights, same.weights, rtol=1e-4, atol=1e-12)


OTHER_SIDE = {
    "relative": (
        v.Relative(asset="A", over="B", mean=0.02, sense="at_least", **C),
        v.Relative(asset="B", over="A", mean=-0.05, sense="at_least", **C),
        v.Relative(asset="B", over="A", mean=-0.01, sense="at_least", **C),
    ),
    "multiple": (
        v.Absolute(asset="A", mean=0.02, sense="at_least", **C),
        v.Portfolio(weights={"A": 2.0}, mean=0.05, sense="at_most", **C),
        v.Portfolio(weights={"A": 2.0}, mean=0.03, sense="at_most", **C),
    ),
    "order": (
        v.Ordering(above="A", below="B", probability=0.6, sense="at_least", **C),
        v.Ordering(above="B", below="A", probability=0.3, sense="at_least", **C),
        v.Ordering(above="B", below="A", probability=0.5, sense="at_least", **C),
    ),
    "quantile": (
        v.Quantile(asset="A", quantile=5, probability=0.3, sense="at_least", **C),
        v.Quantile(asset="A", quantile=5, probability=0.4, sense="at_most", **C),
        v.Quantile(asset="A", quantile=5, probability=0.2, sense="at_most", **C),
    ),
}


@pytest.mark.parametrize("name", OTHER_SIDE)
def test_a_bound_on_the_other_side_is_a_band_too(name, forecast):
    first, second, against = OTHER_SIDE[name]
    both = forecast.with_views(first, second)
    sample = Sample(both.draws.to_numpy(), both.assets)
    for view in (first, second):
        (stated,) = list(view.numbers.values())[:1]
        said = view.implied(sample, both.weights.to_numpy())[next(iter(view.numbers))]
        assert (said - stated) * (1 if view.sense == "at_least" else -1) > -1e-7
    with pytest.raises(InfeasibleViewError) as error:
        forecast.with_views(first, against)
    assert f"view {against.text!r}: contradicts the view {first.text!r}" in str(error.value)


def test_random_bands_equal_an_independent_solver():
    """Bands on assets and on their sum depend on each other; a convex program on the weights decides."""
    tried = {"solved": 0, "impossible": 0}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sample = Sample(draws(250, rng), SYMBOLS)
        prior = rng.gamma(3, size=250)
        prior /= prior.sum()
        views = []
        for portfolio in ({"A": 1.0}, {"B": 1.0}, {"A": 1.0, "B": 1.0}):
            x = sample.cut(portfolio)
            low = prior @ x + 0.5 * x.std() * rng.normal()
            for sense, mean in (("at_least", low), ("at_most", low + 0.2 * x.std() * rng.random())):
                views.append(v.Portfolio(weights=portfolio, mean=float(mean), sense=sense, **C))
        conditions = [
            (sample.cut(view.portfolio), 1 if view.sense == "at_least" else -1, view.mean) for view in views
        ]
        expected, found = program(prior, conditions), pooled(views, sample, prior)
        tried["impossible" if expected is None else "solved"] += 1
        assert (found is None) == (expected is None), seed
        if found is not None:
            np.testing.assert_allclose(found, expected, atol=2e-6)
    assert min(tried.values()) >= 5, tried


def test_a_band_on_a_volatility_equals_an_independent_solver():
    for seed, sense in enumerate(["below", "inside", "above"] * 3):
        rng = np.random.default_rng(seed)
        sample = Sample(draws(250, rng), SYMBOLS)
        prior = np.full(250, 1 / 250)
        sd = v.Volatility(asset="A", sd=0.1, **C).implied(sample, prior)["sd"]
        ends = {"below": (1.1, 1.2), "inside": (0.9, 1.1), "above": (0.8, 0.9)}[sense]
        low = v.Volatility(asset="A", sd=ends[0] * sd, sense="at_least", **C)
        high = v.Volatility(asset="A", sd=ends[1] * sd, sense="at_most", **C)
        mean = v.Absolute(asset="A", mean=float(prior @ sample.cut({"A": 1.0})) + 0.01, **C)
        found = pooled([low, high, mean], sample, prior)
        assert holds(low, sample, found)
        assert holds(high, sample, found)
        first = program(prior, conditions_of(mean, sample, 1, prior))
        kept = [x for x in (low, high) if not holds(x, sample, first)]
        expected = program(prior, [c for x in [mean, *kept] for c in conditions_of(x, sample, 2, first)])
        np.testing.assert_allclose(found, expected, atol=2e-6)


TOML = """
[[views]]
kind = "absolute"
asset = "A"
mean = {}
sense = "at_least"
semantics = "constraint"
[[views]]
kind = "absolute"
asset = "A"
mean = {}
sense = "at_most"
semantics = "constraint"
"""


def through_python(forecast, low, high, place, command):
    return forecast.with_views(bound("A >= {}", low), bound("A <= {}", high))


def through_toml(forecast, low, high, place, command):
    changes = Changes.from_toml(TOML.format(low, high))
    changes.check(forecast.assets, forecast.asset_class)
    return changes.apply(forecast)


def through_the_command(forecast, low, high, place, command):
    forecast.save(place / "f.nc")
    given = ("--constraint", f"A >= {low}", "--constraint", f"A <= {high}")
    code, _, err = command("view", place / "f.nc", *given, "--out", place / "viewed.nc")
    if code:
        raise InfeasibleViewError(err)
    return Forecast.load(place / "viewed.nc")


DOORS = [through_python, through_toml, through_the_command]


@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_a_band_and_refuses_one_that_is_upside_down(door, tmp_path, bdfm_command):
    f = made(2000)
    here = now(f, bound("A >= {}", 0.0))
    low, high = round(here + 0.01, 4), round(here + 0.02, 4)
    seen = door(f, low, high, tmp_path, bdfm_command)
    assert now(seen, bound("A >= {}", 0.0)) == pytest.approx(low, abs=1e-6)
    with pytest.raises(InfeasibleViewError) as error:
        door(f, high, low, tmp_path, bdfm_command)
    text = " ".join(str(error.value).replace("│", " ").split())
    assert (
        f"view '{bound('A <= {}', low).text}': contradicts the view '{bound('A >= {}', high).text}'" in text
    )


def test_changes_are_checked_before_there_are_draws():
    with pytest.raises(InfeasibleViewError, match="the lower bound is above the upper one"):
        Changes.from_toml(TOML.format(0.02, 0.01)).check(SYMBOLS, ["x"] * 6)


NO_BANDS = {
    "two lower bounds": ("A >= 0.01", "A >= 0.02"),
    "a bound and an equality": ("A >= 0.01", "A = 0.02"),
    "an sd twice": ("A >= 0.01 +- 0.1", "A <= 0.05 +- 0.1"),
    "a bound on a volatility beside an sd": ("A >= 0.01 +- 0.1", "vol(A) <= 0.1"),
    "two lower bounds, one from the other side": ("A - B >= 0.01", "B - A <= -0.02"),
}


@pytest.mark.parametrize("name", NO_BANDS)
def test_what_is_no_band_is_one_subject_twice(name, forecast):
    with pytest.raises(DataError, match=r"on the same subject as the view .* Two bounds are a band where"):
        forecast.with_views(*(v.parse(text, **C) for text in NO_BANDS[name]))


def test_bands_of_confidences_and_of_people(forecast):
    """Each confidence holds what is at least as sure; people may contradict each other."""
    here = now(forecast, bound("A >= {}", 0.0))
    sure = v.Absolute(asset="A", mean=here + 0.01, sense="at_least", **C)
    half = v.Absolute(asset="A", mean=here + 0.02, sense="at_most", confidence=0.5, **C)
    found = forecast.with_views(sure, half)
    np.testing.assert_allclose(found.weights, forecast.with_views(sure).weights, rtol=1e-6)
    views = [
        v.Absolute(asset="A", mean=here + d, sense=s, by=by, **C)
        for d, s, by in ((0.02, "at_least", "Ann"), (-0.01, "at_most", "Ben"))
    ]
    assert now(forecast.with_views(*views), sure) == pytest.approx(here + 0.005, abs=1e-7)


def test_what_stood_in_the_way_of_two_sides_is_gone_for_three_bounds(forecast):
    """Lower bounds of two assets and an upper one of their sum, near both: no room to spare."""
    a, b = (now(forecast, v.parse(f"{s} >= 0", **C)) for s in "AB")
    views = [
        v.Absolute(asset="A", mean=a + 0.01, sense="at_least", **C),
        v.Absolute(asset="B", mean=b + 0.01, sense="at_least", **C),
        v.Portfolio(weights={"A": 1.0, "B": 1.0}, mean=a + b + 0.0205, sense="at_most", **C),
    ]
    found = forecast.with_views(*views)
    assert now(found, views[0]) >= a + 0.01 - 1e-9
    assert now(found, views[1]) >= b + 0.01 - 1e-9
    assert now(found, views[2]) <= a + b + 0.0205 + 1e-9


CIRCLE = [
    ("A", "B", 0.7),
    ("C", "B", 0.3),
    ("C", "A", 0.6),
    ("A", "D", 0.9),
    ("E", "F", 0.5),
    ("F", "A", 0.6),
]


def orders(by=(), semantics="evidence", given=CIRCLE):
    return [
        v.Ordering(above=a, below=b, probability=p, semantics=semantics, by=dict(by).get((a, b), "Ann"))
        for a, b, p in given
    ]


def test_evidence_on_orders_in_a_circle_is_refused_with_the_circle(forecast):
    """Also where one is turned round; not of two people, nor where one says nothing or the other way."""
    with pytest.raises(
        DataError, match=r"views by Ann: .* in a circle: A above B above C above A\. Drop one"
    ):
        forecast.with_views(*orders())
    with pytest.raises(DataError, match="in a circle"):
        Changes.from_dict({"views": [x.to_dict() for x in orders()]}).check(SYMBOLS, ["x"] * 6)
    forecast.with_views(*orders(by={("C", "A"): "Ben"}))
    forecast.with_views(*orders(semantics="constraint"))  # of probabilities that can hold together
    for p in (0.5, 0.4):
        forecast.with_views(*orders(given=[*CIRCLE[:2], ("C", "A", p), *CIRCLE[3:]]))


def test_no_circle_is_found_where_there_is_none(forecast):
    """Ways that meet again are none; and thousands of orders in a row are quick."""
    diamond = [("A", "B", 0.6), ("A", "C", 0.6), ("B", "D", 0.6), ("C", "D", 0.6), ("D", "E", 0.6)]
    forecast.with_views(*orders(given=diamond))
    names = [f"S{k}" for k in range(3000)]
    row = [(a, b, 0.6) for a, b in itertools.pairwise(names)]
    check_orders(orders(given=row))
    with pytest.raises(DataError, match="circle: S0 above S1 above"):
        check_orders(orders(given=[*row, (names[-1], names[0], 0.6)]))


def nested_events(seed):
    """Bounds on events of one asset inside each other, all kept by some weights; a few draws lie between."""
    rng = np.random.default_rng(seed)
    n = int(rng.choice([60, 250]))
    sample = Sample(draws(n, rng), SYMBOLS)
    prior = rng.gamma(3, size=n)
    prior /= prior.sum()
    kept = prior * np.exp(rng.normal(0, float(rng.choice([0.3, 1.0, 3.0])), n))
    kept /= kept.sum()
    symbol = str(rng.choice(SYMBOLS))
    x, views = sample.cut({symbol: 1.0}), []
    for below in np.quantile(x, np.sort(rng.random(4))):
        p = float(kept @ (x < below))
        for sense in (">=", "<=") if rng.random() < 0.5 else (rng.choice([">=", "<="]),):
            if 0 < p < 1:
                views.append(v.parse(f"P({symbol} < {float(below)!r}) {sense} {p!r}", **C))
    return sample, prior, views


@pytest.mark.parametrize("seed", range(90))
def test_bounds_on_events_inside_each_other_are_kept(seed):
    """Steps went to and fro between the two sides of a band, and what can be had was called impossible."""
    sample, prior, views = nested_events(seed)
    rows = [row for view in views for row in view.rows(sample)]
    if not rows:
        return
    assert pooled(views, sample, prior) is not None
    features, signs = np.stack([row.feature for row in rows]), [row.sign for row in rows]
    found = minimum_relative_entropy(features, np.array([row.target for row in rows]), prior, signs=signs)
    w = found.weights
    assert all((row.target - w @ row.feature) * row.sign < 1e-7 for row in rows)
    # The dual's value is a bound from below of what any weights have: these have it.
    assert (w[w > 0] * np.log(w[w > 0] / prior[w > 0])).sum() == pytest.approx(
        found.relative_entropy, abs=1e-7
    )


# Expected returns that depend on each other


DEPENDENT = [
    (["A = 2%", "B = 1%", "A - B = 1%"], True),
    (["A = 2%", "B = 1%", "A - B = 1.1%"], False),
    (["A = 2%", "B = 1%", "B - A = 1%"], False),
    (["A = 2% +- 6%", "A - B = 1%", "B - C = -1%", "A - C = 0.5%"], False),
    (["A = 2%", "B = 1%", "0.5 A + 0.5 B = 1.5%"], True),
    (["A = 2%", "B = 1%", "0.5 A + 0.5 B = 1.6%"], False),
    (["A >= 2%", "B <= 1%", "A - B >= 1%"], True),
    (["A >= 2%", "B <= 1%", "A - B <= 0.9%"], False),
    (["A >= 2%", "B <= 1%", "A - B <= 1%"], True),
    (["A = 2%", "B = 1%", "C - D = 1%", "A - B >= 0.5%"], True),
]


@pytest.mark.parametrize(("texts", "agree"), DEPENDENT)
@pytest.mark.parametrize("n", [4000, 20_000])
def test_expected_returns_that_contradict_each_other(texts, agree, n):
    """Draws beyond 10,000 are cut at their ends, of which weights that satisfy all were made."""
    views, forecast = [v.parse(t, **C) for t in texts], made(n)
    if agree:
        forecast.with_views(*views)
        forecast.with_views(*views[::-1])
        return
    for order in (views, views[::-1]):
        with pytest.raises(InfeasibleViewError, match=r"contradicts the view.*no weighting of the draws"):
            forecast.with_views(*order)
    by_two = [
        views[0].model_copy(update={"by": "Ann"}),
        *(x.model_copy(update={"by": "Ben"}) for x in views[1:]),
    ]
    if len(texts) == 3:
        forecast.with_views(*by_two)  # opinions of two people may differ
