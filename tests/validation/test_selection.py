"""Factor selection tells lines, curves and clouds apart, and says how sure the choice is."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from bdfm import validation
from bdfm.errors import DataError, UnknownLabelError
from bdfm.validation import published, select_factors
from bdfm.validation.forward import forward
from bdfm.validation.selection import curve_p_values

T, N = 360, 8


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(5)
    months = pd.date_range("1990-01-31", periods=T, freq="ME")
    x = pd.DataFrame(rng.normal(0, 0.04, (T, 4)), months, ["market", "size", "curve", "cloud"])
    x["twin"] = x["market"] + rng.normal(0, 0.006, T)
    bent = x["curve"].abs() - x["curve"].abs().mean()
    y = np.outer(x["market"], np.linspace(0.6, 1.4, N)) + np.outer(x["size"], np.linspace(-0.8, 0.9, N))
    y += np.outer(bent, np.full(N, 1.2)) + rng.normal(0, 0.02, (T, N))
    return x, pd.DataFrame(y, months, [f"A{i}" for i in range(N)])


@pytest.fixture(scope="module")
def selection(world):
    x, y = world
    return select_factors(y, x, kinds={"size": "sorted portfolio"}, n_bootstrap=15, seed=1)


def test_responses_are_told_apart(selection):
    assert selection.factors["response"].to_dict() == {
        "market": "line", "size": "line", "curve": "curve", "cloud": "cloud", "twin": "line",
    }  # fmt: skip
    assert (selection.pairs.loc["curve", "response"] == "curve").all()
    assert (selection.pairs.loc["cloud", "response"] == "cloud").all()


def test_choice_and_its_noise(selection):
    assert set(selection.chosen) == {"market", "size"}
    assert selection.path["factor"].iloc[0] == "market"
    assert selection.factors.loc["size", "frequency"] == 1
    assert selection.factors.loc["market", "frequency"] >= 0.9
    assert selection.factors.loc["cloud", "frequency"] <= 0.2
    assert selection.factors["chosen"].sum() == 2
    low, high = np.quantile(selection.bootstrap_r_squared, [0.05, 0.95])
    reached = selection.path["r_squared"].iloc[1]
    assert low - 0.05 < reached < high + 0.05
    assert "curve respond along a curve" in selection.conclusion
    assert "variance inflation above 10" in selection.conclusion


def test_figures_of_a_factor(world, selection):
    x, y = world
    assert selection.factors.loc["market", "variance_inflation"] > 10
    assert selection.factors.loc["size", "kind"] == "sorted portfolio"
    assert selection.factors.loc["cloud", "kind"] == "given"
    alone = sm.OLS(y["A3"], sm.add_constant(x["size"])).fit().rsquared
    assert selection.pairs.loc[("size", "A3"), "alone"] == pytest.approx(alone)
    full = sm.OLS(y["A3"], sm.add_constant(x)).fit().rsquared
    less = sm.OLS(y["A3"], sm.add_constant(x.drop(columns="size"))).fit().rsquared
    assert selection.pairs.loc[("size", "A3"), "marginal"] == pytest.approx(full - less)
    assert selection.factors.loc["market", "alone"] > 10 * selection.factors.loc["market", "marginal"]
    assert selection.factors.loc["size", "significant"] >= N - 3


def test_equal_seeds_give_equal_choices(world):
    x, y = world
    one, two = (select_factors(y, x[["market", "cloud"]], n_bootstrap=5, seed=9) for _ in range(2))
    pd.testing.assert_frame_equal(one.factors, two.factors)


def test_without_bootstrap_samples_no_share_is_told(world):
    """It was 0 % of them, and no conclusion."""
    x, y = world
    found = select_factors(y, x[["market", "cloud"]], n_bootstrap=0, seed=1)
    assert found.factors["frequency"].isna().all()
    assert "no bootstrap samples: how sure that is, is not known" in found.conclusion
    assert "0 %" not in found.conclusion
    assert "Chosen: market" in found._repr_html_()
    assert len(found.plot().axes) == 2


def test_a_fold_does_not_know_the_periods_beside_it(world):
    x, y = (table.to_numpy() for table in world)
    folds = np.array_split(np.arange(len(y)), 3)
    fold = folds[1]

    def losses(turned: list[int]) -> np.ndarray:
        """Losses in the fold, with the returns of some periods turned round."""
        other = y.copy()
        other[turned] *= -1.0
        return forward(x[:, :1], other, ["one"], 0, folds)[1][1, fold]

    np.testing.assert_array_equal(losses([fold[0] - 1, fold[-1] + 1]), losses([]))
    assert not np.array_equal(losses([fold[0] - 2]), losses([]))  # these it knows
    assert not np.array_equal(losses([fold[-1] + 2]), losses([]))


def test_components_are_candidates(world):
    _, y = world
    found = select_factors(y, n_components=5, n_bootstrap=3, seed=1)
    assert set(found.factors["kind"]) == {"component"}
    # Market, size, and the bend, which moves all assets much as the market does; the others are noise.
    assert found.chosen[0] == "PC1"
    assert len(found.chosen) in (2, 3)
    assert found.factors["variance_inflation"].max() == pytest.approx(1, abs=1e-6)


def test_curve_test_keeps_its_size():
    rng = np.random.default_rng(8)
    x = rng.standard_normal(300)
    y = 0.5 * x[:, None] + rng.standard_normal((300, 400))
    assert 0.02 < (curve_p_values(x, y) < 0.05).mean() < 0.09
    # Heavy tails and more noise at large moves, where plain White errors reject 30 %.
    x = rng.standard_t(5, 300)
    y = 0.5 * x[:, None] + (1 + 0.5 * np.abs(x[:, None])) * rng.standard_normal((300, 400))
    assert (curve_p_values(x, y) < 0.05).mean() < 0.15
    assert (curve_p_values(x, y + 0.5 * np.abs(x[:, None])) < 0.05).mean() > 0.5


def test_publication_lag():
    quarters = pd.Series(
        [1.0, 2.0, 4.0], pd.to_datetime(["2020-03-31", "2020-06-30", "2020-09-30"]), name="gdp"
    )
    ends = pd.date_range("2020-04-30", "2020-11-30", freq="ME")
    level = published(quarters, ends, lag_days=30, change=False)
    # 30 days after 2020-06-30 is 2020-07-30; after 2020-09-30 it is 2020-10-30.
    np.testing.assert_array_equal(level, [1, 1, 1, 2, 2, 2, 4, 4])
    np.testing.assert_array_equal(published(quarters, ends, lag_days=30)[1:], [0, 0, 1, 0, 0, 2, 0])
    later = quarters.copy()
    later.iloc[2] = 99.0
    pd.testing.assert_series_equal(level[:6], published(later, ends, lag_days=30, change=False)[:6])
    with pytest.raises(DataError, match="nothing was published by 2020-04-30"):
        published(quarters, ends, lag_days=60)


def test_unusable_input(world):
    x, y = world
    with pytest.raises(DataError, match="no candidates"):
        select_factors(y, seed=1)
    with pytest.raises(DataError, match="different periods"):
        select_factors(y, x.iloc[1:], seed=1)
    with pytest.raises(DataError, match=r"candidates have gaps \(size\)"):
        select_factors(y, x.assign(size=x["size"].where(x["size"] > -0.1)), seed=1)
    with pytest.raises(DataError, match="too few"):
        select_factors(y.iloc[:40], x.iloc[:40], seed=1)
    with pytest.raises(UnknownLabelError, match="unknown candidate sice"):
        select_factors(y, x[["size"]], kinds={"sice": "sorted"}, n_bootstrap=1, seed=1)


def test_presentation(selection):
    assert "market" in repr(selection)
    assert "Chosen" in selection._repr_html_()
    selection.plot().draw_without_rendering()
    selection.plot_responses().draw_without_rendering()
    with pytest.raises(UnknownLabelError, match="unknown factor"):
        selection.plot_responses(factors=["x"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r, f: (r, f.assign(L=0.0)), "candidates of L never move"),
        (lambda r, f: (r, f.assign(L=0.01)), "candidates of L never move"),
        (lambda r, f: (r, f.assign(RF=0.0)), "candidates of RF never move"),
        (lambda r, f: (r.assign(A=0.0), f), "returns of A never move"),
        (
            lambda r, f: (r, f.assign(L=f["a"])),
            "candidates: a, L are linearly dependent.*Leave one of them out",
        ),
        (lambda r, f: (r, f.assign(L=-100 * f["a"])), "candidates: a, L are linearly dependent"),
        (lambda r, f: (r, f.assign(L=f["a"] - f["b"])), "candidates: a, b, L are linearly dependent"),
    ],
)
def test_what_cannot_be_chosen_among_is_refused_by_name(change, told):
    rng = np.random.default_rng(5)
    days = pd.bdate_range("2019-01-04", periods=90, freq="W-FRI")
    factors = pd.DataFrame(rng.normal(0, 0.02, (90, 2)), days, ["a", "b"])
    returns = pd.DataFrame(rng.normal(0, 0.02, (90, 4)), days, list("ABCD")).add(factors["a"], axis=0)
    returns, candidates = change(returns, factors)
    with pytest.raises(DataError, match=told):
        validation.select_factors(returns, candidates, n_bootstrap=0, seed=1)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n_folds": 1}, "n_folds must be a whole number of at least 2, got 1"),
        ({"n_components": 5}, "5 components of 4 assets"),
        ({"n_components": -1}, "n_components must be a whole number of at least 0"),
        ({"n_bootstrap": -1}, "n_bootstrap must be a whole number of at least 0"),
    ],
)
def test_numbers_of_the_choice_that_cannot_be(given, told):
    rng = np.random.default_rng(5)
    days = pd.bdate_range("2019-01-04", periods=90, freq="W-FRI")
    returns = pd.DataFrame(rng.normal(0, 0.02, (90, 4)), days, list("ABCD"))
    factors = returns[["A"]].add(rng.normal(0, 0.02, (90, 1)))
    with pytest.raises(DataError, match=told):
        validation.select_factors(
            returns, factors.set_axis(["f"], axis=1), **{"n_bootstrap": 0, "seed": 1} | given
        )
