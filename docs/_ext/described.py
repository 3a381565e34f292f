"""What the code says of its public names: rooms, names, and the comments beside fields."""

from __future__ import annotations

import inspect
import io
import re
import textwrap
import tokenize
from importlib import import_module
from typing import Any

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
    "bdfm.inference.diagnostics": "Diagnostics",
    "bdfm.posterior.predictive_checks": "Predictive checks",
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
