"""What the volatilities of a book are is said beside them, and the book's own returns stand there too."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import demo
from bdfm.errors import DataError
from bdfm.report.book import BAYESIAN, Request, book_of
from bdfm.report.book_meaning import explanation, meanings, realised
from bdfm.risk import compare, simple_returns


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Prices, two portfolios (one with cash), a market factor and one that has nothing to do with stocks."""
    place = tmp_path_factory.mktemp("meaning")
    prices = demo()[0].loc["2019":"2022-02-04"].iloc[:, :20]
    prices.to_csv(place / "prices.csv")
    rows = [("all", s, 0.05) for s in prices.columns] + [("some", "XOM", 0.6), ("some", "CASH", 0.4)]
    pd.DataFrame(rows, columns=["portfolio", "symbol", "weight"]).to_csv(place / "book.csv", index=False)
    market = prices.pct_change(fill_method=None).iloc[1:].mean(axis=1)
    rate = pd.Series(1e-5, market.index)
    pd.DataFrame({"Mkt-RF": market, "RF": rate}).rename_axis("date").to_csv(place / "market.csv")
    noise = pd.Series(np.random.default_rng(3).normal(0, 0.01, len(market)), market.index)
    pd.DataFrame({"noise": noise}).rename_axis("date").to_csv(place / "noise.csv")
    return place


@pytest.fixture(scope="module")
def request_of(folder):
    return lambda **more: Request(folder / "prices.csv", folder / "book.csv", **more)


@pytest.fixture(scope="module")
def book(request_of, folder):
    return book_of(request_of(factors=folder / "market.csv", horizon=4))


def test_own_returns_are_those_of_the_window_and_of_its_last_quarter(book):
    found = realised(book)
    weekly = simple_returns(demo()[0].loc["2019":"2022-02-04"], period="1w").iloc[-104:]
    whole, some = weekly.iloc[:, :20].mean(axis=1), 0.6 * weekly["XOM"]
    for name, own in {"all": whole, "some": some}.items():
        assert found.loc[name, "window"] == pytest.approx(2 * np.std(own, ddof=1), rel=1e-9)
        assert found.loc[name, "recent"] == pytest.approx(2 * np.std(own.iloc[-26:], ddof=1), rel=1e-9)
        assert (found.loc[name, "n_window"], found.loc[name, "n_recent"]) == (104, 26)


def test_a_gap_of_a_held_asset_leaves_the_period_out(book):
    returns = book.returns.copy()
    returns.loc[returns.index[-1], "XOM"] = np.nan
    found = realised(book._replace(returns=returns))
    assert list(found["n_window"]) == [103, 103]
    assert list(found["n_recent"]) == [25, 25]


def test_of_a_short_window_the_last_thirteen_periods_are_recent(book):
    assert list(realised(book._replace(returns=book.returns.iloc[-40:]))["n_recent"]) == [13, 13]
    assert list(realised(book._replace(returns=book.returns.iloc[-9:]))["n_recent"]) == [9, 9]


def test_each_model_says_of_which_returns_over_which_time_it_speaks(book, request_of):
    said = meanings(book)
    assert said["time-series"] == (
        "average risk of excess returns over 104 periods of 7 days to 2022-02-04, each alike; the variance of"
        " 7 days times 4"
    )
    assert said["statistical"].startswith("average risk of returns over 104 periods")
    other = book._replace(request=replace(book.request, half_life_periods=26.0, horizon=1))
    assert meanings(other)["statistical"].endswith("to 2022-02-04, with a half-life of 26")
    more = {BAYESIAN: book.models["statistical"], "exposures, kalman": book.models["statistical"]}
    said = meanings(book._replace(models=more))
    assert "posterior's own period after 2022-02-04" in said[BAYESIAN]
    assert "halve every 63 days" in said["exposures, kalman"]
    assert "market days of 28 days" in said["exposures, kalman"]


@pytest.mark.parametrize(
    ("length", "horizon", "span"),
    [
        ({}, 4, "28 days"), ({"period": "1d"}, 1, "1 market day"), ({"period": "20d"}, 1, "20 market days"),
        ({"period": "1w"}, 1, "7 days"), ({"period_days": 28}, 1, "28 days"),
        ({"calendar_months": True, "window": 24}, 1, "1 month"),
        ({"period": "1d", "horizon": 5}, 5, "5 market days"),
    ],
)  # fmt: skip
def test_the_horizon_is_that_of_the_period_unless_given(request_of, length, horizon, span):
    found = book_of(request_of(**length))
    assert (found.horizon, found.span) == (horizon, span)
    assert found.models["statistical"].periods == horizon
    one = found.fits.models["statistical"].variance(found.weights)
    np.testing.assert_allclose(found.models["statistical"].variance(found.weights), horizon * one, rtol=1e-12)
    own = found.returns @ found.weights.loc["all"].reindex(found.returns.columns)
    np.testing.assert_allclose(realised(found).loc["all", "window"], np.sqrt(horizon) * own.std(), rtol=1e-12)


def test_monthly_prices_have_a_horizon_of_a_month(folder, tmp_path):
    table = demo()[0].loc["2010":"2021"].iloc[:, :12].resample("ME").last()
    table.to_csv(tmp_path / "monthly.csv")
    found = book_of(Request(tmp_path / "monthly.csv", window=60))
    assert (found.horizon, found.span) == (1, "1 month")


def test_nothing_to_explain_where_models_agree(book):
    assert explanation(book, compare(book.models, book.weights.loc[["all"]])) == ""


def test_a_portfolio_to_which_a_model_gives_no_risk_has_no_ratio(book):
    table = compare(book.models, book.weights.loc[["all"]])
    table.loc[("all", next(iter(book.models))), "volatility"] = 0.0
    assert explanation(book, table) == ""


def test_models_of_one_window_differ_by_what_they_take_for_specific(request_of, folder):
    book = book_of(request_of(factors=folder / "noise.csv"))
    table = compare(book.models, book.weights)
    why = explanation(book, table)
    low, high = (table["volatility"].unstack().loc["all"].agg(f) for f in ("min", "max"))
    assert high / low > 1.3
    assert f"{high / low - 1:.0%}" in why
    assert "take what is left for independent" in why
    assert "of late" not in why
    # as the sentence says: the one that is too low lacks what the book's own returns had
    assert table.loc[("all", "time-series"), "volatility"] < 0.8 * realised(book).loc["all", "window"]


def test_a_model_of_late_volatility_is_held_against_late_returns(book):
    late = book.models["statistical"].scale_to(1)
    both = {"statistical": book.models["statistical"], BAYESIAN: late}
    why = explanation(book._replace(models=both), compare(both, book.weights))
    assert why.startswith(
        "Models differ by up to 100%. statistical average over the window; Bayesian goes by"
    )
    assert "independent" not in why


def test_models_of_the_window_that_agree_are_not_said_to_differ(book):
    late = book.models["statistical"].scale_to(1)
    three = book.models | {BAYESIAN: late}
    why = explanation(book._replace(models=three), compare(three, book.weights.loc[["all"]]))
    assert "average over the window; Bayesian goes by volatility of late" in why
    assert "independent" not in why


def test_a_bad_benchmark_is_named_as_one(request_of, tmp_path):
    path = tmp_path / "index.csv"
    path.write_text("symbol,weight\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^benchmark: .*index\.csv has a header but no rows"):
        book_of(request_of(benchmark=str(path)))
