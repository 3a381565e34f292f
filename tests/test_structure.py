"""House rules that no linter knows: layers, lazy imports, printing, portable text, equations, public names.

Patterns that this file must not trip over itself are written with a bracket around one letter.
"""

import ast
import functools
import inspect
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from bdfm._reading import counted

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bdfm"

# Rooms, in order: a module imports from its own room and from rooms above it. The modules of the root, which
# every room uses, are the room "ground". A file that moves inside its room changes nothing here.
ROOMS = (
    "ground",
    "data",
    "gibbs",
    "model",
    "inference",
    "forecast",
    "scoring",
    "portfolio",
    "posterior",
    "backtest",
    "risk",
    "exposures",
    "validation",
    "ledger",
    "report",
    "skfolio",
    "sktime",
    "bdfm",  # the public names: for users and the command line, not for the package's own modules
    "cli",
)
GROUND = ("errors", "names", "_lazy", "_version", "_checks", "_files", "_optional", "_html", "_figures")
GROUND += (
    "_settings",
    "_settings_errors",
    "_strict",
    "_statistics",
    "_date_forms",
    "_dates",
    "_zones",
    "_numbers",
    "_numerals",
    "_reading",
    "_kinds",
    "_no_array",
    "_tables",
    "_doubles",
    "_endings",
    "_labels",
    "_weights",
    "_symbols",
    "_columns",
)
GROUND += (
    "_threads",
    "_memory",
    "_blocks",
    "_workers",
    "_toml",
    "_seeds",
    "_renamed",
    "_json",
    "_folders",
    "_made",
    "_kernels",
    "_netcdf",
    "_sheet",
    "_sealed",
)
OPTIONAL = {"torch", "skfolio", "dask", "distributed", "yfinance", "arch", "plotly", "sklearn", "statsmodels"}
OPTIONAL |= {"jupyterlab", "jupyter", "nbclient", "nbformat", "notebook", "ipykernel", "IPython"}
OPTIONAL |= {"cvxpy", "openpyxl", "sktime", "skpro"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


SHARED = re.compile(r"\.\./sh[a]red")
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}\])*-])/(?:work|tmp|root|home|Users|mnt|opt|srv)/[\w.-]"  # not inside a URL
    r"|\b[A-Z]:\\Users\b"
)
REGISTRY = re.compile(
    r"p[y]pi\.org|p[y]thonhosted|n[p]mjs|d[e]bian\.org|a[n]aconda\.org|c[r]ates\.io|p[r]oxy\.golang", re.I
)
FILE_ADDRESS = re.compile(r"f[i]le://")

# Equations of the model have numbers, those of the sampler an S before it.
EQUATION_HEADING = re.compile(r"^### Eq\. (S?\d+[a-z]?):", re.MULTILINE)
# "eq. 3b", "eqs. 2 and 7", "eq. S1 to S7"; not "eq. 14 of Kastner" or "Vehtari et al. (2021), eq. 14".
EQUATION_CITED = re.compile(
    r"(?<!\), )\beqs?\.\s+(S?\d+[a-z]?(?:(?:\s*,\s*|\s+and\s+|\s+to\s+|-)S?\d+[a-z]?)*)(?!\w|\s+of\b)", re.I
)
# Row of the table of updates: what is updated, equation, function.
UPDATE_ROW = re.compile(r"^\| [^|]+ \| (S\d+) \| \[`(\w+)`\]\(\.\./bdfm/([\w/]+)\.py\) \|", re.MULTILINE)
CODE_LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./bdfm/([\w/]+\.py)\)")


def modules() -> dict[str, Path]:
    """Dotted name below bdfm, ``__init__`` for packages, to file."""
    files = sorted(PACKAGE.rglob("*.py"))
    found = {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in files}
    assert len(found) >= 20
    return found


MODULES = modules()


@functools.cache
def tree(module: str) -> ast.Module:
    """Syntax of a module, read when a test first asks: those who only list the tests do not wait for it."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"), str(MODULES[module]))


@functools.cache
def nodes(module: str) -> list[ast.AST]:
    """All nodes of a module, walked to once."""
    return list(ast.walk(tree(module)))


@pytest.fixture(scope="module", autouse=True)
def forgotten_afterwards() -> Iterator[None]:
    """A million nodes are not looked through by the collector of garbage in all tests to come."""
    yield
    tree.cache_clear()
    nodes.cache_clear()


def room(module: str) -> str | None:
    """Room of a module; None where it has none."""
    if module in ("__init__", "__main__"):
        return "bdfm" if module == "__init__" else "cli"
    first, _, inside = module.partition(".")
    if not inside:
        return "ground" if module in GROUND else None
    return first if first in ROOMS else None


def existing(target: str) -> str | None:
    """Module that a dotted name below bdfm stands for; None where it is a name inside a module."""
    if not target:
        return "__init__"
    return next((m for m in (target, f"{target}.__init__") if m in MODULES), None)


def imported(module: str, code: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Modules of the package that a module imports anywhere, with the line."""
    package = ["bdfm", *module.split(".")[:-1]]
    for node in code:
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            # `from bdfm.data import panel` imports a module, `from bdfm.data import Panel` a name of one.
            targets = [".".join([*base, alias.name]) for alias in node.names]
        for target in targets:
            first, _, rest = target.partition(".")
            if first == "bdfm":
                yield existing(rest) or existing(rest.rpartition(".")[0]) or rest, node.lineno


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run on import: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, FUNCTIONS):
            yield child
            yield from outside_functions(child)


def test_every_module_has_a_room():
    homeless = [m for m in MODULES if room(m) is None]
    assert not homeless, f"in no room of {Path(__file__).name}: {', '.join(homeless)}"


def test_no_file_of_the_package_is_too_long():
    (most,) = re.findall(
        r"No file of the package has more than (\d+) lines", (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    )
    files = [f for f in sorted(PACKAGE.rglob("*")) if f.suffix in (".py", ".js", ".css")]
    assert {f.suffix for f in files} == {".py", ".js", ".css"}
    lengths = {f: len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    long = [f"{f.relative_to(ROOT)} has {n}" for f, n in lengths.items() if n > int(most)]
    assert not long, f"more than {most} lines; move what belongs together: {', '.join(long)}"


def test_a_room_says_in_one_sentence_what_it_is():
    for name in set(ROOMS) - {"ground", "bdfm"}:
        text = ast.get_docstring(tree(f"{name}.__init__"))
        assert text, name
        assert len(text) < 400, f"bdfm/{name}/__init__.py: one sentence is enough"


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/development.md"])
def test_pages_name_the_rooms_in_their_order(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    (row,) = re.findall(r"a row of rooms[^:]*: ([\w, ]+)\.", text)
    assert row.split(", ") == [name for name in ROOMS if name not in ("ground", "bdfm")]


def may_import(module: str, target: str) -> bool:
    """Whether the target stands in the module's room or in one above it."""
    own, other = room(module), room(target)
    return own is not None and other is not None and ROOMS.index(other) <= ROOMS.index(own)


@pytest.mark.parametrize("module", MODULES)
def test_imports_come_from_rooms_above(module):
    found = imported(module, nodes(module))
    wrong = [f"line {line}: {target}" for target, line in found if not may_import(module, target)]
    assert not wrong, f"bdfm.{module} imports what does not stand above it: {'; '.join(wrong)}"


def circle(arrows: dict[str, set[str]]) -> list[str]:
    """Nodes of a circle of the graph, in order; empty where there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        found = next(filter(None, (walk(x, [*path, node]) for x in sorted(arrows.get(node, ())))), [])
        done.add(node)
        return found

    return next(filter(None, (walk(node, []) for node in sorted(arrows))), [])


def test_no_modules_import_each_other_in_a_circle():
    arrows = {m: {target for target, _ in imported(m, nodes(m)) if target != m} for m in MODULES}
    found = circle(arrows)
    assert not found, " -> ".join(found)


def test_circle():
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_may_import():
    assert may_import("posterior.posterior", "forecast.forecast")
    assert may_import("risk.models", "risk.base")
    assert not may_import("forecast.forecast", "posterior.posterior")
    assert not may_import("forecast.forecast", "no_such_module")
    assert not may_import("data.panel", "__init__")


def test_import_walk_sees_all_forms():
    code = """
import bdfm.names
from bdfm import _checks
from bdfm import Panel
from bdfm.data.panel import Panel
from bdfm.data import panel
from . import settings
from ..model import factor_model
from .. import _files
def f():
    from bdfm.cli import app
"""
    found = [target for target, _ in imported("inference.start", ast.walk(ast.parse(code)))]
    above = [
        "names",
        "_checks",
        "__init__",
        "data.panel",
        "data.panel",
        "inference.settings",
        "model.factor_model",
        "_files",
        "cli.app",
    ]
    assert found == above


@pytest.mark.parametrize("module", MODULES)
def test_heavy_optional_packages_are_imported_in_functions(module):
    top: list[str] = []
    for node in outside_functions(tree(module)):
        if isinstance(node, ast.Import):
            top += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            top.append(node.module)
    heavy = sorted({name for name in top if name.split(".")[0] in OPTIONAL})
    assert not heavy, (
        f"bdfm.{module} imports {', '.join(heavy)} on import; move it into the function that needs it"
    )


def test_pictures_are_made_by_pyplot():
    """As by ``_figures.new_figure``: a notebook without pyplot shows no figure that is made by its class."""
    found = [
        f"bdfm.{module}: line {node.lineno}"
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Figure", "matplotlib.figure.Figure")
    ]
    assert not found, found


def test_only_the_command_line_prints():
    lines = [
        f"bdfm.{module}, line {node.lineno}"
        for module in MODULES
        if not module.startswith("cli")
        for node in nodes(module)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", None) == "print" or getattr(node.func, "attr", None) == "print")
    ]
    assert not lines, f"print outside bdfm/cli*.py (use logging): {'; '.join(lines)}"


@pytest.fixture(scope="module")
def tracked_texts() -> dict[str, str]:
    """Text of every tracked text file, by path relative to the project."""
    try:
        run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if run.returncode or not run.stdout:
        pytest.skip(f"no tracked files here: {run.stderr.decode().strip() or 'git ls-files is empty'}")
    texts: dict[str, str] = {}
    for name in run.stdout.decode().rstrip("\0").split("\0"):
        path = ROOT / name
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            texts[name] = raw.decode("utf-8", errors="replace")
    assert {"pyproject.toml", "bdfm/__init__.py"} <= set(texts)
    return texts


@pytest.mark.parametrize(
    ("pattern", "what", "allowed"),
    [
        (SHARED, "a folder beside the project", {"tests/conftest.py"}),
        (MACHINE_PATH, "an absolute path of one machine", set()),
        (REGISTRY, "the host of a package registry", set()),
        (FILE_ADDRESS, "an address of one machine", set()),
    ],
    ids=["shared", "path", "registry", "file-address"],
)
def test_tracked_files_are_portable(tracked_texts, pattern, what, allowed):
    places = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in tracked_texts.items()
        if name not in allowed
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not places, f"these name {what}:\n" + "\n".join(places)


@pytest.mark.parametrize(
    ("pattern", "text", "hit"),
    [
        (SHARED, "reads ../" + "shared/data", True),
        (SHARED, "the shared data", False),
        (MACHINE_PATH, "in '/" + "home/someone/x'", True),
        (MACHINE_PATH, "/" + "tmp/pytest-1", True),
        (MACHINE_PATH, "https://example.org/" + "home/page", False),
        (MACHINE_PATH, "data/" + "work/x", False),
        (REGISTRY, "https://files.python" + "hosted.org/a", True),
        (FILE_ADDRESS, "--find-links " + "file" + ":///opt", True),
    ],
)
def test_patterns_of_the_portability_test(pattern, text, hit):
    assert bool(pattern.search(text)) is hit


def test_lock_holds_names_and_versions_only():
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 50
    wrong = [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.!+]+(?: ; [^@:]+)?", line)]
    assert not wrong, f"requirements.lock: {wrong[:5]}"


@functools.cache
def docstrings() -> list[tuple[str, str]]:
    """Docstrings of the package, with a name for messages."""
    found = []
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    found.append((f"bdfm.{module} {getattr(node, 'name', '')}".strip(), text))
    return found


def cited(text: str) -> set[str]:
    """Equation numbers that a docstring cites; "1 to 7" and "1-7" cite all in between."""
    numbers: set[str] = set()
    for group in EQUATION_CITED.findall(" ".join(text.split())):
        parts = re.split(r"\s*(,|and|to|-)\s*", group)
        numbers |= set(parts[::2])
        for before, joint, after in zip(parts[::2], parts[1::2], parts[2::2], strict=False):
            if joint in ("to", "-"):
                low, high = (int(re.sub(r"\D", "", x)) for x in (before, after))
                numbers |= {f"{'S' * after.startswith('S')}{n}" for n in range(low, high + 1)}
    return numbers


def test_citations_are_read():
    assert cited("as in eq. 3b.") == {"3b"}
    assert cited("(eq. 5, 8) and eqs. 2 and 7") == {"5", "8", "2", "7"}
    assert cited("eq. 1 to 3; eqs. 6-7") == {"1", "2", "3", "6", "7"}
    assert cited("Eq. S14: a slice (eq. 3d). As eqs. S8 to S10, S12") == {
        "S14",
        "3d",
        "S8",
        "S9",
        "S10",
        "S12",
    }
    assert cited("Vehtari et al. (2021),\n    eqs. 1-4 and 14; eq. 13 of Kastner; subseq. 3") == set()


def equations_of(document: str) -> set[str]:
    """Equations that have a heading in a document of docs/."""
    found = EQUATION_HEADING.findall((ROOT / "docs" / document).read_text(encoding="utf-8"))
    assert len(set(found)) == len(found)
    return set(found)


def test_equations_of_the_document_and_of_the_docstrings_are_the_same():
    documented = equations_of("model.md")
    whole = {str(n) for n in range(1, 13)}
    assert whole <= documented
    where: dict[str, str] = {}
    for name, text in docstrings():
        for number in cited(text):
            if not number.startswith("S"):
                where.setdefault(number, name)
    numbers_cited = {re.sub(r"\D", "", n) for n in where}
    missing = sorted(whole - numbers_cited, key=int)
    assert not missing, f"no docstring cites eq. {', '.join(missing)}"
    unknown = {n: name for n, name in where.items() if n not in documented}
    assert not unknown, f"docs/model.md has no equation {unknown}"


def test_equations_of_the_sampler_and_of_its_docstrings_are_the_same():
    documented = equations_of("sampler.md")
    assert documented == {f"S{n}" for n in range(1, len(documented) + 1)}
    assert len(documented) >= 29
    where: dict[str, set[str]] = {}
    for name, text in docstrings():
        for number in cited(text):
            if number.startswith("S"):
                where.setdefault(number, set()).add(name)
    unknown = {n: sorted(names) for n, names in where.items() if n not in documented}
    assert not unknown, f"docs/sampler.md has no equation {unknown}"
    missing = [n for n in documented if not any("gibbs." in name for name in where.get(n, ()))]
    assert not missing, f"no docstring of the sampler cites eq. {', '.join(sorted(missing))}"


def test_updates_of_the_sampler_cite_the_equation_that_its_document_gives_them():
    text = (ROOT / "docs" / "sampler.md").read_text(encoding="utf-8")
    rows = UPDATE_ROW.findall(text)
    assert {equation for equation, _, _ in rows} == equations_of("sampler.md")
    said = dict(docstrings())
    wrong = []
    for equation, function, file in rows:
        name = f"bdfm.{file.replace('/', '.')} {function}"
        if equation not in cited(said.get(name, "")):
            wrong.append(f"{name} does not cite eq. {equation}")
    assert not wrong, "; ".join(wrong)


@pytest.mark.parametrize("document", ["model.md", "sampler.md"])
def test_code_that_the_document_points_to_exists(document):
    links = CODE_LINK.findall((ROOT / "docs" / document).read_text(encoding="utf-8"))
    assert len(links) >= 20
    wrong = []
    for name, file in links:
        if not (PACKAGE / file).is_file():
            wrong.append(f"{file} does not exist")
            continue
        body: list[ast.stmt] = tree(file.removesuffix(".py").replace("/", ".")).body
        for part in [] if name.endswith(".py") else name.split("."):
            node = next((n for n in body if getattr(n, "name", None) == part), None)
            if node is None:
                wrong.append(f"{file} has no {name}")
                break
            body = getattr(node, "body", [])
    assert not wrong, f"docs/{document}: " + "; ".join(wrong)


def test_links_between_the_documents_lead_somewhere():
    made = {"_build", "generated", "presets"}  # by the build of the site, which checks them
    pages = [f for f in sorted((ROOT / "docs").rglob("*.md")) if not made & set(f.parts)]
    files = [*sorted(ROOT.glob("*.md")), *pages, ROOT / "docs" / "presets" / "index.md"]
    assert len(files) >= 40
    broken = [
        f"{file.relative_to(ROOT)}: {target}"
        for file in files
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[\w-]*)?\)", file.read_text(encoding="utf-8"))
        if not (file.parent / target).exists()
    ]
    assert not broken, f"broken links: {'; '.join(broken)}"


def test_public_names_exist_and_say_what_they_are():
    import bdfm  # here, so that the other rules are checked even where the package does not import

    assert len(bdfm.__all__) >= 10
    assert len(set(bdfm.__all__)) == len(bdfm.__all__)
    absent = [name for name in bdfm.__all__ if not hasattr(bdfm, name)]
    assert not absent, f"in __all__ but not in bdfm: {', '.join(absent)}"
    silent = []
    for name in bdfm.__all__:
        thing = getattr(bdfm, name)
        text = vars(thing).get("__doc__") if inspect.isclass(thing) else getattr(thing, "__doc__", None)
        # dataclass and NamedTuple write a signature where a docstring is missing
        if not text or text.startswith(f"{name}("):
            silent.append(name)
    assert not silent, f"without a docstring: {', '.join(silent)}"


# A number that may be 1, and a noun in the plural after it
COUNT = r"\{(?!counted)[^{}]*(?:\blen\([^{}]*|\.sum\(\)|\.shape\[\d\])\}"
NOUNS = (
    "asset|symbol|column|row|value|period|day|factor|portfolio|book|view|edit|name|file|sheet|level|classe"
)
PLURAL = re.compile(
    rf"(?<!of )(?<!of its )(?<!of the )(?<!\(day, ){COUNT} (?:{NOUNS}|month|origin|return|label)s\b"
)
ENDING = re.compile(r"'s' if |\{'' if [^}]* == 1|else ''\}es?\b")


def test_warnings_name_the_line_of_the_user():
    """``skip_file_prefixes=(PACKAGE,)``: how many calls lie between depends on callers and decorators."""
    found = 0
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn":
                assert "skip_file_prefixes" in {k.arg for k in node.keywords}, f"{module}:{node.lineno}"
                found += 1
    assert found > 10


def test_nouns_after_a_number_have_one_helper():
    """``_reading.counted``: 1 column, 2 columns."""
    assert PLURAL.search('f"{where}: {len(double)} columns are"')
    assert PLURAL.search('f"{bad.sum()} values"')
    assert not PLURAL.search('f"{len(few)} of {len(all)} assets"')
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if (PLURAL.search(line) or ENDING.search(line)) and not allowed(line)
    ]
    assert not found, "\n".join(found)


def allowed(line):
    """Counts of what is several by its nature, and endings of verbs."""
    return "draws" in line or "differ{" in line or "missing column" in line or "view{" in line


@pytest.mark.parametrize(
    ("noun", "several"),
    [("day", "days"), ("family", "families"), ("class", "classes"), ("cell", "cells"),
     ("row above the header", "rows above the header"), ("folder of results", "folders of results"),
     ("row given twice", "rows given twice")],
)  # fmt: skip
def test_a_number_and_its_noun(noun, several):
    assert counted(1, noun) == f"1 {noun}"
    assert counted(2, noun) == f"2 {several}"
    assert counted(0, noun, "x") == "0 x"
    assert counted(1234, noun).startswith("1,234 ")
