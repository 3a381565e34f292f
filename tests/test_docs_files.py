"""What docs/files.md says is so."""

import re
from pathlib import Path

import pandas as pd
import pytest

import bdfm
from bdfm import _checks, _dates
from bdfm.data.sources import told
from bdfm.errors import DataError

TEXT = (Path(__file__).parents[1] / "docs" / "files.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "prices.csv").write_text("Date,FB\n2022-01-31,1\n2022-02-01,2\n")
    monkeypatch.chdir(tmp_path)
    names: dict[str, pd.DataFrame] = {}
    exec(code, {"bdfm": bdfm}, names)
    assert list(names["prices"].columns) == ["META"]


def test_the_line_is_as_it_is_shown(tmp_path):
    (line,) = re.findall(r"^read: (.*)$", TEXT, re.MULTILINE)
    path = tmp_path / "prices.csv"
    path.write_text("Datum;Ticker;Adj Close\n31.01.2022;A;1,5\n;;\n01.02.2022;A;2,5\n;;\n")
    assert told(bdfm.read_prices(path)) == [line]


def test_every_date_of_the_table_is_read():
    table = TEXT.partition("## Dates")[2].partition("`--date-format`")[0]
    cells = [row.split("|")[1].strip() for row in table.splitlines() if row.startswith("|")][2:]
    assert len(cells) == 6
    for cell in cells:
        for text in re.split(r", (?!2022(?:,|$))", cell):
            day = _dates.parse([text], where="docs").days[0]
            assert day in (pd.Timestamp("2022-01-31"), pd.Timestamp("2022-03-31")), text


@pytest.mark.parametrize("text", ["02/01/2022", "2022"])
def test_days_that_the_page_says_are_refused(text):
    assert f"--origin {text}" in TEXT
    with pytest.raises(DataError, match="--origin"):
        _checks.as_date(text, where="--origin")
