"""What the tutorial says its commands print is what they print, all draws."""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts" / "docs"
sys.path.insert(0, str(SCRIPTS))
outputs = importlib.import_module("outputs")
sys.path.remove(str(SCRIPTS))

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
ROW = re.compile(r"^ *[A-Z]{1,5}(?: |:)")  # of an asset: which of them stand beside the cut is chance
# Of lines that name the worst quantity, wall seconds, or how many draws came, words alone are compared.
CHANCE = ("converged:", "Seconds:", "Largest:")
APART = 0.6  # percentage points and percent: errors of probabilities of two machines' draws are some 0.1


def lines_of(text):
    """Lines of all outputs of a page."""
    return [line for part in re.findall(r"```text\n(.*?)```", text, re.DOTALL) for line in part.splitlines()]


def words_of(line):
    """A line without its numbers, and without what else is chance."""
    for start in CHANCE:
        if line.startswith(start):
            return start + (re.sub(r"[\d.]+", "#", line) if start == "Seconds:" else "")
    return " ".join(NUMBER.sub("#", line).split())


def numbers_of(line):
    return [float(x.replace(",", "")) for x in NUMBER.findall(line)]


def differences(old, new):
    """What two texts of the page say otherwise, beyond chance."""
    old, new = lines_of(old), lines_of(new)
    words, now = (Counter(words_of(x) for x in lines if not ROW.match(x)) for lines in (old, new))
    told = [f"not printed: {x}" for x in words - now] + [f"not on the page: {x}" for x in now - words]
    for place, line in enumerate(old):
        mates = [x for x in new if words_of(x) == words_of(line)]
        if line.startswith(CHANCE) or "effective of" in line or not mates:
            continue
        own = numbers_of(line)
        near = any(all(abs(a - b) <= APART for a, b in zip(own, numbers_of(x), strict=True)) for x in mates)
        told += [] if near else [f"line {place}: {line}, now {mates[0]}"]
    return told


@pytest.mark.long
def test_the_tutorial_prints_what_it_says():
    page = outputs.PAGE.read_text(encoding="utf-8")
    assert differences(page, outputs.written()) == []


def test_an_output_that_is_none_any_more_is_found():
    page = outputs.PAGE.read_text(encoding="utf-8")
    assert len(lines_of(page)) > 60
    assert differences(page, page) == []
    for was, other, n in (
        ("diagnose 0.", "judge 0.", 2),
        ("Sampling 4 chains", "Drawing 4 chains", 2),
        ("Findings: 0 refuse", "Findings: 7 refuse", 1),
        ("VLUE      4.6", "VLUE      9.6", 1),
    ):
        assert page.count(was) >= 1, was
        assert len(differences(page.replace(was, other, 1), page)) == n, was
