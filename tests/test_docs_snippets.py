"""Every command and Python block of README, tutorial and how-to pages runs, on the included data, few draws.

The files that pages call the reader's own are made by ``scripts/docs/blocks.py``. Commands run in this
process.
"""

from __future__ import annotations

import importlib
import re
import shutil
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
from short_runs import short_runs

from bdfm.errors import BdfmWarning

ROOT = Path(__file__).parents[1]
# Long spans of the pages, by shorter ones. `--validate` and Kalman's filter run in Python blocks.
SHORTER = {
    "2021-02-05": "2021-11-12",
    "--workers 2": "--workers 1",
    " --validate": "",
    "--method kalman ": "--assets 4 ",
    'read_prices("prices.csv.gz"), factors': 'read_prices("prices.csv.gz").iloc[-800:, :5], factors',
    "step=4": "step=26",
}

sys.path.insert(0, str(ROOT / "scripts" / "docs"))
docs = importlib.import_module("blocks")
sys.path.remove(str(ROOT / "scripts" / "docs"))
PAGES = {p.stem if p.parent != ROOT else "README": p for p in docs.pages()}


@pytest.fixture
def folder(tmp_path_factory, tmp_path, bdfm_command, monkeypatch):
    """Folder with the reader's files and the forecasts of two months, made once."""
    short_runs(monkeypatch.setattr)
    kept = tmp_path_factory.getbasetemp() / "snippets"
    if not kept.is_dir():
        kept.mkdir()
        docs.write_files(kept)
        monkeypatch.chdir(kept)
        for month, origin in (("2021-12", "2021-12-31"), ("2022-02", "2022-02-04")):
            made = ("--prices", "prices.csv", "--universe", "universe.csv", "--origin", origin)
            code, _, err = bdfm_command("forecast", *made, "--out", f"out/{month}")
            assert code == 0, err
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_command(words, bdfm_command):
    """Run one command, or hold it to what it names."""
    if words[0] == "bdfm":
        code, _, err = bdfm_command(*words[1:])
        allowed = {0, 1} if words[1] == "check" else {0}
        assert code in allowed, f"{' '.join(words)}: {err}"
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[2] == "." or words[2][2:-1] in extras, words
    else:
        raise AssertionError(f"what should run {words}?")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PAGES)
def test_blocks_of_the_page_run(name, folder, bdfm_command):
    import matplotlib.pyplot as plt

    names: dict[str, object] = {"__name__": "__main__"}
    for block in docs.blocks(PAGES[name]):
        where = f"{name}, line {block.line}"
        text = block.text
        for long, short in SHORTER.items():
            text = text.replace(long, short)
        if block.reason:
            assert len(block.reason) > 20, f"{where}: say why it is not run"
        elif block.mark.startswith("file: "):
            (folder / block.mark.removeprefix("file: ")).write_text(text, encoding="utf-8")
        elif block.language == "bash":
            for words in docs.commands(block._replace(text=text)):
                run_command(words, bdfm_command)
        elif block.language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BdfmWarning)
                exec(compile(text, where, "exec", dont_inherit=True), names)
            plt.close("all")
        else:
            assert block.language in ("text", "math", "toml"), f"{where}: {block.language}"


def test_blocks_are_read():
    text = "a\n\n<!-- file: x.toml -->\n```toml\nb = 1\n```\n\n```bash\nbdfm a \\\n  b # c\n```\n"
    page = docs.ROOT / "none.md"

    class Page:
        def read_text(self, encoding):
            return text

    first, second = docs.blocks(Page())
    assert (first.line, first.language, first.mark, first.text) == (5, "toml", "file: x.toml", "b = 1\n")
    assert list(docs.commands(second)) == [["bdfm", "a", "b"]]
    assert not page.exists()


def test_few_blocks_are_not_run():
    every = [(n, b) for n, p in PAGES.items() for b in docs.blocks(p) if b.language in ("bash", "python")]
    assert len(every) > 40
    assert len([b for _, b in every if b.reason]) <= 4
