"""Workbooks of Excel as people have them."""

import datetime as dt
import io
import re
import zipfile

import numpy as np
import pandas as pd
import pytest

from bdfm import _checks, _dates, _tables
from bdfm.data.reading import excel
from bdfm.data.sources import read_prices, read_records, read_returns, read_universe, told
from bdfm.errors import DataError, FileError

from .forms import SYMBOLS, clean, yahoo, zipped

openpyxl = pytest.importorskip("openpyxl")
TABLE = clean()
WEIGHTS = {"what": "portfolio", "columns": {"symbol": (), "weight": ()}, "numbers": ["weight"]}
UNIVERSE = [["Ticker", "Sector"], *[[s, "x"] for s in SYMBOLS]]


def rows(table=TABLE, day=lambda d: d.to_pydatetime(), number=float, missing=None):
    """Header and rows of cells."""
    body = [
        [day(d), *(missing if np.isnan(x) else number(x) for x in r)]
        for d, r in zip(table.index, table.to_numpy(), strict=True)
    ]
    return [["Date", *table.columns], *body]


def workbook(first, title="Sheet1", **others):
    """Workbook with a sheet of rows, and others."""
    book = openpyxl.Workbook()
    book.active.title = title
    for row in first:
        book.active.append(row)
    for name, body in others.items():
        sheet = book.create_sheet(name)
        for row in body:
            sheet.append(row)
    return book


@pytest.fixture
def save(tmp_path):
    def to(book, name="prices.xlsx"):
        book.save(tmp_path / name)
        return tmp_path / name

    return to


def like(found, expected=TABLE):
    pd.testing.assert_frame_equal(
        found[list(expected.columns)],
        expected,
        check_freq=False,
        check_index_type=False,
        check_column_type=False,
        rtol=0,
        atol=0,
    )


def serial(d):
    return (d - pd.Timestamp("1899-12-30")).days


KINDS = {
    "dates": lambda: workbook(rows()),
    "days": lambda: workbook(rows(day=lambda d: d.date())),
    "times of day": lambda: workbook(rows(day=lambda d: d.to_pydatetime() + dt.timedelta(hours=16))),
    "dates as text": lambda: workbook(rows(day="{:%d.%m.%Y}".format)),
    "American dates as text": lambda: workbook(rows(day="{:%m/%d/%Y}".format)),
    "dates as numbers": lambda: workbook(rows(day=serial)),
    "dates as numbers with times": lambda: workbook(rows(day=lambda d: serial(d) + 0.6667)),
    "numbers as text": lambda: workbook(rows(number="{:,.2f}".format)),
    "decimal commas as text": lambda: workbook(rows(number=lambda x: f"{x:.2f}".replace(".", ","))),
    "some of them": lambda: workbook(
        rows(number=lambda x: f"{x:.2f}".replace(".", ",") if x > 170 else float(x))
    ),
    "errors": lambda: workbook(rows(missing="#N/A")),
    "a table within": lambda: workbook([[], [], *[[None, None, *r] for r in rows()]]),
    "title and footer": lambda: workbook([["Prices of the fund"], [], *rows(), [], ["Source: x"]]),
    "a sheet of its name": lambda: workbook(rows(), title="Prices", Universe=UNIVERSE),
    "an empty sheet": lambda: workbook(rows(), Sheet2=[], Sheet3=[[None, None]]),
    "a number as symbol": lambda: workbook(rows(TABLE.rename(columns={"7203": 7203}))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_sheets(save, kind):
    like(read_prices(save(KINDS[kind]())))


@pytest.mark.parametrize("by", ["Price", "Ticker"])
def test_two_rows_of_names_as_pandas_writes_them(tmp_path, by):
    yahoo(TABLE, by).to_excel(tmp_path / "prices.xlsx")
    found = read_prices(tmp_path / "prices.xlsx")
    like(found)
    assert "Excel (sheet Sheet1), dates 2022-01-31, two-level columns, Adj Close" in told(found)[0]


def test_hidden_sheets_charts_and_another_calendar(save):
    book = workbook(rows(), Notes=UNIVERSE)
    book["Notes"].sheet_state = "hidden"
    book.create_chartsheet("Picture").add_chart(openpyxl.chart.LineChart())
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    like(read_prices(save(book)))


def test_a_sheet_is_named_after_the_file(save, tmp_path):
    save(workbook(UNIVERSE, title="A", B=rows(), C=[["x"]], D=[]))
    with pytest.raises(FileError, match=r"3 sheets with cells \(A, B, C\)\. Say which: prices\.xlsx#A, say"):
        read_prices(tmp_path / "prices.xlsx")
    found = read_prices(tmp_path / "prices.xlsx#B")
    like(found)
    assert "Excel (sheet B)" in told(found)[0]
    assert list(read_universe(tmp_path / "prices.xlsx#A")["symbol"]) == SYMBOLS
    with pytest.raises(FileError, match="has no sheet b; it has A, B, C, D"):
        read_prices(tmp_path / "prices.xlsx#b")
    with pytest.raises(FileError, match=r"the sheet D of .* is empty"):
        read_prices(tmp_path / "prices.xlsx#D")
    with pytest.raises(FileError, match="does not exist"):
        read_prices(tmp_path / "none.xlsx#D")
    hidden = workbook(rows(), Old=rows(2 * TABLE))
    hidden["Old"].sheet_state = "hidden"
    like(read_prices(f"{save(hidden, 'h.xlsx')}#Old"), 2 * TABLE)
    (tmp_path / "odd.xlsx#B").write_text("date,A\n2022-01-31,1\n2022-02-01,2\n")
    assert list(read_prices(tmp_path / "odd.xlsx#B")) == ["A"]  # a file of that name


def test_the_sheet_is_the_symbol_of_a_file_of_one_symbol(save):
    bars = TABLE.iloc[:, [3]].set_axis(["Close"], axis=1).assign(Open=1.0, High=2.0, Low=0.5)
    assert list(read_prices(f"{save(workbook(rows(bars), title='SPY', QQQ=[[1]]))}#SPY")) == ["SPY"]


@pytest.mark.parametrize("mark", [None, ".", ","])
def test_numbers_mean_one_thing_whatever_the_decimal_mark(save, mark):
    values = np.array([[1.234, 12.345], [123.456, 0.001], [1e-9, 1234567.891], [5e20, 7.0]])
    table = pd.DataFrame(values, pd.bdate_range("2022-01-03", periods=4, name="date"), ["A", "B"])
    like(read_prices(save(workbook(rows(table))), decimal_mark=mark), table)


@pytest.mark.parametrize("unit", ["percent", "decimal"])
@pytest.mark.parametrize("form", ["0.00%", "0%", '0.0"pc"%'])
def test_cells_of_percent_are_percent_whatever_the_unit(save, unit, form):
    rng = np.random.default_rng(5)
    days = pd.bdate_range("2022-01-03", periods=30, name="date")
    table = pd.DataFrame(np.round(0.01 * rng.standard_normal((30, 2)), 9), days, ["Mkt-RF", "SMB"])
    book = workbook(rows(table))
    for (cell,) in book.active.iter_rows(min_row=2, min_col=2, max_col=2):
        cell.number_format = form
    found = read_returns(save(book), unit=unit)
    like(found[["Mkt-RF"]], table[["Mkt-RF"]])
    np.testing.assert_allclose(found["SMB"], table["SMB"] / (100 if unit == "percent" else 1), rtol=1e-15)
    assert "percent signs read as hundredths" in told(found)[0]


def test_formats_that_only_name_percent(save):
    book = workbook([["symbol", "weight"], ["A", 0.25], ["B", 0.75]])
    for (cell,) in book.active.iter_rows(min_row=2, min_col=2, max_col=2):
        cell.number_format = r'0.00"%"\%'
    found = read_records(save(book), **WEIGHTS)
    assert list(found["weight"]) == [0.25, 0.75]
    assert "percent" not in told(found)[0]


def test_mixed_percent_is_refused_as_in_text(save):
    book = workbook([["symbol", "weight"], ["A", 0.25], ["B", 75]])
    book.active["B2"].number_format = "0%"
    with pytest.raises(DataError, match=r"mixes percent and plain numbers \('25%', '75'\)"):
        read_records(save(book), **WEIGHTS)


def test_formulas_without_values_are_refused(save):
    book = workbook(rows())
    book.active["C7"] = "=2*B7"
    with pytest.raises(
        FileError, match="formulas without their values, first in cell C7 of the sheet Sheet1"
    ):
        read_prices(save(book))


@pytest.mark.parametrize("cells", ["C7:C9", "B12:D13", "A20:A21", "C7:D7"])
def test_numbers_and_days_in_merged_cells_are_refused(save, cells):
    """All of them show what the first alone holds; in a sheet that is not read nothing is said."""
    book = workbook(rows(), title="Prices", Other=rows())
    book["Other"].merge_cells(cells)
    like(read_prices(save(book)))
    book["Prices"].merge_cells(cells)
    with pytest.raises(FileError, match=f"prices: .* has merged cells, first {cells} of the sheet Prices"):
        read_prices(save(book))


def test_a_formula_in_merged_cells_is_refused_as_its_number_is(save):
    book = workbook(rows(), title="Prices")
    book["Prices"].merge_cells("C7:C9")
    path = save(book)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    sheet = next(n for n in parts if n.endswith("sheet1.xml"))
    parts[sheet] = re.sub(rb'(r="C7"[^>]*>)<v', rb"\1<f>100+1.5</f><v", parts[sheet])
    assert b"<f>" in parts[sheet]
    with zipfile.ZipFile(path, "w") as new:
        for name, content in parts.items():
            new.writestr(name, content)
    with pytest.raises(FileError, match="has merged cells, first C7:C9"):
        read_prices(path)


def test_merged_titles_and_headers_are_read(save):
    """Texts: a title across, a header of two rows; also as Excel keeps them, by number."""
    assert excel._NUMBER.search(b'<c r="A2" s="1"><v>44592</v></c>')
    assert not excel._NUMBER.search(b'<c r="A2" s="1" t="s"><v>0</v></c>')
    body = [["All prices"], ["Date", "Close"], [None, *TABLE.columns], *rows()[1:]]
    book = workbook(body)
    for cells in ("A1:D1", "A2:A3", "B2:D2"):
        book.active.merge_cells(cells)
    like(read_prices(save(book)))


@pytest.mark.parametrize("day", [dt.date(2022, 3, 4), dt.datetime(2022, 3, 4), 2022, "4 March 2022"])
@pytest.mark.parametrize("above", [[], [["All prices"]], [["All prices"], []]])
@pytest.mark.parametrize("name", ["Date", None])
def test_a_day_across_the_top_is_a_title(save, day, above, name):
    """Merged or not, a day with a row for itself is that of the report; below it stands the header."""
    body = [*above, [day], [name, *rows()[0][1:]], *rows()[1:]]
    book = workbook(body)
    place = len(above) + 1
    like(read_prices(save(book)))
    book.active.merge_cells(f"A{place}:D{place}")
    like(read_prices(save(book)))
    book.active.unmerge_cells(f"A{place}:D{place}")
    book.active.merge_cells("B8:D8")  # beside the day of its row
    with pytest.raises(FileError, match="has merged cells, first B8:D8"):
        read_prices(save(book))


@pytest.mark.parametrize("error", ["#DIV/0!", "#REF!", "#NAME?", "#value!", "#NUM!"])
def test_cells_of_failed_formulas_are_told(save, error):
    book = workbook(rows())
    book.active["C7"] = book.active["B7"] = error
    book.active["B9"] = "#N/A"
    found = read_prices(save(book))
    assert f"2 cells of {error.upper()} taken as missing" in told(found)[0]
    assert "N/A" not in told(found)[0]


@pytest.mark.parametrize(
    ("inside", "says"),
    [("xl/workbook.bin", "xlsb"), ("content.xml", "ods"), ("Index/Document.iwa", "Numbers"),
     ("word/document.xml", "Word")],
)  # fmt: skip
def test_other_programs_files_are_named(tmp_path, inside, says):
    (tmp_path / "p.x").write_bytes(zipped(b"<x/>", inside))
    with pytest.raises(FileError, match=rf"is a.*{says}.*Save it as \.xlsx or CSV"):
        read_prices(tmp_path / "p.x")


def test_a_workbook_in_a_zip(tmp_path):
    inner = io.BytesIO()
    workbook(rows(), title="P", Q=[["a", "b"]]).save(inner)
    (tmp_path / "p.zip").write_bytes(zipped(inner.getvalue(), "p.xlsx"))
    with pytest.raises(FileError, match="2 sheets with cells"):
        read_prices(tmp_path / "p.zip")


def test_a_number_with_hundredths_is_no_day():
    """2022.01 in a cell is a number, though 2022.01 in a text may be January."""
    assert not _dates.looks_like_a_day("202201e-2")
    assert _dates.looks_like_a_day("2022.01")


def test_a_sheet_that_says_it_is_smaller_than_it_is(save, tmp_path):
    """Some programs write A1 for the range of every sheet."""
    right = save(workbook(rows()))
    wrong = tmp_path / "small.xlsx"
    with zipfile.ZipFile(right) as source, zipfile.ZipFile(wrong, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sheet1.xml"):
                content, n = re.subn(rb'<dimension ref="[^"]*"', b'<dimension ref="A1"', content)
                assert n == 1
            target.writestr(name, content)
    pd.testing.assert_frame_equal(read_prices(wrong), read_prices(right))


LANGUAGES = {  # sheets of prices and universe; headers of days and of the universe
    "German": ("Kurse", "Anlagen", "Datum", ["Kürzel", "Bezeichnung", "Anlageklasse"]),
    "French": ("Cours", "Univers", "Date", ["Symbole", "Nom", "Classe"]),
    "Spanish": ("Precios", "Universo", "Fecha", ["Símbolo", "Nombre", "Clase"]),
    "Italian": ("Prezzi", "Titoli", "Data", ["Simbolo", "Nome", "Classe"]),
    "Portuguese": ("Preços", "Universo", "Data", ["Símbolo", "Nome", "Classe"]),
}


def german(x):
    return f"{x:,.2f}".translate(str.maketrans(",.", ".,"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", [False, True])
def test_a_workbook_of_another_language(save, language, text):
    prices, universe, day, heads = LANGUAGES[language]
    table = rows(day=lambda d: f"{d:%d.%m.%Y}", number=german, missing="") if text else rows()
    table[0][0] = day
    path = save(
        workbook([[*heads], *([s, f"Firm {s}", "Aktie"] for s in SYMBOLS)], universe, **{prices: table})
    )
    found = read_prices(path)
    like(found, TABLE.round(2) if text else TABLE)
    assert f"Excel (sheet {prices})" in told(found)[0]
    assert read_universe(path).to_dict("list") == {
        "symbol": SYMBOLS, "name": [f"Firm {s}" for s in SYMBOLS], "asset_class": ["Aktie"] * len(SYMBOLS)
    }  # fmt: skip


def test_the_sheet_that_is_called_as_the_table_is_comes_before_its_other_names(save):
    found = read_prices(save(workbook(rows(), "Closes", Kurse=rows(), Prices=rows())))
    like(found)
    assert "Excel (sheet Prices)" in told(found)[0]


def test_sheets_of_which_none_is_called_like_the_table(save):
    path = save(workbook(rows(), "Tabelle1", Tabelle2=UNIVERSE))
    with pytest.raises(
        FileError, match=r"\(Tabelle1, Tabelle2\)\. Say which: .*#Tabelle1, say; or call one prices"
    ):
        read_prices(path)


@pytest.mark.parametrize(
    ("heads", "price"),
    [
        ("Datum Eröffnung Hoch Tief Schluss Volumen", "Schluss"),
        ("Datum Schlusskurs Umsatz", "Schlusskurs"),
        ("Datum Zuletzt Eröffn. Hoch Tief Vol. +/-_%", "Zuletzt"),
        ("Date Dernier Ouv. Plus_Haut Plus_Bas Vol. Variation_%", "Dernier"),
        ("Fecha Último Apertura Máximo Mínimo Vol. %_var.", "Último"),
        ("Data Ultimo Apertura Massimo Minimo Vol. Var._%", "Ultimo"),
        ("Data Último Abertura Máxima Mínima Vol. Var%", "Último"),
    ],
)
def test_one_symbols_file_of_another_language_is_no_table_of_assets(save, heads, price):
    """A file of AAPL had been read as the assets Eröffnung, Hoch, Tief and Schluss."""
    names = [h.replace("_", " ") for h in heads.split()]
    series = TABLE.iloc[:, 0].dropna()
    table = [
        [d.to_pydatetime(), *(float(x) if n == price else 7.0 for n in names[1:])] for d, x in series.items()
    ]
    found = read_prices(save(workbook([names, *table]), "ABC.xlsx"))
    assert list(found) == ["ABC"]
    np.testing.assert_allclose(found["ABC"], series)


CURRENCIES = ["Kurs in EUR", "Close (USD)", "Schlusskurs (€)", "NAV in GBP"]


@pytest.mark.parametrize("head", CURRENCIES)
def test_a_price_may_be_named_with_its_currency(save, head):
    """In every shape, of a file or a frame."""
    days = [d.to_pydatetime() for d in TABLE.index]
    long = [(d.to_pydatetime(), s, float(x)) for s in SYMBOLS for d, x in TABLE[s].dropna().items()]
    like(read_prices(save(workbook([["Datum", "Wertpapier", head], *long]))))
    wide = [["Datum", *(f"{s} {head}" for s in SYMBOLS)], *rows()[1:]]
    like(read_prices(save(workbook(wide))))
    levels = [[None, *[head] * len(SYMBOLS)], ["Datum", *SYMBOLS], *rows()[1:]]
    like(read_prices(save(workbook(levels))))
    one = [["Datum", head, "Volumen"], *([d, x, 7.0] for d, x in zip(days, range(1, 99), strict=False))]
    assert list(read_prices(save(workbook(one), "ABC.xlsx"))) == ["ABC"]
    frame = TABLE.add_suffix(f" {head}")
    for given in (frame, frame.set_axis(pd.MultiIndex.from_product([[head], SYMBOLS]), axis=1)):
        assert list(_tables.prices_frame(given)) == list(TABLE)


@pytest.mark.parametrize("heads", [("Close (EUR)", "Close (USD)"), ("Kurs in EUR", "Kurs in USD")])
def test_one_price_in_two_currencies_is_refused(save, heads):
    """Which one is meant, nothing says; as much for one symbol's file as for several."""
    days = [d.to_pydatetime() for d in TABLE.index]
    symbol = [["Datum", "Symbol", *heads], *([d, "A", 1.0, 2.0] for d in days)]
    one = [["Datum", *heads, "Volumen"], *([d, 1.0, 2.0, 3.0] for d in days)]
    alone = [["Datum", *heads], *([d, 1.0, 2.0] for d in days)]
    wide = [["Datum", *(f"A {h}" for h in heads), f"B {heads[0]}"], *([d, 1.0, 2.0, 3.0] for d in days)]
    for table in (symbol, one, alone, wide):
        with pytest.raises(DataError, match="prices: one price in more than one currency"):
            read_prices(save(workbook(table)))


@pytest.mark.parametrize("cell", ["{:.2f} USD", "${:.2f}", "USD {:.2f}"])
def test_prices_in_cells_with_their_currency(cell):
    """In files and frames alike, with a decimal comma too."""
    texts = TABLE.map(lambda x: "" if np.isnan(x) else cell.format(x))
    for given in (texts, texts.map(lambda x: x.replace(".", ",").replace("USD", "€"))):
        for found in (read_prices(given.rename_axis("date").reset_index()), _checks.price_table(given)):
            np.testing.assert_allclose(found, TABLE.round(2))
