"""Every form of a table that people have gives the table."""

import pandas as pd
import pytest

from bdfm.data.sources import read_prices, told

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
