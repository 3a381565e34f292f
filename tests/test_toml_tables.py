"""Files that people write: a table or key that nothing reads is refused, wherever in the file it stands."""

from __future__ import annotations

import re
import tomllib

import pytest
import tomli_w

from bdfm import _toml
from bdfm.errors import DataError, UnknownLabelError
from bdfm.forecast.changes import Changes
from bdfm.model.factor_model import FactorModel, presets
from bdfm.names import RUN_TABLES
from bdfm.portfolio.mandate import Mandate
from bdfm.report.run_file import RunFile, read_run_file

EDIT = {"kind": "shift", "asset": "A", "by": 0.01}
VIEW = {"kind": "absolute", "asset": "A", "mean": 0.01, "semantics": "constraint"}
MANDATE = {
    "objective": "mean_cvar",
    "weights": {"A": [0.0, 0.5]},
    "limits": {"asset_class": {"x": [0.0, 1.0]}},
}
LABELS = ("aliases", "shares", "holdings", "weights", "limits", "asset_class")  # keys are a user's own names
RUN = {
    "seed": 1,
    "data": {"origin": "2022-01-07", "demo": True},
    "sampler": {"chains": 2},
    "aliases": {"FB": "META"},
    "evidence": [{"asset": "A", "mean": 0.0, "sd": 0.1}],
    "edits": [EDIT],
    "views": [VIEW],
    "shares": {"me": 1.0},
    "mandate": MANDATE,
    "holdings": {"A": 0.5},
}
CHANGES = {"edits": [EDIT], "views": [VIEW], "shares": {"me": 1.0}, "pool": "linear"}


def run_file(path):
    run, _ = read_run_file(path)
    return Changes.from_dict({"edits": list(run.edits), "views": list(run.views)})


DOORS = {
    "run file": (RUN, run_file),
    "changes": (CHANGES, Changes.from_toml),
    "mandate": ({"mandate": MANDATE, "holdings": {"A": 0.5}}, Mandate.from_toml),
    "mandate of a run file": (RUN, Mandate.from_toml),
    **{name: (tomllib.loads(path.read_text()), FactorModel.from_toml) for name, path in presets().items()},
}


def places(table, where=()):
    """Tables of a tree whose keys are words of the package."""
    found = [where]
    for key, value in table.items():
        if key in LABELS:
            continue
        if isinstance(value, dict):
            found += places(value, (*where, key))
        elif isinstance(value, list):
            found += [
                p for k, x in enumerate(value) if isinstance(x, dict) for p in places(x, (*where, key, k))
            ]
    return found


# Who asks for the mandate of a run file is told of its tables; their contents are the run's.
CASES = [
    (door, where)
    for door, (table, _) in DOORS.items()
    for where in places(table)
    if door != "mandate of a run file" or where[:1] in ((), ("mandate",))
]


@pytest.mark.parametrize(("door", "where"), CASES)
@pytest.mark.parametrize("value", [1, {"x": 1}, [{"x": 1}]])
def test_what_nothing_reads_is_refused(door, where, value, tmp_path):
    table, read = DOORS[door]
    table = tomllib.loads(tomli_w.dumps(table))
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(table))
    read(path)
    inside = table
    for key in where:
        inside = inside[key]
    inside["odd_one"] = value
    path.write_text(tomli_w.dumps(table))
    with pytest.raises(UnknownLabelError, match="odd_one"):
        read(path)


def test_every_table_is_tried():
    assert len(CASES) > 60
    assert {w[0] for d, w in CASES if d == "run file" and w} == {
        "data", "sampler", "evidence", "edits", "views", "mandate",
    }  # fmt: skip


def test_a_run_file_has_these_tables_and_no_others():
    assert set(RUN_TABLES) == set(RunFile.model_fields)
    assert len(RUN_TABLES) == len(RunFile.model_fields)


# Tables of a user's own names, and a value in each
OWN_NAMES = {
    "[aliases]": '"X"',
    "[shares]": "1.0",
    "[holdings]": "0.5",
    "[mandate]\nweights.": "[0.0, 0.5]",
    "[mandate]\nbenchmark.": "0.5",
    "[mandate]\nlimits.sector.": "[0.0, 0.5]",
}


@pytest.mark.parametrize("label", ["BRK.B", "AT&T", "Währung", "SAP DE", "^GSPC", "B.R.K", "a'b", 'a"b'])
@pytest.mark.parametrize("table", OWN_NAMES)
def test_a_name_that_needs_quotes_is_told_them(table, label, tmp_path):
    """What the message says to write is read."""
    value, path = OWN_NAMES[table], tmp_path / "run.toml"
    begin = "[data]\ndemo = true\norigin = 2020-12-18\n" + table + ("\n" if table.endswith("]") else "")

    def reading(name):
        path.write_text(f"{begin}{name} = {value}\n", encoding="utf-8")
        return read_run_file(path)[0]

    with pytest.raises(DataError) as error:
        reading(label)
    said = re.search(r"stands in quotes: (\"[^\"]*\"|'[^']*') = ", str(error.value))
    if set(label) & {"'", '"'}:  # which of its quotes is meant, nothing says
        assert said is None
        return
    assert said[1] == f'"{label}"'
    assert label in str(reading(said[1]).model_dump())


VALUES = {
    "model = house": 'A text stands in quotes: "house".',
    "accept = [jump]": 'A text stands in quotes: "jump".',
    "keep_draws = True": "Write true.",
    "seed =": "A value is missing.",
    "n_draws = .5": "A number is written such as 0.5.",
    "memory = 0,5": "Numbers have a decimal point.",
    "[zero]\nBRK": "A line is NAME = VALUE, or the name of a table in brackets.",
}


@pytest.mark.parametrize("line", VALUES)
def test_what_is_no_toml_is_told_what_to_write(line):
    with pytest.raises(DataError, match=r"not valid TOML: .* \(at line [23], column \d+\)") as error:
        _toml.parsed(f"\n{line}\n", where="x")
    assert str(error.value).endswith(VALUES[line])


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("limits.Vermögensklasse.Aktien = [0.0, 1.0]", 'stands in quotes: "Vermögensklasse"'),
        ("[mandate.limits.GICS Sector]", 'stands in quotes: "GICS Sector"'),
        ('limits."GICS Sector".Oil & Gas = [0, 1]', 'stands in quotes: "Oil & Gas"'),
        ("BRK/B = 0.1", 'stands in quotes: "BRK/B"'),
        ("prices = prices.csv # of today", 'A text stands in quotes: "prices.csv"'),
        ('prices = "C:\\Users\\prices.csv"', "in single quotes: 'C:\\Users\\prices.csv'"),
        ('p = "C:\\data\\x.csv" # prices', "single quotes: 'C:\\data\\x.csv'."),
        ('p = {a = "C:\\data", b = 1}', "single quotes: 'C:\\data'."),
        ('p = [\n"a", "C:\\data", "D:\\y"]', "single quotes: 'C:\\data'."),
        ('p = "C:\\data\\"', "single quotes: 'C:\\data\\'."),
        ('p = "C:\\it\'s"', """each \\ is written twice: "C:\\\\it's"."""),
        ("p = C:\\My files\\x.csv # y", "A text stands in single quotes: 'C:\\My files\\x.csv'."),
        ("a = b # x\\y", 'A text stands in quotes: "b".'),
        ("a = “house”", 'Quotes are straight in TOML: " and not “.'),
        ("“AT&T” = 1", 'Quotes are straight in TOML: " and not “.'),
        ("limits.Land = {“DE” = 1}", 'Quotes are straight in TOML: " and not “.'),
        ("m = my model", 'A text stands in quotes: "my model".'),
        ("a = None", 'Leave it out where nothing is meant; a text stands in quotes: "None".'),
        ("a = -Inf", "Write -inf; a text"),
        ("a = NaN", "Write nan; a text"),
        ("short = yes", "Write true; a text"),
        ("accept = [NO]", 'Write false; a text stands in quotes: "NO".'),
        ("a = 1,000", "Numbers have no commas, and a decimal point."),
        ("[GICS Sector] # all", 'stands in quotes: "GICS Sector".'),
    ],
)
def test_a_line_that_is_no_toml_is_told_with_what_it_would_be(line, hint, tmp_path):
    path = tmp_path / "month.toml"
    path.write_text(f"# a month\n{line}\n{tomli_w.dumps(RUN)}", encoding="utf-8")
    for read in (read_run_file, Mandate.from_toml):
        with pytest.raises(DataError) as told:
            read(path)
        assert "month.toml: not valid TOML: " in str(told.value)
        assert "at line 2, " in str(told.value) or "\n" in line
        assert hint in str(told.value)


MIXED = {
    'a = "b”': '" and not ”.',
    'a = "b”\nc = "d"': '" and not ”.',
    "a = 'b’": "' and not ’.",
    "a = 'b”": "' and not ”.",
    'a = "b“ # of today': '" and not “.',
    'a = "b” # "c"': '" and not ”.',
    'a = "b»': '" and not ».',
    'a = "b″': '" and not ″.',
    'a = "C:\\data”': '" and not ”.',
    'a = {x = "y”}': '" and not ”.',
    'a = ["x”, "y"]': '" and not ”.',
    "a = ['x', 'y’]": "' and not ’.",
    'a = [\n"x”,\n"y"]': '" and not ”.',
    '"a b” = 1': '" and not ”.',
    "a = ‘b'": '" and not ‘.',
    "a = `b`": '" and not `.',
    "a = b”": 'stands in quotes: "b".',
    "a = \"b'": "A text ends with the quote it begins with: \" and not '.",
    "a = ['b\", 'c']": "A text ends with the quote it begins with: ' and not \".",
}


@pytest.mark.parametrize("line", MIXED)
def test_quotes_of_two_kinds_around_one_text(line, tmp_path):
    path = tmp_path / "month.toml"
    path.write_text(f"{line}\n", encoding="utf-8")
    for read in (read_run_file, Mandate.from_toml):
        with pytest.raises(DataError, match=r"not valid TOML") as told:
            read(path)
        assert str(told.value).endswith(MIXED[line])


NO_HINT = [
    'a = "he said: “x”, right" c',
    'a = "O’Neil" b',
    'a = "it\'s", 5',
    "a = 1 2",
    "[[edits]",
    'x = "abc',
    "= 3",
    "p = 'C:\\x' y",
    'a = "x", 5',
    "a = 0, 5",
    "a = house, tree",
]
NO_HINT += ["a = [1,\n 2,5x]", "a = x = 3", "a = it's", 'a = """\n"C:\\data"\n"""', "a = $5", "a = 5%"]


@pytest.mark.parametrize("line", NO_HINT)
def test_a_line_that_may_mean_anything_has_no_hint(line, tmp_path):
    path = tmp_path / "month.toml"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"not valid TOML: [^)]*\)\.$"):
        read_run_file(path)


@pytest.mark.parametrize("name", ["a\"b'c", 'a"b', "a'b", "a\\b", "a\\b'c", "a b", "é", "a\nb", '"', "", "x"])
def test_a_key_is_one_of_toml(name):
    assert tomllib.loads(f"{_toml.key(name)} = 1") == {name: 1}


HOLDINGS = "[mandate]\nlong_only = true\n[holdings]\n"


@pytest.mark.parametrize("read", [read_run_file, Mandate.from_toml])
@pytest.mark.parametrize("more", ["", "BRK.A = 0.2\n"])
def test_a_holding_with_a_point_is_told_its_quotes(read, more, tmp_path):
    path = tmp_path / "m.toml"
    data = "[data]\ndemo = true\norigin = 2020-12-18\n" if read is read_run_file else ""
    path.write_text(f"{data}{HOLDINGS}BRK.B = 0.1\n{more}", encoding="utf-8")
    with pytest.raises(DataError, match=r'stands in quotes: "BRK\.B" = 0\.1\.$'):
        read(path)


@pytest.mark.parametrize("line", ["max_weight.x = 1", "cost_bps.x = 1"])
def test_a_setting_is_no_name_with_a_point(line, tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(f"[mandate]\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError) as error:
        Mandate.from_toml(path)
    assert "should be a number" in str(error.value)
    assert "stands in quotes" not in str(error.value)
