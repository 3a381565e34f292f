"""The table of concepts in docs/risk.md names things that exist."""

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./(bdfm/[\w/]+)\.py\)")


def rows():
    text = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
    table = text.split("## Where each concept is")[1].split("\n## ")[0]
    return [line for line in table.splitlines() if line.startswith("| ")][1:]


def exists(name: str, module: str) -> bool:
    thing = importlib.import_module(module.replace("/", "."))
    for part in name.split("."):
        known = getattr(thing, "__dataclass_fields__", {})
        if not hasattr(thing, part) and part not in known:
            return False
        thing = getattr(thing, part, None)
    return True


def test_every_concept_leads_to_a_name_that_exists():
    found = [(row, LINK.findall(row)) for row in rows()]
    assert len(found) >= 40
    assert [row for row, links in found if not links] == []
    missing = [
        f"{module}: {name}" for _, links in found for name, module in links if not exists(name, module)
    ]
    assert missing == []


def test_a_name_that_is_not_there_is_found_out():
    assert exists("RiskModel.decompose", "bdfm/risk/base")
    assert not exists("RiskModel.no_such", "bdfm/risk/base")
    assert not exists("nothing", "bdfm/risk/base")


def test_equations_of_the_page_are_numbered_without_gaps():
    text = (ROOT / "docs" / "risk.md").read_text(encoding="utf-8")
    assert [int(n) for n in re.findall(r"\\qquad \(R(\d+)\)", text)] == list(range(1, 27))
