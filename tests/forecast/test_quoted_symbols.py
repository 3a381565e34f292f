"""Symbols made of words that texts of views, edits, evidence and aliases use: in quotes, all come through."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bdfm._symbols import alias_of, did_you_mean, in_quotes
from bdfm.cli.month import _evidence
from bdfm.errors import DataError
from bdfm.forecast.edits import parse_edits
from bdfm.forecast.view_texts import parse

WORDS = [
    *(
        "over",
        "over 5d",
        "+-",
        "+/-",
        "±",
        "=",
        "by",
        "by=0.1",
        ">",
        "<",
        ">=",
        "<=",
        "in",
        "5/5",
        ":",
        "0.7",
    ),
    *(
        "2%",
        "5d",
        "vol(A)",
        "corr(",
        "P(",
        "VaR(A, 5%)",
        "x",
        "1.5x",
        ",",
        "'",
        '"',
        "(",
        ")",
        "-",
        "+",
        "zero",
    ),
    *("A", "B", "other=", "O'Neil", "é", "%", "1e5", "--help", "--alias", "#", "[", "{", "\\", "/"),
]
SYMBOLS = (
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["", " ", "  "])), min_size=1, max_size=5)
    .map(lambda parts: "".join(a + b for a, b in parts).strip())
    .filter(lambda s: not {"'", '"'} <= {*s})
)
PAIRS = st.lists(SYMBOLS, min_size=2, max_size=2, unique=True)
VIEWS = {
    "{a} = 2% +- 10%": ("asset",),
    "{a}=0.02,0.10": ("asset",),
    "{a} - {b} >= 1%": ("asset", "over"),
    "0.6 {a} + 0.4 {b} = 1% +- 3%": ("weights",),
    "{a} + {b} = 1%": ("weights",),
    "vol({a}) = 8%": ("asset",),
    "vol({a}) = 1.5x": ("asset",),
    "corr({a}, {b}) = -0.3": ("asset", "other"),
    "{a} > {b} : 0.7": ("above", "below"),
    "{a} in 5/5 : 0.3": ("asset",),
    "P({a} < -5%) = 0.1": ("asset",),
    "VaR({a}, 95%) <= 8%": ("asset",),
    "CVaR(0.6 {a} + 0.4 {b}, 95%) = 12%": ("weights",),
}


@settings(max_examples=60, deadline=None)
@example(["A over B", "A +- B"]).via("said by a reader")
@example(["A = 2% +- 3%", "A > B"]).via("a statement of its own")
@example(["A < 0.3)", "A, 95%)"]).via("ends of functions")
@given(PAIRS)
def test_views(pair):
    a, b = pair
    for form, fields in VIEWS.items():
        view = parse(form.format(a=in_quotes(a), b=in_quotes(b)), semantics="constraint")
        told = [getattr(view, f) for f in fields]
        assert ([*told[0]] if fields == ("weights",) else told) == [a, b][: 2 if "{b}" in form else 1]


@settings(max_examples=60, deadline=None)
@example(["A B", "by=0.02"]).via("said by a reader")
@given(PAIRS)
def test_edits(pair):
    a, b = pair
    one, other = map(in_quotes, pair)
    texts = [
        f"shift {one} by=0.02",
        f"zero {one} {other}",
        f"like {one} other={other}",
        f"shift by=0.02 asset={one}",
        f"acquired_for_stock {one} acquirer={other} ratio=0.5",
    ]
    shift, zero, like, named, stock = parse_edits(texts)
    assert (shift.asset, shift.by) == (a, 0.02)
    assert zero.assets == (a, b)
    assert (like.asset, like.other) == (a, b)
    assert named.asset == a
    assert (stock.asset, stock.acquirer) == (a, b)


@settings(max_examples=100, deadline=None)
@example("A over B").via("said by a reader")
@example("A = 2% over B").via("a statement of its own")
@given(SYMBOLS)
def test_evidence(symbol):
    name = in_quotes(symbol)
    for text, horizon in (
        (f"{name} = 2% +- 10%", None),
        (f"{name} = 2% +- 10% over 5d", "5d"),
        (f"{name}=0.02,0.1", None),
        (f"{name}=0.02,0.1,5d", "5d"),
        (f"{name} = 0.02,0.1 over 2", "2"),
    ):
        told = _evidence(text)
        assert (told.asset, told.mean, told.sd) == (symbol, 0.02, 0.1)
        assert (None if told.horizon is None else str(told.horizon)) == horizon


@pytest.mark.parametrize("text", ["A over B=0.02,0.1", "A over B = 0.02,0.1"])
def test_evidence_whose_symbol_has_no_quotes(text):
    assert _evidence(text).asset == "A over B"


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_aliases(pair):
    a, b = pair
    assert alias_of(f"{in_quotes(a)}={in_quotes(b)}") == (a, b)


def test_an_alias_is_named_as_it_is_to_be_written():
    assert did_you_mean("a=b x", ["A=B X"], alias=True).split("--alias ")[1].startswith("\"'a=b x'='A=B X'\"")
    assert alias_of("'a=b x'='A=B X'") == ("a=b x", "A=B X")
    with pytest.raises(DataError, match="quote"):
        alias_of("'EURUSD=X=EUR")
    with pytest.raises(DataError, match=r"more than one =.*'EURUSD'"):
        alias_of("EURUSD=X=EUR")


@pytest.mark.parametrize(
    "text",
    ["shift 'A B'by=0.02", "shift 'A B by=0.02", "zero 'A'B", 'zero "A B', "like A other='X Y'z", "zero ''"],
)
def test_a_quote_that_is_not_closed_is_told_of_in_edits(text):
    with pytest.raises(DataError, match="quote"):
        list(parse_edits([text]))


@pytest.mark.parametrize(
    "text", ["'A B = 2%", "'A B' > 'C : 0.7", "'A > B' : 0.7", "'A'B = 2%", "vol('A, B) = 2%"]
)
def test_a_quote_that_is_not_closed_is_told_of_in_views(text):
    with pytest.raises(DataError, match="quote"):
        parse(text, semantics="constraint")


def test_an_apostrophe_within_a_word_is_none():
    assert parse("O'Neil = 2%", semantics="constraint").asset == "O'Neil"
    assert [e.assets for e in parse_edits(["zero O'Neil l'Air"])] == [("O'Neil", "l'Air")]
