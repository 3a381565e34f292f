import gzip
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from bdfm.data.sources import DEMO_ORIGIN, demo, read_earnings, read_prices, read_universe, yahoo
from bdfm.errors import DataError, FileError, MissingDependencyError

WIDE = "date,AA,NA\n2020-01-03,1.5,\n2020-01-02,1.25,30\n"
LONG = "Date,Symbol,Close,Adj Close\n2020-01-03,AA,9,1.5\n2020-01-02,NA,9,30\n2020-01-02,AA,9,1.25\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture
def expected():
    index = pd.DatetimeIndex(["2020-01-02", "2020-01-03"], name="date")
    return pd.DataFrame({"AA": [1.25, 1.5], "NA": [30, np.nan]}, index=index)


def check(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_index_type=False, check_column_type=False)
    assert found.dtypes.eq(float).all()
    assert isinstance(found.index, pd.DatetimeIndex)


# Prices


@pytest.mark.parametrize(
    "text",
    [
        WIDE,
        LONG,
        "\ufeff" + WIDE,
        WIDE.replace("\n", "\r\n"),
        WIDE.replace("date,", ","),
        WIDE.replace("date,", '"DATE",').replace("AA", " AA "),
        WIDE.replace("2020-01-03", "2020-01-03 00:00:00-05:00"),
        WIDE.replace("1.5,", "1.5,NA"),
        WIDE.replace("1.5,", "1.5, "),
        LONG.replace("Close,Adj Close", "note,price"),
        LONG.replace("Close,Adj Close", "price,adjusted_close"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_csv_forms_are_one(write, expected, text, packed):
    path = write(
        gzip.compress(text.encode()) if packed else text, "prices.csv.gz" if packed else "prices.csv"
    )
    check(read_prices(path), expected)
    check(read_prices(str(path)), expected)


@pytest.mark.parametrize(
    "form", ["index", "unnamed index", "column", "text dates", "dates", "long", "long index"]
)
def test_parquet_forms_are_one(tmp_path, expected, form):
    table = expected.iloc[::-1]
    long = table.stack().rename_axis(["date", "symbol"]).rename("close")
    table = {
        "index": table,
        "unnamed index": table.rename_axis(None),
        "column": table.reset_index(names="Date"),
        "text dates": table.set_axis(table.index.strftime("%Y-%m-%d")),
        "dates": table.reset_index().assign(date=[d.date() for d in table.index]),
        "long": long.reset_index(),
        "long index": long.to_frame(),
    }[form]
    table.to_parquet(tmp_path / "prices.parquet")
    check(read_prices(tmp_path / "prices.parquet"), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,AA,BB\n2020-01-02,1,abc\n", r"prices: 1 value is not a number \(BB on 2020-01-02: 'abc'\)"),
        ("date,AA,BB\n2020-01-02,x,y\n", r"2 values are not a number \(AA on 2020-01-02: 'x', BB on"),
        ('date,AA,BB\n2020-01-02,1,"1,00.5"\n', r"BB on 2020-01-02: '1,00\.5'"),
        ("date,symbol,price\n2020-01-02,AA,abc\n", r"1 value is not a number \(AA on 2020-01-02: 'abc'\)"),
        ("date,AA,AA\n2020-01-02,1,2\n", r"prices: 1 column given more than once \(AA\)"),
        (
            "date,AA,BB\n2020-01-02,1,2\n2020-01-02,1,2.5\n",
            r"prices: 1 given more than once with different values \(BB on 2020-01-02: 2 and 2\.5\)",
        ),
        (
            "date,symbol,price\n2020-01-02,AA,1\n2020-01-02,BB,1\n2020-01-02,AA,3\n",
            r"prices: 1 given more than once with different values \(AA on 2020-01-02: 1 and 3\)",
        ),
        ("date,symbol,price\n2020-01-02,,1\n", "prices: no symbol in row 1"),
        (
            "date,symbol,volume\n2020-01-02,AA,1\n",
            "columns date and symbol, but none of adjusted_close, adj_close",
        ),
        ("when,AA,BB\nnever,1,2\n", "has no column date; found when, AA, BB"),
        ("date,AA,\n2020-01-02,1,2\n", "no name for column 3"),
        (
            "date,AA\n2020-01-02,1\n2020-01-03,1\n01/02/2020,1\n",
            r"more than one form: '01/02/2020' in row 3, where others are like '2020-01-02'",
        ),
        ("date,AA\n2020-02-30,1\n", "first '2020-02-30' in row 1"),
        ("date,AA\n,1\n", "first '' in row 1"),
        ("date,AA\n", "has a header but no rows"),
    ],
)
def test_prices_that_cannot_be_used(write, text, message):
    with pytest.raises(DataError, match=message):
        read_prices(write(text))


@pytest.mark.parametrize("reader", [read_prices, read_universe, read_earnings])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty inside its packing"),
        (gzip.compress(WIDE.encode() * 50, mtime=0)[:-12], "is cut off or damaged"),
        (gzip.compress(WIDE.encode() * 50, mtime=0)[:40], "is cut off or damaged"),
        (gzip.compress(WIDE.encode(), mtime=0)[:12] + b"xxxxxxxxxxxxxxxxxxxxxxx", "is cut off or damaged"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00", r"is a picture \(PNG\)"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is cut off or damaged"),
        (b"<!DOCTYPE html>\n<html>\n", "is a web page, not a table"),
        (b"date,AA\n2020-01-02,1\n2020-01-03,1,2,3\n", "has 4 cells in row 3, where the header has 2"),
        (b"date,AA\n2020-01-02,1,2\n", "has 3 cells in row 2, where the header has 2"),
        (b'date,AA\n"2020-01-02,1\n', "has a quote without its partner"),
        (b"PAR1" + b"x" * 50, "is cut off or damaged"),
    ],
)
def test_files_that_are_no_tables(write, reader, content, message):
    path = write(content)
    with pytest.raises(FileError, match=message) as error:
        reader(path)
    assert str(path) in str(error.value)


def test_truncated_parquet(tmp_path, expected):
    path = tmp_path / "prices.parquet"
    expected.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(FileError, match=r"prices\.parquet is cut off or damaged"):
        read_prices(path)


@pytest.mark.parametrize("reader", [read_prices, read_universe, read_earnings])
def test_missing_files_and_folders(tmp_path, reader):
    with pytest.raises(FileError, match=r"nowhere\.csv does not exist"):
        reader(tmp_path / "nowhere.csv")
    with pytest.raises(FileError, match="is a folder"):
        reader(tmp_path)


# Universe and earnings


def test_universe(write):
    text = "Symbol,Asset_Class,name,group\nNA, stock ,Nano,IT\nAA,stock,,\n"
    found = read_universe(write(text))
    assert found.symbol.tolist() == ["NA", "AA"]
    assert found.asset_class.tolist() == ["stock", "stock"]
    assert found.name.tolist() == ["Nano", "AA"]
    assert found.group.tolist() == ["IT", ""]
    with pytest.raises(DataError, match=r"universe: 1 of 2 assets have no class \(AA\)"):
        read_universe(write("symbol,asset_class\nNA,stock\nAA,\n"))
    with pytest.raises(DataError, match="universe: missing column asset_class; found symbol, colour"):
        read_universe(write("symbol,colour\nNA,red\n"))
    with pytest.raises(DataError, match=r"universe: 1 symbol given more than once \(AA\)"):
        read_universe(write("symbol,asset_class\nAA,stock\nAA,bond\n"))


def test_earnings(write):
    found = read_earnings(write("symbol,date,session\nTRUE,2020-01-02,pre\n12,2020-01-03T16:30,post\n"))
    assert found.symbol.tolist() == ["TRUE", "12"]
    assert_array_equal(found.date, pd.to_datetime(["2020-01-02", "2020-01-03"]))
    assert found.session.tolist() == ["pre", "post"]
    with pytest.raises(DataError, match=r"earnings: 1 of 1 dates cannot be read, first 'soon'"):
        read_earnings(write("symbol,date\nAA,soon\n"))


# Demo


def test_demo_is_real_and_needs_nothing():
    prices, universe = demo()
    assert prices.shape == (2264, 25)
    assert prices.index[[0, -1]].strftime("%Y-%m-%d").tolist() == ["2014-01-02", "2022-12-28"]
    assert prices.notna().all(axis=None)
    assert universe.symbol.tolist() == prices.columns.tolist()
    assert universe.asset_class.value_counts().to_dict() == {"stock": 20, "equity_etf": 5}
    assert (universe.name != universe.symbol).all()
    fridays = prices.index[prices.index.day_of_week == 4]
    assert fridays[-1] == DEMO_ORIGIN


def test_demo_is_that_of_skfolio():
    found = find_spec("skfolio")  # imported, it takes six seconds
    if found is None or not found.submodule_search_locations:
        pytest.skip("skfolio is not installed")
    folder = Path(found.submodule_search_locations[0]) / "datasets" / "data"
    stocks, factors = (
        pd.read_csv(folder / f"{x}_dataset.csv.gz", index_col=0, parse_dates=True)
        for x in ("sp500", "factors")
    )
    expected = stocks.join(factors, how="inner")
    assert expected.shape == (2264, 25)
    prices, _ = demo()
    pd.testing.assert_frame_equal(prices, expected, check_names=False, check_index_type=False, rtol=0, atol=0)


# Yahoo


@pytest.fixture
def fake_yahoo(monkeypatch):
    """Stand-in for yfinance with the answer, or the error, that a test sets."""
    module = types.ModuleType("yfinance")
    module.answer, module.calls = None, []

    def download(tickers, **kwargs):
        module.calls.append((tickers, kwargs))
        if isinstance(module.answer, Exception):
            raise module.answer
        return module.answer

    module.download = download
    monkeypatch.setitem(sys.modules, "yfinance", module)
    return module


def answer(closes):
    table = pd.concat({"Close": closes, "Volume": 0 * closes}, axis=1, names=["Price", "Ticker"])
    return table.set_axis(pd.DatetimeIndex(["2020-01-02", "2020-01-03", "2020-01-06"], name="Date"))


def test_yahoo_returns_adjusted_closes(fake_yahoo):
    closes = pd.DataFrame({"BB": [np.nan, 2, np.nan], "BRK-B": [3.0, 4, np.nan]})
    fake_yahoo.answer = answer(closes)
    found = yahoo(["brk-b", "BB"], "2020-01-01", "2020-01-06")
    assert found.columns.tolist() == ["brk-b", "BB"]
    assert found.index.name == "date"
    assert_array_equal(found.index, pd.to_datetime(["2020-01-02", "2020-01-03"]))
    assert_array_equal(found, [[3, np.nan], [4, 2]])
    ((symbols, options),) = fake_yahoo.calls
    assert symbols == ["brk-b", "BB"]
    assert (options["start"], options["end"], options["auto_adjust"]) == ("2020-01-01", "2020-01-07", True)


def test_yahoo_without_an_answer(fake_yahoo):
    empty = pd.DataFrame(columns=pd.MultiIndex.from_product([["Close", "Open"], ["AA", "BB"]]))
    for fake_yahoo.answer in (None, pd.DataFrame(), empty):
        with pytest.raises(
            DataError, match=r"no prices came back for any of 2 symbols \(AA, BB\)\. Check the network"
        ):
            yahoo(["AA", "BB"], "2020-01-01", "2020-01-06")
    fake_yahoo.answer = ConnectionError("could not resolve host")
    with pytest.raises(
        DataError, match=r"yahoo: the download failed \(could not resolve host\)\. Check the network"
    ):
        yahoo(["AA", "BB"], "2020-01-01", "2020-01-06")


def test_yahoo_names_symbols_without_prices(fake_yahoo):
    fake_yahoo.answer = answer(pd.DataFrame({"AA": [1.0, 2, 3], "BB": [np.nan] * 3}))
    with pytest.raises(
        DataError, match=r"no prices for 2 of 3 symbols \(BB, CC\) from 2020-01-01 to 2020-01-06"
    ):
        yahoo(["AA", "BB", "CC"], "2020-01-01", "2020-01-06")


def test_yahoo_checks_what_it_is_asked(fake_yahoo):
    with pytest.raises(DataError, match="yahoo: no symbols given"):
        yahoo([], "2020-01-01", "2020-01-06")
    with pytest.raises(DataError, match="1 symbol given more than once"):
        yahoo(["AA", "AA"], "2020-01-01", "2020-01-06")
    with pytest.raises(DataError, match="start 2020-01-07 is after end 2020-01-06"):
        yahoo(["AA"], "2020-01-07", "2020-01-06")
    with pytest.raises(DataError, match="yahoo start: 'x' is not a date"):
        yahoo(["AA"], "x", "2020-01-06")
    assert fake_yahoo.calls == []


def test_yahoo_without_yfinance(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(
        MissingDependencyError, match=r"yahoo: needs yfinance, which is not installed\. .*bdfm\[yahoo\]"
    ):
        yahoo(["AA"], "2020-01-01", "2020-01-06")


@pytest.mark.parametrize("second", ["date,B,A", "date,C,D", "Date,Close,Open"])
def test_two_files_joined_under_another_header_are_refused(second, tmp_path):
    """Numbers below it would be taken for those of the columns above."""
    path = tmp_path / "p.csv"
    rows = "\n".join(f"2020-01-{d:02},{d},{2 * d}" for d in range(1, 6))
    later = "\n".join(f"2020-02-{d:02},{2 * d},{d}" for d in range(1, 6))
    path.write_text(f"date,A,B\n{rows}\n{second}\n{later}\n")
    with pytest.raises(FileError, match="there is another header"):
        read_prices(path)
    path.write_text(f"date,A,B\n{rows}\ndate,A,B\n{later}\n")
    assert len(read_prices(path)) == 10  # the same again
    path.write_text(f"date,A,B\n,USD,EUR\n{rows}\n{later}\n,all in USD,\n")
    assert len(read_prices(path)) == 10  # notes above and below the numbers
