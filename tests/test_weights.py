"""Weights in percent, and amounts, are refused at every door that takes weights; leverage is not."""

import numpy as np
import pandas as pd
import pytest

from bdfm import Forecast, information_ratio, portfolio_risk, risk, views
from bdfm.data.doubts.door import examine
from bdfm.data.doubts.tables import Tables
from bdfm.errors import DataError, DataWarning, RenamedWarning
from bdfm.risk.from_files import read_portfolios
from bdfm.validation import tail_of_model, walk_forward

ASSETS = ("A", "B", "C")
DAYS = pd.bdate_range("2021-01-01", periods=120)


@pytest.fixture(scope="module")
def forecast():
    draws = np.random.default_rng(1).normal(0, 0.05, (2000, 3))
    return Forecast.from_draws(
        draws, assets=ASSETS, asset_class=["x"] * 3, origin="2022-01-07", end="2022-02-04"
    )


@pytest.fixture(scope="module")
def model():
    return risk.RiskModel.from_arrays(
        np.ones((3, 1)), [[0.01]], [0.01] * 3, assets=list(ASSETS), factors=["f"], kind="given"
    )


@pytest.fixture(scope="module")
def returns():
    values = np.random.default_rng(2).normal(0, 0.01, (len(DAYS), 3))
    return pd.DataFrame(values, DAYS, list(ASSETS))


def of_a_file(weights, tmp_path):
    file = tmp_path / "book.csv"
    pd.Series(weights, name="weight").rename_axis("symbol").to_csv(file)
    return read_portfolios(file, ASSETS)


def view(form, weights):
    terms = " ".join(f"{'-' if w < 0 else '+'} {abs(w)} {s}" for s, w in weights.items()).removeprefix("+ ")
    return views.parse(form.format(terms), semantics="constraint")


DOORS = {
    "portfolio_risk": lambda w, at: portfolio_risk(at.forecast, w),
    "forecast_given_loss": lambda w, at: risk.forecast_given_loss(at.forecast, w, 0.01),
    "volatility": lambda w, at: at.model.volatility(w),
    "decompose": lambda w, at: at.model.decompose(w),
    "volatilities of a table": lambda w, at: at.model.volatility(pd.DataFrame([w], ["book"])),
    "beta_to": lambda w, at: at.model.beta_to(w),
    "reverse_stress": lambda w, at: risk.reverse_stress(at.model, w, 0.1),
    "replay_held": lambda w, at: risk.replay_held(at.returns, w, windows={"x": (DAYS[5], DAYS[30])}),
    "tail_of_model": lambda w, at: tail_of_model(risk.StatisticalEstimator(1), at.returns, w, start=118),
    "information_ratio": lambda w, at: information_ratio(at.prices, at.held(w), DAYS[0], DAYS[30]),
    "read_portfolios": lambda w, at: of_a_file(w, at.folder),
    "a view": lambda w, at: view("{} = 1%", w),
    "a view on a tail": lambda w, at: view("VaR({}, 95%) = 8%", w),
}


class At:
    """What doors need besides weights."""

    def __init__(self, forecast, model, returns, folder):
        self.forecast, self.model, self.returns, self.folder = forecast, model, returns, folder
        self.prices = 100 * (1 + returns).cumprod()

    @staticmethod
    def held(weights):
        return {s: w for s, w in weights.items() if s in ASSETS}


@pytest.fixture
def at(forecast, model, returns, tmp_path):
    return At(forecast, model, returns, tmp_path)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"A": 60.0, "B": 40.0}, "weights.* sum to 100. Weights are shares.*Divide them by 100"),
        ({"A": 6.0, "B": 4.5}, r"weights.* sum to 10\.5"),
        ({"A": 60.0, "B": -60.0}, "absolute weights.* sum to 120"),
        ({"A": 2000.0, "B": -1999.0}, "absolute weights.* sum to 3999"),
    ],
)
def test_percent_and_amounts_are_refused(door, weights, told, at):
    with pytest.raises(DataError, match=told):
        DOORS[door](weights, at)


@pytest.mark.filterwarnings("ignore:.*absolute weights of")  # what a file is told of leverage
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("weights", [{"A": 6.0, "B": 4.0}, {"A": 24.0, "B": -23.0}, {"A": -0.4, "C": 0.1}])
def test_leverage_is_taken(door, weights, at):
    DOORS[door](weights, at)


@pytest.mark.filterwarnings("ignore:.*absolute weights of")
@pytest.mark.parametrize("door", ["portfolio_risk", "volatility", "read_portfolios"])
def test_borrowed_cash_counts_for_the_net_exposure(door, at):
    DOORS[door]({"A": 26.0, "CASH": -25.0}, at)
    with pytest.raises(DataError, match="sum to 100"):
        DOORS[door]({"A": 5.0, "CASH": 95.0}, at)


def test_one_book_of_several_is_named(model, tmp_path):
    books = pd.DataFrame({"A": [0.5, 50.0], "B": [0.5, 50.0]}, ["small", "large"])
    with pytest.raises(DataError, match="weights of large sum to 100"):
        model.volatility(books)
    (found,) = examine(Tables(portfolio=books))
    assert (found.rule, found.severity, found.labels) == ("portfolio", "refuse", ("large",))


def wide(n):
    """A risk model of many assets."""
    names = [f"N{i}" for i in range(n)]
    return risk.RiskModel.from_arrays(
        np.ones((n, 1)), [[0.01]], [0.01] * n, assets=names, factors=["f"], kind="given"
    )


@pytest.mark.parametrize("n", [50, 60, 400])
def test_many_long_against_many_short_is_no_percent(n, tmp_path):
    """Risk is linear in the weights, so that 1 and -1 of each asset are everyday use."""
    model = wide(n)
    one = pd.Series(np.where(np.arange(n) % 2, -1.0, 1.0), list(model.assets))
    scaled = model.volatility(one / n)
    assert model.volatility(one) == pytest.approx(n * scaled)
    assert model.volatility(pd.DataFrame([one])).item() == pytest.approx(n * scaled)
    assert risk.reverse_stress(model, one.to_dict(), 0.1) is not None
    one.rename("weight").rename_axis("symbol").to_csv(tmp_path / "book.csv")
    with pytest.warns(DataWarning, match=f"absolute weights of book sum to {n}"):
        read = risk.read_portfolios(tmp_path / "book.csv", list(model.assets))
    assert np.abs(read.to_numpy()).sum() == n
    one.iloc[0] += 0.01  # one weight beyond 1, and it may be percent
    with pytest.raises(DataError, match="absolute weights sum to"):
        model.volatility(one)


def test_a_net_exposure_needs_no_large_weight():
    model = wide(20)
    with pytest.raises(DataError, match="weights sum to 20"):
        model.volatility(dict.fromkeys(model.assets, 1.0))
    assert model.volatility(dict.fromkeys(model.assets, 0.5)) > 0  # a net exposure of 10


@pytest.mark.parametrize("bad", ["a lot", None, np.nan, np.inf])
@pytest.mark.parametrize("column", ["A", "CASH"])
def test_what_is_no_number_in_a_table_is_named(bad, column, model, returns):
    table = pd.DataFrame(
        {"A": [0.5, 60.0], "B": [0.5, 40.0], "CASH": [0.0, 0.0]}, ["small", "large"], dtype=object
    )
    table.loc["large", column] = bad
    with pytest.raises(DataError, match=f"weights: not finite for {column}. Give a number"):
        model.volatility(table)
    if column == "A":
        with pytest.raises(DataError, match="portfolios: not finite for A"):
            walk_forward(risk.StatisticalEstimator(1), returns, start=100, portfolios=table[["A", "B"]])


def test_one_rule_refuses_a_file(tmp_path):
    """What is refused of a file is what ``bdfm check`` finds: the file is read where nothing is asked."""
    (tmp_path / "book.csv").write_text("symbol,weight\nA,60\nB,40\n")
    read = read_portfolios(tmp_path / "book.csv", ASSETS, accept=None)
    (found,) = examine(Tables(portfolio=read))
    with pytest.raises(DataError, match=r"portfolio: weights of book sum to 100.*\[portfolio\]") as refused:
        read_portfolios(tmp_path / "book.csv", ASSETS)
    assert found.seen in str(refused.value)


def test_assets_of_a_file_have_their_old_name(tmp_path):
    (tmp_path / "book.csv").write_text("symbol,weight\nA,0.6\nB,0.4\n")
    with pytest.warns(RenamedWarning, match="read_portfolios: symbols is called assets now") as told:
        found = risk.read_portfolios(tmp_path / "book.csv", symbols=ASSETS)
    assert told[0].filename == __file__
    pd.testing.assert_frame_equal(found, read_portfolios(tmp_path / "book.csv", assets=ASSETS))
