"""Shared by the tests of months and reports."""

import os
import shutil

import pytest


@pytest.fixture
def run(bdfm_command):
    """Run `bdfm ...`; standard output comes in one line."""

    def call(*args):
        code, out, err = bdfm_command(*args)
        return code, " ".join(out.split()), err

    return call


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: that of BDFM_CHROMIUM, one on the PATH, or playwright's own."""
    api = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BDFM_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with api.sync_playwright() as play:
        try:
            found = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except api.Error as error:
            pytest.skip(f"no Chromium starts here: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def open_page(browser):
    """Open a file in a tab whose ``messages`` hold all that should not be: errors, dialogs, requests."""
    tabs = []

    def call(page):
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        tabs.append(tab)
        tab.messages = []
        tab.on("console", lambda m: tab.messages.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda e: tab.messages.append(str(e)))
        tab.on("dialog", lambda d: (tab.messages.append(f"dialog {d.message}"), d.dismiss()))
        tab.on(
            "request",
            lambda r: tab.messages.append(r.url) if not r.url.startswith(("file", "data", "blob")) else None,
        )
        tab.goto(page.as_uri())
        return tab

    yield call
    for tab in tabs:
        tab.close()
