"""Files that are refused, each with its message and never with a traceback; and what is said of others."""

import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest

import bdfm._optional
from bdfm.data.sources import (
    read_aliases,
    read_earnings,
    read_prices,
    read_records,
    read_returns,
    read_universe,
    told,
)
from bdfm.errors import BdfmError, DataError, FileError, MissingDependencyError

from .forms import clean, parquet, text, yahoo, zipped

WIDE = "date,AA,BB\n2022-01-03,1.5,2\n2022-01-04,1.25,3\n"


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


def two_in_a_zip():
    import io

    to = io.BytesIO()
    with zipfile.ZipFile(to, "w") as archive:
        archive.writestr("a.csv", WIDE)
        archive.writestr("b.csv", WIDE)
    return to.getvalue()


READERS = [
    read_prices,
    read_universe,
    read_earnings,
    read_returns,
    read_aliases,
    lambda path: read_records(path, what="weights", columns={"symbol": (), "weight": ()}, numbers=["weight"]),
]


NO_TABLES = [
    (b"", "is empty"),
    (b"\0" * 5000, "is empty"),
    (WIDE.encode() + b"\0\0\0", "bytes that are no text"),
    (bytes(range(256)) * 20, "bytes that are no text"),
    (np.random.default_rng(1).bytes(4000), "bytes that are no text|is cut off"),
    (two_in_a_zip(), r"holds 2 files \(a\.csv, b\.csv\)"),
    (zipped(WIDE.encode())[:-30], "is cut off or damaged"),
    (zipped(WIDE.encode() * 99)[:60], "is cut off or damaged"),
    (gzip.compress(WIDE.encode() * 99)[:50], "is cut off or damaged"),
    (gzip.compress(gzip.compress(gzip.compress(gzip.compress(WIDE.encode())))), "packed more than twice"),
    (parquet(clean())[:-20], "is cut off or damaged"),
    (b"PAR1" + bytes(300) + b"PAR1", "is cut off or damaged"),
    (b"<html><body>Please log in</body></html>", "is a web page, not a table"),
    (b"\n <!DOCTYPE html><p>x,y", "is a web page"),
    (b'<?xml version="1.0"?><a/>', "is XML"),
    (b'{"date": ["2022-01-03"]}', "is JSON"),
    (b"%PDF-1.7 ...", "is a PDF file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 99, r"an old Excel or Office file \(\.xls\)"),
    (b'date,AA\n"2022-01-03,1\n', "a quote without its partner"),
    (b"x" * 1_000_000, r"\(1000000 characters\)|one column|no rows|header"),
]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("content", "message"), NO_TABLES, ids=[str(k) for k in range(len(NO_TABLES))])
def test_no_table(write, reader, content, message):
    if reader is read_universe and content[:1] == b"x":
        return  # a list of one symbol
    path = write(content)
    with pytest.raises((FileError, DataError), match=message) as error:
        reader(path)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("reader", READERS)
def test_no_file(tmp_path, reader):
    with pytest.raises(FileError, match="is a folder"):
        reader(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        reader(tmp_path / "no")
    with pytest.raises(BdfmError):
        reader(str(tmp_path / "a\0b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("date,AA,BB\n2022-01-03,1,2\n2022-01-04,1,2,3\n", "has 4 cells in row 3, where the header has 3"),
        ("date,AA,BB\n2022-01-03,1,5,2,5\n", "has 5 cells in row 2"),
        (
            "date,AA,BB\n2022-01-03," + "x" * 1_000_000 + ",1\n",
            r"not a number \(AA on 2022-01-03: 'x+'\.\.\. \(1000000",
        ),
        ("x" * 1_000_000 + ",AA\nsoon,1\n", r"has no column date; found x+\.*'?\.\.\. \(1000000"),
        ("date,AA\n" + "x" * 1_000_000 + ",1\n", r"\(1000000 characters\) in row 1"),
        ("date,AA\n2022-01-03,1\n2022-13-03,2\n", "first '2022-13-03' in row 2: there is no such day"),
        (
            "date,AA\n2022-01-03,1\nsoon,2\n2022-01-05,2\n",
            "1 of 3 dates cannot be read, first 'soon' in row 2",
        ),
        ("date,AA\n2022-01-03,1\n,2\n", "first '' in row 2"),
        ("2022-01-03,1\n2022-01-04,2\n", "has no header: its first row is '2022-01-03', '1'"),
        ("date,AA\n2022-01-03,1\n2022-01-03,2\n", r"different values \(AA on 2022-01-03: 1 and 2\)"),
        ("date,AA,BB\n2022-01-03,1,\n2022-01-03,1,2\n2022-01-03,,3\n", r"\(BB on 2022-01-03: 2 and 3\)"),
        ("date,id,close\n2022-01-03,A,1\n2022-01-03,A,2\n", r"different values \(A on 2022-01-03: 1 and 2\)"),
        ("date,ticker,volume\n2022-01-03,A,1\n", "columns date and ticker, but none of"),
        ("date,ticker,close\n2022-01-03,A,1\n2022-01-03,,1\n", "no symbol in row 2"),
        (
            "date;AA\n2022-01-03;1,5\n2022-01-04;2.5\n",
            "decimal marks differ: '2.5' has a point, '1,5' a comma",
        ),
        (
            'date,AA\n2022-01-03,"1,234"\n2022-01-04,"2,345"\n',
            "'1,234' has two meanings, 1234 or 1.234.*--decimal-mark",
        ),
        ("date;AA\n2022-01-03;1.234\n2022-01-04;2.345\n", r"'1\.234' has two meanings"),
        (
            "date;AA\n2022-01-03;1.5%\n2022-01-04;2.5\n",
            r"AA mixes percent and plain numbers \('1\.5%', '2\.5'\)",
        ),
        (
            "date;AA\n2022-01-03;$1.5\n2022-01-04;€2.5\n",
            r"AA has more than one currency \('\$1\.5', '€2\.5'\)",
        ),
        (
            "date,Open,High,Low,Volume\n2022-01-03,1,2,3,4\n",
            r"\(ohlcv\): the columns are one symbol's .* none of them is its",
        ),
        ("date,AA,Volume\n2022-01-03,1,2\n", r"\(ohlcv\): the column Volume is no asset's price"),
        ("date,Open,High,Low,Volume,AA_Open\n2022-01-03,1,2,3,4,5\n", "ohlcv"),
        (
            "date,A_Open,A_High\n2022-01-03,1,2\n",
            r"\(ohlcv\): A_Open, A_High are columns of A, and none of them is a price",
        ),
        ("date,A_Close,A_Volume,B_Adj Close,B_Volume\n2022-01-03,1,2,3,4\n", "symbols have different prices"),
        (
            "Price,Close,Open\nTicker,A,B\nDate,,\n2022-01-03,1,2\n",
            "no price that all 2 symbols have; found Close, Open",
        ),
        ("Date\n2022-01-03\n", "has one column"),
        ("year,AA\n2020,1\n2021,2\n", "has no column date"),
        ("date,AA\n2020,1\n2021,2\n", "dates are years"),
    ],
)
def test_refused_prices(write, content, message):
    with pytest.raises((DataError, FileError), match=message) as error:
        read_prices(write(content))
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("content", "expected", "says"),
    [
        ("date,AA\n2022-01-03,1\n2022-01-03,1\n", [1], "1 row given twice dropped"),
        ("date,AA\n2022-01-03,1\n,\n2022-01-04,2\n,\n", [1, 2], "2 blank rows dropped"),
        ("date,AA\n2022-01-03,(1.5)\n2022-01-04,-2\n2022-01-05,3-\n", [-1.5, -2, -3], "wide form"),
        ("date;AA\n2022-01-03;1,234\n2022-01-04;2,5\n", [1.234, 2.5], "decimal comma"),
        ("date;AA\n2022-01-03;1.234\n2022-01-04;2,5\n", [1234, 2.5], "decimal comma"),
        ("date;AA\n2022-01-03;1,234\n2022-01-04;2,345\n", [1.234, 2.345], "decimal comma"),
        ('date,AA\n2022-01-03,"1,234"\n2022-01-04,2.5\n', [1234, 2.5], "comma"),
        ("date,AA\n2022-01-03,1e3\n2022-01-04,+2.5E-1\n", [1000, 0.25], "comma"),
        ("date,AA\n2022-01-03,−1.5\n2022-01-04,1\u00a0234.5\n", [-1.5, 1234.5], "comma"),
        ("date,AA\n2022-01-03,1\nMarket closed,\n2022-01-05,2\n", [1, 2], "1 row of text dropped"),
        ("date,AA\n2022-01-03,1\n2022-01-04,2\nTotal,3\n", [1, 2], "1 footer row dropped"),
        ("date,LOW\n2022-01-03,1\n", [1], "wide form"),
        ("date,ID\n2022-01-03,1\n2022-01-04,2\n", [1, 2], "wide form"),
    ],
)
def test_read_and_said(write, content, expected, says):
    found = read_prices(write(content))
    np.testing.assert_array_equal(found.iloc[:, 0].dropna(), expected)
    assert found.shape[1] == 1
    (line,) = told(found)
    assert says in line


def test_decimal_mark_settles_what_the_numbers_leave_open(write):
    path = write('date,AA\n2022-01-03,"1,234"\n2022-01-04,"2,345"\n')
    assert read_prices(path, decimal_mark=",").AA.tolist() == [1.234, 2.345]
    assert read_prices(path, decimal_mark=".").AA.tolist() == [1234, 2345]
    with pytest.raises(DataError, match=r"decimal mark: 'x' is none\. Give \. or ,"):
        read_prices(path, decimal_mark="x")


@pytest.mark.parametrize("first", [90.0, 1980.5, 1980.0])  # some are years too, and some months
@pytest.mark.parametrize("ticker", ["DATA", "DAY"])
def test_a_ticker_that_is_called_as_a_date_beside_days_without_a_name(ticker, first, tmp_path):
    """As ``to_csv`` writes an index that has no name, and in frames."""
    days = pd.bdate_range("2022-01-03", periods=40)
    table = pd.DataFrame({s: first + np.arange(40) + k for k, s in enumerate(["AAPL", ticker, "MSFT"])}, days)
    table.to_csv(tmp_path / "p.csv")
    as_column = table.rename_axis("").reset_index()
    as_texts = table.set_axis(days.strftime("%d.%m.%Y"))
    for given in (tmp_path / "p.csv", table, as_column, as_texts, as_column.astype(str)):
        found = read_prices(given)
        assert list(found.columns) == ["AAPL", ticker, "MSFT"]
        assert list(found.index) == list(days)
        np.testing.assert_array_equal(found, table)


@pytest.mark.parametrize("name", ["day", "Fecha", "DATE", "timestamp"])
def test_a_date_column_by_its_name_wherever_it_stands(name, tmp_path):
    days = pd.bdate_range("2022-01-03", periods=40)
    table = pd.DataFrame({"A": 10.0 + np.arange(40), "B": 1980.0 + np.arange(40)})
    for form in (days, days.strftime("%Y%m%d").astype(int), days.strftime("%d.%m.%Y")):
        given = table.assign(**{name: form})
        given.to_csv(tmp_path / "p.csv", index=False)
        for found in (read_prices(given), read_prices(tmp_path / "p.csv")):
            assert list(found.columns) == ["A", "B"]
            assert list(found.index) == list(days)


def test_tickers_that_are_names_of_columns(write):
    found = read_prices(write("date,LOW,OPEN,AAPL\n2022-01-03,1,2,3\n"))
    assert list(found.columns) == ["LOW", "OPEN", "AAPL"]
    found = read_prices(write("date,ID,CODE,NAME\n2022-01-03,1,2,3\n2022-01-04,1,2,3\n"))
    assert list(found.columns) == ["ID", "CODE", "NAME"]
    found = read_prices(write("date,DAY,TIME,VALUE\n2022-01-03,1,2,3\n2022-01-04,1,2,3\n"))
    assert list(found.columns) == ["DAY", "TIME", "VALUE"]


# Excel


def test_excel_without_openpyxl(write, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(bdfm._optional, "import_module", absent)
    path = write(zipped(b"<workbook/>", "xl/workbook.xml"), "p.xlsx")
    with pytest.raises(
        MissingDependencyError,
        match=r"p\.xlsx is an Excel file; reading it: needs openpyxl.*'bdfm\[excel\]', or save it as CSV",
    ):
        read_prices(path)


def test_damaged_excel(write):
    pytest.importorskip("openpyxl")
    with pytest.raises(FileError, match="is damaged, or no Excel workbook"):
        read_prices(write(zipped(b"<workbook/>", "xl/workbook.xml"), "p.xlsx"))


# DataFrames


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t,
        lambda t: yahoo(t, "Price"),
        lambda t: yahoo(t, "Ticker"),
        lambda t: yahoo(t, "Price").reset_index(),
        lambda t: t.tz_localize("Europe/London"),
        lambda t: t.reset_index(),
        lambda t: t.set_axis(t.index.strftime("%d.%m.%Y")),
        lambda t: t.set_axis(t.index.to_period("D")),
        lambda t: t.stack().rename("close").rename_axis(["date", "ticker"]).reset_index(),
        lambda t: t.stack().rename("close").rename_axis(["date", "ticker"]).to_frame(),
        lambda t: t.stack().rename("close").swaplevel().rename_axis(["ticker", None]).to_frame(),
        lambda t: t.astype(str).replace("nan", "#N/A"),
    ],
)
def test_data_frames(make):
    from bdfm import _checks

    table = clean()
    given = make(table)
    before = given.copy()
    for found in (read_prices(given), _checks.price_table(given)):
        pd.testing.assert_frame_equal(
            found[table.columns],
            table,
            check_freq=False,
            check_index_type=False,
            check_column_type=False,
            check_names=False,
        )
        assert found.shape == table.shape
    pd.testing.assert_frame_equal(given, before)


def test_a_data_frame_of_one_symbol_has_no_name():
    bars = pd.DataFrame(
        {"Open": [1.0], "High": [2.0], "Close": [1.5], "Volume": [10]}, pd.DatetimeIndex(["2022-01-03"])
    )
    with pytest.raises(
        DataError, match=r"\(ohlcv\): the columns are one symbol's prices and volume .*table\[\['Close'\]\]"
    ):
        read_prices(bars)
    from bdfm import _checks

    with pytest.raises(DataError, match="ohlcv"):
        _checks.price_table(bars)


# Returns


def test_french_as_downloaded(write):
    table = (clean() / 100).round(2)
    body = "\n".join(
        f"{d:%Y%m},{','.join('-99.99' if np.isnan(x) else f'{x:9.2f}' for x in row)}"
        for d, row in zip(
            pd.date_range("1990-01-31", periods=len(table), freq="ME"), table.to_numpy(), strict=True
        )
    )
    head = ",Mkt-RF,SMB,HML,RF"
    content = (
        "This file was created by CMPT_ME_BEME_RETS using the 202112 CRSP database.\n"
        "The 1-month TBill return is from Ibbotson and Associates, Inc.\n\n"
        f"{head}\n{body}\n\n Annual Factors: January-December\n{head}\n  1990,  1.00,  2.00,  3.00,  4.00\n\n"
        "Copyright 2021 Kenneth R. French\n"
    )  # fmt: skip
    found = read_returns(write(content, "F-F_Research_Data_Factors.CSV"), unit="percent")
    np.testing.assert_allclose(found, table / 100, rtol=1e-14)
    assert list(found.columns) == ["Mkt-RF", "SMB", "HML", "RF"]
    assert found.index[0] == pd.Timestamp("1990-01-31")
    (line,) = told(found)
    assert "7 cells of -99.99 taken as missing" in line
    assert "1 row of later blocks dropped" in line
    assert "French's data library" in line


def test_the_first_of_several_blocks(write):
    head = ",A,B\n"
    content = (
        "Average Value Weighted Returns -- Monthly\n" + head + "202101,1,2\n202102,3,4\n\n"
        "Average Equal Weighted Returns -- Monthly\n" + head + "202101,5,6\n202102,7,8\n"
    )  # fmt: skip
    found = read_returns(write(content), unit="percent")
    np.testing.assert_allclose(found, np.array([[1, 2], [3, 4]]) / 100)
    assert "2 rows of later blocks dropped" in told(found)[0]


@pytest.mark.parametrize("code", ["-99.99", "-999", "-99", "999", "-9999.0", "-99.990"])
def test_codes_for_missing_are_exactly_those_cells(write, code):
    found = read_returns(
        write(f"date,m\n2022-01-03,{code}\n2022-01-04,-98.99\n2022-01-05,1\n"), unit="percent"
    )
    assert np.isnan(found.m.iloc[0])
    np.testing.assert_allclose(found.m.iloc[1:], [-0.9899, 0.01])
    assert read_prices(write(f"date,m\n2022-01-03,{code}\n")).m.tolist() == [float(code)]  # a price may be


def test_percent_signs_say_the_unit(write):
    path = write("date,m,rf\n2022-01-03,1.5%,0.01%\n2022-01-04,-2%,0.02%\n")
    for unit in ("percent", "decimal"):
        found = read_returns(path, unit=unit)
        np.testing.assert_allclose(found, [[0.015, 0.0001], [-0.02, 0.0002]])
        assert list(found.columns) == ["m", "RF"]


# Universes, weights, aliases


@pytest.mark.parametrize(
    ("content", "classes"),
    [
        ("Ticker;Sector;Company\nAA;IT;Nano\nNA;Food;Nabisco\n", ["IT", "Food"]),
        ("id\tclass\nAA\tx\nNA\ty\n", ["x", "y"]),
        ("Universe of 2022\n\nSymbol,Type\nAA,ETF\n,\nNA,stock\n", ["ETF", "stock"]),
        ("AA\nNA\n", ["asset", "asset"]),
        ("symbol\nAA\nNA\n", ["asset", "asset"]),
        ("\ufeffTicker\r\nAA\r\nNA\r\n", ["asset", "asset"]),
    ],
)
def test_universes(write, content, classes):
    found = read_universe(write(content))
    assert found.symbol.tolist() == ["AA", "NA"]
    assert found.asset_class.tolist() == classes
    if classes[0] == "asset":
        assert 'a list of symbols; all of one class, "asset"' in told(found)[0]


def test_weights_in_percent_with_decimal_comma(write):
    path = write("Ticker;Weight\nAA;62,5%\nBB;37,5 %\n")
    found = read_records(
        path, what="portfolio", columns={"symbol": ("ticker",), "weight": ()}, numbers=["weight"]
    )
    assert found.weight.tolist() == [0.625, 0.375]


def test_aliases(write):
    path = write("date,FB,META,BF.B\n2022-01-03,1,,3\n2022-01-04,,2,4\n")
    found = read_prices(path, aliases={"FB": "META", "BF.B": "BF-B"})
    assert list(found.columns) == ["META", "BF-B"]
    assert found.META.tolist() == [1, 2]
    assert "FB as META, BF.B as BF-B" in told(found)[0]
    both = write("date,FB,META\n2022-01-03,1,2\n", "both.csv")
    with pytest.raises(DataError, match=r"different values \(META on 2022-01-03: 1 and 2\)"):
        read_prices(both, aliases={"FB": "META"})
    for text_ in ("old,new\nFB,META\nBF.B,BF-B\n", "FB,META\nBF.B,BF-B\n"):
        names = write(text_, "names.csv")
        assert read_aliases(names) == {"FB": "META", "BF.B": "BF-B"}
        assert list(read_prices(path, aliases=names).columns) == ["META", "BF-B"]
    long = write("date,ticker,close\n2022-01-03,FB,1\n2022-01-04,META,2\n", "long.csv")
    assert read_prices(long, aliases={"FB": "META"}).META.tolist() == [1, 2]
    assert read_universe(write("FB\nAA\n", "u.csv"), aliases={"FB": "META"}).symbol.tolist() == ["META", "AA"]
    with pytest.raises(DataError, match=r"A = B, and B = C\. Give the last name"):
        read_prices(path, aliases={"A": "B", "B": "C"})


@pytest.mark.parametrize("name", ["Currency", "Ccy", "Whg."])
def test_one_symbol_in_two_currencies_is_refused(write, name):
    def rows(*currencies):
        days = "\n".join(f"2022-01-0{3 + i},AA,{c},{100 + i}" for i, c in enumerate(currencies))
        return write(f"date,ticker,{name},close\n2022-01-03,BB,USD,7\n{days}\n")

    for fine in (("EUR", "EUR"), ("GBX", "GBp"), ("eur", "EUR"), ("EUR", "")):
        assert read_prices(rows(*fine)).AA.tolist() == [100, 101]
    for bad in (("EUR", "USD"), ("GBp", "GBP"), ("", "EUR", "GBX")):
        with pytest.raises(
            DataError, match=rf"column {name} gives more than one currency to AA in '\w+' and"
        ):
            read_prices(rows(*bad))
    apart = rows("EUR", "USD")  # under two names it is one symbol too
    apart.write_text(apart.read_text().replace("04,AA", "04,AA.X"))
    assert list(read_prices(apart).columns) == ["BB", "AA", "AA.X"]
    with pytest.raises(DataError, match="more than one currency to AA in 'EUR' and 'USD'"):
        read_prices(apart, aliases={"AA.X": "AA"})


def test_text_written_by_the_generator_is_what_it_says():
    assert text(clean(40)).splitlines()[0] == "date,AAPL,BRK-B,NA,7203"


def test_days_across_the_top_are_told(tmp_path):
    path = tmp_path / "across.csv"
    path.write_text("symbol,2022-01-03,2022-01-04,2022-01-05\nAAPL,1.5,1.6,1.7\nKO,2.5,2.6,2.7\n")
    with pytest.raises(DataError, match="The days stand across the top: turn the table round"):
        read_prices(path)
