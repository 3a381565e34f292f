"""The tables of concepts in docs/risk.md and docs/exposures.md name things and options that exist."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./(bdfm/[\w/]+)\.py\)")
OPTION = re.compile(r"`bdfm (\w+)((?: --[\w-]+)?)`")
LEAST = {"risk.md": 75, "exposures.md": 22}


def rows(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.split("## Where each concept is")[1].split("\n## ")[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def exists(name: str, module: str) -> bool:
    thing = importlib.import_module(module.replace("/", "."))
    for part in name.split("."):
        known = getattr(thing, "__dataclass_fields__", {}) | getattr(thing, "model_fields", {})
        if not hasattr(thing, part) and part not in known:
            return False
        thing = getattr(thing, part, None)
    return True


def offered(command: str, option: str) -> bool:
    """Whether docs/commands.md, which is made from the commands, has the command and its option."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    part = text.partition(f"## bdfm {command}\n")[2].partition("\n## ")[0]
    return bool(part) and (not option or f"`{option} " in part or f"`{option}`" in part)


@pytest.mark.parametrize("page", LEAST)
def test_every_concept_leads_to_a_name_that_exists(page):
    found = [(row, LINK.findall(row)) for row in rows(page)]
    assert len(found) >= LEAST[page]
    assert [row for row, links in found if not links and "](exposures.md#" not in row] == []
    missing = [
        f"{module}: {name}" for _, links in found for name, module in links if not exists(name, module)
    ]
    assert missing == []


@pytest.mark.parametrize("page", LEAST)
def test_options_exist(page):
    named = [(c, o.strip()) for row in rows(page) for c, o in OPTION.findall(row)]
    assert len(named) >= 5
    assert [x for x in named if not offered(*x)] == []


def test_a_name_that_is_not_there_is_found_out():
    assert exists("RiskModel.decompose", "bdfm/risk/base")
    assert not exists("RiskModel.no_such", "bdfm/risk/base")
    assert not exists("nothing", "bdfm/risk/base")
    assert offered("risk", "--hedge")
    assert not offered("risk", "--no-such")
    assert not offered("nothing", "")


def test_equations_of_the_page_are_numbered_without_gaps():
    text = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"\\qquad \(R(\d+)\)", text)] == list(range(1, 28))
