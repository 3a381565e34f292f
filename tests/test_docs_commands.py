"""docs/commands.md says what ``--help`` says, and README is short."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

from bdfm._renamed import OPTIONS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
commands = importlib.import_module("commands")
sys.path.remove(str(ROOT / "scripts" / "docs"))


def test_the_page_is_that_of_the_application():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == commands.page() + "\n", "options changed: run python scripts/docs/commands.py"


def test_the_page_has_every_option_of_help(bdfm_command):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## bdfm (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    _, out, _ = bdfm_command("--help")
    names = re.findall(r"^  (\w+)  ", out.partition("Commands:")[2], re.MULTILINE)
    assert set(names) == set(sections)
    assert len(names) >= 12
    for name in names:
        _, out, _ = bdfm_command(name, "--help")
        options = set(re.findall(r"^  (--[\w-]+)", out, re.MULTILINE)) - {"--help"}
        assert options == set(re.findall(r"^\| `(--[\w-]+)", sections[name], re.MULTILINE)), name


def test_options_that_pages_name_exist():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "scripts").rglob("*.py")]
    known = set(re.findall(r"--[a-z][\w-]+", page)) | {"--help", "--version"}
    known |= {option for text in scripts for option in re.findall(r"--[a-z][\w-]+", text)}
    texts = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    named = {
        option: path.name
        for path in texts
        if not {"_build", "generated"} & set(path.parts)
        for option in re.findall(r"`(--[a-z][\w-]+)[` =]", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 15
    assert {o: p for o, p in named.items() if o not in known} == {}


def test_commands_that_pages_name_have_the_options_that_they_are_given():
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## bdfm (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    texts = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *(ROOT / "models").glob("*.toml")]
    named = 0
    for path in texts:
        if {"_build", "generated"} & set(path.parts):
            continue
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for command, rest in re.findall(r"(?:`|^|&& )bdfm (\w+)([^`\n|;&#]*)", text, re.MULTILINE):
            if command in sections:
                known = set(re.findall(r"^\| `(--[\w-]+)", sections[command], re.MULTILINE)) | {"--help"}
                if path.name in ("CHANGELOG.md", "names.md"):  # these tell of the old names too
                    known |= set(OPTIONS.get(command, ()))
                given = set(re.findall(r"(?<!\S)(--[a-z][\w-]*)", rest))
                assert given <= known, f"{path.name}: bdfm {command} {sorted(given - known)}"
                named += 1
            else:
                assert command == "COMMAND" or not rest.strip().startswith("-"), (
                    f"{path.name}: bdfm {command}{rest}"
                )
    assert named > 60


def test_readme_is_of_one_screen_or_two():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert (
        lines.index(
            "make demo    # 20 US stocks and 5 factor ETFs, prices included: fits the model,"
            " writes a forecast to bdfm-demo/"
        )
        < 15
    )
