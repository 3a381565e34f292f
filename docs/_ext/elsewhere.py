"""Names of other projects in signatures lead to those projects' pages, by a table and without a network."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes

TABLE = Path(__file__).with_suffix(".toml")
# How modules of the package call other projects, where an annotation is kept as it is written.
SHORT = {"pd": "pandas", "np": "numpy", "xr": "xarray", "pm": "pymc"}


@cache
def addresses() -> dict[str, str]:
    """Address of the page of each name."""
    tables = tomllib.loads(TABLE.read_text(encoding="utf-8"))["project"]
    return {name: table["address"].format(name=name) for table in tables for name in table["names"]}


def address_of(target: str) -> str | None:
    """Address of the page of a name, which may begin with a module's usual short name."""
    first, dot, rest = target.partition(".")
    return addresses().get(SHORT.get(first, first) + dot + rest)


def resolve(app: Any, env: Any, node: Any, shown: nodes.TextElement) -> nodes.reference | None:
    """Link for a Python name that this site does not have."""
    address = address_of(node.get("reftarget", "")) if node.get("refdomain") == "py" else None
    if address is None:
        return None
    return nodes.reference("", "", shown, internal=False, refuri=address, reftitle=node["reftarget"])


def setup(app: Any) -> dict[str, bool]:
    """Connect to the search for names."""
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
