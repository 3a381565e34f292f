"""What the code says of its public names: rooms, names, and the comments beside fields."""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import sys
import textwrap
import tokenize
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "docs"))
import blocks  # noqa: E402

sys.path.remove(str(ROOT / "scripts" / "docs"))

# Modules whose `__all__` is public, with the title of their page.
ROOMS = {
    "bdfm": "Panel, model, fit, forecast",
    "bdfm.forecast.views": "Views",
    "bdfm.forecast.edits": "Edits",
    "bdfm.backtest": "Backtests",
    "bdfm.risk": "Risk models",
    "bdfm.validation": "Validation of risk models",
    "bdfm.exposures": "Time-varying exposures",
    "bdfm.skfolio": "Priors for skfolio",
    "bdfm.sktime": "Prices for sktime",
}
# Modules that are shown whole, since they have no list of names.
MODULES = {
    "bdfm.model.parts.dynamics": "Parts: dynamics",
    "bdfm.model.parts.factor_scale": "Parts: factor scale",
    "bdfm.model.parts.factor_noise": "Parts: factor noise",
    "bdfm.model.parts.loadings": "Parts: loadings",
    "bdfm.model.parts.mean": "Parts: mean",
    "bdfm.model.parts.log_volatility": "Parts: log-volatility",
    "bdfm.model.parts.noise": "Parts: noise",
    "bdfm.model.parts.weights": "Parts: weights of periods",
    "bdfm.model.parts.predictive": "Parts: predictive distribution",
    "bdfm.model.part": "Parts: variables and bases",
    "bdfm.model.parts.linear": "Parts: hierarchies of linear effects",
    "bdfm.model.redraw": "Draws made anew",
    "bdfm.inference.diagnostics": "Diagnostics",
    "bdfm.inference.ess": "Effective draws and R-hat",
    "bdfm.inference.align": "Alignment of factors",
    "bdfm.inference.sbc": "Calibration by simulation",
    "bdfm.posterior.predictive_checks": "Predictive checks",
    "bdfm.posterior.leave_one_out": "Leave one out",
    "bdfm.posterior.leave_future_out": "Leave the future out",
    "bdfm.backtest.run": "Runs of a backtest",
    "bdfm.backtest.simple": "Simple forecasters",
    "bdfm.ledger.ledger": "Ledger",
    "bdfm.ledger.track": "Track: what came of a ledger's months",
    "bdfm.exposures.plots": "Pictures of exposures",
    "bdfm.report.earlier": "The month to go on from",
    "bdfm.report.page": "The report's page",
    "bdfm.scoring.scores": "Scores",
    "bdfm.scoring.joint": "Scores of joint forecasts",
    "bdfm.scoring.calibration": "Calibration",
    "bdfm.scoring.m6": "Rules of M6",
    "bdfm.errors": "Errors",
}


def names_of(room: str) -> dict[str, Any]:
    """Public classes and functions of a room by name, in the order of its list."""
    module = import_module(room)
    found = {name: getattr(module, name) for name in module.__all__}
    return {n: x for n, x in found.items() if inspect.isclass(x) or inspect.isfunction(x)}


def first_sentence(thing: Any) -> str:
    """First sentence of a docstring, on one line."""
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.:;])\s", text)[0].rstrip(":;")


def comments_of(record: type) -> dict[str, str]:
    """Comment beside or above each field of a class and of the classes that it comes from."""
    found: dict[str, str] = {}
    for kind in reversed(record.__mro__):
        fields = getattr(kind, "__annotations__", {})
        if not fields or not kind.__module__.startswith("bdfm"):
            continue
        lines = textwrap.dedent(inspect.getsource(kind)).splitlines()
        comments = _comments("\n".join(lines))
        for number, line in enumerate(lines, 1):
            name = re.match(r"    (\w+):", line)
            if not name or name[1] not in fields:
                continue
            last = number  # the field may go on over several lines
            while last < len(lines) and lines[last].startswith(("     ", "    )")):
                last += 1
            text = " ".join(comments[k] for k in range(number, last + 1) if k in comments)
            above = number - 1
            while not text and above in comments and lines[above - 1].strip().startswith("#"):
                found[name[1]] = f"{comments[above]} {found.get(name[1], '')}".strip()
                above -= 1
            if text:
                found[name[1]] = text
    return found


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


@cache
def code_of_pages() -> Mapping[str, str]:
    """Python of each page and notebook that tests run, by its place in the site, without suffix."""
    found = {}
    for page in blocks.pages():
        text = "\n".join(b.text for b in blocks.blocks(page) if b.language == "python")
        if text and ROOT / "docs" in page.parents:
            found[page.relative_to(ROOT / "docs").with_suffix("").as_posix()] = text
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
        found[f"notebooks/{path.stem}"] = text
    return found


@cache
def names_in(code: str) -> frozenset[str]:
    """Names of the package that a piece of Python uses, in full: ``bdfm.risk.double_sort``."""
    tree = ast.parse(code)
    known: dict[str, str] = {"bdfm": "bdfm"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bdfm":
            known |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = set()
    for node in ast.walk(tree):
        parts: list[str] = []
        at: Any = node
        while isinstance(at, ast.Attribute):
            parts.insert(0, at.attr)
            at = at.value
        if isinstance(at, ast.Name) and at.id in known:
            found.add(".".join([known[at.id], *parts]))
    return frozenset(name.replace("bdfm.views", "bdfm.forecast.views") for name in found)


@cache
def pages_with(name: str) -> tuple[str, ...]:
    """Pages and notebooks whose code uses a public name."""
    return tuple(page for page, code in code_of_pages().items() if name in names_in(code))


def has_example(thing: Any) -> bool:
    """Whether a docstring has code that can be run."""
    return ">>> " in (inspect.getdoc(thing) or "")


@cache
def makers() -> Mapping[str, tuple[str, ...]]:
    """Class to the public functions and methods that give one, both by their full names."""
    classes: dict[str, str] = {}
    for room in ROOMS:
        classes |= {
            f"{x.__module__}.{n}": f"{room}.{n}" for n, x in names_of(room).items() if inspect.isclass(x)
        }
    found: dict[str, list[str]] = {full: [] for full in classes.values()}
    for room in ROOMS:
        for name, thing in names_of(room).items():
            own = {f"{room}.{name}": thing}
            if inspect.isclass(thing):
                members = inspect.getmembers(thing, callable)
                own = {f"{room}.{name}.{n}": m for n, m in members if not n.startswith("_")}
            for full, maker in own.items():
                for word in _returned(maker):
                    if word in classes and classes[word] != f"{room}.{name}":
                        found[classes[word]].append(full)
    return {full: tuple(by) for full, by in found.items()}


def _returned(maker: Any) -> set[str]:
    """Classes of the package in the annotation of what a function returns, by module and name."""
    try:
        maker = inspect.unwrap(maker)
        text = str(getattr(maker, "__annotations__", {}).get("return", ""))
    except (TypeError, ValueError):
        return set()
    scope = vars(sys.modules[maker.__module__]) if getattr(maker, "__module__", "") in sys.modules else {}
    kinds = (scope.get(word) for word in re.findall(r"\w+", text))
    return {f"{k.__module__}.{k.__name__}" for k in kinds if inspect.isclass(k)}
