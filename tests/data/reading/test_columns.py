"""Which columns are prices of which assets: currencies in names, parts of dates, and what is left out."""

import warnings

import numpy as np
import pandas as pd
import pytest

from bdfm import _checks, _doubles, _tables, risk
from bdfm._reading import counted
from bdfm.data.sources import read_prices
from bdfm.errors import DataError, DataWarning

DAYS = pd.bdate_range("2022-01-03", periods=40)


def frame(columns):
    values = 60.0 + np.sin(np.arange(40 * len(columns)).reshape(40, -1) ** 2)
    return pd.DataFrame(values, DAYS, columns)


def from_file(table, tmp_path, index=True):
    """Prices that a file gives, and its notes."""
    table.to_csv(tmp_path / "p.csv", index=index, index_label="date" if index else None)
    found = read_prices(tmp_path / "p.csv")
    return found, found.attrs["reading"].get("notes", [])


def told(given):
    """Prices of a table given in Python, and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _tables.prices_frame(given)
    assert all(w.category is DataWarning and w.filename == __file__ for w in caught)
    return found, [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "names",
    [
        ["World", "World Value EUR", "US"],
        ["World Value EUR", "US Value EUR", "Japan Value EUR"],
        ["MSCI World Value EUR", "MSCI World Value USD"],
        ["Green", "Green Climate Change EUR"],
        ["A", "A Share Price GBP", "A NAV USD"],
    ],
)
def test_a_fund_whose_name_ends_as_a_price_and_its_currency_is_an_asset(names, tmp_path):
    """They became columns of another asset, which were left out or took its name."""
    table = frame(names)
    for found, notes in (from_file(table, tmp_path), told(table)):
        assert list(found) == names
        assert not notes
        np.testing.assert_allclose(found, table)
    assert list(risk.simple_returns(table)) == names


@pytest.mark.parametrize(
    ("names", "assets"),
    [
        (["World", "World Value", "US"], ["World", "World Value", "US"]),
        (["World", "World Value", "US", "US Value"], ["World", "World Value", "US", "US Value"]),
        (["World Value", "US Value"], ["World", "US"]),  # each has one price: nothing is lost
        (["World", "World Close", "US"], ["World", "US"]),  # a price, that no fund is called by
    ],
)
def test_a_fund_called_value_beside_its_market(names, assets, tmp_path):
    """It was the value of its market, and left out."""
    table = frame(names)
    for found, _ in (from_file(table, tmp_path), told(table)):
        assert list(found) == assets


@pytest.mark.parametrize(
    "field", ["Close EUR", "Adj Close EUR", "Kurs EUR", "Value (EUR)", "NAV in EUR", "Cours en EUR"]
)
def test_a_currency_that_is_no_name_is_that_of_a_price(field, tmp_path):
    table = frame([f"{s} {field}" for s in ("World", "US")])
    for found, notes in (from_file(table, tmp_path), told(table)):
        assert list(found) == ["World", "US"]
        assert not notes


@pytest.mark.parametrize(
    "columns",
    [
        ["Fund A NAV (EUR)", "Fund B NAV (USD)"],
        pd.MultiIndex.from_tuples([("NAV (EUR)", "Fund A"), ("NAV ($)", "Fund B")]),
    ],
)
def test_currencies_that_differ_between_symbols_are_told(columns, tmp_path):
    text = "prices in 2 currencies (Fund A in EUR, Fund B in USD), taken as they are"
    found, notes = told(frame(columns))
    assert list(found) == ["Fund A", "Fund B"]
    assert notes == [f"prices: {text}."]
    if not isinstance(columns, pd.MultiIndex):
        assert text in from_file(frame(columns), tmp_path)[1]


def test_one_currency_in_two_spellings_is_one():
    assert told(frame(["A Close (EUR)", "B Close (€)"]))[1] == []


def test_columns_left_out_are_named(tmp_path):
    table = frame(["A", "A Volume", "B"])
    found, notes = told(table)
    assert list(found) == ["A", "B"]
    assert notes == ["prices: 1 other column of these symbols left out (A Volume)."]
    assert notes[0][8:-1] in from_file(table, tmp_path)[1]


def test_the_price_without_a_currency_is_taken_before_others(tmp_path):
    """Its exact name says enough, in every shape, wherever it stands."""
    for heads in (["Close (EUR)", "Close", "Close (USD)"], ["Close", "Close (EUR)"]):
        table = frame(heads)
        found, notes = from_file(table, tmp_path)
        np.testing.assert_allclose(found["p"], table["Close"])
        assert any("left out beside Close" in n for n in notes)
        found, notes = told(table.assign(symbol="A").rename_axis("date").reset_index())
        np.testing.assert_allclose(found["A"], table["Close"])
        assert any("left out beside Close" in n for n in notes)
        levels = frame(pd.MultiIndex.from_product([heads, ["A", "B"]]))
        found, notes = told(levels)
        np.testing.assert_allclose(found, levels["Close"])
        assert any("left out beside Close" in n for n in notes)
        pairs = frame([f"{s} {h}" for s in "AB" for h in heads])
        found, notes = told(pairs)
        np.testing.assert_allclose(found, pairs[["A Close", "B Close"]])
        assert any("A Close (EUR)" in n for n in notes)


def test_one_price_in_two_currencies_of_two_levels():
    """It had been "2 columns given more than once", of which there are none."""
    table = frame(pd.MultiIndex.from_product([["Close (USD)", "Close (EUR)"], ["A", "B"]]))
    with pytest.raises(DataError, match=r"more than one currency \(A Close \(USD\), A Close \(EUR\)\)"):
        _tables.prices_frame(table)


@pytest.mark.parametrize(
    "parts",
    [
        {"month": DAYS.month, "day": DAYS.day, "time": DAYS},
        {"day": DAYS.day_of_week + 1, "timestamp": DAYS},
        {"day": DAYS.day_name(), "timestamp": DAYS},
        {"weekday": DAYS.day_name().str[:3], "timestamp": DAYS},
        {"date": DAYS, "year": DAYS.year, "month": DAYS.year * 100 + DAYS.month},
        {"date": DAYS, "as_of": DAYS.strftime("%Y%m%d").astype(int)},
        {"date": DAYS, "as_of": 20220101},
        {"date": DAYS, "trade date": DAYS},
        {"date": DAYS, "period": DAYS.quarter},
    ],
)
def test_parts_of_the_date_are_no_assets(parts, tmp_path):
    """The month and the day of each row had become prices."""
    table = pd.DataFrame({**parts, **frame(["A", "B"]).reset_index(drop=True)})
    shown = table.set_index("date" if "date" in parts else list(parts)[-1])
    cases = [from_file(table, tmp_path, index=False), told(table), told(shown)]
    for found, notes in cases:
        assert list(found) == ["A", "B"]
        assert list(found.index) == list(DAYS)
        assert any("dates or parts of them" in n for n in notes)


@pytest.mark.parametrize("days", ["date", "timestamp"])
def test_a_ticker_called_as_a_date_beside_named_days(days, tmp_path):
    """DAY is Dayforce: its prices are no days of a month."""
    table = frame(["AAPL", "DAY", "DATA"]).rename_axis(days).reset_index()
    for found, notes in (from_file(table, tmp_path, index=False), told(table)):
        assert list(found) == ["AAPL", "DAY", "DATA"]
        assert not notes


def test_a_price_that_happens_to_be_a_month_is_no_day(tmp_path):
    """A ticker DAY at 1 in January; two rows, as in a short file."""
    table = pd.DataFrame({"DAY": 1, "TIME": 2.0, "A": 3.0}, DAYS[:2].rename("date"))
    for found, notes in (from_file(table, tmp_path), told(table)):
        assert list(found) == ["DAY", "TIME", "A"]
        assert not notes


def test_days_given_in_parts_are_told_of_tables_as_of_files(tmp_path):
    whole = frame(["A", "B"])
    table = pd.concat([whole.iloc[:-1], whole.iloc[[-1]][["A"]], whole.iloc[[-1]][["B"]]])
    found, notes = from_file(table, tmp_path)
    assert "1 day given in parts put together" in notes
    with pytest.warns(DataWarning, match="^x: 1 day given in parts put together.$"):
        again = _doubles.once_a_day(table, where="x")
    np.testing.assert_allclose(again, found)


def test_rows_given_twice_of_a_long_table_are_told():
    long = pd.DataFrame({"date": DAYS, "symbol": "A", "close": frame(["A"])["A"].to_numpy()})
    _, notes = told(pd.concat([long, long.iloc[:2]]))
    assert notes == ["prices: 2 rows given twice left out."]


def test_returns_name_the_day_of_a_bad_value_after_rows_given_twice():
    """The label had come from the table before its rows were put together."""
    table = frame(["A", "B"]) / 6000
    table.iloc[20, 1] = np.inf
    double = pd.concat([table.iloc[:5], table]).sort_index()
    with (
        pytest.warns(DataWarning, match="5 rows given twice"),
        pytest.raises(DataError, match=f"B on {DAYS[20]:%Y-%m-%d}"),
    ):
        risk.returns.returns_table(double, where="x")


def test_compounding_calls_itself_so_of_rows_given_twice():
    table = (frame(["A"]) - 60) / 100
    with pytest.warns(DataWarning, match="^compounding: 1 row given twice"):
        risk.compounded(pd.concat([table.iloc[:1], table]), DAYS[[19, 39]])


def test_two_levels_of_columns_are_called_so():
    """The column symbol does not come twice in them."""
    table = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_product([["symbol"], ["a", "b"]]))
    with pytest.raises(DataError, match=r"x: columns have 2 levels, first \('symbol', 'a'\)"):
        _checks.has_columns(table, ["symbol"], where="x")


def test_counted():
    assert counted(2.0, "row") == counted(np.float64(2), "row") == "2 rows"
    assert counted(1.0, "analysis") == "1 analysis"
    assert counted(3, "analysis of a fit") == "3 analyses of a fit"
    assert [counted(2, n)[2:] for n in ("axis", "series", "series of returns", "basis", "bus", "day")] == [
        *("axes", "series", "series of returns", "bases", "buses", "days")
    ]
    for bad in (2.5, float("nan")):
        with pytest.raises(TypeError, match="whole number of row"):
            counted(bad, "row")
