"""Fields of settings in the reference: what stands beside each in the code, where it is kept."""

from __future__ import annotations

import inspect
import re
from typing import Any

from described import comments_of
from sphinx.ext.napoleon.docstring import GoogleDocstring

CODE = re.compile(r"(``.+?``)")


def _plain_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Bars are absolute values here, and not reStructuredText's substitutions."""
    for k, line in enumerate(lines):
        parts = CODE.split(line)
        lines[k] = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in parts)


def _add_fields(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Append a list of the fields of a pydantic record to its docstring."""
    if what != "class" or not hasattr(thing, "model_fields"):
        return
    comments = comments_of(thing)
    lines += ["", ".. rubric:: Fields", ""]
    for field, info in thing.model_fields.items():
        default = (
            "" if info.is_required() else f", default ``{info.get_default(call_default_factory=True)!r}``"
        )
        kind = re.sub(r"<class '(\w+)'>|typing\.|bdfm\.[\w.]*\.", r"\1", str(info.annotation))
        lines += [f"``{field}`` : ``{kind}``{default}", f"    {comments.get(field, '')}", ""]


def _skip(app: Any, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what pydantic adds, names that begin with an underscore, and fields that a docstring has."""
    if type(thing).__name__ == "_tuplegetter":
        return True
    return True if name.startswith(("model_", "_")) and not inspect.isclass(thing) else None


def _made_by_methods(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None] | None:
    """Show no signature of a class that its own methods make: its parameters are inner ones."""
    own = what == "class" and thing.__module__.startswith("bdfm.")
    if own and any(p.startswith("_") for p in inspect.signature(thing).parameters):
        return "", None
    return None


def setup(app: Any) -> dict[str, bool]:
    """Connect to autodoc."""
    # A colon in a property's first line stands in a sentence; napoleon takes what is before it for a type.
    GoogleDocstring._parse_attribute_docstring = GoogleDocstring._consume_to_end
    app.connect("autodoc-process-docstring", _plain_bars, priority=390)
    app.connect("autodoc-process-docstring", _add_fields, priority=400)
    app.connect("autodoc-process-signature", _made_by_methods)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
