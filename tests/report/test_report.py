"""The report: one page, escaped, without network; in a headless Chromium where there is one."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from bdfm import views
from bdfm.errors import FileError, MissingDependencyError
from bdfm.forecast.changes import Changes, Step, parse_edits
from bdfm.forecast.forecast import Forecast
from bdfm.portfolio.decisions import decide
from bdfm.report.page import report_html, write_report
from bdfm.report.page_form import N_ROWS

EVIL = "<script>alert(1)</script>"
ASSETS = (EVIL, "BF-B", "TLT", "GOOG", "a'\"&b", "XLE", "ZZ", "<img src=x onerror=alert(2)>")


@pytest.fixture(scope="module")
def forecast():
    """Names that would do harm where they are not escaped, everywhere that a name can stand."""
    rng = np.random.default_rng(4)
    n = 4000
    returns = 0.05 * rng.standard_normal((n, 8)) * np.linspace(0.5, 1.5, 8) + 0.02 * rng.standard_normal(
        (n, 1)
    )
    f = Forecast.from_draws(
        np.maximum(returns, -0.9),
        assets=ASSETS,
        asset_class=[*["stock"] * 4, EVIL, *["etf"] * 3],
        names=[f"Name of {a}" for a in ASSETS],
        origin="2022-02-04",
        end="2022-03-04",
        posterior_draw=np.arange(n) % 200,
        attrs={"model": EVIL},
    )
    edits = tuple(parse_edits([f"zero {ASSETS[0]}", "shift TLT by=0.01"]))
    seen = (
        views.Absolute(asset=ASSETS[7].replace("", ""), mean=0.02, semantics="constraint", by=EVIL),
        views.Ordering(above="GOOG", below="XLE", probability=0.7, semantics="evidence", by=EVIL),
    )
    f = Changes((Step(edits, seen),)).apply(f)
    return decide(f, method="minimum_variance", exposure=1.0).save_in(f)


@pytest.fixture(scope="module")
def page(forecast, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    forecast.save(folder / "forecast.nc")
    (folder / "month.toml").write_text(f'seed = 1 # {EVIL}\n[data]\norigin = "{EVIL}"\n', encoding="utf-8")
    (folder / "summary.json").write_text(
        json.dumps({"versions": {"bdfm": EVIL}, "diagnostics": {"converged": EVIL}}), encoding="utf-8"
    )
    return write_report(folder)


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.scripts = 0
        self.bad = []
        self.ids = []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [given["id"]] if "id" in given else []
        self.bad += [(tag, k, x) for k, x in attrs if k.startswith("on") or k in ("src", "srcset")]
        self.bad += [(tag, "href", given["href"])] if "href" in given and given["href"][0] != "#" else []


def test_the_page_is_one_file_and_escaped(page):
    text = page.read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(text)
    assert not tags.bad  # nothing is loaded, no handler came in with a name
    assert len(tags.ids) == len(set(tags.ids))
    n_figures = len(re.findall(r"class=figure", text))
    assert n_figures == 3  # heat map, contributions, dispersion; no posterior lies beside it
    assert (
        tags.scripts == 3 + n_figures
    )  # the library, the draws of what if, the page's own; each figure's data
    assert "<script>alert(" not in text
    assert "onerror=alert(2)>" not in text.replace("&gt;", "")
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "default-src 'none'" in text


def test_the_page_says_what_was_done(page, forecast):
    text = page.read_text(encoding="utf-8")
    for part in (
        "Forecast 2022-02-04 to 2022-03-04",
        "TLT: return shifted by +1.0000%.",
        "GOOG above XLE with probability 0.7 (evidence",
        "effective draws after it",
        "Least variance",
        "posterior error",
        "bdfm run month.toml",
    ):
        assert part in text, part
    p = float(forecast.quantile_probabilities().sel(asset="GOOG", quantile=5))
    assert f'data-v="{p:.6f}"' in text


def test_a_bare_forecast_has_a_page():
    rng = np.random.default_rng(1)
    f = Forecast.from_draws(
        0.1 * rng.standard_normal((300, 3)),
        assets=["A", "B", "C"],
        asset_class=["x"] * 3,
        origin="2022-02-04",
        end="2022-03-04",
    )
    text = report_html(f)
    assert "No decision was taken" in text
    assert "no views or edits" in text


def test_what_is_not_there_is_told(tmp_path, monkeypatch, forecast):
    with pytest.raises(FileError, match="nowhere does not exist"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(FileError, match=r"forecast\.nc does not exist"):
        write_report(tmp_path)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bdfm\[report\]'"):
        report_html(forecast)


# In a browser


@pytest.fixture
def tab(open_page, page):
    tab = open_page(page)
    draw_all(tab)
    return tab


def draw_all(tab):
    """Look at every picture: they are drawn when they come into sight."""
    for place in tab.query_selector_all(".drawing"):
        place.scroll_into_view_if_needed()
        place.wait_for_selector(".main-svg")


def column(tab, k):
    return tab.eval_on_selector_all(
        "#assets tbody tr:not([hidden])", f"rows => rows.map(r => r.cells[{k}].textContent)"
    )


def test_the_page_loads_without_errors_dialogs_or_requests(tab):
    assert tab.evaluate("document.querySelectorAll('.main-svg').length") >= 3
    assert tab.evaluate("document.querySelectorAll('#assets tbody tr').length") == 8
    assert column(tab, 0)[0] == EVIL  # as text
    assert tab.messages == []


def test_sorting(tab):
    names = column(tab, 0)
    tab.click("#assets thead th:nth-child(8) button")  # probability of the highest fifth
    high = [float(x) for x in column(tab, 7)]
    assert high == sorted(high, reverse=True)
    assert tab.get_attribute("#assets thead th:nth-child(8)", "aria-sort") == "descending"
    tab.click("#assets thead th:nth-child(8) button")
    assert [float(x) for x in column(tab, 7)] == sorted(high)
    tab.click("#assets thead th:nth-child(1) button")
    assert column(tab, 0) != names
    assert sorted(column(tab, 0)) == sorted(names)
    assert tab.messages == []


def test_search(tab):
    tab.fill("#search", "goo")
    assert column(tab, 0) == ["GOOG"]
    assert tab.inner_text("#shown") == "1 of 8"
    tab.fill("#search", "ETF")
    assert len(column(tab, 0)) == 3
    tab.fill("#search", "")
    assert len(column(tab, 0)) == 8
    assert tab.messages == []


def test_phone_and_print(tab):
    tab.set_viewport_size({"width": 380, "height": 800})
    for _ in range(50):  # pictures follow a moment later
        if tab.evaluate("document.documentElement.scrollWidth") <= 381:
            break
        tab.wait_for_timeout(100)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 381
    assert not tab.is_visible("#assets td.name >> nth=0")
    tab.emulate_media(media="print")
    assert not tab.is_visible("#search")
    assert tab.messages == []


# A page of many assets

N_LONG = 620
BREAKS_OUT = "</script><script>alert(3)</script><img src=x onerror=alert(4)>"


@pytest.fixture(scope="module")
def long_page(tmp_path_factory):
    """Its last asset, in a row that waits as text, has a name that would end a script."""
    rng = np.random.default_rng(5)
    f = Forecast.from_draws(
        0.05 * rng.standard_normal((60, N_LONG)) * np.linspace(0.5, 2, N_LONG),
        assets=[*(f"S{k:03d}" for k in rng.permutation(N_LONG - 1)), BREAKS_OUT],
        asset_class=["stock"] * N_LONG,
        names=[f"Company {k}" for k in range(N_LONG - 1)] + [BREAKS_OUT],
        origin="2022-02-04",
        end="2022-03-04",
    )
    path = tmp_path_factory.mktemp("long") / "report.html"
    path.write_text(report_html(f), encoding="utf-8")
    return path


@pytest.fixture
def long_tab(open_page, long_page):
    return open_page(long_page)


def n_rows(tab):
    return tab.evaluate("document.querySelectorAll('#assets tbody tr').length")


@pytest.mark.long
def test_a_long_table_is_laid_out_as_it_is_wanted(long_tab):
    assert n_rows(long_tab) == N_ROWS
    assert long_tab.evaluate("document.querySelectorAll('.main-svg').length") == 0  # no picture is in sight
    assert long_tab.evaluate("window.Plotly === undefined")  # nor the library read
    assert long_tab.inner_text("#shown") == f"{N_LONG} of {N_LONG}"
    long_tab.evaluate("document.querySelector('#assets tbody tr:last-child').scrollIntoView()")
    # Not wait_for_function: it makes code of a text, which the page's policy forbids.
    long_tab.locator(f"#assets tbody tr:nth-child({N_ROWS + 1})").wait_for(state="attached")
    long_tab.fill("#search", "alert(4)")
    assert n_rows(long_tab) == N_LONG
    assert column(long_tab, 0) == column(long_tab, 1) == [BREAKS_OUT]  # as text
    assert long_tab.messages == []


@pytest.mark.long
def test_a_long_table_is_sorted_as_a_whole(long_tab):
    long_tab.click("#assets thead th:nth-child(1) button")
    assert column(long_tab, 0) == [BREAKS_OUT, *(f"S{k:03d}" for k in range(N_LONG - 1))]
    assert long_tab.messages == []


@pytest.mark.long
def test_a_long_page_is_printed_whole(long_tab):
    long_tab.pdf()
    assert n_rows(long_tab) == N_LONG
    figures = long_tab.evaluate("document.querySelectorAll('.drawing').length")
    assert figures == 7  # 300 assets in heat maps of 50, and their dispersion
    assert long_tab.evaluate("document.querySelectorAll('.drawing .main-svg:first-child').length") == figures
    assert long_tab.evaluate("document.documentElement.scrollWidth") <= 1200
    assert long_tab.messages == []
