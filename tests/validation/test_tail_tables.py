"""Tables of tail backtests, and those of the documents."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bdfm.errors import DataError
from bdfm.validation import backtest_tail, plot_tails, tail_table

DOCS = Path(__file__).parents[2] / "docs"


def test_a_table_says_what_the_backtests_say(rng):
    days = pd.date_range("2020-01-31", periods=60, freq="ME")
    r = pd.Series(rng.normal(0, 0.02, 60), days)
    found = {
        ("book", name): backtest_tail(r, pd.Series(v, days), pd.Series(1.3 * v, days))
        for name, v in (("bold", 0.01), ("mild", 0.033))
    }
    table = tail_table(found)
    assert table.loc[("book", "bold"), "exceedances"] == (r < -0.01).sum()
    assert table.loc[("book", "mild"), "expected"] == pytest.approx(3.0)
    one = found["book", "bold"].table["p_simulated"]
    row = table.loc[("book", "bold"), ["kupiec", "independence", "christoffersen", "expected_shortfall"]]
    np.testing.assert_allclose(row.astype(float), one)
    assert table.loc[("book", "bold"), "kupiec"] < 0.01
    assert len(plot_tails(found).axes) == 2
    with pytest.raises(DataError, match="no result"):
        tail_table({})


def test_the_table_of_the_document_is_that_of_its_script():
    """Each row of docs/risk.md is one of docs/tail_risk.csv, which the script wrote."""
    kept = pd.read_csv(DOCS / "tail_risk.csv")
    kept = kept[kept["level"] == 0.95].set_index(["portfolio", "model"])
    text = (DOCS / "risk.md").read_text(encoding="utf-8").split("## Tails of six models")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(kept) == 24
    for portfolio, model, *numbers in rows:
        row = kept.loc[(portfolio, model)]
        said = (
            *("exceedances", "expected"),
            *("kupiec", "independence", "christoffersen", "expected_shortfall"),
        )
        for number, name in zip(numbers, said, strict=True):
            assert float(number) == pytest.approx(row[name], abs=0.06 if name == "expected" else 0.0006)
    assert (DOCS / "images" / "tail_risk.png").stat().st_size > 20_000
