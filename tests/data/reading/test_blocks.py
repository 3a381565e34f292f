"""A column of dates for each symbol, side by side, as Bloomberg's BDH and its like give them."""

import numpy as np
import pandas as pd
import pytest

from bdfm.data.sources import read_prices, told
from bdfm.errors import DataError

from .forms import SYMBOLS, clean
from .test_excel import like, workbook

TABLE = clean()
# above a block: rows of three cells
HEADS = {
    "BDH": lambda s: [[f"{s} US Equity", "", ""], ["Date", "PX_LAST", ""]],
    "name above the price": lambda s: [["", f"{s} US Equity", ""], ["Dates", "PX_LAST", ""]],
    "symbol as price": lambda s: [["Date", f"{s} US Equity", ""]],
    "symbol before both": lambda s: [[f"{s} US Equity date", f"{s} US Equity PX_LAST", ""]],
    "symbol before the date": lambda s: [[f"{s} US Equity Date", "PX_LAST", ""]],
    "no word for dates": lambda s: [[f"{s} US Equity", "", ""]],
    "dates of a query": lambda s: [
        ["Start Date", "12/1/2021", ""], ["End Date", "12/31/2022", ""], [f"{s} US Equity", "", ""],
        ["Date", "PX_LAST", ""],
    ],
}  # fmt: skip


def side_by_side(table, head, day="{:%Y-%m-%d}".format, number="{:.2f}".format, gap=True, extra=()):
    """Rows of blocks that end where each symbol's prices end; each day without a price is left out."""
    columns = []
    for s in table:
        top = HEADS[head](s)
        prices = table[s].dropna().items()
        own = [(day(d), number(x), *(f"{k * x:.0f}" for k, _ in extra), "") for d, x in prices]
        top = [[*r[:2], *([n for _, n in extra] if r is top[-1] else [""] * len(extra)), ""] for r in top]
        columns.append([tuple(r if gap else r[:-1]) for r in [*top, *own]])
    height = max(map(len, columns))
    padded = [c + [("",) * len(c[0])] * (height - len(c)) for c in columns]
    return [[x for block in row for x in block] for row in zip(*padded, strict=True)]


def text_of(rows, sep=","):
    return "\n".join(sep.join(r) for r in rows) + "\n"


@pytest.mark.parametrize("gap", [True, False])
@pytest.mark.parametrize("head", HEADS)
def test_heads(tmp_path, head, gap):
    path = tmp_path / "p.csv"
    path.write_text(text_of(side_by_side(TABLE, head, gap=gap)))
    found = read_prices(path, aliases={f"{s} US Equity": s for s in SYMBOLS})
    assert list(found) == SYMBOLS
    like(found)
    assert "a column of dates for each symbol" in told(found)[0]


def test_other_marks_and_dates(tmp_path):
    rows = side_by_side(
        TABLE, "symbol as price", "{:%d.%m.%Y}".format, lambda x: f"{x:.2f}".replace(".", ",")
    )
    path = tmp_path / "p.csv"
    path.write_text(text_of(rows, ";"))
    found = read_prices(path, aliases={f"{s} US Equity": s for s in SYMBOLS})
    like(found)
    assert "semicolon, decimal comma, dates 31.01.2022" in told(found)[0]


def test_the_price_is_taken_from_several_fields(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text(text_of(side_by_side(TABLE, "BDH", extra=((1000, "PX_VOLUME"), (2, "PX_OPEN")))))
    like(read_prices(path, aliases={f"{s} US Equity": s for s in SYMBOLS}))


PRICE_OF = "{} Close (EUR)", "{} Kurs in EUR", "{}_NAV (€)", "Close (EUR) {}", "{} Schlusskurs EUR"


@pytest.mark.parametrize("head", PRICE_OF)
def test_a_price_with_its_currency(tmp_path, head):
    """It was "none of them is a price", though every other form of table took it."""
    body = "2022-01-31,1.5,,2022-01-31,2.5,\n2022-02-01,1.6,,2022-02-01,2,\n"
    alone = head.format("").strip(" _")
    for above in (
        "".join(f"Date,{head.format(s)},," for s in "AB"),
        f"A,,,B,,\nDate,{alone},,Date,{alone},",
    ):
        found = read_prices(_file(tmp_path, f"{above}\n{body}"))
        assert list(found) == ["A", "B"]
        np.testing.assert_array_equal(found, [[1.5, 2.5], [1.6, 2.0]])


def test_prices_in_currencies_that_differ_are_told(tmp_path):
    body = "2022-01-31,1.5,2,2022-01-31,2.5\n2022-02-01,1.6,2,2022-02-01,2\n"
    found = read_prices(_file(tmp_path, f"A,,,B,\nDate,Close (EUR),Volume,Date,Close (USD)\n{body}"))
    assert "prices in 2 currencies (A in EUR, B in USD)" in " ".join(told(found))
    two = "Date,A Close (EUR),A Close (USD),Date,B Close (EUR)\n"
    with pytest.raises(DataError, match="more than one currency"):
        read_prices(_file(tmp_path, two + body))


def test_a_sheet(tmp_path):
    pytest.importorskip("openpyxl")
    rows = side_by_side(TABLE, "BDH", day=lambda d: d.to_pydatetime(), number=float)
    workbook([[None if x == "" else x for x in r] for r in rows]).save(tmp_path / "p.xlsx")
    like(read_prices(tmp_path / "p.xlsx", aliases={f"{s} US Equity": s for s in SYMBOLS}))


@pytest.mark.parametrize(
    ("head", "says"),
    [("Date,,,Date,\n", "column 1 holds dates and 2 numbers, but no symbol stands above"),
     ("A,,,A,\nDate,Close,,Date,Close\n", "'A' has more than one column of dates"),
     ("A,,,B,\nDate,Volume,,Date,Close\n", "A has Volume, and none of them is a price"),
     ("A,,,B,\nDate,Adj Close,,Date,Close\n", r"different prices \(A Adj Close, B Close\)")],
)  # fmt: skip
def test_what_is_refused(tmp_path, head, says):
    (tmp_path / "p.csv").write_text(head + "2022-01-31,1,,2022-01-31,2\n2022-02-01,1,,2022-02-01,2\n" * 3)
    with pytest.raises(DataError, match=says):
        read_prices(tmp_path / "p.csv")


@pytest.mark.parametrize(
    "columns",
    [{"ticker": "A", "report_date": "2022-01-30", "close": 1.5}, {"A": 1.5, "as_of": "2022-01-30"}],
)
def test_two_columns_of_dates_are_one_table_else(tmp_path, columns):
    """A second date that no numbers follow, or text between them, makes no blocks."""
    days = pd.bdate_range("2022-01-31", periods=5, name="date")
    text = pd.DataFrame(columns, index=days).to_csv()
    if "A" in columns:
        with pytest.raises(DataError, match="as_of"):
            read_prices(_file(tmp_path, text))
    else:
        np.testing.assert_array_equal(read_prices(_file(tmp_path, text))["A"], 1.5)


def _file(folder, text):
    (folder / "p.csv").write_text(text)
    return folder / "p.csv"
