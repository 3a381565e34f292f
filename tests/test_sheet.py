"""Tables on a terminal: figures whole, texts wrapped, columns without room below."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from bdfm._sheet import Sheet

HEADINGS = ["RPS", "diff 1e-5", "± se", "p", "MCS p", "wins", "log score", "variogram", "Dawid-Sebastiani"]


def shown(sheet: Sheet, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False).print(sheet)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def compared() -> Sheet:
    sheet = Sheet("", ["forecaster"], HEADINGS, caption="6 origins")
    for name in ("ewma-t-5d", "a forecaster of a folder"):
        sheet.add_row(name, *(f"-130.{k}45" for k in range(len(HEADINGS))))
    return sheet


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_every_figure_is_whole_at_every_width(width):
    lines = shown(compared(), width)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for k in range(len(HEADINGS)):
        assert words.count(f"-130.{k}45") == 2
    for heading in HEADINGS:
        assert set(heading.split()) <= set(words)
    assert lines[-1] == "6 origins"


def test_where_there_is_room_a_row_is_a_line():
    lines = shown(compared(), 200)
    assert len(lines) == 4
    assert re.split(r"  +", lines[0]) == ["forecaster", *HEADINGS]


def test_each_block_begins_with_the_keys_and_a_blank_line_parts_them():
    lines = shown(compared(), 60)
    blocks = "\n".join(lines[:-1]).split("\n\n")
    assert len(blocks) > 1
    assert all(any(line.startswith("ewma-t-5d ") for line in block.splitlines()) for block in blocks)


def test_texts_wrap_and_are_not_cut():
    text = "mean over quantiles of squared differences of cumulative sums, " * 3
    sheet = Sheet("A title", ["", "rule"], texts=["seen", "what to do"])
    sheet.add_row(Text("warn"), "units", text, "--accept units:" + "A" * 50)
    lines = shown(sheet, 60)
    assert lines[0] == "A title"
    assert max(map(len, lines)) <= 60
    assert sum(line.count("A") for line in lines[1:]) == 50
    assert " ".join(lines).count("quantiles") == 3


def test_a_symbol_is_no_markup():
    sheet = Sheet("", ["asset"], ["weight"])
    sheet.add_row("BRK[b]", "0.1")
    assert shown(sheet, 80)[1].split() == ["BRK[b]", "0.1"]


def test_a_row_of_another_length_is_an_error():
    with pytest.raises(TypeError, match="row of 1 cells"):
        Sheet("", ["asset"], ["weight"]).add_row("A")


@given(
    st.lists(st.lists(st.integers(-(10**9), 10**9), min_size=4, max_size=4), min_size=1, max_size=5),
    st.integers(16, 120),
)
def test_whatever_figures_come_none_is_cut(rows, width):
    sheet = Sheet("", ["key"], ["a", "b", "c", "d"])
    for k, row in enumerate(rows):
        sheet.add_row(f"k{k}", *map(str, row))
    words = " ".join(shown(sheet, width)).split()
    assert sorted(w for w in words if w.lstrip("-").isdigit()) == sorted(str(x) for row in rows for x in row)


WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=4).map(" ".join)


@given(st.lists(st.lists(WORDS, min_size=6, max_size=6), min_size=2, max_size=4), st.integers(12, 60))
def test_no_word_is_broken_that_has_room(rows, width):
    """The first of the rows has the headings; a terminal of a telephone has 12 to 40 cells."""
    headings, *cells = rows
    sheet = Sheet("", headings[:2], headings[2:4], headings[4:])
    for row in cells:
        sheet.add_row(*row[:2], *(x.replace(" ", "")[:12] for x in row[2:4]), *row[4:])
    words = " ".join(shown(sheet, width)).replace(":", "").split()
    told = [x for row, _ in sheet.rows for cell in row for x in str(cell).split()]
    assert not set(told) - set(words)
    assert not set(" ".join(headings).split()) - set(words)
