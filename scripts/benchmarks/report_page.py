"""A report's page in a headless Chromium: until it is there, what it says to the console, pictures of it.

    python scripts/benchmarks/report_page.py --out DIR [--assets 5000] [--draws 4000] [--page FILE]

A page of a simulated forecast of so many assets, whose names are hostile, or one that is there already.
Printed: size, CPU seconds of the browser's processes and wall seconds until it is laid out (three times),
console messages, and how long an answer of "what if" takes. DIR gets wide.png, phone.png, dark.png and
print.pdf. The Chromium is that of BDFM_CHROMIUM, one on the PATH, or playwright's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

import bdfm
from bdfm.portfolio.decisions import decide
from bdfm.report.page import report_html

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "__proto__",
    "a'\"&b\\",
    "$x_{$",
)
READY = "document.readyState === 'complete'"


def forecast(n_assets: int, n_draws: int) -> bdfm.Forecast:
    """Simulated draws of assets of ten classes, with a market and a decision."""
    rng = np.random.default_rng(1)
    returns = np.empty((n_draws, n_assets), dtype=np.float32)
    market = rng.standard_t(5, n_draws) * 0.03
    for k in range(n_assets):
        returns[:, k] = np.expm1((0.5 + k / n_assets) * market + rng.standard_t(5, n_draws) * 0.04)
    assets = [f"A{k:04d}" for k in range(n_assets)]
    assets[: len(HOSTILE)] = HOSTILE
    classes = [f"class {k % 10}" for k in range(n_assets)]
    span = {"origin": "2022-02-04", "end": "2022-03-04"}
    made = bdfm.Forecast.from_draws(returns, assets=assets, asset_class=classes, names=assets, **span)
    return decide(made, method="equal", exposure=1.0).save_in(made)


def seconds(root: int) -> float:
    """CPU seconds of a process's children, and theirs, ended ones not counted."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], used[pid] = (
            int(fields[1]),
            (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        )
    family = {root}
    while more := {p for p, of in parents.items() if of in family} - family:
        family |= more
    return sum(used[p] for p in family - {root})


def opened(browser: Any, page: Path) -> dict[str, Any]:
    """What opening a page takes, and all that it says."""
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    said: list[str] = []
    tab.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
    tab.on("pageerror", lambda e: said.append(f"error: {e}"))
    tab.on("dialog", lambda d: (said.append(f"dialog: {d.message}"), d.dismiss()))
    tab.on(
        "request", lambda r: r.url.startswith(("file", "data", "blob")) or said.append(f"request: {r.url}")
    )
    busy, begun = seconds(os.getpid()), time.perf_counter()
    tab.goto(page.resolve().as_uri())
    tab.evaluate(f"{READY} && document.body.getBoundingClientRect().height")
    tab.wait_for_timeout(50)  # a frame is painted
    took = {"cpu": seconds(os.getpid()) - busy, "wall": time.perf_counter() - begun, "said": said}
    tab.evaluate("document.getElementById('what-if-add').click()")
    took["answers"] = tab.evaluate(
        "() => [...Array(9).keys()].map(k => { const x = document.querySelector('#what-if-views input');"
        " x.value = 1 + k / 5; const t = performance.now(); x.dispatchEvent(new Event('input'));"
        " document.body.getBoundingClientRect(); return performance.now() - t })"
    )
    tab.close()
    return took


def pictures(browser: Any, page: Path, out: Path) -> None:
    """Wide, phone, dark and on paper."""
    views = {"wide": (1400, 900, "light"), "phone": (390, 844, "light"), "dark": (1400, 900, "dark")}
    for name, (width, height, scheme) in views.items():
        tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        tab.goto(page.resolve().as_uri())
        top = tab.evaluate("Math.min(document.documentElement.scrollHeight, 7000)")
        for y in range(0, top, height):  # pictures are drawn when they come into sight
            tab.evaluate(f"window.scrollTo(0, {y})")
            tab.wait_for_timeout(150)
        tab.evaluate("window.scrollTo(0, 0)")
        tab.screenshot(
            path=out / f"{name}.png", full_page=True, clip={"x": 0, "y": 0, "width": width, "height": top}
        )
        wider = tab.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        print(f"{name}: {width} x {top}, {max(0, wider)} px wider than the screen")
        if name == "wide":
            tab.pdf(path=out / "print.pdf", format="A4")
        tab.close()


def main() -> None:
    """Make the page, open it, look at it."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--assets", type=int, default=5000)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--page", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    page = args.page
    if page is None:
        page = args.out / "report.html"
        page.write_text(report_html(forecast(args.assets, args.draws)), encoding="utf-8")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BDFM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        found = [opened(browser, page) for _ in range(3)]
        cpu, wall = ([f"{x[k]:.1f}" for x in found] for k in ("cpu", "wall"))
        size = f"{page.stat().st_size / 1e6:.1f} MB"
        print(f"{size}; opens in {', '.join(cpu)} CPU s, {', '.join(wall)} s of wall time")
        print(f"console: {[m for x in found for m in x['said']] or 'nothing'}")
        answers = np.concatenate([x["answers"] for x in found])
        print(f"an answer of what if: median {np.median(answers):.0f} ms, largest {answers.max():.0f} ms")
        pictures(browser, page, args.out)
        browser.close()


if __name__ == "__main__":
    main()
