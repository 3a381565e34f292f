"""Parts of the documentation site that are made by code; `make docs` builds it whole, warnings are errors."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytest.importorskip("latex2mathml")
pytest.importorskip("sphinx")

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
mathml = importlib.import_module("mathml")
made_pages = importlib.import_module("made_pages")
described = importlib.import_module("described")
checked = importlib.import_module("checked")
elsewhere = importlib.import_module("elsewhere")
sys.path.remove(str(ROOT / "docs" / "_ext"))

PAGES = sorted((ROOT / "docs").glob("*.md"))


def test_every_formula_becomes_mathml():
    blocks, inline = 0, 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for formula in re.findall(r"```math\n(.*?)```", text, re.DOTALL):
            made = mathml.mathml(formula, block=True)
            assert 'display="block"' in made
            assert ("<mtable" in made) == (r"\begin{" in formula)
            assert ('class="aligned"' in made) == (r"\begin{aligned}" in formula)
            blocks += 1
        text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        for formula in re.findall(r"(?<!\\)\$([^$\n]+?)\$", text):
            assert "<math" in mathml.mathml(formula, block=False)
            inline += 1
    assert blocks > 100
    assert inline > 700


def test_a_command_without_mathml_is_an_error():
    with pytest.raises(Exception, match=r"no MathML for .*nothing"):
        mathml.mathml(r"x \nothing y", block=False)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*.toml")), ids=lambda p: p.stem)
def test_a_preset_has_a_card(path):
    page = made_pages.preset_page(path)
    card = page.partition("```bash")[0]
    assert page.startswith(f"# {path.stem}\n")
    assert len(card) > 80
    assert "| `noise` | `student_t` |" in page
    assert path.read_text(encoding="utf-8").rstrip().splitlines()[-1] in page


def test_comments_beside_fields_are_read():
    from bdfm.data.settings import PanelSettings

    found = described.comments_of(PanelSettings)
    assert found["n_periods"] == "at most; shorter data give fewer"
    assert found["earnings_gaps"].startswith("seasonal:")
    assert set(found) == set(PanelSettings.model_fields)


def test_links_out_of_the_folder_lead_to_pages_of_the_site():
    links = ("../bdfm/model/part.py", "../../models/m6.toml", "../../notebooks/x.ipynb", "../CHANGELOG.md")
    text = [" ".join(f"[a]({link})" for link in links)]
    made_pages.read_source(None, "howto/page", text)
    a, b, c, d = re.findall(r"\]\(([^)]*)\)", text[0])
    assert (a, b, c) == ("source:bdfm/model/part.py", "../presets/m6.md", "../notebooks/x.ipynb")
    assert d == "../changes.md"


def test_every_how_to_page_is_in_the_table_of_tasks():
    index = (ROOT / "docs" / "howto" / "index.md").read_text(encoding="utf-8")
    pages = {p.name for p in (ROOT / "docs" / "howto").glob("*.md")} - {"index.md"}
    assert len(pages) >= 15
    assert pages == set(re.findall(r"\]\((\w+\.md)\)", index))


def test_faults_of_a_site_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="top">A</h1><a href="#top">1</a><a href="b.html#here">2</a><a href="https://x.org">3</a>'
    )
    (tmp_path / "b.html").write_text('<p id="here">B</p><img src="p.png" alt="a line"><a href="a.html">1</a>')
    (tmp_path / "llms.txt").write_text("- [A](a.html): a page\n- [D](d.html): none\n")
    assert checked.faults(tmp_path) == ["llms.txt links to d.html"]
    (tmp_path / "llms.txt").write_text("- [A](a.html): a page\n")
    assert checked.faults(tmp_path) == []
    (tmp_path / "b.html").write_text(
        '<script src="https://cdn.org/x.js"></script><a href="a.html#no">1</a><a href="c.html">2</a>'
        '<img src="p.png"><img src="q.png" alt="q.png"><img src="r.png" alt="returns">'
    )
    assert checked.faults(tmp_path) == [
        "a.html links to b.html#here",
        "b.html loads https://cdn.org/x.js",
        "b.html has no words for the picture p.png",
        "b.html has no words for the picture q.png",
        "b.html links to a.html#no",
        "b.html links to c.html",
    ]


def test_a_picture_of_a_notebook_is_named_by_its_heading_and_its_call():
    from docutils import nodes

    picture, named = nodes.image(uri="p.png"), nodes.image(uri="q.png", alt="a line")
    code = nodes.literal_block("", "x = 1\nforecast.plot()")
    cell = nodes.container("", code, picture, classes=["cell"])
    tree = nodes.section("", nodes.title("", "Forecasts"), named, cell)
    made_pages.name_pictures(None, tree)
    assert picture["alt"] == "Picture: Forecasts, made by forecast.plot()"
    assert named["alt"] == "a line"


def test_a_page_is_described_by_its_first_sentence():
    from docutils import nodes

    class App:
        class env:
            titles = {"risk": nodes.title("", "Risk & return")}

    text = nodes.paragraph("", 'Says "how much" is at risk. And more.')
    tree, context = nodes.section("", nodes.title("", "Risk"), text), {"metatags": "<x>"}
    made_pages.describe(App, "risk", "", context, tree)
    assert 'name="description" content="Says &quot;how much&quot; is at risk."' in context["metatags"]
    assert 'og:title" content="Risk &amp; return"' in context["metatags"]
    assert context["metatags"].startswith("<x>")
    made_pages.describe(App, "genindex", "", context := {}, None)
    assert context == {}


def test_names_of_other_projects_exist_and_have_an_address():
    addresses = elsewhere.addresses()
    assert len(addresses) > 20
    for name, address in addresses.items():
        module, _, last = name.rpartition(".")
        found = getattr(pytest.importorskip(module), last)
        assert callable(found) or last in ("NDArray", "ArrayLike"), name
        assert re.fullmatch(r"https://[\w.-]+/\S+", address), name
        assert last in address, name
    assert elsewhere.address_of("pd.DataFrame") == elsewhere.address_of("pandas.DataFrame") is not None
    assert elsewhere.address_of("xr.DataTree").endswith("/xarray.DataTree.html")
    assert elsewhere.address_of("pandas.NoSuchThing") is elsewhere.address_of("") is None


def test_a_site_with_an_address_has_a_sitemap():
    from xml.etree import ElementTree

    for base in ("https://x.org/bdfm", "https://x.org/bdfm/"):
        root = ElementTree.fromstring(made_pages.sitemap(base, ["howto/a.html", "b.html?x&y"]))
        assert [u[0].text for u in root] == [
            "https://x.org/bdfm/b.html?x&y",
            "https://x.org/bdfm/howto/a.html",
        ]


def test_sources_lead_back_to_the_page_that_has_the_name():
    block = '<div class="viewcode-block" id="{0}">\n<a class="viewcode-back" href="../../r/{1}.html#{2}"'
    known = {"bdfm.Run": "r/bdfm.Run", "bdfm.b.run.load": "r/bdfm.b.run", "bdfm.load": "r/bdfm.load"}
    for name, page, place, expected in (
        ("Run", "bdfm.Run", "bdfm.Run", "bdfm.Run"),
        ("load", "bdfm.b.run", "bdfm.b.load", "bdfm.b.run.load"),
        ("load", "bdfm.b.run", "bdfm.load", "bdfm.b.run.load"),  # which has a page of its own too
        ("load", "bdfm.load", "bdfm.load", "bdfm.load"),
    ):
        found = made_pages.BLOCK.match(block.format(name, page, place))
        made = made_pages._with_place(found, module="bdfm.b.run", known=known)
        assert made == block.format(name, page, expected)
