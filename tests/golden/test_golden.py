"""Golden records: every preset, from prices to files, gives what it gave when the records were made.

They are a net for changes that must change no number. After one that is meant to change some, write them anew
with ``python tests/golden/record.py`` (a minute) and say in the commit why. ``GOLDEN=exact`` asks for equal
digits, which needs the machine of the records and kernels that are compiled and cached already.

Last digits. The process that compiles the kernels of the Gibbs sampler gives other last digits than later
ones, which load them from the cache; the records are of the latter. Chains forget such differences rather
than let them grow, until a decision of the sampler falls the other way. Largest difference after the 60
sweeps of these fits, in sd of the draws, over nine models:

- compiled against cached, 20 seeds: median 5e-12, largest 1e-6 (house; all others below 1e-7);
- all features and returns of the panel changed in the last digit, 20 seeds: median 5e-12, largest 2e-6;
- with the seed that is used here: 2e-11 and 4e-11.

After 140 sweeps it was 1e-9 at most; in the demo, after 1,100 sweeps, 3e-11. The tolerance is 1e-7 on the
kind of machine that made the records and 1e-6 elsewhere. R-hat moves by more, with 40 draws by up to 2 %: the
two middle draws are equally far from the median but for last digits, which decide their ranks. Hence verdicts
and printed texts are compared only where the numbers they come from are equal to the last digit.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import golden_records
import numpy as np
import pytest
from golden_cases import CASES
from golden_records import Draws, Numbers, Record, Result, Text, differences


@cache
def result_of(case: str) -> Result:
    return CASES[case]()


@cache
def record_of(case: str) -> Record:
    return Record.load(case)


def groups() -> list[tuple[str, str]]:
    """Each case with the first parts of its entries' names, in their order."""
    pairs = [
        (case, name.partition("/")[0])
        for case in CASES
        for name in (*record_of(case).digests, *record_of(case).texts)
    ]
    return list(dict.fromkeys(pairs))


# The whole demo, and models of which other parts of the fast tests make fits or whose parts no preset shares.
LONG = {
    "demo", "fit_m6_evidence", "fit_stochastic_volatility_evidence",
    *(f"{kind}_{name}" for kind in ("fit", "density") for name in
      ("dynamic_loadings", "dynamic_instrumented", "instrumented", "market_volatility", "var")),
}  # fmt: skip


def marked() -> list[object]:
    """All groups as parameters; those of the cases above are marked long."""
    return [pytest.param(*g, marks=pytest.mark.long if g[0] in LONG else ()) for g in groups()]


@pytest.mark.parametrize(("case", "group"), marked())
def test_as_recorded(case, group):
    lines = differences(result_of(case), record_of(case), group)
    assert not lines, f"{case}:\n" + "\n".join(lines)


# The records themselves


@pytest.fixture
def result():
    rng = np.random.default_rng(1)
    return {
        "a/draws": Draws(rng.standard_normal((2, 20, 3))),
        "a/fixed": Draws(np.full((2, 20), 0.5)),
        "a/table": Numbers(np.array([[1.0, np.nan], [-300.0, 0.0]])),
        "a/counts": Numbers(np.array([3, 7]), atol=1),
        "a/facts": {"name": "x", "dims": ["asset", "window"]},
        "a/verdict": Text("R-hat 1.02", "a"),
        "b/other": 1,
    }


@pytest.fixture
def record(result, tmp_path, monkeypatch):
    """Record of the result, after a round trip through files."""
    for name, path in {"RECORDS": tmp_path, "FINGERPRINT": tmp_path / "fingerprint.json"}.items():
        monkeypatch.setattr(golden_records, name, path)
    golden_records.save_fingerprint()
    monkeypatch.delenv("GOLDEN", raising=False)
    Record.of(result).save("case")
    return Record.load("case")


def test_equal_results_agree(result, record, monkeypatch):
    assert not differences(result, record, "a")
    assert not differences(result, record, "b")
    monkeypatch.setenv("GOLDEN", "exact")
    assert not differences(result, record, "a")


def moved(entry, by):
    """The entry with its last number moved."""
    values = np.array(entry.values, dtype=float)
    values[(-1,) * values.ndim] += by
    return replace(entry, values=values)


@pytest.mark.parametrize("name", ["a/draws", "a/fixed", "a/table"])
def test_last_digits_may_differ(result, record, monkeypatch, name):
    changed = result | {name: moved(result[name], 1e-13), "a/verdict": Text("R-hat 1.03", "a")}
    assert not differences(changed, record, "a")
    monkeypatch.setenv("GOLDEN", "exact")
    assert len(differences(changed, record, "a")) == 1


@pytest.mark.parametrize(("name", "by"), [("a/draws", 1e-5), ("a/fixed", 1e-8), ("a/table", 1e-3)])
def test_more_than_last_digits_may_not(result, record, monkeypatch, name, by):
    changed = result | {name: moved(result[name], by)}
    monkeypatch.setattr(golden_records, "fingerprint", lambda: {"cpu": "another"})
    lines = differences(changed, record, "a")
    assert lines
    assert all(line.startswith(f"{name}, ") for line in lines)


def test_the_kind_of_machine_decides_the_tolerance(result, record, monkeypatch):
    changed = result | {"a/draws": moved(result["a/draws"], 1e-7)}
    assert differences(changed, record, "a")
    monkeypatch.setattr(golden_records, "fingerprint", lambda: {"cpu": "another"})
    assert not differences(changed, record, "a")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"a/counts": Numbers(np.array([3, 9]))}, "a/counts, all: 1 of 2 differ, first at (1,): 9, record 7"),
        ({"a/counts": Numbers(np.array([3]))}, "a/counts, all: shape (1,), record (2,)"),
        ({"a/table": Numbers(np.zeros((2, 2)))}, "a/table, all: 3 of 4 differ, first at (0, 0): 0, record 1"),
        ({"a/facts": {"name": "x", "dims": ["asset"]}}, "a/facts, dims: ['asset'], record"),
        ({"a/facts": {"dims": ["asset", "window"], "name": "x"}}, "a/facts: another order"),
        ({"a/verdict": Text("R-hat 1.03", "a")}, "a/verdict: 'R-hat 1.03', record 'R-hat 1.02'"),
        ({"a/new": 1}, "a/new: not in the record"),
    ],
)
def test_a_change_is_told(result, record, change, line):
    found = differences(result | change, record, "a")
    assert len(found) == 1
    assert found[0].startswith(line)


def test_what_is_missing_is_told(result, record):
    del result["a/facts"]
    assert differences(result, record, "a") == ["a/facts: not there any more"]
