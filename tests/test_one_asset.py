"""An asset that a setting or an argument names is ``asset``; ``symbol`` is a column, and an old name."""

from __future__ import annotations

import copy
import importlib
import inspect
import json
import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from bdfm import Evidence, Forecast, Posterior, _sealed, views
from bdfm.errors import DataError, RenamedWarning, UnknownLabelError
from bdfm.forecast import edits
from bdfm.forecast.changes import Changes
from bdfm.report.run_file import EvidenceTable, RunFile

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

TEXTS = {
    "zero": "zero A B", "drop": "drop A", "set_return": "set_return A value=0.1", "halted": "halted A",
    "acquired_for_cash": "acquired_for_cash A offer=20 price=19",
    "acquired_for_stock": "acquired_for_stock A acquirer=B ratio=1 price=2 acquirer_price=2",
    "like": "like A other=B", "shift": "shift A by=0.02", "scale": "scale A factor=2",
    "cap": "cap A upper=0.1", "replace": "replace A distribution=norm(0,0.1)",
}  # fmt: skip
METHODS = {
    "set_return": {"value": 0.1}, "halted": {}, "acquired_for_cash": {"offer": 20, "price": 19},
    "acquired_for_stock": {"acquirer": "B", "ratio": 1, "price": 2, "acquirer_price": 2}, 
    "like": {"other": "B"},
    "shift": {"by": 0.02}, "scale": {"factor": 2}, "cap": {"upper": 0.1}, "replace": {"draws": np.zeros(400)},
}  # fmt: skip
OTHER_SENSE = {
    "bdfm.yahoo",  # what Yahoo calls them
    "bdfm.forecast.edits.Record",  # a row of the history, whose column is symbols
    "bdfm.forecast.edits.Record.of",
}


@pytest.fixture(scope="module")
def forecast():
    draws = 0.05 * np.random.default_rng(1).standard_normal((400, 3))
    with warnings.catch_warnings(action="ignore"):
        return Forecast.from_draws(
            draws, assets=list("ABC"), asset_class=["x"] * 3, origin="2021-12-31", end="2022-01-28"
        )


def old(table):
    return {{"asset": "symbol", "assets": "symbols"}.get(k, k): x for k, x in table.items()}


def test_no_argument_and_no_field_has_the_old_name():
    wrong, seen = set(), 0
    for room in described.ROOMS:
        for name, thing in described.names_of(room).items():
            made = [(f"{room}.{name}", thing)]
            if isinstance(thing, type):
                made += [(f"{room}.{name}.{m}", x) for m, x in inspect.getmembers(thing) if m[0] != "_"]
            for at, one in made:
                try:
                    names = set(inspect.signature(one).parameters)
                except (TypeError, ValueError):
                    continue
                seen += bool({"asset", "assets"} & names)
                if {"symbol", "symbols"} & names:
                    wrong.add(at)
    assert seen > 40
    assert wrong == OTHER_SENSE


def test_all_edits_of_assets_are_here():
    assert set(TEXTS) == {kind for kind, edit in edits.EDITS.items() if edit.renamed}
    assert set(edits.EDITS) - set(TEXTS) == {"suspended"}
    assert set(METHODS) == {k for k in TEXTS if "asset" in inspect.signature(getattr(Forecast, k)).parameters}


@pytest.mark.parametrize("kind", TEXTS)
def test_an_edit_takes_the_old_name_with_a_warning(kind):
    (new,) = edits.parse_edits([TEXTS[kind]])
    name = "assets" if "assets" in new.model_fields_set else "asset"
    was = name.replace("asset", "symbol")
    told = rf"^{re.escape(new.where)}: {was} is called {name} now\. Write {name}"
    table = old(new.to_dict())
    assert was in table
    with pytest.warns(RenamedWarning, match=told) as warned:
        made = edits.EDITS[kind](**table)
    assert made == new
    assert len(warned) == 1
    assert warned[0].filename == __file__
    with pytest.warns(RenamedWarning, match=told):
        changes = Changes.from_dict({"edits": [table]})
    assert changes.edits == (new,)
    assert not re.search(r"\bsymbols?\b", changes.to_toml())
    with pytest.warns(RenamedWarning, match=f"{type(new).__name__}: {was} is called {name} now"):
        assert getattr(new, was) == getattr(new, name)
    assert was not in new.model_dump()
    with pytest.warns(RenamedWarning, match=f"{was} is called {name} now"):
        assert getattr(new.model_copy(update={was: ("C",) if was == "symbols" else "C"}), name)[0] == "C"
    with pytest.raises(DataError, match=f"both {was} and {name} are given"):
        edits.EDITS[kind](**new.to_dict(), **{was: table[was]})


@pytest.mark.parametrize("name", METHODS)
def test_a_method_takes_the_old_name_with_a_warning(name, forecast):
    new = getattr(forecast, name)(asset="A", **METHODS[name])
    with pytest.warns(RenamedWarning, match=rf"Forecast\.{name}: symbol is called asset now") as warned:
        made = getattr(forecast, name)(symbol="A", **METHODS[name])
    assert made.records == new.records
    assert warned[0].filename == __file__


def test_replace_by_takes_the_old_name():
    with pytest.warns(RenamedWarning, match=r"Replace\.by: symbol is called asset now"):
        assert edits.Replace.by(symbol="A", draws=[0.1, 0.2]).asset == "A"


def test_a_text_takes_the_old_name():
    with pytest.warns(RenamedWarning, match="symbol is called asset now"):
        (edit,) = edits.parse_edits(["shift by=0.02 symbol=A"])
    assert edit == edits.Shift(asset="A", by=0.02)


def test_evidence_takes_the_old_name_with_a_warning():
    new = Evidence(asset="A", mean=0.02, sd=0.1)
    assert new == ("A", 0.02, 0.1, 1)
    assert Evidence._fields[0] == "asset"
    with pytest.warns(RenamedWarning, match="^Evidence: symbol is called asset now") as warned:
        assert Evidence(symbol="A", mean=0.02, sd=0.1) == new
    assert warned[0].filename == __file__
    with pytest.warns(RenamedWarning, match="^Evidence: symbol is called asset now"):
        assert new.symbol == "A"
    for replaced in (Evidence._replace, getattr(copy, "replace", Evidence._replace)):
        with pytest.warns(RenamedWarning, match="symbol is called asset now"):
            assert replaced(new, symbol="B") == Evidence("B", 0.02, 0.1)
    with pytest.raises(DataError, match="both symbol and asset are given"):
        Evidence(symbol="A", asset="A", mean=0.02, sd=0.1)
    with pytest.raises(TypeError, match="mean"):
        Evidence(asset="A", sd=0.1)
    assert pickle.loads(pickle.dumps(new)) == new


def test_views_call_theirs_assets():
    view = views.Absolute(asset="A", mean=0.02, sd=0.1, semantics="evidence")
    with pytest.warns(RenamedWarning, match="Absolute: symbols is called assets now"):
        assert view.symbols == view.assets == ("A",)


def test_a_table_of_evidence_takes_the_old_name_with_a_warning():
    with pytest.warns(RenamedWarning, match="^evidence: symbol is called asset now") as warned:
        assert EvidenceTable(symbol="A", mean=0.0, sd=0.1).asset == "A"
    assert warned[0].filename == __file__
    with pytest.warns(RenamedWarning, match="^evidence: symbol is called asset now") as warned:
        assert EvidenceTable.model_validate({"symbol": "A", "mean": 0.0, "sd": 0.1}).asset == "A"
    assert warned[0].filename == __file__


def test_a_run_file_takes_the_old_names_and_is_written_with_the_new():
    new = {
        "data": {"origin": "2022-01-07", "demo": True},
        "evidence": [{"asset": "A", "mean": 0.0, "sd": 0.1}],
        "edits": [
            {"kind": "zero", "assets": ["B"]},
            {"kind": "shift", "asset": "C", "by": 0.01, "step": 2},
            {"kind": "suspended", "asset_class": "x"},
        ],
    }
    given = new | {k: [old(t) for t in new[k]] for k in ("evidence", "edits")}
    with pytest.warns(RenamedWarning) as warned:
        run = RunFile.from_table(given, where="month.toml")
    assert sorted(str(w.message).split(" now")[0] for w in warned) == [
        "evidence: symbol is called asset",
        "shift C: symbol is called asset",
        "zero: symbols is called assets",
    ]
    with warnings.catch_warnings(action="error"):
        assert run == RunFile.from_table(new, where="month.toml")
        assert run.model_copy(update={"seed": 2}).edits == run.edits
        assert not re.search(r"\bsymbols?\b", run.to_toml())
    for key in ("evidence", "edits"):
        both = new | {key: [*new[key][:1], {"kind": "halted", "asset": "C"} | {"symbol": "C"}]}
        with pytest.raises(DataError, match="both symbol and asset are given, its new name"):
            RunFile.from_table(both, where="month.toml")


@pytest.mark.parametrize("key", ["symbl", "asst"])
def test_an_unknown_key_is_told_beside_the_new_name(key):
    for make in (
        lambda: edits.Shift(**{key: "A", "by": 0.1}),
        lambda: EvidenceTable(**{key: "A", "mean": 0.0, "sd": 0.1}),
    ):
        with pytest.raises((DataError, UnknownLabelError)) as told:
            make()
        assert re.search(r"\basset\b", str(told.value))
        assert not re.search(r"\bsymbols?\b", str(told.value))


def test_a_key_that_is_missing_is_told_by_the_new_name():
    with pytest.raises(DataError, match="the key asset is missing"):
        edits.Shift(by=0.1)
    with pytest.raises(DataError, match="evidence: the key asset is missing"):
        EvidenceTable(mean=0.0, sd=0.1)


def test_an_old_pickle_of_an_edit_keeps_its_values():
    new = edits.AcquiredForCash(asset="A", offer=20.0, price=19.0)
    state = new.__getstate__()
    loaded = edits.AcquiredForCash.__new__(edits.AcquiredForCash)
    loaded.__setstate__(
        state | {"__dict__": old(state["__dict__"]), "__pydantic_fields_set__": {"symbol", "offer", "price"}}
    )
    assert loaded == new
    assert loaded.to_dict() == new.to_dict()
    assert pickle.loads(pickle.dumps(new)) == new


# What a forecast of the version before holds of an edit of one asset, of two, and of a view
OLD_RECORDS = [
    {"kind": "zero", "symbols": ["B", "C"], "parameters": {},
     "text": "B, C: return set to zero in every draw."},
    {"kind": "shift", "symbols": ["A"], "parameters": {"by": 0.02}, "text": "A: return shifted by +2.0000%."},
    {"kind": "evidence", "symbols": ["A"], "parameters": {"mean": 0.02, "sd": 0.1},
     "text": "A returns 2.0000% ± 10.0000% (evidence inside the model)."},
    {"kind": "view", "symbols": ["A"],
     "parameters": {"view": "absolute", "step": 3, "semantics": "evidence", "mean": 0.1, "sd": 0.5,
                    "asset": "A"},
     "text": "A returns 10% ± 50% (evidence)."},
]  # fmt: skip


def test_a_forecast_saved_before_is_read_and_replayed(forecast, tmp_path):
    forecast.save(tmp_path / "f.nc")
    table = _sealed.load_dataset(tmp_path / "f.nc", kind="forecast")
    table["records"] = ((), json.dumps(OLD_RECORDS))
    _sealed.save_dataset(table, tmp_path / "old.nc", kind="forecast")
    with warnings.catch_warnings(action="error"):
        loaded = Forecast.load(tmp_path / "old.nc")
        assert list(loaded.history()["symbols"]) == ["B, C", "A", "A", "A"]
        changes = Changes.from_records([r for r in loaded.records if r.kind != "evidence"])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="views: ")
            replayed = changes.apply(forecast)
    assert changes.edits == (edits.Zero(assets=("B", "C")), edits.Shift(asset="A", by=0.02))
    assert [r.to_dict()["symbols"] for r in replayed.records] == [["B", "C"], ["A"], ["A"]]


def test_a_posterior_saved_before_is_read(tiny_model, tiny_panel, random_draws, tmp_path):
    stated = (Evidence(tiny_panel.assets[0], 0.02, 0.1),)
    draws = random_draws(tiny_model, tiny_panel, evidence=stated)
    made = Posterior.from_draws(draws, draws[[]], tiny_model, tiny_panel, {"seed": 1}, evidence=stated)
    made.save(tmp_path / "p.nc")
    with warnings.catch_warnings(action="error"):
        loaded = Posterior.load(tmp_path / "p.nc")
        assert loaded.attrs["evidence"] == json.dumps([[tiny_panel.assets[0], 0.02, 0.1]])
        assert loaded.evidence == stated
        assert loaded.evidence[0].asset == tiny_panel.assets[0]


def test_pages_models_notebooks_and_scripts_have_the_new_name():
    """Keys of TOML and keywords; columns of tables are symbols."""
    files = [ROOT / "README.md", *(ROOT / "models").glob("*.toml")]
    files += [p for p in (ROOT / "docs").rglob("*.md") if not {"_build", "generated"} & set(p.parts)]
    texts = {str(p): p.read_text(encoding="utf-8") for p in files}
    texts |= {str(p): p.read_text(encoding="utf-8") for p in (ROOT / "scripts").rglob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [o.get("text", "") for c in cells for o in c.get("outputs", ())]
        texts[str(path)] = "\n".join("".join(x) for x in [*(c["source"] for c in cells), *outputs])
    assert len(texts) > 80
    wrong = {p: m[0] for p, text in texts.items() if (m := OLD.search(text)) and "names.md" not in p}
    assert not wrong
    page = texts[str(ROOT / "docs" / "names.md")].partition("## Renamed")
    assert not OLD.search(page[0])
    assert "`[[evidence]] symbol`" in page[2]


OLD = re.compile(
    r"""(?<!assign\()\bsymbol=|^symbol = ["']|^kind = .*\nsymbols|\bsymbols=|\[\[\w+\]\] symbol""", re.M
)


def test_the_pattern_finds_old_names():
    for text in ('[[edits]] symbol="A"', "Evidence(symbol=x)", 'Zero(symbols=("A",))'):
        assert OLD.search(text)
    assert OLD.search('kind = "shift"\nsymbol = "A"')
    assert not OLD.search('universe["symbol"], "shift XOM asset=A"')


def test_the_text_of_an_edit_names_its_assets_with_or_without_the_key():
    for text in ("zero A B", "zero assets=A,B"):
        (edit,) = edits.parse_edits([text])
        assert edit.assets == ("A", "B")
    with pytest.warns(RenamedWarning, match="symbols is called assets"):
        (edit,) = edits.parse_edits(["zero symbols=A"])
    assert edit.assets == ("A",)
    with pytest.raises(DataError, match="Give each once"):
        list(edits.parse_edits(["zero A assets=B"]))
    with pytest.raises(DataError, match="both symbols and assets"):
        list(edits.parse_edits(["zero A symbols=B"]))
    with pytest.raises(DataError, match="no asset named"):
        list(edits.parse_edits(["zero"]))
