"""Views: what they mean, against exact results and independent implementations; what is refused, and how."""

from __future__ import annotations

import itertools
import re
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bdfm import views as v
from bdfm.errors import DataError, DataWarning, InfeasibleViewError, UnknownLabelError
from bdfm.forecast.entropy import minimum_relative_entropy
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import quantile_probabilities
from bdfm.forecast.sample import Sample
from bdfm.forecast.weigh import check_views

ASSETS = ("SPY", "TLT", "XLE", "XLU", "GOOG", "BF-B")
# Asymmetric on purpose: a sign error would show.
LOADING = np.array([[0.04, 0.0], [-0.01, 0.02], [0.06, 0.01], [0.02, -0.01], [0.05, 0.0], [0.02, 0.03]])
NOISE = np.array([0.01, 0.01, 0.04, 0.02, 0.04, 0.03])


def make(n=5000, *, seed=3, weights=None):
    rng = np.random.default_rng(seed)
    returns = (
        0.003 * np.arange(6) + rng.standard_normal((n, 2)) @ LOADING.T + rng.standard_normal((n, 6)) * NOISE
    )
    return Forecast.from_draws(
        np.maximum(returns, -0.9),
        assets=ASSETS,
        asset_class=["etf"] * 4 + ["stock"] * 2,
        origin="2022-02-04",
        end="2022-03-04",
        weights=weights,
        posterior_draw=np.arange(n) // 4,
    )


@pytest.fixture(scope="module")
def forecast():
    return make()


@pytest.fixture(scope="module")
def weighted():
    return make(weights=np.random.default_rng(5).gamma(5, size=5000))


def column(f, symbol):
    return f.draws.sel(asset=symbol).to_numpy().astype(float)


def implied(f, view):
    return view.implied(Sample(f.draws.to_numpy(), f.assets), f.weights.to_numpy())


CONSTRAINTS = {
    "absolute": v.Absolute(asset="TLT", mean=0.02, semantics="constraint"),
    "absolute with sd": v.Absolute(asset="TLT", mean=0.01, sd=0.03, semantics="constraint"),
    "relative": v.Relative(asset="SPY", over="XLE", mean=0.01, sd=0.05, semantics="constraint"),
    "portfolio": v.Portfolio(weights={"SPY": 0.6, "TLT": 0.4}, mean=0.01, semantics="constraint"),
    "volatility": v.Volatility(asset="GOOG", sd=0.05, semantics="constraint"),
    "correlation": v.Correlation(asset="SPY", other="TLT", correlation=-0.1, semantics="constraint"),
    "ordering": v.Ordering(above="XLE", below="XLU", probability=0.7, semantics="constraint"),
    "quantile": v.Quantile(asset="GOOG", quantile=5, probability=0.45, semantics="constraint"),
}


# The solver


def test_numbers_of_any_length_make_a_message_of_a_few_lines(bdfm_command, tmp_path):
    long = "1" * 1000
    options = ("--prices", "p.csv", "--universe", "u.csv", "--origin", "2022-01-07", "--out", tmp_path)
    code, _, err = bdfm_command("forecast", *options, "--evidence", f"TLT={long},{long}")
    assert (code, "decimal comma" in err) == (2, True)
    assert len(err) < 1000


@pytest.mark.parametrize("text", ["TLT = 2,5%", "TLT = 0,02", "TLT=-2,5 %", "TLT = 1, 2"])
def test_a_decimal_comma_is_not_taken_for_two_numbers(text, bdfm_command, tmp_path):
    with pytest.raises(DataError, match="decimal comma"):
        v.parse(text, semantics="constraint")
    for more in ("", " over 5d", ",5d"):
        options = ("--prices", "p.csv", "--universe", "u.csv", "--origin", "2022-01-07", "--out", tmp_path)
        code, _, err = bdfm_command("forecast", *options, "--evidence", text + more)
        assert (code, "decimal comma" in err) == (2, True), err
    assert v.parse("TLT=2%,5%", semantics="constraint") == v.parse("TLT = 0.02,0.05", semantics="constraint")


def test_exponential_tilting_of_a_normal_is_a_shift(rng):
    # Entropy pooling of N(0, 1) to mean m gives N(m, 1): relative entropy m²/2, multiplier m.
    x = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    prior = np.full(len(x), 1 / len(x))
    tilt = minimum_relative_entropy(x[None], np.array([0.5]), prior)
    assert tilt.feasible
    assert tilt.multipliers[0] == pytest.approx(0.5, abs=1e-3)
    assert tilt.relative_entropy == pytest.approx(0.125, abs=1e-3)
    assert tilt.weights @ x**2 - 0.25 == pytest.approx(1, abs=1e-3)


def test_jeffreys_rule_for_a_probability(rng):
    event = rng.random(1000) < 0.3
    prior = rng.gamma(2, size=1000)
    prior /= prior.sum()
    w = minimum_relative_entropy(event[None].astype(float), np.array([0.6]), prior).weights
    expected = np.where(event, 0.6 / prior[event].sum(), 0.4 / prior[~event].sum()) * prior
    np.testing.assert_allclose(w, expected, rtol=1e-9)


@given(
    seed=st.integers(0, 10_000),
    n_equal=st.integers(1, 4),
    n_bounds=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_solver_meets_the_conditions_of_optimality(seed, n_equal, n_bounds):
    rng = np.random.default_rng(seed)
    k = n_equal + n_bounds
    features = rng.standard_normal((k, 400)) + rng.standard_normal(400)
    signs = np.array([0] * n_equal + rng.choice([-1, 1], n_bounds).tolist())
    targets = features.mean(axis=1) + 0.2 * rng.standard_normal(k)
    prior = rng.gamma(3, size=400)
    prior /= prior.sum()
    tilt = minimum_relative_entropy(features, targets, prior, signs=signs)
    if not tilt.feasible:
        return
    gap = features @ tilt.weights - targets
    assert np.abs(gap[signs == 0]).max() < 1e-8
    assert (signs * gap >= -1e-8).all()
    assert (signs * tilt.multipliers >= 0).all()
    assert np.abs(gap * tilt.multipliers)[signs != 0].max(initial=0) < 1e-7  # complementary slackness
    form = np.log(tilt.weights / prior) - tilt.multipliers @ features  # exponential tilting, and nothing else
    assert np.ptp(form) < 1e-8
    entropy = tilt.weights @ np.log(tilt.weights / prior)
    assert tilt.relative_entropy == pytest.approx(entropy, abs=1e-8)


def test_infeasible_targets_are_known_as_such(rng):
    x = rng.standard_normal((2, 500))
    prior = np.full(500, 1 / 500)
    assert not minimum_relative_entropy(x[:1], np.array([x[0].max() + 0.01]), prior).feasible
    both = np.stack([x[0], x[0] + 1e-3 * x[1]])
    assert not minimum_relative_entropy(both, np.array([0.0, 1.0]), prior).feasible
    assert not minimum_relative_entropy(np.ones((1, 500)), np.array([2.0]), prior).feasible
    assert minimum_relative_entropy(np.ones((1, 500)), np.array([1.0]), prior).weights == pytest.approx(prior)


def test_a_target_that_nearly_holds_is_reached(rng):
    """Steps then gain less than the dual's value can show."""
    n_tried = 0
    for gap in np.geomspace(1e-7, 1e-2, 60):
        x = rng.standard_normal((2, 300)) + rng.standard_normal(300)
        prior = rng.gamma(3, size=300)
        prior /= prior.sum()
        tilt = minimum_relative_entropy(x, x @ prior + [gap, -1.0], prior, signs=[1, 1])
        assert tilt.feasible, gap
        n_tried += 1
    assert n_tried == 60


def test_redundant_constraints_do_no_harm(rng):
    x = rng.standard_normal((2, 2000))
    prior = np.full(2000, 1 / 2000)
    once = minimum_relative_entropy(x, np.array([0.1, 0.2]), prior).weights
    thrice = np.vstack([x, x.sum(axis=0), x[:1]])
    np.testing.assert_allclose(
        minimum_relative_entropy(thrice, np.array([0.1, 0.2, 0.3, 0.1]), prior).weights, once, rtol=1e-6
    )


# Against independent implementations


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="entropy-pooling is not for this Python")
def test_equals_the_reference_implementation_of_entropy_pooling(weighted):
    """Mean, variance and ordering of means, the views of its own example; and a probability."""
    from entropy_pooling import ep

    p = weighted.weights.to_numpy()
    spy, tlt, xle, xlu = (column(weighted, s) for s in ASSETS[:4])
    mean, sd = 0.012, 0.035
    event = (xle > xlu).astype(float)
    scale = 0.03  # the reference stops at a fixed tolerance: features of unit size make it precise
    equal = np.stack(
        [np.ones(len(p)), (tlt - mean) / scale, ((tlt - mean) ** 2 - sd**2) / scale**2, event - 0.7]
    )
    at_most = np.stack([(xle - spy + 0.02) / scale])
    q = ep(p[:, None], equal, np.array([[1.0], [0], [0], [0]]), at_most, np.array([[0.0]]))[:, 0]
    seen = weighted.with_views(
        v.Absolute(asset="TLT", mean=mean, sd=sd, semantics="constraint"),
        v.Relative(asset="XLE", over="SPY", mean=-0.02, sense="at_most", semantics="constraint"),
        v.Ordering(above="XLE", below="XLU", probability=0.7, semantics="constraint"),
    )
    w = seen.weights.to_numpy()
    assert np.abs(w - p).max() > 1e-5  # the views say something
    np.testing.assert_allclose(len(w) * w, len(w) * q, atol=1e-6 * len(w) * w.max())
    for x in (spy, tlt, xle, tlt**2):
        assert w @ x == pytest.approx(q @ x, abs=1e-6)


def test_equals_skfolio_for_means_variances_and_correlations(forecast):
    import pandas as pd
    from skfolio.prior import EntropyPooling

    table = pd.DataFrame(forecast.draws.to_numpy().astype(float), columns=list(ASSETS))
    variance = float(table["GOOG"].var(ddof=0))
    solver = EntropyPooling(
        mean_views=["TLT == 0.012", "SPY >= XLE"],
        variance_views=[f"GOOG == {1.3**2 * variance}"],
        correlation_views=["(SPY, TLT) == 0.3"],
    )
    # skfolio corrects variances by 1 - Σ weight², 1e-3 of them here, and lets fixed moments slip a little
    q = solver.fit(table).return_distribution_.sample_weight
    seen = forecast.with_views(
        v.Absolute(asset="TLT", mean=0.012, semantics="constraint"),
        v.Relative(asset="SPY", over="XLE", mean=0.0, sense="at_least", semantics="constraint"),
        v.Volatility(asset="GOOG", times=1.3, semantics="constraint"),
        v.Correlation(asset="SPY", other="TLT", correlation=0.3, semantics="constraint"),
    )
    w = seen.weights.to_numpy()
    assert 0.5 * np.abs(w - q).sum() < 2e-3  # total variation
    np.testing.assert_allclose(w @ table.to_numpy(), q @ table.to_numpy(), atol=2e-5)
    np.testing.assert_allclose(seen.effective_draws, 1 / np.square(q).sum(), rtol=1e-2)


def test_evidence_is_the_normal_posterior():
    """A normal asset observed with error: the exact posterior mean and sd, and what moves with it."""
    f = make(400_000)
    x, y = column(f, "TLT"), column(f, "SPY")
    prior_mean, prior_sd = x.mean(), x.std()
    seen = f.with_views(v.Absolute(asset="TLT", mean=0.03, sd=0.03, semantics="evidence"))
    w = seen.weights.to_numpy()
    gain = prior_sd**2 / (prior_sd**2 + 0.03**2)
    error = 4 * prior_sd / np.sqrt(seen.effective_draws)
    assert w @ x == pytest.approx(prior_mean + gain * (0.03 - prior_mean), abs=error)
    assert np.sqrt(w @ (x - w @ x) ** 2) == pytest.approx(prior_sd * np.sqrt(1 - gain), abs=error)
    slope = np.cov(x, y)[0, 1] / prior_sd**2
    moved = slope * (w @ x - prior_mean)
    assert abs(moved) > 3e-3
    assert w @ y - y.mean() == pytest.approx(moved, abs=4 * y.std() / np.sqrt(seen.effective_draws))


# What views say, holds


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("prior", ["forecast", "weighted"])
def test_a_constraint_holds(name, prior, request):
    f = request.getfixturevalue(prior)
    view = CONSTRAINTS[name]
    seen = f.with_views(view)
    assert seen.weights.to_numpy().sum() == pytest.approx(1, abs=1e-12)
    for number, value in view.numbers.items():
        assert implied(seen, view)[number] == pytest.approx(value, abs=1e-7)
        assert abs(implied(f, view)[number] - value) > 1e-4
    np.testing.assert_array_equal(seen.draws, f.draws)
    assert seen.effective_draws < f.effective_draws


def test_all_constraints_hold_together_in_any_order(weighted):
    together = [x for n, x in CONSTRAINTS.items() if n != "absolute"]
    first = weighted.with_views(*together)
    for view in together:
        for number, value in view.numbers.items():
            assert implied(first, view)[number] == pytest.approx(value, abs=1e-7)
    for order in itertools.islice(itertools.permutations(together), 1, 5000, 700):
        other = weighted.with_views(*order)
        np.testing.assert_allclose(other.weights, first.weights, rtol=1e-6, atol=1e-12)


def test_evidence_multiplies_whatever_the_order_and_the_call(forecast):
    one = v.Ordering(above="XLE", below="XLU", probability=0.7, semantics="evidence")
    two = v.Quantile(asset="GOOG", quantile=5, probability=0.4, semantics="evidence")
    both = forecast.with_views(one, two).weights
    np.testing.assert_allclose(forecast.with_views(two, one).weights, both, rtol=1e-12)
    np.testing.assert_allclose(forecast.with_views(two).with_views(one).weights, both, rtol=1e-12)


def test_evidence_on_events_multiplies_the_odds(weighted):
    view = v.Ordering(above="XLE", below="XLU", probability=0.7, semantics="evidence")
    before = implied(weighted, view)["probability"]
    after = implied(weighted.with_views(view), view)["probability"]
    assert after / (1 - after) == pytest.approx(before / (1 - before) * 0.7 / 0.3, rel=1e-9)
    view = v.Quantile(asset="GOOG", quantile=5, probability=0.3, semantics="evidence")
    before = implied(weighted, view)["probability"]
    after = implied(weighted.with_views(view), view)["probability"]
    # 0.3 says more than the 0.2 of who knows nothing. Six assets share five fifths, so odds are nearly these.
    assert after / (1 - after) == pytest.approx(before / (1 - before) * (0.3 / 0.7) / (0.2 / 0.8), rel=0.1)
    know_nothing = v.Quantile(asset="GOOG", quantile=5, probability=0.2, semantics="evidence")
    np.testing.assert_allclose(weighted.with_views(know_nothing).weights, weighted.weights, rtol=1e-12)


@pytest.mark.parametrize("prior", ["forecast", "weighted"])
def test_no_views_leave_the_weights_as_they_are(prior, request):
    f = request.getfixturevalue(prior)
    for same in (
        f.with_views(),
        f.with_views(v.Absolute(asset="TLT", mean=0.02, confidence=0, semantics="constraint")),
        f.with_views(v.Absolute(asset="TLT", mean=0.02, by="Ann", semantics="constraint"), shares={"Ann": 0}),
    ):
        np.testing.assert_array_equal(same.weights, f.weights)


def test_a_view_that_holds_already_changes_nothing(weighted):
    view = v.Absolute(
        asset="TLT", mean=implied(weighted, CONSTRAINTS["absolute"])["mean"], semantics="constraint"
    )
    np.testing.assert_allclose(weighted.with_views(view).weights, weighted.weights, rtol=1e-9)
    slack = v.Absolute(asset="TLT", mean=-0.5, sense="at_least", semantics="constraint")
    np.testing.assert_allclose(weighted.with_views(slack).weights, weighted.weights, rtol=1e-9)


def test_certainty_leaves_the_draws_in_which_it_happens(forecast):
    seen = forecast.with_views(v.Ordering(above="XLE", below="XLU", probability=1, semantics="constraint"))
    happens = column(forecast, "XLE") > column(forecast, "XLU")
    np.testing.assert_allclose(seen.weights, happens / happens.sum(), rtol=1e-12)
    never = forecast.with_views(v.Ordering(above="XLU", below="XLE", probability=0, semantics="constraint"))
    np.testing.assert_allclose(never.weights, seen.weights, rtol=1e-12)


def test_bounds_at_the_edge_say_nothing_or_all(forecast):
    """At least 0 and at most 1 is any probability; at most 0 and at least 1 is certainty."""

    def seen(probability, sense):
        view = v.Ordering(
            above="XLE", below="XLU", probability=probability, sense=sense, semantics="constraint"
        )
        return forecast.with_views(view).weights

    happens = column(forecast, "XLE") > column(forecast, "XLU")
    for bound in ((0, "at_least"), (1, "at_most")):
        np.testing.assert_allclose(seen(*bound), forecast.weights, rtol=1e-12)
    np.testing.assert_allclose(seen(1, "at_least"), happens / happens.sum(), rtol=1e-12)
    np.testing.assert_allclose(seen(0, "at_most"), ~happens / (~happens).sum(), rtol=1e-12)


def test_shares_of_quantiles_are_those_of_ranks(rng):
    draws = rng.integers(0, 4, (300, 7)) / 10  # ties everywhere, and 7 assets in 5 quantiles
    sample = Sample(draws, tuple("ABCDEFG"))
    expected = quantile_probabilities(draws)
    for i, k in itertools.product(range(7), range(5)):
        share = sample.share_of_quantile("ABCDEFG"[i], k + 1, 5)
        assert share.mean() == pytest.approx(expected[i, k], abs=1e-12)


def test_tied_assets_share_an_ordering(forecast):
    tied = forecast.zero("XLE", "XLU")
    assert implied(tied, CONSTRAINTS["ordering"])["probability"] == pytest.approx(0.5)


# Confidence and people


def test_confidence_blends_prior_and_posterior(forecast):
    view = CONSTRAINTS["absolute"]
    full = forecast.with_views(view).weights
    half = forecast.with_views(view.model_copy(update={"confidence": 0.4})).weights
    np.testing.assert_allclose(half, 0.4 * full + 0.6 * forecast.weights, rtol=1e-10)


def test_confidences_nest(forecast):
    sure = CONSTRAINTS["ordering"].model_copy(update={"confidence": 0.8})
    vague = CONSTRAINTS["absolute"].model_copy(update={"confidence": 0.3})
    got = forecast.with_views(vague, sure).weights
    both = forecast.with_views(CONSTRAINTS["ordering"], CONSTRAINTS["absolute"]).weights
    one = forecast.with_views(CONSTRAINTS["ordering"]).weights
    np.testing.assert_allclose(got, 0.3 * both + 0.5 * one + 0.2 * forecast.weights, rtol=1e-9)


def test_people_are_pooled(forecast):
    # Two people may contradict each other.
    ann = v.Absolute(asset="TLT", mean=0.02, by="Ann", semantics="constraint")
    ben = v.Absolute(asset="TLT", mean=-0.01, by="Ben", semantics="constraint")
    alone = [forecast.with_views(x.model_copy(update={"by": ""})).weights for x in (ann, ben)]
    np.testing.assert_allclose(
        forecast.with_views(ann, ben).weights, 0.5 * alone[0] + 0.5 * alone[1], rtol=1e-9
    )
    pooled = forecast.with_views(ann, ben, shares={"Ann": 0.5, "Ben": 0.3})
    expected = 0.5 * alone[0] + 0.3 * alone[1] + 0.2 * forecast.weights
    np.testing.assert_allclose(pooled.weights, expected, rtol=1e-9)
    assert pooled.history()["text"].tolist()[-1] == "Views pooled: Ann 0.5, Ben 0.3."


def test_people_are_pooled_with_their_doubts(forecast):
    ann = v.Absolute(asset="TLT", mean=0.02, by="Ann", confidence=0.4, semantics="constraint")
    ben = v.Absolute(asset="TLT", mean=-0.01, by="Ben", semantics="constraint")
    sure = [forecast.with_views(x.model_copy(update={"by": "", "confidence": 1})).weights for x in (ann, ben)]
    expected = 0.5 * (0.4 * sure[0] + 0.6 * forecast.weights) + 0.5 * sure[1]
    np.testing.assert_allclose(forecast.with_views(ann, ben).weights, expected, rtol=1e-9)


# Records, ranks and files of a weighted forecast


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_record_gives_the_view_back(name):
    view = CONSTRAINTS[name].model_copy(update={"confidence": 0.7, "by": "Ann"})
    assert v.from_record(view.record(3)) == view
    assert dict(view.record(3).parameters)["step"] == 3


def test_everything_works_with_weights(forecast, tmp_path):
    seen = forecast.zero("XLU").with_views(*[CONSTRAINTS[n] for n in ("absolute", "quantile")])
    probability = seen.quantile_probabilities().sel(asset="GOOG", quantile=5)
    assert float(probability) == pytest.approx(0.45, abs=1e-9)
    assert seen.summary().loc["TLT", "mean"] == pytest.approx(0.02, abs=1e-7)
    history = seen.history()
    assert history["kind"].tolist() == ["zero", "view", "view"]
    assert history["text"].tolist()[1] == "TLT returns 2 % (constraint)."
    assert "effective" in repr(seen)
    loaded = Forecast.load(seen.save(tmp_path / "f.nc"))
    np.testing.assert_array_equal(loaded.weights, seen.weights)
    assert loaded.records == seen.records
    table = seen.to_submission()
    np.testing.assert_allclose(table.filter(like="Rank").sum(axis=1), 1)


def test_heavy_tails_do_not_satisfy_a_view_alone():
    """One draw of +14,000 % of 100,000 would carry a mean of 2 % with a weight of 0.01 %."""
    f = make(100_000)
    returns = f.draws.to_numpy().copy()
    returns[17, 0] = 146.0
    fat = Forecast.from_draws(
        returns, assets=ASSETS, asset_class=["etf"] * 6, origin="2022-02-04", end="2022-03-04"
    )
    seen = fat.with_views(v.Absolute(asset="SPY", mean=0.05, semantics="constraint"))
    assert float(seen.weights[17]) < 1e-3
    assert seen.summary().loc["SPY", "50%"] == pytest.approx(0.05, abs=0.005)


# Refusals


def test_a_refusal_names_reason_and_strongest_view(forecast):
    far = v.Absolute(asset="TLT", mean=0.15, sd=0.001, semantics="evidence")
    with pytest.raises(
        InfeasibleViewError, match=r"view 'TLT returns 15 % ± 0\.1 % \(evidence\)': it leaves \d+ eff"
    ) as e:
        forecast.with_views(far)
    assert "evidence=[Evidence('TLT', 0.15, 0.001)]" in str(e.value)
    strong = v.Absolute(asset="TLT", mean=0.09, semantics="constraint")
    with pytest.raises(InfeasibleViewError, match=r"The strongest attainable: TLT returns ([\d.]+) %") as e:
        forecast.with_views(strong)
    attainable = float(re.search(r"attainable: TLT returns ([\d.]+) %", str(e.value))[1]) / 100
    assert 0.02 < attainable < 0.09
    held = forecast.with_views(v.Absolute(asset="TLT", mean=0.999 * attainable, semantics="constraint"))
    assert held.effective_draws >= 500
    with pytest.raises(InfeasibleViewError):
        forecast.with_views(v.Absolute(asset="TLT", mean=1.01 * attainable, semantics="constraint"))


def test_least_effective_number_can_be_set(forecast):
    view = v.Absolute(asset="TLT", mean=0.07, semantics="constraint")
    with pytest.raises(InfeasibleViewError, match="at least 500 are needed"):
        forecast.with_views(view)
    with pytest.warns(DataWarning, match="effective of 5,000 draws are left"):
        assert forecast.with_views(view, min_effective_draws=20).effective_draws > 20


def test_few_effective_draws_are_a_warning():
    f = make(100_000)
    with pytest.warns(DataWarning, match=r"effective of 100,000 draws are left.*evidence=\[\.\.\.\]"):
        f.with_views(v.Absolute(asset="TLT", mean=0.05, sd=0.003, semantics="evidence"))


def test_few_effective_draws_of_few_are_no_warning():
    view = v.Absolute(asset="TLT", mean=0.07, semantics="constraint")
    f = make(1000).with_views(view, min_effective_draws=5)
    assert f.effective_draws < 1000 / 20


def test_mean_and_rank_view_on_100_assets_and_100_000_draws_are_quick():
    rng = np.random.default_rng(2)
    n, n_assets = 100_000, 100
    factor = rng.standard_normal((n, 3)) @ rng.normal(0, 0.03, (3, n_assets))
    returns = np.maximum(factor + 0.05 * rng.standard_t(5, (n, n_assets)), -0.99)
    names = [f"A{i}" for i in range(n_assets)]
    f = Forecast.from_draws(
        returns, assets=names, asset_class=["x"] * n_assets, origin="2022-02-04", end="2022-03-04"
    )
    begun = time.process_time()
    seen = f.with_views(
        v.Absolute(asset="A3", mean=0.02, semantics="constraint"),
        v.Quantile(asset="A5", quantile=5, probability=0.3, semantics="constraint"),
    )
    assert time.process_time() - begun < 5
    seen.drop("A99").quantile_probabilities()  # compiled
    begun = time.process_time()
    p = seen.quantile_probabilities()
    assert time.process_time() - begun < 1
    assert float(p.sel(asset="A5", quantile=5)) == pytest.approx(0.3, abs=1e-9)


# Texts

TEXTS = {
    "TLT = 2% +- 10%": v.Absolute(asset="TLT", mean=0.02, sd=0.1, semantics="constraint"),
    "TLT = 0.02 ± 0.1": v.Absolute(asset="TLT", mean=0.02, sd=0.1, semantics="constraint"),
    "BF-B >= -1 %": v.Absolute(asset="BF-B", mean=-0.01, sense="at_least", semantics="constraint"),
    "SPY - BF-B = 1% +- 2%": v.Relative(asset="SPY", over="BF-B", mean=0.01, sd=0.02, semantics="constraint"),
    "0.6 SPY + 0.4 TLT - XLE = 1%": v.Portfolio(
        weights={"SPY": 0.6, "TLT": 0.4, "XLE": -1}, mean=0.01, semantics="constraint"
    ),
    "vol(TLT) = 8%": v.Volatility(asset="TLT", sd=0.08, semantics="constraint"),
    "vol(TLT) = 1.5x": v.Volatility(asset="TLT", times=1.5, semantics="constraint"),
    "TLT=0.02,0.10": v.Absolute(asset="TLT", mean=0.02, sd=0.1, semantics="constraint"),
    "corr(SPY, TLT) <= -0.3": v.Correlation(
        asset="SPY", other="TLT", correlation=-0.3, sense="at_most", semantics="constraint"
    ),
    "XLE > XLU : 70%": v.Ordering(above="XLE", below="XLU", probability=0.7, semantics="constraint"),
    "GOOG in 5/5 : 0.3": v.Quantile(asset="GOOG", quantile=5, probability=0.3, semantics="constraint"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read(text):
    assert v.parse(text, semantics="constraint") == TEXTS[text]


@pytest.mark.parametrize("text", [*TEXTS, *v.FORMS])
@pytest.mark.parametrize("mark", ["'", '"'])
def test_symbols_with_spaces_stand_in_quotes(text, mark):
    plain = v.parse(text, semantics="constraint").model_dump_json()
    spaced = re.sub(r"\b(TLT|SPY|XLE|XLU|GOOG|IVV|IEMG)\b", rf"{mark}\1 US Equity{mark}", text)
    longer = re.sub(r"\b(TLT|SPY|XLE|XLU|GOOG|IVV|IEMG)\b", r"\1 US Equity", plain)
    assert v.parse(spaced, semantics="constraint").model_dump_json() == longer


@pytest.mark.parametrize("text", v.FORMS)
def test_forms_shown_to_users_are_read(text):
    assert v.parse(text, semantics="constraint").semantics == "constraint"


@pytest.mark.parametrize(
    "text",
    [
        "TLT",
        "TLT = ",
        "TLT 2%",
        "vol(TLT, SPY) = 1",
        "corr(TLT) = 1",
        "SPY = 2x",
        "",
        "TLT US Equity = 2% +- 10%",
        "TLT US Equity > SPY : 0.6",
        "0.6 SPY 0.4 TLT = 1%",
    ],
)
def test_other_texts_are_refused(text):
    with pytest.raises(DataError, match=r"not understood\. Forms: TLT = 2%.* spaces stands in quotes"):
        v.parse(text, semantics="constraint")


def test_a_decimal_comma_is_told_and_the_commas_of_a_form_are_not():
    with pytest.raises(
        DataError, match=r"not understood\. Numbers have a decimal point: 3\.5, not 3,5\. Forms"
    ):
        v.parse("TLT = 3,5% +- 5%", semantics="evidence")
    with pytest.raises(DataError, match=r"not understood\. Forms"):
        v.parse("corr(A1,B2) is 0.3", semantics="constraint")


def test_unknown_names_get_a_guess(forecast):
    with pytest.raises(UnknownLabelError, match=r"unknown asset GOOGL\. Did you mean GOOG\?"):
        forecast.with_views(v.Absolute(asset="GOOGL", mean=0.1, semantics="constraint"))


@pytest.mark.parametrize("given", ["A > B : 0.7", [], 3])
def test_what_is_no_view_is_told(given):
    with pytest.raises(DataError, match=r"is a (str|list|int), not a view\. Give views one by one"):
        check_views([given], ["A", "B"])


def test_people_are_one_however_they_are_written():
    one, two = (v.parse("A = 1%", semantics="constraint", by=x) for x in ("Ann", " Ann "))
    assert one == two
    assert v.parse("A = 1%", semantics="constraint", by=" ").by == ""


@pytest.mark.parametrize(
    ("written", "letter"),
    [("\u0410", "CYRILLIC CAPITAL LETTER A"), ("\uff21", "FULLWIDTH LATIN CAPITAL LETTER A"),
     ("\u0391", "GREEK CAPITAL LETTER ALPHA")],
)  # fmt: skip
def test_a_symbol_that_looks_like_another_is_told_so(written, letter):
    with pytest.raises(UnknownLabelError, match=rf"Did you mean A, which looks the same\? . is {letter}\."):
        check_views([v.parse(f"{written} = 1%", semantics="constraint")], ["A", "B"])


def test_shares_of_nobody():
    view = v.parse("SPY = 1%", semantics="constraint")
    with pytest.raises(UnknownLabelError, match="unknown person Ann: no view says by whom it is"):
        make(1000).with_views(view, shares={"Ann": 0.5})


@pytest.mark.parametrize(
    ("text", "plain"),
    [("AA ≥ 2%", "AA >= 2%"), ("AA - BB ≤ −1%", "AA - BB <= -1%"), ("AA ＝ 2％ ± 5％", "AA = 2% +- 5%"),
     ("P(AA ＜ -5%) = 0.1", "P(AA < -5%) = 0.1"), ("AA ＞ BB ： 70％", "AA > BB : 0.7"),
     ("AA ＋ BB ＝ 2% ＋－ 5%", "AA + BB = 2% +- 5%"), ("0.5 AA － 0.5 BB＝1%", "0.5 AA - 0.5 BB = 1%"),
     ("'A=B'＝2%", "'A=B' = 2%"), ("Disney＋ = 2%", "'Disney＋' = 2%")],
)  # fmt: skip
def test_signs_of_other_keyboards(text, plain):
    one, other = (v.parse(t, semantics="constraint") for t in (text, plain))
    assert one == other


@pytest.mark.parametrize("text", ["AA > 2%", "AA ＞ 2%"])
def test_a_bound_without_an_equals_sign_is_told_how_it_is_written(text):
    with pytest.raises(DataError, match=r"not understood\. A bound is written AA >= 2%\. Forms"):
        v.parse(text, semantics="constraint")


def test_signs_within_quotes_are_a_symbols():
    for symbol in ("A≥B", "A＝B", "A：B", "A＋B", "50％"):
        view = v.parse(f"'{symbol}' ≥ 2%", semantics="constraint")
        assert (view.asset, view.sense) == (symbol, "at_least")


def test_symbols_that_are_numbers_are_told_of_a_probability():
    with pytest.raises(DataError, match=r"has a probability: 0700 > 0005 : 0\.7\. Forms"):
        v.parse("0700 > 0005", semantics="constraint")


def test_a_correlation_is_no_share():
    with pytest.raises(DataError) as error:
        v.parse("corr(AA, BB) = 2", semantics="constraint")
    assert "less than 1, got 2" in str(error.value)
    assert "is meant" not in str(error.value)


def test_what_is_missed_by_rounding_is_told_with_its_digits():
    views = [v.parse(f"{s} = 1%", semantics="constraint") for s in ("SPY", "TLT")]
    both = v.parse("0.49999 SPY + 0.49999 TLT = 1%", semantics="constraint")
    told = r"beside the others: nearly that \(mean 0\.0099998\d* and not 0\.01\)\. So small a gap .* rounded"
    with pytest.raises(InfeasibleViewError, match=told):
        make(1000).with_views(*views, both)
