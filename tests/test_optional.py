"""Optional packages: every extra is known to the code, and an absent package is one message."""

import re
import tomllib
from pathlib import Path

import pytest

from bdfm._optional import EXTRAS, optional, optional_base
from bdfm.errors import MissingDependencyError

ROOT = Path(__file__).parents[1]
MODULES = {"scikit-learn": "sklearn", "cvxpy-base": "cvxpy"}  # packages whose module has another name
FOR_USERS = {"notebook"}  # extras that nothing in the package imports


def test_extras_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    told = {
        extra: {MODULES.get(name := re.match(r"[\w-]+", line)[0], name) for line in lines}
        for extra, lines in project["optional-dependencies"].items()
        if extra not in FOR_USERS
    }
    known: dict[str, set[str]] = {}
    for package, extras in EXTRAS.items():
        for extra in extras:
            known.setdefault(extra, set()).add(package)
    assert known == told


def test_every_optional_package_is_asked_for_with_an_extra_that_brings_it():
    calls = []
    for file in sorted((ROOT / "bdfm").rglob("*.py")):
        calls += re.findall(r'optional\(\s*"([\w.]+)"[^)]*?(?:extra="(\w+)")?\)', file.read_text("utf-8"))
    assert len(calls) >= 10
    for module, extra in calls:
        assert not extra or extra in EXTRAS[module.partition(".")[0]], (module, extra)


@pytest.mark.parametrize("package", EXTRAS)
def test_absent_package_is_one_message(package, monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr("bdfm._optional.import_module", absent)
    extra = EXTRAS[package][-1]
    with pytest.raises(MissingDependencyError) as told:
        optional(f"{package}.part", what="this", extra=extra, instead="or do without.")
    assert str(told.value) == (
        f"this: needs {package}, which is not installed. Install it with:"
        f" pip install 'bdfm[{extra}]', or do without."
    )


def test_no_other_spelling_of_install_the_extra():
    others = [
        file.name
        for file in (ROOT / "bdfm").rglob("*.py")
        if "pip install 'bdfm[" in file.read_text("utf-8") and file.name != "_optional.py"
    ]
    assert not others


def test_a_class_whose_base_is_absent_can_be_read_and_not_made():
    base = optional_base("sktime.nothing", "Base", what="this")

    class Own(base):
        """Documented."""

    assert Own.__doc__ == "Documented."
    with pytest.raises(MissingDependencyError, match=r"this: needs sktime.*pip install 'bdfm\[sktime\]'"):
        Own(1, key=2)
    assert optional_base("collections", "OrderedDict", what="this").__name__ == "OrderedDict"
