"""Pages made from the repository: reference, presets, notebooks, source files, changes, llms.txt, sitemap."""

from __future__ import annotations

import base64
import functools
import html
import inspect
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from described import MODULES, ROOMS, first_sentence, makers, names_of, pages_with
from docutils import nodes
from sphinx.util.osutil import relative_uri

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = re.compile(r"\]\((?:\.\./)+((?:bdfm|tests|scripts)/[\w./-]+)\)")
SOURCE_PAGES = "source"


def _write(path: Path, text: str) -> None:
    """Write a page where it differs, so that Sphinx reads again what changed alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def make_pages(app: Any) -> None:
    """Write the pages of the reference, the presets and the notebooks into the folder of the site."""
    for room, title in ROOMS.items():
        _write(DOCS / "reference" / "generated" / f"{room}.md", room_page(room, title))
        for name, thing in names_of(room).items():
            _write(DOCS / "reference" / "generated" / f"{room}.{name}.md", name_page(room, name, thing))
    told = {x for room in ROOMS for x in names_of(room).values()}  # each class has one page
    for module, title in MODULES.items():
        elsewhere = [n for n, x in vars(import_module(module)).items() if inspect.isclass(x) and x in told]
        without = f"\n   :exclude-members: {', '.join(elsewhere)}" if elsewhere else ""
        text = f"# {title}\n\n" + _directive(f".. automodule:: {module}\n   :members:{without}")
        _write(DOCS / "reference" / "generated" / f"{module}.md", text)
    for path in sorted((ROOT / "models").glob("*.toml")):
        _write(DOCS / "presets" / f"{path.stem}.md", preset_page(path))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = path.read_text(encoding="utf-8").replace("](../docs/", "](../")
        _write(DOCS / "notebooks" / path.name, text)
    _write(DOCS / "notebooks" / "cards.inc", gallery_cards(sorted((ROOT / "notebooks").glob("*.ipynb"))))


def gallery_cards(paths: list[Path]) -> str:
    """Cards of notebooks: first picture, title, first sentence; the pictures are written beside the pages."""
    cards = []
    for path in paths:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        title, _, text = "".join(cells[0]["source"]).lstrip("# ").partition("\n")
        said = re.split(r"(?<=[.:])\s", " ".join(text.split()))[0].rstrip(":")
        outputs = [o.get("data", {}) for c in cells for o in c.get("outputs", [])]
        pictures = [o["image/png"] for o in outputs if "image/png" in o]
        image = ""
        if pictures:
            file = DOCS / "notebooks" / f"{path.stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(pictures[0]))
            image = f":img-top: notebooks/{path.stem}.png\n:img-alt: First picture of the notebook {title}\n"
        head = f":::{{grid-item-card}} {title}\n:link: notebooks/{path.stem}\n:link-type: doc\n{image}"
        cards.append(f"{head}\n{said}\n:::\n")
    return "::::{grid} 1 2 2 3\n:gutter: 2\n\n" + "\n".join(cards) + "\n::::\n"


def room_page(room: str, title: str) -> str:
    """Table of the public names of a room, each with a page of its own."""
    names = names_of(room)
    said = {name: first_sentence(thing).replace("|", "\\|") for name, thing in names.items()}
    rows = [f"| [`{name}`]({room}.{name}.md) | {text} |" for name, text in said.items()]
    listed = "\n".join(f"{room}.{n}" for n in names)
    about = first_sentence(import_module(room))
    return (
        f"# {title}\n\n`{room}`: {about}\n\n| name | what |\n|---|---|\n"
        + "\n".join(rows)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"
    )


def name_page(room: str, name: str, thing: Any) -> str:
    """Page of one public name, from its docstrings."""
    used = _used(room, name)
    if not isinstance(thing, type):
        return f"# {name}\n\n" + _directive(f".. autofunction:: {room}.{name}") + used
    # that of scikit-learn refers to a page of its own
    without = "   :inherited-members: BaseModel\n   :exclude-members: get_metadata_routing"
    members = f".. autoclass:: {room}.{name}\n   :members:\n{without}"
    return f"# {name}\n\n" + _directive(members) + used


def _used(room: str, name: str) -> str:
    """Where code uses a name, and what gives an object of a class."""
    by = [f"`{maker}`" for maker in makers().get(f"{room}.{name}", ())]
    pages = [f"[{page}](../../{page}.{_suffix(page)})" for page in pages_with(f"{room}.{name}")]
    told = ["", f"Given by {', '.join(by)}."] if by else []
    told += ["", f"Used in {', '.join(pages)}."] if pages else []
    return "\n".join([*told, ""]) if told else ""


def _suffix(page: str) -> str:
    return "ipynb" if page.startswith("notebooks/") else "md"


def _directive(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```\n"


def preset_page(path: Path) -> str:
    """Card of a preset: what its file says first, then its parts, then the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line.lstrip("#").removeprefix(" ") for line in _first_comment(lines)]
    settings = tomllib.loads("\n".join(lines))
    rows = []
    for slot, value in settings.items():
        tables = value if isinstance(value, list) else [value]
        kinds = [f"`{t['kind']}`" for t in tables if isinstance(t, dict) and "kind" in t]
        if kinds or value == []:
            rows.append(f"| `{slot}` | {', '.join(kinds) or 'none'} |")
    body = "\n".join(lines[len(_first_comment(lines)) :]).strip()
    name, table = settings["name"], "\n".join(["| slot | parts |", "|---|---|", *rows])
    return (
        f"# {name}\n\n{_paragraphs(head)}\n\n```bash\nbdfm forecast --model {name} ...\n```\n\n{table}\n\n"
        f"What each part is: [models and parts](../parts.md). All settings, in `models/{path.name}`:\n\n"
        f"```toml\n{body}\n```\n"
    )


def _first_comment(lines: list[str]) -> list[str]:
    end = next(k for k, line in enumerate(lines) if not line.startswith("#"))
    return lines[:end]


def _paragraphs(lines: list[str]) -> str:
    """Text of a comment: paragraphs, and indented lines as they are, since they are tables."""
    found: list[str] = []
    for block in "\n".join(lines).split("\n\n"):
        plain = not all(line.startswith("  ") for line in block.splitlines())
        found.append(block.replace("docs/", "") if plain else f"```text\n{block}\n```")
    text = "\n\n".join(found)
    return re.sub(r"(?<![`\w/(\[])(\w+\.md)\b", r"[\1](../\1)", text)


def read_source(app: Any, page: str, text: list[str]) -> None:
    """Turn links that lead out of the folder of the site into links inside it."""
    up = "../" * page.count("/")
    new = SOURCE.sub(r"](source:\1)", text[0])
    new = re.sub(r"\]\((?:\.\./)+models/(\w+)\.toml\)", rf"]({up}presets/\1.md)", new)
    new = re.sub(r"\]\((?:\.\./)+models/?\)", rf"]({up}presets/index.md)", new)
    new = re.sub(r"\]\((?:\.\./)+notebooks/([\w.]+)\)", rf"]({up}notebooks/\1)", new)
    for name, inside in {"README": "index", "CHANGELOG": "changes", "CONTRIBUTING": "development"}.items():
        new = re.sub(rf"\]\((?:\.\./)+{name}\.md\)", rf"]({up}{inside}.md)", new)
    text[0] = new


def resolve_source(app: Any, tree: nodes.document, page: str) -> None:
    """Point links to source files at their pages."""
    here = app.builder.get_target_uri(page)
    for node in tree.findall(nodes.reference):
        target = node.get("refuri", "")
        if target.startswith("source:"):
            path = target.removeprefix("source:")
            if not (ROOT / path).is_file():
                raise FileNotFoundError(f"{page}: {path}")
            node["refuri"] = relative_uri(here, f"{SOURCE_PAGES}/{path}.html")


def source_pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Pages of the source files that pages link to."""
    wanted = set()
    for page in app.env.found_docs:
        text = Path(app.env.doc2path(page)).read_text(encoding="utf-8")
        wanted |= {match for match in SOURCE.findall(text) if (ROOT / match).is_file()}
    for path in sorted(wanted):
        code = (ROOT / path).read_text(encoding="utf-8")
        language = "python" if path.endswith(".py") else "text"
        shown = app.builder.highlighter.highlight_block(code, language, force=True)
        body = f"<h1>{html.escape(path)}</h1>\n{shown}"
        yield f"{SOURCE_PAGES}/{path}", {"title": path, "body": body, "parents": []}, "page.html"


def write_llms(app: Any, error: Exception | None) -> None:
    """Write llms.txt, each page with its first sentence, and llms-full.txt, all pages and docstrings."""
    if error or app.builder.format != "html":
        return
    pages = [p for p in sorted(app.env.found_docs) if not p.startswith("notebooks/") and p.count("/") < 2]
    lines = [
        "# bdfm",
        "",
        "> Probabilistic forecasts of asset returns in Python: a Bayesian dynamic factor model in PyMC with",
        "> its own Gibbs sampler. From daily prices it draws next month's joint returns; draws take edits",
        "> and views.",
        "",
        "All pages and docstrings: [llms-full.txt](llms-full.txt). One page: `_sources/PAGE.md.txt`.",
        "",
        *(
            f"- [{app.env.titles[page].astext()}]({page}.html): {opening(app.env.get_doctree(page))}"
            for page in pages
        ),
        "",
        "## Reference",
        "",
        *(f"- [{t}](reference/generated/{m}.html): `{m}`" for m, t in {**ROOMS, **MODULES}.items()),
        "",
    ]
    out = Path(app.outdir)
    (out / "llms.txt").write_text("\n".join(lines), encoding="utf-8")
    texts = [Path(app.env.doc2path(page)).read_text(encoding="utf-8").strip() for page in pages]
    full = "\n\n".join([*texts, "# Public names", *docstrings(), ""])
    (out / "llms-full.txt").write_text(full, encoding="utf-8")


def opening(tree: nodes.document) -> str:
    """First sentence of a page that is text."""
    for paragraph in tree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        if isinstance(paragraph.parent, nodes.section) and text:
            return re.split(r"(?<=[.:;])\s", text)[0]
    return ""


def describe(
    app: Any, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """Give a page its first sentence as description, for search engines and previews of links."""
    said = "" if tree is None else opening(tree)
    if said:
        title = html.escape(app.env.titles[page].astext(), quote=True)
        text = html.escape(said.rstrip(":;"), quote=True)
        tags = [f'<meta name="description" content="{text}" />']
        tags += [f'<meta property="og:title" content="{title}" />']
        tags += [f'<meta property="og:description" content="{text}" />']
        context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def name_pictures(app: Any, tree: nodes.document) -> None:
    """Name pictures without words for who does not see them: the heading above, and what made them."""
    for image in tree.findall(nodes.image):
        if image.get("alt"):
            continue
        titles = [s[0].astext() for s in parents(image) if isinstance(s, nodes.section)]
        cell = next((c for c in parents(image) if "cell" in c.get("classes", ())), None)
        code = [] if cell is None else [c.astext().strip() for c in cell.findall(nodes.literal_block)]
        call = f", made by {code[0].splitlines()[-1]}" if code and code[0] else ""
        image["alt"] = f"Picture: {titles[0] if titles else ''}{call}"


def parents(node: nodes.Node) -> Iterator[nodes.Element]:
    """Elements around a node, the innermost first."""
    while (node := node.parent) is not None:
        yield node


def docstrings() -> Iterator[str]:
    """Each public name with its signature and docstring."""
    for room in ROOMS:
        for name, thing in names_of(room).items():
            hidden = any(p.startswith("_") for p in inspect.signature(thing).parameters)
            signature = "" if hidden else str(inspect.signature(thing))
            yield f"## {room}.{name}\n\n`{name}{signature}`\n\n{inspect.getdoc(thing)}"


def sitemap(base: str, pages: Iterable[str]) -> str:
    """sitemap.xml of the pages of a site, by their places in it."""
    places = [html.escape(urljoin(f"{base.rstrip('/')}/", page)) for page in sorted(pages)]
    entries = [f"<url><loc>{place}</loc></url>" for place in places]
    head = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    return "\n".join(['<?xml version="1.0" encoding="utf-8"?>', head, *entries, "</urlset>", ""])


def write_sitemap(app: Any, error: Exception | None) -> None:
    """Write sitemap.xml where the site has an address (`html_baseurl`), which its entries begin with."""
    if app.config.html_baseurl and not error and app.builder.format == "html":
        pages = [app.builder.get_target_uri(page) for page in app.env.found_docs]
        text = sitemap(app.config.html_baseurl, pages)
        (Path(app.outdir) / "sitemap.xml").write_text(text, encoding="utf-8")


BLOCK = re.compile(r'<div class="viewcode-block" id="([\w.]+)">\s*<a class="viewcode-back" href="[^"]*"')


def mend_back_links(app: Any, error: Exception | None) -> None:
    """Lead from the source of a name to its place in the reference, where a module has several pages there.

    Sphinx keeps one name of a module, that of the first page: ``bdfm.backtest`` for ``bdfm.backtest.run``.
    """
    if error or app.builder.format != "html":
        return
    known = {name: entry.docname for name, entry in app.env.domains["py"].objects.items()}
    sources = Path(app.outdir) / "_modules"
    for page in sorted(sources.rglob("*.html")):
        module = ".".join(page.relative_to(sources).with_suffix("").parts)
        text = page.read_text(encoding="utf-8")
        new = BLOCK.sub(functools.partial(_with_place, module=module, known=known), text)
        if new != text:
            page.write_text(new, encoding="utf-8")


def _with_place(found: re.Match[str], *, module: str, known: Mapping[str, str]) -> str:
    """Head of a block of source whose link back leads to a name that its page has."""
    head, _, place = found[0].removesuffix('"').rpartition("#")
    there = (x for x in (place, f"{module}.{found[1]}") if head.endswith(f"/{known.get(x)}.html"))
    return f'{head}#{next(there, place)}"'


def setup(app: Any) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("builder-inited", make_pages)
    app.connect("source-read", read_source)
    app.connect("doctree-resolved", resolve_source)
    app.connect("doctree-read", name_pictures)
    app.connect("html-page-context", describe)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", write_llms)
    app.connect("build-finished", write_sitemap)
    app.connect("build-finished", mend_back_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
