"""Files of weights: shares, cells with a sign, and columns whose names say percent."""

import pandas as pd
import pytest

from bdfm._reading import READING
from bdfm.errors import DataError
from bdfm.risk.from_files import read_portfolios

SYMBOLS = ["A", "B", "C"]


def weights(tmp_path, column, values, **given):
    file = tmp_path / "book.csv"
    pd.DataFrame({"Ticker": SYMBOLS, column: values, **given}).to_csv(file, index=False)
    return read_portfolios(file, SYMBOLS)


@pytest.mark.parametrize("name", ["Weight %", "Weight (%)", "weight_pct", "Weight percent", "Gewicht %"])
@pytest.mark.parametrize("values", [[50, 30, 20], [150, -30, -20], [60, -40, -20], [12, 5, 3]])
def test_a_column_that_says_percent_holds_percent(tmp_path, name, values):
    found = weights(tmp_path, name, values)
    assert found.loc["book"].to_list() == pytest.approx([x / 100 for x in values])
    assert found.attrs[READING]["notes"] == ["weights are percent"]


@pytest.mark.parametrize("values", [[0.5, 0.3, 0.2], [1.5, -0.5, 0], ["50%", "30%", "20%"]])
def test_shares_under_that_name_stay_shares(tmp_path, values):
    found = weights(tmp_path, "Weight %", values)
    shares = [0.01 * float(x[:-1]) if isinstance(x, str) else x for x in values]
    assert found.loc["book"].to_list() == pytest.approx(shares)
    assert "weights are percent" not in found.attrs[READING].get("notes", [])


def test_one_portfolio_of_percent_makes_all_of_them_percent(tmp_path):
    found = weights(tmp_path, "Weight %", [60, 40, 2], portfolio=["a", "a", "b"])
    assert found.loc["b", "C"] == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["Weight", "share", "holding"])
def test_other_columns_are_doubted(tmp_path, name):
    with pytest.raises(DataError, match=r"sum to 100.*if they are percent"):
        weights(tmp_path, name, [50, 30, 20])
