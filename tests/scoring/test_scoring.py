from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bdfm.errors import DataError, DataWarning, FileError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.forecast.ranks import outcome_quantiles, quantile_probabilities
from bdfm.scoring.m6 import information_ratio, period_returns, read_submission, score_submission
from bdfm.scoring.scores import crps, energy_score, log_score, ranked_probability_score

START, END = "2022-03-04", "2022-04-01"
SYMBOLS = [f"A{i}" for i in range(10)]


@pytest.fixture
def prices(rng):
    days = pd.bdate_range("2022-02-21", "2022-04-08", name="date")
    steps = rng.normal(0.001, 0.02, (len(days), 10))
    return pd.DataFrame(100 * np.exp(steps.cumsum(axis=0)), index=days, columns=SYMBOLS)


@pytest.fixture
def submission(rng):
    f = Forecast.from_draws(
        rng.normal(size=(200, 10)) * 0.05,
        assets=SYMBOLS,
        asset_class=["x"] * 10,
        origin=START,
        end=END,
    )
    return f.to_submission(dict(zip(SYMBOLS, np.linspace(-0.1, 0.1, 10), strict=True)))


# Ranked probability score


def test_equal_fifths_score_016_on_average_and_by_quintile():
    outcome = outcome_quantiles(np.arange(100.0))
    score = ranked_probability_score(np.full((100, 5), 0.2), outcome)
    assert score.mean() == pytest.approx(0.16)
    assert score[[0, 25, 45, 65, 85]] == pytest.approx([0.24, 0.12, 0.08, 0.12, 0.24])


@given(st.integers(2, 9), st.integers(2, 12), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_agrees_with_the_formula_also_where_returns_tie(n_quantiles, n_assets, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_quantiles), n_assets)
    outcome = outcome_quantiles(rng.integers(0, 4, n_assets).astype(float), n_quantiles)
    direct = np.square(np.cumsum(p, axis=1) - np.cumsum(outcome, axis=1)).mean(axis=1)
    np.testing.assert_allclose(ranked_probability_score(p, outcome), direct, atol=1e-14)


def test_a_sure_and_right_forecast_scores_zero(rng):
    outcome = outcome_quantiles(rng.normal(size=10))
    assert ranked_probability_score(outcome, outcome).tolist() == [0.0] * 10


def test_it_is_the_mean_of_four_brier_scores_of_events_at_most_k(rng):
    p, outcome = rng.dirichlet(np.ones(5), 20), outcome_quantiles(rng.normal(size=20))
    brier = [np.square(p[:, :k].sum(axis=1) - outcome[:, :k].sum(axis=1)) for k in range(1, 5)]
    np.testing.assert_allclose(ranked_probability_score(p, outcome), np.mean(brier, axis=0) * 4 / 5)


def test_nobody_expects_less_than_the_truth(rng):
    # Unequal means and scales: a symmetric truth would hide errors of direction.
    draws = rng.normal(np.linspace(-1, 1, 10), np.linspace(0.2, 3, 10), (2000, 10))
    truth = quantile_probabilities(draws)
    expected = {}
    rivals = {"truth": truth, "uniform": np.full((10, 5), 0.2), "reversed": truth[:, ::-1]}
    for share in (-0.2, 0.2):
        rival = np.clip(truth + share * (truth - 0.2), 0, None)
        rivals[f"sharper by {share}"] = rival / rival.sum(axis=1, keepdims=True)
    events = np.cumsum(truth, axis=1)
    for name, p in rivals.items():
        # E (P - 1{event})² = (P - e)² + e (1 - e), summed exactly over the same draws
        expected[name] = (np.square(np.cumsum(p, axis=1) - events) + events * (1 - events)).mean()
    sampled = np.mean([ranked_probability_score(truth, outcome_quantiles(d)).mean() for d in draws[:300]])
    assert min(expected, key=expected.get) == "truth"
    assert sampled == pytest.approx(expected["truth"], abs=4 * 0.05 / np.sqrt(300))


def test_permuting_assets_permutes_the_score(rng):
    p, outcome, order = (
        rng.dirichlet(np.ones(5), 10),
        outcome_quantiles(rng.normal(size=10)),
        rng.permutation(10),
    )
    score = ranked_probability_score(p, outcome)
    assert (ranked_probability_score(p[order], outcome[order]) == score[order]).all()


def test_labelled_inputs_must_agree(rng):
    p = xr.DataArray(
        rng.dirichlet(np.ones(5), 3),
        dims=("asset", "quantile"),
        coords={"asset": ["A", "B", "C"], "quantile": range(1, 6)},
    )
    outcome = p.copy(data=outcome_quantiles([1.0, 2.0, 3.0]))
    score = ranked_probability_score(p, outcome)
    assert (ranked_probability_score(p, outcome.T) == score).all()
    for other in (outcome[::-1], outcome.assign_coords(asset=["A", "B", "D"])):
        with pytest.raises(DataError, match=r"what came is by .* others, or in another order"):
            ranked_probability_score(p, other)
    with pytest.raises(DataError, match=r"shapes \(3, 5\) and \(2, 5\)"):
        ranked_probability_score(p, outcome[:2])


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([[0.5, 0.4, 0.0, 0.0, 0.0]], r"1 of 1 rows of probabilities .* sum 1 \(rows 0\)"),
        ([[1.2, -0.2, 0.0, 0.0, 0.0]], "1 of 1 rows of probabilities"),
        ([[np.nan, 1.0, 0.0, 0.0, 0.0]], "1 of 1 rows of probabilities"),
        ([[0.5, 0.5]], r"shapes \(1, 2\) and \(1, 5\)"),
        ([0.2] * 5, r"shapes \(5,\) and \(1, 5\)"),
    ],
)
def test_rows_that_are_no_probabilities_are_refused(p, message):
    with pytest.raises(DataError, match=message):
        ranked_probability_score(p, [[1.0, 0.0, 0.0, 0.0, 0.0]])


# Other scores


def test_log_score_by_hand():
    """Ties are averaged, and what was never drawn counts as one in ten thousand."""
    p = [[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.5, 0.3, 0.2]]
    outcome = [[0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]]
    expected = [-np.log(0.3), np.log(10_000), -(np.log(0.5) + np.log(0.3)) / 2]
    np.testing.assert_allclose(log_score(p, outcome), expected)


def test_crps_and_energy_score_are_means_over_pairs(rng):
    """Over pairs of different draws, which leaves no bias; the energy score of one asset is its CRPS."""
    draws, came = rng.normal(size=(9, 3)), rng.normal(size=3)
    one, other = np.triu_indices(9, 1)
    expected = np.abs(draws - came).mean(axis=0) - np.abs(draws[one] - draws[other]).mean(axis=0) / 2
    np.testing.assert_allclose(crps(draws, came), expected)
    assert energy_score(draws[:, :1], came[:1], seed=1) == pytest.approx(expected[0])
    # Of nine draws in blocks of four, the last one is not paired.
    order = np.random.default_rng(1).permutation(9)
    gaps = [
        np.linalg.norm(x[:, None] - x[None], axis=2).sum() / 12 for x in draws[order[:8]].reshape(2, 4, 3)
    ]
    by_hand = np.linalg.norm(draws - came, axis=1).mean() - np.mean(gaps) / 2
    assert energy_score(draws, came, seed=1, block=4) == pytest.approx(by_hand)


def test_crps_and_energy_score_count_weights(rng):
    """A draw of weight 2 counts as two would, but for the pair of the two; the loop over pairs says so."""
    draws, came, w = rng.normal(size=(8, 3)), rng.normal(size=3), rng.uniform(0.1, 3, 8)
    w[2] = 0
    one, other = np.triu_indices(8, 1)
    pairs = w[one] * w[other]
    near = w @ np.abs(draws - came) / w.sum()
    expected = near - pairs @ np.abs(draws[one] - draws[other]) / pairs.sum() / 2
    np.testing.assert_allclose(crps(draws, came, weights=w), expected)
    np.testing.assert_allclose(crps(draws, came, weights=7 * w), expected)
    assert not np.allclose(crps(draws, came), expected, atol=0.01)
    assert energy_score(draws[:, :1], came[:1], seed=1, weights=w) == pytest.approx(expected[0])
    gap = np.linalg.norm(draws[one] - draws[other], axis=1)
    joint = w @ np.linalg.norm(draws - came, axis=1) / w.sum() - pairs @ gap / pairs.sum() / 2
    assert energy_score(draws, came, seed=1, weights=w) == pytest.approx(joint)
    without = np.delete(draws, 2, axis=0)
    np.testing.assert_allclose(crps(without, came, weights=np.delete(w, 2)), expected)


@pytest.mark.long  # that of a backtest in tests/backtest/test_walk_forward.py too
def test_crps_is_that_of_scoringrules(rng):
    import scoringrules  # compiles for seconds: in the one process that runs this

    draws, came = rng.standard_t(4, size=(500, 4)), rng.normal(size=4)
    theirs = scoringrules.crps_ensemble(came, draws.T, estimator="pwm", backend="numpy")
    np.testing.assert_allclose(crps(draws, came), theirs, rtol=1e-9)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, 2], "one per draw"), ([-1, 1, 1, 1], "negative"), ([0, 1, 0, 0], "one draw has all the weight")],
)
@pytest.mark.parametrize("score", [crps, lambda *a, **k: energy_score(*a, seed=1, **k)])
def test_weights_of_scores_that_cannot_be_used(score, weights, message):
    with pytest.raises(DataError, match=message):
        score(np.ones((4, 2)), np.ones(2), weights=weights)


# Returns of a period


def test_period_return_compares_two_closes(prices):
    expected = prices.loc[END] / prices.loc[START] - 1
    pd.testing.assert_series_equal(period_returns(prices, START, END), expected, check_names=False)


def test_what_lies_outside_the_two_closes_does_not_matter(prices, rng):
    noisy = prices.copy()
    outside = (noisy.index < START) | (noisy.index > END)
    noisy[outside] = rng.uniform(1, 1e9, (outside.sum(), 10))
    noisy.iloc[-1] = np.nan
    assert (period_returns(noisy, START, END) == period_returns(prices, START, END)).all()
    weights = dict.fromkeys(SYMBOLS, 0.1)
    assert information_ratio(noisy, weights, START, END) == information_ratio(prices, weights, START, END)


def test_prices_are_carried_forward(prices):
    prices.loc["2022-03-10":, "A1"] = np.nan  # stops inside the period
    prices.loc["2022-02-24":, "A2"] = np.nan  # delisted before it
    prices.loc[START, "A3"] = np.nan
    r = period_returns(prices, START, END)
    assert r["A1"] == prices.loc["2022-03-09", "A1"] / prices.loc[START, "A1"] - 1
    assert r["A2"] == 0
    assert r["A3"] == prices.loc[END, "A3"] / prices.loc["2022-03-03", "A3"] - 1


def test_holidays_use_the_close_before(prices):
    r = period_returns(prices.drop(index=pd.to_datetime([START, END])), START, END)
    pd.testing.assert_series_equal(
        r, prices.loc["2022-03-31"] / prices.loc["2022-03-03"] - 1, check_names=False
    )


def test_row_order_time_of_day_and_zone_do_not_matter(prices):
    expected = period_returns(prices, START, END)
    stamped = prices.set_axis(prices.index + pd.Timedelta(hours=16)).tz_localize("America/New_York")
    pd.testing.assert_series_equal(period_returns(stamped.iloc[::-1], START, END), expected)


def test_a_table_that_stops_early_warns(prices):
    with pytest.warns(DataWarning, match="stop on 2022-03-31, before the period's end 2022-04-01"):
        period_returns(prices.loc[:"2022-03-31"], START, END)


@pytest.mark.parametrize(
    ("change", "start", "end", "message"),
    [
        (lambda p: p, END, START, "end 2022-03-04 is not after start 2022-04-01"),
        (lambda p: p, "soon", END, "start: 'soon' is not a date"),
        (
            lambda p: p,
            "2022-02-18",
            END,
            "none in the week up to the period's start 2022-02-18; the next one is of 2022-02-21",
        ),
        (
            lambda p: p,
            START,
            "2022-05-06",
            "the period's end 2022-05-06; the last before it is of 2022-04-08",
        ),
        (lambda p: p.drop(p.loc["2022-02-24":"2022-03-08"].index), START, END, "period's start 2022-03-04"),
        (lambda p: p.iloc[:0], START, END, "there are none"),
        (lambda p: p.assign(A4=p["A4"].where(p.index > START)), START, END, r"1 of 10 assets .* \(A4\)"),
        (lambda p: p.assign(A4=0.0), START, END, r"not positive and finite \(A4 on"),
        (lambda p: p.assign(A4="x"), START, END, "A4.*x"),
        (lambda p: p.reset_index(drop=True), START, END, "no column date, and no days as index"),
        (lambda p: pd.concat([p, p[["A1"]]], axis=1), START, END, r"1 symbol given more than once \(A1\)"),
        (lambda p: pd.concat([p, 2 * p.iloc[:1]]), START, END, "10 given more than once with different"),
    ],
)
def test_prices_that_do_not_cover_the_period_are_refused(prices, change, start, end, message):
    with pytest.raises(DataError, match=message):
        period_returns(change(prices), start, end)


def test_the_longest_holiday_is_four_weekdays(prices):
    """Closed from Tuesday to Friday, the start takes Monday's close; one day more is refused."""
    closed = prices.drop(prices.loc["2022-03-01":START].index)
    expected = prices.loc[END] / prices.loc["2022-02-28"] - 1
    np.testing.assert_allclose(period_returns(closed, START, END), expected)
    with pytest.raises(DataError, match="none in the week up to the period's start"):
        period_returns(closed.drop(pd.Timestamp("2022-02-28")), START, END)


# Information ratio


def test_information_ratio_by_hand():
    days = pd.bdate_range("2022-03-04", periods=4)
    prices = pd.DataFrame({"A": [100, 110, 99, 99], "B": [10, 10, np.nan, 11]}, index=days)
    daily = np.log1p([0.5 * 0.1, 0.5 * -0.1, -0.25 * 0.1])
    expected = daily.sum() / daily.std(ddof=1)
    assert information_ratio(prices, {"A": 0.5, "B": -0.25}, days[0], days[-1]) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [1e-5, 1e-4, 0.01])
def test_what_grows_at_one_rate_has_no_ratio(rate):
    """Its daily returns differ by rounding, of which the ratio was 1e13."""
    days = pd.bdate_range("2022-01-03", periods=21)
    cash = pd.DataFrame({"A": 100 * (1 + rate) ** np.arange(21), "B": 50 * (1 + rate) ** np.arange(21)}, days)
    assert np.isnan(information_ratio(cash, {"A": 0.5, "B": -0.25}, days[0], days[-1]))
    moving = cash.assign(A=cash["A"] * (1 + 1e-9 * np.arange(21) ** 2))  # not by rounding
    assert np.isfinite(information_ratio(moving, {"A": 0.5}, days[0], days[-1]))


def test_information_ratio_does_not_depend_on_units_and_order(prices):
    weights = pd.Series(np.linspace(-0.1, 0.15, 10), SYMBOLS)
    value = information_ratio(prices, weights, START, END)
    assert information_ratio(prices * np.arange(1, 11), weights[::-1], START, END) == pytest.approx(value)


@pytest.mark.parametrize(
    "days",
    [
        ["2024-02-08", "2024-02-19", "2024-02-20"],  # Chinese new year
        ["2024-09-27", "2024-09-30", "2024-10-08"],  # the golden week
        ["2024-09-30", "2024-10-08", "2024-10-09"],
    ],
)
def test_daily_prices_of_a_few_days_with_a_holiday_have_a_ratio(days):
    few = pd.DataFrame({"A": [100, 101, 102.5], "B": [50, 50.2, 49]}, pd.to_datetime(days), dtype=float)
    weights = {"A": 0.5, "B": 0.5}
    alone = information_ratio(few, weights, days[0], days[-1])
    assert np.isfinite(alone)
    before = pd.bdate_range(end=few.index[0] - pd.Timedelta(days=1), periods=40)
    earlier = pd.DataFrame(few.iloc[[0]].to_numpy() * np.ones((40, 1)), before, few.columns)
    assert information_ratio(pd.concat([earlier, few]), weights, days[0], days[-1]) == alone
    # a short period of weekly prices has none, beside others or not
    weekly = pd.date_range(end=few.index[0], periods=40, freq="7D")
    table = pd.DataFrame(100 + np.arange(80.0).reshape(40, 2) ** 0.5, weekly, few.columns)
    for start in (0, 37):
        assert np.isnan(information_ratio(table.iloc[start:], weights, weekly[37], weekly[39]))
    more = table.rename(index={weekly[38]: weekly[37] + pd.Timedelta(days=3)})  # a last day of the month
    assert np.isnan(information_ratio(more, weights, weekly[37], weekly[39]))


def test_weekly_prices_have_no_ratio(prices):
    """A sum over the sd of a week is another figure than one over the sd of a day."""
    days = pd.bdate_range(START, END)
    few = days[[0, 1, 2, -1]]  # a market that is closed for long
    weekly = pd.date_range(START, END, freq="W-FRI")
    weights = {"A1": 1.0}
    assert np.isfinite(information_ratio(prices.loc[few], weights, START, END))
    assert np.isnan(information_ratio(prices.loc[weekly], weights, START, END))


def test_a_constant_portfolio_has_no_ratio(prices):
    assert np.isnan(information_ratio(prices.assign(A1=5.0), {"A1": 1.0}, START, END))


@pytest.mark.parametrize(
    ("weights", "end", "error", "message"),
    [
        ({"B9": 0.5}, END, UnknownLabelError, "information ratio: unknown asset B9"),
        ({"A1": np.nan}, END, DataError, "the weight of A1 must be a finite number"),
        ({"A1": -1e4, "A2": 1e4}, END, DataError, "absolute weights sum to 20000"),
    ],
)
def test_impossible_portfolios_are_refused(prices, weights, end, error, message):
    with pytest.raises(error, match=message):
        information_ratio(prices, weights, START, end)


def test_a_portfolio_that_loses_everything_has_no_ratio(prices):
    fallen = prices.copy()
    fallen.loc[fallen.index[-5] :, "A2"] /= 2
    with pytest.raises(DataError, match="the portfolio loses everything in one day"):
        information_ratio(fallen, {"A2": 3.0}, START, fallen.index[-1])


# Submissions


def test_read_submission_gives_what_was_written(submission, tmp_path):
    submission.to_csv(tmp_path / "s.csv", index=False)
    pd.testing.assert_frame_equal(read_submission(tmp_path / "s.csv", assets=SYMBOLS[::-1]), submission)


def test_symbols_stay_texts(tmp_path):
    row = ",0.2,0.2,0.2,0.2,0.2,0.125\n"
    header = "\ufeffID, Rank1,Rank2,Rank3,Rank4,Rank5,Decision \n"
    (tmp_path / "s.csv").write_text(header + "NA" + row + " TRUE" + row, encoding="utf-8")
    assert read_submission(tmp_path / "s.csv")["ID"].tolist() == ["NA", "TRUE"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.drop(columns="Rank2"), DataError, r"submission s.csv: missing column Rank2"),
        (lambda s: s.iloc[:0], DataError, "no rows"),
        (lambda s: pd.concat([s, s.iloc[:1]]), DataError, r"1 symbol given more than once \(A0\)"),
        (lambda s: s.replace("A3", "A33"), UnknownLabelError, "unknown asset A33. Did you mean A3"),
        (lambda s: s.iloc[1:], DataError, r"1 of 10 assets are missing \(A0\)"),
        (
            lambda s: s.assign(Rank1="much"),
            DataError,
            r"(not finite, in 10 of 10 rows \(A0, A1)|(10 values are not a number \(A0 in row 1)",
        ),
        (lambda s: s.assign(Rank1=np.nan), DataError, "a number is missing or not finite"),
        (
            lambda s: s.assign(Rank1=s["Rank1"] + 0.001),
            DataError,
            "sum to 1 within 0.0001, but to 1.001, in 10 of",
        ),
        (lambda s: s.drop(columns="Decision"), DataError, "no column Decision. .* each asset 0.02500;"),
        (lambda s: s.assign(Decision=0), DataError, "all decisions are 0, and .* give each asset 0.02500"),
        (lambda s: s.assign(**(100 * s.filter(like="Rank"))), DataError, r"\(A0, .* They are in percent"),
        (
            lambda s: s.assign(Rank1=-0.1, Rank2=s["Rank2"] + s["Rank1"] + 0.1),
            DataError,
            r"a probability is not within 0 and 1, in 10 of 10 rows \(A0.*\). Correct them",
        ),
        (
            lambda s: s.assign(Decision=0.01),
            DataError,
            "absolute decisions sum to 0.10000, expected 0.25 to 1",
        ),
        (lambda s: s.assign(Decision=-0.2), DataError, "absolute decisions sum to 2.00000"),
    ],
)
def test_faulty_submissions_are_refused(submission, tmp_path, change, error, message):
    change(submission).to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(error, match=message):
        read_submission(tmp_path / "s.csv", assets=SYMBOLS)


def test_files_that_are_no_csv_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"gone\.csv does not exist"):
        read_submission(tmp_path / "gone.csv")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81" * 9)
    for name, what in (("empty", "is empty"), ("binary", "has one column")):
        with pytest.raises(FileError, match=rf"{name}\.csv {what}"):
            read_submission(tmp_path / f"{name}.csv")


def test_rounded_sums_are_tolerated(submission):
    rounded = submission.assign(Rank1=submission["Rank1"] + 5e-5, Decision=0.02496)
    assert len(rounded) == 10
    assert rounded["Decision"].sum() < 0.25
    with pytest.warns(DataWarning, match="they stop on"):
        score_submission(rounded, pd.DataFrame(1.0, pd.bdate_range(START, "2022-03-31"), SYMBOLS), START, END)


# Scores


def test_score_joins_by_symbol(submission, prices):
    score = score_submission(submission, prices, START, END)
    shuffled = score_submission(submission.iloc[::-1], prices[SYMBOLS[5:] + SYMBOLS[:5]], START, END)
    assert shuffled.rps == pytest.approx(score.rps)
    assert shuffled.ir == pytest.approx(score.ir)
    pd.testing.assert_frame_equal(shuffled.by_asset.loc[SYMBOLS], score.by_asset)


@pytest.mark.parametrize(("n", "expected"), [(25, 0.16), (23, 0.153)])
def test_a_score_says_what_equal_fifths_get(n, expected):
    """Less than 0.16 where the number of assets is no multiple of five: an asset can lie in two fifths."""
    symbols = [f"A{k}" for k in range(n)]
    closes = pd.DataFrame(100.0, pd.bdate_range("2022-03-04", "2022-04-01"), symbols)
    closes.iloc[1:] += np.random.default_rng(4).standard_normal((len(closes) - 1, n)).cumsum(axis=0)
    fifths = pd.DataFrame({f"Rank{k}": 0.2 for k in range(1, 6)}, index=range(n))
    table = pd.concat([pd.DataFrame({"ID": symbols}), fifths], axis=1).assign(Decision=0.5 / n)
    score = score_submission(table, closes, "2022-03-04", "2022-04-01")
    assert score.rps == pytest.approx(score.equal_rps)
    assert score.equal_rps == pytest.approx(expected, abs=1e-3)
    # by hand: an asset's share of each fifth is that of its position on a line cut in five
    edges = np.linspace(0, n, 6)
    place = np.arange(n)[:, None]
    share = np.clip(np.minimum(place + 1, edges[1:]) - np.maximum(place, edges[:-1]), 0, None)
    hand = ((np.arange(1, 6) / 5 - share.cumsum(axis=1)) ** 2).sum(axis=1) / 5
    assert score.equal_rps == pytest.approx(hand.mean())


def test_score_holds_its_parts(submission, prices):
    score = score_submission(submission, prices, START, END)
    table = score.by_asset
    assert table.columns.tolist() == ["return", "quantile", "rps", "decision"]
    assert table["rps"].mean() == score.rps
    pd.testing.assert_series_equal(table["return"], period_returns(prices, START, END), check_names=False)
    assert sorted(table["quantile"]) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert table["quantile"].idxmax() in table["return"].nlargest(2).index
    assert score.ir == pytest.approx(information_ratio(prices, table["decision"], START, END), rel=1e-12)
    assert (score.start, score.end) == (pd.Timestamp(START), pd.Timestamp(END))
    assert repr(score).startswith("<Score 2022-03-04 to 2022-04-01: RPS 0.")
    table["return"] = 9.0
    assert score.by_asset.loc["A0", "return"] != 9
    with pytest.raises(AttributeError):
        score.rps = 0


def test_all_submitted_assets_need_prices_and_all_prices_a_row(submission, prices):
    with pytest.raises(UnknownLabelError, match="submission: unknown asset A9"):
        score_submission(submission, prices.drop(columns="A9"), START, END)
    with pytest.raises(DataError, match=r"1 of 10 assets are missing \(A9\). All are ranked together"):
        score_submission(submission.iloc[:9].assign(Decision=0.1), prices, START, END)


@pytest.mark.shared_data
def test_official_scores_are_reproduced(m6_dir):
    folder = m6_dir / "scoring_example"
    official = json.loads((folder / "official.json").read_text())
    long = pd.read_csv(folder / "prices.csv", parse_dates=["date"])
    prices = long.pivot(index="date", columns="symbol", values="price")
    submission = read_submission(folder / "submission.csv", assets=list(prices.columns))
    assert len(submission) == 100
    window = official["window_start"], official["window_end"]
    score = score_submission(submission, prices, *window)
    assert round(score.rps, 5) == official["official_rps"] == 0.15158
    assert round(score.ir, 5) == official["official_ir"] == 4.06932
    uniform = submission.assign(**{f"Rank{k}": 0.2 for k in range(1, 6)})
    assert score_submission(uniform, prices, *window).rps == pytest.approx(official["official_rps_uniform"])


def test_a_submission_and_prices_may_be_files(submission, prices, tmp_path):
    submission.to_csv(tmp_path / "submission.csv", index=False)
    prices.to_csv(tmp_path / "prices.csv")
    whole = score_submission(submission, prices, START, END)
    for kind in (str, lambda path: path):
        files = [kind(tmp_path / f"{name}.csv") for name in ("submission", "prices")]
        assert score_submission(*files, START, END).rps == whole.rps
        assert score_submission(*files, START, END).ir == pytest.approx(whole.ir)
    with pytest.raises(FileError, match="the path is blank"):
        score_submission("", prices, START, END)
    with pytest.raises(FileError, match="does not exist"):
        score_submission(submission, tmp_path / "gone.csv", START, END)
