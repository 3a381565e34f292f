"""Every form of a table that people have gives the table."""

import pandas as pd
import pytest

from bdfm import _numbers
from bdfm.data.sources import read_prices, told
from bdfm.errors import DataError

from .forms import FORMS, clean, expected_of, path_of

TABLE = clean()


def check(found, expected):
    pd.testing.assert_frame_equal(
        found[list(expected.columns)],
        expected,
        check_index_type=False,
        check_column_type=False,
        check_freq=False,
        rtol=1e-15,
        atol=0,
    )
    assert list(found.columns) == list(expected.columns)
    assert found.dtypes.eq(float).all()


@pytest.mark.parametrize("form", FORMS, ids=lambda f: f.name)
def test_forms(tmp_path, form):
    path = path_of(form, tmp_path, TABLE)
    expected = expected_of(form, TABLE)
    found = read_prices(path, aliases=form.symbols)
    check(found[list(expected.columns)] if set(found) == set(expected) else found, expected)
    (line,) = told(found)
    assert line.startswith(f"{path.name}: ")
    assert form.says in line


@pytest.mark.parametrize("price", ["Adj Close", "adj_close", "Close", "price", "PX_LAST"])
@pytest.mark.parametrize("symbol", ["symbol", "Symbol", "Ticker", "ric", "id"])
@pytest.mark.parametrize("date", ["Date", "date", "timestamp"])
def test_usual_names_of_a_long_file(tmp_path, date, symbol, price):
    """The names that libraries and terminals give, whatever else they would be taken for."""
    rows = [
        f"{day:%Y-%m-%d},{s},{x!r}" for day, row in TABLE.iloc[:3].iterrows() for s, x in row.dropna().items()
    ]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([f"{date},{symbol},{price}", *rows]), encoding="utf-8")
    expected = TABLE.iloc[:3].dropna(axis=1, how="all")
    found = read_prices(path)
    check(found[list(expected.columns)], expected)
    assert price in told(found)[0]


def test_a_comma_after_points_is_seen_whatever_stands_between():
    assert _numbers.mark_of(["1.5", "1.234", "2.345", "12.50"]) == (".", "1.234", ".")
    assert _numbers.mark_of(["1.5", "12.50"]) == (".", "", "")
    for other in ("1,5", "-0,25", "1.234,5", "1.234.567"):
        with pytest.raises(DataError, match=r"decimal marks differ: '1\.5' has a point"):
            _numbers.mark_of(["1.5", "1.234", "12.50", other])
