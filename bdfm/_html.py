"""Rich text of results in notebooks: the opening that they share."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def opening(result: object, items: Iterable[str] = (), *, ordered: bool = False) -> str:
    """HTML of a result's ``repr`` in bold, without its angle brackets, and what it says beside as a list."""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    tag = "ol" if ordered else "ul"
    return f"<p><b>{escape(repr(result)[1:-1])}</b></p>" + (f"<{tag}>{lines}</{tag}>" if lines else "")
