"""Every public name says what it is and names its parameters; each is shown in use, by examples that run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

NAMES = {
    f"{room}.{name}": thing for room in described.ROOMS for name, thing in described.names_of(room).items()
}
DIRECT = {n for n, thing in NAMES.items() if described.has_example(thing) or described.pages_with(n)}
ELSEWHERE = {
    "bdfm.yahoo": "a network",
    "bdfm.exposures.total_correlation": "PyTorch",
}  # what an example needs


def parameters(thing) -> set[str]:
    """Names of parameters that a caller may give; ``kind`` only repeats the class."""
    if isinstance(thing, type) and getattr(thing, "_is_protocol", False):
        return set()
    found = inspect.signature(thing).parameters.values()
    return {p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and p.name[0] != "_"} - {
        "kind"
    }


def test_all_rooms_are_looked_at():
    assert len(NAMES) > 100
    assert parameters(NAMES["bdfm.fit"]) >= {"model", "panel", "seed", "settings", "warm_from"}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is_and_names_its_parameters(name):
    thing = NAMES[name]
    text = inspect.getdoc(thing) or ""
    assert len(text) > 20
    assert text.split("\n\n")[0].rstrip().endswith((".", ":", ";")), f"{name}: its first line is no sentence"
    comments = described.comments_of(thing) if isinstance(thing, type) else {}
    if isinstance(thing, type):  # what a class shares with its kind, the base class says
        text = " ".join(k.__doc__ or "" for k in thing.__mro__ if k.__module__.startswith("bdfm"))
    missing = sorted(p for p in parameters(thing) if not re.search(rf"\b{p}\b", text) and p not in comments)
    assert not missing, f"{name} does not say what these are: {', '.join(missing)}"


@pytest.mark.parametrize("name", [n for n, thing in NAMES.items() if described.has_example(thing)])
def test_examples_run(name):
    if name.startswith("bdfm.sktime."):
        pytest.importorskip("sktime.forecasting")
    thing = NAMES[name]
    tests = doctest.DocTestFinder(recurse=False).find(inspect.unwrap(thing), name, globs={})
    examples = [test for test in tests if test.examples]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    for test in examples:
        skipped = [e for e in test.examples if e.options.get(doctest.SKIP)]
        assert bool(skipped) == (name in ELSEWHERE)
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_every_public_name_is_shown_in_use():
    """By an example of its own, a page or a notebook, or by what gives such an object and is shown itself."""
    assert len(DIRECT) > 130
    for name in NAMES:
        by = {
            maker if maker in NAMES else maker.rpartition(".")[0]
            for maker in described.makers().get(name, ())
        }
        assert name in DIRECT or by & DIRECT, f"{name} has no example, and no page uses it"


def test_names_that_pages_import_are_in_the_reference():
    listed = (ROOT / "docs" / "reference" / "index.md").read_text(encoding="utf-8")
    patterns = re.findall(r"^generated/(\S+)$", listed, re.MULTILINE)
    for place in (*described.ROOMS, *described.MODULES):
        assert any(fnmatch(place, pattern) for pattern in patterns), f"docs/reference does not list {place}"
    known = {*NAMES, *described.ROOMS, *described.MODULES} - {"bdfm"}
    looked = 0
    for page, code in described.code_of_pages().items():
        for name in described.names_in(code) - {"bdfm"}:
            ways = [name.rsplit(".", k)[0] for k in range(name.count("."))]
            constant = name.rpartition(".")[2].isupper()
            assert constant or known & set(ways), f"{page}: {name} is in no page of the reference"
            looked += 1
    assert looked > 150


def test_names_are_found_in_code():
    code = "import bdfm\nfrom bdfm import risk, exposures as ex\nfrom bdfm.backtest import compare\n"
    code += "bdfm.views.parse(ex.KalmanBetas().fit)\ncompare(risk)\nother.risk"
    assert described.names_in(code) == {
        "bdfm", "bdfm.forecast.views", "bdfm.forecast.views.parse",
        "bdfm.exposures", "bdfm.exposures.KalmanBetas",
        "bdfm.backtest.compare", "bdfm.risk",
    }  # fmt: skip


def test_names_with_dots_on_pages_work_after_one_import():
    """``bdfm.scoring.calibration.pit`` of a page was an AttributeError until its module had been imported."""
    pages = [ROOT / "README.md", *(p for p in (ROOT / "docs").rglob("*.md") if "generated" not in p.parts)]
    names = {
        n for p in pages for n in re.findall(r"(?<![\w/.])bdfm(?:\.[A-Za-z_]\w*)+", p.read_text("utf-8"))
    }
    assert {"bdfm.posterior.leave_future_out.leave_future_out", "bdfm.inference.align.align"} <= names
    code = (
        "import sys, bdfm\n"
        "from bdfm.errors import MissingDependencyError\n"
        "for name in sys.argv[1:]:\n"
        "    found = bdfm\n"
        "    try:\n"
        "        for part in name.split('.')[1:]:\n"
        "            found = getattr(found, part)\n"
        "    except MissingDependencyError:\n"
        "        pass\n"
        "    except AttributeError:\n"
        "        print(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *sorted(names)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
