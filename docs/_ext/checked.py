"""The built site is checked: links lead somewhere, nothing is loaded from a network, pictures have words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//")


class Page(HTMLParser):
    """Places, links and loaded things of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.wordless: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what a tag names."""
        given = dict(attrs)
        self.places.add(given.get("id") or "")
        if tag == "a":
            self.links.add(given.get("href") or "")
        elif tag in ("script", "img", "iframe"):
            self.loaded.add(given.get("src") or "")
            if tag == "img" and (given.get("alt") or "").strip() in ("", given.get("src")):
                self.wordless.add(given.get("src") or "")
        elif tag == "link" and given.get("rel") != "canonical":
            self.loaded.add(given.get("href") or "")


def faults(folder: Path) -> list[str]:
    """Broken links, things from a network and pictures without words for them, page by page."""
    pages = {p.resolve(): Page(p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder.resolve()).as_posix()
        found += [f"{name} loads {x}" for x in sorted(page.loaded) if re.match(r"https?:|//", x)]
        found += [f"{name} has no words for the picture {x}" for x in sorted(page.wordless)]
        for link in sorted(page.links):
            if ELSEWHERE.match(link):
                continue
            file, _, place = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            known = pages.get(target)
            if not target.exists() or (place and known is not None and place not in known.places):
                found.append(f"{name} links to {link}")
    index = folder / "llms.txt"
    text = index.read_text(encoding="utf-8") if index.exists() else ""
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return found + [f"{index.name} links to {x}" for x in links if not (folder / x).exists()]


def check(app: Any, error: Exception | None) -> None:
    """Refuse a site with faults."""
    if error is None and app.builder.format == "html":
        found = faults(Path(app.outdir))
        if found:
            raise ExtensionError(f"{len(found)} faults of the site: " + "; ".join(found[:10]))


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx, after the other pages are made."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
