"""What a committee is told: the numbers by hand, last month against what came, and the workbook."""

from __future__ import annotations

import sqlite3
import zipfile
from contextlib import closing
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bdfm import views
from bdfm.errors import FileError
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import decide
from bdfm.portfolio.mandate import Mandate
from bdfm.portfolio.optimise import shortfall
from bdfm.report.briefing import _fifths_lines, briefing, conviction
from bdfm.report.page import report_html, write_report, write_report_workbook
from bdfm.report.workbook import write_workbook

pytest.importorskip("cvxpy")

EVIL = "=CMD()"
ASSETS = ("A", "B", "C", "D", "E", EVIL)
CLASSES = ("stock", "stock", "stock", "bond", "bond", "bond")
UNIVERSE = pd.DataFrame(
    {"symbol": ASSETS, "asset_class": CLASSES, "name": ASSETS, "sector": ["x", "y", "x", "", "", ""]}
)


def make(origin, end, closes, *, seed, shift=0.0, held=None):
    rng = np.random.default_rng(seed)
    n = 1500
    draws = 0.02 * rng.standard_normal((n, 1)) + 0.03 * rng.standard_normal((n, 6)) + 0.004 * np.arange(6)
    draws[:, 0] += shift
    f = Forecast.from_draws(
        draws,
        assets=ASSETS,
        asset_class=CLASSES,
        names=[f"Name {a}" for a in ASSETS],
        origin=origin,
        end=end,
        weights=1 + rng.random(n),
    )
    f = f.with_closes(dict(zip(ASSETS, closes, strict=True)))
    limits = {"asset_class": {"stock": (0.0, 0.4)}, "sector": {"x": (0.1, 1.0)}}
    mandate = Mandate(objective="minimum_variance", max_weight=0.3, cost_bps=10.0, limits=limits)
    return decide(f, mandate, holdings=held, universe=UNIVERSE).save_in(f)


@pytest.fixture(scope="module")
def months():
    """Two months, one after the other; B rose by 10 %, D fell by 60 %."""
    last = make("2022-01-07", "2022-02-04", [100.0] * 6, seed=1)
    last = last.with_views(views.Absolute(asset="C", mean=0.02, semantics="constraint"))
    now = make("2022-02-04", "2022-03-04", [100, 110, 101, 40, 100, 99], seed=2, shift=0.03, held={"A": 0.5})
    now = now.with_views(views.Absolute(asset="B", mean=0.03, semantics="constraint"))
    return last, now


@pytest.fixture(scope="module")
def found(months):
    return briefing(months[1], previous=months[0])


def test_conviction_is_relative_entropy():
    rows = [[0.2] * 5, [1, 0, 0, 0, 0], [0.4, 0.3, 0.2, 0.1, 0]]
    table = pd.DataFrame(rows, columns=[f"P{k}" for k in range(1, 6)])
    expected = [0, np.log(5), 0.4 * np.log(2) + 0.3 * np.log(1.5) + 0.1 * np.log(0.5)]
    np.testing.assert_allclose(conviction(table), expected)


def test_five_lines(found, months):
    p = months[1].quantile_probabilities().sel(quantile=5).to_pandas().sort_values(ascending=False)
    assert len(found.lines) == 5
    assert f"Highest fifth, likeliest: {p.index[0]} {p.iloc[0]:.0%}, {p.index[1]}" in found.lines[0]
    market = months[1].draws.to_numpy().astype(float).mean(axis=1)
    chance = months[1].weights.to_numpy() @ (market < 0)
    assert f"fall with probability {chance:.0%}" in found.lines[2]
    assert found.lines[3].startswith("1 view or edit; what moved most is B, highest fifth")
    assert "The book (least variance)" in found.lines[4]


def test_a_symmetric_forecast_is_not_said_to_lean():
    fifths = np.array([[0.4, 0.1, 0, 0.1, 0.4], [0.1, 0.1, 0.6, 0.1, 0.1]])
    table = pd.DataFrame(fifths, columns=[f"P{k}" for k in range(1, 6)], index=["A", "B"])
    outer, middle = _fifths_lines(table)
    assert outer == "Outer fifths, likeliest, as much the highest as the lowest: A 40%, B 10%."
    assert middle == "Middle fifth, likeliest: B 60%, A 0%."
    table.loc["A", ["P4", "P5"]] = [0.09, 0.41]
    assert _fifths_lines(table)[1] == "Lowest fifth, likeliest: A 40%, B 10%."
    table.loc["A", ["P1", "P5"]] = [0.41, 0.39]  # all lean down
    table.loc["A", "P4"] = 0.1
    assert _fifths_lines(table)[0] == "Highest fifth, likeliest: A 39%, B 10%."


def test_what_changed(found, months):
    moved = found.tables["Probabilities that changed most"]
    assert moved.index[0] == "A"  # whose returns were shifted
    now, was = (f.quantile_probabilities().sel(asset="A").to_numpy() for f in months[::-1])
    assert moved["moved"].iloc[0] == pytest.approx(np.maximum(now - was, 0).sum())
    assert moved["moved"].is_monotonic_decreasing
    assert moved["highest now"].iloc[0] > moved["highest before"].iloc[0]
    said = found.tables["Views and edits, beside last month's"]["since"]
    assert sorted(said) == ["gone", "new"]
    assert "B" in said[said == "new"].index[0]
    risk = found.tables["Risk of the book"]
    np.testing.assert_allclose(risk["change"], risk["now"] - risk["before"])
    assert list(risk.index)[:3] == ["mean", "volatility", "value at risk"]
    assert found.tables["Positions that changed most"]["now"].sum() == pytest.approx(1, abs=1e-5)


def test_what_came_against_what_was_said(found, months):
    came = found.tables["Last month: said and came"]
    assert came.loc["B", "came"] == pytest.approx(0.1)
    assert came.loc["D", "came"] == pytest.approx(-0.6)
    assert came.loc["B", "fifth that came (number)"] == 5
    assert came.loc["D", "fifth that came (number)"] == 1
    last = months[0]
    p, r = last.weights.to_numpy(), last.draws.sel(asset="B").to_numpy()
    assert came.loc["B", "place among the draws"] == pytest.approx(p @ (r < 0.1), abs=1e-9)
    assert came.loc["B", "probability said of it"] == pytest.approx(
        float(last.quantile_probabilities().sel(asset="B", quantile=5))
    )
    assert came.index[0] == "D"  # the least expected first
    assert "D -60.0%" in found.happened[1]
    assert "beyond the value at risk" in found.happened[2]


def test_last_month_is_not_scored_by_closes_of_another_day(months):
    late = make("2022-02-25", "2022-03-25", [100] * 6, seed=3)
    told = briefing(late, previous=months[0])
    assert "its span did not end at this origin" in told.happened[0]
    assert "Last month: said and came" not in told.tables


def test_positions_and_exposures(found, months):
    table = found.tables["Weights and trades"]
    assert {"name", "class", "before", "after", "trade", "cost", "sector"} <= set(table.columns)
    assert table.loc["A", "before"] == 0.5
    by_class = found.tables["Exposure by class"]
    stock = table.loc[table["class"] == "stock"]
    assert by_class.loc["stock", "after"] == pytest.approx(stock["after"].sum())
    assert by_class.loc["cash", "before"] == pytest.approx(0.5)
    by_sector = found.tables["Exposure by sector"]
    assert by_sector.loc["x", "after"] == pytest.approx(table.loc[table["sector"] == "x", "after"].sum())
    binds = found.tables["What binds"]["what it costs"]
    assert any("asset_class stock" in limit for limit in binds.index)
    assert binds.str.startswith("it costs").any()
    assert not any(text.startswith(limit) for limit, text in binds.items())


def test_stress_is_the_mean_of_the_worst_draws(found, months):
    table, now = found.tables["Stress"], months[1]
    r, p = now.draws.to_numpy().astype(float), now.weights.to_numpy()
    bonds = r[:, 3:].mean(axis=1)
    assert table.loc["class bond", "it returns"] == pytest.approx(-shortfall(-bonds, p, 0.95))
    book = table.loc["the book itself"]
    assert book["it returns"] == pytest.approx(book["the book returns"])
    assert table["the book returns"].min() == pytest.approx(book["it returns"])


class Balanced(HTMLParser):
    VOID = frozenset({"meta", "input", "br", "rect", "link", "img"})

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.ids, self.links = [], [], [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [x for k, x in attrs if k in ("href", "src") and not x.startswith("#")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if tag == "p" and self.open and self.open[-1] != "p":
            return
        while self.open and self.open[-1] in ("p", "li", "tr", "td", "th") and self.open[-1] != tag:
            self.open.pop()
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_the_page_has_the_briefing_and_is_whole(found, months):
    text = report_html(months[1], previous=months[0])
    tags = Balanced()
    tags.feed(text)
    assert not tags.wrong
    assert not tags.open
    assert not tags.links
    assert len(tags.ids) == len(set(tags.ids))
    assert text.index("First page") < text.index("Densities") < text.index("How to reproduce")
    for title in found.tables:
        assert f"<h4>{title.replace(chr(39), '&#x27;')}</h4>" in text, title
    assert text.count("<svg viewBox") == 6
    assert "Since last month" in text
    assert "No month before this one is known" in report_html(months[1])


def test_doubts_have_a_section(months):
    text = report_html(months[1].with_attrs(doubts_accepted="A jumped <b>; B is still"))
    assert "<h3>Accepted as right</h3><ul><li>A jumped &lt;b&gt;</li><li>B is still</li></ul>" in text


def test_the_ledger_knows_the_month_before(months, tmp_path):
    import json

    from bdfm.ledger.ledger import Ledger

    for name, f in zip(("2022-01-07", "2022-02-04"), months, strict=True):
        (tmp_path / name).mkdir()
        f.save(tmp_path / name / "forecast.nc")
        (tmp_path / name / "summary.json").write_text(json.dumps({"model": "none"}))
        (tmp_path / name / "month.toml").write_text('ledger = "."')
    ledger = Ledger.open(tmp_path)
    assert list(ledger.table()["decision"]) == ["minimum_variance"] * 2
    page = write_report(tmp_path / "2022-02-04").read_text(encoding="utf-8")
    assert "Since last month" in page
    first = write_report(tmp_path / "2022-01-07").read_text(encoding="utf-8")
    assert "Since last month" not in first
    named = write_report(tmp_path / "2022-01-07", tmp_path / "p.html", previous=tmp_path / "2022-02-04")
    assert "Since last month" in named.read_text(encoding="utf-8")
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as index:
        assert index.execute("SELECT COUNT(*) FROM months").fetchone() == (2,)


# The workbook


def test_every_table_is_in_the_workbook_and_formulas_are_texts(found, months, run, tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    months[0].save(tmp_path / "last.nc")
    months[1].save(tmp_path / "forecast.nc")
    code, out, err = run("report", tmp_path, "--excel", "--previous", tmp_path / "last.nc")
    assert code == 0, err
    assert "report.xlsx" in out
    book = openpyxl.load_workbook(tmp_path / "report.xlsx")
    titles = {t[:31] for t in found.tables} | {"In five lines", "Forecast", "Views and edits", "Risk"}
    assert {t.replace("'", " ").replace(":", " ")[:31] for t in titles} <= set(book.sheetnames)
    cells = [c for sheet in book for row in sheet.iter_rows() for c in row]
    assert not [c for c in cells if c.data_type == "f"]
    evil = [c for c in cells if c.value == EVIL]
    assert len(evil) >= 3
    assert all(c.data_type == "s" for c in evil)
    sheet = book["Weights and trades"]
    heads = [c.value for c in sheet[1]]
    row = next(r for r in sheet.iter_rows(min_row=2, values_only=True) if r[0] == "A")
    assert row[heads.index("before")] == 0.5


def test_the_workbook_is_written_whole_or_not_at_all(tmp_path, months):
    pytest.importorskip("openpyxl")
    with pytest.raises(FileError):
        write_workbook({"a": pd.DataFrame({"x": [1]})}, tmp_path / "no" / "such" / "folder" / "b.xlsx")
    tables = {
        "[a]:*?/\\'" + "b" * 40: pd.DataFrame({"x": ["\x01bad", None, np.nan, True]}),
        "c": pd.DataFrame(),
    }
    write_workbook(tables | {"[a]:*?/\\ " + "b" * 50: pd.DataFrame({"y": [1]})}, tmp_path / "b.xlsx")
    assert [p.name for p in tmp_path.iterdir()] == ["b.xlsx"]
    with zipfile.ZipFile(tmp_path / "b.xlsx") as made:  # no clock is in it
        assert {part.date_time for part in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert made.read("docProps/core.xml").count(b">1980-01-01T00:00:00Z<") == 2
    months[1].save(tmp_path / "forecast.nc")
    assert write_report_workbook(tmp_path).name == "report.xlsx"
