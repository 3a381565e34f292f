"""What is imported when: public names on first use, what a command needs when it runs."""

import ast
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"pymc", "pytensor", "arviz", "numba", "matplotlib", "nutpie", "skfolio", "plotly", "distributed"}
HEAVY |= {"sklearn", "statsmodels", "arch", "scoringrules", "torch"}
ARRAYS = {"numpy", "pandas", "xarray", "scipy", "pydantic"}
LAZY = ("bdfm", "bdfm.backtest", "bdfm.exposures", "bdfm.risk", "bdfm.skfolio", "bdfm.validation")


def modules(code: str) -> set[str]:
    """Names of all modules that are imported in a new process after some code."""
    ending = "\nimport sys\nsys.stderr.write('\\n' + ' '.join(sys.modules))"
    run = subprocess.run(
        [sys.executable, "-c", code + ending],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = set(run.stderr.splitlines()[-1].split())
    assert "bdfm" in found
    return found


def imported(code: str) -> set[str]:
    """Packages that are imported in a new process after some code."""
    return {name.partition(".")[0] for name in modules(code)}


def command(*args: str) -> str:
    """Code that runs a command and goes on."""
    return (
        f"import sys\nsys.argv = ['bdfm', *{list(args)!r}]\nfrom bdfm.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import bdfm",
        *(f"import {name}" for name in LAZY[1:]),
        "import bdfm; bdfm.__all__; dir(bdfm)",
        "import bdfm; assert bdfm.__version__",
        command("--help"),
        command("--version"),
    ],
)
def test_without_work_not_even_arrays_are_imported(code):
    found = imported(code)
    assert not found & (HEAVY | ARRAYS)


@pytest.mark.parametrize("name", ["demo", "forecast", "run", "score", "backtest", "risk", "exposures"])
def test_help_of_a_command_imports_no_engine(name):
    assert not imported(command(name, "--help")) & (HEAVY | {"pandas", "xarray", "scipy"})


def test_scoring_needs_no_engine(tmp_path):
    days = [f"2022-03-{day:02d}" for day in (4, 7, 8, 9, 10, 11)]
    closes = [f"{day},{100 + k},{100 - k}" for k, day in enumerate(days)]
    (tmp_path / "prices.csv").write_text("\n".join(["date,A,B", *closes]))
    rows = [f"{name},0.2,0.2,0.2,0.2,0.2,{weight}" for name, weight in (("A", 0.2), ("B", -0.1))]
    (tmp_path / "submission.csv").write_text("\n".join(["ID,Rank1,Rank2,Rank3,Rank4,Rank5,Decision", *rows]))
    options = [f"--{name}={tmp_path / name}.csv" for name in ("submission", "prices")]
    found = imported(command("score", *options, "--origin=2022-03-04", "--end=2022-03-11"))
    assert not found & (HEAVY | {"scipy"})


def test_what_a_month_runs_on_leaves_the_slowest_of_scipy_alone():
    """400 modules, a third of all seconds of imports: whoever needs them asks for them.

    All in one process, which takes seconds: none leaves them alone because another has loaded them.
    """
    names = ("report.month", "backtest.walk", "backtest.comparison", "risk.stress_tests")
    assert not modules("\n".join(f"import bdfm.{n}" for n in names)) & {"scipy.stats", "scipy.optimize"}


def test_python_m():
    run = subprocess.run(
        [sys.executable, "-m", "bdfm", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    import bdfm

    assert run.stdout == f"bdfm {bdfm.__version__}\n"


@pytest.mark.parametrize("package", LAZY)
def test_lazy_names_are_those_of_the_type_checker(package):
    module = import_module(package)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    told = {a.asname: (node.module, a.name) for node in block.body for a in node.names}
    assert {name for name in told if not name.startswith("_")} == set(module.__all__)
    assert set(told) <= set(dir(module))
    for name, (place, inside) in told.items():
        expected = getattr(import_module(place), inside, None) or import_module(f"{place}.{inside}")
        assert getattr(module, name) is expected, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_all_names_are_listed_before_one_is_used():
    """``dir(bdfm)`` had ``__version__`` after its first use alone."""
    assert imported("import bdfm; assert {'__version__', *bdfm.__all__} <= {*dir(bdfm)}")


def test_a_name_is_what_its_module_has_there_now(monkeypatch):
    """One that was first used while a test had put another in its place stayed that for good."""
    import bdfm
    from bdfm.data import sources

    true = bdfm.demo
    monkeypatch.setattr(sources, "demo", lambda: None)
    assert bdfm.demo is sources.demo is not true
    monkeypatch.undo()
    assert bdfm.demo is true


@pytest.mark.parametrize("package", LAZY)
def test_no_lazy_name_is_that_of_a_module_inside(package):
    """The module would stand in the name's place as soon as anything imports it."""
    module = import_module(package)
    inside = {m.name for m in pkgutil.iter_modules(module.__path__)}
    shadowed = {n for n in inside & set(module.__all__) if getattr(module, n).__name__ != f"{package}.{n}"}
    assert not shadowed


def code_of_documents() -> dict[str, str]:
    """Python code in notebooks, scripts, README and pages, by name."""
    found = {str(f.relative_to(ROOT)): f.read_text("utf-8") for f in (ROOT / "scripts").rglob("*.py")}
    for file in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(file.read_text("utf-8"))["cells"]
        lines = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code").splitlines()
        found[file.name] = "\n".join(line for line in lines if not line.startswith(("%", "!")))
    docs = ROOT / "docs"
    for page in (ROOT / "README.md", *sorted(docs.glob("*.md")), *sorted((docs / "howto").glob("*.md"))):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        found |= {f"{page.relative_to(ROOT)}, block {k}": block for k, block in enumerate(blocks, 1)}
    return found


def under_python_3_11(code: str) -> subprocess.CompletedProcess[str]:
    """A process that takes itself for Python 3.11."""
    before = "import sys; sys.version_info = (3, 11, 7); sys.version = '3.11.7 (main)'\n"
    return subprocess.run(
        [sys.executable, "-c", before + code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_python_too_old_gets_one_clear_line():
    said = "bdfm needs Python 3.12 or newer, this is 3.11.7. Use a newer one."
    module = under_python_3_11("sys.argv = ['-m', 'demo']\nimport bdfm")
    assert (module.returncode, module.stdout, module.stderr) == (1, "", said + "\n")
    library = under_python_3_11("import bdfm")
    assert library.returncode == 1
    assert library.stderr.splitlines()[-1] == f"ImportError: {said}"
    minimum = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert minimum["project"]["requires-python"] == ">=3.12"
    assert minimum["tool"]["mypy"]["python_version"] == "3.12"  # which finds what 3.12 lacks


@pytest.mark.parametrize(("name", "code"), code_of_documents().items())
def test_documents_import_what_exists(name, code):
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bdfm":
            module = import_module(node.module)
            for alias in node.names:
                if alias.name not in dir(module):  # asked for, a name of an extra would want its package
                    import_module(f"{node.module}.{alias.name}")


def test_a_tree_that_is_not_installed_knows_its_version():
    """Commands of a checkout on the path had ended in an error of the reader of metadata."""
    code = (
        "import importlib.metadata as m\n"
        "true = m.version\n"
        "def version(name):\n"
        "    if name == 'bdfm':\n"
        "        raise m.PackageNotFoundError(name)\n"
        "    return true(name)\n"
        "m.version = version\n"
        "import bdfm\n"
        "from bdfm.posterior.door import package_versions\n"
        "assert package_versions()['bdfm'] == bdfm.__version__\n"
        "print(bdfm.__version__)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    import bdfm

    assert run.stdout.strip() == bdfm.__version__
