"""Every public name says what it is and names its parameters; the most used have examples that run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))
described = importlib.import_module("described")
sys.path.remove(str(ROOT / "docs" / "_ext"))

NAMES = {
    f"{room}.{name}": thing for room in described.ROOMS for name, thing in described.names_of(room).items()
}
# Used most, by the notebooks and pages: each has an example.
WITH_EXAMPLES = (
    "bdfm.demo",
    "bdfm.read_prices",
    "bdfm.read_universe",
    "bdfm.Panel",
    "bdfm.FactorModel",
    "bdfm.presets",
    "bdfm.SamplerSettings",
    "bdfm.Forecast",
    "bdfm.quantile_probabilities",
    "bdfm.outcome_quantiles",
    "bdfm.ranked_probability_score",
    "bdfm.information_ratio",
    "bdfm.decide",
    "bdfm.Changes",
    "bdfm.forecast.views.parse",
    "bdfm.risk.StatisticalEstimator",
    "bdfm.backtest.origin_dates",
)


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


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(name):
    thing = NAMES[name]
    tests = doctest.DocTestFinder(recurse=False).find(inspect.unwrap(thing), name, globs={})
    examples = [test for test in tests if test.examples]
    assert examples, f"{name} has no example"
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    said: list[str] = []
    for test in examples:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
