"""Tables that scripts write into pages, between two comments that name them."""

from __future__ import annotations

from pathlib import Path


def write_table(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``; ValueError without both."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, mark, rest = page.read_text(encoding="utf-8").partition(start)
    _, last, tail = rest.partition(end)
    if not mark or not last:
        raise ValueError(f"{page.name} has no table between {start.strip()!r} and {end!r}.")
    page.write_text(f"{head}{start}{text}\n{end}{tail}", encoding="utf-8")


def read_table(page: Path, name: str) -> str:
    """What stands there now."""
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    return page.read_text(encoding="utf-8").split(start)[1].split(end)[0]
