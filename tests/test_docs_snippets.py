"""Every command and Python block of every page runs, on the included data, few draws.

The files that pages call the reader's own are made by ``scripts/docs/blocks.py``. Commands run in this
process.
"""

from __future__ import annotations

import importlib
import re
import runpy
import shutil
import sys
import tomllib
import warnings
from pathlib import Path

import pytest
from few import few
from short_runs import short_runs

import bdfm
from bdfm.errors import BdfmWarning
from bdfm.report.run_file import RunFile

ROOT = Path(__file__).parents[1]
# Long spans of the pages, by shorter ones. `--validate` and Kalman's filter run in Python blocks.
SHORTER = {
    "2021-02-05": "2021-11-12",
    "--workers 2": "--workers 1",
    " --validate": "",
    "--method kalman ": "--assets 4 ",
    'read_prices("prices.csv.gz"), factors': 'read_prices("prices.csv.gz").iloc[-800:, :5], factors',
    "step=4": "step=26",
    "n_replicates=20": "n_replicates=10",
}

# Pages that take seconds. README, the page on parts and all others run in the fast tests.
LONG = {
    "docs/routine", "docs/tutorial", *(f"docs/howto/{x}" for x in (
        "arviz", "every_month", "forecast", "mandate", "monthly_data", "new_listings", "risk", "views",
        "write_forecaster",
    )),
}  # fmt: skip

sys.path.insert(0, str(ROOT / "scripts" / "docs"))
docs = importlib.import_module("blocks")
sys.path.remove(str(ROOT / "scripts" / "docs"))
PAGES = {p.relative_to(ROOT).with_suffix("").as_posix(): p for p in docs.pages()}
RUN = ("bash", "python", "toml")


@pytest.fixture
def folder(tmp_path_factory, tmp_path, bdfm_command, monkeypatch, blank_pictures):
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
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def run_command(words, bdfm_command):
    """Run one command, or hold it to what it names."""
    if words[0] == "bdfm":
        code, _, err = bdfm_command(*words[1:])
        allowed = {"check": {0, 1}, "track": {0, 3}}.get(words[1], {0})
        assert code in allowed, f"{' '.join(words)}: {err}"
    elif words[0] == "python" and Path(words[1]).is_file():  # a reader's own script, which a page has shown
        assert run_script(words[1:]) == 0, " ".join(words)
    elif words[0] == "python":
        code = (ROOT / words[1]).read_text(encoding="utf-8")
        options = [word for word in words if word.startswith("--")]
        assert options, words
        named = set(re.findall(r'"(--[\w-]+)"', code))
        named |= {f"--{name.replace('_', '-')}" for name in re.findall(r"^    (\w+): ", code, re.MULTILINE)}
        assert [o for o in options if o not in named] == [], words
    elif words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert words[2] == "." or words[2][2:-1] in extras, words
    else:
        raise AssertionError(f"what should run {words}?")


def run_script(words):
    """Exit code of a script in the folder, run in this process, where fits are short."""
    argv, sys.argv = sys.argv, list(words)
    try:
        runpy.run_path(words[0], run_name="__main__")
    except SystemExit as stop:
        return stop.code or 0
    finally:
        sys.argv = argv
    return 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    few(
        [n for n, p in PAGES.items() if any(b.language in RUN for b in docs.blocks(p))],
        {*PAGES} - LONG,
    ),
)
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
        elif block.language == "toml":
            hold_settings(text, folder)
        else:  # commands inside a workflow are held to by tests/test_docs_commands.py
            assert block.language in ("text", "math", "yaml"), f"{where}: {block.language}"


def hold_settings(text, folder):
    """Hold a piece of TOML to what reads it: settings of a month, or of a model."""
    found = tomllib.loads(text)
    if set(found) <= set(RunFile.model_fields):
        RunFile.model_validate({"data": {"origin": "2022-02-04", "demo": True}} | found)
    else:
        (folder / "piece.toml").write_text(f'name = "piece"\n{text}', encoding="utf-8")
        bdfm.FactorModel.from_toml(folder / "piece.toml")


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
    assert len(every) > 60
    assert len([b for _, b in every if b.reason]) <= 13
    for name, block in every:
        if block.reason:
            (test,) = re.findall(r"tests/[\w/]+\.py", block.reason)
            assert (ROOT / test).is_file(), name


def test_no_page_is_left_out_and_no_code_hides_as_text():
    written = {p for p in ROOT.rglob("docs/**/*.md") if "```" in p.read_text(encoding="utf-8")}
    made = {"commands", "changes"}
    left = {p for p in written - set(PAGES.values()) if p.stem not in made}
    assert {p.relative_to(ROOT / "docs").parts[0] for p in left} <= {
        "_build",
        "reference",
        "presets",
        "notebooks",
    }
    assert len(PAGES) > 45
    for name, page in PAGES.items():
        fences = re.findall(r"^ *```(\w*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert set(fences) <= {"", *RUN, "text", "math", "yaml"}, name
        assert fences.count("") * 2 >= len(fences), f"{name}: a block says no language"
        for block in docs.blocks(page):
            if block.language == "text":
                hides = re.search(
                    r"^(bdfm|python|pip|make|import|from|\w+ = bdfm\.) ?", block.text, re.MULTILINE
                )
                assert not hides, f"{name}, line {block.line}: {hides.group()}"
