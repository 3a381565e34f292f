"""Numbers in what a person types: one rule at every door."""

import pandas as pd
import pytest

from bdfm import _checks, _numbers, _numerals
from bdfm.cli.month import _evidence
from bdfm.errors import DataError
from bdfm.forecast.edits import parse_edits
from bdfm.forecast.view_texts import parse
from bdfm.forecast.views import Absolute, Portfolio, Relative
from bdfm.risk.scenario_texts import parse_shock

ODD = [
    "1_0",
    "0.0_1",
    "1_0e-3",
    "nan",
    "inf",
    "Infinity",
    "0x10",
    "1e",
    "",
    "1 0",
    "1,5",
    "--1",
    "\uff15",
    "\u0665.5",
]


def edit(text):
    (found,) = parse_edits([text])
    return found


def cell(text):
    return _numbers.floats(pd.DataFrame({"A": [text, "1.5"]}), where="table")["A"][0]


# A number within the text of each door, and how it is read there.
DOORS = {
    "view": lambda x: parse(f"A = {x} +- 0.1", semantics="evidence").mean,
    "view, pair": lambda x: parse(f"A={x},0.10", semantics="evidence").mean,
    "view, tail": lambda x: parse(f"P(A < {x}) = 0.1", semantics="constraint").level,
    "view, correlation": lambda x: parse(f"corr(A, B) = {x}", semantics="constraint").correlation,
    "edit": lambda x: edit(f"shift A by={x}").by,
    "edit, distribution": lambda x: edit(f"replace A distribution=norm({x},0.1)").source.mean(),
    "evidence": lambda x: _evidence(f"A = {x} +- 10% over 5d").mean,
    "evidence, pair": lambda x: _evidence(f"A={x},0.10,5d").mean,
    "shock": lambda x: parse_shock(f"HML = {x}, SMB = 1%")[0]["HML"],
    "shock, sd": lambda x: parse_shock(f"HML = {x} sd")[0]["HML"],
    "text": _numerals.number,
    "cell": cell,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("dash", ["-", *_numerals.DASHES])
def test_every_dash_before_a_number_is_a_minus(door, dash):
    assert DOORS[door](f"{dash}0.05") == pytest.approx(-0.05)
    assert DOORS[door](f"{dash}5e{dash}2") == pytest.approx(-0.05) or door == "cell"


OTHERS = {("view, pair", "1,5"), ("evidence, pair", "1,5"), ("edit", "1 0")}  # another meaning there


@pytest.mark.parametrize(
    ("door", "text"), [(d, x) for d in list(DOORS)[:-2] for x in ODD if (d, x) not in OTHERS]
)
def test_what_only_python_takes_for_a_number_is_refused(door, text):
    with pytest.raises(DataError):
        DOORS[door](text)


@pytest.mark.parametrize("text", ["1_0", "0x10", "1_0.5", "1e1_0"])
def test_a_cell_that_only_python_takes_for_a_number_is_refused(text):
    with pytest.raises(DataError, match="not a number"):
        cell(text)


@pytest.mark.parametrize("dash", _numerals.DASHES)
def test_a_dash_between_two_terms_is_a_minus_and_one_in_a_name_is_none(dash):
    assert parse(f"A {dash} B = 1%", semantics="constraint") == Relative(
        asset="A", over="B", mean=0.01, semantics="constraint"
    )
    found = parse(f"{dash}0.5 A + 0.5 B{dash}C = {dash}1%", semantics="constraint")
    assert isinstance(found, Portfolio)
    assert (found.weights, found.mean) == ({"A": -0.5, f"B{dash}C": 0.5}, -0.01)
    found = parse(f"'A {dash} B {dash}1' = {dash}1%", semantics="constraint")
    assert isinstance(found, Absolute)
    assert (found.asset, found.mean) == (f"A {dash} B {dash}1", -0.01)


def test_whole_numbers_of_texts():
    assert edit("replace A distribution=norm(0,0.1) seed=7").seed == 7
    assert [_numerals.whole(x) for x in ("7", " 7 ", "+7", "\u22127", "7.0", "7_0", "9" * 4001)] == [
        7, 7, 7, -7, None, None, None
    ]  # fmt: skip
    with pytest.raises(DataError, match="seed should be a whole number, got '1_0'"):
        edit("replace A distribution=norm(0,0.1) seed=1_0")


OPTIONS = [
    ("stress", "--half-life-periods", "nan"),
    ("stress", "--horizon", "inf"),
    ("stress", "--loss", "1_0"),
    ("forecast", "--seed", "1_0"),
    ("backtest", "--max-rhat", "nan"),
    ("view", "--confidence", "0_1"),
    ("decide", "--exposure", "nan"),
    ("track", "--false-alarm", "0.0_5"),
    ("compare", "--lags", "1_0"),
]


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize(("command", "option", "text"), OPTIONS)
def test_options_take_numbers_by_the_same_rule(command, option, text, joined, bdfm_command):
    code, _, err = bdfm_command(command, "x", *([f"{option}={text}"] if joined else [option, text]))
    assert code == 2
    assert f"{option}: '{text}' is no number" in err


@pytest.mark.parametrize("dash", ["-", *_numerals.DASHES])
def test_options_take_a_dash_for_a_minus(dash, bdfm_command):
    for words in (["--correlation", f"{dash}7"], [f"--correlation={dash}7"]):
        code, _, err = bdfm_command("stress", "--prices", "p.csv", *words)
        assert code == 2
        assert "'-7' is no number from -1 to 1" in err


def test_texts_that_look_like_numbers_stay_where_no_number_is_expected(bdfm_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, _, err = bdfm_command("report", "20_20")
    assert "20_20" in err
    _, _, err = bdfm_command("report", "\u20135")
    assert "\u20135" in err


@pytest.mark.parametrize("value", ["0.5", b"1", True, None, [1], "x", 10**400])
def test_a_number_in_python_is_no_text(value):
    with pytest.raises(DataError, match="must be a number"):
        _checks.finite(value, what="x", where="here")
