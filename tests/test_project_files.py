"""Files about the project itself agree with it: citation, forms, CI, extras that the pages name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import bdfm

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == bdfm.__version__ == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["references"][0]["doi"] in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_docs_make_is_no_part_of_the_source_archive():
    """Its folders, which docs/.gitignore has, are 350 MB after ``make docs``."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    excluded = tool["hatch"]["build"]["targets"]["sdist"]["exclude"]
    ignored = (ROOT / "docs" / ".gitignore").read_text(encoding="utf-8").split()
    folders = [f"docs/{name.rstrip('/')}" for name in ignored if name.endswith("/")]
    assert len(folders) >= 3
    assert set(folders) <= set(excluded)


def test_forms_and_workflows_are_yaml():
    files = [*(ROOT / ".github").rglob("*.yml"), ROOT / ".pre-commit-config.yaml"]
    assert len(files) >= 5
    for file in files:
        assert yaml.safe_load(file.read_text(encoding="utf-8")), file


def test_ci_has_every_python_that_the_package_names():
    jobs = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text(encoding="utf-8"))["jobs"]
    pythons = jobs["tests"]["strategy"]["matrix"]["python"]
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    assert named == set(pythons)
    assert PROJECT["requires-python"] == f">={min(pythons)}"
    newest = max(pythons, key=lambda x: int(x.partition(".")[2]))
    after = f"3.{int(newest.partition('.')[2]) + 1}"
    assert f"--python '>={min(pythons)},<{after}'" in (ROOT / "Makefile").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert f"You need Python {', '.join(pythons[:-1])} or {newest}" in page
    assert all(f"make {t}" in str(jobs) for t in ("lint", "docs", "test-long", "test-slow"))


def test_install_names_every_extra():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"'\.\[(\w+)\]'", page)) == set(PROJECT["optional-dependencies"])


def test_a_python_that_is_too_old_is_told_of_before_packages_that_it_cannot_have():
    """pip before 23.3 asks for packages first: "No matching distribution found for arviz" says nothing.

    All have the marker: which of them an older Python cannot have changes with each version that is raised.
    """
    oldest = PROJECT["requires-python"].removeprefix(">=")
    unmarked = [x for x in PROJECT["dependencies"] if not x.endswith(f"; python_version >= '{oldest}'")]
    assert not unmarked
    assert len(PROJECT["dependencies"]) > 10
