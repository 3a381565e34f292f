"""A stress test of several models and portfolios: each figure against a hand calculation, a real book too."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bdfm.data.sources import read_prices
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.forecast import Forecast
from bdfm.report.book import Book
from bdfm.report.stress import stress_of_book
from bdfm.risk import RiskModel, StatisticalEstimator, TimeSeriesEstimator, simple_returns
from bdfm.risk.inputs import check_one_day
from bdfm.risk.replays import replay, replay_held
from bdfm.risk.returns import compounded
from bdfm.risk.scenario_texts import parse_shock, parse_window
from bdfm.risk.stress_tests import Scenarios, implied_factor_returns, stress_test

B = np.array([[1.0, 0.5], [0.8, -0.3], [1.4, 0.1]])
F = np.array([[0.04, 0.012], [0.012, 0.02]])
D = np.array([0.01, 0.02, 0.03])
BOOK = pd.DataFrame({"A": [0.5, 1.0], "B": [0.2, 0.0], "C": [-0.1, 0.0]}, index=["mixed", "one"])
SIGMA = B @ F @ B.T + np.diag(D)


@pytest.fixture
def model():
    return RiskModel.from_arrays(B, F, D, assets=list("ABC"), factors=["market", "size"])


@pytest.fixture
def history(rng):
    days = pd.bdate_range("2020-02-24", "2020-04-10")
    return pd.DataFrame(rng.normal(0, 0.02, (len(days), 3)), days, list("ABC"))


WINDOW = {"crash": ("2020-03-02", "2020-03-31")}


def test_own_returns_are_compounded(history):
    found = replay_held(history, BOOK, windows=WINDOW)
    part = history.loc["2020-03-02":"2020-03-31"]
    value = (1 + part @ BOOK.loc["mixed"]).cumprod()
    row = found.loc[("crash", "mixed")]
    assert row["return"] == pytest.approx(value.iloc[-1] - 1)
    assert row["drawdown"] == pytest.approx((value / value.cummax().clip(lower=1) - 1).min())
    assert row["n_periods"] == 22
    gap = history.copy()
    gap.loc["2020-03-10", "C"] = np.nan
    assert replay_held(gap, BOOK.loc[["one"]], windows=WINDOW).loc[("crash", "one"), "n_periods"] == 22
    with pytest.raises(DataError, match=r"gaps: C.*lack crash"):
        replay_held(gap, BOOK, windows=WINDOW)
    with pytest.raises(DataError, match="lack crash"):
        replay_held(history.loc["2020-03-16":], BOOK, windows=WINDOW)  # half of the window is no window


def test_factor_returns_that_assets_imply(model, history):
    """Weighted least squares by the normal equations; a missing asset is left out of its day."""
    history.iloc[3, 1] = np.nan
    found = implied_factor_returns(model, history)
    for t, use in ((0, [0, 1, 2]), (3, [0, 2])):
        x, w = B[use], np.diag(1 / D[use])
        by_hand = np.linalg.solve(x.T @ w @ x, x.T @ w @ history.to_numpy()[t, use])
        np.testing.assert_allclose(found.iloc[t], by_hand)
    history.iloc[4, :2] = np.nan
    assert implied_factor_returns(model, history).iloc[4].isna().all()


def test_each_table_by_hand(model, history):
    asked = Scenarios(
        windows=WINDOW,
        shocks=[({"market": -0.2}, frozenset()), ({"size": -2.0}, frozenset(["size"]))],
        factor_volatility=2.0,
        specific_volatility=2.0,
        correlation=0.5,
        loss=0.15,
    )
    found = stress_test({"m": model}, BOOK, scenarios=asked, returns=history)
    w = BOOK.loc["mixed"].to_numpy()
    f = implied_factor_returns(model, history).loc["2020-03-02":"2020-03-31"].to_numpy()
    assert found.replay.loc[("crash", "mixed", "m"), "return"] == pytest.approx(np.prod(1 + f @ B.T @ w) - 1)
    own = replay_held(history, BOOK, windows=WINDOW)
    assert found.replay.loc[("crash", "one", "own returns"), "return"] == pytest.approx(
        own.loc[("crash", "one"), "return"]
    )
    market = found.shocks.loc[("market -20 %", "mixed", "m"), "return"]
    assert market == pytest.approx(w @ B @ [-0.2, -0.2 * 0.012 / 0.04])
    size = -2 * np.sqrt(0.02)
    two = found.shocks.loc[("size -2 sd", "mixed", "m"), "return"]
    assert two == pytest.approx(w @ B @ [size * 0.012 / 0.02, size])
    sd = np.sqrt(np.diag(SIGMA))
    shocks = found.risk.xs("mixed", level="portfolio").xs("m", level="model")["shocked"]
    half = (SIGMA + np.outer(sd, sd)) / 2
    expected = [2 * np.sqrt(w @ SIGMA @ w), np.sqrt(w @ half @ w), 2 * np.sqrt(w @ half @ w)]
    np.testing.assert_allclose(shocks, expected)
    assert list(shocks.index)[-1] == "both"
    var = found.risk.loc[("both", "mixed", "m"), "value_at_risk"]
    assert var == pytest.approx(1.6448536 * expected[2])
    row = found.reverse.loc[("mixed", "m")]
    assert row["distance"] == pytest.approx(0.15 / np.sqrt(w @ SIGMA @ w))
    assert row["probability"] == pytest.approx(stats.norm.sf(row["distance"]))
    moves = found.reverse_assets["move"].sort_index()["mixed", "m"]
    np.testing.assert_allclose(moves, -0.15 * SIGMA @ w / (w @ SIGMA @ w))
    assert found.left_out == ()
    assert "rows of replay" in repr(found)
    assert len(found.plot().axes) == 4
    assert set(found.tables) == {"replay", "shocks", "risk", "reverse", "reverse_factors", "reverse_assets"}


def test_usual_scenarios_and_what_is_left_out(model, history):
    found = stress_test({"m": model}, BOOK, returns=history)
    assert set(found.replay.index.get_level_values("window")) == {"COVID-19, March 2020"}
    assert [x.split(",")[0] for x in found.left_out] == ["Lehman", "rates"]
    assert list(dict.fromkeys(found.shocks.index.get_level_values("shock"))) == ["market -2 sd", "size -2 sd"]
    alone = stress_test({"m": model}, BOOK, scenarios=Scenarios(others_move=False))
    assert alone.shocks.loc[("market -2 sd", "one", "m"), "return"] == pytest.approx(-2 * 0.2)
    assert alone.replay.empty
    assert len(alone.plot().axes) == 3


def test_a_forecast_adds_its_draws_that_lose(model, rng):
    draws = rng.multivariate_normal(np.zeros(3), SIGMA / 9, 20_000)
    forecast = Forecast.from_draws(
        draws, assets=list("ABC"), asset_class=["x"] * 3, origin="2022-02-04", end="2022-03-04"
    )
    found = stress_test({"m": model}, BOOK, scenarios=Scenarios(loss=0.1), forecast=forecast)
    r = draws @ BOOK.loc["mixed"]
    tail = r <= -0.1
    own = found.forecast.loc["mixed"]
    np.testing.assert_allclose(own["given_loss"], draws[tail].mean(axis=0), rtol=1e-4)
    assert own["probability"].iloc[0] == pytest.approx(tail.mean(), rel=1e-6)
    for day, days in (("2022-02-04", 0), ("2022-02-07", 1), ("2022-02-01", 3)):
        dated = RiskModel.from_arrays(
            model.exposures, model.factor_covariance, model.specific_variance, assets=model.assets,
            factors=model.factors, origin=day,
        )  # fmt: skip
        if not days:
            assert len(stress_test({"m": dated}, BOOK, forecast=forecast).forecast)
            continue
        with pytest.raises(
            DataError, match=f"made on {forecast.origin:%Y-%m-%d}, and the other models use.*{day}"
        ):
            stress_test({"m": dated}, BOOK, forecast=forecast)
    never = stress_test({"m": model}, BOOK, scenarios=Scenarios(loss=0.9), forecast=forecast)
    assert never.forecast.empty
    assert len([x for x in never.left_out if "forecast" in x]) == 2


def test_what_cannot_be_asked(model, history):
    with pytest.raises(DataError, match="no model"):
        stress_test({}, BOOK)
    with pytest.raises(UnknownLabelError, match="oil"):
        stress_test({"m": model}, BOOK, scenarios=Scenarios(shocks=[({"oil": 0.1}, frozenset())]))
    other = RiskModel.from_arrays(B[:, :1], F[:1, :1], D, assets=list("ABC"), factors=["PC1"])
    mixed = Scenarios(shocks=[({"market": 0.1, "PC1": 0.1}, frozenset())])
    with pytest.raises(DataError, match="no model has all of market, PC1"):
        stress_test({"m": model, "o": other}, BOOK, scenarios=mixed)
    with pytest.raises(DataError, match="lack old"):
        stress_test(
            {"m": model},
            BOOK,
            scenarios=Scenarios(windows={"old": ("1999-01-01", "1999-02-01")}),
            returns=history,
        )
    with pytest.raises(DataError, match="loss"):
        stress_test({"m": model}, BOOK, scenarios=Scenarios(loss=0))


def test_texts_of_scenarios():
    assert parse_shock("Mkt-RF=-10%, HML = 2 sd") == ({"Mkt-RF": -0.1, "HML": 2.0}, frozenset({"HML"}))
    assert parse_shock("SMB = -.05") == ({"SMB": -0.05}, frozenset())
    name, (first, last) = parse_window("Lehman = 2008-09-01 .. 2008-09-30")
    assert (name, first, last) == ("Lehman", pd.Timestamp("2008-09-01"), pd.Timestamp("2008-09-30"))
    assert parse_window("2020-03-01..2020-03-31")[0] == "2020-03-01 to 2020-03-31"
    for text, message in (
        ("Mkt-RF", "not understood"),
        ("Mkt-RF=-10", "-1000%"),
        ("A=1%,A=2%", "named twice"),
    ):
        with pytest.raises(DataError, match=message):
            parse_shock(text)
    for text, message in (("2020", "not understood"), ("2020-03-31..2020-03-01", "ends before it begins")):
        with pytest.raises(DataError, match=message):
            parse_window(text)


# -- a real book ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data):
    """Four stocks and a bond fund of M6 with French's factors, weekly, up to 2022-02-04."""
    prices = read_prices(shared_data("m6") / "prices.csv.gz")[["AMZN", "XOM", "PG", "DG", "IEF"]]
    prices = prices.loc["2005":]
    french = pd.read_csv(shared_data("french") / "ff3_daily.csv", index_col="date", parse_dates=True) / 100
    returns = simple_returns(prices, period="1w", accept=None).iloc[-104:]
    weekly = compounded(french, pd.DatetimeIndex(returns.index), accept=None)
    models = {
        "time-series": TimeSeriesEstimator(weekly.drop(columns="RF"), risk_free=weekly["RF"]).fit(returns),
        "statistical": StatisticalEstimator(2, standardise=True).fit(returns),
    }
    book = pd.Series({"AMZN": 0.25, "XOM": 0.3, "PG": 0.25, "DG": -0.1, "IEF": 0.3})
    return prices, french, returns, weekly, models, book


def test_stress_of_a_real_book_against_numpy_alone(real):
    prices, french, returns, weekly, models, book = real
    daily = prices.pct_change(fill_method=None).iloc[1:]
    asked = Scenarios(shocks=[({"Mkt-RF": -0.1}, frozenset())], loss=0.1)
    found = stress_test(
        {k: m.scale_to(4) for k, m in models.items()},
        book,
        scenarios=asked,
        returns=daily,
        factor_returns=french.drop(columns="RF"),
    )
    w = book.to_numpy()
    # History: least squares of the last 104 weeks, then the days of March 2020, by numpy.
    f = weekly.drop(columns="RF").to_numpy()
    x = np.column_stack([np.ones(len(f)), f])
    y = returns[list(book.index)].to_numpy() - weekly[["RF"]].to_numpy()
    beta = np.linalg.lstsq(x, y, rcond=None)[0][1:]
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    march = french.loc["2020-03-01":"2020-03-31"].drop(columns="RF").to_numpy()
    replayed = np.prod(1 + march @ beta @ w) - 1
    row = found.replay.loc[("COVID-19, March 2020", "portfolio", "time-series")]
    assert row["return"] == pytest.approx(replayed, rel=1e-9)
    held = np.prod(1 + daily.loc["2020-03-01":"2020-03-31", list(book.index)].to_numpy() @ w) - 1
    own = found.replay.loc[("COVID-19, March 2020", "portfolio", "own returns"), "return"]
    assert own == pytest.approx(held, rel=1e-9)
    assert abs(replayed - held) < 0.06  # the book fell in March 2020, and by about as much as its factors say
    assert held < -0.03
    # Shock: the market falls by 10 %, SMB and HML by their slopes on it.
    slope = np.cov(f.T)[:, 0] / f[:, 0].var(ddof=1)
    shock = found.shocks.loc[("Mkt-RF -10 %", "portfolio", "time-series"), "return"]
    assert shock == pytest.approx(-0.1 * slope @ beta @ w, rel=1e-9)
    # Reverse: of the full covariance, over four weeks.
    d = np.square(residual).sum(axis=0) / (len(f) - 4)
    sigma = 4 * (beta.T @ np.cov(f.T) @ beta + np.diag(d))
    sd = np.sqrt(w @ sigma @ w)
    assert found.reverse.loc[("portfolio", "time-series"), "distance"] == pytest.approx(0.1 / sd, rel=1e-9)
    moves = found.reverse_assets["move"].sort_index()["portfolio", "time-series"][list(book.index)]
    np.testing.assert_allclose(moves, -0.1 * sigma @ w / sd**2, rtol=1e-9)
    assert w @ moves == pytest.approx(-0.1)
    assert json.dumps(found.scenarios.loss)


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (
            "2000-03-01",
            "2000-03-31",
            r"the returns \(2022-01-03 to 2022-03-25\) lack w \(2000-03-01 to 2000-03-31",
        ),
        ("2022-03-01", "2022-04-30", r"in whole or in part\. It ends after the last of them"),
        ("1990-03-01", "1990-04-30", r"in whole or in part\. Give a longer table"),
        ("2022-02-05", "2022-02-06", r"have no day from 2022-02-05 to 2022-02-06 \(w\)"),
    ],
)
def test_windows_that_returns_do_not_have_are_told_with_the_days_there_are(model, rng, first, last, words):
    days = pd.bdate_range("2022-01-03", periods=60)
    returns = pd.DataFrame(rng.normal(0, 0.01, (60, 3)), days, list("ABC"))
    asked = Scenarios(windows={"w": (first, last)})
    with pytest.raises(DataError, match=words):
        stress_test({"m": model}, BOOK, scenarios=asked, returns=returns)


def test_correlations_to_0_and_1_are_named(model):
    for share, name in ((0.5, "correlation 50% of the way to 1"), (-1.0, "correlation 100% of the way to 0")):
        found = stress_test({"m": model}, BOOK, scenarios=Scenarios(correlation=share)).risk
        assert name in found.index.get_level_values("shock")


def test_a_day_between_weekly_prices_is_near_or_far():
    """No price lies between, but five days do."""
    weeks = pd.date_range("2022-01-07", periods=6, freq="7D")
    for made, far in (("2022-01-11", False), ("2022-01-12", True)):
        if not far:
            check_one_day(pd.Timestamp(made), weeks[0], weeks, where="x", what="forecast")
            continue
        with pytest.raises(
            DataError, match=r"x: its forecast was made on 2022-01-12.*Pass --origin 2022-01-12"
        ):
            check_one_day(pd.Timestamp(made), weeks[0], weeks, where="x", what="forecast")
    with pytest.raises(DataError, match="Give the forecast of a day of the prices"):
        check_one_day(pd.Timestamp("2021-12-01"), weeks[0], weeks, where="x", what="forecast")


def test_assets_of_a_model_without_returns_are_left_out_unless_held(history):
    """A posterior has assets that ended or began lately; the returns of a book may lack them."""
    model = StatisticalEstimator(1).fit(history)
    asked = Scenarios(windows=WINDOW)
    book = pd.DataFrame({"A": [0.5], "B": [0.5]}, ["two"])
    found = stress_test({"posterior": model}, book, scenarios=asked, returns=history[["A", "B"]])
    near = history.assign(C=np.nan)
    by_hand = replay(model, implied_factor_returns(model, near), book, windows=WINDOW)
    row = found.replay.loc[("crash", "two", "posterior")]
    assert row["return"] == pytest.approx(by_hand["return"].iloc[0])
    assert np.isfinite(row["return"])
    told = "what its factors did in past windows is implied by 2 of its 3 assets; the returns lack C."
    assert found.left_out == (f"posterior: {told}",)
    whole = stress_test({"posterior": model}, book, scenarios=asked, returns=history.assign(C=np.nan))
    assert not whole.left_out  # of which the table says that it has no returns
    with pytest.raises(UnknownLabelError, match="returns: unknown asset B"):
        stress_test({"posterior": model}, book, scenarios=asked, returns=history[["A", "C"]])


def test_factors_are_not_implied_by_hardly_more_assets_than_there_are(model, history):
    two, asked = pd.DataFrame({"A": [0.5], "B": [0.5]}, ["two"]), Scenarios(windows=WINDOW)
    with pytest.raises(DataError, match=r"2 assets .* too few for what its 2 factors did: 3 at least"):
        stress_test({"posterior": model}, two, scenarios=asked, returns=history[["A", "B"]])


def test_a_book_replays_by_all_assets_of_its_prices(history):
    """C is too young for the other models, and so not among the book's returns; the posterior has it."""
    model = StatisticalEstimator(1).fit(history)
    prices = (1 + history).cumprod()
    first = prices.iloc[:1] / (1 + history.iloc[0])
    prices = pd.concat([first.set_axis(first.index - pd.offsets.BDay(1)), prices])
    two, none = pd.DataFrame({"A": [0.5], "B": [0.5]}, ["two"]), dict.fromkeys(Book._fields)
    made = {"models": {"posterior": model}, "returns": history[["A", "B"]], "weights": two, "prices": prices}
    found = stress_of_book(Book(**none | made), Scenarios(windows=WINDOW))
    implied = implied_factor_returns(model, history)
    by_hand = replay(model, implied, two, windows=WINDOW)
    row = found.replay.loc[("crash", "two", "posterior")]
    assert row["return"] == pytest.approx(by_hand["return"].iloc[0])
    assert not found.left_out
